/**
 * Request: one payment that a person confirmed (AP2: closed mandate). Signed by the key in `cnf`.
 *
 * It is the object that travels for every payment, so it names things by id. Payee and amount are
 * what the person was shown: the confirmation is drawn from these fields and no others.
 */
import { presenceLevel } from './key.ts';
import {
  type ValueOf,
  amount,
  bytes,
  choice,
  defineKind,
  id,
  integer,
  malformed,
  name,
  optional,
  required,
  seconds,
} from './kind.ts';

export const ACTIONS = Object.freeze({
  pay: 0,
  hold: 1,
  capture: 2,
  void: 3,
  refund: 4,
  access: 5,
});
export type Action = keyof typeof ACTIONS;

/** How the person (or nobody) asked. Bits, so that a mandate can allow several. */
export const CHANNELS = Object.freeze({ voice: 1, tap: 2, look: 4, touch: 8, autonomous: 16 });
export type Channel = keyof typeof CHANNELS;

export type Request = ValueOf<typeof request>;

export const request = defineKind(
  'request',
  {
    exp: required(4, seconds),
    action: required(9, choice(ACTIONS)),
    mandate: required(10, id),
    /** Strictly new for this key; two equal payments differ by it. */
    counter: required(11, integer(1)),
    amount: optional(12, amount),
    payee: required(13, name),
    terminal: optional(14, name),
    order: optional(15, id),
    presence: required(16, presenceLevel),
    /** P3: SHA-256 of the salted transcript that the device keeps. */
    transcript: optional(17, bytes(32)),
    channel: required(18, choice(CHANNELS)),
    /** The nonce of a recent tick, or of the lease that this is spent under. */
    nonce: required(19, bytes(8)),
    /** Capture, void, refund: the request acted upon. */
    original: optional(20, id),
  },
  (value) => {
    if ((value.action === 'access') !== (value.amount === undefined)) {
      throw malformed('every action but access carries an amount');
    }
    const actsOnAnother =
      value.action === 'capture' || value.action === 'void' || value.action === 'refund';
    if (actsOnAnother !== (value.original !== undefined)) {
      throw malformed('capture, void and refund, and only these, name the original request');
    }
    if ((value.presence === 3) !== (value.transcript !== undefined)) {
      throw malformed('P3, and only P3, carries the hash of its transcript');
    }
  },
);
