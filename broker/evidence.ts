/** The dispute file: everything about one payment, as a text or as a page to keep. */
import { type DisputeParts, collect } from './dispute/dispute.ts';
import { visible } from './dispute/glyphs.ts';
import { pageOf } from './dispute/page.ts';
import { appendixOf, sheetOf } from './dispute/sheet.ts';

/** `appendix` proves a text again without this program; a page has it inside. */
export type DisputeFile = Readonly<{
  text: string;
  appendix: string;
  /** The checks that do not hold, a line for each. */
  failed: readonly string[];
}>;

/**
 * Writes what is known of the payment with this request id or order id, and proves it again.
 * Throws PaymentError `original_unknown` when there is none.
 */
export async function disputeFile(
  parts: DisputeParts,
  id: string,
  form: 'text' | 'html',
): Promise<DisputeFile> {
  const dispute = await collect(parts, id);
  const failed = dispute.checks
    .filter(({ holds }) => holds === false)
    .map(({ what, why }) => visible(why === undefined ? what : `${what}: ${why}`));
  return form === 'html'
    ? { text: pageOf(dispute), appendix: '', failed }
    : { text: sheetOf(dispute), appendix: appendixOf(dispute), failed };
}
