/**
 * What may be accepted without a link, out of all the policies that bind a payment. Pure; the
 * device decides by it, and the bridge sizes its leases by it.
 *
 * Field by field the strictest wins, so nobody below the root can loosen anything. A policy that
 * says nothing about offline, or speaks of another currency, closes it: silence is not consent.
 */
import type { Policy } from './objects/policy.ts';

/** The limits of offline acceptance in one currency. Every limit is inclusive. */
export type OfflineRules = Readonly<{
  behaviour: 'require_online' | 'prefer_online';
  currency: string;
  /** Minor units of one payment. */
  floorLimit: bigint;
  /** Minor units, and payments, that may wait on one device to be sent. */
  storedAmountMax: bigint;
  storedCountMax: number;
  /** Seconds without a link during which payments are accepted. */
  acceptWindow: number;
  /** Seconds within which what was accepted must have arrived. */
  uploadWindow: number;
  /** Offline payments in a row: beyond `soft` staff are warned, beyond `hard` none. */
  goOnlineEvery: readonly [soft: number, hard: number];
  /** Payments, and minor units, of one payer that may wait. */
  payerCountMax: number;
  payerAmountMax: bigint;
  /** When the oldest policy was signed, and the last second in which none is too old or over. */
  policiesFrom: number;
  policiesUntil: number;
}>;

/**
 * The strictest of what these policies say about accepting `currency` offline; undefined when one
 * of them, or the absence of any, closes it.
 */
export function strictestOffline(
  policies: readonly Policy[],
  currency: string,
): OfflineRules | undefined {
  const rules = policies.map(rulesOf).filter((one) => one?.currency === currency);
  if (rules.length < policies.length || rules.length === 0) return undefined;
  return rules.map((one) => one!).reduce(stricter);
}

function rulesOf({ offline, iat, exp = Infinity }: Policy): OfflineRules | undefined {
  if (!offline) return undefined;
  const { policyAgeMax, ...rules } = offline;
  // `exp` is the first second in which the policy is over.
  return { ...rules, policiesFrom: iat, policiesUntil: Math.min(iat + policyAgeMax, exp - 1) };
}

function stricter(a: OfflineRules, b: OfflineRules): OfflineRules {
  const isClosed = a.behaviour === 'require_online' || b.behaviour === 'require_online';
  return {
    behaviour: isClosed ? 'require_online' : 'prefer_online',
    currency: a.currency,
    floorLimit: least(a.floorLimit, b.floorLimit),
    storedAmountMax: least(a.storedAmountMax, b.storedAmountMax),
    storedCountMax: Math.min(a.storedCountMax, b.storedCountMax),
    acceptWindow: Math.min(a.acceptWindow, b.acceptWindow),
    uploadWindow: Math.min(a.uploadWindow, b.uploadWindow),
    goOnlineEvery: [
      Math.min(a.goOnlineEvery[0], b.goOnlineEvery[0]),
      Math.min(a.goOnlineEvery[1], b.goOnlineEvery[1]),
    ],
    payerCountMax: Math.min(a.payerCountMax, b.payerCountMax),
    payerAmountMax: least(a.payerAmountMax, b.payerAmountMax),
    policiesFrom: Math.min(a.policiesFrom, b.policiesFrom),
    policiesUntil: Math.min(a.policiesUntil, b.policiesUntil),
  };
}

function least(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
