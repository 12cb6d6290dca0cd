/**
 * The tables of the outbox's file, brought up to date, and whether they still hold what was
 * written.
 *
 * Power cuts and worn cards damage what was written long ago, and SQLite notices only what breaks
 * its own structure. So every row carries a seal over its values, which is made in the transaction
 * that changes it and checked when the file is opened.
 */
import { OperatorError, PaymentError } from '../src/errors.ts';
import { OUTBOX_CACHE_KIB } from '../src/limits.ts';
import { DamagedError, type Database, type SqlRow, type SqlValue } from '../src/platform.ts';
import { isWhole, sealOf } from './seal.ts';

/** What makes each version out of the one before; an old outbox is brought up to date. */
const VERSIONS = [
  `CREATE TABLE entries (
     place INTEGER PRIMARY KEY,
     id TEXT NOT NULL UNIQUE,
     kind TEXT NOT NULL,
     envelope BLOB NOT NULL,
     stored_ms INTEGER NOT NULL,
     receipt BLOB,
     closed_ms INTEGER
   ) STRICT;
   CREATE INDEX entries_open ON entries (place) WHERE receipt IS NULL;
   CREATE TABLE counters (key TEXT PRIMARY KEY, last INTEGER NOT NULL) STRICT, WITHOUT ROWID;`,
  // What ended under version 1 counts as told.
  `ALTER TABLE entries ADD COLUMN cancel BLOB;
   ALTER TABLE entries ADD COLUMN is_told INTEGER NOT NULL DEFAULT 0;
   UPDATE entries SET is_told = 1 WHERE receipt IS NOT NULL;
   CREATE INDEX entries_untold ON entries (place) WHERE receipt IS NOT NULL AND is_told = 0;`,
  // Who pays, and how much, of what was accepted offline; null for everything else.
  `ALTER TABLE entries ADD COLUMN mandate TEXT;
   ALTER TABLE entries ADD COLUMN payer TEXT;
   ALTER TABLE entries ADD COLUMN currency TEXT;
   ALTER TABLE entries ADD COLUMN minor INTEGER;
   CREATE INDEX entries_offline ON entries (place) WHERE payer IS NOT NULL AND receipt IS NULL;
   CREATE TABLE leases (
     mandate TEXT PRIMARY KEY,
     nonce BLOB NOT NULL,
     iat INTEGER NOT NULL,
     exp INTEGER NOT NULL,
     upload INTEGER NOT NULL,
     currency TEXT NOT NULL,
     minor_left INTEGER NOT NULL CHECK (minor_left >= 0),
     count_left INTEGER NOT NULL CHECK (count_left >= 0)
   ) STRICT, WITHOUT ROWID;`,
  `ALTER TABLE entries ADD COLUMN seal BLOB NOT NULL DEFAULT x'';
   ALTER TABLE leases ADD COLUMN seal BLOB NOT NULL DEFAULT x'';
   ALTER TABLE counters ADD COLUMN is_settled INTEGER NOT NULL DEFAULT 1;
   ALTER TABLE counters ADD COLUMN seal BLOB NOT NULL DEFAULT x'';`,
  `ALTER TABLE entries ADD COLUMN transcript BLOB;`,
  `CREATE INDEX entries_leased ON entries (mandate) WHERE payer IS NOT NULL;`,
] as const;

/** The first version whose rows are sealed. */
const SEALED_SINCE = 4;
/** The tables with what names a row. */
const KEYS = { entries: 'id', counters: 'key', leases: 'mandate' } as const;
export type Table = keyof typeof KEYS;
const TABLES = Object.keys(KEYS) as readonly Table[];
/** In the file's header, with the version: a second place for what no row can protect. */
const APPLICATION = 0x5361_0000;
/** Rows that are in memory at once while the seals are checked. */
const SEALS_AT_ONCE = 256;

/** Call in the transaction of every change of a row. */
export function sealRow(database: Database, table: Table, key: string): void {
  const row = database.prepare(`SELECT * FROM ${table} WHERE ${KEYS[table]} = ?`).get(key);
  if (!row) return;
  database.prepare(`UPDATE ${table} SET seal = ? WHERE ${KEYS[table]} = ?`).run(sealOf(row), key);
}

/**
 * Brings the tables up to date; in an empty database it makes them, unless there was an outbox in
 * it (`old`). Throws DamagedError when SQLite's structure, the version or a seal does not hold.
 */
export function prepareTables(database: Database, age: 'any' | 'old'): void {
  const version = requireWhole(database);
  if (version === 0 && age === 'old') throw new DamagedError('the outbox is damaged: it is empty');
  // Nothing of what was deleted stays in the file, where a search after damage would find it.
  database.exec('PRAGMA secure_delete = ON');
  // In KiB: without it the memory grows with the file, up to 2 MiB.
  database.exec(`PRAGMA cache_size = -${OUTBOX_CACHE_KIB}`);
  if (version === VERSIONS.length) return;
  database.transaction(() => {
    const steps = VERSIONS.slice(version).join('\n');
    const header = `PRAGMA user_version = ${VERSIONS.length};
                    PRAGMA application_id = ${APPLICATION + VERSIONS.length}`;
    database.exec(`${steps} ${header}`);
    // A new column is in every seal.
    for (const table of TABLES) {
      const rows = database.prepare(`SELECT ${KEYS[table]} AS name FROM ${table}`).all();
      for (const { name } of rows as readonly { name: string }[]) sealRow(database, table, name);
    }
  });
}

/** The version of the schema, 0 for an empty database. */
function requireWhole(database: Database): number {
  const told = (pragma: string) => Object.values(database.prepare(`PRAGMA ${pragma}`).get()!)[0];
  return reading(() => {
    const version = Number(told('user_version'));
    const application = Number(told('application_id'));
    if (application !== (version < SEALED_SINCE ? 0 : APPLICATION + version)) {
      throw new DamagedError(`the outbox is damaged: version ${version} of ${application}`);
    }
    if (version > VERSIONS.length) {
      throw new OperatorError('storage', `the outbox is of a later version (${version})`);
    }
    const found = told('integrity_check(1)');
    if (found !== 'ok') throw new DamagedError(`the outbox is damaged: ${String(found)}`);
    if (version >= SEALED_SINCE) for (const table of TABLES) requireSeals(database, table);
    return version;
  });
}

function requireSeals(database: Database, table: Table): void {
  const key = KEYS[table];
  const page = database.prepare(
    `SELECT * FROM ${table} WHERE ?1 IS NULL OR ${key} > ?1 ORDER BY ${key} LIMIT ${SEALS_AT_ONCE}`,
  );
  for (let after: SqlValue = null; ;) {
    const rows: readonly SqlRow[] = page.all(after);
    if (!rows.every(isWhole)) throw new DamagedError(`the outbox is damaged: a row of ${table}`);
    if (rows.length < SEALS_AT_ONCE) return;
    after = rows.at(-1)![key]!;
  }
}

/** What SQLite cannot make sense of while the outbox is read is damage; a failing disk is not. */
function reading<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof OperatorError) throw error;
    if (error instanceof PaymentError && !(error.cause instanceof DamagedError)) {
      const why = `cannot read the outbox: ${error.message}`;
      throw new OperatorError('storage', why, { cause: error });
    }
    throw new DamagedError('the outbox is damaged: SQLite cannot read it', { cause: error });
  }
}
