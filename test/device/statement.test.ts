/** What a wearer can look up on the device: newest first, and nothing that is still open. */
import { expect, test } from 'vitest';
import { seal } from '../../src/objects/kind.ts';
import { type Receipt, receipt as receiptKind } from '../../src/objects/receipt.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import { createOutbox } from '../../device/outbox.ts';
import { receiptLines, remaining } from '../../device/statement.ts';
import { REALM, START_S, bridge } from './stage.ts';

const id = (n: number) => n.toString(16).padStart(32, '0');
const cny = (minor: bigint) => ({ currency: 'CNY', minor });

/** An outbox with one closed request per receipt, in this order. */
async function closed(...receipts: readonly Partial<Receipt>[]) {
  const outbox = createOutbox(openDatabase(':memory:'));
  for (const [n, value] of receipts.entries()) {
    outbox.put({ id: id(n), kind: 'request', envelope: Uint8Array.of(n), storedMs: 1 });
    const full = {
      iat: START_S + 60 * n,
      subject: id(n),
      outcome: 'captured',
      ...value,
    } as Receipt;
    outbox.close(id(n), await seal(receiptKind, full, REALM, bridge), 1);
  }
  outbox.put({ id: id(99), kind: 'request', envelope: Uint8Array.of(99), storedMs: 1 });
  return outbox;
}

test('nothing yet is an empty list', async () => {
  const outbox = await closed();
  expect(receiptLines(outbox, 'en')).toEqual([]);
  expect(remaining(outbox, 'en')).toEqual([]);
});

test('what is left is by the newest receipt that says so, not by a refusal after it', async () => {
  const left = (amount: bigint) => [{ amount, count: 3 }];
  const outbox = await closed(
    { amount: cny(1_00n), remaining: left(90_00n) },
    { amount: cny(2_00n), remaining: left(88_00n) },
    { outcome: 'refused', reason: 113 },
  );
  expect(remaining(outbox, 'en')).toEqual(['88.00 yuan']);
  expect(remaining(outbox, 'zh')).toEqual(['88.00元']);
});

test('the last five, newest first, with time, outcome and amount', async () => {
  const outbox = await closed(
    ...[1n, 2n, 3n, 4n, 5n].map((yuan) => ({ amount: cny(yuan * 100n) })),
    { outcome: 'refused', reason: 113 },
  );
  const lines = receiptLines(outbox, 'en');
  expect(lines).toHaveLength(5);
  const at = (n: number) =>
    new Date((START_S + 60 * n) * 1000).toISOString().slice(0, 16).replace('T', ' ');
  expect(lines[0]).toBe(`${at(5)}  refused`);
  expect(lines[1]).toBe(`${at(4)}  captured  5.00 yuan`);
});
