/** The journal, judged by hledger, which nobody here wrote. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, onTestFinished, test } from 'vitest';
import { createLedgerBackend } from '../../../broker/backends/ledger.ts';
import type { Standing } from '../../../broker/ledger/accounts.ts';
import { openBooks, type Books, type Operation } from '../../../broker/ledger/books.ts';
import { journalOf } from '../../../broker/ledger/journal.ts';
import { exportJournal, startLedger } from '../../../broker/ledger/main.ts';
import { EXITS } from '../../../src/errors.ts';
import { exponentOf } from '../../../src/money.ts';
import { createHttp, serveHttp } from '../../../src/node/http.ts';
import { clock, random } from '../../../src/node/platform.ts';
import { openDatabase } from '../../../src/node/sqlite.ts';
import { requirePart } from '../../parts.ts';

const hledger = requirePart('hledger');
const wallet = 'ab'.repeat(32);
const key = (n: number) => n.toString(16).padStart(32, '0');

/** What hledger says to a journal on its standard input. */
function ask(lines: readonly string[], ...words: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(hledger.path!, ['-f', '-', ...words], {
    input: `${lines.join('\n')}\n`,
    encoding: 'utf8',
    env: { LC_ALL: 'C.UTF-8' },
    maxBuffer: 2 ** 26,
  });
  return { status, stdout, stderr };
}

/** Minor units of every account that is not empty, as hledger adds them up. */
function balancesBy(lines: readonly string[]): Readonly<Record<string, string>> {
  const { stdout } = ask(lines, 'balance', '--flat', '--no-total', '--output-format', 'csv');
  const rows = stdout.trim().split('\n').slice(1);
  return Object.fromEntries(
    rows.filter(Boolean).map((row) => {
      const [, account, amount, currency] = /^"(.*)","(-?[0-9.]+) ([A-Z]{3})"$/.exec(row)!;
      const [, decimals = ''] = amount!.split('.');
      expect(decimals, row).toHaveLength(exponentOf(currency!)!);
      return [account!, `${BigInt(amount!.replace('.', ''))} ${currency}`];
    }),
  );
}

function standingsOf(books: Books): readonly Standing[] {
  return books.balances('', 10_000).map((balance) => ({ ...balance, through: books.last() }));
}

async function journal(books: Books, standings = standingsOf(books)): Promise<string[]> {
  const lines: string[] = [];
  for await (const line of journalOf(standings, books.transfers(0, 10_000))) lines.push(line);
  return lines;
}

const CURRENCIES = { JPY: 5_000n, CNY: 9_007_199_254_740_991n, KWD: 1_234_567n } as const;
/** Signs that mean something to hledger, alone and where they would begin a name. */
const names = fc.oneof(
  fc.constantFrom('a', 'a:b', ';x', '(x)', '[x]', '*', '!', '=', '%3A', '"', '~', '@', '|', '-1'),
  fc.string({
    unit: fc.integer({ min: 33, max: 126 }).map((code) => String.fromCharCode(code)),
    minLength: 1,
    maxLength: 64,
  }),
);

test('random books: hledger finds nothing wrong and adds up the same', (context) => {
  if (hledger.missing !== undefined) return context.skip(hledger.missing);
  const kinds = new Set<string>();
  const step = fc.record({
    action: fc.constantFrom('authorise', 'authorise', 'capture', 'void', 'refund'),
    account: fc.nat(2),
    payee: names,
    minor: fc.oneof(
      fc.constantFrom(5n, 60n, 60n, 100n),
      fc.bigInt({ min: 1n, max: 2n ** 53n - 1n }),
    ),
    back: fc.integer({ min: 1, max: 4 }),
    capture: fc.constantFrom('now' as const, 'later' as const),
    waitMs: fc.integer({ min: -86_400_000, max: 2 * 86_400_000 }),
  });
  const property = fc.asyncProperty(
    fc.uniqueArray(names, { minLength: 3, maxLength: 3 }),
    fc.array(step, { maxLength: 40 }),
    async (fundings, steps) => {
      const database = openDatabase(':memory:');
      let nowMs = Date.UTC(2026, 1, 27);
      const books = openBooks({ database, clock: { nowMs: () => nowMs, monotonicMs: () => 0 } });
      const accounts = Object.entries(CURRENCIES).map(([currency, minor], n) => {
        books.openFunding({ funding: fundings[n]!, wallet, balance: { currency, minor } });
        return { funding: fundings[n]!, currency };
      });
      for (const [n, { action, account, minor, back, payee, capture, waitMs }] of steps.entries()) {
        nowMs += waitMs;
        const { funding, currency } = accounts[account]!;
        const rest = { key: key(n), amount: { currency, minor } };
        const operation =
          action === 'authorise'
            ? { action, funding, payee, capture, ...rest }
            : { action, original: key(n - back), ...rest };
        books.run([operation as Operation]);
      }
      const lines = await journal(books);
      const checked = ask(lines, 'check', '--strict', 'commodities', 'accounts');
      expect(checked, lines.join('\n')).toMatchObject({ status: 0, stderr: '' });
      const expected = books
        .balances('', 1_000)
        .filter(({ money }) => money.minor !== 0n)
        .map(({ money }) => `${money.minor} ${money.currency}`);
      expect(Object.values(balancesBy(lines)).sort()).toEqual(expected.sort());
      for (const { kind } of books.transfers(0, 1_000)) kinds.add(kind);
      database.close();
    },
  );
  return fc.assert(property, { numRuns: 40, seed: 20_261_120 }).then(() => {
    expect([...kinds].sort()).toEqual(['capture', 'hold', 'pay', 'refund', 'release', 'top_up']);
  });
});

/** One of each movement, in yen, so that the lines are short. */
function small() {
  const books = openBooks({
    database: openDatabase(':memory:'),
    clock: { nowMs: () => Date.UTC(2026, 10, 20, 12), monotonicMs: () => 0 },
  });
  const jpy = (minor: bigint) => ({ currency: 'JPY', minor });
  const pay = { action: 'authorise', funding: 'a:b', payee: 'cafe;', capture: 'now' } as const;
  books.openFunding({ funding: 'a:b', wallet, balance: jpy(1_000n) });
  books.run([{ ...pay, key: key(1), amount: jpy(300n) }]);
  books.run([{ action: 'refund', key: key(2), original: key(1), amount: jpy(100n) }]);
  return { books, pay, jpy };
}

test('the lines, of which none is more than it says', async () => {
  expect(await journal(small().books)).toEqual([
    '; The books of a saytap ledger. Dates are UTC; a code is the number of a movement.',
    'decimal-mark .',
    'commodity 0. JPY',
    'account funding:a%3Ab',
    'account outside:JPY',
    'account payee:JPY:cafe%3B',
    '',
    '2026-11-20 (1) top_up open%3Aa%3Ab  ; at:2026-11-20T12:00:00.000Z, payment:open%3Aa%3Ab',
    '    outside:JPY  -1000 JPY',
    '    funding:a%3Ab  1000 JPY',
    '',
    `2026-11-20 (2) pay ${key(1)}  ; at:2026-11-20T12:00:00.000Z, payment:${key(1)}`,
    '    funding:a%3Ab  -300 JPY',
    '    payee:JPY:cafe%3B  300 JPY',
    '',
    `2026-11-20 (3) refund ${key(2)}  ; at:2026-11-20T12:00:00.000Z, payment:${key(1)}`,
    '    payee:JPY:cafe%3B  -100 JPY',
    '    funding:a%3Ab  100 JPY',
    '',
    '2026-11-20 what the ledger says each account holds',
    '    funding:a%3Ab  0 JPY == 800 JPY',
    '    outside:JPY  0 JPY == -1000 JPY',
    '    payee:JPY:cafe%3B  0 JPY == 200 JPY',
  ]);
});

test('empty books are an empty journal', async () => {
  const books = openBooks({ database: openDatabase(':memory:'), clock });
  expect(await journal(books)).toHaveLength(2);
});

const planted: readonly { why: string; change: (lines: string[]) => void; says: RegExp }[] = [
  {
    why: 'a movement of which one side is larger',
    change: (lines) => replace(lines, 'payee:JPY:cafe%3B  300 JPY', 'payee:JPY:cafe%3B  301 JPY'),
    says: /could not balance|unbalanced/,
  },
  {
    why: 'a movement that is missing',
    change: (lines) =>
      void lines.splice(
        lines.findIndex((line) => line.includes(' pay ')),
        3,
      ),
    says: /balance assertion/,
  },
  {
    why: 'a balance that the movements do not give',
    change: (lines) => replace(lines, '== 200 JPY', '== 201 JPY'),
    says: /balance assertion/,
  },
  {
    why: 'an account that nobody declared',
    change: (lines) => void lines.splice(lines.indexOf('account payee:JPY:cafe%3B'), 1),
    says: /undeclared account/,
  },
  {
    why: 'a currency that nobody declared',
    change: (lines) => void lines.splice(lines.indexOf('commodity 0. JPY'), 1),
    says: /undeclared commodity/,
  },
];

function replace(lines: string[], from: string, to: string): void {
  const at = lines.findIndex((line) => line.includes(from));
  lines[at] = lines[at]!.replace(from, to);
}

test.for(planted)('hledger refuses $why', async ({ change, says }, context) => {
  if (hledger.missing !== undefined) return context.skip(hledger.missing);
  const lines = await journal(small().books);
  expect(ask(lines, 'check', '--strict')).toMatchObject({ status: 0 });
  const before = lines.join('\n');
  change(lines);
  expect(lines.join('\n')).not.toBe(before);
  const { status, stderr } = ask(lines, 'check', '--strict');
  expect(status).not.toBe(0);
  expect(stderr).toMatch(says);
});

test('balances that were read while money moved are brought to one moment', async (context) => {
  const { books, pay, jpy } = small();
  const early = standingsOf(books).slice(0, 2);
  books.run([{ ...pay, key: key(3), amount: jpy(50n) }]);
  books.openFunding({ funding: 'Z', wallet, balance: { currency: 'KWD', minor: 1n } });
  const late = standingsOf(books).filter(({ account }) => account.startsWith('payee'));
  books.run([{ ...pay, key: key(4), amount: jpy(7n) }]);
  const lines = await journal(books, [...early, ...late]);
  expect(lines).toContain('    funding:a%3Ab  0 JPY == 750 JPY');
  expect(lines).toContain('    payee:JPY:cafe%3B  0 JPY == 250 JPY');
  expect(lines.join('\n')).not.toContain(key(4));
  if (hledger.missing !== undefined) return context.skip(hledger.missing);
  expect(ask(lines, 'check', '--strict')).toMatchObject({ status: 0, stderr: '' });
});

/** A ledger's configuration in a folder of its own, and 300 movements in its database. */
async function installed() {
  const folder = mkdtempSync(join(tmpdir(), 'saytap-journal-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const probe = await serveHttp({
    host: '127.0.0.1',
    port: 0,
    bytesMax: 1,
    answer: async () => 'drop',
  });
  await probe.close();
  const listen = { host: '127.0.0.1', port: probe.port };
  const file = join(folder, 'ledger.yaml');
  const secret = '09'.repeat(32);
  writeFileSync(join(folder, 'ledger.secret'), `${secret}\n`, { mode: 0o600 });
  const config = { listen, database: 'ledger.db', secret: 'ledger.secret' };
  writeFileSync(file, JSON.stringify(config));
  const path = join(folder, 'ledger.db');
  const fill = () => {
    const database = openDatabase(path);
    const books = openBooks({ database, clock });
    const cny = (minor: bigint) => ({ currency: 'CNY', minor });
    books.openFunding({ funding: 'alice', wallet, balance: cny(1_000_00n) });
    for (let n = 1; n <= 300; n++) {
      const pay = {
        action: 'authorise',
        funding: 'alice',
        payee: `p${n}`,
        capture: 'now',
      } as const;
      books.run([{ ...pay, key: key(n), amount: cny(1n) }]);
    }
    database.close();
  };
  const options = { listen, database: path, secret };
  return { file, options, fill, path, probe };
}

test('the export is the same while the ledger runs and when it does not', async (context) => {
  const { file, options, fill } = await installed();
  fill();
  const asleep: string[] = [];
  await exportJournal(file, (line) => asleep.push(line));
  expect(asleep.filter((line) => / pay /.test(line))).toHaveLength(300);
  expect(asleep).toContain('    funding:alice  0.00 CNY == 997.00 CNY');

  const ledger = await startLedger(options, () => {});
  onTestFinished(ledger.stop);
  const awake: string[] = [];
  await exportJournal(file, (line) => awake.push(line));
  expect(awake).toEqual(asleep);
  if (hledger.missing !== undefined) return context.skip(hledger.missing);
  expect(ask(awake, 'check', '--strict')).toMatchObject({ status: 0, stderr: '' });
});

test('the export of a ledger that is paying meanwhile adds up', async (context) => {
  const { file, options, fill } = await installed();
  fill();
  const ledger = await startLedger(options, () => {});
  const { http, close } = createHttp();
  let isOver = false;
  const secret = new Uint8Array(32).fill(9);
  const backend = createLedgerBackend({ http, url: ledger.url, secret, clock, random });
  const payer = async () => {
    for (let n = 1_000; !isOver; n++) {
      const amount = { currency: 'CNY', minor: 1n };
      const payee = `q${n % 50}`;
      await backend.authorise({ key: key(n), funding: 'alice', payee, amount, capture: 'now' });
    }
  };
  const paying = payer();
  const exports: string[][] = [];
  for (let n = 0; n < 3; n++) {
    const lines: string[] = [];
    await exportJournal(file, (line) => lines.push(line));
    exports.push(lines);
  }
  isOver = true;
  await paying;
  close();
  await ledger.stop();
  const lengths = exports.map((lines) => lines.length);
  expect(lengths).toEqual([...lengths].sort((one, other) => one - other));
  if (hledger.missing !== undefined) return context.skip(hledger.missing);
  for (const lines of exports) {
    expect(ask(lines, 'check', '--strict')).toMatchObject({ status: 0, stderr: '' });
  }
});

test('an export that cannot be whole is an error for the person at the machine', async () => {
  const { file, path, probe } = await installed();
  const why = () => exportJournal(file, () => {}).catch((error: unknown) => error);
  expect(await why()).toMatchObject({
    exit: EXITS.storage,
    message: `There is no ledger at ${path}.`,
  });
  const other = await serveHttp({
    host: '127.0.0.1',
    port: probe.port,
    bytesMax: 1_000,
    answer: async () => ({ status: 404, body: new Uint8Array() }),
  });
  onTestFinished(other.close);
  expect(await why()).toMatchObject({ name: 'OperatorError', exit: EXITS.failed });
});
