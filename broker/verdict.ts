/**
 * The verdict on a request: may it go on, and what does it reserve? Pure; the store calls it inside
 * the transaction that consumed the id, so its answer is final either way.
 *
 * The request must satisfy every mandate of its chain, so delegation needs no algebra. The order of
 * the checks is the order of PROTOCOL.md: times, nonce, role, chain, order, presence, windows (or
 * the pool of its lease). What acts on an earlier payment is judged in original.ts.
 */
import { toHex } from '../src/bytes.ts';
import { PaymentError, type Reason } from '../src/errors.ts';
import {
  CLOCK_SKEW_S,
  COUNTER_GAP_MAX,
  REQUEST_VALID_S_MAX,
  RUNS_PER_KEY_MAX,
} from '../src/limits.ts';
import { formatMoney } from '../src/money.ts';
import type { KeyStatement, Presence } from '../src/objects/key.ts';
import { type Window, allowsChannel, scopeFault } from '../src/objects/mandate.ts';
import type { Band, Policy } from '../src/objects/policy.ts';
import type { Remaining } from '../src/objects/receipt.ts';
import type { Channel, Request } from '../src/objects/request.ts';
import { standing } from './identities.ts';
import { isCounted, requireLease, requirePool } from './leases.ts';
import { instant, nameOf, requireChain } from './mandates.ts';
import { judgeOriginal } from './original.ts';
import { policiesFor, scopeName } from './policies.ts';
import type { ChainLink, Facts, Reservation, Verdict } from './store/port.ts';

export type Rules = Readonly<{
  /** All that are kept; which of them bind a request is seen from it. */
  policies: readonly Policy[];
  /** Whether a nonce was in a tick of this ledger not long before `nowMs`. */
  isFresh: (nonce: Uint8Array, nowMs: number) => boolean;
}>;

/** The verdict on `request` under these facts; refusals carry the first reason that applies. */
export function judge(request: Request, facts: Facts, rules: Rules): Verdict {
  return refusable(() => {
    const { lease } = facts;
    requireCounter(request, facts);
    if (lease) requireLease(request, lease, facts);
    else requireFresh(request, facts.nowMs, rules);
    const fault = standing(facts.identity, facts.nowMs);
    if (fault) throw refused(fault, 'the signing key does not count now');
    if (request.original !== undefined) return judgeOriginal(request, facts);

    const { presence, channel } = requireRole(request, facts);
    requireChain(request, facts);
    requireCounts(facts);
    const sellers = requirePayee(request, facts);
    requireOrder(request, facts);
    for (const link of facts.chain) requireScope(request, channel, link, sellers);
    for (const link of facts.chain) requireAmount(request, link);
    requirePresence(request, presence, facts, rules.policies);
    // What is leased was reserved when the lease was given.
    if (lease) requirePool(request, lease);
    else for (const link of facts.chain) requireRoom(request, link, facts.nowMs);
    const amount = request.amount?.minor ?? 0n;
    const [leaf] = facts.chain;
    return {
      kind: 'accept',
      presence,
      channel,
      reservations: facts.chain.flatMap((link) => reservationsOf(link, amount)),
      remaining: lease ? remainingOf(leaf!, 0n, 0) : remainingOf(leaf!, amount, 1),
      funding: leaf!.mandate.funding,
      payer: leaf!.payer,
      backends: leaf!.backends,
      ...(lease && { lease: toHex(lease.nonce) }),
    };
  });
}

/** The verdict on what the bridge itself asks for: the end of a hold that nobody captured. */
export function judgeOwn(request: Request, facts: Facts): Verdict {
  return refusable(() => judgeOriginal(request, facts));
}

/** The presence that an amount needs by a ladder; above its last ceiling only P4 is enough. */
export function levelFor(bands: readonly Band[], amount: bigint): Presence {
  return bands.find(({ ceiling }) => amount <= ceiling)?.level ?? 4;
}

/** Strictly new, and near the highest seen: a clone that jumps ahead soon collides. */
function requireCounter(
  { counter }: Request,
  { highestCounter, isCounterReused, openRuns }: Facts,
): void {
  if (isCounterReused) throw refused('counter_reused', `counter ${counter} was another request's`);
  if (counter > highestCounter + COUNTER_GAP_MAX) {
    throw refused('counter_gap', `counter ${counter} is far beyond ${highestCounter}`);
  }
  if (openRuns >= RUNS_PER_KEY_MAX) {
    throw refused('rate_limited', `${openRuns} payments of this key are still open`);
  }
}

function requireFresh({ exp, nonce }: Request, nowMs: number, { isFresh }: Rules): void {
  const now = nowMs / 1000;
  if (now >= exp) throw refused('expired', `the request was valid until ${instant(exp)}`);
  // Before the length of its life: one under a lease that is not known any more claims a long one.
  if (!isFresh(nonce, nowMs)) {
    throw refused('stale_nonce', 'its tick nonce is not of the last two minutes');
  }
  if (exp > now + REQUEST_VALID_S_MAX + CLOCK_SKEW_S) {
    throw refused('not_yet_valid', `it claims to be valid until ${instant(exp)}: too long`);
  }
}

/**
 * What of the claims of the signing key counts. A device never claims P4 (that is a mandate of its
 * own, for one order), and an agent has neither presence nor a channel that a person would have
 * used. A terminal collects for itself, by a token that only identifies.
 */
function requireRole(
  request: Request,
  { identity: { statement } }: Facts,
): Readonly<{ presence: Presence; channel: Channel }> {
  if (statement.role === 'terminal' && request.action === 'pay') {
    requireOwn(request, statement);
    const cap = Math.min(statement.presenceMax, PRESENCE_COLLECTED_MAX);
    return {
      presence: Math.min(request.presence, cap) as Presence,
      channel: request.channel,
    };
  }
  if (statement.role !== 'device' && statement.role !== 'agent') {
    throw refused('role_forbidden', `a ${statement.role} does not ${request.action}`);
  }
  if (statement.role === 'agent') return { presence: 0, channel: 'autonomous' };
  const cap = Math.min(statement.presenceMax, PRESENCE_CLAIMED_MAX);
  return {
    presence: Math.min(request.presence, cap) as Presence,
    channel: request.channel,
  };
}

const PRESENCE_CLAIMED_MAX = 3;
/** A tag or a number can be copied or relayed, so it proves no act of a person. */
const PRESENCE_COLLECTED_MAX = 1;

function requireOwn({ payee, terminal }: Request, own: KeyStatement): void {
  if (payee !== own.payee) throw refused('scope_payee', 'a terminal collects for its own payee');
  if (terminal !== own.terminal) {
    throw refused('scope_terminal', 'a terminal collects at itself, and says so');
  }
}

/** What a token that can be copied is worth is bounded by counting, too. */
function requireCounts({ identity, chain }: Facts): void {
  if (identity.statement.role !== 'terminal') return;
  const uncounted = chain.find(({ mandate }) => !isCounted(mandate));
  if (!uncounted) return;
  throw refused('limit_count', `${nameOf(uncounted)} has no window that counts payments`);
}

/**
 * The terminals that may be meant, now valid: the one that the request names, or every one of the
 * payee's, so that leaving the field out frees nobody of a limit on terminals or categories.
 */
function requirePayee(request: Request, { terminals, nowMs }: Facts): readonly KeyStatement[] {
  const now = nowMs / 1000;
  const valid = terminals.filter(({ nbf, exp }) => nbf <= now && now < exp);
  if (valid.length === 0) {
    throw refused('scope_payee', `no terminal of ${request.payee} is enrolled now`);
  }
  if (request.terminal === undefined) return valid;
  const named = valid.filter(({ terminal }) => terminal === request.terminal);
  if (named.length === 0) {
    throw refused('scope_terminal', `${request.payee} has no terminal ${request.terminal}`);
  }
  return named;
}

function requireOrder(request: Request, { order, nowMs }: Facts): void {
  if (request.order === undefined) return;
  if (!order) throw refused('order_unknown', 'its terminal has not registered this order');
  const { payee, terminal, amount, exp } = order.order;
  if (
    payee !== request.payee ||
    terminal !== request.terminal ||
    amount.currency !== request.amount?.currency ||
    amount.minor !== request.amount.minor
  ) {
    throw refused('order_mismatch', 'payee, terminal or amount are not those of the order');
  }
  if (nowMs / 1000 >= exp || order.state === 'closed') {
    throw refused('order_expired', `the order was payable until ${instant(exp)}`);
  }
  if (order.state === 'paid') throw refused('order_paid', 'the order is paid');
  if (order.state === 'claimed') throw refused('order_claimed', 'another payment of it is open');
}

/** Deny wins and holds if any terminal that may be meant is denied; allow needs all of them. */
function requireScope(
  request: Request,
  channel: Channel,
  link: ChainLink,
  sellers: readonly KeyStatement[],
): void {
  const { mandate } = link;
  if (!allowsChannel(mandate, channel)) {
    throw refused('scope_channel', `${nameOf(link)} does not allow ${channel}`);
  }
  const fault = scopeFault(mandate, request, sellers);
  if (!fault) return;
  const { kind, isDenied } = fault;
  const verb = isDenied ? 'denies' : 'does not allow';
  throw refused(SCOPE_REASONS[kind], `${nameOf(link)} ${verb} this ${kind}`);
}

const SCOPE_REASONS = Object.freeze({
  payee: 'scope_payee',
  category: 'scope_category',
  terminal: 'scope_terminal',
  order: 'order_mismatch',
  any: 'scope_payee',
} as const);

function requirePresence(
  request: Request,
  claimed: Presence,
  { chain, identity, nowMs }: Facts,
  policies: readonly Policy[],
): void {
  const presence = isForThisAlone(chain, request) ? 4 : claimed;
  const currency = request.amount?.currency ?? chain[0]!.mandate.currency;
  const minor = request.amount?.minor ?? 0n;
  const { device } = identity.statement;
  const binding = policiesFor(policies, { device, payee: request.payee }, nowMs);
  const needs = [
    ...(binding.length === 0 ? [{ whose: 'a platform without a policy', level: 4 as const }] : []),
    ...binding.map(({ scope, ladders }) => {
      const ladder = ladders.find((entry) => entry.currency === currency);
      // A currency without a ladder is one that the operator has not opened.
      const level = ladder ? levelFor(ladder.bands, minor) : 4;
      return { whose: `the policy for ${scopeName(scope)}`, level };
    }),
    ...chain.map((link) => ({ whose: nameOf(link), level: levelFor(link.mandate.bands, minor) })),
  ];
  // A mandate for this order and amount alone is the strongest yes: its own bands ask no more.
  for (const { whose, level } of needs) {
    if (presence < level) {
      throw refused('presence_too_low', `${whose} asks for P${level}, this counts as P${presence}`);
    }
  }
}

/** P4: the wallet itself signed a mandate for this order and this amount, usable once. */
function isForThisAlone(chain: readonly ChainLink[], { order, amount }: Request): boolean {
  const [leaf, parent] = chain;
  if (!leaf || parent || order === undefined || !amount) return false;
  const { allow, perPaymentMax, perPaymentMin, windows } = leaf.mandate;
  const orders = allow.filter((scope) => scope.kind === 'order');
  return (
    orders.length === 1 &&
    orders[0]!.order === order &&
    perPaymentMax === amount.minor &&
    perPaymentMin === amount.minor &&
    windows.some((window) => window.kind === 'total' && window.count === 1)
  );
}

/** Before presence: an amount that no confirmation could permit is refused for what it is. */
function requireAmount({ amount }: Request, link: ChainLink): void {
  if (!amount) return;
  const { perPaymentMax, perPaymentMin = 1n, currency } = link.mandate;
  if (amount.minor >= perPaymentMin && amount.minor <= perPaymentMax) return;
  const money = (minor: bigint) => formatMoney({ currency, minor }, 'en');
  const range = `from ${money(perPaymentMin)} to ${money(perPaymentMax)}`;
  throw refused('limit_per_payment', `${nameOf(link)} allows payments ${range}`);
}

/** What is left of one mandate: gap, and amount and count of each window. */
function requireRoom({ amount }: Request, link: ChainLink, nowMs: number): void {
  const { mandate, usage, lastMs } = link;
  const minor = amount?.minor ?? 0n;
  const money = (units: bigint) => formatMoney({ currency: mandate.currency, minor: units }, 'en');
  if (mandate.gap !== undefined && lastMs !== undefined && nowMs < lastMs + mandate.gap * 1000) {
    const until = instant(lastMs / 1000 + mandate.gap);
    throw refused('limit_gap', `${nameOf(link)} allows the next payment at ${until}`);
  }
  mandate.windows.forEach((window, i) => {
    const used = usage[i]!;
    const which = `window ${i + 1} (${periodOf(window)}) of ${nameOf(link)}`;
    if (used.amount + minor > window.max) {
      const left = `${money(window.max - used.amount)} of ${money(window.max)}`;
      throw refused('limit_window', `${which} has ${left} left, ${money(minor)} is asked for`);
    }
    if (used.count + 1 > window.count) {
      throw refused('limit_count', `${which} has seen its ${window.count} payments`);
    }
  });
}

function reservationsOf(link: ChainLink, amount: bigint): Reservation[] {
  return link.mandate.windows.map((window, index) => ({ mandate: link.id, index, window, amount }));
}

/** What the leaf's windows have left when this much more is taken from them. */
function remainingOf(leaf: ChainLink, amount: bigint, count: number): Remaining[] {
  return leaf.mandate.windows.map((window, i) => ({
    amount: window.max - leaf.usage[i]!.amount - amount,
    count: window.count - leaf.usage[i]!.count - count,
  }));
}

/** A window in a few words, for explanations. */
export function periodOf(window: Window): string {
  switch (window.kind) {
    case 'total':
      return 'in all';
    case 'calendar':
      return `per ${window.period}, ${window.zone}`;
    case 'rolling':
      return `any ${window.seconds} s`;
  }
}

/** A refusal is a verdict too. */
function refusable(run: () => Verdict): Verdict {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof PaymentError)) throw error;
    return { kind: 'refuse', reason: error.reason, why: error.message };
  }
}

function refused(reason: Reason, why: string): PaymentError {
  return new PaymentError(reason, why);
}
