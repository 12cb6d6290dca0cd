/** The real database port: durable, locked, clear when it fails. */
import { spawn, spawnSync } from 'node:child_process';
import {
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { EXITS, OperatorError, PaymentError } from '../../../src/errors.ts';
import { SQLITE_CHECKPOINT_PAGES } from '../../../src/limits.ts';
import type { Disk } from '../../../src/node/durability.ts';
import { openDatabase } from '../../../src/node/sqlite.ts';
import { ConflictError, DamagedError, type Database } from '../../../src/platform.ts';

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

test('damage that is met at work refuses everything from then on, and is told', async () => {
  const path = join(folder, 'a.db');
  const database = openDatabase(path);
  database.exec(TABLE);
  const insert = database.prepare('INSERT INTO item (name, bytes) VALUES (?, ?)');
  database.transaction(() => {
    for (let n = 0; n < 50; n++) insert.run(String(n), new Uint8Array(500));
  });
  database.exec('PRAGMA wal_checkpoint(TRUNCATE); PRAGMA cache_size = 0; PRAGMA shrink_memory');
  const noise = new Uint8Array(statSync(path).size - 4096).fill(0xaa);
  const file = openSync(path, 'r+');
  writeSync(file, noise, 0, noise.length, 4096);
  const all = () => database.prepare('SELECT name, bytes FROM item').all();
  expect(thrown(all)).toMatchObject({ reason: 'unavailable', cause: expect.any(DamagedError) });
  expect(thrown(() => database.prepare('SELECT 1 AS one').get())).toMatchObject({
    reason: 'unavailable',
  });
  const failure = await database.failed;
  expect(failure.message).toMatch(/a\.db is damaged/);
  closeSync(file);
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
  {
    why: 'its format is one of no version of SQLite',
    prepare(path: string) {
      const database = openDatabase(path);
      database.exec(TABLE);
      database.close();
      const file = openSync(path, 'r+');
      writeSync(file, Uint8Array.of(0x77), 0, 1, 47); // The schema format, fileformat2 §1.3.10.
      closeSync(file);
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

const SYNCHRONOUS = 'PRAGMA synchronous';
const COUNT = 'SELECT count(*) AS count FROM item';
/** Lets everything that was promised be told. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

/** A slow disk: after its first sync each goes to a worker, which the test ends by hand. */
function slowDisk() {
  const workers: { finish: () => void; fail: (error: Error) => void }[] = [];
  const disk: Disk = {
    syncNow() {
      for (const end = performance.now() + 50; performance.now() < end;);
    },
    sync: () => new Promise<void>((finish, fail) => workers.push({ finish, fail })),
  };
  return { disk, workers };
}

test('a commit is to be read at once and promised only when the disk has it', async () => {
  const { disk, workers } = slowDisk();
  const database = openDatabase(join(folder, 'a.db'), disk);
  database.exec(TABLE);
  const insert = database.prepare('INSERT INTO item (name) VALUES (?)');
  await database.commit(() => insert.run('first'));
  const told: string[] = [];
  const second = database.commit(() => insert.run('second').changes);
  void second.then(() => told.push('second'));
  void database.durable().then(() => told.push('durable'));
  expect(database.prepare(COUNT).get()).toEqual({ count: 2n });
  await settle();
  expect(told).toEqual([]);
  workers[0]!.finish();
  expect(await second).toBe(1);
  await database.durable();
  expect(told).toEqual(['second', 'durable']);
  database.close();
});

test('a transaction that only reads waits for what it may have read', async () => {
  const { disk } = slowDisk();
  const syncs = { onLoop: 0 };
  const counted: Disk = { ...disk, syncNow: (file) => (syncs.onLoop++, disk.syncNow(file)) };
  const database = openDatabase(join(folder, 'a.db'), counted);
  database.exec(TABLE);
  const insert = database.prepare('INSERT INTO item (name) VALUES (?)');
  await database.commit(() => insert.run('first'));
  const second = database.commit(() => insert.run('second'));
  expect(syncs.onLoop).toBe(1);
  database.transaction(() => database.prepare(COUNT).get());
  expect(syncs.onLoop).toBe(2);
  await second;
  database.close();
});

test('only a commit leaves the sync out of its COMMIT, however it ends', async () => {
  const database = openDatabase(join(folder, 'a.db'));
  database.exec(TABLE);
  const insert = database.prepare('INSERT INTO item (name) VALUES (?)');
  const mode = () => database.prepare(SYNCHRONOUS).get()?.['synchronous'];
  expect(await database.commit(() => (insert.run('a'), mode()))).toBe(1n);
  expect(mode()).toBe(2n);
  await expect(database.commit(() => insert.run('a'))).rejects.toBeInstanceOf(ConflictError);
  expect(mode()).toBe(2n);
  expect(database.transaction(mode)).toBe(2n);
  expect(await database.commit(() => insert.run('b').changes)).toBe(1);
  database.close();
});

test('a copy is one moment of the database, private, while the program goes on', async () => {
  const database = openDatabase(join(folder, 'a.db'));
  database.exec(TABLE);
  const insert = database.prepare('INSERT INTO item (name, bytes) VALUES (?, ?)');
  let written = 0;
  const write = (count: number) =>
    database.commit(() => {
      for (let n = 0; n < count; n++) insert.run(String(written++), new Uint8Array(3_000));
    });
  await write(1_000);
  const path = join(folder, 'copy.db');
  const state = { isCopied: false };
  const copied = database.backup(path).then(() => (state.isCopied = true));
  const refused = expect(database.backup(join(folder, 'other.db'))).rejects.toMatchObject({
    message: expect.stringContaining('another copy is being made') as string,
  });
  // As much as is otherwise moved into the file at once; now the file stands still.
  const { size } = statSync(join(folder, 'a.db'));
  const more = write(SQLITE_CHECKPOINT_PAGES);
  expect(statSync(join(folder, 'a.db')).size).toBe(size);
  await more;
  await refused;
  while (!state.isCopied) {
    await write(10);
    await settle();
  }
  await copied;
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(database.prepare('PRAGMA wal_autocheckpoint').get()).toEqual({
    wal_autocheckpoint: BigInt(SQLITE_CHECKPOINT_PAGES),
  });
  expect(database.prepare(COUNT).get()).toEqual({ count: BigInt(written) });
  const second = spawnSync(NODE[0], [...NODE.slice(1), program('')], { encoding: 'utf8' });
  expect(second.stderr).toContain('is in use: stop the other program');
  database.close();
  const copy = openDatabase(path);
  expect(copy.prepare(COUNT).get()).toEqual({ count: 1_000n });
  copy.close();
});

test('a copy that a stop overtakes is none', async () => {
  const database = openDatabase(join(folder, 'a.db'));
  database.exec(TABLE);
  const path = join(folder, 'copy.db');
  const copied = database.backup(path);
  database.close();
  await expect(copied).rejects.toMatchObject({ exit: EXITS.storage });
  expect(existsSync(path)).toBe(false);
});

test('a copy never replaces a file, and one that cannot be made leaves none', async () => {
  const database = openDatabase(join(folder, 'a.db'));
  database.exec(TABLE);
  const path = join(folder, 'copy.db');
  writeFileSync(path, 'mine');
  const refusal = {
    name: 'OperatorError',
    exit: EXITS.storage,
    message: expect.stringMatching(/^Cannot copy the database to [^\n]+$/) as string,
  };
  await expect(database.backup(path)).rejects.toMatchObject(refusal);
  expect(readFileSync(path, 'utf8')).toBe('mine');
  await expect(database.backup(join(folder, 'none', 'b.db'))).rejects.toMatchObject(refusal);
  database.close();
});

test('in memory a commit has nothing to wait for', async () => {
  const database = openDatabase(':memory:');
  database.exec(TABLE);
  const insert = database.prepare('INSERT INTO item (name) VALUES (?)');
  expect(await database.commit(() => insert.run('a').changes)).toBe(1);
  await database.durable();
  database.close();
});

test.each([
  ['on the loop', 0],
  ['in a worker', 1],
] as const)('after a failed sync everything is refused: %s', async (_where, before) => {
  const error = Object.assign(new Error('i/o error'), { code: 'EIO' });
  const slow = slowDisk();
  const disk = before === 0 ? { ...slow.disk, syncNow: () => broke(error) } : slow.disk;
  const database = openDatabase(join(folder, 'a.db'), disk);
  database.exec(TABLE);
  const insert = database.prepare('INSERT INTO item (name) VALUES (?)');
  if (before === 1) await database.commit(() => insert.run('before'));
  const failed = database.commit(() => insert.run('failed'));
  const durable = database.durable();
  slow.workers[0]?.fail(error);
  const refusal = {
    reason: 'unavailable',
    message: expect.stringContaining('must be started again') as string,
    cause: error,
  };
  await expect(failed).rejects.toMatchObject(refusal);
  await expect(durable).rejects.toMatchObject(refusal);
  await expect(database.durable()).rejects.toMatchObject(refusal);
  await expect(database.commit(() => insert.run('later'))).rejects.toMatchObject(refusal);
  for (const use of [
    () => database.transaction(() => insert.run('later')),
    () => insert.run('later'),
    () => database.prepare(COUNT),
    () => database.exec('DELETE FROM item'),
  ]) {
    expect(thrown(use)).toMatchObject(refusal);
  }
  expect(await database.failed).toMatchObject(refusal);
  database.close();
});

function broke(error: Error): never {
  throw error;
}

test('a power cut keeps every commit that was promised, also across checkpoints', async () => {
  const STEP = fc.constantFrom<'write' | 'finish'>('write', 'write', 'finish');
  let runs = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(STEP, { minLength: 10, maxLength: 60 }), async (steps) => {
      const here = join(folder, `run-${runs++}`);
      mkdirSync(here);
      await cutPower(here, steps);
    }),
    { numRuns: 15 },
  );
});

/**
 * Takes a picture of both files whenever a sync begins: what is on disk for sure once it has ended.
 * The log is short, so that it is moved into the file and begun again many times.
 */
async function cutPower(here: string, steps: readonly ('write' | 'finish')[]): Promise<void> {
  const path = join(here, 'a.db');
  const { disk, workers } = slowDisk();
  let pictures = 0;
  let kept = 'none';
  const takePicture = () => {
    const name = join(here, `picture-${pictures++}`);
    mkdirSync(name);
    for (const file of ['a.db', 'a.db-wal']) cpSync(join(here, file), join(name, file));
    return name;
  };
  const database = openDatabase(path, {
    syncNow(file) {
      const picture = takePicture();
      disk.syncNow(file);
      kept = picture;
    },
    async sync(file) {
      const picture = takePicture();
      await disk.sync(file);
      kept = picture;
    },
  });
  database.exec(`${TABLE}; PRAGMA wal_autocheckpoint = 4`);
  const insert = database.prepare('INSERT INTO item (name, bytes) VALUES (?, ?)');
  const promised: string[] = [];
  let written = 0;
  let ended = 0;
  const write = () => {
    const name = `item-${written++}`;
    return database
      .commit(() => insert.run(name, new Uint8Array(3_000)))
      .then(() => void promised.push(name));
  };
  await write(); // The first sync, on the loop, shows that the disk is slow.
  const writes: Promise<void>[] = [];
  for (const step of steps) {
    if (step === 'write') writes.push(write());
    else if (ended < workers.length) workers[ended++]!.finish();
    await settle();
    expect(namesIn(kept)).toEqual(expect.arrayContaining(promised));
  }
  while (promised.length < written) {
    workers[ended++]?.finish();
    await settle();
  }
  await Promise.all(writes);
  database.close();
}

/** What a program finds that starts on a copy of these files. */
function namesIn(picture: string): readonly unknown[] {
  const copy = `${picture}-again`;
  cpSync(picture, copy, { recursive: true });
  const database = openDatabase(join(copy, 'a.db'));
  const names = database.prepare('SELECT name FROM item').all();
  database.close();
  rmSync(copy, { recursive: true });
  return names.map(({ name }) => name);
}

/** Runs `body` in a program of its own, with `database` open on `path`. */
function program(body: string): string {
  const module = JSON.stringify(join(import.meta.dirname, '../../../src/node/sqlite.ts'));
  return `import { openDatabase } from ${module};
    const database = openDatabase(${JSON.stringify(join(folder, 'a.db'))});
    ${body}`;
}

const NODE = [process.execPath, '--input-type=module', '-e'] as const;

test('kill -9 loses nothing that was promised, and the next start has it on disk', async () => {
  const script = program(`
    database.exec('CREATE TABLE IF NOT EXISTS item (name TEXT PRIMARY KEY)');
    const insert = database.prepare('INSERT INTO item VALUES (?)');
    for (let n = 0; ; n++) {
      await database.commit(() => insert.run(String(n)));
      console.log(n);
    }`);
  const child = spawn(NODE[0], [...NODE.slice(1), script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const promised: string[] = [];
  const ended = new Promise((resolve) => child.once('close', resolve));
  for await (const line of createInterface({ input: child.stdout })) {
    if (promised.push(line) === 200) child.kill('SIGKILL');
  }
  await ended;
  const path = join(folder, 'a.db');
  expect(statSync(`${path}-wal`).size).toBeGreaterThan(0);
  const database = openDatabase(path);
  expect(statSync(`${path}-wal`).size).toBe(0);
  const names = database.prepare('SELECT name FROM item').all();
  expect(names.map(({ name }) => name)).toEqual(expect.arrayContaining(promised));
  database.close();
});

test('another program is refused, also when this one closed another database', async () => {
  const other = openDatabase(join(folder, 'b.db'));
  const database = openDatabase(join(folder, 'a.db'));
  database.exec(TABLE);
  await database.commit(() => database.exec(`INSERT INTO item (name) VALUES ('a')`));
  other.close();
  const second = spawnSync(NODE[0], [...NODE.slice(1), program('')], { encoding: 'utf8' });
  expect(second.stderr).toContain('is in use: stop the other program');
  expect(second.status).toBe(1);
  database.close();
});

test('a commit that finds no room changes nothing, and works again when there is room', () => {
  // The system's limit on a file's size stands for a full disk: it stops the log, in COMMIT.
  const script = program(`
    database.exec('CREATE TABLE item (name TEXT PRIMARY KEY, bytes BLOB)');
    database.exec("INSERT INTO item VALUES ('a', zeroblob(50000)), ('b', NULL)");
    const write = database.prepare('UPDATE item SET bytes = zeroblob(50000)');
    const name = database.prepare('UPDATE item SET name = ? WHERE bytes IS NULL');
    const read = () => database.prepare('SELECT name FROM item WHERE bytes IS NULL').get();
    let told;
    for (let n = 0; told === undefined; n++) {
      await database
        .commit(() => {
          name.run('try-' + n);
          database.exec("UPDATE item SET bytes = zeroblob(50000 + " + n + ") WHERE name = 'a'");
        })
        .catch((error) => {
          const before = n === 0 ? 'b' : 'try-' + (n - 1);
          told = [error.reason, read().name === before, error.cause?.message];
        });
    }
    database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    const changes = await database.commit(() => name.run('again').changes);
    await database.durable();
    console.log(JSON.stringify([...told, changes, read().name]));
    database.close();`);
  const child = spawnSync('sh', ['-c', 'ulimit -f 800; exec "$@"', 'sh', ...NODE, script], {
    encoding: 'utf8',
  });
  expect(child.stderr).toBe('');
  expect(JSON.parse(child.stdout)).toEqual(['unavailable', true, 'disk I/O error', 1, 'again']);
});
