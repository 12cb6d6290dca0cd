// The ladder as a table, both sides of every border; the frame from the terms and nothing else.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Presence } from '../../src/objects/key.ts';
import type { Band, Policy } from '../../src/objects/policy.ts';
import { type Needs, frameOf, levelNeeded, sameFrame } from '../../device/confirm.ts';
import { createDirectory } from '../../device/payees.ts';
import { BANDS, START_S, reasonOf } from './stage.ts';

const policyOf = (bands: readonly Band[], currency = 'CNY'): Policy => ({
  iat: START_S,
  version: 1,
  scope: { kind: 'platform' },
  ladders: [{ currency, bands }],
});
const cny = (minor: bigint) => ({ currency: 'CNY', minor });
const wide: Band[] = [{ ceiling: 1_000_000n, level: 0 }];
const tapAlways: Band[] = [{ ceiling: 1_000_000n, level: 2 }];

test.each<[string, readonly Band[][], readonly Band[], bigint, Presence, Needs | string]>([
  ['at the first ceiling', [[...BANDS]], wide, 20_00n, 2, 1],
  ['above it', [[...BANDS]], wide, 20_01n, 2, 2],
  ['at the last ceiling', [[...BANDS]], wide, 1_000_00n, 2, 2],
  ['above the last: P4', [[...BANDS]], wide, 1_000_01n, 4, 'presence_too_low'],
  ['nobody present still needs a word', [wide], wide, 1n, 2, 1],
  [
    'P3 is nothing for a device without a PIN',
    [[{ ceiling: 9n, level: 3 }]],
    wide,
    1n,
    2,
    'presence_too_low',
  ],
  ['P3 with a PIN', [[{ ceiling: 9n, level: 3 }]], wide, 1n, 3, 3],
  [
    'P4 is nothing that a device takes',
    [[{ ceiling: 9n, level: 4 }]],
    wide,
    1n,
    4,
    'presence_too_low',
  ],
  ['a device that proves less', [[...BANDS]], wide, 20_01n, 1, 'presence_too_low'],
  ['a device that proves nothing', [[...BANDS]], wide, 1n, 0, 'presence_too_low'],
  ['the stricter of two policies', [[...BANDS], tapAlways], wide, 1n, 2, 2],
  ['whichever comes first', [tapAlways, [...BANDS]], wide, 1n, 2, 2],
  ['a stricter mandate', [[...BANDS]], tapAlways, 1n, 2, 2],
  ['a looser mandate loosens nothing', [[...BANDS]], wide, 20_01n, 2, 2],
  ['above the mandate’s last band', [wide], [{ ceiling: 5n, level: 1 }], 6n, 4, 'presence_too_low'],
])('%s', (_why, policies, mandate, minor, able, expected) => {
  const run = () =>
    levelNeeded(
      policies.map((bands) => policyOf(bands)),
      mandate,
      cny(minor),
      able,
    );
  if (typeof expected === 'string') expect(reasonOf(run)).toBe(expected);
  else expect(run()).toBe(expected);
});

test('a currency without a ladder is not open', () => {
  const run = () => levelNeeded([policyOf(wide, 'EUR')], wide, cny(1n), 2);
  expect(reasonOf(run)).toBe('presence_too_low');
});

test('one more policy never loosens', () => {
  const level = fc.integer({ min: 0, max: 4 }) as fc.Arbitrary<Presence>;
  const bands = fc
    .array(fc.tuple(fc.integer({ min: 1, max: 500 }), level), { minLength: 1, maxLength: 4 })
    .map((all) => {
      const levels = all.map(([, one]) => one).sort();
      return [...new Set(all.map(([ceiling]) => ceiling))]
        .sort((a, b) => a - b)
        .map((ceiling, i) => ({ ceiling: BigInt(ceiling), level: levels[i]! }));
    });
  const needed = (policies: readonly Policy[], mandate: readonly Band[], minor: bigint) => {
    let found = 9;
    if (
      reasonOf(() => void (found = levelNeeded(policies, mandate, cny(minor), 4))) !== 'accepted'
    ) {
      found = 9;
    }
    return found;
  };
  fc.assert(
    fc.property(bands, bands, bands, fc.integer({ min: 1, max: 600 }), (a, b, c, minor) => {
      const alone = needed([policyOf(a)], c, BigInt(minor));
      const both = needed([policyOf(a), policyOf(b)], c, BigInt(minor));
      expect(both).toBeGreaterThanOrEqual(alone);
    }),
  );
});

const directory = createDirectory([
  {
    id: 'cafe',
    names: [
      ['en', 'Cafe'],
      ['zh', '咖啡'],
    ],
  },
  { id: 'bar', names: [['en', 'Cafe Bar']] },
]);
const order = {
  exp: 1,
  amount: cny(5_00n),
  payee: 'cafe',
  terminal: 't',
  lines: [
    { text: 'Tea', quantity: 2, total: 4_00n },
    { text: 'Cup', quantity: 1, total: 1_00n },
  ],
  salt: new Uint8Array(16),
};

test('the frame shows payee, amount and lines in the person’s language', () => {
  const terms = { payee: 'cafe', amount: cny(5_00n) };
  expect(frameOf(terms, order, 1, directory, 'en')).toEqual({
    payee: 'Cafe',
    amount: '5.00 yuan',
    lines: ['2 × Tea  4.00 yuan', '1 × Cup  1.00 yuan'],
    needs: 1,
  });
  expect(frameOf(terms, undefined, 2, directory, 'zh')).toEqual({
    payee: '咖啡',
    amount: '5.00元',
    lines: [],
    needs: 2,
  });
  const unknown = () => frameOf({ ...terms, payee: 'x' }, undefined, 1, directory, 'en');
  expect(reasonOf(unknown)).toBe('scope_payee');
});

test('two frames are the same only if everything of them is', () => {
  const terms = { payee: 'cafe', amount: cny(5_00n) };
  const frame = frameOf(terms, order, 1, directory, 'en');
  expect(sameFrame(frame, frameOf(terms, order, 1, directory, 'en'))).toBe(true);
  const others = [
    frameOf({ ...terms, payee: 'bar' }, order, 1, directory, 'en'),
    frameOf({ ...terms, amount: cny(5_01n) }, order, 1, directory, 'en'),
    frameOf(terms, undefined, 1, directory, 'en'),
    frameOf(terms, order, 2, directory, 'en'),
    frameOf(terms, order, 1, directory, 'zh'),
  ];
  for (const other of others) expect(sameFrame(frame, other)).toBe(false);
});

test('a right-to-left line turns itself and not the amount beside it', () => {
  const order = {
    exp: START_S,
    amount: cny(99_00n),
    payee: 'luckin-coffee',
    terminal: 'till-1',
    lines: [{ text: 'קפה 1.00', quantity: 1, total: 99_00n }],
    salt: new Uint8Array(16),
  };
  const directory = createDirectory([{ id: 'luckin-coffee', names: [['en', 'Luckin Coffee']] }]);
  const frame = frameOf({ ...order, order: undefined } as never, order, 2, directory, 'en');
  expect(frame.lines).toEqual(['1 × \u2068קפה 1.00\u2069  99.00 yuan']);
  expect(frame.payee, 'and what needs no isolate has none').toBe('Luckin Coffee');
});
