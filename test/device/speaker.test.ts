// Method: whole glasses with a matcher that the test plays. What is claimed is read in the signed
// request and its transcript; what is counted, on the disk.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readUtterance } from '../../device/intents/reading.ts';
import { type Language } from '../../device/phrases.ts';
import { PIN_FILE, createPin } from '../../device/pin.ts';
import { type SpeakerMatcher, createSpeaker } from '../../device/speaker.ts';
import { SPEAKER_FILE, createTries } from '../../device/tries.ts';
import {
  PHRASE_SAYINGS_MAX,
  PIN_TRIES,
  PROOF_MS,
  RECORDING_CHARS_MAX,
  SPEAKER_MATCH_MS,
  SPEAKER_TRIES,
} from '../../src/limits.ts';
import { random } from '../../src/node/platform.ts';
import type { Band } from '../../src/objects/policy.ts';
import type { Random } from '../../src/platform.ts';
import {
  NOTHING,
  createDisk,
  createFakeTime,
  createStage,
  mandateWith,
  sealPolicy,
  settle,
} from './stage.ts';

const LADDER: readonly Band[] = [
  { ceiling: 100_00n, level: 2 },
  { ceiling: 1_000_00n, level: 3 },
];
const policies = [await sealPolicy({ ladders: [{ currency: 'CNY', bands: LADDER }] })];
const mandates = [mandateWith({ bands: LADDER, perPaymentMax: 1_000_00n })];
const PAY_P3 = 'pay 150 yuan to Luckin Coffee';
const TOO_LOW = { kind: 'not_sent', reason: 'presence_too_low' };

type Heard = Parameters<SpeakerMatcher['match']>[0];
type Options = Readonly<{
  language?: Language;
  match?: (heard: Heard) => Promise<boolean>;
  disk?: ReturnType<typeof createDisk>;
  isAbsent?: boolean;
}>;

/** Glasses without a PIN, and with a matcher that says yes. */
async function open(options: Options = {}) {
  const { language = 'en', match = async () => true, disk = createDisk() } = options;
  const judged: Heard[] = [];
  const matcher: SpeakerMatcher = {
    match(heard) {
      judged.push(heard);
      return match(heard);
    },
  };
  const pin = createPin(disk, random, PIN_FILE);
  const parts = { matcher, tries: createTries(disk, SPEAKER_FILE), random };
  const stage = await createStage({
    ...{ language, policies, mandates, presenceMax: 3, pin },
    ...(!options.isAbsent && {
      speaker: ({ timers }) => createSpeaker({ ...parts, timers, log: () => {} }),
    }),
  });
  await stage.ready();
  return {
    ...{ stage, judged, disk, pin },
    /** Asks, taps the temple, and is shown a phrase. */
    async ask() {
      const told = stage.say(PAY_P3);
      await settle();
      await stage.press();
      await settle();
      return { told };
    },
    /** As it is shown now. */
    phrase: () => /“([^”]*)”/.exec(stage.asked.at(-1)!.sentence)![1]!,
    async speak(text: string, recording = 'r1') {
      void stage.device.sense({ kind: 'utterance', text, recording });
      await settle();
    },
    /** That are left, as the file says. */
    tries: () =>
      disk.kept.has(SPEAKER_FILE)
        ? Number(new TextDecoder().decode(disk.kept.get(SPEAKER_FILE)).split(' ')[1])
        : SPEAKER_TRIES,
  };
}

test.each([
  {
    language: 'en',
    ask: 'Pay 150.00 yuan to Luckin Coffee? Tap the temple, then say a phrase.',
    enter: /^Say: “[a-z]+ [a-z]+( \d){4}”, or say “cancel”\.$/,
    words: ['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine'],
  },
  {
    language: 'zh',
    ask: '向瑞幸咖啡支付150.00元？请轻触镜腿，然后说出口令。',
    enter: /^请说：“\p{sc=Han}{2} \p{sc=Han}{2}( \d){4}”，或说“取消”。$/u,
    words: [...'零幺二三四五六七八九'],
  },
] as const)('$language: a tap and the phrase in the owner’s voice are P3', async (row) => {
  const { stage, judged, ask, phrase, speak, tries } = await open({ language: row.language });
  const { told } = await ask();
  expect(stage.asked.map(({ wants }) => wants)).toEqual(['confirmation', 'phrase']);
  expect(stage.asked.map(({ sentence }) => sentence)).toEqual([
    row.ask,
    expect.stringMatching(row.enter),
  ]);
  expect(stage.left(), 'the tap alone signs nothing').toEqual(NOTHING);
  const text = phrase().replace(/\d/g, (digit) => row.words[Number(digit)]!);
  await speak(text, 'mic/7.wav');
  expect(judged).toEqual([{ phrase: phrase(), text, recording: 'mic/7.wav' }]);
  const { id, presence } = stage.request();
  expect(presence).toBe(3);
  const { done } = JSON.parse(new TextDecoder().decode(stage.outbox.get(id)!.transcript)) as {
    done: object[];
  };
  expect(done).toMatchObject([
    { step: 'press' },
    { step: 'phrase', phrase: phrase(), recording: 'mic/7.wav' },
  ]);
  expect(tries()).toBe(SPEAKER_TRIES);
  await stage.capture(id, 150_00n);
  expect((await told).kind).toBe('paid');
});

test('without a matcher nothing that is said is ever P3', async () => {
  const { stage, speak } = await open({ isAbsent: true });
  expect(await stage.say(PAY_P3)).toEqual(TOO_LOW);
  expect(stage.sentences().at(-1)).toContain('this device has none: set one first');
  for (const text of ['confirm payment', 'river window 4 2 9 1']) await speak(text);
  expect([stage.asked, stage.left()]).toEqual([[], NOTHING]);
});

test('a PIN that is set is asked for, and one that is locked is not got round', async () => {
  const { stage, pin, judged, ask, speak } = await open();
  pin.set('470815');
  const { told } = await ask();
  expect(stage.asked.at(-1)!.wants).toBe('pin');
  await speak('river window 4 2 9 1');
  for (let n = 0; n < PIN_TRIES; n++) await stage.device.sense({ kind: 'pin', digits: '470816' });
  expect(await told).toEqual(TOO_LOW);
  expect(await stage.say(PAY_P3)).toEqual(TOO_LOW);
  expect([stage.asked.length, judged, stage.left()]).toEqual([2, [], NOTHING]);
});

test('a recording of an older phrase, or other words, are not even judged', async () => {
  const { stage, judged, ask, phrase, speak, tries } = await open();
  await ask();
  const old = phrase();
  await stage.say('cancel');
  await settle();
  const { told } = await ask();
  expect(phrase()).not.toBe(old);
  await speak(old, 'replayed');
  for (let n = 1; n < PHRASE_SAYINGS_MAX; n++) await speak(`please ${phrase()}`);
  expect(await told).toEqual(TOO_LOW);
  expect(stage.sentences().at(-1)).toBe(
    'Nothing was sent, nothing was charged. I could not hear the phrase. ' +
      'Find a quiet place, then ask again.',
  );
  expect([judged, stage.left(), tries()]).toEqual([[], NOTHING, SPEAKER_TRIES]);
});

test.each([undefined, '', 'x'.repeat(RECORDING_CHARS_MAX + 1)])(
  'the right words with the recording %j are nobody’s voice',
  async (recording) => {
    const { stage, judged, ask, phrase } = await open();
    await ask();
    const text = phrase();
    void stage.device.sense({
      kind: 'utterance',
      text,
      ...(recording !== undefined && { recording }),
    });
    await settle();
    expect(phrase(), 'a new one is asked for').not.toBe(text);
    expect([judged, stage.left()]).toEqual([[], NOTHING]);
  },
);

test('after every no there is a new phrase; the last one locks, over restarts', async () => {
  const disk = createDisk();
  const match = async () => false;
  const first = await open({ match, disk });
  await first.ask();
  const seen = new Set<string>();
  for (let n = 1; n < SPEAKER_TRIES; n++) {
    seen.add(first.phrase());
    await first.speak(first.phrase());
    expect(first.tries()).toBe(SPEAKER_TRIES - n);
  }
  expect([seen.size, first.stage.sentences().at(-1)]).toEqual([
    SPEAKER_TRIES - 1,
    'I do not recognise the voice. 1 try left.',
  ]);
  const second = await open({ match, disk });
  const { told } = await second.ask();
  await second.speak(second.phrase());
  expect(await told).toEqual(TOO_LOW);
  const third = await open({ disk });
  expect(await third.stage.say(PAY_P3)).toEqual(TOO_LOW);
  expect(third.stage.sentences()).toEqual([
    'Nothing was sent, nothing was charged. The voice check of this device is locked: set a PIN.',
  ]);
  expect([third.judged, third.stage.asked, third.stage.left()]).toEqual([[], [], NOTHING]);
});

test('a damaged count of tries confirms nothing', async () => {
  const disk = createDisk();
  disk.kept.set(SPEAKER_FILE, new TextEncoder().encode('tries 5 0000000000000000\n'));
  const { stage } = await open({ disk });
  expect(await stage.say(PAY_P3)).toEqual(TOO_LOW);
  expect(stage.sentences().at(-1)).toContain('is damaged: set a PIN');
});

test('the try is on the disk before anybody judges, so a power cut gives none', async () => {
  let left: number | undefined;
  const one = await open({
    async match() {
      left = one.tries();
      return true;
    },
  });
  await one.ask();
  await one.speak(one.phrase());
  expect([left, one.tries()]).toEqual([SPEAKER_TRIES - 1, SPEAKER_TRIES]);
  one.stage.request();

  const full = await open();
  const { told } = await full.ask();
  full.disk.fail(true);
  await full.speak(full.phrase());
  expect(await told).toEqual({ kind: 'not_sent', reason: 'unavailable' });
  expect([full.judged, full.stage.left()]).toEqual([[], NOTHING]);
});

test('a matcher that fails, or says nothing, confirms nothing and costs no try', async () => {
  const failing = await open({ match: () => Promise.reject(new Error('no model')) });
  const { told } = await failing.ask();
  await failing.speak(failing.phrase());
  expect(await told).toEqual({ kind: 'not_sent', reason: 'unavailable' });
  const silent = await open({ match: () => new Promise(() => {}) });
  const asked = await silent.ask();
  await silent.speak(silent.phrase());
  await silent.stage.time.pass(SPEAKER_MATCH_MS);
  expect(await asked.told).toEqual({ kind: 'not_sent', reason: 'unavailable' });
  expect([failing.tries(), silent.tries()]).toEqual([SPEAKER_TRIES, SPEAKER_TRIES]);
  expect([failing.stage.left(), silent.stage.left()]).toEqual([NOTHING, NOTHING]);
});

test.each([
  ['cancel', true, 'cancelled'],
  ['off', true, 'taken_off'],
  ['time', true, 'timed_out'],
  ['cancel', false, 'cancelled'],
] as const)(
  '%s while a voice is judged ends it; a late %s is nothing',
  async (how, late, reason) => {
    const verdict = Promise.withResolvers<boolean>();
    const { stage, judged, ask, phrase, speak } = await open({ match: () => verdict.promise });
    const { told } = await ask();
    if (how === 'time') await stage.time.pass(PROOF_MS - 1);
    await speak(phrase());
    await speak(phrase(), 'r2');
    expect(judged.length, 'one recording at a time').toBe(1);
    if (how === 'cancel') await stage.say('cancel');
    if (how === 'off') await stage.device.sense({ kind: 'worn', how: 'off' });
    if (how === 'time') await stage.time.pass(1);
    expect(await told).toEqual({ kind: 'not_sent', reason });
    if (how === 'off') await stage.device.sense({ kind: 'worn', how: 'on' });
    if (how === 'time') await stage.tick();
    const next = stage.say(PAY_P3);
    await settle();
    const { length } = [...stage.asked, ...stage.said];
    verdict.resolve(late);
    await settle();
    expect([...stage.asked, ...stage.said].length, 'nobody is told').toBe(length);
    expect(stage.left(), 'nor does it answer the next question').toEqual(NOTHING);
    await stage.say('cancel');
    expect(await next).toEqual({ kind: 'not_sent', reason: 'cancelled' });
  },
);

test('a phrase is no command in any language, and never the one before', () => {
  const directory = { byId: () => undefined, named: () => [] } as never;
  const { timers } = createFakeTime();
  const shown = (language: Language, source: Random, count: number) => {
    const matcher = { match: async () => true };
    const tries = createTries(createDisk(), SPEAKER_FILE);
    const speaker = createSpeaker({ matcher, tries, random: source, timers, log: () => {} });
    return Array.from({ length: count }, () => {
      let sentence = '';
      const ask = (text: string) => void (sentence = text);
      speaker.proof({ language, ask, say: () => {}, note: () => {} }).ask();
      return /“([^”]*)”/.exec(sentence)![1]!;
    });
  };
  fc.assert(
    fc.property(
      fc.constantFrom<Language>('en', 'zh'),
      fc.uint8Array({ minLength: 6, maxLength: 6 }),
      (language, bytes) => {
        const phrases = shown(language, () => bytes, 4);
        for (const [n, phrase] of phrases.entries()) {
          expect(phrase).not.toBe(phrases[n - 1]);
          const { kind } = readUtterance(phrase, { directory, language });
          expect(kind, phrase).toBe('miss');
        }
      },
    ),
    { numRuns: 300 },
  );
  for (const language of ['en', 'zh'] as const) {
    const all = shown(language, random, 400);
    expect(new Set(all.flatMap((phrase) => phrase.split(' '))).size, 'every word').toBe(26);
  }
});
