/**
 * Group commit: everything that waits when a commit begins shares it.
 *
 * Alone a piece of work is committed in the same turn of the loop; under load two hundred share
 * one sync of the disk. Nobody is answered before the commit that holds the work has returned.
 */
import assert from 'node:assert/strict';
import { PaymentError } from '../src/errors.ts';
import { STORE_GROUP_MAX, STORE_QUEUE_MAX } from '../src/limits.ts';
import type { Timers } from '../src/platform.ts';

/**
 * A queue in front of `commit`, which does all works of a group durably and returns one answer for
 * each, or throws; then the whole group fails. Rejects with `unavailable` beyond STORE_QUEUE_MAX.
 */
export function createGroup<Work, Answer>(
  commit: (works: readonly Work[]) => readonly Answer[],
  timers: Timers,
): (work: Work) => Promise<Answer> {
  type Waiting = Readonly<{
    work: Work;
    resolve: (answer: Answer) => void;
    reject: (error: unknown) => void;
  }>;
  const waiting: Waiting[] = [];

  function flush(): void {
    const group = waiting.splice(0, STORE_GROUP_MAX);
    if (waiting.length > 0) timers.soon(flush);
    try {
      const answers = commit(group.map(({ work }) => work));
      assert.equal(answers.length, group.length);
      for (const [i, { resolve }] of group.entries()) resolve(answers[i]!);
    } catch (error) {
      for (const { reject } of group) reject(error);
    }
  }

  return (work) =>
    new Promise((resolve, reject) => {
      if (waiting.length >= STORE_QUEUE_MAX) {
        reject(new PaymentError('unavailable', 'Too much waits for the disk.'));
        return;
      }
      waiting.push({ work, resolve, reject });
      if (waiting.length === 1) timers.soon(flush);
    });
}
