/**
 * What the bridge's store knows, read from SQLite: rows become the values of the port.
 *
 * Nothing here writes, so everything may be called inside a transaction or outside one.
 */
import assert from 'node:assert/strict';
import { payloadOf } from '../../src/cose.ts';
import { PaymentError, type Reason } from '../../src/errors.ts';
import { CHAIN_DEPTH_MAX } from '../../src/limits.ts';
import { type Presence, keyStatement } from '../../src/objects/key.ts';
import type { Kind } from '../../src/objects/kind.ts';
import { mandate as mandateKind } from '../../src/objects/mandate.ts';
import { order as orderKind } from '../../src/objects/order.ts';
import { type Channel, request as requestKind } from '../../src/objects/request.ts';
import type { Database, SqlRow, SqlValue } from '../../src/platform.ts';
import { standing } from '../identities.ts';
import { slotOf } from '../windows.ts';
import type {
  ChainLink,
  Decision,
  Identity,
  KeyStatus,
  OrderState,
  Reservation,
  Run,
  StoredMandate,
  StoredOrder,
  Usage,
} from './port.ts';

/** Readers over one database. */
export function createFacts(database: Database) {
  const one = (text: string, ...values: SqlValue[]) => database.prepare(text).get(...values);

  function identityWhere(column: 'name' | 'device', value: string): Identity | undefined {
    const row = one(`SELECT name, status, envelope FROM identities WHERE ${column} = ?`, value);
    if (!row) return undefined;
    const statement = valueOf(keyStatement, row['envelope']);
    return {
      name: string(row['name']),
      key: statement.key,
      statement,
      status: row['status'] as KeyStatus,
    };
  }

  function mandateById(id: string, nowMs: number): StoredMandate | undefined {
    const row = one(
      `SELECT m.*, i.status AS issuer_status, i.envelope AS issuer_envelope FROM mandates m
       JOIN identities i ON i.name = m.issuer WHERE m.id = ?`,
      id,
    );
    if (!row) return undefined;
    return {
      id,
      mandate: valueOf(mandateKind, row['envelope']),
      issuer: string(row['issuer']),
      issuerFault: standing(
        {
          status: row['issuer_status'] as KeyStatus,
          statement: valueOf(keyStatement, row['issuer_envelope']),
        },
        nowMs,
      ),
      payer: string(row['payer']),
      status: row['status'] as KeyStatus,
    };
  }

  function orderById(
    id: string,
  ): (StoredOrder & Readonly<{ receipt: Uint8Array | undefined }>) | undefined {
    const row = one('SELECT * FROM orders WHERE id = ?', id);
    if (!row) return undefined;
    return {
      id,
      order: valueOf(orderKind, row['envelope']),
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
            `SELECT settled + reserved AS amount, settled_count + reserved_count AS count
             FROM windows WHERE mandate = ? AND place = ? AND label = ?`,
            mandate,
            BigInt(place),
            slot.label,
          )
        : one(
            `SELECT coalesce(sum(minor), 0) AS amount, count(*) AS count FROM reservations
             WHERE mandate = ? AND place = ? AND at_ms > ? AND state <> 'voided'`,
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

  /**
   * Leaf first; empty when any link is missing or cannot be counted here (a time zone that this
   * machine no longer knows), so that half a chain is never judged and the refusal is final.
   */
  function chainOf(id: string, nowMs: number): readonly ChainLink[] {
    try {
      return linksFrom(id, nowMs);
    } catch (error) {
      if (error instanceof PaymentError && error.reason === 'malformed') return [];
      throw error;
    }
  }

  function linksFrom(id: string, nowMs: number): readonly ChainLink[] {
    const chain: ChainLink[] = [];
    for (let next: string | undefined = id; next !== undefined;) {
      const stored: StoredMandate | undefined = mandateById(next, nowMs);
      if (!stored || chain.length >= CHAIN_DEPTH_MAX) return [];
      chain.push({
        ...stored,
        usage: stored.mandate.windows.map((window, i) => usageOf(stored.id, i, window, nowMs)),
        lastMs: stored.mandate.gap === undefined ? undefined : lastOf(stored.id),
      });
      next = stored.mandate.parent;
    }
    return chain;
  }

  function runById(id: string): Run | undefined {
    const row = one('SELECT * FROM runs WHERE id = ?', id);
    return row && toRun(row);
  }

  return {
    identity: identityWhere,
    mandate: mandateById,
    order: orderById,
    /** Leaf first, with what its windows have seen at `nowMs`. */
    chain: chainOf,
    run: runById,
    toRun,
  };
}

/** The Key statement in a row's envelope. */
export function keyOf(row: SqlRow) {
  return valueOf(keyStatement, row['envelope']);
}

function toRun(row: SqlRow): Run {
  const terminalReceipt = blob(row['terminal_receipt']);
  return {
    id: string(row['id']),
    device: string(row['device']),
    request: valueOf(requestKind, row['envelope']),
    admittedMs: Number(row['admitted_ms']),
    refusal: (row['refusal'] ?? undefined) as Reason | undefined,
    funding: string(row['funding']),
    payer: string(row['payer']),
    presence: Number(row['presence']) as Presence,
    channel: row['channel'] as Channel,
    remaining: (JSON.parse(string(row['remaining'])) as [string, number][]).map(
      ([amount, count]) => ({ amount: BigInt(amount), count }),
    ),
    decision:
      row['decision'] === null ? undefined : (JSON.parse(string(row['decision'])) as Decision),
    attemptedMs: row['attempted_ms'] === null ? undefined : Number(row['attempted_ms']),
    receipt: blob(row['receipt']),
    terminalReceipt: terminalReceipt && {
      device: string(row['terminal_device']),
      receipt: terminalReceipt,
    },
  };
}

/** The value inside an envelope that was verified when it was stored. */
function valueOf<T>(kind: Kind<T>, envelope: SqlValue | undefined): T {
  return kind.decode(payloadOf(blob(envelope)!));
}

function string(value: SqlValue | undefined): string {
  assert.equal(typeof value, 'string');
  return value as string;
}

function blob(value: SqlValue | undefined): Uint8Array | undefined {
  return value instanceof Uint8Array ? value : undefined;
}
