/**
 * How many payments a second are due at each moment of a load: a broken line, known beforehand.
 *
 * Because it is a line, the number of payments due until a moment is a closed formula and so is its
 * inverse: arrivals (arrivals.ts) are computed from the plan alone, and no answer of the system can
 * move them. A profile that was steered by what comes back would not be open loop.
 */
import assert from 'node:assert/strict';

/** From one corner to the next the rate changes evenly; two at one time are a jump. */
export type Corner = Readonly<{ atS: number; perSecond: number }>;

export type Profile = Readonly<{
  corners: readonly Corner[];
  durationS: number;
  /** Payments due in all; fractions are those of the formula. */
  total: number;
}>;

export const SHAPES = ['constant', 'ramp', 'step', 'spike', 'day'] as const;
export type Shape = (typeof SHAPES)[number];

/** `peak` payments a second at the most, for `seconds`, after `warmUpS` that lead up to it. */
export function profileOf(shape: Shape, peak: number, seconds: number, warmUpS = 0): Profile {
  const own = CORNERS[shape].map(([at, share]) => ({
    atS: warmUpS + at * seconds,
    perSecond: share * peak,
  }));
  if (warmUpS === 0) return profileFrom(own);
  const first = Math.max(own[0]!.perSecond, peak * WARM_SHARE);
  return profileFrom([{ atS: 0, perSecond: 0 }, { atS: warmUpS, perSecond: first }, ...own]);
}

/** Of corners in the order of their times. */
export function profileFrom(corners: readonly Corner[]): Profile {
  assert(corners.length >= 2 && corners[0]!.atS === 0, 'a profile begins at 0');
  for (const [at, corner] of corners.entries()) {
    assert(corner.perSecond >= 0 && corner.atS >= (corners[at - 1]?.atS ?? 0), 'in order');
  }
  const durationS = corners.at(-1)!.atS;
  const profile = { corners, durationS, total: 0 };
  return Object.freeze({ ...profile, total: dueUntil(profile, durationS) });
}

/** Payments a second that are due at a moment; 0 after the end. */
export function rateAt({ corners, durationS }: Profile, atS: number): number {
  if (atS < 0 || atS > durationS) return 0;
  for (let i = 1; i < corners.length; i++) {
    const [from, to] = [corners[i - 1]!, corners[i]!];
    if (atS > to.atS || from.atS === to.atS) continue;
    const share = (atS - from.atS) / (to.atS - from.atS);
    return from.perSecond + share * (to.perSecond - from.perSecond);
  }
  return 0;
}

/** Payments due until a moment: the area under the line. */
export function dueUntil({ corners }: Pick<Profile, 'corners'>, atS: number): number {
  let area = 0;
  for (let i = 1; i < corners.length; i++) {
    const [from, to] = [corners[i - 1]!, corners[i]!];
    const width = to.atS - from.atS;
    const reached = Math.min(Math.max(atS - from.atS, 0), width);
    if (reached === 0) continue;
    const slope = (to.perSecond - from.perSecond) / width;
    area += from.perSecond * reached + (slope * reached * reached) / 2;
  }
  return area;
}

/** When so many payments are due, in seconds; undefined when that never happens. */
export function timeOf({ corners }: Profile, count: number): number | undefined {
  let left = count;
  for (let i = 1; i < corners.length; i++) {
    const [from, to] = [corners[i - 1]!, corners[i]!];
    const width = to.atS - from.atS;
    const area = ((from.perSecond + to.perSecond) / 2) * width;
    if (left > area || area === 0) {
      left -= area;
      continue;
    }
    const slope = (to.perSecond - from.perSecond) / width;
    // Of left = r·x + s·x²/2 the root that also holds for s = 0, without cancelling digits.
    const root = Math.sqrt(Math.max(0, from.perSecond * from.perSecond + 2 * slope * left));
    const x = left === 0 ? 0 : (2 * left) / (from.perSecond + root);
    return from.atS + Math.min(Math.max(x, 0), width);
  }
  return undefined;
}

/** The share of the peak at which a profile that begins with nothing is warmed up. */
const WARM_SHARE = 0.1;

/**
 * Payments of a town's cafés and shops by the hour, as a share of the busiest: people get up, buy
 * breakfast, lunch and then dinner.
 */
const HOURS = [3, 2, 1, 1, 2, 6, 20, 52, 60, 42, 40, 72, 100, 78, 46, 44, 52, 70, 84, 66, 42, 26];
const DAY = [...HOURS, 14, 7, 3].map((percent, hour) => [hour / 24, percent / 100] as const);

/** When (as a share of the time) and how much (of the peak). */
const CORNERS: Readonly<Record<Shape, readonly (readonly [at: number, share: number])[]>> = {
  constant: [
    [0, 1],
    [1, 1],
  ],
  ramp: [
    [0, 0],
    [1, 1],
  ],
  step: [0.25, 0.5, 0.75, 1].flatMap((share) => [
    [share - 0.25, share] as const,
    [share, share] as const,
  ]),
  spike: [
    [0, 0.2],
    [0.45, 0.2],
    [0.45, 1],
    [0.55, 1],
    [0.55, 0.2],
    [1, 0.2],
  ],
  day: DAY,
};
