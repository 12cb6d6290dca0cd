/**
 * How a mandate stands, as people read it: its status and what is left of each window, as the
 * bridge tells them (broker/standing.ts).
 */
import { COUNT_UNLIMITED } from '../limits.ts';
import { formatDecimal } from '../money.ts';
import { utc } from '../sentences.ts';
import { spanText } from '../wallet.ts';
import { type MandateView, bar, moneyText } from './operator.ts';

/** A mandate of a chain, a line for each window. */
export function viewLines(view: MandateView, isParent: boolean): readonly string[] {
  const { id, status, currency, windows } = view;
  return [
    `${isParent ? 'parent ' : ''}mandate ${id} is ${STATUS_WORDS[status]}`,
    `  of payer ${view.payer}, epoch ${view.epoch}, for key ${view.cnf.slice(0, 16)}, ` +
      `until ${utc(view.until)}`,
    `  at most ${moneyText(view.perPaymentMax, currency)} per payment, ` +
      `paid by ${view.backends.join(', then ')}`,
    ...windows.map((window) => {
      const gauge = bar(BigInt(window.used), BigInt(window.max));
      const text = MAY_PAY.has(status) || status === 'finished' ? leftText : usedText;
      return `  ${gauge} ${periodText(window)}: ${text(window, currency)}`;
    }),
  ];
}

/** Each status in words. */
export const STATUS_WORDS: Readonly<Record<MandateView['status'], string>> = Object.freeze({
  active: 'active',
  suspended: 'suspended: it can be resumed',
  revoked: 'revoked: for good',
  expired: 'expired',
  finished: 'finished: its total is used up',
});

/** What may still pay, at once or after a resume; of the others nothing is "left". */
export const MAY_PAY: ReadonlySet<MandateView['status']> = new Set(['active', 'suspended']);

type WindowView = MandateView['windows'][number];

/** What is left of a window: amount and payments. */
export function leftText({ max, used, count, usedCount }: WindowView, currency: string): string {
  const left = BigInt(max) - BigInt(used);
  const amount = formatDecimal({ currency, minor: left < 0n ? 0n : left });
  const payments =
    count === COUNT_UNLIMITED ? '' : ` and ${Math.max(0, count - usedCount)} of ${count} payments`;
  return `${amount} of ${moneyText(max, currency)}${payments} left`;
}

function usedText({ max, used, count, usedCount }: WindowView, currency: string): string {
  const amount = formatDecimal({ currency, minor: BigInt(used) });
  const payments = count === COUNT_UNLIMITED ? '' : ` and ${usedCount} of ${count} payments`;
  return `${amount} of ${moneyText(max, currency)}${payments} used`;
}

/** A window's period; seconds of a rolling one in a unit that people use. */
export function periodText({ period }: WindowView): string {
  const [, seconds] = /^any ([0-9]+) s$/.exec(period) ?? [];
  return seconds === undefined ? period : `any ${spanText(Number(seconds), 'en')}`;
}
