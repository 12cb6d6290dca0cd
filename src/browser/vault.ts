/**
 * The wallet's key in a browser: made by WebCrypto, kept in IndexedDB, and not extractable, so that
 * no script, ours included, can ever read it; a script of this origin can only have it sign.
 */
import { fromBase64url } from '../bytes.ts';
import { type Signer, lowS } from '../cose.ts';
import { loadKey } from '../keys.ts';

/** Keys by name. */
export type Vault = Readonly<{
  /** The signer of a key, or undefined when this browser has none of that name. */
  find: (name: string) => Promise<Signer | undefined>;
  /** Makes a key under a name that is free, or finds the one that another tab has made. */
  make: (name: string) => Promise<Signer>;
  /** Deletes a key, for good. */
  forget: (name: string) => Promise<void>;
}>;

/** Rejects when the browser keeps nothing, as in some private windows. */
export async function openVault(): Promise<Vault> {
  // What is kept is not to be cleared when space runs short; a refusal is no failure.
  await navigator.storage?.persist?.().catch(() => false);
  const database = await done(indexedDB.open('saytap', 1), (request) => {
    request.result.createObjectStore('keys');
  });
  const keys = (mode: IDBTransactionMode) => database.transaction('keys', mode).objectStore('keys');

  async function find(name: string): Promise<Signer | undefined> {
    const pair = (await done(keys('readonly').get(name))) as CryptoKeyPair | undefined;
    return pair && signerOf(pair);
  }

  return Object.freeze({
    find,
    async make(name: string) {
      const pair = await crypto.subtle.generateKey(
        { name: 'ECDSA', namedCurve: 'P-256' },
        /* extractable */ false,
        ['sign', 'verify'],
      );
      // `add` fails when the name is taken: then that key counts, and this one is forgotten.
      await done(keys('readwrite').add(pair, name)).catch(() => {});
      const kept = await find(name);
      if (!kept) throw new Error('this browser does not keep keys');
      return kept;
    },
    forget: async (name: string) => {
      await done(keys('readwrite').delete(name));
    },
  });
}

async function signerOf({ privateKey, publicKey }: CryptoKeyPair): Promise<Signer> {
  const { x, y } = await crypto.subtle.exportKey('jwk', publicKey);
  const key = loadKey({ algorithm: 'ES256', x: fromBase64url(x!), y: fromBase64url(y!) });
  return Object.freeze({
    key,
    async sign(toBeSigned: Uint8Array) {
      const how = { name: 'ECDSA', hash: 'SHA-256' };
      const raw = await crypto.subtle.sign(how, privateKey, Uint8Array.from(toBeSigned));
      return lowS(new Uint8Array(raw));
    },
  });
}

function done<T>(
  request: IDBRequest<T>,
  upgrade?: (request: IDBOpenDBRequest) => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    if (upgrade) {
      const opening = request as unknown as IDBOpenDBRequest;
      opening.onupgradeneeded = () => upgrade(opening);
    }
    request.onsuccess = () => resolve(request.result);
    request.onerror = (event) => {
      event.preventDefault();
      reject(request.error ?? new Error('IndexedDB'));
    };
  });
}
