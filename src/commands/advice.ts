/**
 * What a person can do about a refusal: `saytap mandate check` tells it beside the reason.
 *
 * One line for each reason that a mandate can be refused with; of a window also when it fills up.
 */
import type { Checked, MandateView } from './operator.ts';

/** The refusal, and what a person can do about it. */
export function refusalText(
  { reason, why }: Extract<Checked, { allowed: false }>,
  { windows }: MandateView,
): string {
  const words = why.charAt(0).toUpperCase() + why.slice(1);
  const [, number] = /^window (\d+) /.exec(why) ?? [];
  const period = number === undefined ? undefined : windows[Number(number) - 1]?.period;
  return `Refused: ${reason}. ${words}. ${adviceOn(reason, period)}`;
}

function adviceOn(reason: string, period: string | undefined): string {
  switch (reason) {
    case 'limit_window':
    case 'limit_count': {
      const wait =
        period === undefined || period === 'in all'
          ? 'It does not fill up again'
          : period.startsWith('any')
            ? 'It fills up as earlier payments grow older'
            : 'It is full again when the period of its calendar begins anew';
      const less = reason === 'limit_window' ? 'pay less, or ' : '';
      return `${wait}; ${less}have the wallet sign another mandate.`;
    }
    default:
      return ADVICE[reason] ?? 'PROTOCOL.md section 8 tells what to do about this reason.';
  }
}

const ADVICE: Readonly<Record<string, string>> = Object.freeze({
  limit_per_payment: 'Pay an amount within it, or have the wallet sign another mandate.',
  limit_gap: 'Wait until then.',
  presence_too_low:
    'Confirm more strongly, or have the wallet sign a mandate for this order (create --once).',
  scope_payee:
    'Have the wallet sign a mandate that names this payee, or have its terminal enrolled.',
  scope_category: 'Have the wallet sign a mandate for this category.',
  scope_terminal: 'Name a terminal that the payee has, or have the wallet sign another mandate.',
  scope_channel: 'Ask in another way, or have the wallet sign a mandate for this one.',
  order_unknown: 'Have the terminal send its order to the bridge, then ask again.',
  order_mismatch: 'Name payee, terminal and amount as the order does.',
  order_expired: 'Have the terminal make a new order.',
  order_paid: 'Nothing is left to pay.',
  order_claimed: 'Wait for the other payment of this order to end.',
  mandate_unknown: 'Hand the mandate in (saytap mandate submit), and have its key enrolled.',
  currency_mismatch: 'Pay in the currency of the mandate.',
  expired: 'Have the wallet sign a new mandate.',
  not_yet_valid: 'Wait until then.',
  suspended: 'Resume it: saytap mandate resume, or saytap keys resume for a key.',
  revoked: 'This is for good: have the wallet sign a new mandate.',
});
