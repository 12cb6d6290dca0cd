/**
 * A high dynamic range histogram: counts of times with three significant digits from a microsecond
 * to an hour, in fixed memory (about 140 kB), however many are recorded.
 *
 * It is HdrHistogram itself, which Node brings for its own measurements. A package would add only
 * that it can be sent to another process; whoever measures in several sends the times instead.
 */
import { createHistogram as createNative } from 'node:perf_hooks';
import { HISTOGRAM_US_MAX } from '../limits.ts';
import type { Histogram } from '../platform.ts';

export function createHistogram(): Histogram {
  const counts = createNative({ lowest: 1, highest: HISTOGRAM_US_MAX, figures: 3 });
  return Object.freeze({
    record: (us: number) => {
      counts.record(Math.min(HISTOGRAM_US_MAX, Math.max(1, Math.round(us))));
    },
    count: () => counts.count,
    percentile: (percent: number) => (counts.count === 0 ? 0 : counts.percentile(percent)),
    max: () => (counts.count === 0 ? 0 : counts.max),
    reset: () => counts.reset(),
  });
}
