/**
 * The device's side of the wire: sends what the outbox holds, again and again with growing pauses,
 * until a final receipt verifies. Hears receipts and ticks, believes only what the bridge signed.
 *
 * A bounded window goes out at once and the next entry follows each receipt, so a thousand stored
 * payments drain in a few round trips instead of one each. What the bridge has taken and a backend
 * keeps open holds no place, up to a limit: an outage of one backend is not the others'.
 *
 * The broker may be there while the bridge is away: then nothing of the outbox is sent, only a
 * question for the time, and everything goes out with the first fresh tick. A link that looks up
 * while no word comes is made anew.
 */
import { bytesEqual } from '../src/bytes.ts';
import { decodeCbor } from '../src/cbor.ts';
import { type Realm, type Signer, identify } from '../src/cose.ts';
import { PaymentError, REASONS, type Reason, reasonName } from '../src/errors.ts';
import {
  LEASE_ASK_MS,
  LEASE_REFILL_MS,
  LINK_RENEW_MS,
  LINK_RENEW_MS_MAX,
  LINK_SILENT_MS,
  OUTBOX_TAKEN_MAX,
  OUTBOX_WINDOW,
  PRESENCE_MS,
  RESEND_FOR_MS,
  RESEND_MS,
  RESEND_MS_MAX,
  TICK_ANSWER_MS,
  TICK_ASK_MS,
  TICK_ASK_MS_MAX,
} from '../src/limits.ts';
import { seal } from '../src/objects/kind.ts';
import { type Query, query as queryKind } from '../src/objects/query.ts';
import { type Receipt, isFinal, receipt as receiptKind } from '../src/objects/receipt.ts';
import { tick as tickKind } from '../src/objects/tick.ts';
import { within } from '../src/patience.ts';
import type {
  Clock,
  Connect,
  Link,
  LinkOptions,
  Log,
  Random,
  Retained,
  Timers,
} from '../src/platform.ts';
import { UNSIGNED, downFilter, parseTopic, tickTopic, upTopic } from '../src/topics.ts';
import type { Entry, NewEntry, Outbox } from './outbox.ts';
import type { Presence } from './presence.ts';
import type { Time } from './time.ts';
import type { Trust } from './trust.ts';

export type LinkEvents = Readonly<{
  /**
   * A verified receipt, final (then the entry is closed and on disk) or pending, and its bytes.
   * `isFirst` is false for the repetition of a final one.
   */
  receipt: (id: string, receipt: Receipt, envelope: Uint8Array, isFirst: boolean) => void;
  /** `ready` once a fresh nonce is here; `waiting` for one; `down` when the broker is away. */
  state: (state: 'down' | 'waiting' | 'ready') => void;
  /** The bridge has seen counters of this key that this disk does not know: two hold the key. */
  cloned: () => void;
  /** The bridge could not verify something that this device sent. */
  unsigned: (reason: Reason) => void;
  /** The bridge says, in answer to this boot's question, that the key is revoked for good. */
  ended?: () => void;
  /** No final receipt in RESEND_FOR_MS, so no more is sent; told once by each start. */
  givenUp?: (id: string) => void;
}>;

/** A stored entry, with the question to cancel it once that was asked. */
export type Outgoing = NewEntry & Readonly<Partial<Pick<Entry, 'cancel'>>>;

export type DeviceLink = Readonly<{
  /**
   * Sends a stored entry as soon as the bridge is there, and then until it is answered for good.
   * What is to be cancelled is not sent itself any more, only the question to cancel it, which any
   * final receipt answers.
   */
  send: (entry: Outgoing) => void;
  state: () => 'down' | 'waiting' | 'ready';
  /**
   * Whether the bridge answers a question that another key of this device signs, over this very
   * connection. Rejects with what that key throws when it does not sign.
   */
  prove: (signer: Signer) => Promise<boolean>;
  close: () => Promise<void>;
}>;

export type LinkParts = Readonly<{
  device: string;
  realm: Realm;
  url: string;
  tls?: LinkOptions['tls'] | undefined;
  connect: Connect;
  signer: Signer;
  outbox: Outbox;
  trust: Trust;
  time: Time;
  presence: Presence;
  /** Whether its policies let it pay offline, so that it keeps its leases fresh while it can. */
  keepsLeases?: boolean;
  clock: Clock;
  timers: Timers;
  random: Random;
  log: Log;
}>;

type Sending = {
  entry: Outgoing;
  dueMs: number;
  pauseMs: number;
  isGivenUp: boolean;
  /** The bridge has it, by its signed word since it was last heard anew, and owes the end. */
  isTaken: boolean;
};

/** A question to cancel carries no counter, so it waits for nothing. */
const isLimited = ({ kind, cancel }: Outgoing) => kind === 'request' && !cancel;

/** Reasons of a pending receipt that are given only about what the bridge has stored. */
const TAKEN: ReadonlySet<number | undefined> = new Set([
  REASONS.backend_unknown,
  REASONS.in_progress,
]);

const idOf = ({ entry }: Sending) => ({ id: entry.id });

/** What a request that is confirmed now is signed under, and its time. */
export type Fresh = Readonly<{ nonce: Uint8Array; nowMs: number }>;

/** Undefined unless a fresh nonce says that the bridge, not just the broker, is there. */
export function onlineNow(link: DeviceLink, time: Time): Fresh | undefined {
  const nonce = time.nonce();
  const nowMs = time.freshMs();
  if (link.state() !== 'ready' || !nonce || nowMs === undefined) return undefined;
  return { nonce, nowMs };
}

/** As `onlineNow`; throws `offline_not_allowed` instead. */
export function requireOnline(link: DeviceLink, time: Time): Fresh {
  const fresh = onlineNow(link, time);
  if (!fresh) throw new PaymentError('offline_not_allowed', 'no fresh tick from the bridge');
  return fresh;
}

/** Connects and keeps connected; what is in the outbox is sent as soon as the bridge is there. */
export function createDeviceLink(parts: LinkParts, events: LinkEvents): DeviceLink {
  const { device, realm, outbox, trust, time, presence, clock, timers, log } = parts;
  const sending = new Map<string, Sending>();
  /** How many of them no window holds back. */
  let unlimited = 0;
  for (const entry of outbox.open()) enqueue(entry);

  let isUp = false;
  let isCloned = false;
  let told: 'down' | 'waiting' | 'ready' | undefined;
  let saidWhy = '';
  let isClosed = false;
  /** The question for the time that has no answer yet; asked anew from `againMs` on, not before. */
  let asked: { echo: Uint8Array; atMs: number; againMs: number } | undefined;
  /** Of the last question for the time: the bridge may answer it with the end of this key. */
  let bootId: string | undefined;
  let askPauseMs = TICK_ASK_MS;
  /** Whether this connection's question was answered: only the answer tells the counter. */
  let isAnswered = false;
  /** When it was; each answer to a boot brings what may be spent offline from then on. */
  let answeredMs = 0;
  /** When the bridge was heard last, or this connection was made. */
  let heardMs = 0;
  let renewAfterMs = LINK_RENEW_MS;
  /** What tells the bridge that this disk is behind, until it is answered. */
  let behind: { id: string | undefined; dueMs: number } | undefined;
  /** Why the key does not sign, as long as it does not: an operator is told each reason once. */
  let keyTrouble: string | undefined;
  /** The key that is being proved, and what its answer must echo. */
  let proving: { key: string; echo: Uint8Array; done: () => void } | undefined;
  let cancelPump: () => void = () => {};
  let cancelAsk: () => void = () => {};
  let cancelPresence: () => void = () => {};

  function state(): 'down' | 'waiting' | 'ready' {
    if (!isUp) return 'down';
    return time.nonce() ? 'ready' : 'waiting';
  }

  function tellState(): void {
    const now = state();
    if (now === told) return;
    told = now;
    // Whatever was sent to a bridge that was away may be lost: all of it is due again.
    if (now === 'ready') pumpAll();
    events.state(now);
  }

  function pumpAll(): void {
    for (const item of sending.values()) {
      item.dueMs = 0;
      item.isTaken = false; // A bridge that was restored may have forgotten it.
    }
    pump();
  }

  /** One line for each reason, not one for each attempt: there are two in a second. */
  function tellWhy(why: string): void {
    if (why === saidWhy || isClosed) return;
    saidWhy = why;
    log(isUp ? 'info' : 'warn', isUp ? 'broker reached' : 'broker away, waiting', { why });
  }

  function enqueue(entry: Outgoing): void {
    take({ entry, dueMs: 0, pauseMs: RESEND_MS, isGivenUp: false, isTaken: false });
  }

  function take(item: Sending): void {
    drop(sending.get(item.entry.id));
    if (!isLimited(item.entry)) unlimited++;
    sending.set(item.entry.id, item);
  }

  /** Only counts; whatever comes in its place keeps its place. */
  function drop(item: Sending | undefined): void {
    if (item && !isLimited(item.entry)) unlimited--;
  }

  /** By trusted time only: a wall clock that jumps must not make a payment old. */
  function isTooOld({ storedMs }: Outgoing): boolean {
    const nowMs = time.trustedMs();
    return nowMs !== undefined && storedMs > 0 && nowMs - storedMs > RESEND_FOR_MS;
  }

  /**
   * Sends whatever is due while the bridge is there, and sleeps until the next is. Of the requests
   * only the oldest OUTBOX_WINDOW that it may not have are ever on their way: beyond them it would
   * see a counter so far ahead of what has arrived that it would take this device for a copy. With
   * those that it has they are never more than it works on for one key.
   */
  function pump(): void {
    cancelPump();
    cancelPump = () => {};
    if (state() !== 'ready') return tellState(); // It pumps again when that has changed.
    const nowMs = clock.monotonicMs();
    let unseen = 0;
    let requests = 0;
    let others = unlimited;
    let nextMs = Infinity;
    for (const item of sending.values()) {
      // Ten thousand that wait behind the window are not looked at for each that is answered.
      if (isFull() && others === 0) break;
      if (!isLimited(item.entry)) others--;
      if (isTooOld(item.entry)) {
        // The bridge may have forgotten it by now; its receipt may still come, so we listen on.
        giveUp(item);
        continue;
      }
      const { kind, envelope, cancel } = item.entry;
      if (kind === 'request') {
        const isBehind = isFull();
        requests++;
        if (!item.isTaken) unseen++;
        if (isBehind && !cancel) continue;
      }
      if (item.dueMs <= nowMs) {
        if (cancel) link.publish(upTopic(device, 'query'), cancel, 1);
        else link.publish(upTopic(device, kind), envelope, 1);
        item.dueMs = nowMs + item.pauseMs;
        item.pauseMs = Math.min(item.pauseMs * 2, RESEND_MS_MAX);
      }
      nextMs = Math.min(nextMs, item.dueMs);
    }
    if (nextMs < Infinity) cancelPump = timers.after(Math.max(0, nextMs - nowMs), pump);

    function isFull(): boolean {
      return unseen >= OUTBOX_WINDOW || requests >= OUTBOX_WINDOW + OUTBOX_TAKEN_MAX;
    }
  }

  function giveUp(item: Sending): void {
    if (item.isGivenUp) return;
    item.isGivenUp = true;
    log('error', 'entry too old to be sent: a person must look', idOf(item));
    events.givenUp?.(item.entry.id);
  }

  /**
   * Asks the bridge for time, nonce and counter until it answers: once for every connection,
   * whenever it was silent for longer than its ticks are apart, and now and then for new leases.
   */
  function beat(): void {
    cancelAsk();
    if (!isUp) return;
    tellState();
    const nowMs = clock.monotonicMs();
    const silentMs = nowMs - heardMs;
    if (silentMs >= renewAfterMs) return renew(silentMs);
    const restMs = Math.min(
      LINK_SILENT_MS - silentMs,
      (behind?.dueMs ?? Infinity) - nowMs,
      parts.keepsLeases ? LEASE_ASK_MS - (nowMs - answeredMs) : Infinity,
    );
    if (isAnswered && restMs > 0 && time.nonce()) {
      cancelAsk = timers.after(restMs, beat);
      return;
    }
    // Whatever else is heard meanwhile is no reason to ask anew: the answer would not fit any more,
    // and what comes with it would make it ask again, and again.
    const againMs = asked?.againMs ?? nowMs;
    if (againMs > nowMs) {
      cancelAsk = timers.after(Math.min(againMs - nowMs, renewAfterMs - silentMs), beat);
      return;
    }
    cancelAsk = timers.after(Math.min(askPauseMs, renewAfterMs - silentMs), beat);
    // New every time: an answer that was held back would tell an old time as if it were now.
    asked = { echo: parts.random(16), atMs: nowMs, againMs: nowMs + askPauseMs };
    askPauseMs = Math.min(askPauseMs * 2, TICK_ASK_MS_MAX);
    void put({ question: 'boot', echo: asked.echo }).then((id) => (bootId = id));
  }

  /** Signs and sends a question; returns its id, or undefined when the key cannot sign now. */
  async function put(question: Query): Promise<string | undefined> {
    try {
      const envelope = await seal(queryKind, question, realm, parts.signer);
      keyTrouble = undefined;
      link.publish(upTopic(device, 'query'), envelope, 1);
      return identify(envelope, realm, queryKind.name).id;
    } catch (error) {
      if (!(error instanceof PaymentError)) throw error;
      const why = error.message;
      if (why !== keyTrouble) log('error', 'no question to the bridge can be signed', { why });
      keyTrouble = why;
      return undefined;
    }
  }

  /** TCP may take a link for alive for a long time after its other end has gone. */
  function renew(silentMs: number): void {
    const seconds = Math.round(silentMs / 1000);
    log('warn', 'no word from the bridge: making a new connection', { seconds });
    renewAfterMs = Math.min(renewAfterMs * 2, LINK_RENEW_MS_MAX);
    cancelAsk = timers.after(TICK_ASK_MS_MAX, beat);
    link.renew();
  }

  function publishRetained({ topic, payload }: Retained): void {
    link.publish(topic, payload, 1, 'retain');
  }

  /**
   * Says what this device is. Said again once, because the death of the connection before may come
   * late and stay; and then whenever something else waits, but no more often than that.
   */
  function present(isAgain: boolean): void {
    cancelPresence();
    publishRetained(presence.birth());
    cancelPresence = timers.after(PRESENCE_MS, function later() {
      if (!isAgain || presence.isNews()) return present(true);
      cancelPresence = timers.after(PRESENCE_MS, later);
    });
  }

  function hearReceipt(envelope: Uint8Array): void {
    const { value } = trust.openFromBridge(receiptKind, envelope);
    if (value.subject === behind?.id) behind = undefined;
    if (value.subject === bootId && value.reason === REASONS.revoked) return events.ended?.();
    const item = sending.get(value.subject) ?? cancelledBy(value);
    if (!item) return;
    const { id, kind, cancel } = item.entry;
    const isFirst = outbox.get(id)?.receipt === undefined;
    if (isFinal(value.outcome)) {
      drop(item);
      sending.delete(id);
      pump();
      // Told once it is on disk; many that come together get there together.
      outbox
        .close(id, envelope, value.iat * 1000)
        .then(
          () => {
            events.receipt(id, value, envelope, isFirst);
            if (isFirst && outbox.get(id)?.isOffline) refill();
          },
          (error: unknown) => notKept(error, item),
        )
        .catch((error: unknown) => disbelieve(error, { id }));
      return;
    }
    if (cancel && value.reason === REASONS.not_seen) {
      // The bridge cannot be sure of what it has not seen: it needs the request to cancel it.
      link.publish(upTopic(device, kind), item.entry.envelope, 1);
    }
    if (TAKEN.has(value.reason)) item.isTaken = true;
    pump();
    events.receipt(id, value, envelope, isFirst);
  }

  /**
   * Once all that was accepted offline has arrived, the bridge can set aside as much again: under
   * a lease that is newer by its seconds than the one held, and than the receipts.
   */
  function refill(): void {
    if (!parts.keepsLeases || outbox.accepted().length > 0) return;
    answeredMs = clock.monotonicMs() - LEASE_ASK_MS + LEASE_REFILL_MS;
    beat();
  }

  /** A receipt that the disk did not take is asked for again, like one that was lost. */
  function notKept(error: unknown, item: Sending): void {
    if (!(error instanceof PaymentError)) throw error;
    log('warn', 'receipt not kept', { ...idOf(item), why: error.message });
    take(item);
    pump();
  }

  /**
   * What was cancelled before the bridge saw it is answered about the question to cancel, which
   * only this device can have signed; a receipt about the request itself could be had by others.
   */
  function cancelledBy({ subject, outcome, reason }: Receipt): Sending | undefined {
    if (outcome !== 'refused' || reason !== REASONS.cancelled) return undefined;
    return [...sending.values()].find(
      ({ entry: { cancel } }) => cancel && identify(cancel, realm, queryKind.name).id === subject,
    );
  }

  function hearTick(envelope: Uint8Array, isAddressed: boolean): void {
    const { value } = trust.openFromBridge(tickKind, envelope);
    let isBehind = false;
    if (!isAddressed) {
      time.hear(value);
    } else if (proving && value.audience === proving.key && value.echo) {
      if (bytesEqual(value.echo, proving.echo)) proving.done();
      return;
    } else if (value.audience === parts.signer.key.name && value.lease && !value.echo) {
      outbox.hearLease(value);
    } else if (value.audience === parts.signer.key.name && value.echo && asked) {
      if (!bytesEqual(value.echo, asked.echo)) return;
      if (clock.monotonicMs() - asked.atMs > TICK_ANSWER_MS) return;
      const key = parts.signer.key.name;
      isBehind = value.counter! > outbox.counter(key);
      if (!isBehind) outbox.settleCounter(key, value.counter!);
      time.boot(value);
      asked = undefined;
      isAnswered = true;
      answeredMs = clock.monotonicMs();
      behind = undefined;
      askPauseMs = TICK_ASK_MS;
    }
    heardMs = clock.monotonicMs();
    renewAfterMs = LINK_RENEW_MS;
    if (isBehind) void tellBehind(value.nonce);
    // A tick may arrive before the subscription is confirmed: that is no news of the link.
    if (isUp) tellState();
    if (isAnswered && time.nonce()) beat(); // Which waits for silence now.
  }

  /** Two hold this key: a person is told here, and the bridge, which alone can stop the other. */
  async function tellBehind(nonce: Uint8Array): Promise<void> {
    const counter = outbox.counter(parts.signer.key.name);
    // Not answered by then it is told again, under a nonce that is new.
    behind = { id: undefined, dueMs: clock.monotonicMs() + RESEND_MS_MAX };
    if (!isCloned) {
      isCloned = true;
      log('error', 'the bridge knows counters that this disk does not: restored or copied');
      events.cloned();
    }
    behind.id = await put({ question: 'behind', counter, nonce });
  }

  function hear(topic: string, payload: Uint8Array): void {
    try {
      if (topic === tickTopic(realm.ledger)) return hearTick(payload, false);
      const parsed = parseTopic(topic);
      if (parsed?.way !== 'down' || parsed.device !== device) return;
      if (parsed.tail === 'receipt') return hearReceipt(payload);
      if (parsed.tail === 'tick') return hearTick(payload, true);
      if (parsed.tail === UNSIGNED) return hearUnsigned(payload);
    } catch (error) {
      disbelieve(error, { topic });
    }
  }

  function disbelieve(error: unknown, what: Readonly<Record<string, string>>): void {
    if (!(error instanceof PaymentError)) throw error;
    log('warn', 'message not believed', { ...what, reason: error.reason, why: error.message });
  }

  /** Not signed, so it changes nothing; it only tells a person that something is wrong. */
  function hearUnsigned(payload: Uint8Array): void {
    const value = decodeCbor(payload);
    const code = value instanceof Map ? value.get(23) : undefined;
    const reason = typeof code === 'number' ? reasonName(code) : undefined;
    if (reason) events.unsigned(reason);
  }

  const link: Link = parts.connect(
    {
      url: parts.url,
      ...(parts.tls && { tls: parts.tls }),
      clientId: device,
      subscriptions: [
        { topic: downFilter(device), qos: 1 },
        { topic: tickTopic(realm.ledger), qos: 0 },
      ],
      will: presence.will,
    },
    {
      message: hear,
      state(now, why) {
        isUp = now === 'up';
        tellWhy(why);
        if (isUp) {
          heardMs = clock.monotonicMs();
          isAnswered = false;
          asked = undefined;
          askPauseMs = TICK_ASK_MS;
          present(false); // Before anything else: whoever looks into the rest sees from where.
          beat();
        } else {
          cancelPresence();
        }
        tellState();
      },
    },
  );

  return {
    send(entry) {
      enqueue(entry);
      pump();
    },
    state,
    async prove(signer) {
      const echo = parts.random(16);
      const question = { question: 'boot', echo } as const;
      const envelope = await seal(queryKind, question, realm, signer);
      if (state() !== 'ready') return false;
      const answered = new Promise<true>((done) => {
        proving = { key: signer.key.name, echo, done: () => done(true) };
      });
      link.publish(upTopic(device, 'query'), envelope, 1);
      const isProved = await within(timers, TICK_ANSWER_MS, answered);
      proving = undefined;
      return isProved === true;
    },
    async close() {
      isClosed = true;
      cancelPump();
      cancelAsk();
      cancelPresence();
      publishRetained(presence.goodbye());
      await link.close();
    },
  };
}
