/** The dispute file: everything about one payment, as a text or as a page to keep. */
import { type DisputeParts, collect } from './dispute/dispute.ts';
import { pageOf } from './dispute/page.ts';
import { sheetOf } from './dispute/sheet.ts';

/**
 * Writes what is known of the payment with this request id or order id, and proves it again.
 * Throws PaymentError `original_unknown` when there is none.
 */
export async function disputeFile(
  parts: DisputeParts,
  id: string,
  form: 'text' | 'html',
): Promise<Readonly<{ text: string }>> {
  const dispute = await collect(parts, id);
  return { text: form === 'html' ? pageOf(dispute) : sheetOf(dispute) };
}
