/**
 * The bridge's tables in SQLite. The database itself holds what must never be untrue: one run per
 * id, one request per counter of a key, and no window beyond its maximum (invariants I1 and I2).
 */
export const SCHEMA_VERSION = 1n;

export const SCHEMA = `
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
`;
