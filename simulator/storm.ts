/**
 * One storm: a plan is carried out while things break, everything is made whole, and then all that
 * was begun has to come to its end. After every event the checker looks.
 */
import { audit } from '../broker/audit.ts';
import { payloadOf } from '../src/cose.ts';
import { REASONS, reasonName } from '../src/errors.ts';
import { STORM_EVENTS_MAX } from '../src/limits.ts';
import { receipt as receiptKind } from '../src/objects/receipt.ts';
import { type Checker, createChecker } from './checker.ts';
import { createSite } from './census.ts';
import type { Site } from './site.ts';
import { createChance } from './chance.ts';
import type { Observed, Violation } from './observed.ts';
import { type Plan, actName, faultName } from './plan.ts';
import { type World, type WorldPorts, createWorld } from './world.ts';

/** How often each kind of act, fault and reason code was met. */
export type Coverage = ReadonlyMap<string, number>;

export type Outcome = Readonly<{
  plan: Plan;
  /** The first that was found, and with liveness all that stayed open. */
  violations: readonly Violation[];
  /** Requests that devices and agents sent, each once. */
  payments: number;
  /** Faults that happened. */
  faults: number;
  coverage: Coverage;
  /** The last events before the violation, in words. */
  story: readonly string[];
  /** SHA-256 over all that was seen; only when it was asked for. */
  hash: string | undefined;
  /** How many events it took. */
  events: number;
}>;

/** Carries a plan out. The same plan has the same outcome, on every machine. */
export async function runStorm(
  plan: Plan,
  ports: WorldPorts,
  wants: Readonly<{
    hash?: boolean;
    watch?: (observed: readonly Observed[], site: Site) => void;
  }> = {},
): Promise<Outcome> {
  const chance = createChance(`world ${plan.seed}`);
  const site = await createSite(plan.site, plan.algorithm, chance.fork('site'));
  const world = createWorld(site, chance, ports);
  try {
    const checker = checkerOf(world);
    schedule(plan, world);
    const violations: Violation[] = [];
    let events = 0;
    const until = async (ms: number): Promise<boolean> => {
      while (await world.step(ms)) {
        events++;
        const violation = checker.step() ?? (events > STORM_EVENTS_MAX ? endlessAt(ms) : undefined);
        if (violation) violations.push(violation);
        if (violation) return false;
      }
      return true;
    };
    let isFine = await until(plan.healMs);
    if (isFine) {
      world.heal();
      for (let ms = plan.healMs; isFine && ms < plan.endMs && !world.isQuiet();) {
        ms = Math.min(ms + QUIET_MS, plan.endMs);
        isFine = await until(ms);
      }
    }
    if (isFine) violations.push(...(await checker.end()));
    return {
      plan,
      violations,
      payments: paymentsIn(world.observed),
      faults: world.observed.filter(({ what }) => what === 'fault').length,
      coverage: coverageOf(plan, world.observed),
      story: violations.length > 0 ? storyOf(world.observed) : [],
      hash: wants.hash ? world.hash() : undefined,
      events,
    };
  } finally {
    wants.watch?.(world.observed, site);
    world.end();
  }
}

/** Messages that cause messages: the money may be right, and nobody gets on. */
function endlessAt(ms: number): Violation {
  const story = `after ${STORM_EVENTS_MAX} events it has not come to ${Math.round(ms / 1000)} s`;
  return Object.freeze({ kind: 'liveness', invariant: 'liveness', story, atMs: ms });
}

/** How often it is looked whether all is over, and how long that has to be so. */
const QUIET_MS = 15_000;

function checkerOf(world: World): Checker {
  return createChecker({
    realm: world.site.realm,
    observed: world.observed,
    ...world.stores,
    async audit() {
      // A backup does not know what moved after it, and the audit is there to say so.
      const wasRestored = world.observed.some(
        (one) => one.what === 'life' && one.machine === 'bridge' && one.event === 'restored',
      );
      const bridge = world.bridge();
      if (!bridge) return ['there is no bridge to audit'];
      const found = audit({ store: bridge.store, backends: bridge.backends });
      let report: Awaited<typeof found> | undefined;
      void found.then((done) => (report = done));
      while (!report && (await world.step(Infinity)));
      return [
        ...report!.differences
          .filter(({ what }) => !wasRestored || what !== 'movement')
          .map(
            ({ what, where, expected, found: has }) => `${what} ${where}: ${expected}, not ${has}`,
          ),
        ...report!.unchecked,
      ];
    },
  });
}

function schedule(plan: Plan, world: World): void {
  for (const fault of plan.faults) {
    if (fault.fault === 'restore device') {
      world.at(Math.max(1_000, fault.atMs - fault.ageMs), () => world.keep(fault.machine));
    }
    world.at(fault.atMs, () => world.fault(fault));
  }
  for (const act of plan.acts) world.at(act.atMs, () => world.act(act));
}

function paymentsIn(observed: readonly Observed[]): number {
  const ids = new Set<string>();
  for (const one of observed) if (one.what === 'told' && one.id !== undefined) ids.add(one.id);
  return ids.size;
}

function coverageOf(plan: Plan, observed: readonly Observed[]): Coverage {
  const coverage = new Map<string, number>();
  const count = (name: string) => coverage.set(name, (coverage.get(name) ?? 0) + 1);
  for (const act of plan.acts) count(`act ${actName(act)}`);
  for (const one of observed) {
    if (one.what === 'fault') count(`fault ${faultName(one.fault)}`);
    else if (one.what === 'life' || one.what === 'disk') count(`${one.what} ${one.event}`);
  }
  for (const reason of reasonsIn(observed)) count(`reason ${reason}`);
  return coverage;
}

/**
 * The codes that people and agents were told, that the bridge answered with (each answer once,
 * however often it was sent), and that programs told their operator about what they refused.
 */
function reasonsIn(observed: readonly Observed[]): readonly string[] {
  const heard = new Set<Uint8Array>();
  return observed.flatMap((one) => {
    if (one.what === 'told') return one.reason ?? one.kind;
    // A program that cannot begin tells its operator why: "FILE: CODE: what to do".
    if (one.what === 'life') return CODES.filter((code) => one.why?.includes(`: ${code}: `));
    if (one.what === 'forged') heard.add(one.bytes);
    if (one.what === 'logged') return (one.fields?.['reason'] as string | undefined) ?? [];
    if (one.what !== 'wire' || !one.topic.endsWith(RECEIPT) || heard.has(one.bytes)) return [];
    heard.add(one.bytes);
    const { reason } = receiptKind.decode(payloadOf(one.bytes));
    return (reason !== undefined && reasonName(reason)) || [];
  });
}

const RECEIPT = '/down/receipt';
const CODES = Object.keys(REASONS);

/** What people and machines did last, for whoever has to find out why. */
function storyOf(observed: readonly Observed[]): readonly string[] {
  return observed
    .filter(({ what }) => what !== 'wire' && what !== 'http' && what !== 'disk')
    .slice(-STORY_LINES)
    .map(sentenceOf);
}

const STORY_LINES = 25;

/** One thing that was seen, in words. */
export function sentenceOf(one: Observed): string {
  const at = `${(one.atMs / 1000).toFixed(3)} s`;
  switch (one.what) {
    case 'shown':
      return `${at}  ${one.device} asks ${one.person}: ${one.sentence}`;
    case 'sensed':
      return `${at}  ${one.person} does at ${one.device}: ${one.kind} ${one.text}`;
    case 'confirmed':
      return `${at}  ${one.person} confirms ${one.amount.minor} to ${one.payee}`;
    case 'voided':
      return `${at}  ${one.person} does not confirm: ${one.why}`;
    case 'said':
      return `${at}  ${one.device} says: ${one.sentence}`;
    case 'told':
      return `${at}  ${one.device} ends ${one.id ?? ''} as ${one.kind} ${one.reason ?? ''}`.trim();
    case 'signed':
      return `${at}  ${one.agent} signs ${one.id}`;
    case 'granted':
    case 'revoked':
      return `${at}  ${one.wallet} has ${one.what} ${one.id}`;
    case 'wire':
      return `${at}  ${one.from} → ${one.to} ${one.topic} ${one.fate}`;
    case 'forged':
      return `${at}  somebody puts into ${one.topic}: ${one.forgery}`;
    case 'taken':
      return `${at}  the bridge takes ${one.topic}`;
    case 'http':
      return `${at}  ${one.from} → ${one.to} ${one.route} ${one.fate}`;
    case 'disk':
      return `${at}  disk of ${one.machine}: ${one.path} ${one.event}`;
    case 'logged':
      return `${at}  ${one.machine} logs ${one.event} ${JSON.stringify(one.fields ?? {})}`;
    case 'life':
      return `${at}  ${one.machine}: ${one.event}${one.why === undefined ? '' : ` (${one.why})`}`;
    case 'fault':
    case 'heal':
      return `${at}  ${one.what === 'fault' ? 'breaks' : 'whole again'}: ${one.fault.name}`;
    case 'healed':
      return `${at}  everything is whole again`;
    case 'crash':
      return `${at}  ${one.machine} crashes: ${one.error}`;
  }
}
