/**
 * A tapped tag: its NDEF message, read strictly.
 *
 * The libraries accept messages that end in mid-record, so the record walk is our own: first and
 * last are marked, every length is inside the message, nothing follows, and chunks are refused.
 * A tap only asks; that a tag is present is never consent.
 */
import { PaymentError } from '../../src/errors.ts';
import { NDEF_BYTES_MAX, NDEF_RECORDS_MAX } from '../../src/limits.ts';
import type { Pointer } from './sensed.ts';
import { readUri } from './uri.ts';

/** MIME type of a record that holds a signed Order. */
export const ORDER_MIME = 'application/vnd.saytap.order+cose';

/** `format` is the Type Name Format (NFC Forum NDEF 1.0 §3.2.6), `type` raw bytes as Latin-1. */
export type NdefRecord = Readonly<{ format: number; type: string; payload: Uint8Array }>;

/** What a tag points at. Throws `malformed` or `too_large` for a message that is not NDEF. */
export function readTag(message: Uint8Array): Pointer {
  for (const { format, type, payload } of readNdef(message)) {
    if (format === MEDIA && type === ORDER_MIME) return { kind: 'order', envelope: payload };
    if (format === WELL_KNOWN && type === 'U' && payload.length > 0) {
      // URI RTD 1.0 §3.2.2: 0 is "no abbreviation"; no abbreviation stands for our scheme.
      if (payload[0] !== 0) continue;
      const pointer = readUri(decodeText(payload.subarray(1)));
      if (pointer.kind !== 'foreign') return pointer;
    }
  }
  return { kind: 'foreign' };
}

/** The records of an NDEF message (NFC Forum NDEF 1.0 §3.2). */
export function readNdef(message: Uint8Array): readonly NdefRecord[] {
  if (message.length > NDEF_BYTES_MAX) {
    throw new PaymentError('too_large', `a tag of ${message.length} bytes`);
  }
  const records: NdefRecord[] = [];
  let at = 0;
  const take = (count: number): Uint8Array => {
    if (count > message.length - at) throw malformed('ends in the middle of a record');
    at += count;
    return message.subarray(at - count, at);
  };

  for (let isLast = false; !isLast;) {
    const flags = take(1)[0]!;
    const isFirst = (flags & 0x80) !== 0;
    isLast = (flags & 0x40) !== 0;
    const format = flags & 0x07;
    if (isFirst !== (records.length === 0)) throw malformed('begins in the wrong place');
    if ((flags & 0x20) !== 0 || format === UNCHANGED) throw malformed('is in chunks');
    if (format === RESERVED) throw malformed('has a record of reserved format');
    if (records.length >= NDEF_RECORDS_MAX) throw malformed('has too many records');

    const typeLength = take(1)[0]!;
    const payloadLength =
      (flags & 0x10) !== 0 ? take(1)[0]! : take(4).reduce((sum, byte) => sum * 256 + byte, 0);
    const idLength = (flags & 0x08) !== 0 ? take(1)[0]! : 0;
    // §3.2.6: an empty record has nothing, an unknown one no type, all others have one.
    if (format === EMPTY && typeLength + payloadLength + idLength > 0) {
      throw malformed('has an empty record that is not empty');
    }
    const hasType = format !== EMPTY && format !== UNKNOWN;
    if (hasType !== typeLength > 0) throw malformed('has a record without type, or with one');

    const type = String.fromCharCode(...take(typeLength));
    take(idLength);
    records.push({ format, type, payload: take(payloadLength) });
  }
  if (at !== message.length) throw malformed('goes on after its last record');
  return records;
}

const EMPTY = 0;
const WELL_KNOWN = 1;
const MEDIA = 2;
const UNKNOWN = 5;
const UNCHANGED = 6;
const RESERVED = 7;

function decodeText(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new PaymentError('malformed', 'a link that is not UTF-8', { cause });
  }
}

function malformed(what: string): PaymentError {
  return new PaymentError('malformed', `the tag ${what}`);
}
