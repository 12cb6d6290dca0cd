/**
 * Time and freshness on a device whose own clock may be wrong: from the bridge's tick and the
 * monotonic clock, never stepping back.
 *
 * The first tick of a boot counts only as the answer to our own random, so that nobody can set a
 * device back to a day on which an old order was valid. What is accepted without the bridge is
 * dated by this time alone, so for that it must also still hold: two clocks that ran apart, or one
 * left alone for too long, vouch for nothing until the next tick. What is done online is dated by
 * the tick whose nonce it carries, and so never waits for a clock.
 */
import { CLOCK_SKEW_S, TICK_USE_MS, TIME_HOLDS_MS } from '../src/limits.ts';
import type { Tick } from '../src/objects/tick.ts';
import type { Clock } from '../src/platform.ts';

export type Time = Readonly<{
  /** Milliseconds since 1970 as the bridge tells it; undefined before the first tick. */
  trustedMs: () => number | undefined;
  /**
   * As `trustedMs`, while it surely is right to twice CLOCK_SKEW_S: undefined also when the last
   * tick is older than TIME_HOLDS_MS or contradicted us, and when wall and monotonic clock ran
   * apart since (a sleep that stopped one, a leap, a clock set by hand): nobody knows which of them
   * is right then.
   */
  heldMs: () => number | undefined;
  /** Milliseconds since the bridge itself was last heard; undefined before the first tick. */
  awayMs: () => number | undefined;
  /** A nonce that will still be accepted when the request arrives, or undefined. */
  nonce: () => Uint8Array | undefined;
  /** The time now by the tick of `nonce`, to date what is signed under it; else undefined. */
  freshMs: () => number | undefined;
  /** Takes a verified broadcast tick; one that is older than what we know changes nothing. */
  hear: (tick: Tick) => void;
  /** Takes the verified answer to this boot's query. */
  boot: (tick: Tick) => void;
}>;

/** What the newest tick brought, and both clocks at the moment at which it was made. */
type Heard = Readonly<{ nonce: Uint8Array; iatMs: number; monotonicMs: number; wallMs: number }>;

export function createTime(clock: Clock): Time {
  let offsetMs: number | undefined;
  let heard: Heard | undefined;

  function take({ iat, nonce }: Tick, ageMs: number): void {
    const monotonicMs = clock.monotonicMs() - ageMs;
    const toldMs = iat * 1000 - clock.monotonicMs();
    if (offsetMs === undefined || toldMs > offsetMs) offsetMs = toldMs;
    if (heard && monotonicMs < heard.monotonicMs) return;
    heard = { nonce, iatMs: iat * 1000, monotonicMs, wallMs: clock.nowMs() - ageMs };
  }

  const awayMs = () => heard && clock.monotonicMs() - heard.monotonicMs;
  const trustedMs = () => (offsetMs === undefined ? undefined : offsetMs + clock.monotonicMs());

  function fresh(): Heard | undefined {
    return heard && awayMs()! < TICK_USE_MS ? heard : undefined;
  }

  function holds({ iatMs, wallMs }: Heard): boolean {
    const passedMs = awayMs()!;
    const apartMs = Math.abs(clock.nowMs() - wallMs - passedMs);
    // We do not step back, so a tick that is far behind us leaves us ahead of the bridge.
    const aheadMs = trustedMs()! - passedMs - iatMs;
    return (
      passedMs <= TIME_HOLDS_MS && apartMs <= CLOCK_SKEW_S * 1000 && aheadMs <= CLOCK_SKEW_S * 1000
    );
  }

  return {
    trustedMs,
    heldMs: () => (heard && holds(heard) ? trustedMs() : undefined),
    awayMs,
    nonce: () => fresh()?.nonce,
    freshMs: () => fresh() && heard!.iatMs + awayMs()!,
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
