// The text a person agrees to names every limit of the mandate, and its digest is what gets signed.
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { toHex } from '../../src/bytes.ts';
import { open } from '../../src/objects/kind.ts';
import { mandate as mandateKind } from '../../src/objects/mandate.ts';
import { createPrivateKey } from 'node:crypto';
import { generatePem, nodeSigner } from '../../src/signer.ts';
import { type Grant, grantText, signMandate } from '../../src/wallet.ts';

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

test('English', () => {
  expect(grantText(GRANT, 'en', nameOf).split('\n')).toEqual([
    'Let the key abababababababab pay from account acct-wang until 2027-01-16 08:00 UTC.',
    'At most 200.00 yuan per payment.',
    'At most 2000.00 yuan and 200 times in all.',
    'At most 500.00 yuan and 50 times per day (Asia/Shanghai).',
    'At most 300.00 yuan and 3 times within any 600 seconds.',
    'Payees: Luckin Coffee, category 5814, terminal till-1.',
    'Ways to ask: voice, look.',
    'Up to 20.00 yuan with confirmation P1.',
    'Up to 1000.00 yuan with confirmation P2.',
    'Never: Noodle Bar.',
  ]);
});

test('Chinese', () => {
  expect(grantText(GRANT, 'zh', nameOf).split('\n')).toEqual([
    '允许密钥 abababababababab 从账户 acct-wang 付款，直至 2027-01-16 08:00 UTC。',
    '单笔最多 200.00元。',
    '总计最多 2000.00元，200 笔。',
    '每日（Asia/Shanghai）最多 500.00元，50 笔。',
    '任意 600 秒内最多 300.00元，3 笔。',
    '收款方：Luckin Coffee、类别 5814、终端 till-1。',
    '方式：voice、look。',
    '不超过 20.00元 需要确认级别 P1。',
    '不超过 1000.00元 需要确认级别 P2。',
    '禁止：Noodle Bar。',
  ]);
});

test('everything that is wider reads differently', () => {
  const text = (changed: Partial<Grant>) => grantText({ ...GRANT, ...changed }, 'en', nameOf);
  const { deny: _deny, ...free } = GRANT;
  const wider: Partial<Grant>[] = [
    { perPaymentMax: 200_01n },
    { exp: GRANT.exp + 60 },
    { channels: 7 },
    { funding: 'acct-li' },
    { cnf: `cd${GRANT.cnf.slice(2)}` },
    { currency: 'EUR' },
    { allow: [{ kind: 'any' }] },
    { windows: [{ kind: 'total', max: 2_000_00n, count: 201 }] },
    { bands: [{ ceiling: 1_000_00n, level: 1 }] },
  ];
  const texts = [text({}), grantText(free, 'en', nameOf), ...wider.map(text)];
  expect(new Set(texts).size).toBe(texts.length);
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
