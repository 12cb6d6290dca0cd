// Method: lines as a person types them, against a device that only keeps what it was told.
import { expect, test } from 'vitest';
import { PaymentError } from '../../src/errors.ts';
import type { Money } from '../../src/money.ts';
import type { OrderLine } from '../../src/objects/order.ts';
import type { Files } from '../../src/platform.ts';
import { type Counter, serve, wear } from '../../device/prompt.ts';
import type { Device } from '../../device/runtime.ts';
import type { Deed } from '../../device/intents/clerk.ts';
import type { Sensed } from '../../device/sense/sensed.ts';
import type { Terminal } from '../../device/terminal.ts';

const PNG = Uint8Array.of(137, 80);

function createDesk(refusal?: PaymentError) {
  const said: string[] = [];
  const kept = new Map<string, Uint8Array>([['code.png', PNG]]);
  const ordered: (readonly OrderLine[])[] = [];
  const acted: Deed[] = [];
  const sensed: Sensed[] = [];
  const answered: Sensed[] = [];
  const bills: (Money | undefined)[] = [];
  let isAsking = false;
  let isPaying = false;
  const device = {
    sense: async (what: Sensed) => void sensed.push(what),
    answer: (what: Sensed) => isPaying && answered.push(what) > 0,
    bill: (amount: Money | undefined) => !isPaying && bills.push(amount) > 0,
    stored: () => ({ count: 0, sums: [], oldestS: undefined, nearest: undefined }),
  } as unknown as Device;
  const counter = {
    terminal: {
      answer: () => isAsking,
      act: async (deed: Deed) => void acted.push(deed),
      order: async (lines: readonly OrderLine[]) => {
        if (refusal) throw refusal;
        ordered.push(lines);
        return { id: 'ab12cd34'.repeat(4), uri: 'saytap://o/1', registered: Promise.resolve() };
      },
    } as unknown as Terminal,
    device,
    surface: { ask: () => {}, say: (sentence: string) => void said.push(sentence) },
    files: {
      read: (path: string) => kept.get(path),
      replace: (path: string, bytes: Uint8Array) => void kept.set(path, bytes),
    } as unknown as Files,
    folder: 'kiosk',
    language: 'en',
  } as const satisfies Counter;
  const { surface, files } = counter;
  return {
    ...{ said, kept, ordered, acted, sensed, counter, answered, bills },
    eyes: { device, surface, files },
    ask: () => (isAsking = true),
    pay: () => (isPaying = true),
  };
}

test('an order shows its lines and its total, and its picture lies in the folder', async () => {
  const { counter, ordered, said, kept } = createDesk();
  await serve(counter, '2 Latte 40 yuan');
  expect(ordered).toEqual([[{ text: 'Latte', quantity: 2, total: 40_00n }]]);
  expect(said[0]?.split('\n').slice(-3)).toEqual([
    '2 × Latte  40.00 yuan',
    'Order ab12cd34, total 40.00 yuan.',
    'kiosk/order-ab12cd34.png',
  ]);
  expect([...kept.keys()]).toEqual(['code.png', 'kiosk/order-ab12cd34.png']);
});

test('an order that is not made is told', async () => {
  const { counter, said, kept } = createDesk(new PaymentError('too_large', 'fewer lines'));
  await serve(counter, '2 Latte 40 yuan');
  expect([said, kept.size]).toEqual([['no order: fewer lines'], 1]);
});

test('a deed is done, an answer is no order, and anything else gets help', async () => {
  const desk = createDesk();
  await serve(desk.counter, 'refund last');
  expect(desk.acted).toEqual([{ action: 'refund', order: 'last', amount: undefined }]);
  await serve(desk.counter, 'help');
  expect(desk.said[0]).toContain('“2 Latte 40 yuan” (40 for both)');
  desk.ask();
  await serve(desk.counter, '1 Latte 20 yuan');
  expect(desk.ordered).toEqual([]);
});

test('a bill is shown and waits for a tag, which is handed on as a link', async () => {
  const { counter, bills, said, sensed } = createDesk();
  await serve(counter, 'collect 2 Latte 40 yuan');
  await serve(counter, 'collect 12.50 yuan');
  expect(bills.map((one) => one?.minor)).toEqual([40_00n, 12_50n]);
  expect(said).toEqual(['2 × Latte  40.00 yuan. Tap your tag.', '12.50 yuan. Tap your tag.']);
  await serve(counter, 'saytap://payer/00');
  expect(sensed).toEqual([{ kind: 'link', text: 'saytap://payer/00' }]);
  await serve(counter, 'cancel');
  expect(bills.at(-1)).toBeUndefined();
  expect(said.at(-1)).toBe('Nothing is to be paid any more.');
});

test('while somebody pays every line is the answer, and a bill stays as it is', async () => {
  const desk = createDesk();
  desk.pay();
  for (const line of ['', 'cancel', 'refund last']) await serve(desk.counter, line);
  expect(desk.answered).toEqual([
    { kind: 'press' },
    { kind: 'utterance', text: 'cancel' },
    { kind: 'utterance', text: 'refund last' },
  ]);
  expect([desk.bills, desk.acted]).toEqual([[], []]);
});

test('stored says what waits', async () => {
  const { counter, said } = createDesk();
  await serve(counter, 'stored');
  expect(said).toEqual(['Nothing waits to be sent.']);
});

test('a PIN is the line after “pin”, unseen; off and on are no words', async () => {
  const { eyes, sensed } = createDesk();
  const secret = async () => ' 470815 ';
  for (const line of ['pin', ' off', 'on ']) await wear({ ...eyes, secret }, line);
  expect(sensed).toEqual([
    { kind: 'pin', digits: '470815' },
    { kind: 'worn', how: 'off' },
    { kind: 'worn', how: 'on' },
  ]);
});

test('a wearer taps, looks and speaks', async () => {
  const { eyes, sensed, said } = createDesk();
  for (const line of [' ', 'look code.png', 'look none.png', 'balance']) await wear(eyes, line);
  expect(sensed).toEqual([
    { kind: 'press' },
    { kind: 'picture', png: PNG },
    { kind: 'utterance', text: 'balance' },
  ]);
  expect(said).toEqual(['none.png does not exist']);
});
