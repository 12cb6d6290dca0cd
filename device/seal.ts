/**
 * A seal over the values of a row, kept in its column `seal`, so that a byte that changed on the
 * disk is found. It is no signature: it guards against worn cards and power cuts, not against a
 * person who can write the file, who could as well take the key beside it.
 */
import { hash } from 'node:crypto';
import { bytesEqual, concat, utf8 } from '../src/bytes.ts';
import type { SqlRow } from '../src/platform.ts';

/** The seal of a row: of all its values with their columns' names, in whatever order. */
export function sealOf(row: SqlRow): Uint8Array {
  const names = Object.keys(row).filter((name) => name !== 'seal');
  const parts: Uint8Array[] = [];
  // Text is encoded in one piece as far as it goes: a row is sealed at each of its changes.
  let text = '';
  for (const name of names.sort()) {
    const value = row[name]!;
    if (value instanceof Uint8Array) {
      parts.push(utf8(`${text}${name} blob ${value.length}:`), value);
      text = '';
    } else {
      const written = String(value);
      const type = value === null ? 'null' : typeof value;
      text += `${name} ${type} ${lengthOf(written)}:${written}`;
    }
  }
  parts.push(utf8(text));
  return Uint8Array.from(hash('sha256', concat(...parts), 'buffer').subarray(0, SEAL_BYTES));
}

/** Whether a row still holds what it was sealed with. */
export function isWhole(row: SqlRow): boolean {
  const { seal } = row;
  return seal instanceof Uint8Array && bytesEqual(seal, sealOf(row));
}

/** One damaged row in 2^64 would pass. */
const SEAL_BYTES = 8;

/** In bytes of UTF-8. */
function lengthOf(text: string): number {
  return ASCII.test(text) ? text.length : utf8(text).length;
}

const ASCII = /^[ -~]*$/;
