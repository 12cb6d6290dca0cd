// Storms: the promises are kept under everything that breaks, and a storm is the same storm in
// another process.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createDisks } from '../../simulator/disk.ts';
import { planOf } from '../../simulator/forecast.ts';
import { runStorm } from '../../simulator/storm.ts';
import { timers } from '../../src/node/platform.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import { hearUnhandled } from '../../src/node/unhandled.ts';

const ports = { turn: timers.soon, disks: createDisks(openDatabase), hearUnhandled };
const CLI = join(import.meta.dirname, '../../src/cli.ts');

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
