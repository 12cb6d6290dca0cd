/**
 * The gate of a page that a program serves on the machine it runs on, for whoever sits before it:
 * who may ask, and what the page may load.
 *
 * Three things could ask besides our own page. A page of somebody else in the same browser: it can
 * neither send our header nor pass for our origin. A name of somebody else that suddenly points to
 * 127.0.0.1 (DNS rebinding): then `Host` is not ours. And another user or program of this machine:
 * it does not know the secret, which stands behind # in the address. The secret is sent in a header
 * and is no cookie, because browsers send the cookies of 127.0.0.1 to every port of it.
 */
import { hash, timingSafeEqual } from 'node:crypto';
import { utf8 } from './bytes.ts';
import type { HttpQuestion } from './platform.ts';

export type Gate = Readonly<{
  /** Whether it was asked by one of our own names: what a file needs, in which is no secret. */
  isHere: (question: HttpQuestion) => boolean;
  /** And by our own page, with the secret: what everything else needs. */
  isOwn: (question: HttpQuestion) => boolean;
}>;

/** A gate at `port`, the secret being in the header named `header`. */
export function createGate(
  parts: Readonly<{ header: string; secret: string; port: () => number }>,
): Gate {
  const { header, secret, port } = parts;
  const names = () => [`127.0.0.1:${port()}`, `localhost:${port()}`];
  const isHere = ({ headers }: HttpQuestion) => names().includes(headers['host'] ?? '');
  return {
    isHere,
    isOwn(question) {
      const { headers, method } = question;
      const { origin, host } = headers;
      // Only what a page posts is sure to name its origin (Fetch §3.2).
      const isOurs = origin === undefined ? method === 'GET' : origin === `http://${host}`;
      const site = headers['sec-fetch-site'] ?? 'same-origin';
      return isHere(question) && isOurs && site === 'same-origin' && same(headers[header], secret);
    },
  };
}

/**
 * What a page of ours may load and do: nothing but our own files, no script in the text, no string
 * that becomes a document, and no frame around it (a button under somebody else's picture).
 * Pictures may be made in the page, and a camera shown in it.
 */
export const GATE_HEADERS = Object.freeze({
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; " +
    "connect-src 'self'; media-src 'self' blob:; form-action 'none'; base-uri 'none'; " +
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(self), microphone=(self), geolocation=(), payment=()',
  'referrer-policy': 'no-referrer',
  'x-frame-options': 'DENY',
});

/** In a time that tells nothing of where they differ. */
function same(given: string | undefined, wanted: string): boolean {
  if (given === undefined) return false;
  const digest = (text: string) => hash('sha256', utf8(text), 'buffer');
  return timingSafeEqual(digest(given), digest(wanted));
}
