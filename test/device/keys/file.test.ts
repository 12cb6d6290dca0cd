// Two slots in real files: encrypted under a credential, and whole after a crash at any step.
import { createPrivateKey } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openKeyStore } from '../../../device/keys/choice.ts';
import { openFileKeys } from '../../../device/keys/file.ts';
import { checkKey } from '../../../device/keys/store.ts';
import { utf8 } from '../../../src/bytes.ts';
import { EXITS, OperatorError } from '../../../src/errors.ts';
import { files, random } from '../../../src/node/platform.ts';
import type { Files } from '../../../src/platform.ts';
import { generatePem, nodeSigner } from '../../../src/signer.ts';

const SECRET = utf8('sixteen bytes ok');
let folder = '';
let path = '';
let nextPath = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'saytap-keys-'));
  path = join(folder, 'device.key.pem');
  nextPath = join(folder, 'device.next.key.pem');
});
afterEach(() => rmSync(folder, { recursive: true }));

const open = (credential?: Uint8Array, ports: Files = files) =>
  openFileKeys({ files: ports, random, folder, credential });

async function made(credential?: Uint8Array) {
  const store = open(credential);
  await store.prepare();
  await store.promote();
  return store;
}

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

describe('two slots', () => {
  test('nothing at first; prepared, promoted, succeeded; the same after a restart', async () => {
    const store = open();
    expect([store.current(), store.next()]).toEqual([undefined, undefined]);
    const first = await store.prepare();
    expect(store.current()).toBeUndefined();
    expect(open().next()?.key.name).toBe(first.key.name);
    await store.promote();
    expect(store.current()?.key.name).toBe(first.key.name);
    expect(store.next()).toBeUndefined();
    await checkKey(store.current()!);

    const second = await store.prepare();
    expect(second.key.name).not.toBe(first.key.name);
    expect(store.current()?.key.name).toBe(first.key.name);
    const again = open();
    expect(again.current()?.key.name).toBe(first.key.name);
    expect(again.next()?.key.name).toBe(second.key.name);
    await again.promote();
    expect(open().current()?.key.name).toBe(second.key.name);
    expect(readdirSync(folder)).toEqual(['device.key.pem']);
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test('a successor that was never promoted is replaced by the next one', async () => {
    const store = await made();
    const lost = await store.prepare();
    const next = await store.prepare();
    expect(next.key.name).not.toBe(lost.key.name);
    expect(open().next()?.key.name).toBe(next.key.name);
  });

  test('a successor is of the algorithm in use', async () => {
    writeFileSync(path, generatePem('EdDSA'), { mode: 0o600 });
    expect((await open().prepare()).key.algorithm).toBe('EdDSA');
  });

  test('wiped: both are gone, with what a crash left, and a second time does no harm', async () => {
    const store = await made();
    await store.prepare();
    writeFileSync(`${path}.new`, 'left by a crash', { mode: 0o600 });
    const aside = join(folder, 'aside');
    linkSync(path, aside);
    await store.wipe();
    expect([store.current(), store.next()]).toEqual([undefined, undefined]);
    expect(readdirSync(folder)).toEqual(['aside']);
    expect(
      readFileSync(aside).every((byte) => byte === 0),
      'erased where it stood',
    ).toBe(true);
    await store.wipe();
    expect(open().current()).toBeUndefined();
  });
});

test('a crash at any step of prepare, promote and wipe leaves a store that opens', async () => {
  let steps = 0;
  for (const verb of ['prepare', 'promote', 'wipe'] as const) {
    for (let last = 0; ; last++) {
      rmSync(folder, { recursive: true });
      files.folder(folder);
      const before = await made(SECRET);
      const old = before.current()!.key.name;
      const successor = verb === 'prepare' ? undefined : (await before.prepare()).key.name;
      let left = last;
      const store = open(
        SECRET,
        dying(() => left-- <= 0),
      );
      const done = await store[verb]().then(
        () => true,
        () => false,
      );
      steps++;
      const after = open(SECRET);
      const now = [after.current()?.key.name, after.next()?.key.name];
      if (verb === 'prepare') expect(now[0]).toBe(old);
      if (verb === 'promote') {
        expect([
          [old, successor],
          [successor, undefined],
        ]).toContainEqual(now);
        if (done) expect(now).toEqual([successor, undefined]);
      }
      if (verb === 'wipe' && done) expect(now).toEqual([undefined, undefined]);
      for (const name of readdirSync(folder)) expect(name).not.toBe('');
      if (done) break;
    }
  }
  expect(steps).toBeGreaterThan(6);
});

/** Files that end the program before the write for which `isDead` says so. */
function dying(isDead: () => boolean): Files {
  const die = () => {
    if (isDead()) throw new Error('power cut');
  };
  return {
    ...files,
    replace(...all) {
      die();
      files.replace(...all);
    },
    erase(name) {
      die();
      files.erase(name);
    },
  };
}

describe('under a credential', () => {
  test('keys lie encrypted, and open with the same secret only', async () => {
    const store = await made(SECRET);
    await store.prepare();
    for (const file of [path, nextPath]) {
      expect(readFileSync(file, 'utf8')).toMatch(/^-----BEGIN ENCRYPTED PRIVATE KEY-----\n/);
    }
    expect(open(SECRET).current()?.key.name).toBe(store.current()?.key.name);
    expect(open(SECRET).next()?.key.name).toBe(store.next()?.key.name);
    expect(open(SECRET).describe()).toBe('an encrypted file');
    expect(refusal(() => open(utf8('another sixteen!')))).toBe(
      `${path} cannot be used: it was encrypted under another secret than the credential ` +
        'saytap.key holds now: put that one back, or enrol this device anew',
    );
    expect(refusal(() => open())).toBe(
      `${path} cannot be used: it is encrypted, and systemd gave this program no credential: ` +
        'put LoadCredentialEncrypted=saytap.key under [Service] in its unit (docs/keys.md)',
    );
  });

  test('a plain key is encrypted when it is first found with one, and its bytes erased', () => {
    const pem = generatePem('ES256');
    writeFileSync(path, pem, { mode: 0o400 });
    const aside = join(folder, 'aside');
    linkSync(path, aside);
    const { name } = nodeSigner(createPrivateKey(pem)).key;
    expect(open().describe()).toBe('a file, not encrypted');
    expect(readFileSync(path, 'utf8')).toBe(pem);
    expect(open(SECRET).current()?.key.name).toBe(name);
    expect(readFileSync(path, 'utf8')).toContain('BEGIN ENCRYPTED PRIVATE KEY');
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readFileSync(aside)).toEqual(Buffer.alloc(pem.length));
    expect(existsSync(`${path}.new`)).toBe(false);
    expect(open(SECRET).current()?.key.name).toBe(name);
  });

  test.each([15, 4097])('a secret of %i bytes is refused', (length) => {
    expect(refusal(() => open(new Uint8Array(length)))).toBe(
      `the credential saytap.key has ${length} bytes: 16 to 4096 are needed`,
    );
  });

  test('it is found in the folder that systemd names, whatever its mode', async () => {
    const credentials = join(folder, 'credentials');
    files.folder(credentials);
    writeFileSync(join(credentials, 'saytap.key'), SECRET, { mode: 0o440 });
    const config = { device: 'd', folder: 'device', keys: { store: 'file' } } as const;
    const store = openKeyStore(config, (name) => join(folder, name), {
      files,
      random,
      credentials,
    });
    files.folder(join(folder, 'device'));
    await store.prepare();
    expect(readFileSync(join(folder, 'device', 'device.next.key.pem'), 'utf8')).toContain(
      'BEGIN ENCRYPTED PRIVATE KEY',
    );
  });
});

test('a key that others can read is refused, encrypted or not', async () => {
  await made(SECRET);
  chmodSync(path, 0o640);
  const why =
    `${path} can be read by others (mode 0640): treat it as stolen and make a new one, ` +
    `or run chmod 600 ${path} if you are sure`;
  expect(refusal(() => open(SECRET))).toBe(why);
  expect(refusal(() => open())).toBe(why);
});

test('a file that is no key is named', () => {
  writeFileSync(nextPath, 'hello', { mode: 0o600 });
  expect(refusal(() => open())).toBe(`${nextPath} cannot be used: not a private key in PEM`);
});
