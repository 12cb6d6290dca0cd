/**
 * Time and freshness on a device whose own clock may be wrong: from the bridge's tick and the
 * monotonic clock, never stepping back.
 *
 * The first tick of a boot counts only as the answer to our own random, so that nobody can set a
 * device back to a day on which an old order was valid.
 */
import { TICK_USE_MS } from '../src/limits.ts';
import type { Tick } from '../src/objects/tick.ts';
import type { Clock } from '../src/platform.ts';

export type Time = Readonly<{
  /** Milliseconds since 1970 as the bridge tells it; undefined before the first tick. */
  trustedMs: () => number | undefined;
  /** A nonce that will still be accepted when the request arrives, or undefined. */
  nonce: () => Uint8Array | undefined;
  /** Takes a verified broadcast tick; one that is older than what we know changes nothing. */
  hear: (tick: Tick) => void;
  /** Takes the verified answer to this boot's query. */
  boot: (tick: Tick) => void;
}>;

export function createTime(clock: Clock): Time {
  let offsetMs: number | undefined;
  let nonce: { bytes: Uint8Array; sinceMs: number } | undefined;

  function take(tick: Tick, ageMs: number): void {
    const nowMs = clock.monotonicMs();
    const toldMs = tick.iat * 1000 - nowMs;
    if (offsetMs === undefined || toldMs > offsetMs) offsetMs = toldMs;
    const sinceMs = nowMs - ageMs;
    if (!nonce || sinceMs >= nonce.sinceMs) nonce = { bytes: tick.nonce, sinceMs };
  }

  return {
    trustedMs: () => (offsetMs === undefined ? undefined : offsetMs + clock.monotonicMs()),
    nonce() {
      if (!nonce || clock.monotonicMs() - nonce.sinceMs >= TICK_USE_MS) return undefined;
      return nonce.bytes;
    },
    hear(tick) {
      if (offsetMs === undefined || tick.audience !== undefined) return;
      // A tick that was held back tells an old time; its nonce would only cost a refusal.
      const behindMs = offsetMs + clock.monotonicMs() - tick.iat * 1000;
      if (behindMs < TICK_USE_MS / 2) take(tick, Math.max(0, behindMs));
    },
    // It answers our own random, so it is new whatever its clock says.
    boot: (tick) => take(tick, 0),
  };
}
