/** Logins to the pages: one-time links, sessions, and what is kept of their secrets. */
import { beforeEach, expect, test } from 'vitest';
import { type Accounts, createAccounts, currencyOf } from '../../broker/accounts.ts';
import type { Backend } from '../../broker/backends/port.ts';
import type { Store } from '../../broker/store/port.ts';
import { createSqliteStore } from '../../broker/store/sqlite.ts';
import { toHex } from '../../src/bytes.ts';
import { LINKS_MAX, LINK_MS, SESSIONS_MAX, SESSION_MS } from '../../src/limits.ts';
import { random, timers } from '../../src/node/platform.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import type { Database, HttpQuestion } from '../../src/platform.ts';
import { CAST, NOW_MS, PAYER, enrol } from './stage.ts';

let nowMs: number;
let database: Database;
let store: Store;
let accounts: Accounts;

beforeEach(() => {
  nowMs = NOW_MS;
  database = openDatabase(':memory:');
  store = createSqliteStore(database, timers, random);
  const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs };
  accounts = createAccounts({ store, random, clock });
});

const asking = (cookie?: string): HttpQuestion => ({
  method: 'POST',
  path: '/v1/pages/session',
  headers: cookie === undefined ? {} : { cookie: cookie.split(';')[0]! },
  body: new Uint8Array(),
});
const operator = { role: 'operator', by: 'Li Na' } as const;
const wearer = { role: 'wearer', by: 'Li Na', funding: 'acct-1' } as const;

test('a link opens one session, which the cookie proves from then on', async () => {
  const secret = await accounts.invite(operator);
  expect(secret).toMatch(/^[\w-]{43}$/);
  const { visitor, cookie } = await accounts.login(secret, asking());
  expect(visitor).toEqual(operator);
  expect(await accounts.visitor(asking(cookie))).toEqual(operator);
  await expect(accounts.login(secret, asking())).rejects.toMatchObject({ reason: 'bad_signature' });
});

test('the cookie is for this host and HTTPS, out of reach of scripts and other sites', async () => {
  const { cookie } = await accounts.login(await accounts.invite(operator), asking());
  expect(cookie).toMatch(
    /^__Host-saytap=[\w-]{43}; Path=\/; Max-Age=43200; Secure; HttpOnly; SameSite=Strict$/,
  );
});

test('neither link nor session outlives its time', async () => {
  const late = await accounts.invite(operator);
  nowMs += LINK_MS;
  await expect(accounts.login(late, asking())).rejects.toMatchObject({ reason: 'bad_signature' });
  const { cookie } = await accounts.login(await accounts.invite(operator), asking());
  nowMs += SESSION_MS - 1;
  expect(await accounts.visitor(asking(cookie))).toEqual(operator);
  nowMs += 1;
  expect(await accounts.visitor(asking(cookie))).toBeUndefined();
});

test('two who open one link at once: one is let in', async () => {
  const secret = await accounts.invite(operator);
  const both = await Promise.allSettled([
    accounts.login(secret, asking()),
    accounts.login(secret, asking()),
  ]);
  expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
});

test('a login never goes on with a session that was there before, and ends it', async () => {
  const first = await accounts.login(await accounts.invite(operator), asking());
  const second = await accounts.login(await accounts.invite(wearer), asking(first.cookie));
  expect(second.cookie).not.toBe(first.cookie);
  expect(await accounts.visitor(asking(first.cookie))).toBeUndefined();
  expect(await accounts.visitor(asking(second.cookie))).toMatchObject({ funding: 'acct-1' });
});

test('a logout ends the session and takes the cookie away', async () => {
  const { cookie } = await accounts.login(await accounts.invite(operator), asking());
  expect(await accounts.logout(asking(cookie))).toMatch(/^__Host-saytap=; .*Max-Age=0;/);
  expect(await accounts.visitor(asking(cookie))).toBeUndefined();
});

test.each(['', 'x', 'A'.repeat(42), 'A'.repeat(44), '"; DROP TABLE logins', `${'A'.repeat(42)}B`])(
  'a secret of another form opens nothing: %j',
  async (secret) => {
    await accounts.invite(operator);
    await expect(accounts.login(secret, asking())).rejects.toMatchObject({
      reason: 'bad_signature',
    });
    expect(await accounts.visitor(asking(`__Host-saytap=${secret}`))).toBeUndefined();
  },
);

test('a link is no session, a session no link, and two cookies of one name are none', async () => {
  const secret = await accounts.invite(operator);
  expect(await accounts.visitor(asking(`__Host-saytap=${secret}`))).toBeUndefined();
  const { cookie } = await accounts.login(secret, asking());
  const value = /=([\w-]{43})/.exec(cookie)![1]!;
  await expect(accounts.login(value, asking())).rejects.toMatchObject({ reason: 'bad_signature' });
  const twice = `__Host-saytap=${value}, __Host-saytap=${value}`.replace(',', ';');
  const question = { ...asking(), headers: { cookie: twice } };
  expect(await accounts.visitor(question)).toBeUndefined();
});

test('what the store keeps opens nothing', async () => {
  const secret = await accounts.invite(operator);
  const { cookie } = await accounts.login(await accounts.invite(wearer), asking());
  const kept = JSON.stringify(database.prepare('SELECT * FROM logins').all(), (_, value) =>
    typeof value === 'bigint'
      ? String(value)
      : value instanceof Uint8Array
        ? Buffer.from(value).toString('base64url')
        : (value as unknown),
  );
  expect(kept).not.toContain(secret);
  expect(kept).not.toContain(/=([\w-]{43})/.exec(cookie)![1]);
});

test('links that nobody opens make room by themselves; beyond the limit is none', async () => {
  for (let i = 0; i < LINKS_MAX; i++) await accounts.invite(operator);
  await expect(accounts.invite(operator)).rejects.toMatchObject({ reason: 'rate_limited' });
  nowMs += LINK_MS;
  expect(await accounts.invite(operator)).toMatch(/^[\w-]{43}$/);
});

test('too many who are logged in keep the next one out, whose link stays good', async () => {
  const insert = database.prepare(`INSERT INTO logins VALUES (?, 'session', '{}', ?)`);
  for (let i = 0; i < SESSIONS_MAX; i++) insert.run(random(32), BigInt(nowMs + 60_000));
  const secret = await accounts.invite(operator);
  await expect(accounts.login(secret, asking())).rejects.toMatchObject({ reason: 'rate_limited' });
  nowMs += 60_000;
  expect((await accounts.login(secret, asking())).visitor).toEqual(operator);
});

test('one funding has one payer, who may be named beforehand', async () => {
  const payerOf = async (invited: Parameters<Accounts['invite']>[0]) =>
    (await accounts.login(await accounts.invite(invited), asking())).visitor;
  const first = await payerOf(wearer);
  expect(first).toMatchObject({ role: 'wearer', payer: expect.stringMatching(/^[0-9a-f]{32}$/) });
  expect(await payerOf(wearer)).toEqual(first);
  const named = { ...wearer, funding: 'acct-2', payer: '07'.repeat(16) };
  expect(await payerOf(named)).toMatchObject({ payer: '07'.repeat(16) });
  await expect(accounts.invite({ ...named, payer: '08'.repeat(16) })).rejects.toMatchObject({
    reason: 'role_forbidden',
  });
});

test('the currency is of the first backend that has the account and hands out logins', async () => {
  const backend = (currency?: string) =>
    ({ login: { currencyOf: async () => currency, link: async () => {} } }) as unknown as Backend;
  const without = {} as Backend;
  expect(await currencyOf([without, backend(), backend('CNY')], 'acct-1')).toBe('CNY');
  await expect(currencyOf([without, backend()], 'acct-1')).rejects.toMatchObject({
    reason: 'funding_unknown',
  });
});

test('blocking a phone ends every login and link of its payer, and nobody else’s', async () => {
  await enrol(store);
  const payer = toHex(PAYER);
  const open = async (invited: Parameters<Accounts['invite']>[0]) =>
    (await accounts.login(await accounts.invite(invited), asking())).cookie;
  const thief = await open({ ...wearer, payer });
  const second = await open({ ...wearer, funding: 'acct-1b', payer });
  const other = await open({ ...wearer, funding: 'acct-2' });
  const staff = await open(operator);
  const link = await accounts.invite({ ...wearer, payer });

  await store.setIdentityStatus(CAST.glasses.key.name, 'revoked', nowMs);
  expect(await accounts.visitor(asking(thief)), 'glasses hold no login').toBeDefined();
  await store.setIdentityStatus(CAST.wallet.key.name, 'revoked', nowMs);
  expect(await accounts.visitor(asking(thief))).toBeUndefined();
  expect(await accounts.visitor(asking(second))).toBeUndefined();
  await expect(accounts.login(link, asking())).rejects.toMatchObject({ reason: 'bad_signature' });
  expect(await accounts.visitor(asking(other))).toMatchObject({ funding: 'acct-2' });
  expect(await accounts.visitor(asking(staff))).toEqual(operator);
});
