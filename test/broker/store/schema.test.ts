/**
 * Older stores: one of version 1, as the program of that time wrote it, opens, keeps everything and
 * goes on from there.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { createSqliteStore } from '../../../broker/store/sqlite.ts';
import { toHex } from '../../../src/bytes.ts';
import { CLAIM_MS } from '../../../src/limits.ts';
import { random, timers } from '../../../src/node/platform.ts';
import { openDatabase } from '../../../src/node/sqlite.ts';
import { keyStatement } from '../../../src/objects/key.ts';
import { mandate as mandateKind } from '../../../src/objects/mandate.ts';
import { order as orderKind } from '../../../src/objects/order.ts';
import type { Database } from '../../../src/platform.ts';
import { CAST, ENROLLED, NOW_MS, NOW_S, PAYER, admissionOf, mandateOf } from '../stage.ts';
import { orderOf, putMandate, sealed, statementOf } from '../stage.ts';
import { accepted, close, follow, recounted, revocationOf, send, succeed } from './acts.ts';
import { total, usageOf, yuan } from './acts.ts';

/** The tables of version 1, word for word: a step that was released is never edited. */
const VERSION_1 = `
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

const MANDATES = [
  { windows: [total(1_000_00n)], epoch: 3 },
  { windows: [total(1_000_00n)], epoch: 4, exp: NOW_S + 99 },
];
/** What the runs of the old store were, and what they took from the first mandate. */
const RUNS = {
  captured: { minor: 40_00n, outcome: 'captured', reason: null, attempted: true },
  open: { minor: 20_00n, outcome: null, reason: null, attempted: true },
  waiting: { minor: 5_00n, outcome: null, reason: null, attempted: false },
  declined: { minor: 7_00n, outcome: 'refused', reason: 'backend_declined', attempted: true },
  unsent: { minor: 8_00n, outcome: 'refused', reason: 'unavailable', attempted: true },
  refused: { minor: 9_00n, outcome: 'refused', reason: 'limit_per_payment', attempted: false },
} as const;
type Name = keyof typeof RUNS;

/** Writes what version 1 would have written: these payments, an order and two mandates. */
async function fill(database: Database) {
  const write = (table: string, row: Record<string, string | bigint | Uint8Array | null>) =>
    database
      .prepare(
        `INSERT INTO ${table} (${Object.keys(row).join(', ')})
         VALUES (${Object.keys(row)
           .map(() => '?')
           .join(', ')})`,
      )
      .run(...Object.values(row));
  for (const role of ENROLLED) {
    const statement = statementOf(role);
    const { envelope } = await sealed(keyStatement, statement, CAST.root);
    const { name } = CAST[role].key;
    const { device = null, payee = null } = statement;
    const status = role === 'guest' ? 'suspended' : 'active';
    const highest = role === 'glasses' ? 6n : 0n;
    const kid = name.slice(0, 16);
    write('identities', { name, kid, device, payee, status, highest, envelope });
  }
  const mandates: string[] = [];
  for (const changes of MANDATES) {
    const { id, envelope } = await sealed(mandateKind, mandateOf(changes), CAST.wallet);
    const issuer = CAST.wallet.key.name;
    const payer = toHex(PAYER);
    const stored_ms = BigInt(NOW_MS);
    write('mandates', { id, parent: null, issuer, payer, status: 'active', envelope, stored_ms });
    mandates.push(id);
  }
  const order = await sealed(orderKind, orderOf(), CAST.kiosk);
  const ids = {} as Record<Name, string>;
  let counter = 0;
  for (const [name, { minor, outcome, reason, attempted }] of Object.entries(RUNS)) {
    const isPaid = name === 'captured';
    const admission = await admissionOf({
      mandate: mandates[0]!,
      counter: ++counter,
      amount: yuan(minor),
      ...(isPaid && { order: order.id, terminal: 'till-1' }),
    });
    const { id, key, device, envelope } = admission;
    ids[name as Name] = id;
    const isOver = outcome !== null;
    write('runs', {
      id,
      key,
      counter: BigInt(counter),
      device,
      envelope,
      admitted_ms: BigInt(NOW_MS),
      refusal: name === 'refused' ? reason : null,
      funding: name === 'refused' ? '' : 'acct-1',
      payer: name === 'refused' ? '' : toHex(PAYER),
      presence: 2n,
      channel: 'voice',
      remaining: '[["100",9]]',
      decision: !attempted ? null : '{"kind":"allow","score":1,"reasons":[]}',
      attempted_ms: attempted ? BigInt(NOW_MS + 1) : null,
      outcome,
      reason,
      reference: isPaid ? 'ref-1' : null,
      receipt: isOver ? new TextEncoder().encode(`receipt of ${name}`) : null,
      terminal_device: isPaid ? 'kiosk' : null,
      terminal_receipt: isPaid ? Uint8Array.of(9) : null,
      concluded_ms: isOver ? BigInt(NOW_MS + 2) : null,
    });
    const state = isPaid ? 'settled' : isOver ? 'voided' : 'reserved';
    if (name === 'refused') continue;
    const at = { mandate: mandates[0]!, place: 0n, label: 'total' };
    write('reservations', { run: id, ...at, minor, at_ms: BigInt(NOW_MS), state });
  }
  write('windows', {
    mandate: mandates[0]!,
    place: 0n,
    label: 'total',
    settled: 40_00n,
    reserved: 25_00n,
    settled_count: 1n,
    reserved_count: 2n,
    max: 1_000_00n,
    max_count: 1_000n,
  });
  write('orders', {
    id: order.id,
    device: 'kiosk',
    state: 'paid',
    run: ids.captured,
    envelope: order.envelope,
    receipt: Uint8Array.of(9),
    stored_ms: BigInt(NOW_MS),
  });
  write('meta', { name: 'tick_generation', value: '4' });
  return { ids, mandates, order: order.id };
}

async function migrated() {
  const folder = mkdtempSync(join(tmpdir(), 'saytap-schema-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'bridge.db');
  const old = openDatabase(path);
  old.exec(VERSION_1);
  old.exec('PRAGMA user_version = 1');
  const filled = await fill(old);
  old.close();
  const database = openDatabase(path);
  const store = createSqliteStore(database, timers, random);
  const open = () => createSqliteStore(openDatabase(path), timers, random);
  return { ...filled, database, store, open };
}

test('everything of a version 1 store is there, and its books agree', async () => {
  const { store, ids, mandates, order } = await migrated();
  for (const [name, { outcome, minor }] of Object.entries(RUNS)) {
    const run = await store.run(ids[name as Name]);
    expect(run, name).toMatchObject({
      outcome: outcome ?? undefined,
      request: { amount: { minor } },
      receipt: outcome ? new TextEncoder().encode(`receipt of ${name}`) : undefined,
      backends: ['ledger'],
      original: undefined,
      cancelAskedMs: undefined,
      remaining: [{ amount: 100n, count: 9 }],
    });
  }
  expect((await store.run(ids.captured))?.terminalReceipt?.device).toBe('kiosk');
  expect(await usageOf(store, mandates[0]!)).toEqual([{ amount: 65_00n, count: 3 }]);
  expect(await store.mandate(mandates[0]!, NOW_MS)).toMatchObject({
    status: 'active',
    backends: ['ledger'],
  });
  expect((await store.order(order))?.state).toBe('paid');
  expect(await store.mandatesOf(CAST.glasses.key.name, NOW_MS, 9)).toEqual([...mandates]);
  expect(await store.highestCounter(CAST.glasses.key.name)).toBe(6);
  expect((await store.identityOfDevice('guest'))?.status).toBe('suspended');
  expect(await store.meta('tick_generation')).toBe('4');
  expect(await recounted(store)).toEqual([]);
});

test('its attempts are what they were: only the open one is not known', async () => {
  const { store, ids } = await migrated();
  const attempts = async (name: Name) => (await store.run(ids[name]))?.attempts;
  const first = (name: Name) => ({
    number: 1,
    backend: 'ledger',
    key: ids[name],
    operation: 'authorise',
    atMs: NOW_MS + 1,
  });
  expect(await attempts('open')).toEqual([{ ...first('open'), state: 'unknown' }]);
  expect(await attempts('captured')).toEqual([
    { ...first('captured'), state: 'done', outcome: 'captured', reference: 'ref-1' },
  ]);
  const no = { state: 'declined', reason: 'backend_declined' };
  expect(await attempts('declined')).toEqual([{ ...first('declined'), ...no }]);
  expect(await attempts('unsent')).toMatchObject([{ state: 'unsent' }]);
  expect(await attempts('waiting')).toEqual([]);
  expect(await attempts('refused')).toEqual([]);
});

test('its open runs are taken over and go on; its captured one can be refunded', async () => {
  const { store, ids, mandates, order } = await migrated();
  const taken = await store.claim({ owner: 'new', untilMs: NOW_MS + CLAIM_MS }, 9, NOW_MS);
  expect(new Set(taken.map(({ id }) => id))).toEqual(new Set([ids.open, ids.waiting]));
  for (const run of taken) expect((await succeed(store, run)).outcome).toBe('captured');
  for (const [name, minor] of [
    [ids.captured, 30_00n],
    [order, 10_00n],
  ] as const) {
    const refund = await accepted(store, follow('refund', name, minor), 'kiosk');
    expect(refund).toMatchObject({ original: ids.captured, backends: ['ledger'] });
    expect((await succeed(store, refund)).outcome).toBe('refunded');
  }
  const more = await send(store, follow('refund', ids.captured, 1n), 'kiosk');
  expect(more.refusal).toBe('refund_exceeds');
  await close(store, more);
  expect(await usageOf(store, mandates[0]!)).toEqual([{ amount: 65_00n, count: 3 }]);
  expect(await recounted(store)).toEqual([]);
});

test('its mandates know epoch and end: they are revoked, and erased, like new ones', async () => {
  const { store, ids, mandates } = await migrated();
  const { running, refused } = await store.revoke(await revocationOf({ epoch: 4 }));
  expect([running, refused]).toEqual([[ids.open], [ids.waiting]]);
  const statuses = [];
  for (const id of mandates) statuses.push((await store.mandate(id, NOW_MS))?.status);
  expect(statuses).toEqual(['revoked', 'active']);
  const nowMs = NOW_MS + 40 * 86_400_000;
  await store.erase({ payer: undefined, beforeMs: NOW_MS + 200_000, by: 'eve', nowMs });
  const left = [];
  for (const id of mandates) left.push((await store.mandate(id, NOW_MS)) !== undefined);
  expect(left, 'the first one has runs that are open').toEqual([true, false]);
  expect(await recounted(store)).toEqual([]);
});

test('its rows are from before the chain; one that came later is missed in it', async () => {
  const { store, database, mandates } = await migrated();
  const run = await succeed(store, await accepted(store, { mandate: mandates[0]!, counter: 7 }));
  const mandate = await putMandate(store, { epoch: 9 });
  expect(await recounted(store)).toEqual([]);
  database.exec(`DELETE FROM evidence WHERE kind IN ('request', 'mandate')`);
  expect(await recounted(store)).toMatchObject([
    { what: 'evidence of a mandate', where: `mandate ${mandate}`, found: 'none' },
    { what: 'evidence of a request', where: `payment ${run.id}`, found: 'none' },
  ]);
});

test('it is brought up to date once: opened again it is the same', async () => {
  const { store, open, ids } = await migrated();
  const before = await store.run(ids.open);
  await store.close();
  const again = open();
  expect(await again.run(ids.open)).toEqual(before);
  expect(await again.evidencePage(0, 9)).toEqual([]);
});
