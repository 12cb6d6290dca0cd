/** Group commit: who shares a commit, who is told when, and what a full queue says. */
import fc from 'fast-check';
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

/** Lets everything that was promised be told. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

/** A database whose disk syncs when the test says so: each commit ends by hand, in any way. */
function slowDisk() {
  const { timers, turn } = turns();
  const commits: { works: readonly number[]; finish: () => void; fail: (why: Error) => void }[] =
    [];
  const add = createGroup<number, number>(
    (works) =>
      new Promise((resolve, fail) => {
        commits.push({ works, finish: () => resolve(works.map((work) => work * 10)), fail });
      }),
    timers,
  );
  return { add, turn, commits };
}

test('while a group is on its way to the disk, the next one gathers', async () => {
  const { add, turn, commits } = slowDisk();
  const told: number[] = [];
  const tell = (work: number) => void add(work).then((answer) => told.push(answer));
  tell(1);
  turn();
  tell(2);
  turn();
  tell(3);
  await settle();
  expect(commits.map(({ works }) => works)).toEqual([[1]]);
  expect(told).toEqual([]);

  commits[0]!.finish();
  await settle();
  expect(told).toEqual([10]);
  turn();
  expect(commits.map(({ works }) => works)).toEqual([[1], [2, 3]]);
  commits[1]!.finish();
  await settle();
  expect(told).toEqual([10, 20, 30]);
});

test('a commit that the disk loses fails its own group and not the next', async () => {
  const { add, turn, commits } = slowDisk();
  const first = add(1);
  turn();
  const second = add(2);
  commits[0]!.fail(new Error('the disk failed'));
  await expect(first).rejects.toThrow('the disk failed');
  turn();
  commits[1]!.finish();
  expect(await second).toBe(20);
});

test('too few answers fail the group: that is a bug and no answer', async () => {
  const { timers, turn } = turns();
  const add = createGroup<number, number>(async (works) => works.slice(1), timers);
  const answers = [add(1), add(2)];
  turn();
  for (const answer of answers) await expect(answer).rejects.toThrow(/2/);
});

test('the queue is bounded while the disk is at work, too', async () => {
  const { add, turn } = slowDisk();
  void add(0);
  turn();
  for (let i = 0; i < STORE_QUEUE_MAX; i++) void add(i);
  await expect(add(0)).rejects.toMatchObject({ reason: 'unavailable' });
});

type Step = 'add' | 'turn' | 'finish' | 'fail';

test('in any order, nobody is told before his commit is durable, and all are told once', () => {
  const STEP = fc.constantFrom<Step>('add', 'add', 'turn', 'turn', 'finish', 'fail');
  return fc.assert(
    fc.asyncProperty(fc.array(STEP, { maxLength: 60 }), async (steps) => {
      const { add, turn, commits } = slowDisk();
      const told = new Map<number, number | 'failed'>();
      const expected = new Map<number, number | 'failed'>();
      let added = 0;
      let ended = 0;
      const end = (how: 'finish' | 'fail') => {
        const commit = commits[ended];
        if (!commit) return;
        ended++;
        for (const work of commit.works) expected.set(work, how === 'fail' ? 'failed' : work * 10);
        if (how === 'finish') commit.finish();
        else commit.fail(new Error('the disk failed'));
      };
      for (const step of steps) {
        if (step === 'turn') turn();
        else if (step !== 'add') end(step);
        else {
          const work = added++;
          add(work).then(
            (answer) => told.set(work, answer),
            () => told.set(work, 'failed'),
          );
        }
        await settle();
        expect(commits.length - ended).toBeLessThanOrEqual(1);
        expect(told).toEqual(expected);
      }
      for (let i = 0; i <= added; i++) {
        turn();
        end('finish');
        await settle();
      }
      expect(told).toEqual(expected);
      expect(told.size).toBe(added);
    }),
  );
});
