/**
 * Leases: what a key may spend offline under a mandate, and whether a request spends it.
 *
 * A lease draws from the pool of its key and mandate, which is set aside online on every window of
 * the whole chain. So whoever holds the key, honest or not, spends at most the pool, whatever is
 * signed and whenever it arrives; and what is set aside is nobody else's until the last moment at
 * which it may still arrive. A pool is only ever filled up, never shrunk: its device may have spent
 * all of it already.
 */
import type { Realm, Signer } from '../src/cose.ts';
import { PaymentError } from '../src/errors.ts';
import { COUNT_UNLIMITED, LEASES_PER_KEY_MAX, RESEND_FOR_MS } from '../src/limits.ts';
import { formatMoney } from '../src/money.ts';
import { seal } from '../src/objects/kind.ts';
import type { Mandate } from '../src/objects/mandate.ts';
import type { Policy } from '../src/objects/policy.ts';
import type { Request } from '../src/objects/request.ts';
import { tick as tickKind } from '../src/objects/tick.ts';
import { type OfflineRules, strictestOffline } from '../src/offline.ts';
import { standing } from './identities.ts';
import { instant, requireChain } from './mandates.ts';
import { policiesFor } from './policies.ts';
import type { Facts, Lease, LeaseFacts, LeaseTerms, Store, Usage } from './store/port.ts';

/**
 * Fills the pools of a key and returns a Tick for each of its mandates that may be spent offline
 * now; one that nothing has changed about is the same as before.
 */
export async function giveLeases(
  parts: Readonly<{
    realm: Realm;
    store: Store;
    signer: Signer;
    rules: Readonly<{ policies: readonly Policy[] }>;
  }>,
  key: string,
  nowMs: number,
): Promise<readonly Uint8Array[]> {
  const { store, realm, signer, rules } = parts;
  const mandates = await store.mandatesOf(key, nowMs, LEASES_PER_KEY_MAX);
  const given = await Promise.all(
    mandates.map((mandate) =>
      store.lease({ key, mandate, nowMs }, (facts) => termsOf(facts, rules.policies)),
    ),
  );
  const leases = given.filter((lease) => lease !== undefined);
  return Promise.all(leases.map((lease) => seal(tickKind, tickOf(lease), realm, signer)));
}

/**
 * What the next lease of a pool says: `same` when nothing has changed about the last one, undefined
 * when there is none to give. Pure; the store calls it inside the transaction that fills the pool.
 */
export function termsOf(
  facts: LeaseFacts,
  policies: readonly Policy[],
): LeaseTerms | 'same' | undefined {
  const rules = rulesFor(facts, policies);
  if (!rules || !mayLease(facts)) return undefined;
  const { pool, latest } = facts;
  const now = Math.floor(facts.nowMs / 1000);
  const isUntouched = latest?.amount === pool.amount && latest.count === pool.count;
  const isYoung = latest !== undefined && now < latest.exp;
  // By its second a device tells a newer lease from an older one, also when two bridges' clocks
  // differ: until that is over the last one stands.
  if (latest && now <= latest.iat) return isUntouched && isYoung ? 'same' : undefined;

  const most = mostFor(facts, rules);
  // Filled no further, and not made to live longer either: the limits are below what is out.
  if (most.amount < pool.amount || most.count < pool.count) {
    return isUntouched && isYoung ? 'same' : undefined;
  }
  const isFull = most.amount === pool.amount && most.count === pool.count;
  const isRecent = latest !== undefined && 2 * (now - latest.iat) <= rules.acceptWindow;
  // A device counts what was refused against its lease until it holds a newer one.
  const isWhole = isFull && isUntouched && !facts.hasRefused;
  if (isWhole && isYoung && isRecent) return 'same';

  const life = Math.min(facts.validUntil, now + RESEND_FOR_MS / 1000);
  // Whatever is accepted until `exp` has the whole upload window to arrive while it still counts.
  const exp = Math.min(
    now + rules.acceptWindow,
    rules.policiesUntil + 1,
    life - rules.uploadWindow,
  );
  if (exp <= now || most.amount === 0n || most.count === 0) return undefined;
  return { ...most, exp, upload: exp + rules.uploadWindow };
}

/**
 * That a request may be spent under this lease at all. Throws `stale_nonce` for a lease of another
 * key or mandate, which is no nonce of theirs, `lease_expired`, and the reasons of its times.
 */
export function requireLease(request: Request, lease: Lease, { identity, nowMs }: Facts): void {
  if (lease.key !== identity.name || lease.mandate !== request.mandate) {
    throw new PaymentError('stale_nonce', 'its nonce is no tick of this key and mandate');
  }
  if (request.action !== 'pay') {
    throw new PaymentError('offline_not_allowed', `${request.action} needs the link`);
  }
  const now = nowMs / 1000;
  if (now >= lease.upload) {
    throw new PaymentError(
      'lease_expired',
      `its lease took payments until ${instant(lease.upload)}`,
    );
  }
  if (now >= request.exp) {
    throw new PaymentError('expired', `the request was valid until ${instant(request.exp)}`);
  }
  if (request.exp > lease.upload) {
    throw new PaymentError('not_yet_valid', 'it claims to be valid for longer than its lease');
  }
}

/** That the pool still holds what the request asks for. Throws `lease_exhausted`. */
export function requirePool({ amount }: Request, { rest }: NonNullable<Facts['lease']>): void {
  if (amount!.minor <= rest.amount && rest.count >= 1) return;
  const { currency } = amount!;
  const left = formatMoney({ currency, minor: rest.amount }, 'en');
  throw new PaymentError(
    'lease_exhausted',
    `the lease has ${left} and ${rest.count} payments left`,
  );
}

/**
 * Whether a mandate limits how often it is used, as one must that a terminal collects under: what
 * only identifies can be copied.
 */
export function isCounted({ windows }: Mandate): boolean {
  return windows.some(({ count }) => count < COUNT_UNLIMITED);
}

function rulesFor(facts: LeaseFacts, policies: readonly Policy[]): OfflineRules | undefined {
  const { device, payee } = facts.identity.statement;
  const [leaf] = facts.chain;
  if (!leaf) return undefined;
  const binding = policiesFor(policies, { device, payee }, facts.nowMs);
  const rules = strictestOffline(binding, leaf.mandate.currency);
  return rules?.behaviour === 'prefer_online' ? rules : undefined;
}

/** Whether a request of this key under this chain could be accepted at all. */
function mayLease({ identity, chain, nowMs }: LeaseFacts): boolean {
  if (standing(identity, nowMs)) return false;
  const { currency } = chain[0]!.mandate;
  try {
    requireChain({ amount: { currency, minor: 1n } }, { chain, identity, nowMs });
  } catch (error) {
    if (error instanceof PaymentError) return false;
    throw error;
  }
  // Whether a gap holds cannot be known of payments that arrive later.
  if (chain.some(({ mandate }) => mandate.gap !== undefined)) return false;
  return identity.statement.role !== 'terminal' || chain.every(({ mandate }) => isCounted(mandate));
}

/** The most that the pool may hold: by the policies, and by every window of the chain. */
function mostFor({ chain, others }: LeaseFacts, rules: OfflineRules): Usage {
  let amount = least(rules.payerAmountMax, rules.storedAmountMax - others.amount);
  let count = Math.min(rules.payerCountMax, rules.storedCountMax - others.count);
  for (const { mandate, usage } of chain) {
    for (const [i, window] of mandate.windows.entries()) {
      amount = least(amount, window.max - usage[i]!.amount);
      count = Math.min(count, window.count - usage[i]!.count);
    }
  }
  return { amount: amount < 0n ? 0n : amount, count: Math.max(0, count) };
}

function least(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

function tickOf({ nonce, key, mandate, currency, amount, count, iat, exp, upload }: Lease) {
  const lease = { exp, mandate, amount: { currency, minor: amount }, count, upload };
  return { iat, nonce, audience: key, lease };
}
