// Method: the RFC's own thumbprint first, then keys that no verifier may use, row by row.
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { fromBase64url, fromHex, toHex } from '../../src/bytes.ts';
import { type CborValue, decodeCbor, encodeCbor } from '../../src/cbor.ts';
import { PaymentError, type Reason } from '../../src/errors.ts';
import {
  type PublicKey,
  coseKey,
  loadKey,
  parseCoseKey,
  publicKeyOf,
  thumbprint,
} from '../../src/keys.ts';
import { eddsaKey, es256Key } from '../vectors/cases.ts';

function reasonOf(run: () => unknown): Reason | 'accepted' {
  try {
    run();
    return 'accepted';
  } catch (error) {
    if (error instanceof PaymentError) return error.reason;
    throw error;
  }
}

describe('thumbprint', () => {
  // RFC 9679 §6: the key of the example and its SHA-256 thumbprint.
  test('of the example key of RFC 9679 §6', () => {
    const key: PublicKey = {
      algorithm: 'ES256',
      x: fromHex('65eda5a12577c2bae829437fe338701a10aaa375e1bb5b5de108de439c08551d'),
      y: fromHex('1e52ed75701163f7f9e40ddf9f341b3dc9ba860af7e0ca7ca7e9eecd0084d19c'),
    };
    expect(toHex(encodeCbor(coseKey(key)))).toBe(
      'a40102200121582065eda5a12577c2bae829437fe338701a10aaa375e1bb5b5de108de439c08551d' +
        '2258201e52ed75701163f7f9e40ddf9f341b3dc9ba860af7e0ca7ca7e9eecd0084d19c',
    );
    expect(toHex(thumbprint(key))).toBe(
      '496bd8afadf307e5b08c64b0421bf9dc01528a344a43bda88fadd1669da253ec',
    );
  });

  test('kid is its first eight bytes and name its hex', () => {
    const { key } = es256Key('device');
    expect(key.kid).toEqual(key.thumbprint.slice(0, 8));
    expect(key.name).toBe(toHex(thumbprint(key.public)));
  });
});

describe('COSE_Key', () => {
  test.each(['ES256', 'EdDSA'] as const)('an %s key both ways', (algorithm) => {
    const { key } = algorithm === 'ES256' ? es256Key('device') : eddsaKey('device');
    const again = parseCoseKey(decodeCbor(encodeCbor(coseKey(key.public))));
    expect(again).toEqual(key.public);
    expect(loadKey(again).name).toBe(key.name);
  });

  const good = coseKey(es256Key('device').key.public);
  const change = (...entries: readonly (readonly [number, CborValue])[]) =>
    new Map<number, CborValue>([...good, ...entries]);
  const rows: readonly Readonly<{ why: string; value: CborValue }>[] = [
    { why: 'no map', value: 1 },
    { why: 'empty', value: new Map() },
    { why: 'a member too many', value: change([2, Uint8Array.of(1)]) },
    { why: 'another curve', value: change([-1, 2]) },
    { why: 'another type', value: change([1, 1]) },
    { why: 'x of 33 bytes', value: change([-2, new Uint8Array(33)]) },
    { why: 'y a sign bit', value: change([-3, true]) },
  ];
  test.each(rows)('refused: $why', ({ value }) => {
    expect(reasonOf(() => parseCoseKey(value))).toBe('malformed');
  });
});

describe('points', () => {
  const { x, y } = es256Key('device').key.public as { x: Uint8Array; y: Uint8Array };
  const P = fromHex('ffffffff00000001000000000000000000000000ffffffffffffffffffffffff');
  const p256: readonly Readonly<{ why: string; x: Uint8Array; y: Uint8Array }>[] = [
    { why: 'off the curve by one bit of y', x, y: y.with(31, y[31]! ^ 1) },
    { why: 'off the curve by one bit of x', x: x.with(0, x[0]! ^ 1), y },
    { why: 'the origin', x: new Uint8Array(32), y: new Uint8Array(32) },
    { why: 'x equal to the prime', x: P, y },
    { why: 'y beyond the field', x, y: new Uint8Array(32).fill(0xff) },
  ];
  test.each(p256)('P-256, refused: $why', ({ x: first, y: second }) => {
    expect(reasonOf(() => loadKey({ algorithm: 'ES256', x: first, y: second }))).toBe('malformed');
  });

  const PRIME = (1n << 255n) - 19n;
  const littleEndian = (value: bigint) =>
    fromHex(value.toString(16).padStart(64, '0')).toReversed();
  const signed = (bytes: Uint8Array) => bytes.with(31, bytes[31]! | 0x80);
  const order8 = fromHex('26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05');
  const other8 = fromHex('c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a');
  const small: readonly Readonly<{ why: string; bytes: Uint8Array }>[] = [
    { why: 'order 4, y = 0', bytes: littleEndian(0n) },
    { why: 'order 1, y = 1', bytes: littleEndian(1n) },
    { why: 'order 2, y = −1', bytes: littleEndian(PRIME - 1n) },
    { why: 'order 8', bytes: order8 },
    { why: 'order 8, the other', bytes: other8 },
    { why: 'y = p, a second 0', bytes: littleEndian(PRIME) },
    { why: 'y = p + 1, a second 1', bytes: littleEndian(PRIME + 1n) },
    { why: 'y = p + 18, the last second encoding', bytes: littleEndian(PRIME + 18n) },
  ].flatMap((row) => [row, { why: `${row.why}, sign bit set`, bytes: signed(row.bytes) }]);
  test.each(small)('Ed25519, refused: $why', ({ bytes }) => {
    expect(reasonOf(() => loadKey({ algorithm: 'EdDSA', x: bytes }))).toBe('malformed');
  });

  test('checking a key changes nothing of it, and its memory may be a Buffer', () => {
    const bytes = signed(eddsaKey('device').key.public.x);
    const input = Buffer.from(bytes);
    reasonOf(() => loadKey({ algorithm: 'EdDSA', x: input }));
    expect(toHex(input)).toBe(toHex(bytes));
  });
});

test('the public part of a node key, and no other kind of key', () => {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const jwk = publicKey.export({ format: 'jwk' });
  expect(publicKeyOf(publicKey)).toEqual({
    algorithm: 'ES256',
    x: fromBase64url(jwk.x!),
    y: fromBase64url(jwk.y!),
  });
  const { publicKey: rsa } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  expect(reasonOf(() => publicKeyOf(rsa))).toBe('malformed');
  const { publicKey: p384 } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
  expect(
    reasonOf(() => publicKeyOf(createPublicKey(p384.export({ format: 'pem', type: 'spki' })))),
  ).toBe('malformed');
});
