/**
 * The outbox: what a person confirmed is on disk, synced, before it is sent, and stays until the
 * bridge's signed final receipt. MQTT.js has no such thing, and a PUBACK proves nothing.
 *
 * Envelope and counter go down in one transaction, and with them what a payment accepted offline
 * takes of its lease, so a power cut loses all or nothing: no counter is used for two things, and
 * no unit of a lease is spent twice or forgotten.
 */
import { OperatorError, PaymentError } from '../src/errors.ts';
import { OUTBOX_ENTRIES_MAX, OUTBOX_KEEP_MS } from '../src/limits.ts';
import type { KindName } from '../src/objects/kinds.ts';
import type { Money } from '../src/money.ts';
import type { Tick } from '../src/objects/tick.ts';
import type { Database, Log, SqlRow } from '../src/platform.ts';
import { type HeldLease, LEASES_SCHEMA, createLeaseBook } from './leases.ts';
import type { Accepted } from './waiting.ts';

/** Something that must reach the bridge and be answered for good. */
export type Entry = Readonly<{
  id: string;
  kind: Extract<KindName, 'request' | 'order' | 'mandate'>;
  envelope: Uint8Array;
  /** Trusted time when it was stored, ms; 0 when no time was known. */
  storedMs: number;
  /** The final receipt; undefined while the entry is open. */
  receipt: Uint8Array | undefined;
  /** The signed question to cancel it, once the person asked for that. */
  cancel: Uint8Array | undefined;
  /** Whether it was accepted offline, under a lease. */
  isOffline: boolean;
}>;

/** An entry as it is made. */
export type NewEntry = Omit<Entry, 'receipt' | 'cancel' | 'isOffline'>;

/** What a payment that is accepted offline spends, and whose it is. */
export type Spending = Readonly<{ lease: HeldLease; payer: string; amount: Money }>;

export type Outbox = Readonly<{
  /** The last counter that any stored envelope of this key carries; 0 when none. */
  counter: (key: string) => number;
  /**
   * Stores an entry durably, with the counter that it uses. Storing the same id again changes
   * nothing, except that a mandate is offered anew (a refusal of one is not for ever). Throws
   * `unavailable` when the outbox is full or the disk refuses: nothing was stored and nothing may
   * be sent. Throws `in_progress` when the disk failed in a way that may let the entry come back
   * after a power cut: then nobody may say that nothing will be sent. What is accepted offline
   * `spends` its lease in the same transaction; `lease_exhausted` when that is spent: then too
   * nothing was stored.
   */
  put: (
    entry: NewEntry,
    used?: Readonly<{ key: string; counter: number }>,
    spends?: Spending,
  ) => void;
  get: (id: string) => Entry | undefined;
  /** Open entries, oldest first. */
  open: () => readonly Entry[];
  /**
   * Keeps the question to cancel an open entry, the first one when there are several; returns the
   * entry, or undefined when it is not open. The entry stays open until its final receipt.
   */
  cancel: (id: string, query: Uint8Array) => Entry | undefined;
  /** Closes an entry with its verified final receipt. */
  close: (id: string, receipt: Uint8Array, nowMs: number) => void;
  /** Notes that a person was told how an entry ended. */
  told: (id: string) => void;
  /** Closed requests and orders whose end nobody was told, oldest first. */
  untold: () => readonly Entry[];
  /** Closed requests, newest first. */
  recent: (count: number) => readonly Entry[];
  /** Closed orders whose id begins so, newest first. */
  orders: (beginning: string, count: number) => readonly Entry[];
  /** What was accepted offline and has no final receipt, oldest first. */
  accepted: () => readonly Accepted[];
  /** The lease held for payments under this mandate, with what is left of it. */
  lease: (mandate: string) => HeldLease | undefined;
  /** Takes a verified lease that is addressed to this key; see device/leases.ts. */
  hearLease: (tick: Tick) => void;
  /** Forgets what was closed longer ago than OUTBOX_KEEP_MS, unless it is still to be told. */
  forget: (nowMs: number) => void;
  /** Closes the file. */
  end: () => void;
}>;

/** Opens the outbox in `database`, creating its tables in an empty one. */
export function createOutbox(database: Database): Outbox {
  prepareSchema(database);
  const leases = createLeaseBook(database);
  const one = (sql: string, ...values: (string | bigint)[]) => database.prepare(sql).get(...values);
  const all = (sql: string, ...values: (string | bigint)[]) =>
    database
      .prepare(sql)
      .all(...values)
      .map(toEntry);

  return {
    counter: (key) => Number(one('SELECT last FROM counters WHERE key = ?', key)?.['last'] ?? 0),
    put(entry, used, spends) {
      const open = Number(one('SELECT count(*) AS n FROM entries WHERE receipt IS NULL')!['n']);
      if (open >= OUTBOX_ENTRIES_MAX) {
        throw new PaymentError('unavailable', `the outbox holds ${open} entries and is full`);
      }
      try {
        database.transaction(() => {
          store(database, entry, used, spends);
          if (spends) leases.spend(spends.lease.mandate, spends.lease.nonce, spends.amount.minor);
        });
      } catch (error) {
        if (error instanceof PaymentError && error.reason === 'unavailable') exorcise(database);
        throw error;
      }
    },
    get(id) {
      const row = one('SELECT * FROM entries WHERE id = ?', id);
      return row && toEntry(row);
    },
    open: () => all('SELECT * FROM entries WHERE receipt IS NULL ORDER BY place'),
    cancel(id, query) {
      database
        .prepare('UPDATE entries SET cancel = coalesce(cancel, ?) WHERE id = ? AND receipt IS NULL')
        .run(query, id);
      const row = one('SELECT * FROM entries WHERE id = ? AND receipt IS NULL', id);
      return row && toEntry(row);
    },
    close(id, receipt, nowMs) {
      // Of a mandate nobody is told, only when it is missing.
      database
        .prepare(
          `UPDATE entries SET receipt = ?, closed_ms = ?, is_told = (kind = 'mandate')
           WHERE id = ? AND receipt IS NULL`,
        )
        .run(receipt, BigInt(Math.floor(nowMs)), id);
    },
    told(id) {
      database.prepare('UPDATE entries SET is_told = 1 WHERE id = ?').run(id);
    },
    untold: () =>
      all('SELECT * FROM entries WHERE receipt IS NOT NULL AND is_told = 0 ORDER BY place'),
    recent: (count) =>
      all(
        `SELECT * FROM entries WHERE receipt IS NOT NULL AND kind = 'request'
         ORDER BY place DESC LIMIT ?`,
        BigInt(count),
      ),
    orders: (beginning, count) =>
      all(
        `SELECT * FROM entries WHERE receipt IS NOT NULL AND kind = 'order'
         AND substr(id, 1, ?) = ? ORDER BY place DESC LIMIT ?`,
        BigInt(beginning.length),
        beginning,
        BigInt(count),
      ),
    accepted: () => accepted(database),
    lease: leases.of,
    hearLease(tick) {
      leases.hear(tick, (mandate) => {
        const open = accepted(database).filter((entry) => entry.mandate === mandate);
        return {
          minor: open.reduce((sum, { amount }) => sum + amount.minor, 0n),
          count: open.length,
        };
      });
    },
    forget(nowMs) {
      database
        .prepare('DELETE FROM entries WHERE closed_ms < ? AND is_told = 1')
        .run(BigInt(Math.floor(nowMs - OUTBOX_KEEP_MS)));
    },
    end: () => database.close(),
  };
}

/**
 * Puts a confirmed request; false when the disk failed so that it may come back: not to be sent,
 * and nobody may say that it was not. Throws as `put` does.
 */
export function putConfirmed(
  outbox: Outbox,
  entry: NewEntry,
  used: Readonly<{ key: string; counter: number }>,
  log: Log,
  spends?: Spending,
): boolean {
  try {
    outbox.put(entry, used, spends);
    return true;
  } catch (error) {
    if (!(error instanceof PaymentError && error.reason === 'in_progress')) throw error;
    log('error', 'the disk failed in the middle of a payment', { why: error.message });
    return false;
  }
}

/** Notes that a person was told; a disk that refuses costs a repetition after the next start. */
export function noteTold(outbox: Outbox, id: string, log: Log): void {
  try {
    outbox.told(id);
  } catch (error) {
    if (!(error instanceof PaymentError)) throw error;
    log('warn', 'not kept that the person was told', { id, why: error.message });
  }
}

/** Entry and counter, within one transaction. */
function store(
  database: Database,
  entry: NewEntry,
  used: Readonly<{ key: string; counter: number }> | undefined,
  spends: Spending | undefined,
): void {
  database
    .prepare(
      `INSERT INTO entries (id, kind, envelope, stored_ms, mandate, payer, currency, minor)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET receipt = NULL, closed_ms = NULL,
         stored_ms = excluded.stored_ms WHERE kind = 'mandate'`,
    )
    .run(
      ...[entry.id, entry.kind, entry.envelope, BigInt(Math.floor(entry.storedMs))],
      ...[spends?.lease.mandate ?? null, spends?.payer ?? null],
      ...[spends?.amount.currency ?? null, spends?.amount.minor ?? null],
    );
  if (!used) return;
  const raised = database
    .prepare(
      `INSERT INTO counters (key, last) VALUES (?, ?)
       ON CONFLICT (key) DO UPDATE SET last = excluded.last WHERE excluded.last > last`,
    )
    .run(used.key, BigInt(used.counter));
  if (raised.changes !== 1) throw new PaymentError('counter_reused', 'counter used before');
}

function accepted(database: Database): readonly Accepted[] {
  return database
    .prepare(
      `SELECT id, mandate, payer, currency, minor, stored_ms,
         place > coalesce((SELECT place FROM entries WHERE kind = 'request'
           AND receipt IS NOT NULL ORDER BY place DESC LIMIT 1), 0) AS is_in_row
       FROM entries WHERE payer IS NOT NULL AND receipt IS NULL ORDER BY place`,
    )
    .all()
    .map((row) => ({
      id: row['id'] as string,
      mandate: row['mandate'] as string,
      payer: row['payer'] as string,
      amount: { currency: row['currency'] as string, minor: row['minor'] as bigint },
      storedMs: Number(row['stored_ms']),
      isInRow: row['is_in_row'] === 1n,
    }));
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
   ${LEASES_SCHEMA}`,
] as const;

function prepareSchema(database: Database): void {
  const version = Number(database.prepare('PRAGMA user_version').get()?.['user_version']);
  if (version === VERSIONS.length) return;
  if (version > VERSIONS.length) {
    throw new OperatorError('storage', `the outbox is of a later version (${version})`);
  }
  database.transaction(() => {
    const steps = VERSIONS.slice(version).join('\n');
    database.exec(`${steps} PRAGMA user_version = ${VERSIONS.length}`);
  });
}

function toEntry(row: SqlRow): Entry {
  const { receipt, cancel } = row;
  return {
    id: row['id'] as string,
    kind: row['kind'] as Entry['kind'],
    envelope: row['envelope'] as Uint8Array,
    storedMs: Number(row['stored_ms']),
    receipt: receipt instanceof Uint8Array ? receipt : undefined,
    cancel: cancel instanceof Uint8Array ? cancel : undefined,
    isOffline: row['payer'] !== null,
  };
}
