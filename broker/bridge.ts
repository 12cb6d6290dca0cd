/**
 * The straight line of a payment on the bridge: envelope in, signed receipt out.
 *
 * Read `pay`, `advance` and `move`, from top to bottom: that is the protocol. Every step's answer
 * is on disk before the next step starts, and the receipt before anyone is told. A run that stops
 * halfway continues at its first step without an answer; it never decides again and never asks
 * risk again. Objects that are not payments have their own short lines below, or a file named
 * after them.
 */
import { toHex, utf8 } from '../src/bytes.ts';
import { encodeCbor } from '../src/cbor.ts';
import { type Realm, type Signer, identify } from '../src/cose.ts';
import { PaymentError, REASONS, type Reason } from '../src/errors.ts';
import {
  BARRING_MAX,
  BARRING_PER_DEVICE_MAX,
  BRIDGE_RUNS_MAX,
  HOLD_FOR_MS,
  CLAIM_MS,
  RESOLVE_MS,
  RESOLVE_MS_MAX,
  STATES_PER_S,
  STOP_MS,
  SWEEP_MAX,
} from '../src/limits.ts';
import type { Money } from '../src/money.ts';
import { seal } from '../src/objects/kind.ts';
import { type Request, request as requestKind } from '../src/objects/request.ts';
import { tick as tickKind } from '../src/objects/tick.ts';
import { within } from '../src/patience.ts';
import {
  type Clock,
  ConflictError,
  type HttpQuestion,
  type Log,
  type Timers,
} from '../src/platform.ts';
import { parsePresence } from '../src/presence.ts';
import { UNSIGNED, deviceOfState, downTopic, parseTopic, tickTopic } from '../src/topics.ts';
import { ask, leftToPeople, newsOf, openingAt } from './asking.ts';
import { type Attempt, type Change, isByPerson, isOver, transition } from './attempt.ts';
import type { Backend } from './backends/port.ts';
import { mayBeForgotten, mayStillBeNew } from './forgotten.ts';
import { endOfHold } from './holds.ts';
import type { Identities } from './identities.ts';
import { giveLeases } from './leases.ts';
import { takeMandate } from './mandates.ts';
import { createNoise } from './noise.ts';
import { takeOrder } from './orders.ts';
import { hearPresence, isNewConflict, lastPlaces, placeText } from './presence.ts';
import { takeQuery } from './queries.ts';
import { createReceipts } from './receipts.ts';
import { takeRevoke } from './revokes.ts';
import { type RiskClient, decisionOf } from './risk/client.ts';
import { Closed, createRunning } from './running.ts';
import type { Conclusion, Decision, Original, Progress, Run, Store } from './store/port.ts';
import type { Nonces } from './tick.ts';
import { type Rules, judge, judgeOwn } from './verdict.ts';
import { type Word, takeNotification, takeWord } from './words.ts';

export type Parts = Readonly<{
  realm: Realm;
  store: Store;
  identities: Identities;
  risk: RiskClient;
  /** In the order in which a payment tries them; names are unique. */
  backends: readonly Backend[];
  /** Signs receipts and ticks; its key is the bridge's. */
  signer: Signer;
  rules: Rules;
  nonces: Nonces;
  /** Names this process in the claims on its runs. */
  owner: string;
  /** When the store was restored from a backup: it lacks what was paid after that. */
  restoredMs?: number;
  /** ms after which an authorisation without a definite word is cancelled (RESOLVE_FOR_MS). */
  patienceMs?: number;
  clock: Clock;
  timers: Timers;
  log: Log;
  /** Publishes; a message that is lost is asked for again by the device. */
  send: (topic: string, payload: Uint8Array, qos: 0 | 1) => void;
}>;

export type Bridge = Readonly<{
  /** Takes a message of an `up` or `state` topic. Never throws and never blocks. */
  receive: (topic: string, envelope: Uint8Array) => void;
  /** Takes a revoke that the operator was handed; returns the receipt. Throws as `open` does. */
  revoke: (envelope: Uint8Array) => Promise<Uint8Array>;
  /** A backend's own word about a payment. Throws PaymentError for one that is not genuine. */
  notified: (backend: string, question: HttpQuestion) => Promise<void>;
  /**
   * A person's word on a payment that no question can resolve; `outcome` undefined: nothing moved
   * and nothing will. Throws `original_unknown` unless it waits for a person.
   */
  resolve: (id: string, word: Word) => Promise<void>;
  /**
   * Takes over runs that no bridge works on; returns how many. Releases holds and leases that are
   * over.
   */
  sweep: () => Promise<number>;
  /** Broadcasts time and nonce to all devices. */
  tick: () => Promise<void>;
  /** Stops taking messages and waits (at most STOP_MS) for what can still end. */
  close: () => Promise<void>;
}>;

export function createBridge(parts: Parts): Bridge {
  const { realm, store, identities, clock, timers, log } = parts;
  const backends = new Map(parts.backends.map((backend) => [backend.name, backend]));
  const receipts = createReceipts(realm, parts.signer, clock);
  const desk = { ...parts, receipts };
  const running = createRunning(timers);
  const noise = createNoise(clock);
  const states = createNoise(clock, { each: STATES_PER_S, inAll: Infinity });
  let isClosed = false;

  // ── the payment ────────────────────────────────────────────────────────────────────────────

  async function pay(device: string, envelope: Uint8Array): Promise<void> {
    const { id, key, value } = await identities.openFrom(device, requestKind, envelope);
    if (running.has(id)) return repeat(device, id);

    const nowMs = clock.nowMs();
    if (!mayStillBeNew(value.exp, nowMs)) return retell(id);
    // Anybody with a key can make what looks like it: one must not take the room of all.
    const isRoom =
      running.count() < BARRING_MAX && running.countOf(device) < BARRING_PER_DEVICE_MAX;
    if (!isRoom && mayBeOfBefore(value, nowMs)) {
      return log('warn', 'many requests of before the restore, one left to be sent again');
    }
    const { run, fresh, suspended } = await store
      .admit(
        { id, key: key.name, device, request: value, envelope, nowMs, claim: claimAt(nowMs) },
        (facts) => judge(value, facts, parts.rules),
      )
      .catch((error: unknown) => untaken(device, id, error));
    if (suspended) await tellSuspended(device, key.name, 'one counter, two requests', envelope);
    log('debug', fresh ? 'request admitted' : 'request repeated', { device, request: id });
    guard(work(run)); // Taken: from here on it counts among the running, and its faults are bugs.
  }

  /** Nothing was stored, so nothing final may be said: "not taken, try again", and once a while. */
  async function untaken(device: string, id: string, error: unknown): Promise<never> {
    const isFull = error instanceof PaymentError && error.reason === 'unavailable';
    if (isFull && noise.mayTell(device)) {
      const told = await receipts.pending(id, 'unavailable');
      parts.send(downTopic(device, 'receipt'), told, 1);
    }
    throw error;
  }

  /** So old that it may have been paid and forgotten: only what is still known of it is told. */
  async function retell(id: string): Promise<void> {
    const run = await store.run(id);
    if (run) guard(work(run));
  }

  async function advance(start: Run): Promise<Run> {
    if (start.receipt) return start;
    if (start.refusal) return refuse(start, start.refusal);

    const { run, isFirst } = start.decision ? { run: start, isFirst: false } : await decide(start);
    const { decision } = run;
    if (run.receipt) return run;
    if (run.refusal || !decision) return conclude(run, refusedAs(run.refusal ?? 'unavailable'));
    if (decision.kind === 'refuse') return conclude(run, refusedAs(decision.reason));

    // The end of a hold is nobody's to ask for again: a backend that is away is waited for.
    if (run.request.action !== 'access') return move(run, isFirst && run.device !== '');
    const granted = await conclude(run, { outcome: 'granted' });
    // It was cancelled or revoked at the last moment.
    return granted.refusal && !granted.receipt
      ? conclude(granted, refusedAs(granted.refusal))
      : granted;
  }

  /**
   * Refuses. A bridge that was restored from a backup may have moved the money of a request of
   * before and have forgotten it: then only the backends know. Each is asked, and bars what it has
   * not seen, before it is called refused; nothing of before is ever called again.
   */
  async function refuse(start: Run, reason: Reason): Promise<Run> {
    let run = start;
    while (run.request.action !== 'access' && mayBeOfBefore(run.request, run.admittedMs)) {
      const last = run.attempts.at(-1);
      // A notice, or a person, may have said meanwhile that it moved.
      if (!last || (isOver(last.state) && last.state !== 'done')) {
        const tried = new Set(run.attempts.map(({ backend }) => backend));
        const next = parts.backends.find(({ name }) => !tried.has(name));
        if (!next) break;
        run = await store.attempt(run.id, openingAt(run, next.name), clock.nowMs());
      }
      run = await move(run, false);
      if (run.receipt || !isOver(run.attempts.at(-1)!.state)) return run;
    }
    return conclude(run, refusedAs(reason));
  }

  /**
   * Whether a store that was restored may have forgotten it; a nonce of now was given since. As of
   * when it was admitted: what is asked about is asked about to the end, however long that takes.
   */
  function mayBeOfBefore({ exp, nonce }: Request, admittedMs: number): boolean {
    const isOfNow = parts.rules.isFresh(nonce, admittedMs);
    return mayBeForgotten(parts, exp, isOfNow, admittedMs);
  }

  /** Asks risk once and records its answer, together with the attempt that follows an allow. */
  async function decide(start: Run): Promise<Readonly<{ run: Run; isFirst: boolean }>> {
    const asked = isSpending(start) ? await assess(start) : UNASKED;
    const needsBackend = asked.kind === 'allow' && start.request.action !== 'access';
    const route = needsBackend ? nextRoute(start) : undefined;
    const decision: Decision =
      needsBackend && route === undefined
        ? { kind: 'refuse', reason: 'unavailable', score: asked.score, reasons: [] }
        : asked;
    const opening = route === undefined ? undefined : openingAt(start, route);
    const run = await store.decide(start, decision, opening, clock.nowMs());
    return { run, isFirst: run.decision === decision };
  }

  /**
   * Moves the money under the request's id and hears a definite word about it, however often it
   * must ask. `isFirst`: nothing can have been sent before. A run that another process left may
   * have been sent, so for it even "nothing was sent" proves nothing.
   */
  async function move(start: Run, isFirst: boolean): Promise<Run> {
    let run = start;
    let wasRefused = false;
    for (let pauseMs = RESOLVE_MS; ;) {
      const attempt = run.attempts.at(-1)!;
      if (attempt.state === 'done') return conclude(run, movedBy(attempt));
      if (isOver(attempt.state) && run.refusal) return run; // It did not move there, and will not.
      if (attempt.state === 'declined') return conclude(run, refusedAs(attempt.reason!));
      if (isOver(attempt.state)) {
        if (run.cancelAskedMs !== undefined) return conclude(run, refusedAs('cancelled'));
        // What the person confirmed was for then: later, or after a person's word, it is not tried.
        const isLate = clock.nowMs() >= run.request.exp * 1000;
        const next = isLate || isByPerson(attempt) ? undefined : nextRoute(run);
        if (next === undefined) return conclude(run, refusedAs('unavailable'));
        run = await store.attempt(run.id, openingAt(run, next), clock.nowMs());
        if (run.refusal) return conclude(run, refusedAs(run.refusal));
        isFirst = true;
        continue;
      }
      if (attempt.state === 'person') {
        await tellPending(run, 'backend_unknown');
        return run;
      }
      const backend = backends.get(attempt.backend);
      if (!backend) {
        const progress = leftToPeople(attempt);
        log(...newsOf(run, attempt, progress.change));
        run = await store.progress(run.id, progress, clock.nowMs());
        continue;
      }

      const heard = await ask(run, attempt, backend, {
        isFirst,
        wasRefused,
        clock,
        patienceMs: parts.patienceMs,
        restoredMs: parts.restoredMs,
      });
      wasRefused = heard.input.kind === 'cancel' && heard.input.answer.kind === 'declined';
      const change = transition(attempt, heard.input, backend.capabilities);
      if (change) {
        const progress = { number: attempt.number, from: attempt.state, change, ...heard };
        const isEnd = change.state === 'done' || (change.state === 'declined' && !run.refusal);
        if (change.state === 'declined' && run.device === '') {
          log('error', 'a hold was not released: its payee must void it', {
            request: run.original!,
          });
        }
        if (isEnd) {
          const ending =
            change.state === 'done' ? movedBy(change) : refusedAs(change.reason ?? 'malformed');
          run = await conclude(run, ending, progress);
          if (run.receipt) return run;
          continue; // Another word came first; it counts.
        }
        log(...newsOf(run, attempt, change));
        run = await store.progress(run.id, progress, clock.nowMs());
        if (change.state !== 'unknown') continue;
      }
      if (wasRefused) continue;
      const isUnsent = heard.input.kind === 'answer' && heard.input.answer.kind === 'unsent';
      await tellPending(run, isUnsent && isFirst ? 'unavailable' : 'backend_unknown');
      await running.pause(run.id, Math.max(pauseMs, change ? 0 : backend.capabilities.pollMs));
      pauseMs = Math.min(pauseMs * 2, RESOLVE_MS_MAX);
      run = (await store.run(run.id)) ?? run;
    }
  }

  /** Signs and stores the final receipt, with the terminal's copy when an order was paid. */
  async function conclude(run: Run, ending: Ending, progress?: Progress): Promise<Run> {
    const { request, decision } = run;
    const nowMs = clock.nowMs();
    const isMoved = ending.outcome !== 'refused' && ending.outcome !== 'expired';
    const receipt = await receipts.sign({
      iat: Math.floor(nowMs / 1000),
      subject: run.id,
      outcome: ending.outcome,
      ...(ending.reason && { reason: REASONS[ending.reason] }),
      ...(isMoved && request.amount && { amount: request.amount }),
      ...(isMoved && run.original === undefined && request.order && { order: request.order }),
      ...(ending.reference && { reference: ending.reference }),
      ...(isMoved && run.remaining.length > 0 && { remaining: run.remaining }),
      ...(decision?.kind === 'refuse' &&
        decision.reasons.length > 0 && { riskReasons: decision.reasons }),
    });
    const isOrder = isMoved && run.original === undefined && request.order !== undefined;
    const order = isOrder ? await store.order(request.order!) : undefined;
    const terminalReceipt = order && {
      device: order.device,
      receipt: await receipts.sign({
        iat: Math.floor(nowMs / 1000),
        subject: order.id,
        outcome: ending.outcome,
        amount: order.order.amount,
      }),
    };
    return store.conclude(run, {
      outcome: ending.outcome,
      reason: ending.reason,
      receipt,
      terminalReceipt,
      progress,
      holdUntilMs: ending.outcome === 'held' ? nowMs + HOLD_FOR_MS : undefined,
      nowMs,
    });
  }

  /** The first backend of the mandate, in its order, that was not tried yet and is known here. */
  function nextRoute(run: Run): string | undefined {
    const isTried = (name: string) => run.attempts.some(({ backend }) => backend === name);
    return run.backends.find((name) => backends.has(name) && !isTried(name));
  }

  async function assess(run: Run): Promise<Decision> {
    const { request } = run;
    const assessment = await parts.risk.assess({
      id: run.id,
      payer: run.payer,
      device: run.device,
      payee: request.payee,
      amount: request.amount ?? (await nothingOf(run)),
      channel: run.channel,
      presence: run.presence,
      atMs: run.admittedMs,
    });
    if (assessment.kind === 'unavailable') {
      log('error', 'risk does not answer, refusing', { why: assessment.why });
    }
    return decisionOf(assessment);
  }

  /** Access moves no money: risk hears of an amount of nothing in the mandate's currency. */
  async function nothingOf({ request, admittedMs }: Run): Promise<Money> {
    const leaf = await store.mandate(request.mandate, admittedMs);
    return { currency: leaf!.mandate.currency, minor: 0n };
  }

  // ── keeping a run going ────────────────────────────────────────────────────────────────────

  /** Brings a run to its end, however often the store refuses, and then tells both ends. */
  async function work(run: Run): Promise<void> {
    if (run.receipt) return tell(run);
    await running.start(run.id, run.device, () => toTheEnd(run));
  }

  async function toTheEnd(start: Run): Promise<void> {
    let run = start;
    for (let pauseMs = RESOLVE_MS; ; pauseMs = Math.min(pauseMs * 2, RESOLVE_MS_MAX)) {
      try {
        return tell(await advance(run));
      } catch (error) {
        if (error instanceof Closed) return;
        const isRefused = error instanceof PaymentError && error.reason === 'unavailable';
        // A live attempt already: somebody else was faster, and the run goes on from there.
        if (!isRefused && !(error instanceof ConflictError)) throw error;
        log('error', 'the store refuses, trying again', { request: run.id, why: error.message });
        await running.pause(run.id, pauseMs);
        run = (await store.run(run.id)) ?? run;
      }
    }
  }

  function tell(run: Run): void {
    if (!run.receipt) return;
    if (run.device !== '') parts.send(downTopic(run.device, 'receipt'), run.receipt, 1);
    const { terminalReceipt } = run;
    if (terminalReceipt) {
      parts.send(downTopic(terminalReceipt.device, 'receipt'), terminalReceipt.receipt, 1);
    }
  }

  async function tellPending(run: Run, reason: Reason): Promise<void> {
    if (running.told(run.id) || run.device === '') return;
    running.tell(run.id, await receipts.pending(run.id, reason));
    repeat(run.device, run.id);
  }

  function repeat(device: string, id: string): void {
    const told = running.told(id);
    if (told) parts.send(downTopic(device, 'receipt'), told, 1);
  }

  /** Something new is on disk about a run: whoever works on it looks, or somebody begins to. */
  async function stir(id: string): Promise<void> {
    if (running.has(id)) return running.wake(id);
    const run = await store.run(id);
    if (run) guard(work(run));
  }

  // ── what is not a payment ──────────────────────────────────────────────────────────────────

  /** What a device says of itself, unsigned: kept for people, and nothing else. */
  async function hearState(device: string, payload: Uint8Array): Promise<void> {
    const said = parsePresence(payload);
    if (!said || !states.mayTell(device)) return;
    const nowMs = clock.nowMs();
    const heard = await store
      .hear(device, (before, key) => hearPresence(before, key, said, nowMs))
      .catch((error: unknown) => {
        if (!(error instanceof PaymentError)) throw error;
        return log('debug', 'state not kept', { device, why: error.message });
      });
    if (!heard || !isNewConflict(heard.before, heard.after)) return;
    const { first, second } = heard.after.conflict!;
    const places = { first: placeText(first), second: placeText(second) };
    log('warn', 'device speaks from two places: copied or restored', { device, ...places });
  }

  async function answerOrder(device: string, envelope: Uint8Array): Promise<void> {
    const answer = await takeOrder(desk, device, envelope, clock.nowMs());
    parts.send(downTopic(device, 'receipt'), answer, 1);
  }

  async function answerMandate(device: string, envelope: Uint8Array): Promise<void> {
    const { id, refusal } = await takeMandate(parts, envelope, clock.nowMs());
    if (refusal && !noise.mayTell(device)) return;
    if (refusal) log('info', 'mandate refused', { mandate: id, why: refusal.message });
    const iat = Math.floor(clock.nowMs() / 1000);
    const answer = refusal
      ? await receipts.refused(id, refusal.reason)
      : await receipts.sign({ iat, subject: id, outcome: 'granted' });
    parts.send(downTopic(device, 'receipt'), answer, 1);
  }

  async function revoke(envelope: Uint8Array): Promise<Uint8Array> {
    const { receipt, refused } = await takeRevoke(desk, envelope, clock.nowMs());
    for (const id of refused) await stir(id);
    return receipt;
  }

  async function answerRevoke(device: string, envelope: Uint8Array): Promise<void> {
    parts.send(downTopic(device, 'receipt'), await revoke(envelope), 1);
  }

  /** Two hold one key: a person must look at both places, if they said where they are. */
  async function tellSuspended(
    device: string,
    key: string,
    why: string,
    envelope: Uint8Array,
  ): Promise<void> {
    const places = lastPlaces(await store.heard(device)).map(placeText);
    const [first = 'a place that it did not tell', second = first] = places;
    log('warn', 'key suspended: two hold it', { device, why, first, second });
    const said = { suspended: why, places, envelope: toHex(envelope) };
    const body = utf8(JSON.stringify(said));
    await store.note({ subject: key, kind: 'note', body, nowMs: clock.nowMs() });
  }

  async function answerQuery(device: string, envelope: Uint8Array): Promise<void> {
    const answer = await takeQuery(desk, device, envelope, clock.nowMs());
    if (answer.kind === 'nothing') return;
    if (answer.kind === 'behind') {
      parts.send(downTopic(device, 'receipt'), answer.envelope, 1);
      if (!answer.isNews) return;
      return tellSuspended(device, answer.key, 'its disk is behind its counter', envelope);
    }
    if (answer.kind !== 'run') {
      parts.send(downTopic(device, answer.kind), answer.envelope, 1);
      if (answer.kind !== 'tick') return;
      if (answer.over) return parts.send(downTopic(device, 'receipt'), answer.over, 1);
      return answerWithLeases(device, answer.key);
    }
    const { run, isNews } = answer;
    if (run.receipt) return tell(run);
    if (isNews) await stir(run.id);
    const told = running.told(run.id) ?? (await receipts.pending(run.id, 'in_progress'));
    parts.send(downTopic(device, 'receipt'), told, 1);
  }

  /** Whoever has just started may be without a link soon. */
  async function answerWithLeases(device: string, key: string): Promise<void> {
    for (const lease of await giveLeases(parts, key, clock.nowMs())) {
      parts.send(downTopic(device, 'tick'), lease, 1);
    }
  }

  // ── the entry ──────────────────────────────────────────────────────────────────────────────

  const lines = {
    request: pay,
    order: answerOrder,
    mandate: answerMandate,
    query: answerQuery,
    revoke: answerRevoke,
  };

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
      const { reason, message: why } = error;
      log('warn', 'message refused at the door', { device, kind: tail, reason, why });
      const code = reason === 'sim_in_live' ? 'sim_in_live' : 'bad_signature';
      const told = encodeCbor(new Map([[23, REASONS[code]]]));
      parts.send(downTopic(device, UNSIGNED), told, 0);
    }
  }

  function guard(promise: Promise<unknown>): void {
    promise.catch((error: unknown) => {
      // A bug, not a refusal: the run stays open and is continued by the next sweep.
      log('error', 'bug', { why: error instanceof Error ? (error.stack ?? error.message) : '?' });
    });
  }

  function claimAt(nowMs: number) {
    return { owner: parts.owner, untilMs: nowMs + CLAIM_MS };
  }

  /** Asks for the end of a hold, as a request of the bridge's own. */
  async function endHold(original: Original, nowMs: number): Promise<void> {
    const own = (await store.runsOn(original.id)).filter(({ device }) => device === '');
    const request = endOfHold(original, own.length);
    const envelope = await seal(requestKind, request, realm, parts.signer);
    const { id } = identify(envelope, realm, requestKind.name);
    const key = parts.signer.key.name;
    const { run } = await store.admit(
      { id, key, device: '', request, envelope, nowMs, claim: claimAt(nowMs) },
      (facts) => judgeOwn(request, facts),
    );
    guard(work(run));
  }

  const taking = new Set<Promise<void>>();
  const hearing = new Set<Promise<void>>();

  return {
    receive(topic, envelope) {
      if (isClosed) return;
      const speaker = deviceOfState(topic);
      if (speaker !== undefined) {
        // All of them come at once when a bridge starts, and must not shut out anything.
        const heard = hearState(speaker, envelope);
        hearing.add(heard);
        return guard(heard.finally(() => hearing.delete(heard)));
      }
      // Payments that wait for a backend must not shut out boots, orders and mandates.
      const isPayment = topic.endsWith('/up/request');
      if (taking.size + (isPayment ? running.count() : 0) >= BRIDGE_RUNS_MAX) {
        return log('warn', 'too many messages at once, one left to be sent again');
      }
      const taken = take(topic, envelope);
      taking.add(taken);
      guard(taken.finally(() => taking.delete(taken)));
    },
    revoke,
    async notified(backend, question) {
      const id = await takeNotification(parts, backend, question);
      if (id !== undefined) await stir(id);
    },
    async resolve(id, word) {
      try {
        await takeWord(parts, id, word);
      } finally {
        await stir(id); // Also when the backend's own word was heard instead.
      }
    },
    async sweep() {
      const nowMs = clock.nowMs();
      await store.renew(running.ids(), claimAt(nowMs));
      const room = Math.min(SWEEP_MAX, BRIDGE_RUNS_MAX - running.count());
      const taken = room > 0 ? await store.claim(claimAt(nowMs), room, nowMs) : [];
      const open = taken.filter((run) => !running.has(run.id));
      for (const run of open) guard(work(run));
      for (const hold of await store.expiredHolds(nowMs, SWEEP_MAX)) guard(endHold(hold, nowMs));
      await store.releaseLeases(nowMs, SWEEP_MAX);
      return open.length;
    },
    async tick() {
      const nowMs = clock.nowMs();
      const broadcast = { iat: Math.floor(nowMs / 1000), nonce: parts.nonces.at(nowMs) };
      parts.send(tickTopic(realm.ledger), await seal(tickKind, broadcast, realm, parts.signer), 0);
    },
    async close() {
      isClosed = true;
      const ends = Promise.allSettled([...taking, ...hearing]).then(() => running.close());
      await within(timers, STOP_MS, Promise.all([ends, running.close()]));
    },
  };
}

type Ending = Readonly<{ outcome: Conclusion['outcome']; reason?: Reason; reference?: string }>;

/** What gives money or claims up is not asked of risk: it cannot cost the payer anything. */
const UNASKED: Decision = Object.freeze({ kind: 'allow', score: 0, reasons: Object.freeze([]) });

function isSpending({ request: { action } }: Run): boolean {
  return action === 'pay' || action === 'hold' || action === 'access';
}

function movedBy({ outcome, reference }: Attempt | Change): Ending {
  return { outcome: outcome!, ...(reference !== undefined && { reference }) };
}

function refusedAs(reason: Reason): Ending {
  return { outcome: reason === 'expired' ? 'expired' : 'refused', reason };
}
