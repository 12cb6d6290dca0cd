// The devices of one worker against a bridge that the test plays: real signatures, a line that is
// only two functions, and a clock that the test turns.
import { expect, test } from 'vitest';
import { type Crew, createCrew } from '../../../simulator/fleet/crew.ts';
import type { Enrolled, Told } from '../../../simulator/fleet/message.ts';
import { profileOf } from '../../../simulator/fleet/profile.ts';
import { REASONS } from '../../../src/errors.ts';
import { OUTBOX_WINDOW, RESEND_MS } from '../../../src/limits.ts';
import { random } from '../../../src/node/platform.ts';
import { open, seal } from '../../../src/objects/kind.ts';
import { query as queryKind } from '../../../src/objects/query.ts';
import { type Receipt, receipt as receiptKind } from '../../../src/objects/receipt.ts';
import { request as requestKind } from '../../../src/objects/request.ts';
import { tick as tickKind } from '../../../src/objects/tick.ts';
import type { LinkEvents } from '../../../src/platform.ts';
import { generatePem, nodeSigner, publicPem, readPrivatePem } from '../../../src/signer.ts';
import { downTopic, stateTopic, upTopic } from '../../../src/topics.ts';

const realm = { environment: 'sim', ledger: 'test' } as const;
const signerOf = () => nodeSigner(readPrivatePem(generatePem('ES256')));

type Asked = Readonly<{ device: string; id: string; counter: number; envelope: Uint8Array }>;

/** Devices that are connected, and what they ask; nothing answers but what the test does. */
async function setUp(names: readonly string[]) {
  const bridge = signerOf();
  const time = virtualTime();
  const lines = new Map<string, LinkEvents>();
  const births: string[] = [];
  const asked: Asked[] = [];
  const keys = new Map(names.map((name) => [name, generatePem('ES256')]));
  const crew = createCrew({
    ...{ clock: time.clock, timers: time.timers, random, loopMs: () => 0 },
    connect({ clientId }, events) {
      lines.set(clientId, events);
      const { key } = nodeSigner(readPrivatePem(keys.get(clientId)!));
      return {
        publish(topic, envelope) {
          if (topic === stateTopic(clientId)) births.push(clientId);
          if (topic === upTopic(clientId, 'query')) {
            const { echo } = open(queryKind, envelope, realm, () => key).value;
            void tell(clientId, 'tick', { echo: echo!, counter: 0, audience: key.name });
          }
          if (topic === upTopic(clientId, 'request')) {
            const { value, id } = open(requestKind, envelope, realm, () => key);
            asked.push({ device: clientId, id, counter: value.counter, envelope });
          }
        },
        renew() {},
        close: async () => {},
      };
    },
  });
  const tell = async (device: string, kind: 'tick', more: object) => {
    const tick = { iat: 1, nonce: new Uint8Array(8), ...more };
    const envelope = await seal(tickKind, tick, realm, bridge);
    lines.get(device)!.message(downTopic(device, kind), envelope);
  };
  const devices: Enrolled[] = names.map((name) => ({
    ...{ name, pem: keys.get(name)!, mandate: '0'.repeat(32), payee: 'shop', terminal: 'till' },
  }));
  crew.take({
    ...{ kind: 'connect', url: 'mqtt://nowhere', realm, bridgeKey: publicPem(bridge.key), devices },
    ...{ currency: 'CNY', minor: 12_50n, connectsPerS: 1_000, verifyEach: 1 },
  });
  await time.pass(100);
  for (const name of names) lines.get(name)!.state('up', '');
  await time.pass(100);
  expect(births).toEqual(names);
  const answer = async (
    { device, id }: Pick<Asked, 'device' | 'id'>,
    said: Partial<Receipt> = { outcome: 'captured' },
    signer = bridge,
  ) => {
    const receipt = { iat: 1, subject: id, outcome: 'captured', ...said } as Receipt;
    const envelope = await seal(receiptKind, receipt, realm, signer);
    lines.get(device)!.message(downTopic(device, 'receipt'), envelope);
    await time.settle();
  };
  return { crew, time, asked, answer, lines, ready: crew.told().ready };
}

/** A load of so many a second, as a metronome. */
function load(crew: Crew, perSecond: number, seconds: number, measuredFromMs = 0): void {
  const profile = profileOf('constant', perSecond, seconds);
  const part = { index: 0, of: 1 };
  crew.take({ kind: 'load', profile, arrivals: 'even', part, seed: '', measuredFromMs });
}

test('a bridge that stalls is in the times of all who were due meanwhile', async () => {
  const { crew, time, asked, answer, ready } = await setUp(['a', 'b']);
  expect(ready).toBe(2);
  load(crew, 10, 3);
  // For a second nobody is answered. Two people who wait for an answer would ask twice in it.
  await time.pass(1_000);
  expect(asked).toHaveLength(10);
  for (const one of asked.splice(0)) await answer(one);
  const { latenciesUs, due, sent } = crew.told();
  expect([due, sent]).toEqual([10, 10]);
  const ms = [...latenciesUs].map((us) => Math.round(us / 1000)).sort((a, b) => a - b);
  expect(ms).toEqual([50, 150, 250, 350, 450, 550, 650, 750, 850, 950]);
});

test('who could not send is timed from when it was due, too', async () => {
  const { crew, time, asked, answer, lines } = await setUp(['a']);
  lines.get('a')!.state('down', 'gone');
  load(crew, 10, 1);
  await time.pass(1_000);
  expect(crew.told()).toMatchObject({ due: 10, sent: 0, held: 10, ready: 0 });
  lines.get('a')!.state('up', '');
  await time.pass(100);
  for (const one of asked.splice(0)) await answer(one);
  const { latenciesUs, latenessUs, isOver } = crew.told();
  expect(isOver).toBe(true);
  expect(Math.round(Math.max(...latenessUs) / 1000)).toBeGreaterThanOrEqual(950);
  expect(Math.round(Math.max(...latenciesUs) / 1000)).toBeGreaterThanOrEqual(950);
});

test('the same bytes go again until a final receipt verifies, and not after', async () => {
  const { crew, time, asked, answer } = await setUp(['a']);
  load(crew, 1, 1);
  await time.pass(600);
  const [first] = asked;
  await answer(first!, { outcome: 'pending', reason: REASONS.in_progress });
  await answer(first!, { outcome: 'captured' }, signerOf());
  await time.pass(RESEND_MS + 200);
  expect(asked.map(({ envelope }) => envelope)).toEqual([first!.envelope, first!.envelope]);
  expect(crew.told()).toMatchObject({ waiting: 1, counts: { pending: 1, bad: 1, resent: 1 } });
  await answer(first!);
  await time.pass(120_000);
  expect(asked).toHaveLength(2);
  expect(crew.told()).toMatchObject({ waiting: 0, counts: { paid: 1, resent: 0 } });
});

test('a device has a window and counts on: the bridge never takes it for a copy', async () => {
  const { crew, time, asked, answer } = await setUp(['a']);
  load(crew, 100, 1);
  await time.pass(1_000);
  expect(asked).toHaveLength(OUTBOX_WINDOW);
  for (let at = 0; at < 100; at++) await answer(asked[at]!);
  expect(asked.map(({ counter }) => counter)).toEqual(
    Array.from({ length: 100 }, (_, at) => at + 1),
  );
  expect(crew.told()).toMatchObject({ sent: 100, counts: { paid: 100 } });
});

test('refusals are counted by their reason, and what is not measured is not timed', async () => {
  const { crew, time, asked, answer } = await setUp(['a', 'b']);
  load(crew, 2, 2, 1_000);
  await time.pass(2_000);
  for (const one of asked) {
    await answer(one, { outcome: 'refused', reason: REASONS.limit_count });
  }
  const told = crew.told();
  expect(told.refused).toEqual({ limit_count: 4 });
  expect(told.latenciesUs).toHaveLength(2);
});

test('what has no final word at the end is told as open', async () => {
  const { crew, time, asked, answer } = await setUp(['a']);
  load(crew, 3, 1);
  await time.pass(1_000);
  await answer(asked[0]!);
  crew.take({ kind: 'finish' });
  const { ended, isFinished, waiting } = crew.told() satisfies Told;
  const ends = Array.from({ length: 3 }, (_, at) => ended[at * 17 + 16]);
  expect({ ends, isFinished, waiting }).toEqual({ ends: [1, 0, 0], isFinished: true, waiting: 0 });
  await answer(asked[1]!);
  expect(crew.told().ended).toHaveLength(0);
});

/** A clock that stands still but for `pass`, which runs every timer at its time. */
function virtualTime() {
  let nowMs = 1_000;
  let timers: { atMs: number; run: () => void }[] = [];
  // Signatures are promises that wait for nothing.
  const settle = () => new Promise<void>((done) => setImmediate(done));
  return {
    clock: { nowMs: () => 1_700_000_000_000 + nowMs, monotonicMs: () => nowMs },
    timers: {
      after(ms: number, run: () => void) {
        const timer = { atMs: nowMs + ms, run };
        timers.push(timer);
        return () => void (timers = timers.filter((one) => one !== timer));
      },
      soon: (run: () => void) => void setImmediate(run),
    },
    settle,
    async pass(ms: number) {
      const endMs = nowMs + ms;
      for (;;) {
        await settle();
        const next = timers.toSorted((a, b) => a.atMs - b.atMs)[0];
        if (!next || next.atMs > endMs) break;
        timers = timers.filter((one) => one !== next);
        nowMs = next.atMs;
        next.run();
      }
      nowMs = endMs;
    },
  };
}
