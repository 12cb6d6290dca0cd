/**
 * Policy: how much presence an amount needs, and what may be accepted offline. Signed by the root.
 *
 * The version never falls, and of the platform's, the merchant's and the device's policy the
 * strictest wins (device/confirm.ts): nobody below the root can loosen anything.
 */
import { BANDS_MAX } from '../limits.ts';
import { type Presence, presenceLevel } from './key.ts';
import {
  type Field,
  type ValueOf,
  choice,
  currency,
  defineKind,
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
  tuple,
} from './kind.ts';

/** Amounts up to and including `ceiling` minor units need `level`. Above the last: P4. */
export type Band = Readonly<{ ceiling: bigint; level: Presence }>;

export const bands: Field<readonly Band[]> = mapped(
  list(tuple<readonly [bigint, Presence]>(minor, presenceLevel), 1, BANDS_MAX),
  (entries) => {
    const read = entries.map(([ceiling, level]) => ({ ceiling, level }));
    requireRising(read);
    return Object.freeze(read);
  },
  (entries) => {
    requireRising(entries);
    return entries.map(({ ceiling, level }) => [ceiling, level] as const);
  },
);

/** A ladder of confirmation for one currency. */
export type Ladder = Readonly<{ currency: string; bands: readonly Band[] }>;

const ladder: Field<Ladder> = mapped(
  tuple<readonly [string, readonly Band[]]>(currency, bands),
  ([code, steps]) => ({ currency: code, bands: steps }),
  (value) => [value.currency, value.bands] as const,
);

/** Whom a policy binds. */
export type PolicyScope =
  | Readonly<{ kind: 'platform' }>
  | Readonly<{ kind: 'merchant'; payee: string }>
  | Readonly<{ kind: 'device'; device: string }>;

const scope = tagged<PolicyScope>({
  platform: [0, {}],
  merchant: [1, { payee: name }],
  device: [2, { device: name }],
});

const offline = mapField({
  behaviour: required(0, choice({ require_online: 0, prefer_online: 1 })),
  currency: required(1, currency),
  /** Minor units per payment; inclusive. */
  floorLimit: required(2, minor),
  storedAmountMax: required(3, minor),
  storedCountMax: required(4, integer()),
  /** Seconds without a link during which payments are still accepted. */
  acceptWindow: required(5, integer()),
  /** Seconds within which what was accepted must have arrived. */
  uploadWindow: required(6, integer()),
  /** Consecutive offline payments: soft asks for the link, hard refuses. */
  goOnlineEvery: required(7, tuple<readonly [soft: number, hard: number]>(integer(), integer())),
  payerCountMax: required(8, integer()),
  payerAmountMax: required(9, minor),
  /** Seconds after which this policy is too old to accept anything offline. */
  policyAgeMax: required(10, integer()),
});

export type Policy = ValueOf<typeof policy>;

export const policy = defineKind('policy', {
  exp: optional(4, seconds),
  iat: required(6, seconds),
  version: required(53, integer(1)),
  ladders: required(54, list(ladder, 1, 16)),
  offline: optional(55, offline),
  scope: required(56, scope),
});

function requireRising(entries: readonly Band[]): void {
  entries.forEach((entry, i) => {
    const previous = entries[i - 1];
    if (!previous) return;
    if (entry.ceiling <= previous.ceiling || entry.level < previous.level) {
      throw malformed('bands that do not rise');
    }
  });
}
