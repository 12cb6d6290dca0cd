/**
 * How a new key and the person who approves it meet: the short code that both can compare, and the
 * pairing code that only the QR on the device's own screen carries.
 *
 * The short code is a part of the key's thumbprint: it proves nothing and is no secret, but a
 * person who compares it approves the key on that screen and no other. The pairing code is a
 * secret of 128 bits. It travels in the fragment of a link, which no server and no log sees.
 */
import { createHmac, hash, timingSafeEqual } from 'node:crypto';
import { concat, fromBase64url, toBase64url, utf8 } from './bytes.ts';
import { PAIRING_BYTES, SHORT_CODE_CHARS } from './limits.ts';

/** What the QR of a device that enrols carries. */
export type Pairing = Readonly<{ code: Uint8Array; thumbprint: Uint8Array }>;

/**
 * The short code of a key, without its dash: the first 50 bits of SHA-256 of the thumbprint in
 * Crockford's base32. The thumbprint's own first bytes are the kid, which the person may see
 * elsewhere.
 */
export function shortCode(thumbprint: Uint8Array): string {
  const digest = hash('sha256', thumbprint, 'buffer');
  let bits = 0n;
  for (const byte of digest.subarray(0, 8)) bits = (bits << 8n) | BigInt(byte);
  const first = bits >> BigInt(64 - 5 * SHORT_CODE_CHARS);
  return Array.from({ length: SHORT_CODE_CHARS }, (_, at) => {
    const shift = BigInt(5 * (SHORT_CODE_CHARS - 1 - at));
    return ALPHABET[Number((first >> shift) & 31n)]!;
  }).join('');
}

/** "7K3QD-9XMPA": as a person reads it. */
export function spelled(code: string): string {
  return `${code.slice(0, SHORT_CODE_CHARS / 2)}-${code.slice(SHORT_CODE_CHARS / 2)}`;
}

/**
 * The short code that a person typed, however they wrote it: small letters, spaces, dashes, O for
 * 0 and I or L for 1. Undefined for anything else.
 */
export function readShortCode(text: string): string | undefined {
  const code = text
    .toUpperCase()
    .replaceAll(/[\s-]/g, '')
    .replaceAll('O', '0')
    .replaceAll(/[IL]/g, '1');
  const isCode =
    code.length === SHORT_CODE_CHARS && [...code].every((one) => ALPHABET.includes(one));
  return isCode ? code : undefined;
}

/** The link that a device shows as QR: the page of a bridge, and behind # what only it may read. */
export function pairingLink(url: string, { code, thumbprint }: Pairing): string {
  return `${url}/pair#${toBase64url(concat(code, thumbprint))}`;
}

/** What a pairing link, or only its fragment, carries; undefined for anything else. */
export function readPairing(text: string): Pairing | undefined {
  const fragment = text.trim().replace(/^.*#/s, '');
  if (!/^[\w-]{64}$/.test(fragment)) return undefined;
  const bytes = fromBase64url(fragment);
  return { code: bytes.slice(0, PAIRING_BYTES), thumbprint: bytes.slice(PAIRING_BYTES) };
}

/** `mac` of an Enrol (PROTOCOL.md 3.8): whoever made the key knows the pairing code. */
export function enrolMac({ code, thumbprint }: Pairing): Uint8Array {
  return hmac(code, 'saytap/1 enrol', thumbprint);
}

/** The MAC over a bundle: whoever wrote it was given the pairing code by the person. */
export function bundleMac(code: Uint8Array, bundle: Uint8Array): Uint8Array {
  return hmac(code, 'saytap/1 bundle', bundle);
}

/** Compares two MACs in constant time. */
export function sameMac(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

/** Without I, L, O and U: nobody takes one for another, and no words come out. */
const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

function hmac(code: Uint8Array, label: string, bytes: Uint8Array): Uint8Array {
  return Uint8Array.from(createHmac('sha256', code).update(utf8(label)).update(bytes).digest());
}
