/**
 * Taking in a mandate: is it the payer's, and does the funding belong to the payer's wallet?
 *
 * Whoever carries the envelope here does not matter; the wallet's signature does. A refusal is not
 * remembered: the same mandate may be good tomorrow, when the funding has been linked.
 */
import { toHex } from '../src/bytes.ts';
import { PaymentError } from '../src/errors.ts';
import { mandate as mandateKind } from '../src/objects/mandate.ts';
import type { Backend } from './backends/port.ts';
import { type Identities, standing } from './identities.ts';
import type { Store, StoredMandate } from './store/port.ts';
import { requireZones } from './windows.ts';

/** What became of an envelope that claims to be a mandate. */
export type Taken = Readonly<{ id: string; refusal: PaymentError | undefined }>;

/**
 * Verifies and stores a mandate. Throws only when it cannot be verified at all or the store or the
 * backend cannot say (`unavailable`); a verified mandate that is not acceptable is a refusal.
 */
export async function takeMandate(
  parts: Readonly<{ store: Store; identities: Identities; backend: Backend }>,
  envelope: Uint8Array,
  nowMs: number,
): Promise<Taken> {
  const { store, identities, backend } = parts;
  const { id, value, signer } = await identities.openAny(mandateKind, envelope);
  const known = await store.mandate(id, nowMs);
  if (known) return { id, refusal: endOf(known) };

  try {
    requireZones(value.windows);
    const fault = standing(signer, nowMs);
    if (fault) throw new PaymentError(fault, 'the signing key does not count now');
    if (nowMs / 1000 >= value.exp) throw new PaymentError('expired', 'the mandate is over');
    let payer: string;
    if (value.parent === undefined) {
      if (signer.statement.role !== 'wallet' || signer.statement.payer === undefined) {
        throw new PaymentError('role_forbidden', 'only a wallet grants a first mandate');
      }
      payer = toHex(signer.statement.payer);
      const isLinked = await backend.fundingLinked(value.funding, signer.name).catch((cause) => {
        throw new PaymentError('unavailable', 'the backend does not answer', { cause });
      });
      if (!isLinked)
        throw new PaymentError('funding_unknown', 'funding is not linked to this wallet');
    } else {
      const parent = await store.mandate(value.parent, nowMs);
      if (!parent || parent.mandate.cnf !== signer.name) {
        throw new PaymentError('mandate_unknown', 'the parent mandate is not for this key');
      }
      const fault = endOf(parent);
      if (fault) throw fault;
      if (parent.mandate.funding !== value.funding) {
        throw new PaymentError('funding_unknown', 'a child spends from its parent');
      }
      payer = parent.payer;
    }
    await store.putMandate(id, value, signer.name, payer, envelope, nowMs);
    return { id, refusal: undefined };
  } catch (error) {
    if (!(error instanceof PaymentError) || error.reason === 'unavailable') throw error;
    return { id, refusal: error };
  }
}

/** Why a stored mandate is worth nothing now. */
function endOf({ status, issuerFault }: StoredMandate): PaymentError | undefined {
  const reason = status === 'active' ? issuerFault : status;
  return reason && new PaymentError(reason, 'the mandate or its signer does not count now');
}
