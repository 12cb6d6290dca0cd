/**
 * What all workers tell, put together: totals, histograms, and one point of the timeline for each
 * interval.
 *
 * A point's times are of the payments that ended in it; that they are counted from when a payment
 * was due is the crew's doing. Two histograms are kept whatever the length of a run: one of the
 * interval, which begins anew, and one of everything.
 */
import type { Histogram } from '../../src/platform.ts';
import type { Counts, Told } from './message.ts';
import type { Payments } from './payments.ts';
import type { Interval, Machine, Use } from './usage.ts';

/** One interval; rates are payments a second, times microseconds. */
export type Point = Interval &
  Readonly<{
    seconds: number;
    due: number;
    sent: number;
    /** Final receipts, paid or refused. */
    ended: number;
    p50Us: number;
    p99Us: number;
    p999Us: number;
    maxUs: number;
    ready: number;
    /** Sent without a final receipt, and due but not sent. */
    waiting: number;
    /** The most that a worker's own loop was late, ms. */
    loopMs: number;
  }>;

export type Totals = Readonly<{
  due: number;
  sent: number;
  ended: number;
  refused: ReadonlyMap<string, number>;
  counts: Counts;
  ready: number;
  waiting: number;
  held: number;
}>;

export type Tally = Readonly<{
  /** Takes in what worker number `from` tells. */
  add: (from: number, told: Told) => void;
  totals: () => Totals;
  /** Ends an interval of these seconds and begins the next one. */
  point: (
    atS: number,
    seconds: number,
    machine: Machine | undefined,
    uses: readonly Use[],
  ) => Point;
  /** The times from due to receipt of what is measured; and from due to sent. */
  latencies: Histogram;
  lateness: Histogram;
}>;

export function createTally(createHistogram: () => Histogram, payments: Payments): Tally {
  const latencies = createHistogram();
  const lateness = createHistogram();
  const current = createHistogram();
  const last = new Map<number, Told>();
  const refused = new Map<string, number>();
  const sums = { due: 0, sent: 0, ended: 0 };
  const counts = { paid: 0, pending: 0, verified: 0, bad: 0, resent: 0, broken: 0 };
  let before = { ...sums };
  let loopMs = 0;

  function totals(): Totals {
    const now = (what: 'ready' | 'waiting' | 'held') =>
      [...last.values()].reduce((sum, told) => sum + told[what], 0);
    return {
      ...{ ...sums, refused, counts: { ...counts } },
      ...{ ready: now('ready'), waiting: now('waiting'), held: now('held') },
    };
  }

  return {
    add(from, told) {
      last.set(from, told);
      sums.due += told.due;
      sums.sent += told.sent;
      for (const name of Object.keys(counts) as (keyof Counts)[]) {
        counts[name] += told.counts[name];
      }
      sums.ended += told.counts.paid;
      for (const [reason, count] of Object.entries(told.refused)) {
        refused.set(reason, (refused.get(reason) ?? 0) + count);
        sums.ended += count;
      }
      for (const us of told.latenciesUs) {
        latencies.record(us);
        current.record(us);
      }
      for (const us of told.latenessUs) lateness.record(us);
      payments.add(told.ended);
      loopMs = Math.max(loopMs, told.loopMs);
    },
    totals,
    point(atS, seconds, machine, uses) {
      const { ready, waiting, held } = totals();
      const perSecond = (what: keyof typeof sums) => (sums[what] - before[what]) / seconds;
      const point = {
        ...{ atS, seconds, machine, uses, ready, loopMs, waiting: waiting + held },
        ...{ due: perSecond('due'), sent: perSecond('sent'), ended: perSecond('ended') },
        perSecond: perSecond('due'),
        p50Us: current.percentile(50),
        p99Us: current.percentile(99),
        p999Us: current.percentile(99.9),
        maxUs: current.max(),
      };
      before = { ...sums };
      loopMs = 0;
      current.reset();
      return Object.freeze(point);
    },
    latencies,
    lateness,
  };
}
