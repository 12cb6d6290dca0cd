/** gzip (RFC 1952), for what a person sends on. */
import { gzipSync } from 'node:zlib';

export function gzip(bytes: Uint8Array): Uint8Array {
  return Uint8Array.from(gzipSync(bytes));
}
