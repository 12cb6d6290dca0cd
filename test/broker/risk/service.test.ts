/** The risk service: points, repeatable answers, hostile calls. */
import { afterEach, expect, test } from 'vitest';
import { createRiskClient, type RiskQuestion } from '../../../broker/risk/client.ts';
import { fromBody, signCall, toBody } from '../../../broker/hmac.ts';
import { openHistory, type Past } from '../../../broker/risk/history.ts';
import { startRisk } from '../../../broker/risk/main.ts';
import { createRiskService, judge, THRESHOLDS } from '../../../broker/risk/service.ts';
import { EXITS } from '../../../src/errors.ts';
import { RISK_ATTEMPTS, RISK_CALLS_MAX, RISK_KEEP_MS, RISK_WAIT_MS } from '../../../src/limits.ts';
import { createHttp } from '../../../src/node/http.ts';
import * as real from '../../../src/node/platform.ts';
import { openDatabase } from '../../../src/node/sqlite.ts';
import { HttpFailure, type Http, type HttpCall } from '../../../src/platform.ts';

const secret = new Uint8Array(32).fill(3);
const START_MS = 1_800_000_000_000;
const MINUTE_MS = 60_000;

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

const id = (n: number) => n.toString(16).padStart(32, '0');

/** `n` names the request; the rest is one usual payment unless told otherwise. */
function question(n: number, changed: Partial<RiskQuestion> = {}): RiskQuestion {
  return {
    id: id(n),
    payer: 'alice',
    device: 'glasses-1',
    payee: 'cafe',
    amount: { currency: 'EUR', minor: 400n },
    channel: 'tap',
    presence: 2,
    atMs: START_MS + n * 60 * MINUTE_MS,
    ...changed,
  };
}

function start(path = ':memory:') {
  let nowMs = START_MS;
  const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs };
  const database = openDatabase(path);
  closing.push(database.close);
  const history = openHistory({ database, clock });
  const service = createRiskService({ history, secret, clock, timers: real.timers });
  const http: Http = async (call) => {
    const { pathname, search } = new URL(call.url);
    const reply = await service.answer({ ...call, path: pathname + search });
    if (reply === 'drop') throw new HttpFailure('dropped', true);
    return reply;
  };
  const caller = { secret, clock, random: real.random };
  const client = createRiskClient({ http, url: 'http://risk', ...caller });
  const post = async (body: unknown) => {
    const url = 'http://risk/v1/assess';
    const { status, body: answer } = await http(
      signCall(caller, { method: 'POST', url, body, timeoutMs: 1 }),
    );
    return { status, json: fromBody(answer), text: new TextDecoder().decode(answer) };
  };
  const decide = async (asked: RiskQuestion) => {
    const assessment = await client.assess(asked);
    if (assessment.kind !== 'decided') throw new Error(assessment.why);
    return assessment;
  };
  return { client, history, http, clock, post, decide, pass: (ms: number) => (nowMs += ms) };
}

function json(asked: RiskQuestion) {
  const { amount, atMs, ...rest } = asked;
  return { ...rest, currency: amount.currency, minor: String(amount.minor), at: atMs };
}

test('a first payment is allowed, with what little is known', async () => {
  const { post } = start();
  expect(await post(json(question(1)))).toMatchObject({
    status: 200,
    json: {
      id: id(1),
      decision: 'allow',
      score: 60,
      reasons: [{ code: 'COLD_START', weight: 60, value: 0 }],
      model: { id: 'points', version: '1' },
    },
  });
});

test('the same question gets the same bytes, whatever happened since', async () => {
  const { post } = start();
  const first = await post(json(question(1)));
  for (let n = 2; n < 30; n++) await post(json(question(n, { atMs: START_MS + 3_600_000 })));
  expect((await post(json(question(1)))).text).toBe(first.text);
});

test('any other content under a known id is 409, and unavailable to the client', async () => {
  const { post, client } = start();
  const asked = question(1);
  await post(json(asked));
  const others: Partial<RiskQuestion>[] = [
    { payer: 'bob' },
    { device: 'glasses-2' },
    { payee: 'bar' },
    { amount: { currency: 'EUR', minor: 401n } },
    { amount: { currency: 'USD', minor: 400n } },
    { channel: 'voice' },
    { presence: 4 },
    { atMs: asked.atMs + 1 },
  ];
  for (const other of others) {
    const changed = { ...asked, ...other };
    expect((await post(json(changed))).status, Object.keys(other)[0]).toBe(409);
  }
  expect(await client.assess(question(1, { payer: 'bob' }))).toEqual({
    kind: 'unavailable',
    why: 'status 409',
  });
});

test('an id asked twice at once is decided once', async () => {
  const { client } = start();
  const both = await Promise.all([client.assess(question(1)), client.assess(question(1))]);
  expect(both[1]).toEqual(both[0]);
  const [next] = await Promise.all([client.assess(question(2)), client.assess(question(3))]);
  expect(next).toMatchObject({ reasons: ['COLD_START'] });
});

test('velocity: many payments in ten minutes raise the score until a step-up', async () => {
  const { decide } = start();
  const scores: number[] = [];
  const decisions: string[] = [];
  for (let n = 1; n <= 14; n++) {
    const { score, decision } = await decide(question(n, { atMs: START_MS + n * 1_000 }));
    scores.push(score);
    decisions.push(decision);
  }
  expect(scores.slice(0, 6)).toEqual([60, 60, 60, 40, 80, 120]);
  for (let n = 4; n < scores.length; n++) expect(scores[n]).toBeGreaterThanOrEqual(scores[n - 1]!);
  expect(decisions.slice(0, 10)).toEqual(Array.from({ length: 10 }, () => 'allow'));
  expect(decisions.at(-1)).toBe('step_up');
  // An hour later, and for another payer or in another currency, nothing of it is left.
  expect((await decide(question(20))).score).toBe(0);
  const late = { atMs: START_MS + 15_000 };
  expect((await decide(question(21, { ...late, payer: 'bob' }))).reasons).toEqual(['COLD_START']);
  const usd = { currency: 'USD', minor: 1n };
  expect((await decide(question(22, { ...late, amount: usd }))).reasons).toEqual(['COLD_START']);
});

test('windows end exactly: at 10 minutes and at an hour', async () => {
  const { decide } = start();
  for (let n = 1; n <= 6; n++) await decide(question(n, { atMs: START_MS }));
  const codes = async (n: number, atMs: number) => (await decide(question(n, { atMs }))).reasons;
  expect(await codes(10, START_MS + 10 * MINUTE_MS - 1)).toEqual(['VELOCITY_10M', 'VELOCITY_1H']);
  expect(await codes(11, START_MS + 60 * MINUTE_MS - 1)).toEqual(['VELOCITY_1H']);
  expect(await codes(12, START_MS + 60 * MINUTE_MS)).toEqual([]);
});

test('a new payee raises the score of a known payer, once', async () => {
  const { decide } = start();
  for (let n = 1; n <= 3; n++) await decide(question(n));
  expect((await decide(question(4))).score).toBe(0);
  const elsewhere = await decide(question(5, { payee: 'bar' }));
  expect(elsewhere).toMatchObject({ score: 120, reasons: ['NEW_PAYEE_FOR_PAYER'] });
  expect((await decide(question(6, { payee: 'bar' }))).score).toBe(0);
});

test('an unusual amount raises the score, what was not allowed is never usual', async () => {
  const { decide } = start();
  for (let n = 1; n <= 5; n++) await decide(question(n));
  const large = { amount: { currency: 'EUR', minor: 4_000n } };
  const first = await decide(question(6, { ...large, payee: 'bar' }));
  expect(first).toMatchObject({
    decision: 'step_up',
    score: 495,
    reasons: ['AMOUNT_ABOVE_PAYER_MAX', 'AMOUNT_ABOVE_PAYER_NORM', 'NEW_PAYEE_FOR_PAYER'],
  });
  expect((await decide(question(7, { ...large, payee: 'bar' }))).score).toBe(495);
  expect(await decide(question(8, { ...large, payee: 'bar', presence: 4 }))).toMatchObject({
    decision: 'allow',
    score: 495,
  });
  expect((await decide(question(9, { ...large, payee: 'bar' }))).score).toBe(25);
});

const usual: Past = {
  countShort: 0,
  count: 0,
  sum: 0n,
  known: 10,
  mean: 400n,
  largest: 500n,
  isPayeeKnown: true,
};

test('everything at once is denied, also with a wallet’s signature; four reasons are told', () => {
  const past = { ...usual, countShort: 50, count: 50, sum: 99_999n, isPayeeKnown: false };
  const amount = { currency: 'EUR', minor: 9_000n };
  const answer = judge(question(1, { presence: 4, amount }), past, THRESHOLDS);
  expect(answer).toMatchObject({ decision: 'deny', score: 1_000 });
  expect(answer.reasons).toEqual([
    { code: 'VELOCITY_10M', weight: 300, value: 50 },
    { code: 'VELOCITY_1H', weight: 300, value: 50 },
    { code: 'AMOUNT_ABOVE_PAYER_NORM', weight: 250, value: 2_250 },
    { code: 'AMOUNT_ABOVE_PAYER_MAX', weight: 200, value: 1_800 },
  ]);
});

test('the score is the sum of the points, and thresholds are inclusive', () => {
  const past = { ...usual, count: 8, sum: 4_000n };
  const answer = judge(question(1), past, { stepUp: 145, deny: 146 });
  expect(answer).toMatchObject({ score: 145, decision: 'step_up' });
  expect(judge(question(1), past, { stepUp: 100, deny: 145 }).decision).toBe('deny');
  expect(judge(question(1), past, { stepUp: 146, deny: 1_001 }).decision).toBe('allow');
});

test('old answers are forgotten after RISK_KEEP_MS, and not before', async () => {
  const { post, history, pass } = start();
  const { text } = await post(json(question(1)));
  pass(RISK_KEEP_MS);
  history.prune();
  expect((await post(json(question(1)))).text).toBe(text);
  expect((await post(json(question(1, { payee: 'bar' })))).status).toBe(409);
  pass(1);
  history.prune();
  expect((await post(json(question(1, { payee: 'bar' })))).status).toBe(200);
});

const malformed: { why: string; body: unknown }[] = [
  { why: 'an unknown field', body: { ...json(question(1)), ip: '::1' } },
  { why: 'a missing field', body: { id: id(1) } },
  { why: 'an unknown channel', body: { ...json(question(1)), channel: 'fax' } },
  { why: 'presence 5', body: { ...json(question(1)), presence: 5 } },
  { why: 'an amount that is a number', body: { ...json(question(1)), minor: 4 } },
  { why: 'an amount above 2^53', body: { ...json(question(1)), minor: '9007199254740992' } },
];

test.each(malformed)('400: $why', async ({ body }) => {
  expect((await start().post(body)).status).toBe(400);
});

const answer = {
  id: id(1),
  decision: 'allow',
  score: 10,
  reasons: [{ code: 'COLD_START', weight: 10, value: 0 }],
  model: { id: 'm', version: '2' },
};
const unreadable: { why: string; http: () => Promise<{ status: number; body: Uint8Array }> }[] = [
  { why: 'a timeout', http: () => Promise.reject(new HttpFailure('no answer', true)) },
  { why: 'status 500', http: async () => ({ status: 500, body: toBody(answer) }) },
  { why: 'no JSON', http: async () => ({ status: 200, body: Uint8Array.of(1) }) },
  ...[
    { ...answer, decision: 'ALLOW' },
    { ...answer, id: id(2) },
    { ...answer, score: 1_001 },
    { ...answer, score: 0.5 },
    { ...answer, more: 1 },
    { ...answer, reasons: Array.from({ length: 5 }, () => answer.reasons[0]) },
    { ...answer, model: 'm' },
  ].map((json) => ({
    why: JSON.stringify(json).slice(0, 60),
    http: async () => ({ status: 200, body: toBody(json) }),
  })),
];

function clientOver(http: Http) {
  const clock = { nowMs: () => START_MS, monotonicMs: () => START_MS };
  return createRiskClient({ http, url: 'http://risk', secret, clock, random: real.random });
}

test.each(unreadable)('never an approval: $why', async ({ http }) => {
  let attempts = 0;
  const client = clientOver(() => {
    attempts++;
    return http();
  });
  expect((await client.assess(question(1))).kind).toBe('unavailable');
  expect(attempts).toBe(RISK_ATTEMPTS);
});

test('a lost answer is asked for again, with a fresh nonce', async () => {
  const calls: HttpCall[] = [];
  const client = clientOver(async (call) => {
    calls.push(call);
    if (calls.length === 1) throw new HttpFailure('no answer', true);
    return { status: 200, body: toBody(answer) };
  });
  expect(await client.assess(question(1))).toEqual({
    kind: 'decided',
    decision: 'allow',
    score: 10,
    reasons: ['COLD_START'],
    model: 'm/2',
  });
  expect(calls[1]?.body).toEqual(calls[0]?.body);
  expect(calls[1]?.headers['saytap-nonce']).not.toBe(calls[0]?.headers['saytap-nonce']);
});

test('the program answers over a real connection, and names its wrong options', async () => {
  const options = {
    listen: { host: '127.0.0.1', port: 0 },
    database: ':memory:',
    secret: '03'.repeat(32),
    thresholds: { stepUp: 1, deny: 1_001 },
  };
  const lines: string[] = [];
  const risk = await startRisk(options, (line) => lines.push(line));
  closing.push(risk.stop);
  expect(lines).toEqual([`risk listening on http://127.0.0.1:${risk.port}`]);
  const { http, close } = createHttp();
  closing.push(close);
  const { clock, random } = real;
  const client = createRiskClient({ http, url: risk.url, secret, clock, random });
  expect(await client.assess(question(1))).toMatchObject({ kind: 'decided', decision: 'step_up' });

  const wrong = { ...options, listen: { host: '', port: 70_000 } };
  const error = await startRisk(wrong, () => {}).catch((caught: unknown) => caught);
  expect(error).toMatchObject({ name: 'OperatorError', exit: EXITS.config });
  expect((error as Error).message).toMatch(/listen\.host.*listen\.port/);
});

test('of many payments at once all are asked about, a few at a time, in their order', async () => {
  const { http, clock } = start();
  const { underway, most, slow } = slowed(http);
  const client = createRiskClient({
    ...{ http: slow, url: 'http://risk', secret, clock, random: real.random },
  });
  const asked = Array.from({ length: 3 * RISK_CALLS_MAX }, (_, n) => client.assess(question(n)));
  const kinds = (await Promise.all(asked)).map(({ kind }) => kind);
  expect(new Set(kinds)).toEqual(new Set(['decided']));
  expect(most()).toBe(RISK_CALLS_MAX);
  expect(underway.map((one) => one)).toEqual(asked.map((_, n) => id(n)));
});

test('whoever waits too long is told that there is no answer, and is not asked about', async () => {
  const { http, clock, pass } = start();
  const { underway, slow } = slowed(http);
  const client = createRiskClient({
    ...{ http: slow, url: 'http://risk', secret, clock, random: real.random },
  });
  const first = Array.from({ length: RISK_CALLS_MAX }, (_, n) => client.assess(question(n)));
  const late = [90, 91].map((n) => client.assess(question(n)));
  pass(RISK_WAIT_MS + 1);
  await Promise.all(first);
  expect(await Promise.all(late)).toEqual(
    late.map(() => ({ kind: 'unavailable', why: 'too many payments before this one' })),
  );
  expect(underway).not.toContain(id(90));
  expect((await client.assess(question(92))).kind, 'and the line is free again').toBe('decided');
});

/** The same service, which takes a turn of the loop for each answer. */
function slowed(http: Http) {
  const underway: string[] = [];
  let running = 0;
  let most = 0;
  const slow: Http = async (call) => {
    underway.push((fromBody(call.body!) as { id: string }).id);
    most = Math.max(most, ++running);
    await new Promise((done) => setImmediate(done));
    running--;
    return http(call);
  };
  return { underway, most: () => most, slow };
}
