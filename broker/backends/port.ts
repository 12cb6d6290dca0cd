/**
 * What the bridge needs of whoever moves the money: the port that the ledger, Stripe or Alipay
 * implement.
 *
 * The idempotency key is the request id, always. An answer is definite or `unknown`; an adapter
 * never turns a timeout, a broken connection or an answer it cannot read into a decline. A call
 * that failed for certain before anything was sent is `unsent`, which may be tried again freely.
 * How unknown is resolved differs between providers, so each declares it in its capabilities and
 * broker/attempt.ts acts on them.
 */
import type { Money } from '../../src/money.ts';
import type { Reason } from '../../src/errors.ts';
import type { HttpQuestion } from '../../src/platform.ts';

/** Hex of the 16-byte request id: 32 characters, fits every known backend's key field. */
export type IdempotencyKey = string;

/** `received` is what came over the wire, byte for byte, for the evidence. */
type Received = Readonly<{ received?: Uint8Array }>;

/** A definite word about one key. */
export type Definite =
  | (Readonly<{
      kind: 'done';
      outcome: 'captured' | 'held' | 'voided' | 'refunded';
      reference: string;
    }> &
      Received)
  | (Readonly<{
      kind: 'declined';
      reason: Extract<Reason, 'backend_declined' | 'refund_exceeds'>;
    }> &
      Received);

export type BackendAnswer =
  | Definite
  | (Readonly<{ kind: 'unknown'; why: string }> & Received)
  | Readonly<{ kind: 'unsent'; why: string }>;

/**
 * The answer to a query: what became of a key, or that this backend has not seen it yet. `unseen`
 * never proves that the key will not be executed: the call may still be on its way.
 */
export type BackendState = BackendAnswer | (Readonly<{ kind: 'unseen' }> & Received);

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
  /** The key of the authorisation. */
  original: IdempotencyKey;
  amount: Money;
}>;

/** How a provider behaves when an answer is missing. */
export type Capabilities = Readonly<{
  /** How `unknown` is resolved: by sending the same call again under the same key, or by query. */
  resolvesBy: 'replay' | 'query';
  /** ms for which a repeated key is recognised; afterwards only a query is safe. */
  keyForMs: number;
  /** ms between two questions about one key. */
  pollMs: number;
  /** What a `void` of an authorisation whose outcome is not known does. */
  cancel: Readonly<{
    /** Of a key not seen yet: `bars` it for good, or does `nothing`, so that it may come late. */
    unseen: 'bars' | 'nothing';
    /** Of a captured one: `refuses`, or `reverses` the money (the answer is then `voided`). */
    captured: 'refuses' | 'reverses';
    /** ms after the authorisation for which a cancel is accepted. */
    forMs: number;
  }>;
  /** Whether it tells outcomes by itself (parseNotification). */
  notifies: boolean;
}>;

/** An outcome that the backend told by itself; another input of the same transition function. */
export type Notification = Readonly<{ key: IdempotencyKey; state: Definite }>;

/** One movement of money as the backend lists it, for the audit. */
export type Moved = Readonly<{
  /** Position in the backend's list; ask for the next page with the last one's. */
  number: number;
  key: IdempotencyKey;
  original: IdempotencyKey;
  kind: 'pay' | 'hold' | 'capture' | 'release' | 'refund';
  amount: Money;
  atMs: number;
}>;

export type Backend = Readonly<{
  name: string;
  capabilities: Capabilities;
  authorise: (authorisation: Authorisation) => Promise<BackendAnswer>;
  capture: (movement: Movement) => Promise<BackendAnswer>;
  void: (movement: Movement) => Promise<BackendAnswer>;
  refund: (movement: Movement) => Promise<BackendAnswer>;
  query: (key: IdempotencyKey) => Promise<BackendState>;
  /**
   * Reads a call of the provider to the bridge's own address. Throws PaymentError `bad_signature`,
   * `expired`, `stale_nonce` or `malformed`; undefined for one that is genuine and says nothing
   * definite about a payment.
   */
  parseNotification: (question: HttpQuestion) => Notification | undefined;
  /**
   * Whether a login at the backend linked this funding reference to this wallet key (hex of the
   * full thumbprint). Rejects when the backend cannot say.
   */
  fundingLinked: (funding: string, wallet: string) => Promise<boolean>;
  /**
   * Where the operator hands out the login to an account (a one-time link) and so stands for the
   * login at the backend; absent where a provider has its own. Both reject with `unavailable`.
   */
  login?: Readonly<{
    /** The currency of an open funding account, or undefined when there is none of that name. */
    currencyOf: (funding: string) => Promise<string | undefined>;
    /**
     * Links the account that was logged in to with this wallet key (hex of the full thumbprint),
     * whose possession was proved. Again changes nothing. Throws `funding_unknown`.
     */
    link: (funding: string, wallet: string) => Promise<void>;
  }>;
  /** What moved after `number`, oldest first; absent where a provider has no such list. */
  movements?: (after: number) => Promise<readonly Moved[]>;
}>;
