// Method: the command on a whole small site, well at first; then one thing at a time is broken, and
// exactly the check of that thing turns red, with what to do.
import { chmodSync, cpSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { bridgeConfig } from '../../broker/config.ts';
import { type DoctorPorts, bridgeChecks } from '../../broker/doctor.ts';
import { doctor } from '../../broker/main.ts';
import { STORY } from '../../simulator/install.ts';
import { type Context, runCommand } from '../../src/command.ts';
import { command } from '../../src/commands/doctor.ts';
import { parseConfig } from '../../src/config.ts';
import { type Finding, examine } from '../../src/doctor.ts';
import { OperatorError } from '../../src/errors.ts';
import { requireText } from '../../src/files.ts';
import { readKeyFile } from '../../src/keyfile.ts';
import { createHttp, serveHttp } from '../../src/node/http.ts';
import { clock, files, random, timers } from '../../src/node/platform.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import { surroundings } from '../../src/node/surroundings.ts';
import { readPolicy, signPolicy } from '../../src/root.ts';
import { nodeSigner } from '../../src/signer.ts';
import { ELSEWHERE, LOCAL } from '../certificates.ts';
import { type Site, createSite, freePort } from '../site.ts';

const DAY_MS = 86_400_000;
let site: Site;
let config: string;
let bridge: Awaited<ReturnType<Site['openBridge']>>;
const { http, close } = createHttp();

beforeAll(async () => {
  site = await createSite();
  bridge = await site.openBridge({ listen: { host: '127.0.0.1', port: 0 } });
  config = join(site.folder, 'bridge.yaml');
});
afterAll(async () => {
  await site.close();
  close();
});

async function run(file: string) {
  const said: string[] = [];
  const context = {
    write: (line: string) => void said.push(line),
    program: () => Promise.resolve({ doctor }),
    isTerminal: false,
    variable: () => undefined,
  } as unknown as Context;
  const failure = await runCommand(command, 'doctor', ['bridge', file], context).then(
    () => undefined,
    (error: unknown) => error,
  );
  if (failure !== undefined && !(failure instanceof OperatorError)) throw failure;
  return { out: said.join('\n'), exit: failure?.exit ?? 0, why: failure?.message };
}

/** What is wrong with some of the outside world replaced, of a bridge that does not run. */
async function wrongs(changed: Partial<DoctorPorts>): Promise<readonly Finding[]> {
  const settings = parseConfig(bridgeConfig, requireText(files, config), config);
  const at = (path: string) => resolve(dirname(config), path);
  const ports = { files, clock, timers, random, http, openDatabase, surroundings };
  const ask = () => Promise.resolve([]);
  const all = await examine(bridgeChecks(settings, at, { ...ports, ask, ...changed }), timers);
  return all.filter(({ state }) => state === 'wrong');
}

test('a bridge that runs and is well: nothing is wrong, exit code 0', async () => {
  const { out, exit } = await run(config);
  expect(exit, out).toBe(0);
  expect(out).toMatch(/^ok {11}store +the bridge runs and answers its operator$/m);
  expect(out).toMatch(/^ok {11}risk +http:.* answers, and shares the secret$/m);
  expect(out).toMatch(/^ok {11}backend ledger +http:.* answers, and shares the secret$/m);
  expect(out).toMatch(/^not checked {2}broker +it is within the bridge$/m);
});

/** One fault, the only check that it turns red, and what that says and advises. */
type Fault = Readonly<{
  name: string;
  plant: (at: (...names: string[]) => string) => unknown;
  red: string;
  says: RegExp;
}>;

const FAULTS: readonly Fault[] = [
  {
    name: 'a key file that others can read',
    plant: (at) => chmodSync(at('bridge', 'bridge.key.pem'), 0o644),
    red: 'key',
    says: /can be read by others \(mode 0644\).*chmod 600/,
  },
  {
    name: 'the statement of the bridge is missing',
    plant: (at) => rmSync(at('statements', 'bridge.key')),
    red: 'key',
    says: /the root has not named the key [0-9a-f]{16}, or no longer\n.*have the root sign it/,
  },
  {
    name: 'the secret of the tick is gone',
    plant: (at) => rmSync(at('bridge', 'tick.secret')),
    red: 'tick secret',
    says: /tick\.secret does not exist/,
  },
  {
    name: 'another root is named',
    plant: (at) => renameSync(at('wallet.key.pem'), at('root.pub.pem')),
    red: 'root key',
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
    red: 'policy',
    says: /the policy of the platform ended .* UTC\n.*sign a new one/,
  },
  {
    name: 'a backend with another secret',
    plant: (at) => writeFileSync(at('ledger.secret'), '00'.repeat(32)),
    red: 'backend ledger',
    says: /refuses our signature\n.*same secret .* and the same time/,
  },
  {
    name: 'a risk service that is away',
    plant: () => site.risk.leave(),
    red: 'risk',
    says: /the risk service cannot be reached at http.*\n.*start it/,
  },
];

test.each(FAULTS)('$name: found, with what to do', async ({ plant, red, says }) => {
  const at = (...names: string[]) => join(site.folder, ...names);
  const names = [
    'root.pub.pem',
    'wallet.key.pem',
    'platform.policy',
    'ledger.secret',
    'statements/bridge.key',
    'bridge/bridge.key.pem',
    'bridge/tick.secret',
  ];
  const kept = names.map((name) => [at(name), readFileSync(at(name))] as const);
  try {
    await plant(at);
    const { out, exit, why } = await run(config);
    expect(out).toMatch(says);
    expect(why).toBe(`wrong: ${red}`);
    expect(exit).toBe(1);
  } finally {
    for (const [path, bytes] of kept) {
      writeFileSync(path, bytes);
      chmodSync(path, 0o600);
    }
    if (red === 'risk') await site.risk.comeBack();
  }
});

test('a clock that nobody keeps, and one of years ago', async () => {
  const run = () => Promise.resolve('no\n');
  const [alone, ...none] = await wrongs({ surroundings: { ...surroundings, run } });
  expect(none).toEqual([]);
  expect(alone).toMatchObject({
    check: 'clock',
    says: expect.stringMatching(/nothing synchronises it$/) as string,
    fix: expect.stringContaining('timedatectl set-ntp true') as string,
  });
  const ago = { ...clock, nowMs: () => clock.nowMs() - 1_000 * DAY_MS };
  // The services compare their clocks with ours, so they are right to refuse it.
  const names = (await wrongs({ clock: ago })).map(({ check }) => check);
  expect(names).toEqual(['clock', 'risk', 'backend ledger']);
});

test('statements and the key that end within two weeks', async () => {
  const soon = { ...clock, nowMs: () => clock.nowMs() + 360 * DAY_MS };
  const all = await wrongs({ clock: soon });
  const named = all.filter(({ check }) => ['key', 'statements'].includes(check));
  expect(named.map(({ check, fix }) => [check, fix?.slice(0, 20)])).toEqual([
    ['key', 'saytap bridge rotate'],
    ['statements', 'enrol them again, or'],
  ]);
  expect(named[1]?.says).toContain('glasses-1');
});

test('payments that wait for a person', async () => {
  const waiting = [{ attempts: [{ state: 'person' }] }, { attempts: [{ state: 'unknown' }] }];
  const [found, ...none] = await wrongs({ ask: () => Promise.resolve(waiting) });
  expect(none).toEqual([]);
  expect(found).toMatchObject({ check: 'payments', says: "1 payments wait for a person's word" });
  expect(found?.fix).toContain('saytap payments resolve');
});

test('https that answers, with a certificate for another name, and not at all', async () => {
  const port = await freePort();
  const own = join(site.folder, 'https.yaml');
  const listen = `listen: { host: 127.0.0.1, port: ${port} }`;
  const paths = 'certificate: https.pem, key: https.key';
  const text = requireText(files, config);
  writeFileSync(own, `${text}https: { ${listen}, url: "https://localhost:${port}", ${paths} }\n`);
  const served = { host: '127.0.0.1', port, bytesMax: 1_000 };
  const answer = () => Promise.resolve({ status: 404, body: new Uint8Array() });
  for (const [tls, why] of [
    [LOCAL[0], undefined],
    [ELSEWHERE, 'wrong: https'],
  ] as const) {
    writeFileSync(join(site.folder, 'https.pem'), tls.certificate);
    const server = await serveHttp({ ...served, tls, answer });
    try {
      const result = await run(own);
      expect(result.why, result.out).toBe(why);
    } finally {
      await server.close();
    }
  }
  const away = await run(own);
  expect(away.why).toBe('wrong: https');
  expect(away.out).toMatch(/^ok +certificates +the certificate of far holds until/m);
});

test('the store of a bridge that does not run is looked at in a copy', async () => {
  const folder = join(site.folder, 'bridge');
  await bridge.stop();
  const before = files.list(folder);
  const well = await run(config);
  expect(well.out).toMatch(/^ok +store +whole; no bridge runs$/m);
  expect(well.exit, well.out).toBe(0);
  expect(files.list(folder), 'nothing is left').toEqual(before);
  const whole = join(site.folder, 'whole.db');
  cpSync(join(folder, 'bridge.db'), whole);
  const bytes = readFileSync(whole);
  bytes.fill(0x5a, 4_096, 12_288);
  writeFileSync(join(folder, 'bridge.db'), bytes);
  const damaged = await run(config);
  expect(damaged.why).toBe('wrong: store');
  expect(damaged.out).toMatch(/bridge\.db is damaged\n.*saytap bridge restore/);
  cpSync(whole, join(folder, 'bridge.db'));
});
