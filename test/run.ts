/**
 * All of `npm test`: format, types, lint, then every test, and one summary at the end.
 *
 * Each check runs even when an earlier one failed, so that one run tells everything. Arguments are
 * handed to vitest as filters (`npm test -- cose`); then only the tests run. `--full` runs the
 * sizes of `npm run prove`. The last line is always `N passed, N failed, N skipped`.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PARTS, aptLine, requirePart } from './parts.ts';
import type { Tally } from './tally.ts';

type Outcome = Readonly<{ name: string; ok: boolean; seconds: number }>;

const STATIC_CHECKS = [
  { name: 'format', program: 'prettier', args: ['--check', '.'] },
  { name: 'types', program: 'tsc', args: ['--noEmit'] },
  { name: 'lint', program: 'eslint', args: ['--max-warnings=0', '.'] },
];

const root = join(import.meta.dirname, '..');
process.chdir(root);
const isCi = !['', '0', 'false'].includes(process.env['CI'] ?? '');
const isFull = process.argv.includes('--full');
const filters = process.argv.slice(2).filter((argument) => argument !== '--full');
const missing = PARTS.filter(({ name }) => requirePart(name).missing !== undefined);

const outcomes: Outcome[] = [];
if (filters.length === 0) {
  for (const { name, program, args } of STATIC_CHECKS) outcomes.push(run(name, program, args, {}));
} else {
  console.log('Only the tests that match: format, types and lint are not checked.');
}
const tally = runTests();
report();

function run(
  name: string,
  program: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
): Outcome {
  console.log(`\n== ${name}: ${[program, ...args].join(' ')}`);
  const begun = performance.now();
  const { status } = spawnSync(
    process.execPath,
    [join(root, 'node_modules', '.bin', program), ...args],
    { stdio: 'inherit', env: { ...process.env, ...environment } },
  );
  const seconds = (performance.now() - begun) / 1000;
  const ok = status === 0;
  console.log(`== ${name}: ${ok ? 'passed' : 'FAILED'} in ${seconds.toFixed(1)} s`);
  return { name, ok, seconds };
}

/** What vitest found; a run that left no tally, or ran nothing, is a failure of its own. */
function runTests(): Tally {
  const folder = mkdtempSync(join(tmpdir(), 'saytap-test-'));
  const path = join(folder, 'tally.json');
  try {
    const { ok } = run(
      'tests',
      'vitest',
      ['run', '--reporter=default', '--reporter=./test/tally.ts', ...filters],
      {
        SAYTAP_TALLY: path,
        SAYTAP_MISSING: missing.map(({ name }) => name).join(','),
        ...(isFull ? { SAYTAP_FULL: '1' } : {}),
      },
    );
    const found = readTally(path);
    if (found === undefined) return { passed: 0, failed: ['vitest broke off'], skipped: [] };
    const isEmpty = found.passed + found.failed.length + found.skipped.length === 0;
    if (isEmpty) return { ...found, failed: ['no test was found'] };
    return ok || found.failed.length > 0 ? found : { ...found, failed: ['vitest failed'] };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function readTally(path: string): Tally | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Tally;
  } catch {
    return undefined;
  }
}

/** A missing system part counts as one check: skipped, or failed in CI. */
function report(): void {
  const failed = [
    ...outcomes.filter(({ ok }) => !ok).map(({ name }) => name),
    ...(isCi ? missing : []).map(({ name }) => `system part ${name} is missing`),
    ...tally.failed,
  ];
  const passed = outcomes.filter(({ ok }) => ok).length + tally.passed;
  const skipped = tally.skipped.length + (isCi ? 0 : missing.length);

  console.log('\n== summary');
  for (const { name, why } of tally.skipped) console.log(`skipped: ${name} (${why})`);
  for (const part of missing) {
    const verb = isCi ? 'FAILED' : 'skipped';
    console.log(`${verb}: system part ${part.name}, ${part.purpose}: ${aptLine([part])}`);
  }
  for (const name of failed) console.log(`FAILED: ${name}`);
  console.log(`${passed} passed, ${failed.length} failed, ${skipped} skipped`);
  process.exitCode = failed.length > 0 ? 1 : 0;
}
