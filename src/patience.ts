/** Waiting with a limit: nothing here waits without one, and no timer outlives what it was for. */
import type { Timers } from './platform.ts';

/** The value of `promise`, or undefined when that takes longer than `ms`. */
export function within<T>(timers: Timers, ms: number, promise: Promise<T>): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const cancel = timers.after(ms, () => resolve(undefined));
    promise.then(resolve, reject).finally(cancel);
  });
}
