/**
 * Who may speak: the keys that the operator's root has named, and the entry check of every object.
 *
 * Nothing below this check sees an unsigned byte, and a caller cannot tell an unknown key from a
 * wrong signature. Loaded keys are kept (importing one costs as much as a signature); their status
 * is not: it is read in the transaction that acts on it.
 */
import { toHex } from '../src/bytes.ts';
import { type Realm, kidOf } from '../src/cose.ts';
import { PaymentError, type Reason } from '../src/errors.ts';
import { type VerifyKey, loadKey } from '../src/keys.ts';
import { KEYS_KEPT_MAX } from '../src/limits.ts';
import { type KeyStatement, keyStatement } from '../src/objects/key.ts';
import { type Kind, type Verified, open } from '../src/objects/kind.ts';
import type { Clock } from '../src/platform.ts';
import type { Identity, Store } from './store/port.ts';

export type Identities = Readonly<{
  /**
   * Enrols a Key statement of the root, in place of a `predecessor` that named this key itself;
   * throws what `open` throws. Returns it verified.
   */
  enrol: (envelope: Uint8Array, predecessor?: string) => Promise<Verified<KeyStatement>>;
  /** Opens what a device sent on its own topic: only a key that it has or had will do. */
  openFrom: <T>(device: string, kind: Kind<T>, envelope: Uint8Array) => Promise<Signed<T>>;
  /** Opens an object by whichever enrolled key signed it (mandates travel through any device). */
  openAny: <T>(kind: Kind<T>, envelope: Uint8Array) => Promise<Signed<T>>;
}>;

/** A verified object and who signed it. */
export type Signed<T> = Verified<T> & Readonly<{ signer: Identity }>;

/** Why this key counts for nothing now, or undefined when it counts. */
export function standing(
  { status, statement }: Pick<Identity, 'status' | 'statement'>,
  nowMs: number,
): Reason | undefined {
  if (status !== 'active') return status;
  if (nowMs / 1000 < statement.nbf) return 'not_yet_valid';
  return nowMs / 1000 >= statement.exp ? 'expired' : undefined;
}

export function createIdentities(
  store: Store,
  realm: Realm,
  root: VerifyKey,
  clock: Clock,
): Identities {
  const loaded = new Map<string, VerifyKey>();

  function ready(identity: Identity): VerifyKey {
    let key = loaded.get(identity.name);
    if (!key) {
      key = loadKey(identity.key);
      if (loaded.size >= KEYS_KEPT_MAX) loaded.clear();
      loaded.set(identity.name, key);
    }
    return key;
  }

  async function openBy<T>(kind: Kind<T>, envelope: Uint8Array, signer: Identity | undefined) {
    if (!signer || signer.place === 'retired') {
      throw new PaymentError('bad_signature', 'the signature does not hold under a known key');
    }
    return { ...open(kind, envelope, realm, () => ready(signer)), signer };
  }

  return {
    async enrol(envelope, predecessor) {
      const verified = open(keyStatement, envelope, realm, () => root);
      const key = loadKey(verified.value.key);
      const known = await store.identity(key.name);
      if (known && isOlder(verified.value, known.statement)) return verified;
      await store.putIdentity(key.name, verified.value, envelope, clock.nowMs(), predecessor);
      return verified;
    },
    openFrom: async (device, kind, envelope) =>
      openBy(kind, envelope, await store.keyOfDevice(device, toHex(kidOf(envelope)))),
    openAny: async (kind, envelope) =>
      openBy(kind, envelope, await store.identityOfKid(toHex(kidOf(envelope)))),
  };
}

/** A statement that began earlier, or as early and ends earlier, says nothing new about its key. */
function isOlder(statement: KeyStatement, known: KeyStatement): boolean {
  if (statement.nbf !== known.nbf) return statement.nbf < known.nbf;
  return statement.exp < known.exp;
}
