/**
 * Words about a payment that nobody asked for: a backend's own notification, and a person's
 * finding. Both are inputs of the one transition function, as every answer is.
 */
import { utf8 } from '../src/bytes.ts';
import { PaymentError } from '../src/errors.ts';
import { REFERENCE_BYTES_MAX, WORD_LOOKS } from '../src/limits.ts';
import type { Clock, HttpQuestion, Log } from '../src/platform.ts';
import { type Attempt, BY_PERSON, type Input, transition } from './attempt.ts';
import type { Backend, Capabilities } from './backends/port.ts';
import type { Progress, Store } from './store/port.ts';

/** What a person found out; without an outcome nothing moved and nothing will. */
export type Word = Readonly<{ outcome: Attempt['outcome']; by: string; why: string }>;

type Parts = Readonly<{
  store: Store;
  backends: readonly Backend[];
  clock: Clock;
  log: Log;
}>;

/**
 * Records a notification; returns the run that it changed. Throws as the backend's
 * parseNotification does, `malformed` for an unknown backend, `unavailable` from the store.
 */
export async function takeNotification(
  parts: Parts,
  name: string,
  question: HttpQuestion,
): Promise<string | undefined> {
  const backend = parts.backends.find((one) => one.name === name);
  if (!backend) throw new PaymentError('malformed', `there is no backend ${name} here`);
  const notification = backend.parseNotification(question);
  if (!notification) return undefined;
  const { key, state } = notification;
  const { received } = state;
  const input = { kind: 'state', state } as const;
  return take(parts, key, { input, by: name, received, source: 'notification' });
}

/**
 * Records a person's word. Throws `original_unknown` unless the payment waits for one, `malformed`
 * for an outcome that does not fit what was asked.
 */
export async function takeWord(parts: Parts, id: string, word: Word): Promise<void> {
  const { outcome, by, why } = word;
  const { store } = parts;
  const run = await store.run(id);
  const fitting = run && OUTCOMES[run.request.action];
  if (outcome !== undefined && outcome !== fitting) {
    throw new PaymentError('malformed', `${run?.request.action ?? 'this'} cannot be ${outcome}`);
  }
  await askOnceMore(parts, id);
  const reference = `${BY_PERSON}${by}`.replace(/[^!-~]/g, '_').slice(0, REFERENCE_BYTES_MAX);
  const received = utf8(JSON.stringify({ by, why }));
  const input = { kind: 'person', outcome, reference } as const;
  if ((await take(parts, id, { input, received, source: 'person' })) === undefined) {
    throw new PaymentError('original_unknown', `no payment ${id} waits for a person`);
  }
}

/**
 * The backend may be there again: its definite word counts, and a person's is not needed. Throws
 * `original_unknown` then.
 */
async function askOnceMore(parts: Parts, id: string): Promise<void> {
  const attempt = (await parts.store.run(id))?.attempts.at(-1);
  const backend = parts.backends.find(({ name }) => name === attempt?.backend);
  if (attempt?.state !== 'person' || !backend) return;
  const state = await backend.query(attempt.key);
  const received = 'received' in state ? state.received : undefined;
  const input = { kind: 'state', state } as const;
  const told = { input, by: backend.name, received, source: 'query' } as const;
  if ((await take(parts, id, told)) === undefined) return;
  const word = state.kind === 'done' ? state.outcome : 'declined';
  throw new PaymentError('original_unknown', `${backend.name} answers now: ${word}; that counts`);
}

/** What moved money comes to, by what was asked. */
const OUTCOMES: Readonly<Record<string, Attempt['outcome']>> = Object.freeze({
  pay: 'captured',
  hold: 'held',
  capture: 'captured',
  void: 'voided',
  refund: 'refunded',
});

/** A backend that confirmed a cancel and says later that it captured breaks its word. */
function isAlarm({ state }: Attempt, input: Input): boolean {
  if (state !== 'cancelled' || input.kind !== 'state' || input.state.kind !== 'done') return false;
  return input.state.outcome === 'captured';
}

/** Of a backend that nobody can ask. */
const NONE: Capabilities = Object.freeze({
  resolvesBy: 'query',
  keyForMs: 0,
  pollMs: 0,
  cancel: Object.freeze({ unseen: 'nothing', captured: 'reverses', forMs: 0 }),
  notifies: false,
});

/** Looks again when another word came between the look and the record. */
async function take(
  { store, backends, clock, log }: Parts,
  id: string,
  told: Readonly<{ input: Input; by?: string }> & Pick<Progress, 'received' | 'source'>,
): Promise<string | undefined> {
  const { input, by, ...rest } = told;
  for (let look = 0; look < WORD_LOOKS; look++) {
    const attempt = (await store.run(id))?.attempts.at(-1);
    const backend = backends.find(({ name }) => name === attempt?.backend);
    if (!attempt || (by !== undefined && by !== attempt.backend)) return undefined;
    // A person may speak about a backend that is not there any more.
    const change = transition(attempt, input, backend?.capabilities ?? NONE);
    if (!change && isAlarm(attempt, input)) {
      log('error', 'money moved after its cancel was confirmed: look at its evidence', {
        request: id,
      });
      const body = utf8(JSON.stringify({ late: input, backend: attempt.backend }));
      await store.note({ subject: id, kind: 'note', body, nowMs: clock.nowMs() });
    }
    if (!change) return undefined;
    const { number, state: from } = attempt;
    const run = await store.progress(id, { number, from, change, ...rest }, clock.nowMs());
    const now = run.attempts.at(-1);
    if (now?.number === number && now.state === change.state) return id;
  }
  throw new PaymentError('unavailable', 'too much happens to this payment at once');
}
