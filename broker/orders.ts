/**
 * Taking in an order: it is open until somebody pays it, and its terminal asks by sending it again.
 *
 * The first answer that ends an order is stored and stays its answer, a refusal too: what was
 * refused can never be paid when the same bytes come back.
 */
import { REASONS } from '../src/errors.ts';
import { order as orderKind } from '../src/objects/order.ts';
import { mayBePaidOrder } from './forgotten.ts';
import { type Identities, standing } from './identities.ts';
import type { Receipts } from './receipts.ts';
import type { Store } from './store/port.ts';

/** The receipt for the terminal: pending while it can be paid, else the last word. */
export async function takeOrder(
  parts: Readonly<{
    store: Store;
    identities: Identities;
    receipts: Receipts;
    restoredMs?: number;
  }>,
  device: string,
  envelope: Uint8Array,
  nowMs: number,
): Promise<Uint8Array> {
  const { store, receipts } = parts;
  const { id, value, signer } = await parts.identities.openFrom(device, orderKind, envelope);
  const { statement } = signer;
  const isOwn = statement.payee === value.payee && statement.terminal === value.terminal;
  const fault = standing(signer, nowMs) ?? (isOwn ? undefined : 'scope_terminal');
  // Stored either way: what was registered keeps its answer, and so does what was refused.
  const refusal = fault && (await receipts.refused(id, fault));
  const stored = await store.putOrder(id, device, envelope, nowMs, refusal);
  if (stored.receipt) return stored.receipt;
  // After a restore it may have been paid and forgotten: then nobody may say that it was not.
  const isUnsure = mayBePaidOrder(parts, value.exp, nowMs);
  if (stored.state === 'open' && nowMs / 1000 >= value.exp && !isUnsure) {
    const expired = await receipts.sign({
      iat: Math.floor(nowMs / 1000),
      subject: id,
      outcome: 'expired',
      reason: REASONS.order_expired,
    });
    const lastWord = await store.closeOrder(id, expired);
    if (lastWord) return lastWord;
  }
  return receipts.pending(id, 'in_progress');
}
