/**
 * What proves, after the physical act, that it is the owner who confirms (presence P3): the
 * device's PIN, entered on the device.
 *
 * A proof alone hears what is done while it is asked for; cancel words and taking the device off
 * never come here, since they end the question (question.ts).
 */
import { PIN_DIGITS_MAX } from '../src/limits.ts';
import { type Pin, PinFault } from './pin.ts';
import { type Language, phrases } from './phrases.ts';
import type { Sensed } from './sense/sensed.ts';
import type { Step } from './transcript.ts';

export type Proof = Readonly<{
  /** Asks for it. */
  ask: () => void;
  /**
   * Whether what was done is the proof; what is none is told and may be tried again. Throws
   * PaymentError when no try is left or none is possible.
   */
  take: (sensed: Sensed) => boolean;
}>;

/** The PIN as a proof. `note` is told each step; the digits are neither told, shown nor logged. */
export function pinProof(
  parts: Readonly<{
    pin: Pin;
    language: Language;
    /** Shows that the PIN is to be entered. */
    ask: (sentence: string) => void;
    say: (sentence: string) => void;
    note: (step: Step) => void;
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
