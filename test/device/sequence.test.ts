// Method: a real outbox and key; the test holds each signature back as long as it likes.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Draft, createSequence } from '../../device/sequence.ts';
import { createOutbox } from '../../device/outbox.ts';
import { PaymentError } from '../../src/errors.ts';
import { SEQUENCE_WAITING_MAX } from '../../src/limits.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import { payloadOf } from '../../src/cose.ts';
import { request as requestKind } from '../../src/objects/request.ts';
import {
  MANDATE_ID,
  NONCE,
  REALM,
  START_MS,
  START_S,
  reasonOfAsync,
  settle,
  wearer,
} from './stage.ts';

const KEY = wearer.key.name;

function open() {
  const outbox = createOutbox(openDatabase(':memory:'));
  const held: PromiseWithResolvers<void>[] = [];
  const signer = {
    key: wearer.key,
    async sign(bytes: Uint8Array) {
      const turn = Promise.withResolvers<void>();
      held.push(turn);
      await turn.promise;
      return wearer.sign(bytes);
    },
  };
  const sequence = createSequence({ realm: REALM, signer, outbox, log: () => {} });
  const counters = () =>
    outbox.open().map(({ envelope }) => requestKind.decode(payloadOf(envelope)).counter);
  return { outbox, held, sequence, counters };
}

function draft(counter: number): Draft {
  const payload = requestKind.encode({
    ...{ action: 'pay', amount: { currency: 'CNY', minor: 1_00n }, payee: 'cafe', counter },
    ...{ exp: START_S + 300, mandate: MANDATE_ID, presence: 2, channel: 'tap', nonce: NONCE },
  });
  return { payload, nowMs: START_MS };
}

test('the second begins when the first is stored, with the counter after it', async () => {
  const { held, sequence, counters } = open();
  const began: number[] = [];
  const add = () => sequence.add((counter) => (began.push(counter), draft(counter)));
  const both = [add(), add()];
  await settle();
  expect([began, held.length], 'nothing of the second grows old').toEqual([[1], 1]);
  held[0]!.resolve();
  await settle();
  expect([began, counters()]).toEqual([[1, 2], [1]]);
  held[1]!.resolve();
  expect((await Promise.all(both)).map((added) => added?.isStored)).toEqual([true, true]);
  expect(counters()).toEqual([1, 2]);
});

test('what is not meant any more when it is signed leaves its counter to the next', async () => {
  const { held, sequence, counters } = open();
  let isMeant = true;
  const stored: string[] = [];
  const first = sequence.add(draft, {
    isMeant: () => isMeant,
    stored: (id) => void stored.push(id),
  });
  const second = sequence.add(draft, { isMeant: () => true, stored: (id) => void stored.push(id) });
  await settle();
  isMeant = false;
  held[0]!.resolve();
  expect(await first).toBeUndefined();
  await settle();
  held[1]!.resolve();
  const added = await second;
  expect([counters(), stored]).toEqual([[1], [added?.entry.id]]);
});

test('a key that does not sign, and a request that may not be made, hold up nothing', async () => {
  const { held, sequence, counters } = open();
  const unsigned = reasonOfAsync(() => sequence.add(draft));
  const unmade = reasonOfAsync(() =>
    sequence.add(() => {
      throw new PaymentError('offline_not_allowed', 'the link is gone');
    }),
  );
  const third = sequence.add(draft);
  await settle();
  held[0]!.reject(new PaymentError('unavailable', 'the token is gone'));
  expect([await unsigned, await unmade]).toEqual(['unavailable', 'offline_not_allowed']);
  await settle();
  held[1]!.resolve();
  await third;
  expect(counters()).toEqual([1]);
});

test('no more wait than the limit says', async () => {
  const { held, sequence, counters } = open();
  const all = Array.from({ length: SEQUENCE_WAITING_MAX }, () => sequence.add(draft));
  expect(await reasonOfAsync(() => sequence.add(draft))).toBe('unavailable');
  for (let n = 0; n < all.length; n++) {
    await settle();
    held[n]!.resolve();
  }
  await Promise.all(all);
  expect(counters()).toEqual(all.map((_, n) => n + 1));
  void sequence.add(draft);
  await settle();
  expect(held.length, 'and there is room again').toBe(SEQUENCE_WAITING_MAX + 1);
});

test('whoever asks in whatever order, counters rise by one and none is used twice', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom('signs', 'fails', 'unmeant'), { minLength: 1, maxLength: 8 }),
      async (hows) => {
        const { held, sequence, outbox, counters } = open();
        const all = hows.map((how) =>
          sequence
            .add(draft, { isMeant: () => how !== 'unmeant', stored: () => {} })
            .catch(() => undefined),
        );
        for (const [n, how] of hows.entries()) {
          await settle();
          if (how === 'fails') held[n]!.reject(new PaymentError('unavailable', 'gone'));
          else held[n]!.resolve();
        }
        await Promise.all(all);
        const count = hows.filter((how) => how === 'signs').length;
        expect(counters()).toEqual(Array.from({ length: count }, (_, n) => n + 1));
        expect(outbox.counter(KEY)).toBe(count);
      },
    ),
    { numRuns: 40 },
  );
});
