/**
 * Private keys and secrets in files: made on first use, mode 0600, and refused when others could
 * read them, because a key that somebody may have copied is not a key.
 */
import type { KeyObject } from 'node:crypto';
import { fromHex, toHex, utf8 } from './bytes.ts';
import { OperatorError } from './errors.ts';
import type { Algorithm } from './keys.ts';
import type { Files, Random } from './platform.ts';
import { generatePem, readPrivatePem } from './signer.ts';

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
    const bytes = readPrivate(files, path);
    if (!bytes)
      throw new OperatorError('key', `${path} does not exist: make it with saytap keygen`);
    return readPrivatePem(text(bytes));
  });
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
