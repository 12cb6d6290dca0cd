/**
 * What was accepted offline and waits for its final receipt, as the limits and as staff count it.
 * Pure: everything is derived from what the outbox keeps, so it is the same after a power cut.
 *
 * The figures are for staff and for metrics: they name no payee and no payer.
 */
import type { Money } from '../src/money.ts';
import type { OfflineRules } from '../src/offline.ts';

/** A payment that was accepted offline and has no final receipt. */
export type Accepted = Readonly<{
  id: string;
  mandate: string;
  /** Whoever signed the mandate; empty after damage to the disk, and then anybody may be meant. */
  payer: string;
  amount: Money;
  /** Trusted time when it was accepted, ms. */
  storedMs: number;
  /** Whether the bridge has answered nothing for good that is newer. */
  isInRow: boolean;
}>;

/** What counts against the limits of one more payment. */
export type Stored = Readonly<{
  count: number;
  /** Minor units of the payment's currency. */
  minor: bigint;
  oldestMs: number | undefined;
  /** Accepted in a row since the bridge last answered a payment for good. */
  inRow: number;
  /** Of the same payer. */
  payer: Readonly<{ count: number; minor: bigint }>;
}>;

/** What waits, as numbers: for staff, presence and metrics. */
export type Figures = Readonly<{
  count: number;
  sums: readonly Money[];
  /** Seconds since the oldest was accepted; undefined when none waits or no time is known. */
  oldestS: number | undefined;
  /** The limit of which the greatest part is used up; undefined where nothing may be accepted. */
  nearest: NearLimit | undefined;
}>;

export type NearLimit = Readonly<{
  limit: 'stored_count' | 'stored_amount' | 'go_online' | 'upload' | 'window' | 'policy';
  /** Payments, minor units of `currency`, or seconds. */
  used: bigint;
  max: bigint;
  currency: string;
}>;

export function storedOf(waiting: readonly Accepted[], currency: string, payer: string): Stored {
  const same = waiting.filter(({ amount }) => amount.currency === currency);
  const own = waiting.filter((one) => one.payer === payer || one.payer === '');
  return {
    count: waiting.length,
    minor: sumOf(same),
    oldestMs: oldestOf(waiting),
    inRow: waiting.filter(({ isInRow }) => isInRow).length,
    payer: { count: own.length, minor: sumOf(own.filter((one) => same.includes(one))) },
  };
}

/** `nowMs` and `awayMs` as device/time.ts tells them; `rules` of the currency that is taken. */
export function figuresOf(
  waiting: readonly Accepted[],
  rules: OfflineRules | undefined,
  nowMs: number | undefined,
  awayMs: number | undefined,
): Figures {
  const currencies = [...new Set(waiting.map(({ amount }) => amount.currency))].sort();
  const oldestMs = oldestOf(waiting);
  const isTimed = oldestMs !== undefined && nowMs !== undefined;
  const oldestS = isTimed ? secondsOf(nowMs - oldestMs) : undefined;
  return {
    count: waiting.length,
    sums: currencies.map((currency) => ({
      currency,
      minor: storedOf(waiting, currency, '').minor,
    })),
    oldestS,
    nearest:
      rules?.behaviour === 'prefer_online'
        ? nearestOf(waiting, rules, oldestS ?? 0, nowMs, awayMs)
        : undefined,
  };
}

function nearestOf(
  waiting: readonly Accepted[],
  rules: OfflineRules,
  oldestS: number,
  nowMs: number | undefined,
  awayMs = 0,
): NearLimit | undefined {
  const { currency, policiesFrom, policiesUntil } = rules;
  const { count, minor, inRow } = storedOf(waiting, currency, '');
  const nowS = nowMs === undefined ? policiesFrom : Math.floor(nowMs / 1000);
  const all = [
    ['stored_count', count, rules.storedCountMax],
    ['stored_amount', minor, rules.storedAmountMax],
    ['go_online', inRow, rules.goOnlineEvery[1]],
    ['upload', oldestS, rules.uploadWindow],
    ['window', secondsOf(awayMs), rules.acceptWindow],
    ['policy', nowS - policiesFrom, policiesUntil - policiesFrom],
  ] as const;
  return all
    .map(([limit, used, max]) => ({ limit, used: BigInt(used), max: BigInt(max), currency }))
    .reduce((a, b) => (b.used * a.max > a.used * b.max ? b : a));
}

function sumOf(waiting: readonly Accepted[]): bigint {
  return waiting.reduce((sum, { amount }) => sum + amount.minor, 0n);
}

function oldestOf(waiting: readonly Accepted[]): number | undefined {
  return waiting.length === 0 ? undefined : Math.min(...waiting.map(({ storedMs }) => storedMs));
}

function secondsOf(ms: number): number {
  return Math.max(0, Math.floor(ms / 1000));
}
