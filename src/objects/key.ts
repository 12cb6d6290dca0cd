/**
 * Key: the operator's root says whose a key is and what it may do.
 *
 * What a person is shown as the payee's name comes only from here, never from a sticker, an order
 * or a catalogue. Signed by the root whose public key every party pins.
 */
import { TEXT_BYTES_MAX } from '../limits.ts';
import {
  type Field,
  type ValueOf,
  bytes,
  choice,
  defineKind,
  integer,
  list,
  malformed,
  name,
  optional,
  publicKey,
  required,
  seconds,
  text,
  tuple,
} from './kind.ts';

export const ROLES = Object.freeze({ bridge: 0, terminal: 1, device: 2, wallet: 3, agent: 4 });
export type Role = keyof typeof ROLES;

/** Presence levels P0 to P4 (PROTOCOL.md, Presence). */
export type Presence = 0 | 1 | 2 | 3 | 4;
export const presenceLevel = integer(0, 4) as unknown as Field<Presence>;

export const role = choice(ROLES);

/** [language, text] with at least one entry; the first is the default. */
export const displayNames = list(
  tuple<readonly [string, string]>(text(8), text(TEXT_BYTES_MAX)),
  1,
  8,
);

export type KeyStatement = ValueOf<typeof keyStatement>;

export const keyStatement = defineKind(
  'key',
  {
    /** Pseudonym of the person it belongs to: wallets, and the devices of a payer. */
    payer: optional(2, bytes(16)),
    exp: required(4, seconds),
    nbf: required(5, seconds),
    payee: optional(13, name),
    terminal: optional(14, name),
    key: required(47, publicKey),
    role: required(48, role),
    /** No request of this key counts as more present than this. */
    presenceMax: required(49, presenceLevel),
    names: optional(50, displayNames),
    /** Its name in topics: devices, terminals and agents. */
    device: optional(51, name),
    /** ISO 18245 merchant category code. */
    category: optional(52, integer(0, 9999)),
  },
  (key) => {
    if (key.nbf >= key.exp) throw malformed('valid from later than valid to');
    const isTerminal = key.role === 'terminal';
    if (isTerminal !== (key.payee !== undefined && key.terminal !== undefined)) {
      throw malformed('a terminal, and only a terminal, has payee and terminal');
    }
    if (isTerminal && key.names === undefined) throw malformed('a terminal without display name');
    const speaks = key.role === 'device' || key.role === 'agent' || isTerminal;
    if (speaks !== (key.device !== undefined)) {
      throw malformed('devices, terminals and agents, and only these, have a topic name');
    }
    if (key.role === 'wallet' && key.payer === undefined) throw malformed('a wallet of nobody');
  },
);
