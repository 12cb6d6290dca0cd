// Method: the wire keeps what is published with its time, so that "the same bytes, with growing
// pauses" is a list to compare. Every way a receipt can be false is one row; none may close.
import { describe, expect, test } from 'vitest';
import { fromHex } from '../../src/bytes.ts';
import { identify, payloadOf } from '../../src/cose.ts';
import { PaymentError, REASONS } from '../../src/errors.ts';
import {
  LEASE_ASK_MS,
  LEASE_REFILL_MS,
  LINK_RENEW_MS,
  LINK_RENEW_MS_MAX,
  LINK_SILENT_MS,
  OUTBOX_TAKEN_MAX,
  OUTBOX_WINDOW,
  PRESENCE_MS,
  RESEND_FOR_MS,
  RESEND_MS,
  RESEND_MS_MAX,
  SESSIONS_RESERVED,
  TICK_ASK_MS,
  TICK_ASK_MS_MAX,
  TICK_SLOT_MS,
  TICK_USE_MS,
} from '../../src/limits.ts';
import { open, seal } from '../../src/objects/kind.ts';
import { order as orderKind } from '../../src/objects/order.ts';
import { query as queryKind } from '../../src/objects/query.ts';
import { receipt as receiptKind } from '../../src/objects/receipt.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import { parsePresence } from '../../src/presence.ts';
import { upTopic } from '../../src/topics.ts';
import { KeyFailure } from '../../device/keys/store.ts';
import {
  DEVICE,
  MANDATE_ID,
  REALM,
  NONCE,
  PLACE,
  START_S,
  type Stage,
  bridge,
  createStage,
  root,
  settle,
  stranger,
  till,
  wearer,
} from './stage.ts';

const DOWN = `saytap/1/${DEVICE}/down/receipt`;
const id = (n: number) => n.toString(16).padStart(32, '0');

/** Stores and sends an entry as the runtime does, without a person. */
function send(stage: Stage, n: number, storedMs = stage.time.clock.nowMs()) {
  const entry = {
    id: id(n),
    kind: 'request',
    envelope: Uint8Array.of(n >> 8, n),
    storedMs,
  } as const;
  stage.outbox.put(entry, { key: wearer.key.name, counter: n });
  stage.link.send(entry);
  return entry;
}

async function readyStage(): Promise<Stage> {
  const stage = await createStage();
  await stage.ready();
  return stage;
}

const gaps = (stage: Stage) =>
  stage.wire.sent('request').map(({ atMs }, i, all) => atMs - (all[i - 1]?.atMs ?? atMs));

test('connects as its device, to its own topics and the tick', async () => {
  const stage = await createStage();
  const { will, ...options } = stage.wire.options();
  expect(will!().topic).toBe(`saytap/1/${DEVICE}/state`);
  expect(options).toEqual({
    url: 'mqtt://nowhere',
    clientId: DEVICE,
    subscriptions: [
      { topic: `saytap/1/${DEVICE}/down/+`, qos: 1 },
      { topic: 'saytap/1/demo/tick', qos: 0 },
    ],
  });
});

test('sends the same bytes with growing pauses, until the final receipt', async () => {
  const stage = await readyStage();
  const { envelope } = send(stage, 1);
  await stage.live(2 * 60_000);
  const sent = stage.wire.sent('request');
  expect(gaps(stage).slice(0, 7)).toEqual([
    0,
    ...[1, 2, 4, 8].map((n) => n * RESEND_MS),
    30_000,
    30_000,
  ]);
  expect(Math.max(...gaps(stage))).toBe(RESEND_MS_MAX);
  for (const { payload, qos } of sent)
    expect({ payload, qos }).toEqual({ payload: envelope, qos: 1 });

  await stage.pending(id(1), 'in_progress');
  await stage.live(60_000);
  expect(stage.wire.sent('request').length, 'pending closes nothing').toBeGreaterThan(sent.length);
  expect(stage.outbox.open()).toHaveLength(1);

  const receipt = await stage.capture(id(1));
  const count = stage.wire.sent('request').length;
  await stage.live(5 * 60_000);
  expect(stage.wire.sent('request')).toHaveLength(count);
  expect(stage.outbox.get(id(1))?.receipt).toEqual(receipt);
});

describe('a receipt that is not the bridge’s closes nothing', () => {
  const value = {
    iat: START_S,
    subject: id(1),
    outcome: 'captured',
    amount: { currency: 'CNY', minor: 1n },
  } as const;
  const good = () => seal(receiptKind, value, REALM, bridge);

  test.each<[string, () => Promise<Uint8Array>]>([
    ['signed by a stranger', () => seal(receiptKind, value, REALM, stranger)],
    ['signed by the device itself', () => seal(receiptKind, value, REALM, wearer)],
    ['signed by a terminal', () => seal(receiptKind, value, REALM, till)],
    ['signed by the root', () => seal(receiptKind, value, REALM, root)],
    ['of another ledger', () => seal(receiptKind, value, { ...REALM, ledger: 'other' }, bridge)],
    [
      'of the live service',
      () => seal(receiptKind, value, { ...REALM, environment: 'live' }, bridge),
    ],
    ['of another subject', () => seal(receiptKind, { ...value, subject: id(2) }, REALM, bridge)],
    [
      'another kind of object',
      () => seal(orderKind, { ...ORDER, salt: new Uint8Array(16) }, REALM, bridge),
    ],
    ['cut short', async () => (await good()).subarray(0, 60)],
    ['empty', async () => new Uint8Array()],
    ['unsigned CBOR', async () => fromHex('a1171868')],
  ])('%s', async (_why, forge) => {
    const stage = await readyStage();
    send(stage, 1);
    stage.wire.deliver(DOWN, await forge());
    await settle();
    expect(stage.heard).toEqual([]);
    expect(stage.outbox.open()).toHaveLength(1);
    stage.wire.deliver(DOWN, await good());
    expect(stage.outbox.open(), 'the good one does').toEqual([]);
  });

  test('with any one bit flipped', async () => {
    const stage = await readyStage();
    send(stage, 1);
    const bytes = await good();
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = bytes.with(bit >> 3, bytes[bit >> 3]! ^ (1 << (bit & 7)));
      stage.wire.deliver(DOWN, flipped);
    }
    expect(stage.heard).toEqual([]);
    expect(stage.outbox.open()).toHaveLength(1);
  });

  test('on the topic of another device, or of another way', async () => {
    const stage = await readyStage();
    send(stage, 1);
    for (const topic of [
      'saytap/1/glasses-2/down/receipt',
      `saytap/1/${DEVICE}/up/receipt`,
      `saytap/1/${DEVICE}/down/order`,
      `saytap/1/${DEVICE}/down/receipt/x`,
    ]) {
      stage.wire.deliver(topic, await good());
    }
    expect(stage.outbox.open()).toHaveLength(1);
  });
});

const ORDER = {
  exp: START_S + 600,
  amount: { currency: 'CNY', minor: 1n },
  payee: 'luckin-coffee',
  terminal: 'till-1',
  lines: [{ text: 'x', quantity: 1, total: 1n }],
} as const;

test('an unsigned answer is told to nobody but the operator', async () => {
  const stage = await readyStage();
  send(stage, 1);
  const topic = `saytap/1/${DEVICE}/down/unsigned`;
  for (const hex of ['a1171868', 'a11719ffff', 'a10101', '00', 'ff', '']) {
    stage.wire.deliver(topic, fromHex(hex));
  }
  expect(stage.unsigned).toEqual(['bad_signature']);
  expect(stage.outbox.open()).toHaveLength(1);
  await stage.time.pass(RESEND_MS);
  expect(stage.wire.sent('request')).toHaveLength(2);
});

test('a repeated final receipt is heard as a repetition', async () => {
  const stage = await readyStage();
  const entry = send(stage, 1);
  const receipt = await stage.capture(id(1));
  stage.link.send(entry);
  stage.wire.deliver(DOWN, receipt);
  await settle();
  expect(stage.heard.map(([subject, , , isFirst]) => [subject, isFirst])).toEqual([
    [id(1), true],
    [id(1), false],
  ]);
  const count = stage.wire.sent('request').length;
  await stage.live(60_000);
  expect(stage.wire.sent('request'), 'and ends the resending').toHaveLength(count);
});

test('never more than the window in flight; the next follows each receipt', async () => {
  const stage = await readyStage();
  const total = OUTBOX_WINDOW + 20;
  for (let n = 1; n <= total; n++) send(stage, n);
  expect(stage.wire.sent('request')).toHaveLength(OUTBOX_WINDOW);
  for (let n = 1; n <= 5; n++) await stage.capture(id(n));
  expect(stage.wire.sent('request')).toHaveLength(OUTBOX_WINDOW + 5);
  for (let n = 6; n <= total; n++) await stage.capture(id(n));
  expect(stage.wire.sent('request'), 'each once').toHaveLength(total);
  expect(stage.outbox.open()).toEqual([]);

  for (let n = total + 1; n <= 3 * total; n++) send(stage, n);
  await stage.live(3 * 60_000);
  const times = stage.wire
    .sent('request')
    .slice(total)
    .map(({ atMs }) => atMs);
  for (const atMs of new Set(times)) {
    const inFlight = times.filter((other) => other <= atMs && other > atMs - RESEND_MS).length;
    expect(inFlight).toBeLessThanOrEqual(OUTBOX_WINDOW);
  }
  const distinct = new Set(stage.wire.sent('request').map(({ payload }) => payload.join()));
  // A bridge that is away for minutes must not come back to a counter that looks like a copy's.
  expect(distinct.size, 'only the oldest are on their way').toBe(total + OUTBOX_WINDOW);
});

test('what the bridge has and a backend owes holds no place, up to what it takes', async () => {
  const stage = await readyStage();
  const most = OUTBOX_WINDOW + OUTBOX_TAKEN_MAX;
  for (let n = 1; n <= most + 10; n++) send(stage, n);
  const distinct = () => new Set(stage.wire.sent('request').map(({ payload }) => payload.join()));
  // Said of what is not stored, too: it keeps its place.
  await stage.pending(id(1), 'unavailable');
  expect(distinct().size).toBe(OUTBOX_WINDOW);
  await stage.pending(id(1), 'backend_unknown');
  await stage.pending(id(1), 'backend_unknown');
  await stage.pending(id(2), 'in_progress');
  expect(distinct().size, 'one for each').toBe(OUTBOX_WINDOW + 2);
  for (let n = 3; n <= most; n++) await stage.pending(id(n), 'backend_unknown');
  expect(distinct().size, 'as many as the bridge takes').toBe(most);
  await stage.capture(id(7));
  expect(distinct().size).toBe(most + 1);

  // A bridge that comes back may be one that was restored: it is asked about the oldest first.
  stage.wire.down();
  const before = stage.wire.sent('request').length;
  stage.wire.up();
  await stage.boot();
  expect(stage.wire.sent('request').length - before).toBe(OUTBOX_WINDOW);
});

test('after a reconnect all is sent at once, and nothing while it is down', async () => {
  const stage = await readyStage();
  send(stage, 1);
  await stage.time.pass(14_001);
  const early = stage.wire.sent('request').length;
  stage.wire.down();
  stage.wire.up();
  await settle();
  expect(stage.wire.sent('request'), 'not only when its pause is over').toHaveLength(early + 1);
  stage.wire.down();
  const before = stage.wire.published.length;
  send(stage, 2);
  await stage.time.pass(120_000);
  expect(stage.wire.published).toHaveLength(before);
  stage.wire.up();
  await settle();
  expect(stage.wire.published, 'but for a question, until it is answered').toHaveLength(before + 1);
  await stage.boot();
  expect(
    stage.wire
      .sent('request')
      .slice(-2)
      .map(({ payload }) => payload[1]),
  ).toEqual([1, 2]);
});

test('what is too old by trusted time is kept for a person, and listened for', async () => {
  const stage = await createStage();
  const entry = send(stage, 1, START_S * 1000 - RESEND_FOR_MS - 1_000);
  await stage.ready();
  await stage.live(60_000);
  expect(stage.logged).toContain('entry too old to be sent: a person must look');
  expect(stage.givenUp, 'and told once').toEqual([entry.id]);
  const count = stage.wire.sent('request').length;
  await stage.live(120_000);
  expect(stage.wire.sent('request')).toHaveLength(count);
  await stage.capture(entry.id);
  expect(stage.outbox.open()).toEqual([]);
});

test('what is too old takes no place from what is new', async () => {
  const stage = await createStage();
  const old = START_S * 1000 - RESEND_FOR_MS - 1_000;
  for (let n = 1; n <= OUTBOX_WINDOW; n++) send(stage, n, old);
  await stage.ready();
  await stage.time.pass(RESEND_MS);
  const before = stage.wire.sent('request').length;
  send(stage, OUTBOX_WINDOW + 1);
  expect(stage.wire.sent('request')).toHaveLength(before + 1);
});

test('a receipt that the disk does not take is asked for again', async () => {
  let isFull = true;
  const stage = await createStage({
    wrap: (outbox) => ({
      ...outbox,
      async close(...all) {
        if (isFull) throw new PaymentError('unavailable', 'disk full');
        await outbox.close(...all);
      },
    }),
  });
  await stage.ready();
  send(stage, 1);
  await stage.capture(id(1));
  expect(stage.heard, 'nothing is told that is not on disk').toEqual([]);
  expect(stage.logged).toContain('receipt not kept');
  const before = stage.wire.sent('request').length;
  isFull = false;
  await stage.time.pass(RESEND_MS_MAX);
  expect(stage.wire.sent('request').length).toBeGreaterThan(before);
  await stage.capture(id(1));
  expect(stage.heard).toHaveLength(1);
  expect(stage.outbox.open()).toEqual([]);
});

describe('what is to be cancelled', () => {
  const QUERY = Uint8Array.of(0xca);
  const queries = (stage: Stage) =>
    stage.wire.sent('query').filter(({ payload }) => payload[0] === QUERY[0]);
  const cancel = (stage: Stage, n: number) => stage.link.send(stage.outbox.cancel(id(n), QUERY)!);

  test('is asked at once, whatever pause the request was in, and sent itself no more', async () => {
    const stage = await readyStage();
    send(stage, 1);
    await stage.time.pass(20_000);
    const before = stage.wire.sent('request').length;
    cancel(stage, 1);
    expect(queries(stage)).toHaveLength(1);
    await stage.time.pass(3 * RESEND_MS);
    expect(queries(stage).map(({ qos }) => qos)).toEqual([1, 1, 1]);
    expect(stage.wire.sent('request')).toHaveLength(before);
  });

  test('is asked again after a start', async () => {
    const database = openDatabase(':memory:');
    const before = await createStage({ database });
    send(before, 1);
    before.outbox.cancel(id(1), QUERY);
    const after = await createStage({ database });
    await after.ready();
    expect([queries(after).length, after.wire.sent('request').length]).toEqual([1, 0]);
  });

  test('waits for no place, and keeps its own: the counters after it stay near', async () => {
    const stage = await readyStage();
    const total = OUTBOX_WINDOW + 2;
    for (let n = 1; n <= total; n++) send(stage, n);
    cancel(stage, total);
    expect(queries(stage), 'beyond the window').toHaveLength(1);
    cancel(stage, 1);
    await stage.time.pass(RESEND_MS_MAX);
    const distinct = new Set(stage.wire.sent('request').map(({ payload }) => payload.join()));
    expect(distinct.size).toBe(OUTBOX_WINDOW);
    await stage.refuse(id(1), 'cancelled');
    expect(stage.wire.sent('request').at(-1)?.payload[1]).toBe(OUTBOX_WINDOW + 1);
  });

  test('is asked no more when it is too old', async () => {
    const stage = await createStage();
    const entry = send(stage, 1, START_S * 1000 - RESEND_FOR_MS - 1_000);
    cancel(stage, 1);
    await stage.ready();
    await stage.live(10 * RESEND_MS_MAX);
    expect(queries(stage)).toEqual([]);
    await stage.refuse(entry.id, 'cancelled');
    expect(stage.outbox.open(), 'and listened for').toEqual([]);
  });
});

describe('what was cancelled before the bridge saw it', () => {
  /** An entry whose signed question to cancel is kept; `about` is the question's id. */
  async function cancelling(stage: Stage, n: number) {
    const entry = send(stage, n);
    const question = { question: 'cancel', subject: entry.id } as const;
    const query = await seal(queryKind, question, REALM, wearer);
    stage.link.send(stage.outbox.cancel(entry.id, query)!);
    return { entry, query, about: identify(query, REALM, queryKind.name).id };
  }

  test('is closed by the refusal of its own question, and nothing else is', async () => {
    const stage = await readyStage();
    const { entry, about } = await cancelling(stage, 1);
    const other = await cancelling(stage, 2);
    send(stage, 3);
    await stage.refuse(about, 'cancelled');
    expect(stage.outbox.open().map(({ id: one }) => one)).toEqual([other.entry.id, id(3)]);
    expect(stage.heard.map(([one, { subject }]) => [one, subject])).toEqual([[entry.id, about]]);
    const before = stage.wire.published.length;
    await stage.refuse(about, 'cancelled');
    expect(stage.heard, 'once').toHaveLength(1);
    expect(stage.wire.published).toHaveLength(before);
    const { receipt } = stage.outbox.get(entry.id)!;
    expect(open(receiptKind, receipt!, REALM, () => bridge.key).value.subject).toBe(about);
  });

  test('is closed so after a start too', async () => {
    const database = openDatabase(':memory:');
    const { about } = await cancelling(await createStage({ database }), 1);
    const after = await createStage({ database });
    await after.ready();
    await after.refuse(about, 'cancelled');
    expect(after.outbox.open()).toEqual([]);
  });

  test.each<[string, (stage: Stage, about: string) => Promise<unknown>]>([
    ['refused for another reason', (stage, about) => stage.refuse(about, 'expired')],
    ['captured', (stage, about) => stage.capture(about)],
    ['pending', (stage, about) => stage.pending(about, 'cancelled')],
    ['refused, of another question', (stage) => stage.refuse(id(77), 'cancelled')],
  ])('is not closed by a receipt about its question that is %s', async (_why, tell) => {
    const stage = await readyStage();
    const { about } = await cancelling(stage, 1);
    await tell(stage, about);
    expect(stage.heard).toEqual([]);
    expect(stage.outbox.open()).toHaveLength(1);
  });

  test('is not closed by one that somebody else signed', async () => {
    const stage = await readyStage();
    const { about } = await cancelling(stage, 1);
    await stage.receipt(
      { subject: about, outcome: 'refused', reason: REASONS.cancelled },
      stranger,
    );
    expect(stage.outbox.open()).toHaveLength(1);
  });

  test('is sent once more, in the same bytes, when the bridge has not seen it', async () => {
    const stage = await readyStage();
    const { entry } = await cancelling(stage, 1);
    send(stage, 2);
    const sent = () =>
      stage.wire.sent('request').filter(({ payload }) => payload.join() === entry.envelope.join());
    const before = stage.wire.sent('request').length;
    await stage.pending(id(1), 'in_progress');
    await stage.pending(id(2), 'not_seen');
    expect(stage.wire.sent('request'), 'no cause').toHaveLength(before);
    const count = sent().length;
    await stage.pending(id(1), 'not_seen');
    expect(sent()).toHaveLength(count + 1);
    await stage.live(10 * RESEND_MS_MAX);
    expect(sent(), 'once for each answer').toHaveLength(count + 1);
    expect(stage.outbox.open()).toHaveLength(2);
  });
});

test('a wall clock that jumps makes no payment old', async () => {
  const stage = await readyStage();
  send(stage, 1);
  const before = stage.wire.sent('request').length;
  stage.time.step(50 * 365 * 86_400_000);
  stage.wire.down();
  stage.wire.up();
  await stage.time.pass(10_000);
  expect(stage.wire.sent('request').length).toBeGreaterThan(before);
  expect(stage.logged).not.toContain('entry too old to be sent: a person must look');
});

test('closing sends no more', async () => {
  const stage = await readyStage();
  send(stage, 1);
  await stage.link.close();
  expect(stage.wire.isClosed()).toBe(true);
  const count = stage.wire.published.length;
  await stage.live(120_000);
  expect(stage.wire.published).toHaveLength(count);
});

describe('a key that does not sign', () => {
  test('the boot is asked again until it does; the reason is logged once', async () => {
    let isIn = false;
    const stage = await createStage({
      sign: (bytes) =>
        isIn ? wearer.sign(bytes) : Promise.reject(new KeyFailure('away', 'put it in')),
    });
    stage.wire.up();
    await stage.time.pass(20_000);
    expect(stage.wire.sent('query')).toEqual([]);
    expect(
      stage.logged.filter((event) => event === 'no question to the bridge can be signed'),
    ).toHaveLength(1);
    isIn = true;
    await stage.time.pass(TICK_ASK_MS_MAX);
    expect(stage.wire.sent('query')).toHaveLength(1);
    await stage.boot();
    expect(stage.states.at(-1)).toBe('ready');
  });
});

describe('the boot', () => {
  test('asks with a signed query and a random of its own, with growing pauses', async () => {
    const stage = await createStage();
    expect(stage.link.state()).toBe('down');
    stage.wire.up();
    await stage.live(60_000);
    expect(stage.link.state()).toBe('waiting');
    const queries = stage.wire.sent('query');
    const { value } = open(queryKind, queries[0]!.payload, REALM, () => wearer.key);
    expect(value.question).toBe('boot');
    const echoes = queries.map(({ payload }) => queryKind.decode(payloadOf(payload)).echo);
    expect(new Set(echoes.map(String)).size, 'new every time').toBe(echoes.length);
    const times = queries.map(({ atMs }) => atMs);
    expect(times).toEqual([0, 1_000, 3_000, 7_000, 15_000, 30_000, 45_000, 60_000]);
    await stage.boot();
    expect(stage.link.state()).toBe('ready');
    expect(stage.states).toEqual(['waiting', 'ready']);
  });

  test.each<[string, (stage: Stage) => Promise<void>]>([
    ['with another echo', (stage) => stage.boot({ echo: new Uint8Array(16) })],
    ['of another key', (stage) => stage.boot({ audience: stranger.key.name })],
    ['of a stranger', (stage) => stage.boot({}, stranger)],
    ['that is only a broadcast', (stage) => stage.tick()],
    ['that is addressed without an echo', (stage) => stage.tick({ audience: wearer.key.name })],
  ])('is not answered by a tick %s', async (_why, answer) => {
    const stage = await createStage();
    stage.wire.up();
    await settle();
    await answer(stage);
    expect(stage.link.state()).toBe('waiting');
    expect(stage.deviceTime.trustedMs()).toBeUndefined();
    await stage.boot();
    expect(stage.link.state()).toBe('ready');
  });

  test('an answer that was held back is not believed: it would tell an old time', async () => {
    const stage = await createStage();
    stage.wire.up();
    await stage.time.pass(40_000);
    const [first] = stage.wire.sent('query');
    const { echo } = queryKind.decode(payloadOf(first!.payload));
    await stage.boot({ echo: echo! });
    expect(stage.link.state(), 'of an earlier question').toBe('waiting');
    await stage.time.pass(19_000);
    await stage.boot();
    expect(stage.link.state(), 'too long after its question').toBe('waiting');
    await stage.time.pass(1_500);
    await stage.boot();
    expect(stage.link.state()).toBe('ready');
  });

  test('an answer counts once: the same echo again, later, changes nothing', async () => {
    const stage = await readyStage();
    const known = stage.deviceTime.trustedMs();
    await stage.boot({ iat: START_S + 3_600 });
    expect(stage.deviceTime.trustedMs()).toBe(known);
  });

  test.each([
    ['more than this disk', 3, 1],
    ['as many', 2, 0],
    ['fewer: the last is still on its way', 1, 0],
  ])('the bridge has seen %s', async (_why, counter, clones) => {
    const stage = await createStage();
    send(stage, 2);
    stage.wire.up();
    await settle();
    await stage.boot({ counter });
    expect(stage.clones()).toBe(clones);
    const told = stage.wire
      .sent('query')
      .map(({ payload }) => queryKind.decode(payloadOf(payload)));
    expect(told.filter(({ question }) => question === 'behind')).toEqual(
      clones === 0 ? [] : [{ question: 'behind', counter: 2, nonce: NONCE }],
    );
  });

  test('that comes before the subscription is confirmed says nothing of the link', async () => {
    const stage = await createStage();
    await stage.tick();
    await settle();
    expect(stage.states).toEqual([]);
    await stage.ready();
    expect(stage.states.at(-1)).toBe('ready');
  });

  test('broadcasts keep it ready; without them it asks again', async () => {
    const stage = await readyStage();
    for (let i = 0; i < 6; i++) {
      await stage.time.pass(30_000);
      await stage.tick();
    }
    expect(stage.wire.sent('query')).toHaveLength(1);
    await stage.time.pass(120_000);
    expect(stage.link.state()).toBe('waiting');
    expect(stage.wire.sent('query').length).toBeGreaterThan(1);
    expect(stage.states).toEqual(['waiting', 'ready', 'waiting']);
  });
});

describe('a bridge that is away while the broker is there', () => {
  test('gets nothing but a question, and then everything at once, in the window', async () => {
    const stage = await createStage();
    const total = OUTBOX_WINDOW + 3;
    for (let n = 1; n <= total; n++) send(stage, n);
    stage.wire.up();
    await stage.time.pass(LINK_RENEW_MS - 10_000);
    expect(stage.link.state()).toBe('waiting');
    expect(new Set(stage.wire.published.map(({ topic }) => topic))).toEqual(
      new Set([upTopic(DEVICE, 'query')]),
    );
    await stage.boot();
    expect(stage.wire.sent('request')).toHaveLength(OUTBOX_WINDOW);
    for (let n = 1; n <= total; n++) await stage.capture(id(n));
    expect(stage.outbox.open()).toEqual([]);
  });

  test('is missed while payments wait: held, and out again with its next word', async () => {
    const stage = await readyStage();
    send(stage, 1);
    await stage.time.pass(TICK_USE_MS + RESEND_MS_MAX);
    expect(stage.link.state()).toBe('waiting');
    expect(stage.states).toEqual(['waiting', 'ready', 'waiting']);
    const before = stage.wire.sent('request').length;
    await stage.time.pass(2 * RESEND_MS_MAX);
    send(stage, 2);
    expect(stage.wire.sent('request')).toHaveLength(before);
    await stage.tick();
    expect(stage.wire.sent('request'), 'both, not when their pauses end').toHaveLength(before + 2);
  });

  test('is found again when every broadcast is lost, by its answer to the question', async () => {
    const stage = await readyStage();
    send(stage, 1);
    for (let minute = 0; minute < 10; minute++) {
      await stage.time.pass(60_000);
      if (minute % 2 === 1) await stage.boot();
    }
    const times = stage.wire.sent('request').map(({ atMs }) => atMs);
    expect(times.some((atMs) => atMs > 500_000)).toBe(true);
    expect(stage.link.state()).toBe('ready');
  });

  test.each([-10, 10])('is not confused by a wall clock that jumps %i years', async (years) => {
    const stage = await readyStage();
    send(stage, 1);
    stage.time.step(years * 365 * 86_400_000);
    for (let slot = 1; slot <= 8; slot++) {
      await stage.time.pass(TICK_SLOT_MS);
      await stage.tick({ iat: START_S + (slot * TICK_SLOT_MS) / 1000 });
      expect(stage.link.state()).toBe('ready');
    }
    expect(stage.wire.sent('request').length).toBeGreaterThan(8);
    await stage.capture(id(1));
    expect(stage.outbox.open()).toEqual([]);
  });
});

describe('a link that looks up while nobody speaks', () => {
  const renewed = async (stage: Stage, ms: number) => {
    await stage.time.pass(ms);
    return stage.wire.renewals();
  };
  const again = (stage: Stage) => {
    stage.wire.down();
    stage.wire.up();
  };

  test('is asked after a tick and a half, and made anew before payments would stop', async () => {
    const stage = await readyStage();
    await stage.time.pass(LINK_SILENT_MS - 1);
    expect(stage.wire.sent('query')).toHaveLength(1);
    await stage.time.pass(1);
    expect(stage.wire.sent('query')).toHaveLength(2);
    expect(await renewed(stage, LINK_RENEW_MS - LINK_SILENT_MS - 1)).toBe(0);
    expect(await renewed(stage, 1)).toBe(1);
    expect(stage.logged).toContain('no word from the bridge: making a new connection');
    expect(stage.link.state(), 'what was heard still counts').toBe('ready');
  });

  test('is made anew at growing intervals, and after a word soon again', async () => {
    const stage = await createStage();
    stage.wire.up();
    const pauses: number[] = [];
    for (let pause = LINK_RENEW_MS; pauses.length < 6; pause = Math.min(2 * pause, 900_000)) {
      const before = stage.wire.renewals();
      expect(await renewed(stage, pause - 1)).toBe(before);
      expect(await renewed(stage, 1)).toBe(before + 1);
      again(stage);
      pauses.push(pause);
    }
    expect(pauses.at(-1)).toBe(LINK_RENEW_MS_MAX);
    await settle();
    await stage.boot();
    const before = stage.wire.renewals();
    expect(await renewed(stage, LINK_RENEW_MS)).toBe(before + 1);
  });

  test('is left alone while broadcasts come', async () => {
    const stage = await readyStage();
    await stage.live(30 * 60_000);
    expect(stage.wire.renewals()).toBe(0);
    expect(stage.wire.sent('query')).toHaveLength(1);
  });

  test('asks anew on each connection, for the counter, even under a fresh nonce', async () => {
    const stage = await readyStage();
    again(stage);
    await settle();
    expect(stage.link.state()).toBe('ready');
    expect(stage.wire.sent('query')).toHaveLength(2);
    await stage.boot({ counter: 1 });
    expect(stage.clones()).toBe(1);
  });
});

describe('a disk that is behind', () => {
  const behinds = (stage: Stage) =>
    stage.wire.sent('query').flatMap(({ payload }) => {
      const { question } = queryKind.decode(payloadOf(payload));
      return question === 'behind' ? [identify(payload, REALM, queryKind.name).id] : [];
    });

  test('is told to the bridge, each time anew, until the bridge has answered that', async () => {
    const stage = await createStage();
    stage.wire.up();
    await settle();
    await stage.boot({ counter: 3 });
    expect(behinds(stage)).toHaveLength(1);
    await stage.time.pass(RESEND_MS_MAX);
    await stage.boot({ counter: 3, nonce: new Uint8Array(8) });
    expect(behinds(stage)).toHaveLength(2);
    await stage.refuse(behinds(stage).at(-1)!, 'suspended');
    await stage.live(5 * RESEND_MS_MAX);
    expect(behinds(stage)).toHaveLength(2);
    expect(stage.clones(), 'a person is told once').toBe(1);
    expect(new Set(behinds(stage)).size).toBe(2);
  });
});

describe('what the device says of itself', () => {
  const said = (stage: Stage) => stage.wire.retained.map(({ payload }) => parsePresence(payload)!);

  test('first on every connection, with a session that its will shares', async () => {
    const database = openDatabase(':memory:');
    const stage = await createStage({ database });
    const will = () => parsePresence(stage.wire.options().will!().payload);
    expect(will()).toEqual({ session: 1, online: false, place: PLACE, left: false });
    stage.wire.up();
    await settle();
    const [first] = said(stage);
    expect(first).toMatchObject({ session: 2, online: true, place: PLACE, queue: { open: 0 } });
    expect(stage.wire.retained[0]).toMatchObject({ topic: `saytap/1/${DEVICE}/state`, qos: 1 });

    const after = await createStage({ database });
    after.wire.up();
    expect(said(after)[0]!.session, 'also after a power cut').toBe(1 + SESSIONS_RESERVED);
  });

  test('again after a minute, then only when more or fewer payments wait', async () => {
    const stage = await readyStage();
    expect(said(stage)).toHaveLength(1);
    await stage.live(PRESENCE_MS);
    expect(said(stage)).toHaveLength(2);
    await stage.live(5 * PRESENCE_MS);
    expect(said(stage)).toHaveLength(2);
    for (let n = 1; n <= 9; n++) send(stage, n);
    await stage.live(PRESENCE_MS);
    const queue = { open: 9, oldest: Math.floor(stage.outbox.waiting().oldestMs / 1000) };
    expect(said(stage).slice(2)).toMatchObject([{ session: 1, online: true, queue }]);
    await stage.live(5 * PRESENCE_MS);
    expect(said(stage)).toHaveLength(3);
  });

  test('holds no amount and no payee, whatever waits', async () => {
    const stage = await createStage();
    await stage.ready();
    void stage.say('pay 12.50 yuan to Luckin Coffee');
    await settle();
    await stage.press();
    await stage.live(PRESENCE_MS);
    const text = new TextDecoder().decode(stage.wire.retained.at(-1)!.payload);
    expect(JSON.parse(text).queue.open).toBe(1);
    expect(text).not.toMatch(/luckin|12\.?50|CNY|acct/i);
  });

  test('and goodbye when it ends, under the session of its birth', async () => {
    const stage = await readyStage();
    await stage.link.close();
    expect(said(stage).at(-1)).toEqual({ session: 1, online: false, place: PLACE, left: true });
  });
});

describe('leases', () => {
  /** Lets time pass in which the bridge ticks; returns how many boots were asked meanwhile. */
  async function bootsIn(stage: Stage, ms: number): Promise<number> {
    const before = stage.wire.sent('query').length;
    for (let passed = 0; passed < ms; passed += TICK_SLOT_MS) {
      await stage.time.pass(TICK_SLOT_MS);
      await stage.tick();
    }
    return stage.wire.sent('query').length - before;
  }

  test('one for this key, signed by the bridge, is held; no other is', async () => {
    const stage = await readyStage();
    await stage.lease({ mandate: id(1) });
    const amount = { currency: 'CNY', minor: 1n };
    const ends = { exp: START_S + 9, upload: START_S + 9 };
    const iat = START_S + 1;
    const lease = (mandate: string) => ({ mandate, amount, count: 1, ...ends });
    await stage.tick({ audience: wearer.key.name, iat, lease: lease(id(2)) }, stranger);
    await stage.tick({ audience: till.key.name, iat, lease: lease(id(3)) });
    await stage.tick({ audience: wearer.key.name, iat: START_S, lease: lease(id(1)) });
    expect([1, 2, 3].map((n) => stage.outbox.lease(id(n))?.left.count)).toEqual([
      100,
      undefined,
      undefined,
    ]);
    expect(stage.link.state(), 'its nonce is no freshness').toBe('ready');
  });

  test('a lease is no tick: without one nothing is online', async () => {
    const stage = await createStage();
    stage.wire.up();
    await stage.lease();
    expect([stage.link.state(), stage.deviceTime.trustedMs()]).toEqual(['waiting', undefined]);
  });

  test.each([
    [true, 1],
    [false, 0],
  ])('kept fresh (%s): asked for anew %i time in every LEASE_ASK_MS', async (keepsLeases, n) => {
    const stage = await createStage({ keepsLeases });
    await stage.ready();
    expect(await bootsIn(stage, LEASE_ASK_MS - TICK_SLOT_MS)).toBe(0);
    expect(await bootsIn(stage, 2 * TICK_SLOT_MS)).toBeGreaterThanOrEqual(n);
    expect(stage.wire.sent('query').length > 1).toBe(keepsLeases);
    await stage.boot();
    expect(await bootsIn(stage, LEASE_ASK_MS - TICK_SLOT_MS), 'answered').toBe(0);
  });

  test('what is heard while they are asked for does not make it ask again', async () => {
    const stage = await createStage({ keepsLeases: true });
    await stage.ready();
    await bootsIn(stage, LEASE_ASK_MS);
    await stage.boot();
    const asked = () => stage.wire.sent('query').length;
    const before = asked();
    while (asked() === before) await bootsIn(stage, TICK_SLOT_MS);
    const once = asked();
    for (const n of [1, 2, 3]) await stage.lease({ mandate: id(n) });
    await stage.tick();
    expect(asked(), 'the answer is still on its way').toBe(once);
    await stage.time.pass(TICK_ASK_MS);
    expect(asked(), 'but not for ever').toBe(once + 1);
    await stage.boot();
    await stage.time.pass(TICK_ASK_MS_MAX);
    expect(asked(), 'and it fits').toBe(once + 1);
  });

  test('asked for anew when the last that was accepted offline has its receipt', async () => {
    const stage = await createStage({ keepsLeases: true });
    await stage.ready();
    await stage.lease();
    for (const n of [1, 2]) {
      const envelope = Uint8Array.of(n);
      // No request, so that the runtime does not read it.
      const entry = { id: id(n), kind: 'order', envelope, storedMs: 1 } as const;
      const lease = stage.outbox.lease(MANDATE_ID)!;
      const amount = { currency: 'CNY', minor: 1n };
      const used = { key: wearer.key.name, counter: n };
      stage.outbox.put(entry, used, { lease, payer: 'ann', amount });
      stage.link.send(entry);
    }
    const boots = () => stage.wire.sent('query').length;
    await stage.receipt({ subject: id(1), outcome: 'voided' });
    expect(boots()).toBe(1);
    await stage.receipt({ subject: id(2), outcome: 'voided' });
    await stage.time.pass(LEASE_REFILL_MS - 1);
    expect(boots(), 'a lease of the same second would not be newer').toBe(1);
    await stage.time.pass(1);
    expect(boots()).toBe(2);
  });
});

test('another key is proved only by a tick for it that echoes this very question', async () => {
  const stage = await readyStage();
  const asked = () => stage.wire.sent('query').length;
  const before = asked();
  const proved = stage.link.prove(till);
  await settle();
  expect(asked()).toBe(before + 1);
  const { payload } = stage.wire.sent('query').at(-1)!;
  const { value } = open(queryKind, payload, REALM, () => till.key);
  expect(value.question).toBe('boot');
  const iat = Math.floor(stage.time.clock.nowMs() / 1000);
  const answer = { iat, counter: 0, audience: till.key.name };
  // Of another question, for another key, and by nobody of the bridge: none is the answer.
  await stage.tick({ ...answer, echo: new Uint8Array(16) });
  await stage.tick({ ...answer, audience: wearer.key.name, echo: value.echo! });
  await stage.tick({ ...answer, echo: value.echo! }, stranger);
  let isOver = false;
  void proved.then(() => (isOver = true));
  await settle();
  expect(isOver).toBe(false);
  await stage.tick({ ...answer, echo: value.echo! });
  expect(await proved).toBe(true);

  const unanswered = stage.link.prove(till);
  await stage.live(60_000);
  expect(await unanswered).toBe(false);
  await stage.link.close();
});
