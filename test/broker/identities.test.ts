/** Who may speak: the root names keys, a device speaks only as itself, and nobody learns more. */
import { expect, test } from 'vitest';
import { createIdentities, standing } from '../../broker/identities.ts';
import { createSqliteStore } from '../../broker/store/sqlite.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import { random, timers } from '../../src/node/platform.ts';
import { keyStatement } from '../../src/objects/key.ts';
import { query as queryKind } from '../../src/objects/query.ts';
import { CAST, NOW_MS, NOW_S, REALM, type Role, createTime } from './stage.ts';
import { enrol, sealed, statementOf } from './stage.ts';

const { clock } = createTime();
const value = { question: 'state', subject: 'ab'.repeat(16) } as const;

async function prepared(roles?: readonly Role[]) {
  const store = createSqliteStore(openDatabase(':memory:'), timers, random);
  if (roles) await enrol(store, roles);
  return { store, identities: createIdentities(store, REALM, CAST.root.key, clock) };
}

test('a statement of the root enrols its key, by device and by kid', async () => {
  const { store, identities } = await prepared();
  const { envelope } = await sealed(keyStatement, statementOf('glasses'), CAST.root);
  expect((await identities.enrol(envelope)).value.device).toBe('glasses');
  const { name } = CAST.glasses.key;
  expect(await store.identityOfDevice('glasses')).toMatchObject({ name, status: 'active' });
  expect(await store.identityOfKid(name.slice(0, 16))).toMatchObject({ name });
  expect(await store.evidence(name), 'dated by the bridge').toMatchObject([
    { kind: 'key', atMs: NOW_MS, body: envelope },
  ]);
});

test('a later statement of the root renews a key, and does not reinstate it', async () => {
  const { store, identities } = await prepared(['glasses']);
  const { name } = CAST.glasses.key;
  await store.setIdentityStatus(name, 'suspended', NOW_MS);
  const changes = { presenceMax: 1, device: 'goggles' } as const;
  const { envelope } = await sealed(keyStatement, statementOf('glasses', changes), CAST.root);
  await identities.enrol(envelope);
  expect(await store.identityOfDevice('glasses')).toBeUndefined();
  expect(await store.identityOfDevice('goggles')).toMatchObject({
    status: 'suspended',
    statement: { presenceMax: 1 },
  });
});

test.each([
  [{ nbf: NOW_S - 61 }, false, 'began earlier'],
  [{ nbf: NOW_S - 61, exp: NOW_S + 9_999_999 }, false, 'began earlier, though it ends later'],
  [{ exp: NOW_S + 86_399 }, false, 'began with it and ends earlier'],
  [{}, true, 'of the same times'],
  [{ exp: NOW_S + 86_401 }, true, 'ends later'],
  [{ nbf: NOW_S - 59, exp: NOW_S + 1 }, true, 'began later, though it ends earlier'],
] as const)('a statement %j of a known key: is it new? %s (%s)', async (times, isNew, _why) => {
  const { store, identities } = await prepared();
  const enrolled = async (changes: Partial<ReturnType<typeof statementOf>>) => {
    const { envelope } = await sealed(keyStatement, statementOf('glasses', changes), CAST.root);
    await identities.enrol(envelope);
    return envelope;
  };
  const { name } = CAST.glasses.key;
  await enrolled({ nbf: NOW_S - 60, exp: NOW_S + 86_400 });
  const before = await store.evidence(name);
  const envelope = await enrolled({
    nbf: NOW_S - 60,
    exp: NOW_S + 86_400,
    ...times,
    presenceMax: 1,
  });
  const { statement } = (await store.identity(name))!;
  expect(statement.presenceMax === 1).toBe(isNew);
  const rows = await store.evidence(name);
  if (isNew) expect(rows.at(-1)).toMatchObject({ kind: 'key', body: envelope });
  else expect(rows, 'nothing is written of it').toEqual(before);
});

test.each([
  [{ status: 'active' }, {}, undefined],
  [{ status: 'suspended' }, {}, 'suspended'],
  [{ status: 'revoked' }, { exp: NOW_S }, 'revoked'],
  [{ status: 'active' }, { nbf: NOW_S }, undefined],
  [{ status: 'active' }, { nbf: NOW_S + 1 }, 'not_yet_valid'],
  [{ status: 'active' }, { exp: NOW_S + 1 }, undefined],
  [{ status: 'active' }, { exp: NOW_S }, 'expired'],
] as const)('a key of %j with a statement of %j stands as %s', ({ status }, changes, expected) => {
  expect(standing({ status, statement: statementOf('glasses', changes) }, NOW_MS)).toBe(expected);
});

test('a statement that anybody but the root signed enrols nobody', async () => {
  const { store, identities } = await prepared();
  for (const signer of [CAST.stranger, CAST.glasses]) {
    const { envelope } = await sealed(keyStatement, statementOf('glasses'), signer);
    await expect(identities.enrol(envelope)).rejects.toMatchObject({ reason: 'bad_signature' });
  }
  expect(await store.identityOfDevice('glasses')).toBeUndefined();
});

test('a device is heard on its own topic', async () => {
  const { identities } = await prepared(['glasses', 'guest']);
  const { id, envelope } = await sealed(queryKind, value, CAST.glasses);
  const opened = await identities.openFrom('glasses', queryKind, envelope);
  expect(opened).toMatchObject({ id, value, signer: { name: CAST.glasses.key.name } });
});

test('bad_signature is the one answer to a foreign, an unknown and a wrong key', async () => {
  const { identities } = await prepared(['glasses', 'guest']);
  const own = (await sealed(queryKind, value, CAST.glasses)).envelope;
  const unknown = (await sealed(queryKind, value, CAST.stranger)).envelope;
  const broken = Uint8Array.from(own);
  broken[broken.length - 1]! ^= 1;
  const cases = [
    ['guest', own, 'another device’s topic'],
    ['nobody', own, 'a topic of no device'],
    ['glasses', unknown, 'a key that is not enrolled'],
    ['glasses', broken, 'a broken signature'],
  ] as const;
  const messages = new Set<string>();
  for (const [device, envelope, why] of cases) {
    const error = await identities.openFrom(device, queryKind, envelope).then(
      () => undefined,
      (reason: Error) => reason,
    );
    expect(error, why).toMatchObject({ reason: 'bad_signature' });
    if (device !== 'nobody') messages.add(error!.message);
  }
  expect(messages.size, 'not even the message tells them apart').toBe(1);
});

test('openAny takes any enrolled signer, and no other', async () => {
  const { identities } = await prepared(['glasses', 'guest']);
  const own = await sealed(queryKind, value, CAST.guest);
  expect((await identities.openAny(queryKind, own.envelope)).signer.statement.device).toBe('guest');
  const unknown = await sealed(queryKind, value, CAST.stranger);
  await expect(identities.openAny(queryKind, unknown.envelope)).rejects.toMatchObject({
    reason: 'bad_signature',
  });
});

test('the status is that of now, though the key itself is kept', async () => {
  const { store, identities } = await prepared(['glasses']);
  const { envelope } = await sealed(queryKind, value, CAST.glasses);
  await identities.openFrom('glasses', queryKind, envelope);
  await store.setIdentityStatus(CAST.glasses.key.name, 'revoked', NOW_MS);
  const { signer } = await identities.openFrom('glasses', queryKind, envelope);
  expect(signer.status).toBe('revoked');
});
