/**
 * Looking at a code: from the pixels of a PNG to what its QR code says.
 *
 * zxing-wasm read every distorted frame that was tried and misread none. Its wasm is handed in,
 * because by itself it would fetch it from the network. Size is checked in the header before a
 * single pixel is unpacked: a small file can claim gigabytes.
 */
import { PNG } from 'pngjs';
import { prepareZXingModule, readBarcodes } from 'zxing-wasm/reader';
import { PaymentError } from '../../src/errors.ts';
import { PICTURE_BYTES_MAX, PICTURE_PIXELS_MAX } from '../../src/limits.ts';
import type { Pointer } from './sensed.ts';
import { readUri } from './uri.ts';

/** What is in the one code of a picture; undefined when there is none, or more than one. */
export type CodeReader = (png: Uint8Array) => Promise<Pointer | undefined>;

/** A reader on the bytes of zxing_reader.wasm, which it asks for with the first picture. */
export function createCodeReader(wasm: () => Uint8Array): CodeReader {
  let isReady = false;
  return async (png) => {
    if (!isReady) {
      const wasmBinary = Uint8Array.from(wasm()).buffer;
      await prepareZXingModule({ overrides: { wasmBinary }, fireImmediately: true });
      isReady = true;
    }
    const { width, height, data } = readPng(png);
    const pixels = new Uint8ClampedArray(data.buffer, data.byteOffset, data.byteLength);
    const codes = await readBarcodes({ width, height, data: pixels, colorSpace: 'srgb' } as never, {
      formats: ['QRCode'],
      tryHarder: true,
    });
    const texts = new Set(codes.filter(({ isValid }) => isValid).map(({ text }) => text));
    const [text] = texts;
    return texts.size === 1 && text !== undefined ? readUri(text) : undefined;
  };
}

function readPng(png: Uint8Array): PNG {
  if (png.length > PICTURE_BYTES_MAX) {
    throw new PaymentError('too_large', `a picture of ${png.length} bytes`);
  }
  // PNG §11.2.2: signature, then IHDR with width and height as 32-bit integers.
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength);
  if (png.length < 33 || view.getUint32(0) !== 0x89504e47 || view.getUint32(12) !== 0x49484452) {
    throw new PaymentError('malformed', 'not a PNG picture');
  }
  if (view.getUint32(16) * view.getUint32(20) > PICTURE_PIXELS_MAX) {
    throw new PaymentError('too_large', 'a picture with too many pixels');
  }
  // pngjs unpacks an interlaced picture without a limit, whatever its header says.
  if (view.getUint8(28) !== 0) throw new PaymentError('malformed', 'an interlaced PNG picture');
  requireOneHeader(view);
  try {
    return PNG.sync.read(Buffer.from(png));
  } catch (cause) {
    throw new PaymentError('malformed', 'a damaged PNG picture', { cause });
  }
}

/** PNG §5.6: one IHDR, the first chunk. pngjs would obey a second one, of any size. */
function requireOneHeader(view: DataView): void {
  for (let at = 33; at + 12 <= view.byteLength; at += 12 + view.getUint32(at)) {
    if (view.getUint32(at + 4) === 0x49484452) {
      throw new PaymentError('malformed', 'a PNG picture with two headers');
    }
  }
}
