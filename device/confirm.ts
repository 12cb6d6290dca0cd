/**
 * What a person must do to confirm, and what the person is shown. Pure.
 *
 * The frame is drawn from the request's own fields, the very ones that get signed, so that what you
 * see is what you sign. The ladder is the strictest of all policies and of the mandate; a device or
 * an intent may only tighten it.
 */
import { PaymentError } from '../src/errors.ts';
import { type Money, formatMoney } from '../src/money.ts';
import type { Presence } from '../src/objects/key.ts';
import type { Order, OrderLine } from '../src/objects/order.ts';
import type { Band, Policy } from '../src/objects/policy.ts';
import type { Request } from '../src/objects/request.ts';
import { type Directory, displayName } from './payees.ts';

/** What the surface shows before anything is signed. */
export type Frame = Readonly<{
  /** Display name of the payee, from its terminal's Key statement. */
  payee: string;
  /** The amount in the person's language with its currency. */
  amount: string;
  /** Lines of the order, if any: "2 × Latte 40.00 yuan". */
  lines: readonly string[];
  /**
   * P1: a spoken confirmation is enough. P2: a physical act on this device is needed. P3: and then
   * the device's PIN, or a phrase matched to the speaker.
   */
  needs: Needs;
}>;

/** The presence that a confirmation on a device can be asked for. */
export type Needs = 1 | 2 | 3;

/** The part of a request that a person confirms. */
export type Terms = Pick<Request, 'amount' | 'payee' | 'terminal' | 'order'> &
  Readonly<{ amount: Money }>;

/**
 * The presence that this amount needs on a device that can prove at most `able`. Throws
 * `presence_too_low` when no confirmation here would be strong enough.
 */
export function levelNeeded(
  policies: readonly Policy[],
  mandate: readonly Band[],
  amount: Money,
  able: Presence,
): Needs {
  const ladders = policies.map((policy) =>
    policy.ladders.find(({ currency }) => currency === amount.currency),
  );
  const needed = [mandate, ...ladders.map((ladder) => ladder?.bands)].map(
    (bands) => bands?.find(({ ceiling }) => amount.minor <= ceiling)?.level ?? 4,
  );
  const strictest = Math.max(1, ...needed);
  if (strictest > able || strictest > 3) {
    throw new PaymentError('presence_too_low', `this amount needs P${strictest}`);
  }
  return strictest as Needs;
}

/** The frame for these terms; `order` is the verified order that they name. */
export function frameOf(
  terms: Terms,
  order: Order | undefined,
  needs: Needs,
  directory: Directory,
  language: 'en' | 'zh',
): Frame {
  const payee = directory.byId(terms.payee);
  if (!payee) throw new PaymentError('scope_payee', 'the payee is not in the directory');
  return Object.freeze({
    payee: isolated(displayName(payee, language)),
    amount: formatMoney(terms.amount, language),
    lines: linesOf(order?.lines ?? [], terms.amount.currency, language),
    needs,
  });
}

/** Lines of an order as a person reads them: "2 × Latte  40.00 yuan". */
export function linesOf(
  lines: readonly OrderLine[],
  currency: string,
  language: 'en' | 'zh',
): readonly string[] {
  return lines.map(
    ({ text, quantity, total }) =>
      `${quantity} × ${isolated(text)}  ${formatMoney({ currency, minor: total }, language)}`,
  );
}

/** Whether two frames say the same to a person. */
export function sameFrame(a: Frame, b: Frame): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/**
 * Text of a right-to-left script in isolates (UAX #9 §2.5), so that on the screen it turns itself
 * and not the amount beside it.
 */
function isolated(text: string): string {
  return RIGHT_TO_LEFT.test(text) ? `\u2068${text}\u2069` : text;
}

const RIGHT_TO_LEFT =
  /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;
