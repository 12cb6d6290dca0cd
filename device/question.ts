/**
 * The one open question to a person: "is this what you want?". While it is open it alone hears
 * what the person does, until a clear yes of the needed strength, a no, or the end of the time.
 *
 * Two things end it whatever is asked for at that moment: a word that cancels, in either language,
 * and taking the device off.
 */
import { CONFIRM_MS, CONFIRM_READ_MS, PROOF_MS } from '../src/limits.ts';
import type { Presence } from '../src/objects/key.ts';
import type { Clock, Timers } from '../src/platform.ts';
import { readUtterance } from './intents/reading.ts';
import type { Directory } from './payees.ts';
import type { Language } from './phrases.ts';
import type { Sensed } from './sense/sensed.ts';

/** How a question ended without a yes. */
export type Unconfirmed = 'cancelled' | 'timed_out' | 'taken_off';

/** What proves that it is the owner who confirms; see proof.ts. */
export type Proof = Readonly<{
  /** Asks for it. */
  ask: () => void;
  /**
   * Whether what was done is the proof; what is none is told and may be tried again. Throws, or
   * rejects with, PaymentError when no try is left or none is possible.
   */
  take: (sensed: Sensed) => boolean | Promise<boolean>;
  /** The question has ended: nothing of it is asked or told any more. */
  end?: () => void;
}>;

export type Question = Readonly<{
  /**
   * Waits for the answer to what the surface asks; there is never more than one. With a `proof`
   * the physical act is followed by it; rejects as that throws.
   */
  answer: (needs: 1 | 2, proof?: Proof) => Promise<Presence | Unconfirmed>;
  /** Takes what the person did as an answer; false when nothing is asked. */
  hear: (sensed: Sensed) => boolean;
  isOpen: () => boolean;
}>;

/** What to say to what is no answer: in other ways, other words, or too weak a yes. */
export type QuestionWords = Readonly<{ busy: string; onlyConfirm: string; needPress: string }>;

export function createQuestion(
  parts: Readonly<{
    words: QuestionWords;
    say: (sentence: string) => void;
    directory: Directory;
    language: Language;
    clock: Clock;
    timers: Timers;
  }>,
): Question {
  const { words, say, directory, language, clock, timers } = parts;
  let answering: ((sensed: Sensed) => void) | undefined;

  return {
    answer: (needs, proof) =>
      new Promise((resolve, reject) => {
        const timeOut = () => end('timed_out');
        let cancel = timers.after(CONFIRM_MS, timeOut);
        let isOver = false;
        // A proof may take its time to judge; what it says after the end counts no more.
        const close = (settle: () => void) => {
          if (isOver) return;
          isOver = true;
          cancel();
          answering = undefined;
          proof?.end?.();
          settle();
        };
        const end = (how: Presence | Unconfirmed) => close(() => resolve(how));
        const fail = (error: unknown) => close(() => reject(error as Error));
        const askedMs = clock.monotonicMs();
        // The second press of a double tap was meant for something else.
        const hasRead = () => clock.monotonicMs() - askedMs >= CONFIRM_READ_MS;
        let take = (sensed: Sensed) => {
          if (sensed.kind === 'press') return hasRead() ? pressed() : undefined;
          if (sensed.kind === 'pin') return say(needs === 1 ? words.onlyConfirm : words.needPress);
          if (sensed.kind !== 'utterance') return say(words.busy);
          const { kind } = readUtterance(sensed.text, { directory, language });
          if (kind !== 'confirm') return say(words.onlyConfirm);
          if (needs === 1) return end(1);
          say(words.needPress);
        };
        const pressed = () => {
          if (!proof) return end(2);
          cancel();
          cancel = timers.after(PROOF_MS, timeOut);
          take = (sensed) => {
            const judge = (isProved: boolean) => (isProved ? end(3) : undefined);
            try {
              const taken = proof.take(sensed);
              if (typeof taken === 'boolean') judge(taken);
              else void taken.then(judge, fail);
            } catch (error) {
              fail(error);
            }
          };
          proof.ask();
        };
        answering = (sensed) => {
          if (sensed.kind === 'worn') return sensed.how === 'on' ? undefined : end('taken_off');
          if (sensed.kind !== 'utterance') return take(sensed);
          const { kind } = readUtterance(sensed.text, { directory, language });
          return kind === 'cancel' || kind === 'quit' ? end('cancelled') : take(sensed);
        };
      }),
    hear(sensed) {
      const take = answering;
      take?.(sensed);
      return take !== undefined;
    },
    isOpen: () => answering !== undefined,
  };
}
