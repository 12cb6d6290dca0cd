/** The real files: private, atomic, and folders that end in an answer. */
import { linkSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { files } from '../../../src/node/platform.ts';

const folder = mkdtempSync(join(tmpdir(), 'saytap-files-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('a folder is made with its parents, for its owner only, and once more without harm', () => {
  const deep = join(folder, 'a', 'b', 'c');
  files.folder(deep);
  files.folder(deep);
  expect(files.access(deep)).toEqual({ mode: 0o700, own: true });
});

test('a folder that cannot be is refused at once', () => {
  writeFileSync(join(folder, 'file'), '');
  expect(() => files.folder(join(folder, 'file'))).toThrow(/EEXIST/);
  expect(() => files.folder(join(folder, 'file', 'below'))).toThrow(/ENOTDIR/);
  if (process.platform === 'linux') expect(() => files.folder('/proc/saytap/x')).toThrow(/ENOENT/);
});

test('a file is created once, replaced whole, and read back', () => {
  const path = join(folder, 'key');
  files.create(path, Uint8Array.of(1, 2, 3), 0o600);
  expect(files.access(path)).toEqual({ mode: 0o600, own: true });
  expect(() => files.create(path, Uint8Array.of(4), 0o600)).toThrow(/EEXIST/);
  files.replace(path, Uint8Array.of(5, 6), 0o600);
  expect(files.read(path)).toEqual(Uint8Array.of(5, 6));
  expect(files.list(folder)).toContain('key');
  expect(files.list(join(folder, 'nothing'))).toEqual([]);
  expect(files.read(join(folder, 'nothing'))).toBeUndefined();
});

test('what is erased, or replaced to be erased, is gone from the disk too', () => {
  const path = join(folder, 'old');
  const aside = join(folder, 'aside');
  files.create(path, Uint8Array.of(1, 2, 3), 0o400);
  linkSync(path, aside);
  files.replace(path, Uint8Array.of(5, 6), 0o600, 'erased');
  expect(files.read(path)).toEqual(Uint8Array.of(5, 6));
  expect(files.read(aside)).toEqual(new Uint8Array(3));
  rmSync(aside);
  linkSync(path, aside);
  files.erase(path);
  files.erase(path);
  expect(files.read(path)).toBeUndefined();
  expect(files.read(aside)).toEqual(new Uint8Array(2));
  files.replace(path, Uint8Array.of(7), 0o600, 'erased');
  expect(files.read(path), 'also where nothing was').toEqual(Uint8Array.of(7));
});
