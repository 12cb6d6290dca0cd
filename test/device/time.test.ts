// Time on a device: told by the bridge, carried by the monotonic clock, never stepping back.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { CLOCK_SKEW_S, TICK_USE_MS, TIME_HOLDS_MS } from '../../src/limits.ts';
import type { Tick } from '../../src/objects/tick.ts';
import { createTime } from '../../device/time.ts';

function start() {
  let elapsedMs = 0;
  let wallMs = 0;
  const time = createTime({ nowMs: () => wallMs, monotonicMs: () => elapsedMs });
  return {
    time,
    pass: (ms: number) => (elapsedMs += ms),
    wall: (ms: number) => (wallMs = ms),
    /** Both clocks go on, `wall` by another amount when one of them stops or leaps. */
    both(ms: number, wall = ms) {
      elapsedMs += ms;
      wallMs += wall;
    },
  };
}

const SKEW_MS = CLOCK_SKEW_S * 1000;

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

test('a time holds without a tick up to its limit, and again after the next', () => {
  const { time, both } = start();
  expect([time.heldMs(), time.awayMs()], 'before any tick').toEqual([undefined, undefined]);
  time.boot(tick(1_000));
  both(TIME_HOLDS_MS);
  expect(time.heldMs()).toBe(1_000_000 + TIME_HOLDS_MS);
  expect(time.awayMs()).toBe(TIME_HOLDS_MS);
  both(1);
  expect(time.heldMs()).toBeUndefined();
  expect(time.trustedMs(), 'what is done online goes on').toBe(1_000_001 + TIME_HOLDS_MS);
  time.boot(tick(1_001 + TIME_HOLDS_MS / 1_000));
  expect(time.heldMs()).toBe(1_001_000 + TIME_HOLDS_MS);
  expect(time.awayMs()).toBe(0);
});

test('it outlasts a whole day without the bridge, at the worst drift', () => {
  expect(TIME_HOLDS_MS).toBeGreaterThan(24 * 3_600_000);
});

test.each([
  ['a wall clock set forward', 0, SKEW_MS],
  ['a wall clock set back by years', 0, -SKEW_MS],
  ['a sleep that stopped the monotonic clock', 0, SKEW_MS],
  ['a monotonic clock that leapt', SKEW_MS, 0],
])('%s: up to the tolerance it holds, beyond it does not', (_what, monotonicMs, wallMs) => {
  const { time, both } = start();
  time.boot(tick(1_000));
  both(5_000);
  both(monotonicMs, wallMs);
  expect(time.heldMs()).toBe(time.trustedMs());
  both(Math.sign(monotonicMs), Math.sign(wallMs));
  expect(time.heldMs()).toBeUndefined();
  expect(time.nonce(), 'never stops what is online').toBeDefined();
});

test('a sleep that both clocks counted is just time', () => {
  const { time, both } = start();
  time.boot(tick(1_000));
  both(8 * 3_600_000);
  expect(time.heldMs()).toBe(1_000_000 + 8 * 3_600_000);
});

test('a wall clock that is years off all the time changes nothing', () => {
  const { time, both, wall } = start();
  wall(-60 * 365 * 86_400_000);
  time.boot(tick(1_000));
  both(60_000);
  expect(time.heldMs()).toBe(1_060_000);
});

test('a tick far behind never steps us back, and what is fresh is dated by it', () => {
  const { time, both } = start();
  time.boot(tick(100_000));
  both(7_200_000, 0);
  time.boot(tick(100_000, 2));
  expect(time.trustedMs(), 'not back').toBe(107_200_000);
  expect(time.freshMs(), 'signed under its nonce').toBe(100_000_000);
  expect(time.heldMs(), 'two hours ahead of the bridge').toBeUndefined();
  both(1_000);
  expect(time.freshMs()).toBe(100_001_000);
  both(TICK_USE_MS);
  expect(time.freshMs(), 'with its nonce').toBeUndefined();
});

test('a time that holds is right to the tolerance, however clocks drift and ticks are late', () => {
  const steps = fc.array(
    fc.record({
      how: fc.constantFrom('none', 'hear', 'boot'),
      /** How late the tick arrives; the answer to a boot never later than its question allows. */
      lateMs: fc.integer({ min: 0, max: 10_000 }),
      waitMs: fc.integer({ min: 0, max: 9 * 3_600_000 }),
      driftPpm: fc.integer({ min: -500, max: 500 }),
    }),
    { maxLength: 30 },
  );
  fc.assert(
    fc.property(steps, (all) => {
      const { time, both } = start();
      let realMs = 1_000_000;
      let last = -Infinity;
      for (const { how, lateMs, waitMs, driftPpm } of all) {
        realMs += waitMs;
        both(Math.floor(waitMs * (1 + driftPpm / 1e6)));
        const told = tick(Math.floor((realMs - lateMs) / 1000));
        if (how === 'hear') time.hear(told);
        if (how === 'boot') time.boot(told);
        const held = time.heldMs();
        if (held === undefined) continue;
        // A second is lost in the tick, ten on its way.
        expect(Math.abs(held - realMs)).toBeLessThanOrEqual(2 * SKEW_MS + 11_000);
        expect(held).toBeGreaterThanOrEqual(last);
        last = held;
      }
    }),
  );
});
