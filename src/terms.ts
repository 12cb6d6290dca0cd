/**
 * A mandate as a person asks for it: amounts as people write them, and what is left out filled in.
 *
 * Two ways lead here, the options of `saytap mandate create` and a file with the same fields, so
 * both are texts until this point. A child starts from everything that its parent says, a mandate
 * for one order from the order: nobody types again what is signed already.
 */
import * as z from 'zod/mini';
import { UsageError } from './command.ts';
import { parseConfig } from './config.ts';
import { PaymentError } from './errors.ts';
import { CLOCK_SKEW_S, COUNT_UNLIMITED } from './limits.ts';
import { CURRENCIES, formatMoney, parseDecimal } from './money.ts';
import type { Presence } from './objects/key.ts';
import {
  type Mandate,
  type Period,
  type Scope,
  type Window,
  PERIODS,
  mandate as mandateKind,
} from './objects/mandate.ts';
import type { Order } from './objects/order.ts';
import type { Band } from './objects/policy.ts';
import { CHANNELS, type Channel } from './objects/request.ts';
import { parseTime } from './root.ts';
import type { Grant } from './wallet.ts';

const amount = z.optional(z.string('an amount in quotes, as "20.00"'));
const limit = z.optional(z.string('an amount and a count in quotes, as "500.00/20"'));
const text = z.optional(z.string());
const texts = z.optional(z.array(z.string('a text in quotes')));
const whole = z.optional(z.int('a whole number').check(z.minimum(1)));

const termsText = z.strictObject({
  funding: text,
  currency: text,
  /** Most and least of one payment. */
  perPayment: amount,
  perPaymentMin: amount,
  /** Windows: AMOUNT or AMOUNT/COUNT. */
  total: limit,
  perDay: limit,
  perWeek: limit,
  perMonth: limit,
  perQuarter: limit,
  perYear: limit,
  /** IANA time zone of the calendar windows. */
  zone: text,
  /** Rolling windows: SECONDS:AMOUNT/COUNT; also 10m, 2h, 7d. */
  within: texts,
  /** Time between two payments, as the seconds of `within`. */
  gap: text,
  payee: texts,
  category: texts,
  terminal: texts,
  order: texts,
  denyPayee: texts,
  denyCategory: texts,
  denyTerminal: texts,
  /** AMOUNT=P1: up to this amount this presence is enough. */
  band: texts,
  channel: texts,
  from: text,
  until: text,
  days: whole,
  epoch: whole,
});

/** What a person says of a mandate; a field that is left out gets its usual value. */
export type Terms = {
  readonly [Field in keyof Written]?: Readonly<Written[Field]>;
};
type Written = z.infer<typeof termsText>;

/** What the person does not type. */
export type About = Readonly<{
  /** Thumbprint of the key that may ask. */
  cnf: string;
  nowS: number;
  /** The mandate that this one is handed on from. */
  parent?: Readonly<{ id: string; mandate: Mandate }>;
  /** The one order that this mandate is for. */
  once?: Readonly<{ id: string; order: Order }>;
}>;

/** Terms from a YAML text; throws OperatorError `config` that lists every problem. */
export function readTerms(source: string, file: string): Terms {
  return parseConfig(termsText, source, file);
}

/**
 * The grant that the terms come to. Throws UsageError for what is missing, does not fit, or is
 * what no mandate may say.
 */
export function grantOf(terms: Terms, about: About): Grant {
  const { parent, once, cnf, nowS } = about;
  if (once) return grantOnce(terms, about, once);
  const base = parent?.mandate;
  const currency = needed(terms.currency ?? base?.currency, '--currency');
  if (!CURRENCIES.includes(currency)) {
    throw new UsageError(`--currency is an ISO 4217 code, as CNY; ${currency} is not in use`);
  }
  if (base && currency !== base.currency) {
    throw new UsageError(`the parent is in ${base.currency}: leave --currency out`);
  }
  if (base && terms.funding !== undefined && terms.funding !== base.funding) {
    throw new UsageError('a child spends from its parent: leave --funding out');
  }
  const perPaymentMax =
    amountOf(terms.perPayment, currency, '--per-payment') ?? base?.perPaymentMax;
  if (perPaymentMax === undefined) throw new UsageError('--per-payment is needed');
  const perPaymentMin =
    amountOf(terms.perPaymentMin, currency, '--per-payment-min') ?? base?.perPaymentMin;
  const gap = terms.gap === undefined ? base?.gap : secondsOf(terms.gap, '--gap');
  const own = windowsOf(terms, currency);
  const windows = own.length > 0 ? own : (base?.windows ?? []);
  if (windows.length === 0) {
    throw new UsageError('a limit over time is needed: --total, --per-day … --per-year, --within');
  }
  const allow = allowOf(terms);
  const deny = [...(base?.deny ?? []), ...denyOf(terms)];
  const grant: Grant = {
    ...timesOf(terms, nowS, base),
    iat: nowS,
    cnf,
    funding: needed(terms.funding ?? base?.funding, '--funding'),
    currency,
    perPaymentMax,
    ...(perPaymentMin !== undefined && { perPaymentMin }),
    channels: channelsOf(terms.channel) ?? base?.channels ?? WITH_A_PERSON,
    windows,
    allow: allow.length > 0 ? allow : (base?.allow ?? [{ kind: 'any' }]),
    ...(deny.length > 0 && { deny }),
    bands: bandsOf(terms.band, currency) ?? base?.bands ?? [{ ceiling: perPaymentMax, level: 2 }],
    ...(gap !== undefined && { gap }),
    ...(parent && { parent: parent.id }),
    epoch: terms.epoch ?? base?.epoch ?? 1,
  };
  return sayable(grant);
}

/**
 * What a person may overlook: limits that never come to bear, because a smaller one of the same
 * mandate or of its parent does first. Sentences to show before the question, if any.
 */
export function notesOn(grant: Grant, parent: Mandate | undefined): readonly string[] {
  const { currency, perPaymentMax, windows } = grant;
  const money = (minor: bigint) => formatMoney({ currency, minor }, 'en');
  const smallest = (some: readonly Window[]) =>
    some.reduce<bigint | undefined>(
      (least, { max }) => (least === undefined || max < least ? max : least),
      undefined,
    );
  const own = smallest(windows);
  const above = parent && smallest(parent.windows);
  return [
    ...(own !== undefined && own < perPaymentMax
      ? [`NOTE: a limit over time is ${money(own)}, so no payment above that is ever made.`]
      : []),
    ...(parent && parent.perPaymentMax < perPaymentMax
      ? [
          `NOTE: the parent allows at most ${money(parent.perPaymentMax)} per payment, and no ` +
            'more than that is ever paid.',
        ]
      : []),
    ...(above !== undefined && above < perPaymentMax && above !== own
      ? [
          `NOTE: a limit over time of the parent is ${money(above)}, so no payment above that is ` +
            'ever made.',
        ]
      : []),
  ];
}

/** The words for each window that repeats with the calendar. */
const CALENDAR: Readonly<
  Record<
    Period,
    readonly [field: 'perDay' | 'perWeek' | 'perMonth' | 'perQuarter' | 'perYear', string]
  >
> = {
  day: ['perDay', '--per-day'],
  week: ['perWeek', '--per-week'],
  month: ['perMonth', '--per-month'],
  quarter: ['perQuarter', '--per-quarter'],
  year: ['perYear', '--per-year'],
};

/** A mandate that pays one order once; the wallet's own signature is its confirmation (P4). */
function grantOnce(
  terms: Terms,
  { cnf, nowS }: About,
  { id, order }: Readonly<{ id: string; order: Order }>,
): Grant {
  const said = Object.entries(terms).filter(
    ([, value]) => value !== undefined && !(Array.isArray(value) && value.length === 0),
  );
  const extra = said.map(([name]) => name).filter((name) => !MAY_GO_WITH_ONCE.has(name));
  if (extra.length > 0) {
    throw new UsageError(`the order says everything with --once: leave out ${extra.join(', ')}`);
  }
  if (order.exp <= nowS)
    throw new UsageError('the order is over: have its terminal make a new one');
  const { minor, currency } = order.amount;
  return sayable({
    nbf: nowS - CLOCK_SKEW_S,
    exp: order.exp,
    iat: nowS,
    cnf,
    funding: needed(terms.funding, '--funding'),
    currency,
    perPaymentMax: minor,
    perPaymentMin: minor,
    channels: channelsOf(terms.channel) ?? WITH_A_PERSON,
    windows: [{ kind: 'total', max: minor, count: 1 }],
    allow: [
      { kind: 'payee', payee: order.payee },
      { kind: 'terminal', terminal: order.terminal },
      { kind: 'order', order: id },
    ],
    bands: [{ ceiling: minor, level: 4 }],
    epoch: terms.epoch ?? 1,
  });
}

const MAY_GO_WITH_ONCE = new Set(['funding', 'channel', 'epoch']);

const WITH_A_PERSON = CHANNELS.voice | CHANNELS.tap | CHANNELS.look | CHANNELS.touch;

function windowsOf(terms: Terms, currency: string): readonly Window[] {
  const { zone = 'UTC' } = terms;
  const windows: Window[] = [];
  if (terms.total !== undefined) {
    windows.push({ kind: 'total', ...limitOf(terms.total, currency, '--total') });
  }
  for (const period of Object.keys(PERIODS) as Period[]) {
    const [field, option] = CALENDAR[period];
    const value = terms[field];
    if (value === undefined) continue;
    windows.push({ kind: 'calendar', period, zone, ...limitOf(value, currency, option) });
  }
  if (windows.some(({ kind }) => kind === 'calendar')) requireZone(zone);
  else if (terms.zone !== undefined)
    throw new UsageError('--zone goes with --per-day … --per-year');
  for (const value of terms.within ?? []) {
    const [span = '', rest] = value.split(':', 2);
    if (rest === undefined) throw new UsageError('--within is as 600:300.00/3, or 10m:300.00/3');
    const seconds = secondsOf(span, '--within');
    windows.push({ kind: 'rolling', seconds, ...limitOf(rest, currency, '--within') });
  }
  return windows;
}

function limitOf(value: string, currency: string, option: string) {
  const [most = '', count, ...more] = value.split('/');
  if (more.length > 0 || (count !== undefined && !/^[1-9][0-9]{0,5}$/.test(count))) {
    throw new UsageError(`${option} is as 500.00 or 500.00/20: an amount and a number of payments`);
  }
  const max = amountOf(most, currency, option)!;
  return { max, count: count === undefined ? COUNT_UNLIMITED : Number(count) };
}

function amountOf(value: string | undefined, currency: string, option: string) {
  if (value === undefined) return undefined;
  try {
    return parseDecimal(value, currency);
  } catch (error) {
    if (!(error instanceof PaymentError) || error.reason !== 'malformed') throw error;
    throw new UsageError(`${option} is ${error.message}, as 12.50`);
  }
}

function secondsOf(value: string, option: string): number {
  const [, count, unit = 's'] = /^([1-9][0-9]{0,8})([smhd])?$/.exec(value) ?? [];
  if (count === undefined) throw new UsageError(`${option} is seconds, or as 10m, 2h or 7d`);
  return Number(count) * { s: 1, m: 60, h: 3_600, d: 86_400 }[unit as 's' | 'm' | 'h' | 'd'];
}

function requireZone(zone: string): void {
  try {
    new Intl.DateTimeFormat('en', { timeZone: zone });
  } catch {
    throw new UsageError(`--zone is a time zone, as Asia/Shanghai; ${zone} is not known here`);
  }
}

function allowOf(terms: Terms): readonly Scope[] {
  return [
    ...(terms.payee ?? []).map((payee) => ({ kind: 'payee', payee }) as const),
    ...(terms.category ?? []).map((code) => categoryOf(code, '--category')),
    ...(terms.terminal ?? []).map((terminal) => ({ kind: 'terminal', terminal }) as const),
    ...(terms.order ?? []).map((order) => ({ kind: 'order', order: idOf(order) }) as const),
  ];
}

function denyOf(terms: Terms): readonly Scope[] {
  return [
    ...(terms.denyPayee ?? []).map((payee) => ({ kind: 'payee', payee }) as const),
    ...(terms.denyCategory ?? []).map((code) => categoryOf(code, '--deny-category')),
    ...(terms.denyTerminal ?? []).map((terminal) => ({ kind: 'terminal', terminal }) as const),
  ];
}

function idOf(order: string): string {
  if (/^[0-9a-f]{32}$/.test(order)) return order;
  throw new UsageError('--order is the id of an order: 32 hexadecimal digits');
}

function categoryOf(code: string, option: string): Scope {
  if (!/^[0-9]{4}$/.test(code)) throw new UsageError(`${option} is four digits, as 5814`);
  return { kind: 'category', category: Number(code) };
}

function bandsOf(
  values: readonly string[] | undefined,
  currency: string,
): readonly Band[] | undefined {
  if (!values || values.length === 0) return undefined;
  const bands = values.map((value) => {
    const [, ceiling, level] = /^([^=]+)=P([0-4])$/.exec(value) ?? [];
    if (ceiling === undefined) throw new UsageError('--band is as 20.00=P1');
    return { ceiling: amountOf(ceiling, currency, '--band')!, level: Number(level) as Presence };
  });
  const isRising = bands.every(({ ceiling, level }, at) => {
    const before = bands[at - 1];
    return !before || (ceiling > before.ceiling && level > before.level);
  });
  if (!isRising) {
    throw new UsageError('--band rises in amount and in level: --band 20=P1 --band 200=P2');
  }
  return bands;
}

function channelsOf(values: readonly string[] | undefined): number | undefined {
  if (!values || values.length === 0) return undefined;
  return values.reduce((mask, value) => {
    if (!Object.hasOwn(CHANNELS, value)) {
      throw new UsageError(`--channel is one of ${Object.keys(CHANNELS).join(', ')}`);
    }
    return mask | CHANNELS[value as Channel];
  }, 0);
}

function timesOf(
  { from, until, days }: Terms,
  nowS: number,
  parent: Mandate | undefined,
): Readonly<{ nbf: number; exp: number }> {
  if (until !== undefined && days !== undefined) {
    throw new UsageError('--days and --until exclude each other');
  }
  const nbf = from === undefined ? nowS - CLOCK_SKEW_S : timeOf(from, '--from');
  const length = (days ?? 1) * 86_400;
  const wanted = until === undefined ? Math.max(nbf, nowS) + length : timeOf(until, '--until');
  // A child that outlives its parent would only be told as longer than it is.
  const exp = parent ? Math.min(wanted, parent.exp) : wanted;
  if (exp <= nowS || exp <= nbf) throw new UsageError('it would end before it begins');
  return { nbf: parent ? Math.max(nbf, parent.nbf) : nbf, exp };
}

function timeOf(value: string, option: string): number {
  const seconds = parseTime(value);
  if (seconds !== undefined) return seconds;
  throw new UsageError(`${option} is a date in UTC, as 2026-11-20 or 2026-11-20T09:30Z`);
}

function needed(value: string | undefined, option: string): string {
  if (value === undefined) throw new UsageError(`${option} is needed`);
  return value;
}

/** Refuses now, before anybody reads and agrees, what the codec would refuse to sign. */
function sayable(grant: Grant): Grant {
  try {
    mandateKind.encode({ ...grant, textDigest: new Uint8Array(32) });
  } catch (error) {
    if (!(error instanceof PaymentError)) throw error;
    throw new UsageError(`no mandate can say this: ${error.message}`);
  }
  return grant;
}
