/**
 * The CBOR gate: exactly one encoding of every value passes, everything else is refused by name.
 *
 * cbor-x builds and reads the values, but it accepts duplicate keys, long integers, indefinite
 * lengths, tags that construct objects, and broken UTF-8. So a scanner of our own walks the bytes
 * first, in one pass without recursion and without allocating what a header claims, and lets only
 * RFC 8949 §4.2.1 (core deterministic encoding) through. Profile: unsigned and negative integers
 * below 2^53, byte strings, text, arrays, maps with integer keys, false and true. No tags, floats,
 * null or undefined: no signed object needs them. The one tag (COSE_Sign1, 18) belongs to cose.ts.
 */
import { Decoder, Encoder } from 'cbor-x';
import { PaymentError } from './errors.ts';
import {
  CBOR_DEPTH_MAX,
  CBOR_ENTRIES_MAX,
  CBOR_INTEGER_MAX,
  CBOR_KEY_MAX,
  ENVELOPE_BYTES_MAX,
} from './limits.ts';

export type CborValue =
  number | string | boolean | Uint8Array | readonly CborValue[] | ReadonlyMap<number, CborValue>;

const OPTIONS = {
  useRecords: false,
  mapsAsObjects: false,
  tagUint8Array: false,
  variableMapSize: true,
  copyBuffers: true,
  structuredClone: false,
  bundleStrings: false,
  pack: false,
} as const;

const encoder = new Encoder(OPTIONS);
const decoder = new Decoder(OPTIONS);
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The one encoding of `value`. Throws `malformed` when the profile has none for it. */
export function encodeCbor(value: CborValue): Uint8Array {
  return Uint8Array.from(encoder.encode(arrange(value, 0)));
}

/**
 * The value of `bytes`, which must be its one encoding. Throws `malformed` (not CBOR, or a type
 * the profile leaves out), `non_canonical` (a second encoding of a value) or `too_large`.
 */
export function decodeCbor(bytes: Uint8Array): CborValue {
  scan(bytes);
  // cbor-x copies strings with the class of its input, and a Buffer's slice() shares its memory.
  const plain = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const value: unknown = decoder.decode(plain);
  return shorten(value);
}

/** Orders map keys bytewise (RFC 8949 §4.2.1) and turns wide integers into what cbor-x keeps. */
function arrange(value: CborValue, depth: number): unknown {
  if (typeof value === 'boolean') return value;
  if (typeof value === 'string') {
    if (!value.isWellFormed()) throw new PaymentError('malformed', 'text with a lone surrogate');
    return value;
  }
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) {
      throw new PaymentError('malformed', 'a number that is not an exact integer');
    }
    // cbor-x writes integers of 33 bits and more as floats, but a bigint in its eight bytes.
    return value > 0xffff_ffff || value < -0x1_0000_0000 ? BigInt(value) : value;
  }
  if (value instanceof Uint8Array) return value;
  if (depth >= CBOR_DEPTH_MAX) throw new PaymentError('malformed', 'nested too deep');
  if (Array.isArray(value)) return value.map((item: CborValue) => arrange(item, depth + 1));
  if (value instanceof Map) {
    const keys = [...(value as ReadonlyMap<number, CborValue>).keys()].sort(byEncodedKey);
    if (keys.some((key) => !Number.isSafeInteger(key) || Math.abs(key) > CBOR_KEY_MAX)) {
      throw new PaymentError('malformed', 'a map key that is no small integer');
    }
    return new Map(keys.map((key) => [key, arrange(value.get(key) as CborValue, depth + 1)]));
  }
  throw new PaymentError('malformed', 'a value that this profile cannot carry');
}

/** Non-negative keys come first, each side by distance from zero: the order of encoded bytes. */
function byEncodedKey(a: number, b: number): number {
  if (a >= 0 !== b >= 0) return a >= 0 ? -1 : 1;
  return a >= 0 ? a - b : b - a;
}

/** The gate guarantees that a bigint of cbor-x fits a safe integer. */
function shorten(value: unknown): CborValue {
  if (typeof value === 'bigint') return Number(value);
  if (Array.isArray(value)) return value.map(shorten);
  if (value instanceof Map) {
    for (const [key, item] of value) {
      if (typeof item === 'bigint' || typeof item === 'object') value.set(key, shorten(item));
    }
    return value as Map<number, CborValue>;
  }
  return value as CborValue;
}

/** Refuses every byte string that is not one deterministic item of the profile. */
function scan(bytes: Uint8Array): void {
  if (bytes.length > ENVELOPE_BYTES_MAX) {
    throw new PaymentError('too_large', `${bytes.length} bytes, at most ${ENVELOPE_BYTES_MAX}`);
  }
  // Per open container: items still to come, and for a map where the previous key stands.
  const left: number[] = [];
  const keyStart: number[] = [];
  const keyEnd: number[] = [];
  let at = 0;

  while (true) {
    const depth = left.length - 1;
    // In a map an even number of items left means that a key comes next.
    const isKey = depth >= 0 && keyStart[depth] !== NOT_A_MAP && left[depth]! % 2 === 0;
    const start = at;
    if (at >= bytes.length) throw new PaymentError('malformed', `ends early at byte ${at}`);
    const initial = bytes[at++]!;
    const major = initial >> 5;
    const info = initial & 31;

    if (major === 7) {
      if (info !== 20 && info !== 21) {
        throw new PaymentError('malformed', `float, null or other simple value at byte ${start}`);
      }
      if (isKey) throw new PaymentError('malformed', `map key at byte ${start} is no integer`);
    } else {
      if (major === 6) throw new PaymentError('malformed', `tag at byte ${start}`);
      if (info === 31 && major >= 2) {
        throw new PaymentError('non_canonical', `indefinite length at byte ${start}`);
      }
      if (info > 27) throw new PaymentError('malformed', `reserved length at byte ${start}`);
      if (isKey && major > 1) {
        throw new PaymentError('malformed', `map key at byte ${start} is no integer`);
      }

      let argument = info;
      if (info >= 24) {
        const width = 1 << (info - 24);
        if (at + width > bytes.length) {
          throw new PaymentError('malformed', `ends early at byte ${bytes.length}`);
        }
        argument = 0;
        for (let i = 0; i < width; i++) argument = argument * 256 + bytes[at++]!;
        // RFC 8949 §4.2.1: the argument is as short as possible.
        const shortest = width === 1 ? 24 : 256 ** (width / 2);
        if (argument < shortest) {
          throw new PaymentError('non_canonical', `longer than needed at byte ${start}`);
        }
      }

      if (major <= 1) {
        if (argument > (isKey ? CBOR_KEY_MAX : CBOR_INTEGER_MAX) - major) {
          throw new PaymentError('malformed', `integer beyond its range at byte ${start}`);
        }
      } else if (major <= 3) {
        if (argument > bytes.length - at) {
          throw new PaymentError('malformed', `string at byte ${start} is longer than its message`);
        }
        if (major === 3) requireUtf8(bytes, at, at + argument, start);
        at += argument;
      } else {
        if (argument > CBOR_ENTRIES_MAX) {
          throw new PaymentError('too_large', `${argument} entries at byte ${start}`);
        }
        if (left.length >= CBOR_DEPTH_MAX) throw new PaymentError('malformed', 'nested too deep');
        const items = major === 5 ? argument * 2 : argument;
        if (items > bytes.length - at) {
          throw new PaymentError('malformed', `list at byte ${start} is longer than its message`);
        }
        if (items > 0) {
          left.push(items);
          keyStart.push(major === 5 ? NO_KEY_YET : NOT_A_MAP);
          keyEnd.push(0);
          continue;
        }
      }
    }

    if (isKey) {
      const previous = keyStart[depth]!;
      if (previous !== NO_KEY_YET) requireAscending(bytes, previous, keyEnd[depth]!, start, at);
      keyStart[depth] = start;
      keyEnd[depth] = at;
    }
    while (left.length > 0 && --left[left.length - 1]! === 0) {
      left.pop();
      keyStart.pop();
      keyEnd.pop();
    }
    if (left.length === 0) break;
  }
  if (at !== bytes.length) {
    throw new PaymentError('malformed', `${bytes.length - at} bytes after the end`);
  }
}

const NOT_A_MAP = -2;
const NO_KEY_YET = -1;

/** Keys in bytewise order, none twice. The first byte carries length and sign, so it decides. */
function requireAscending(bytes: Uint8Array, from: number, to: number, at: number, end: number) {
  for (let i = 0; from + i < to && at + i < end; i++) {
    const order = bytes[from + i]! - bytes[at + i]!;
    if (order < 0) return;
    if (order > 0) throw new PaymentError('non_canonical', `map keys out of order at byte ${at}`);
  }
  throw new PaymentError('non_canonical', `the same map key twice at byte ${at}`);
}

function requireUtf8(bytes: Uint8Array, from: number, to: number, start: number): void {
  let ascii = true;
  for (let i = from; i < to && ascii; i++) ascii = bytes[i]! < 0x80;
  if (ascii) return;
  try {
    utf8.decode(bytes.subarray(from, to));
  } catch (cause) {
    throw new PaymentError('malformed', `text at byte ${start} is not UTF-8`, { cause });
  }
}
