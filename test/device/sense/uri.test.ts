// Links both ways; every link of ours that is not exactly one of the two forms is refused.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ENVELOPE_BYTES_MAX } from '../../../src/limits.ts';
import { orderUri, readUri } from '../../../device/sense/uri.ts';
import { reasonOf } from '../stage.ts';

test('an order of any bytes survives its link', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 600 }), (bytes) => {
      const envelope = new Uint8Array(bytes);
      expect(readUri(orderUri(envelope))).toEqual({ kind: 'order', envelope });
    }),
  );
});

test.each([
  ['saytap://payee/cafe', { kind: 'payee', payee: 'cafe', amount: undefined }],
  ['saytap://payee/a_B-9?amount=CNY12.50', { kind: 'payee', payee: 'a_B-9', amount: 'CNY12.50' }],
  ['saytap://payee/cafe?amount=JPY5', { kind: 'payee', payee: 'cafe', amount: 'JPY5' }],
  [`saytap://payer/${'0a'.repeat(16)}`, { kind: 'payer', mandate: '0a'.repeat(16) }],
  ['https://example.com/?u=saytap://payee/cafe', { kind: 'foreign' }],
  ['SAYTAP://payee/cafe', { kind: 'foreign' }],
  [' saytap://payee/cafe', { kind: 'foreign' }],
  ['', { kind: 'foreign' }],
])('%s', (text, pointer) => {
  expect(readUri(text)).toEqual(pointer);
});

test.each([
  ['saytap://', 'malformed', 'nothing'],
  ['saytap://order/', 'malformed', 'no bytes'],
  ['saytap://order/AB', 'malformed', 'stray bits'],
  ['saytap://order/A', 'malformed', 'a length that base64url has not'],
  ['saytap://order/AA==', 'malformed', 'padding'],
  ['saytap://order/+/+/', 'malformed', 'the other base64'],
  ['saytap://payee/', 'malformed', 'no payee'],
  [`saytap://payee/${'a'.repeat(65)}`, 'malformed', 'a name too long'],
  ['saytap://payee/cafe?amount=', 'malformed', 'no amount'],
  ['saytap://payee/cafe?amount=5', 'malformed', 'no currency'],
  ['saytap://payee/cafe?amount=cny5', 'malformed', 'small letters'],
  ['saytap://payee/cafe?amount=CNY-5', 'malformed', 'a negative amount'],
  ['saytap://payee/cafe?amount=CNY1e3', 'malformed', 'an exponent'],
  ['saytap://payee/cafe?amount=CNY5&x=1', 'malformed', 'something more'],
  ['saytap://payee/cafe?x=1&amount=CNY5', 'malformed', 'something before'],
  ['saytap://payee/cafe?amount=CNY5\n', 'malformed', 'a line end'],
  ['saytap://payer/', 'malformed', 'no mandate'],
  [`saytap://payer/${'0a'.repeat(15)}`, 'malformed', 'a digit or two too few'],
  [`saytap://payer/${'0a'.repeat(16)}0`, 'malformed', 'a digit too many'],
  [`saytap://payer/${'0A'.repeat(16)}`, 'malformed', 'large letters'],
  [`saytap://payer/${'0g'.repeat(16)}`, 'malformed', 'no hex'],
  [`saytap://payer/${'0a'.repeat(16)}?amount=CNY5`, 'malformed', 'a payer asks for no amount'],
  ['saytap://payee/café', 'malformed', 'a letter outside names'],
  ['saytap://payee/a/b', 'malformed', 'a path'],
  ['saytap://pay/cafe', 'malformed', 'an unknown word'],
  [`saytap://order/${'A'.repeat(ENVELOPE_BYTES_MAX * 2)}`, 'too_large', 'longer than an object'],
])('%j is %s: %s', (text, reason) => {
  expect(reasonOf(() => readUri(text))).toBe(reason);
});

test('noise behind our scheme ends in a pointer or a code', () => {
  const tail = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 60 }),
    fc.string({ unit: fc.constantFrom(...'order/payee?amount=CNY.0-_'), maxLength: 60 }),
  );
  fc.assert(
    fc.property(fc.constantFrom('saytap://', 'saytap:', ''), tail, (start, end) => {
      const reason = reasonOf(() => readUri(start + end));
      expect(['accepted', 'malformed', 'too_large']).toContain(reason);
    }),
    { numRuns: 2_000 },
  );
});
