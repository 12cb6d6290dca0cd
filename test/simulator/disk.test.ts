/** The simulated disk keeps what the real one keeps: files, whole files, and their names. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createChance } from '../../simulator/chance.ts';
import { type DiskPorts, createDisks } from '../../simulator/disk.ts';
import { utf8 } from '../../src/bytes.ts';
import { OperatorError } from '../../src/errors.ts';
import { archive } from '../../src/node/archive.ts';
import { files, timers } from '../../src/node/platform.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import { DamagedError } from '../../src/platform.ts';

const disks = createDisks(openDatabase);
const createDisk = () => disks({ chance: createChance('disk'), after: timers.after });

class Died extends Error {}

/** A life that ends at a call, "replace during"; without one it does not. */
function lifeUntil(end?: string) {
  let isDead = false;
  const steps: string[] = [];
  return {
    steps,
    isDead: () => isDead,
    step(call: string, side: string) {
      steps.push(`${call} ${side}`);
      isDead ||= `${call} ${side}` === end;
      if (isDead) throw new Died();
    },
  };
}

function codeOf(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error instanceof Error && 'code' in error ? error.code : error;
  }
  return undefined;
}

/** One story of every verb, on any disk; what it gave and what it threw, in order. */
function story(
  { files, archive }: Pick<DiskPorts, 'files' | 'archive'>,
  at: (name: string) => string,
) {
  const text = (name: string) => {
    const bytes = files.read(at(name));
    return bytes && new TextDecoder().decode(bytes);
  };
  return [
    files.read(at('none')),
    files.list(at('none')),
    codeOf(() => files.access(at('none'))),
    codeOf(() => files.create(at('a/b/file'), utf8('x'), 0o600)),
    files.folder(at('a/b')),
    files.folder(at('a/b')),
    files.create(at('a/b/file'), utf8('first'), 0o600),
    codeOf(() => files.create(at('a/b/file'), utf8('x'), 0o600)),
    codeOf(() => files.folder(at('a/b/file'))),
    codeOf(() => files.read(at('a/b'))),
    codeOf(() => files.list(at('a/b/file'))),
    codeOf(() => files.access(`${at('a/b/file')}/.`)),
    files.access(`${at('a/b')}/.`).mode,
    files.access(at('a/b/file')),
    files.replace(at('a/b/file'), utf8('second'), 0o644),
    files.replace(at('a/b/new'), utf8('new'), 0o600, 'erased'),
    files.access(at('a/b/file')),
    [text('a/b/file'), text('a/b/new')],
    files.list(at('a/b')),
    files.list(at('a')),
    archive.digest(at('a/b/file')),
    archive.digest(at('a/none')),
    codeOf(() => archive.copy(at('none'), at('a/copy'))),
    archive.copy(at('a/b/file'), at('a/copy')),
    codeOf(() => archive.copy(at('a/b/file'), at('a/copy'))),
    files.access(at('a/copy')).mode,
    codeOf(() => archive.move(at('a/copy'), at('a/b/file'))) instanceof Error,
    archive.move(at('a/copy'), at('a/moved')),
    codeOf(() => archive.move(at('a/none'), at('a/other'))),
    codeOf(() => archive.swap(at('a/moved'), at('a/b/file'), at('a/b/new'))),
    archive.swap(at('a/moved'), at('a/b/new'), at('a/aside')),
    [text('a/moved'), text('a/b/new'), text('a/aside')],
    files.list(at('a')),
    files.erase(at('a/aside')),
    files.erase(at('a/aside')),
    files.list(at('a')),
  ];
}

test('each verb does and refuses what the real one does and refuses', () => {
  const folder = mkdtempSync(join(tmpdir(), 'saytap-disk-'));
  const real = story({ files, archive }, (name) => join(folder, name));
  rmSync(folder, { recursive: true });
  const disk = createDisk();
  expect(story(disk.mount(lifeUntil()), (name) => `/${name}`)).toEqual(real);
});

describe('a program that dies in the middle of', () => {
  test.each([
    ['replace before', ['file'], 'old'],
    ['replace during', ['file', 'file.new'], 'old'],
    ['replace after', ['file'], 'new'],
    ['erase during', ['file'], '\0\0\0'],
    ['swap during', ['aside', 'file', 'fresh'], 'old'],
  ])('%s leaves a whole file', (end, names, content) => {
    const disk = createDisk();
    const before = disk.mount(lifeUntil());
    before.files.create('/file', utf8('old'), 0o600);
    const { files, archive } = disk.mount(lifeUntil(end));
    if (end.startsWith('replace')) {
      expect(() => files.replace('/file', utf8('new'), 0o600)).toThrow(Died);
    } else if (end.startsWith('erase')) expect(() => files.erase('/file')).toThrow(Died);
    else {
      before.files.create('/fresh', utf8('new'), 0o600);
      expect(() => archive.swap('/fresh', '/file', '/aside')).toThrow(Died);
    }
    expect(() => files.read('/file')).toThrow(Died);
    disk.end('power cut');
    const after = disk.mount(lifeUntil());
    expect(after.files.list('/')).toEqual(names);
    expect(new TextDecoder().decode(after.files.read('/file'))).toBe(content);
  });
});

test('a full disk takes nothing more, is read, and gives room by what is removed', () => {
  const disk = createDisk();
  const { files, archive, openDatabase: open } = disk.mount(lifeUntil());
  files.create('/file', utf8('old'), 0o600);
  disk.strike({ isFull: true });
  expect(codeOf(() => files.create('/more', utf8('x'), 0o600))).toBe('ENOSPC');
  expect(codeOf(() => files.replace('/file', utf8('x'), 0o600))).toBe('ENOSPC');
  expect(codeOf(() => archive.copy('/file', '/copy'))).toBe('ENOSPC');
  expect(() => open('/store.db')).toThrow(OperatorError);
  expect(files.read('/file')).toEqual(utf8('old'));
  files.erase('/file');
  expect(files.list('/')).toEqual([]);
});

test('a disk that stops neither reads nor writes until it goes on', () => {
  const disk = createDisk();
  const { files, openDatabase: open } = disk.mount(lifeUntil());
  files.create('/file', utf8('old'), 0o600);
  disk.strike({ isStopped: true });
  expect(codeOf(() => files.read('/file'))).toBe('EIO');
  expect(codeOf(() => files.replace('/file', utf8('x'), 0o600))).toBe('EIO');
  expect(() => open('/store.db')).toThrow(OperatorError);
  disk.strike({});
  expect(files.read('/file')).toEqual(utf8('old'));
});

test('a database is a file: moved, copied, digested, and refused when it is none', () => {
  const disk = createDisk();
  const { files, archive, openDatabase: open } = disk.mount(lifeUntil());
  expect(() => open('/none/store.db')).toThrow(OperatorError);
  const database = open('/fresh.db');
  database.exec('CREATE TABLE item (name TEXT) STRICT');
  expect(files.access('/fresh.db').mode).toBe(0o600);
  archive.move('/fresh.db', '/store.db');
  database.exec(`INSERT INTO item VALUES ('one')`);
  database.close();
  archive.copy('/store.db', '/copy.db');
  expect(archive.digest('/copy.db')).toEqual(archive.digest('/store.db'));
  files.replace('/bytes.db', files.read('/store.db')!, 0o600);
  for (const path of ['/store.db', '/copy.db', '/bytes.db']) {
    expect(open(path).prepare('SELECT name FROM item').all()).toEqual([{ name: 'one' }]);
  }
  files.create('/noise.db', utf8('noise'), 0o600);
  expect(() => open('/noise.db')).toThrow(DamagedError);
  files.create('/empty.db', new Uint8Array(), 0o600);
  expect(open('/empty.db').prepare('SELECT * FROM sqlite_schema').all()).toEqual([]);
});

test('a snapshot is put on another disk, where it goes its own way', () => {
  const disk = createDisk();
  const { files, openDatabase: open } = disk.mount(lifeUntil());
  files.folder('/etc');
  files.create('/etc/key', utf8('secret'), 0o640);
  const database = open('/store.db');
  database.exec('CREATE TABLE item (name TEXT) STRICT');
  const snapshot = disk.snapshot();
  database.exec(`INSERT INTO item VALUES ('later')`);
  expect(() => disk.restore(snapshot)).toThrow(/somebody works/);
  const count = 'SELECT count(*) AS n FROM item';
  const clone = disks({ chance: createChance('clone'), after: timers.after, snapshot });
  const its = clone.mount(lifeUntil());
  expect(its.files.list('/')).toEqual(['etc', 'store.db']);
  expect(its.files.access('/etc/key').mode).toBe(0o640);
  expect(its.openDatabase('/store.db').prepare(count).get()).toEqual({ n: 0n });
  expect(disk.peek('/store.db')!.prepare(count).get()).toEqual({ n: 1n });
  expect(disk.peek('/none')).toBeUndefined();
  disk.end('killed');
  disk.restore(snapshot);
  expect(disk.peek('/store.db')!.prepare(count).get()).toEqual({ n: 0n });
});
