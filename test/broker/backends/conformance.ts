/**
 * What every backend must do, whatever its provider does to it: one suite against the port.
 *
 * Method: a rig has a real provider behind it, a list of what really moved, and a plan of what goes
 * wrong with the next calls. Each test says what was asked, breaks something, resolves the unknown
 * in the way that the capabilities declare, waits until nothing is under way, and counts the money.
 */
import { describe, expect, test } from 'vitest';
import type {
  Authorisation,
  Backend,
  BackendAnswer,
  BackendState,
  Moved,
  Movement,
} from '../../../broker/backends/port.ts';
import type { HttpQuestion } from '../../../src/platform.ts';
import { type Fate, fateOf } from './hostile.ts';

/** How late is late, ms. The rig's backend gives up earlier. */
export const LATE_MS = 1_500;

/** What can be planned; HOSTILE_FAULTS and the ledger's FAULTS say what each means. */
export type RigFault =
  | 'none'
  | 'loseBefore'
  | 'loseAfter'
  | 'late'
  | 'later'
  | 'twice'
  | 'noticeFirst'
  | 'noticeTwice'
  | 'noticeLate'
  | 'noticeLost';

export type Rig = Readonly<{
  backend: Backend;
  /** A funding account with EUR 100.00, linked to `wallet` (hex) and to no other. */
  funding: string;
  wallet: string;
  /** The next calls that move money meet these, in order; all others meet nothing. */
  plan: (...faults: readonly RigFault[]) => void;
  /** Lets `ms` pass. */
  pass: (ms: number) => Promise<void>;
  /** What really moved, oldest first; not asked of the backend. */
  moved: () => readonly Moved[];
  /** The provider's own calls so far, not yet read. */
  heard: () => readonly HttpQuestion[];
  close: () => Promise<void>;
}>;

const FUNDS = 100_00n;
const NOTHING: Fate = { held: 0n, captured: 0n, refunded: 0n };
const FAULTS = ['loseBefore', 'loseAfter', 'late', 'later', 'twice'] as const;
const eur = (minor: bigint) => ({ currency: 'EUR', minor });
const keyOf = (n: number) => n.toString(16).padStart(32, '0');
const [KEY, ACT, OTHER, CANCEL] = [keyOf(1), keyOf(2), keyOf(3), keyOf(4)];
const { authorised, act } = { authorised: authorisation, act: movement };

/** Runs the suite; `make` gives a fresh rig for each test. */
export function describeBackend(name: string, make: () => Promise<Rig>): void {
  /** The tests wait more than they work, so some run at once. */
  const check = (what: string, run: (rig: Rig) => Promise<void>) =>
    test.concurrent(what, async ({ onTestFinished }) => {
      const rig = await make();
      onTestFinished(rig.close);
      await run(rig);
    });

  describe(name, () => {
    describe('moves what was asked', () => {
      check('an authorisation now captures at once', async (rig) => {
        const answer = await rig.backend.authorise(authorised(rig, KEY, 12_34n));
        expect(answer).toMatchObject({ kind: 'done', outcome: 'captured' });
        expect(answer).toHaveProperty('reference', expect.stringMatching(/^[!-~]{1,64}$/));
        expect(rig.moved()).toMatchObject([
          { kind: 'pay', key: KEY, original: KEY, amount: eur(12_34n) },
        ]);
      });

      check('an authorisation later only holds', async (rig) => {
        const answer = await rig.backend.authorise(authorised(rig, KEY, 12_34n, 'later'));
        expect(answer).toMatchObject({ kind: 'done', outcome: 'held' });
        expect(fateOf(rig.moved(), KEY)).toEqual({ ...NOTHING, held: 12_34n });
      });

      check('more than there is, and a strange currency or funding, are declined', async (rig) => {
        const asked = authorised(rig, KEY, FUNDS + 1n);
        expect(await rig.backend.authorise(asked)).toMatchObject(DECLINED);
        const strange = { ...authorised(rig, ACT, 1n), amount: { currency: 'JPY', minor: 1n } };
        expect(await rig.backend.authorise(strange)).toMatchObject(DECLINED);
        const nobody = { ...authorised(rig, OTHER, 1n), funding: 'nobody' };
        expect(await rig.backend.authorise(nobody)).toMatchObject(DECLINED);
        expect(rig.moved()).toEqual([]);
      });

      check('a hold is captured whole', async (rig) => {
        await rig.backend.authorise(authorised(rig, KEY, 50_00n, 'later'));
        const answer = await rig.backend.capture(act(ACT, 50_00n));
        expect(answer).toMatchObject({ kind: 'done', outcome: 'captured' });
        expect(fateOf(rig.moved(), KEY)).toEqual({ ...NOTHING, captured: 50_00n });
      });

      check('a hold is captured in part, once, and the rest goes back', async (rig) => {
        await rig.backend.authorise(authorised(rig, KEY, 50_00n, 'later'));
        expect(await rig.backend.capture(act(ACT, 20_00n))).toMatchObject({ outcome: 'captured' });
        expect(await rig.backend.capture(act(OTHER, 10_00n))).toMatchObject(DECLINED);
        expect(fateOf(rig.moved(), KEY)).toEqual({ ...NOTHING, captured: 20_00n });
        const rest = authorised(rig, CANCEL, FUNDS - 20_00n);
        expect(await rig.backend.authorise(rest)).toMatchObject({ outcome: 'captured' });
      });

      check('more than was held is not captured, and the hold stays', async (rig) => {
        await rig.backend.authorise(authorised(rig, KEY, 50_00n, 'later'));
        expect(await rig.backend.capture(act(ACT, 50_01n))).toMatchObject(DECLINED);
        expect(fateOf(rig.moved(), KEY)).toEqual({ ...NOTHING, held: 50_00n });
      });

      check('what nobody authorised is neither captured nor refunded', async (rig) => {
        expect(await rig.backend.capture(act(ACT, 1n))).toMatchObject(DECLINED);
        expect(await rig.backend.refund(act(OTHER, 1n))).toMatchObject(DECLINED);
        expect(rig.moved()).toEqual([]);
      });

      check('a capture is refunded whole', async (rig) => {
        await rig.backend.authorise(authorised(rig, KEY, 50_00n));
        const answer = await rig.backend.refund(act(ACT, 50_00n));
        expect(answer).toMatchObject({ kind: 'done', outcome: 'refunded' });
        expect(fateOf(rig.moved(), KEY)).toEqual({ held: 0n, captured: 50_00n, refunded: 50_00n });
      });

      check('refunds in parts never exceed the capture together', async (rig) => {
        await rig.backend.authorise(authorised(rig, KEY, 50_00n, 'later'));
        await rig.backend.capture(act(keyOf(9), 30_00n));
        expect(await rig.backend.refund(act(ACT, 20_00n))).toMatchObject({ outcome: 'refunded' });
        const much = await rig.backend.refund(act(OTHER, 10_01n));
        expect(much).toMatchObject({ kind: 'declined', reason: 'refund_exceeds' });
        expect(await rig.backend.refund(act(CANCEL, 10_00n))).toMatchObject({ kind: 'done' });
        expect(fateOf(rig.moved(), KEY)).toEqual({ held: 0n, captured: 30_00n, refunded: 30_00n });
      });
    });

    describe('a key', () => {
      const calls: Readonly<Record<string, Asked>> = {
        'authorise now': (rig) => rig.backend.authorise(authorised(rig, ACT, 10_00n)),
        'authorise later': (rig) => rig.backend.authorise(authorised(rig, ACT, 10_00n, 'later')),
        'a decline': (rig) => rig.backend.authorise(authorised(rig, ACT, FUNDS + 1n)),
        capture: (rig) => rig.backend.capture(act(ACT, 50_00n)),
        void: (rig) => rig.backend.void(act(ACT, 50_00n)),
        refund: (rig) => rig.backend.refund(act(ACT, 50_00n)),
      };
      for (const [what, call] of Object.entries(calls)) {
        check(
          `repeats its answer, one by one and all at once, and moves once: ${what}`,
          async (rig) => {
            const capture = what === 'refund' ? 'now' : 'later';
            await rig.backend.authorise(authorised(rig, KEY, 50_00n, capture));
            const answers = await Promise.all(Array.from({ length: 8 }, () => call(rig)));
            for (let again = 0; again < 3; again++) answers.push(await call(rig));
            expect(answers[0]?.kind).toBe(what === 'a decline' ? 'declined' : 'done');
            expect(new Set(answers.map(wordOf)).size).toBe(1);
            const moves = rig.moved().filter(({ key }) => key === ACT);
            expect(moves).toHaveLength(what === 'a decline' ? 0 : 1);
          },
        );
      }

      check('with other parameters moves nothing again and is no decline', async (rig) => {
        const asked = authorised(rig, KEY, 10_00n);
        await rig.backend.authorise(asked);
        const before = rig.moved();
        const others: readonly Promise<BackendAnswer>[] = [
          rig.backend.authorise({ ...asked, amount: eur(11_00n) }),
          rig.backend.authorise({ ...asked, payee: 'bar' }),
          rig.backend.authorise({ ...asked, funding: 'nobody' }),
          rig.backend.authorise({ ...asked, capture: 'later' }),
          rig.backend.refund(act(KEY, 10_00n)),
          rig.backend.void(act(KEY, 10_00n)),
        ];
        for (const answer of await Promise.all(others)) expect(answer.kind).not.toBe('declined');
        await rig.pass(LATE_MS / 5);
        expect(rig.moved()).toEqual(before);
      });

      check('that was declined moves nothing under other parameters', async (rig) => {
        await rig.backend.authorise(authorised(rig, KEY, FUNDS + 1n));
        expect((await rig.backend.authorise(authorised(rig, KEY, 1n))).kind).not.toBe('done');
        expect(rig.moved()).toEqual([]);
      });

      check('is told by a query: unseen, done or declined', async (rig) => {
        expect((await rig.backend.query(KEY)).kind).toBe('unseen');
        const done = await rig.backend.authorise(authorised(rig, KEY, 10_00n));
        expect(wordOf(await rig.backend.query(KEY))).toBe(wordOf(done));
        const declined = await rig.backend.authorise(authorised(rig, ACT, FUNDS + 1n));
        expect(wordOf(await rig.backend.query(ACT))).toBe(wordOf(declined));
        expect((await rig.backend.query(OTHER)).kind).toBe('unseen');
      });
    });

    describe('a void', () => {
      check('of a hold gives it back, once', async (rig) => {
        await rig.backend.authorise(authorised(rig, KEY, 50_00n, 'later'));
        const answer = await rig.backend.void(act(CANCEL, 50_00n));
        expect(answer).toMatchObject({ kind: 'done', outcome: 'voided' });
        expect(wordOf(await rig.backend.void(act(CANCEL, 50_00n)))).toBe(wordOf(answer));
        expect(fateOf(rig.moved(), KEY)).toEqual(NOTHING);
        expect(await rig.backend.capture(act(ACT, 50_00n))).toMatchObject(DECLINED);
        const all = authorised(rig, OTHER, FUNDS);
        expect(await rig.backend.authorise(all)).toMatchObject({ outcome: 'captured' });
      });

      check('of a capture is refused or reverses it, as declared', async (rig) => {
        const { captured } = rig.backend.capabilities.cancel;
        await rig.backend.authorise(authorised(rig, KEY, 50_00n));
        const answer = await rig.backend.void(act(CANCEL, 50_00n));
        expect(wordOf(await rig.backend.void(act(CANCEL, 50_00n)))).toBe(wordOf(answer));
        if (captured === 'refuses') expect(answer).toMatchObject(DECLINED);
        else expect(answer).toMatchObject({ kind: 'done', outcome: 'voided' });
        const refunded = captured === 'refuses' ? 0n : 50_00n;
        expect(fateOf(rig.moved(), KEY)).toEqual({ held: 0n, captured: 50_00n, refunded });
      });

      check(
        'of a capture that was refunded in part gives back no more than the rest',
        async (rig) => {
          const { captured } = rig.backend.capabilities.cancel;
          await rig.backend.authorise(authorised(rig, KEY, 50_00n));
          await rig.backend.refund(act(ACT, 20_00n));
          await rig.backend.void(act(CANCEL, 50_00n));
          const refunded = captured === 'refuses' ? 20_00n : 50_00n;
          expect(fateOf(rig.moved(), KEY)).toEqual({ held: 0n, captured: 50_00n, refunded });
        },
      );

      check('of a decline is refused', async (rig) => {
        await rig.backend.authorise(authorised(rig, KEY, FUNDS + 1n));
        expect(await rig.backend.void(act(CANCEL, FUNDS + 1n))).toMatchObject(DECLINED);
        expect(rig.moved()).toEqual([]);
      });

      check('of a key not seen bars it for good, or says nothing, as declared', async (rig) => {
        const answer = await rig.backend.void(act(CANCEL, 10_00n));
        const late = await rig.backend.authorise(authorised(rig, KEY, 10_00n));
        if (rig.backend.capabilities.cancel.unseen === 'bars') {
          expect(answer).toMatchObject({ kind: 'done', outcome: 'voided' });
          expect(late).toMatchObject(DECLINED);
          const again = await rig.backend.authorise(authorised(rig, KEY, 10_00n));
          expect(wordOf(again)).toBe(wordOf(late));
          expect(wordOf(await rig.backend.void(act(CANCEL, 10_00n)))).toBe(wordOf(answer));
          expect(rig.moved()).toEqual([]);
        } else {
          expect(answer.kind).not.toBe('done');
          expect(late).toMatchObject({ kind: 'done', outcome: 'captured' });
        }
      });

      for (const fault of ['late', 'later'] as const) {
        check(`overtakes an authorisation that is executed ${fault}`, async (rig) => {
          const { cancel } = rig.backend.capabilities;
          rig.plan(fault);
          const first = rig.backend.authorise(authorised(rig, KEY, 10_00n));
          await rig.pass(LATE_MS / 5);
          const state = await rig.backend.query(KEY);
          expect(['unseen', 'unknown'], 'the call is on its way').toContain(state.kind);
          const answer = await rig.backend.void(act(CANCEL, 10_00n));
          expect((await first).kind).toBe('unknown');
          await rig.pass(LATE_MS * 1.2);
          if (cancel.unseen === 'bars') {
            expect(answer).toMatchObject({ kind: 'done', outcome: 'voided' });
            expect(rig.moved()).toEqual([]);
            const word = await rig.backend.query(KEY);
            expect(word).not.toMatchObject({ outcome: expect.stringMatching('captured|held') });
            const asked = authorised(rig, KEY, 10_00n);
            expect(await rig.backend.authorise(asked)).toMatchObject(DECLINED);
          } else {
            expect(answer.kind).not.toBe('done');
            expect(fateOf(rig.moved(), KEY).captured).toBe(10_00n);
            const again = await rig.backend.void(act(CANCEL, 10_00n));
            const isReversed = cancel.captured === 'reverses';
            expect(again.kind).toBe(isReversed ? 'done' : 'declined');
            expect(fateOf(rig.moved(), KEY).refunded).toBe(isReversed ? 10_00n : 0n);
          }
        });
      }

      for (const fault of ['loseBefore', 'loseAfter', 'twice'] as const) {
        check(
          `of a key not seen, with its own answer lost (${fault}), is asked again`,
          async (rig) => {
            if (rig.backend.capabilities.cancel.unseen === 'nothing') return;
            rig.plan(fault);
            const first = await rig.backend.void(act(CANCEL, 10_00n));
            expect(first.kind).not.toBe('declined');
            const again = await rig.backend.void(act(CANCEL, 10_00n));
            expect(again).toMatchObject({ kind: 'done', outcome: 'voided' });
            const late = await rig.backend.authorise(authorised(rig, KEY, 10_00n));
            expect(late).toMatchObject(DECLINED);
            expect(rig.moved()).toEqual([]);
          },
        );
      }
    });

    describe('an answer that does not come', () => {
      const calls: Readonly<Record<string, { call: Asked; before?: 'now' | 'later'; fate: Fate }>> =
        {
          'authorise now': {
            call: (rig) => rig.backend.authorise(authorised(rig, KEY, 50_00n)),
            fate: { ...NOTHING, captured: 50_00n },
          },
          'authorise later': {
            call: (rig) => rig.backend.authorise(authorised(rig, KEY, 50_00n, 'later')),
            fate: { ...NOTHING, held: 50_00n },
          },
          capture: {
            call: (rig) => rig.backend.capture(act(ACT, 50_00n)),
            before: 'later',
            fate: { ...NOTHING, captured: 50_00n },
          },
          void: {
            call: (rig) => rig.backend.void(act(ACT, 50_00n)),
            before: 'later',
            fate: NOTHING,
          },
          refund: {
            call: (rig) => rig.backend.refund(act(ACT, 20_00n)),
            before: 'now',
            fate: { held: 0n, captured: 50_00n, refunded: 20_00n },
          },
        };
      for (const [what, { call, before, fate }] of Object.entries(calls)) {
        for (const fault of FAULTS) {
          check(
            `is unknown, never a decline, and resolved to one movement: ${what}, ${fault}`,
            async (rig) => {
              if (before) await rig.backend.authorise(authorised(rig, KEY, 50_00n, before));
              const key = before ? ACT : KEY;
              rig.plan(fault);
              const first = await call(rig);
              expect(first.kind).toBe(
                fault === 'twice' && first.kind === 'done' ? 'done' : 'unknown',
              );
              const state = await resolve(rig, key, call);
              expect(state.kind).toBe('done');
              await rig.pass(LATE_MS * 1.2);
              expect(rig.moved().filter((moved) => moved.key === key)).toHaveLength(1);
              expect(fateOf(rig.moved(), KEY)).toEqual(fate);
            },
          );
        }
      }

      check('to a call that is declined is resolved to that decline', async (rig) => {
        const call: Asked = (to) => to.backend.authorise(authorised(to, KEY, FUNDS + 1n));
        rig.plan('loseAfter');
        expect((await call(rig)).kind).toBe('unknown');
        expect(await resolve(rig, KEY, call)).toMatchObject(DECLINED);
        expect(rig.moved()).toEqual([]);
      });

      check('carries no bytes; one that comes carries what came', async (rig) => {
        rig.plan('loseBefore');
        expect(await rig.backend.authorise(authorised(rig, KEY, 1n))).not.toHaveProperty(
          'received',
        );
        const answers: readonly BackendState[] = [
          await rig.backend.authorise(authorised(rig, ACT, 1n)),
          await rig.backend.authorise(authorised(rig, ACT, 2n)),
          await rig.backend.authorise(authorised(rig, OTHER, FUNDS + 1n)),
          await rig.backend.query(ACT),
          await rig.backend.query(CANCEL),
        ];
        for (const answer of answers) {
          expect('received' in answer && answer.received?.length, answer.kind).toBeGreaterThan(1);
        }
      });

      check('among many payments, with everything going wrong, mixes nothing up', async (rig) => {
        const pay = async (n: number) => {
          const asked = { ...authorised(rig, keyOf(n), BigInt(n)) };
          const call: Asked = (to) => to.backend.authorise(asked);
          rig.plan(FAULTS[n % FAULTS.length]!);
          const first = await call(rig);
          expect(first.kind).not.toBe('declined');
          return resolve(rig, keyOf(n), call);
        };
        const numbers = Array.from({ length: 30 }, (_, n) => n + 1);
        const states = await Promise.all(numbers.map(pay));
        await rig.pass(LATE_MS * 1.2);
        for (const n of numbers) {
          expect(states[n - 1]).toMatchObject({ kind: 'done', outcome: 'captured' });
          const own = rig.moved().filter(({ key }) => key === keyOf(n));
          expect(own).toMatchObject([{ kind: 'pay', amount: eur(BigInt(n)) }]);
        }
      });
    });

    describe('what the provider tells by itself', () => {
      /** The calls heard, once there are `count`; undefined for a provider that tells nothing. */
      async function notices(
        rig: Rig,
        count: number,
      ): Promise<readonly HttpQuestion[] | undefined> {
        if (!rig.backend.capabilities.notifies) return undefined;
        for (let waits = 0; rig.heard().length < count && waits < 100; waits++) await rig.pass(30);
        expect(rig.heard()).toHaveLength(count);
        return rig.heard();
      }

      check('is the answer, with the bytes that came', async (rig) => {
        const answer = await rig.backend.authorise(authorised(rig, KEY, 10_00n));
        const [question] = (await notices(rig, 1)) ?? [];
        if (question === undefined) return;
        const notice = rig.backend.parseNotification(question);
        expect(notice?.key).toBe(KEY);
        expect(wordOf(notice!.state)).toBe(wordOf(answer));
        expect(notice?.state.received).toEqual(question.body);
      });

      check('is a decline when it was declined', async (rig) => {
        await rig.backend.authorise(authorised(rig, KEY, FUNDS + 1n));
        const [question] = (await notices(rig, 1)) ?? [];
        if (question === undefined) return;
        const notice = rig.backend.parseNotification(question);
        expect(notice).toMatchObject({ key: KEY, state: DECLINED });
      });

      check('comes although the answer was lost', async (rig) => {
        rig.plan('loseAfter');
        expect((await rig.backend.authorise(authorised(rig, KEY, 10_00n))).kind).toBe('unknown');
        const [question] = (await notices(rig, 1)) ?? [];
        if (question === undefined) return;
        expect(rig.backend.parseNotification(question)).toMatchObject({
          key: KEY,
          state: { kind: 'done', outcome: 'captured' },
        });
      });

      check('is believed only as it was signed', async (rig) => {
        await rig.backend.authorise(authorised(rig, KEY, 10_00n));
        const [question] = (await notices(rig, 1)) ?? [];
        if (question === undefined) return;
        const text = new TextDecoder().decode(question.body);
        const forged: Readonly<Record<string, HttpQuestion>> = {
          'another key': { ...question, body: bytesOf(text.replace(KEY, OTHER)) },
          'another outcome': { ...question, body: bytesOf(text.replace('captured', 'refunded')) },
          'no body': { ...question, body: new Uint8Array() },
          'no signature': { ...question, headers: {} },
          'another path': { ...question, path: `${question.path}/` },
          'another method': { ...question, method: 'PUT' },
        };
        for (const [why, forgery] of Object.entries(forged)) {
          expect(() => rig.backend.parseNotification(forgery), why).toThrow(
            expect.objectContaining({ name: 'PaymentError', reason: 'bad_signature' }),
          );
        }
        expect(rig.backend.parseNotification(question)?.key).toBe(KEY);
      });

      check('is refused when it is played again, or says the same', async (rig) => {
        await rig.backend.authorise(authorised(rig, KEY, 10_00n));
        const [question] = (await notices(rig, 1)) ?? [];
        if (question === undefined) return;
        const notice = rig.backend.parseNotification(question);
        let again: unknown;
        try {
          again = rig.backend.parseNotification(question);
        } catch (error) {
          expect(error).toMatchObject({ name: 'PaymentError', reason: 'stale_nonce' });
          return;
        }
        expect(again).toEqual(notice);
      });

      check('may come in any order', async (rig) => {
        rig.plan('noticeLate', 'none');
        await rig.backend.authorise(authorised(rig, KEY, 10_00n));
        await rig.backend.authorise(authorised(rig, OTHER, FUNDS));
        const heard = await notices(rig, 2);
        const read = heard?.map((question) => rig.backend.parseNotification(question));
        if (read === undefined) return;
        expect(read).toMatchObject([
          { key: OTHER, state: { kind: 'declined' } },
          { key: KEY, state: { kind: 'done', outcome: 'captured' } },
        ]);
      });

      check('may come first, twice, or never', async (rig) => {
        if (!rig.backend.capabilities.notifies) return;
        rig.plan('noticeFirst', 'noticeTwice', 'noticeLost');
        await rig.backend.authorise(authorised(rig, KEY, 10_00n));
        expect(rig.heard(), 'before the answer').toHaveLength(1);
        await rig.backend.authorise(authorised(rig, ACT, 10_00n));
        await rig.backend.authorise(authorised(rig, OTHER, 10_00n));
        await notices(rig, 3);
        await rig.pass(LATE_MS / 5);
        const read = rig.heard().map((question) => rig.backend.parseNotification(question));
        expect(read.map((notice) => notice?.key)).toEqual([KEY, ACT, ACT]);
        expect(wordOf(read[1]!.state)).toBe(wordOf(read[2]!.state));
      });

      check('is never a repeat of a known key', async (rig) => {
        for (let again = 0; again < 3; again++) {
          await rig.backend.authorise(authorised(rig, KEY, 10_00n));
        }
        await notices(rig, 1);
        await rig.pass(LATE_MS / 5);
        await notices(rig, 1);
      });
    });

    describe('for the bridge', () => {
      check('says whose funding it is', async (rig) => {
        expect(await rig.backend.fundingLinked(rig.funding, rig.wallet)).toBe(true);
        expect(await rig.backend.fundingLinked(rig.funding, 'cd'.repeat(32))).toBe(false);
        expect(await rig.backend.fundingLinked('nobody', rig.wallet)).toBe(false);
      });

      check('lists what moved, page by page, or has no list', async (rig) => {
        await rig.backend.authorise(authorised(rig, KEY, 50_00n, 'later'));
        await rig.backend.capture(act(ACT, 20_00n));
        await rig.backend.refund(act(OTHER, 5_00n));
        await rig.backend.authorise(authorised(rig, CANCEL, 10_00n));
        const { movements } = rig.backend;
        if (movements === undefined) return;
        const listed: Moved[] = [];
        for (;;) {
          const page = await movements(listed.at(-1)?.number ?? 0);
          if (page.length === 0) break;
          listed.push(...page);
        }
        expect(listed).toEqual(rig.moved());
        expect(listed.map(({ kind }) => kind)).toEqual([
          'hold',
          'capture',
          'release',
          'refund',
          'pay',
        ]);
        expect(await movements(listed[1]!.number)).toEqual(
          listed.slice(2, 2 + (await movements(listed[1]!.number)).length),
        );
      });
    });
  });
}

type Asked = (rig: Rig) => Promise<BackendAnswer>;

const DECLINED = { kind: 'declined', reason: 'backend_declined' };

function authorisation(
  rig: Rig,
  key: string,
  minor: bigint,
  capture: 'now' | 'later' = 'now',
): Authorisation {
  return { key, funding: rig.funding, payee: 'cafe', amount: eur(minor), capture };
}

/** A movement that acts on KEY. */
function movement(key: string, minor: bigint): Movement {
  return { key, original: KEY, amount: eur(minor) };
}

/** A definite word about a key, in the way that the capabilities declare. */
async function resolve(rig: Rig, key: string, call: Asked): Promise<BackendState> {
  const { resolvesBy, pollMs } = rig.backend.capabilities;
  for (let waitedMs = 0; waitedMs < LATE_MS * 2; waitedMs += pollMs) {
    const state = resolvesBy === 'replay' ? await call(rig) : await rig.backend.query(key);
    if (state.kind === 'done' || state.kind === 'declined') return state;
    await rig.pass(pollMs);
  }
  // Not seen for so long, and no replay: the same call under the same key is all that is left.
  return call(rig);
}

/** What an answer says, without the bytes that it came in. */
function wordOf(answer: BackendState): string {
  return JSON.stringify({ ...answer, received: undefined });
}

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
