// What the operator's commands have in common: tables, bars, ages, names, and the bridge's answers.
import { describe, expect, test } from 'vitest';
import type { check } from '../../../broker/check.ts';
import type { KeyView, PaymentView } from '../../../broker/operator.ts';
import type { MandateView } from '../../../broker/standing.ts';
import * as told from '../../../src/commands/operator.ts';

test('the answers are those that the bridge gives', () => {
  // Compiles only while both sides name the same fields.
  const answers = {
    mandate: (view: MandateView): told.MandateView => view,
    key: (view: KeyView): told.KeyView => view,
    payment: (view: PaymentView): told.PaymentView => view,
    checked: (view: Awaited<ReturnType<typeof check>>): told.Checked => view,
  };
  expect(Object.keys(answers)).toHaveLength(4);
});

test.each([
  [0n, 100n, '[----------]', 'nothing used'],
  [1n, 100n, '[#---------]', 'whoever used anything sees it'],
  [50n, 100n, '[#####-----]', 'half'],
  [99n, 100n, '[#########-]', 'not full before it is'],
  [100n, 100n, '[##########]', 'full'],
  [101n, 100n, '[##########]', 'beyond, after a limit shrank'],
  [0n, 0n, '[##########]', 'nothing may be used'],
])('%s of %s is %s: %s', (used, max, text) => {
  expect(told.bar(used, max)).toBe(text);
});

test.each([
  [0, '1 second'],
  [59_999, '59 seconds'],
  [60_000, '1 minute'],
  [3_599_999, '59 minutes'],
  [7_200_000, '2 hours'],
  [86_400_000, '24 hours'],
  [3 * 86_400_000, '3 days'],
])('%i ms ago is %s', (ms, text) => {
  expect(told.ageText(ms)).toBe(text);
});

test('columns are as wide as their widest cell, and no line ends in spaces', () => {
  const rows = [
    ['a', 'b', 'c'],
    ['12345', '', ''],
    ['瑞幸', 'xx', 'y'],
  ];
  expect(told.columns(rows)).toEqual(['a      b   c', '12345', '瑞幸     xx  y']);
});

describe('a name by its beginning', () => {
  const names = ['abc1', 'abc2', 'b'];
  test('is the only one that begins so', () => {
    expect(told.theOne(names, 'abc2', 'key')).toBe('abc2');
    expect(told.theOne(names, 'b', 'key')).toBe('b');
  });
  test.each([
    ['abc', '2 keys begin with abc: write more of it'],
    ['x', 'there is no key x at this bridge'],
  ])('%s is refused', (given, line) => {
    expect(() => told.theOne(names, given, 'key')).toThrow(line);
  });
});

test('what has no amount is a dash', () => {
  expect(told.moneyText(undefined, 'CNY')).toBe('-');
  expect(told.moneyText('1250', 'CNY')).toBe('12.50 yuan');
});
