/** The dependencies: explained in ARCHITECTURE.md, exact, and imported where it says. */
import { isBuiltin } from 'node:module';
import { posix } from 'node:path';
import { importsOf } from './imports.ts';
import { packageOf, tableRows, top, type Source } from './source.ts';

/** A row of the dependency table in ARCHITECTURE.md. */
export type PackageRow = Readonly<{ name: string; version: string; places: readonly string[] }>;

/** Rows `| package | version | what for | who keeps it | replaces | imported in |`. */
export function packageRows(architecture: string): readonly PackageRow[] {
  return tableRows(architecture).flatMap((cells) => {
    const name = /^`([@\w./-]+)`$/.exec(cells[0] ?? '')?.[1];
    if (name === undefined || cells.length !== 6) return [];
    const places = [...cells[5]!.matchAll(/`([^`]+)`/g)].map((match) => match[1]!);
    return [{ name, version: cells[1]!.replaceAll('`', ''), places }];
  });
}

/** Every dependency is explained, exact, and imported only where its row says. */
export function packageFindings(
  sources: readonly Source[],
  architecture: string,
  manifest: string,
): readonly string[] {
  const rows = new Map(packageRows(architecture).map((row) => [row.name, row]));
  const versions = versionsOf(manifest);
  const unexplained = [...versions].flatMap(([name, version]) => {
    const row = rows.get(name);
    if (row === undefined) return [`package.json: ${name} has no row in ARCHITECTURE.md`];
    if (row.version === version) return [];
    return [`ARCHITECTURE.md: ${name} is ${version}, not ${row.version}`];
  });
  const misplaced = sources.flatMap(importsOf).flatMap(({ from, to, line }) => {
    if (to === undefined || to.startsWith('.') || isBuiltin(to)) return [];
    const name = packageOf(to);
    const row = rows.get(name);
    if (!versions.has(name)) return [`${from}:${line} imports ${name}: not in package.json`];
    if (['test', 'bench'].includes(top(from)) || row === undefined) return [];
    const isAllowed = row.places.some((place) => posix.matchesGlob(from, glob(place)));
    return isAllowed ? [] : [`${from}:${line} imports ${name}: its row does not say so`];
  });
  return [...unexplained, ...misplaced];
}

export function versionFindings(manifest: string): readonly string[] {
  return [...versionsOf(manifest)]
    .filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version))
    .map(([name, version]) => `package.json: ${name} is ${version}, not one exact version`);
}

function versionsOf(manifest: string): ReadonlyMap<string, string> {
  const { dependencies, optionalDependencies, devDependencies } = JSON.parse(manifest) as Record<
    string,
    Record<string, string> | undefined
  >;
  return new Map(Object.entries({ ...dependencies, ...optionalDependencies, ...devDependencies }));
}

/** `src/` and `src/**` both mean the folder with all that is in it. */
function glob(place: string): string {
  return place.endsWith('/') ? `${place}**` : place;
}
