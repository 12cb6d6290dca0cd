/**
 * Enrolment on the bridge: a new key asks, a person approves, the root signs, the device fetches.
 *
 * The same question does for everything that a device ever asks here: its Enrol, by HTTPS, until
 * the answer is final. A key that counts gets what it needs to pay, each time anew; so a device
 * whose certificate ended in a drawer gets another one, for its signing key is what authorises it.
 * What is enrolled is what the person says; what the device says about itself is a proposal.
 */
import type { CborValue } from '../src/cbor.ts';
import { toBase64url, toHex, utf8 } from '../src/bytes.ts';
import { type Realm, type Signer, kidOf, openSelfSigned, payloadOf } from '../src/cose.ts';
import { type Said, lifeOf, saidOf, statementFor } from '../src/approval.ts';
import { OperatorError, PaymentError, type Reason } from '../src/errors.ts';
import { type VerifyKey, loadKey } from '../src/keys.ts';
import { BUNDLE_MANDATES_MAX, BUNDLE_TERMINALS_MAX, CERTIFICATE_DAYS } from '../src/limits.ts';
import { type Enrol, enrol as enrolKind } from '../src/objects/enrol.ts';
import { type KeyStatement, type Role, keyStatement } from '../src/objects/key.ts';
import { open } from '../src/objects/kind.ts';
import {
  bundleMac,
  enrolMac,
  readPairing,
  readShortCode,
  sameMac,
  shortCode,
  spelled,
} from '../src/pairing.ts';
import type { Clock, HttpQuestion, HttpReply, Log } from '../src/platform.ts';
import { signStatement } from '../src/root.ts';
import { publicPem } from '../src/signer.ts';
import { toBody } from './hmac.ts';
import { type Identities, standing } from './identities.ts';
import { createNoise } from './noise.ts';
import type { Receipts } from './receipts.ts';
import { requireRoom } from './room.ts';
import type { Route } from './routes.ts';
import type { Enrolment, Identity, Store } from './store/port.ts';

/** Who decided, for the evidence. */
export type By = Readonly<{ by: string; why?: string | undefined }>;

/** An enrolment as people see it. */
export type EnrolmentView = Readonly<{
  /** As it stands on the device's screen, with its dash. */
  code: string;
  /** Hex of the thumbprint. */
  key: string;
  /** Of the public key, for whoever signs elsewhere. */
  enrol: string;
  /** What the device proposes. */
  role: Role;
  device: string;
  /** Whether the device can prove, by its pairing code, who stood before it. */
  hasPairing: boolean;
  address: string;
  askedMs: number;
  /** `unsigned`: approved, and the root has to sign; `enrolled`: the key counts now. */
  state: 'open' | 'unsigned' | 'refused' | 'enrolled';
  /** What was approved. */
  said: Said | undefined;
}>;

export type Enrolments = Readonly<{
  /** POST /v1/enrol and POST /v1/retire. */
  route: Route;
  /** Those that wait for a person or for the root, oldest first. */
  list: () => Promise<readonly EnrolmentView[]>;
  /**
   * The one that is meant: by its short code, or by the link of its QR (or what follows its #).
   * Throws OperatorError `failed` when there is none, and for a link whose code is not the key's.
   */
  find: (named: string) => Promise<EnrolmentView>;
  /**
   * Approves it. With the root on this machine, or with a `statement` that the root signed
   * elsewhere, the key counts when this resolves; else it is `unsigned`. Throws as `find` does,
   * `usage` for what its role must not or must have, and `suspended` for a name that is taken.
   */
  approve: (named: string, said: Said, by: By, statement?: Uint8Array) => Promise<EnrolmentView>;
  refuse: (named: string, by: By) => Promise<EnrolmentView>;
}>;

export type EnrolmentParts = Readonly<{
  realm: Realm;
  store: Store;
  identities: Identities;
  receipts: Receipts;
  root: VerifyKey;
  /** The root's private key, where a site keeps it on this machine. */
  rootSigner: Signer | undefined;
  /** Certifies a device's TLS key under its name; undefined where another authority does. */
  certify: ((device: string, key: VerifyKey, days: number) => string) | undefined;
  /** What devices trust the broker by, PEM. */
  ca: string | undefined;
  /** Statements of the bridge's own keys, and the policies. */
  bridgeStatements: readonly Uint8Array[];
  policies: readonly Uint8Array[];
  /** Where devices reach the broker. */
  mqttUrl: () => string;
  clock: Clock;
  log: Log;
}>;

export function createEnrolments(parts: EnrolmentParts): Enrolments {
  const { realm, store, identities, root, rootSigner, clock, log } = parts;
  const noise = createNoise(clock);
  let last: Promise<unknown> = Promise.resolve();

  /** One after the other, so that each counts what the one before it has added to a limit. */
  function inTurn<T>(decision: () => Promise<T>): Promise<T> {
    const turn = last.then(decision);
    last = turn.catch(() => {});
    return turn;
  }

  // ── what a device asks ─────────────────────────────────────────────────────────────────────

  async function route(question: HttpQuestion): Promise<HttpReply | undefined> {
    const isRetire = question.path === '/v1/retire';
    if (!isRetire && question.path !== '/v1/enrol') return undefined;
    if (question.method !== 'POST') return reply(405, { error: 'An Enrol is posted.' });
    const address = question.address ?? '';
    if (!noise.mayTell(address)) return reply(429, { error: 'rate_limited' });
    try {
      if (isRetire) return await retire(question.body);
      return await ask(question.body, address);
    } catch (error) {
      if (!(error instanceof PaymentError)) throw error;
      const { reason, message } = error;
      if (reason === 'unavailable') return reply(503, { error: reason });
      log('info', 'an enrolment was not taken', { reason, why: message });
      return reply(reason === 'rate_limited' ? 429 : 400, { error: reason });
    }
  }

  async function ask(envelope: Uint8Array, address: string): Promise<HttpReply> {
    const { id, key, value } = openEnrol(envelope, realm);
    const nowMs = clock.nowMs();
    const known = await store.identity(key.name);
    if (known) {
      const fault = known.place === 'retired' ? 'revoked' : standing(known, nowMs);
      // A statement that ended while the device lay in a drawer is a person's to renew.
      if (fault === undefined || fault === 'not_yet_valid') return granted(known, value, nowMs);
      if (fault !== 'expired') return refused(id, fault);
    }
    if (value.role === 'bridge') throw new PaymentError('role_forbidden', 'no bridge enrols here');

    const old = await endorserOf(value, nowMs);
    const isNamed = old && inTurn(() => succeed(old, key, value, envelope, address, nowMs));
    if (await isNamed) {
      return granted((await store.identity(key.name))!, value, nowMs);
    }
    const code = shortCode(key.thumbprint);
    const enrolment = await store.putEnrolment({ key: key.name, code, envelope, address }, nowMs);
    if (enrolment.state === 'refused') return refused(id, 'cancelled');
    const isSigned = enrolment.state === 'open';
    return reply(202, { state: isSigned ? 'waiting' : 'unsigned', code: spelled(code) });
  }

  /** Everything that a key which counts needs, with the MAC of whoever was told its code. */
  async function granted(own: Identity, asked: Enrol, nowMs: number): Promise<HttpReply> {
    const { statement } = await renewed(own, nowMs);
    const { device } = statement;
    const [first, terminals, mandates, enrolment] = await Promise.all([
      store.statementOf(own.name),
      store.terminalStatements(nowMs, BUNDLE_TERMINALS_MAX),
      store.mandatesFor(own.name, nowMs, BUNDLE_MANDATES_MAX),
      store.enrolment(own.name, nowMs),
    ]);
    const certificate =
      asked.tls && device !== undefined
        ? parts.certify?.(device, loadKey(asked.tls), CERTIFICATE_DAYS)
        : undefined;
    const text = (envelope: Uint8Array) => toBase64url(envelope);
    const bundle = utf8(
      JSON.stringify({
        ...realm,
        key: own.name,
        root: publicPem(root),
        statements: [first!, ...parts.bridgeStatements, ...terminals].map(text),
        policies: parts.policies.map(text),
        mandates: mandates.map(text),
        mqtt: parts.mqttUrl(),
        ...(certificate !== undefined && { certificate }),
        ...(parts.ca !== undefined && { ca: parts.ca }),
      }),
    );
    const pairing = enrolment?.pairing;
    return reply(200, {
      state: 'granted',
      bundle: text(bundle),
      ...(pairing && { mac: text(bundleMac(pairing, bundle)) }),
    });
  }

  /** Signed by the bridge: nobody else can make a device believe that it is over. */
  async function refused(id: string, reason: Reason): Promise<HttpReply> {
    const receipt = await parts.receipts.refused(id, reason);
    return reply(403, { state: 'refused', reason, receipt: toBase64url(receipt) });
  }

  /** A key that was succeeded says that it has nothing more to say. */
  async function retire(envelope: Uint8Array): Promise<HttpReply> {
    const { key } = openEnrol(envelope, realm);
    const known = await store.identity(key.name);
    if (!known) throw new PaymentError('bad_signature', 'no known key');
    if ((await store.successorOf(key.name)) === undefined) {
      throw new PaymentError('role_forbidden', 'a key ends so when it has a successor');
    }
    await store.retire(key.name, clock.nowMs());
    return reply(200, { state: 'retired' });
  }

  // ── one key after the other ────────────────────────────────────────────────────────────────

  /** The key that names this one in its place, if it still may. */
  async function endorserOf(value: Enrol, nowMs: number): Promise<Identity | undefined> {
    if (!value.endorsement) return undefined;
    const kid = toHex(kidOf(value.endorsement));
    const old = await store.identityOfKid(kid);
    if (!old) return undefined;
    const { value: named } = open(enrolKind, value.endorsement, realm, () => loadKey(old.key));
    const isSame =
      loadKey(named.key).name === loadKey(value.key).name &&
      named.role === value.role &&
      named.device === value.device &&
      old.statement.role === value.role &&
      old.statement.device === value.device;
    if (!isSame) throw new PaymentError('bad_signature', 'the old key named another one');
    return old.place === undefined && standing(old, nowMs) === undefined ? old : undefined;
  }

  /** Puts the new key in the place of the old one; false when the root has to sign elsewhere. */
  async function succeed(
    old: Identity,
    key: VerifyKey,
    value: Enrol,
    envelope: Uint8Array,
    address: string,
    nowMs: number,
  ): Promise<boolean> {
    const said = saidOf(old.statement);
    const by = { by: 'bridge', why: `named by key ${old.name}` };
    if (!rootSigner) {
      if (await hasNamedAnother(old, key.name, nowMs)) return false; // A person decides then.
      const asked = { key: key.name, code: shortCode(key.thumbprint), envelope, address };
      const { state } = await store.putEnrolment(asked, nowMs);
      if (state === 'open') await decide(key.name, envelope, 'approved', said, by);
      return false;
    }
    const statement = statementFor(key, value, said, nowMs);
    await identities.enrol(await signStatement(statement, realm, rootSigner), old.name);
    await decide(key.name, envelope, 'approved', said, by, { isSigned: true });
    log('info', 'a device has a new key', { device: value.device });
    return true;
  }

  /** Whether one that this key named before waits for the root: it names one, and not a heap. */
  async function hasNamedAnother(old: Identity, key: string, nowMs: number): Promise<boolean> {
    const kid = old.name.slice(0, 16);
    return (await store.enrolments(nowMs)).some((one) => {
      if (one.state !== 'approved' || one.key === key) return false;
      const { endorsement } = enrolKind.decode(payloadOf(one.envelope));
      return endorsement !== undefined && toHex(kidOf(endorsement)) === kid;
    });
  }

  /** Once two thirds of its life are over, the root states a key in good standing anew. */
  async function renewed(own: Identity, nowMs: number): Promise<Identity> {
    const { nbf, exp } = own.statement;
    if (!rootSigner || nowMs / 1000 < nbf + ((exp - nbf) * 2) / 3) return own;
    const next = { ...own.statement, exp: Math.floor(nowMs / 1000) + lifeOf(own.statement) };
    await identities.enrol(await signStatement(next, realm, rootSigner));
    log('info', 'a statement was renewed', { key: own.name });
    return { ...own, statement: next };
  }

  // ── what a person says ─────────────────────────────────────────────────────────────────────

  async function find(named: string): Promise<Enrolment & Readonly<{ proof?: Uint8Array }>> {
    const nowMs = clock.nowMs();
    const pairing = readPairing(named);
    const code = pairing ? undefined : readShortCode(named);
    if (!pairing && code === undefined) {
      throw new OperatorError(
        'failed',
        'this is no code: it has 10 letters and digits, as 7K3QD-9XMPA on the device’s screen',
      );
    }
    const enrolment = await store.enrolment(pairing ? toHex(pairing.thumbprint) : code!, nowMs);
    if (!enrolment) {
      throw new OperatorError(
        'failed',
        'no device waits with this code: compare it with the screen, or begin again on the device',
      );
    }
    if (!pairing) return enrolment;
    const { mac } = enrolKind.decode(payloadOf(enrolment.envelope));
    if (!mac || !sameMac(mac, enrolMac(pairing))) {
      throw new OperatorError(
        'failed',
        'the code of this link is not the device’s: scan the device’s own screen again',
      );
    }
    return { ...enrolment, proof: pairing.code };
  }

  async function viewOf(enrolment: Enrolment): Promise<EnrolmentView> {
    const { role, device, mac } = enrolKind.decode(payloadOf(enrolment.envelope));
    const { key, code, address, askedMs, state } = enrolment;
    const known = await store.identity(key);
    const isEnrolled = known !== undefined && standing(known, clock.nowMs()) === undefined;
    return {
      ...{ code: spelled(code), key, role, device, address, askedMs },
      enrol: toHex(enrolment.envelope),
      hasPairing: mac !== undefined,
      state: isEnrolled ? 'enrolled' : state === 'approved' ? 'unsigned' : state,
      said: enrolment.said === undefined ? undefined : (JSON.parse(enrolment.said) as Said),
    };
  }

  async function approve(
    named: string,
    given: Said,
    by: By,
    signed?: Uint8Array,
  ): Promise<EnrolmentView> {
    const nowMs = clock.nowMs();
    const enrolment = await find(named);
    const { key, envelope } = enrolment;
    if ((await viewOf(enrolment)).state === 'enrolled') {
      throw new OperatorError('failed', 'this device is enrolled already: nothing was changed');
    }
    const asked = enrolKind.decode(payloadOf(envelope));
    const before = enrolment.said === undefined ? {} : (JSON.parse(enrolment.said) as Said);
    const said = { ...before, ...given };
    const statement = statementFor(loadKey(asked.key), asked, said, nowMs);
    const old = await endorserOf(asked, nowMs);
    await requireFree(statement, key, old?.name, nowMs);
    await requireRoom(store, statement, [key, old?.name], nowMs);

    if (signed) requireSame(signed, statement);
    const stated = signed ?? (rootSigner && (await signStatement(statement, realm, rootSigner)));
    await decide(key, envelope, 'approved', said, by, { ...enrolment, isSigned: !!stated });
    if (stated) {
      await identities.enrol(stated, old?.name);
      log('info', 'a key is enrolled', { key, role: statement.role, by: by.by });
    }
    return viewOf((await store.enrolment(key, nowMs))!);
  }

  async function refuse(named: string, by: By): Promise<EnrolmentView> {
    const { key, envelope } = await find(named);
    await decide(key, envelope, 'refused', undefined, by);
    return viewOf((await store.enrolment(key, clock.nowMs()))!);
  }

  /** What was asked and what was said about it become evidence together. */
  async function decide(
    key: string,
    envelope: Uint8Array,
    state: 'approved' | 'refused',
    said: Said | undefined,
    by: By,
    { proof, isSigned = false }: Readonly<{ proof?: Uint8Array; isSigned?: boolean }> = {},
  ): Promise<void> {
    const enrolment = await store.enrolment(key, clock.nowMs());
    const from = enrolment?.address;
    const note = { enrolment: state, said, ...by, from, isPaired: proof !== undefined };
    const body = { ...note, enrol: toHex(envelope) };
    const text = said && JSON.stringify(said);
    const kept = { said: text, pairing: proof, note: utf8(JSON.stringify(body)) };
    const word = { state, isSigned, ...kept };
    await store.decideEnrolment(key, word, clock.nowMs());
  }

  /** Refuses a name that an active key has, in words; the store would refuse it too. */
  async function requireFree(
    { device }: KeyStatement,
    key: string,
    predecessor: string | undefined,
    nowMs: number,
  ): Promise<void> {
    const holder = device === undefined ? undefined : await store.identityOfDevice(device);
    if (!holder || holder.name === key || holder.name === predecessor) return;
    if (standing(holder, nowMs) !== undefined) return;
    throw new PaymentError(
      'suspended',
      `another key has the name ${device} and counts: choose another name, or first end that ` +
        `device (saytap device revoke ${device})`,
    );
  }

  /** A statement that was signed elsewhere says what was approved, and nothing else. */
  function requireSame(envelope: Uint8Array, expected: KeyStatement): void {
    const { value } = open(keyStatement, envelope, realm, () => root);
    const fixed = ({ nbf: _nbf, exp: _exp, ...rest }: KeyStatement) =>
      toHex(keyStatement.encode({ ...rest, nbf: 0, exp: 1 }));
    if (fixed(value) !== fixed(expected)) {
      throw new PaymentError('role_forbidden', 'the root has signed something else than was said');
    }
  }

  return {
    route,
    list: async () => Promise.all((await store.enrolments(clock.nowMs())).map(viewOf)),
    find: async (named) => viewOf(await find(named)),
    approve: (...asked) => inTurn(() => approve(...asked)),
    refuse,
  };
}

/** Enrol is the one kind that is verified under the key inside it (PROTOCOL.md 1.6). */
function openEnrol(envelope: Uint8Array, realm: Realm) {
  const keyIn = (payload: CborValue) => loadKey(enrolKind.decode(payload).key);
  const { payload, ...proof } = openSelfSigned(envelope, realm, enrolKind.name, keyIn);
  return { ...proof, value: enrolKind.decode(payload) };
}

function reply(status: number, body: object): HttpReply {
  return { status, body: toBody(body) };
}
