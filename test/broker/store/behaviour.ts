/**
 * What every store must do, written against the port alone: SQLite runs it today, PostgreSQL later.
 *
 * Method: requests are signed and judged by the real verdict, so a store is seen the way the bridge
 * sees it. What a store remembers is read back through `judge`, which is shown all the facts. This
 * file is about one payment on its way; the others are named after what they are about.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ChainLink, Run, Store, Usage } from '../../../broker/store/port.ts';
import { judge } from '../../../broker/verdict.ts';
import { slotOf } from '../../../broker/windows.ts';
import { COUNTER_GAP_MAX } from '../../../src/limits.ts';
import type { Mandate, Window } from '../../../src/objects/mandate.ts';
import { order as orderKind } from '../../../src/objects/order.ts';
import { CAST, NOW_MS, POLICY, RULES } from '../stage.ts';
import { admissionOf, admitTo, enrol, orderOf, putMandate } from '../stage.ts';
import { sealed, statementOf } from '../stage.ts';
import { describeAttempts } from './attempts.ts';
import { describeCancels } from './cancels.ts';
import { describeHistory } from './history.ts';
import { describeHolds } from './holds.ts';
import { describeLeases } from './leases.ts';
import { describeRecords } from './records.ts';
import { describeRevokes } from './revokes.ts';
import { type OpenStore, allow, deny, ending, factsFor, judgeMany, opened } from './acts.ts';
import { openingOf, refusal, refuse, total, usageOf, word, yuan } from './acts.ts';

export function describeStore(name: string, open: OpenStore): void {
  const prepared = (...mandates: Partial<Mandate>[]) => opened(open, ...mandates);

  describeAttempts(name, open);
  describeHolds(name, open);
  describeLeases(name, open);
  describeCancels(name, open);
  describeRevokes(name, open);
  describeRecords(name, open);
  describeHistory(name, open);

  describe(`${name}: admission`, () => {
    test('a refusal is final: the same id gets the same answer and is not judged', async () => {
      const { store, mandate } = await prepared({ perPaymentMax: 9_99n });
      const admission = await admissionOf({ mandate });
      const first = await admitTo(store, admission);
      expect(first).toMatchObject({ fresh: true, suspended: false });
      expect(first.run.refusal).toBe('limit_per_payment');
      const again = await store.admit(admission, () => expect.fail('judged again'));
      expect(again).toEqual({ run: first.run, fresh: false, suspended: false });
    });

    test('id and counter are consumed by a refusal, even of an unknown mandate', async () => {
      const { store } = await prepared();
      const first = await admitTo(store, await admissionOf({ counter: 5 }));
      expect(first.run.refusal).toBe('mandate_unknown');
      expect(await store.highestCounter(CAST.glasses.key.name)).toBe(5);
      expect((await store.run(first.run.id))?.refusal).toBe('mandate_unknown');
    });

    test('a known id reserves nothing more and claims nothing', async () => {
      const { store, mandate } = await prepared({});
      const admission = await admissionOf({ mandate });
      const { run } = await admitTo(store, admission);
      for (let copy = 0; copy < 3; copy++) {
        expect(await admitTo(store, { ...admission, nowMs: NOW_MS + copy })).toEqual({
          run,
          fresh: false,
          suspended: false,
        });
      }
      expect(await usageOf(store, mandate)).toEqual([{ amount: 10_00n, count: 1 }]);
    });

    test('one counter, two requests: the second is refused and the key is suspended', async () => {
      const { store, mandate } = await prepared({});
      const first = await admitTo(store, await admissionOf({ mandate, counter: 3 }));
      const second = await admitTo(
        store,
        await admissionOf({ mandate, counter: 3, amount: yuan(10_01n) }),
      );
      expect(first.run.refusal).toBeUndefined();
      expect(second).toMatchObject({ fresh: true, suspended: true });
      expect(second.run.refusal).toBe('counter_reused');
      expect((await store.identity(CAST.glasses.key.name))?.status).toBe('suspended');
      const third = await admitTo(store, await admissionOf({ mandate, counter: 4 }));
      expect(third.run.refusal).toBe('suspended');
      expect(third.suspended).toBe(false);
    });

    test('a reused counter suspends an active key only: a revoked one stays revoked', async () => {
      const { store, mandate } = await prepared({});
      await admitTo(store, await admissionOf({ mandate, counter: 3 }));
      await store.setIdentityStatus(CAST.glasses.key.name, 'revoked', NOW_MS);
      const clone = await admissionOf({ mandate, counter: 3, amount: yuan(10_01n) });
      const { run, suspended } = await admitTo(store, clone);
      expect(run.refusal).toBe('counter_reused');
      expect(suspended).toBe(false);
      expect((await store.identity(CAST.glasses.key.name))?.status).toBe('revoked');
    });

    test('two requests that reuse a counter are both kept, each with its own refusal', async () => {
      const { store, mandate } = await prepared({});
      const amounts = [1n, 2n, 3n];
      const runs = [];
      for (const minor of amounts) {
        runs.push((await admitTo(store, await admissionOf({ mandate, amount: yuan(minor) }))).run);
      }
      expect(runs.map(({ refusal }) => refusal)).toEqual([
        undefined,
        'counter_reused',
        'counter_reused',
      ]);
      for (const run of runs) expect(await store.run(run.id)).toEqual(run);
    });

    test('a counter far ahead is refused and does not raise the bar', async () => {
      const { store, mandate } = await prepared({});
      const key = CAST.glasses.key.name;
      const far = await admitTo(
        store,
        await admissionOf({ mandate, counter: COUNTER_GAP_MAX + 1 }),
      );
      expect(far.run.refusal).toBe('counter_gap');
      expect(await store.highestCounter(key)).toBe(0);
      const own = await admitTo(store, await admissionOf({ mandate, counter: COUNTER_GAP_MAX }));
      expect(own.run.refusal).toBeUndefined();
      expect(await store.highestCounter(key)).toBe(COUNTER_GAP_MAX);
      const late = await admitTo(store, await admissionOf({ mandate, counter: 1 }));
      expect(late.run.refusal).toBeUndefined();
      expect(await store.highestCounter(key)).toBe(COUNTER_GAP_MAX);
    });

    test('counters belong to a key: two keys may use the same', async () => {
      const { store, ids } = await prepared({}, { cnf: CAST.guest.key.name });
      const mine = await admitTo(store, await admissionOf({ mandate: ids[0]! }));
      const theirs = await admitTo(store, await admissionOf({ mandate: ids[1]! }, NOW_MS, 'guest'));
      expect([mine.run.refusal, theirs.run.refusal]).toEqual([undefined, undefined]);
      expect(await store.highestCounter(CAST.bazaar.key.name)).toBe(0);
    });

    test('the judge sees status, counter, chain, order and terminals as they are', async () => {
      const { store, mandate } = await prepared({ gap: 5 });
      await store.setIdentityStatus(CAST.till.key.name, 'revoked', NOW_MS);
      const payment = await admissionOf({ mandate, counter: 2 });
      await admitTo(store, payment);
      const facts = await factsFor(store, { mandate, counter: 4 }, NOW_MS + 1);
      expect(facts).toMatchObject({ highestCounter: 2, isCounterReused: false, nowMs: NOW_MS + 1 });
      expect(facts.identity).toMatchObject({ name: CAST.glasses.key.name, status: 'active' });
      expect(facts.identity.statement.device).toBe('glasses');
      expect(facts.terminals.map(({ terminal }) => terminal)).toEqual(['till-1']);
      expect(facts.order).toBeUndefined();
      expect(facts.chain).toHaveLength(1);
      expect(facts.chain[0]).toMatchObject({
        id: mandate,
        issuer: CAST.wallet.key.name,
        issuerFault: undefined,
        payer: '07'.repeat(16),
        status: 'active',
        lastMs: NOW_MS,
      });
    });

    test('a chain with a missing link is shown as no chain at all', async () => {
      const { store, mandate } = await prepared({ parent: 'ee'.repeat(16) });
      expect((await factsFor(store, { mandate })).chain).toEqual([]);
    });

    test('a chain is shown leaf first, and the issuer’s status is that of now', async () => {
      const { store, mandate } = await prepared({});
      const agent = CAST.agent.key.name;
      const child = await putMandate(store, { cnf: agent, parent: mandate }, 'glasses');
      await store.setIdentityStatus(CAST.wallet.key.name, 'suspended', NOW_MS);
      const { chain } = await factsFor(store, { mandate: child });
      expect(chain.map(({ id }) => id)).toEqual([child, mandate]);
      expect(chain.map(({ issuerFault }) => issuerFault)).toEqual([undefined, 'suspended']);
    });

    test('an issuer’s fault is also a Key statement that is over, or not valid yet', async () => {
      const { store, mandate } = await prepared({});
      const { nbf, exp } = statementOf('wallet');
      const faultAt = async (nowMs: number) => (await store.mandate(mandate, nowMs))?.issuerFault;
      expect(await faultAt(nbf * 1000)).toBeUndefined();
      expect(await faultAt(nbf * 1000 - 1)).toBe('not_yet_valid');
      expect(await faultAt(exp * 1000 - 1)).toBeUndefined();
      expect(await faultAt(exp * 1000)).toBe('expired');
      const facts = await factsFor(store, { mandate }, exp * 1000);
      expect(facts.chain[0]).toMatchObject({ status: 'active', issuerFault: 'expired' });
      await store.setIdentityStatus(CAST.wallet.key.name, 'revoked', NOW_MS);
      expect(await faultAt(exp * 1000), 'the status goes first').toBe('revoked');
    });

    test('a time zone that is not known here any more: refused for good, no bug', async () => {
      const zone = 'Mars/Olympus';
      const day = { kind: 'calendar', period: 'day', zone, max: 90_00n, count: 9 } as const;
      const { store, mandate } = await prepared({ windows: [day] });
      const admission = await admissionOf({ mandate });
      const { run } = await admitTo(store, admission);
      expect(run.refusal).toBe('mandate_unknown');
      const again = await store.admit(admission, () => expect.fail('judged again'));
      expect(again).toMatchObject({ run, fresh: false });
      expect((await factsFor(store, { mandate, counter: 2 })).chain).toEqual([]);
    });

    test('a run keeps what counts of its claims, not what was claimed', async () => {
      const cnf = CAST.agent.key.name;
      const bands = [{ ceiling: 1_000_00n, level: 0 }] as const;
      const { store, reopen, ids } = await prepared({}, { cnf, bands });
      const tap = { channel: 'tap', presence: 4 } as const;
      const mine = await admissionOf({ mandate: ids[0]!, ...tap });
      const robot = await admissionOf({ mandate: ids[1]!, ...tap }, NOW_MS, 'agent');
      const rules = {
        ...RULES,
        policies: [{ ...POLICY, ladders: [{ currency: 'CNY', bands }] }],
      };
      for (const one of [mine, robot]) {
        await store.admit(one, (facts) => judge(one.request, facts, rules));
      }
      const later = await reopen();
      expect(await later.run(mine.id)).toMatchObject({ presence: 2, channel: 'tap' });
      expect(await later.run(robot.id)).toMatchObject({ presence: 0, channel: 'autonomous' });
    });
  });

  describe(`${name}: windows`, () => {
    test('200 at once of 10 on a window of 100: exactly 10 are accepted (I1)', async () => {
      const { store, mandate } = await prepared({ windows: [total(100n)] });
      expect(await parallel(store, mandate, 10n)).toEqual({ accepted: 10, limit_window: 190 });
      expect(await usageOf(store, mandate)).toEqual([{ amount: 100n, count: 10 }]);
    });

    test('200 at once on a window for 7 payments: exactly 7 are accepted', async () => {
      const { store, mandate } = await prepared({ windows: [total(100_000n, 7)] });
      expect(await parallel(store, mandate, 10n)).toEqual({ accepted: 7, limit_count: 193 });
    });

    test('200 at once on a rolling window of 100: exactly 10 are accepted', async () => {
      const rolling = { kind: 'rolling', seconds: 60, max: 100n, count: 1_000 } as const;
      const { store, mandate } = await prepared({ windows: [total(100_000n), rolling] });
      expect(await parallel(store, mandate, 10n)).toEqual({ accepted: 10, limit_window: 190 });
    });

    test('two children cannot spend more than their parent has', async () => {
      const { store, mandate } = await prepared({ windows: [total(100n)] });
      const child = (epoch: number) =>
        putMandate(store, { cnf: CAST.glasses.key.name, parent: mandate, epoch }, 'glasses');
      const children = [await child(1), await child(2)];
      let accepted = 0;
      for (let counter = 1; counter <= 20; counter++) {
        const changes = { mandate: children[counter % 2]!, counter, amount: yuan(10n) };
        const { run } = await admitTo(store, await admissionOf(changes));
        if (run.refusal) expect(run.refusal).toBe('limit_window');
        else accepted++;
      }
      expect(accepted).toBe(10);
    });

    test('settle keeps what was reserved, void gives it back, in every window', async () => {
      const day = { kind: 'calendar', period: 'day', zone: 'UTC', max: 90_00n, count: 9 } as const;
      const rolling = { kind: 'rolling', seconds: 60, max: 80_00n, count: 8 } as const;
      const { store, mandate } = await prepared({ windows: [total(99_00n), day, rolling] });
      const runs: Run[] = [];
      for (const [i, minor] of [10_00n, 20_00n, 40_00n].entries()) {
        const changes = { mandate, counter: i + 1, amount: yuan(minor) };
        runs.push((await admitTo(store, await admissionOf(changes))).run);
      }
      const each = (usage: Usage) => [usage, usage, usage];
      expect(await usageOf(store, mandate)).toEqual(each({ amount: 70_00n, count: 3 }));
      await store.conclude(runs[0]!, ending());
      expect(await usageOf(store, mandate)).toEqual(each({ amount: 70_00n, count: 3 }));
      await store.conclude(runs[1]!, refusal());
      expect(await usageOf(store, mandate)).toEqual(each({ amount: 50_00n, count: 2 }));
      await store.conclude(runs[2]!, ending({ outcome: 'expired', reason: 'expired' }));
      expect(await usageOf(store, mandate)).toEqual(each({ amount: 10_00n, count: 1 }));
      expect(runs[0]!.remaining).toEqual([
        { amount: 89_00n, count: 999 },
        { amount: 80_00n, count: 8 },
        { amount: 70_00n, count: 7 },
      ]);
    });

    test('what is settled or voided once is not settled or voided again', async () => {
      const { store, mandate } = await prepared({});
      const settled = (await admitTo(store, await admissionOf({ mandate }))).run;
      const voided = (await admitTo(store, await admissionOf({ mandate, counter: 2 }))).run;
      for (let copy = 0; copy < 3; copy++) {
        await store.conclude(settled, ending());
        await store.conclude(settled, refusal());
        await store.conclude(voided, refusal());
        await store.conclude(voided, ending());
      }
      expect(await usageOf(store, mandate)).toEqual([{ amount: 10_00n, count: 1 }]);
    });

    test('a calendar window begins anew; a run settles in the day it was admitted', async () => {
      const zone = 'Asia/Shanghai';
      const day = { kind: 'calendar', period: 'day', zone, max: 10_00n, count: 1 } as const;
      const { store, mandate } = await prepared({ windows: [day] });
      const midnight = Date.parse('2026-10-14T16:00:00.000Z');
      const before = await admitTo(store, await admissionOf({ mandate }, midnight - 1));
      const full = await admitTo(store, await admissionOf({ mandate, counter: 2 }, midnight - 1));
      const after = await admitTo(store, await admissionOf({ mandate, counter: 3 }, midnight));
      expect([before, full, after].map(({ run }) => run.refusal)).toEqual([
        undefined,
        'limit_window',
        undefined,
      ]);
      await store.conclude(before.run, ending({ nowMs: midnight + 1 }));
      await store.conclude(after.run, refusal({ nowMs: midnight + 1 }));
      expect(await usageOf(store, mandate, midnight - 1)).toEqual([{ amount: 10_00n, count: 1 }]);
      expect(await usageOf(store, mandate, midnight)).toEqual([{ amount: 0n, count: 0 }]);
    });

    test('a rolling window forgets a payment after exactly its seconds', async () => {
      const rolling = { kind: 'rolling', seconds: 60, max: 10_00n, count: 9 } as const;
      const { store, mandate } = await prepared({ windows: [rolling] });
      const pay = async (counter: number, atMs: number) =>
        (await admitTo(store, await admissionOf({ mandate, counter }, NOW_MS + atMs))).run.refusal;
      expect(await pay(1, 0)).toBeUndefined();
      expect(await pay(2, 59_999)).toBe('limit_window');
      expect(await pay(3, 60_000)).toBeUndefined();
      expect(await pay(4, 60_001)).toBe('limit_window');
    });

    test('a clock that steps back does not empty a rolling window', async () => {
      const rolling = { kind: 'rolling', seconds: 60, max: 10_00n, count: 9 } as const;
      const { store, mandate } = await prepared({ windows: [rolling] });
      await admitTo(store, await admissionOf({ mandate }, NOW_MS));
      const { run } = await admitTo(
        store,
        await admissionOf({ mandate, counter: 2 }, NOW_MS - 30_000),
      );
      expect(run.refusal).toBe('limit_window');
    });

    test('a gap counts from the last payment that was not voided', async () => {
      const { store, mandate } = await prepared({ gap: 60 });
      const pay = async (counter: number, atMs: number) =>
        (await admitTo(store, await admissionOf({ mandate, counter }, NOW_MS + atMs))).run;
      const first = await pay(1, 0);
      expect((await pay(2, 59_999)).refusal).toBe('limit_gap');
      await store.conclude(first, refusal());
      const second = await pay(3, 59_999);
      expect(second.refusal).toBeUndefined();
      await store.conclude(second, ending());
      expect((await pay(4, 60_000)).refusal).toBe('limit_gap');
    });
  });

  describe(`${name}: orders`, () => {
    async function ordered() {
      const { store, mandate, reopen } = await prepared({});
      const { id, envelope } = await sealed(orderKind, orderOf(), CAST.kiosk);
      await store.putOrder(id, 'kiosk', envelope, NOW_MS);
      const changes = { mandate, order: id, terminal: 'till-1', amount: yuan(40_00n) };
      const pay = async (counter: number) =>
        (await admitTo(store, await admissionOf({ ...changes, counter }))).run;
      return { store, id, envelope, pay, reopen };
    }

    test('is open, then claimed by one run, then paid, and paid for good', async () => {
      const { store, id, envelope, pay } = await ordered();
      expect(await store.order(id)).toMatchObject({ state: 'open', device: 'kiosk' });
      const run = await pay(1);
      expect((await store.order(id))?.state).toBe('claimed');
      expect((await pay(2)).refusal).toBe('order_claimed');
      const terminalReceipt = { device: 'kiosk', receipt: Uint8Array.of(9) };
      const ended = await store.conclude(run, ending({ terminalReceipt }));
      expect(ended.terminalReceipt).toEqual(terminalReceipt);
      expect((await pay(3)).refusal).toBe('order_paid');
      expect(await store.putOrder(id, 'kiosk', envelope, NOW_MS)).toMatchObject({
        state: 'paid',
        receipt: Uint8Array.of(9),
      });
      expect(await store.closeOrder(id, Uint8Array.of(7))).toEqual(Uint8Array.of(9));
    });

    test('is paid by what a restore had forgotten, unless another claims it', async () => {
      const { store, id, pay } = await ordered();
      const stale = { kind: 'refuse', reason: 'stale_nonce', why: 'restored' } as const;
      const barred = async (counter: number) => {
        const changes = { order: id, terminal: 'till-1', amount: yuan(40_00n), counter };
        const { run } = await store.admit(await admissionOf(changes), () => stale);
        return store.attempt(run.id, openingOf(run), NOW_MS);
      };
      const [first, second] = [await barred(101), await barred(102)];
      const claims = await pay(1);
      const progress = (run: Run) =>
        word(run, { state: 'done', outcome: 'captured', reference: 'ref' });
      const terminalReceipt = { device: 'kiosk', receipt: Uint8Array.of(9) };
      await store.conclude(first, ending({ progress: progress(first), terminalReceipt }));
      expect((await store.order(id))?.state, 'another’s claim stands').toBe('claimed');
      expect((await store.runOfOrder(id))?.id).toBe(claims.id);
      await store.conclude(claims, refusal());
      expect((await store.order(id))?.state).toBe('open');
      await store.conclude(second, ending({ progress: progress(second), terminalReceipt }));
      expect((await store.order(id))?.state).toBe('paid');
      expect((await store.runOfOrder(id))?.id).toBe(second.id);
      expect(await store.closeOrder(id, Uint8Array.of(7))).toEqual(Uint8Array.of(9));
      expect((await pay(2)).refusal).toBe('order_paid');
    });

    test('is open again when the run that claimed it is refused', async () => {
      const { store, id, pay } = await ordered();
      const run = await pay(1);
      await store.conclude(run, refusal());
      expect((await store.order(id))?.state).toBe('open');
      expect((await pay(2)).refusal).toBeUndefined();
    });

    test('is not closed while it is claimed, and nobody pays it once it is', async () => {
      const { store, id, pay } = await ordered();
      const run = await pay(1);
      expect(await store.closeOrder(id, Uint8Array.of(7))).toBeUndefined();
      await store.conclude(run, refusal());
      expect(await store.closeOrder(id, Uint8Array.of(7))).toEqual(Uint8Array.of(7));
      expect(await store.closeOrder(id, Uint8Array.of(8))).toEqual(Uint8Array.of(7));
      expect((await store.order(id))?.state).toBe('closed');
      expect((await pay(2)).refusal).toBe('order_expired');
    });

    test('refused when it came, it is closed: same answer later, and never paid', async () => {
      const { store, mandate } = await prepared({});
      const { id, envelope } = await sealed(orderKind, orderOf(), CAST.kiosk);
      const [no, other] = [Uint8Array.of(5), Uint8Array.of(6)];
      const refused = await store.putOrder(id, 'kiosk', envelope, NOW_MS, no);
      expect(refused).toMatchObject({ state: 'closed', receipt: no });
      const reinstated = await store.putOrder(id, 'kiosk', envelope, NOW_MS + 1);
      expect(reinstated).toEqual(refused);
      expect(await store.putOrder(id, 'kiosk', envelope, NOW_MS + 2, other)).toEqual(refused);
      expect(await store.closeOrder(id, other)).toEqual(no);
      const changes = { mandate, order: id, terminal: 'till-1', amount: yuan(40_00n) };
      const { run } = await admitTo(store, await admissionOf(changes));
      expect(run.refusal).toBe('order_expired');
    });

    test('registered and good, a later refusal of its terminal does not close it', async () => {
      const { store, id, envelope } = await ordered();
      const later = await store.putOrder(id, 'kiosk', envelope, NOW_MS, Uint8Array.of(5));
      expect(later).toMatchObject({ state: 'open', receipt: undefined });
    });

    test('old ones are forgotten, open and closed ones too, but never a claimed one', async () => {
      const { store, mandate } = await prepared({});
      const ids: string[] = [];
      for (const [i, atMs] of [0, 1, 2, 10].entries()) {
        const salt = new Uint8Array(16).fill(i);
        const { id, envelope } = await sealed(orderKind, orderOf({ salt }), CAST.kiosk);
        const refused = i === 1 ? Uint8Array.of(5) : undefined;
        await store.putOrder(id, 'kiosk', envelope, NOW_MS + atMs, refused);
        ids.push(id);
      }
      const [open, closed, claimed, recent] = ids as [string, string, string, string];
      const changes = { mandate, order: claimed, terminal: 'till-1', amount: yuan(40_00n) };
      expect((await admitTo(store, await admissionOf(changes))).run.refusal).toBeUndefined();
      await store.forget(NOW_MS + 10);
      expect(await store.order(open)).toBeUndefined();
      expect(await store.order(closed)).toBeUndefined();
      expect((await store.order(claimed))?.state).toBe('claimed');
      expect((await store.order(recent))?.state).toBe('open');
    });

    test('a refused request does not claim it', async () => {
      const { store, id } = await ordered();
      const wrong = await admissionOf({ order: id, terminal: 'till-1', amount: yuan(40_00n) });
      expect((await admitTo(store, wrong)).run.refusal).toBe('mandate_unknown');
      expect((await store.order(id))?.state).toBe('open');
    });
  });

  describe(`${name}: decision and conclusion`, () => {
    test('the first decision counts, and only an allow opens an attempt', async () => {
      const { store, mandate } = await prepared({});
      const { run } = await admitTo(store, await admissionOf({ mandate }));
      expect(run).toMatchObject({ decision: undefined, attempts: [] });
      const decided = await store.decide(run, deny, undefined, NOW_MS);
      expect(decided).toEqual({ ...run, decision: deny });
      const late = await store.decide(run, allow, openingOf(run), NOW_MS + 1);
      expect(late).toEqual(decided);
      expect(await store.run(run.id)).toEqual(decided);
    });

    test('the first attempt is the one that is remembered', async () => {
      const { store, mandate } = await prepared({});
      const { run } = await admitTo(store, await admissionOf({ mandate }));
      const decided = await store.decide(run, allow, openingOf(run), NOW_MS + 1);
      const attempt = { ...openingOf(run), number: 1, state: 'submitting', atMs: NOW_MS + 1 };
      expect(decided).toEqual({ ...run, decision: allow, attempts: [attempt] });
      expect(await store.decide(run, deny, undefined, NOW_MS + 2)).toEqual(decided);
      const twice = await store.decide(run, allow, openingOf(run, 'other'), NOW_MS + 3);
      expect(twice).toEqual(decided);
      expect(await store.run(run.id)).toEqual(decided);
    });

    test('what was refused on its way in, or is over, is not decided any more', async () => {
      const { store, mandate } = await prepared({});
      const { run: refused } = await admitTo(store, await admissionOf({ counter: 1 }));
      expect(refused.refusal).toBe('mandate_unknown');
      expect(await store.decide(refused, allow, openingOf(refused), NOW_MS)).toEqual(refused);
      const { run } = await admitTo(store, await admissionOf({ mandate, counter: 2 }));
      const over = await store.conclude(run, refusal());
      expect(await store.decide(run, allow, openingOf(run), NOW_MS)).toEqual(over);
      for (const { id } of [refused, run]) {
        expect(await store.run(id)).toMatchObject({ decision: undefined, attempts: [] });
      }
    });

    test('a refusal that came first is not granted over, and may end as expired', async () => {
      const { store, mandate } = await prepared({});
      const refused = await admissionOf({ mandate });
      const { run } = await store.admit(refused, () => refuse);
      expect(await store.conclude(run, ending({ outcome: 'granted' }))).toEqual(run);
      expect((await store.conclude(run, refusal())).outcome).toBe('refused');
      const old = await admissionOf({ mandate, counter: 2, exp: NOW_MS / 1000 });
      const late = (await admitTo(store, old)).run;
      expect(late.refusal).toBe('expired');
      const over = await store.conclude(late, ending({ outcome: 'expired', reason: 'expired' }));
      expect(over.outcome).toBe('expired');
    });

    test('the first conclusion counts: whoever comes later gets its receipt', async () => {
      const { store, mandate } = await prepared({});
      const { run } = await admitTo(store, await admissionOf({ mandate }));
      const first = await store.conclude(run, ending({ receipt: Uint8Array.of(1) }));
      const second = await store.conclude(run, ending({ receipt: Uint8Array.of(2) }));
      const third = await store.conclude(run, refusal({ receipt: Uint8Array.of(3) }));
      expect(first.receipt).toEqual(Uint8Array.of(1));
      expect([second, third]).toEqual([first, first]);
      expect(await store.decide(run, deny, undefined, NOW_MS)).toEqual(first);
      expect((await store.run(run.id))?.decision).toBeUndefined();
    });

    test('what ended long ago is forgotten, what is open is not', async () => {
      const { store, mandate } = await prepared({});
      const old = (await admitTo(store, await admissionOf({ mandate }))).run;
      const waiting = (await admitTo(store, await admissionOf({ mandate, counter: 2 }))).run;
      const recent = (await admitTo(store, await admissionOf({ mandate, counter: 3 }))).run;
      await store.conclude(old, ending());
      await store.conclude(recent, ending({ nowMs: NOW_MS + 10 }));
      await store.forget(NOW_MS + 10);
      expect(await store.run(old.id)).toBeUndefined();
      expect((await store.run(waiting.id))?.id).toBe(waiting.id);
      expect((await store.run(recent.id))?.id).toBe(recent.id);
      const used = await usageOf(store, mandate);
      expect(used, 'a total is for ever').toEqual([{ amount: 30_00n, count: 3 }]);
      expect(await store.highestCounter(CAST.glasses.key.name)).toBe(3);
    });
  });

  describe(`${name}: disk`, () => {
    test('what was closed and opened again knows everything', async () => {
      const { store, reopen, mandate } = await prepared({});
      const order = await sealed(orderKind, orderOf(), CAST.kiosk);
      await store.putOrder(order.id, 'kiosk', order.envelope, NOW_MS);
      const paid = await admissionOf({
        mandate,
        order: order.id,
        terminal: 'till-1',
        amount: yuan(40_00n),
      });
      const { run } = await admitTo(store, paid);
      const started = await store.decide(run, allow, openingOf(run), NOW_MS + 1);
      const terminalReceipt = { device: 'kiosk', receipt: Uint8Array.of(9) };
      const progress = word(started, { state: 'done', outcome: 'captured', reference: 'ref' });
      await store.conclude(started, ending({ terminalReceipt, progress }));
      const refused = await admissionOf({ mandate, counter: 2, payee: 'nobody' });
      await admitTo(store, refused);
      await store.setMeta('tick_generation', '1');
      await store.setMeta('tick_generation', '2');
      await store.setIdentityStatus(CAST.guest.key.name, 'suspended', NOW_MS);
      const before = await everything(store);

      const later = await reopen();
      expect(await everything(later)).toEqual(before);
      expect(before.runs[0]?.decision).toEqual(allow);
      expect(before.runs[0]?.attempts).toMatchObject([{ state: 'done', reference: 'ref' }]);
      expect(new Set(before.all.map(({ id }) => id))).toEqual(new Set([paid.id, refused.id]));
      expect(before.orderRun?.id).toBe(paid.id);
      expect(before.runs[1]?.refusal).toBe('scope_payee');
      expect(before.meta).toBe('2');
      expect((await admitTo(later, paid)).fresh).toBe(false);
      expect(await usageOf(later, mandate)).toEqual([{ amount: 40_00n, count: 1 }]);

      async function everything(from: Store) {
        return {
          runs: [await from.run(paid.id), await from.run(refused.id)],
          all: await from.runs('all', { atMs: 0, id: '' }, 10),
          orderRun: await from.runOfOrder(order.id),
          evidence: await from.evidencePage(0, 100),
          chain: await from.chain(mandate, NOW_MS),
          mandate: await from.mandate(mandate, NOW_MS),
          order: await from.order(order.id),
          guest: await from.identity(CAST.guest.key.name),
          device: await from.identityOfDevice('glasses'),
          kid: await from.identityOfKid(CAST.kiosk.key.name.slice(0, 16)),
          highest: await from.highestCounter(CAST.glasses.key.name),
          meta: await from.meta('tick_generation'),
          nothing: [await from.run('0'), await from.mandate('0', NOW_MS), await from.meta('0')],
        };
      }
    });

    test('a device name or a kid that another key holds is not taken over', async () => {
      const { store } = await prepared();
      const identity = (await store.identityOfDevice('guest'))!;
      const statement = { ...identity.statement, device: 'glasses' };
      await expect(
        store.putIdentity(identity.name, statement, new Uint8Array(), NOW_MS),
      ).rejects.toMatchObject({ reason: 'suspended' });
      const twin = `${CAST.glasses.key.name.slice(0, 16)}${'0'.repeat(48)}`;
      await expect(
        store.putIdentity(twin, { ...statement, device: 'twin' }, new Uint8Array(), NOW_MS),
      ).rejects.toMatchObject({ reason: 'suspended' });
      expect((await store.identityOfDevice('glasses'))?.name).toBe(CAST.glasses.key.name);
    });

    test('enrolling again renews the statement and keeps the status', async () => {
      const { store } = await prepared();
      await store.setIdentityStatus(CAST.glasses.key.name, 'suspended', NOW_MS);
      await enrol(store, ['glasses']);
      expect((await store.identityOfDevice('glasses'))?.status).toBe('suspended');
    });
  });

  describe(`${name}: any history`, () => {
    const window = fc.oneof(
      fc.record({ kind: fc.constant('total' as const), max: fc.bigInt(0n, 60n), count: small(8) }),
      fc.record({
        kind: fc.constant('calendar' as const),
        period: fc.constantFrom('day' as const, 'week' as const, 'month' as const),
        zone: fc.constantFrom('Asia/Shanghai', 'Europe/Berlin', 'UTC'),
        max: fc.bigInt(0n, 40n),
        count: small(6),
      }),
      fc.record({
        kind: fc.constant('rolling' as const),
        seconds: small(100_000),
        max: fc.bigInt(0n, 40n),
        count: small(6),
      }),
    );
    const windows = fc.array(window, { minLength: 1, maxLength: 3 });
    const step = fc.oneof(
      {
        weight: 3,
        arbitrary: fc.record({ pay: small(15), hours: fc.integer({ min: 0, max: 20 }) }),
      },
      { weight: 2, arbitrary: fc.record({ end: fc.nat(30), captured: fc.boolean() }) },
    );

    test('windows of a chain never hold more than they may, nor other than the sum', async () => {
      await fc.assert(
        fc.asyncProperty(windows, windows, fc.array(step, { maxLength: 40 }), async (...given) => {
          const [ofParent, ofChild, steps] = given;
          const { store, mandate: parent } = await prepared({ windows: ofParent });
          const child = await putMandate(store, { windows: ofChild, parent }, 'glasses');
          const model: Paid[] = [];
          let nowMs = NOW_MS;
          let counter = 0;
          for (const act of steps) {
            if ('pay' in act) {
              nowMs += act.hours * 3_600_000;
              const changes = { mandate: counter % 3 === 0 ? parent : child, counter: ++counter };
              const admission = await admissionOf(
                { ...changes, amount: yuan(BigInt(act.pay)) },
                nowMs,
              );
              // The mandates last a day; windows are the only thing that is looked at here.
              const { run } = await store.admit(admission, (facts) => {
                for (const link of facts.chain) expectSums(link, model, nowMs);
                const chain = facts.chain.map((link) => lasting(link));
                return judge(admission.request, { ...facts, chain }, RULES);
              });
              if (run.refusal) expect(run.refusal).toMatch(/^limit_(window|count)$/);
              else
                model.push({
                  run,
                  atMs: nowMs,
                  minor: BigInt(act.pay),
                  state: 'reserved',
                  mandates: changes.mandate === child ? [child, parent] : [parent],
                });
            } else if (model.length > 0) {
              const paid = model[act.end % model.length]!;
              await store.conclude(paid.run, act.captured ? ending() : refusal());
              if (paid.state === 'reserved') paid.state = act.captured ? 'settled' : 'voided';
            }
          }
          const last = await factsFor(store, { mandate: child, counter: counter + 1 }, nowMs);
          for (const link of last.chain) expectSums(link, model, nowMs);
          await store.close();
        }),
        { numRuns: process.env['SAYTAP_FULL'] ? 1_000 : 40 },
      );
    });
  });
}

type Paid = {
  run: Run;
  atMs: number;
  minor: bigint;
  state: 'reserved' | 'settled' | 'voided';
  mandates: readonly string[];
};

/** What the store says that a window holds, against a count of the payments from outside. */
function expectSums(link: ChainLink, model: readonly Paid[], nowMs: number): void {
  link.mandate.windows.forEach((window, i) => {
    const counted = model.filter(
      (paid) =>
        paid.state !== 'voided' &&
        paid.mandates.includes(link.id) &&
        isInSlot(window, paid.atMs, nowMs),
    );
    const amount = counted.reduce((sum, { minor }) => sum + minor, 0n);
    expect(link.usage[i]).toEqual({ amount, count: counted.length });
    expect(amount <= window.max && counted.length <= window.count).toBe(true);
  });
}

function isInSlot(window: Window, atMs: number, nowMs: number): boolean {
  const [then, now] = [slotOf(window, atMs), slotOf(window, nowMs)];
  return now.kind === 'since' ? atMs > now.sinceMs : JSON.stringify(then) === JSON.stringify(now);
}

function lasting(link: ChainLink): ChainLink {
  return { ...link, mandate: { ...link.mandate, exp: link.mandate.exp * 2 } };
}

function small(max: number) {
  return fc.integer({ min: 1, max });
}

/** Sends 200 payments at once; every key sends at most as many as a key may have under way. */
async function parallel(store: Store, mandate: string, minor: bigint) {
  const admissions = [];
  for (let counter = 1; counter <= 200; counter++) {
    admissions.push(await admissionOf({ mandate, counter, amount: yuan(minor) }));
  }
  const found: Record<string, number> = {};
  const runs = await Promise.all(
    admissions.map((admission) =>
      store.admit(admission, (facts) => judgeMany(admission.request, facts)),
    ),
  );
  for (const { run } of runs) {
    const name = run.refusal ?? 'accepted';
    found[name] = (found[name] ?? 0) + 1;
  }
  return found;
}
