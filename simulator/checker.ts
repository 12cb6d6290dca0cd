/**
 * Whether a world keeps its promises: the invariants I1 to I7, the ledgers' balance, and that
 * people were told the truth. It reads what was seen and the stores, as an auditor would who was
 * given everything and believes nobody; the code's own counters and checks are not asked.
 *
 * `step` is called after every event and looks only at what is new, so it may be called a million
 * times; `end` is called once everything was whole for long enough, counts everything again and
 * asks that all that was confirmed has come to its end. In `step` the first violation is the one
 * that counts: what follows from a broken promise is no second one.
 */
import { toHex } from '../src/bytes.ts';
import { type Realm, identify, kidOf, payloadOf } from '../src/cose.ts';
import { PaymentError } from '../src/errors.ts';
import { type Receipt, receipt as receiptKind } from '../src/objects/receipt.ts';
import { type Request, request as requestKind } from '../src/objects/request.ts';
import { type Revoke, revoke as revokeKind } from '../src/objects/revoke.ts';
import { tick as tickKind } from '../src/objects/tick.ts';
import type { Database } from '../src/platform.ts';
import { parseTopic } from '../src/topics.ts';
import { type Run, createAccepted, isSpending } from './checker/accepted.ts';
import { forbidden, overdrawn } from './checker/limits.ts';
import { type Move, createMoved } from './checker/moved.ts';
import { type Asked, type Break, createPeople } from './checker/people.ts';
import { called, described, short } from './checker/words.ts';
import type { Observed, Violation } from './observed.ts';

/** What a checker is given of a world. A database is as the next program would find it. */
export type View = Readonly<{
  realm: Realm;
  /** Grows at its end; never changes otherwise. */
  observed: readonly Observed[];
  bridge: () => Database | undefined;
  /** By the name of their machine. */
  ledgers: ReadonlyMap<string, () => Database | undefined>;
  /** Of a device; undefined when it has none, or has lost it with its disk. */
  outbox: (device: string) => Database | undefined;
  /** What the product's own audit finds, as sentences; asked at the end. */
  audit?: () => Promise<readonly string[]>;
}>;

export type Checker = Readonly<{
  /** The first promise that is broken by what happened since the last call. */
  step: () => Violation | undefined;
  /** Everything that is broken when all is whole again and had its time. */
  end: () => Promise<readonly Violation[]>;
}>;

/** The last word about a subject, as it was sent; the bytes count until the next restore. */
type Final = Readonly<{ bytes: string | undefined; receipt: Receipt }>;

export function createChecker(view: View): Checker {
  const { realm, observed } = view;
  const moved = createMoved(view.ledgers);
  const accepted = createAccepted(view.bridge, realm);
  const asked = new Map<string, Asked>();
  const people = createPeople((id) => asked.get(id), moved, breaks);

  const receipts = new WeakMap<Uint8Array, Receipt>();
  const finals = new Map<string, Final>();
  const grants = new Set<string>();
  const revokes = new Map<string, Revoke>();
  /** Acknowledged revokes, with the requests that may still move. */
  const acknowledged = new Map<string, Readonly<{ revoke: Revoke; running: readonly string[] }>>();
  /** Every movement that was ever seen, by ledger, kind and key. */
  const everMoved = new Set<string>();
  /** Requests by the order that they paid. */
  const orders = new Map<string, Set<string>>();
  /** Accepted payments that the bridge's store has had all the time. */
  let known = new Set<string>();
  /** What somebody put into the broker, and the requests that it claims to be. */
  const forged = new Set<Uint8Array>();
  const forgedIds = new Set<string>();
  let isReread = false;
  let seen = 0;
  let isHealed = false;
  let violation: Violation | undefined;

  function breaks(...[invariant, story]: Parameters<Break>): void {
    const kind = invariant === 'crash' || invariant === 'liveness' ? invariant : 'safety';
    const atMs = observed.at(-1)?.atMs ?? 0;
    violation ??= Object.freeze({ kind, invariant, story, atMs });
  }

  // ── what happens ───────────────────────────────────────────────────────────────────────────

  function step(): Violation | undefined {
    if (seen === observed.length) return violation;
    const fresh = observed.slice(seen);
    seen = observed.length;
    // The stores first: what is told of them was in them before.
    for (const one of fresh) if (one.what === 'life') goBack(one);
    if (fresh.some(mayFollowStores)) readStores();
    for (const one of fresh) hear(one);
    return violation;
  }

  function readStores(): void {
    const runs = accepted.read();
    for (const run of runs) {
      know(run.id, run.request, run.kid);
      if (forgedIds.has(run.id)) breaks('I4', `the bridge took ${called(run)}, which was forged`);
    }
    const taken = runs.filter((run) => isSpending(run) && !run.isRefused);
    for (const run of taken) if (!known.has(run.id)) checkAccepted(run);
    if (isReread) known = new Set();
    isReread = false;
    for (const { id } of taken) known.add(id);
    checkWindows(taken.map(({ request }) => request.mandate));
    for (const move of moved.read()) checkMove(move);
  }

  /** A machine that was killed or restored has what is on its disk, which may be less. */
  function goBack({ machine, event }: Extract<Observed, { what: 'life' }>): void {
    if (event === 'start') return;
    if (view.ledgers.has(machine)) moved.reread(machine);
    if (!isBridge(machine)) return;
    accepted.reread();
    isReread = true;
    if (event !== 'restored') return;
    // What a backup does not know is answered anew, as far as the answer was not money.
    for (const id of acknowledged.keys()) if (!accepted.knowsRevoke(id)) acknowledged.delete(id);
    for (const [id, final] of finals) finals.set(id, { ...final, bytes: undefined });
  }

  function hear(one: Observed): void {
    people.hear(one);
    switch (one.what) {
      case 'wire':
        return hearWire(one);
      case 'forged':
        return hearForged(one);
      case 'granted':
        return void grants.add(one.id);
      case 'revoked':
        return void revokes.set(one.id, revokeKind.decode(payloadOf(one.envelope)));
      case 'healed':
        isHealed = true;
        return;
      case 'crash':
        return breaks('crash', `${one.machine}: ${one.error}`);
      default:
    }
  }

  /** Nobody said it, so it says nothing; but nobody may have believed it either. */
  function hearForged({ topic, bytes }: Extract<Observed, { what: 'forged' }>): void {
    forged.add(bytes);
    if (!topic.endsWith('/up/request')) return;
    try {
      const { id } = identify(bytes, realm, requestKind.name);
      if (!asked.has(id)) forgedIds.add(id);
    } catch (error) {
      if (!(error instanceof PaymentError)) throw error;
    }
  }

  function hearWire({ topic, bytes }: Extract<Observed, { what: 'wire' }>): void {
    const parsed = parseTopic(topic);
    if (!parsed || forged.has(bytes)) return;
    const { device, way, tail } = parsed;
    try {
      if (way === 'up' && tail === 'request') return sent(device, bytes);
      if (way === 'down' && tail === 'receipt') return answered(bytes);
      if (way === 'down' && tail === 'tick') return leased(bytes);
    } catch (error) {
      // What an attacker sends need not be anything.
      if (!(error instanceof PaymentError)) throw error;
    }
  }

  function sent(device: string, envelope: Uint8Array): void {
    const { id } = identify(envelope, realm, requestKind.name);
    if (asked.get(id)?.device !== undefined) return;
    const request = requestKind.decode(payloadOf(envelope));
    people.sent(know(id, request, toHex(kidOf(envelope)), device), device);
  }

  function know(id: string, request: Request, kid: string, device?: string): Asked {
    const before = asked.get(id);
    if (before && device === undefined) return before;
    const one = { id, request, kid, device };
    asked.set(id, one);
    return one;
  }

  // ── what the bridge accepts ────────────────────────────────────────────────────────────────

  function checkAccepted(run: Run): void {
    const chain = accepted.chain(run.request.mandate);
    const [fault] = forbidden(run, chain, ({ id }) => grants.has(id));
    if (fault !== undefined) breaks('I4', `the bridge accepted ${called(run)}: ${fault}`);
    for (const { revoke } of acknowledged.values()) {
      if (!isUnder(run, revoke)) continue;
      breaks('I3', `the bridge accepted ${called(run)} after it had acknowledged the revoke`);
    }
  }

  function checkWindows(mandates: readonly string[]): void {
    const ids = new Set(mandates.flatMap((id) => accepted.chain(id).map((link) => link.id)));
    if (ids.size === 0 || overdrawn(ids, accepted, moved).length === 0) return;
    // What ended since it was read takes nothing any more.
    accepted.refresh();
    const [fault] = overdrawn(ids, accepted, moved);
    if (fault !== undefined) breaks('I1', fault);
  }

  /** Whoever has a lease may spend it: it must lie within every window from now on. */
  function leased(envelope: Uint8Array): void {
    const { lease } = tickKind.decode(payloadOf(envelope));
    if (lease) checkWindows([lease.mandate]);
  }

  function isUnder(run: Pick<Run, 'request'>, { mandate, payer, epoch }: Revoke): boolean {
    const chain = accepted.chain(run.request.mandate);
    if (mandate !== undefined) return chain.some(({ id }) => id === mandate);
    const name = toHex(payer);
    return chain.some((link) => link.payer === name && link.mandate.epoch < epoch!);
  }

  // ── what moves ─────────────────────────────────────────────────────────────────────────────

  function checkMove({ key, payment, kind, ledger }: Move): void {
    const one = asked.get(key);
    if (!one) {
      // A cancel has a key of its own, and names what it undoes.
      if (kind === 'release' && asked.has(payment)) return;
      return breaks('I2', `${ledger} moved money under ${short(key)}, which nobody asked for`);
    }
    const { request } = one;
    const effects = moved.effectOf(key, request);
    if (effects.length === 0) return;
    const where = placesOf(effects);
    if (effects.length > 1) breaks('I2', `${called(one)} moved money twice: ${where}`);
    if (effects.some(({ minor }) => minor !== request.amount?.minor)) {
      breaks('I2', `${called(one)} moved another amount: ${where}`);
    }
    checkOrder(one);
    if (isRefusal(finals.get(key)?.receipt)) {
      breaks('I6', `${called(one)} was refused by a final receipt, and moved: ${where}`);
    }
    people.check(one);
    // What is read again, because its ledger went back in time, moved before.
    const name = `${ledger} ${kind} ${key}`;
    const isFirst = !everMoved.has(name);
    everMoved.add(name);
    if (!isFirst || (kind !== 'pay' && kind !== 'hold')) return;
    for (const { revoke, running } of acknowledged.values()) {
      if (running.length >= RUNNING_MAX || running.includes(key) || !isUnder(one, revoke)) continue;
      breaks('I3', `${called(one)} moved after its revoke was acknowledged without naming it`);
    }
  }

  /** One order, paid by one request. */
  function checkOrder({ id, request: { order, action } }: Asked): void {
    if (order === undefined || (action !== 'pay' && action !== 'hold')) return;
    const ids = orders.get(order) ?? new Set();
    orders.set(order, ids.add(id));
    const paying = [...ids].filter((one) => moved.spent(one) > 0n).map(short);
    if (paying.length > 1)
      breaks('I2', `order ${short(order)} was paid by ${paying.join(' and ')}`);
  }

  // ── what is answered ───────────────────────────────────────────────────────────────────────

  function answered(envelope: Uint8Array): void {
    // Sent and delivered it is the same bytes.
    const receipt = receipts.get(envelope) ?? receiptKind.decode(payloadOf(envelope));
    receipts.set(envelope, receipt);
    const { subject, outcome } = receipt;
    if (outcome === 'pending') return;
    const revoke = revokes.get(subject);
    if (revoke && outcome === 'granted' && !acknowledged.has(subject)) {
      acknowledged.set(subject, { revoke, running: receipt.running ?? [] });
    }
    const one = asked.get(subject);
    if (!one) return;
    const bytes = toHex(envelope);
    const before = finals.get(subject);
    finals.set(subject, { bytes, receipt });
    if (before?.bytes === bytes) return;
    checkSame(one, before, receipt);
    checkReceipt(one, receipt);
  }

  /** One final answer, byte for byte; a restored bridge may say the same in other bytes. */
  function checkSame(one: Asked, before: Final | undefined, receipt: Receipt): void {
    if (!before) return;
    const isSame = isRefusal(before.receipt) === isRefusal(receipt);
    if (before.bytes === undefined && isSame) return;
    const both = `${described(before.receipt)}, and then ${described(receipt)}`;
    breaks('I5', `${called(one)} got two final receipts: ${both}`);
  }

  /** A receipt says that money moved if and only if it did. */
  function checkReceipt(one: Asked, receipt: Receipt): void {
    const { id, request } = one;
    const effects = moved.effectOf(id, request);
    const what = `${called(one)} is ${described(receipt)}`;
    if (isRefusal(receipt)) {
      if (effects.length > 0) breaks('I6', `${what}, but it moved: ${placesOf(effects)}`);
      return;
    }
    if (receipt.outcome !== DONE[request.action]) return breaks('I5', `${what}: no answer to it`);
    if (request.action === 'access') return;
    const isMoved = effects.length === 1 && effects[0]!.minor === receipt.amount?.minor;
    if (!isMoved) breaks('I6', `${what}, but the ledgers moved ${placesOf(effects) || 'nothing'}`);
  }

  // ── the end ────────────────────────────────────────────────────────────────────────────────

  async function end(): Promise<readonly Violation[]> {
    step();
    if (violation) return [violation];
    const found: Violation[] = [];
    const collect = (check: () => void) => {
      violation = undefined;
      check();
      if (violation) found.push(violation);
    };
    accepted.reread();
    isReread = true;
    for (const ledger of view.ledgers.keys()) moved.reread(ledger);
    collect(readStores);
    for (const [id, { receipt }] of finals) collect(() => checkReceipt(asked.get(id)!, receipt));
    for (const one of asked.values()) collect(() => people.check(one));
    for (const fault of moved.faults()) collect(() => breaks('balance', fault));
    for (const fault of (await view.audit?.()) ?? []) collect(() => breaks('balance', fault));
    if (!isHealed) return found;
    const owed = new Map(people.promised());
    for (const { id, device } of asked.values()) if (device !== undefined) owed.set(id, device);
    for (const [id, device] of owed) collect(() => checkEnded(id, device));
    for (const run of accepted.open()) {
      collect(() => breaks('liveness', `${called(run)} is still open at the bridge`));
    }
    return found;
  }

  /** What was sent, or promised to somebody, has its final receipt where it came from. */
  function checkEnded(id: string, device: string): void {
    const outbox = view.outbox(device);
    if (!outbox || people.isCopied(device)) return;
    const entry = outbox.prepare('SELECT receipt FROM entries WHERE id = ?').get(id);
    if (entry && entry['receipt'] !== null) return;
    const one = asked.get(id);
    const what = one ? called(one) : `${short(id)}, which it never sent`;
    const why = entry ? 'it still waits for its receipt' : 'its outbox does not know it';
    breaks('I7', `${device} owes an end to ${what}: all is whole again, and ${why}`);
  }

  return Object.freeze({ step, end });
}

/** The machine that the bridge runs on is called so, whatever its number. */
function isBridge(machine: string): boolean {
  return machine.startsWith('bridge');
}

/** What is only said of what a store holds, or what moves money: time to look at them. */
function mayFollowStores(one: Observed): boolean {
  if (one.what === 'wire') return /\/down\/(receipt|tick)$/.test(one.topic);
  return one.what === 'http' || one.what === 'life';
}

function placesOf(effects: ReturnType<ReturnType<typeof createMoved>['effectOf']>): string {
  return effects.map(({ ledger, minor }) => `${minor} at ${ledger}`).join(', ');
}

const DONE: Readonly<Record<Request['action'], Receipt['outcome']>> = {
  pay: 'captured',
  hold: 'held',
  capture: 'captured',
  void: 'voided',
  refund: 'refunded',
  access: 'granted',
};

/** A revoke lists so many that may still move; beyond that it says nothing of the others. */
const RUNNING_MAX = 64;

function isRefusal(receipt: Receipt | undefined): boolean {
  return receipt?.outcome === 'refused' || receipt?.outcome === 'expired';
}
