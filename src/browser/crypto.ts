/**
 * The three functions of node:crypto that src/ signs, names and verifies with, for a page: esbuild
 * puts this file in the place of that module, so that a browser runs our one codec and no copy.
 *
 * They are synchronous, which WebCrypto is not, so they stand on noble. Only P-256: that is what a
 * wallet in a browser has.
 */
import { p256 } from '@noble/curves/nist.js';
import { fromBase64url, toHex } from '../bytes.ts';

/** What stands for a KeyObject. */
type Handle = Readonly<{ asymmetricKeyType: 'ec'; point: Uint8Array; export: () => Uint8Array }>;

/** The curve's own hash. Its types do not tell of it; the version is pinned, and a test holds. */
const { hash: sha256 } = p256 as unknown as { hash: (bytes: Uint8Array) => Uint8Array };

/** SHA-256. */
export function hash(algorithm: string, bytes: Uint8Array, _as: 'buffer'): Uint8Array {
  if (algorithm !== 'sha256') throw new Error(`${algorithm} is not for a page`);
  return sha256(bytes);
}

/** Throws for anything but a point of P-256. */
export function createPublicKey(
  given: Readonly<{ key: Readonly<{ crv: string; x: string; y?: string }> }>,
): Handle {
  const { crv, x, y } = given.key;
  if (crv !== 'P-256' || y === undefined) throw new Error('only P-256 is for a page');
  const point = Uint8Array.of(4, ...fromBase64url(x), ...fromBase64url(y));
  p256.Point.fromHex(toHex(point)).assertValidity();
  return { asymmetricKeyType: 'ec', point, export: () => point };
}

/** Of an Ecdsa-Sig-Value, as node:crypto does. */
export function verify(
  algorithm: string,
  message: Uint8Array,
  { point }: Handle,
  signature: Uint8Array,
): boolean {
  if (algorithm !== 'sha256') throw new Error(`${algorithm} is not for a page`);
  return p256.verify(signature, message, point, { prehash: true, lowS: true, format: 'der' });
}
