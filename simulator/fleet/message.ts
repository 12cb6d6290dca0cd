/**
 * What the process that a person started and its workers say to each other.
 *
 * Times travel as they were measured, one number for each payment, and become percentiles in one
 * place: percentiles of parts cannot be put together to those of the whole.
 */
import type { Realm } from '../../src/cose.ts';
import type { Arrivals, Part } from './arrivals.ts';
import type { Profile } from './profile.ts';

/** A device as its worker gets it: its private key is made for this run and for nothing else. */
export type Enrolled = Readonly<{
  name: string;
  pem: string;
  /** Id of a mandate that the bridge has already. */
  mandate: string;
  payee: string;
  terminal: string;
}>;

export type Order =
  | Readonly<{
      kind: 'connect';
      url: string;
      realm: Realm;
      /** Public, PEM. */
      bridgeKey: string;
      currency: string;
      minor: bigint;
      devices: readonly Enrolled[];
      /** Of this worker. */
      connectsPerS: number;
      /** Of the receipts every one, or every n-th, is verified; the others are only read. */
      verifyEach: number;
    }>
  | Readonly<{
      kind: 'load';
      profile: Profile;
      arrivals: Arrivals;
      part: Part;
      seed: string;
      /** Payments that are due before are made, and not timed. */
      measuredFromMs: number;
    }>
  /** No further payment is due. */
  | Readonly<{ kind: 'halt' }>
  /** Whatever has no final receipt by now is told as open, and nothing more is sent. */
  | Readonly<{ kind: 'finish' }>;

/** What has happened since the last time, unless it says otherwise. */
export type Told = Readonly<{
  /** Devices that the bridge has answered, now. */
  ready: number;
  due: number;
  sent: number;
  /** Sent without a final receipt, and due but not sent, now. */
  waiting: number;
  held: number;
  /** From when a payment was due to its final receipt, µs, of those that are measured. */
  latenciesUs: Uint32Array;
  /** From when it was due until it was sent, µs, of the same. */
  latenessUs: Uint32Array;
  /** One ROW of payments.ts after the other. */
  ended: Uint8Array;
  refused: Readonly<Record<string, number>>;
  counts: Counts;
  /** How late the worker's own loop was at the most, ms. */
  loopMs: number;
  /** The schedule is over, or was ended. */
  isOver: boolean;
  /** The last word: every payment that was sent has been told of. */
  isFinished: boolean;
}>;

export type Counts = Readonly<{
  paid: number;
  /** Receipts that said “not yet”. */
  pending: number;
  verified: number;
  /** What is no receipt of this bridge, or a word that it could not read a device. */
  bad: number;
  /** Sent once more because no word came. */
  resent: number;
  /** Connections that broke. */
  broken: number;
}>;
