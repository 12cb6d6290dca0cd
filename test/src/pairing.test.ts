/** The codes by which a new key and the person who approves it meet. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fromHex, toHex } from '../../src/bytes.ts';
import {
  enrolMac,
  pairingLink,
  readPairing,
  readShortCode,
  sameMac,
  shortCode,
  spelled,
} from '../../src/pairing.ts';

const EXPECTED = 'c702345d145d50bcd4fa3206cef08045c0a57e3b606df0a1749b7986202c31d9';
const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });

test('a short code is the first 50 bits of SHA-256 of the thumbprint in base32', () => {
  // SHA-256 of 32 zero bytes begins 66687aadf862bd77: 01100 11001 10100 00111 10101 …
  expect(shortCode(new Uint8Array(32))).toBe('CSM7NBFRCA');
  expect(spelled('CSM7NBFRCA')).toBe('CSM7N-BFRCA');
});

test('a code is read however a person writes it', () => {
  fc.assert(
    fc.property(bytes(32), fc.boolean(), (thumbprint, isSmall) => {
      const code = shortCode(thumbprint);
      const written = spelled(code)
        .replaceAll('0', 'o')
        .replaceAll('1', isSmall ? 'l' : 'I');
      expect(readShortCode(` ${isSmall ? written.toLowerCase() : written} `)).toBe(code);
    }),
  );
});

test.each(['', 'CSM7N-BFRC', 'CSM7N-BFRCAA', 'CSM7N-BFRCU', 'CSM7N_BFRCA'])(
  '%j is no short code',
  (text) => {
    expect(readShortCode(text)).toBeUndefined();
  },
);

test('a link brings back what it was made of, whole or from its # on', () => {
  fc.assert(
    fc.property(bytes(16), bytes(32), (code, thumbprint) => {
      const link = pairingLink('https://bridge.example:8443', { code, thumbprint });
      expect(link).toMatch(/^https:\/\/bridge\.example:8443\/pair#[\w-]{64}$/);
      for (const text of [link, link.replace(/^.*#/, ''), ` ${link}\n`]) {
        expect(readPairing(text)).toEqual({ code, thumbprint });
      }
    }),
  );
});

test.each(['', 'https://bridge.example/pair', '#abc', `#${'a'.repeat(65)}`, `#${'*'.repeat(64)}`])(
  '%j is no pairing link',
  (text) => {
    expect(readPairing(text)).toBeUndefined();
  },
);

test('the MAC of an Enrol is bound to code and key', () => {
  const pairing = { code: new Uint8Array(16), thumbprint: new Uint8Array(32) };
  const mac = enrolMac(pairing);
  // openssl: HMAC-SHA256 with 16 zero bytes over "saytap/1 enrol" and 32 zero bytes.
  expect(toHex(mac)).toBe(EXPECTED);
  expect(sameMac(mac, enrolMac({ ...pairing, code: new Uint8Array(16).fill(1) }))).toBe(false);
  expect(sameMac(mac, enrolMac({ ...pairing, thumbprint: new Uint8Array(32).fill(1) }))).toBe(
    false,
  );
  expect(sameMac(mac, fromHex(EXPECTED))).toBe(true);
  expect(sameMac(mac, mac.slice(0, 31))).toBe(false);
});
