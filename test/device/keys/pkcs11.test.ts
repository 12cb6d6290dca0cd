// Real tokens: made, signed with, succeeded, taken out, put back, and refused without harm.
import { createPrivateKey } from 'node:crypto';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openKeyStore } from '../../../device/keys/choice.ts';
import { keyOf, openTokenKeys } from '../../../device/keys/pkcs11.ts';
import { KeyFailure, type KeyStore, checkKey } from '../../../device/keys/store.ts';
import { fromHex, toHex } from '../../../src/bytes.ts';
import { encodeCbor } from '../../../src/cbor.ts';
import { type Signer, openEnvelope, signEnvelope } from '../../../src/cose.ts';
import { OperatorError } from '../../../src/errors.ts';
import { loadTokens } from '../../../src/node/pkcs11.ts';
import { files, random } from '../../../src/node/platform.ts';
import {
  type Files,
  type LoadTokens,
  type OpenToken,
  TokenFailure,
  type TokenSession,
} from '../../../src/platform.ts';
import { generatePem, nodeSigner } from '../../../src/signer.ts';
import { REALM } from '../stage.ts';
import {
  type Hardware,
  PIN,
  type Tpm,
  build,
  createSoftHsm,
  createTpm,
  missingFor,
} from './tokens.ts';

const P256_HALF = 0x7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8n;

/** A device with a token; how often it logged in is counted. */
function deviceWith(hardware: Hardware, name: string) {
  const folder = join(hardware.folder, name);
  const pin = join(folder, 'pin');
  files.folder(folder);
  writeFileSync(pin, `${PIN}\n`, { mode: 0o600 });
  let logins = 0;
  const counted: LoadTokens = (module) => {
    const open = loadTokens(module);
    return (...all) => {
      logins++;
      return open(...all);
    };
  };
  const { module, token } = hardware;
  const config = { device: name, folder, keys: { store: 'pkcs11', module, token, pin } } as const;
  return {
    folder,
    pin,
    config,
    logins: () => logins,
    open: () => openKeyStore(config, (path) => path, { files, random, loadTokens: counted }),
  };
}

async function made(store: KeyStore) {
  await store.prepare();
  await store.promote();
  return store.current()!;
}

/** What a person is told when it does not sign, and of which kind it is. */
async function troubleOf(run: () => Promise<unknown>): Promise<string> {
  try {
    await run();
    return 'none';
  } catch (error) {
    if (!(error instanceof KeyFailure)) throw error;
    expect(error.reason).toBe('unavailable');
    return `${error.trouble}: ${error.message}`;
  }
}

type Kind = Readonly<{
  name: string;
  missing: string | undefined;
  create: () => Promise<Hardware>;
  signatures: number;
}>;

/** One for this file: the bus that its module speaks on is one per process, and stays. */
let tpm: Promise<Tpm> | undefined;
const theTpm = () => (tpm ??= createTpm());
afterAll(async () => (await tpm)?.close());

const TPM_PARTS = ['swtpm', 'tpm2-abrmd', 'tpm2-tools', 'tpm2-pkcs11', 'dbus'];
const kinds: readonly Kind[] = [
  {
    name: 'SoftHSM',
    missing: missingFor('softhsm2'),
    create: async () => createSoftHsm(),
    signatures: 200,
  },
  { name: 'a TPM', missing: missingFor(...TPM_PARTS), create: theTpm, signatures: 40 },
];

describe.each(kinds)('$name', ({ missing, create, signatures }) => {
  let hardware!: Hardware;
  beforeAll(async () => {
    if (missing !== undefined) return;
    build();
    hardware = await create();
  });
  afterAll(() => (tpm ? undefined : hardware?.close()));

  test('makes a key that signs for our verifier with low S and does not come out', async (c) => {
    if (missing !== undefined) c.skip(missing);
    const store = deviceWith(hardware, 'signs').open();
    expect([store.current(), store.next()]).toEqual([undefined, undefined]);
    const signer = await made(store);
    await checkKey(signer);
    expect(store.describe()).toBe('the token glasses');
    for (let n = 0; n < signatures; n++) {
      const envelope = await signEnvelope(encodeCbor(new Map([[1, n]])), REALM, 'request', signer);
      const opened = openEnvelope(envelope, REALM, 'request', () => signer.key);
      expect(opened.payload).toEqual(new Map([[1, n]]));
      expect(BigInt(`0x${toHex(envelope.slice(-32))}`) <= P256_HALF).toBe(true);
    }
    expect(['CKR_ATTRIBUTE_SENSITIVE', 'CKR_ATTRIBUTE_TYPE_INVALID']).toContain(
      hardware.readSecret(),
    );
  });

  test('two signatures at once, from two stores, both hold', async (c) => {
    if (missing !== undefined) c.skip(missing);
    const device = deviceWith(hardware, 'twice');
    const first = await made(device.open());
    const second = device.open().current()!;
    await Promise.all([checkKey(first), checkKey(second), checkKey(first)]);
  });

  test('succession: two slots, the old key is destroyed, restarts in between', async (c) => {
    if (missing !== undefined) c.skip(missing);
    const device = deviceWith(hardware, 'succeeds');
    const old = await made(device.open());
    const lost = await device.open().prepare();
    const next = await device.open().prepare();
    const store = device.open();
    expect(store.current()?.key.name).toBe(old.key.name);
    expect(store.next()?.key.name).toBe(next.key.name);
    await checkKey(store.next()!);
    expect(await troubleOf(() => checkKey(lost))).toContain('does not hold this device');
    await store.promote();
    expect(device.open().current()?.key.name).toBe(next.key.name);
    expect(device.open().next()).toBeUndefined();
    await checkKey(device.open().current()!);
    expect(await troubleOf(() => checkKey(old))).toBe(
      "refused: the token glasses does not hold this device's key: put the right one in, " +
        'or enrol anew',
    );
  });

  test('taken out: a clear refusal; put back: the same key signs, with no restart', async (c) => {
    if (missing !== undefined) c.skip(missing);
    const device = deviceWith(hardware, 'removed');
    const store = device.open();
    const signer = await made(store);
    await checkKey(signer);
    await hardware.remove();
    try {
      for (let n = 0; n < 2; n++) {
        expect(await troubleOf(() => checkKey(signer))).toMatch(
          /^away: the token glasses does not answer \(CKR_\w+\): put it in, or start what serves/,
        );
      }
      const blind = device.open();
      expect(blind.current()?.key.name, 'known without the token').toBe(signer.key.name);
      expect(await troubleOf(() => blind.prepare())).toMatch(/^away: /);
      expect(await troubleOf(() => blind.wipe())).toMatch(/^away: /);
      expect(device.open().current()?.key.name).toBe(signer.key.name);
    } finally {
      await hardware.putBack();
    }
    await checkKey(signer);
    const again = device.open();
    expect(again.current()?.key.name).toBe(signer.key.name);
    await checkKey(again.current()!);
    expect(again.next()).toBeUndefined();
  });

  test('a wrong PIN is tried once, over restarts too, until there is another', async (c) => {
    if (missing !== undefined) c.skip(missing);
    const device = deviceWith(hardware, 'pin');
    const signer = await made(device.open());
    writeFileSync(device.pin, '999999');
    const why =
      `refused: the token glasses refuses the PIN in ${device.pin}: put the right one there; ` +
      'this one is not tried again, so that the token does not lock';
    await hardware.remove();
    expect(await troubleOf(() => checkKey(signer))).toMatch(/^away: /);
    await hardware.putBack();
    const before = device.logins();
    for (let n = 0; n < 4; n++) expect(await troubleOf(() => checkKey(signer))).toBe(why);
    const restarted = device.open();
    for (let n = 0; n < 4; n++) {
      expect(await troubleOf(() => checkKey(restarted.current()!))).toBe(why);
    }
    // The running store had a session: that one is tried, and then the module once.
    expect(device.logins() - before).toBeLessThanOrEqual(2);
    expect(readFileSync(join(device.folder, 'pin.refused'))).toHaveLength(18);
    writeFileSync(device.pin, PIN);
    await checkKey(restarted.current()!);
    await checkKey(signer);
    expect(existsSync(join(device.folder, 'pin.refused'))).toBe(false);
  });

  test('wiped: the token holds nothing of this device, and all of another one', async (c) => {
    if (missing !== undefined) c.skip(missing);
    const device = deviceWith(hardware, 'wiped');
    const other = await made(deviceWith(hardware, 'kept').open());
    const store = device.open();
    const signer = await made(store);
    const next = await store.prepare();
    await store.wipe();
    expect([store.current(), device.open().current()]).toEqual([undefined, undefined]);
    for (const gone of [signer, next]) {
      expect(await troubleOf(() => checkKey(gone))).toContain('does not hold this device');
    }
    await checkKey(other);
    await store.wipe();
  });
});

describe('a TPM that loses power', () => {
  const missing = missingFor(...TPM_PARTS);
  test('locks after some cuts, says how to mend it, and signs again when mended', async (c) => {
    if (missing !== undefined) c.skip(missing);
    build();
    const chip = await theTpm();
    const signer = await made(deviceWith(chip, 'cut').open());
    const locked =
      'refused: the token glasses is locked (wrong PINs, or a TPM that lost power too often): ' +
      'for a TPM run tpm2_dictionarylockout --clear-lockout, for others see docs/keys.md';
    let told = 'none';
    for (let cuts = 0; cuts < 6 && told === 'none'; cuts++) {
      await chip.cutPower();
      told = await troubleOf(() => checkKey(signer));
    }
    expect(told).toBe(locked);
    chip.tool('tpm2_dictionarylockout', ['--clear-lockout']);
    await checkKey(signer);
    // As docs/keys.md provisions it: then no number of cuts that a shop sees locks it.
    const parameters = ['--max-tries=1000', '--recovery-time=60', '--lockout-recovery-time=600'];
    chip.tool('tpm2_dictionarylockout', ['--setup-parameters', ...parameters]);
    for (let cuts = 0; cuts < 4; cuts++) {
      await chip.cutPower();
      expect(await troubleOf(() => checkKey(signer))).toBe('none');
    }
  });
});

describe('what stands in the way is told when the device starts', () => {
  const missing = missingFor('softhsm2');
  let hardware: Hardware | undefined;
  afterAll(() => hardware?.close());

  function refusal(run: () => unknown): string {
    try {
      run();
      return 'accepted';
    } catch (error) {
      expect(error).toBeInstanceOf(OperatorError);
      return (error as OperatorError).message;
    }
  }

  test('a PIN or register that cannot be read, a module that is none', async (c) => {
    if (missing !== undefined) c.skip(missing);
    build();
    hardware = createSoftHsm();
    const device = deviceWith(hardware, 'start');
    await made(device.open());
    chmodSync(device.pin, 0o644);
    expect(refusal(device.open)).toContain(`${device.pin} can be read by others (mode 0644)`);
    chmodSync(device.pin, 0o600);
    for (const text of ['', '\n', '12\n34', 'x'.repeat(256)]) {
      writeFileSync(device.pin, text);
      expect(refusal(device.open)).toBe(`${device.pin} holds no PIN: one line of 1 to 255 signs`);
    }
    rmSync(device.pin);
    expect(refusal(device.open)).toContain(`${device.pin} does not exist`);
    writeFileSync(device.pin, PIN, { mode: 0o600 });
    expect(refusal(device.open)).toBe('accepted');

    const register = join(device.folder, 'device.token.json');
    const whole = readFileSync(register, 'utf8');
    for (const text of ['', '{', '[]', whole.replace('"id": "', '"id": "x'), whole.slice(0, 99)]) {
      writeFileSync(register, text);
      expect(refusal(device.open)).toMatch(/device\.token\.json is damaged \(.*\): restore it/);
    }

    const keys = { ...device.config.keys, module: join(device.folder, 'none.so') };
    const open = () =>
      openKeyStore({ ...device.config, keys }, (path) => path, { files, random, loadTokens });
    expect(refusal(open)).toMatch(/^the PKCS #11 module of this device cannot be loaded: .*none/);
    const bare = () => openKeyStore(device.config, (path) => path, { files, random });
    expect(refusal(bare)).toBe('keys in hardware cannot be used here');
  });

  test('a PIN out of a systemd credential', async (c) => {
    if (missing !== undefined) c.skip(missing);
    hardware ??= createSoftHsm();
    const device = deviceWith(hardware, 'credential');
    rmSync(device.pin);
    const credentials = join(device.folder, 'credentials');
    files.folder(credentials);
    writeFileSync(join(credentials, 'saytap.pin'), `${PIN}\n`, { mode: 0o440 });
    const keys = { ...device.config.keys, pin: 'saytap.pin' };
    const ports = { files, random, loadTokens, credentials };
    const store = openKeyStore({ ...device.config, keys }, (path) => path, ports);
    await checkKey(await made(store));
  });
});

/** A token of memory, and one that answers as it is told. */
function createMemory(answer: () => TokenFailure | undefined = () => undefined) {
  const keys = new Map<string, Signer>();
  const asking = async <T>(run: () => T): Promise<T> => {
    const failure = answer();
    if (failure) throw failure;
    return run();
  };
  const session: TokenSession = {
    generate: (id) =>
      asking(() => {
        const signer = nodeSigner(createPrivateKey(generatePem('ES256')));
        keys.set(toHex(id), signer);
        const { x, y } = signer.key.public as { x: Uint8Array; y: Uint8Array };
        return Uint8Array.from([0x04, 0x41, 0x04, ...x, ...y]);
      }),
    sign: () => asking(() => new Uint8Array(64)),
    list: () => asking(() => [...keys.keys()].map(fromHex)),
    destroy: (id) => asking(() => void keys.delete(toHex(id))),
  };
  return { keys, open: () => asking(() => session) };
}

describe('without a real token', () => {
  const pin = { from: 'pin', read: () => PIN };
  const openWith = (open: OpenToken, folder: string, ports = files) =>
    openTokenKeys({ files: ports, random, open, folder, device: 'd', token: 'glasses', pin });

  test('a crash at any step of prepare and promote leaves a key, and loses none', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'saytap-register-'));
    for (const verb of ['prepare', 'promote'] as const) {
      for (let last = 0, isDone = false; !isDone; last++) {
        rmSync(folder, { recursive: true });
        files.folder(folder);
        let left = Infinity;
        const die = () => (left-- <= 0 ? new TokenFailure('CKR_DEVICE_REMOVED', 'cut') : undefined);
        const memory = createMemory(die);
        const dying: Files = {
          ...files,
          replace(...all) {
            if (left-- <= 0) throw new Error('power cut');
            files.replace(...all);
          },
        };
        const store = openWith(memory.open, folder, dying);
        const old = (await made(store)).key.name;
        const next = verb === 'promote' ? (await store.prepare()).key.name : undefined;
        left = last;
        isDone = await store[verb]().then(
          () => left >= 0,
          () => false,
        );
        left = Infinity;
        const after = openWith(memory.open, folder);
        const now = after.current()?.key.name;
        expect(verb === 'prepare' ? [old] : [old, next]).toContain(now);
        // Whatever was left behind is destroyed by the next succession.
        await after.prepare();
        await after.promote();
        expect(memory.keys.size).toBe(1);
      }
    }
    rmSync(folder, { recursive: true });
  });

  test.each([
    ['CKR_PIN_INCORRECT', /^refused: .* refuses the PIN in pin/, 1],
    ['CKR_PIN_LOCKED', /^refused: .* locked .*tpm2_dictionarylockout --clear-lockout/, 1],
    ['CKR_PIN_EXPIRED', /^refused: .* no PIN in force/, 1],
    ['CKR_MECHANISM_INVALID', /^refused: .* does not do ECDSA over P-256/, 1],
    ['TWO_TOKENS', /^refused: two tokens are named glasses/, 1],
    ['BARE_KEY', /^refused: .* can be read out/, 1],
    ['SLOW', /^away: the token glasses does not answer \(why\)/, 1],
    ['NO_TOKEN', /^away: no token is named glasses: put it in$/, 2],
    ['CKR_DEVICE_REMOVED', /^away: the token glasses does not answer/, 2],
    ['CKR_GENERAL_ERROR', /^away: the token glasses does not answer/, 2],
  ] as const)('%s: what to do, and how often it is opened', async (code, words, times) => {
    const folder = mkdtempSync(join(tmpdir(), 'saytap-register-'));
    let opened = 0;
    const memory = createMemory(() => {
      opened++;
      return new TokenFailure(code, 'why');
    });
    expect(await troubleOf(() => openWith(memory.open, folder).prepare())).toMatch(words);
    expect(opened).toBe(times);
    rmSync(folder, { recursive: true });
  });

  test('a signature that is not of this key is no signature', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'saytap-register-'));
    const signer = await made(openWith(createMemory().open, folder));
    expect(await troubleOf(() => checkKey(signer))).toBe(
      'refused: the token glasses signs with another key',
    );
    rmSync(folder, { recursive: true });
  });
});

const POINT =
  '0441046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296' +
  '4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5';

describe('CKA_EC_POINT', () => {
  test('a DER OCTET STRING around an uncompressed point', () => {
    const { x } = keyOf(fromHex(POINT)).public;
    expect(toHex(x)).toBe(POINT.slice(6, 70));
  });

  test.each([
    ['bare, as before PKCS #11 2.11', POINT.slice(4), 'unavailable'],
    ['compressed', `042102${POINT.slice(6, 70)}`, 'unavailable'],
    ['in a long length', `048141${POINT.slice(4)}`, 'unavailable'],
    ['with a byte behind it', `${POINT}00`, 'unavailable'],
    ['too short', POINT.slice(0, -2), 'unavailable'],
    ['empty', '', 'unavailable'],
    ['of another form', POINT.replace('044104', '044106'), 'unavailable'],
    ['off the curve', `${POINT.slice(0, -2)}f6`, 'malformed'],
  ])('%s is refused', (_why, hex, reason) => {
    try {
      keyOf(fromHex(hex));
      expect.fail('accepted');
    } catch (error) {
      expect((error as KeyFailure).reason).toBe(reason);
    }
  });
});
