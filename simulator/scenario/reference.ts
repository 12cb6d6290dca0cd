/** `${lunch.id}`: what an earlier step left, inside a text of a later one. */
import { type Faults, type Place, type Text } from './source.ts';

/** Fields of what a step leaves; without one the id is meant. */
export const FIELDS = ['id', 'amount', 'outcome', 'reason'] as const;

export type Reference = Readonly<{
  name: string;
  field: string | undefined;
  /** Of the name, and of the field. */
  place: Place;
  fieldPlace: Place;
}>;

/** A text with references in it, to be filled in. */
export type Template = readonly (string | Reference)[];

/** The parts of a text; a reference that is not closed or empty is told. */
export function readTemplate(text: Text, faults: Faults): Template {
  const parts: (string | Reference)[] = [];
  let at = 0;
  let nth = 0;
  for (const found of text.text.matchAll(/\$\{([^{}]*)(\})?/g)) {
    const place = text.placeOf('${', nth++);
    const [whole, inside = '', end] = found;
    parts.push(text.text.slice(at, found.index));
    at = found.index + whole.length;
    const [, gap = '', name, field] = /^(\s*)([a-z][a-z0-9-]*)(?:\.(\w+))?\s*$/.exec(inside) ?? [];
    if (end === undefined) faults.tell(place, 'a reference begins here and has no }');
    else if (name === undefined) {
      faults.tell(place, `\${${inside}} is no reference, as \${lunch} or \${lunch.amount}`);
    } else {
      const start = { line: place.line, column: place.column + 2 + gap.length };
      const fieldPlace = { line: place.line, column: start.column + name.length + 1 };
      parts.push({ name, field, place: start, fieldPlace });
    }
  }
  parts.push(text.text.slice(at));
  return parts.filter((part) => part !== '');
}

/** The references of a template. */
export function referencesIn(template: Template): readonly Reference[] {
  return template.filter((part) => typeof part !== 'string');
}
