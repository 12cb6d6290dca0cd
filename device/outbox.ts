/**
 * The outbox: what a person confirmed is on disk, synced, before it is sent, and stays until the
 * bridge's signed final receipt. MQTT.js has no such thing, and a PUBACK proves nothing.
 *
 * Envelope and counter go down in one transaction, and with them what a payment accepted offline
 * takes of its lease, so a power cut loses all or nothing: no counter is used for two things, and
 * no unit of a lease is spent twice or forgotten.
 *
 * What a person was told of is moved out of SQLite's log at once: of a log that is damaged at its
 * end SQLite believes the beginning, without a word. What the log still holds may be lost: that an
 * entry was closed (the bridge says so again), that a person was told (he is told again), a lease.
 */
import { PaymentError } from '../src/errors.ts';
import { OUTBOX_ENTRIES_MAX, OUTBOX_KEEP_MS, OUTBOX_WINDOW } from '../src/limits.ts';
import type { KindName } from '../src/objects/kinds.ts';
import type { Money } from '../src/money.ts';
import type { Tick } from '../src/objects/tick.ts';
import type { Database, Log, SqlRow } from '../src/platform.ts';
import { type HeldLease, createLeaseBook } from './leases.ts';
import { prepareTables, sealRow } from './tables.ts';
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
  /** What was shown and done for it, when its request carries the hash of that (P3). */
  transcript: Uint8Array | undefined;
}>;

/** An entry as it is made. */
export type NewEntry = Omit<Entry, 'receipt' | 'cancel' | 'isOffline' | 'transcript'> &
  Readonly<{ transcript?: Uint8Array | undefined }>;

/** What a payment that is accepted offline spends, and whose it is. */
export type Spending = Readonly<{ lease: HeldLease; payer: string; amount: Money }>;

export type Outbox = Readonly<{
  /** Takes `count` session numbers that were never taken before; returns the first of them. */
  sessions: (count: number) => number;
  /** How many entries are open, and when the oldest was stored (trusted ms; 0 when not known). */
  waiting: () => Readonly<{ open: number; oldestMs: number }>;
  /** The last counter that any stored envelope of this key carries; 0 when none. */
  counter: (key: string) => number;
  /**
   * Takes the highest counter that the bridge has seen of this key, which is not above ours. After
   * damage ours is only what was found: entries that were lost may be on their way still, so the
   * next counter is beyond all that could be.
   */
  settleCounter: (key: string, seen: number) => void;
  /**
   * Stores an entry durably, with the counter that it uses. Storing the same id again changes
   * nothing, except that a mandate is offered anew (a refusal of one is not for ever). Throws
   * `unavailable` when the outbox is full, the disk refuses, or the counter is not settled since
   * damage: nothing was stored and nothing may be sent. Throws `in_progress` when the disk failed
   * in a way that may let the entry come back after a power cut: then nobody may say that nothing
   * will be sent. What is accepted offline `spends` its lease in the same transaction;
   * `lease_exhausted` when that is spent: then too nothing was stored.
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
  /**
   * Closes an entry with its verified final receipt, signed at `atMs` by the bridge's clock: for
   * readers at once, then on disk.
   */
  close: (id: string, receipt: Uint8Array, atMs: number) => Promise<void>;
  /** Notes that a person was told how an entry ended: for readers at once, then on disk. */
  told: (id: string) => Promise<void>;
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
  /** Of a device that is wiped: forgets all but requests that have no final receipt. */
  clear: () => void;
  /** Closes the file. */
  end: () => void;
}>;

/**
 * Opens the outbox in `database`. In an empty one its tables are made, unless there was an outbox
 * in it (`old`). Throws DamagedError when it does not hold what was written into it.
 */
export function createOutbox(database: Database, age: 'any' | 'old' = 'any'): Outbox {
  prepareTables(database, age);
  const leases = createLeaseBook(database);
  const one = (sql: string, ...values: (string | bigint)[]) => database.prepare(sql).get(...values);
  const all = (sql: string, ...values: (string | bigint)[]) =>
    database
      .prepare(sql)
      .all(...values)
      .map(toEntry);

  return {
    sessions(count) {
      const last = database.transaction(() => {
        const row = one(
          `INSERT INTO counters (key, last) VALUES (?, ?)
           ON CONFLICT (key) DO UPDATE SET last = last + excluded.last RETURNING last`,
          SESSIONS,
          BigInt(count),
        );
        sealRow(database, 'counters', SESSIONS);
        return row;
      });
      return Number(last!['last']) - count + 1;
    },
    waiting() {
      const row = one(
        `SELECT count(*) AS open, coalesce(min(nullif(stored_ms, 0)), 0) AS oldest
         FROM entries WHERE receipt IS NULL`,
      )!;
      return { open: Number(row['open']), oldestMs: Number(row['oldest']) };
    },
    counter: (key) => Number(one('SELECT last FROM counters WHERE key = ?', key)?.['last'] ?? 0),
    settleCounter(key, seen) {
      if (one('SELECT is_settled FROM counters WHERE key = ?', key)?.['is_settled'] !== 0n) return;
      database.transaction(() => {
        database
          .prepare('UPDATE counters SET last = max(last, ?), is_settled = 1 WHERE key = ?')
          .run(BigInt(seen + OUTBOX_WINDOW), key);
        sealRow(database, 'counters', key);
      });
      emptyLog(database);
    },
    put(entry, used, spends) {
      const open = Number(one('SELECT count(*) AS n FROM entries WHERE receipt IS NULL')!['n']);
      if (open >= OUTBOX_ENTRIES_MAX) {
        throw new PaymentError('unavailable', `the outbox holds ${open} entries and is full`);
      }
      if (used) requireSettled(database, used.key);
      try {
        database.transaction(() => {
          store(database, entry, used, spends);
          if (spends) leases.spend(spends.lease.mandate, spends.amount.minor);
        });
      } catch (error) {
        if (error instanceof PaymentError && error.reason === 'unavailable') requireKnown(database);
        throw error;
      }
      emptyLog(database);
    },
    get(id) {
      const row = one('SELECT * FROM entries WHERE id = ?', id);
      return row && toEntry(row);
    },
    open: () => all('SELECT * FROM entries WHERE receipt IS NULL ORDER BY place'),
    cancel(id, query) {
      database.transaction(() => {
        const kept = `UPDATE entries SET cancel = coalesce(cancel, ?)
                      WHERE id = ? AND receipt IS NULL`;
        database.prepare(kept).run(query, id);
        sealRow(database, 'entries', id);
      });
      emptyLog(database);
      const row = one('SELECT * FROM entries WHERE id = ? AND receipt IS NULL', id);
      return row && toEntry(row);
    },
    close: (id, receipt, atMs) =>
      database.commit(() => {
        // Of a mandate nobody is told, only when it is missing.
        const closed = `UPDATE entries SET receipt = ?, closed_ms = ?, is_told = (kind = 'mandate')
                        WHERE id = ? AND receipt IS NULL`;
        database.prepare(closed).run(receipt, BigInt(Math.floor(atMs)), id);
        sealRow(database, 'entries', id);
      }),
    told: (id) =>
      database.commit(() => {
        database.prepare('UPDATE entries SET is_told = 1 WHERE id = ?').run(id);
        sealRow(database, 'entries', id);
      }),
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
      // What was answered after the lease was made may have come after it, too: whoever carries
      // the two may have held the lease back meanwhile.
      leases.hear(tick, (mandate, iat) => {
        const unseen = one(
          `SELECT coalesce(sum(minor), 0) AS minor, count(*) AS count FROM entries
           WHERE payer IS NOT NULL AND mandate = ? AND (receipt IS NULL OR closed_ms >= ?)`,
          mandate,
          BigInt(iat) * 1000n,
        )!;
        return { minor: unseen['minor'] as bigint, count: Number(unseen['count']) };
      });
    },
    forget(nowMs) {
      database
        .prepare('DELETE FROM entries WHERE closed_ms < ? AND is_told = 1')
        .run(BigInt(Math.floor(nowMs - OUTBOX_KEEP_MS)));
    },
    clear() {
      database.prepare("DELETE FROM entries WHERE receipt IS NOT NULL OR kind <> 'request'").run();
      emptyLog(database);
    },
    end: () => database.close(),
  };
}

/** Counts connections; the other counters are named by a key, in hex. */
export const SESSIONS = 'sessions';

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
  outbox.told(id).catch((error: unknown) => {
    if (!(error instanceof PaymentError)) throw error;
    log('warn', 'not kept that the person was told', { id, why: error.message });
  });
}

/** A device whose outbox cannot be read can take no payment: it had better be started again. */
export function isReadable(outbox: Outbox): boolean {
  try {
    outbox.waiting();
    return true;
  } catch {
    return false;
  }
}

/** An entry that was found in a damaged outbox. */
export type Found = Omit<Entry, 'receipt' | 'isOffline' | 'transcript'> &
  Readonly<{
    /** The final receipt and its time, ms. */
    ended: Readonly<{ receipt: Uint8Array; atMs: number }> | undefined;
    /** What a payment spends that was accepted offline, as far as is known. */
    spends: Readonly<{ mandate: string; amount: Money }> | undefined;
  }>;

/**
 * Fills a new outbox with what was found in a damaged one. What has ended counts as told. Of each
 * key in `counters` no counter is used before it is settled.
 */
export function fillOutbox(
  database: Database,
  found: readonly Found[],
  counters: ReadonlyMap<string, number>,
): void {
  createOutbox(database);
  database.transaction(() => {
    for (const { id, kind, envelope, storedMs, cancel, ended, spends } of found) {
      database
        .prepare(
          `INSERT INTO entries (id, kind, envelope, stored_ms, cancel, receipt, closed_ms, is_told,
             mandate, payer, currency, minor) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        )
        .run(
          ...[id, kind, envelope, BigInt(Math.floor(storedMs)), cancel ?? null],
          ...(ended ? [ended.receipt, BigInt(Math.floor(ended.atMs)), 1n] : [null, null, 0n]),
          ...(spends
            ? [spends.mandate, UNKNOWN_PAYER, spends.amount.currency, spends.amount.minor]
            : [null, null, null, null]),
        );
      sealRow(database, 'entries', id);
    }
    for (const [key, last] of counters) {
      database
        .prepare('INSERT INTO counters (key, last, is_settled) VALUES (?, ?, 0)')
        .run(key, BigInt(last));
      sealRow(database, 'counters', key);
    }
  });
}

/** Whose mandate it was is in no envelope of this device. */
const UNKNOWN_PAYER = '';

/** Entry and counter, within one transaction. */
function store(
  database: Database,
  entry: NewEntry,
  used: Readonly<{ key: string; counter: number }> | undefined,
  spends: Spending | undefined,
): void {
  database
    .prepare(
      `INSERT INTO entries
         (id, kind, envelope, stored_ms, mandate, payer, currency, minor, transcript)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET receipt = NULL, closed_ms = NULL,
         stored_ms = excluded.stored_ms WHERE kind = 'mandate'`,
    )
    .run(
      ...[entry.id, entry.kind, entry.envelope, BigInt(Math.floor(entry.storedMs))],
      ...[spends?.lease.mandate ?? null, spends?.payer ?? null],
      ...[spends?.amount.currency ?? null, spends?.amount.minor ?? null, entry.transcript ?? null],
    );
  sealRow(database, 'entries', entry.id);
  if (!used) return;
  const raised = database
    .prepare(
      `INSERT INTO counters (key, last) VALUES (?, ?)
       ON CONFLICT (key) DO UPDATE SET last = excluded.last WHERE excluded.last > last`,
    )
    .run(used.key, BigInt(used.counter));
  if (raised.changes !== 1) throw new PaymentError('counter_reused', 'counter used before');
  sealRow(database, 'counters', used.key);
}

/** Since damage, until the bridge has told what it has seen, no counter is surely unused. */
function requireSettled(database: Database, key: string): void {
  const row = database.prepare('SELECT is_settled FROM counters WHERE key = ?').get(key);
  if (row?.['is_settled'] !== 0n) return;
  throw new PaymentError('unavailable', 'the bridge has not settled the counter yet');
}

/**
 * Moves SQLite's log into the file, synced. When the disk refuses, what was committed is on disk
 * all the same, in the log; the next time moves it too.
 */
function emptyLog(database: Database): void {
  try {
    database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
  } catch (error) {
    if (!(error instanceof PaymentError)) throw error;
  }
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
 * After a write that failed nothing has changed, and what is there can be read. After a sync that
 * failed everything is refused, because the commit may stand whole in the log and come back when
 * the file is opened again: nobody may say then that it was not stored.
 */
function requireKnown(database: Database): void {
  try {
    database.prepare('SELECT 1').get();
  } catch (cause) {
    throw new PaymentError('in_progress', 'the disk failed in the middle of a commit', { cause });
  }
}

function toEntry(row: SqlRow): Entry {
  const { receipt, cancel, transcript } = row;
  return {
    id: row['id'] as string,
    kind: row['kind'] as Entry['kind'],
    envelope: row['envelope'] as Uint8Array,
    storedMs: Number(row['stored_ms']),
    receipt: receipt instanceof Uint8Array ? receipt : undefined,
    cancel: cancel instanceof Uint8Array ? cancel : undefined,
    isOffline: row['payer'] !== null,
    transcript: transcript instanceof Uint8Array ? transcript : undefined,
  };
}
