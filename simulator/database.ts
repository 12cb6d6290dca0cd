/**
 * A database file of a simulated disk: it keeps what the real port promises, and loses what a
 * power cut may take.
 *
 * The data stands in a real SQLite in memory. Each commit that is not on disk yet is a savepoint
 * that stays open, one within the other, so a power cut takes back the last of them. How many,
 * chance decides: the log of the real one is synced as a whole and each frame's checksum goes on
 * from the frame before, therefore what is left is a first part of all commits, with all that was
 * synced in it (src/node/sqlite.ts). A program that is killed loses nothing that it committed. A
 * sync takes time only where the real one would use a worker; `transaction` always waits for it.
 */
import assert from 'node:assert/strict';
import { OperatorError, PaymentError } from '../src/errors.ts';
import type { Database, SqlValue, Statement, Timers } from '../src/platform.ts';
import type { Chance } from './chance.ts';
import type { Image, Images } from './image.ts';

/** How a disk behaves at present; what is absent is well. */
export type DiskFaults = Readonly<{
  /** Nothing more can be written. What is there can be read, overwritten and removed. */
  isFull?: boolean;
  /** Nothing works: no reading, no writing, no opening. */
  isStopped?: boolean;
  /** Share of writes (0 to 1) that fail; then nothing was written. */
  failingWrites?: number;
  /** Share of syncs that fail; then nobody knows what was written. */
  failingSyncs?: number;
  /** How long a sync takes, from and to; below 1 ms the program waits for it. */
  syncMs?: readonly [number, number];
}>;

/** One life of a program: from its start to its end, however it ends. */
export type Life = Readonly<{
  isDead: () => boolean;
  /**
   * Called before and after whatever changes something outside, and `during` what is done in two
   * steps. Throws once the life is over; it may be over because of this very call.
   */
  step: (call: string, side: 'before' | 'during' | 'after') => void;
}>;

/** What becomes known of a disk from outside. */
export type DiskEvent =
  'commit' | 'sync' | 'full' | 'failing write' | 'failing sync' | 'lost' | 'backup';

/** The disk around a database. */
export type Around = Readonly<{
  chance: Chance;
  /** True time: a sync goes on when the program is dead. */
  after: Timers['after'];
  images: Images;
  faults: () => DiskFaults;
  observe: (event: DiskEvent) => void;
  /** Puts a copy under a name; throws when it is taken or cannot be written. */
  putCopy: (path: string, image: Image) => void;
}>;

export type Stored = Readonly<{
  /** The port for one life. Throws OperatorError `storage` while another has it open. */
  open: (path: string, life: Life) => Database;
  isOpen: () => boolean;
  /** The life that had it open is over; with the power goes what was not synced, or some of it. */
  end: (how: 'killed' | 'power cut') => void;
  /** The data as the next program would find it, to be read and not to be written. */
  peek: () => Database;
  /** Gives its memory back; nothing may be done with it afterwards. */
  release: () => void;
}>;

export function createStored(image: Image, around: Around): Stored {
  const { chance, after, images, faults, observe } = around;
  const inner = image.take();
  /** Commits so far; those in memory, those on disk, and those that no savepoint holds any more. */
  let written = 0;
  let synced = 0;
  let base = 0;
  let isInside = false;
  /** After a failed sync: nobody knows which of the commits since the last one are on disk. */
  let isDoubtful = false;
  /** Commits that outlived the last program; decided at its end. */
  let kept: number | undefined;
  let holder: Holder | undefined;

  /** Almost always there is one at a time, whose text SQLite is to read once. */
  const plain = (sql: string, depth: number) => {
    if (depth === 0) inner.prepare(`${sql} c0`).run();
    else inner.exec(`${sql} c${depth}`);
  };
  const mark = () => plain('SAVEPOINT', written - base);
  const drop = (depth: number) => inner.exec(`ROLLBACK TO c${depth}; RELEASE c${depth}`);

  /** All commits are on disk: none of them can be taken back. */
  function keepAll(): void {
    if (written > base) plain('RELEASE', 0);
    synced = base = written;
  }

  function end(how: 'killed' | 'power cut'): void {
    holder = undefined;
    if (how === 'power cut' || isDoubtful) kept = chance.between(synced, kept ?? written);
    isDoubtful = false;
  }

  /** As the next program finds it. */
  function settle(): void {
    if (holder || isInside) return;
    if (kept !== undefined && kept < written) {
      drop(kept - base);
      written = kept;
      observe('lost');
    }
    kept = undefined;
    keepAll();
  }

  function isSynced(): boolean {
    const { failingSyncs = 0, isStopped = false } = faults();
    if (!isStopped && !(failingSyncs > 0 && chance.happens(failingSyncs))) return true;
    observe('failing sync');
    isDoubtful = true;
    return false;
  }

  function requireWritable(): void {
    const { isFull, isStopped, failingWrites = 0 } = faults();
    if (isFull) {
      observe('full');
      throw unavailable('The disk is full.', 'ENOSPC: no space left on device');
    }
    if (isStopped || (failingWrites > 0 && chance.happens(failingWrites))) {
      observe('failing write');
      throw unavailable('The disk failed under the database.', 'EIO: i/o error');
    }
  }

  function open(path: string, life: Life): Database {
    if (holder) {
      const line = `The database ${path} is in use: stop the other program that has it open.`;
      throw new OperatorError('storage', line);
    }
    settle();
    const failed = Promise.withResolvers<PaymentError>();
    const me: Holder = { life };
    holder = me;
    const statements = new Map<string, Statement>();
    let waiting: Waiting[] = [];
    let broken: PaymentError | undefined;
    let isSyncing = false;
    let isCopying = false;
    let wrote = false;

    function requireOpen(): void {
      if (life.isDead()) life.step('database', 'before');
      if (holder !== me) throw new Error('database is not open');
      if (broken) throw broken;
    }

    function breakDown(): PaymentError {
      const line = 'The disk did not keep what was written. The program must be started again.';
      broken ??= unavailable(line, 'EIO: i/o error, fdatasync');
      const told = broken;
      failed.resolve(told);
      for (const { reject } of waiting.splice(0)) reject(told);
      return told;
    }

    function done(upTo: number): void {
      synced = Math.max(synced, upTo);
      if (synced === written) keepAll();
      observe('sync');
      if (waiting.length === 0) return;
      const served = waiting.filter((one) => one.upTo <= synced);
      waiting = waiting.filter((one) => one.upTo > synced);
      for (const { resolve } of served) resolve();
    }

    function syncNow(): void {
      if (!isSynced()) throw breakDown();
      done(written);
    }

    function syncInWorker(ms: number): void {
      isSyncing = true;
      // What is written from here on waits for the next one.
      const upTo = written;
      after(ms, () => {
        if (holder !== me || broken) return;
        if (!isSynced()) return void breakDown();
        done(upTo);
        isSyncing = false;
        if (synced < written) syncInWorker(drawMs());
      });
    }

    function drawMs(): number {
      const [least, most] = faults().syncMs ?? SYNC_MS;
      return chance.between(least, most);
    }

    function reached(): Promise<void> {
      if (broken) return Promise.reject(broken);
      if (synced === written) return Promise.resolve();
      const upTo = written;
      return new Promise((resolve, reject) => waiting.push({ upTo, resolve, reject }));
    }

    /** Runs as one commit, which is written and not synced when this returns. */
    function execute<T>(call: string, run: () => T): T {
      requireOpen();
      assert(!isInside, 'cannot start a transaction within a transaction');
      life.step(call, 'before');
      mark();
      isInside = true;
      wrote = false;
      try {
        const result = run();
        assert(!(result instanceof Promise), 'a transaction is synchronous');
        // A program that died inside may have caught what told it so.
        requireOpen();
        if (wrote) requireWritable();
        written++;
        return result;
      } catch (error) {
        drop(written - base);
        throw error;
      } finally {
        isInside = false;
      }
    }

    /** As `execute`, and synced. */
    function transact<T>(call: string, run: () => T): T {
      const before = written;
      const result = execute(call, run);
      const isNothing = !wrote && synced === before;
      if (isNothing) keepAll();
      else syncNow();
      if (wrote) observe('commit');
      life.step(call, 'after');
      return result;
    }

    function change<T>(run: () => T): T {
      requireOpen();
      return isInside ? run() : transact('statement', run);
    }

    function prepare(sql: string): Statement {
      const known = statements.get(sql);
      if (known) return known;
      requireOpen();
      const prepared = inner.prepare(sql);
      const isChange = CHANGE.test(sql);
      function ask<T>(run: () => T, hasRows: (found: T) => boolean): T {
        if (isChange) {
          return change(() => {
            const found = run();
            wrote ||= hasRows(found);
            return found;
          });
        }
        requireOpen();
        return run();
      }
      const statement: Statement = Object.freeze({
        run: (...values: readonly SqlValue[]) =>
          change(() => {
            const ran = prepared.run(...values);
            wrote ||= isChange && ran.changes > 0;
            return ran;
          }),
        get: (...values: readonly SqlValue[]) =>
          ask(
            () => prepared.get(...values),
            (row) => row !== undefined,
          ),
        all: (...values: readonly SqlValue[]) =>
          ask(
            () => prepared.all(...values),
            (rows) => rows.length > 0,
          ),
      });
      statements.set(sql, statement);
      return statement;
    }

    function exec(sql: string): void {
      change(() => {
        // A log that does not exist is not moved into the file; all that is left of it is the sync.
        const isCheckpoint = CHECKPOINT.test(sql);
        wrote ||= isCheckpoint ? written > synced : !PRAGMA.test(sql);
        if (!isCheckpoint) inner.exec(sql);
      });
    }

    async function commit<T>(run: () => T): Promise<T> {
      const result = execute('commit', run);
      observe('commit');
      life.step('commit', 'after');
      if (!isSyncing) {
        const ms = drawMs();
        if (ms >= 1) syncInWorker(ms);
        else syncNow();
      }
      await reached();
      return result;
    }

    async function backup(copy: string): Promise<void> {
      requireOpen();
      if (isCopying) throw uncopied(copy, 'another copy is being made');
      syncNow();
      isCopying = true;
      const copied = images.of(inner);
      await new Promise<void>((resolve) => after(chance.between(...COPY_MS), resolve));
      isCopying = false;
      if (life.isDead()) await new Promise(() => {}); // It never hears of it.
      if (holder !== me) throw uncopied(copy, 'the program was stopped meanwhile');
      try {
        around.putCopy(copy, copied);
      } catch (error) {
        throw uncopied(copy, (error as Error).message, error);
      }
      observe('backup');
    }

    return Object.freeze({
      prepare,
      exec,
      transaction: <T>(run: () => T) => transact('transaction', run),
      commit,
      async durable() {
        requireOpen();
        await reached();
      },
      backup,
      failed: failed.promise,
      close() {
        if (life.isDead()) life.step('close', 'before');
        if (holder !== me) throw new Error('database is not open');
        if (!broken) done(written);
        end('killed');
      },
    });
  }

  return Object.freeze({
    open,
    isOpen: () => holder !== undefined,
    end,
    peek() {
      settle();
      return inner;
    },
    release: () => image.giveBack(inner),
  });
}

type Holder = Readonly<{ life: Life }>;
type Waiting = Readonly<{ upTo: number; resolve: () => void; reject: (error: Error) => void }>;

/** A good disk: every other commit finds it busy for a moment. */
const SYNC_MS = [0, 1] as const;
const COPY_MS = [1, 200] as const;

const CHANGE =
  /^\s*(?:INSERT|UPDATE|DELETE|REPLACE|CREATE|DROP|ALTER|WITH\b[^]*\b(?:INSERT|UPDATE|DELETE)\b)/i;
const PRAGMA = /^\s*PRAGMA/i;
const CHECKPOINT = /^\s*PRAGMA wal_checkpoint/i;

function unavailable(line: string, cause: string): PaymentError {
  return new PaymentError('unavailable', line, { cause: new Error(cause) });
}

function uncopied(path: string, why: string, cause?: unknown): OperatorError {
  return new OperatorError('storage', `Cannot copy the database to ${path}: ${why}.`, { cause });
}
