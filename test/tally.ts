/**
 * A vitest reporter that writes what test/run.ts needs for its summary. vitest's own JSON report
 * leaves out why a test was skipped and what went wrong outside any test.
 */
import { writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import type { Reporter, TestModule } from 'vitest/node';

export type Tally = Readonly<{
  passed: number;
  /** Names: of tests, of files that cannot be loaded, and errors that belong to no test. */
  failed: readonly string[];
  skipped: readonly Readonly<{ name: string; why: string }>[];
}>;

export default class TallyReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly { message: string }[]): void {
    const path = process.env['SAYTAP_TALLY'];
    if (path !== undefined) writeFileSync(path, JSON.stringify(tally(modules, errors)));
  }
}

function tally(modules: readonly TestModule[], errors: readonly { message: string }[]): Tally {
  let passed = 0;
  const failed = errors.map(({ message }) => `outside any test: ${message.split('\n')[0]}`);
  const skipped: { name: string; why: string }[] = [];
  for (const module of modules) {
    const file = relative(process.cwd(), module.moduleId);
    let isExplained = false;
    for (const test of module.children.allTests()) {
      const name = `${file} > ${test.fullName}`;
      const result = test.result();
      if (result.state === 'passed') passed += 1;
      else if (result.state === 'skipped') skipped.push({ name, why: result.note ?? 'skipped' });
      else failed.push(result.state === 'failed' ? name : `${name} (never finished)`);
      isExplained ||= result.state === 'failed';
    }
    if (module.state() === 'failed' && !isExplained) failed.push(`${file} (the file itself)`);
  }
  return { passed, failed, skipped };
}
