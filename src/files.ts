/** Files that a program cannot do without: read, or one line that says what is missing. */
import { dirname, join } from 'node:path';
import { OperatorError } from './errors.ts';
import type { Files } from './platform.ts';

/**
 * A file, or every file of a folder whose name ends with `ending`, with the path of each. Throws
 * OperatorError `config` when there is none or one cannot be read.
 */
export function requireEach(
  files: Files,
  path: string,
  ending: string,
): readonly Readonly<{ path: string; bytes: Uint8Array }>[] {
  let names: readonly string[] = [];
  try {
    files.access(path);
    names = files.list(path);
  } catch {
    return [{ path, bytes: requireBytes(files, path) }]; // No folder: a file, or nothing.
  }
  const paths = names.filter((name) => name.endsWith(ending)).map((name) => join(path, name));
  if (paths.length === 0) {
    throw new OperatorError('config', `${path} holds no file that ends with ${ending}`);
  }
  return paths.map((each) => ({ path: each, bytes: requireBytes(files, each) }));
}

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
  if (isFolder(files, path)) {
    throw new OperatorError('storage', `cannot write ${path}: it is a folder, not a file`);
  }
}

function isFolder(files: Files, path: string): boolean {
  try {
    files.access(`${path}/.`);
    return true;
  } catch {
    return false; // What else is wrong with it, whoever writes it is told.
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
