/** The payee directory: exactly the name, or nobody. */
import { expect, test } from 'vitest';
import { createDirectory, displayName, type Payee } from '../../device/payees.ts';
import { PaymentError } from '../../src/errors.ts';

const luckin: Payee = {
  id: 'luckin',
  names: [
    ['en', 'Luckin Coffee'],
    ['zh', '瑞幸咖啡'],
  ],
  terminal: 'till-1',
};
const north: Payee = { id: 'north', names: [['en', 'Noodle Bar']] };
const south: Payee = { id: 'south', names: [['zh', 'noodle  BAR']] };
const nameless: Payee = { id: 'nameless', names: [] };
const kfc: Payee = {
  id: 'kfc',
  names: [
    ['en', 'KFC'],
    ['zh', 'kfc'],
  ],
};
const directory = createDirectory([luckin, north, south, nameless, kfc]);

test.each<[string, 'en' | 'zh', string[], string]>([
  ['Luckin Coffee', 'en', ['luckin'], 'as written'],
  ['  LUCKIN   coffee ', 'en', ['luckin'], 'case and spaces'],
  ['Ｌｕｃｋｉｎ Coffee', 'en', ['luckin'], 'full-width'],
  ['瑞幸咖啡', 'zh', ['luckin'], 'Chinese'],
  ['瑞幸 咖啡', 'zh', ['luckin'], 'a recogniser spaces words'],
  ['瑞幸咖啡', 'en', ['luckin'], 'names of every language are searched'],
  ['Noodle Bar', 'en', ['north', 'south'], 'two of one name are both found'],
  ['Noodle Bar', 'zh', ['north', 'south'], 'whichever language is spoken'],
  ['KFC', 'zh', ['kfc'], 'one payee with one name twice is found once'],
  ['LuckinCoffee', 'en', [], 'nothing fuzzy'],
  ['Luckin Coffe', 'en', [], 'nothing fuzzy'],
  ['Luckin', 'en', [], 'no part of a name'],
  ['Luсkin Coffee', 'en', [], 'a Cyrillic letter is another letter'],
  ['Luckin\u200b Coffee', 'en', [], 'zero-width space'],
  ['Luckin\u00ad Coffee', 'en', [], 'soft hyphen'],
  ['\u202eLuckin Coffee', 'en', [], 'direction mark'],
  ['Luckin\tCoffee', 'en', [], 'control'],
  ['', 'en', [], 'nothing'],
  ['nameless', 'en', [], 'an id is not a name'],
])('find(%j, %s) is %j: %s', (spoken, language, ids) => {
  expect(directory.find(spoken, language).map(({ id }) => id)).toEqual(ids);
});

test('byId is exact', () => {
  expect(directory.byId('luckin')).toBe(luckin);
  expect(directory.byId('Luckin')).toBeUndefined();
});

test('displayName falls back to the first name, then the id', () => {
  expect(displayName(luckin, 'zh')).toBe('瑞幸咖啡');
  expect(displayName(luckin, 'fr')).toBe('Luckin Coffee');
  expect(displayName(nameless, 'en')).toBe('nameless');
});

test.each([
  [[luckin, luckin], 'an id twice'],
  [[{ id: 'x', names: [['en', 'Luckin\u202e']] }], 'a disguised name'],
  [[{ id: 'x', names: [['en', ' ']] }], 'an empty name'],
] as [Payee[], string][])('createDirectory refuses %j: %s', (payees) => {
  let reason = 'none';
  try {
    createDirectory(payees);
  } catch (error) {
    if (error instanceof PaymentError) reason = error.reason;
  }
  expect(reason).toBe('malformed');
});
