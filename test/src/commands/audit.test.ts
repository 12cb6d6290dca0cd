// An audit as the operator reads it, and the exit code that a timer's job looks at.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { AuditReport } from '../../../broker/audit.ts';
import { type Context, runCommand } from '../../../src/command.ts';
import { type Report, command } from '../../../src/commands/audit.ts';
import { EXITS, OperatorError } from '../../../src/errors.ts';
import { files } from '../../../src/node/platform.ts';

let home = '';
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'saytap-audit-'));
  writeFileSync(join(home, 'bridge.yaml'), '');
});
afterEach(() => rmSync(home, { recursive: true }));

const HEAD = `12:${'ab'.repeat(32)}`;
const PASSED: AuditReport = {
  passed: true,
  evidence: { rows: 12, erased: 2 },
  head: HEAD,
  payments: { concluded: 3, asked: 2, open: 1, openIds: ['cd'.repeat(16)] },
  backends: [{ name: 'ledger', movements: 4 }, { name: 'stripe' }],
  differences: [],
  more: 0,
  unchecked: [],
};
const DIFFERENCE = { what: 'link', where: 'evidence row 4', expected: 'aa', found: 'bb' };

/** `saytap audit`, at a bridge that answers this. */
async function audited(report: Report, ...args: readonly string[]) {
  const lines: string[] = [];
  const asked: unknown[] = [];
  const operate = async (_file: string, question: unknown) => (asked.push(question), report);
  const program = async () => ({ operate });
  const context = { files, program, write: (line: string) => lines.push(line) };
  const all = ['--config', join(home, 'bridge.yaml'), ...args];
  const failed = await runCommand(command, 'audit', all, context as unknown as Context).then(
    () => undefined,
    (error: unknown) => {
      if (!(error instanceof OperatorError)) throw error;
      return { exit: error.exit, line: error.message };
    },
  );
  return { lines, asked, failed };
}

test('a pass is counts, what is open, and the head to note down', async () => {
  const { lines, asked, failed } = await audited(PASSED);
  expect(lines).toEqual([
    'evidence   12 rows, 2 of them erased',
    'payments   3 concluded, 2 answers of backends, 1 open',
    `  open     ${'cd'.repeat(16)}`,
    'backend    ledger: 4 movements',
    'backend    stripe: lists no movements',
    `head       ${HEAD}`,
    'PASSED     nothing differs, and everything was looked at',
  ]);
  expect([asked, failed]).toEqual([[{ ask: 'audit' }], undefined]);
});

test.each([
  [{ differences: [DIFFERENCE] }, 'the audit found 1 difference', 'one'],
  [{ differences: [DIFFERENCE], more: 7 }, 'the audit found 8 differences', 'beyond the list'],
  [
    { differences: [DIFFERENCE], unchecked: ['2 attempts at ledger: away'] },
    'the audit found 1 difference',
    'a difference outweighs what was not looked at',
  ],
  [
    { unchecked: ['2 attempts at ledger: away'] },
    'the audit is incomplete: 1 of its parts could not be looked at',
    'not looked at is no pass',
  ],
])('%j ends with 1: %s (%s)', async (changes, line, _why) => {
  const report = { ...PASSED, passed: false, ...changes };
  const { lines, failed } = await audited(report);
  expect(failed).toEqual({ exit: EXITS.failed, line });
  if ('differences' in changes) {
    expect(lines).toContain('DIFFERS    evidence row 4: link: expected aa, found bb');
  }
  if ('more' in changes) expect(lines).toContain('DIFFERS    and 7 more');
  if ('unchecked' in changes) expect(lines).toContain('UNCHECKED  2 attempts at ledger: away');
  expect(lines.at(-1)).toBe(`head       ${HEAD}`);
  const json = await audited(report, '--json');
  expect([JSON.parse(json.lines.join('\n')), json.failed]).toEqual([report, failed]);
});

test('a backend that is away was not asked, and what to do is said', async () => {
  const unchecked = [
    'movements at ledger after number 0: connect ECONNREFUSED 127.0.0.1:7102',
    'movements at bank after number 3: its list is out of order',
  ];
  const backends = [
    { name: 'ledger', movements: 0 },
    { name: 'bank', movements: 3 },
  ];
  const { lines, failed } = await audited({ ...PASSED, passed: false, backends, unchecked });
  expect(lines).toEqual(
    expect.arrayContaining([
      'backend    ledger: not asked, it does not answer',
      'backend    bank: 3 movements, not all',
      'UNCHECKED  movements at ledger after number 0: nothing answers at 127.0.0.1:7102',
    ]),
  );
  expect(failed?.line).toBe(
    'the audit is incomplete: 2 of its parts could not be looked at; ' +
      'start ledger and bank and run it again',
  );
});

test('a head is passed on, and refused when it is none', async () => {
  expect((await audited(PASSED, '--head', HEAD)).asked).toEqual([{ ask: 'audit', head: HEAD }]);
  for (const head of ['12', 'ab'.repeat(32), `12:${'ab'.repeat(31)}`, `-1:${'ab'.repeat(32)}`]) {
    const { failed, asked } = await audited(PASSED, `--head=${head}`);
    expect([failed?.exit, asked]).toEqual([EXITS.usage, []]);
    expect(failed?.line).toContain('--head is a number, a colon and 64 hexadecimal digits');
  }
});
