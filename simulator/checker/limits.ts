/**
 * What a mandate permits, counted from its signed text and from what was accepted under it: I1
 * (every window of every mandate of the chain, leases included) and I4 (no payment that one of
 * them does not allow).
 *
 * The bridge's own windows are not looked at. Where only the bridge can know on which date a
 * payment counts (its clock decides), its note of the time is taken, and nothing else of it.
 */
import { slotOf } from '../../broker/windows.ts';
import { type Mandate, allowsChannel } from '../../src/objects/mandate.ts';
import type { Accepted, Link, Run } from './accepted.ts';
import type { Moved } from './moved.ts';

/**
 * Windows of these mandates that hold more than they may, as sentences. A payment counts from the
 * moment it was accepted until it is known that it does not move, a pool for what was not spent.
 */
export function overdrawn(
  mandates: Iterable<string>,
  accepted: Accepted,
  moved: Moved,
): readonly string[] {
  const pools = accepted.pools().map((pool) => {
    const chain = accepted.chain(pool.mandate);
    const spent = accepted.under(pool.mandate).filter((run) => {
      const isOfPool = run.request.mandate === pool.mandate && run.lease !== undefined;
      // Also one that was refused later: what it drew does not go back to the pool.
      return isOfPool && run.row > pool.since;
    });
    return {
      atMs: pool.atMs,
      chain,
      minor: spent.reduce((rest, run) => rest - (run.request.amount?.minor ?? 0n), pool.amount),
      count: pool.count - BigInt(spent.length),
    };
  });
  return [...mandates].flatMap((id) => {
    const link = accepted.chain(id)[0];
    if (!link) return [];
    const usages = accepted.under(id).flatMap((run) => usageOf(run, moved) ?? []);
    const held = pools.filter(({ chain }) => chain.some((one) => one.id === id));
    return link.mandate.windows.flatMap((window, place) => {
      // A pool counts from when it was last filled; what had left the window by then is over.
      const nowMs = Math.max(
        0,
        ...usages.map(({ run }) => run.admittedMs),
        ...held.map(({ atMs }) => atMs),
      );
      const slot = (atMs: number) => {
        const at = slotOf(window, atMs);
        return at.kind === 'label' ? at.label : undefined;
      };
      const labelOf = ({ run }: Usage) =>
        run.lease === undefined
          ? slot(run.admittedMs)
          : (accepted.label(run.id, id, place) ?? slot(run.admittedMs));
      const inside = (usage: Usage) =>
        window.kind !== 'rolling' || usage.run.admittedMs > nowMs - window.seconds * 1000;
      const sums = new Map<string, { minor: bigint; count: bigint }>();
      const add = (label: string | undefined, minor: bigint, count: bigint) => {
        const name = window.kind === 'rolling' ? 'now' : (label ?? '');
        const sum = sums.get(name) ?? { minor: 0n, count: 0n };
        sums.set(name, { minor: sum.minor + minor, count: sum.count + count });
      };
      for (const usage of usages) if (inside(usage)) add(labelOf(usage), usage.minor, 1n);
      for (const { atMs, minor, count } of held) add(slot(atMs), minor, count);
      return [...sums].flatMap(([label, { minor, count }]) => {
        const isOver = minor > window.max || count > BigInt(window.count);
        if (!isOver) return [];
        const most = `${window.max} in ${window.count} payments`;
        const where = `${window.kind} window ${place} of mandate ${id} (${label})`;
        return [`${where} holds ${minor} in ${count} payments, it may hold ${most}`];
      });
    });
  });
}

/** What the chain does not permit about a payment that was accepted, as sentences. */
export function forbidden(
  { request, kid, admittedMs }: Run,
  chain: readonly Link[],
  isGranted: (root: Link) => boolean,
): readonly string[] {
  const [leaf] = chain;
  const root = chain.at(-1);
  if (!leaf || !root || root.mandate.parent !== undefined) {
    return [`it was accepted under ${request.mandate}, whose chain is not known`];
  }
  const faults: string[] = [];
  const demand = (isTrue: boolean, fault: string) => void (isTrue || faults.push(fault));
  demand(isGranted(root), `no wallet has granted mandate ${root.id}`);
  demand(leaf.mandate.cnf.startsWith(kid), 'another key than the one that its mandate names');
  for (const [depth, { mandate }] of chain.entries()) {
    const parent = chain[depth + 1];
    const signer = chain[depth]!.kid;
    demand(!parent || parent.mandate.cnf.startsWith(signer), 'delegated by another key');
    faults.push(...forbiddenBy(mandate, request, admittedMs));
  }
  return faults;
}

type Usage = Readonly<{ run: Run; minor: bigint }>;

/**
 * Whether it counts, as far as the bridge's rows go. What a restore found under way is refused, and
 * counts all the same when it had moved; what was paid and forgotten was never judged.
 */
function takes({ wasAccepted, isRefused, outcome, receipt }: Run): boolean {
  return receipt === undefined ? !isRefused : wasAccepted && TAKING.includes(outcome ?? '');
}

const TAKING: readonly string[] = ['captured', 'held', 'granted'];

/** What it takes of every window of its chain; undefined when it takes nothing any more. */
function usageOf(run: Run, moved: Moved): Usage | undefined {
  if (!takes(run)) return undefined;
  const minor = run.request.amount?.minor ?? 0n;
  if (run.outcome !== 'held') return { run, minor };
  const spent = moved.spent(run.id);
  return spent > 0n ? { run, minor: spent } : undefined;
}

function forbiddenBy(
  mandate: Mandate,
  { amount, payee, terminal, order, channel, presence }: Run['request'],
  admittedMs: number,
): string[] {
  const faults: string[] = [];
  const demand = (isTrue: boolean, fault: string) => void (isTrue || faults.push(fault));
  const nowS = admittedMs / 1000;
  demand(mandate.nbf <= nowS && nowS < mandate.exp, 'its mandate was not valid then');
  demand(allowsChannel(mandate, channel), `not allowed by ${channel}`);
  if (amount) {
    const { currency, minor } = amount;
    demand(currency === mandate.currency, `${currency} under a mandate in ${mandate.currency}`);
    const least = mandate.perPaymentMin ?? 1n;
    const isWithin = least <= minor && minor <= mandate.perPaymentMax;
    demand(isWithin, `${minor} is not from ${least} to ${mandate.perPaymentMax}`);
    const band = mandate.bands.find(({ ceiling }) => minor <= ceiling);
    demand(!band || presence >= band.level, `presence ${presence} for ${minor}`);
  }
  const said: Readonly<Record<string, string | undefined>> = { payee, terminal, order };
  for (const kind of ['payee', 'terminal', 'order'] as const) {
    const named = (scopes: Mandate['allow']) =>
      scopes.flatMap((scope) =>
        scope.kind === kind ? [(scope as Record<string, string>)[kind]] : [],
      );
    const allowed = named(mandate.allow);
    demand(
      allowed.length === 0 || allowed.includes(said[kind]),
      `${kind} ${said[kind]} is not allowed`,
    );
    demand(!named(mandate.deny ?? []).includes(said[kind]), `${kind} ${said[kind]} is denied`);
  }
  return faults;
}
