/**
 * The bridge's store in one SQLite file: the verbs that write. Verbs that wait together share a
 * commit, each in a savepoint of its own, so that the refusal of one undoes nothing of another.
 */
import assert from 'node:assert/strict';
import { toHex } from '../../src/bytes.ts';
import { PaymentError } from '../../src/errors.ts';
import {
  CHILDREN_MAX,
  COUNTER_GAP_MAX,
  PAGE_ROWS_MAX,
  TOMBSTONES_PER_KEY_MAX,
} from '../../src/limits.ts';
import { ConflictError, type Database, type Random } from '../../src/platform.ts';
import type { SqlValue, Timers } from '../../src/platform.ts';
import { createGroup } from '../group.ts';
import type { Heard } from '../presence.ts';
import { type Chain, createChain } from './chain.ts';
import { createEnrolments } from './enrolments.ts';
import { erase, forget } from './erasure.ts';
import { IDENTITY, MANDATE, createFacts } from './facts.ts';
import { createLeases } from './leases.ts';
import {
  endLogin,
  endLoginsOf,
  epochOf,
  findSession,
  openSession,
  payerOf,
  putLink,
} from './logins.ts';
import type {
  Admission,
  Admitted,
  Conclusion,
  Decision,
  Facts,
  KeyStatus,
  Opening,
  Progress,
  Run,
  Store,
  Verdict,
} from './port.ts';
import { createNames } from './names.ts';
import { recount } from './recount.ts';
import { createReservations } from './reservations.ts';
import { putRevokeReceipt, revoke } from './revocations.ts';
import { prepareSchema, setMeta } from './schema.ts';

/**
 * Opens the store in `database`: creates its tables in an empty one, brings an older one up to date
 * and takes over every run in it, since only one program at a time can own the file.
 */
export function createSqliteStore(database: Database, timers: Timers, random: Random): Store {
  prepareSchema(database);
  const facts = createFacts(database);
  const chain = createChain(database, random);
  const group = createGroup<() => unknown, Settled>(
    (verbs) => commitVerbs(database, chain, verbs),
    timers,
  );
  const sql = <T>(verb: () => T): Promise<T> =>
    group(verb).then((settled) => {
      if ('failure' in settled) throw settled.failure;
      return settled.value as T;
    });
  /** What was read may be told, so whatever it shows must be on disk first. */
  const read = async <T>(look: () => T): Promise<T> => {
    const seen = look();
    await database.durable();
    return seen;
  };
  const { reserve, release } = createReservations(database);
  const leases = createLeases(database, facts, chain, random);
  const names = createNames(database, chain, facts);
  const enrolments = createEnrolments(database, chain);
  const one = (text: string, ...values: SqlValue[]) => database.prepare(text).get(...values);
  const all = (text: string, ...values: SqlValue[]) => database.prepare(text).all(...values);
  const write = (text: string, ...values: SqlValue[]) =>
    database.prepare(text).run(...values).changes;

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
    return restored !== undefined && meta(`leapt ${key}`) !== restored;
  }

  const restoredMs = () => meta('restored_ms');

  function meta(name: string): string | undefined {
    return one('SELECT value FROM meta WHERE name = ?', name)?.['value'] as string | undefined;
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
    if (request.action === 'refund') {
      write(
        `INSERT INTO payments (id, held, captured) VALUES (?, 0, ?) ON CONFLICT DO NOTHING`,
        original,
        facts.run(original)!.request.amount!.minor,
      );
      // The CHECK of the table refuses more than was captured, whatever was judged.
      write('UPDATE payments SET refunding = refunding + ? WHERE id = ?', minor, original);
      return;
    }
    const acts = write(
      'UPDATE payments SET acting = ? WHERE id = ? AND acting IS NULL AND held >= ?',
      id,
      original,
      minor,
    );
    assert.equal(acts, 1, 'a hold was acted upon that was not free');
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
          'INSERT INTO payments (id, held, captured, hold_until_ms) VALUES (?, ?, 0, ?)',
          id,
          minor,
          BigInt(holdUntilMs!),
        );
        return;
      case 'captured':
        if (original === undefined) return release(id, 'settled');
        write(
          'UPDATE payments SET held = 0, captured = ?, acting = NULL WHERE id = ? AND acting = ?',
          minor,
          original,
          id,
        );
        return release(original, 'settled', minor);
      case 'voided':
        write(
          'UPDATE payments SET held = 0, acting = NULL WHERE id = ? AND acting = ?',
          original!,
          id,
        );
        return release(original!, 'voided');
      case 'refunded':
        write(
          'UPDATE payments SET refunding = refunding - ?, refunded = refunded + ? WHERE id = ?',
          minor,
          minor,
          original!,
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

  // ── keys and mandates ──────────────────────────────────────────────────────────────────────

  const putMandate: Store['putMandate'] = (id, value, issuer, payer, backends, envelope, nowMs) =>
    sql(() => {
      const epoch = one('SELECT epoch FROM payers WHERE payer = ?', payer)?.['epoch'];
      if (epoch !== undefined && BigInt(value.epoch) < (epoch as bigint)) {
        throw new PaymentError('revoked', `mandates of an epoch below ${epoch} are revoked`);
      }
      if (value.parent !== undefined) {
        const others = one(
          'SELECT count(*) AS count FROM mandates WHERE parent = ? AND id <> ?',
          value.parent,
          id,
        );
        if (Number(others!['count']) >= CHILDREN_MAX) {
          throw new PaymentError('rate_limited', 'the parent mandate has too many children');
        }
      }
      const changed = write(
        `INSERT INTO mandates (id, parent, issuer, payer, status, envelope, stored_ms, epoch,
           exp, backends, cnf)
         VALUES (?, ?, ?, ?, 'active', ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
        id,
        value.parent ?? null,
        issuer,
        payer,
        envelope,
        BigInt(nowMs),
        BigInt(value.epoch),
        BigInt(value.exp),
        JSON.stringify(backends),
        value.cnf,
      );
      if (changed === 1) chain.append(id, 'mandate', envelope, nowMs);
    });

  function setStatus(
    table: 'identities' | 'mandates',
    id: string,
    status: KeyStatus,
    nowMs: number,
  ) {
    const changed = write(
      `UPDATE ${table} SET status = ?
       WHERE ${table === 'mandates' ? 'id' : 'name'} = ? AND status NOT IN ('revoked', ?)`,
      status,
      id,
      status,
    );
    if (changed === 1) chain.append(id, 'status', { status }, nowMs);
    if (status !== 'active' && table === 'identities') leases.releaseOf(id, status, nowMs);
    if (status === 'revoked' && table === 'mandates') leases.releaseRevoked(nowMs);
    return changed === 1;
  }

  /** A stopped key leaves no door open: no login of a lost phone, no successor on its word. */
  function endWhatItOpened(key: string): void {
    enrolments.disown(key.slice(0, 16));
    const { role, payer } = facts.identity('name', key)!.statement;
    if (role === 'wallet' && payer) endLoginsOf(database, toHex(payer));
  }

  return {
    putIdentity: (name, statement, envelope, nowMs, predecessor) =>
      sql(() => names.put({ name, statement, envelope, nowMs, predecessor })),
    keyOfDevice: (device, kid) => read(() => facts.keyOfDevice(device, kid)),
    statementOf: (name) => read(() => names.statementOf(name)),
    successorOf: (name) => read(() => names.successorOf(name)),
    retire: (name, nowMs) => sql(() => names.retire(name, nowMs)),
    terminalStatements: (nowMs, count) => read(() => names.terminalStatements(nowMs, count)),
    mandatesFor: (cnf, nowMs, count) => read(() => names.mandatesFor(cnf, nowMs, count)),
    putEnrolment: (asked, nowMs) => sql(() => enrolments.put(asked, nowMs)),
    enrolment: (codeOrKey, nowMs) => read(() => enrolments.find(codeOrKey, nowMs)),
    enrolments: (nowMs) => read(() => enrolments.waiting(nowMs)),
    decideEnrolment: (key, word, nowMs) => sql(() => enrolments.decide(key, word, nowMs)),
    identityOfKid: (kid) =>
      read(() => {
        const row = one(`${IDENTITY} WHERE kid = ?`, kid);
        return row && facts.toIdentity(row);
      }),
    identityOfDevice: (device) => read(() => facts.identity('device', device)),
    identity: (name) => read(() => facts.identity('name', name)),
    terminals: (payee) => read(() => facts.terminals(payee)),
    identities: (after, count) =>
      read(() =>
        all(`${IDENTITY} WHERE name > ? ORDER BY name LIMIT ?`, after, BigInt(count)).map(
          facts.toIdentity,
        ),
      ),
    keysOf: (payer) =>
      read(() =>
        all(
          `${IDENTITY} WHERE payer = ? ORDER BY status, rowid DESC LIMIT ?`,
          payer,
          BigInt(PAGE_ROWS_MAX),
        ).map(facts.toIdentity),
      ),
    sellers: () =>
      read(() =>
        all(
          `SELECT name, status, envelope FROM identities WHERE payee IS NOT NULL
           AND status = 'active' GROUP BY payee ORDER BY payee LIMIT ?`,
          BigInt(PAGE_ROWS_MAX),
        ).map((row) => facts.toIdentity(row).statement),
      ),
    setIdentityStatus: (name, status, nowMs) =>
      sql(() => {
        // Whoever stops a device stops every key that it may still speak with.
        const keys = names.together(name);
        if (status !== 'active') keys.forEach(endWhatItOpened);
        return keys.map((key) => setStatus('identities', key, status, nowMs)).includes(true);
      }),
    hear: (device, judge) =>
      sql(() => {
        const name = one('SELECT name FROM identities WHERE device = ?', device)?.['name'];
        if (typeof name !== 'string') return undefined;
        const before = heardOf(device);
        const after = judge(before, name);
        if (!after) return undefined;
        write(
          `INSERT INTO presences (device, heard) VALUES (?, ?)
           ON CONFLICT (device) DO UPDATE SET heard = excluded.heard`,
          device,
          JSON.stringify(after),
        );
        return { before, after };
      }),
    heard: (device) => read(() => heardOf(device)),
    devices: (after, count) =>
      read(() =>
        all(
          `SELECT name, status, envelope, device FROM identities WHERE device > ?
           ORDER BY device LIMIT ?`,
          after,
          BigInt(count),
        ).map((row) => ({ ...facts.toIdentity(row), heard: heardOf(String(row['device'])) })),
      ),
    highestCounter: (name) =>
      read(() =>
        Number(one('SELECT highest FROM identities WHERE name = ?', name)?.['highest'] ?? 0),
      ),

    putMandate,
    mandate: (id, nowMs) => read(() => facts.mandate(id, nowMs)),
    chain: (id, nowMs) => read(() => facts.chain(id, nowMs)),
    mandates: ({ payer, after, count }, nowMs) =>
      read(() =>
        all(
          `${MANDATE} WHERE m.id > ? AND (?2 IS NULL OR m.payer = ?2) ORDER BY m.id LIMIT ?3`,
          after,
          payer ?? null,
          BigInt(count),
        ).map((row) => facts.link(facts.toMandate(row, nowMs), nowMs)),
      ),
    mandatesOf: (key, nowMs, count) =>
      read(() =>
        all(
          `SELECT id FROM mandates WHERE cnf = ? AND status = 'active' AND exp > ?
           ORDER BY rowid LIMIT ?`,
          key,
          BigInt(Math.floor(nowMs / 1000)),
          BigInt(count),
        ).map(({ id }) => id as string),
      ),
    setMandateStatus: (id, status, nowMs) => sql(() => setStatus('mandates', id, status, nowMs)),
    revoke: (revocation) =>
      sql(() => {
        const revoked = revoke(database, chain, revocation);
        leases.releaseRevoked(revocation.nowMs);
        return revoked;
      }),
    putRevokeReceipt: (id, receipt, nowMs) =>
      sql(() => putRevokeReceipt(database, chain, id, receipt, nowMs)),

    lease: (asked, terms) => sql(() => leases.lease(asked, terms)),
    releaseLeases: (nowMs, count) => sql(() => leases.releaseOver(nowMs, count)),

    putPolicy: (scope, version, envelope, nowMs) =>
      sql(() => {
        const changed = write(
          `INSERT INTO policies (scope, version, envelope) VALUES (?1, ?2, ?3)
           ON CONFLICT (scope) DO UPDATE SET version = ?2, envelope = ?3
             WHERE version < ?2 OR (version = ?2 AND envelope <> ?3)`,
          scope,
          BigInt(version),
          envelope,
        );
        if (changed === 1) chain.append(scope, 'policy', envelope, nowMs);
        return Number(
          one('SELECT version FROM policies WHERE scope = ?', scope)!['version'] as bigint,
        );
      }),
    policies: () =>
      read(() =>
        all('SELECT envelope FROM policies ORDER BY scope').map(
          ({ envelope }) => envelope as Uint8Array,
        ),
      ),

    putOrder: (id, device, envelope, nowMs, refusal) =>
      sql(() => {
        const changed = write(
          `INSERT INTO orders (id, device, state, envelope, receipt, stored_ms)
           VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
          id,
          device,
          refusal ? 'closed' : 'open',
          envelope,
          refusal ?? null,
          BigInt(nowMs),
        );
        if (changed === 1) chain.append(id, 'order', envelope, nowMs);
        return facts.order(id)!;
      }),
    order: (id) => read(() => facts.order(id)),
    closeOrder: (id, receipt) =>
      sql(() => {
        write(
          `UPDATE orders SET state = 'closed', receipt = ? WHERE id = ? AND state = 'open'`,
          receipt,
          id,
        );
        return facts.order(id)?.receipt;
      }),

    admit: (admission, judge) => sql(() => admit(admission, judge)),
    decide: (run, decision, opening, nowMs) => sql(() => decide(run, decision, opening, nowMs)),
    attempt: (id, opening, nowMs) =>
      sql(() => {
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
      }),
    progress: (id, progress, nowMs) =>
      sql(() => {
        change(id, progress, nowMs);
        return known(id);
      }),
    conclude: (run, conclusion) => sql(() => conclude(run, conclusion)),
    cancel: (asked) => sql(() => cancel(asked)),
    run: (id) => read(() => facts.run(id)),
    runsOn: (original) =>
      read(() =>
        all('SELECT * FROM runs WHERE original = ? ORDER BY admitted_ms, id', original).map(
          facts.toRun,
        ),
      ),
    runOfOrder: (order) =>
      read(() => {
        const run = one('SELECT run FROM orders WHERE id = ?', order)?.['run'];
        return typeof run === 'string' ? facts.run(run) : undefined;
      }),
    claim: ({ owner, untilMs }, count, nowMs) =>
      sql(() => {
        const rows = all(
          // What waits for a person is theirs, and is looked at again when they have spoken.
          `SELECT * FROM runs r WHERE receipt IS NULL AND lease_until_ms < ? AND NOT EXISTS
             (SELECT 1 FROM attempts a WHERE a.run = r.id AND a.state = 'person')
           ORDER BY admitted_ms, id LIMIT ?`,
          BigInt(nowMs),
          BigInt(count),
        );
        for (const row of rows) claim(row['id'] as string, owner, untilMs);
        return rows.map(facts.toRun);
      }),
    renew: (ids, { owner, untilMs }) =>
      sql(() => {
        for (const id of ids) {
          write(
            'UPDATE runs SET lease_until_ms = ? WHERE id = ? AND lease_owner = ?',
            BigInt(untilMs),
            id,
            owner,
          );
        }
      }),
    runs: (which, after, count) =>
      read(() =>
        all(
          `SELECT * FROM runs WHERE (admitted_ms, id) > (?, ?)
           ${
             which === 'unresolved'
               ? `AND receipt IS NULL AND EXISTS (SELECT 1 FROM attempts a WHERE a.run = id
                  AND a.state IN ('unknown', 'cancelling', 'person'))`
               : ''
           } ORDER BY admitted_ms, id LIMIT ?`,
          BigInt(after.atMs),
          after.id,
          BigInt(count),
        ).map(facts.toRun),
      ),
    expiredHolds: (nowMs, count) =>
      read(() =>
        all(
          // One whose release was refused waits for its payee or a person, and blocks no other.
          `SELECT id FROM payments p WHERE held > 0 AND hold_until_ms <= ? AND acting IS NULL
             AND NOT EXISTS (SELECT 1 FROM runs r
               WHERE r.original = p.id AND r.device = '' AND r.backends <> '[]')
           ORDER BY hold_until_ms LIMIT ?`,
          BigInt(nowMs),
          BigInt(count),
        ).map(({ id }) => facts.original(id as string)!),
      ),

    putLink: (link) => sql(() => putLink(database, link)),
    openSession: (asked) => sql(() => openSession(database, asked)),
    session: (hash, nowMs) => read(() => findSession(database, hash, nowMs)),
    endSession: (hash) => sql(() => endLogin(database, hash)),
    payerOf: (funding, fresh) => sql(() => payerOf(database, funding, fresh)),
    epochOf: (payer) => read(() => epochOf(database, payer)),

    note: ({ subject, kind, body, nowMs }) => sql(() => chain.append(subject, kind, body, nowMs)),
    evidence: (subject) => read(() => chain.of(subject)),
    evidencePage: (after, count) => read(() => chain.page(after, count)),
    erase: (what) => sql(() => erase(database, chain, what)),
    recount: (after) => read(() => recount(database, facts, after)),
    backup: (path) => database.backup(path),

    forget: (beforeMs) => sql(() => forget(database, beforeMs)),

    meta: (name) => read(() => meta(name)),
    setMeta: (name, value) => sql(() => setMeta(database, name, value)),
    close: () => sql(() => {}).then(() => database.close()),
  };

  function heardOf(device: string): Heard | undefined {
    const text = one('SELECT heard FROM presences WHERE device = ?', device)?.['heard'];
    return typeof text === 'string' ? (JSON.parse(text) as Heard) : undefined;
  }

  function claim(id: string, owner: string, untilMs: number): void {
    write(
      'UPDATE runs SET lease_owner = ?, lease_until_ms = ? WHERE id = ?',
      owner,
      BigInt(untilMs),
      id,
    );
  }
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

/** What became of one verb of a group: its value, or its own failure that undid only itself. */
type Settled = Readonly<{ value: unknown }> | Readonly<{ failure: unknown }>;

/**
 * Runs verbs in one transaction. Most groups have no refusal in them, so savepoints, which cost as
 * much as a verb, are made only when one has: then all of it is undone and done again with them.
 */
async function commitVerbs(
  database: Database,
  chain: Chain,
  verbs: readonly (() => unknown)[],
): Promise<readonly Settled[]> {
  try {
    return await database.commit(() => {
      chain.restart();
      return verbs.map((verb) => ({ value: verb() }));
    });
  } catch (failure) {
    if (verbs.length === 1) throw failure;
  }
  return database.commit(() => {
    chain.restart();
    return verbs.map((verb) => {
      database.exec('SAVEPOINT verb');
      let settled: Settled;
      try {
        settled = { value: verb() };
      } catch (failure) {
        undo(database, failure);
        chain.restart();
        settled = { failure };
      }
      database.exec('RELEASE verb');
      return settled;
    });
  });
}

/** A full disk may have ended the whole transaction: then that failure is everybody's. */
function undo(database: Database, failure: unknown): void {
  try {
    database.exec('ROLLBACK TO verb');
  } catch {
    throw failure;
  }
}
