/** What a wearer can look up on the device itself, from what the outbox keeps, newest first. */
import { payloadOf } from '../src/cose.ts';
import { REASONS } from '../src/errors.ts';
import { RECEIPTS_SEARCHED, RECEIPTS_SHOWN } from '../src/limits.ts';
import { type Money, formatMoney } from '../src/money.ts';
import { type Receipt, receipt as receiptKind } from '../src/objects/receipt.ts';
import { type Request, request as requestKind } from '../src/objects/request.ts';
import type { Frame } from './confirm.ts';
import type { HeldMandate } from './mandates.ts';
import type { Entry, Outbox } from './outbox.ts';
import { type Directory, displayName } from './payees.ts';
import { type Language, phrases } from './phrases.ts';

/** What each window of a held mandate has left, by the newest receipt under one that says so. */
export function remaining(
  outbox: Outbox,
  held: readonly HeldMandate[],
  language: Language,
): readonly string[] {
  for (const { request, receipt } of lastEnded(outbox)) {
    const mandate = held.find(({ id }) => id === request.mandate)?.mandate;
    if (!mandate || !receipt.remaining) continue;
    const { currency } = mandate;
    return receipt.remaining.flatMap(({ amount: minor }, i) => {
      const window = mandate.windows[i];
      const amount = formatMoney({ currency, minor }, language);
      return window ? [phrases.leftOf(amount, window, language)] : [];
    });
  }
  return [];
}

/**
 * The last few payments, a line each: when (UTC), how it ended, how much. Before them those that
 * have not ended.
 */
export function receiptLines(outbox: Outbox, language: Language): readonly string[] {
  const open = openPayments(outbox).slice(-RECEIPTS_SHOWN).reverse();
  const ended = outbox.recent(RECEIPTS_SHOWN).map(receiptOf);
  return [
    ...open.map(({ entry, amount }) =>
      line(entry.storedMs, phrases.stillOpen(language), amount, language),
    ),
    ...ended.map(({ iat, outcome, amount }) => line(iat * 1000, outcome, amount, language)),
  ];
}

/** The part of a frame by which a payment is named afterwards. */
export type Named = Pick<Frame, 'payee' | 'amount'>;

/** As it was shown, or nearly: a shop that is gone since then has no display name. */
export function namePayment(
  { payee: id, amount }: Request,
  directory: Directory,
  language: Language,
): Named {
  const payee = directory.byId(id);
  return {
    payee: payee ? displayName(payee, language) : id,
    amount: formatMoney(amount!, language),
  };
}

/** A payment of the outbox; undefined for what is none. */
export function paymentOf(outbox: Outbox, id: string): Request | undefined {
  const entry = outbox.get(id);
  const request = entry?.kind === 'request' ? requestOf(entry) : undefined;
  return request?.action === 'pay' ? request : undefined;
}

/** Payments that were confirmed and have no final receipt, oldest first. */
export function openPayments(
  outbox: Outbox,
): readonly Readonly<{ entry: Entry; payee: string; amount: Money; mandate: string }>[] {
  return outbox.open().flatMap((entry) => {
    if (entry.kind !== 'request') return [];
    const { payee, amount, mandate, action } = requestOf(entry);
    return amount && action === 'pay' ? [{ entry, payee, amount, mandate }] : [];
  });
}

/**
 * Whether the bridge, when it last spoke of this mandate, did not take it, or left less of a window
 * than `amount`. It may be otherwise by now.
 */
export function wasDoubted(outbox: Outbox, mandate: string, amount: Money): boolean {
  const offered = outbox.get(mandate);
  if (offered?.receipt && receiptOf(offered).outcome === 'refused') return true;
  for (const { request, receipt: last } of lastEnded(outbox)) {
    if (request.mandate !== mandate) continue;
    if (last.outcome === 'refused') return SPENT.has(last.reason);
    return (last.remaining ?? []).some((left) => left.amount < amount.minor || left.count < 1);
  }
  return false;
}

/** Reasons for which another mandate may do where this one did not. */
const SPENT: ReadonlySet<number | undefined> = new Set([
  REASONS.revoked,
  REASONS.suspended,
  REASONS.mandate_unknown,
  REASONS.limit_window,
  REASONS.limit_count,
  REASONS.limit_gap,
]);

/**
 * Newest first, each read when it is asked for, because the newest is nearly always enough. They
 * were verified when they were stored, perhaps under a key that is gone since.
 */
function* lastEnded(outbox: Outbox): Iterable<Readonly<{ request: Request; receipt: Receipt }>> {
  const read = (entry: Entry) => ({ request: requestOf(entry), receipt: receiptOf(entry) });
  yield* outbox.recent(1).map(read);
  for (const entry of outbox.recent(RECEIPTS_SEARCHED).slice(1)) yield read(entry);
}

function requestOf({ envelope }: Entry): Request {
  return requestKind.decode(payloadOf(envelope));
}

function receiptOf({ receipt }: Entry): Receipt {
  return receiptKind.decode(payloadOf(receipt!));
}

function line(atMs: number, how: string, amount: Money | undefined, language: Language): string {
  const at = new Date(atMs).toISOString().slice(0, 16).replace('T', ' ');
  return `${at}  ${how}${amount ? `  ${formatMoney(amount, language)}` : ''}`;
}
