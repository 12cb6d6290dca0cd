/**
 * How many recordings in a row were not the owner's voice, in a file of the device's folder
 * (`device.speaker`): counted on the disk before anybody judges, so that a power cut gives no free
 * try. There is no file as long as none was wrong.
 */
import { hash } from 'node:crypto';
import { utf8 } from '../src/bytes.ts';
import { PaymentError } from '../src/errors.ts';
import { readSecretText } from '../src/keyfile.ts';
import { SPEAKER_TRIES } from '../src/limits.ts';
import type { Files } from '../src/platform.ts';

/** `locked`: too many were not the owner. `damaged`: nobody knows how many were. */
export type SpeakerState = 'ready' | 'locked' | 'damaged';

/** The confirmation by voice is not possible; `unheard`: this time. */
export class SpeakerFault extends PaymentError {
  readonly state: Exclude<SpeakerState, 'ready'> | 'unheard';

  constructor(state: SpeakerFault['state']) {
    super('presence_too_low', `the speaker of this device: ${state}`);
    this.name = 'SpeakerFault';
    this.state = state;
  }
}

export type Tries = Readonly<{
  /** Read anew each time: what the owner does about it counts at once. */
  state: () => SpeakerState;
  /**
   * Takes one; returns how many are left after it. Throws SpeakerFault when there is none,
   * `unavailable` when the disk does not take the count.
   */
  take: () => number;
  /** It was the owner: all of them again. When the disk refuses, it stays one less. */
  reset: () => void;
  /** Nobody judged: gives one back, unless the count is another than `left` meanwhile. */
  giveBack: (left: number) => void;
}>;

export const SPEAKER_FILE = 'device.speaker';

export function createTries(files: Files, path: string): Tries {
  function read(): number | undefined {
    try {
      if (files.read(path) === undefined) return SPEAKER_TRIES;
      const text = readSecretText(files, path);
      const left = Number(/^tries (\d) /.exec(text)?.[1]);
      return left <= SPEAKER_TRIES && `${text}\n` === textOf(left) ? left : undefined;
    } catch {
      return undefined;
    }
  }

  function write(left: number): void {
    files.replace(path, utf8(textOf(left)), 0o600);
  }

  return {
    state() {
      const left = read();
      return left === undefined ? 'damaged' : left > 0 ? 'ready' : 'locked';
    },
    take() {
      const left = read();
      if (left === undefined) throw new SpeakerFault('damaged');
      if (left === 0) throw new SpeakerFault('locked');
      try {
        write(left - 1);
      } catch (cause) {
        throw new PaymentError('unavailable', 'the disk does not count a try', { cause });
      }
      return left - 1;
    },
    reset() {
      try {
        files.erase(path);
      } catch {
        // One try less from now on; it was the owner all the same.
      }
    },
    giveBack(left) {
      try {
        if (read() === left) write(left + 1);
      } catch {
        // One try less from now on.
      }
    },
  };
}

/** With a seal by which a damaged file is told from one that nobody has touched. */
function textOf(left: number): string {
  const text = `tries ${left}`;
  return `${text} ${hash('sha256', text, 'hex').slice(0, 16)}\n`;
}
