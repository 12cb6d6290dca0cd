// Method: one table row per set of mandates, in an order in which taking the first one is wrong.
import { expect, test } from 'vitest';
import type { Mandate } from '../../src/objects/mandate.ts';
import { keyStatement } from '../../src/objects/key.ts';
import { payloadOf } from '../../src/cose.ts';
import { type Wanted, chooseMandate } from '../../device/mandates.ts';
import { BANDS, START_S, mandateWith, reasonOf, statements } from './stage.ts';

const terminal = keyStatement.decode(payloadOf(statements[1]!));
const wanted = (changed: Partial<Wanted> = {}): Wanted => ({
  terms: { amount: { currency: 'CNY', minor: 50_00n }, payee: 'luckin-coffee' },
  channel: 'voice',
  nowS: START_S,
  terminals: [terminal],
  policies: [
    {
      iat: START_S,
      version: 1,
      scope: { kind: 'platform' },
      ladders: [{ currency: 'CNY', bands: BANDS }],
    },
  ],
  presenceMax: 2,
  ...changed,
});

/** The name of the one that was chosen, or the reason why none was. */
function chosen(
  held: Readonly<Record<string, Partial<Mandate>>>,
  changed: Partial<Wanted> = {},
  doubted = '',
): string {
  let id = '';
  const all = Object.entries(held).map(([name, some]) => ({
    id: name,
    mandate: mandateWith(some),
    payer: 'ann',
  }));
  const fault = reasonOf(() => {
    id = chooseMandate(all, wanted(changed), (one) => one === doubted).held.id;
  });
  return id || fault;
}

const { exp } = mandateWith();
const far = { exp: exp + 1_000 };
const order = { ...wanted().terms, terminal: 'till-1', order: '0a'.repeat(16) };

test.each<[string, Partial<Mandate>, Partial<Wanted>]>([
  ['is in another currency', { currency: 'USD' }, {}],
  ['has ended', { nbf: START_S - 9, exp: START_S }, {}],
  ['begins later', { nbf: START_S + 1, ...far }, {}],
  ['allows no more than less', { perPaymentMax: 49_99n, ...far }, {}],
  ['allows no less than more', { perPaymentMin: 50_01n, ...far }, {}],
  ['is for another channel', { channels: 6, ...far }, {}],
  ['is for another payee', { allow: [{ kind: 'payee', payee: 'noodle-bar' }], ...far }, {}],
  ['denies the payee', { deny: [{ kind: 'payee', payee: 'luckin-coffee' }], ...far }, {}],
  ['is for another category', { allow: [{ kind: 'category', category: 1 }], ...far }, {}],
  ['is for another terminal', { allow: [{ kind: 'terminal', terminal: 'till-9' }], ...far }, {}],
  [
    'is for one terminal, and any of two may be meant',
    { allow: [{ kind: 'terminal', terminal: 'till-1' }], ...far },
    { terminals: [terminal, { ...terminal, terminal: 'till-3' }] },
  ],
  ['is for one order', { allow: [{ kind: 'order', order: '0b'.repeat(16) }], ...far }, {}],
  [
    'is for another order',
    { allow: [{ kind: 'order', order: '0b'.repeat(16) }], ...far },
    { terms: order },
  ],
  ['asks for more presence than there is', { bands: [{ ceiling: 99_00n, level: 3 }], ...far }, {}],
  ['has no band for the amount', { bands: [{ ceiling: 49_99n, level: 1 }], ...far }, {}],
])('not the first one, which %s', (_why, first, changed) => {
  expect(chosen({ first, second: {} }, changed)).toBe('second');
  expect(chosen({ second: {}, first }, changed)).toBe('second');
});

test.each<[string, Partial<Mandate>, Partial<Wanted>]>([
  ['the order that is paid', { allow: [{ kind: 'order', order: order.order }] }, { terms: order }],
  ['its terminal', { allow: [{ kind: 'terminal', terminal: 'till-1' }] }, { terms: order }],
  ['its payee', { allow: [{ kind: 'payee', payee: 'luckin-coffee' }] }, {}],
  ['exactly this amount', { perPaymentMin: 50_00n, perPaymentMax: 50_00n }, {}],
])('one for %s permits it', (_why, mandate, changed) => {
  expect(chosen({ mandate }, changed)).toBe('mandate');
});

test('of two that permit it, the one that expires last, wherever it stands', () => {
  expect(chosen({ early: {}, late: far })).toBe('late');
  expect(chosen({ late: far, early: {} })).toBe('late');
});

test('one that the bridge spoke ill of comes last, and is tried when it is alone', () => {
  expect(chosen({ late: far, early: {} }, {}, 'late')).toBe('early');
  expect(chosen({ late: far }, {}, 'late')).toBe('late');
  expect(chosen({ late: far, small: { perPaymentMax: 1n } }, {}, 'late')).toBe('late');
});

test.each<[string, string, Readonly<Record<string, Partial<Mandate>>>]>([
  ['there is none', 'mandate_unknown', {}],
  ['all have ended', 'mandate_unknown', { a: { nbf: 1, exp: 2 } }],
  ['one is too small', 'limit_per_payment', { a: { currency: 'USD' }, b: { perPaymentMax: 1n } }],
  [
    'one is for another payee',
    'scope_payee',
    { a: { nbf: 1, exp: 2 }, b: { allow: [{ kind: 'payee', payee: 'x' }] }, c: { channels: 2 } },
  ],
  ['it has not begun', 'not_yet_valid', { a: { currency: 'USD' }, b: { nbf: START_S + 1 } }],
  ['all are in another currency', 'currency_mismatch', { a: { currency: 'USD' } }],
])('the reason is of the one that comes nearest: %s', (_why, reason, held) => {
  expect(chosen(held)).toBe(reason);
  expect(chosen(Object.fromEntries(Object.entries(held).reverse()))).toBe(reason);
});

test('a payee without a known terminal is in no scope', () => {
  expect(chosen({ any: {} }, { terminals: [] })).toBe('scope_payee');
});
