/**
 * What this process has signed, remembered, so that it need not be verified again: for simulated
 * worlds, in which the same few bytes are signed here and verified here by everybody.
 *
 * It stands in the place of node:crypto's own functions, so the product's code is the same as
 * everywhere. Only what is known to hold is remembered, under the very key and the very bytes; all
 * else is verified as ever.
 */
import crypto, {
  KeyObject,
  type KeyLike,
  type SignKeyObjectInput as SignOptions,
  type VerifyKeyObjectInput as VerifyOptions,
} from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import { bytesEqual } from '../bytes.ts';
import { REMEMBERED_KEYS_MAX, REMEMBERED_SIGNATURES_MAX } from '../limits.ts';

/** From here on until the returned function is called, for the whole process. */
export function rememberSignatures(): () => void {
  const { createPublicKey, sign, verify } = crypto;
  /** One object per public key, so that the keys of equal bytes are the same key. */
  const keys = new Map<string, KeyObject>();
  const publicOf = new WeakMap<KeyObject, KeyObject>();
  const known = new Map<string, Readonly<{ key: KeyObject; data: Uint8Array }>>();

  function keyFrom(...given: Parameters<typeof createPublicKey>): KeyObject {
    const [input] = given;
    const name = keyName(input);
    if (name === undefined) return createPublicKey(...given);
    const before = keys.get(name);
    if (before) return before;
    const key = createPublicKey(...given);
    if (keys.size >= REMEMBERED_KEYS_MAX) keys.clear();
    keys.set(name, key);
    return key;
  }

  function remember(name: string, key: KeyObject, data: Uint8Array): void {
    if (known.size >= REMEMBERED_SIGNATURES_MAX) known.clear();
    // Its own copy: whoever gave it may write over it.
    known.set(name, { key, data: Uint8Array.from(data) });
  }

  function publicKeyOf(handle: KeyObject): KeyObject {
    const before = publicOf.get(handle);
    if (before) return before;
    const key = keyFrom({ key: createPublicKey(handle).export({ format: 'jwk' }), format: 'jwk' });
    publicOf.set(handle, key);
    return key;
  }

  function signAndRemember(...given: SignArguments): Buffer {
    const signature = sign(...given);
    const [algorithm, data, key] = given;
    // What ECDSA gives is not what is sent: its s is to be the lower one.
    if (algorithm !== null || !isKey(key) || !(data instanceof Uint8Array)) return signature;
    remember(nameOf(algorithm, signature), publicKeyOf(key), data);
    return signature;
  }

  function verifyOnce(...given: VerifyArguments): boolean {
    const [algorithm, data, key, signature] = given;
    const isPlain = isKey(key) && data instanceof Uint8Array && signature instanceof Uint8Array;
    if (!isPlain) return verify(...given);
    const name = nameOf(algorithm, signature);
    const before = known.get(name);
    if (before?.key === key && bytesEqual(before.data, data)) return true;
    const isTrue = verify(...given);
    if (isTrue) remember(name, key, data);
    return isTrue;
  }

  Object.assign(crypto, { createPublicKey: keyFrom, sign: signAndRemember, verify: verifyOnce });
  syncBuiltinESMExports();
  return () => {
    Object.assign(crypto, { createPublicKey, sign, verify });
    syncBuiltinESMExports();
  };
}

type SignArguments = [string | null | undefined, NodeJS.ArrayBufferView, KeyLike | SignOptions];
type VerifyArguments = [
  string | null | undefined,
  NodeJS.ArrayBufferView,
  KeyLike | VerifyOptions,
  NodeJS.ArrayBufferView,
];

const isKey = (key: unknown): key is KeyObject => key instanceof KeyObject;

/** The same for the same public key in the same form; undefined when there may be a private one. */
function keyName(input: Parameters<typeof crypto.createPublicKey>[0]): string | undefined {
  if (typeof input === 'string') return input.includes('PRIVATE') ? undefined : input;
  if (!('format' in input) || input.format !== 'jwk') return undefined;
  const { kty, crv, x, y, d } = input.key;
  return d === undefined ? `${kty} ${crv} ${x} ${y}` : undefined;
}

function nameOf(algorithm: string | null | undefined, signature: Uint8Array): string {
  const { buffer, byteOffset, length } = signature;
  return `${algorithm} ${Buffer.from(buffer, byteOffset, length).toString('latin1')}`;
}
