/** What a backend lists as moved: every movement must be one that this bridge was asked for. */
import type { Action } from '../../src/objects/request.ts';
import { cancelKeyOf } from '../attempt.ts';
import type { Backend, Moved } from '../backends/port.ts';
import type { Difference, Run, Store } from '../store/port.ts';
import type { Findings } from './findings.ts';

/** `movements` is how many were listed; absent for a backend that lists none. */
export type Listed = Readonly<{ name: string; movements?: number }>;

/** Checks the whole list of a backend, if it has one. Keeps some 100 bytes per movement. */
export async function checkMovements(
  store: Store,
  backend: Backend,
  findings: Findings,
): Promise<Listed> {
  const { name } = backend;
  if (!backend.movements) return { name };
  let last = 0;
  let count = 0;
  const seen = new Map<string, Moved['kind']>();
  try {
    for (;;) {
      const page = await backend.movements(last);
      if (page.length === 0) break;
      for (const moved of page) {
        // A list that does not go on would be read for ever.
        if (moved.number <= last) throw new Error('its list is out of order');
        last = moved.number;
        count++;
        const where = `${name}, movement ${moved.number} (${moved.kind} under key ${moved.key})`;
        const before = seen.get(moved.key);
        if (before !== undefined && !isRest(before, moved.kind)) {
          const expected = 'once';
          findings.differ({ what: 'money moved', where, expected, found: `also ${before}` });
        }
        seen.set(moved.key, moved.kind);
        findings.differ(...(await faultsOfMovement(store, name, moved, where)));
      }
      await findings.turn();
    }
  } catch (error) {
    findings.miss(`movements at ${name} after number ${last}`, error);
  }
  return { name, movements: count };
}

/** Capturing a part of a hold releases the rest under the same key. */
function isRest(a: Moved['kind'], b: Moved['kind']): boolean {
  return (a === 'capture' && b === 'release') || (a === 'release' && b === 'capture');
}

const KINDS: Readonly<Record<Action, readonly Moved['kind'][]>> = Object.freeze({
  pay: ['pay'],
  hold: ['hold'],
  capture: ['capture', 'release'],
  void: ['release'],
  refund: ['refund'],
  access: [],
});

async function faultsOfMovement(
  store: Store,
  backend: string,
  { key, original, kind, amount }: Moved,
  where: string,
): Promise<readonly Difference[]> {
  const fault = (what: string, expected: string, found: string) => [
    { what, where, expected, found },
  ];
  const run = await store.run(key);
  if (run) {
    const { request, attempts } = run;
    if (!attempts.some((one) => one.backend === backend && one.key === key)) {
      return fault('attempt of a movement', `one at ${backend}`, 'none');
    }
    if (!KINDS[request.action].includes(kind)) {
      return fault('kind of a movement', request.action, kind);
    }
    if (original !== (run.original ?? key)) {
      return fault('what a movement acts upon', run.original ?? key, original);
    }
    const expected = await amountOf(store, run, kind);
    const found = `${amount.minor} ${amount.currency}`;
    return expected === undefined || expected === found
      ? []
      : fault('amount of a movement', expected, found);
  }

  const undone = key === cancelKeyOf(original) ? await store.run(original) : undefined;
  if (undone) {
    const expected = await amountOf(store, undone, kind);
    const found = `${amount.minor} ${amount.currency}`;
    if (expected !== found) return fault('amount of a cancel', String(expected), found);
    // Another backend may have moved it after this one had confirmed the cancel.
    const isKept = undone.attempts.some((one) => one.backend === backend && one.state === 'done');
    return isKept ? fault('cancel of a payment', `${undone.outcome} as told`, 'undone') : [];
  }
  // What was forgotten left its request in the chain, if only as a digest.
  const isKnown =
    (await hasRequest(store, key)) ||
    (key === cancelKeyOf(original) && (await hasRequest(store, original)));
  return isKnown ? [] : fault('movement', 'a payment that asked for it', 'nobody asked');
}

/** Minor units and currency that a movement of this kind has; undefined when not known any more. */
async function amountOf(store: Store, run: Run, kind: Moved['kind']): Promise<string | undefined> {
  const { amount, action } = run.request;
  if (!amount) return 'none';
  let { minor } = amount;
  if (action === 'capture' && kind === 'release') {
    const hold = await store.run(run.original!);
    if (!hold?.request.amount) return undefined;
    minor = hold.request.amount.minor - minor;
  }
  return `${minor} ${amount.currency}`;
}

async function hasRequest(store: Store, id: string): Promise<boolean> {
  return (await store.evidence(id)).some(({ kind }) => kind === 'request');
}
