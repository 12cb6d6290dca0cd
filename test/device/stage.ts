/**
 * A device on a stage: the real runtime, link, outbox, time and trust with real keys and signed
 * statements, in a world whose clock, timers, wire and surface the test moves by hand.
 */
import { CONFIRM_READ_MS, TICK_SLOT_MS } from '../../src/limits.ts';
import assert from 'node:assert/strict';
import { createPrivateKey } from 'node:crypto';
import { type Realm, type Signer, identify, payloadOf } from '../../src/cose.ts';
import { PaymentError, REASONS, type Reason } from '../../src/errors.ts';
import { keyStatement } from '../../src/objects/key.ts';
import { seal } from '../../src/objects/kind.ts';
import { type Mandate, mandate as mandateKind } from '../../src/objects/mandate.ts';
import { type Order, order as orderKind } from '../../src/objects/order.ts';
import { type Band, type Policy, policy as policyKind } from '../../src/objects/policy.ts';
import { query as queryKind } from '../../src/objects/query.ts';
import { type Receipt, receipt as receiptKind } from '../../src/objects/receipt.ts';
import { type Request, request as requestKind } from '../../src/objects/request.ts';
import { type Tick, tick as tickKind } from '../../src/objects/tick.ts';
import { codeWasm } from '../../src/node/wasm.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import type { Clock, Connect, Database, Files, LinkOptions, Timers } from '../../src/platform.ts';
import type { About, Place } from '../../src/presence.ts';
import { generatePem, nodeSigner } from '../../src/signer.ts';
import { downTopic, tickTopic, upTopic } from '../../src/topics.ts';
import type { Frame } from '../../device/confirm.ts';
import { nobleSigner } from '../../device/keys/noble.ts';
import { type DeviceLink, type LinkEvents, createDeviceLink } from '../../device/link.ts';
import { type Outbox, createOutbox } from '../../device/outbox.ts';
import { type Directory, createDirectory } from '../../device/payees.ts';
import { type Pin, createPin } from '../../device/pin.ts';
import { type Presence, createPresence } from '../../device/presence.ts';
import { type Device, createDevice } from '../../device/runtime.ts';
import { createCodeReader } from '../../device/sense/look.ts';
import { createSequence } from '../../device/sequence.ts';
import type { Speaker } from '../../device/speaker.ts';
import type { Mood } from '../../device/surface/port.ts';
import { createTime } from '../../device/time.ts';
import { createTrust } from '../../device/trust.ts';
import { createUpdates } from '../../device/updates.ts';

export const REALM: Realm = { environment: 'sim', ledger: 'demo' };
export const DEVICE = 'glasses-1';
/** Noon in Shanghai. */
export const START_MS = Date.UTC(2026, 6, 1, 4);
export const START_S = START_MS / 1000;
export const LEASE_NONCE = Uint8Array.of(9, 9, 9, 9, 9, 9, 9, 9);
export const NONCE = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);

const makeKey = () => createPrivateKey(generatePem('ES256'));
export const root = nodeSigner(makeKey());
export const bridge = nodeSigner(makeKey());
export const till = nodeSigner(makeKey());
export const otherTill = nodeSigner(makeKey());
export const stranger = nodeSigner(makeKey());
export const wearer = nobleSigner(makeKey(), undefined);

const DAY_S = 86_400;
const valid = { nbf: START_S - DAY_S, exp: START_S + DAY_S };
const state = (value: Omit<Parameters<typeof keyStatement.encode>[0], 'nbf' | 'exp'>) =>
  seal(keyStatement, { ...valid, ...value }, REALM, root);

const tillOf = (signer: Signer, terminal: string, payee: string, en: string, zh: string) =>
  state({
    key: signer.key.public,
    role: 'terminal',
    presenceMax: 0,
    device: terminal,
    payee,
    terminal,
    names: [
      ['en', en],
      ['zh', zh],
    ],
  });

export const statements: readonly Uint8Array[] = await Promise.all([
  state({ key: bridge.key.public, role: 'bridge', presenceMax: 0 }),
  tillOf(till, 'till-1', 'luckin-coffee', 'Luckin Coffee', '瑞幸咖啡'),
  tillOf(otherTill, 'till-2', 'noodle-bar', 'Noodle Bar', '面馆'),
  state({ key: wearer.key.public, role: 'device', presenceMax: 2, device: DEVICE }),
]);

/** P1 up to 20 yuan, P2 up to 1,000. */
export const BANDS: readonly Band[] = [
  { ceiling: 20_00n, level: 1 },
  { ceiling: 1_000_00n, level: 2 },
];

/** A policy, the platform's unless `changed` says otherwise. */
export function sealPolicy(changed: Partial<Policy> = {}): Promise<Uint8Array> {
  const whole: Policy = {
    iat: START_S,
    version: 1,
    scope: { kind: 'platform' },
    ladders: [{ currency: 'CNY', bands: BANDS }],
    ...changed,
  };
  return seal(policyKind, whole, REALM, root);
}

export const policy = await sealPolicy();

export function mandateWith(changed: Partial<Mandate> = {}): Mandate {
  return {
    nbf: START_S - 60,
    exp: START_S + DAY_S,
    iat: START_S,
    cnf: wearer.key.name,
    funding: 'acct-1',
    currency: 'CNY',
    perPaymentMax: 200_00n,
    channels: 7,
    windows: [{ kind: 'total', max: 2_000_00n, count: 200 }],
    allow: [{ kind: 'any' }],
    bands: BANDS,
    epoch: 1,
    textDigest: new Uint8Array(32),
    ...changed,
  };
}

export const MANDATE_ID = 'ab'.repeat(16);

/** The id of a stage's mandate, counted from 0. */
export const mandateId = (n: number) => (n === 0 ? MANDATE_ID : `${n}b`.repeat(16));

/** An order of a till, with one line. */
export function sealOrder(changed: Partial<Order> = {}, signer: Signer = till) {
  const minor = changed.amount?.minor ?? 38_00n;
  const order: Order = {
    exp: START_S + 600,
    amount: { currency: 'CNY', minor },
    payee: 'luckin-coffee',
    terminal: 'till-1',
    lines: [{ text: 'Latte', quantity: 1, total: minor }],
    salt: new Uint8Array(16).fill(7),
    ...changed,
  };
  return seal(orderKind, order, REALM, signer);
}

export function orderId(envelope: Uint8Array): string {
  return identify(envelope, REALM, orderKind.name).id;
}

/** A mandate's envelope, signed by whoever; the device does not verify it. */
export function sealMandate(changed: Partial<Mandate> = {}): Promise<Uint8Array> {
  return seal(mandateKind, mandateWith(changed), REALM, stranger);
}

/** Small files in memory; `fail` makes the next writes fail. */
export function createDisk(): Files &
  Readonly<{ kept: Map<string, Uint8Array>; fail: (whether: boolean) => void }> {
  const kept = new Map<string, Uint8Array>();
  let isFailing = false;
  const write = (path: string, bytes: Uint8Array) => {
    if (isFailing) throw new Error('no space left on device');
    kept.set(path, Uint8Array.from(bytes));
  };
  return {
    kept,
    fail: (whether) => void (isFailing = whether),
    read: (path) => kept.get(path),
    create: write,
    replace: write,
    erase: (path) => void kept.delete(path),
    access: () => ({ mode: 0o600, own: true }),
    folder: () => {},
    list: () => [...kept.keys()].sort(),
  };
}

/** Lets everything that is waiting in this process happen. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((done) => setImmediate(done));
}

export type FakeTime = Readonly<{
  clock: Clock;
  timers: Timers;
  /** Lets milliseconds pass, timer by timer. */
  pass: (ms: number) => Promise<void>;
  /** Sets the wall clock to another time; the monotonic clock goes on. */
  step: (ms: number) => void;
}>;

export function createFakeTime(): FakeTime {
  let elapsedMs = 0;
  let wallMs = START_MS;
  const waiting = new Set<{ dueMs: number; run: () => void }>();
  return {
    clock: { nowMs: () => wallMs + elapsedMs, monotonicMs: () => elapsedMs },
    timers: {
      after(ms, run) {
        const timer = { dueMs: elapsedMs + ms, run };
        waiting.add(timer);
        return () => void waiting.delete(timer);
      },
      soon: (run) => void setImmediate(run),
    },
    async pass(ms) {
      const untilMs = elapsedMs + ms;
      await settle();
      for (;;) {
        const [next] = [...waiting].sort((a, b) => a.dueMs - b.dueMs);
        if (!next || next.dueMs > untilMs) break;
        waiting.delete(next);
        elapsedMs = Math.max(elapsedMs, next.dueMs);
        next.run();
        await settle();
      }
      elapsedMs = untilMs;
    },
    step: (ms) => void (wallMs += ms),
  };
}

export type Published = Readonly<{ topic: string; payload: Uint8Array; qos: 0 | 1; atMs: number }>;

export type Wire = Readonly<{
  connect: Connect;
  /** Everything that was handed to the network. */
  published: Published[];
  /** What is retained, apart from it. */
  retained: Published[];
  /** As `published`, of one kind. */
  sent: (kind: 'request' | 'query' | 'order' | 'mandate') => readonly Published[];
  up: () => void;
  down: () => void;
  /** How often the device gave the link up for a new one. */
  renewals: () => number;
  deliver: (topic: string, payload: Uint8Array) => void;
  options: () => LinkOptions;
  isClosed: () => boolean;
}>;

/** An MQTT link that keeps what is published and delivers what it is told. */
export function createWire(time: FakeTime, device = DEVICE): Wire {
  const published: Published[] = [];
  const retained: Published[] = [];
  let connected: Parameters<Connect> | undefined;
  let renewals = 0;
  let isClosed = false;
  return {
    connect(options, events) {
      connected = [options, events];
      return {
        publish(topic, payload, qos, retain) {
          const sent = { topic, payload, qos, atMs: time.clock.monotonicMs() };
          (retain ? retained : published).push(sent);
        },
        renew: () => void renewals++,
        close: async () => void (isClosed = true),
      };
    },
    published,
    retained,
    renewals: () => renewals,
    sent: (kind) => published.filter(({ topic }) => topic === upTopic(device, kind)),
    up() {
      connected![0].will?.();
      connected![1].state('up', 'connected');
    },
    down: () => connected![1].state('down', 'gone'),
    deliver: (topic, payload) => connected![1].message(topic, payload),
    options: () => connected![0],
    isClosed: () => isClosed,
  };
}

export const PLACE: Place = { host: 'pi-cafe', boot: '0b0b0b0b', start: '01010101' };
const ABOUT: About = {
  versions: { saytap: '0.1.0', node: '24.0.0' },
  profile: 'glasses',
  channels: ['voice', 'tap', 'look'],
  surfaces: ['terminal'],
  offline: 'require_online',
  keys: 'file',
  presenceMax: 2,
  config: '0123456789abcdef',
  key: { kid: wearer.key.name.slice(0, 16), since: START_S, until: START_S + DAY_S },
};

/** What a device of the tests says of itself. */
export function presenceOf(outbox: Outbox, device = DEVICE): Presence {
  return createPresence({ device, about: ABOUT, place: PLACE, outbox, log: () => {} });
}

export type Stage = Awaited<ReturnType<typeof createStage>>;

type StageOptions = Readonly<{
  language?: 'en' | 'zh';
  mandates?: readonly Mandate[];
  presenceMax?: 0 | 1 | 2 | 3;
  /** Without it none is set. */
  pin?: Pin;
  speaker?: (time: FakeTime) => Speaker;
  /** One that outlives the stage, for restarts. */
  database?: Database;
  /** Stands between the runtime and the real outbox. */
  wrap?: (outbox: Outbox) => Outbox;
  directory?: (real: Directory) => Directory;
  /** In place of the wearer's own signing. */
  sign?: Signer['sign'];
  policies?: readonly Uint8Array[];
  keepsLeases?: boolean;
  /** A counter of luckin-coffee, at which payments are collected. */
  isCounter?: boolean;
  /** One that outlives the stage, for restarts. */
  fakeTime?: FakeTime;
}>;

/** A device whose broker is not there yet; `ready` brings it. */
export async function createStage(options: StageOptions = {}) {
  const { language = 'en', mandates = [mandateWith()], presenceMax = 2 } = options;
  const time = options.fakeTime ?? createFakeTime();
  const wire = createWire(time);
  const real = createOutbox(options.database ?? openDatabase(':memory:'));
  const outbox = options.wrap?.(real) ?? real;
  const deviceTime = createTime(time.clock);
  const trust = createTrust(
    REALM,
    root.key,
    statements,
    options.policies ?? [policy],
    deviceTime.trustedMs,
  );
  const directory = createDirectory(trust.payees);
  const asked: { frame: Frame; sentence: string; wants: string }[] = [];
  const said: { sentence: string; mood: Mood }[] = [];
  const staff: { sentence: string; mood: Mood }[] = [];
  const heard: Parameters<LinkEvents['receipt']>[] = [];
  const states: string[] = [];
  const unsigned: Reason[] = [];
  const logged: string[] = [];
  const givenUp: string[] = [];
  let clones = 0;
  let filled = 0;
  const random = (count: number) => new Uint8Array(count).fill(++filled);
  const updates = createUpdates(time.clock);

  const shared = {
    realm: REALM,
    signer: { key: wearer.key, sign: options.sign ?? wearer.sign },
    trust,
    time: deviceTime,
    outbox,
    clock: time.clock,
    timers: time.timers,
    log: (_level: string, event: string) => void logged.push(event),
  };
  const device: Device = createDevice({
    ...shared,
    sequence: createSequence(shared),
    language,
    presenceMax,
    pin: options.pin ?? createPin(createDisk(), random, 'device.pin'),
    speaker: options.speaker?.(time),
    random,
    mandates: mandates.map((mandate, n) => ({ id: mandateId(n), mandate, payer: `payer-${n}` })),
    ...(options.isCounter && {
      counter: {
        payee: 'luckin-coffee',
        terminal: 'till-1',
        staff: (sentence, mood) => void staff.push({ sentence, mood }),
      },
    }),
    directory: options.directory?.(directory) ?? directory,
    link: () => link,
    updates,
    readCode: createCodeReader(codeWasm),
    surface: {
      ask: (frame, sentence, wants) => void asked.push({ frame, sentence, wants }),
      say: (sentence, mood) => void said.push({ sentence, mood }),
    },
  });
  device.resume();
  const link: DeviceLink = createDeviceLink(
    {
      ...shared,
      device: DEVICE,
      presence: presenceOf(outbox),
      url: 'mqtt://nowhere',
      connect: wire.connect,
      keepsLeases: options.keepsLeases ?? false,
      random,
    },
    {
      receipt(...all) {
        heard.push(all);
        if (all[3]) device.hear(all[0], all[1]);
      },
      state: (now) => void states.push(now),
      cloned() {
        clones++;
        device.suspend();
      },
      unsigned: (reason) => void unsigned.push(reason),
      givenUp(id) {
        givenUp.push(id);
        // Tests of the link alone store bytes that are no request.
        if (outbox.get(id)?.envelope[0] === 0xd2) device.giveUp(id);
      },
    },
  );

  const nowS = () => Math.floor(time.clock.nowMs() / 1000);

  /** Signs and delivers a receipt; anything of it may be changed. */
  async function receipt(value: Partial<Receipt>, signer = bridge, realm = REALM) {
    const whole = { iat: nowS(), ...value } as Receipt;
    const envelope = await seal(receiptKind, whole, realm, signer);
    wire.deliver(downTopic(DEVICE, 'receipt'), envelope);
    await settle();
    return envelope;
  }

  async function tick(value: Partial<Tick> = {}, signer = bridge) {
    const whole = { iat: nowS(), nonce: NONCE, ...value } as Tick;
    const envelope = await seal(tickKind, whole, REALM, signer);
    const topic = whole.audience ? downTopic(DEVICE, 'tick') : tickTopic(REALM.ledger);
    wire.deliver(topic, envelope);
    await settle();
  }

  /** Answers the newest boot query. */
  async function boot(value: Partial<Tick> = {}, signer = bridge) {
    const query = wire.sent('query').at(-1);
    assert(query, 'no boot query was sent');
    const { echo } = queryKind.decode(payloadOf(query.payload));
    const counter = outbox.counter(wearer.key.name);
    await tick({ audience: wearer.key.name, echo: echo!, counter, ...value }, signer);
  }

  /** Lets time pass while the bridge ticks, and answers what is asked of it about time. */
  async function live(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= TICK_SLOT_MS) {
      await time.pass(Math.min(left, TICK_SLOT_MS));
      if (left > TICK_SLOT_MS) await tick();
    }
  }

  return {
    updates,
    ...{ live },
    ...{ time, wire, outbox, trust, deviceTime, directory, device, link },
    ...{ asked, said, staff, heard, states, unsigned, logged, givenUp, receipt, tick, boot },
    clones: () => clones,
    async ready() {
      wire.up();
      await settle();
      await boot();
    },
    /** Brings a lease of 1,000 yuan and 100 payments for four hours under a held mandate. */
    async lease(value: Partial<NonNullable<Tick['lease']>> = {}, iat = nowS()) {
      const amount = { currency: 'CNY', minor: 1_000_00n };
      const ends = { exp: iat + 14_400, upload: iat + 100_800 };
      const lease = { mandate: MANDATE_ID, amount, count: 100, ...ends, ...value };
      const nonce = LEASE_NONCE;
      await tick({ audience: wearer.key.name, iat, nonce, lease });
    },
    /** A bill, a tapped tag, and the press of whoever pays. */
    async collect(minor: bigint, mandate = MANDATE_ID) {
      assert(device.bill({ currency: 'CNY', minor }), 'busy');
      const told = device.sense({ kind: 'link', text: `saytap://payer/${mandate}` });
      await settle();
      await time.pass(CONFIRM_READ_MS);
      device.answer({ kind: 'press' });
      return told;
    },
    say: (text: string) => device.sense({ kind: 'utterance', text }),
    /** Not before the question has been read. */
    async press() {
      await time.pass(CONFIRM_READ_MS);
      return device.sense({ kind: 'press' });
    },
    /** The sentences of the surface, in order. */
    sentences: () => said.map(({ sentence }) => sentence),
    /** The one request in the outbox, decoded. */
    request(): Request & { id: string } {
      const open = outbox.open().filter(({ kind }) => kind === 'request');
      assert.equal(open.length, 1, 'one open request');
      return { ...requestKind.decode(payloadOf(open[0]!.envelope)), id: open[0]!.id };
    },
    /** Everything that could have left: nothing was stored, counted or published. */
    left: () => ({
      stored: outbox.open().length + outbox.recent(10).length,
      counter: outbox.counter(wearer.key.name),
      sent: wire.sent('request').length,
    }),
    refuse: (subject: string, reason: Reason) =>
      receipt({ subject, outcome: 'refused', reason: REASONS[reason] }),
    capture: (subject: string, minor = 12_50n) =>
      receipt({ subject, outcome: 'captured', amount: { currency: 'CNY', minor } }),
    /** The questions to cancel that were sent, as the ids that they are about. */
    cancels: () =>
      wire
        .sent('query')
        .map(({ payload }) => queryKind.decode(payloadOf(payload)))
        .flatMap(({ question, subject }) => (question === 'cancel' ? [subject!] : [])),
    pending: (subject: string, reason: Reason) =>
      receipt({ subject, outcome: 'pending', reason: REASONS[reason] }),
  };
}

export const NOTHING = { stored: 0, counter: 0, sent: 0 };

/** The reason code of a refusal, `accepted` when there was none; anything else is a bug. */
export function reasonOf(run: () => unknown): Reason | 'accepted' {
  try {
    run();
    return 'accepted';
  } catch (error) {
    if (error instanceof PaymentError) return error.reason;
    throw error;
  }
}

export async function reasonOfAsync(run: () => Promise<unknown>): Promise<Reason | 'accepted'> {
  try {
    await run();
    return 'accepted';
  } catch (error) {
    if (error instanceof PaymentError) return error.reason;
    throw error;
  }
}

/** An NDEF message with one short record. */
export function ndef(format: number, type: string, payload: Uint8Array): Uint8Array {
  const isShort = payload.length < 256;
  const length = isShort
    ? [payload.length]
    : [24, 16, 8, 0].map((shift) => (payload.length >> shift) & 255);
  const head = [0xc0 | (isShort ? 0x10 : 0) | format, type.length, ...length];
  return Uint8Array.from([...head, ...new TextEncoder().encode(type), ...payload]);
}

/** A URI record (URI RTD 1.0) without abbreviation. */
export function uriTag(uri: string): Uint8Array {
  return ndef(1, 'U', Uint8Array.from([0, ...new TextEncoder().encode(uri)]));
}
