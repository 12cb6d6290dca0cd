/**
 * The smallest plan that still breaks the same promise: what is left of a failure when everything
 * is taken out that it does not need.
 *
 * Delta debugging (Zeller and Hildebrandt, "Simplifying and isolating failure-inducing input",
 * 2002) over one list of all acts and faults: parts of it are left out, half of it first, one entry
 * last, until no single one can go. Entries draw their chance from their names, so what remains
 * goes on as it did. Only the same invariant counts: a plan that breaks another one is another
 * failure, and following it would lose the first.
 */
import { SHRINK_RUNS_MAX } from '../src/limits.ts';
import type { Violation } from './observed.ts';

/** What is shrunk of a plan; all else of it stays. */
type Schedule = Readonly<{
  acts: readonly Readonly<{ atMs: number }>[];
  faults: readonly Readonly<{ atMs: number }>[];
}>;

export type Shrunk<P> = Readonly<{
  plan: P;
  /** Of the plan as it is now. */
  violation: Violation;
  /** Worlds that were run for it. */
  runs: number;
  /** Whether no entry of it can go; false when the limit came first. */
  isMinimal: boolean;
}>;

/**
 * Shrinks `plan`, which broke a promise as `violation` says. `run` must say the same of the same
 * plan every time. `tell` hears how many entries are left whenever there are fewer.
 */
export async function shrink<P extends Schedule>(
  plan: P,
  violation: Violation,
  run: (plan: P) => Promise<Violation | undefined> | Violation | undefined,
  options: Readonly<{
    runsMax?: number;
    tell?: (entries: number, runs: number) => void;
    /** The same with less around it (who does nothing in it), to be tried now and then. */
    smaller?: (plan: P) => readonly P[];
  }> = {},
): Promise<Shrunk<P>> {
  const { runsMax = SHRINK_RUNS_MAX, tell = () => {}, smaller = () => [] } = options;
  let around = plan;
  let entries = entriesOf(plan);
  let found = violation;
  let runs = 0;

  /** Whether these are enough; then they are what is left. */
  async function isEnough(fewer: readonly Entry[], within = around): Promise<boolean> {
    runs++;
    const broken = await run(planOf(within, fewer));
    if (broken?.kind !== violation.kind || broken.invariant !== violation.invariant) return false;
    entries = fewer;
    around = within;
    found = broken;
    tell(entries.length, runs);
    return true;
  }

  /** A smaller world runs faster, and its story is easier to read. */
  async function clear(): Promise<void> {
    for (const less of smaller(planOf(around, entries))) {
      if (runs < runsMax) await isEnough(entries, less);
    }
  }

  /** Leaves out part after part of `size` entries; whether any part could go. */
  async function thin(size: number): Promise<boolean> {
    const before = entries.length;
    for (let at = 0; at < entries.length && runs < runsMax;) {
      const fewer = entries.filter((_, place) => place < at || place >= at + size);
      if (!(await isEnough(fewer))) at += size;
    }
    return entries.length < before;
  }

  if (violation.kind !== 'liveness' && runs < runsMax) {
    // What had not begun by then cannot have caused it, as a rule.
    const early = entries.filter(({ one }) => one.atMs <= violation.atMs);
    if (early.length < entries.length) await isEnough(early);
  }
  for (let size = Math.ceil(entries.length / 2); size >= 1 && runs < runsMax;) {
    const hasThinned = await thin(Math.min(size, Math.max(1, entries.length)));
    if (hasThinned) await clear();
    // With one entry at a time it goes on until no single one can go.
    if (size > 1) size = Math.ceil(size / 2);
    else if (!hasThinned) return result(true);
  }
  return result(entries.length === 0);

  function result(isMinimal: boolean): Shrunk<P> {
    return Object.freeze({ plan: planOf(around, entries), violation: found, runs, isMinimal });
  }
}

type Entry = Readonly<{ list: 'acts' | 'faults'; one: Readonly<{ atMs: number }> }>;

/** Faults first, since a story without them is the better one; each list from its end. */
function entriesOf({ acts, faults }: Schedule): readonly Entry[] {
  return [
    ...faults.toReversed().map((one) => ({ list: 'faults' as const, one })),
    ...acts.toReversed().map((one) => ({ list: 'acts' as const, one })),
  ];
}

/** The plan with these entries alone, in the order in which they stood. */
function planOf<P extends Schedule>(plan: P, entries: readonly Entry[]): P {
  const kept = new Set(entries.map(({ one }) => one));
  return {
    ...plan,
    acts: plan.acts.filter((one) => kept.has(one)),
    faults: plan.faults.filter((one) => kept.has(one)),
  };
}
