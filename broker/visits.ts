/**
 * The bridge's two pages over HTTPS: their files, logins, and one gate for everything that a page
 * may ask.
 *
 * Every question of a page is a POST of JSON to /v1/pages/NAME. The gate lets it through only when
 * it can come from nothing but our own page: JSON with a header of ours (which another site could
 * send only after a preflight that nobody answers), from this origin as far as the browser says,
 * and with the session's cookie, which is SameSite=Strict. What the verb may do follows from who is
 * logged in, never from what is sent.
 */
import * as z from 'zod/mini';
import { PaymentError, type Reason } from '../src/errors.ts';
import type { HttpQuestion, HttpReply, Log } from '../src/platform.ts';
import type { Accounts } from './accounts.ts';
import { fromBody, toBody } from './hmac.ts';
import type { Route } from './routes.ts';
import type { Visitor } from './store/port.ts';

/** A file of a page by its name, as src/node/pages.ts gives it. */
export type Pages = (name: string) => Promise<File | undefined>;
type File = Readonly<{ body: Uint8Array; type: string }>;

/** One thing that a page may ask: by whom, in which form, and what is answered. */
export type Verb<F extends z.ZodMiniType = z.ZodMiniType> = Readonly<{
  roles: readonly Visitor['role'][];
  form: F;
  /** What comes out goes back as JSON. Throws PaymentError. */
  run: (visitor: Visitor, asked: z.infer<F>) => Promise<unknown>;
}>;
export type Verbs = Readonly<Record<string, Verb>>;

/** A verb whose `run` receives what its form lets through, and only its own visitors. */
export function defineVerb<F extends z.ZodMiniType, const R extends Visitor['role']>(
  roles: readonly R[],
  form: F,
  run: (visitor: Extract<Visitor, { role: R }>, asked: z.infer<F>) => Promise<unknown>,
): Verb {
  return { roles, form, run: run as Verb['run'] };
}

/** `origin` is where people reach the bridge, as https://pay.example:8443. */
export function createVisits(
  parts: Readonly<{
    accounts: Accounts;
    pages: Pages;
    verbs: Verbs;
    origin: () => string | undefined;
    log: Log;
  }>,
): Route {
  const { accounts, pages, verbs, origin, log } = parts;

  async function ask(name: string, question: HttpQuestion): Promise<HttpReply> {
    requireOwnPage(question, origin());
    const body = fromBody(question.body);
    switch (name) {
      case 'login': {
        const { secret } = checked(LOGIN, body);
        const { visitor, cookie } = await accounts.login(secret, question);
        log('info', 'somebody logged in to a page', { role: visitor.role });
        return json(200, visitor, { 'set-cookie': cookie });
      }
      case 'logout':
        return json(200, {}, { 'set-cookie': await accounts.logout(question) });
      default: {
        const visitor = await accounts.visitor(question);
        if (name === 'session') return json(200, visitor ?? {});
        if (!visitor) throw new PaymentError('bad_signature', 'nobody is logged in here');
        const verb = Object.hasOwn(verbs, name) ? verbs[name]! : undefined;
        if (!verb?.roles.includes(visitor.role)) {
          throw new PaymentError('role_forbidden', 'this login may not do that');
        }
        return json(200, (await verb.run(visitor, checked(verb.form, body))) ?? {});
      }
    }
  }

  return async (question) => {
    const path = question.path.split('?', 1)[0]!;
    const name = /^\/v1\/pages\/([a-z]{1,20})$/.exec(path)?.[1];
    if (name !== undefined) {
      return ask(name, question).catch((error: unknown) => {
        if (!(error instanceof PaymentError)) throw error;
        return json(STATUS[error.reason] ?? 400, { reason: error.reason, why: error.message });
      });
    }
    const file = FILES[path];
    if (file === undefined) return undefined;
    if (question.method !== 'GET') return json(405, { reason: 'malformed', why: 'only GET' });
    const found = await pages(file);
    return found && { status: 200, ...found, headers: PAGE_HEADERS };
  };
}

const LOGIN = z.strictObject({ secret: z.string().check(z.maxLength(64)) });

const FILES: Readonly<Record<string, string>> = Object.freeze({
  '/pair': 'pair.html',
  '/wallet': 'wallet.html',
  '/pages/pair.js': 'pair.js',
  '/pages/wallet.js': 'wallet.js',
  '/pages/style.css': 'style.css',
  '/pages/icon.svg': 'icon.svg',
});

/**
 * Nothing but our own files, no script in the text, no string that becomes a document, and no frame
 * around it (a button under somebody else's picture).
 */
const PAGE_HEADERS = Object.freeze({
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; " +
    "require-trusted-types-for 'script'; trusted-types 'none'",
  'cross-origin-opener-policy': 'same-origin',
  'permissions-policy': 'camera=(), microphone=(), geolocation=(), payment=()',
  'x-frame-options': 'DENY',
});

const STATUS: Readonly<Partial<Record<Reason, number>>> = Object.freeze({
  bad_signature: 401,
  role_forbidden: 403,
  rate_limited: 429,
  unavailable: 503,
});

function requireOwnPage({ method, headers }: HttpQuestion, own: string | undefined): void {
  const isJson = /^application\/json\s*(;|$)/.test(headers['content-type'] ?? '');
  const { origin = own } = headers;
  const site = headers['sec-fetch-site'] ?? 'same-origin';
  const isOwn = headers['x-saytap'] === 'page' && origin === own && site === 'same-origin';
  if (method !== 'POST' || !isJson || !isOwn) {
    throw new PaymentError('role_forbidden', 'only the pages of this bridge ask this');
  }
}

function checked<F extends z.ZodMiniType>(form: F, body: unknown): z.infer<F> {
  const read = z.safeParse(form, body);
  if (read.success) return read.data;
  const [issue] = read.error.issues;
  throw new PaymentError('malformed', `${issue?.path.join('.')}: ${issue?.message}`);
}

function json(
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): Exclude<HttpReply, 'drop'> {
  return { status, body: toBody(body), headers };
}
