/**
 * A YAML text in which every value knows its line and column, and every fault is told at once.
 *
 * All scalars are texts here (YAML's failsafe schema): what looks like a number is an amount, a
 * time or a count only to whoever reads it as one, so `12.50` keeps its zero and `no` is a word.
 */
import { type Document, LineCounter, isAlias, isMap, isScalar, isSeq, parseDocument } from 'yaml';
import type { Node, Range } from 'yaml';
import { SCENARIO_BYTES_MAX, SCENARIO_DEPTH_MAX } from '../../src/limits.ts';
import { meant } from './nearest.ts';

/** Where something stands in a file; both count from 1. */
export type Place = Readonly<{ line: number; column: number }>;

export type Fault = Readonly<{ place: Place; text: string }>;

/** Collects what is wrong with one text. */
export type Faults = Readonly<{
  tell: (place: Place, text: string) => void;
  /** In the order of the text; of one place the first that was told. */
  all: () => readonly Fault[];
}>;

export function createFaults(): Faults {
  const found = new Map<string, Fault>();
  return Object.freeze({
    tell(place: Place, text: string) {
      const key = `${place.line}:${place.column}`;
      if (!found.has(key)) found.set(key, Object.freeze({ place, text }));
    },
    all: () =>
      [...found.values()].sort(
        (a, b) => a.place.line - b.place.line || a.place.column - b.place.column,
      ),
  });
}

/** A value of the text. */
export type Written = Nothing | Text | List | Fields;
export type Nothing = Readonly<{ kind: 'nothing'; place: Place }>;
export type Text = Readonly<{
  kind: 'text';
  text: string;
  place: Place;
  /** Where the nth (from 0) occurrence of `part` stands inside. */
  placeOf: (part: string, nth: number) => Place;
}>;
export type List = Readonly<{ kind: 'list'; items: readonly Written[]; place: Place }>;
export type Fields = Readonly<{ kind: 'fields'; entries: readonly Entry[]; place: Place }>;
export type Entry = Readonly<{ name: string; place: Place; value: Written }>;

/** The value that a YAML text says; undefined when it is no YAML, which is told. */
export function readSource(text: string, faults: Faults): Written | undefined {
  if (text.length > SCENARIO_BYTES_MAX) {
    faults.tell(START, `longer than ${SCENARIO_BYTES_MAX} characters: split the day into files`);
    return undefined;
  }
  const lines = new LineCounter();
  const document = parse(text, lines);
  if (document === 'too deep') {
    faults.tell(START, TOO_DEEP);
    return undefined;
  }
  const placeAt = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return Object.freeze({ line: Math.max(1, line), column: Math.max(1, col) });
  };
  for (const { code, message, pos } of document.errors) {
    faults.tell(placeAt(pos[0]), yamlFault(code, message));
  }
  // What follows the first broken line is read in ways that nobody meant.
  if (document.errors.length > 0) return undefined;
  let isBroken = false;
  const whole = read(document.contents, 0, 0);
  return isBroken ? undefined : whole;

  function read(node: Node | null, depth: number, at: number): Written {
    const range = (node as { range?: Range } | null)?.range;
    const place = placeAt(range?.[0] ?? at);
    if (depth > SCENARIO_DEPTH_MAX) {
      faults.tell(place, TOO_DEEP);
      return Object.freeze({ kind: 'nothing', place });
    }
    if (isAlias(node)) faults.tell(place, 'aliases (*name) are not allowed here: write it out');
    if (isScalar(node) && node.value !== '') {
      if (typeof node.value === 'string') return readText(node.value, range!, place);
      faults.tell(place, 'a tag (!) is not allowed here: write the text alone');
      isBroken = true;
    }
    if (isSeq(node)) {
      const items = node.items.map((item) => read(item as Node, depth + 1, at));
      return Object.freeze({ kind: 'list', items: Object.freeze(items), place });
    }
    if (!isMap(node)) return Object.freeze({ kind: 'nothing', place });
    const names = new Set<string>();
    const entries = node.items.flatMap((pair) => {
      const key = pair.key as Node;
      const start = (key as { range?: Range }).range?.[0] ?? range![0];
      if (!isScalar(key)) {
        faults.tell(placeAt(start), 'a name stands before the colon, not a list or a block');
        return [];
      }
      const name = String(key.value);
      // The parser's own look at this takes a minute for the names that fit into a file.
      if (names.has(name)) {
        faults.tell(placeAt(start), 'this name stands here twice: the second would win');
        isBroken = true;
      }
      names.add(name);
      const value = read(pair.value as Node | null, depth + 1, start + name.length);
      return [Object.freeze({ name, place: placeAt(start), value })];
    });
    return Object.freeze({ kind: 'fields', entries: Object.freeze(entries), place });
  }

  function readText(value: string, [start, end]: Range, place: Place): Text {
    const raw = text.slice(start, end);
    return Object.freeze({
      kind: 'text',
      text: value.trim(),
      place,
      placeOf(part: string, nth: number) {
        let at = raw.indexOf(part);
        for (let n = 0; n < nth && at >= 0; n++) at = raw.indexOf(part, at + 1);
        return at < 0 ? place : placeAt(start + at);
      },
    });
  }
}

/** The fields of a value, each known; every other is told with the one that was perhaps meant. */
export function fieldsOf<const Name extends string>(
  written: Written,
  names: readonly Name[],
  what: string,
  faults: Faults,
): Readonly<Partial<Record<Name, Entry>>> {
  const found: Partial<Record<Name, Entry>> = {};
  if (written.kind === 'nothing') return found;
  if (written.kind !== 'fields') {
    faults.tell(written.place, `${what} is written as fields: ${names.join(', ')}`);
    return found;
  }
  for (const entry of written.entries) {
    const name = names.find((one) => one === entry.name);
    if (name) found[name] = entry;
    else faults.tell(entry.place, unknown(entry.name, `a field of ${what}`, names));
  }
  return found;
}

/** The text of a value, or undefined, told. */
export function textOf(written: Written, what: string, faults: Faults): Text | undefined {
  if (written.kind === 'text') return written;
  faults.tell(
    written.place,
    written.kind === 'nothing' ? `${what} is missing` : `${what} is a text`,
  );
  return undefined;
}

/** The word of a value among `words`, or undefined, told. */
export function wordOf<const Word extends string>(
  written: Written,
  words: readonly Word[],
  what: string,
  faults: Faults,
): Word | undefined {
  const text = textOf(written, what, faults);
  const word = words.find((one) => one === text?.text);
  if (text && !word) faults.tell(text.place, unknown(text.text, what, words));
  return word;
}

/** “x” is not what: and what was perhaps meant, or what there is. */
export function unknown(found: string, what: string, known: readonly string[]): string {
  const near = meant(found, known);
  const shown = known.slice(0, SHOWN_MAX).join(', ') + (known.length > SHOWN_MAX ? ' …' : '');
  const help =
    near === undefined
      ? shown === ''
        ? 'there is none'
        : `there is ${shown}`
      : `did you mean ${near}?`;
  return `“${found.slice(0, WORD_CHARS)}” is not ${what}: ${help}`;
}

const START: Place = Object.freeze({ line: 1, column: 1 });
const TOO_DEEP = `nested more than ${SCENARIO_DEPTH_MAX} deep`;
const SHOWN_MAX = 24;
const WORD_CHARS = 60;

function parse(text: string, lineCounter: LineCounter): Document.Parsed | 'too deep' {
  try {
    return parseDocument(text, { schema: 'failsafe', uniqueKeys: false, lineCounter });
  } catch (error) {
    // The composer recurses as deep as the text nests.
    if (error instanceof RangeError) return 'too deep';
    throw error;
  }
}

/** The fault in few words; place and excerpt are ours to show. */
function yamlFault(code: string, message: string): string {
  if (code === 'TAB_AS_INDENT') return 'a tab: YAML is indented with spaces';
  if (code === 'MULTIPLE_DOCS') return 'a second document (---): one file tells one day';
  const [first = ''] = message.split('\n');
  return `no YAML: ${first.replace(/ at line \d+, column \d+:?$/, '')}`;
}
