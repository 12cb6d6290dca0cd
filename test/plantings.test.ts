/** Every planting fits the sources as they are, alone, and what it makes of them can be loaded. */
import { readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { PLANTINGS, TWELVE } from './plantings.ts';

const root = join(import.meta.dirname, '..');

test.each(Object.entries(PLANTINGS))('%s: each text stands exactly once', (_name, { edits }) => {
  const sources = new Map<string, string>();
  for (const { file, from, to } of edits) {
    const source = sources.get(file) ?? readFileSync(join(root, file), 'utf8');
    expect(source.split(from).length - 1, `${file}: ${from}`).toBe(1);
    sources.set(
      file,
      source.replace(from, () => to),
    );
  }
  for (const [file, source] of sources) {
    expect(() => stripTypeScriptTypes(source), file).not.toThrow();
  }
});

test('there are twelve of those that storms must find', () => {
  expect(Object.keys(TWELVE)).toHaveLength(12);
});
