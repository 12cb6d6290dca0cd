/**
 * The verdict on a request: may it go on, and what does it reserve? Pure; the store calls it inside
 * the transaction that consumed the id, so its answer is final either way.
 *
 * The request must satisfy every mandate of its chain, so delegation needs no algebra. The order of
 * the checks is the order of protocol.md: times, nonce, role, chain, order, presence, windows.
 */
import { reasonClass, REASONS, PaymentError, type Reason } from '../src/errors.ts';
import {
  CHAIN_DEPTH_MAX,
  CLOCK_SKEW_S,
  COUNTER_GAP_MAX,
  REQUEST_VALID_S_MAX,
} from '../src/limits.ts';
import type { KeyStatement, Presence } from '../src/objects/key.ts';
import { type Mandate, type Scope, allowsChannel } from '../src/objects/mandate.ts';
import type { Band, Policy } from '../src/objects/policy.ts';
import type { Remaining } from '../src/objects/receipt.ts';
import type { Channel, Request } from '../src/objects/request.ts';
import { standing } from './identities.ts';
import type { ChainLink, Facts, Reservation, Verdict } from './store/port.ts';

export type Rules = Readonly<{
  policy: Policy;
  /** Whether a nonce was in a tick of this ledger not long before `nowMs`. */
  isFresh: (nonce: Uint8Array, nowMs: number) => boolean;
}>;

/** The verdict on `request` under these facts; refusals carry the first reason that applies. */
export function judge(request: Request, facts: Facts, rules: Rules): Verdict {
  try {
    requireCounter(request, facts);
    requireTimes(request, facts.nowMs);
    if (!rules.isFresh(request.nonce, facts.nowMs)) throw refused('stale_nonce');
    const { presence, channel } = requireRole(request, facts);
    requireChain(request, facts);
    const sellers = requirePayee(request, facts);
    requireOrder(request, facts);
    for (const link of facts.chain) requireScope(request, channel, link.mandate, sellers);
    requirePresence(request, presence, facts, rules.policy);
    const amount = request.amount?.minor ?? 0n;
    for (const link of facts.chain) requireRoom(amount, link, facts.nowMs);
    return {
      kind: 'accept',
      presence,
      channel,
      reservations: facts.chain.flatMap((link) => reservationsOf(link, amount)),
      remaining: remainingOf(facts.chain[0]!, amount),
      funding: facts.chain[0]!.mandate.funding,
      payer: facts.chain[0]!.payer,
    };
  } catch (error) {
    if (error instanceof PaymentError) return { kind: 'refuse', reason: error.reason };
    throw error;
  }
}

/** The presence that an amount needs by a ladder; above its last ceiling only P4 is enough. */
export function levelFor(bands: readonly Band[], amount: bigint): Presence {
  return bands.find(({ ceiling }) => amount <= ceiling)?.level ?? 4;
}

/** Strictly new, and near the highest seen: a clone that jumps ahead soon collides. */
function requireCounter(request: Request, { highestCounter, isCounterReused }: Facts): void {
  if (isCounterReused) throw refused('counter_reused');
  if (request.counter > highestCounter + COUNTER_GAP_MAX) throw refused('counter_gap');
}

function requireTimes(request: Request, nowMs: number): void {
  const now = nowMs / 1000;
  if (now >= request.exp) throw refused('expired');
  if (request.exp > now + REQUEST_VALID_S_MAX + CLOCK_SKEW_S) throw refused('not_yet_valid');
}

/**
 * Role and status of the signing key; returns what of its claims counts. A device never claims P4
 * (that is a mandate of its own, for one order), and an agent has neither presence nor a channel
 * that a person would have used.
 */
function requireRole(
  request: Request,
  { identity, nowMs }: Facts,
): Readonly<{ presence: Presence; channel: Channel }> {
  const fault = standing(identity, nowMs);
  if (fault) throw refused(fault);
  const { statement } = identity;
  if (statement.role !== 'device' && statement.role !== 'agent') throw refused('role_forbidden');
  // Holds, captures, refunds and access have their own rules; until they stand nothing half-done.
  if (request.action !== 'pay') throw refused('action_unsupported');
  if (statement.role === 'agent') return { presence: 0, channel: 'autonomous' };
  const cap = Math.min(statement.presenceMax, PRESENCE_CLAIMED_MAX);
  return {
    presence: Math.min(request.presence, cap) as Presence,
    channel: request.channel,
  };
}

const PRESENCE_CLAIMED_MAX = 3;

function requireChain(request: Request, { chain, identity, nowMs }: Facts): void {
  const leaf = chain[0];
  if (!leaf || chain.length > CHAIN_DEPTH_MAX) throw refused('mandate_unknown');
  // A mandate for another key is answered like no mandate: nobody learns that it exists.
  if (leaf.mandate.cnf !== identity.name) throw refused('mandate_unknown');
  const now = nowMs / 1000;
  for (const [i, link] of chain.entries()) {
    const child = chain[i - 1];
    if (child && child.issuer !== link.mandate.cnf) throw refused('mandate_unknown');
    if (link.status !== 'active') throw refused(link.status);
    if (link.issuerFault) throw refused(link.issuerFault);
    if (now < link.mandate.nbf) throw refused('not_yet_valid');
    if (now >= link.mandate.exp) throw refused('expired');
    if (link.mandate.currency !== request.amount?.currency) throw refused('currency_mismatch');
  }
}

/**
 * The terminals that may be meant, now valid: the one that the request names, or every one of the
 * payee's, so that leaving the field out frees nobody of a limit on terminals or categories.
 */
function requirePayee(request: Request, { terminals, nowMs }: Facts): readonly KeyStatement[] {
  const now = nowMs / 1000;
  const valid = terminals.filter(({ nbf, exp }) => nbf <= now && now < exp);
  if (valid.length === 0) throw refused('scope_payee');
  if (request.terminal === undefined) return valid;
  const named = valid.filter(({ terminal }) => terminal === request.terminal);
  if (named.length === 0) throw refused('scope_terminal');
  return named;
}

function requireOrder(request: Request, { order, nowMs }: Facts): void {
  if (request.order === undefined) return;
  if (!order) throw refused('order_unknown');
  const { payee, terminal, amount, exp } = order.order;
  if (
    payee !== request.payee ||
    terminal !== request.terminal ||
    amount.currency !== request.amount?.currency ||
    amount.minor !== request.amount.minor
  ) {
    throw refused('order_mismatch');
  }
  if (nowMs / 1000 >= exp || order.state === 'closed') throw refused('order_expired');
  if (order.state === 'paid') throw refused('order_paid');
  if (order.state === 'claimed') throw refused('order_claimed');
}

/** Deny wins and holds if any terminal that may be meant is denied; allow needs all of them. */
function requireScope(
  request: Request,
  channel: Channel,
  mandate: Mandate,
  sellers: readonly KeyStatement[],
): void {
  if (!allowsChannel(mandate, channel)) throw refused('scope_channel');
  for (const scope of mandate.deny ?? []) {
    if (sellers.some((seller) => matches(scope, request, seller))) {
      throw refused(SCOPE_REASONS[scope.kind]);
    }
  }
  for (const kind of new Set(mandate.allow.map((scope) => scope.kind))) {
    const alternatives = mandate.allow.filter((scope) => scope.kind === kind);
    const isAllowed = (seller: KeyStatement) =>
      alternatives.some((scope) => matches(scope, request, seller));
    if (!sellers.every(isAllowed)) throw refused(SCOPE_REASONS[kind]);
  }
}

const SCOPE_REASONS = Object.freeze({
  payee: 'scope_payee',
  category: 'scope_category',
  terminal: 'scope_terminal',
  order: 'order_mismatch',
  any: 'scope_payee',
} as const);

function matches(scope: Scope, request: Request, seller: KeyStatement): boolean {
  switch (scope.kind) {
    case 'payee':
      return scope.payee === request.payee;
    case 'category':
      return scope.category === seller.category;
    case 'terminal':
      return scope.terminal === seller.terminal;
    case 'order':
      return scope.order === request.order;
    case 'any':
      return true;
  }
}

function requirePresence(
  request: Request,
  presence: Presence,
  { chain }: Facts,
  policy: Policy,
): void {
  const { currency, minor } = request.amount!;
  const ladder = policy.ladders.find((entry) => entry.currency === currency);
  // A currency without a ladder is one that the operator has not opened.
  const needed = [
    ladder ? levelFor(ladder.bands, minor) : 4,
    ...chain.map(({ mandate }) => levelFor(mandate.bands, minor)),
  ];
  if (presence < Math.max(...needed)) throw refused('presence_too_low');
}

/** Every limit of one mandate: per payment, gap, and amount and count of each window. */
function requireRoom(amount: bigint, link: ChainLink, nowMs: number): void {
  const { mandate, usage, lastMs } = link;
  const minimum = mandate.perPaymentMin ?? 1n;
  if (amount > mandate.perPaymentMax || amount < minimum) throw refused('limit_per_payment');
  if (mandate.gap !== undefined && lastMs !== undefined && nowMs < lastMs + mandate.gap * 1000) {
    throw refused('limit_gap');
  }
  mandate.windows.forEach((window, i) => {
    const used = usage[i]!;
    if (used.amount + amount > window.max) throw refused('limit_window');
    if (used.count + 1 > window.count) throw refused('limit_count');
  });
}

function reservationsOf(link: ChainLink, amount: bigint): Reservation[] {
  return link.mandate.windows.map((window, index) => ({ mandate: link.id, index, window, amount }));
}

function remainingOf(leaf: ChainLink, amount: bigint): Remaining[] {
  return leaf.mandate.windows.map((window, i) => ({
    amount: window.max - leaf.usage[i]!.amount - amount,
    count: window.count - leaf.usage[i]!.count - 1,
  }));
}

function refused(reason: Reason): PaymentError {
  return new PaymentError(reason, `refused: ${reason}, ${reasonClass(REASONS[reason])}`);
}
