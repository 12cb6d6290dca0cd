/** Lists that stand in two places and must be the same, or be used at all. */
import ts from 'typescript';
import { namesDeclared, parse, tableRows, top, walk, type Source } from './source.ts';

/** The reason codes of src/errors.ts and of PROTOCOL.md, name by name in both directions. */
export function reasonFindings(
  reasons: Readonly<Record<string, number>>,
  protocol: string,
): readonly string[] {
  const documented = tableRows(protocol).flatMap((cells) => {
    const name = /^`([a-z_0-9]+)`$/.exec(cells[1] ?? '')?.[1];
    return name !== undefined && /^\d{3}$/.test(cells[0] ?? '') ? [`${cells[0]} ${name}`] : [];
  });
  const coded = Object.entries(reasons).map(([name, code]) => `${code} ${name}`);
  const repeated = (list: readonly string[]) =>
    list.filter((entry, at) => list.findIndex((other) => other.startsWith(entry.slice(0, 4))) < at);
  return [
    ...coded.filter((entry) => !documented.includes(entry)).map((e) => `PROTOCOL.md lacks ${e}`),
    ...documented.filter((entry) => !coded.includes(entry)).map((e) => `errors.ts lacks ${e}`),
    ...repeated(coded).map((entry) => `errors.ts uses a number twice: ${entry}`),
    ...repeated(documented).map((entry) => `PROTOCOL.md uses a number twice: ${entry}`),
  ];
}

/** Every limit limits something: product code or a benchmark names it outside limits.ts. */
export function limitFindings(sources: readonly Source[]): readonly string[] {
  const limits = sources.find(({ path }) => path === 'src/limits.ts');
  if (limits === undefined) return ['src/limits.ts is not there'];
  const used = new Set<string>();
  for (const source of sources) {
    if (source === limits || top(source.path) === 'test') continue;
    walk(parse(source), (node) => {
      if (ts.isIdentifier(node)) used.add(node.text);
      return !ts.isImportDeclaration(node);
    });
  }
  return [...namesDeclared(parse(limits))]
    .filter((name) => /^[A-Z][A-Z0-9_]+$/.test(name) && !used.has(name))
    .map((name) => `src/limits.ts: ${name} limits nothing`);
}
