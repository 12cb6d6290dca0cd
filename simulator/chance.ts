/**
 * Everything that is left to chance in a world comes from one seed.
 *
 * Each part of a world draws from a stream of its own, which is named: `fork` hashes the seed with
 * the name. So a fault that is taken out of a plan, or a person who says one word less, does not
 * shift what all others draw, and a shrunk story stays the same story. The generator is sfc32
 * (Chris Doty-Humphrey, PractRand), whose 32-bit integer steps are the same on every machine.
 */
import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import type { Random } from '../src/platform.ts';

/** A stream of chance: never for anything that has to stay secret. */
export type Chance = Readonly<{
  /** A whole number from 0 to `count` − 1, of at most 2^32. */
  below: (count: number) => number;
  /** A whole number from `least` to `most`, both possible. */
  between: (least: number, most: number) => number;
  /** One of these, of which there must be one. */
  pick: <T>(list: readonly T[]) => T;
  /** One of these names, each as often as its number says beside the sum of all. */
  weigh: <Name extends string>(weights: Readonly<Partial<Record<Name, number>>>) => Name;
  /** True in this share of all cases, from 0 (never) to 1 (always). */
  happens: (share: number) => boolean;
  /** The same things in another order. */
  shuffle: <T>(list: readonly T[]) => T[];
  bytes: Random;
  /** Another stream; what it gives depends on this seed and the name alone. */
  fork: (name: string) => Chance;
}>;

/** The stream of a seed; the same seed gives the same for ever. */
export function createChance(seed: string): Chance {
  const start = hash('sha256', seed, 'buffer');
  let [a, b, c] = [start.readInt32LE(0), start.readInt32LE(4), start.readInt32LE(8)];
  let counter = start.readInt32LE(12);

  function next(): number {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + sum;
    return sum >>> 0;
  }

  function below(count: number): number {
    assert(Number.isInteger(count) && count >= 1 && count <= RANGE, `one of ${count}`);
    return Math.floor((next() / RANGE) * count);
  }

  return Object.freeze({
    below,
    between: (least: number, most: number) => least + below(most - least + 1),
    pick<T>(list: readonly T[]): T {
      return list[below(list.length)]!;
    },
    weigh<Name extends string>(weights: Readonly<Partial<Record<Name, number>>>): Name {
      const entries = Object.entries(weights) as [Name, number][];
      let left = below(entries.reduce((sum, [, weight]) => sum + weight, 0));
      return entries.find(([, weight]) => (left -= weight) < 0)![0];
    },
    happens: (share: number) => next() / RANGE < share,
    shuffle<T>(list: readonly T[]): T[] {
      const result = [...list];
      for (let last = result.length - 1; last > 0; last--) {
        const other = below(last + 1);
        [result[last], result[other]] = [result[other]!, result[last]!];
      }
      return result;
    },
    bytes(count: number) {
      const result = new Uint8Array(count);
      for (let at = 0; at < count; at += 4) {
        let word = next();
        for (let i = at; i < at + 4 && i < count; i++, word >>>= 8) result[i] = word;
      }
      return result;
    },
    fork: (name: string) => createChance(`${hash('sha256', seed)} ${name}`),
  });
}

const RANGE = 2 ** 32;
