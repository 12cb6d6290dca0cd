// Which word was meant.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { distance, meant } from '../../../simulator/scenario/nearest.ts';

describe('the distance of two words', () => {
  test.each([
    ['', '', 0],
    ['abc', 'abc', 0],
    ['abc', '', 3],
    ['confrim', 'confirm', 1],
    ['payed', 'paid', 2],
    ['kitten', 'sitting', 3],
    ['ca', 'abc', 3],
  ])('%s, %s: %i', (a, b, far) => {
    expect(distance(a, b)).toBe(far);
    expect(distance(b, a)).toBe(far);
  });

  test('is no more than the longer word, and nothing only for equal ones', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 12 }), fc.string({ maxLength: 12 }), (a, b) => {
        const far = distance(a, b);
        expect(far).toBeLessThanOrEqual(Math.max(a.length, b.length));
        expect(far).toBeGreaterThanOrEqual(Math.abs(a.length - b.length));
        expect(far === 0).toBe(a === b);
      }),
    );
  });
});

test('the nearest known word is meant, and none that is far', () => {
  const known = ['confirm', 'cancel', 'press'];
  expect(meant('confrim', known)).toBe('confirm');
  expect(meant('CANCEL', known)).toBe('cancel');
  expect(meant('canel', known)).toBe('cancel');
  expect(meant('buy', known)).toBeUndefined();
  expect(meant('x', ['y', 'a'])).toBeUndefined();
  expect(meant('', known)).toBeUndefined();
});
