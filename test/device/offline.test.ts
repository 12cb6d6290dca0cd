// Method: an offer that is accepted, and for each limit the last value that still is and the first
// that is not; then random offers against the limits said in another way.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Reason } from '../../src/errors.ts';
import type { OfflineRules } from '../../src/offline.ts';
import type { HeldLease } from '../../device/leases.ts';
import { type Offer, requireAcceptable } from '../../device/offline.ts';
import type { Stored } from '../../device/waiting.ts';
import { reasonOf } from './stage.ts';

const NOW_S = 1_000_000;

const RULES: OfflineRules = {
  behaviour: 'prefer_online',
  currency: 'CNY',
  floorLimit: 50_00n,
  storedAmountMax: 500_00n,
  storedCountMax: 40,
  acceptWindow: 14_400,
  uploadWindow: 86_400,
  goOnlineEvery: [5, 20],
  payerCountMax: 3,
  payerAmountMax: 100_00n,
  policiesFrom: 0,
  policiesUntil: NOW_S,
};

const LEASE: HeldLease = {
  mandate: 'ab'.repeat(16),
  nonce: new Uint8Array(8),
  exp: NOW_S + 1,
  upload: NOW_S + 90_000,
  left: { amount: { currency: 'CNY', minor: 100_00n }, count: 9 },
};

const STORED: Stored = {
  count: 0,
  minor: 0n,
  oldestMs: undefined,
  inRow: 0,
  payer: { count: 0, minor: 0n },
};

/** An offer of 10 yuan that every limit lets through. */
function offer(
  changed: Partial<Omit<Offer, 'rules' | 'lease' | 'stored'>> = {},
  rules: Partial<OfflineRules> = {},
  stored: Partial<Stored> = {},
  left: Partial<HeldLease['left']> = {},
): Offer {
  return {
    amount: { currency: 'CNY', minor: 10_00n },
    rules: { ...RULES, ...rules },
    lease: { ...LEASE, left: { ...LEASE.left, ...left } },
    stored: { ...STORED, ...stored },
    nowMs: NOW_S * 1000,
    awayMs: 0,
    ...changed,
  };
}

const verdict = (one: Offer) => reasonOf(() => requireAcceptable(one));
const cny = (minor: bigint) => ({ currency: 'CNY', minor });
const ann = (count: number, minor: bigint) => ({ payer: { count, minor } });
const NOW_MS = NOW_S * 1000;

test('what every limit allows is accepted, under its lease and dated', () => {
  expect(requireAcceptable(offer())).toEqual({ lease: LEASE, nowMs: NOW_MS, isSoftOver: false });
});

test.each<[Reason, string, Offer, Offer]>([
  [
    'offline_policy_stale',
    'the last second of the policy',
    offer({ nowMs: NOW_MS + 999 }),
    offer({ nowMs: NOW_MS + 1_000 }),
  ],
  [
    'offline_window_expired',
    'the accept window to the millisecond',
    offer({ awayMs: 14_400_000 }),
    offer({ awayMs: 14_400_001 }),
  ],
  [
    'lease_expired',
    'before the second of its exp',
    offer({ nowMs: NOW_MS + 999 }, { policiesUntil: NOW_S + 9 }),
    offer({ nowMs: NOW_MS + 1_000 }, { policiesUntil: NOW_S + 9 }),
  ],
  [
    'offline_upload_overdue',
    'the upload window to the millisecond',
    offer({}, {}, { count: 1, oldestMs: NOW_MS - 86_400_000 }),
    offer({}, {}, { count: 1, oldestMs: NOW_MS - 86_400_001 }),
  ],
  [
    'offline_stored_count',
    'the fortieth',
    offer({}, {}, { count: 39 }),
    offer({}, {}, { count: 40 }),
  ],
  [
    'offline_go_online',
    'the twentieth',
    offer({}, {}, { inRow: 19 }),
    offer({}, {}, { inRow: 20 }),
  ],
  [
    'offline_floor_limit',
    '50 yuan',
    offer({ amount: cny(50_00n) }),
    offer({ amount: cny(50_01n) }),
  ],
  [
    'offline_stored_amount',
    '500 yuan in all',
    offer({}, {}, { minor: 490_00n }),
    offer({}, {}, { minor: 490_01n }),
  ],
  [
    'offline_payer_velocity',
    'the third of one',
    offer({}, {}, ann(2, 0n)),
    offer({}, {}, ann(3, 0n)),
  ],
  [
    'offline_payer_velocity',
    '100 yuan of one',
    offer({}, {}, ann(1, 90_00n)),
    offer({}, {}, ann(1, 90_01n)),
  ],
  [
    'lease_exhausted',
    'the last fen of it',
    offer({}, {}, {}, { amount: cny(10_00n) }),
    offer({}, {}, {}, { amount: cny(9_99n) }),
  ],
  ['lease_exhausted', 'its last', offer({}, {}, {}, { count: 1 }), offer({}, {}, {}, { count: 0 })],
])('%s: %s is accepted, one unit more is not', (reason, _why, last, beyond) => {
  expect([verdict(last), verdict(beyond)]).toEqual(['accepted', reason]);
});

test.each<[Reason, string, Offer]>([
  ['offline_not_allowed', 'no policy', { ...offer(), rules: undefined }],
  ['offline_not_allowed', 'require_online', offer({}, { behaviour: 'require_online' })],
  ['offline_not_allowed', 'no lease', { ...offer(), lease: undefined }],
  ['clock_untrusted', 'no time', offer({ nowMs: undefined })],
  ['clock_untrusted', 'no tick in this boot', offer({ awayMs: undefined })],
  [
    'lease_exhausted',
    'a lease in other money',
    offer({}, {}, {}, { amount: { currency: 'HKD', minor: 100_00n } }),
  ],
])('%s: %s', (reason, _why, one) => {
  expect(verdict(one)).toBe(reason);
});

test('the soft limit refuses nothing and is told from the first payment beyond it', () => {
  expect(requireAcceptable(offer({}, {}, { inRow: 4 })).isSoftOver).toBe(false);
  expect(requireAcceptable(offer({}, {}, { inRow: 5 })).isSoftOver).toBe(true);
});

/** Each breaks one more rule than the one before, from the last check to the first. */
const BREACHES: readonly [Reason, (one: Offer) => Offer][] = [
  [
    'lease_exhausted',
    (one) => ({ ...one, lease: { ...one.lease!, left: { amount: cny(0n), count: 0 } } }),
  ],
  ['offline_payer_velocity', (one) => ({ ...one, stored: { ...one.stored, ...ann(3, 0n) } })],
  ['offline_stored_amount', (one) => ({ ...one, stored: { ...one.stored, minor: 500_00n } })],
  ['offline_floor_limit', (one) => ({ ...one, amount: cny(50_01n) })],
  ['offline_go_online', (one) => ({ ...one, stored: { ...one.stored, inRow: 20 } })],
  ['offline_stored_count', (one) => ({ ...one, stored: { ...one.stored, count: 40 } })],
  ['offline_upload_overdue', (one) => ({ ...one, stored: { ...one.stored, oldestMs: 0 } })],
  ['lease_expired', (one) => ({ ...one, lease: { ...one.lease!, exp: NOW_S } })],
  ['offline_window_expired', (one) => ({ ...one, awayMs: 99_000_000 })],
  ['offline_policy_stale', (one) => ({ ...one, rules: { ...one.rules!, policiesUntil: 0 } })],
  ['clock_untrusted', (one) => ({ ...one, nowMs: undefined })],
  ['offline_not_allowed', (one) => ({ ...one, lease: undefined })],
];

test('of several faults the first in the order of PROTOCOL.md is told', () => {
  let one = offer();
  for (const [reason, breach] of BREACHES) {
    one = breach(one);
    expect(verdict(one)).toBe(reason);
  }
});

test('whatever is accepted keeps every limit, whatever is refused breaks the one it names', () => {
  const whole = (max: number) => fc.integer({ min: 0, max });
  const minor = (max: bigint) => fc.bigInt({ min: 0n, max });
  const offers = fc
    .record({
      minor: fc.bigInt({ min: 1n, max: 60_00n }),
      nowMs: whole(2_000).map((ms) => NOW_MS - 1_000 + ms),
      awayMs: whole(15_000_000),
      count: whole(42),
      stored: minor(520_00n),
      oldestMs: fc.option(
        whole(90_000_000).map((ms) => NOW_MS - ms),
        { nil: undefined },
      ),
      inRow: whole(22),
      payerCount: whole(4),
      payerMinor: minor(110_00n),
      leftMinor: minor(60_00n),
      leftCount: whole(3),
    })
    .map((r) =>
      offer(
        { amount: cny(r.minor), nowMs: r.nowMs, awayMs: r.awayMs },
        {},
        {
          ...{ count: r.count, minor: r.stored, oldestMs: r.oldestMs, inRow: r.inRow },
          ...ann(r.payerCount, r.payerMinor),
        },
        { amount: cny(r.leftMinor), count: r.leftCount },
      ),
    );
  const isBroken: Readonly<Partial<Record<Reason, (one: Offer) => boolean>>> = {
    offline_policy_stale: ({ nowMs }) => nowMs! >= (NOW_S + 1) * 1000,
    offline_window_expired: ({ awayMs }) => awayMs! / 1000 > 14_400,
    lease_expired: ({ nowMs }) => nowMs! >= (NOW_S + 1) * 1000,
    offline_upload_overdue: ({ nowMs, stored }) =>
      (nowMs! - (stored.oldestMs ?? Infinity)) / 1000 > 86_400,
    offline_stored_count: ({ stored }) => stored.count >= 40,
    offline_go_online: ({ stored }) => stored.inRow >= 20,
    offline_floor_limit: ({ amount }) => amount.minor > 50_00n,
    offline_stored_amount: ({ amount, stored }) => 500_00n - stored.minor < amount.minor,
    offline_payer_velocity: ({ amount, stored: { payer } }) =>
      payer.count >= 3 || 100_00n - payer.minor < amount.minor,
    lease_exhausted: ({ amount, lease }) =>
      lease!.left.count === 0 || lease!.left.amount.minor < amount.minor,
  };
  fc.assert(
    fc.property(offers, (one) => {
      const said = verdict(one);
      const broken = Object.entries(isBroken).filter(([, breaks]) => breaks(one));
      expect(said).toBe(broken[0]?.[0] ?? 'accepted');
    }),
    { numRuns: 2_000 },
  );
});
