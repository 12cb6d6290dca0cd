/** Shrinking: the smallest plan, the same invariant, and never more worlds than the limit. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Violation } from '../../simulator/observed.ts';
import { shrink } from '../../simulator/shrink.ts';

type Plan = Readonly<{
  seed: string;
  acts: readonly Readonly<{ atMs: number; name: string }>[];
  faults: readonly Readonly<{ atMs: number; name: string }>[];
}>;

const broken = (invariant: Violation['invariant'], atMs = 1e9): Violation => ({
  ...{ kind: invariant === 'liveness' ? 'liveness' : 'safety', invariant, story: '', atMs },
});

function planOf(acts: number, faults: number): Plan {
  const list = (count: number, name: string) =>
    Array.from({ length: count }, (_, i) => ({ atMs: i * 10, name: `${name}${i}` }));
  return { seed: '7', acts: list(acts, 'a'), faults: list(faults, 'f') };
}

const names = ({ acts, faults }: Plan) => [...faults, ...acts].map(({ name }) => name);

/** Breaks I2 as long as all of these are there. */
const needs =
  (...needed: readonly string[]) =>
  (plan: Plan) =>
    needed.every((name) => names(plan).includes(name)) ? broken('I2') : undefined;

test('what is left is what it needs, in its order, and all else of the plan', async () => {
  const plan = planOf(60, 30);
  const shrunk = await shrink(plan, broken('I2'), needs('f3', 'f17', 'a2', 'a41'));
  expect(names(shrunk.plan)).toEqual(['f3', 'f17', 'a2', 'a41']);
  expect(shrunk).toMatchObject({ isMinimal: true, violation: { invariant: 'I2' } });
  expect(shrunk.plan.seed).toBe('7');
  expect(shrunk.runs).toBeLessThan(150);
  expect(plan).toEqual(planOf(60, 30));
});

test('a plan of which nothing is needed becomes empty, and an empty one stays', async () => {
  expect(names((await shrink(planOf(9, 9), broken('I2'), needs())).plan)).toEqual([]);
  const empty = await shrink(planOf(0, 0), broken('I2'), needs());
  expect(empty).toMatchObject({ isMinimal: true, plan: { acts: [], faults: [] } });
});

test('any set of needed entries is found, whichever it is', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: 25 }),
      fc.integer({ min: 0, max: 25 }),
      fc.array(fc.nat(), { maxLength: 6 }),
      async (acts, faults, picks) => {
        const plan = planOf(acts, faults);
        const all = names(plan);
        const needed = new Set(
          all.length === 0 ? [] : picks.map((pick) => all[pick % all.length]!),
        );
        const shrunk = await shrink(plan, broken('I2'), needs(...needed));
        expect(new Set(names(shrunk.plan))).toEqual(needed);
        expect(shrunk.isMinimal).toBe(true);
      },
    ),
    { numRuns: 60 },
  );
});

test('no single entry can go, also where one stands for another', async () => {
  const isBroken = (plan: Plan) => {
    const has = (name: string) => names(plan).includes(name);
    return (has('a1') && has('a7')) || (has('a3') && has('f2')) ? broken('I2') : undefined;
  };
  const { plan } = await shrink(planOf(10, 5), broken('I2'), isBroken);
  expect(isBroken(plan)).toBeDefined();
  for (const name of names(plan)) {
    const without = (list: Plan['acts']) => list.filter((one) => one.name !== name);
    const fewer = { ...plan, acts: without(plan.acts), faults: without(plan.faults) };
    expect(isBroken(fewer)).toBeUndefined();
  }
});

test('another invariant, or another kind, is another failure', async () => {
  const run = (plan: Plan) =>
    names(plan).includes('f1') ? broken('I2') : names(plan).length > 0 ? broken('I6') : undefined;
  expect(names((await shrink(planOf(5, 3), broken('I2'), run)).plan)).toEqual(['f1']);
});

test('what had not begun by then goes at once, unless a promise of the end broke', async () => {
  const told: number[] = [];
  const tell = (entries: number) => void told.push(entries);
  await shrink(planOf(100, 0), broken('I2', 95), needs('a4'), { tell });
  expect(told[0]).toBe(10);
  let first: number | undefined;
  await shrink(planOf(100, 0), broken('liveness', 95), (plan) => {
    first ??= plan.acts.length;
    return undefined;
  });
  expect(first).toBe(50);
});

test('it stops at its limit, with what it has by then', async () => {
  let runs = 0;
  const run = (plan: Plan) => {
    runs++;
    return needs('a0', 'a30', 'f9')(plan);
  };
  const shrunk = await shrink(planOf(60, 30), broken('I2'), run, { runsMax: 10 });
  expect([runs, shrunk.runs, shrunk.isMinimal]).toEqual([10, 10, false]);
  expect(needs('a0', 'a30', 'f9')(shrunk.plan)).toBeDefined();
});

test('what is around the entries gets smaller, too, where the failure stays', async () => {
  type Wide = Plan & Readonly<{ people: number }>;
  const smaller = (plan: Wide): readonly Wide[] =>
    [10, 3, 1].filter((people) => people < plan.people).map((people) => ({ ...plan, people }));
  const run = (plan: Wide) => (plan.people >= 3 ? needs('a4')(plan) : undefined);
  const wide: Wide = { ...planOf(20, 5), people: 40 };
  const { plan, isMinimal } = await shrink(wide, broken('I2'), run, { smaller });
  expect([names(plan), plan.people, isMinimal]).toEqual([['a4'], 3, true]);
});
