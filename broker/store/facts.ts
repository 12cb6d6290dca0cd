/**
 * What the bridge's store knows, read from SQLite: rows become the values of the port.
 *
 * Nothing here writes, so everything may be called inside a transaction or outside one. Mandates
 * and statements are decoded once and kept, since decoding costs more than reading a row.
 */
import assert from 'node:assert/strict';
import { bytesEqual } from '../../src/bytes.ts';
import { payloadOf } from '../../src/cose.ts';
import { PaymentError, type Reason } from '../../src/errors.ts';
import { CHAIN_DEPTH_MAX, DECODED_KEPT_MAX } from '../../src/limits.ts';
import { type KeyStatement, type Presence, keyStatement } from '../../src/objects/key.ts';
import type { Kind } from '../../src/objects/kind.ts';
import { mandate as mandateKind } from '../../src/objects/mandate.ts';
import { order as orderKind } from '../../src/objects/order.ts';
import type { Outcome } from '../../src/objects/receipt.ts';
import { type Channel, type Request, request as requestKind } from '../../src/objects/request.ts';
import type { Database, SqlRow, SqlValue } from '../../src/platform.ts';
import type { Attempt, AttemptState, Operation } from '../attempt.ts';
import { standing } from '../identities.ts';
import { slotOf } from '../windows.ts';
import type {
  ChainLink,
  Decision,
  Identity,
  KeyStatus,
  OrderState,
  Original,
  Payment,
  Reservation,
  Run,
  StoredMandate,
  StoredOrder,
  Usage,
} from './port.ts';

export type Facts = ReturnType<typeof createFacts>;

/** Readers over one database. */
export function createFacts(database: Database) {
  const one = (text: string, ...values: SqlValue[]) => database.prepare(text).get(...values);
  const all = (text: string, ...values: SqlValue[]) => database.prepare(text).all(...values);
  const mandates = keeper(mandateKind);
  const statements = keeper(keyStatement);

  function toIdentity(row: SqlRow): Identity {
    const name = string(row['name']);
    const statement = statements(name, blob(row['envelope'])!);
    const place = row['retired'] === 1n ? 'retired' : row['former'] ? 'former' : undefined;
    return {
      name,
      key: statement.key,
      statement,
      status: row['status'] as KeyStatus,
      ...(place && { place }),
    };
  }

  function identityWhere(column: 'name' | 'device', value: string): Identity | undefined {
    const row = one(`${IDENTITY} WHERE ${column} = ?`, value);
    return row && toIdentity(row);
  }

  function keyOfDevice(device: string, kid: string): Identity | undefined {
    const row = one(
      `${IDENTITY} WHERE kid = ?1 AND (device = ?2 OR former = ?2) AND retired = 0`,
      kid,
      device,
    );
    return row && toIdentity(row);
  }

  /** Statements of the active keys that may take money for a payee. */
  function terminalsOf(payee: string): readonly KeyStatement[] {
    return all(
      `${IDENTITY} WHERE payee = ? AND status = 'active' AND retired = 0 ORDER BY name`,
      payee,
    ).map((row) => toIdentity(row).statement);
  }

  function toMandate(row: SqlRow, nowMs: number): StoredMandate {
    const id = string(row['id']);
    const issuer = string(row['issuer']);
    const status = row['issuer_status'] as KeyStatus;
    const statement = statements(issuer, blob(row['issuer_envelope'])!);
    const mandate = mandates(id, blob(row['envelope'])!);
    const fault = standing({ status, statement }, nowMs);
    // A key passes its authority on before it ends; it had not ended when the child was taken.
    const isPassedOn = mandate.parent !== undefined && fault === 'expired';
    return {
      id,
      mandate,
      issuer,
      issuerFault: isPassedOn ? undefined : fault,
      payer: string(row['payer']),
      status: row['status'] as KeyStatus,
      backends: JSON.parse(string(row['backends'])) as string[],
    };
  }

  function mandateById(id: string, nowMs: number): StoredMandate | undefined {
    const row = one(`${MANDATE} WHERE m.id = ?`, id);
    return row && toMandate(row, nowMs);
  }

  function orderById(
    id: string,
  ): (StoredOrder & Readonly<{ receipt: Uint8Array | undefined }>) | undefined {
    const row = one('SELECT * FROM orders WHERE id = ?', id);
    if (!row) return undefined;
    return {
      id,
      order: valueOf(orderKind, blob(row['envelope'])!),
      state: row['state'] as OrderState,
      device: string(row['device']),
      receipt: blob(row['receipt']),
    };
  }

  function usageOf(mandate: string, place: number, window: Reservation['window'], nowMs: number) {
    const slot = slotOf(window, nowMs);
    const row =
      slot.kind === 'label'
        ? one(
            `SELECT settled + reserved + pooled AS amount,
               settled_count + reserved_count + pooled_count AS count
             FROM windows WHERE mandate = ? AND place = ? AND label = ?`,
            mandate,
            BigInt(place),
            slot.label,
          )
        : one(
            `SELECT sum(amount) AS amount, sum(count) AS count FROM (
               SELECT coalesce(sum(minor), 0) AS amount, count(*) AS count FROM reservations
               WHERE mandate = ?1 AND place = ?2 AND at_ms > ?3 AND state <> 'voided'
               UNION ALL
               SELECT p.amount - p.drawn, p.count - p.drawn_count
               FROM pool_windows w JOIN pools p ON p.id = w.pool
               WHERE w.mandate = ?1 AND w.place = ?2 AND p.closed_ms IS NULL)`,
            mandate,
            BigInt(place),
            BigInt(Math.floor(slot.sinceMs)),
          );
    const usage: Usage = {
      amount: (row?.['amount'] as bigint | undefined) ?? 0n,
      count: Number(row?.['count'] ?? 0),
    };
    return usage;
  }

  /** Every payment reserves in the first window of its mandates, so that one tells the time. */
  function lastOf(mandate: string): number | undefined {
    const row = one(
      `SELECT at_ms FROM reservations WHERE mandate = ? AND place = 0 AND state <> 'voided'
       ORDER BY at_ms DESC LIMIT 1`,
      mandate,
    );
    return row && Number(row['at_ms']);
  }

  function linkOf(stored: StoredMandate, nowMs: number): ChainLink {
    return {
      ...stored,
      usage: stored.mandate.windows.map((window, i) => usageOf(stored.id, i, window, nowMs)),
      lastMs: stored.mandate.gap === undefined ? undefined : lastOf(stored.id),
    };
  }

  /**
   * Leaf first; empty when any link is missing or cannot be counted here (a time zone that this
   * machine no longer knows), so that half a chain is never judged and the refusal is final.
   */
  function chainOf(id: string, nowMs: number): readonly ChainLink[] {
    try {
      const chain: ChainLink[] = [];
      for (let next: string | undefined = id; next !== undefined;) {
        const stored = mandateById(next, nowMs);
        if (!stored || chain.length >= CHAIN_DEPTH_MAX) return [];
        chain.push(linkOf(stored, nowMs));
        next = stored.mandate.parent;
      }
      return chain;
    } catch (error) {
      if (error instanceof PaymentError && error.reason === 'malformed') return [];
      throw error;
    }
  }

  function attemptsOf(run: string): readonly Attempt[] {
    return all('SELECT * FROM attempts WHERE run = ? ORDER BY number', run).map(toAttempt);
  }

  function toRun(row: SqlRow): Run {
    return runOf(row, valueOf(requestKind, blob(row['envelope'])!), attemptsOf(string(row['id'])));
  }

  function runById(id: string): Run | undefined {
    const row = one('SELECT * FROM runs WHERE id = ?', id);
    return row && toRun(row);
  }

  function paymentOf(id: string): Payment | undefined {
    const row = one('SELECT * FROM payments WHERE id = ?', id);
    return row && toPayment(row);
  }

  /**
   * The payment or hold that a capture, void or refund names: by its id, by that of its capture, or
   * by the order that it paid. Undefined for what moved nothing and never will.
   */
  function originalOf(name: string): Original | undefined {
    const row =
      one('SELECT * FROM runs WHERE id = ?', name) ??
      one('SELECT r.* FROM orders o JOIN runs r ON r.id = o.run WHERE o.id = ?', name);
    if (!row) return undefined;
    const { id, request, attempts, outcome, payer, funding, original, receipt } = toRun(row);
    if (original !== undefined) {
      return request.action === 'capture' && original !== name ? originalOf(original) : undefined;
    }
    const isMoved = outcome === 'captured' || outcome === 'held';
    if (!request.amount || (receipt && !isMoved)) return undefined;
    // What was captured at once gets a row of its own only when somebody refunds from it.
    const whole = { ...NOTHING, captured: outcome === 'captured' ? request.amount.minor : 0n };
    return {
      id,
      request,
      key: string(row['key']),
      payer,
      funding,
      backend: attempts.find(({ state }) => state === 'done')?.backend,
      payment: isMoved ? (paymentOf(id) ?? whole) : undefined,
    };
  }

  return {
    identity: identityWhere,
    keyOfDevice,
    toIdentity,
    terminals: terminalsOf,
    mandate: mandateById,
    toMandate,
    link: linkOf,
    order: orderById,
    /** Leaf first, with what its windows have seen at `nowMs`. */
    chain: chainOf,
    run: runById,
    toRun,
    attempts: attemptsOf,
    original: originalOf,
  };
}

/** Keys, for `toIdentity`. */
export const IDENTITY = 'SELECT name, status, former, retired, envelope FROM identities';

/** Mandates with the statement of their signer, for `toMandate`. */
export const MANDATE = `SELECT m.rowid AS place, m.*,
    i.status AS issuer_status, i.envelope AS issuer_envelope
  FROM mandates m JOIN identities i ON i.name = m.issuer`;

const NOTHING: Payment = Object.freeze({
  held: 0n,
  captured: 0n,
  refunding: 0n,
  refunded: 0n,
  holdUntilMs: 0,
  acting: undefined,
});

function runOf(row: SqlRow, request: Request, attempts: readonly Attempt[]): Run {
  const terminalReceipt = blob(row['terminal_receipt']);
  return {
    id: string(row['id']),
    device: string(row['device']),
    request,
    admittedMs: Number(row['admitted_ms']),
    refusal: (row['refusal'] ?? undefined) as Reason | undefined,
    funding: string(row['funding']),
    payer: string(row['payer']),
    presence: Number(row['presence']) as Presence,
    channel: row['channel'] as Channel,
    remaining: (JSON.parse(string(row['remaining'])) as [string, number][]).map(
      ([amount, count]) => ({ amount: BigInt(amount), count }),
    ),
    backends: JSON.parse(string(row['backends'])) as string[],
    original: (row['original'] ?? undefined) as string | undefined,
    decision:
      row['decision'] === null ? undefined : (JSON.parse(string(row['decision'])) as Decision),
    attempts,
    cancelAskedMs: row['cancel_asked_ms'] === null ? undefined : Number(row['cancel_asked_ms']),
    outcome: (row['outcome'] ?? undefined) as Exclude<Outcome, 'pending'> | undefined,
    receipt: blob(row['receipt']),
    terminalReceipt: terminalReceipt && {
      device: string(row['terminal_device']),
      receipt: terminalReceipt,
    },
  };
}

function toAttempt(row: SqlRow): Attempt {
  const optional = (name: string) => (row[name] === null ? undefined : string(row[name]));
  const [outcome, reference, reason] = [
    optional('outcome'),
    optional('reference'),
    optional('reason'),
  ];
  return {
    number: Number(row['number']),
    backend: string(row['backend']),
    key: string(row['key']),
    operation: row['operation'] as Operation,
    state: row['state'] as AttemptState,
    atMs: Number(row['at_ms']),
    ...(outcome !== undefined && { outcome: outcome as NonNullable<Attempt['outcome']> }),
    ...(reference !== undefined && { reference }),
    ...(reason !== undefined && { reason: reason as Reason }),
  };
}

function toPayment(row: SqlRow): Payment {
  return {
    held: row['held'] as bigint,
    captured: row['captured'] as bigint,
    refunding: row['refunding'] as bigint,
    refunded: row['refunded'] as bigint,
    holdUntilMs: Number(row['hold_until_ms']),
    acting: (row['acting'] ?? undefined) as string | undefined,
  };
}

/** Decodes by name, once per envelope. */
function keeper<T>(kind: Kind<T>): (name: string, envelope: Uint8Array) => T {
  const kept = new Map<string, Readonly<{ envelope: Uint8Array; value: T }>>();
  return (name, envelope) => {
    const known = kept.get(name);
    if (known && bytesEqual(known.envelope, envelope)) return known.value;
    const value = valueOf(kind, envelope);
    if (kept.size >= DECODED_KEPT_MAX) kept.clear();
    kept.set(name, { envelope, value });
    return value;
  };
}

/** The value inside an envelope that was verified when it was stored. */
function valueOf<T>(kind: Kind<T>, envelope: Uint8Array): T {
  return kind.decode(payloadOf(envelope));
}

function string(value: SqlValue | undefined): string {
  assert.equal(typeof value, 'string');
  return value as string;
}

function blob(value: SqlValue | undefined): Uint8Array | undefined {
  return value instanceof Uint8Array ? value : undefined;
}
