/**
 * What can be done, as data: a verb is how it is written, what it says, and what it becomes when it
 * is read. The verbs themselves stand in deed.ts (people, kiosks, agents) and trouble.ts (machines,
 * services, the network), and act.ts says who can do which.
 */
import { FAULTS as LEDGER_FAULTS } from '../../broker/ledger/service.ts';
import { PaymentError } from '../../src/errors.ts';
import { CURRENCIES, type Money, parseDecimal } from '../../src/money.ts';
import type { Cast } from './cast.ts';
import type { Template } from './reference.ts';
import { type Faults, type Text, type Written, unknown } from './source.ts';

/** Who or what does something. */
export type Actor =
  | 'person'
  | 'agent'
  | 'kiosk'
  | 'glasses'
  | 'bridge'
  | 'network'
  | 'broker'
  | 'risk'
  | 'ledger'
  | 'operator';

/** What a step leaves behind for later steps under the name that `as:` gives it. */
export type Gives = 'payment' | 'order' | 'deed' | 'backup';

export const DISK_TROUBLES = ['full', 'failing write', 'failing sync', 'slow'] as const;
export const RISK_TROUBLES = ['away', 'slow', 'garbage', 'error', 'deny', 'step-up'] as const;
export const LEDGER_TROUBLES = [
  'away',
  'slow',
  'garbage',
  'error',
  'refuses',
  ...LEDGER_FAULTS,
] as const;
export const NETWORK_TROUBLES = ['cut', 'lose', 'delay', 'repeat'] as const;

export type OrderLine = Readonly<{ text: string; quantity: number; total: bigint }>;

/** What is done. Names are those of the cast; templates are filled in when it is done. */
export type Doing =
  | Readonly<{ does: 'say'; text: Template }>
  /** At an order by its name, or at whatever a kiosk shows. */
  | Readonly<{ does: 'look'; at: Readonly<{ order: string }> | Readonly<{ kiosk: string }> }>
  /** A tag that carries an order, a shop's sticker, or the own tag held to a kiosk. */
  | Readonly<{
      does: 'tap';
      at:
        | Readonly<{ order: string }>
        | Readonly<{ kiosk: string }>
        | Readonly<{ shop: string; amount: Money | undefined }>;
    }>
  /** Without `how` as the question asks for. */
  | Readonly<{ does: 'confirm'; how: 'by voice' | 'by press' | 'with PIN' | undefined }>
  | Readonly<{ does: 'cancel' | 'press' | 'take off' | 'put on' }>
  | Readonly<{ does: 'pin'; digits: string }>
  /** `what`: a machine, an agent, a kiosk (its tag), `mandate` (own glasses), or `everything`. */
  | Readonly<{ does: 'revoke'; what: string }>
  | Readonly<{ does: 'clone'; machine: string }>
  | Readonly<{ does: 'order'; lines: readonly OrderLine[]; currency: string }>
  | Readonly<{ does: 'bill'; amount: Money }>
  | Readonly<{ does: 'refund' | 'capture' | 'release'; order: string; amount: Money | undefined }>
  | Readonly<{ does: 'pay'; shop: string; amount: Money }>
  | Readonly<{ does: 'kill' | 'start' | 'restart' | 'backup' | 'replace' }>
  | Readonly<{ does: 'restore'; backup: string }>
  /** `calls`: after so many calls of the outside world from now; undefined: at once. */
  | Readonly<{ does: 'power'; calls: number | undefined }>
  | Readonly<{ does: 'disk'; trouble: (typeof DISK_TROUBLES)[number] | 'well' }>
  | Readonly<{ does: 'clock'; jumpMs: number }>
  | Readonly<{
      does: 'trouble';
      trouble: string;
      /** Of all messages or calls, 0 to 1. */
      share: number;
      ms: number;
      /** Machines; empty for everywhere. */
      of: readonly string[];
    }>
  | Readonly<{ does: 'mend' }>;

/** A verb: how it is written, what it says, and what it leaves behind. */
export type Verb = Readonly<{
  says: string;
  example: string;
  gives?: Gives;
  read: (value: Written, about: About) => Doing | undefined;
}>;

/** What a verb is read with. */
export type About = Readonly<{
  cast: Cast;
  actor: string;
  faults: Faults;
  /** The name of what an earlier step left, which must be of this kind; faults are told. */
  refer: (text: Text, gives: Gives) => string | undefined;
}>;

/** "12.50" in the site's currency, "12.50 USD" or "USD 12.50" in another. */
export function readMoney(text: string, currency: string): Money | string {
  const [, before, number = '', after] =
    /^(?:([A-Z]{3}) )?([\d.]+)(?: ([A-Z]{3}))?$/.exec(text) ?? [];
  const code = before ?? after ?? currency;
  if (number === '' || (before !== undefined && after !== undefined)) {
    return `“${text}” is no amount, as 12.50 or 12.50 USD`;
  }
  if (!CURRENCIES.includes(code)) return unknown(code, 'an ISO 4217 currency in use', CURRENCIES);
  try {
    const minor = parseDecimal(number, code);
    return minor > 0n ? { currency: code, minor } : 'nothing is no amount';
  } catch (error) {
    if (!(error instanceof PaymentError)) throw error;
    return `“${number}” is ${error.message}, as 12.50`;
  }
}

/** The amount that a part of a text says; a fault is told where it stands. */
export function moneyOf(at: Text, text: string, { cast, faults }: About): Money | undefined {
  const money = readMoney(text, cast.currency);
  if (typeof money !== 'string') return money;
  faults.tell(at.placeOf(text, 0), money);
  return undefined;
}

/** Glasses and kiosks. */
export function machinesIn(cast: Cast): readonly string[] {
  return [
    ...cast.people.flatMap(({ glasses }) => glasses ?? []),
    ...cast.kiosks.map(({ name }) => name),
  ];
}

/** A verb after which nothing is said. */
export function bare(does: BareVerb, says: string, who: string): Verb {
  return {
    says,
    example: `${who}: ${does}`,
    ...(does === 'backup' && { gives: 'backup' as const }),
    read: (value, { faults }) => {
      if (value.kind !== 'nothing') faults.tell(value.place, `nothing is said after ${does}`);
      return { does };
    },
  };
}

type BareVerb =
  | ('cancel' | 'press' | 'take off' | 'put on')
  | ('kill' | 'start' | 'restart' | 'backup' | 'replace');
