// Real files with real modes: what others could have read is no key.
import {
  chmodSync,
  chownSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { toHex } from '../../src/bytes.ts';
import { EXITS, OperatorError } from '../../src/errors.ts';
import {
  createKeyFiles,
  openKeyFile,
  openSecretFile,
  readKeyFile,
  readSecretText,
  readVerifyKey,
  unlockKeyFile,
} from '../../src/keyfile.ts';
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

test('a pair: private 0600, public beside it or where told, and neither is overwritten', () => {
  const key = createKeyFiles(files, path, 'ES256');
  expect(modeOf(path)).toBe(0o600);
  expect(nameOf(readKeyFile(files, path))).toBe(key.name);
  expect(readVerifyKey(files, `${path}.pub`).name).toBe(key.name);
  const taken = (file: string) => `${file} exists already: choose another name`;
  expect(refusal(() => createKeyFiles(files, path, 'ES256'))).toBe(taken(path));

  const [other, publicPath] = [join(folder, 'b.pem'), `${path}.pub`];
  expect(refusal(() => createKeyFiles(files, other, 'EdDSA', { publicPath }))).toBe(
    taken(publicPath),
  );
  expect(files.read(other), 'half a pair').toBeUndefined();
  expect(nameOf(readKeyFile(files, path))).toBe(key.name);
});

describe('an encrypted key', () => {
  const passphrase = 'correct horse battery';
  const nobody = () => expect.fail('asked for a passphrase');
  /** As `refusal`, for what is asked for a passphrase. */
  const answered = async (answer: string) => {
    const unlocked = unlockKeyFile(files, path, () => answer);
    const [settled] = await Promise.allSettled([unlocked]);
    return refusal(() => {
      if (settled.status === 'rejected') throw settled.reason;
    });
  };

  test.each(['ES256', 'EdDSA'] as const)(
    '%s: opens with its passphrase only',
    async (algorithm) => {
      const key = createKeyFiles(files, path, algorithm, { passphrase });
      expect(readFileSync(path, 'utf8')).toMatch(/^-----BEGIN ENCRYPTED PRIVATE KEY-----\n/);
      expect(modeOf(path)).toBe(0o600);
      expect(nameOf(await unlockKeyFile(files, path, () => passphrase))).toBe(key.name);
      expect(readVerifyKey(files, `${path}.pub`).name).toBe(key.name);
      for (const wrong of ['', 'wrong', `${passphrase} `, 'Correct horse battery']) {
        expect(await answered(wrong), wrong).toBe(
          `${path} cannot be used: the passphrase is wrong`,
        );
      }
    },
  );

  test('is of no use to a program that asks nobody', () => {
    createKeyFiles(files, path, 'ES256', { passphrase });
    const why = `${path} cannot be used: encrypted, and no program asks for its passphrase`;
    expect(refusal(() => readKeyFile(files, path))).toBe(why);
    expect(refusal(() => openKeyFile(files, path, 'ES256'))).toBe(why);
  });

  test('a plain key asks nobody; one that others can read is refused before', async () => {
    const key = createKeyFiles(files, path, 'ES256');
    expect(nameOf(await unlockKeyFile(files, path, nobody))).toBe(key.name);
    chmodSync(path, 0o644);
    expect(await answered('')).toContain('can be read by others (mode 0644)');
  });

  test('a passphrase file: its text without the last line end, and private too', () => {
    for (const [written, read] of [
      ['a b c', 'a b c'],
      ['a b c\n', 'a b c'],
      ['a b c\r\n', 'a b c'],
      ['a b c \n\n', 'a b c \n'],
    ] as const) {
      writeFileSync(path, written, { mode: 0o600 });
      expect(readSecretText(files, path)).toBe(read);
    }
    chmodSync(path, 0o640);
    expect(refusal(() => readSecretText(files, path))).toContain('can be read by others');
  });
});
