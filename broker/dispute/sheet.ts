/** A dispute file as plain text of at most COLUMNS columns, for terminals and printers. */
import { type Check, type Place, rowName } from './checks.ts';
import type { Dispute } from './dispute.ts';
import { type Fact, timeOf } from './events.ts';
import { copyFacts, exhibitFacts, howToProve, rootFacts } from './exhibits.ts';
import { columnsOf, visible } from './glyphs.ts';

const COLUMNS = 96;
/** Where the values of facts begin. */
const VALUE_COLUMN = 24;

/** The whole file, ending with a line break. */
export function sheetOf(dispute: Dispute): string {
  const { id, realm, writtenMs, checks, happenings, places } = dispute;
  const lines = [
    ...box(dispute.headline),
    '',
    ...factLines(dispute.summary, 0),
    '',
    ...wrap(visible(rowsWords(places)), 0, 0),
    checkWords(checks),
    ...dispute.sections.flatMap(({ title, facts }) => [
      '',
      ...heading(title),
      ...factLines(facts, 0),
    ]),
    '',
    ...heading('What happened, in order'),
    ...happenings.flatMap(({ atMs, number, title, facts }) => [
      ...wrap(`${timeOf(atMs)}  ${visible(title)}`, 0, 25),
      ...factLines([...facts, { name: 'Row of the chain', lines: [String(number)] }], 4),
      '',
    ]),
    ...heading('What moved'),
    ...factLines(dispute.money, 0, 44),
    '',
    ...heading('What was proved again while this was written'),
    ...checks.flatMap(checkLines),
    '',
    ...heading('Rows of the chain'),
    ...places.flatMap(placeLines),
    '',
    ...wrap(
      `Written ${timeOf(writtenMs)} from the evidence of ledger ${visible(realm.ledger)} ` +
        `(${realm.environment}) about ${visible(id)}. ` +
        'Each row is bound to all rows before it; saytap audit ' +
        'follows the chain from its beginning. The bytes to prove these rows without this ' +
        'program are in the page, and in the text with --raw.',
      0,
      0,
    ),
  ];
  return `${lines.join('\n')}\n`;
}

/** What proves it again without this program, to stand after the sheet; ends with a line break. */
export function appendixOf({ realm, root, places, copies }: Dispute): string {
  const lines = [
    ...heading('To prove it without this program'),
    ...howToProve(realm).flatMap((line) => wrap(visible(line), 0, 0)),
    '',
    ...heading("The root's public key"),
    ...factLines(rootFacts(root), 0),
    ...places.flatMap((place) => [
      '',
      ...wrap(visible(capital(rowName(place))), 0, 4),
      ...factLines(exhibitFacts(place), 4),
    ]),
    ...copies.flatMap((copy) => [
      '',
      ...wrap(visible(copy.what), 0, 4),
      ...factLines(copyFacts(copy), 4),
    ]),
  ];
  return `${lines.join('\n')}\n`;
}

/** Whether the rows of the file hold; what does not is named. */
export function rowsWords(places: readonly Place[]): string {
  const broken = places.filter(({ state }) => state === 'broken').map(rowName);
  if (broken.length === 0) return 'THESE ROWS HOLD';
  const [first, ...others] = broken;
  const last = others.length === 0 ? 'DOES NOT HOLD' : 'DO NOT HOLD';
  return `${[first!.replace(/^row/, 'ROW'), ...others].join(', ')} ${last}`;
}

/** How the checks went, in a few words. */
export function checkWords(checks: readonly Check[]): string {
  const count = (holds: boolean | undefined) => checks.filter((one) => one.holds === holds).length;
  const [bad, open] = [count(false), count(undefined)];
  return [
    `${count(true)} of ${checks.length} checks hold`,
    ...(bad > 0 ? [`${bad} ${bad === 1 ? 'DOES' : 'DO'} NOT HOLD`] : []),
    ...(open > 0 ? [`${open} could not be made`] : []),
  ].join(', ');
}

function box(text: string): readonly string[] {
  const rule = '═'.repeat(COLUMNS);
  return [rule, ...wrap(visible(text), 0, 0), rule];
}

function heading(title: string): readonly string[] {
  return [title.toUpperCase(), '─'.repeat(title.length)];
}

function factLines(
  facts: readonly Fact[],
  indent: number,
  column = VALUE_COLUMN,
): readonly string[] {
  return facts.flatMap(({ name, lines }) => {
    const at = indent + column;
    const label = wrap(visible(name), indent, indent);
    const values = lines.flatMap((line) => wrap(visible(line), at, at));
    const width = columnsOf(label[0]!);
    if (label.length > 1 || width >= at) return [...label, ...values];
    const [first = '', ...rest] = values;
    return [`${label[0]!}${' '.repeat(at - width)}${first.slice(at)}`.trimEnd(), ...rest];
  });
}

function checkLines({ what, holds, why }: Check): readonly string[] {
  const mark = holds === undefined ? 'not made' : holds ? 'holds' : 'DOES NOT HOLD';
  const because = why === undefined ? '' : `: ${visible(why)}`;
  return wrap(`${mark.padEnd(15)}${visible(what)}${because}`, 0, 15);
}

const STATES = Object.freeze({ holds: 'holds', erased: 'holds, erased', broken: 'BROKEN' });

function placeLines({
  number,
  atMs,
  subject,
  kind,
  digest,
  link,
  state,
}: Place): readonly string[] {
  return [
    ...wrap(`${number}  ${timeOf(atMs)}  ${visible(kind)}  ${STATES[state]}`, 0, 4),
    ...wrap(`subject ${visible(subject)}`, 4, 12),
    ...wrap(visible(`digest  ${digest}`), 4, 12),
    ...wrap(visible(`link    ${link}`), 4, 12),
  ];
}

function capital(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1);
}

/** Lines that begin with `first` blanks, and the others with `rest`; long words are cut. */
function wrap(text: string, first: number, rest: number): readonly string[] {
  const lines: string[] = [];
  let line = ' '.repeat(first);
  let width = first;
  let isEmpty = true;
  const next = () => {
    lines.push(line.trimEnd());
    line = ' '.repeat(rest);
    width = rest;
    isEmpty = true;
  };
  for (const word of text.split(' ')) {
    const gap = isEmpty ? 0 : 1;
    if (width + gap + columnsOf(word) > COLUMNS && !isEmpty) next();
    if (!isEmpty) {
      line += ' ';
      width++;
    }
    for (const character of word) {
      const columns = columnsOf(character);
      if (width + columns > COLUMNS) next();
      line += character;
      width += columns;
      isEmpty = false;
    }
    // Blanks in a row are kept: they align columns.
    isEmpty &&= word !== '';
  }
  return [...lines, line.trimEnd()];
}
