/**
 * Which key has a device's name, and which had it before: verbs of the bridge's store.
 *
 * A name has one key at a time, and the database refuses a second one. A key that was succeeded
 * keeps the name as its `former` one and verifies until it is retired, so that what is in the
 * outbox of its device still arrives.
 */
import { bytesEqual, toHex } from '../../src/bytes.ts';
import { payloadOf } from '../../src/cose.ts';
import { PaymentError } from '../../src/errors.ts';
import { type KeyStatement, keyStatement } from '../../src/objects/key.ts';
import type { Database, SqlValue } from '../../src/platform.ts';
import { standing } from '../identities.ts';
import type { Chain } from './chain.ts';
import type { Facts } from './facts.ts';

/** A statement to be stored; see `putIdentity` of the port. */
type Put = Readonly<{
  name: string;
  statement: KeyStatement;
  envelope: Uint8Array;
  nowMs: number;
  predecessor: string | undefined;
}>;

/** The verbs, each to be called inside a transaction. */
export function createNames(database: Database, chain: Chain, facts: Facts) {
  const one = (text: string, ...values: SqlValue[]) => database.prepare(text).get(...values);
  const all = (text: string, ...values: SqlValue[]) => database.prepare(text).all(...values);
  const write = (text: string, ...values: SqlValue[]) =>
    database.prepare(text).run(...values).changes;

  function put({ name, statement, envelope, nowMs, predecessor }: Put): void {
    const kid = name.slice(0, 16);
    const known = one('SELECT envelope, former FROM identities WHERE name = ?', name);
    // The same word again moves no name: a folder of statements still has those of before.
    if (known && bytesEqual(known['envelope'] as Uint8Array, envelope)) return;
    if (one('SELECT 1 FROM identities WHERE kid = ? AND name <> ?', kid, name)) {
      throw new PaymentError('suspended', `another key has the hint ${kid}`);
    }
    const device = statement.device ?? null;
    const isFormer = device !== null && known?.['former'] === device;
    if (device !== null && !isFormer) free(device, name, predecessor, nowMs);
    write(
      `INSERT INTO identities (name, kid, device, payee, payer, status, envelope)
       VALUES (?, ?, ?, ?, ?, 'active', ?)
       ON CONFLICT (name) DO UPDATE SET device = excluded.device, payee = excluded.payee,
         payer = excluded.payer, envelope = excluded.envelope`,
      name,
      kid,
      isFormer ? null : device,
      statement.payee ?? null,
      statement.payer ? toHex(statement.payer) : null,
      envelope,
    );
    chain.append(name, 'key', envelope, nowMs);
  }

  /** Takes a name from the key that has it, if that may be. Throws `suspended` if not. */
  function free(device: string, name: string, predecessor: string | undefined, nowMs: number) {
    const taken = one('SELECT name FROM identities WHERE device = ?', device)?.['name'];
    if (taken === undefined || taken === name) return;
    const holder = facts.identity('device', device)!;
    if (holder.name === predecessor) {
      write(
        'UPDATE identities SET former = device, device = NULL, successor = ? WHERE name = ?',
        name,
        holder.name,
      );
      return;
    }
    const fault = standing(holder, nowMs);
    if (fault === undefined || fault === 'not_yet_valid') {
      throw new PaymentError('suspended', `another key holds the name ${device}`);
    }
    // The name stays beside it, so that a lost device that comes back is told that it is over.
    write('UPDATE identities SET former = device, device = NULL WHERE name = ?', holder.name);
    if (write(`UPDATE identities SET status = 'revoked' WHERE name = ?`, holder.name) === 1) {
      chain.append(holder.name, 'status', { status: 'revoked', replacedBy: name }, nowMs);
    }
  }

  return {
    put,
    statementOf: (name: string): Uint8Array | undefined => {
      const row = one('SELECT envelope FROM identities WHERE name = ?', name);
      return row?.['envelope'] as Uint8Array | undefined;
    },
    successorOf: (name: string): string | undefined => {
      const row = one('SELECT successor FROM identities WHERE name = ?', name);
      return (row?.['successor'] ?? undefined) as string | undefined;
    },
    retire(name: string, nowMs: number): boolean {
      const changed = write(
        `UPDATE identities SET former = NULL, retired = 1
         WHERE name = ? AND successor IS NOT NULL AND retired = 0`,
        name,
      );
      if (changed === 1) chain.append(name, 'note', { retired: true }, nowMs);
      return changed === 1;
    },
    /** This key and the others, before and after it, that its device may still speak with. */
    together(name: string): readonly string[] {
      // Along the succession and not by the name: that may be another device's by now.
      const rows = all(
        `WITH RECURSIVE line (name) AS (
           VALUES (?1)
           UNION SELECT i.successor FROM identities i JOIN line ON i.name = line.name
             WHERE i.successor IS NOT NULL
           UNION SELECT i.name FROM identities i JOIN line ON i.successor = line.name
         )
         SELECT name FROM identities WHERE name IN line
           AND (name = ?1 OR (retired = 0 AND status <> 'revoked'))`,
        name,
      );
      return rows.map((one) => one['name'] as string);
    },
    terminalStatements(nowMs: number, count: number): readonly Uint8Array[] {
      return all(
        `SELECT envelope FROM identities WHERE payee IS NOT NULL AND status = 'active'
         AND retired = 0 ORDER BY rowid DESC LIMIT ?`,
        BigInt(count),
      )
        .map((row) => row['envelope'] as Uint8Array)
        .filter((envelope) => nowMs / 1000 < keyStatement.decode(payloadOf(envelope)).exp);
    },
    mandatesFor(cnf: string, nowMs: number, count: number): readonly Uint8Array[] {
      return all(
        `SELECT envelope FROM mandates WHERE cnf = ? AND status = 'active' AND exp > ?
         ORDER BY rowid DESC LIMIT ?`,
        cnf,
        BigInt(Math.floor(nowMs / 1000)),
        BigInt(count),
      ).map((row) => row['envelope'] as Uint8Array);
    },
  };
}

export type Names = ReturnType<typeof createNames>;
