// Method: the log of a process of its own, whose standard error is a pipe; each line is parsed.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { wordsOf } from '../../../src/node/log.ts';

const MODULE = join(import.meta.dirname, '../../../src/node/log.ts');

function logged(script: string): readonly Record<string, unknown>[] {
  const program = `import { createLog } from ${JSON.stringify(MODULE)}; ${script}`;
  const { stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program]);
  return String(stderr)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

test('one object per event, with time, level, program, and the fields beside', () => {
  const [line, ...rest] = logged(
    `createLog('info', 'device')('warn', 'broker away', { why: 'a\\n"b"', count: 3 });`,
  );
  expect(rest).toEqual([]);
  expect(line).toEqual({
    level: 'warn',
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    program: 'device',
    event: 'broker away',
    why: 'a\n"b"',
    count: 3,
  });
});

test('keeps its level and above', () => {
  const script = `const log = createLog('warn', 'bridge');
    for (const level of ['debug', 'info', 'warn', 'error']) log(level, level);`;
  expect(logged(script).map(({ event }) => event)).toEqual(['warn', 'error']);
});

test('everything said before a crash is there', () => {
  const script = `const log = createLog('info', 'device');
    for (let i = 0; i < 1000; i++) log('info', 'n', { i });
    process.kill(process.pid, 'SIGKILL');`;
  expect(logged(script)).toHaveLength(1000);
});

test('what is named like a secret is censored', () => {
  const script = `createLog('info', 'device')('info', 'n', { pin: '1234', token: 't', id: 'x' });`;
  expect(logged(script)[0]).toMatchObject({ pin: '[Redacted]', token: '[Redacted]', id: 'x' });
});

test('a pairing is censored; the code of a reason or an exit is told', () => {
  const script = `createLog('info', 'device')('info', 'n', { pairing: { code: 'c' }, code: 104 });`;
  expect(logged(script)[0]).toMatchObject({ pairing: '[Redacted]', code: 104 });
});

test('words for a person: fields in one line that nothing from outside can break', () => {
  const line = JSON.stringify({
    ...{ level: 'info', time: '2026-11-20T10:00:00.000Z', program: 'device', event: 'ready' },
    ...{ id: 'a1', why: 'two\nlines' },
  });
  expect(wordsOf(line)).toBe(
    String.raw`2026-11-20T10:00:00.000Z info  ready id=a1 why="two\nlines"`,
  );
  expect(wordsOf('saytap: not a log line\n')).toBe('saytap: not a log line');
  expect(wordsOf('17')).toBe('17');
});
