/**
 * What was shown and done for a confirmation at P3, for a dispute. The request carries the SHA-256
 * of these bytes (PROTOCOL.md 3.5); the bytes stay on the device, with the entry of the outbox.
 *
 * They are JSON, because a person reads them, and begin with random salt, because everything else
 * in them could be guessed from the hash. No PIN is in them, and no recording: only its name.
 */
import { hash } from 'node:crypto';
import { toHex, utf8 } from '../src/bytes.ts';
import type { Clock, Random } from '../src/platform.ts';
import type { Frame } from './confirm.ts';

/** What the person did. */
export type Step = 'press' | 'wrong_pin' | 'pin' | 'wrong_phrase' | 'wrong_speaker' | 'phrase';

/** What a matcher of voices has judged. */
export type Judged = Readonly<{ phrase: string; recording: string }>;

export type Transcript = Readonly<{
  note: (step: Step, judged?: Judged) => void;
  /** The whole of it so far. */
  bytes: () => Uint8Array;
}>;

/** Begins a transcript when the question is shown. */
export function beginTranscript(
  shown: Readonly<{ frame: Frame; sentence: string }>,
  { random, clock }: Readonly<{ random: Random; clock: Clock }>,
): Transcript {
  const salt = toHex(random(SALT_BYTES));
  const shownMs = clock.monotonicMs();
  const done: ({ step: Step; afterMs: number } & Partial<Judged>)[] = [];
  return {
    note: (step, judged) =>
      void done.push({ step, afterMs: Math.round(clock.monotonicMs() - shownMs), ...judged }),
    bytes: () => utf8(JSON.stringify({ salt, shown, done })),
  };
}

/** As a request carries it. */
export function transcriptHash(bytes: Uint8Array): Uint8Array {
  return Uint8Array.from(hash('sha256', bytes, 'buffer'));
}

const SALT_BYTES = 16;
