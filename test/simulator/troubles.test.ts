/**
 * Method: a device's ports with each trouble on and off, over doubles of the real ones that record
 * what reaches them. That a trouble does something to a whole system is in system.test.ts.
 */
import { expect, test, vi } from 'vitest';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  TROUBLE_AGAIN_MS,
  TROUBLE_CLOCK_MS,
  TROUBLE_HELD_MAX,
  TROUBLE_LATE_MS,
  TROUBLE_SLOW_MS,
} from '../../src/limits.ts';
import { archive } from '../../src/node/archive.ts';
import { files } from '../../src/node/platform.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import type { LinkEvents } from '../../src/platform.ts';
import { type Message, createTroubles } from '../../simulator/troubles.ts';
import type { LinkTrouble } from '../../simulator/page/wire.ts';

const OPTIONS = { url: 'mqtt://127.0.0.1:1', clientId: 'glasses-1', subscriptions: [] };
const bytes = (text: string) => new TextEncoder().encode(text);

/** Virtual time, and one real line below each device. */
function stage() {
  let nowMs = 0;
  const due: { atMs: number; run: () => void }[] = [];
  const real = { published: [] as string[], renewed: 0, closed: 0 };
  let events: LinkEvents | undefined;
  const seen: Message[] = [];
  /** What chance says next: below a share strikes. */
  const dice = { value: 0 };
  const troubles = createTroubles({
    clock: { nowMs: () => 1_000_000_000 + nowMs, monotonicMs: () => nowMs },
    timers: {
      after(ms, run) {
        const timer = { atMs: nowMs + ms, run };
        due.push(timer);
        return () => void (due.includes(timer) && due.splice(due.indexOf(timer), 1));
      },
      soon: (run) => run(),
    },
    ...{ files, archive, openDatabase },
    random: () => {
      const four = new Uint8Array(4);
      new DataView(four.buffer).setUint32(0, Math.floor(dice.value * 2 ** 32));
      return four;
    },
    connect(_options, given) {
      events = given;
      return {
        publish: (_topic, payload) => void real.published.push(new TextDecoder().decode(payload)),
        renew: () => void real.renewed++,
        close: async () => void real.closed++,
      };
    },
    see: (message) => seen.push(message),
  });
  const pass = (ms: number) => {
    const untilMs = nowMs + ms;
    for (;;) {
      due.sort((a, b) => a.atMs - b.atMs);
      const next = due[0];
      if (!next || next.atMs > untilMs) break;
      due.shift();
      nowMs = next.atMs;
      next.run();
    }
    nowMs = untilMs;
  };
  const life = troubles.live('glasses-1');
  const heard: string[] = [];
  const link = life.ports.connect(OPTIONS, {
    message: (_topic, payload) => heard.push(new TextDecoder().decode(payload)),
    state: (state) => heard.push(state),
  });
  events!.state('up', '');
  const up = (text: string) => link.publish('up', bytes(text), 1);
  const down = (text: string) => events!.message('down', bytes(text));
  return { troubles, life, link, real, events: events!, heard, seen, dice, pass, up, down, due };
}

test('without trouble everything passes, both ways, and is seen', () => {
  const { up, down, real, heard, seen } = stage();
  up('a');
  down('b');
  expect(real.published).toEqual(['a']);
  expect(heard).toEqual(['up', 'b']);
  expect(seen.map(({ way, fate }) => [way, fate])).toEqual([
    ['up', 'delivered'],
    ['down', 'delivered'],
  ]);
});

test('a cut is told and lets nothing through; mended, a new connection is made', () => {
  const { troubles, up, down, real, heard, seen, events } = stage();
  troubles.set('cut', true, 'glasses-1');
  expect(heard).toEqual(['up', 'down']);
  expect(real.renewed, 'the broker sees it break').toBe(1);
  up('a');
  down('b');
  events.state('up', 'below it connects again');
  expect(real.published).toEqual([]);
  expect(heard).toEqual(['up', 'down']);
  expect(seen.map(({ fate }) => fate)).toEqual(['lost', 'lost']);
  troubles.set('cut', false, 'glasses-1');
  expect(real.renewed).toBe(2);
  events.state('up', '');
  up('c');
  expect([heard.at(-1), real.published]).toEqual(['up', ['c']]);
});

test('half open it looks alive, until the device itself suspects it', () => {
  const { troubles, link, up, down, real, heard } = stage();
  troubles.set('half_open', true);
  up('a');
  down('b');
  expect([heard, real.published, real.renewed]).toEqual([['up'], [], 0]);
  link.renew();
  expect(heard).toEqual(['up', 'down']);
  troubles.set('half_open', false);
  expect(real.renewed).toBe(1);
});

test('half open and unnoticed, it goes on as if nothing had been', () => {
  const { troubles, up, real, heard } = stage();
  troubles.set('half_open', true);
  troubles.set('half_open', false);
  up('a');
  expect([heard, real.published, real.renewed]).toEqual([['up'], ['a'], 0]);
});

test.each([
  ['cut', 'half_open'],
  ['half_open', 'cut'],
] as const)('%s is over and %s is not: still nothing gets through', (first, second) => {
  const { troubles, up, real, heard } = stage();
  troubles.set(first, true);
  troubles.set(second, true, 'glasses-1');
  troubles.set(first, false);
  up('a');
  expect(real.published).toEqual([]);
  expect(heard.at(-1)).toBe('down');
});

test('slow: late, in order, and gone when the line is cut meanwhile', () => {
  const { troubles, up, down, real, heard, pass, dice } = stage();
  dice.value = 0.99;
  troubles.set('slow', true);
  up('a');
  up('b');
  down('c');
  pass(TROUBLE_SLOW_MS - 1);
  expect([real.published, heard]).toEqual([[], ['up']]);
  pass(1);
  expect([real.published, heard]).toEqual([
    ['a', 'b'],
    ['up', 'c'],
  ]);
  up('d');
  troubles.set('cut', true);
  pass(TROUBLE_SLOW_MS);
  expect(real.published).toEqual(['a', 'b']);
});

test.each([
  ['drop', 0.3, 0.29, []],
  ['drop', 0.3, 0.31, ['a']],
  ['duplicate', 0.3, 0.29, ['a', 'a']],
  ['duplicate', 0.3, 0.31, ['a']],
] as const)('%s befalls its share: %d at %d', (name, share, value, arrives) => {
  const { troubles, up, real, pass, dice } = stage();
  troubles.set(name, true, undefined, share);
  dice.value = value;
  up('a');
  pass(TROUBLE_AGAIN_MS);
  expect(real.published).toEqual(arrives);
});

test('reorder: a later one overtakes', () => {
  const { troubles, up, real, pass, dice } = stage();
  troubles.set('reorder', true, undefined, 0.5);
  dice.value = 0.49;
  up('a');
  dice.value = 0.51;
  up('b');
  pass(TROUBLE_LATE_MS);
  expect(real.published).toEqual(['b', 'a']);
});

test('what a link holds back is bounded', () => {
  const { troubles, up, due, seen } = stage();
  troubles.set('slow', true);
  for (let i = 0; i <= TROUBLE_HELD_MAX; i++) up('a');
  expect(due).toHaveLength(TROUBLE_HELD_MAX);
  expect(seen.map(({ fate }) => fate)).toEqual(['lost']);
});

test('one device has it, another has not', () => {
  const { troubles, up, real } = stage();
  const names: readonly LinkTrouble[] = ['cut', 'half_open', 'slow', 'drop'];
  for (const name of names) troubles.set(name, true, 'glasses-2', 1);
  up('a');
  expect(real.published).toEqual(['a']);
  expect(troubles.list().map(({ device }) => device)).toEqual(Array(4).fill('glasses-2'));
});

test('the clock is two hours back, and time passes as before', () => {
  const { troubles, life } = stage();
  const [nowMs, sinceMs] = [life.ports.clock.nowMs(), life.ports.clock.monotonicMs()];
  troubles.set('clock_back', true, 'glasses-1');
  expect(life.ports.clock.nowMs()).toBe(nowMs - TROUBLE_CLOCK_MS);
  expect(life.ports.clock.monotonicMs()).toBe(sinceMs);
  troubles.set('clock_back', false, 'glasses-1');
  expect(life.ports.clock.nowMs()).toBe(nowMs);
});

test('a full disk refuses writes as the ports say, keeps what was there, and is read', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'saytap-troubles-'));
  const { troubles, life } = stage();
  const database = life.ports.openDatabase(join(folder, 'a.db'));
  try {
    database.exec('CREATE TABLE t (a INTEGER)');
    const insert = database.prepare('INSERT INTO t VALUES (?)');
    insert.run(1n);
    troubles.set('disk_full', true);
    const cause: unknown = expect.objectContaining({ code: 'ENOSPC' });
    const refused = { reason: 'unavailable', cause };
    expect(() => insert.run(2n)).toThrow(expect.objectContaining(refused));
    expect(() => database.transaction(() => insert.run(3n))).toThrow(
      expect.objectContaining(refused),
    );
    await expect(database.commit(() => insert.run(4n))).rejects.toMatchObject(refused);
    expect(() => life.ports.files.create(join(folder, 'b'), bytes('b'), 0o600)).toThrow(
      expect.objectContaining({ code: 'ENOSPC' }),
    );
    expect(files.list(folder)).not.toContain('b');
    expect(database.prepare('SELECT a FROM t').all()).toEqual([{ a: 1n }]);
    troubles.set('disk_full', false);
    database.transaction(() => insert.run(5n));
    expect(database.prepare('SELECT count(*) AS n FROM t').get()).toEqual({ n: 2n });
  } finally {
    life.kill();
    rmSync(folder, { recursive: true });
  }
});

test('killed: nothing gets out or in, timers are dropped, the file is free at once', () => {
  const folder = mkdtempSync(join(tmpdir(), 'saytap-troubles-'));
  const { troubles, life, up, down, real, heard, pass } = stage();
  try {
    const path = join(folder, 'a.db');
    const database = life.ports.openDatabase(path);
    database.exec('CREATE TABLE t (a INTEGER)');
    const late = vi.fn();
    life.ports.timers.after(1_000, late);
    life.kill();
    expect(life.isOver()).toBe(true);
    up('a');
    down('b');
    life.ports.timers.after(0, late);
    pass(5_000);
    expect([real.published, heard]).toEqual([[], ['up']]);
    expect(late).not.toHaveBeenCalled();
    expect([real.renewed, real.closed], 'broken first, and then not made again').toEqual([1, 1]);
    expect(() => database.prepare('SELECT 1')).toThrow(
      expect.objectContaining({ reason: 'unavailable' }),
    );
    const next = troubles.live('glasses-1');
    next.ports.openDatabase(path).prepare('SELECT a FROM t').all();
    next.kill();
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('calls to services meet what is on, and only theirs', () => {
  const { troubles, dice } = stage();
  expect([troubles.call('risk'), troubles.call('ledger')]).toEqual(['delivered', 'delivered']);
  troubles.set('risk_slow', true);
  expect([troubles.call('risk'), troubles.call('ledger')]).toEqual(['slow', 'delivered']);
  troubles.set('risk_down', true);
  expect(troubles.call('risk')).toBe('refused');
  troubles.set('ledger_twice', true, undefined, 0.5);
  dice.value = 0.4;
  expect(troubles.call('ledger')).toBe('again');
  troubles.set('ledger_lost', true, undefined, 0.5);
  expect(troubles.call('ledger')).toBe('lost');
  dice.value = 0.6;
  expect(troubles.call('ledger')).toBe('delivered');
  troubles.set('ledger_slow', true);
  expect(troubles.call('ledger')).toBe('slow');
});
