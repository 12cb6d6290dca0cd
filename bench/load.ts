/**
 * Load on a schedule: requests leave when they are due, whatever the bridge does, and each is timed
 * from then. What a payment waits for besides the bridge is taken off: the risk service's time, and
 * the time of the commits that it needs one after another.
 */
import { asksOf } from './floor.ts';
import { quantile } from './devices.ts';
import type { BridgeOptions } from './measured/bridge.ts';
import { withBridge } from './pipeline.ts';
import { row } from './table.ts';

/** 120 million payments in a week, and 100 million in a day. */
const RATES = [200, 1_200];
const SECONDS = 3;
const ALONE = 50;
/** What a disk without a write cache takes for a sync. */
const SLOW_MS = 5;
/** What a good risk service takes. */
const RISK_MS = 80;
const PATIENCE_MS = 2_000;

type Case = Readonly<{ title: string; options: Partial<Omit<BridgeOptions, 'setting'>> }>;
const CASES: readonly Case[] = [
  { title: 'disk as it is', options: {} },
  { title: 'slow disk, in a worker', options: { slowMs: SLOW_MS } },
  { title: 'slow disk, on the loop', options: { slowMs: SLOW_MS, isLoopOnly: true } },
  { title: 'risk 80 ms', options: { riskMs: RISK_MS } },
  { title: 'risk 80 ms, slow disk', options: { riskMs: RISK_MS, slowMs: SLOW_MS } },
];

export async function measureLoad(write: (line: string) => void): Promise<void> {
  const heads = ['asked/s', 'p50 ms', 'p99 ms', 'commits', 'of ms', 'added ms', 'lost'];
  write(`\n${row('Bridge under load on a schedule', 32, ...heads)}`);
  for (const { title, options } of CASES) {
    await withBridge(options, async ({ plant, program, devices }) => {
      const paced = RATES.map((rate) => rate * SECONDS);
      const warmUp = 2_000;
      const count = ALONE + warmUp + paced.reduce((sum, one) => sum + one, 0);
      const asks = await asksOf(plant, count, program.said.nonce);
      const take = (many: number) => asks.splice(0, many);
      await devices.saturate(take(warmUp), 50);
      await program.figures();
      // One at a time each payment has its commits for itself: so many does it wait for.
      await devices.saturate(take(ALONE), 1);
      const commits = (await program.figures())['commitsMs']!.length / ALONE;
      for (const [i, rate] of RATES.entries()) {
        const times = await devices.pace(take(paced[i]!), rate, PATIENCE_MS);
        const commitMs = quantile((await program.figures())['commitsMs']!.toSorted(ascending), 0.5);
        const p50 = quantile(times, 0.5);
        const added = p50 - commits * commitMs - (options.riskMs ?? 0);
        const figures = [p50, quantile(times, 0.99), commits, commitMs, added];
        const cells = figures.map((figure) => figure.toFixed(figure === commits ? 0 : 1));
        write(row(title, 32, rate, ...cells, paced[i]! - times.length));
      }
    });
  }
}

function ascending(a: number, b: number): number {
  return a - b;
}
