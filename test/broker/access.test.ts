// A real Mosquitto with the files that `saytap broker config` wrote, and clients that try to be
// somebody else. That broker grants every SUBSCRIBE, so nothing is concluded from a grant: what
// counts is what arrives, judged after a last message has arrived everywhere.
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import { describe, expect, onTestFinished, test } from 'vitest';
import { certifyDevice, writeBrokerFiles } from '../../broker/access.ts';
import { openCertificateAuthority } from '../../broker/ca.ts';
import { readBridgeConfig } from '../../broker/main.ts';
import { EXITS, OperatorError } from '../../src/errors.ts';
import { BROKER_CERTIFICATE_DAYS, BROKER_RENEW_DAYS } from '../../src/limits.ts';
import { clock, files, random } from '../../src/node/platform.ts';
import { generatePem, nodeSigner, readPrivatePem } from '../../src/signer.ts';
import { startMosquitto } from '../mosquitto.ts';
import { requirePart } from '../parts.ts';
import { createSite, freePort, pay } from '../site.ts';

const mosquitto = requirePart('mosquitto');
const WAIT = { timeout: 20_000 };
const REPOSITORY = resolve(import.meta.dirname, '../..');
const QUIET = () => {};
const read = (path: string) => readFileSync(path, 'utf8');
const placeOf = (file: string) => ({
  config: readBridgeConfig(file).config,
  file,
  at: (path: string) => resolve(file, '..', path),
});

/** A site with its broker's files written by the command, and a device's by the other one. */
async function writeSite() {
  const site = await createSite();
  onTestFinished(site.close);
  const port = await freePort();
  const at = (...names: string[]) => join(site.folder, ...names);
  const url = `mqtts://localhost:${port}`;
  const config = site.configureBridge({ url });
  const saytap = (...args: string[]) =>
    execFileSync(process.execPath, [join(REPOSITORY, 'src/cli.ts'), 'broker', ...args], {
      encoding: 'utf8',
    });
  const told = saytap('config', '--config', config, '--out', at('out'), '--at', at('etc'));
  saytap('certificate', '--config', config, '--device', 'glasses-1', '--out', at('tls'));
  return { site, port, at, url, config, told };
}

/** Does what the command tells the operator of the broker to do; the copy is Mosquitto's own. */
function installAt(folder: string, from: string): void {
  const isRoot = process.getuid?.() === 0;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (const name of readdirSync(from)) {
    copyFileSync(join(from, name), join(folder, name));
    chmodSync(join(folder, name), 0o600);
  }
  // Its folders lie under one that only its maker may enter.
  if (!isRoot) return;
  chmodSync(join(folder, '..'), 0o711);
  execFileSync('chown', ['-R', 'mosquitto:', folder]);
}

type Identity = Readonly<{ ca: string; cert: string; key: string }>;

/** What a client hears, as "topic payload"; `last` is the message after which it is judged. */
async function enter(url: string, identity: Partial<Identity>, options: IClientOptions = {}) {
  const client = mqtt.connect(url, {
    ...identity,
    protocolVersion: 5,
    reconnectPeriod: 0,
    connectTimeout: 10_000,
    ...options,
  });
  const heard: string[] = [];
  let isOpen = false;
  client.on('message', (topic, payload) => void heard.push(`${topic} ${payload.toString()}`));
  client.on('close', () => (isOpen = false));
  onTestFinished(() => void client.end(true));
  await new Promise<void>((done, fail) => {
    client.once('connect', () => done());
    client.stream.on('error', fail);
    client.once('error', fail);
    client.once('close', () => fail(new Error('closed')));
  });
  isOpen = true;
  return { client, heard, isOpen: () => isOpen };
}
type Joined = Awaited<ReturnType<typeof enter>>;

/** Publishes; a broker that says no (135, 151 …) is as good as one that says nothing. */
function publish(client: MqttClient, topic: string, payload: string, retain = false) {
  return client.publishAsync(topic, payload, { qos: 1, retain }).catch(() => undefined);
}

async function subscribe({ client }: Joined, topics: readonly string[]) {
  return client.subscribeAsync([...topics], { qos: 1 });
}

const PREFIX = 'saytap/1';
const [A, B] = ['device-a', 'device-b'];

/** The broker runs with its files; identities of two devices, of the bridge and of a stranger. */
async function startSite(program: string) {
  const written = await writeSite();
  const { at, port, config, url } = written;
  installAt(at('etc'), at('out'));
  const broker = await startMosquitto(program, at('etc', 'mosquitto.conf'), port);
  onTestFinished(broker.kill);
  const ca = read(at('out', 'ca.pem'));
  const device = (name: string): Identity => {
    const wanted = { device: name, folder: at(name), key: undefined, days: undefined };
    certifyDevice({ files, random, clock }, placeOf(config), wanted, QUIET);
    const own = (file: string) => read(at(name, file));
    return { ca, cert: own('tls.certificate.pem'), key: own('tls.key.pem') };
  };
  const bridge: Identity = {
    ca,
    cert: read(at('bridge', 'mqtt.certificate.pem')),
    key: read(at('bridge', 'mqtt.key.pem')),
  };
  return { ...written, broker, device, bridge, enter: enter.bind(undefined, url) };
}

test('a device has its own topics, and by no trick another one’s', async (context) => {
  if (mosquitto.missing !== undefined) return context.skip(mosquitto.missing);
  const site = await startSite(mosquitto.path);
  const a = site.device(A);
  const b = site.device(B);
  const watch = await site.enter(site.bridge);
  await subscribe(watch, [`${PREFIX}/+/up/#`, `${PREFIX}/+/state`, '#']);
  const victim = await site.enter(b);
  await subscribe(victim, [`${PREFIX}/${B}/down/+`, `${PREFIX}/demo/tick`]);
  await publish(victim.client, `${PREFIX}/${B}/state`, 'b is here', true);

  // It says that it is somebody else, in every field that it writes itself.
  const thief = await site.enter(a, { clientId: B, username: B, password: 'x' });
  const wanted = [
    `${PREFIX}/${A}/down/+`,
    `${PREFIX}/demo/tick`,
    '#',
    '+/+/+/+/+',
    '+/+/+/state',
    '$SYS/#',
    `${PREFIX}/+/down/+`,
    `${PREFIX}/${B}/#`,
    `${PREFIX}/${B}/down/receipt`,
    `${PREFIX}/${B}/up/+`,
    `${PREFIX}/${B}/state`,
    `$share/group/${PREFIX}/${B}/down/#`,
    '$share/group/#',
  ];
  const granted = await subscribe(thief, wanted);
  expect(granted.map(({ qos }) => qos)).toEqual(wanted.map(() => 1));

  await publish(watch.client, `${PREFIX}/${A}/down/receipt`, 'for a');
  await publish(watch.client, `${PREFIX}/${B}/down/receipt`, 'for b');
  await publish(watch.client, `${PREFIX}/demo/tick`, 'tick');
  await publish(victim.client, `${PREFIX}/${B}/up/request`, 'of b');
  await publish(thief.client, `${PREFIX}/${A}/up/request`, 'of a');
  await publish(thief.client, `${PREFIX}/${A}/state`, 'a is here', true);
  const forged = [
    `${PREFIX}/${B}/up/request`,
    `${PREFIX}/${B}/state`,
    `${PREFIX}/${B}/down/receipt`,
    `${PREFIX}/${A}/down/receipt`,
    `${PREFIX}/demo/tick`,
    `${PREFIX}/saytap-bridge/up/request`,
    `${PREFIX}/${A}/other`,
    'elsewhere',
  ];
  for (const topic of forged) {
    for (const retain of [false, true]) await publish(thief.client, topic, 'forged', retain);
  }

  const finish = async () => {
    const name = `last ${victim.heard.length} ${thief.heard.length}`;
    await publish(thief.client, `${PREFIX}/${A}/up/query`, name);
    await publish(victim.client, `${PREFIX}/${B}/up/query`, name);
    await publish(watch.client, `${PREFIX}/${A}/down/query`, name);
    await publish(watch.client, `${PREFIX}/${B}/down/query`, name);
    const arrives = ({ heard }: Joined, topic: string) =>
      expect.poll(() => heard, WAIT).toContain(`${topic} ${name}`);
    await arrives(watch, `${PREFIX}/${A}/up/query`);
    await arrives(watch, `${PREFIX}/${B}/up/query`);
    await arrives(victim, `${PREFIX}/${B}/down/query`);
    await arrives(thief, `${PREFIX}/${A}/down/query`);
  };
  await finish();
  const plain = ({ heard }: Joined) =>
    [...new Set(heard.filter((line) => !line.includes('query')))].sort();
  expect(plain(thief)).toEqual([`${PREFIX}/demo/tick tick`, `${PREFIX}/${A}/down/receipt for a`]);
  expect(plain(victim)).toEqual([`${PREFIX}/demo/tick tick`, `${PREFIX}/${B}/down/receipt for b`]);
  const heardByBridge = [
    `${PREFIX}/demo/tick tick`,
    `${PREFIX}/${A}/state a is here`,
    `${PREFIX}/${A}/up/request of a`,
    `${PREFIX}/${B}/state b is here`,
    `${PREFIX}/${B}/up/request of b`,
  ];
  expect(plain(watch)).toEqual(heardByBridge);
  expect(victim.isOpen(), 'the client id of b is b’s').toBe(true);

  // What is retained: only what each said of itself, for the bridge alone.
  watch.client.end();
  const late = await site.enter(site.bridge);
  await subscribe(late, ['#', `${PREFIX}/+/state`]);
  await expect
    .poll(() => plain(late), WAIT)
    .toEqual([`${PREFIX}/${A}/state a is here`, `${PREFIX}/${B}/state b is here`]);

  // Its own name again throws itself off, by whatever client id: the name is the id.
  const second = await site.enter(a, {
    clientId: 'another',
    will: { topic: `${PREFIX}/${B}/state`, payload: 'forged', qos: 1, retain: true },
  });
  await expect.poll(thief.isOpen, WAIT).toBe(false);
  expect(victim.isOpen()).toBe(true);

  // A will is published when a connection breaks; only its own is.
  second.client.stream.destroy();
  const third = await site.enter(a, {
    will: { topic: `${PREFIX}/${A}/state`, payload: 'a is gone', qos: 1, retain: true },
  });
  third.client.stream.destroy();
  await expect.poll(() => late.heard, WAIT).toContain(`${PREFIX}/${A}/state a is gone`);
  expect(late.heard.filter((line) => line.includes('forged'))).toEqual([]);
  await publish(late.client, `${PREFIX}/${B}/down/receipt`, 'still for b');
  await expect.poll(() => victim.heard, WAIT).toContain(`${PREFIX}/${B}/down/receipt still for b`);
  expect(victim.isOpen()).toBe(true);
});

test('who has no certificate of this site’s authority for a client is refused', async (context) => {
  if (mosquitto.missing !== undefined) return context.skip(mosquitto.missing);
  const site = await startSite(mosquitto.path);
  const { ca, key, cert } = site.device(A);
  const elsewhere = mkdtempSync(join(tmpdir(), 'saytap-foreign-'));
  const foreign = openCertificateAuthority(files, random, clock, elsewhere);
  rmSync(elsewhere, { recursive: true });
  const own = nodeSigner(readPrivatePem(key)).key;
  const refused = (identity: Partial<Identity>) =>
    site.enter(identity).then(
      () => 'let in',
      (error: Error) => /SSL alert number \d+/.exec(error.message)?.[0] ?? error.message,
    );
  expect(await refused({ ca })).toBe('SSL alert number 116');
  expect(await refused({ ca, key, cert: foreign.issueClient(A, own, 30) })).toBe(
    'SSL alert number 48',
  );
  const server = openCertificateAuthority(files, random, clock, site.at('bridge'));
  expect(await refused({ ca, key, cert: server.issueServer(['a'], own, 30) })).toMatch(/alert/);
  expect(await refused({ ca: foreign.certificate, key, cert })).toMatch(/certificate/);
  expect(await refused({ ca, key, cert }), 'its own').toBe('let in');
});

test('a payment goes from glasses to a bridge and back, both by certificate', async (context) => {
  if (mosquitto.missing !== undefined) return context.skip(mosquitto.missing);
  const { site, url } = await startSite(mosquitto.path);
  const own = (name: string) => join('bridge', name);
  const glasses = await site.open(
    { url, ca: own('ca.pem'), certificate: own('mqtt.certificate.pem'), key: own('mqtt.key.pem') },
    undefined,
    { ca: 'tls/tls.ca.pem', certificate: 'tls/tls.certificate.pem', key: 'tls/tls.key.pem' },
  );
  await glasses.ready();
  expect((await (await pay(site, glasses, '12.50')).told).kind).toBe('paid');
  expect(await site.paid()).toBe(12_50n);
});

test('a revoked device is locked out when the broker has read the rules again', async (context) => {
  if (mosquitto.missing !== undefined) return context.skip(mosquitto.missing);
  const site = await startSite(mosquitto.path);
  const watch = await site.enter(site.bridge);
  await subscribe(watch, [`${PREFIX}/+/up/#`]);
  const lost = await site.enter(site.device(A));
  const other = await site.enter(site.device(B));
  await subscribe(lost, [`${PREFIX}/${A}/down/+`]);
  await publish(lost.client, `${PREFIX}/${A}/up/query`, 'before');
  await expect.poll(() => watch.heard, WAIT).toEqual([`${PREFIX}/${A}/up/query before`]);

  const wanted = { folder: site.at('out'), hosts: [], port: undefined, at: site.at('etc') };
  writeBrokerFiles({ files, random, clock }, placeOf(site.config), { ...wanted, lost: [A] }, QUIET);
  installAt(site.at('etc'), site.at('out'));
  site.broker.reload();
  let round = 0;
  await expect
    .poll(async () => {
      const name = `round ${++round}`;
      await publish(lost.client, `${PREFIX}/${A}/up/query`, name);
      await publish(other.client, `${PREFIX}/${B}/up/query`, name);
      await expect.poll(() => watch.heard, WAIT).toContain(`${PREFIX}/${B}/up/query ${name}`);
      return watch.heard.includes(`${PREFIX}/${A}/up/query ${name}`);
    }, WAIT)
    .toBe(false);
  const before = lost.heard.length;
  await publish(watch.client, `${PREFIX}/${A}/down/receipt`, 'for a');
  await publish(other.client, `${PREFIX}/${B}/up/query`, 'last');
  await expect.poll(() => watch.heard, WAIT).toContain(`${PREFIX}/${B}/up/query last`);
  expect(lost.heard).toHaveLength(before);
});

describe('the files', () => {
  const again = (config: string, out: string, extra: object = {}, nowMs = Date.now()) => {
    const lines: string[] = [];
    const wanted = { folder: out, hosts: [], port: undefined, at: undefined, lost: [], ...extra };
    const at = { nowMs: () => nowMs, monotonicMs: () => 0 };
    const write = (line: string) => void lines.push(line);
    writeBrokerFiles({ files, random, clock: at }, placeOf(config), wanted, write);
    return lines.filter((line) => /: (as it was|written|changed)$/.test(line));
  };

  test('tell what to do next; a second run changes nothing, a third what has to be', async () => {
    const { at, config, told, port } = await writeSite();
    expect(told).toContain(`${at('out', 'mosquitto.conf')}: written`);
    expect(told).toContain(`sudo install -o mosquitto -g mosquitto -m 0600 ${at('out', '*')} `);
    expect(told).toContain(`    url: mqtts://localhost:${port}\n    ca: bridge/ca.pem\n`);
    expect(readdirSync(at('out'))).toEqual([
      'acl',
      'broker.certificate.pem',
      'broker.key.pem',
      'ca.pem',
      'mosquitto.conf',
    ]);
    expect(statSync(at('out', 'broker.key.pem')).mode & 0o777).toBe(0o600);
    expect(read(at('out', 'mosquitto.conf'))).toContain(`listener ${port}\n`);

    const same = again(config, at('out'), { at: at('etc') });
    expect(same).toHaveLength(5);
    for (const line of same) expect(line).toMatch(/: as it was$/);
    const changed = (lines: readonly string[]) => lines.filter((line) => !line.endsWith('was'));
    const bridges = `${at('bridge', 'mqtt.certificate.pem')}: changed`;
    const brokers = `${at('out', 'broker.certificate.pem')}: changed`;
    const acl = `${at('out', 'acl')}: changed`;
    const withHost = { at: at('etc'), hosts: ['10.0.0.5', 'broker.local'] };
    expect(changed(again(config, at('out'), withHost))).toEqual([brokers]);
    const certificate = new X509Certificate(read(at('out', 'broker.certificate.pem')));
    expect(certificate.checkIP('10.0.0.5')).toBe('10.0.0.5');
    expect(certificate.checkHost('localhost')).toBe('localhost');
    expect(changed(again(config, at('out'), { ...withHost, lost: ['x'] }))).toEqual([acl]);
    const lateMs = Date.now() + (BROKER_CERTIFICATE_DAYS - BROKER_RENEW_DAYS + 1) * 86_400_000;
    expect(changed(again(config, at('out'), { ...withHost, lost: ['x'] }, lateMs))).toEqual([
      brokers,
      bridges,
    ]);
    writeFileSync(at('bridge', 'mqtt.certificate.pem'), 'damaged');
    expect(changed(again(config, at('out'), { ...withHost, lost: ['x'] }))).toEqual([bridges]);
  });

  test('of somebody else are not overwritten, and a nameless broker is asked for', async () => {
    const { at, site } = await writeSite();
    const refused = (run: () => unknown) => {
      try {
        run();
      } catch (error) {
        expect(error).toBeInstanceOf(OperatorError);
        const { exit, message } = error as OperatorError;
        return [exit, message] as const;
      }
      return undefined;
    };
    mkdirSync(at('own'));
    writeFileSync(at('own', 'mosquitto.conf'), 'listener 1883\n');
    const listening = site.configureBridge({ listen: { host: '127.0.0.1', port: 0 } });
    const byHand = { hosts: ['broker.local'] };
    expect(refused(() => again(listening, at('own'), byHand))).toEqual([
      EXITS.storage,
      `${at('own', 'mosquitto.conf')} is not from this command: name another folder`,
    ]);
    expect(readdirSync(at('own'))).toEqual(['mosquitto.conf']);
    expect(refused(() => again(listening, at('new')))?.[1]).toMatch(/name it with --host/);
    again(listening, at('new'), byHand);
    expect(read(at('new', 'mosquitto.conf'))).toMatch(/^listener 8883$/m);
    expect(read(at('new', 'mosquitto.conf'))).toContain('keyfile /etc/mosquitto/saytap/broker.key');
  });

  test('of a device: for its own key, or one made here, never a reserved name', async () => {
    const { at, config, url } = await writeSite();
    const lines: string[] = [];
    const issue = (device: string, key?: string) =>
      certifyDevice(
        { files, random, clock },
        placeOf(config),
        { device, folder: at('made'), key, days: 10 },
        (line) => void lines.push(line),
      );
    const pem = generatePem('ES256');
    const { handle } = nodeSigner(readPrivatePem(pem)).key;
    writeFileSync(at('k.pub'), handle.export({ format: 'pem', type: 'spki' }));
    issue('kiosk-7', at('k.pub'));
    const leaf = new X509Certificate(read(at('made', 'tls.certificate.pem')));
    expect(leaf.subject).toBe('CN=kiosk-7');
    expect(leaf.checkPrivateKey(readPrivatePem(pem))).toBe(true);
    expect(readdirSync(at('made'))).toEqual(['tls.ca.pem', 'tls.certificate.pem']);
    expect(lines.join('\n')).toContain(`    url: ${url}\n    ca: tls.ca.pem`);
    issue('kiosk-7');
    expect(statSync(at('made', 'tls.key.pem')).mode & 0o777).toBe(0o600);
    expect(lines.at(-1)).toMatch(/is private: move it to the device/);
    expect(() => issue('saytap-bridge')).toThrow(/no name that a device may have/);
  });
});
