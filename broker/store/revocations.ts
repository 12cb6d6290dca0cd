/**
 * Ending what was authorised: one mandate, or all of a payer below an epoch. SQL stands here.
 *
 * Runs inside the transaction of its caller, so that nothing is admitted between the look and the
 * end, and an acknowledged revoke holds from then on (invariant I3).
 */
import { PaymentError } from '../../src/errors.ts';
import { EPOCH_STEP_MAX, RUNNING_TOLD_MAX } from '../../src/limits.ts';
import type { Database, SqlValue } from '../../src/platform.ts';
import type { Chain } from './chain.ts';
import type { Revocation, Revoked } from './port.ts';

/** As Store.revoke. */
export function revoke(database: Database, chain: Chain, asked: Revocation): Revoked {
  const { id, payer, target, envelope, nowMs } = asked;
  const one = (text: string, ...values: SqlValue[]) => database.prepare(text).get(...values);
  const all = (text: string, ...values: SqlValue[]) => database.prepare(text).all(...values);
  const write = (text: string, ...values: SqlValue[]) =>
    database.prepare(text).run(...values).changes;

  const known = one('SELECT running, receipt FROM revokes WHERE id = ?', id);
  if (known) {
    return {
      running: JSON.parse(known['running'] as string) as string[],
      refused: [],
      receipt: (known['receipt'] ?? undefined) as Uint8Array | undefined,
    };
  }
  if ('mandate' in target) {
    const found = one('SELECT payer FROM mandates WHERE id = ?', target.mandate);
    if (found?.['payer'] !== payer) {
      throw new PaymentError('mandate_unknown', 'the payer has no such mandate');
    }
    write(`UPDATE mandates SET status = 'revoked' WHERE id = ?`, target.mandate);
  } else {
    const highest = one(
      `SELECT max(
         -- The epoch of a child is chosen by whoever was given the parent.
         coalesce((SELECT max(epoch) FROM mandates WHERE payer = ? AND parent IS NULL), 0),
         coalesce((SELECT epoch FROM payers WHERE payer = ?), 0)) AS epoch`,
      payer,
      payer,
    )!['epoch'] as bigint;
    // One that leaps to the end would leave the payer without a number for the next mandate.
    if (BigInt(target.epoch) > highest + BigInt(EPOCH_STEP_MAX)) {
      throw new PaymentError('malformed', `the epoch is far above ${highest}, the highest in use`);
    }
    write(
      `INSERT INTO payers (payer, epoch) VALUES (?, ?)
       ON CONFLICT (payer) DO UPDATE SET epoch = max(epoch, excluded.epoch)`,
      payer,
      BigInt(target.epoch),
    );
    write(
      `UPDATE mandates SET status = 'revoked' WHERE payer = ? AND epoch < ?`,
      payer,
      BigInt(target.epoch),
    );
  }

  // What is still reserved under what this one ends, through whatever link of its chain.
  const touched = all(
    `SELECT DISTINCT r.id, r.receipt IS NULL AS open,
       EXISTS (SELECT 1 FROM attempts a WHERE a.run = r.id) AS attempted
     FROM (SELECT id FROM runs WHERE receipt IS NULL
           UNION SELECT id FROM payments WHERE held > 0) c
     JOIN runs r ON r.id = c.id JOIN reservations v ON v.run = c.id
     JOIN mandates m ON m.id = v.mandate
     WHERE m.payer = ?1 AND (m.id = ?2 OR m.epoch < ?3) AND v.state = 'reserved'
     ORDER BY r.admitted_ms DESC`,
    payer,
    'mandate' in target ? target.mandate : null,
    'epoch' in target ? BigInt(target.epoch) : null,
  );
  const refused: string[] = [];
  const running: string[] = [];
  for (const row of touched) {
    const run = row['id'] as string;
    const isHold = row['open'] === 0n;
    if (isHold || row['attempted'] === 1n) {
      running.push(run);
      continue;
    }
    const changed = write(
      `UPDATE runs SET refusal = 'revoked' WHERE id = ? AND refusal IS NULL AND receipt IS NULL`,
      run,
    );
    if (changed === 1) refused.push(run);
  }
  const told = running.slice(0, RUNNING_TOLD_MAX);
  write('INSERT INTO revokes (id, running) VALUES (?, ?)', id, JSON.stringify(told));
  chain.append(id, 'revoke', envelope, nowMs);
  chain.append(id, 'status', { payer, ...target, refused, running }, nowMs);
  return { running: told, refused, receipt: undefined };
}

/** As Store.putRevokeReceipt. */
export function putRevokeReceipt(
  database: Database,
  chain: Chain,
  id: string,
  receipt: Uint8Array,
  nowMs: number,
): Uint8Array {
  const changed = database
    .prepare('UPDATE revokes SET receipt = ? WHERE id = ? AND receipt IS NULL')
    .run(receipt, id).changes;
  if (changed === 1) chain.append(id, 'receipt', receipt, nowMs);
  const row = database.prepare('SELECT receipt FROM revokes WHERE id = ?').get(id);
  return row!['receipt'] as Uint8Array;
}
