/**
 * Payments through the bridge at full durability: real signatures, windows and SQLite with a synced
 * commit before each receipt, risk and backend answering at once in this process.
 */
import { join } from 'node:path';
import { createBridge } from '../broker/bridge.ts';
import { createIdentities } from '../broker/identities.ts';
import { createSqliteStore } from '../broker/store/sqlite.ts';
import { createNonces } from '../broker/tick.ts';
import { takeMandate } from '../broker/mandates.ts';
import type { Backend } from '../broker/backends/port.ts';
import { clock, random, timers } from '../src/node/platform.ts';
import { openDatabase } from '../src/node/sqlite.ts';
import { open, seal } from '../src/objects/kind.ts';
import { policy as policyKind } from '../src/objects/policy.ts';
import { receipt as receiptKind } from '../src/objects/receipt.ts';
import { request as requestKind } from '../src/objects/request.ts';
import { row } from './table.ts';
import { type Payer, PAYEE, REALM, makePlant } from './plant.ts';

export async function measureBridge(write: (line: string) => void): Promise<void> {
  write(
    `\n${row('Bridge at full durability', 26, 'payments/s', 'CPU µs each', 'p50 ms', 'p99 ms')}`,
  );
  const results: number[] = [];
  for (const concurrency of [1, 50, 200]) {
    const { rate, cpuUs, p50, p99 } = await run(concurrency, concurrency === 1 ? 500 : 4_000);
    results.push(rate);
    write(
      row(
        `${concurrency} in flight`,
        26,
        ...[rate.toFixed(0), cpuUs.toFixed(0), p50.toFixed(2), p99.toFixed(2)],
      ),
    );
  }
  write(`  group commit: 200 in flight ÷ 1 = ${(results[2]! / results[0]!).toFixed(1)}`);
}

async function run(concurrency: number, count: number) {
  const plant = await makePlant(Math.min(concurrency, 50), false);
  const database = openDatabase(join(plant.folder, 'bridge.db'));
  const store = createSqliteStore(database, timers);
  const identities = createIdentities(store, REALM, plant.root.key);
  for (const statement of plant.statements) await identities.enrol(statement);
  const backend = instantBackend();
  for (const { mandateEnvelope } of plant.payers) {
    await takeMandate({ store, identities, backend }, mandateEnvelope, clock.nowMs());
  }
  const nonces = createNonces(random(32), 1);
  const answered = new Map<string, (at: number) => void>();
  const bridge = createBridge({
    realm: REALM,
    store,
    identities,
    risk: {
      assess: async () => ({
        kind: 'decided',
        decision: 'allow',
        score: 0,
        reasons: [],
        model: '',
      }),
    },
    backend,
    signer: plant.bridgeKey,
    rules: {
      policy: open(policyKind, plant.policy, REALM, () => plant.root.key).value,
      isFresh: nonces.isFresh,
    },
    nonces,
    clock,
    timers,
    log: () => {},
    send(_topic, payload) {
      const { value } = open(receiptKind, payload, REALM, () => plant.bridgeKey.key);
      if (value.outcome !== 'captured')
        throw new Error(`not captured: ${JSON.stringify(value.reason)}`);
      answered.get(value.subject)?.(performance.now());
    },
  });

  const envelopes: (readonly [string, Uint8Array])[] = [];
  for (let i = 0; i < count; i++) {
    const payer = plant.payers[i % plant.payers.length]!;
    const counter = Math.floor(i / plant.payers.length) + 1;
    envelopes.push([payer.name, await sign(payer, counter, nonces.at(clock.nowMs()))]);
  }
  const waits: number[] = [];
  let next = 0;
  const cpu = process.cpuUsage();
  const start = performance.now();
  const worker = async () => {
    while (next < envelopes.length) {
      const [device, envelope] = envelopes[next++]!;
      const { id } = open(requestKind, envelope, REALM, () => {
        return plant.payers.find(({ name }) => name === device)!.signer.key;
      });
      const sent = performance.now();
      const done = new Promise<number>((resolve) => answered.set(id, resolve));
      bridge.receive(`saytap/1/${device}/up/request`, envelope);
      waits.push((await done) - sent);
      answered.delete(id);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  const seconds = (performance.now() - start) / 1000;
  const used = process.cpuUsage(cpu);
  await bridge.close();
  await store.close();
  await plant.stop();
  waits.sort((a, b) => a - b);
  return {
    rate: count / seconds,
    // The generator verifies each request and receipt itself: two verifications are in here.
    cpuUs: (used.user + used.system) / count,
    p50: waits[Math.floor(waits.length * 0.5)]!,
    p99: waits[Math.floor(waits.length * 0.99)]!,
  };
}

/** Signs one request of a payer. */
export function sign(payer: Payer, counter: number, nonce: Uint8Array): Promise<Uint8Array> {
  return seal(
    requestKind,
    {
      exp: Math.floor(clock.nowMs() / 1000) + 300,
      action: 'pay',
      mandate: payer.mandate,
      counter,
      amount: { currency: 'CNY', minor: 12_50n },
      payee: PAYEE,
      terminal: 'till0001',
      presence: 2,
      channel: 'tap',
      nonce,
    },
    REALM,
    payer.signer,
  );
}

function instantBackend(): Backend {
  const done = async () => ({ kind: 'done', outcome: 'captured', reference: 'instant' }) as const;
  return {
    name: 'instant',
    resolvesBy: 'replay',
    authorise: done,
    capture: done,
    void: done,
    refund: done,
    query: done,
    fundingLinked: async () => true,
  };
}
