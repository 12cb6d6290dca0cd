// Profiles as broken lines. Method: the area is compared with a sum of many thin slices, and the
// inverse with the area, for lines of every form; the named shapes with what they promise.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Profile,
  SHAPES,
  dueUntil,
  profileFrom,
  profileOf,
  rateAt,
  timeOf,
} from '../../../simulator/fleet/profile.ts';

const lines = fc
  .array(fc.tuple(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 2_000 })), {
    minLength: 1,
    maxLength: 8,
  })
  .map((steps) => {
    let atS = 0;
    const rest = steps.map(([width, perSecond]) => ({ atS: (atS += width), perSecond }));
    return profileFrom([{ atS: 0, perSecond: steps[0]![1] }, ...rest]);
  });

describe('any broken line', () => {
  test('has as many payments due as the slices under it', () => {
    fc.assert(
      fc.property(lines, fc.double({ min: 0, max: 1, noNaN: true }), (profile, share) => {
        const untilS = profile.durationS * share;
        expect(dueUntil(profile, untilS)).toBeCloseTo(slices(profile, untilS), -1);
      }),
      { numRuns: 60 },
    );
  });

  test('says when so many are due, and until then so many are', () => {
    fc.assert(
      fc.property(lines, fc.double({ min: 0.001, max: 0.999, noNaN: true }), (profile, share) => {
        const count = profile.total * share;
        if (count === 0) return;
        const atS = timeOf(profile, count)!;
        expect(dueUntil(profile, atS)).toBeCloseTo(count, 4);
      }),
    );
  });

  test('has an end', () => {
    fc.assert(
      fc.property(lines, (profile) => {
        expect(timeOf(profile, profile.total + 1)).toBeUndefined();
        expect(dueUntil(profile, profile.durationS + 9)).toBeCloseTo(profile.total, 6);
        expect(rateAt(profile, profile.durationS + 1)).toBe(0);
      }),
    );
  });
});

/** The area again, by the middle of each of many slices. */
function slices(profile: Profile, untilS: number): number {
  const count = 20_000;
  const width = untilS / count;
  let sum = 0;
  for (let i = 0; i < count; i++) sum += rateAt(profile, (i + 0.5) * width) * width;
  return sum;
}

describe('the shapes', () => {
  // 1,200 a second for 100 s.
  const totals = { constant: 120_000, ramp: 60_000, step: 75_000, spike: 33_600 } as const;
  test.each(Object.entries(totals))('%s: %d', (shape, total) => {
    expect(profileOf(shape as keyof typeof totals, 1_200, 100).total).toBeCloseTo(total, 6);
  });

  test.each(SHAPES)('%s reaches its peak and never more', (shape) => {
    const profile = profileOf(shape, 500, 48);
    const rates = Array.from({ length: 4_801 }, (_, at) => rateAt(profile, at / 100));
    expect(Math.max(...rates)).toBe(500);
    expect(profile.durationS).toBe(48);
  });

  test('a day begins and ends in the night, and is fullest at noon', () => {
    const profile = profileOf('day', 1_000, 240);
    expect([rateAt(profile, 0), rateAt(profile, 120), rateAt(profile, 240)]).toEqual([
      30, 1_000, 30,
    ]);
  });

  test('the time to warm up comes before, from nothing to where the shape begins', () => {
    const profile = profileOf('constant', 100, 10, 4);
    expect(profile.durationS).toBe(14);
    expect([rateAt(profile, 0), rateAt(profile, 2), rateAt(profile, 9)]).toEqual([0, 50, 100]);
    expect(rateAt(profileOf('ramp', 100, 10, 4), 4)).toBe(10);
  });
});
