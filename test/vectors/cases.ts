/**
 * What the vectors are made of: keys, values to accept and payloads to refuse, kind by kind.
 *
 * Every refused payload differs from the kind's minimal one in the fields it lists, so that the
 * reason can only lie there.
 */
import { hash } from 'node:crypto';
import { ed25519 } from '@noble/curves/ed25519.js';
import { p256 } from '@noble/curves/nist.js';
import { concat, fromHex, toHex, utf8 } from '../../src/bytes.ts';
import { type CborValue, decodeCbor, encodeCbor } from '../../src/cbor.ts';
import type { Realm, Signer } from '../../src/cose.ts';
import type { Reason } from '../../src/errors.ts';
import {
  ALGORITHM_NUMBERS,
  type Algorithm,
  type PublicKey,
  coseKey,
  loadKey,
} from '../../src/keys.ts';
import { CURRENCIES } from '../../src/money.ts';
import type { Enrol } from '../../src/objects/enrol.ts';
import type { KeyStatement } from '../../src/objects/key.ts';
import { KINDS, type KindName } from '../../src/objects/kinds.ts';
import type { Mandate } from '../../src/objects/mandate.ts';
import type { Order } from '../../src/objects/order.ts';
import type { Policy } from '../../src/objects/policy.ts';
import type { Proposal } from '../../src/objects/proposal.ts';
import type { Query } from '../../src/objects/query.ts';
import type { Receipt } from '../../src/objects/receipt.ts';
import type { Request } from '../../src/objects/request.ts';
import type { Revoke } from '../../src/objects/revoke.ts';
import type { Tick } from '../../src/objects/tick.ts';

/** A key of the vectors: reproducible by anybody and therefore worth nothing. */
export type TestKey = Signer & Readonly<{ secret: Uint8Array }>;

export const REALM: Realm = Object.freeze({ environment: 'sim', ledger: 'pier-9' });
export const LIVE: Realm = Object.freeze({ environment: 'live', ledger: 'pier-9' });

/** An ES256 key out of a name; signs by RFC 6979 with low S. */
export function es256Key(label: string): TestKey {
  return signerOf('ES256', seed(label));
}

/** An Ed25519 key out of a name. */
export function eddsaKey(label: string): TestKey {
  return signerOf('EdDSA', seed(label));
}

/** The deterministic signer of a private scalar (ES256) or seed (EdDSA). */
export function signerOf(algorithm: Algorithm, secret: Uint8Array): TestKey {
  if (algorithm === 'EdDSA') {
    const key = loadKey({ algorithm, x: ed25519.getPublicKey(secret) });
    return { key, secret, sign: (bytes) => ed25519.sign(bytes, secret) };
  }
  const point = p256.getPublicKey(secret, false);
  const key = loadKey({ algorithm, x: point.slice(1, 33), y: point.slice(33) });
  const options = { prehash: true, lowS: true, extraEntropy: false } as const;
  return { key, secret, sign: (bytes) => p256.sign(bytes, secret, options) };
}

/** The protected header that this key's envelopes carry. */
export /** The protected header that this key's envelopes carry. */
function protectedOf(key: PublicKey): Uint8Array {
  return encodeCbor(
    new Map<number, CborValue>([
      [1, ALGORITHM_NUMBERS[key.algorithm]],
      [4, loadKey(key).kid],
    ]),
  );
}

/** Written out here, apart from cose.ts, so that a mistake there does not make its own vectors. */
export function sealed(
  kind: string,
  payload: Uint8Array,
  realm: Realm,
  signer: TestKey,
): Uint8Array {
  const header = protectedOf(signer.key.public);
  const aad = utf8(`saytap/1 ${realm.environment} ${realm.ledger} ${kind}`);
  const toBeSigned = encodeCbor(['Signature1', header, aad, payload]);
  const signature = signer.sign(toBeSigned) as Uint8Array;
  return concat(fromHex('d2'), encodeCbor([header, new Map(), payload, signature]));
}

/** A value that must be accepted, and who signs it where. */
export type Valid<T> = Readonly<{
  name: string;
  why: string;
  value: T;
  realm?: Realm;
  signer?: TestKey;
}>;
type Entries = Readonly<Record<number, CborValue | undefined>>;
/** A payload that differs from the minimal one in these fields; undefined leaves a field out. */
export type Broken = readonly [name: string, why: string, change: Entries, reason?: Reason];
/** What a kind accepts and refuses; the first value is its minimal one. */
export type Cases<T> = Readonly<{
  signer: TestKey;
  valid: readonly Valid<T>[];
  broken: readonly Broken[];
}>;

function seed(label: string): Uint8Array {
  return Uint8Array.from(hash('sha256', utf8(`saytap test key ${label}`), 'buffer'));
}

export function filled(length: number, first: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (first + i) & 0xff);
}

export const ROOT = es256Key('root');
const BRIDGE = es256Key('bridge');
const WALLET = es256Key('wallet');
const DEVICE = es256Key('device');
const TERMINAL = es256Key('terminal');
const ED25519 = eddsaKey('ed25519');

/** 2026-11-20 09:17:00 UTC */
const NOW = 1795166220;
const MAX = Number.MAX_SAFE_INTEGER;
const ID = toHex(filled(16, 0x10));
const OTHER_ID = toHex(filled(16, 0x80));
const SALT = filled(16, 0x20);
const NONCE = filled(8, 0xa0);
const PAYER = filled(16, 0x30);
export const LONG_NAME = 'n'.repeat(64);
const LONG_TEXT = '水'.repeat(53) + 'x';
const yuan = (minor: bigint) => ({ currency: 'CNY', minor });

const REQUEST: Request = {
  exp: NOW + 300,
  action: 'pay',
  mandate: ID,
  counter: 1,
  amount: yuan(1n),
  payee: 'p',
  presence: 0,
  channel: 'autonomous',
  nonce: NONCE,
};
/** The payment of the byte budgets: a payee of 16 characters and a terminal of 8. */
const BUDGET: Request = {
  exp: NOW + 300,
  action: 'pay',
  mandate: ID,
  counter: 7,
  amount: yuan(1250n),
  payee: 'luckin-coffee-88',
  terminal: 'till-001',
  presence: 2,
  channel: 'voice',
  nonce: NONCE,
};

const KEY: KeyStatement = {
  exp: NOW + 31_536_000,
  nbf: NOW,
  key: BRIDGE.key.public,
  role: 'bridge',
  presenceMax: 0,
};
const TERMINAL_KEY: KeyStatement = {
  exp: NOW + 31_536_000,
  nbf: NOW,
  payee: 'luckin-coffee-88',
  terminal: 'till-001',
  key: TERMINAL.key.public,
  role: 'terminal',
  presenceMax: 0,
  names: [
    ['en', 'Luckin Coffee, Pier 9'],
    ['zh', '瑞幸咖啡 九号码头'],
  ],
  device: 'till-001',
  category: 5814,
};

const POLICY: Policy = {
  iat: NOW,
  version: 1,
  ladders: [{ currency: 'CNY', bands: [{ ceiling: 0n, level: 0 }] }],
  scope: { kind: 'platform' },
};

const MANDATE: Mandate = {
  exp: NOW + 1,
  nbf: NOW,
  iat: NOW,
  cnf: DEVICE.key.name,
  funding: 'f',
  currency: 'CNY',
  perPaymentMax: 0n,
  channels: 1,
  windows: [{ kind: 'total', max: 0n, count: 1 }],
  allow: [{ kind: 'any' }],
  bands: [{ ceiling: 0n, level: 0 }],
  epoch: 0,
  textDigest: filled(32, 0x40),
};
/** The mandate of the byte budgets: three windows and five payees. */
const BUDGET_MANDATE: Mandate = {
  ...MANDATE,
  exp: NOW + 31_536_000,
  funding: 'acct_5Qm2Zk81LpXw3vT9',
  perPaymentMax: 20_000n,
  channels: 15,
  windows: [
    { kind: 'calendar', period: 'day', zone: 'Asia/Shanghai', max: 50_000n, count: 20 },
    { kind: 'calendar', period: 'month', zone: 'Asia/Shanghai', max: 300_000n, count: 200 },
    { kind: 'rolling', seconds: 3600, max: 30_000n, count: 5 },
  ],
  allow: [
    { kind: 'payee', payee: 'luckin-coffee-88' },
    { kind: 'payee', payee: 'metro-line-ten-1' },
    { kind: 'payee', payee: 'noodle-bar-north' },
    { kind: 'payee', payee: 'bookshop-harbour' },
    { kind: 'payee', payee: 'grocer-riverside' },
  ],
  bands: [
    { ceiling: 5_000n, level: 1 },
    { ceiling: 20_000n, level: 2 },
  ],
  epoch: 1,
};

const ORDER: Order = {
  exp: NOW + 600,
  amount: yuan(1n),
  payee: 'p',
  terminal: 't',
  lines: [{ text: 'x', quantity: 1, total: 1n }],
  salt: SALT,
};

const RECEIPT: Receipt = { iat: NOW, subject: ID, outcome: 'granted' };
const TICK: Tick = { iat: NOW, nonce: NONCE };
const LEASE = {
  exp: NOW + 3600,
  mandate: ID,
  amount: yuan(10_000n),
  count: 5,
  upload: NOW + 86_400,
};
const ENROL: Enrol = { iat: NOW, key: DEVICE.key.public, role: 'device', device: 'glasses-1' };
const PROPOSAL: Proposal = {
  exp: NOW + 300,
  iat: NOW,
  amount: yuan(1n),
  payee: 'p',
  audience: DEVICE.key.name,
  salt: SALT,
  asker: { kind: 'agent', name: 'a' },
  why: 'w',
};
const BOOT: Query = { echo: SALT, question: 'boot' };

/** Amounts that every kind with field 12 refuses alike. */
const BAD_AMOUNTS: readonly Broken[] = [
  ['amount zero', 'money to move is more than nothing', { 12: ['CNY', 2, 0] }],
  ['amount negative', 'no amount is negative', { 12: ['CNY', 2, -1] }],
  ['amount with a lower-case currency', 'ISO 4217 codes are capitals', { 12: ['cny', 2, 1] }],
  ['amount without exponent', 'the exponent is signed too', { 12: ['CNY', 1] }],
  ['amount in an unknown currency', 'XTS is for tests', { 12: ['XTS', 2, 1] }, 'currency_unknown'],
  ['amount with exponent 0', 'the yuan has 2', { 12: ['CNY', 0, 1] }, 'currency_mismatch'],
  ['amount with exponent 5', 'no currency has 5', { 12: ['CNY', 5, 1] }],
  ['amount as a number', 'a currency is never implied', { 12: 1 }],
  ['amount as text', 'no decimal texts', { 12: ['CNY', 2, '1'] }],
];
/** An amount in yuan up to where its minor units stand. */
export const pay = encodeCbor(['CNY', 2, 1]).slice(0, -1);

/** Encodings of an amount that our encoder cannot make, as raw bytes. */
export const RAW_AMOUNTS: readonly (readonly [string, string, Uint8Array, Reason])[] = [
  ['amount 2^53', 'integers stay below 2^53', fromHex('1b0020000000000000'), 'malformed'],
  ['amount 2^64 − 1', 'the largest CBOR integer', fromHex('1bffffffffffffffff'), 'malformed'],
  ['amount 2^64', 'a bignum is a tag', fromHex('c249010000000000000000'), 'malformed'],
  ['amount 1.5', 'no floats', fromHex('f93e00'), 'malformed'],
  ['amount 1.0', 'no floats, whole ones neither', fromHex('f93c00'), 'malformed'],
];

const KEY_MAP = coseKey(DEVICE.key.public);
const keyWith = (change: readonly (readonly [number, CborValue])[]) =>
  new Map<number, CborValue>([...KEY_MAP, ...change]);
const BAD_KEYS: readonly Broken[] = [
  ['key with alg', 'required members only', { 47: keyWith([[3, -7]]) }],
  ['key on P-384', 'P-256 and Ed25519 only', { 47: keyWith([[-1, 2]]) }],
  ['key with a compressed point', 'y is 32 bytes', { 47: keyWith([[-3, true]]) }],
  ['key with x of 31 bytes', 'coordinates are 32 bytes', { 47: keyWith([[-2, filled(31, 1)]]) }],
  ['key with a private part', 'a secret never travels', { 47: keyWith([[-4, filled(32, 1)]]) }],
  ['key as bytes', 'a COSE_Key is a map', { 47: filled(32, 1) }],
];

const hidden = (character: string) => `a${character}b`;

export const CASES = {
  request: {
    signer: DEVICE,
    valid: [
      { name: 'minimal', why: 'the fewest and smallest fields', value: REQUEST },
      { name: 'budget', why: '16-character payee, 8-character terminal', value: BUDGET },
      {
        name: 'budget with order',
        why: 'the same, paying an order',
        value: { ...BUDGET, order: OTHER_ID },
      },
      {
        name: 'full',
        why: 'P3 with transcript, order and terminal',
        value: { ...BUDGET, order: OTHER_ID, presence: 3, transcript: filled(32, 0x60) },
      },
      {
        name: 'limits',
        why: 'the largest of every field',
        value: {
          ...REQUEST,
          exp: 0xff_ffff_ffff,
          counter: MAX,
          amount: { currency: 'UYW', minor: BigInt(MAX) },
          payee: LONG_NAME,
          terminal: LONG_NAME,
          presence: 4,
          channel: 'touch',
        },
      },
      {
        name: 'access',
        why: 'the one action without an amount',
        value: {
          exp: NOW,
          action: 'access',
          mandate: ID,
          counter: 2,
          payee: 'gate',
          presence: 1,
          channel: 'tap',
          nonce: NONCE,
        },
      },
      {
        name: 'refund',
        why: 'names the request it acts upon',
        value: { ...REQUEST, action: 'refund', original: OTHER_ID, channel: 'look' },
      },
      { name: 'live', why: 'the other environment', value: BUDGET, realm: LIVE },
      { name: 'EdDSA', why: 'an Ed25519 key', value: BUDGET, signer: ED25519 },
    ],
    broken: [
      ...BAD_AMOUNTS,
      ['pay without amount', 'only access has none', { 12: undefined }],
      ['access with amount', 'access moves no money', { 9: 5 }],
      ['pay with original', 'only capture, void and refund name one', { 20: filled(16, 1) }],
      ['refund without original', 'a refund is of a payment', { 9: 4 }],
      ['P3 without transcript', 'P3 can be looked into later', { 16: 3 }],
      ['P0 with transcript', 'a transcript is of P3', { 17: filled(32, 1) }],
      ['action 6', 'a closed list', { 9: 6 }],
      ['action as text', 'actions are numbers', { 9: 'pay' }],
      ['channel 3', 'one channel, not two', { 18: 3 }],
      ['presence 5', 'P0 to P4', { 16: 5 }],
      ['counter 0', 'counters start at 1', { 11: 0 }],
      ['counter true', 'a boolean is no number', { 11: true }],
      ['nonce of 7 bytes', 'exactly 8', { 19: filled(7, 1) }],
      ['mandate of 15 bytes', 'ids are 16 bytes', { 10: filled(15, 1) }],
      ['mandate as text', 'ids are bytes', { 10: ID }],
      ['payee with a slash', 'names fit a topic', { 13: 'a/b' }],
      ['payee with a plus', 'no wildcard', { 13: '+' }],
      ['payee empty', 'at least one character', { 13: '' }],
      ['payee of 65 characters', 'at most 64', { 13: 'n'.repeat(65) }],
      ['payee with ü', 'ASCII letters only', { 13: 'bäcker' }],
      ['terminal with a line feed', 'also at the very end', { 14: 'till\n' }],
      ['exp 2^40', 'five bytes of seconds', { 4: 2 ** 40 }],
      ['exp negative', 'since 1970', { 4: -1 }],
    ],
  } satisfies Cases<Request>,
  key: {
    signer: ROOT,
    valid: [
      { name: 'minimal', why: 'a bridge', value: KEY },
      { name: 'terminal', why: 'names for people in two languages', value: TERMINAL_KEY },
      {
        name: 'device',
        why: 'a payer’s glasses with an Ed25519 key',
        value: {
          ...KEY,
          payer: PAYER,
          key: ED25519.key.public,
          role: 'device',
          presenceMax: 2,
          device: 'glasses-1',
        },
      },
      {
        name: 'wallet',
        why: 'has a payer',
        value: { ...KEY, payer: PAYER, role: 'wallet', presenceMax: 4 },
      },
      {
        name: 'agent',
        why: 'has a topic name',
        value: { ...KEY, role: 'agent', device: 'agent-1' },
      },
      {
        name: 'limits',
        why: 'eight names of 160 bytes',
        value: {
          ...TERMINAL_KEY,
          exp: 0xff_ffff_ffff,
          payee: LONG_NAME,
          terminal: LONG_NAME,
          device: LONG_NAME,
          category: 9999,
          presenceMax: 4,
          names: Array.from({ length: 8 }, () => ['zh-Hans', LONG_TEXT] as const),
        },
      },
      { name: 'EdDSA', why: 'a root with an Ed25519 key', value: KEY, signer: ED25519 },
    ],
    broken: [
      ...BAD_KEYS,
      ['nbf equal to exp', 'valid never', { 5: NOW + 31_536_000 }],
      [
        'terminal without payee',
        'a terminal collects for somebody',
        { 48: 1, 51: 't', 50: [['en', 'x']] },
      ],
      [
        'terminal without display name',
        'people are shown a name',
        { 13: 'p', 14: 't', 48: 1, 51: 't' },
      ],
      [
        'terminal without topic name',
        'it sends orders',
        { 13: 'p', 14: 't', 48: 1, 50: [['en', 'x']] },
      ],
      ['bridge with payee', 'only terminals collect', { 13: 'p', 14: 't' }],
      ['bridge with topic name', 'it has no up topic', { 51: 'b' }],
      ['device without topic name', 'it must be reached', { 48: 2 }],
      ['wallet without payer', 'a wallet of nobody', { 48: 3 }],
      ['role 5', 'a closed list', { 48: 5 }],
      ['presence 5', 'P0 to P4', { 49: 5 }],
      ['category 10000', 'four digits', { 52: 10_000 }],
      ['names empty', 'at least one', { 50: [] }],
      ['name of three parts', 'language and text', { 50: [['en', 'x', 'y']] }],
      ['name with U+202E', 'no direction changes', { 50: [['en', hidden('\u202e')]] }],
      ['name with U+200B', 'nothing invisible', { 50: [['en', hidden('\u200b')]] }],
      ['name with U+0000', 'no control characters', { 50: [['en', hidden('\0')]] }],
      ['name with U+3164', 'a filler looks like nothing', { 50: [['en', hidden('\u3164')]] }],
      ['name with U+2800', 'a blank that is no space', { 50: [['en', hidden('\u2800')]] }],
      ['name with U+034F', 'nothing ignorable', { 50: [['en', hidden('\u034f')]] }],
      ['name with a byte order mark', 'nothing invisible', { 50: [['en', '\ufeffab']] }],
      ['name of 161 bytes', 'bytes count, not characters', { 50: [['en', `${LONG_TEXT}x`]] }],
      ['nine names', 'at most eight', { 50: Array.from({ length: 9 }, () => ['en', 'x']) }],
      ['payer of 15 bytes', 'exactly 16', { 2: filled(15, 1) }],
    ],
  } satisfies Cases<KeyStatement>,
  policy: {
    signer: ROOT,
    valid: [
      { name: 'minimal', why: 'one currency, one band', value: POLICY },
      {
        name: 'full',
        why: 'two ladders and offline limits',
        value: {
          ...POLICY,
          exp: NOW + 86_400,
          version: 3,
          ladders: [
            {
              currency: 'CNY',
              bands: [
                { ceiling: 5_000n, level: 1 },
                { ceiling: 100_000n, level: 2 },
                { ceiling: 500_000n, level: 3 },
              ],
            },
            { currency: 'JPY', bands: [{ ceiling: 1_000n, level: 1 }] },
          ],
          offline: {
            behaviour: 'prefer_online',
            currency: 'CNY',
            floorLimit: 5_000n,
            storedAmountMax: 20_000n,
            storedCountMax: 10,
            acceptWindow: 86_400,
            uploadWindow: 604_800,
            goOnlineEvery: [5, 10],
            payerCountMax: 3,
            payerAmountMax: 10_000n,
            policyAgeMax: 2_592_000,
          },
          scope: { kind: 'merchant', payee: 'luckin-coffee-88' },
        },
      },
      {
        name: 'limits',
        why: 'sixteen ladders of eight bands',
        value: {
          ...POLICY,
          version: MAX,
          ladders: CURRENCIES.slice(0, 16).map((currency) => ({
            currency,
            bands: Array.from({ length: 8 }, (_, i) => ({
              ceiling: BigInt(MAX) - 7n + BigInt(i),
              level: Math.min(i, 4) as 0 | 1 | 2 | 3 | 4,
            })),
          })),
          scope: { kind: 'device', device: LONG_NAME },
        },
      },
      { name: 'EdDSA', why: 'a root with an Ed25519 key', value: POLICY, signer: ED25519 },
    ],
    broken: [
      ['version 0', 'versions start at 1', { 53: 0 }],
      ['no ladder', 'at least one currency', { 54: [] }],
      [
        'bands with equal ceilings',
        'ceilings rise',
        {
          54: [
            [
              ['CNY', 2],
              [
                [5, 1],
                [5, 2],
              ],
            ],
          ],
        },
      ],
      [
        'bands with falling levels',
        'levels never fall',
        {
          54: [
            [
              ['CNY', 2],
              [
                [5, 2],
                [6, 1],
              ],
            ],
          ],
        },
      ],
      ['ladder without band', 'at least one', { 54: [[['CNY', 2], []]] }],
      [
        'ladder with nine bands',
        'at most eight',
        { 54: [[['CNY', 2], Array.from({ length: 9 }, (_, i) => [i, 0])]] },
      ],
      [
        'ladder with a wrong exponent',
        'the yen has none',
        { 54: [[['JPY', 2], [[5, 1]]]] },
        'currency_mismatch',
      ],
      [
        'ladder in an unknown currency',
        'XAU is no money to pay with',
        { 54: [[['XAU', 2], [[5, 1]]]] },
        'currency_unknown',
      ],
      ['scope 3', 'a closed list', { 56: [3] }],
      ['platform with a name', 'it is everybody', { 56: [0, 'x'] }],
      ['merchant without payee', 'which merchant', { 56: [1] }],
      ['scope empty', 'a tag is needed', { 56: [] }],
      ['offline empty', 'every limit must be said', { 55: new Map() }],
      [
        'offline with a field 11',
        'unknown fields are refused inside too',
        { 55: new Map([[11, 1]]) },
      ],
    ],
  } satisfies Cases<Policy>,
  mandate: {
    signer: WALLET,
    valid: [
      { name: 'minimal', why: 'the fewest and smallest fields', value: MANDATE },
      { name: 'budget', why: 'three windows and five payees', value: BUDGET_MANDATE },
      {
        name: 'full',
        why: 'every optional field, every scope and window',
        value: {
          ...BUDGET_MANDATE,
          perPaymentMin: 100n,
          windows: [...BUDGET_MANDATE.windows, { kind: 'total', max: 900_000n, count: 999 }],
          allow: [
            { kind: 'payee', payee: 'luckin-coffee-88' },
            { kind: 'category', category: 5814 },
            { kind: 'terminal', terminal: 'till-001' },
            { kind: 'order', order: OTHER_ID },
          ],
          deny: [{ kind: 'category', category: 7995 }],
          gap: 30,
          parent: OTHER_ID,
        },
      },
      {
        name: 'one use',
        why: 'P4: this order, once',
        value: {
          ...MANDATE,
          perPaymentMax: 1250n,
          perPaymentMin: 1250n,
          channels: 31,
          windows: [{ kind: 'total', max: 1250n, count: 1 }],
          allow: [{ kind: 'order', order: OTHER_ID }],
          bands: [{ ceiling: 1250n, level: 0 }],
        },
      },
      {
        name: 'limits',
        why: 'eight windows, eight bands, and as many payees as one envelope holds',
        value: {
          ...MANDATE,
          funding: LONG_NAME,
          perPaymentMax: BigInt(MAX),
          perPaymentMin: BigInt(MAX),
          channels: 31,
          gap: 400 * 86_400,
          windows: Array.from({ length: 8 }, () => ({
            kind: 'rolling' as const,
            seconds: 400 * 86_400,
            max: BigInt(MAX),
            count: MAX,
          })),
          allow: Array.from({ length: 48 }, (_, i) => ({
            kind: 'payee' as const,
            payee: String(i).padStart(64, '0'),
          })),
          bands: Array.from({ length: 8 }, (_, i) => ({
            ceiling: BigInt(MAX) - 7n + BigInt(i),
            level: 4 as const,
          })),
        },
      },
      {
        name: 'EdDSA',
        why: 'a wallet with an Ed25519 key',
        value: BUDGET_MANDATE,
        signer: ED25519,
      },
    ],
    broken: [
      ['nbf equal to exp', 'valid never', { 5: NOW + 1 }],
      ['minimum above maximum', 'pays never', { 37: 1 }],
      ['any beside a payee', '"any" stands alone', { 40: [[4], [0, 'p']] }],
      ['deny any', 'denies everything', { 41: [[4]] }],
      ['deny empty', 'leave it out', { 41: [] }],
      ['allow empty', 'nowhere', { 40: [] }],
      ['sixty-five scopes', 'at most 64', { 40: Array.from({ length: 65 }, () => [1, 1]) }],
      ['scope 5', 'a closed list', { 40: [[5]] }],
      ['no window', 'a mandate without end is no mandate', { 39: [] }],
      ['nine windows', 'at most eight', { 39: Array.from({ length: 9 }, () => [0, 1, 1]) }],
      ['window 3', 'a closed list', { 39: [[3, 1, 1]] }],
      ['window with count 0', 'allows nothing', { 39: [[0, 1, 0]] }],
      ['window of negative amount', 'ceilings are 0 or more', { 39: [[0, -1, 1]] }],
      ['period 5', 'a closed list', { 39: [[1, 5, 'UTC', 1, 1]] }],
      ['zone empty', 'an IANA name', { 39: [[1, 0, '', 1, 1]] }],
      ['rolling over 401 days', 'ids are kept 400 days', { 39: [[2, 401 * 86_400, 1, 1]] }],
      ['channels 0', 'no way to pay', { 38: 0 }],
      ['channels 32', 'five channels', { 38: 32 }],
      [
        'bands that fall',
        'levels never fall',
        {
          42: [
            [1, 2],
            [2, 1],
          ],
        },
      ],
      ['gap 0', 'leave it out', { 43: 0 }],
      ['cnf of 31 bytes', 'a full thumbprint', { 8: new Map([[5, filled(31, 1)]]) }],
      ['cnf with a COSE_Key', 'a thumbprint only', { 8: new Map([[1, KEY_MAP]]) }],
      [
        'cnf with kid besides',
        'a thumbprint only',
        {
          8: new Map<number, CborValue>([
            [3, NONCE],
            [5, filled(32, 1)],
          ]),
        },
      ],
      ['currency without exponent', 'the exponent is signed too', { 35: ['CNY'] }],
      ['currency unknown', 'XTS is for tests', { 35: ['XTS', 2] }, 'currency_unknown'],
      ['currency with a wrong exponent', 'the yuan has 2', { 35: ['CNY', 3] }, 'currency_mismatch'],
      ['text digest of 31 bytes', 'SHA-256', { 46: filled(31, 1) }],
    ],
  } satisfies Cases<Mandate>,
  revoke: {
    signer: WALLET,
    valid: [
      {
        name: 'minimal',
        why: 'everything below epoch 1',
        value: { payer: PAYER, iat: NOW, epoch: 1 },
      },
      { name: 'one mandate', why: 'by id', value: { payer: PAYER, iat: NOW, mandate: ID } },
      {
        name: 'limits',
        why: 'the last epoch',
        value: { payer: PAYER, iat: 0xff_ffff_ffff, epoch: MAX },
      },
      {
        name: 'EdDSA',
        why: 'an Ed25519 key',
        value: { payer: PAYER, iat: NOW, mandate: ID },
        signer: ED25519,
      },
    ],
    broken: [
      ['mandate and epoch', 'one or the other', { 10: filled(16, 1) }],
      ['neither mandate nor epoch', 'nothing to end', { 45: undefined }],
      ['epoch 0', 'nothing is below', { 45: 0 }],
      ['payer of 15 bytes', 'exactly 16', { 2: filled(15, 1) }],
    ],
  } satisfies Cases<Revoke>,
  order: {
    signer: TERMINAL,
    valid: [
      { name: 'minimal', why: 'one line of one fen', value: ORDER },
      {
        name: 'full',
        why: 'two lines, one of them free',
        value: {
          ...ORDER,
          amount: yuan(3_300n),
          payee: 'luckin-coffee-88',
          terminal: 'till-001',
          lines: [
            { text: '生椰拿铁', quantity: 2, total: 3_300n },
            { text: 'Paper bag', quantity: 1, total: 0n },
          ],
        },
      },
      {
        name: 'limits',
        why: 'thirty-two lines',
        value: {
          ...ORDER,
          amount: yuan(32n),
          payee: LONG_NAME,
          terminal: LONG_NAME,
          lines: Array.from({ length: 32 }, (_, i) => ({
            text: `line ${i} `.padEnd(100, 'x'),
            quantity: 9999,
            total: 1n,
          })),
        },
      },
      { name: 'EdDSA', why: 'a terminal with an Ed25519 key', value: ORDER, signer: ED25519 },
    ],
    broken: [
      ...BAD_AMOUNTS,
      ['lines that do not add up', 'the total is the sum', { 12: ['CNY', 2, 2] }],
      ['no lines', 'at least one', { 32: [] }],
      [
        'thirty-three lines',
        'at most 32',
        { 12: ['CNY', 2, 33], 32: Array.from({ length: 33 }, () => ['x', 1, 1]) },
      ],
      ['quantity 0', 'at least one', { 32: [['x', 0, 1]] }],
      ['line of two parts', 'text, quantity, total', { 32: [['x', 1]] }],
      ['line with a line feed', 'one line is one line', { 32: [['a\nb', 1, 1]] }],
      ['line with U+2066', 'no direction changes', { 32: [[hidden('\u2066'), 1, 1]] }],
      [
        'negative line',
        'a discount is a smaller line',
        {
          12: ['CNY', 2, 1],
          32: [
            ['x', 1, 2],
            ['y', 1, -1],
          ],
        },
      ],
      ['salt of 15 bytes', '128 bits', { 33: filled(15, 1) }],
    ],
  } satisfies Cases<Order>,
  query: {
    signer: DEVICE,
    valid: [
      { name: 'minimal', why: 'the state of a request', value: { subject: ID, question: 'state' } },
      { name: 'cancel', why: 'or a tombstone', value: { subject: OTHER_ID, question: 'cancel' } },
      { name: 'boot', why: 'echo instead of subject', value: BOOT },
      {
        name: 'behind',
        why: 'the bridge has seen a higher counter',
        value: { counter: 6, nonce: NONCE, question: 'behind' },
      },
      { name: 'EdDSA', why: 'an Ed25519 key', value: BOOT, signer: ED25519 },
    ],
    broken: [
      ['boot without echo', 'an old answer would do', { 21: undefined, 31: 2 }],
      ['boot with subject', 'it asks about nothing', { 31: 2 }],
      ['state with echo', 'an echo is of a boot', { 29: SALT }],
      ['state without subject', 'which request', { 21: undefined }],
      [
        'boot with counter',
        'an old question would look behind',
        { 21: undefined, 29: SALT, 11: 6, 31: 2 },
      ],
      ['behind without counter', 'of what', { 21: undefined, 19: NONCE, 31: 3 }],
      ['behind without nonce', 'an old one would do', { 21: undefined, 11: 6, 31: 3 }],
      ['behind with subject', 'it is about no request', { 11: 6, 19: NONCE, 31: 3 }],
      ['question 4', 'a closed list', { 31: 4 }],
      ['subject of 32 bytes', 'ids are 16 bytes', { 21: filled(32, 1) }],
    ],
  } satisfies Cases<Query>,
  enrol: {
    signer: DEVICE,
    valid: [
      { name: 'minimal', why: 'proof of possession only', value: ENROL },
      { name: 'mac', why: 'with a pairing code', value: { ...ENROL, mac: filled(32, 0x70) } },
      {
        name: 'succession',
        why: 'endorsed by the old key',
        value: { ...ENROL, endorsement: sealed('enrol', KINDS.enrol.encode(ENROL), REALM, WALLET) },
      },
      {
        name: 'limits',
        why: 'the longest endorsement',
        value: { ...ENROL, device: LONG_NAME, endorsement: filled(1024, 0) },
      },
      {
        name: 'EdDSA',
        why: 'an Ed25519 key',
        value: { ...ENROL, key: ED25519.key.public },
        signer: ED25519,
      },
      {
        name: 'certificate',
        why: 'names the key of its TLS',
        value: { ...ENROL, mac: filled(32, 0x70), tls: TERMINAL.key.public },
      },
    ],
    broken: [
      ...BAD_KEYS,
      ['mac and endorsement', 'one voucher', { 57: filled(32, 1), 58: filled(8, 1) }],
      ['mac of 31 bytes', 'HMAC-SHA256', { 57: filled(31, 1) }],
      ['endorsement empty', 'leave it out', { 58: new Uint8Array() }],
      ['endorsement of 1025 bytes', 'at most 1024', { 58: filled(1025, 1) }],
      ['role 5', 'a closed list', { 48: 5 }],
      ['topic name with a slash', 'one level of a topic', { 51: 'a/b' }],
      ['topic name #', 'no wildcard', { 51: '#' }],
      ['Ed25519 certificate', 'brokers speak P-256', { 63: coseKey(ED25519.key.public) }],
      ['one key for both', 'another key for TLS', { 63: coseKey(DEVICE.key.public) }],
    ],
  } satisfies Cases<Enrol>,
  receipt: {
    signer: BRIDGE,
    valid: [
      { name: 'minimal', why: 'an outcome without reason', value: RECEIPT },
      {
        name: 'captured',
        why: 'the payer’s copy of the budget',
        value: {
          iat: NOW + 1,
          amount: yuan(1250n),
          order: OTHER_ID,
          subject: ID,
          outcome: 'captured',
          reference: 'ch_3QpX7e2eZvKYlo2C1b5kTz9A',
          remaining: [
            { amount: 48_750n, count: 19 },
            { amount: 298_750n, count: 199 },
            { amount: 28_750n, count: 4 },
          ],
        },
      },
      {
        name: 'terminal copy',
        why: 'order, outcome, amount, time',
        value: { iat: NOW, amount: yuan(1250n), subject: OTHER_ID, outcome: 'captured' },
      },
      {
        name: 'refused',
        why: 'with risk reasons',
        value: {
          ...RECEIPT,
          outcome: 'refused',
          reason: 126,
          riskReasons: ['velocity', 'new payee'],
        },
      },
      { name: 'pending', why: 'not final', value: { ...RECEIPT, outcome: 'pending', reason: 301 } },
      {
        name: 'later code',
        why: 'a reason of a later version keeps its class',
        value: { ...RECEIPT, outcome: 'refused', reason: 199 },
      },
      {
        name: 'limits',
        why: 'every list full',
        value: {
          iat: 0xff_ffff_ffff,
          amount: { currency: 'KWD', minor: BigInt(MAX) },
          order: OTHER_ID,
          subject: ID,
          outcome: 'expired',
          reason: 499,
          reference: 'r'.repeat(64),
          remaining: Array.from({ length: 8 }, () => ({ amount: BigInt(MAX), count: MAX })),
          riskReasons: Array.from({ length: 4 }, () => 'w'.repeat(32)),
          running: Array.from({ length: 64 }, () => OTHER_ID),
        },
      },
      { name: 'EdDSA', why: 'a bridge with an Ed25519 key', value: RECEIPT, signer: ED25519 },
    ],
    broken: [
      ['captured with reason', 'only refusals and waits have one', { 22: 1, 23: 126 }],
      ['refused without reason', 'people are told why', { 22: 6 }],
      ['expired without reason', 'people are told why', { 22: 7 }],
      ['pending without reason', 'people are told why', { 22: 0 }],
      ['reason 99', 'no class', { 22: 6, 23: 99 }],
      ['reason 500', 'no class', { 22: 6, 23: 500 }],
      ['outcome 8', 'a closed list', { 22: 8 }],
      ['remaining empty', 'leave it out', { 25: [] }],
      ['reference of 65 bytes', 'at most 64', { 24: 'r'.repeat(65) }],
      ['five risk reasons', 'at most four', { 26: ['a', 'b', 'c', 'd', 'e'] }],
      ['amount zero', 'money that moved is more than nothing', { 12: ['CNY', 2, 0] }],
    ],
  } satisfies Cases<Receipt>,
  tick: {
    signer: BRIDGE,
    valid: [
      { name: 'minimal', why: 'to everybody', value: TICK },
      {
        name: 'boot',
        why: 'the answer to a boot query',
        value: { ...TICK, counter: 0, audience: DEVICE.key.name, echo: SALT },
      },
      {
        name: 'lease',
        why: 'a reservation to spend offline',
        value: { ...TICK, audience: DEVICE.key.name, lease: LEASE },
      },
      {
        name: 'limits',
        why: 'all at once',
        value: {
          iat: 0xff_ffff_ffff,
          counter: MAX,
          nonce: NONCE,
          audience: DEVICE.key.name,
          echo: SALT,
          lease: { ...LEASE, count: MAX, amount: { currency: 'CLF', minor: BigInt(MAX) } },
        },
      },
      { name: 'EdDSA', why: 'a bridge with an Ed25519 key', value: TICK, signer: ED25519 },
    ],
    broken: [
      ['echo without counter', 'a boot asks for both', { 28: filled(32, 1), 29: SALT }],
      ['counter without echo', 'an old answer would do', { 11: 1, 28: filled(32, 1) }],
      ['echo without audience', 'it is for one key', { 11: 1, 29: SALT }],
      ['lease without audience', 'it is for one key', { 30: leaseMap([]) }],
      [
        'lease without count',
        'every limit must be said',
        { 28: filled(32, 1), 30: leaseMap([[61, undefined]]) },
      ],
      [
        'lease of nothing',
        'more than zero',
        { 28: filled(32, 1), 30: leaseMap([[12, ['CNY', 2, 0]]]) },
      ],
      [
        'lease with a field 63',
        'unknown fields are refused inside too',
        { 28: filled(32, 1), 30: leaseMap([[63, 1]]) },
      ],
      ['nonce of 9 bytes', 'exactly 8', { 19: filled(9, 1) }],
      ['audience of 8 bytes', 'a full thumbprint', { 28: NONCE }],
    ],
  } satisfies Cases<Tick>,
  proposal: {
    signer: BRIDGE,
    valid: [
      { name: 'minimal', why: 'an agent asks', value: PROPOSAL },
      {
        name: 'full',
        why: 'a merchant asks for an order',
        value: {
          ...PROPOSAL,
          amount: yuan(3_300n),
          payee: 'luckin-coffee-88',
          terminal: 'till-001',
          order: OTHER_ID,
          asker: { kind: 'merchant', name: '瑞幸咖啡' },
          why: 'Two coconut lattes are ready.',
        },
      },
      {
        name: 'limits',
        why: '160 bytes of text',
        value: {
          ...PROPOSAL,
          payee: LONG_NAME,
          asker: { kind: 'agent', name: LONG_TEXT },
          why: LONG_TEXT,
        },
      },
      { name: 'EdDSA', why: 'a bridge with an Ed25519 key', value: PROPOSAL, signer: ED25519 },
    ],
    broken: [
      ...BAD_AMOUNTS,
      ['asker 2', 'agent or merchant', { 59: [2, 'x'] }],
      ['asker without name', 'who asks', { 59: [0] }],
      ['why empty', 'a reason is owed', { 60: '' }],
      ['why of 161 bytes', 'one screen', { 60: `${LONG_TEXT}x` }],
      ['why with U+00AD', 'nothing invisible', { 60: hidden('\u00ad') }],
      ['audience of 31 bytes', 'a full thumbprint', { 28: filled(31, 1) }],
    ],
  } satisfies Cases<Proposal>,
} satisfies { [K in KindName]: unknown };

function leaseMap(change: readonly (readonly [number, CborValue | undefined])[]): CborValue {
  const tick = decodeCbor(KINDS.tick.encode({ ...TICK, audience: DEVICE.key.name, lease: LEASE }));
  const lease = new Map((tick as Map<number, CborValue>).get(30) as Map<number, CborValue>);
  for (const [number, value] of change) {
    if (value === undefined) lease.delete(number);
    else lease.set(number, value);
  }
  return lease;
}
