/** The double-entry books: balanced after every step, each key moves once. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { openBooks, type BooksAnswer, type Operation } from '../../../broker/ledger/books.ts';
import { openDatabase } from '../../../src/node/sqlite.ts';

const clock = { nowMs: () => 1_800_000_000_000, monotonicMs: () => 0 };
const wallet = 'ab'.repeat(32);
const eur = (minor: bigint) => ({ currency: 'EUR', minor });
const DECLINED = { kind: 'declined', reason: 'backend_declined' };

function openWith(balance = 1_000n) {
  const database = openDatabase(':memory:');
  const books = openBooks({ database, clock });
  expect(books.openFunding({ funding: 'alice', wallet, balance: eur(balance) })).toBe('opened');
  const run = (operation: Operation) => books.run([operation])[0]?.answer;
  const pay = (key: string, minor: bigint, capture: 'now' | 'later' = 'now') =>
    run({
      action: 'authorise',
      key,
      funding: 'alice',
      payee: 'cafe',
      amount: eur(minor),
      capture,
    });
  const act = (
    action: 'capture' | 'void' | 'refund',
    key: string,
    original: string,
    minor: bigint,
  ) => run({ action, key, original, amount: eur(minor) });
  const held = () =>
    Object.fromEntries(books.balances('', 100).map(({ account, money }) => [account, money.minor]));
  return { database, books, run, pay, act, held };
}

test('a payment moves money once, and its key repeats the answer', () => {
  const { books, pay, held } = openWith();
  const first = pay('k1', 300n);
  expect(first).toEqual({ kind: 'done', outcome: 'captured', reference: 'ledger-1' });
  expect(pay('k1', 300n)).toEqual(first);
  expect(books.query('k1')).toEqual(first);
  expect(books.query('k2')).toEqual({ kind: 'unseen' });
  expect(held()).toEqual({ 'funding:alice': 700n, 'outside:EUR': -1_000n, 'payee:EUR:cafe': 300n });
  expect(books.transfers(0, 10).map(({ kind, key, amount }) => [kind, key, amount.minor])).toEqual([
    ['top_up', 'open:alice', 1_000n],
    ['pay', 'k1', 300n],
  ]);
  expect(books.check()).toEqual([]);
});

test('a repeated key in one group moves money once', () => {
  const { books, held } = openWith();
  const operation: Operation = {
    action: 'authorise',
    key: 'k1',
    funding: 'alice',
    payee: 'cafe',
    amount: eur(600n),
    capture: 'now',
  };
  const [first, second, third] = books.run([operation, operation, { ...operation, key: 'k2' }]);
  expect(first).toMatchObject({ answer: { kind: 'done', outcome: 'captured' }, isFirst: true });
  expect(second).toEqual({ answer: first?.answer, isFirst: false });
  expect(third).toEqual({ answer: DECLINED, isFirst: true });
  const conflict = books.run([{ ...operation, payee: 'bar' }]);
  expect(conflict).toEqual([{ answer: { kind: 'conflict' }, isFirst: false }]);
  expect(held()['funding:alice']).toBe(400n);
});

test('a decline is repeated even when the money is there by now', () => {
  const { books, pay, held } = openWith();
  expect(pay('k1', 1_001n)).toEqual(DECLINED);
  expect(books.topUp({ key: 't1', funding: 'alice', amount: eur(5_000n) })).toBe('done');
  expect(books.topUp({ key: 't1', funding: 'alice', amount: eur(5_000n) })).toBe('done');
  expect(books.topUp({ key: 't1', funding: 'alice', amount: eur(5_001n) })).toBe('conflict');
  expect(pay('k1', 1_001n)).toEqual(DECLINED);
  expect(pay('k2', 1_001n)).toMatchObject({ kind: 'done' });
  expect(held()['funding:alice']).toBe(4_999n);
});

test('a key with any other parameter is a conflict, and moves nothing', () => {
  const { run, pay, act, held, books } = openWith();
  const asked = { funding: 'alice', payee: 'cafe', amount: eur(10n), capture: 'now' } as const;
  const operation = { action: 'authorise', key: 'k1', ...asked } as const;
  run(operation);
  pay('declined', 5_000n);
  const others: (BooksAnswer | undefined)[] = [
    run({ ...operation, funding: 'bob' }),
    run({ ...operation, payee: 'bar' }),
    run({ ...operation, amount: eur(11n) }),
    run({ ...operation, amount: { currency: 'USD', minor: 10n } }),
    run({ ...operation, capture: 'later' }),
    act('refund', 'k1', 'k1', 10n),
    pay('declined', 1n),
  ];
  expect(others).toEqual(others.map(() => ({ kind: 'conflict' })));
  expect(held()['funding:alice']).toBe(990n);
  expect(books.check()).toEqual([]);
});

test('a hold is captured once; the rest goes back', () => {
  const { pay, act, held } = openWith();
  expect(pay('h', 500n, 'later')).toMatchObject({ outcome: 'held' });
  expect(held()).toMatchObject({ 'funding:alice': 500n, 'holding:alice': 500n });
  expect(act('capture', 'c0', 'h', 501n)).toEqual(DECLINED);
  expect(act('capture', 'c1', 'h', 200n)).toMatchObject({ outcome: 'captured' });
  expect(act('capture', 'c2', 'h', 100n)).toEqual(DECLINED);
  expect(act('void', 'v1', 'h', 300n)).toEqual(DECLINED);
  expect(held()).toMatchObject({
    'funding:alice': 800n,
    'holding:alice': 0n,
    'payee:EUR:cafe': 200n,
  });
  expect(act('refund', 'r1', 'c1', 150n)).toMatchObject({ outcome: 'refunded' });
  expect(act('refund', 'r2', 'h', 51n)).toEqual({ kind: 'declined', reason: 'refund_exceeds' });
  expect(act('refund', 'r3', 'h', 50n)).toMatchObject({ outcome: 'refunded' });
  expect(held()).toMatchObject({ 'funding:alice': 1_000n, 'payee:EUR:cafe': 0n });
});

test('a hold is voided whole, once', () => {
  const { pay, act, held } = openWith();
  pay('h', 500n, 'later');
  expect(act('void', 'v0', 'h', 499n)).toEqual(DECLINED);
  expect(act('void', 'v1', 'h', 500n)).toMatchObject({ outcome: 'voided' });
  expect(act('void', 'v1', 'h', 500n)).toMatchObject({ outcome: 'voided' });
  expect(act('void', 'v2', 'h', 500n)).toEqual(DECLINED);
  expect(act('capture', 'c', 'h', 500n)).toEqual(DECLINED);
  expect(held()).toMatchObject({ 'funding:alice': 1_000n, 'holding:alice': 0n });
});

test('a void that overtakes its authorisation bars it', () => {
  const { books, pay, act, held } = openWith();
  expect(act('void', 'v1', 'late', 100n)).toMatchObject({ kind: 'done', outcome: 'voided' });
  expect(books.query('late')).toEqual(DECLINED);
  expect(act('void', 'v1', 'late', 100n)).toMatchObject({ kind: 'done', outcome: 'voided' });
  for (let again = 0; again < 3; again++) expect(pay('late', 100n)).toEqual(DECLINED);
  expect(pay('late', 99n)).toEqual({ kind: 'conflict' });
  expect(books.query('late')).toEqual(DECLINED);
  expect(act('capture', 'c1', 'never', 100n)).toEqual(DECLINED);
  expect(act('refund', 'r1', 'never', 100n)).toEqual(DECLINED);
  expect(held()['funding:alice']).toBe(1_000n);
  expect(books.check()).toEqual([]);
});

test.each([
  { state: 'not seen yet', prepare: [], voided: true, alice: 1_000n },
  { state: 'held', prepare: ['hold'], voided: true, alice: 1_000n },
  { state: 'held and captured in part', prepare: ['hold', 'capture'], voided: false, alice: 960n },
  { state: 'captured', prepare: ['pay'], voided: false, alice: 900n },
  {
    state: 'captured and refunded in part',
    prepare: ['pay', 'refund'],
    voided: false,
    alice: 930n,
  },
  { state: 'declined', prepare: ['decline'], voided: false, alice: 1_000n },
  { state: 'voided under another key', prepare: ['hold', 'void'], voided: false, alice: 1_000n },
])('the cancel of an authorisation that is $state', ({ prepare, voided, alice }) => {
  const { books, pay, act, held } = openWith();
  const steps: Readonly<Record<string, () => unknown>> = {
    pay: () => pay('k', 100n),
    hold: () => pay('k', 100n, 'later'),
    decline: () => pay('k', 1_001n),
    capture: () => act('capture', 'c', 'k', 40n),
    refund: () => act('refund', 'r', 'k', 30n),
    void: () => act('void', 'v', 'k', 100n),
  };
  for (const step of prepare) steps[step]!();
  const first = act('void', 'cancel', 'k', 100n);
  expect(first).toEqual(
    voided ? { kind: 'done', outcome: 'voided', reference: expect.any(String) } : DECLINED,
  );
  expect(act('void', 'cancel', 'k', 100n)).toEqual(first);
  expect(held()['funding:alice']).toBe(alice);
  if (prepare.length === 0) expect(pay('k', 100n)).toEqual(DECLINED);
  expect(books.check()).toEqual([]);
});

test('a void bars whatever comes late under that key, a capture and a refund too', () => {
  const { books, pay, act, held } = openWith();
  pay('h', 500n, 'later');
  pay('p', 100n);
  expect(act('void', 'v1', 'c', 500n)).toMatchObject({ outcome: 'voided' });
  expect(act('capture', 'c', 'h', 500n)).toEqual(DECLINED);
  expect(act('void', 'v2', 'r', 50n)).toMatchObject({ outcome: 'voided' });
  expect(act('refund', 'r', 'p', 50n)).toEqual(DECLINED);
  expect(held()).toMatchObject({ 'funding:alice': 400n, 'holding:alice': 500n });
  expect(books.check()).toEqual([]);
});

test('the number of the last movement', () => {
  const { books, pay } = openWith();
  expect(books.last()).toBe(1);
  pay('k1', 1n);
  expect(books.last()).toBe(2);
  expect(openBooks({ database: openDatabase(':memory:'), clock }).last()).toBe(0);
});

test('wrong currency, unknown funding and a zero amount are declined', () => {
  const { run, pay, act } = openWith();
  const asked = { action: 'authorise', payee: 'cafe', capture: 'now' } as const;
  const usd = { currency: 'USD', minor: 1n };
  expect(run({ ...asked, key: 'a', funding: 'alice', amount: usd })).toEqual(DECLINED);
  expect(run({ ...asked, key: 'b', funding: 'nobody', amount: eur(1n) })).toEqual(DECLINED);
  expect(pay('c', 0n)).toEqual(DECLINED);
  pay('d', 100n);
  expect(run({ action: 'refund', key: 'e', original: 'd', amount: usd })).toEqual(DECLINED);
  expect(act('refund', 'f', 'c', 1n)).toEqual(DECLINED);
  expect(act('refund', 'g', 'e', 1n)).toEqual(DECLINED);
});

test('an account is opened once, and linked to the wallets of its logins', () => {
  const { books } = openWith();
  const other = 'cd'.repeat(32);
  const alice = { funding: 'alice', wallet: other, balance: eur(1_000n) };
  expect(books.isLinked('alice', other)).toBe(false);
  expect(books.openFunding({ ...alice, balance: eur(1_001n) })).toBe('conflict');
  expect(books.openFunding({ ...alice, balance: { currency: 'USD', minor: 1_000n } })).toBe(
    'conflict',
  );
  expect(books.isLinked('alice', other)).toBe(false);
  expect(books.openFunding(alice)).toBe('linked');
  expect(books.isLinked('alice', other)).toBe(true);
  expect(books.isLinked('alice', wallet)).toBe(true);
  expect(books.isLinked('bob', wallet)).toBe(false);
  expect(() => books.linkWallet('bob', wallet)).toThrow(
    expect.objectContaining({ reason: 'funding_unknown' }),
  );
  expect(() => books.topUp({ key: 't', funding: 'bob', amount: eur(1n) })).toThrow(
    expect.objectContaining({ reason: 'funding_unknown' }),
  );
  const usd = { currency: 'USD', minor: 1n };
  expect(() => books.topUp({ key: 't', funding: 'alice', amount: usd })).toThrow(
    expect.objectContaining({ reason: 'currency_mismatch' }),
  );
  expect(books.openFunding({ funding: 'empty', wallet, balance: eur(0n) })).toBe('opened');
  expect(books.check()).toEqual([]);
});

test('more money than can be counted is refused', () => {
  const { books } = openWith(0n);
  const most = BigInt(Number.MAX_SAFE_INTEGER);
  for (let n = 0; n < 512; n++) books.topUp({ key: `t${n}`, funding: 'alice', amount: eur(most) });
  expect(() => books.topUp({ key: 'last', funding: 'alice', amount: eur(most) })).toThrow(
    expect.objectContaining({ reason: 'malformed' }),
  );
  expect(books.check()).toEqual([]);
});

const forgeries = [
  {
    why: 'a balance',
    sql: `UPDATE account SET balance = balance + 1 WHERE id = 'payee:EUR:cafe'`,
    what: ['balance', 'sum of all balances'],
  },
  {
    why: 'a movement',
    sql: `UPDATE transfer SET amount = amount + 1 WHERE kind = 'pay'`,
    what: ['balance', 'balance', 'captured', 'captured within the amount'],
  },
  {
    why: 'a movement that nobody asked for',
    sql: `INSERT INTO transfer (debit, credit, amount, currency, kind, key, payment, at)
          VALUES ('funding:alice', 'payee:EUR:cafe', 1, 'EUR', 'pay', 'x', 'x', 0)`,
    what: ['balance', 'balance', 'movements of a key nobody asked for'],
  },
  {
    why: 'a second movement of a key',
    sql: `INSERT INTO transfer (debit, credit, amount, currency, kind, key, payment, at)
          VALUES ('funding:alice', 'holding:alice', 1, 'EUR', 'hold', 'p', 'p', 0)`,
    what: ['balance', 'balance', 'captured within the amount', 'held', 'movements of a key'],
  },
  {
    why: 'an answer',
    sql: `UPDATE payment SET outcome = NULL, reason = 'backend_declined' WHERE key = 'p'`,
    what: ['movements of a key'],
  },
  {
    why: 'a refund beyond its capture',
    sql: `UPDATE transfer SET amount = 101 WHERE kind = 'refund'`,
    what: ['balance', 'balance', 'refunded', 'refunds within the capture'],
  },
  {
    why: 'a route',
    sql: `UPDATE transfer SET debit = 'outside:EUR' WHERE kind = 'refund'`,
    what: ['account of a movement', 'balance', 'balance'],
  },
];

test.each(forgeries)('the check finds a forged entry: $why', ({ sql, what }) => {
  const { database, books, pay, act } = openWith();
  pay('p', 100n);
  pay('h', 10n, 'later');
  act('refund', 'r', 'p', 50n);
  expect(books.check()).toEqual([]);
  database.exec(sql);
  expect(
    books
      .check()
      .map(({ what }) => what)
      .sort(),
  ).toEqual(what);
});

// Few keys, few amounts and small funds, so that repeats, conflicts and declines are common.
const keys = fc.constantFrom('k0', 'k1', 'k2', 'k3', 'k4', 'k5', 'k6', 'k7', 'k8', 'k9');
const amounts = fc.constantFrom(0n, 1n, 5n, 10n, 30n, 60n).map(eur);
const operations: fc.Arbitrary<Operation> = fc.oneof(
  fc.record({
    action: fc.constant('authorise' as const),
    key: keys,
    funding: fc.constantFrom('alice', 'bob', 'nobody'),
    payee: fc.constantFrom('cafe', 'bar'),
    amount: amounts,
    capture: fc.constantFrom('now' as const, 'later' as const),
  }),
  fc.record({
    action: fc.constantFrom('capture' as const, 'void' as const, 'refund' as const),
    key: keys,
    original: keys,
    amount: amounts,
  }),
);

test('after every group of operations the books balance and every key has moved money once', () => {
  const seen = new Set<string>();
  const property = fc.property(
    fc.array(fc.array(operations, { minLength: 1, maxLength: 4 }), { maxLength: 25 }),
    (groups) => {
      const database = openDatabase(':memory:');
      const books = openBooks({ database, clock });
      for (const funding of ['alice', 'bob']) {
        books.openFunding({ funding, wallet, balance: eur(100n) });
      }
      const first = new Map<string, { asked: Operation; answer: BooksAnswer }>();
      for (const group of groups) {
        const before = books.transfers(0, 1_000).length;
        const answers = books.run(group).map(({ answer }) => answer);
        let isNewMovement = 0;
        for (const [index, asked] of group.entries()) {
          const answer = answers[index]!;
          const known = first.get(asked.key);
          if (known === undefined) {
            expect(answer.kind).not.toBe('conflict');
            first.set(asked.key, { asked, answer });
            if (answer.kind === 'done') isNewMovement++;
          } else if (isSame(known.asked, asked)) expect(answer).toEqual(known.answer);
          else expect(answer).toEqual({ kind: 'conflict' });
          seen.add(answer.kind === 'done' ? answer.outcome : answer.kind);
        }
        const moved = books.transfers(0, 1_000).length - before;
        if (isNewMovement === 0) expect(moved).toBe(0);
        expect(books.check()).toEqual([]);
      }
      for (const [key, { answer }] of first) expect(books.query(key)).toEqual(answer);
      const kinds = books.transfers(0, 1_000).map(({ key, kind }) => `${key} ${kind}`);
      expect(new Set(kinds).size).toBe(kinds.length);
      const sum = books.balances('', 100).reduce((total, { money }) => total + money.minor, 0n);
      expect(sum).toBe(0n);
      database.close();
    },
  );
  const amount = eur(30n);
  const pay = (key: string, capture: 'now' | 'later'): Operation => {
    return { action: 'authorise', key, funding: 'alice', payee: 'cafe', amount, capture };
  };
  const act = (action: 'void' | 'refund', key: string, original: string): Operation => {
    return { action, key, original, amount };
  };
  // The property says little unless every kind of answer came up: the rarest ones always do.
  const rare = [
    [pay('k0', 'now'), pay('k1', 'later')],
    [act('refund', 'k2', 'k0'), act('void', 'k3', 'k1')],
  ];
  fc.assert(property, { numRuns: 150, examples: [[rare]] });
  expect([...seen].sort()).toEqual([
    'captured',
    'conflict',
    'declined',
    'held',
    'refunded',
    'voided',
  ]);
});

function isSame(one: Operation, other: Operation): boolean {
  const text = (operation: Operation) =>
    JSON.stringify(Object.entries(operation).sort(), (_key, value: unknown) =>
      typeof value === 'bigint' ? String(value) : value,
    );
  return text(one) === text(other);
}
