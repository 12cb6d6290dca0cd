/**
 * Virtual time in a hurry: whenever nothing else is left to do, the next timer is due. A test
 * awaits as in real time, hours pass at once, and the order of all things is the same each run.
 */
import type { Clock, Timers } from '../../../src/platform.ts';

export type Time = Readonly<{
  clock: Clock;
  timers: Timers;
  /** Lets `ms` pass. */
  pass: (ms: number) => Promise<void>;
  /** Timers that wait. */
  due: () => number;
}>;

export function createTime(startMs = Date.UTC(2026, 10, 20)): Time {
  let nowMs = startMs;
  let count = 0;
  let isTurning = false;
  const due: { atMs: number; number: number; run: () => void }[] = [];

  /** One timer at each turn of the loop, so that every promise it settles is heard first. */
  function turn(): void {
    const next = due.shift();
    if (next === undefined) {
      isTurning = false;
      return;
    }
    nowMs = Math.max(nowMs, next.atMs);
    next.run();
    setImmediate(turn);
  }

  function after(ms: number, run: () => void): () => void {
    const timer = { atMs: nowMs + ms, number: count++, run };
    due.push(timer);
    due.sort((one, other) => one.atMs - other.atMs || one.number - other.number);
    if (!isTurning) setImmediate(turn);
    isTurning = true;
    return () => {
      const at = due.indexOf(timer);
      if (at >= 0) due.splice(at, 1);
    };
  }

  return Object.freeze({
    clock: { nowMs: () => nowMs, monotonicMs: () => nowMs - startMs },
    timers: { after, soon: (run: () => void) => void after(0, run) },
    pass: (ms: number) => new Promise<void>((resolve) => void after(ms, resolve)),
    due: () => due.length,
  });
}
