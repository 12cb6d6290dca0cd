/**
 * The ledger as a plain-text journal, so that a bookkeeping program that nobody here wrote can
 * check it: hledger, and others of its family.
 *
 * Accounts and commodities are declared, every movement is a transaction of its own, and the last
 * transaction asserts what the ledger itself says each account holds. So a strict check adds the
 * movements up again and compares. Nothing in it names a person beyond the ids of the accounts.
 */
import { exponentOf, formatDecimal, type Money } from '../../src/money.ts';
import type { Standing, Transfer } from './accounts.ts';

/**
 * The lines of the journal, without line ends, up to the latest movement that a standing knows of.
 * `transfers` are all movements from the first on, in their order; later ones are left unread.
 * Throws PaymentError `malformed` for a currency that is not known.
 */
export async function* journalOf(
  standings: readonly Standing[],
  transfers: AsyncIterable<Transfer> | Iterable<Transfer>,
): AsyncGenerator<string> {
  const through = standings.reduce((last, standing) => Math.max(last, standing.through), 0);
  const declared = new Set<string>();
  /** What came to an account after its standing was read. */
  const since = new Map(standings.map(({ account }) => [account, 0n]));
  const throughOf = new Map(standings.map((standing) => [standing.account, standing.through]));
  let lastMs = 0;

  function* declare(account: string, currency: string): Generator<string> {
    if (!declared.has(currency)) yield `commodity ${amountOf({ currency, minor: 0n }, '.')}`;
    if (!declared.has(account)) yield `account ${nameOf(account)}`;
    declared.add(currency).add(account);
  }

  yield '; The books of a saytap ledger. Dates are UTC; a code is the number of a movement.';
  yield 'decimal-mark .';
  for (const { account, money } of standings) yield* declare(account, money.currency);
  for await (const transfer of transfers) {
    const { number, debit, credit, amount, kind, key, payment, atMs } = transfer;
    if (number > through) break;
    yield* declare(debit, amount.currency);
    yield* declare(credit, amount.currency);
    yield '';
    const tags = `at:${new Date(atMs).toISOString()}, payment:${textOf(payment)}`;
    yield `${dateOf(atMs)} (${number}) ${kind} ${textOf(key)}  ; ${tags}`;
    yield posting(debit, { ...amount, minor: -amount.minor });
    yield posting(credit, amount);
    for (const [account, minor] of [
      [debit, -amount.minor],
      [credit, amount.minor],
    ] as const) {
      if (number <= (throughOf.get(account) ?? number)) continue;
      since.set(account, since.get(account)! + minor);
    }
    lastMs = Math.max(lastMs, atMs);
  }
  if (standings.length === 0) return;
  yield '';
  // Last of its date, which is the latest: an assertion counts what stands before it.
  yield `${dateOf(lastMs)} what the ledger says each account holds`;
  for (const { account, money } of standings) {
    const { currency } = money;
    const minor = money.minor + since.get(account)!;
    // Two equal signs: this much, and nothing in any other currency.
    yield `${posting(account, { currency, minor: 0n })} == ${amountOf({ currency, minor })}`;
  }
}

function posting(account: string, money: Money): string {
  return `    ${nameOf(account)}  ${amountOf(money)}`;
}

/** With all decimals of its currency. A declaration needs a decimal mark even where none follow. */
function amountOf({ currency, minor }: Money, mark = ''): string {
  const size = formatDecimal({ currency, minor: minor < 0n ? -minor : minor });
  const last = exponentOf(currency) === 0 ? mark : '';
  return `${minor < 0n ? '-' : ''}${size}${last} ${currency}`;
}

/** Kind and currency of an account are levels of its name; a colon in an id is not. */
function nameOf(account: string): string {
  const [, levels = '', id = account] = /^(payee:[A-Z]{3}:|[a-z]+:)(.*)$/.exec(account) ?? [];
  return levels + textOf(id);
}

/** Any id, so that no two are alike and none means anything to the reader of a journal. */
function textOf(id: string): string {
  return id.replace(/[^A-Za-z0-9_.-]/g, (sign) => {
    return `%${sign.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;
  });
}

function dateOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}
