// The text a person agrees to names every limit of the mandate, and its digest is what gets signed.
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { toHex } from '../../src/bytes.ts';
import { COUNT_UNLIMITED } from '../../src/limits.ts';
import { open } from '../../src/objects/kind.ts';
import { mandate as mandateKind } from '../../src/objects/mandate.ts';
import { createPrivateKey } from 'node:crypto';
import { generatePem, nodeSigner } from '../../src/signer.ts';
import { type Grant, grantText, signMandate, spanText } from '../../src/wallet.ts';

const REALM = { environment: 'sim', ledger: 'demo' } as const;
const GRANT: Grant = {
  nbf: 1_800_000_000,
  exp: 1_800_086_400,
  iat: 1_800_000_000,
  cnf: 'ab'.repeat(32),
  funding: 'acct-wang',
  currency: 'CNY',
  perPaymentMax: 200_00n,
  channels: 5,
  windows: [
    { kind: 'total', max: 2_000_00n, count: 200 },
    { kind: 'calendar', period: 'day', zone: 'Asia/Shanghai', max: 500_00n, count: 50 },
    { kind: 'rolling', seconds: 600, max: 300_00n, count: 3 },
  ],
  allow: [
    { kind: 'payee', payee: 'luckin' },
    { kind: 'category', category: 5814 },
    { kind: 'terminal', terminal: 'till-1' },
  ],
  deny: [{ kind: 'payee', payee: 'noodle' }],
  bands: [
    { ceiling: 20_00n, level: 1 },
    { ceiling: 1_000_00n, level: 2 },
  ],
  epoch: 1,
};
const names: Readonly<Record<string, string>> = { luckin: 'Luckin Coffee', noodle: 'Noodle Bar' };
const nameOf = (payee: string) => names[payee] ?? payee;

const FULL: Grant = {
  ...GRANT,
  perPaymentMin: 5_00n,
  gap: 300,
  parent: '12'.repeat(16),
  allow: [...GRANT.allow, { kind: 'payee', payee: 'noodle' }],
  deny: [
    { kind: 'terminal', terminal: 'till-9' },
    { kind: 'category', category: 742 },
  ],
  channels: 17,
};

test('English', () => {
  expect(grantText(GRANT, 'en', nameOf).split('\n')).toEqual([
    'Let the key abababababababababababababababab pay from account acct-wang ' +
      'from 2027-01-15 08:00:00 UTC until 2027-01-16 08:00:00 UTC.',
    'At most 200.00 yuan per payment.',
    'At most 2000.00 yuan and 200 times in all.',
    'At most 500.00 yuan and 50 times per day (Asia/Shanghai).',
    'At most 300.00 yuan and 3 times within any 10 minutes.',
    'Payees: Luckin Coffee, and of these only category 5814, and of these only terminal till-1.',
    'Never: Noodle Bar.',
    'Ways to ask: by voice, by looking at a code.',
    'Up to 20.00 yuan with confirmation P1 (a voice command).',
    'Up to 1000.00 yuan with confirmation P2 (a physical act on the device).',
    'Drawn up on 2027-01-15 08:00:00 UTC, in epoch 1: it also ends when everything up to ' +
      'epoch 1 is revoked at once, as after a lost phone.',
  ]);
  expect(grantText(FULL, 'en', nameOf).split('\n')).toEqual(
    expect.arrayContaining([
      'From 5.00 yuan to 200.00 yuan per payment.',
      'At least 5 minutes between two payments.',
      'Payees: Luckin Coffee or Noodle Bar, and of these only category 5814, ' +
        'and of these only terminal till-1.',
      'Never: category 0742 or terminal till-9.',
      'Ways to ask: by voice, by itself, with nobody asked.',
      `Handed on from mandate ${'12'.repeat(16)}: whatever that one limits stays limited.`,
    ]),
  );
});

test('Chinese', () => {
  expect(grantText(GRANT, 'zh', nameOf).split('\n')).toEqual([
    '允许密钥 abababababababababababababababab 从账户 acct-wang 付款，' +
      '自 2027-01-15 08:00:00 UTC 起，至 2027-01-16 08:00:00 UTC 止。',
    '单笔最多 200.00元。',
    '总计最多 2000.00元，200 笔。',
    '每日（Asia/Shanghai）最多 500.00元，50 笔。',
    '任意 10 分钟内最多 300.00元，3 笔。',
    '收款方：Luckin Coffee，并且仅限类别 5814，并且仅限终端 till-1。',
    '禁止：Noodle Bar。',
    '方式：语音、扫码。',
    '不超过 20.00元 需要确认级别 P1（语音指令）。',
    '不超过 1000.00元 需要确认级别 P2（在设备上的操作）。',
    '拟定于 2027-01-15 08:00:00 UTC，属第 1 期：一次撤销第 1 期及以前的全部授权时' +
      '（例如手机遗失），本授权随之终止。',
  ]);
  expect(grantText(FULL, 'zh', nameOf).split('\n')).toEqual(
    expect.arrayContaining([
      '单笔 5.00元 至 200.00元。',
      '两笔之间至少间隔 5 分钟。',
      '收款方：Luckin Coffee、Noodle Bar，并且仅限类别 5814，并且仅限终端 till-1。',
      '禁止：类别 0742、终端 till-9。',
      '方式：语音、自动，不经人确认。',
      `转授自授权 ${'12'.repeat(16)}：其一切限制继续有效。`,
    ]),
  );
});

test('a mandate for one order names its exact amount; a window without a count names none', () => {
  const once: Grant = {
    ...GRANT,
    perPaymentMin: 40_00n,
    perPaymentMax: 40_00n,
    windows: [{ kind: 'total', max: 40_00n, count: 1 }],
    allow: [{ kind: 'order', order: '34'.repeat(16) }],
    bands: [{ ceiling: 40_00n, level: 4 }],
  };
  const lines = grantText(once, 'en', nameOf).split('\n');
  expect(lines).toContain('Exactly 40.00 yuan per payment.');
  expect(lines).toContain('At most 40.00 yuan and 1 time in all.');
  expect(lines).toContain('Up to 40.00 yuan with confirmation P4 (a mandate for that one order).');
  const free: Grant = {
    ...GRANT,
    windows: [{ kind: 'total', max: 1_00n, count: COUNT_UNLIMITED }],
  };
  expect(grantText(free, 'en', nameOf)).toContain('At most 1.00 yuan in all.');
  expect(grantText(free, 'zh', nameOf)).toContain('总计最多 1.00元。');
});

test('above the last band it says what is needed', () => {
  const high: Grant = { ...GRANT, perPaymentMax: 1_000_01n };
  const line = 'Above 1000.00 yuan only with a mandate for that one order.';
  expect(grantText(high, 'en', nameOf).split('\n')).toContain(line);
  expect(grantText(GRANT, 'en', nameOf)).not.toContain('Above');
});

test.each([
  [1, '1 second', '1 秒'],
  [90, '90 seconds', '90 秒'],
  [60, '1 minute', '1 分钟'],
  [3_600, '1 hour', '1 小时'],
  [5_400, '90 minutes', '90 分钟'],
  [86_400, '24 hours', '24 小时'],
  [7 * 86_400, '7 days', '7 天'],
])('%i seconds are told as %s', (seconds, en, zh) => {
  expect([spanText(seconds, 'en'), spanText(seconds, 'zh')]).toEqual([en, zh]);
});

const minor = fc.bigInt({ min: 0n, max: 1_000_000n });
const count = fc.integer({ min: 1, max: 1_000_000 });
const scope = fc.oneof(
  fc.record({ kind: fc.constant('payee' as const), payee: fc.constantFrom('luckin', 'noodle') }),
  fc.record({ kind: fc.constant('category' as const), category: fc.nat(9999) }),
  fc.record({ kind: fc.constant('terminal' as const), terminal: fc.constantFrom('a', 'b') }),
  fc.record({
    kind: fc.constant('order' as const),
    order: fc.constantFrom('12'.repeat(16), '34'.repeat(16)),
  }),
);
const period = fc.constantFrom('day', 'week', 'month', 'quarter', 'year');
const window = fc.oneof(
  fc.record({ kind: fc.constant('total' as const), max: minor, count }),
  fc.record({
    kind: fc.constant('calendar' as const),
    period,
    zone: fc.constantFrom('UTC', 'Asia/Shanghai'),
    max: minor,
    count,
  }),
  fc.record({
    kind: fc.constant('rolling' as const),
    seconds: fc.integer({ min: 1, max: 1_000_000 }),
    max: minor,
    count,
  }),
);
const seconds = fc.integer({ min: 0, max: 4_000_000_000 });
/** For each field other values that it may have. */
const others: Readonly<Record<keyof Grant, fc.Arbitrary<unknown>>> = {
  nbf: seconds,
  exp: seconds,
  iat: seconds,
  cnf: fc.constantFrom('cd'.repeat(32), 'ef'.repeat(32)),
  funding: fc.constantFrom('acct-li', 'acct-wu'),
  currency: fc.constantFrom('EUR', 'USD', 'HKD'),
  perPaymentMax: minor,
  perPaymentMin: fc.option(minor, { nil: undefined }),
  channels: fc.integer({ min: 1, max: 31 }),
  windows: fc.array(window, { minLength: 1, maxLength: 3 }),
  allow: fc.oneof(fc.constant([{ kind: 'any' }]), fc.array(scope, { minLength: 1, maxLength: 3 })),
  deny: fc.option(fc.array(scope, { minLength: 1, maxLength: 3 }), { nil: undefined }),
  bands: fc.array(fc.record({ ceiling: minor, level: fc.nat(4) }), { minLength: 1, maxLength: 3 }),
  gap: fc.option(fc.integer({ min: 1, max: 1_000_000 }), { nil: undefined }),
  parent: fc.option(fc.constantFrom('56'.repeat(16), '78'.repeat(16)), { nil: undefined }),
  epoch: fc.nat(1_000),
};
/** Places of one kind are alternatives, so their order between the kinds says nothing. */
const meaning = (field: string, value: unknown) => {
  const kinds = ['payee', 'category', 'terminal', 'order', 'any'];
  const rank = ({ kind }: { kind: string }) => kinds.indexOf(kind);
  const sorted =
    field === 'allow' || field === 'deny'
      ? [...((value ?? []) as { kind: string }[])].sort((a, b) => rank(a) - rank(b))
      : value;
  return JSON.stringify(sorted, (_, one: unknown) => (typeof one === 'bigint' ? `${one}n` : one));
};

describe.each(['en', 'zh'] as const)('in %s every field is told', (language) => {
  test.each(Object.keys(others) as (keyof Grant)[])('%s', (field) => {
    fc.assert(
      fc.property(others[field], others[field], (one, other) => {
        const text = (value: unknown) =>
          grantText({ ...FULL, [field]: value } as Grant, language, nameOf);
        const isSame = meaning(field, one) === meaning(field, other);
        expect(text(one) === text(other)).toBe(isSame);
      }),
      { numRuns: 500 },
    );
  });
});

test('what is signed carries the digest of the text, and everything that was granted', async () => {
  const wallet = nodeSigner(createPrivateKey(generatePem('ES256')));
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: 'grapheme', maxLength: 200 }), async (text) => {
      const { id, envelope } = await signMandate(GRANT, text, REALM, wallet);
      const opened = open(mandateKind, envelope, REALM, () => wallet.key);
      expect(opened.id).toBe(id);
      const { textDigest, ...rest } = opened.value;
      expect(rest).toEqual(GRANT);
      expect(toHex(textDigest)).toBe(createHash('sha256').update(text, 'utf8').digest('hex'));
    }),
    { numRuns: 20 },
  );
});
