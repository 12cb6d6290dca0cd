/**
 * What a run is worth: whether money went right, whether the load was carried, and why not.
 *
 * Lost is what a device was told was paid and the books do not have; a payment whose device had no
 * final word yet is waiting, because a device would ask on and the bridge answer. Pure.
 */
import { FLEET_PATIENCE_MS } from '../../src/limits.ts';
import type { Comparison } from './payments.ts';
import type { Point, Totals } from './tally.ts';
import type { Saturation } from './usage.ts';

/** What was asked of a run. */
export type Asked = Readonly<{
  devices: number;
  rate: number;
  shape: string;
  arrivals: string;
  seed: string;
  seconds: number;
  warmUpS: number;
  workers: number;
  /** Every so-manieth receipt was verified. */
  verifyEach: number;
  /** The bound of the 99th percentile, ms; undefined for none. */
  p99Ms: number | undefined;
}>;

/** What a run has brought, for the report. */
export type Outcome = Readonly<{
  asked: Asked;
  /** Of the broker. */
  broker: string;
  points: readonly Point[];
  totals: Totals;
  ended: Ended;
  verdict: Verdict;
  saturation: Saturation;
  /** From due to receipt, and from due to sent; µs at percentages. */
  latencies: Percentiles;
  lateness: Percentiles;
  memory: Memory;
  /** What each process used, for each payment that ended. */
  costs: readonly Cost[];
}>;

/** Rising; the last row is 100 %, the most. */
export type Percentiles = readonly (readonly [percent: number, us: number])[];

/** KiB for each device, from before it was connected until all were; and MB at the end. */
export type Memory = Readonly<{ workerKb: number; brokerKb: number; bridgeKb: number }>;

/** µs of processor time for each payment, all threads and the main one alone. */
export type Cost = Readonly<{ name: string; cpuUs: number; mainUs: number }>;

export type Ended = Readonly<{
  due: number;
  sent: number;
  /** Nothing in the made-up site forbids a payment: a refusal is what could not be carried. */
  refused: number;
  /** Payments that were paid when the load had been over for FLEET_SETTLE_MS. */
  inTime: number;
  comparison: Comparison;
  /** Differences that the ledger's own recount found. */
  differences: number;
  p99Ms: number;
  isAborted: boolean;
}>;

export type Verdict = Readonly<{
  twice: number;
  lost: number;
  waiting: number;
  /** Everything that is wrong, in words, the worst first. */
  faults: readonly string[];
  /** How the command ends: money gone wrong comes before all else. */
  exit: 'ok' | 'aborted' | 'failed' | 'safety';
}>;

/** So much of what was due must have its receipt in time. */
export const CARRIED_SHARE = 0.99;

export function verdictOf({ p99Ms: bound }: Pick<Asked, 'p99Ms'>, ended: Ended): Verdict {
  const { comparison, differences, due, sent, refused, inTime, p99Ms, isAborted } = ended;
  const { twice, unpaid, refusedButMoved, foreign, wrongAmounts } = comparison;
  const waiting = comparison.openMoved + comparison.openUnmoved;
  const wrong = countsIn([
    [twice, 'moved money twice'],
    [unpaid, 'were told to be paid, and no money moved'],
    [refusedButMoved, 'were refused, and money moved'],
    [foreign, 'in the books belong to no payment of this run'],
    [wrongAmounts, 'moved another amount than was asked'],
    [differences, 'differences are in the books of the ledger'],
  ]);
  const short = countsIn([
    [refused, 'were refused, although nothing forbids them'],
    [waiting, `had no final receipt ${FLEET_PATIENCE_MS / 1000} s after the load`],
  ]);
  if (!isAborted) {
    if (due === 0) short.push('no payment was due');
    short.push(...countsIn([[due - sent, 'were due and could not be sent']]));
    if (inTime < due * CARRIED_SHARE) {
      const share = `${((inTime / due) * 100).toFixed(1)} %`;
      short.push(`the rate was not carried: ${share} were paid when the load ended`);
    }
  }
  if (bound !== undefined && p99Ms > bound) {
    short.push(`the 99th percentile is ${p99Ms.toFixed(0)} ms, more than ${bound}`);
  }
  const faulty = wrong.length > 0 ? 'safety' : short.length > 0 ? 'failed' : undefined;
  const money = { twice, lost: unpaid, waiting };
  return Object.freeze({
    ...money,
    faults: Object.freeze([...wrong, ...short]),
    exit: faulty ?? (isAborted ? 'aborted' : 'ok'),
  });
}

function countsIn(rows: readonly (readonly [count: number, what: string])[]): string[] {
  return rows.flatMap(([count, what]) => (count > 0 ? [`${count} ${what}`] : []));
}
