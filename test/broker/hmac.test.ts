/** Signed calls between the bridge and its services. */
import { createHash, createHmac } from 'node:crypto';
import { expect, test } from 'vitest';
import { createVerifier, fromBody, signCall, toBody } from '../../broker/hmac.ts';
import { HTTP_SKEW_MS } from '../../src/limits.ts';
import type { HttpCall, HttpQuestion } from '../../src/platform.ts';

const secret = new Uint8Array(32).fill(7);
const START_MS = 1_800_000_000_000;

function world(nowMs = START_MS) {
  let now = nowMs;
  let count = 0;
  const clock = { nowMs: () => now, monotonicMs: () => now };
  const random = (length: number) => {
    const bytes = new Uint8Array(length);
    new DataView(bytes.buffer).setUint32(0, ++count);
    return bytes;
  };
  return { caller: { secret, clock, random }, clock, pass: (ms: number) => (now += ms) };
}

function received(call: HttpCall): HttpQuestion {
  const { pathname, search } = new URL(call.url);
  const { method, headers, body } = call;
  return { method, path: pathname + search, headers, body };
}

const question = {
  method: 'POST',
  url: 'http://ledger:1/v1/authorise?x=1',
  body: { minor: '12' },
  timeoutMs: 1,
} as const;

const thrown = (run: () => void) => {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
};

test('a call is signed over exactly these lines', () => {
  const { caller } = world();
  const call = signCall(caller, question);
  const digest = createHash('sha256').update('{"minor":"12"}').digest('hex');
  const nonce = 'AAAAAQAAAAAAAAAA';
  const lines = `saytap-call/1\nPOST\n/v1/authorise?x=1\n1800000000000\n${nonce}\n${digest}`;
  expect(call.headers['saytap-time']).toBe('1800000000000');
  expect(call.headers['saytap-nonce']).toBe(nonce);
  expect(call.headers['saytap-mac']).toBe(createHmac('sha256', secret).update(lines).digest('hex'));
});

test('a signed call passes once; GET without a body too', () => {
  const { caller, clock } = world();
  const verify = createVerifier({ secret, clock });
  expect(verify(received(signCall(caller, question)))).toBeUndefined();
  const get = { method: 'GET', url: 'http://ledger:1/v1/check', timeoutMs: 1 } as const;
  expect(verify(received(signCall(caller, get)))).toBeUndefined();
});

const tampered: { why: string; change: (call: HttpQuestion) => HttpQuestion }[] = [
  { why: 'method', change: (call) => ({ ...call, method: 'GET' }) },
  { why: 'path', change: (call) => ({ ...call, path: '/v1/refund?x=1' }) },
  { why: 'query', change: (call) => ({ ...call, path: '/v1/authorise?x=2' }) },
  { why: 'body', change: (call) => ({ ...call, body: toBody({ minor: '13' }) }) },
  { why: 'no body', change: (call) => ({ ...call, body: new Uint8Array() }) },
  { why: 'time', change: header('saytap-time', '1800000000001') },
  { why: 'nonce', change: header('saytap-nonce', 'BAAAAQAAAAAAAAAA') },
  { why: 'MAC', change: header('saytap-mac', '0'.repeat(64)) },
  { why: 'short MAC', change: header('saytap-mac', '00') },
  { why: 'MAC with noise', change: header('saytap-mac', `${'0'.repeat(63)}g`) },
  { why: 'no MAC', change: header('saytap-mac', undefined) },
  { why: 'no time', change: header('saytap-time', undefined) },
  { why: 'time that is no number', change: header('saytap-time', '1e15') },
  { why: 'no nonce', change: header('saytap-nonce', undefined) },
];

function header(name: string, value: string | undefined) {
  return (call: HttpQuestion): HttpQuestion => ({
    ...call,
    headers: { ...call.headers, [name]: value },
  });
}

test.each(tampered)('refused as bad_signature: $why', ({ change }) => {
  const { caller, clock } = world();
  const verify = createVerifier({ secret, clock });
  const good = received(signCall(caller, question));
  expect(thrown(() => verify(change(good)))).toMatchObject({ reason: 'bad_signature' });
  expect(thrown(() => verify(good))).toBeUndefined();
});

test('another secret is refused', () => {
  const { caller, clock } = world();
  const verify = createVerifier({ secret: new Uint8Array(32).fill(8), clock });
  const call = received(signCall(caller, question));
  expect(thrown(() => verify(call))).toMatchObject({ reason: 'bad_signature' });
});

test('a replay is refused for as long as its time is accepted, and afterwards as too old', () => {
  const { caller, clock, pass } = world();
  const verify = createVerifier({ secret, clock });
  const call = received(signCall(caller, question));
  verify(call);
  expect(thrown(() => verify(call))).toMatchObject({ reason: 'stale_nonce' });
  pass(HTTP_SKEW_MS);
  verify(received(signCall(caller, question))); // Prunes.
  expect(thrown(() => verify(call))).toMatchObject({ reason: 'stale_nonce' });
  pass(1);
  verify(received(signCall(caller, question)));
  expect(thrown(() => verify(call))).toMatchObject({ reason: 'expired' });
});

test.each([
  { skewMs: HTTP_SKEW_MS, reason: undefined },
  { skewMs: HTTP_SKEW_MS + 1, reason: 'expired' },
  { skewMs: -HTTP_SKEW_MS, reason: undefined },
  { skewMs: -HTTP_SKEW_MS - 1, reason: 'expired' },
])('clocks $skewMs ms apart: $reason', ({ skewMs, reason }) => {
  const { caller } = world();
  const verify = createVerifier({ secret, clock: world(START_MS + skewMs).clock });
  const error = thrown(() => verify(received(signCall(caller, question))));
  expect((error as { reason?: string } | undefined)?.reason).toBe(reason);
});

test('when no more nonces can be remembered calls are refused, not let through', () => {
  const { caller, clock, pass } = world();
  const verify = createVerifier({ secret, clock, noncesMax: 3 });
  for (let n = 0; n < 3; n++) verify(received(signCall(caller, question)));
  const one = received(signCall(caller, question));
  expect(thrown(() => verify(one))).toMatchObject({ reason: 'rate_limited' });
  pass(HTTP_SKEW_MS + 1);
  expect(thrown(() => verify(received(signCall(caller, question))))).toBeUndefined();
});

test('a body that is not UTF-8 or not JSON is undefined', () => {
  expect(fromBody(toBody({ a: [1, 'ü'] }))).toEqual({ a: [1, 'ü'] });
  expect(fromBody(Uint8Array.of(0x22, 0xff, 0x22))).toBeUndefined();
  expect(fromBody(new TextEncoder().encode('{"a":'))).toBeUndefined();
});
