/**
 * Checks the rules of CONTRIBUTING.md that a machine can check.
 *
 * Method: every rule is a function of texts. It is run over the tree, which must be clean, and over
 * planted violations, each of which must be reported: a rule that finds nothing proves nothing.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { REASONS } from '../src/errors.ts';
import { cycleFindings, importFindings, importsOf } from './tidy/imports.ts';
import { limitFindings, reasonFindings } from './tidy/lists.ts';
import { packageFindings, packageRows, versionFindings } from './tidy/packages.ts';
import type { Source } from './tidy/source.ts';
import { machineFindings, mirrorFindings, nameFindings, textFindings } from './tidy/texts.ts';
import { portFindings } from './tidy/world.ts';

const root = join(import.meta.dirname, '..');
const FOLDERS = ['src', 'device', 'broker', 'simulator', 'test', 'bench'];
/** Tests of the whole rather than of one file; keep this list short. */
const CROSS_CUTTING = [
  'src/objects/bitflips',
  'tidy',
  'setup',
  'story',
  'kills',
  'protocol',
  'vectors',
  'units', // systemd's judgement of image/systemd
  'mosquitto', // a whole site on a real broker
  'clone', // a copied data folder in a second process
  'enrolment', // from nothing to the first payment, on a real broker
  'away', // a whole site, each part of it away for a while
  'outage', // a kiosk beside a whole bridge, a day without the link
  'token', // a whole site whose glasses have their key in a token
  'broker/ledger/kill', // a whole program, killed at every step
  'broker/kills', // bridge and ledger, killed under load
  'device/kills', // the device's program on a real broker, killed under way
  'broker/unknown', // two hostile backends, killed under load
  'broker/invariants', // a whole bridge, under random stories
  'broker/theft', // a whole bridge, and a thief with a kiosk's key
  'attacks', // a whole bridge, attacked in fifteen ways
  'companion', // a whole site, and the wearer's page in a real browser
  'sim', // saytap sim, and its page in a real browser
  'ap2', // a whole bridge beside AP2's reference code
].map((name) => `test/${name}.test.ts`);
const NOT_OURS = /^(node_modules|\.git|\.setup-\d+|dist|coverage|data|LICENSE)$/;
const BINARY = /\.(png|jpe?g|gif|webp|ico|wasm|gz|img|deb|woff2?|db)$/;

const texts = readTree('');
const sources = texts.filter(
  ({ path }) => path.endsWith('.ts') && FOLDERS.includes(path.split('/')[0]!),
);
const rootFiles = texts.map(({ path }) => path).filter((path) => !path.includes('/'));
const manifest = textOf('package.json');

describe('the tree', () => {
  test('was read at all', () => {
    const imports = sources.flatMap(importsOf);
    expect(sources.length).toBeGreaterThan(30);
    expect(imports.length).toBeGreaterThan(100);
    expect(texts.map(({ path }) => path)).toContain('package-lock.json');
  });

  test('a folder imports only the folders below it', () => {
    expect(importFindings(sources)).toEqual([]);
  });

  test('no file imports itself by a detour', () => {
    expect(cycleFindings(sources)).toEqual([]);
  });

  test('only src/node/ touches the outside world', () => {
    expect(portFindings(sources)).toEqual([]);
  });

  test('every package is explained and stays in its place', () => {
    const architecture = textOf('ARCHITECTURE.md');
    expect(packageRows(architecture).length).toBeGreaterThan(5);
    expect(packageFindings(sources, architecture, manifest)).toEqual([]);
  });

  test('every version is exact', () => {
    expect(versionFindings(manifest)).toEqual([]);
  });

  test('names say what is inside', () => {
    expect(nameFindings(sources, manifest)).toEqual([]);
  });

  test('files open with a comment, keep to the columns and put nothing off', () => {
    const ours = texts.filter(({ path }) => /^[^/]+\.(ts|mjs|js)$/.test(path));
    expect(textFindings([...sources, ...ours])).toEqual([]);
  });

  test('no committed file names a registry or a machine', () => {
    expect(machineFindings(texts)).toEqual([]);
  });

  test('test/ mirrors the tree', () => {
    expect(mirrorFindings(sources, rootFiles, CROSS_CUTTING)).toEqual([]);
  });

  test('PROTOCOL.md and src/errors.ts list the same reason codes', () => {
    expect(reasonFindings(REASONS, textOf('PROTOCOL.md'))).toEqual([]);
  });

  test('every limit limits something', () => {
    expect(limitFindings(sources)).toEqual([]);
  });
});

describe('a planted import is reported', () => {
  const cases = [
    ['device/link.ts', `import { a } from '../broker/bridge.ts';`, 'device to broker'],
    ['broker/bridge.ts', `import type { A } from '../device/link.ts';`, 'broker to device, a type'],
    ['device/link.ts', `const a = await import('../broker/bridge.ts');`, 'dynamic'],
    ['device/link.ts', 'const a = await import(`../broker/bridge.ts`);', 'dynamic, a template'],
    ['device/link.ts', `export { a } from '../broker/bridge.ts';`, 're-export'],
    ['device/link.ts', `export * from '../broker/bridge.ts';`, 're-export of everything'],
    ['device/link.ts', `const a = require('../broker/bridge.ts');`, 'require'],
    ['device/link.ts', `let a: import('../broker/bridge.ts').A;`, 'a type written as an import'],
    ['device/link.ts', `const a = import.meta.resolve('../broker/a.ts');`, 'resolve'],
    ['device/link.ts', `f(new URL('../broker/a.ts', import.meta.url));`, 'a URL, as for a worker'],
    [
      'device/link.ts',
      `const load = createRequire(import.meta.url); load('../broker/bridge.ts');`,
      'createRequire',
    ],
    ['device/link.ts', `const a = await import(name);`, 'a name that cannot be checked'],
    ['src/money.ts', `import { a } from '../device/link.ts';`, 'src to device'],
    ['src/money.ts', `import { a } from '../simulator/world.ts';`, 'src to simulator'],
    ['broker/bridge.ts', `import { a } from '../test/parts.ts';`, 'product to test'],
    ['broker/bridge.ts', `import { a } from '../../other/file.ts';`, 'out of the tree'],
    ['src/cli.ts', `import { main } from '../device/main.ts';`, 'a main.ts, not dynamically'],
    ['simulator/story.ts', `await import('../device/main.ts');`, 'a main.ts, not from the command'],
    ['device/link.ts', `import { clock } from '../src/node/platform.ts';`, 'the real ports'],
  ] as const;
  test.each(cases)('%s: %s (%s)', (path, text) => {
    expect(importFindings([{ path, text }])).toHaveLength(1);
  });

  const allowed = [
    ['src/cli.ts', `await import('../device/main.ts');`],
    ['device/main.ts', `import { clock } from '../src/node/platform.ts';`],
    ['simulator/world.ts', `import { a } from '../broker/bridge.ts';`],
    ['test/device/link.test.ts', `import { a } from '../../broker/bridge.ts';`],
    ['device/link.ts', `// import { a } from '../broker/bridge.ts';\nconst a = 'from broker';`],
  ] as const;
  test.each(allowed)('but not %s: %s', (path, text) => {
    expect(importFindings([{ path, text }])).toEqual([]);
  });

  test('a cycle, also of types, once', () => {
    const a = { path: 'src/a.ts', text: `import type { B } from './b.ts';` };
    const b = { path: 'src/b.ts', text: `import { c } from './deep/c.ts';` };
    const c = { path: 'src/deep/c.ts', text: `export { a } from '../a.ts';` };
    expect(cycleFindings([a, b, c])).toEqual([
      'cycle: src/a.ts -> src/b.ts -> src/deep/c.ts -> src/a.ts',
    ]);
    expect(cycleFindings([a, b])).toEqual([]);
  });
});

describe('a planted touch of the outside world is reported', () => {
  const guilty = [
    'const now = Date.now();',
    'const now = new Date();',
    'const now = Date();',
    'const { now } = Date;',
    `const now = Date['now']();`,
    'const now = performance.now();',
    'setTimeout(run, 5);',
    'setInterval(run, 5);',
    'setImmediate(run);',
    'queueMicrotask(run);',
    'const wait = setTimeout;',
    'const dice = Math.random();',
    'const { random } = Math;',
    `import { randomBytes } from 'node:crypto';`,
    `import { randomUUID as id } from 'node:crypto';`,
    `import { generateKeyPairSync } from 'node:crypto';`,
    `import crypto from 'node:crypto'; crypto.randomBytes(8);`,
    'crypto.getRandomValues(bytes);',
    'const key = p256.keygen();',
    `const answer = await fetch('https://example.com');`,
    `const socket = new WebSocket('wss://example.com');`,
    `globalThis['fetch']('https://example.com');`,
    `console.log('hello');`,
    'const home = process.env.HOME;',
    'process.exitCode = 1;',
    `import { readFileSync } from 'node:fs';`,
    `import { readFileSync } from 'fs';`,
    `const fs = await import('node:fs/promises');`,
    `import { createRequire } from 'node:module';`,
    `import { DatabaseSync } from 'node:sqlite';`,
    `import { request } from 'node:https';`,
    `import { spawn } from 'node:child_process';`,
    `import { Worker } from 'node:worker_threads';`,
    `import mqtt from 'mqtt';`,
    `import { Aedes } from 'aedes';`,
  ];
  test.each(guilty)('in broker/bridge.ts: %s', (text) => {
    expect(portFindings([{ path: 'broker/bridge.ts', text }])).not.toEqual([]);
    expect(portFindings([{ path: 'src/node/platform.ts', text }])).toEqual([]);
    expect(portFindings([{ path: 'test/broker/bridge.test.ts', text }])).toEqual([]);
  });

  test("a page's globals stay on a page, and its world comes through ports too", () => {
    const text = `document.title = location.hash;`;
    expect(portFindings([{ path: 'broker/bridge.ts', text }])).toHaveLength(2);
    expect(portFindings([{ path: 'broker/pages/words.ts', text }])).toEqual([]);
    const call = `await fetch('/v1/session');`;
    expect(portFindings([{ path: 'broker/pages/words.ts', text: call }])).toHaveLength(1);
    expect(portFindings([{ path: 'src/browser/world.ts', text: call }])).toEqual([]);
  });

  const innocent = [
    'const then = new Date(ms).toISOString();',
    'const noon = Date.UTC(2026, 0, 1);',
    'const big = Math.max(1, 2);',
    'const now = platform.clock.nowMs();',
    'type World = { fetch: typeof fetch; setTimeout: () => void };',
    'function f(fetch: (url: string) => void) { fetch("x"); }',
    '// Date.now() is forbidden here',
    `const text = 'Math.random() and setTimeout(run, 5)';`,
    `import { createHash } from 'node:crypto';`,
    `import assert from 'node:assert/strict';`,
    'const step = { process: 1 }.process;',
  ];
  test.each(innocent)('but not: %s', (text) => {
    expect(portFindings([{ path: 'broker/bridge.ts', text }])).toEqual([]);
  });

  test('a main.ts and the command may speak to the terminal, and make no keys', () => {
    const exit = `process.exitCode = 1; process.on('SIGTERM', stop); process.stdout.write('x');`;
    for (const path of ['device/main.ts', 'simulator/fleet/main.ts', 'src/cli.ts']) {
      expect(portFindings([{ path, text: exit }])).toEqual([]);
      expect(portFindings([{ path, text: 'process.binding(1)' }])).toHaveLength(1);
      expect(portFindings([{ path, text: 'setTimeout(stop, 1)' }])).toHaveLength(1);
    }
    const keys = `import { generateKeyPairSync } from 'node:crypto';`;
    expect(portFindings([{ path: 'src/signer.ts', text: keys }])).toEqual([]);
  });
});

describe('a planted package is reported', () => {
  const table = [
    '| package | version | what for | who keeps it | replaces | imported in |',
    '|---|---|---|---|---|---|',
    '| `cbor-x` | 1.6.8 | CBOR | one person | 900 lines | `src/cbor.ts`, `simulator/` |',
  ].join('\n');
  const listed = JSON.stringify({ dependencies: { 'cbor-x': '1.6.8' } });
  const at = (path: string, name = 'cbor-x') => [{ path, text: `import a from '${name}/x';` }];

  test('outside its place, unknown, unexplained, or in another version', () => {
    expect(packageFindings(at('src/cbor.ts'), table, listed)).toEqual([]);
    expect(packageFindings(at('simulator/deep/a.ts'), table, listed)).toEqual([]);
    expect(packageFindings(at('test/src/cbor.test.ts'), table, listed)).toEqual([]);
    expect(packageFindings(at('src/cose.ts'), table, listed)).toHaveLength(1);
    expect(packageFindings(at('src/cbor.ts', '@a/b'), table, listed)).toHaveLength(1);
    expect(packageFindings([], '', listed)).toHaveLength(1);
    expect(packageFindings([], table.replace('1.6.8', '1.6.7'), listed)).toHaveLength(1);
  });

  test.each(['^1.6.8', '~1.6.8', '1.x', 'latest', '>=1', 'file:../a'])('version %s', (version) => {
    const loose = JSON.stringify({ devDependencies: { 'cbor-x': version } });
    expect(versionFindings(loose)).toHaveLength(1);
    expect(versionFindings(listed)).toEqual([]);
  });
});

describe('a planted name or text is reported', () => {
  const fine = '// Says what it is for.\nexport const a = 1;\n';
  const named = (path: string, text = fine) => nameFindings([{ path, text }], '{}');

  test.each([
    'src/util.ts',
    'src/helpers.ts',
    'broker/types.ts',
    'device/shared/outbox.ts',
    'src/index.ts',
    'src/outBox.ts',
    'src/out-box.ts',
    'src/Outbox.ts',
  ])('the name %s', (path) => {
    expect(named(path)).not.toEqual([]);
    expect(named('src/outbox.ts')).toEqual([]);
  });

  test('a barrel, unless it is published', () => {
    const barrel = `export { a } from './a.ts';`;
    expect(named('src/all.ts', barrel)).toHaveLength(1);
    expect(named('src/all.ts', `export * from './a.ts';\nexport const b = 1;`)).toHaveLength(1);
    const exported = JSON.stringify({ exports: { '.': './src/all.ts' } });
    expect(nameFindings([{ path: 'src/all.ts', text: barrel }], exported)).toEqual([]);
  });

  test.each([
    ['export const a = 1;\n', 'no comment'],
    [`${fine}const b = '${'x'.repeat(100)}';\n`, 'a long line'],
    [`${fine}// TO${'DO'} later\n`, 'something put off'],
    [`${fine}// XX${'X'}: later\n`, 'something put off'],
    [`${fine}f(/* FIX${'ME'} */ 1);\n`, 'something put off inside a line'],
    [`${fine}test.on${'ly'}('one', run);\n`, 'one test'],
    [`${fine}describe.on${'ly'}.each([])('one', run);\n`, 'one suite'],
  ])('%j (%s)', (text) => {
    expect(textFindings([{ path: 'src/a.ts', text }])).toHaveLength(1);
    expect(textFindings([{ path: 'src/a.ts', text: fine }])).toEqual([]);
  });

  test('what is in a string is no comment', () => {
    const text = `${fine}const b = 'TO${'DO'}'; // as is XX${'X'}\n`;
    expect(textFindings([{ path: 'src/a.ts', text }])).toEqual([]);
  });

  test.each([
    `see https://registry.${'example'}.org/a`,
    `"resolved": "${'https'}://somewhere/a.tgz"`,
    `cd ${'/'}home/me/saytap`,
    `const a = '${'/'}root/.npm';`,
    `${'/'}Users/me`,
  ])('%s', (text) => {
    expect(machineFindings([{ path: 'docs/a.md', text }])).toHaveLength(1);
    const fineText = 'see docs/work/home.md, https://example.com/home/a and /usr/sbin/mosquitto';
    expect(machineFindings([{ path: 'docs/a.md', text: fineText }])).toEqual([]);
  });

  test('a test without its source', () => {
    const lost = { path: 'test/device/lost.test.ts', text: fine };
    expect(mirrorFindings([lost], [], [])).toHaveLength(1);
    expect(mirrorFindings([lost], [], [lost.path])).toEqual([]);
    const source = { path: 'device/lost.ts', text: fine };
    expect(mirrorFindings([lost, source], [], [])).toEqual([]);
  });
});

describe('a planted difference of two lists is reported', () => {
  const protocol = '| code | name | meaning |\n|---|---|---|\n| 101 | `malformed` | … |\n';
  const cases: readonly (readonly [Record<string, number>, string])[] = [
    [{ malformed: 101, secret: 199 }, 'undocumented'],
    [{}, 'documented only'],
    [{ malformed: 102 }, 'another number'],
    [{ misformed: 101 }, 'another name'],
    [{ malformed: 101, again: 101 }, 'a number used twice'],
  ];
  test.each(cases)('%j (%s)', (reasons) => {
    expect(reasonFindings(reasons, protocol)).not.toEqual([]);
    expect(reasonFindings({ malformed: 101 }, protocol)).toEqual([]);
  });

  test('a limit that limits nothing', () => {
    const limits = { path: 'src/limits.ts', text: 'export const A_MAX = 1;\nassert(A_MAX > 0);' };
    const importer = { path: 'src/a.ts', text: `import { A_MAX } from './limits.ts';` };
    const user = { path: 'src/a.ts', text: `${importer.text}\nassert(size < A_MAX);` };
    expect(limitFindings([limits, importer])).toHaveLength(1);
    expect(limitFindings([limits, { ...user, path: 'test/a.test.ts' }])).toHaveLength(1);
    expect(limitFindings([limits, user])).toEqual([]);
  });
});

/** Every text file that is or would be committed. */
function readTree(folder: string): readonly Source[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    if (NOT_OURS.test(entry.name) || BINARY.test(entry.name)) return [];
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory()) return readTree(path);
    return entry.isFile() ? [{ path, text: readFileSync(join(root, path), 'utf8') }] : [];
  });
}

/** Empty when the document is not there, which its rule then reports. */
function textOf(path: string): string {
  return texts.find((text) => text.path === path)?.text ?? '';
}
