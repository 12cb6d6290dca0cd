/** Every payment: what its own evidence says of it, and what its backends say became of it. */
import { bytesEqual, toHex } from '../../src/bytes.ts';
import { payloadOf } from '../../src/cose.ts';
import { AUDIT_LISTED_MAX, AUDIT_PAGE_ROWS, AUDIT_UNANSWERED_MAX } from '../../src/limits.ts';
import { type Action, request as requestKind } from '../../src/objects/request.ts';

import { cancelKeyOf } from '../attempt.ts';
import type { Backend, BackendState } from '../backends/port.ts';
import type { Difference, Run, Store } from '../store/port.ts';
import type { Findings } from './findings.ts';

/** `asked`: questions that backends answered. `openIds`: the first of the open ones. */
export type Counted = Readonly<{
  concluded: number;
  asked: number;
  open: number;
  openIds: readonly string[];
}>;

/** Checks every payment that is over; those that are open are counted. */
export async function checkPayments(
  store: Store,
  backends: readonly Backend[],
  findings: Findings,
): Promise<Counted> {
  const questions = createQuestions(backends);
  const openIds: string[] = [];
  let concluded = 0;
  let opened = 0;
  let asked = 0;
  let after = { atMs: Number.MIN_SAFE_INTEGER, id: '' };
  /** Differences that a later capture, void or refund explains, by the payment and its outcome. */
  const unexplained = new Map<string, Unexplained>();

  try {
    for (;;) {
      const page = await store.runs('all', after, AUDIT_PAGE_ROWS);
      const last = page.at(-1);
      if (!last) break;
      for (const run of page) {
        if (run.original !== undefined && run.outcome !== 'refused') {
          unexplained.delete(`${run.original} ${OUTCOMES[run.request.action]}`);
        }
        if (!run.receipt) {
          opened++;
          if (openIds.length < AUDIT_LISTED_MAX) openIds.push(run.id);
          continue;
        }
        concluded++;
        findings.differ(...(await faultsOfRun(store, run)));
        for (const attempt of run.attempts) {
          const state = await questions.ask(attempt.backend, attempt.key);
          if (!state) continue;
          asked++;
          const difference = compare(run, attempt, state);
          if (!difference) continue;
          if (attempt.state === 'cancelled') {
            // Some tell for ever what a key first came to; then its cancel tells the rest.
            const undone = await questions.ask(attempt.backend, cancelKeyOf(attempt.key));
            if (undone?.kind === 'done' && undone.outcome === 'voided') continue;
          }
          const isLater = attempt.state === 'done' && state.kind === 'done';
          if (isLater) unexplained.set(`${run.id} ${state.outcome}`, { run, state, difference });
          else findings.differ(difference);
        }
      }
      after = { atMs: last.admittedMs, id: last.id };
      await findings.turn();
    }
  } catch (error) {
    findings.miss(`payments after ${after.id === '' ? 'the beginning' : after.id}`, error);
  }
  await tellUnexplained(store, [...unexplained.values()], findings);
  for (const { what, cause } of questions.missed()) findings.miss(what, cause);
  return { concluded, asked, open: opened, openIds };
}

/** A payment of which its backend tells another outcome than the receipt did. */
type Unexplained = Readonly<{
  run: Run;
  state: Extract<BackendState, { kind: 'done' }>;
  difference: Difference;
}>;

/** Looks for the capture, void or refund that explains them. */
async function tellUnexplained(
  store: Store,
  items: readonly Unexplained[],
  { differ, miss }: Findings,
): Promise<void> {
  for (const { run, state, difference } of items) {
    try {
      const acts = await store.runsOn(run.id);
      if (!acts.some((act) => explains(act, state.outcome))) differ(difference);
    } catch (error) {
      miss(`what acts upon payment ${run.id}`, error);
    }
  }
}

function explains({ request, outcome }: Run, told: string): boolean {
  return outcome !== 'refused' && OUTCOMES[request.action] === told;
}

const OUTCOMES: Readonly<Partial<Record<Action, string>>> = Object.freeze({
  capture: 'captured',
  void: 'voided',
  refund: 'refunded',
});

/** What a payment's own rows of the chain say against its row in the table. */
async function faultsOfRun(store: Store, run: Run): Promise<readonly Difference[]> {
  const rows = await store.evidence(run.id);
  // What is older than the chain has no rows; rows that were deleted leave a gap in it.
  if (rows.length === 0) return [];
  const where = `payment ${run.id}`;
  const faults: Difference[] = [];
  if (!rows.some(({ kind }) => kind === 'receipt')) {
    faults.push({ what: 'receipt in the chain', where, expected: 'one', found: 'none' });
  }
  const body = rows.find(({ kind }) => kind === 'request')?.body;
  if (body) {
    const found = requestKind.encode(run.request);
    const expected = encoded(body);
    if (expected === undefined || !bytesEqual(expected, found)) {
      const signed = expected ? toHex(expected) : 'cannot be read';
      faults.push({ what: 'request', where, expected: signed, found: toHex(found) });
    }
  }
  return faults;
}

function encoded(envelope: Uint8Array): Uint8Array | undefined {
  try {
    return requestKind.encode(requestKind.decode(payloadOf(envelope)));
  } catch {
    return undefined;
  }
}

function compare(
  run: Run,
  { state, outcome, backend }: Run['attempts'][number],
  heard: BackendState,
): Difference | undefined {
  const where = `payment ${run.id} at ${backend}`;
  const found = heard.kind === 'done' ? heard.outcome : heard.kind;
  if (state === 'done') {
    if (found === outcome) return undefined;
    return { what: 'outcome at the backend', where, expected: outcome!, found };
  }
  // Declined, undone, never sent: whatever the backend calls it, nothing may have moved.
  if (heard.kind !== 'done' || heard.outcome === 'voided') return undefined;
  return { what: 'money moved at the backend', where, expected: state, found };
}

/** Asks backends and gives up on one that is silent, so that an audit always ends. */
function createQuestions(backends: readonly Backend[]) {
  const byName = new Map(backends.map((backend) => [backend.name, backend]));
  const silent = new Map<string, { inRow: number; missed: number; cause: unknown }>();
  return {
    async ask(name: string, key: string): Promise<BackendState | undefined> {
      const state = silent.get(name) ?? { inRow: 0, missed: 0, cause: undefined };
      silent.set(name, state);
      const backend = byName.get(name);
      if (backend && state.inRow < AUDIT_UNANSWERED_MAX) {
        try {
          const heard = await backend.query(key);
          if (heard.kind !== 'unknown' && heard.kind !== 'unsent') {
            state.inRow = 0;
            return heard;
          }
          state.cause = new Error(heard.why);
        } catch (error) {
          state.cause = error;
        }
        state.inRow++;
      }
      state.missed++;
      return undefined;
    },
    missed: () =>
      [...silent]
        .filter(([, { missed }]) => missed > 0)
        .map(([name, { missed, cause }]) => ({
          what: `${missed} attempts at ${name}`,
          cause: cause ?? new Error('no such backend is configured'),
        })),
  };
}
