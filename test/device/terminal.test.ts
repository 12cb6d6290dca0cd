// Method: the kiosk's lines with the real outbox, link and keys; receipts arrive signed, through
// the link. Read is what is in the outbox (decoded), what was sent, and what the clerk was told.
import { describe, expect, test } from 'vitest';
import { type Signer, payloadOf } from '../../src/cose.ts';
import { PaymentError, REASONS, type Reason } from '../../src/errors.ts';
import {
  CONFIRM_MS,
  CONFIRM_READ_MS,
  LEAVE_MS,
  ORDER_VALID_S,
  RECEIPT_PATIENCE_MS,
  REQUEST_VALID_S,
  RESEND_FOR_MS,
  RESEND_MS_MAX,
} from '../../src/limits.ts';
import { type KeyStatement, keyStatement } from '../../src/objects/key.ts';
import { seal } from '../../src/objects/kind.ts';
import { query as queryKind } from '../../src/objects/query.ts';
import { type Receipt, receipt as receiptKind } from '../../src/objects/receipt.ts';
import { request as requestKind } from '../../src/objects/request.ts';
import { tick as tickKind } from '../../src/objects/tick.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import type { Database } from '../../src/platform.ts';
import { downTopic } from '../../src/topics.ts';
import type { Frame } from '../../device/confirm.ts';
import type { Deed } from '../../device/intents/clerk.ts';
import { type DeviceLink, createDeviceLink } from '../../device/link.ts';
import { type Outbox, createOutbox } from '../../device/outbox.ts';
import { clerkPhrases, clerkReason, phrases, reasonPhrase } from '../../device/phrases.ts';
import type { Mood } from '../../device/surface/port.ts';
import { readUri } from '../../device/sense/uri.ts';
import { createSequence } from '../../device/sequence.ts';
import { type Acted, createTerminal } from '../../device/terminal.ts';
import { createTime } from '../../device/time.ts';
import { createTrust } from '../../device/trust.ts';
import { createUpdates } from '../../device/updates.ts';
import {
  NONCE,
  REALM,
  START_S,
  bridge,
  createFakeTime,
  createWire,
  policy,
  presenceOf,
  reasonOfAsync,
  root,
  settle,
  statements,
  stranger,
  till,
} from './stage.ts';

const TILL = 'till-1';
const LINES = [
  { text: 'Latte', quantity: 1, total: 20_00n },
  { text: 'Muffin', quantity: 2, total: 18_00n },
];
const cny = (minor: bigint) => ({ currency: 'CNY', minor });
const statement = keyStatement.decode(payloadOf(statements[1]!));

type Kiosk = Awaited<ReturnType<typeof createKiosk>>;

/** A kiosk whose broker is not there yet. */
async function createKiosk(
  options: Readonly<{
    language?: 'en' | 'zh';
    presenceMax?: KeyStatement['presenceMax'];
    database?: Database;
    wrap?: (outbox: Outbox) => Outbox;
    /** What the shop is called, whenever somebody looks. */
    name?: () => string;
    /** In place of the till's own signing. */
    sign?: Signer['sign'];
  }> = {},
) {
  const fakeTime = createFakeTime();
  const { clock, timers } = fakeTime;
  const wire = createWire(fakeTime, TILL);
  const time = createTime(clock);
  const real = createTrust(REALM, root.key, statements, [policy], time.trustedMs);
  const { name } = options;
  const payees = real.payees.map((payee) => ({
    ...payee,
    get names() {
      return name ? ([['en', name()]] as const) : payee.names;
    },
  }));
  const trust = { ...real, payees };
  const kept = createOutbox(options.database ?? openDatabase(':memory:'));
  const outbox = options.wrap?.(kept) ?? kept;
  const asked: { frame: Frame; sentence: string }[] = [];
  const said: { sentence: string; mood: Mood }[] = [];
  let filled = 0;
  const random = (count: number) => new Uint8Array(count).fill(++filled);
  const signer = { key: till.key, sign: options.sign ?? till.sign };
  const shared = { realm: REALM, signer, trust, time, outbox, random, clock, timers };
  const log = () => {};
  const terminal = createTerminal({
    ...shared,
    log,
    sequence: createSequence({ ...shared, log }),
    language: options.language ?? 'en',
    statement: { ...statement, presenceMax: options.presenceMax ?? statement.presenceMax },
    link: () => link,
    updates: createUpdates(clock),
    surface: {
      ask: (frame, sentence) => void asked.push({ frame, sentence }),
      say: (sentence, mood) => void said.push({ sentence, mood }),
    },
  });
  terminal.resume();
  const link: DeviceLink = createDeviceLink(
    {
      ...shared,
      log,
      device: TILL,
      presence: presenceOf(outbox, TILL),
      url: 'mqtt://nowhere',
      connect: wire.connect,
    },
    {
      receipt: (id, receipt, _envelope, isFirst) =>
        isFirst ? terminal.hear(id, receipt) : undefined,
      state: () => {},
      cloned: terminal.suspend,
      unsigned: () => {},
      givenUp: terminal.giveUp,
    },
  );

  async function receipt(value: Partial<Receipt>, signer = bridge) {
    const envelope = await seal(receiptKind, { iat: START_S, ...value } as Receipt, REALM, signer);
    wire.deliver(downTopic(TILL, 'receipt'), envelope);
    await settle();
    return envelope;
  }

  return {
    ...{ terminal, outbox, wire, time: fakeTime, asked, said, receipt },
    async boot(counter = outbox.counter(till.key.name)) {
      const { echo } = queryKind.decode(payloadOf(wire.sent('query').at(-1)!.payload));
      const tick = { iat: START_S, nonce: NONCE, audience: till.key.name, echo: echo!, counter };
      wire.deliver(downTopic(TILL, 'tick'), await seal(tickKind, tick, REALM, bridge));
    },
    sentences: () => said.map(({ sentence }) => sentence),
    pending: (subject: string, reason: Reason) =>
      receipt({ subject, outcome: 'pending', reason: REASONS[reason] }),
    refuse: (subject: string, reason: Reason) =>
      receipt({ subject, outcome: 'refused', reason: REASONS[reason] }),
    /** The one open request, decoded. */
    request() {
      const open = outbox.open().filter(({ kind }) => kind === 'request');
      expect(open).toHaveLength(1);
      return { ...requestKind.decode(payloadOf(open[0]!.envelope)), id: open[0]!.id };
    },
    async press() {
      await fakeTime.pass(CONFIRM_READ_MS);
      return terminal.answer({ kind: 'press' });
    },
  };
}

async function readyKiosk(options: Parameters<typeof createKiosk>[0] = {}): Promise<Kiosk> {
  const kiosk = await createKiosk(options);
  kiosk.wire.up();
  await settle();
  await kiosk.boot();
  return kiosk;
}

/** A ready kiosk with one order that ended so. */
async function soldAt(
  options: Parameters<typeof createKiosk>[0] = {},
  outcome: 'captured' | 'held' = 'captured',
) {
  const kiosk = await readyKiosk(options);
  const order = await kiosk.terminal.order(LINES, 'CNY');
  await kiosk.receipt({ subject: order.id, outcome, amount: cny(38_00n) });
  kiosk.said.length = 0;
  return { kiosk, order };
}

const deed = (action: Deed['action'], amount?: bigint, order = 'last'): Deed => ({
  action,
  order,
  amount: amount === undefined ? undefined : cny(amount),
});

/** Asks and confirms; returns what awaits its receipt. */
async function confirmed(kiosk: Kiosk, what: Deed): Promise<{ acted: Promise<Acted> }> {
  const acted = kiosk.terminal.act(what);
  await settle();
  await kiosk.press();
  await settle();
  return { acted };
}

describe('an order', () => {
  test('is signed, stored, then sent; its code is the very bytes', async () => {
    const stored: number[] = [];
    const kiosk = await readyKiosk({
      wrap: (outbox) => ({
        ...outbox,
        put(...all) {
          stored.push(kiosk.wire.sent('order').length);
          outbox.put(...all);
        },
      }),
    });
    const { id, envelope, uri } = await kiosk.terminal.order(LINES, 'CNY');
    expect(stored, 'before it was sent').toEqual([0]);
    expect(kiosk.wire.sent('order').map(({ payload }) => payload)).toEqual([envelope]);
    expect(kiosk.outbox.get(id)).toMatchObject({ kind: 'order', envelope });
    expect(readUri(uri)).toEqual({ kind: 'order', envelope });
    const opened = createTrust(REALM, root.key, statements, [policy], () => undefined).openOrder(
      envelope,
    );
    expect(opened.id).toBe(id);
    expect(opened.value).toMatchObject({
      exp: START_S + ORDER_VALID_S,
      amount: cny(38_00n),
      payee: 'luckin-coffee',
      terminal: TILL,
      lines: LINES,
    });
  });

  test('of an equal basket is another order', async () => {
    const { terminal } = await readyKiosk();
    const one = await terminal.order(LINES, 'CNY');
    const other = await terminal.order(LINES, 'CNY');
    expect(one.id).not.toBe(other.id);
  });

  test('is registered when the bridge has it, settled and told on its last word', async () => {
    const kiosk = await readyKiosk();
    const one = await kiosk.terminal.order(LINES, 'CNY');
    const other = await kiosk.terminal.order(LINES, 'CNY');
    const events: string[] = [];
    void one.registered.then(() => events.push('one registered'));
    void one.settled.then(({ outcome }) => events.push(`one ${outcome}`));
    void other.registered.then(() => events.push('other registered'));
    void other.settled.then(({ outcome }) => events.push(`other ${outcome}`));
    await settle();
    expect(events).toEqual([]);
    await kiosk.pending(one.id, 'in_progress');
    expect(events).toEqual(['one registered']);
    expect(kiosk.said).toEqual([]);
    await kiosk.receipt({ subject: one.id, outcome: 'captured' });
    await kiosk.receipt({ subject: other.id, outcome: 'expired', reason: 120 });
    expect(events).toEqual(['one registered', 'one captured', 'other registered', 'other expired']);
    expect(kiosk.sentences()).toEqual([
      clerkPhrases.orderPaid('38.00 yuan', one.id.slice(0, 8), 'en'),
      clerkPhrases.orderOver(other.id.slice(0, 8), reasonPhrase('order_expired', 'en'), 'en'),
    ]);
  });

  test('that the bridge refuses is never shown', async () => {
    const kiosk = await readyKiosk();
    const order = await kiosk.terminal.order(LINES, 'CNY');
    await kiosk.refuse(order.id, 'suspended');
    expect(await reasonOfAsync(() => order.registered)).toBe('suspended');
    expect((await order.settled).outcome).toBe('refused');
  });

  test('of before a restart: its last word is told', async () => {
    const database = openDatabase(':memory:');
    const before = await readyKiosk({ database });
    const { id } = await before.terminal.order(LINES, 'CNY');
    const after = await readyKiosk({ database });
    await after.pending(id, 'in_progress');
    expect(after.said).toEqual([]);
    await after.receipt({ subject: id, outcome: 'held' });
    const sentence = clerkPhrases.orderHeld('38.00 yuan', id.slice(0, 8), 'en');
    expect(after.said).toEqual([{ sentence, mood: 'good' }]);
  });

  test('with its last word kept before a power cut and not told: told once', async () => {
    const database = openDatabase(':memory:');
    const before = await readyKiosk({ database });
    const { id } = await before.terminal.order(LINES, 'CNY');
    const value = { iat: START_S, subject: id, outcome: 'captured' } as const;
    void before.outbox.close(id, await seal(receiptKind, value, REALM, bridge), START_S);
    const sentence = clerkPhrases.orderPaid('38.00 yuan', id.slice(0, 8), 'en');
    expect((await createKiosk({ database })).sentences()).toEqual([sentence]);
    expect((await createKiosk({ database })).sentences()).toEqual([]);
  });

  test('is not made while the broker is away, or there is no fresh tick', async () => {
    const kiosk = await createKiosk();
    const order = () => reasonOfAsync(() => kiosk.terminal.order(LINES, 'CNY'));
    expect(await order()).toBe('offline_not_allowed');
    kiosk.wire.up();
    expect(await order()).toBe('offline_not_allowed');
    expect([kiosk.outbox.open(), kiosk.wire.sent('order')]).toEqual([[], []]);
  });

  test.each([
    ['nothing to pay', [], 'CNY', 'malformed'],
    ['a currency that does not exist', LINES, 'QQQ', 'currency_unknown'],
    ['text that hides characters', [{ ...LINES[0]!, text: 'a\u202eb' }], 'CNY', 'malformed'],
    ['too many lines', Array.from({ length: 33 }, () => LINES[0]!), 'CNY', 'malformed'],
  ] as const)('is not made over %s', async (_why, lines, currency, reason) => {
    const { terminal, outbox, wire } = await readyKiosk();
    expect(await reasonOfAsync(() => terminal.order(lines, currency))).toBe(reason);
    expect([outbox.open(), wire.sent('order')]).toEqual([[], []]);
  });

  test('is not made on a disk that refuses', async () => {
    const { terminal, wire } = await readyKiosk({
      wrap: (outbox) => ({
        ...outbox,
        put() {
          throw new PaymentError('unavailable', 'disk full');
        },
      }),
    });
    expect(await reasonOfAsync(() => terminal.order(LINES, 'CNY'))).toBe('unavailable');
    expect(wire.sent('order')).toEqual([]);
  });
});

describe('a refund, a capture, a void', () => {
  test.each([
    {
      language: 'en',
      deed: deed('refund', 18_00n),
      sold: 'captured',
      amount: 18_00n,
      ask: (order: string) =>
        `Luckin Coffee: refund 18.00 yuan of order ${order}? Press the button to confirm.`,
      outcome: 'refunded',
      end: (order: string) => `Refunded 18.00 yuan of order ${order}.`,
    },
    {
      language: 'zh',
      deed: deed('refund'),
      sold: 'captured',
      amount: 38_00n,
      ask: (order: string) => `瑞幸咖啡：退还订单${order}的38.00元？请按键确认。`,
      outcome: 'refunded',
      end: (order: string) => `订单${order}已退款38.00元。`,
    },
    {
      language: 'en',
      deed: deed('capture', 30_00n),
      sold: 'held',
      amount: 30_00n,
      ask: (order: string) =>
        `Luckin Coffee: take 30.00 yuan of what order ${order} holds? Press the button to confirm.`,
      outcome: 'captured',
      end: (order: string) => `Took 30.00 yuan for order ${order}.`,
    },
    {
      language: 'zh',
      deed: deed('void', 1_00n),
      sold: 'held',
      amount: 38_00n,
      ask: (order: string) => `瑞幸咖啡：解除订单${order}的38.00元预授权？请按键确认。`,
      outcome: 'voided',
      end: (order: string) => `订单${order}的38.00元预授权已解除。`,
    },
  ] as const)(
    '$language $deed.action: shown, confirmed, signed, stored, sent, told',
    async (row) => {
      const { kiosk, order } = await soldAt({ language: row.language }, row.sold);
      const acted = kiosk.terminal.act(row.deed);
      await settle();
      const short = order.id.slice(0, 8);
      expect(kiosk.asked.map(({ sentence }) => sentence)).toEqual([row.ask(short)]);
      expect(kiosk.asked[0]?.frame.lines).toHaveLength(2);
      expect(kiosk.outbox.counter(till.key.name), 'nothing before the confirmation').toBe(0);

      expect(await kiosk.press()).toBe(true);
      await settle();
      const { id, ...request } = kiosk.request();
      expect(request).toEqual({
        action: row.deed.action,
        amount: cny(row.amount),
        mandate: order.id,
        original: order.id,
        payee: 'luckin-coffee',
        terminal: TILL,
        presence: 0,
        channel: 'touch',
        counter: 1,
        nonce: NONCE,
        exp: START_S + REQUEST_VALID_S,
      });
      const [sent, ...more] = kiosk.wire.sent('request');
      expect([sent?.payload, more]).toEqual([kiosk.outbox.get(id)?.envelope, []]);

      await kiosk.receipt({ subject: id, outcome: row.outcome, amount: cny(row.amount) });
      expect(await acted).toMatchObject({ kind: 'done', id, receipt: { outcome: row.outcome } });
      expect(kiosk.said).toEqual([
        { sentence: clerkPhrases.sending(row.language), mood: 'waiting' },
        { sentence: row.end(short), mood: 'good' },
      ]);
      expect(kiosk.outbox.open()).toEqual([]);
    },
  );

  test.each([
    [0, 0],
    [1, 1],
    [2, 2],
    [3, 2],
  ] as const)('a key that may claim P%i claims P%i for a button', async (presenceMax, presence) => {
    const { kiosk } = await soldAt({ presenceMax });
    await confirmed(kiosk, deed('refund'));
    expect(kiosk.request().presence).toBe(presence);
  });

  test('each has a counter of its own, which goes on after a restart', async () => {
    const database = openDatabase(':memory:');
    const { kiosk } = await soldAt({ database });
    for (const counter of [1, 2]) {
      const { acted } = await confirmed(kiosk, deed('refund', 1_00n));
      const { id, counter: used } = kiosk.request();
      expect(used).toBe(counter);
      await kiosk.receipt({ subject: id, outcome: 'refunded' });
      await acted;
    }
    const after = await readyKiosk({ database });
    await confirmed(after, deed('refund', 1_00n));
    expect(after.request().counter).toBe(3);
  });

  test('only a press confirms; words do not, and nothing else is taken meanwhile', async () => {
    const { kiosk } = await soldAt();
    const acted = kiosk.terminal.act(deed('refund'));
    await settle();
    expect(await kiosk.terminal.act(deed('refund'))).toEqual({ kind: 'not_sent', reason: 'busy' });
    for (const text of ['confirm payment', 'yes', '2 Latte 40 yuan']) {
      expect(kiosk.terminal.answer({ kind: 'utterance', text })).toBe(true);
    }
    const needPress = clerkPhrases.needPress('en');
    expect(kiosk.sentences()).toEqual([clerkPhrases.busy('en'), needPress, needPress, needPress]);
    expect(kiosk.terminal.answer({ kind: 'utterance', text: 'cancel' })).toBe(true);
    expect(await acted).toEqual({ kind: 'not_sent', reason: 'cancelled' });
    expect(kiosk.terminal.answer({ kind: 'press' }), 'nothing is asked any more').toBe(false);
    expect(kiosk.wire.sent('request')).toEqual([]);
  });

  test('what would be signed is not what was shown: nothing is signed', async () => {
    let name = 'Luckin Coffee';
    const { kiosk } = await soldAt({ name: () => name });
    const acted = kiosk.terminal.act(deed('refund'));
    await settle();
    name = 'Evil Shop';
    const failure = expect(acted).rejects.toThrow('what would be signed is not what was shown');
    await kiosk.press();
    await failure;
    expect(kiosk.wire.sent('request')).toEqual([]);
    expect(kiosk.outbox.counter(till.key.name)).toBe(0);
  });

  test('no answer in time does nothing', async () => {
    const { kiosk } = await soldAt();
    const acted = kiosk.terminal.act(deed('refund'));
    await kiosk.time.pass(CONFIRM_MS);
    expect(await acted).toEqual({ kind: 'not_sent', reason: 'timed_out' });
    expect(kiosk.sentences()).toEqual([phrases.timedOut('en')]);
    expect(kiosk.wire.sent('request')).toEqual([]);
  });

  test.each<[string, 'captured' | 'held', Deed, Reason]>([
    [
      'an order that nobody knows',
      'captured',
      deed('refund', 1n, '0'.repeat(8)),
      'original_unknown',
    ],
    ['a capture of what was paid', 'captured', deed('capture'), 'not_held'],
    ['a void of what was paid', 'captured', deed('void'), 'not_held'],
    ['more than the order', 'captured', deed('refund', 38_01n), 'refund_exceeds'],
    ['more than is held', 'held', deed('capture', 38_01n), 'capture_exceeds'],
    [
      'another currency',
      'captured',
      { ...deed('refund'), amount: { currency: 'USD', minor: 1n } },
      'currency_mismatch',
    ],
  ])('is not even asked: %s', async (_why, sold, what, reason) => {
    const { kiosk } = await soldAt({}, sold);
    expect(await kiosk.terminal.act(what)).toEqual({ kind: 'not_sent', reason });
    expect(kiosk.asked).toEqual([]);
    const [told] = kiosk.said;
    expect(told?.sentence).toContain(clerkPhrases.notSent(clerkReason(reason, 'en'), 'en'));
    expect([told?.mood, kiosk.said.length]).toEqual(['bad', 1]);
    expect(kiosk.wire.sent('request')).toEqual([]);
  });

  test('an order that is not paid yet, or never was, is no payment', async () => {
    const kiosk = await readyKiosk();
    const { id } = await kiosk.terminal.order(LINES, 'CNY');
    const unknown = { kind: 'not_sent', reason: 'original_unknown' };
    expect(await kiosk.terminal.act(deed('refund', 1_00n, id))).toEqual(unknown);
    await kiosk.receipt({ subject: id, outcome: 'expired', reason: 120 });
    expect(await kiosk.terminal.act(deed('refund', 1_00n, id))).toEqual(unknown);
    expect(await kiosk.terminal.act(deed('refund'))).toEqual(unknown);
  });

  test('a clerk hears of the order’s currency, not of an authorisation', async () => {
    const { kiosk } = await soldAt();
    await kiosk.terminal.act({ ...deed('refund'), amount: { currency: 'USD', minor: 1n } });
    expect(kiosk.sentences()).toEqual([
      'Nothing was sent, nothing moved. The order is in another currency.',
    ]);
  });

  test('after a part was refunded: the rest is asked for, and no more than that', async () => {
    const { kiosk, order } = await soldAt();
    const short = order.id.slice(0, 8);
    const end = async (what: Deed, outcome: 'refunded' | 'refused') => {
      const { acted } = await confirmed(kiosk, what);
      const { id, amount } = kiosk.request();
      if (outcome === 'refused') await kiosk.refuse(id, 'original_busy');
      else await kiosk.receipt({ subject: id, outcome, amount: amount! });
      await acted;
      return amount;
    };
    expect(await end(deed('refund', 18_00n), 'refunded')).toEqual(cny(18_00n));
    expect(await end(deed('refund'), 'refused'), 'what was refused gave nothing').toEqual(
      cny(20_00n),
    );
    const tooMuch = { kind: 'not_sent', reason: 'refund_exceeds' };
    expect(await kiosk.terminal.act(deed('refund', 20_01n))).toEqual(tooMuch);
    expect(kiosk.sentences().at(-1)).toBe(
      'Nothing was sent, nothing moved. That is more than is left of what was paid. ' +
        `Refund less. 20.00 yuan of order ${short} is left.`,
    );
    expect(await end(deed('refund'), 'refunded')).toEqual(cny(20_00n));
    expect(await kiosk.terminal.act(deed('refund'))).toEqual(tooMuch);
    expect(kiosk.sentences().at(-1)).toMatch(new RegExp(`Nothing of order ${short} is left\\.$`));
  });

  test('of what was held, only what was captured can be refunded', async () => {
    const { kiosk } = await soldAt({}, 'held');
    const { acted } = await confirmed(kiosk, deed('capture', 30_00n));
    await kiosk.receipt({ subject: kiosk.request().id, outcome: 'captured', amount: cny(30_00n) });
    await acted;
    await confirmed(kiosk, deed('refund'));
    expect(kiosk.request().amount).toEqual(cny(30_00n));
  });

  test('of what was released nothing is left to refund', async () => {
    const { kiosk } = await soldAt({}, 'held');
    const { acted } = await confirmed(kiosk, deed('void'));
    await kiosk.receipt({ subject: kiosk.request().id, outcome: 'voided', amount: cny(38_00n) });
    await acted;
    const told = await kiosk.terminal.act(deed('refund'));
    expect(told).toEqual({ kind: 'not_sent', reason: 'refund_exceeds' });
  });

  test('leaving waits a moment for what was confirmed, and tells that it goes on', async () => {
    const { kiosk } = await soldAt();
    await kiosk.terminal.leave();
    expect(kiosk.said).toEqual([]);
    await confirmed(kiosk, deed('refund'));
    const { id } = kiosk.request();
    let isOver = false;
    const leaving = kiosk.terminal.leave().then(() => (isOver = true));
    await kiosk.time.pass(LEAVE_MS - 1);
    expect(isOver).toBe(false);
    await kiosk.time.pass(1);
    await leaving;
    expect(kiosk.said.at(-1)).toEqual({ sentence: clerkPhrases.leaving('en'), mood: 'waiting' });
    await kiosk.receipt({ subject: id, outcome: 'refunded' });
    const before = kiosk.said.length;
    await kiosk.terminal.leave();
    expect(kiosk.said).toHaveLength(before);
  });

  test('leaving does not wait for a question', async () => {
    const { kiosk } = await soldAt();
    void kiosk.terminal.act(deed('refund'));
    await settle();
    await kiosk.terminal.leave();
    expect(kiosk.said).toEqual([]);
  });

  test('"last" is the newest that it can be done to; an order by how its id begins', async () => {
    const { kiosk, order: held } = await soldAt({}, 'held');
    const paid = await kiosk.terminal.order(LINES, 'CNY');
    await kiosk.receipt({ subject: paid.id, outcome: 'captured' });
    const expired = await kiosk.terminal.order(LINES, 'CNY');
    await kiosk.receipt({ subject: expired.id, outcome: 'expired', reason: 120 });
    const about: (string | undefined)[] = [];
    for (const what of [
      deed('refund'),
      deed('capture'),
      deed('refund', undefined, held.id.slice(0, 8)),
    ]) {
      const { acted } = await confirmed(kiosk, what);
      const { id, original } = kiosk.request();
      about.push(original);
      await kiosk.receipt({ subject: id, outcome: 'refunded' });
      await acted;
    }
    expect(about, 'what was held may be captured by now').toEqual([paid.id, held.id, held.id]);
  });

  test('a beginning that two orders share is none', async () => {
    const { kiosk } = await soldAt();
    const second = await kiosk.terminal.order(LINES, 'CNY');
    await kiosk.receipt({ subject: second.id, outcome: 'captured' });
    const told = await kiosk.terminal.act(deed('refund', 1_00n, ''));
    expect(told).toEqual({ kind: 'not_sent', reason: 'original_unknown' });
  });

  test.each([
    [
      'refund_exceeds',
      'Not done, nothing moved. That is more than is left of what was paid. Refund less.',
    ],
    [
      'original_busy',
      'Not done, nothing moved. Something else is being done with that payment. ' +
        'Try again in a moment.',
    ],
    [
      'not_held',
      'Not done, nothing moved. Nothing of that payment is held. To give money back, refund it.',
    ],
    ['action_unsupported', 'Not done, nothing moved. The service cannot do that yet.'],
  ] as const)('refused (%s) says that nothing moved, and what to do', async (reason, sentence) => {
    const { kiosk } = await soldAt();
    const { acted } = await confirmed(kiosk, deed('refund'));
    const { id } = kiosk.request();
    await kiosk.refuse(id, reason);
    expect(await acted).toMatchObject({ kind: 'refused', id });
    expect(kiosk.said.at(-1)).toEqual({ sentence, mood: 'bad' });
  });

  test('silence and pending are no answer: not again, and the end is told later', async () => {
    for (const isSilent of [true, false]) {
      const { kiosk, order } = await soldAt();
      const { acted } = await confirmed(kiosk, deed('refund', 5_00n));
      const { id } = kiosk.request();
      if (isSilent) await kiosk.time.pass(RECEIPT_PATIENCE_MS);
      else await kiosk.pending(id, 'unavailable');
      const first = await acted;
      if (first.kind !== 'unconfirmed') throw new Error(first.kind);
      expect(kiosk.said.at(-1)).toEqual({
        sentence: clerkPhrases.unconfirmed('en'),
        mood: 'waiting',
      });
      await kiosk.receipt({ subject: id, outcome: 'refunded' }, stranger);
      expect(kiosk.outbox.open()).toHaveLength(1);
      await kiosk.receipt({ subject: id, outcome: 'refunded' });
      expect(await first.later).toMatchObject({ kind: 'done', id });
      const short = order.id.slice(0, 8);
      expect(kiosk.sentences().at(-1)).toBe(`Refunded 5.00 yuan of order ${short}.`);
    }
  });

  test('after a power cut it is sent again, and its end is told once', async () => {
    const database = openDatabase(':memory:');
    const { kiosk: before, order } = await soldAt({ database });
    await confirmed(before, deed('refund', 5_00n));
    const [sent] = before.wire.sent('request');
    const { id } = before.request();

    const after = await readyKiosk({ database });
    expect(after.wire.sent('request').map(({ payload }) => payload)).toEqual([sent?.payload]);
    expect(after.said).toEqual([]);
    const value = { iat: START_S, subject: id, outcome: 'refunded' } as const;
    void after.outbox.close(id, await seal(receiptKind, value, REALM, bridge), START_S);

    const sentence = `Refunded 5.00 yuan of order ${order.id.slice(0, 8)}.`;
    expect((await createKiosk({ database })).said).toEqual([{ sentence, mood: 'good' }]);
    expect((await createKiosk({ database })).said).toEqual([]);
  });

  test('a disk that refuses: not sent; one that may bring it back: unconfirmed', async () => {
    let reason: Reason | undefined;
    const { kiosk } = await soldAt({
      wrap: (outbox) => ({
        ...outbox,
        put(...all) {
          if (reason) throw new PaymentError(reason, 'disk');
          outbox.put(...all);
        },
      }),
    });
    reason = 'unavailable';
    const refused = await confirmed(kiosk, deed('refund'));
    expect(await refused.acted).toEqual({ kind: 'not_sent', reason: 'unavailable' });
    reason = 'in_progress';
    const { acted } = await confirmed(kiosk, deed('refund'));
    await kiosk.time.pass(RECEIPT_PATIENCE_MS);
    expect(await acted).toMatchObject({ kind: 'unconfirmed' });
    expect(kiosk.wire.sent('request')).toEqual([]);
  });

  test('offline, or when the link falls during the question: nothing is signed', async () => {
    const { kiosk } = await soldAt();
    const acted = kiosk.terminal.act(deed('refund'));
    await settle();
    kiosk.wire.down();
    await kiosk.press();
    const offline = { kind: 'not_sent', reason: 'offline_not_allowed' };
    expect(await acted).toEqual(offline);
    expect(await kiosk.terminal.act(deed('refund'))).toEqual(offline);
    expect(kiosk.asked).toHaveLength(1);
    expect(kiosk.outbox.counter(till.key.name)).toBe(0);
  });

  test('a bridge that knows more of this key than this disk: suspended, orders go on', async () => {
    const database = openDatabase(':memory:');
    await soldAt({ database });
    const kiosk = await createKiosk({ database });
    kiosk.wire.up();
    await settle();
    await kiosk.boot(1);
    expect(kiosk.said).toEqual([{ sentence: phrases.copied('en'), mood: 'bad' }]);
    expect(await kiosk.terminal.act(deed('refund'))).toEqual({
      kind: 'not_sent',
      reason: 'suspended',
    });
    expect(await reasonOfAsync(() => kiosk.terminal.order(LINES, 'CNY'))).toBe('accepted');
  });

  test('suspended while its key signs: no refund is stored or sent', async () => {
    const signing = Promise.withResolvers<void>();
    let isSlow = false;
    const { kiosk } = await soldAt({
      async sign(bytes) {
        if (isSlow) await signing.promise;
        return till.sign(bytes);
      },
    });
    isSlow = true;
    const acted = kiosk.terminal.act(deed('refund'));
    await settle();
    await kiosk.press();
    await settle();
    kiosk.terminal.suspend(phrases.ended('en'));
    signing.resolve();
    expect(await acted).toEqual({ kind: 'not_sent', reason: 'suspended' });
    expect([kiosk.outbox.open(), kiosk.outbox.counter(till.key.name)]).toEqual([[], 0]);
  });

  test('what is sent no more is told: refund and order', async () => {
    const database = openDatabase(':memory:');
    const { kiosk: before, order } = await soldAt({
      database,
      wrap: (outbox) => ({
        ...outbox,
        put: (entry, used) =>
          outbox.put({ ...entry, storedMs: entry.storedMs - RESEND_FOR_MS - 1_000 }, used),
      }),
    });
    await confirmed(before, deed('refund'));
    const { id: open } = await before.terminal.order(LINES, 'CNY');
    const after = await readyKiosk({ database });
    await after.time.pass(10 * RESEND_MS_MAX);
    expect(after.sentences()).toEqual([
      clerkPhrases.gaveUp('refund', order.id.slice(0, 8), 'en'),
      clerkPhrases.gaveUp(undefined, open.slice(0, 8), 'en'),
    ]);
  });
});
