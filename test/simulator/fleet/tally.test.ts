// What several workers tell becomes one. Method: the same times told by one worker and by three.
import { expect, test } from 'vitest';
import type { Told } from '../../../simulator/fleet/message.ts';
import { createPayments } from '../../../simulator/fleet/payments.ts';
import { createTally } from '../../../simulator/fleet/tally.ts';
import { createHistogram } from '../../../src/node/histogram.ts';

function told(times: readonly number[], more: Partial<Told> = {}): Told {
  const counts = { paid: times.length, pending: 0, verified: 0, bad: 0, resent: 1, broken: 0 };
  return {
    ...{ ready: 5, due: times.length, sent: times.length, waiting: 2, held: 1 },
    ...{ latenciesUs: Uint32Array.from(times), latenessUs: Uint32Array.from(times) },
    ...{ ended: new Uint8Array(17 * times.length), refused: {}, counts, loopMs: 3 },
    ...{ isOver: false, isFinished: false },
    ...more,
  };
}

const times = Array.from({ length: 3_000 }, (_, at) => (at + 1) * 100);
const tallyOf = () => createTally(createHistogram, createPayments());

test('the percentiles of three workers are those of all their payments', () => {
  const one = tallyOf();
  one.add(0, told(times));
  const three = tallyOf();
  // The slow third, the middle and the fast one: means of their percentiles would be far off.
  for (const at of [2, 0, 1]) three.add(at, told(times.slice(at * 1_000, (at + 1) * 1_000)));
  for (const percent of [1, 50, 90, 99, 99.9, 100]) {
    expect(three.latencies.percentile(percent)).toBe(one.latencies.percentile(percent));
    expect(three.lateness.percentile(percent)).toBe(one.lateness.percentile(percent));
  }
  expect(three.latencies.percentile(50)).toBeGreaterThan(149_000);
  expect(three.latencies.percentile(50)).toBeLessThan(151_000);
});

test('what is so now is of the last word of each, what happened adds up', () => {
  const tally = tallyOf();
  tally.add(0, told([100], { ready: 1 }));
  tally.add(0, told([100, 200], { ready: 4, refused: { limit_amount: 2 } }));
  tally.add(1, told([300], { ready: 3, refused: { limit_amount: 1, expired: 1 } }));
  const totals = tally.totals();
  expect(totals).toMatchObject({ ready: 7, waiting: 4, held: 2, due: 4, sent: 4, ended: 8 });
  expect(Object.fromEntries(totals.refused)).toEqual({ limit_amount: 3, expired: 1 });
  expect(totals.counts).toMatchObject({ paid: 4, resent: 3 });
});

test('a point is of its interval alone', () => {
  const tally = tallyOf();
  tally.add(0, told([1_000, 2_000], { loopMs: 40 }));
  const first = tally.point(2, 2, undefined, []);
  expect(first).toMatchObject({ due: 1, sent: 1, ended: 1, loopMs: 40, waiting: 3 });
  expect(first.maxUs).toBeGreaterThanOrEqual(2_000);
  tally.add(0, told([50]));
  expect(tally.point(3, 1, undefined, [])).toMatchObject({ due: 1, maxUs: 50, loopMs: 3 });
  expect(tally.point(4, 1, undefined, [])).toMatchObject({ due: 0, ended: 0, p99Us: 0, maxUs: 0 });
  expect(tally.latencies.count()).toBe(3);
});
