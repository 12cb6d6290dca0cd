/**
 * Accounts of the ledger and the movements between them: the part of the books that cannot be
 * wrong by construction. SQL stands here.
 *
 * Each function runs inside a transaction of its caller.
 */
import assert from 'node:assert/strict';
import { PaymentError } from '../../src/errors.ts';
import { CBOR_INTEGER_MAX, LEDGER_TOTAL_MAX } from '../../src/limits.ts';
import type { Money } from '../../src/money.ts';
import type { Clock, Database, SqlRow } from '../../src/platform.ts';

/** `outside` is where money comes from and is below zero; the others never are. */
export type AccountKind = 'outside' | 'funding' | 'holding' | 'payee';

/** What an account holds now. */
export type Balance = Readonly<{ account: string; kind: AccountKind; money: Money }>;

/** A balance after the movement with number `through` and before the next one. */
export type Standing = Balance & Readonly<{ through: number }>;

/** A movement by what it is for; ROUTES says from where to where. */
export type TransferKind = 'top_up' | 'pay' | 'hold' | 'capture' | 'release' | 'refund';

/** One movement: `key` is of the call that made it, `payment` of its authorisation. */
export type Transfer = Readonly<{
  number: number;
  debit: string;
  credit: string;
  amount: Money;
  kind: TransferKind;
  key: string;
  payment: string;
  atMs: number;
}>;

/** Which kinds of account a movement leaves and reaches. */
export const ROUTES: Readonly<Record<TransferKind, readonly [AccountKind, AccountKind]>> = {
  top_up: ['outside', 'funding'],
  pay: ['funding', 'payee'],
  hold: ['funding', 'holding'],
  capture: ['holding', 'payee'],
  release: ['holding', 'funding'],
  refund: ['payee', 'funding'],
};

/** Tables of accounts, of their links to wallets and of movements. */
export const ACCOUNT_SCHEMA = `
  CREATE TABLE IF NOT EXISTS account (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('outside', 'funding', 'holding', 'payee')),
    currency TEXT NOT NULL,
    balance INTEGER NOT NULL CHECK (kind = 'outside' OR balance >= 0)
  ) STRICT, WITHOUT ROWID;

  -- A login at the backend said that this wallet may name this funding account.
  CREATE TABLE IF NOT EXISTS link (
    funding TEXT NOT NULL,
    wallet TEXT NOT NULL,
    PRIMARY KEY (funding, wallet)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE IF NOT EXISTS transfer (
    number INTEGER PRIMARY KEY,
    debit TEXT NOT NULL REFERENCES account (id),
    credit TEXT NOT NULL REFERENCES account (id) CHECK (credit <> debit),
    amount INTEGER NOT NULL CHECK (amount > 0),
    currency TEXT NOT NULL,
    kind TEXT NOT NULL
      CHECK (kind IN ('top_up', 'pay', 'hold', 'capture', 'release', 'refund')),
    key TEXT NOT NULL,
    payment TEXT NOT NULL,
    at INTEGER NOT NULL,
    UNIQUE (key, kind)
  ) STRICT;
`;

/** Moves an amount along the route of its kind; an overdrawn account is a bug and throws. */
export function transfer(
  database: Database,
  clock: Clock,
  move: Readonly<{
    kind: TransferKind;
    amount: bigint;
    currency: string;
    funding: string;
    payee: string;
    key: string;
    payment: string;
  }>,
): void {
  const [from, to] = ROUTES[move.kind];
  const name = (kind: AccountKind) =>
    accountId(kind, kind === 'payee' ? move.payee : move.funding, move.currency);
  const [debit, credit] = [name(from), name(to)];
  // Holding and payee accounts open when money first reaches them.
  database
    .prepare(
      `INSERT INTO account (id, kind, currency, balance) VALUES (?, ?, ?, 0)
       ON CONFLICT DO NOTHING`,
    )
    .run(credit, to, move.currency);
  const change = database.prepare(
    'UPDATE account SET balance = balance + ? WHERE id = ? AND currency = ?',
  );
  assert.equal(change.run(-move.amount, debit, move.currency).changes, 1);
  assert.equal(change.run(move.amount, credit, move.currency).changes, 1);
  database
    .prepare(
      `INSERT INTO transfer (debit, credit, amount, currency, kind, key, payment, at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    )
    .run(
      debit,
      credit,
      move.amount,
      move.currency,
      move.kind,
      move.key,
      move.payment,
      BigInt(clock.nowMs()),
    );
}

/** As Books.openFunding. */
export function openFunding(
  database: Database,
  clock: Clock,
  asked: Readonly<{ funding: string; wallet: string | undefined; balance: Money }>,
): 'opened' | 'linked' | 'conflict' {
  const { funding, wallet, balance } = asked;
  assertCountable(balance);
  const id = accountId('funding', funding, balance.currency);
  const key = `open:${funding}`;
  const known = accountRow(database, id);
  if (known !== undefined) {
    const opening = deposited(database, key)?.['amount'] ?? 0n;
    if (known['currency'] !== balance.currency || opening !== balance.minor) return 'conflict';
    if (wallet !== undefined) linkWallet(database, funding, wallet);
    return 'linked';
  }
  database
    .prepare(`INSERT INTO account (id, kind, currency, balance) VALUES (?, 'funding', ?, 0)`)
    .run(id, balance.currency);
  if (wallet !== undefined) linkWallet(database, funding, wallet);
  if (balance.minor > 0n) topUp(database, clock, { key, funding, amount: balance });
  return 'opened';
}

/** As Books.topUp. */
export function topUp(
  database: Database,
  clock: Clock,
  deposit: Readonly<{ key: string; funding: string; amount: Money }>,
): 'done' | 'conflict' {
  const { key, funding, amount } = deposit;
  assertCountable(amount);
  assert(amount.minor > 0n, 'a movement has an amount');
  const { currency, minor } = amount;
  const id = accountId('funding', funding, currency);
  const account = accountRow(database, id);
  if (account === undefined) throw fundingUnknown();
  if (account['currency'] !== currency) {
    throw new PaymentError('currency_mismatch', 'The funding account has another currency.');
  }
  const known = deposited(database, key);
  if (known !== undefined) {
    return known['credit'] === id && known['amount'] === minor ? 'done' : 'conflict';
  }
  const outside = accountId('outside', '', currency);
  database
    .prepare(
      `INSERT INTO account (id, kind, currency, balance) VALUES (?, 'outside', ?, 0)
       ON CONFLICT DO NOTHING`,
    )
    .run(outside, currency);
  const entered = -(accountRow(database, outside)?.['balance'] as bigint);
  if (entered + minor > LEDGER_TOTAL_MAX) {
    throw new PaymentError('malformed', 'More money than these books can count.');
  }
  const names = { currency, funding, payee: '' };
  transfer(database, clock, { kind: 'top_up', amount: minor, ...names, key, payment: key });
  return 'done';
}

/** As Books.linkWallet. */
export function linkWallet(database: Database, funding: string, wallet: string): void {
  if (accountRow(database, accountId('funding', funding, '')) === undefined) throw fundingUnknown();
  database
    .prepare('INSERT INTO link (funding, wallet) VALUES (?, ?) ON CONFLICT DO NOTHING')
    .run(funding, wallet);
}

/** A payer's accounts have one currency each; a payee and the outside have one account for each. */
export function accountId(kind: AccountKind, name: string, currency: string): string {
  switch (kind) {
    case 'outside':
      return `outside:${currency}`;
    case 'payee':
      return `payee:${currency}:${name}`;
    case 'funding':
    case 'holding':
      return `${kind}:${name}`;
  }
}

/** The row of an account, or undefined. */
export function accountRow(database: Database, id: string): SqlRow | undefined {
  return database.prepare('SELECT * FROM account WHERE id = ?').get(id);
}

function deposited(database: Database, key: string): SqlRow | undefined {
  return database.prepare(`SELECT * FROM transfer WHERE key = ? AND kind = 'top_up'`).get(key);
}

/** An account's row as a balance. */
export function balanceOf(row: SqlRow): Balance {
  return Object.freeze({
    account: row['id'] as string,
    kind: row['kind'] as AccountKind,
    money: { currency: row['currency'] as string, minor: row['balance'] as bigint },
  });
}

/** A movement's row as a transfer. */
export function transferOf(row: SqlRow): Transfer {
  return Object.freeze({
    number: Number(row['number']),
    debit: row['debit'] as string,
    credit: row['credit'] as string,
    amount: { currency: row['currency'] as string, minor: row['amount'] as bigint },
    kind: row['kind'] as TransferKind,
    key: row['key'] as string,
    payment: row['payment'] as string,
    atMs: Number(row['at']),
  });
}

/** Amounts are checked at the edge of the program; here a wrong one is a bug. */
export function assertCountable(amount: Money): void {
  assert(amount.minor >= 0n && amount.minor <= BigInt(CBOR_INTEGER_MAX));
}

function fundingUnknown(): PaymentError {
  return new PaymentError('funding_unknown', 'There is no such funding account.');
}
