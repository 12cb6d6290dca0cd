/**
 * The real clock, timers, randomness and files. With its neighbours (http, link, sqlite) this
 * folder is the one place that touches the outside world; only a main.ts or the command imports it.
 */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
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
import { dirname } from 'node:path';
import type { Clock, Files, Random, Timers } from '../platform.ts';

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
  replace(path: string, bytes: Uint8Array, mode: number) {
    const beside = `${path}.new`;
    const file = openSync(beside, 'w', mode);
    try {
      writeAll(file, bytes);
    } finally {
      closeSync(file);
    }
    renameSync(beside, path);
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
