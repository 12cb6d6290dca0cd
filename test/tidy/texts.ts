/** Names of files, and what no text may hold. */
import ts from 'typescript';
import { lineOf, parse, walk, type Source } from './source.ts';

const GRAB_BAG = /^(utils?|helpers?|common|misc|shared|index|constants?|types?)$/;
const COLUMNS_MAX = 100;
const REGISTRY = /\bregistry\.[a-z0-9-]+\.[a-z]+|\bnpm(js|mirror)\.(org|com)/;
const RESOLVED = /"resolved": *"(https?|file):/;
const MACHINE_PATH = /(^|[^\w.*/-])\/(home|Users|root|work)\/[\w.-]+/;
/** Put together from parts, so that it does not find itself. XXX alone is a currency code. */
const UNFINISHED = new RegExp(`\\b(TO${'DO'}|FIX${'ME'}|HA${'CK'})\\b|\\bXXX:|^\\W*XXX\\b`);

/** Lowercase nouns, no grab-bags, no barrels but the published entry points. */
export function nameFindings(sources: readonly Source[], manifest: string): readonly string[] {
  const published = JSON.stringify((JSON.parse(manifest) as { exports?: unknown }).exports ?? {});
  return sources.flatMap((source) => {
    const { path } = source;
    const found: string[] = [];
    const words = path.replace(/(\.test)?\.ts$/, '').split('/');
    const bag = words.find((word) => GRAB_BAG.test(word));
    if (bag !== undefined) found.push(`${path}: "${bag}" says nothing about what is in it`);
    if (!words.every((word) => /^[a-z][a-z0-9]*$/.test(word))) {
      found.push(`${path}: a name is one lowercase noun`);
    }
    if (isBarrel(source) && !published.includes(`"./${path}"`)) found.push(`${path}: a barrel`);
    return found;
  });
}

function isBarrel(source: Source): boolean {
  const { statements } = parse(source);
  const passesOn = (node: ts.Statement) => ts.isExportDeclaration(node) && node.moduleSpecifier;
  const passesAllOn = statements.some(
    (node) => ts.isExportDeclaration(node) && node.moduleSpecifier && !node.exportClause,
  );
  const isOnlyThat = statements.every((node) => passesOn(node) || ts.isImportDeclaration(node));
  return passesAllOn || (statements.some(passesOn) && isOnlyThat);
}

/** Opens with a comment, keeps to the columns, is finished, and leaves no test focused. */
export function textFindings(sources: readonly Source[]): readonly string[] {
  return sources.flatMap((source) => {
    const { path, text } = source;
    const found: string[] = [];
    if (!/^(#!.*\n)?\s*\/[/*]/.test(text)) found.push(`${path}:1 does not open with a comment`);
    for (const [at, line] of text.split('\n').entries()) {
      if ([...line].length > COLUMNS_MAX) {
        found.push(`${path}:${at + 1} exceeds ${COLUMNS_MAX} columns`);
      }
    }
    const file = parse(source);
    for (const { pos, comment } of commentsOf(file)) {
      const line = file.getLineAndCharacterOfPosition(pos).line + 1;
      if (UNFINISHED.test(comment)) found.push(`${path}:${line} puts something off`);
    }
    walk(file, (node) => {
      const isFocus = ts.isPropertyAccessExpression(node) && node.name.text === 'only';
      if (isFocus && /^(test|it|describe|suite)\b/.test(node.getText(file))) {
        found.push(`${path}:${lineOf(file, node)} runs only one test`);
      }
      return true;
    });
    return found;
  });
}

/** Of any committed file: no registry, no path of somebody's machine. */
export function machineFindings(texts: readonly Source[]): readonly string[] {
  return texts.flatMap(({ path, text }) =>
    text.split('\n').flatMap((line, at) => {
      if (REGISTRY.test(line) || RESOLVED.test(line)) return [`${path}:${at + 1} names a registry`];
      return MACHINE_PATH.test(line) ? [`${path}:${at + 1} names a path of one machine`] : [];
    }),
  );
}

/** test/ mirrors the tree: a test stands where its source (a file or a folder) does. */
export function mirrorFindings(
  sources: readonly Source[],
  rootFiles: readonly string[],
  crossCutting: readonly string[],
): readonly string[] {
  const known = [...sources.map(({ path }) => path), ...rootFiles];
  return sources.flatMap(({ path }) => {
    if (!path.endsWith('.test.ts') || crossCutting.includes(path)) return [];
    const stem = path.replace(/^test\//, '').replace(/\.test\.ts$/, '');
    const starts = [`${stem}.ts`, `${stem}.mjs`, `${stem}/`, `test/${stem}.ts`];
    const hasSource = known.some((other) => starts.some((start) => other.startsWith(start)));
    return hasSource ? [] : [`${path} has no source ${stem}.ts`];
  });
}

function commentsOf(file: ts.SourceFile): readonly { pos: number; comment: string }[] {
  const found = new Map<number, string>();
  const collect = (node: ts.Node): void => {
    const ranges = [
      ...(ts.getLeadingCommentRanges(file.text, node.getFullStart()) ?? []),
      ...(ts.getTrailingCommentRanges(file.text, node.getEnd()) ?? []),
    ];
    const isText = ts.isStringLiteralLike(node) || ts.isTemplateLiteralToken(node);
    for (const { pos, end } of isText ? [] : ranges) found.set(pos, file.text.slice(pos, end));
    for (const child of node.getChildren(file)) collect(child);
  };
  collect(file);
  return [...found].map(([pos, comment]) => ({ pos, comment }));
}
