// Time on a device: told by the bridge, carried by the monotonic clock, never stepping back.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { TICK_USE_MS } from '../../src/limits.ts';
import type { Tick } from '../../src/objects/tick.ts';
import { createTime } from '../../device/time.ts';

function start() {
  let elapsedMs = 0;
  let wallMs = 0;
  const time = createTime({ nowMs: () => wallMs, monotonicMs: () => elapsedMs });
  return { time, pass: (ms: number) => (elapsedMs += ms), wall: (ms: number) => (wallMs = ms) };
}

const tick = (iat: number, byte = 1): Tick => ({ iat, nonce: new Uint8Array(8).fill(byte) });

test('before the boot answer there is no time, and a broadcast is not believed', () => {
  const { time } = start();
  time.hear(tick(1_000));
  expect(time.trustedMs()).toBeUndefined();
  expect(time.nonce()).toBeUndefined();
});

test('after it time goes on by the monotonic clock, whatever the wall clock does', () => {
  const { time, pass, wall } = start();
  time.boot(tick(1_000));
  pass(1_500);
  wall(-5_000_000);
  expect(time.trustedMs()).toBe(1_001_500);
  time.hear(tick(1_010, 2));
  expect(time.trustedMs()).toBe(1_010_000);
  expect(time.nonce()).toEqual(new Uint8Array(8).fill(2));
});

test('an old tick changes neither time nor nonce', () => {
  const { time } = start();
  time.boot(tick(1_000));
  time.hear(tick(1_000 - TICK_USE_MS / 2_000, 2));
  expect(time.trustedMs()).toBe(1_000_000);
  expect(time.nonce()).toEqual(new Uint8Array(8).fill(1));
});

test('a tick for one key is no broadcast', () => {
  const { time } = start();
  time.boot(tick(1_000));
  time.hear({ ...tick(2_000, 2), audience: 'ab'.repeat(32) });
  expect(time.trustedMs()).toBe(1_000_000);
  expect(time.nonce()).toEqual(new Uint8Array(8).fill(1));
});

test('a nonce is used up to its age, and counted from when it was made', () => {
  const { time, pass } = start();
  time.boot(tick(1_000));
  pass(TICK_USE_MS - 1);
  expect(time.nonce()).toBeDefined();
  pass(1);
  expect(time.nonce()).toBeUndefined();
  // This one was on its way for 30 seconds.
  time.hear(tick(1_000 + TICK_USE_MS / 1_000 - 30, 3));
  pass(TICK_USE_MS - 30_001);
  expect(time.nonce()).toEqual(new Uint8Array(8).fill(3));
  pass(1);
  expect(time.nonce()).toBeUndefined();
});

test('an overtaken tick does not replace a newer nonce', () => {
  const { time, pass } = start();
  time.boot(tick(1_000));
  pass(20_000);
  time.hear(tick(1_020, 2));
  time.hear(tick(1_010, 3));
  expect(time.nonce()).toEqual(new Uint8Array(8).fill(2));
});

test('time never steps back, whatever verified ticks come in whatever order', () => {
  const steps = fc.array(
    fc.record({
      how: fc.constantFrom('hear', 'boot'),
      iat: fc.integer({ min: 0, max: 10_000 }),
      waitMs: fc.integer({ min: 0, max: 100_000 }),
    }),
    { maxLength: 40 },
  );
  fc.assert(
    fc.property(steps, (all) => {
      const { time, pass } = start();
      let last = -Infinity;
      for (const { how, iat, waitMs } of all) {
        pass(waitMs);
        if (how === 'boot') time.boot(tick(iat));
        else time.hear(tick(iat));
        const now = time.trustedMs() ?? -Infinity;
        expect(now).toBeGreaterThanOrEqual(last);
        last = now;
      }
    }),
  );
});
