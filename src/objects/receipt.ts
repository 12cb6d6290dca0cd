/**
 * Receipt: the bridge's answer, also to a refusal. Signed by the bridge key.
 *
 * A device closes an outbox entry only on a final receipt that verifies. The payer's copy tells
 * remaining windows and risk reasons; the terminal's copy carries order id, outcome, amount and
 * time and nothing else. The same request answered twice gets identical bytes.
 */
import { REFERENCE_BYTES_MAX, WINDOWS_MAX } from '../limits.ts';
import {
  type Field,
  type ValueOf,
  amount,
  choice,
  defineKind,
  id,
  integer,
  list,
  malformed,
  mapped,
  minor,
  optional,
  required,
  seconds,
  text,
  tuple,
} from './kind.ts';

export const OUTCOMES = Object.freeze({
  pending: 0,
  captured: 1,
  held: 2,
  voided: 3,
  refunded: 4,
  granted: 5,
  refused: 6,
  expired: 7,
});
export type Outcome = keyof typeof OUTCOMES;

/** What is left of a window of the mandate, in the mandate's order. */
export type Remaining = Readonly<{ amount: bigint; count: number }>;

const remaining: Field<Remaining> = mapped(
  tuple<readonly [bigint, number]>(minor, integer()),
  ([left, count]) => ({ amount: left, count }),
  (value) => [value.amount, value.count] as const,
);

export type Receipt = ValueOf<typeof receipt>;

export const receipt = defineKind(
  'receipt',
  {
    iat: required(6, seconds),
    amount: optional(12, amount),
    /** The order that was paid, in the payer's copy. */
    order: optional(15, id),
    /** The object that this answers: a request, an order, a mandate, a revoke. */
    subject: required(21, id),
    outcome: required(22, choice(OUTCOMES)),
    /** A code of errors.ts; a newer bridge may know more, the hundreds digit always holds. */
    reason: optional(23, integer(100, 499)),
    reference: optional(24, text(REFERENCE_BYTES_MAX)),
    remaining: optional(25, list(remaining, 1, WINDOWS_MAX)),
    /** Names of what weighed at the risk service, for the payer. */
    riskReasons: optional(26, list(text(32), 1, 4)),
    /** Revoke: requests that had already reached the backend and run to their end. */
    running: optional(27, list(id, 1, 64)),
  },
  (value) => {
    const needsReason =
      value.outcome === 'refused' || value.outcome === 'expired' || value.outcome === 'pending';
    if (needsReason !== (value.reason !== undefined)) {
      throw malformed('refused, expired and pending, and only these, carry a reason');
    }
  },
);

/** Whether an outcome ends its subject for good; `pending` never closes an outbox entry. */
export function isFinal(outcome: Outcome): boolean {
  return outcome !== 'pending';
}
