/**
 * When what was written to a file is on disk: alone at once, together under load, in a worker when
 * the disk is slow.
 *
 * A fast disk syncs sooner than a thread can be woken, so the loop waits for it. A slow one would
 * stop the program for as long as it takes; then the sync runs in a thread of libuv's pool, and
 * whoever writes meanwhile shares the next one. What decides is the moving mean of the last syncs.
 * Those of a worker are timed on the loop and so include its delay: a busy loop stays with workers,
 * where the thread costs it nothing, and an idle one finds out that the disk is fast again.
 *
 * After a failed sync nobody knows what the file holds: the kernel may have dropped the pages, and
 * the next sync would say that all is well. So the first failure is final. The descriptor stays
 * open throughout, because Linux tells a failed write-back once to each descriptor that was open:
 * one that somebody else's sync met, a checkpoint's say, is met here too.
 */
import { closeSync, fdatasync, fdatasyncSync } from 'node:fs';
import { promisify } from 'node:util';
import { SQLITE_SYNC_BLOCK_MS } from '../limits.ts';

/** Puts what was written to an open file on disk; a port, so that tests and benchmarks rule it. */
export type Disk = Readonly<{
  /** Returns when it is there; throws when that is not sure. */
  syncNow: (file: number) => void;
  /** The same in another thread, while the loop goes on. */
  sync: (file: number) => Promise<void>;
}>;

export const realDisk: Disk = Object.freeze({
  syncNow: fdatasyncSync,
  sync: promisify(fdatasync),
});

export type Durability = Readonly<{
  /** Call after each write; resolves when that write is on disk, rejects with the failure. */
  wrote: () => Promise<void>;
  /** Resolves when everything written so far is on disk, rejects with the failure. */
  reached: () => Promise<void>;
  /** Returns when everything written so far is on disk, however long; throws the failure. */
  reachNow: () => void;
  /** Closes the file as soon as no sync uses it. */
  close: () => void;
}>;

/**
 * Watches over `file`, an open descriptor that it then owns. `failed` hears of the first failed
 * sync, before anyone is rejected, and makes the error that everybody is rejected with.
 */
export function createDurability(
  file: number,
  disk: Disk,
  failed: (cause: unknown) => Error,
): Durability {
  type Waiting = Readonly<{ upTo: number; resolve: () => void; reject: (error: Error) => void }>;
  let waiting: Waiting[] = [];
  let written = 0;
  let synced = 0;
  let usualMs = 0;
  let isSyncing = false;
  let isClosed = false;
  let failure: Error | undefined;

  function reached(): Promise<void> {
    if (failure) return Promise.reject(failure);
    if (synced === written) return Promise.resolve();
    return new Promise((resolve, reject) => waiting.push({ upTo: written, resolve, reject }));
  }

  function syncOnLoop(): void {
    const startMs = performance.now();
    try {
      disk.syncNow(file);
    } catch (error) {
      return fail(error);
    }
    done(written, startMs);
  }

  async function syncInWorker(): Promise<void> {
    isSyncing = true;
    while (synced < written && !failure) {
      // What is written from here on may or may not be in this sync: it waits for the next.
      const upTo = written;
      const startMs = performance.now();
      await disk.sync(file).then(() => done(upTo, startMs), fail);
    }
    isSyncing = false;
    if (isClosed) closeSync(file);
  }

  function done(upTo: number, startMs: number): void {
    usualMs += (performance.now() - startMs - usualMs) / MEAN_OVER;
    synced = Math.max(synced, upTo); // Somebody may not have waited for this worker.
    const served = waiting.filter((one) => one.upTo <= synced);
    waiting = waiting.filter((one) => one.upTo > synced);
    for (const { resolve } of served) resolve();
  }

  function fail(cause: unknown): void {
    failure ??= failed(cause);
    const told = failure;
    for (const { reject } of waiting.splice(0)) reject(told);
  }

  return Object.freeze({
    wrote() {
      written++;
      if (!isSyncing && !failure) {
        if (usualMs <= SQLITE_SYNC_BLOCK_MS) syncOnLoop();
        else void syncInWorker();
      }
      return reached();
    },
    reached,
    reachNow() {
      if (synced < written && !failure) syncOnLoop();
      if (failure) throw failure;
    },
    close() {
      isClosed = true;
      if (!isSyncing) closeSync(file);
    },
  });
}

/** Syncs that the mean looks back on: one hiccup does not make a disk slow for long. */
const MEAN_OVER = 8;
