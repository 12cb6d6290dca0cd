// Whole files: what a copy is, and what is never overwritten.
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { archive } from '../../../src/node/archive.ts';

let home = '';
const at = (name: string) => join(home, name);
beforeEach(() => void (home = mkdtempSync(join(tmpdir(), 'saytap-archive-'))));
afterEach(() => rmSync(home, { recursive: true }));

test.each([
  [0, 'an empty file'],
  [5, 'a small one'],
  [1024 * 1024, 'one whole piece'],
  [2_500_000, 'pieces and a rest'],
])('%i bytes are digested and copied as they are: %s', (count) => {
  const bytes = Buffer.alloc(count, 'saytap');
  writeFileSync(at('a'), bytes, { mode: 0o644 });
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  expect(archive.digest(at('a'))).toEqual({ bytes: count, sha256 });
  archive.copy(at('a'), at('b'));
  expect(readFileSync(at('b')).equals(bytes)).toBe(true);
  expect(statSync(at('b')).mode & 0o777).toBe(0o600);
});

test('what does not exist, or is a folder, has no digest', () => {
  expect(archive.digest(at('none'))).toBeUndefined();
  expect(archive.digest(home)).toBeUndefined();
});

test('a copy or another name never overwrites; a copy that fails leaves nothing', () => {
  writeFileSync(at('a'), 'a');
  writeFileSync(at('b'), 'b');
  const taken = expect.objectContaining({ code: 'EEXIST' }) as Error;
  expect(() => archive.copy(at('a'), at('b'))).toThrow(taken);
  expect(() => archive.move(at('a'), at('b'))).toThrow(`${at('b')} exists already`);
  const missing = expect.objectContaining({ code: 'ENOENT' }) as Error;
  expect(() => archive.copy(at('none'), at('c'))).toThrow(missing);
  expect(readdirSync(home)).toEqual(['a', 'b']);
  expect(readFileSync(at('b'), 'utf8')).toBe('b');
});

test('a swap keeps the old bytes under the name aside, which must be free', () => {
  writeFileSync(at('old'), 'old');
  writeFileSync(at('fresh'), 'fresh');
  writeFileSync(at('taken'), 'taken');
  const taken = expect.objectContaining({ code: 'EEXIST' }) as Error;
  expect(() => archive.swap(at('fresh'), at('old'), at('taken'))).toThrow(taken);
  expect(readFileSync(at('old'), 'utf8')).toBe('old');
  archive.swap(at('fresh'), at('old'), at('aside'));
  expect(readdirSync(home)).toEqual(['aside', 'old', 'taken']);
  expect(readFileSync(at('old'), 'utf8')).toBe('fresh');
  expect(readFileSync(at('aside'), 'utf8')).toBe('old');
});

test('a move gives another name', () => {
  writeFileSync(at('a'), 'a');
  archive.move(at('a'), at('b'));
  expect(readdirSync(home)).toEqual(['b']);
});
