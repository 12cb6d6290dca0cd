// Method: what a page sends, against a device that only keeps what it was handed.
import * as z from 'zod/mini';
import { expect, test } from 'vitest';
import type { RunningGlasses, RunningKiosk } from '../../device/compose.ts';
import type { Sensed } from '../../device/sense/sensed.ts';
import { createScreen } from '../../device/surface/screen.ts';
import { type Touch, createTouch, touchForm } from '../../device/touch.ts';
import { SCREEN_REST_MS } from '../../src/limits.ts';
import type { Money } from '../../src/money.ts';
import type { OrderLine } from '../../src/objects/order.ts';
import type { Files } from '../../src/platform.ts';
import { createFakeTime } from './stage.ts';

const ID = 'ab12cd34'.repeat(4);

function createDesk(kind: 'glasses' | 'kiosk') {
  const time = createFakeTime();
  const screen = createScreen(time.timers);
  const sensed: Sensed[] = [];
  const bills: (Money | undefined)[] = [];
  const ordered: (readonly OrderLine[])[] = [];
  let told: object = { kind: 'said' };
  let asks: 'terminal' | 'device' | undefined;
  const settled = Promise.withResolvers<{ outcome: string }>();
  const running = {
    kind,
    device: {
      sense: async (what: Sensed) => (sensed.push(what), told),
      answer: (what: Sensed) => asks === 'device' && sensed.push(what) > 0,
      bill: (amount: Money | undefined) => bills.push(amount) > 0,
    },
    terminal: {
      answer: () => asks === 'terminal',
      order: async (lines: readonly OrderLine[]) => {
        ordered.push(lines);
        const { promise } = settled;
        return { id: ID, uri: 'saytap://o/1', registered: Promise.resolve(), settled: promise };
      },
    },
  } as unknown as RunningGlasses | RunningKiosk;
  const parts = { screen, files: {} as Files, folder: '.', language: 'en' } as const;
  return {
    touch: createTouch({ ...parts, device: () => running }),
    ...{ time, screen, sensed, bills, ordered, settle: settled.resolve },
    shown: () => screen.now().shown,
    tell: (what: object) => (told = what),
    ask: (who: typeof asks) => (asks = who),
  };
}

test('what was done reaches the device as it was done', async () => {
  const { touch, sensed } = createDesk('glasses');
  const deeds: Touch[] = [
    { kind: 'press' },
    { kind: 'utterance', text: 'balance' },
    { kind: 'pin', digits: '470815' },
    { kind: 'worn', how: 'off' },
    { kind: 'tag', message: '0QEB' },
    { kind: 'picture', png: 'iVA' },
  ];
  for (const deed of deeds) await touch(deed);
  expect(sensed).toEqual([
    ...deeds.slice(0, 4),
    { kind: 'tag', message: Uint8Array.of(0xd1, 1, 1) },
    { kind: 'picture', png: Uint8Array.of(137, 80) },
  ]);
});

test('bytes that have two writings are refused', async () => {
  const { touch, sensed } = createDesk('glasses');
  await expect(touch({ kind: 'picture', png: 'iVB' })).rejects.toMatchObject({
    reason: 'malformed',
  });
  expect(sensed).toEqual([]);
});

test('an order is shown until it is paid', async () => {
  const { touch, ordered, settle, shown } = createDesk('kiosk');
  const lines = [
    { text: 'Latte', quantity: 2, minor: '4000' },
    { text: 'Bagel', quantity: 1, minor: '1250' },
  ];
  await touch({ kind: 'order', currency: 'CNY', lines });
  expect(ordered[0]?.map(({ total }) => total)).toEqual([40_00n, 12_50n]);
  const order = { id: ID, number: 'ab12cd34', uri: 'saytap://o/1' };
  const total = { currency: 'CNY', minor: '5250' };
  expect(shown()).toMatchObject({ ...order, total, state: 'open' });
  settle({ outcome: 'captured' });
  await Promise.resolve();
  expect(shown()).toMatchObject({ ...order, state: 'paid' });
});

test('glasses take no orders and have no clerk', async () => {
  const { touch, ordered, bills, shown } = createDesk('glasses');
  const lines = [{ text: 'Latte', quantity: 1, minor: '2000' }];
  await touch({ kind: 'order', currency: 'CNY', lines });
  await touch({ kind: 'clerk', text: 'collect 12 yuan' });
  expect([ordered, bills, shown()]).toEqual([[], [], { kind: 'idle' }]);
});

test('a press answers the question of either line, and is nothing new', async () => {
  const desk = createDesk('kiosk');
  desk.ask('terminal');
  await desk.touch({ kind: 'press' });
  expect(desk.sensed).toEqual([]);
  desk.ask('device');
  await desk.touch({ kind: 'clerk', text: '' });
  expect(desk.sensed).toEqual([{ kind: 'press' }]);
});

test.each([
  [{ kind: 'paid' }, 'idle'],
  [{ kind: 'accepted' }, 'idle'],
  [{ kind: 'not_sent', reason: 'cancelled' }, 'idle'],
  [{ kind: 'refused' }, 'bill'],
  [{ kind: 'not_sent', reason: 'timed_out' }, 'bill'],
  [{ kind: 'said' }, 'bill'],
])('a tag that ends with %j leaves the screen %s', async (told, left) => {
  const { touch, tell, shown, screen, time } = createDesk('kiosk');
  await touch({ kind: 'clerk', text: 'collect 12 yuan' });
  expect(shown()).toMatchObject({ kind: 'bill', line: '12.00 yuan' });
  const frame = { payee: 'Luckin', amount: '12.00 yuan', lines: [], needs: 1 } as const;
  screen.surface.ask(frame, 'Pay?', 'confirmation');
  screen.surface.say('That is how it ended.', 'plain');
  tell(told);
  await touch({ kind: 'tag', message: '' });
  expect(shown(), 'is read first').toMatchObject({ kind: 'say' });
  await time.pass(SCREEN_REST_MS);
  expect(shown().kind).toBe(left);
});

test('what is taken off the screen is billed no more', async () => {
  const { touch, bills, shown } = createDesk('kiosk');
  await touch({ kind: 'clerk', text: 'collect 12 yuan' });
  await touch({ kind: 'clear' });
  expect(bills.at(-1)).toBeUndefined();
  expect(shown()).toEqual({ kind: 'idle' });
});

test.each([
  { kind: 'press', more: 1 },
  { kind: 'worn', how: 'unpaired' },
  { kind: 'pin', digits: '12a4' },
  { kind: 'utterance', text: 'a'.repeat(201) },
  { kind: 'tag', message: 'a+b' },
  { kind: 'order', currency: 'XXX', lines: [{ text: 'a', quantity: 1, minor: '1' }] },
  { kind: 'order', currency: 'CNY', lines: [] },
  { kind: 'order', currency: 'CNY', lines: [{ text: 'a', quantity: 1, minor: '0' }] },
  { kind: 'order', currency: 'CNY', lines: [{ text: 'a', quantity: 0, minor: '1' }] },
  { kind: 'quit' },
])('refused as a form: %j', (sent) => {
  expect(z.safeParse(touchForm, sent).success).toBe(false);
});
