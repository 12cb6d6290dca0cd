/**
 * What the ledgers have moved, read from their tables: the truth that all else is held against.
 *
 * Only rows of movements are believed, and each is read once; the figures that the ledger keeps
 * beside them are what `faults` counts again. After a power cut a ledger may have less than was
 * read of it, so whoever sees one calls `reread`.
 */
import { cancelKeyOf } from '../../broker/attempt.ts';
import type { Request } from '../../src/objects/request.ts';
import type { Database } from '../../src/platform.ts';

/** One movement for a payment; deposits are none. */
export type Move = Readonly<{
  ledger: string;
  key: string;
  /** The authorisation that it acts upon; its own key for an authorisation. */
  payment: string;
  kind: 'pay' | 'hold' | 'capture' | 'release' | 'refund';
  minor: bigint;
  currency: string;
}>;

export type Moved = Readonly<{
  /** What moved since the last call, oldest first. */
  read: () => readonly Move[];
  /** Forgets what was read of a ledger, which may have gone back in time. */
  reread: (ledger: string) => void;
  /** Everything that this key moved, at any ledger. */
  under: (key: string) => readonly Move[];
  /** Where a request's money is moved now, and how much of it; what was undone is not in it. */
  effectOf: (
    id: string,
    request: Request,
  ) => readonly Readonly<{ ledger: string; minor: bigint }>[];
  /** What an authorisation holds or has spent now, at all ledgers. */
  spent: (id: string) => bigint;
  /** Where books say one thing and their rows another; empty when they balance. */
  faults: () => readonly string[];
}>;

/** `ledgers` by name; undefined while one has no database yet. */
export function createMoved(ledgers: ReadonlyMap<string, () => Database | undefined>): Moved {
  const last = new Map<string, bigint>();
  const byKey = new Map<string, Move[]>();
  const byPayment = new Map<string, Move[]>();

  function read(): readonly Move[] {
    const fresh: Move[] = [];
    for (const [ledger, database] of ledgers) {
      const rows = database()
        ?.prepare('SELECT * FROM transfer WHERE number > ? ORDER BY number')
        .all(last.get(ledger) ?? 0n);
      for (const row of rows ?? []) {
        last.set(ledger, row['number'] as bigint);
        if (row['kind'] === 'top_up') continue;
        const move = {
          ledger,
          key: row['key'] as string,
          payment: row['payment'] as string,
          kind: row['kind'] as Move['kind'],
          minor: row['amount'] as bigint,
          currency: row['currency'] as string,
        };
        push(byKey, move.key, move);
        push(byPayment, move.payment, move);
        fresh.push(move);
      }
    }
    return fresh;
  }

  const under = (key: string): readonly Move[] => byKey.get(key) ?? [];

  function netOf(id: string, request: Request, ledger: string): bigint {
    const own = under(id).filter((move) => move.ledger === ledger);
    const sum = (moves: readonly Move[], kind: Move['kind']) =>
      moves.reduce((all, move) => (move.kind === kind ? all + move.minor : all), 0n);
    switch (request.action) {
      case 'pay':
      case 'hold': {
        const undone = under(cancelKeyOf(id)).filter((move) => move.ledger === ledger);
        return sum(own, 'pay') + sum(own, 'hold') - sum(undone, 'release');
      }
      case 'capture':
        return sum(own, 'capture');
      case 'void':
        return sum(own, 'release');
      case 'refund':
        return sum(own, 'refund');
      case 'access':
        return own.reduce((all, { minor }) => all + minor, 0n);
    }
  }

  return Object.freeze({
    read,
    reread(ledger: string) {
      last.delete(ledger);
      for (const index of [byKey, byPayment]) {
        for (const [key, moves] of index) {
          index.set(
            key,
            moves.filter((move) => move.ledger !== ledger),
          );
        }
      }
    },
    under,
    effectOf: (id: string, request: Request) =>
      [...ledgers.keys()]
        .map((ledger) => ({ ledger, minor: netOf(id, request, ledger) }))
        .filter(({ minor }) => minor !== 0n),
    spent: (id: string) =>
      (byPayment.get(id) ?? []).reduce((all, { kind, minor }) => all + SPENDS[kind] * minor, 0n),
    faults: () =>
      [...ledgers].flatMap(([ledger, database]) => {
        const books = database();
        return books ? faultsOf(books).map((fault) => `${ledger}: ${fault}`) : [];
      }),
  });
}

/** A refund goes back to the funding and frees no window. */
const SPENDS: Readonly<Record<Move['kind'], bigint>> = {
  pay: 1n,
  hold: 1n,
  capture: 0n,
  release: -1n,
  refund: 0n,
};

/** Counts balances and payments again from the movements alone. */
function faultsOf(books: Database): string[] {
  const faults: string[] = [];
  const balances = new Map<string, bigint>();
  const payments = new Map<string, Record<string, bigint>>();
  const add = (account: string, minor: bigint) =>
    balances.set(account, (balances.get(account) ?? 0n) + minor);
  for (const row of books.prepare('SELECT * FROM transfer').all()) {
    const minor = row['amount'] as bigint;
    add(row['debit'] as string, -minor);
    add(row['credit'] as string, minor);
    const payment = row['payment'] as string;
    const kinds = payments.get(payment) ?? {};
    const kind = row['kind'] as string;
    payments.set(payment, { ...kinds, [kind]: (kinds[kind] ?? 0n) + minor });
  }
  for (const row of books.prepare('SELECT * FROM account').all()) {
    const { id, kind, balance } = row as Readonly<{ id: string; kind: string; balance: bigint }>;
    const counted = balances.get(id) ?? 0n;
    balances.delete(id);
    if (counted !== balance) faults.push(`${id} holds ${balance}, its movements make ${counted}`);
    if (kind !== 'outside' && counted < 0n) faults.push(`${id} is overdrawn by ${-counted}`);
  }
  for (const [account] of balances) faults.push(`money moved at ${account}, which does not exist`);
  for (const [payment, kinds] of payments) {
    const { pay = 0n, hold = 0n, capture = 0n, release = 0n, refund = 0n } = kinds;
    if (refund > pay + capture) faults.push(`${payment} gave back ${refund} of ${pay + capture}`);
    if (capture + release > hold) faults.push(`${payment} took ${capture + release} of ${hold}`);
  }
  return faults;
}

function push<T>(index: Map<string, T[]>, key: string, item: T): void {
  const list = index.get(key);
  if (list) list.push(item);
  else index.set(key, [item]);
}
