/**
 * The audit: counts everything again, from places that nobody could change together.
 *
 * The chain of evidence is followed from its beginning; the tables are counted against each other
 * and against what the payers signed; every concluded payment is asked about at its backend; and
 * every movement that a backend lists must be one that somebody asked this bridge for. What could
 * not be looked at is told apart from what differs, because an audit that could not look has found
 * nothing out. Payments go on meanwhile: the audit reads pages and lets others in between them.
 */
import { AUDIT_LISTED_MAX } from '../src/limits.ts';
import type { Timers } from '../src/platform.ts';
import { checkChain } from './audit/chain.ts';
import type { Findings } from './audit/findings.ts';
import { type Listed, checkMovements } from './audit/movements.ts';
import { type Counted, checkPayments } from './audit/payments.ts';
import type { Backend } from './backends/port.ts';
import { visible } from './dispute/glyphs.ts';
import type { Difference, Store } from './store/port.ts';

/** What an audit found. Fit for JSON. */
export type AuditReport = Readonly<{
  /** Nothing differs, and everything was looked at. */
  passed: boolean;
  /** Rows of the chain, and how many of them have no contents any more. */
  evidence: Readonly<{ rows: number; erased: number }>;
  /** The last link as NUMBER:HEX. Noted down elsewhere, it shows later whether the chain grew. */
  head: string;
  payments: Counted;
  backends: readonly Listed[];
  /** The first AUDIT_LISTED_MAX. */
  differences: readonly Difference[];
  /** Differences beyond those. */
  more: number;
  /** What could not be looked at, and why. */
  unchecked: readonly string[];
}>;

export type AuditParts = Readonly<{
  store: Store;
  backends: readonly Backend[];
  /** Lets payments go on between two pages; without it only questions to backends do. */
  timers?: Timers;
}>;

/**
 * Audits the store and its backends. `head` is a link seen earlier, as NUMBER:HEX: one that is not
 * in the chain is a difference. Never throws for what it finds.
 */
export async function audit(parts: AuditParts, head?: string): Promise<AuditReport> {
  const { store, backends, timers } = parts;
  const differences: Difference[] = [];
  let more = 0;
  const unchecked: string[] = [];
  const findings: Findings = {
    differ(...found) {
      for (const difference of found) {
        if (differences.length < AUDIT_LISTED_MAX) differences.push(readable(difference));
        else more++;
      }
    },
    miss: (what, cause) => void unchecked.push(visible(`${what}: ${wordsOf(cause)}`)),
    turn: async () => {
      if (timers) await new Promise<void>((done) => timers.soon(done));
    },
  };

  const evidence = await checkChain(store, head, findings);
  await checkTables(store, findings);
  const listed = [];
  for (const backend of backends) listed.push(await checkMovements(store, backend, findings));
  const payments = await checkPayments(store, backends, findings);
  const { rows, erased } = evidence;
  return {
    passed: differences.length === 0 && unchecked.length === 0,
    evidence: { rows, erased },
    head: evidence.head,
    payments,
    backends: listed,
    differences,
    more,
    unchecked,
  };
}

/** A difference may quote what somebody wrote into a table, and is read on a terminal. */
function readable({ what, where, expected, found }: Difference): Difference {
  return { what, where: visible(where), expected: visible(expected), found: visible(found) };
}

/** The tables against each other and against what the payers signed. */
async function checkTables(store: Store, { differ, miss, turn }: Findings): Promise<void> {
  let after = '';
  try {
    for (;;) {
      const { differences, next } = await store.recount(after);
      differ(...differences);
      if (next === undefined) return;
      after = next;
      await turn();
    }
  } catch (error) {
    miss(`the tables after ${after === '' ? 'their beginning' : after}`, error);
  }
}

function wordsOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
