/**
 * What this device says of itself: the birth of every connection, and the will and goodbye that
 * carry the same session number. A death that arrives after the next birth has an older number, so
 * it makes nobody look dead.
 *
 * Numbers are reserved on the disk in blocks, since every attempt to connect needs one and a
 * network that is away is tried twice a second. They rise strictly, with gaps, also over a power
 * cut.
 */
import { PaymentError } from '../src/errors.ts';
import { SESSIONS_RESERVED } from '../src/limits.ts';
import type { Log, Retained } from '../src/platform.ts';
import { type About, type Place, encodePresence } from '../src/presence.ts';
import { stateTopic } from '../src/topics.ts';
import type { Outbox } from './outbox.ts';

export type Presence = Readonly<{
  /** Begins a session; what the broker is to say when its connection breaks. */
  will: () => Retained;
  birth: () => Retained;
  goodbye: () => Retained;
  /** Whether a birth would say more or fewer payments waiting than the last one did. */
  isNews: () => boolean;
}>;

export function createPresence(
  parts: Readonly<{
    device: string;
    about: About;
    place: Place;
    outbox: Pick<Outbox, 'sessions' | 'waiting'>;
    log: Log;
  }>,
): Presence {
  const { about, place, outbox, log } = parts;
  const topic = stateTopic(parts.device);
  let session = 0;
  let reserved = 0;
  let toldOpen: number | undefined;

  function nextSession(): number {
    if (session < reserved) return session + 1;
    try {
      const first = outbox.sessions(SESSIONS_RESERVED);
      reserved = first + SESSIONS_RESERVED - 1;
      return first;
    } catch (error) {
      if (!(error instanceof PaymentError)) throw error;
      // A disk that refuses is told where it matters; being seen must not depend on it.
      log('warn', 'session number not kept', { why: error.message });
      return session + 1;
    }
  }

  function waiting(): ReturnType<Outbox['waiting']> {
    try {
      return outbox.waiting();
    } catch (error) {
      if (!(error instanceof PaymentError)) throw error;
      return { open: toldOpen ?? 0, oldestMs: 0 };
    }
  }

  const death = (left: boolean): Retained => ({
    topic,
    payload: encodePresence({ session, online: false, place, left }),
  });

  return {
    will() {
      session = nextSession();
      return death(false);
    },
    birth() {
      const { open, oldestMs } = waiting();
      toldOpen = open;
      const queue = { open, ...(oldestMs > 0 && { oldest: Math.floor(oldestMs / 1000) }) };
      const payload = encodePresence({ session, online: true, place, ...about, queue });
      return { topic, payload };
    },
    goodbye: () => death(true),
    isNews: () => toldOpen !== waiting().open,
  };
}
