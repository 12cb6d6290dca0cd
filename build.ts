/**
 * `npm run build`: one file per program, dist/device.mjs and dist/bridge.mjs, each of which runs
 * with nothing beside it but Node.
 *
 * Left out is what libraries carry for others and this project never asks for: other transports,
 * topic aliases and traces for developers (MQTT.js), threads and several streams (pino), all but
 * counters and gauges (prom-client), and a copy of Node's own streams. What programs read from
 * beside their sources (the wasm of the code reader, the bridge's pages) is put into the file.
 *
 * Usage: npm run build [-- --out DIR]
 */
import { type Metafile, type OutputFile, type Plugin, build } from 'esbuild';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { brotliCompressSync } from 'node:zlib';
import { type PageSet, makePages } from './src/node/pages.ts';

/** The major version that package.json asks for. */
const NODE = 24;
const SIDES = ['device', 'bridge'] as const;
/** The pages that each serves. */
const PAGES = { device: 'screen', bridge: 'bridge' } as const;
/** Camera (reading codes out of pictures), keys in a token, and the page of a kiosk's display. */
const DRIVERS = {
  device: /zxing-wasm|pngjs|node\/wasm\.ts$|pkcs11|node\/pages\.ts$/,
  bridge: /zxing-wasm|pngjs|node\/wasm\.ts$|pkcs11/,
};
/** Packages, and modules of packages, that are asked for and used on no way that we go. */
const UNUSED = new RegExp(
  '^(ws|socks|worker-timers|lru-cache|thread-stream|on-exit-leak-free|tdigest' +
    '|@opentelemetry/api)$',
);
const UNUSED_MODULES = new RegExp(
  [
    'mqtt/(package\\.json|build/lib/connect)',
    'pino/lib/(transport|multistream)',
    'prom-client/lib/(bucketGenerators|cluster|defaultMetrics|histogram|metricAggregators)',
    'prom-client/lib/(pushgateway|summary)',
  ]
    .map((module) => `^${module}$`)
    .join('|'),
);

const { values } = parseArgs({ options: { out: { type: 'string', default: 'dist' } } });
const folder = resolve(values.out);
const root = import.meta.dirname;
const manifest = readFileSync(join(root, 'package.json'), 'utf8');
const { version } = JSON.parse(manifest) as { version: string };

mkdirSync(folder, { recursive: true });
for (const side of SIDES) report(side, await bundle(side));

async function bundle(side: (typeof SIDES)[number]): Promise<Metafile> {
  const { metafile, outputFiles } = await build({
    entryPoints: [join(root, 'src/cli.ts')],
    outfile: join(folder, `${side}.mjs`),
    bundle: true,
    minify: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    // Node shows the line that an error came from: not the whole file.
    lineLimit: 160,
    legalComments: 'none',
    metafile: true,
    write: false,
    logLevel: 'warning',
    define: { SAYTAP_SIDE: JSON.stringify(side), SAYTAP_VERSION: JSON.stringify(version) },
    alias: {
      // Without code made at run time, so that it also runs where that is forbidden.
      'cbor-x': 'cbor-x/index-no-eval',
      'readable-stream': 'node:stream',
      // Modules, of which what nobody asks for is left out; Node's own entry is one whole.
      yaml: join(root, 'node_modules/yaml/browser/dist/index.js'),
      // The code without what draws it: the device draws it itself.
      qrcode: 'qrcode/lib/core/qrcode.js',
    },
    // A native part: who keeps a key in a token puts it beside the file (docs/keys.md).
    external: ['pkcs11js'],
    plugins: [builtins(), unused(), wasm(), pages(PAGES[side])],
    banner: {
      js:
        "import { createRequire as createRequireOfFile } from 'node:module';" +
        'const require = createRequireOfFile(import.meta.url);' +
        `if (parseInt(process.versions.node) < ${NODE}) { ` +
        "console.error('saytap: this is Node ' + process.versions.node + " +
        `', and it needs Node ${NODE} or newer: https://nodejs.org'); ` +
        'process.exit(1); }',
    },
  });
  const [{ text }] = outputFiles as [OutputFile];
  writeFileSync(join(folder, `${side}.mjs`), text.replace(/[^\0-\x7f]/g, escape));
  return metafile;
}

/**
 * One character that is not ASCII makes V8 keep the whole file in two bytes for each. esbuild
 * leaves them in regular expressions alone, where an escape says the same.
 */
function escape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/**
 * Modules of Node as values, read when the file runs and not when it is linked: an older Node,
 * which most systems bring, then says that it is too old and not that `node:sqlite` is unknown.
 */
function builtins(): Plugin {
  return {
    name: 'builtins',
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /^node:/ }, ({ path, kind }) =>
        kind === 'import-statement' ? { path, namespace: 'builtins' } : undefined,
      );
      onLoad({ filter: /.*/, namespace: 'builtins' }, ({ path }) => ({
        contents: `module.exports = process.getBuiltinModule('${path}');`,
      }));
    },
  };
}

/** What is UNUSED throws when it is called after all; what a library tells its own is dropped. */
function unused(): Plugin {
  return {
    name: 'unused',
    setup({ onResolve, onLoad }) {
      onResolve({ filter: UNUSED }, ({ path }) => ({ path, namespace: 'unused' }));
      onResolve({ filter: /^\.{1,2}\// }, ({ path, importer }) => {
        const module = join(dirname(importer), path).split('/node_modules/').at(-1)!;
        return UNUSED_MODULES.test(module) ? { path: module, namespace: 'unused' } : undefined;
      });
      onLoad({ filter: /.*/, namespace: 'unused' }, ({ path }) => ({
        contents: `
        const leftOut = () => { throw new Error('${path} is left out of this file'); };
        const get = (own, name) => own[name] ?? leftOut;
        module.exports = new Proxy({ __esModule: true }, { get });`,
      }));
      onResolve({ filter: /^debug$/ }, ({ path }) => ({ path, namespace: 'silent' }));
      onLoad({ filter: /.*/, namespace: 'silent' }, () => ({
        contents: 'module.exports = () => Object.assign(() => {}, { enabled: false });',
      }));
    },
  };
}

/** The wasm of the code reader as a text inside the file. */
function wasm(): Plugin {
  return {
    name: 'wasm',
    setup({ onLoad }) {
      onLoad({ filter: /[/\\]src[/\\]node[/\\]wasm\.ts$/ }, () => {
        const path = createRequire(import.meta.url).resolve('zxing-wasm/reader/zxing_reader.wasm');
        const packed = brotliCompressSync(readFileSync(path)).toString('base64');
        return {
          contents: `import { brotliDecompressSync } from 'node:zlib';
          const packed = '${packed}';
          export const codeWasm = () =>
            Uint8Array.from(brotliDecompressSync(Buffer.from(packed, 'base64')));`,
        };
      });
    },
  };
}

/** A program's pages inside the file, compressed: most devices never show theirs. */
function pages(set: PageSet): Plugin {
  return {
    name: 'pages',
    setup({ onLoad }) {
      onLoad({ filter: /[/\\]src[/\\]node[/\\]pages\.ts$/ }, async () => {
        const made = [...(await makePages(set))].map(([name, { body, type }]) => {
          return [name, { body: Buffer.from(body).toString(), type }] as const;
        });
        const packed = brotliCompressSync(JSON.stringify(made)).toString('base64');
        return {
          contents: `import { brotliDecompressSync } from 'node:zlib';
            const packed = '${packed}';
            let made;
            export const openPages = () => async (name) => {
              made ??= new Map(JSON.parse(brotliDecompressSync(Buffer.from(packed, 'base64'))));
              const page = made.get(name);
              return page && { body: new TextEncoder().encode(page.body), type: page.type };
            };`,
        };
      });
    },
  };
}

/** What is in the file, largest first, so that a growth is seen where it happens. */
function report(side: (typeof SIDES)[number], { outputs }: Metafile): void {
  const [output] = Object.values(outputs);
  const sizes = new Map<string, number>();
  for (const [path, { bytesInOutput }] of Object.entries(output!.inputs)) {
    const name = /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1];
    const part = DRIVERS[side].test(path) ? 'drivers of hardware' : (name ?? 'saytap');
    sizes.set(part, (sizes.get(part) ?? 0) + bytesInOutput);
  }
  const kilobytes = (bytes: number) => `${(bytes / 1000).toFixed(0)} kB`;
  const drivers = sizes.get('drivers of hardware') ?? 0;
  const without = drivers > 0 ? `, ${kilobytes(output!.bytes - drivers)} without drivers` : '';
  console.log(`${join(values.out, side)}.mjs  ${kilobytes(output!.bytes)}${without}`);
  const largest = [...sizes].sort(([, a], [, b]) => b - a).slice(0, 8);
  console.log(`  ${largest.map(([name, bytes]) => `${name} ${kilobytes(bytes)}`).join(', ')}`);
}
