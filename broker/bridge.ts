/**
 * The straight line of a payment on the bridge: envelope in, signed receipt out.
 *
 * Read `pay`, then `advance`, from top to bottom: that is the protocol. Every step's answer is on
 * disk before the next step starts, and the receipt before anyone is told. A run that stops halfway
 * continues at its first step without an answer; it never looks at the clock or asks risk again.
 * Objects that are not payments have their own short lines below, or a file named after them.
 */
import { encodeCbor } from '../src/cbor.ts';
import type { Realm, Signer } from '../src/cose.ts';
import { PaymentError, REASONS, type Reason } from '../src/errors.ts';
import {
  BRIDGE_RUNS_MAX,
  RESOLVE_FOR_MS,
  RESOLVE_MS,
  RESOLVE_MS_MAX,
  STOP_MS,
  UNSENT_FOR_MS,
} from '../src/limits.ts';
import { seal } from '../src/objects/kind.ts';
import { request as requestKind } from '../src/objects/request.ts';
import { tick as tickKind } from '../src/objects/tick.ts';
import { within } from '../src/patience.ts';
import type { Clock, Log, Timers } from '../src/platform.ts';
import { UNSIGNED, downTopic, parseTopic, tickTopic } from '../src/topics.ts';
import type { Backend, BackendAnswer } from './backends/port.ts';
import type { Identities } from './identities.ts';
import { takeMandate } from './mandates.ts';
import { createNoise } from './noise.ts';
import { takeOrder } from './orders.ts';
import { takeQuery } from './queries.ts';
import { createReceipts } from './receipts.ts';
import type { RiskClient } from './risk/client.ts';
import type { Conclusion, Decision, Run, Store } from './store/port.ts';
import type { Nonces } from './tick.ts';
import { type Rules, judge } from './verdict.ts';

export type Parts = Readonly<{
  realm: Realm;
  store: Store;
  identities: Identities;
  risk: RiskClient;
  backend: Backend;
  /** Signs receipts and ticks; its key is the bridge's. */
  signer: Signer;
  rules: Rules;
  nonces: Nonces;
  clock: Clock;
  timers: Timers;
  log: Log;
  /** Publishes; a message that is lost is asked for again by the device. */
  send: (topic: string, payload: Uint8Array, qos: 0 | 1) => void;
}>;

export type Bridge = Readonly<{
  /** Takes a message of an `up` topic. Never throws and never blocks. */
  receive: (topic: string, envelope: Uint8Array) => void;
  /** Continues every run that an earlier process left open; returns how many. */
  resume: () => Promise<number>;
  /** Broadcasts time and nonce to all devices. */
  tick: () => Promise<void>;
  /** Stops taking messages and waits (at most STOP_MS) for what can still end. */
  close: () => Promise<void>;
}>;

export function createBridge(parts: Parts): Bridge {
  const { realm, store, identities, clock, timers, log } = parts;
  const receipts = createReceipts(realm, parts.signer, clock);
  const desk = { ...parts, receipts };
  /** Runs in work here, with the pending receipt that was told, so that a repeat gets the same. */
  const running = new Map<string, { ended: Promise<void>; told: Uint8Array | undefined }>();
  let isClosed = false;

  // ── the payment ────────────────────────────────────────────────────────────────────────────

  async function pay(device: string, envelope: Uint8Array): Promise<void> {
    const opened = await identities.openFrom(device, requestKind, envelope);

    const { id } = opened;
    const inWork = running.get(id);
    if (inWork) {
      if (inWork.told) parts.send(downTopic(device, 'receipt'), inWork.told, 1);
      return;
    }
    const { run, fresh, suspended } = await store.admit(
      { id, key: opened.key.name, device, request: opened.value, envelope, nowMs: clock.nowMs() },
      (facts) => judge(opened.value, facts, parts.rules),
    );
    if (suspended) log('warn', 'key suspended: one counter, two requests', { device, request: id });
    log('debug', fresh ? 'request admitted' : 'request repeated', { device, request: id });
    guard(work(run)); // Taken: from here on it counts among the running, and its faults are bugs.
  }

  async function advance(run: Run): Promise<Run> {
    if (run.receipt) return run;
    if (run.refusal) return conclude(run, refusedAs(run.refusal));

    const decision = run.decision ?? (await decide(run));
    if (decision.kind === 'refuse') return conclude(run, refusedAs(decision.reason), decision);

    const answer = await move(run);
    switch (answer.kind) {
      case 'done':
        return conclude(run, { outcome: answer.outcome, reference: answer.reference });
      case 'declined':
        return conclude(run, refusedAs(answer.reason));
      case 'unsent':
        return conclude(run, refusedAs('unavailable'));
      case 'unknown':
        log('error', 'payment unresolved: a person must look', { request: run.id });
        return run;
    }
  }

  /** Asks risk once and records its answer, together with the attempt that follows an allow. */
  async function decide(run: Run): Promise<Decision> {
    const { request } = run;
    const assessment = await parts.risk.assess({
      id: run.id,
      payer: run.payer,
      device: run.device,
      payee: request.payee,
      amount: request.amount!,
      channel: run.channel,
      presence: run.presence,
      atMs: run.admittedMs,
    });
    const decision = toDecision(assessment);
    return store.decide(run.id, decision, decision.kind === 'allow', clock.nowMs());
  }

  /**
   * Moves the money under the request's id, asking again as long as the answer is unknown. A
   * resumed run may have been sent before, so for it even "nothing was sent" proves nothing.
   */
  async function move(run: Run): Promise<BackendAnswer> {
    const { id, request } = run;
    let mayHaveBeenSent = run.attemptedMs !== undefined;
    const started = clock.monotonicMs();
    for (let pauseMs = RESOLVE_MS; ; pauseMs = Math.min(pauseMs * 2, RESOLVE_MS_MAX)) {
      const answer = await parts.backend.authorise({
        key: id,
        funding: run.funding,
        payee: request.payee,
        amount: request.amount!,
        capture: 'now',
      });
      if (answer.kind === 'done' || answer.kind === 'declined') return answer;
      if (answer.kind === 'unknown') mayHaveBeenSent = true;

      const sinceMs = clock.monotonicMs() - started;
      if (!mayHaveBeenSent && sinceMs >= UNSENT_FOR_MS) return answer;
      if (sinceMs >= RESOLVE_FOR_MS) return { kind: 'unknown', why: 'asked for too long' };
      log('warn', 'backend gave no answer, asking again', { request: id, why: answer.why });
      await tellPending(run, mayHaveBeenSent ? 'backend_unknown' : 'unavailable');
      await pause(pauseMs);
    }
  }

  type Ending = Readonly<{
    outcome: Conclusion['outcome'];
    reason?: Reason;
    reference?: string;
  }>;

  /** Signs and stores the final receipt, with the terminal's copy when an order was paid. */
  async function conclude(run: Run, ending: Ending, decision?: Decision): Promise<Run> {
    const { request } = run;
    const nowMs = clock.nowMs();
    const isMoved = ending.outcome === 'captured' || ending.outcome === 'held';
    const receipt = await receipts.sign({
      iat: Math.floor(nowMs / 1000),
      subject: run.id,
      outcome: ending.outcome,
      ...(ending.reason && { reason: REASONS[ending.reason] }),
      ...(isMoved && request.amount && { amount: request.amount }),
      ...(isMoved && request.order && { order: request.order }),
      ...(ending.reference && { reference: ending.reference }),
      ...(isMoved && run.remaining.length > 0 && { remaining: run.remaining }),
      ...(decision?.kind === 'refuse' &&
        decision.reasons.length > 0 && { riskReasons: decision.reasons }),
    });
    const order = isMoved && request.order ? await store.order(request.order) : undefined;
    const terminalReceipt = order && {
      device: order.device,
      receipt: await receipts.sign({
        iat: Math.floor(nowMs / 1000),
        subject: order.id,
        outcome: ending.outcome,
        amount: order.order.amount,
      }),
    };
    return store.conclude({
      id: run.id,
      outcome: ending.outcome,
      reason: ending.reason,
      reference: ending.reference,
      receipt,
      terminalReceipt,
      nowMs,
    });
  }

  // ── keeping a run going ────────────────────────────────────────────────────────────────────

  /** Brings a run to its end, however often the store refuses, and then tells both ends. */
  async function work(run: Run): Promise<void> {
    if (run.receipt) return tell(run);
    if (running.has(run.id)) return;
    const entry = { ended: Promise.resolve(), told: undefined };
    running.set(run.id, entry);
    entry.ended = toTheEnd(run).finally(() => running.delete(run.id));
    await entry.ended;
  }

  async function toTheEnd(start: Run): Promise<void> {
    let run = start;
    for (let pauseMs = RESOLVE_MS; ; pauseMs = Math.min(pauseMs * 2, RESOLVE_MS_MAX)) {
      try {
        return tell(await advance(run));
      } catch (error) {
        if (error instanceof Closed) return;
        if (!(error instanceof PaymentError && error.reason === 'unavailable')) throw error;
        log('error', 'the store refuses, trying again', { request: run.id, why: error.message });
        await pause(pauseMs);
        run = (await store.run(run.id)) ?? run;
      }
    }
  }

  function tell(run: Run): void {
    if (!run.receipt) return;
    parts.send(downTopic(run.device, 'receipt'), run.receipt, 1);
    const { terminalReceipt } = run;
    if (terminalReceipt) {
      parts.send(downTopic(terminalReceipt.device, 'receipt'), terminalReceipt.receipt, 1);
    }
  }

  async function tellPending(run: Run, reason: Reason): Promise<void> {
    const entry = running.get(run.id);
    if (!entry || entry.told) return;
    entry.told = await receipts.pending(run.id, reason);
    parts.send(downTopic(run.device, 'receipt'), entry.told, 1);
  }

  // ── what is not a payment ──────────────────────────────────────────────────────────────────

  async function answerOrder(device: string, envelope: Uint8Array): Promise<void> {
    const answer = await takeOrder(desk, device, envelope, clock.nowMs());
    parts.send(downTopic(device, 'receipt'), answer, 1);
  }

  async function answerMandate(device: string, envelope: Uint8Array): Promise<void> {
    const { id, refusal } = await takeMandate(parts, envelope, clock.nowMs());
    if (refusal) log('info', 'mandate refused', { mandate: id, why: refusal.message });
    const iat = Math.floor(clock.nowMs() / 1000);
    const answer = refusal
      ? await receipts.refused(id, refusal.reason)
      : await receipts.sign({ iat, subject: id, outcome: 'granted' });
    parts.send(downTopic(device, 'receipt'), answer, 1);
  }

  async function answerQuery(device: string, envelope: Uint8Array): Promise<void> {
    const answer = await takeQuery(desk, device, envelope, clock.nowMs());
    if (answer.kind === 'run') return guard(work(answer.run));
    parts.send(downTopic(device, answer.kind), answer.envelope, 1);
  }

  // ── the entry ──────────────────────────────────────────────────────────────────────────────

  const lines = { request: pay, order: answerOrder, mandate: answerMandate, query: answerQuery };
  const noise = createNoise(clock);

  async function take(topic: string, envelope: Uint8Array): Promise<void> {
    const parsed = parseTopic(topic);
    if (!parsed || parsed.way !== 'up') return;
    const { device, tail } = parsed;
    const line = Object.hasOwn(lines, tail) ? lines[tail as keyof typeof lines] : undefined;
    if (!line) return log('warn', 'a kind that this bridge does not take', { device, kind: tail });
    try {
      await line(device, envelope);
    } catch (error) {
      if (error instanceof Closed) return;
      if (!(error instanceof PaymentError)) throw error;
      if (error.reason === 'unavailable') {
        // Nothing was stored, so nothing final may be said; the device sends the same bytes again.
        return log('error', 'message not taken', { device, kind: tail, why: error.message });
      }
      if (!noise.mayTell(device)) return;
      log('warn', 'message refused at the door', { device, kind: tail, why: error.message });
      const code = error.reason === 'sim_in_live' ? 'sim_in_live' : 'bad_signature';
      const told = encodeCbor(new Map([[23, REASONS[code]]]));
      parts.send(downTopic(device, UNSIGNED), told, 0);
    }
  }

  function toDecision(assessment: Awaited<ReturnType<RiskClient['assess']>>): Decision {
    if (assessment.kind === 'unavailable') {
      log('error', 'risk does not answer, refusing', { why: assessment.why });
      return { kind: 'refuse', reason: 'unavailable', score: 0, reasons: [] };
    }
    const { decision, score, reasons } = assessment;
    if (decision === 'allow') return { kind: 'allow', score, reasons };
    const reason = decision === 'step_up' ? 'risk_step_up' : 'risk_denied';
    return { kind: 'refuse', reason, score, reasons };
  }

  const wakeUps = new Set<() => void>();

  /** Waits; ends early with Closed when the bridge is closed. */
  function pause(ms: number): Promise<void> {
    return new Promise((resolve, reject) => {
      if (isClosed) return reject(new Closed());
      const cancel = timers.after(ms, () => {
        wakeUps.delete(stop);
        resolve();
      });
      const stop = () => {
        cancel();
        reject(new Closed());
      };
      wakeUps.add(stop);
    });
  }

  function guard(promise: Promise<unknown>): void {
    promise.catch((error: unknown) => {
      // A bug, not a refusal: the run stays open and is continued by the next start.
      log('error', 'bug', { why: error instanceof Error ? (error.stack ?? error.message) : '?' });
    });
  }

  const taking = new Set<Promise<void>>();

  return {
    receive(topic, envelope) {
      if (isClosed) return;
      // Payments that wait for a backend must not shut out boots, orders and mandates.
      const isPayment = topic.endsWith('/up/request');
      if (taking.size + (isPayment ? running.size : 0) >= BRIDGE_RUNS_MAX) {
        return log('warn', 'too many messages at once, one left to be sent again');
      }
      const taken = take(topic, envelope);
      taking.add(taken);
      guard(taken.finally(() => taking.delete(taken)));
    },
    async resume() {
      const open = await store.openRuns();
      for (const run of open) guard(work(run));
      return open.length;
    },
    async tick() {
      const nowMs = clock.nowMs();
      const broadcast = { iat: Math.floor(nowMs / 1000), nonce: parts.nonces.at(nowMs) };
      parts.send(tickTopic(realm.ledger), await seal(tickKind, broadcast, realm, parts.signer), 0);
    },
    async close() {
      isClosed = true;
      for (const stop of wakeUps) stop();
      const ends = Promise.allSettled(taking).then(() =>
        Promise.allSettled([...running.values()].map(({ ended }) => ended)),
      );
      await within(timers, STOP_MS, ends);
    },
  };
}

/** The bridge is stopping; what was going on is on disk and is continued by the next start. */
class Closed extends Error {}

function refusedAs(reason: Reason): Readonly<{ outcome: 'refused' | 'expired'; reason: Reason }> {
  return { outcome: reason === 'expired' ? 'expired' : 'refused', reason };
}
