/**
 * What proves, after the physical act, that it is the owner who confirms (presence P3): the
 * device's PIN, entered on the device. Where none is set, and only there, a random phrase matched
 * to the speaker, if somebody has brought a matcher.
 *
 * A PIN that is locked is not replaced by a voice: whoever guessed at the one would try the other.
 * A proof alone hears what is done while it is asked for; cancel words and taking the device off
 * never come here, since they end the question (question.ts).
 */
import assert from 'node:assert/strict';
import { PIN_DIGITS_MAX } from '../src/limits.ts';
import { type Pin, PinFault } from './pin.ts';
import { type Language, phrases } from './phrases.ts';
import type { Proof } from './question.ts';
import type { Speaker } from './speaker.ts';
import type { Transcript } from './transcript.ts';
import { SpeakerFault } from './tries.ts';

export type Factor = 'pin' | 'phrase';

export type Proofs = Readonly<{
  /** What would be asked for now; or why nothing can be. */
  factor: () => Factor | PinFault | SpeakerFault;
  /** One confirmation. `ask` shows what is asked for, `note` is told each step. */
  begin: (factor: Factor, ask: (sentence: string) => void, note: Transcript['note']) => Proof;
}>;

export function createProofs(
  parts: Readonly<{
    pin: Pin;
    speaker: Speaker | undefined;
    language: Language;
    say: (sentence: string) => void;
  }>,
): Proofs {
  const { pin, speaker, language, say } = parts;
  return {
    factor() {
      const state = pin.state();
      if (state === 'ready') return 'pin';
      const voice = state === 'none' ? speaker?.state() : undefined;
      if (voice === undefined) return new PinFault(state);
      return voice === 'ready' ? 'phrase' : new SpeakerFault(voice);
    },
    begin(factor, ask, note) {
      if (factor === 'pin') return pinProof({ pin, language, ask, say, note });
      assert(speaker, 'no phrase without a matcher');
      return speaker.proof({ language, ask, say, note });
    },
  };
}

/** The PIN as a proof. The digits are neither told, shown nor logged. */
function pinProof(
  parts: Readonly<{
    pin: Pin;
    language: Language;
    /** Shows that the PIN is to be entered. */
    ask: (sentence: string) => void;
    say: (sentence: string) => void;
    note: Transcript['note'];
  }>,
): Proof {
  const { pin, language, ask, say, note } = parts;
  return {
    ask() {
      note('press');
      ask(phrases.enterPin(language));
    },
    take(sensed) {
      if (sensed.kind === 'utterance') {
        say(phrases.neverSayPin(language));
        return false;
      }
      // What cannot be a PIN is a slip, and costs no try.
      if (sensed.kind !== 'pin' || !CAN_BE_PIN.test(sensed.digits)) {
        say(phrases.enterPin(language));
        return false;
      }
      const answer = pin.check(sensed.digits);
      note(answer === 'right' ? 'pin' : 'wrong_pin');
      if (answer === 'right') return true;
      if (answer === 0) throw new PinFault('locked');
      say(phrases.wrongPin(answer, language));
      return false;
    },
  };
}

const CAN_BE_PIN = new RegExp(`^[0-9]{1,${PIN_DIGITS_MAX}}$`);
