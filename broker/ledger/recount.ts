/**
 * Counts the books again. SQL stands here.
 *
 * The count is done in bigint and from the movements alone; SQL only reads the rows. The cached
 * figures, the answers and the movements must tell the same story.
 */
import { LEDGER_DIFFERENCES_MAX } from '../../src/limits.ts';
import type { Database, SqlRow } from '../../src/platform.ts';
import { ROUTES, accountRow, balanceOf, type TransferKind } from './accounts.ts';

/** Where the books say one thing and their rows another. */
export type Difference = Readonly<{ what: string; where: string; expected: string; found: string }>;

/**
 * Every difference, at most LEDGER_DIFFERENCES_MAX: sums that are not zero, cached figures that the
 * movements do not give, accounts below zero, refunds beyond the capture, and keys that moved other
 * money than their answer says. Reads the whole ledger, synchronously.
 */
export function recount(database: Database): readonly Difference[] {
  const differences: Difference[] = [];
  const differ = (what: string, where: string, expected: unknown, found: unknown) => {
    if (expected === found || differences.length >= LEDGER_DIFFERENCES_MAX) return;
    const texts = { expected: String(expected), found: String(found) };
    differences.push(Object.freeze({ what, where, ...texts }));
  };
  const accounts = new Map<string, bigint>();
  const payments = new Map<string, { held: bigint; captured: bigint; refunded: bigint }>();
  const movesOf = new Map<string, string>();
  const add = (account: string, amount: bigint) =>
    accounts.set(account, (accounts.get(account) ?? 0n) + amount);

  for (const row of pages(database, 'transfer')) {
    const { debit, credit, amount, currency, kind, key, payment } = row as {
      debit: string;
      credit: string;
      amount: bigint;
      currency: string;
      kind: TransferKind;
      key: string;
      payment: string;
    };
    add(debit, -amount);
    add(credit, amount);
    for (const [account, route] of [
      [debit, ROUTES[kind][0]],
      [credit, ROUTES[kind][1]],
    ] as const) {
      differ('account of a movement', `${key} ${kind}`, route, account.split(':')[0]);
      const found = accountRow(database, account)?.['currency'];
      differ('currency of a movement', `${key} ${kind}`, currency, found);
    }
    if (kind === 'top_up') continue;
    movesOf.set(key, [movesOf.get(key), kind].filter(Boolean).join('+'));
    const counted = payments.get(payment) ?? { held: 0n, captured: 0n, refunded: 0n };
    payments.set(payment, counted);
    if (kind === 'hold') counted.held += amount;
    if (kind === 'capture' || kind === 'release') counted.held -= amount;
    if (kind === 'pay' || kind === 'capture') counted.captured += amount;
    if (kind === 'refund') counted.refunded += amount;
  }

  const sums = new Map<string, bigint>();
  for (const row of database.prepare('SELECT * FROM account').all()) {
    const { account, kind, money } = balanceOf(row);
    differ('balance', account, accounts.get(account) ?? 0n, money.minor);
    differ('sign of the balance', account, true, kind === 'outside' || money.minor >= 0n);
    sums.set(money.currency, (sums.get(money.currency) ?? 0n) + money.minor);
  }
  for (const [currency, sum] of sums) differ('sum of all balances', currency, 0n, sum);

  for (const row of pages(database, 'payment')) {
    const { key, action, outcome } = row as Record<string, string>;
    const counted = payments.get(key!) ?? { held: 0n, captured: 0n, refunded: 0n };
    if (action === 'authorise') {
      differ('held', key!, counted.held, row['held']);
      differ('captured', key!, counted.captured, row['captured']);
      differ('refunded', key!, counted.refunded, row['refunded']);
      const { held, captured, refunded } = counted;
      differ('refunds within the capture', key!, true, refunded <= captured);
      differ(
        'captured within the amount',
        key!,
        true,
        held + captured <= (row['amount'] as bigint),
      );
    }
    const moves = movesOf.get(key!) ?? '';
    movesOf.delete(key!);
    const permitted = PERMITTED[`${action} ${outcome ?? 'declined'}`] ?? [''];
    differ('movements of a key', key!, true, permitted.includes(moves));
  }
  for (const [key, moves] of movesOf) differ('movements of a key nobody asked for', key, '', moves);
  return differences;
}

/** Rows read at a time, so that counting large books needs little memory. */
const PAGE_ROWS = 1_000n;

/** The movements that an answer stands for. A void may have come before what it voids. */
const PERMITTED: Readonly<Record<string, readonly string[]>> = {
  'authorise captured': ['pay'],
  'authorise held': ['hold'],
  'capture captured': ['capture', 'capture+release'],
  'void voided': ['release', ''],
  'refund refunded': ['refund'],
};

function* pages(database: Database, table: 'transfer' | 'payment'): Generator<SqlRow> {
  const page = database.prepare(
    `SELECT * FROM ${table} WHERE number > ? ORDER BY number LIMIT ${PAGE_ROWS}`,
  );
  for (let after = 0n; ;) {
    const rows = page.all(after);
    yield* rows;
    const last = rows.at(-1);
    if (last === undefined) return;
    after = last['number'] as bigint;
  }
}
