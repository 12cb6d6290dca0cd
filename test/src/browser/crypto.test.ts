/** What stands for node:crypto on a page says the same as node:crypto. */
import * as node from 'node:crypto';
import { expect, test } from 'vitest';
import { createPublicKey, hash, verify } from '../../../src/browser/crypto.ts';

test.each([0, 1, 55, 56, 64, 1_000])('SHA-256 of %d bytes', (length) => {
  const bytes = new Uint8Array(node.randomBytes(length));
  const expected = node.hash('sha256', bytes, 'hex');
  expect(Buffer.from(hash('sha256', bytes, 'buffer')).toString('hex')).toBe(expected);
});

test('a signature of node:crypto holds, and a changed one does not', () => {
  const { privateKey, publicKey } = node.generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const jwk = publicKey.export({ format: 'jwk' }) as { crv: string; x: string; y: string };
  const handle = createPublicKey({ key: jwk });
  const message = new Uint8Array([1, 2, 3]);
  // A page refuses high-S as src/cose.ts does: half of OpenSSL's signatures have it.
  const all = Array.from({ length: 16 }, () => node.sign('sha256', message, privateKey));
  const held = all.filter((one) => verify('sha256', message, handle, Uint8Array.from(one)));
  expect(held.length).toBeGreaterThan(0);
  const [one] = held;
  expect(verify('sha256', new Uint8Array([1, 2, 4]), handle, Uint8Array.from(one!))).toBe(false);
});

test('a point that is not on the curve is refused', () => {
  const x = Buffer.alloc(32, 1).toString('base64url');
  expect(() => createPublicKey({ key: { crv: 'P-256', x, y: x } })).toThrow();
  expect(() => createPublicKey({ key: { crv: 'Ed25519', x } })).toThrow('only P-256');
});
