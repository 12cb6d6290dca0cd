/**
 * The time of a world: one queue of everything that is still to happen.
 *
 * It stands still while anything runs. One event runs, then everything that follows from it without
 * time (one turn of the real loop, in which all promises that can settle do), then the next event;
 * events of the same moment run in the order in which they were put there. A machine has a clock of
 * its own, which starts somewhere, drifts and is put forward and back.
 */
import assert from 'node:assert/strict';
import type { Clock, Timers } from '../src/platform.ts';

/** True time of a world in milliseconds since it began; nobody inside sees it. */
export type Timeline = Timers &
  Readonly<{
    nowMs: () => number;
    /** Runs the next event and what follows from it; false when there is none until `untilMs`. */
    step: (untilMs: number) => Promise<boolean>;
    /** Runs every event up to and at `untilMs`, where time then stands. */
    run: (untilMs: number) => Promise<void>;
    /** Lets happen what needs no time. */
    settle: () => Promise<void>;
  }>;

/** A queue without events. `turn` calls back once all promises that can settle have. */
export function createTimeline(turn: Timers['soon']): Timeline {
  const queue = createQueue();
  let nowMs = 0;
  let sequence = 0;

  const settle = () => new Promise<void>(turn);

  function after(ms: number, run: () => void): () => void {
    const event: Event = { atMs: nowMs + Math.max(0, ms), sequence: sequence++, run };
    queue.push(event);
    return () => void (event.run = undefined);
  }

  /** Not async: of all that a world does this is done most often. */
  function step(untilMs: number): Promise<boolean> {
    const event = queue.pop(untilMs);
    if (!event) return NOTHING;
    nowMs = event.atMs;
    event.run!();
    return new Promise((resolve) => turn(() => resolve(true)));
  }

  return Object.freeze({
    nowMs: () => nowMs,
    after,
    soon: (run: () => void) => void after(0, run),
    step,
    async run(untilMs: number) {
      assert(untilMs >= nowMs, 'time does not go back');
      while (await step(untilMs));
      nowMs = untilMs;
    },
    settle,
  });
}

const NOTHING = Promise.resolve(false);

/** A machine's clock and the timers that follow its quartz. */
export type MachineClock = Clock &
  Readonly<{
    timers: Timers;
    /** Puts the wall clock forward, or back when negative; its monotonic one never jumps. */
    jump: (ms: number) => void;
    /** From now on it gains so many millionths of the time that passes. */
    drift: (ppm: number) => void;
  }>;

/** A clock that says `startMs` now. */
export function createMachineClock(
  timeline: Timeline,
  { startMs, ppm = 0 }: Readonly<{ startMs: number; ppm?: number }>,
): MachineClock {
  let wallMs = startMs;
  let rate = 1 + ppm / 1e6;
  let sinceMs = timeline.nowMs();
  let passedMs = 0;
  const monotonicMs = () => passedMs + (timeline.nowMs() - sinceMs) * rate;

  return Object.freeze({
    // Whole milliseconds, as every system gives them.
    nowMs: () => Math.floor(wallMs + monotonicMs()),
    monotonicMs,
    timers: Object.freeze({
      after: (ms: number, run: () => void) => timeline.after(asTaken(ms) / rate, run),
      soon: timeline.soon,
    }),
    jump: (ms: number) => void (wallMs += ms),
    drift(next: number) {
      passedMs = monotonicMs();
      sinceMs = timeline.nowMs();
      rate = 1 + next / 1e6;
    },
  });
}

/** As Node's timers take a time: whole milliseconds, and 1 for what is less or does not fit. */
function asTaken(ms: number): number {
  return ms >= 1 && ms <= 2 ** 31 - 1 ? Math.trunc(ms) : 1;
}

/** `run` is undefined once it was called off. */
type Event = { atMs: number; sequence: number; run: (() => void) | undefined };

/** A binary heap, the next event at its top; those called off leave when they get there. */
function createQueue() {
  const heap: Event[] = [];
  const isBefore = (a: Event, b: Event) =>
    a.atMs < b.atMs || (a.atMs === b.atMs && a.sequence < b.sequence);

  function push(event: Event): void {
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(event, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = event;
  }

  function take(): void {
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
  }

  return {
    push,
    /** Takes out the next event that is due at `untilMs` or before. */
    pop(untilMs: number): Event | undefined {
      for (;;) {
        const first = heap[0];
        if (!first || (first.run && first.atMs > untilMs)) return undefined;
        take();
        if (first.run) return first;
      }
    },
  };
}
