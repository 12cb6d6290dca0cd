// The schedule of payments. Method: fast-check draws profiles, workers and seeds; what must hold is
// the number of payments, their order, and that nothing but the plan decides when they are due.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createChance } from '../../../simulator/chance.ts';
import { type Arrivals, scheduleOf } from '../../../simulator/fleet/arrivals.ts';
import { type Profile, SHAPES, dueUntil, profileOf } from '../../../simulator/fleet/profile.ts';

const profiles = fc
  .tuple(
    fc.constantFrom(...SHAPES),
    fc.integer({ min: 1, max: 300 }),
    fc.integer({ min: 1, max: 20 }),
    fc.integer({ min: 0, max: 3 }),
  )
  .map(([shape, peak, seconds, warmUpS]) => profileOf(shape, peak, seconds, warmUpS));
const workers = fc.integer({ min: 1, max: 5 });

function all(profile: Profile, arrivals: Arrivals, of: number, seed: string): number[][] {
  return Array.from({ length: of }, (_, index) => {
    const next = scheduleOf(profile, arrivals, { index, of }, createChance(`${seed} ${index}`));
    const times: number[] = [];
    for (let at = next(); at !== undefined; at = next()) times.push(at);
    expect(next()).toBeUndefined();
    return times;
  });
}

test('even: the workers together have each payment once, when the profile says', () => {
  fc.assert(
    fc.property(profiles, workers, (profile, of) => {
      const times = all(profile, 'even', of, '')
        .flat()
        .sort((a, b) => a - b);
      expect(Math.abs(times.length - profile.total)).toBeLessThanOrEqual(1);
      for (const [k, atMs] of times.entries()) {
        expect(dueUntil(profile, atMs / 1000)).toBeCloseTo(k + 0.5, 3);
      }
    }),
    { numRuns: 30 },
  );
});

test('random: as many as are expected, in order, the same for the same seed', () => {
  fc.assert(
    fc.property(profiles, workers, fc.string(), (profile, of, seed) => {
      const parts = all(profile, 'random', of, seed);
      const count = parts.flat().length;
      // Six standard deviations of a Poisson number.
      expect(Math.abs(count - profile.total)).toBeLessThanOrEqual(6 * Math.sqrt(profile.total) + 6);
      for (const times of parts) {
        for (const [k, atMs] of times.entries()) {
          expect(atMs).toBeGreaterThanOrEqual(times[k - 1] ?? 0);
        }
      }
      expect(all(profile, 'random', of, seed)).toEqual(parts);
    }),
    { numRuns: 30 },
  );
});

test('random gaps are those of independent people: as irregular as they are long', () => {
  const [times] = all(profileOf('constant', 1_000, 20), 'random', 1, 'gaps');
  const gaps = times!.map((at, k) => at - (times![k - 1] ?? 0));
  const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
  const variance = gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length;
  expect(mean).toBeGreaterThan(0.97);
  expect(mean).toBeLessThan(1.03);
  expect(Math.sqrt(variance) / mean).toBeGreaterThan(0.95);
  expect(Math.sqrt(variance) / mean).toBeLessThan(1.05);
});

test('open loop: whoever asks late for the next one is told the same time', () => {
  const profile = profileOf('spike', 50, 4);
  const [times] = all(profile, 'random', 1, 'late');
  const slow = scheduleOf(profile, 'random', { index: 0, of: 1 }, createChance('late 0'));
  // There is no clock to be read and no answer to wait for: the function has no such argument.
  expect(scheduleOf.length).toBe(4);
  expect(times!.map(() => slow())).toEqual(times);
});
