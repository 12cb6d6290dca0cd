/**
 * The straight line of a payment: every answer it can give, whatever fails on the way, and that a
 * power cut between any two of its steps changes nothing.
 *
 * Method: one bridge over a real store, with risk and backend that do as they are told and a clock
 * that only the test moves. What a device is told is compared as verified receipts, and where the
 * promise is "the same bytes", as bytes.
 */
import { describe, expect, test } from 'vitest';
import { cancelKeyOf } from '../../broker/attempt.ts';
import { refuseUnderway } from '../../broker/store/schema.ts';
import { createNonces } from '../../broker/tick.ts';
import { toHex } from '../../src/bytes.ts';
import { decodeCbor } from '../../src/cbor.ts';
import { REASONS } from '../../src/errors.ts';
import {
  BAD_ANSWERS_IN_ALL_PER_S,
  BAD_ANSWERS_PER_S,
  BARRING_MAX,
  BRIDGE_RUNS_MAX,
  CANCEL_FOR_MS_MAX,
  HOLD_FOR_MS,
  RESOLVE_FOR_MS,
  RESOLVE_MS,
  RESOLVE_MS_MAX,
  STOP_MS,
  UNSENT_FOR_MS,
} from '../../src/limits.ts';
import { open } from '../../src/objects/kind.ts';
import { mandate as mandateKind } from '../../src/objects/mandate.ts';
import { request as requestKind } from '../../src/objects/request.ts';
import { type Revoke, revoke as revokeKind } from '../../src/objects/revoke.ts';
import { tick as tickKind } from '../../src/objects/tick.ts';
import { downTopic, tickTopic, upTopic } from '../../src/topics.ts';
import { type BackendAct, CAST, NOW_MS, NOW_S, PAYER, Power, REALM } from './stage.ts';
import type { Role, Stage } from './stage.ts';
import { createStage, decided, mandateOf, putMandate, requestOf } from './stage.ts';
import { sealed, settle, verdictOf } from './stage.ts';

/** A stage with one granted mandate, and a signed request under it. */
async function prepared(changes: Parameters<Stage['request']>[0] = {}) {
  const stage = await createStage();
  const mandate = await putMandate(stage.store);
  const request = await stage.request({ mandate, ...changes });
  return { ...stage, stage, mandate, request };
}

const lastTold = (stage: Stage, subject: string, device = 'glasses') =>
  verdictOf(stage.told(device, subject).at(-1));

const used = (stage: Stage) =>
  stage.database
    .prepare('SELECT settled, reserved, settled_count, reserved_count FROM windows')
    .get();

/** What a count of every table finds, page by page. */
async function recounted({ store }: Stage) {
  const found = [];
  for (let after: string | undefined = ''; after !== undefined;) {
    const { differences, next } = await store.recount(after);
    found.push(...differences);
    after = next;
  }
  return found;
}

const yuan = (minor: bigint) => ({ currency: 'CNY', minor });

describe('a payment', () => {
  test('goes through: risk asked once, money moved once, a receipt that says all', async () => {
    const { stage, request } = await prepared();
    await stage.deliver('glasses', 'request', request.envelope);
    expect(stage.told('glasses', request.id)).toEqual([
      {
        iat: NOW_S,
        subject: request.id,
        outcome: 'captured',
        amount: yuan(10_00n),
        reference: `ref-${request.id.slice(0, 4)}`,
        remaining: [{ amount: 990_00n, count: 99 }],
      },
    ]);
    expect(stage.risk.asked).toEqual([
      {
        id: request.id,
        payer: '07'.repeat(16),
        device: 'glasses',
        payee: 'cafe',
        amount: yuan(10_00n),
        channel: 'voice',
        presence: 2,
        atMs: NOW_MS,
      },
    ]);
    const call = { key: request.id, funding: 'acct-1', payee: 'cafe', amount: yuan(10_00n) };
    expect(stage.backend.calls).toEqual([{ ...call, capture: 'now' }]);
    expect(used(stage)).toEqual({
      settled: 10_00n,
      reserved: 0n,
      settled_count: 1n,
      reserved_count: 0n,
    });
    expect(stage.open()).toEqual([]);
  });

  test('told again: the same bytes, and nobody is asked anything again', async () => {
    const { stage, request } = await prepared();
    for (let copy = 0; copy < 5; copy++) {
      await stage.deliver('glasses', 'request', request.envelope);
      await stage.time.advance(60_000);
    }
    stage.restart();
    await stage.deliver('glasses', 'request', request.envelope);
    expect(stage.bytes('glasses')).toHaveLength(6);
    expect(new Set(stage.bytes('glasses')).size).toBe(1);
    expect([stage.risk.asked.length, stage.backend.calls.length]).toEqual([1, 1]);
  });

  test('twenty copies at once are one payment', async () => {
    const { stage, request } = await prepared();
    const bridge = stage.bridge();
    for (let copy = 0; copy < 20; copy++) {
      bridge.receive(upTopic('glasses', 'request'), request.envelope);
    }
    await settle();
    expect(new Set(stage.bytes('glasses')).size).toBe(1);
    expect([stage.risk.asked.length, stage.backend.calls.length]).toEqual([1, 1]);
    expect(used(stage)).toMatchObject({ settled: 10_00n, settled_count: 1n });
  });

  test('a copy while it is running gets the pending bytes again, and no second run', async () => {
    const { stage, request } = await prepared();
    stage.backend.acts.push('unknown', 'unknown', 'unknown');
    for (let copy = 0; copy < 4; copy++) {
      await stage.deliver('glasses', 'request', request.envelope);
    }
    expect(stage.told('glasses', request.id).map(verdictOf)).toEqual(
      Array.from({ length: 4 }, () => ['pending', 'backend_unknown']),
    );
    expect(new Set(stage.bytes('glasses')).size).toBe(1);
    expect(stage.backend.calls).toHaveLength(1);
  });

  test('the same content under another signature is the same request', async () => {
    const { stage, mandate, request } = await prepared();
    const again = await stage.request({ mandate });
    expect(toHex(again.envelope)).not.toBe(toHex(request.envelope));
    expect(again.id).toBe(request.id);
    await stage.deliver('glasses', 'request', request.envelope);
    await stage.deliver('glasses', 'request', again.envelope);
    expect(new Set(stage.bytes('glasses')).size).toBe(1);
    expect(stage.backend.calls).toHaveLength(1);
  });
});

describe('risk', () => {
  test.each([
    ['risk_denied', 'deny'],
    ['risk_step_up', 'step_up'],
  ] as const)('%s: refused with reasons, the backend is never called', async (why, decision) => {
    const { stage, request } = await prepared();
    stage.risk.answers.push(decided(decision, 500, ['VELOCITY_1H', 'COLD_START']));
    await stage.deliver('glasses', 'request', request.envelope);
    expect(stage.told('glasses', request.id)).toEqual([
      {
        iat: NOW_S,
        subject: request.id,
        outcome: 'refused',
        reason: REASONS[why],
        riskReasons: ['VELOCITY_1H', 'COLD_START'],
      },
    ]);
    expect(stage.backend.calls).toEqual([]);
    expect(used(stage)).toMatchObject({ settled: 0n, reserved: 0n, reserved_count: 0n });
  });

  test('no answer is no approval: refused as unavailable, for good', async () => {
    const { stage, request } = await prepared();
    stage.risk.answers.push({ kind: 'unavailable', why: 'timeout' });
    await stage.deliver('glasses', 'request', request.envelope);
    await stage.deliver('glasses', 'request', request.envelope);
    expect(lastTold(stage, request.id)).toEqual(['refused', 'unavailable']);
    expect(stage.risk.asked).toHaveLength(1);
    expect(stage.backend.calls).toEqual([]);
    expect(used(stage)).toMatchObject({ settled: 0n, reserved: 0n });
  });
});

test('risk hears what counts of the claims, also of a resumed run, not the claims', async () => {
  const { stage, request } = await prepared({ presence: 4, channel: 'tap' });
  stage.restart(new Power(2)); // admitted, and cut off before risk was asked
  await stage.deliver('glasses', 'request', request.envelope);
  await stage.restart().sweep();
  await settle();
  expect(stage.risk.asked).toMatchObject([{ presence: 2, channel: 'tap' }]);
});

describe('backend', () => {
  test('declined is final and gives the reservation back', async () => {
    const { stage, request } = await prepared();
    stage.backend.acts.push('declined');
    await stage.deliver('glasses', 'request', request.envelope);
    await stage.deliver('glasses', 'request', request.envelope);
    expect(lastTold(stage, request.id)).toEqual(['refused', 'backend_declined']);
    expect(stage.backend.calls).toHaveLength(1);
    expect(used(stage)).toMatchObject({ settled: 0n, reserved: 0n, reserved_count: 0n });
  });

  test('unknown, then done: pending is told once, then captured; one key every time', async () => {
    const { stage, request } = await prepared();
    stage.backend.acts.push('lost', 'unknown', 'unsent', 'done');
    await stage.deliver('glasses', 'request', request.envelope);
    expect(lastTold(stage, request.id)).toEqual(['pending', 'backend_unknown']);
    expect(used(stage)).toMatchObject({ settled: 0n, reserved: 10_00n });
    await stage.time.advance(RESOLVE_MS * 8);
    expect(stage.told('glasses', request.id).map(verdictOf)).toEqual([
      ['pending', 'backend_unknown'],
      ['captured', undefined],
    ]);
    expect(stage.backend.calls.map(({ key }) => key)).toEqual(Array(4).fill(request.id));
    expect(stage.backend.moved.size).toBe(1);
    expect(used(stage)).toMatchObject({ settled: 10_00n, reserved: 0n });
  });

  test('it is asked again after a pause that doubles up to its limit', async () => {
    const { stage, request } = await prepared();
    stage.backend.acts.push(...Array<'unknown'>(20).fill('unknown'));
    await stage.deliver('glasses', 'request', request.envelope);
    for (let calls = 1, pauseMs = RESOLVE_MS; calls <= 10; calls++) {
      expect(stage.backend.calls).toHaveLength(calls);
      await stage.time.advance(pauseMs - 1);
      expect(stage.backend.calls).toHaveLength(calls);
      await stage.time.advance(1);
      pauseMs = Math.min(pauseMs * 2, RESOLVE_MS_MAX);
    }
  });

  test('never reached: refused as unavailable, but not before UNSENT_FOR_MS', async () => {
    const { stage, request } = await prepared();
    stage.backend.acts.push(...Array<'unsent'>(50).fill('unsent'));
    await stage.deliver('glasses', 'request', request.envelope);
    await stage.time.advance(UNSENT_FOR_MS - 1);
    expect(stage.told('glasses', request.id).map(verdictOf)).toEqual([['pending', 'unavailable']]);
    await stage.time.advance(UNSENT_FOR_MS);
    expect(lastTold(stage, request.id)).toEqual(['refused', 'unavailable']);
    expect(used(stage)).toMatchObject({ settled: 0n, reserved: 0n });
    const calls = stage.backend.calls.length;
    await stage.time.advance(RESOLVE_MS_MAX * 2);
    expect(stage.backend.calls).toHaveLength(calls);
  });

  test('never reached after one unknown answer: not refused, captured later', async () => {
    const { stage, request } = await prepared();
    stage.backend.acts.push('lost', ...Array<'unsent'>(8).fill('unsent'));
    await stage.deliver('glasses', 'request', request.envelope);
    await stage.time.advance(UNSENT_FOR_MS * 6);
    expect(lastTold(stage, request.id)).toEqual(['pending', 'backend_unknown']);
    await stage.time.advance(UNSENT_FOR_MS * 5);
    expect(lastTold(stage, request.id)).toEqual(['captured', undefined]);
  });

  test('never reached by a resumed run: an earlier one may have sent, so not refused', async () => {
    const { stage, request } = await prepared();
    const power = new Power(6); // before backend: decision and attempt are on disk
    stage.restart(power);
    await stage.deliver('glasses', 'request', request.envelope);
    expect(power.passed.at(-1)).toBe('after decide');
    stage.backend.acts.push(...Array<'unsent'>(9).fill('unsent'));
    expect(await stage.restart().sweep()).toBe(1);
    await stage.time.advance(UNSENT_FOR_MS * 6);
    expect(lastTold(stage, request.id)).toEqual(['pending', 'backend_unknown']);
    await stage.time.advance(UNSENT_FOR_MS * 5);
    expect(lastTold(stage, request.id)).toEqual(['captured', undefined]);
    expect(stage.risk.asked).toHaveLength(1);
  });

  test('unknown for RESOLVE_FOR_MS: cancelled there, refused only after that', async () => {
    const { stage, request } = await prepared();
    stage.backend.acts.push(...Array<'unknown'>(30).fill('unknown'));
    await stage.deliver('glasses', 'request', request.envelope);
    await stage.time.advance(RESOLVE_FOR_MS - 1);
    expect(stage.backend.movements).toEqual([]);
    await stage.time.advance(RESOLVE_MS_MAX * 30);
    expect(stage.backend.movements.length).toBeGreaterThan(1);
    const keys = new Set(stage.backend.movements.map(({ key }) => key));
    expect([...keys], 'every repeat of the cancel is the same cancel').toEqual([
      cancelKeyOf(request.id),
    ]);
    expect(lastTold(stage, request.id)).toEqual(['refused', 'unavailable']);
    expect(used(stage)).toMatchObject({ settled: 0n, reserved: 0n });
    expect(stage.attempts(request.id)).toMatchObject([{ state: 'cancelled' }]);
  });

  test('too late to cancel: the backend says captured, and so does the receipt', async () => {
    const { stage, request } = await prepared();
    stage.backend.acts.push('lost', ...Array<'unknown'>(10).fill('unknown'));
    await stage.deliver('glasses', 'request', request.envelope);
    await stage.time.advance(RESOLVE_FOR_MS + RESOLVE_MS_MAX * 4);
    expect(stage.backend.movements.length).toBeGreaterThan(0);
    expect(lastTold(stage, request.id)).toEqual(['captured', undefined]);
  });

  test('no word and no cancel for a week: a person’s, still pending and reserved', async () => {
    const { stage, request } = await prepared();
    stage.backend.acts.push(...Array<'unknown'>(30_000).fill('unknown'));
    await stage.deliver('glasses', 'request', request.envelope);
    // Ten long sleeps instead of twenty thousand pauses: only the clock decides.
    for (let part = 0; part < 10; part++) await stage.time.leap(CANCEL_FOR_MS_MAX / 10);
    await stage.time.advance(RESOLVE_MS_MAX * 2);
    const { length } = stage.backend.movements;
    await stage.time.advance(RESOLVE_MS_MAX * 2);
    expect(stage.backend.movements).toHaveLength(length);
    expect(stage.time.waiting()).toBe(0);
    expect(lastTold(stage, request.id)).toEqual(['pending', 'backend_unknown']);
    expect(used(stage)).toMatchObject({ settled: 0n, reserved: 10_00n });
    expect(stage.logs.some((line) => line.includes('a person must look'))).toBe(true);
    expect(await stage.restart().sweep(), 'it is not taken up again by itself').toBe(0);
  });

  test.each([
    ['captured', { outcome: 'captured' }, ['captured', undefined], 10_00n],
    ['not moved', { outcome: undefined }, ['refused', 'unavailable'], 0n],
  ] as const)(
    'a person finds that it was %s: so it ends',
    async (_, { outcome }, told, settled) => {
      const { stage, request } = await prepared();
      stage.backend.acts.push(...Array<'unknown'>(30_000).fill('unknown'));
      await stage.deliver('glasses', 'request', request.envelope);
      const word = { outcome, by: 'li', why: 'asked the provider' };
      await expect(stage.bridge().resolve(request.id, word)).rejects.toMatchObject({
        reason: 'original_unknown',
      });
      for (let part = 0; part < 10; part++) await stage.time.leap(CANCEL_FOR_MS_MAX / 10);
      await stage.time.advance(RESOLVE_MS_MAX * 2);
      await stage.bridge().resolve(request.id, word);
      await settle();
      expect(lastTold(stage, request.id)).toEqual(told);
      expect(used(stage)).toMatchObject({ settled, reserved: 0n });
    },
  );

  test('the backend answers again before a person speaks: its word counts', async () => {
    const { stage, request } = await prepared();
    stage.backend.query = 'away';
    stage.backend.acts.push('lost', ...Array<BackendAct>(30_000).fill('unknown'));
    await stage.deliver('glasses', 'request', request.envelope);
    for (let part = 0; part < 10; part++) await stage.time.leap(CANCEL_FOR_MS_MAX / 10);
    await stage.time.advance(RESOLVE_MS_MAX * 2);
    stage.backend.query = 'sees';
    const word = { outcome: undefined, by: 'li', why: 'the provider does not know it' };
    await expect(stage.bridge().resolve(request.id, word)).rejects.toMatchObject({
      reason: 'original_unknown',
      message: 'ledger answers now: captured; that counts',
    });
    await settle();
    expect(lastTold(stage, request.id)).toEqual(['captured', undefined]);
  });

  test('of a backend that left the configuration: a person’s, who may end it', async () => {
    const { stage, request } = await prepared();
    stage.backend.acts.push('unknown');
    await stage.deliver('glasses', 'request', request.envelope);
    stage.restart(new Power(), { backends: [stage.other.port] });
    await stage.bridge().sweep();
    await settle();
    expect(stage.attempts(request.id)).toMatchObject([{ state: 'person' }]);
    await stage.bridge().resolve(request.id, { outcome: 'captured', by: 'li', why: 'their list' });
    await settle();
    expect(lastTold(stage, request.id)).toEqual(['captured', undefined]);
  });

  test('its own notification ends a payment at once', async () => {
    const { stage, request } = await prepared();
    stage.backend.acts.push('lost');
    await stage.deliver('glasses', 'request', request.envelope);
    expect(lastTold(stage, request.id)).toEqual(['pending', 'backend_unknown']);
    const state = { kind: 'done', outcome: 'captured', reference: 'told' };
    const body = new TextEncoder().encode(JSON.stringify({ key: request.id, state }));
    const question = { method: 'POST', path: '/', headers: {}, body };
    await stage.bridge().notified('ledger', question);
    await stage.bridge().notified('ledger', question);
    await settle();
    expect(stage.told('glasses', request.id).map(verdictOf)).toEqual([
      ['pending', 'backend_unknown'],
      ['captured', undefined],
    ]);
    expect(stage.backend.calls).toHaveLength(1);
  });

  test('a hold’s notice that was read before its cancel does not undo it', async () => {
    const stage = await createStage();
    let gate: Promise<void> | undefined;
    const slow = {
      ...stage.store,
      async run(id: string) {
        const run = await stage.store.run(id);
        const wait = gate;
        gate = undefined;
        await wait;
        return run;
      },
    };
    stage.restart(new Power(), { store: slow });
    const mandate = await putMandate(stage.store);
    const hold = await stage.request({ mandate, action: 'hold' });
    stage.backend.acts.push('lost', 'lost');
    await stage.deliver('glasses', 'request', hold.envelope);
    let open = () => {};
    gate = new Promise((done) => (open = done));
    const state = { kind: 'done', outcome: 'held', reference: 'told' };
    const body = new TextEncoder().encode(JSON.stringify({ key: hold.id, state }));
    const question = { method: 'POST', path: '/', headers: {}, body };
    const told = stage.bridge().notified('ledger', question);
    await settle();
    const cancel = await stage.query({ question: 'cancel', subject: hold.id });
    await stage.deliver('glasses', 'query', cancel.envelope);
    expect(stage.attempts(hold.id)).toMatchObject([{ state: 'cancelling' }]);
    open();
    await told;
    await stage.time.advance(RESOLVE_MS_MAX);
    expect(lastTold(stage, hold.id)).toEqual(['refused', 'cancelled']);
    expect(stage.backend.moved.size).toBe(0);
  });

  test('another backend is tried if the first was never reached, or has cancelled', async () => {
    for (const [act, calls] of [
      ['unsent', 1],
      ['unknown', 1],
    ] as const) {
      const stage = await createStage({ isSecond: true });
      const value = mandateOf();
      const { id, envelope } = await sealed(mandateKind, value, CAST.wallet);
      const { name } = CAST.wallet.key;
      await stage.store.putMandate(id, value, name, 'aa', ['ledger', 'other'], envelope, NOW_MS);
      const request = await stage.request({ mandate: id });
      stage.backend.acts.push(...Array<BackendAct>(1_000).fill(act));
      await stage.deliver('glasses', 'request', request.envelope);
      await stage.time.advance(UNSENT_FOR_MS - 1);
      expect(stage.other.calls, act).toHaveLength(0);
      if (act === 'unknown') {
        await stage.time.advance(RESOLVE_FOR_MS);
        expect(stage.other.calls, 'unknown is not failed').toHaveLength(0);
        stage.backend.acts.length = 0;
      }
      await stage.time.advance(RESOLVE_MS_MAX * 3);
      expect(stage.other.calls, act).toHaveLength(calls);
      expect(lastTold(stage, request.id)).toEqual(['captured', undefined]);
      expect(stage.attempts(request.id)).toMatchObject([
        { backend: 'ledger', state: act === 'unsent' ? 'unsent' : 'cancelled' },
        { backend: 'other', state: 'done' },
      ]);
      expect(stage.backend.moved.size).toBe(0);
    }
  });
});

describe('what acts on an earlier payment', () => {
  /** A hold of 30.00 that went through. */
  async function held() {
    const stage = await createStage();
    const mandate = await putMandate(stage.store);
    const hold = await stage.request({ mandate, action: 'hold', amount: yuan(30_00n) });
    await stage.deliver('glasses', 'request', hold.envelope);
    expect(lastTold(stage, hold.id)).toEqual(['held', undefined]);
    expect(used(stage)).toMatchObject({ settled: 0n, reserved: 30_00n });
    const act = async (
      action: 'capture' | 'void' | 'refund',
      minor: bigint,
      counter: number,
      role: Role = 'kiosk',
    ) => {
      const request = await stage.request(
        { mandate, action, amount: yuan(minor), counter, original: hold.id, channel: 'touch' },
        role,
      );
      await stage.deliver(role, 'request', request.envelope);
      return lastTold(stage, request.id, role);
    };
    return { stage, mandate, hold, act };
  }

  test('a hold is captured in part, the rest is free again, and it is refunded', async () => {
    const { stage, act, hold } = await held();
    expect(await act('capture', 30_01n, 1)).toEqual(['refused', 'capture_exceeds']);
    expect(await act('capture', 20_00n, 2)).toEqual(['captured', undefined]);
    expect(used(stage)).toMatchObject({ settled: 20_00n, reserved: 0n });
    expect(await act('capture', 10_00n, 3)).toEqual(['refused', 'not_held']);
    expect(await act('void', 10_00n, 4)).toEqual(['refused', 'not_held']);
    expect(await act('refund', 15_00n, 5)).toEqual(['refunded', undefined]);
    expect(await act('refund', 5_01n, 6)).toEqual(['refused', 'refund_exceeds']);
    expect(await act('refund', 5_00n, 7)).toEqual(['refunded', undefined]);
    expect(used(stage), 'a refund frees no window').toMatchObject({ settled: 20_00n });
    expect(stage.backend.movements.map(({ original }) => original)).toEqual([
      hold.id,
      hold.id,
      hold.id,
    ]);
    expect(stage.risk.asked, 'risk hears of the hold only').toHaveLength(1);
  });

  test('a void frees all of it', async () => {
    const { stage, act } = await held();
    expect(await act('void', 29_99n, 1)).toEqual(['refused', 'capture_exceeds']);
    expect(await act('void', 30_00n, 2)).toEqual(['voided', undefined]);
    expect(used(stage)).toMatchObject({ settled: 0n, reserved: 0n });
    expect(await act('capture', 1n, 3)).toEqual(['refused', 'not_held']);
  });

  test('only the payee gives its claims and its money up', async () => {
    const { act } = await held();
    expect(await act('void', 30_00n, 2, 'glasses')).toEqual(['refused', 'role_forbidden']);
    expect(await act('refund', 1_00n, 3, 'glasses')).toEqual(['refused', 'role_forbidden']);
    expect(await act('void', 30_00n, 1, 'bazaar')).toEqual(['refused', 'original_unknown']);
    expect(await act('capture', 30_00n, 1, 'agent')).toEqual(['refused', 'role_forbidden']);
    expect(await act('capture', 30_00n, 4, 'glasses')).toEqual(['captured', undefined]);
  });

  test('a hold that nobody captures is released by itself', async () => {
    const { stage, act } = await held();
    await stage.time.leap(HOLD_FOR_MS - 1);
    await stage.bridge().sweep();
    await settle();
    expect(used(stage)).toMatchObject({ reserved: 30_00n });
    await stage.time.leap(1);
    expect(await act('capture', 30_00n, 1)).toEqual(['expired', 'expired']);
    stage.backend.acts.push(...Array<BackendAct>(8).fill('unsent'));
    await stage.bridge().sweep();
    await stage.time.advance(UNSENT_FOR_MS * 2);
    expect(used(stage), 'an outage does not end it').toMatchObject({ reserved: 30_00n });
    await stage.time.advance(RESOLVE_MS_MAX * 3);
    await stage.bridge().sweep();
    await settle();
    expect(used(stage)).toMatchObject({ settled: 0n, reserved: 0n });
    const asked = new Set(stage.backend.movements.map(({ key, operation }) => operation + key));
    expect(asked.size, 'one void, under one key').toBe(1);
    expect(await act('capture', 30_00n, 2)).toEqual(['refused', 'not_held']);
  });

  test('a hold whose release is refused is its payee’s to void and blocks none', async () => {
    const { stage, mandate, hold } = await held();
    const amount = yuan(30_00n);
    const second = await stage.request({ mandate, action: 'hold', counter: 2, amount });
    await stage.deliver('glasses', 'request', second.envelope);
    await stage.time.leap(HOLD_FOR_MS);
    stage.backend.acts.push('declined');
    for (let sweep = 0; sweep < 3; sweep++) {
      await stage.bridge().sweep();
      await settle();
    }
    expect(stage.logs.filter((line) => line.includes('was not released'))).toHaveLength(1);
    expect(used(stage)).toMatchObject({ reserved: 30_00n });
    const outcomes = [];
    for (const [i, { id: original }] of [hold, second].entries()) {
      const about = { mandate, action: 'void', amount, original, counter: i + 1 } as const;
      const request = await stage.request(about, 'kiosk');
      await stage.deliver('kiosk', 'request', request.envelope);
      outcomes.push(lastTold(stage, request.id, 'kiosk').join(' '));
    }
    expect(outcomes.sort()).toEqual(['refused not_held', 'voided ']);
    expect(used(stage)).toMatchObject({ reserved: 0n });
  });

  test.each(['capture', 'refund', 'void'] as const)(
    'a %s never touches an order, whosever it is',
    async (action) => {
      const { stage, mandate, hold } = await held();
      const order = await stage.order();
      await stage.deliver('kiosk', 'order', order.envelope);
      const amount = yuan(action === 'void' ? 30_00n : 1n);
      const about = { mandate, action, amount, original: hold.id, order: order.id };
      const request = await stage.request({ ...about, counter: 1 }, 'kiosk');
      await stage.deliver('kiosk', 'request', request.envelope);
      expect(lastTold(stage, request.id, 'kiosk')).toEqual(['refused', 'order_mismatch']);
      expect(stage.told('kiosk', order.id).map(verdictOf)).toEqual([['pending', 'in_progress']]);
      expect((await stage.store.order(order.id))?.state).toBe('open');
    },
  );

  test('a terminal names the order that was paid, and refunds that payment', async () => {
    const stage = await createStage();
    const mandate = await putMandate(stage.store);
    const order = await stage.order();
    await stage.deliver('kiosk', 'order', order.envelope);
    const paid = await stage.request({
      mandate,
      order: order.id,
      terminal: 'till-1',
      amount: yuan(40_00n),
    });
    await stage.deliver('glasses', 'request', paid.envelope);
    const refund = await stage.request(
      { mandate: order.id, original: order.id, action: 'refund', amount: yuan(40_00n) },
      'kiosk',
    );
    await stage.deliver('kiosk', 'request', refund.envelope);
    expect(lastTold(stage, refund.id, 'kiosk')).toEqual(['refunded', undefined]);
    expect(stage.backend.movements).toMatchObject([{ original: paid.id, operation: 'refund' }]);
  });

  test('access moves nothing, counts, and is granted', async () => {
    const stage = await createStage();
    const windows = [{ kind: 'total', max: 1n, count: 1 }] as const;
    const mandate = await putMandate(stage.store, { windows });
    for (const [counter, told] of [
      [1, ['granted', undefined]],
      [2, ['refused', 'limit_count']],
    ] as const) {
      const { amount: _, ...rest } = requestOf({ mandate, action: 'access', counter });
      const nonce = stage.nonces.at(stage.clock.nowMs());
      const request = await sealed(requestKind, { ...rest, nonce }, CAST.glasses);
      await stage.deliver('glasses', 'request', request.envelope);
      expect(lastTold(stage, request.id)).toEqual(told);
    }
    expect(stage.backend.calls).toEqual([]);
    expect(used(stage)).toMatchObject({ settled: 0n, settled_count: 1n });
  });
});

describe('a device cancels', () => {
  const cancelOf = (stage: Stage, subject: string) => stage.query({ question: 'cancel', subject });

  test('what was not seen yet: a fact, also when it comes after all', async () => {
    const { stage, request } = await prepared();
    const query = await cancelOf(stage, request.id);
    await stage.deliver('glasses', 'query', query.envelope);
    await stage.deliver('glasses', 'query', query.envelope);
    expect(lastTold(stage, query.id), 'about the question, not the request').toEqual([
      'refused',
      'cancelled',
    ]);
    expect(new Set(stage.bytes('glasses')).size).toBe(1);
    expect(stage.told('glasses', request.id)).toEqual([]);
    await stage.time.advance(5_000);
    await stage.deliver('glasses', 'request', request.envelope);
    await stage.deliver('glasses', 'query', query.envelope);
    expect(lastTold(stage, request.id)).toEqual(['refused', 'cancelled']);
    expect([stage.risk.asked, stage.backend.calls, used(stage)]).toEqual([[], [], undefined]);
  });

  test('another device gets no word about a request that is not its own', async () => {
    const { stage, request } = await prepared();
    const query = await stage.query({ question: 'cancel', subject: request.id }, 'guest');
    await stage.deliver('guest', 'query', query.envelope);
    expect(stage.told('guest', request.id), 'nothing that could be shown to its owner').toEqual([]);
    await stage.deliver('glasses', 'request', request.envelope);
    const later = await stage.query({ question: 'cancel', subject: request.id }, 'agent');
    await stage.deliver('agent', 'query', later.envelope);
    expect(lastTold(stage, request.id, 'agent')).toEqual(['pending', 'not_seen']);
    expect(lastTold(stage, request.id)).toEqual(['captured', undefined]);
  });

  test('asking again and again calls no backend more often', async () => {
    const { stage, request } = await prepared();
    stage.backend.acts.push(...Array<BackendAct>(400).fill('unknown'));
    await stage.deliver('glasses', 'request', request.envelope);
    const state = await stage.query({ question: 'state', subject: request.id });
    const calls = stage.backend.calls.length;
    for (let copy = 0; copy < 50; copy++) await stage.deliver('glasses', 'query', state.envelope);
    expect(stage.backend.calls).toHaveLength(calls);
  });

  test('another device cannot bury a request that is not its own', async () => {
    const { stage, request } = await prepared();
    const query = await stage.query({ question: 'cancel', subject: request.id }, 'guest');
    await stage.deliver('guest', 'query', query.envelope);
    await stage.deliver('glasses', 'request', request.envelope);
    expect(lastTold(stage, request.id)).toEqual(['captured', undefined]);
  });

  test('what waits at the backend: cancelled there first', async () => {
    const { stage, request } = await prepared();
    stage.backend.acts.push('unknown');
    await stage.deliver('glasses', 'request', request.envelope);
    const query = await cancelOf(stage, request.id);
    await stage.deliver('glasses', 'query', query.envelope);
    await stage.time.advance(RESOLVE_MS);
    expect(lastTold(stage, request.id)).toEqual(['refused', 'cancelled']);
    expect(stage.backend.moved.size).toBe(0);
    expect(stage.attempts(request.id)).toMatchObject([{ state: 'cancelled' }]);
  });

  test('what is captured already: its receipt again', async () => {
    const { stage, request } = await prepared();
    await stage.deliver('glasses', 'request', request.envelope);
    await stage.deliver('glasses', 'query', (await cancelOf(stage, request.id)).envelope);
    expect(new Set(stage.bytes('glasses')).size).toBe(1);
    expect(lastTold(stage, request.id)).toEqual(['captured', undefined]);
  });

  test('while risk thinks: refused, and no backend is called', async () => {
    const { stage, request } = await prepared();
    const query = await cancelOf(stage, request.id);
    stage.onRisk(() => stage.deliver('glasses', 'query', query.envelope));
    await stage.deliver('glasses', 'request', request.envelope);
    await settle();
    expect(lastTold(stage, request.id)).toEqual(['refused', 'cancelled']);
    expect(stage.backend.calls).toEqual([]);
  });
});

describe('a revoke', () => {
  const revokeOf = (value: Partial<Revoke>, role: Role = 'wallet') =>
    sealed(revokeKind, { payer: PAYER, iat: NOW_S, ...value }, CAST[role]);

  test.each(['wallet', 'glasses'] as const)('by %s ends a mandate for good', async (role) => {
    const { stage, mandate, request } = await prepared();
    const revoke = await revokeOf({ mandate }, role);
    await stage.deliver('guest', 'revoke', revoke.envelope);
    await stage.deliver('guest', 'revoke', revoke.envelope);
    expect(lastTold(stage, revoke.id, 'guest')).toEqual(['granted', undefined]);
    expect(new Set(stage.bytes('guest')).size).toBe(1);
    await stage.deliver('glasses', 'request', request.envelope);
    expect(lastTold(stage, request.id)).toEqual(['refused', 'revoked']);
  });

  test('of all by epoch, signed long ago for a lost phone', async () => {
    const { stage, request } = await prepared();
    const revoke = await revokeOf({ epoch: 2 }, 'glasses');
    await stage.store.setIdentityStatus(CAST.glasses.key.name, 'suspended', NOW_MS);
    await stage.deliver('guest', 'revoke', revoke.envelope);
    expect(lastTold(stage, revoke.id, 'guest')).toEqual(['granted', undefined]);
    await stage.store.setIdentityStatus(CAST.glasses.key.name, 'active', NOW_MS);
    await stage.deliver('glasses', 'request', request.envelope);
    expect(lastTold(stage, request.id)).toEqual(['refused', 'revoked']);
    const old = await sealed(mandateKind, mandateOf({ iat: NOW_S + 1 }), CAST.wallet);
    await stage.deliver('glasses', 'mandate', old.envelope);
    expect(lastTold(stage, old.id)).toEqual(['refused', 'revoked']);
    const next = await sealed(mandateKind, mandateOf({ epoch: 2 }), CAST.wallet);
    await stage.deliver('glasses', 'mandate', next.envelope);
    expect(lastTold(stage, next.id)).toEqual(['granted', undefined]);
  });

  test('lets no other backend be tried for what was under way', async () => {
    const stage = await createStage({ isSecond: true });
    const value = mandateOf();
    const mandate = await sealed(mandateKind, value, CAST.wallet);
    const { name } = CAST.wallet.key;
    const payer = toHex(PAYER);
    const both = ['ledger', 'other'];
    await stage.store.putMandate(mandate.id, value, name, payer, both, mandate.envelope, NOW_MS);
    stage.backend.acts.push(...Array<BackendAct>(11).fill('unknown'));
    const request = await stage.request({ mandate: mandate.id });
    await stage.deliver('glasses', 'request', request.envelope);
    const revoke = await revokeOf({ mandate: mandate.id });
    await stage.deliver('guest', 'revoke', revoke.envelope);
    expect(stage.told('guest', revoke.id)[0]).toMatchObject({ running: [request.id] });
    await stage.time.advance(RESOLVE_FOR_MS + RESOLVE_MS_MAX * 4);
    expect(lastTold(stage, request.id)).toEqual(['refused', 'revoked']);
    expect(stage.other.calls).toEqual([]);
  });

  test('voids what has no attempt yet and lists what is under way', async () => {
    const { stage, mandate, request } = await prepared();
    stage.backend.acts.push('unknown');
    await stage.deliver('glasses', 'request', request.envelope);
    const second = await stage.request({ mandate, counter: 2 });
    const revoke = await revokeOf({ mandate });
    stage.onRisk(() => stage.deliver('guest', 'revoke', revoke.envelope));
    await stage.deliver('glasses', 'request', second.envelope);
    await settle();
    const [told] = stage.told('guest', revoke.id);
    expect(told).toMatchObject({ outcome: 'granted', running: [request.id] });
    expect(lastTold(stage, second.id)).toEqual(['refused', 'revoked']);
    await stage.time.advance(RESOLVE_MS);
    expect(lastTold(stage, request.id), 'it had left already').toEqual(['captured', undefined]);
  });

  test.each(['guest', 'kiosk', 'agent'] as const)('of %s is refused', async (role) => {
    const { stage, mandate, request } = await prepared();
    const revoke = await revokeOf({ mandate }, role);
    await stage.deliver('guest', 'revoke', revoke.envelope);
    expect(lastTold(stage, revoke.id, 'guest')).toEqual(['refused', 'role_forbidden']);
    await stage.deliver('glasses', 'request', request.envelope);
    expect(lastTold(stage, request.id)).toEqual(['captured', undefined]);
  });
});

describe('a power cut', () => {
  /** One payment on a bridge that is cut off at a step; the steps that it got through. */
  async function cutAt(step: number, second = Infinity) {
    const { stage, request } = await prepared();
    const first = new Power(step);
    stage.restart(first);
    await stage.deliver('glasses', 'request', request.envelope);
    await stage.time.advance(RESOLVE_MS_MAX);
    const decidedRun = (await stage.store.run(request.id))?.decision !== undefined;
    const askedBefore = stage.risk.asked.length;

    const power = new Power(second);
    await stage
      .restart(power)
      .sweep()
      .catch(() => 0);
    await settle();
    stage.restart();
    await stage.bridge().sweep();
    await settle();
    // The device heard nothing, or does not trust what it heard: it sends the same bytes again.
    await stage.deliver('glasses', 'request', request.envelope);
    return { stage, request, first, power, decidedRun, askedBefore };
  }

  test('the steps are those that this test believes to cut between', async () => {
    const { first } = await cutAt(Infinity);
    expect(first.passed).toEqual([
      'before admit',
      'after admit',
      'before risk',
      'after risk',
      'before decide',
      'after decide',
      'before backend',
      'after backend',
      'before conclude',
      'after conclude',
      'before send',
      'after send',
    ]);
  });

  test.each(Array.from({ length: 12 }, (_, i) => i + 1))(
    'at step %i: after the restart one receipt, one movement, no second opinion of risk',
    async (step) => {
      for (let second = 1; second <= 13; second++) {
        const { stage, request, first, decidedRun, askedBefore } = await cutAt(step, second);
        const where = `${first.passed.at(-1)}, then step ${second}`;
        expect(lastTold(stage, request.id), where).toEqual(['captured', undefined]);
        const finals = stage.bytes('glasses');
        expect(new Set(finals).size, where).toBe(1);
        expect([...stage.backend.moved.keys()], where).toEqual([request.id]);
        if (decidedRun) expect(stage.risk.asked.length, where).toBe(askedBefore);
        expect(used(stage), where).toEqual({
          settled: 10_00n,
          reserved: 0n,
          settled_count: 1n,
          reserved_count: 0n,
        });
        expect(stage.open(), where).toEqual([]);
      }
    },
  );

  test('the verdict is of the time of admission: resumed a day later it goes on', async () => {
    const { stage, request } = await prepared();
    stage.restart(new Power(2));
    await stage.deliver('glasses', 'request', request.envelope);
    await stage.time.advance(86_400_000);
    await stage.restart().sweep();
    await settle();
    expect(lastTold(stage, request.id)).toEqual(['captured', undefined]);
    expect(stage.risk.asked[0]?.atMs).toBe(NOW_MS);
  });

  test('a refusal that was admitted and not told is told after the restart', async () => {
    const { stage, request } = await prepared({ payee: 'nobody' });
    stage.restart(new Power(2));
    await stage.deliver('glasses', 'request', request.envelope);
    expect(stage.told('glasses', request.id)).toEqual([]);
    await stage.restart().sweep();
    await settle();
    expect(lastTold(stage, request.id)).toEqual(['refused', 'scope_payee']);
    expect(stage.risk.asked).toEqual([]);
  });
});

describe('at the door', () => {
  const unsigned = (stage: Stage, device = 'glasses') =>
    stage.sent
      .filter(({ topic }) => topic === downTopic(device, 'unsigned'))
      .map(({ payload, qos }) => [(decodeCbor(payload) as Map<number, number>).get(23), qos]);

  const entries = [
    ['a bad signature', 'glasses', 'request', flipped(-1)],
    ['a changed amount', 'glasses', 'request', flipped(60)],
    ['a truncated envelope', 'glasses', 'request', (bytes: Uint8Array) => bytes.slice(0, -1)],
    [
      'one byte too many',
      'glasses',
      'request',
      (bytes: Uint8Array) => new Uint8Array([...bytes, 0]),
    ],
    ['noise', 'glasses', 'request', () => new Uint8Array(100).fill(0xff)],
    ['nothing at all', 'glasses', 'request', () => new Uint8Array()],
    ['more than anybody reads', 'glasses', 'request', () => new Uint8Array(5_000).fill(0xd2)],
    ['another device’s topic', 'guest', 'request', (bytes: Uint8Array) => bytes],
    ['a device nobody knows', 'nobody', 'request', (bytes: Uint8Array) => bytes],
    ['a request sent as a query', 'glasses', 'query', (bytes: Uint8Array) => bytes],
    ['a request sent as a mandate', 'glasses', 'mandate', (bytes: Uint8Array) => bytes],
    ['a request sent as an order', 'glasses', 'order', (bytes: Uint8Array) => bytes],
  ] as const;

  function flipped(at: number) {
    return (bytes: Uint8Array) => {
      const copy = Uint8Array.from(bytes);
      copy[at < 0 ? copy.length + at : at]! ^= 1;
      return copy;
    };
  }

  test.each(entries)('%s leaves no row and is answered only unsigned', async (...entry) => {
    const [, device, kind, spoil] = entry;
    const { stage, request } = await prepared();
    const before = stage.rows();
    await stage.deliver(device, kind, spoil(request.envelope));
    expect(stage.rows()).toEqual(before);
    expect(unsigned(stage, device)).toEqual([[REASONS.bad_signature, 0]]);
    expect(stage.sent).toHaveLength(1);
    await stage.deliver('glasses', 'request', request.envelope);
    expect(lastTold(stage, request.id), 'the id was not burnt').toEqual(['captured', undefined]);
  });

  test.each([
    ['malformed', 'query', (bytes: Uint8Array) => bytes.subarray(1)],
    ['too_large', 'request', () => new Uint8Array(5_000).fill(0xd2)],
    ['bad_signature', 'request', flipped(-1)],
  ] as const)('%s: no device is told why, the operator is', async (reason, kind, spoil) => {
    const { stage, request } = await prepared();
    await stage.deliver('glasses', kind, spoil(request.envelope));
    expect(stage.logs.filter((line) => line.includes('refused at the door'))).toEqual([
      expect.stringContaining(`"kind":"${kind}","reason":"${reason}"`),
    ]);
  });

  test('another ledger’s request leaves no row', async () => {
    const { stage } = await prepared();
    const foreign = { environment: 'sim', ledger: 'other' } as const;
    const { envelope } = await sealed(requestKind, requestOf(), CAST.glasses, foreign);
    const before = stage.rows();
    await stage.deliver('glasses', 'request', envelope);
    expect(stage.rows()).toEqual(before);
    expect(unsigned(stage)).toEqual([[REASONS.bad_signature, 0]]);
  });

  test('a simulated request in a live ledger is named as such, and leaves no row', async () => {
    // Statements are sealed for the simulation, which the store does not mind: it never opens them.
    const stage = await createStage({ realm: { environment: 'live', ledger: 'demo' } });
    const { envelope } = await sealed(requestKind, requestOf(), CAST.glasses, REALM);
    const before = stage.rows();
    await stage.deliver('glasses', 'request', envelope);
    expect(stage.rows()).toEqual(before);
    expect(unsigned(stage)).toEqual([[REASONS.sim_in_live, 0]]);
  });

  test('no loudspeaker: so many answers a second to one device, then silence', async () => {
    const { stage } = await prepared();
    for (let i = 0; i < 10; i++) await stage.deliver('glasses', 'request', Uint8Array.of(i));
    expect(unsigned(stage)).toHaveLength(BAD_ANSWERS_PER_S);
    await stage.deliver('guest', 'request', Uint8Array.of(1));
    expect(unsigned(stage, 'guest'), 'another device has its own share').toHaveLength(1);
    await stage.time.advance(1_000);
    await stage.deliver('glasses', 'request', Uint8Array.of(1));
    expect(unsigned(stage)).toHaveLength(BAD_ANSWERS_PER_S + 1);
  });

  test('no loudspeaker for many names either: so many answers and log lines in all', async () => {
    const { stage, request } = await prepared();
    const told = () => stage.sent.filter(({ topic }) => topic.endsWith('/down/unsigned')).length;
    const logged = () => stage.logs.filter((line) => line.includes('refused at the door')).length;
    for (let i = 0; i < 10; i++) await stage.deliver('glasses', 'request', Uint8Array.of(i));
    expect([told(), logged()], 'one device').toEqual([BAD_ANSWERS_PER_S, BAD_ANSWERS_PER_S]);
    const noise = (second: number) => {
      for (let i = 0; i < BAD_ANSWERS_IN_ALL_PER_S * 2; i++) {
        stage.bridge().receive(upTopic(`noise-${second}-${i}`, 'request'), Uint8Array.of(1));
      }
      return settle();
    };
    await noise(1);
    expect([told(), logged()]).toEqual([BAD_ANSWERS_IN_ALL_PER_S, BAD_ANSWERS_IN_ALL_PER_S]);
    await stage.deliver('glasses', 'request', request.envelope);
    expect(lastTold(stage, request.id), 'honest ones are heard').toEqual(['captured', undefined]);
    await stage.time.advance(1_000);
    await noise(2);
    expect(told(), 'the next second has its own').toBe(BAD_ANSWERS_IN_ALL_PER_S * 2);
  });

  test.each(['policy', 'receipt', 'tick', 'key'] as const)(
    'a %s, which no device may send up, is not even answered',
    async (kind) => {
      const { stage, request } = await prepared();
      const before = stage.rows();
      await stage.deliver('glasses', kind, request.envelope);
      stage.bridge().receive('saytap/1/glasses/down/receipt', request.envelope);
      stage.bridge().receive('elsewhere', request.envelope);
      await settle();
      expect(stage.sent).toEqual([]);
      expect(stage.rows()).toEqual(before);
    },
  );

  test.each([
    ['kiosk', 'role_forbidden', { action: 'hold' }],
    ['kiosk', 'mandate_unknown', { terminal: 'till-1' }],
    ['glasses', 'original_unknown', { action: 'void', original: 'ee'.repeat(16) }],
    ['glasses', 'expired', { exp: NOW_S }],
    ['glasses', 'stale_nonce', { nonce: new Uint8Array(8) }],
    ['guest', 'mandate_unknown', {}],
  ] as const)('but a signed request of %s that is %s gets a final receipt', async (...row) => {
    const [role, reason, changes] = row;
    const { stage, mandate } = await prepared();
    const request = await stage.request({ mandate, ...changes }, role);
    await stage.deliver(role, 'request', request.envelope);
    await stage.time.advance(1_000);
    await stage.deliver(role, 'request', request.envelope);
    const outcome = reason === 'expired' ? 'expired' : 'refused';
    const told = stage.told(role, request.id);
    expect(told.map(verdictOf)).toEqual([
      [outcome, reason],
      [outcome, reason],
    ]);
    expect(new Set(stage.bytes(role)).size).toBe(1);
    expect(told[0]).not.toHaveProperty('amount');
    expect([stage.risk.asked, stage.backend.calls]).toEqual([[], []]);
    expect((await stage.store.run(request.id))?.receipt).toBeDefined();
  });

  test('a reused counter suspends the key, and both requests get their receipt', async () => {
    const { stage, request, mandate } = await prepared();
    const clone = await stage.request({ mandate, amount: yuan(11_00n) });
    await stage.deliver('glasses', 'request', request.envelope);
    await stage.deliver('glasses', 'request', clone.envelope);
    expect(lastTold(stage, request.id)).toEqual(['captured', undefined]);
    expect(lastTold(stage, clone.id)).toEqual(['refused', 'counter_reused']);
    expect((await stage.store.identityOfDevice('glasses'))?.status).toBe('suspended');
    expect(stage.logs.some((line) => line.startsWith('warn key suspended'))).toBe(true);
  });
});

describe('an order', () => {
  async function ordered(changes: Parameters<Stage['order']>[0] = {}) {
    const found = await prepared();
    const { stage, mandate } = found;
    const order = await stage.order(changes);
    await stage.deliver('kiosk', 'order', order.envelope);
    const payment = (counter: number, role: 'glasses' | 'guest' = 'glasses') =>
      stage.request(
        { mandate, counter, order: order.id, terminal: 'till-1', amount: yuan(40_00n) },
        role,
      );
    return { ...found, order, payment };
  }
  const atKiosk = (stage: Stage, id: string) => stage.told('kiosk', id).map(verdictOf);

  test('paid: the terminal’s copy says order, outcome, amount and time, no more', async () => {
    const { stage, order, payment } = await ordered();
    expect(atKiosk(stage, order.id)).toEqual([['pending', 'in_progress']]);
    const request = await payment(1);
    await stage.time.advance(5_000);
    await stage.deliver('glasses', 'request', request.envelope);
    expect(stage.told('kiosk', order.id).at(-1)).toEqual({
      iat: NOW_S + 5,
      subject: order.id,
      outcome: 'captured',
      amount: yuan(40_00n),
    });
    expect(stage.told('glasses', request.id)).toMatchObject([
      { outcome: 'captured', order: order.id, amount: yuan(40_00n) },
    ]);
    expect(stage.told('kiosk', request.id), 'the terminal learns nothing of the payer').toEqual([]);
  });

  test('registered twice it is one; asked for after it was paid, the same bytes', async () => {
    const { stage, order, payment } = await ordered();
    await stage.deliver('kiosk', 'order', order.envelope);
    expect(stage.database.prepare('SELECT count(*) AS n FROM orders').get()).toEqual({ n: 1n });
    await stage.deliver('glasses', 'request', (await payment(1)).envelope);
    await stage.time.advance(3_600_000);
    stage.restart();
    await stage.deliver('kiosk', 'order', order.envelope);
    const [, , told, again] = stage.bytes('kiosk');
    expect(told).toBeDefined();
    expect(again).toBe(told);
  });

  test('paid once: a second payer is refused and the first one’s claim is his own', async () => {
    const { stage, order, payment } = await ordered();
    stage.backend.acts.push('unknown');
    await stage.deliver('glasses', 'request', (await payment(1)).envelope);
    const second = await payment(2);
    await stage.deliver('glasses', 'request', second.envelope);
    expect(lastTold(stage, second.id)).toEqual(['refused', 'order_claimed']);
    await stage.time.advance(RESOLVE_MS);
    expect(atKiosk(stage, order.id).at(-1)).toEqual(['captured', undefined]);
    const third = await payment(3);
    await stage.deliver('glasses', 'request', third.envelope);
    expect(lastTold(stage, third.id)).toEqual(['refused', 'order_paid']);
  });

  test('declined, it is open for the next payer', async () => {
    const { stage, order, payment } = await ordered();
    stage.backend.acts.push('declined');
    await stage.deliver('glasses', 'request', (await payment(1)).envelope);
    expect(atKiosk(stage, order.id)).toEqual([['pending', 'in_progress']]);
    await stage.deliver('glasses', 'request', (await payment(2)).envelope);
    expect(atKiosk(stage, order.id).at(-1)).toEqual(['captured', undefined]);
  });

  test('expired: its terminal gets one final word, and nobody pays it any more', async () => {
    const { stage, order, payment } = await ordered({ exp: NOW_S + 60 });
    await stage.time.advance(59_999);
    await stage.deliver('kiosk', 'order', order.envelope);
    expect(atKiosk(stage, order.id).at(-1)).toEqual(['pending', 'in_progress']);
    await stage.time.advance(1);
    await stage.deliver('kiosk', 'order', order.envelope);
    await stage.time.advance(10_000);
    await stage.deliver('kiosk', 'order', order.envelope);
    expect(atKiosk(stage, order.id).slice(-2)).toEqual([
      ['expired', 'order_expired'],
      ['expired', 'order_expired'],
    ]);
    const [closed, again] = stage.bytes('kiosk').slice(-2);
    expect(again).toBe(closed);
    const late = await payment(1);
    await stage.deliver('glasses', 'request', late.envelope);
    expect(lastTold(stage, late.id)).toEqual(['refused', 'order_expired']);
  });

  test('claimed in time and captured late: paid, whatever the clock says', async () => {
    const { stage, order, payment } = await ordered({ exp: NOW_S + 60 });
    await stage.time.advance(59_000);
    stage.backend.acts.push('lost', 'unknown', 'unknown', 'unknown', 'unknown');
    await stage.deliver('glasses', 'request', (await payment(1)).envelope);
    await stage.time.advance(2_000);
    await stage.deliver('kiosk', 'order', order.envelope);
    expect(atKiosk(stage, order.id).at(-1)).toEqual(['pending', 'in_progress']);
    await stage.time.advance(10_000);
    expect(atKiosk(stage, order.id).at(-1)).toEqual(['captured', undefined]);
  });

  test.each([
    ['till', 'scope_terminal', 'a colleague’s till'],
    ['bazaar', 'scope_terminal', 'another merchant'],
    ['glasses', 'scope_terminal', 'a device that is no terminal'],
  ] as const)('in the name of a terminal that %s is not: %s (%s)', async (role, reason, why) => {
    const { stage } = await prepared();
    const order = await stage.order({}, role);
    await stage.deliver(role, 'order', order.envelope);
    expect(lastTold(stage, order.id, role), why).toEqual(['refused', reason]);
    expect((await stage.store.order(order.id))?.state).toBe('closed');
  });

  test('of a revoked terminal: refused; of one revoked since: still captured', async () => {
    const { stage, order, payment } = await ordered();
    await stage.deliver('glasses', 'request', (await payment(1)).envelope);
    await stage.store.setIdentityStatus(CAST.kiosk.key.name, 'revoked', NOW_MS);
    await stage.deliver('kiosk', 'order', order.envelope);
    expect(atKiosk(stage, order.id).at(-1)).toEqual(['captured', undefined]);
    const other = await stage.order({ salt: new Uint8Array(16).fill(2) });
    await stage.deliver('kiosk', 'order', other.envelope);
    expect(atKiosk(stage, other.id)).toEqual([['refused', 'revoked']]);
    expect((await stage.store.order(other.id))?.state).toBe('closed');
  });

  test('refused once is refused for good: reinstated, the same bytes, and never paid', async () => {
    const { stage, mandate } = await prepared();
    const { name } = CAST.kiosk.key;
    await stage.store.setIdentityStatus(name, 'suspended', NOW_MS);
    const order = await stage.order();
    await stage.deliver('kiosk', 'order', order.envelope);
    await stage.store.setIdentityStatus(name, 'active', NOW_MS);
    await stage.time.advance(5_000);
    stage.restart();
    await stage.deliver('kiosk', 'order', order.envelope);
    expect(atKiosk(stage, order.id)).toEqual(Array(2).fill(['refused', 'suspended']));
    expect(new Set(stage.bytes('kiosk')).size).toBe(1);
    const at = { order: order.id, terminal: 'till-1', amount: yuan(40_00n) };
    const request = await stage.request({ mandate, ...at });
    await stage.deliver('glasses', 'request', request.envelope);
    expect(lastTold(stage, request.id)).toEqual(['refused', 'order_expired']);
    expect(stage.backend.calls).toEqual([]);
  });
});

describe('a mandate', () => {
  const offered = async () => {
    const stage = await createStage();
    return { stage, mandate: await sealed(mandateKind, mandateOf(), CAST.wallet) };
  };

  test('is granted, whichever device carries it, and may then be spent', async () => {
    const { stage, mandate } = await offered();
    await stage.deliver('guest', 'mandate', mandate.envelope);
    expect(stage.told('guest', mandate.id)).toEqual([
      { iat: NOW_S, subject: mandate.id, outcome: 'granted' },
    ]);
    const request = await stage.request({ mandate: mandate.id });
    await stage.deliver('glasses', 'request', request.envelope);
    expect(lastTold(stage, request.id)).toEqual(['captured', undefined]);
  });

  test('is refused while its funding is not linked, and granted once it is', async () => {
    const { stage, mandate } = await offered();
    stage.backend.linked = false;
    await stage.deliver('glasses', 'mandate', mandate.envelope);
    expect(lastTold(stage, mandate.id)).toEqual(['refused', 'funding_unknown']);
    expect(await stage.store.mandate(mandate.id, NOW_MS)).toBeUndefined();
    stage.backend.linked = true;
    await stage.deliver('glasses', 'mandate', mandate.envelope);
    expect(lastTold(stage, mandate.id)).toEqual(['granted', undefined]);
  });

  test('is not answered while the backend is away, and granted when it is back', async () => {
    const { stage, mandate } = await offered();
    stage.backend.linked = 'away';
    await stage.deliver('glasses', 'mandate', mandate.envelope);
    expect(stage.sent).toEqual([]);
    stage.backend.linked = true;
    await stage.deliver('glasses', 'mandate', mandate.envelope);
    expect(lastTold(stage, mandate.id)).toEqual(['granted', undefined]);
  });

  test('that was revoked since is refused when it is sent again', async () => {
    const { stage, mandate } = await offered();
    await stage.deliver('glasses', 'mandate', mandate.envelope);
    stage.database.prepare(`UPDATE mandates SET status = 'revoked'`).run();
    await stage.deliver('glasses', 'mandate', mandate.envelope);
    expect(stage.told('glasses', mandate.id).map(verdictOf)).toEqual([
      ['granted', undefined],
      ['refused', 'revoked'],
    ]);
  });

  test('that a device signed for itself is refused', async () => {
    const { stage } = await offered();
    const own = await sealed(mandateKind, mandateOf(), CAST.glasses);
    await stage.deliver('glasses', 'mandate', own.envelope);
    expect(lastTold(stage, own.id)).toEqual(['refused', 'role_forbidden']);
  });
});

describe('a query', () => {
  const ticks = (stage: Stage) =>
    stage.sent
      .filter(({ topic }) => topic === downTopic('glasses', 'tick'))
      .map(({ payload }) => open(tickKind, payload, REALM, () => CAST.bridge.key).value);

  test('at boot is answered with time, nonce, highest counter and its own random', async () => {
    const { stage, mandate } = await prepared();
    const echo = new Uint8Array(16).fill(9);
    const boot = await stage.query({ question: 'boot', echo });
    await stage.deliver('glasses', 'query', boot.envelope);
    await stage.deliver(
      'glasses',
      'request',
      (await stage.request({ mandate, counter: 7 })).envelope,
    );
    await stage.time.advance(40_000);
    await stage.deliver('glasses', 'query', boot.envelope);
    const { name: audience } = CAST.glasses.key;
    expect(ticks(stage)).toEqual([
      { iat: NOW_S, counter: 0, nonce: stage.nonces.at(NOW_MS), audience, echo },
      { iat: NOW_S + 40, counter: 7, nonce: stage.nonces.at(NOW_MS + 40_000), audience, echo },
    ]);
  });

  test('for a state gets the receipt again, or hears that the request was not seen', async () => {
    const { stage, request } = await prepared();
    const asked = await stage.query({ question: 'state', subject: request.id });
    await stage.deliver('glasses', 'query', asked.envelope);
    expect(lastTold(stage, request.id)).toEqual(['pending', 'not_seen']);
    await stage.deliver('glasses', 'request', request.envelope);
    await stage.deliver('glasses', 'query', asked.envelope);
    const [, told, again] = stage.bytes('glasses');
    expect(again).toBe(told);
    expect(lastTold(stage, request.id)).toEqual(['captured', undefined]);
  });

  test('for a state of somebody else’s request learns nothing', async () => {
    const { stage, request } = await prepared();
    await stage.deliver('glasses', 'request', request.envelope);
    const asked = await stage.query({ question: 'state', subject: request.id }, 'guest');
    await stage.deliver('guest', 'query', asked.envelope);
    expect(lastTold(stage, request.id, 'guest')).toEqual(['pending', 'not_seen']);
  });
});

test('a tick goes to all at QoS 0, with the nonce that requests will carry', async () => {
  const { stage } = await prepared();
  await stage.bridge().tick();
  const [message] = stage.sent;
  expect(message).toMatchObject({ topic: tickTopic('demo'), qos: 0 });
  expect(open(tickKind, message!.payload, REALM, () => CAST.bridge.key).value).toEqual({
    iat: NOW_S,
    nonce: stage.nonces.at(NOW_MS),
  });
});

describe('a full disk', () => {
  test('at admission: nothing is said and nothing kept; later the same bytes succeed', async () => {
    const { stage, request } = await prepared();
    const before = stage.rows();
    stage.disk.isFull = true;
    await stage.deliver('glasses', 'request', request.envelope);
    expect(stage.told('glasses', request.id).map(verdictOf)).toEqual([['pending', 'unavailable']]);
    expect(stage.rows()).toEqual(before);
    stage.disk.isFull = false;
    await stage.deliver('glasses', 'request', request.envelope);
    expect(lastTold(stage, request.id)).toEqual(['captured', undefined]);
  });

  test('after the money moved: nothing final is said until it is on disk', async () => {
    const { stage, request } = await prepared();
    stage.backend.acts.push('unknown', 'done', 'done');
    await stage.deliver('glasses', 'request', request.envelope);
    stage.disk.isFull = true;
    await stage.time.advance(RESOLVE_MS);
    expect(stage.backend.moved.size).toBe(1);
    await stage.time.advance(RESOLVE_MS * 10);
    expect(stage.told('glasses', request.id).map(verdictOf)).toEqual([
      ['pending', 'backend_unknown'],
    ]);
    stage.disk.isFull = false;
    await stage.time.advance(RESOLVE_MS_MAX);
    expect(lastTold(stage, request.id)).toEqual(['captured', undefined]);
    expect(stage.backend.moved.size).toBe(1);
    expect(stage.risk.asked).toHaveLength(1);
  });

  test('after risk: the backend is not called before the attempt is on disk', async () => {
    const { stage, request } = await prepared();
    stage.onRisk(() => void (stage.disk.isFull = true));
    await stage.deliver('glasses', 'request', request.envelope);
    expect(stage.risk.asked).toHaveLength(1);
    expect(stage.backend.calls).toEqual([]);
    stage.onRisk(() => {});
    stage.disk.isFull = false;
    await stage.time.advance(RESOLVE_MS);
    expect(lastTold(stage, request.id)).toEqual(['captured', undefined]);
  });

  test('of the real kind: SQLite is full, and goes on when there is room', async () => {
    const stage = await createStage();
    const mandate = await putMandate(stage.store);
    const pages = stage.database.prepare('PRAGMA page_count').get()!['page_count'] as bigint;
    stage.database.exec(`PRAGMA max_page_count = ${pages + 2n}`);
    const requests: Awaited<ReturnType<Stage['request']>>[] = [];
    for (let counter = 1; counter <= 40; counter++) {
      requests.push(await stage.request({ mandate, counter, amount: yuan(1n) }));
    }
    for (const { envelope } of requests) {
      stage.bridge().receive(upTopic('glasses', 'request'), envelope);
    }
    await settle();
    await stage.time.advance(RESOLVE_MS);
    const told = () => {
      const last = stage.lastTold('glasses');
      return requests.map(({ id }) => verdictOf(last.get(id)).join(' '));
    };
    expect(told()).toContain('pending unavailable');
    const before = stage.backend.moved.size;
    expect(before).toBeLessThan(40);

    stage.database.exec(`PRAGMA max_page_count = ${pages * 1_000n}`);
    await stage.time.advance(RESOLVE_MS_MAX);
    for (const { envelope } of requests) {
      stage.bridge().receive(upTopic('glasses', 'request'), envelope);
    }
    await settle();
    expect(new Set(told())).toEqual(new Set(['captured ']));
    expect(stage.backend.moved.size).toBe(40);
    expect(stage.open()).toEqual([]);
    expect(used(stage)).toMatchObject({ settled: 40n, reserved: 0n });
  });

  test('an order and a mandate that cannot be kept are not answered', async () => {
    const { stage } = await prepared();
    stage.disk.isFull = true;
    await stage.deliver('kiosk', 'order', (await stage.order()).envelope);
    const other = await sealed(mandateKind, mandateOf({ epoch: 9 }), CAST.wallet);
    await stage.deliver('glasses', 'mandate', other.envelope);
    expect(stage.sent).toEqual([]);
  });
});

describe('restored from a backup', () => {
  /** A request that was captured by a bridge which is gone; the store knows nothing of it. */
  async function forgotten() {
    const { stage, mandate } = await prepared();
    const nonce = createNonces(new Uint8Array(32).fill(9), 1).at(NOW_MS);
    const request = await stage.request({ mandate, nonce });
    return { stage, request };
  }

  test('a request of before that was paid gets the receipt that it deserves', async () => {
    const { stage, request } = await forgotten();
    const amount = yuan(10_00n);
    const paid = { key: request.id, funding: 'acct-1', payee: 'cafe', amount } as const;
    await stage.backend.port.authorise({ ...paid, capture: 'now' });
    stage.restart(new Power(), { restoredMs: NOW_MS });
    await stage.deliver('glasses', 'request', request.envelope);
    await settle();
    expect(lastTold(stage, request.id)).toEqual(['captured', undefined]);
    expect(stage.backend.moved.size).toBe(1);
  });

  test.each([
    ['when it has expired', 301_000, {}],
    ['when its counter is far ahead', 0, { counter: 90 }],
    ['when its mandate is unknown here', 0, { mandate: 'ee'.repeat(16) }],
  ] as const)('and so it is %s', async (_, laterMs, changes) => {
    const stage = await createStage();
    const mandate = await putMandate(stage.store);
    const nonce = createNonces(new Uint8Array(32).fill(9), 1).at(NOW_MS);
    const request = await stage.request({ mandate, nonce, ...changes });
    const amount = yuan(10_00n);
    const paid = { key: request.id, funding: 'acct-1', payee: 'cafe', amount } as const;
    await stage.backend.port.authorise({ ...paid, capture: 'now' });
    stage.restart(new Power(), { restoredMs: NOW_MS });
    await stage.time.leap(laterMs);
    await stage.deliver('glasses', 'request', request.envelope);
    await settle();
    expect(lastTold(stage, request.id)).toEqual(['captured', undefined]);
  });

  test('a cancel of what is not known here needs the request to be answered', async () => {
    const { stage, request } = await forgotten();
    const amount = yuan(10_00n);
    const paid = { key: request.id, funding: 'acct-1', payee: 'cafe', amount } as const;
    await stage.backend.port.authorise({ ...paid, capture: 'now' });
    stage.restart(new Power(), { restoredMs: NOW_MS });
    const cancel = await stage.query({ question: 'cancel', subject: request.id });
    await stage.deliver('glasses', 'query', cancel.envelope);
    expect(lastTold(stage, request.id)).toEqual(['pending', 'not_seen']);
    await stage.deliver('glasses', 'request', request.envelope);
    await stage.deliver('glasses', 'query', cancel.envelope);
    await settle();
    expect(lastTold(stage, request.id)).toEqual(['captured', undefined]);
  });

  test('its order is paid then, and cannot be paid again', async () => {
    const stage = await createStage();
    const mandate = await putMandate(stage.store);
    const order = await stage.order();
    await stage.deliver('kiosk', 'order', order.envelope);
    const nonce = createNonces(new Uint8Array(32).fill(9), 1).at(NOW_MS);
    const about = { mandate, order: order.id, terminal: 'till-1', amount: yuan(40_00n) };
    const first = await stage.request({ ...about, nonce });
    const key = { key: first.id, funding: 'acct-1', payee: 'cafe', amount: yuan(40_00n) } as const;
    await stage.backend.port.authorise({ ...key, capture: 'now' });
    stage.restart(new Power(), { restoredMs: NOW_MS });
    await stage.deliver('glasses', 'request', first.envelope);
    await settle();
    expect(lastTold(stage, order.id, 'kiosk')).toEqual(['captured', undefined]);
    const second = await stage.request({ ...about, counter: 2 });
    await stage.deliver('glasses', 'request', second.envelope);
    expect(lastTold(stage, second.id)).toEqual(['refused', 'order_paid']);
  });

  test('one that was not paid is barred at the backend before it is called refused', async () => {
    const { stage, request } = await forgotten();
    stage.restart(new Power(), { restoredMs: NOW_MS });
    stage.backend.acts.push('unknown');
    await stage.deliver('glasses', 'request', request.envelope);
    expect(lastTold(stage, request.id)).toEqual(['pending', 'backend_unknown']);
    await stage.time.advance(RESOLVE_MS);
    expect(lastTold(stage, request.id)).toEqual(['refused', 'stale_nonce']);
    expect(stage.backend.calls).toEqual([]);
    const keys = stage.backend.movements.map(({ key }) => key);
    expect(new Set(keys)).toEqual(new Set([cancelKeyOf(request.id)]));
  });

  describe('what was under way at the moment of the backup', () => {
    /** Two backends, and a payment whose call at the first one is never answered. */
    async function underway(act: BackendAct) {
      const stage = await createStage({ isSecond: true });
      const value = mandateOf();
      const { id: mandate, envelope } = await sealed(mandateKind, value, CAST.wallet);
      const { name } = CAST.wallet.key;
      const backends = ['ledger', 'other'];
      await stage.store.putMandate(mandate, value, name, toHex(PAYER), backends, envelope, NOW_MS);
      const request = await stage.request({ mandate });
      stage.backend.acts.push(act);
      await stage.deliver('glasses', 'request', request.envelope);
      await stage.bridge().close();
      stage.sent.length = 0;
      return { stage, mandate, request };
    }

    /** The store as of the backup, in the hands of a bridge that knows of nothing later. */
    async function restored(stage: Stage) {
      expect(stage.database.transaction(() => refuseUnderway(stage.database))).toHaveLength(1);
      stage.restart(new Power(), { restoredMs: stage.clock.nowMs() });
      await stage.bridge().sweep();
      await settle();
    }

    const paid = (id: string) =>
      ({
        key: id,
        funding: 'acct-1',
        payee: 'cafe',
        amount: yuan(10_00n),
        capture: 'now',
      }) as const;

    test('is captured where a second backend captured it since, and nowhere else', async () => {
      const { stage, request } = await underway('late');
      await stage.other.port.authorise(paid(request.id));
      await restored(stage);
      expect(lastTold(stage, request.id)).toEqual(['captured', undefined]);
      stage.backend.arrive();
      expect(stage.backend.moved.size, 'the first has barred it').toBe(0);
      expect(stage.backend.calls, 'nobody called the first one again').toHaveLength(1);
      expect(used(stage)).toMatchObject({ settled: 10_00n, reserved: 0n });
      expect(await recounted(stage)).toEqual([]);
      stage.database.exec(`UPDATE reservations SET state = 'voided'`);
      const whats = (await recounted(stage)).map(({ what }) => what);
      expect(whats, 'its limits are looked after').toContain('limits count what was paid');
    });

    test('is not undone by a backend that could, where it was captured', async () => {
      const { stage, request } = await underway('lost');
      stage.backend.can({
        cancel: { unseen: 'bars', captured: 'reverses', forMs: 7 * 86_400_000 },
      });
      await restored(stage);
      expect(lastTold(stage, request.id)).toEqual(['captured', undefined]);
      expect(stage.backend.movements).toEqual([]);
    });

    test('is refused when nobody has seen it, and barred everywhere', async () => {
      const { stage, request } = await underway('unsent');
      await restored(stage);
      expect(lastTold(stage, request.id)).toEqual(['refused', 'unavailable']);
      for (const { movements } of [stage.backend, stage.other]) {
        expect(movements).toMatchObject([{ key: cancelKeyOf(request.id), operation: 'void' }]);
      }
      expect([stage.backend.calls.length, stage.other.calls.length]).toEqual([1, 0]);
      expect(used(stage), 'its limits are free again').toMatchObject({ settled: 0n, reserved: 0n });
    });

    test('waits for a backend that is away, and is never called declined meanwhile', async () => {
      const { stage, request } = await underway('lost');
      stage.backend.query = 'away';
      await restored(stage);
      expect(lastTold(stage, request.id)).toEqual(['pending', 'backend_unknown']);
      await stage.time.advance(RESOLVE_MS_MAX * 10);
      expect(stage.backend.movements, 'nor is anything cancelled').toEqual([]);
      stage.backend.query = 'sees';
      await stage.time.advance(RESOLVE_MS_MAX);
      expect(lastTold(stage, request.id)).toEqual(['captured', undefined]);
    });

    test('is told as the backend told it, also when the bridge died between the two', async () => {
      const { stage, request } = await underway('lost');
      stage.backend.query = 'away';
      await restored(stage);
      await stage.bridge().close();
      // The notice of a backend is on disk before the receipt is.
      const change = { state: 'done', outcome: 'captured', reference: 'notice' } as const;
      const from = stage.attempts(request.id)[0]!['state'] as 'submitting' | 'unknown';
      const step = {
        number: 1,
        from,
        change,
        received: undefined,
        source: 'notification',
      } as const;
      await stage.store.progress(request.id, step, stage.clock.nowMs());
      stage.restart(new Power(), { restoredMs: NOW_MS });
      await stage.bridge().sweep();
      await settle();
      expect(lastTold(stage, request.id)).toEqual(['captured', undefined]);
      expect(await recounted(stage)).toEqual([]);
    });

    test.each([
      ['captured', 0, ['captured', undefined]],
      ['captured', 31, ['captured', undefined]],
      [undefined, 0, ['refused', 'unavailable']],
    ] as const)('a person finds that it was %s, %s days later', async (outcome, days, told) => {
      const { stage, request } = await underway('unknown');
      stage.database.exec("UPDATE attempts SET state = 'person'");
      await restored(stage);
      await stage.time.leap(days * 86_400_000);
      stage.restart(new Power(), { restoredMs: NOW_MS });
      stage.backend.query = 'away';
      const word = { outcome, by: 'li', why: 'asked the provider' };
      await stage.bridge().resolve(request.id, word);
      await settle();
      expect(lastTold(stage, request.id)).toEqual(told);
      expect(stage.other.movements).toHaveLength(outcome === undefined ? 1 : 0);
    });

    test('is asked about at every backend, also when the first was away for a month', async () => {
      const { stage, request } = await underway('unknown');
      await stage.other.port.authorise(paid(request.id));
      stage.backend.can({
        cancel: { unseen: 'bars', captured: 'refuses', forMs: 365 * 86_400_000 },
      });
      stage.backend.query = 'away';
      await restored(stage);
      await stage.bridge().close();
      await stage.time.leap(31 * 86_400_000);
      stage.backend.query = 'sees';
      stage.restart(new Power(), { restoredMs: NOW_MS });
      await stage.bridge().sweep();
      await settle();
      expect(lastTold(stage, request.id)).toEqual(['captured', undefined]);
    });

    test('is asked about before a person is, in a backup older than any cancel', async () => {
      const { stage, request } = await underway('lost');
      await stage.time.leap(CANCEL_FOR_MS_MAX + 1);
      await restored(stage);
      expect(lastTold(stage, request.id)).toEqual(['captured', undefined]);
    });

    test('is no person’s for a backend that was away longer than its cancels count', async () => {
      for (const act of ['lost', 'unsent'] as const) {
        const { stage, request } = await underway(act);
        stage.backend.can({ cancel: { unseen: 'bars', captured: 'refuses', forMs: 1_000 } });
        stage.backend.query = 'away';
        await restored(stage);
        await stage.time.advance(RESOLVE_FOR_MS * 2);
        stage.backend.query = 'sees';
        await stage.time.advance(RESOLVE_MS_MAX);
        const told = act === 'lost' ? ['captured', undefined] : ['refused', 'unavailable'];
        expect(lastTold(stage, request.id)).toEqual(told);
      }
    });

    test('waits where a cancel bars nothing, until no call can arrive any more', async () => {
      for (const isArriving of [true, false]) {
        const { stage, request } = await underway('late');
        stage.backend.can({
          cancel: { unseen: 'nothing', captured: 'refuses', forMs: 86_400_000 },
        });
        await restored(stage);
        expect(lastTold(stage, request.id)).toEqual(['pending', 'backend_unknown']);
        if (isArriving) stage.backend.arrive();
        await stage.time.advance(RESOLVE_FOR_MS + RESOLVE_MS_MAX);
        const told = isArriving ? ['captured', undefined] : ['refused', 'unavailable'];
        expect(lastTold(stage, request.id)).toEqual(told);
        expect(stage.backend.movements).toEqual([]);
      }
    });

    test('is refused where it was reversed, though its own key still says captured', async () => {
      const { stage, request } = await underway('lost');
      stage.backend.can({
        cancel: { unseen: 'bars', captured: 'reverses', forMs: 7 * 86_400_000 },
      });
      stage.backend.reversed(request.id);
      await restored(stage);
      expect(lastTold(stage, request.id)).toEqual(['refused', 'unavailable']);
    });
  });

  test('a hold that is over is released, also when its release was under way then', async () => {
    const { stage, mandate } = await prepared();
    const hold = await stage.request({ mandate, action: 'hold' });
    await stage.deliver('glasses', 'request', hold.envelope);
    await stage.time.leap(HOLD_FOR_MS);
    stage.backend.acts.push('unsent');
    await stage.bridge().sweep();
    await settle();
    await stage.bridge().close();
    expect(stage.database.transaction(() => refuseUnderway(stage.database))).toHaveLength(1);
    stage.restart(new Power(), { restoredMs: stage.clock.nowMs() });
    await stage.bridge().sweep();
    await stage.time.advance(RESOLVE_FOR_MS + RESOLVE_MS_MAX);
    await stage.bridge().sweep();
    await settle();
    expect(stage.database.prepare('SELECT held FROM payments').get()).toEqual({ held: 0n });
    expect(used(stage)).toMatchObject({ settled: 0n, reserved: 0n });
    expect(stage.backend.moved.size).toBe(0);
  });

  test('one key that asks about much of before leaves room for the others', async () => {
    const { stage, mandate } = await prepared();
    const nonce = createNonces(new Uint8Array(32).fill(9), 1).at(NOW_MS);
    stage.restart(new Power(), { restoredMs: NOW_MS });
    const about = { mandate, action: 'refund', original: 'ab'.repeat(16), nonce } as const;
    for (let counter = 1; counter <= BARRING_MAX + 1; counter++) {
      const act = await stage.request({ ...about, channel: 'touch', counter }, 'kiosk');
      await stage.deliver('kiosk', 'request', act.envelope);
    }
    const request = await stage.request({ mandate, nonce });
    await stage.deliver('glasses', 'request', request.envelope);
    expect(lastTold(stage, request.id)).toEqual(['refused', 'stale_nonce']);
  });

  test('a hold that was held since is held; one that was cancelled since is refused', async () => {
    for (const [isCancelled, told] of [
      [false, ['held', undefined]],
      [true, ['refused', 'stale_nonce']],
    ] as const) {
      const { stage, mandate } = await prepared();
      const nonce = createNonces(new Uint8Array(32).fill(9), 1).at(NOW_MS);
      const hold = await stage.request({ mandate, nonce, action: 'hold' });
      const amount = yuan(10_00n);
      const about = { key: hold.id, funding: 'acct-1', payee: 'cafe', amount } as const;
      await stage.backend.port.authorise({ ...about, capture: 'later' });
      const cancel = { key: cancelKeyOf(hold.id), original: hold.id, amount };
      if (isCancelled) await stage.backend.port.void(cancel);
      stage.restart(new Power(), { restoredMs: NOW_MS });
      await stage.deliver('glasses', 'request', hold.envelope);
      await settle();
      expect(lastTold(stage, hold.id)).toEqual(told);
      expect(stage.backend.moved.size).toBe(isCancelled ? 0 : 1);
    }
  });

  describe('of a capture, void or refund of before', () => {
    /** A payment that the store knows, and what its kiosk asks about it under a forgotten nonce. */
    async function actsOn(action: 'capture' | 'void' | 'refund', isKnown = true) {
      const { stage, mandate } = await prepared();
      const first = action === 'refund' ? 'pay' : 'hold';
      const original = await stage.request({ mandate, action: first });
      if (isKnown) await stage.deliver('glasses', 'request', original.envelope);
      const amount = yuan(10_00n);
      const capture = first === 'pay' ? 'now' : 'later';
      const about = {
        key: original.id,
        funding: 'acct-1',
        payee: 'cafe',
        amount,
        capture,
      } as const;
      if (!isKnown) await stage.backend.port.authorise(about);
      const nonce = createNonces(new Uint8Array(32).fill(9), 1).at(NOW_MS);
      const act = await stage.request(
        { mandate, action, amount, original: original.id, channel: 'touch', nonce },
        'kiosk',
      );
      const movement = { key: act.id, original: original.id, amount };
      return { stage, act, move: () => stage.backend.port[action](movement) };
    }

    test.each([
      ['capture', 'captured', true],
      ['void', 'voided', true],
      ['refund', 'refunded', true],
      ['capture', 'captured', false],
      ['void', 'voided', false],
      ['refund', 'refunded', false],
    ] as const)('%s: one that moved is %s (the original is known: %s)', async (...row) => {
      const [action, outcome, isKnown] = row;
      const { stage, act, move } = await actsOn(action, isKnown);
      await move();
      stage.restart(new Power(), { restoredMs: NOW_MS });
      await stage.deliver('kiosk', 'request', act.envelope);
      await settle();
      expect(lastTold(stage, act.id, 'kiosk')).toEqual([outcome, undefined]);
      expect(stage.backend.movements, 'and nothing moves again').toHaveLength(1);
      expect(await recounted(stage)).toEqual([]);
      if (!isKnown) return;
      const payment = stage.database.prepare('SELECT * FROM payments').get();
      expect(payment).toMatchObject({
        held: 0n,
        captured: action === 'void' ? 0n : 10_00n,
        refunded: action === 'refund' ? 10_00n : 0n,
        refunding: 0n,
        acting: null,
      });
    });

    test('one that nobody has seen is refused when no call of before can arrive', async () => {
      const { stage, act } = await actsOn('refund');
      stage.restart(new Power(), { restoredMs: NOW_MS });
      await stage.deliver('kiosk', 'request', act.envelope);
      await stage.time.advance(RESOLVE_FOR_MS - 1);
      expect(lastTold(stage, act.id, 'kiosk')).toEqual(['pending', 'backend_unknown']);
      await stage.time.advance(RESOLVE_MS_MAX + 1);
      expect(lastTold(stage, act.id, 'kiosk')).toEqual(['refused', 'stale_nonce']);
      expect(stage.backend.movements).toEqual([]);
    });

    test('one that arrives meanwhile counts', async () => {
      const { stage, act, move } = await actsOn('refund');
      stage.restart(new Power(), { restoredMs: NOW_MS });
      await stage.deliver('kiosk', 'request', act.envelope);
      await stage.time.advance(RESOLVE_MS);
      await move();
      await stage.time.advance(RESOLVE_MS_MAX);
      expect(lastTold(stage, act.id, 'kiosk')).toEqual(['refunded', undefined]);
    });

    test('a refund of a hold whose capture was forgotten too ends both', async () => {
      const { stage, mandate } = await prepared();
      const amount = yuan(10_00n);
      const hold = await stage.request({ mandate, action: 'hold' });
      await stage.deliver('glasses', 'request', hold.envelope);
      await stage.backend.port.capture({ key: 'c'.repeat(32), original: hold.id, amount });
      const nonce = createNonces(new Uint8Array(32).fill(9), 1).at(NOW_MS);
      const about = { action: 'refund', original: hold.id, channel: 'touch', nonce } as const;
      const act = await stage.request({ mandate, ...about, amount }, 'kiosk');
      await stage.backend.port.refund({ key: act.id, original: hold.id, amount });
      stage.restart(new Power(), { restoredMs: NOW_MS });
      await stage.deliver('kiosk', 'request', act.envelope);
      await settle();
      expect(lastTold(stage, act.id, 'kiosk')).toEqual(['refunded', undefined]);
      const payment = stage.database.prepare('SELECT * FROM payments').get();
      expect(payment).toMatchObject({ held: 0n, captured: 10_00n, refunded: 10_00n });
      expect(await recounted(stage)).toEqual([]);
    });
  });
});

describe('closing', () => {
  test('ends what waits at once, leaves no timer, and the next bridge goes on', async () => {
    const { stage, request } = await prepared();
    stage.backend.acts.push('lost');
    await stage.deliver('glasses', 'request', request.envelope);
    expect(stage.time.waiting()).toBe(1);
    await stage.bridge().close();
    expect(stage.time.waiting(), 'a timer would keep the program alive').toBe(0);
    await stage.time.advance(RESOLVE_MS_MAX);
    expect(stage.backend.calls).toHaveLength(1);

    expect(await stage.restart().sweep()).toBe(1);
    await settle();
    expect(lastTold(stage, request.id)).toEqual(['captured', undefined]);
  });

  test('waits for a message that is being taken, and for the payment that it becomes', async () => {
    const { stage, request } = await prepared();
    stage.bridge().receive(upTopic('glasses', 'request'), request.envelope);
    expect(await stage.store.run(request.id), 'not even admitted yet').toBeUndefined();
    await stage.bridge().close();
    expect(lastTold(stage, request.id)).toEqual(['captured', undefined]);
    expect(stage.open()).toEqual([]);
    expect(stage.time.waiting()).toBe(0);
  });

  test('takes no more messages', async () => {
    const { stage, request } = await prepared();
    await stage.bridge().close();
    const before = stage.rows();
    await stage.deliver('glasses', 'request', request.envelope);
    expect(stage.rows()).toEqual(before);
  });

  test('waits for a backend that answers, and for one that does not at most STOP_MS', async () => {
    const { stage, request } = await prepared();
    let answer = () => {};
    stage.onBackend(() => new Promise<void>((done) => (answer = done)));
    await stage.deliver('glasses', 'request', request.envelope);
    const events: string[] = [];
    void stage
      .bridge()
      .close()
      .then(() => events.push('closed'));
    await stage.time.advance(STOP_MS - 1);
    expect(events).toEqual([]);
    await stage.time.advance(1);
    expect(events).toEqual(['closed']);
    answer();
    await settle();
    expect(lastTold(stage, request.id), 'the money moved: it is told').toEqual([
      'captured',
      undefined,
    ]);
  });
});

test('payments beyond its limit are left; boots, orders and mandates are still taken', async () => {
  const { stage } = await prepared();
  stage.onBackend(() => new Promise<void>(() => {}));
  const wide = await putMandate(stage.store, {
    windows: [{ kind: 'total', max: 1_000_00n, count: BRIDGE_RUNS_MAX * 2 }],
  });
  for (let counter = 1; counter <= BRIDGE_RUNS_MAX + 5; counter++) {
    const request = await stage.request({ mandate: wide, counter, amount: yuan(1n) });
    stage.bridge().receive(upTopic('glasses', 'request'), request.envelope);
    if (counter % 32 === 0) await settle();
    // As if they came from many devices: one key alone may not have so many open.
    stage.database.exec("UPDATE runs SET key = 'k' || counter WHERE key NOT LIKE 'k%'");
  }
  await settle();
  const { n } = stage.database.prepare('SELECT count(*) AS n FROM runs').get()!;
  expect(n).toBe(BigInt(BRIDGE_RUNS_MAX));
  const left = () => stage.logs.filter((line) => line.includes('too many messages')).length;
  expect(left()).toBe(5);

  const boot = await stage.query({ question: 'boot', echo: new Uint8Array(16) }, 'guest');
  await stage.deliver('guest', 'query', boot.envelope);
  expect(stage.sent.at(-1)).toMatchObject({ topic: downTopic('guest', 'tick') });
  const order = await stage.order();
  await stage.deliver('kiosk', 'order', order.envelope);
  expect(lastTold(stage, order.id, 'kiosk')).toEqual(['pending', 'in_progress']);
  const mandate = await sealed(mandateKind, mandateOf({ epoch: 9 }), CAST.wallet);
  await stage.deliver('guest', 'mandate', mandate.envelope);
  expect(lastTold(stage, mandate.id, 'guest')).toEqual(['granted', undefined]);
  expect(left()).toBe(5);
});
