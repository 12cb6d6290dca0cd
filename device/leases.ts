/**
 * The lease book: what this device may still spend of each reservation that the bridge made for it.
 *
 * It stands in the outbox's own file, because a unit is spent in the transaction that stores the
 * payment: a power cut never spends one twice and never forgets one. What is left only falls until
 * the bridge sends a newer lease, and what it did not know of when it sent that is taken off first.
 */
import { PaymentError } from '../src/errors.ts';
import type { Money } from '../src/money.ts';
import type { Tick } from '../src/objects/tick.ts';
import type { Database } from '../src/platform.ts';
import { sealRow } from './tables.ts';

/** A lease that is held, with what is left of it. */
export type HeldLease = Readonly<{
  mandate: string;
  /** What a request that spends it is signed under. */
  nonce: Uint8Array;
  /** Seconds since 1970: spent before `exp`, arrived before `upload`. */
  exp: number;
  upload: number;
  left: Readonly<{ amount: Money; count: number }>;
}>;

/** Payments accepted offline. */
export type Spent = Readonly<{ minor: bigint; count: number }>;

export type LeaseBook = Readonly<{
  /** The lease held for payments under this mandate. */
  of: (mandate: string) => HeldLease | undefined;
  /**
   * Takes a verified lease addressed to this key. `unseen` is what was accepted under its mandate
   * and that the bridge may not have seen when it made the lease, at `iat` (seconds). A lease that
   * is not newer than the one held changes nothing, so that none is spent again.
   */
  hear: (tick: Tick, unseen: (mandate: string, iat: number) => Spent) => void;
  /**
   * Takes one payment off what is left, as part of the caller's transaction; under whichever lease
   * of the mandate it was signed, all draw from one pool. Throws `lease_exhausted` when less is
   * left.
   */
  spend: (mandate: string, minor: bigint) => void;
}>;

export function createLeaseBook(database: Database): LeaseBook {
  return {
    of(mandate) {
      const row = database.prepare('SELECT * FROM leases WHERE mandate = ?').get(mandate);
      if (!row) return undefined;
      const amount = { currency: row['currency'] as string, minor: row['minor_left'] as bigint };
      return {
        mandate,
        nonce: row['nonce'] as Uint8Array,
        exp: Number(row['exp']),
        upload: Number(row['upload']),
        left: { amount, count: Number(row['count_left']) },
      };
    },
    hear({ iat, nonce, lease }, unseen) {
      if (!lease) return;
      const { mandate, amount } = lease;
      const { minor, count } = unseen(mandate, iat);
      const minorLeft = amount.minor > minor ? amount.minor - minor : 0n;
      const countLeft = Math.max(0, lease.count - count);
      database.transaction(() => {
        database.prepare('DELETE FROM leases WHERE upload < ?').run(BigInt(iat));
        database
          .prepare(
            `INSERT INTO leases (mandate, nonce, iat, exp, upload, currency, minor_left, count_left)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (mandate) DO UPDATE SET
               nonce = excluded.nonce, iat = excluded.iat, exp = excluded.exp,
               upload = excluded.upload, currency = excluded.currency,
               minor_left = excluded.minor_left, count_left = excluded.count_left
             WHERE excluded.iat > iat`,
          )
          .run(
            ...[mandate, nonce, BigInt(iat), BigInt(lease.exp), BigInt(lease.upload)],
            ...[amount.currency, minorLeft, BigInt(countLeft)],
          );
        sealRow(database, 'leases', mandate);
      });
    },
    spend(mandate, minor) {
      const { changes } = database
        .prepare(
          `UPDATE leases SET minor_left = minor_left - ?, count_left = count_left - 1
           WHERE mandate = ? AND minor_left >= ? AND count_left >= 1`,
        )
        .run(minor, mandate, minor);
      if (changes !== 1) throw new PaymentError('lease_exhausted', 'the lease has not that left');
      sealRow(database, 'leases', mandate);
    },
  };
}
