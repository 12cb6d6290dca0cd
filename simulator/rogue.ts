/**
 * A key that was let in as an agent's and asks for what nobody granted: other money, other shops,
 * more than there is, what is others'.
 *
 * It holds to no rule of the product's own devices: it has no outbox, counts as it likes and signs
 * whatever the codec can write. So the bridge meets every refusal that an honest device would have
 * spared it, and must hold each of its limits alone. What it is paid for stays within its mandates;
 * that is for the checker to see.
 */
import { type CborValue, decodeCbor, encodeCbor } from '../src/cbor.ts';
import { type Realm, identify, payloadOf, signEnvelope } from '../src/cose.ts';
import { PaymentError } from '../src/errors.ts';
import {
  CHAIN_DEPTH_MAX,
  COUNTER_GAP_MAX,
  REQUEST_VALID_S,
  REQUEST_VALID_S_MAX,
} from '../src/limits.ts';
import { type Kind, seal } from '../src/objects/kind.ts';
import type { KindName } from '../src/objects/kinds.ts';
import { type Mandate, mandate as mandateKind } from '../src/objects/mandate.ts';
import { order as orderKind } from '../src/objects/order.ts';
import { type Query, query as queryKind } from '../src/objects/query.ts';
import { type Request, request as requestKind } from '../src/objects/request.ts';
import { revoke as revokeKind } from '../src/objects/revoke.ts';
import { type Tick, tick as tickKind } from '../src/objects/tick.ts';
import type { Connect, Link } from '../src/platform.ts';
import { downFilter, tickTopic, upTopic } from '../src/topics.ts';
import { toHex } from '../src/bytes.ts';
import { ROGUE_MANDATES } from './census.ts';
import type { Chance } from './chance.ts';
import type { Observe, Observed } from './observed.ts';
import type { Act, RogueAsk } from './plan.ts';
import type { Granted, Site } from './site.ts';
import type { Timeline } from './time.ts';

type Asking = Extract<Act, { act: 'rogue' }>;

/** The rogue of a site that has one; it connects when it asks for the first time. */
export function createRogue(
  parts: Readonly<{
    site: Site;
    name: string;
    chance: Chance;
    timeline: Timeline;
    connect: Connect;
    url: string;
    observed: readonly Observed[];
    observe: Observe;
    /** An error that is none of its world's. */
    fail: (error: unknown) => void;
  }>,
): (act: Asking) => void {
  const { site, name, chance, timeline, observed, observe, fail } = parts;
  const { realm } = site;
  const { signer } = site.rogues.find((one) => one.name === name)!;
  const granted = site.mandates.filter(({ holder }) => holder === name);
  const others = site.mandates.filter(({ holder }) => holder !== name);
  const held = Object.fromEntries(ROGUE_MANDATES.map((which, n) => [which, granted[n]!])) as Record<
    (typeof ROGUE_MANDATES)[number],
    Granted
  >;
  const { currency } = site;
  let link: Link | undefined;
  let counter = 0;
  let nonce: Uint8Array = new Uint8Array(8);
  let lease: Tick | undefined;

  // ── its line ───────────────────────────────────────────────────────────────────────────────

  function connect(): Link {
    observe({ what: 'life', machine: name, event: 'rogue' });
    const subscriptions = [downFilter(name), tickTopic(realm.ledger)];
    const own: Link = parts.connect(
      {
        url: parts.url,
        clientId: name,
        subscriptions: subscriptions.map((topic) => ({ topic, qos: 1 })),
      },
      {
        message: hear,
        state(now) {
          if (now !== 'up') return;
          for (const { envelope } of granted) own.publish(upTopic(name, 'mandate'), envelope, 1);
          ask({ question: 'boot', echo: chance.bytes(16) });
        },
      },
    );
    return own;
  }

  function hear(topic: string, bytes: Uint8Array): void {
    if (!topic.endsWith('/tick')) return;
    try {
      const tick = tickKind.decode(payloadOf(bytes));
      if (!tick.lease) nonce = tick.nonce;
      else if (tick.lease.mandate === held.leased.id) lease = tick;
    } catch (error) {
      if (!(error instanceof PaymentError)) throw error;
    }
  }

  function publish(kind: KindName, envelope: Uint8Array): void {
    link?.publish(upTopic(name, kind), envelope, 1);
  }

  async function put<T>(kind: Kind<T>, value: T): Promise<string> {
    const envelope = await seal(kind, value, realm, signer);
    publish(kind.name as KindName, envelope);
    return identify(envelope, realm, kind.name).id;
  }

  function ask(question: Query): void {
    put(queryKind, question).catch(fail);
  }

  async function send(payload: Uint8Array, within: Realm = realm): Promise<string> {
    const envelope = await signEnvelope(payload, within, requestKind.name, signer);
    const { id } = identify(envelope, realm, requestKind.name);
    observe({ what: 'signed', agent: name, id });
    publish('request', envelope);
    return id;
  }

  function later(ms: number, run: () => Promise<unknown>): void {
    timeline.after(ms, () => void run().catch(fail));
  }

  // ── what it asks for ───────────────────────────────────────────────────────────────────────

  const nowS = () => Math.floor((site.startMs + timeline.nowMs()) / 1000);
  const SHOP = site.payees[0]!.id;

  /** What it may ask for, with these changes. */
  function made({ minor }: Asking, changes: Partial<Request> = {}): Request {
    return {
      action: 'pay',
      exp: nowS() + REQUEST_VALID_S,
      mandate: held.plain.id,
      counter: changes.counter ?? ++counter,
      amount: { currency, minor: BigInt(minor) },
      payee: SHOP,
      presence: 0,
      channel: 'autonomous',
      nonce,
      ...changes,
    };
  }

  const pay = (act: Asking, changes: Partial<Request> = {}) =>
    send(requestKind.encode(made(act, changes)));

  const handOn = (parent: string, changes: Partial<Mandate> = {}) =>
    put(mandateKind, { ...held.plain.mandate, parent, ...changes });

  /** The newest message of this kind that anybody else sent, and its id. */
  function heardOf<T>(kind: Kind<T>): Readonly<{ id: string; value: T }> | undefined {
    const own = upTopic(name, kind.name as KindName);
    const end = own.slice(own.indexOf('/up/'));
    const found = observed.findLast(
      (one) => one.what === 'wire' && one.topic.endsWith(end) && one.topic !== own,
    );
    if (found?.what !== 'wire') return undefined;
    const { bytes } = found;
    try {
      const { id } = identify(bytes, realm, kind.name);
      return { id, value: kind.decode(payloadOf(bytes)) };
    } catch (error) {
      if (!(error instanceof PaymentError)) throw error;
      return undefined; // A forger was here.
    }
  }

  async function payOrder(act: Asking, more: bigint): Promise<void> {
    const heard = heardOf(orderKind);
    if (!heard) return;
    const { amount, payee, terminal } = heard.value;
    const asked = { currency: amount.currency, minor: amount.minor + more };
    await pay(act, { order: heard.id, payee, terminal, amount: asked });
  }

  async function hold(act: Asking): Promise<void> {
    const original = await pay(act, { action: 'hold' });
    const capture = (minor: number) => () =>
      send(requestKind.encode(made({ ...act, minor }, { action: 'capture', original })));
    later(4_000, capture(act.minor + 1));
    later(7_000, capture(act.minor));
    later(10_000, capture(act.minor));
  }

  /** More than was set aside for it, by one payment. */
  async function spendLease(act: Asking): Promise<void> {
    const own = lease?.lease;
    if (!lease || !own) return;
    const { nonce: under } = lease;
    const spent = { mandate: held.leased.id, nonce: under, exp: own.upload };
    const most = held.leased.mandate.perPaymentMax;
    const times = Math.min(own.count, Number(own.amount.minor / most)) + 1;
    for (let n = 0; n < times; n++) await pay({ ...act, minor: Number(most) }, spent);
    await pay(act, { ...spent, action: 'hold' });
  }

  /** A request that the codec would not write: one number of its map says something else. */
  async function spoilt(act: Asking, field: number, value: CborValue): Promise<void> {
    const map = decodeCbor(requestKind.encode(made(act))) as Map<number, CborValue>;
    await send(encodeCbor(new Map(map).set(field, value)));
  }

  async function handOnTooDeep(parent: string, depth: number): Promise<void> {
    const child = await handOn(parent, { iat: nowS() });
    if (depth <= CHAIN_DEPTH_MAX) later(1_500, () => handOnTooDeep(child, depth + 1));
  }

  async function refund(act: Asking): Promise<void> {
    const heard = heardOf(requestKind);
    if (!heard) return;
    await pay(act, { action: 'refund', original: heard.id, payee: heard.value.payee });
  }

  async function askAbout(question: 'state' | 'cancel'): Promise<void> {
    const subject = heardOf(requestKind)?.id;
    if (subject !== undefined) ask({ question, subject });
  }

  const ASKS: Readonly<Record<RogueAsk, (act: Asking, own: Chance) => Promise<unknown>>> = {
    pay: (act) => pay(act),
    hold,
    foreign: (act) => pay(act, { amount: { currency: 'USD', minor: BigInt(act.minor) } }),
    'no such money': (act) => spoilt(act, AMOUNT, ['XQZ', 2, act.minor]),
    'no such field': (act) => spoilt(act, 77, 1),
    'too dear': (act) => pay({ ...act, minor: 900 + act.minor }),
    unconfirmed: (act) => pay({ ...act, minor: 600 }, { presence: 2, channel: 'touch' }),
    'other shop': (act) => pay(act, { payee: site.payees.at(-1)!.id + '-' }),
    'other till': (act) => pay(act, { terminal: 'till-0' }),
    'by voice': (act) => pay(act, { mandate: held.spoken.id, channel: 'voice' }),
    'too early': (act) => pay(act, { mandate: held.early.id }),
    'not its own': (act, own) => pay(act, { mandate: own.pick(others).id }),
    'counter again': (act) => pay(act, { counter: Math.max(1, counter) }),
    'counter ahead': (act) => pay(act, { counter: counter + COUNTER_GAP_MAX * 4 }),
    'old nonce': (act, own) => pay(act, { nonce: own.bytes(8) }),
    'too long': (act) => pay(act, { exp: nowS() + 3 * REQUEST_VALID_S_MAX }),
    over: (act) => pay(act, { exp: nowS() - 5 }),
    simulated: (act) => {
      const environment = realm.environment === 'live' ? 'sim' : 'live';
      return send(requestKind.encode(made(act)), { ...realm, environment });
    },
    order: (act) => payOrder(act, 0n),
    'order changed': (act) => payOrder(act, 1n),
    'order made up': (act, own) => pay(act, { order: toHex(own.bytes(16)) }),
    refund,
    'capture nothing': (act, own) =>
      pay(act, { action: 'capture', original: toHex(own.bytes(16)) }),
    leases: async (act) => {
      ask({ question: 'boot', echo: chance.bytes(16) });
      later(2_000, () => spendLease(act));
    },
    'ask about others': () => askAbout('state'),
    'cancel others': () => askAbout('cancel'),
    'grant itself': () => put(mandateKind, { ...held.plain.mandate, iat: nowS() }),
    'hand on': async (act) => {
      const mandate = await handOn(held.plain.id, { iat: nowS() });
      later(2_000, () => pay(act, { mandate }));
    },
    'hand on others': (_act, own) => handOn(own.pick(others).id),
    'hand on other money': () => handOn(held.plain.id, { funding: 'acct-nobody' }),
    'hand on too deep': () => handOnTooDeep(held.plain.id, 2),
    revoke: (_act, own) => {
      const { id } = own.pick(others);
      return put(revokeKind, { payer: site.wallets[0]!.payer, iat: nowS(), mandate: id });
    },
    flood: async (act) => {
      for (let n = 0; n < FLOOD; n++) await pay({ ...act, minor: 1 }, { mandate: held.wide.id });
    },
  };

  return (act) => {
    const run = () => ASKS[act.ask](act, chance.fork(act.name));
    if (link) return void run().catch(fail);
    link = connect();
    later(SOON_MS, run);
  };
}

/** Number of the field in a request. */
const AMOUNT = 12;
/** When it has connected, and its mandates are known. */
const SOON_MS = 3_000;
/** More than the bridge works on for one key. */
const FLOOD = 136;
