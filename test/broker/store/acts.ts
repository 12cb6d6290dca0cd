/**
 * What the suites of the store do again and again: open one with mandates in it, send payments of
 * every kind through it, end them with a word of the backend, and count its tables again.
 */
import { expect } from 'vitest';
import type {
  Conclusion,
  Decision,
  Difference,
  Facts,
  Opening,
  Progress,
  Run,
  Store,
  Usage,
} from '../../../broker/store/port.ts';
import { judge } from '../../../broker/verdict.ts';
import { toHex } from '../../../src/bytes.ts';
import type { Mandate } from '../../../src/objects/mandate.ts';
import type { Request } from '../../../src/objects/request.ts';
import { type Revoke, revoke as revokeKind } from '../../../src/objects/revoke.ts';
import { CAST, MANDATE_ID, NOW_MS, NOW_S, PAYER, RULES, type Role } from '../stage.ts';
import { admissionOf, admitTo, enrol, putMandate, sealed } from '../stage.ts';

/** An empty store; `reopen` closes it and opens what is on its disk. */
export type OpenStore = () => Promise<Readonly<{ store: Store; reopen: () => Promise<Store> }>>;

export const allow: Decision = { kind: 'allow', score: 10, reasons: [] };
export const deny: Decision = {
  kind: 'refuse',
  reason: 'risk_denied',
  score: 900,
  reasons: ['VELOCITY'],
};
export const yuan = (minor: bigint) => ({ currency: 'CNY', minor });
export const total = (max: bigint, count = 1_000) => ({ kind: 'total', max, count }) as const;
export const refuse = { kind: 'refuse', reason: 'cancelled', why: 'the test says so' } as const;
export const HOLD_UNTIL_MS = NOW_MS + 86_400_000;

/** A store with everybody enrolled and these mandates in it; `mandate` is the first. */
export async function opened(open: OpenStore, ...mandates: Partial<Mandate>[]) {
  const { store, reopen } = await open();
  await enrol(store);
  const ids = [];
  for (const changes of mandates) ids.push(await putMandate(store, changes));
  return { store, reopen, mandate: ids[0] ?? MANDATE_ID, ids };
}

/** A conclusion that no attempt stands behind: for what is only about the store's own books. */
export function ending(changes: Partial<Conclusion> = {}): Conclusion {
  return {
    outcome: 'captured',
    reason: undefined,
    receipt: Uint8Array.of(1, 2, 3),
    terminalReceipt: undefined,
    progress: undefined,
    holdUntilMs: undefined,
    nowMs: NOW_MS,
    ...changes,
  };
}

export const refusal = (changes: Partial<Conclusion> = {}) =>
  ending({ outcome: 'refused', reason: 'risk_denied', ...changes });

/** Strictly new for every key, and never far ahead: tests that care give their own. */
const counters = new WeakMap<Store, Map<Role, number>>();

/** The next counter of a key in a store. */
export function nextCounter(store: Store, role: Role = 'glasses'): number {
  const of = counters.get(store) ?? new Map<Role, number>();
  counters.set(store, of);
  const next = (of.get(role) ?? 0) + 1;
  of.set(role, next);
  return next;
}

/** Sends one request with the next counter of its key, under the real judge. */
export async function send(
  store: Store,
  changes: Partial<Request>,
  role: Role = 'glasses',
  nowMs: number = NOW_MS,
): Promise<Run> {
  const counter = changes.counter ?? nextCounter(store, role);
  return (await admitTo(store, await admissionOf({ counter, ...changes }, nowMs, role))).run;
}

/** What a terminal of the payee asks about an earlier payment. */
export function follow(
  action: 'capture' | 'void' | 'refund',
  original: string,
  minor: bigint,
): Partial<Request> {
  return { action, original, amount: yuan(minor), presence: 0, channel: 'autonomous' };
}

const OPERATIONS = {
  pay: 'authorise',
  hold: 'authorise',
  capture: 'capture',
  void: 'void',
  refund: 'refund',
  access: 'authorise',
} as const;

const OUTCOMES = {
  pay: 'captured',
  hold: 'held',
  capture: 'captured',
  void: 'voided',
  refund: 'refunded',
  access: 'granted',
} as const;

export function openingOf(run: Run, backend = 'ledger'): Opening {
  return { backend, key: run.id, operation: OPERATIONS[run.request.action] };
}

/** Allowed, and on its way to the backend. */
export async function start(store: Store, run: Run, nowMs: number = NOW_MS): Promise<Run> {
  return store.decide(run, allow, openingOf(run), nowMs);
}

/** The backend's word about the latest attempt. */
export function word(
  run: Run,
  change: Progress['change'],
  source: Progress['source'] = 'answer',
): Progress {
  const { number, state: from } = run.attempts.at(-1)!;
  return { number, from, change, received: undefined, source };
}

/** The backend did it: the run ends as its action says. */
export async function succeed(store: Store, run: Run, nowMs: number = NOW_MS): Promise<Run> {
  const outcome = OUTCOMES[run.request.action];
  if (outcome === 'granted') {
    const allowed = await store.decide(run, allow, undefined, nowMs);
    return store.conclude(allowed, ending({ outcome, receipt: receiptFor(run), nowMs }));
  }
  const started = run.attempts.length > 0 ? run : await start(store, run, nowMs);
  return store.conclude(
    started,
    ending({
      outcome,
      receipt: receiptFor(run),
      progress: word(started, { state: 'done', outcome, reference: `ref-${run.id.slice(0, 4)}` }),
      ...(outcome === 'held' && { holdUntilMs: HOLD_UNTIL_MS }),
      nowMs,
    }),
  );
}

/** The backend declined it: the run ends refused. */
export async function decline(store: Store, run: Run, nowMs: number = NOW_MS): Promise<Run> {
  const started = run.attempts.length > 0 ? run : await start(store, run, nowMs);
  const reason = 'backend_declined';
  const progress = word(started, { state: 'declined', reason });
  const receipt = receiptFor(run);
  return store.conclude(started, refusal({ reason, progress, receipt, nowMs }));
}

/** A refused run gets its receipt. */
export async function close(store: Store, run: Run, nowMs: number = NOW_MS): Promise<Run> {
  const reason = run.refusal ?? 'risk_denied';
  return store.conclude(run, refusal({ reason, receipt: receiptFor(run), nowMs }));
}

export const receiptFor = ({ id }: Pick<Run, 'id'>) => new TextEncoder().encode(`receipt ${id}`);

/** The facts that a judge is shown for this request; leaves nothing but a used counter. */
export async function factsFor(
  store: Store,
  request: Partial<Request>,
  nowMs?: number,
  role?: Role,
): Promise<Facts> {
  let seen: Facts | undefined;
  const counter = request.counter ?? nextCounter(store, role);
  await store.admit(await admissionOf({ counter, ...request }, nowMs, role), (facts) => {
    seen = facts;
    return refuse;
  });
  return seen!;
}

/** What the windows of a mandate hold now. */
export async function usageOf(
  store: Store,
  mandate: string,
  nowMs: number = NOW_MS,
): Promise<readonly Usage[]> {
  return (await store.chain(mandate, nowMs))[0]!.usage;
}

/** Counts every table again; a store whose books are right differs nowhere. */
export async function recounted(store: Store): Promise<readonly Difference[]> {
  const differences: Difference[] = [];
  for (let next: string | undefined = ''; next !== undefined;) {
    const page = await store.recount(next);
    differences.push(...page.differences);
    next = page.next;
  }
  return differences;
}

/** A revoke of the payer's, as the bridge hands it to its store. */
export async function revocationOf(
  target: Readonly<{ mandate: string }> | Readonly<{ epoch: number }>,
  options: Readonly<{ payer?: Uint8Array; nowMs?: number; iat?: number }> = {},
) {
  const payer = options.payer ?? PAYER;
  const value: Revoke = { payer, iat: options.iat ?? NOW_S, ...target };
  const { id, envelope } = await sealed(revokeKind, value, CAST.wallet);
  return { id, payer: toHex(payer), target, envelope, nowMs: options.nowMs ?? NOW_MS };
}

/** As `send`, for a request that its judge must accept. */
export async function accepted(
  store: Store,
  changes: Partial<Request>,
  role: Role = 'glasses',
  nowMs: number = NOW_MS,
): Promise<Run> {
  const run = await send(store, changes, role, nowMs);
  expect(run.refusal).toBeUndefined();
  return run;
}

/** Judges as the bridge does, whatever a key has under way: for tests that send many at once. */
export const judgeMany = (request: Request, facts: Facts) =>
  judge(request, { ...facts, highestCounter: request.counter, openRuns: 0 }, RULES);
