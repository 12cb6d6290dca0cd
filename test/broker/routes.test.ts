/** The list of routes that the bridge answers over HTTPS. */
import { expect, test } from 'vitest';
import { answerBy } from '../../broker/routes.ts';
import type { HttpQuestion } from '../../src/platform.ts';

const question = (path: string): HttpQuestion => ({
  ...{ method: 'GET', path, headers: {}, body: new Uint8Array() },
});
const body = new Uint8Array([1]);
const own = (path: string, headers?: Record<string, string>) => (asked: HttpQuestion) =>
  Promise.resolve(
    asked.path === path ? { status: 200, body, ...(headers && { headers }) } : undefined,
  );

test('the first route that knows a question answers it', async () => {
  const routes = [own('/a'), own('/b', { 'x-second': '1' }), own('/b', { 'x-third': '1' })];
  expect(await answerBy(routes, question('/b'))).toMatchObject({ headers: { 'x-second': '1' } });
});

test('what no route knows is 404', async () => {
  expect(await answerBy([own('/a')], question('/b'))).toMatchObject({ status: 404 });
});

test('a browser may do nothing with an answer whose route does not allow it', async () => {
  const csp = 'content-security-policy';
  const plain = await answerBy([own('/a')], question('/a'));
  expect(plain).toMatchObject({ headers: { [csp]: expect.stringMatching(/^default-src 'none'/) } });
  const page = await answerBy([own('/a', { [csp]: "script-src 'self'" })], question('/a'));
  expect(page).toMatchObject({
    headers: { [csp]: "script-src 'self'", 'referrer-policy': 'no-referrer' },
  });
});
