/**
 * Private keys and secrets in files: made on first use, mode 0600, and refused when others could
 * read them, because a key that somebody may have copied is not a key.
 */
import type { KeyObject } from 'node:crypto';
import { fromHex, toHex, utf8 } from './bytes.ts';
import { payloadOf } from './cose.ts';
import { OperatorError } from './errors.ts';
import { requireBytes } from './files.ts';
import { type Algorithm, type VerifyKey, loadKey } from './keys.ts';
import { keyStatement } from './objects/key.ts';
import type { Files, Random } from './platform.ts';
import {
  generatePem,
  isEncryptedPem,
  nodeSigner,
  privatePem,
  publicPem,
  readPrivatePem,
  readPublicPem,
} from './signer.ts';

/** The private key in `path`, created when absent. Throws OperatorError `key` saying what to do. */
export function openKeyFile(files: Files, path: string, algorithm: Algorithm): KeyObject {
  return guarded(path, () => {
    const pem = readOrCreate(files, path, () => generatePem(algorithm));
    return readPrivatePem(pem);
  });
}

/** The private key in `path`, which must exist. Throws OperatorError `key` saying what to do. */
export function readKeyFile(files: Files, path: string): KeyObject {
  return guarded(path, () => {
    return readPrivatePem(text(requireKey(files, path)));
  });
}

/** The private key in `path`; `ask` is called for the passphrase when it is encrypted. */
export async function unlockKeyFile(
  files: Files,
  path: string,
  ask: () => string | Promise<string>,
): Promise<KeyObject> {
  const pem = text(requireKey(files, path));
  const passphrase = isEncryptedPem(pem) ? await ask() : undefined;
  return guarded(path, () => readPrivatePem(pem, passphrase));
}

/**
 * The private key in `path`, undefined when there is none. With a passphrase it lies encrypted: a
 * plain one is replaced by its encryption and its bytes are erased. Throws as the others do;
 * `words` say what to do about an encrypted key without its passphrase, and with another one.
 */
export function readSealedKey(
  files: Files,
  path: string,
  passphrase: string | undefined,
  words: Readonly<{ locked: string; wrong: string }>,
): KeyObject | undefined {
  return guarded(path, () => {
    const bytes = readPrivate(files, path);
    if (!bytes) return undefined;
    const pem = text(bytes);
    const isSealed = isEncryptedPem(pem);
    if (isSealed && passphrase === undefined) throw new Error(words.locked);
    const key = isSealed ? unsealed(pem, passphrase!, words.wrong) : readPrivatePem(pem);
    if (!isSealed && passphrase !== undefined) writeSealedKey(files, path, key, passphrase);
    return key;
  });
}

/** Puts a private key into `path` (mode 0600) in one step; what was there before is erased. */
export function writeSealedKey(
  files: Files,
  path: string,
  key: KeyObject,
  passphrase: string | undefined,
): void {
  files.replace(path, utf8(privatePem(key, passphrase)), 0o600, 'erased');
}

/** The text of a private file without its last line end. Throws as the keys do. */
export function readSecretText(files: Files, path: string): string {
  const bytes = readPrivate(files, path);
  if (!bytes) throw new OperatorError('key', `${path} does not exist`);
  return text(bytes).replace(/\r?\n$/, '');
}

/**
 * A new private key in `path` (mode 0600) and its public half beside it (`path`.pub unless told).
 * Throws OperatorError `key` when either is there already: a key is never overwritten.
 */
export function createKeyFiles(
  files: Files,
  path: string,
  algorithm: Algorithm,
  { passphrase, publicPath = `${path}.pub` }: { passphrase?: string; publicPath?: string } = {},
): VerifyKey {
  const pem = generatePem(algorithm, passphrase);
  const { key } = nodeSigner(readPrivatePem(pem, passphrase));
  for (const taken of [path, publicPath]) {
    if (!files.read(taken)) continue;
    throw new OperatorError('key', `${taken} exists already: choose another name`);
  }
  files.create(path, utf8(pem), 0o600);
  files.create(publicPath, utf8(publicPem(key)), 0o644);
  return key;
}

/** The public key in a file: a PEM, public or private, or a Key statement, not verified. */
export function readVerifyKey(files: Files, path: string): VerifyKey {
  const bytes = requireBytes(files, path);
  // 0xd2 is the tag of a COSE_Sign1.
  if (bytes[0] === 0xd2) return loadKey(keyStatement.decode(payloadOf(bytes)).key);
  return readPublicPem(text(bytes));
}

/** The secret of `bytes` bytes (hex in the file), created when absent. */
export function openSecretFile(
  files: Files,
  random: Random,
  path: string,
  bytes: number,
): Uint8Array {
  return guarded(path, () => {
    const secret = fromHex(readOrCreate(files, path, () => `${toHex(random(bytes))}\n`).trim());
    if (secret.length < bytes) throw new Error(`holds ${secret.length} bytes, ${bytes} are needed`);
    return secret;
  });
}

function readOrCreate(files: Files, path: string, make: () => string): string {
  const bytes = readPrivate(files, path);
  if (bytes) return text(bytes);
  const made = make();
  files.create(path, utf8(made), 0o600);
  return made;
}

function requireKey(files: Files, path: string): Uint8Array {
  const bytes = readPrivate(files, path);
  if (!bytes) throw new OperatorError('key', `${path} does not exist: make it with saytap keygen`);
  return bytes;
}

function readPrivate(files: Files, path: string): Uint8Array | undefined {
  const bytes = files.read(path);
  if (!bytes) return undefined;
  const { mode, own } = files.access(path);
  if ((mode & 0o077) !== 0) {
    throw new OperatorError(
      'key',
      `${path} can be read by others (mode ${mode.toString(8).padStart(4, '0')}): ` +
        `treat it as stolen and make a new one, or run chmod 600 ${path} if you are sure`,
    );
  }
  if (!own) throw new OperatorError('key', `${path} belongs to another user: run chown on it`);
  return bytes;
}

function unsealed(pem: string, passphrase: string, wrong: string): KeyObject {
  try {
    return readPrivatePem(pem, passphrase);
  } catch (cause) {
    throw new Error(wrong, { cause });
  }
}

function guarded<T>(path: string, run: () => T): T {
  try {
    return run();
  } catch (cause) {
    if (cause instanceof OperatorError) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new OperatorError('key', `${path} cannot be used: ${why}`, { cause });
  }
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
