/**
 * Enrol: a new key asks to be known. Signed by that key (proof of possession), with a MAC under the
 * 128-bit code of the pairing QR (proof of having been there). For succession the old key endorses
 * the new one: `endorsement` is an Enrol of the same new key, signed by the old. With neither, a
 * key that is known already asks for what has changed since: certificate and statements anew.
 */
import { sameKey, thumbprint } from '../keys.ts';
import { ENVELOPE_BYTES_MAX } from '../limits.ts';
import { role } from './key.ts';
import {
  type ValueOf,
  bytes,
  bytesUpTo,
  defineKind,
  malformed,
  name,
  optional,
  publicKey,
  required,
  seconds,
} from './kind.ts';

export type Enrol = ValueOf<typeof enrol>;

export const enrol = defineKind(
  'enrol',
  {
    iat: required(6, seconds),
    key: required(47, publicKey),
    role: required(48, role),
    device: required(51, name),
    /** HMAC-SHA256 under the pairing code over "saytap/1 enrol" and the key's thumbprint. */
    mac: optional(57, bytes(32)),
    endorsement: optional(58, bytesUpTo(ENVELOPE_BYTES_MAX / 4)),
    /** The key of its mutual TLS, for which it asks a certificate: never the signing key. */
    tls: optional(63, publicKey),
  },
  (value) => {
    if (value.mac !== undefined && value.endorsement !== undefined) {
      throw malformed('either a pairing code or an old key vouches, not both');
    }
    if (value.tls === undefined) return;
    if (value.tls.algorithm !== 'ES256') throw malformed('the key of a certificate is P-256');
    if (sameKey(thumbprint(value.tls), thumbprint(value.key))) {
      throw malformed('the key that signs is not the key of the certificate');
    }
  },
);
