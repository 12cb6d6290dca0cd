/** Taking in a mandate: one row per refusal, and nothing stored by any of them. */
import { expect, test } from 'vitest';
import { createIdentities } from '../../broker/identities.ts';
import { takeMandate } from '../../broker/mandates.ts';
import type { Backend } from '../../broker/backends/port.ts';
import type { KeyStatus, Store } from '../../broker/store/port.ts';
import { createSqliteStore } from '../../broker/store/sqlite.ts';
import { toHex } from '../../src/bytes.ts';
import type { Reason } from '../../src/errors.ts';
import { CHAIN_DEPTH_MAX, CHILDREN_MAX } from '../../src/limits.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import { random, timers } from '../../src/node/platform.ts';
import { keyStatement } from '../../src/objects/key.ts';
import { type Mandate, mandate as mandateKind } from '../../src/objects/mandate.ts';
import { CAST, NOW_MS, NOW_S, PAYER, REALM, type Role, createTime } from './stage.ts';
import { enrol, mandateOf, putMandate, sealed, statementOf } from './stage.ts';

async function prepared() {
  const database = openDatabase(':memory:');
  const store = createSqliteStore(database, timers, random);
  await enrol(store);
  const asked: (readonly [string, string])[] = [];
  const linked = { answer: true as boolean | Error, other: false };
  const backends = [
    {
      name: 'ledger',
      async fundingLinked(funding: string, wallet: string) {
        asked.push([funding, wallet]);
        if (linked.answer instanceof Error) throw linked.answer;
        return linked.answer;
      },
    },
    { name: 'other', fundingLinked: async () => linked.other },
  ] as unknown as Backend[];
  const identities = createIdentities(store, REALM, CAST.root.key, createTime().clock);
  const parts = { store, identities, backends };
  return {
    store,
    asked,
    linked,
    setStatus: (id: string, status: KeyStatus) =>
      void database.prepare('UPDATE mandates SET status = ? WHERE id = ?').run(status, id),
    take: async (changes: Partial<Mandate>, signer: Role = 'wallet') => {
      const { envelope } = await sealed(mandateKind, mandateOf(changes), CAST[signer]);
      return takeMandate(parts, envelope, NOW_MS);
    },
  };
}

test('a wallet’s mandate over linked funding is stored with its payer', async () => {
  const { store, asked, take } = await prepared();
  const { id, refusal } = await take({});
  expect(refusal).toBeUndefined();
  expect(asked).toEqual([['acct-1', CAST.wallet.key.name]]);
  expect(await store.mandate(id, NOW_MS)).toMatchObject({
    id,
    issuer: CAST.wallet.key.name,
    payer: toHex(PAYER),
    status: 'active',
    backends: ['ledger'],
    mandate: { funding: 'acct-1' },
  });
  expect(await take({}), 'again: known, and the backend is not asked').toEqual({
    id,
    refusal: undefined,
  });
  expect(asked).toHaveLength(1);
});

test('a child is stored when its parent names the signer, with the parent’s payer', async () => {
  const { store, asked, take } = await prepared();
  const parent = await putMandate(store);
  const child = await take({ parent, cnf: CAST.agent.key.name }, 'glasses');
  expect(child.refusal).toBeUndefined();
  expect(await store.mandate(child.id, NOW_MS)).toMatchObject({
    issuer: CAST.glasses.key.name,
    payer: toHex(PAYER),
    backends: ['ledger'],
  });
  expect(asked).toEqual([]);
});

test.each([
  [true, true, ['ledger', 'other']],
  [false, true, ['other']],
  [true, false, ['ledger']],
] as const)('its backends are those that know the funding, in their order: %#', async (...row) => {
  const [ledger, other, expected] = row;
  const { store, linked, take } = await prepared();
  Object.assign(linked, { answer: ledger, other });
  const { id } = await take({});
  expect((await store.mandate(id, NOW_MS))?.backends).toEqual(expected);
  const child = await take({ parent: id, cnf: CAST.agent.key.name }, 'glasses');
  expect((await store.mandate(child.id, NOW_MS))?.backends).toEqual(expected);
});

test('a chain as deep as it may be is taken, and no deeper one', async () => {
  const { store, take } = await prepared();
  let parent = await putMandate(store);
  for (let depth = 2; depth <= CHAIN_DEPTH_MAX; depth++) {
    const { id, refusal } = await take({ parent, epoch: depth }, 'glasses');
    expect(refusal).toBeUndefined();
    parent = id;
  }
  const { id, refusal } = await take({ parent, epoch: 9 }, 'glasses');
  expect(refusal?.reason).toBe('malformed');
  expect(await store.mandate(id, NOW_MS)).toBeUndefined();
});

test('a child of a parent that is over, or whose own parent is, is refused', async () => {
  const { store, setStatus, take } = await prepared();
  const over = await putMandate(store, { exp: NOW_S });
  expect((await take({ parent: over }, 'glasses')).refusal?.reason).toBe('expired');
  const root = await putMandate(store);
  const middle = await putMandate(store, { parent: root }, 'glasses');
  setStatus(root, 'revoked');
  const { id, refusal } = await take({ parent: middle, epoch: 2 }, 'glasses');
  expect(refusal?.reason).toBe('revoked');
  expect(await store.mandate(id, NOW_MS)).toBeUndefined();
});

test('of an epoch that is over: revoked, however often it comes, and its child too', async () => {
  const { store, take } = await prepared();
  const target = { epoch: 3 };
  await store.revoke({ id: 'ab'.repeat(16), payer: toHex(PAYER), target, ...REVOKED });
  for (let copy = 0; copy < 2; copy++) {
    const { id, refusal } = await take({ epoch: 2 });
    expect(refusal?.reason).toBe('revoked');
    expect(await store.mandate(id, NOW_MS)).toBeUndefined();
  }
  const { id: parent, refusal } = await take({ epoch: 3 });
  expect(refusal).toBeUndefined();
  expect((await take({ parent, epoch: 2 }, 'glasses')).refusal?.reason).toBe('revoked');
});

test('rate_limited: a parent with too many children', async () => {
  const { store, take } = await prepared();
  const parent = await putMandate(store);
  for (let epoch = 1; epoch <= CHILDREN_MAX; epoch++) {
    await putMandate(store, { parent, epoch }, 'glasses');
  }
  const one = await take({ parent, epoch: CHILDREN_MAX + 1 }, 'glasses');
  expect(one.refusal?.reason).toBe('rate_limited');
});

const REVOKED = { envelope: Uint8Array.of(1), nowMs: NOW_MS };
const zone = { kind: 'calendar', period: 'day', zone: 'Mars/Olympus', max: 1n, count: 1 } as const;
type Prepare = (store: Store) => Promise<unknown>;
const status = (role: Role, value: 'suspended' | 'revoked') => (store: Store) =>
  store.setIdentityStatus(CAST[role].key.name, value, NOW_MS);
const over = (role: Role, changes: object) => async (store: Store) => {
  const statement = statementOf(role, changes);
  const { envelope } = await sealed(keyStatement, statement, CAST.root);
  await store.putIdentity(CAST[role].key.name, statement, envelope, NOW_MS);
};
const nothing: Prepare = async () => {};

test.each([
  ['malformed', { windows: [zone] }, 'wallet', nothing, 'a time zone that nobody knows'],
  ['suspended', {}, 'wallet', status('wallet', 'suspended'), 'a suspended wallet'],
  ['revoked', {}, 'wallet', status('wallet', 'revoked'), 'a revoked wallet'],
  ['expired', {}, 'wallet', over('wallet', { exp: NOW_S }), 'a wallet whose statement is over'],
  ['not_yet_valid', {}, 'wallet', over('wallet', { nbf: NOW_S + 1 }), 'one not valid yet'],
  ['expired', { exp: NOW_S }, 'wallet', nothing, 'a mandate that is over this second'],
  ['role_forbidden', {}, 'glasses', nothing, 'a device grants itself a first mandate'],
  ['role_forbidden', {}, 'kiosk', nothing, 'a terminal grants one'],
  ['mandate_unknown', { parent: 'ee'.repeat(16) }, 'glasses', nothing, 'a parent nobody sent'],
] as const)('%s: %#', async (reason, changes, signer, prepare, why) => {
  const { store, take } = await prepared();
  await prepare(store);
  const { id, refusal } = await take(changes, signer);
  expect(refusal?.reason satisfies Reason | undefined, why).toBe(reason);
  expect(await store.mandate(id, NOW_MS)).toBeUndefined();
});

test('mandate_unknown: a child by a key that its parent does not name', async () => {
  const { store, take } = await prepared();
  const parent = await putMandate(store);
  for (const signer of ['guest', 'wallet'] as const) {
    expect((await take({ parent }, signer)).refusal?.reason).toBe('mandate_unknown');
  }
});

test('funding_unknown: a child that would spend from elsewhere', async () => {
  const { store, take } = await prepared();
  const parent = await putMandate(store);
  const { refusal } = await take({ parent, funding: 'acct-2' }, 'glasses');
  expect(refusal?.reason).toBe('funding_unknown');
});

test.each(['suspended', 'revoked'] as const)(
  'a mandate that is stored but %s is refused when it comes again, and so is a child of it',
  async (value) => {
    const { store, setStatus, take } = await prepared();
    const { id } = await take({});
    setStatus(id, value);
    expect(await take({})).toMatchObject({ id, refusal: { reason: value } });
    const child = await take({ parent: id, cnf: CAST.agent.key.name }, 'glasses');
    expect(child.refusal?.reason).toBe(value);
    expect(await store.mandate(child.id, NOW_MS)).toBeUndefined();
    setStatus(id, 'active');
    expect((await take({})).refusal, 'reinstated').toBeUndefined();
    expect((await take({ parent: id }, 'glasses')).refusal).toBeUndefined();
  },
);

test.each([
  ['suspended', status('wallet', 'suspended')],
  ['revoked', status('wallet', 'revoked')],
  ['expired', over('wallet', { exp: NOW_S })],
  ['not_yet_valid', over('wallet', { nbf: NOW_S + 1 })],
] as const)('a stored mandate whose wallet is %s now is refused, and its child', async (...row) => {
  const [reason, prepare] = row;
  const { store, take } = await prepared();
  const { id } = await take({});
  await prepare(store);
  expect(await take({})).toMatchObject({ id, refusal: { reason } });
  const child = await take({ parent: id, cnf: CAST.agent.key.name }, 'glasses');
  expect(child.refusal?.reason).toBe(reason);
  expect(await store.mandate(child.id, NOW_MS)).toBeUndefined();
});

test('funding_unknown today, granted tomorrow: a refusal is not remembered', async () => {
  const { linked, take } = await prepared();
  linked.answer = false;
  expect((await take({})).refusal?.reason).toBe('funding_unknown');
  linked.answer = true;
  expect((await take({})).refusal).toBeUndefined();
});

test('unavailable is thrown while the backend cannot say, and nothing is stored', async () => {
  const { store, linked, take } = await prepared();
  linked.answer = new Error('connection refused');
  await expect(take({})).rejects.toMatchObject({ reason: 'unavailable' });
  const { id } = await sealed(mandateKind, mandateOf(), CAST.wallet);
  expect(await store.mandate(id, NOW_MS)).toBeUndefined();
});

test('bad_signature is thrown for a key that is not enrolled', async () => {
  const { take } = await prepared();
  await expect(take({}, 'stranger')).rejects.toMatchObject({ reason: 'bad_signature' });
});
