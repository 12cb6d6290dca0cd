// Storms: the promises are kept under everything that breaks, and a storm is the same storm in
// another process.
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, test } from 'vitest';
import { createDisks } from '../../simulator/disk.ts';
import { planOf } from '../../simulator/forecast.ts';
import type { Plan } from '../../simulator/plan.ts';
import { runStorm } from '../../simulator/storm.ts';
import { timers } from '../../src/node/platform.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import { hearUnhandled } from '../../src/node/unhandled.ts';

const ports = { turn: timers.soon, disks: createDisks(openDatabase), hearUnhandled };
const CLI = join(import.meta.dirname, '../../src/cli.ts');
/** What is left of the storms that broke a promise once, by what had happened. */
const KEPT = join(import.meta.dirname, 'storms');
const isFull = process.env['SAYTAP_FULL'] !== undefined;
const SEEDS = isFull ? 10_000 : 300;
const PROGRESS_SEEDS = 500;

test('a storm is crowded, and the same one in another process', async () => {
  const outcome = await runStorm(planOf(1), ports, { hash: true });
  expect(outcome.violations).toEqual([]);
  expect(outcome.payments).toBeGreaterThanOrEqual(50);
  expect(outcome.faults).toBeGreaterThanOrEqual(20);
  const args = [CLI, 'storm', '--seeds', '1', '--hash', '--json'];
  const { stdout, status } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  expect(status).toBe(0);
  const { hash, payments, events } = JSON.parse(stdout) as typeof outcome;
  expect({ hash, payments, events }).toEqual({
    hash: outcome.hash,
    payments: outcome.payments,
    events: outcome.events,
  });
}, 300_000);

test(`${SEEDS} storms keep every promise, and each of them is one`, async () => {
  const args = [CLI, 'storm', '--seeds', `1..${SEEDS}`, '--json'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let storms = 0;
  const broken: unknown[] = [];
  const calm: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    const { seed, violations, payments, faults } = JSON.parse(line) as Storm;
    storms++;
    if (violations.length > 0) broken.push({ seed, violations });
    if (payments < 50 || faults < 20) calm.push(`${seed}: ${payments} payments, ${faults} faults`);
    if (isFull && storms % PROGRESS_SEEDS === 0) console.log(`${storms} of ${SEEDS} storms`);
  }
  expect(broken).toEqual([]);
  expect(calm).toEqual([]);
  expect(storms).toBe(SEEDS);
}, 18_000_000);

type Storm = Readonly<{
  seed: string;
  violations: readonly unknown[];
  payments: number;
  faults: number;
}>;

test.each(readdirSync(KEPT))('what failed once holds: %s', async (name) => {
  const plan = JSON.parse(readFileSync(join(KEPT, name), 'utf8')) as Plan;
  const { violations, payments } = await runStorm(plan, ports);
  expect(violations).toEqual([]);
  expect(payments).toBeGreaterThan(0);
});
