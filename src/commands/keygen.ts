/** `saytap keygen`: a new private key. */
import { toHex } from '../bytes.ts';
import { type Context, defineCommand } from '../command.ts';
import { createKeyFiles } from '../keyfile.ts';
import { requirePlace } from '../files.ts';
import type { Algorithm } from '../keys.ts';

export const command = defineCommand({
  summary: 'a new private key (mode 0600) and FILE.pub',
  about: 'For terminals, devices and agents; docs/keys.md tells who holds which key.',
  options: {
    out: { value: 'FILE', says: 'where the private key goes; never overwritten', needed: true },
    algorithm: {
      value: 'NAME',
      choices: ['ES256', 'EdDSA'],
      says: 'without it: ES256, which hardware can hold too',
    },
  },
  examples: ['keygen --out device.key.pem'],
  run({ options }, context) {
    makeKey(context, options.out, options.algorithm ?? 'ES256');
  },
});

/**
 * Makes the two files and says so. Throws OperatorError `key` when there is such a file, and
 * `storage` when there is no such folder.
 */
export function makeKey({ files, write }: Context, path: string, algorithm: Algorithm): void {
  requirePlace(files, path);
  const key = createKeyFiles(files, path, algorithm);
  write(`${path} (private, keep it) and ${path}.pub, key ${toHex(key.kid)}`);
}
