/**
 * What the bridge's two pages are made of, by the names that they are asked for: esbuild makes them
 * out of broker/pages/ at the first question, and what was made is kept.
 *
 * This file is the seam of a bundled bridge: there `openPages` gives what was made beforehand.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** One file of a page, as it goes to the browser. */
export type Page = Readonly<{ body: Uint8Array; type: string }>;
export type Pages = (name: string) => Promise<Page | undefined>;

const root = join(import.meta.dirname, '../..');

/** The pages out of their sources; undefined for a name that none has. */
export function openPages(): Pages {
  let made: Promise<ReadonlyMap<string, Page>> | undefined;
  return async (name) => {
    made ??= makePages().catch((error: unknown) => {
      made = undefined;
      throw error;
    });
    return (await made).get(name);
  };
}

/** Every file of the pages, made now. */
export async function makePages(): Promise<ReadonlyMap<string, Page>> {
  const { build } = await import('esbuild');
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: { pair: 'broker/pages/pair/main.ts', wallet: 'broker/pages/wallet/main.ts' },
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
    },
    inject: ['./src/browser/buffer.ts'],
  });
  const scripts = outputFiles.map(
    ({ path, contents }) =>
      [path.slice(path.lastIndexOf('/') + 1), { body: contents, type: 'text/javascript' }] as const,
  );
  const texts = await Promise.all(
    TEXTS.map(async ([name, type]) => {
      const body = new Uint8Array(await readFile(join(root, 'broker/pages', name)));
      return [name, { body, type: `${type}; charset=utf-8` }] as const;
    }),
  );
  return new Map<string, Page>([...scripts, ...texts]);
}

const TEXTS = [
  ['pair.html', 'text/html'],
  ['wallet.html', 'text/html'],
  ['style.css', 'text/css'],
  ['icon.svg', 'image/svg+xml'],
] as const;
