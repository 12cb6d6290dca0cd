/**
 * The devices of one worker: each with a connection, a key and a counter of its own, paying when
 * the schedule says.
 *
 * They do on the wire what device/link.ts does: birth and will, a signed question at each boot, a
 * window of what is on its way, the same bytes again until a final receipt verifies. What they
 * leave out is the disk and the person: a device's own storage is no part of what the machine under
 * a bridge carries, and five thousand would measure the disk of this one. Keys sign with OpenSSL
 * and not with noble, for the same reason.
 */
import { bytesEqual } from '../../src/bytes.ts';
import { type Signer, identify, payloadOf } from '../../src/cose.ts';
import { PaymentError, reasonName } from '../../src/errors.ts';
import {
  FLEET_CONNECTING_MAX,
  OUTBOX_WINDOW,
  REQUEST_VALID_S,
  RESEND_MS,
  RESEND_MS_MAX,
  TICK_ASK_MS_MAX,
} from '../../src/limits.ts';
import { open, seal } from '../../src/objects/kind.ts';
import { query as queryKind } from '../../src/objects/query.ts';
import { isFinal, receipt as receiptKind } from '../../src/objects/receipt.ts';
import { request as requestKind } from '../../src/objects/request.ts';
import { tick as tickKind } from '../../src/objects/tick.ts';
import type { Clock, Connect, Link, Random, Timers } from '../../src/platform.ts';
import { type Place, encodePresence } from '../../src/presence.ts';
import { nodeSigner, readPrivatePem, readPublicPem } from '../../src/signer.ts';
import {
  downFilter,
  downTopic,
  parseTopic,
  stateTopic,
  tickTopic,
  upTopic,
} from '../../src/topics.ts';
import { createChance } from '../chance.ts';
import { scheduleOf } from './arrivals.ts';
import type { Counts, Order, Told } from './message.ts';
import { createRows } from './payments.ts';

export type CrewPorts = Readonly<{
  clock: Clock;
  timers: Timers;
  random: Random;
  connect: Connect;
  /** How late the loop was at the most since the last time, ms. */
  loopMs: () => number;
}>;

export type Crew = Readonly<{
  take: (order: Order) => void;
  /** What has happened since this was asked the last time. */
  told: () => Told;
}>;

type Connecting = Extract<Order, { kind: 'connect' }>;
type Loading = Extract<Order, { kind: 'load' }>;

type Device = {
  name: string;
  signer: Signer;
  mandate: string;
  payee: string;
  terminal: string;
  link: Link | undefined;
  /** Of the question that this connection's boot has asked; undefined while there is none. */
  echo: Uint8Array | undefined;
  askedMs: number;
  state: 'down' | 'asking' | 'ready';
  counter: number;
  onTheWay: number;
  /** When each was due that could not be sent yet. */
  held: number[];
};

type Payment = {
  device: Device;
  envelope: Uint8Array;
  dueMs: number;
  /** Of the next resending. */
  pauseMs: number;
};

/** Payments of one pause, in the order in which they are due again. */
type Queue = { pauseMs: number; items: { id: string; againMs: number }[]; from: number };

export function createCrew(ports: CrewPorts): Crew {
  const { clock, timers, random } = ports;
  let devices: Device[] = [];
  let setting: Connecting | undefined;
  let bridge: ReturnType<typeof readPublicPem> | undefined;
  let nonce = new Uint8Array(8);
  let lastTick: Uint8Array = new Uint8Array();
  let ready = 0;
  let begun = 0;
  let held = 0;
  let received = 0;
  let isOver = false;
  let isFinished = false;
  let load:
    Readonly<{ next: () => number | undefined; sinceMs: number; fromMs: number }> | undefined;
  let upcomingMs: number | undefined;
  let turn = 0;
  const onTheWay = new Map<string, Payment>();
  const again: Queue[] = [];
  for (let pauseMs = RESEND_MS; ; pauseMs = Math.min(pauseMs * 2, RESEND_MS_MAX)) {
    again.push({ pauseMs, items: [], from: 0 });
    if (pauseMs === RESEND_MS_MAX) break;
  }

  const rows = createRows();
  let since = fresh();

  // ── connections ────────────────────────────────────────────────────────────────────────────

  function connectAll(order: Connecting): void {
    setting = order;
    bridge = readPublicPem(order.bridgeKey);
    devices = order.devices.map(({ name, pem, mandate, payee, terminal }) => ({
      ...{ name, signer: nodeSigner(readPrivatePem(pem)), mandate, payee, terminal },
      ...{ link: undefined, echo: undefined, askedMs: 0, state: 'down' as const },
      ...{ counter: 0, onTheWay: 0, held: [] },
    }));
    const sinceMs = clock.monotonicMs();
    (function some() {
      const allowed = ((clock.monotonicMs() - sinceMs) / 1000) * order.connectsPerS + 1;
      while (begun < Math.min(allowed, devices.length) && begun - ready < FLEET_CONNECTING_MAX) {
        connect(devices[begun++]!, order);
      }
      if (begun < devices.length) timers.after(CONNECT_TURN_MS, some);
    })();
    (function look() {
      const nowMs = clock.monotonicMs();
      for (const device of devices) {
        if (device.state === 'asking' && nowMs - device.askedMs > TICK_ASK_MS_MAX) void ask(device);
      }
      resend(nowMs);
      timers.after(LOOK_MS, look);
    })();
  }

  function connect(device: Device, { url, realm }: Connecting): void {
    const { name } = device;
    device.link = ports.connect(
      {
        url,
        clientId: name,
        subscriptions: [
          { topic: downFilter(name), qos: 1 },
          { topic: tickTopic(realm.ledger), qos: 0 },
        ],
        will: () => ({ topic: stateTopic(name), payload: deathOf(name) }),
      },
      {
        message: (topic, payload) => hear(device, topic, payload),
        state(state) {
          if (state === 'up') {
            device.state = 'asking';
            device.link!.publish(stateTopic(name), birthOf(device), 1, 'retain');
            void ask(device);
          } else if (device.state !== 'down') {
            if (device.state === 'ready') ready--;
            device.state = 'down';
            since.counts.broken++;
          }
        },
      },
    );
  }

  /** The question of a boot, whose answer brings nonce and proof that the bridge is there. */
  async function ask(device: Device): Promise<void> {
    device.askedMs = clock.monotonicMs();
    const echo = random(16);
    device.echo = echo;
    const value = { question: 'boot', echo } as const;
    const envelope = await seal(queryKind, value, setting!.realm, device.signer);
    device.link!.publish(upTopic(device.name, 'query'), envelope, 1);
  }

  // ── what comes ─────────────────────────────────────────────────────────────────────────────

  function hear(device: Device, topic: string, payload: Uint8Array): void {
    try {
      if (topic === tickTopic(setting!.realm.ledger)) return hearBroadcast(payload);
      const tail = parseTopic(topic)?.tail;
      if (tail === 'tick') hearAnswer(device, payload);
      else if (tail === 'receipt') hearReceipt(payload);
      else if (topic === downTopic(device.name, 'unsigned')) since.counts.bad++;
    } catch (error) {
      if (!(error instanceof PaymentError)) throw error;
      since.counts.bad++;
    }
  }

  /** The same bytes come to every device here; one verification is enough to know them. */
  function hearBroadcast(payload: Uint8Array): void {
    if (bytesEqual(payload, lastTick)) return;
    const { value } = open(tickKind, payload, setting!.realm, () => bridge);
    lastTick = payload;
    nonce = Uint8Array.from(value.nonce);
  }

  function hearAnswer(device: Device, payload: Uint8Array): void {
    const { value } = open(tickKind, payload, setting!.realm, () => bridge);
    if (!value.echo || !device.echo || !bytesEqual(value.echo, device.echo)) return;
    device.echo = undefined;
    nonce = Uint8Array.from(value.nonce);
    if (device.state !== 'asking') return;
    device.state = 'ready';
    ready++;
    sendHeld(device);
  }

  function hearReceipt(payload: Uint8Array): void {
    const isVerified = received++ % setting!.verifyEach === 0;
    const value = isVerified
      ? open(receiptKind, payload, setting!.realm, () => bridge).value
      : receiptKind.decode(payloadOf(payload));
    if (isVerified) since.counts.verified++;
    const payment = onTheWay.get(value.subject);
    if (!payment) return;
    if (!isFinal(value.outcome)) {
      since.counts.pending++;
      return;
    }
    const { device, dueMs } = payment;
    onTheWay.delete(value.subject);
    device.onTheWay--;
    if (dueMs >= load!.fromMs) since.latenciesUs.push(microseconds(clock.monotonicMs() - dueMs));
    if (value.outcome === 'captured') since.counts.paid++;
    else {
      const reason = (value.reason !== undefined && reasonName(value.reason)) || value.outcome;
      since.refused[reason] = (since.refused[reason] ?? 0) + 1;
    }
    rows.add(value.subject, value.outcome === 'captured' ? 'paid' : 'refused');
    sendHeld(device);
  }

  // ── what goes ──────────────────────────────────────────────────────────────────────────────

  function begin(order: Loading): void {
    const { profile, arrivals, part, seed } = order;
    const sinceMs = clock.monotonicMs();
    const next = scheduleOf(profile, arrivals, part, createChance(`${seed} ${part.index}`));
    load = { next, sinceMs, fromMs: sinceMs + order.measuredFromMs };
    upcomingMs = next();
    pace();
  }

  /** Whatever is due by now goes, each timed from its own moment; then sleeps until the next is. */
  function pace(): void {
    if (isOver) return;
    const nowMs = clock.monotonicMs();
    while (upcomingMs !== undefined && load!.sinceMs + upcomingMs <= nowMs) {
      pay(devices[turn++ % devices.length]!, load!.sinceMs + upcomingMs);
      upcomingMs = load!.next();
    }
    if (upcomingMs === undefined) isOver = true;
    else timers.after(Math.max(1, load!.sinceMs + upcomingMs - nowMs), pace);
  }

  function pay(device: Device, dueMs: number): void {
    since.due++;
    held++;
    device.held.push(dueMs);
    sendHeld(device);
  }

  function sendHeld(device: Device): void {
    while (device.held.length > 0 && device.state === 'ready' && device.onTheWay < OUTBOX_WINDOW) {
      held--;
      device.onTheWay++;
      void send(device, device.held.shift()!, ++device.counter);
    }
  }

  async function send(device: Device, dueMs: number, counter: number): Promise<void> {
    const { realm, currency, minor } = setting!;
    const { signer, mandate, payee, terminal } = device;
    const envelope = await seal(
      requestKind,
      {
        exp: Math.floor(clock.nowMs() / 1000) + REQUEST_VALID_S,
        ...{ action: 'pay', mandate, counter, amount: { currency, minor }, payee, terminal },
        ...{ presence: 2, channel: 'tap', nonce },
      },
      realm,
      signer,
    );
    const { id } = identify(envelope, realm, 'request');
    const payment = { device, envelope, dueMs, pauseMs: RESEND_MS };
    onTheWay.set(id, payment);
    device.link!.publish(upTopic(device.name, 'request'), envelope, 1);
    const nowMs = clock.monotonicMs();
    since.sent++;
    if (dueMs >= load!.fromMs) since.latenessUs.push(microseconds(nowMs - dueMs));
    again[0]!.items.push({ id, againMs: nowMs + RESEND_MS });
  }

  function finish(): void {
    for (const id of onTheWay.keys()) rows.add(id, 'open');
    onTheWay.clear();
    for (const device of devices) device.held = [];
    held = 0;
    isOver = true;
    isFinished = true;
  }

  /** What has waited for its pause goes once more, in the same bytes. */
  function resend(nowMs: number): void {
    for (const [at, queue] of again.entries()) {
      const { items } = queue;
      while (queue.from < items.length && items[queue.from]!.againMs <= nowMs) {
        const { id } = items[queue.from++]!;
        const payment = onTheWay.get(id);
        if (!payment) continue;
        const later = again[Math.min(at + 1, again.length - 1)]!;
        later.items.push({ id, againMs: nowMs + later.pauseMs });
        if (payment.device.state !== 'ready') continue;
        since.counts.resent++;
        const topic = upTopic(payment.device.name, 'request');
        payment.device.link!.publish(topic, payment.envelope, 1);
      }
      if (queue.from > KEPT_MAX || queue.from === items.length) {
        items.splice(0, queue.from);
        queue.from = 0;
      }
    }
  }

  return {
    take(order) {
      if (order.kind === 'connect') connectAll(order);
      else if (order.kind === 'load') begin(order);
      else if (order.kind === 'halt') isOver = true;
      else finish();
    },
    told() {
      const { latenciesUs, latenessUs, ...rest } = since;
      since = fresh();
      return {
        ...rest,
        ...{ ready, held, waiting: onTheWay.size },
        latenciesUs: Uint32Array.from(latenciesUs),
        latenessUs: Uint32Array.from(latenessUs),
        ended: rows.take(),
        loopMs: ports.loopMs(),
        ...{ isOver, isFinished },
      };
    },
  };

  function birthOf({ name, signer }: Device): Uint8Array {
    const key = { kid: signer.key.name.slice(0, 16), since: 0, until: 0 };
    return encodePresence({
      ...{ session: 1, online: true, place: placeOf(name), ...ABOUT, key },
      queue: { open: 0 },
    });
  }
}

/** New connections are begun in groups of what has become due in this time. */
const CONNECT_TURN_MS = 20;
const LOOK_MS = 100;
/** Entries of a queue that are over before they are cut off. */
const KEPT_MAX = 10_000;

const ABOUT = {
  versions: { saytap: 'fleet', node: '' },
  profile: 'glasses',
  channels: ['tap'],
  surfaces: [],
  offline: 'never',
  keys: 'memory',
  presenceMax: 2,
  config: 'fleet',
};

function placeOf(name: string): Place {
  return { host: name, boot: 'fleet', start: 'fleet' };
}

function deathOf(name: string): Uint8Array {
  return encodePresence({ session: 1, online: false, place: placeOf(name), left: false });
}

function microseconds(ms: number): number {
  return Math.min(0xffff_ffff, Math.max(0, Math.round(ms * 1000)));
}

type Since = {
  due: number;
  sent: number;
  latenciesUs: number[];
  latenessUs: number[];
  refused: Record<string, number>;
  counts: { -readonly [Name in keyof Counts]: number };
};

function fresh(): Since {
  return {
    ...{ due: 0, sent: 0, latenciesUs: [], latenessUs: [], refused: {} },
    counts: { paid: 0, pending: 0, verified: 0, bad: 0, resent: 0, broken: 0 },
  };
}
