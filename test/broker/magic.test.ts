/** Magic amounts and payees: what each one meets in the simulation, and that live knows none. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createLedgerBackend } from '../../broker/backends/ledger.ts';
import { openBooks } from '../../broker/ledger/books.ts';
import { createLedgerService } from '../../broker/ledger/service.ts';
import { type Magic, TRICKS, magicOf } from '../../broker/magic.ts';
import { createRiskClient, decisionOf } from '../../broker/risk/client.ts';
import { openHistory } from '../../broker/risk/history.ts';
import { THRESHOLDS, createRiskService } from '../../broker/risk/service.ts';
import { SIM_LATE_MS } from '../../src/limits.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import { type Http, HttpFailure, type HttpReply } from '../../src/platform.ts';
import { createTime } from './backends/time.ts';

const SECRET = new Uint8Array(32).fill(7);
const FUNDING = 'acct-1';
const WALLET = 'ab'.repeat(32);

type Environment = 'live' | 'sim';

/** Both services behind their own clients, in time that passes when it is told to. */
function createSandbox(environment: Environment) {
  const time = createTime();
  const { clock, timers } = time;
  const ports = { clock, secret: SECRET, random: (count: number) => random(count) };
  const books = openBooks({ database: openDatabase(':memory:'), clock });
  const balance = { currency: 'EUR', minor: 100_000n };
  books.openFunding({ funding: FUNDING, wallet: WALLET, balance });
  const ledger = createLedgerService({ books, secret: SECRET, clock, timers, environment });
  const history = openHistory({ database: openDatabase(':memory:'), clock });
  const risk = createRiskService({ history, secret: SECRET, clock, timers, environment });
  const replies: HttpReply[] = [];
  const over = (service: Readonly<{ answer: typeof ledger.answer }>): Http => {
    return async (call) => {
      const { pathname, search } = new URL(call.url);
      const reply = await service.answer({ ...call, path: pathname + search });
      replies.push(reply);
      if (reply === 'drop') throw new HttpFailure('dropped', true);
      return reply;
    };
  };
  let seed = 0;
  function random(count: number) {
    return new Uint8Array(count).fill(++seed);
  }
  const backend = createLedgerBackend({ ...ports, http: over(ledger), url: 'http://ledger' });
  const client = createRiskClient({ ...ports, http: over(risk), url: 'http://risk' });
  const paid = () => books.transfers(0, 100).filter(({ kind }) => kind === 'pay').length;
  return { time, books, backend, client, replies, paid };
}

const KEY = 'c'.repeat(32);

function payment(changed: Readonly<{ minor?: bigint; payee?: string }>) {
  const amount = { currency: 'EUR', minor: changed.minor ?? 1_000n };
  const payee = changed.payee ?? 'cafe';
  return { key: KEY, funding: FUNDING, payee, amount, capture: 'now' as const };
}

function question({ payee, amount }: ReturnType<typeof payment>, atMs: number, presence = 2) {
  const who = { payer: 'alice', device: 'glasses-1' };
  return { ...who, id: KEY, payee, amount, channel: 'tap' as const, presence, atMs };
}

/** Each trick by its amount and by its payee. */
const asked = TRICKS.flatMap(({ magic, minor, payee }) => [
  { magic, by: `the amount ${minor}`, payment: payment({ minor }) },
  { magic, by: `the payee ${payee}`, payment: payment({ payee }) },
]);

const NO = { kind: 'declined', reason: 'backend_declined' };
const YES = { kind: 'done', outcome: 'captured', reference: 'ledger-1' };
const UNKNOWN = { kind: 'unknown' };

/** What the first call hears, what one SIM_LATE_MS later, and how often money moved by then. */
const AT_THE_LEDGER: Readonly<Partial<Record<Magic, readonly [object, object, number]>>> = {
  declined: [NO, NO, 0],
  'insufficient funds': [NO, NO, 0],
  'answer lost': [UNKNOWN, YES, 1],
  'answer twice': [YES, YES, 1],
  'settles later': [UNKNOWN, YES, 1],
};

const AT_RISK: Readonly<Partial<Record<Magic, readonly [string, number]>>> = {
  'step-up': ['risk_step_up', THRESHOLDS.stepUp],
  'risk review': ['allow', THRESHOLDS.stepUp - 1],
  'risk denied': ['risk_denied', THRESHOLDS.deny],
};

test.each(asked)('$magic by $by: what the ledger says at once and later', async (row) => {
  const { time, books, backend, replies, paid } = createSandbox('sim');
  if (row.magic === 'slow') {
    const slow = backend.authorise(row.payment);
    await time.pass(SIM_LATE_MS - 1);
    expect([paid(), replies]).toEqual([0, []]);
    await time.pass(1);
    expect(await slow).toMatchObject(YES);
    expect(await backend.authorise(row.payment)).toMatchObject(YES);
    return expect([paid(), books.check()]).toEqual([1, []]);
  }
  const [first, later, moved] = AT_THE_LEDGER[row.magic] ?? [YES, YES, 1];
  expect(await backend.authorise(row.payment)).toMatchObject(first);
  if (row.magic === 'settles later') {
    expect(replies).toMatchObject([{ status: 202 }]);
    expect([await backend.query(KEY), paid()]).toMatchObject([{ kind: 'unseen' }, 0]);
  }
  const isTwice = replies.some((reply) => reply !== 'drop' && reply.twice);
  expect(isTwice).toBe(row.magic === 'answer twice');
  await time.pass(SIM_LATE_MS + 1); // What is executed then shares a commit of its own turn.
  expect(await backend.authorise(row.payment)).toMatchObject(later);
  expect(await backend.query(KEY)).toMatchObject(later);
  expect([paid(), books.check()]).toEqual([moved, []]);
});

test.each(asked)('$magic by $by: what risk says, and to a one-use mandate', async (row) => {
  const decided = async (presence: number) => {
    const { client, time } = createSandbox('sim');
    const asking = question(row.payment, time.clock.nowMs(), presence);
    const decision = decisionOf(await client.assess(asking));
    return [decision.kind === 'allow' ? 'allow' : decision.reason, decision.score];
  };
  const expected = AT_RISK[row.magic] ?? ['allow', 60];
  expect(await decided(2)).toEqual(expected);
  const isAnswered = row.magic === 'step-up';
  expect(await decided(4)).toEqual(isAnswered ? ['allow', expected[1]] : expected);
});

test.each(asked)('$magic by $by is a payment like any other in live', async (row) => {
  const { backend, client, paid, time } = createSandbox('live');
  expect(await backend.authorise(row.payment)).toMatchObject(YES);
  expect(paid()).toBe(1);
  const asking = question(row.payment, time.clock.nowMs());
  expect(await client.assess(asking)).toMatchObject({ decision: 'allow', score: 60 });
});

test('only a payment and a hold are looked at: what gives money back is not', async () => {
  const { backend } = createSandbox('sim');
  await backend.authorise(payment({ minor: 1_000n }));
  const amount = { currency: 'EUR', minor: 401n };
  const refund = { key: 'd'.repeat(32), original: KEY, amount };
  expect(await backend.refund(refund)).toMatchObject({ kind: 'done', outcome: 'refunded' });
});

test('where both are magic the payee counts', () => {
  expect(magicOf(payment({ minor: 401n, payee: 'sim-slow' }))).toBe('slow');
  expect(magicOf(payment({ minor: 400n }))).toBeUndefined();
  expect(magicOf(payment({ minor: 410n }))).toBeUndefined();
});

test('the page lists every one of them, with its amount and payee, and no other', () => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/simulation.md'), 'utf8');
  const rows = page
    .slice(page.indexOf('<!-- magic -->'))
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) => line.split('|').map((cell) => cell.trim().replaceAll('`', '')));
  expect(rows.map(([, magic, minor, payee]) => ({ magic, minor: BigInt(minor!), payee }))).toEqual(
    TRICKS.map(({ magic, minor, payee }) => ({ magic, minor, payee })),
  );
  expect(page).toContain(`nothing for ${SIM_LATE_MS / 1000} s`);
  expect(page).toContain(`done after ${SIM_LATE_MS / 1000} s`);
});
