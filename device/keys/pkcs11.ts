/**
 * Keys in a PKCS #11 token: SoftHSM, a TPM 2.0 (tpm2-pkcs11), secure elements.
 *
 * One profile fits all of them: P-256, raw ECDSA over a SHA-256 that is computed here, low S made
 * here. The token keeps the keys and a register in the device's folder says which of them is which
 * (`device.token.json`: ids and public keys), because replacing one file is atomic and renaming
 * two objects in a token is not. So a device also starts, and knows who it is, without its token.
 *
 * A PIN that the token refused is never tried again until it is another one, over restarts too:
 * a service that restarts itself would lock the token within a minute.
 */
import assert from 'node:assert/strict';
import { hash, verify } from 'node:crypto';
import { join } from 'node:path';
import { bytesEqual, fromHex, toHex, utf8 } from '../../src/bytes.ts';
import { type Signer, lowS } from '../../src/cose.ts';
import { OperatorError } from '../../src/errors.ts';
import { type VerifyKey, loadKey } from '../../src/keys.ts';
import { PIN_CHARS_MAX } from '../../src/limits.ts';
import {
  type Files,
  type OpenToken,
  type Random,
  TokenFailure,
  type TokenSession,
} from '../../src/platform.ts';
import { publicPem, readPublicPem } from '../../src/signer.ts';
import { KeyFailure, type KeyStore } from './store.ts';

export type TokenParts = Readonly<{
  files: Files;
  random: Random;
  open: OpenToken;
  folder: string;
  /** Whose keys these are: the token's objects are labelled with it. */
  device: string;
  /** The token's label. */
  token: string;
  /** Where the PIN comes from, for messages, and the PIN as it stands there now. */
  pin: Readonly<{ from: string; read: () => string }>;
}>;

/**
 * Opens the keys; the token itself is first needed to sign. Throws OperatorError `key` when the
 * register or the PIN cannot be read.
 */
export function openTokenKeys(parts: TokenParts): KeyStore {
  const { files, folder } = parts;
  const path = join(folder, 'device.token.json');
  const label = `saytap ${parts.device}`;
  const inToken = createTurns(parts);
  let register = readRegister(files, path);
  parts.pin.read();

  function write(changed: Partial<Register>): void {
    register = { ...register, ...changed };
    files.replace(path, utf8(`${JSON.stringify(plainOf(register), null, 2)}\n`), 0o600);
  }

  /** Destroys what is used no more. Until it is done the register remembers it. */
  async function clear(): Promise<void> {
    const { retired } = register;
    if (retired.length === 0) return;
    await inToken(async (session) => {
      for (const id of retired) await session.destroy(id);
    });
    write({ retired: [] });
  }

  function signerOf(held: Held | undefined): Signer | undefined {
    if (!held) return undefined;
    const { id, key } = held;
    return Object.freeze({
      key,
      async sign(toBeSigned: Uint8Array) {
        const digest = Uint8Array.from(hash('sha256', toBeSigned, 'buffer'));
        const raw = await inToken((session) => session.sign(id, digest));
        if (!isSignature(key, toBeSigned, raw)) {
          throw new KeyFailure('refused', `the token ${parts.token} signs with another key`);
        }
        return lowS(raw);
      },
    });
  }

  return {
    current: () => signerOf(register.current),
    next: () => signerOf(register.next),
    async prepare() {
      const id = parts.random(16);
      const { next, retired } = register;
      // Noted before it is made: what a power cut leaves in the token is found and destroyed.
      write({ next: undefined, retired: [...retired, ...(next ? [next.id] : []), id] });
      const point = await inToken(async (session) => {
        for (const old of register.retired) await session.destroy(old);
        return session.generate(id, label);
      });
      write({ next: { id, key: keyOf(point) }, retired: [] });
      return signerOf(register.next)!;
    },
    async promote() {
      const { current, next, retired } = register;
      assert(next, 'promoted before it was prepared');
      write({
        current: next,
        next: undefined,
        retired: current ? [...retired, current.id] : retired,
      });
      // The successor is in use whether or not the token is there to destroy the old key.
      await clear().catch((error: unknown) => {
        if (!(error instanceof KeyFailure)) throw error;
      });
    },
    async wipe() {
      await inToken(async (session) => {
        const { current, next, retired } = register;
        const known = [current?.id, next?.id, ...retired].filter((id) => id !== undefined);
        for (const id of [...known, ...(await session.list(label))]) await session.destroy(id);
      });
      register = EMPTY;
      files.erase(path);
    },
    describe: () => `the token ${parts.token}`,
  };
}

// ── the session ──────────────────────────────────────────────────────────────────────────────

/**
 * Runs one thing after another in a session that is kept, and opened again when it is lost: at
 * first in the running module, then with the module started anew, so that a token that was put back
 * is found. Every failure comes out as a KeyFailure that says what to do.
 */
function createTurns(parts: TokenParts) {
  const { files, folder, pin } = parts;
  const refusals = createRefusals(files, join(folder, 'pin.refused'), parts.random);
  let session: TokenSession | undefined;
  let last: Promise<unknown> = Promise.resolve();

  async function attempt<T>(run: (session: TokenSession) => Promise<T>): Promise<T> {
    let failure: TokenFailure | undefined;
    for (const start of ['kept', 'shared', 'fresh'] as const) {
      if (start === 'kept' && !session) continue;
      try {
        if (start !== 'kept') session = await logIn(start);
        return await run(session!);
      } catch (error) {
        session = undefined;
        if (!(error instanceof TokenFailure)) throw error;
        failure = error;
        if (isFinal(error)) break;
      }
    }
    throw inWords(failure!, parts);
  }

  async function logIn(start: 'shared' | 'fresh'): Promise<TokenSession> {
    const value = readPin(pin);
    if (refusals.has(value)) throw new TokenFailure('CKR_PIN_INCORRECT', 'refused before');
    try {
      const opened = await parts.open(parts.token, value, start);
      refusals.forget();
      return opened;
    } catch (error) {
      if (error instanceof TokenFailure && isPinRefused(error)) refusals.note(value);
      throw error;
    }
  }

  return <T>(run: (session: TokenSession) => Promise<T>): Promise<T> => {
    const turn = last.then(() => attempt(run));
    last = turn.catch(() => {});
    return turn;
  };
}

/** The PIN is read for every session, so that a new one in the file counts at once. */
function readPin(pin: TokenParts['pin']): string {
  try {
    return pin.read();
  } catch (cause) {
    if (!(cause instanceof OperatorError)) throw cause;
    throw new KeyFailure('refused', cause.message, { cause });
  }
}

/**
 * The PIN that the token refused last: sixteen bits of a salted digest, which tell whether it is
 * another one now and are too few to find the PIN by.
 */
function createRefusals(files: Files, path: string, random: Random) {
  let refused: Uint8Array | undefined;
  const stored = files.read(path);
  if (stored && stored.length === SALT_BYTES + MARK_BYTES) refused = stored;
  const markOf = (salt: Uint8Array, pin: string) =>
    Uint8Array.from(hash('sha256', Buffer.concat([salt, utf8(pin)]), 'buffer')).subarray(
      0,
      MARK_BYTES,
    );

  return {
    has: (pin: string) =>
      refused !== undefined &&
      bytesEqual(markOf(refused.subarray(0, SALT_BYTES), pin), refused.subarray(SALT_BYTES)),
    note(pin: string) {
      const salt = random(SALT_BYTES);
      refused = Uint8Array.from([...salt, ...markOf(salt, pin)]);
      files.replace(path, refused, 0o600);
    },
    forget() {
      if (refused) files.erase(path);
      refused = undefined;
    },
  };
}

const SALT_BYTES = 16;
const MARK_BYTES = 2;

// ── failures ─────────────────────────────────────────────────────────────────────────────────

function isPinRefused({ code }: TokenFailure): boolean {
  return ['CKR_PIN_INCORRECT', 'CKR_PIN_INVALID', 'CKR_PIN_LEN_RANGE'].includes(code);
}

/** What another session could not change, or must not try. */
function isFinal(failure: TokenFailure): boolean {
  return isPinRefused(failure) || FINAL.has(failure.code);
}

const FINAL = new Set([
  'CKR_PIN_LOCKED',
  'CKR_PIN_EXPIRED',
  'CKR_USER_PIN_NOT_INITIALIZED',
  'CKR_MECHANISM_INVALID',
  'TWO_TOKENS',
  'BARE_KEY',
  'SLOW',
]);

/** What a person has to do next. */
function inWords(failure: TokenFailure, { token, pin }: TokenParts): KeyFailure {
  const say = (trouble: 'away' | 'refused', words: string) =>
    new KeyFailure(trouble, words, { cause: failure });
  if (isPinRefused(failure)) {
    return say(
      'refused',
      `the token ${token} refuses the PIN in ${pin.from}: put the right one there; ` +
        'this one is not tried again, so that the token does not lock',
    );
  }
  switch (failure.code) {
    case 'CKR_PIN_LOCKED':
      return say(
        'refused',
        `the token ${token} is locked (wrong PINs, or a TPM that lost power too often): for a ` +
          'TPM run tpm2_dictionarylockout --clear-lockout, for others see docs/keys.md',
      );
    case 'CKR_PIN_EXPIRED':
    case 'CKR_USER_PIN_NOT_INITIALIZED':
      return say('refused', `the token ${token} has no PIN in force: set one with its own tool`);
    case 'CKR_MECHANISM_INVALID':
      return say('refused', `the token ${token} does not do ECDSA over P-256`);
    case 'BARE_KEY':
      return say('refused', `the token ${token} makes keys that can be read out: use another`);
    case 'TWO_TOKENS':
      return say('refused', `two tokens are named ${token}: take one out or name it anew`);
    case 'NO_KEY':
      return say(
        'refused',
        `the token ${token} does not hold this device's key: put the right one in, or enrol anew`,
      );
    case 'NO_TOKEN':
      return say('away', `no token is named ${token}: put it in`);
    default:
      return say(
        'away',
        `the token ${token} does not answer (${failure.message}): put it in, ` +
          'or start what serves it (for a TPM: tpm2-abrmd or /dev/tpmrm0)',
      );
  }
}

// ── keys and register ────────────────────────────────────────────────────────────────────────

/**
 * CKA_EC_POINT is a DER OCTET STRING around an uncompressed point (PKCS #11 2.40 §2.3.3). Throws
 * KeyFailure for anything else; that the point lies on the curve is proved by `loadKey`.
 */
export function keyOf(point: Uint8Array): VerifyKey {
  const [tag, length, form] = point;
  if (point.length !== 67 || tag !== 0x04 || length !== 65 || form !== 0x04) {
    throw new KeyFailure('refused', `the token gives no P-256 point: ${toHex(point)}`);
  }
  return loadKey({ algorithm: 'ES256', x: point.slice(3, 35), y: point.slice(35) });
}

function isSignature(key: VerifyKey, signed: Uint8Array, signature: Uint8Array): boolean {
  const { handle } = key;
  if (signature.length !== 64) return false;
  return verify('sha256', signed, { key: handle, dsaEncoding: 'ieee-p1363' }, signature);
}

type Held = Readonly<{ id: Uint8Array; key: VerifyKey }>;

type Register = Readonly<{
  current: Held | undefined;
  next: Held | undefined;
  /** Ids of keys that are to be destroyed. */
  retired: readonly Uint8Array[];
}>;

const EMPTY: Register = Object.freeze({ current: undefined, next: undefined, retired: [] });

function plainOf({ current, next, retired }: Register): object {
  const plain = (held: Held | undefined) =>
    held && { id: toHex(held.id), key: publicPem(held.key) };
  return { current: plain(current), next: plain(next), retired: retired.map(toHex) };
}

function readRegister(files: Files, path: string): Register {
  const bytes = files.read(path);
  if (!bytes) return EMPTY;
  try {
    const { current, next, retired } = JSON.parse(new TextDecoder().decode(bytes)) as Record<
      string,
      unknown
    >;
    assert(Array.isArray(retired), 'no list of retired keys');
    return { current: heldOf(current), next: heldOf(next), retired: retired.map(idOf) };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new OperatorError('key', `${path} is damaged (${why}): restore it, or enrol anew`, {
      cause,
    });
  }
}

function heldOf(value: unknown): Held | undefined {
  if (value === undefined) return undefined;
  const { id, key } = value as Record<string, unknown>;
  assert(typeof key === 'string', 'a key that is no text');
  return { id: idOf(id), key: readPublicPem(key) };
}

function idOf(value: unknown): Uint8Array {
  assert(typeof value === 'string' && /^[0-9a-f]{32}$/.test(value), 'an id that is none');
  return fromHex(value);
}

/** The PIN of a file's text: without its line end. Throws OperatorError `key` for what is none. */
export function pinOf(text: string, from: string): string {
  const pin = text.replace(/\r?\n$/, '');
  if (pin === '' || pin.length > PIN_CHARS_MAX || /[\n\0]/.test(pin)) {
    throw new OperatorError('key', `${from} holds no PIN: one line of 1 to ${PIN_CHARS_MAX} signs`);
  }
  return pin;
}
