/** Worlds verify what was signed beside them by looking it up, and accept nothing more for it. */

import { createPublicKey, generateKeyPairSync, sign, verify } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { utf8 } from '../../../src/bytes.ts';
import { loadKey } from '../../../src/keys.ts';
import { rememberSignatures } from '../../../src/node/signatures.ts';
import { generatePem, nodeSigner, readPrivatePem, readPublicPem } from '../../../src/signer.ts';

const real = verify;
let forget: () => void;
beforeAll(() => void (forget = rememberSignatures()));
afterAll(() => {
  forget();
  expect(verify).toBe(real);
});

for (const algorithm of ['EdDSA', 'ES256'] as const) {
  const digest = algorithm === 'EdDSA' ? null : 'sha256';
  const handle = readPrivatePem(generatePem(algorithm));
  const other = loadKey(nodeSigner(readPrivatePem(generatePem(algorithm))).key.public).handle;

  test(`a signature of ${algorithm} holds for its bytes and key alone, also asked again`, () => {
    const { key } = nodeSigner(handle);
    const bytes = utf8('pay 12.00 to shop-1');
    const signature = sign(digest, bytes, handle);
    for (let asked = 0; asked < 3; asked++) {
      expect(verify(digest, bytes, key.handle, signature)).toBe(true);
      expect(verify(digest, utf8('pay 92.00 to shop-1'), key.handle, signature)).toBe(false);
      expect(verify(digest, bytes, other, signature)).toBe(false);
      const broken = Uint8Array.from(signature);
      broken[20]! ^= 1;
      expect(verify(digest, bytes, key.handle, broken)).toBe(false);
    }
  });

  test(`what was signed with ${algorithm} is not changed by whoever writes over its bytes`, () => {
    const { key } = nodeSigner(handle);
    const bytes = utf8('pay 12.00 to shop-1');
    const signature = sign(digest, bytes, handle);
    expect(verify(digest, bytes, key.handle, signature)).toBe(true);
    bytes[4] = 0x39;
    expect(verify(digest, bytes, key.handle, signature)).toBe(false);
  });
}

test('a key of another algorithm or digest is asked for nothing that is remembered', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const bytes = utf8('a');
  const signature = sign('sha256', bytes, privateKey);
  expect(verify('sha256', bytes, publicKey, signature)).toBe(true);
  expect(verify('sha512', bytes, publicKey, signature)).toBe(false);
});

test('public keys of equal bytes are one object, private ones are never kept', () => {
  const pem = generatePem('EdDSA');
  const { key } = nodeSigner(readPrivatePem(pem));
  expect(loadKey(key.public).handle).toBe(key.handle);
  expect(createPublicKey(pem)).not.toBe(createPublicKey(pem));
  const publicPem = key.handle.export({ format: 'pem', type: 'spki' }) as string;
  expect(readPublicPem(publicPem).name).toBe(key.name);
});
