/** Images of databases: the same content again, with the product's own schemas. */
import { expect, test } from 'vitest';
import { prepareSchema } from '../../broker/store/schema.ts';
import { openBooks } from '../../broker/ledger/books.ts';
import { openHistory } from '../../broker/risk/history.ts';
import { createOutbox } from '../../device/outbox.ts';
import { createImages } from '../../simulator/image.ts';
import { clock } from '../../src/node/platform.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import type { Database } from '../../src/platform.ts';

const images = createImages(openDatabase);

const TABLE = `CREATE TABLE item (name TEXT, count INTEGER, bytes BLOB) STRICT;
  CREATE INDEX item_name ON item (name);
  CREATE TABLE place (id INTEGER PRIMARY KEY, item INTEGER REFERENCES place (id)) STRICT;
  PRAGMA user_version = 7`;

test('what a database holds comes back from the bytes of its image', () => {
  const database = openDatabase(':memory:');
  database.exec(TABLE);
  const insert = database.prepare('INSERT INTO item VALUES (?, ?, ?)');
  insert.run("it's", 2n ** 62n, Uint8Array.of(0, 255));
  insert.run('乌龙奶茶\n', null, null);
  database.exec('DELETE FROM item WHERE rowid = 1');
  insert.run('', -1n, new Uint8Array());
  // Refers to what comes after it.
  database.exec('BEGIN; PRAGMA defer_foreign_keys = ON; INSERT INTO place VALUES (1, 2)');
  database.exec('INSERT INTO place VALUES (2, NULL); COMMIT');
  const image = images.read(images.of(database).bytes())!;
  const found = image.take();
  const rows = (of: Database) => of.prepare('SELECT rowid, * FROM item ORDER BY rowid').all();
  expect(rows(found)).toEqual(rows(database));
  expect(found.prepare('SELECT * FROM place').all()).toHaveLength(2);
  expect(found.prepare('PRAGMA user_version').get()).toEqual({ user_version: 7n });
  expect(found.prepare('PRAGMA foreign_keys').get()).toEqual({ foreign_keys: 1n });
  expect(images.of(found).bytes()).toEqual(image.bytes());
  expect(images.read(Uint8Array.of(1, 2, 3))).toBeUndefined();
});

test('what was given back holds the image again', () => {
  const first = images.empty.take();
  first.exec(`SAVEPOINT a; ${TABLE}; SAVEPOINT b; INSERT INTO item (name) VALUES ('x'); RELEASE b`);
  images.empty.giveBack(first);
  const second = images.empty.take();
  expect(second).toBe(first);
  expect(second.prepare('SELECT * FROM sqlite_schema').all()).toEqual([]);
  expect(second.prepare('PRAGMA user_version').get()).toEqual({ user_version: 0n });
  images.empty.giveBack(second);
});

test.each([
  { what: 'a store of the bridge', make: (database: Database) => prepareSchema(database) },
  { what: 'an outbox', make: (database: Database) => void createOutbox(database, 'any') },
  { what: 'books', make: (database: Database) => void openBooks({ database, clock }) },
  { what: 'a history', make: (database: Database) => void openHistory({ database, clock }) },
])('the image of $what is as it was made', ({ make }) => {
  const database = openDatabase(':memory:');
  make(database);
  const found = images.read(images.of(database).bytes())!.take();
  const schema = (of: Database) =>
    of.prepare('SELECT type, name, sql FROM sqlite_schema ORDER BY name').all();
  expect(schema(found)).toEqual(schema(database));
  expect(images.of(found).bytes()).toEqual(images.of(database).bytes());
  expect(found.prepare('PRAGMA integrity_check').get()).toEqual({ integrity_check: 'ok' });
});
