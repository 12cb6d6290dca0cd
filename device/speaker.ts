/**
 * A random phrase that is matched to the speaker, as a proof that it is the owner who confirms. The
 * matcher is a port: nothing here knows a voice, and without one this proof does not exist.
 *
 * The phrase is chosen for this one question, so a recording of an older one says the wrong words,
 * and these are compared before any matcher is asked. A matcher's no is counted as a wrong PIN is:
 * on the disk, before it is asked, over restarts. Words that were misheard cost only the question,
 * for a recogniser mishears honest people every day.
 */
import { PaymentError } from '../src/errors.ts';
import {
  PHRASE_SAYINGS_MAX,
  RECORDING_CHARS_MAX,
  SPEAKER_MATCH_MS,
  UTTERANCE_CHARS_MAX,
} from '../src/limits.ts';
import { plainWriting } from '../src/numerals.ts';
import { within } from '../src/patience.ts';
import type { Log, Random, Timers } from '../src/platform.ts';
import { type Language, phrases } from './phrases.ts';
import type { Proof } from './question.ts';
import type { Sensed } from './sense/sensed.ts';
import type { Transcript } from './transcript.ts';
import { SpeakerFault, type SpeakerState, type Tries } from './tries.ts';

/** What a maker brings who has a recogniser of voices; it knows whose voice the device is for. */
export type SpeakerMatcher = Readonly<{
  /**
   * Whether this recording is the owner, alive, saying this phrase. Rejects when it cannot tell,
   * which confirms nothing; no answer within SPEAKER_MATCH_MS is the same.
   */
  match: (
    heard: Readonly<{
      phrase: string;
      /** What the recogniser understood. */
      text: string;
      /** Names the recording, in whatever way recogniser and matcher agree on. */
      recording: string;
    }>,
  ) => Promise<boolean>;
}>;

export type Speaker = Readonly<{
  /** Read anew each time: what the owner does about it counts at once. */
  state: () => SpeakerState;
  /** One confirmation; `ask` shows a sentence and opens the microphone. */
  proof: (
    asking: Readonly<{
      language: Language;
      ask: (sentence: string) => void;
      say: (sentence: string) => void;
      note: Transcript['note'];
    }>,
  ) => Proof;
}>;

export function createSpeaker(
  parts: Readonly<{
    matcher: SpeakerMatcher;
    tries: Tries;
    random: Random;
    timers: Timers;
    log: Log;
  }>,
): Speaker {
  const { matcher, tries, random, timers, log } = parts;
  let last: Phrase | undefined;

  /** Whether it is the owner, or how many tries are left. */
  async function check(heard: Parameters<SpeakerMatcher['match']>[0]): Promise<true | number> {
    const left = tries.take();
    let isOwner: boolean | undefined;
    try {
      isOwner = await within(timers, SPEAKER_MATCH_MS, matcher.match(heard));
    } catch (error) {
      log('error', 'the speaker matcher failed', { why: String(error) });
    }
    if (isOwner === false) return left;
    if (isOwner === undefined) {
      tries.giveBack(left);
      throw new PaymentError('unavailable', 'no word from the matcher');
    }
    tries.reset();
    return true;
  }

  return {
    state: tries.state,
    proof({ language, ask, say, note }) {
      let phrase: Phrase | undefined;
      let sayings = 0;
      let isMatching = false;
      let isOver = false;

      function askAnew(): void {
        phrase = choosePhrase(language, random, last);
        last = phrase;
        ask(phrases.sayPhrase(phrase.shown, language));
      }

      async function match(asked: Phrase, text: string, recording: string): Promise<boolean> {
        isMatching = true;
        try {
          const answer = await check({ phrase: asked.shown, text, recording });
          if (isOver) return false;
          note(answer === true ? 'phrase' : 'wrong_speaker', { phrase: asked.shown, recording });
          if (answer === true) return true;
          if (answer === 0) throw new SpeakerFault('locked');
          say(phrases.wrongSpeaker(answer, language));
          askAnew();
          return false;
        } finally {
          isMatching = false;
        }
      }

      return {
        ask() {
          note('press');
          askAnew();
        },
        take(sensed: Sensed) {
          // One recording is judged at a time; a second one beside it would be a free try.
          if (isMatching || !phrase) return false;
          if (sensed.kind !== 'utterance') {
            say(phrases.sayPhrase(phrase.shown, language));
            return false;
          }
          const { text, recording = '' } = sensed;
          const isWhole = recording !== '' && recording.length <= RECORDING_CHARS_MAX;
          if (isWhole && wordsOf(text, language) === phrase.words) {
            return match(phrase, text, recording);
          }
          note('wrong_phrase');
          if (++sayings >= PHRASE_SAYINGS_MAX) throw new SpeakerFault('unheard');
          say(phrases.wrongPhrase(language));
          askAnew();
          return false;
        },
        end: () => void (isOver = true),
      };
    },
  };
}

/** As it is shown, and as `wordsOf` has it. */
type Phrase = Readonly<{ shown: string; words: string }>;

/** Two words and four digits; never the one before. */
function choosePhrase(language: Language, random: Random, before: Phrase | undefined): Phrase {
  const bytes = random(6);
  const words = WORDS[language];
  const digits = (new DataView(Uint8Array.from(bytes).buffer).getUint32(2) % 10_000)
    .toString()
    .padStart(4, '0');
  const phraseOf = (first: number): Phrase => {
    const pair = [words[first % words.length]!, words[bytes[1]! % words.length]!];
    const shown = [...pair, ...digits].join(' ');
    return { shown, words: wordsOf(shown, language)! };
  };
  const phrase = phraseOf(bytes[0]!);
  return phrase.words === before?.words ? phraseOf(bytes[0]! + 1) : phrase;
}

/** What was said without how it was written; undefined for what is too long to be a phrase. */
function wordsOf(text: string, language: Language): string | undefined {
  if (text.length > UTTERANCE_CHARS_MAX) return undefined;
  const plain = plainWriting(text)?.toLowerCase();
  if (language === 'zh') {
    return plain?.replace(/[\s，。、,.]/g, '').replace(/./gu, (one) => DIGITS_ZH[one] ?? one);
  }
  const words = plain?.match(/[a-z]+|[0-9]|[^\sa-z0-9,.-]/g) ?? [];
  return words.map((one) => DIGITS_EN[one] ?? one).join(' ');
}

/**
 * Words of two syllables and more, since recognisers take noise for those of one; and digits one by
 * one, since they take forty for fourteen. Sixteen divide a byte, so each is as likely.
 */
const WORDS: Readonly<Record<Language, readonly string[]>> = {
  en: [
    ...['apple', 'garden', 'yellow', 'river', 'window', 'silver', 'mountain', 'orange'],
    ...['dragon', 'candle', 'kitchen', 'umbrella', 'piano', 'tomato', 'tiger', 'bicycle'],
  ],
  zh: [
    ...['苹果', '花园', '黄色', '河流', '窗户', '银色', '高山', '橙子'],
    ...['飞龙', '蜡烛', '厨房', '雨伞', '钢琴', '番茄', '老虎', '月亮'],
  ],
};

const DIGITS_EN: Readonly<Record<string, string>> = Object.fromEntries(
  ['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine'].map(
    (word, digit) => [word, String(digit)],
  ),
);
const DIGITS_ZH: Readonly<Record<string, string>> = {
  ...Object.fromEntries([...'零一二三四五六七八九'].map((one, digit) => [one, String(digit)])),
  ...{ 〇: '0', 幺: '1', 两: '2' },
};
