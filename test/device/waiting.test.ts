// What waits, as the limits and as staff count it: derived from the outbox's list alone.
import { expect, test } from 'vitest';
import type { OfflineRules } from '../../src/offline.ts';
import { type Accepted, figuresOf, storedOf } from '../../device/waiting.ts';

const NOW_MS = 1_000_000_000;

function accepted(changed: Partial<Accepted> & { minor?: bigint; currency?: string }): Accepted {
  const { minor = 10_00n, currency = 'CNY', ...rest } = changed;
  return {
    ...{ id: '00'.repeat(16), mandate: 'ab'.repeat(16), payer: 'ann', storedMs: NOW_MS },
    ...{ amount: { currency, minor }, isInRow: true, ...rest },
  };
}

const RULES: OfflineRules = {
  behaviour: 'prefer_online',
  currency: 'CNY',
  floorLimit: 50_00n,
  storedAmountMax: 100_00n,
  storedCountMax: 10,
  acceptWindow: 1_000,
  uploadWindow: 2_000,
  goOnlineEvery: [2, 8],
  payerCountMax: 3,
  payerAmountMax: 100_00n,
  policiesFrom: 0,
  policiesUntil: 10_000_000,
};

const THREE = [
  accepted({ minor: 30_00n, storedMs: NOW_MS - 90_000, isInRow: false }),
  accepted({ minor: 5_00n, payer: 'bob' }),
  accepted({ minor: 700n, currency: 'HKD', storedMs: NOW_MS - 1_000 }),
];

test('a limit counts all that waits, and sums its own currency', () => {
  expect(storedOf(THREE, 'CNY', 'ann')).toEqual({
    count: 3,
    minor: 35_00n,
    oldestMs: NOW_MS - 90_000,
    inRow: 2,
    payer: { count: 2, minor: 30_00n },
  });
});

test('what damage left without a payer counts as everybody’s', () => {
  const found = [accepted({ payer: '', minor: 1_00n }), ...THREE];
  expect(storedOf(found, 'CNY', 'ann').payer).toEqual({ count: 3, minor: 31_00n });
  expect(storedOf(found, 'CNY', 'bob').payer).toEqual({ count: 2, minor: 6_00n });
});

test('nothing waits', () => {
  expect(storedOf([], 'CNY', 'ann')).toEqual({
    ...{ count: 0, minor: 0n, oldestMs: undefined, inRow: 0 },
    payer: { count: 0, minor: 0n },
  });
  expect(figuresOf([], RULES, undefined, undefined)).toMatchObject({ count: 0, sums: [] });
});

test('figures: count, a sum of each currency, the oldest age, and no names', () => {
  expect(figuresOf(THREE, undefined, NOW_MS, 0)).toEqual({
    count: 3,
    sums: [
      { currency: 'CNY', minor: 35_00n },
      { currency: 'HKD', minor: 700n },
    ],
    oldestS: 90,
    nearest: undefined,
  });
  expect(figuresOf(THREE, RULES, undefined, undefined).oldestS, 'no time, no age').toBeUndefined();
  const closed = { ...RULES, behaviour: 'require_online' } as const;
  expect(figuresOf(THREE, closed, NOW_MS, 0).nearest, 'nothing is accepted').toBeUndefined();
});

test.each<[string, readonly Accepted[], Partial<OfflineRules>, number, bigint, bigint]>([
  ['stored_count', [accepted({}), accepted({ minor: 1n })], { storedCountMax: 3 }, 0, 2n, 3n],
  ['stored_amount', [accepted({ minor: 90_00n })], {}, 0, 90_00n, 100_00n],
  ['go_online', [accepted({ minor: 1n })], { goOnlineEvery: [1, 2] }, 0, 1n, 2n],
  ['upload', [accepted({ minor: 1n, storedMs: NOW_MS - 1_900_000 })], {}, 0, 1_900n, 2_000n],
  ['window', [accepted({})], {}, 999_999, 999n, 1_000n],
  ['policy', [accepted({})], { policiesUntil: 1_010_000 }, 0, 1_000_000n, 1_010_000n],
])('the nearest limit is %s', (limit, waiting, changed, awayMs, used, max) => {
  const { nearest } = figuresOf(waiting, { ...RULES, ...changed }, NOW_MS, awayMs);
  expect(nearest).toEqual({ limit, used, max, currency: 'CNY' });
});
