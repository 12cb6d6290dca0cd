/** What a wearer's login may do: its own wallet, account, mandates and devices, no other's. */
import { hash } from 'node:crypto';
import { beforeEach, expect, test } from 'vitest';
import type { Backend } from '../../broker/backends/port.ts';
import { createIdentities } from '../../broker/identities.ts';
import { createReceipts } from '../../broker/receipts.ts';
import { takeRevoke } from '../../broker/revokes.ts';
import type { Store, Visitor } from '../../broker/store/port.ts';
import { createSqliteStore } from '../../broker/store/sqlite.ts';
import type { Verbs } from '../../broker/visits.ts';
import { wearerVerbs } from '../../broker/wearers.ts';
import { toBase64url, toHex, utf8 } from '../../src/bytes.ts';
import type { Signer } from '../../src/cose.ts';
import { PaymentError } from '../../src/errors.ts';
import { WALLETS_PER_PAYER_MAX } from '../../src/limits.ts';
import { random, timers } from '../../src/node/platform.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import { type Enrol, enrol as enrolKind } from '../../src/objects/enrol.ts';
import { keyStatement } from '../../src/objects/key.ts';
import { seal } from '../../src/objects/kind.ts';
import { type Mandate, mandate as mandateKind } from '../../src/objects/mandate.ts';
import { revoke as revokeKind } from '../../src/objects/revoke.ts';
import { CAST, NOW_MS, NOW_S, PAYER, REALM, enrol, makeSigner, mandateOf } from './stage.ts';

const payer = toHex(PAYER);
const me: Visitor = { role: 'wearer', by: 'Li', funding: 'acct-1', payer };
const other: Visitor = { ...me, funding: 'acct-2', payer: '09'.repeat(16) };
const TEXT = 'what was read';
const clock = { nowMs: () => NOW_MS, monotonicMs: () => NOW_MS };

let store: Store;
let verbs: Verbs;
let linked: string[];
let approved: unknown[];

beforeEach(async () => {
  store = createSqliteStore(openDatabase(':memory:'), timers, random);
  await enrol(store);
  const identities = createIdentities(store, REALM, CAST.root.key, clock);
  const receipts = createReceipts(REALM, CAST.bridge, clock);
  linked = [`acct-1 ${CAST.wallet.key.name}`];
  approved = [];
  const ledger = {
    name: 'ledger',
    fundingLinked: async (funding: string, wallet: string) =>
      linked.includes(`${funding} ${wallet}`),
    login: {
      currencyOf: async (funding: string) => (funding.startsWith('acct') ? 'CNY' : undefined),
      link: async (funding: string, wallet: string) => void linked.push(`${funding} ${wallet}`),
    },
  } as unknown as Backend;
  verbs = wearerVerbs({
    ...{ realm: REALM, store, identities, backends: [ledger], clock },
    bridge: {
      revoke: async (envelope) =>
        (await takeRevoke({ store, identities, receipts }, envelope, NOW_MS)).receipt,
    },
    enrolments: {
      route: async () => ({ status: 202, body: new Uint8Array() }),
      approve: async (named, said) => {
        approved.push([named, said]);
        return { state: 'enrolled' } as never;
      },
    },
    isOnline: async (device) => device === 'glasses',
  });
});

const ask = (who: Visitor, verb: string, asked: object = {}) => verbs[verb]!.run(who, asked);

async function asWallet(signer: Signer, changes: Partial<Enrol> = {}) {
  const value: Enrol = {
    ...{ iat: NOW_S, key: signer.key.public, role: 'wallet', device: `wallet-${payer}` },
    ...changes,
  };
  return { enrol: toBase64url(await seal(enrolKind, value, REALM, signer)) };
}

async function granting(changes: Partial<Mandate> = {}, by: Signer = CAST.wallet, text = TEXT) {
  const textDigest = Uint8Array.from(hash('sha256', utf8(TEXT), 'buffer'));
  const envelope = await seal(mandateKind, mandateOf({ textDigest, ...changes }), REALM, by);
  return { envelope: toBase64url(envelope), text };
}

test('a phone’s key is linked and enrolled as a wallet of the login’s payer', async () => {
  const phone = makeSigner();
  expect(await ask(me, 'wallet', await asWallet(phone))).toEqual({ state: 'enrolled' });
  expect(linked).toContain(`acct-1 ${phone.key.name}`);
  expect(approved).toEqual([[expect.stringMatching(/^[0-9A-Z]{10}$/), { role: 'wallet', payer }]]);
});

test.each<[string, Partial<Enrol>, string]>([
  ['that was kept', { iat: NOW_S - 301 }, 'expired'],
  ['from the future', { iat: NOW_S + 301 }, 'expired'],
  ['for another payer', { device: 'wallet-08080808080808080808080808080808' }, 'role_forbidden'],
  ['for another role', { role: 'device' }, 'role_forbidden'],
])('an Enrol %s makes no wallet and links nothing', async (_, changes, reason) => {
  const before = [...linked];
  const asked = await asWallet(makeSigner(), changes);
  await expect(ask(me, 'wallet', asked)).rejects.toMatchObject({ reason });
  expect([linked, approved]).toEqual([before, []]);
});

test('a key that another signed for makes no wallet', async () => {
  const value = { iat: NOW_S, key: CAST.stranger.key.public, role: 'wallet' as const };
  const forged = await seal(
    enrolKind,
    { ...value, device: `wallet-${payer}` },
    REALM,
    makeSigner(),
  );
  await expect(ask(me, 'wallet', { enrol: toBase64url(forged) })).rejects.toBeInstanceOf(
    PaymentError,
  );
  expect(approved).toEqual([]);
});

test('a key that counts as something else, or of another payer, stays that', async () => {
  const theirs = `wallet-${other.payer}`;
  const forbidden = { reason: 'role_forbidden' };
  await expect(ask(me, 'wallet', await asWallet(CAST.glasses))).rejects.toMatchObject(forbidden);
  await expect(
    ask(other, 'wallet', await asWallet(CAST.wallet, { device: theirs })),
  ).rejects.toMatchObject(forbidden);
  await store.setIdentityStatus(CAST.wallet.key.name, 'revoked', NOW_MS);
  await expect(ask(me, 'wallet', await asWallet(CAST.wallet))).rejects.toMatchObject({
    reason: 'revoked',
  });
});

test('one person has so many phones and no more', async () => {
  for (let i = 1; i < WALLETS_PER_PAYER_MAX; i++) {
    const { key } = makeSigner();
    const valid = { nbf: NOW_S - 60, exp: NOW_S + 60, presenceMax: 4 as const };
    const value = { ...valid, key: key.public, role: 'wallet' as const, payer: PAYER };
    const envelope = await seal(keyStatement, value, REALM, CAST.root);
    await store.putIdentity(key.name, value, envelope, NOW_MS);
  }
  await expect(ask(me, 'wallet', await asWallet(makeSigner()))).rejects.toMatchObject({
    reason: 'rate_limited',
  });
});

test('phones that wait for the root count as well', async () => {
  for (let i = 1; i < WALLETS_PER_PAYER_MAX; i++) {
    const { name } = makeSigner().key;
    const asked = { key: name, code: `CODE${i}`, envelope: new Uint8Array(1), address: '' };
    await store.putEnrolment(asked, NOW_MS);
    const said = JSON.stringify({ role: 'wallet', payer });
    await store.decideEnrolment(
      name,
      { state: 'approved', isSigned: false, said, pairing: undefined, note: utf8('{}') },
      NOW_MS,
    );
  }
  await expect(ask(me, 'wallet', await asWallet(makeSigner()))).rejects.toMatchObject({
    reason: 'rate_limited',
  });
  expect(linked).toHaveLength(1);
});

test('a mandate is taken with the text that was shown, which stays as evidence', async () => {
  const { id } = (await ask(me, 'grant', await granting())) as { id: string };
  const note = (await store.evidence(id)).find(({ kind }) => kind === 'note');
  expect(new TextDecoder().decode(note!.body)).toBe(TEXT);
  expect(await ask(me, 'wearer')).toMatchObject({
    ...{ funding: 'acct-1', currency: 'CNY', payer, epoch: 1 },
    mandates: [
      {
        ...{ id, status: 'active', payees: ['cafe'] },
        windows: [{ kind: 'total', max: '100000', count: 100, used: '0', usedCount: 0 }],
      },
    ],
  });
});

test('another text, another account, another’s wallet: nothing is taken', async () => {
  const refused: readonly (readonly [object, string])[] = [
    [await granting({}, CAST.wallet, 'another text'), 'malformed'],
    [await granting({ funding: 'acct-2' }), 'funding_unknown'],
    [await granting({}, CAST.glasses), 'role_forbidden'],
    [await granting({}, CAST.stranger), 'bad_signature'],
  ];
  for (const [asked, reason] of refused) {
    await expect(ask(me, 'grant', asked)).rejects.toMatchObject({ reason });
  }
  await expect(ask(other, 'grant', await granting())).rejects.toMatchObject({
    reason: 'role_forbidden',
  });
  expect(await ask(me, 'wearer')).toMatchObject({ mandates: [] });
});

test('a revoke ends the mandate; one of another payer’s wallet is not taken here', async () => {
  const { id } = (await ask(me, 'grant', await granting())) as { id: string };
  const value = { payer: PAYER, iat: NOW_S, mandate: id };
  const envelope = toBase64url(await seal(revokeKind, value, REALM, CAST.wallet));
  await expect(ask(other, 'revoke', { envelope })).rejects.toMatchObject({
    reason: 'role_forbidden',
  });
  expect(await ask(me, 'revoke', { envelope })).toMatchObject({ outcome: 'granted', running: 0 });
  expect(await ask(me, 'wearer')).toMatchObject({ mandates: [{ status: 'revoked' }] });
});

test('after everything was revoked the page grants in the next epoch', async () => {
  const value = { payer: PAYER, iat: NOW_S, epoch: 2 };
  const envelope = toBase64url(await seal(revokeKind, value, REALM, CAST.wallet));
  expect(await ask(me, 'revoke', { envelope })).toMatchObject({ outcome: 'granted' });
  expect(await ask(me, 'wearer')).toMatchObject({ epoch: 2 });
  await expect(ask(me, 'grant', await granting())).rejects.toMatchObject({ reason: 'revoked' });
  expect(await ask(me, 'grant', await granting({ epoch: 2 }))).toHaveProperty('id');
});

test('a wearer blocks what is their own, and learns of nothing else that it exists', async () => {
  const refusals: unknown[] = [];
  for (const name of [CAST.guest.key.name, CAST.kiosk.key.name, 'ff'.repeat(32)]) {
    refusals.push(await ask(me, 'lost', { name }).catch((error: Error) => error.message));
  }
  expect(new Set(refusals)).toEqual(new Set(['you have no such key']));
  expect(await ask(me, 'lost', { name: CAST.glasses.key.name })).toEqual({ changed: true });
  const { keys } = (await ask(me, 'wearer')) as { keys: { name: string; status: string }[] };
  expect(keys.find(({ name }) => name === CAST.glasses.key.name)).toMatchObject({
    ...{ status: 'revoked', online: true },
  });
  expect(keys.map(({ name }) => name)).not.toContain(CAST.guest.key.name);
});
