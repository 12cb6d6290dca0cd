/**
 * Databases as they are at one moment, to be opened again and again.
 *
 * A world opens some fifty databases, and thousands of worlds run one after the other. So a real
 * SQLite database in memory that holds an image is kept when its world is over: it works inside a
 * transaction that is never committed, and rolling that back gives the image again within
 * microseconds, with every prepared statement still prepared. As bytes an image is the SQL text
 * that makes it, which is the same on every machine.
 */
import { utf8 } from '../src/bytes.ts';
import type { Database } from '../src/platform.ts';

export type Image = Readonly<{
  /** The image as a file; `images.read` understands it. */
  bytes: () => Uint8Array;
  /**
   * A database that holds it, inside a transaction that the taker neither commits nor rolls back:
   * what happens in it happens in savepoints.
   */
  take: () => Database;
  /** Takes back what was taken, whatever has become of it. */
  giveBack: (database: Database) => void;
}>;

export type Images = Readonly<{
  /** A new database, without tables. */
  empty: Image;
  /** What a database holds now. */
  of: (database: Database) => Image;
  /** The image that a file is; undefined for any other file. */
  read: (bytes: Uint8Array) => Image | undefined;
}>;

/** `openDatabase` is the real one; it is asked for databases in memory only. */
export function createImages(openDatabase: (path: string) => Database): Images {
  function imageOf(script: string): Image {
    const spare: Database[] = [];
    return Object.freeze({
      bytes: () => utf8(script),
      take() {
        const kept = spare.pop();
        if (kept) return kept;
        const database = openDatabase(':memory:');
        // Rows come in any order of their tables, whatever they refer to.
        database.exec('PRAGMA foreign_keys = OFF');
        database.exec(script);
        database.exec('PRAGMA foreign_keys = ON; BEGIN IMMEDIATE');
        return database;
      },
      giveBack(database: Database) {
        database.exec('ROLLBACK; BEGIN IMMEDIATE');
        spare.push(database);
      },
    });
  }

  return Object.freeze({
    empty: imageOf(HEAD),
    of: (database: Database) => imageOf(scriptOf(database)),
    read(bytes: Uint8Array) {
      const text = new TextDecoder().decode(bytes);
      return text.startsWith(HEAD) ? imageOf(text) : undefined;
    },
  });
}

const HEAD = '-- a database on a simulated disk\n';

function scriptOf(database: Database): string {
  const lines = [HEAD];
  for (const pragma of ['user_version', 'application_id']) {
    const told = Object.values(database.prepare(`PRAGMA ${pragma}`).get()!)[0];
    lines.push(`PRAGMA ${pragma} = ${String(told)};\n`);
  }
  const made = database.prepare(MADE).all() as readonly Made[];
  for (const { type, sql } of made) if (type === 'table') lines.push(`${sql};\n`);
  const tables = database.prepare(TABLES).all() as readonly Table[];
  if (tables.length > 0) {
    // One statement for all tables: a program's database prepares only so many.
    const all = tables.map((table) => insertsOf(database, table)).join(' UNION ALL ');
    for (const { line } of database.prepare(all).all()) lines.push(`${line as string};\n`);
  }
  for (const { type, sql } of made) if (type !== 'table') lines.push(`${sql};\n`);
  return lines.join('');
}

type Made = { type: string; sql: string };
type Table = { name: string; wr: bigint };

/** What SQLite made itself (its automatic indexes) has no text. */
const MADE = `SELECT type, sql FROM sqlite_schema
  WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid`;

const TABLES = `SELECT t.name, t.wr FROM pragma_table_list AS t
  JOIN sqlite_schema AS s ON s.name = t.name
  WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
  ORDER BY s.rowid`;

/** A SELECT of the INSERTs that fill a table, with the row ids that others may refer to. */
function insertsOf(database: Database, { name, wr }: Table): string {
  const columns = database
    .prepare('SELECT name FROM pragma_table_info(?)')
    .all(name)
    .map((column) => column['name'] as string);
  const all = wr === 0n ? ['rowid', ...columns] : columns;
  const values = all.map((column) => `quote(${column})`).join(` || ',' || `);
  const head = `INSERT INTO ${name} (${all.join(', ')}) VALUES (`;
  return `SELECT '${head}' || ${values} || ')' AS line FROM ${name}`;
}
