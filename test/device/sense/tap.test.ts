// Method: hex of other people's NDEF test suites first (nothing but PaymentError may come out, and
// a message that reads must not read when cut), then our own two records, then noise.
import fc from 'fast-check';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { concat, fromHex, utf8 } from '../../../src/bytes.ts';
import { NDEF_BYTES_MAX, NDEF_RECORDS_MAX } from '../../../src/limits.ts';
import { ORDER_MIME, readNdef, readTag } from '../../../device/sense/tap.ts';
import { orderUri } from '../../../device/sense/uri.ts';
import { ndef, reasonOf, sealOrder, uriTag } from '../stage.ts';

const told = process.env['SAYTAP_VECTORS'];
const folder = told ?? join(import.meta.dirname, '../../../../shared/vectors');
const isMissing = told === undefined && !existsSync(folder);
const WHY = '(skipped when SAYTAP_VECTORS is unset and ../shared/vectors is absent)';

function messages(): readonly Uint8Array[] {
  const text = readFileSync(join(folder, 'ndef_hex.json'), 'utf8');
  return (JSON.parse(text) as { hex: string }[]).map(({ hex }) => fromHex(hex));
}

describe('NDEF of other projects', () => {
  test.skipIf(isMissing)(`every message reads or is refused by code ${WHY}`, () => {
    const counts = { accepted: 0, malformed: 0, too_large: 0 };
    for (const message of messages()) {
      const reason = reasonOf(() => readNdef(message));
      expect(Object.keys(counts)).toContain(reason);
      counts[reason as keyof typeof counts]++;
      const pointer = reasonOf(() => readTag(message));
      expect(['accepted', 'malformed', 'too_large']).toContain(pointer);
    }
    expect(counts.accepted, 'the good ones do read').toBeGreaterThan(20);
    expect(counts.malformed).toBeGreaterThan(20);
  });

  test.skipIf(isMissing)(`no message that reads also reads when cut or extended ${WHY}`, () => {
    let cuts = 0;
    for (const message of messages()) {
      if (reasonOf(() => readNdef(message)) !== 'accepted') continue;
      const lengths =
        message.length < 400
          ? Array.from({ length: message.length }, (_, i) => i)
          : [0, 1, 2, 3, message.length >> 1, message.length - 1];
      for (const length of lengths) {
        expect(reasonOf(() => readNdef(message.subarray(0, length)))).toBe('malformed');
        cuts++;
      }
      const longer = concat(message, Uint8Array.of(0));
      expect(['malformed', 'too_large']).toContain(reasonOf(() => readNdef(longer)));
    }
    expect(cuts).toBeGreaterThan(200);
  });
});

describe('our own tags', () => {
  test('an order as a MIME record, short or long', async () => {
    const envelope = await sealOrder();
    expect(readTag(ndef(2, ORDER_MIME, envelope))).toEqual({ kind: 'order', envelope });
    const long = new Uint8Array(300).fill(7);
    expect(readTag(ndef(2, ORDER_MIME, long))).toEqual({ kind: 'order', envelope: long });
  });

  test('an order and a payee as a URI record', async () => {
    const envelope = await sealOrder();
    expect(readTag(uriTag(orderUri(envelope)))).toEqual({ kind: 'order', envelope });
    expect(readTag(uriTag('saytap://payee/luckin-coffee?amount=CNY6.00'))).toEqual({
      kind: 'payee',
      payee: 'luckin-coffee',
      amount: 'CNY6.00',
    });
  });

  test('the first record of ours counts, wherever it stands', () => {
    const other = ndef(1, 'T', utf8('\u0002enhello'));
    const ours = uriTag('saytap://payee/cafe');
    const both = concat(other.with(0, other[0]! & ~0x40), ours.with(0, ours[0]! & ~0x80));
    expect(readTag(both)).toEqual({ kind: 'payee', payee: 'cafe', amount: undefined });
  });

  test.each<[string, Uint8Array]>([
    ['a web link', uriTag('https://example.com')],
    [
      'our link behind an abbreviation',
      ndef(1, 'U', Uint8Array.from([3, ...utf8('saytap://payee/cafe')])),
    ],
    ['an empty URI', ndef(1, 'U', new Uint8Array())],
    ['text', ndef(1, 'T', utf8('\u0002ensaytap://payee/cafe'))],
    ['another MIME type', ndef(2, 'application/json', utf8('{}'))],
    ['our MIME type as an external type', ndef(4, ORDER_MIME, utf8('x'))],
    ['an empty record', fromHex('d00000')],
  ])('foreign: %s', (_why, message) => {
    expect(readTag(message)).toEqual({ kind: 'foreign' });
  });
});

describe('refused', () => {
  const record = (flags: number) => Uint8Array.of(flags, 1, 0, 0x55);
  test.each<[string, Uint8Array, string]>([
    ['nothing', new Uint8Array(), 'malformed'],
    ['no first mark', record(0x51), 'malformed'],
    ['no last mark', record(0x91), 'malformed'],
    ['a second first', concat(record(0x91), record(0xd1)), 'malformed'],
    ['something after the last', concat(record(0xd1), record(0x51)), 'malformed'],
    ['a chunk', record(0xf1), 'malformed'],
    ['the unchanged type of a chunk', fromHex('d60000'), 'malformed'],
    ['the reserved format', record(0xd7), 'malformed'],
    ['an empty record with a payload', fromHex('d0000141'), 'malformed'],
    ['an unknown record with a type', record(0xd5), 'malformed'],
    ['a well-known record without one', fromHex('d10000'), 'malformed'],
    ['a payload that claims 4 GiB', fromHex('c101ffffffff55'), 'malformed'],
    ['a type longer than the message', fromHex('d1ff0055'), 'malformed'],
    ['an id longer than the message', fromHex('d90100ff55'), 'malformed'],
    ['too many bytes', new Uint8Array(NDEF_BYTES_MAX + 1), 'too_large'],
    ['a link that is not UTF-8', ndef(1, 'U', Uint8Array.of(0, 0xff)), 'malformed'],
    ['a broken link of ours', uriTag('saytap://payee/'), 'malformed'],
  ])('%s', (_why, message, reason) => {
    expect(reasonOf(() => readTag(message))).toBe(reason);
  });

  test('more records than the limit, and not one fewer', () => {
    const many = (count: number) =>
      concat(
        ...Array.from({ length: count }, (_, i) =>
          record(0x11 | (i === 0 ? 0x80 : 0) | (i === count - 1 ? 0x40 : 0)),
        ),
      );
    expect(readNdef(many(NDEF_RECORDS_MAX))).toHaveLength(NDEF_RECORDS_MAX);
    expect(reasonOf(() => readNdef(many(NDEF_RECORDS_MAX + 1)))).toBe('malformed');
  });
});

describe('noise', () => {
  const known = ['accepted', 'malformed', 'too_large'];
  test('random and damaged bytes end in a pointer or a code', () => {
    const good = uriTag('saytap://payee/luckin-coffee?amount=CNY6.00');
    const damaged = fc
      .tuple(fc.nat({ max: good.length - 1 }), fc.nat({ max: 255 }))
      .map(([at, byte]) => good.with(at, byte));
    fc.assert(
      fc.property(fc.oneof(damaged, fc.uint8Array({ maxLength: 80 })), (bytes) => {
        expect(known).toContain(reasonOf(() => readTag(new Uint8Array(bytes))));
      }),
      { numRuns: 3_000 },
    );
  });

  test('what is written as records is read as the same records', () => {
    const part = fc.record({
      format: fc.constantFrom(1, 2, 3, 4),
      type: fc.string({ unit: fc.constantFrom(...'abU/.+'), minLength: 1, maxLength: 40 }),
      payload: fc.uint8Array({ maxLength: 300 }).map((bytes) => new Uint8Array(bytes)),
    });
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: NDEF_RECORDS_MAX }), (parts) => {
        const bytes = parts.map(({ format, type, payload }, i) => {
          const one = ndef(format, type, payload);
          const place = (i === 0 ? 0x80 : 0) | (i === parts.length - 1 ? 0x40 : 0);
          return one.with(0, (one[0]! & 0x3f) | place);
        });
        expect(readNdef(concat(...bytes))).toEqual(parts);
      }),
      { numRuns: 300 },
    );
  });
});
