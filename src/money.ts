/**
 * Money: whole minor units in bigint and an ISO 4217 code, nothing else.
 *
 * Reading what a person wrote or said is strict on purpose: the whole text must be one amount whose
 * unit names one currency. A lone ¥ is refused, because it is the sign of both CNY and JPY and a
 * twentyfold mistake. By convention of this project a dollar without a country is USD, a pound GBP,
 * a won KRW, and 元 or 块 CNY; the confirmation always shows which currency was understood.
 */
import assert from 'node:assert/strict';
import { PaymentError } from './errors.ts';
import {
  chineseDigits,
  chineseInteger,
  englishDigits,
  englishInteger,
  plainWriting,
} from './numerals.ts';

/** `minor` counts the currency's minor unit (fen, cent; for JPY the yen itself). */
export type Money = Readonly<{ currency: string; minor: bigint }>;

/** Money that a text says, or why it says none; `out_of_bounds` is zero or beyond MINOR_MAX. */
export type MoneyReading =
  | Readonly<{ kind: 'money'; money: Money }>
  | Readonly<{ kind: 'miss'; why: 'no_match' | 'no_currency' | 'out_of_bounds' }>;

/** Minor units stay exact in every language (2^53 − 1, as CBOR_INTEGER_MAX). */
export const MINOR_MAX = BigInt(Number.MAX_SAFE_INTEGER);

/**
 * ISO 4217 currencies in use, by exponent. Left out: XXX, XTS, metals, baskets and funds codes
 * other than CLF and UYW, and codes that have ended (ANG → XCG 2025, BGN → EUR 2026).
 */
const CODES_BY_EXPONENT: readonly (readonly [exponent: number, codes: string])[] = [
  [0, 'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF'],
  [
    2,
    `AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF
     CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD
     HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA
     MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN
     QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP
     TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG`,
  ],
  [3, 'BHD IQD JOD KWD LYD OMR TND'],
  [4, 'CLF UYW'],
];

const EXPONENTS: ReadonlyMap<string, number> = new Map(
  CODES_BY_EXPONENT.flatMap(([exponent, codes]) =>
    codes.split(/\s+/).map((code) => [code, exponent] as const),
  ),
);

/** Every currency this version knows, sorted by code. */
export const CURRENCIES: readonly string[] = Object.freeze([...EXPONENTS.keys()].sort());

/** ISO 4217 exponent of a currency in use (0, 2, 3 or 4), or undefined for an unknown code. */
export function exponentOf(currency: string): number | undefined {
  return EXPONENTS.get(currency);
}

/** Minor units of a machine-written amount ("12.5", "12.50"); throws `malformed` on any other. */
export function parseDecimal(text: string, currency: string): bigint {
  const exponent = knownExponent(currency);
  const [, whole, fraction = ''] = /^(0|[1-9][0-9]{0,15})(?:\.([0-9]{1,4}))?$/.exec(text) ?? [];
  if (whole === undefined || fraction.length > exponent) {
    throw new PaymentError('malformed', `not an amount in ${currency}`);
  }
  const minor = BigInt(whole + fraction.padEnd(exponent, '0'));
  if (minor > MINOR_MAX) throw new PaymentError('malformed', 'amount beyond 2^53 − 1');
  return minor;
}

/** The amount with all decimals of its currency and no unit ("12.50"); parseDecimal inverts it. */
export function formatDecimal(money: Money): string {
  const exponent = knownExponent(money.currency);
  assert(money.minor >= 0n, 'an amount is never negative');
  const digits = money.minor.toString().padStart(exponent + 1, '0');
  const point = digits.length - exponent;
  return exponent === 0 ? digits : `${digits.slice(0, point)}.${digits.slice(point)}`;
}

/** The amount for people, its currency beyond doubt; parseMoney gives any but zero back. */
export function formatMoney(money: Money, language: 'en' | 'zh'): string {
  const amount = formatDecimal(money);
  const units: Readonly<Record<string, string>> =
    language === 'zh'
      ? { CNY: '元', JPY: '日元', USD: '美元' }
      : { CNY: ' yuan', JPY: ' yen', USD: ' US dollars' };
  return amount + (units[money.currency] ?? ` ${money.currency}`);
}

/** The one amount that the whole text says in this language, or undefined; never a guess. */
export function parseMoney(text: string, language: 'en' | 'zh'): Money | undefined {
  const reading = readMoney(text, language);
  return reading.kind === 'money' ? reading.money : undefined;
}

/** As parseMoney, and tells why a text is no amount that can be paid. */
export function readMoney(text: string, language: 'en' | 'zh'): MoneyReading {
  const plain = plainWriting(text);
  if (plain === undefined) return miss('no_match');
  // Recognisers put spaces between Chinese words; a space between digits stays, and is refused.
  const written =
    language === 'en' ? plain : plain.replace(/(?<=\p{sc=Han}) | (?=\p{sc=Han})/gu, '');

  const found = [
    ...symbolAmounts(written),
    ...(language === 'en' ? englishAmounts(written) : chineseAmounts(written)),
  ].flatMap(({ currency, whole, fraction }) => {
    const exponent = knownExponent(currency);
    if (fraction.length > exponent) return [];
    return [{ currency, minor: BigInt(whole.toString() + fraction.padEnd(exponent, '0')) }];
  });
  const first = found[0];
  if (first === undefined) {
    const bare = written.replace(/^¥ ?|(?<=[0-9]) ?¥$/, '');
    const number = language === 'en' ? englishNumber(bare.toLowerCase()) : chineseNumber(bare);
    return miss(number === undefined ? 'no_match' : 'no_currency');
  }
  if (found.some(({ currency, minor }) => currency !== first.currency || minor !== first.minor)) {
    return miss('no_match');
  }
  if (first.minor === 0n || first.minor > MINOR_MAX) return miss('out_of_bounds');
  return Object.freeze({ kind: 'money', money: Object.freeze(first) });
}

/** A number as said: `fraction` holds decimal digits, '' when there was no point. */
type Said = Readonly<{ whole: bigint; fraction: string }>;
type Amount = Said & Readonly<{ currency: string }>;

const SYMBOLS: Readonly<Record<string, string>> = Object.freeze({
  ...{ $: 'USD', US$: 'USD', HK$: 'HKD', NT$: 'TWD', S$: 'SGD', A$: 'AUD', CA$: 'CAD' },
  ...{ NZ$: 'NZD', '€': 'EUR', '£': 'GBP', '₩': 'KRW', '₹': 'INR', '₫': 'VND' },
  ...{ 'CN¥': 'CNY', 'JP¥': 'JPY', RMB: 'CNY', rmb: 'CNY' },
});

const ENGLISH_UNITS: readonly (readonly [currency: string, names: string])[] = [
  ['CNY', 'yuan|chinese yuan|renminbi|rmb|kuai|cny'],
  ['USD', 'dollar|dollars|us dollar|us dollars|american dollars|usd'],
  ['JPY', 'yen|japanese yen|jpy'],
  ['EUR', 'euro|euros|eur'],
  ['GBP', 'pound|pounds|british pounds|pounds sterling|gbp'],
  ['HKD', 'hong kong dollar|hong kong dollars|hkd'],
  ['SGD', 'singapore dollar|singapore dollars|sgd'],
  ['TWD', 'taiwan dollars|new taiwan dollars|twd'],
  ['AUD', 'australian dollar|australian dollars|aud'],
  ['CAD', 'canadian dollar|canadian dollars'],
  ['NZD', 'new zealand dollar|new zealand dollars|nzd'],
  ['KRW', 'won|korean won|krw'],
  ['CHF', 'swiss franc|swiss francs|chf'],
  ['INR', 'indian rupee|indian rupees|inr'],
  ['THB', 'baht|thb'],
  ['MYR', 'ringgit|myr'],
];
const ENGLISH_UNIT_WORDS_MAX = 3;
const ENGLISH_CURRENCIES = byName(ENGLISH_UNITS);

/** `own` is the currency that the word names by itself; a cent alone names none. */
const ENGLISH_PARTS: Readonly<
  Record<string, Readonly<{ digits: 1 | 2; own?: string; of: readonly string[] }>>
> = Object.freeze({
  ...Object.fromEntries(
    ['cent', 'cents'].map((word) => [
      word,
      { digits: 2, of: 'CNY USD EUR HKD SGD TWD AUD CAD NZD MYR'.split(' ') },
    ]),
  ),
  fen: { digits: 2, own: 'CNY', of: ['CNY'] },
  jiao: { digits: 1, own: 'CNY', of: ['CNY'] },
  mao: { digits: 1, own: 'CNY', of: ['CNY'] },
  pence: { digits: 2, own: 'GBP', of: ['GBP'] },
  penny: { digits: 2, own: 'GBP', of: ['GBP'] },
});

const CHINESE_UNITS: readonly (readonly [currency: string, names: string])[] = [
  ['CNY', '人民币|人民幣'],
  ['USD', '美元|美金'],
  ['JPY', '日元|日圆|日圓|円'],
  ['EUR', '欧元|歐元'],
  ['GBP', '英镑|英鎊'],
  ['HKD', '港元|港币|港幣'],
  ['TWD', '新台币|新台幣|新臺幣|台币|台幣|臺幣'],
  ['KRW', '韩元|韓元'],
  ['AUD', '澳元'],
  ['CAD', '加元'],
  ['THB', '泰铢|泰銖'],
];
const CHINESE_CURRENCIES = byName(CHINESE_UNITS);

const DIGIT = '[1-9一二两兩三四五六七八九壹贰貳叁參叄肆伍陆陸柒捌玖]';
const WHOLE = '(?:人民[币幣])?(?<whole>[^元圆圓块塊]+)';
/** What follows the whole yuan: 角 (spoken 毛) are tenths, 分 hundredths. */
const YUAN_FORMS: readonly RegExp[] = [
  `${WHOLE}[元圆圓块塊](?:零?(?<jiao>${DIGIT})[角毛])?(?:零?(?<fen>${DIGIT})分)?[钱錢整正]?`,
  // Spoken: 十二块五 is 12.50, 十二块零五 12.05, 十块五毛五 10.55.
  `${WHOLE}[块塊](?:(?<jiao>${DIGIT})|零(?<fen>${DIGIT})|(?<cents>[0-9]{2}))`,
  `(?:${WHOLE}[元圆圓块塊])?(?<jiao>${DIGIT})[角毛](?:(?<fen>${DIGIT})分?)?[钱錢]?`,
  `(?<fen>${DIGIT})分[钱錢]?`,
].map((form) => new RegExp(`^${form}$`));

function knownExponent(currency: string): number {
  const exponent = exponentOf(currency);
  if (exponent === undefined) throw new PaymentError('currency_unknown', 'currency not in use');
  return exponent;
}

function miss(why: 'no_match' | 'no_currency' | 'out_of_bounds'): MoneyReading {
  return Object.freeze({ kind: 'miss', why });
}

/** "CNY 12.50", "12.500 KWD", "$3": digits and a code or sign, in either language. */
function symbolAmounts(text: string): readonly Amount[] {
  const before = /^([^0-9]+?) ?([0-9.]+)$/.exec(text);
  const after = /^([0-9.]+) ?([^0-9]+)$/.exec(text);
  const unit = before?.[1] ?? after?.[2] ?? '';
  const said = decimal(before?.[2] ?? after?.[1] ?? '');
  // Codes count in capitals only: "all", "try", "pen" and "mad" are words before they are money.
  const currency = Object.hasOwn(SYMBOLS, unit) ? SYMBOLS[unit] : unit;
  return said && currency && exponentOf(currency) !== undefined ? [{ ...said, currency }] : [];
}

function englishAmounts(text: string): readonly Amount[] {
  const words = text.toLowerCase().split(' ');
  const found: Amount[] = [];
  for (let at = 1; at < words.length; at++) {
    const number = words.slice(0, at).join(' ');
    for (let count = 1; count <= ENGLISH_UNIT_WORDS_MAX; count++) {
      const currency = ENGLISH_CURRENCIES.get(words.slice(at, at + count).join(' '));
      if (currency === undefined || at + count > words.length) continue;
      const rest = words.slice(at + count).join(' ');
      const said = rest === '' ? (englishNumber(number) ?? englishPair(number)) : undefined;
      if (said) found.push({ ...said, currency });
      const whole = englishNumber(number);
      const fraction = rest === '' ? undefined : englishRest(rest, currency);
      if (whole?.fraction === '' && fraction) found.push({ ...whole, fraction, currency });
    }
  }
  const own = ENGLISH_PARTS[words.at(-1) ?? '']?.own;
  const fraction = own && englishPart(text.toLowerCase(), own);
  if (fraction) found.push({ whole: 0n, fraction, currency: own });
  return found;
}

/** Digits with decimals, words, or words with "point" and digit words. */
function englishNumber(text: string): Said | undefined {
  const [whole = '', digits, ...more] = text.split(' point ');
  const integer = englishInteger(whole);
  if (integer === undefined) return decimal(text);
  const fraction = digits === undefined ? '' : englishDigits(digits);
  return fraction === undefined || more.length > 0 ? undefined : { whole: integer, fraction };
}

/**
 * "twelve fifty": two numbers of two digits each. "One fifty" is refused: it is 1.50 to one person
 * and 150 to the next.
 */
function englishPair(text: string): Said | undefined {
  const words = text.split(' ');
  for (let at = 1; at < words.length; at++) {
    const whole = englishInteger(words.slice(0, at).join(' '));
    const fraction = twoDigits(words.slice(at).join(' '));
    if (whole !== undefined && whole >= 10n && whole < 100n && fraction) return { whole, fraction };
  }
  return undefined;
}

/** What may follow the unit: "fifty", "oh five", "and five cents"; "five" could be two things. */
function englishRest(text: string, currency: string): string | undefined {
  if (/^[0-9]{2}$/.test(text)) return text;
  return twoDigits(text) ?? englishPart(text.replace(/^and /, ''), currency);
}

function twoDigits(text: string): string | undefined {
  const digits = englishDigits(text);
  if (digits !== undefined) return /^0[1-9]$/.test(digits) ? digits : undefined;
  const value = englishInteger(text);
  return value !== undefined && value >= 10n && value < 100n ? value.toString() : undefined;
}

/** "five cents" as decimals of this currency ("05"). */
function englishPart(text: string, currency: string): string | undefined {
  const [, count = '', word = ''] = /^(.+) ([a-z]+)$/.exec(text) ?? [];
  const part = Object.hasOwn(ENGLISH_PARTS, word) ? ENGLISH_PARTS[word] : undefined;
  const value = /^[1-9][0-9]?$/.test(count) ? BigInt(count) : englishInteger(count);
  if (!part?.of.includes(currency) || value === undefined || value <= 0n) return undefined;
  const digits = value.toString().padStart(part.digits, '0');
  return digits.length === part.digits ? digits : undefined;
}

function chineseAmounts(text: string): readonly Amount[] {
  const found: Amount[] = [];
  for (const [name, currency] of CHINESE_CURRENCIES) {
    const said = text.endsWith(name) ? chineseNumber(text.slice(0, -name.length)) : undefined;
    if (said) found.push({ ...said, currency });
  }
  for (const form of YUAN_FORMS) {
    const parts = form.exec(text)?.groups;
    if (parts === undefined) continue;
    const said = parts['whole'] === undefined ? decimal('0') : chineseNumber(parts['whole']);
    const { jiao, fen, cents } = parts;
    const tail = cents ?? (jiao || fen ? chineseDigit(jiao) + chineseDigit(fen) : '');
    if (said === undefined) continue;
    // Decimals and parts together are more digits than the fen has places, and so refused.
    found.push({ ...said, fraction: said.fraction + tail, currency: 'CNY' });
  }
  return found;
}

/** Digits with decimals, or Chinese numerals, with 点 and single numerals for decimals. */
function chineseNumber(text: string): Said | undefined {
  const [whole = '', digits, ...more] = text.split(/[点點]/);
  const integer = chineseInteger(whole);
  if (integer === undefined) return decimal(text);
  const fraction = digits === undefined ? '' : chineseDigits(digits);
  return fraction === undefined || more.length > 0 ? undefined : { whole: integer, fraction };
}

function chineseDigit(text: string | undefined): string {
  if (text === undefined) return '0';
  return /^[1-9]$/.test(text) ? text : String(chineseInteger(text) ?? 0n);
}

/** ASCII digits without sign, exponent, grouping or leading zeros. */
function decimal(text: string): Said | undefined {
  const [, whole, fraction = ''] = /^(0|[1-9][0-9]*)(?:\.([0-9]+))?$/.exec(text) ?? [];
  return whole === undefined ? undefined : { whole: BigInt(whole), fraction };
}

function byName(units: readonly (readonly [string, string])[]): ReadonlyMap<string, string> {
  return new Map(
    units.flatMap(([currency, names]) => names.split('|').map((name) => [name, currency] as const)),
  );
}
