/**
 * PKCS #11 modules through the native half of `pkcs11js`, which whoever wants it builds.
 *
 * A module is one per process and speaks to one caller at a time: everything is done in turn, and
 * the signing itself in a thread, so that a slow chip does not stop the loop. Only what the
 * portable profile needs is here: P-256 pairs that stay in the token, and raw ECDSA over a digest.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { OperatorError } from '../errors.ts';
import { TOKEN_OBJECTS_MAX, TOKEN_SIGN_MS } from '../limits.ts';
import { type LoadTokens, TokenFailure, type TokenSession } from '../platform.ts';

/** The real tokens. Throws OperatorError `key` when the native part was not built. */
export const loadTokens: LoadTokens = (module) => {
  const loaded = load(module);
  const { cryptoki } = loaded;
  return (label, pin, start) =>
    inTurn(loaded, () => {
      if (start === 'fresh') ignoring(() => cryptoki.C_Finalize());
      initialise(cryptoki);
      const session = cryptoki.C_OpenSession(slotOf(cryptoki, label), SERIAL_AND_WRITING);
      try {
        logIn(cryptoki, session, pin);
      } catch (error) {
        ignoring(() => cryptoki.C_CloseSession(session));
        throw error;
      }
      return sessionOf(loaded, session);
    });
};

// ── what a session does ──────────────────────────────────────────────────────────────────────

function sessionOf(loaded: Loaded, session: Handle): TokenSession {
  const { cryptoki } = loaded;

  function find(template: Template): readonly Handle[] {
    cryptoki.C_FindObjectsInit(session, template);
    try {
      return cryptoki.C_FindObjects(session, TOKEN_OBJECTS_MAX);
    } finally {
      cryptoki.C_FindObjectsFinal(session);
    }
  }

  function privateKey(id: Uint8Array): Handle {
    const [key] = find([
      { type: CKA.CLASS, value: CKO.PRIVATE_KEY },
      { type: CKA.ID, value: Buffer.from(id) },
    ]);
    if (!key) throw new TokenFailure('NO_KEY', 'the token does not hold this key');
    return key;
  }

  function destroy(id: Uint8Array): void {
    for (const object of find([{ type: CKA.ID, value: Buffer.from(id) }])) {
      cryptoki.C_DestroyObject(session, object);
    }
  }

  return Object.freeze({
    generate: (id: Uint8Array, label: string) =>
      inTurn(loaded, () => {
        const named = [
          { type: CKA.KEY_TYPE, value: CKK_EC },
          { type: CKA.TOKEN, value: true },
          { type: CKA.ID, value: Buffer.from(id) },
          { type: CKA.LABEL, value: label },
        ];
        const pair = cryptoki.C_GenerateKeyPair(
          session,
          { mechanism: CKM.EC_KEY_PAIR_GEN },
          [
            ...named,
            { type: CKA.CLASS, value: CKO.PUBLIC_KEY },
            { type: CKA.VERIFY, value: true },
            { type: CKA.EC_PARAMS, value: Buffer.from(P256_OID) },
          ],
          [
            ...named,
            { type: CKA.CLASS, value: CKO.PRIVATE_KEY },
            { type: CKA.PRIVATE, value: true },
            { type: CKA.SENSITIVE, value: true },
            { type: CKA.EXTRACTABLE, value: false },
            { type: CKA.SIGN, value: true },
          ],
        );
        // PKCS #11 2.40 §2.1.2 lets a module ignore what it does not know: asked, not assumed.
        const [sensitive, extractable] = cryptoki
          .C_GetAttributeValue(session, pair.privateKey, [
            { type: CKA.SENSITIVE },
            { type: CKA.EXTRACTABLE },
          ])
          .map(({ value }) => value[0]);
        if (sensitive !== 1 || extractable !== 0) {
          destroy(id);
          throw new TokenFailure('BARE_KEY', 'the token made a key that can be read out');
        }
        const [point] = cryptoki.C_GetAttributeValue(session, pair.publicKey, [
          { type: CKA.EC_POINT },
        ]);
        return Uint8Array.from(point!.value);
      }),
    sign: (id: Uint8Array, digest: Uint8Array) =>
      inTurn(loaded, async () => {
        cryptoki.C_SignInit(session, { mechanism: CKM.ECDSA }, privateKey(id));
        // The thread reads and writes these two: they are named below, so that they stay.
        const [input, output] = [Buffer.from(digest), Buffer.alloc(SIGNATURE_BYTES_MAX)];
        const length = await new Promise<number>((done, fail) => {
          cryptoki.C_SignCallback(session, input, output, (error, count) =>
            error ? fail(error) : done(count),
          );
        });
        return input.length > 0 ? Uint8Array.from(output.subarray(0, length)) : input;
      }),
    list: (label: string) =>
      inTurn(loaded, () => {
        const found = find([
          { type: CKA.CLASS, value: CKO.PRIVATE_KEY },
          { type: CKA.LABEL, value: label },
        ]);
        return found.map((key) => {
          const [id] = cryptoki.C_GetAttributeValue(session, key, [{ type: CKA.ID }]);
          return Uint8Array.from(id!.value);
        });
      }),
    destroy: (id: Uint8Array) => inTurn(loaded, () => destroy(id)),
  });
}

// ── its steps ────────────────────────────────────────────────────────────────────────────────

function initialise(cryptoki: Cryptoki): void {
  try {
    cryptoki.C_Initialize({ flags: CKF_OS_LOCKING_OK });
  } catch (error) {
    if (codeOf(error) !== 'CKR_CRYPTOKI_ALREADY_INITIALIZED') throw error;
  }
}

/** Labels are filled up with blanks (PKCS #11 2.40 §3.2). */
function slotOf(cryptoki: Cryptoki, label: string): Handle {
  const found = cryptoki.C_GetSlotList(true).filter((slot) => {
    const info = present(() => cryptoki.C_GetTokenInfo(slot));
    return info?.label.replace(/[ \0]+$/, '') === label;
  });
  if (found.length > 1) throw new TokenFailure('TWO_TOKENS', `two tokens are named ${label}`);
  if (!found[0]) throw new TokenFailure('NO_TOKEN', `no token is named ${label}`);
  return found[0];
}

/** All sessions of a program are logged in or none: another one may have done it already. */
function logIn(cryptoki: Cryptoki, session: Handle, pin: string): void {
  try {
    cryptoki.C_Login(session, CKU_USER, pin);
  } catch (error) {
    if (codeOf(error) !== 'CKR_USER_ALREADY_LOGGED_IN') throw error;
  }
}

/** Between the list of slots and the question about one its token may have been taken out. */
function present<T>(run: () => T): T | undefined {
  try {
    return run();
  } catch (error) {
    const code = codeOf(error);
    if (code === 'CKR_TOKEN_NOT_PRESENT' || code === 'CKR_TOKEN_NOT_RECOGNIZED') return undefined;
    throw error;
  }
}

function ignoring(run: () => void): void {
  try {
    run();
  } catch {
    // It was not initialised, or its token is gone: it is to be started anew anyway.
  }
}

/** One call after another; TokenFailure `SLOW` when a token does not answer, until it does. */
async function inTurn<T>(loaded: Loaded, run: () => T | Promise<T>): Promise<T> {
  if (loaded.isSlow) throw slow();
  const turn = loaded.last.then(run).catch((error: unknown) => {
    throw failureOf(error);
  });
  loaded.last = turn.then(
    () => void (loaded.isSlow = false),
    () => void (loaded.isSlow = false),
  );
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    loaded.isSlow = true;
    late.reject(slow());
  }, TOKEN_SIGN_MS);
  try {
    return await Promise.race([turn, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

function slow(): TokenFailure {
  return new TokenFailure('SLOW', `no answer within ${TOKEN_SIGN_MS} ms`);
}

function failureOf(error: unknown): unknown {
  const code = codeOf(error);
  return code ? new TokenFailure(code, code, { cause: error }) : error;
}

/** The native half names the return value in its message: "CKR_PIN_INCORRECT:160". */
function codeOf(error: unknown): `CKR_${string}` | undefined {
  const [code] = error instanceof Error ? (/CKR_\w+/.exec(error.message) ?? []) : [];
  return code as `CKR_${string}` | undefined;
}

// ── the native half ──────────────────────────────────────────────────────────────────────────

const modules = new Map<string, Loaded>();

function load(path: string): Loaded {
  const known = modules.get(path);
  if (known) return known;
  const cryptoki = new (addon().PKCS11)();
  try {
    cryptoki.load(path);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new TokenFailure('NO_MODULE', why, { cause });
  }
  const loaded: Loaded = { cryptoki, last: Promise.resolve(), isSlow: false };
  modules.set(path, loaded);
  return loaded;
}

let native: Addon | undefined;

/** Beside this program (a bundle), or where `npm run build:pkcs11` puts it. */
function addon(): Addon {
  const path = [fileURLToPath(new URL('pkcs11.node', import.meta.url)), ...built()].find(
    existsSync,
  );
  if (path === undefined) {
    throw new OperatorError(
      'key',
      'keys in hardware need the native part of pkcs11js: run npm run build:pkcs11 (it needs ' +
        'g++), or put its pkcs11.node beside the program',
    );
  }
  const holder = { exports: {} };
  try {
    if (!native) process.dlopen(holder, path);
  } catch (cause) {
    throw new OperatorError(
      'key',
      `${path} was built for another machine: remove it and run npm run build:pkcs11 here`,
      { cause },
    );
  }
  return (native ??= holder.exports as Addon);
}

function built(): readonly string[] {
  try {
    const manifest = createRequire(import.meta.url).resolve('pkcs11js/package.json');
    return [join(dirname(manifest), 'build', 'Release', 'pkcs11.node')];
  } catch {
    return []; // Not installed: it is an optional package.
  }
}

type Addon = Readonly<{ PKCS11: new () => Cryptoki }>;

type Loaded = {
  readonly cryptoki: Cryptoki;
  /** Settles when everything that was asked so far is done. */
  last: Promise<void>;
  /** Something that was asked is not done in time, so nothing else is asked. */
  isSlow: boolean;
};

type Handle = Uint8Array;
type Mechanism = Readonly<{ mechanism: number }>;
type Template = readonly Readonly<{ type: number; value?: number | boolean | string | Buffer }>[];

/** What is used of the native class: Cryptoki's functions (PKCS #11 2.40 §5) under their names. */
type Cryptoki = {
  load(path: string): void;
  C_Initialize(options: Readonly<{ flags: number }>): void;
  C_Finalize(): void;
  C_GetSlotList(isPresent: boolean): readonly Handle[];
  C_GetTokenInfo(slot: Handle): Readonly<{ label: string }>;
  C_OpenSession(slot: Handle, flags: number): Handle;
  C_CloseSession(session: Handle): void;
  C_Login(session: Handle, user: number, pin: string): void;
  C_GenerateKeyPair(
    session: Handle,
    mechanism: Mechanism,
    publicTemplate: Template,
    privateTemplate: Template,
  ): Readonly<{ publicKey: Handle; privateKey: Handle }>;
  C_GetAttributeValue(
    session: Handle,
    object: Handle,
    template: Template,
  ): readonly Readonly<{ value: Buffer }>[];
  C_FindObjectsInit(session: Handle, template: Template): void;
  C_FindObjects(session: Handle, count: number): readonly Handle[];
  C_FindObjectsFinal(session: Handle): void;
  C_SignInit(session: Handle, mechanism: Mechanism, key: Handle): void;
  C_SignCallback(
    session: Handle,
    digest: Buffer,
    signature: Buffer,
    done: (error: Error | null, length: number) => void,
  ): void;
  C_DestroyObject(session: Handle, object: Handle): void;
};

// Values of PKCS #11 2.40, appendix A.
const CKA = Object.freeze({
  CLASS: 0x0,
  TOKEN: 0x1,
  PRIVATE: 0x2,
  LABEL: 0x3,
  KEY_TYPE: 0x100,
  ID: 0x102,
  SENSITIVE: 0x103,
  SIGN: 0x108,
  VERIFY: 0x10a,
  EXTRACTABLE: 0x162,
  EC_PARAMS: 0x180,
  EC_POINT: 0x181,
});
const CKO = Object.freeze({ PUBLIC_KEY: 2, PRIVATE_KEY: 3 });
const CKM = Object.freeze({ EC_KEY_PAIR_GEN: 0x1040, ECDSA: 0x1041 });
const CKK_EC = 3;
const CKU_USER = 1;
const CKF_OS_LOCKING_OK = 2;
/** CKF_SERIAL_SESSION | CKF_RW_SESSION. */
const SERIAL_AND_WRITING = 6;
/** prime256v1, 1.2.840.10045.3.1.7, in DER. */
const P256_OID = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const SIGNATURE_BYTES_MAX = 64;
