/** What a wearer can look up on the device: what is still open first, then the newest. */
import { expect, test } from 'vitest';
import { REASONS } from '../../src/errors.ts';
import { seal } from '../../src/objects/kind.ts';
import { type Receipt, receipt as receiptKind } from '../../src/objects/receipt.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import { createOutbox } from '../../device/outbox.ts';
import { request as requestKind } from '../../src/objects/request.ts';
import type { Mandate } from '../../src/objects/mandate.ts';
import { openPayments, receiptLines, remaining, wasDoubted } from '../../device/statement.ts';
import { NONCE, REALM, START_S, bridge, mandateWith, wearer } from './stage.ts';

const id = (n: number) => n.toString(16).padStart(32, '0');
const cny = (minor: bigint) => ({ currency: 'CNY', minor });

const MANDATE = 'ab'.repeat(16);
const OTHER = 'cd'.repeat(16);

const sealed = (counter: number, minor: bigint, mandate = MANDATE) =>
  seal(
    requestKind,
    {
      exp: START_S + 300,
      action: 'pay',
      mandate,
      counter,
      amount: cny(minor),
      payee: 'luckin-coffee',
      presence: 1,
      channel: 'voice',
      nonce: NONCE,
    },
    REALM,
    wearer,
  );

type Ended = Partial<Receipt> & Readonly<{ mandate?: string }>;

/** An outbox with one closed request per receipt, in this order, and then these open ones. */
async function closed(receipts: readonly Ended[], open: readonly bigint[] = []) {
  const outbox = createOutbox(openDatabase(':memory:'));
  for (const [n, { mandate, ...value }] of receipts.entries()) {
    const envelope = await sealed(n + 1, value.amount?.minor ?? 1n, mandate);
    outbox.put({ id: id(n), kind: 'request', envelope, storedMs: 1 });
    const full = {
      iat: START_S + 60 * n,
      subject: id(n),
      outcome: 'captured',
      ...value,
    } as Receipt;
    void outbox.close(id(n), await seal(receiptKind, full, REALM, bridge), 1);
  }
  for (const [n, minor] of open.entries()) {
    const envelope = await sealed(99 + n, minor);
    const storedMs = (START_S + 60 * n) * 1000;
    outbox.put({ id: id(99 + n), kind: 'request', envelope, storedMs });
  }
  return outbox;
}

const held = (changed: Partial<Mandate> = {}) => [
  { id: MANDATE, mandate: mandateWith(changed), payer: 'ann' },
];

test('nothing yet is an empty list', async () => {
  const outbox = await closed([]);
  expect(receiptLines(outbox, 'en')).toEqual([]);
  expect(remaining(outbox, held(), 'en')).toEqual([]);
});

test('what is left is by the newest receipt that says so, not by a refusal after it', async () => {
  const left = (amount: bigint) => [{ amount, count: 3 }];
  const outbox = await closed([
    { amount: cny(1_00n), remaining: left(90_00n) },
    { amount: cny(2_00n), remaining: left(88_00n) },
    { outcome: 'refused', reason: 113 },
  ]);
  expect(remaining(outbox, held(), 'en')).toEqual(['88.00 yuan in all']);
  expect(remaining(outbox, held(), 'zh')).toEqual(['总计88.00元']);
});

test('each window is named, in the order of the mandate', async () => {
  const limits = { max: 9n, count: 9 };
  const windows = [
    { kind: 'total', ...limits },
    { kind: 'calendar', period: 'day', zone: 'Asia/Shanghai', ...limits },
    { kind: 'calendar', period: 'quarter', zone: 'Asia/Shanghai', ...limits },
    { kind: 'rolling', seconds: 3 * 86_400, ...limits },
  ] as const;
  const outbox = await closed([
    {
      amount: cny(1_00n),
      remaining: [4_00n, 3_00n, 2_00n, 1_00n].map((amount) => ({ amount, count: 1 })),
    },
  ]);
  expect(remaining(outbox, held({ windows }), 'en')).toEqual([
    '4.00 yuan in all',
    '3.00 yuan for the day',
    '2.00 yuan for the quarter',
    '1.00 yuan within any 3 days',
  ]);
  expect(remaining(outbox, held({ windows }), 'zh')).toEqual([
    '总计4.00元',
    '当日3.00元',
    '当季2.00元',
    '任意3 天内1.00元',
  ]);
});

test('a mandate that is held no more has nothing left to spend', async () => {
  const left = [{ amount: 90_00n, count: 3 }];
  const outbox = await closed([
    { amount: cny(1_00n), remaining: left },
    { amount: cny(1_00n), remaining: [{ amount: 7n, count: 3 }], mandate: OTHER },
  ]);
  expect(remaining(outbox, held(), 'en')).toEqual(['90.00 yuan in all']);
});

test.each<[string, readonly Ended[], boolean]>([
  ['nothing was heard of it', [], false],
  ['it paid', [{}], false],
  ['it has enough left', [{ remaining: [{ amount: 5_00n, count: 1 }] }], false],
  ['it has less left', [{ remaining: [{ amount: 4_99n, count: 1 }] }], true],
  ['its count is used up', [{ remaining: [{ amount: 9_00n, count: 0 }] }], true],
  ['it was revoked', [{}, { outcome: 'refused', reason: REASONS.revoked }], true],
  ['it was resumed', [{ outcome: 'refused', reason: REASONS.suspended }, {}], false],
  ['that was another', [{ outcome: 'refused', reason: REASONS.revoked, mandate: OTHER }], false],
  ['the payment was at fault', [{ outcome: 'refused', reason: REASONS.order_paid }], false],
])('doubts about a mandate: %s', async (_why, receipts, expected) => {
  expect(wasDoubted(await closed(receipts), MANDATE, cny(5_00n))).toBe(expected);
});

test('a mandate that the bridge did not take is doubted', async () => {
  const outbox = await closed([]);
  outbox.put({ id: MANDATE, kind: 'mandate', envelope: Uint8Array.of(1), storedMs: 0 });
  expect(wasDoubted(outbox, MANDATE, cny(1n))).toBe(false);
  const refusal = { iat: START_S, subject: MANDATE, outcome: 'refused', reason: 110 } as const;
  void outbox.close(MANDATE, await seal(receiptKind, refusal, REALM, bridge), 1);
  expect(wasDoubted(outbox, MANDATE, cny(1n))).toBe(true);
});

test('what is not confirmed yet stands first, the newest above', async () => {
  const outbox = await closed([{ amount: cny(1_00n) }], [2_00n, 3_00n]);
  expect(receiptLines(outbox, 'en')).toEqual([
    '2026-07-01 04:01  not confirmed yet  3.00 yuan',
    '2026-07-01 04:00  not confirmed yet  2.00 yuan',
    '2026-07-01 04:00  captured  1.00 yuan',
  ]);
  expect(receiptLines(outbox, 'zh')[0]).toBe('2026-07-01 04:01  尚未确认  3.00元');
  expect(openPayments(outbox).map(({ amount }) => amount.minor)).toEqual([2_00n, 3_00n]);
});

test('the last five, newest first, with time, outcome and amount', async () => {
  const outbox = await closed([
    ...[1n, 2n, 3n, 4n, 5n].map((yuan) => ({ amount: cny(yuan * 100n) })),
    { outcome: 'refused', reason: 113 },
  ]);
  const lines = receiptLines(outbox, 'en');
  expect(lines).toHaveLength(5);
  const at = (n: number) =>
    new Date((START_S + 60 * n) * 1000).toISOString().slice(0, 16).replace('T', ' ');
  expect(lines[0]).toBe(`${at(5)}  refused`);
  expect(lines[1]).toBe(`${at(4)}  captured  5.00 yuan`);
});
