/**
 * The verdict on what acts on an earlier payment: capture, void and refund. Pure.
 *
 * Whoever gives something up must have signed. A capture takes what the payer agreed to when it was
 * held, so the payee may ask for it, or the key that held it while its mandate still counts. A void
 * and a refund give up the payee's claim or money, so only a terminal of the payee may ask, and no
 * limit of the payer stands in the way: the money goes back to where it came from. A refund frees
 * no window; otherwise paying and refunding in turns would get around every limit.
 */
import { PaymentError, type Reason } from '../src/errors.ts';
import type { Request } from '../src/objects/request.ts';
import { requireChain } from './mandates.ts';
import type { Facts, Original, Payment, Verdict } from './store/port.ts';

/** As `judge`, for a request that names an original. Throws PaymentError for a refusal. */
export function judgeOriginal(request: Request, facts: Facts): Verdict {
  const { original } = facts;
  // Another payee's payment is answered like none: nobody learns that it exists.
  if (!original || original.request.payee !== request.payee) {
    throw refused('original_unknown', 'this payee has no such payment');
  }
  // What was paid for an order is told to its terminal when it is paid, and never again.
  if (request.order !== undefined) {
    throw refused('order_mismatch', 'only a payment names an order');
  }
  requireAuthority(request, facts, original);
  const { payment, backend } = original;
  if (!payment || backend === undefined) {
    throw refused('original_busy', 'what became of the earlier payment is not known yet');
  }
  if (original.request.amount?.currency !== request.amount?.currency) {
    throw refused('currency_mismatch', `it was in ${original.request.amount?.currency}`);
  }
  requireMoney(request, payment, facts);
  return {
    kind: 'accept',
    presence: 0,
    channel: request.channel,
    reservations: [],
    remaining: [],
    funding: original.funding,
    payer: original.payer,
    backends: [backend],
  };
}

function requireAuthority(request: Request, facts: Facts, original: Original): void {
  const { statement, name } = facts.identity;
  if (statement.role === 'terminal') {
    if (statement.payee !== request.payee) {
      throw refused('original_unknown', 'this terminal belongs to another payee');
    }
    if (request.terminal !== undefined && request.terminal !== statement.terminal) {
      throw refused('scope_terminal', 'it names another terminal than signed it');
    }
    return;
  }
  // The bridge ends a hold that is over.
  if (statement.role === 'bridge' && request.action === 'void') return;
  const speaks = statement.role === 'device' || statement.role === 'agent';
  if (!speaks || request.action !== 'capture' || name !== original.key) {
    throw refused('role_forbidden', `only a terminal of ${request.payee} may ask for this`);
  }
  requireChain(request, facts);
}

function requireMoney(request: Request, payment: Payment, { nowMs }: Facts): void {
  const minor = request.amount!.minor;
  const { held, captured, refunding, refunded, holdUntilMs, acting } = payment;
  if (request.action === 'refund') {
    if (refunding + refunded + minor > captured) {
      throw refused('refund_exceeds', `${captured - refunding - refunded} minor units are left`);
    }
    return;
  }
  if (held === 0n) throw refused('not_held', 'nothing is held any more');
  if (acting !== undefined) throw refused('original_busy', 'a capture or void of it is under way');
  // Giving the money back is never too late.
  if (nowMs >= holdUntilMs && request.action === 'capture') {
    throw refused('expired', 'the hold is over');
  }
  if (minor > held || (request.action === 'void' && minor !== held)) {
    throw refused('capture_exceeds', `${held} minor units are held`);
  }
}

function refused(reason: Reason, why: string): PaymentError {
  return new PaymentError(reason, why);
}
