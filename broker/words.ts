/**
 * Words about a payment that nobody asked for: a backend's own notification, and a person's
 * finding. Both are inputs of the one transition function, as every answer is.
 */
import { utf8 } from '../src/bytes.ts';
import { PaymentError } from '../src/errors.ts';
import { REFERENCE_BYTES_MAX, WORD_LOOKS } from '../src/limits.ts';
import type { Clock, HttpQuestion } from '../src/platform.ts';
import { type Attempt, type Input, transition } from './attempt.ts';
import type { Backend } from './backends/port.ts';
import type { Progress, Store } from './store/port.ts';

/** What a person found out; without an outcome nothing moved and nothing will. */
export type Word = Readonly<{ outcome: Attempt['outcome']; by: string; why: string }>;

type Parts = Readonly<{ store: Store; backends: readonly Backend[]; clock: Clock }>;

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
  const reference = `person:${by}`.replace(/[^!-~]/g, '_').slice(0, REFERENCE_BYTES_MAX);
  const received = utf8(JSON.stringify({ by, why }));
  const input = { kind: 'person', outcome, reference } as const;
  if ((await take(parts, id, { input, received, source: 'person' })) === undefined) {
    throw new PaymentError('original_unknown', `no payment ${id} waits for a person`);
  }
}

/** What moved money comes to, by what was asked. */
const OUTCOMES: Readonly<Record<string, Attempt['outcome']>> = Object.freeze({
  pay: 'captured',
  hold: 'held',
  capture: 'captured',
  void: 'voided',
  refund: 'refunded',
});

/** Looks again when another word came between the look and the record. */
async function take(
  { store, backends, clock }: Parts,
  id: string,
  told: Readonly<{ input: Input; by?: string }> & Pick<Progress, 'received' | 'source'>,
): Promise<string | undefined> {
  const { input, by, ...rest } = told;
  for (let look = 0; look < WORD_LOOKS; look++) {
    const attempt = (await store.run(id))?.attempts.at(-1);
    const backend = backends.find(({ name }) => name === attempt?.backend);
    if (!attempt || !backend || (by !== undefined && by !== backend.name)) return undefined;
    const change = transition(attempt, input, backend.capabilities);
    if (!change) return undefined;
    const { number, state: from } = attempt;
    const run = await store.progress(id, { number, from, change, ...rest }, clock.nowMs());
    const now = run.attempts.at(-1);
    if (now?.number === number && now.state === change.state) return id;
  }
  throw new PaymentError('unavailable', 'too much happens to this payment at once');
}
