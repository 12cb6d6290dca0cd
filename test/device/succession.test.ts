// Method: a device of whole lives, on a real disk and a real outbox, beside a bridge that keeps its
// promises of PROTOCOL.md 3.8.2. A life ends at every write and every question, before or after it;
// whatever happens, the key that the device starts with is one that the bridge hears.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { deviceConfig } from '../../device/config.ts';
import { openKeyStore } from '../../device/keys/choice.ts';
import type { DeviceLink } from '../../device/link.ts';
import { type Outbox, createOutbox } from '../../device/outbox.ts';
import {
  type Progress,
  createSuccession,
  settleSuccession,
  wantSuccession,
} from '../../device/succession.ts';
import type { Time } from '../../device/time.ts';
import { toBase64url, toHex, utf8 } from '../../src/bytes.ts';
import { parseConfig } from '../../src/config.ts';
import { type Signer, identify, kidOf, payloadOf } from '../../src/cose.ts';
import { EXITS } from '../../src/errors.ts';
import { openKeyFile } from '../../src/keyfile.ts';
import { loadKey } from '../../src/keys.ts';
import { loadTokens } from '../../src/node/pkcs11.ts';
import { clock, files, random } from '../../src/node/platform.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import { enrol as enrolKind } from '../../src/objects/enrol.ts';
import { type KeyStatement, keyStatement } from '../../src/objects/key.ts';
import { seal } from '../../src/objects/kind.ts';
import { mandate as mandateKind } from '../../src/objects/mandate.ts';
import { policy as policyKind } from '../../src/objects/policy.ts';
import { receipt as receiptKind } from '../../src/objects/receipt.ts';
import { request as requestKind } from '../../src/objects/request.ts';
import { type Files, type Http, HttpFailure } from '../../src/platform.ts';
import { generatePem, nodeSigner, publicPem, readPrivatePem } from '../../src/signer.ts';
import { mandateOf, requestOf } from '../broker/stage.ts';
import { PIN, build, createSoftHsm, missingFor } from './keys/tokens.ts';

const REALM = { environment: 'sim', ledger: 'demo' } as const;
const DAY_S = 86_400;
const makeSigner = (): Signer => nodeSigner(readPrivatePem(generatePem('ES256')));
const [root, bridgeKey, wallet] = [makeSigner(), makeSigner(), makeSigner()];
const NOW_S = Math.floor(clock.nowMs() / 1000);

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'saytap-succeed-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
});
const at = (path: string) => resolve(folder, path);

type Profile = 'glasses' | 'kiosk';

function configOf(profile: Profile, keys = '{ store: file }') {
  const yaml = `
environment: sim
ledger: demo
device: mine
profile: ${profile}
folder: mine
keys: ${keys}
enrol: { url: "https://bridge.example:8443" }
`;
  return parseConfig(deviceConfig, yaml, 'mine.yaml');
}

type Config = ReturnType<typeof configOf>;

/** What the bridge knows: who has the name, who had it, who is over, and the mandates it took. */
function createBridge(profile: Profile) {
  const state = {
    holder: '',
    former: '',
    retired: [] as string[],
    mandates: new Map<string, Uint8Array>(),
    answer: undefined as object | undefined,
    /** How old a statement is when it is signed, seconds. */
    ageS: 60,
    asked: 0,
    /** Whether it answers no question under a new key. */
    isDeaf: false,
  };
  async function stateKey(of: Partial<KeyStatement> & Pick<KeyStatement, 'key' | 'role'>) {
    const nbf = NOW_S - state.ageS;
    const value = { nbf, exp: nbf + 365 * DAY_S, presenceMax: 0 as const, ...of };
    return toBase64url(await seal(keyStatement, value, REALM, root));
  }
  const ownOf = (key: KeyStatement['key']) =>
    profile === 'glasses'
      ? stateKey({ key, role: 'device', device: 'mine', presenceMax: 2 })
      : stateKey({
          ...{ key, role: 'terminal', device: 'mine', payee: 'cafe', terminal: 'till' },
          names: [['en', 'Café']],
        });

  const http: Http = async ({ url, body }) => {
    const reply = (status: number, told: object) => ({ status, body: utf8(JSON.stringify(told)) });
    const value = enrolKind.decode(payloadOf(body));
    const key = loadKey(value.key);
    if (url.endsWith('/v1/retire')) {
      if (state.former !== key.name && !state.retired.includes(key.name)) {
        return reply(400, { error: 'role_forbidden' });
      }
      if (!state.retired.includes(key.name)) state.retired.push(key.name);
      state.former = '';
      return reply(200, { state: 'retired' });
    }
    state.asked++;
    if (state.answer) return reply(202, state.answer);
    if (state.holder !== '' && key.name !== state.holder && key.name !== state.former) {
      const named = value.endorsement && enrolKind.decode(payloadOf(value.endorsement));
      const isNamed = named && loadKey(named.key).name === key.name && named.device === 'mine';
      const kid = value.endorsement && toHex(kidOf(value.endorsement));
      if (!isNamed || kid !== state.holder.slice(0, 16)) return reply(202, { state: 'waiting' });
      [state.former, state.holder] = [state.holder, key.name];
    }
    const policy = {
      ...{ iat: NOW_S, version: 1, scope: { kind: 'platform' } as const },
      ladders: [{ currency: 'CNY', bands: [{ ceiling: 20_00n, level: 1 as const }] }],
    };
    const mandates = [...state.mandates.values()].filter(
      (one) => mandateKind.decode(payloadOf(one)).cnf === key.name,
    );
    const bundle = {
      ...{ ...REALM, key: key.name, root: publicPem(root.key) },
      statements: [
        await ownOf(value.key),
        await stateKey({ key: bridgeKey.key.public, role: 'bridge' }),
      ],
      policies: [toBase64url(await seal(policyKind, policy, REALM, root))],
      mandates: mandates.map(toBase64url),
      mqtt: 'mqtt://broker.example:1883',
    };
    const text = toBase64url(utf8(JSON.stringify(bundle)));
    return reply(200, { state: 'granted', bundle: text });
  };
  return { state, http, ownOf };
}

type Bridge = ReturnType<typeof createBridge>;

const ports = { files, random, loadTokens };

/** The device as it is after its enrolment, with a mandate of the wallet. */
async function enrolled(config: Config, bridge: Bridge, ageS = 60) {
  for (const name of ['mine', 'mine/statements', 'mine/mandates']) files.folder(at(name));
  openKeyFile(files, at('mine/tls.key.pem'), 'ES256');
  files.replace(at('mine/root.pub.pem'), utf8(publicPem(root.key)), 0o644);
  const keys = openKeyStore(config, at, ports);
  await keys.prepare();
  await keys.promote();
  const { key } = keys.current()!;
  bridge.state.holder = key.name;
  bridge.state.ageS = ageS;
  const own = Buffer.from(await bridge.ownOf(key.public), 'base64url');
  bridge.state.ageS = 60;
  files.replace(at(`mine/statements/${key.name.slice(0, 16)}.key`), own, 0o644);
  await grant(bridge, { cnf: key.name });
  return { key, statement: keyStatement.decode(payloadOf(own)) };
}

async function grant(bridge: Bridge, changes: Parameters<typeof mandateOf>[0], signer = wallet) {
  const value = mandateOf({ nbf: NOW_S - 60, exp: NOW_S + DAY_S, ...changes });
  const envelope = await seal(mandateKind, value, REALM, signer);
  const { id } = identify(envelope, REALM, 'mandate');
  bridge.state.mandates.set(id, envelope);
  files.replace(at(`mine/mandates/${id}.mandate`), envelope, 0o644);
  return id;
}

class Killed extends Error {}

/** One life of the program: it ends when all is done, or by the `cut`th thing that it does. */
async function live(
  config: Config,
  bridge: Bridge,
  cut: number,
  when: 'before' | 'after',
  nowS = NOW_S,
): Promise<Progress> {
  let deeds = 0;
  let isDead = false;
  /** Nothing that is done after its death counts, whoever caught the error. */
  function deed<T>(run: () => T): T {
    deeds++;
    if (isDead || (deeds === cut && when === 'before')) {
      isDead = true;
      throw new Killed('killed');
    }
    const result = run();
    if (deeds !== cut) return result;
    isDead = true;
    throw new Killed('killed');
  }
  const disk: Files = {
    ...files,
    replace: (...all) => deed(() => files.replace(...all)),
    erase: (...all) => deed(() => files.erase(...all)),
    create: (...all) => deed(() => files.create(...all)),
  };
  const http: Http = async (question) => {
    if (isDead || (deeds + 1 === cut && when === 'before')) deed(() => undefined);
    const answer = await bridge.http(question);
    deed(() => undefined);
    return answer;
  };
  const database = openDatabase(at('mine/outbox.db'));
  try {
    const outbox = createOutbox(database);
    const parts = { config, at, files: disk, http, clock, log: () => {} };
    const keys = () => openKeyStore(config, at, { ...ports, files: disk });
    await settleSuccession({ ...parts, keys });
    const link = linkTo(bridge, outbox);
    for (const entry of outbox.open()) if (entry.kind === 'mandate') link.send(entry);
    const time = { trustedMs: () => nowS * 1000 } as unknown as Time;
    const { step } = createSuccession({ ...parts, keys });
    let progress: Progress = 'soon';
    // A composition for each key, as the program makes them.
    for (let turns = 0; progress !== 'rest' && turns < 20; turns++) {
      const { name } = keys().current()!.key;
      const path = at(`mine/statements/${name.slice(0, 16)}.key`);
      const statement = keyStatement.decode(payloadOf(files.read(path)!));
      progress = await step({ statement, outbox, link, time });
      await link.settled();
      if (progress === 'proved') await settleSuccession({ ...parts, keys });
    }
    return progress;
  } finally {
    database.close();
  }
}

/** A link over which the bridge answers at once. */
function linkTo({ state }: Bridge, outbox: Outbox) {
  const closing: Promise<void>[] = [];
  async function answer(id: string, envelope: Uint8Array): Promise<void> {
    const { parent, cnf } = mandateKind.decode(payloadOf(envelope));
    const signer = toHex(kidOf(envelope));
    const above = state.mandates.get(parent ?? '');
    const isHeard = [state.holder, state.former].some((name) => name.startsWith(signer));
    const isGood =
      isHeard && above && mandateKind.decode(payloadOf(above)).cnf.startsWith(signer) && cnf;
    if (isGood) state.mandates.set(id, envelope);
    const outcome = isGood ? { outcome: 'granted' as const } : REFUSED;
    const receipt = { iat: NOW_S, subject: id, ...outcome };
    await outbox.close(id, await seal(receiptKind, receipt, REALM, bridgeKey), clock.nowMs());
  }
  const link: DeviceLink & { settled: () => Promise<unknown> } = {
    send: ({ id, envelope }) => void closing.push(answer(id, envelope)),
    state: () => 'ready',
    prove: (signer) => Promise.resolve(!state.isDeaf && signer.key.name === state.holder),
    close: () => Promise.resolve(),
    settled: () => Promise.all(closing.splice(0)),
  };
  return link;
}

const REFUSED = { outcome: 'refused' as const, reason: 300 };

const isFull = process.env['SAYTAP_FULL'] !== undefined;

/** The key that a start would find, and whether the bridge hears it. */
function keyInUse(config: Config, { state }: Bridge) {
  const { name } = openKeyStore(config, at, ports).current()!.key;
  return { name, isHeard: name === state.holder || name === state.former };
}

async function expectSucceeded(config: Config, bridge: Bridge, old: string, why: string) {
  const { name } = keyInUse(config, bridge);
  expect(name, why).not.toBe(old);
  expect(bridge.state, why).toMatchObject({ holder: name, former: '', retired: [old] });
  expect(openKeyStore(config, at, ports).next(), why).toBeUndefined();
  expect(files.read(at('mine/succession.json')), why).toBeUndefined();
  const children = [...bridge.state.mandates.values()].map((one) =>
    mandateKind.decode(payloadOf(one)),
  );
  expect(children.filter(({ cnf }) => cnf === name).length, why).toBe(1);
  expect(await live(config, bridge, Infinity, 'before'), why).toBe('rest');
}

/** At every deed, or at each `stride`th: a token takes its time. */
async function killEverywhere(config: Config, when: 'before' | 'after', stride = 1) {
  let cuts = 0;
  for (let cut = 1, isOver = false; !isOver; cut += stride) {
    expect(cut).toBeLessThan(40);
    rmSync(at('mine'), { recursive: true, force: true });
    const bridge = createBridge('glasses');
    const { key } = await enrolled(config, bridge);
    expect(
      wantSuccession({ config, at, files, keys: () => openKeyStore(config, at, ports) }, true),
    ).toBe(true);
    const why = `killed ${when} deed ${cut}`;
    try {
      await live(config, bridge, cut, when);
      isOver = true;
    } catch (error) {
      if (!(error instanceof Killed)) throw error;
      cuts++;
      expect(keyInUse(config, bridge).isHeard, why).toBe(true);
    }
    await live(config, bridge, Infinity, 'before');
    await expectSucceeded(config, bridge, key.name, why);
  }
  return cuts;
}

test.each(['before', 'after'] as const)(
  'killed %s whatever it does, it has one key that works, and the next life finishes',
  async (when) => {
    expect(await killEverywhere(configOf('glasses'), when)).toBeGreaterThan(12);
  },
);

test('the same with keys in a token', async (context) => {
  const missing = missingFor('softhsm2');
  if (missing !== undefined) return context.skip(missing);
  build();
  const { module, token } = createSoftHsm();
  const keys = `{ store: pkcs11, module: ${module}, token: ${token}, pin: ../pin }`;
  const config = configOf('glasses', keys.replace('../pin', 'pin'));
  files.replace(at('pin'), utf8(PIN), 0o600);
  expect(await killEverywhere(config, 'after', isFull ? 1 : 7)).toBeGreaterThan(isFull ? 12 : 1);
});

test('it begins by itself after two thirds of the statement’s life, and not before', async () => {
  const config = configOf('glasses');
  const bridge = createBridge('glasses');
  const { key, statement } = await enrolled(config, bridge, 200 * DAY_S);
  const dueS = statement.nbf + ((statement.exp - statement.nbf) * 2) / 3;
  expect(await live(config, bridge, Infinity, 'before', Math.ceil(dueS) - 1)).toBe('rest');
  expect([bridge.state.asked, keyInUse(config, bridge).name]).toEqual([0, key.name]);
  await grant(bridge, { cnf: key.name, exp: NOW_S + 300 * DAY_S });
  await live(config, bridge, Infinity, 'before', Math.ceil(dueS));
  expect(keyInUse(config, bridge).name).toBe(bridge.state.holder);
  expect(bridge.state.retired).toEqual([key.name]);
});

test('for days it waits for a person, and the old key goes on', async () => {
  const config = configOf('glasses');
  const bridge = createBridge('glasses');
  const { key } = await enrolled(config, bridge);
  const keys = () => openKeyStore(config, at, ports);
  wantSuccession({ config, at, files, keys }, true);
  for (const state of ['waiting', 'unsigned', 'unsigned']) {
    bridge.state.answer = { state, code: '7K3QD-9XMPA' };
    expect(await live(config, bridge, Infinity, 'before')).toBe('rest');
    expect(keyInUse(config, bridge).name).toBe(key.name);
  }
  expect(wantSuccession({ config, at, files, keys }, true)).toBe(false);
  bridge.state.answer = undefined;
  await live(config, bridge, Infinity, 'before');
  await expectSucceeded(config, bridge, key.name, 'after days');
});

test('a key that the bridge does not answer takes over nothing', async () => {
  const config = configOf('glasses');
  const bridge = createBridge('glasses');
  const { key } = await enrolled(config, bridge);
  wantSuccession({ config, at, files, keys: () => openKeyStore(config, at, ports) }, true);
  bridge.state.isDeaf = true;
  for (const _turn of [1, 2]) await live(config, bridge, Infinity, 'before');
  expect(keyInUse(config, bridge)).toEqual({ name: key.name, isHeard: true });
  bridge.state.isDeaf = false;
  await live(config, bridge, Infinity, 'before');
  await expectSucceeded(config, bridge, key.name, 'heard at last');
});

test('refused by a person, it keeps its key and asks no more in this life', async () => {
  const config = configOf('glasses');
  const bridge = createBridge('glasses');
  const { key } = await enrolled(config, bridge);
  wantSuccession({ config, at, files, keys: () => openKeyStore(config, at, ports) }, true);
  bridge.state.answer = { state: 'refused', reason: 'cancelled' };
  expect(await live(config, bridge, Infinity, 'before')).toBe('rest');
  expect(keyInUse(config, bridge).name).toBe(key.name);
  expect(files.read(at('mine/succession.json'))).toBeUndefined();
});

test('mandates are passed on twice; by itself it leaves no authority behind', async () => {
  const config = configOf('glasses');
  const bridge = createBridge('glasses');
  await enrolled(config, bridge);
  const keys = () => openKeyStore(config, at, ports);
  for (const turn of [1, 2]) {
    expect(wantSuccession({ config, at, files, keys }, false), `turn ${turn}`).toBe(true);
    await live(config, bridge, Infinity, 'before');
    expect(bridge.state.retired.length).toBe(turn);
  }
  expect(bridge.state.mandates.size).toBe(3);
  for (const one of bridge.state.mandates.values()) {
    const value = mandateKind.decode(payloadOf(one));
    const { cnf: _cnf, parent: _parent, ...limits } = value;
    const { cnf: _own, ...first } = mandateOf({ nbf: NOW_S - 60, exp: NOW_S + DAY_S });
    expect(limits).toEqual(first);
  }
  wantSuccession({ config, at, files, keys }, false);
  expect(await live(config, bridge, Infinity, 'before')).toBe('rest');
  expect(bridge.state.retired.length).toBe(2);
  // A person takes it that the wallet has to grant anew.
  wantSuccession({ config, at, files, keys }, true);
  await live(config, bridge, Infinity, 'before');
  expect([bridge.state.retired.length, bridge.state.mandates.size]).toEqual([3, 3]);
});

test('a terminal waits until devices know its next key', async () => {
  const config = configOf('kiosk');
  const bridge = createBridge('kiosk');
  const { key } = await enrolled(config, bridge);
  wantSuccession({ config, at, files, keys: () => openKeyStore(config, at, ports) }, true);
  await live(config, bridge, Infinity, 'before');
  expect(keyInUse(config, bridge)).toEqual({ name: key.name, isHeard: true });
  expect(bridge.state.former).toBe(key.name);
  await grant(bridge, { cnf: key.name, exp: NOW_S + 3 * DAY_S });
  await live(config, bridge, Infinity, 'before', NOW_S + DAY_S);
  expect(keyInUse(config, bridge).name).toBe(bridge.state.holder);
});

test('a statement that has ended begins nothing: a person enrols the device anew', async () => {
  const config = configOf('glasses');
  const bridge = createBridge('glasses');
  const { statement } = await enrolled(config, bridge, 300 * DAY_S);
  expect(await live(config, bridge, Infinity, 'before', statement.exp)).toBe('rest');
  expect(bridge.state.asked).toBe(0);
});

test('the old key takes its leave only when all that it has signed is answered', async () => {
  const config = configOf('glasses');
  const bridge = createBridge('glasses');
  const { key } = await enrolled(config, bridge);
  const old = openKeyStore(config, at, ports).current()!;
  const request = requestOf({ exp: NOW_S + 300 });
  const envelope = await seal(requestKind, request, REALM, old);
  const { id } = identify(envelope, REALM, 'request');
  const withOutbox = (run: (outbox: Outbox) => unknown) => {
    const database = openDatabase(at('mine/outbox.db'));
    run(createOutbox(database));
    database.close();
  };
  const entry = { id, kind: 'request', envelope, storedMs: NOW_S * 1000 } as const;
  withOutbox((outbox) => outbox.put(entry, { key: key.name, counter: 1 }));
  wantSuccession({ config, at, files, keys: () => openKeyStore(config, at, ports) }, true);
  expect(await live(config, bridge, Infinity, 'before')).toBe('soon');
  expect(keyInUse(config, bridge).name).toBe(bridge.state.holder);
  expect(bridge.state).toMatchObject({ former: key.name, retired: [] });

  const receipt = { iat: NOW_S, subject: id, outcome: 'captured' as const };
  const answer = await seal(receiptKind, receipt, REALM, bridgeKey);
  const database = openDatabase(at('mine/outbox.db'));
  await createOutbox(database).close(id, answer, clock.nowMs());
  database.close();
  await live(config, bridge, Infinity, 'before');
  await expectSucceeded(config, bridge, key.name, 'drained');
  // Each key has its own counter.
  withOutbox((outbox) => {
    const next = keyInUse(config, bridge).name;
    expect([outbox.counter(key.name), outbox.counter(next)]).toEqual([1, 0]);
  });
});

test('a device that is not enrolled, or has no bridge to ask, wants no next key', () => {
  const config = configOf('glasses');
  files.folder(at('mine'));
  const keys = () => openKeyStore(config, at, ports);
  expect(() => wantSuccession({ config, at, files, keys }, true)).toThrow(
    expect.objectContaining({ exit: EXITS.key }),
  );
  const { enrol: _enrol, ...alone } = config;
  expect(() => wantSuccession({ config: alone, at, files, keys }, true)).toThrow(
    expect.objectContaining({ exit: EXITS.config }),
  );
});

test('a bridge that is away stops nothing, and what it said before stays', async () => {
  const config = configOf('glasses');
  const bridge = createBridge('glasses');
  const { key } = await enrolled(config, bridge);
  wantSuccession({ config, at, files, keys: () => openKeyStore(config, at, ports) }, true);
  const away = {
    ...bridge,
    http: () => Promise.reject(new HttpFailure('connection refused', false)),
  };
  for (const _turn of [1, 2]) {
    await expect(live(config, away, Infinity, 'before')).rejects.toThrow('connection refused');
    expect(keyInUse(config, bridge)).toEqual({ name: key.name, isHeard: true });
  }
  await live(config, bridge, Infinity, 'before');
  await expectSucceeded(config, bridge, key.name, 'back again');
});
