/**
 * The ways between the hosts of a world: which are open, how long they take, and what befalls what
 * travels on them.
 *
 * What is cut is silent, as it is in the field: nobody is told. Messages are lost, late, repeated
 * and overtaken as by a broker with full queues, or by several that pass messages on.
 */
import type { Timers } from '../src/platform.ts';
import type { Chance } from './chance.ts';
import type { Sight } from './observed.ts';
import type { NetworkTrouble } from './plan.ts';

/** A trouble between these hosts and all others; without hosts everywhere. */
export type Weather = NetworkTrouble & Readonly<{ hosts?: readonly string[] }>;

/** What befalls one message; each of these is usually absent. */
export type Passage = Readonly<{ isLost?: true; laterMs?: number; againMs?: number }>;

export type NetworkSight = Extract<Sight, { what: 'wire' | 'http' }>;

/** The life of a program, as far as its connections see it. */
export type Attached = Readonly<{
  isDead: () => boolean;
  /** The same function, which does nothing any more once the life is over. */
  callback: <A extends unknown[]>(run: (...given: A) => void) => (...given: A) => void;
}>;

export type Ways = Readonly<{
  chance: Chance;
  /** True time. */
  nowMs: () => number;
  after: Timers['after'];
  observe: (sight: NetworkSight) => void;
  /** Whether anything that one host sends reaches the other at present. */
  isOpen: (from: string, to: string) => boolean;
  /** How long a packet takes, ms. */
  latencyMs: (from: string, to: string) => number;
  passage: (from: string, to: string) => Passage;
  hasPower: (host: string) => boolean;
  setPower: (host: string, power: 'on' | 'off') => void;
  /** Begins a trouble; the returned function ends it. */
  strike: (weather: Weather) => () => void;
}>;

export function createWays(ports: Pick<Ways, 'chance' | 'nowMs' | 'after' | 'observe'>): Ways {
  const { chance } = ports;
  const weather = new Set<Weather>();
  const dark = new Set<string>();
  const lengthOf = (ms: number) => chance.between(1, Math.max(1, ms));

  return Object.freeze({
    ...ports,
    isOpen(from: string, to: string) {
      for (const one of weather) if (isClosedBy(one, from, to)) return false;
      return true;
    },
    latencyMs: (from: string, to: string) => (from === to ? 0 : chance.between(...LATENCY_MS)),
    passage(from: string, to: string) {
      let passage: Passage = PLAIN;
      for (const one of weather) {
        if (!('share' in one) || !concerns(one, from, to)) continue;
        if (!chance.happens(one.share)) continue;
        if (one.trouble === 'lose') passage = { ...passage, isLost: true };
        else if (one.trouble === 'delay') passage = { ...passage, laterMs: lengthOf(one.ms) };
        else passage = { ...passage, againMs: lengthOf(one.ms) };
      }
      return passage;
    },
    hasPower: (host: string) => !dark.has(host),
    setPower(host: string, power: 'on' | 'off') {
      if (power === 'off') dark.add(host);
      else dark.delete(host);
    },
    strike(next: Weather) {
      const one = { ...next };
      weather.add(one);
      return () => void weather.delete(one);
    },
  });
}

function isClosedBy(one: Weather, from: string, to: string): boolean {
  if (!concerns(one, from, to)) return false;
  if (one.trouble === 'cut') return true;
  if (one.trouble !== 'half-open') return false;
  return one.hosts === undefined || one.hosts.includes(one.way === 'up' ? from : to);
}

function concerns({ hosts }: Weather, from: string, to: string): boolean {
  return from !== to && (hosts === undefined || hosts.includes(from) !== hosts.includes(to));
}

const PLAIN: Passage = Object.freeze({});

/** One way, over a site's own network or a good mobile one. */
const LATENCY_MS = [1, 20] as const;
