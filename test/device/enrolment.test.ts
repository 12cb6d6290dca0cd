/** Enrolment on the device: what it keeps across a power cut, what it does not take. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { openCertificateAuthority } from '../../broker/ca.ts';
import { deviceConfig } from '../../device/config.ts';
import {
  type Refusal,
  contactBridge,
  enrolDevice,
  isEnd,
  settleEnrolment,
} from '../../device/enrolment.ts';
import { openFileKeys } from '../../device/keys/file.ts';
import { settings } from '../../device/main.ts';
import { createTrust } from '../../device/trust.ts';
import { finishWipe } from '../../device/wipe.ts';
import { fromHex, toBase64url, utf8 } from '../../src/bytes.ts';
import { parseConfig } from '../../src/config.ts';
import { type Signer, identify, payloadOf } from '../../src/cose.ts';
import { EXITS, REASONS } from '../../src/errors.ts';
import { type VerifyKey, loadKey } from '../../src/keys.ts';
import { clock, files, random, timers } from '../../src/node/platform.ts';
import { type Enrol, enrol as enrolKind } from '../../src/objects/enrol.ts';
import { type KeyStatement, keyStatement } from '../../src/objects/key.ts';
import { seal } from '../../src/objects/kind.ts';
import { policy as policyKind } from '../../src/objects/policy.ts';
import { receipt as receiptKind } from '../../src/objects/receipt.ts';
import { bundleMac, readPairing } from '../../src/pairing.ts';
import { type Files, type HttpAnswer, HttpFailure } from '../../src/platform.ts';
import { generatePem, nodeSigner, publicPem, readPrivatePem } from '../../src/signer.ts';

const REALM = { environment: 'sim', ledger: 'demo' } as const;
const makeSigner = (): Signer => nodeSigner(readPrivatePem(generatePem('ES256')));
const [root, bridge, other] = [makeSigner(), makeSigner(), makeSigner()];
const YAML = `
environment: sim
ledger: demo
device: kiosk-9
profile: kiosk
folder: kiosk
enrol: { url: "https://bridge.example:8443" }
`;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'saytap-enrol-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
});

const at = (path: string) => resolve(folder, path);
const text = (name: string) => readFileSync(at(join('kiosk', name)), 'utf8');

/** A device as it starts; `answer` is the bridge. */
function device(answer: (envelope: Uint8Array) => Promise<HttpAnswer>, disk: Files = files) {
  const told: string[] = [];
  const shown: string[] = [];
  const config = parseConfig(deviceConfig, YAML, 'kiosk.yaml');
  files.folder(at('kiosk'));
  const keys = openFileKeys({ files, random, folder: at('kiosk'), credential: undefined });
  const parts = {
    ...{ config, at, keys, files: disk, random, clock, timers },
    http: ({ body }: Readonly<{ body: Uint8Array }>) => answer(body),
    tell(line: string, code?: string) {
      told.push(line);
      if (code !== undefined) shown.push(code);
    },
  };
  return { told, shown, keys, parts, enrol: (isAgain = false) => enrolDevice(parts, isAgain) };
}

const reply = (status: number, body: object): HttpAnswer => ({
  ...{ status, body: utf8(JSON.stringify(body)) },
});

type Changes = Readonly<{
  realm?: object;
  statement?: Partial<KeyStatement>;
  root?: Signer;
  tls?: VerifyKey;
  name?: string;
  bundle?: object;
}>;

/** What an honest bridge would answer, and what another one would. */
async function bundleFor(envelope: Uint8Array, changes: Changes = {}): Promise<string> {
  const asked: Enrol = enrolKind.decode(payloadOf(envelope));
  const nowS = Math.floor(clock.nowMs() / 1000);
  const valid = { nbf: nowS - 60, exp: nowS + 86_400 };
  const signer = changes.root ?? root;
  const state = async (statement: KeyStatement) =>
    toBase64url(await seal(keyStatement, statement, REALM, signer));
  const own = await state({
    ...{ ...valid, key: asked.key, role: 'terminal', presenceMax: 0, device: 'kiosk-9' },
    ...{ payee: 'cafe', terminal: 'till-9', names: [['en', 'Café']] },
    ...changes.statement,
  });
  const bridgeKey = bridge.key.public;
  const named = await state({ ...valid, key: bridgeKey, role: 'bridge', presenceMax: 0 });
  const policy = {
    ...{ iat: nowS, version: 1, scope: { kind: 'platform' } as const },
    ladders: [{ currency: 'CNY', bands: [{ ceiling: 20_00n, level: 1 as const }] }],
  };
  const authority = openCertificateAuthority(files, random, clock, at('.'));
  return JSON.stringify({
    ...{ ...REALM, key: loadKey(asked.key).name, root: publicPem(signer.key) },
    statements: [own, named],
    policies: [toBase64url(await seal(policyKind, policy, REALM, signer))],
    mandates: [],
    mqtt: 'mqtts://broker.example:8883',
    certificate: authority.issueClient(
      changes.name ?? 'kiosk-9',
      changes.tls ?? loadKey(asked.tls!),
      30,
    ),
    ca: authority.certificate,
    ...changes.bundle,
  });
}

function granting(changes: Changes = {}, code?: () => Uint8Array) {
  return async (envelope: Uint8Array) => {
    const bundle = utf8(await bundleFor(envelope, changes));
    const mac = code && { mac: toBase64url(bundleMac(code(), bundle)) };
    return reply(200, { state: 'granted', bundle: toBase64url(bundle), ...mac });
  };
}

test('what was granted lies where the device looks; a second run changes nothing', async () => {
  const first = device(granting());
  await first.enrol();
  expect(first.told.at(-1)).toBe('Enrolled as kiosk-9.');
  expect(text('root.pub.pem')).toBe(publicPem(root.key));
  expect(text('broker.url')).toBe('mqtts://broker.example:8883\n');
  expect(files.list(at('kiosk/statements')).length).toBe(2);
  expect(files.list(at('kiosk/policies'))).toEqual(['platform.policy']);
  expect(first.keys.current()).toBeDefined();
  expect(first.keys.next()).toBeUndefined();

  const second = device(() => Promise.reject(new Error('it asks nobody')));
  await second.enrol();
  expect(second.told).toEqual(['This device is enrolled already, as kiosk-9.']);
});

test('by the link of its QR the bundle must carry the MAC of the code on this screen', async () => {
  const honest = device(granting({}, () => readPairing(honest.shown[0]!)!.code));
  await honest.enrol();
  // Nobody has to compare the root then.
  expect(honest.told.some((line) => line.includes('trusts the root'))).toBe(false);
});

test('killed while it waits, it goes on with the same key and code', async () => {
  const asked: string[] = [];
  const dying = device((envelope) => {
    asked.push(toBase64url(envelope));
    return Promise.reject(new Error('killed'));
  });
  await expect(dying.enrol()).rejects.toThrow('killed');
  const risen = device((envelope) => {
    asked.push(toBase64url(envelope));
    return granting()(envelope);
  });
  await risen.enrol();
  expect(asked[1]).toBe(asked[0]);
  expect(risen.shown).toEqual(dying.shown);
});

test('killed at any write after it was granted, the next start completes it', async () => {
  for (let cut = 1; cut <= 10; cut++) {
    rmSync(at('kiosk'), { recursive: true, force: true });
    let writes = 0;
    const dying: Files = {
      ...files,
      replace(path, bytes, mode) {
        if (path.endsWith('.json') && writes === 0) return files.replace(path, bytes, mode);
        if (++writes > cut) throw new Error('killed');
        files.replace(path, bytes, mode);
      },
    };
    const first = device(async (envelope) => {
      const answer = await granting()(envelope);
      writes = 1;
      return answer;
    }, dying);
    const ended = await first.enrol().then(
      () => 'enrolled',
      (error: Error) => error.message,
    );
    const risen = device(granting());
    await settleEnrolment({ ...risen.parts, keys: () => risen.keys });
    await risen.enrol();
    expect(risen.keys.current(), `cut at ${cut}: ${ended}`).toBeDefined();
    expect(text('root.pub.pem')).toBe(publicPem(root.key));
    expect(files.read(at('kiosk/enrolment.json'))).toBeUndefined();
  }
});

test('a network that is away is told once and waited for', async () => {
  let asked = 0;
  const waiting = device((envelope) => {
    if (++asked <= 1) return Promise.reject(new HttpFailure('connection refused', false));
    return granting()(envelope);
  });
  await waiting.enrol();
  expect(waiting.told.filter((line) => line.includes('Trying again')).length).toBe(1);
  expect(waiting.told).toContain('The bridge answers again.');
});

test.each<readonly [string, Changes]>([
  ['another ledger', { bundle: { ledger: 'elsewhere' } }],
  ['statements of another root than it names', { bundle: { root: publicPem(other.key) } }],
  ['a statement about another key', { statement: { key: other.key.public } }],
  [
    'a role that is not its profile’s',
    { statement: { role: 'agent' as const, payee: undefined, terminal: undefined } as never },
  ],
  ['a bundle for another key', { bundle: { key: other.key.name } }],
  ['a certificate for another key', { tls: other.key }],
  ['a certificate for another name', { name: 'kiosk-8' }],
  ['a certificate of nobody', { bundle: { ca: undefined } }],
  ['no policy', { bundle: { policies: [] } }],
  ['what is no bundle', { bundle: { mqtt: 'http://broker' } }],
])('%s is refused, and nothing is pinned', async (_what, changes) => {
  const cheated = device(granting(changes));
  await expect(cheated.enrol()).rejects.toMatchObject({ exit: EXITS.key });
  expect(files.read(at('kiosk/root.pub.pem'))).toBeUndefined();
  expect(cheated.keys.current()).toBeUndefined();
});

test('a bundle whose MAC is under another code is refused', async () => {
  const cheated = device(granting({}, () => fromHex('00'.repeat(16))));
  await expect(cheated.enrol()).rejects.toMatchObject({ exit: EXITS.key });
  expect(files.read(at('kiosk/root.pub.pem'))).toBeUndefined();
});

test('the root is pinned once: another one is refused', async () => {
  files.folder(at('kiosk'));
  writeFileSync(at('kiosk/root.pub.pem'), publicPem(other.key));
  const pinned = device(granting());
  await expect(pinned.enrol()).rejects.toMatchObject({ exit: EXITS.key });
  expect(text('root.pub.pem')).toBe(publicPem(other.key));
});

test('refused, it says so and begins with a new code the next time', async () => {
  const refused = device(() =>
    Promise.resolve(reply(403, { state: 'refused', reason: 'cancelled', receipt: 'AA' })),
  );
  await expect(refused.enrol()).rejects.toMatchObject({ exit: EXITS.failed });
  const next = device(granting());
  await next.enrol();
  expect(next.shown).not.toEqual(refused.shown);
});

test('again: the old key is not needed, and gone when the new one counts', async () => {
  const first = device(granting());
  await first.enrol();
  const before = first.keys.current()!.key.name;
  const again = device(granting());
  await again.enrol(true);
  expect(again.keys.current()!.key.name).not.toBe(before);
});

test('an interrupted wipe is finished first, and takes nothing of what is given then', async () => {
  await device(granting()).enrol();
  writeFileSync(at('kiosk/wiping'), 'x');
  const anew = device(granting());
  await anew.enrol();
  expect(anew.told.at(-1)).toBe('Enrolled as kiosk-9.');
  const { config, keys } = device(granting()).parts;
  await finishWipe({ config, at, files }, () => keys);
  expect(keys.current()?.key.name).toBe(anew.keys.current()?.key.name);
  expect(keys.current()).toBeDefined();
});

test('at contact it gets what has changed, without a code, and takes no other root', async () => {
  const first = device(granting());
  await first.enrol();
  const before = text('tls.certificate.pem');
  const asked: Enrol[] = [];
  const later = device((envelope) => {
    asked.push(enrolKind.decode(payloadOf(envelope)));
    return granting()(envelope);
  });
  expect(await contactBridge(later.parts)).toMatchObject({ isRenewed: false });
  expect(asked[0]!.mac ?? asked[0]!.endorsement).toBeUndefined();
  expect(text('tls.certificate.pem')).not.toBe(before);

  const other = device(granting({ root: makeSigner() }));
  await expect(contactBridge(other.parts)).rejects.toMatchObject({ exit: EXITS.key });
});

test('at contact a device is ended by what the bridge has signed about its question', async () => {
  await device(granting()).enrol();
  const nowS = Math.floor(clock.nowMs() / 1000);
  const named = { role: 'bridge', presenceMax: 0, nbf: nowS - 60, exp: nowS + 60 } as const;
  const statement = { ...named, key: bridge.key.public };
  const policy = {
    ...{ iat: nowS, version: 1, scope: { kind: 'platform' } as const },
    ladders: [{ currency: 'CNY', bands: [{ ceiling: 20_00n, level: 1 as const }] }],
  };
  const trust = createTrust(
    REALM,
    root.key,
    [await seal(keyStatement, statement, REALM, root)],
    [await seal(policyKind, policy, REALM, root)],
    () => clock.nowMs(),
  );
  const about = (envelope: Uint8Array) => identify(envelope, REALM, enrolKind.name).id;
  const refusing = async (
    reason: 'revoked' | 'suspended' | 'cancelled',
    signer: Signer | undefined,
    subject = about,
  ) => {
    const found = await contactBridge(
      device(async (envelope) => {
        const value = { iat: nowS, subject: subject(envelope), outcome: 'refused' } as const;
        const receipt =
          signer && (await seal(receiptKind, { ...value, reason: REASONS[reason] }, REALM, signer));
        return reply(403, {
          ...{ state: 'refused', reason: 'revoked' },
          ...(receipt && { receipt: toBase64url(receipt) }),
        });
      }).parts,
    );
    return isEnd(trust, found as Refusal);
  };
  expect(await refusing('revoked', bridge)).toBe(true);
  expect(await refusing('suspended', bridge), 'not for good').toBe(false);
  expect(await refusing('cancelled', bridge)).toBe(false);
  expect(await refusing('revoked', other), 'another signed').toBe(false);
  expect(await refusing('revoked', undefined), 'nobody signed').toBe(false);
  expect(await refusing('revoked', bridge, () => 'ab'.repeat(16))).toBe(false);
});

test('at contact it sees that its statement was renewed, and whether anything is new', async () => {
  const nbf = Math.floor(clock.nowMs() / 1000) - 100;
  const stated = (from: number, exp: number) => granting({ statement: { nbf: from, exp } });
  const first = device(stated(nbf, nbf + 1_000));
  await first.enrol();
  const contact = (from: number, exp: number) => contactBridge(device(stated(from, exp)).parts);
  expect(await contact(nbf, nbf + 1_500)).toEqual({ isNews: true, isRenewed: true });
  expect(await contact(nbf, nbf + 1_500)).toMatchObject({ isRenewed: false });
  // A person has approved it anew: that is another life.
  expect(await contact(nbf + 50, nbf + 2_000)).toMatchObject({ isRenewed: false });
});

test.each([
  ['does not exist', undefined],
  ['holds no certificate', 'garbage'],
])('an authority that %s is missed before anybody scans a code', async (why, content) => {
  if (content !== undefined) writeFileSync(at('ca.pem'), content);
  const one = device(() => Promise.reject(new Error('it asks nobody')));
  const { enrol } = one.parts.config;
  const config = { ...one.parts.config, enrol: { ...enrol!, ca: 'ca.pem' } };
  await expect(enrolDevice({ ...one.parts, config }, false)).rejects.toMatchObject({
    exit: EXITS.config,
    message: expect.stringContaining(`ca.pem ${why}: it is the ca.pem in the folder of the bridge`),
  });
  expect([...one.told, ...one.shown]).toEqual([]);
});

test('its configuration is printed with what it was told, or with how it is told', async () => {
  const file = at('kiosk.yaml');
  const before = settings.print(YAML, file);
  expect(before).toMatch(/^# where its broker is, mqtt, is told when it is enrolled/);
  expect(before).not.toContain('mqtts:');
  expect(parseConfig(deviceConfig, before, file)).toEqual(parseConfig(deviceConfig, YAML, file));

  await device(granting({ statement: { device: 'bar-2' }, name: 'bar-2' })).enrol();
  const after = settings.print(YAML, file);
  expect(after).toMatch(/^device: bar-2$/m);
  expect(after).toMatch(/^ {2}url: mqtts:\/\/broker\.example:8883$/m);
  expect(after).not.toContain('# ');
  settings.check(after, file);
});
