/**
 * Tick: the bridge's time and a nonce that proves freshness without a round trip. Signed by the
 * bridge key. Broadcast to all, or addressed to one key: as the answer to a boot query, and as a
 * lease, which is a reservation made online that may be spent offline under its own nonce.
 */
import {
  type ValueOf,
  amount,
  bytes,
  defineKind,
  id,
  integer,
  malformed,
  mapField,
  optional,
  required,
  seconds,
  thumbprintName,
} from './kind.ts';

const lease = mapField({
  /** Spent until then. */
  exp: required(4, seconds),
  mandate: required(10, id),
  amount: required(12, amount),
  count: required(61, integer(1)),
  /** Arrived until then; afterwards the reservation is released. */
  upload: required(62, seconds),
});

export type Tick = ValueOf<typeof tick>;

export const tick = defineKind(
  'tick',
  {
    iat: required(6, seconds),
    /** Highest counter seen of the key addressed (boot). */
    counter: optional(11, integer()),
    nonce: required(19, bytes(8)),
    audience: optional(28, thumbprintName),
    echo: optional(29, bytes(16)),
    lease: optional(30, lease),
  },
  (value) => {
    if ((value.echo === undefined) !== (value.counter === undefined)) {
      throw malformed('the answer to a boot carries its echo and the counter');
    }
    if (value.audience === undefined && (value.echo || value.lease)) {
      throw malformed('what is for one key names that key');
    }
  },
);
