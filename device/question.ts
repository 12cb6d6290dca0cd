/**
 * The one open question to a person: "is this what you want?". While it is open it alone hears
 * what the person does, until a clear yes of the needed strength, a no, or the end of the time.
 */
import { CONFIRM_MS, CONFIRM_READ_MS } from '../src/limits.ts';
import type { Presence } from '../src/objects/key.ts';
import type { Clock, Timers } from '../src/platform.ts';
import { readUtterance } from './intents/reading.ts';
import type { Directory } from './payees.ts';
import type { Language } from './phrases.ts';
import type { Sensed } from './sense/sensed.ts';

export type Question = Readonly<{
  /** Waits for the answer to what the surface asks; there is never more than one. */
  answer: (needs: 1 | 2) => Promise<Presence | 'cancelled' | 'timed_out'>;
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
    answer: (needs) =>
      new Promise((resolve) => {
        const end = (how: Presence | 'cancelled' | 'timed_out') => {
          cancel();
          answering = undefined;
          resolve(how);
        };
        const cancel = timers.after(CONFIRM_MS, () => end('timed_out'));
        const askedMs = clock.monotonicMs();
        // The second press of a double tap was meant for something else.
        const hasRead = () => clock.monotonicMs() - askedMs >= CONFIRM_READ_MS;
        answering = (sensed) => {
          if (sensed.kind === 'press') return hasRead() ? end(2) : undefined;
          if (sensed.kind !== 'utterance') return say(words.busy);
          const { kind } = readUtterance(sensed.text, { directory, language });
          if (kind === 'cancel' || kind === 'quit') return end('cancelled');
          if (kind !== 'confirm') return say(words.onlyConfirm);
          if (needs === 1) return end(1);
          say(words.needPress);
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
