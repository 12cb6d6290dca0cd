// Real files with real modes: what others could have read is no key.
import { chmodSync, chownSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { toHex } from '../../src/bytes.ts';
import { EXITS, OperatorError } from '../../src/errors.ts';
import { openKeyFile, openSecretFile, readKeyFile } from '../../src/keyfile.ts';
import { files, random } from '../../src/node/platform.ts';
import { generatePem, nodeSigner } from '../../src/signer.ts';

let folder = '';
let path = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'saytap-keyfile-'));
  path = join(folder, 'a.pem');
});
afterEach(() => rmSync(folder, { recursive: true }));

const modeOf = (file: string) => statSync(file).mode & 0o777;
const nameOf = (key: ReturnType<typeof openKeyFile>) => nodeSigner(key).key.name;

function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(OperatorError);
    expect((error as OperatorError).exit).toBe(EXITS.key);
    return (error as OperatorError).message;
  }
  return 'accepted';
}

test.each(['ES256', 'EdDSA'] as const)(
  '%s: made once with mode 0600, then the same',
  (algorithm) => {
    const old = process.umask(0);
    try {
      const made = nameOf(openKeyFile(files, path, algorithm));
      expect(modeOf(path)).toBe(0o600);
      expect(nameOf(openKeyFile(files, path, algorithm))).toBe(made);
      expect(nameOf(readKeyFile(files, path))).toBe(made);
      expect(nodeSigner(readKeyFile(files, path)).key.algorithm).toBe(algorithm);
      expect(nameOf(openKeyFile(files, join(folder, 'b.pem'), algorithm))).not.toBe(made);
    } finally {
      process.umask(old);
    }
  },
);

test.each([0o640, 0o604, 0o620, 0o610, 0o666, 0o777])('mode %o is refused', (mode) => {
  openKeyFile(files, path, 'ES256');
  chmodSync(path, mode);
  const why = refusal(() => openKeyFile(files, path, 'ES256'));
  expect(why).toBe(
    `${path} can be read by others (mode 0${mode.toString(8)}): treat it as stolen and make a ` +
      `new one, or run chmod 600 ${path} if you are sure`,
  );
  expect(refusal(() => readKeyFile(files, path))).toBe(why);
  chmodSync(path, 0o400);
  expect(refusal(() => openKeyFile(files, path, 'ES256'))).toBe('accepted');
});

test('of another user: refused', (context) => {
  if (process.getuid?.() !== 0) context.skip('only root can give a file away');
  openKeyFile(files, path, 'ES256');
  chownSync(path, 65_534, 65_534);
  expect(refusal(() => readKeyFile(files, path))).toBe(
    `${path} belongs to another user: run chown on it`,
  );
});

test('a key that must exist is not made', () => {
  expect(refusal(() => readKeyFile(files, path))).toBe(
    `${path} does not exist: make it with saytap keygen`,
  );
  expect(files.read(path)).toBeUndefined();
});

test.each([
  ['nothing', ''],
  ['text', 'hello'],
  ['half a key', generatePem('ES256').slice(0, 90)],
])('a file with %s is named and kept', (_why, text) => {
  writeFileSync(path, text, { mode: 0o600 });
  expect(refusal(() => openKeyFile(files, path, 'ES256'))).toBe(
    `${path} cannot be used: not a private key in PEM`,
  );
  expect(statSync(path).size).toBe(text.length);
});

test('a folder that is missing, or is a file: one line', () => {
  expect(refusal(() => openKeyFile(files, join(folder, 'no', 'a.pem'), 'ES256'))).toContain(
    'cannot be used: ENOENT',
  );
  writeFileSync(path, '', { mode: 0o600 });
  expect(refusal(() => openKeyFile(files, join(path, 'a.pem'), 'ES256'))).toContain(
    'cannot be used: ENOTDIR',
  );
  expect(refusal(() => openKeyFile(files, folder, 'ES256'))).toContain('cannot be used: EISDIR');
});

test('a secret: made once, hex, private; too short or no hex is refused', () => {
  const secret = openSecretFile(files, random, path, 32);
  expect(secret).toHaveLength(32);
  expect(modeOf(path)).toBe(0o600);
  expect(toHex(openSecretFile(files, random, path, 32))).toBe(toHex(secret));
  expect(refusal(() => openSecretFile(files, random, path, 33))).toBe(
    `${path} cannot be used: holds 32 bytes, 33 are needed`,
  );
  writeFileSync(path, 'not hex');
  expect(refusal(() => openSecretFile(files, random, path, 2))).toContain('cannot be used');
  chmodSync(path, 0o644);
  expect(refusal(() => openSecretFile(files, random, path, 2))).toContain('can be read by others');
});
