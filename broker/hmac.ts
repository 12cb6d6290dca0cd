/**
 * Signed calls between the bridge and its services, and the JSON that they carry.
 *
 * HMAC-SHA256 over method, path with query, time, nonce and the body's digest: a shared secret and
 * no session, so that any bridge may call any copy of a service. The nonces live in memory only. A
 * call that is replayed after a service restarted repeats an idempotent question and moves nothing,
 * so a durable list of nonces would buy no safety. Answers are not signed: over a network that is
 * not trusted the services are reached by https.
 */
import assert from 'node:assert/strict';
import { type KeyObject, createHmac, createSecretKey, hash, timingSafeEqual } from 'node:crypto';
import { fromHex, toBase64url, toHex } from '../src/bytes.ts';
import { PaymentError } from '../src/errors.ts';
import {
  HTTP_BYTES_MAX,
  HTTP_NONCES_MAX,
  HTTP_SECRET_BYTES_MIN,
  HTTP_SKEW_MS,
} from '../src/limits.ts';
import type { Clock, HttpCall, HttpQuestion, Random } from '../src/platform.ts';

/** What signs: a secret of at least 32 bytes, wall time and nonces. */
export type Caller = Readonly<{ secret: Uint8Array; clock: Clock; random: Random }>;

/** A call to be signed; `body` is JSON, and absent with GET. */
export type Question = Readonly<{
  method: 'GET' | 'POST';
  url: string;
  body?: unknown;
  timeoutMs: number;
}>;

/** The signed call of `question`, with a fresh nonce each time. */
export function signCall(caller: Caller, question: Question): HttpCall {
  assert(caller.secret.length >= HTTP_SECRET_BYTES_MIN);
  const { pathname, search } = new URL(question.url);
  const body = question.body === undefined ? new Uint8Array() : toBody(question.body);
  const time = String(caller.clock.nowMs());
  const nonce = toBase64url(caller.random(NONCE_BYTES));
  const mac = macOf(caller.secret, question.method, pathname + search, time, nonce, body);
  return Object.freeze({
    method: question.method,
    url: question.url,
    headers: Object.freeze({
      'content-type': 'application/json',
      'saytap-time': time,
      'saytap-nonce': nonce,
      'saytap-mac': toHex(mac),
    }),
    body,
    timeoutMs: question.timeoutMs,
    answerBytesMax: HTTP_BYTES_MAX,
  });
}

/**
 * Returns a check of incoming calls that returns nothing and throws PaymentError: `bad_signature`
 * for a missing or wrong MAC, `expired` when the clocks are more than HTTP_SKEW_MS apart,
 * `stale_nonce` for a call seen before, `rate_limited` when it cannot remember more nonces.
 */
export function createVerifier(
  options: Readonly<{ secret: Uint8Array; clock: Clock; noncesMax?: number }>,
): (question: HttpQuestion) => void {
  const { secret, clock, noncesMax = HTTP_NONCES_MAX } = options;
  assert(secret.length >= HTTP_SECRET_BYTES_MIN);
  /** Nonce → the wall time from which its call is too old anyway; in order of arrival. */
  const seen = new Map<string, number>();

  return (question) => {
    const time = question.headers['saytap-time'] ?? '';
    const nonce = question.headers['saytap-nonce'] ?? '';
    const mac = question.headers['saytap-mac'] ?? '';
    if (!TIME.test(time) || !NONCE.test(nonce) || !MAC.test(mac)) {
      throw new PaymentError('bad_signature', 'The call is not signed.');
    }
    const expected = macOf(secret, question.method, question.path, time, nonce, question.body);
    if (!timingSafeEqual(fromHex(mac), expected)) {
      throw new PaymentError('bad_signature', 'The signature of the call does not match.');
    }
    const nowMs = clock.nowMs();
    if (Math.abs(nowMs - Number(time)) > HTTP_SKEW_MS) {
      throw new PaymentError('expired', 'The call is too old, or the clocks differ too much.');
    }
    if (seen.has(nonce)) throw new PaymentError('stale_nonce', 'The call was made before.');
    for (const [old, until] of seen) {
      if (until >= nowMs) break;
      seen.delete(old);
    }
    if (seen.size >= noncesMax) {
      throw new PaymentError('rate_limited', 'More calls than can be told from replays.');
    }
    seen.set(nonce, Number(time) + HTTP_SKEW_MS);
  };
}

/** JSON as bytes. */
export function toBody(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

/** The value of JSON bytes, unchecked; undefined when they are not UTF-8 or not JSON. */
export function fromBody(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    return undefined;
  }
}

const NONCE_BYTES = 12;
const TIME = /^[1-9][0-9]{0,15}$/;
const NONCE = /^[A-Za-z0-9_-]{16}$/;
const MAC = /^[0-9a-f]{64}$/;

function macOf(
  secret: Uint8Array,
  method: string,
  path: string,
  time: string,
  nonce: string,
  body: Uint8Array,
): Uint8Array {
  const digest = hash('sha256', body);
  // None of the parts can hold a line break, so the lines cannot be shifted.
  const lines = ['saytap-call/1', method, path, time, nonce, digest].join('\n');
  return createHmac('sha256', keyOf(secret)).update(lines).digest();
}

/** node:crypto takes five times as long with a secret that it is given as bytes. */
function keyOf(secret: Uint8Array): KeyObject {
  const known = keys.get(secret);
  if (known) return known;
  const key = createSecretKey(secret);
  keys.set(secret, key);
  return key;
}

const keys = new WeakMap<Uint8Array, KeyObject>();
