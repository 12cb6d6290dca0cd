/**
 * What a typed or recognised utterance asks for, English and Chinese, read strictly.
 *
 * The whole utterance must be one sentence of the small grammar below; every way to cut it into
 * payee and amount is tried, and two readings that differ are none. So a recogniser's mistake
 * becomes a miss, not a payment. The exception is cancelling, the safe direction: it wins over
 * everything, also in company of words that confirm.
 */
import { UTTERANCE_CHARS_MAX } from '../../src/limits.ts';
import { type Money, readMoney } from '../../src/money.ts';
import { plainWriting } from '../../src/numerals.ts';
import type { Directory, Payee } from '../payees.ts';

export type Reading =
  | Readonly<{ kind: 'pay'; amount: Money; payee: Payee }>
  | Readonly<{ kind: 'ask_payee'; amount: Money; candidates: readonly Payee[] }>
  | Readonly<{ kind: 'ask_amount'; payee: Payee }>
  | Readonly<{ kind: 'amount'; amount: Money }>
  | Readonly<{ kind: (typeof COMMANDS)[number] | 'confirm' | 'cancel' }>
  | Miss;

/** `heard` is the name that no payee has, as it was said. */
export type Miss = Readonly<{
  kind: 'miss';
  why: 'no_match' | 'unknown_payee' | 'no_currency' | 'too_long' | 'out_of_bounds';
  heard?: string;
}>;

/** `language` chooses the language of prompts; an utterance may be in either. */
export type ReadingContext = Readonly<{ directory: Directory; language: 'en' | 'zh' }>;

const COMMANDS = ['balance', 'help', 'receipts', 'quit', 'look'] as const;

/**
 * All that confirms a payment. A lone yes, 好 or ok is not among them: they are said to people, and
 * a recogniser hears them in noise.
 */
export const CONFIRM_PHRASES = Object.freeze({
  en: Object.freeze(['confirm payment', 'confirm', 'yes pay', 'go ahead and pay']),
  zh: Object.freeze(['确认支付', '确认付款', '确认', '確認支付', '確認付款', '確認']),
});

const COMMAND_PHRASES: Readonly<Record<(typeof COMMANDS)[number], readonly string[]>> =
  Object.freeze({
    balance: [
      ...['balance', 'my balance', 'show balance', 'show my balance', 'check balance'],
      ...['check my balance', "what's my balance", 'what is my balance'],
      ...['余额', '餘額', '查余额', '查餘額', '查询余额', '查詢餘額', '我的余额', '我的餘額'],
    ],
    help: ['help', 'what can i say', '帮助', '幫助'],
    receipts: [
      ...['receipts', 'my receipts', 'show receipts', 'show my receipts'],
      ...['收据', '收據', '我的收据', '我的收據', '查看收据', '查看收據'],
    ],
    quit: ['quit', 'exit', '退出'],
    look: [
      ...['pay this', 'pay this code', 'scan to pay', 'scan and pay'],
      ...['付这个', '付這個', '支付这个', '支付這個'],
      ...['扫码付款', '掃碼付款', '扫码支付', '掃碼支付'],
    ],
  });

const CANCEL_PHRASES: readonly string[] = Object.freeze([
  ...['cancel', 'cancel it', 'cancel that', 'cancel this'],
  ...['cancel payment', 'cancel the payment', 'cancel my payment', 'cancel this payment'],
  ...[
    '取消',
    '取消付款',
    '取消支付',
    '取消这笔付款',
    '取消這筆付款',
    '取消这笔支付',
    '取消這筆支付',
  ],
]);

const CANCEL_EN = /\b(?:cancel|stop|no|not|never|nevermind|don't|dont)\b/;
/** An utterance of these words alone is about the payment in hand, so one "no" in it decides. */
const CANCEL_COMPANY_EN = new RegExp(
  "^(?:(?:cancel|stop|no|not|never|nevermind|mind|don't|dont|do|confirm|payment|yes|pay|go|" +
    'ahead|and|it|this|that|the|ok|okay|please|um|uh|thanks)(?: |$))+$',
);
const CANCEL_ZH = /取消|不要|不|停|别|別/;
const CANCEL_COMPANY_ZH =
  /^(?:取消|不要|不用|不|停止|停下|停|别|別|确认|確認|支付|付款|付|了|吧|请|請|嗯|那个|那個|好|是|对|對)+$/;

/**
 * What people say before and after the slots. A mark before a digit stays: ".5 yuan" is not 5 yuan.
 */
const SKIPPED_BEFORE =
  /^(?:(?:please|um|uh)(?![\p{L}\p{N}'-])|请|請|那个|那個|嗯|\s|[,.;:!?，。；：！？、](?!\s*[0-9]))+/iu;
const SKIPPED_AFTER =
  /(?:(?<![\p{L}\p{N}'-])(?:please|um|uh)|请|請|那个|那個|嗯|\s|[,.;:!?，。；：！？、])+$/iu;

/** Reads one utterance; the same for the same text and directory, whatever went before. */
export function readUtterance(text: string, context: ReadingContext): Reading {
  if (text.length > UTTERANCE_CHARS_MAX) return miss('too_long');
  const plain = plainWriting(text);
  if (plain === undefined) return miss('no_match');

  const said = withoutAddress(plain);
  if (cancels(said)) return Object.freeze({ kind: 'cancel' });

  const readings: Reading[] = [];
  const misses: Miss[] = [];
  const phrase = phraseOf(said);
  // "Confirm payment?" is our own question, heard back.
  const confirms = [...CONFIRM_PHRASES.en, ...CONFIRM_PHRASES.zh].includes(phrase);
  if (confirms && !/[?？]/.test(said)) readings.push({ kind: 'confirm' });
  const asked = phraseOf(withoutEnds(said));
  for (const kind of COMMANDS) {
    if (COMMAND_PHRASES[kind].some((form) => form === phrase || form === asked)) {
      readings.push({ kind });
    }
  }
  for (const cuts of [...englishCuts(said), ...chineseCuts(said)]) {
    let longestRead = false;
    for (const cut of cuts) {
      const reading = complete(cut, context.directory);
      if (reading === undefined) continue;
      if (reading.kind === 'miss') misses.push(reading);
      else readings.push(reading);
      longestRead ||= reading.kind !== 'miss';
      if (!longestRead) break;
    }
  }

  const different = new Map(readings.map((reading) => [identity(reading), reading]));
  const [first] = different.values();
  if (different.size === 1 && first) return Object.freeze(first);
  if (different.size > 1) return miss('no_match');
  const order = ['out_of_bounds', 'no_currency', 'unknown_payee'] as const;
  const why = order.find((reason) => misses.some((each) => each.why === reason));
  return misses.find((each) => each.why === why) ?? miss('no_match');
}

/**
 * Whether an utterance says in so many words that a payment be cancelled. For one that was sent
 * already a "no" is not enough: it may be said to anybody, and the goods may be gone.
 */
export function asksToCancel(text: string): boolean {
  if (text.length > UTTERANCE_CHARS_MAX) return false;
  const plain = plainWriting(text);
  if (plain === undefined || /[?？]/.test(plain)) return false;
  return CANCEL_PHRASES.includes(phraseOf(withoutEnds(withoutAddress(plain))));
}

/** One way to cut an utterance: the words that would be the amount, and those of the payee. */
type Cut = Readonly<{ amount?: string; payee?: string }>;

/**
 * Cuts that compete for the same words, the longest amount first. When that one misses, those with
 * shorter amounts are not tried: in "pay Luckin twenty five yuan", with only "Luckin Twenty" known,
 * five yuan is a leftover of the amount that was said.
 */
type Cuts = readonly Cut[];

function englishCuts(said: string): readonly Cuts[] {
  const cuts: Cuts[] = [[{ amount: said }]];
  const [, verb, slots] = /^(pay|send),? (.+)$/i.exec(said.replace(SKIPPED_BEFORE, '')) ?? [];
  if (slots === undefined) return cuts;
  cuts.push([{ amount: slots }]);
  for (const { index } of slots.matchAll(/ to /gi)) {
    cuts.push([{ amount: slots.slice(0, index), payee: slots.slice(index + 4) }]);
  }
  const spaces = [...slots.matchAll(/ (?<! [,.] )/g)].map(({ index }) => index);
  cuts.push(spaces.map((at) => ({ payee: slots.slice(0, at), amount: slots.slice(at + 1) })));
  if (verb?.toLowerCase() === 'pay') cuts.push([{ payee: slots }]);
  return cuts;
}

function chineseCuts(said: string): readonly Cuts[] {
  const cuts: Cuts[] = [];
  const text = said.replace(SKIPPED_BEFORE, '');
  for (const verb of ['支付', '付款', '付']) {
    // 付二十元给瑞幸咖啡
    if (text.startsWith(verb)) {
      const slots = text.slice(verb.length);
      cuts.push([{ amount: slots }]);
      for (const { index } of slots.matchAll(/[给給]/g)) {
        cuts.push([{ amount: slots.slice(0, index), payee: slots.slice(index + 1) }]);
      }
      // 付给瑞幸咖啡二十元, 付瑞幸咖啡二十元, 付瑞幸咖啡
      const rest = slots.replace(/^\s*[给給]/, '');
      const borders = [...rest.matchAll(/(?<=.)(?<![0-9.,。，]\s*(?=[0-9]))/gu)];
      cuts.push(
        borders.map(({ index }) => ({ payee: rest.slice(0, index), amount: rest.slice(index) })),
      );
      cuts.push([{ payee: rest }]);
    }
    // 给瑞幸咖啡付二十元, 向瑞幸咖啡支付二十元, 给瑞幸咖啡付款
    if (/^[给給向]/.test(text)) {
      const slots = text.slice(1);
      for (const { index } of slots.matchAll(new RegExp(verb, 'g'))) {
        const payee = slots.slice(0, index);
        const amount = slots.slice(index + verb.length);
        cuts.push([withoutEnds(amount) === '' ? { payee } : { payee, amount }]);
      }
    }
  }
  return cuts;
}

/** What one cut reads as; a miss says on which slot it failed, undefined that it is no sentence. */
function complete(cut: Cut, directory: Directory): Reading | undefined {
  const amount = cut.amount === undefined ? undefined : amountOf(cut.amount);
  if (amount?.why === 'no_match') return undefined;
  if (cut.payee === undefined) {
    return amount && (amount.money ? { kind: 'amount', amount: amount.money } : miss(amount.why));
  }

  const heard = withoutEnds(cut.payee);
  if (heard === '') return undefined;
  if (amount?.why) return miss(amount.why);
  const candidates = payeesOf(cut.payee, directory);
  const [payee] = candidates;
  if (payee === undefined) return miss('unknown_payee', heard);
  if (amount === undefined) {
    // Two payees and no amount: there is no question that would ask for both at once.
    return candidates.length > 1 ? undefined : { kind: 'ask_amount', payee };
  }
  if (candidates.length > 1) return { kind: 'ask_payee', amount: amount.money, candidates };
  return { kind: 'pay', amount: amount.money, payee };
}

type HeardAmount =
  | Readonly<{ money: Money; why?: never }>
  | Readonly<{ money?: never; why: 'no_match' | 'no_currency' | 'out_of_bounds' }>;

function amountOf(slot: string): HeardAmount {
  const text = withoutEnds(slot);
  const readings = [readMoney(text, 'en'), readMoney(text, 'zh')];
  const monies = readings.flatMap((reading) => (reading.kind === 'money' ? [reading.money] : []));
  const [money] = monies;
  if (money && monies.every((each) => sameMoney(each, money))) return { money };
  if (money) return { why: 'no_match' };
  const whys = readings.map((reading) => (reading.kind === 'miss' ? reading.why : 'no_match'));
  const why = (['out_of_bounds', 'no_currency'] as const).find((each) => whys.includes(each));
  return { why: why ?? 'no_match' };
}

/** Everyone of that name, with and without the skip words and marks at its ends. */
function payeesOf(slot: string, directory: Directory): readonly Payee[] {
  const forms = new Set([slot, withoutEnds(slot)]);
  const found = [...forms].flatMap((form) => [
    ...directory.find(form, 'en'),
    ...directory.find(form, 'zh'),
  ]);
  return Object.freeze([...new Set(found)]);
}

/** Whether a whole utterance, or its first or last clause, calls the payment off. */
function cancels(said: string): boolean {
  const clauses = said
    .split(/[,;!?，。；！？、]+|\.+(?: |$)/)
    .filter((clause) => clause.trim() !== '');
  return [said, clauses[0], clauses.at(-1)].some((clause) => {
    const phrase = phraseOf(clause ?? '').replace(/’/g, "'");
    const dense = phrase.replaceAll(' ', '');
    return (
      (CANCEL_EN.test(phrase) && CANCEL_COMPANY_EN.test(phrase)) ||
      (CANCEL_ZH.test(dense) && CANCEL_COMPANY_ZH.test(dense))
    );
  });
}

/** Lower case without marks, and without spaces beside Chinese characters. */
function phraseOf(text: string): string {
  return text
    .toLowerCase()
    .replace(/[,.;!?，。；！？、\s]+/g, ' ')
    .replace(/(?<=\p{sc=Han}) | (?=\p{sc=Han})/gu, '')
    .trim();
}

function withoutAddress(plain: string): string {
  return plain.replace(/^(?:hey|ok|okay),? saytap(?:[,.:!]+ ?| |$|(?=\p{sc=Han}))/iu, '').trim();
}

function withoutEnds(text: string): string {
  return text.replace(SKIPPED_BEFORE, '').replace(SKIPPED_AFTER, '');
}

function identity(reading: Reading): string {
  const payees =
    'payee' in reading ? [reading.payee] : 'candidates' in reading ? reading.candidates : [];
  const amount = 'amount' in reading ? [reading.amount.currency, String(reading.amount.minor)] : [];
  return JSON.stringify([reading.kind, payees.map(({ id }) => id).sort(), amount]);
}

function sameMoney(one: Money, other: Money): boolean {
  return one.currency === other.currency && one.minor === other.minor;
}

function miss(why: Miss['why'], heard?: string): Miss {
  return Object.freeze(heard === undefined ? { kind: 'miss', why } : { kind: 'miss', why, heard });
}
