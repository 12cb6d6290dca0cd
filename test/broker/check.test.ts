/**
 * The question before a payment: its answer is the verdict that the payment then gets.
 *
 * Method: each case asks first and pays then, on one store under the real judge; both must agree,
 * and asking must leave no trace.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Checked, QUESTION, check } from '../../broker/check.ts';
import type { Store } from '../../broker/store/port.ts';
import { createSqliteStore } from '../../broker/store/sqlite.ts';
import { random, timers } from '../../src/node/platform.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import type { Mandate } from '../../src/objects/mandate.ts';
import type { Request } from '../../src/objects/request.ts';
import {
  CAST,
  NOW_MS,
  POLICY,
  RULES,
  type Role,
  admissionOf,
  admitTo,
  enrol,
  orderOf,
  putMandate,
  sealed,
} from './stage.ts';
import { order as orderKind } from '../../src/objects/order.ts';

let database: ReturnType<typeof openDatabase>;
let store: Store;
beforeEach(async () => {
  database = openDatabase(':memory:');
  store = createSqliteStore(database, timers, random);
  await enrol(store);
});
afterEach(() => store.close());

const clockAt = (nowMs: number) => ({ nowMs: () => nowMs, monotonicMs: () => 0 });

type Asked = Readonly<{ [Field in keyof Parameters<typeof check>[1]]?: unknown }>;

function ask(mandate: string, changes: Asked = {}, nowMs = NOW_MS): Promise<Checked> {
  const asked = {
    ...{ mandate, payee: 'cafe', currency: 'CNY', minor: '1000', presence: 2, channel: 'voice' },
    ...changes,
  };
  return check({ store, rules: RULES, clock: clockAt(nowMs) }, QUESTION.parse(asked));
}

let counter = 0;
/** Pays under the mandate; the reason of a refusal, or undefined. */
async function pay(mandate: string, changes: Partial<Request> = {}, role: Role = 'glasses') {
  counter = (counter % 50) + 1;
  const admission = await admissionOf({ mandate, counter, ...changes }, NOW_MS, role);
  const { run } = await admitTo(store, admission);
  return run;
}
beforeEach(() => void (counter = 0));

const tables = () =>
  ['runs', 'windows', 'reservations', 'identities', 'counters', 'evidence'].flatMap((table) => {
    const known = database.prepare('SELECT 1 FROM sqlite_master WHERE name = ?').get(table);
    return known ? [database.prepare(`SELECT * FROM ${table}`).all()] : [];
  });

describe('what it says is what happens', () => {
  const cases: readonly (readonly [
    string,
    Partial<Mandate>,
    Asked,
    Partial<Request>,
    string | undefined,
  ])[] = [
    ['a coffee', {}, {}, {}, undefined],
    [
      'more than one payment may be',
      {},
      { minor: '20001' },
      { amount: { currency: 'CNY', minor: 200_01n } },
      'limit_per_payment',
    ],
    [
      'exactly the most',
      {},
      { minor: '20000' },
      { amount: { currency: 'CNY', minor: 200_00n } },
      undefined,
    ],
    ['less than one payment may be', { perPaymentMin: 10_01n }, {}, {}, 'limit_per_payment'],
    [
      'more than the window holds',
      { windows: [{ kind: 'total', max: 9_99n, count: 9 }] },
      {},
      {},
      'limit_window',
    ],
    ['another payee', { allow: [{ kind: 'payee', payee: 'bazaar' }] }, {}, {}, 'scope_payee'],
    [
      'a denied category',
      { deny: [{ kind: 'category', category: 5814 }] },
      {},
      {},
      'scope_category',
    ],
    [
      'a terminal that is not there',
      {},
      { terminal: 'till-9' },
      { terminal: 'till-9' },
      'scope_terminal',
    ],
    [
      'another currency',
      {},
      { currency: 'EUR' },
      { amount: { currency: 'EUR', minor: 10_00n } },
      'currency_mismatch',
    ],
    ['a channel that is not allowed', { channels: 2 }, {}, {}, 'scope_channel'],
    ['nobody present', {}, { presence: 0 }, { presence: 0 }, 'presence_too_low'],
    [
      'presence that its key may not claim',
      { bands: [{ ceiling: 200_00n, level: 3 }] },
      { presence: 3 },
      {},
      'presence_too_low',
    ],
    ['a mandate that is over', { exp: NOW_MS / 1000 }, {}, {}, 'expired'],
    ['a mandate that begins later', { nbf: NOW_MS / 1000 + 1 }, {}, {}, 'not_yet_valid'],
    [
      'an order that nobody registered',
      {},
      { order: '12'.repeat(16) },
      { order: '12'.repeat(16) },
      'order_unknown',
    ],
    [
      'access, which has no amount',
      {},
      { action: 'access', minor: '0' },
      { action: 'access' },
      undefined,
    ],
    ['a hold', {}, { action: 'hold' }, { action: 'hold' }, undefined],
  ];
  test.each(cases)('%s', async (_why, terms, asked, request, reason) => {
    const id = await putMandate(store, terms);
    const before = tables();
    const checked = await ask(id, asked);
    expect(tables(), 'asking leaves no trace').toEqual(before);
    if (request.action === 'access') {
      const { amount: _none, ...rest } = (await admissionOf({ mandate: id })).request;
      const admission = await admissionOf({ mandate: id });
      const { run } = await admitTo(store, {
        ...admission,
        request: { ...rest, action: 'access' },
      });
      expect(run.refusal).toBe(reason);
    } else expect((await pay(id, request)).refusal).toBe(reason);
    if (reason === undefined) expect(checked).toMatchObject({ allowed: true });
    else expect(checked).toMatchObject({ allowed: false, reason });
  });

  test('it tells what is left, and which window of which mandate refuses', async () => {
    const id = await putMandate(store, {
      windows: [
        { kind: 'total', max: 1_000_00n, count: 9 },
        { kind: 'calendar', period: 'day', zone: 'Asia/Shanghai', max: 30_00n, count: 3 },
      ],
    });
    expect(await ask(id)).toEqual({
      allowed: true,
      presence: 2,
      channel: 'voice',
      remaining: [
        { amount: '99000', count: 8 },
        { amount: '2000', count: 2 },
      ],
    });
    await pay(id);
    await pay(id, { amount: { currency: 'CNY', minor: 15_00n } });
    expect(await ask(id)).toEqual({
      allowed: false,
      reason: 'limit_window',
      why:
        `window 2 (per day, Asia/Shanghai) of mandate ${id.slice(0, 8)} has ` +
        '5.00 yuan of 30.00 yuan left, 10.00 yuan is asked for',
    });
    expect((await pay(id)).refusal).toBe('limit_window');
    // Midnight in Shanghai is 16:00 UTC.
    const midnightMs = Date.UTC(2026, 9, 14, 16);
    expect(await ask(id, {}, midnightMs - 1)).toMatchObject({ reason: 'limit_window' });
    expect(await ask(id, {}, midnightMs)).toMatchObject({
      allowed: true,
      remaining: [{ amount: '96500' }, { amount: '2000', count: 2 }],
    });
  });

  test('a gap refuses until its very millisecond', async () => {
    const id = await putMandate(store, { gap: 60 });
    await pay(id);
    expect(await ask(id, {}, NOW_MS + 59_999)).toMatchObject({ reason: 'limit_gap' });
    expect(await ask(id, {}, NOW_MS + 60_000)).toMatchObject({ allowed: true });
  });

  test('the parent of a child counts as well', async () => {
    const parent = await putMandate(store, {
      windows: [{ kind: 'total', max: 15_00n, count: 9 }],
    });
    const child = await putMandate(store, { parent, cnf: CAST.guest.key.name }, 'glasses');
    expect(await ask(child)).toMatchObject({ allowed: true });
    await pay(parent);
    const refused = await ask(child);
    expect(refused).toMatchObject({ allowed: false, reason: 'limit_window' });
    expect(refused).toHaveProperty('why', expect.stringContaining(`mandate ${parent.slice(0, 8)}`));
    expect((await pay(child, {}, 'guest')).refusal).toBe('limit_window');
  });

  test('a registered order is found, and must be what is asked about', async () => {
    const id = await putMandate(store, {});
    const order = await sealed(orderKind, orderOf(), CAST.kiosk);
    await store.putOrder(order.id, 'kiosk', order.envelope, NOW_MS);
    const exact = { order: order.id, terminal: 'till-1', minor: '4000' };
    expect(await ask(id, exact)).toMatchObject({ allowed: true });
    expect(await ask(id, { ...exact, minor: '4001' })).toMatchObject({ reason: 'order_mismatch' });
    expect(await ask(id, { ...exact, terminal: 'till-2' })).toMatchObject({
      reason: 'order_mismatch',
    });
    expect(await ask(id, exact, NOW_MS + 600_000)).toMatchObject({ reason: 'order_expired' });
  });
});

describe('what stops a mandate stops it here', () => {
  test.each(['suspended', 'revoked'] as const)('%s', async (status) => {
    const id = await putMandate(store, {});
    await store.setMandateStatus(id, status, NOW_MS);
    expect(await ask(id)).toMatchObject({ allowed: false, reason: status });
  });

  test.each(['suspended', 'revoked'] as const)('its key is %s', async (status) => {
    const id = await putMandate(store, {});
    await store.setIdentityStatus(CAST.glasses.key.name, status, NOW_MS);
    expect(await ask(id)).toMatchObject({ allowed: false, reason: status });
  });

  test('its wallet is suspended', async () => {
    const id = await putMandate(store, {});
    await store.setIdentityStatus(CAST.wallet.key.name, 'suspended', NOW_MS);
    expect(await ask(id)).toMatchObject({ allowed: false, reason: 'suspended' });
  });

  test('no such mandate, or one for a key that is not enrolled', async () => {
    expect(await ask('12'.repeat(16))).toEqual({
      allowed: false,
      reason: 'mandate_unknown',
      why: 'there is no such mandate',
    });
    const id = await putMandate(store, { cnf: CAST.stranger.key.name });
    expect(await ask(id)).toEqual({
      allowed: false,
      reason: 'mandate_unknown',
      why: 'the key that it names is not enrolled',
    });
  });
});

test("an agent's presence and channel count as they would in its request", async () => {
  const bands = [{ ceiling: 200_00n, level: 0 }] as const;
  const id = await putMandate(store, { cnf: CAST.agent.key.name, channels: 16, bands });
  const rules = { ...RULES, policies: [{ ...POLICY, ladders: [{ currency: 'CNY', bands }] }] };
  const asked = QUESTION.parse({
    ...{ mandate: id, payee: 'cafe', currency: 'CNY', minor: '1000' },
    ...{ presence: 3, channel: 'voice' },
  });
  expect(await check({ store, rules, clock: clockAt(NOW_MS) }, asked)).toMatchObject({
    allowed: true,
    presence: 0,
    channel: 'autonomous',
  });
});

describe('a question that makes no sense is not answered', () => {
  const cases: readonly (readonly [object, string])[] = [
    [{ minor: '-1' }, 'below zero'],
    [{ minor: '1.5' }, 'not minor units'],
    [{ minor: '01' }, 'a second spelling of 1'],
    [{ presence: 4 }, 'nobody claims P4'],
    [{ action: 'refund' }, 'acts on an earlier payment'],
    [{ mandate: 'AA'.repeat(16) }, 'capital digits'],
    [{ channel: 'thought' }, 'no such channel'],
    [{ more: 1 }, 'a field that nobody knows'],
  ];
  test.each(cases)('%j: %s', (changes) => {
    const asked = {
      ...{ mandate: 'aa'.repeat(16), payee: 'cafe', currency: 'CNY', minor: '1000' },
      ...{ presence: 2, channel: 'voice' },
    };
    expect(QUESTION.safeParse(asked).success).toBe(true);
    expect(QUESTION.safeParse({ ...asked, ...changes }).success).toBe(false);
  });
});
