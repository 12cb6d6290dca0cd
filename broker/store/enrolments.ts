/**
 * Keys that ask to be known, until a person has decided: verbs of the bridge's store.
 *
 * They survive a restart, for a person stands beside the device and must not begin again. What is
 * over is forgotten by whoever comes next, so nothing has to look for it.
 */
import { toHex } from '../../src/bytes.ts';
import { kidOf, payloadOf } from '../../src/cose.ts';
import { PaymentError } from '../../src/errors.ts';
import {
  ENROLMENTS_MAX,
  ENROLMENTS_PER_ADDRESS_MAX,
  ENROLMENTS_UNSIGNED_MAX,
  ENROLMENT_KEEP_MS,
  ENROLMENT_MS,
} from '../../src/limits.ts';
import { enrol as enrolKind } from '../../src/objects/enrol.ts';
import type { Database, SqlRow, SqlValue } from '../../src/platform.ts';
import type { Chain } from './chain.ts';
import type { Enrolment, EnrolmentWord } from './port.ts';

/** The verbs, each to be called inside a transaction. */
export function createEnrolments(database: Database, chain: Chain) {
  const one = (text: string, ...values: SqlValue[]) => database.prepare(text).get(...values);
  const write = (text: string, ...values: SqlValue[]) =>
    database.prepare(text).run(...values).changes;

  function find(codeOrKey: string, nowMs: number): Enrolment | undefined {
    const row = one('SELECT * FROM enrolments WHERE code = ?1 OR key = ?1', codeOrKey);
    const enrolment = row && toEnrolment(row);
    return enrolment && nowMs < endOf(enrolment) ? enrolment : undefined;
  }

  function requireUnsignedRoom(key: string, nowMs: number): void {
    const { n } = one(
      `SELECT count(*) AS n FROM enrolments e WHERE state = 'approved' AND key <> ?
       AND asked_ms > ? AND NOT EXISTS (SELECT 1 FROM identities i WHERE i.name = e.key)`,
      key,
      BigInt(nowMs - ENROLMENT_KEEP_MS),
    )!;
    if (Number(n) < ENROLMENTS_UNSIGNED_MAX) return;
    throw new PaymentError(
      'rate_limited',
      `${ENROLMENTS_UNSIGNED_MAX} devices wait for the root already: have it sign them first ` +
        '(saytap device pending), or refuse those that are not yours',
    );
  }

  return {
    find,
    put(
      { key, code, envelope, address }: Pick<Enrolment, 'key' | 'code' | 'envelope' | 'address'>,
      nowMs: number,
    ): Enrolment {
      write(
        `DELETE FROM enrolments WHERE asked_ms <= iif(state = 'approved', ?, ?)`,
        BigInt(nowMs - ENROLMENT_KEEP_MS),
        BigInt(nowMs - ENROLMENT_MS),
      );
      const known = find(key, nowMs);
      if (known) {
        requireSame(known.envelope, envelope);
        write('UPDATE enrolments SET envelope = ? WHERE key = ?', envelope, key);
        return { ...known, envelope };
      }
      const open = one(
        `SELECT count(*) AS n, count(iif(address = ?, 1, NULL)) AS near FROM enrolments
         WHERE state <> 'approved'`,
        address,
      )!;
      if (
        Number(open['n']) >= ENROLMENTS_MAX ||
        Number(open['near']) >= ENROLMENTS_PER_ADDRESS_MAX
      ) {
        throw new PaymentError('rate_limited', 'too many devices wait for their approval');
      }
      if (one('SELECT 1 FROM enrolments WHERE code = ?', code)) {
        throw new PaymentError('rate_limited', 'another key has the same short code: make another');
      }
      write(
        `INSERT INTO enrolments (key, code, envelope, address, state, asked_ms)
         VALUES (?, ?, ?, ?, 'open', ?)`,
        key,
        code,
        envelope,
        address,
        BigInt(nowMs),
      );
      return find(key, nowMs)!;
    },
    waiting: (nowMs: number): readonly Enrolment[] =>
      database
        .prepare(
          `SELECT e.* FROM enrolments e LEFT JOIN identities i ON i.name = e.key
           WHERE e.state <> 'refused' AND (i.name IS NULL OR e.state = 'open')
           ORDER BY e.asked_ms, e.key`,
        )
        .all()
        .map(toEnrolment)
        .filter((enrolment) => nowMs < endOf(enrolment)),
    /** What was approved because this key named it waits for a person, once the key is stopped. */
    disown(kid: string): void {
      const rows = database
        .prepare(
          `SELECT key, envelope FROM enrolments e WHERE state = 'approved'
           AND NOT EXISTS (SELECT 1 FROM identities i WHERE i.name = e.key)`,
        )
        .all();
      for (const { key, envelope } of rows) {
        const { endorsement } = enrolKind.decode(payloadOf(envelope as Uint8Array));
        if (!endorsement || toHex(kidOf(endorsement)) !== kid) continue;
        write('DELETE FROM enrolments WHERE key = ?', key!);
      }
    },
    decide(key: string, word: EnrolmentWord, nowMs: number): void {
      const { state, isSigned, said, pairing, note } = word;
      if (state === 'approved' && !isSigned) requireUnsignedRoom(key, nowMs);
      write(
        'UPDATE enrolments SET state = ?, said = ?, pairing = coalesce(?, pairing) WHERE key = ?',
        state,
        said ?? null,
        pairing ?? null,
        key,
      );
      chain.append(key, 'note', note, nowMs);
    },
  };
}

/** When it is over, ms. */
export function endOf({ state, askedMs }: Pick<Enrolment, 'state' | 'askedMs'>): number {
  return askedMs + (state === 'approved' ? ENROLMENT_KEEP_MS : ENROLMENT_MS);
}

/** What a person has looked at, or signs days later, is not changed behind their back. */
function requireSame(known: Uint8Array, envelope: Uint8Array): void {
  const [before, now] = [known, envelope].map((one) => enrolKind.decode(payloadOf(one)));
  if (before!.role === now!.role && before!.device === now!.device) return;
  throw new PaymentError('role_forbidden', 'this key waits under another role or name');
}

function toEnrolment(row: SqlRow): Enrolment {
  return {
    key: row['key'] as string,
    code: row['code'] as string,
    envelope: row['envelope'] as Uint8Array,
    address: row['address'] as string,
    state: row['state'] as Enrolment['state'],
    said: (row['said'] ?? undefined) as string | undefined,
    pairing: (row['pairing'] ?? undefined) as Uint8Array | undefined,
    askedMs: Number(row['asked_ms']),
  };
}
