// Method: a child process that does nothing but put is killed in the middle, again and again; what
// it had told before must be there, counter and envelope together. The rest is one rule per test.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { EXITS, OperatorError, PaymentError } from '../../src/errors.ts';
import { OUTBOX_ENTRIES_MAX, OUTBOX_KEEP_MS } from '../../src/limits.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import type { Tick } from '../../src/objects/tick.ts';
import { type Outbox, createOutbox, isReadable } from '../../device/outbox.ts';
import { reasonOf } from './stage.ts';

const KILLS = 6;
const id = (n: number) => n.toString(16).padStart(32, '0');
const entry = (n: number, kind: 'request' | 'mandate' | 'order' = 'request') =>
  ({ id: id(n), kind, envelope: Uint8Array.of(n, 1, 2), storedMs: n }) as const;
const used = (counter: number) => ({ key: 'key', counter });
const empty = () => createOutbox(openDatabase(':memory:'));

test('kill -9 while putting: counter, envelope and lease together, nothing lost', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'saytap-outbox-'));
  const path = join(folder, 'outbox.db');
  onTestFinished(() => rmSync(folder, { recursive: true }));
  let before = 0;
  for (let kill = 1; kill <= KILLS; kill++) {
    const program = join(import.meta.dirname, 'program.ts');
    const child = spawn(process.execPath, [program, path], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
    const gone = new Promise((done) => child.once('close', done));
    await expect.poll(() => text.split('\n').length, { timeout: 20_000 }).toBeGreaterThan(5 * kill);
    child.kill('SIGKILL');
    await gone;
    const told = Number(text.trimEnd().split('\n').at(-1));

    const outbox = createOutbox(openDatabase(path));
    const counter = outbox.counter('key');
    // One more than told is possible: stored, and killed before it could say so.
    expect([told, told + 1]).toContain(counter);
    expect(told).toBeGreaterThan(before);
    const open = outbox.open();
    expect(open.map(({ storedMs }) => storedMs)).toEqual(
      Array.from({ length: counter }, (_, i) => i + 1),
    );
    for (const stored of open) {
      expect(stored.envelope).toEqual(new Uint8Array(150).fill(stored.storedMs));
      expect(stored.id).toBe(id(stored.storedMs));
    }
    const left = 1_000_000 - counter;
    expect(outbox.lease('ab'.repeat(16))?.left, 'spent with it').toEqual({
      amount: { currency: 'CNY', minor: BigInt(left) },
      count: left,
    });
    expect(outbox.accepted()).toHaveLength(counter);
    outbox.end();
    before = told;
  }
});

test('a counter only rises; one that was used stores nothing', () => {
  const outbox = empty();
  expect(outbox.counter('key')).toBe(0);
  outbox.put(entry(1), used(1));
  outbox.put(entry(2), used(5));
  for (const counter of [5, 4, 1]) {
    expect(reasonOf(() => outbox.put(entry(3), used(counter)))).toBe('counter_reused');
    expect(outbox.get(id(3)), 'the envelope went with the counter').toBeUndefined();
  }
  expect(outbox.counter('key')).toBe(5);
  outbox.put(entry(3), { key: 'other', counter: 1 });
  expect([outbox.counter('key'), outbox.counter('other')]).toEqual([5, 1]);
});

test('full: the next is refused and not stored; closing one makes room', () => {
  const database = openDatabase(':memory:');
  const outbox = createOutbox(database);
  database.transaction(() => {
    const insert = database.prepare(
      `INSERT INTO entries (id, kind, envelope, stored_ms) VALUES (?, 'request', x'01', 1)`,
    );
    for (let n = 1; n < OUTBOX_ENTRIES_MAX; n++) insert.run(id(n));
  });
  outbox.put(entry(OUTBOX_ENTRIES_MAX), used(1));
  expect(reasonOf(() => outbox.put(entry(OUTBOX_ENTRIES_MAX + 1), used(2)))).toBe('unavailable');
  expect(outbox.counter('key')).toBe(1);
  expect(outbox.get(id(OUTBOX_ENTRIES_MAX + 1))).toBeUndefined();
  void outbox.close(id(1), Uint8Array.of(9), 1);
  outbox.put(entry(OUTBOX_ENTRIES_MAX + 1), used(2));
  expect(outbox.counter('key')).toBe(2);
});

test('a disk that fails is unavailable, and nothing is stored', () => {
  const database = openDatabase(':memory:');
  const outbox = createOutbox(database);
  outbox.put(entry(1), used(1));
  // SQLite itself refuses, as a full disk makes it.
  const pages = database.prepare('PRAGMA page_count').get()!['page_count'] as bigint;
  database.exec(`PRAGMA max_page_count = ${pages}`);
  const large = { ...entry(2), envelope: new Uint8Array(200_000) };
  expect(reasonOf(() => outbox.put(large, used(2)))).toBe('unavailable');
  expect(outbox.get(id(2))).toBeUndefined();
  expect(outbox.counter('key')).toBe(1);
  outbox.put(entry(3), used(2));
  expect(outbox.counter('key'), 'it goes on').toBe(2);
  expect(isReadable(outbox), 'no reason to start the device again').toBe(true);
  database.close();
  expect(isReadable(outbox)).toBe(false);
});

test('open entries oldest first; closed once, by the first receipt; recent newest first', () => {
  const outbox = empty();
  for (const n of [3, 1, 2]) outbox.put(entry(n), used(4 - n === 1 ? 1 : n + 1));
  expect(outbox.open().map((one) => one.id)).toEqual([id(3), id(1), id(2)]);
  void outbox.close(id(1), Uint8Array.of(1), 10);
  void outbox.close(id(1), Uint8Array.of(2), 11);
  expect(outbox.get(id(1))?.receipt).toEqual(Uint8Array.of(1));
  expect(outbox.open().map((one) => one.id)).toEqual([id(3), id(2)]);
  void outbox.close(id(3), Uint8Array.of(3), 12);
  expect(outbox.recent(5).map((one) => one.id)).toEqual([id(1), id(3)]);
  expect(outbox.recent(1).map((one) => one.id)).toEqual([id(1)]);
});

test('the same id again changes nothing; a mandate is offered anew', () => {
  const outbox = empty();
  outbox.put(entry(1), used(1));
  void outbox.close(id(1), Uint8Array.of(9), 1);
  outbox.put({ ...entry(1), storedMs: 77 });
  expect(outbox.get(id(1))).toMatchObject({ storedMs: 1, receipt: Uint8Array.of(9) });
  outbox.put(entry(2, 'mandate'));
  void outbox.close(id(2), Uint8Array.of(9), 1);
  outbox.put({ ...entry(2, 'mandate'), storedMs: 77 });
  expect(outbox.get(id(2))).toMatchObject({ storedMs: 77, receipt: undefined });
  expect(
    outbox.recent(5).map((one) => one.id),
    'only payments are recent',
  ).toEqual([id(1)]);
});

test('forgets what was closed long ago, and never what is open', () => {
  const outbox = empty();
  outbox.put(entry(1));
  outbox.put(entry(2));
  outbox.put(entry(3));
  void outbox.close(id(1), Uint8Array.of(9), 1_000);
  void outbox.close(id(2), Uint8Array.of(9), 2_000);
  for (const n of [1, 2, 3]) void outbox.told(id(n));
  outbox.forget(OUTBOX_KEEP_MS + 1_500);
  expect([1, 2, 3].map((n) => outbox.get(id(n)) !== undefined)).toEqual([false, true, true]);
});

test('an outbox of another version is not touched', () => {
  const database = openDatabase(':memory:');
  database.exec('PRAGMA user_version = 7');
  let failure: unknown;
  try {
    createOutbox(database);
  } catch (error) {
    failure = error;
  }
  expect(failure).toBeInstanceOf(OperatorError);
  expect(failure).not.toBeInstanceOf(PaymentError);
  expect((failure as OperatorError).exit).toBe(EXITS.storage);
});

test('a full disk stores nothing and says so; after a failed sync nobody knows', () => {
  const database = openDatabase(':memory:');
  let trouble: 'none' | 'full' | 'failed sync' = 'none';
  const outbox = createOutbox({
    ...database,
    transaction(run) {
      if (trouble !== 'none') throw new PaymentError('unavailable', trouble);
      return database.transaction(run);
    },
    prepare(sql) {
      const statement = database.prepare(sql);
      return {
        ...statement,
        get(...values) {
          // The real port refuses everything then: see Database in src/platform.ts.
          if (trouble === 'failed sync' && sql === 'SELECT 1') {
            throw new PaymentError('unavailable', trouble);
          }
          return statement.get(...values);
        },
      };
    },
  });
  const reason = (run: () => void) => {
    try {
      run();
    } catch (error) {
      return error instanceof PaymentError ? error.reason : error;
    }
    return undefined;
  };
  trouble = 'full';
  expect(reason(() => outbox.put(entry(1)))).toBe('unavailable');
  expect(outbox.open()).toEqual([]);
  trouble = 'failed sync';
  expect(reason(() => outbox.put(entry(2)))).toBe('in_progress');
  trouble = 'none';
  expect(reason(() => outbox.put(entry(3)))).toBeUndefined();
  expect(outbox.open().map((one) => one.id)).toEqual([id(3)]);
});

test('what ended and was told to nobody is not forgotten, except a mandate', () => {
  const outbox = empty();
  outbox.put(entry(1));
  outbox.put(entry(2, 'order'));
  outbox.put(entry(3, 'mandate'));
  outbox.put(entry(4));
  for (const n of [1, 2, 3]) void outbox.close(id(n), Uint8Array.of(9), 1);
  void outbox.told(id(4));
  expect(outbox.untold().map((one) => one.id)).toEqual([id(1), id(2)]);
  outbox.forget(OUTBOX_KEEP_MS + 10);
  expect(outbox.get(id(3))).toBeUndefined();
  expect(
    outbox.untold().map((one) => one.id),
    'oldest first',
  ).toEqual([id(1), id(2)]);
  void outbox.told(id(1));
  void outbox.close(id(4), Uint8Array.of(9), 1);
  expect(
    outbox.untold().map((one) => one.id),
    'what is open cannot have been told',
  ).toEqual([id(2), id(4)]);
});

test('the question to cancel: kept once, with what is open, and still open after it', () => {
  const outbox = empty();
  outbox.put(entry(1), used(1));
  expect(outbox.cancel(id(2), Uint8Array.of(7)), 'an id that is unknown').toBeUndefined();
  expect(outbox.get(id(1))?.cancel).toBeUndefined();
  expect(outbox.cancel(id(1), Uint8Array.of(7))).toMatchObject({
    id: id(1),
    receipt: undefined,
    cancel: Uint8Array.of(7),
  });
  expect(outbox.cancel(id(1), Uint8Array.of(8))?.cancel, 'the first').toEqual(Uint8Array.of(7));
  expect(outbox.open()).toHaveLength(1);
  void outbox.close(id(1), Uint8Array.of(9), 1);
  expect(outbox.cancel(id(1), Uint8Array.of(7)), 'what is over').toBeUndefined();
  outbox.put(entry(3), used(2));
  void outbox.close(id(3), Uint8Array.of(9), 1);
  expect(outbox.cancel(id(3), Uint8Array.of(7))).toBeUndefined();
  expect(outbox.get(id(3))?.cancel, 'and keeps no question').toBeUndefined();
  expect(outbox.get(id(1))).toMatchObject({ receipt: Uint8Array.of(9), cancel: Uint8Array.of(7) });
});

test('orders that ended, by how their id begins, newest first', () => {
  const outbox = empty();
  const order = (text: string) => ({ ...entry(1, 'order'), id: text.padEnd(32, '0') });
  for (const text of ['aa1', 'aa2', 'bb']) outbox.put(order(text));
  outbox.put(entry(5));
  for (const text of ['aa1', 'bb', 'aa2']) void outbox.close(order(text).id, Uint8Array.of(9), 1);
  void outbox.close(id(5), Uint8Array.of(9), 1);
  outbox.put(order('aa3'));
  const found = (beginning: string, count: number) =>
    outbox.orders(beginning, count).map((one) => one.id.slice(0, 3));
  expect(found('', 10)).toEqual(['bb0', 'aa2', 'aa1']);
  expect(found('', 1)).toEqual(['bb0']);
  expect(found('aa', 10)).toEqual(['aa2', 'aa1']);
  expect(found('aa1', 10)).toEqual(['aa1']);
  expect(found('%', 10)).toEqual([]);
});

test('an outbox of version 1 goes on: what is open stays open, what ended counts as told', () => {
  const database = openDatabase(':memory:');
  database.exec(`
    CREATE TABLE entries (
      place INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,
      envelope BLOB NOT NULL, stored_ms INTEGER NOT NULL, receipt BLOB, closed_ms INTEGER
    ) STRICT;
    CREATE INDEX entries_open ON entries (place) WHERE receipt IS NULL;
    CREATE TABLE counters (key TEXT PRIMARY KEY, last INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    INSERT INTO entries VALUES (1, '${id(1)}', 'request', x'01', 5, x'09', 6);
    INSERT INTO entries VALUES (2, '${id(2)}', 'request', x'02', 7, NULL, NULL);
    INSERT INTO counters VALUES ('key', 2);
    PRAGMA user_version = 1;
  `);
  for (let opening = 1; opening <= 2; opening++) {
    const outbox = createOutbox(database);
    expect(outbox.counter('key')).toBe(2);
    expect(outbox.untold()).toEqual([]);
    expect(outbox.open()).toEqual([
      {
        id: id(2),
        kind: 'request',
        envelope: Uint8Array.of(2),
        storedMs: 7,
        receipt: undefined,
        cancel: undefined,
        isOffline: false,
      },
    ]);
    expect(outbox.get(id(1))?.receipt).toEqual(Uint8Array.of(9));
    expect(outbox.accepted(), 'nothing of it was accepted offline').toEqual([]);
    expect(outbox.lease(MANDATE)).toBeUndefined();
  }
});

const MANDATE = 'ab'.repeat(16);
const cny = (minor: bigint) => ({ currency: 'CNY', minor });

/** A lease of 100 yuan and 5 payments, made at `iat`. */
function leaseAt(iat: number, minor = 100_00n, count = 5): Tick {
  const lease = { exp: iat + 100, mandate: MANDATE, amount: cny(minor), count, upload: iat + 200 };
  return { iat, nonce: new Uint8Array(8).fill(iat), audience: 'cd'.repeat(32), lease };
}

/** Puts entry `n` as accepted offline. */
function accept(outbox: Outbox, n: number, minor: bigint, payer = 'ann') {
  const spends = { lease: outbox.lease(MANDATE)!, payer, amount: cny(minor) };
  outbox.put(entry(n), used(n), spends);
}

test('what is accepted offline is marked, and takes its part of the lease', () => {
  const outbox = empty();
  outbox.hearLease(leaseAt(10));
  outbox.put(entry(1), used(1));
  accept(outbox, 2, 30_00n);
  accept(outbox, 3, 20_00n, 'bob');
  expect(outbox.lease(MANDATE)).toMatchObject({ left: { amount: cny(50_00n), count: 3 } });
  const one = { mandate: MANDATE, payer: 'ann', amount: cny(30_00n), storedMs: 2, isInRow: true };
  const two = { ...one, id: id(3), payer: 'bob', amount: cny(20_00n), storedMs: 3 };
  expect(outbox.accepted()).toEqual([{ ...one, id: id(2) }, two]);
  expect([1, 2, 3].map((n) => outbox.get(id(n))?.isOffline)).toEqual([false, true, true]);
  void outbox.close(id(2), Uint8Array.of(9), 1);
  expect(outbox.accepted()).toEqual([two]);
  expect(outbox.get(id(2))?.isOffline, 'for whoever tells how it ended').toBe(true);
});

test('in a row is what is newer than the newest that was answered', () => {
  const outbox = empty();
  outbox.hearLease(leaseAt(10));
  for (const n of [1, 2, 3]) accept(outbox, n, 1n);
  outbox.put(entry(9, 'mandate'));
  void outbox.close(id(9), Uint8Array.of(9), 1);
  const inRow = () => outbox.accepted().map(({ isInRow }) => isInRow);
  expect(inRow(), 'a mandate is no payment').toEqual([true, true, true]);
  void outbox.close(id(2), Uint8Array.of(9), 1);
  expect(inRow()).toEqual([false, true]);
  accept(outbox, 4, 1n);
  expect(inRow()).toEqual([false, true, true]);
});

test('what spends more than is left is not stored, nor its counter', () => {
  const outbox = empty();
  outbox.hearLease(leaseAt(10));
  accept(outbox, 1, 30_00n);
  expect(reasonOf(() => accept(outbox, 2, 70_01n))).toBe('lease_exhausted');
  expect([outbox.get(id(2)), outbox.counter('key')]).toEqual([undefined, 1]);
  expect(outbox.lease(MANDATE)?.left).toEqual({ amount: cny(70_00n), count: 4 });
});

test('a newer lease, heard while somebody signs under the old one, pays for it too', () => {
  const outbox = empty();
  outbox.hearLease(leaseAt(10));
  const spends = { lease: outbox.lease(MANDATE)!, payer: 'ann', amount: cny(30_00n) };
  outbox.hearLease(leaseAt(11));
  outbox.put(entry(1), used(1), spends);
  expect(outbox.lease(MANDATE)?.left).toEqual({ amount: cny(70_00n), count: 4 });
});

test('a lease that comes after the receipt of what it was made before counts that once', () => {
  const outbox = empty();
  outbox.hearLease(leaseAt(10));
  for (const n of [1, 2, 3]) accept(outbox, n, 10_00n);
  // The bridge makes a lease in second 12; before that it has answered 1, afterwards 2, 3 not yet.
  void outbox.close(id(1), Uint8Array.of(9), 11_000);
  void outbox.close(id(2), Uint8Array.of(9), 12_000);
  outbox.hearLease(leaseAt(12));
  expect(outbox.lease(MANDATE)?.left).toEqual({ amount: cny(80_00n), count: 3 });
});

test('a refused entry leaves the lease as it was', () => {
  const outbox = empty();
  outbox.hearLease(leaseAt(10));
  accept(outbox, 1, 30_00n);
  const spends = { lease: outbox.lease(MANDATE)!, payer: 'ann', amount: cny(1n) };
  expect(reasonOf(() => outbox.put(entry(2), used(1), spends))).toBe('counter_reused');
  expect(outbox.lease(MANDATE)?.left).toEqual({ amount: cny(70_00n), count: 4 });
});
