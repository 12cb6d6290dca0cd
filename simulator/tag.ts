/** Tags as they lie before people: NDEF messages with one record (NFC Forum NDEF 1.0 §3.2). */
import { concat, utf8 } from '../src/bytes.ts';

/** An NDEF message with one URI record (URI RTD 1.0), short when it fits. */
export function uriTag(uri: string): Uint8Array {
  const payload = concat(Uint8Array.of(0), utf8(uri));
  const { length } = payload;
  if (length <= 255) return concat(Uint8Array.of(0xd1, 1, length), utf8('U'), payload);
  const size = new Uint8Array(4);
  new DataView(size.buffer).setUint32(0, length);
  return concat(Uint8Array.of(0xc1, 1), size, utf8('U'), payload);
}
