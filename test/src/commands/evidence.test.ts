// The dispute file on standard output or in a private file, and an erasure that asks first.
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Context, runCommand } from '../../../src/command.ts';
import { command } from '../../../src/commands/evidence.ts';
import { EXITS, OperatorError } from '../../../src/errors.ts';
import { RESEND_FOR_MS } from '../../../src/limits.ts';
import { files } from '../../../src/node/platform.ts';

let home = '';
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'saytap-evidence-'));
  writeFileSync(join(home, 'bridge.yaml'), '');
});
afterEach(() => rmSync(home, { recursive: true }));

const ID = 'ab'.repeat(16);
const SOUND = { text: 'a\n', appendix: 'c\n', failed: [] };

/** `saytap evidence`, at a bridge that answers this; the person types `typed`. */
async function typed(args: readonly string[], answer: unknown, typed = '') {
  const lines: string[] = [];
  const asked: unknown[] = [];
  const questions: string[] = [];
  const operate = async (_file: string, question: unknown) => (asked.push(question), answer);
  const context = {
    files,
    clock: { nowMs: () => Date.UTC(2026, 10, 20, 9), monotonicMs: () => 0 },
    program: async () => ({ operate }),
    write: (line: string) => lines.push(line),
    ask: async (question: string) => (questions.push(question), typed),
  };
  const all = [...args, '--config', join(home, 'bridge.yaml')];
  const failed = await runCommand(command, 'evidence', all, context as unknown as Context).then(
    () => undefined,
    (error: unknown) => {
      if (!(error instanceof OperatorError)) throw error;
      return { exit: error.exit, line: error.message };
    },
  );
  return { lines, asked, questions, failed };
}

test('goes to standard output as text', async () => {
  const { lines, asked, failed } = await typed([ID], { ...SOUND, text: 'a\nb\n' });
  expect([lines, failed]).toEqual([['a\nb'], undefined]);
  expect(asked).toEqual([{ ask: 'evidence', id: ID, form: 'text' }]);
});

test('goes to a private file as a page', async () => {
  const path = join(home, 'dispute.html');
  const { lines, asked } = await typed([ID, '--html', path], { ...SOUND, text: '<p>中</p>' });
  expect(lines).toEqual([`the evidence of ${ID} is in ${path}`]);
  expect(asked).toEqual([{ ask: 'evidence', id: ID, form: 'html' }]);
  expect(readFileSync(path, 'utf8')).toBe('<p>中</p>');
  expect(statSync(path).mode & 0o777).toBe(0o600);
});

test('the bytes follow the text with --raw, and a page has them anyway', async () => {
  const { lines } = await typed([ID, '--raw'], SOUND);
  expect(lines).toEqual(['a\n\nc']);
  const { failed, asked } = await typed([ID, '--raw', '--html', 'x'], SOUND);
  expect([failed?.exit, failed?.line, asked]).toEqual([
    EXITS.usage,
    '--raw is for text: a page has the bytes; see saytap evidence --help',
    [],
  ]);
});

test.each([
  [['row 4 is as it was written: no'], 'does not hold: row 4 is as it was written: no'],
  [['row 4', 'row 5'], 'does not hold: row 4, and 1 more check'],
  [['row 4', 'row 5', 'row 6'], 'does not hold: row 4, and 2 more checks'],
])('what does not hold (%j) is written, and is a failure in one line', async (failing, line) => {
  const answer = { ...SOUND, failed: failing };
  const asText = await typed([ID], answer);
  expect(asText.lines).toEqual(['a']);
  expect(asText.failed).toEqual({ exit: EXITS.failed, line });
  const path = join(home, 'dispute.html');
  const asPage = await typed([ID, '--html', path], answer);
  expect(asPage.failed).toEqual({ exit: EXITS.failed, line });
  expect(readFileSync(path, 'utf8')).toBe('a\n');
});

test('a page for a folder that does not exist is refused before the bridge is asked', async () => {
  const path = join(home, 'none', 'x.html');
  const { failed, asked } = await typed([ID, '--html', path], {});
  const line = `cannot write ${path}: the folder ${join(home, 'none')} does not exist`;
  expect([failed, asked]).toEqual([{ exit: EXITS.storage, line }, []]);
});

test.each(['', 'ab', 'AB'.repeat(16), `${ID}0`, '../../etc/passwd0000000000000000'])(
  'the id %j is refused before the bridge is asked',
  async (id) => {
    const { failed, asked } = await typed([id], {});
    expect([failed?.exit, asked]).toEqual([EXITS.usage, []]);
  },
);

describe('erase', () => {
  const args = ['erase', '--before', '2025-01-01', '--by', 'mei'];

  test.each(['yes', ' YES '])('asks, and %j erases', async (word) => {
    const { lines, asked, questions, failed } = await typed(args, { erased: 7 }, word);
    expect(questions).toEqual(['Erase them? Type yes: ']);
    expect(asked).toEqual([{ ask: 'erase', beforeMs: Date.UTC(2025, 0, 1), by: 'mei' }]);
    expect(lines).toEqual([
      'All contents of evidence before 2025-01-01 whose payments are over, of every payer, ' +
        'are deleted for good.',
      '7 rows have no contents any more; the chain holds without them',
    ]);
    expect(failed).toBeUndefined();
  });

  test.each(['', 'y', 'no', 'yes please'])('%j erases nothing', async (word) => {
    const { asked, failed } = await typed(args, { erased: 7 }, word);
    expect(asked).toEqual([]);
    expect(failed).toEqual({ exit: EXITS.failed, line: 'nothing was changed' });
  });

  test('asks nothing with --yes', async () => {
    const { asked, questions } = await typed([...args, '--yes'], { erased: 0 });
    expect([asked.length, questions]).toEqual([1, []]);
  });

  test('what may still be sent again is kept, and the latest date is told', async () => {
    const latest = new Date(Date.UTC(2026, 10, 20) - RESEND_FOR_MS).toISOString().slice(0, 10);
    const next = new Date(Date.parse(latest) + 86_400_000).toISOString().slice(0, 10);
    const on = (date: string) => ['erase', '--before', date, '--by', 'mei', '--yes'];
    const refused = await typed(on(next), { erased: 0 });
    expect([refused.failed?.exit, refused.asked]).toEqual([EXITS.usage, []]);
    expect(refused.failed?.line).toContain(`are kept: --before is ${latest} or earlier`);
    expect((await typed(on(latest), { erased: 0 })).failed).toBeUndefined();
  });

  test('of one payer', async () => {
    const { asked, lines } = await typed([...args, '--payer', ID], { erased: 0 }, 'yes');
    expect(asked).toEqual([{ ask: 'erase', payer: ID, beforeMs: Date.UTC(2025, 0, 1), by: 'mei' }]);
    expect(lines[0]).toContain(`of payer ${ID}`);
  });

  test.each([
    [['erase', '--by', 'mei'], '--before is needed'],
    [['erase', '--before', '2025-01-01'], '--by is needed'],
    [['erase', '--before', '2025-02-30', '--by', 'mei'], '--before is a date, as 2026-11-20'],
    [[...args, '--payer', 'ab'], '--payer is 32 hexadecimal digits'],
  ])('%j: %s', async (wrong, line) => {
    const { failed, asked, questions } = await typed(wrong, {}, 'yes');
    expect([failed?.exit, asked, questions]).toEqual([EXITS.usage, [], []]);
    expect(failed?.line).toContain(line);
  });
});
