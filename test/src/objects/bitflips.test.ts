// Method: no byte of an envelope may matter little. Every bit is flipped, and envelopes are cut,
// widened and overwritten at random: nothing but the original bytes may ever be accepted.
import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { bytesEqual, concat, fromHex } from '../../../src/bytes.ts';
import { decodeCbor } from '../../../src/cbor.ts';
import type { Realm } from '../../../src/cose.ts';
import { PaymentError } from '../../../src/errors.ts';
import { type VerifyKey, loadKey, parseCoseKey } from '../../../src/keys.ts';
import { type Kind, open } from '../../../src/objects/kind.ts';
import { KINDS, type KindName } from '../../../src/objects/kinds.ts';
import { VECTORS_FOLDER } from '../../vectors/make.ts';

type Valid = Readonly<{
  name: string;
  realm: Realm;
  key: Readonly<{ coseKeyHex: string }>;
  envelopeHex: string;
}>;

const names = Object.keys(KINDS) as KindName[];

function vectorOf(kind: KindName, name: string) {
  const { valid } = JSON.parse(
    readFileSync(join(VECTORS_FOLDER, `${kind}.json`), 'utf8'),
  ) as Readonly<{ valid: readonly Valid[] }>;
  const { realm, key, envelopeHex } = valid.find((vector) => vector.name === name)!;
  const loaded = loadKey(parseCoseKey(decodeCbor(fromHex(key.coseKeyHex))));
  return { realm, key: loaded, envelope: fromHex(envelopeHex) };
}

/** Whether an envelope is accepted; anything but a PaymentError is a crash and fails the test. */
function isAccepted(kind: KindName, envelope: Uint8Array, realm: Realm, key: VerifyKey): boolean {
  try {
    open(KINDS[kind] as Kind<unknown>, envelope, realm, () => key);
    return true;
  } catch (error) {
    if (error instanceof PaymentError) return false;
    throw error;
  }
}

describe.each(names)('%s', (kind) => {
  test.each(['minimal', 'EdDSA'])('every flipped bit of "%s" is refused', (name) => {
    const { realm, key, envelope } = vectorOf(kind, name);
    expect(isAccepted(kind, envelope, realm, key), 'the original').toBe(true);
    const accepted: number[] = [];
    for (let bit = 0; bit < envelope.length * 8; bit++) {
      const flipped = envelope.slice();
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      if (isAccepted(kind, flipped, realm, key)) accepted.push(bit);
    }
    expect(accepted).toEqual([]);
  });

  test('whatever is cut, put in or overwritten is refused', () => {
    const { realm, key, envelope } = vectorOf(kind, 'minimal');
    const few = fc.uint8Array({ minLength: 0, maxLength: 4 }).map((bytes) => new Uint8Array(bytes));
    const edit = fc.tuple(fc.nat({ max: envelope.length }), fc.nat({ max: 4 }), few);
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 3 }), (edits) => {
        let bytes = envelope;
        for (const [at, cut, put] of edits) {
          bytes = concat(bytes.slice(0, at), put, bytes.slice(at + cut));
        }
        expect(isAccepted(kind, bytes, realm, key)).toBe(bytesEqual(bytes, envelope));
      }),
      { numRuns: 500 },
    );
  });

  test('every beginning is refused', () => {
    const { realm, key, envelope } = vectorOf(kind, 'minimal');
    for (let end = 0; end < envelope.length; end++) {
      expect(isAccepted(kind, envelope.slice(0, end), realm, key), `${end} bytes`).toBe(false);
    }
  });
});
