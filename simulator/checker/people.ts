/**
 * What people did and were told, held against what was signed and moved in their name: no payment
 * that nobody confirmed, none twice for one confirmation, no word that is not so.
 *
 * A person knows a payee and an amount, and no id; so confirmations are counted by these, and the
 * payments that a device makes of them may never be more.
 */
import type { Request } from '../../src/objects/request.ts';
import type { Seen, Sight, Violation } from '../observed.ts';
import type { Moved } from './moved.ts';
import { money, short } from './words.ts';

/** A request as its device signed it. */
export type Asked = Readonly<{
  id: string;
  request: Request;
  /** Hint of the key that signed it, hex. */
  kid: string;
  /** Who sent it; undefined when only the bridge's store is known to have it. */
  device: string | undefined;
}>;

/** Notes what is broken, and how. */
export type Break = (invariant: Violation['invariant'], story: string) => void;

export type People = Readonly<{
  hear: (sight: Sight) => void;
  /** A request that a device sent for the first time. */
  sent: (one: Asked, device: string) => void;
  /** Looks again whether all that was told is so. */
  check: (one: Asked) => void;
  /** Payments that were accepted without the bridge, with their devices. */
  promised: () => ReadonlyMap<string, string>;
  /** Whether its disk was copied, put back or is a rogue's: what it knows counts for nothing. */
  isCopied: (device: string) => boolean;
}>;

export function createPeople(
  asked: (id: string) => Asked | undefined,
  moved: Moved,
  breaks: Break,
): People {
  const confirmed = new Map<string, number>();
  const made = new Map<string, Set<string>>();
  /** Signed by keys that act alone. */
  const signed = new Set<string>();
  /** Ids by key and counter. */
  const counters = new Map<string, string>();
  const copied = new Set<string>();
  /** What was said last of each payment, and on which device. */
  const told = new Map<string, Readonly<{ device: string; kind: 'paid' | 'refused' }>>();
  const promised = new Map<string, string>();

  function hear(sight: Sight): void {
    switch (sight.what) {
      case 'confirmed':
        return void confirmed.set(nameOf(sight), (confirmed.get(nameOf(sight)) ?? 0) + 1);
      case 'signed':
        return void signed.add(sight.id);
      case 'told':
        return hearTold(sight);
      case 'life':
        if (NOBODYS.includes(sight.event)) {
          copied.add(sight.machine.replace(/-clone-\d+$/, ''));
        }
        return;
      default:
    }
  }

  function hearTold({ device, id, kind }: Extract<Sight, { what: 'told' }>): void {
    if (id === undefined) return;
    // What is only "not confirmed yet" may be lost with the disk that failed to keep it.
    if (kind === 'accepted') promised.set(id, device);
    if (kind !== 'paid' && kind !== 'refused') return;
    const one = asked(id);
    // What was called off before it was ever sent is refused, too.
    if (!one && kind === 'paid') {
      breaks('told', `${device}: told paid of ${short(id)}, which was never sent`);
    }
    told.set(id, { device, kind });
    if (one) check(one);
  }

  function check({ id, request }: Asked): void {
    const said = told.get(id);
    if (!said || request.action === 'access') return;
    const isMoved = moved.effectOf(id, request).length > 0;
    if (isMoved === (said.kind === 'paid')) return;
    const what = `${request.action} ${money(request)} (${short(id)}) is ${said.kind}`;
    const truth = isMoved ? 'it moved' : 'nothing moved';
    breaks('told', `${said.device}: people were told that ${what}, but ${truth}`);
  }

  function checkCounter({ id, kid, request }: Asked, device: string): void {
    const name = `${kid} ${request.counter}`;
    const other = counters.get(name) ?? id;
    counters.set(name, other);
    if (other === id || copied.has(device)) return;
    const both = `${short(other)} and ${short(id)}`;
    breaks('counter', `${device} has signed ${both} under one counter, ${request.counter}`);
  }

  function checkConfirmed({ id, request }: Asked, device: string): void {
    // A key that acts alone needs nobody; it may die before it is known what it signed.
    const isAlone = signed.has(id) || request.channel === 'autonomous';
    if (request.action !== 'pay' || isAlone) return;
    const { payee, amount } = request;
    const name = nameOf({ device, payee, amount: amount! });
    const ids = made.get(name) ?? new Set();
    made.set(name, ids.add(id));
    const times = confirmed.get(name) ?? 0;
    if (ids.size <= times) return;
    const what = `${money(request)} to ${payee} ${ids.size} times`;
    const why = times === 0 ? 'nobody confirmed it' : `it was confirmed ${times} times`;
    breaks('confirmed', `${device} asks for ${what}, ${why} (${short(id)})`);
  }

  return Object.freeze({
    hear,
    sent(one: Asked, device: string) {
      checkCounter(one, device);
      checkConfirmed(one, device);
    },
    check,
    promised: () => promised,
    isCopied: (device: string) => copied.has(device),
  });
}

/** After these a key is on another disk than the one that counts for it. */
const NOBODYS: readonly string[] = ['cloned', 'restored', 'rogue'];

function nameOf({ device, payee, amount }: Readonly<{ device: string }> & Seen): string {
  return `${device} ${payee} ${amount.currency} ${amount.minor}`;
}
