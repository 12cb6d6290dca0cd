/** What acts upon an earlier payment: its captures, voids and refunds. */
import { OPERATOR_PAGE_ROWS } from '../src/limits.ts';
import type { Run, Store } from './store/port.ts';

/** The runs that name `base` as their original, in the order they came. */
export async function actsOn(
  store: Store,
  base: Pick<Run, 'id' | 'admittedMs'>,
): Promise<readonly Run[]> {
  const acts: Run[] = [];
  // They came after it, or in the same millisecond.
  for (let after = { atMs: base.admittedMs, id: '' }; ;) {
    const page = await store.runs('all', after, OPERATOR_PAGE_ROWS);
    const last = page.at(-1);
    if (!last) return acts;
    acts.push(...page.filter(({ original }) => original === base.id));
    after = { atMs: last.admittedMs, id: last.id };
  }
}
