/** Method: a relay before a double of a service, with each thing that a call can meet. */
import { expect, test } from 'vitest';
import { TROUBLE_OVER_MS } from '../../src/limits.ts';
import type { HttpCall, HttpQuestion } from '../../src/platform.ts';
import { type Relayed, createRelay } from '../../simulator/relay.ts';
import type { CallFate } from '../../simulator/troubles.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const QUESTION: HttpQuestion = {
  ...{ method: 'POST', path: '/v1/authorise?a=1', body: bytes('{"key":1}') },
  headers: { 'content-type': 'application/json', 'saytap-mac': 'ab', cookie: 'c', host: 'h' },
};

async function ask(fate: CallFate, isAway = false) {
  const calls: HttpCall[] = [];
  const seen: Relayed[] = [];
  const waits: number[] = [];
  const reply = await createRelay({
    service: 'ledger',
    url: () => 'http://127.0.0.1:7',
    patienceMs: 2_000,
    async http(call) {
      calls.push(call);
      if (isAway) throw new Error('away');
      return { status: 200, body: bytes('{}') };
    },
    timers: {
      after(ms, run) {
        waits.push(ms);
        run();
        return () => {};
      },
      soon: (run) => run(),
    },
    fate: () => fate,
    see: (relayed) => seen.push(relayed),
  })(QUESTION);
  return { reply, calls, waits, seen: seen.map(({ way, status }) => [way, status]) };
}

test('hands on what is signed, and nothing else of the head', async () => {
  const { reply, calls, waits } = await ask('delivered');
  expect(reply).toEqual({ status: 200, body: bytes('{}') });
  expect(calls).toHaveLength(1);
  expect(calls[0]).toMatchObject({
    ...{ method: 'POST', url: 'http://127.0.0.1:7/v1/authorise?a=1', body: QUESTION.body },
    headers: { 'content-type': 'application/json', 'saytap-mac': 'ab' },
  });
  expect(Object.keys(calls[0]!.headers)).toHaveLength(2);
  expect(waits).toEqual([]);
});

const answered = [
  ['asked', undefined],
  ['answered', 200],
];
test.each([
  ['refused', 'drop', 0, [['asked', undefined]], []],
  ['lost', 'drop', 1, answered, []],
  ['again', { status: 200, body: bytes('{}') }, 2, answered, []],
  ['slow', { status: 200, body: bytes('{}') }, 1, answered, [2_000 + TROUBLE_OVER_MS]],
] as const)('%s', async (fate, reply, count, seen, waits) => {
  const asked = await ask(fate);
  expect(asked.reply).toEqual(reply);
  expect(asked.calls).toHaveLength(count);
  expect(asked.seen).toEqual(seen);
  expect(asked.waits).toEqual(waits);
});

test('a service that is away breaks the connection, as it would itself', async () => {
  const { reply, seen } = await ask('delivered', true);
  expect([reply, seen]).toEqual(['drop', [['asked', undefined]]]);
});
