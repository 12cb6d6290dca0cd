// Method: a person acts, the test reads three things: what the surface said, what is in the outbox
// (decoded from its bytes), and what went over the wire. Receipts arrive signed, through the link.
import { describe, expect, test } from 'vitest';
import { toHex } from '../../src/bytes.ts';
import { PaymentError, type Reason } from '../../src/errors.ts';
import {
  CONFIRM_MS,
  CONFIRM_READ_MS,
  KEPT_MS,
  LEAVE_MS,
  RECEIPT_PATIENCE_MS,
  REQUEST_VALID_S,
  RESEND_FOR_MS,
  RESEND_MS_MAX,
  TICK_USE_MS,
  UPDATE_HOLD_MS,
} from '../../src/limits.ts';
import { open, seal } from '../../src/objects/kind.ts';
import { query as queryKind } from '../../src/objects/query.ts';
import { receipt as receiptKind } from '../../src/objects/receipt.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import { KeyFailure, type KeyTrouble } from '../../device/keys/store.ts';
import { phrases, reasonPhrase } from '../../device/phrases.ts';
import type { Told } from '../../device/telling.ts';
import { orderUri } from '../../device/sense/uri.ts';
import { makeCode } from '../../device/surface/code.ts';
import { codePng } from '../../device/surface/picture.ts';
import {
  MANDATE_ID,
  NONCE,
  NOTHING,
  REALM,
  START_S,
  type Stage,
  bridge,
  createStage,
  mandateId,
  mandateWith,
  ndef,
  orderId,
  otherTill,
  sealOrder,
  settle,
  stranger,
  uriTag,
  wearer,
} from './stage.ts';

const PAY = 'pay 12.50 yuan to Luckin Coffee';
const BIG = 'pay 38 yuan to Luckin Coffee';
const UNCONFIRMED = 'Not confirmed yet. Do not pay again; I will tell you. You can say “cancel”.';
const cny = (minor: bigint) => ({ currency: 'CNY', minor });

async function readyStage(options: Parameters<typeof createStage>[0] = {}): Promise<Stage> {
  const stage = await createStage(options);
  await stage.ready();
  return stage;
}

/** Asks and confirms; returns the payment, which awaits its receipt. */
async function confirmed(stage: Stage, sentence = PAY): Promise<{ told: Promise<Told> }> {
  const told = stage.say(sentence);
  await settle();
  await stage.press();
  await settle();
  return { told };
}

test.each([
  {
    language: 'en',
    sentence: PAY,
    yes: 'confirm payment',
    frame: { payee: 'Luckin Coffee', amount: '12.50 yuan' },
    ask: 'Pay 12.50 yuan to Luckin Coffee? Say “confirm payment” or tap the temple.',
    end: ['Paying…', 'Paid 12.50 yuan to Luckin Coffee.'],
  },
  {
    language: 'zh',
    sentence: '付十二块五给瑞幸咖啡',
    yes: '确认支付',
    frame: { payee: '瑞幸咖啡', amount: '12.50元' },
    ask: '向瑞幸咖啡支付12.50元？请说“确认支付”或轻触镜腿。',
    end: ['正在支付…', '已向瑞幸咖啡支付12.50元。'],
  },
] as const)('$language: say, ask, confirm, sign, store, send, receipt, paid', async (row) => {
  const stage = await readyStage({ language: row.language });
  const told = stage.say(row.sentence);
  await settle();
  expect(stage.asked).toEqual([
    {
      frame: { ...row.frame, lines: [], needs: 1 },
      sentence: row.ask,
      wants: 'confirmation',
    },
  ]);
  expect(stage.left(), 'nothing before the confirmation').toEqual(NOTHING);

  expect(await stage.say(row.yes)).toEqual({ kind: 'said' });
  await settle();
  const { id, ...request } = stage.request();
  expect(request).toEqual({
    action: 'pay',
    amount: cny(12_50n),
    payee: 'luckin-coffee',
    exp: START_S + REQUEST_VALID_S,
    mandate: MANDATE_ID,
    counter: 1,
    presence: 1,
    channel: 'voice',
    nonce: NONCE,
  });
  expect(stage.outbox.counter(wearer.key.name)).toBe(1);
  const [sent, ...more] = stage.wire.sent('request');
  expect(more).toEqual([]);
  expect(sent?.payload).toEqual(stage.outbox.get(id)?.envelope);
  expect(sent?.qos).toBe(1);
  expect(stage.sentences()).toEqual([row.end[0]]);

  const envelope = await stage.capture(id);
  expect(await told).toMatchObject({ kind: 'paid', id, receipt: { outcome: 'captured' } });
  expect(stage.sentences()).toEqual(row.end);
  expect(stage.outbox.get(id)?.receipt).toEqual(envelope);
  expect(stage.outbox.open()).toEqual([]);
});

test('what is in the outbox was there before it was sent', async () => {
  const order: string[] = [];
  const stage = await createStage({
    wrap: (outbox) => ({
      ...outbox,
      put(...all) {
        order.push(`put, ${stage.wire.sent('request').length} sent`);
        outbox.put(...all);
      },
    }),
  });
  await stage.ready();
  await confirmed(stage);
  expect(order).toEqual(['put, 0 sent']);
  expect(stage.wire.sent('request')).toHaveLength(1);
});

test('two equal payments are two requests with counters of their own', async () => {
  const stage = await readyStage();
  const ids: string[] = [];
  for (const counter of [1, 2]) {
    const { told } = await confirmed(stage);
    const { id, counter: used } = stage.request();
    expect(used).toBe(counter);
    await stage.capture(id);
    await told;
    ids.push(id);
  }
  expect(new Set(ids).size).toBe(2);
});

test('above the band a spoken confirmation is not enough, and a tap is', async () => {
  const stage = await readyStage();
  const told = stage.say(BIG);
  await settle();
  expect(stage.asked[0]?.frame.needs).toBe(2);
  expect(stage.asked[0]?.sentence).toBe('Pay 38.00 yuan to Luckin Coffee? Tap the temple to pay.');
  await stage.say('confirm payment');
  await settle();
  expect(stage.sentences()).toEqual([phrases.needPress('en')]);
  expect(stage.left()).toEqual(NOTHING);
  await stage.press();
  await settle();
  const { id, presence } = stage.request();
  expect(presence).toBe(2);
  await stage.capture(id, 38_00n);
  expect((await told).kind).toBe('paid');
});

test('a press below the band is P2, the stronger of the two', async () => {
  const stage = await readyStage();
  await confirmed(stage);
  expect(stage.request().presence).toBe(2);
});

test.each([
  { amount: '20', needs: 1, why: 'a ceiling belongs to its band' },
  { amount: '20.01', needs: 2, why: 'a fen above it' },
  { amount: '1000', needs: 2, why: 'the last ceiling' },
])('$amount yuan needs P$needs: $why', async ({ amount, needs }) => {
  const stage = await readyStage({ mandates: [mandateWith({ perPaymentMax: 1_000_00n })] });
  void stage.say(`pay ${amount} yuan to Luckin Coffee`);
  await settle();
  expect(stage.asked[0]?.frame.needs).toBe(needs);
});

test('a mandate that is stricter than the policy is kept to when asking', async () => {
  const mandate = mandateWith({ bands: [{ ceiling: 1_000_00n, level: 2 }] });
  const stage = await readyStage({ mandates: [mandate] });
  void stage.say(PAY);
  await settle();
  expect(stage.asked[0]?.frame.needs).toBe(2);
});

test.each<[string, Parameters<typeof createStage>[0], string, Reason]>([
  ['more than the ladder', {}, 'pay 1000.01 yuan to Luckin Coffee', 'presence_too_low'],
  ['a device that proves P1 only', { presenceMax: 1 }, BIG, 'presence_too_low'],
  ['a currency without a mandate', {}, 'pay 5 dollars to Luckin Coffee', 'currency_mismatch'],
  ['more than the mandate', {}, 'pay 200.01 yuan to Luckin Coffee', 'limit_per_payment'],
  [
    'a mandate that has ended',
    { mandates: [mandateWith({ exp: START_S })] },
    PAY,
    'mandate_unknown',
  ],
  ['no mandate at all', { mandates: [] }, PAY, 'mandate_unknown'],
])('never asked: %s', async (_why, options, sentence, reason) => {
  const stage = await readyStage(options);
  expect(await stage.say(sentence)).toEqual({ kind: 'not_sent', reason });
  expect(stage.asked).toEqual([]);
  expect(stage.sentences()).toEqual([phrases.notSent(reasonPhrase(reason, 'en'), 'en')]);
  expect(stage.left()).toEqual(NOTHING);
});

test.each(['cancel', 'no', 'stop', 'confirm payment, no', 'no, confirm payment', '取消', '不要'])(
  'cancelling wins: %s',
  async (words) => {
    const stage = await readyStage();
    const told = stage.say(PAY);
    await settle();
    await stage.say(words);
    expect(await told).toEqual({ kind: 'not_sent', reason: 'cancelled' });
    expect(stage.sentences()).toEqual([phrases.cancelled('en')]);
    await stage.say('confirm payment');
    await stage.press();
    await settle();
    expect(stage.left()).toEqual(NOTHING);
  },
);

test('no answer in time sends nothing, and a late yes does not either', async () => {
  const stage = await readyStage();
  const told = stage.say(PAY);
  await stage.time.pass(CONFIRM_MS - 1);
  expect(stage.said).toEqual([]);
  await stage.time.pass(1);
  expect(await told).toEqual({ kind: 'not_sent', reason: 'timed_out' });
  expect(stage.sentences()).toEqual([phrases.timedOut('en')]);
  await stage.say('confirm payment');
  await settle();
  expect(stage.left()).toEqual(NOTHING);
});

test('while a confirmation is open nothing else is taken', async () => {
  const stage = await readyStage();
  const told = stage.say(PAY);
  await settle();
  const order = await sealOrder();
  const others = [
    { kind: 'utterance', text: 'pay 5 yuan to Noodle Bar' },
    { kind: 'utterance', text: 'yes' },
    { kind: 'utterance', text: 'balance' },
    { kind: 'tag', message: uriTag('saytap://payee/noodle-bar?amount=CNY1') },
    { kind: 'picture', png: codePng(makeCode(orderUri(order)), 4) },
  ] as const;
  for (const other of others) {
    expect(await stage.device.sense(other)).toEqual({ kind: 'said' });
  }
  await settle();
  expect(stage.asked).toHaveLength(1);
  const [only, busy] = [phrases.onlyConfirm('en'), phrases.busy('en')];
  expect(stage.sentences()).toEqual([only, only, only, busy, busy]);
  expect(stage.left()).toEqual(NOTHING);
  await stage.say('confirm payment');
  await settle();
  const { id, payee, amount } = stage.request();
  expect({ payee, amount }).toEqual({ payee: 'luckin-coffee', amount: cny(12_50n) });
  await stage.capture(id);
  expect((await told).kind).toBe('paid');
});

test('while a receipt is awaited a second payment is not begun', async () => {
  const stage = await readyStage();
  const { told } = await confirmed(stage);
  expect(await stage.say('pay 5 yuan to Noodle Bar')).toEqual({ kind: 'said' });
  expect(stage.asked).toHaveLength(1);
  await stage.capture(stage.request().id);
  expect((await told).kind).toBe('paid');
});

test('no update in the middle of a payment, and no payment after a yes to one', async () => {
  const stage = await readyStage();
  expect(stage.updates.ask()).toBe(true);
  const questions = stage.asked.length;
  expect(await stage.say(PAY)).toEqual({ kind: 'not_sent', reason: 'unavailable' });
  expect(stage.asked).toHaveLength(questions);

  await stage.time.pass(UPDATE_HOLD_MS);
  await stage.ready();
  const told = stage.say(PAY);
  await settle();
  expect(stage.updates.ask()).toBe(false);
  await stage.say('cancel');
  expect(await told).toMatchObject({ kind: 'not_sent' });
  expect(stage.updates.ask()).toBe(true);
});

test('a disk that refuses: nothing is sent, and the person hears so', async () => {
  const stage = await readyStage({
    wrap: (outbox) => ({
      ...outbox,
      put() {
        throw new PaymentError('unavailable', 'disk full');
      },
    }),
  });
  const { told } = await confirmed(stage);
  expect(await told).toEqual({ kind: 'not_sent', reason: 'unavailable' });
  expect(stage.sentences()).toEqual([phrases.notSent(reasonPhrase('unavailable', 'en'), 'en')]);
  expect(stage.left()).toEqual(NOTHING);
  await stage.time.pass(60_000);
  expect(stage.wire.sent('request')).toEqual([]);
});

test('a disk that may bring the entry back: unconfirmed, and not sent now', async () => {
  const stage = await readyStage({
    wrap: (outbox) => ({
      ...outbox,
      put() {
        throw new PaymentError('in_progress', 'the sync failed');
      },
    }),
  });
  const { told } = await confirmed(stage);
  await stage.time.pass(RECEIPT_PATIENCE_MS);
  expect(await told).toMatchObject({ kind: 'unconfirmed' });
  expect(stage.sentences().at(-1)).toBe(UNCONFIRMED);
  expect(stage.wire.sent('request')).toEqual([]);
});

test('the second press of a double tap confirms nothing', async () => {
  const stage = await readyStage();
  const told = stage.say(PAY);
  await settle();
  await stage.device.sense({ kind: 'press' });
  await stage.time.pass(CONFIRM_READ_MS - 1);
  await stage.device.sense({ kind: 'press' });
  await settle();
  expect(stage.left()).toEqual(NOTHING);
  await stage.say('cancel');
  expect(await told).toMatchObject({ kind: 'not_sent', reason: 'cancelled' });
});

test('offline, or without a fresh nonce, nobody is even asked', async () => {
  const stage = await createStage();
  const offline = { kind: 'not_sent', reason: 'offline_not_allowed' };
  expect(await stage.say(PAY), 'never connected').toEqual(offline);
  stage.wire.up();
  await settle();
  expect(await stage.say(PAY), 'no tick yet').toEqual(offline);
  await stage.boot();
  stage.wire.down();
  expect(await stage.say(PAY), 'link lost').toEqual(offline);
  stage.wire.up();
  await stage.time.pass(TICK_USE_MS);
  expect(await stage.say(PAY), 'tick too old').toEqual(offline);
  expect(stage.asked).toEqual([]);
  expect(stage.left()).toEqual(NOTHING);
});

test('a link that falls during the confirmation: not signed', async () => {
  const stage = await readyStage();
  const told = stage.say(PAY);
  await settle();
  stage.wire.down();
  await stage.say('confirm payment');
  expect(await told).toEqual({ kind: 'not_sent', reason: 'offline_not_allowed' });
  expect(stage.left()).toEqual(NOTHING);
});

test.each(['backend_unknown', 'in_progress', 'unavailable', 'not_seen'] as const)(
  'pending (%s) says "do not pay again", and the final word follows',
  async (reason) => {
    const stage = await readyStage();
    const { told: paying } = await confirmed(stage);
    const { id } = stage.request();
    await stage.pending(id, reason);
    const told = await paying;
    expect(told).toMatchObject({ kind: 'unconfirmed', id });
    expect(stage.said.at(-1)?.mood).toBe('waiting');
    expect(stage.sentences().at(-1)).toContain('o not pay again');
    expect(stage.outbox.get(id)?.receipt).toBeUndefined();
    await stage.capture(id);
    if (told.kind !== 'unconfirmed') throw new Error('narrowing');
    expect((await told.later).kind).toBe('paid');
    expect(stage.sentences().at(-1)).toBe('Paid 12.50 yuan to Luckin Coffee.');
  },
);

test('pending with the final one on its heels: told in that order, and to the end', async () => {
  const stage = await readyStage();
  const { told: paying } = await confirmed(stage);
  const { id } = stage.request();
  // Both in one turn, as one TCP packet brings them.
  const base = { subject: id, iat: START_S } as const;
  stage.device.hear(id, { ...base, outcome: 'pending', reason: 301 });
  stage.device.hear(id, { ...base, outcome: 'captured', amount: cny(12_50n) });
  const told = await paying;
  if (told.kind !== 'unconfirmed') throw new Error(told.kind);
  expect((await told.later).kind).toBe('paid');
  expect(stage.sentences()).toEqual(['Paying…', UNCONFIRMED, 'Paid 12.50 yuan to Luckin Coffee.']);
});

test('silence is no answer: "not confirmed yet", free again, told later', async () => {
  const stage = await readyStage();
  const { told: paying } = await confirmed(stage);
  const { id } = stage.request();
  await stage.time.pass(RECEIPT_PATIENCE_MS - 1);
  expect(stage.sentences()).toEqual(['Paying…']);
  await stage.time.pass(1);
  const told = await paying;
  expect(told).toMatchObject({ kind: 'unconfirmed', id });
  expect(stage.sentences().at(-1)).toBe(UNCONFIRMED);
  const second = stage.say('pay 5 yuan to Noodle Bar');
  await settle();
  expect(stage.asked).toHaveLength(2);
  await stage.say('cancel');
  await second;
  await stage.refuse(id, 'risk_denied');
  if (told.kind !== 'unconfirmed') throw new Error('narrowing');
  expect(await told.later).toMatchObject({ kind: 'refused', id });
});

test.each([
  ['en', 'limit_per_payment', 'That is more than you allowed for one payment.'],
  ['zh', 'limit_per_payment', '超过单笔限额。'],
  ['en', 'backend_declined', 'perhaps for lack of money'],
  ['zh', 'risk_denied', '未通过安全检查'],
] as const)(
  '%s: refused (%s) says that nothing was charged, and why',
  async (language, reason, why) => {
    const stage = await readyStage({ language });
    const { told } = await confirmed(stage);
    const { id } = stage.request();
    await stage.refuse(id, reason);
    expect(await told).toMatchObject({ kind: 'refused', id, receipt: { outcome: 'refused' } });
    const { sentence, mood } = stage.said.at(-1)!;
    expect(mood).toBe('bad');
    expect(sentence).toContain(language === 'en' ? 'nothing was charged' : '未扣款');
    expect(sentence).toContain(why);
    expect(stage.outbox.open()).toEqual([]);
  },
);

test('a reason of a newer bridge still tells what to do, by its hundreds digit', async () => {
  const stage = await readyStage();
  const { told } = await confirmed(stage);
  const { id } = stage.request();
  await stage.receipt({ subject: id, outcome: 'refused', reason: 199 });
  expect((await told).kind).toBe('refused');
  expect(stage.sentences().at(-1)).toBe('Not paid, nothing was charged. It was refused.');
});

test('only a signed final receipt makes it say paid, refused or charged', async () => {
  const stage = await readyStage();
  const { told: paying } = await confirmed(stage);
  const { id } = stage.request();
  await stage.receipt({ subject: id, outcome: 'captured', amount: cny(12_50n) }, stranger);
  await stage.receipt({ subject: id, outcome: 'refused', reason: 113 }, wearer);
  await stage.receipt({ subject: id, outcome: 'refused', reason: 113 }, undefined, {
    environment: 'sim',
    ledger: 'other',
  });
  stage.wire.deliver('saytap/1/glasses-1/down/unsigned', Uint8Array.of(0xa1, 0x17, 0x18, 0x68));
  await stage.time.pass(10 * 60_000);
  expect((await paying).kind).toBe('unconfirmed');
  expect(stage.sentences().join(' ')).not.toMatch(/paid|refused|declined|charged/i);
  expect(stage.outbox.open().map((entry) => entry.id)).toEqual([id]);
});

test('a tag without an amount asks for it; amount, then confirmation', async () => {
  const stage = await readyStage();
  const tag = { kind: 'tag', message: uriTag('saytap://payee/luckin-coffee') } as const;
  expect(await stage.device.sense(tag)).toEqual({ kind: 'said' });
  expect(stage.sentences()).toEqual(['How much to Luckin Coffee?']);
  void stage.say('38 yuan');
  await settle();
  expect(stage.asked[0]?.frame).toMatchObject({ payee: 'Luckin Coffee', amount: '38.00 yuan' });
  await stage.press();
  await settle();
  expect(stage.request()).toMatchObject({ channel: 'tap', amount: cny(38_00n) });
});

test('the question for an amount ends in time, by cancel, and when answered', async () => {
  const stage = await readyStage();
  const tag = { kind: 'tag', message: uriTag('saytap://payee/luckin-coffee') } as const;
  await stage.device.sense(tag);
  await stage.time.pass(CONFIRM_MS + 1);
  expect(await stage.say('38 yuan')).toEqual({ kind: 'said' });
  await stage.device.sense(tag);
  await stage.say('cancel');
  expect(await stage.say('38 yuan')).toEqual({ kind: 'said' });
  expect(stage.asked).toEqual([]);
  await stage.device.sense(tag);
  const told = stage.say('38 yuan');
  await settle();
  await stage.say('cancel');
  await told;
  expect(await stage.say('39 yuan')).toEqual({ kind: 'said' });
  expect(stage.asked).toHaveLength(1);
  expect(stage.left()).toEqual(NOTHING);
});

test.each<[string, Uint8Array, Reason]>([
  ['a payee of no statement', uriTag('saytap://payee/evil-shop?amount=CNY1'), 'scope_payee'],
  ['the same without amount', uriTag('saytap://payee/evil-shop'), 'scope_payee'],
  ['an amount of nothing', uriTag('saytap://payee/luckin-coffee?amount=CNY0.00'), 'malformed'],
  [
    'an amount with two points',
    uriTag('saytap://payee/luckin-coffee?amount=CNY1.2.3'),
    'malformed',
  ],
  ['half a fen', uriTag('saytap://payee/luckin-coffee?amount=CNY0.005'), 'malformed'],
  ['an unknown currency', uriTag('saytap://payee/luckin-coffee?amount=QQQ5'), 'currency_unknown'],
  ['a damaged tag', uriTag('saytap://payee/luckin-coffee').subarray(0, 20), 'malformed'],
])('a tag is refused: %s', async (_why, message, reason) => {
  const stage = await readyStage();
  expect(await stage.device.sense({ kind: 'tag', message })).toEqual({ kind: 'not_sent', reason });
  expect(stage.asked).toEqual([]);
});

test('a picture of an order: its lines are shown, its id is signed', async () => {
  const stage = await readyStage();
  const order = await sealOrder();
  const told = stage.device.sense({ kind: 'picture', png: codePng(makeCode(orderUri(order)), 4) });
  await expect.poll(() => stage.asked.length).toBe(1);
  expect(stage.asked[0]?.frame).toEqual({
    payee: 'Luckin Coffee',
    amount: '38.00 yuan',
    lines: ['1 × Latte  38.00 yuan'],
    needs: 2,
  });
  await stage.press();
  await settle();
  const { id, ...request } = stage.request();
  expect(request).toMatchObject({
    order: orderId(order),
    terminal: 'till-1',
    payee: 'luckin-coffee',
    amount: cny(38_00n),
    channel: 'look',
  });
  await stage.capture(id, 38_00n);
  expect((await told).kind).toBe('paid');
});

test.each<[string, () => Promise<Uint8Array>, Reason]>([
  ['has expired', () => sealOrder({ exp: START_S }), 'order_expired'],
  ['is of a terminal that nobody vouches for', () => sealOrder({}, stranger), 'bad_signature'],
  ['names a terminal other than its signer', () => sealOrder({}, otherTill), 'order_mismatch'],
  ['names another payee', () => sealOrder({ payee: 'noodle-bar' }), 'order_mismatch'],
])('an order is refused that %s', async (_why, make, reason) => {
  const stage = await readyStage();
  const message = ndef(2, 'application/vnd.saytap.order+cose', await make());
  expect(await stage.device.sense({ kind: 'tag', message })).toEqual({ kind: 'not_sent', reason });
  expect(stage.asked).toEqual([]);
  expect(stage.left()).toEqual(NOTHING);
});

test('what is no code of ours is no payment', async () => {
  const stage = await readyStage();
  const png = codePng(makeCode('https://example.com/pay?amount=5'), 4);
  expect(await stage.device.sense({ kind: 'picture', png })).toEqual({ kind: 'said' });
  expect(await stage.device.sense({ kind: 'picture', png: new Uint8Array(9) })).toEqual({
    kind: 'not_sent',
    reason: 'malformed',
  });
  expect(await stage.press()).toEqual({ kind: 'said' });
  expect(stage.asked).toEqual([]);
});

test('the name that is shown comes from the Key statement alone', async () => {
  const stage = await readyStage();
  // An order may hold what it likes in its lines; the payee's name is not its to say.
  const order = await sealOrder({
    lines: [{ text: 'Payee: Noodle Bar', quantity: 1, total: 38_00n }],
  });
  const message = ndef(2, 'application/vnd.saytap.order+cose', order);
  void stage.device.sense({ kind: 'tag', message });
  await settle();
  expect(stage.asked[0]?.frame.payee).toBe('Luckin Coffee');
  expect(stage.asked[0]?.sentence).toContain('to Luckin Coffee?');
});

test('what would be signed is not what was shown: nothing is signed', async () => {
  let isRenamed = false;
  const stage = await readyStage({
    directory: (real) => ({
      ...real,
      byId(id) {
        const payee = real.byId(id);
        return payee && isRenamed ? { ...payee, names: [['en', 'Evil Shop']] } : payee;
      },
    }),
  });
  const told = stage.say(PAY);
  await settle();
  isRenamed = true;
  const failure = expect(told).rejects.toThrow('what would be signed is not what was shown');
  await stage.say('confirm payment');
  await failure;
  expect(stage.left()).toEqual(NOTHING);
  isRenamed = false;
  void stage.say(PAY);
  await settle();
  expect(stage.asked, 'and the device goes on').toHaveLength(2);
});

test('receipts of other requests, and old ones again, change nothing', async () => {
  const stage = await readyStage();
  const { told: first } = await confirmed(stage);
  const firstId = stage.request().id;
  const old = await stage.capture(firstId);
  await first;
  const { told: second } = await confirmed(stage);
  const { id } = stage.request();
  const told = stage.said.length;
  stage.wire.deliver('saytap/1/glasses-1/down/receipt', old);
  await stage.capture('99'.repeat(16));
  await settle();
  expect(stage.said).toHaveLength(told);
  expect(stage.outbox.open().map((entry) => entry.id)).toEqual([id]);
  await stage.capture(id);
  expect(await second).toMatchObject({ kind: 'paid', id });
  stage.wire.deliver('saytap/1/glasses-1/down/receipt', old);
  await stage.refuse(id, 'risk_denied');
  await settle();
  expect(stage.said, 'a later refusal is not told').toHaveLength(told + 1);
});

test('a bridge that knows more of this key than this disk: suspended', async () => {
  const stage = await createStage();
  stage.wire.up();
  await settle();
  await stage.boot({ counter: 1 });
  expect(stage.clones()).toBe(1);
  expect(stage.said).toEqual([{ sentence: phrases.copied('en'), mood: 'bad' }]);
  expect(await stage.say(PAY)).toEqual({ kind: 'not_sent', reason: 'suspended' });
  expect(stage.asked).toEqual([]);
});

test('suspended while the confirmation is open: not signed', async () => {
  const stage = await readyStage();
  const told = stage.say(PAY);
  await settle();
  stage.device.suspend();
  await stage.say('confirm payment');
  expect(await told).toEqual({ kind: 'not_sent', reason: 'suspended' });
  expect(stage.left()).toEqual(NOTHING);
});

test('suspended while its key signs: nothing is stored, and the person is told', async () => {
  const signing = Promise.withResolvers<void>();
  let isSlow = false;
  const stage = await readyStage({
    async sign(bytes) {
      if (isSlow) await signing.promise;
      return wearer.sign(bytes);
    },
  });
  isSlow = true;
  const told = stage.say(PAY);
  await settle();
  await stage.say('confirm payment');
  await settle();
  stage.device.suspend(phrases.ended('en'));
  signing.resolve();
  expect(await told).toEqual({ kind: 'not_sent', reason: 'suspended' });
  expect(stage.left()).toEqual(NOTHING);
  expect(stage.said.map(({ sentence }) => sentence)).toEqual([
    phrases.ended('en'),
    expect.stringMatching(/^Nothing was sent/),
  ]);
});

test('after a power cut the open payment is sent again and its end is told', async () => {
  const database = openDatabase(':memory:');
  const before = await readyStage({ database });
  await confirmed(before);
  const { id } = before.request();
  const [sent] = before.wire.sent('request');

  const after = await createStage({ database });
  await after.ready();
  expect(after.wire.sent('request').map(({ payload }) => payload)).toEqual([sent?.payload]);
  expect(after.said).toEqual([]);
  await after.pending(id, 'in_progress');
  expect(after.said).toEqual([]);
  await after.capture(id);
  expect(after.said).toEqual([{ sentence: 'Paid 12.50 yuan to Luckin Coffee.', mood: 'good' }]);
  expect(after.outbox.open()).toEqual([]);

  const { told: next } = await confirmed(after);
  expect(after.request().counter, 'counters go on').toBe(2);
  await after.refuse(after.request().id, 'limit_window');
  expect((await next).kind).toBe('refused');
});

test('after a restart the end is told also when the payee is known no more', async () => {
  const database = openDatabase(':memory:');
  const before = await readyStage({ database });
  await confirmed(before);
  const { id } = before.request();
  const after = await createStage({
    database,
    directory: (real) => ({ ...real, byId: () => undefined }),
  });
  await after.ready();
  await after.capture(id);
  expect(after.sentences()).toEqual(['Paid 12.50 yuan to luckin-coffee.']);
});

test('balance and receipts tell what the newest signed receipts say', async () => {
  const stage = await readyStage();
  await stage.say('balance');
  await stage.say('receipts');
  expect(stage.sentences()).toEqual([phrases.left([], 'en'), phrases.noReceipts('en')]);
  const { told } = await confirmed(stage);
  const { id } = stage.request();
  const remaining = [{ amount: 1_987_50n, count: 199 }];
  await stage.receipt({ subject: id, outcome: 'captured', amount: cny(12_50n), remaining });
  await told;
  await stage.say('balance');
  await stage.say('receipts');
  expect(stage.sentences().slice(-2)).toEqual([
    'Left: 1987.50 yuan in all.',
    '2026-07-01 04:00  captured  12.50 yuan',
  ]);
});

describe('a payment to the same payee is not confirmed yet', () => {
  async function openStage(language: 'en' | 'zh' = 'en') {
    const stage = await readyStage({ language });
    const { told } = await confirmed(stage, language === 'en' ? PAY : '付十二块五给瑞幸咖啡');
    await stage.time.pass(RECEIPT_PATIENCE_MS);
    await told;
    return stage;
  }
  const asks = async (stage: Stage, sentence: string) => {
    void stage.say(sentence);
    await settle();
    return stage.asked.at(-1)?.sentence;
  };

  test.each([
    [
      'en',
      'pay 4 yuan to Luckin Coffee',
      '12.50 yuan to Luckin Coffee is not confirmed yet. Pay another 4.00 yuan? ' +
        'Say “confirm payment” or tap the temple.',
    ],
    [
      'en',
      BIG,
      '12.50 yuan to Luckin Coffee is not confirmed yet. Pay another 38.00 yuan? ' +
        'Tap the temple to pay.',
    ],
    [
      'zh',
      '付四元给瑞幸咖啡',
      '向瑞幸咖啡支付的12.50元尚未确认。要再支付4.00元吗？请说“确认支付”或轻触镜腿。',
    ],
    [
      'zh',
      '付三十八元给瑞幸咖啡',
      '向瑞幸咖啡支付的12.50元尚未确认。要再支付38.00元吗？请轻触镜腿支付。',
    ],
  ] as const)(
    '%s, %s: the question says so, and names it',
    async (language, sentence, question) => {
      expect(await asks(await openStage(language), sentence)).toBe(question);
    },
  );

  test('two of them are both named; a spoken yes is enough', async () => {
    const stage = await openStage();
    await asks(stage, PAY);
    await stage.say('confirm payment');
    await stage.time.pass(RECEIPT_PATIENCE_MS);
    expect(stage.outbox.open()).toHaveLength(2);
    expect(await asks(stage, 'pay 4 yuan to Luckin Coffee')).toMatch(
      /^12\.50 yuan and 12\.50 yuan to Luckin Coffee are not confirmed yet\. Pay another 4\.00/,
    );
  });

  test('another payee, or one that ended, is not mentioned', async () => {
    const stage = await openStage();
    expect(await asks(stage, 'pay 4 yuan to Noodle Bar')).toMatch(
      /^Pay 4\.00 yuan to Noodle Bar\?/,
    );
    await stage.say('cancel');
    await stage.capture(stage.request().id);
    expect(await asks(stage, PAY)).toMatch(/^Pay 12\.50 yuan to Luckin Coffee\?/);
  });

  test('it stands first among the receipts', async () => {
    const stage = await openStage();
    await stage.say('receipts');
    expect(stage.sentences().at(-1)).toBe('2026-07-01 04:00  not confirmed yet  12.50 yuan');
  });
});

test('of two mandates the one that permits the payment is signed for', async () => {
  const small = mandateWith({ perPaymentMax: 1_00n, exp: START_S + 90_000 });
  const stage = await readyStage({ mandates: [small, mandateWith()] });
  await confirmed(stage);
  expect(stage.request().mandate).toBe(mandateId(1));
});

test('a mandate that the bridge called revoked gives way to another', async () => {
  const longer = mandateWith({ exp: START_S + 90_000 });
  const stage = await readyStage({ mandates: [longer, mandateWith()] });
  const used: string[] = [];
  for (const reason of ['revoked', undefined] as const) {
    const { told } = await confirmed(stage);
    const { id, mandate } = stage.request();
    used.push(mandate);
    await (reason ? stage.refuse(id, reason) : stage.capture(id));
    await told;
  }
  expect(used).toEqual([mandateId(0), mandateId(1)]);
});

describe('leaving', () => {
  const LEFT =
    '12.50 yuan to Luckin Coffee is not confirmed yet. ' +
    'Do not pay again; it goes on at the next start.';

  test('waits for the receipt of the payment under way', async () => {
    const stage = await readyStage();
    const { told } = await confirmed(stage);
    let isOver = false;
    const leaving = stage.device.leave().then(() => (isOver = true));
    await stage.time.pass(LEAVE_MS - 1);
    expect(isOver).toBe(false);
    await stage.capture(stage.request().id);
    await told;
    await leaving;
    expect(stage.sentences().at(-1)).toBe('Paid 12.50 yuan to Luckin Coffee.');
  });

  test('not for ever: then it says that it goes on', async () => {
    const stage = await readyStage();
    await confirmed(stage);
    const leaving = stage.device.leave();
    await stage.time.pass(LEAVE_MS);
    await leaving;
    expect(stage.said.at(-1)).toEqual({ sentence: LEFT, mood: 'waiting' });
  });

  test('at once, when it was told before that it is not confirmed; in Chinese too', async () => {
    const stage = await readyStage({ language: 'zh' });
    await confirmed(stage, '付十二块五给瑞幸咖啡');
    await stage.time.pass(RECEIPT_PATIENCE_MS);
    await stage.device.leave();
    expect(stage.sentences().at(-1)).toBe(
      '向瑞幸咖啡支付的12.50元尚未确认。请勿重复付款，下次启动时会继续处理。',
    );
  });

  test('says nothing of an open question, and does not wait for it', async () => {
    const stage = await readyStage();
    void stage.say(PAY);
    await settle();
    await stage.device.leave();
    expect(stage.said).toEqual([]);
    expect(stage.left()).toEqual(NOTHING);
  });
});

test('two payees of one name are not guessed', async () => {
  const stage = await readyStage({
    directory: (real) => ({
      ...real,
      find: () => [real.byId('luckin-coffee')!, real.byId('noodle-bar')!],
    }),
  });
  expect(await stage.say(PAY)).toEqual({ kind: 'said' });
  expect(stage.sentences()).toEqual([phrases.twoPayees('en')]);
  expect(stage.asked).toEqual([]);
});

test('quit ends only when nothing is open', async () => {
  const stage = await readyStage();
  const told = stage.say(PAY);
  await settle();
  expect(await stage.say('quit')).toEqual({ kind: 'said' });
  expect(await told).toEqual({ kind: 'not_sent', reason: 'cancelled' });
  expect(await stage.say('quit')).toEqual({ kind: 'quit' });
});

describe('calling off what was sent', () => {
  const ASKED = {
    en:
      'Asked to cancel 12.50 yuan to Luckin Coffee; not cancelled until I say so. ' +
      'Do not pay again.',
    zh: '已请求取消向瑞幸咖啡支付的12.50元；在我告知之前尚未取消，请勿重复付款。',
  };
  const CANCELLED = 'Cancelled: you were not charged the 12.50 yuan to Luckin Coffee.';
  const PAID_FIRST = 'It was paid before it could be cancelled: 12.50 yuan to Luckin Coffee.';

  /** A payment that is not confirmed yet, and freed the person. */
  async function unconfirmed(options: Parameters<typeof createStage>[0] = {}) {
    const stage = await readyStage(options);
    const { told } = await confirmed(stage);
    const { id } = stage.request();
    await stage.time.pass(RECEIPT_PATIENCE_MS);
    const first = await told;
    if (first.kind !== 'unconfirmed') throw new Error(first.kind);
    return { stage, id, later: first.later };
  }

  test.each([
    ['en', 'cancel', CANCELLED],
    ['zh', '取消', '已取消：向瑞幸咖啡支付的12.50元未扣款。'],
  ] as const)(
    '%s: asked, and cancelled only by the signed receipt',
    async (language, words, end) => {
      const { stage, id, later } = await unconfirmed({ language });
      expect(await stage.say(words)).toEqual({ kind: 'said' });
      expect(stage.said.at(-1)).toEqual({ sentence: ASKED[language], mood: 'waiting' });
      expect(stage.cancels()).toEqual([id]);
      const query = stage.wire.sent('query').at(-1)!;
      expect(open(queryKind, query.payload, REALM, () => wearer.key).value).toEqual({
        question: 'cancel',
        subject: id,
      });
      expect(query.qos).toBe(1);
      expect(stage.outbox.get(id)).toMatchObject({ receipt: undefined, cancel: query.payload });

      const count = stage.said.length;
      await stage.pending(id, 'in_progress');
      await stage.receipt({ subject: id, outcome: 'refused', reason: 125 }, stranger);
      expect(stage.said, 'no answer but a final one').toHaveLength(count);
      expect(stage.outbox.open()).toHaveLength(1);

      await stage.refuse(id, 'cancelled');
      expect(await later).toMatchObject({ kind: 'refused', id });
      expect(stage.sentences().at(-1)).toBe(end);
      expect(stage.outbox.open()).toEqual([]);
    },
  );

  test.each([
    ['en', 'cancel', PAID_FIRST],
    ['zh', '取消付款', '未能取消，款项已先行支付：12.50元付给瑞幸咖啡。'],
  ] as const)('%s: too late', async (language, words, end) => {
    const { stage, id, later } = await unconfirmed({ language });
    await stage.say(words);
    await stage.capture(id);
    expect(await later).toMatchObject({ kind: 'paid', id });
    expect(stage.said.at(-1)).toEqual({ sentence: end, mood: 'bad' });
  });

  test('refused for another reason after all: told as that', async () => {
    const { stage, id, later } = await unconfirmed();
    await stage.say('cancel');
    await stage.refuse(id, 'backend_declined');
    await later;
    expect(stage.sentences().at(-1)).toContain('Not paid, nothing was charged. Your account');
  });

  test('the question goes out until a final receipt, and the payment itself no more', async () => {
    const { stage, id } = await unconfirmed();
    await stage.say('cancel');
    const before = stage.wire.sent('request').length;
    await stage.live(5 * RESEND_MS_MAX);
    await stage.pending(id, 'backend_unknown');
    await stage.live(5 * RESEND_MS_MAX);
    expect(stage.wire.sent('request')).toHaveLength(before);
    const count = stage.cancels().length;
    expect(count).toBeGreaterThan(8);
    expect(count, 'with growing pauses').toBeLessThan(18);
    await stage.refuse(id, 'cancelled');
    await stage.live(5 * RESEND_MS_MAX);
    expect(stage.cancels()).toHaveLength(count);
  });

  test('without a link: asked once there is one, and not called cancelled before', async () => {
    const { stage, id } = await unconfirmed();
    stage.wire.down();
    await stage.say('cancel');
    await stage.time.pass(60_000);
    expect(stage.cancels()).toEqual([]);
    expect(stage.sentences().join(' ')).not.toMatch(/not charged|nothing was/i);
    stage.wire.up();
    await settle();
    expect(stage.cancels()).toEqual([id]);
    await stage.refuse(id, 'cancelled');
    expect(stage.sentences().at(-1)).toBe(CANCELLED);
  });

  test('after a power cut: asked again, with the same bytes, and its end is told', async () => {
    const database = openDatabase(':memory:');
    const before = await unconfirmed({ database });
    await before.stage.say('cancel');
    const asked = before.stage.outbox.get(before.id)?.cancel;

    const after = await createStage({ database });
    await after.ready();
    expect(after.wire.sent('request')).toEqual([]);
    expect(after.cancels()).toEqual([before.id]);
    const sent = after.wire.sent('query').map(({ payload }) => toHex(payload));
    expect(sent).toContain(toHex(asked!));
    await after.capture(before.id);
    expect(after.sentences()).toEqual([PAID_FIRST]);
  });

  test('said twice: one question, one end', async () => {
    const { stage, id } = await unconfirmed();
    await Promise.all([stage.say('cancel'), stage.say('cancel')]);
    await stage.say('cancel');
    const bytes = stage.wire.sent('query').map(({ payload }) => toHex(payload));
    expect(new Set(bytes.slice(1)).size, 'the boot query, and this').toBe(1);
    await stage.refuse(id, 'cancelled');
    await stage.refuse(id, 'cancelled');
    expect(stage.sentences().filter((sentence) => sentence === CANCELLED)).toHaveLength(1);
    await stage.say('cancel');
    expect(stage.sentences().at(-1)).toBe(phrases.nothingToCancel('en'));
    expect(stage.cancels().every((subject) => subject === id)).toBe(true);
  });

  test('the final receipt before the answer to the cancel: told once', async () => {
    const { stage, id, later } = await unconfirmed();
    await stage.say('cancel');
    const receipt = await stage.capture(id);
    await later;
    const count = stage.said.length;
    stage.wire.deliver('saytap/1/glasses-1/down/receipt', receipt);
    await settle();
    expect(stage.said).toHaveLength(count);
    expect(stage.outbox.get(id)?.receipt).toEqual(receipt);
  });

  test('the final receipt while the question is being signed: nothing is asked', async () => {
    const { stage, id } = await unconfirmed();
    const value = { iat: START_S, subject: id, outcome: 'captured' } as const;
    const receipt = await seal(receiptKind, value, REALM, bridge);
    const saying = stage.say('cancel');
    stage.wire.deliver('saytap/1/glasses-1/down/receipt', receipt);
    expect(await saying).toEqual({ kind: 'said' });
    await settle();
    expect(stage.cancels()).toEqual([]);
    expect(stage.sentences().at(-1)).toBe('Paid 12.50 yuan to Luckin Coffee.');
  });

  test('cancelled by the bridge without having been asked to: final all the same', async () => {
    const { stage, id, later } = await unconfirmed();
    await stage.refuse(id, 'cancelled');
    expect(await later).toMatchObject({ kind: 'refused', id });
    expect(stage.sentences().at(-1)).toBe(CANCELLED);
    expect(stage.outbox.open()).toEqual([]);
    expect(stage.cancels()).toEqual([]);
  });

  test('a receipt about an id that was never sent closes and tells nothing', async () => {
    const { stage, id } = await unconfirmed();
    await stage.say('cancel');
    const count = stage.said.length;
    await stage.refuse('77'.repeat(16), 'cancelled');
    expect(stage.said).toHaveLength(count);
    expect(stage.outbox.open().map((entry) => entry.id)).toEqual([id]);
  });

  test('already while its receipt is awaited', async () => {
    const stage = await readyStage();
    const { told } = await confirmed(stage);
    const { id } = stage.request();
    await stage.say('cancel');
    expect(stage.sentences()).toEqual(['Paying…', ASKED.en]);
    expect(stage.cancels()).toEqual([id]);
    await stage.refuse(id, 'cancelled');
    expect(await told).toMatchObject({ kind: 'refused', id });
    expect(stage.sentences().at(-1)).toBe(CANCELLED);
  });

  test('asked in the first seconds: patience does not offer again what was asked', async () => {
    const stage = await readyStage();
    const { told } = await confirmed(stage);
    await stage.say('cancel');
    await stage.time.pass(RECEIPT_PATIENCE_MS);
    expect((await told).kind).toBe('unconfirmed');
    expect(stage.sentences().at(-1)).toBe(reasonPhrase('backend_unknown', 'en'));
  });

  test('while another question is open "cancel" is the answer to that', async () => {
    const { stage } = await unconfirmed();
    const second = stage.say('pay 5 yuan to Noodle Bar');
    await settle();
    await stage.say('cancel');
    expect(await second).toEqual({ kind: 'not_sent', reason: 'cancelled' });
    expect(stage.cancels()).toEqual([]);
    expect(stage.sentences().at(-1), 'and what it is not about is named').toBe(
      'Cancelled. Nothing was sent. 12.50 yuan to Luckin Coffee is not confirmed yet. ' +
        'You can say “cancel”.',
    );
  });

  test('of two the newest, by name; the older one when that has ended', async () => {
    const { stage, id: older } = await unconfirmed();
    const second = stage.say('pay 5 yuan to Noodle Bar');
    await settle();
    await stage.press();
    await settle();
    await stage.time.pass(RECEIPT_PATIENCE_MS);
    await second;
    const newer = stage.outbox.open().at(-1)!.id;
    await stage.say('cancel');
    await stage.say('cancel');
    expect(new Set(stage.cancels())).toEqual(new Set([newer]));
    expect(stage.sentences().at(-1)).toContain('Asked to cancel 5.00 yuan to Noodle Bar');
    await stage.refuse(newer, 'cancelled');
    await stage.say('cancel');
    expect(stage.cancels().at(-1)).toBe(older);
  });

  test.each([
    'no',
    'stop',
    '不要',
    'cancel?',
    'no, cancel?',
    'don’t cancel',
    'confirm payment, no',
  ])('it takes the word itself: not “%s”', async (words) => {
    const { stage } = await unconfirmed();
    await stage.say(words);
    expect(stage.cancels()).toEqual([]);
    expect(stage.sentences().at(-1)).toBe(UNCONFIRMED);
  });

  test('a disk that does not keep the question: nothing is asked, nothing is claimed', async () => {
    const { stage, id } = await unconfirmed({
      wrap: (outbox) => ({
        ...outbox,
        cancel() {
          throw new PaymentError('unavailable', 'disk full');
        },
      }),
    });
    expect(await stage.say('cancel')).toEqual({ kind: 'said' });
    expect(stage.sentences().at(-1)).toBe(phrases.cancelFailed('en'));
    expect(stage.cancels()).toEqual([]);
    await stage.capture(id);
    expect(stage.sentences().at(-1)).toBe('Paid 12.50 yuan to Luckin Coffee.');
  });

  test.each([
    ['en', 'in_progress', 'Still in progress. Do not pay again. You can say “cancel”.'],
    ['zh', 'unavailable', '尚未确认，请勿重复付款，有结果会通知您。可以说“取消”。'],
  ] as const)('%s: offered with a pending receipt (%s), once', async (language, reason, offer) => {
    const stage = await readyStage({ language });
    const { told } = await confirmed(stage);
    await stage.pending(stage.request().id, reason);
    await told;
    expect(stage.sentences().at(-1)).toBe(offer);
    const count = stage.said.length;
    await stage.time.pass(10 * RECEIPT_PATIENCE_MS);
    expect(stage.said).toHaveLength(count);
  });

  test('a disk that refuses everything after the payment: never "nothing was sent"', async () => {
    let isBroken = false;
    const broken = () => {
      if (isBroken) throw new PaymentError('unavailable', 'the disk failed');
    };
    const stage = await readyStage({
      wrap: (outbox) => ({
        ...outbox,
        put() {
          isBroken = true;
          throw new PaymentError('in_progress', 'the sync failed');
        },
        get(id) {
          broken();
          return outbox.get(id);
        },
        open() {
          broken();
          return outbox.open();
        },
        told: async () => broken(),
      }),
    });
    const { told } = await confirmed(stage);
    await stage.say('cancel');
    expect(stage.sentences().at(-1)).toBe(phrases.cancelFailed('en'));
    await stage.time.pass(RECEIPT_PATIENCE_MS);
    expect((await told).kind).toBe('unconfirmed');
    await stage.say('cancel');
    expect(stage.sentences().join(' ')).not.toMatch(/nothing was|not charged/i);
    expect(stage.wire.sent('request')).toEqual([]);
  });
});

describe('a power cut between keeping the final receipt and telling it', () => {
  /** A payment whose final receipt is on disk, and a person who does not know. */
  async function cut(value: Parameters<Stage['receipt']>[0]) {
    const database = openDatabase(':memory:');
    const before = await readyStage({ database });
    await confirmed(before);
    const { id } = before.request();
    void before.outbox.close(
      id,
      await before.receipt({ subject: 'ff'.repeat(16), ...value }),
      START_S,
    );
    return { database, id };
  }

  test.each([
    ['paid', { outcome: 'captured' }, 'Paid 12.50 yuan to Luckin Coffee.'],
    [
      'refused',
      { outcome: 'refused', reason: 126 },
      'Not paid, nothing was charged. The safety check said no. Pay another way.',
    ],
  ] as const)('%s: told at the next start, and only then', async (_what, value, sentence) => {
    const { database } = await cut(value);
    const after = await createStage({ database });
    expect(after.sentences()).toEqual([sentence]);
    expect((await createStage({ database })).said).toEqual([]);
  });

  test('what was told is not told again', async () => {
    const database = openDatabase(':memory:');
    const before = await readyStage({ database });
    const { told } = await confirmed(before);
    await before.capture(before.request().id);
    await told;
    expect((await createStage({ database })).said).toEqual([]);
  });

  test('a disk that does not keep that it was told: told again, and nothing else', async () => {
    const database = openDatabase(':memory:');
    const stage = await readyStage({
      database,
      wrap: (outbox) => ({
        ...outbox,
        async told() {
          throw new PaymentError('unavailable', 'disk full');
        },
      }),
    });
    const { told } = await confirmed(stage);
    await stage.capture(stage.request().id);
    expect((await told).kind).toBe('paid');
    const paid = 'Paid 12.50 yuan to Luckin Coffee.';
    expect(stage.sentences()).toEqual(['Paying…', paid]);
    expect((await createStage({ database })).sentences()).toEqual([paid]);
  });
});

test('what is sent no more is told, once a start, and can be called off by nobody', async () => {
  const database = openDatabase(':memory:');
  const before = await readyStage({
    database,
    wrap: (outbox) => ({
      ...outbox,
      put: (entry, used) =>
        outbox.put({ ...entry, storedMs: entry.storedMs - RESEND_FOR_MS - 1_000 }, used),
    }),
  });
  await confirmed(before);
  const { id } = before.request();
  const after = await createStage({ database });
  await after.ready();
  await after.time.pass(10 * RESEND_MS_MAX);
  const sentence = phrases.gaveUp('12.50 yuan', 'Luckin Coffee', 'en');
  expect(after.said).toEqual([{ sentence, mood: 'bad' }]);
  await after.say('cancel');
  expect(after.sentences().at(-1)).toBe(phrases.nothingToCancel('en'));
  await after.capture(id);
  expect(after.sentences().at(-1)).toBe('Paid 12.50 yuan to Luckin Coffee.');
});

describe('a key that does not sign', () => {
  const AWAY =
    'Nothing was sent, nothing was charged. The key of this device is not there: put it back. ' +
    'Then say “confirm” or press, and I ask again.';

  /** A stage whose token is there at the start, and can be taken out and put back. */
  async function tokenStage(trouble: KeyTrouble = 'away', language: 'en' | 'zh' = 'en') {
    let isIn = true;
    const stage = await readyStage({
      language,
      sign: (bytes) =>
        isIn ? wearer.sign(bytes) : Promise.reject(new KeyFailure(trouble, 'put it in')),
    });
    return { ...stage, take: () => (isIn = false), putBack: () => (isIn = true) };
  }

  test('nothing is stored or sent; put back, it is asked again and paid once', async () => {
    const stage = await tokenStage();
    stage.take();
    const { told } = await confirmed(stage);
    expect(await told).toEqual({ kind: 'not_sent', reason: 'unavailable' });
    expect(stage.left()).toEqual(NOTHING);
    expect(stage.sentences().at(-1)).toBe(AWAY);
    expect(stage.logged).toContain('the key did not sign');

    stage.putBack();
    const paying = stage.device.sense({ kind: 'press' });
    await settle();
    expect(stage.asked).toHaveLength(2);
    expect(stage.asked[1]).toEqual(stage.asked[0]);
    expect(stage.left(), 'not before a new yes').toEqual(NOTHING);
    await stage.press();
    await settle();
    const { id, amount, counter } = stage.request();
    expect([amount, counter]).toEqual([cny(12_50n), 1]);
    await stage.capture(id);
    expect(await paying).toMatchObject({ kind: 'paid', id });
    expect(await stage.press(), 'once only').toEqual({ kind: 'said' });
    expect(stage.asked).toHaveLength(2);
  });

  test('a spoken yes asks again too, and is not itself the confirmation', async () => {
    const stage = await tokenStage();
    stage.take();
    await (
      await confirmed(stage)
    ).told;
    stage.putBack();
    const paying = stage.say('confirm payment');
    await settle();
    expect(stage.asked).toHaveLength(2);
    expect(stage.left()).toEqual(NOTHING);
    await stage.say('cancel');
    expect(await paying).toEqual({ kind: 'not_sent', reason: 'cancelled' });
    expect(await stage.say('confirm payment')).toEqual({ kind: 'said' });
    expect(stage.asked).toHaveLength(2);
  });

  test('still not there: told again, and kept again', async () => {
    const stage = await tokenStage();
    stage.take();
    await (
      await confirmed(stage)
    ).told;
    for (let n = 2; n < 5; n++) {
      const trying = stage.device.sense({ kind: 'press' });
      await settle();
      await stage.press();
      expect(await trying).toEqual({ kind: 'not_sent', reason: 'unavailable' });
      expect(stage.asked).toHaveLength(n);
    }
    expect(stage.left()).toEqual(NOTHING);
  });

  test.each([
    ['a cancel', (stage: Stage) => stage.say('cancel')],
    ['its time', (stage: Stage) => stage.time.pass(KEPT_MS + 1)],
    [
      'another payment',
      async (stage: Stage) => {
        const other = stage.say(BIG);
        await settle();
        await stage.say('cancel');
        await other;
      },
    ],
  ])('%s ends it: a press then asks nothing', async (_what, end) => {
    const stage = await tokenStage();
    stage.take();
    await (
      await confirmed(stage)
    ).told;
    stage.putBack();
    await end(stage);
    const before = stage.asked.length;
    expect(await stage.press()).toEqual({ kind: 'said' });
    expect(stage.asked).toHaveLength(before);
    expect(stage.left()).toEqual(NOTHING);
  });

  test('an order that ran out meanwhile is not asked about again', async () => {
    const stage = await tokenStage();
    const envelope = await sealOrder({ exp: START_S + 30 });
    stage.take();
    const told = stage.device.sense({
      kind: 'tag',
      message: ndef(2, 'application/vnd.saytap.order+cose', envelope),
    });
    await settle();
    await stage.press();
    expect(await told).toEqual({ kind: 'not_sent', reason: 'unavailable' });
    stage.putBack();
    await stage.time.pass(60_000);
    expect(await stage.press()).toEqual({ kind: 'not_sent', reason: 'order_expired' });
    expect(stage.asked).toHaveLength(1);
  });

  test.each([
    ['refused', 'en', /The key of this device does not sign: call its operator\. Then say/],
    ['away', 'zh', /^未发送，未扣款。本设备的密钥不在，请将其放回。然后说“确认”或按一下/],
    ['refused', 'zh', /本设备的密钥无法签名，请联系运营方。/],
  ] as const)('%s, in %s: told in so many words', async (trouble, language, words) => {
    const stage = await tokenStage(trouble, language);
    stage.take();
    const told = stage.say(language === 'en' ? PAY : '向瑞幸咖啡支付12.5元');
    await settle();
    expect(stage.asked).toHaveLength(1);
    await stage.press();
    await told;
    expect(stage.sentences().at(-1)).toMatch(words);
  });
});
