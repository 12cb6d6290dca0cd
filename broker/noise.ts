/**
 * How often the bridge answers what it cannot verify: few per device and few in all, so that noise
 * cannot make it a loudspeaker or fill its log. Device names are free, so a limit per name alone
 * would be none.
 */
import { BAD_ANSWERS_IN_ALL_PER_S, BAD_ANSWERS_PER_S } from '../src/limits.ts';
import type { Clock } from '../src/platform.ts';

export type Noise = Readonly<{
  /** Whether this device may be answered now; counts when it may. */
  mayTell: (device: string) => boolean;
}>;

export function createNoise(
  clock: Clock,
  perSecond = { each: BAD_ANSWERS_PER_S, inAll: BAD_ANSWERS_IN_ALL_PER_S },
): Noise {
  const told = new Map<string, number>();
  let second = -1;
  let inAll = 0;
  return {
    mayTell(device) {
      const now = Math.floor(clock.monotonicMs() / 1000);
      if (now !== second) {
        second = now;
        inAll = 0;
        told.clear();
      }
      const count = told.get(device) ?? 0;
      if (inAll >= perSecond.inAll || count >= perSecond.each) return false;
      told.set(device, count + 1);
      inAll++;
      return true;
    },
  };
}
