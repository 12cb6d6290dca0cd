/**
 * The real database: one SQLite file through node:sqlite, durable at every commit.
 *
 * One program at a time owns a file: `locking_mode=EXCLUSIVE` holds SQLite's own lock until the
 * database is closed or the process dies, so a second bridge started by mistake gets one clear line
 * and no lock file is left behind by kill -9. It also spares the shared-memory index of the WAL.
 */
import assert from 'node:assert/strict';
import { closeSync, existsSync, fsyncSync, openSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { OperatorError, PaymentError } from '../errors.ts';
import {
  SQLITE_BUSY_MS,
  SQLITE_CHECK_BYTES_MAX,
  SQLITE_CHECKPOINT_PAGES,
  SQLITE_STATEMENTS_MAX,
} from '../limits.ts';
import { ConflictError, type Database, type SqlRow, type Statement } from '../platform.ts';

/**
 * Opens or creates (mode 0600) a database file, or a private one in memory for `:memory:`. Throws
 * OperatorError `storage` when the folder or file cannot be used, when another program has it open,
 * or when it is damaged. Statements throw ConflictError for a taken unique value and PaymentError
 * `unavailable` when the disk fails; every other error of SQLite is a bug and passes as it is.
 */
export function openDatabase(path: string): Database {
  const sqlite = openFile(path);
  const statements = new Map<string, Statement>();

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

  function transaction<T>(run: () => T): T {
    guarded(() => sqlite.exec('BEGIN IMMEDIATE'));
    try {
      const result = run();
      assert(!(result instanceof Promise), 'a transaction is synchronous');
      guarded(() => sqlite.exec('COMMIT'));
      return result;
    } catch (error) {
      // A full disk may have rolled back already; the first error is the one worth telling.
      if (sqlite.isTransaction) guarded(() => sqlite.exec('ROLLBACK'));
      throw error;
    }
  }

  return Object.freeze({
    prepare,
    exec: (sql: string) => guarded(() => sqlite.exec(sql)),
    transaction,
    close: () => sqlite.close(),
  });
}

function openFile(path: string): DatabaseSync {
  let sqlite: DatabaseSync | undefined;
  try {
    if (path !== ':memory:') createPrivately(path);
    sqlite = new DatabaseSync(path, { timeout: SQLITE_BUSY_MS });
    sqlite.exec('PRAGMA locking_mode = EXCLUSIVE');
    sqlite.exec('PRAGMA journal_mode = WAL');
    sqlite.exec('PRAGMA synchronous = FULL');
    sqlite.exec('PRAGMA foreign_keys = ON');
    sqlite.exec('PRAGMA trusted_schema = OFF');
    sqlite.exec(`PRAGMA wal_autocheckpoint = ${SQLITE_CHECKPOINT_PAGES}`);
    sqlite.exec('BEGIN IMMEDIATE; COMMIT'); // Takes the lock now, not at the first payment.
    if (path !== ':memory:') findDamage(sqlite, path);
    return sqlite;
  } catch (error) {
    sqlite?.close();
    throw error instanceof OperatorError ? error : unusable(path, error);
  }
}

/** SQLite would create the file with the umask's mode; its WAL copies the mode of the file. */
function createPrivately(path: string): void {
  // An existing file is not opened here: closing it would drop SQLite's locks in this process.
  if (existsSync(path)) return;
  closeSync(openSync(path, 'wx', 0o600));
  const folder = openSync(dirname(path), 'r');
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
    case SQLITE.corrupt:
    case SQLITE.notADatabase:
      return damaged(path, error);
    default: {
      const why = error instanceof Error ? error.message : String(error);
      return new OperatorError(
        'storage',
        `Cannot open the database ${path}: its folder must exist and be writable (${why}).`,
        { cause: error },
      );
    }
  }
}

function damaged(path: string, cause: unknown): OperatorError {
  return new OperatorError(
    'storage',
    `The file ${path} is damaged or is not a database: restore it from a backup or name another.`,
    { cause },
  );
}

/** Primary result codes, https://www.sqlite.org/rescode.html. */
const SQLITE = Object.freeze({
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

const DISK_FAILURES: ReadonlyMap<number, string> = new Map([
  [SQLITE.busy, 'The database is locked by another program.'],
  [SQLITE.locked, 'The database is locked by another program.'],
  [SQLITE.readonly, 'The database cannot be written.'],
  [SQLITE.ioError, 'The disk failed under the database.'],
  [SQLITE.corrupt, 'The database file is damaged.'],
  [SQLITE.full, 'The disk is full.'],
  [SQLITE.cannotOpen, 'The database file cannot be opened.'],
  [SQLITE.notADatabase, 'The database file is damaged.'],
]);

function guarded<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    const code = (error as { errcode?: unknown }).errcode;
    if (typeof code === 'number' && TAKEN.has(code)) {
      throw new ConflictError((error as Error).message, { cause: error });
    }
    const failure = DISK_FAILURES.get(sqliteCode(error) ?? -1);
    if (failure !== undefined) throw new PaymentError('unavailable', failure, { cause: error });
    throw error;
  }
}

function sqliteCode(error: unknown): number | undefined {
  const code = (error as { errcode?: unknown }).errcode;
  return typeof code === 'number' ? code & 0xff : undefined;
}
