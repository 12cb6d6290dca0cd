/**
 * Who may look at the simulator's page and drive it: the browser of the person who started it, and
 * nobody else on the machine or in a browser.
 *
 * Loopback alone is no fence. Any page in the same browser can send to it, a name in the DNS can be
 * made to point at it (rebinding), and every user of the machine reaches it. So the Host has to be
 * ours, what is asked has to come from our own page, and both events and verbs need the secret of
 * this run, which stands in the printed address behind # and so in no request and in no log.
 */
import { hash, timingSafeEqual } from 'node:crypto';
import * as z from 'zod/mini';
import { PaymentError, type Reason } from '../src/errors.ts';
import { HTTP_BYTES_MAX, SIM_PAGES_MAX } from '../src/limits.ts';
import type { Feed, HttpQuestion, HttpReply, Listener } from '../src/platform.ts';
import { fromBody, toBody } from '../broker/hmac.ts';
import { SECRET_HEADER } from './page/wire.ts';

/** What a page may ask: in which form, and what is answered. */
export type Verb = Readonly<{
  form: z.ZodMiniType;
  /** Bytes of the question; without it HTTP_BYTES_MAX. */
  bytesMax?: number;
  run: (asked: unknown) => Promise<unknown>;
}>;

/** A verb whose `run` receives what its form lets through. Throws PaymentError. */
export function defineVerb<F extends z.ZodMiniType>(
  form: F,
  run: (asked: z.infer<F>) => Promise<unknown>,
  bytesMax?: number,
): Verb {
  const rest = bytesMax === undefined ? {} : { bytesMax };
  return { form, run: run as Verb['run'], ...rest };
}

export type Gate = Readonly<{
  answer: (question: HttpQuestion) => Promise<HttpReply>;
  feed: (question: HttpQuestion) => Feed | undefined;
}>;

export function createGate(
  parts: Readonly<{
    secret: string;
    /** Where it listens, on 127.0.0.1. */
    port: () => number;
    /** A file of the page by its name. */
    pages: (name: string) => Promise<Readonly<{ body: Uint8Array; type: string }> | undefined>;
    verbs: Readonly<Record<string, Verb>>;
    /** Tells everything, and then what changes; returns what to do when the page has gone. */
    begin: (listener: Listener) => () => void;
  }>,
): Gate {
  const { pages, verbs } = parts;
  const secret = digest(parts.secret);
  let listening = 0;

  /** A name that was made to point here brings its own Host along. */
  function requireHost({ headers }: HttpQuestion): string {
    const host = headers['host'] ?? '';
    const own = ['127.0.0.1', 'localhost'].map((name) => `${name}:${parts.port()}`);
    if (own.includes(host)) return `http://${host}`;
    throw new PaymentError('role_forbidden', 'this page is only there as 127.0.0.1');
  }

  function requireOwnPage(question: HttpQuestion, needsOrigin: boolean): void {
    const own = requireHost(question);
    const { origin, 'sec-fetch-site': site = 'same-origin' } = question.headers;
    const isOwn = (origin ?? (needsOrigin ? '' : own)) === own && site === 'same-origin';
    if (!isOwn) throw new PaymentError('role_forbidden', 'only its own page asks this');
    if (timingSafeEqual(digest(question.headers[SECRET_HEADER] ?? ''), secret)) return;
    throw new PaymentError('bad_signature', 'open the address that was printed');
  }

  async function ask(name: string, question: HttpQuestion): Promise<unknown> {
    const { method, headers, body } = question;
    requireOwnPage(question, true);
    const isJson = /^application\/json\s*(;|$)/.test(headers['content-type'] ?? '');
    if (method !== 'POST' || !isJson) throw new PaymentError('malformed', 'JSON is posted here');
    const verb = Object.hasOwn(verbs, name) ? verbs[name]! : undefined;
    if (!verb) throw new PaymentError('action_unsupported', `there is no verb ${name}`);
    if (body.length > (verb.bytesMax ?? HTTP_BYTES_MAX)) {
      throw new PaymentError('too_large', `${body.length} bytes are too many to ${name}`);
    }
    const read = z.safeParse(verb.form, fromBody(body));
    if (read.success) return (await verb.run(read.data)) ?? {};
    const [issue] = read.error.issues;
    throw new PaymentError('malformed', `${issue?.path.join('.')}: ${issue?.message}`);
  }

  async function show(question: HttpQuestion): Promise<HttpReply> {
    requireHost(question);
    if (question.method !== 'GET') throw new PaymentError('malformed', 'only GET');
    const name = question.path === '/' ? 'page.html' : FILE.exec(question.path)?.[1];
    const found = name === undefined ? undefined : await pages(name);
    if (!found) throw new PaymentError('original_unknown', 'there is no such page');
    return { status: 200, ...found, headers: PAGE_HEADERS };
  }

  return Object.freeze({
    async answer(question: HttpQuestion) {
      try {
        const path = question.path.split('?', 1)[0]!;
        const name = /^\/v1\/ask\/([a-z]{1,20})$/.exec(path)?.[1];
        if (name !== undefined) return json(200, await ask(name, question));
        if (path !== EVENTS) return await show(question);
        requireOwnPage(question, false);
        throw new PaymentError('rate_limited', `more than ${SIM_PAGES_MAX} pages are open`);
      } catch (error) {
        if (!(error instanceof PaymentError)) throw error;
        return json(STATUS[error.reason] ?? 400, { reason: error.reason, why: error.message });
      }
    },
    /** What it may not have is refused by `answer`. */
    feed(question: HttpQuestion) {
      if (question.path !== EVENTS || question.method !== 'GET') return undefined;
      if (listening >= SIM_PAGES_MAX) return undefined;
      try {
        requireOwnPage(question, false);
      } catch (error) {
        if (error instanceof PaymentError) return undefined;
        throw error;
      }
      return {
        type: 'text/event-stream',
        headers: SAFE_HEADERS,
        begin(listener: Listener) {
          listening++;
          const gone = parts.begin(listener);
          return () => {
            listening--;
            gone();
          };
        },
      };
    },
  });
}

const EVENTS = '/v1/events';
const FILE = /^\/([a-z]{1,20}\.(?:js|css|svg))$/;

const SAFE_HEADERS: Readonly<Record<string, string>> = Object.freeze({
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
});

/** Nothing from elsewhere, no script in the text, no frame around it; its own camera and voice. */
const PAGE_HEADERS: Readonly<Record<string, string>> = Object.freeze({
  ...SAFE_HEADERS,
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; " +
    "connect-src 'self'; media-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'; " +
    "form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
  'cross-origin-opener-policy': 'same-origin',
  'permissions-policy': 'camera=(self), microphone=(self), geolocation=(), payment=()',
  'x-frame-options': 'DENY',
});

const STATUS: Readonly<Partial<Record<Reason, number>>> = Object.freeze({
  bad_signature: 401,
  role_forbidden: 403,
  original_unknown: 404,
  action_unsupported: 404,
  too_large: 413,
  rate_limited: 429,
  unavailable: 503,
});

function json(status: number, body: unknown): Exclude<HttpReply, 'drop'> {
  return { status, body: toBody(body), headers: SAFE_HEADERS };
}

/** Of one length, to be compared without telling how far they agree. */
function digest(text: string): Uint8Array {
  return Uint8Array.from(hash('sha256', text, 'buffer'));
}
