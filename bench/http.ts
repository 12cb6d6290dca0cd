/**
 * Beside what one would build without this project: fastify, HTTPS, JWS (jose) and zod, over the
 * same work. Both sides use TLS 1.3 and ES256 and answer with a signed receipt; both are measured
 * whole, our broker included. A device of ours keeps its connection, as MQTT does; theirs keeps one
 * too, or, as a phone that pays twice a day does, makes a new one for each payment.
 */
import { Agent, request as requestHttps } from 'node:https';
import { setDefaultCACertificates } from 'node:tls';
import { CompactSign, importPKCS8 } from 'jose';
import { toBase64url, toHex, utf8 } from '../src/bytes.ts';
import { payloadOf } from '../src/cose.ts';
import { clock } from '../src/node/platform.ts';
import { request as requestKind } from '../src/objects/request.ts';
import { type Certificate, makeCertificate } from './certificate.ts';
import { startMeasured } from './child.ts';
import { type Ask, type Devices, connectDevices, saturate } from './devices.ts';
import { type Cost, type Side, asksOf, costsOf } from './floor.ts';
import { type Mosquitto, startMosquitto } from './mosquitto.ts';
import { type Plant, keysOf, makePlant } from './plant.ts';
import { startProxy } from './proxy.ts';
import { goalRow, row } from './table.ts';

/** Each device has one payment under way, for a person pays one thing at a time. */
const CLIENTS = 100;
const PAYMENTS = 6_000;
/** A new connection costs the generator more than the server: fewer say enough. */
const PAYMENTS_NEW = 3_600;
const PAYMENTS_COUNTED = 300;

export async function measureHttp(write: (line: string) => void): Promise<void> {
  const certificate = makeCertificate(clock.nowMs());
  setDefaultCACertificates([certificate.root]);
  const plant = await makePlant(CLIENTS, false);
  const contestants: Contestant[] = [];
  try {
    for (const isDurable of [false, true]) {
      // One each, for both bridges have the same name.
      const broker = await startMosquitto(plant.folder, certificate);
      if (broker) contestants.push(await ours(plant, certificate, isDurable, broker));
      contestants.push(await ours(plant, certificate, isDurable));
      contestants.push(await theirs(plant, certificate, isDurable, true));
      contestants.push(await theirs(plant, certificate, isDurable, false));
    }
    const count = contestants.length / 2;
    const edge = await costsOf(contestants.slice(0, count));
    const whole = await costsOf(contestants.slice(count));
    const bytes: number[] = [];
    for (const { bytesEach } of contestants.slice(0, count)) bytes.push(await bytesEach());

    const heads = ['edge alone', '2 commits', 'bytes'];
    write(`\n${row(`Server CPU µs per payment, ${CLIENTS} clients`, 56, ...heads)}`);
    for (let i = 0; i < count; i++) {
      const figures = [edge[i]!.cpuUs, whole[i]!.cpuUs, bytes[i]!];
      write(row(contestants[i]!.title, 56, ...figures.map((figure) => figure.toFixed(0))));
    }

    const [kept, fresh] = [count - 2, count - 1];
    const cpu = (costs: readonly Cost[], other: number) => costs[0]!.cpuUs / costs[other]!.cpuUs;
    const title = `Ours (${count === 4 ? 'Mosquitto' : 'embedded broker'}) ÷ theirs`;
    write(`\n${row(title, 48, 'goal', 'figure')}`);
    write(goalRow('CPU, connection kept', 1, cpu(edge, kept), 'the two signatures'));
    write(goalRow('CPU, new connection', 0.35, cpu(edge, fresh), 'the two signatures'));
    write(goalRow('CPU, kept, with 2 commits', 1, cpu(whole, kept), 'signatures, SQL'));
    write(goalRow('CPU, new, with 2 commits', 0.35, cpu(whole, fresh), 'signatures, SQL'));
    write(goalRow('bytes, connection kept', 0.5, bytes[0]! / bytes[kept]!, 'the two signatures'));
    write(goalRow('bytes, new connection', 0.15, bytes[0]! / bytes[fresh]!, 'their handshake'));
  } finally {
    for (const { close } of contestants) await close();
    await plant.stop();
  }
}

type Contestant = Side &
  Readonly<{
    title: string;
    /** Bytes on the wire per payment, both ways, counted apart from the CPU. */
    bytesEach: () => Promise<number>;
    close: () => Promise<void>;
  }>;

/** Our side with its broker: Mosquitto when there is one, else the embedded one. */
async function ours(
  plant: Plant,
  certificate: Certificate,
  isDurable: boolean,
  broker?: Mosquitto,
): Promise<Contestant> {
  const which = broker ? 'Mosquitto' : 'embedded broker';
  const program = await startMeasured<{ url: string }>('edge', {
    broker: broker ? { url: broker.inside, password: '' } : certificate,
    store: isDurable ? `${plant.folder}/${which}.db` : undefined,
    ...keysOf(plant),
  });
  const url = broker?.url ?? program.said.url;
  const asks = await asksOf(plant, PAYMENTS + PAYMENTS_COUNTED);
  const devices = await connectDevices(url, plant);
  return {
    title: `ours: MQTT over TLS + COSE, with ${which}`,
    program: { cpuUs: async () => (await program.cpuUs()) + ((await broker?.cpuUs()) ?? 0) },
    devices,
    asks: asks.slice(0, PAYMENTS),
    inFlight: CLIENTS,
    async bytesEach() {
      await devices.close(); // A broker knows a client's name once.
      const proxy = await startProxy(Number(new URL(url).port));
      const counted = await connectDevices(`mqtts://localhost:${proxy.port}`, plant);
      const before = proxy.bytes();
      await counted.saturate(asks.slice(PAYMENTS), CLIENTS);
      const bytes = (proxy.bytes() - before) / PAYMENTS_COUNTED;
      await counted.close();
      await proxy.close();
      return bytes;
    },
    async close() {
      await devices.close();
      await program.stop();
      await broker?.close();
    },
  };
}

async function theirs(
  plant: Plant,
  certificate: Certificate,
  isDurable: boolean,
  isKept: boolean,
): Promise<Contestant> {
  const which = isKept ? 'connection kept' : 'a new connection each time';
  const { bridgeKey, devices } = keysOf(plant);
  const program = await startMeasured<{ port: number }>('rest', {
    certificate,
    store: isDurable ? `${plant.folder}/${which}.db` : undefined,
    serverKey: bridgeKey,
    devices,
  });
  const count = isKept ? PAYMENTS : PAYMENTS_NEW;
  const asks = await asJws(plant, await asksOf(plant, count + PAYMENTS_COUNTED + CLIENTS));
  const client = callers(program.said.port, isKept);
  return {
    title: `fastify: HTTPS + JWS + zod, ${which}`,
    program,
    devices: client,
    asks: asks.slice(0, count),
    inFlight: CLIENTS,
    async bytesEach() {
      const proxy = await startProxy(program.said.port);
      const counted = callers(proxy.port, isKept);
      // The first payment of a kept connection makes it: counted from the second on.
      if (isKept) await counted.saturate(asks.slice(count + PAYMENTS_COUNTED), CLIENTS);
      const before = proxy.bytes();
      await counted.saturate(asks.slice(count, count + PAYMENTS_COUNTED), CLIENTS);
      const bytes = (proxy.bytes() - before) / PAYMENTS_COUNTED;
      counted.close();
      await proxy.close();
      return bytes;
    },
    async close() {
      client.close();
      await program.stop();
    },
  };
}

/** The same requests as JSON in a compact JWS, with the id that the others have of their bytes. */
async function asJws(plant: Plant, asks: readonly Ask[]): Promise<Ask[]> {
  const keys = new Map(
    await Promise.all(
      plant.payers.map(async ({ name, pem }) => [name, await importPKCS8(pem, 'ES256')] as const),
    ),
  );
  return Promise.all(
    asks.map(async ({ device, id, envelope }) => {
      const { nonce, amount, ...rest } = requestKind.decode(payloadOf(envelope));
      const json = JSON.stringify({
        id,
        ...rest,
        amount: { currency: amount!.currency, minor: Number(amount!.minor) },
        nonce: toHex(nonce),
      });
      const jws = await new CompactSign(utf8(json))
        .setProtectedHeader({ alg: 'ES256', kid: toBase64url(utf8(device)).slice(0, 11) })
        .sign(keys.get(device)!);
      return { device, id, envelope: utf8(jws) };
    }),
  );
}

/** Clients of the REST service, each on a connection of its own: kept, or new for each payment. */
function callers(port: number, isKept: boolean): Pick<Devices, 'saturate'> & { close: () => void } {
  const agent = new Agent({
    keepAlive: isKept,
    maxSockets: CLIENTS,
    minVersion: 'TLSv1.3',
    maxCachedSessions: 0,
  });
  const call = ({ device, envelope }: Ask): Promise<void> =>
    new Promise((resolve, reject) => {
      const path = `/v1/devices/${device}/payments`;
      const headers = { 'content-type': 'application/jose', 'content-length': envelope.length };
      const options = { host: 'localhost', port, path, method: 'POST', agent, headers };
      const request = requestHttps(options, (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('end', () => {
          if (response.statusCode === 200) return resolve();
          reject(new Error(`${response.statusCode}: ${Buffer.concat(parts).toString()}`));
        });
      });
      request.on('error', reject);
      request.end(envelope);
    });
  return {
    saturate: (asks, inFlight) => saturate(asks, inFlight, call),
    close: () => agent.destroy(),
  };
}
