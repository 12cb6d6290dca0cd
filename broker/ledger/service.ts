/**
 * The HTTP face of the ledger: signed JSON in, a definite answer out, and on request the faults of
 * a real backend.
 *
 * Movements that arrive together share one commit, because a synced commit costs the same for one
 * as for many. The faults stand in the product, not in a test, since the simulator, the storms and
 * a visitor at the command line must meet the same ledger; without the option there are none.
 */
import assert from 'node:assert/strict';
import * as z from 'zod/mini';
import { PaymentError } from '../../src/errors.ts';
import {
  CBOR_INTEGER_MAX,
  HTTP_PAGE_ROWS,
  NAME_BYTES_MAX,
  NOTICE_TIMEOUT_MS,
  REFERENCE_BYTES_MAX,
  SIM_LATE_MS,
} from '../../src/limits.ts';
import { exponentOf, type Money } from '../../src/money.ts';
import type { Clock, HttpQuestion, HttpReply, Random, Timers } from '../../src/platform.ts';
import { within } from '../../src/patience.ts';
import { createGroup } from '../group.ts';
import { createVerifier, fromBody, toBody } from '../hmac.ts';
import { type Magic, magicOf } from '../magic.ts';
import type { Balance, Transfer } from './accounts.ts';
import type { Books, BooksAnswer, Operation, Ran } from './books.ts';
import type { Notices } from './notices.ts';

/** What can happen to a movement; each call meets at most one. */
export const FAULTS = Object.freeze([
  /** The connection breaks and nothing was executed. */
  'loseBefore',
  /** Executed, and the connection breaks before the answer. */
  'loseAfter',
  /** Executed and answered only after `lateMs`, when the caller has given up. */
  'late',
  /** Executed twice under its key, and the answer stands twice on the wire. */
  'twice',
  /** Answered at once that it is in process (202), and executed `lateMs` later. */
  'later',
  /** Its notice is taken before its answer goes out. */
  'noticeFirst',
  /** Its notice is told twice. */
  'noticeTwice',
  /** Its notice is told `lateMs` after the answer. */
  'noticeLate',
  /** Its notice is never told. */
  'noticeLost',
] as const);

export type Fault = (typeof FAULTS)[number];

/** The probability of each fault (0 to 1, together at most 1); one that is absent never happens. */
export type Faults = Readonly<Partial<Record<Fault, number>> & { lateMs: number }>;

export type Service = Readonly<{
  /** Answers one HTTP question; never rejects but for a bug. */
  answer: (question: HttpQuestion) => Promise<HttpReply>;
  /** Gives up what waits for its time. */
  close: () => void;
}>;

/**
 * The service over `books`; `notices` are told of every key that got its answer. Which call meets a
 * fault depends on `faults.random` alone, and in the simulation on its magic amount or payee.
 */
export function createLedgerService(
  options: Readonly<{
    books: Books;
    secret: Uint8Array;
    clock: Clock;
    timers: Timers;
    notices?: Notices;
    faults?: Faults & Readonly<{ random: Random }>;
    /** `sim`: magic amounts and payees (broker/magic.ts) get what they ask for. */
    environment?: 'live' | 'sim';
  }>,
): Service {
  const { books, clock, timers, notices, faults } = options;
  const isSimulation = options.environment === 'sim';
  const verify = createVerifier({ secret: options.secret, clock });
  const execute = createGroup<Operation, Ran>(books.run, timers);
  /** What waits for its time, by what cancels it. */
  const waiting = new Set<() => void>();

  async function answer(question: HttpQuestion): Promise<HttpReply> {
    try {
      verify(question);
      const { pathname, searchParams } = new URL(question.path, 'http://ledger');
      const route = `${question.method} ${pathname}`;
      switch (route) {
        case 'POST /v1/authorise':
        case 'POST /v1/capture':
        case 'POST /v1/void':
        case 'POST /v1/refund':
          return await move(operationOf(pathname.slice('/v1/'.length), question.body));
        case 'POST /v1/accounts':
          return openAccount(books, checked(ACCOUNT, fromBody(question.body)));
        case 'POST /v1/deposits':
          return deposit(books, checked(DEPOSIT, fromBody(question.body)));
        case 'GET /v1/funding': {
          const { funding, wallet } = checked(LINK, Object.fromEntries(searchParams));
          return reply(200, { funding, wallet, linked: books.isLinked(funding, wallet) });
        }
        case 'GET /v1/account': {
          const { funding } = checked(NAMED, Object.fromEntries(searchParams));
          return reply(200, { funding, currency: books.currencyOf(funding) });
        }
        case 'POST /v1/links': {
          const { funding, wallet } = checked(LINK, fromBody(question.body));
          books.linkWallet(funding, wallet);
          return reply(200, { funding, wallet, linked: true });
        }
        case 'GET /v1/balances': {
          const { after = '' } = checked(AFTER_NAME, Object.fromEntries(searchParams));
          const accounts = books.balances(after, HTTP_PAGE_ROWS).map(balanceJson);
          return reply(200, { through: books.last(), accounts });
        }
        case 'GET /v1/transfers': {
          const { after = '0' } = checked(AFTER_NUMBER, Object.fromEntries(searchParams));
          const transfers = books.transfers(Number(after), HTTP_PAGE_ROWS).map(transferJson);
          return reply(200, { transfers });
        }
        case 'GET /v1/check': {
          const differences = books.check();
          return reply(200, { balanced: differences.length === 0, differences });
        }
        default: {
          const key = /^GET \/v1\/payments\/([0-9a-f]{32})$/.exec(route)?.[1];
          if (key === undefined) return reply(404, { error: 'There is no such call.' });
          return paymentReply(key, books.query(key));
        }
      }
    } catch (error) {
      return refusal(error);
    }
  }

  async function move(asked: Operation): Promise<HttpReply> {
    const magic = isSimulation && asked.action === 'authorise' ? magicOf(asked) : undefined;
    const isDeclined = magic === 'declined' || magic === 'insufficient funds';
    const operation = isDeclined ? { ...asked, isDeclined } : asked;
    const isNew = magic !== undefined && books.query(asked.key).kind === 'unseen';
    const fault = (isNew ? PLAYED[magic] : undefined) ?? (faults && draw(faults, faults.random));
    switch (fault) {
      case 'loseBefore':
        return 'drop';
      case 'loseAfter':
        await run(operation);
        return 'drop';
      case 'late':
        await new Promise<void>((resolve) => later(resolve));
        return run(operation);
      case 'twice':
        await run(operation);
        return { ...(await run(operation)), twice: true };
      case 'later':
        // The database may be closed or its disk full by then: lost before it was executed.
        later(() => void run(operation).catch(() => {}));
        return reply(202, { key: operation.key, kind: 'in_process' });
      default:
        return run(operation, fault);
    }
  }

  async function run(
    operation: Operation,
    fault?: 'noticeFirst' | 'noticeTwice' | 'noticeLate' | 'noticeLost',
  ): Promise<Exclude<HttpReply, 'drop'>> {
    const { answer, isFirst } = await execute(operation);
    const { key } = operation;
    if (notices !== undefined && isFirst) {
      const tell = () => notices.tell(key, { key, ...answer });
      if (fault === 'noticeLate') later(() => void tell());
      else if (fault !== 'noticeLost') {
        const told = tell();
        if (fault === 'noticeTwice') void tell();
        if (fault === 'noticeFirst') await within(timers, NOTICE_TIMEOUT_MS, told);
      }
    }
    return paymentReply(key, answer);
  }

  function later(then: () => void): void {
    const cancel = timers.after(faults?.lateMs ?? SIM_LATE_MS, () => {
      waiting.delete(cancel);
      then();
    });
    waiting.add(cancel);
  }

  return Object.freeze({
    answer,
    close() {
      for (const cancel of waiting) cancel();
      waiting.clear();
    },
  });
}

/** The fault that a magic payment meets, as long as its key has no answer. */
const PLAYED: Readonly<Partial<Record<Magic, Fault>>> = Object.freeze({
  'answer lost': 'loseAfter',
  'answer twice': 'twice',
  slow: 'late',
  'settles later': 'later',
});

function openAccount(books: Books, account: z.infer<typeof ACCOUNT>): HttpReply {
  const { funding, wallet, currency, minor } = account;
  if (exponentOf(currency) === undefined) throw malformed('The currency is not known.');
  const outcome = books.openFunding({ funding, wallet, balance: money(currency, minor) });
  if (outcome === 'conflict') {
    return reply(409, { error: 'This account is open with another currency or balance.' });
  }
  return reply(200, { funding, outcome });
}

function deposit(books: Books, body: z.infer<typeof DEPOSIT>): HttpReply {
  const { key, funding, currency, minor } = body;
  const amount = money(currency, minor);
  if (amount.minor === 0n) throw malformed('A deposit of nothing.');
  const outcome = books.topUp({ key, funding, amount });
  if (outcome === 'conflict') {
    return reply(409, { error: 'The key was used for another deposit.' });
  }
  return reply(200, { key, outcome });
}

function draw(faults: Faults, random: Random): Fault | undefined {
  const bytes = random(4);
  let at = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0) / 2 ** 32;
  for (const name of FAULTS) {
    const share = faults[name] ?? 0;
    if (at < share) return name;
    at -= share;
  }
  return undefined;
}

const KEY = z.string().check(z.regex(/^[0-9a-f]{32}$/));
const REFERENCE = z.string().check(z.regex(new RegExp(`^[!-~]{1,${REFERENCE_BYTES_MAX}}$`)));
const PAYEE = z.string().check(z.regex(new RegExp(`^[!-~]{1,${NAME_BYTES_MAX}}$`)));
const WALLET = z.string().check(z.regex(/^[0-9a-f]{64}$/));
const CURRENCY = z.string().check(z.regex(/^[A-Z]{3}$/));
const MINOR = z.string().check(z.regex(/^(0|[1-9][0-9]{0,15})$/));

/** A reference that somebody else wrote: one that cannot exist is unknown, not malformed. */
const ANY_REFERENCE = z.string().check(z.maxLength(REFERENCE_BYTES_MAX));

const AUTHORISATION = z.strictObject({
  key: KEY,
  funding: ANY_REFERENCE,
  payee: PAYEE,
  currency: CURRENCY,
  minor: MINOR,
  capture: z.enum(['now', 'later']),
});
const MOVEMENT = z.strictObject({ key: KEY, original: KEY, currency: CURRENCY, minor: MINOR });
const ACCOUNT = z.strictObject({
  funding: REFERENCE,
  /** Without it the account waits for its owner's login. */
  wallet: z.optional(WALLET),
  currency: CURRENCY,
  minor: MINOR,
});
const DEPOSIT = z.strictObject({ key: KEY, funding: REFERENCE, currency: CURRENCY, minor: MINOR });
const LINK = z.strictObject({ funding: ANY_REFERENCE, wallet: WALLET });
const NAMED = z.strictObject({ funding: ANY_REFERENCE });
const AFTER_NAME = z.strictObject({ after: z.optional(z.string().check(z.maxLength(160))) });
const AFTER_NUMBER = z.strictObject({ after: z.optional(MINOR) });

function operationOf(action: string, body: Uint8Array): Operation {
  if (action === 'authorise') {
    const { currency, minor, ...rest } = checked(AUTHORISATION, fromBody(body));
    return { action, ...rest, amount: money(currency, minor) };
  }
  assert(action === 'capture' || action === 'void' || action === 'refund');
  const { currency, minor, ...rest } = checked(MOVEMENT, fromBody(body));
  return { action, ...rest, amount: money(currency, minor) };
}

function money(currency: string, minor: string): Money {
  const count = BigInt(minor);
  if (count > BigInt(CBOR_INTEGER_MAX)) throw malformed('The amount is too large.');
  return Object.freeze({ currency, minor: count });
}

function checked<T extends z.ZodMiniType>(schema: T, value: unknown): z.infer<T> {
  const result = z.safeParse(schema, value);
  if (result.success) return result.data;
  const where = result.error.issues.map(({ path }) => path.join('.')).filter(Boolean);
  throw malformed(`Not understood: ${where.join(', ') || 'the whole body'}.`);
}

function malformed(message: string): PaymentError {
  return new PaymentError('malformed', message);
}

function paymentReply(
  key: string,
  answer: BooksAnswer | Readonly<{ kind: 'unseen' }>,
): Exclude<HttpReply, 'drop'> {
  if (answer.kind === 'conflict') {
    return reply(409, { error: 'The key was used with other parameters.' });
  }
  return reply(200, { key, ...answer });
}

function balanceJson({ account, kind, money: { currency, minor } }: Balance) {
  return { account, kind, currency, minor: String(minor) };
}

function transferJson({ amount: { currency, minor }, ...rest }: Transfer) {
  return { ...rest, currency, minor: String(minor) };
}

function refusal(error: unknown): HttpReply {
  if (!(error instanceof PaymentError)) throw error;
  return reply(STATUS[error.reason] ?? 503, { error: error.message });
}

const STATUS: Readonly<Record<string, number>> = {
  malformed: 400,
  funding_unknown: 404,
  currency_mismatch: 400,
  bad_signature: 401,
  expired: 401,
  stale_nonce: 401,
};

function reply(status: number, body: unknown): Exclude<HttpReply, 'drop'> {
  return Object.freeze({ status, body: toBody(body) });
}
