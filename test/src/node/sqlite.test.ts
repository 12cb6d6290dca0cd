/** The real database port: durable, locked, clear when it fails. */
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { EXITS, OperatorError, PaymentError } from '../../../src/errors.ts';
import { openDatabase } from '../../../src/node/sqlite.ts';
import { ConflictError, type Database } from '../../../src/platform.ts';

let folder = '';
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'saytap-sqlite-'))));
afterEach(() => rmSync(folder, { recursive: true }));

const TABLE = 'CREATE TABLE item (name TEXT PRIMARY KEY, count INTEGER, bytes BLOB) STRICT';

function thrown(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
}

test('values come back as bigint, text, bytes and null, also after reopening', () => {
  const path = join(folder, 'a.db');
  const first = openDatabase(path);
  first.exec(TABLE);
  const insert = first.prepare('INSERT INTO item VALUES (?, ?, ?)');
  expect(insert.run('a', 2n ** 53n + 1n, Uint8Array.of(1, 2)).changes).toBe(1);
  expect(insert.run('b', null, null).changes).toBe(1);
  expect(first.prepare('INSERT INTO item VALUES (?, ?, ?)')).toBe(insert);
  first.close();

  const second = openDatabase(path);
  expect(second.prepare('SELECT * FROM item ORDER BY name').all()).toEqual([
    { name: 'a', count: 9_007_199_254_740_993n, bytes: Uint8Array.of(1, 2) },
    { name: 'b', count: null, bytes: null },
  ]);
  expect(second.prepare('SELECT * FROM item WHERE name = ?').get('z')).toBeUndefined();
  second.close();
});

test('commits are synced, to a file that only its owner reads', () => {
  const path = join(folder, 'a.db');
  const database = openDatabase(path);
  database.exec(TABLE);
  expect(database.prepare('PRAGMA journal_mode').get()).toEqual({ journal_mode: 'wal' });
  expect(database.prepare('PRAGMA synchronous').get()).toEqual({ synchronous: 2n });
  expect(database.prepare('PRAGMA foreign_keys').get()).toEqual({ foreign_keys: 1n });
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(statSync(`${path}-wal`).mode & 0o777).toBe(0o600);
  database.close();
});

test('a taken unique value is a ConflictError and nothing else is', () => {
  const database = openDatabase(':memory:');
  database.exec(TABLE);
  const insert = database.prepare('INSERT INTO item (name, count) VALUES (?, ?)');
  insert.run('a', 1n);
  expect(thrown(() => insert.run('a', 2n))).toBeInstanceOf(ConflictError);
  const wrongType = thrown(() => insert.run('b', 'not a number'));
  expect(wrongType).toMatchObject({ code: 'ERR_SQLITE_ERROR' });
  expect(wrongType).not.toBeInstanceOf(ConflictError);
  database.close();
});

test('a transaction that throws leaves nothing behind', () => {
  const database = openDatabase(':memory:');
  database.exec(TABLE);
  const insert = database.prepare('INSERT INTO item (name) VALUES (?)');
  const boom = new Error('boom');
  expect(
    thrown(() =>
      database.transaction(() => {
        insert.run('a');
        throw boom;
      }),
    ),
  ).toBe(boom);
  expect(database.transaction(() => insert.run('b').changes)).toBe(1);
  expect(database.prepare('SELECT name FROM item').all()).toEqual([{ name: 'b' }]);
  database.close();
});

test('a full disk is `unavailable` with its cause, and the next transaction works', () => {
  const database = openDatabase(':memory:');
  database.exec(TABLE);
  database.exec('PRAGMA max_page_count = 20');
  const insert = database.prepare('INSERT INTO item (name, bytes) VALUES (?, ?)');
  const full = thrown(() =>
    database.transaction(() => {
      for (let n = 0; n < 100; n++) insert.run(String(n), new Uint8Array(4096));
    }),
  );
  expect(full).toBeInstanceOf(PaymentError);
  expect(full).toMatchObject({ reason: 'unavailable', message: 'The disk is full.' });
  expect((full as Error).cause).toMatchObject({ errcode: 13 });
  expect(database.prepare('SELECT count(*) AS count FROM item').get()).toEqual({ count: 0n });
  database.transaction(() => insert.run('small', null));
  expect(database.prepare('SELECT count(*) AS count FROM item').get()).toEqual({ count: 1n });
  database.close();
});

type Unusable = { why: string; prepare: (path: string) => Database | undefined; line: RegExp };
const unusable: Unusable[] = [
  {
    why: 'another program has it open',
    prepare: (path: string) => openDatabase(path),
    line: /is in use: stop the other program/,
  },
  {
    why: 'it is not a database',
    prepare(path: string) {
      writeFileSync(path, 'not a database at all'.repeat(100));
      return undefined;
    },
    line: /is damaged or is not a database/,
  },
  {
    why: 'a page in it is damaged',
    prepare(path: string) {
      const database = openDatabase(path);
      database.exec(TABLE);
      const insert = database.prepare('INSERT INTO item (name, bytes) VALUES (?, ?)');
      for (let n = 0; n < 50; n++) insert.run(String(n), new Uint8Array(500));
      database.close();
      const size = statSync(path).size;
      const file = Uint8Array.from({ length: size - 4096 }, () => 0xaa);
      writeFileSync(path, file, { flag: 'r+', flush: true });
      writeFileSync(path, HEADER, { flag: 'r+' });
      return undefined;
    },
    line: /is damaged or is not a database/,
  },
];
const HEADER = new TextEncoder().encode('SQLite format 3\0');

test.each(unusable)('one clear line when $why', ({ prepare, line }) => {
  const path = join(folder, 'a.db');
  const held = prepare(path);
  const error = thrown(() => openDatabase(path));
  expect(error).toBeInstanceOf(OperatorError);
  expect((error as OperatorError).exit).toBe(EXITS.storage);
  expect((error as OperatorError).message).toMatch(line);
  expect((error as OperatorError).message).not.toContain('\n');
  held?.close();
});

test('one clear line when the folder does not exist', () => {
  const error = thrown(() => openDatabase(join(folder, 'none', 'a.db')));
  expect(error).toMatchObject({ name: 'OperatorError', exit: EXITS.storage });
  expect((error as Error).message).toMatch(/its folder must exist and be writable/);
});
