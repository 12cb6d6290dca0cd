// The lease book: what is left only falls, until a newer lease comes. Method: random stories of
// leases heard late, twice or out of order, beside a count of every unit that was ever handed out.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { openDatabase } from '../../src/node/sqlite.ts';
import type { Tick } from '../../src/objects/tick.ts';
import { type Spent, createLeaseBook } from '../../device/leases.ts';
import { prepareTables } from '../../device/tables.ts';
import { reasonOf } from './stage.ts';

const MANDATE = 'ab'.repeat(16);
const OTHER = 'cd'.repeat(16);

function leaseOf(iat: number, minor: bigint, count: number, mandate = MANDATE): Tick {
  const amount = { currency: 'CNY', minor };
  const lease = { exp: iat + 100, mandate, amount, count, upload: iat + 200 };
  return { iat, nonce: new Uint8Array(8).fill(iat % 256), audience: 'ee'.repeat(32), lease };
}

function createBook() {
  const database = openDatabase(':memory:');
  prepareTables(database, 'any');
  const book = createLeaseBook(database);
  const left = (mandate = MANDATE) => {
    const held = book.of(mandate);
    return held && [held.left.amount.minor, held.left.count];
  };
  return { database, book, left };
}

const none = (): Spent => ({ minor: 0n, count: 0 });

test('a lease is held as it was heard', () => {
  const { book } = createBook();
  expect(book.of(MANDATE)).toBeUndefined();
  book.hear(leaseOf(7, 100n, 3), none);
  expect(book.of(MANDATE)).toEqual({
    mandate: MANDATE,
    nonce: new Uint8Array(8).fill(7),
    exp: 107,
    upload: 207,
    left: { amount: { currency: 'CNY', minor: 100n }, count: 3 },
  });
  expect(book.of(OTHER), 'each mandate has its own').toBeUndefined();
});

test('spending takes from it, to its last unit and no further', () => {
  const { book, left } = createBook();
  book.hear(leaseOf(7, 100n, 3), none);
  book.spend(MANDATE, 60n);
  expect(reasonOf(() => book.spend(MANDATE, 41n))).toBe('lease_exhausted');
  book.spend(MANDATE, 40n);
  expect(left()).toEqual([0n, 1]);
  expect(reasonOf(() => book.spend(MANDATE, 1n))).toBe('lease_exhausted');
});

test('the last payment of its count is the last', () => {
  const { book, left } = createBook();
  book.hear(leaseOf(7, 100n, 1), none);
  book.spend(MANDATE, 1n);
  expect(reasonOf(() => book.spend(MANDATE, 1n))).toBe('lease_exhausted');
  expect(left()).toEqual([99n, 0]);
});

test.each([
  ['the same bytes again', 7],
  ['an older one', 6],
])('%s bring nothing back', (_what, iat) => {
  const { book, left } = createBook();
  book.hear(leaseOf(7, 100n, 3), none);
  book.spend(MANDATE, 60n);
  book.hear(leaseOf(iat, 100n, 3), none);
  expect(left()).toEqual([40n, 2]);
});

test('a newer one counts, less what the bridge may not have seen', () => {
  const { book, left } = createBook();
  book.hear(leaseOf(7, 100n, 3), none);
  book.hear(leaseOf(8, 100n, 3), () => ({ minor: 30n, count: 1 }));
  expect(left()).toEqual([70n, 2]);
  book.hear(leaseOf(9, 100n, 3), () => ({ minor: 101n, count: 4 }));
  expect(left(), 'never below nothing').toEqual([0n, 0]);
});

test('what can no longer arrive is forgotten when the next lease comes', () => {
  const { book } = createBook();
  book.hear(leaseOf(7, 100n, 3), none);
  book.hear(leaseOf(207, 100n, 3, OTHER), none);
  expect(book.of(MANDATE), 'its last second').toBeDefined();
  book.hear(leaseOf(208, 100n, 3, OTHER), none);
  expect(book.of(MANDATE)).toBeUndefined();
});

test('a tick without a lease changes nothing', () => {
  const { book } = createBook();
  book.hear({ iat: 7, nonce: new Uint8Array(8) }, none);
  expect(book.of(MANDATE)).toBeUndefined();
});

test('never more than was handed out, whatever is heard twice, late or out of order', () => {
  // The bridge: a pool that grows by top-ups and shrinks by what arrives. The device: spends what
  // its book allows. The pool must never be asked for more than is in it. Each step is a second.
  const steps = fc.array(
    fc.oneof(
      fc.record({ kind: fc.constant('top' as const), minor: fc.bigInt({ min: 1n, max: 50n }) }),
      fc.record({ kind: fc.constant('hear' as const), which: fc.nat() }),
      fc.record({ kind: fc.constant('spend' as const), minor: fc.bigInt({ min: 1n, max: 20n }) }),
      fc.record({ kind: fc.constant('arrive' as const) }),
    ),
    { maxLength: 60 },
  );
  fc.assert(
    fc.property(steps, (all) => {
      const { database, book } = createBook();
      let pool = 0n;
      let poolCount = 0;
      let second = 0;
      const sent: Tick[] = [];
      const open: bigint[] = [];
      const arrived: { minor: bigint; second: number }[] = [];
      for (const step of all) {
        second += 1;
        if (step.kind === 'top') {
          pool += step.minor;
          poolCount += 1;
          sent.push(leaseOf(second, pool, poolCount));
        } else if (step.kind === 'hear' && sent.length > 0) {
          book.hear(sent[step.which % sent.length]!, (_mandate, iat) => {
            const after = arrived.filter((one) => one.second >= iat).map(({ minor }) => minor);
            const unseen = [...open, ...after];
            return { minor: unseen.reduce((a, b) => a + b, 0n), count: unseen.length };
          });
        } else if (step.kind === 'spend') {
          const held = book.of(MANDATE);
          if (!held || held.left.amount.minor < step.minor || held.left.count < 1) continue;
          database.transaction(() => book.spend(MANDATE, step.minor));
          open.push(step.minor);
        } else if (step.kind === 'arrive' && open.length > 0) {
          const minor = open.shift()!;
          arrived.push({ minor, second });
          pool -= minor;
          poolCount -= 1;
          // What waits still fits the pool.
          expect(pool).toBeGreaterThanOrEqual(open.reduce((a, b) => a + b, 0n));
          expect(poolCount).toBeGreaterThanOrEqual(open.length);
        }
      }
      expect(pool).toBeGreaterThanOrEqual(open.reduce((a, b) => a + b, 0n));
    }),
    { numRuns: 200 },
  );
});
