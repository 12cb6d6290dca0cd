/**
 * Group commit: everything that waits when a commit begins shares it.
 *
 * Alone a piece of work is committed in the same turn of the loop; under load two hundred share
 * one sync of the disk, and while a slow disk syncs one group the next one gathers. Nobody is
 * answered before the commit that holds the work is on disk.
 */
import assert from 'node:assert/strict';
import { PaymentError } from '../src/errors.ts';
import { STORE_GROUP_MAX, STORE_QUEUE_MAX } from '../src/limits.ts';
import type { Timers } from '../src/platform.ts';

/**
 * A queue in front of `commit`, which does all works of a group and gives one answer for each once
 * they are durable: at once, or by a promise. If it throws or rejects, the whole group fails. One
 * group is under way at a time. Rejects with `unavailable` beyond STORE_QUEUE_MAX.
 */
export function createGroup<Work, Answer>(
  commit: (works: readonly Work[]) => readonly Answer[] | Promise<readonly Answer[]>,
  timers: Timers,
): (work: Work) => Promise<Answer> {
  type Waiting = Readonly<{
    work: Work;
    resolve: (answer: Answer) => void;
    reject: (error: unknown) => void;
  }>;
  const waiting: Waiting[] = [];
  let isBusy = false;

  function flush(): void {
    const group = waiting.splice(0, STORE_GROUP_MAX);
    try {
      const answers = commit(group.map(({ work }) => work));
      if (!(answers instanceof Promise)) return tell(group, answers);
      answers.then((durable) => tell(group, durable)).catch((error: unknown) => fail(group, error));
    } catch (error) {
      fail(group, error);
    }
  }

  function tell(group: readonly Waiting[], answers: readonly Answer[]): void {
    assert.equal(answers.length, group.length);
    for (const [i, { resolve }] of group.entries()) resolve(answers[i]!);
    next();
  }

  function fail(group: readonly Waiting[], error: unknown): void {
    for (const { reject } of group) reject(error);
    next();
  }

  /** In a turn of its own: whoever was told just now joins the next group with what follows. */
  function next(): void {
    isBusy = waiting.length > 0;
    if (isBusy) timers.soon(flush);
  }

  return (work) =>
    new Promise((resolve, reject) => {
      if (waiting.length >= STORE_QUEUE_MAX) {
        reject(new PaymentError('unavailable', 'Too much waits for the disk.'));
        return;
      }
      waiting.push({ work, resolve, reject });
      if (!isBusy) next();
    });
}
