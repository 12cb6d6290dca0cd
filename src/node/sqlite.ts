/**
 * The real database: one SQLite file through node:sqlite, durable at every commit.
 *
 * One program at a time owns a file: `locking_mode=EXCLUSIVE` holds SQLite's own lock until the
 * database is closed or the process dies, so a second bridge started by mistake gets one clear line
 * and no lock file is left behind by kill -9. It also spares the shared-memory index of the WAL.
 *
 * With `synchronous=FULL`, which is what every statement and `transaction` here runs under, SQLite
 * syncs its write-ahead log in each COMMIT, and the program stands still meanwhile. A `commit` runs
 * under NORMAL and syncs the log itself, in a worker when the disk is slow. That this is the same
 * promise follows from what SQLite does in wal.c and https://www.sqlite.org/wal.html:
 *
 * - NORMAL differs from FULL in that one sync alone. It still syncs the log before a checkpoint
 *   copies it, the file after that, and the new header when the log begins again from its start, so
 *   no order of writes can damage the file, and a checkpoint or a new start in the middle of our
 *   sync has already put on disk what we wait for.
 * - Every frame has a checksum that goes on from the frame before. What a power cut leaves is
 *   therefore a first part of all commits, and what we synced is in it.
 * - The log is one file for as long as the database is open, so one descriptor serves. POSIX drops
 *   a process's locks on a file when it closes any descriptor of it; SQLite locks the database file
 *   and never the log, which is why we may open and close the log and not the file.
 * - After kill -9 the system still holds what was written and not synced, and the next start reads
 *   it as committed. It is moved into the file, synced, before anybody can be told of it.
 * - A checkpoint inside COMMIT ignores the error of its sync. Ours, which follows, meets it.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { promisify } from 'node:util';
import { OperatorError, PaymentError } from '../errors.ts';
import {
  SQLITE_BUSY_MS,
  SQLITE_CHECK_BYTES_MAX,
  SQLITE_CHECKPOINT_PAGES,
  SQLITE_STATEMENTS_MAX,
} from '../limits.ts';
import {
  ConflictError,
  DamagedError,
  type Database,
  type SqlRow,
  type Statement,
} from '../platform.ts';
import { type Disk, type Durability, createDurability, realDisk } from './durability.ts';

/**
 * Opens or creates (mode 0600) a database file, or a private one in memory for `:memory:`. Throws
 * OperatorError `storage` when the folder or file cannot be used, when another program has it open,
 * and DamagedError when it is damaged. Statements throw ConflictError for a taken unique value and
 * PaymentError `unavailable` when the disk fails; every other error of SQLite is a bug and passes
 * as it is. `disk` is how a `commit` is synced.
 */
export function openDatabase(path: string, disk: Disk = realDisk): Database {
  const { sqlite, log } = openFile(path);
  /** Set by the first failed sync, whoever made it, or the first damage that was met. */
  let broken: PaymentError | undefined;
  const failed = Promise.withResolvers<PaymentError>();
  let isClosed = false;
  let isCopying = false;
  const statements = new Map<string, Statement>();
  const durability = log === undefined ? IN_MEMORY : createDurability(log, disk, breakDown);

  function breakDown(cause: unknown): PaymentError {
    if (broken) return broken;
    const isDamage = cause instanceof DamagedError;
    const why = isDamage ? cause.message : 'The disk did not keep what was written.';
    const next = isDamage ? '' : ' The program must be started again.';
    broken = new PaymentError('unavailable', why + next, { cause });
    failed.resolve(broken);
    return broken;
  }

  function guarded<T>(run: () => T): T {
    if (broken) throw broken;
    try {
      return run();
    } catch (error) {
      const code = (error as { errcode?: unknown }).errcode;
      if (typeof code !== 'number') throw error;
      if (FAILED_SYNCS.has(code)) throw breakDown(error);
      if (DAMAGE.has(code & 0xff)) throw breakDown(damaged(path, error));
      if (TAKEN.has(code)) throw new ConflictError((error as Error).message, { cause: error });
      const failure = DISK_FAILURES.get(code & 0xff);
      if (failure !== undefined) throw new PaymentError('unavailable', failure, { cause: error });
      throw error;
    }
  }

  function prepare(sql: string): Statement {
    const known = statements.get(sql);
    if (known !== undefined) return known;
    assert(statements.size < SQLITE_STATEMENTS_MAX, 'SQL texts are constants, not made of values');
    const prepared = guarded(() => sqlite.prepare(sql));
    prepared.setReadBigInts(true);
    const statement: Statement = Object.freeze({
      run: (...values) => guarded(() => ({ changes: Number(prepared.run(...values).changes) })),
      get: (...values) => guarded(() => prepared.get(...values) as SqlRow | undefined),
      all: (...values) => guarded(() => prepared.all(...values) as SqlRow[]),
    });
    statements.set(sql, statement);
    return statement;
  }

  function execute<T>(run: () => T): T {
    guarded(() => sqlite.exec('BEGIN IMMEDIATE'));
    try {
      const result = run();
      assert(!(result instanceof Promise), 'a transaction is synchronous');
      guarded(() => sqlite.exec('COMMIT'));
      return result;
    } catch (error) {
      // A full disk may have rolled back already; the first error is the one worth telling.
      if (sqlite.isTransaction) sqlite.exec('ROLLBACK');
      throw error;
    }
  }

  function transaction<T>(run: () => T): T {
    const result = execute(run);
    // It may have changed nothing, and have read what a commit has not yet got to the disk.
    durability.reachNow();
    return result;
  }

  async function commit<T>(run: () => T): Promise<T> {
    guarded(() => sqlite.exec('PRAGMA synchronous = NORMAL'));
    let result: T;
    try {
      result = execute(run);
    } finally {
      // Before anything else can run: whoever knows nothing of this stays durable.
      sqlite.exec('PRAGMA synchronous = FULL');
    }
    await durability.wrote();
    return result;
  }

  /**
   * With the log moved into the file and not moved again, the file stands still while commits go
   * on into the log: whoever copies it meanwhile copies one moment. SQLite's own backup gives up
   * when it meets a transaction, and VACUUM INTO stops the program. Another process copies, for
   * closing the file here would drop SQLite's lock on it.
   */
  async function backup(copy: string): Promise<void> {
    const file = sqlite.location();
    assert(file !== null, 'what is in memory has no file to copy');
    if (isCopying) throw uncopied(copy, 'another copy is being made');
    if (existsSync(copy)) throw uncopied(copy, 'it is there already');
    guarded(() => sqlite.exec('PRAGMA wal_autocheckpoint = 0; PRAGMA wal_checkpoint(TRUNCATE)'));
    isCopying = true;
    try {
      await promisify(execFile)(process.execPath, ['-e', COPY, file, copy]);
      if (isClosed) throw new Error('the program was stopped meanwhile');
      syncFolder(dirname(copy));
    } catch (error) {
      rmSync(copy, { force: true });
      const { stderr, message } = error as Error & { stderr?: string };
      throw uncopied(copy, /Error: (.*)/.exec(stderr ?? '')?.[1] ?? message, error);
    } finally {
      isCopying = false;
      if (!isClosed) sqlite.exec(AUTOCHECKPOINT);
    }
  }

  return Object.freeze({
    prepare,
    exec: (sql: string) => guarded(() => sqlite.exec(sql)),
    transaction,
    commit,
    durable: async () => {
      if (broken) throw broken;
      await durability.reached();
    },
    backup,
    failed: failed.promise,
    close() {
      isClosed = true;
      sqlite.close();
      durability.close();
    },
  });
}

/** Nothing in memory outlives the program, so nothing is waited for. */
const IN_MEMORY: Durability = Object.freeze({
  wrote: () => Promise.resolve(),
  reached: () => Promise.resolve(),
  reachNow: () => {},
  close: () => {},
});

const AUTOCHECKPOINT = `PRAGMA wal_autocheckpoint = ${SQLITE_CHECKPOINT_PAGES}`;

/** Copies its first argument to its second, a new file with the same mode, and syncs it. */
const COPY = `
  const fs = require('node:fs');
  const [from, to] = process.argv.slice(1);
  fs.copyFileSync(from, to, fs.constants.COPYFILE_EXCL | fs.constants.COPYFILE_FICLONE);
  fs.fsyncSync(fs.openSync(to, 'r+'));
`;

function uncopied(path: string, why: string, cause?: unknown): OperatorError {
  return new OperatorError('storage', `Cannot copy the database to ${path}: ${why}.`, { cause });
}

/** The open database, and a descriptor of its write-ahead log unless it is in memory. */
function openFile(path: string): Readonly<{ sqlite: DatabaseSync; log: number | undefined }> {
  let sqlite: DatabaseSync | undefined;
  try {
    if (path !== ':memory:') createPrivately(path);
    sqlite = new DatabaseSync(path, { timeout: SQLITE_BUSY_MS });
    sqlite.exec('PRAGMA locking_mode = EXCLUSIVE');
    sqlite.exec('PRAGMA journal_mode = WAL');
    sqlite.exec('PRAGMA synchronous = FULL');
    sqlite.exec('PRAGMA foreign_keys = ON');
    sqlite.exec('PRAGMA trusted_schema = OFF');
    sqlite.exec(AUTOCHECKPOINT);
    sqlite.exec('BEGIN IMMEDIATE; COMMIT'); // Takes the lock now, not at the first payment.
    const file = sqlite.location();
    if (file === null) return { sqlite, log: undefined };
    findDamage(sqlite, file);
    sqlite.exec('PRAGMA wal_checkpoint(TRUNCATE)'); // What a killed process wrote and did not sync.
    syncFolder(dirname(file)); // The names of the file and of its log.
    return { sqlite, log: openSync(`${file}-wal`, 'r+') };
  } catch (error) {
    sqlite?.close();
    throw error instanceof OperatorError ? error : unusable(path, error);
  }
}

/** SQLite would create the file with the umask's mode; its WAL copies the mode of the file. */
function createPrivately(path: string): void {
  // An existing file is not opened here: closing it would drop SQLite's locks in this process.
  if (!existsSync(path)) closeSync(openSync(path, 'wx', 0o600));
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

function findDamage(sqlite: DatabaseSync, path: string): void {
  if (statSync(path).size > SQLITE_CHECK_BYTES_MAX) return;
  const found = sqlite.prepare('PRAGMA quick_check(1)').get() as { quick_check: string };
  if (found.quick_check !== 'ok') throw damaged(path, found.quick_check);
}

function unusable(path: string, error: unknown): OperatorError {
  switch (sqliteCode(error)) {
    case SQLITE.busy:
      return new OperatorError(
        'storage',
        `The database ${path} is in use: stop the other program that has it open.`,
        { cause: error },
      );
    // What is run here is right, so an error in it is the file's: a format of no version, say.
    case SQLITE.error:
    case SQLITE.corrupt:
    case SQLITE.notADatabase:
      return damaged(path, error);
    default: {
      if (sqliteCode(error) === SQLITE.readonly && hasUnknownFormat(path)) {
        return damaged(path, error);
      }
      const why = error instanceof Error ? error.message : String(error);
      return new OperatorError(
        'storage',
        `Cannot open the database ${path}: its folder must exist and be writable (${why}).`,
        { cause: error },
      );
    }
  }
}

/** SQLite refuses to write what names a later format than it knows (fileformat2 §1.3.3). */
function hasUnknownFormat(path: string): boolean {
  const [write, read] = readFileSync(path).subarray(18, 20);
  return ![1, 2].includes(write!) || ![1, 2].includes(read!);
}

function damaged(path: string, cause: unknown): DamagedError {
  return new DamagedError(
    `The file ${path} is damaged or is not a database: restore it from a backup or name another.`,
    { cause },
  );
}

/** Primary result codes, https://www.sqlite.org/rescode.html. */
const SQLITE = Object.freeze({
  error: 1,
  busy: 5,
  locked: 6,
  readonly: 8,
  ioError: 10,
  corrupt: 11,
  full: 13,
  cannotOpen: 14,
  constraint: 19,
  notADatabase: 26,
});

/** Extended codes SQLITE_CONSTRAINT_PRIMARYKEY, _UNIQUE and _ROWID. */
const TAKEN: ReadonlySet<number> = new Set([1555, 2067, 2579]);

const DAMAGE: ReadonlySet<number> = new Set([SQLITE.corrupt, SQLITE.notADatabase]);

/** Extended codes SQLITE_IOERR_FSYNC and SQLITE_IOERR_DIR_FSYNC. */
const FAILED_SYNCS: ReadonlySet<number> = new Set([1034, 1290]);

const DISK_FAILURES: ReadonlyMap<number, string> = new Map([
  [SQLITE.busy, 'The database is locked by another program.'],
  [SQLITE.locked, 'The database is locked by another program.'],
  [SQLITE.readonly, 'The database cannot be written.'],
  [SQLITE.ioError, 'The disk failed under the database.'],
  [SQLITE.full, 'The disk is full.'],
  [SQLITE.cannotOpen, 'The database file cannot be opened.'],
]);

function sqliteCode(error: unknown): number | undefined {
  const code = (error as { errcode?: unknown }).errcode;
  return typeof code === 'number' ? code & 0xff : undefined;
}
