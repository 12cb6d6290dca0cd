// Method: real processes from nothing to the first payment. The device is the command, killed
// and cut off while it waits; a person approves with the command; the broker is Mosquitto with
// mutual TLS, which lets nobody in without the certificate that the enrolment brought.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { stringify } from 'yaml';
import { openCertificateAuthority } from '../broker/ca.ts';
import { startBridge } from '../broker/main.ts';
import { STORY } from '../simulator/install.ts';
import { openKeyFile } from '../src/keyfile.ts';
import { clock, files, random } from '../src/node/platform.ts';
import { openDatabase } from '../src/node/sqlite.ts';
import { mandate as mandateKind } from '../src/objects/mandate.ts';
import { open, seal } from '../src/objects/kind.ts';
import { nodeSigner } from '../src/signer.ts';
import { AS_WHO, startMosquitto } from './mosquitto.ts';
import { requirePart } from './parts.ts';
import { type Site, createSite, freePort } from './site.ts';

const mosquitto = requirePart('mosquitto');
const ROOT = join(import.meta.dirname, '..');
const PATIENCE = { timeout: 60_000, interval: 100 };

/** One `saytap` process and everything that it says. */
function run(...args: string[]) {
  const child: ChildProcessWithoutNullStreams = spawn(
    process.execPath,
    [join(ROOT, 'src/cli.ts'), ...args],
    { cwd: ROOT },
  );
  const said = { text: '' };
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (part: Buffer) => (said.text += part.toString()));
  }
  const ended = new Promise<number | null>((done) => child.once('exit', done));
  return { child, said, ended };
}

async function command(...args: string[]): Promise<string> {
  const { child, said, ended } = run(...args);
  child.stdin.end();
  const code = await ended;
  expect(code, said.text).toBe(0);
  return said.text;
}

/** Mosquitto that lets in who has a certificate of this site, and the bridge's own files for it. */
async function secureBroker(site: Site, program: string) {
  const folder = join(site.folder, 'bridge');
  const authority = openCertificateAuthority(files, random, clock, folder);
  const at = (name: string) => join(site.folder, name);
  const keyOf = (name: string) => nodeSigner(openKeyFile(files, at(name), 'ES256')).key;
  writeFileSync(at('server.pem'), authority.issueServer(['127.0.0.1'], keyOf('server.key'), 1));
  writeFileSync(at('bridge.pem'), authority.issueBridge(keyOf('bridge.tls.key'), 1));
  const port = await freePort();
  const lines = [
    ...AS_WHO,
    `listener ${port} 127.0.0.1`,
    `cafile ${join(folder, 'ca.pem')}`,
    `certfile ${at('server.pem')}`,
    `keyfile ${at('server.key')}`,
    'require_certificate true',
    'use_identity_as_username true',
    'allow_anonymous false',
    'persistence false',
  ];
  writeFileSync(at('mosquitto.conf'), `${lines.join('\n')}\n`);
  const broker = await startMosquitto(program, at('mosquitto.conf'), port);
  const mqtt = {
    url: `mqtts://127.0.0.1:${port}`,
    ...{ ca: 'bridge/ca.pem', certificate: 'bridge.pem', key: 'bridge.tls.key' },
  };
  return { broker, mqtt };
}

test('from nothing to the first payment, killed and cut off, and to the end', async (context) => {
  if (mosquitto.missing !== undefined) return context.skip(mosquitto.missing);
  const begun = performance.now();
  const site = await createSite();
  const { broker, mqtt } = await secureBroker(site, mosquitto.path);
  const at = (name: string) => join(site.folder, name);
  const httpsPort = await freePort();
  const url = `https://127.0.0.1:${httpsPort}`;
  writeFileSync(
    at('bridge.yaml'),
    stringify({
      ...{ ...STORY.realm, root: 'root.pub.pem', statements: 'statements' },
      ...{ policy: 'platform.policy', folder: 'bridge', mqtt, log: 'error' },
      risk: { url: site.risk.url, secret: 'risk.secret' },
      backends: [{ kind: 'ledger', url: site.ledger.url, secret: 'ledger.secret' }],
      https: { listen: { host: '127.0.0.1', port: httpsPort }, url },
    }),
  );
  writeFileSync(
    at('new.yaml'),
    stringify({
      ...{ ...STORY.realm, profile: 'glasses', device: 'glasses-9', folder: 'new' },
      enrol: { url, ca: 'bridge/ca.pem' },
    }),
  );
  let bridge = await startBridge(at('bridge.yaml'), () => {});
  const children: ChildProcessWithoutNullStreams[] = [];
  onTestFinished(async () => {
    for (const child of children) child.kill('SIGKILL');
    await bridge.stop();
    await broker.kill();
    await site.close();
  });
  const start = (...args: string[]) => {
    const started = run(...args);
    children.push(started.child);
    return started;
  };
  const codeIn = (text: string) => /[0-9A-Z]{5}-[0-9A-Z]{5}/.exec(text)?.[0];

  // Killed at some moment of its start, again and again: the key and the code stay.
  let code: string | undefined;
  for (const ms of [150, 400, 700]) {
    const killed = start('device', 'enrol', at('new.yaml'));
    await new Promise((done) => setTimeout(done, ms));
    killed.child.kill('SIGKILL');
    await killed.ended;
    const shown = codeIn(killed.said.text);
    if (code !== undefined && shown !== undefined) expect(shown).toBe(code);
    code ??= shown;
  }
  const enrolling = start('device', 'enrol', at('new.yaml'));
  await expect.poll(() => codeIn(enrolling.said.text), PATIENCE).toBeTruthy();
  const shown = codeIn(enrolling.said.text)!;
  if (code !== undefined) expect(shown).toBe(code);
  await expect
    .poll(() => command('device', 'pending', '--config', at('bridge.yaml')), PATIENCE)
    .toContain(shown);

  // The service goes away in the middle, and comes back.
  await bridge.stop();
  await expect.poll(() => enrolling.said.text, PATIENCE).toContain('Trying again');
  bridge = await startBridge(at('bridge.yaml'), () => {});

  // The wearer grants before the device is approved, so that it comes with the rest.
  const wallet = nodeSigner(openKeyFile(files, at('wallet.key.pem'), 'ES256'));
  const first = readFileSync(at('mandates/glasses.mandate'));
  const granted = open(mandateKind, first, STORY.realm, () => wallet.key).value;
  const key = nodeSigner(openKeyFile(files, at('new/device.next.key.pem'), 'ES256')).key;
  const mandate = await seal(mandateKind, { ...granted, cnf: key.name }, STORY.realm, wallet);
  writeFileSync(at('new.mandate'), mandate);
  await command('mandate', 'submit', at('new.mandate'), '--bridge', at('bridge.yaml'));

  const link = /https:\S+#[\w-]{64}/.exec(enrolling.said.text)![0];
  const approve = ['device', 'approve', link, '--config', at('bridge.yaml'), '--yes'];
  expect(await command(...approve)).toContain('the root has still to sign');
  await expect.poll(() => enrolling.said.text, PATIENCE).toContain('Approved');
  expect(await command(...approve, '--root', at('root.key.pem'))).toContain('it is enrolled');
  expect(await enrolling.ended, enrolling.said.text).toBe(0);
  expect(enrolling.said.text).toContain('Enrolled as glasses-9.');
  expect(existsSync(at('new/enrolment.json'))).toBe(false);
  expect(await command('device', 'enrol', at('new.yaml'))).toContain('enrolled already');

  const device = start('device', '--config', at('new.yaml'));
  await expect.poll(() => device.said.text, PATIENCE).toMatch(/ready to pay|glasses-9/);
  await payWith(device);
  const seconds = (performance.now() - begun) / 1000;
  console.log(`from nothing to the first payment: ${seconds.toFixed(1)} s`);
  expect(await site.paid()).toBeGreaterThanOrEqual(5_00n);

  // It gets a new key in the middle of a run: the old one pays until the new one does.
  const keyNow = () => nodeSigner(openKeyFile(files, at('new/device.key.pem'), 'ES256')).key.name;
  const succeeded = await renew(device, []);
  const second = keyNow();
  expect(second).not.toBe(key.name);
  await payWith(succeeded);
  // And another one, killed again and again; the moments of the change are within few seconds.
  const renewed = await renew(succeeded, [900, 1_800, 3_000]);
  const third = keyNow();
  expect([key.name, second]).not.toContain(third);
  await payWith(renewed);

  // Lost: it counts no more at once, and at its next contact it forgets everything.
  const who = ['--by', 'mei', '--why', 'lost', '--yes'];
  await command('device', 'revoke', 'glasses-9', '--config', at('bridge.yaml'), ...who);
  renewed.child.kill('SIGKILL');
  await renewed.ended;
  const found = start('device', '--config', at('new.yaml'));
  expect(await found.ended, found.said.text).toBe(6);
  expect(found.said.text).toContain('This device was unpaired');
  for (const name of ['device.key.pem', 'tls.key.pem', 'root.pub.pem', 'broker.url']) {
    expect(existsSync(at(join('new', name))), name).toBe(false);
  }
  await bridge.stop();
  const keys = keysAt(at('bridge/bridge.db'));
  for (const [i, name] of [key.name, second, third].entries()) {
    expect(keys.get(name)).toMatchObject({ retired: i < 2 ? 1n : 0n, reused: 0n });
    expect(keys.get(name)!.runs).toBeGreaterThan(0n);
  }

  /** Says it and confirms, until it is paid. */
  async function payWith({ child, said }: ReturnType<typeof run>): Promise<void> {
    const from = said.text.length;
    const attempt = async () => {
      child.stdin.write('pay 5 yuan to Luckin Coffee\n');
      await new Promise((done) => setTimeout(done, 1_500));
      child.stdin.write('\n');
      await new Promise((done) => setTimeout(done, 500));
      return said.text.slice(from);
    };
    await expect
      .poll(attempt, { timeout: 60_000, interval: 1_000 })
      .toContain('Paid 5.00 yuan to Luckin Coffee');
  }

  async function renew(first: ReturnType<typeof run>, kills: readonly number[]) {
    let running = first;
    async function again(): Promise<void> {
      running.child.kill('SIGKILL');
      await running.ended;
      running = start('device', '--config', at('new.yaml'));
    }
    expect(await command('device', 'renew', at('new.yaml'))).toContain('It gets a new key');
    await again();
    await expect.poll(() => running.said.text, PATIENCE).toContain('waits for the root to sign');
    expect(await command('device', 'renew', at('new.yaml'))).toContain('under way already');
    if (kills.length === 0) await payWith(running);
    const asked = /approve\W+([0-9A-Z]{5}-[0-9A-Z]{5})/.exec(running.said.text)![1]!;
    const sign = ['--config', at('bridge.yaml'), '--yes', '--root', at('root.key.pem')];
    expect(await command('device', 'approve', asked, ...sign)).toContain('it is enrolled');
    for (const ms of kills) {
      await again();
      await new Promise((done) => setTimeout(done, ms));
    }
    await again();
    await expect.poll(() => existsSync(at('new/succession.json')), PATIENCE).toBe(false);
    return running;
  }
}, 240_000);

/** What the bridge has of each key: whether it is retired, and its payments. */
function keysAt(path: string) {
  const database = openDatabase(path);
  const rows = database
    .prepare(
      `SELECT name, retired, (SELECT count(*) FROM runs WHERE key = name) AS runs,
         (SELECT count(*) - count(DISTINCT counter) FROM runs WHERE key = name) AS reused
       FROM identities`,
    )
    .all();
  database.close();
  return new Map(
    rows.map(({ name, retired, runs, reused }) => [
      name as string,
      { retired: retired as bigint, runs: runs as bigint, reused: reused as bigint },
    ]),
  );
}
