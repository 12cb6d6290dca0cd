/**
 * Cancels: what was not seen yet is buried under its own key and refused when it comes, what has no
 * attempt is refused, what is under way is noted, and of another's request nothing is learned.
 */
import { describe, expect, test } from 'vitest';
import type { Admission, Store } from '../../../broker/store/port.ts';
import { COUNTER_GAP_MAX, TOMBSTONES_PER_KEY_MAX } from '../../../src/limits.ts';
import { CAST, NOW_MS, admissionOf, admitTo, type Role } from '../stage.ts';
import { type OpenStore, accepted, close, opened, recounted, start, succeed } from './acts.ts';
import { receiptFor, usageOf, word, yuan } from './acts.ts';

const kinds = (rows: readonly { kind: string }[]) => rows.map(({ kind }) => kind);
const bytes = (text: string) => new TextEncoder().encode(text);

/** The id of the question to cancel. */
const QUESTION = 'c0'.repeat(16);

/** A device asks for a cancel; the receipt, about this question, is what a tombstone keeps. */
function ask(
  store: Store,
  subject: string,
  receipt = 'gone',
  role: Role = 'glasses',
  isUnsure = false,
) {
  return store.cancel({
    id: QUESTION,
    subject,
    key: CAST[role].key.name,
    envelope: bytes(`cancel ${subject}`),
    receipt: bytes(receipt),
    isUnsure,
    nowMs: NOW_MS,
  });
}

const unjudged = (store: Store, admission: Admission) =>
  store.admit(admission, () => expect.fail('judged'));

export function describeCancels(name: string, open: OpenStore): void {
  describe(`${name}: cancels`, () => {
    test('the request that comes later is refused in a run of its own', async () => {
      const { store, mandate, reopen } = await opened(open, {});
      const admission = await admissionOf({ mandate, counter: 7 });
      expect(await ask(store, admission.id)).toEqual({ receipt: bytes('gone') });
      const later = await reopen();
      const { run, fresh, suspended } = await unjudged(later, admission);
      expect([fresh, suspended]).toEqual([true, false]);
      expect(run).toMatchObject({ refusal: 'cancelled', backends: [], funding: '' });
      expect([run.outcome, run.receipt], 'its receipt is still to be signed').toEqual([
        undefined,
        undefined,
      ]);
      expect(await later.highestCounter(CAST.glasses.key.name)).toBe(7);
      expect(await usageOf(later, mandate)).toEqual([{ amount: 0n, count: 0 }]);
      expect(await later.run(admission.id)).toEqual(run);
      expect(await unjudged(later, admission)).toEqual({ run, fresh: false, suspended: false });
      const reuse = await admitTo(
        later,
        await admissionOf({ mandate, counter: 7, amount: yuan(1n) }),
      );
      expect(reuse.run.refusal, 'the counter is used').toBe('counter_reused');
      const over = await close(later, run);
      expect(over).toMatchObject({ outcome: 'refused', receipt: receiptFor(admission) });
      expect(kinds(await later.evidence(admission.id))).toEqual(['request', 'verdict', 'receipt']);
      expect(await recounted(later)).toEqual([]);
    });

    test('asked again, the first tombstone answers', async () => {
      const { store, mandate } = await opened(open, {});
      const { id } = await admissionOf({ mandate });
      expect(await ask(store, id, 'first')).toEqual({ receipt: bytes('first') });
      const evidence = await store.evidence(QUESTION);
      expect(await ask(store, id, 'second')).toEqual({ receipt: bytes('first') });
      expect(await ask(store, id, 'third', 'glasses', true), 'sure of what it has').toEqual({
        receipt: bytes('first'),
      });
      expect(await store.evidence(QUESTION)).toEqual(evidence);
    });

    test('what it buries lies under the question, and nothing under the request', async () => {
      const { store } = await opened(open, {});
      const subject = 'ee'.repeat(16);
      await ask(store, subject, 'gone', 'guest');
      expect(await store.evidence(subject)).toEqual([]);
      expect(await store.evidence(QUESTION)).toMatchObject([
        { kind: 'cancel', body: bytes(`cancel ${subject}`) },
        { kind: 'receipt', body: bytes('gone') },
      ]);
    });

    test('once the buried request has come, its run answers', async () => {
      const { store, mandate } = await opened(open, {});
      const admission = await admissionOf({ mandate });
      await ask(store, admission.id, 'first');
      const { run } = await unjudged(store, admission);
      const again = await ask(store, admission.id, 'second');
      expect(again).toMatchObject({ run: { id: run.id, refusal: 'cancelled' }, isNews: true });
      const over = await close(store, run);
      expect(await ask(store, admission.id, 'third')).toEqual({
        run: { ...over, cancelAskedMs: NOW_MS },
        isNews: false,
      });
    });

    test('when it may have been seen and forgotten: buried, and its run is sure', async () => {
      const { store, mandate } = await opened(open, {});
      const admission = await admissionOf({ mandate });
      const answer = { pending: 'not_seen' };
      expect(await ask(store, admission.id, 'gone', 'glasses', true)).toEqual(answer);
      expect(await ask(store, admission.id, 'gone', 'glasses', true), 'again').toEqual(answer);
      expect((await store.evidence(QUESTION)).map(({ kind }) => kind)).toEqual(['cancel']);
      const { run } = await admitTo(store, admission);
      expect(run.refusal, 'sending it again causes no payment').toBe('cancelled');
      expect(await ask(store, run.id, 'gone', 'glasses', true)).toMatchObject({
        run: { refusal: 'cancelled', attempts: [] },
      });
    });

    test('a tombstone of another key has no effect, before the request or after', async () => {
      const { store, mandate } = await opened(open, {});
      const admission = await admissionOf({ mandate });
      expect(await ask(store, admission.id, 'theirs', 'guest')).toEqual({
        receipt: bytes('theirs'),
      });
      const { run } = await admitTo(store, admission);
      expect(run.refusal).toBeUndefined();
      const seen = await ask(store, admission.id, 'again', 'guest');
      expect(seen, 'the same as before it was there').toEqual({ receipt: bytes('theirs') });
      expect(await store.run(admission.id)).toEqual(run);
    });

    test('another’s request is not_seen: nobody gets a refusal of it, and it goes on', async () => {
      const { store, mandate } = await opened(open, {});
      const running = await start(store, await accepted(store, { mandate }));
      const { id } = await succeed(store, await accepted(store, { mandate }));
      const over = await store.run(id);
      const before = await store.evidencePage(0, 99);
      for (const known of [running, over!]) {
        for (const isUnsure of [false, true]) {
          const answer = await ask(store, known.id, 'theirs', 'guest', isUnsure);
          expect(answer).toEqual({ pending: 'not_seen' });
        }
        expect(await store.run(known.id)).toEqual(known);
      }
      expect(await store.evidencePage(0, 99), 'nothing is written of it').toEqual(before);
    });

    test('seen without an attempt, it is refused, and no attempt is made any more', async () => {
      const { store, mandate } = await opened(open, {});
      const run = await accepted(store, { mandate });
      const answer = await ask(store, run.id);
      const noted = { ...run, refusal: 'cancelled', cancelAskedMs: NOW_MS };
      expect(answer).toEqual({ run: noted, isNews: true });
      expect(await start(store, run)).toMatchObject({ refusal: 'cancelled', attempts: [] });
      await close(store, (await store.run(run.id))!);
      expect(await usageOf(store, mandate)).toEqual([{ amount: 0n, count: 0 }]);
    });

    test('refused already, it keeps its own reason', async () => {
      const { store } = await opened(open);
      const { run } = await admitTo(store, await admissionOf({}));
      expect(await ask(store, run.id)).toMatchObject({ run: { refusal: 'mandate_unknown' } });
    });

    test('under way, it is noted once and goes on', async () => {
      const { store, mandate } = await opened(open, {});
      const run = await start(store, await accepted(store, { mandate }));
      const noted = { ...run, cancelAskedMs: NOW_MS };
      expect(await ask(store, run.id)).toEqual({ run: noted, isNews: true });
      const evidence = await store.evidence(run.id);
      expect(await ask(store, run.id)).toEqual({ run: noted, isNews: false });
      expect(await store.evidence(run.id)).toEqual(evidence);
      const cancelled = word(run, { state: 'cancelled', reference: 'ref' }, 'cancel');
      await store.progress(run.id, cancelled, NOW_MS);
      expect(await store.run(run.id)).toMatchObject({ cancelAskedMs: NOW_MS, refusal: undefined });
    });

    test('over, it stays as it is', async () => {
      const { store, mandate } = await opened(open, {});
      const { id } = await succeed(store, await accepted(store, { mandate }));
      const run = await store.run(id);
      expect(await ask(store, id)).toEqual({ run, isNews: false });
      expect(await store.run(id)).toEqual(run);
    });

    test('a cancel and the request at once: one of them is first, and both agree', async () => {
      const { store, mandate } = await opened(open, {});
      for (let counter = 1; counter <= 6; counter++) {
        const admission = await admissionOf({ mandate, counter });
        const isFirst = counter % 2 === 0;
        const verbs = [() => ask(store, admission.id), () => admitTo(store, admission)];
        await Promise.all((isFirst ? verbs : verbs.reverse()).map((verb) => verb()));
        expect(await store.run(admission.id)).toMatchObject({
          refusal: 'cancelled',
          cancelAskedMs: isFirst ? undefined : NOW_MS,
        });
      }
    });

    test('a buried request that jumps ahead does not raise the bar', async () => {
      const { store, mandate } = await opened(open, {});
      const far = await admissionOf({ mandate, counter: COUNTER_GAP_MAX + 1 });
      await ask(store, far.id);
      expect((await unjudged(store, far)).run.refusal).toBe('cancelled');
      expect(await store.highestCounter(CAST.glasses.key.name)).toBe(0);
    });

    test('a buried request with another’s counter shows two holders all the same', async () => {
      const { store, mandate } = await opened(open, {});
      await accepted(store, { mandate, counter: 3 });
      const clone = await admissionOf({ mandate, counter: 3, amount: yuan(1n) });
      await ask(store, clone.id);
      const { run, suspended } = await unjudged(store, clone);
      expect(run.refusal).toBe('cancelled');
      expect(suspended).toBe(true);
      expect((await store.identity(CAST.glasses.key.name))?.status).toBe('suspended');
    });

    test('a key has so many tombstones and no more; what it has still answers', async () => {
      const { store } = await opened(open);
      const id = (i: number) => i.toString(16).padStart(32, '0');
      const all = Array.from({ length: TOMBSTONES_PER_KEY_MAX }, (_, i) => ask(store, id(i)));
      await Promise.all(all);
      const one = ask(store, id(TOMBSTONES_PER_KEY_MAX));
      await expect(one).rejects.toMatchObject({ reason: 'rate_limited' });
      expect(await ask(store, id(0), 'other')).toEqual({ receipt: bytes('gone') });
      expect(await ask(store, id(0), 'theirs', 'guest'), 'each key has its own').toEqual({
        receipt: bytes('theirs'),
      });
      await store.forget(NOW_MS + 1);
      expect(await ask(store, id(1), 'new'), 'forgotten with the rest').toEqual({
        receipt: bytes('new'),
      });
    });
  });
}
