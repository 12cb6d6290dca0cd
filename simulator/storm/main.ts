/**
 * `saytap storm`: runs storms, in several processes when there are several, and tells what they
 * found.
 *
 * Each storm is alone in its world, so processes share nothing but the list of seeds. What a
 * process tells of a storm is what `--json` prints.
 */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { OperatorError } from '../../src/errors.ts';
import { requireText } from '../../src/files.ts';
import { utf8 } from '../../src/bytes.ts';
import type { StormOptions } from '../../src/command.ts';
import { STORM_CHUNK, STORM_JOBS_MAX } from '../../src/limits.ts';
import { readLines } from '../../src/node/child.ts';
import { clock, files, random, timers } from '../../src/node/platform.ts';
import { rememberSignatures } from '../../src/node/signatures.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import { hearUnhandled } from '../../src/node/unhandled.ts';
import { createDisks } from '../disk.ts';
import { readDraft } from '../draft.ts';
import { planOf } from '../forecast.ts';
import { type Plan, planText, withoutIdle } from '../plan.ts';
import { shrink } from '../shrink.ts';
import { runStorm } from '../storm.ts';
import { type Trace, tracesIn } from '../trace.ts';
import { keepTraces } from '../trace/folder.ts';
import type { WorldPorts } from '../world.ts';
import { EMPTY, type Told, failureLine, failureLines } from './report.ts';
import { plus, summaryLines, toldOf } from './report.ts';

type Watch = NonNullable<NonNullable<Parameters<typeof runStorm>[2]>['watch']>;

/** Runs the storms. Throws OperatorError with the exit code of the worst that was found. */
export async function main(options: StormOptions, write: (line: string) => void): Promise<void> {
  const { storms, hash, json, isTerminal } = options;
  const file = 'planFile' in storms ? storms.planFile : undefined;
  const saved = file === undefined ? undefined : readDraft(requireText(files, file), file);
  const startMs = clock.monotonicMs();
  let tally = EMPTY;
  const progress = progressOn(isTerminal && !json);
  const hear = (told: Told): void => {
    tally = plus(tally, told);
    if (json) return write(JSON.stringify(told, plainly));
    progress.clear();
    if (hash) write(`seed ${told.seed}: ${told.hash}`);
    if (told.violations.length > 0) write(failureLine(told));
    if ('from' in storms) progress.show(tally.storms, storms.to - storms.from + 1);
  };

  rememberSignatures();
  const ports: WorldPorts = { turn: timers.soon, disks: createDisks(openDatabase), hearUnhandled };
  let traces: readonly Trace[] = [];
  const watch: Watch = (observed, site) => {
    if (options.trace !== undefined) traces = tracesIn(observed, site);
  };
  if (saved) {
    hear(toldOf(await runStorm(saved, ports, { hash, watch })));
  } else if ('from' in storms) {
    const count = storms.to - storms.from + 1;
    const jobs = Math.min(options.jobs ?? availableParallelism(), STORM_JOBS_MAX, count);
    if (jobs > 1) await runBeside(storms, jobs, hash, hear);
    else {
      for (let seed = storms.from; seed <= storms.to; seed++) {
        hear(toldOf(await runStorm(planOf(seed), ports, { hash, watch })));
      }
    }
  }
  progress.clear();
  if (options.trace !== undefined) {
    const place = { folder: options.trace, name: 'storm', isFull: false };
    await keepTraces(traces, place, { files, random });
  }

  const [first] = tally.failed;
  if (!json) {
    for (const line of summaryLines(tally, (clock.monotonicMs() - startMs) / 1000)) write(line);
  }
  if (!first) return;
  const plan = saved ?? planOf(Number(first.seed));
  const smallest = options.shrink ? await shrunk(plan, first, ports, write) : plan;
  if (options.out !== undefined) files.replace(options.out, utf8(planText(smallest)), 0o644);
  if (!json) {
    const again =
      options.out === undefined
        ? file === undefined
          ? `saytap storm --seeds ${first.seed}`
          : `saytap storm --plan ${file}`
        : `saytap storm --plan ${options.out}`;
    const outcome = options.shrink ? toldOf(await runStorm(smallest, ports)) : first;
    for (const line of failureLines(outcome, again)) write(line);
  }
  const kinds = ['safety', 'crash', 'liveness'] as const;
  const worst = kinds.find((kind) =>
    tally.failed.some(({ violations }) => violations.some((one) => one.kind === kind)),
  )!;
  throw new OperatorError(
    worst,
    `${tally.failed.length} of ${tally.storms} storms broke a promise`,
  );
}

/** Hands the seeds out to processes, a few at a time, and hears of each storm. */
async function runBeside(
  { from, to }: Readonly<{ from: number; to: number }>,
  jobs: number,
  hash: boolean,
  hear: (told: Told) => void,
): Promise<void> {
  const chunk = Math.max(1, Math.min(STORM_CHUNK, Math.ceil((to - from + 1) / jobs)));
  let next = from;
  const script = join(import.meta.dirname, '..', '..', 'src', 'cli.ts');
  const work = async () => {
    while (next <= to) {
      const last = Math.min(next + chunk - 1, to);
      const seeds = `${next}..${last}`;
      next = last + 1;
      const args = [
        'storm',
        '--seeds',
        seeds,
        '--jobs',
        '1',
        '--json',
        ...(hash ? ['--hash'] : []),
      ];
      await readLines(script, args, (line) => hear(JSON.parse(line) as Told));
    }
  };
  await Promise.all(Array.from({ length: jobs }, work));
}

/** The smallest plan that breaks the same promise. */
async function shrunk(
  plan: Plan,
  { violations }: Told,
  ports: WorldPorts,
  write: (line: string) => void,
): Promise<Plan> {
  const run = async (less: Plan) => (await runStorm(less, ports)).violations[0];
  const found = await shrink(plan, violations[0]!, run, { smaller: withoutIdle });
  const { acts, faults } = found.plan;
  write(`shrunk to ${acts.length} acts and ${faults.length} faults in ${found.runs} worlds`);
  return found.plan;
}

/** A line that is written over and over, on a terminal alone. */
function progressOn(isShown: boolean) {
  const erase = '\r\u001b[K';
  return {
    show(done: number, all: number) {
      if (isShown) process.stdout.write(`${erase}${done} of ${all} storms`);
    },
    clear() {
      if (isShown) process.stdout.write(erase);
    },
  };
}

/** Violations hold no money, but whoever adds some is to see it here. */
function plainly(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}
