/**
 * When each payment is due: the schedule of one worker, computed before anything is sent.
 *
 * Open loop: the schedule knows the profile and chance and nothing else. A payment that could not
 * be sent when it was due is still timed from then, so a system that stalls cannot make its own
 * load smaller and its latencies better (no coordinated omission).
 */
import type { Chance } from '../chance.ts';
import { type Profile, timeOf } from './profile.ts';

/** `even`: as a metronome. `random`: as independent people come (a Poisson process). */
export const ARRIVALS = ['even', 'random'] as const;
export type Arrivals = (typeof ARRIVALS)[number];

/** Which of several workers this is: each takes its part of one load. */
export type Part = Readonly<{ index: number; of: number }>;

/** The moments in ms from the start, in order; undefined after the last one, for ever. */
export function scheduleOf(
  profile: Profile,
  arrivals: Arrivals,
  { index, of }: Part,
  chance: Chance,
): () => number | undefined {
  // Counted in payments of the whole load, of which this worker takes every `of`-th one.
  let count = 0;
  let isFirst = true;
  return () => {
    if (arrivals === 'random') count += of * exponential(chance);
    else count += isFirst ? index + 0.5 : of;
    isFirst = false;
    const atS = count > profile.total ? undefined : timeOf(profile, count);
    return atS === undefined ? undefined : atS * 1000;
  };
}

/** A gap between independent events of which one is to be expected in a unit of time. */
function exponential(chance: Chance): number {
  return -Math.log((chance.below(RANGE) + 1) / RANGE);
}

const RANGE = 2 ** 32;
