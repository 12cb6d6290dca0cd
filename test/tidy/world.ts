/** Who touches the outside world. The real ports, tests and benchmarks may. */
import { isBuiltin } from 'node:module';
import ts from 'typescript';
import { importsOf } from './imports.ts';
import { PRODUCT, REAL_PORTS, type Source } from './source.ts';
import {
  isComposer,
  isRealPort,
  lineOf,
  namesDeclared,
  packageOf,
  parse,
  top,
  walk,
} from './source.ts';

/** Node's modules that are pure: what they do depends on nothing but their arguments. */
const PURE_MODULES = new Set(
  ['assert', 'assert/strict', 'crypto', 'path', 'path/posix', 'url', 'util', 'zlib'].map(
    (name) => `node:${name}`,
  ),
);
/** What a program may ask of the terminal and machine that it was started on. */
const COMPOSER_MODULES = new Set(['node:readline', 'node:readline/promises', 'node:os']);
/** Packages that open sockets; the others are pure and ARCHITECTURE.md says where they go. */
const SOCKET_PACKAGES = new Set(['mqtt', 'aedes']);
const WORLD_GLOBALS = new Set(
  (
    'setTimeout setInterval setImmediate clearTimeout clearInterval clearImmediate ' +
    'queueMicrotask fetch WebSocket EventSource XMLHttpRequest Worker ' +
    'BroadcastChannel console performance ' +
    'process global globalThis crypto navigator indexedDB require eval Temporal'
  ).split(' '),
);
/** What a page's script is made of; typed everywhere, and of use in a browser alone. */
const PAGE_GLOBALS = new Set(
  'document window location history sessionStorage localStorage alert confirm prompt'.split(' '),
);
const PAGES = ['broker/pages/', 'device/page/', 'simulator/page/', 'src/screen.ts'];
const RANDOM_NAMES = new Set(
  (
    'randomBytes randomUUID randomUUIDv7 randomInt randomFill randomFillSync pseudoRandomBytes ' +
    'getRandomValues webcrypto subtle'
  ).split(' '),
);
const KEY_MAKING = /^(generateKey\w*|keygen|random(Secret|Private)Key)$/;
const COMPOSER_PROCESS = new Set([
  'exitCode',
  'stdout',
  'stderr',
  'stdin',
  'argv',
  'on',
  'once',
  'off',
  'env',
  'exit',
  'kill',
  'pid',
  'version',
]);
const DATE_PURE = new Set(['UTC', 'parse', 'prototype']);

/** Product code outside src/node/ touches no clock, timer, randomness, disk, socket or process. */
export function portFindings(sources: readonly Source[]): readonly string[] {
  return sources
    .filter(({ path }) => PRODUCT.includes(top(path)) && !isRealPort(path))
    .flatMap((source) => [...worldImports(source), ...worldUses(source)]);
}

function worldImports(source: Source): readonly string[] {
  return importsOf(source).flatMap(({ from, to, line }) => {
    if (to === undefined || to.startsWith('.')) return [];
    if (isComposer(from) && COMPOSER_MODULES.has(to)) return [];
    const isWorld = isBuiltin(to) ? !PURE_MODULES.has(to) : SOCKET_PACKAGES.has(packageOf(to));
    return isWorld ? [`${from}:${line} imports ${to}: only ${REAL_PORTS} may`] : [];
  });
}

function worldUses(source: Source): readonly string[] {
  const file = parse(source);
  const own = namesDeclared(file);
  const found: string[] = [];
  const report = (node: ts.Node, what: string) =>
    found.push(`${source.path}:${lineOf(file, node)} uses ${what}: only ${REAL_PORTS} may`);
  walk(file, (node) => {
    if (ts.isTypeNode(node) && !ts.isExpressionWithTypeArguments(node)) return false;
    if (ts.isImportSpecifier(node)) {
      if (node.isTypeOnly) return false;
      const name = (node.propertyName ?? node.name).text;
      if (isForbiddenName(name, source.path)) report(node, name);
      return false;
    }
    if (!ts.isIdentifier(node) && !ts.isStringLiteralLike(node)) return true;
    const { parent, text } = node;
    const isMember =
      (ts.isPropertyAccessExpression(parent) && parent.name === node) ||
      (ts.isElementAccessExpression(parent) && parent.argumentExpression === node) ||
      (ts.isBindingElement(parent) && (parent.propertyName ?? parent.name) === node);
    if (isMember) {
      if (isForbiddenName(text, source.path)) report(node, text);
    } else if (ts.isIdentifier(node) && isUse(node) && !own.has(text)) {
      if (text === 'Date' && !isPureDate(node)) report(node, 'the clock (Date)');
      if (text === 'Math' && !isMemberOf(node, (name) => name !== 'random')) {
        report(node, 'Math.random');
      }
      const isAllowed =
        text === 'process' &&
        isComposer(source.path) &&
        isMemberOf(node, (name) => COMPOSER_PROCESS.has(name));
      if (WORLD_GLOBALS.has(text) && !isAllowed) report(node, text);
      if (PAGE_GLOBALS.has(text) && !PAGES.some((place) => source.path.startsWith(place)))
        report(node, text);
    }
    return true;
  });
  return found;
}

function isForbiddenName(name: string, path: string): boolean {
  if (RANDOM_NAMES.has(name)) return true;
  return KEY_MAKING.test(name) && path !== 'src/signer.ts';
}

function isPureDate(node: ts.Identifier): boolean {
  const { parent } = node;
  if (ts.isNewExpression(parent) && parent.expression === node) {
    return (parent.arguments?.length ?? 0) > 0;
  }
  if (ts.isBinaryExpression(parent)) {
    return parent.operatorToken.kind === ts.SyntaxKind.InstanceOfKeyword;
  }
  return isMemberOf(node, (name) => DATE_PURE.has(name));
}

function isMemberOf(node: ts.Identifier, allows: (name: string) => boolean): boolean {
  const { parent } = node;
  return (
    ts.isPropertyAccessExpression(parent) && parent.expression === node && allows(parent.name.text)
  );
}

/** An identifier that stands for a value here, and does not name a member or a declaration. */
function isUse(node: ts.Identifier): boolean {
  const { parent } = node;
  if (ts.isShorthandPropertyAssignment(parent)) return true;
  if (ts.isBindingElement(parent) || ts.isVariableDeclaration(parent) || ts.isParameter(parent)) {
    return parent.initializer === node;
  }
  if (ts.isPropertyAssignment(parent) || ts.isPropertyDeclaration(parent)) {
    return parent.initializer === node;
  }
  const isNamed = ts.isMethodDeclaration(parent) || ts.isAccessor(parent);
  return !isNamed && !ts.isExportSpecifier(parent) && !ts.isLabeledStatement(parent);
}
