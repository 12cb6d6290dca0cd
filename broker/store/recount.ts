/**
 * Counts the bridge's tables again, a page at a time: windows from their reservations and pools,
 * pools from what was drawn, runs from their attempts and evidence. SQL stands here, and nothing is
 * written.
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
  if (table !== 'pools' && table !== 'runs') {
    const rows = all(`${MANDATE} WHERE m.id > ? ORDER BY m.id LIMIT ?`, position, limit);
    const revoked = rows.length > 0 ? revocationsIn(database) : [];
    for (const row of rows) {
      const stored = facts.toMandate(row, 0);
      countMandate(database, stored, row, differ);
      compareMandate(database, stored, row, revoked, differ);
    }
    const last = rows.at(-1);
    return { differences, next: last ? `mandates:${String(last['id'])}` : 'pools:0' };
  }
  if (table === 'pools') {
    const rows = all(
      'SELECT * FROM pools WHERE id > ? ORDER BY id LIMIT ?',
      BigInt(position),
      limit,
    );
    for (const row of rows) countPool(database, row, differ);
    const last = rows.at(-1);
    return { differences, next: last ? `pools:${String(last['id'])}` : 'runs:0' };
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

/** Reservations of old payments are forgotten before the payments are. */
function isForgotten(database: Database, { admittedMs }: Run): boolean {
  const before = database
    .prepare(`SELECT value FROM meta WHERE name = 'forgotten_before_ms'`)
    .get()?.['value'];
  return before !== undefined && admittedMs < Number(before);
}

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
    const pools = database
      .prepare(
        `SELECT w.label, sum(p.amount - p.drawn) AS minor, sum(p.count - p.drawn_count) AS count,
           max(p.at_ms) AS at_ms
         FROM pool_windows w JOIN pools p ON p.id = w.pool
         WHERE w.mandate = ? AND w.place = ? AND p.closed_ms IS NULL GROUP BY w.label`,
      )
      .all(stored.id, BigInt(place));
    if (window.kind === 'rolling') {
      countRolling(reservations, pools[0], window, where, differ);
      continue;
    }
    const pooled = new Map(pools.map((row) => [String(row['label']), row]));
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
      const aside = pooled.get(label);
      pooled.delete(label);
      differ('leased in a window', at, aside?.['minor'] ?? 0n, slot['pooled']);
      differ('leased payments in a window', at, aside?.['count'] ?? 0n, slot['pooled_count']);
      const settled = slot['settled'] as bigint;
      const reserved = slot['reserved'] as bigint;
      const count = (slot['settled_count'] as bigint) + (slot['reserved_count'] as bigint);
      differ('reserved in a window', at, sum.reserved, reserved);
      if (isWhole) {
        differ('settled in a window', at, sum.settled, settled);
        differ('payments in a window', at, sum.count, count);
      }
      const sumWithLeased = settled + reserved + (slot['pooled'] as bigint);
      const countWithLeased = count + (slot['pooled_count'] as bigint);
      differ('window within its maximum', at, true, sumWithLeased <= window.max);
      differ('window within its count', at, true, countWithLeased <= BigInt(window.count));
    }
    for (const label of pooled.keys()) differ('a window of leases', where, label, 'none');
    for (const label of counted.keys()) differ('a window of reservations', where, label, 'none');
  }
}

type Revocation = Readonly<{ payer: string; mandate?: string; epoch?: number }>;

/** Every revoke that was acknowledged, out of the chain. */
function revocationsIn(database: Database): readonly Revocation[] {
  return database
    .prepare(
      `SELECT e.body FROM revokes r JOIN evidence e ON e.subject = r.id
       WHERE e.kind = 'status' AND e.body IS NOT NULL`,
    )
    .all()
    .map(({ body }) => JSON.parse(new TextDecoder().decode(body as Uint8Array)) as Revocation);
}

/** The table says of a mandate what the chain says: what was signed, and that it was revoked. */
function compareMandate(
  database: Database,
  { id, payer, mandate, status }: StoredMandate,
  row: SqlRow,
  revoked: readonly Revocation[],
  differ: Differ,
): void {
  const where = `mandate ${id}`;
  const signed = evidenceOf(database, id, 'mandate');
  if (signed.isMissing && isChained(database, 'mandates', row)) {
    differ('evidence of a mandate', where, 'a row', 'none');
  } else if (signed.body && !bytesEqual(signed.body, row['envelope'] as Uint8Array)) {
    differ(
      'what the payer signed',
      where,
      toHex(signed.body),
      toHex(row['envelope'] as Uint8Array),
    );
  }
  const isEnded = revoked.some(
    (one) =>
      one.payer === payer &&
      (one.mandate === id || (one.epoch !== undefined && mandate.epoch < one.epoch)),
  );
  if (isEnded) differ('a revoked mandate', where, 'revoked', status);
}

/** A store of version 1 has rows from before its chain began; `place` is the rowid. */
function isChained(database: Database, table: 'runs' | 'mandates', row: SqlRow): boolean {
  const last = database
    .prepare('SELECT value FROM meta WHERE name = ?')
    .get(`${table}_before_chain`)?.['value'];
  return (row['place'] as bigint) > BigInt((last ?? '0') as string);
}

/** The body of a subject's first row of a kind. */
function evidenceOf(database: Database, subject: string, kind: string) {
  const row = database
    .prepare('SELECT body FROM evidence WHERE subject = ? AND kind = ? ORDER BY number LIMIT 1')
    .get(subject, kind);
  const body = row?.['body'];
  return { isMissing: row === undefined, body: body instanceof Uint8Array ? body : undefined };
}

/** A pool holds what its last lease says but for what was drawn from it since. */
function countPool(database: Database, row: SqlRow, differ: Differ): void {
  // One that was given back has no more to say; after a restore its lease is not known either.
  if (row['closed_ms'] !== null) return;
  const where = `leased to key ${String(row['key'])} under mandate ${String(row['mandate'])}`;
  const last = database
    .prepare('SELECT nonce, amount, count FROM leases WHERE pool = ? ORDER BY rowid DESC LIMIT 1')
    .get(row['id']!);
  differ('a lease', where, true, last !== undefined);
  if (!last) return;
  differ('what was leased', where, last['amount'], row['amount']);
  differ('payments that were leased', where, last['count'], row['count']);
  const given = database
    .prepare(`SELECT body FROM evidence WHERE subject = ? AND kind = 'lease'`)
    .all(row['mandate']!)
    .map(({ body }) => body instanceof Uint8Array && record(body))
    .find((said) => said && said['nonce'] === last['nonce']);
  if (!given) differ('evidence of a lease', where, 'a row', 'none');
  else {
    differ('what was leased', where, given['amount'], String(last['amount']));
    differ('payments that were leased', where, String(given['count']), String(last['count']));
  }
  let drawn = 0n;
  const runs = database
    .prepare(
      `SELECT r.envelope FROM leases l JOIN runs r ON r.lease = l.nonce
       WHERE l.pool = ? AND r.rowid > ?`,
    )
    .all(row['id']!, row['since']!);
  for (const { envelope } of runs) {
    drawn += requestKind.decode(payloadOf(envelope as Uint8Array)).amount?.minor ?? 0n;
  }
  differ('drawn from a lease', where, drawn, row['drawn']);
  differ('payments drawn from a lease', where, BigInt(runs.length), row['drawn_count']);
}

function record(body: Uint8Array): Readonly<Record<string, unknown>> {
  return JSON.parse(new TextDecoder().decode(body)) as Readonly<Record<string, unknown>>;
}

/** At no moment more than the maximum within the seconds before it, what is leased included. */
function countRolling(
  reservations: readonly SqlRow[],
  leased: SqlRow | undefined,
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
  if (!leased) return;
  const last = (reservations.at(-1)?.['at_ms'] ?? 0n) as bigint;
  const atMs = last > (leased['at_ms'] as bigint) ? last : (leased['at_ms'] as bigint);
  const within = reservations.filter((item) => (item['at_ms'] as bigint) > atMs - span);
  const used = within.reduce((all, item) => all + (item['minor'] as bigint), 0n);
  const count = BigInt(within.length) + (leased['count'] as bigint);
  const amount = used + (leased['minor'] as bigint);
  differ('rolling window within its maximum', where, true, amount <= window.max);
  differ('rolling window within its count', where, true, count <= BigInt(window.count));
}

/** What acts upon a payment and what is written of its money tell the same story. */
function countPayment(database: Database, run: Run, differ: Differ): void {
  const row = database.prepare('SELECT * FROM payments WHERE id = ?').get(run.id);
  if (!row) return;
  const where = `payment ${run.id}`;
  const sums = database
    .prepare(
      `SELECT envelope, outcome, backends, receipt IS NULL AS open FROM runs WHERE original = ?`,
    )
    .all(run.id);
  let [captured, refunding, refunded] = [run.outcome === 'captured' ? minorOf(run) : 0n, 0n, 0n];
  let isEnded = run.outcome === 'captured';
  for (const act of sums) {
    const { action, amount } = requestKind.decode(payloadOf(act['envelope'] as Uint8Array));
    const minor = amount?.minor ?? 0n;
    if (action === 'capture' && act['outcome'] === 'captured') captured += minor;
    if (action === 'refund' && act['outcome'] === 'refunded') refunded += minor;
    // One that was refused on its way in took nothing: it has no backends.
    if (action === 'refund' && act['open'] === 1n && act['backends'] !== '[]') refunding += minor;
    if (act['outcome'] === 'captured' || act['outcome'] === 'voided') isEnded = true;
    // Refunded and forgotten before a restore, so it was captured: how much, only the row knows.
    if (act['outcome'] !== 'refunded' || act['backends'] !== '[]') continue;
    isEnded = true;
    captured = row['captured'] as bigint;
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
  const reservations = database
    .prepare('SELECT state, minor FROM reservations WHERE run = ?')
    .all(run.id);
  const states = new Set(reservations.map(({ state }) => state));
  const sent = evidenceOf(database, run.id, 'request');
  if (sent.isMissing && isChained(database, 'runs', row)) {
    differ('evidence of a request', where, 'a row', 'none');
  } else if (sent.body && !bytesEqual(sent.body, row['envelope'] as Uint8Array)) {
    differ('what was asked', where, toHex(sent.body), toHex(row['envelope'] as Uint8Array));
  }
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
  const spends = run.request.action === 'pay' || run.request.action === 'access';
  // One that was paid and forgotten before a restore was never judged, so it reserved nothing.
  const wasJudged = run.refusal === undefined || run.backends.length > 0;
  const isCounted = spends && isMoved && wasJudged && !isForgotten(database, run);
  if (isCounted) {
    const minor = run.request.amount?.minor ?? 0n;
    const isSettled = (one: SqlRow) => one['state'] === 'settled' && one['minor'] === minor;
    differ('limits that it counts in', where, true, reservations.length > 0);
    differ('limits count what was paid', where, true, reservations.every(isSettled));
  }
  differ('reservations of what was refused', where, false, !isMoved && states.has('settled'));
  if (run.outcome !== 'held') {
    differ('reservations that nobody will end', where, false, states.has('reserved'));
  }
  countPayment(database, run, differ);
  const evidence = database
    .prepare(`SELECT body FROM evidence WHERE subject = ? AND kind = 'receipt' ORDER BY number`)
    .all(run.id);
  const told = evidence.map(({ body }) => body).filter((body) => body instanceof Uint8Array);
  if (evidence.length === 0 && isChained(database, 'runs', row)) {
    differ('evidence of a receipt', where, 'a row', 'none');
  }
  if (told.length > 0 && !told.some((body) => bytesEqual(body, run.receipt!))) {
    differ('receipt', where, toHex(told[0]!), toHex(run.receipt));
  }
}
