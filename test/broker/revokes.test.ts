/** Taking in a revoke: who may end what, and that an answer once given is given again. */
import { describe, expect, test } from 'vitest';
import { createIdentities } from '../../broker/identities.ts';
import { createReceipts } from '../../broker/receipts.ts';
import { takeRevoke } from '../../broker/revokes.ts';
import type { KeyStatus } from '../../broker/store/port.ts';
import { createSqliteStore } from '../../broker/store/sqlite.ts';
import { toHex } from '../../src/bytes.ts';
import { EPOCH_STEP_MAX } from '../../src/limits.ts';
import { random, timers } from '../../src/node/platform.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import { type KeyStatement, keyStatement } from '../../src/objects/key.ts';
import { open } from '../../src/objects/kind.ts';
import { mandate as mandateKind } from '../../src/objects/mandate.ts';
import { receipt as receiptKind } from '../../src/objects/receipt.ts';
import { type Revoke, revoke as revokeKind } from '../../src/objects/revoke.ts';
import { CAST, NOW_MS, NOW_S, PAYER, REALM, type Role } from './stage.ts';
import { createTime, enrol, failing, mandateOf, putMandate, sealed } from './stage.ts';
import { statementOf, verdictOf } from './stage.ts';
import { accepted, close, start } from './store/acts.ts';

const OTHER = new Uint8Array(16).fill(9);

async function prepared() {
  const disk = { isFull: false };
  const store = createSqliteStore(failing(openDatabase(':memory:'), disk), timers, random);
  await enrol(store);
  const { clock, advance } = createTime();
  const identities = createIdentities(store, REALM, CAST.root.key, clock);
  const receipts = createReceipts(REALM, CAST.bridge, clock);
  const mandate = await putMandate(store);
  const revokeBy = async (value: Partial<Revoke>, signer: Role = 'wallet', nowMs = NOW_MS) => {
    const target = value.epoch === undefined ? { mandate } : {};
    const revoke = { payer: PAYER, iat: NOW_S, ...target, ...value };
    const { id, envelope } = await sealed(revokeKind, revoke, CAST[signer]);
    const taken = await takeRevoke({ store, identities, receipts }, envelope, nowMs);
    const told = open(receiptKind, taken.receipt, REALM, () => CAST.bridge.key).value;
    return { id, told, ...taken };
  };
  return {
    store,
    disk,
    mandate,
    advance,
    revokeBy,
    statusOf: async (id = mandate) => (await store.mandate(id, NOW_MS))?.status,
    /** Enrols a key under another statement. */
    async say(role: Role, changes: Partial<KeyStatement>) {
      const statement = statementOf(role, changes);
      const { envelope } = await sealed(keyStatement, statement, CAST.root);
      await store.putIdentity(CAST[role].key.name, statement, envelope, NOW_MS);
    },
    set: (role: Role, status: KeyStatus) =>
      store.setIdentityStatus(CAST[role].key.name, status, NOW_MS),
  };
}

type Part = Awaited<ReturnType<typeof prepared>>;

describe('who may revoke', () => {
  const none = async () => {};
  const may: readonly (readonly [Role, string, (part: Part) => Promise<unknown>])[] = [
    ['wallet', 'the wallet', none],
    ['glasses', 'a device of the payer', none],
    ['guest', 'another device of the payer', ({ say }) => say('guest', { payer: PAYER })],
    ['glasses', 'a suspended device: it only takes away', ({ set }) => set('glasses', 'suspended')],
    ['wallet', 'a suspended wallet', ({ set }) => set('wallet', 'suspended')],
    [
      'glasses',
      'a device whose statement is over',
      ({ say }) => say('glasses', { exp: NOW_S - 9 }),
    ],
    ['wallet', 'a wallet whose statement is over', ({ say }) => say('wallet', { exp: NOW_S - 9 })],
  ];
  test.each(may)('%s: %s', async (role, _why, prepare) => {
    const part = await prepared();
    await prepare(part);
    const { id, told } = await part.revokeBy({}, role);
    expect(told).toMatchObject({ subject: id, outcome: 'granted', iat: NOW_S });
    expect(await part.statusOf()).toBe('revoked');
  });

  const mayNot: readonly (readonly [Role, string, string, (part: Part) => Promise<unknown>])[] = [
    ['glasses', 'revoked', 'a revoked key', ({ set }) => set('glasses', 'revoked')],
    ['wallet', 'revoked', 'a revoked wallet', ({ set }) => set('wallet', 'revoked')],
    ['guest', 'role_forbidden', 'a device of no payer', none],
    ['guest', 'role_forbidden', 'another’s device', ({ say }) => say('guest', { payer: OTHER })],
    ['wallet', 'role_forbidden', 'another’s wallet', ({ say }) => say('wallet', { payer: OTHER })],
    ['kiosk', 'role_forbidden', 'a terminal', none],
    ['agent', 'role_forbidden', 'an agent', ({ say }) => say('agent', { payer: PAYER })],
    ['bridge', 'role_forbidden', 'the bridge', none],
  ];
  test.each(mayNot)('not %s: %s, %s', async (role, reason, _why, prepare) => {
    const part = await prepared();
    await prepare(part);
    for (const value of [{}, { epoch: 2 }]) {
      const { id, told, refused } = await part.revokeBy(value, role);
      expect(told.subject).toBe(id);
      expect(verdictOf(told)).toEqual(['refused', reason]);
      expect(refused).toEqual([]);
      expect(await part.store.evidence(id), 'nothing is kept of it').toEqual([]);
    }
    expect(await part.statusOf()).toBe('active');
  });

  test('a device of another payer ends its own payer’s mandates and nobody else’s', async () => {
    const { say, revokeBy, statusOf } = await prepared();
    await say('guest', { payer: OTHER });
    const own = await revokeBy({ payer: OTHER, epoch: 5 }, 'guest');
    expect(own.told.outcome).toBe('granted');
    const foreign = await revokeBy({ payer: OTHER }, 'guest');
    expect(verdictOf(foreign.told), 'as if there were none').toEqual([
      'refused',
      'mandate_unknown',
    ]);
    expect(await statusOf()).toBe('active');
  });

  test('bad_signature is thrown for a key that is not enrolled', async () => {
    const { revokeBy, statusOf } = await prepared();
    await expect(revokeBy({}, 'stranger')).rejects.toMatchObject({ reason: 'bad_signature' });
    expect(await statusOf()).toBe('active');
  });
});

describe('what it does', () => {
  test('tells what is still running, and names what it refused just now', async () => {
    const { store, mandate, revokeBy } = await prepared();
    const running = await start(store, await accepted(store, { mandate }));
    const waiting = await accepted(store, { mandate });
    const { told, refused } = await revokeBy({});
    expect(told).toMatchObject({ outcome: 'granted', running: [running.id] });
    expect(refused).toEqual([waiting.id]);
    await close(store, waiting);
  });

  test('the same revoke again gets identical bytes, also when all has ended', async () => {
    const { store, mandate, revokeBy, advance } = await prepared();
    const running = await start(store, await accepted(store, { mandate }));
    const waiting = await accepted(store, { mandate });
    const first = await revokeBy({});
    await close(store, waiting);
    await advance(60_000);
    const again = await revokeBy({}, 'wallet', NOW_MS + 60_000);
    expect(toHex(again.receipt)).toBe(toHex(first.receipt));
    expect(again.refused).toEqual([]);
    expect(again.told.running).toEqual([running.id]);
  });

  test('two copies at once get identical bytes', async () => {
    const { revokeBy } = await prepared();
    const [one, two] = await Promise.all([revokeBy({}), revokeBy({})]);
    expect(toHex(one.receipt)).toBe(toHex(two.receipt));
  });

  test('everything below an epoch; one that leaps is malformed', async () => {
    const { store, revokeBy, statusOf } = await prepared();
    const later = await putMandate(store, { epoch: 2 });
    const leap = await revokeBy({ epoch: 3 + EPOCH_STEP_MAX });
    expect(verdictOf(leap.told)).toEqual(['refused', 'malformed']);
    const { told } = await revokeBy({ epoch: 2 }, 'glasses');
    expect(told.outcome).toBe('granted');
    expect([await statusOf(), await statusOf(later)]).toEqual(['revoked', 'active']);
  });

  test('mandate_unknown: a mandate that nobody sent', async () => {
    const { revokeBy } = await prepared();
    const { told } = await revokeBy({ mandate: 'ee'.repeat(16) });
    expect(verdictOf(told)).toEqual(['refused', 'mandate_unknown']);
  });

  test('a refusal is not remembered: it may be good when the mandate has come', async () => {
    const { store, revokeBy } = await prepared();
    const { id } = await sealed(mandateKind, mandateOf({ epoch: 8 }), CAST.wallet);
    expect(verdictOf((await revokeBy({ mandate: id })).told)).toEqual([
      'refused',
      'mandate_unknown',
    ]);
    await putMandate(store, { epoch: 8 });
    expect((await revokeBy({ mandate: id })).told.outcome).toBe('granted');
  });

  test('unavailable is thrown while the disk is full, and nothing has ended', async () => {
    const { disk, revokeBy, statusOf } = await prepared();
    disk.isFull = true;
    await expect(revokeBy({})).rejects.toMatchObject({ reason: 'unavailable' });
    disk.isFull = false;
    expect(await statusOf()).toBe('active');
    expect((await revokeBy({})).told.outcome).toBe('granted');
  });
});
