/**
 * A tar archive of a few small texts: POSIX ustar (IEEE Std 1003.1, pax, "ustar Interchange
 * Format"), which every tar reads.
 *
 * Written here and not by the system's tar: a program of one file runs with nothing beside it but
 * Node, and texts that are in memory need no folder that would have to be wiped.
 */
import assert from 'node:assert/strict';
import { utf8 } from './bytes.ts';

export type TarEntry = Readonly<{ name: string; text: string }>;

/** Regular files with mode 0600. A name has at most 100 characters, A-Z a-z 0-9 . _ - and /. */
export function tarOf(entries: readonly TarEntry[], atS: number): Uint8Array {
  const blocks = entries.flatMap(({ name, text }) => {
    const bytes = utf8(text);
    const padded = new Uint8Array(Math.ceil(bytes.length / BLOCK) * BLOCK);
    padded.set(bytes);
    return [headerOf(name, bytes.length, atS), padded];
  });
  // The end is two blocks of zeros.
  const size = blocks.reduce((sum, { length }) => sum + length, 0) + 2 * BLOCK;
  const archive = new Uint8Array(size);
  let at = 0;
  for (const block of blocks) {
    archive.set(block, at);
    at += block.length;
  }
  return archive;
}

const BLOCK = 512;
/** Where the checksum stands, which counts as blanks while it is made. */
const CHECKSUM = 148;

function headerOf(name: string, size: number, atS: number): Uint8Array {
  const isName = /^\w[\w.-]*(\/\w[\w.-]*)*$/.test(name) && name.length <= 100;
  assert(isName, 'a name that tar can hold');
  const header = new Uint8Array(BLOCK);
  const put = (at: number, text: string) => header.set(utf8(text), at);
  const octal = (value: number, digits: number) => {
    const text = Math.floor(value).toString(8);
    assert(text.length <= digits, 'a number that tar can hold');
    return `${text.padStart(digits, '0')}\0`;
  };
  put(0, name);
  put(100, octal(0o600, 7));
  put(108, octal(0, 7)); // Owner and group: whoever unpacks it.
  put(116, octal(0, 7));
  put(124, octal(size, 11));
  put(136, octal(atS, 11));
  put(CHECKSUM, ' '.repeat(8));
  put(156, '0'); // A regular file.
  put(257, 'ustar\0');
  put(263, '00');
  const sum = header.reduce((total, byte) => total + byte, 0);
  put(CHECKSUM, `${octal(sum, 6)} `);
  return header;
}
