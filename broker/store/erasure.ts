/**
 * Forgetting: what is over and old, and what a person wants deleted. SQL stands here.
 *
 * Rows of the chain stay; their contents go with the salt, so the chain still holds and nobody can
 * guess what was there.
 */
import { RESEND_FOR_MS } from '../../src/limits.ts';
import type { Database, SqlValue } from '../../src/platform.ts';
import { PaymentError } from '../../src/errors.ts';
import type { Chain } from './chain.ts';
import type { Store } from './port.ts';
import { setMeta } from './schema.ts';

/** As Store.forget. */
export function forget(database: Database, beforeMs: number): void {
  const before = BigInt(Math.floor(beforeMs));
  const write = (text: string, ...values: SqlValue[]) => database.prepare(text).run(...values);
  const openHolds = 'SELECT id FROM payments WHERE held > 0';
  write(
    `DELETE FROM payments WHERE held = 0 AND id IN
    (SELECT id FROM runs WHERE concluded_ms < ?)`,
    before,
  );
  write(`DELETE FROM runs WHERE concluded_ms < ? AND id NOT IN (${openHolds})`, before);
  write('DELETE FROM attempts WHERE run NOT IN (SELECT id FROM runs)');
  write(`DELETE FROM reservations WHERE at_ms < ? AND state <> 'reserved'`, before);
  write(`DELETE FROM orders WHERE stored_ms < ? AND state <> 'claimed'`, before);
  write('DELETE FROM tombstones WHERE at_ms < ?', before);
  setMeta(database, 'forgotten_before_ms', String(before));
}

/** As Store.erase. Throws `malformed` for what a device may still send again. */
export function erase(
  database: Database,
  chain: Chain,
  { payer, beforeMs, by, nowMs }: Parameters<Store['erase']>[0],
): number {
  if (beforeMs > nowMs - RESEND_FOR_MS) {
    throw new PaymentError('malformed', 'payments that may still be sent again are kept');
  }
  const before = BigInt(Math.floor(beforeMs));
  const write = (text: string, ...values: SqlValue[]) =>
    database.prepare(text).run(...values).changes;
  const mine = `(?2 IS NULL OR payer = ?2)`;
  const over = `SELECT id FROM runs WHERE concluded_ms < ?1 AND ${mine}
    AND id NOT IN (SELECT id FROM payments WHERE held > 0)`;
  // Only what could not come to life when it is sent again: one that was revoked by its id could.
  const ended = `SELECT id FROM mandates m WHERE stored_ms < ?1 AND ${mine}
    AND (exp * 1000 < ?1 OR epoch < (SELECT p.epoch FROM payers p WHERE p.payer = m.payer))
    AND NOT EXISTS (SELECT 1 FROM mandates c WHERE c.parent = m.id)
    AND NOT EXISTS (SELECT 1 FROM reservations v WHERE v.mandate = m.id AND v.state = 'reserved')
    AND NOT EXISTS (SELECT 1 FROM pool_windows w JOIN pools p ON p.id = w.pool
      WHERE w.mandate = m.id AND p.closed_ms IS NULL)`;
  // Whose an order that nobody paid or a tombstone was, is not known: they go by age only.
  const idle = `SELECT id FROM orders WHERE ?2 IS NULL AND stored_ms < ?1 AND run IS NULL`;
  const subjects = `SELECT id FROM (${over}) UNION SELECT id FROM (${ended})
    UNION SELECT id FROM orders WHERE run IN (${over}) UNION SELECT id FROM (${idle})
    UNION SELECT question FROM tombstones WHERE ?2 IS NULL AND at_ms < ?1`;
  const erased = write(
    `UPDATE evidence SET salt = NULL, body = NULL
     WHERE body IS NOT NULL AND at_ms < ?1 AND subject IN (${subjects})`,
    before,
    payer ?? null,
  );
  write(`DELETE FROM orders WHERE id IN (${idle})`, before, payer ?? null);
  write(`DELETE FROM orders WHERE run IN (${over})`, before, payer ?? null);
  write(`DELETE FROM payments WHERE id IN (${over})`, before, payer ?? null);
  write(`DELETE FROM attempts WHERE run IN (${over})`, before, payer ?? null);
  write(`DELETE FROM runs WHERE id IN (${over})`, before, payer ?? null);
  write(`DELETE FROM windows WHERE mandate IN (${ended})`, before, payer ?? null);
  write(`DELETE FROM mandates WHERE id IN (${ended})`, before, payer ?? null);
  if (erased > 0) {
    chain.append('erasure', 'erasure', { by, before: Number(before), rows: erased }, nowMs);
  }
  return erased;
}
