/**
 * Puts the bytes of a trace to the bridge's code of today, at the times at which they came, and
 * compares what it says with what was said then.
 *
 * The bridge is the product's own, on a store in memory. What stood beside it is answered for by
 * the trace: whether the risk service had a doubt and whether the money was there is read off the
 * verdicts themselves, so a replay is about verifying, judging and counting, and nothing else.
 */
import type { Backend, BackendAnswer } from '../../broker/backends/port.ts';
import { createBridge } from '../../broker/bridge.ts';
import { createIdentities } from '../../broker/identities.ts';
import { keptPolicies, takePolicy } from '../../broker/policies.ts';
import type { RiskClient } from '../../broker/risk/client.ts';
import type { Store } from '../../broker/store/port.ts';
import { createSqliteStore } from '../../broker/store/sqlite.ts';
import { readUtterance } from '../../device/intents/reading.ts';
import { createDirectory } from '../../device/payees.ts';
import { fromHex, toHex } from '../../src/bytes.ts';
import { identify, payloadOf } from '../../src/cose.ts';
import { PaymentError, reasonName } from '../../src/errors.ts';
import { TICK_ACCEPT_MS, TICK_SLOT_MS, TRACE_SETTLE_MS } from '../../src/limits.ts';
import { keyStatement } from '../../src/objects/key.ts';
import { isFinal, receipt as receiptKind } from '../../src/objects/receipt.ts';
import { request as requestKind } from '../../src/objects/request.ts';
import type { Database, Timers } from '../../src/platform.ts';
import { nodeSigner, readPublicPem } from '../../src/signer.ts';
import { createChance } from '../chance.ts';
import { privateKey } from '../site.ts';
import { createTimeline } from '../time.ts';
import type { Input, Trace, Verdict } from '../trace.ts';

/** What a replay needs of the real world. */
export type ReplayPorts = Readonly<{
  turn: Timers['soon'];
  openDatabase: (path: string) => Database;
}>;

/** One thing that was decided then, and what is decided now; `now` undefined: nothing. */
export type Compared = Readonly<{ then: Verdict; now: Verdict | undefined; isSame: boolean }>;

export type Replayed = Readonly<{
  /** In the order in which they were decided then. */
  verdicts: readonly Compared[];
  /** What was said, read again: what the device made of it then and makes of it now. */
  reading: Readonly<{ then: string; now: string }> | undefined;
}>;

/** Replays a trace. Throws PaymentError when its root has not signed what stands in it. */
export async function replay(trace: Trace, ports: ReplayPorts): Promise<Replayed> {
  const timeline = createTimeline(ports.turn);
  const chance = createChance(`replay ${trace.id ?? ''}`);
  /** How far the bridge's clock was from true time. */
  let aheadMs = 0;
  const clock = {
    nowMs: () => Math.floor(trace.startMs + timeline.nowMs() + aheadMs),
    monotonicMs: timeline.nowMs,
  };
  const leases = [...trace.leases];
  const database = ports.openDatabase(':memory:');
  try {
    /** The mandate that a lease is being given for. */
    let leased: string | undefined;
    /** The nonces of leases are those of then; everything else is drawn anew. */
    const random = (count: number) => {
      const at = leases.findIndex(({ mandate }) => mandate === leased);
      if (count !== NONCE_BYTES || at < 0) return chance.bytes(count);
      return fromHex(leases.splice(at, 1)[0]!.nonce);
    };
    const plain = createSqliteStore(database, timeline, random);
    const store: Store = {
      ...plain,
      lease: (asked, decide) =>
        plain.lease(asked, (facts) => {
          leased = asked.mandate;
          return decide(facts);
        }),
    };
    const { realm } = trace;
    const root = readPublicPem(trace.root);
    const identities = createIdentities(store, realm, root, clock);
    for (const envelope of trace.statements) await settled(identities.enrol(fromHex(envelope)));
    const parts = { store, realm, root };
    for (const policy of trace.policies) {
      await settled(takePolicy(parts, fromHex(policy), clock.nowMs()));
    }
    const policies = await settled(keptPolicies(parts));
    const said = new Map<string, Verdict>();
    const bridge = createBridge({
      ...{ realm, store, identities, clock, timers: timeline },
      risk: riskOf(trace),
      backends: [backendOf(trace)],
      signer: nodeSigner(privateKey('EdDSA', chance.fork('bridge'))),
      rules: { policies, isFresh: freshnessOf(trace) },
      nonces: { at: () => new Uint8Array(NONCE_BYTES), isFresh: freshnessOf(trace) },
      owner: 'replay',
      log: () => {},
      send(topic, payload) {
        if (topic.endsWith('/down/receipt')) hear(payload);
      },
    });
    const hear = (payload: Uint8Array) => {
      const { subject, outcome, reason } = receiptKind.decode(payloadOf(payload));
      if (!isFinal(outcome)) return;
      const why = reason === undefined ? undefined : (reasonName(reason) ?? String(reason));
      const key = `${subject} ${outcome}`;
      if (said.has(key)) return;
      said.set(key, { atMs: timeline.nowMs(), subject, outcome, reason: why });
    };
    const take = (input: Input) => {
      if (input.what === 'message') {
        aheadMs = input.clockMs - trace.startMs - timeline.nowMs();
        return bridge.receive(input.topic, fromHex(input.bytes));
      }
      void store.setIdentityStatus(input.name, input.status, clock.nowMs());
    };
    for (const input of trace.inputs) timeline.after(input.atMs, () => take(input));
    const lastMs = Math.max(0, ...trace.inputs.map(({ atMs }) => atMs));
    await timeline.run(lastMs + TRACE_SETTLE_MS);
    const verdicts = trace.verdicts.map((then): Compared => {
      const same = said.get(`${then.subject} ${then.outcome}`);
      const now = same ?? [...said.values()].find(({ subject }) => subject === then.subject);
      return { then, now, isSame: same !== undefined && same.reason === then.reason };
    });
    return Object.freeze({ verdicts, reading: readingOf(trace) });
  } finally {
    database.close();
  }

  /** Lets a promise of the store settle, which may wait for a timer of its group. */
  async function settled<T>(promise: Promise<T>): Promise<T> {
    let isSettled = false;
    const done = () => void (isSettled = true);
    promise.then(done, done);
    await timeline.settle();
    while (!isSettled && (await timeline.step(Infinity)));
    return promise;
  }
}

const NONCE_BYTES = 8;
/** A nonce of a slot is accepted so many slots later (broker/tick.ts). */
const SLOTS_ACCEPTED = Math.ceil(TICK_ACCEPT_MS / TICK_SLOT_MS);

/** Nonces are fresh as long after they were first told as they were then. */
function freshnessOf({ ticks }: Trace) {
  const told = new Map(ticks.map(({ nonce, iat }) => [nonce, iat * 1000]));
  const slotOf = (ms: number) => Math.floor(ms / TICK_SLOT_MS);
  return (nonce: Uint8Array, nowMs: number): boolean => {
    const atMs = told.get(toHex(nonce));
    return atMs !== undefined && slotOf(nowMs) - slotOf(atMs) <= SLOTS_ACCEPTED;
  };
}

/** The service says what it must have said for the verdict to be what it was. */
function riskOf({ verdicts }: Trace): RiskClient {
  const model = 'trace/1';
  return {
    async assess({ id }) {
      const reason = verdicts.find(({ subject }) => subject === id)?.reason;
      const decision =
        reason === 'risk_denied' ? 'deny' : reason === 'risk_step_up' ? 'step_up' : 'allow';
      return { kind: 'decided', decision, score: 0, reasons: [], model };
    },
  };
}

/** Money moved, or did not, as the verdicts say. */
function backendOf({ verdicts }: Trace): Backend {
  const answer = (key: string, outcome: 'captured' | 'held' | 'voided' | 'refunded') => {
    const reason = verdicts.find(({ subject }) => subject === key)?.reason;
    const answered: BackendAnswer =
      reason === 'unavailable'
        ? { kind: 'unsent', why: 'as it was then' }
        : reason === 'backend_declined' || reason === 'refund_exceeds'
          ? { kind: 'declined', reason }
          : { kind: 'done', outcome, reference: key.slice(0, 8) };
    return Promise.resolve(answered);
  };
  return {
    name: 'ledger',
    capabilities: {
      resolvesBy: 'replay',
      keyForMs: DAY_MS,
      pollMs: 0,
      cancel: { unseen: 'bars', captured: 'refuses', forMs: DAY_MS },
      notifies: false,
    },
    authorise: ({ key, capture }) => answer(key, capture === 'now' ? 'captured' : 'held'),
    capture: ({ key }) => answer(key, 'captured'),
    void: ({ key }) => answer(key, 'voided'),
    refund: ({ key }) => answer(key, 'refunded'),
    query: async () => ({ kind: 'unseen' }),
    parseNotification: () => undefined,
    fundingLinked: async () => !verdicts.some(({ reason }) => reason === 'funding_unknown'),
  };
}

const DAY_MS = 86_400_000;

/** What was said, read by the grammar of today; compared with what was shown then. */
function readingOf(trace: Trace): Replayed['reading'] {
  const sensed = trace.moments.find(({ what }) => what === 'sensed');
  if (sensed?.what !== 'sensed' || sensed.kind !== 'utterance') return undefined;
  const payees = new Map<string, readonly (readonly [string, string])[]>();
  for (const envelope of trace.statements) {
    const { payee, names } = keyStatement.decode(payloadOf(fromHex(envelope)));
    if (payee !== undefined && names) payees.set(payee, names);
  }
  const directory = createDirectory([...payees].map(([id, names]) => ({ id, names })));
  const reading = readUtterance(sensed.text, { directory, language: trace.language });
  const now =
    reading.kind === 'pay'
      ? `pay ${reading.amount.minor} ${reading.amount.currency} to ${reading.payee.id}`
      : reading.kind;
  const own = trace.inputs.find((input) => isOwn(input, trace));
  const asked =
    own?.what === 'message' ? requestKind.decode(payloadOf(fromHex(own.bytes))) : undefined;
  const isPaid = asked?.amount && reading.kind === 'pay';
  return {
    then: isPaid ? `pay ${asked.amount!.minor} ${asked.amount!.currency} to ${asked.payee}` : now,
    now,
  };
}

function isOwn(input: Input, { realm, id }: Trace): boolean {
  if (input.what !== 'message' || !input.topic.endsWith('/up/request')) return false;
  try {
    return identify(fromHex(input.bytes), realm, requestKind.name).id === id;
  } catch (error) {
    if (error instanceof PaymentError) return false;
    throw error;
  }
}
