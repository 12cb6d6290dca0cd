/** The HTTP face of the ledger, with and without faults. */
import { afterEach, expect, test } from 'vitest';
import { createLedgerBackend } from '../../../broker/backends/ledger.ts';
import { fromBody, signCall } from '../../../broker/hmac.ts';
import { openBooks } from '../../../broker/ledger/books.ts';
import { startLedger } from '../../../broker/ledger/main.ts';
import type { Notices } from '../../../broker/ledger/notices.ts';
import { createLedgerService, type Fault, type Faults } from '../../../broker/ledger/service.ts';
import { EXITS } from '../../../src/errors.ts';
import { createHttp, serveHttp } from '../../../src/node/http.ts';
import { clock, random, timers } from '../../../src/node/platform.ts';
import { openDatabase } from '../../../src/node/sqlite.ts';
import { PaymentError } from '../../../src/errors.ts';
import type { HttpQuestion } from '../../../src/platform.ts';
import type { BackendAnswer } from '../../../broker/backends/port.ts';

const secret = new Uint8Array(32).fill(9);
const wallet = 'ab'.repeat(32);
const LATE_MS = 250;
/** A caller that gives up before the late answer comes. */
const IMPATIENT_MS = 100;

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** A ledger behind a real server, with faults drawn from `draws` (each 0 to 1, then none). */
async function start(faults?: Partial<Faults>, draws: number[] = [], notices?: Notices) {
  const database = openDatabase(':memory:');
  const books = openBooks({ database, clock });
  books.openFunding({ funding: 'alice', wallet, balance: { currency: 'EUR', minor: 1_000n } });
  const drawn = () => {
    const bytes = new Uint8Array(4);
    const at = draws.shift() ?? 0.999_999;
    new DataView(bytes.buffer).setUint32(0, Math.floor(at * 2 ** 32));
    return bytes;
  };
  const service = createLedgerService({
    books,
    secret,
    clock,
    timers,
    ...(notices && { notices }),
    ...(faults && { faults: { lateMs: LATE_MS, ...faults, random: drawn } }),
  });
  closing.push(service.close);
  const { port, close } = await serveHttp({
    host: '127.0.0.1',
    port: 0,
    bytesMax: 1_000,
    answer: service.answer,
  });
  closing.push(close);
  const client = createHttp();
  closing.push(client.close);
  const url = `http://127.0.0.1:${port}`;
  const ports = { http: client.http, url, secret, clock, random };
  const backend = createLedgerBackend(ports);
  const impatient = createLedgerBackend({ ...ports, timeoutMs: IMPATIENT_MS });
  const call = async (method: 'GET' | 'POST', path: string, body?: unknown, by = secret) => {
    const signed = signCall(
      { secret: by, clock, random },
      { method, url: url + path, body, timeoutMs: 1_000 },
    );
    const answer = await client.http(signed);
    return { status: answer.status, json: fromBody(answer.body) };
  };
  return { books, backend, impatient, call, service };
}

const key = (n: number) => n.toString(16).padStart(32, '0');
const payment = (n: number, minor = 100n) => ({
  key: key(n),
  funding: 'alice',
  payee: 'cafe',
  amount: { currency: 'EUR', minor },
  capture: 'now' as const,
});

const faulty: { fault: Fault; movedAtOnce: number }[] = [
  { fault: 'loseBefore', movedAtOnce: 0 },
  { fault: 'loseAfter', movedAtOnce: 1 },
  { fault: 'late', movedAtOnce: 0 },
  { fault: 'twice', movedAtOnce: 1 },
  { fault: 'later', movedAtOnce: 0 },
];

test.each(faulty)('$fault: the same key asked again moves money once', async (row) => {
  const { books, backend, impatient } = await start({ [row.fault]: 0.5 }, [0.1]);
  const moved = () => books.transfers(0, 100).filter(({ kind }) => kind === 'pay').length;
  const first = await (row.fault === 'late' ? impatient : backend).authorise(payment(1));
  expect(moved()).toBe(row.movedAtOnce);
  if (row.fault !== 'twice') expect(first.kind).toBe('unknown');
  const done = { kind: 'done', outcome: 'captured', reference: 'ledger-1' };
  let again: BackendAnswer = first;
  for (let n = 0; n < 3 && again.kind !== 'done'; n++) again = await backend.authorise(payment(1));
  expect(again).toMatchObject(done);
  await new Promise((resolve) => setTimeout(resolve, LATE_MS + 50));
  expect(moved()).toBe(1);
  expect(await backend.query(key(1))).toMatchObject(done);
  expect(books.check()).toEqual([]);
});

test('later: in process says nothing, a query sees nothing, and then it is executed', async () => {
  const { books, backend } = await start({ later: 0.5 }, [0.1]);
  const first = await backend.authorise(payment(1));
  expect(first).toMatchObject({ kind: 'unknown', why: 'the ledger answered with status 202' });
  expect(await backend.query(key(1))).toMatchObject({ kind: 'unseen' });
  await expect.poll(() => books.query(key(1)).kind, { timeout: 10_000 }).toBe('done');
  expect(await backend.authorise(payment(1))).toMatchObject({ kind: 'done' });
  expect(books.transfers(1, 10)).toHaveLength(1);
});

test('later: a void meanwhile bars it for ever', async () => {
  const { books, backend } = await start({ later: 0.5 }, [0.1]);
  await backend.authorise(payment(1));
  const cancel = { key: key(2), original: key(1), amount: payment(1).amount };
  expect(await backend.void(cancel)).toMatchObject({ kind: 'done', outcome: 'voided' });
  await new Promise((resolve) => setTimeout(resolve, LATE_MS + 50));
  expect(await backend.authorise(payment(1))).toMatchObject({ kind: 'declined' });
  expect(books.transfers(1, 10)).toEqual([]);
});

/** Notices that are only written down; each is taken when the test says so. */
function heard() {
  const told: unknown[] = [];
  const taken: (() => void)[] = [];
  const notices: Notices = {
    tell(_key, answer) {
      told.push(answer);
      return new Promise((resolve) => taken.push(resolve));
    },
    close: () => {},
  };
  return { told, taken, notices };
}

test('every key that gets its answer is told once: a movement, a decline, no repeat', async () => {
  const { told, notices } = heard();
  const { backend } = await start(undefined, [], notices);
  for (let again = 0; again < 3; again++) await backend.authorise(payment(1));
  await backend.authorise(payment(1, 7n)); // A conflict.
  await backend.authorise(payment(2, 1_001n));
  await backend.query(key(1));
  expect(told).toEqual([
    { key: key(1), kind: 'done', outcome: 'captured', reference: 'ledger-1' },
    { key: key(2), kind: 'declined', reason: 'backend_declined' },
  ]);
});

test.each([
  { fault: 'loseBefore', atOnce: 0, inTheEnd: 0 },
  { fault: 'loseAfter', atOnce: 1, inTheEnd: 1 },
  { fault: 'twice', atOnce: 1, inTheEnd: 1 },
  { fault: 'later', atOnce: 0, inTheEnd: 1 },
  { fault: 'noticeTwice', atOnce: 2, inTheEnd: 2 },
  { fault: 'noticeLate', atOnce: 0, inTheEnd: 1 },
  { fault: 'noticeLost', atOnce: 0, inTheEnd: 0 },
] as const)('$fault: told $atOnce times at once, $inTheEnd in the end', async (row) => {
  const { told, notices } = heard();
  const { backend } = await start({ [row.fault]: 0.5 }, [0.1], notices);
  await backend.authorise(payment(1));
  expect(told).toHaveLength(row.atOnce);
  await expect.poll(() => told.length, { timeout: 10_000 }).toBe(row.inTheEnd);
  await new Promise((resolve) => setTimeout(resolve, LATE_MS + 50));
  expect(told).toHaveLength(row.inTheEnd);
});

test('noticeFirst: the answer waits until the notice is taken', async () => {
  const { told, taken, notices } = heard();
  const { backend } = await start({ noticeFirst: 0.5 }, [0.1], notices);
  const answer = backend.authorise(payment(1));
  await expect.poll(() => told, { timeout: 10_000 }).toHaveLength(1);
  let isAnswered = false;
  void answer.then(() => (isAnswered = true));
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(isAnswered).toBe(false);
  taken[0]!();
  expect(await answer).toMatchObject({ kind: 'done' });
});

test('a service that is closed executes nothing any more', async () => {
  const { books, backend, service } = await start({ later: 0.5 }, [0.1]);
  await backend.authorise(payment(1));
  service.close();
  await new Promise((resolve) => setTimeout(resolve, LATE_MS + 50));
  expect(books.query(key(1))).toEqual({ kind: 'unseen' });
});

test('a page of the longest names, each of their characters escaped, can be read', async () => {
  const { books, backend } = await start();
  const funding = '"'.repeat(64);
  books.openFunding({ funding, wallet, balance: { currency: 'EUR', minor: 2n ** 53n - 1n } });
  for (let n = 1; n <= 300; n++) {
    books.run([{ ...payment(n, 2n ** 44n), action: 'authorise', funding, payee: '\\'.repeat(64) }]);
  }
  let listed = 0;
  for (let after = 0; ;) {
    const page = await backend.movements!(after);
    if (page.length === 0) break;
    listed += page.length;
    after = page.at(-1)!.number;
  }
  expect(listed).toBe(300);
});

test('many payments through all faults at once: each exactly once, none mixed up', async () => {
  const draws = Array.from({ length: 2_000 }, (_, n) => (n * 0.618_034) % 1);
  const { books, backend, impatient } = await start(
    { loseBefore: 0.1, loseAfter: 0.1, late: 0.05, twice: 0.25, later: 0.05 },
    draws,
  );
  const kinds: string[] = [];
  const pay = async (n: number) => {
    for (let attempt = 0; attempt < 20; attempt++) {
      const by = attempt === 0 ? impatient : backend;
      const answer = await by.authorise(payment(n, BigInt(n)));
      kinds.push(answer.kind);
      if (answer.kind === 'done' || answer.kind === 'declined') return answer;
    }
    throw new Error('never answered');
  };
  const answers = await Promise.all(Array.from({ length: 60 }, (_, n) => pay(n + 1)));
  await new Promise((resolve) => setTimeout(resolve, LATE_MS + 50));
  expect(new Set(kinds)).toContain('unknown');
  const paid = books.transfers(0, 200).filter(({ kind }) => kind === 'pay');
  const captured = answers.flatMap((answer, n) => (answer.kind === 'done' ? [key(n + 1)] : []));
  expect(paid.map((transfer) => transfer.key).sort()).toEqual(captured.sort());
  for (const transfer of paid) expect(transfer.amount.minor).toBe(BigInt(`0x${transfer.key}`));
  expect(captured.length).toBeGreaterThan(10);
  expect(captured.length).toBeLessThan(60);
  expect(books.check()).toEqual([]);
});

test('every action travels over the wire', async () => {
  const { backend } = await start();
  const amount = { currency: 'EUR', minor: 100n };
  const held = await backend.authorise({ ...payment(1), capture: 'later' });
  expect(held).toMatchObject({ kind: 'done', outcome: 'held', reference: 'ledger-1' });
  const capture = { key: key(2), original: key(1), amount };
  expect(await backend.capture(capture)).toMatchObject({ kind: 'done', outcome: 'captured' });
  const refund = { key: key(3), original: key(1), amount };
  expect(await backend.refund(refund)).toMatchObject({ kind: 'done', outcome: 'refunded' });
  expect(await backend.refund({ ...refund, key: key(4) })).toMatchObject({
    kind: 'declined',
    reason: 'refund_exceeds',
  });
  await backend.authorise({ ...payment(5), capture: 'later' });
  const voided = { key: key(6), original: key(5), amount };
  expect(await backend.void(voided)).toMatchObject({ kind: 'done', outcome: 'voided' });
  expect(await backend.authorise(payment(7, 1_001n))).toMatchObject({
    kind: 'declined',
    reason: 'backend_declined',
  });
  expect(await backend.query(key(8))).toMatchObject({ kind: 'unseen' });
  expect(await backend.authorise(payment(7, 1n))).toMatchObject({
    kind: 'unknown',
    why: 'conflict: the key was used with other parameters',
  });
  expect(await backend.fundingLinked('alice', wallet)).toBe(true);
  expect(await backend.fundingLinked('alice', 'cd'.repeat(32))).toBe(false);
  expect(await backend.fundingLinked('a ü', wallet)).toBe(false);
});

test('a login opens an account; the lists and the check show it', async () => {
  const { call } = await start();
  const bob = { funding: 'bob', wallet, currency: 'JPY', minor: '5000' };
  expect(await call('POST', '/v1/accounts', bob)).toEqual({
    status: 200,
    json: { funding: 'bob', outcome: 'opened' },
  });
  expect(await call('POST', '/v1/accounts', bob)).toMatchObject({ json: { outcome: 'linked' } });
  expect((await call('POST', '/v1/accounts', { ...bob, minor: '5001' })).status).toBe(409);
  expect((await call('POST', '/v1/accounts', { ...bob, currency: 'XXX' })).status).toBe(400);
  expect(await call('GET', `/v1/funding?funding=bob&wallet=${wallet}`)).toEqual({
    status: 200,
    json: { funding: 'bob', wallet, linked: true },
  });
  expect(await call('GET', '/v1/balances?after=funding%3Aalice')).toEqual({
    status: 200,
    json: {
      through: 2,
      accounts: [
        { account: 'funding:bob', kind: 'funding', currency: 'JPY', minor: '5000' },
        { account: 'outside:EUR', kind: 'outside', currency: 'EUR', minor: '-1000' },
        { account: 'outside:JPY', kind: 'outside', currency: 'JPY', minor: '-5000' },
      ],
    },
  });
  expect(await call('GET', '/v1/transfers?after=1')).toMatchObject({
    json: { transfers: [{ number: 2, credit: 'funding:bob', kind: 'top_up', minor: '5000' }] },
  });
  expect(await call('GET', '/v1/check')).toEqual({
    status: 200,
    json: { balanced: true, differences: [] },
  });
});

const good = {
  key: key(1),
  funding: 'alice',
  payee: 'cafe',
  currency: 'EUR',
  minor: '1',
  capture: 'now',
};
const refused: { why: string; path?: string; body: unknown; status: number }[] = [
  { why: 'an unknown field', body: { ...good, tip: '1' }, status: 400 },
  { why: 'an amount that is a number', body: { ...good, minor: 1 }, status: 400 },
  { why: 'an amount with a point', body: { ...good, minor: '1.0' }, status: 400 },
  { why: 'an amount below zero', body: { ...good, minor: '-1' }, status: 400 },
  { why: 'an amount with a leading zero', body: { ...good, minor: '01' }, status: 400 },
  { why: 'an amount above 2^53', body: { ...good, minor: '9007199254740992' }, status: 400 },
  { why: 'a short key', body: { ...good, key: 'ab' }, status: 400 },
  { why: 'no object', body: 7, status: 400 },
  { why: 'an unknown call', path: '/v2/authorise', body: good, status: 404 },
];

test.each(refused)('refused: $why', async ({ path = '/v1/authorise', body, status }) => {
  const { books, call } = await start();
  expect((await call('POST', path, body)).status).toBe(status);
  expect(books.query(key(1))).toEqual({ kind: 'unseen' });
});

test('a call with another secret is 401 with one line, and moves nothing', async () => {
  const { books, call } = await start();
  const other = new Uint8Array(32).fill(1);
  expect(await call('POST', '/v1/authorise', good, other)).toEqual({
    status: 401,
    json: { error: 'The signature of the call does not match.' },
  });
  expect(books.query(key(1))).toEqual({ kind: 'unseen' });
});

test('a disk failure is 503: unknown to the caller, never a decline', async () => {
  const failing = () => {
    throw new PaymentError('unavailable', 'The disk is full.');
  };
  const { books } = await start();
  const service = createLedgerService({ books: { ...books, run: failing }, secret, clock, timers });
  const backend = createLedgerBackend({
    http: async (call) => {
      const { pathname, search } = new URL(call.url);
      const reply = await service.answer({ ...call, path: pathname + search });
      if (reply === 'drop') throw new Error('dropped');
      return reply;
    },
    url: 'http://ledger',
    secret,
    clock,
    random,
  });
  expect(await backend.authorise(payment(1))).toMatchObject({
    kind: 'unknown',
    why: 'the ledger answered with status 503',
  });
});

test('the program tells a bridge what became of each key, and does not wait for it', async () => {
  const heard: HttpQuestion[] = [];
  let isAway = true;
  const bridge = await serveHttp({
    host: '127.0.0.1',
    port: 0,
    bytesMax: 1_000,
    async answer(question) {
      if (isAway) return 'drop';
      heard.push(question);
      return { status: 204, body: new Uint8Array() };
    },
  });
  closing.push(bridge.close);
  const options = {
    listen: { host: '127.0.0.1', port: 0 },
    database: ':memory:',
    secret: '09'.repeat(32),
    notify: { url: `http://127.0.0.1:${bridge.port}` },
  };
  const ledger = await startLedger(options, () => {});
  closing.push(ledger.stop);
  const client = createHttp();
  closing.push(client.close);
  const backend = createLedgerBackend({
    http: client.http,
    url: ledger.url,
    secret,
    clock,
    random,
  });
  expect(await backend.authorise(payment(1))).toMatchObject({ kind: 'declined' });
  isAway = false;
  await expect.poll(() => heard.length, { timeout: 5_000 }).toBe(1);
  expect(backend.parseNotification(heard[0]!)).toMatchObject({
    key: key(1),
    state: { kind: 'declined', reason: 'backend_declined' },
  });
});

test('the program says where it listens, and which options are wrong, all of them', async () => {
  const options = {
    listen: { host: '127.0.0.1', port: 0 },
    database: ':memory:',
    secret: '09'.repeat(32),
  };
  const lines: string[] = [];
  const ledger = await startLedger(options, (line) => lines.push(line));
  closing.push(ledger.stop);
  expect(lines).toEqual([`ledger listening on http://127.0.0.1:${ledger.port}`]);

  const wrong = { ...options, secret: '09', faults: { late: 0.6, noticeLate: 0.6 }, extra: 1 };
  const error = await startLedger(wrong, () => {}).catch((caught: unknown) => caught);
  expect(error).toMatchObject({ name: 'OperatorError', exit: EXITS.config });
  expect((error as Error).message).toContain('secret');
  expect((error as Error).message).toContain('add up to more than 1');
  const nowhere = { ...options, notify: { url: 'http://bridge/path' } };
  const unclear = await startLedger(nowhere, () => {}).catch((caught: unknown) => caught);
  expect((unclear as Error).message).toContain('notify.url');

  const second = { ...options, listen: { host: '127.0.0.1', port: ledger.port } };
  const taken = await startLedger(second, () => {}).catch((caught: unknown) => caught);
  expect(taken).toMatchObject({ name: 'OperatorError', exit: EXITS.address });
});

test('a login links a wallet with an account that is open, and with no other', async () => {
  const { backend, books } = await start();
  const login = backend.login!;
  expect(await login.currencyOf('alice')).toBe('EUR');
  expect(await login.currencyOf('nobody')).toBeUndefined();
  const other = 'cd'.repeat(32);
  await expect(login.link('nobody', other)).rejects.toMatchObject({ reason: 'funding_unknown' });
  expect(books.isLinked('alice', other)).toBe(false);
  await login.link('alice', other);
  await login.link('alice', other);
  expect(books.isLinked('alice', other)).toBe(true);
});
