/** Whole files, also larger than memory: digested, copied, and put in each other's place. */
import { createHash } from 'node:crypto';
import {
  closeSync,
  constants,
  copyFileSync,
  fsyncSync,
  linkSync,
  openSync,
  readSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import type { Archive } from '../platform.ts';

export const archive: Archive = Object.freeze({
  digest(path: string) {
    if (!statSync(path, { throwIfNoEntry: false })?.isFile()) return undefined;
    const sum = createHash('sha256');
    let bytes = 0;
    inPieces(path, (piece) => {
      sum.update(piece);
      bytes += piece.length;
    });
    return { bytes, sha256: sum.digest('hex') };
  },
  copy(from: string, to: string) {
    const file = openSync(to, 'wx', 0o600);
    try {
      inPieces(from, (piece) => {
        for (let at = 0; at < piece.length;) at += writeSync(file, piece, at);
      });
      fsyncSync(file);
    } catch (error) {
      unlinkSync(to);
      throw error;
    } finally {
      closeSync(file);
    }
    syncFolder(dirname(to));
  },
  move(from: string, to: string) {
    if (statSync(to, { throwIfNoEntry: false })) throw new Error(`${to} exists already`);
    renameSync(from, to);
    syncFolder(dirname(to));
  },
  swap(fresh: string, path: string, aside: string) {
    try {
      linkSync(path, aside);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw error;
      // A file system without hard links: the old bytes are copied before the name is taken.
      copyFileSync(path, aside, constants.COPYFILE_EXCL);
    }
    syncFolder(dirname(aside));
    renameSync(fresh, path);
    syncFolder(dirname(path));
  },
});

const PIECE_BYTES = 1024 * 1024;

function inPieces(path: string, use: (piece: Uint8Array) => void): void {
  const file = openSync(path, 'r');
  try {
    const buffer = new Uint8Array(PIECE_BYTES);
    for (let count = -1; count !== 0;) {
      count = readSync(file, buffer);
      use(buffer.subarray(0, count));
    }
  } finally {
    closeSync(file);
  }
}

function syncFolder(path: string): void {
  const folder = openSync(path, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
