/**
 * CBOR for people: the bytes of every element on the left, what they mean on the right.
 *
 * Unlike cbor.ts this walk accepts what it can, so that damaged bytes can be looked at: it goes as
 * far as they make sense and says where and why it stopped. Nothing may be decided by it.
 */
import { toHex } from './bytes.ts';

/** The name of a map entry, and what its value means beyond its bytes, if anything. */
export type Label = Readonly<{ name: string; meaning?: string | undefined }>;

/** The label of a map entry by the map keys that lead to it; undefined adds nothing. */
export type Labels = (path: readonly number[]) => Label | undefined;

/** Lines of text, and what stopped the walk (undefined: it reached the end). */
export type Annotation = Readonly<{ lines: readonly string[]; fault: string | undefined }>;

/** Annotates one CBOR item, for example a payload. */
export function annotate(bytes: Uint8Array, labels: Labels): Annotation {
  return run(bytes, (walk) => walk.item({ depth: 0, path: [], label: undefined, labels }));
}

/** Annotates a COSE_Sign1 and, inside it, the protected header and the payload. */
export function annotateEnvelope(bytes: Uint8Array, payloadLabels: Labels): Annotation {
  return run(bytes, (walk) => walk.envelope(payloadLabels));
}

/** Where the hex ends and the meaning begins. */
const MEANING_COLUMN = 48;
const CONTENT_BYTES_PER_LINE = 16;
/** The walk recurses; no object of ours nests deeper than half of this. */
const DEPTH_MAX = 16;

type Place = Readonly<{
  depth: number;
  path: readonly number[];
  label: Label | undefined;
  labels: Labels;
  /** Hex of the map key, which stands on the line of its value. */
  key?: string;
}>;

type Head = Readonly<{ major: number; argument: bigint; hex: string }>;

const HEADERS: Labels = ([number, ...rest]) =>
  rest.length > 0
    ? undefined
    : number === 1
      ? { name: 'alg' }
      : number === 4
        ? { name: 'kid' }
        : undefined;

/** The walk stops here; it never leaves this file. */
class Stop extends Error {}

function run(bytes: Uint8Array, start: (walk: Walk) => void): Annotation {
  const lines: string[] = [];
  const walk = walkOver(bytes, lines, 0, bytes.length);
  try {
    start(walk);
    walk.end();
    return { lines, fault: undefined };
  } catch (error) {
    if (!(error instanceof Stop)) throw error;
    return { lines, fault: error.message };
  }
}

type Walk = Readonly<{
  item: (place: Place) => void;
  envelope: (payloadLabels: Labels) => void;
  end: () => void;
}>;

/** A walk over bytes[from, to) that adds its lines to `lines`. */
function walkOver(bytes: Uint8Array, lines: string[], from: number, to: number): Walk {
  let at = from;

  function head(): Head {
    const start = at;
    if (at >= to) throw new Stop(`ends early at byte ${at}`);
    const initial = bytes[at++]!;
    const info = initial & 31;
    let argument = BigInt(info);
    if (info >= 28) {
      const what = info === 31 ? 'indefinite length or break' : 'reserved length';
      throw new Stop(`${what} (${toHex(bytes.subarray(start, at))}) at byte ${start}`);
    }
    if (info >= 24) {
      const width = 1 << (info - 24);
      if (at + width > to) throw new Stop(`ends early at byte ${to}, inside a length`);
      argument = BigInt(`0x${toHex(bytes.subarray(at, at + width))}`);
      at += width;
    }
    return { major: initial >> 5, argument, hex: toHex(bytes.subarray(start, at)) };
  }

  /** The content of a string; what is there of one that ends early is shown before the stop. */
  function content(argument: bigint, depth: number): Uint8Array {
    const start = at;
    if (argument > BigInt(to - at)) {
      show(depth, '', bytes.subarray(start, to), `only ${to - start} of ${argument} bytes`);
      throw new Stop(`ends early at byte ${to}, inside a string that starts at byte ${start}`);
    }
    at += Number(argument);
    return bytes.subarray(start, at);
  }

  function show(depth: number, heads: string, tail: Uint8Array, meaning: string): void {
    const indent = '  '.repeat(depth);
    const first = toHex(tail.subarray(0, CONTENT_BYTES_PER_LINE));
    const left = [indent + heads, first].filter((part) => part !== '').join(' ');
    lines.push(`${left.padEnd(MEANING_COLUMN - 1)} ${meaning}`.trimEnd());
    for (let i = CONTENT_BYTES_PER_LINE; i < tail.length; i += CONTENT_BYTES_PER_LINE) {
      lines.push(`${indent}   ${toHex(tail.subarray(i, i + CONTENT_BYTES_PER_LINE))}`);
    }
  }

  function item(place: Place): void {
    const { depth, path, label, labels, key } = place;
    if (depth > DEPTH_MAX) throw new Stop(`nested too deep at byte ${at}`);
    const start = at;
    const { major, argument, hex } = head();
    const heads = key === undefined ? hex : `${key} ${hex}`;
    const say = (what: string) => {
      const named = label === undefined ? what : `${label.name}: ${what}`;
      return label?.meaning === undefined ? named : `${named} = ${label.meaning}`;
    };
    switch (major) {
      case 0:
        return show(depth, heads, NOTHING, say(`${argument}`));
      case 1:
        return show(depth, heads, NOTHING, say(`${-1n - argument}`));
      case 2: {
        const what = argument === 1n ? '1 byte' : `${argument} bytes`;
        if (argument > BigInt(to - at)) show(depth, heads, NOTHING, say(what));
        const bytesOf = content(argument, depth + 1);
        return show(depth, heads, bytesOf, say(what));
      }
      case 3: {
        if (argument > BigInt(to - at)) show(depth, heads, NOTHING, say(`text of ${argument}`));
        const text = content(argument, depth + 1);
        return show(depth, heads, text, say(quoted(text)));
      }
      case 4:
        show(depth, heads, NOTHING, say(`array of ${argument}`));
        for (let i = 0n; i < argument; i++) {
          item({ depth: depth + 1, path, label: undefined, labels });
        }
        return;
      case 5:
        show(depth, heads, NOTHING, say(`map of ${argument}`));
        for (let i = 0n; i < argument; i++) entry(place);
        return;
      case 6:
        show(depth, heads, NOTHING, say(`tag ${argument}`));
        return item({ depth: depth + 1, path, label: undefined, labels });
      default: {
        const simple = new Map([
          ['f4', 'false'],
          ['f5', 'true'],
          ['f6', 'null, which no object of ours carries'],
          ['f7', 'undefined, which no object of ours carries'],
        ]).get(toHex(bytes.subarray(start, at)));
        show(depth, heads, NOTHING, say(simple ?? 'a float or simple value, never ours'));
      }
    }
  }

  function entry({ depth, path, labels }: Place): void {
    const start = at;
    const { major, argument, hex } = head();
    if (major > 1) {
      at = start;
      item({ depth: depth + 1, path, label: { name: 'key, which should be an integer' }, labels });
      return item({ depth: depth + 1, path, label: undefined, labels });
    }
    const number = Number(major === 0 ? argument : -1n - argument);
    const inner = [...path, number];
    const known = labels(inner);
    const label = {
      name: known ? `${number} ${known.name}` : `${number}`,
      meaning: known?.meaning,
    };
    item({ depth: depth + 1, path: inner, label, labels, key: hex });
  }

  /** A byte string whose content is CBOR again. */
  function wrapped(name: string, labels: Labels): void {
    const start = at;
    const { major, argument, hex } = head();
    if (major !== 2) {
      at = start;
      return item({
        depth: 1,
        path: [],
        label: { name: `${name}, which should be bytes` },
        labels,
      });
    }
    show(1, hex, NOTHING, `${name}: ${argument} bytes`);
    const isWhole = argument <= BigInt(to - at);
    const stop = isWhole ? at + Number(argument) : to;
    if (stop > at) {
      const inside = walkOver(bytes, lines, at, stop);
      inside.item({ depth: 2, path: [], label: undefined, labels });
      inside.end();
    }
    if (!isWhole) throw new Stop(`ends early at byte ${to}, inside the ${name}`);
    at = stop;
  }

  return {
    item,
    envelope(payloadLabels) {
      const tag = head();
      show(0, tag.hex, NOTHING, `tag ${tag.argument}${tag.argument === 18n ? ': COSE_Sign1' : ''}`);
      const array = head();
      show(0, array.hex, NOTHING, `array of ${array.argument}`);
      wrapped('protected header', HEADERS);
      item({ depth: 1, path: [], label: { name: 'unprotected header' }, labels: HEADERS });
      wrapped('payload', payloadLabels);
      item({ depth: 1, path: [], label: { name: 'signature' }, labels: HEADERS });
    },
    end() {
      if (at < to) throw new Stop(`${to - at} bytes after the end, at byte ${at}`);
    },
  };
}

const NOTHING = new Uint8Array();

/** Text in quotes, with what cannot be seen written as an escape. */
function quoted(bytes: Uint8Array): string {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    return JSON.stringify(text).replace(
      /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/gu,
      (hidden) => `\\u{${hidden.codePointAt(0)!.toString(16)}}`,
    );
  } catch {
    return 'text that is not UTF-8';
  }
}
