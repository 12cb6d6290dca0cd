/**
 * What the bridge remembers, as a port: SQLite on one machine, PostgreSQL on several.
 *
 * Every verb is one transaction; when its promise resolves the change is on disk. Verbs are
 * batched into group commits by the implementation. A verb that cannot be made durable rejects
 * with PaymentError `unavailable` and has changed nothing. Decisions are never made in the store:
 * `admit` loads facts and asks the pure `judge` that it is given, inside the transaction.
 */
import type { Reason } from '../../src/errors.ts';
import type { PublicKey } from '../../src/keys.ts';
import type { KeyStatement, Presence } from '../../src/objects/key.ts';
import type { Mandate, Window } from '../../src/objects/mandate.ts';
import type { Order } from '../../src/objects/order.ts';
import type { Outcome, Remaining } from '../../src/objects/receipt.ts';
import type { Channel, Request } from '../../src/objects/request.ts';

export type KeyStatus = 'active' | 'suspended' | 'revoked';

/** An enrolled key; `name` is the hex of its full thumbprint. */
export type Identity = Readonly<{
  name: string;
  key: PublicKey;
  statement: KeyStatement;
  status: KeyStatus;
}>;

/** A mandate as accepted: who signed it, and whose it is. */
export type StoredMandate = Readonly<{
  id: string;
  mandate: Mandate;
  /** Thumbprint of the signer: the wallet, or the parent's `cnf` key. */
  issuer: string;
  /** Why the signer's key counts for nothing at the time asked about, if it does not. */
  issuerFault: Reason | undefined;
  /** Hex of the payer's pseudonym. */
  payer: string;
  status: KeyStatus;
}>;

export type Usage = Readonly<{ amount: bigint; count: number }>;

/** A link of the chain with what its windows have seen, leaf first. */
export type ChainLink = StoredMandate &
  Readonly<{
    /** Settled plus reserved in each window's current slot, in the mandate's order. */
    usage: readonly Usage[];
    /** Admission time of the latest payment that was not voided, ms. */
    lastMs: number | undefined;
  }>;

/** `closed`: expired unpaid, or refused when it came. */
export type OrderState = 'open' | 'claimed' | 'paid' | 'closed';

export type StoredOrder = Readonly<{ id: string; order: Order; state: OrderState; device: string }>;

/** Everything that a verdict may depend on, read in the transaction that records it. */
export type Facts = Readonly<{
  identity: Identity;
  highestCounter: number;
  /** The counter belongs to another request already: two hold this key. */
  isCounterReused: boolean;
  /** Leaf first; empty when the mandate (or a parent) is not known. */
  chain: readonly ChainLink[];
  /** The order that the request names, if it was registered. */
  order: StoredOrder | undefined;
  /** Statements of the active terminals of the request's payee. */
  terminals: readonly KeyStatement[];
  nowMs: number;
}>;

/** One window of one mandate of the chain that this payment debits. */
export type Reservation = Readonly<{
  mandate: string;
  index: number;
  window: Window;
  amount: bigint;
}>;

export type Verdict =
  | Readonly<{
      kind: 'accept';
      /** What of the claims of presence and channel counts: the risk service hears these. */
      presence: Presence;
      channel: Channel;
      reservations: readonly Reservation[];
      /** What the leaf's windows have left after this payment. */
      remaining: readonly Remaining[];
      funding: string;
      payer: string;
    }>
  | Readonly<{ kind: 'refuse'; reason: Reason }>;

/** A verified request on its way in. */
export type Admission = Readonly<{
  id: string;
  /** Thumbprint of the signing key. */
  key: string;
  device: string;
  request: Request;
  envelope: Uint8Array;
  nowMs: number;
}>;

export type Decision =
  | Readonly<{ kind: 'allow'; score: number; reasons: readonly string[] }>
  | Readonly<{ kind: 'refuse'; reason: Reason; score: number; reasons: readonly string[] }>;

/** How far a request has got. Whatever is recorded here is never decided again. */
export type Run = Readonly<{
  id: string;
  device: string;
  request: Request;
  admittedMs: number;
  /** Set when the admission refused it. */
  refusal: Reason | undefined;
  funding: string;
  payer: string;
  presence: Presence;
  channel: Channel;
  remaining: readonly Remaining[];
  decision: Decision | undefined;
  /** When the first call to the backend was recorded; undefined when none was made. */
  attemptedMs: number | undefined;
  /** The final receipt; undefined while the run is open. */
  receipt: Uint8Array | undefined;
  /** The terminal's copy and the device it goes to, when an order was paid. */
  terminalReceipt: Readonly<{ device: string; receipt: Uint8Array }> | undefined;
}>;

export type Conclusion = Readonly<{
  id: string;
  outcome: Exclude<Outcome, 'pending'>;
  reason: Reason | undefined;
  reference: string | undefined;
  receipt: Uint8Array;
  terminalReceipt: Readonly<{ device: string; receipt: Uint8Array }> | undefined;
  nowMs: number;
}>;

export type Admitted = Readonly<{
  run: Run;
  /** False when this id was seen before: nothing was consumed or reserved now. */
  fresh: boolean;
  /** Set when this request showed that two hold the key: it was suspended just now. */
  suspended: boolean;
}>;

export type Store = Readonly<{
  /** Enrols a key or renews its statement; its status stays. */
  putIdentity: (name: string, statement: KeyStatement, envelope: Uint8Array) => Promise<void>;
  identityOfDevice: (device: string) => Promise<Identity | undefined>;
  /** By the hex of the 8-byte hint; the caller still compares the whole thumbprint. */
  identityOfKid: (kid: string) => Promise<Identity | undefined>;
  identity: (name: string) => Promise<Identity | undefined>;
  setIdentityStatus: (name: string, status: KeyStatus) => Promise<void>;
  /** The highest counter seen of a key; 0 when none. */
  highestCounter: (name: string) => Promise<number>;

  /** Stores a mandate unless it is there already. */
  putMandate: (
    id: string,
    mandate: Mandate,
    issuer: string,
    payer: string,
    envelope: Uint8Array,
    nowMs: number,
  ) => Promise<void>;
  mandate: (id: string, nowMs: number) => Promise<StoredMandate | undefined>;

  /**
   * Registers an order of a terminal unless it is there; returns it as it stands. With `refusal` it
   * is closed from the start, so that a refused order stays refused when it comes again.
   */
  putOrder: (
    id: string,
    device: string,
    envelope: Uint8Array,
    nowMs: number,
    refusal?: Uint8Array,
  ) => Promise<StoredOrder & Readonly<{ receipt: Uint8Array | undefined }>>;
  order: (id: string) => Promise<StoredOrder | undefined>;
  /** Expires an order that is still open; returns the last word to its terminal, if any. */
  closeOrder: (id: string, receipt: Uint8Array) => Promise<Uint8Array | undefined>;

  /**
   * Consumes id and (key, counter), loads facts, asks `judge`, and records its verdict with all
   * reservations, in one transaction. A known id changes nothing.
   */
  admit: (admission: Admission, judge: (facts: Facts) => Verdict) => Promise<Admitted>;
  /**
   * Records the decision unless there is one; with `attempt`, also that the backend is about to be
   * called. Returns the decision that counts.
   */
  decide: (id: string, decision: Decision, attempt: boolean, nowMs: number) => Promise<Decision>;
  /** Ends a run: settles or voids its reservations. Returns the receipt that counts. */
  conclude: (conclusion: Conclusion) => Promise<Run>;
  run: (id: string) => Promise<Run | undefined>;
  /** Runs without a final receipt, oldest first. */
  openRuns: () => Promise<readonly Run[]>;

  /** Forgets what was concluded before `beforeMs`: runs, reservations that ended, orders. */
  forget: (beforeMs: number) => Promise<void>;

  /** A small value of the bridge's own (tick generation), or undefined. */
  meta: (name: string) => Promise<string | undefined>;
  setMeta: (name: string, value: string) => Promise<void>;
  close: () => Promise<void>;
}>;
