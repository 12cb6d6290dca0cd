// What may be accepted offline: of several policies the strictest, field by field, and one that is
// silent closes it.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Policy } from '../../src/objects/policy.ts';
import { type OfflineRules, strictestOffline } from '../../src/offline.ts';

const OFFLINE: NonNullable<Policy['offline']> = {
  behaviour: 'prefer_online',
  currency: 'CNY',
  floorLimit: 50_00n,
  storedAmountMax: 500_00n,
  storedCountMax: 50,
  acceptWindow: 14_400,
  uploadWindow: 86_400,
  goOnlineEvery: [5, 20],
  payerCountMax: 3,
  payerAmountMax: 100_00n,
  policyAgeMax: 604_800,
};

function policyOf(offline: Policy['offline'] | undefined, rest: Partial<Policy> = {}): Policy {
  const bands = [{ ceiling: 20_00n, level: 1 }] as const;
  return {
    iat: 1_000,
    version: 1,
    scope: { kind: 'platform' },
    ladders: [{ currency: 'CNY', bands }],
    ...(offline && { offline }),
    ...rest,
  };
}

const RULES: OfflineRules = {
  behaviour: 'prefer_online',
  currency: 'CNY',
  floorLimit: 50_00n,
  storedAmountMax: 500_00n,
  storedCountMax: 50,
  acceptWindow: 14_400,
  uploadWindow: 86_400,
  goOnlineEvery: [5, 20],
  payerCountMax: 3,
  payerAmountMax: 100_00n,
  policiesFrom: 1_000,
  policiesUntil: 605_800,
};

test('one policy is what it says', () => {
  expect(strictestOffline([policyOf(OFFLINE)], 'CNY')).toEqual(RULES);
});

test.each([
  ['no policy at all', []],
  ['one that says nothing of it', [policyOf(undefined)]],
  ['the second says nothing of it', [policyOf(OFFLINE), policyOf(undefined)]],
  ['the first says nothing of it', [policyOf(undefined), policyOf(OFFLINE)]],
  ['one speaks of other money', [policyOf(OFFLINE), policyOf({ ...OFFLINE, currency: 'HKD' })]],
])('closed: %s', (_why, policies) => {
  expect(strictestOffline(policies, 'CNY')).toBeUndefined();
});

test('another currency than all of them speak of is closed', () => {
  expect(strictestOffline([policyOf(OFFLINE)], 'USD')).toBeUndefined();
});

test.each<[string, Partial<NonNullable<Policy['offline']>>, Partial<OfflineRules>]>([
  ['behaviour', { behaviour: 'require_online' }, { behaviour: 'require_online' }],
  ['floor limit', { floorLimit: 49_99n }, { floorLimit: 49_99n }],
  ['stored amount', { storedAmountMax: 1n }, { storedAmountMax: 1n }],
  ['stored count', { storedCountMax: 49 }, { storedCountMax: 49 }],
  ['accept window', { acceptWindow: 14_399 }, { acceptWindow: 14_399 }],
  ['upload window', { uploadWindow: 86_399 }, { uploadWindow: 86_399 }],
  ['soft and hard, each its own', { goOnlineEvery: [6, 19] }, { goOnlineEvery: [5, 19] }],
  ['hard and soft', { goOnlineEvery: [4, 21] }, { goOnlineEvery: [4, 20] }],
  ['payer count', { payerCountMax: 2 }, { payerCountMax: 2 }],
  ['payer amount', { payerAmountMax: 0n }, { payerAmountMax: 0n }],
  ['policy age', { policyAgeMax: 604_799 }, { policiesUntil: 605_799 }],
])('%s: the stricter one wins, whichever comes first', (_field, changed, expected) => {
  const [wide, narrow] = [policyOf(OFFLINE), policyOf({ ...OFFLINE, ...changed })];
  for (const both of [
    [wide, narrow],
    [narrow, wide],
  ]) {
    expect(strictestOffline(both, 'CNY')).toEqual({ ...RULES, ...expected });
  }
});

test.each<[Partial<Policy>, number, string]>([
  [{ iat: 999 }, 605_799, 'the one signed earliest is too old first'],
  [{ exp: 605_800 }, 605_799, 'the last second before it is over'],
  [{ exp: 605_801 }, 605_800, 'the age ends before it is over'],
])('%j: until %i, %s', (rest, policiesUntil) => {
  const policies = [policyOf(OFFLINE), policyOf(OFFLINE, rest)];
  const { iat: policiesFrom = 1_000 } = rest;
  expect(strictestOffline(policies, 'CNY')).toEqual({ ...RULES, policiesFrom, policiesUntil });
});

test('a further policy never loosens anything, in whatever order', () => {
  const whole = fc.nat({ max: 1_000 });
  const minor = whole.map(BigInt);
  const offline: fc.Arbitrary<Policy['offline']> = fc.record({
    behaviour: fc.constantFrom('require_online', 'prefer_online'),
    currency: fc.constant('CNY'),
    floorLimit: minor,
    storedAmountMax: minor,
    storedCountMax: whole,
    acceptWindow: whole,
    uploadWindow: whole,
    goOnlineEvery: fc.tuple(whole, whole),
    payerCountMax: whole,
    payerAmountMax: minor,
    policyAgeMax: whole,
  });
  const policies = fc.array(
    fc.tuple(offline, whole).map(([value, iat]) => policyOf(value, { iat })),
    { minLength: 1, maxLength: 4 },
  );
  const numbersOf = ({ behaviour, currency: _, goOnlineEvery, ...rest }: OfflineRules) => [
    behaviour === 'prefer_online' ? 1 : 0,
    ...goOnlineEvery,
    ...Object.values(rest).map(Number),
  ];
  fc.assert(
    fc.property(policies, (all) => {
      const strictest = strictestOffline(all, 'CNY')!;
      expect(strictestOffline([...all].reverse(), 'CNY')).toEqual(strictest);
      for (const one of all) {
        const alone = numbersOf(strictestOffline([one], 'CNY')!);
        numbersOf(strictest).forEach((limit, i) => expect(limit).toBeLessThanOrEqual(alone[i]!));
      }
    }),
  );
});
