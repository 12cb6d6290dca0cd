/**
 * Leases and their pools in SQLite: set aside, drawn from, given back. SQL stands here.
 *
 * Every function runs inside a transaction of its caller. A pool has one open row per key and
 * mandate; what it holds is also in `windows.pooled` of every calendar and total window of its
 * chain, under the label of the day on which it was last filled, and counts in every rolling window
 * at any time. CHECKs refuse a window beyond its maximum and a draw beyond its pool, so a mistake
 * here fails and never overspends (invariant I1).
 */
import assert from 'node:assert/strict';
import { fromHex, toHex } from '../../src/bytes.ts';
import { RESEND_FOR_MS, RUNS_PER_KEY_MAX } from '../../src/limits.ts';
import type { Database, Random, SqlRow, SqlValue } from '../../src/platform.ts';
import { slotOf } from '../windows.ts';
import type { Chain } from './chain.ts';
import type { Facts } from './facts.ts';
import type { ChainLink, Lease, LeaseFacts, LeaseTerms, Store, Usage } from './port.ts';

export function createLeases(database: Database, facts: Facts, chain: Chain, random: Random) {
  const one = (text: string, ...values: SqlValue[]) => database.prepare(text).get(...values);
  const all = (text: string, ...values: SqlValue[]) => database.prepare(text).all(...values);
  const write = (text: string, ...values: SqlValue[]) =>
    database.prepare(text).run(...values).changes;

  /** The lease of a nonce and what is left in its pool; a pool that is closed has nothing. */
  function leaseOf(nonce: Uint8Array): (Lease & Readonly<{ rest: Usage }>) | undefined {
    const row = one(`${LEASE} WHERE l.nonce = ?`, toHex(nonce));
    return row && { ...toLease(row), rest: row['closed_ms'] === null ? restOf(row) : NOTHING };
  }

  /** As Store.lease. */
  function lease(
    { key, mandate, nowMs }: Parameters<Store['lease']>[0],
    termsOf: (facts: LeaseFacts) => LeaseTerms | 'same' | undefined,
  ): Lease | undefined {
    const identity = facts.identity('name', key);
    assert(identity, 'a lease for a key that is not enrolled');
    const links = facts.chain(mandate, nowMs);
    const open = one(
      'SELECT * FROM pools WHERE key = ? AND mandate = ? AND closed_ms IS NULL',
      key,
      mandate,
    );
    const id = open?.['id'] as bigint | undefined;
    const pool = open ? restOf(open) : NOTHING;
    const last =
      id !== undefined && one(`${LEASE} WHERE l.pool = ? ORDER BY l.rowid DESC LIMIT 1`, id);
    const latest = last ? toLease(last) : undefined;
    const currency = links[0]?.mandate.currency ?? '';
    const others = one(
      `SELECT coalesce(sum(iif(currency = ?, amount - drawn, 0)), 0) AS amount,
         coalesce(sum(count - drawn_count), 0) AS count
       FROM pools WHERE key = ? AND mandate <> ? AND closed_ms IS NULL`,
      currency,
      key,
      mandate,
    )!;
    const terms = termsOf({
      identity,
      chain: id === undefined ? links : without(links, id, pool, nowMs),
      pool,
      others: usageIn(others),
      latest,
      hasRefused: latest !== undefined && hasRefusedSince(key, latest.iat),
      validUntil: Math.min(
        identity.statement.exp,
        ...links.flatMap((link) => [
          link.mandate.exp,
          facts.identity('name', link.issuer)!.statement.exp,
        ]),
      ),
      nowMs,
    });
    if (terms === 'same') return latest;
    if (!terms) return undefined;

    const nonce = random(NONCE_BYTES);
    const iat = Math.floor(nowMs / 1000);
    const given = { ...terms, nonce, key, mandate, currency, iat };
    fill(id, given, links, nowMs);
    const said = { ...given, nonce: toHex(nonce), amount: String(given.amount) };
    chain.append(mandate, 'lease', said, nowMs);
    return given;
  }

  /** Of the requests that may have been on their way; an older one was answered under an older. */
  function hasRefusedSince(key: string, iat: number): boolean {
    const found = one(
      `SELECT 1 FROM (SELECT admitted_ms, refusal FROM runs WHERE key = ?
         ORDER BY counter DESC LIMIT ?)
       WHERE refusal IS NOT NULL AND admitted_ms >= ?`,
      key,
      BigInt(RUNS_PER_KEY_MAX),
      BigInt(iat) * 1000n,
    );
    return found !== undefined;
  }

  /** Usage without what this pool itself takes of each window's current slot. */
  function without(
    links: readonly ChainLink[],
    id: bigint,
    pool: Usage,
    nowMs: number,
  ): readonly ChainLink[] {
    const rows = all('SELECT mandate, place, label FROM pool_windows WHERE pool = ?', id);
    const labels = new Map(
      rows.map(({ mandate, place, label }) => [`${String(mandate)} ${String(place)}`, label]),
    );
    return links.map((link) => ({
      ...link,
      usage: link.usage.map((used, place) => {
        const slot = slotOf(link.mandate.windows[place]!, nowMs);
        const current = slot.kind === 'label' ? slot.label : null;
        if (labels.get(`${link.id} ${place}`) !== current) return used;
        return { amount: used.amount - pool.amount, count: used.count - pool.count };
      }),
    }));
  }

  /** Makes a pool hold what its new lease says, in the slots of now. */
  function fill(
    open: bigint | undefined,
    { key, mandate, currency, amount, count, upload, nonce, iat, exp }: Lease,
    links: readonly ChainLink[],
    nowMs: number,
  ): void {
    if (open !== undefined) empty(open);
    const since = one('SELECT coalesce(max(rowid), 0) AS last FROM runs')!['last'] as bigint;
    const filled = one(
      `INSERT INTO pools (id, key, mandate, currency, amount, count, at_ms, since, until)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET amount = excluded.amount, count = excluded.count, drawn = 0,
         drawn_count = 0, at_ms = excluded.at_ms, since = excluded.since,
         until = max(until, excluded.until)
       RETURNING id`,
      open ?? null,
      key,
      mandate,
      currency,
      amount,
      BigInt(count),
      BigInt(nowMs),
      since,
      BigInt(upload),
    )!['id'] as bigint;
    write(
      `INSERT INTO leases (nonce, pool, amount, count, iat, exp, upload)
       VALUES (?, ?, ?, ?, ?, ?, ?)`,
      toHex(nonce),
      filled,
      amount,
      BigInt(count),
      BigInt(iat),
      BigInt(exp),
      BigInt(upload),
    );
    write('DELETE FROM pool_windows WHERE pool = ?', filled);
    for (const link of links) {
      for (const [place, window] of link.mandate.windows.entries()) {
        const slot = slotOf(window, nowMs);
        const label = slot.kind === 'label' ? slot.label : null;
        const at = [link.id, BigInt(place), label] as const;
        write(
          'INSERT INTO pool_windows (pool, mandate, place, label) VALUES (?, ?, ?, ?)',
          filled,
          ...at,
        );
        if (label === null) continue;
        write(
          `INSERT INTO windows (mandate, place, label, pooled, pooled_count, max, max_count)
           VALUES (?, ?, ?, ?, ?, ?, ?)
           ON CONFLICT DO UPDATE SET pooled = pooled + excluded.pooled,
             pooled_count = pooled_count + excluded.pooled_count`,
          ...at,
          amount,
          BigInt(count),
          window.max,
          BigInt(window.count),
        );
      }
    }
  }

  /** Takes what a pool holds out of its windows. */
  function empty(id: bigint): void {
    write(
      `UPDATE windows SET pooled = pooled - (p.amount - p.drawn),
         pooled_count = pooled_count - (p.count - p.drawn_count)
       FROM pool_windows w JOIN pools p ON p.id = w.pool
       WHERE w.pool = ? AND windows.mandate = w.mandate AND windows.place = w.place
         AND windows.label = w.label`,
      id,
    );
  }

  /** What an accepted request reserves comes out of the pool of its lease, where that lies. */
  function draw(run: string, nonce: string, minor: bigint, nowMs: number): void {
    const id = one('SELECT pool FROM leases WHERE nonce = ?', nonce)?.['pool'];
    assert(id !== undefined, 'a request was accepted under a lease that was not given');
    const drawn = write(
      `UPDATE pools SET drawn = drawn + ?, drawn_count = drawn_count + 1
       WHERE id = ? AND closed_ms IS NULL`,
      minor,
      id,
    );
    assert.equal(drawn, 1, 'a request was accepted under a pool that was given back');
    write(
      `UPDATE windows SET pooled = pooled - ?1, pooled_count = pooled_count - 1,
         reserved = reserved + ?1, reserved_count = reserved_count + 1
       FROM pool_windows w
       WHERE w.pool = ?2 AND windows.mandate = w.mandate AND windows.place = w.place
         AND windows.label = w.label`,
      minor,
      id,
    );
    write(
      `INSERT INTO reservations (run, mandate, place, label, minor, at_ms, state)
       SELECT ?, mandate, place, label, ?, ?, 'reserved' FROM pool_windows WHERE pool = ?`,
      run,
      minor,
      BigInt(nowMs),
      id,
    );
    write('UPDATE runs SET lease = ? WHERE id = ?', nonce, run);
  }

  /** As Store.releaseLeases. */
  function releaseOver(nowMs: number, count: number): number {
    const now = BigInt(Math.floor(nowMs / 1000));
    const over = all(
      `SELECT id, key, mandate, amount, count, drawn, drawn_count FROM pools
       WHERE closed_ms IS NULL AND until <= ? ORDER BY until LIMIT ?`,
      now,
      BigInt(count),
    );
    for (const row of over) close(row, 'its last payment could have arrived', nowMs);
    // Nobody sends any more what was to be spent under these.
    const old = now - BigInt(RESEND_FOR_MS / 1000);
    write('DELETE FROM leases WHERE upload <= ?', old);
    write(
      `DELETE FROM pool_windows WHERE pool IN
         (SELECT id FROM pools WHERE closed_ms IS NOT NULL AND until <= ?)`,
      old,
    );
    write('DELETE FROM pools WHERE closed_ms IS NOT NULL AND until <= ?', old);
    return over.length;
  }

  /** Gives back the pools of a key that no longer counts. */
  function releaseOf(key: string, why: string, nowMs: number): void {
    const rows = all('SELECT * FROM pools WHERE key = ? AND closed_ms IS NULL', key);
    for (const row of rows) close(row, why, nowMs);
  }

  /** Gives back the pools under what was revoked, through whatever link of their chain. */
  function releaseRevoked(nowMs: number): void {
    const rows = all(
      `SELECT * FROM pools p WHERE closed_ms IS NULL AND EXISTS
         (SELECT 1 FROM pool_windows w JOIN mandates m ON m.id = w.mandate
          WHERE w.pool = p.id AND m.status = 'revoked')`,
    );
    for (const row of rows) close(row, 'revoked', nowMs);
  }

  function close(row: SqlRow, why: string, nowMs: number): void {
    const id = row['id'] as bigint;
    empty(id);
    write('UPDATE pools SET closed_ms = ? WHERE id = ?', BigInt(nowMs), id);
    const { amount, count } = restOf(row);
    const said = { released: why, key: row['key'], amount: String(amount), count };
    chain.append(row['mandate'] as string, 'lease', said, nowMs);
  }

  return { leaseOf, lease, draw, releaseOver, releaseOf, releaseRevoked };
}

export type Leases = ReturnType<typeof createLeases>;

const NONCE_BYTES = 8;
const NOTHING: Usage = Object.freeze({ amount: 0n, count: 0 });

const LEASE = `SELECT l.nonce, l.amount AS leased, l.count AS leased_count, l.iat, l.exp, l.upload,
    p.key, p.mandate, p.currency, p.amount, p.count, p.drawn, p.drawn_count, p.closed_ms
  FROM leases l JOIN pools p ON p.id = l.pool`;

function toLease(row: SqlRow): Lease {
  return {
    nonce: fromHex(row['nonce'] as string),
    key: row['key'] as string,
    mandate: row['mandate'] as string,
    currency: row['currency'] as string,
    amount: row['leased'] as bigint,
    count: Number(row['leased_count']),
    iat: Number(row['iat']),
    exp: Number(row['exp']),
    upload: Number(row['upload']),
  };
}

/** What a pool holds that was not drawn. */
function restOf(row: SqlRow): Usage {
  return {
    amount: (row['amount'] as bigint) - (row['drawn'] as bigint),
    count: Number((row['count'] as bigint) - (row['drawn_count'] as bigint)),
  };
}

function usageIn(row: SqlRow): Usage {
  return { amount: row['amount'] as bigint, count: Number(row['count']) };
}
