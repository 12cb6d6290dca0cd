// Method: codes are drawn by surface/code.ts, so the picture is real pixels; broken pictures are
// made from a good one by changing its bytes.
import fc from 'fast-check';
import { deflateSync } from 'node:zlib';
import { PNG } from 'pngjs';
import { describe, expect, test } from 'vitest';
import { concat, utf8 } from '../../../src/bytes.ts';
import { PICTURE_BYTES_MAX } from '../../../src/limits.ts';
import { codeWasm } from '../../../src/node/wasm.ts';
import { createCodeReader } from '../../../device/sense/look.ts';
import { orderUri } from '../../../device/sense/uri.ts';
import { makeCode } from '../../../device/surface/code.ts';
import { codePng } from '../../../device/surface/picture.ts';
import { reasonOfAsync, sealOrder } from '../stage.ts';

const read = createCodeReader(codeWasm);
const PAYEE = 'saytap://payee/luckin-coffee?amount=CNY6.00';
const good = codePng(makeCode(PAYEE), 4);

/** Pictures side by side on white, with space between. */
function beside(...pictures: readonly Uint8Array[]): Uint8Array {
  const parts = pictures.map((bytes) => PNG.sync.read(Buffer.from(bytes)));
  const width = parts.reduce((sum, one) => sum + one.width + 20, 0);
  const height = Math.max(...parts.map((one) => one.height));
  const whole = new PNG({ width, height });
  whole.data.fill(255);
  let x = 0;
  for (const part of parts) {
    PNG.bitblt(part, whole, 0, 0, part.width, part.height, x, 0);
    x += part.width + 20;
  }
  return Uint8Array.from(PNG.sync.write(whole));
}

function blank(width: number, height: number, shade = 255): Uint8Array {
  const png = new PNG({ width, height });
  png.data.fill(shade);
  return Uint8Array.from(PNG.sync.write(png));
}

describe('reads', () => {
  test('an order out of the pixels', async () => {
    const envelope = await sealOrder();
    const png = codePng(makeCode(orderUri(envelope)), 3);
    expect(await read(png)).toEqual({ kind: 'order', envelope });
  });

  test('a payee, at every size and also on a larger picture', async () => {
    const pointer = { kind: 'payee', payee: 'luckin-coffee', amount: 'CNY6.00' };
    for (const scale of [2, 4, 9])
      expect(await read(codePng(makeCode(PAYEE), scale))).toEqual(pointer);
    expect(await read(beside(blank(300, 300), good))).toEqual(pointer);
  });

  test('through dirt that its error correction covers, never as something else', async () => {
    const png = PNG.sync.read(Buffer.from(good));
    const middle = png.width >> 1;
    for (let y = middle; y < middle + 16; y++) {
      for (let x = middle; x < middle + 16; x++)
        png.data.fill(128, (y * png.width + x) * 4, (y * png.width + x) * 4 + 3);
    }
    expect(await read(Uint8Array.from(PNG.sync.write(png)))).toMatchObject({
      payee: 'luckin-coffee',
    });
  });

  test('the same code twice as one, two different codes as none', async () => {
    const other = codePng(makeCode('saytap://payee/noodle-bar'), 4);
    expect(await read(beside(good, good))).toMatchObject({ payee: 'luckin-coffee' });
    expect(await read(beside(good, other))).toBeUndefined();
    const web = codePng(makeCode('https://example.com'), 4);
    expect(await read(beside(good, web)), 'also when only one is ours').toBeUndefined();
  });

  test('nothing on a blank picture, and "foreign" for a code of others', async () => {
    expect(await read(blank(200, 200))).toBeUndefined();
    expect(await read(blank(1, 1, 0))).toBeUndefined();
    expect(await read(codePng(makeCode('https://example.com'), 4))).toEqual({ kind: 'foreign' });
  });
});

describe('refuses', () => {
  const header = (width: number, height: number, interlace = 0) => {
    const bytes = Uint8Array.from(good);
    new DataView(bytes.buffer).setUint32(16, width);
    new DataView(bytes.buffer).setUint32(20, height);
    bytes[28] = interlace;
    return bytes;
  };
  test.each<[string, Uint8Array, string]>([
    ['nothing', new Uint8Array(), 'malformed'],
    ['text', utf8('this is no picture at all, however long it may be'), 'malformed'],
    ['a JPEG', concat(Uint8Array.of(0xff, 0xd8, 0xff, 0xe0), new Uint8Array(100)), 'malformed'],
    ['only the signature', good.subarray(0, 8), 'malformed'],
    ['only the header', good.subarray(0, 33), 'malformed'],
    ['half of it', good.subarray(0, good.length >> 1), 'malformed'],
    ['all but its end', good.subarray(0, good.length - 20), 'malformed'],
    ['a header of 4 G × 4 G pixels', header(0xffff_ffff, 0xffff_ffff), 'too_large'],
    ['a header of 6,000 × 6,000 pixels', header(6_000, 6_000), 'too_large'],
    ['a header whose checksum is wrong', header(10, 10), 'malformed'],
    ['no width', header(0, 10), 'malformed'],
    [
      'a second header behind the first',
      concat(good.subarray(0, 33), good.subarray(8)),
      'malformed',
    ],
    ['an interlaced picture', header(100, 100, 1), 'malformed'],
    ['a file of 20 MB and a byte', new Uint8Array(PICTURE_BYTES_MAX + 1), 'too_large'],
    ['a code with a broken link of ours', codePng(makeCode('saytap://payee/?'), 4), 'malformed'],
  ])('%s', async (_why, png, reason) => {
    const from = performance.now();
    expect(await reasonOfAsync(() => read(png))).toBe(reason);
    expect(performance.now() - from, 'milliseconds').toBeLessThan(1_000);
  });

  test('a small interlaced file that unpacks to far more than it says', async () => {
    const chunk = (type: string, data: Uint8Array) => {
      const body = concat(utf8(type), data);
      const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)];
      length.writeUInt32BE(data.length);
      check.writeUInt32BE(crc(body));
      return concat(length, body, check);
    };
    const ihdr = Uint8Array.of(0, 0, 0, 8, 0, 0, 0, 8, 8, 0, 0, 0, 1);
    const bomb = Uint8Array.from(deflateSync(new Uint8Array(64_000_000)));
    const png = concat(
      good.subarray(0, 8),
      chunk('IHDR', ihdr),
      chunk('IDAT', bomb),
      chunk('IEND', new Uint8Array()),
    );
    const before = process.memoryUsage().arrayBuffers;
    expect(await reasonOfAsync(() => read(png))).toBe('malformed');
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(10_000_000);
  });
});

/** CRC-32 of PNG (§5.5). */
function crc(bytes: Uint8Array): number {
  let sum = 0xffff_ffff;
  for (const byte of bytes) {
    sum ^= byte;
    for (let i = 0; i < 8; i++) sum = (sum >>> 1) ^ (sum & 1 ? 0xedb8_8320 : 0);
  }
  return (sum ^ 0xffff_ffff) >>> 0;
}

test('noise and damaged pictures end in what was there, nothing, or a code', async () => {
  const pointer = JSON.stringify(await read(good));
  const damaged = fc
    .tuple(fc.nat({ max: good.length - 1 }), fc.nat({ max: 255 }))
    .map(([at, byte]) => good.with(at, byte));
  await fc.assert(
    fc.asyncProperty(fc.oneof(damaged, fc.uint8Array({ maxLength: 200 })), async (bytes) => {
      let found: string | undefined;
      const reason = await reasonOfAsync(async () => {
        found = JSON.stringify(await read(new Uint8Array(bytes)));
      });
      expect(['accepted', 'malformed', 'too_large']).toContain(reason);
      expect([undefined, pointer]).toContain(found);
    }),
    { numRuns: 150 },
  );
});
