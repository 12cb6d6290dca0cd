// Method: the command on a whole small site, well at first; then one thing at a time is broken, and
// exactly the check of that thing turns red, with what to do.
import { fork } from 'node:child_process';
import {
  chmodSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { deviceConfig } from '../../device/config.ts';
import { type DoctorPorts, deviceChecks } from '../../device/doctor.ts';
import { openFileKeys } from '../../device/keys/file.ts';
import { doctor } from '../../device/main.ts';
import { createPin } from '../../device/pin.ts';
import { createTries } from '../../device/tries.ts';
import { type Context, runCommand } from '../../src/command.ts';
import { command } from '../../src/commands/doctor.ts';
import { parseConfig } from '../../src/config.ts';
import { type Finding, examine } from '../../src/doctor.ts';
import { OperatorError } from '../../src/errors.ts';
import { requireText } from '../../src/files.ts';
import { PIN_TRIES, SPEAKER_TRIES } from '../../src/limits.ts';
import { createHttp } from '../../src/node/http.ts';
import { connectLink } from '../../src/node/link.ts';
import { clock, files, random, timers } from '../../src/node/platform.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import { surroundings } from '../../src/node/surroundings.ts';
import { readPolicy, signPolicy } from '../../src/root.ts';
import { readKeyFile } from '../../src/keyfile.ts';
import { nodeSigner } from '../../src/signer.ts';
import { STORY } from '../../simulator/install.ts';
import { type Site, createSite, freePort } from '../site.ts';

const TYPED = /^(nfc reader|microphone|buttons|credential|certificate)$/;
const DAY_MS = 86_400_000;
let site: Site;
let config: string;
let bridge: Awaited<ReturnType<Site['openBridge']>>;
const { http, close } = createHttp();

beforeAll(async () => {
  site = await createSite();
  bridge = await site.openBridge({ listen: { host: '127.0.0.1', port: 0 } });
  config = site.glassesAt(bridge.mqttUrl);
});
afterAll(async () => {
  await site.close();
  close();
});

async function run(...args: readonly string[]) {
  const said: string[] = [];
  const context = {
    write: (line: string) => void said.push(line),
    program: () => Promise.resolve({ doctor }),
    isTerminal: false,
    variable: () => undefined,
  } as unknown as Context;
  const failure = await runCommand(command, 'doctor', args, context).then(
    () => undefined,
    (error: unknown) => error,
  );
  if (failure !== undefined && !(failure instanceof OperatorError)) throw failure;
  return { out: said.join('\n'), exit: failure?.exit ?? 0, why: failure?.message };
}

/** The findings with some of the outside world replaced. */
function findings(changed: Partial<DoctorPorts> = {}): Promise<readonly Finding[]> {
  const settings = parseConfig(deviceConfig, requireText(files, config), config);
  const at = (path: string) => resolve(site.folder, path);
  const ports = { clock, timers, random, files, openDatabase, http, surroundings };
  return examine(
    deviceChecks(settings, at, { ...ports, connect: connectLink, ...changed }),
    timers,
  );
}

const red = (all: readonly Finding[]) =>
  all.filter(({ state }) => state === 'wrong').map(({ check }) => check);

test('a device of a site that is well: nothing is wrong, exit code 0', async () => {
  const { out, exit } = await run('device', config);
  expect(exit, out).toBe(0);
  expect(out).not.toContain('wrong');
  expect(out).toMatch(/^ok {11}bridge +answers a question of this device$/m);
  expect(out).toMatch(/^ok {11}outbox +none yet/m);
  const { out: text } = await run('device', '--json', config);
  const told = JSON.parse(text) as { isWell: boolean; findings: readonly Finding[] };
  expect(told.isWell).toBe(true);
  const { state } = told.findings.find(({ check }) => check === 'certificate')!;
  expect(state, 'plain MQTT has none').toBe('not checked');
  for (const { check, state } of told.findings) {
    if (!TYPED.test(check)) expect([check, state]).toEqual([check, 'ok']);
  }
});

test('a configuration that is wrong has exit code 3, in JSON too', async () => {
  const path = join(site.folder, 'wrong.yaml');
  writeFileSync(path, 'profile: tower\n');
  expect((await run('device', path)).exit).toBe(3);
  const { out, exit } = await run('device', '--json', path);
  expect(exit).toBe(3);
  expect(JSON.parse(out)).toMatchObject({ isWell: false, findings: [{ check: 'configuration' }] });
});

/** One fault, the checks that it turns red, and what they say and advise. */
type Fault = Readonly<{
  name: string;
  plant: (at: (...names: string[]) => string) => void | Promise<void>;
  red: readonly string[];
  says: RegExp;
}>;

const FAULTS: readonly Fault[] = [
  {
    name: 'a key file that others can read',
    plant: (at) => chmodSync(at('glasses', 'device.key.pem'), 0o644),
    red: ['key'],
    says: /can be read by others \(mode 0644\).*chmod 600/,
  },
  {
    name: 'the statement of this device is missing',
    plant: (at) => rmSync(at('statements', 'glasses.key')),
    red: ['statement'],
    says: /the root has not named the key [0-9a-f]{16}\n.*put its signed Key statement into/,
  },
  {
    name: 'the statement of the bridge is missing',
    plant: (at) => rmSync(at('statements', 'bridge.key')),
    red: ['known keys'],
    says: /no Key statement of the bridge\n.*put the newer/,
  },
  {
    name: 'another root is pinned',
    plant: (at) => renameSync(at('wallet.key.pem'), at('root.pub.pem')),
    red: ['root key'],
    says: /bridge\.key does not hold under the pinned root/,
  },
  {
    name: 'a policy that has ended',
    plant: async (at) => {
      const nowS = Math.floor(clock.nowMs() / 1000) - 40 * 86_400;
      const policy = readPolicy(requireText(files, at('policy.yaml')), 'policy.yaml', nowS);
      const root = nodeSigner(readKeyFile(files, at('root.key.pem')));
      const ended = { ...policy, exp: nowS + 86_400 };
      writeFileSync(at('platform.policy'), await signPolicy(ended, STORY.realm, root, undefined));
    },
    red: ['policy'],
    says: /the policy of the platform ended .* UTC\n.*sign a new one/,
  },
  {
    name: 'no mandate',
    plant: (at) => rmSync(at('mandates', 'glasses.mandate')),
    red: ['mandates'],
    says: /no mandate names this device, so it can pay nothing\n.*grant one/,
  },
  {
    name: 'a damaged outbox',
    plant: (at) => {
      const path = at('glasses', 'outbox.db');
      openDatabase(path).close();
      writeFileSync(path, Buffer.concat([readFileSync(path), random(8_192)]));
      truncateSync(path, 6_000);
    },
    red: ['outbox'],
    says: /outbox\.db is damaged\n.*start the device: it sets the file aside/,
  },
  {
    name: 'a damaged outbox that was set aside',
    plant: (at) => writeFileSync(at('glasses', 'outbox.db.damaged-2026-11-20T090000Z'), ''),
    red: ['outbox'],
    says: /set aside: outbox\.db\.damaged-2026-11-20T090000Z\n.*saytap payments list/,
  },
  {
    name: 'a damaged record of the next key',
    plant: (at) => writeFileSync(at('glasses', 'succession.json'), '{"state":"prov'),
    red: ['succession'],
    says: /succession\.json is damaged.*\n.*saytap device renew/,
  },
  {
    name: 'a next key that is not here',
    plant: (at) =>
      writeFileSync(at('glasses', 'succession.json'), kept('granted', 'ab'.repeat(32))),
    red: ['succession'],
    says: /about a key that is not here\n.*start the device/,
  },
  {
    name: 'a next key that nobody approves',
    plant: async (at) => {
      const keys = openFileKeys({ files, random, folder: at('glasses'), credential: undefined });
      const { key } = await keys.prepare();
      const path = at('glasses', 'succession.json');
      writeFileSync(path, kept('asking', key.name));
      const then = new Date(clock.nowMs() - 2 * DAY_MS);
      utimesSync(path, then, then);
    },
    red: ['succession'],
    says: /half done \(asking\) since .* UTC\n.*saytap device pending/,
  },
  {
    name: 'a key before that is not retired for long',
    plant: (at) => {
      const own = { files, random, folder: at('glasses'), credential: undefined };
      const path = at('glasses', 'succession.json');
      writeFileSync(path, kept('proved', openFileKeys(own).current()!.key.name));
      const then = new Date(clock.nowMs() - 2 * DAY_MS);
      utimesSync(path, then, then);
    },
    red: ['succession'],
    says: /has taken over.* since .* UTC\n.*bridge can be reached/,
  },
  {
    name: 'a damaged PIN',
    plant: (at) => writeFileSync(at('glasses', 'device.pin'), 'argon2id 5', { mode: 0o600 }),
    red: ['pin'],
    says: /device\.pin is damaged.*\n.*saytap device pin set/,
  },
  {
    name: 'a locked PIN',
    plant: (at) => {
      const pin = createPin(files, random, at('glasses', 'device.pin'));
      pin.set('470815');
      for (let n = 0; n < PIN_TRIES; n++) pin.check('470816');
    },
    red: ['pin'],
    says: /too many wrong ones in a row\n.*saytap device pin set/,
  },
  {
    name: 'a locked voice check',
    plant: (at) => {
      const tries = createTries(files, at('glasses', 'device.speaker'));
      for (let n = 0; n < SPEAKER_TRIES; n++) tries.take();
    },
    red: ['pin'],
    says: /the voice check is locked\n.*saytap device pin clear/,
  },
  {
    name: 'a folder that is not there',
    plant: (at) => renameSync(at('glasses'), at('elsewhere')),
    red: ['disk'],
    says: /glasses does not exist\n.*existing folder/,
  },
];

test.each(FAULTS)('$name is found, with what to do', async ({ plant, red: expected, says }) => {
  const at = (...names: string[]) => join(site.folder, ...names);
  const restore = keepCopies(site.folder);
  try {
    await plant(at);
    const { out, exit, why } = await run('device', config);
    expect(out).toMatch(says);
    expect(why).toBe(`wrong: ${expected.join(', ')}`);
    expect(exit).toBe(1);
  } finally {
    restore();
  }
});

/** As device/succession.ts writes it. */
function kept(state: 'asking' | 'granted' | 'proved', key: string): string {
  const envelope = state === 'asking' ? { envelope: 'd2' } : {};
  return JSON.stringify({ state, key, farewell: 'd2', ...envelope });
}

test('a next key that is under way, and a PIN that is set, are well', async () => {
  const at = (...names: string[]) => join(site.folder, ...names);
  const restore = keepCopies(site.folder);
  try {
    const own = { files, random, folder: at('glasses'), credential: undefined };
    const { key } = await openFileKeys(own).prepare();
    createPin(files, random, at('glasses', 'device.pin')).set('470815');
    const states = ['asking', 'granted', 'proved'] as const;
    for (const text of [
      '{"state":"wanted","isAsked":true}',
      ...states.map((one) => kept(one, key.name)),
    ]) {
      writeFileSync(at('glasses', 'succession.json'), text);
      const { out, exit } = await run('device', config);
      expect([exit, /^ok +pin +one is set$/m.test(out)], out).toEqual([0, true]);
      expect(out).toMatch(/^ok +succession +a next key is (asked for|half done)/m);
    }
  } finally {
    restore();
  }
});

/** What is in the files that faults touch, to be put back. */
function keepCopies(folder: string): () => void {
  const names = [
    'root.pub.pem',
    'wallet.key.pem',
    'platform.policy',
    'statements/bridge.key',
    'statements/glasses.key',
    'mandates/glasses.mandate',
    'glasses/device.key.pem',
  ];
  const kept = names.map((name) => [join(folder, name), readFileSync(join(folder, name))] as const);
  return () => {
    rmSync(join(folder, 'elsewhere'), { recursive: true, force: true });
    files.folder(join(folder, 'glasses'));
    for (const name of files.list(join(folder, 'glasses'))) rmSync(join(folder, 'glasses', name));
    for (const [path, bytes] of kept) {
      writeFileSync(path, bytes);
      chmodSync(path, 0o600);
    }
  };
}

test('a disk that is full, or takes nothing', async () => {
  const full = await findings({
    surroundings: { ...surroundings, freeBytes: () => 5 * 1_048_576 },
  });
  expect(red(full)).toEqual(['disk']);
  expect(full.find(({ check }) => check === 'disk')).toMatchObject({
    says: expect.stringMatching(/^5 MiB are free .*, 100 are needed$/) as string,
    fix: expect.stringContaining('make room') as string,
  });
  const tryWriting = () => {
    throw new Error('EROFS: read-only file system');
  };
  const worn = await findings({ surroundings: { ...surroundings, tryWriting } });
  expect(red(worn)).toEqual(['disk']);
});

test('a clock of years ago, and one of years ahead', async () => {
  const shifted = (ms: number) => ({ ...clock, nowMs: () => clock.nowMs() + ms });
  const behind = await findings({ clock: shifted(-1_000 * DAY_MS) });
  expect(red(behind)).toEqual(['clock']);
  const said = behind.find(({ check }) => check === 'clock');
  expect(said?.says).toMatch(/^it says .*, but the policy is from /);
  expect(said?.fix).toContain('timedatectl set-ntp true');
  const ahead = await findings({ clock: shifted(1_000 * DAY_MS) });
  expect(red(ahead)).toEqual(['clock']);
  expect(ahead.find(({ check }) => check === 'clock')?.says).toMatch(
    /^it says 20\d\d-.* UTC, but the clock of the bridge 20\d\d-.* UTC$/,
  );
});

test('a device that runs is asked by its metrics, and keeps its place and its outbox', async () => {
  const port = await freePort();
  const own = join(site.folder, 'running.yaml');
  const settings = requireText(files, config).replace(
    'device:',
    `metrics: { port: ${port} }\ndevice:`,
  );
  writeFileSync(own, settings);
  const child = fork('src/cli.ts', ['device', '--config', own], { stdio: 'pipe' });
  try {
    const hears = async () =>
      /^ok +bridge +the running device hears it$/m.test((await run('device', own)).out);
    await expect.poll(hears, { timeout: 30_000 }).toBe(true);
    const { out, exit } = await run('device', own);
    expect(exit, out).toBe(0);
    expect(out).toContain('a running device has it open');
    const other = await run('device', config);
    expect(other.out).toMatch(/^not checked +bridge +the device runs and holds the connection/m);
    expect(other.exit).toBe(0);
    child.kill('SIGKILL');
    await new Promise((done) => child.once('exit', done));
    const before = files.list(join(site.folder, 'glasses'));
    const killed = await run('device', config);
    expect(killed.out).toMatch(/^ok +outbox +whole, nothing waits$/m);
    expect(files.list(join(site.folder, 'glasses')), 'nothing is left').toEqual(before);
    expect(killed.exit, killed.out).toBe(0);
  } finally {
    child.kill('SIGKILL');
  }
});

test('a broker that is away', async () => {
  await bridge.stop();
  const all = await findings();
  expect(red(all)).toEqual(['broker']);
  expect(all.find(({ check }) => check === 'broker')?.fix).toContain('start the broker');
});
