/**
 * One-time links and sessions of the pages, and whose each key is. SQL stands here.
 *
 * Of a secret only its SHA-256 is kept, so that whoever reads the store can log in with nothing. A
 * look-up by that hash tells no timing worth having: who does not know 256 random bits cannot steer
 * the hash that is compared.
 */
import { toHex } from '../../src/bytes.ts';
import { payloadOf } from '../../src/cose.ts';
import { PaymentError } from '../../src/errors.ts';
import { LINKS_MAX, SESSIONS_MAX } from '../../src/limits.ts';
import { keyStatement } from '../../src/objects/key.ts';
import type { Database } from '../../src/platform.ts';
import type { Visitor } from './port.ts';

export const LOGIN_SCHEMA = `
CREATE TABLE logins (
  hash BLOB PRIMARY KEY,              -- SHA-256 of the link's or the cookie's secret
  kind TEXT NOT NULL CHECK (kind IN ('link', 'session')),
  visitor TEXT NOT NULL,
  until_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE wearers (
  funding TEXT PRIMARY KEY,
  payer TEXT NOT NULL                 -- the pseudonym of whoever logs in for this funding
) STRICT, WITHOUT ROWID;

ALTER TABLE identities ADD COLUMN payer TEXT;
CREATE INDEX identities_by_payer ON identities (payer) WHERE payer IS NOT NULL;
`;

/** Stores of before had the payer of a key in its envelope only. */
export function fillPayers(database: Database): void {
  const update = database.prepare('UPDATE identities SET payer = ? WHERE name = ?');
  for (const row of database.prepare('SELECT name, envelope FROM identities').all()) {
    const { payer } = keyStatement.decode(payloadOf(row['envelope'] as Uint8Array));
    if (payer) update.run(toHex(payer), row['name']!);
  }
}

/** As Store.putLink. */
export function putLink(
  database: Database,
  link: Readonly<{ hash: Uint8Array; visitor: Visitor; untilMs: number; nowMs: number }>,
): void {
  insert(database, 'link', link, LINKS_MAX, 'links wait to be opened: let some run out');
}

/** As Store.openSession. */
export function openSession(
  database: Database,
  asked: Readonly<{ link: Uint8Array; session: Uint8Array; untilMs: number; nowMs: number }>,
): Visitor | undefined {
  const visitor = find(database, 'link', asked.link, asked.nowMs);
  if (!visitor) return undefined;
  const session = { hash: asked.session, visitor, untilMs: asked.untilMs, nowMs: asked.nowMs };
  insert(database, 'session', session, SESSIONS_MAX, 'people are logged in: let some log out');
  endLogin(database, asked.link);
  return visitor;
}

/** As Store.session. */
export function findSession(
  database: Database,
  hash: Uint8Array,
  nowMs: number,
): Visitor | undefined {
  return find(database, 'session', hash, nowMs);
}

/** As Store.endSession. */
export function endLogin(database: Database, hash: Uint8Array): void {
  database.prepare('DELETE FROM logins WHERE hash = ?').run(hash);
}

/** Ends every session of a payer, and every link that waits for them. */
export function endLoginsOf(database: Database, payer: string): void {
  database.prepare(`DELETE FROM logins WHERE visitor ->> '$.payer' = ?`).run(payer);
}

/** As Store.payerOf. */
export function payerOf(database: Database, funding: string, fresh: string): string {
  database
    .prepare('INSERT INTO wearers (funding, payer) VALUES (?, ?) ON CONFLICT DO NOTHING')
    .run(funding, fresh);
  const row = database.prepare('SELECT payer FROM wearers WHERE funding = ?').get(funding)!;
  return row['payer'] as string;
}

/** As Store.epochOf. */
export function epochOf(database: Database, payer: string): number {
  const row = database.prepare('SELECT epoch FROM payers WHERE payer = ?').get(payer);
  return Math.max(1, Number(row?.['epoch'] ?? 1n));
}

function insert(
  database: Database,
  kind: 'link' | 'session',
  row: Readonly<{ hash: Uint8Array; visitor: Visitor; untilMs: number; nowMs: number }>,
  most: number,
  full: string,
): void {
  database.prepare('DELETE FROM logins WHERE until_ms <= ?').run(BigInt(row.nowMs));
  const { open } = database
    .prepare('SELECT count(*) AS open FROM logins WHERE kind = ?')
    .get(kind)!;
  if (Number(open) >= most) throw new PaymentError('rate_limited', `${open} ${full}`);
  database
    .prepare('INSERT INTO logins (hash, kind, visitor, until_ms) VALUES (?, ?, ?, ?)')
    .run(row.hash, kind, JSON.stringify(row.visitor), BigInt(row.untilMs));
}

function find(
  database: Database,
  kind: 'link' | 'session',
  hash: Uint8Array,
  nowMs: number,
): Visitor | undefined {
  const row = database
    .prepare('SELECT visitor FROM logins WHERE hash = ? AND kind = ? AND until_ms > ?')
    .get(hash, kind, BigInt(nowMs));
  return row && (JSON.parse(row['visitor'] as string) as Visitor);
}
