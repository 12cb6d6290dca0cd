/**
 * How full each process and the machine are, between two looks at what the system counts of them;
 * and what was full first.
 *
 * A program of Node answers from one thread. What that thread does with a second is to run, to wait
 * for a processor that another program has, to wait for the disk, or to be idle. Without idle time
 * it is full, and the three shares say of what; the program itself is not asked, because one that
 * is full answers late. Pure: the looks are taken elsewhere.
 */
import type { MachineUse, ProcessUse } from '../../src/platform.ts';

/** A look at a process; `atDisk` of `looks` found it waiting for the disk since the last one. */
export type Look = Readonly<{ use: ProcessUse | undefined; atDisk: number; looks: number }>;

/** Shares of one processor between two looks; undefined where the system tells nothing. */
export type Use = Readonly<{
  name: string;
  /** All threads. */
  cpu: number;
  /** Of the main thread: running, waiting for a processor, waiting for the disk. */
  run: number;
  queue: number;
  disk: number;
  rssKb: number;
}>;

/** Shares of all processors together. */
export type Machine = Readonly<{ idle: number; own: number; others: number }>;

export function useBetween(name: string, before: Look, now: Look, ms: number): Use | undefined {
  if (!before.use || !now.use || ms <= 0) return undefined;
  const share = (what: 'runMs' | 'mainRunMs' | 'mainQueueMs') =>
    Math.max(0, now.use![what] - before.use![what]) / ms;
  return {
    name,
    cpu: share('runMs'),
    run: Math.min(1, share('mainRunMs')),
    queue: Math.min(1, share('mainQueueMs')),
    disk: now.looks === 0 ? 0 : now.atDisk / now.looks,
    rssKb: now.use.rssKb,
  };
}

export function machineBetween(
  before: MachineUse | undefined,
  now: MachineUse | undefined,
  uses: readonly Use[],
  processors: number,
): Machine | undefined {
  if (!before || !now) return undefined;
  const idle = now.idleMs - before.idleMs;
  const all = idle + now.busyMs - before.busyMs + now.stolenMs - before.stolenMs;
  if (all <= 0) return undefined;
  const own = uses.reduce((sum, { cpu }) => sum + cpu, 0) / processors;
  const share = Math.min(1, Math.max(0, idle / all));
  return { idle: share, own: Math.min(own, 1 - share), others: Math.max(0, 1 - share - own) };
}

/** How much of its time a program's loop was not idle. */
export function fullness({ run, queue, disk }: Use): number {
  return Math.min(1, run + queue + disk);
}

/** One interval of a run. */
export type Interval = Readonly<{
  atS: number;
  perSecond: number;
  machine: Machine | undefined;
  uses: readonly Use[];
}>;

export type Saturation = Readonly<{
  /** `nothing`: the fullest that there was is still told of. */
  what: 'processors' | 'program' | 'nothing' | 'unknown';
  /** The program that was full, or that took the most. */
  program: string;
  /** When, and at how many payments a second. */
  atS: number;
  perSecond: number;
  /** A sentence or two for people: what, and how that was found. */
  says: string;
}>;

/** Full is what has less than a tenth of its time left; a machine, less than a twentieth. */
export const LOOP_FULL = 0.9;
export const MACHINE_IDLE_MIN = 0.05;
/** As many intervals in a row: one alone may be a pause to collect garbage. */
export const FULL_INTERVALS = 3;

/** What was full first, of the intervals of a load. */
export function findSaturation(intervals: readonly Interval[], processors: number): Saturation {
  const told = intervals.filter(({ uses }) => uses.length > 0);
  const nothing = { what: 'nothing', program: '', atS: 0, perSecond: 0, says: '' } as const;
  if (told.length === 0) {
    const says = 'This system does not tell how full processes are; Linux does.';
    return { ...nothing, what: 'unknown', says };
  }
  for (const [at, interval] of told.entries()) {
    const run = told.slice(at - FULL_INTERVALS + 1, at + 1);
    if (at + 1 < FULL_INTERVALS) continue;
    const { atS, perSecond } = interval;
    const when = `${atS.toFixed(0)} s, at ${perSecond.toFixed(0)} payments/s`;
    if (run.every(({ machine }) => machine && machine.idle <= MACHINE_IDLE_MIN)) {
      const { own, others, idle } = meanMachine(run);
      const most = largest(run, ({ cpu }) => cpu);
      const says =
        `The processors were full first (${when}): of ${processors}, ${percent(own)} were taken ` +
        `by this run, ${percent(others)} by other programs, ${percent(idle)} were idle. ` +
        `Of this run ${most.name} took the most, ${most.value.toFixed(2)} of a processor.`;
      return { what: 'processors', program: most.name, atS, perSecond, says };
    }
    const names = interval.uses.map(({ name }) => name);
    const full = names.find((name) =>
      run.every(({ uses }) => uses.some((use) => use.name === name && fullness(use) >= LOOP_FULL)),
    );
    if (full !== undefined) {
      const mean = (what: (use: Use) => number) => meanOf(run, full, what);
      const says =
        `The loop of ${full} was full first (${when}): its main thread ran for ` +
        `${percent(mean(({ run }) => run))} of the time, waited for a processor for ` +
        `${percent(mean(({ queue }) => queue))} and for the disk for ` +
        `${percent(mean(({ disk }) => disk))}.`;
      return { what: 'program', program: full, atS, perSecond, says };
    }
  }
  const most = largest(told, fullness);
  const { idle } = meanMachine(told);
  const says =
    `Nothing was full for ${FULL_INTERVALS} intervals in a row. The fullest was ${most.name}, ` +
    `whose main thread was busy or waiting for ${percent(most.value)} of the time; the ` +
    `processors were idle for ${percent(idle)}.`;
  return { ...nothing, program: most.name, says };
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`;
}

/** The program with the largest mean. */
function largest(intervals: readonly Interval[], what: (use: Use) => number) {
  const names = [...new Set(intervals.flatMap(({ uses }) => uses.map(({ name }) => name)))];
  const means = names.map((name) => ({ name, value: meanOf(intervals, name, what) }));
  return means.reduce((most, one) => (one.value > most.value ? one : most), {
    name: '',
    value: -1,
  });
}

/** The mean over intervals of what one program did. */
export function meanOf(
  intervals: readonly Pick<Interval, 'uses'>[],
  name: string,
  what: (use: Use) => number,
): number {
  const values = intervals.flatMap(({ uses }) => uses.filter((use) => use.name === name).map(what));
  return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;
}

export function meanMachine(intervals: readonly Pick<Interval, 'machine'>[]): Machine {
  const all = intervals.flatMap(({ machine }) => (machine ? [machine] : []));
  const mean = (what: keyof Machine) =>
    all.length === 0 ? 0 : all.reduce((sum, one) => sum + one[what], 0) / all.length;
  return { idle: mean('idle'), own: mean('own'), others: mean('others') };
}
