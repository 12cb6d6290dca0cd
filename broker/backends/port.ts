/**
 * What the bridge needs of whoever moves the money: the port that the ledger, Stripe or Alipay
 * implement.
 *
 * The idempotency key is the request id, always. An answer is definite or `unknown`; an adapter
 * never turns a timeout, a broken connection or an answer it cannot read into a decline. A call
 * that failed for certain before anything was sent is `unsent`, which may be tried again freely.
 */
import type { Money } from '../../src/money.ts';
import type { Reason } from '../../src/errors.ts';

/** Hex of the 16-byte request id: 32 characters, fits every known backend's key field. */
export type IdempotencyKey = string;

export type BackendAnswer =
  | Readonly<{
      kind: 'done';
      outcome: 'captured' | 'held' | 'voided' | 'refunded';
      reference: string;
    }>
  | Readonly<{ kind: 'declined'; reason: Extract<Reason, 'backend_declined' | 'refund_exceeds'> }>
  | Readonly<{ kind: 'unknown'; why: string }>
  | Readonly<{ kind: 'unsent'; why: string }>;

/** The answer to a query: what became of a key, or that this backend has not seen it (yet). */
export type BackendState = BackendAnswer | Readonly<{ kind: 'unseen' }>;

export type Authorisation = Readonly<{
  key: IdempotencyKey;
  /** Opaque funding reference of the mandate; the backend knows whose it is. */
  funding: string;
  payee: string;
  amount: Money;
  /** `now` captures at once; `later` only holds, until `capture` or `void`. */
  capture: 'now' | 'later';
}>;

/** A movement that acts on an earlier authorisation. */
export type Movement = Readonly<{
  key: IdempotencyKey;
  /** The key of the authorisation (for a refund: of the captured payment). */
  original: IdempotencyKey;
  amount: Money;
}>;

export type Backend = Readonly<{
  name: string;
  /** How `unknown` is resolved: by sending the same call again under the same key, or by query. */
  resolvesBy: 'replay' | 'query';
  authorise: (authorisation: Authorisation) => Promise<BackendAnswer>;
  capture: (movement: Movement) => Promise<BackendAnswer>;
  void: (movement: Movement) => Promise<BackendAnswer>;
  refund: (movement: Movement) => Promise<BackendAnswer>;
  query: (key: IdempotencyKey) => Promise<BackendState>;
  /**
   * Whether a login at the backend linked this funding reference to this wallet key (hex of the
   * full thumbprint). Rejects when the backend cannot say.
   */
  fundingLinked: (funding: string, wallet: string) => Promise<boolean>;
}>;
