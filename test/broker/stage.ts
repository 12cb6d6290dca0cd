/**
 * The stage on which the bridge's tests play: keys, statements, mandates, and a bridge over a real
 * SQLite store, with a clock that only the test moves and risk and backend that obey it.
 *
 * A stage outlives its bridge: `boot` starts another one on the same store, which is what a restart
 * is. A `Power` cuts a bridge off before or after its n-th step, for good.
 */
import { cancelKeyOf } from '../../broker/attempt.ts';
import { createIdentities } from '../../broker/identities.ts';
import { createBridge, type Bridge, type Parts } from '../../broker/bridge.ts';
import type {
  Authorisation,
  Backend,
  BackendAnswer,
  Capabilities,
  Movement,
  Notification,
} from '../../broker/backends/port.ts';
import type { Assessment, RiskQuestion } from '../../broker/risk/client.ts';
import type { Admission, Store } from '../../broker/store/port.ts';
import { createSqliteStore } from '../../broker/store/sqlite.ts';
import { createNonces } from '../../broker/tick.ts';
import { type Rules, judge } from '../../broker/verdict.ts';
import { toHex } from '../../src/bytes.ts';
import { type Realm, type Signer, identify } from '../../src/cose.ts';
import { PaymentError, type Reason, reasonName } from '../../src/errors.ts';
import { CLAIM_MS } from '../../src/limits.ts';
import { random } from '../../src/node/platform.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import { type KeyStatement, keyStatement } from '../../src/objects/key.ts';
import { type Kind, open, seal } from '../../src/objects/kind.ts';
import type { KindName } from '../../src/objects/kinds.ts';
import { type Mandate, mandate as mandateKind } from '../../src/objects/mandate.ts';
import { type Order, order as orderKind } from '../../src/objects/order.ts';
import type { Policy } from '../../src/objects/policy.ts';
import { type Query, query as queryKind } from '../../src/objects/query.ts';
import { type Receipt, receipt as receiptKind } from '../../src/objects/receipt.ts';
import { type Request, request as requestKind } from '../../src/objects/request.ts';
import { type Tick, tick as tickKind } from '../../src/objects/tick.ts';
import type { Clock, Database, Timers } from '../../src/platform.ts';
import { generatePem, nodeSigner, readPrivatePem } from '../../src/signer.ts';
import { downTopic, upTopic } from '../../src/topics.ts';

export const REALM: Realm = Object.freeze({ environment: 'sim', ledger: 'demo' });
export const NOW_MS = Date.UTC(2026, 9, 14, 4);
export const NOW_S = NOW_MS / 1000;
export const PAYER = new Uint8Array(16).fill(7);

/** A key of its own, made now. */
export const makeSigner = (): Signer => nodeSigner(readPrivatePem(generatePem('ES256')));

/** Everybody who signs. `stranger` is enrolled nowhere, `guest` is a second payer's device. */
export const CAST = Object.freeze({
  root: makeSigner(),
  bridge: makeSigner(),
  wallet: makeSigner(),
  glasses: makeSigner(),
  guest: makeSigner(),
  agent: makeSigner(),
  kiosk: makeSigner(),
  till: makeSigner(),
  bazaar: makeSigner(),
  stranger: makeSigner(),
});
export type Role = keyof typeof CAST;

/** What the root says of the cast; the key itself and the validity are added by `statementOf`. */
const SAYS: Readonly<Record<string, Omit<KeyStatement, 'key' | 'nbf' | 'exp'>>> = {
  bridge: { role: 'bridge', presenceMax: 0 },
  wallet: { role: 'wallet', presenceMax: 4, payer: PAYER },
  glasses: { role: 'device', presenceMax: 2, payer: PAYER, device: 'glasses' },
  guest: { role: 'device', presenceMax: 2, device: 'guest' },
  agent: { role: 'agent', presenceMax: 2, device: 'agent' },
  kiosk: terminal('kiosk', 'cafe', 'till-1', 5814),
  till: terminal('till', 'cafe', 'till-2', 5814),
  bazaar: terminal('bazaar', 'bazaar', 'stall-1', 5999),
};
export const ENROLLED = Object.keys(SAYS) as Role[];

function terminal(device: string, payee: string, name: string, category: number) {
  const names = [['en', payee]] as const;
  return {
    role: 'terminal',
    presenceMax: 0,
    device,
    payee,
    terminal: name,
    names,
    category,
  } as const;
}

export function statementOf(role: Role, changes: Partial<KeyStatement> = {}): KeyStatement {
  const valid = { nbf: NOW_S - 86_400, exp: NOW_S + 365 * 86_400 };
  return { ...SAYS[role]!, ...valid, key: CAST[role].key.public, ...changes };
}

/** Up to 20 yuan at P1, up to 1,000 at P2; above that, and in other currencies, P4. */
export const BANDS = Object.freeze([
  { ceiling: 20_00n, level: 1 },
  { ceiling: 1_000_00n, level: 2 },
] as const);

export const POLICY: Policy = {
  iat: NOW_S,
  version: 1,
  scope: { kind: 'platform' },
  ladders: [{ currency: 'CNY', bands: BANDS }],
};

/** The same, and it lets payments be accepted offline. */
export const OFFLINE_POLICY: Policy = {
  ...POLICY,
  offline: {
    behaviour: 'prefer_online',
    currency: 'CNY',
    floorLimit: 50_00n,
    storedAmountMax: 500_00n,
    storedCountMax: 50,
    acceptWindow: 3_600,
    uploadWindow: 7_200,
    goOnlineEvery: [5, 20],
    payerCountMax: 5,
    payerAmountMax: 100_00n,
    policyAgeMax: 90 * 86_400,
  },
};

/** Rules under which every nonce is fresh. */
export const RULES: Rules = { policies: [POLICY], isFresh: () => true };

export function mandateOf(changes: Partial<Mandate> = {}): Mandate {
  return {
    nbf: NOW_S - 60,
    exp: NOW_S + 86_400,
    iat: NOW_S,
    cnf: CAST.glasses.key.name,
    funding: 'acct-1',
    currency: 'CNY',
    perPaymentMax: 200_00n,
    channels: 31,
    windows: [{ kind: 'total', max: 1_000_00n, count: 100 }],
    allow: [{ kind: 'payee', payee: 'cafe' }],
    bands: BANDS,
    epoch: 1,
    textDigest: new Uint8Array(32),
    ...changes,
  };
}

export const MANDATE_ID = 'aa'.repeat(16);

export function requestOf(changes: Partial<Request> = {}): Request {
  return {
    exp: NOW_S + 300,
    action: 'pay',
    mandate: MANDATE_ID,
    counter: 1,
    amount: { currency: 'CNY', minor: 10_00n },
    payee: 'cafe',
    presence: 2,
    channel: 'voice',
    nonce: new Uint8Array(8),
    ...changes,
  };
}

export function orderOf(changes: Partial<Order> = {}): Order {
  return {
    exp: NOW_S + 600,
    amount: { currency: 'CNY', minor: 40_00n },
    payee: 'cafe',
    terminal: 'till-1',
    lines: [{ text: 'Latte', quantity: 2, total: 40_00n }],
    salt: new Uint8Array(16).fill(1),
    ...changes,
  };
}

/** A sealed object and what it is called by. */
export type Sealed = Readonly<{ id: string; envelope: Uint8Array }>;

export async function sealed<T>(
  kind: Kind<T>,
  value: T,
  signer: Signer,
  realm: Realm = REALM,
): Promise<Sealed> {
  const envelope = await seal(kind, value, realm, signer);
  return { envelope, id: identify(envelope, realm, kind.name).id };
}

/** Enrols statements straight into a store. */
export async function enrol(store: Store, roles: readonly Role[] = ENROLLED): Promise<void> {
  for (const role of roles) {
    const envelope = await seal(keyStatement, statementOf(role), REALM, CAST.root);
    await store.putIdentity(CAST[role].key.name, statementOf(role), envelope, NOW_MS);
  }
}

/** Puts a mandate straight into a store; returns its id. */
export async function putMandate(
  store: Store,
  changes: Partial<Mandate> = {},
  issuer: Role = 'wallet',
): Promise<string> {
  const value = mandateOf(changes);
  const { id, envelope } = await sealed(mandateKind, value, CAST[issuer]);
  const { name } = CAST[issuer].key;
  await store.putMandate(id, value, name, toHex(PAYER), ['ledger'], envelope, NOW_MS);
  return id;
}

/** A signed request as the bridge hands it to its store. */
export async function admissionOf(
  changes: Partial<Request>,
  nowMs: number = NOW_MS,
  role: Role = 'glasses',
): Promise<Admission> {
  const request = requestOf({ exp: Math.floor(nowMs / 1000) + 300, ...changes });
  const { id, envelope } = await sealed(requestKind, request, CAST[role]);
  const claim = { owner: 'test', untilMs: nowMs + CLAIM_MS };
  return { id, key: CAST[role].key.name, device: role, request, envelope, nowMs, claim };
}

/** Admits under the real judge and RULES. */
export const admitTo = (store: Store, admission: Admission) =>
  store.admit(admission, (facts) => judge(admission.request, facts, RULES));

// ── time ──────────────────────────────────────────────────────────────────────────────────────

/** Time that stands still until the test advances it; `soon` is the real next turn of the loop. */
export function createTime(): Readonly<{
  clock: Clock;
  timers: Timers;
  /** Moves on, and runs every timer at its own moment. */
  advance: (ms: number) => Promise<void>;
  /** A machine that slept: the time is over at once, then whatever was due runs. */
  leap: (ms: number) => Promise<void>;
  waiting: () => number;
}> {
  let passedMs = 0;
  const due = new Set<{ atMs: number; run: () => void }>();
  return {
    clock: { nowMs: () => NOW_MS + passedMs, monotonicMs: () => passedMs },
    timers: {
      after(ms, run) {
        const item = { atMs: passedMs + ms, run };
        due.add(item);
        return () => void due.delete(item);
      },
      soon: (run) => void setImmediate(run),
    },
    async advance(ms) {
      await settle();
      const untilMs = passedMs + ms;
      for (;;) {
        const [next] = [...due].sort((a, b) => a.atMs - b.atMs);
        if (!next || next.atMs > untilMs) break;
        due.delete(next);
        passedMs = next.atMs;
        next.run();
        await settle();
      }
      passedMs = untilMs;
    },
    async leap(ms) {
      passedMs += ms;
      for (const item of [...due].filter(({ atMs }) => atMs <= passedMs)) {
        due.delete(item);
        item.run();
      }
      await settle();
    },
    waiting: () => due.size,
  };
}

/** Lets everything happen that needs no time. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 25; turn++) await new Promise((done) => setImmediate(done));
}

// ── power ─────────────────────────────────────────────────────────────────────────────────────

/** Counts the steps of one bridge and cuts it off at step `cutAt`; `passed` names the steps. */
export class Power {
  readonly passed: string[] = [];
  readonly cutAt: number;
  isOff = false;

  constructor(cutAt = Infinity) {
    this.cutAt = cutAt;
  }

  pass(point: string): void {
    if (!this.isOff) this.passed.push(point);
    if (this.passed.length >= this.cutAt) this.isOff = true;
    if (this.isOff) throw new Error('power cut');
  }

  /** `run` with a step before and a step after it. */
  around<A extends unknown[], T>(name: string, run: (...args: A) => Promise<T>) {
    return async (...args: A): Promise<T> => {
      this.pass(`before ${name}`);
      const result = await run(...args);
      this.pass(`after ${name}`);
      return result;
    };
  }
}

// ── the stage ─────────────────────────────────────────────────────────────────────────────────

/**
 * What the backend does with a call: `lost` moves the money and gives no answer, `late` gives none
 * either and moves it only when `arrive` is called, unless it was barred meanwhile.
 */
export type BackendAct = 'done' | 'declined' | 'lost' | 'late' | 'unknown' | 'unsent';

type Entry = {
  outcome: 'captured' | 'held' | 'voided' | 'refunded';
  call: Authorisation | Movement;
};

/** A backend that does what `acts` say, one act per call that moves money, and then `done`. */
export function createBackend(name = 'ledger') {
  const acts: BackendAct[] = [];
  /** Every authorisation asked for, in order. */
  const calls: Authorisation[] = [];
  /** Every capture, void and refund asked for, in order. */
  const movements: (Movement & Readonly<{ operation: string }>)[] = [];
  /** What was authorised, by key: money moved at most once. */
  const moved = new Map<string, Authorisation>();
  const answers = new Map<string, Entry | 'declined'>();
  const state = { linked: true as boolean | 'away', query: 'sees' as 'sees' | 'blind' | 'away' };
  /** Calls that are still on their way. */
  const underway: (() => void)[] = [];
  let before = async () => {};
  let capabilities: Capabilities = {
    resolvesBy: 'replay',
    keyForMs: 86_400_000,
    pollMs: 0,
    cancel: { unseen: 'bars', captured: 'refuses', forMs: 7 * 86_400_000 },
    notifies: true,
  };

  const reference = (key: string) => `ref-${key.slice(0, 4)}`;
  const answerOf = (key: string, entry: Entry | 'declined'): BackendAnswer =>
    entry === 'declined'
      ? { kind: 'declined', reason: 'backend_declined' }
      : { kind: 'done', outcome: entry.outcome, reference: reference(key) };

  async function act(
    call: Authorisation | Movement,
    outcome: Entry['outcome'],
    isAllowed: boolean,
  ): Promise<BackendAnswer> {
    await before();
    const next = acts.shift() ?? 'done';
    if (next === 'unsent') return { kind: 'unsent', why: 'refused' };
    if (next === 'unknown') return { kind: 'unknown', why: 'no answer' };
    if (next === 'late') {
      underway.push(() => execute(call, outcome, isAllowed));
      return { kind: 'unknown', why: 'no answer' };
    }
    execute(call, outcome, next !== 'declined' && isAllowed);
    return next === 'lost'
      ? { kind: 'unknown', why: 'no answer' }
      : answerOf(call.key, answers.get(call.key)!);
  }

  function execute(
    call: Authorisation | Movement,
    outcome: Entry['outcome'],
    isAllowed: boolean,
  ): void {
    if (answers.has(call.key)) return;
    answers.set(call.key, isAllowed ? { outcome, call } : 'declined');
    if (isAllowed && 'funding' in call) moved.set(call.key, call);
  }

  const move = (operation: 'capture' | 'void' | 'refund', outcome: Entry['outcome']) =>
    async function (movement: Movement): Promise<BackendAnswer> {
      movements.push({ ...movement, operation });
      const original = answers.get(movement.original);
      if (operation === 'void' && original === undefined) {
        const answer = await act(movement, outcome, true);
        // Barred: it will find itself declined.
        if (answers.has(movement.key)) answers.set(movement.original, 'declined');
        return answer;
      }
      const held = original !== 'declined' && original?.outcome === 'held';
      const isAllowed = operation === 'refund' ? original !== 'declined' : held;
      const answer = await act(movement, outcome, isAllowed);
      if (operation === 'void' && answer.kind === 'done') moved.delete(movement.original);
      return answer;
    };

  const port: Backend = {
    name,
    get capabilities() {
      return capabilities;
    },
    async authorise(call) {
      calls.push(call);
      return act(call, call.capture === 'now' ? 'captured' : 'held', true);
    },
    capture: move('capture', 'captured'),
    void: move('void', 'voided'),
    refund: move('refund', 'refunded'),
    async query(key) {
      if (state.query === 'away') return { kind: 'unknown', why: 'away' };
      const known = state.query === 'blind' ? undefined : answers.get(key);
      return known ? answerOf(key, known) : { kind: 'unseen' };
    },
    /** The body is the notification itself, unsigned: signatures are the adapters' business. */
    parseNotification({ body }) {
      return JSON.parse(new TextDecoder().decode(body)) as Notification;
    },
    async fundingLinked() {
      if (state.linked === 'away') throw new PaymentError('unavailable', 'away');
      return state.linked;
    },
  };
  return Object.assign(state, {
    port,
    acts,
    calls,
    movements,
    moved,
    /** Its cancel reversed it, which its own key does not tell. */
    reversed(key: string): void {
      const call = moved.get(key)!;
      moved.delete(key);
      answers.set(cancelKeyOf(key), { outcome: 'voided', call });
    },
    /** What was on its way gets there. */
    arrive: () => underway.splice(0).forEach((run) => run()),
    before: (run: () => Promise<void>) => void (before = run),
    can: (changes: Partial<Capabilities>) => void (capabilities = { ...capabilities, ...changes }),
  });
}

export type Sent = Readonly<{ topic: string; payload: Uint8Array; qos: 0 | 1 }>;

export type Stage = Awaited<ReturnType<typeof createStage>>;

export const TICK_SECRET = new Uint8Array(32).fill(3);

export async function createStage(
  options: Readonly<{
    path?: string;
    realm?: Realm;
    isSecond?: boolean;
    policies?: readonly Policy[];
  }> = {},
) {
  const realm = options.realm ?? REALM;
  const time = createTime();
  const { clock } = time;
  const disk = { isFull: false };
  const database = openDatabase(options.path ?? ':memory:');
  const store = createSqliteStore(failing(database, disk), time.timers, random);
  await enrol(store);
  const nonces = createNonces(TICK_SECRET, 1);
  const sent: Sent[] = [];
  const logs: string[] = [];
  const risk = { asked: [] as RiskQuestion[], answers: [] as Assessment[] };
  const backend = createBackend();
  const other = createBackend('other');
  const hooks = { risk: (): unknown => undefined };

  async function assess(question: RiskQuestion): Promise<Assessment> {
    risk.asked.push(question);
    await hooks.risk();
    return risk.answers.shift() ?? decided('allow', 10, []);
  }

  /** Another bridge on the same store: what a restart is. */
  function boot(power: Power = new Power(), changes: Partial<Parts> = {}): Bridge {
    const cut: Store = {
      ...store,
      admit: power.around('admit', store.admit),
      decide: power.around('decide', store.decide),
      conclude: power.around('conclude', store.conclude),
    };
    return createBridge({
      realm,
      store: cut,
      identities: createIdentities(cut, realm, CAST.root.key, clock),
      risk: { assess: power.around('risk', assess) },
      backends: [
        { ...backend.port, authorise: power.around('backend', backend.port.authorise) },
        ...(options.isSecond ? [other.port] : []),
      ],
      owner: `bridge-${++boots}`,
      signer: CAST.bridge,
      rules: { policies: options.policies ?? [POLICY], isFresh: nonces.isFresh },
      nonces,
      clock,
      timers: time.timers,
      log: (level, event, fields) =>
        void logs.push(`${level} ${event} ${JSON.stringify(fields ?? {})}`),
      send(topic, payload, qos) {
        power.pass('before send');
        sent.push({ topic, payload, qos });
        power.pass('after send');
      },
      ...changes,
    });
  }

  let boots = 0;
  let bridge = boot();

  return {
    realm,
    time,
    clock,
    database,
    store,
    disk,
    nonces,
    sent,
    logs,
    risk,
    backend,
    /** Called whenever risk is asked; it answers when that is done. */
    onRisk: (run: () => unknown) => void (hooks.risk = run),
    /** Called with every backend call, which waits for it. */
    onBackend: (run: () => Promise<void>) => backend.before(run),
    /** A second backend, when the stage was made with one. */
    other,
    bridge: () => bridge,
    /** As a program that died and starts again: the store finds nobody else working on its runs. */
    restart(power?: Power, changes?: Partial<Parts>): Bridge {
      database.exec('UPDATE runs SET lease_until_ms = 0 WHERE receipt IS NULL');
      return (bridge = boot(power, changes));
    },
    /** A message of a device on its own topic, and all that follows without waiting. */
    async deliver(device: string, kind: KindName, envelope: Uint8Array): Promise<void> {
      bridge.receive(upTopic(device, kind), envelope);
      await settle();
    },
    request: (changes: Partial<Request>, role: Role = 'glasses') =>
      sealed(
        requestKind,
        requestOf({
          exp: Math.floor(clock.nowMs() / 1000) + 300,
          nonce: nonces.at(clock.nowMs()),
          ...changes,
        }),
        CAST[role],
        realm,
      ),
    order: (changes: Partial<Order> = {}, role: Role = 'kiosk') =>
      sealed(orderKind, orderOf(changes), CAST[role], realm),
    query: (value: Query, role: Role = 'glasses') => sealed(queryKind, value, CAST[role], realm),
    /** What a device was told about a subject: verified receipts, in order. */
    told(device: string, subject: string): Receipt[] {
      return bytesTold(sent, device)
        .map((payload) => open(receiptKind, payload, realm, () => CAST.bridge.key).value)
        .filter((receipt) => receipt.subject === subject);
    },
    /** As `told`, of many subjects with one look: the last receipt about each. */
    lastTold(device: string): ReadonlyMap<string, Receipt> {
      const receipts = bytesTold(sent, device).map(
        (payload) => open(receiptKind, payload, realm, () => CAST.bridge.key).value,
      );
      return new Map(receipts.map((receipt) => [receipt.subject, receipt]));
    },
    /** Starts a device: asks the boot question; returns the Ticks that it is answered with. */
    async boots(role: Role): Promise<readonly Tick[]> {
      const question = { question: 'boot', echo: random(16) } as const;
      const { envelope } = await sealed(queryKind, question, CAST[role], realm);
      const before = sent.length;
      bridge.receive(upTopic(role, 'query'), envelope);
      await settle();
      return sent
        .slice(before)
        .filter(({ topic }) => topic === downTopic(role, 'tick'))
        .map(({ payload }) => open(tickKind, payload, realm, () => CAST.bridge.key).value);
    },
    /** All receipts that a device got, as bytes in hex. */
    bytes: (device: string) => bytesTold(sent, device).map(toHex),
    /** Runs without a final receipt. */
    open: () => database.prepare('SELECT id FROM runs WHERE receipt IS NULL').all(),
    attempts: (run: string) =>
      database.prepare('SELECT backend, operation, state FROM attempts WHERE run = ?').all(run),
    /** Rows of every table that a message could change; equal before and after means no trace. */
    rows: () => TABLES.map((table) => database.prepare(`SELECT * FROM ${table}`).all()),
  };
}

const TABLES = [
  'runs',
  'attempts',
  'mandates',
  'orders',
  'windows',
  'reservations',
  'payments',
  'identities',
  'tombstones',
  'payers',
  'revokes',
  'pools',
  'pool_windows',
  'leases',
  'policies',
  'evidence',
];

function bytesTold(sent: readonly Sent[], device: string): Uint8Array[] {
  const topic = downTopic(device, 'receipt');
  return sent.filter((message) => message.topic === topic).map(({ payload }) => payload);
}

export function decided(
  decision: 'allow' | 'step_up' | 'deny',
  score: number,
  reasons: readonly string[],
): Assessment {
  return { kind: 'decided', decision, score, reasons, model: 'test/1' };
}

/** Outcome and reason of a receipt, the two that every test compares. */
export function verdictOf(receipt: Receipt | undefined): readonly [string?, (Reason | undefined)?] {
  if (!receipt) return [];
  const reason = receipt.reason === undefined ? undefined : reasonName(receipt.reason);
  return [receipt.outcome, reason];
}

/** A database whose commits fail while `disk.isFull`, the way src/node/sqlite.ts reports it. */
export function failing(database: Database, disk: Readonly<{ isFull: boolean }>): Database {
  const full =
    <T>(run: () => T) =>
    () => {
      const result = run();
      if (disk.isFull) throw new PaymentError('unavailable', 'The disk is full.');
      return result;
    };
  return {
    ...database,
    transaction: (run) => database.transaction(full(run)),
    commit: (run) => database.commit(full(run)),
  };
}
