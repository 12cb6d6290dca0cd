/**
 * What the form says, as the grant that is signed; pure. A person types amounts as `20` or `20.00`,
 * and whatever does not fit is told of its own field, before anything is signed.
 */
import { PaymentError } from '../../../src/errors.ts';
import { CLOCK_SKEW_S } from '../../../src/limits.ts';
import { parseDecimal } from '../../../src/money.ts';
import { mandate as mandateKind } from '../../../src/objects/mandate.ts';
import { CHANNELS } from '../../../src/objects/request.ts';
import type { Grant } from '../../../src/wallet.ts';

/** The fields of the form, as they were typed. */
export type Wish = Readonly<{
  perPayment: string;
  perDay: string;
  timesPerDay: string;
  total: string;
  /** Up to this amount a word is enough; empty: never. */
  byVoice: string;
  days: string;
  /** Empty: every enrolled payee. */
  payees: readonly string[];
}>;

/** What the form does not ask. */
export type Around = Readonly<{
  cnf: string;
  funding: string;
  currency: string;
  zone: string;
  epoch: number;
  nowS: number;
}>;

export type Fault = Readonly<{ field: keyof Wish; kind: 'amount' | 'number' | 'order' | 'whole' }>;

/** What the form starts with. */
export const USUAL: Wish = Object.freeze({
  perPayment: '200',
  perDay: '500',
  timesPerDay: '20',
  total: '2000',
  byVoice: '20',
  days: '30',
  payees: [],
});

/** The grant that a wish comes to, or which field is wrong and how. */
export function grantOf(
  wish: Wish,
  around: Around,
): Readonly<{ grant: Grant }> | Readonly<{ fault: Fault }> {
  const { currency, nowS, zone } = around;
  const perPayment = amountOf(wish.perPayment, currency);
  const perDay = amountOf(wish.perDay, currency);
  const total = amountOf(wish.total, currency);
  const byVoice = wish.byVoice.trim() === '' ? 0n : amountOf(wish.byVoice, currency);
  const times = wholeOf(wish.timesPerDay, 999);
  const days = wholeOf(wish.days, 365);
  if (perPayment === undefined || perPayment === 0n) return fault('perPayment', 'amount');
  if (perDay === undefined) return fault('perDay', 'amount');
  if (total === undefined) return fault('total', 'amount');
  if (byVoice === undefined) return fault('byVoice', 'amount');
  if (times === undefined) return fault('timesPerDay', 'number');
  if (days === undefined) return fault('days', 'number');
  if (perDay < perPayment) return fault('perDay', 'order');
  if (total < perDay) return fault('total', 'order');
  if (byVoice > perPayment) return fault('byVoice', 'order');
  const grant: Grant = {
    nbf: nowS - CLOCK_SKEW_S,
    exp: nowS + days * 86_400,
    iat: nowS,
    cnf: around.cnf,
    funding: around.funding,
    currency,
    perPaymentMax: perPayment,
    channels: CHANNELS.voice | CHANNELS.tap | CHANNELS.look | CHANNELS.touch,
    windows: [
      { kind: 'total', max: total, count: times * days },
      { kind: 'calendar', period: 'day', zone, max: perDay, count: times },
    ],
    allow:
      wish.payees.length === 0
        ? [{ kind: 'any' }]
        : wish.payees.map((payee) => ({ kind: 'payee', payee }) as const),
    bands: [
      ...(byVoice > 0n && byVoice < perPayment ? [{ ceiling: byVoice, level: 1 } as const] : []),
      { ceiling: perPayment, level: byVoice === perPayment ? 1 : 2 },
    ],
    epoch: around.epoch,
  };
  try {
    mandateKind.encode({ ...grant, textDigest: new Uint8Array(32) });
  } catch (error) {
    if (!(error instanceof PaymentError)) throw error;
    return fault('payees', 'whole');
  }
  return { grant };
}

function fault(field: Fault['field'], kind: Fault['kind']): Readonly<{ fault: Fault }> {
  return { fault: { field, kind } };
}

function amountOf(text: string, currency: string): bigint | undefined {
  try {
    return parseDecimal(text.trim(), currency);
  } catch (error) {
    if (!(error instanceof PaymentError)) throw error;
    return undefined;
  }
}

function wholeOf(text: string, most: number): number | undefined {
  if (!/^[1-9][0-9]{0,2}$/.test(text.trim())) return undefined;
  const value = Number(text);
  return value <= most ? value : undefined;
}
