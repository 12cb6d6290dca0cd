/**
 * Puts the bytes of a trace to the bridge's code of today, at the times at which they came, and
 * compares what it says with what was said then.
 *
 * The bridge is the product's own, on a store in memory. What stood beside it is answered for by
 * the trace: whether the risk service had a doubt and whether the money was there is read off the
 * verdicts themselves, so a replay is about verifying, judging and counting, and nothing else.
 */
import { cancelKeyOf } from '../../broker/attempt.ts';
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
import { type Realm, identify, payloadOf } from '../../src/cose.ts';

import { PaymentError, reasonName } from '../../src/errors.ts';
import {
  SWEEP_MS,
  TICK_ACCEPT_MS,
  TICK_SLOT_MS,
  TRACE_SETTLE_MS,
  UNSENT_FOR_MS,
} from '../../src/limits.ts';
import { keyStatement } from '../../src/objects/key.ts';
import { isFinal, receipt as receiptKind } from '../../src/objects/receipt.ts';
import { mandate as mandateKind } from '../../src/objects/mandate.ts';
import { request as requestKind } from '../../src/objects/request.ts';
import type { Database, Timers } from '../../src/platform.ts';
import { nodeSigner, readPublicPem } from '../../src/signer.ts';
import { createChance } from '../chance.ts';
import { privateKey } from '../site.ts';
import { type Timeline, createTimeline } from '../time.ts';
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
  const holders = holdersIn(trace);
  const database = ports.openDatabase(':memory:');
  try {
    /** The nonces of leases are those of then; everything else is drawn anew. */
    let leased: string | undefined;
    const random = (count: number) => {
      if (count !== NONCE_BYTES || leased === undefined) return chance.bytes(count);
      const nonce = fromHex(leased);
      leased = undefined;
      return nonce;
    };
    const plain = createSqliteStore(database, timeline, random);
    const store: Store = { ...plain, lease: async () => undefined };
    const lease = async ({ mandate, nonce, minor, count, iat, exp, upload }: Leased) => {
      const key = holders.get(mandate);
      if (key === undefined) return;
      await plain.lease({ key, mandate, nowMs: iat * 1000 }, () => {
        leased = nonce;
        return { amount: BigInt(minor), count, exp, upload };
      });
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
      risk: riskOf(trace, timeline),
      backends: [backendOf(trace, timeline)],
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
    let fault: unknown;
    const kept = (work: Promise<unknown>) => void work.catch((error: unknown) => (fault ??= error));
    const take = (input: Input) => {
      if (input.what === 'message') {
        aheadMs = input.clockMs - trace.startMs - timeline.nowMs();
        return bridge.receive(input.topic, fromHex(input.bytes));
      }
      if (input.what === 'lease') return kept(lease(input));
      kept(store.setIdentityStatus(input.name, input.status, clock.nowMs()));
    };
    for (const input of trace.inputs) timeline.after(takenMs(input, trace), () => take(input));
    const endMs =
      trace.inputs.reduce((last, { atMs }) => Math.max(last, atMs), 0) + TRACE_SETTLE_MS;
    const sweep = () => {
      kept(bridge.sweep());
      if (timeline.nowMs() + SWEEP_MS <= endMs) timeline.after(SWEEP_MS, sweep);
    };
    timeline.after(SWEEP_MS, sweep);
    await timeline.run(endMs);
    if (fault !== undefined) {
      const why = fault instanceof Error ? fault.message : String(fault);
      throw new PaymentError('malformed', `an input of it cannot be: ${why}`, { cause: fault });
    }
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

/**
 * When an input counted. Before a mandate is granted the backend is asked whose money it is, and
 * what came meanwhile did not know it yet.
 */
function takenMs(input: Input, { realm, verdicts }: Trace): number {
  const { atMs } = input;
  if (input.what !== 'message' || !input.topic.endsWith('/up/mandate')) return atMs;
  const id = idOf(input.bytes, realm, 'mandate');
  const [next] = verdicts
    .filter((one) => one.subject === id && one.atMs >= atMs)
    .sort((a, b) => a.atMs - b.atMs);
  return next?.outcome === 'granted' ? next.atMs : atMs;
}

type Leased = Extract<Input, { what: 'lease' }>;

/** Thumbprints of the keys that the mandates name, by mandate. */
function holdersIn({ inputs, realm }: Trace): ReadonlyMap<string, string> {
  const holders = new Map<string, string>();
  for (const input of inputs) {
    if (input.what !== 'message' || !input.topic.endsWith('/up/mandate')) continue;
    try {
      const envelope = fromHex(input.bytes);
      const { cnf } = mandateKind.decode(payloadOf(envelope));
      holders.set(identify(envelope, realm, 'mandate').id, cnf);
    } catch (error) {
      if (!(error instanceof PaymentError)) throw error;
    }
  }
  return holders;
}

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
function riskOf({ verdicts }: Trace, timeline: Timeline): RiskClient {
  const model = 'trace/1';
  return {
    async assess({ id }) {
      const verdict = verdicts.find(({ subject }) => subject === id);
      // A backend that is away is waited for, so it was the risk service.
      const isSoon = (verdict?.atMs ?? Infinity) < timeline.nowMs() + UNSENT_FOR_MS;
      if (verdict?.reason === 'unavailable' && isSoon) {
        return { kind: 'unavailable', why: 'as it was' };
      }
      const reason = verdict?.reason;
      const decision =
        reason === 'risk_denied' ? 'deny' : reason === 'risk_step_up' ? 'step_up' : 'allow';
      return { kind: 'decided', decision, score: 0, reasons: [], model };
    },
  };
}

/**
 * Money moved, or did not, as the verdicts say, and not before they were said: what comes meanwhile
 * finds a payment under way. What was cancelled had no answer until then.
 */
function backendOf({ verdicts }: Trace, timeline: Timeline): Backend {
  const about = (key: string) => verdicts.find(({ subject }) => subject === key);
  const until = (atMs: number) =>
    new Promise<void>((done) => timeline.after(Math.max(0, atMs - timeline.nowMs()), done));
  const answer = async (key: string, outcome: Outcome): Promise<BackendAnswer> => {
    const verdict = about(key);
    if (!verdict || verdict.reason === 'cancelled') return { kind: 'unknown', why: 'as it was' };
    if (verdict.reason === 'unavailable') return { kind: 'unsent', why: 'as it was' };
    await until(verdict.atMs);
    return wordOf(key, verdict, outcome);
  };
  const cancel = async (original: string): Promise<BackendAnswer> => {
    const verdict = about(original);
    if (!verdict) return { kind: 'unknown', why: 'as it was' };
    await until(verdict.atMs);
    return verdict.reason === undefined
      ? { kind: 'declined', reason: 'backend_declined' }
      : { kind: 'done', outcome: 'voided', reference: original.slice(0, 8) };
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
    void: ({ key, original }) =>
      key === cancelKeyOf(original) ? cancel(original) : answer(key, 'voided'),
    refund: ({ key }) => answer(key, 'refunded'),
    query: async () => ({ kind: 'unseen' }),
    parseNotification: () => undefined,
    fundingLinked: async () => !verdicts.some(({ reason }) => reason === 'funding_unknown'),
  };
}

const DAY_MS = 86_400_000;

/**
 * What a backend must have said for the verdict to be what it was; and one that was never asked
 * does what it is asked for now, so that a judgement of today shows.
 */
function wordOf(key: string, { reason }: Verdict, outcome: Outcome): BackendAnswer {
  return reason === 'backend_declined' || reason === 'refund_exceeds'
    ? { kind: 'declined', reason }
    : { kind: 'done', outcome, reference: key.slice(0, 8) };
}

type Outcome = Extract<BackendAnswer, { kind: 'done' }>['outcome'];

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
  const isRequest = input.what === 'message' && input.topic.endsWith('/up/request');
  return isRequest && idOf(input.bytes, realm, 'request') === id;
}

/** The id of a message, undefined for what is none. */
function idOf(bytes: string, realm: Realm, kind: 'mandate' | 'request'): string | undefined {
  try {
    return identify(fromHex(bytes), realm, kind).id;
  } catch (error) {
    if (error instanceof PaymentError) return undefined;
    throw error;
  }
}
