/**
 * The bridge's store in one SQLite file: the verbs that write. Verbs that wait together share a
 * commit, each in a savepoint of its own, so that the refusal of one undoes nothing of another.
 */
import assert from 'node:assert/strict';
import { OperatorError, PaymentError } from '../../src/errors.ts';
import type { Database, SqlValue, Timers } from '../../src/platform.ts';
import { createGroup } from '../group.ts';
import { slotOf } from '../windows.ts';
import { createFacts, keyOf } from './facts.ts';
import type {
  Admission,
  Admitted,
  Conclusion,
  Facts,
  Reservation,
  Run,
  Store,
  Verdict,
} from './port.ts';
import { SCHEMA, SCHEMA_VERSION } from './schema.ts';

/** Opens the store in `database`, creating its tables in an empty one. */
export function createSqliteStore(database: Database, timers: Timers): Store {
  prepareSchema(database);
  const group = createGroup<() => unknown, Settled>(
    (verbs) => commitVerbs(database, verbs),
    timers,
  );
  const sql = <T>(verb: () => T): Promise<T> =>
    group(verb).then((settled) => {
      if ('failure' in settled) throw settled.failure;
      return settled.value as T;
    });
  const read = async <T>(look: () => T): Promise<T> => look();
  const facts = createFacts(database);
  const one = (text: string, ...values: SqlValue[]) => database.prepare(text).get(...values);
  const all = (text: string, ...values: SqlValue[]) => database.prepare(text).all(...values);
  const write = (text: string, ...values: SqlValue[]) =>
    database.prepare(text).run(...values).changes;

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
    const known = facts.run(id);
    if (known) return { run: known, fresh: false, suspended: false };

    const before = one('SELECT highest FROM identities WHERE name = ?', key);
    const identity = facts.identity('name', key);
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
      chain: facts.chain(request.mandate, nowMs),
      order: request.order === undefined ? undefined : facts.order(request.order),
      terminals: all(
        `SELECT envelope FROM identities WHERE payee = ? AND status = 'active' ORDER BY name`,
        request.payee,
      ).map((row) => keyOf(row)),
      nowMs,
    });
    if (verdict.kind === 'refuse') {
      write('UPDATE runs SET refusal = ? WHERE id = ?', verdict.reason, id);
    } else {
      write(
        `UPDATE runs SET funding = ?, payer = ?, presence = ?, channel = ?, remaining = ?
         WHERE id = ?`,
        verdict.funding,
        verdict.payer,
        BigInt(verdict.presence),
        verdict.channel,
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
    // Only what is active is suspended: a revoked key stays revoked.
    const suspended =
      isReused &&
      write(
        `UPDATE identities SET status = 'suspended' WHERE name = ? AND status = 'active'`,
        key,
      ) === 1;
    return { run: facts.run(id)!, fresh: true, suspended };
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
    const run = facts.run(id);
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
        return row && facts.identity('name', row['name'] as string);
      }),
    identityOfDevice: (device) => read(() => facts.identity('device', device)),
    identity: (name) => read(() => facts.identity('name', name)),
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
    mandate: (id, nowMs) => read(() => facts.mandate(id, nowMs)),

    putOrder: (id, device, envelope, nowMs, refusal) =>
      sql(() => {
        write(
          `INSERT INTO orders (id, device, state, envelope, receipt, stored_ms)
           VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
          id,
          device,
          refusal ? 'closed' : 'open',
          envelope,
          refusal ?? null,
          BigInt(nowMs),
        );
        return facts.order(id)!;
      }),
    order: (id) => read(() => facts.order(id)),
    closeOrder: (id, receipt) =>
      sql(() => {
        write(
          `UPDATE orders SET state = 'closed', receipt = ? WHERE id = ? AND state = 'open'`,
          receipt,
          id,
        );
        return facts.order(id)?.receipt;
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
        return facts.run(id)?.decision ?? decision;
      }),
    conclude: (conclusion) => sql(() => conclude(conclusion)),
    run: (id) => read(() => facts.run(id)),
    openRuns: () =>
      read(() =>
        all('SELECT * FROM runs WHERE receipt IS NULL ORDER BY admitted_ms, id').map(facts.toRun),
      ),

    forget: (beforeMs) =>
      sql(() => {
        const before = BigInt(Math.floor(beforeMs));
        write('DELETE FROM runs WHERE concluded_ms < ?', before);
        write(`DELETE FROM reservations WHERE at_ms < ? AND state <> 'reserved'`, before);
        write(`DELETE FROM orders WHERE stored_ms < ? AND state <> 'claimed'`, before);
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

/** What became of one verb of a group: its value, or its own failure that undid only itself. */
type Settled = Readonly<{ value: unknown }> | Readonly<{ failure: unknown }>;

/** Runs verbs in one transaction; alone a failure ends it, in company only its own savepoint. */
function commitVerbs(database: Database, verbs: readonly (() => unknown)[]): readonly Settled[] {
  const [only] = verbs;
  return database.transaction(() =>
    verbs.length === 1
      ? [{ value: only!() }]
      : verbs.map((verb) => {
          database.exec('SAVEPOINT verb');
          let settled: Settled;
          try {
            settled = { value: verb() };
          } catch (failure) {
            undo(database, failure);
            settled = { failure };
          }
          database.exec('RELEASE verb');
          return settled;
        }),
  );
}

/** A full disk may have ended the whole transaction: then that failure is everybody's. */
function undo(database: Database, failure: unknown): void {
  try {
    database.exec('ROLLBACK TO verb');
  } catch {
    throw failure;
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
