// Plans: every seed has enough of everything, and nothing that can happen is left out for good.
import { expect, test } from 'vitest';
import { ACT_NAMES, FAULT_NAMES, planOf } from '../../simulator/forecast.ts';
import { type Plan, actName, faultName, planText } from '../../simulator/plan.ts';

const plans = Array.from({ length: 300 }, (_, seed) => planOf(seed));

test('every plan is crowded, breaks a lot and is over in time', () => {
  for (const { acts, faults, healMs, endMs } of plans) {
    expect(acts.length).toBeGreaterThanOrEqual(100);
    expect(faults.length).toBeGreaterThanOrEqual(20);
    expect([...acts, ...faults].every(({ atMs }) => atMs > 0 && atMs < healMs)).toBe(true);
    expect(endMs).toBeGreaterThan(healMs);
    const names = [...acts, ...faults].map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
  }
});

test('every kind of act comes up, the rarest in one of a hundred worlds', () => {
  const met = new Set(plans.flatMap(({ acts }) => acts.map(actName)));
  expect([...met].sort()).toEqual([...ACT_NAMES].sort());
});

test('every kind of fault comes up, and one world in a hundred signs with ES256', () => {
  const met = new Set(plans.flatMap(({ faults }) => faults.map(faultName)));
  expect([...met].sort()).toEqual([...FAULT_NAMES].sort());
  expect(plans.filter(({ algorithm }) => algorithm === 'ES256')).toHaveLength(3);
});

test('a plan that was saved is the same plan', () => {
  const [, plan] = plans;
  expect(JSON.parse(planText(plan!)) as Plan).toEqual(plan);
  expect(planOf(1)).toEqual(plan);
  expect(planOf(2)).not.toEqual(plan);
});
