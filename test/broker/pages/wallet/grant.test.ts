/** The form of a mandate: what is typed, as the grant that is signed. */
import { expect, test } from 'vitest';
import { type Wish, USUAL, grantOf } from '../../../../broker/pages/wallet/grant.ts';
import { mandate as mandateKind } from '../../../../src/objects/mandate.ts';
import { grantText } from '../../../../src/wallet.ts';

const around = {
  cnf: 'ab'.repeat(32),
  funding: 'acct-1',
  currency: 'CNY',
  zone: 'Asia/Shanghai',
  epoch: 3,
  nowS: 1_800_000_000,
};
const read = (wish: Partial<Wish>, more: Partial<typeof around> = {}) =>
  grantOf({ ...USUAL, ...wish }, { ...around, ...more });

test('the usual form is a mandate that the codec takes', () => {
  const made = read({});
  if (!('grant' in made)) throw new Error(made.fault.field);
  const { grant } = made;
  expect(grant).toMatchObject({
    cnf: around.cnf,
    funding: 'acct-1',
    currency: 'CNY',
    perPaymentMax: 200_00n,
    windows: [
      { kind: 'total', max: 2000_00n, count: 600 },
      { kind: 'calendar', period: 'day', zone: 'Asia/Shanghai', max: 500_00n, count: 20 },
    ],
    allow: [{ kind: 'any' }],
    bands: [
      { ceiling: 20_00n, level: 1 },
      { ceiling: 200_00n, level: 2 },
    ],
    epoch: 3,
  });
  expect(grant.exp - grant.iat).toBe(30 * 86_400);
  expect(mandateKind.encode({ ...grant, textDigest: new Uint8Array(32) }).length).toBeGreaterThan(
    0,
  );
  expect(grantText(grant, 'zh', (payee) => payee)).toContain('单笔最多 200.00元');
});

test.each<[Partial<Wish>, keyof Wish, string]>([
  [{ perPayment: '' }, 'perPayment', 'amount'],
  [{ perPayment: '0' }, 'perPayment', 'amount'],
  [{ perPayment: '-5' }, 'perPayment', 'amount'],
  [{ perPayment: '1e3' }, 'perPayment', 'amount'],
  [{ perPayment: '20.005' }, 'perPayment', 'amount'],
  [{ perDay: '1,000' }, 'perDay', 'amount'],
  [{ perDay: '199.99' }, 'perDay', 'order'],
  [{ total: '499' }, 'total', 'order'],
  [{ byVoice: '201' }, 'byVoice', 'order'],
  [{ timesPerDay: '0' }, 'timesPerDay', 'number'],
  [{ timesPerDay: '2.5' }, 'timesPerDay', 'number'],
  [{ days: '366' }, 'days', 'number'],
  [{ payees: Array.from({ length: 65 }, (_, i) => `shop-${i}`) }, 'payees', 'whole'],
  [{ payees: ['a shop'] }, 'payees', 'whole'],
])('%j: the field %s is told', (wish, field, kind) => {
  expect(read(wish)).toEqual({ fault: { field, kind } });
});

test('no amount by voice means none, and all of it means that a word is enough', () => {
  expect(read({ byVoice: '' })).toMatchObject({ grant: { bands: [{ level: 2 }] } });
  expect(read({ byVoice: '200' })).toMatchObject({ grant: { bands: [{ level: 1 }] } });
});

test('a currency without decimals takes whole amounts', () => {
  expect(read({}, { currency: 'JPY' })).toMatchObject({ grant: { perPaymentMax: 200n } });
  expect(read({ perPayment: '20.5' }, { currency: 'JPY' })).toMatchObject({
    fault: { field: 'perPayment' },
  });
});
