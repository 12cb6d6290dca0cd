/**
 * The hostile provider keeps its own promises: the conformance suite under every kind of
 * capability, and the few things that the suite cannot see.
 */
import { describe, expect, test } from 'vitest';
import type { Capabilities } from '../../../broker/backends/port.ts';
import type { HttpQuestion } from '../../../src/platform.ts';
import { describeBackend, LATE_MS, type Rig } from './conformance.ts';
import { createHostile, type HostileOptions, seededRandom } from './hostile.ts';
import { createTime } from './time.ts';

const wallet = 'ab'.repeat(32);
const key = (n: number) => n.toString(16).padStart(32, '0');
const accounts = { alice: { currency: 'EUR', minor: 100_00n, wallets: [wallet] } };
const payment = (n: number, minor = 10_00n, capture: 'now' | 'later' = 'now') => ({
  key: key(n),
  funding: 'alice',
  payee: 'cafe',
  amount: { currency: 'EUR', minor },
  capture,
});

function begin(options: Partial<HostileOptions> = {}) {
  const time = createTime();
  const heard: HttpQuestion[] = [];
  const hostile = createHostile({
    ...time,
    random: seededRandom(1),
    accounts,
    lateMs: LATE_MS,
    hear: (question) => heard.push(question),
    ...options,
  });
  return { ...hostile, ...time, heard };
}

const KINDS: readonly (readonly [
  Capabilities['resolvesBy'],
  Capabilities['cancel']['unseen'],
  Capabilities['cancel']['captured'],
])[] = [
  ['query', 'bars', 'reverses'],
  ['query', 'nothing', 'reverses'],
  ['query', 'nothing', 'refuses'],
  ['replay', 'bars', 'refuses'],
  ['replay', 'nothing', 'reverses'],
];

for (const [resolvesBy, unseen, captured] of KINDS) {
  const name = `hostile: resolved by ${resolvesBy}, cancel ${unseen} and ${captured}`;
  describeBackend(name, async (): Promise<Rig> => {
    const capabilities = { resolvesBy, cancel: { unseen, captured } };
    const { backend, plan, pass, truth, heard } = begin({ capabilities, lists: unseen === 'bars' });
    return {
      backend,
      funding: 'alice',
      wallet,
      plan,
      pass,
      moved: () => truth().moved,
      heard: () => heard,
      close: async () => {},
    };
  });
}

describe('hostile in other ways', () => {
  test('a key that is repeated too late is a new key, and moves money again', async () => {
    const { backend, truth, pass } = begin({
      capabilities: { resolvesBy: 'replay', keyForMs: 1_000 },
    });
    await backend.authorise(payment(1));
    await backend.authorise(payment(1));
    expect(truth().of(key(1)).captured).toBe(10_00n);
    await pass(1_001);
    await backend.authorise(payment(1));
    expect(truth().of(key(1)).captured).toBe(20_00n);
    expect(truth().balance('alice')).toBe(80_00n);
  });

  test('a plan for one key leaves the others alone', async () => {
    const { backend, planFor } = begin();
    planFor(key(2), 'loseBefore', 'none');
    expect(await backend.authorise(payment(1))).toMatchObject({ kind: 'done' });
    expect(await backend.authorise(payment(2))).toMatchObject({ kind: 'unknown' });
    expect(await backend.authorise(payment(2))).toMatchObject({ kind: 'done' });
  });

  test('a cancel that comes too late is refused', async () => {
    const { backend, truth, pass } = begin({ capabilities: { cancel: { forMs: 1_000 } } });
    await backend.authorise(payment(1));
    await pass(1_001);
    const cancel = { key: key(2), original: key(1), amount: payment(1).amount };
    expect(await backend.void(cancel)).toMatchObject({ kind: 'declined' });
    expect(truth().of(key(1)).refunded).toBe(0n);
  });

  test('a call that never went out is unsent; one that is overtaken comes afterwards', async () => {
    const { backend, plan, truth, pass } = begin();
    plan('unsent', 'disordered', 'none');
    expect(await backend.authorise(payment(1))).toMatchObject({ kind: 'unsent' });
    const overtaken = backend.authorise(payment(2));
    await pass(100);
    expect(await backend.authorise(payment(3))).toMatchObject({ kind: 'done' });
    expect(await overtaken).toMatchObject({ kind: 'done' });
    expect(truth().moved.map((moved) => moved.key)).toEqual([key(3), key(2)]);
  });

  test('asked about a payment, it tells how things stand now', async () => {
    const { backend } = begin();
    const cancel = { key: key(2), original: key(1), amount: payment(1).amount };
    await backend.authorise(payment(1, 10_00n, 'later'));
    expect(await backend.query(key(1))).toMatchObject({ outcome: 'held' });
    await backend.void(cancel);
    expect(await backend.query(key(1))).toMatchObject({ outcome: 'voided' });
  });

  test('what goes wrong follows from the seed, and stops when it heals', async () => {
    const run = async (seed: number) => {
      const random = seededRandom(seed);
      const faults = { unsent: 0.1, loseBefore: 0.2, loseAfter: 0.2, late: 0.1, twice: 0.1 };
      const world = begin({ random, faults, loseQuery: 0.3 });
      const kinds: string[] = [];
      for (let n = 1; n <= 40; n++)
        kinds.push((await world.backend.authorise(payment(n, 1n))).kind);
      for (let n = 1; n <= 40; n++) kinds.push((await world.backend.query(key(n))).kind);
      world.heal();
      for (let n = 41; n <= 60; n++) {
        expect((await world.backend.authorise(payment(n, 1n))).kind).toBe('done');
        expect((await world.backend.query(key(n))).kind).toBe('done');
      }
      await world.pass(LATE_MS * 2);
      expect(world.pending()).toBe(0);
      return JSON.stringify([kinds, world.truth().moved.map((moved) => moved.key)]);
    };
    const [one, same, other] = [await run(7), await run(7), await run(8)];
    expect(same).toBe(one);
    expect(other).not.toBe(one);
    for (const kind of ['unsent', 'unknown', 'unseen', 'done']) expect(one).toContain(kind);
  });
});
