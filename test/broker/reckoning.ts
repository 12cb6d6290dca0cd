/**
 * What came of a storm, counted from outside: the receipts that customers hold against the
 * movements that the ledgers list over HTTP and against the bridge's tables.
 *
 * A difference is a sentence about one request or about a place. Nothing is assumed about how the
 * bridge works, only what a receipt means: whoever holds one that says that money moved finds it
 * moved once, at one backend, and whoever holds a refusal finds nothing moved anywhere.
 */
import { expect } from 'vitest';
import { cancelKeyOf } from '../../broker/attempt.ts';
import { toHex } from '../../src/bytes.ts';
import type { Receipt } from '../../src/objects/receipt.ts';
import type { SqlRow } from '../../src/platform.ts';
import type { Asked } from './customer.ts';
import { verdictOf } from './stage.ts';
import type { Audited, Storm } from './storm.ts';

export type Reckoning = Readonly<{
  /** Sentences by request id, or by the place where something does not add up. */
  differences: ReadonlyMap<string, readonly string[]>;
  /** How many requests differ; places are not counted. */
  differing: number;
  /** How many requests ended in each way ("captured", "refused cancelled"). */
  outcomes: ReadonlyMap<string, number>;
  /** Final receipts that came more than once. */
  duplicates: number;
  /** Payments that another backend was tried for. */
  failovers: number;
  /** Authorisations that went through and were undone before anyone was told. */
  reversals: number;
  /** What the product's own audit says of the same tables and backends. */
  audit: Audited;
}>;

/** One movement as a ledger lists it. */
type Move = Readonly<{ number: number; kind: string; key: string; minor: string }>;

/** What is known of one place where money can be. */
type Book = Readonly<{
  ledger: string;
  movesOf: ReadonlyMap<string, readonly Move[]>;
  /** Every idempotency key that the ledger ever saw. */
  keys: readonly string[];
}>;

/** Receipts that say that money moved, by action. */
const MOVED = { pay: 'captured', hold: 'held', capture: 'captured', void: 'voided' } as const;
const DONE: Readonly<Record<string, string>> = { ...MOVED, refund: 'refunded' };

/**
 * Stops the bridge and compares everything. `open` are requests that never got a final answer, if
 * there are any; each of them is a difference.
 */
export async function reckon(storm: Storm, open: readonly string[]): Promise<Reckoning> {
  const differences = new Map<string, string[]>();
  const differ = (where: string, what: string) =>
    void differences.set(where, [...(differences.get(where) ?? []), what]);

  const exit = await storm.end('bridge', 'SIGTERM');
  if (exit !== 0) differ('bridge', `it ended with ${exit} when asked to stop`);
  const books = await Promise.all(storm.ledgers.map((ledger) => readLedger(storm, ledger, differ)));
  const disk = readBridge(storm);

  const asked = storm.customers.flatMap((customer) => customer.asked);
  const known = new Map(asked.map((one) => [one.id, one]));
  const owner = new Map(asked.map(({ id }) => [cancelKeyOf(id), id]));
  const outcomes = new Map<string, number>();
  let duplicates = 0;
  let reversals = 0;
  for (const id of open) {
    const one = known.get(id);
    const stays = one ? sumsOf(one, books, known) : 'nothing was looked for';
    differ(id, `${one?.action ?? 'a mandate'} never got a final answer; at the backends: ${stays}`);
  }

  for (const one of asked) {
    const { id, customer } = one;
    const finals = customer.finals(id);
    const buried = customer.buried(id);
    duplicates += Math.max(0, finals.length - 1);
    const receipt = (finals[0] ?? buried[0])?.receipt;
    const name = verdictOf(receipt).filter(Boolean).join(' ') || 'unanswered';
    outcomes.set(name, (outcomes.get(name) ?? 0) + 1);
    // One that was cancelled before it was seen ended with the answer to that question; if it came
    // after all it has a refusal of its own, which its device need not have heard.
    const kept = toHex(customer.outbox.get(id)?.receipt ?? new Uint8Array());
    const isBuried = buried.some(({ bytes }) => bytes === kept);
    const onDisk = disk.receipts.get(id);
    const copies = new Set([
      ...finals.map(({ bytes }) => bytes),
      ...(isBuried ? [] : [kept]),
      ...(isBuried && onDisk === undefined ? [] : [onDisk ?? 'none']),
    ]);
    if (isBuried && name !== 'refused cancelled') differ(id, `buried and ${name}`);
    if (copies.size > 1) differ(id, `its receipts differ: ${[...copies].join(' / ')}`);
    if (receipt) await compare(storm, one, receipt, { books, known, differ });
    reversals += books.filter(({ movesOf }) => movesOf.has(cancelKeyOf(id))).length;
  }

  for (const { ledger, keys } of books) {
    for (const key of keys) {
      if (!known.has(key) && !owner.has(key)) differ(ledger, `nobody asked for its key ${key}`);
    }
  }
  for (const id of disk.receipts.keys()) {
    if (!known.has(id)) differ('bridge', `nobody asked for ${id}`);
  }
  compareWindows(storm, asked, disk, differ);
  return {
    differences,
    differing: asked.filter(({ id }) => differences.has(id)).length,
    outcomes,
    duplicates,
    failovers: disk.failovers,
    reversals,
    audit: await storm.audit(),
  };
}

/** Expects no difference; otherwise tells all that helps to understand it. */
export function expectTruth(storm: Storm, { differences, audit }: Reckoning): void {
  expect(
    storm.customers.flatMap((customer) => customer.faults),
    'what customers noticed',
  ).toEqual([]);
  expect(storm.told('bug'), `last words:\n${storm.lastWords('bridge')}`).toBe(0);
  const told = [...differences].map(([where, what]) => `${where}: ${what.join('; ')}`);
  expect(told, `last words:\n${storm.lastWords()}`).toEqual([]);
  expect(audit.report).toMatchObject({ passed: true, differences: [], unchecked: [] });
  expect(audit.exit).toBe(0);
}

/** One request: what its receipt says, and what every backend has. */
async function compare(
  storm: Storm,
  one: Asked,
  receipt: Receipt,
  {
    books,
    known,
    differ,
  }: Readonly<{
    books: readonly Book[];
    known: ReadonlyMap<string, Asked>;
    differ: (where: string, what: string) => void;
  }>,
): Promise<void> {
  const { id, action, minor } = one;
  const isMoved = receipt.outcome === DONE[action];
  if (!isMoved && receipt.outcome !== 'refused' && receipt.outcome !== 'expired') {
    return differ(id, `${receipt.outcome} is no answer to ${action}`);
  }
  const stays = books.map((book) => ({ ...book, net: netOf(one, book, known) }));
  const having = stays.filter(({ net }) => net !== 0n);
  const says = `${action} ${minor}: ${verdictOf(receipt).filter(Boolean).join(' ')}`;
  if (having.length !== (isMoved ? 1 : 0) || (isMoved && having[0]?.net !== minor)) {
    return differ(id, `${says}, but at the backends: ${sumsOf(one, books, known)}`);
  }
  if (!isMoved) {
    if (receipt.amount !== undefined) differ(id, `${says}, with an amount`);
    return;
  }
  if (receipt.amount?.minor !== minor || receipt.amount.currency !== 'CNY') {
    differ(id, `${says}, but the receipt is about ${receipt.amount?.minor}`);
  }
  const { ledger } = having[0]!;
  const state = (await storm.ask(ledger, 'GET', `/v1/payments/${id}`)) as { reference?: string };
  if (state.reference !== receipt.reference) {
    differ(id, `${says} as ${receipt.reference}, but ${ledger} calls it ${state.reference}`);
  }
}

/** What stays moved at one backend because of one request, in minor units. */
function netOf(one: Asked, book: Book, known: ReadonlyMap<string, Asked>): bigint {
  const under = (key: string, kind: string) =>
    (book.movesOf.get(key) ?? [])
      .filter((move) => move.kind === kind)
      .reduce((sum, move) => sum + BigInt(move.minor), 0n);
  const { id, action } = one;
  switch (action) {
    case 'hold':
      return under(id, 'hold') - under(cancelKeyOf(id), 'release');
    case 'capture': {
      const taken = under(id, 'capture');
      // What the payee did not take goes back in the same movement.
      const rest = (known.get(one.original!)?.minor ?? 0n) - one.minor;
      return taken === 0n || under(id, 'release') === rest ? taken : -1n;
    }
    case 'void':
      return under(id, 'release');
    default:
      return under(id, action);
  }
}

function sumsOf(one: Asked, books: readonly Book[], known: ReadonlyMap<string, Asked>): string {
  return books.map((book) => `${book.ledger} ${netOf(one, book, known)}`).join(', ');
}

async function readLedger(
  storm: Storm,
  ledger: string,
  differ: (where: string, what: string) => void,
): Promise<Book> {
  const check = (await storm.ask(ledger, 'GET', '/v1/check')) as { balanced: boolean };
  if (!check.balanced) differ(ledger, `its books do not balance: ${JSON.stringify(check)}`);
  const movesOf = new Map<string, Move[]>();
  for (let after = 0; ;) {
    const page = (await storm.ask(ledger, 'GET', `/v1/transfers?after=${after}`)) as {
      transfers: readonly Move[];
    };
    for (const move of page.transfers) {
      if (move.kind === 'top_up') continue;
      movesOf.set(move.key, [...(movesOf.get(move.key) ?? []), move]);
    }
    const last = page.transfers.at(-1);
    if (last === undefined) break;
    after = last.number;
  }
  await storm.end(ledger, 'SIGTERM');
  const keys = storm.books(
    (database) => database.prepare('SELECT key FROM payment').all().map(textOf('key')),
    ledger,
  );
  await storm.start(ledger);
  return { ledger, movesOf, keys };
}

type Disk = Readonly<{
  receipts: ReadonlyMap<string, string>;
  windows: readonly SqlRow[];
  reserved: number;
  failovers: number;
}>;

function readBridge(storm: Storm): Disk {
  return storm.books((database) => {
    const all = (sql: string) => database.prepare(sql).all();
    const receipts = new Map<string, string>();
    for (const table of ['tombstones', 'runs']) {
      for (const row of all(`SELECT id, receipt FROM ${table} WHERE receipt IS NOT NULL`)) {
        receipts.set(textOf('id')(row), toHex(row['receipt'] as Uint8Array));
      }
    }
    const held = all(`SELECT run FROM reservations WHERE state = 'reserved'`);
    const failovers = all('SELECT DISTINCT run FROM attempts WHERE number > 1');
    const windows = all('SELECT * FROM windows');
    return { receipts, windows, reserved: held.length, failovers: failovers.length };
  });
}

function compareWindows(
  storm: Storm,
  asked: readonly Asked[],
  { windows, reserved }: Disk,
  differ: (where: string, what: string) => void,
): void {
  const known = new Map(asked.map((one) => [one.id, one]));
  const captured = asked.filter(
    ({ id, customer }) => customer.finals(id)[0]?.receipt.outcome === 'captured',
  );
  if (reserved !== 0) differ('reservations', `${reserved} are still reserved`);
  for (const customer of storm.customers) {
    const own = captured.filter(
      (one) => (known.get(one.original ?? '') ?? one).customer === customer,
    );
    const total = own.reduce((sum, { minor }) => sum + minor, 0n);
    for (const place of [0n, 1n]) {
      const rows = windows.filter(
        (row) => row['mandate'] === customer.mandate() && row['place'] === place,
      );
      const sum = (column: string) =>
        rows.reduce((held, row) => held + (row[column] as bigint), 0n);
      const found = [sum('settled'), sum('settled_count'), sum('reserved'), sum('reserved_count')];
      const expected = [total, BigInt(own.length), 0n, 0n];
      if (String(found) !== String(expected)) {
        differ(`window ${place} of ${customer.name}`, `${found} instead of ${expected}`);
      }
    }
    for (const row of windows) {
      if ((row['settled'] as bigint) > (row['max'] as bigint))
        differ('windows', 'one is overdrawn');
    }
  }
}

const textOf = (column: string) => (row: SqlRow) => row[column] as string;
