// What devices were told beside what the books say. Method: a story in which everybody agrees, and
// one lie of each kind planted into it; then many payments drawn by fast-check.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type End,
  type Moved,
  createPayments,
  createRows,
} from '../../../simulator/fleet/payments.ts';

const MINOR = 12_50n;
const id = (number: number) => number.toString(16).padStart(8, '0').padEnd(32, 'c');
const moved = (...numbers: number[]): Moved[] =>
  numbers.map((one) => ({ id: id(one), minor: MINOR }));

function told(...ends: readonly (readonly [number: number, end: End])[]) {
  const payments = createPayments();
  for (const [number, end] of ends) {
    const rows = createRows();
    rows.add(id(number), end);
    payments.add(rows.take());
  }
  return payments;
}

const story = [
  [1, 'paid'],
  [2, 'paid'],
  [3, 'refused'],
] as const;
const NONE = {
  ...{ twice: 0, unpaid: 0, refusedButMoved: 0, openMoved: 0, openUnmoved: 0 },
  ...{ foreign: 0, wrongAmounts: 0, examples: [] },
};

describe('compared with the books', () => {
  test('all agree', () => {
    expect(told(...story).compare(moved(1, 2), MINOR)).toEqual(NONE);
  });

  test.each([
    ['twice', moved(1, 2, 2), story],
    ['unpaid', moved(1), story],
    ['refusedButMoved', moved(1, 2, 3), story],
    ['foreign', moved(1, 2, 9), story],
    ['wrongAmounts', [...moved(1), { id: id(2), minor: 1n }], story],
    ['openMoved', moved(1, 2, 4), [...story, [4, 'open'] as const]],
    ['openUnmoved', moved(1, 2), [...story, [4, 'open'] as const]],
  ] as const)('%s', (what, books, ends) => {
    const { examples, ...found } = told(...ends).compare(books, MINOR);
    expect({ ...found, examples: [] }).toEqual({ ...NONE, [what]: 1 });
    expect(examples).toHaveLength(1);
  });
});

test('of any payments, in whatever order and pieces, each is found', () => {
  const ends = fc.uniqueArray(fc.integer({ min: 0, max: 2 ** 32 - 1 }), { maxLength: 3_000 });
  fc.assert(
    fc.property(ends, fc.infiniteStream(fc.integer({ min: 0, max: 2 })), (numbers, kinds) => {
      const kind = numbers.map(() => (['open', 'paid', 'refused'] as const)[kinds.next().value!]);
      const payments = told(...numbers.map((number, at) => [number, kind[at]!] as const));
      const paid = numbers.filter((_, at) => kind[at] === 'paid');
      const found = payments.compare(moved(...paid.toReversed()), MINOR);
      const open = kind.filter((one) => one === 'open').length;
      expect(payments.count()).toBe(numbers.length);
      expect({ ...found, examples: [] }).toEqual({ ...NONE, openUnmoved: open });
    }),
    { numRuns: 20 },
  );
});

test('rows are whole, and each is taken once', () => {
  const rows = createRows();
  for (let number = 0; number < 1_000; number++) rows.add(id(number), 'paid');
  expect(rows.take().length).toBe(17_000);
  expect(rows.take().length).toBe(0);
  expect(() => createPayments().add(new Uint8Array(16))).toThrow(/whole rows/);
});
