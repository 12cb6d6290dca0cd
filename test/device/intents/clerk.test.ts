// Method: one line per row with what it must read as; whatever is not exactly a command is a miss.
import { expect, test } from 'vitest';
import { readClerk } from '../../../device/intents/clerk.ts';

const ID = 'ab12cd34';
const cny = (minor: bigint) => ({ currency: 'CNY', minor });
const deed = (action: string, order: string, minor?: bigint) => ({
  kind: 'deed',
  deed: { action, order, amount: minor === undefined ? undefined : cny(minor) },
});

test.each([
  ['2 Latte 40 yuan', { kind: 'order', text: 'Latte', quantity: 2, amount: cny(40_00n) }],
  [
    'Flat white 18.50 yuan',
    { kind: 'order', text: 'Flat white', quantity: 1, amount: cny(18_50n) },
  ],
  ['2 拿铁 40元', { kind: 'order', text: '拿铁', quantity: 2, amount: cny(40_00n) }],
  ['refund last', deed('refund', 'last')],
  ['refund last 5 yuan', deed('refund', 'last', 5_00n)],
  ['  Refund LAST 5元 ', deed('refund', 'last', 5_00n)],
  [`refund ${ID}`, deed('refund', ID)],
  [`refund ${ID.toUpperCase()} 5 yuan`, deed('refund', ID, 5_00n)],
  [`refund ${ID.repeat(4)}`, deed('refund', ID.repeat(4))],
  [`退款 ${ID} 5元`, deed('refund', ID, 5_00n)],
  ['capture last', deed('capture', 'last')],
  [`收款 ${ID} 5元`, deed('capture', ID, 5_00n)],
  ['collect 2 latte 40 yuan', { kind: 'collect', text: 'latte', quantity: 2, amount: cny(40_00n) }],
  ['Collect 12.50 yuan', { kind: 'collect', text: undefined, quantity: 1, amount: cny(12_50n) }],
  ['刷卡 2 拿铁 40元', { kind: 'collect', text: '拿铁', quantity: 2, amount: cny(40_00n) }],
  ['stored', { kind: 'stored' }],
  ['待上传', { kind: 'stored' }],
  ['Cancel', { kind: 'cancel' }],
  ['取消', { kind: 'cancel' }],
  ['void last', deed('void', 'last')],
  [`解除 ${ID}`, deed('void', ID)],
])('%s', (line, reading) => {
  for (const language of ['en', 'zh'] as const) expect(readClerk(line, language)).toEqual(reading);
});

test.each([
  ['', 'nothing'],
  ['refund', 'of which order'],
  ['refund 5 yuan', 'of which order'],
  ['refund last five', 'no currency'],
  ['refund last 5 yuan please now', 'more than an amount'],
  ['refund last 0 yuan', 'nothing to give back'],
  ['refund ab12 5 yuan', 'too short to be one order for sure'],
  [`refund ${ID.repeat(4)}0`, 'longer than an id'],
  ['refund ghijklmn', 'no hex'],
  ['void last 5 yuan', 'a void is always of all'],
  ['collect', 'nothing to collect'],
  ['collect latte', 'no amount'],
  ['stored now', 'more than the one word'],
  ['Latte', 'an order without an amount'],
  ['a'.repeat(250) + ' 5 yuan', 'too long'],
])('%s is a miss: %s', (line) => {
  expect(readClerk(line, 'en')).toEqual({ kind: 'miss' });
});
