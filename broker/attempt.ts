/**
 * One attempt at moving money, as a state machine: pure, and the same for every input.
 *
 * An attempt is on disk before its call is made. Only a definite word ends it: the backend's
 * answer, its answer to a query, a notification, or in the end a person. A timeout is no word, and
 * "unknown order" is none either, since the call may still be on its way. Another backend is tried
 * only after this one has confirmed the cancel, or was certainly never reached. What is refused
 * already is only found out: nothing is called for it, and what did not move is barred.
 *
 *   submitting → done | declined              a definite answer
 *   submitting → unsent                       never reached the backend, for UNSENT_FOR_MS
 *   submitting → unknown                      anything else, a crash included
 *   unknown    → done | declined              answer, query or notification
 *   unknown    → cancelling                   the person asked, or patience is over
 *   cancelling → cancelled                    the backend confirmed it
 *   cancelling → done | declined              the backend says that it is too late
 *   submitting, unknown → cancelling          refused, and this backend has not seen it
 *   submitting, unknown → unsent              the same, of what no cancel bars
 *   unknown, cancelling → person              nothing left to ask
 *   person     → done | cancelled | declined  resolved, or a late definite word
 */
import { createHash } from 'node:crypto';
import { toHex } from '../src/bytes.ts';
import { CANCEL_FOR_MS_MAX, RESOLVE_FOR_MS, UNSENT_FOR_MS } from '../src/limits.ts';
import type { Reason } from '../src/errors.ts';
import type {
  BackendAnswer,
  BackendState,
  Capabilities,
  Definite,
  IdempotencyKey,
} from './backends/port.ts';

/** The verbs of a backend that move money. */
export type Operation = 'authorise' | 'capture' | 'void' | 'refund';

export type AttemptState =
  'submitting' | 'unknown' | 'cancelling' | 'person' | 'done' | 'declined' | 'unsent' | 'cancelled';

/** While an attempt of a payment is in one of these, the database refuses another. */
export const LIVE: readonly AttemptState[] = Object.freeze([
  'submitting',
  'unknown',
  'cancelling',
  'person',
  'done',
]);

export type Attempt = Readonly<{
  number: number;
  backend: string;
  key: IdempotencyKey;
  operation: Operation;
  state: AttemptState;
  /** The bridge's time when it was recorded, just before the first call. */
  atMs: number;
  /** What a done attempt came to. */
  outcome?: 'captured' | 'held' | 'voided' | 'refunded';
  reference?: string;
  /** Why it was declined. */
  reason?: Reason;
}>;

/** What an attempt becomes. */
export type Change = Readonly<
  Pick<Attempt, 'state'> & Partial<Pick<Attempt, 'outcome' | 'reference' | 'reason'>>
>;

export type Input =
  /** To the call itself; `isFirst` when nothing under this key can have been sent before. */
  | Readonly<{ kind: 'answer'; answer: BackendAnswer; isFirst: boolean; nowMs: number }>
  /** To a query, or told by the backend itself. */
  | Readonly<{ kind: 'state'; state: BackendState }>
  /**
   * To a query about what is refused already; `isLate` when no call of before can arrive any more,
   * `isOpen` when a cancel is still accepted.
   */
  | Readonly<{ kind: 'found'; state: BackendState; isLate: boolean; isOpen: boolean }>
  /** To the cancel. */
  | Readonly<{ kind: 'cancel'; answer: BackendAnswer }>
  /** Patience is over, or the person asked: from now on only the cancel counts. */
  | Readonly<{ kind: 'give up' }>
  /** What a person found out; without an outcome nothing moved and nothing will. */
  | Readonly<{ kind: 'person'; outcome: Attempt['outcome']; reference: string }>;

/** What `input` makes of an attempt; undefined when it changes nothing. */
export function transition(
  attempt: Attempt,
  input: Input,
  capabilities: Capabilities,
): Change | undefined {
  if (isOver(attempt.state)) return undefined;
  switch (input.kind) {
    case 'answer':
      return answered(attempt, input, capabilities);
    case 'state':
      return heard(attempt, input.state, capabilities);
    case 'found':
      if (input.state.kind !== 'unseen') return heard(attempt, input.state, capabilities);
      // A cancel bars what has not arrived; where there is none, or none that bars, only time does.
      if (attempt.operation === 'authorise' && capabilities.cancel.unseen === 'bars') {
        if (input.isOpen) return { state: 'cancelling' };
      }
      return input.isLate ? { state: 'unsent' } : undefined;
    case 'cancel':
      // A refused cancel proves nothing by itself: the query that follows says what is so.
      if (input.answer.kind !== 'done' || input.answer.outcome !== 'voided') return undefined;
      if (attempt.operation !== 'authorise') return undefined;
      return { state: 'cancelled', reference: input.answer.reference };
    case 'give up':
      if (attempt.state === 'person') return undefined;
      return attempt.state === 'cancelling' || attempt.operation !== 'authorise'
        ? { state: 'person' }
        : { state: 'cancelling' };
    case 'person':
      if (attempt.state !== 'person') return undefined;
      return input.outcome === undefined
        ? { state: 'cancelled', reference: input.reference }
        : { state: 'done', outcome: input.outcome, reference: input.reference };
  }
}

/** What to do next about an attempt that is not over; a wait may lie between. */
export type Step = 'call' | 'query' | 'find out' | 'cancel' | 'give up' | 'rest';

/**
 * The next step at `nowMs`. `cancelAsked`: the person wants it undone. `isRefused`: the bridge has
 * refused it, and only has to find out whether it moved before. `wasRefused`: the last cancel was
 * answered with a refusal, so the query comes next.
 */
export function nextStep(
  attempt: Attempt,
  capabilities: Capabilities,
  now: Readonly<{
    nowMs: number;
    cancelAsked: boolean;
    isRefused?: boolean;
    wasRefused: boolean;
    patienceMs?: number;
  }>,
): Step {
  const ageMs = now.nowMs - attempt.atMs;
  if (now.isRefused && (attempt.state === 'submitting' || attempt.state === 'unknown')) {
    // Asking costs little and undoes nothing, so it goes on when no cancel is accepted any more.
    return ageMs >= CANCEL_FOR_MS_MAX ? 'give up' : 'find out';
  }
  switch (attempt.state) {
    case 'submitting':
      return 'call';
    case 'unknown': {
      const isCancellable = attempt.operation === 'authorise';
      if (isCancellable && now.cancelAsked) return 'give up';
      if (ageMs >= (isCancellable ? (now.patienceMs ?? RESOLVE_FOR_MS) : capabilities.cancel.forMs))
        return 'give up';
      // What cannot be cancelled must arrive in the end, so it is sent again whatever was not seen.
      const isResent = capabilities.resolvesBy === 'replay' || !isCancellable;
      const isRepeatable = isResent && ageMs < capabilities.keyForMs;
      return isRepeatable ? 'call' : 'query';
    }
    case 'cancelling':
      if (ageMs >= capabilities.cancel.forMs) return 'give up';
      return now.wasRefused ? 'query' : 'cancel';
    default:
      return 'rest';
  }
}

/** Whether a person's finding ended an attempt. */
export function isByPerson({ reference }: Attempt): boolean {
  return reference?.startsWith(BY_PERSON) === true;
}

/** How the reference of what a person found begins. */
export const BY_PERSON = 'person:';

/** Whether nothing can change an attempt any more. */
export function isOver(state: AttemptState): boolean {
  return state === 'done' || state === 'declined' || state === 'unsent' || state === 'cancelled';
}

/** The key of the cancel of an authorisation: fixed, so that a repeat is the same cancel. */
export function cancelKeyOf(key: IdempotencyKey): IdempotencyKey {
  const digest = createHash('sha256').update(`saytap/1 cancel ${key}`).digest();
  return toHex(digest.subarray(0, 16));
}

/** What an operation can come to; a word about something else is none about this attempt. */
const FITTING: Readonly<Record<Operation, readonly string[]>> = Object.freeze({
  authorise: ['captured', 'held', 'voided'],
  capture: ['captured'],
  void: ['voided'],
  refund: ['refunded'],
});

function answered(
  attempt: Attempt,
  { answer, isFirst, nowMs }: Extract<Input, { kind: 'answer' }>,
  capabilities: Capabilities,
): Change | undefined {
  switch (answer.kind) {
    case 'done':
    case 'declined':
      return heard(attempt, answer, capabilities);
    case 'unknown':
      return attempt.state === 'submitting' ? { state: 'unknown' } : undefined;
    case 'unsent':
      if (attempt.state !== 'submitting') return undefined;
      if (!isFirst) return { state: 'unknown' };
      return nowMs - attempt.atMs >= UNSENT_FOR_MS ? { state: 'unsent' } : undefined;
  }
}

function heard(
  attempt: Attempt,
  state: BackendState,
  capabilities: Capabilities,
): Change | undefined {
  if (state.kind === 'declined') return { state: 'declined', reason: state.reason };
  if (state.kind !== 'done') return undefined;
  if (!FITTING[attempt.operation].includes(state.outcome)) return undefined;
  if (attempt.operation === 'authorise' && state.outcome === 'voided') {
    return { state: 'cancelled', reference: state.reference };
  }
  // Once a cancel is under way, what was done before it may still be undone by it.
  const isUndoable = state.outcome === 'held' || capabilities.cancel.captured === 'reverses';
  if (attempt.state === 'cancelling' && isUndoable) return undefined;
  return doneBy(state);
}

function doneBy({ outcome, reference }: Extract<Definite, { kind: 'done' }>): Change {
  return { state: 'done', outcome, reference };
}
