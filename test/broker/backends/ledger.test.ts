/**
 * The ledger as a backend: what every backend must do, on the real service over real HTTP; and over
 * answers that no ledger gives, definite answers and unknown for all else.
 */
import { expect, test } from 'vitest';
import { createLedgerBackend } from '../../../broker/backends/ledger.ts';
import { signCall, toBody } from '../../../broker/hmac.ts';
import { openBooks } from '../../../broker/ledger/books.ts';
import { createNotices } from '../../../broker/ledger/notices.ts';
import { createLedgerService, FAULTS } from '../../../broker/ledger/service.ts';
import { HTTP_BYTES_MAX, HTTP_SKEW_MS } from '../../../src/limits.ts';
import { createHttp, serveHttp } from '../../../src/node/http.ts';
import * as real from '../../../src/node/platform.ts';
import { openDatabase } from '../../../src/node/sqlite.ts';
import { HttpFailure, type Http, type HttpCall, type HttpQuestion } from '../../../src/platform.ts';
import { describeBackend, LATE_MS, type Rig, type RigFault } from './conformance.ts';

/** Shorter than late is, and long enough for a busy machine. */
const TIMEOUT_MS = 1_000;

describeBackend('the ledger', async (): Promise<Rig> => {
  const { clock, timers, random } = real;
  const secret = random(32);
  const wallet = 'ab'.repeat(32);
  const database = openDatabase(':memory:');
  const books = openBooks({ database, clock });
  books.openFunding({ funding: 'alice', wallet, balance: { currency: 'EUR', minor: 100_00n } });

  const heard: HttpQuestion[] = [];
  const bridge = await serveHttp({
    host: '127.0.0.1',
    port: 0,
    bytesMax: HTTP_BYTES_MAX,
    async answer(question) {
      heard.push(question);
      return { status: 204, body: new Uint8Array() };
    },
  });
  const client = createHttp();
  const url = `http://127.0.0.1:${bridge.port}`;
  const ports = { http: client.http, timers, random, clock };
  const notices = createNotices({ ...ports, secret, url, name: 'ledger' });

  const planned: RigFault[] = [];
  const each = 1 / 16;
  const shares = Object.fromEntries(FAULTS.map((fault) => [fault, each]));
  const drawn = () => {
    const fault = planned.shift() ?? 'none';
    const bytes = new Uint8Array(4);
    const at = fault === 'none' ? 0.99 : (FAULTS.indexOf(fault) + 0.5) * each;
    new DataView(bytes.buffer).setUint32(0, Math.floor(at * 2 ** 32));
    return bytes;
  };
  const faults = { ...shares, lateMs: LATE_MS, random: drawn };
  const service = createLedgerService({ books, secret, clock, timers, notices, faults });
  const server = await serveHttp({
    host: '127.0.0.1',
    port: 0,
    bytesMax: HTTP_BYTES_MAX,
    answer: service.answer,
  });
  const backend = createLedgerBackend({
    http: client.http,
    url: `http://127.0.0.1:${server.port}`,
    secret,
    clock,
    random,
    timeoutMs: TIMEOUT_MS,
  });
  return {
    backend,
    funding: 'alice',
    wallet,
    plan: (...next) => void planned.push(...next),
    pass: (ms) => new Promise((resolve) => void timers.after(ms, resolve)),
    moved: () =>
      books.transfers(0, 1_000).flatMap(({ number, key, payment, kind, amount, atMs }) => {
        return kind === 'top_up' ? [] : [{ number, key, original: payment, kind, amount, atMs }];
      }),
    heard: () => heard,
    async close() {
      service.close();
      notices.close();
      await server.close();
      await bridge.close();
      client.close();
      database.close();
    },
  };
});

const key = 'a'.repeat(32);
const clock = { nowMs: () => 1_800_000_000_000, monotonicMs: () => 0 };
const payment = {
  key,
  funding: 'alice',
  payee: 'cafe',
  amount: { currency: 'EUR', minor: 1_234n },
  capture: 'now',
} as const;

function backendOver(http: Http) {
  return createLedgerBackend({
    http,
    url: 'http://ledger:1',
    secret: new Uint8Array(32),
    clock,
    random: (count) => new Uint8Array(count),
  });
}

const says = (status: number, json: unknown): Http => {
  return async () => ({ status, body: toBody(json) });
};
const done = { key, kind: 'done', outcome: 'captured', reference: 'ledger-1' };

test('the call carries the amount as text and nothing that was not asked for', async () => {
  const calls: HttpCall[] = [];
  const backend = backendOver(async (call) => {
    calls.push(call);
    return { status: 200, body: toBody(done) };
  });
  const wider = { ...payment, note: 'from a wider object' };
  expect(await backend.authorise(wider)).toEqual({
    kind: 'done',
    outcome: 'captured',
    reference: 'ledger-1',
    received: toBody(done),
  });
  expect(calls[0]).toMatchObject({ method: 'POST', url: 'http://ledger:1/v1/authorise' });
  expect(JSON.parse(new TextDecoder().decode(calls[0]?.body))).toEqual({
    key,
    funding: 'alice',
    payee: 'cafe',
    currency: 'EUR',
    minor: '1234',
    capture: 'now',
  });
});

const open: { why: string; http: Http; kind: 'unknown' | 'unsent' }[] = [
  {
    why: 'refused connection',
    http: () => Promise.reject(new HttpFailure('refused', false)),
    kind: 'unsent',
  },
  {
    why: 'timeout',
    http: () => Promise.reject(new HttpFailure('no answer', true)),
    kind: 'unknown',
  },
  { why: 'any other failure', http: () => Promise.reject(new Error('?')), kind: 'unknown' },
  { why: 'status 500', http: says(500, { error: 'x' }), kind: 'unknown' },
  { why: 'status 503', http: says(503, { error: 'x' }), kind: 'unknown' },
  { why: 'status 401', http: says(401, { error: 'x' }), kind: 'unknown' },
  { why: 'a conflict', http: says(409, { error: 'x' }), kind: 'unknown' },
  { why: 'in process, whatever else it says', http: says(202, done), kind: 'unknown' },
  { why: 'a decline with status 402', http: says(402, done), kind: 'unknown' },
  {
    why: 'not JSON',
    http: async () => ({ status: 200, body: new TextEncoder().encode('<html>') }),
    kind: 'unknown',
  },
  { why: 'no body', http: async () => ({ status: 200, body: new Uint8Array() }), kind: 'unknown' },
  { why: 'an extra field', http: says(200, { ...done, more: 1 }), kind: 'unknown' },
  {
    why: 'no reference',
    http: says(200, { key, kind: 'done', outcome: 'captured' }),
    kind: 'unknown',
  },
  { why: 'another key', http: says(200, { ...done, key: 'b'.repeat(32) }), kind: 'unknown' },
  {
    why: 'held instead of captured',
    http: says(200, { ...done, outcome: 'held' }),
    kind: 'unknown',
  },
  { why: 'a refund instead', http: says(200, { ...done, outcome: 'refunded' }), kind: 'unknown' },
  { why: 'a new reason', http: says(200, { key, kind: 'declined', reason: 'x' }), kind: 'unknown' },
  { why: 'unseen after a call', http: says(200, { key, kind: 'unseen' }), kind: 'unknown' },
];

test.each(open)('$why is $kind, never a decline', async ({ http, kind }) => {
  const answer = await backendOver(http).authorise(payment);
  expect(answer.kind).toBe(kind);
  expect(answer).toHaveProperty('why');
  const heard = await http({} as HttpCall).catch(() => undefined);
  expect('received' in answer ? answer.received : undefined).toEqual(heard?.body);
});

test('a decline is a decline, with its reason', async () => {
  const answer = { key, kind: 'declined', reason: 'backend_declined' };
  expect(await backendOver(says(200, answer)).authorise(payment)).toEqual({
    kind: 'declined',
    reason: 'backend_declined',
    received: toBody(answer),
  });
});

const wallet = 'c'.repeat(64);
const unavailable = { reason: 'unavailable' };
const linked = (json: unknown, status = 200) =>
  backendOver(says(status, json)).fundingLinked('alice', wallet);

test('whose funding it is: yes, no, or a rejection', async () => {
  const yes = { funding: 'alice', wallet, linked: true };
  expect(await linked(yes)).toBe(true);
  expect(await linked({ ...yes, linked: false })).toBe(false);
  await expect(linked({ ...yes, linked: 'yes' })).rejects.toMatchObject(unavailable);
  await expect(linked({ ...yes, more: 1 })).rejects.toMatchObject(unavailable);
  await expect(linked(yes, 500)).rejects.toMatchObject(unavailable);
});

test.each([
  ['another funding', { funding: 'bob', wallet, linked: true }],
  ['another wallet', { funding: 'alice', wallet: 'd'.repeat(64), linked: true }],
  ['no wallet', { funding: 'alice', linked: true }],
])('an answer about %s is no answer: a confused server links nobody', async (_about, json) => {
  await expect(linked(json)).rejects.toMatchObject(unavailable);
});

test('what it says of itself fits the ledger', () => {
  expect(backendOver(says(500, {})).capabilities).toMatchObject({
    resolvesBy: 'replay',
    cancel: { unseen: 'bars', captured: 'refuses' },
    notifies: true,
  });
});

const caller = {
  secret: new Uint8Array(32),
  clock,
  random: (count: number) => new Uint8Array(count),
};

/** A call of the ledger to the bridge, as it arrives there. */
function noticeOf(
  body: unknown,
  { path = '/v1/notifications/ledger', nowMs = clock.nowMs() } = {},
): HttpQuestion {
  const at = { ...caller, clock: { ...clock, nowMs: () => nowMs } };
  const url = `http://bridge${path}`;
  const call = signCall(at, { method: 'POST', url, body, timeoutMs: 1 });
  return { method: 'POST', path, headers: call.headers, body: call.body };
}

test('a notice is read once, with its bytes', () => {
  const backend = backendOver(says(500, {}));
  const question = noticeOf(done);
  expect(backend.parseNotification(question)).toEqual({
    key,
    state: { kind: 'done', outcome: 'captured', reference: 'ledger-1', received: question.body },
  });
  expect(() => backend.parseNotification(question)).toThrow(
    expect.objectContaining({ reason: 'stale_nonce' }),
  );
});

test.each([
  { why: 'unseen is no outcome', question: noticeOf({ key, kind: 'unseen' }), reason: 'malformed' },
  { why: 'not JSON', question: noticeOf(undefined), reason: 'malformed' },
  { why: 'an extra field', question: noticeOf({ ...done, more: 1 }), reason: 'malformed' },
  { why: 'no key', question: noticeOf({ ...done, key: 'k' }), reason: 'malformed' },
  {
    why: 'a genuine call of another kind, played back at the bridge',
    question: noticeOf(done, { path: '/v1/authorise' }),
    reason: 'malformed',
  },
  {
    why: 'one to a ledger of another name',
    question: noticeOf(done, { path: '/v1/notifications/other' }),
    reason: 'malformed',
  },
  {
    why: 'too old',
    question: noticeOf(done, { nowMs: clock.nowMs() - HTTP_SKEW_MS - 1 }),
    reason: 'expired',
  },
  {
    why: 'signed by somebody else',
    question: {
      ...noticeOf(done),
      headers: { ...noticeOf(done).headers, 'saytap-mac': 'ab'.repeat(32) },
    },
    reason: 'bad_signature',
  },
])('no notice: $why', ({ question, reason }) => {
  expect(() => backendOver(says(500, {})).parseNotification(question)).toThrow(
    expect.objectContaining({ name: 'PaymentError', reason }),
  );
});

const row = (number: number, kind: string) => ({
  number,
  debit: 'funding:alice',
  credit: 'payee:EUR:cafe',
  kind,
  key,
  payment: key,
  atMs: 1,
  currency: 'EUR',
  minor: '5',
});

test('movements are paged over deposits until some are found, or the list ends', async () => {
  const pages: Readonly<Record<string, readonly unknown[]>> = {
    0: [row(1, 'top_up'), row(2, 'top_up')],
    2: [row(3, 'top_up')],
    3: [row(5, 'top_up'), row(6, 'pay'), row(7, 'top_up')],
    6: [row(7, 'top_up')],
    7: [],
  };
  const asked: string[] = [];
  const { movements } = backendOver(async ({ url }) => {
    const after = new URL(url).searchParams.get('after') ?? '';
    asked.push(after);
    return { status: 200, body: toBody({ transfers: pages[after] }) };
  });
  const amount = { currency: 'EUR', minor: 5n };
  expect(await movements!(0)).toEqual([
    { number: 6, key, original: key, kind: 'pay', amount, atMs: 1 },
  ]);
  expect(await movements!(6)).toEqual([]);
  expect(asked).toEqual(['0', '2', '3', '6', '7']);
});

test.each([
  { why: 'status 500', http: says(500, { transfers: [] }) },
  { why: 'no list', http: says(200, {}) },
  { why: 'out of order', http: says(200, { transfers: [row(2, 'pay'), row(1, 'pay')] }) },
  { why: 'the same page again', http: says(200, { transfers: [row(0, 'pay')] }) },
  { why: 'an unknown kind', http: says(200, { transfers: [row(1, 'gift')] }) },
  { why: 'no connection', http: () => Promise.reject(new HttpFailure('refused', false)) },
])('movements that cannot be read are refused as a whole: $why', async ({ http }) => {
  await expect(backendOver(http).movements!(0)).rejects.toMatchObject(unavailable);
});
