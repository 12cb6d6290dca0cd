/**
 * The bridge's store in one SQLite file: every verb of it, and how those that write are committed.
 * Verbs that wait together share a commit, each in a savepoint of its own, so that the refusal of
 * one undoes nothing of another. What becomes of a request stands in broker/store/runs.ts.
 */
import { toHex } from '../../src/bytes.ts';
import { PaymentError } from '../../src/errors.ts';
import { CHILDREN_MAX, PAGE_ROWS_MAX } from '../../src/limits.ts';
import type { Database, Random, SqlValue, Timers } from '../../src/platform.ts';
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
import { createNames } from './names.ts';
import type { KeyStatus, Store } from './port.ts';
import { recount } from './recount.ts';
import { putRevokeReceipt, revoke } from './revocations.ts';
import { createRuns } from './runs.ts';
import { metaOf, prepareSchema, setMeta } from './schema.ts';

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
  const leases = createLeases(database, facts, chain, random);
  const names = createNames(database, chain, facts);
  const enrolments = createEnrolments(database, chain);
  const runs = createRuns(database, chain, { facts, leases, names });
  const one = (text: string, ...values: SqlValue[]) => database.prepare(text).get(...values);
  const all = (text: string, ...values: SqlValue[]) => database.prepare(text).all(...values);
  const write = (text: string, ...values: SqlValue[]) =>
    database.prepare(text).run(...values).changes;

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

    admit: (admission, judge) => sql(() => runs.admit(admission, judge)),
    decide: (run, decision, opening, nowMs) =>
      sql(() => runs.decide(run, decision, opening, nowMs)),
    attempt: (id, opening, nowMs) => sql(() => runs.attempt(id, opening, nowMs)),
    progress: (id, progress, nowMs) => sql(() => runs.progress(id, progress, nowMs)),
    conclude: (run, conclusion) => sql(() => runs.conclude(run, conclusion)),
    cancel: (asked) => sql(() => runs.cancel(asked)),
    claim: (claim, count, nowMs) => sql(() => runs.claim(claim, count, nowMs)),
    renew: (ids, claim) => sql(() => runs.renew(ids, claim)),
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
          // One whose release a backend refused waits for its payee or a person, and blocks no
          // other; one that was refused because of a restore is asked for anew.
          `SELECT id FROM payments p WHERE held > 0 AND hold_until_ms <= ? AND acting IS NULL
             AND NOT EXISTS (SELECT 1 FROM runs r
               WHERE r.original = p.id AND r.device = '' AND r.backends <> '[]'
                 AND r.refusal IS NULL)
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

    meta: (name) => read(() => metaOf(database, name)),
    setMeta: (name, value) => sql(() => setMeta(database, name, value)),
    close: () => sql(() => {}).then(() => database.close()),
  };

  function heardOf(device: string): Heard | undefined {
    const text = one('SELECT heard FROM presences WHERE device = ?', device)?.['heard'];
    return typeof text === 'string' ? (JSON.parse(text) as Heard) : undefined;
  }
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
