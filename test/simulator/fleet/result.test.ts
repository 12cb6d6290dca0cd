// What a run is worth. Method: one run that went right, and each thing that can be wrong with it.
import { expect, test } from 'vitest';
import { type Ended, verdictOf } from '../../../simulator/fleet/result.ts';

const comparison = {
  ...{ twice: 0, unpaid: 0, refusedButMoved: 0, openMoved: 0, openUnmoved: 0 },
  ...{ foreign: 0, wrongAmounts: 0, examples: [] },
};
const right: Ended = {
  ...{ due: 1_000, sent: 1_000, refused: 0, inTime: 1_000, comparison },
  ...{ differences: 0, p99Ms: 40, isAborted: false },
};
const books = (more: Partial<Ended['comparison']>) => ({ comparison: { ...comparison, ...more } });

test('everything went right', () => {
  expect(verdictOf({ p99Ms: 40 }, right)).toEqual({
    ...{ twice: 0, lost: 0, waiting: 0, faults: [], exit: 'ok' },
  });
});

test.each([
  ['twice', books({ twice: 1 }), 'safety', { twice: 1 }],
  ['lost', books({ unpaid: 2 }), 'safety', { lost: 2 }],
  ['moved although refused', books({ refusedButMoved: 1 }), 'safety', {}],
  ['foreign', books({ foreign: 1 }), 'safety', {}],
  ['wrong amounts', books({ wrongAmounts: 1 }), 'safety', {}],
  ['books that do not add up', { differences: 1 }, 'safety', {}],
  ['money before the rate', { ...books({ twice: 1 }), inTime: 0 }, 'safety', {}],
  ['waiting', books({ openMoved: 1, openUnmoved: 2 }), 'failed', { waiting: 3, lost: 0 }],
  ['late', { inTime: 989 }, 'failed', {}],
  ['refused', { refused: 1 }, 'failed', {}],
  ['just in time', { inTime: 990 }, 'ok', {}],
  ['never sent', { sent: 999 }, 'failed', {}],
  ['nothing due', { due: 0, sent: 0, inTime: 0 }, 'failed', {}],
  ['a slow hundredth', { p99Ms: 40.1 }, 'failed', {}],
  ['ended by somebody', { isAborted: true, inTime: 3, sent: 900 }, 'aborted', {}],
  ['ended, and money wrong', { isAborted: true, ...books({ twice: 1 }) }, 'safety', {}],
] as const)('%s', (_, more, exit, counts) => {
  const verdict = verdictOf({ p99Ms: 40 }, { ...right, ...more });
  expect(verdict).toMatchObject({ exit, ...counts });
  expect(verdict.faults.length === 0).toBe(exit === 'ok' || exit === 'aborted');
});
