/**
 * What is seen of a world from outside, in the order in which it happened.
 *
 * The checker, the story that is told of a failure, traces and the hash that two runs are compared
 * by read this and the stores, never what the code says of itself. What a person saw is kept as the
 * person understood it, by payee and amount, beside the words.
 */
import type { Money } from '../src/money.ts';
import type { Mood } from '../device/surface/port.ts';
import type { Fault } from './plan.ts';

/** `atMs` is true time since the world began; `sequence` counts from 0 without gaps. */
export type Observed = Readonly<{ atMs: number; sequence: number }> & Sight;

/** What became of a message or call on its way. */
export type Fate = 'delivered' | 'lost' | 'delayed' | 'repeated';

/** A payee by its id and an amount, read back from what was shown. */
export type Seen = Readonly<{ payee: string; amount: Money }>;

export type Sight =
  /** What a person did before a device; `text` is the sentence or link, empty for an act. */
  | Readonly<{ what: 'sensed'; device: string; person: string; kind: string; text: string }>
  /** A question on a device's surface, with what it needs as an answer. */
  | (Readonly<{
      what: 'shown';
      device: string;
      person: string;
      needs: 1 | 2 | 3;
      /** What a clerk is asked for instead of a payment. */
      deed?: 'refund' | 'capture' | 'void';
      lines: readonly string[];
      sentence: string;
    }> &
      Seen)
  /** The person gave the answer that was asked for, after reading the last question. */
  | (Readonly<{
      what: 'confirmed';
      device: string;
      person: string;
      deed?: 'refund' | 'capture' | 'void';
    }> &
      Seen)
  /** The person did not want it, went away, or let it run out. */
  | Readonly<{ what: 'voided'; device: string; person: string; why: string }>
  /** A sentence to whoever stands there, or to the staff of a kiosk. */
  | Readonly<{ what: 'said'; device: string; to: 'person' | 'staff'; sentence: string; mood: Mood }>
  /**
   * How something that was asked of a device ended, as the device's own code answered: `Told` of
   * device/runtime.ts or `Acted` of device/terminal.ts. `isLate` for the final word that came after
   * "not confirmed yet" or "accepted".
   */
  | Readonly<{
      what: 'told';
      device: string;
      id?: string;
      kind: 'paid' | 'refused' | 'unconfirmed' | 'accepted' | 'not_sent' | 'said' | 'quit' | 'done';
      reason?: string;
      isLate?: true;
    }>
  /** A key that acts alone signs a request; it sends it until it hears the end. */
  | Readonly<{ what: 'signed'; agent: string; id: string }>
  /** A wallet has signed this for a device, an agent or the bridge. */
  | Readonly<{ what: 'granted' | 'revoked'; wallet: string; id: string; envelope: Uint8Array }>
  /** An MQTT message; `to` is a client's name. */
  | Readonly<{
      what: 'wire';
      from: string;
      to: string;
      topic: string;
      bytes: Uint8Array;
      fate: Fate;
    }>
  /** The bridge takes a message, which may have been under way for long; by its own clock. */
  | Readonly<{ what: 'taken'; topic: string; bytes: Uint8Array; clockMs: number }>
  /** Somebody puts these very bytes into the broker; of nobody's making whatever they say. */
  | Readonly<{ what: 'forged'; forgery: string; topic: string; bytes: Uint8Array }>
  | Readonly<{ what: 'http'; from: string; to: string; route: string; fate: Fate | 'refused' }>
  /** What a program tells its operator. */
  | Readonly<{
      what: 'logged';
      machine: string;
      level: 'info' | 'warn' | 'error';
      event: string;
      fields?: Readonly<Record<string, string | number | boolean>>;
    }>
  | Readonly<{ what: 'disk'; machine: string; path: string; event: string }>
  | Readonly<{
      what: 'life';
      machine: string;
      /** A rogue's key is on a machine that is nobody's. */
      event:
        'start' | 'killed' | 'power cut' | 'exit' | 'restored' | 'cloned' | 'replaced' | 'rogue';
      why?: string;
    }>
  | Readonly<{ what: 'fault' | 'heal'; fault: Fault }>
  /** Everything is whole again: from here on all that is open has to end. */
  | Readonly<{ what: 'healed' }>
  /** An error of a program that is no answer to anything, told by nobody. */
  | Readonly<{ what: 'crash'; machine: string; error: string }>;

/** Takes down what happened, at the time it has now. */
export type Observe = (sight: Sight) => void;

/** Which promise was broken, and how. */
export type Violation = Readonly<{
  kind: 'crash' | 'safety' | 'liveness';
  invariant:
    | 'I1'
    | 'I2'
    | 'I3'
    | 'I4'
    | 'I5'
    | 'I6'
    | 'I7'
    | 'balance'
    | 'counter'
    | 'confirmed'
    | 'told'
    | 'crash'
    | 'liveness';
  /** For people: what was expected and what was found. */
  story: string;
  atMs: number;
}>;
