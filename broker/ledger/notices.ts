/**
 * Notices of the ledger: what became of a key, told to the bridge without being asked.
 *
 * A notice is a hint and never the only way to learn an outcome: the bridge asks anyway. So they
 * live in memory only, a crash or a full queue loses some, and nobody waits for them. Of one key at
 * most one is under way at a time, in the order in which they were given.
 */
import type { Clock, Http, Random, Timers } from '../../src/platform.ts';
import {
  NOTICE_ATTEMPTS,
  NOTICE_MS,
  NOTICE_MS_MAX,
  NOTICE_TIMEOUT_MS,
  NOTICES_AT_ONCE,
  NOTICES_MAX,
} from '../../src/limits.ts';
import { signCall } from '../hmac.ts';

/** Where a bridge hears the notices of the backend that it calls `name`. */
export function noticePath(name: string): string {
  return `/v1/notifications/${name}`;
}

export type Notices = Readonly<{
  /**
   * Tells an answer, as JSON. Resolves when it was taken, given up or dropped; never rejects.
   */
  tell: (key: string, answer: unknown) => Promise<void>;
  /** Gives up whatever has not been taken yet. */
  close: () => void;
}>;

/**
 * Notices to the bridge at `url` (no slash at the end), which calls this ledger `name`, signed with
 * the shared secret.
 */
export function createNotices(
  options: Readonly<{
    http: Http;
    timers: Timers;
    random: Random;
    clock: Clock;
    secret: Uint8Array;
    url: string;
    name: string;
  }>,
): Notices {
  const { http, timers, random } = options;
  const url = options.url + noticePath(options.name);
  /** The notices of each key in their order; only the first of a key is ready or under way. */
  const ofKey = new Map<string, Notice[]>();
  const ready: Notice[] = [];
  const pauses = new Set<() => void>();
  let count = 0;
  let underWay = 0;
  let closed = false;

  function send(): void {
    while (!closed && underWay < NOTICES_AT_ONCE) {
      const notice = ready.shift();
      if (notice === undefined) return;
      underWay++;
      void attempt(notice);
    }
  }

  async function attempt(notice: Notice): Promise<void> {
    const isTaken = await isTakenAtOnce(notice.answer);
    underWay--;
    notice.attempts++;
    if (closed) return;
    if (isTaken || notice.attempts >= NOTICE_ATTEMPTS) finish(notice);
    else again(notice);
    send();
  }

  async function isTakenAtOnce(answer: unknown): Promise<boolean> {
    try {
      const call = signCall(options, {
        method: 'POST',
        url,
        body: answer,
        timeoutMs: NOTICE_TIMEOUT_MS,
      });
      const { status } = await http(call);
      return status >= 200 && status < 300;
    } catch {
      return false; // Away, or too slow: the next attempt will tell.
    }
  }

  function again(notice: Notice): void {
    const longest = Math.min(NOTICE_MS * 2 ** (notice.attempts - 1), NOTICE_MS_MAX);
    // Between half and all of it, so that many that failed together do not come back together.
    const ms = longest * (0.5 + random(1)[0]! / 510);
    const cancel = timers.after(ms, () => {
      pauses.delete(cancel);
      ready.push(notice);
      send();
    });
    pauses.add(cancel);
  }

  function finish(notice: Notice): void {
    count--;
    const others = ofKey.get(notice.key)!.slice(1);
    if (others.length === 0) ofKey.delete(notice.key);
    else {
      ofKey.set(notice.key, others);
      ready.push(others[0]!);
    }
    notice.resolve();
  }

  return Object.freeze({
    tell: (key, answer) =>
      new Promise<void>((resolve) => {
        if (closed || count >= NOTICES_MAX) return resolve();
        count++;
        const notice: Notice = { key, answer, resolve, attempts: 0 };
        const before = ofKey.get(key);
        if (before !== undefined) return void before.push(notice);
        ofKey.set(key, [notice]);
        ready.push(notice);
        timers.soon(send); // The answer to the call itself goes first.
      }),
    close() {
      closed = true;
      for (const cancel of pauses) cancel();
      for (const notices of ofKey.values()) for (const { resolve } of notices) resolve();
    },
  });
}

type Notice = Readonly<{ key: string; answer: unknown; resolve: () => void }> & {
  attempts: number;
};
