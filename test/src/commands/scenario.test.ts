// The commands as a person types them: what is printed, and the exit codes.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';

const CLI = join(import.meta.dirname, '../../../src/cli.ts');
let folder: string;
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), 'saytap-scenario-'))));
afterAll(() => rmSync(folder, { recursive: true }));

function saytap(...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, ...args], {
    cwd: folder,
    encoding: 'utf8',
  });
  return { status, out: stdout.trim().split('\n'), error: stderr.trim() };
}

const PAY = 'scenario: Coffee\nsteps:\n  - wang: { say: pay 5 yuan to Luckin Coffee, confirm: }\n';

test('a day is played, kept, shown and replayed', () => {
  writeFileSync(join(folder, 'day.yaml'), `${PAY}    expect: paid\n`);
  const played = saytap('scenario', 'run', 'day.yaml', '--trace', 'kept');
  expect(played).toMatchObject({ status: 0, error: '' });
  expect(played.out[0]).toBe('Coffee');
  expect(played.out).toContain('            wang-glasses: Paid 5.00 yuan to Luckin Coffee.');
  expect(played.out.at(-1)).toMatch(/^✓ Coffee \(\d+\.\d s\)$/);

  expect(readdirSync(join(folder, 'kept'))).toEqual(['day-1.trace']);
  const shown = saytap('trace', 'show', 'kept/day-1.trace');
  expect(shown.status).toBe(0);
  expect(shown.out.join('\n')).toContain('said: Paid');
  expect(shown.out.join('\n')).not.toContain('Luckin');
  const replayed = saytap('trace', 'replay', 'kept');
  expect(replayed).toMatchObject({ status: 0, error: '' });

  const path = join(folder, 'kept/day-1.trace');
  const changed = readFileSync(path, 'utf8').replace('"outcome": "captured"', '"outcome": "held"');
  writeFileSync(path, changed);
  const differing = saytap('trace', 'replay', path);
  expect(differing.status).toBe(1);
  expect(differing.out.join('\n')).toContain('held (this payment); now captured');
  expect(differing.error).toBe(`saytap: decided otherwise now: ${path}`);
});

test('what goes otherwise is 1, a file with faults is 3, wrong usage is 2', () => {
  writeFileSync(join(folder, 'other.yaml'), `${PAY}    expect: { refused: order_paid }\n`);
  const other = saytap('scenario', 'run', 'other.yaml', '--quiet');
  expect(other.status).toBe(1);
  expect(other.out[0]).toContain('other.yaml:4:15: expected that line 3 is refused (order_paid)');
  expect(other.error).toBe('saytap: 1 of 1 scenarios went otherwise than told: other.yaml');

  writeFileSync(join(folder, 'faulty.yaml'), `${PAY}    expect: payed\n  - wnag: confirm\n`);
  const lines =
    'faulty.yaml:4:13: “payed” is not how a payment stands: did you mean paid?\n' +
    'faulty.yaml:5:5: “wnag” is not anybody in this scenario: did you mean wang?';
  for (const verb of ['run', 'check']) {
    const faulty = saytap('scenario', verb, 'day.yaml', 'faulty.yaml');
    expect(faulty.status).toBe(3);
    expect(faulty.error).toBe(`saytap: ${lines}`);
  }
  expect(saytap('scenario', 'run', 'lunch-rush-offline', '--real')).toMatchObject({ status: 3 });
  for (const args of [['run'], ['run', 'a', '--all'], ['run', '--all', '--full'], ['check'], []]) {
    expect(saytap('scenario', ...args).status).toBe(2);
  }
  expect(saytap('scenario', 'run', 'none.yaml')).toMatchObject({ status: 3 });
  expect(saytap('trace', 'show', 'day.yaml')).toMatchObject({ status: 3 });
  expect(saytap('storm', '--seeds', '1..2', '--trace', 'x')).toMatchObject({ status: 2 });
});

test('the shipped ones are listed with what they are about', () => {
  const { status, out } = saytap('scenario', 'list');
  expect(status).toBe(0);
  expect(out.length).toBeGreaterThanOrEqual(12);
  expect(out.join('\n')).toContain('lunch-rush-offline');
  expect(out.filter((line) => line.length > 140)).toEqual([]);
});
