/** Method: questions as a server hands them on, each wrong in one thing. */
import { expect, test, vi } from 'vitest';
import * as z from 'zod/mini';
import { HTTP_BYTES_MAX, SIM_PAGES_MAX } from '../../src/limits.ts';
import type { HttpQuestion, HttpReply } from '../../src/platform.ts';
import { createGate, defineVerb } from '../../simulator/gate.ts';
import { SECRET_HEADER } from '../../simulator/page/wire.ts';

const OWN = 'http://127.0.0.1:7170';
const run = vi.fn(async (asked: { n: number }) => ({ n: asked.n + 1 }));
const gone = vi.fn();
const gate = createGate({
  secret: 'right',
  port: () => 7170,
  pages: async (name) => {
    const known = ['page.html', 'simulator.js'].includes(name);
    return known ? { body: new Uint8Array(), type: 'text/html' } : undefined;
  },
  verbs: {
    add: defineVerb(z.strictObject({ n: z.number() }), run),
    picture: defineVerb(z.object({ png: z.string() }), async () => undefined, HTTP_BYTES_MAX * 2),
  },
  begin: () => gone,
});

const HEADERS = {
  ...{ host: '127.0.0.1:7170', origin: OWN, 'content-type': 'application/json' },
  ...{ [SECRET_HEADER]: 'right', 'sec-fetch-site': 'same-origin' },
};
type Change = Partial<Omit<HttpQuestion, 'headers' | 'body'>> &
  Readonly<{ headers?: Readonly<Record<string, string | undefined>>; body?: unknown }>;

function question({ headers, body = { n: 1 }, ...rest }: Change = {}): HttpQuestion {
  return {
    ...{ method: 'POST', path: '/v1/ask/add', ...rest },
    headers: { ...HEADERS, ...headers },
    body: new TextEncoder().encode(typeof body === 'string' ? body : JSON.stringify(body)),
  };
}
const answerTo = async (change: Change) => {
  const reply = (await gate.answer(question(change))) as Exclude<HttpReply, 'drop'>;
  const text = new TextDecoder().decode(reply.body);
  const value = (text === '' ? {} : JSON.parse(text)) as { reason?: string; n?: number };
  return { status: reply.status, value, headers: reply.headers };
};

test('its own page asks, by either name of this machine', async () => {
  expect(await answerTo({})).toMatchObject({ status: 200, value: { n: 2 } });
  const headers = { host: 'localhost:7170', origin: 'http://localhost:7170' };
  expect(await answerTo({ headers })).toMatchObject({ status: 200 });
});

test.each<[string, number, string, Change]>([
  ['a rebound name', 403, 'role_forbidden', { headers: { host: 'evil.example:7170' } }],
  ['a rebound name with its origin', 403, 'role_forbidden', rebound('evil.example:7170')],
  ['another port of ours', 403, 'role_forbidden', { headers: { host: '127.0.0.1:80' } }],
  ['another loopback address', 403, 'role_forbidden', rebound('127.0.0.2:7170')],
  ['no Host', 403, 'role_forbidden', { headers: { host: undefined } }],
  ['a foreign origin', 403, 'role_forbidden', { headers: { origin: 'https://evil.example' } }],
  ['an opaque origin', 403, 'role_forbidden', { headers: { origin: 'null' } }],
  ['localhost for 127.0.0.1', 403, 'role_forbidden', { headers: { origin: rename(OWN) } }],
  ['a post without origin', 403, 'role_forbidden', { headers: { origin: undefined } }],
  ['another site', 403, 'role_forbidden', { headers: { 'sec-fetch-site': 'cross-site' } }],
  [
    'another port of this site',
    403,
    'role_forbidden',
    { headers: { 'sec-fetch-site': 'same-site' } },
  ],
  ['no secret', 401, 'bad_signature', { headers: { [SECRET_HEADER]: undefined } }],
  ['a wrong secret', 401, 'bad_signature', { headers: { [SECRET_HEADER]: 'righ' } }],
  ['a form', 400, 'malformed', { headers: { 'content-type': 'text/plain' } }],
  ['a GET', 400, 'malformed', { method: 'GET' }],
  ['an unknown verb', 404, 'action_unsupported', { path: '/v1/ask/none' }],
  ['a verb of every object', 404, 'action_unsupported', { path: '/v1/ask/valueof' }],
  ['a field too many', 400, 'malformed', { body: { n: 1, m: 2 } }],
  ['no JSON', 400, 'malformed', { body: '{' }],
  ['too much', 413, 'too_large', { body: { n: 1, m: 'x'.repeat(HTTP_BYTES_MAX) } }],
])('%s is refused with %d, and nothing is done', async (_what, status, reason, change) => {
  run.mockClear();
  expect(await answerTo(change)).toMatchObject({ status, value: { reason } });
  expect(run).not.toHaveBeenCalled();
});

function rebound(host: string): Change {
  return { headers: { host, origin: `http://${host}` } };
}
function rename(origin: string): string {
  return origin.replace('127.0.0.1', 'localhost');
}

test('a picture may be larger than other questions', async () => {
  const body = { png: 'x'.repeat(HTTP_BYTES_MAX) };
  expect(await answerTo({ path: '/v1/ask/picture', body })).toMatchObject({ status: 200 });
});

test('the files are there without a secret, load nothing from elsewhere, in no frame', async () => {
  const headers = { [SECRET_HEADER]: undefined, origin: undefined };
  const page = await answerTo({ method: 'GET', path: '/', headers, body: '' });
  expect(page.status).toBe(200);
  const policy = page.headers!['content-security-policy'] as string;
  expect(policy.split('; ')).toEqual(
    expect.arrayContaining([
      ...["default-src 'none'", "script-src 'self'", "connect-src 'self'", "base-uri 'none'"],
      ...["frame-ancestors 'none'", "form-action 'none'", "style-src 'self'"],
    ]),
  );
  expect(policy).not.toMatch(/unsafe|https?:|\*/);
  expect(page.headers).toMatchObject({
    ...{ 'x-frame-options': 'DENY', 'referrer-policy': 'no-referrer' },
    'cross-origin-opener-policy': 'same-origin',
  });
});

test.each<[string, number, Change]>([
  ['to a rebound name', 403, { path: '/', ...rebound('evil.example:7170') }],
  ['outside its folder', 404, { path: '/../package.json' }],
  ['with a hidden name', 404, { path: '/.env' }],
  ['that is not there', 404, { path: '/none.js' }],
])('no file %s', async (_what, status, change) => {
  expect((await answerTo({ method: 'GET', body: '', ...change })).status).toBe(status);
});

test('events need the same, and go to so many pages and no more', async () => {
  const asked = (headers: Change['headers'] = {}) =>
    question({ method: 'GET', path: '/v1/events', headers: { origin: undefined, ...headers } });
  expect(gate.feed(asked({ [SECRET_HEADER]: 'wrong' }))).toBeUndefined();
  expect(gate.feed(asked({ host: 'evil.example:7170' }))).toBeUndefined();
  expect(gate.feed(asked({ origin: 'https://evil.example' }))).toBeUndefined();
  const refused = { method: 'GET', path: '/v1/events', headers: { [SECRET_HEADER]: 'wrong' } };
  expect(await answerTo(refused)).toMatchObject({ status: 401 });
  const listener = { send: () => {}, end: () => {} };
  const ends = Array.from({ length: SIM_PAGES_MAX }, () => gate.feed(asked())!.begin(listener));
  expect(gate.feed(asked())).toBeUndefined();
  const full = await answerTo({ method: 'GET', path: '/v1/events' });
  expect(full).toMatchObject({ status: 429, value: { reason: 'rate_limited' } });
  ends[0]!();
  expect(gone).toHaveBeenCalledTimes(1);
  expect(gate.feed(asked())).toBeDefined();
});
