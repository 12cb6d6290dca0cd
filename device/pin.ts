/**
 * The device's PIN, in a file of its folder (`device.pin`, mode 0600).
 *
 * It is argon2id and a number of tries that is counted down on the disk before anything is
 * compared, so that a power cut gives no free try. It guards against whoever holds the device, not
 * against whoever reads its disk: that person finds four digits in minutes, and with the key beside
 * them needs none. So nothing is mixed into it that would have to be kept somewhere else.
 *
 * Everything here blocks the loop, some tens of milliseconds on a board, on purpose: between the
 * count and the comparison nothing else may happen.
 */
import { argon2Sync, hash, timingSafeEqual } from 'node:crypto';
import { fromBase64url, toBase64url, utf8 } from '../src/bytes.ts';
import { PaymentError } from '../src/errors.ts';
import { readSecretText } from '../src/keyfile.ts';
import {
  PIN_DIGITS_MAX,
  PIN_DIGITS_MIN,
  PIN_MEMORY_KIB,
  PIN_PASSES,
  PIN_TRIES,
} from '../src/limits.ts';
import type { Files, Random } from '../src/platform.ts';

/** `damaged`: there is a PIN, and nobody knows which. */
export type PinState = 'none' | 'ready' | 'locked' | 'damaged';

export type Pin = Readonly<{
  /** Read anew each time: what the owner sets counts at once. */
  state: () => PinState;
  /**
   * Whether these are its digits, or how many tries are left. Throws PinFault when no try is left
   * or none is possible, `unavailable` when the disk does not take the count: nothing was compared.
   */
  check: (digits: string) => 'right' | number;
  /** Sets it, with all its tries. Throws when the disk refuses; then the one before stays. */
  set: (digits: string) => void;
  clear: () => void;
}>;

/** The confirmation that needs the PIN is not possible. */
export class PinFault extends PaymentError {
  readonly state: Exclude<PinState, 'ready'>;

  constructor(state: Exclude<PinState, 'ready'>) {
    super('presence_too_low', `the PIN of this device: ${state}`);
    this.name = 'PinFault';
    this.state = state;
  }
}

export const PIN_FILE = 'device.pin';

/** The PIN in the file `path`; whether there is one shows in its `state`. */
export function createPin(files: Files, random: Random, path: string): Pin {
  function state(): PinState {
    const kept = read();
    return typeof kept === 'string' ? kept : kept.left > 0 ? 'ready' : 'locked';
  }

  function read(): Kept | 'none' | 'damaged' {
    try {
      if (files.read(path) === undefined) return 'none';
      return parse(readSecretText(files, path)) ?? 'damaged';
    } catch {
      return 'damaged';
    }
  }

  function write(kept: Kept): void {
    files.replace(path, utf8(textOf(kept)), 0o600);
  }

  return {
    state,
    check(digits) {
      const kept = read();
      if (typeof kept === 'string') throw new PinFault(kept);
      if (kept.left === 0) throw new PinFault('locked');
      const counted = { ...kept, left: kept.left - 1 };
      try {
        write(counted);
      } catch (cause) {
        throw new PaymentError('unavailable', 'the disk does not count a try', { cause });
      }
      if (!timingSafeEqual(digest(digits, kept), kept.digest)) return counted.left;
      try {
        // Unless the owner has set another one meanwhile.
        if (sameSalt(read(), kept)) write({ ...kept, left: PIN_TRIES });
      } catch {
        // One try less from now on; the PIN was right all the same.
      }
      return 'right';
    },
    set: (digits) => files.replace(path, utf8(pinText(random, digits)), 0o600),
    clear: () => files.erase(path),
  };
}

/** What stands in the file of a PIN that was just set. */
export function pinText(random: Random, digits: string): string {
  const made = { memoryKib: PIN_MEMORY_KIB, passes: PIN_PASSES, salt: random(SALT_BYTES) };
  return textOf({ ...made, left: PIN_TRIES, digest: digest(digits, made) });
}

/** What is wrong with a new PIN, to the person who chose it; undefined when nothing is. */
export function pinFault(digits: string): string | undefined {
  if (!/^[0-9]+$/.test(digits)) return 'a PIN has digits only';
  if (digits.length < PIN_DIGITS_MIN || digits.length > PIN_DIGITS_MAX) {
    return `a PIN has ${PIN_DIGITS_MIN} to ${PIN_DIGITS_MAX} digits`;
  }
  const isGuessed = [...RUNS, digits[0]!.repeat(digits.length)].some((run) => run.includes(digits));
  return isGuessed ? 'that PIN is among the first that anybody tries: choose another' : undefined;
}

/** 1234, 4321 and their like. */
const RUNS = ['01234567890123', '32109876543210'];

type Recipe = Readonly<{ memoryKib: number; passes: number; salt: Uint8Array }>;
type Kept = Recipe & Readonly<{ left: number; digest: Uint8Array }>;

const SALT_BYTES = 16;
const DIGEST_BYTES = 32;

function digest(digits: string, { memoryKib, passes, salt }: Recipe): Uint8Array {
  const cost = { memory: memoryKib, passes, parallelism: 1, tagLength: DIGEST_BYTES };
  return argon2Sync('argon2id', { message: utf8(digits), nonce: salt, ...cost });
}

function sameSalt(one: Kept | string, other: Kept): boolean {
  return typeof one !== 'string' && toBase64url(one.salt) === toBase64url(other.salt);
}

/** Tries left, recipe, digest, and a seal by which a damaged file is told from a wrong PIN. */
function textOf({ left, memoryKib, passes, salt, digest }: Kept): string {
  const cost = `${memoryKib} ${passes}`;
  const text = `argon2id ${left} ${cost} ${toBase64url(salt)} ${toBase64url(digest)}`;
  return `${text} ${sealOf(text)}\n`;
}

function parse(text: string): Kept | undefined {
  const [, sealed = '', left, memoryKib, passes, salt, digest, seal] =
    /^(argon2id (\d) (\d{1,6}) (\d{1,2}) ([\w-]{22}) ([\w-]{43})) ([0-9a-f]{16})$/.exec(text) ?? [];
  if (salt === undefined || digest === undefined || seal !== sealOf(sealed)) return undefined;
  return {
    left: Number(left),
    memoryKib: Number(memoryKib),
    passes: Number(passes),
    salt: fromBase64url(salt),
    digest: fromBase64url(digest),
  };
}

function sealOf(text: string): string {
  return hash('sha256', text, 'hex').slice(0, 16);
}
