/**
 * What becomes of a request, step by step: verbs of the bridge's store. SQL stands here.
 *
 * Every function runs inside a transaction of its caller, so that verdict and reservations, word
 * and receipt are on disk together or not at all. Where another word came first the run is
 * returned as it stands, and whoever asked goes on from there.
 */
import assert from 'node:assert/strict';
import { PaymentError } from '../../src/errors.ts';
import { COUNTER_GAP_MAX, TOMBSTONES_PER_KEY_MAX } from '../../src/limits.ts';
import { ConflictError, type Database, type SqlValue } from '../../src/platform.ts';
import type { Chain } from './chain.ts';
import type { Facts as Stored } from './facts.ts';
import type { Leases } from './leases.ts';
import type { Names } from './names.ts';
import type {
  Admission,
  Admitted,
  Conclusion,
  Decision,
  Facts,
  Opening,
  Progress,
  Run,
  Store,
  Verdict,
} from './port.ts';
import { createReservations } from './reservations.ts';
import { metaOf, setMeta } from './schema.ts';

/** The verbs, each to be called inside a transaction. */
export function createRuns(
  database: Database,
  chain: Chain,
  { facts, leases, names }: Readonly<{ facts: Stored; leases: Leases; names: Names }>,
) {
  const { reserve, release } = createReservations(database);
  const one = (text: string, ...values: SqlValue[]) => database.prepare(text).get(...values);
  const all = (text: string, ...values: SqlValue[]) => database.prepare(text).all(...values);
  const write = (text: string, ...values: SqlValue[]) =>
    database.prepare(text).run(...values).changes;
  const restoredMs = () => metaOf(database, 'restored_ms');

  // ── a request comes in ─────────────────────────────────────────────────────────────────────

  function admit(admission: Admission, judge: (facts: Facts) => Verdict): Admitted {
    const { id, key, request, nowMs, device } = admission;
    const known = facts.run(id);
    if (known) return { run: known, fresh: false, suspended: false };

    // What the bridge asks for itself has no counter: its id is fixed by what it ends.
    const isOwn = device === '';
    const counter = BigInt(request.counter);
    const identity = facts.identity('name', key);
    const own = one(
      `SELECT highest,
         EXISTS (SELECT 1 FROM runs WHERE key = ?1 AND counter = ?2) AS reused,
         (SELECT count(*) FROM runs WHERE key = ?1 AND receipt IS NULL AND refusal IS NULL) AS open,
         EXISTS (SELECT 1 FROM tombstones WHERE key = ?1 AND id = ?3) AS buried
       FROM identities WHERE name = ?1`,
      key,
      counter,
      id,
    );
    assert(identity && own, 'a request was verified under a key that is not enrolled');
    const highest = own['highest'] as bigint;
    const isLeap = !isOwn && mayLeap(key, counter - highest);
    const isReused = !isOwn && own['reused'] === 1n;
    const original = request.original === undefined ? undefined : facts.original(request.original);

    const verdict: Verdict =
      own['buried'] === 1n
        ? { kind: 'refuse', reason: 'cancelled', why: 'it was cancelled before it came' }
        : judge({
            identity,
            highestCounter: isOwn || isLeap ? request.counter : Number(highest),
            openRuns: Number(own['open']),
            isCounterReused: isReused,
            chain: facts.chain(original?.request.mandate ?? request.mandate, nowMs),
            order: request.order === undefined ? undefined : facts.order(request.order),
            terminals: facts.terminals(request.payee),
            original,
            lease: isOwn ? undefined : leases.leaseOf(request.nonce),
            nowMs,
          });
    const accepted = verdict.kind === 'accept' ? verdict : undefined;
    const run: Run = {
      id,
      device,
      request,
      admittedMs: nowMs,
      refusal: verdict.kind === 'refuse' ? verdict.reason : undefined,
      funding: accepted?.funding ?? '',
      payer: accepted?.payer ?? '',
      presence: accepted?.presence ?? 0,
      channel: accepted?.channel ?? request.channel,
      remaining: accepted?.remaining ?? [],
      backends: accepted?.backends ?? [],
      original: original?.id,
      decision: undefined,
      attempts: [],
      cancelAskedMs: undefined,
      outcome: undefined,
      receipt: undefined,
      terminalReceipt: undefined,
    };
    write(
      `INSERT INTO runs (id, key, counter, device, envelope, admitted_ms, refusal, funding, payer,
         presence, channel, remaining, backends, original, lease_owner, lease_until_ms)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      id,
      key,
      isReused || isOwn ? null : counter,
      device,
      admission.envelope,
      BigInt(nowMs),
      run.refusal ?? null,
      run.funding,
      run.payer,
      BigInt(run.presence),
      run.channel,
      JSON.stringify(run.remaining.map(({ amount, count }) => [String(amount), count])),
      JSON.stringify(run.backends),
      run.original ?? null,
      admission.claim.owner,
      BigInt(admission.claim.untilMs),
    );
    if (accepted) claimFor(run, accepted, nowMs);
    chain.append(id, 'request', admission.envelope, nowMs);
    chain.append(id, 'verdict', verdictRow(verdict), nowMs);

    // A counter far ahead must not raise the bar: then a clone could shut its owner out.
    const ahead = counter - highest;
    if (isLeap) setMeta(database, `leapt ${key}`, restoredMs()!);
    if (!isOwn && ahead > 0n && (ahead <= BigInt(COUNTER_GAP_MAX) || isLeap)) {
      write('UPDATE identities SET highest = ? WHERE name = ?', counter, key);
    }
    // Only what is active is suspended: a revoked key stays revoked.
    const suspended =
      isReused &&
      write(
        `UPDATE identities SET status = 'suspended' WHERE name = ? AND status = 'active'`,
        key,
      ) === 1;
    if (suspended) {
      chain.append(key, 'status', { status: 'suspended', request: id }, nowMs);
      leases.releaseOf(key, 'suspended', nowMs);
    }
    return { run, fresh: true, suspended };
  }

  /**
   * Since a restore a key may once be further ahead than others ever may: what it has sent since
   * the backup is forgotten, and it uses no counter twice.
   */
  function mayLeap(key: string, ahead: bigint): boolean {
    if (ahead <= BigInt(COUNTER_GAP_MAX)) return false;
    const restored = restoredMs();
    return restored !== undefined && metaOf(database, `leapt ${key}`) !== restored;
  }

  /** Takes what an accepted request needs: windows, its order, or part of its original. */
  function claimFor(
    { id, request, original }: Run,
    { reservations, lease }: Extract<Verdict, { kind: 'accept' }>,
    nowMs: number,
  ): void {
    if (lease !== undefined) leases.draw(id, lease, request.amount!.minor, nowMs);
    else for (const reservation of reservations) reserve(id, reservation, nowMs);
    if (request.order !== undefined && original === undefined) {
      const claimed = write(
        `UPDATE orders SET state = 'claimed', run = ? WHERE id = ? AND state = 'open'`,
        id,
        request.order,
      );
      assert.equal(claimed, 1, 'an order was accepted that was not open');
    }
    if (original === undefined) return;
    const minor = request.amount!.minor;
    if (request.action === 'refund') return openRefunds(original, minor);
    const acts = write(
      'UPDATE payments SET acting = ? WHERE id = ? AND acting IS NULL AND held >= ?',
      id,
      original,
      minor,
    );
    assert.equal(acts, 1, 'a hold was acted upon that was not free');
  }

  /** Sets `minor` of a payment aside for a refund. */
  function openRefunds(original: string, minor: bigint): void {
    write(
      `INSERT INTO payments (id, held, captured) VALUES (?, 0, ?) ON CONFLICT DO NOTHING`,
      original,
      facts.run(original)!.request.amount!.minor,
    );
    // The CHECK of the table refuses more than was captured, whatever was judged.
    write('UPDATE payments SET refunding = refunding + ? WHERE id = ?', minor, original);
  }

  /**
   * The same for a refund that was made and forgotten (before a restore). What it took from was
   * captured, for certain; how much of a hold was, is forgotten too.
   */
  function openForgotten(original: string, minor: bigint): void {
    openRefunds(original, 0n);
    write(
      `UPDATE payments SET held = 0, refunding = refunding + ?1,
         captured = max(captured + held, refunding + refunded + ?1) WHERE id = ?2`,
      minor,
      original,
    );
    release(original, 'settled');
  }

  // ── and goes on ────────────────────────────────────────────────────────────────────────────

  function decide(run: Run, decision: Decision, opening: Opening | undefined, nowMs: number): Run {
    const changed = write(
      `UPDATE runs SET decision = ?
       WHERE id = ? AND decision IS NULL AND refusal IS NULL AND receipt IS NULL`,
      JSON.stringify(decision),
      run.id,
    );
    if (changed === 0) return known(run.id);
    if (opening) open(run.id, 1, opening, nowMs);
    chain.append(run.id, 'decision', { ...decision, attempt: opening }, nowMs);
    if (!opening) return { ...run, decision };
    const attempt = { ...opening, number: 1, state: 'submitting', atMs: nowMs } as const;
    return { ...run, decision, attempts: [attempt] };
  }

  function attempt(id: string, opening: Opening, nowMs: number): Run {
    const { attempts, receipt, refusal } = known(id);
    // A slower bridge must not move money for a run that another has ended.
    if (receipt) throw new ConflictError('the run is over');
    // Nor does one begin anew what was cancelled or revoked while the last attempt ended. One
    // that was refused from the start is only barred, not paid.
    if (!refusal && giveUp(id)) return known(id);
    const number = attempts.length + 1;
    open(id, number, opening, nowMs);
    chain.append(id, 'attempt', { number, ...opening }, nowMs);
    return known(id);
  }

  function open(run: string, number: number, opening: Opening, nowMs: number): void {
    write(
      `INSERT INTO attempts (run, number, backend, key, operation, state, at_ms)
       VALUES (?, ?, ?, ?, ?, 'submitting', ?)`,
      run,
      BigInt(number),
      opening.backend,
      opening.key,
      opening.operation,
      BigInt(nowMs),
    );
  }

  function progress(id: string, step: Progress, nowMs: number): Run {
    change(id, step, nowMs);
    return known(id);
  }

  /** Returns whether it changed anything: what another word has changed stays as it is. */
  function change(id: string, { number, from, change, received, source }: Progress, nowMs: number) {
    const changed = write(
      `UPDATE attempts SET state = ?, outcome = ?, reference = ?, reason = ?
       WHERE run = ? AND number = ? AND state = ?
         AND state NOT IN ('done', 'declined', 'unsent', 'cancelled')`,
      change.state,
      change.outcome ?? null,
      change.reference ?? null,
      change.reason ?? null,
      id,
      BigInt(number),
      from,
    );
    const text = received && Buffer.from(received).toString('base64');
    if (changed === 1) {
      chain.append(id, 'answer', { number, source, ...change, received: text }, nowMs);
    }
    return changed === 1;
  }

  function conclude(run: Run, conclusion: Conclusion): Run {
    const { id } = run;
    const { outcome, terminalReceipt, progress, nowMs } = conclusion;
    const isMoved = outcome !== 'refused' && outcome !== 'expired';
    // Another word came first: the run goes on from that one.
    if (progress && !change(id, progress, nowMs)) return known(id);
    const changed = write(
      `UPDATE runs SET outcome = ?, reason = ?, reference = ?, receipt = ?, terminal_device = ?,
         terminal_receipt = ?, concluded_ms = ?
       WHERE id = ? AND receipt IS NULL AND (? OR refusal IS NULL)`,
      outcome,
      conclusion.reason ?? null,
      progress?.change.reference ?? null,
      conclusion.receipt,
      terminalReceipt?.device ?? null,
      terminalReceipt?.receipt ?? null,
      BigInt(nowMs),
      id,
      outcome === 'granted' ? 0n : 1n,
    );
    if (changed === 0) return known(id);
    if (isMoved) settle(run, conclusion);
    else giveBack(run);
    chain.append(id, 'receipt', conclusion.receipt, nowMs);
    const { receipt } = conclusion;
    return { ...run, outcome, receipt, terminalReceipt };
  }

  function settle(run: Run, { outcome, terminalReceipt, holdUntilMs }: Conclusion): void {
    const { id, request, original } = run;
    const minor = request.amount?.minor ?? 0n;
    if (request.order !== undefined && original === undefined) {
      // One that was paid and forgotten (before a restore) has not claimed its order.
      write(
        `UPDATE orders SET state = 'paid', receipt = ?, run = ?2
         WHERE id = ?3 AND (state = 'open' OR (state = 'claimed' AND run = ?2))`,
        terminalReceipt?.receipt ?? null,
        id,
        request.order,
      );
    }
    switch (outcome) {
      case 'held':
        write(
          // One that was refunded from already was captured, and forgotten (before a restore).
          `INSERT INTO payments (id, held, captured, hold_until_ms) VALUES (?, ?, 0, ?)
           ON CONFLICT DO NOTHING`,
          id,
          minor,
          BigInt(holdUntilMs!),
        );
        return;
      case 'captured':
        if (original === undefined) return release(id, 'settled');
        write(
          'UPDATE payments SET held = 0, captured = ?, acting = NULL WHERE id = ?',
          minor,
          original,
        );
        return release(original, 'settled', minor);
      case 'voided':
        if (original === undefined) return;
        write('UPDATE payments SET held = 0, acting = NULL WHERE id = ?', original);
        return release(original, 'voided');
      case 'refunded':
        if (original === undefined) return;
        if (run.backends.length === 0) openForgotten(original, minor);
        write(
          'UPDATE payments SET refunding = refunding - ?, refunded = refunded + ? WHERE id = ?',
          minor,
          minor,
          original,
        );
        return;
      default:
        return release(id, 'settled');
    }
  }

  function giveBack({ id, request, original, backends }: Run): void {
    release(id, 'voided');
    if (request.order !== undefined) {
      write(`UPDATE orders SET state = 'open', run = NULL WHERE run = ? AND state = 'claimed'`, id);
    }
    // One that was refused on its way in took nothing: it has no backends.
    if (original === undefined || backends.length === 0) return;
    if (request.action === 'refund') {
      const minor = request.amount!.minor;
      write('UPDATE payments SET refunding = refunding - ? WHERE id = ?', minor, original);
    } else {
      write('UPDATE payments SET acting = NULL WHERE id = ? AND acting = ?', original, id);
    }
  }

  /** Refuses a run that was cancelled, or whose mandates were revoked; returns whether it did. */
  function giveUp(id: string): boolean {
    return (
      write(
        `UPDATE runs SET refusal = iif(cancel_asked_ms IS NULL, 'revoked', 'cancelled')
         WHERE id = ?1 AND (cancel_asked_ms IS NOT NULL OR EXISTS
           (SELECT 1 FROM reservations v JOIN mandates m ON m.id = v.mandate
            WHERE v.run = ?1 AND m.status = 'revoked'))`,
        id,
      ) === 1
    );
  }

  function known(id: string): Run {
    const run = facts.run(id);
    assert(run, 'a run that was never admitted');
    return run;
  }

  function cancel(asked: Parameters<Store['cancel']>[0]): Awaited<ReturnType<Store['cancel']>> {
    const { id, subject, key, envelope, receipt, nowMs } = asked;
    const owner = one('SELECT key FROM runs WHERE id = ?', subject)?.['key'];
    // A device that has a new key meanwhile still calls off what it asked for with the old one.
    if (owner === key || (owner && names.successorOf(owner as string) === key)) {
      const run = known(subject);
      if (run.receipt || run.cancelAskedMs !== undefined) return { run, isNews: false };
      write(
        `UPDATE runs SET cancel_asked_ms = ?, refusal = coalesce(refusal, ?) WHERE id = ?`,
        BigInt(nowMs),
        run.attempts.length === 0 ? 'cancelled' : null,
        subject,
      );
      chain.append(subject, 'cancel', envelope, nowMs);
      return { run: known(subject), isNews: true };
    }
    const buried = one('SELECT receipt FROM tombstones WHERE key = ? AND id = ?', key, subject);
    if (buried) {
      const told = buried['receipt'] as Uint8Array;
      if (told.length > 0 || asked.isUnsure) return answerOf(told);
      // By now it is sure.
      write('UPDATE tombstones SET receipt = ? WHERE key = ? AND id = ?', receipt, key, subject);
      chain.append(id, 'receipt', receipt, nowMs);
      return answerOf(receipt);
    }
    // Another's request is answered like one that may have been forgotten.
    if (owner !== undefined) return { pending: 'not_seen' };
    const count = one('SELECT count(*) AS count FROM tombstones WHERE key = ?', key)!['count'];
    if (Number(count) >= TOMBSTONES_PER_KEY_MAX) {
      throw new PaymentError('rate_limited', 'too many requests cancelled before they came');
    }
    // What may have been paid and forgotten is buried too, or its device would cause a payment by
    // sending it again; but only its own refusal, when it comes, can be sure.
    const told = asked.isUnsure ? UNSURE : receipt;
    write(
      'INSERT INTO tombstones (key, id, question, receipt, at_ms) VALUES (?, ?, ?, ?, ?)',
      key,
      subject,
      id,
      told,
      BigInt(nowMs),
    );
    // Under the question's own id: nobody writes into what is told of another's payment.
    chain.append(id, 'cancel', envelope, nowMs);
    if (!asked.isUnsure) chain.append(id, 'receipt', receipt, nowMs);
    return answerOf(told);
  }

  // ── and belongs to a bridge ────────────────────────────────────────────────────────────────

  type Claim = Parameters<Store['claim']>[0];

  function claim({ owner, untilMs }: Claim, count: number, nowMs: number): readonly Run[] {
    const rows = all(
      // What waits for a person is theirs, and is looked at again when they have spoken.
      `SELECT * FROM runs r WHERE receipt IS NULL AND lease_until_ms < ? AND NOT EXISTS
         (SELECT 1 FROM attempts a WHERE a.run = r.id AND a.state = 'person')
       ORDER BY admitted_ms, id LIMIT ?`,
      BigInt(nowMs),
      BigInt(count),
    );
    for (const row of rows) claimOne(row['id'] as string, owner, untilMs);
    return rows.map(facts.toRun);
  }

  function claimOne(id: string, owner: string, untilMs: number): void {
    write(
      'UPDATE runs SET lease_owner = ?, lease_until_ms = ? WHERE id = ?',
      owner,
      BigInt(untilMs),
      id,
    );
  }

  function renew(ids: readonly string[], { owner, untilMs }: Claim): void {
    for (const id of ids) {
      write(
        'UPDATE runs SET lease_until_ms = ? WHERE id = ? AND lease_owner = ?',
        BigInt(untilMs),
        id,
        owner,
      );
    }
  }

  return { admit, decide, attempt, progress, conclude, cancel, claim, renew };
}

/** The receipt of a tombstone that says nothing final. */
const UNSURE = new Uint8Array();

function answerOf(receipt: Uint8Array) {
  return receipt.length === 0 ? ({ pending: 'not_seen' } as const) : { receipt };
}

/** A verdict as evidence: integers as text, so that no reader rounds them. */
function verdictRow(verdict: Verdict): object {
  if (verdict.kind === 'refuse') return verdict;
  const { reservations, remaining, ...rest } = verdict;
  return {
    ...rest,
    reservations: reservations.map(({ mandate, index, amount }) => ({
      mandate,
      window: index + 1,
      amount: String(amount),
    })),
    remaining: remaining.map(({ amount, count }) => ({ amount: String(amount), count })),
  };
}
