// Method: what a person needs to read is looked for by its words, on good and on damaged objects;
// and whatever the bytes are, inspect answers with lines and never throws.
import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { concat, fromHex, toBase64url, toHex, utf8 } from '../../src/bytes.ts';
import { decodeCbor, encodeCbor } from '../../src/cbor.ts';
import type { Realm } from '../../src/cose.ts';
import { PaymentError, type Reason } from '../../src/errors.ts';
import { ORDER_URI, inspect, readInput, toJson, verify } from '../../src/inspect.ts';
import { coseKey, loadKey, parseCoseKey } from '../../src/keys.ts';
import { KINDS, type KindName } from '../../src/objects/kinds.ts';
import { es256Key } from '../vectors/cases.ts';
import { VECTORS_FOLDER } from '../vectors/make.ts';

type Vector = Readonly<{
  name: string;
  realm: Realm;
  key: Readonly<{ coseKeyHex: string }>;
  payloadHex: string;
  digestHex: string;
  idHex: string;
  envelopeHex: string;
  json: unknown;
  reason: Reason;
}>;

function file(kind: KindName) {
  return JSON.parse(readFileSync(join(VECTORS_FOLDER, `${kind}.json`), 'utf8')) as Readonly<{
    valid: readonly Vector[];
    invalid: readonly Vector[];
  }>;
}

function vector(kind: KindName, name: string) {
  const { valid, invalid } = file(kind);
  return [...valid, ...invalid].find((one) => one.name === name)!;
}

const keyOf = (one: Vector) => loadKey(parseCoseKey(decodeCbor(fromHex(one.key.coseKeyHex))));
const kinds = Object.keys(KINDS) as KindName[];

function reasonOf(run: () => unknown): Reason | 'accepted' {
  try {
    run();
    return 'accepted';
  } catch (error) {
    if (error instanceof PaymentError) return error.reason;
    throw error;
  }
}

describe('inspect', () => {
  const budget = vector('request', 'budget');
  const bytes = fromHex(budget.envelopeHex);
  const hints = { realm: budget.realm, key: keyOf(budget), kind: 'request' } as const;

  test('says a request as a sentence to read aloud', () => {
    expect(inspect(bytes)).toContain(
      'Device key 7b21b9b5… asks to pay 12.50 yuan (CNY) to luckin-coffee-88 at terminal ' +
        'till-001, under mandate 10111213…, counter 7, presence P2 (a physical act on the ' +
        'device), by voice, valid until 2026-11-20 09:22:00 UTC.',
    );
  });

  test('tells every layer: kind, sizes, algorithm, kid, digest, id, signature', () => {
    const text = inspect(bytes, hints).join('\n');
    for (const part of [
      'saytap request, envelope of 166 bytes',
      'ES256 (-7)',
      '7b21b9b57f32e00f',
      budget.digestHex,
      `${budget.idHex} in sim pier-9`,
      'signature  holds under key',
    ]) {
      expect.soft(text).toContain(part);
    }
  });

  test('the annotation holds every byte of the envelope, in order', () => {
    const lines = inspect(bytes);
    const dump = lines.slice(lines.indexOf('', lines.indexOf('') + 1) + 1);
    const left = dump.map((text) => text.slice(0, 48).replaceAll(' ', '')).join('');
    expect(left).toBe(budget.envelopeHex);
  });

  test('says what it cannot know without a realm and a key', () => {
    const text = inspect(bytes).join('\n');
    expect(text).toContain('depends on environment and ledger');
    expect(text).toContain('not checked: the key and environment and ledger not given');
    expect(text).not.toContain(budget.idHex);
  });

  test('tells what it was really signed for', () => {
    const live = inspect(bytes, { ...hints, realm: { ...hints.realm, environment: 'live' } });
    expect(live.join('\n')).toContain('signed as request for sim pier-9: NOT what was asked for');
    const other = inspect(bytes, { ...hints, kind: 'order' });
    expect(other.join('\n')).toContain('signed as request for sim pier-9: NOT what was asked for');
    const ledger = inspect(bytes, { ...hints, realm: { ...hints.realm, ledger: 'pier-10' } });
    expect(ledger.join('\n')).toContain('DOES NOT HOLD');
    const stranger = inspect(bytes, { ...hints, key: es256Key('stranger').key });
    expect(stranger.join('\n')).toContain('104 bad_signature');
  });

  test.each(kinds)('recognises every valid %s, with a sentence', (kind) => {
    for (const one of file(kind).valid) {
      const lines = inspect(fromHex(one.envelopeHex), { realm: one.realm, key: keyOf(one) });
      expect.soft(lines[0], one.name).toMatch(new RegExp(`^saytap ${kind}, envelope of `));
      expect.soft(lines.join('\n'), one.name).toContain(`signed as ${kind} for`);
      const bare = inspect(fromHex(one.payloadHex));
      expect.soft(bare[0], one.name).toContain(`saytap ${kind}, payload of `);
      expect.soft(bare[0], one.name).toContain('nobody has signed this');
      const sentence = lines[lines.indexOf('') + 1]!;
      expect.soft(sentence, one.name).toMatch(/^[A-Z].*\.$/);
      expect.soft(sentence, one.name).not.toMatch(/undefined|\[object|NaN/);
      expect.soft(lines.at(-1), one.name).not.toContain('stopped');
    }
  });

  test.each(kinds)('names the reason of every invalid %s', (kind) => {
    for (const one of file(kind).invalid) {
      // What only the realm or the key can tell is the signature line's.
      if (one.reason === 'bad_signature' || one.reason === 'sim_in_live') continue;
      const text = inspect(fromHex(one.envelopeHex), { kind }).join('\n');
      expect.soft(text, one.name).toContain(` ${one.reason} (`);
    }
  });

  test('shows how far damaged bytes make sense', () => {
    const lines = inspect(bytes.slice(0, 40));
    expect(lines[0]).toBe('no valid object, nearest to a saytap request, envelope of 40 bytes');
    expect(lines.join('\n')).toContain('4 exp: 1795166520');
    expect(lines.at(-1)).toBe(
      '-- stopped: ends early at byte 40, inside a string that starts at byte 30',
    );
  });

  test('knows the unsigned answer and a public key', () => {
    const [unsigned] = inspect(fromHex('a1171868'));
    expect(unsigned).toContain('104 bad_signature');
    expect(unsigned).toContain('closes nothing');
    const { key } = es256Key('device');
    expect(inspect(encodeCbor(coseKey(key.public))).join('\n')).toContain(key.name);
  });

  test('hidden characters of a text are shown as escapes', () => {
    const text = inspect(encodeCbor(new Map([[13, 'a\u202eb\u200b\n']]))).join('\n');
    expect(text).toContain('"a\\u{202e}b\\u{200b}\\n"');
  });

  test('never throws, whatever the bytes', () => {
    const damaged = fc
      .tuple(fc.nat(), fc.nat({ max: 255 }), fc.nat({ max: 3 }))
      .map(([where, byte, cut]) => {
        const at = where % bytes.length;
        return concat(bytes.slice(0, at), Uint8Array.of(byte), bytes.slice(at + cut));
      });
    const random = fc.uint8Array({ maxLength: 200 }).map((raw) => new Uint8Array(raw));
    fc.assert(
      fc.property(fc.oneof(damaged, random), (raw) => {
        expect(inspect(raw, hints).length).toBeGreaterThan(0);
      }),
      { numRuns: 1000 },
    );
    for (const raw of [0x81, 0xa1, 0xd2, 0xff, 0x5f].map((byte) =>
      new Uint8Array(4096).fill(byte),
    )) {
      expect(inspect(raw).length).toBeGreaterThan(0);
    }
    expect(inspect(new Uint8Array(10_000)).join('\n')).toContain('103 too_large');
  });
});

describe('readInput', () => {
  const bytes = fromHex(vector('order', 'full').envelopeHex);
  const forms: readonly (readonly [string, string | Uint8Array])[] = [
    ['raw', bytes],
    ['hex', toHex(bytes)],
    [
      'hex in capitals with blanks',
      toHex(bytes)
        .toUpperCase()
        .replace(/(.{32})/g, '$1 \n'),
    ],
    ['base64url', toBase64url(bytes)],
    ['an order URI', ORDER_URI + toBase64url(bytes)],
    ['a file with hex', utf8(`${toHex(bytes)}\n`)],
    ['a file with a URI', utf8(`${ORDER_URI}${toBase64url(bytes)}\n`)],
  ];
  test.each(forms)('takes %s', (_, input) => {
    expect(toHex(readInput(input))).toBe(toHex(bytes));
  });

  test.each(['', '  \n', 'not an object!', 'saytap://order/====', 'AB='])('refuses %j', (input) => {
    expect(reasonOf(() => readInput(input))).toBe('malformed');
  });
});

describe('verify', () => {
  const one = vector('request', 'budget');
  test('returns the object as JSON', () => {
    const verified = verify(fromHex(one.envelopeHex), 'request', one.realm, keyOf(one));
    expect(JSON.parse(JSON.stringify(verified))).toEqual({
      kind: 'request',
      id: one.idHex,
      digest: one.digestHex,
      key: keyOf(one).name,
      value: one.json,
    });
  });

  test('throws with the reason code', () => {
    const bytes = fromHex(one.envelopeHex);
    const live: Realm = { environment: 'live', ledger: 'pier-9' };
    const key = keyOf(one);
    expect(reasonOf(() => verify(bytes, 'request', live, key))).toBe('sim_in_live');
    expect(reasonOf(() => verify(bytes, 'order', one.realm, key))).toBe('bad_signature');
    expect(reasonOf(() => verify(bytes.slice(1), 'request', one.realm, key))).toBe('malformed');
  });
});

test('toJson: bytes as hex, bigint as digits, maps as objects, absent dropped', () => {
  const value = { a: Uint8Array.of(255), b: 2n ** 60n, c: new Map([[5, [true]]]), d: undefined };
  expect(toJson(value)).toEqual({ a: 'ff', b: '1152921504606846976', c: { '5': [true] } });
});

test('PROTOCOL.md shows the request of the vectors, byte for byte', () => {
  const budget = vector('request', 'budget');
  const hints = { realm: budget.realm, key: keyOf(budget), kind: 'request' } as const;
  const text = readFileSync(join(import.meta.dirname, '../../PROTOCOL.md'), 'utf8');
  const expected = inspect(fromHex(budget.envelopeHex), hints).join('\n');
  expect(text.includes(expected), `paste this into PROTOCOL.md:\n${expected}`).toBe(true);
});
