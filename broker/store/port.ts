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
import type { Attempt, AttemptState, Change, Operation } from '../attempt.ts';
import type { Heard } from '../presence.ts';

export type KeyStatus = 'active' | 'suspended' | 'revoked';

/** An enrolled key; `name` is the hex of its full thumbprint. */
export type Identity = Readonly<{
  name: string;
  key: PublicKey;
  statement: KeyStatement;
  status: KeyStatus;
  /** Of a key that another took the place of: `former` still verifies, `retired` does not. */
  place?: 'former' | 'retired';
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
  /** Backends where the funding is linked to the wallet, by name. */
  backends: readonly string[];
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

/** What has become of the money of a payment or hold that others may act upon. Minor units. */
export type Payment = Readonly<{
  held: bigint;
  captured: bigint;
  /** Reserved by refunds that are under way, and given back. */
  refunding: bigint;
  refunded: bigint;
  /** The bridge's time from which the hold is over; 0 for what was captured at once. */
  holdUntilMs: number;
  /** The capture or void that is under way. */
  acting: string | undefined;
}>;

/** The earlier request that a capture, void or refund acts upon. */
export type Original = Readonly<{
  id: string;
  request: Request;
  /** Thumbprint of the key that asked for it. */
  key: string;
  payer: string;
  funding: string;
  /** The backend that moved its money; undefined while that is not known. */
  backend: string | undefined;
  payment: Payment | undefined;
}>;

/** Everything that a verdict may depend on, read in the transaction that records it. */
export type Facts = Readonly<{
  identity: Identity;
  highestCounter: number;
  /** Accepted requests of this key that are still open. */
  openRuns: number;
  /** The counter belongs to another request already: two hold this key. */
  isCounterReused: boolean;
  /** Leaf first; empty when the mandate (or a parent) is not known. */
  chain: readonly ChainLink[];
  /** The order that the request names, if it was registered. */
  order: StoredOrder | undefined;
  /** Statements of the active terminals of the request's payee. */
  terminals: readonly KeyStatement[];
  /** What the request acts upon, when it names an original; its `chain` is then that one's. */
  original: Original | undefined;
  /** The lease whose nonce the request carries, and what is left in its pool. */
  lease: (Lease & Readonly<{ rest: Usage }>) | undefined;
  nowMs: number;
}>;

/** How much a lease is for, and its ends in seconds: spent until `exp`, arrived until `upload`. */
export type LeaseTerms = Usage & Readonly<{ exp: number; upload: number }>;

/** A lease as it was given; amount and count are what its pool held at that moment. */
export type Lease = LeaseTerms &
  Readonly<{
    /** 8 random bytes, which go into the requests that spend it. */
    nonce: Uint8Array;
    /** Thumbprint of the one key that it is for. */
    key: string;
    mandate: string;
    currency: string;
    /** Seconds since 1970. */
    iat: number;
  }>;

/** Everything that the terms of a key's next lease under a mandate may depend on. */
export type LeaseFacts = Readonly<{
  identity: Identity;
  /** Leaf first, with what the windows have seen but for this pool; empty when not known. */
  chain: readonly ChainLink[];
  /** What the pool holds: set aside and not yet drawn. */
  pool: Usage;
  /** What the other pools of the key hold: amounts in this currency, payments in all of them. */
  others: Usage;
  /** The last lease of the pool. */
  latest: Lease | undefined;
  /** Whether a request of the key was refused since, which counts against it on the device. */
  hasRefused: boolean;
  /** When the first of key, mandates and signers of mandates ends, seconds. */
  validUntil: number;
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
      /** Backends to try, in this order. */
      backends: readonly string[];
      /** Nonce of the lease, in hex: what it reserves is drawn from that one's pool. */
      lease?: string;
    }>
  /** `why` says in words which limit of which mandate refused. */
  | Readonly<{ kind: 'refuse'; reason: Reason; why: string }>;

/** A verified request on its way in. */
export type Admission = Readonly<{
  id: string;
  /** Thumbprint of the signing key. */
  key: string;
  device: string;
  request: Request;
  envelope: Uint8Array;
  nowMs: number;
  /** The bridge that works on it, and until when nobody else does. */
  claim: Claim;
}>;

/** A bridge's claim on a run; a dead bridge's claim runs out. */
export type Claim = Readonly<{ owner: string; untilMs: number }>;

export type Decision =
  | Readonly<{ kind: 'allow'; score: number; reasons: readonly string[] }>
  | Readonly<{ kind: 'refuse'; reason: Reason; score: number; reasons: readonly string[] }>;

/** How far a request has got. Whatever is recorded here is never decided again. */
export type Run = Readonly<{
  id: string;
  /** Where receipts go; empty for what the bridge itself asks for (the end of a hold). */
  device: string;
  request: Request;
  admittedMs: number;
  /** Set when the admission refused it, or when it was cancelled or revoked before any attempt. */
  refusal: Reason | undefined;
  funding: string;
  payer: string;
  presence: Presence;
  channel: Channel;
  remaining: readonly Remaining[];
  backends: readonly string[];
  /** The authorisation that it acts upon (an order's id in the request is resolved here). */
  original: string | undefined;
  decision: Decision | undefined;
  /** Oldest first; all but the last are over and moved nothing. */
  attempts: readonly Attempt[];
  /** When its device asked to cancel it. */
  cancelAskedMs: number | undefined;
  outcome: Exclude<Outcome, 'pending'> | undefined;
  /** The final receipt; undefined while the run is open. */
  receipt: Uint8Array | undefined;
  /** The terminal's copy and the device it goes to, when an order was paid. */
  terminalReceipt: Readonly<{ device: string; receipt: Uint8Array }> | undefined;
}>;

/** The first record of an attempt. */
export type Opening = Readonly<{ backend: string; key: string; operation: Operation }>;

/** A change of the latest attempt, with the bytes that caused it. */
export type Progress = Readonly<{
  number: number;
  /** The state that the change was made for; in another one it is not made. */
  from: AttemptState;
  change: Change;
  /** What was heard, as it came, for the evidence; `source` says how. */
  received: Uint8Array | undefined;
  source: 'answer' | 'query' | 'notification' | 'cancel' | 'patience' | 'person';
}>;

export type Conclusion = Readonly<{
  outcome: Exclude<Outcome, 'pending'>;
  reason: Reason | undefined;
  receipt: Uint8Array;
  terminalReceipt: Readonly<{ device: string; receipt: Uint8Array }> | undefined;
  /** The definite word that ends it, recorded in the same transaction. */
  progress: Progress | undefined;
  /** Until when a hold may be captured (outcome `held`). */
  holdUntilMs: number | undefined;
  nowMs: number;
}>;

export type Admitted = Readonly<{
  run: Run;
  /** False when this id was seen before: nothing was consumed or reserved now. */
  fresh: boolean;
  /** Set when this request showed that two hold the key: it was suspended just now. */
  suspended: boolean;
}>;

export type Revocation = Readonly<{
  id: string;
  payer: string;
  /** One mandate, or every mandate below this epoch. */
  target: Readonly<{ mandate: string }> | Readonly<{ epoch: number }>;
  envelope: Uint8Array;
  nowMs: number;
}>;

export type Revoked = Readonly<{
  running: readonly string[];
  /** Runs that were refused by it just now and wait for their receipt. */
  refused: readonly string[];
  /** Of an earlier delivery of the same revoke. */
  receipt: Uint8Array | undefined;
}>;

/** What a row of evidence is about. */
export type EvidenceKind =
  | 'key'
  | 'mandate'
  | 'order'
  | 'policy'
  | 'lease'
  | 'request'
  | 'verdict'
  | 'decision'
  | 'attempt'
  | 'answer'
  | 'cancel'
  | 'revoke'
  | 'receipt'
  | 'status'
  | 'erasure'
  | 'note';

/** `subject` is the id of a request, mandate, order or revoke, a key's name or a policy's scope. */
export type Note = Readonly<{
  subject: string;
  kind: EvidenceKind;
  body: Uint8Array;
  nowMs: number;
}>;

/** One link of the chain; salt and body are undefined after an erasure. */
export type EvidenceRow = Readonly<{
  number: number;
  atMs: number;
  subject: string;
  kind: EvidenceKind;
  salt: Uint8Array | undefined;
  body: Uint8Array | undefined;
  /** SHA-256 of salt and body. */
  digest: Uint8Array;
  /** SHA-256 over the previous link and everything of this row but salt and body. */
  link: Uint8Array;
}>;

/** Where two places that must agree do not. */
export type Difference = Readonly<{ what: string; where: string; expected: string; found: string }>;

export type Recounted = Readonly<{ differences: readonly Difference[]; next: string | undefined }>;

/** Who has logged in to a page, and who answers for the link that let them in. */
export type Visitor =
  | Readonly<{ role: 'operator'; by: string }>
  /** `payer` is the hex of the pseudonym that goes with this funding. */
  | Readonly<{ role: 'wearer'; by: string; funding: string; payer: string }>;
/** A key that asks to be known, or that was approved and not forgotten yet. */
export type Enrolment = Readonly<{
  /** Hex of its thumbprint. */
  key: string;
  /** The short code that people compare, without its dash. */
  code: string;
  /** Its Enrol, as it came last. */
  envelope: Uint8Array;
  address: string;
  /** `approved` also when the root has still to sign; an enrolled key is in the identities. */
  state: 'open' | 'approved' | 'refused';
  /** What was approved, JSON. */
  said: string | undefined;
  pairing: Uint8Array | undefined;
  askedMs: number;
}>;

/** A person's word on an enrolment, with what goes into the evidence about it. */
export type EnrolmentWord = Readonly<{
  state: 'approved' | 'refused';
  /** Whether the root has signed; what it has not is one of ENROLMENTS_UNSIGNED_MAX. */
  isSigned: boolean;
  said: string | undefined;
  pairing: Uint8Array | undefined;
  note: Uint8Array;
}>;

export type Store = Readonly<{
  /**
   * Enrols a key or renews its statement; its status stays. A device's name passes to a new key
   * when the holder is the key's `predecessor`, which goes on to verify until it is retired, or
   * when the holder counts no more (suspended, revoked, over); then it is revoked. Throws
   * `suspended` when another key holds the name or the hint.
   */
  putIdentity: (
    name: string,
    statement: KeyStatement,
    envelope: Uint8Array,
    nowMs: number,
    predecessor?: string,
  ) => Promise<void>;
  /** The key that has the name now. */
  identityOfDevice: (device: string) => Promise<Identity | undefined>;
  /** The key with this hint among those that have or had the name; what is retired has none. */
  keyOfDevice: (device: string, kid: string) => Promise<Identity | undefined>;
  /** The statement of a key, as the root signed it. */
  statementOf: (name: string) => Promise<Uint8Array | undefined>;
  /** The key that this one named in its place, if any. */
  successorOf: (name: string) => Promise<string | undefined>;
  /** Ends a key that was succeeded, for whatever it signs from now on; returns whether it did. */
  retire: (name: string, nowMs: number) => Promise<boolean>;
  /** Statements of active terminals that are not over, as envelopes, newest first. */
  terminalStatements: (nowMs: number, count: number) => Promise<readonly Uint8Array[]>;
  /** Envelopes of active mandates that name this key and are not over, newest first. */
  mandatesFor: (cnf: string, nowMs: number, count: number) => Promise<readonly Uint8Array[]>;

  /**
   * Keeps an enrolment, or the newer Enrol of one that is there; forgets what is over. Throws
   * `rate_limited` when too many wait, `role_forbidden` when the key waits as something else.
   */
  putEnrolment: (
    asked: Pick<Enrolment, 'key' | 'code' | 'envelope' | 'address'>,
    nowMs: number,
  ) => Promise<Enrolment>;
  /** By short code or key; what is over is not found. */
  enrolment: (codeOrKey: string, nowMs: number) => Promise<Enrolment | undefined>;
  /** Those that wait for a person or for the root, oldest first. */
  enrolments: (nowMs: number) => Promise<readonly Enrolment[]>;
  /**
   * Records a person's word, with its note under the key's name. Throws `rate_limited` for an
   * approval when too many wait for the root already.
   */
  decideEnrolment: (key: string, word: EnrolmentWord, nowMs: number) => Promise<void>;

  /** By the hex of the 8-byte hint; the caller still compares the whole thumbprint. */
  identityOfKid: (kid: string) => Promise<Identity | undefined>;
  identity: (name: string) => Promise<Identity | undefined>;
  /** Statements of the active terminals of a payee. */
  terminals: (payee: string) => Promise<readonly KeyStatement[]>;
  /** Keys after name `after`, in the order of their names. */
  identities: (after: string, count: number) => Promise<readonly Identity[]>;
  /** Keys of one payer (hex): those that count first, then the latest; at most PAGE_ROWS_MAX. */
  keysOf: (payer: string) => Promise<readonly Identity[]>;
  /** One active terminal of every payee, by payee; at most PAGE_ROWS_MAX. */
  sellers: () => Promise<readonly KeyStatement[]>;
  /**
   * A revoked key stays revoked, and one that is not active holds no pool, no login of the payer
   * whose wallet it is, and no approval of the key that it named next. What its device may still
   * speak with goes the same way. Returns whether the status changed.
   */
  setIdentityStatus: (name: string, status: KeyStatus, nowMs: number) => Promise<boolean>;
  /**
   * Keeps what a device said of itself: `judge` gets what was heard before and the key that the
   * device has now, and returns what counts from now on, or undefined for nothing new. Returns
   * both; undefined when nothing changed or no such device is enrolled.
   */
  hear: (
    device: string,
    judge: (before: Heard | undefined, key: string) => Heard | undefined,
  ) => Promise<Readonly<{ before: Heard | undefined; after: Heard }> | undefined>;
  heard: (device: string) => Promise<Heard | undefined>;
  /** Keys that have a name in topics, after device `after`, with what was heard of them. */
  devices: (
    after: string,
    count: number,
  ) => Promise<readonly (Identity & Readonly<{ heard: Heard | undefined }>)[]>;
  /** The highest counter seen of a key; 0 when none. */
  highestCounter: (name: string) => Promise<number>;

  /**
   * Stores a mandate unless it is there already. Throws `revoked` when its epoch is over, and
   * `rate_limited` when its parent has CHILDREN_MAX children.
   */
  putMandate: (
    id: string,
    mandate: Mandate,
    issuer: string,
    payer: string,
    backends: readonly string[],
    envelope: Uint8Array,
    nowMs: number,
  ) => Promise<void>;
  mandate: (id: string, nowMs: number) => Promise<StoredMandate | undefined>;
  /** The mandate and its parents with what their windows have seen; empty when one is missing. */
  chain: (id: string, nowMs: number) => Promise<readonly ChainLink[]>;
  /** Mandates after id `after` in the order of their ids, of one payer or of all. */
  mandates: (
    filter: Readonly<{ payer: string | undefined; after: string; count: number }>,
    nowMs: number,
  ) => Promise<readonly ChainLink[]>;
  /** Ids of the active mandates that name a key and are not over; the oldest `count` of them. */
  mandatesOf: (key: string, nowMs: number, count: number) => Promise<readonly string[]>;
  /** Suspends or resumes; a revoked mandate stays revoked. Returns whether it changed. */
  setMandateStatus: (id: string, status: KeyStatus, nowMs: number) => Promise<boolean>;
  /**
   * Ends one mandate or every mandate of the payer below an epoch, refuses their runs without an
   * attempt and gives back their pools, in one transaction. `running` lists the others, and the
   * open holds. The same revoke again changes nothing and returns its stored receipt. Throws
   * `mandate_unknown` for a mandate of another payer, `malformed` for an epoch that leaps.
   */
  revoke: (revocation: Revocation) => Promise<Revoked>;
  /** Keeps the receipt of a revoke; returns the one that counts. */
  putRevokeReceipt: (id: string, receipt: Uint8Array, nowMs: number) => Promise<Uint8Array>;

  /**
   * Asks `terms` about the pool of this key and mandate and, unless it says `same` or nothing, sets
   * that much aside on every window of the chain as of now, in one transaction. Returns the lease
   * that counts, with a nonce of its own when it is new.
   */
  lease: (
    asked: Readonly<{ key: string; mandate: string; nowMs: number }>,
    terms: (facts: LeaseFacts) => LeaseTerms | 'same' | undefined,
  ) => Promise<Lease | undefined>;
  /** Gives back the pools of which nothing may arrive any more; returns how many. */
  releaseLeases: (nowMs: number, count: number) => Promise<number>;

  /**
   * Keeps a scope's policy unless a higher version is kept; returns the version that is. The
   * caller refuses a lower one.
   */
  putPolicy: (
    scope: string,
    version: number,
    envelope: Uint8Array,
    nowMs: number,
  ) => Promise<number>;
  /** The kept policies of all scopes. */
  policies: () => Promise<readonly Uint8Array[]>;

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
   * Records the decision unless there is one; with `opening`, also that the backend is about to be
   * called. Returns the run as it stands: a refusal that came in between counts.
   */
  decide: (
    run: Run,
    decision: Decision,
    opening: Opening | undefined,
    nowMs: number,
  ) => Promise<Run>;
  /**
   * Records one more attempt, at another backend. Throws ConflictError while an attempt of this run
   * is live (the database itself refuses it) and when the run is over.
   */
  attempt: (id: string, opening: Opening, nowMs: number) => Promise<Run>;
  /**
   * Records a change of an attempt, unless another word has changed it meanwhile. Returns the run
   * as it stands.
   */
  progress: (id: string, progress: Progress, nowMs: number) => Promise<Run>;
  /** Ends a run: settles, keeps (held) or voids its reservations. Returns the run that counts. */
  conclude: (run: Run, conclusion: Conclusion) => Promise<Run>;
  /**
   * A device wants a request undone. Not seen yet: a tombstone with `receipt`, which answers this
   * question again and makes the request refused when it comes; when that cannot be sure (after a
   * restore) the same, but answered `not_seen`, as is another key's request. Seen without an
   * attempt: refused. Under way: noted; `isNews` the first time. Throws `rate_limited` beyond
   * TOMBSTONES_PER_KEY_MAX.
   */
  cancel: (
    cancellation: Readonly<{
      /** Of the question. */
      id: string;
      subject: string;
      key: string;
      envelope: Uint8Array;
      receipt: Uint8Array;
      /** What was not seen here may have been seen. */
      isUnsure: boolean;
      nowMs: number;
    }>,
  ) => Promise<
    | Readonly<{ run: Run; isNews: boolean }>
    | Readonly<{ receipt: Uint8Array }>
    | Readonly<{ pending: Extract<Reason, 'not_seen'> }>
  >;
  run: (id: string) => Promise<Run | undefined>;
  /** Captures, voids and refunds that name this run as their original, in the order they came. */
  runsOn: (original: string) => Promise<readonly Run[]>;
  /** The run that claims or paid an order. */
  runOfOrder: (order: string) => Promise<Run | undefined>;
  /** Takes over at most `count` open runs that no living bridge works on, oldest first. */
  claim: (claim: Claim, count: number, nowMs: number) => Promise<readonly Run[]>;
  /** Keeps the claim on runs that this bridge is still working on. */
  renew: (ids: readonly string[], claim: Claim) => Promise<void>;
  /** Runs after `after` in the order they came (all, or those that wait for a word), for people. */
  runs: (
    which: 'all' | 'unresolved',
    after: Readonly<{ atMs: number; id: string }>,
    count: number,
  ) => Promise<readonly Run[]>;
  /** Holds that are over and that nothing acts upon. */
  expiredHolds: (nowMs: number, count: number) => Promise<readonly Original[]>;

  /**
   * Keeps a one-time link by the hash of its secret. Throws `rate_limited` while LINKS_MAX wait.
   */
  putLink: (
    link: Readonly<{ hash: Uint8Array; visitor: Visitor; untilMs: number; nowMs: number }>,
  ) => Promise<void>;
  /**
   * Uses a link up and opens the session of its visitor, in one transaction; undefined for a link
   * that was used, is over or never was. Throws `rate_limited` while SESSIONS_MAX are open, and
   * the link stays good.
   */
  openSession: (
    asked: Readonly<{ link: Uint8Array; session: Uint8Array; untilMs: number; nowMs: number }>,
  ) => Promise<Visitor | undefined>;
  session: (hash: Uint8Array, nowMs: number) => Promise<Visitor | undefined>;
  endSession: (hash: Uint8Array) => Promise<void>;
  /** The payer (hex) who logs in for a funding reference: the first time `fresh`, then always. */
  payerOf: (funding: string, fresh: string) => Promise<string>;
  /** The lowest epoch in which a mandate of this payer counts; 1 when nothing was revoked. */
  epochOf: (payer: string) => Promise<number>;

  /** Adds a record of something that is in no other table (a person's act). */
  note: (record: Note) => Promise<void>;
  /** Everything recorded about a payment, mandate, key or order, in order. */
  evidence: (subject: string) => Promise<readonly EvidenceRow[]>;
  /** Rows after `number`, for the audit. */
  evidencePage: (after: number, count: number) => Promise<readonly EvidenceRow[]>;
  /**
   * Deletes the contents of evidence written before `beforeMs` (of one payer, or of all) whose
   * payments are over, and records that. The chain holds without them. Returns how many.
   */
  erase: (
    what: Readonly<{ payer: string | undefined; beforeMs: number; by: string; nowMs: number }>,
  ) => Promise<number>;
  /** Counts one page of the tables again; `next` is undefined at the end. */
  recount: (after: string) => Promise<Recounted>;
  /** Writes a copy of the whole store, as it is at one moment, into a new file. */
  backup: (path: string) => Promise<void>;

  /** Forgets what was concluded before `beforeMs`: runs, reservations that ended, orders. */
  forget: (beforeMs: number) => Promise<void>;

  /** A small value of the bridge's own (tick generation), or undefined. */
  meta: (name: string) => Promise<string | undefined>;
  setMeta: (name: string, value: string) => Promise<void>;
  close: () => Promise<void>;
}>;
