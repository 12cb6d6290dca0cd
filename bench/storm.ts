/**
 * Storms on one core: what a world under a seed costs, with devices, bridge, services, people and
 * the checker in one process.
 */
import { createDisks } from '../simulator/disk.ts';
import { planOf } from '../simulator/forecast.ts';
import { runStorm } from '../simulator/storm.ts';
import { timers } from '../src/node/platform.ts';
import { rememberSignatures } from '../src/node/signatures.ts';
import { openDatabase } from '../src/node/sqlite.ts';
import { hearUnhandled } from '../src/node/unhandled.ts';
import { row } from './table.ts';

/** The first ones are slower: the code is still being compiled. */
const WARM = 20;
const STORMS = 40;

export async function measureStorm(write: (line: string) => void): Promise<void> {
  write(`\n${row('Storms, CPU time of all threads', 48, 'ms each', 'payments/s')}`);
  const forget = rememberSignatures();
  const ports = { turn: timers.soon, disks: createDisks(openDatabase), hearUnhandled };
  for (const [title, from, count] of [
    ['the first of a process', 1, WARM],
    ['those that follow', WARM + 1, STORMS],
  ] as const) {
    let payments = 0;
    const before = process.cpuUsage();
    for (let seed = from; seed < from + count; seed++) {
      payments += (await runStorm(planOf(seed), ports)).payments;
    }
    const { user, system } = process.cpuUsage(before);
    const ms = (user + system) / 1000;
    write(row(title, 48, (ms / count).toFixed(0), ((payments / ms) * 1000).toFixed(0)));
  }
  forget();
}
