/** Files that a program cannot do without: read, or one line that says what is missing. */
import { OperatorError } from './errors.ts';
import type { Files } from './platform.ts';

/** The bytes of `path`; throws OperatorError `config` when it is absent or cannot be read. */
export function requireBytes(files: Files, path: string): Uint8Array {
  let bytes: Uint8Array | undefined;
  try {
    bytes = files.read(path);
  } catch (cause) {
    throw new OperatorError('config', `cannot read ${path}: ${reason(cause)}`, { cause });
  }
  if (!bytes) throw new OperatorError('config', `${path} does not exist`);
  return bytes;
}

/** As requireBytes, as text. */
export function requireText(files: Files, path: string): string {
  return new TextDecoder().decode(requireBytes(files, path));
}

/** Makes a folder with its parents; throws OperatorError `storage` when that cannot be done. */
export function requireFolder(files: Files, path: string): void {
  try {
    files.folder(path);
  } catch (cause) {
    throw new OperatorError('storage', `cannot make the folder ${path}: ${reason(cause)}`, {
      cause,
    });
  }
}

function reason(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
