/**
 * Every payment of a run by its id, and what became of it, to be held against the books at the end.
 *
 * Sixteen bytes of id and one of outcome each, in large pieces, and a table of hashes when they are
 * looked up: a million payments are 22 MB and not the 200 that strings in a map would take.
 */
import assert from 'node:assert/strict';
import { fromHex, toHex } from '../../src/bytes.ts';
import { FLEET_PAYMENTS_MAX } from '../../src/limits.ts';

/** What a device was told at last: nothing, paid, or that no money moved. */
export const ENDS = ['open', 'paid', 'refused'] as const;
export type End = (typeof ENDS)[number];

const ID_BYTES = 16;
/** Bytes of one payment in a message. */
export const ROW = ID_BYTES + 1;

/** Writes rows one after the other. */
export function createRows(): Readonly<{
  add: (id: string, end: End) => void;
  /** All since the last time. */
  take: () => Uint8Array;
}> {
  let bytes = new Uint8Array(ROW * 64);
  let length = 0;
  return {
    add(id, end) {
      if (length + ROW > bytes.length) {
        const more = new Uint8Array(bytes.length * 2);
        more.set(bytes);
        bytes = more;
      }
      bytes.set(fromHex(id), length);
      bytes[length + ID_BYTES] = ENDS.indexOf(end);
      length += ROW;
    },
    take() {
      const taken = bytes.slice(0, length);
      length = 0;
      return taken;
    },
  };
}

/** A movement of money in the books: of which payment, and how much reached the payee. */
export type Moved = Readonly<{ id: string; minor: bigint }>;

/** What devices were told beside what the books say; empty lists mean that both agree. */
export type Comparison = Readonly<{
  /** Payments for which money moved more than once. */
  twice: number;
  /** Told to be paid, and no money moved. */
  unpaid: number;
  /** Money moved for what was refused. */
  refusedButMoved: number;
  /** No final word, although money moved; and no word, and none moved. */
  openMoved: number;
  openUnmoved: number;
  /** Money moved for what no device asked. */
  foreign: number;
  /** Other amounts than were asked. */
  wrongAmounts: number;
  /** Ids of payments that any of this is about, the first few. */
  examples: readonly string[];
}>;

export type Payments = Readonly<{
  /** Takes in rows. */
  add: (rows: Uint8Array) => void;
  count: () => number;
  compare: (moved: Iterable<Moved>, minor: bigint) => Comparison;
}>;

export function createPayments(): Payments {
  const pieces: Uint8Array[] = [];
  let count = 0;
  return {
    add(rows) {
      assert(rows.length % ROW === 0, 'whole rows');
      count += rows.length / ROW;
      assert(count <= FLEET_PAYMENTS_MAX * 2, 'as many as were planned');
      if (rows.length > 0) pieces.push(rows);
    },
    count: () => count,
    compare(moved, minor) {
      const all = new Uint8Array(count * ROW);
      let at = 0;
      for (const piece of pieces) {
        all.set(piece, at);
        at += piece.length;
      }
      return compareAll(all, count, moved, minor);
    },
  };
}

const EXAMPLES_MAX = 5;

function compareAll(
  rows: Uint8Array,
  count: number,
  moved: Iterable<Moved>,
  minor: bigint,
): Comparison {
  const find = indexOf(rows, count);
  const times = new Uint8Array(count);
  const found = {
    ...{ twice: 0, unpaid: 0, refusedButMoved: 0, openMoved: 0, openUnmoved: 0 },
    ...{ foreign: 0, wrongAmounts: 0 },
  };
  const examples: string[] = [];
  const note = (what: keyof typeof found, id: string) => {
    found[what]++;
    if (examples.length < EXAMPLES_MAX) examples.push(id);
  };
  for (const { id, minor: own } of moved) {
    const row = find(fromHex(id));
    if (row === undefined) {
      note('foreign', id);
      continue;
    }
    if (own !== minor) note('wrongAmounts', id);
    if (times[row] === 1) note('twice', id);
    if (times[row]! < 2) times[row]!++;
  }
  for (let row = 0; row < count; row++) {
    const id = () => toHex(rows.subarray(row * ROW, row * ROW + ID_BYTES));
    const end = ENDS[rows[row * ROW + ID_BYTES]!]!;
    const isMoved = times[row]! > 0;
    if (end === 'paid' && !isMoved) note('unpaid', id());
    if (end === 'refused' && isMoved) note('refusedButMoved', id());
    if (end === 'open') note(isMoved ? 'openMoved' : 'openUnmoved', id());
  }
  return Object.freeze({ ...found, examples: Object.freeze(examples) });
}

/** A table of rows by the first bytes of their ids, which are digests and so already spread. */
function indexOf(rows: Uint8Array, count: number): (id: Uint8Array) => number | undefined {
  let size = 1024;
  while (size < count * 2) size *= 2;
  const slots = new Int32Array(size).fill(-1);
  const isAt = (row: number, id: Uint8Array) => {
    for (let i = 0; i < ID_BYTES; i++) if (rows[row * ROW + i] !== id[i]) return false;
    return true;
  };
  const slotOf = (id: Uint8Array) =>
    ((id[0]! | (id[1]! << 8) | (id[2]! << 16) | (id[3]! << 24)) >>> 0) % size;
  const slotFor = (id: Uint8Array) => {
    let slot = slotOf(id);
    while (slots[slot] !== -1 && !isAt(slots[slot]!, id)) slot = (slot + 1) % size;
    return slot;
  };
  for (let row = 0; row < count; row++) {
    const slot = slotFor(rows.subarray(row * ROW, row * ROW + ID_BYTES));
    if (slots[slot] === -1) slots[slot] = row;
  }
  return (id) => {
    const row = slots[slotFor(id)]!;
    return row === -1 ? undefined : row;
  };
}
