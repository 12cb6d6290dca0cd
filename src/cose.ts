/**
 * COSE_Sign1 (RFC 9052): the one envelope of every signed object.
 *
 * `verifyCose` is the standard with the algorithms we allow; `openEnvelope` adds our profile, which
 * leaves nothing to choose: tag 18, protected header exactly {alg, kid}, unprotected header empty,
 * low-S, and an external_aad that names version, environment, ledger and kind, so that no object
 * can be taken for another. The payload is decoded only after the signature over the raw bytes
 * holds. Identity is the digest of the Sig_structure, never the signature, which is malleable.
 */
import { hash, verify } from 'node:crypto';
import { bytesEqual, concat, toHex, utf8 } from './bytes.ts';
import { type CborValue, decodeCbor, encodeCbor } from './cbor.ts';
import { PaymentError } from './errors.ts';
import { ALGORITHM_NUMBERS, type Algorithm, type VerifyKey } from './keys.ts';
import { ENVELOPE_BYTES_MAX } from './limits.ts';

/** What every signature is bound to besides its kind. `ledger` is a name of [a-z0-9-]. */
export type Realm = Readonly<{ environment: 'live' | 'sim'; ledger: string }>;

/** Signs a Sig_structure: 64 bytes, for ES256 r‖s with s in the lower half of the order. */
export type Signer = Readonly<{
  key: VerifyKey;
  sign: (toBeSigned: Uint8Array) => Uint8Array | Promise<Uint8Array>;
}>;

/** A verified envelope. */
export type Opened = Readonly<{
  payload: CborValue;
  /** SHA-256 of the Sig_structure, 32 bytes. */
  digest: Uint8Array;
  /** The first 16 bytes of the digest in hex: what everything refers to this object by. */
  id: string;
  key: VerifyKey;
}>;

/** external_aad of one kind of object (PROTOCOL.md, Encoding). */
export function aadOf(realm: Realm, kind: string): Uint8Array {
  return utf8(`saytap/1 ${realm.environment} ${realm.ledger} ${kind}`);
}

/**
 * Signs `payload` (one deterministic CBOR map) and returns the envelope; throws `too_large` when
 * that would be longer than anybody opens.
 */
export async function signEnvelope(
  payload: Uint8Array,
  realm: Realm,
  kind: string,
  signer: Signer,
): Promise<Uint8Array> {
  // What nobody would open is not signed: a payload of this size already fills the envelope.
  if (payload.length > PAYLOAD_BYTES_MAX) {
    throw new PaymentError(
      'too_large',
      `payload of ${payload.length} of at most ${PAYLOAD_BYTES_MAX}`,
    );
  }
  const protectedHeader = protectedOf(signer.key);
  const signature = await signer.sign(sigStructure(protectedHeader, aadOf(realm, kind), payload));
  if (signature.length !== 64) throw new PaymentError('bad_signature', 'signer gave no 64 bytes');
  return concat(
    TAGGED_ARRAY_OF_FOUR,
    byteString(protectedHeader),
    EMPTY_MAP,
    byteString(payload),
    byteString(signature),
  );
}

/** Digest and id of an envelope that this process has just signed or verified itself. */
export function identify(
  envelope: Uint8Array,
  realm: Realm,
  kind: string,
): Readonly<{ digest: Uint8Array; id: string }> {
  const { protectedHeader, payload } = splitSign1(envelope);
  return idOf(sigStructure(protectedHeader, aadOf(realm, kind), payload));
}

/** The decoded payload of an envelope that was verified, or signed, when it was stored. */
export function payloadOf(envelope: Uint8Array): CborValue {
  return decodeCbor(splitSign1(envelope).payload);
}

/** The key id that an envelope of our profile names: a hint for the look-up, not yet proved. */
export function kidOf(envelope: Uint8Array): Uint8Array {
  return readProfile(splitSign1(envelope)).kid;
}

/**
 * Verifies an envelope against our profile and returns its payload, decoded. `findKey` receives
 * the kid; undefined is answered like a wrong signature, so that nobody learns which keys exist.
 * Throws `too_large`, `malformed`, `non_canonical`, `bad_signature`, or `sim_in_live` when a live
 * realm is offered an object that was signed for the simulation.
 */
export function openEnvelope(
  envelope: Uint8Array,
  realm: Realm,
  kind: string,
  findKey: (kid: Uint8Array) => VerifyKey | undefined,
): Opened {
  const parts = splitSign1(envelope);
  const { algorithm, kid } = readProfile(parts);
  const key = findKey(kid);
  if (!key || key.algorithm !== algorithm || !bytesEqual(key.kid, kid)) throw badSignature();

  const toBeSigned = sigStructure(parts.protectedHeader, aadOf(realm, kind), parts.payload);
  if (!holds(key, toBeSigned, parts.signature)) {
    if (realm.environment === 'live') {
      const simulated = aadOf({ ...realm, environment: 'sim' }, kind);
      const asSimulated = sigStructure(parts.protectedHeader, simulated, parts.payload);
      if (holds(key, asSimulated, parts.signature)) {
        throw new PaymentError('sim_in_live', 'this was signed for the simulation');
      }
    }
    throw badSignature();
  }
  return Object.freeze({ payload: decodeCbor(parts.payload), ...idOf(toBeSigned), key });
}

/**
 * Opens an envelope whose payload names the very key that signed it (Enrol: proof of possession).
 * The payload is decoded before the signature, by `keyIn`, and trusted only after it.
 */
export function openSelfSigned(
  envelope: Uint8Array,
  realm: Realm,
  kind: string,
  keyIn: (payload: CborValue) => VerifyKey,
): Opened {
  const key = keyIn(decodeCbor(splitSign1(envelope).payload));
  return openEnvelope(envelope, realm, kind, () => key);
}

/** The parts of a COSE_Sign1 whose signature holds. */
export type Sign1 = Readonly<{
  protectedHeader: Uint8Array;
  headers: ReadonlyMap<number, CborValue>;
  unprotected: ReadonlyMap<number, CborValue>;
  payload: Uint8Array;
  signature: Uint8Array;
}>;

/**
 * RFC 9052 §4.4 for a tagged COSE_Sign1 with ES256 or EdDSA and `alg` in the protected header,
 * whatever its other headers. Throws `bad_signature` when it does not hold under this key and aad,
 * for high-S too; `malformed` for anything that is no such object.
 */
export function verifyCose(envelope: Uint8Array, key: VerifyKey, aad: Uint8Array): Sign1 {
  const parts = splitSign1(envelope);
  // RFC 9052 §3.1: crit names headers that must be understood; we understand none beyond these.
  if (parts.headers.has(2)) throw new PaymentError('malformed', 'critical headers we do not know');
  if (parts.headers.get(1) !== ALGORITHM_NUMBERS[key.algorithm]) throw badSignature();
  const toBeSigned = sigStructure(parts.protectedHeader, aad, parts.payload);
  if (!holds(key, toBeSigned, parts.signature)) throw badSignature();
  return parts;
}

/** Sig_structure of RFC 9052 §4.4: ["Signature1", protected, external_aad, payload]. */
export function sigStructure(
  protectedHeader: Uint8Array,
  aad: Uint8Array,
  payload: Uint8Array,
): Uint8Array {
  return concat(SIGNATURE1, byteString(protectedHeader), byteString(aad), byteString(payload));
}

/** Half of the order of P-256, rounded down: the largest s that is accepted. */
const P256_HALF = 0x7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8n;
const P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
const P256_HALF_BYTES = integerBytes(P256_HALF);

/** r‖s with s in the lower half: the form in which this project makes and accepts ES256. */
export function lowS(signature: Uint8Array): Uint8Array {
  const s = BigInt(`0x${toHex(signature.subarray(32))}`);
  if (s <= P256_HALF) return signature;
  return concat(signature.subarray(0, 32), integerBytes(P256_ORDER - s));
}

/** Ecdsa-Sig-Value (RFC 3279 §2.2.3) to r‖s; what node:crypto makes fastest. */
export function fromDer(der: Uint8Array): Uint8Array {
  const raw = new Uint8Array(64);
  const rEnd = 4 + der[3]!;
  copyRight(der.subarray(4, rEnd), raw.subarray(0, 32));
  copyRight(der.subarray(rEnd + 2), raw.subarray(32));
  return raw;
}

/** Around a payload stand 2 (tag, array) + 14 (header) + 1 + 3 (length) + 66 (signature) bytes. */
const PAYLOAD_BYTES_MAX = ENVELOPE_BYTES_MAX - 86;

const TAGGED_ARRAY_OF_FOUR = Uint8Array.of(0xd2, 0x84);
const EMPTY_MAP = Uint8Array.of(0xa0);
const SIGNATURE1 = concat(Uint8Array.of(0x84, 0x6a), utf8('Signature1'));

function protectedOf(key: VerifyKey): Uint8Array {
  return encodeCbor(
    new Map<number, CborValue>([
      [1, ALGORITHM_NUMBERS[key.algorithm]],
      [4, key.kid],
    ]),
  );
}

function splitSign1(envelope: Uint8Array): Sign1 {
  if (envelope.length > ENVELOPE_BYTES_MAX) {
    throw new PaymentError(
      'too_large',
      `${envelope.length} bytes of at most ${ENVELOPE_BYTES_MAX}`,
    );
  }
  if (envelope[0] !== 0xd2) throw new PaymentError('malformed', 'no tagged COSE_Sign1 (tag 18)');
  const outer = decodeCbor(envelope.subarray(1));
  if (!Array.isArray(outer) || outer.length !== 4) {
    throw new PaymentError('malformed', 'no COSE_Sign1: not an array of four');
  }
  const [protectedHeader, unprotected, payload, signature] = outer as CborValue[];
  if (
    !(protectedHeader instanceof Uint8Array) ||
    !(unprotected instanceof Map) ||
    !(payload instanceof Uint8Array) ||
    !(signature instanceof Uint8Array)
  ) {
    throw new PaymentError('malformed', 'no COSE_Sign1: a part of another type');
  }
  // RFC 9052 §3: an empty protected header is the empty string.
  const headers = protectedHeader.length === 0 ? new Map() : decodeCbor(protectedHeader);
  if (!(headers instanceof Map)) throw new PaymentError('malformed', 'headers that are no map');
  return { protectedHeader, headers, unprotected, payload, signature };
}

function readProfile(parts: Sign1): Readonly<{ algorithm: Algorithm; kid: Uint8Array }> {
  const alg = parts.headers.get(1);
  const kid = parts.headers.get(4);
  const algorithm = alg === -7 ? 'ES256' : alg === -8 ? 'EdDSA' : undefined;
  if (!algorithm || !(kid instanceof Uint8Array) || kid.length !== 8 || parts.headers.size !== 2) {
    throw new PaymentError('malformed', 'protected header is not exactly {alg, kid of 8 bytes}');
  }
  if (parts.unprotected.size !== 0) {
    throw new PaymentError('malformed', 'unprotected header is not empty');
  }
  return { algorithm, kid };
}

function holds(key: VerifyKey, toBeSigned: Uint8Array, signature: Uint8Array): boolean {
  if (signature.length !== 64) return false;
  if (key.algorithm === 'EdDSA') return verify(null, toBeSigned, key.handle, signature);
  const s = signature.subarray(32);
  if (compare(s, P256_HALF_BYTES) > 0) return false;
  return verify('sha256', toBeSigned, key.handle, toDer(signature));
}

function idOf(toBeSigned: Uint8Array): Readonly<{ digest: Uint8Array; id: string }> {
  const digest = Uint8Array.from(hash('sha256', toBeSigned, 'buffer'));
  return { digest, id: toHex(digest.subarray(0, 16)) };
}

function badSignature(): PaymentError {
  return new PaymentError('bad_signature', 'the signature does not hold under a known key');
}

/** A byte string with its shortest head (RFC 8949 §3.1); envelopes stay below 64 KiB. */
function byteString(bytes: Uint8Array): Uint8Array {
  const { length } = bytes;
  if (length < 24) return concat(Uint8Array.of(0x40 | length), bytes);
  if (length < 256) return concat(Uint8Array.of(0x58, length), bytes);
  return concat(Uint8Array.of(0x59, length >> 8, length & 0xff), bytes);
}

/** The bare-key DER path of node:crypto is a quarter faster than ieee-p1363 on Node 24. */
function toDer(signature: Uint8Array): Uint8Array {
  const r = derInteger(signature.subarray(0, 32));
  const s = derInteger(signature.subarray(32));
  return concat(Uint8Array.of(0x30, r.length + s.length), r, s);
}

function derInteger(bytes: Uint8Array): Uint8Array {
  let from = 0;
  while (from < 31 && bytes[from] === 0) from++;
  const digits = bytes.subarray(from);
  return digits[0]! < 0x80
    ? concat(Uint8Array.of(2, digits.length), digits)
    : concat(Uint8Array.of(2, digits.length + 1, 0), digits);
}

function copyRight(from: Uint8Array, to: Uint8Array): void {
  const digits = from.length > to.length ? from.subarray(from.length - to.length) : from;
  to.set(digits, to.length - digits.length);
}

function integerBytes(value: bigint): Uint8Array {
  return Uint8Array.from({ length: 32 }, (_, i) => Number((value >> BigInt(8 * (31 - i))) & 0xffn));
}

function compare(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i]! - b[i]!;
  return 0;
}
