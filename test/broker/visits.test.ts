/** The gate of the pages: files with their headers, and who may ask what. */
import { beforeEach, expect, test } from 'vitest';
import * as z from 'zod/mini';
import type { Accounts } from '../../broker/accounts.ts';
import type { Route } from '../../broker/routes.ts';
import type { Visitor } from '../../broker/store/port.ts';
import { createVisits, defineVerb } from '../../broker/visits.ts';
import { PaymentError } from '../../src/errors.ts';

const ORIGIN = 'https://pay.example:8443';
const wearer: Visitor = { role: 'wearer', by: 'Li', funding: 'acct-1', payer: '07'.repeat(16) };
const operator: Visitor = { role: 'operator', by: 'Li' };
const own = {
  'content-type': 'application/json',
  'x-saytap': 'page',
  origin: ORIGIN,
  'sec-fetch-site': 'same-origin',
};

let visitor: Visitor | undefined;
let told: unknown[];
let route: Route;

beforeEach(() => {
  visitor = undefined;
  told = [];
  const accounts: Accounts = {
    invite: async () => '',
    login: async (secret) => {
      if (secret !== 'right') throw new PaymentError('bad_signature', 'used already');
      return { visitor: operator, cookie: 'c=1' };
    },
    visitor: async () => visitor,
    logout: async () => 'c=; Max-Age=0',
  };
  route = createVisits({
    accounts,
    pages: async (name) =>
      name === 'pair.html'
        ? { body: new TextEncoder().encode('<p>'), type: 'text/html' }
        : undefined,
    verbs: {
      mine: defineVerb(['wearer'], z.strictObject({ n: z.int() }), async (who, { n }) => {
        told.push([who.funding, n]);
        return { n };
      }),
      both: defineVerb(['wearer', 'operator'], z.strictObject({}), async () => {
        throw new PaymentError('unavailable', 'not now');
      }),
    },
    origin: () => ORIGIN,
    log: () => {},
  });
});

async function ask(
  name: string,
  body: unknown = {},
  headers: Record<string, string> = own,
  method = 'POST',
) {
  const bytes = new TextEncoder().encode(JSON.stringify(body));
  const reply = await route({ method, path: `/v1/pages/${name}`, headers, body: bytes });
  if (reply === undefined || reply === 'drop') return undefined;
  const said = JSON.parse(new TextDecoder().decode(reply.body)) as Record<string, unknown>;
  return { status: reply.status, ...said, headers: reply.headers };
}

test('a page may load nothing but its own files, and stands in no frame', async () => {
  const question = { method: 'GET', headers: {}, body: new Uint8Array() };
  const reply = await route({ ...question, path: '/pair' });
  expect(reply).toMatchObject({ status: 200, type: 'text/html' });
  const headers = (reply as { headers: Record<string, string> }).headers;
  const policy = headers['content-security-policy']!;
  expect(policy).toMatch(/^default-src 'none'; script-src 'self'; style-src 'self'; /);
  expect(policy).toContain("frame-ancestors 'none'");
  expect(policy).toContain("require-trusted-types-for 'script'");
  expect(policy).not.toMatch(/unsafe|https?:|\*|data:/);
  expect(headers['x-frame-options']).toBe('DENY');
  expect(await route({ ...question, path: '/pages/other.js' })).toBeUndefined();
  expect(await route({ ...question, path: '/pair', method: 'POST' })).toMatchObject({
    status: 405,
  });
});

test('a login gives a cookie, and a used link none', async () => {
  expect(await ask('login', { secret: 'right' })).toMatchObject({
    status: 200,
    role: 'operator',
    headers: { 'set-cookie': 'c=1' },
  });
  const refused = await ask('login', { secret: 'wrong' });
  expect(refused).toMatchObject({ status: 401, reason: 'bad_signature', headers: {} });
  expect(refused!.headers).toEqual({});
  expect(await ask('logout')).toMatchObject({ headers: { 'set-cookie': 'c=; Max-Age=0' } });
});

test.each([
  ['another site', { origin: 'https://evil.example' }],
  ['the same host on another port', { origin: 'https://pay.example' }],
  ['no site, as a sandboxed frame', { origin: 'null' }],
  ['a site that the browser calls another', { 'sec-fetch-site': 'same-site' }],
  ['a form, which needs no preflight', { 'content-type': 'text/plain' }],
  ['a form', { 'content-type': 'application/x-www-form-urlencoded' }],
  ['a call without our header, which needs none either', { 'x-saytap': '' }],
])('what comes from %s is refused before anybody is looked for', async (_, header) => {
  visitor = wearer;
  expect(await ask('mine', { n: 1 }, { ...own, ...header })).toMatchObject({
    status: 403,
    reason: 'role_forbidden',
  });
  expect(await ask('login', { secret: 'right' }, { ...own, ...header })).toMatchObject({
    status: 403,
    headers: {},
  });
  expect(told).toEqual([]);
});

test('only a POST asks, so no link and no picture does', async () => {
  visitor = wearer;
  expect(await ask('mine', { n: 1 }, own, 'GET')).toMatchObject({ status: 403 });
  expect(told).toEqual([]);
});

test('who is logged in decides what may be asked', async () => {
  expect(await ask('mine', { n: 1 })).toMatchObject({ status: 401, reason: 'bad_signature' });
  expect(await ask('session')).toMatchObject({ status: 200, headers: {} });
  visitor = operator;
  expect(await ask('mine', { n: 1 })).toMatchObject({ status: 403, reason: 'role_forbidden' });
  visitor = wearer;
  expect(await ask('mine', { n: 1 })).toMatchObject({ status: 200, n: 1 });
  expect(told).toEqual([['acct-1', 1]]);
  expect(await ask('session')).toMatchObject({ status: 200, funding: 'acct-1' });
  expect(await ask('constructor')).toMatchObject({ status: 403 });
});

test('a form lets through exactly what it knows', async () => {
  visitor = wearer;
  const refused = { status: 400, reason: 'malformed' };
  expect(await ask('mine', { n: '1' })).toMatchObject(refused);
  expect(await ask('mine', { n: 1, payer: '08'.repeat(16) })).toMatchObject(refused);
  expect(await ask('mine', [])).toMatchObject(refused);
  expect(told).toEqual([]);
});

test('a refusal of a verb keeps its reason', async () => {
  visitor = wearer;
  expect(await ask('both')).toMatchObject({ status: 503, reason: 'unavailable', why: 'not now' });
});

test('other paths are not ours', async () => {
  const body = new Uint8Array();
  for (const path of ['/', '/v1/enrol', '/v1/pages/', '/v1/pages/a/b', '/pair/x']) {
    expect(await route({ method: 'POST', path, headers: own, body })).toBeUndefined();
  }
});
