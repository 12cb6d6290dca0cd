// Method: the lock alone with a clock of the test, and a whole device on the stage.
import { expect, test } from 'vitest';
import { createUpdates } from '../../device/updates.ts';
import { UPDATE_HOLD_MS } from '../../src/limits.ts';

function setUp() {
  let nowMs = 0;
  const updates = createUpdates({ nowMs: () => 0, monotonicMs: () => nowMs });
  return { updates, wait: (ms: number) => void (nowMs += ms) };
}

test('a program is not replaced while somebody is in the middle of something', () => {
  const { updates } = setUp();
  const [first, second] = [updates.begin(), updates.begin()];
  expect(updates.ask()).toBe(false);
  first();
  first(); // Told twice, it counts once.
  expect(updates.ask()).toBe(false);
  second();
  expect(updates.ask()).toBe(true);
});

test('a refusal to update holds nobody back', () => {
  const { updates } = setUp();
  const end = updates.begin();
  expect(updates.ask()).toBe(false);
  end();
  expect(updates.begin).not.toThrow();
});

test('after a yes nothing new begins, until the restart has had its time', () => {
  const { updates, wait } = setUp();
  expect(updates.ask()).toBe(true);
  wait(UPDATE_HOLD_MS - 1);
  expect(updates.begin).toThrow(expect.objectContaining({ reason: 'unavailable' }));
  wait(1);
  updates.begin()();
  expect(updates.ask()).toBe(true);
});
