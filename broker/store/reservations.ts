/**
 * What payments take from the windows of their mandates: reserved, then settled or given back. SQL
 * stands here.
 *
 * Every function runs inside a transaction of its caller. The rows of `windows` carry CHECKs, so a
 * mistake here fails and never overspends (invariant I1).
 */
import type { Database, SqlValue } from '../../src/platform.ts';
import { slotOf } from '../windows.ts';
import type { Reservation } from './port.ts';

export type Reservations = ReturnType<typeof createReservations>;

export function createReservations(database: Database) {
  const write = (text: string, ...values: SqlValue[]) =>
    database.prepare(text).run(...values).changes;

  function reserve(run: string, item: Reservation, nowMs: number): void {
    const slot = slotOf(item.window, nowMs);
    const label = slot.kind === 'label' ? slot.label : null;
    if (label !== null) {
      write(
        `INSERT INTO windows (mandate, place, label, reserved, reserved_count, max, max_count)
         VALUES (?, ?, ?, ?, 1, ?, ?)
         ON CONFLICT DO UPDATE SET reserved = reserved + excluded.reserved,
           reserved_count = reserved_count + 1`,
        item.mandate,
        BigInt(item.index),
        label,
        item.amount,
        item.window.max,
        BigInt(item.window.count),
      );
    }
    write(
      `INSERT INTO reservations (run, mandate, place, label, minor, at_ms, state)
       VALUES (?, ?, ?, ?, ?, ?, 'reserved')`,
      run,
      item.mandate,
      BigInt(item.index),
      label,
      item.amount,
      BigInt(nowMs),
    );
  }

  /**
   * Settles at most what each reservation of a run holds: `minor` of it (all by default) is spent,
   * the rest is free again. Nothing spent means voided. Because rows have a state, a repeat does
   * nothing.
   */
  function release(run: string, to: 'settled' | 'voided', minor?: bigint): void {
    const rows = database
      .prepare(`SELECT * FROM reservations WHERE run = ? AND state = 'reserved'`)
      .all(run);
    for (const row of rows) {
      const reserved = row['minor'] as bigint;
      const spent = to === 'voided' ? 0n : (minor ?? reserved);
      if (row['label'] !== null) {
        write(
          `UPDATE windows SET reserved = reserved - ?, reserved_count = reserved_count - 1,
             settled = settled + ?, settled_count = settled_count + ?
           WHERE mandate = ? AND place = ? AND label = ?`,
          reserved,
          spent,
          to === 'settled' ? 1n : 0n,
          row['mandate']!,
          row['place']!,
          row['label']!,
        );
      }
    }
    if (rows.length === 0) return;
    if (to === 'settled' && minor !== undefined) {
      write(
        `UPDATE reservations SET state = 'settled', minor = ? WHERE run = ? AND state = 'reserved'`,
        minor,
        run,
      );
    } else {
      write(`UPDATE reservations SET state = ? WHERE run = ? AND state = 'reserved'`, to, run);
    }
  }

  return { reserve, release };
}
