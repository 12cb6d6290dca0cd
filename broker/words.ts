/**
 * Words about a payment that nobody asked for: a backend's own notification, and a person's
 * finding. Both are inputs of the one transition function, as every answer is.
 */
import { utf8 } from '../src/bytes.ts';
import { PaymentError } from '../src/errors.ts';
import { REFERENCE_BYTES_MAX } from '../src/limits.ts';
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
  const attempt = (await parts.store.run(key))?.attempts.at(-1);
  if (attempt?.backend !== name) return undefined;
  const source = 'notification';
  return take(parts, key, attempt, backend, { kind: 'state', state }, state.received, source);
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
  const attempt = run?.attempts.at(-1);
  const backend = parts.backends.find(({ name }) => name === attempt?.backend);
  const reference = `person:${by}`.replace(/[^!-~]/g, '_').slice(0, REFERENCE_BYTES_MAX);
  const received = utf8(JSON.stringify({ by, why }));
  const taken =
    attempt &&
    backend &&
    (await take(
      parts,
      id,
      attempt,
      backend,
      { kind: 'person', outcome, reference },
      received,
      'person',
    ));
  if (taken === undefined) {
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

async function take(
  { store, clock }: Parts,
  id: string,
  attempt: Attempt,
  backend: Backend,
  input: Input,
  received: Uint8Array | undefined,
  source: Progress['source'],
): Promise<string | undefined> {
  const change = transition(attempt, input, backend.capabilities);
  if (!change) return undefined;
  const { number } = attempt;
  await store.progress(id, { number, change, received, source }, clock.nowMs());
  return id;
}
