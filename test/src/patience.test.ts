/** Waiting with a limit. */
import { expect, test } from 'vitest';
import { within } from '../../src/patience.ts';
import type { Timers } from '../../src/platform.ts';

/** A timer that the test fires, and a count of those still set. */
function fakeTimers() {
  const set = new Set<() => void>();
  const timers: Timers = {
    after(_ms, run) {
      set.add(run);
      return () => void set.delete(run);
    },
    soon: (run) => run(),
  };
  return { timers, set };
}

test('the value, and the timer is gone', async () => {
  const { timers, set } = fakeTimers();
  expect(await within(timers, 10, Promise.resolve('here'))).toBe('here');
  await Promise.resolve();
  expect(set.size).toBe(0);
});

test('undefined when it takes too long', async () => {
  const { timers, set } = fakeTimers();
  const answer = within(timers, 10, new Promise<string>(() => {}));
  for (const run of set) run();
  expect(await answer).toBeUndefined();
});

test('a failure stays one, and the timer is gone', async () => {
  const { timers, set } = fakeTimers();
  await expect(within(timers, 10, Promise.reject(new Error('no')))).rejects.toThrow('no');
  await Promise.resolve();
  expect(set.size).toBe(0);
});
