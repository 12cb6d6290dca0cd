/** What a wearer can look up on the device itself: receipts kept in the outbox, newest first. */
import { payloadOf } from '../src/cose.ts';
import { RECEIPTS_SEARCHED, RECEIPTS_SHOWN } from '../src/limits.ts';
import { formatMoney } from '../src/money.ts';
import { type Receipt, receipt as receiptKind } from '../src/objects/receipt.ts';
import type { Outbox } from './outbox.ts';
import type { Language } from './phrases.ts';

/** What each window of the mandate has left, by the newest receipt that says so. */
export function remaining(outbox: Outbox, language: Language): readonly string[] {
  const newest = lastReceipts(outbox, RECEIPTS_SEARCHED).find(
    (receipt) => receipt.remaining && receipt.amount,
  );
  return (newest?.remaining ?? []).map(({ amount }) =>
    formatMoney({ currency: newest!.amount!.currency, minor: amount }, language),
  );
}

/** The last few payments, a line each: when (UTC), how it ended, how much. */
export function receiptLines(outbox: Outbox, language: Language): readonly string[] {
  return lastReceipts(outbox, RECEIPTS_SHOWN).map(({ iat, outcome, amount }) => {
    const at = new Date(iat * 1000).toISOString().slice(0, 16).replace('T', ' ');
    return `${at}  ${outcome}${amount ? `  ${formatMoney(amount, language)}` : ''}`;
  });
}

/** They were verified when they were stored, perhaps under a key that is gone since. */
function lastReceipts(outbox: Outbox, count: number): readonly Receipt[] {
  return outbox.recent(count).map(({ receipt }) => receiptKind.decode(payloadOf(receipt!)));
}
