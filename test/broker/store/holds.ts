/**
 * Holds and refunds: what was held is captured or released once, what was captured is given back at
 * most once, and the windows of the payer know it all.
 */
import { describe, expect, test } from 'vitest';
import type { Mandate } from '../../../src/objects/mandate.ts';
import { order as orderKind } from '../../../src/objects/order.ts';
import type { Facts, Store } from '../../../broker/store/port.ts';
import { judge, judgeOwn } from '../../../broker/verdict.ts';
import { CAST, NOW_MS, RULES, admissionOf, orderOf, sealed } from '../stage.ts';
import {
  HOLD_UNTIL_MS,
  type OpenStore,
  accepted,
  close,
  decline,
  factsFor,
  follow,
} from './acts.ts';
import {
  judgeMany,
  nextCounter,
  opened,
  recounted,
  send,
  start,
  succeed,
  total,
  usageOf,
} from './acts.ts';
import { word, yuan } from './acts.ts';

const day = { kind: 'calendar', period: 'day', zone: 'UTC', max: 90_00n, count: 9 } as const;
const rolling = { kind: 'rolling', seconds: 3600, max: 80_00n, count: 8 } as const;
const windows: Mandate['windows'] = [total(99_00n), day, rolling];
const each = (amount: bigint, count: number) => [0, 1, 2].map(() => ({ amount, count }));

export function describeHolds(name: string, open: OpenStore): void {
  /** A mandate with windows of each kind, and a hold of 40 under it. */
  async function held(order?: string, store?: Store, mandate?: string) {
    const prepared = store ? undefined : await opened(open, { windows });
    const within = store ?? prepared!.store;
    const under = mandate ?? prepared!.mandate;
    const changes = { action: 'hold', mandate: under, amount: yuan(40_00n) } as const;
    const asked = await accepted(within, {
      ...changes,
      ...(order !== undefined && { order, terminal: 'till-1' }),
    });
    const hold = await succeed(within, asked);
    expect(hold.outcome).toBe('held');
    return { store: within, mandate: under, hold, reopen: prepared?.reopen };
  }

  async function ordered() {
    const { store, mandate } = await opened(open, { windows });
    const { id, envelope } = await sealed(orderKind, orderOf(), CAST.kiosk);
    await store.putOrder(id, 'kiosk', envelope, NOW_MS);
    return { store, mandate, id };
  }

  const paymentOf = async (store: Store, id: string) =>
    (await factsFor(store, follow('refund', id, 1n), NOW_MS, 'guest')).original?.payment;

  describe(`${name}: holds`, () => {
    test('keep their reservation in every window', async () => {
      const { store, mandate, hold } = await held();
      expect(await usageOf(store, mandate)).toEqual(each(40_00n, 1));
      expect(await paymentOf(store, hold.id)).toEqual({
        held: 40_00n,
        captured: 0n,
        refunding: 0n,
        refunded: 0n,
        holdUntilMs: HOLD_UNTIL_MS,
        acting: undefined,
      });
      expect(await recounted(store)).toEqual([]);
    });

    test.each([
      [40_00n, 'all of it'],
      [15_00n, 'a part: the rest is free again'],
    ])('captured %d (%s): settled in every window', async (minor) => {
      const { store, mandate, hold } = await held();
      const capture = await accepted(store, follow('capture', hold.id, minor), 'kiosk');
      expect(capture).toMatchObject({ original: hold.id, backends: ['ledger'], funding: 'acct-1' });
      expect(await usageOf(store, mandate), 'not before the word').toEqual(each(40_00n, 1));
      expect((await succeed(store, capture)).outcome).toBe('captured');
      expect(await usageOf(store, mandate)).toEqual(each(minor, 1));
      expect(await paymentOf(store, hold.id)).toMatchObject({ held: 0n, captured: minor });
      expect(await recounted(store)).toEqual([]);
      const room = 80_00n - minor;
      expect((await send(store, { mandate, amount: yuan(room + 1n) })).refusal).toBe(
        'limit_window',
      );
      expect((await send(store, { mandate, amount: yuan(room) })).refusal).toBeUndefined();
      for (const action of ['capture', 'void'] as const) {
        expect((await send(store, follow(action, hold.id, 1n), 'kiosk')).refusal).toBe('not_held');
      }
    });

    test('voided: all is free again, and it can be neither captured nor refunded', async () => {
      const { store, mandate, hold } = await held();
      const done = await succeed(
        store,
        await accepted(store, follow('void', hold.id, 40_00n), 'kiosk'),
      );
      expect(done.outcome).toBe('voided');
      expect(await usageOf(store, mandate)).toEqual(each(0n, 0));
      const after = async (action: 'capture' | 'void' | 'refund', minor: bigint) =>
        (await send(store, follow(action, hold.id, minor), 'kiosk')).refusal;
      expect(await after('capture', 40_00n)).toBe('not_held');
      expect(await after('void', 40_00n)).toBe('not_held');
      expect(await after('refund', 1n)).toBe('refund_exceeds');
      expect(await recounted(store)).toEqual([]);
    });

    test('of two that act at once, one does', async () => {
      const { store, hold } = await held();
      const both = await Promise.all([
        send(store, follow('capture', hold.id, 10_00n), 'kiosk'),
        send(store, follow('capture', hold.id, 40_00n), 'till'),
        send(store, follow('void', hold.id, 40_00n), 'kiosk'),
      ]);
      expect(both.map(({ refusal }) => refusal)).toEqual([
        undefined,
        'original_busy',
        'original_busy',
      ]);
      expect(await paymentOf(store, hold.id)).toMatchObject({ acting: both[0].id });
      // Their refusals free nothing that is the first one's.
      await close(store, both[1]);
      await close(store, both[2]);
      expect(await paymentOf(store, hold.id)).toMatchObject({ acting: both[0].id });
      await succeed(store, both[0]);
      expect(await paymentOf(store, hold.id)).toMatchObject({
        captured: 10_00n,
        acting: undefined,
      });
    });

    test.each(['capture', 'void'] as const)(
      'a declined %s leaves the hold as it was, and it can be asked again',
      async (action) => {
        const { store, mandate, hold } = await held();
        const before = await paymentOf(store, hold.id);
        const asked = await accepted(store, follow(action, hold.id, 40_00n), 'kiosk');
        await decline(store, asked);
        expect(await paymentOf(store, hold.id)).toEqual(before);
        expect(await usageOf(store, mandate)).toEqual(each(40_00n, 1));
        await succeed(store, await accepted(store, follow(action, hold.id, 40_00n), 'kiosk'));
        expect(await recounted(store)).toEqual([]);
      },
    );

    test('a capture that risk or a cancel refuses before its attempt frees the hold', async () => {
      const { store, hold } = await held();
      const asked = await accepted(store, follow('capture', hold.id, 40_00n), 'kiosk');
      const cancelled = await store.cancel({
        id: 'c1'.repeat(16),
        subject: asked.id,
        key: CAST.kiosk.key.name,
        envelope: Uint8Array.of(1),
        receipt: Uint8Array.of(2),
        isUnsure: false,
        nowMs: NOW_MS,
      });
      expect(cancelled).toMatchObject({ run: { refusal: 'cancelled' } });
      await close(store, asked);
      expect(await paymentOf(store, hold.id)).toMatchObject({ held: 40_00n, acting: undefined });
    });

    test('a word that comes twice settles once', async () => {
      const { store, mandate, hold } = await held();
      const asked = await accepted(store, follow('capture', hold.id, 15_00n), 'kiosk');
      const started = await start(store, asked);
      const first = await succeed(store, started);
      const second = await succeed(store, started);
      expect(second.receipt).toEqual(first.receipt);
      expect(await usageOf(store, mandate)).toEqual(each(15_00n, 1));
      expect(await recounted(store)).toEqual([]);
    });

    test('it settles in the day of the hold, not of the capture', async () => {
      const { store, mandate, hold } = await held();
      const tomorrowMs = NOW_MS + 86_399_999;
      const asked = await accepted(store, follow('capture', hold.id, 15_00n), 'kiosk', tomorrowMs);
      await succeed(store, asked, tomorrowMs);
      const days = [
        await usageOf(store, mandate, NOW_MS),
        await usageOf(store, mandate, tomorrowMs),
      ];
      expect(days.map((usage) => usage[1])).toEqual([
        { amount: 15_00n, count: 1 },
        { amount: 0n, count: 0 },
      ]);
    });

    test('those that are over and free are listed, earliest first', async () => {
      const { store, mandate, hold } = await held();
      const { hold: second } = await held(undefined, store, mandate);
      const listed = async (nowMs: number, count = 9) =>
        (await store.expiredHolds(nowMs, count)).map(({ id }) => id).sort();
      expect(await listed(HOLD_UNTIL_MS - 1)).toEqual([]);
      expect(await listed(HOLD_UNTIL_MS)).toEqual([hold.id, second.id].sort());
      expect(await listed(HOLD_UNTIL_MS, 1)).toHaveLength(1);
      const capture = await accepted(store, follow('capture', hold.id, 40_00n), 'kiosk');
      expect(await listed(HOLD_UNTIL_MS), 'one is acted upon').toEqual([second.id]);
      await succeed(store, capture);
      expect(await store.expiredHolds(HOLD_UNTIL_MS, 9)).toMatchObject([
        { id: second.id, backend: 'ledger', funding: 'acct-1', payment: { held: 40_00n } },
      ]);
    });

    test('the bridge ends one that is over, without a counter, and once', async () => {
      const { store, mandate, hold } = await held();
      const request = follow('void', hold.id, 40_00n);
      const admission = { ...(await admissionOf(request, HOLD_UNTIL_MS, 'bridge')), device: '' };
      const ask = () => store.admit(admission, (facts) => judgeOwn(admission.request, facts));
      const first = await ask();
      expect(first).toMatchObject({ fresh: true, run: { refusal: undefined, device: '' } });
      expect(await ask()).toMatchObject({ fresh: false, run: { id: first.run.id } });
      expect(await store.highestCounter(CAST.bridge.key.name)).toBe(0);
      await succeed(store, first.run, HOLD_UNTIL_MS);
      expect(await usageOf(store, mandate)).toEqual(each(0n, 0));
      expect(await store.expiredHolds(HOLD_UNTIL_MS, 9)).toEqual([]);
      const { hold: other } = await held(undefined, store, mandate);
      const again = await admissionOf(follow('void', other.id, 40_00n), HOLD_UNTIL_MS, 'bridge');
      const second = await store.admit({ ...again, device: '' }, (facts) =>
        judgeOwn(again.request, facts),
      );
      expect(second, 'the same counter is no clone here').toMatchObject({
        suspended: false,
        run: { refusal: undefined },
      });
    });

    test('one whose own release was declined waits for a person, and blocks no other', async () => {
      const { store, mandate, hold } = await held();
      const { hold: other } = await held(undefined, store, mandate);
      const listed = async () =>
        (await store.expiredHolds(HOLD_UNTIL_MS, 9)).map(({ id }) => id).sort();
      const release = async (counter: number) => {
        const request = { ...follow('void', hold.id, 40_00n), counter };
        const admission = { ...(await admissionOf(request, HOLD_UNTIL_MS, 'bridge')), device: '' };
        const judged = (facts: Facts) => judgeOwn(admission.request, facts);
        return (await store.admit(admission, judged)).run;
      };
      const void1 = await accepted(store, follow('void', hold.id, 40_00n), 'kiosk', HOLD_UNTIL_MS);
      expect(await listed(), 'its payee is releasing it').toEqual([other.id]);
      const early = await release(1);
      expect(early.refusal, 'refused on its way in').toBe('original_busy');
      await close(store, early);
      await decline(store, void1);
      expect(await listed(), 'so it is tried again').toEqual([hold.id, other.id].sort());
      const own = await release(2);
      expect(own.refusal).toBeUndefined();
      await decline(store, own, HOLD_UNTIL_MS);
      expect(await listed()).toEqual([other.id]);
      const void2 = await accepted(store, follow('void', hold.id, 40_00n), 'kiosk', HOLD_UNTIL_MS);
      expect((await succeed(store, void2)).outcome, 'its payee still can').toBe('voided');
      expect(await recounted(store)).toEqual([]);
    });

    test('an open one is never forgotten, nor what it reserves', async () => {
      const { store, mandate, hold } = await held();
      await store.forget(NOW_MS + 86_400_000 * 900);
      expect(await usageOf(store, mandate)).toEqual(each(40_00n, 1));
      const capture = await accepted(store, follow('capture', hold.id, 15_00n), 'kiosk');
      await succeed(store, capture);
      expect((await usageOf(store, mandate))[0]).toEqual({ amount: 15_00n, count: 1 });
    });

    test('the order of a hold is paid, and names it', async () => {
      const { store, mandate, id } = await ordered();
      const { hold } = await held(id, store, mandate);
      expect((await store.order(id))?.state).toBe('paid');
      expect((await store.runOfOrder(id))?.id).toBe(hold.id);
      const capture = await accepted(store, follow('capture', id, 40_00n), 'kiosk');
      expect(capture.original).toBe(hold.id);
    });

    test.each([
      ['capture', 'succeeds', succeed],
      ['refund', 'succeeds', succeed],
      ['capture', 'is declined', decline],
    ] as const)('an order that a %s names is untouched when it %s', async (action, _how, end) => {
      const { store, mandate, id } = await ordered();
      const { hold } = await held(undefined, store, mandate);
      const { order: before } = { order: await store.order(id) };
      if (action === 'refund') {
        await succeed(store, await accepted(store, follow('capture', hold.id, 40_00n), 'kiosk'));
      }
      const named = { ...follow(action, hold.id, 40_00n), order: id, counter: 90 };
      const admission = await admissionOf(named, NOW_MS, 'kiosk');
      const { order: _order, ...unnamed } = admission.request;
      // As if the judge had let it pass: the store itself keeps it away.
      const { run } = await store.admit(admission, (facts) => judgeMany(unnamed, facts));
      expect(run.refusal).toBeUndefined();
      expect(await store.order(id)).toEqual(before);
      await end(store, run);
      expect(await store.order(id)).toEqual(before);
      expect(before?.state).toBe('open');
    });

    test('what was accepted gives back what it took, also when it names no account', async () => {
      const { store, hold } = await held();
      const unfunded = async (action: 'capture' | 'refund', minor: bigint) => {
        const counter = nextCounter(store, 'kiosk');
        const request = { ...follow(action, hold.id, minor), counter };
        const admission = await admissionOf(request, NOW_MS, 'kiosk');
        const { run } = await store.admit(admission, (facts) => {
          const found = judgeMany(admission.request, facts);
          return found.kind === 'accept' ? { ...found, funding: '' } : found;
        });
        expect(run).toMatchObject({ refusal: undefined, funding: '', backends: ['ledger'] });
        return run;
      };
      await decline(store, await unfunded('capture', 40_00n));
      expect(await paymentOf(store, hold.id)).toMatchObject({ held: 40_00n, acting: undefined });
      await succeed(store, await unfunded('capture', 40_00n));
      const refund = await unfunded('refund', 30_00n);
      expect(await recounted(store), 'while it is under way').toEqual([]);
      await decline(store, refund);
      expect(await paymentOf(store, hold.id)).toMatchObject({ refunding: 0n, refunded: 0n });
      expect(await recounted(store)).toEqual([]);
    });

    test('what is not known yet, or moved nothing, is no original', async () => {
      const { store, mandate } = await opened(open, { windows });
      const asked = await accepted(store, { action: 'hold', mandate, amount: yuan(10_00n) });
      const capture = async (id: string) =>
        (await send(store, follow('capture', id, 10_00n), 'kiosk')).refusal;
      expect(await capture(asked.id)).toBe('original_busy');
      await decline(store, asked);
      expect(await capture(asked.id)).toBe('original_unknown');
      expect(await capture('ee'.repeat(16))).toBe('original_unknown');
    });
  });

  describe(`${name}: refunds`, () => {
    /** 40 captured at once. */
    async function paid() {
      const { store, mandate, reopen } = await opened(open, { windows });
      const run = await succeed(store, await accepted(store, { mandate, amount: yuan(40_00n) }));
      return { store, mandate, run, reopen };
    }

    /** 40 held, 15 of it captured. */
    async function partly() {
      const { store, mandate, hold } = await held();
      const asked = await accepted(store, follow('capture', hold.id, 15_00n), 'kiosk');
      return { store, mandate, hold, capture: await succeed(store, asked) };
    }

    /** 50 refunds of one yuan and a half, all at once; how many were accepted. */
    async function many(store: Store, originals: readonly string[]) {
      const admissions = [];
      for (let i = 0; i < 50; i++) {
        const original = originals[i % originals.length]!;
        const changes = { ...follow('refund', original, 1_50n), counter: 100 + i };
        admissions.push(await admissionOf(changes, NOW_MS, i % 2 ? 'kiosk' : 'till'));
      }
      const runs = await Promise.all(
        admissions.map((admission) =>
          store.admit(admission, (facts) => judgeMany(admission.request, facts)),
        ),
      );
      const good = runs.filter(({ run }) => run.refusal === undefined).map(({ run }) => run);
      const reasons = new Set(runs.flatMap(({ run }) => run.refusal ?? []));
      expect([...reasons]).toEqual(['refund_exceeds']);
      return good;
    }

    test('50 at once never give back more than was captured', async () => {
      const { store, run } = await paid();
      const good = await many(store, [run.id]);
      expect(good).toHaveLength(26);
      expect(await paymentOf(store, run.id)).toMatchObject({ refunding: 39_00n, refunded: 0n });
      await Promise.all(good.map((refund) => succeed(store, refund)));
      expect(await paymentOf(store, run.id)).toMatchObject({ refunding: 0n, refunded: 39_00n });
      expect(await recounted(store)).toEqual([]);
      expect((await send(store, follow('refund', run.id, 1_01n), 'kiosk')).refusal).toBe(
        'refund_exceeds',
      );
      await succeed(store, await accepted(store, follow('refund', run.id, 1_00n), 'kiosk'));
    });

    test('of a hold captured in part, that part; by whichever id it is named', async () => {
      const { store, hold, capture } = await partly();
      const good = await many(store, [hold.id, capture.id]);
      expect(good).toHaveLength(10);
      expect(new Set(good.map(({ original }) => original))).toEqual(new Set([hold.id]));
      expect(await paymentOf(store, capture.id)).toMatchObject({
        held: 0n,
        captured: 15_00n,
        refunding: 15_00n,
      });
    });

    test('the order’s id names the payment too, and both count together', async () => {
      const { store, mandate, id } = await ordered();
      const changes = { mandate, order: id, terminal: 'till-1', amount: yuan(40_00n) };
      const run = await succeed(store, await accepted(store, changes));
      const refunds = [
        await accepted(store, follow('refund', id, 25_00n), 'kiosk'),
        await accepted(store, follow('refund', run.id, 15_00n), 'till'),
      ];
      expect(refunds.map(({ original }) => original)).toEqual([run.id, run.id]);
      for (const name of [id, run.id]) {
        const { refusal } = await send(store, follow('refund', name, 1n), 'kiosk');
        expect(refusal).toBe('refund_exceeds');
      }
    });

    test('a declined one gives its part back, once', async () => {
      const { store, run } = await paid();
      const refund = await accepted(store, follow('refund', run.id, 40_00n), 'kiosk');
      const started = await start(store, refund);
      await decline(store, started);
      await decline(store, started);
      expect(await paymentOf(store, run.id)).toMatchObject({ refunding: 0n, refunded: 0n });
      await succeed(store, await accepted(store, follow('refund', run.id, 40_00n), 'kiosk'));
      expect(await paymentOf(store, run.id)).toMatchObject({ refunding: 0n, refunded: 40_00n });
    });

    test('one that was refused on its way in gives nothing back', async () => {
      const { store, run } = await paid();
      const good = await accepted(store, follow('refund', run.id, 40_00n), 'kiosk');
      const bad = await send(store, follow('refund', run.id, 40_00n), 'till');
      await close(store, bad);
      expect(await paymentOf(store, run.id)).toMatchObject({ refunding: 40_00n });
      await succeed(store, good);
    });

    test('one under way keeps its part until there is a word', async () => {
      const { store, run } = await paid();
      const refund = await start(
        store,
        await accepted(store, follow('refund', run.id, 40_00n), 'kiosk'),
      );
      const unknown = word(refund, { state: 'unknown' });
      const asked = await store.progress(refund.id, unknown, NOW_MS);
      await store.progress(refund.id, word(asked, { state: 'person' }), NOW_MS);
      expect((await send(store, follow('refund', run.id, 1n), 'till')).refusal).toBe(
        'refund_exceeds',
      );
    });

    test('frees no window: paying and refunding in turns gets around no limit', async () => {
      const { store, mandate } = await opened(open, { windows: [total(100_00n, 5)] });
      let spent = 0n;
      for (;;) {
        const run = await send(store, { mandate, amount: yuan(40_00n) });
        if (run.refusal) {
          expect(run.refusal).toBe('limit_window');
          break;
        }
        await succeed(store, run);
        await succeed(store, await accepted(store, follow('refund', run.id, 40_00n), 'kiosk'));
        spent += 40_00n;
      }
      expect(spent).toBe(80_00n);
      expect(await usageOf(store, mandate)).toEqual([{ amount: 80_00n, count: 2 }]);
    });

    test('a refund is no payment: it cannot be refunded, captured or voided', async () => {
      const { store, run } = await paid();
      const refund = await succeed(
        store,
        await accepted(store, follow('refund', run.id, 10_00n), 'kiosk'),
      );
      for (const action of ['refund', 'capture', 'void'] as const) {
        const { refusal } = await send(store, follow(action, refund.id, 10_00n), 'kiosk');
        expect(refusal).toBe('original_unknown');
      }
    });

    test('what was captured at once is not held', async () => {
      const { store, run } = await paid();
      for (const action of ['capture', 'void'] as const) {
        const { refusal } = await send(store, follow(action, run.id, 40_00n), 'kiosk');
        expect(refusal).toBe('not_held');
      }
    });

    test('whatever a judge says, the store gives back no more than was captured', async () => {
      const { store, run } = await paid();
      const admission = await admissionOf(follow('refund', run.id, 40_01n), NOW_MS, 'kiosk');
      const wrong = store.admit(admission, (facts) => {
        const less = { ...admission.request, amount: yuan(1n) };
        return judge(less, facts, RULES);
      });
      await expect(wrong).rejects.toThrow();
      expect(await store.run(admission.id)).toBeUndefined();
      expect(await paymentOf(store, run.id)).toMatchObject({ refunding: 0n });
    });
  });
}
