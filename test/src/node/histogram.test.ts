// The histogram of times. Method: against sorted lists, to the three digits that it promises.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { HISTOGRAM_US_MAX } from '../../../src/limits.ts';
import { createHistogram } from '../../../src/node/histogram.ts';

test('has the percentiles of a sorted list, to three digits', () => {
  const times = fc.array(fc.integer({ min: 1, max: 100_000_000 }), { minLength: 1 });
  const percent = fc.constantFrom(10, 50, 90, 99, 99.9, 100);
  fc.assert(
    fc.property(times, percent, (all, asked) => {
      const histogram = createHistogram();
      for (const us of all) histogram.record(us);
      const sorted = all.toSorted((a, b) => a - b);
      // HdrHistogram takes the nearest rank: of ten times the 94th percentile is the ninth.
      const rank = Math.max(1, Math.floor((sorted.length * asked) / 100 + 0.5));
      const exact = sorted[rank - 1]!;
      const told = histogram.percentile(asked);
      expect(Math.abs(told - exact)).toBeLessThanOrEqual(exact / 1000 + 1);
      expect(histogram.count()).toBe(all.length);
    }),
  );
});

test('keeps what is below and above its range at the ends, and forgets when it is told', () => {
  const histogram = createHistogram();
  expect([histogram.percentile(99), histogram.max()]).toEqual([0, 0]);
  histogram.record(0);
  histogram.record(0.4);
  histogram.record(HISTOGRAM_US_MAX * 2);
  expect(histogram.count()).toBe(3);
  expect(histogram.percentile(50)).toBe(1);
  expect(histogram.percentile(100)).toBeGreaterThan(HISTOGRAM_US_MAX * 0.999);
  histogram.reset();
  expect([histogram.count(), histogram.percentile(50), histogram.max()]).toEqual([0, 0, 0]);
});
