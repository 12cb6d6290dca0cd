/**
 * The books of the ledger: double entry, so that money is moved and never made.
 *
 * Every movement is one row with a debit account, a credit account and one amount, so no row can
 * put the books out of balance; cached balances change in the same transaction and `check` counts
 * everything again from the rows. An idempotency key owns its first answer, a decline as much as a
 * payment: the same question gets the same answer for ever, and another question under that key is
 * a conflict, which says nothing about the money. SQL stands here, in accounts.ts and recount.ts.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { Money } from '../../src/money.ts';
import type { Clock, Database, SqlRow } from '../../src/platform.ts';
import type { Authorisation, Definite, Movement } from '../backends/port.ts';
import {
  ACCOUNT_SCHEMA,
  accountId,
  accountRow,
  assertCountable,
  balanceOf,
  linkWallet,
  openFunding,
  topUp,
  transfer,
  transferOf,
  type Balance,
  type Transfer,
  type TransferKind,
} from './accounts.ts';
import { recount, type Difference } from './recount.ts';

/** A call of the backend port, by its action. */
export type Operation =
  | (Readonly<{ action: 'authorise'; /** Whatever the account holds. */ isDeclined?: boolean }> &
      Authorisation)
  | (Readonly<{ action: 'capture' | 'void' | 'refund' }> & Movement);

/** A definite answer, or `conflict`: this key belongs to a question with other parameters. */
export type BooksAnswer = Definite | Readonly<{ kind: 'conflict' }>;

/** `isFirst` when this call gave the key its answer, and so moved what the answer says. */
export type Ran = Readonly<{ answer: BooksAnswer; isFirst: boolean }>;

export type Books = Readonly<{
  /**
   * Runs operations in order as one durable commit and returns their answers in that order. Throws
   * PaymentError `unavailable` when the disk fails; then none of them happened.
   */
  run: (operations: readonly Operation[]) => readonly Ran[];
  /** What became of a key, or `unseen`; one that was barred before it arrived is declined. */
  query: (key: string) => BooksAnswer | Readonly<{ kind: 'unseen' }>;
  /**
   * Opens a funding account with a starting balance and links a wallet (hex thumbprint), if any.
   * Again with the same currency and balance it only links; with others it is a `conflict`.
   */
  openFunding: (
    account: Readonly<{ funding: string; wallet: string | undefined; balance: Money }>,
  ) => 'opened' | 'linked' | 'conflict';
  /** Moves money in from outside, once per key. Throws `funding_unknown`, `currency_mismatch`. */
  topUp: (
    deposit: Readonly<{ key: string; funding: string; amount: Money }>,
  ) => 'done' | 'conflict';
  /** Links one more wallet (hex thumbprint). Throws `funding_unknown`. */
  linkWallet: (funding: string, wallet: string) => void;
  isLinked: (funding: string, wallet: string) => boolean;
  /** Of an open funding account; undefined when there is none of that name. */
  currencyOf: (funding: string) => string | undefined;
  /** Accounts in the order of their names, from the one after `after`. */
  balances: (after: string, count: number) => readonly Balance[];
  /** Movements in the order they were made, from the one after number `after`. */
  transfers: (after: number, count: number) => readonly Transfer[];
  /** Number of the last movement; 0 before the first. */
  last: () => number;
  /** Counts everything again; no difference means the books are right. */
  check: () => readonly Difference[];
}>;

/** Opens the books in a database of their own. The caller closes the database. */
export function openBooks(options: Readonly<{ database: Database; clock: Clock }>): Books {
  const { database, clock } = options;
  database.exec(ACCOUNT_SCHEMA);
  database.exec(PAYMENT_SCHEMA);

  return Object.freeze({
    run: (operations) =>
      database.transaction(() => operations.map((operation) => once(database, clock, operation))),
    query: (key) => {
      const row = paymentRow(database, key);
      if (row !== undefined) return answerOf(row);
      return isBarred(database, key) ? Object.freeze({ kind: 'declined', ...DECLINED }) : UNSEEN;
    },
    openFunding: (account) => database.transaction(() => openFunding(database, clock, account)),
    topUp: (deposit) => database.transaction(() => topUp(database, clock, deposit)),
    linkWallet: (funding, wallet) =>
      database.transaction(() => linkWallet(database, funding, wallet)),
    isLinked: (funding, wallet) =>
      database
        .prepare('SELECT 1 FROM link WHERE funding = ? AND wallet = ?')
        .get(funding, wallet) !== undefined,
    currencyOf: (funding) =>
      accountRow(database, accountId('funding', funding, ''))?.['currency'] as string | undefined,
    balances: (after, count) =>
      database
        .prepare('SELECT * FROM account WHERE id > ? ORDER BY id LIMIT ?')
        .all(after, BigInt(count))
        .map(balanceOf),
    transfers: (after, count) =>
      database
        .prepare('SELECT * FROM transfer WHERE number > ? ORDER BY number LIMIT ?')
        .all(BigInt(after), BigInt(count))
        .map(transferOf),
    last: () => {
      const row = database.prepare('SELECT max(number) AS last FROM transfer').get();
      return Number(row?.['last'] ?? 0n);
    },
    check: () => recount(database),
  });
}

const PAYMENT_SCHEMA = `
  -- One row per idempotency key: the first question and its answer, never changed. Only held,
  -- captured and refunded of an authorisation move on, with the movements that act on it.
  CREATE TABLE IF NOT EXISTS payment (
    number INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    fingerprint TEXT NOT NULL,
    action TEXT NOT NULL CHECK (action IN ('authorise', 'capture', 'void', 'refund')),
    payment TEXT NOT NULL,
    outcome TEXT CHECK (outcome IN ('captured', 'held', 'voided', 'refunded')),
    reason TEXT CHECK ((reason IS NULL) <> (outcome IS NULL)),
    funding TEXT,
    payee TEXT,
    currency TEXT NOT NULL,
    amount INTEGER NOT NULL CHECK (amount >= 0),
    held INTEGER NOT NULL DEFAULT 0 CHECK (held >= 0),
    captured INTEGER NOT NULL DEFAULT 0 CHECK (captured >= 0),
    refunded INTEGER NOT NULL DEFAULT 0 CHECK (refunded >= 0 AND refunded <= captured),
    at INTEGER NOT NULL
  ) STRICT;

  -- Keys that were voided before they arrived: whatever comes under one later is declined.
  CREATE TABLE IF NOT EXISTS barred (key TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
`;

const UNSEEN = Object.freeze({ kind: 'unseen' });
const CONFLICT = Object.freeze({ kind: 'conflict' });

/** An authorisation that went through, and what has become of its money. */
type Payment = Readonly<{
  key: string;
  funding: string;
  payee: string;
  currency: string;
  held: bigint;
  captured: bigint;
  refunded: bigint;
}>;

/** What to write for a new key: `payment` after the movements, or a decline's reason. */
type Verdict =
  | Readonly<{
      outcome: 'captured' | 'held' | 'voided' | 'refunded';
      payment?: Payment;
      moves: readonly Readonly<{ kind: TransferKind; amount: bigint }>[];
    }>
  | Readonly<{ reason: 'backend_declined' | 'refund_exceeds' }>;

const DECLINED = Object.freeze({ reason: 'backend_declined' });

function once(database: Database, clock: Clock, operation: Operation): Ran {
  assertCountable(operation.amount);
  const fingerprint = fingerprintOf(operation);
  const known = paymentRow(database, operation.key);
  if (known !== undefined) {
    const answer = known['fingerprint'] === fingerprint ? answerOf(known) : CONFLICT;
    return Object.freeze({ answer, isFirst: false });
  }
  const verdict =
    operation.amount.minor === 0n || isBarred(database, operation.key) || isDeclined(operation)
      ? DECLINED
      : operation.action === 'authorise'
        ? authorise(database, operation)
        : act(database, operation);
  const answer = record(database, clock, operation, fingerprint, verdict);
  return Object.freeze({ answer, isFirst: true });
}

function isDeclined(operation: Operation): boolean {
  return operation.action === 'authorise' && operation.isDeclined === true;
}

function authorise(database: Database, asked: Authorisation): Verdict {
  const { currency, minor } = asked.amount;
  const account = accountRow(database, accountId('funding', asked.funding, currency));
  if (account === undefined || account['currency'] !== currency) return DECLINED;
  if ((account['balance'] as bigint) < minor) return DECLINED;
  const payment = { key: asked.key, funding: asked.funding, payee: asked.payee, currency };
  return asked.capture === 'now'
    ? {
        outcome: 'captured',
        payment: { ...payment, held: 0n, captured: minor, refunded: 0n },
        moves: [{ kind: 'pay', amount: minor }],
      }
    : {
        outcome: 'held',
        payment: { ...payment, held: minor, captured: 0n, refunded: 0n },
        moves: [{ kind: 'hold', amount: minor }],
      };
}

function act(database: Database, asked: Exclude<Operation, { action: 'authorise' }>): Verdict {
  const { currency, minor } = asked.amount;
  const original = paymentRow(database, asked.original);
  if (original === undefined) {
    if (asked.action !== 'void') return DECLINED;
    // Nothing has moved, and from now on nothing will: what comes late finds itself barred.
    database
      .prepare('INSERT INTO barred (key) VALUES (?) ON CONFLICT DO NOTHING')
      .run(asked.original);
    return { outcome: 'voided', moves: [] };
  }
  const payment = paymentOf(database, original);
  if (payment === undefined || payment.currency !== currency) return DECLINED;
  const { held, captured, refunded } = payment;
  switch (asked.action) {
    case 'capture': {
      // A hold is captured once; what the payee did not take goes back to the payer.
      if (held === 0n || minor > held) return DECLINED;
      const rest = held - minor;
      return {
        outcome: 'captured',
        payment: { ...payment, held: 0n, captured: minor },
        moves: [
          { kind: 'capture', amount: minor },
          ...(rest > 0n ? [{ kind: 'release', amount: rest } as const] : []),
        ],
      };
    }
    case 'void':
      if (held === 0n || minor !== held) return DECLINED;
      return {
        outcome: 'voided',
        payment: { ...payment, held: 0n },
        moves: [{ kind: 'release', amount: held }],
      };
    case 'refund':
      if (captured === 0n) return DECLINED;
      if (refunded + minor > captured) return { reason: 'refund_exceeds' };
      return {
        outcome: 'refunded',
        payment: { ...payment, refunded: refunded + minor },
        moves: [{ kind: 'refund', amount: minor }],
      };
  }
}

function record(
  database: Database,
  clock: Clock,
  operation: Operation,
  fingerprint: string,
  verdict: Verdict,
): BooksAnswer {
  const payment = 'outcome' in verdict ? verdict.payment : undefined;
  const root =
    payment?.key ?? (operation.action === 'authorise' ? operation.key : operation.original);
  const isNew = operation.action === 'authorise' ? payment : undefined;
  const { currency, minor } = operation.amount;
  const row = database
    .prepare(
      `INSERT INTO payment (key, fingerprint, action, payment, outcome, reason, funding, payee,
         currency, amount, held, captured, refunded, at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING *`,
    )
    .get(
      operation.key,
      fingerprint,
      operation.action,
      root,
      'outcome' in verdict ? verdict.outcome : null,
      'reason' in verdict ? verdict.reason : null,
      operation.action === 'authorise' ? operation.funding : null,
      operation.action === 'authorise' ? operation.payee : null,
      currency,
      minor,
      isNew?.held ?? 0n,
      isNew?.captured ?? 0n,
      isNew?.refunded ?? 0n,
      BigInt(clock.nowMs()),
    );
  assert(row !== undefined);
  if (payment !== undefined && 'moves' in verdict) {
    for (const move of verdict.moves) {
      const names = { funding: payment.funding, payee: payment.payee, currency };
      transfer(database, clock, { ...move, ...names, key: operation.key, payment: payment.key });
    }
    if (isNew === undefined) {
      database
        .prepare('UPDATE payment SET held = ?, captured = ?, refunded = ? WHERE key = ?')
        .run(payment.held, payment.captured, payment.refunded, payment.key);
    }
  }
  return answerOf(row);
}

function paymentRow(database: Database, key: string): SqlRow | undefined {
  return database.prepare('SELECT * FROM payment WHERE key = ?').get(key);
}

function isBarred(database: Database, key: string): boolean {
  return database.prepare('SELECT 1 FROM barred WHERE key = ?').get(key) !== undefined;
}

/**
 * The authorisation that a row names, by its own key or by the key of its capture; undefined when
 * it was declined or never was.
 */
function paymentOf(database: Database, row: SqlRow): Payment | undefined {
  const isCapture = row['action'] === 'capture' && row['outcome'] !== null;
  const root = isCapture ? paymentRow(database, row['payment'] as string) : row;
  if (root === undefined || root['action'] !== 'authorise' || root['outcome'] === null) {
    return undefined;
  }
  return Object.freeze({
    key: root['key'] as string,
    funding: root['funding'] as string,
    payee: root['payee'] as string,
    currency: root['currency'] as string,
    held: root['held'] as bigint,
    captured: root['captured'] as bigint,
    refunded: root['refunded'] as bigint,
  });
}

function answerOf(row: SqlRow): BooksAnswer {
  const { outcome, reason } = row as {
    outcome: 'captured' | 'held' | 'voided' | 'refunded' | null;
    reason: 'backend_declined' | 'refund_exceeds';
  };
  return outcome === null
    ? Object.freeze({ kind: 'declined', reason })
    : Object.freeze({ kind: 'done', outcome, reference: `ledger-${row['number']}` });
}

function fingerprintOf(operation: Operation): string {
  const { action, amount } = operation;
  const rest =
    action === 'authorise'
      ? [operation.funding, operation.payee, operation.capture]
      : [operation.original];
  const parameters = JSON.stringify([action, amount.currency, String(amount.minor), ...rest]);
  return createHash('sha256').update(parameters).digest('hex');
}
