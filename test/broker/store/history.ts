/**
 * Any history: payments, holds, captures, voids, refunds, words of the backend in any order, two at
 * once, and crashes, over chains of mandates with several windows. At all times settled plus
 * reserved stays within every window (I1), counted from outside by a model of this file and by the
 * store's own recount.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ChainLink, Run, Store } from '../../../broker/store/port.ts';
import { judge } from '../../../broker/verdict.ts';
import { slotOf } from '../../../broker/windows.ts';
import type { Window } from '../../../src/objects/mandate.ts';
import { CAST, NOW_MS, RULES, type Role, admissionOf, putMandate } from '../stage.ts';
import { type OpenStore, close, decline, follow, opened } from './acts.ts';
import { recounted, start, succeed, word, yuan } from './acts.ts';

/** One request as the model knows it. */
type Entry = {
  run: Run;
  atMs: number;
  minor: bigint;
  action: 'pay' | 'hold' | 'capture' | 'void' | 'refund';
  mandates: readonly string[];
  state: 'reserved' | 'settled' | 'voided';
  isOver: boolean;
  /** Of a payment or hold: what is held, captured, and given or being given back. */
  held: bigint;
  captured: bigint;
  back: bigint;
  original: Entry | undefined;
};

const small = (max: number) => fc.integer({ min: 1, max });

const window: fc.Arbitrary<Window> = fc.oneof(
  fc.record({ kind: fc.constant('total' as const), max: fc.bigInt(20n, 90n), count: small(12) }),
  fc.record({
    kind: fc.constant('calendar' as const),
    period: fc.constantFrom('day' as const, 'week' as const, 'month' as const),
    zone: fc.constantFrom('Asia/Shanghai', 'Europe/Berlin', 'UTC'),
    max: fc.bigInt(10n, 60n),
    count: small(9),
  }),
  fc.record({
    kind: fc.constant('rolling' as const),
    seconds: small(100_000),
    max: fc.bigInt(10n, 60n),
    count: small(9),
  }),
);
const windows = fc.array(window, { minLength: 1, maxLength: 3 });

const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      pay: small(15),
      action: fc.constantFrom('pay' as const, 'hold' as const),
      leaf: fc.nat(2),
      hours: fc.nat(9),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      on: fc.nat(30),
      action: fc.constantFrom('capture' as const, 'void' as const, 'refund' as const),
      minor: small(15),
      twice: fc.boolean(),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      word: fc.nat(30),
      says: fc.constantFrom('yes' as const, 'no' as const, 'unknown' as const),
    }),
  },
  { weight: 1, arbitrary: fc.record({ crash: fc.constant(true) }) },
);

export function describeHistory(name: string, open: OpenStore): void {
  describe(`${name}: any history`, () => {
    test('of whole payments: no window of any chain holds more than it may (I1)', async () => {
      const steps = fc.array(step, { maxLength: 40 });
      await fc.assert(
        fc.asyncProperty(windows, windows, windows, steps, async (top, middle, leaf, acts) => {
          const { store: first, reopen, mandate } = await opened(open, { windows: top, exp: FAR });
          let store = first;
          const child = { parent: mandate, windows: middle, exp: FAR };
          const second = await putMandate(store, child, 'glasses');
          const grandchild = { parent: second, windows: leaf, exp: FAR };
          const third = await putMandate(store, grandchild, 'glasses');
          const chains = [[mandate], [second, mandate], [third, second, mandate]];
          const model: Entry[] = [];
          let nowMs = NOW_MS;

          for (const act of acts) {
            if ('crash' in act) store = await reopen();
            else if ('pay' in act) {
              nowMs += act.hours * 3_600_000;
              await pay(store, model, chains[act.leaf]!, act, nowMs);
            } else if ('on' in act) {
              const originals = model.filter(({ original }) => original === undefined);
              const target = originals[act.on % originals.length];
              if (target) await actOn(store, model, target, act, nowMs);
            } else {
              const going = model.filter(({ isOver }) => !isOver);
              const entry = going[act.word % going.length];
              if (entry) await hear(store, entry, act.says, nowMs);
            }
            for (const link of await store.chain(third, nowMs)) expectSums(link, model, nowMs);
          }
          expect(await recounted(store)).toEqual([]);
          await store.close();
        }),
        { numRuns: process.env['SAYTAP_FULL'] ? 1_000 : 40 },
      );
    });
  });
}

const FAR = NOW_MS / 1000 + 400 * 86_400;

/** Sends it twice at once: the second copy must find the first. */
async function twice(store: Store, changes: object, role: Role, nowMs: number): Promise<Run> {
  const counter = (await store.highestCounter(CAST[role].key.name)) + 1;
  const admission = await admissionOf({ ...changes, counter }, nowMs, role);
  const admit = () =>
    store.admit(admission, (facts) => judge(admission.request, { ...facts, openRuns: 0 }, RULES));
  const [one, other] = await Promise.all([admit(), admit()]);
  expect([one.fresh, other.fresh]).toEqual([true, false]);
  expect(other.run).toEqual(one.run);
  return one.run;
}

async function pay(
  store: Store,
  model: Entry[],
  mandates: readonly string[],
  { pay: units, action }: Readonly<{ pay: number; action: 'pay' | 'hold' }>,
  nowMs: number,
): Promise<void> {
  const minor = BigInt(units);
  const changes = { mandate: mandates[0]!, action, amount: yuan(minor) };
  const before = await store.chain(mandates[0]!, nowMs);
  const run = await twice(store, changes, 'glasses', nowMs);
  const fits = before.every((link) => hasRoom(link, model, minor, nowMs));
  if (run.refusal) {
    expect(run.refusal).toMatch(/^limit_(window|count)$/);
    await close(store, run);
  }
  expect(run.refusal === undefined, 'accepted exactly when the model has room').toBe(fits);
  if (run.refusal) return;
  const rest = { state: 'reserved', isOver: false, held: 0n, captured: 0n, back: 0n } as const;
  model.push({ run, atMs: nowMs, minor, action, mandates, original: undefined, ...rest });
}

async function actOn(
  store: Store,
  model: Entry[],
  target: Entry,
  {
    action,
    minor: units,
    twice: both,
  }: Readonly<{
    action: 'capture' | 'void' | 'refund';
    minor: number;
    twice: boolean;
  }>,
  nowMs: number,
): Promise<void> {
  const minor = action === 'void' ? target.minor : BigInt(units);
  const changes = follow(action, target.run.id, minor);
  const roles: Role[] = both ? ['kiosk', 'till'] : ['kiosk'];
  const runs = await Promise.all(roles.map((role) => twice(store, changes, role, nowMs)));
  for (const run of runs) {
    expect(run.refusal === undefined, `${action} of ${minor}`).toBe(
      mayAct(model, target, action, minor),
    );
    if (run.refusal) {
      await close(store, run);
      continue;
    }
    if (action === 'refund') target.back += minor;
    model.push({
      run,
      atMs: nowMs,
      minor,
      action,
      mandates: [],
      state: 'voided',
      isOver: false,
      held: 0n,
      captured: 0n,
      back: 0n,
      original: target,
    });
  }
}

function mayAct(model: readonly Entry[], target: Entry, action: string, minor: bigint): boolean {
  if (action === 'refund') return target.back + minor <= target.captured;
  const isBusy = model.some(
    (entry) => entry.original === target && entry.action !== 'refund' && !entry.isOver,
  );
  return target.held > 0n && !isBusy && minor <= target.held;
}

/** The backend says something about a run; the same word comes twice. */
async function hear(
  store: Store,
  entry: Entry,
  says: 'yes' | 'no' | 'unknown',
  nowMs: number,
): Promise<void> {
  const run = (await store.run(entry.run.id))!;
  const started = run.attempts.length > 0 ? run : await start(store, run, nowMs);
  if (says === 'unknown') {
    await store.progress(run.id, word(started, { state: 'unknown' }), nowMs);
    return;
  }
  const end = says === 'yes' ? succeed : decline;
  const [one, other] = await Promise.all([end(store, started, nowMs), end(store, started, nowMs)]);
  expect(other.receipt).toEqual(one.receipt);
  entry.isOver = true;
  const { original, minor, action } = entry;
  if (says === 'no') {
    entry.state = 'voided';
    if (action === 'refund') original!.back -= minor;
    return;
  }
  switch (action) {
    case 'pay':
      entry.state = 'settled';
      entry.captured = minor;
      return;
    case 'hold':
      entry.held = minor;
      return;
    case 'capture':
      original!.held = 0n;
      original!.captured = minor;
      original!.minor = minor;
      original!.state = 'settled';
      return;
    case 'void':
      original!.held = 0n;
      original!.state = 'voided';
      return;
    case 'refund':
  }
}

function seenBy({ id }: ChainLink, window: Window, model: readonly Entry[], nowMs: number) {
  const counted = model.filter(
    (entry) =>
      entry.state !== 'voided' &&
      entry.mandates.includes(id) &&
      isInSlot(window, entry.atMs, nowMs),
  );
  return { amount: counted.reduce((sum, { minor }) => sum + minor, 0n), count: counted.length };
}

/** What the store says that a window holds, against the model's own count. */
function expectSums(link: ChainLink, model: readonly Entry[], nowMs: number): void {
  for (const [i, limit] of link.mandate.windows.entries()) {
    const sum = seenBy(link, limit, model, nowMs);
    expect(link.usage[i]).toEqual(sum);
    expect(sum.amount <= limit.max && sum.count <= limit.count).toBe(true);
  }
}

function hasRoom(link: ChainLink, model: readonly Entry[], minor: bigint, nowMs: number): boolean {
  return link.mandate.windows.every((limit) => {
    const { amount, count } = seenBy(link, limit, model, nowMs);
    return amount + minor <= limit.max && count < limit.count;
  });
}

function isInSlot(window: Window, atMs: number, nowMs: number): boolean {
  const [then, now] = [slotOf(window, atMs), slotOf(window, nowMs)];
  return now.kind === 'since' ? atMs > now.sinceMs : JSON.stringify(then) === JSON.stringify(now);
}
