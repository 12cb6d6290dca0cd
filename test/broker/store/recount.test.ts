/** Counting again: a store whose books are right differs nowhere, and each tampering shows. */
import { expect, test } from 'vitest';
import { createSqliteStore } from '../../../broker/store/sqlite.ts';
import { AUDIT_PAGE_ROWS } from '../../../src/limits.ts';
import { random, timers } from '../../../src/node/platform.ts';
import { openDatabase } from '../../../src/node/sqlite.ts';
import { CAST, NOW_MS, NOW_S, enrol, putMandate } from '../stage.ts';
import { accepted, close, decline, follow, recounted, revocationOf, send } from './acts.ts';
import { start, succeed, total, yuan } from './acts.ts';

const rolling = { kind: 'rolling', seconds: 60, max: 80_00n, count: 8 } as const;

/** A payment of each kind of end, a hold, and one under way. */
async function busy() {
  const database = openDatabase(':memory:');
  const store = createSqliteStore(database, timers, random);
  await enrol(store);
  const mandate = await putMandate(store, { windows: [total(99_00n, 9), rolling] });
  const paid = await succeed(store, await accepted(store, { mandate }));
  const refund = await succeed(
    store,
    await accepted(store, follow('refund', paid.id, 4_00n), 'kiosk'),
  );
  const hold = await succeed(store, await accepted(store, { mandate, action: 'hold' }));
  const open = await start(store, await accepted(store, { mandate }));
  const declined = await decline(store, await accepted(store, { mandate }));
  const access = await succeed(
    store,
    await accepted(store, { mandate, action: 'access', amount: undefined as never }),
  );
  const other = await putMandate(store, { epoch: 2 });
  await close(store, await send(store, { mandate, payee: 'nobody' }));
  const terms = { exp: NOW_S + 60, upload: NOW_S + 120 };
  const key = CAST.glasses.key.name;
  const asked = { key, mandate, nowMs: NOW_MS };
  const first = await store.lease(asked, () => ({ ...terms, amount: 5_00n, count: 2 }));
  const spend = { mandate, nonce: first!.nonce, exp: terms.upload, amount: yuan(1_00n) };
  await accepted(store, spend);
  await store.lease(asked, () => ({ ...terms, amount: 7_00n, count: 1 }));
  const leased = await accepted(store, spend);
  const of = { paid, refund, hold, open, declined, access, leased };
  return { database, store, mandate, other, of, change: (sql: string) => void database.exec(sql) };
}

test('nothing differs in a store that nobody tampered with', async () => {
  const { store } = await busy();
  expect(await recounted(store)).toEqual([]);
});

type Busy = Awaited<ReturnType<typeof busy>>;

const tampered: readonly (readonly [string, (part: Busy) => string])[] = [
  ['settled in a window', () => 'UPDATE windows SET settled = settled - 1'],
  ['reserved in a window', () => 'UPDATE windows SET reserved = reserved - 1'],
  ['payments in a window', () => 'UPDATE windows SET settled_count = 0'],
  ['window within its maximum', () => 'UPDATE windows SET max = 9999999, settled = 9901'],
  ['window within its count', () => 'UPDATE windows SET max_count = 99, settled_count = 10'],
  ['a window of reservations', () => 'DELETE FROM windows'],
  ['a window of leases', () => 'DELETE FROM windows'],
  ['leased in a window', () => 'UPDATE windows SET pooled = pooled - 1'],
  ['leased payments in a window', () => 'UPDATE windows SET pooled_count = pooled_count + 1'],
  ['leased in a window', () => 'UPDATE pools SET closed_ms = 1'],
  ['window within its maximum', () => 'UPDATE windows SET max = 9999999, pooled = 9000'],
  ['window within its count', () => 'UPDATE windows SET max_count = 99, pooled_count = 9'],
  ['rolling window within its maximum', () => 'UPDATE pools SET amount = 9000'],
  ['rolling window within its count', () => 'UPDATE pools SET count = 99'],
  ['what was leased', () => 'UPDATE pools SET amount = amount + 1'],
  ['what was leased', () => 'UPDATE leases SET amount = 6; UPDATE pools SET amount = 6, drawn = 0'],
  ['payments that were leased', () => 'UPDATE pools SET count = 5'],
  ['a lease', () => 'DELETE FROM leases'],
  ['evidence of a lease', () => `UPDATE leases SET nonce = nonce || '00'`],
  ['drawn from a lease', () => 'UPDATE pools SET drawn = 0'],
  ['payments drawn from a lease', () => 'UPDATE pools SET drawn_count = 0'],
  [
    'payments drawn from a lease',
    ({ of }) => `UPDATE runs SET lease = NULL WHERE id = '${of.leased.id}'`,
  ],
  [
    'rolling window within its maximum',
    ({ of }) => `UPDATE reservations SET minor = 9000 WHERE run = '${of.paid.id}' AND place = 1`,
  ],
  [
    'at most one attempt moved money',
    ({ of }) => `DROP INDEX one_live_attempt; INSERT INTO attempts
      SELECT run, 2, backend, key, operation, state, at_ms, outcome, reference, reason
      FROM attempts WHERE run = '${of.paid.id}'`,
  ],
  [
    'nothing settled before the receipt',
    ({ of }) => `UPDATE reservations SET state = 'settled' WHERE run = '${of.open.id}'`,
  ],
  [
    'money moved as the receipt says',
    ({ of }) => `UPDATE attempts SET state = 'declined' WHERE run = '${of.paid.id}'`,
  ],
  [
    'money moved as the receipt says',
    ({ of }) => `UPDATE attempts SET state = 'done' WHERE run = '${of.declined.id}'`,
  ],
  ['outcome', ({ of }) => `UPDATE runs SET outcome = 'held' WHERE id = '${of.refund.id}'`],
  [
    'reservations of what was refused',
    ({ of }) => `UPDATE reservations SET state = 'settled' WHERE run = '${of.declined.id}'`,
  ],
  [
    'reservations that nobody will end',
    ({ of }) => `UPDATE reservations SET state = 'reserved' WHERE run = '${of.paid.id}'`,
  ],
  ['evidence of a mandate', () => `DELETE FROM evidence WHERE kind = 'mandate'`],
  [
    'what the payer signed',
    ({ mandate, other }) => `UPDATE mandates
      SET envelope = (SELECT envelope FROM mandates WHERE id = '${other}') WHERE id = '${mandate}'`,
  ],
  ['evidence of a request', ({ of }) => `DELETE FROM evidence WHERE subject = '${of.open.id}'`],
  [
    'what was asked',
    ({ of }) => `UPDATE runs
      SET envelope = (SELECT envelope FROM runs WHERE id = '${of.paid.id}')
      WHERE id = '${of.open.id}'`,
  ],
  ['limits that it counts in', ({ of }) => `DELETE FROM reservations WHERE run = '${of.paid.id}'`],
  [
    'limits that it counts in',
    ({ of }) => `DELETE FROM reservations WHERE run = '${of.access.id}'`,
  ],
  [
    'limits count what was paid',
    ({ of }) => `UPDATE reservations SET state = 'voided' WHERE run = '${of.paid.id}'`,
  ],
  [
    'limits count what was paid',
    ({ of }) =>
      `UPDATE reservations SET minor = minor - 1 WHERE run = '${of.paid.id}' AND place = 1`,
  ],
  [
    'limits count what was paid',
    ({ of }) => `UPDATE reservations SET state = 'voided' WHERE run = '${of.access.id}'`,
  ],
  ['receipt', ({ of }) => `UPDATE runs SET receipt = x'00' WHERE id = '${of.paid.id}'`],
];

test.each(tampered)('%s: %#', async (what, sql) => {
  const part = await busy();
  part.change(sql(part));
  expect((await recounted(part.store)).map((difference) => difference.what)).toContain(what);
});

test.each([
  ['by its id', ({ mandate }: Busy) => ({ mandate }), ({ mandate }: Busy) => [mandate]],
  ['by its epoch', () => ({ epoch: 2 }), ({ mandate }: Busy) => [mandate]],
  ['with all the others', () => ({ epoch: 3 }), ({ mandate, other }: Busy) => [mandate, other]],
] as const)('a mandate that was revoked %s and is active again', async (_how, target, ended) => {
  const part = await busy();
  await part.store.revoke(await revocationOf(target(part)));
  expect(await recounted(part.store)).toEqual([]);
  part.change(`UPDATE mandates SET status = 'active'`);
  expect(await recounted(part.store)).toEqual(
    ended(part)
      .toSorted()
      .map((id) => ({
        what: 'a revoked mandate',
        where: `mandate ${id}`,
        expected: 'revoked',
        found: 'active',
      })),
  );
});

test('a difference says where, what is right and what is there', async () => {
  const part = await busy();
  part.change('UPDATE windows SET settled = 7');
  expect(await recounted(part.store)).toEqual([
    {
      what: 'settled in a window',
      where: `mandate ${part.mandate} window 1 total`,
      expected: '1000',
      found: '7',
    },
  ]);
});

test('more rows than a page are all counted', async () => {
  const database = openDatabase(':memory:');
  const store = createSqliteStore(database, timers, random);
  await enrol(store);
  const waiting = [];
  for (let epoch = 1; epoch <= AUDIT_PAGE_ROWS + 1; epoch++) {
    waiting.push(putMandate(store, { epoch }));
  }
  const ids = (await Promise.all(waiting)).sort();
  const last = ids.at(-1)!;
  const run = await succeed(store, await accepted(store, { mandate: last }));
  expect(await recounted(store)).toEqual([]);
  database.exec('UPDATE windows SET settled = 7');
  expect(await recounted(store)).toMatchObject([
    { where: expect.stringContaining(last) as unknown },
  ]);
  database.exec(`UPDATE windows SET settled = 1000; UPDATE runs SET receipt = x'00'`);
  expect(await recounted(store)).toMatchObject([{ what: 'receipt', where: `payment ${run.id}` }]);
});
