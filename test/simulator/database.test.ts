/** A simulated database: as durable as the real one, and no more. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EXITS, OperatorError, PaymentError } from '../../src/errors.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import { timers } from '../../src/node/platform.ts';
import { ConflictError, type Database } from '../../src/platform.ts';
import { createChance } from '../../simulator/chance.ts';
import type { DiskEvent, Life } from '../../simulator/database.ts';
import { createDisks } from '../../simulator/disk.ts';
import { createTimeline } from '../../simulator/time.ts';

const disks = createDisks(openDatabase);
const PATH = '/store.db';
const TABLE = 'CREATE TABLE item (name TEXT PRIMARY KEY, half INTEGER) STRICT';

class Died extends Error {}

type Action = (typeof ACTIONS)[number];
/** The usual ones several times. */
const ACTIONS = [
  ...(['commit', 'commit', 'commit', 'transaction', 'wait', 'wait'] as const),
  ...(['undone', 'conflict', 'statement', 'read', 'close'] as const),
  ...(['killed', 'power cut', 'dies inside'] as const),
];
const ACTION: fc.Arbitrary<Action> = fc.constantFrom(...ACTIONS);

/** A machine that is not there: its disk, and one life after the other. */
function createSite(seed: string) {
  const timeline = createTimeline(timers.soon);
  const events: DiskEvent[] = [];
  const disk = disks({
    chance: createChance(seed),
    after: timeline.after,
    observe: (_path, event) => void events.push(event),
  });
  let current: { isDead: boolean; dieAt: string } = { isDead: true, dieAt: '' };
  return {
    disk,
    timeline,
    events,
    /** Dies in its next call of this name: "commit before". */
    dieAt: (call: string) => void (current.dieAt = call),
    start(): Database {
      const me = { isDead: false, dieAt: '' };
      current = me;
      const life: Life = {
        isDead: () => me.isDead,
        step(call, side) {
          if (me.dieAt === `${call} ${side}`) {
            me.isDead = true;
            disk.end('killed');
          }
          if (me.isDead) throw new Died();
        },
      };
      return disk.mount(life).openDatabase(PATH);
    },
    end(how: 'killed' | 'power cut') {
      current.isDead = true;
      disk.end(how);
    },
  };
}

function put(database: Database, name: string): void {
  const insert = database.prepare('INSERT INTO item VALUES (?, ?)');
  insert.run(`${name} a`, 1n);
  insert.run(`${name} b`, 2n);
}

const names = (database: Database) =>
  database
    .prepare('SELECT name FROM item ORDER BY rowid')
    .all()
    .map((row) => row['name'] as string);

function thrown(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
}

test('whatever happens, what was synced is there, in order, and nothing by halves', async () => {
  const lost = { some: 0 };
  await fc.assert(
    fc.asyncProperty(
      fc.array(ACTION, { minLength: 20, maxLength: 60 }),
      fc.nat(),
      async (actions, seed) => {
        const site = createSite(String(seed));
        site.disk.strike({ syncMs: [0, 8] });
        let database = site.start();
        database.exec(TABLE);
        let written: string[] = [];
        let safe = 0;
        for (const [at, what] of actions.entries()) {
          const name = String(at);
          const both = [`${name} a`, `${name} b`];
          switch (what) {
            case 'commit': {
              const upTo = written.push(...both);
              const promise = database.commit(() => put(database, name));
              void promise.then(() => (safe = Math.max(safe, upTo)));
              break;
            }
            case 'transaction':
              database.transaction(() => put(database, name));
              safe = written.push(...both);
              break;
            case 'statement':
              database.prepare('INSERT INTO item VALUES (?, 0)').run(name);
              safe = written.push(name);
              break;
            case 'undone': {
              const run = () => {
                put(database, name);
                throw new RangeError();
              };
              expect(thrown(() => database.transaction(run))).toBeInstanceOf(RangeError);
              await expect(database.commit(run)).rejects.toBeInstanceOf(RangeError);
              break;
            }
            case 'conflict': {
              const again = written.at(-1);
              if (again === undefined) break;
              const taken = () => {
                put(database, name);
                database.prepare('INSERT INTO item VALUES (?, 0)').run(again);
              };
              expect(thrown(() => database.transaction(taken))).toBeInstanceOf(ConflictError);
              break;
            }
            case 'read':
              expect(names(database)).toEqual(written);
              break;
            case 'wait':
              await site.timeline.run(site.timeline.nowMs() + 2);
              break;
            case 'close':
              database.close();
              safe = written.length;
              database = site.start();
              break;
            case 'dies inside':
            case 'killed':
            case 'power cut': {
              await site.timeline.settle();
              if (what === 'dies inside') {
                const run = () => {
                  put(database, name);
                  site.end('power cut');
                  // Whoever catches everything goes on a little.
                  expect(thrown(() => put(database, 'late'))).toBeInstanceOf(Died);
                };
                expect(thrown(() => database.transaction(run))).toBeInstanceOf(Died);
              } else site.end(what);
              database = site.start();
              const found = names(database);
              expect(found).toEqual(written.slice(0, found.length));
              expect(found.length).toBeGreaterThanOrEqual(safe);
              if (what === 'killed') expect(found).toEqual(written);
              if (found.length < written.length) lost.some++;
              expect(found.filter((each) => each.endsWith(' a')).length).toBe(
                found.filter((each) => each.endsWith(' b')).length,
              );
              written = found;
              safe = written.length;
            }
          }
        }
        site.disk.end('killed');
        site.disk.release();
      },
    ),
    { numRuns: 200 },
  );
  expect(lost.some).toBeGreaterThan(10);
});

test('a commit can be read at once and is told when it is on disk', async () => {
  const { start, disk, timeline } = createSite('a');
  disk.strike({ syncMs: [20, 20] });
  const database = start();
  database.exec(TABLE);
  const told: string[] = [];
  void database.commit(() => put(database, 'one')).then(() => told.push('one'));
  void database.durable().then(() => told.push('durable'));
  expect(names(database)).toEqual(['one a', 'one b']);
  await timeline.run(19);
  void database.commit(() => put(database, 'two')).then(() => told.push('two'));
  expect(told).toEqual([]);
  await timeline.run(39);
  expect(told).toEqual(['one', 'durable']);
  await timeline.run(40);
  expect(told).toEqual(['one', 'durable', 'two']);
});

test('a transaction waits for everything before it', async () => {
  const { start, disk, end, timeline } = createSite('a');
  disk.strike({ syncMs: [20, 20] });
  const database = start();
  database.exec(TABLE);
  const told: string[] = [];
  void database.commit(() => put(database, 'one')).then(() => told.push('one'));
  database.transaction(() => names(database));
  await timeline.settle();
  expect(told).toEqual(['one']);
  end('power cut');
  expect(names(start())).toEqual(['one a', 'one b']);
});

test('a full disk refuses what is written, keeps nothing of it, and can be read', async () => {
  const { start, disk, events } = createSite('a');
  const database = start();
  database.exec(TABLE);
  database.transaction(() => put(database, 'before'));
  disk.strike({ isFull: true });
  const full = { reason: 'unavailable', message: 'The disk is full.' };
  expect(thrown(() => database.transaction(() => put(database, 'one')))).toMatchObject(full);
  await expect(database.commit(() => put(database, 'two'))).rejects.toMatchObject(full);
  const erase = database.prepare('DELETE FROM item');
  expect(thrown(() => erase.run())).toMatchObject({ reason: 'unavailable' });
  expect(database.transaction(() => names(database))).toEqual(['before a', 'before b']);
  disk.strike({});
  database.transaction(() => put(database, 'three'));
  expect(names(database)).toHaveLength(4);
  expect(events.filter((event) => event === 'full')).toHaveLength(3);
});

test('a write that fails has changed nothing, and the next may succeed', () => {
  const { start, disk } = createSite('a');
  const database = start();
  database.exec(TABLE);
  disk.strike({ failingWrites: 0.5 });
  let kept = 0;
  for (let i = 0; i < 40; i++) {
    const error = thrown(() => database.transaction(() => put(database, String(i))));
    if (error === undefined) kept++;
    else expect(error).toBeInstanceOf(PaymentError);
  }
  expect(names(database)).toHaveLength(2 * kept);
  expect(kept).toBeGreaterThan(5);
  expect(kept).toBeLessThan(35);
});

test('after a sync that failed everything is refused until the next start', async () => {
  const found = new Set<number>();
  for (let seed = 0; seed < 20; seed++) {
    const { start, disk, end, timeline } = createSite(String(seed));
    disk.strike({ syncMs: [5, 5] });
    const database = start();
    database.exec(TABLE);
    const first = database.commit(() => put(database, 'one'));
    const second = database.commit(() => put(database, 'two'));
    const refused = [first, second].map((each) =>
      expect(each).rejects.toMatchObject({ reason: 'unavailable' }),
    );
    disk.strike({ failingSyncs: 1 });
    await timeline.run(5);
    await Promise.all(refused);
    expect(await database.failed).toBeInstanceOf(PaymentError);
    expect(thrown(() => names(database))).toMatchObject({ reason: 'unavailable' });
    expect(thrown(() => database.prepare('SELECT 1').get())).toBeInstanceOf(PaymentError);
    await expect(database.durable()).rejects.toBeInstanceOf(PaymentError);
    disk.strike({});
    end('killed');
    found.add(names(start()).length);
  }
  expect([...found].sort()).toEqual([0, 2, 4]);
});

test('one program at a time has it open; another gets one clear line', () => {
  const { start, end } = createSite('a');
  const database = start();
  const line = /\/store\.db is in use: stop the other program/;
  expect(thrown(start)).toBeInstanceOf(OperatorError);
  expect((thrown(start) as Error).message).toMatch(line);
  database.close();
  start();
  end('killed');
  start().close();
});

test('who is dead hears nothing more and can do nothing', async () => {
  const { start, disk, end, timeline } = createSite('a');
  disk.strike({ syncMs: [5, 5] });
  const database = start();
  database.exec(TABLE);
  const told: unknown[] = [];
  const promise = database.commit(() => put(database, 'one'));
  promise.then((value) => told.push(value)).catch((error: unknown) => told.push(error));
  end('killed');
  await timeline.run(100);
  expect(told).toEqual([]);
  const insert = () => database.prepare('SELECT 1').get();
  expect(thrown(insert)).toBeInstanceOf(Died);
  expect(thrown(() => database.close())).toBeInstanceOf(Died);
});

test('a program may die before a commit or after it, and not between', () => {
  for (const side of ['before', 'after']) {
    const { start, dieAt } = createSite('a');
    const database = start();
    database.exec(TABLE);
    dieAt(`transaction ${side}`);
    expect(thrown(() => database.transaction(() => put(database, 'one')))).toBeInstanceOf(Died);
    expect(names(start())).toHaveLength(side === 'before' ? 0 : 2);
  }
});

test('a copy is the database at one moment, and never in the place of something', async () => {
  const { start, disk, timeline } = createSite('a');
  const database = start();
  database.exec(TABLE);
  database.transaction(() => put(database, 'one'));
  const copied = database.backup('/copy.db');
  database.transaction(() => put(database, 'two'));
  await timeline.run(1_000);
  await copied;
  expect(names(disk.peek('/copy.db')!)).toEqual(['one a', 'one b']);
  const again = expect(database.backup('/copy.db')).rejects.toMatchObject({ exit: EXITS.storage });
  await timeline.run(2_000);
  await again;
});
