// A TLS broker in this process, certified by the site's own authority: everything that can be wrong
// with a certificate is told in one line, and mended later it works without a restart.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, Socket, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createSecureServer } from 'node:tls';
import { Aedes } from 'aedes';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { openCertificateAuthority } from '../../../broker/ca.ts';
import { EXITS, OperatorError } from '../../../src/errors.ts';
import { connectLink } from '../../../src/node/link.ts';
import { files, random } from '../../../src/node/platform.ts';
import { CLOSED_AT_ONCE, parseBrokerUrl } from '../../../src/node/stream.ts';
import type { Tls } from '../../../src/platform.ts';
import { generatePem, nodeSigner, readPrivatePem } from '../../../src/signer.ts';
import { AS_WHO, startMosquitto } from '../../mosquitto.ts';
import { requirePart } from '../../parts.ts';
import { startProxy } from '../../proxy.ts';
import { freePort } from '../../site.ts';

const mosquitto = requirePart('mosquitto');

// A dead connection is found after one and a half of these; nobody wants to wait 45 s for it.
vi.mock('../../../src/limits.ts', async (original) => ({
  ...(await original<object>()),
  MQTT_KEEPALIVE_S: 1,
}));

const stops: (() => unknown)[] = [];
afterEach(async () => {
  vi.restoreAllMocks();
  for (const stop of stops.splice(0).reverse()) await stop();
});

const DAY_MS = 86_400_000;
const WAIT = { timeout: 20_000 };

/** An authority; `inDays` moves the clock by which it issues. */
function authority() {
  const folder = mkdtempSync(join(tmpdir(), 'saytap-stream-'));
  stops.push(() => rmSync(folder, { recursive: true }));
  const openAt = (inDays: number) => {
    const nowMs = () => Date.now() + inDays * DAY_MS;
    return openCertificateAuthority(files, random, { nowMs, monotonicMs: () => 0 }, folder);
  };
  const { certificate: ca } = openAt(-15 * 365);
  const pair = () => {
    const key = generatePem('ES256');
    return { key, own: nodeSigner(readPrivatePem(key)).key };
  };
  return {
    ca,
    device(inDays = 0): Tls {
      const { key, own } = pair();
      return { ca, key, certificate: openAt(inDays).issueClient('glasses-1', own, 30) };
    },
    server(host: string, inDays = 0) {
      const { key, own } = pair();
      return { ca, key, cert: openAt(inDays).issueServer([host], own, 30) };
    },
  };
}

type ServerTls = ReturnType<ReturnType<typeof authority>['server']>;

/** aedes behind TLS that asks for a certificate, or without TLS. */
async function startBroker(tls?: ServerTls) {
  const aedes = await Aedes.createBroker();
  const handle = (socket: Socket) => void aedes.handle(socket);
  const secure =
    tls && createSecureServer({ ...tls, requestCert: true, rejectUnauthorized: true }, handle);
  const server = secure ?? createServer(handle);
  secure?.on('tlsClientError', () => {});
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  stops.push(() => new Promise<void>((done) => aedes.close(() => server.close(() => done()))));
  return { port, change: (next: ServerTls) => secure!.setSecureContext(next) };
}

/** Native OpenSSL, which says what it has against a certificate; Node only closes. */
async function startSecureMosquitto(
  program: string,
  { ca, cert, key }: ServerTls,
): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'saytap-mosquitto-'));
  stops.push(() => rmSync(folder, { recursive: true }));
  const port = await freePort();
  const put = (name: string, text: string) => {
    writeFileSync(join(folder, name), text, { mode: 0o600 });
    return join(folder, name);
  };
  const lines = [
    ...AS_WHO,
    `listener ${port} 127.0.0.1`,
    `cafile ${put('ca', ca)}`,
    `certfile ${put('cert', cert)}`,
    `keyfile ${put('key', key)}`,
    'require_certificate true',
    'use_identity_as_username true',
    '',
  ];
  const broker = await startMosquitto(program, put('conf', lines.join('\n')), port);
  stops.push(broker.kill);
  return port;
}

function connect(url: string, tls: () => Tls) {
  const states: string[] = [];
  const heard: string[] = [];
  const link = connectLink(
    { url, clientId: 'glasses-1', tls, subscriptions: [{ topic: 'a/+', qos: 1 }] },
    {
      message: (topic) => void heard.push(topic),
      state: (state, why) => void states.push(state === 'up' ? state : why),
    },
  );
  stops.push(link.close);
  return { link, states, heard, last: () => states.at(-1) };
}

function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(OperatorError);
    expect((error as OperatorError).exit).toBe(EXITS.config);
    return (error as OperatorError).message;
  }
  return 'accepted';
}

describe('over mutual TLS', () => {
  test('messages pass, and neither end waits for more to send', async () => {
    const noDelay = vi.spyOn(Socket.prototype, 'setNoDelay');
    const site = authority();
    const { port } = await startBroker(site.server('localhost'));
    const material = site.device();
    const { link, heard, last } = connect(`mqtts://localhost:${port}`, () => material);
    await expect.poll(last, WAIT).toBe('up');
    link.publish('a/b', Uint8Array.of(1), 1);
    await expect.poll(() => heard, WAIT).toEqual(['a/b']);
    expect(noDelay.mock.calls).toContainEqual([true]);
  });

  test.each<[string, RegExp, (site: ReturnType<typeof authority>) => ServerTls]>([
    [
      'has ended',
      /has ended by this machine's clock: renew/,
      (site) => site.server('localhost', -60),
    ],
    [
      'begins later',
      /begins later by this machine's clock: set/,
      (site) => site.server('localhost', 800),
    ],
    [
      'is another site’s',
      /authority in mqtt.ca has not issued/,
      () => authority().server('localhost'),
    ],
    [
      'is for another name',
      /is not for localhost: .*saytap broker config --host localhost/,
      (site) => site.server('broker.example'),
    ],
  ])(
    'a broker whose certificate %s gets nothing, until it is mended',
    async (_case, why, wrong) => {
      const site = authority();
      const { port, change } = await startBroker({ ...wrong(site), ca: site.ca });
      const material = site.device();
      const { states, last } = connect(`mqtts://localhost:${port}`, () => material);
      await expect.poll(() => states.length, WAIT).toBeGreaterThanOrEqual(2);
      for (const state of states) expect(state).toMatch(why);
      change(site.server('localhost'));
      await expect.poll(last, WAIT).toBe('up');
    },
  );

  test.for<[string, RegExp, (site: ReturnType<typeof authority>) => Tls]>([
    ['none', /^the broker wants a certificate: set mqtt.certificate/, ({ ca }) => ({ ca })],
    ['one that has ended', /mqtt\.certificate\): it has ended/, (site) => site.device(-60)],
    [
      'one of another site',
      /mqtt\.certificate\): another authority issued it; enrol the device again/,
      ({ ca }) => ({ ...authority().device(), ca }),
    ],
  ])('a device with %s is told so by Mosquitto, and goes on', async ([, why, wrong], context) => {
    if (mosquitto.missing !== undefined) return context.skip(mosquitto.missing);
    const site = authority();
    const port = await startSecureMosquitto(mosquitto.path, site.server('localhost'));
    let material = wrong(site);
    const { states, last } = connect(`mqtts://localhost:${port}`, () => material);
    await expect.poll(() => states.length, WAIT).toBeGreaterThanOrEqual(2);
    for (const state of states) expect(state).toMatch(why);
    material = site.device();
    await expect.poll(last, WAIT).toBe('up');
  });

  test('where a broker only closes, the certificate is suspected', async () => {
    const site = authority();
    const { port } = await startBroker(site.server('localhost'));
    const material = { ...authority().device(), ca: site.ca };
    const { last } = connect(`mqtts://localhost:${port}`, () => material);
    await expect.poll(last, WAIT).toBe(CLOSED_AT_ONCE);
  });

  test('key and certificate that are no pair end the start, but not a link that runs', async () => {
    const site = authority();
    const { port } = await startBroker(site.server('127.0.0.1'));
    const url = `mqtts://127.0.0.1:${port}`;
    const good = site.device();
    const broken = { ...good, key: site.device().key };
    expect(refusal(() => connect(url, () => broken))).toMatch(
      /certificate with mqtt.key cannot be used: .*key values mismatch/,
    );
    expect(refusal(() => connect(url, () => ({ ca: 'x' })))).toMatch(/mqtt.ca cannot be used/);
    const lone = { key: good.key };
    expect(refusal(() => connect(url, () => lone))).toMatch(
      /mqtt.certificate and mqtt.key go together/,
    );
    let material: Tls = good;
    const { link, states, last } = connect(url, () => material);
    await expect.poll(last, WAIT).toBe('up');
    material = broken;
    link.renew();
    await expect.poll(last, WAIT).toMatch(/key values mismatch/);
    material = good;
    await expect.poll(last, WAIT).toBe('up');
    expect(states.filter((state) => state === 'up')).toHaveLength(2);
  });
});

describe('a connection that dies without a word', () => {
  test.each(['mqtt', 'mqtts'] as const)('%s: is found, given up and made anew', async (scheme) => {
    const site = authority();
    const broker = await startBroker(scheme === 'mqtts' ? site.server('localhost') : undefined);
    const proxy = await startProxy(broker.port);
    stops.push(proxy.close);
    const material = site.device();
    const device = connect(`${scheme}://localhost:${proxy.port}`, () => material);
    await expect.poll(device.last, WAIT).toBe('up');
    proxy.stall();
    // What is sent into it meanwhile must not make it look alive.
    const sending = setInterval(() => device.link.publish('b', Uint8Array.of(1), 1), 100);
    stops.push(() => clearInterval(sending));
    await expect.poll(() => device.states, WAIT).toEqual(['up', 'Keepalive timeout', 'up']);
    device.link.publish('a/b', Uint8Array.of(1), 1);
    await expect.poll(() => device.heard, WAIT).toEqual(['a/b']);
  });
});

test('a URL is a scheme, a host and a port', () => {
  expect(parseBrokerUrl('mqtt://host')).toEqual({ host: 'host', port: 1883, isSecure: false });
  expect(parseBrokerUrl('mqtts://host/')).toEqual({ host: 'host', port: 8883, isSecure: true });
  expect(parseBrokerUrl('mqtts://[::1]:9')).toEqual({ host: '::1', port: 9, isSecure: true });
  for (const bad of [
    'http://a',
    'mqtt://',
    'mqtt://a:99999',
    'mqtt://a b',
    'mqtt://a/b',
    'mqtt:a',
  ]) {
    expect(refusal(() => parseBrokerUrl(bad))).toBe(`${bad} is not like mqtt://host:1883`);
  }
  expect(refusal(() => parseBrokerUrl('mqtt://me:secret@host'))).not.toContain('secret');
});
