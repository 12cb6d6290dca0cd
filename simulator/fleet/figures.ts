/**
 * The figures of a run as people are told them: the same sentences and rows in the terminal and in
 * the report.
 */
import type { Outcome, Percentiles } from './result.ts';
import { meanMachine } from './usage.ts';
import { percent, time, whole } from './view.ts';

/** The machine that a run was made on. */
export type MachineFacts = Readonly<{
  processors: number;
  model: string;
  memoryMb: number;
  node: string;
}>;

/** A run, where and when. */
export type Whole = Outcome &
  Readonly<{
    machine: MachineFacts;
    atMs: number;
    /** What the programs logged, and how often. */
    logged: readonly (readonly [event: string, count: number])[];
  }>;

export type Figure = readonly [name: string, value: string];

/** What was asked. */
export function askedFigures({ asked, broker }: Whole): readonly Figure[] {
  const { devices, rate, shape, arrivals, seconds, warmUpS, workers, verifyEach } = asked;
  const verified = verifyEach === 1 ? 'all' : `every ${verifyEach}th, the others read`;
  return [
    ['devices', `${whole(devices)}, each with a key, a mandate and a connection`],
    ['payments', `${whole(rate)} a second at the most, ${shape}, ${arrivals} arrivals`],
    ['time', `${seconds} s after ${warmUpS} s of warming up`],
    ['receipts verified', verified],
    ['broker', broker],
    ['processes of devices', String(workers)],
    ['seed', asked.seed],
  ];
}

export function machineFigures({ machine, points, atMs }: Whole): readonly Figure[] {
  const { others, own, idle } = meanMachine(points);
  return [
    ['processors', `${machine.processors} × ${machine.model}`],
    ['memory', `${whole(machine.memoryMb)} MB`],
    ['Node', machine.node],
    [
      'while it ran',
      `this run ${percent(own)}, other programs ${percent(others)}, idle ${percent(idle)}`,
    ],
    ['when', new Date(atMs).toISOString().slice(0, 16).replace('T', ' ') + ' UTC'],
  ];
}

/** What became of the payments. */
export function paymentFigures({ totals, verdict, ended }: Whole): readonly Figure[] {
  const { counts, refused } = totals;
  const reasons = [...refused].map(([reason, count]) => `${reason} ${whole(count)}`).join(', ');
  const sum = [...refused.values()].reduce((all, one) => all + one, 0);
  return [
    ['due', whole(ended.due)],
    ['sent', whole(ended.sent)],
    ['paid', whole(counts.paid)],
    ['refused', sum === 0 ? '0' : `${whole(sum)} (${reasons})`],
    ['waiting', whole(verdict.waiting + totals.held)],
    ['told “not yet”', whole(counts.pending)],
    ['sent again', whole(counts.resent)],
    ['receipts verified', `${whole(counts.verified)}, wrong ${whole(counts.bad)}`],
    ['connections broken', whole(counts.broken)],
  ];
}

/** What programs had to say about errors; nothing when nothing. */
export function loggedFigures({ logged }: Whole): readonly Figure[] {
  return logged.map(([event, count]) => [event, whole(count)] as const);
}

/** Times from due to receipt, beside how late the devices themselves were. */
export function timeFigures({ latencies, lateness }: Whole): readonly Figure[] {
  const row = (rows: Percentiles) =>
    [50, 90, 99, 99.9, 100]
      .map((one) => `${one === 100 ? 'most' : `p${one}`} ${time(timeAt(rows, one))}`)
      .join(' · ');
  return [
    ['due to receipt', row(latencies)],
    ['due to sent', row(lateness)],
  ];
}

/** The line that a run ends with. */
export function lastLine({ twice, lost }: Pick<Outcome['verdict'], 'twice' | 'lost'>): string {
  return `twice ${twice} · lost ${lost}`;
}

/** The time at a percentage; undefined when nothing was measured. */
export function timeAt(rows: Percentiles, percentage: number): number | undefined {
  return rows.find(([one]) => one >= percentage - 1e-9)?.[1];
}

export function memoryFigures({ memory, points }: Whole): readonly Figure[] {
  const kilobytes = (kb: number) => `${kb.toFixed(1)} kB`;
  const last = points.at(-1)?.uses ?? [];
  const sizes = last.map(({ name, rssKb }) => `${name} ${whole(rssKb / 1024)}`);
  return [
    ['each device, in its process', kilobytes(memory.workerKb)],
    ...(memory.brokerKb > 0 ? [['in the broker', kilobytes(memory.brokerKb)] as const] : []),
    ['in the bridge', kilobytes(memory.bridgeKb)],
    ['MB of each process at the end', sizes.join(', ')],
  ];
}

/**
 * What a payment takes, and what would be full at which rate if it took as much there. It takes
 * less when more come: wake-ups, commits and packets are shared.
 */
export function costFigures({ costs, machine }: Whole): readonly Figure[] {
  if (costs.length === 0) return [];
  const sum = costs.reduce((all, { cpuUs }) => all + cpuUs, 0);
  const loops = costs.filter(({ name }) => !name.startsWith('devices') && name !== 'fleet');
  const loop = loops.reduce((most, one) => (one.mainUs > most.mainUs ? one : most), loops[0]!);
  const each = costs.map(({ name, cpuUs }) => `${name} ${cpuUs.toFixed(0)}`).join(', ');
  return [
    ['µs of processor for each payment', `${each}: ${sum.toFixed(0)} in all`],
    [
      'full not before about',
      `${whole((machine.processors * 1e6) / sum)} payments/s for ${machine.processors} ` +
        `processors that do nothing else, ${whole(1e6 / loop.mainUs)} for one thread of ` +
        loop.name,
    ],
  ];
}

/** The whole run for a terminal. */
export function summaryOf(run: Whole): string[] {
  const rows = [
    ...paymentFigures(run).slice(0, 5),
    ...timeFigures(run),
    ...memoryFigures(run).slice(0, -1),
    ...costFigures(run),
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  return [
    '',
    ...rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`),
    ...loggedFigures(run).map(([event, count]) => `! ${event}: ${count} times`),
    run.saturation.says,
    ...run.verdict.faults.map((fault) => `✗ ${fault}`),
  ];
}
