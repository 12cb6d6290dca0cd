/**
 * What the bridge has heard of a device on its `state` topic: whether it is there, what it says of
 * itself, and from which places it spoke. Pure.
 *
 * It is unsigned, so nothing about money follows from it: a key is suspended for what was signed
 * (counters), and this only tells the operator which two places to look at. A place that speaks
 * again after another one did, or a session number that goes back, is a copied or restored folder;
 * that is told too, before any payment.
 */
import { SPOKE_MAX } from '../src/limits.ts';
import type { Birth, Death, Place } from '../src/presence.ts';
import { utc } from '../src/sentences.ts';

/** One start of the device's program, as far as it was heard. */
export type Spoke = Place & Readonly<{ session: number; firstMs: number; lastMs: number }>;

/** Two places that cannot both be the one device. */
export type Conflict = Readonly<{ first: Spoke; second: Spoke; atMs: number }>;

export type Heard = Readonly<{
  /** Thumbprint of the key that the device had: with another one everything begins anew. */
  key: string;
  birth: Birth;
  online: boolean;
  /** It said goodbye; false when its connection broke. */
  left: boolean;
  /** Since when it is online, or not. */
  sinceMs: number;
  /** Newest last, at most SPOKE_MAX. */
  places: readonly Spoke[];
  conflict: Conflict | undefined;
}>;

/** What `said` changes; undefined when it is nothing new, or older than what is known. */
export function hearPresence(
  before: Heard | undefined,
  key: string,
  said: Birth | Death,
  nowMs: number,
): Heard | undefined {
  const known = before?.key === key ? before : undefined;
  if (!said.online) return known && end(known, said, nowMs);
  const { session, place } = said;
  const places = known?.places ?? [];
  const last = places.at(-1);
  const own = places.find(({ start }) => start === place.start);
  if (own && (session < own.session || (own !== last && session === own.session))) return undefined;

  const spoke: Spoke = { ...place, session, firstMs: own?.firstMs ?? nowMs, lastMs: nowMs };
  const isSame = known?.online === true && own === last && session === own?.session;
  const isBack = own !== undefined && own !== last;
  const isRestored = own === undefined && places.some((one) => one.session >= session);
  return {
    key,
    birth: said,
    online: true,
    left: false,
    sinceMs: isSame ? known.sinceMs : nowMs,
    places: [...places.filter((one) => one !== own), spoke].slice(-SPOKE_MAX),
    conflict:
      last && (isBack || isRestored)
        ? { first: last, second: spoke, atMs: nowMs }
        : known?.conflict,
  };
}

/** Whether the operator has not been told of these two places yet. */
export function isNewConflict(before: Heard | undefined, after: Heard): boolean {
  const { conflict } = after;
  if (!conflict || conflict === before?.conflict) return false;
  const pair = ({ first, second }: Conflict) => [first.start, second.start].sort().join();
  return before?.conflict === undefined || pair(before.conflict) !== pair(conflict);
}

/** The two places of a key that two hold, as far as they were heard: the last ones. */
export function lastPlaces(heard: Heard | undefined): readonly Spoke[] {
  return heard?.places.slice(-2) ?? [];
}

/** "pi-cafe (boot 3fa2c1d0, start 91bb02ce), last heard …": what tells two places apart. */
export function placeText({ host, boot, start, lastMs }: Spoke): string {
  return `${host} (boot ${boot}, start ${start}), last heard ${utc(Math.floor(lastMs / 1000))}`;
}

/** A death of another session or place came late, and makes nobody look dead. */
function end(known: Heard, { session, place, left }: Death, nowMs: number): Heard | undefined {
  const last = known.places.at(-1)!;
  if (!known.online || session !== last.session || place.start !== last.start) return undefined;
  const places = [...known.places.slice(0, -1), { ...last, lastMs: nowMs }];
  return { ...known, places, online: false, left, sinceMs: nowMs };
}
