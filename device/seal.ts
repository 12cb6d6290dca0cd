/**
 * A seal over the values of a row, kept in its column `seal`, so that a byte that changed on the
 * disk is found. It is no signature: it guards against worn cards and power cuts, not against a
 * person who can write the file, who could as well take the key beside it.
 */
import { hash } from 'node:crypto';
import { bytesEqual, concat, utf8 } from '../src/bytes.ts';
import type { SqlRow, SqlValue } from '../src/platform.ts';

/** The seal of a row: of all its values with their columns' names, in whatever order. */
export function sealOf(row: SqlRow): Uint8Array {
  const names = Object.keys(row).filter((name) => name !== 'seal');
  const parts = names.sort().flatMap((name) => {
    const [type, bytes] = written(row[name]!);
    return [utf8(`${name} ${type} ${bytes.length}:`), bytes];
  });
  return Uint8Array.from(hash('sha256', concat(...parts), 'buffer').subarray(0, SEAL_BYTES));
}

/** Whether a row still holds what it was sealed with. */
export function isWhole(row: SqlRow): boolean {
  const { seal } = row;
  return seal instanceof Uint8Array && bytesEqual(seal, sealOf(row));
}

/** One damaged row in 2^64 would pass. */
const SEAL_BYTES = 8;

function written(value: SqlValue): readonly [type: string, bytes: Uint8Array] {
  if (value instanceof Uint8Array) return ['blob', value];
  return [value === null ? 'null' : typeof value, utf8(String(value))];
}
