/**
 * Counts the bridge's tables again, a page at a time: windows from their reservations, runs from
 * their attempts and evidence. SQL stands here, and nothing is written.
 *
 * The maxima are those of the mandates' own envelopes, not the copies that the windows carry, so a
 * table that was tampered with contradicts what the payer signed.
 */
import { bytesEqual, toHex } from '../../src/bytes.ts';
import { payloadOf } from '../../src/cose.ts';
import { AUDIT_PAGE_ROWS } from '../../src/limits.ts';
import { request as requestKind } from '../../src/objects/request.ts';
import type { Database, SqlRow, SqlValue } from '../../src/platform.ts';
import { type Facts, MANDATE } from './facts.ts';
import type { Difference, Recounted, Run, StoredMandate } from './port.ts';

/** As Store.recount; `after` is empty at the start. */
export function recount(database: Database, facts: Facts, after: string): Recounted {
  const differences: Difference[] = [];
  const differ: Differ = (what, where, expected, found) => {
    if (expected === found) return;
    differences.push({ what, where, expected: String(expected), found: String(found) });
  };
  const all = (text: string, ...values: SqlValue[]) => database.prepare(text).all(...values);
  const [table = '', position = ''] = after.split(':');
  const limit = BigInt(AUDIT_PAGE_ROWS);
  if (table !== 'runs') {
    const rows = all(`${MANDATE} WHERE m.id > ? ORDER BY m.id LIMIT ?`, position, limit);
    for (const row of rows) countMandate(database, facts.toMandate(row, 0), row, differ);
    const last = rows.at(-1);
    return { differences, next: last ? `mandates:${String(last['id'])}` : 'runs:0' };
  }
  const rows = all(
    'SELECT rowid AS place, * FROM runs WHERE rowid > ? ORDER BY rowid LIMIT ?',
    BigInt(position),
    limit,
  );
  for (const row of rows) countRun(database, facts, row, differ);
  const last = rows.at(-1);
  return { differences, next: last && `runs:${String(last['place'])}` };
}

type Differ = (what: string, where: string, expected: unknown, found: unknown) => void;

function countMandate(
  database: Database,
  stored: StoredMandate,
  row: SqlRow,
  differ: Differ,
): void {
  const forgottenMs = database
    .prepare(`SELECT value FROM meta WHERE name = 'forgotten_before_ms'`)
    .get()?.['value'];
  // Of an old mandate reservations may be forgotten already; its windows then hold more than they.
  const isWhole = (row['stored_ms'] as bigint) >= BigInt((forgottenMs ?? '0') as string);
  for (const [place, window] of stored.mandate.windows.entries()) {
    const where = `mandate ${stored.id} window ${place + 1}`;
    const reservations = database
      .prepare(
        `SELECT label, minor, at_ms, state FROM reservations
         WHERE mandate = ? AND place = ? AND state <> 'voided' ORDER BY at_ms`,
      )
      .all(stored.id, BigInt(place));
    if (window.kind === 'rolling') {
      countRolling(reservations, window, where, differ);
      continue;
    }
    const counted = new Map<string, { settled: bigint; reserved: bigint; count: bigint }>();
    for (const item of reservations) {
      const label = String(item['label']);
      const sum = counted.get(label) ?? { settled: 0n, reserved: 0n, count: 0n };
      counted.set(label, sum);
      sum[item['state'] as 'settled' | 'reserved'] += item['minor'] as bigint;
      sum.count++;
    }
    const rows = database
      .prepare('SELECT * FROM windows WHERE mandate = ? AND place = ?')
      .all(stored.id, BigInt(place));
    for (const slot of rows) {
      const label = String(slot['label']);
      const at = `${where} ${label}`;
      const sum = counted.get(label) ?? { settled: 0n, reserved: 0n, count: 0n };
      counted.delete(label);
      const settled = slot['settled'] as bigint;
      const reserved = slot['reserved'] as bigint;
      const count = (slot['settled_count'] as bigint) + (slot['reserved_count'] as bigint);
      differ('reserved in a window', at, sum.reserved, reserved);
      if (isWhole) {
        differ('settled in a window', at, sum.settled, settled);
        differ('payments in a window', at, sum.count, count);
      }
      differ('window within its maximum', at, true, settled + reserved <= window.max);
      differ('window within its count', at, true, count <= BigInt(window.count));
    }
    for (const label of counted.keys()) differ('a window of reservations', where, label, 'none');
  }
}

/** At no moment more than the maximum within the seconds before it. */
function countRolling(
  reservations: readonly SqlRow[],
  window: Readonly<{ seconds: number; max: bigint; count: number }>,
  where: string,
  differ: Differ,
): void {
  const span = BigInt(window.seconds) * 1000n;
  let first = 0;
  let sum = 0n;
  for (const [i, item] of reservations.entries()) {
    sum += item['minor'] as bigint;
    while ((reservations[first]!['at_ms'] as bigint) <= (item['at_ms'] as bigint) - span) {
      sum -= reservations[first++]!['minor'] as bigint;
    }
    differ('rolling window within its maximum', where, true, sum <= window.max);
    differ('rolling window within its count', where, true, i - first + 1 <= window.count);
  }
}

/** What acts upon a payment and what is written of its money tell the same story. */
function countPayment(database: Database, run: Run, differ: Differ): void {
  const row = database.prepare('SELECT * FROM payments WHERE id = ?').get(run.id);
  if (!row) return;
  const where = `payment ${run.id}`;
  const sums = database
    .prepare(
      `SELECT envelope, outcome, funding, receipt IS NULL AS open FROM runs WHERE original = ?`,
    )
    .all(run.id);
  let [captured, refunding, refunded] = [run.outcome === 'captured' ? minorOf(run) : 0n, 0n, 0n];
  let isEnded = run.outcome === 'captured';
  for (const act of sums) {
    const { action, amount } = requestKind.decode(payloadOf(act['envelope'] as Uint8Array));
    const minor = amount?.minor ?? 0n;
    if (action === 'capture' && act['outcome'] === 'captured') captured += minor;
    if (action === 'refund' && act['outcome'] === 'refunded') refunded += minor;
    // One that was refused on its way in took nothing: it has no funding.
    if (action === 'refund' && act['open'] === 1n && act['funding'] !== '') refunding += minor;
    if (act['outcome'] === 'captured' || act['outcome'] === 'voided') isEnded = true;
  }
  differ('held', where, isEnded ? 0n : minorOf(run), row['held']);
  differ('captured', where, captured, row['captured']);
  differ('refunded', where, refunded, row['refunded']);
  differ('reserved by refunds', where, refunding, row['refunding']);
}

function minorOf({ request }: Run): bigint {
  return request.amount?.minor ?? 0n;
}

function countRun(database: Database, facts: Facts, row: SqlRow, differ: Differ): void {
  const run = facts.toRun(row);
  const where = `payment ${run.id}`;
  const states = new Set(
    database
      .prepare('SELECT DISTINCT state FROM reservations WHERE run = ?')
      .all(run.id)
      .map(({ state }) => state),
  );
  const done = run.attempts.filter(({ state }) => state === 'done');
  differ('at most one attempt moved money', where, true, done.length <= 1);
  if (!run.receipt) {
    differ('nothing settled before the receipt', where, false, states.has('settled'));
    return;
  }
  const isMoved = run.outcome !== 'refused' && run.outcome !== 'expired';
  if (run.outcome !== 'granted') {
    differ('money moved as the receipt says', where, isMoved, done.length === 1);
  }
  if (isMoved && done[0]) differ('outcome', where, done[0].outcome, run.outcome);
  differ('reservations of what was refused', where, false, !isMoved && states.has('settled'));
  if (run.outcome !== 'held') {
    differ('reservations that nobody will end', where, false, states.has('reserved'));
  }
  countPayment(database, run, differ);
  const evidence = database
    .prepare(`SELECT body FROM evidence WHERE subject = ? AND kind = 'receipt' ORDER BY number`)
    .all(run.id);
  const told = evidence.map(({ body }) => body).filter((body) => body instanceof Uint8Array);
  if (told.length > 0 && !told.some((body) => bytesEqual(body, run.receipt!))) {
    differ('receipt', where, toHex(told[0]!), toHex(run.receipt));
  }
}
