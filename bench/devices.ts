/**
 * The devices of a benchmark, in the process that is not measured: they send requests that were
 * signed before, and look for each receipt. Either a fixed number is always in flight, or requests
 * leave on a schedule whatever the answers do.
 */
import { payloadOf } from '../src/cose.ts';
import { connectLink } from '../src/node/link.ts';
import { timers } from '../src/node/platform.ts';
import { open } from '../src/objects/kind.ts';
import { receipt as receiptKind } from '../src/objects/receipt.ts';
import type { Link } from '../src/platform.ts';
import { downFilter, upTopic } from '../src/topics.ts';
import { type Payer, type Plant, REALM } from './plant.ts';

/** A signed request on its way: whose, and the id that its receipt will name. */
export type Ask = Readonly<{ device: string; id: string; envelope: Uint8Array }>;

export type Devices = Readonly<{
  /** Sends all with `inFlight` always under way; returns the waiting times, ms, sorted. */
  saturate: (asks: readonly Ask[], inFlight: number) => Promise<readonly number[]>;
  /**
   * Sends `perSecond` on a schedule and times each from when it was due, so that a late start
   * counts (no coordinated omission). Waits for the last answers at most `patienceMs`.
   */
  pace: (asks: readonly Ask[], perSecond: number, patienceMs: number) => Promise<readonly number[]>;
  close: () => Promise<void>;
}>;

/** Every VERIFY_EACH-th receipt is verified, each is decoded and must say `captured`. */
const VERIFY_EACH = 50;

export async function connectDevices(url: string, plant: Plant): Promise<Devices> {
  const waiting = new Map<string, (outcome: string) => void>();
  let received = 0;

  function message(_topic: string, payload: Uint8Array): void {
    const isVerified = received++ % VERIFY_EACH === 0;
    const value = isVerified
      ? open(receiptKind, payload, REALM, () => plant.bridgeKey.key).value
      : receiptKind.decode(payloadOf(payload));
    waiting.get(value.subject)?.(value.outcome);
  }

  const links = new Map(
    await Promise.all(plant.payers.map(async (payer) => [payer.name, await dial(payer)] as const)),
  );

  function dial({ name }: Payer): Promise<Link> {
    return new Promise((ready) => {
      const subscriptions = [{ topic: downFilter(name), qos: 1 }] as const;
      const link = connectLink(
        { url, clientId: name, subscriptions },
        { message, state: (state) => state === 'up' && ready(link) },
      );
    });
  }

  /** Sends one; resolves when its receipt is here, rejects when that says no. */
  function ask({ device, id, envelope }: Ask): Promise<void> {
    return new Promise((resolve, reject) => {
      waiting.set(id, (outcome) => {
        waiting.delete(id);
        if (outcome === 'captured') resolve();
        else reject(new Error(`a payment of the benchmark was answered ${outcome}`));
      });
      links.get(device)!.publish(upTopic(device, 'request'), envelope, 1);
    });
  }

  return {
    saturate: (asks, inFlight) => saturate(asks, inFlight, ask),
    async pace(asks, perSecond, patienceMs) {
      const times: number[] = [];
      const start = performance.now();
      let next = 0;
      let refused: Error | undefined;
      await new Promise<void>((done) => {
        const step = (): void => {
          const due = Math.floor(((performance.now() - start) / 1000) * perSecond) + 1;
          for (; next < Math.min(due, asks.length); next++) {
            const dueAt = start + (next / perSecond) * 1000;
            ask(asks[next]!).then(
              () => times.push(performance.now() - dueAt),
              (error: Error) => (refused = error),
            );
          }
          if (next === asks.length) return done();
          timers.after(1, step);
        };
        step();
      });
      for (let waited = 0; times.length < asks.length && waited < patienceMs; waited += 10) {
        await new Promise<void>((done) => timers.after(10, done));
        if (refused) throw refused;
      }
      waiting.clear();
      return times.sort((a, b) => a - b);
    },
    async close() {
      await Promise.all([...links.values()].map((link) => link.close()));
    },
  };
}

/** Does `work` for every one, `inFlight` always under way; the times it took, ms, sorted. */
export async function saturate<One>(
  all: readonly One[],
  inFlight: number,
  work: (one: One) => Promise<void>,
): Promise<readonly number[]> {
  const times: number[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < all.length) {
      const one = all[next++]!;
      const start = performance.now();
      await work(one);
      times.push(performance.now() - start);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
  return times.sort((a, b) => a - b);
}

/** The value that `share` of the sorted times do not exceed. */
export function quantile(times: readonly number[], share: number): number {
  return times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? NaN;
}
