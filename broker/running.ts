/**
 * The runs that this bridge is working on: each at most once, with its waits, which news about the
 * run cuts short and closing the bridge ends.
 */
import type { Timers } from '../src/platform.ts';

/** The bridge is stopping; what was going on is on disk and is continued by the next start. */
export class Closed extends Error {}

export type Running = Readonly<{
  has: (id: string) => boolean;
  ids: () => readonly string[];
  count: () => number;
  /** How many of one device's. */
  countOf: (device: string) => number;
  /** Works on a run unless that is being done already; resolves when it has ended. */
  start: (id: string, device: string, work: () => Promise<void>) => Promise<void>;
  /** The pending receipt that was told about a run, so that a repeat gets the same bytes. */
  told: (id: string) => Uint8Array | undefined;
  tell: (id: string, receipt: Uint8Array) => void;
  /** Waits; ends early when there is news of the run, and with Closed when the bridge closes. */
  pause: (id: string, ms: number) => Promise<void>;
  /** There is news of a run: its wait is over. */
  wake: (id: string) => void;
  /** Ends every wait; resolves when all work has ended. */
  close: () => Promise<unknown>;
}>;

type Entry = {
  device: string;
  ended: Promise<void>;
  told: Uint8Array | undefined;
  isNews: boolean;
  end: ((error?: Error) => void) | undefined;
};

export function createRunning(timers: Timers): Running {
  const entries = new Map<string, Entry>();
  let isClosed = false;

  return {
    has: (id) => entries.has(id),
    ids: () => [...entries.keys()],
    count: () => entries.size,
    countOf: (device) => [...entries.values()].filter((one) => one.device === device).length,
    async start(id, device, work) {
      if (entries.has(id)) return;
      const entry: Entry = {
        device,
        ended: Promise.resolve(),
        told: undefined,
        isNews: false,
        end: undefined,
      };
      entries.set(id, entry);
      entry.ended = work().finally(() => entries.delete(id));
      await entry.ended;
    },
    told: (id) => entries.get(id)?.told,
    tell(id, receipt) {
      const entry = entries.get(id);
      if (entry) entry.told = receipt;
    },
    pause(id, ms) {
      const entry = entries.get(id);
      return new Promise((resolve, reject) => {
        if (isClosed || !entry) return reject(new Closed());
        // News that came while the run was being worked on must not be slept over.
        if (entry.isNews) {
          entry.isNews = false;
          return resolve();
        }
        const cancel = timers.after(ms, () => entry.end?.());
        entry.end = (error) => {
          cancel();
          entry.end = undefined;
          entry.isNews = false;
          if (error) reject(error);
          else resolve();
        };
      });
    },
    wake(id) {
      const entry = entries.get(id);
      if (!entry) return;
      entry.isNews = true;
      entry.end?.();
    },
    close() {
      isClosed = true;
      for (const { end } of entries.values()) end?.(new Closed());
      return Promise.allSettled([...entries.values()].map(({ ended }) => ended));
    },
  };
}
