/**
 * The outbox: what a person confirmed is on disk, synced, before it is sent, and stays until the
 * bridge's signed final receipt. MQTT.js has no such thing, and a PUBACK proves nothing.
 *
 * Envelope and counter go down in one transaction, so a power cut loses both or neither, and a
 * counter is never used for two things.
 */
import { OperatorError, PaymentError } from '../src/errors.ts';
import { OUTBOX_ENTRIES_MAX, OUTBOX_KEEP_MS } from '../src/limits.ts';
import type { KindName } from '../src/objects/kinds.ts';
import type { Database, SqlRow } from '../src/platform.ts';

/** Something that must reach the bridge and be answered for good. */
export type Entry = Readonly<{
  id: string;
  kind: Extract<KindName, 'request' | 'order' | 'mandate'>;
  envelope: Uint8Array;
  /** Trusted time when it was stored, ms; 0 when no time was known. */
  storedMs: number;
  /** The final receipt; undefined while the entry is open. */
  receipt: Uint8Array | undefined;
}>;

export type Outbox = Readonly<{
  /** The last counter that any stored envelope of this key carries; 0 when none. */
  counter: (key: string) => number;
  /**
   * Stores an entry durably, with the counter that it uses. Storing the same id again changes
   * nothing, except that a mandate is offered anew (a refusal of one is not for ever). Throws
   * `unavailable` when the outbox is full or the disk refuses: nothing was stored and nothing may
   * be sent. Throws `in_progress` when the disk failed in a way that may let the entry come back
   * after a power cut: then nobody may say that nothing will be sent.
   */
  put: (entry: Omit<Entry, 'receipt'>, used?: Readonly<{ key: string; counter: number }>) => void;
  get: (id: string) => Entry | undefined;
  /** Open entries, oldest first. */
  open: () => readonly Entry[];
  /** Closes an entry with its verified final receipt. */
  close: (id: string, receipt: Uint8Array, nowMs: number) => void;
  /** Closed requests, newest first. */
  recent: (count: number) => readonly Entry[];
  /** Forgets entries that were closed longer ago than OUTBOX_KEEP_MS. */
  forget: (nowMs: number) => void;
  /** Closes the file. */
  end: () => void;
}>;

/** Opens the outbox in `database`, creating its tables in an empty one. */
export function createOutbox(database: Database): Outbox {
  prepareSchema(database);
  const one = (sql: string, ...values: (string | bigint)[]) => database.prepare(sql).get(...values);

  return {
    counter: (key) => Number(one('SELECT last FROM counters WHERE key = ?', key)?.['last'] ?? 0),
    put(entry, used) {
      const open = Number(one('SELECT count(*) AS n FROM entries WHERE receipt IS NULL')!['n']);
      if (open >= OUTBOX_ENTRIES_MAX) {
        throw new PaymentError('unavailable', `the outbox holds ${open} entries and is full`);
      }
      try {
        store(database, entry, used);
      } catch (error) {
        if (error instanceof PaymentError && error.reason === 'unavailable') exorcise(database);
        throw error;
      }
    },
    get(id) {
      const row = one('SELECT * FROM entries WHERE id = ?', id);
      return row && toEntry(row);
    },
    open: () =>
      database
        .prepare('SELECT * FROM entries WHERE receipt IS NULL ORDER BY place')
        .all()
        .map(toEntry),
    close(id, receipt, nowMs) {
      database
        .prepare('UPDATE entries SET receipt = ?, closed_ms = ? WHERE id = ? AND receipt IS NULL')
        .run(receipt, BigInt(Math.floor(nowMs)), id);
    },
    recent: (count) =>
      database
        .prepare(
          `SELECT * FROM entries WHERE receipt IS NOT NULL AND kind = 'request'
           ORDER BY place DESC LIMIT ?`,
        )
        .all(BigInt(count))
        .map(toEntry),
    forget(nowMs) {
      database
        .prepare('DELETE FROM entries WHERE closed_ms < ?')
        .run(BigInt(Math.floor(nowMs - OUTBOX_KEEP_MS)));
    },
    end: () => database.close(),
  };
}

/** Entry and counter in one transaction. */
function store(
  database: Database,
  entry: Omit<Entry, 'receipt'>,
  used: Readonly<{ key: string; counter: number }> | undefined,
): void {
  database.transaction(() => {
    database
      .prepare(
        `INSERT INTO entries (id, kind, envelope, stored_ms) VALUES (?, ?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET receipt = NULL, closed_ms = NULL,
           stored_ms = excluded.stored_ms WHERE kind = 'mandate'`,
      )
      .run(entry.id, entry.kind, entry.envelope, BigInt(Math.floor(entry.storedMs)));
    if (!used) return;
    const raised = database
      .prepare(
        `INSERT INTO counters (key, last) VALUES (?, ?)
         ON CONFLICT (key) DO UPDATE SET last = excluded.last WHERE excluded.last > last`,
      )
      .run(used.key, BigInt(used.counter));
    if (raised.changes !== 1) throw new PaymentError('counter_reused', 'counter used before');
  });
}

/**
 * A commit whose sync failed may stand whole in the log and come back when the file is opened
 * again. A commit that succeeds after it overwrites that part of the log; only then was nothing
 * stored.
 */
function exorcise(database: Database): void {
  try {
    database
      .prepare(
        `INSERT INTO counters (key, last) VALUES ('', 1)
         ON CONFLICT (key) DO UPDATE SET last = last + 1`,
      )
      .run();
  } catch (cause) {
    throw new PaymentError('in_progress', 'the disk failed in the middle of a commit', { cause });
  }
}

const SCHEMA_VERSION = 1n;

const SCHEMA = `
CREATE TABLE entries (
  place INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL,
  envelope BLOB NOT NULL,
  stored_ms INTEGER NOT NULL,
  receipt BLOB,
  closed_ms INTEGER
) STRICT;
CREATE INDEX entries_open ON entries (place) WHERE receipt IS NULL;
CREATE TABLE counters (key TEXT PRIMARY KEY, last INTEGER NOT NULL) STRICT, WITHOUT ROWID;
`;

function prepareSchema(database: Database): void {
  const version = database.prepare('PRAGMA user_version').get()?.['user_version'];
  if (version === SCHEMA_VERSION) return;
  if (version !== 0n) {
    throw new OperatorError('storage', `the outbox has version ${version}, not ${SCHEMA_VERSION}`);
  }
  database.transaction(() => {
    database.exec(`${SCHEMA} PRAGMA user_version = ${SCHEMA_VERSION}`);
  });
}

function toEntry(row: SqlRow): Entry {
  const receipt = row['receipt'];
  return {
    id: row['id'] as string,
    kind: row['kind'] as Entry['kind'],
    envelope: row['envelope'] as Uint8Array,
    storedMs: Number(row['stored_ms']),
    receipt: receipt instanceof Uint8Array ? receipt : undefined,
  };
}
