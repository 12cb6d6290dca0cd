/**
 * Keys in files of the device's folder: `device.key.pem`, and `device.next.key.pem` beside it.
 *
 * With a systemd credential they lie encrypted under it (PKCS #8), so that a copied disk is no
 * copied key. The passphrase is derived from the credential's secret, whose 128 bits and more are
 * what protects: PKCS #8 slows a guess by 2048 rounds only.
 */
import assert from 'node:assert/strict';
import { type KeyObject, createPrivateKey, hkdfSync } from 'node:crypto';
import { join } from 'node:path';
import { toBase64url, utf8 } from '../../src/bytes.ts';
import type { Signer } from '../../src/cose.ts';
import { OperatorError } from '../../src/errors.ts';
import { readSealedKey, writeSealedKey } from '../../src/keyfile.ts';
import { CREDENTIAL_BYTES_MAX, CREDENTIAL_BYTES_MIN } from '../../src/limits.ts';
import type { Files, Random } from '../../src/platform.ts';
import { generatePem } from '../../src/signer.ts';
import { nobleSigner } from './noble.ts';
import type { KeyStore } from './store.ts';

/** The credential's name in a unit, as in `LoadCredentialEncrypted=saytap.key`. */
export const KEY_CREDENTIAL = 'saytap.key';

/**
 * Opens the keys in `folder`, encrypted from now on when there is a `credential` (its secret).
 * `random` hedges signatures; undefined makes them deterministic. Throws OperatorError `key` saying
 * what to do.
 */
export function openFileKeys(
  parts: Readonly<{
    files: Files;
    random: Random | undefined;
    /** How a key signs instead: a world's way. */
    signerOf?: ((handle: KeyObject) => Signer) | undefined;
    folder: string;
    credential: Uint8Array | undefined;
  }>,
): KeyStore {
  const { files, random, folder, signerOf = (key) => nobleSigner(key, random) } = parts;
  const currentPath = join(folder, 'device.key.pem');
  const nextPath = join(folder, 'device.next.key.pem');
  const passphrase = parts.credential && passphraseOf(parts.credential);
  let current = read(currentPath);
  let next = read(nextPath);
  // A power cut between the two steps of a promotion: the second one is still to do.
  if (next && next.signer.key.name === current?.signer.key.name) {
    files.erase(nextPath);
    next = undefined;
  }

  function read(path: string): Slot | undefined {
    const key = readSealedKey(files, path, passphrase, WORDS);
    return key && slotOf(key);
  }

  function slotOf(key: KeyObject): Slot {
    return { key, signer: signerOf(key) };
  }

  return {
    current: () => current?.signer,
    next: () => next?.signer,
    async prepare() {
      const algorithm = current?.signer.key.algorithm ?? 'ES256';
      const made = slotOf(createPrivateKey(generatePem(algorithm)));
      writeSealedKey(files, nextPath, made.key, passphrase);
      next = made;
      return made.signer;
    },
    async promote() {
      assert(next, 'promoted before it was prepared');
      writeSealedKey(files, currentPath, next.key, passphrase);
      current = next;
      next = undefined;
      files.erase(nextPath);
    },
    async wipe() {
      // What a power cut may have left beside them goes too.
      for (const path of [currentPath, nextPath]) {
        files.erase(`${path}.new`);
        files.erase(path);
      }
      current = undefined;
      next = undefined;
    },
    describe: () => (passphrase === undefined ? 'a file, not encrypted' : 'an encrypted file'),
  };
}

type Slot = Readonly<{ key: KeyObject; signer: Signer }>;

const WORDS = Object.freeze({
  locked:
    `it is encrypted, and systemd gave this program no credential: put ` +
    `LoadCredentialEncrypted=${KEY_CREDENTIAL} under [Service] in its unit (docs/keys.md)`,
  wrong:
    `it was encrypted under another secret than the credential ${KEY_CREDENTIAL} holds now: ` +
    `put that one back, or enrol this device anew`,
});

function passphraseOf(secret: Uint8Array): string {
  const { length } = secret;
  if (length < CREDENTIAL_BYTES_MIN || length > CREDENTIAL_BYTES_MAX) {
    throw new OperatorError(
      'key',
      `the credential ${KEY_CREDENTIAL} has ${length} bytes: ` +
        `${CREDENTIAL_BYTES_MIN} to ${CREDENTIAL_BYTES_MAX} are needed`,
    );
  }
  const salt = new Uint8Array(0);
  return toBase64url(
    new Uint8Array(hkdfSync('sha256', secret, salt, utf8('saytap device key'), 32)),
  );
}
