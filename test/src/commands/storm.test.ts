// `saytap storm` as a person runs it.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { EXITS } from '../../../src/errors.ts';

const CLI = join(import.meta.dirname, '../../../src/cli.ts');
const storm = (...args: string[]) =>
  spawnSync(process.execPath, [CLI, 'storm', ...args], { encoding: 'utf8' });

test('tells how many storms there were, what was met and what never was', () => {
  const { status, stdout, stderr } = storm('--seeds', '2');
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(stdout).toMatch(/^1 storms, \d+ payments, \d+ faults, \d+ payments\/s$/m);
  expect(stdout).toMatch(/^kinds of faults: \d+ of \d+ met/m);
  expect(stdout).toMatch(/^reason codes: \d+ of \d+ met; never met: .*sim_in_live/m);
  expect(stdout).toMatch(/^every promise was kept$/m);
}, 300_000);

test.each([
  [['--seeds', '5..1'], /--seeds is one seed or a range like 1\.\.1000, not 5\.\.1/],
  [['--seeds', 'all'], /not all/],
  [['--seeds', '1', '--plan', 'x.json'], /either --seeds or --plan/],
  [['--jobs', '0'], /jobs/],
])('%j is wrong usage', (args, line) => {
  const { status, stdout, stderr } = storm(...args);
  expect({ status, stdout }).toEqual({ status: EXITS.usage, stdout: '' });
  expect(stderr.trimEnd()).toMatch(line);
});
