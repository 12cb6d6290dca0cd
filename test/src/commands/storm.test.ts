// `saytap storm` as a person runs it.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { planOf } from '../../../simulator/forecast.ts';
import { planText } from '../../../simulator/plan.ts';
import { EXITS } from '../../../src/errors.ts';

const CLI = join(import.meta.dirname, '../../../src/cli.ts');
const storm = (...args: string[]) =>
  spawnSync(process.execPath, [CLI, 'storm', ...args], { encoding: 'utf8' });

const folder = mkdtempSync(join(tmpdir(), 'saytap-storm-'));
afterAll(() => rmSync(folder, { recursive: true }));

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

test.each([
  ['README.md', /^saytap: .*README\.md is no plan \(no JSON\): saytap storm --seeds N --out FILE/],
  ['package.json', /^saytap: .*package\.json is no plan \(without site, acts and faults\)/],
  ['nowhere.json', /^saytap: .*nowhere\.json does not exist$/],
])('%s as a plan is told in one line', (name, line) => {
  const file = join(import.meta.dirname, '../../..', name);
  const { status, stdout, stderr } = storm('--plan', file);
  expect({ status, stdout }).toEqual({ status: EXITS.config, stdout: '' });
  expect(stderr.trimEnd()).toMatch(line);
  expect(stderr.trimEnd().split('\n')).toHaveLength(1);
});

test('a saved plan is the storm of its seed, and one with somebody else in it is none', () => {
  const file = join(folder, 'plan.json');
  const plan = { ...planOf(7), acts: [], faults: planOf(7).faults.slice(0, 3) };
  writeFileSync(file, planText(plan));
  const { status, stdout, stderr } = storm('--plan', file, '--json');
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(JSON.parse(stdout)).toMatchObject({ seed: '7', faults: 3, violations: [] });

  const kill = { fault: 'kill', name: 'k', atMs: 20_000, machine: 'kisok-1', downMs: 500 } as const;
  writeFileSync(file, planText({ ...plan, faults: [kill] }));
  const refused = storm('--plan', file);
  expect(refused).toMatchObject({ status: EXITS.config, stdout: '' });
  expect(refused.stderr).toMatch(
    /: faults\[0\] \(k\), machine: “kisok-1” .* did you mean kiosk-1\?$/m,
  );
}, 60_000);

test.each([
  [['none', 'plan.json'], /cannot write .*plan\.json: the folder .*none does not exist$/],
  [[], /cannot write .*: it is a folder, not a file$/],
])('--out %j is refused before the first storm', (names, line) => {
  const { status, stdout, stderr } = storm('--seeds', '1..9', '--out', join(folder, ...names));
  expect({ status, stdout }).toEqual({ status: EXITS.storage, stdout: '' });
  expect(stderr.trimEnd()).toMatch(line);
});
