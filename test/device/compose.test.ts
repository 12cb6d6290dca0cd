// Method: a whole device from a configuration, with files, keys and outbox on a real disk; only
// time and the wire are the test's. What the bridge says is signed by the test.
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { type RunningGlasses, type RunningKiosk, startDevice } from '../../device/compose.ts';
import { deviceConfig } from '../../device/config.ts';
import { openKeyStore } from '../../device/keys/choice.ts';
import { phrases } from '../../device/phrases.ts';
import type { SpeakerMatcher } from '../../device/speaker.ts';
import { identify, payloadOf } from '../../src/cose.ts';
import { parseConfig } from '../../src/config.ts';
import { OperatorError, REASONS } from '../../src/errors.ts';
import { CONFIRM_READ_MS } from '../../src/limits.ts';
import { archive } from '../../src/node/archive.ts';
import { loadTokens } from '../../src/node/pkcs11.ts';
import { files, random } from '../../src/node/platform.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import { codeWasm } from '../../src/node/wasm.ts';
import { keyStatement } from '../../src/objects/key.ts';
import { seal } from '../../src/objects/kind.ts';
import { mandate as mandateKind } from '../../src/objects/mandate.ts';
import { query as queryKind } from '../../src/objects/query.ts';
import { type Receipt, receipt as receiptKind } from '../../src/objects/receipt.ts';
import { request as requestKind } from '../../src/objects/request.ts';
import { tick as tickKind } from '../../src/objects/tick.ts';
import type { Band } from '../../src/objects/policy.ts';
import type { Files } from '../../src/platform.ts';
import { publicPem } from '../../src/signer.ts';
import { downTopic } from '../../src/topics.ts';
import {
  NONCE,
  PLACE,
  REALM,
  START_S,
  bridge,
  createFakeTime,
  createWire,
  mandateWith,
  root,
  sealPolicy,
  settle,
  statements,
  stranger,
} from './stage.ts';
import { type Hardware, PIN, build, createSoftHsm, missingFor } from './keys/tokens.ts';

const KIOSK = 'kiosk-1';
/** P2 up to 100 yuan, P3 up to 1,000. */
const BANDS: readonly Band[] = [
  { ceiling: 100_00n, level: 2 },
  { ceiling: 1_000_00n, level: 3 },
];
const CONFIG = `
environment: ${REALM.environment}
ledger: ${REALM.ledger}
device: ${KIOSK}
folder: own
root: root.pub.pem
statements: statements
policy: platform.policy
mandates: mandates
mqtt: { url: 'mqtt://nowhere' }
`;

type Options = Readonly<{
  profile: 'kiosk' | 'glasses';
  hardware?: Hardware;
  speakerMatcher?: SpeakerMatcher;
  /** In place of the real disk, for the running device. */
  disk?: Files;
}>;

/** A device that is connected, with one mandate by which it may pay or collect. */
async function open({ profile, hardware, speakerMatcher, disk = files }: Options) {
  const folder = mkdtempSync(join(tmpdir(), 'saytap-compose-'));
  const at = (path: string) => resolve(folder, path);
  for (const name of ['own', 'statements', 'mandates']) files.folder(at(name));
  const { module, token } = hardware ?? {};
  const store = hardware
    ? `keys: { store: pkcs11, module: '${module}', token: ${token}, pin: pin }`
    : '';
  writeFileSync(at('pin'), PIN, { mode: 0o600 });
  const config = parseConfig(deviceConfig, `${CONFIG}profile: ${profile}\n${store}`, 'box.yaml');
  const keys = openKeyStore(config, at, { files, random, loadTokens });
  await keys.prepare();
  await keys.promote();
  const { key } = keys.current()!;
  const statement = {
    ...{ nbf: START_S - 60, exp: START_S + 86_400, key: key.public, device: KIOSK },
    ...(profile === 'glasses'
      ? { role: 'device' as const, presenceMax: 3 as const }
      : {
          ...{ role: 'terminal' as const, presenceMax: 1 as const },
          ...{ payee: 'cafe', terminal: KIOSK, names: [['en', 'Cafe']] as const },
        }),
  };
  writeFileSync(at('statements/till.key'), statements[1]!);
  writeFileSync(at('root.pub.pem'), publicPem(root.key));
  writeFileSync(at('statements/bridge.key'), statements[0]!);
  writeFileSync(at('statements/kiosk.key'), await seal(keyStatement, statement, REALM, root));
  writeFileSync(
    at('platform.policy'),
    await sealPolicy(profile === 'glasses' ? { ladders: [{ currency: 'CNY', bands: BANDS }] } : {}),
  );
  const bands = profile === 'glasses' ? { bands: BANDS } : {};
  const granted = mandateWith({ cnf: key.name, ...bands });
  const mandate = await seal(mandateKind, granted, REALM, stranger);
  writeFileSync(at('mandates/tag.mandate'), mandate);

  const time = createFakeTime();
  const wire = createWire(time, KIOSK);
  const { clock, timers } = time;
  const said: string[] = [];
  const asked: string[] = [];
  const logged: string[] = [];
  const running = startDevice(
    config,
    at,
    {
      ...{ clock, timers, random, archive, loadTokens, files: disk, connect: wire.connect },
      ...{ openDatabase, codeWasm, machine: { ...PLACE, node: '24.0.0' } },
      log: (_level, event) => void logged.push(event),
      ...(speakerMatcher && { speakerMatcher }),
    },
    {
      ask: (_frame, sentence) => void asked.push(sentence),
      say: (sentence) => void said.push(sentence),
    },
  );
  onTestFinished(async () => {
    await running.stop();
    rmSync(folder, { recursive: true });
  });

  async function receipt(value: Partial<Receipt>) {
    const whole = { iat: START_S, ...value } as Receipt;
    wire.deliver(downTopic(KIOSK, 'receipt'), await seal(receiptKind, whole, REALM, bridge));
    await settle();
  }
  async function boot() {
    wire.up();
    // A token signs in its own time.
    await expect
      .poll(() => settle().then(() => wire.sent('query').length), { timeout: 30_000 })
      .toBeGreaterThan(0);
    const { echo } = queryKind.decode(payloadOf(wire.sent('query').at(-1)!.payload));
    const tick = { iat: START_S, nonce: NONCE, audience: key.name, echo: echo!, counter: 0 };
    wire.deliver(downTopic(KIOSK, 'tick'), await seal(tickKind, tick, REALM, bridge));
    await settle();
  }
  await boot();
  const { id } = identify(mandate, REALM, mandateKind.name);
  await receipt({ subject: id, outcome: 'granted' });
  return {
    ...{ running, time, wire, asked, said, logged, receipt, mandate: id, key: key.name },
    left: () => readdirSync(at('own')).sort(),
    /** What `saytap device enrol --again` does to the keys, beside the running device. */
    async enrolAnew() {
      const beside = openKeyStore(config, at, { files, random, loadTokens });
      await beside.prepare();
      await beside.promote();
    },
    /** What the bridge says over HTTPS to a key that is revoked or retired. */
    async refusal(of: string) {
      const subject = 'ab'.repeat(16);
      const value = { iat: START_S, subject, outcome: 'refused', reason: REASONS.revoked } as const;
      const signed = await seal(receiptKind, value, REALM, bridge);
      return { key: of, subject, reason: 'revoked', receipt: signed };
    },
    /** Connects anew, and answers that the key is revoked. */
    async revoke() {
      wire.down();
      wire.up();
      await settle();
      const asked = wire.sent('query').at(-1)!.payload;
      const { id: subject } = identify(asked, REALM, queryKind.name);
      await receipt({ subject, outcome: 'refused', reason: REASONS.revoked });
    },
  };
}

/** As `open`, of a kiosk. */
async function openKiosk(disk?: Files) {
  const opened = await open({ profile: 'kiosk', ...(disk && { disk }) });
  const kiosk = opened.running as RunningKiosk;
  return {
    ...opened,
    kiosk,
    async paidOrder() {
      const lines = [{ text: 'Latte', quantity: 1, total: 30_00n }];
      const order = await kiosk.terminal.order(lines, 'CNY');
      await opened.receipt({
        ...{ subject: order.id, outcome: 'captured' },
        amount: { currency: 'CNY', minor: 30_00n },
      });
    },
  };
}

test('a refund and a payment that are confirmed at once get a counter each', async () => {
  const { kiosk, time, wire, receipt, mandate, paidOrder } = await openKiosk();
  await paidOrder();
  const { device, terminal } = kiosk;
  expect(device.bill({ currency: 'CNY', minor: 5_00n })).toBe(true);
  const collected = device.sense({ kind: 'link', text: `saytap://payer/${mandate}` });
  const acted = terminal.act({ action: 'refund', order: 'last', amount: undefined });
  await settle();
  await time.pass(CONFIRM_READ_MS);
  expect([terminal.answer({ kind: 'press' }), device.answer({ kind: 'press' })]).toEqual([
    true,
    true,
  ]);
  await settle();
  const sent = wire.sent('request').map(({ payload }) => ({
    ...identify(payload, REALM, requestKind.name),
    ...requestKind.decode(payloadOf(payload)),
  }));
  expect(sent.map(({ action, counter }) => [action, counter])).toEqual([
    ['refund', 1],
    ['pay', 2],
  ]);
  const [refund, pay] = sent;
  const amount = (minor: bigint) => ({ currency: 'CNY', minor });
  await receipt({ subject: refund!.id, outcome: 'refunded', amount: amount(30_00n) });
  await receipt({ subject: pay!.id, outcome: 'captured', amount: amount(5_00n) });
  expect([(await acted).kind, (await collected).kind]).toEqual(['done', 'paid']);
});

test('a revoked kiosk is wiped at once, whatever order nobody has paid', async () => {
  const { kiosk, revoke, left } = await openKiosk();
  await kiosk.terminal.order([{ text: 'Latte', quantity: 1, total: 30_00n }], 'CNY');
  expect(kiosk.outbox.open().map(({ kind }) => kind)).toEqual(['order']);
  await revoke();
  expect(await kiosk.failed).toBeInstanceOf(OperatorError);
  expect(left().filter((name) => name.endsWith('.pem'))).toEqual([]);
  expect(kiosk.outbox.open(), 'nor is it sent by whatever key comes next').toEqual([]);
});

test('what was confirmed is answered before a revoked kiosk is wiped', async () => {
  const { kiosk, time, wire, receipt, revoke, left, paidOrder } = await openKiosk();
  await paidOrder();
  void kiosk.terminal.act({ action: 'refund', order: 'last', amount: undefined });
  await settle();
  await time.pass(CONFIRM_READ_MS);
  kiosk.terminal.answer({ kind: 'press' });
  await settle();
  await revoke();
  expect(left()).toContain('device.key.pem');
  const [refund] = wire.sent('request');
  const { id } = identify(refund!.payload, REALM, requestKind.name);
  await receipt({ subject: id, outcome: 'refused', reason: REASONS.revoked });
  expect((await kiosk.failed).exit).toBe(6);
  expect(left()).not.toContain('device.key.pem');
  expect(kiosk.outbox.recent(9), 'and nothing of it is kept').toEqual([]);
});

test('a wipe that the disk stops keeps no payment, and ends in words', async () => {
  const erase = (path: string) => {
    if (path.endsWith('device.pin')) throw new Error('EIO: i/o error');
    files.erase(path);
  };
  const { kiosk, paidOrder, revoke, left } = await openKiosk({ ...files, erase });
  await paidOrder();
  await revoke();
  const { exit, message } = await kiosk.failed;
  expect([exit, message]).toEqual([
    6,
    'this device is not wiped yet, and goes on with it when it is started again: EIO: i/o error',
  ]);
  expect(left(), 'the mark by which it goes on').toContain('wiping');
  expect(kiosk.outbox.orders('', 9)).toEqual([]);
});

test('an answer to the key before, which is retired, does not end the next key', async () => {
  const { kiosk, said, left, key, refusal } = await openKiosk();
  kiosk.hearRefusal(await refusal(stranger.key.name));
  await settle();
  expect([said, left().includes('device.key.pem')]).toEqual([[], true]);
  kiosk.hearRefusal(await refusal(key));
  expect((await kiosk.failed).exit).toBe(6);
  expect(left()).not.toContain('device.key.pem');
});

test('a device that is enrolled anew while it runs ends, and keeps its new key', async () => {
  const { kiosk, said, revoke, left, enrolAnew, mandate } = await openKiosk();
  await enrolAnew();
  await revoke();
  const { exit, message } = await kiosk.failed;
  expect([exit, message]).toEqual([6, phrases.enrolledAnew('en')]);
  expect(left()).toContain('device.key.pem');
  expect(said, 'once, by the terminal’s own line').toEqual([message]);
  expect(kiosk.device.bill({ currency: 'CNY', minor: 5_00n })).toBe(true);
  expect(await kiosk.device.sense({ kind: 'link', text: `saytap://payer/${mandate}` })).toEqual({
    kind: 'not_sent',
    reason: 'suspended',
  });
});

test('nor is it wiped when what the old key sent is answered after that', async () => {
  const { kiosk, time, wire, receipt, revoke, left, paidOrder, enrolAnew } = await openKiosk();
  await paidOrder();
  void kiosk.terminal.act({ action: 'refund', order: 'last', amount: undefined });
  await settle();
  await time.pass(CONFIRM_READ_MS);
  kiosk.terminal.answer({ kind: 'press' });
  await settle();
  await revoke();
  await enrolAnew();
  const { id } = identify(wire.sent('request')[0]!.payload, REALM, requestKind.name);
  await receipt({ subject: id, outcome: 'refused', reason: REASONS.revoked });
  expect((await kiosk.failed).message).toBe(phrases.enrolledAnew('en'));
  expect(left()).toContain('device.key.pem');
});

/** Asks for an amount of P3, with the press and whatever phrase is then asked for. */
async function payByVoice(options: Omit<Options, 'profile'>) {
  const judged: string[] = [];
  const match: SpeakerMatcher['match'] = async ({ recording }) => {
    judged.push(recording);
    return true;
  };
  const opened = await open({ profile: 'glasses', speakerMatcher: { match }, ...options });
  const { device } = opened.running as RunningGlasses;
  const told = device.sense({ kind: 'utterance', text: 'pay 150 yuan to Luckin Coffee' });
  await settle();
  await opened.time.pass(CONFIRM_READ_MS);
  device.answer({ kind: 'press' });
  const text = /“([^”]*)”/.exec(opened.asked.at(-1) ?? '')?.[1] ?? 'confirm payment';
  void device.sense({ kind: 'utterance', text, recording: 'r1' });
  await expect
    .poll(() => settle().then(() => opened.wire.sent('request').length + opened.said.length), {
      timeout: 30_000,
    })
    .toBeGreaterThan(0);
  return { ...opened, told, judged };
}

test('a matched speaker is no P3 for a key in a file, whoever brings a matcher', async () => {
  const { told, judged, logged, wire } = await payByVoice({});
  expect(await told).toEqual({ kind: 'not_sent', reason: 'presence_too_low' });
  expect([judged, wire.sent('request')]).toEqual([[], []]);
  expect(logged).toContain('a matched speaker counts only for a key in hardware');
});

test('with a key in a token it is', async (c) => {
  const missing = missingFor('softhsm2');
  if (missing !== undefined) c.skip(missing);
  build();
  const hardware = createSoftHsm();
  onTestFinished(() => hardware.close());
  const { judged, wire } = await payByVoice({ hardware });
  const [request] = wire.sent('request');
  expect(requestKind.decode(payloadOf(request!.payload)).presence).toBe(3);
  expect(judged).toEqual(['r1']);
});
