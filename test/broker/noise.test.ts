/** How often the bridge answers what it cannot verify. */
import { expect, test } from 'vitest';
import { createNoise } from '../../broker/noise.ts';
import { BAD_ANSWERS_IN_ALL_PER_S, BAD_ANSWERS_PER_S } from '../../src/limits.ts';

test('few per device, few in all, and anew in the next second', () => {
  let nowMs = 5_000;
  const noise = createNoise({ nowMs: () => 0, monotonicMs: () => nowMs });
  const asked = (device: string, times: number) =>
    Array.from({ length: times }, () => noise.mayTell(device)).filter(Boolean).length;
  expect(asked('one', 10)).toBe(BAD_ANSWERS_PER_S);
  let others = 0;
  for (let i = 0; i < 1_000; i++) others += asked(`name-${i}`, 1);
  expect(others).toBe(BAD_ANSWERS_IN_ALL_PER_S - BAD_ANSWERS_PER_S);
  nowMs += 1_000;
  expect(asked('one', 10)).toBe(BAD_ANSWERS_PER_S);
});
