/**
 * Revoke: ends one mandate, or every mandate of a payer below an epoch. Signed by the wallet or by
 * any enrolled device of the payer; a revoke-all is signed at pairing and kept for a lost phone.
 */
import {
  type ValueOf,
  bytes,
  defineKind,
  id,
  integer,
  malformed,
  optional,
  required,
  seconds,
} from './kind.ts';

export type Revoke = ValueOf<typeof revoke>;

export const revoke = defineKind(
  'revoke',
  {
    payer: required(2, bytes(16)),
    iat: required(6, seconds),
    mandate: optional(10, id),
    /** Every mandate of the payer with a lower epoch ends. */
    epoch: optional(45, integer(1)),
  },
  (value) => {
    if ((value.mandate === undefined) === (value.epoch === undefined)) {
      throw malformed('names one mandate or an epoch, not both and not neither');
    }
  },
);
