/**
 * Which of the mandates that a device holds a payment is made under. Pure.
 *
 * The bridge decides, with its counts and clock; here a person is spared a question that it would
 * surely answer with no. So whatever a device cannot know (a parent, a window, a gap) stops nothing
 * here, and of what the bridge said before it only learns which mandate to try last: a window may
 * have turned since, and a mandate may have been resumed.
 */
import { PaymentError, type Reason } from '../src/errors.ts';
import type { KeyStatement, Presence } from '../src/objects/key.ts';
import { type Mandate, type Scope, allowsChannel, scopeFault } from '../src/objects/mandate.ts';
import type { Policy } from '../src/objects/policy.ts';
import type { Channel } from '../src/objects/request.ts';
import { type Needs, type Terms, levelNeeded } from './confirm.ts';

/** A mandate that names this device's key. */
export type HeldMandate = Readonly<{
  id: string;
  mandate: Mandate;
  /** Whoever signed it (hex of its `kid`): by this one payer is told from another offline. */
  payer: string;
}>;

/** A payment that somebody wants to make, and what is known around it. */
export type Wanted = Readonly<{
  terms: Terms;
  channel: Channel;
  /** Seconds since 1970. */
  nowS: number;
  /** Every terminal of the payee that counts now. */
  terminals: readonly KeyStatement[];
  /** All that bind it. */
  policies: readonly Policy[];
  /** The most presence that this device can prove and its key may claim. */
  presenceMax: Presence;
}>;

/**
 * The mandate that permits this payment, and the presence that it needs; of several the one that
 * expires last, and before all others one that is not `isDoubted`. Throws `mandate_unknown` when
 * none is held, else the reason why the one that comes nearest does not permit it.
 */
export function chooseMandate(
  held: readonly HeldMandate[],
  wanted: Wanted,
  isDoubted: (id: string) => boolean,
): Readonly<{ held: HeldMandate; needs: Needs }> {
  const [best] = held
    .map((one) => ({ ...judge(one.mandate, wanted), one, isDoubted: isDoubted(one.id) }))
    .sort(
      (a, b) =>
        b.passed - a.passed ||
        Number(a.isDoubted) - Number(b.isDoubted) ||
        b.one.mandate.exp - a.one.mandate.exp,
    );
  if (!best) throw new PaymentError('mandate_unknown', 'this device holds no mandate');
  if (best.fault) throw best.fault;
  return { held: best.one, needs: presenceFor(best.one.mandate, wanted) };
}

/** How many checks a mandate passes, and the fault that ended it. */
type Judged = Readonly<{ passed: number; fault: PaymentError | undefined }>;

function judge(mandate: Mandate, wanted: Wanted): Judged {
  for (const [passed, check] of CHECKS.entries()) {
    try {
      check(mandate, wanted);
    } catch (fault) {
      if (!(fault instanceof PaymentError)) throw fault;
      return { passed, fault };
    }
  }
  return { passed: CHECKS.length, fault: undefined };
}

/** In the order of the bridge, but the currency first: other money is the worst fit of all. */
const CHECKS: readonly ((mandate: Mandate, wanted: Wanted) => void)[] = [
  requireCurrency,
  requireTime,
  requireChannel,
  requireScope,
  presenceFor,
  requireAmount,
];

function requireCurrency({ currency }: Mandate, { terms }: Wanted): void {
  if (currency !== terms.amount.currency) {
    throw new PaymentError('currency_mismatch', `the mandate is in ${currency}`);
  }
}

function requireTime({ nbf, exp }: Mandate, { nowS }: Wanted): void {
  if (nowS < nbf) throw new PaymentError('not_yet_valid', 'the mandate has not begun');
  // To a person an ended mandate is none; `expired` is said of what took too long.
  if (nowS >= exp) throw new PaymentError('mandate_unknown', 'the mandate has ended');
}

function requireChannel(mandate: Mandate, { channel }: Wanted): void {
  if (!allowsChannel(mandate, channel)) {
    throw new PaymentError('scope_channel', `the mandate does not allow ${channel}`);
  }
}

/** As the bridge does: without a named terminal, every one of the payee's may be meant. */
function requireScope(mandate: Mandate, { terms, terminals }: Wanted): void {
  const sellers = terminals.filter(
    ({ terminal }) => terms.terminal === undefined || terminal === terms.terminal,
  );
  if (sellers.length === 0) throw new PaymentError('scope_payee', 'no such terminal is known');
  const fault = scopeFault(mandate, terms, sellers);
  if (!fault) return;
  const verb = fault.isDenied ? 'denies' : 'does not allow';
  throw new PaymentError(SCOPE_REASONS[fault.kind], `the mandate ${verb} this ${fault.kind}`);
}

const SCOPE_REASONS: Readonly<Record<Scope['kind'], Reason>> = Object.freeze({
  payee: 'scope_payee',
  category: 'scope_category',
  terminal: 'scope_terminal',
  // Nothing is wrong with the order: no mandate is for it.
  order: 'mandate_unknown',
  any: 'scope_payee',
});

function presenceFor({ bands }: Mandate, { policies, terms, presenceMax }: Wanted): Needs {
  return levelNeeded(policies, bands, terms.amount, presenceMax);
}

function requireAmount({ perPaymentMax, perPaymentMin = 1n }: Mandate, { terms }: Wanted): void {
  const { minor } = terms.amount;
  if (minor > perPaymentMax || minor < perPaymentMin) {
    throw new PaymentError('limit_per_payment', 'the mandate does not allow this amount');
  }
}
