/**
 * What can go wrong, as one closed list, and the two error types that carry it.
 *
 * A reason code is a promise to operators, to people and to implementations in other languages: it
 * is never renamed and its number is never reused. The hundreds digit says what to do next, so a
 * device that meets a code it does not know still behaves well. PROTOCOL.md carries the same table;
 * test/tidy.test.ts fails when the two differ in either direction.
 */

/** Name → integer on the wire. 1xx final · 2xx step up · 3xx pending · 4xx try again later. */
export const REASONS = Object.freeze({
  malformed: 101,
  non_canonical: 102,
  too_large: 103,
  bad_signature: 104,
  expired: 105,
  not_yet_valid: 106,
  revoked: 107,
  suspended: 108,
  mandate_unknown: 109,
  funding_unknown: 110,
  currency_unknown: 111,
  currency_mismatch: 112,
  limit_per_payment: 113,
  limit_window: 114,
  limit_count: 115,
  scope_payee: 116,
  scope_category: 117,
  scope_channel: 118,
  scope_terminal: 119,
  order_expired: 120,
  order_paid: 121,
  order_mismatch: 122,
  counter_reused: 123,
  counter_gap: 124,
  cancelled: 125,
  risk_denied: 126,
  backend_declined: 127,
  refund_exceeds: 128,
  downgrade_refused: 129,
  sim_in_live: 130,
  residency: 131,
  role_forbidden: 132,
  action_unsupported: 133,
  original_unknown: 134,
  not_held: 135,
  capture_exceeds: 136,
  offline_not_allowed: 140,
  offline_floor_limit: 141,
  offline_stored_amount: 142,
  offline_stored_count: 143,
  offline_payer_velocity: 144,
  offline_window_expired: 145,
  offline_upload_overdue: 146,
  offline_policy_stale: 147,
  lease_exhausted: 148,
  lease_expired: 149,
  presence_too_low: 201,
  presence_stale: 202,
  risk_step_up: 203,
  backend_unknown: 301,
  in_progress: 302,
  not_seen: 303,
  clock_untrusted: 401,
  stale_nonce: 402,
  order_unknown: 403,
  rate_limited: 404,
  unavailable: 405,
  limit_gap: 406,
  offline_go_online: 407,
  order_claimed: 408,
  original_busy: 409,
});

export type Reason = keyof typeof REASONS;

const NAMES: ReadonlyMap<number, Reason> = new Map(
  Object.entries(REASONS).map(([name, code]) => [code, name as Reason]),
);

/** The name of a wire code; undefined when this version does not know it. */
export function reasonName(code: number): Reason | undefined {
  return NAMES.get(code);
}

/** What a code's hundreds digit asks of the one who receives it. */
export function reasonClass(code: number): 'final' | 'step_up' | 'pending' | 'later' | 'unknown' {
  const classes = ['final', 'step_up', 'pending', 'later'] as const;
  return classes[Math.floor(code / 100) - 1] ?? 'unknown';
}

/** An expected failure of a payment or of one of its objects. A bug is an assertion, never this. */
export class PaymentError extends Error {
  readonly reason: Reason;

  constructor(reason: Reason, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'PaymentError';
    this.reason = reason;
  }
}

/** Exit codes of the command, the same for every program (also printed by `saytap --help`). */
export const EXITS = Object.freeze({
  ok: 0,
  failed: 1,
  usage: 2,
  config: 3,
  address: 4,
  storage: 5,
  key: 6,
  /** What a storm found: a program crashed, money went wrong, or something never ended. */
  crash: 7,
  safety: 8,
  liveness: 9,
});

/** A failure that a person at the machine must mend: one line that says what to do. */
export class OperatorError extends Error {
  readonly exit: (typeof EXITS)[keyof typeof EXITS];

  constructor(exit: keyof typeof EXITS, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'OperatorError';
    this.exit = EXITS[exit];
  }
}
