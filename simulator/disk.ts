/**
 * The disk of one machine: files, whole files for backup and restore, and databases.
 *
 * What the ports promise to be synced is never lost, and a file is whole or not there. A program
 * that dies in the middle of a call leaves what lies between its two steps, as a file beside the
 * one that it replaces; torn files are left to the tests with real ones. Names are absolute POSIX
 * paths, and everybody may read everything: modes are kept and not enforced.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { posix } from 'node:path';
import { OperatorError } from '../src/errors.ts';
import { DamagedError, type Archive, type Database, type Files } from '../src/platform.ts';
import type { Timers } from '../src/platform.ts';
import type { Chance } from './chance.ts';
import {
  type DiskEvent,
  type DiskFaults,
  type Life,
  type Stored,
  createStored,
} from './database.ts';
import { type Image, createImages } from './image.ts';

/** What a program does with its disk. */
export type DiskPorts = Readonly<{
  files: Files;
  archive: Archive;
  openDatabase: (path: string) => Database;
}>;

/** Everything on a disk at one moment, by path; may be put on any disk, any number of times. */
export type Snapshot = Readonly<{
  files: ReadonlyMap<string, Readonly<{ mode: number; content: Uint8Array | Image }>>;
  folders: readonly string[];
}>;

export type Disk = Readonly<{
  /** The ports for one life of a program. */
  mount: (life: Life) => DiskPorts;
  /** All lives are over. What was written stays; with the power goes what was not synced. */
  end: (how: 'killed' | 'power cut') => void;
  /** From now on the disk behaves like this, and well in all that is absent. */
  strike: (faults: DiskFaults) => void;
  snapshot: () => Snapshot;
  /** Puts a snapshot in the place of all that is there; no program may be alive. */
  restore: (snapshot: Snapshot) => void;
  /** A database as it is now, to be read from outside; undefined when there is none. */
  peek: (path: string) => Database | undefined;
  /** At the end of the world: gives back the memory of its databases. */
  release: () => void;
}>;

/** Makes disks, which share what is costly to make. */
export type Disks = Readonly<{
  /** A database that `fill` has made, once per name; for a snapshot. */
  filled: (name: string, fill: (database: Database) => void) => Image;
}> &
  ((
    options: Readonly<{
      chance: Chance;
      /** True time: what is on its way to the disk gets there without the program. */
      after: Timers['after'];
      /** Hears what happens to databases, and which writes of files fail. */
      observe?: (path: string, event: DiskEvent) => void;
      /** Without it an empty disk with the folder /. */
      snapshot?: Snapshot;
    }>,
  ) => Disk);

/** `openDatabase` is the real one, for databases in memory. One for all worlds of a process. */
export function createDisks(openDatabase: (path: string) => Database): Disks {
  const images = createImages(openDatabase);
  const fillings = new Map<string, Image>();

  function filled(name: string, fill: (database: Database) => void): Image {
    const before = fillings.get(name);
    if (before) return before;
    const database = openDatabase(':memory:');
    fill(database);
    const image = images.of(database);
    database.close();
    fillings.set(name, image);
    return image;
  }

  const createDisk: (...given: Parameters<Disks>) => Disk = ({
    chance,
    after,
    observe = () => {},
    snapshot: first,
  }) => {
    const entries = new Map<string, Entry>();
    const folders = new Set(['/']);
    let faults: DiskFaults = {};

    function entryAt(path: string): Entry | undefined {
      return entries.get(posix.resolve('/', path));
    }

    function bytesOf(entry: Entry): Uint8Array {
      const content = frozen(entry);
      return content instanceof Uint8Array ? content : content.bytes();
    }

    /** As it is now, and stays. */
    function frozen({ content }: Entry): Uint8Array | Image {
      return isStored(content) ? images.of(content.peek()) : content;
    }

    /** A name that a file may be put under. */
    function placeOf(path: string): string {
      const name = posix.resolve('/', path);
      if (!folders.has(posix.dirname(name))) throw failure('ENOENT', path);
      if (folders.has(name)) throw failure('EISDIR', path);
      return name;
    }

    function requireWorking(path: string): void {
      if (faults.isStopped) throw failure('EIO', path);
    }

    function requireSpace(path: string): void {
      const { isFull, isStopped, failingWrites = 0 } = faults;
      const isFailing = isStopped || (failingWrites > 0 && chance.happens(failingWrites));
      if (!isFull && !isFailing) return;
      observe(path, isFull ? 'full' : 'failing write');
      throw failure(isFull ? 'ENOSPC' : 'EIO', path);
    }

    function putNew(path: string, entry: Entry): void {
      const name = placeOf(path);
      if (entries.has(name)) throw failure('EEXIST', path);
      requireSpace(path);
      entries.set(name, entry);
    }

    function filesFor({ step }: Life): Files {
      return Object.freeze({
        read(path: string) {
          step('read', 'before');
          requireWorking(path);
          if (folders.has(posix.resolve('/', path))) throw failure('EISDIR', path);
          const entry = entryAt(path);
          return entry && Uint8Array.from(bytesOf(entry));
        },
        create(path: string, bytes: Uint8Array, mode: number) {
          step('create', 'before');
          putNew(path, { content: Uint8Array.from(bytes), mode });
          step('create', 'after');
        },
        replace(path: string, bytes: Uint8Array, mode: number) {
          step('replace', 'before');
          const name = placeOf(path);
          requireSpace(path);
          const entry = { content: Uint8Array.from(bytes), mode };
          entries.set(`${name}.new`, entry);
          step('replace', 'during');
          entries.delete(`${name}.new`);
          entries.set(name, entry);
          step('replace', 'after');
        },
        erase(path: string) {
          step('erase', 'before');
          requireWorking(path);
          const entry = entryAt(path);
          if (!entry) return;
          entry.content = new Uint8Array(bytesOf(entry).length);
          step('erase', 'during');
          entries.delete(posix.resolve('/', path));
          step('erase', 'after');
        },
        access(path: string) {
          step('access', 'before');
          requireWorking(path);
          const name = posix.resolve('/', path);
          const mode = folders.has(name) ? 0o700 : entries.get(name)?.mode;
          if (mode === undefined) throw failure('ENOENT', path);
          if (/\/\.?$/.test(path) && !folders.has(name)) throw failure('ENOTDIR', path);
          return { mode, own: true };
        },
        folder(path: string) {
          step('folder', 'before');
          const name = posix.resolve('/', path);
          if (folders.has(name)) return;
          for (let at = name; !folders.has(at); at = posix.dirname(at)) {
            if (entries.has(at)) throw failure(at === name ? 'EEXIST' : 'ENOTDIR', path);
          }
          requireSpace(path);
          for (let at = name; !folders.has(at); at = posix.dirname(at)) folders.add(at);
          step('folder', 'after');
        },
        list(path: string) {
          step('list', 'before');
          requireWorking(path);
          const name = posix.resolve('/', path);
          if (entries.has(name)) throw failure('ENOTDIR', path);
          return [...entries.keys(), ...folders]
            .filter((each) => each !== '/' && posix.dirname(each) === name)
            .map((each) => posix.basename(each))
            .sort();
        },
      });
    }

    function archiveFor({ step }: Life): Archive {
      return Object.freeze({
        digest(path: string) {
          step('digest', 'before');
          requireWorking(path);
          const entry = entryAt(path);
          if (!entry) return undefined;
          const bytes = bytesOf(entry);
          const sha256 = createHash('sha256').update(bytes).digest('hex');
          return { bytes: bytes.length, sha256 };
        },
        copy(from: string, to: string) {
          step('copy', 'before');
          putNew(to, { content: frozen(present(from)), mode: 0o600 });
          step('copy', 'after');
        },
        move(from: string, to: string) {
          step('move', 'before');
          const entry = present(from);
          const name = placeOf(to);
          if (entries.has(name)) throw new Error(`${to} exists already`);
          requireWorking(to);
          entries.delete(posix.resolve('/', from));
          entries.set(name, entry);
          step('move', 'after');
        },
        swap(fresh: string, path: string, aside: string) {
          step('swap', 'before');
          const [old, next] = [present(path), present(fresh)];
          const beside = placeOf(aside);
          if (entries.has(beside)) throw failure('EEXIST', aside);
          entries.set(beside, old);
          step('swap', 'during');
          entries.delete(posix.resolve('/', fresh));
          entries.set(placeOf(path), next);
          step('swap', 'after');
        },
      });
    }

    function present(path: string): Entry {
      requireWorking(path);
      const entry = entryAt(path);
      if (!entry) throw failure('ENOENT', path);
      return entry;
    }

    /** The database that a file is, made of it at its first use. */
    function storedIn(entry: Entry, path: string): Stored {
      const { content } = entry;
      if (isStored(content)) return content;
      let image: Image | undefined;
      if (!(content instanceof Uint8Array)) image = content;
      else image = content.length === 0 ? images.empty : images.read(content);
      if (!image) {
        const line = `The file ${path} is damaged or is not a database`;
        throw new DamagedError(`${line}: restore it from a backup or name another.`);
      }
      const stored = createStored(image, {
        chance,
        after,
        images,
        faults: () => faults,
        observe: (event) => observe(path, event),
        putCopy: (copy, copied) => putNew(copy, { content: copied, mode: entry.mode }),
      });
      entry.content = stored;
      opened.add(stored);
      return stored;
    }

    /** All databases that were ever opened, also those that have lost their name. */
    const opened = new Set<Stored>();

    function openFor(life: Life, path: string): Database {
      life.step('open', 'before');
      if (path === ':memory:') return openDatabase(path);
      try {
        requireWorking(path);
        const name = placeOf(path);
        if (!entries.has(name)) putNew(path, { content: images.empty, mode: 0o600 });
        // A log of another database that nobody has put aside; the real one overwrites it.
        entries.delete(`${name}-wal`);
      } catch (error) {
        const why = (error as Error).message;
        throw new OperatorError(
          'storage',
          `Cannot open the database ${path}: its folder must exist and be writable (${why}).`,
          { cause: error },
        );
      }
      return storedIn(entryAt(path)!, path).open(path, life);
    }

    function restore(snapshot: Snapshot): void {
      for (const stored of opened) assert(!stored.isOpen(), 'somebody works with this disk');
      release();
      entries.clear();
      folders.clear();
      for (const folder of snapshot.folders) folders.add(folder);
      for (const [name, entry] of snapshot.files) entries.set(name, { ...entry });
    }

    function release(): void {
      for (const stored of opened) stored.release();
      opened.clear();
    }

    if (first) restore(first);
    return Object.freeze({
      mount: (life: Life) =>
        Object.freeze({
          files: filesFor(life),
          archive: archiveFor(life),
          openDatabase: (path: string) => openFor(life, path),
        }),
      end(how: 'killed' | 'power cut') {
        for (const stored of opened) stored.end(how);
      },
      strike: (next: DiskFaults) => void (faults = next),
      snapshot() {
        const files = new Map<string, Readonly<{ mode: number; content: Uint8Array | Image }>>();
        for (const [name, entry] of entries) {
          files.set(name, { mode: entry.mode, content: frozen(entry) });
        }
        return { files, folders: [...folders] };
      },
      restore,
      peek(path: string) {
        const entry = entryAt(path);
        return entry && storedIn(entry, path).peek();
      },
      release,
    });
  };
  return Object.assign(createDisk, { filled });
}

type Entry = { content: Uint8Array | Image | Stored; mode: number };

function isStored(content: Entry['content']): content is Stored {
  return 'peek' in content;
}

const REASONS = Object.freeze({
  ENOENT: 'no such file or directory',
  EEXIST: 'file already exists',
  EISDIR: 'illegal operation on a directory',
  ENOTDIR: 'not a directory',
  ENOSPC: 'no space left on device',
  EIO: 'i/o error',
});

/** As node:fs throws it. */
function failure(code: keyof typeof REASONS, path: string): Error {
  return Object.assign(new Error(`${code}: ${REASONS[code]}, '${path}'`), { code });
}
