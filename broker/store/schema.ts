/**
 * The bridge's tables in SQLite. The database itself holds what must never be untrue: one run per
 * id, one request per counter of a key, no window beyond its maximum, leased or not, no draw beyond
 * its pool, one live attempt per run, and no refund beyond the capture (invariants I1 and I2).
 *
 * Versions are steps: an older store is brought up to date by the steps that it lacks, and a step
 * that was released is never edited.
 */
import { payloadOf } from '../../src/cose.ts';
import { OperatorError } from '../../src/errors.ts';
import { mandate as mandateKind } from '../../src/objects/mandate.ts';
import { request as requestKind } from '../../src/objects/request.ts';
import type { Database } from '../../src/platform.ts';
import { LOGIN_SCHEMA, fillPayers } from './logins.ts';

const SCHEMA_STEPS: readonly string[] = [
  `
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE identities (
  name TEXT PRIMARY KEY,              -- hex of the full RFC 9679 thumbprint
  kid TEXT NOT NULL UNIQUE,           -- enrolment refuses two keys with one hint
  device TEXT UNIQUE,                 -- its name in topics
  payee TEXT,
  status TEXT NOT NULL CHECK (status IN ('active', 'suspended', 'revoked')),
  highest INTEGER NOT NULL DEFAULT 0, -- highest counter seen
  envelope BLOB NOT NULL
) STRICT;
CREATE INDEX identities_by_payee ON identities (payee) WHERE payee IS NOT NULL;

CREATE TABLE mandates (
  id TEXT PRIMARY KEY,
  parent TEXT,
  issuer TEXT NOT NULL REFERENCES identities (name),
  payer TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('active', 'suspended', 'revoked')),
  envelope BLOB NOT NULL,
  stored_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE orders (
  id TEXT PRIMARY KEY,
  device TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('open', 'claimed', 'paid', 'closed')),
  run TEXT,                           -- who claims or paid it
  envelope BLOB NOT NULL,
  receipt BLOB,                       -- the last word to the terminal
  stored_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE runs (
  id TEXT PRIMARY KEY,
  key TEXT NOT NULL,
  counter INTEGER,                    -- null when the counter was another request's
  device TEXT NOT NULL,
  envelope BLOB NOT NULL,
  admitted_ms INTEGER NOT NULL,
  refusal TEXT,
  funding TEXT NOT NULL DEFAULT '',
  payer TEXT NOT NULL DEFAULT '',
  presence INTEGER NOT NULL DEFAULT 0, -- what of the claims counts
  channel TEXT NOT NULL DEFAULT '',
  remaining TEXT NOT NULL DEFAULT '[]',
  decision TEXT,
  attempted_ms INTEGER,
  outcome TEXT,
  reason TEXT,
  reference TEXT,
  receipt BLOB,
  terminal_device TEXT,
  terminal_receipt BLOB,
  concluded_ms INTEGER,
  UNIQUE (key, counter)
) STRICT;
CREATE INDEX runs_open ON runs (admitted_ms) WHERE receipt IS NULL;

CREATE TABLE windows (
  mandate TEXT NOT NULL,
  place INTEGER NOT NULL,             -- index in the mandate's list
  label TEXT NOT NULL,
  settled INTEGER NOT NULL DEFAULT 0 CHECK (settled >= 0),
  reserved INTEGER NOT NULL DEFAULT 0 CHECK (reserved >= 0),
  settled_count INTEGER NOT NULL DEFAULT 0 CHECK (settled_count >= 0),
  reserved_count INTEGER NOT NULL DEFAULT 0 CHECK (reserved_count >= 0),
  max INTEGER NOT NULL,
  max_count INTEGER NOT NULL,
  PRIMARY KEY (mandate, place, label),
  CHECK (settled + reserved <= max),
  CHECK (settled_count + reserved_count <= max_count)
) STRICT, WITHOUT ROWID;

CREATE TABLE reservations (
  run TEXT NOT NULL,
  mandate TEXT NOT NULL,
  place INTEGER NOT NULL,
  label TEXT,                         -- null for a rolling window, which is counted from here
  minor INTEGER NOT NULL,
  at_ms INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('reserved', 'settled', 'voided')),
  PRIMARY KEY (run, mandate, place)
) STRICT, WITHOUT ROWID;
CREATE INDEX reservations_by_time ON reservations (mandate, place, at_ms);
`,
  `
ALTER TABLE mandates ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
ALTER TABLE mandates ADD COLUMN exp INTEGER NOT NULL DEFAULT 0; -- seconds, as in the envelope
ALTER TABLE mandates ADD COLUMN backends TEXT NOT NULL DEFAULT '["ledger"]';
CREATE INDEX mandates_by_payer ON mandates (payer, epoch);
CREATE INDEX mandates_by_parent ON mandates (parent) WHERE parent IS NOT NULL;

ALTER TABLE runs ADD COLUMN backends TEXT NOT NULL DEFAULT '["ledger"]';
ALTER TABLE runs ADD COLUMN original TEXT;          -- the authorisation that it acts upon
ALTER TABLE runs ADD COLUMN cancel_asked_ms INTEGER;
ALTER TABLE runs ADD COLUMN lease_owner TEXT;       -- the bridge that works on it
ALTER TABLE runs ADD COLUMN lease_until_ms INTEGER NOT NULL DEFAULT 0;
DROP INDEX runs_open;
CREATE INDEX runs_open ON runs (key, admitted_ms) WHERE receipt IS NULL;
CREATE INDEX runs_of_original ON runs (original) WHERE original IS NOT NULL;

CREATE TABLE attempts (
  run TEXT NOT NULL,
  number INTEGER NOT NULL,
  backend TEXT NOT NULL,
  key TEXT NOT NULL,                  -- the idempotency key
  operation TEXT NOT NULL CHECK (operation IN ('authorise', 'capture', 'void', 'refund')),
  state TEXT NOT NULL CHECK (state IN ('submitting', 'unknown', 'cancelling', 'person', 'done',
    'declined', 'unsent', 'cancelled')),
  at_ms INTEGER NOT NULL,
  outcome TEXT,
  reference TEXT,
  reason TEXT,
  PRIMARY KEY (run, number)
) STRICT, WITHOUT ROWID;
-- Another backend may be tried only when the one before has moved nothing, for certain.
CREATE UNIQUE INDEX one_live_attempt ON attempts (run)
  WHERE state IN ('submitting', 'unknown', 'cancelling', 'person', 'done');

-- Money that others act upon: holds, and what has been refunded from.
CREATE TABLE payments (
  id TEXT PRIMARY KEY,                -- the run that authorised it
  held INTEGER NOT NULL CHECK (held >= 0),
  captured INTEGER NOT NULL CHECK (captured >= 0),
  refunding INTEGER NOT NULL DEFAULT 0 CHECK (refunding >= 0),
  refunded INTEGER NOT NULL DEFAULT 0 CHECK (refunded >= 0),
  hold_until_ms INTEGER NOT NULL DEFAULT 0,
  acting TEXT,                        -- the capture or void under way
  CHECK (refunding + refunded <= captured)
) STRICT, WITHOUT ROWID;
CREATE INDEX holds_by_end ON payments (hold_until_ms) WHERE held > 0;

-- Ids that their own key cancelled before they were seen, with the receipt that they get.
CREATE TABLE tombstones (
  id TEXT NOT NULL,
  key TEXT NOT NULL,
  question TEXT NOT NULL,             -- id of the query, under which its evidence lies
  receipt BLOB NOT NULL,              -- empty: only the request's own refusal will be final
  at_ms INTEGER NOT NULL,
  PRIMARY KEY (key, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE payers (
  payer TEXT PRIMARY KEY,
  epoch INTEGER NOT NULL              -- mandates below it are revoked
) STRICT, WITHOUT ROWID;

CREATE TABLE revokes (
  id TEXT PRIMARY KEY,
  running TEXT NOT NULL,
  receipt BLOB
) STRICT, WITHOUT ROWID;

-- Everything as it was received or decided, each row bound to all before it.
CREATE TABLE evidence (
  number INTEGER PRIMARY KEY,
  at_ms INTEGER NOT NULL,
  subject TEXT NOT NULL,
  kind TEXT NOT NULL,
  salt BLOB,                          -- null, as the body, once it was erased
  body BLOB,
  digest BLOB NOT NULL,
  link BLOB NOT NULL
) STRICT;
CREATE INDEX evidence_by_subject ON evidence (subject);

INSERT INTO attempts
  (run, number, backend, key, operation, state, at_ms, outcome, reference, reason)
  SELECT id, 1, 'ledger', id, 'authorise',
    CASE WHEN receipt IS NULL THEN 'unknown' WHEN outcome = 'captured' THEN 'done'
      WHEN reason = 'unavailable' THEN 'unsent' ELSE 'declined' END,
    attempted_ms, CASE outcome WHEN 'captured' THEN outcome END, reference,
    CASE WHEN outcome = 'refused' THEN reason END
  FROM runs WHERE attempted_ms IS NOT NULL;
`,
  `
ALTER TABLE mandates ADD COLUMN cnf TEXT NOT NULL DEFAULT ''; -- as in the envelope
CREATE INDEX mandates_by_cnf ON mandates (cnf, id);

-- What is set aside for leases counts in a window like what is reserved.
ALTER TABLE windows ADD COLUMN pooled INTEGER NOT NULL DEFAULT 0
  CHECK (pooled >= 0 AND settled + reserved + pooled <= max);
ALTER TABLE windows ADD COLUMN pooled_count INTEGER NOT NULL DEFAULT 0
  CHECK (pooled_count >= 0 AND settled_count + reserved_count + pooled_count <= max_count);

-- What one key may spend offline under one mandate, as of its last lease.
CREATE TABLE pools (
  id INTEGER PRIMARY KEY,
  key TEXT NOT NULL,
  mandate TEXT NOT NULL,
  currency TEXT NOT NULL,
  amount INTEGER NOT NULL,
  count INTEGER NOT NULL,
  drawn INTEGER NOT NULL DEFAULT 0 CHECK (drawn >= 0 AND drawn <= amount),
  drawn_count INTEGER NOT NULL DEFAULT 0 CHECK (drawn_count >= 0 AND drawn_count <= count),
  at_ms INTEGER NOT NULL,             -- when the last lease was given
  since INTEGER NOT NULL,             -- rowid of the last run before it
  until INTEGER NOT NULL,             -- upload of the lease that lives longest, seconds
  closed_ms INTEGER                   -- given back: nothing is drawn any more
) STRICT;
CREATE UNIQUE INDEX one_open_pool ON pools (key, mandate) WHERE closed_ms IS NULL;
CREATE INDEX pools_by_end ON pools (until) WHERE closed_ms IS NULL;

-- Where a pool is set aside.
CREATE TABLE pool_windows (
  pool INTEGER NOT NULL,
  mandate TEXT NOT NULL,
  place INTEGER NOT NULL,
  label TEXT,                         -- null for a rolling window, in which it always counts
  PRIMARY KEY (pool, mandate, place)
) STRICT, WITHOUT ROWID;
CREATE INDEX pool_windows_by_mandate ON pool_windows (mandate, place);

CREATE TABLE leases (
  nonce TEXT PRIMARY KEY,
  pool INTEGER NOT NULL,
  amount INTEGER NOT NULL,
  count INTEGER NOT NULL,
  iat INTEGER NOT NULL,
  exp INTEGER NOT NULL,
  upload INTEGER NOT NULL
) STRICT;
CREATE INDEX leases_by_pool ON leases (pool);
CREATE INDEX leases_by_end ON leases (upload);

ALTER TABLE runs ADD COLUMN lease TEXT; -- nonce of the lease whose pool it was drawn from
CREATE INDEX runs_by_lease ON runs (lease) WHERE lease IS NOT NULL;

CREATE TABLE policies (
  scope TEXT PRIMARY KEY,
  version INTEGER NOT NULL,           -- never falls
  envelope BLOB NOT NULL
) STRICT, WITHOUT ROWID;
`,
  LOGIN_SCHEMA,
  `
-- A device has one key in its name (identities.device) and may have older ones, which still verify.
ALTER TABLE identities ADD COLUMN former TEXT;    -- the name in topics that it had
ALTER TABLE identities ADD COLUMN successor TEXT; -- the key that it named in its place
ALTER TABLE identities ADD COLUMN retired INTEGER NOT NULL DEFAULT 0; -- verifies nothing any more

CREATE TABLE enrolments (
  key TEXT PRIMARY KEY,               -- hex of the thumbprint of the key that asks
  code TEXT NOT NULL UNIQUE,          -- the short code that people compare
  envelope BLOB NOT NULL,             -- its Enrol
  address TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('open', 'approved', 'refused')),
  said TEXT,                          -- what was approved, JSON
  pairing BLOB,                       -- the pairing code, when the approving person had it
  asked_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`,
  `
-- What devices say of themselves, unsigned and for display: see broker/presence.ts.
CREATE TABLE presences (device TEXT PRIMARY KEY, heard TEXT NOT NULL) STRICT, WITHOUT ROWID;
`,
];

/**
 * Creates the tables in an empty database and brings an older store up to date. Throws
 * OperatorError `storage` for a store of a later version.
 */
export function prepareSchema(database: Database): void {
  const version = Number(database.prepare('PRAGMA user_version').get()?.['user_version']);
  if (version > SCHEMA_STEPS.length) {
    throw new OperatorError(
      'storage',
      `the bridge's store has version ${version}, this program knows ${SCHEMA_STEPS.length}: ` +
        'run the program that wrote it, or start with an empty store',
    );
  }
  database.transaction(() => {
    for (const [step, statements] of SCHEMA_STEPS.entries()) {
      if (step < version) continue;
      database.exec(statements);
      if (step === 1) fillMandates(database);
      if (step === 1) markBegin(database);
      if (step === 2) fillHolders(database);
      if (statements === LOGIN_SCHEMA) fillPayers(database);
    }
    database.exec(`PRAGMA user_version = ${SCHEMA_STEPS.length}`);
    // This program owns the file alone: whoever worked on these runs is gone.
    database.exec('UPDATE runs SET lease_until_ms = 0 WHERE receipt IS NULL');
  });
}

/** Stores of version 1 had epoch and end of a mandate in its envelope only. */
function fillMandates(database: Database): void {
  const update = database.prepare('UPDATE mandates SET epoch = ?, exp = ? WHERE id = ?');
  for (const row of database.prepare('SELECT id, envelope FROM mandates').all()) {
    const { epoch, exp } = mandateKind.decode(payloadOf(row['envelope'] as Uint8Array));
    update.run(BigInt(epoch), BigInt(exp), row['id']!);
  }
}

/** Stores of version 2 had the key that a mandate names in its envelope only. */
function fillHolders(database: Database): void {
  const update = database.prepare('UPDATE mandates SET cnf = ? WHERE id = ?');
  for (const row of database.prepare('SELECT id, envelope FROM mandates').all()) {
    const { cnf } = mandateKind.decode(payloadOf(row['envelope'] as Uint8Array));
    update.run(cnf, row['id']!);
  }
}

/** Rows of before the chain of evidence have none: the audit must know which those are. */
function markBegin(database: Database): void {
  for (const table of ['runs', 'mandates']) {
    const last = database.prepare(`SELECT coalesce(max(rowid), 0) AS last FROM ${table}`).get();
    setMeta(database, `${table}_before_chain`, String(last!['last']));
  }
}

/**
 * A store that went back in time has forgotten what was drawn since: every pool is given back, and
 * no lease of before is known any more. Inside the caller's transaction.
 */
export function forgetLeases(database: Database, nowMs: number): void {
  database.exec('UPDATE windows SET pooled = 0, pooled_count = 0 WHERE pooled_count > 0');
  database
    .prepare('UPDATE pools SET closed_ms = ? WHERE closed_ms IS NULL')
    .run(BigInt(Math.floor(nowMs)));
  database.exec('DELETE FROM leases');
}

/**
 * Of what was under way at the moment of a backup nobody knows how it ended, so none of it goes on:
 * it is refused, unless a backend says that it moved. Returns the ids. Access moves no money and is
 * decided as it would have been. Inside the caller's transaction.
 */
export function refuseUnderway(database: Database): readonly string[] {
  const open = database
    .prepare('SELECT id, envelope FROM runs WHERE receipt IS NULL AND refusal IS NULL')
    .all()
    .filter(({ envelope }) => actionOf(envelope as Uint8Array) !== 'access')
    .map(({ id }) => id as string);
  const refuse = database.prepare(`UPDATE runs SET refusal = 'unavailable' WHERE id = ?`);
  for (const id of open) refuse.run(id);
  return open;
}

function actionOf(envelope: Uint8Array): string {
  return requestKind.decode(payloadOf(envelope)).action;
}

/** A small value of the bridge's own, as `setMeta` kept it. */
export function metaOf(database: Database, name: string): string | undefined {
  const row = database.prepare('SELECT value FROM meta WHERE name = ?').get(name);
  return row?.['value'] as string | undefined;
}

/** Keeps a small value of the bridge's own, inside the caller's transaction. */
export function setMeta(database: Database, name: string, value: string): void {
  database
    .prepare(
      `INSERT INTO meta (name, value) VALUES (?, ?)
       ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
    )
    .run(name, value);
}
