/**
 * What web pages are made of, by the names that they are asked for: esbuild makes each set out of
 * its sources at the first question, and what was made is kept.
 *
 * This file is the seam of a bundled program: there `openPages` gives what was made beforehand, of
 * the sets that the program serves.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** One file of a page, as it goes to the browser. */
export type Page = Readonly<{ body: Uint8Array; type: string }>;
export type Pages = (name: string) => Promise<Page | undefined>;

/** The bridge's two pages, the screen of a device, and the simulator. */
export type PageSet = 'bridge' | 'screen' | 'simulator';

const root = join(import.meta.dirname, '../..');

/** The pages of a set out of their sources; undefined for a name that none has. */
export function openPages(set: PageSet): Pages {
  let made: Promise<ReadonlyMap<string, Page>> | undefined;
  return async (name) => {
    made ??= makePages(set).catch((error: unknown) => {
      made = undefined;
      throw error;
    });
    return (await made).get(name);
  };
}

/** Every file of a set, made now. */
export async function makePages(set: PageSet): Promise<ReadonlyMap<string, Page>> {
  const { scripts, texts } = SETS[set];
  const { build } = await import('esbuild');
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: scripts,
    outdir: 'pages',
    bundle: true,
    minify: true,
    write: false,
    format: 'esm',
    platform: 'browser',
    // What phones of some five years run; CSS nesting and the like are not used.
    target: ['es2022', 'chrome100', 'safari16', 'firefox100'],
    charset: 'utf8',
    legalComments: 'none',
    alias: {
      'node:crypto': './src/browser/crypto.ts',
      'node:assert/strict': './src/browser/assert.ts',
      // The usual build of cbor-x compiles readers with eval, which the pages' policy forbids.
      'cbor-x': 'cbor-x/index-no-eval',
      // The code without what draws it: a page draws it itself.
      qrcode: 'qrcode/lib/core/qrcode.js',
    },
    inject: ['./src/browser/buffer.ts'],
  });
  const compiled = outputFiles.map(
    ({ path, contents }) =>
      [path.slice(path.lastIndexOf('/') + 1), { body: contents, type: 'text/javascript' }] as const,
  );
  const read = await Promise.all(
    Object.entries(texts).map(async ([name, paths]) => {
      const parts = await Promise.all(paths.map((path) => readFile(join(root, path), 'utf8')));
      const body = new TextEncoder().encode(parts.join('\n'));
      const type = TYPES[name.slice(name.lastIndexOf('.') + 1)];
      return [name, { body, type: `${type}; charset=utf-8` }] as const;
    }),
  );
  return new Map<string, Page>([...compiled, ...read]);
}

const TYPES: Readonly<Record<string, string>> = {
  html: 'text/html',
  css: 'text/css',
  svg: 'image/svg+xml',
};

/** By name: the first file of each script, and the texts that are put together as they are. */
type Made = Readonly<{
  scripts: Readonly<Record<string, string>>;
  texts: Readonly<Record<string, readonly string[]>>;
}>;

const ICON = { 'icon.svg': ['broker/pages/icon.svg'] };

const SETS: Readonly<Record<PageSet, Made>> = {
  bridge: {
    scripts: { pair: 'broker/pages/pair/main.ts', wallet: 'broker/pages/wallet/main.ts' },
    texts: {
      'pair.html': ['broker/pages/pair.html'],
      'wallet.html': ['broker/pages/wallet.html'],
      'style.css': ['broker/pages/style.css'],
      ...ICON,
    },
  },
  screen: {
    scripts: { screen: 'device/page/main.ts' },
    texts: {
      'screen.html': ['device/page/screen.html'],
      'style.css': ['device/page/style.css'],
      ...ICON,
    },
  },
  simulator: {
    scripts: { simulator: 'simulator/page/main.ts' },
    texts: {
      'page.html': ['simulator/page/page.html'],
      // The devices look as they do on screens of their own.
      'style.css': ['device/page/style.css', 'simulator/page/style.css'],
      ...ICON,
    },
  },
};
