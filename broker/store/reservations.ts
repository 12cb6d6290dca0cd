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
    const spent = to === 'voided' ? 0n : (minor ?? null);
    write(
      `UPDATE windows SET reserved = reserved - r.minor, reserved_count = reserved_count - 1,
         settled = settled + coalesce(?2, r.minor), settled_count = settled_count + ?3
       FROM reservations r
       WHERE r.run = ?1 AND r.state = 'reserved' AND r.label IS NOT NULL
         AND windows.mandate = r.mandate AND windows.place = r.place AND windows.label = r.label`,
      run,
      spent,
      to === 'settled' ? 1n : 0n,
    );
    write(
      `UPDATE reservations SET state = ?2, minor = coalesce(?3, minor)
       WHERE run = ?1 AND state = 'reserved'`,
      run,
      to,
      to === 'voided' ? null : spent,
    );
  }

  return { reserve, release };
}
