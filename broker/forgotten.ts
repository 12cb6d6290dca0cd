/**
 * What a bridge may have known once and forgotten: then silence is not "it never happened". Pure.
 *
 * A store that was restored from a backup lacks what came after it, and every store forgets in the
 * end. Of such a request only the backends can say whether it was paid.
 */
import { CLOCK_SKEW_S, ORDER_VALID_S, REQUEST_VALID_S_MAX, RESEND_FOR_MS } from '../src/limits.ts';

/**
 * Whether a request that ends at `exp` (seconds) may have been paid before the restore. Under a
 * lease that is forgotten, too, it may end long after: then only `isOfNow`, a nonce that was given
 * out since, shows that it is new.
 */
export function mayBeForgotten(
  { restoredMs }: Readonly<{ restoredMs?: number }>,
  exp: number,
  isOfNow: boolean,
  nowMs: number,
): boolean {
  if (restoredMs === undefined || !isSoonAfter(restoredMs, nowMs)) return false;
  return !isOfNow || exp * 1000 < restoredMs + (REQUEST_VALID_S_MAX + CLOCK_SKEW_S) * 1000;
}

/** The same of an order, which lives for ORDER_VALID_S. */
export function mayBePaidOrder(
  { restoredMs }: Readonly<{ restoredMs?: number }>,
  exp: number,
  nowMs: number,
): boolean {
  if (restoredMs === undefined || !isSoonAfter(restoredMs, nowMs)) return false;
  return exp * 1000 < restoredMs + (ORDER_VALID_S + CLOCK_SKEW_S) * 1000;
}

/** As long as devices send again what they have no receipt for. */
export function isSoonAfter(restoredMs: number, nowMs: number): boolean {
  return nowMs < restoredMs + RESEND_FOR_MS;
}

/** A device gives up before a bridge forgets, so what is older than that is no new request. */
export function mayStillBeNew(exp: number, nowMs: number): boolean {
  return exp * 1000 >= nowMs - RESEND_FOR_MS;
}
