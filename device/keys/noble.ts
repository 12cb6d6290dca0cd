/**
 * The device's own key, from a file: signs with noble, so that a simulated world repeats itself.
 *
 * In the field the signature is hedged (RFC 6979 with fresh entropy), which neither a bad random
 * source nor a fault injected twice can turn into the key. Without entropy it is deterministic.
 */
import type { KeyObject } from 'node:crypto';
import { createPublicKey } from 'node:crypto';
import { ed25519 } from '@noble/curves/ed25519.js';
import { p256 } from '@noble/curves/nist.js';
import { fromBase64url } from '../../src/bytes.ts';
import { type Signer, lowS } from '../../src/cose.ts';
import { loadKey, publicKeyOf } from '../../src/keys.ts';
import type { Random } from '../../src/platform.ts';

/**
 * Half as many points to work out before the first signature as noble's own 6, and 8 % more for
 * each after it, which is 40 µs.
 */
p256.Point.BASE.precompute(5);

/** A signer over a private key; `random` hedges ES256, undefined makes it deterministic. */
export function nobleSigner(handle: KeyObject, random: Random | undefined): Signer {
  const key = loadKey(publicKeyOf(createPublicKey(handle)));
  const secret = fromBase64url(handle.export({ format: 'jwk' }).d!);
  return Object.freeze({
    key,
    sign(toBeSigned: Uint8Array) {
      if (key.algorithm === 'EdDSA') return ed25519.sign(toBeSigned, secret);
      return lowS(
        p256.sign(toBeSigned, secret, {
          prehash: true,
          lowS: true,
          extraEntropy: random ? random(32) : false,
        }),
      );
    },
  });
}
