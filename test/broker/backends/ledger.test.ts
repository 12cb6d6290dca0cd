/** The ledger as a backend: definite answers, and unknown for all else. */
import { expect, test } from 'vitest';
import { createLedgerBackend } from '../../../broker/backends/ledger.ts';
import { toBody } from '../../../broker/hmac.ts';
import { HttpFailure, type Http, type HttpCall } from '../../../src/platform.ts';

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
});

test('a decline is a decline, with its reason', async () => {
  const answer = { key, kind: 'declined', reason: 'backend_declined' };
  expect(await backendOver(says(200, answer)).authorise(payment)).toEqual({
    kind: 'declined',
    reason: 'backend_declined',
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
