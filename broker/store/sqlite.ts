/**
 * The bridge's store in one SQLite file, with group commit: every verb that is waiting when a
 * commit begins shares it, each in a savepoint of its own. Alone a verb commits at once; under load
 * fifty share one sync. Nothing is told before its commit has returned.
 */
import assert from 'node:assert/strict';
import { payloadOf } from '../../src/cose.ts';
import { OperatorError, PaymentError, type Reason } from '../../src/errors.ts';
import { CHAIN_DEPTH_MAX, STORE_GROUP_MAX, STORE_QUEUE_MAX } from '../../src/limits.ts';
import { keyStatement } from '../../src/objects/key.ts';
import { type Kind } from '../../src/objects/kind.ts';
import { mandate as mandateKind } from '../../src/objects/mandate.ts';
import { order as orderKind } from '../../src/objects/order.ts';
import { request as requestKind } from '../../src/objects/request.ts';
import type { Database, SqlRow, SqlValue, Timers } from '../../src/platform.ts';
import { slotOf } from '../windows.ts';
import type {
  Admission,
  Admitted,
  ChainLink,
  Conclusion,
  Decision,
  Facts,
  Identity,
  KeyStatus,
  OrderState,
  Reservation,
  Run,
  Store,
  StoredMandate,
  StoredOrder,
  Usage,
  Verdict,
} from './port.ts';
import { SCHEMA, SCHEMA_VERSION } from './schema.ts';

/** Opens the store in `database`, creating its tables in an empty one. */
export function createSqliteStore(database: Database, timers: Timers): Store {
  prepareSchema(database);
  const { run: sql, read } = createGroups(database, timers);
  const one = (text: string, ...values: SqlValue[]) => database.prepare(text).get(...values);
  const all = (text: string, ...values: SqlValue[]) => database.prepare(text).all(...values);
  const write = (text: string, ...values: SqlValue[]) =>
    database.prepare(text).run(...values).changes;

  function identityWhere(column: 'name' | 'device', value: string): Identity | undefined {
    const row = one(`SELECT name, status, envelope FROM identities WHERE ${column} = ?`, value);
    if (!row) return undefined;
    const statement = valueOf(keyStatement, row['envelope']);
    return {
      name: string(row['name']),
      key: statement.key,
      statement,
      status: row['status'] as KeyStatus,
    };
  }

  function mandateById(id: string): StoredMandate | undefined {
    const row = one(
      `SELECT m.*, i.status AS issuer_status FROM mandates m
       JOIN identities i ON i.name = m.issuer WHERE m.id = ?`,
      id,
    );
    if (!row) return undefined;
    return {
      id,
      mandate: valueOf(mandateKind, row['envelope']),
      issuer: string(row['issuer']),
      issuerStatus: row['issuer_status'] as KeyStatus,
      payer: string(row['payer']),
      status: row['status'] as KeyStatus,
    };
  }

  function orderById(
    id: string,
  ): (StoredOrder & Readonly<{ receipt: Uint8Array | undefined }>) | undefined {
    const row = one('SELECT * FROM orders WHERE id = ?', id);
    if (!row) return undefined;
    return {
      id,
      order: valueOf(orderKind, row['envelope']),
      state: row['state'] as OrderState,
      device: string(row['device']),
      receipt: blob(row['receipt']),
    };
  }

  function usageOf(mandate: string, place: number, window: Reservation['window'], nowMs: number) {
    const slot = slotOf(window, nowMs);
    const row =
      slot.kind === 'label'
        ? one(
            `SELECT settled + reserved AS amount, settled_count + reserved_count AS count
             FROM windows WHERE mandate = ? AND place = ? AND label = ?`,
            mandate,
            BigInt(place),
            slot.label,
          )
        : one(
            `SELECT coalesce(sum(minor), 0) AS amount, count(*) AS count FROM reservations
             WHERE mandate = ? AND place = ? AND at_ms > ? AND state <> 'voided'`,
            mandate,
            BigInt(place),
            BigInt(Math.floor(slot.sinceMs)),
          );
    const usage: Usage = {
      amount: (row?.['amount'] as bigint | undefined) ?? 0n,
      count: Number(row?.['count'] ?? 0),
    };
    return usage;
  }

  /** Every payment reserves in the first window of its mandates, so that one tells the time. */
  function lastOf(mandate: string): number | undefined {
    const row = one(
      `SELECT at_ms FROM reservations WHERE mandate = ? AND place = 0 AND state <> 'voided'
       ORDER BY at_ms DESC LIMIT 1`,
      mandate,
    );
    return row && Number(row['at_ms']);
  }

  /** Leaf first; empty when any link is missing, so that half a chain is never judged. */
  function chainOf(id: string, nowMs: number): readonly ChainLink[] {
    const chain: ChainLink[] = [];
    for (let next: string | undefined = id; next !== undefined;) {
      const stored: StoredMandate | undefined = mandateById(next);
      if (!stored || chain.length >= CHAIN_DEPTH_MAX) return [];
      chain.push({
        ...stored,
        usage: stored.mandate.windows.map((window, i) => usageOf(stored.id, i, window, nowMs)),
        lastMs: stored.mandate.gap === undefined ? undefined : lastOf(stored.id),
      });
      next = stored.mandate.parent;
    }
    return chain;
  }

  function runById(id: string): Run | undefined {
    const row = one('SELECT * FROM runs WHERE id = ?', id);
    return row && toRun(row);
  }

  function reserve(run: string, item: Reservation, nowMs: number): void {
    const slot = slotOf(item.window, nowMs);
    const label = slot.kind === 'label' ? slot.label : null;
    if (label !== null) {
      write(
        `INSERT INTO windows (mandate, place, label, reserved, reserved_count, max, max_count)
         VALUES (?, ?, ?, ?, 1, ?, ?)
         ON CONFLICT DO UPDATE SET reserved = reserved + excluded.reserved,
           reserved_count = reserved_count + 1`,
        item.mandate,
        BigInt(item.index),
        label,
        item.amount,
        item.window.max,
        BigInt(item.window.count),
      );
    }
    write(
      `INSERT INTO reservations (run, mandate, place, label, minor, at_ms, state)
       VALUES (?, ?, ?, ?, ?, ?, 'reserved')`,
      run,
      item.mandate,
      BigInt(item.index),
      label,
      item.amount,
      BigInt(nowMs),
    );
  }

  /** Moves every reservation of a run to its end; the row's own state makes a repeat harmless. */
  function release(run: string, to: 'settled' | 'voided'): void {
    for (const row of all(`SELECT * FROM reservations WHERE run = ? AND state = 'reserved'`, run)) {
      if (row['label'] === null) continue;
      write(
        `UPDATE windows SET reserved = reserved - ?, reserved_count = reserved_count - 1,
           settled = settled + ?, settled_count = settled_count + ?
         WHERE mandate = ? AND place = ? AND label = ?`,
        row['minor']!,
        to === 'settled' ? row['minor']! : 0n,
        to === 'settled' ? 1n : 0n,
        row['mandate']!,
        row['place']!,
        row['label']!,
      );
    }
    write(`UPDATE reservations SET state = ? WHERE run = ? AND state = 'reserved'`, to, run);
  }

  function admit(admission: Admission, judge: (facts: Facts) => Verdict): Admitted {
    const { id, key, request, nowMs } = admission;
    const known = runById(id);
    if (known) return { run: known, fresh: false, suspended: false };

    const before = one('SELECT highest FROM identities WHERE name = ?', key);
    const identity = identityWhere('name', key);
    assert(identity && before, 'a request was verified under a key that is not enrolled');
    const highestCounter = Number(before['highest']);
    const isReused =
      one('SELECT 1 FROM runs WHERE key = ? AND counter = ?', key, BigInt(request.counter)) !==
      undefined;
    // Id and counter are consumed before anything is judged: a refusal is final too.
    write(
      `INSERT INTO runs (id, key, counter, device, envelope, admitted_ms)
       VALUES (?, ?, ?, ?, ?, ?)`,
      id,
      key,
      isReused ? null : BigInt(request.counter),
      admission.device,
      admission.envelope,
      BigInt(nowMs),
    );

    const verdict = judge({
      identity,
      highestCounter,
      isCounterReused: isReused,
      chain: chainOf(request.mandate, nowMs),
      order: request.order === undefined ? undefined : orderById(request.order),
      terminals: all(
        `SELECT envelope FROM identities WHERE payee = ? AND status = 'active' ORDER BY name`,
        request.payee,
      ).map((row) => valueOf(keyStatement, row['envelope'])),
      nowMs,
    });
    if (verdict.kind === 'refuse') {
      write('UPDATE runs SET refusal = ? WHERE id = ?', verdict.reason, id);
    } else {
      write(
        'UPDATE runs SET funding = ?, payer = ?, remaining = ? WHERE id = ?',
        verdict.funding,
        verdict.payer,
        JSON.stringify(verdict.remaining.map(({ amount, count }) => [String(amount), count])),
        id,
      );
      for (const reservation of verdict.reservations) reserve(id, reservation, nowMs);
      if (request.order !== undefined) {
        const claimed = write(
          `UPDATE orders SET state = 'claimed', run = ? WHERE id = ? AND state = 'open'`,
          id,
          request.order,
        );
        assert.equal(claimed, 1, 'an order was accepted that was not open');
      }
    }
    // A counter far ahead must not raise the bar: then a clone could shut its owner out.
    if (!(verdict.kind === 'refuse' && verdict.reason === 'counter_gap')) {
      write(
        'UPDATE identities SET highest = max(highest, ?) WHERE name = ?',
        BigInt(request.counter),
        key,
      );
    }
    if (isReused) write(`UPDATE identities SET status = 'suspended' WHERE name = ?`, key);
    return { run: runById(id)!, fresh: true, suspended: isReused };
  }

  function conclude(conclusion: Conclusion): Run {
    const { id, outcome, terminalReceipt } = conclusion;
    const changed = write(
      `UPDATE runs SET outcome = ?, reason = ?, reference = ?, receipt = ?, terminal_device = ?,
         terminal_receipt = ?, concluded_ms = ? WHERE id = ? AND receipt IS NULL`,
      outcome,
      conclusion.reason ?? null,
      conclusion.reference ?? null,
      conclusion.receipt,
      terminalReceipt?.device ?? null,
      terminalReceipt?.receipt ?? null,
      BigInt(conclusion.nowMs),
      id,
    );
    if (changed === 1) {
      const isMoved = outcome !== 'refused' && outcome !== 'expired' && outcome !== 'voided';
      release(id, isMoved ? 'settled' : 'voided');
      if (isMoved) {
        write(
          `UPDATE orders SET state = 'paid', receipt = ? WHERE run = ? AND state = 'claimed'`,
          terminalReceipt?.receipt ?? null,
          id,
        );
      } else {
        write(
          `UPDATE orders SET state = 'open', run = NULL WHERE run = ? AND state = 'claimed'`,
          id,
        );
      }
    }
    const run = runById(id);
    assert(run, 'a run was concluded that was never admitted');
    return run;
  }

  return {
    putIdentity: (name, statement, envelope) =>
      sql(() => {
        const kid = name.slice(0, 16);
        const holder = one(
          'SELECT name FROM identities WHERE (kid = ? OR device = ?) AND name <> ?',
          kid,
          statement.device ?? null,
          name,
        );
        if (holder) {
          throw new PaymentError(
            'suspended',
            `another key holds the name ${statement.device ?? kid}`,
          );
        }
        write(
          `INSERT INTO identities (name, kid, device, payee, status, envelope)
           VALUES (?, ?, ?, ?, 'active', ?)
           ON CONFLICT (name) DO UPDATE SET device = excluded.device, payee = excluded.payee,
             envelope = excluded.envelope`,
          name,
          kid,
          statement.device ?? null,
          statement.payee ?? null,
          envelope,
        );
      }),
    identityOfKid: (kid) =>
      read(() => {
        const row = one('SELECT name FROM identities WHERE kid = ?', kid);
        return row && identityWhere('name', string(row['name']));
      }),
    identityOfDevice: (device) => read(() => identityWhere('device', device)),
    identity: (name) => read(() => identityWhere('name', name)),
    setIdentityStatus: (name, status) =>
      sql(() => void write('UPDATE identities SET status = ? WHERE name = ?', status, name)),
    highestCounter: (name) =>
      read(() =>
        Number(one('SELECT highest FROM identities WHERE name = ?', name)?.['highest'] ?? 0),
      ),

    putMandate: (id, value, issuer, payer, envelope, nowMs) =>
      sql(
        () =>
          void write(
            `INSERT INTO mandates (id, parent, issuer, payer, status, envelope, stored_ms)
             VALUES (?, ?, ?, ?, 'active', ?, ?) ON CONFLICT DO NOTHING`,
            id,
            value.parent ?? null,
            issuer,
            payer,
            envelope,
            BigInt(nowMs),
          ),
      ),
    mandate: (id) => read(() => mandateById(id)),

    putOrder: (id, _order, device, envelope, nowMs) =>
      sql(() => {
        write(
          `INSERT INTO orders (id, device, state, envelope, stored_ms) VALUES (?, ?, 'open', ?, ?)
           ON CONFLICT DO NOTHING`,
          id,
          device,
          envelope,
          BigInt(nowMs),
        );
        return orderById(id)!;
      }),
    order: (id) => read(() => orderById(id)),
    closeOrder: (id, receipt) =>
      sql(() => {
        write(
          `UPDATE orders SET state = 'expired', receipt = ? WHERE id = ? AND state = 'open'`,
          receipt,
          id,
        );
        return orderById(id)?.receipt;
      }),

    admit: (admission, judge) => sql(() => admit(admission, judge)),
    decide: (id, decision, attempt, nowMs) =>
      sql(() => {
        write(
          `UPDATE runs SET decision = ?, attempted_ms = ?
           WHERE id = ? AND decision IS NULL AND receipt IS NULL`,
          JSON.stringify(decision),
          attempt ? BigInt(nowMs) : null,
          id,
        );
        return runById(id)?.decision ?? decision;
      }),
    conclude: (conclusion) => sql(() => conclude(conclusion)),
    run: (id) => read(() => runById(id)),
    openRuns: () =>
      read(() =>
        all('SELECT * FROM runs WHERE receipt IS NULL ORDER BY admitted_ms, id').map(toRun),
      ),

    forget: (beforeMs) =>
      sql(() => {
        const before = BigInt(Math.floor(beforeMs));
        write('DELETE FROM runs WHERE concluded_ms < ?', before);
        write(`DELETE FROM reservations WHERE at_ms < ? AND state <> 'reserved'`, before);
        write(`DELETE FROM orders WHERE stored_ms < ? AND state IN ('paid', 'expired')`, before);
      }),

    meta: (name) =>
      read(
        () => one('SELECT value FROM meta WHERE name = ?', name)?.['value'] as string | undefined,
      ),
    setMeta: (name, value) =>
      sql(
        () =>
          void write(
            `INSERT INTO meta (name, value) VALUES (?, ?)
             ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
            name,
            value,
          ),
      ),
    close: () => sql(() => {}).then(() => database.close()),
  };
}

type Waiting = Readonly<{
  work: () => unknown;
  done: (value: never) => void;
  fail: (error: unknown) => void;
}>;

/** Group commit: `run` joins the next transaction, `read` sees the last commit. */
function createGroups(database: Database, timers: Timers) {
  let waiting: Waiting[] = [];
  let isScheduled = false;

  function schedule(): void {
    if (isScheduled) return;
    isScheduled = true;
    timers.soon(flush);
  }

  function flush(): void {
    isScheduled = false;
    const group = waiting.slice(0, STORE_GROUP_MAX);
    waiting = waiting.slice(STORE_GROUP_MAX);
    if (waiting.length > 0) schedule();
    if (group.length === 0) return;

    const settle: (() => void)[] = [];
    try {
      database.exec('BEGIN IMMEDIATE');
      for (const { work, done, fail } of group) {
        if (group.length > 1) database.exec('SAVEPOINT verb');
        try {
          const value = work() as never;
          settle.push(() => done(value));
        } catch (error) {
          // Alone the whole transaction goes; in company only this verb's part of it.
          if (group.length === 1) throw error;
          database.exec('ROLLBACK TO verb');
          settle.push(() => fail(error));
        }
        if (group.length > 1) database.exec('RELEASE verb');
      }
      database.exec('COMMIT');
    } catch (error) {
      rollBack(database);
      const failure =
        group.length === 1 || error instanceof PaymentError
          ? error
          : new PaymentError('unavailable', 'the store could not commit', { cause: error });
      for (const { fail } of group) fail(failure);
      return;
    }
    for (const tell of settle) tell();
  }

  return {
    run<T>(work: () => T): Promise<T> {
      if (waiting.length >= STORE_QUEUE_MAX) {
        return Promise.reject(new PaymentError('unavailable', 'too much waits for the disk'));
      }
      return new Promise<T>((done, fail) => {
        waiting.push({ work, done, fail });
        schedule();
      });
    },
    read: <T>(work: () => T): Promise<T> => {
      try {
        return Promise.resolve(work());
      } catch (error) {
        return Promise.reject(error as Error);
      }
    },
  };
}

/** After a failure inside a transaction SQLite may already have ended it. */
function rollBack(database: Database): void {
  try {
    database.exec('ROLLBACK');
  } catch {
    // "no transaction is active": the failure itself rolled back, which is what we want.
  }
}

function prepareSchema(database: Database): void {
  const version = database.prepare('PRAGMA user_version').get()?.['user_version'];
  if (version === SCHEMA_VERSION) return;
  if (version !== 0n) {
    throw new OperatorError(
      'storage',
      `the bridge's store has version ${String(version)}, this program knows ${SCHEMA_VERSION}: ` +
        'run the program that wrote it, or start with an empty store',
    );
  }
  database.transaction(() => {
    database.exec(`${SCHEMA} PRAGMA user_version = ${SCHEMA_VERSION}`);
  });
}

function toRun(row: SqlRow): Run {
  const terminalReceipt = blob(row['terminal_receipt']);
  return {
    id: string(row['id']),
    device: string(row['device']),
    request: valueOf(requestKind, row['envelope']),
    admittedMs: Number(row['admitted_ms']),
    refusal: (row['refusal'] ?? undefined) as Reason | undefined,
    funding: string(row['funding']),
    payer: string(row['payer']),
    remaining: (JSON.parse(string(row['remaining'])) as [string, number][]).map(
      ([amount, count]) => ({ amount: BigInt(amount), count }),
    ),
    decision:
      row['decision'] === null ? undefined : (JSON.parse(string(row['decision'])) as Decision),
    attemptedMs: row['attempted_ms'] === null ? undefined : Number(row['attempted_ms']),
    receipt: blob(row['receipt']),
    terminalReceipt: terminalReceipt && {
      device: string(row['terminal_device']),
      receipt: terminalReceipt,
    },
  };
}

/** The value inside an envelope that was verified when it was stored. */
function valueOf<T>(kind: Kind<T>, envelope: SqlValue | undefined): T {
  return kind.decode(payloadOf(blob(envelope)!));
}

function string(value: SqlValue | undefined): string {
  assert.equal(typeof value, 'string');
  return value as string;
}

function blob(value: SqlValue | undefined): Uint8Array | undefined {
  return value instanceof Uint8Array ? value : undefined;
}
