/** The wasm that reads codes, from where its package stands: by itself it would be downloaded. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

/** The bytes of zxing_reader.wasm. */
export function codeWasm(): Uint8Array {
  const path = createRequire(import.meta.url).resolve('zxing-wasm/reader/zxing_reader.wasm');
  return Uint8Array.from(readFileSync(path));
}
