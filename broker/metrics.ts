/**
 * What the bridge tells its operator's monitoring: how payments ended and how many are open, never
 * whose they were.
 *
 * Counted where an end becomes durable, around the store, so that the line of a payment does not
 * have to know of it.
 */
import type { Metrics } from '../src/platform.ts';
import type { Run, Store } from './store/port.ts';

/** The same store, counted. */
export function measureStore(metrics: Metrics, store: Store): Store {
  const labels = ['action', 'outcome', 'reason'] as const;
  const ended = metrics.counter('requests_total', 'Requests that ended, by outcome.', labels);
  const repeated = metrics.counter('repeats_total', 'Requests that had been seen before.', []);
  const suspended = metrics.counter('suspensions_total', 'Keys that two seem to hold.', []);
  /** Those that this process works on. */
  const open = new Set<string>();
  metrics.gauge('requests_open', 'Requests under way without a final receipt.', () => open.size);

  function note({ id, request, outcome, receipt }: Run, reason: string): void {
    if (!receipt || !open.delete(id)) return;
    ended({ action: request.action, outcome: outcome ?? '', reason });
  }

  return {
    ...store,
    async admit(admission, judge) {
      const admitted = await store.admit(admission, judge);
      if (admitted.suspended) suspended({});
      if (!admitted.fresh) repeated({});
      if (!admitted.run.receipt) open.add(admitted.run.id);
      return admitted;
    },
    async claim(...given) {
      const runs = await store.claim(...given);
      for (const { id, receipt } of runs) if (!receipt) open.add(id);
      return runs;
    },
    async conclude(run, conclusion) {
      const concluded = await store.conclude(run, conclusion);
      note(concluded, conclusion.reason ?? '');
      return concluded;
    },
  };
}
