/**
 * How long a device that comes back takes to get rid of what it has stored: the device's own link
 * and outbox, on disk, against all real programs, over a network with a round trip of 40 ms. Beside
 * it, what a device would do that trusted the MQTT client's own offline queue.
 */
import { join } from 'node:path';
import mqtt from 'mqtt';
import { createDeviceLink } from '../device/link.ts';
import { type Found, createOutbox, fillOutbox } from '../device/outbox.ts';
import { createTime } from '../device/time.ts';
import { createTrust } from '../device/trust.ts';
import { toHex } from '../src/bytes.ts';
import { identify, payloadOf } from '../src/cose.ts';
import { startBroker } from '../src/node/broker.ts';
import { BRIDGE_CLIENT } from '../src/topics.ts';
import { connectLink } from '../src/node/link.ts';
import { clock, random, timers } from '../src/node/platform.ts';
import { openDatabase } from '../src/node/sqlite.ts';
import { open, seal } from '../src/objects/kind.ts';
import { query as queryKind } from '../src/objects/query.ts';
import { receipt as receiptKind } from '../src/objects/receipt.ts';
import { request as requestKind } from '../src/objects/request.ts';
import { tick as tickKind } from '../src/objects/tick.ts';
import { UP_FILTER, downFilter, downTopic, stateTopic, upTopic } from '../src/topics.ts';
import { type Payer, type Plant, REALM, makePlant, sign } from './plant.ts';
import { type Proxy, startProxy } from './proxy.ts';
import { goalRow, row } from './table.ts';

const STORED = 1_000;
const ROUND_TRIP_MS = 40;
const GOAL_MS = 5_000;
/** The naive queue takes one round trip each: fewer tell its rate as well. */
const QUEUED = 100;
const PATIENCE_MS = 120_000;

export async function measureDrain(write: (line: string) => void): Promise<void> {
  const plant = await makePlant(1, true);
  const broker = await startBroker({ host: '127.0.0.1', port: 0, bridgePassword: PASSWORD });
  const proxies: Proxy[] = [];
  const far = async (mqttUrl: string) => {
    const proxy = await startProxy(Number(new URL(mqttUrl).port), ROUND_TRIP_MS / 2);
    proxies.push(proxy);
    return `mqtt://127.0.0.1:${proxy.port}`;
  };
  try {
    const payer = plant.payers[0]!;
    const nonce = await firstNonce(plant, payer);
    const closeInstant = await startInstantBridge(plant, broker.url);
    const instant = await drain(
      plant,
      payer,
      await fill(plant, payer, nonce),
      await far(broker.url),
    );
    await closeInstant();
    const url = await far(plant.mqttUrl);
    const whole = await drain(plant, payer, await fill(plant, payer, nonce), url);
    const naive = await drainQueue(payer, url);

    write(`\n${row(`Stored payments, round trip ${ROUND_TRIP_MS} ms`, 48, 'payments/s', 'ratio')}`);
    const theirs = QUEUED / naive;
    const line = (title: string, perMs: number) =>
      write(row(title, 48, (perMs * 1000).toFixed(0), (perMs / theirs).toFixed(1)));
    line('the queue of the MQTT client, up to PUBACK', theirs);
    line('the outbox, up to the signed receipt on disk', STORED / whole);
    line('the same, from a bridge that answers at once', STORED / instant);
    write(goalRow(`ms for ${STORED}`, GOAL_MS, whole, 'what the bridge and its services do'));
    write(goalRow('the same, from a bridge that answers at once', GOAL_MS, instant, 'the window'));
  } finally {
    for (const proxy of proxies) await proxy.close();
    await broker.close();
    await plant.stop();
  }
}

const PASSWORD = 'bench';

/** Answers a boot and each request with a signature and nothing else; returns how to end it. */
async function startInstantBridge(plant: Plant, url: string): Promise<() => Promise<void>> {
  const { signer, name } = plant.payers[0]!;
  const iat = () => Math.floor(clock.nowMs() / 1000);
  const ready = Promise.withResolvers<void>();
  async function answer(topic: string, envelope: Uint8Array): Promise<void> {
    if (topic === upTopic(name, 'query')) {
      const { value } = open(queryKind, envelope, REALM, () => signer.key);
      if (value.question !== 'boot') return;
      const audience = { audience: signer.key.name, echo: value.echo!, counter: 0 };
      const tick = { iat: iat(), nonce: random(8), ...audience };
      const told = await seal(tickKind, tick, REALM, plant.bridgeKey);
      link.publish(downTopic(name, 'tick'), told, 1);
    } else if (topic === upTopic(name, 'request')) {
      const { id, value } = open(requestKind, envelope, REALM, () => signer.key);
      const captured = { outcome: 'captured', amount: value.amount!, reference: 'bench' } as const;
      const receipt = { iat: iat(), subject: id, ...captured };
      const told = await seal(receiptKind, receipt, REALM, plant.bridgeKey);
      link.publish(downTopic(name, 'receipt'), told, 1);
    }
  }
  const link = connectLink(
    {
      ...{ url, clientId: BRIDGE_CLIENT, password: PASSWORD },
      subscriptions: [{ topic: UP_FILTER, qos: 1 }],
    },
    {
      message: (topic, envelope) => void answer(topic, envelope),
      state: (state) => state === 'up' && ready.resolve(),
    },
  );
  await ready.promise;
  return link.close;
}

/** Offers the mandate and asks for a nonce, as a device does that was never here before. */
async function firstNonce(plant: Plant, payer: Payer): Promise<Uint8Array> {
  const granted = Promise.withResolvers<void>();
  const told = Promise.withResolvers<Uint8Array>();
  const link = connectLink(
    { url: plant.mqttUrl, clientId: payer.name, subscriptions: subscriptionsOf(payer) },
    {
      message(topic, payload) {
        if (topic === downTopic(payer.name, 'receipt')) granted.resolve();
        if (topic !== downTopic(payer.name, 'tick')) return;
        told.resolve(tickKind.decode(payloadOf(payload)).nonce);
      },
      async state(state) {
        if (state !== 'up') return;
        link.publish(upTopic(payer.name, 'mandate'), payer.mandateEnvelope, 1);
        const boot = { question: 'boot', echo: random(16) } as const;
        const envelope = await seal(queryKind, boot, REALM, payer.signer);
        link.publish(upTopic(payer.name, 'query'), envelope, 1);
      },
    },
  );
  await granted.promise;
  const nonce = await told.promise;
  await link.close();
  return nonce;
}

/** An outbox with STORED payments that nobody has seen; its path. */
async function fill(plant: Plant, payer: Payer, nonce: Uint8Array): Promise<string> {
  const found: Found[] = [];
  for (let counter = 1; counter <= STORED; counter++) {
    const envelope = await sign(payer, counter, nonce);
    const { id } = identify(envelope, REALM, 'request');
    const open = { cancel: undefined, ended: undefined, spends: undefined };
    found.push({ id, kind: 'request', envelope, storedMs: clock.nowMs(), ...open });
  }
  const path = join(plant.folder, `outbox-${toHex(random(4))}.db`);
  const database = openDatabase(path);
  fillOutbox(database, found, new Map([[payer.signer.key.name, STORED]]));
  database.close();
  return path;
}

/** From the first packet until every receipt is kept, ms. */
async function drain(plant: Plant, payer: Payer, path: string, url: string): Promise<number> {
  const outbox = createOutbox(openDatabase(path));
  const time = createTime(clock);
  const { root, statements, policy } = plant;
  const trust = createTrust(REALM, root.key, statements, [policy], time.trustedMs);
  const start = performance.now();
  const done = Promise.withResolvers<number>();
  const cancel = timers.after(PATIENCE_MS, () => done.reject(new Error('it does not drain')));
  let left = STORED;
  const state = { topic: stateTopic(payer.name), payload: new Uint8Array() };
  const told = () => state;
  const presence = { will: told, birth: told, goodbye: told, isNews: () => false };
  const link = createDeviceLink(
    {
      presence,
      ...{ device: payer.name, realm: REALM, url, connect: connectLink, signer: payer.signer },
      ...{ outbox, trust, time, clock, timers, random, log: () => {} },
    },
    {
      receipt(_id, { outcome, reason }) {
        if (outcome === 'pending') return;
        if (outcome !== 'captured') done.reject(new Error(`a payment was ${outcome}: ${reason}`));
        if (--left === 0) done.resolve(performance.now() - start);
      },
      state() {},
      cloned: () => done.reject(new Error('taken for a copy')),
      unsigned: (reason) => done.reject(new Error(reason)),
    },
  );
  const ms = await done.promise;
  cancel();
  await link.close();
  outbox.end();
  return ms;
}

/** What was published before the connection was there, up to the last PUBACK, ms. */
async function drainQueue(payer: Payer, url: string): Promise<number> {
  const client = mqtt.connect(url, { clientId: payer.name, manualConnect: true });
  const envelope = payer.mandateEnvelope;
  const topic = upTopic(payer.name, 'mandate');
  const kept = Array.from({ length: QUEUED }, () =>
    client.publishAsync(topic, Buffer.from(envelope), { qos: 1 }),
  );
  const start = performance.now();
  client.connect();
  await Promise.all(kept);
  const ms = performance.now() - start;
  await client.endAsync();
  return ms;
}

const subscriptionsOf = ({ name }: Payer) => [{ topic: downFilter(name), qos: 1 }] as const;
