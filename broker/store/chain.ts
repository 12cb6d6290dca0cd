/**
 * The chain of evidence: what was received and decided, each row bound to all before it.
 *
 * A row's digest covers a random salt and the body, its link covers the link before and everything
 * of the row but salt and body. So personal data can be deleted with its salt, after which nobody
 * can guess it from the digest, and the chain still proves that nothing was added, lost or moved.
 */
import { hash } from 'node:crypto';
import { concat, utf8 } from '../../src/bytes.ts';
import type { Database, Random, SqlRow } from '../../src/platform.ts';
import type { EvidenceKind, EvidenceRow } from './port.ts';

/** The link before the first row. */
export const GENESIS: Uint8Array = Uint8Array.from(
  hash('sha256', utf8('saytap/1 evidence'), 'buffer'),
);

const SALT_BYTES = 16;
const SALTS_AT_ONCE = 64;

/** SHA-256 of salt and body. */
export function digestOf(salt: Uint8Array, body: Uint8Array): Uint8Array {
  return hash('sha256', concat(salt, body), 'buffer');
}

/** SHA-256 of the previous link and everything of a row but salt and body. */
export function linkOf(
  previous: Uint8Array,
  row: Pick<EvidenceRow, 'number' | 'atMs' | 'subject' | 'kind' | 'digest'>,
): Uint8Array {
  // Kinds and subjects hold no line break, so the parts cannot be shifted.
  const head = utf8(`${row.number}\n${row.atMs}\n${row.subject}\n${row.kind}\n`);
  return hash('sha256', concat(previous, head, row.digest), 'buffer');
}

/** Appends inside the transaction of its caller, which calls `restart` when it begins. */
export function createChain(database: Database, random: Random) {
  let head: Readonly<{ number: number; link: Uint8Array }> | undefined;
  let pool: Uint8Array = new Uint8Array();

  /** Asking the system for 16 bytes costs as much as asking for a thousand. */
  function nextSalt(): Uint8Array {
    if (pool.length < SALT_BYTES) pool = random(SALT_BYTES * SALTS_AT_ONCE);
    const salt = pool.slice(0, SALT_BYTES);
    pool = pool.subarray(SALT_BYTES);
    return salt;
  }

  function lastRow(): Readonly<{ number: number; link: Uint8Array }> {
    const last = database
      .prepare('SELECT number, link FROM evidence ORDER BY number DESC LIMIT 1')
      .get();
    if (!last) return { number: 0, link: GENESIS };
    return { number: Number(last['number']), link: last['link'] as Uint8Array };
  }

  return {
    /** A transaction begins or was undone in part: the last row is what the table says. */
    restart: () => void (head = undefined),
    append(subject: string, kind: EvidenceKind, body: Uint8Array | object, nowMs: number): void {
      const bytes = body instanceof Uint8Array ? body : utf8(JSON.stringify(body));
      head ??= lastRow();
      const number = head.number + 1;
      const salt = nextSalt();
      const digest = digestOf(salt, bytes);
      const link = linkOf(head.link, { number, atMs: nowMs, subject, kind, digest });
      database
        .prepare(
          `INSERT INTO evidence (number, at_ms, subject, kind, salt, body, digest, link)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
        )
        .run(BigInt(number), BigInt(nowMs), subject, kind, salt, bytes, digest, link);
      head = { number, link };
    },
    of: (subject: string): readonly EvidenceRow[] =>
      database
        .prepare('SELECT * FROM evidence WHERE subject = ? ORDER BY number')
        .all(subject)
        .map(rowOf),
    page: (after: number, count: number): readonly EvidenceRow[] =>
      database
        .prepare('SELECT * FROM evidence WHERE number > ? ORDER BY number LIMIT ?')
        .all(BigInt(after), BigInt(count))
        .map(rowOf),
  };
}

export type Chain = ReturnType<typeof createChain>;

function rowOf(row: SqlRow): EvidenceRow {
  return Object.freeze({
    number: Number(row['number']),
    atMs: Number(row['at_ms']),
    subject: row['subject'] as string,
    kind: row['kind'] as EvidenceKind,
    salt: (row['salt'] ?? undefined) as Uint8Array | undefined,
    body: (row['body'] ?? undefined) as Uint8Array | undefined,
    digest: row['digest'] as Uint8Array,
    link: row['link'] as Uint8Array,
  });
}
