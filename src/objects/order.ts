/**
 * Order: what a terminal asks to be paid for. Signed by the terminal key, shown as QR or NFC and
 * sent up by the terminal, so the bridge can pay it at most once.
 */
import { ORDER_LINES_MAX, TEXT_BYTES_MAX } from '../limits.ts';
import {
  type Field,
  type ValueOf,
  amount,
  bytes,
  defineKind,
  integer,
  list,
  malformed,
  mapped,
  minor,
  name,
  required,
  seconds,
  text,
  tuple,
} from './kind.ts';

/** `total` is the minor units of the whole line, in the order's currency. */
export type OrderLine = Readonly<{ text: string; quantity: number; total: bigint }>;

const line: Field<OrderLine> = mapped(
  tuple<readonly [string, number, bigint]>(text(TEXT_BYTES_MAX), integer(1, 9999), minor),
  ([label, quantity, total]) => ({ text: label, quantity, total }),
  (value) => [value.text, value.quantity, value.total] as const,
);

export type Order = ValueOf<typeof order>;

export const order = defineKind(
  'order',
  {
    exp: required(4, seconds),
    amount: required(12, amount),
    payee: required(13, name),
    terminal: required(14, name),
    lines: required(32, list(line, 1, ORDER_LINES_MAX)),
    /** 128 random bits: two equal baskets are two orders, and a digest tells nothing. */
    salt: required(33, bytes(16)),
  },
  (value) => {
    const sum = value.lines.reduce((total, { total: part }) => total + part, 0n);
    if (sum !== value.amount.minor) throw malformed('lines that do not add up to the total');
  },
);
