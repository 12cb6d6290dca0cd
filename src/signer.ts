/**
 * Signers and their private keys, apart from cose.ts so that whoever only verifies holds none.
 *
 * The bridge, the wallet and the root sign with node:crypto. A device signs with noble or with
 * hardware (device/keys/). Private keys travel as PKCS #8 PEM, so that openssl reads them too.
 */
import {
  type KeyObject,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  sign,
} from 'node:crypto';
import { type Signer, fromDer, lowS } from './cose.ts';
import { PaymentError } from './errors.ts';
import { type Algorithm, type VerifyKey, loadKey, publicKeyOf } from './keys.ts';

/** A signer over a node:crypto private key; ES256 signatures come out with low S. */
export function nodeSigner(handle: KeyObject): Signer {
  const key = loadKey(publicKeyOf(createPublicKey(handle)));
  return Object.freeze({
    key,
    sign: (toBeSigned: Uint8Array) =>
      key.algorithm === 'EdDSA'
        ? Uint8Array.from(sign(null, toBeSigned, handle))
        : lowS(fromDer(sign('sha256', toBeSigned, handle))),
  });
}

/**
 * A new private key as PKCS #8 PEM, from the system's randomness; with a passphrase encrypted
 * (RFC 8018 PBES2: AES-256, 2048 rounds of PBKDF2, so the passphrase must be a long one).
 */
export function generatePem(algorithm: Algorithm, passphrase?: string): string {
  const { privateKey } =
    algorithm === 'ES256'
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : generateKeyPairSync('ed25519');
  return privatePem(privateKey, passphrase);
}

/** A private key as PKCS #8 PEM, encrypted as by `generatePem` when there is a passphrase. */
export function privatePem(handle: KeyObject, passphrase?: string): string {
  return handle.export({
    format: 'pem',
    type: 'pkcs8',
    ...(passphrase !== undefined && { cipher: 'aes-256-cbc', passphrase }),
  }) as string;
}

/** Whether a PEM gives its private key only for a passphrase. */
export function isEncryptedPem(pem: string): boolean {
  return pem.includes('-----BEGIN ENCRYPTED PRIVATE KEY-----');
}

/** Reads a PKCS #8 PEM; throws `malformed` when it is no private key of ours, or stays locked. */
export function readPrivatePem(pem: string, passphrase?: string): KeyObject {
  const isLocked = isEncryptedPem(pem);
  if (isLocked && passphrase === undefined) {
    throw new PaymentError('malformed', 'encrypted, and no program asks for its passphrase');
  }
  try {
    return createPrivateKey(isLocked ? { key: pem, passphrase: passphrase! } : pem);
  } catch (cause) {
    const why = isLocked ? 'the passphrase is wrong' : 'not a private key in PEM';
    throw new PaymentError('malformed', why, { cause });
  }
}

/** Reads a public (or private) PEM as a key to verify with; throws `malformed`. */
export function readPublicPem(pem: string): VerifyKey {
  try {
    return loadKey(publicKeyOf(createPublicKey(pem)));
  } catch (cause) {
    if (cause instanceof PaymentError) throw cause;
    throw new PaymentError('malformed', 'not a public key in PEM', { cause });
  }
}

/** The public half as SPKI PEM, for people and other tools. */
export function publicPem(key: VerifyKey): string {
  return key.handle.export({ format: 'pem', type: 'spki' }) as string;
}
