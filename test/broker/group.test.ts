/** Group commit: who shares a commit, who is told when, and what a full queue says. */
import { expect, test } from 'vitest';
import { createGroup } from '../../broker/group.ts';
import { STORE_GROUP_MAX, STORE_QUEUE_MAX } from '../../src/limits.ts';
import type { Timers } from '../../src/platform.ts';

/** Timers whose `soon` waits until the test turns the loop. */
function turns() {
  const queue: (() => void)[] = [];
  const timers: Timers = { after: () => () => {}, soon: (run) => void queue.push(run) };
  return { timers, turn: () => queue.splice(0).forEach((run) => run()) };
}

test('what waits at once shares one commit, and nobody is told before it returns', async () => {
  const { timers, turn } = turns();
  const commits: (readonly number[])[] = [];
  const told: number[] = [];
  const add = createGroup<number, number>((works) => {
    expect(told).toEqual([]);
    commits.push(works);
    return works.map((work) => work * 10);
  }, timers);
  const answers = [1, 2, 3].map((work) => add(work).then((answer) => told.push(answer)));
  turn();
  await Promise.all(answers);
  expect(commits).toEqual([[1, 2, 3]]);
  expect(told).toEqual([10, 20, 30]);
});

test('a commit that fails fails its own group and not the next', async () => {
  const { timers, turn } = turns();
  let isBroken = true;
  const add = createGroup<number, number>((works) => {
    if (isBroken) throw new Error('the disk is full');
    return works;
  }, timers);
  const first = add(1);
  turn();
  await expect(first).rejects.toThrow('the disk is full');
  isBroken = false;
  const second = add(2);
  turn();
  expect(await second).toBe(2);
});

test('a long queue goes in groups of a bounded size', async () => {
  const { timers, turn } = turns();
  const sizes: number[] = [];
  const add = createGroup<number, number>((works) => {
    sizes.push(works.length);
    return works;
  }, timers);
  const all = Array.from({ length: STORE_GROUP_MAX + 5 }, (_, i) => add(i));
  turn();
  turn();
  await Promise.all(all);
  expect(sizes).toEqual([STORE_GROUP_MAX, 5]);
});

test('a full queue refuses with unavailable instead of growing', async () => {
  const { timers } = turns();
  const add = createGroup<number, number>((works) => works, timers);
  for (let i = 0; i < STORE_QUEUE_MAX; i++) void add(i);
  await expect(add(0)).rejects.toMatchObject({ reason: 'unavailable' });
});
