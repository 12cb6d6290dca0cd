/**
 * Programs of the system that some tests need. The list is parts.json, because setup.mjs, which
 * installs them and must run on any Node, reads it too.
 *
 * A test that lacks its part skips itself by name and with the reason; test/run.ts counts it, and
 * fails in CI.
 */
import { existsSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** One row of parts.json; `apt` names the Debian packages that bring `binary`, a name or a path. */
export type PartRow = Readonly<{
  name: string;
  binary: string;
  apt: readonly string[];
  purpose: string;
}>;

/** Where the program is, or why a test has to be skipped. */
export type Part =
  Readonly<{ path: string; missing: undefined }> | Readonly<{ path: undefined; missing: string }>;

export const PARTS: readonly PartRow[] = JSON.parse(
  readFileSync(new URL('./parts.json', import.meta.url), 'utf8'),
);

/**
 * Finds a part, to be used as
 * `test('…', (context) => { if (part.missing !== undefined) context.skip(part.missing); … })`.
 */
export function requirePart(name: string): Part {
  const row = PARTS.find((part) => part.name === name);
  if (row === undefined) throw new Error(`test/parts.json does not list ${name}`);
  const told = (process.env['SAYTAP_MISSING'] ?? '').split(',');
  const path = told.includes(name) ? undefined : findProgram(row.binary);
  if (path === undefined) return { path, missing: `${name} is missing: ${aptLine([row])}` };
  return { path, missing: undefined };
}

/** What a person types to get these parts. */
export function aptLine(rows: readonly PartRow[]): string {
  const packages = rows.flatMap(({ apt }) => apt);
  return `sudo apt-get install --no-install-recommends ${packages.join(' ')}`;
}

/** Debian keeps servers in sbin, which is not on everybody's PATH; a library has its whole path. */
function findProgram(name: string): string | undefined {
  if (name.startsWith('/')) return existsSync(name) ? name : undefined;
  return [...(process.env['PATH'] ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin']
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, name))
    .find((path) => existsSync(path));
}
