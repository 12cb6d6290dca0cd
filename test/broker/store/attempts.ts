/**
 * Attempts and claims: a payment is at one backend at a time, what is over stays as it is, and one
 * bridge at a time works on it.
 */
import { describe, expect, test } from 'vitest';
import { type AttemptState, LIVE } from '../../../broker/attempt.ts';
import type { Progress, Run, Store } from '../../../broker/store/port.ts';
import { CLAIM_MS } from '../../../src/limits.ts';
import { ConflictError } from '../../../src/platform.ts';
import { CAST, NOW_MS } from '../stage.ts';
import { admissionOf, admitTo, putMandate } from '../stage.ts';
import { type OpenStore, accepted, close, decline, ending, opened } from './acts.ts';
import { openingOf, recounted, refusal, revocationOf, send, start, succeed } from './acts.ts';
import { usageOf, word } from './acts.ts';

const CHANGES: Readonly<Record<AttemptState, Progress['change'] | undefined>> = {
  submitting: undefined,
  unknown: { state: 'unknown' },
  cancelling: { state: 'cancelling' },
  person: { state: 'person' },
  done: { state: 'done', outcome: 'captured', reference: 'ref' },
  declined: { state: 'declined', reason: 'backend_declined' },
  unsent: { state: 'unsent' },
  cancelled: { state: 'cancelled', reference: 'ref' },
};
const OVER = ['done', 'declined', 'unsent', 'cancelled'] as const;
const FREE = ['declined', 'unsent', 'cancelled'] as const;

export function describeAttempts(name: string, open: OpenStore): void {
  async function begun() {
    const { store, mandate, reopen } = await opened(open, {});
    const run = await start(store, await accepted(store, { mandate }));
    /** Brings the first attempt to a state. */
    async function bring(state: AttemptState) {
      const change = CHANGES[state];
      return change ? store.progress(run.id, word(run, change), NOW_MS + 1) : run;
    }
    return { store, mandate, reopen, run, bring };
  }

  describe(`${name}: attempts`, () => {
    test.each(LIVE)('while one is %s the store refuses another', async (state) => {
      const { store, run, bring } = await begun();
      const before = await bring(state);
      expect(before.attempts).toMatchObject([{ number: 1, state }]);
      const evidence = await store.evidence(run.id);
      const another = store.attempt(run.id, openingOf(run, 'other'), NOW_MS + 2);
      await expect(another).rejects.toBeInstanceOf(ConflictError);
      expect(await store.run(run.id)).toEqual(before);
      expect(await store.evidence(run.id)).toEqual(evidence);
    });

    test.each(FREE)('after one that is %s another may be made', async (state) => {
      const { store, run, bring } = await begun();
      await bring(state);
      const next = await store.attempt(run.id, openingOf(run, 'other'), NOW_MS + 2);
      expect(next.attempts).toEqual([
        { ...run.attempts[0], ...CHANGES[state] },
        { ...openingOf(run, 'other'), number: 2, state: 'submitting', atMs: NOW_MS + 2 },
      ]);
      expect(await store.run(run.id)).toEqual(next);
    });

    const asked = ({ id }: Run) => ({
      ...{
        id: 'c0'.repeat(16),
        subject: id,
        key: CAST.glasses.key.name,
        isUnsure: false,
        nowMs: NOW_MS,
      },
      ...{ envelope: Uint8Array.of(1), receipt: Uint8Array.of(2) },
    });

    test.each([
      ['cancelled', 'cancelled', (store: Store, run: Run) => store.cancel(asked(run))],
      [
        'revoked',
        'its mandate revoked',
        async (store: Store, { request }: Run) =>
          store.revoke(await revocationOf({ mandate: request.mandate })),
      ],
      [
        'revoked',
        'the mandate above it revoked',
        async (store: Store, _run: Run, parent: string) =>
          store.revoke(await revocationOf({ mandate: parent })),
      ],
      [
        'cancelled',
        'both',
        async (store: Store, run: Run, parent: string) => {
          await store.revoke(await revocationOf({ mandate: parent }));
          await store.cancel(asked(run));
        },
      ],
    ] as const)('%s, not tried again: while the last one ended it was %s', async (...row) => {
      const [refusal, , end] = row;
      const { store, mandate: parent } = await opened(open, {});
      const mandate = await putMandate(store, { parent, epoch: 2 }, 'glasses');
      const run = await start(store, await accepted(store, { mandate }));
      await end(store, run, parent);
      await store.progress(run.id, word(run, { state: 'unsent' }), NOW_MS + 1);
      const before = await store.evidence(run.id);
      const after = await store.attempt(run.id, openingOf(run, 'other'), NOW_MS + 2);
      expect(after).toMatchObject({ refusal, attempts: [{ number: 1, state: 'unsent' }] });
      expect(await store.run(run.id)).toEqual(after);
      expect(await store.evidence(run.id), 'nothing was begun').toEqual(before);
      await close(store, after);
      expect(await usageOf(store, mandate)).toEqual([{ amount: 0n, count: 0 }]);
      expect(await recounted(store)).toEqual([]);
    });

    test('what was refused from the start is still barred, cancelled or not', async () => {
      const { store, mandate } = await opened(open, {});
      const stale = { kind: 'refuse', reason: 'stale_nonce', why: 'restored' } as const;
      const { run } = await store.admit(await admissionOf({ mandate }), () => stale);
      await store.cancel(asked(run));
      const barred = await store.attempt(run.id, openingOf(run), NOW_MS + 1);
      expect(barred).toMatchObject({
        refusal: 'stale_nonce',
        attempts: [{ number: 1, state: 'submitting' }],
      });
    });

    test('of two that begin at once, one does', async () => {
      const { store, run, bring } = await begun();
      await bring('unsent');
      const both = await Promise.allSettled([
        store.attempt(run.id, openingOf(run, 'second'), NOW_MS),
        store.attempt(run.id, openingOf(run, 'third'), NOW_MS),
      ]);
      expect(both.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
      expect(both[1]).toMatchObject({ reason: expect.any(ConflictError) as unknown });
      expect((await store.run(run.id))?.attempts.map(({ backend }) => backend)).toEqual([
        'ledger',
        'second',
      ]);
    });

    test('a run that is over gets no more of them', async () => {
      const { store, run } = await begun();
      const over = await decline(store, run);
      const another = store.attempt(run.id, openingOf(run, 'other'), NOW_MS);
      await expect(another).rejects.toBeInstanceOf(ConflictError);
      expect(await store.run(run.id)).toMatchObject({
        receipt: over.receipt,
        attempts: [{ state: 'declined' }],
      });
    });

    test.each(OVER)('one that is %s stays as it is', async (state) => {
      const { store, run, bring } = await begun();
      const before = await bring(state);
      const evidence = await store.evidence(run.id);
      for (const change of Object.values(CHANGES)) {
        if (!change) continue;
        expect(await store.progress(run.id, word(run, change), NOW_MS + 2)).toEqual(before);
      }
      expect(await store.evidence(run.id)).toEqual(evidence);
    });

    test('a word about an attempt that was never made changes nothing', async () => {
      const { store, run } = await begun();
      const before = await store.run(run.id);
      const progress = { ...word(run, { state: 'unknown' }), number: 2 };
      expect(await store.progress(run.id, progress, NOW_MS)).toEqual(before);
    });

    test('a word that is heard is kept as it came, with how it was heard', async () => {
      const { store, run } = await begun();
      const received = Uint8Array.of(1, 2, 250);
      const progress = { ...word(run, { state: 'unknown' }, 'query'), received };
      await store.progress(run.id, progress, NOW_MS + 5);
      const row = (await store.evidence(run.id)).at(-1)!;
      expect(row).toMatchObject({ kind: 'answer', atMs: NOW_MS + 5 });
      expect(JSON.parse(new TextDecoder().decode(row.body))).toEqual({
        number: 1,
        source: 'query',
        state: 'unknown',
        received: Buffer.from(received).toString('base64'),
      });
    });

    test.each(OVER)('a conclusion whose word lost to "%s" concludes nothing', async (state) => {
      const { store, mandate, run, bring } = await begun();
      const before = await bring(state);
      const done = word(run, CHANGES.done!);
      const no = word(run, CHANGES.declined!);
      expect(await store.conclude(run, ending({ progress: done }))).toEqual(before);
      expect(await store.conclude(run, refusal({ progress: no }))).toEqual(before);
      expect(await store.run(run.id)).toMatchObject({ receipt: undefined, outcome: undefined });
      expect(await usageOf(store, mandate)).toEqual([{ amount: 10_00n, count: 1 }]);
      expect(await store.conclude(before, ending()), 'from the word that won').toMatchObject({
        outcome: 'captured',
      });
    });

    test('of two definite words at once the first one counts, for money and receipt', async () => {
      const { store, mandate, run } = await begun();
      const [first, second] = await Promise.all([
        store.conclude(run, ending({ progress: word(run, CHANGES.done!) })),
        decline(store, run),
      ]);
      expect(first).toMatchObject({ outcome: 'captured' });
      expect(second).toMatchObject({
        outcome: 'captured',
        receipt: first.receipt,
        attempts: [{ state: 'done', outcome: 'captured' }],
      });
      expect(await usageOf(store, mandate)).toEqual([{ amount: 10_00n, count: 1 }]);
      expect(await recounted(store)).toEqual([]);
    });

    test('the unresolved ones are listed for people, in the order they came', async () => {
      const { store, mandate } = await opened(open, {});
      const ids: string[] = [];
      for (const [i, state] of (['unknown', 'cancelling', 'person', 'done'] as const).entries()) {
        const run = await start(store, await accepted(store, { mandate }, 'glasses', NOW_MS + i));
        await store.progress(run.id, word(run, CHANGES[state]!), NOW_MS);
        ids.push(run.id);
      }
      ids.push((await accepted(store, { mandate }, 'glasses', NOW_MS + 9)).id);
      const list = async (which: 'all' | 'unresolved', atMs: number, id: string, count: number) =>
        (await store.runs(which, { atMs, id }, count)).map((run) => run.id);
      expect(await list('all', 0, '', 9)).toEqual(ids);
      expect(await list('unresolved', 0, '', 9)).toEqual(ids.slice(0, 3));
      expect(await list('unresolved', NOW_MS, ids[0]!, 1)).toEqual([ids[1]]);
      expect(await list('all', NOW_MS + 3, ids[3]!, 9)).toEqual([ids[4]]);
    });
  });

  describe(`${name}: claims`, () => {
    const mine = (nowMs: number) => ({ owner: 'mine', untilMs: nowMs + CLAIM_MS });

    test('a run belongs to the bridge that admitted it until its claim runs out', async () => {
      const { store, mandate } = await opened(open, {});
      const run = await send(store, { mandate });
      const endMs = NOW_MS + CLAIM_MS;
      expect(await store.claim(mine(endMs), 9, endMs)).toEqual([]);
      expect(await store.claim(mine(endMs + 1), 9, endMs + 1)).toEqual([run]);
      expect(await store.claim(mine(endMs + 2), 9, endMs + 2), 'taken now').toEqual([]);
    });

    test('open runs without a living bridge are taken oldest first, at most so many', async () => {
      const { store, mandate } = await opened(open, {});
      const ids: string[] = [];
      for (const atMs of [5, 3, 9, 7]) {
        ids.push((await send(store, { mandate }, 'glasses', NOW_MS + atMs)).id);
      }
      await store.conclude((await store.run(ids[0]!))!, ending());
      const laterMs = NOW_MS + 2 * CLAIM_MS;
      const claim = async (count: number) =>
        (await store.claim(mine(laterMs), count, laterMs)).map(({ id }) => id);
      expect(await claim(2)).toEqual([ids[1], ids[3]]);
      expect(await claim(2)).toEqual([ids[2]]);
      expect(await claim(2)).toEqual([]);
    });

    test('a refused run that has no receipt yet is taken over too', async () => {
      const { store } = await opened(open);
      const run = await send(store, {});
      expect(run.refusal).toBe('mandate_unknown');
      const laterMs = NOW_MS + 2 * CLAIM_MS;
      expect(await store.claim(mine(laterMs), 9, laterMs)).toEqual([run]);
    });

    test('what waits for a person is nobody’s until they have spoken', async () => {
      const { store, run, bring } = await begun();
      const asked = await bring('person');
      const laterMs = NOW_MS + 2 * CLAIM_MS;
      expect(await store.claim(mine(laterMs), 9, laterMs)).toEqual([]);
      const spoken = { state: 'cancelled', reference: 'person:eve' } as const;
      const after = await store.progress(run.id, word(asked, spoken, 'person'), laterMs);
      expect(await store.claim(mine(laterMs), 9, laterMs)).toEqual([after]);
    });

    test('a claim that is renewed does not run out', async () => {
      const { store, mandate } = await opened(open, {});
      const kept = await send(store, { mandate });
      const left = await send(store, { mandate });
      const dueMs = NOW_MS + CLAIM_MS + 1;
      await store.renew([kept.id], { owner: 'test', untilMs: dueMs + CLAIM_MS });
      expect((await store.claim(mine(dueMs), 9, dueMs)).map(({ id }) => id)).toEqual([left.id]);
      const endMs = dueMs + CLAIM_MS + 1;
      const late = await store.claim({ owner: 'other', untilMs: endMs * 2 }, 9, endMs);
      expect(new Set(late.map(({ id }) => id))).toEqual(new Set([kept.id, left.id]));
    });

    test('a bridge that was slow does not renew what another has taken over', async () => {
      const { store, mandate } = await opened(open, {});
      const run = await send(store, { mandate });
      const laterMs = NOW_MS + CLAIM_MS + 1;
      await store.claim(mine(laterMs), 9, laterMs);
      await store.renew([run.id], { owner: 'test', untilMs: laterMs + 9 * CLAIM_MS });
      const endMs = laterMs + CLAIM_MS + 1;
      expect(await store.claim(mine(endMs), 9, endMs)).toHaveLength(1);
    });

    test('two that claim at once share the runs and take none twice', async () => {
      const { store, mandate } = await opened(open, {});
      for (let i = 0; i < 5; i++) await send(store, { mandate });
      const laterMs = NOW_MS + CLAIM_MS + 1;
      const taken = await Promise.all([
        store.claim({ owner: 'a', untilMs: laterMs * 2 }, 3, laterMs),
        store.claim({ owner: 'b', untilMs: laterMs * 2 }, 3, laterMs),
      ]);
      expect(taken.map((runs) => runs.length)).toEqual([3, 2]);
      expect(new Set(taken.flat().map(({ id }) => id)).size).toBe(5);
    });

    test('an order is found by the run that claims or paid it', async () => {
      const { store, run } = await begun();
      expect(await store.runOfOrder('ee'.repeat(16))).toBeUndefined();
      const known = await admissionOf({ counter: 60 });
      await admitTo(store, known);
      expect(await store.runOfOrder(known.id), 'a run is no order').toBeUndefined();
      expect((await succeed(store, run)).outcome).toBe('captured');
    });
  });
}
