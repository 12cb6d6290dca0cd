/**
 * Mandate: what the person authorised (AP2: open mandate). Signed by the payer's wallet; a child
 * by the key that the parent's `cnf` names.
 *
 * Every limit that a verifier needs is a required field, so nobody can leave one out to be free of
 * it. All windows must hold, deny wins over allow, and the bridge alone counts.
 */
import { REFERENCE_BYTES_MAX, ROLLING_S_MAX, SCOPES_MAX, WINDOWS_MAX } from '../limits.ts';
import {
  type ValueOf,
  bytes,
  choice,
  currency,
  defineKind,
  id,
  integer,
  list,
  malformed,
  mapField,
  mapped,
  minor,
  name,
  optional,
  required,
  seconds,
  tagged,
  text,
  thumbprintName,
} from './kind.ts';
import { bands } from './policy.ts';
import { CHANNELS } from './request.ts';

export const PERIODS = Object.freeze({ day: 0, week: 1, month: 2, quarter: 3, year: 4 });
export type Period = keyof typeof PERIODS;

/** A cumulative limit: at most `max` minor units and `count` payments per window. */
export type Window =
  | Readonly<{ kind: 'total'; max: bigint; count: number }>
  | Readonly<{ kind: 'calendar'; period: Period; zone: string; max: bigint; count: number }>
  | Readonly<{ kind: 'rolling'; seconds: number; max: bigint; count: number }>;

/**
 * Where it may be spent. Entries of one kind are alternatives; every kind that occurs must match,
 * so adding an entry of another kind never widens a mandate. `any` says "every enrolled payee".
 */
export type Scope =
  | Readonly<{ kind: 'payee'; payee: string }>
  | Readonly<{ kind: 'category'; category: number }>
  | Readonly<{ kind: 'terminal'; terminal: string }>
  | Readonly<{ kind: 'order'; order: string }>
  | Readonly<{ kind: 'any' }>;

/** An IANA time zone name; whether this machine knows it is checked where it is used. */
const zone = text(64);

const window = tagged<Window>({
  total: [0, { max: minor, count: integer(1) }],
  calendar: [1, { period: choice(PERIODS), zone, max: minor, count: integer(1) }],
  rolling: [2, { seconds: integer(1, ROLLING_S_MAX), max: minor, count: integer(1) }],
});

const scope = tagged<Scope>({
  payee: [0, { payee: name }],
  category: [1, { category: integer(0, 9999) }],
  terminal: [2, { terminal: name }],
  order: [3, { order: id }],
  any: [4, {}],
});

/** Confirmation by RFC 9679 §5.6 thumbprint (`ckt`, 5): the one key that may ask. */
const cnf = mapped(
  mapField({ ckt: required(5, thumbprintName) }),
  ({ ckt }) => ckt,
  (ckt: string) => ({ ckt }),
);

export type Mandate = ValueOf<typeof mandate>;

export const mandate = defineKind(
  'mandate',
  {
    exp: required(4, seconds),
    nbf: required(5, seconds),
    iat: required(6, seconds),
    /** Hex of the full thumbprint of the only key whose requests may use this mandate. */
    cnf: required(8, cnf),
    /** Where the money comes from; opaque, and linked to the wallet at the backend. */
    funding: required(34, text(REFERENCE_BYTES_MAX)),
    currency: required(35, currency),
    /** Minor units of one payment. */
    perPaymentMax: required(36, minor),
    perPaymentMin: optional(37, minor),
    /** Bit mask of CHANNELS. */
    channels: required(38, integer(1, 31)),
    windows: required(39, list(window, 1, WINDOWS_MAX)),
    allow: required(40, list(scope, 1, SCOPES_MAX)),
    deny: optional(41, list(scope, 1, SCOPES_MAX)),
    /** Presence needed by amount; above the last ceiling a one-use mandate is needed (P4). */
    bands: required(42, bands),
    /** Seconds that must pass between two payments. */
    gap: optional(43, integer(1, ROLLING_S_MAX)),
    /** Id of the mandate that this one was delegated from. */
    parent: optional(44, id),
    /** A revoke of a higher epoch ends every mandate below it. */
    epoch: required(45, integer()),
    /** SHA-256 of the UTF-8 text that the person was shown and agreed to. */
    textDigest: required(46, bytes(32)),
  },
  (value) => {
    if (value.nbf >= value.exp) throw malformed('valid from later than valid to');
    if (value.perPaymentMin !== undefined && value.perPaymentMin > value.perPaymentMax) {
      throw malformed('minimum above maximum');
    }
    if (value.allow.length > 1 && value.allow.some(({ kind }) => kind === 'any')) {
      throw malformed('"any" stands alone');
    }
    if (value.deny?.some(({ kind }) => kind === 'any')) throw malformed('denies everything');
  },
);

/** Whether a mandate's mask lets this channel through. */
export function allowsChannel(value: Mandate, channel: keyof typeof CHANNELS): boolean {
  return (value.channels & CHANNELS[channel]) !== 0;
}

/** What a scope can be about: the payment's own names, and one terminal that may be meant. */
type Seller = Readonly<{ category?: number; terminal?: string }>;
type About = Readonly<{ payee: string; order?: string | undefined }>;

/**
 * Which sort of scope refuses a payment, or undefined when none does. Deny wins and holds if any
 * terminal that may be meant is denied; allow needs all of them.
 */
export function scopeFault(
  { allow, deny = [] }: Pick<Mandate, 'allow' | 'deny'>,
  about: About,
  sellers: readonly Seller[],
): Readonly<{ kind: Scope['kind']; isDenied: boolean }> | undefined {
  for (const scope of deny) {
    const { kind } = scope;
    if (sellers.some((seller) => matches(scope, about, seller))) return { kind, isDenied: true };
  }
  for (const kind of new Set(allow.map((scope) => scope.kind))) {
    const alternatives = allow.filter((scope) => scope.kind === kind);
    const isAllowed = (seller: Seller) => alternatives.some((one) => matches(one, about, seller));
    if (!sellers.every(isAllowed)) return { kind, isDenied: false };
  }
  return undefined;
}

function matches(scope: Scope, about: About, seller: Seller): boolean {
  switch (scope.kind) {
    case 'payee':
      return scope.payee === about.payee;
    case 'category':
      return scope.category === seller.category;
    case 'terminal':
      return scope.terminal === seller.terminal;
    case 'order':
      return scope.order === about.order;
    case 'any':
      return true;
  }
}
