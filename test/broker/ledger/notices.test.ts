/** Notices of the ledger: told until taken, of one key one at a time, bounded in everything. */
import { expect, test } from 'vitest';
import { createVerifier, fromBody } from '../../../broker/hmac.ts';
import { createNotices } from '../../../broker/ledger/notices.ts';
import {
  NOTICE_ATTEMPTS,
  NOTICE_MS,
  NOTICE_MS_MAX,
  NOTICES_AT_ONCE,
  NOTICES_MAX,
} from '../../../src/limits.ts';
import { HttpFailure, type HttpAnswer, type HttpCall } from '../../../src/platform.ts';
import { seededRandom } from '../backends/hostile.ts';
import { createTime } from '../backends/time.ts';

const secret = new Uint8Array(32).fill(9);

/** Notices over a bridge that answers as it is told to, on virtual time. */
function begin(answer: (call: HttpCall, count: number) => Promise<HttpAnswer>) {
  const { clock, timers, pass, due } = createTime();
  const calls: { atMs: number; json: unknown; call: HttpCall }[] = [];
  const notices = createNotices({
    http: (call) => {
      calls.push({ atMs: clock.monotonicMs(), json: fromBody(call.body), call });
      return answer(call, calls.length);
    },
    timers,
    random: seededRandom(1),
    clock,
    secret,
    url: 'http://bridge:1',
    name: 'till',
  });
  return { notices, calls, pass, clock, due };
}

const status = (code: number): HttpAnswer => ({ status: code, body: new Uint8Array() });
const takes = async () => status(204);

test('a notice is the signed answer, told once when it is taken', async () => {
  const { notices, calls, pass, clock } = begin(takes);
  await notices.tell('k', { key: 'k', kind: 'done' });
  await pass(NOTICE_MS_MAX);
  expect(calls).toHaveLength(1);
  const { call } = calls[0]!;
  expect(call).toMatchObject({ method: 'POST', url: 'http://bridge:1/v1/notifications/till' });
  expect(calls[0]?.json).toEqual({ key: 'k', kind: 'done' });
  const verify = createVerifier({
    secret,
    clock: { ...clock, nowMs: () => clock.nowMs() - 60_000 },
  });
  expect(verify({ ...call, path: '/v1/notifications/till' })).toBeUndefined();
});

test.each([
  { why: 'refused', answer: () => Promise.reject(new HttpFailure('refused', false)) },
  { why: 'lost', answer: () => Promise.reject(new HttpFailure('broke', true)) },
  { why: 'a failure of the bridge', answer: async () => status(503) },
  { why: 'a refusal of the bridge', answer: async () => status(401) },
  { why: 'a redirection', answer: async () => status(302) },
])('not taken ($why): told again after growing pauses, and then given up', async ({ answer }) => {
  const { notices, calls, pass } = begin(answer);
  await notices.tell('k', {});
  expect(calls).toHaveLength(NOTICE_ATTEMPTS);
  const pauses = calls.slice(1).map(({ atMs }, n) => atMs - calls[n]!.atMs);
  for (const [n, pause] of pauses.entries()) {
    const longest = Math.min(NOTICE_MS * 2 ** n, NOTICE_MS_MAX);
    expect(pause).toBeGreaterThanOrEqual(longest / 2);
    expect(pause).toBeLessThanOrEqual(longest);
  }
  expect(new Set(calls.map(({ call }) => call.headers['saytap-nonce'])).size).toBe(calls.length);
  await pass(10 * NOTICE_MS_MAX);
  expect(calls).toHaveLength(NOTICE_ATTEMPTS);
});

test('of one key one is under way at a time, in their order; another key overtakes', async () => {
  const { notices, calls } = begin(async (_call, count) => status(count <= 2 ? 503 : 204));
  await Promise.all([
    notices.tell('k', { n: 1 }),
    notices.tell('k', { n: 2 }),
    notices.tell('other', { n: 3 }),
    notices.tell('k', { n: 4 }),
  ]);
  const told = calls.map(({ json }) => (json as { n: number }).n);
  expect(told.slice(0, 2)).toEqual([1, 3]);
  expect(told.filter((n) => n !== 3)).toEqual([1, 1, 2, 4]);
});

test('only so many are under way at once', async () => {
  let open = 0;
  let most = 0;
  const { clock, timers } = createTime();
  const notices = createNotices({
    http: () =>
      new Promise((resolve) => {
        most = Math.max(most, ++open);
        timers.after(5, () => {
          open--;
          resolve(status(204));
        });
      }),
    timers,
    random: seededRandom(1),
    clock,
    secret,
    url: 'http://bridge:1',
    name: 'till',
  });
  await Promise.all(Array.from({ length: 100 }, (_, n) => notices.tell(`k${n}`, {})));
  expect(most).toBe(NOTICES_AT_ONCE);
});

test('a full queue drops, a closed one gives up, and nobody waits for ever', async () => {
  const { notices, calls, pass } = begin(() => new Promise(() => {}));
  const told = Array.from({ length: NOTICES_MAX }, (_, n) => notices.tell(`k${n}`, {}));
  await notices.tell('dropped', {});
  await pass(1);
  expect(calls).toHaveLength(NOTICES_AT_ONCE);
  notices.close();
  await Promise.all(told);
  await notices.tell('after the end', {});
  await pass(NOTICE_MS_MAX);
  expect(calls).toHaveLength(NOTICES_AT_ONCE);
});

test.each([
  { when: 'between two attempts', isPausing: true },
  { when: 'during one', isPausing: false },
])('closed $when, it leaves no timer behind and tells nothing again', async (row) => {
  let fail = () => {};
  const { notices, calls, pass, due } = begin(
    () =>
      new Promise((_resolve, reject) => {
        fail = () => reject(new Error('broke'));
        if (row.isPausing) fail();
      }),
  );
  const told = notices.tell('k', {});
  await pass(1);
  expect(due()).toBe(row.isPausing ? 1 : 0);
  notices.close();
  fail();
  await told;
  await pass(0);
  expect(due()).toBe(0);
  expect(calls).toHaveLength(1);
});
