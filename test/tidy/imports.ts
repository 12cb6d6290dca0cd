/** Who imports whom, however an import is written. */
import { posix } from 'node:path';
import ts from 'typescript';
import type { Source } from './source.ts';
import { isComposer, isRealPort, lineOf, parse, resolved, top, walk } from './source.ts';

/** `to` is undefined when it is not a literal, and so cannot be checked at all. */
export type Import = Readonly<{
  from: string;
  to: string | undefined;
  line: number;
  isDynamic: boolean;
}>;

const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  src: ['src'],
  device: ['device', 'src'],
  broker: ['broker', 'src'],
  simulator: ['simulator', 'device', 'broker', 'src'],
  test: ['test', 'bench', 'simulator', 'device', 'broker', 'src'],
  bench: ['bench', 'test', 'simulator', 'device', 'broker', 'src'],
};

/** Every import of a source: static, re-exported, dynamic, required, by type, or by URL. */
export function importsOf(source: Source): readonly Import[] {
  const file = parse(source);
  const found: Import[] = [];
  const requires = new Set(['require', ...namesMadeBy(file, 'createRequire')]);
  const add = (node: ts.Node, specifier: ts.Node | undefined, isDynamic: boolean) =>
    found.push({
      from: source.path,
      to: specifier && ts.isStringLiteralLike(specifier) ? specifier.text : undefined,
      line: lineOf(file, node),
      isDynamic,
    });
  walk(file, (node) => {
    if (ts.isImportDeclaration(node)) add(node, node.moduleSpecifier, false);
    else if (ts.isExportDeclaration(node) && node.moduleSpecifier) {
      add(node, node.moduleSpecifier, false);
    } else if (ts.isExternalModuleReference(node)) add(node, node.expression, false);
    else if (ts.isImportTypeNode(node)) {
      add(node, ts.isLiteralTypeNode(node.argument) ? node.argument.literal : undefined, false);
    } else if (ts.isCallExpression(node)) {
      const callee = node.expression;
      const isImport = callee.kind === ts.SyntaxKind.ImportKeyword;
      const called = ts.isPropertyAccessExpression(callee) ? callee.expression : callee;
      const isRequire = ts.isIdentifier(called) && requires.has(called.text);
      const isResolve = /^import\.meta\.resolve$/.test(callee.getText(file));
      if (isImport || isRequire || isResolve) add(node, node.arguments[0], true);
    } else if (ts.isNewExpression(node) && /^import\.meta\./.test(urlBase(node, file))) {
      const target = node.arguments?.[0];
      const isCode = target && ts.isStringLiteralLike(target) && target.text.endsWith('.ts');
      if (isCode) add(node, target, true);
    }
    return true;
  });
  return found;
}

/** A folder imports only the folders below it, and a main.ts is reached from the command alone. */
export function importFindings(sources: readonly Source[]): readonly string[] {
  return sources.flatMap(importsOf).flatMap(({ from, to, line, isDynamic }) => {
    const where = `${from}:${line}`;
    const isTest = ['test', 'bench'].includes(top(from));
    if (to === undefined) return isTest ? [] : [`${where} imports something that is no literal`];
    if (!to.startsWith('.')) return [];
    const target = resolved(from, to);
    const isMain = posix.basename(target) === 'main.ts';
    if (from === 'src/cli.ts' && isMain && isDynamic) return [];
    if (target === 'package.json') return [];
    if (isMain && !isTest) return [`${where} imports ${target}: only src/cli.ts, dynamically`];
    if (!MAY_IMPORT[top(from)]?.includes(top(target))) return [`${where} imports ${target}`];
    if (isRealPort(target) && !isTest && !isComposer(from)) {
      return [`${where} imports ${target}: only a main.ts or the command may`];
    }
    return [];
  });
}

/** Files that import each other in a circle, each circle once; type-only imports count. */
export function cycleFindings(sources: readonly Source[]): readonly string[] {
  const edges = new Map(
    sources.map((source) => [
      source.path,
      importsOf(source).flatMap(({ from, to }) =>
        to?.startsWith('.') ? [resolved(from, to)] : [],
      ),
    ]),
  );
  const state = new Map<string, 'open' | 'done'>();
  const found: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    if (state.get(path) === 'done') return;
    const here = [...trail, path];
    if (state.get(path) === 'open') {
      found.push(`cycle: ${here.slice(here.indexOf(path)).join(' -> ')}`);
      return;
    }
    state.set(path, 'open');
    for (const next of edges.get(path) ?? []) if (edges.has(next)) visit(next, here);
    state.set(path, 'done');
  };
  for (const path of edges.keys()) visit(path, []);
  return found;
}

function namesMadeBy(file: ts.SourceFile, maker: string): readonly string[] {
  const names: string[] = [];
  walk(file, (node) => {
    const made = ts.isVariableDeclaration(node) && node.initializer;
    if (made && ts.isCallExpression(made) && made.expression.getText(file).endsWith(maker)) {
      names.push(node.name.getText(file));
    }
    return true;
  });
  return names;
}

function urlBase(node: ts.NewExpression, file: ts.SourceFile): string {
  return node.expression.getText(file) === 'URL' ? (node.arguments?.[1]?.getText(file) ?? '') : '';
}
