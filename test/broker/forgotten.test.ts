/** What may have been known and forgotten: the millisecond at which silence means something. */
import { describe, expect, test } from 'vitest';
import {
  isSoonAfter,
  mayBeForgotten,
  mayBePaidOrder,
  mayStillBeNew,
} from '../../broker/forgotten.ts';
import {
  BRIDGE_KEEP_MS,
  CLOCK_SKEW_S,
  ORDER_VALID_S,
  REQUEST_VALID_S_MAX,
  RESEND_FOR_MS,
} from '../../src/limits.ts';
import { NOW_MS, NOW_S } from './stage.ts';

const restored = { restoredMs: NOW_MS };

describe.each([
  [
    'a request',
    (what: object, exp: number, nowMs: number) => mayBeForgotten(what, exp, true, nowMs),
    REQUEST_VALID_S_MAX,
  ],
  ['an order', mayBePaidOrder, ORDER_VALID_S],
] as const)('%s', (_what, isUnsure, validS) => {
  /** The last second at which it can end and have been sent before the restore. */
  const last = NOW_S + validS + CLOCK_SKEW_S - 1;
  test.each([
    [true, last, 0, 'sent just before, in the instant of the restore'],
    [false, last + 1, 0, 'of a time that only begins after it'],
    [true, NOW_S - 86_400, 0, 'long over'],
    [true, last, RESEND_FOR_MS - 1, 'in the last moment in which a device sends it again'],
    [false, last, RESEND_FOR_MS, 'when nobody sends it again'],
  ])('%s: it ends at %d, %d ms after the restore (%s)', (expected, exp, afterMs, _why) => {
    expect(isUnsure(restored, exp, NOW_MS + afterMs)).toBe(expected);
  });

  test('of a store that was never restored nothing is unsure', () => {
    for (const exp of [0, NOW_S, last]) expect(isUnsure({}, exp, NOW_MS)).toBe(false);
  });
});

test('soon after is as long as devices send again', () => {
  expect(isSoonAfter(NOW_MS, NOW_MS)).toBe(true);
  expect(isSoonAfter(NOW_MS, NOW_MS + RESEND_FOR_MS - 1)).toBe(true);
  expect(isSoonAfter(NOW_MS, NOW_MS + RESEND_FOR_MS)).toBe(false);
});

test('a request is new until its device has given it up, and no store forgets it before', () => {
  expect(mayStillBeNew(NOW_S, NOW_MS)).toBe(true);
  expect(mayStillBeNew(NOW_S, NOW_MS + RESEND_FOR_MS)).toBe(true);
  expect(mayStillBeNew(NOW_S, NOW_MS + RESEND_FOR_MS + 1)).toBe(false);
  // What the store forgets ended at least this long ago.
  const admittedMs = NOW_MS - BRIDGE_KEEP_MS;
  const exp = Math.ceil(admittedMs / 1000) + REQUEST_VALID_S_MAX + CLOCK_SKEW_S;
  expect(mayStillBeNew(exp, NOW_MS)).toBe(false);
});
