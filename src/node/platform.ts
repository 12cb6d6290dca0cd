/**
 * The real clock, timers, randomness and files. With its neighbours (http, link, sqlite) this
 * folder is the one place that touches the outside world; only a main.ts or the command imports it.
 */
import { createHash, randomBytes } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import type { Clock, Files, Machine, Random, Timers } from '../platform.ts';

export const clock: Clock = Object.freeze({
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
});

export const timers: Timers = Object.freeze({
  after(ms: number, run: () => void) {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
  soon: (run: () => void) => void setImmediate(run),
});

export const random: Random = (count) => Uint8Array.from(randomBytes(count));

/** Read anew, because a name may change. */
export function machine(): Machine {
  return { host: hostname(), boot: bootOf(), node: process.versions.node };
}

/** Hashed, because the kernel's own number is no secret but nobody else's business either. */
function bootOf(): string {
  const path = '/proc/sys/kernel/random/boot_id';
  const id = files.read(path) ?? new Uint8Array();
  return createHash('sha256').update('saytap boot ').update(id).digest('hex').slice(0, 8);
}

export const files: Files = Object.freeze({
  read(path: string) {
    try {
      return Uint8Array.from(readFileSync(path));
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  },
  create(path: string, bytes: Uint8Array, mode: number) {
    const file = openSync(path, 'wx', mode);
    try {
      writeAll(file, bytes);
    } catch (error) {
      unlinkSync(path);
      throw error;
    } finally {
      closeSync(file);
    }
    syncFolder(dirname(path));
  },
  replace(path: string, bytes: Uint8Array, mode: number, before?: 'erased') {
    const beside = `${path}.new`;
    const file = openSync(beside, 'w', mode);
    try {
      writeAll(file, bytes);
    } finally {
      closeSync(file);
    }
    // Opened under its name, overwritten when it has none: no moment without a whole file.
    const old = before && openPresent(path);
    try {
      renameSync(beside, path);
      syncFolder(dirname(path));
      if (old !== undefined) overwrite(old);
    } finally {
      if (old !== undefined) closeSync(old);
    }
  },
  erase(path: string) {
    const file = openPresent(path);
    if (file === undefined) return;
    try {
      overwrite(file);
    } finally {
      closeSync(file);
    }
    unlinkSync(path);
    syncFolder(dirname(path));
  },
  access(path: string) {
    const { mode, uid } = statSync(path);
    return { mode: mode & 0o777, own: process.getuid === undefined || uid === process.getuid() };
  },
  folder: makeFolder,
  list(path: string) {
    try {
      return readdirSync(path).sort();
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
  },
});

/** The folder of systemd's credentials for this service (systemd.exec(5)), when there is one. */
export const credentials = process.env['CREDENTIALS_DIRECTORY'];

/** By hand: Node's `recursive` never returns where the system refuses with ENOENT (/proc). */
function makeFolder(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return;
    if (!isMissing(error) || statSync(dirname(path), { throwIfNoEntry: false })) throw error;
    makeFolder(dirname(path));
    mkdirSync(path, { mode: 0o700 });
  }
}

function writeAll(file: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at);
  fsyncSync(file);
}

/** A file that is to be overwritten, also a write-protected one; undefined when there is none. */
function openPresent(path: string): number | undefined {
  try {
    chmodSync(path, 0o600);
    return openSync(path, 'r+');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Zeros over all of a file, on disk. */
function overwrite(file: number): void {
  writeAll(file, new Uint8Array(fstatSync(file).size));
}

/** A new name is durable only when its folder is. */
function syncFolder(path: string): void {
  const folder = openSync(path, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
