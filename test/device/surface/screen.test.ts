// Method: a clock in hand; what counts is what is on the screen, and how often a page is told.
import { expect, test } from 'vitest';
import { type Numbered, createScreen } from '../../../device/surface/screen.ts';
import { BILL_MS, SCREEN_REST_MS } from '../../../src/limits.ts';
import { createFakeTime } from '../stage.ts';

const FRAME = { payee: 'Luckin Coffee', amount: '12.50 yuan', lines: [], needs: 2 } as const;
const ORDER = {
  ...{ id: 'ab'.repeat(16), number: 'abababab', uri: 'saytap://order/AA' },
  lines: [{ text: 'Latte', quantity: 2, total: '4000' }],
  total: { currency: 'CNY', minor: '4000' },
};
const BILL = { line: '12.50 yuan', sentence: '12.50 yuan. Tap your tag.' };

function open() {
  const time = createFakeTime();
  const screen = createScreen(time.timers);
  const told: Numbered[] = [];
  const leave = screen.watch((one) => told.push(one));
  const shown = () => screen.now().shown;
  return { ...screen, ...screen.surface, time, told, leave, shown };
}

test('what is said stays for a while, what is waited for until it is over', async () => {
  const { time, say, shown, told } = open();
  expect(shown()).toEqual({ kind: 'idle' });
  say('Sending …', 'waiting');
  await time.pass(SCREEN_REST_MS * 3);
  expect(shown()).toEqual({ kind: 'say', sentence: 'Sending …', mood: 'waiting' });
  say('Paid 12.50 yuan.', 'good');
  await time.pass(SCREEN_REST_MS - 1);
  expect(shown()).toMatchObject({ sentence: 'Paid 12.50 yuan.' });
  await time.pass(1);
  expect(shown()).toEqual({ kind: 'idle' });
  expect(told.map(({ seq }) => seq)).toEqual([1, 2, 3]);
});

test('a question stays until something is said, whatever else happens', async () => {
  const { time, ask, say, order, bill, clear, shown } = open();
  const asked = { kind: 'ask', frame: FRAME, sentence: 'Pay?', wants: 'confirmation' };
  say('Hello', 'plain');
  ask(FRAME, 'Pay?', 'confirmation');
  await time.pass(SCREEN_REST_MS * 2);
  bill(BILL);
  clear();
  order(ORDER).settled('paid');
  expect(shown()).toEqual(asked);
  say('Cancelled.', 'plain');
  expect(shown()).toMatchObject({ kind: 'say', sentence: 'Cancelled.' });
});

test('an order stays with what is said, and shows how it ended', async () => {
  const { time, ask, say, order, shown } = open();
  const { settled } = order(ORDER);
  await time.pass(SCREEN_REST_MS * 2);
  expect(shown()).toEqual({ ...ORDER, kind: 'order', state: 'open' });
  ask(FRAME, 'Refund?', 'confirmation');
  say('Refunded.', 'good');
  expect(shown()).toMatchObject({ kind: 'say' });
  await time.pass(SCREEN_REST_MS);
  expect(shown(), 'back to what still waits').toMatchObject({ kind: 'order', state: 'open' });
  say('Order abababab: paid.', 'good');
  const note = { sentence: 'Order abababab: paid.', mood: 'good' };
  expect(shown()).toMatchObject({ kind: 'order', note });
  settled('paid');
  expect(shown()).toEqual({ ...ORDER, kind: 'order', state: 'paid', note });
  await time.pass(SCREEN_REST_MS);
  expect(shown()).toEqual({ kind: 'idle' });
});

test('the end of an order that is gone changes nothing', () => {
  const { order, clear, shown } = open();
  const first = order(ORDER);
  const second = order({ ...ORDER, id: 'cd'.repeat(16) });
  first.settled('paid');
  expect(shown()).toMatchObject({ id: 'cd'.repeat(16), state: 'open' });
  clear();
  second.settled('over');
  expect(shown()).toEqual({ kind: 'idle' });
});

test('a bill goes with its time, and not before what was said of it is read', async () => {
  const { time, say, bill, shown } = open();
  bill(BILL);
  await time.pass(BILL_MS - 1);
  expect(shown()).toEqual({ ...BILL, kind: 'bill' });
  await time.pass(1);
  expect(shown()).toEqual({ kind: 'idle' });
  bill(BILL);
  say('This tag cannot pay here.', 'bad');
  expect(shown()).toMatchObject({ kind: 'bill', note: { mood: 'bad' } });
  bill(undefined);
  expect(shown()).toEqual({ kind: 'idle' });
});

test('whoever has left is told nothing', () => {
  const { say, told, leave } = open();
  leave();
  say('Hello', 'plain');
  expect(told).toEqual([]);
});
