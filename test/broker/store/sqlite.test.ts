/**
 * The SQLite store: the behaviour of every store, and what only this one can show, which is its
 * tables, its group commit and what it does when the disk fails.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { LIVE } from '../../../broker/attempt.ts';
import { createSqliteStore } from '../../../broker/store/sqlite.ts';
import { judge } from '../../../broker/verdict.ts';
import { EXITS, OperatorError } from '../../../src/errors.ts';
import { RESEND_FOR_MS, STORE_GROUP_MAX, STORE_QUEUE_MAX } from '../../../src/limits.ts';
import { random, timers } from '../../../src/node/platform.ts';
import { openDatabase } from '../../../src/node/sqlite.ts';
import type { Database } from '../../../src/platform.ts';
import { order as orderKind } from '../../../src/objects/order.ts';
import { CAST, NOW_MS, RULES, settle } from '../stage.ts';
import { admissionOf, admitTo, enrol, failing, orderOf, putMandate, sealed } from '../stage.ts';
import { accepted, allow, ending, follow, openingOf, refusal, revocationOf } from './acts.ts';
import { send, start, succeed, word } from './acts.ts';
import { describeStore } from './behaviour.ts';

function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), 'saytap-store-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return join(folder, 'bridge.db');
}

describeStore('SQLite in a file', async () => {
  const path = temporary();
  let store = createSqliteStore(openDatabase(path), timers, random);
  return {
    store,
    async reopen() {
      await store.close();
      return (store = createSqliteStore(openDatabase(path), timers, random));
    },
  };
});

async function stored(database: Database = openDatabase(':memory:')) {
  const store = createSqliteStore(database, timers, random);
  await enrol(store);
  return { database, store };
}

const TABLES = [
  'identities',
  'mandates',
  'orders',
  'runs',
  'attempts',
  'windows',
  'reservations',
  'payments',
  'tombstones',
  'payers',
  'revokes',
  'evidence',
  'meta',
];

/** Everything that is in the tables. */
function tables(database: Database) {
  return TABLES.map((table) => database.prepare(`SELECT * FROM ${table}`).all());
}

test('a store of a newer program is refused, with what to do', () => {
  const path = temporary();
  const database = openDatabase(path);
  createSqliteStore(database, timers, random);
  database.exec('PRAGMA user_version = 99');
  const open = () => createSqliteStore(database, timers, random);
  expect(open).toThrow(OperatorError);
  expect(open).toThrow(/version 99, this program knows \d+: run the program that wrote it/);
  try {
    open();
  } catch (error) {
    expect((error as OperatorError).exit).toBe(EXITS.storage);
  }
});

describe('group commit', () => {
  /** Counts commits. */
  function counting(database: Database) {
    const seen = { commits: 0 };
    const commit = <T>(run: () => T): Promise<T> => {
      seen.commits++;
      return database.commit(run);
    };
    return { seen, database: { ...database, commit } };
  }

  test('what waits together shares one commit, what is alone has its own', async () => {
    const { seen, database } = counting(openDatabase(':memory:'));
    const store = createSqliteStore(database, timers, random);
    await Promise.all(Array.from({ length: 50 }, (_, i) => store.setMeta(`name-${i}`, 'x')));
    expect(seen.commits).toBe(1);
    await store.setMeta('alone', 'x');
    expect(seen.commits).toBe(2);
    const many = Array.from({ length: STORE_GROUP_MAX + 1 }, (_, i) => store.setMeta(`${i}`, 'y'));
    await Promise.all(many);
    expect(seen.commits).toBe(4);
  });

  test('a verb that fails takes back its own part and nothing of its neighbours', async () => {
    const { store, database } = await stored();
    const mandate = await putMandate(store);
    const admission = await admissionOf({ mandate, counter: 2 });
    const bad = await admissionOf({ mandate, counter: 3 });
    const results = await Promise.allSettled([
      store.setMeta('before', '1'),
      store.admit(bad, (facts) => {
        // Accepted, but with a reservation that the table's own check refuses: a bug of a judge.
        const verdict = judge(bad.request, facts, RULES);
        if (verdict.kind === 'refuse') return verdict;
        const [reservation] = verdict.reservations;
        return { ...verdict, reservations: [{ ...reservation!, amount: 10_000_00n }] };
      }),
      admitTo(store, admission),
      store.setMeta('after', '1'),
    ]);
    expect(results.map(({ status }) => status)).toEqual([
      'fulfilled',
      'rejected',
      'fulfilled',
      'fulfilled',
    ]);
    expect(await store.run(bad.id)).toBeUndefined();
    expect((await store.run(admission.id))?.refusal).toBeUndefined();
    expect([await store.meta('before'), await store.meta('after')]).toEqual(['1', '1']);
    const [window, ...others] = database.prepare('SELECT reserved FROM windows').all();
    expect([window?.['reserved'], others]).toEqual([10_00n, []]);
    expect(await store.highestCounter(CAST.glasses.key.name)).toBe(2);
  });

  test('nothing is told before its commit, and a commit that fails tells everybody', async () => {
    const disk = { isFull: false };
    const { store, database } = await stored(failing(openDatabase(':memory:'), disk));
    const mandate = await putMandate(store);
    const before = tables(database);
    disk.isFull = true;
    const admissions = [];
    for (let counter = 1; counter <= 3; counter++) {
      admissions.push(await admissionOf({ mandate, counter }));
    }
    const together = await Promise.allSettled([
      ...admissions.map((admission) => admitTo(store, admission)),
      store.setMeta('a', 'b'),
    ]);
    for (const result of together) {
      expect(result).toMatchObject({ status: 'rejected', reason: { reason: 'unavailable' } });
    }
    await expect(admitTo(store, admissions[0]!)).rejects.toMatchObject({ reason: 'unavailable' });
    expect(tables(database)).toEqual(before);

    disk.isFull = false;
    expect((await admitTo(store, admissions[0]!)).fresh).toBe(true);
  });

  test('every verb that writes says unavailable on a full disk', async () => {
    const disk = { isFull: false };
    const { store, database } = await stored(failing(openDatabase(':memory:'), disk));
    const mandate = await putMandate(store);
    const run = await send(store, { mandate });
    const started = await start(store, await send(store, { mandate }));
    const fresh = await admissionOf({ mandate, counter: 9 });
    const before = tables(database);
    disk.isFull = true;
    const receipt = Uint8Array.of(1);
    const { envelope } = await sealed(orderKind, orderOf(), CAST.kiosk);
    const asked = { id: 'x', subject: run.id, key: CAST.glasses.key.name, envelope, receipt };
    const claim = { owner: 'test', untilMs: NOW_MS };
    const revocation = await revocationOf({ mandate });
    const verbs: Record<string, () => Promise<unknown>> = {
      admit: () => admitTo(store, fresh),
      decide: () => store.decide(run, allow, openingOf(run), NOW_MS),
      attempt: () => store.attempt(run.id, openingOf(run), NOW_MS),
      progress: () => store.progress(started.id, word(started, { state: 'unknown' }), NOW_MS),
      conclude: () => store.conclude(run, refusal()),
      cancel: () => store.cancel({ ...asked, isUnsure: false, nowMs: NOW_MS }),
      claim: () => store.claim(claim, 10, NOW_MS * 2),
      renew: () => store.renew([run.id], claim),
      putOrder: () => store.putOrder('x', 'kiosk', envelope, NOW_MS),
      closeOrder: () => store.closeOrder('x', receipt),
      putIdentity: () => enrol(store, ['glasses']),
      setIdentityStatus: () => store.setIdentityStatus(CAST.glasses.key.name, 'revoked', NOW_MS),
      putMandate: () => putMandate(store, { epoch: 2 }),
      setMandateStatus: () => store.setMandateStatus(mandate, 'suspended', NOW_MS),
      revoke: () => store.revoke(revocation),
      note: () => store.note({ subject: 'x', kind: 'note', body: receipt, nowMs: NOW_MS }),
      erase: () =>
        store.erase({ payer: undefined, beforeMs: NOW_MS, by: 'x', nowMs: NOW_MS + RESEND_FOR_MS }),
      forget: () => store.forget(NOW_MS * 2),
      setMeta: () => store.setMeta('a', 'b'),
    };
    for (const [name, verb] of Object.entries(verbs)) {
      await expect(verb(), name).rejects.toMatchObject({ reason: 'unavailable' });
      expect(tables(database), name).toEqual(before);
    }
  });

  test('more than the queue holds is refused at once and changes nothing', async () => {
    const held: (() => void)[] = [];
    const slow = { ...timers, soon: (run: () => void) => void held.push(run) };
    const store = createSqliteStore(openDatabase(':memory:'), slow, random);
    const waiting = Array.from({ length: STORE_QUEUE_MAX }, () => store.setMeta('a', 'b'));
    await expect(store.setMeta('c', 'd')).rejects.toMatchObject({ reason: 'unavailable' });
    for (; held.length > 0; await settle()) while (held.length > 0) held.shift()!();
    await Promise.all(waiting);
    expect(await store.meta('c')).toBeUndefined();
  });
});

test('the tables themselves refuse a counter twice and a window beyond its maximum', async () => {
  const { database, store } = await stored();
  const mandate = await putMandate(store);
  await admitTo(store, await admissionOf({ mandate }));
  const copy = `INSERT INTO runs (id, key, counter, device, envelope, admitted_ms)
    SELECT 'other', key, counter, device, envelope, admitted_ms FROM runs`;
  expect(() => database.prepare(copy).run()).toThrow(/UNIQUE/);
  for (const change of ['reserved = max + 1', 'settled = -1', 'reserved_count = max_count + 1']) {
    expect(() => database.prepare(`UPDATE windows SET ${change}`).run(), change).toThrow(/CHECK/);
  }
});

test('the tables refuse a second live attempt, and a refund beyond its capture', async () => {
  const { database, store } = await stored();
  const mandate = await putMandate(store);
  const paid = await succeed(store, await accepted(store, { mandate }));
  await accepted(store, follow('refund', paid.id, 4_00n), 'kiosk');
  for (const state of LIVE) {
    const another = `INSERT INTO attempts (run, number, backend, key, operation, state, at_ms)
      VALUES ('${paid.id}', 2, 'other', 'k', 'authorise', '${state}', 0)`;
    expect(() => database.prepare(another).run(), state).toThrow(/UNIQUE/);
  }
  for (const change of ['refunding = 1001', 'refunded = 601', 'captured = 399', 'held = -1']) {
    expect(() => database.prepare(`UPDATE payments SET ${change}`).run(), change).toThrow(/CHECK/);
  }
});

test('whoever opens the file works on every run in it, but not on a person’s', async () => {
  const path = temporary();
  const first = createSqliteStore(openDatabase(path), timers, random);
  await enrol(first);
  const mandate = await putMandate(first);
  const open = await accepted(first, { mandate });
  const stuck = await start(first, await accepted(first, { mandate }));
  await first.progress(stuck.id, word(stuck, { state: 'person' }), NOW_MS);
  await succeed(first, await accepted(first, { mandate }));
  expect(await first.claim({ owner: 'x', untilMs: NOW_MS }, 9, NOW_MS), 'not yet').toEqual([]);
  await first.close();
  const second = createSqliteStore(openDatabase(path), timers, random);
  const taken = await second.claim({ owner: 'x', untilMs: NOW_MS + 1 }, 9, NOW_MS);
  expect(taken).toEqual([open]);
});

test('a copy of the whole store opens and knows everything', async () => {
  const { store } = await stored(openDatabase(temporary()));
  const mandate = await putMandate(store);
  const run = await start(store, await accepted(store, { mandate }));
  const path = temporary();
  await store.backup(path);
  const copy = createSqliteStore(openDatabase(path), timers, random);
  expect(await copy.run(run.id)).toEqual(run);
  expect(await copy.evidencePage(0, 99)).toEqual(await store.evidencePage(0, 99));
  await succeed(copy, run);
  expect((await store.run(run.id))?.receipt, 'each goes its own way').toBeUndefined();
});

test('after any history every window’s row is the sum of its reservations', async () => {
  const act = fc.record({ minor: fc.bigInt(1n, 30n), end: fc.constantFrom('', 'settle', 'void') });
  await fc.assert(
    fc.asyncProperty(fc.array(act, { maxLength: 25 }), async (acts) => {
      const { database, store } = await stored();
      const zone = 'UTC';
      const mandate = await putMandate(store, {
        windows: [
          { kind: 'total', max: 200n, count: 15 },
          { kind: 'calendar', period: 'day', zone, max: 100n, count: 10 },
        ],
      });
      const waiting = [];
      for (const [i, { minor, end }] of acts.entries()) {
        const amount = { currency: 'CNY', minor };
        const admission = await admissionOf({ mandate, counter: i + 1, amount }, NOW_MS + i * 9e6);
        const judged = store.admit(admission, (facts) => judge(admission.request, facts, RULES));
        waiting.push(judged);
        if (end === '') continue;
        waiting.push(
          judged.then(({ run }) =>
            store.conclude(run, end === 'settle' && !run.refusal ? ending() : refusal()),
          ),
        );
        if (i % 3 === 0) await settle();
      }
      await Promise.all(waiting);
      const counted = database
        .prepare(
          `SELECT mandate, place, label,
             sum(iif(state = 'settled', minor, 0)) AS settled,
             sum(iif(state = 'reserved', minor, 0)) AS reserved,
             sum(state = 'settled') AS settled_count, sum(state = 'reserved') AS reserved_count
           FROM reservations GROUP BY mandate, place, label ORDER BY mandate, place, label`,
        )
        .all();
      const rows = database
        .prepare(
          `SELECT mandate, place, label, settled, reserved, settled_count, reserved_count
           FROM windows ORDER BY mandate, place, label`,
        )
        .all();
      expect(rows).toEqual(counted);
      await store.close();
    }),
    { numRuns: process.env['SAYTAP_FULL'] ? 500 : 50 },
  );
});
