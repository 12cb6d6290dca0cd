/**
 * What the bridge answers over HTTPS: a list of routes, the first that knows a question answers it.
 *
 * Every answer forbids browsers everything (no script, no frame, no referrer) until its route
 * allows what it needs, so that a route which forgets a header is safe and does not work, rather
 * than the other way round.
 */
import type { HttpQuestion, HttpReply } from '../src/platform.ts';
import { toBody } from './hmac.ts';

/** Answers a question that is its own; undefined for any other. Rejecting is a bug. */
export type Route = (question: HttpQuestion) => Promise<HttpReply | undefined>;

const SAFE_HEADERS: Readonly<Record<string, string>> = Object.freeze({
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
});

/** The answer of the first route that knows the question, or 404; always with safe headers. */
export async function answerBy(
  routes: readonly Route[],
  question: HttpQuestion,
): Promise<HttpReply> {
  for (const route of routes) {
    const reply = await route(question);
    if (reply === 'drop') return reply;
    if (reply) return { ...reply, headers: { ...SAFE_HEADERS, ...reply.headers } };
  }
  const body = toBody({ error: 'There is no such page.' });
  return { status: 404, body, headers: SAFE_HEADERS };
}
