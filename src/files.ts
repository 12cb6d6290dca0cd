/** Files that a program cannot do without: read, or one line that says what is missing. */
import { dirname } from 'node:path';
import { OperatorError } from './errors.ts';
import type { Files } from './platform.ts';

/** The bytes of `path`; throws OperatorError `config` when it is absent or cannot be read. */
export function requireBytes(files: Files, path: string): Uint8Array {
  let bytes: Uint8Array | undefined;
  try {
    bytes = files.read(path);
  } catch (cause) {
    throw new OperatorError('config', `cannot read ${path}: ${reason(cause, path)}`, { cause });
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
    throw new OperatorError('storage', `cannot make the folder ${path}: ${messageOf(cause)}`, {
      cause,
    });
  }
}

/**
 * That a new file can be named `path`: its folder is there, and no such file yet. Asked before
 * anybody types a yes. Throws OperatorError `storage`.
 */
export function requireFree(files: Files, path: string): void {
  requirePlace(files, path);
  if (files.read(path)) {
    throw new OperatorError('storage', `${path} exists already: choose another name`);
  }
}

/** That a file can be written to `path`, new or not. Throws OperatorError `storage`. */
export function requirePlace(files: Files, path: string): void {
  const folder = dirname(path);
  try {
    // Only a folder has something within.
    files.access(`${folder}/.`);
  } catch (cause) {
    throw new OperatorError('storage', `cannot write ${path}: ${reason(cause, folder)}`, { cause });
  }
}

/** As `list` of Files; throws OperatorError `storage` for what is no folder. */
export function requireList(files: Files, path: string): readonly string[] {
  try {
    return files.list(path);
  } catch (cause) {
    throw new OperatorError('storage', reason(cause, path), { cause });
  }
}

/** Why the system refuses `path`, in words for the usual mistakes. */
function reason(cause: unknown, path: string): string {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  if (code === 'ENOENT') return `the folder ${path} does not exist`;
  if (code === 'ENOTDIR') return `${path} is a file, not a folder`;
  if (code === 'EISDIR') return 'it is a folder, not a file';
  return messageOf(cause);
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
