/**
 * Mandates: taking one in, and whether a chain of them counts for a request.
 *
 * A first mandate is the payer's if the wallet signed it and the funding belongs to that wallet; a
 * child is signed by the key that its parent names. Whoever carries the envelope does not matter.
 * A refusal is not remembered: the same mandate may be good tomorrow, when funding was linked.
 */
import { toHex } from '../src/bytes.ts';
import { PaymentError } from '../src/errors.ts';
import { CHAIN_DEPTH_MAX } from '../src/limits.ts';
import { mandate as mandateKind } from '../src/objects/mandate.ts';
import type { Request } from '../src/objects/request.ts';
import type { Backend } from './backends/port.ts';
import { type Identities, standing } from './identities.ts';
import type { ChainLink, Facts, Store, StoredMandate } from './store/port.ts';
import { requireZones } from './windows.ts';

/** What became of an envelope that claims to be a mandate. */
export type Taken = Readonly<{ id: string; refusal: PaymentError | undefined }>;

/**
 * Verifies and stores a mandate. Throws only when it cannot be verified at all or the store or the
 * backend cannot say (`unavailable`); a verified mandate that is not acceptable is a refusal.
 */
export async function takeMandate(
  parts: Readonly<{ store: Store; identities: Identities; backends: readonly Backend[] }>,
  envelope: Uint8Array,
  nowMs: number,
): Promise<Taken> {
  const { store, identities, backends } = parts;
  const { id, value, signer } = await identities.openAny(mandateKind, envelope);
  const known = await store.mandate(id, nowMs);
  if (known) return { id, refusal: endOf(known) };

  try {
    requireZones(value.windows);
    const fault = standing(signer, nowMs);
    if (fault) throw new PaymentError(fault, 'the signing key does not count now');
    if (nowMs / 1000 >= value.exp) throw new PaymentError('expired', 'the mandate is over');
    if (value.parent === undefined) {
      const payer = signer.statement.role === 'wallet' ? signer.statement.payer : undefined;
      if (payer === undefined) {
        throw new PaymentError('role_forbidden', 'only a wallet grants a first mandate');
      }
      const linked = await linkedAt(backends, value.funding, signer.name);
      if (linked.length === 0)
        throw new PaymentError('funding_unknown', 'funding is not linked to this wallet');
      await store.putMandate(id, value, signer.name, toHex(payer), linked, envelope, nowMs);
    } else {
      const chain = await store.chain(value.parent, nowMs);
      const [parent] = chain;
      if (!parent || parent.mandate.cnf !== signer.name) {
        throw new PaymentError('mandate_unknown', 'the parent mandate is not for this key');
      }
      if (chain.length >= CHAIN_DEPTH_MAX) {
        throw new PaymentError('malformed', `a chain of more than ${CHAIN_DEPTH_MAX} mandates`);
      }
      for (const link of chain) {
        const fault = endOf(link);
        if (fault) throw fault;
        if (nowMs / 1000 >= link.mandate.exp) {
          throw new PaymentError('expired', `${nameOf(link)} is over`);
        }
      }
      if (parent.mandate.funding !== value.funding) {
        throw new PaymentError('funding_unknown', 'a child spends from its parent');
      }
      const { payer, backends: linked } = parent;
      await store.putMandate(id, value, signer.name, payer, linked, envelope, nowMs);
    }
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

/** The backends, in their order, where this funding is linked to this wallet. */
async function linkedAt(
  backends: readonly Backend[],
  funding: string,
  wallet: string,
): Promise<readonly string[]> {
  const linked: string[] = [];
  for (const backend of backends) {
    const isLinked = await backend.fundingLinked(funding, wallet).catch((cause) => {
      throw new PaymentError('unavailable', `${backend.name} does not answer`, { cause });
    });
    if (isLinked) linked.push(backend.name);
  }
  return linked;
}

/** Every link holds now, and the whole chain leads to the signing key. */
export function requireChain(
  request: Pick<Request, 'amount'>,
  { chain, identity, nowMs }: Pick<Facts, 'chain' | 'identity' | 'nowMs'>,
): void {
  const leaf = chain[0];
  // A mandate for another key is answered like no mandate: nobody learns that it exists.
  if (!leaf || chain.length > CHAIN_DEPTH_MAX || leaf.mandate.cnf !== identity.name) {
    throw new PaymentError('mandate_unknown', 'no such mandate names this key');
  }
  const now = nowMs / 1000;
  for (const [i, link] of chain.entries()) {
    const child = chain[i - 1];
    if (child && child.issuer !== link.mandate.cnf) {
      throw new PaymentError(
        'mandate_unknown',
        'a child was not signed by the key that its parent names',
      );
    }
    if (link.status !== 'active')
      throw new PaymentError(link.status, `${nameOf(link)} is ${link.status}`);
    if (link.issuerFault)
      throw new PaymentError(link.issuerFault, `the signer of ${nameOf(link)} does not count`);
    const { nbf, exp, currency } = link.mandate;
    if (now < nbf)
      throw new PaymentError('not_yet_valid', `${nameOf(link)} is valid from ${instant(nbf)}`);
    if (now >= exp)
      throw new PaymentError('expired', `${nameOf(link)} was valid until ${instant(exp)}`);
    // Access moves no money, so it has no currency.
    if (request.amount && currency !== request.amount.currency) {
      throw new PaymentError('currency_mismatch', `${nameOf(link)} is in ${currency}`);
    }
  }
}

/** What a person calls a mandate in a sentence. */
export function nameOf({ id }: ChainLink): string {
  return `mandate ${id.slice(0, 8)}`;
}

/** Seconds since 1970 as a person reads them. */
export function instant(seconds: number): string {
  return `${new Date(seconds * 1000).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}
