// The books as a text, on standard output or in a file that appears whole.
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Context, runCommand } from '../../../src/command.ts';
import { command } from '../../../src/commands/ledger.ts';
import { files } from '../../../src/node/platform.ts';

let home = '';
beforeEach(() => void (home = mkdtempSync(join(tmpdir(), 'saytap-export-'))));
afterEach(() => rmSync(home, { recursive: true }));

/** `saytap ledger export`, of books that say this. */
async function exported(args: readonly string[], tell: (write: (line: string) => void) => void) {
  const lines: string[] = [];
  const exportJournal = async (file: string, write: (line: string) => void) => {
    expect(file).toBe('ledger.yaml');
    tell(write);
  };
  const program = async (name: string) => (expect(name).toBe('ledger'), { exportJournal });
  const context = { files, program, write: (line: string) => lines.push(line) };
  const all = ['export', '--config', 'ledger.yaml', ...args];
  await runCommand(command, 'ledger', all, context as unknown as Context);
  return lines;
}

test('goes to standard output, line by line', async () => {
  const told = await exported([], (write) => ['a', 'b'].forEach(write));
  expect(told).toEqual(['a', 'b']);
});

test('goes to a private file, whole or not at all', async () => {
  const path = join(home, 'journal');
  const told = await exported(['--out', path], (write) => ['a', 'b'].forEach((one) => write(one)));
  expect(told).toEqual([`2 lines in ${path}`]);
  expect(readFileSync(path, 'utf8')).toBe('a\nb\n');
  expect(statSync(path).mode & 0o777).toBe(0o600);
  const failing = exported(['--out', path], (write) => {
    write('half');
    throw new Error('the disk');
  });
  await expect(failing).rejects.toThrow('the disk');
  expect(readFileSync(path, 'utf8')).toBe('a\nb\n');
});
