/**
 * What is said to a backend about an attempt, and what is heard: one step of the conversation that
 * broker/attempt.ts plans.
 */
import { RESOLVE_FOR_MS } from '../src/limits.ts';
import type { Clock, Log } from '../src/platform.ts';
import {
  type Attempt,
  type Change,
  type Input,
  type Operation,
  cancelKeyOf,
  nextStep,
} from './attempt.ts';
import type { Backend, BackendAnswer, BackendState, IdempotencyKey } from './backends/port.ts';
import type { Opening, Progress, Run } from './store/port.ts';

/** An input for `transition`, with the bytes that it came in. */
export type Heard = Readonly<{ input: Input }> & Pick<Progress, 'received' | 'source'>;

/**
 * Takes the next step about an attempt that is not over. `isFirst`: nothing under its key can have
 * been sent before. `wasRefused`: the last cancel was refused. `restoredMs`: since when no bridge
 * of before calls anybody.
 */
export async function ask(
  run: Run,
  attempt: Attempt,
  backend: Backend,
  now: Readonly<{
    clock: Clock;
    isFirst: boolean;
    wasRefused: boolean;
    patienceMs: number | undefined;
    restoredMs: number | undefined;
  }>,
): Promise<Heard> {
  const { clock, isFirst, wasRefused, patienceMs, restoredMs = 0 } = now;
  const { key } = attempt;
  const isRefused = run.refusal !== undefined;
  const nowMs = clock.nowMs();
  // A backup may be older than any patience: what it has refused is asked about since the restore.
  const atMs = isRefused ? Math.max(attempt.atMs, restoredMs) : attempt.atMs;
  const step = nextStep({ ...attempt, atMs }, backend.capabilities, {
    nowMs,
    cancelAsked: run.cancelAskedMs !== undefined,
    isRefused,
    wasRefused,
    ...(patienceMs !== undefined && { patienceMs }),
  });
  switch (step) {
    case 'call': {
      const answer = await call(run, attempt, backend);
      const input = { kind: 'answer', answer, isFirst, nowMs: clock.nowMs() } as const;
      return { input, received: rawOf(answer), source: 'answer' };
    }
    case 'query': {
      const state = await backend.query(key);
      return { input: { kind: 'state', state }, received: rawOf(state), source: 'query' };
    }
    case 'find out': {
      const state = await lastStateOf(key, backend);
      // Before the question: what arrived behind it was not seen by the answer.
      const isLate = nowMs >= restoredMs + RESOLVE_FOR_MS;
      const isOpen = clock.nowMs() < atMs + backend.capabilities.cancel.forMs;
      const input = { kind: 'found', state, isLate, isOpen } as const;
      return { input, received: rawOf(state), source: 'query' };
    }
    case 'cancel': {
      const cancel = { key: cancelKeyOf(key), original: key, amount: run.request.amount! };
      const answer = await backend.void(cancel);
      return { input: { kind: 'cancel', answer }, received: rawOf(answer), source: 'cancel' };
    }
    case 'give up':
    case 'rest':
      return { input: { kind: 'give up' }, received: undefined, source: 'patience' };
  }
}

/** The first record of an attempt of a run at a backend: its key is the request's id, always. */
export function openingAt({ id, request: { action } }: Run, backend: string): Opening {
  return { backend, key: id, operation: OPERATIONS[action as keyof typeof OPERATIONS] };
}

const OPERATIONS = Object.freeze({
  pay: 'authorise',
  hold: 'authorise',
  capture: 'capture',
  void: 'void',
  refund: 'refund',
} as const satisfies Record<string, Operation>);

/** The backend of an attempt is not there any more, so nobody but a person can find out. */
export function leftToPeople({ number, state }: Attempt): Progress {
  const change = { state: 'person' } as const;
  return { number, from: state, change, received: undefined, source: 'patience' };
}

/** What an operator reads when an attempt changes. */
export function newsOf(run: Run, attempt: Attempt, { state }: Change): Parameters<Log> {
  const about = { request: run.id, backend: attempt.backend };
  switch (state) {
    case 'person':
      return ['error', 'payment unresolved: a person must look (saytap payments)', about];
    case 'cancelling':
      if (run.refusal) return ['info', 'backend has not seen what was refused, barring it', about];
      return ['warn', 'backend gives no definite word, cancelling', about];
    case 'unknown':
      return ['warn', 'backend gave no answer, asking again', about];
    default:
      return ['info', `attempt ${state}`, about];
  }
}

/** What was cancelled may still be called done under its own key: the cancel's key tells. */
async function lastStateOf(key: IdempotencyKey, backend: Backend): Promise<BackendState> {
  const state = await backend.query(key);
  if (state.kind !== 'done') return state;
  const isReversible = backend.capabilities.cancel.captured === 'reverses';
  const mayBeCancelled = state.outcome === 'captured' ? isReversible : state.outcome === 'held';
  if (!mayBeCancelled) return state;
  const cancel = await backend.query(cancelKeyOf(key));
  return cancel.kind === 'unseen' || cancel.kind === 'declined' ? state : cancel;
}

/** The call is built from signed fields and from the mandate's funding, and from nothing else. */
function call(run: Run, attempt: Attempt, backend: Backend): Promise<BackendAnswer> {
  const { key, operation } = attempt;
  const { payee, action } = run.request;
  const amount = run.request.amount!;
  if (operation === 'authorise') {
    const capture = action === 'hold' ? 'later' : 'now';
    return backend.authorise({ key, funding: run.funding, payee, amount, capture });
  }
  return backend[operation]({ key, original: run.original!, amount });
}

function rawOf(answer: object): Uint8Array | undefined {
  return 'received' in answer && answer.received instanceof Uint8Array
    ? answer.received
    : undefined;
}
