/**
 * A stolen kiosk: whatever its thief signs, offline payments never exceed what is leased to it.
 *
 * Method: the thief has the kiosk's key, its mandates and every lease that it was ever given, and
 * signs whatever fast-check writes: any amount, counter, action and time, old nonces and new,
 * copies, many at once. Meanwhile the operator suspends and resumes the key, the payer pays online
 * under the same windows and revokes, and time goes by. A model of this file knows nothing but the
 * Ticks that were sent: what the last one says is left, less what was accepted since. After every
 * step the store counts all its windows again (I1).
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Policy } from '../../src/objects/policy.ts';
import { open } from '../../src/objects/kind.ts';
import { revoke as revokeKind } from '../../src/objects/revoke.ts';
import { type Tick, tick as tickKind } from '../../src/objects/tick.ts';
import { downTopic, upTopic } from '../../src/topics.ts';
import { CAST, NOW_S, PAYER, POLICY, type Sealed, createStage, putMandate } from './stage.ts';
import { sealed, settle } from './stage.ts';
import { recounted } from './store/acts.ts';

const RUNS = process.env['SAYTAP_FULL'] === undefined ? 60 : 2_000;
const ANYBODY = [{ ceiling: 1_000_00n, level: 0 }] as const;
const STORED = { amount: 90n, count: 8 };
const OFFLINE: NonNullable<Policy['offline']> = {
  behaviour: 'prefer_online',
  currency: 'CNY',
  floorLimit: 50n,
  storedAmountMax: STORED.amount,
  storedCountMax: STORED.count,
  acceptWindow: 3_600,
  uploadWindow: 7_200,
  goOnlineEvery: [5, 20],
  payerCountMax: 5,
  payerAmountMax: 60n,
  policyAgeMax: 90 * 86_400,
};
const OPEN: Policy = {
  ...POLICY,
  ladders: [{ currency: 'CNY', bands: ANYBODY }],
  offline: OFFLINE,
};
const KIOSK = CAST.kiosk.key.name;

/** A request of the thief's; numbers choose among what there is. */
const theft = fc.record({
  lease: fc.nat(40),
  /** Whether it names the mandate of its lease, as it must, or any. */
  mandate: fc.option(fc.nat(3), { nil: undefined, freq: 6 }),
  minor: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(60, 61, 90, 91)),
  counter: fc.oneof(
    { weight: 12, arbitrary: fc.constant<number>(1) },
    fc.constantFrom(0, -1, 5, 65),
  ),
  /** Seconds between the end of the request and the last at which it may arrive. */
  exp: fc.oneof({ weight: 6, arbitrary: fc.constant<number>(0) }, fc.constantFrom(-1, 1, -7_200)),
  action: fc.oneof({ weight: 9, arbitrary: fc.constant('pay' as const) }, fc.constant('hold')),
});
type Theft = typeof theft extends fc.Arbitrary<infer T> ? T : never;

const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ steal: fc.array(theft, { minLength: 1, maxLength: 12 }) }) },
  { weight: 4, arbitrary: fc.record({ boot: fc.constantFrom(1, 1, 1, 0) }) },
  { weight: 2, arbitrary: fc.record({ again: fc.nat(60) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      wait: fc.constantFrom(1, 1_801, 3_599, 3_600, 7_199, 7_200, 10_800, 86_400),
    }),
  },
  { weight: 3, arbitrary: fc.record({ online: fc.integer({ min: 1, max: 70 }) }) },
  { weight: 1, arbitrary: fc.record({ key: fc.constantFrom('suspended' as const) }) },
  { weight: 2, arbitrary: fc.record({ key: fc.constantFrom('active' as const) }) },
  { weight: 1, arbitrary: fc.record({ revoke: fc.nat(3) }) },
  { weight: 2, arbitrary: fc.record({ sweep: fc.constant(true) }) },
  { weight: 1, arbitrary: fc.record({ restart: fc.constant(true) }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

async function createTheft() {
  const stage = await createStage({ policies: [OPEN] });
  const life = { exp: NOW_S + 20 * 86_400, bands: ANYBODY };
  const parent = await putMandate(stage.store, {
    ...life,
    windows: [
      { kind: 'total', max: 400n, count: 40 },
      { kind: 'calendar', period: 'day', zone: 'Asia/Shanghai', max: 150n, count: 12 },
      { kind: 'rolling', seconds: 7_200, max: 120n, count: 10 },
    ],
  });
  const child = (epoch: number, max: bigint) =>
    putMandate(
      stage.store,
      { ...life, cnf: KIOSK, parent, epoch, windows: [{ kind: 'total', max, count: 15 }] },
      'glasses',
    );
  const own = await putMandate(stage.store, {
    ...life,
    cnf: KIOSK,
    windows: [{ kind: 'calendar', period: 'week', zone: 'UTC', max: 80n, count: 6 }],
  });
  const mandates = [await child(1, 200n), await child(2, 100n), own];

  /** Every lease that was told, and what the model says is left under a mandate. */
  const leases: Tick[] = [];
  const left = new Map<string, { amount: bigint; count: number }>();
  const asked: (Sealed & Readonly<{ tick: Tick; minor: bigint }>)[] = [];
  const accepted = new Set<string>();
  let counter = 0;
  let payments = 0;
  let read = 0;

  const nowS = () => Math.floor(stage.clock.nowMs() / 1000);

  function hear(): void {
    for (const { topic, payload } of stage.sent.slice(read)) {
      if (topic !== downTopic('kiosk', 'tick')) continue;
      const { value } = open(tickKind, payload, stage.realm, () => CAST.bridge.key);
      if (!value.lease) continue;
      expect(value.audience).toBe(KIOSK);
      const { amount, count, mandate } = value.lease;
      const told = { amount: amount.minor, count };
      // What is told again is still so.
      if (leases.some(({ nonce }) => String(nonce) === String(value.nonce))) {
        expect(left.get(mandate)).toEqual(told);
      } else leases.push(value);
      left.set(mandate, told);
    }
    read = stage.sent.length;
  }

  /** Takes what was accepted since from the model, which must have it. */
  async function settleUp(): Promise<void> {
    await settle();
    for (const { id, tick, minor } of asked) {
      if (accepted.has(id)) continue;
      const run = await stage.store.run(id);
      if (!run || run.refusal) continue;
      accepted.add(id);
      expect(nowS(), 'arrived in time').toBeLessThan(tick.lease!.upload);
      expect(run.request.mandate, 'under its own mandate').toBe(tick.lease!.mandate);
      const pool = left.get(tick.lease!.mandate)!;
      pool.amount -= minor;
      pool.count--;
      expect(pool.amount, 'never more than is leased').toBeGreaterThanOrEqual(0n);
      expect(pool.count, 'nor more often').toBeGreaterThanOrEqual(0);
    }
    const { status } = (await stage.store.identity(KIOSK))!;
    if (status !== 'active') left.clear();
    // What can no longer arrive is free for other mandates.
    for (const mandate of left.keys()) {
      const uploads = leases.flatMap(({ lease }) =>
        lease!.mandate === mandate ? [lease!.upload] : [],
      );
      if (nowS() >= Math.max(...uploads)) left.delete(mandate);
    }
    const sum = [...left.values()].reduce((all, { amount }) => all + amount, 0n);
    const count = [...left.values()].reduce((all, pool) => all + pool.count, 0);
    expect(sum, 'in all').toBeLessThanOrEqual(STORED.amount);
    expect(count, 'in all').toBeLessThanOrEqual(STORED.count);
    expect(await recounted(stage.store), 'I1').toEqual([]);
    // The tables' own checks are a second net, which must have nothing to catch.
    expect(stage.logs.filter((line) => line.startsWith('error'))).toEqual([]);
  }

  async function steal(thefts: readonly Theft[]): Promise<void> {
    if (leases.length === 0) return;
    for (const { lease, mandate, minor, counter: ahead, exp, action } of thefts) {
      const tick = leases[lease % leases.length]!;
      if (ahead > 0) counter += ahead === 65 ? 1 : ahead;
      const request = await stage.request(
        {
          action,
          mandate: mandate === undefined ? tick.lease!.mandate : mandates[mandate % 3]!,
          counter: Math.max(1, ahead === 65 ? counter + 64 : counter + Math.min(ahead, 0)),
          amount: { currency: 'CNY', minor: BigInt(minor) },
          terminal: 'till-1',
          channel: 'tap',
          presence: 0,
          nonce: tick.nonce,
          exp: Math.max(1, tick.lease!.upload + exp),
        },
        'kiosk',
      );
      asked.push({ ...request, tick, minor: BigInt(minor) });
      stage.bridge().receive(upTopic('kiosk', 'request'), request.envelope);
    }
    await settleUp();
  }

  async function act(one: Step): Promise<void> {
    if ('steal' in one) return steal(one.steal);
    if ('boot' in one) {
      // Within one second of the last lease there is no other.
      await stage.time.advance(one.boot * 1000);
      await stage.boots('kiosk');
      hear();
    } else if ('again' in one) {
      const again = asked[one.again % Math.max(asked.length, 1)];
      if (again) stage.bridge().receive(upTopic('kiosk', 'request'), again.envelope);
    } else if ('wait' in one) await stage.time.advance(one.wait * 1000);
    else if ('online' in one) {
      const amount = { currency: 'CNY', minor: BigInt(one.online) };
      const paid = await stage.request({ mandate: parent, counter: ++payments, amount });
      await stage.deliver('glasses', 'request', paid.envelope);
    } else if ('key' in one) {
      if (one.key === 'suspended') left.clear();
      await stage.store.setIdentityStatus(KIOSK, one.key, stage.clock.nowMs());
    } else if ('revoke' in one) {
      const mandate = mandates[one.revoke] ?? parent;
      const what = { payer: PAYER, iat: NOW_S, mandate };
      const { envelope } = await sealed(revokeKind, what, CAST.wallet);
      await stage.deliver('guest', 'revoke', envelope);
      for (const gone of mandate === parent ? mandates.slice(0, 2) : [mandate]) left.delete(gone);
    } else if ('sweep' in one) await stage.bridge().sweep();
    else stage.restart();
    await settleUp();
  }

  return { stage, leases, left, accepted, mandates, act, steal };
}

test('no more than is leased is ever accepted, whatever the thief signs', async () => {
  let stolen = 0;
  let renewed = 0;
  const stories = fc.array(step, { minLength: 5, maxLength: 25 });
  await fc.assert(
    fc.asyncProperty(stories, async (story) => {
      const { leases, left, accepted, act, steal } = await createTheft();
      await act({ boot: 0 });
      expect(leases.length).toBeGreaterThan(0);
      for (const one of story) await act(one);

      // The theft is noticed by nobody, and the thief never connects again: all that is left.
      const before = accepted.size;
      const pools = new Map([...left].map(([mandate, pool]) => [mandate, { ...pool }]));
      const barrage = [40, 7, 1, 1, 1, 1].flatMap((minor) =>
        leases.map((_, lease) => ({
          ...{ lease, minor, mandate: undefined, counter: 1, exp: 0 },
          action: 'pay' as const,
        })),
      );
      for (let at = 0; at < barrage.length; at += 30) await steal(barrage.slice(at, at + 30));
      for (const [mandate, { amount }] of left) {
        expect(amount).toBeLessThanOrEqual(pools.get(mandate)!.amount);
      }
      stolen += accepted.size - before;
      renewed += new Set(leases.map(({ nonce }) => String(nonce))).size > 3 ? 1 : 0;
    }),
    { numRuns: RUNS },
  );
  // Else it would prove nothing: thieves do get what is leased, and leases do follow each other.
  expect(stolen).toBeGreaterThan(RUNS);
  expect(renewed).toBeGreaterThan(RUNS / 10);
}, 300_000);
