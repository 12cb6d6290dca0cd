/**
 * Public keys as this protocol writes, names and compares them.
 *
 * A key is a COSE_Key with only its required members, so its RFC 9679 thumbprint (SHA-256) is a
 * function of the key alone. What is compared is always the full thumbprint; `kid` is its first
 * eight bytes and only a hint. The algorithm follows from the curve and is never taken from a
 * message. Loading a key proves that the point is on its curve and of full order, once.
 */
import { type KeyObject, createPublicKey, hash } from 'node:crypto';
import { type CborValue, encodeCbor } from './cbor.ts';
import { PaymentError } from './errors.ts';
import { bytesEqual, fromBase64url, toBase64url, toHex } from './bytes.ts';

/** RFC 9053: ES256 = −7 (P-256), EdDSA = −8 (Ed25519). */
export type Algorithm = 'ES256' | 'EdDSA';
export const ALGORITHM_NUMBERS = Object.freeze({ ES256: -7, EdDSA: -8 });

/** Coordinates are 32 bytes, big-endian for P-256 and as in RFC 8032 for Ed25519. */
export type PublicKey =
  | Readonly<{ algorithm: 'ES256'; x: Uint8Array; y: Uint8Array }>
  | Readonly<{ algorithm: 'EdDSA'; x: Uint8Array }>;

/** A key that was checked and is ready to verify with (importing costs 25 µs: do it once). */
export type VerifyKey = Readonly<{
  algorithm: Algorithm;
  public: PublicKey;
  /** 32 bytes, RFC 9679 with SHA-256. */
  thumbprint: Uint8Array;
  /** Hex of the thumbprint: what stores and logs use. */
  name: string;
  /** First 8 bytes of the thumbprint. */
  kid: Uint8Array;
  handle: KeyObject;
}>;

/** The COSE_Key map (RFC 9053 §7.1, §7.2): kty 1, crv −1, x −2, y −3. */
export function coseKey(key: PublicKey): ReadonlyMap<number, CborValue> {
  return key.algorithm === 'ES256'
    ? new Map<number, CborValue>([
        [1, 2],
        [-1, 1],
        [-2, key.x],
        [-3, key.y],
      ])
    : new Map<number, CborValue>([
        [1, 1],
        [-1, 6],
        [-2, key.x],
      ]);
}

/** Reads a COSE_Key map; throws `malformed` for any other member, curve or length. */
export function parseCoseKey(value: CborValue): PublicKey {
  if (!(value instanceof Map)) throw new PaymentError('malformed', 'a key that is no COSE_Key');
  const x: unknown = value.get(-2);
  const y: unknown = value.get(-3);
  if (!(x instanceof Uint8Array) || x.length !== 32) throw unknownKey();
  if (value.get(1) === 2 && value.get(-1) === 1 && value.size === 4) {
    if (!(y instanceof Uint8Array) || y.length !== 32) throw unknownKey();
    return Object.freeze({ algorithm: 'ES256', x, y });
  }
  if (value.get(1) === 1 && value.get(-1) === 6 && value.size === 3) {
    return Object.freeze({ algorithm: 'EdDSA', x });
  }
  throw unknownKey();
}

/** RFC 9679 §3: SHA-256 over the deterministic encoding of the required members. */
export function thumbprint(key: PublicKey): Uint8Array {
  return Uint8Array.from(hash('sha256', encodeCbor(coseKey(key)), 'buffer'));
}

/** Checks a key and makes it ready. Throws `malformed` for a point that must not be used. */
export function loadKey(key: PublicKey): VerifyKey {
  if (key.algorithm === 'EdDSA') refuseSmallOrder(key.x);
  let handle: KeyObject;
  try {
    handle = createPublicKey({ format: 'jwk', key: jwk(key) });
    if (handle.asymmetricKeyType === 'ec') handle.export({ format: 'der', type: 'spki' });
  } catch (cause) {
    throw new PaymentError('malformed', 'a public key that is no point of its curve', { cause });
  }
  const print = thumbprint(key);
  return Object.freeze({
    algorithm: key.algorithm,
    public: key,
    thumbprint: print,
    name: toHex(print),
    kid: print.slice(0, 8),
    handle,
  });
}

/** The public part of a node:crypto key; throws `malformed` for any other kind of key. */
export function publicKeyOf(handle: KeyObject): PublicKey {
  if (handle.asymmetricKeyType === 'ec' || handle.asymmetricKeyType === 'ed25519') {
    const { crv, x, y } = createPublicKey(handle.export({ format: 'pem', type: 'spki' })).export({
      format: 'jwk',
    });
    if (crv === 'P-256') {
      return { algorithm: 'ES256', x: fromBase64url(x!), y: fromBase64url(y!) };
    }
    if (crv === 'Ed25519') return { algorithm: 'EdDSA', x: fromBase64url(x!) };
  }
  throw new PaymentError('malformed', 'a key that is neither P-256 nor Ed25519');
}

function jwk(key: PublicKey) {
  return key.algorithm === 'ES256'
    ? { kty: 'EC', crv: 'P-256', x: toBase64url(key.x), y: toBase64url(key.y) }
    : { kty: 'OKP', crv: 'Ed25519', x: toBase64url(key.x) };
}

function unknownKey(): PaymentError {
  return new PaymentError('malformed', 'a key that is neither P-256 nor Ed25519');
}

/**
 * The y coordinates of the points of order 1, 2, 4 and 8 (little-endian, sign bit clear). Under
 * such a key a signature can be forged without any secret; backends differ in refusing them.
 */
const SMALL_ORDER = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
];

function refuseSmallOrder(encoded: Uint8Array): void {
  // Not slice(): that of a Buffer would share the key's memory, and the next line writes.
  const y = Uint8Array.from(encoded);
  y[31] = y[31]! & 0x7f;
  // RFC 8032 §5.1.3: y ≥ p = 2^255 − 19 is a second encoding of y − p.
  const isAllOnes = y.subarray(1, 31).every((byte) => byte === 0xff) && y[31] === 0x7f;
  const isBeyondField = isAllOnes && y[0]! >= 0xed;
  if (isBeyondField || SMALL_ORDER.includes(toHex(y))) {
    throw new PaymentError('malformed', 'an Ed25519 key of small order or with a second encoding');
  }
}

/** Whether two thumbprints are the same key. */
export function sameKey(a: Uint8Array, b: Uint8Array): boolean {
  return bytesEqual(a, b);
}
