// How a mandate stands: each status at its very second, and what decides when several apply.
import { describe, expect, test } from 'vitest';
import { mandateStatus, viewOfMandate } from '../../broker/standing.ts';
import type { ChainLink, Usage } from '../../broker/store/port.ts';
import type { Window } from '../../src/objects/mandate.ts';
import { CAST, NOW_MS, NOW_S, mandateOf } from './stage.ts';

const DAY: Window = { kind: 'calendar', period: 'day', zone: 'UTC', max: 50_00n, count: 5 };
const TOTAL: Window = { kind: 'total', max: 100_00n, count: 10 };

function link(
  usage: readonly Usage[] = [
    { amount: 0n, count: 0 },
    { amount: 0n, count: 0 },
  ],
  changes: Partial<ChainLink> = {},
): ChainLink {
  return {
    id: 'ab'.repeat(16),
    mandate: mandateOf({ windows: [DAY, TOTAL], exp: NOW_S + 60 }),
    issuer: CAST.wallet.key.name,
    issuerFault: undefined,
    payer: '07'.repeat(16),
    status: 'active',
    backends: ['ledger', 'second'],
    usage,
    lastMs: undefined,
    ...changes,
  };
}

const used = (amount: bigint, count: number): readonly Usage[] => [
  { amount: 0n, count: 0 },
  { amount, count },
];

describe('status', () => {
  const cases: readonly (readonly [string, number, string, readonly Usage[]])[] = [
    ['nothing spent', NOW_MS, 'active', used(0n, 0)],
    ['a cent and one payment left', NOW_MS, 'active', used(99_99n, 9)],
    ['the amount is used up', NOW_MS, 'finished', used(100_00n, 1)],
    ['the count is used up', NOW_MS, 'finished', used(1n, 10)],
    ['the last ms before its end', NOW_MS + 59_999, 'active', used(0n, 0)],
    ['its end', NOW_MS + 60_000, 'expired', used(0n, 0)],
    ['expired comes before finished', NOW_MS + 60_000, 'expired', used(100_00n, 10)],
  ];
  test.each(cases)('%s', (_why, nowMs, status, usage) => {
    expect(mandateStatus(link(usage), nowMs)).toBe(status);
  });

  test('a full day is not the end: tomorrow it is open again', () => {
    const full = [
      { amount: 50_00n, count: 5 },
      { amount: 50_00n, count: 5 },
    ];
    expect(mandateStatus(link(full), NOW_MS)).toBe('active');
  });

  test.each(['suspended', 'revoked'] as const)(
    '%s comes before whatever follows by itself',
    (status) => {
      for (const usage of [used(0n, 0), used(100_00n, 10)]) {
        for (const nowMs of [NOW_MS, NOW_MS + 60_000]) {
          expect(mandateStatus(link(usage, { status }), nowMs)).toBe(status);
        }
      }
    },
  );
});

test('the view tells limits and usage as texts, and survives JSON', () => {
  const view = viewOfMandate(link(used(30_00n, 2)), NOW_MS);
  expect(view).toEqual({
    id: 'ab'.repeat(16),
    status: 'active',
    payer: '07'.repeat(16),
    cnf: CAST.glasses.key.name,
    parent: undefined,
    epoch: 1,
    currency: 'CNY',
    perPaymentMax: '20000',
    until: NOW_S + 60,
    backends: ['ledger', 'second'],
    windows: [
      { period: 'per day, UTC', max: '5000', used: '0', count: 5, usedCount: 0 },
      { period: 'in all', max: '10000', used: '3000', count: 10, usedCount: 2 },
    ],
  });
  const { parent: _none, ...rest } = view;
  expect(JSON.parse(JSON.stringify(view))).toEqual(rest);
});
