// Backup and restore at the command line: what is handed on, and what is asked before.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { type Context, runCommand } from '../../../src/command.ts';
import { command } from '../../../src/commands/bridge.ts';
import { files } from '../../../src/node/platform.ts';

/** Runs `saytap bridge ...args`; tells what was asked and what the program was called with. */
async function bridge(args: readonly string[], answer = '') {
  const called: unknown[] = [];
  const asked: string[] = [];
  const verb = (name: string) => (file: string, folder: string, write: (line: string) => void) => {
    called.push([name, file, folder]);
    write('done');
    return Promise.resolve();
  };
  const lines: string[] = [];
  const context = {
    files,
    write: (line: string) => lines.push(line),
    ask: (question: string) => Promise.resolve((asked.push(question), answer)),
    program: () => Promise.resolve({ backup: verb('backup'), restore: verb('restore') }),
  } as unknown as Context;
  const failed = await runCommand(command, 'bridge', args, context).then(
    () => undefined,
    (error: Error) => error.message,
  );
  return { called, asked, lines, failed };
}

test('backup asks nothing: it takes nothing away', async () => {
  const ended = await bridge(['backup', '--config', 'b.yaml', '--out', 'copy']);
  expect(ended).toEqual({
    called: [['backup', 'b.yaml', 'copy']],
    asked: [],
    lines: ['done'],
    failed: undefined,
  });
  expect((await bridge(['backup', '--config', 'b.yaml'])).failed).toMatch(/^--out is needed/);
});

test('restore replaces the store only after a typed yes, or with --yes', async () => {
  const args = ['restore', '--config', 'b.yaml', '--from', 'copy'];
  expect(await bridge(args, 'y')).toMatchObject({ called: [], failed: 'nothing was changed' });
  const yes = await bridge(args, 'yes');
  expect(yes.asked).toEqual(['Replace the store of this bridge? Type yes: ']);
  expect(yes.called).toEqual([['restore', 'b.yaml', 'copy']]);
  const sure = await bridge([...args, '--yes']);
  expect(sure).toMatchObject({ asked: [], called: [['restore', 'b.yaml', 'copy']] });
});

test('a file in the place of the folder is named, before anything is asked', async () => {
  const home = mkdtempSync(join(tmpdir(), 'saytap-bridge-'));
  onTestFinished(() => rmSync(home, { recursive: true }));
  const file = join(home, 'copy');
  writeFileSync(file, '');
  for (const args of [
    ['backup', '--config', 'b.yaml', '--out', file],
    ['restore', '--config', 'b.yaml', '--from', file],
  ]) {
    const { called, asked, failed } = await bridge(args);
    expect([called, asked, failed]).toEqual([[], [], `${file} is a file, not a folder`]);
  }
});
