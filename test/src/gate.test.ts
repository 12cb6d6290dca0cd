// Method: one question that our own page asks, and everything that could be wrong with it.
import { expect, test } from 'vitest';
import { createGate, GATE_HEADERS } from '../../src/gate.ts';
import type { HttpQuestion } from '../../src/platform.ts';

const gate = createGate({ header: 'x-ours', secret: 'correct', port: () => 8_090 });
const OWN = {
  host: '127.0.0.1:8090',
  origin: 'http://127.0.0.1:8090',
  'sec-fetch-site': 'same-origin',
  'x-ours': 'correct',
};

function ask(changed: Readonly<Record<string, string | undefined>>, method = 'POST'): HttpQuestion {
  const headers = Object.entries({ ...OWN, ...changed }).filter(([, value]) => value !== undefined);
  const body = new Uint8Array();
  return {
    method,
    path: '/',
    headers: Object.fromEntries(headers) as Record<string, string>,
    body,
  };
}

test('our own page passes, by either name and with any browser', () => {
  expect(gate.isOwn(ask({}))).toBe(true);
  expect(gate.isOwn(ask({ host: 'localhost:8090', origin: 'http://localhost:8090' }))).toBe(true);
  expect(gate.isOwn(ask({ 'sec-fetch-site': undefined }))).toBe(true);
  // A browser names no origin when a page only reads from its own.
  expect(gate.isOwn(ask({ origin: undefined }, 'GET'))).toBe(true);
});

test.each([
  ['a name that was made to point here', { host: 'evil.example:8090' }],
  ['the same with its origin', { host: 'evil.example', origin: 'http://evil.example' }],
  ['another port of this machine', { host: '127.0.0.1:8091' }],
  ['no name at all', { host: undefined }],
  ["somebody else's page", { origin: 'https://evil.example' }],
  ['a page of another port', { origin: 'http://127.0.0.1:8091' }],
  ['our other name', { origin: 'http://localhost:8090' }],
  ['a file opened in the browser', { origin: 'null' }],
  ['no origin', { origin: undefined }],
  ['a browser that says where it comes from', { 'sec-fetch-site': 'cross-site' }],
  ['another port, as the browser tells it', { 'sec-fetch-site': 'same-site' }],
  ['an address that was typed', { 'sec-fetch-site': 'none' }],
  ['no secret', { 'x-ours': undefined }],
  ['another secret', { 'x-ours': 'wrong' }],
  ['the beginning of the secret', { 'x-ours': 'correc' }],
  ['an empty secret', { 'x-ours': '' }],
])('refused: %s', (_why, changed) => {
  expect(gate.isOwn(ask(changed))).toBe(false);
});

test('reading needs the secret as well, and a file only our own name', () => {
  expect(gate.isOwn(ask({ 'x-ours': undefined }, 'GET'))).toBe(false);
  expect(gate.isHere(ask({ 'x-ours': undefined, origin: undefined }, 'GET'))).toBe(true);
  expect(gate.isHere(ask({ host: 'evil.example:8090' }, 'GET'))).toBe(false);
});

test('a page loads nothing from elsewhere and stands in no frame', () => {
  const policy = GATE_HEADERS['content-security-policy'];
  expect(policy).toMatch(/^default-src 'none'; /);
  expect(policy).toContain("frame-ancestors 'none'");
  expect(policy).not.toMatch(/\*|https?:|unsafe/);
});
