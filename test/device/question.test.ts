// Method: whole devices; what a person or a bystander does comes from a table or from fast-check,
// and what was signed is compared with what a model of the presence ladder allows.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { hash } from 'node:crypto';
import { payloadOf } from '../../src/cose.ts';
import { CONFIRM_MS, CONFIRM_READ_MS, PIN_TRIES, PROOF_MS } from '../../src/limits.ts';
import { random } from '../../src/node/platform.ts';
import type { Band } from '../../src/objects/policy.ts';
import { type Request, request as requestKind } from '../../src/objects/request.ts';
import { PIN_FILE, type Pin, createPin } from '../../device/pin.ts';
import type { Sensed } from '../../device/sense/sensed.ts';
import {
  NOTHING,
  type Stage,
  createDisk,
  createStage,
  mandateWith,
  sealPolicy,
  settle,
  wearer,
} from './stage.ts';

const DIGITS = '470815';
const WRONG = '470816';
/** P1 up to 20 yuan, P2 up to 100, P3 up to 1,000. */
const LADDER: readonly Band[] = [
  { ceiling: 20_00n, level: 1 },
  { ceiling: 100_00n, level: 2 },
  { ceiling: 1_000_00n, level: 3 },
];
const policies = [await sealPolicy({ ladders: [{ currency: 'CNY', bands: LADDER }] })];
const mandates = [mandateWith({ bands: LADDER, perPaymentMax: 1_000_00n })];
const PAY = { 1: 'pay 12 yuan to Luckin Coffee', 2: 'pay 60 yuan to Luckin Coffee' } as const;
const PAY_P3 = 'pay 150 yuan to Luckin Coffee';

const keptPin = createDisk();
createPin(keptPin, random, PIN_FILE).set(DIGITS);

/** A device's PIN on a disk of its own. */
function createSafe(): Pin & Readonly<{ disk: ReturnType<typeof createDisk> }> {
  const disk = createDisk();
  disk.kept.set(PIN_FILE, keptPin.kept.get(PIN_FILE)!);
  return { ...createPin(disk, random, PIN_FILE), disk };
}

async function strictStage(options: Parameters<typeof createStage>[0] = {}): Promise<Stage> {
  const pin = options.pin ?? createSafe();
  const stage = await createStage({ policies, mandates, presenceMax: 3, ...options, pin });
  await stage.ready();
  return stage;
}

const pinOf = (digits: string): Sensed => ({ kind: 'pin', digits });

/** Asks for 150 yuan and taps the temple: the PIN is asked for. */
async function upToPin(stage: Stage) {
  const told = stage.say(PAY_P3);
  await settle();
  await stage.press();
  await settle();
  return told;
}

/** As `upToPin`, without waiting for the end of the payment. */
async function asked(stage: Stage) {
  const told = stage.say(PAY_P3);
  await settle();
  await stage.press();
  await settle();
  return { told };
}

test.each([
  {
    language: 'en',
    ask: 'Pay 150.00 yuan to Luckin Coffee? Tap the temple, then enter the PIN.',
    enter: 'Enter the PIN on the device, or say “cancel”.',
  },
  {
    language: 'zh',
    ask: '向瑞幸咖啡支付150.00元？请轻触镜腿，然后输入密码。',
    enter: '请在设备上输入密码，或说“取消”。',
  },
] as const)('$language: a tap and the PIN are P3, and what was shown is kept', async (row) => {
  const stage = await strictStage({ language: row.language });
  const { told } = await asked(stage);
  expect(stage.asked.map(({ sentence, wants }) => [sentence, wants])).toEqual([
    [row.ask, 'confirmation'],
    [row.enter, 'pin'],
  ]);
  expect(stage.asked[1]!.frame).toEqual(stage.asked[0]!.frame);
  expect(stage.left(), 'the tap alone signs nothing').toEqual(NOTHING);
  await stage.time.pass(2_000);
  await stage.device.sense(pinOf(WRONG));
  await stage.time.pass(1_000);
  await stage.device.sense(pinOf(DIGITS));
  await settle();

  const { id, presence, transcript } = stage.request();
  expect(presence).toBe(3);
  const bytes = stage.outbox.get(id)!.transcript!;
  expect(Uint8Array.from(hash('sha256', bytes, 'buffer'))).toEqual(transcript);
  const text = new TextDecoder().decode(bytes);
  expect(JSON.parse(text)).toEqual({
    salt: expect.stringMatching(/^[0-9a-f]{32}$/),
    shown: { frame: stage.asked[0]!.frame, sentence: row.ask },
    done: [
      { step: 'press', afterMs: CONFIRM_READ_MS },
      { step: 'wrong_pin', afterMs: CONFIRM_READ_MS + 2_000 },
      { step: 'pin', afterMs: CONFIRM_READ_MS + 3_000 },
    ],
  });
  const all = [text, ...stage.sentences(), ...stage.logged].join('\n');
  expect(all, 'nobody is told a PIN').not.toMatch(/4708/);
  await stage.capture(id, 150_00n);
  expect((await told).kind).toBe('paid');

  stage.outbox.forget(stage.time.clock.nowMs() + 91 * 86_400_000);
  expect(stage.outbox.get(id), 'erased with its entry').toBeUndefined();
});

test('below P3 no PIN is asked for, and none is claimed', async () => {
  for (const level of [1, 2] as const) {
    const stage = await strictStage();
    void stage.say(PAY[level]);
    await settle();
    await stage.press();
    await settle();
    const { presence, transcript } = stage.request();
    expect([presence, transcript]).toEqual([2, undefined]);
  }
});

test('a spoken PIN is not taken, not told again, and costs no try', async () => {
  const pin = createSafe();
  const stage = await strictStage({ pin });
  await asked(stage);
  for (let n = 0; n <= PIN_TRIES; n++) await stage.say(n % 2 ? DIGITS : 'four seven zero eight');
  expect(stage.left()).toEqual(NOTHING);
  const told = 'Never say the PIN. Enter it on the device, or say “cancel”.';
  expect(stage.sentences().every((sentence) => sentence === told)).toBe(true);
  await stage.device.sense(pinOf(DIGITS));
  await settle();
  expect(stage.request().presence).toBe(3);
});

test('a PIN before the tap confirms nothing and costs no try', async () => {
  const pin = createSafe();
  const stage = await strictStage({ pin });
  void stage.say(PAY_P3);
  await settle();
  for (let n = 0; n <= PIN_TRIES; n++) await stage.device.sense(pinOf(WRONG));
  await stage.device.sense(pinOf(DIGITS));
  expect([stage.left(), pin.state()]).toEqual([NOTHING, 'ready']);
  expect(await stage.device.sense(pinOf(''))).toEqual({ kind: 'said' });
});

test('slips that no PIN can be cost no try', async () => {
  const pin = createSafe();
  const stage = await strictStage({ pin });
  await asked(stage);
  for (const slip of ['', '47o815', '1'.repeat(13), ' ']) await stage.device.sense(pinOf(slip));
  await stage.device.sense({ kind: 'press' });
  expect(pin.check(WRONG)).toBe(PIN_TRIES - 1);
});

test('the last wrong PIN ends the question; from then on the amount is refused', async () => {
  const stage = await strictStage();
  const { told } = await asked(stage);
  for (let n = 0; n < PIN_TRIES; n++) await stage.device.sense(pinOf(WRONG));
  expect(await told).toEqual({ kind: 'not_sent', reason: 'presence_too_low' });
  const locked =
    'Nothing was sent, nothing was charged. The PIN of this device is locked: have it set anew.';
  expect(stage.sentences().slice(-2)).toEqual(['That is not the PIN. 1 try left.', locked]);
  expect(await stage.say(PAY_P3)).toEqual({ kind: 'not_sent', reason: 'presence_too_low' });
  expect(stage.sentences().at(-1)).toBe(locked);
  expect(stage.asked.length, 'and nobody is asked').toBe(2);
  void stage.say(PAY[2]);
  await settle();
  await stage.press();
  await settle();
  expect(stage.request().presence, 'what needs no PIN goes on').toBe(2);
});

test.each([
  ['none', 'This amount needs a PIN, and this device has none: set one first.'],
  ['damaged', 'The PIN of this device is damaged: have it set anew.'],
] as const)('a PIN that is %s refuses in words', async (state, words) => {
  const pin = createSafe();
  pin.clear();
  if (state === 'damaged') pin.disk.kept.set(PIN_FILE, new Uint8Array(3));
  const stage = await strictStage({ pin });
  expect(await stage.say(PAY_P3)).toEqual({ kind: 'not_sent', reason: 'presence_too_low' });
  expect(stage.sentences()).toEqual([`Nothing was sent, nothing was charged. ${words}`]);
});

test('a key that may not claim P3 is not helped by a PIN', async () => {
  const stage = await strictStage({ presenceMax: 2 });
  expect(await stage.say(PAY_P3)).toEqual({ kind: 'not_sent', reason: 'presence_too_low' });
  expect(stage.sentences().at(-1)).toContain('stronger confirmation than this device can take');
});

test('a disk that counts no try ends the question as unavailable', async () => {
  const pin = createSafe();
  const stage = await strictStage({ pin });
  const { told } = await asked(stage);
  pin.disk.fail(true);
  await stage.device.sense(pinOf(DIGITS));
  expect(await told).toEqual({ kind: 'not_sent', reason: 'unavailable' });
  expect(stage.left()).toEqual(NOTHING);
});

test.each(['cancel', '取消', 'no', '不要', 'yes no', 'quit'])(
  '“%s” ends the question, and that for the PIN',
  async (word) => {
    const stage = await strictStage({ language: word === 'no' ? 'zh' : 'en' });
    const first = stage.say(PAY_P3);
    await settle();
    await stage.say(word);
    expect(await first).toEqual({ kind: 'not_sent', reason: 'cancelled' });
    const second = upToPin(stage);
    await settle();
    await stage.time.pass(CONFIRM_READ_MS);
    await settle();
    await stage.say(word);
    expect(await second).toEqual({ kind: 'not_sent', reason: 'cancelled' });
    await stage.device.sense(pinOf(DIGITS));
    expect(stage.left()).toEqual(NOTHING);
  },
);

test('the question and that for the PIN end by themselves', async () => {
  const stage = await strictStage();
  const first = stage.say(PAY_P3);
  await settle();
  await stage.time.pass(CONFIRM_MS);
  expect(await first).toEqual({ kind: 'not_sent', reason: 'timed_out' });
  await stage.tick();
  const { told } = await asked(stage);
  await stage.time.pass(PROOF_MS - 1);
  await stage.device.sense(pinOf(WRONG));
  await stage.time.pass(1);
  expect(await told, 'a wrong PIN gives no more time').toEqual({
    kind: 'not_sent',
    reason: 'timed_out',
  });
  await stage.device.sense(pinOf(DIGITS));
  expect(stage.left()).toEqual(NOTHING);
});

// ── taken off ────────────────────────────────────────────────────────────────────────────────

const worn = (how: 'on' | 'off' | 'unpaired'): Sensed => ({ kind: 'worn', how });
const DROPPED = 'It was taken off, so nothing was sent. Please ask again.';

test.each(['off', 'unpaired'] as const)('%s: an open question is over, told later', async (how) => {
  const stage = await strictStage();
  const told = stage.say(PAY[1]);
  await settle();
  await stage.device.sense(worn(how));
  expect(await told).toEqual({ kind: 'not_sent', reason: 'taken_off' });
  expect(stage.sentences(), 'nobody is there to be told').toEqual([]);
  await stage.press();
  await stage.say('confirm payment');
  expect(await stage.say(PAY[1])).toEqual({ kind: 'said' });
  expect([stage.asked.length, stage.sentences().at(-1)]).toEqual([1, 'Put it on first.']);
  await stage.device.sense(worn('on'));
  expect(stage.sentences().at(-1)).toBe(DROPPED);
  await stage.device.sense(worn('on'));
  expect(stage.sentences().filter((sentence) => sentence === DROPPED).length).toBe(1);
  await stage.press();
  expect(stage.left(), 'and nothing of it comes back').toEqual(NOTHING);
});

test('the question for the PIN is over, too', async () => {
  const stage = await strictStage();
  const { told } = await asked(stage);
  await stage.device.sense(worn('off'));
  await stage.device.sense(worn('on'));
  await stage.device.sense(pinOf(DIGITS));
  expect(await told).toEqual({ kind: 'not_sent', reason: 'taken_off' });
  expect(stage.left()).toEqual(NOTHING);
});

test('a payee who waits for an amount waits no more', async () => {
  const stage = await strictStage();
  await stage.say('pay Luckin Coffee');
  await stage.device.sense(worn('off'));
  await stage.device.sense(worn('on'));
  expect(stage.sentences().at(-1)).toBe(DROPPED);
  await stage.say('12 yuan');
  expect([stage.asked, stage.left()]).toEqual([[], NOTHING]);
});

test('put on without anything dropped says nothing', async () => {
  const stage = await strictStage();
  await stage.device.sense(worn('off'));
  await stage.device.sense(worn('on'));
  expect(stage.sentences()).toEqual([]);
});

test('what is signed goes on', async () => {
  const stage = await strictStage();
  const told = stage.say(PAY[1]);
  await settle();
  await stage.say('confirm payment');
  await settle();
  await stage.device.sense(worn('off'));
  await stage.capture(stage.request().id);
  expect((await told).kind).toBe('paid');
});

test.each([
  ['a cancel', { kind: 'utterance', text: '取消' } as Sensed, 'cancelled'],
  ['taking it off', worn('off'), 'taken_off'],
] as const)(
  '%s while the key signs still counts: nothing is stored',
  async (_how, sensed, reason) => {
    const signing = Promise.withResolvers<void>();
    let isSlow = false;
    const stage = await strictStage({
      sign: async (bytes) => {
        if (isSlow) await signing.promise;
        return wearer.sign(bytes);
      },
    });
    isSlow = true;
    const told = stage.say(PAY[1]);
    await settle();
    await stage.say('confirm payment');
    await settle();
    await stage.device.sense(sensed);
    signing.resolve();
    expect(await told).toEqual({ kind: 'not_sent', reason });
    expect(stage.left()).toEqual(NOTHING);
  },
);

// ── whatever happens ─────────────────────────────────────────────────────────────────────────

/** What a person, or somebody beside, does; and time that passes. */
type Deed = Sensed | Readonly<{ kind: 'wait'; ms: number }>;

const say = (text: string): Deed => ({ kind: 'utterance', text });
const wait = (ms: number): Deed => ({ kind: 'wait', ms });
const press: Deed = { kind: 'press' };

/** What a person does who wants to pay; parts of it are left out, and other things come between. */
const COURSES: readonly (readonly Deed[])[] = [
  [say(PAY[1]), say('confirm payment')],
  [say(PAY[1]), wait(CONFIRM_READ_MS), press],
  [say(PAY[2]), say('确认支付'), wait(CONFIRM_READ_MS), press],
  [say('pay Luckin Coffee'), say('15 yuan'), wait(CONFIRM_MS - 1), say('确认支付')],
  [say(PAY_P3), wait(CONFIRM_READ_MS), press, pinOf(DIGITS)],
  [say(PAY_P3), wait(CONFIRM_READ_MS), press, pinOf(WRONG), wait(PROOF_MS - 1), pinOf(DIGITS)],
  [worn('off'), worn('on')],
];
const noise: fc.Arbitrary<Deed> = fc.constantFrom(
  ...[PAY[1], PAY_P3, 'confirm payment', 'yes', 'cancel', '取消', 'no', '470815', 'balance'].map(
    say,
  ),
  ...[press, pinOf(DIGITS), pinOf(WRONG), pinOf(''), worn('off'), worn('unpaired'), worn('on')],
  ...[1, CONFIRM_READ_MS - 1, CONFIRM_READ_MS, CONFIRM_MS, PROOF_MS].map(wait),
  { kind: 'link', text: 'saytap://o/zz' } as const,
);
const course = fc.constantFrom(...COURSES);
const deeds = fc
  .array(
    fc.oneof(
      { weight: 3, arbitrary: course },
      { weight: 2, arbitrary: course.chain((whole) => fc.subarray([...whole])) },
      { weight: 2, arbitrary: noise.map((one) => [one]) },
    ),
    { minLength: 1, maxLength: 8 },
  )
  .map((all) => all.flat());

/**
 * The ladder as a reader of PROTOCOL.md would write it down: which presence a deed proves for the
 * question that is open, or undefined. It knows nothing of the device but what it asks.
 */
function createModel() {
  let open: { needs: number; askedMs: number; endsMs: number; isPressed: boolean } | undefined;
  let isWorn = true;
  return {
    asked(needs: number, nowMs: number) {
      open = { needs, askedMs: nowMs, endsMs: nowMs + CONFIRM_MS, isPressed: false };
    },
    does(sensed: Sensed, nowMs: number): 1 | 2 | 3 | undefined {
      if (sensed.kind === 'worn') isWorn = sensed.how === 'on';
      if (!isWorn || (open && nowMs >= open.endsMs)) open = undefined;
      if (!open) return undefined;
      const proved = provedBy(open, sensed, nowMs);
      if (proved !== undefined) open = undefined;
      return proved;
    },
  };

  function provedBy(
    one: NonNullable<typeof open>,
    sensed: Sensed,
    nowMs: number,
  ): 1 | 2 | 3 | undefined {
    if (sensed.kind === 'utterance' && ['cancel', '取消', 'no'].includes(sensed.text)) {
      open = undefined;
      return undefined;
    }
    if (one.isPressed) {
      return sensed.kind === 'pin' && sensed.digits === DIGITS ? 3 : undefined;
    }
    if (sensed.kind === 'press' && nowMs >= one.askedMs + CONFIRM_READ_MS) {
      if (one.needs < 3) return 2;
      open = { ...one, isPressed: true, endsMs: nowMs + PROOF_MS };
      return undefined;
    }
    const isYes = sensed.kind === 'utterance' && /^(confirm payment|确认支付)$/.test(sensed.text);
    return isYes && one.needs === 1 ? 1 : undefined;
  }
}

test('whatever anybody does, only a clear yes of the needed strength signs', async () => {
  const numRuns = process.env['SAYTAP_FULL'] === undefined ? 100 : 3_000;
  const signed = { 1: 0, 2: 0, 3: 0 };
  await fc.assert(
    fc.asyncProperty(deeds, async (all) => {
      const stage = await strictStage();
      const model = createModel();
      /** What was signed, by id, oldest first; stored alone would be enough. */
      const requests = new Map<string, Request>();
      const allowed: (1 | 2 | 3)[] = [];
      let questions = 0;
      for (const one of all) {
        if (one.kind === 'wait') {
          await stage.live(one.ms);
          // Several short waits are long for a nonce, and who has none signs nothing.
          await stage.tick();
          continue;
        }
        const nowMs = stage.time.clock.monotonicMs();
        const proved = model.does(one, nowMs);
        if (proved !== undefined) allowed.push(proved);
        void stage.device.sense(one);
        await settle();
        const shown = stage.asked.slice(questions).filter(({ wants }) => wants === 'confirmation');
        for (const { frame } of shown) model.asked(frame.needs, nowMs);
        questions = stage.asked.length;
        for (const { id, kind, envelope } of stage.outbox.open()) {
          if (kind !== 'request' || requests.has(id)) continue;
          requests.set(id, requestKind.decode(payloadOf(envelope)));
          await stage.capture(id);
        }
        expect([...requests.values()].map(({ presence }) => presence)).toEqual(allowed);
      }
      for (const { amount, presence, transcript } of requests.values()) {
        const level = LADDER.find(({ ceiling }) => amount!.minor <= ceiling)!.level;
        expect(presence).toBeGreaterThanOrEqual(level);
        expect(transcript !== undefined).toBe(presence === 3);
        const sum = `${Number(amount!.minor) / 100}.00 yuan`;
        expect(stage.asked.map(({ frame }) => frame.amount)).toContain(sum);
      }
      for (const level of allowed) signed[level]++;
    }),
    { numRuns },
  );
  for (const level of [1, 2, 3] as const) {
    expect(signed[level], `P${level} was reached`).toBeGreaterThan(numRuns / 20);
  }
}, 600_000);
