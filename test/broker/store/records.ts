/**
 * Records: every step leaves its row in the chain of evidence, contents can be erased and the chain
 * still holds, and counting the tables again finds nothing.
 */
import { describe, expect, test } from 'vitest';
import { GENESIS, digestOf, linkOf } from '../../../broker/store/chain.ts';
import type { EvidenceRow, Store } from '../../../broker/store/port.ts';
import { toHex } from '../../../src/bytes.ts';
import { RESEND_FOR_MS } from '../../../src/limits.ts';
import { order as orderKind } from '../../../src/objects/order.ts';
import {
  CAST,
  NOW_MS,
  admissionOf,
  admitTo,
  enrol,
  orderOf,
  putMandate,
  sealed,
} from '../stage.ts';
import { type OpenStore, accepted, close, decline, deny, follow, opened } from './acts.ts';
import { openingOf, receiptFor, recounted, revocationOf, send, start, succeed } from './acts.ts';
import { usageOf, word, yuan } from './acts.ts';

/** Every row, read in small pages. */
async function chainOf(store: Store): Promise<readonly EvidenceRow[]> {
  const rows: EvidenceRow[] = [];
  for (;;) {
    const page = await store.evidencePage(rows.at(-1)?.number ?? 0, 7);
    if (page.length === 0) return rows;
    rows.push(...page);
  }
}

/** No gap, and every link follows from the one before; what is not erased has its digest. */
function expectWhole(rows: readonly EvidenceRow[]): void {
  let previous = GENESIS;
  for (const [i, row] of rows.entries()) {
    expect(row.number).toBe(i + 1);
    expect(toHex(row.link)).toBe(toHex(linkOf(previous, row)));
    expect(row.salt === undefined).toBe(row.body === undefined);
    if (row.salt && row.body) {
      expect(toHex(row.digest)).toBe(toHex(digestOf(row.salt, row.body)));
    }
    previous = row.link;
  }
}

const kinds = (rows: readonly EvidenceRow[]) => rows.map(({ kind }) => kind);
const json = (row: EvidenceRow | undefined) =>
  JSON.parse(new TextDecoder().decode(row?.body)) as Record<string, unknown>;

export function describeRecords(name: string, open: OpenStore): void {
  describe(`${name}: evidence`, () => {
    test('of a payment: each step, as it was received or decided', async () => {
      const { store, mandate } = await opened(open, {});
      const admission = await admissionOf({ mandate, counter: 1 });
      const { run } = await admitTo(store, admission);
      const started = await start(store, run, NOW_MS + 1);
      await store.progress(run.id, word(started, { state: 'unsent' }), NOW_MS + 2);
      await store.attempt(run.id, openingOf(run, 'other'), NOW_MS + 3);
      const again = (await store.run(run.id))!;
      await succeed(store, again, NOW_MS + 4);
      const rows = await store.evidence(run.id);
      expect(rows.map(({ kind, atMs }) => [kind, atMs - NOW_MS])).toEqual([
        ['request', 0],
        ['verdict', 0],
        ['decision', 1],
        ['answer', 2],
        ['attempt', 3],
        ['answer', 4],
        ['receipt', 4],
      ]);
      expect(rows[0]!.body).toEqual(admission.envelope);
      expect(json(rows[1])).toEqual({
        kind: 'accept',
        presence: 2,
        channel: 'voice',
        reservations: [{ mandate, window: 1, amount: '1000' }],
        remaining: [{ amount: '99000', count: 99 }],
        funding: 'acct-1',
        payer: '07'.repeat(16),
        backends: ['ledger'],
      });
      expect(json(rows[2])).toMatchObject({ kind: 'allow', attempt: { backend: 'ledger' } });
      expect(json(rows[3])).toMatchObject({ number: 1, state: 'unsent', source: 'answer' });
      expect(json(rows[4])).toMatchObject({ number: 2, backend: 'other' });
      expect(json(rows[5])).toMatchObject({ number: 2, state: 'done', outcome: 'captured' });
      expect(rows[6]!.body).toEqual(receiptFor(run));
      expectWhole(await chainOf(store));
    });

    test('of a refusal: which limit of which mandate said no', async () => {
      const { store, mandate } = await opened(open, { perPaymentMax: 9_99n });
      const run = await send(store, { mandate });
      await close(store, run);
      const rows = await store.evidence(run.id);
      expect(kinds(rows)).toEqual(['request', 'verdict', 'receipt']);
      expect(json(rows[1])).toMatchObject({
        kind: 'refuse',
        reason: 'limit_per_payment',
        why: expect.stringContaining(mandate.slice(0, 8)) as unknown,
      });
    });

    test('of keys, mandates, orders, cancels, revokes and what people note', async () => {
      const { store, mandate } = await opened(open, {});
      const key = CAST.glasses.key.name;
      await store.setIdentityStatus(CAST.till.key.name, 'suspended', NOW_MS);
      const { id: order, envelope } = await sealed(orderKind, orderOf(), CAST.kiosk);
      await store.putOrder(order, 'kiosk', envelope, NOW_MS);
      const running = await start(store, await accepted(store, { mandate, counter: 1 }));
      const gone = await admissionOf({ mandate, counter: 2 });
      const bytes = { envelope: Uint8Array.of(1), receipt: Uint8Array.of(2) };
      const cancel = { id: 'c1'.repeat(16), key, ...bytes, isUnsure: false, nowMs: NOW_MS };
      await store.cancel({ ...cancel, subject: gone.id });
      await store.cancel({ ...cancel, id: 'c2'.repeat(16), subject: running.id });
      await admitTo(store, gone);
      const revocation = await revocationOf({ mandate });
      await store.revoke(revocation);
      await store.putRevokeReceipt(revocation.id, Uint8Array.of(3), NOW_MS);
      const clone = await admissionOf({ mandate, counter: 1, amount: yuan(1n) });
      await admitTo(store, clone);
      const body = new TextEncoder().encode('{"by":"eve"}');
      await store.note({ subject: running.id, kind: 'note', body, nowMs: NOW_MS });

      const of = async (subject: string) => kinds(await store.evidence(subject));
      expect(await of(CAST.till.key.name)).toEqual(['key', 'status']);
      expect(await of(mandate)).toEqual(['mandate']);
      expect(await of(order)).toEqual(['order']);
      expect(await of('c1'.repeat(16)), 'one that buries').toEqual(['cancel', 'receipt']);
      expect(await of('c2'.repeat(16)), 'one of a run').toEqual([]);
      expect(await of(gone.id)).toEqual(['request', 'verdict']);
      expect(await of(running.id)).toEqual(['request', 'verdict', 'decision', 'cancel', 'note']);
      expect(await of(revocation.id)).toEqual(['revoke', 'status', 'receipt']);
      expect(json((await store.evidence(revocation.id))[1])).toMatchObject({
        mandate,
        running: [running.id],
        refused: [],
      });
      expect(json((await store.evidence(key)).at(-1))).toEqual({
        status: 'suspended',
        request: clone.id,
      });
      expectWhole(await chainOf(store));
    });

    test('what is said again leaves no row again', async () => {
      const { store, mandate } = await opened(open, {});
      const admission = await admissionOf({ mandate, counter: 1 });
      const { run } = await admitTo(store, admission);
      await succeed(store, run);
      const before = await chainOf(store);
      await admitTo(store, admission);
      await store.decide(run, deny, undefined, NOW_MS);
      await succeed(store, (await store.run(run.id))!);
      await putMandate(store, {});
      await store.setIdentityStatus(CAST.glasses.key.name, 'active', NOW_MS);
      expect(await chainOf(store)).toEqual(before);
    });

    test('a key whose statement is renewed has both in its evidence', async () => {
      const { store } = await opened(open);
      const { name: key } = CAST.glasses.key;
      const identity = (await store.identity(key))!;
      await store.putIdentity(key, identity.statement, Uint8Array.of(1), NOW_MS);
      await store.putIdentity(key, identity.statement, Uint8Array.of(1), NOW_MS);
      expect(kinds(await store.evidence(key))).toEqual(['key', 'key']);
      await enrol(store, ['glasses']);
      expect((await store.identity(key))?.statement).toEqual(identity.statement);
    });

    test('a verb of a group that is refused leaves no row and no gap', async () => {
      const { store, mandate } = await opened(open, {});
      const run = await start(store, await accepted(store, { mandate }));
      const results = await Promise.allSettled([
        store.note({ subject: 'a', kind: 'note', body: Uint8Array.of(1), nowMs: NOW_MS }),
        store.attempt(run.id, openingOf(run, 'other'), NOW_MS),
        store.revoke(await revocationOf({ mandate: 'ee'.repeat(16) })),
        store.admit(await admissionOf({ mandate, counter: 9 }), () => {
          throw new Error('a bug of the judge');
        }),
        store.note({ subject: 'b', kind: 'note', body: Uint8Array.of(2), nowMs: NOW_MS }),
      ]);
      expect(results.map(({ status }) => status)).toEqual([
        'fulfilled',
        'rejected',
        'rejected',
        'rejected',
        'fulfilled',
      ]);
      const rows = await chainOf(store);
      expect(rows.slice(-2).map(({ subject }) => subject)).toEqual(['a', 'b']);
      expectWhole(rows);
    });

    test('the chain goes on where it was after a restart', async () => {
      const { store, reopen, mandate } = await opened(open, {});
      await accepted(store, { mandate });
      const before = await chainOf(store);
      const later = await reopen();
      await later.note({ subject: 'a', kind: 'note', body: Uint8Array.of(1), nowMs: NOW_MS });
      const after = await chainOf(later);
      expect(after.slice(0, -1)).toEqual(before);
      expectWhole(after);
    });

    test('a salt of its own for every row: equal bodies do not show', async () => {
      const { store } = await opened(open);
      const body = Uint8Array.of(7);
      for (const subject of ['a', 'b']) {
        await store.note({ subject, kind: 'note', body, nowMs: NOW_MS });
      }
      const [one, other] = [(await store.evidence('a'))[0]!, (await store.evidence('b'))[0]!];
      expect(one.salt).toHaveLength(16);
      expect(one.salt).not.toEqual(other.salt);
      expect(one.digest).not.toEqual(other.digest);
    });
  });

  describe(`${name}: erasing and forgetting`, () => {
    const payer = '07'.repeat(16);
    const laterMs = NOW_MS + RESEND_FOR_MS + 10;
    const what = { payer, beforeMs: NOW_MS + 10, by: 'eve', nowMs: laterMs };

    /** A payment that is over, a hold, one open, one refused, and one of later. */
    async function busy() {
      const { store, mandate, reopen } = await opened(open, {});
      const { id: order, envelope } = await sealed(orderKind, orderOf(), CAST.kiosk);
      await store.putOrder(order, 'kiosk', envelope, NOW_MS);
      const changes = { mandate, order, terminal: 'till-1', amount: yuan(40_00n) };
      const over = await succeed(store, await accepted(store, changes));
      const refund = await succeed(
        store,
        await accepted(store, follow('refund', over.id, 10_00n), 'kiosk'),
      );
      const hold = await succeed(store, await accepted(store, { mandate, action: 'hold' }));
      const waiting = await start(store, await accepted(store, { mandate }));
      const declined = await decline(store, await accepted(store, { mandate }));
      const recent = await accepted(store, { mandate }, 'glasses', NOW_MS + 20);
      await succeed(store, recent, NOW_MS + 20);
      return { store, mandate, reopen, order, over, refund, hold, waiting, declined, recent };
    }

    test('contents of what is over go with their salts; chain and books hold', async () => {
      const all = await busy();
      const { store, mandate } = all;
      const before = await chainOf(store);
      const usage = await usageOf(store, mandate);
      const count = await store.erase(what);
      expect(count).toBeGreaterThan(10);
      const after = await chainOf(store);
      expectWhole(after);
      expect(after.map(({ link }) => link).slice(0, -1)).toEqual(before.map(({ link }) => link));
      expect(after.filter(({ body }) => body === undefined)).toHaveLength(count);
      const bodiless = async (id: string) =>
        (await store.evidence(id)).every(
          ({ body, salt }) => body === undefined && salt === undefined,
        );
      for (const { id } of [all.over, all.refund, all.declined]) {
        expect(await store.run(id)).toBeUndefined();
        expect(await bodiless(id)).toBe(true);
      }
      expect(await bodiless(all.order)).toBe(true);
      for (const { id } of [all.hold, all.waiting, all.recent]) {
        expect(await store.run(id)).toBeDefined();
        expect((await store.evidence(id)).every(({ body }) => body !== undefined)).toBe(true);
      }
      expect(await usageOf(store, mandate), 'limits are not erased').toEqual(usage);
      expect(await recounted(store)).toEqual([]);
      const last = after.at(-1)!;
      expect(last).toMatchObject({ kind: 'erasure', atMs: laterMs });
      expect(json(last)).toMatchObject({ by: 'eve', rows: count });
    });

    test('a second time finds nothing, and adds nothing', async () => {
      const { store } = await busy();
      await store.erase(what);
      const after = await chainOf(store);
      expect(await store.erase(what)).toBe(0);
      expect(await chainOf(store)).toEqual(after);
    });

    test('of one payer only; of everybody when nobody is named', async () => {
      const { store, over } = await busy();
      expect(await store.erase({ ...what, payer: '09'.repeat(16) })).toBe(0);
      expect(await store.run(over.id)).toBeDefined();
      expect(await store.erase({ ...what, payer: undefined })).toBeGreaterThan(10);
      expect(await store.run(over.id)).toBeUndefined();
      expectWhole(await chainOf(store));
    });

    test('refused for what a device may still send again', async () => {
      const { store, over } = await busy();
      const early = store.erase({ ...what, nowMs: what.beforeMs + RESEND_FOR_MS - 1 });
      await expect(early).rejects.toMatchObject({ reason: 'malformed' });
      expect(await store.run(over.id)).toBeDefined();
      await store.erase({ ...what, nowMs: what.beforeMs + RESEND_FOR_MS });
      expect(await store.run(over.id)).toBeUndefined();
    });

    test('mandates that are over go, those that count and what others hang on stay', async () => {
      const day = 86_400;
      const exp = NOW_MS / 1000 + 400 * day;
      const { store, ids } = await opened(
        open,
        { exp, epoch: 5 }, // counts
        { exp: NOW_MS / 1000 - 1, nbf: NOW_MS / 1000 - day, epoch: 5 }, // is over
        { exp, epoch: 1 }, // is revoked by its epoch
        { exp: NOW_MS / 1000 - 2, nbf: NOW_MS / 1000 - day, epoch: 5 }, // is over, has a child
      );
      const child = await putMandate(store, { parent: ids[3]!, exp, epoch: 5 }, 'glasses');
      await store.revoke(await revocationOf({ epoch: 2 }));
      await store.erase(what);
      const found = [];
      for (const id of [...ids, child]) found.push((await store.mandate(id, NOW_MS)) !== undefined);
      expect(found).toEqual([true, false, false, true, true]);
      expect((await store.evidence(ids[1]!))[0]?.body).toBeUndefined();
      expect((await store.evidence(ids[0]!))[0]?.body).toBeDefined();
      expect(await recounted(store)).toEqual([]);
      await expect(putMandate(store, { exp, epoch: 1 })).rejects.toMatchObject({
        reason: 'revoked',
      });
    });

    test('one that was revoked by its id does not come to life when sent again', async () => {
      const exp = NOW_MS / 1000 + 400 * 86_400;
      const { store, mandate } = await opened(open, { exp });
      const child = await putMandate(store, { parent: mandate, exp }, 'glasses');
      await store.revoke(await revocationOf({ mandate: child }));
      await store.revoke(await revocationOf({ mandate }));
      await store.erase(what);
      await store.erase({ ...what, nowMs: what.nowMs + 1 });
      expect(await putMandate(store, { exp })).toBe(mandate);
      expect(await putMandate(store, { parent: mandate, exp }, 'glasses')).toBe(child);
      for (const id of [mandate, child]) {
        const run = await send(store, { mandate: id }, 'glasses', laterMs);
        expect(run.refusal).toBe('revoked');
      }
    });

    test('forgetting keeps the chain whole, and the books agree', async () => {
      const all = await busy();
      const { store, mandate } = all;
      const before = await chainOf(store);
      const usage = await usageOf(store, mandate);
      await store.forget(NOW_MS + 10);
      expect(await chainOf(store)).toEqual(before);
      expect(await store.run(all.over.id)).toBeUndefined();
      expect(await store.order(all.order)).toBeUndefined();
      expect(await usageOf(store, mandate)).toEqual(usage);
      expect(await recounted(store)).toEqual([]);
      const capture = await accepted(store, follow('capture', all.hold.id, 10_00n), 'kiosk');
      await succeed(store, capture);
      await succeed(store, all.waiting);
      expect(await recounted(store)).toEqual([]);
    });

    test('a refund that is under way when its payment is forgotten still ends', async () => {
      const { store, mandate } = await opened(open, {});
      const paid = await succeed(store, await accepted(store, { mandate }));
      const refunds = [];
      for (let i = 0; i < 2; i++) {
        refunds.push(
          await start(store, await accepted(store, follow('refund', paid.id, 1_00n), 'kiosk')),
        );
      }
      await store.forget(NOW_MS + 10);
      expect(await succeed(store, refunds[0]!)).toMatchObject({ outcome: 'refunded' });
      expect(await decline(store, refunds[1]!)).toMatchObject({ outcome: 'refused' });
      expect(await recounted(store)).toEqual([]);
    });
  });
}
