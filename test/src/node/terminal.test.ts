// Piped answers, in a process of its own: one line each, and the end of the input is an answer.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const MODULE = join(import.meta.dirname, '../../../src/node/terminal.ts');
const SCRIPT = `
  const { ask, askSecret } = await import(${JSON.stringify(MODULE)});
  const answers = [await askSecret('secret? '), await ask('sure? '), await ask('really? ')];
  process.stdout.write(JSON.stringify(answers));
  process.exit();
`;

test.each([
  ['a\nb\nc\n', ['a', 'b', 'c'], 'all at once'],
  ['a\r\n\n', ['a', '', ''], 'an empty line, then the end'],
  ['a', ['a', '', ''], 'no line end'],
  ['', ['', '', ''], 'nothing'],
])('%j answers %j (%s)', (input, answers) => {
  const args = ['--input-type=module', '-e', SCRIPT];
  const { stdout, stderr, status } = spawnSync(process.execPath, args, { input });
  expect(JSON.parse(stdout.toString())).toEqual(answers);
  expect({ asked: stderr.toString(), status }).toEqual({
    asked: 'secret? sure? really? ',
    status: 0,
  });
});

test('the next unseen line is the next one of the lines that are read anyway', () => {
  const script = `
    const { createInterface } = await import('node:readline');
    const { nextUnseen } = await import(${JSON.stringify(MODULE)});
    const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
    const answers = [(await lines.next()).value];
    answers.push(await nextUnseen(lines), (await lines.next()).value, await nextUnseen(lines));
    process.stdout.write(JSON.stringify(answers));
    process.exit();
  `;
  const args = ['--input-type=module', '-e', script];
  const { stdout } = spawnSync(process.execPath, args, { input: 'pin\n4709\b8\x7f\x7f08\nyes\n' });
  expect(JSON.parse(stdout.toString())).toEqual(['pin', '4708', 'yes', '']);
});
