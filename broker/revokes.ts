/**
 * Taking in a revoke: whoever carries it, the signature of the payer's wallet or of any of the
 * payer's devices counts, also of a suspended or expired one, because a revoke only takes away and
 * the one for a lost phone was signed long ago.
 */
import { toHex } from '../src/bytes.ts';
import { PaymentError } from '../src/errors.ts';
import { revoke as revokeKind } from '../src/objects/revoke.ts';
import type { Identities } from './identities.ts';
import type { Receipts } from './receipts.ts';
import type { Store } from './store/port.ts';

/** The answer, and the runs that were refused just now and wait for their receipt. */
export type RevokeTaken = Readonly<{ receipt: Uint8Array; refused: readonly string[] }>;

/** Throws only when it cannot be verified or the store cannot say (`unavailable`). */
export async function takeRevoke(
  parts: Readonly<{ store: Store; identities: Identities; receipts: Receipts }>,
  envelope: Uint8Array,
  nowMs: number,
): Promise<RevokeTaken> {
  const { store, receipts } = parts;
  const { id, value, signer } = await parts.identities.openAny(revokeKind, envelope);
  const payer = toHex(value.payer);
  try {
    const { role, payer: own } = signer.statement;
    if (signer.status === 'revoked') throw new PaymentError('revoked', 'its key is revoked');
    if ((role !== 'wallet' && role !== 'device') || !own || toHex(own) !== payer) {
      throw new PaymentError('role_forbidden', 'only wallet and devices of the payer revoke');
    }
    const target =
      value.mandate === undefined ? { epoch: value.epoch! } : { mandate: value.mandate };
    const ended = await store.revoke({ id, payer, target, envelope, nowMs });
    if (ended.receipt) return { receipt: ended.receipt, refused: [] };
    const signed = await receipts.sign({
      iat: Math.floor(nowMs / 1000),
      subject: id,
      outcome: 'granted',
      ...(ended.running.length > 0 && { running: ended.running }),
    });
    const receipt = await store.putRevokeReceipt(id, signed, nowMs);
    return { receipt, refused: ended.refused };
  } catch (error) {
    if (!(error instanceof PaymentError) || error.reason === 'unavailable') throw error;
    return { receipt: await receipts.refused(id, error.reason), refused: [] };
  }
}
