/**
 * Reads TypeScript and Markdown for the rules beside it.
 *
 * Every rule is a function from texts, not from a folder, to findings, so that test/tidy.test.ts
 * can also plant a violation and see it reported. TypeScript's own parser reads the code: a pattern
 * in a comment or in a string is no finding.
 */
import { posix } from 'node:path';
import ts from 'typescript';

export type Source = Readonly<{ path: string; text: string }>;

/** Folders of product code. */
export const PRODUCT = ['src', 'device', 'broker', 'simulator'];
/** The folders that touch the outside world: of a machine, and of a page in a browser. */
export const REAL_PORTS = 'src/node/ and src/browser/';

export function isRealPort(path: string): boolean {
  return path.startsWith('src/node/') || path.startsWith('src/browser/');
}

const parsed = new WeakMap<Source, ts.SourceFile>();

export function parse(source: Source): ts.SourceFile {
  const earlier = parsed.get(source);
  if (earlier !== undefined) return earlier;
  const file = ts.createSourceFile(source.path, source.text, ts.ScriptTarget.ESNext, true);
  parsed.set(source, file);
  return file;
}

/** Visits every node from the top; `visit` returns whether to look inside. */
export function walk(node: ts.Node, visit: (node: ts.Node) => boolean): void {
  node.forEachChild((child) => {
    if (visit(child)) walk(child, visit);
  });
}

/** Every name that the file itself binds, also by an import: such a name is not a global. */
export function namesDeclared(file: ts.SourceFile): ReadonlySet<string> {
  const names = new Set<string>();
  walk(file, (node) => {
    const isBinding =
      ts.isVariableDeclaration(node) ||
      ts.isBindingElement(node) ||
      ts.isParameter(node) ||
      ts.isFunctionDeclaration(node) ||
      ts.isClassDeclaration(node) ||
      ts.isImportSpecifier(node) ||
      ts.isImportClause(node) ||
      ts.isNamespaceImport(node);
    if (isBinding && node.name && ts.isIdentifier(node.name)) names.add(node.name.text);
    return !ts.isTypeNode(node);
  });
  return names;
}

export function lineOf(file: ts.SourceFile, node: ts.Node): number {
  return file.getLineAndCharacterOfPosition(node.getStart(file)).line + 1;
}

/** The cells of every table row of a Markdown text; the rows of dashes are not rows. */
export function tableRows(markdown: string): readonly (readonly string[])[] {
  return markdown
    .split('\n')
    .filter((line) => line.startsWith('|') && !/^[|\s:-]+$/.test(line))
    .map((line) =>
      line
        .trim()
        .replace(/^\||\|$/g, '')
        .split(/(?<!\\)\|/)
        .map((cell) => cell.trim()),
    );
}

export function isComposer(path: string): boolean {
  const isMain = PRODUCT.includes(top(path)) && posix.basename(path) === 'main.ts';
  return isMain || path === 'src/cli.ts' || isRealPort(path);
}

export function resolved(from: string, to: string): string {
  return posix.normalize(posix.join(posix.dirname(from), to));
}

export function packageOf(specifier: string): string {
  const parts = specifier.split('/');
  return parts.slice(0, specifier.startsWith('@') ? 2 : 1).join('/');
}

export function top(path: string): string {
  return path.split('/')[0]!;
}
