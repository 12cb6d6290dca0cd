// The queue of events, and clocks that drift and jump over it.
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { createMachineClock, createTimeline } from '../../simulator/time.ts';
import { timers } from '../../src/node/platform.ts';

test('events run by time, and those of one moment in the order they were put there', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.nat(9), { maxLength: 60 }), async (delays) => {
      const timeline = createTimeline(timers.soon);
      const ran: (readonly [number, number])[] = [];
      delays.forEach((ms, n) => timeline.after(ms, () => ran.push([timeline.nowMs(), n])));
      await timeline.run(20);
      const expected = delays.map((ms, n) => [ms, n] as const);
      expect(ran).toEqual(expected.sort(([a, m], [b, n]) => a - b || m - n));
      expect(timeline.nowMs()).toBe(20);
    }),
    { numRuns: 50 },
  );
});

test('what follows from an event without time is done before the next one', async () => {
  const timeline = createTimeline(timers.soon);
  const seen: string[] = [];
  timeline.after(1, () => {
    void (async () => {
      for (let i = 0; i < 100; i++) await Promise.resolve();
      seen.push(`first at ${timeline.nowMs()}`);
      timeline.soon(() => seen.push(`soon at ${timeline.nowMs()}`));
    })();
  });
  timeline.after(1, () => seen.push('second'));
  timeline.after(2, () => seen.push('third'));
  await timeline.run(5);
  expect(seen).toEqual(['first at 1', 'second', 'soon at 1', 'third']);
});

test('what was called off does not run, also when it is called off at its own moment', async () => {
  const timeline = createTimeline(timers.soon);
  const seen: string[] = [];
  const cancel = timeline.after(2, () => seen.push('called off before'));
  const late = timeline.after(3, () => seen.push('called off at its moment'));
  timeline.after(1, cancel);
  timeline.after(1, () => timeline.after(2, () => seen.push('kept')));
  const cancels = timeline.after(3, () => {});
  cancels();
  timeline.after(2, late);
  await timeline.run(10);
  expect(seen).toEqual(['kept']);
});

test('a step is one event; none before its time', async () => {
  const timeline = createTimeline(timers.soon);
  timeline.after(5, () => {});
  expect(await timeline.step(4)).toBe(false);
  expect(timeline.nowMs()).toBe(0);
  expect(await timeline.step(5)).toBe(true);
  expect(timeline.nowMs()).toBe(5);
  expect(await timeline.step(Infinity)).toBe(false);
});

test('a clock that is put back goes on; its monotonic never jumps', async () => {
  const timeline = createTimeline(timers.soon);
  await timeline.run(100);
  const clock = createMachineClock(timeline, { startMs: 1_000_000 });
  await timeline.run(600);
  clock.jump(-5_000);
  expect([clock.nowMs(), clock.monotonicMs()]).toEqual([995_500, 500]);
  await timeline.run(700);
  expect([clock.nowMs(), clock.monotonicMs()]).toEqual([995_600, 600]);
});

test('a quartz that runs fast gains, and its timers come early', async () => {
  const timeline = createTimeline(timers.soon);
  const clock = createMachineClock(timeline, { startMs: 0, ppm: 100_000 });
  let firedMs = 0;
  clock.timers.after(1_100, () => (firedMs = timeline.nowMs()));
  await timeline.run(1_000);
  expect(Math.round(firedMs)).toBe(1_000);
  expect(clock.nowMs()).toBe(1_100);
  clock.drift(0);
  await timeline.run(2_000);
  expect(clock.nowMs()).toBe(2_100);
});
