/**
 * What storms found, for people: a line for each failure, the last events before it, and what was
 * met and what never was. Pure.
 */
import { REASONS } from '../../src/errors.ts';
import { ACT_NAMES, FAULT_NAMES } from '../forecast.ts';
import type { Violation } from '../observed.ts';
import type { Outcome } from '../storm.ts';

/** An outcome as one process tells another; fit for JSON. */
export type Told = Readonly<{
  seed: string;
  violations: readonly Violation[];
  payments: number;
  faults: number;
  events: number;
  coverage: Readonly<Record<string, number>>;
  story: readonly string[];
  hash?: string;
}>;

/** What was found so far. */
export type Tally = Readonly<{
  storms: number;
  failed: readonly Told[];
  payments: number;
  faults: number;
  coverage: ReadonlyMap<string, number>;
}>;

export const EMPTY: Tally = Object.freeze({
  storms: 0,
  failed: [],
  payments: 0,
  faults: 0,
  coverage: new Map(),
});

export function toldOf(outcome: Outcome): Told {
  const { plan, violations, payments, faults, events, coverage, story, hash } = outcome;
  const common = { seed: plan.seed, violations, payments, faults, events, story };
  return { ...common, coverage: Object.fromEntries(coverage), ...(hash !== undefined && { hash }) };
}

export function plus(tally: Tally, told: Told): Tally {
  const coverage = new Map(tally.coverage);
  for (const [name, count] of Object.entries(told.coverage)) {
    coverage.set(name, (coverage.get(name) ?? 0) + count);
  }
  return {
    storms: tally.storms + 1,
    failed: told.violations.length > 0 ? [...tally.failed, told] : tally.failed,
    payments: tally.payments + told.payments,
    faults: tally.faults + told.faults,
    coverage,
  };
}

/** One line: which seed, which promise, how. */
export function failureLine({ seed, violations }: Told): string {
  const [first] = violations;
  return `seed ${seed}: ${first!.kind} ${first!.invariant}: ${first!.story}`;
}

/** Everything about one failure: what came before it, and how to see it again. */
export function failureLines(told: Told, again: string): readonly string[] {
  return [...told.story.map((line) => `  ${line}`), failureLine(told), `again: ${again}`];
}

/** How many, how fast, what was met and what was not. */
export function summaryLines(tally: Tally, seconds: number): readonly string[] {
  const { storms, failed, payments, faults, coverage } = tally;
  const speed = seconds > 0 ? `, ${Math.round(payments / seconds)} payments/s` : '';
  const met = (names: readonly string[], group: string) =>
    names.filter((name) => coverage.has(`${group} ${name}`));
  const lacks = (names: readonly string[], group: string) =>
    names.filter((name) => !coverage.has(`${group} ${name}`));
  const reasons = Object.keys(REASONS);
  const part = (title: string, names: readonly string[], group: string) => {
    const none = lacks(names, group);
    const never = none.length > 0 ? `; never met: ${none.join(', ')}` : '';
    return `${title}: ${met(names, group).length} of ${names.length} met${never}`;
  };
  return [
    `${storms} storms, ${payments} payments, ${faults} faults${speed}`,
    part('kinds of acts', ACT_NAMES, 'act'),
    part('kinds of faults', FAULT_NAMES, 'fault'),
    part('reason codes', reasons, 'reason'),
    failed.length === 0 ? 'every promise was kept' : `${failed.length} storms broke a promise`,
  ];
}
