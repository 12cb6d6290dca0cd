// Method: the kiosk's line with a real outbox and signature; link and receipts are played by hand.
import { expect, test } from 'vitest';
import { PaymentError } from '../../src/errors.ts';
import { ORDER_VALID_S } from '../../src/limits.ts';
import { keyStatement } from '../../src/objects/key.ts';
import { payloadOf } from '../../src/cose.ts';
import type { Receipt } from '../../src/objects/receipt.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import { createOutbox } from '../../device/outbox.ts';
import { readUri } from '../../device/sense/uri.ts';
import { createTerminal } from '../../device/terminal.ts';
import { createTime } from '../../device/time.ts';
import { createTrust } from '../../device/trust.ts';
import {
  NONCE,
  REALM,
  START_S,
  createFakeTime,
  policy,
  reasonOfAsync,
  root,
  settle,
  statements,
  till,
} from './stage.ts';

const LINES = [
  { text: 'Latte', quantity: 1, total: 20_00n },
  { text: 'Muffin', quantity: 2, total: 18_00n },
];
const statement = keyStatement.decode(payloadOf(statements[1]!));

function createKiosk(link: 'down' | 'waiting' | 'ready' = 'ready', isBooted = true) {
  const { clock } = createFakeTime();
  const time = createTime(clock);
  if (isBooted) time.boot({ iat: START_S, nonce: NONCE });
  const outbox = createOutbox(openDatabase(':memory:'));
  const sent: string[] = [];
  const earlier: [string, Receipt][] = [];
  let filled = 0;
  const terminal = createTerminal({
    realm: REALM,
    signer: till,
    statement,
    time,
    outbox,
    link: () => ({
      send: ({ id }) => void sent.push(outbox.get(id) ? id : 'sent before it was stored'),
      state: () => link,
      close: async () => {},
    }),
    random: (count) => new Uint8Array(count).fill(++filled),
    earlier: (...all) => void earlier.push(all),
  });
  return { terminal, outbox, sent, earlier };
}

const receipt = (subject: string, outcome: Receipt['outcome'], reason?: number): Receipt => ({
  iat: START_S,
  subject,
  outcome,
  ...(reason !== undefined && { reason }),
});

test('an order is signed, stored, then sent; its code is the very bytes', async () => {
  const { terminal, outbox, sent } = createKiosk();
  const { id, envelope, uri } = await terminal.order(LINES, 'CNY');
  expect(sent).toEqual([id]);
  expect(outbox.get(id)).toMatchObject({ kind: 'order', envelope });
  expect(readUri(uri)).toEqual({ kind: 'order', envelope });
  const opened = createTrust(REALM, root.key, statements, policy, () => undefined).openOrder(
    envelope,
  );
  expect(opened.id).toBe(id);
  expect(opened.value).toEqual({
    exp: START_S + ORDER_VALID_S,
    amount: { currency: 'CNY', minor: 38_00n },
    payee: 'luckin-coffee',
    terminal: 'till-1',
    lines: LINES,
    salt: new Uint8Array(16).fill(1),
  });
});

test('two equal baskets are two orders', async () => {
  const { terminal } = createKiosk();
  const one = await terminal.order(LINES, 'CNY');
  const other = await terminal.order(LINES, 'CNY');
  expect(one.id).not.toBe(other.id);
});

test('registered when the bridge has it, settled on its last word', async () => {
  const { terminal, earlier } = createKiosk();
  const one = await terminal.order(LINES, 'CNY');
  const other = await terminal.order(LINES, 'CNY');
  const events: string[] = [];
  void one.registered.then(() => events.push('one registered'));
  void one.settled.then(({ outcome }) => events.push(`one ${outcome}`));
  void other.registered.then(() => events.push('other registered'));
  void other.settled.then(({ outcome }) => events.push(`other ${outcome}`));
  await settle();
  expect(events).toEqual([]);
  terminal.hear(one.id, receipt(one.id, 'pending', 302));
  await settle();
  expect(events).toEqual(['one registered']);
  terminal.hear(one.id, receipt(one.id, 'captured'));
  await settle();
  terminal.hear(other.id, receipt(other.id, 'expired', 120));
  await settle();
  expect(events).toEqual(['one registered', 'one captured', 'other registered', 'other expired']);
  expect(earlier).toEqual([]);
});

test('an order that the bridge refuses is never shown', async () => {
  const { terminal } = createKiosk();
  const order = await terminal.order(LINES, 'CNY');
  terminal.hear(order.id, receipt(order.id, 'refused', 108));
  expect(await reasonOfAsync(() => order.registered)).toBe('suspended');
  expect((await order.settled).outcome).toBe('refused');
});

test('the last word on an order from before a restart is told as such', () => {
  const { terminal, earlier } = createKiosk();
  const id = 'ab'.repeat(16);
  terminal.hear(id, receipt(id, 'pending', 302));
  expect(earlier).toEqual([]);
  terminal.hear(id, receipt(id, 'captured'));
  expect(earlier).toEqual([[id, receipt(id, 'captured')]]);
});

test.each([
  ['the broker is away', 'down', true],
  ['there is no fresh tick', 'waiting', true],
  ['the time is unknown', 'ready', false],
] as const)('no order when %s', async (_why, link, isBooted) => {
  const { terminal, outbox, sent } = createKiosk(link, isBooted);
  expect(await reasonOfAsync(() => terminal.order(LINES, 'CNY'))).toBe('offline_not_allowed');
  expect([outbox.open(), sent]).toEqual([[], []]);
});

test.each([
  ['nothing to pay', [], 'CNY', 'malformed'],
  ['a currency that does not exist', LINES, 'QQQ', 'currency_unknown'],
  ['text that hides characters', [{ ...LINES[0]!, text: 'a\u202eb' }], 'CNY', 'malformed'],
  ['too many lines', Array.from({ length: 33 }, () => LINES[0]!), 'CNY', 'malformed'],
] as const)('no order over %s', async (_why, lines, currency, reason) => {
  const { terminal, outbox, sent } = createKiosk();
  expect(await reasonOfAsync(() => terminal.order(lines, currency))).toBe(reason);
  expect([outbox.open(), sent]).toEqual([[], []]);
});

test('a disk that refuses: no order and nothing sent', async () => {
  const { terminal, outbox, sent } = createKiosk();
  const put = () => {
    throw new PaymentError('unavailable', 'disk full');
  };
  Object.assign(outbox, { put });
  expect(await reasonOfAsync(() => terminal.order(LINES, 'CNY'))).toBe('unavailable');
  expect(sent).toEqual([]);
});
