/**
 * Whether one more payment may be accepted without the bridge. Pure.
 *
 * The order of the checks is that of PROTOCOL.md 6.2: first what closes offline acceptance as a
 * whole, then what the device has in store, then this payment. At a limit a payment is accepted,
 * one unit beyond it is refused, and nothing that waits is ever dropped to make room.
 */
import { PaymentError } from '../src/errors.ts';
import { type Money, formatMoney } from '../src/money.ts';
import type { OfflineRules } from '../src/offline.ts';
import type { HeldLease } from './leases.ts';
import type { Stored } from './waiting.ts';

/** Everything that decides it. */
export type Offer = Readonly<{
  amount: Money;
  /** The strictest of the policies in this currency; undefined when they close it. */
  rules: OfflineRules | undefined;
  /** The lease held for the mandate. */
  lease: HeldLease | undefined;
  stored: Stored;
  /** Trusted time, ms; undefined while none holds. */
  nowMs: number | undefined;
  /** Since the bridge was last heard, ms. */
  awayMs: number | undefined;
}>;

/** What the accepted request is signed under, and whether staff should look for the link. */
export type Acceptance = Readonly<{ lease: HeldLease; nowMs: number; isSoftOver: boolean }>;

/** Throws the reason why it may not; see PROTOCOL.md 6.2. */
export function requireAcceptable(offer: Offer): Acceptance {
  const { amount, rules, lease, stored, nowMs, awayMs } = offer;
  if (rules?.behaviour !== 'prefer_online') {
    throw new PaymentError('offline_not_allowed', 'no policy allows it');
  }
  if (!lease) throw new PaymentError('offline_not_allowed', 'no lease for this mandate');
  if (nowMs === undefined || awayMs === undefined) {
    throw new PaymentError('clock_untrusted', 'no trusted time');
  }
  requireOpen(rules, lease, nowMs, awayMs);
  requireRoom(rules, stored, nowMs);
  requireAmount(rules, amount, stored);
  requireLeft(lease, amount);
  return { lease, nowMs, isSoftOver: stored.inRow + 1 > rules.goOnlineEvery[0] };
}

/** What ends by time alone. */
function requireOpen(
  { policiesUntil, acceptWindow }: OfflineRules,
  lease: HeldLease,
  nowMs: number,
  awayMs: number,
): void {
  if (Math.floor(nowMs / 1000) > policiesUntil) {
    throw new PaymentError('offline_policy_stale', 'a policy is too old');
  }
  if (awayMs > acceptWindow * 1000) {
    throw new PaymentError('offline_window_expired', `without the bridge over ${acceptWindow} s`);
  }
  if (nowMs >= lease.exp * 1000) throw new PaymentError('lease_expired', 'the lease is over');
}

/** What already waits. */
function requireRoom(rules: OfflineRules, stored: Stored, nowMs: number): void {
  const { uploadWindow, storedCountMax, goOnlineEvery } = rules;
  if (stored.oldestMs !== undefined && nowMs - stored.oldestMs > uploadWindow * 1000) {
    throw new PaymentError('offline_upload_overdue', `the oldest waits over ${uploadWindow} s`);
  }
  if (stored.count + 1 > storedCountMax) {
    throw new PaymentError('offline_stored_count', `${stored.count} payments wait`);
  }
  if (stored.inRow + 1 > goOnlineEvery[1]) {
    throw new PaymentError('offline_go_online', `${stored.inRow} accepted in a row`);
  }
}

/** What this payment adds. */
function requireAmount(rules: OfflineRules, { minor }: Money, stored: Stored): void {
  if (minor > rules.floorLimit) {
    throw new PaymentError('offline_floor_limit', 'above the limit of one payment');
  }
  if (stored.minor + minor > rules.storedAmountMax) {
    throw new PaymentError('offline_stored_amount', 'more than may wait');
  }
  const { payer } = stored;
  if (payer.count + 1 > rules.payerCountMax || payer.minor + minor > rules.payerAmountMax) {
    throw new PaymentError('offline_payer_velocity', 'more than may wait of one payer');
  }
}

function requireLeft({ left }: HeldLease, amount: Money): void {
  const isOther = left.amount.currency !== amount.currency;
  if (isOther || amount.minor > left.amount.minor || left.count < 1) {
    const rest = formatMoney(left.amount, 'en');
    throw new PaymentError('lease_exhausted', `${rest} and ${left.count} payments are left`);
  }
}
