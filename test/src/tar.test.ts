// Method: the system's own tar reads what was written.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { tarOf } from '../../src/tar.ts';

test('what goes in comes out of the system tar, with its mode and time', () => {
  const folder = mkdtempSync(join(tmpdir(), 'saytap-tar-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const entries = [
    { name: 'a/empty.txt', text: '' },
    { name: 'a/block.txt', text: 'x'.repeat(512) },
    { name: `a/${'n'.repeat(98)}`, text: '瑞幸咖啡\n' },
    { name: 'long.txt', text: 'y'.repeat(100_001) },
  ];
  writeFileSync(join(folder, 'all.tar'), tarOf(entries, 1_700_000_000.9));
  execFileSync('tar', ['-xf', 'all.tar'], { cwd: folder });
  for (const { name, text } of entries) {
    const path = join(folder, name);
    expect(readFileSync(path, 'utf8')).toBe(text);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(path).mtimeMs).toBe(1_700_000_000_000);
  }
});

test('a name that would leave the folder, or is too long, is a bug', () => {
  for (const name of ['../a', '/etc/a', '', 'a b', 'n'.repeat(101), 'a//b']) {
    expect(() => tarOf([{ name, text: '' }], 0), name).toThrow('a name that tar can hold');
  }
});
