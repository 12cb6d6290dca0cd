/**
 * Logins to the bridge's pages, without passwords: the operator's command prints a one-time link,
 * its secret is exchanged for a session cookie, and both are kept as hashes.
 *
 * The secret stands in the link's fragment, which no server, proxy or log gets to see; the page
 * sends it in the body of one POST and takes it out of the address. A link is used up by the login,
 * so a link that was read over a shoulder afterwards opens nothing.
 */
import { hash } from 'node:crypto';
import { fromBase64url, toBase64url, toHex } from '../src/bytes.ts';
import { PaymentError } from '../src/errors.ts';
import { LINK_MS, SESSION_MS } from '../src/limits.ts';
import type { Clock, HttpQuestion, Random } from '../src/platform.ts';
import type { Backend } from './backends/port.ts';
import type { Store, Visitor } from './store/port.ts';

/** For whom a link is. */
export type Invited =
  | Readonly<{ role: 'operator'; by: string }>
  | Readonly<{
      role: 'wearer';
      by: string;
      funding: string;
      /** Hex of the pseudonym that this person has already; without it one is made. */
      payer?: string | undefined;
    }>;

export type Accounts = Readonly<{
  /**
   * The secret of a new link, 43 characters, good once within LINK_MS. Throws `rate_limited` when
   * too many wait, `role_forbidden` when the funding belongs to another payer than the one named.
   */
  invite: (invited: Invited) => Promise<string>;
  /**
   * Uses a link up. The session is always a new one and ends the one that the browser had, so that
   * nobody can have prepared it. Throws `bad_signature` for a secret that is worth nothing.
   */
  login: (secret: string, question: HttpQuestion) => Promise<Login>;
  /** Who asks, by the session cookie; undefined for nobody that is known. */
  visitor: (question: HttpQuestion) => Promise<Visitor | undefined>;
  /** Ends the session; returns the header that takes the cookie away. */
  logout: (question: HttpQuestion) => Promise<string>;
}>;

/** `cookie` is the value of a set-cookie header. */
export type Login = Readonly<{ visitor: Visitor; cookie: string }>;

export function createAccounts(
  parts: Readonly<{ store: Store; random: Random; clock: Clock }>,
): Accounts {
  const { store, random, clock } = parts;

  async function endSession(question: HttpQuestion): Promise<void> {
    const secret = secretIn(question);
    if (secret) await store.endSession(digest(secret));
  }

  return Object.freeze({
    async invite(invited: Invited) {
      const nowMs = clock.nowMs();
      const visitor: Visitor =
        invited.role === 'operator'
          ? { role: 'operator', by: invited.by }
          : {
              role: 'wearer',
              by: invited.by,
              funding: invited.funding,
              payer: await store.payerOf(invited.funding, invited.payer ?? toHex(random(16))),
            };
      if (invited.role === 'wearer' && visitor.role === 'wearer') {
        if (invited.payer !== undefined && invited.payer !== visitor.payer) {
          throw new PaymentError('role_forbidden', 'this funding belongs to another payer');
        }
      }
      const secret = random(SECRET_BYTES);
      await store.putLink({ hash: digest(secret), visitor, untilMs: nowMs + LINK_MS, nowMs });
      return toBase64url(secret);
    },
    async login(text: string, question: HttpQuestion) {
      const link = readSecret(text);
      const session = random(SECRET_BYTES);
      const nowMs = clock.nowMs();
      const hashes = link && { link: digest(link), session: digest(session) };
      const untilMs = nowMs + SESSION_MS;
      const visitor = hashes && (await store.openSession({ ...hashes, untilMs, nowMs }));
      if (!visitor) {
        throw new PaymentError('bad_signature', 'this link was used already or is over');
      }
      await endSession(question);
      return { visitor, cookie: cookieOf(toBase64url(session), SESSION_MS / 1000) };
    },
    async visitor(question: HttpQuestion) {
      const secret = secretIn(question);
      return secret && store.session(digest(secret), clock.nowMs());
    },
    async logout(question: HttpQuestion) {
      await endSession(question);
      return cookieOf('', 0);
    },
  });
}

/**
 * The currency of a funding account, at the first backend that has it and whose logins are handed
 * out here. Throws `funding_unknown`, `unavailable`.
 */
export async function currencyOf(backends: readonly Backend[], funding: string): Promise<string> {
  for (const { login } of backends) {
    const currency = await login?.currencyOf(funding);
    if (currency !== undefined) return currency;
  }
  throw new PaymentError('funding_unknown', `no backend has an account ${funding} to log in to`);
}

/** A secret has the strength of the SHA-256 that is kept of it. */
const SECRET_BYTES = 32;

/** RFC 6265bis §4.1.3.2: a name that browsers set for this host alone and only over HTTPS. */
const COOKIE = '__Host-saytap';

function cookieOf(value: string, seconds: number): string {
  return `${COOKIE}=${value}; Path=/; Max-Age=${seconds}; Secure; HttpOnly; SameSite=Strict`;
}

function secretIn({ headers }: HttpQuestion): Uint8Array | undefined {
  const values = (headers['cookie'] ?? '')
    .split(';')
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${COOKIE}=`))
    .map((pair) => pair.slice(COOKIE.length + 1));
  // Two of one name can only be somebody's trick.
  return values.length === 1 ? readSecret(values[0]!) : undefined;
}

function readSecret(text: string): Uint8Array | undefined {
  if (!/^[\w-]{43}$/.test(text)) return undefined;
  try {
    return fromBase64url(text);
  } catch {
    return undefined;
  }
}

function digest(secret: Uint8Array): Uint8Array {
  return Uint8Array.from(hash('sha256', secret, 'buffer'));
}
