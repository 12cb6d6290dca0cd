/** One typical object of every kind, and the requests of the byte budget in PROTOCOL.md. */
import { generateKeyPairSync } from 'node:crypto';
import { nodeSigner } from '../src/signer.ts';
import { type Kind, seal } from '../src/objects/kind.ts';
import { KINDS } from '../src/objects/kinds.ts';
import { REALM } from './plant.ts';

const ID = '00112233445566778899aabbccddeeff';
const PRINT = ID + ID;
const bytes = (count: number) => new Uint8Array(count).fill(7);
const AT = 1_795_000_000;
const PAYEE = 'm_luckin_coffee1';
const TERMINAL = 'till0001';
const amount = { currency: 'CNY', minor: 12_50n };

/** [title, kind, envelope] for each sample. */
export async function sampleEnvelopes(): Promise<(readonly [string, string, Uint8Array])[]> {
  const signer = nodeSigner(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey);
  const request = {
    exp: AT,
    action: 'pay',
    mandate: ID,
    counter: 418,
    amount,
    payee: PAYEE,
    terminal: TERMINAL,
    presence: 2,
    channel: 'tap',
    nonce: bytes(8),
  };
  const p3 = { ...request, presence: 3, transcript: bytes(32) };
  const windows = [
    { kind: 'total', max: 2_000_00n, count: 200 },
    { kind: 'calendar', period: 'day', zone: 'Asia/Shanghai', max: 500_00n, count: 20 },
    { kind: 'rolling', seconds: 3600, max: 300_00n, count: 5 },
  ];
  const samples: readonly (readonly [string, keyof typeof KINDS, unknown])[] = [
    ['request, tap or voice', 'request', request],
    ['request, P3 with transcript', 'request', p3],
    ['request, with an order', 'request', { ...request, order: ID }],
    [
      'receipt, payer’s copy',
      'receipt',
      {
        iat: AT,
        amount,
        order: ID,
        subject: ID,
        outcome: 'captured',
        reference: 'led-0000000000000042',
        remaining: windows.map(({ max, count }) => ({ amount: max, count })),
      },
    ],
    ['receipt, terminal’s copy', 'receipt', { iat: AT, amount, subject: ID, outcome: 'captured' }],
    [
      'mandate, 3 windows, 5 payees',
      'mandate',
      {
        exp: AT + 86_400,
        nbf: AT,
        iat: AT,
        cnf: PRINT,
        funding: 'acct-0000000042',
        currency: 'CNY',
        perPaymentMax: 200_00n,
        channels: 7,
        windows,
        allow: [1, 2, 3, 4, 5].map((i) => ({ kind: 'payee', payee: `m_luckin_coffee${i}` })),
        bands: [
          { ceiling: 20_00n, level: 1 },
          { ceiling: 200_00n, level: 2 },
        ],
        epoch: 1,
        textDigest: bytes(32),
      },
    ],
    [
      'order, 2 lines',
      'order',
      {
        exp: AT,
        amount: { currency: 'CNY', minor: 38_00n },
        payee: PAYEE,
        terminal: TERMINAL,
        lines: [
          { text: 'Latte', quantity: 1, total: 20_00n },
          { text: 'Blueberry muffin', quantity: 1, total: 18_00n },
        ],
        salt: bytes(16),
      },
    ],
    [
      'key statement, terminal',
      'key',
      {
        exp: AT + 86_400,
        nbf: AT,
        payee: PAYEE,
        terminal: TERMINAL,
        key: signer.key.public,
        role: 'terminal',
        presenceMax: 0,
        names: [
          ['en', 'Luckin Coffee'],
          ['zh', '瑞幸咖啡'],
        ],
        device: 'kiosk-7',
        category: 5814,
      },
    ],
    [
      'policy',
      'policy',
      {
        iat: AT,
        version: 1,
        ladders: [{ currency: 'CNY', bands: [{ ceiling: 20_00n, level: 1 }] }],
        scope: { kind: 'platform' },
      },
    ],
    ['revoke', 'revoke', { payer: bytes(16), iat: AT, mandate: ID }],
    ['query, boot', 'query', { question: 'boot', echo: bytes(16) }],
    [
      'enrol',
      'enrol',
      { iat: AT, key: signer.key.public, role: 'device', device: 'glasses-7', mac: bytes(32) },
    ],
    ['tick, broadcast', 'tick', { iat: AT, nonce: bytes(8) }],
    [
      'proposal',
      'proposal',
      {
        exp: AT,
        iat: AT,
        amount,
        payee: PAYEE,
        audience: PRINT,
        salt: bytes(16),
        asker: { kind: 'agent', name: 'Shopping helper' },
        why: 'Your usual coffee before the meeting',
      },
    ],
  ];
  return Promise.all(
    samples.map(
      async ([title, kind, value]) =>
        [title, kind, await seal(KINDS[kind] as Kind<unknown>, value, REALM, signer)] as const,
    ),
  );
}
