/**
 * What a clerk types at the terminal's prompt: an order, what is to become of one that was paid or
 * held, what to collect from whoever taps a tag, or a question about what waits. Anything that is
 * not exactly one of these is a miss and does nothing.
 */
import { UTTERANCE_CHARS_MAX } from '../../src/limits.ts';
import { type Money, parseMoney } from '../../src/money.ts';

/** What a terminal can ask for about an order. */
export type Deed = Readonly<{
  action: 'refund' | 'capture' | 'void';
  /** How the order's id begins; `last` for the newest order that this can be done to. */
  order: string;
  /** All of the order when absent; a void is always of all. */
  amount: Money | undefined;
}>;

export type ClerkReading =
  | Readonly<{ kind: 'order'; text: string; quantity: number; amount: Money }>
  | Readonly<{ kind: 'deed'; deed: Deed }>
  /** `text` is undefined for a bare amount. */
  | Readonly<{ kind: 'collect'; text: string | undefined; quantity: number; amount: Money }>
  /** What was accepted offline and waits. */
  | Readonly<{ kind: 'stored' }>
  /** No longer what was to be collected. */
  | Readonly<{ kind: 'cancel' }>
  | Readonly<{ kind: 'miss' }>;

const ACTIONS: Readonly<Record<string, Deed['action']>> = {
  refund: 'refund',
  退款: 'refund',
  capture: 'capture',
  收款: 'capture',
  void: 'void',
  解除: 'void',
};

/** Digits of an order's id that people read: 32 bits, so two in one shop never look the same. */
export const ORDER_DIGITS = 8;

/** Reads one line; `language` is the one in which its amount is read first. */
export function readClerk(line: string, language: 'en' | 'zh'): ClerkReading {
  const text = line.trim();
  if (text.length > UTTERANCE_CHARS_MAX) return MISS;
  const [, verb = '', rest = ''] = /^(\p{L}+)(?: (.*))?$/u.exec(text) ?? [];
  const word = verb.toLowerCase();
  const action = ACTIONS[word];
  if (action) return readDeed(action, rest, language);
  if (COLLECT.includes(word)) return readCollect(rest.trim(), language);
  if (rest === '' && STORED.includes(word)) return { kind: 'stored' };
  if (rest === '' && CANCEL.includes(word)) return { kind: 'cancel' };
  return readOrder(text, language);
}

const COLLECT = ['collect', '刷卡'];
const STORED = ['stored', '待上传'];
const CANCEL = ['cancel', '取消'];

function readCollect(line: string, language: 'en' | 'zh'): ClerkReading {
  const amount = amountOf(line, language);
  if (amount) return { kind: 'collect', text: undefined, quantity: 1, amount };
  const order = readOrder(line, language);
  return order.kind === 'order' ? { ...order, kind: 'collect' } : MISS;
}

function readDeed(action: Deed['action'], rest: string, language: 'en' | 'zh'): ClerkReading {
  const [, order, price] = /^(last|[0-9a-f]{8,32})(?: (.+))?$/i.exec(rest.trim()) ?? [];
  if (!order) return MISS;
  const amount = price === undefined ? undefined : amountOf(price, language);
  if (price !== undefined && (!amount || action === 'void')) return MISS;
  return { kind: 'deed', deed: { action, order: order.toLowerCase(), amount } };
}

function readOrder(line: string, language: 'en' | 'zh'): ClerkReading {
  const [, count = '1', text, price] = /^(?:(\d{1,3}) )?(.+?) (\S+ \S+|\S+)$/.exec(line) ?? [];
  const amount = price ? amountOf(price, language) : undefined;
  return text && amount ? { kind: 'order', text, quantity: Number(count), amount } : MISS;
}

function amountOf(text: string, language: 'en' | 'zh'): Money | undefined {
  return parseMoney(text, language) ?? parseMoney(text, language === 'en' ? 'zh' : 'en');
}

const MISS = Object.freeze({ kind: 'miss' } as const);
