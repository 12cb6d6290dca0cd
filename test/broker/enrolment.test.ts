/** Enrolment at the bridge: who asks, who approves, what a device is given, what is refused. */
import { beforeEach, expect, test } from 'vitest';
import { type Enrolments, createEnrolments } from '../../broker/enrolment.ts';
import { createIdentities } from '../../broker/identities.ts';
import { createReceipts } from '../../broker/receipts.ts';
import { statementFor } from '../../src/approval.ts';
import { fromBase64url, fromHex, toHex } from '../../src/bytes.ts';
import type { Signer } from '../../src/cose.ts';
import {
  DEVICES_PER_PAYER_MAX,
  ENROLMENTS_PER_ADDRESS_MAX,
  ENROLMENTS_UNSIGNED_MAX,
  ENROLMENT_MS,
} from '../../src/limits.ts';
import { type Enrol, enrol as enrolKind } from '../../src/objects/enrol.ts';
import { keyStatement } from '../../src/objects/key.ts';
import { open, seal } from '../../src/objects/kind.ts';
import { mandate as mandateKind } from '../../src/objects/mandate.ts';
import { policy as policyKind } from '../../src/objects/policy.ts';
import { receipt as receiptKind } from '../../src/objects/receipt.ts';
import { bundleMac, enrolMac, pairingLink, shortCode, spelled } from '../../src/pairing.ts';
import type { HttpReply } from '../../src/platform.ts';
import { signStatement } from '../../src/root.ts';
import {
  CAST,
  admissionOf,
  admitTo,
  putMandate,
  NOW_S,
  POLICY,
  REALM,
  type Stage,
  createStage,
  makeSigner,
  mandateOf,
  statementOf,
} from './stage.ts';

const BY = { by: 'mei', why: 'new till' };
const TERMINAL = {
  role: 'terminal' as const,
  payee: 'cafe',
  terminal: 'till-9',
  names: [['en', 'Café']] as [string, string][],
};
const PAIRING_CODE = new Uint8Array(16).fill(9);

let stage: Stage;
let enrolments: Enrolments;
beforeEach(async () => {
  stage = await createStage();
  enrolments = await desk({});
});

async function desk(changes: { rootSigner?: Signer | undefined }) {
  const { store, clock } = stage;
  return createEnrolments({
    ...{ realm: REALM, store, clock, log: () => {}, root: CAST.root.key },
    identities: createIdentities(store, REALM, CAST.root.key, clock),
    receipts: createReceipts(REALM, CAST.bridge, clock),
    rootSigner: CAST.root,
    certify: (device, key, days) => `certificate of ${device}, ${key.name}, ${days} days`,
    ca: 'the authority',
    bridgeStatements: [await signStatement(statementOf('bridge'), REALM, CAST.root)],
    policies: [await seal(policyKind, POLICY, REALM, CAST.root)],
    mqttUrl: () => 'mqtts://broker.example:8883',
    ...changes,
  });
}

async function enrolOf(signer: Signer, changes: Partial<Enrol> = {}) {
  const value = {
    ...{ iat: NOW_S, key: signer.key.public, role: 'terminal' as const, device: 'kiosk-9' },
    ...changes,
  };
  return seal(enrolKind, value, REALM, signer);
}

type Told = Readonly<{ status: number; body: Record<string, string> }>;

/** Every question from an address of its own, unless the test is about that. */
let asked = 0;
async function post(body: Uint8Array, path = '/v1/enrol', address = `10.0.0.${++asked}`) {
  const question = { method: 'POST', path, headers: {}, body, address };
  const reply = (await enrolments.route(question)) as Exclude<HttpReply, 'drop'>;
  const told = JSON.parse(new TextDecoder().decode(reply.body)) as Told['body'];
  return { status: reply.status, body: told };
}

const codeOf = (signer: Signer) => spelled(shortCode(signer.key.thumbprint));

type Bundle = Readonly<
  Record<'key' | 'root' | 'mqtt' | 'certificate' | 'ca', string> &
    Record<'statements' | 'policies' | 'mandates', readonly string[]>
>;

function bundleOf({ status, body }: Told): Bundle {
  expect([status, body['state']]).toEqual([200, 'granted']);
  return JSON.parse(new TextDecoder().decode(fromBase64url(body['bundle']!))) as Bundle;
}

function ownStatement(told: Told) {
  const [own] = bundleOf(told).statements;
  return open(keyStatement, fromBase64url(own!), REALM, () => CAST.root.key).value;
}

test('a device waits, is approved by its short code, and gets all that it needs', async () => {
  const device = makeSigner();
  const tls = makeSigner();
  const envelope = await enrolOf(device, { tls: tls.key.public });
  expect(await post(envelope)).toEqual({
    status: 202,
    body: { state: 'waiting', code: codeOf(device) },
  });
  expect(await enrolments.list()).toMatchObject([{ code: codeOf(device), state: 'open' }]);
  const view = await enrolments.approve(codeOf(device).toLowerCase(), TERMINAL, BY);
  expect(view.state).toBe('enrolled');
  expect(await enrolments.list()).toEqual([]);

  const told = await post(envelope);
  expect(ownStatement(told)).toMatchObject({
    ...{ role: 'terminal', device: 'kiosk-9', payee: 'cafe', terminal: 'till-9', presenceMax: 1 },
    key: device.key.public,
  });
  const bundle = bundleOf(told);
  expect(bundle).toMatchObject({
    ...{ environment: 'sim', ledger: 'demo', key: device.key.name },
    ...{ mqtt: 'mqtts://broker.example:8883', ca: 'the authority' },
    certificate: `certificate of kiosk-9, ${tls.key.name}, 365 days`,
  });
  // Its own, the bridge's, and those of the other tills and the stall.
  const roles = bundle.statements.map(
    (text) => open(keyStatement, fromBase64url(text), REALM, () => CAST.root.key).value.role,
  );
  expect(roles.slice(0, 2)).toEqual(['terminal', 'bridge']);
  expect(roles.filter((role) => role === 'terminal').length).toBeGreaterThanOrEqual(4);
  expect(bundle.policies.length).toBe(1);
  expect(told.body).not.toHaveProperty('mac');
});

test('approved by the link of its QR, the bundle carries a MAC under its code', async () => {
  const device = makeSigner();
  const { thumbprint } = device.key;
  const pairing = { code: PAIRING_CODE, thumbprint };
  const envelope = await enrolOf(device, { mac: enrolMac(pairing) });
  await post(envelope);
  await enrolments.approve(pairingLink('https://b.example', pairing), TERMINAL, BY);
  const { body } = await post(envelope);
  const expected = bundleMac(PAIRING_CODE, fromBase64url(body['bundle']!));
  expect(body['mac']).toBe(Buffer.from(expected).toString('base64url'));
});

test('a link with another code approves nothing', async () => {
  const device = makeSigner();
  const { thumbprint } = device.key;
  const envelope = await enrolOf(device, { mac: enrolMac({ code: PAIRING_CODE, thumbprint }) });
  await post(envelope);
  const forged = pairingLink('https://b.example', { code: new Uint8Array(16), thumbprint });
  await expect(enrolments.approve(forged, TERMINAL, BY)).rejects.toMatchObject({ exit: 1 });
  // Nor does one for a device that sent no MAC.
  const plain = makeSigner();
  await post(await enrolOf(plain));
  const link = pairingLink('https://b.example', {
    code: PAIRING_CODE,
    thumbprint: plain.key.thumbprint,
  });
  await expect(enrolments.approve(link, TERMINAL, BY)).rejects.toMatchObject({ exit: 1 });
  expect((await post(envelope)).status).toBe(202);
});

test('what the device says of itself is only a proposal', async () => {
  const device = makeSigner();
  const envelope = await enrolOf(device, { role: 'agent', device: 'boss' });
  await post(envelope);
  const said = { role: 'device', device: 'glasses-9', presence: 1, days: 30 } as const;
  await enrolments.approve(codeOf(device), said, BY);
  expect(ownStatement(await post(envelope))).toMatchObject({
    ...{ role: 'device', device: 'glasses-9', presenceMax: 1, exp: NOW_S + 30 * 86_400 },
  });
});

test('without the root here, the root signs what was approved, and only that', async () => {
  enrolments = await desk({ rootSigner: undefined });
  const device = makeSigner();
  const envelope = await enrolOf(device);
  await post(envelope);
  expect((await enrolments.approve(codeOf(device), TERMINAL, BY)).state).toBe('unsigned');
  expect((await post(envelope)).body).toMatchObject({ state: 'unsigned' });
  expect(await enrolments.list()).toMatchObject([{ state: 'unsigned', said: TERMINAL }]);

  const named = { device: 'kiosk-9', terminal: 'till-9', presenceMax: 1 } as const;
  const fields = { ...statementOf('kiosk'), ...named };
  const { category: _category, ...statement } = {
    ...{ ...fields, key: device.key.public, names: TERMINAL.names },
  };
  const signed = (changes: object, root = CAST.root) =>
    signStatement({ ...statement, ...changes }, REALM, root);
  const approve = (bytes: Uint8Array) => enrolments.approve(codeOf(device), {}, BY, bytes);
  await expect(approve(await signed({ payee: 'bazaar' }))).rejects.toMatchObject({
    reason: 'role_forbidden',
  });
  await expect(approve(await signed({ key: makeSigner().key.public }))).rejects.toMatchObject({
    reason: 'role_forbidden',
  });
  await expect(approve(await signed({}, CAST.wallet))).rejects.toMatchObject({
    reason: 'bad_signature',
  });
  expect((await approve(await signed({}))).state).toBe('enrolled');
  expect(ownStatement(await post(envelope)).device).toBe('kiosk-9');
});

test('a refused device is told so, signed by the bridge, and may ask again later', async () => {
  const device = makeSigner();
  const envelope = await enrolOf(device);
  await post(envelope);
  await enrolments.refuse(codeOf(device), BY);
  const { status, body } = await post(envelope);
  expect(status).toBe(403);
  const { value } = open(
    receiptKind,
    fromBase64url(body['receipt']!),
    REALM,
    () => CAST.bridge.key,
  );
  expect(value).toMatchObject({ outcome: 'refused', reason: 125 });
  await stage.time.leap(ENROLMENT_MS + 1);
  expect((await post(envelope)).status).toBe(202);
});

test('a code that nobody shows, and one that is over, approve nothing', async () => {
  const device = makeSigner();
  await post(await enrolOf(device));
  for (const named of ['00000-00000', 'no code']) {
    await expect(enrolments.approve(named, TERMINAL, BY)).rejects.toMatchObject({ exit: 1 });
  }
  await stage.time.leap(ENROLMENT_MS);
  await expect(enrolments.approve(codeOf(device), TERMINAL, BY)).rejects.toMatchObject({ exit: 1 });
});

test('the name of a device that counts is refused, and free once that is ended', async () => {
  const device = makeSigner();
  const envelope = await enrolOf(device, { device: 'kiosk' });
  await post(envelope);
  await expect(enrolments.approve(codeOf(device), TERMINAL, BY)).rejects.toMatchObject({
    reason: 'suspended',
    message: expect.stringContaining('saytap device revoke kiosk') as string,
  });
  await stage.store.setIdentityStatus(CAST.kiosk.key.name, 'suspended', stage.clock.nowMs());
  await enrolments.approve(codeOf(device), TERMINAL, BY);
  expect(ownStatement(await post(envelope)).device).toBe('kiosk');
  // The old key is over for good, also when its statement lies in a folder and is read again.
  const kiosk = await signStatement(statementOf('kiosk'), REALM, CAST.root);
  await createIdentities(stage.store, REALM, CAST.root.key, stage.clock).enrol(kiosk);
  expect((await stage.store.identityOfDevice('kiosk'))?.name).toBe(device.key.name);
  expect((await stage.store.identity(CAST.kiosk.key.name))?.status).toBe('revoked');
  const { status, body } = await post(await enrolOf(CAST.kiosk, { device: 'kiosk' }));
  expect([status, body['reason']]).toEqual([403, 'revoked']);
});

test('no bridge enrols here, whoever says so', async () => {
  const device = makeSigner();
  expect(await post(await enrolOf(device, { role: 'bridge' }))).toMatchObject({
    ...{ status: 400, body: { error: 'role_forbidden' } },
  });
  await post(await enrolOf(device));
  await expect(enrolments.approve(codeOf(device), { role: 'bridge' }, BY)).rejects.toMatchObject({
    reason: 'role_forbidden',
  });
});

test('garbage, another realm’s Enrol and one that its key did not sign are refused', async () => {
  const [device, other] = [makeSigner(), makeSigner()];
  const forged = await seal(
    enrolKind,
    { iat: NOW_S, key: device.key.public, role: 'device', device: 'x' },
    REALM,
    other,
  );
  const foreign = await seal(
    enrolKind,
    { iat: NOW_S, key: device.key.public, role: 'device', device: 'x' },
    { ...REALM, ledger: 'elsewhere' },
    device,
  );
  for (const body of [new Uint8Array(), new Uint8Array(5000), forged, foreign]) {
    expect((await post(body)).status).toBe(400);
  }
  expect(await enrolments.list()).toEqual([]);
});

test('from one address only so many wait, and only so often is anything asked', async () => {
  const told = await Promise.all(
    Array.from({ length: 3 }, async () => post(await enrolOf(makeSigner()), undefined, 'a')),
  );
  expect(told.map(({ status }) => status).sort()).toEqual([202, 202, 429]);
  for (let i = 2; i < ENROLMENTS_PER_ADDRESS_MAX; i++) {
    await stage.time.leap(1_000);
    expect((await post(await enrolOf(makeSigner()), undefined, 'a')).status).toBe(202);
  }
  await stage.time.leap(1_000);
  expect(await post(await enrolOf(makeSigner()), undefined, 'a')).toEqual({
    ...{ status: 429, body: { error: 'rate_limited' } },
  });
  expect((await post(await enrolOf(makeSigner()), undefined, 'b')).status).toBe(202);
});

test('who waits survives a restart of the bridge', async () => {
  const device = makeSigner();
  const envelope = await enrolOf(device);
  await post(envelope);
  enrolments = await desk({});
  await enrolments.approve(codeOf(device), TERMINAL, BY);
  expect((await post(envelope)).status).toBe(200);
});

test('a key that counts gets a certificate, and its mandates, at any time', async () => {
  const tls = makeSigner();
  const mine = await seal(mandateKind, mandateOf(), REALM, CAST.wallet);
  const { id } = open(mandateKind, mine, REALM, () => CAST.wallet.key);
  const other = await seal(
    mandateKind,
    mandateOf({ cnf: CAST.guest.key.name }),
    REALM,
    CAST.wallet,
  );
  const put = (envelope: Uint8Array, name: string, cnf: string) =>
    stage.store.putMandate(
      ...([name, mandateOf({ cnf }), CAST.wallet.key.name, 'p', ['ledger']] as const),
      ...([envelope, stage.clock.nowMs()] as const),
    );
  await put(mine, id, CAST.glasses.key.name);
  await put(other, '0'.repeat(32), CAST.guest.key.name);
  const contact = { role: 'device' as const, device: 'glasses', tls: tls.key.public };
  const told = await post(await enrolOf(CAST.glasses, contact));
  const { certificate, mandates } = bundleOf(told);
  expect(certificate).toBe(`certificate of glasses, ${tls.key.name}, 365 days`);
  expect(mandates).toEqual([Buffer.from(mine).toString('base64url')]);
});

test('a statement is renewed when two thirds of its life are over, and not before', async () => {
  const contact = () => enrolOf(CAST.glasses, { role: 'device', device: 'glasses' });
  const first = ownStatement(await post(await contact()));
  await stage.time.leap(240 * 86_400_000);
  expect(ownStatement(await post(await contact()))).toEqual(first);
  await stage.time.leap(5 * 86_400_000);
  const renewed = ownStatement(await post(await contact()));
  expect(renewed).toEqual({ ...first, exp: renewed.exp });
  expect(renewed.exp).toBe(Math.floor(stage.clock.nowMs() / 1000) + 365 * 86_400);
});

test('one that ended in a drawer is a person’s to renew', async () => {
  await stage.time.leap(400 * 86_400_000);
  const envelope = await enrolOf(CAST.glasses, { role: 'device', device: 'glasses' });
  expect((await post(envelope)).status).toBe(202);
  await enrolments.approve(codeOf(CAST.glasses), { presence: 2 }, BY);
  expect(ownStatement(await post(envelope)).device).toBe('glasses');
});

// ── succession ───────────────────────────────────────────────────────────────────────────────

async function successionOf(old: Signer, next: Signer, changes: Partial<Enrol> = {}) {
  const value = {
    ...{ iat: NOW_S, key: next.key.public, role: 'device' as const, device: 'glasses' },
    ...changes,
  };
  const endorsement = await seal(enrolKind, value, REALM, old);
  return seal(enrolKind, { ...value, endorsement }, REALM, next);
}

test('a key that its predecessor named takes its place, and both verify for a while', async () => {
  const next = makeSigner();
  const envelope = await successionOf(CAST.glasses, next);
  const old = statementOf('glasses');
  const { nbf: _nbf, exp: _exp, key: _key, ...same } = old;
  expect(ownStatement(await post(envelope))).toMatchObject({ ...same, key: next.key.public });

  const kid = (signer: Signer) => toHex(signer.key.kid);
  const { store } = stage;
  expect((await store.identityOfDevice('glasses'))?.name).toBe(next.key.name);
  expect(await store.keyOfDevice('glasses', kid(CAST.glasses))).toMatchObject({
    ...{ name: CAST.glasses.key.name, status: 'active', place: 'former' },
  });
  expect((await store.keyOfDevice('glasses', kid(next)))?.name).toBe(next.key.name);
  // Once more is the same again.
  expect((await post(envelope)).status).toBe(200);

  const farewell = await enrolOf(CAST.glasses, { role: 'device', device: 'glasses' });
  expect(await post(farewell, '/v1/retire')).toMatchObject({ body: { state: 'retired' } });
  expect(await store.keyOfDevice('glasses', kid(CAST.glasses))).toBeUndefined();
  expect((await post(farewell, '/v1/retire')).status).toBe(200);
  expect((await post(farewell)).body['reason']).toBe('revoked');
});

test('a key without a successor does not retire, or its device could not speak', async () => {
  const farewell = await enrolOf(CAST.glasses, { role: 'device', device: 'glasses' });
  expect(await post(farewell, '/v1/retire')).toMatchObject({ body: { error: 'role_forbidden' } });
  expect((await post(farewell)).status).toBe(200);
});

test('a second successor of one key waits for a person', async () => {
  await post(await successionOf(CAST.glasses, makeSigner()));
  const thief = await successionOf(CAST.glasses, makeSigner());
  expect((await post(thief)).status).toBe(202);
});

test.each(['suspended', 'revoked'] as const)('a %s key names nobody', async (status) => {
  await stage.store.setIdentityStatus(CAST.glasses.key.name, status, stage.clock.nowMs());
  const next = makeSigner();
  const envelope = await successionOf(CAST.glasses, next);
  expect((await post(envelope)).status).toBe(202);
  // A restored disk: the operator's approval is enough, the old key is over.
  await enrolments.approve(codeOf(next), { presence: 2 }, BY);
  expect((await stage.store.identityOfDevice('glasses'))?.name).toBe(next.key.name);
  expect((await stage.store.identity(CAST.glasses.key.name))?.status).toBe('revoked');
});

test('an endorsement for another key, role or name is refused', async () => {
  const [next, other] = [makeSigner(), makeSigner()];
  const value = { iat: NOW_S, key: next.key.public, role: 'device', device: 'glasses' } as const;
  for (const said of [
    { ...value, key: other.key.public },
    { ...value, role: 'agent' as const },
    { ...value, device: 'guest' },
  ]) {
    const endorsement = await seal(enrolKind, said, REALM, CAST.glasses);
    const envelope = await seal(enrolKind, { ...value, endorsement }, REALM, next);
    expect(await post(envelope)).toMatchObject({ body: { error: 'bad_signature' } });
  }
  const name = { ...value, device: 'guest' };
  const endorsement = await seal(enrolKind, name, REALM, CAST.glasses);
  const envelope = await seal(enrolKind, { ...name, endorsement }, REALM, next);
  expect(await post(envelope)).toMatchObject({ body: { error: 'bad_signature' } });
});

test('to stop a device stops both of its keys', async () => {
  const next = makeSigner();
  await post(await successionOf(CAST.glasses, next));
  await stage.store.setIdentityStatus(next.key.name, 'revoked', stage.clock.nowMs());
  expect((await stage.store.identity(CAST.glasses.key.name))?.status).toBe('revoked');
});

test('to stop a key that was retired stops the one that came after it', async () => {
  const { store, clock } = stage;
  const [next, last] = [makeSigner(), makeSigner()];
  await post(await successionOf(CAST.glasses, next));
  await post(await enrolOf(CAST.glasses, { role: 'device', device: 'glasses' }), '/v1/retire');
  await post(await successionOf(next, last));
  // What a page showed an hour ago.
  await store.setIdentityStatus(CAST.glasses.key.name, 'revoked', clock.nowMs());
  expect((await store.identity(next.key.name))?.status).toBe('revoked');
  expect((await store.identity(last.key.name))?.status).toBe('revoked');
});

test('to stop a key again leaves alone whoever was given its name since', async () => {
  const { store, clock } = stage;
  await store.setIdentityStatus(CAST.glasses.key.name, 'revoked', clock.nowMs());
  const other = makeSigner();
  await post(await enrolOf(other, { role: 'device', device: 'glasses' }));
  await enrolments.approve(codeOf(other), {}, BY);
  await store.setIdentityStatus(CAST.glasses.key.name, 'revoked', clock.nowMs());
  expect((await store.identity(other.key.name))?.status).toBe('active');
});

test('a payer’s keys tell which of them was succeeded', async () => {
  await post(await successionOf(CAST.glasses, makeSigner()));
  const { statement } = (await stage.store.identity(CAST.glasses.key.name))!;
  const keys = await stage.store.keysOf(toHex(statement.payer!));
  expect(keys.find(({ name }) => name === CAST.glasses.key.name)?.place).toBe('former');
});

test.each<[string, Partial<Enrol>]>([
  ['role', { role: 'wallet' }],
  ['name', { device: 'till-of-another' }],
])('a key that waits cannot propose another %s behind the back of a person', async (_, changes) => {
  const device = makeSigner();
  await post(await enrolOf(device, { role: 'device' }));
  const swapped = await post(await enrolOf(device, { role: 'device', ...changes }));
  expect(swapped).toEqual({ status: 400, body: { error: 'role_forbidden' } });
  await enrolments.approve(codeOf(device), { payer: '07'.repeat(16) }, BY);
  expect((await stage.store.identity(device.key.name))?.statement).toMatchObject({
    ...{ role: 'device', device: 'kiosk-9' },
  });
});

test('the successor of a device that was stopped meanwhile waits for a person again', async () => {
  enrolments = await desk({ rootSigner: undefined });
  const next = makeSigner();
  expect(await post(await successionOf(CAST.glasses, next))).toMatchObject({
    body: { state: 'unsigned' },
  });
  await stage.store.setIdentityStatus(CAST.glasses.key.name, 'revoked', stage.clock.nowMs());
  expect(await enrolments.list()).toEqual([]);
  await expect(enrolments.approve(codeOf(next), {}, BY)).rejects.toThrow('no device waits');
  expect((await post(await successionOf(CAST.glasses, next))).body['state']).toBe('waiting');
});

test('asking, approving, refusing and retiring are in the evidence', async () => {
  const device = makeSigner();
  const envelope = await enrolOf(device);
  await post(envelope, undefined, '10.9.9.9');
  await enrolments.approve(codeOf(device), TERMINAL, BY);
  const rows = await stage.store.evidence(device.key.name);
  expect(rows.map(({ kind }) => kind)).toEqual(['note', 'key']);
  expect(JSON.parse(new TextDecoder().decode(rows[0]!.body))).toEqual({
    ...{ enrolment: 'approved', said: TERMINAL, by: 'mei', why: 'new till', from: '10.9.9.9' },
    ...{ isPaired: false, enrol: toHex(envelope) },
  });
  expect(fromHex(toHex(envelope))).toEqual(envelope);
});

test('authority passed on outlives the old key’s statement, not its revocation', async () => {
  const next = makeSigner();
  await post(await successionOf(CAST.glasses, next));
  const { store } = stage;
  const nowMs = stage.clock.nowMs();
  const put = async (id: string, issuer: Signer, changes: object) => {
    const value = mandateOf({ exp: NOW_S + 900 * 86_400, ...changes });
    const envelope = await seal(mandateKind, value, REALM, issuer);
    await store.putMandate(id, value, issuer.key.name, 'p', ['ledger'], envelope, nowMs);
  };
  const [parent, child] = ['a'.repeat(32), 'b'.repeat(32)];
  await put(parent, CAST.wallet, {});
  await put(child, CAST.glasses, { cnf: next.key.name, parent });
  const laterMs = nowMs + 400 * 86_400_000;
  expect((await store.mandate(child, laterMs))?.issuerFault).toBeUndefined();
  expect((await store.mandate(parent, laterMs))?.issuerFault, 'a wallet’s own').toBe('expired');
  await store.retire(CAST.glasses.key.name, nowMs);
  expect((await store.mandate(child, laterMs))?.issuerFault).toBeUndefined();
  await store.setIdentityStatus(CAST.glasses.key.name, 'revoked', nowMs);
  expect((await store.mandate(child, laterMs))?.issuerFault).toBe('revoked');
});

test('a device calls off with its new key what it asked for with the old one', async () => {
  const { store } = stage;
  await putMandate(store);
  const admission = await admissionOf({ counter: 1 });
  await admitTo(store, admission);
  const next = makeSigner();
  const asked = {
    ...{ id: 'c'.repeat(32), subject: admission.id, isUnsure: false },
    ...{ envelope: new Uint8Array(1), receipt: new Uint8Array(1), nowMs: stage.clock.nowMs() },
  };
  expect(await store.cancel({ ...asked, key: next.key.name })).toEqual({ pending: 'not_seen' });
  await post(await successionOf(CAST.glasses, next));
  expect(await store.cancel({ ...asked, key: next.key.name })).toMatchObject({
    ...{ isNews: true, run: { id: admission.id } },
  });
});

/** As many devices as one person may have, this one among them. */
async function fill(payer: Uint8Array, own?: Signer): Promise<void> {
  for (let i = 0; i < DEVICES_PER_PAYER_MAX; i++) {
    const { name, public: key } = (i === 0 && own ? own : makeSigner()).key;
    const value = { ...statementOf('glasses'), key, device: `mine-${i}`, payer };
    const envelope = await signStatement(value, REALM, CAST.root);
    await stage.store.putIdentity(name, value, envelope, stage.clock.nowMs());
  }
}

test('one person has so many devices and no more; one that is ended makes room', async () => {
  const payer = new Uint8Array(16).fill(0x0d);
  const [first, late] = [makeSigner(), makeSigner()];
  await fill(payer, first);
  await post(await enrolOf(late, { role: 'device', device: 'late' }));
  const approve = () => enrolments.approve(codeOf(late), { payer: toHex(payer) }, BY);
  await expect(approve()).rejects.toMatchObject({
    reason: 'rate_limited',
    message: expect.stringContaining('32 devices already: end one'),
  });
  expect(await enrolments.find(codeOf(late))).toMatchObject({ state: 'open' });
  await stage.store.setIdentityStatus(first.key.name, 'revoked', stage.clock.nowMs());
  expect((await approve()).state).toBe('enrolled');
});

test('of two that are approved at once for a person’s last place, one is enrolled', async () => {
  const payer = new Uint8Array(16).fill(0x0d);
  const first = makeSigner();
  await fill(payer, first);
  await stage.store.setIdentityStatus(first.key.name, 'revoked', stage.clock.nowMs());
  const two = [makeSigner(), makeSigner()];
  for (const [i, one] of two.entries()) {
    await post(await enrolOf(one, { role: 'device', device: `late-${i}` }));
  }
  const approved = await Promise.allSettled(
    two.map((one) => enrolments.approve(codeOf(one), { payer: toHex(payer) }, BY)),
  );
  expect(approved).toMatchObject([
    { value: { state: 'enrolled' } },
    { reason: { reason: 'rate_limited' } },
  ]);
});

test('a successor needs no room: it takes the place of one that is there', async () => {
  const [old, next] = [makeSigner(), makeSigner()];
  await fill(new Uint8Array(16).fill(0x0d), old);
  expect((await post(await successionOf(old, next, { device: 'mine-0' }))).status).toBe(200);
});

test('so many wait for the root and no more; what it has signed does not wait', async () => {
  enrolments = await desk({ rootSigner: undefined });
  const nowMs = stage.clock.nowMs();
  for (let i = 0; i < ENROLMENTS_UNSIGNED_MAX; i++) {
    const key = `${i}`.padStart(64, '0');
    const asked = { key, code: `CODE${i}`, envelope: new Uint8Array(1), address: '' };
    await stage.store.putEnrolment(asked, nowMs);
    const word = { state: 'approved', isSigned: false, said: '{}', pairing: undefined } as const;
    await stage.store.decideEnrolment(key, { ...word, note: new Uint8Array() }, nowMs);
  }
  const device = makeSigner();
  await post(await enrolOf(device));
  await expect(enrolments.approve(codeOf(device), TERMINAL, BY)).rejects.toMatchObject({
    reason: 'rate_limited',
    message: expect.stringContaining('256 devices wait for the root already'),
  });
  const { public: key } = device.key;
  const asked = { role: 'terminal', device: 'kiosk-9' } as const;
  const statement = statementFor({ public: key }, asked, TERMINAL, nowMs);
  const signed = await signStatement(statement, REALM, CAST.root);
  expect((await enrolments.approve(codeOf(device), TERMINAL, BY, signed)).state).toBe('enrolled');
});

test('of the successors that one key names while the root is away, one waits for it', async () => {
  enrolments = await desk({ rootSigner: undefined });
  const [next, another] = [makeSigner(), makeSigner()];
  const ask = async (signer: Signer) =>
    (await post(await successionOf(CAST.glasses, signer))).body['state'];
  expect(await ask(next)).toBe('unsigned');
  expect(await ask(another)).toBe('waiting');
  expect(await ask(next)).toBe('unsigned');
});

test('nor do more wait for it when the key names several at once', async () => {
  enrolments = await desk({ rootSigner: undefined });
  const named = Array.from({ length: 4 }, makeSigner);
  const envelopes = await Promise.all(named.map((one) => successionOf(CAST.glasses, one)));
  const told = await Promise.all(envelopes.map((envelope) => post(envelope)));
  expect(told.map(({ body }) => body['state'])).toEqual([
    ...['unsigned', 'waiting', 'waiting', 'waiting'],
  ]);
});
