/**
 * The device's own key, wherever it lies: in a file, or in hardware that signs and never gives it.
 *
 * There are two slots. A successor is prepared beside the key in use and signs for nothing but its
 * own enrolment; only when the bridge has accepted it, it is promoted. A power cut at any moment
 * leaves the one or the other, never none.
 */
import { encodeCbor } from '../../src/cbor.ts';
import { type Realm, type Signer, openEnvelope, signEnvelope } from '../../src/cose.ts';
import { PaymentError } from '../../src/errors.ts';

export type KeyStore = Readonly<{
  /** The key in use; undefined before the first one was promoted. */
  current: () => Signer | undefined;
  /** The prepared successor, not yet proved. */
  next: () => Signer | undefined;
  /** Makes the successor; one that was prepared before and never promoted is destroyed. */
  prepare: () => Promise<Signer>;
  /** The successor becomes the key in use and the old key is destroyed. */
  promote: () => Promise<void>;
  /** Destroys both keys; a second call does no harm. */
  wipe: () => Promise<void>;
  /** How the key is kept, in one line for `saytap doctor`. */
  describe: () => string;
}>;

/**
 * Why a key does not sign now. `away`: it comes back as soon as the token (or whatever holds it)
 * does. `refused`: an operator has to mend something first; the message says what.
 */
export type KeyTrouble = 'away' | 'refused';

/** A signature that was not made, as `unavailable`: of its payment nothing was stored or sent. */
export class KeyFailure extends PaymentError {
  readonly trouble: KeyTrouble;

  constructor(trouble: KeyTrouble, message: string, options?: { cause?: unknown }) {
    super('unavailable', message, options);
    this.name = 'KeyFailure';
    this.trouble = trouble;
  }
}

/**
 * Proves that a key signs and that its signatures hold under our verifier, with an envelope of a
 * kind that nobody opens. Rejects with KeyFailure, or `bad_signature` for a key that signs badly.
 */
export async function checkKey(signer: Signer): Promise<void> {
  const envelope = await signEnvelope(encodeCbor(new Map()), NOWHERE, 'check', signer);
  openEnvelope(envelope, NOWHERE, 'check', () => signer.key);
}

/** No ledger is named like this, and no object is of kind `check`. */
const NOWHERE: Realm = { environment: 'sim', ledger: 'check' };
