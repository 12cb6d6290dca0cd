/**
 * The state machine of an attempt: what each word makes of each state, and what may never happen.
 *
 * Method: a table for the transitions that the header of attempt.ts promises, and random stories of
 * words against every kind of backend for the rules that no single row shows.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Attempt,
  type AttemptState,
  type Input,
  LIVE,
  cancelKeyOf,
  isOver,
  nextStep,
  transition,
} from '../../broker/attempt.ts';
import type { BackendState, Capabilities } from '../../broker/backends/port.ts';
import { RESOLVE_FOR_MS, UNSENT_FOR_MS } from '../../src/limits.ts';

const KEY = 'ab'.repeat(16);
const DAY_MS = 86_400_000;

const attemptIn = (
  state: AttemptState,
  operation: Attempt['operation'] = 'authorise',
): Attempt => ({
  number: 1,
  backend: 'ledger',
  key: KEY,
  operation,
  state,
  atMs: 0,
});

const capabilities = (changes: Partial<Capabilities['cancel']> = {}): Capabilities => ({
  resolvesBy: 'replay',
  keyForMs: DAY_MS,
  pollMs: 0,
  cancel: { unseen: 'bars', captured: 'refuses', forMs: 7 * DAY_MS, ...changes },
  notifies: false,
});

const captured = { kind: 'done', outcome: 'captured', reference: 'r' } as const;
const held = { kind: 'done', outcome: 'held', reference: 'r' } as const;
const voided = { kind: 'done', outcome: 'voided', reference: 'r' } as const;
const declined = { kind: 'declined', reason: 'backend_declined' } as const;
const unknown = { kind: 'unknown', why: '' } as const;
const unsent = { kind: 'unsent', why: '' } as const;
const unseen = { kind: 'unseen' } as const;

const answer = (
  to: Exclude<BackendState, { kind: 'unseen' }>,
  isFirst = true,
  nowMs = 0,
): Input => ({
  kind: 'answer',
  answer: to,
  isFirst,
  nowMs,
});
const state = (to: BackendState): Input => ({ kind: 'state', state: to });
const found = (to: BackendState, isLate = false, isOpen = true): Input => ({
  kind: 'found',
  state: to,
  isLate,
  isOpen,
});
const cancel = (to: Exclude<BackendState, { kind: 'unseen' }>): Input => ({
  kind: 'cancel',
  answer: to,
});
const giveUp: Input = { kind: 'give up' };

describe('a word makes of an attempt', () => {
  test.each<readonly [AttemptState, Input, AttemptState | undefined, string]>([
    ['submitting', answer(captured), 'done', 'a definite answer'],
    ['submitting', answer(declined), 'declined', 'a definite answer'],
    ['submitting', answer(unknown), 'unknown', 'a timeout is no word'],
    ['submitting', answer(unsent), undefined, 'not for long enough yet'],
    ['submitting', answer(unsent, true, UNSENT_FOR_MS - 1), undefined, 'a moment too early'],
    ['submitting', answer(unsent, true, UNSENT_FOR_MS), 'unsent', 'never reached, long enough'],
    ['submitting', answer(unsent, false), 'unknown', 'an earlier process may have sent'],
    ['submitting', state(captured), 'done', 'its notification is faster than its answer'],
    ['unknown', answer(captured), 'done', 'the replay is answered'],
    ['unknown', answer(unsent, true, UNSENT_FOR_MS), undefined, 'something was sent before'],
    ['unknown', state(captured), 'done', 'the query found it'],
    ['unknown', state(declined), 'declined', 'the query found it'],
    ['unknown', state(unseen), undefined, 'unseen is not "not executed"'],
    ['unknown', state(unknown), undefined, 'no news'],
    ['unknown', giveUp, 'cancelling', 'patience is over'],
    ['cancelling', cancel(voided), 'cancelled', 'confirmed'],
    ['cancelling', cancel(declined), undefined, 'why, the query will say'],
    ['cancelling', cancel(unknown), undefined, 'a timeout is no word'],
    ['cancelling', state(captured), 'done', 'too late: this backend cannot undo it'],
    ['cancelling', state(held), undefined, 'a hold can still be undone'],
    ['cancelling', state(declined), 'declined', 'it never went through'],
    ['cancelling', state(unseen), undefined, 'it may still come'],
    ['cancelling', giveUp, 'person', 'nothing left to ask'],
    ['submitting', found(captured), 'done', 'it moved before it was refused'],
    ['unknown', found(held), 'done', 'the same of a hold'],
    ['unknown', found(declined), 'declined', 'it will not move'],
    ['submitting', found(unknown), undefined, 'nothing was found out'],
    ['submitting', found(unseen), 'cancelling', 'it may still come, and must not'],
    ['unknown', found(unseen, true), 'cancelling', 'only the cancel bars it for certain'],
    ['unknown', found(unseen, false, false), undefined, 'no cancel is accepted: time bars it'],
    ['unknown', found(unseen, true, false), 'unsent', 'and has barred it'],
    ['person', state(captured), 'done', 'a late word, but definite'],
    ['person', answer(declined), 'declined', 'a late word, but definite'],
    ['person', giveUp, undefined, 'it waits already'],
  ])('%s, %o: %s, because %s', (from, input, to) => {
    expect(transition(attemptIn(from), input, capabilities())?.state).toBe(to);
  });

  test('captured counts for nothing while a cancel can still reverse it', () => {
    const reverses = capabilities({ captured: 'reverses' });
    expect(transition(attemptIn('cancelling'), state(captured), reverses)).toBeUndefined();
    expect(transition(attemptIn('cancelling'), cancel(voided), reverses)?.state).toBe('cancelled');
  });

  test('what cannot be cancelled and was not seen is over when no call can arrive any more', () => {
    for (const operation of ['capture', 'void', 'refund'] as const) {
      const attempt = attemptIn('submitting', operation);
      expect(transition(attempt, found(unseen), capabilities())).toBeUndefined();
      expect(transition(attempt, found(unseen, true), capabilities())?.state).toBe('unsent');
      expect(transition(attempt, found(unknown, true), capabilities())).toBeUndefined();
    }
  });

  test('nor does a cancel help that bars nothing: only time does', () => {
    const lax = capabilities({ unseen: 'nothing' });
    expect(transition(attemptIn('submitting'), found(unseen), lax)).toBeUndefined();
    expect(transition(attemptIn('submitting'), found(unseen, true), lax)?.state).toBe('unsent');
  });

  test('an authorisation that the backend calls voided was cancelled', () => {
    expect(transition(attemptIn('unknown'), state(voided), capabilities())?.state).toBe(
      'cancelled',
    );
  });

  test('a capture, void or refund is never cancelled: a person decides', () => {
    for (const operation of ['capture', 'void', 'refund'] as const) {
      expect(transition(attemptIn('unknown', operation), giveUp, capabilities())?.state).toBe(
        'person',
      );
    }
  });

  test('a person speaks only when one is asked', () => {
    const word = { kind: 'person', outcome: 'captured', reference: 'li' } as const;
    for (const from of ['submitting', 'unknown', 'cancelling'] as const) {
      expect(transition(attemptIn(from), word, capabilities())).toBeUndefined();
    }
    const asked = attemptIn('person');
    expect(transition(asked, word, capabilities())).toEqual({
      state: 'done',
      outcome: 'captured',
      reference: 'li',
    });
    expect(transition(asked, { ...word, outcome: undefined }, capabilities())?.state).toBe(
      'cancelled',
    );
  });
});

describe('whatever is heard, in whatever order', () => {
  const words = fc.constantFrom<BackendState>(
    captured,
    held,
    declined,
    unknown,
    unsent,
    unseen,
    voided,
  );
  const inputs = fc.oneof(
    fc.record({
      kind: fc.constant('answer' as const),
      answer: words.filter(({ kind }) => kind !== 'unseen'),
      isFirst: fc.boolean(),
      nowMs: fc.integer({ min: 0, max: UNSENT_FOR_MS * 2 }),
    }),
    fc.record({ kind: fc.constant('state' as const), state: words }),
    fc.record({
      kind: fc.constant('cancel' as const),
      answer: words.filter(({ kind }) => kind !== 'unseen'),
    }),
    fc.record({
      kind: fc.constant('found' as const),
      state: words,
      isLate: fc.boolean(),
      isOpen: fc.boolean(),
    }),
    fc.constant(giveUp),
  ) as fc.Arbitrary<Input>;
  const operations = fc.constantFrom<Attempt['operation']>('authorise', 'capture', 'refund');
  const kinds = fc.record({
    unseen: fc.constantFrom('bars' as const, 'nothing' as const),
    captured: fc.constantFrom('refuses' as const, 'reverses' as const),
  });

  const isDefinite = (input: Input) => {
    const word = 'state' in input ? input.state : 'answer' in input ? input.answer : undefined;
    return word?.kind === 'done' || word?.kind === 'declined';
  };

  test('what is over stays over, and got there by a definite word or was never sent', () => {
    fc.assert(
      fc.property(operations, kinds, fc.array(inputs, { maxLength: 30 }), (...story) => {
        const [operation, kind, told] = story;
        let attempt = attemptIn('submitting', operation);
        for (const input of told) {
          const change = transition(attempt, input, capabilities(kind));
          if (isOver(attempt.state)) expect(change).toBeUndefined();
          if (!change) continue;
          if (isOver(change.state) && change.state !== 'unsent') {
            expect(isDefinite(input), `${attempt.state} → ${change.state}`).toBe(true);
          }
          if (change.state === 'unsent' && input.kind === 'found') {
            const isAuthorisation = attempt.operation === 'authorise';
            const isBarrable = isAuthorisation && kind.unseen === 'bars' && input.isOpen;
            expect([input.isLate, isBarrable]).toEqual([true, false]);
          } else if (change.state === 'unsent') expect(attempt.state).toBe('submitting');
          if (change.state === 'cancelled') expect(attempt.operation).toBe('authorise');
          expect(change.state === 'done').toBe(change.outcome !== undefined);
          attempt = { ...attempt, ...change };
        }
      }),
      { numRuns: 2_000 },
    );
  });

  test('another attempt may stand beside one only when that has moved nothing', () => {
    expect(LIVE.filter(isOver)).toEqual(['done']);
    const over: AttemptState[] = ['declined', 'unsent', 'cancelled'];
    expect(over.every((one) => isOver(one) && !LIVE.includes(one))).toBe(true);
  });
});

describe('the next step', () => {
  const now = (nowMs: number, more: object = {}) => ({
    nowMs,
    cancelAsked: false,
    wasRefused: false,
    ...more,
  });

  test.each<readonly [AttemptState, Parameters<typeof nextStep>[2], string, string]>([
    ['submitting', now(0), 'call', 'nothing was said yet'],
    ['unknown', now(1), 'call', 'the same call under the same key'],
    ['unknown', now(1, { cancelAsked: true }), 'give up', 'its device wants it undone'],
    ['unknown', now(RESOLVE_FOR_MS - 1), 'call', 'still patient'],
    ['unknown', now(RESOLVE_FOR_MS), 'give up', 'patience is over'],
    ['unknown', now(500, { patienceMs: 500 }), 'give up', 'the operator’s own patience'],
    ['submitting', now(0, { isRefused: true }), 'find out', 'what is refused is not called'],
    ['unknown', now(1, { isRefused: true, cancelAsked: true }), 'find out', 'nor undone unasked'],
    ['unknown', now(7 * DAY_MS, { isRefused: true }), 'give up', 'nothing is cancelled any more'],
    ['cancelling', now(1, { isRefused: true }), 'cancel', 'it is being barred'],
    ['cancelling', now(RESOLVE_FOR_MS), 'cancel', 'until it is confirmed'],
    ['cancelling', now(RESOLVE_FOR_MS, { wasRefused: true }), 'query', 'why was it refused?'],
    ['cancelling', now(7 * DAY_MS), 'give up', 'no cancel is accepted any more'],
    ['person', now(8 * DAY_MS), 'rest', 'a person looks'],
    ['done', now(0), 'rest', 'it is over'],
  ])('%s %o: %s, because %s', (from, at, step) => {
    expect(nextStep(attemptIn(from), capabilities(), at)).toBe(step);
  });

  test('where a repeat would be a second payment, it is asked and not repeated', () => {
    const byQuery = { ...capabilities(), resolvesBy: 'query' } as const;
    expect(nextStep(attemptIn('unknown'), byQuery, now(1))).toBe('query');
    const forgetful = { ...capabilities(), keyForMs: 1_000 };
    expect(nextStep(attemptIn('unknown'), forgetful, now(999))).toBe('call');
    expect(nextStep(attemptIn('unknown'), forgetful, now(1_000))).toBe('query');
  });

  test('a refund waits as long as a cancel could take, then a person looks', () => {
    const refund = attemptIn('unknown', 'refund');
    expect(nextStep(refund, capabilities(), now(7 * DAY_MS - 1))).toBe('query');
    expect(nextStep(refund, capabilities(), now(7 * DAY_MS))).toBe('give up');
  });
});

test('the key of a cancel is fixed and is not the key of the payment', () => {
  expect(cancelKeyOf(KEY)).toBe(cancelKeyOf(KEY));
  expect(cancelKeyOf(KEY)).toMatch(/^[0-9a-f]{32}$/);
  expect(cancelKeyOf(KEY)).not.toBe(KEY);
});
