/**
 * The sixteen attacks on delegated payments that a bridge must refuse, each by its name.
 *
 * Method: a whole bridge over a real store, with a backend that remembers what it was asked. The
 * attacker may send any bytes on any topic and knows every key but the ones that are not his. What
 * counts is what moved, what is reserved, and the reason that the honest party is told.
 */
import { describe, expect, test } from 'vitest';
import { setMeta } from '../broker/store/schema.ts';
import { concat, fromHex, utf8 } from '../src/bytes.ts';
import { encodeCbor } from '../src/cbor.ts';
import { sigStructure, signEnvelope } from '../src/cose.ts';
import { REASONS, type Reason } from '../src/errors.ts';
import { COUNTER_GAP_MAX, RESOLVE_MS, RUNS_PER_KEY_MAX } from '../src/limits.ts';
import { open, seal } from '../src/objects/kind.ts';
import { keyStatement } from '../src/objects/key.ts';
import { type Mandate, mandate as mandateKind } from '../src/objects/mandate.ts';
import { type Request, request as requestKind } from '../src/objects/request.ts';
import { revoke as revokeKind } from '../src/objects/revoke.ts';
import { UNSIGNED, downTopic, upTopic } from '../src/topics.ts';
import {
  CAST,
  NOW_S,
  OFFLINE_POLICY,
  PAYER,
  POLICY,
  Power,
  REALM,
  type Role,
  type Stage,
  createStage,
  mandateOf,
  putMandate,
  requestOf,
  sealed,
  settle,
  statementOf,
  verdictOf,
} from './broker/stage.ts';

const yuan = (minor: bigint) => ({ currency: 'CNY', minor });

const lastTold = (stage: Stage, subject: string, device: string = 'glasses') =>
  verdictOf(stage.told(device, subject).at(-1));

/** Sends a request of `role` and returns outcome and reason of the last receipt. */
async function ask(stage: Stage, changes: Partial<Request>, role: Role = 'glasses') {
  const request = await stage.request(changes, role);
  await stage.deliver(role, 'request', request.envelope);
  return lastTold(stage, request.id, role);
}

const refused = (reason: Reason) => [reason === 'expired' ? 'expired' : 'refused', reason];
const CAPTURED = ['captured', undefined];

/** A mandate of the wallet for a key, sent as anybody would send it. */
async function grant(
  stage: Stage,
  changes: Partial<Mandate>,
  signer: Role = 'wallet',
): Promise<readonly [id: string, told: readonly unknown[]]> {
  const mandate = await sealed(mandateKind, mandateOf(changes), CAST[signer]);
  await stage.deliver('guest', 'mandate', mandate.envelope);
  return [mandate.id, lastTold(stage, mandate.id, 'guest')];
}

const total = (max: bigint, count = 1_000) => [{ kind: 'total', max, count }] as const;
const moved = (stage: Stage) => [...stage.backend.moved.values()].map(({ amount }) => amount.minor);

/** How many messages were answered by the unsigned "bad signature", which nothing is stored for. */
const turnedAway = (stage: Stage, device: string = 'glasses') =>
  stage.sent.filter(({ topic }) => topic === downTopic(device, UNSIGNED)).length;

test('1 replay: a hundred copies, a day later, after a restart, at a second bridge', async () => {
  const stage = await createStage();
  const mandate = await putMandate(stage.store);
  const request = await stage.request({ mandate });
  const send = () => stage.bridge().receive(upTopic('glasses', 'request'), request.envelope);
  for (let copy = 0; copy < 100; copy++) send();
  await settle();
  await stage.time.leap(25 * 3_600_000);
  for (let copy = 0; copy < 10; copy++) send();
  await settle();
  stage.restart();
  await stage.deliver('glasses', 'request', request.envelope);
  expect(stage.backend.calls).toHaveLength(1);
  expect(new Set(stage.bytes('glasses')).size, 'the same receipt, byte for byte').toBe(1);
  expect(lastTold(stage, request.id)).toEqual(CAPTURED);

  const elsewhere = await createStage({ realm: { ...REALM, ledger: 'other' } });
  await elsewhere.deliver('glasses', 'request', request.envelope);
  expect([elsewhere.backend.calls, turnedAway(elsewhere)]).toEqual([[], 1]);
});

describe('2 tampered amounts', () => {
  test('every flipped byte of a request and of a mandate is turned away', async () => {
    const stage = await createStage();
    const mandate = await sealed(mandateKind, mandateOf(), CAST.wallet);
    const request = await stage.request({ mandate: mandate.id });
    const before = stage.rows();
    for (const [kind, { envelope }] of [
      ['mandate', mandate],
      ['request', request],
    ] as const) {
      for (let at = 0; at < envelope.length; at++) {
        const flipped = envelope.slice();
        flipped[at]! ^= 0x01;
        stage.bridge().receive(upTopic('glasses', kind), flipped);
      }
      await settle();
    }
    expect(stage.rows()).toEqual(before);
    expect(stage.backend.calls).toEqual([]);
  });

  /** A request's payload with other bytes in the place of its amount, truly signed. */
  async function withAmount(stage: Stage, amountHex: string): Promise<Uint8Array> {
    const payload = requestKind.encode(requestOf({ nonce: stage.nonces.at(stage.clock.nowMs()) }));
    const amount = encodeCbor(['CNY', 2, 1_000]);
    const at = Buffer.from(payload).indexOf(Buffer.from(amount));
    const changed = concat(
      payload.slice(0, at),
      fromHex(amountHex),
      payload.slice(at + amount.length),
    );
    return signEnvelope(changed, REALM, 'request', CAST.glasses);
  }

  test.each([
    ['zero', '8363434e590200', 'malformed'],
    ['negative', '8363434e590220', 'malformed'],
    ['2^64 as a bignum', '8363434e5902c249010000000000000000', 'non_canonical'],
    ['2^53, beyond what every language keeps', '8363434e59021b0020000000000000', 'malformed'],
    ['a float 1990.0', '8363434e5902f967c6', 'non_canonical'],
    ['1,000 in more bytes than needed', '8363434e59021a000003e8', 'non_canonical'],
    ['CNY with the exponent of JPY', '8363434e59001903e8', 'currency_mismatch'],
    ['JPY with the exponent of CNY', '83634a5059021903e8', 'currency_mismatch'],
    ['KWD with the exponent of CNY', '83634b5744021903e8', 'currency_mismatch'],
    ['a currency of nobody', '8363585858021903e8', 'currency_unknown'],
  ] as const)('%s', async (_, hex, reason) => {
    const stage = await createStage();
    const envelope = await withAmount(stage, hex);
    const reading = () => open(requestKind, envelope, REALM, () => CAST.glasses.key);
    let code: string | undefined;
    try {
      reading();
    } catch (error) {
      code = (error as { reason: string }).reason;
    }
    // The gate in front of the codec sees some of them before it does: both say no.
    expect(['non_canonical', 'malformed', reason]).toContain(code);
    const before = stage.rows();
    await stage.deliver('glasses', 'request', envelope);
    expect(stage.rows()).toEqual(before);
    expect([turnedAway(stage), stage.backend.calls]).toEqual([1, []]);
  });

  test.each([
    ['JPY', 1_000n],
    ['KWD', 1_000n],
  ] as const)('%s under a mandate in CNY', async (currency, minor) => {
    const stage = await createStage();
    const mandate = await putMandate(stage.store);
    expect(await ask(stage, { mandate, amount: { currency, minor } })).toEqual(
      refused('currency_mismatch'),
    );
  });
});

describe('3 spending more than the window, all at once', () => {
  test('200 requests of 10 on a window of 100: exactly 10, whatever dies in between', async () => {
    for (const cutAt of [Infinity, 1, 7, 20, 45, 80]) {
      const stage = await createStage();
      const mandate = await putMandate(stage.store, { windows: total(100n) });
      const requests: Awaited<ReturnType<Stage['request']>>[] = [];
      for (let counter = 1; counter <= 200; counter++) {
        requests.push(await stage.request({ mandate, counter, amount: yuan(10n) }));
      }
      const send = () => {
        for (const { envelope } of requests) {
          stage.bridge().receive(upTopic('glasses', 'request'), envelope);
        }
        return settle();
      };
      stage.restart(new Power(cutAt));
      stage.backend.acts.push('lost', 'done', 'unknown', 'lost');
      await send();
      await stage.time.advance(RESOLVE_MS);
      stage.restart();
      await stage.bridge().sweep();
      await send();
      await stage.time.advance(RESOLVE_MS * 4);
      await send();

      const told = stage.lastTold('glasses');
      const outcomes = requests.map(({ id }) => verdictOf(told.get(id)).join(' '));
      const count = (outcome: string) => outcomes.filter((one) => one === outcome).length;
      expect(count('captured '), `cut at ${cutAt}`).toBe(10);
      expect(count('captured ') + count('refused limit_window')).toBe(200);
      expect(moved(stage)).toEqual(Array<bigint>(10).fill(10n));
      const [window] = stage.database.prepare('SELECT * FROM windows').all();
      expect(window).toMatchObject({ settled: 100n, reserved: 0n, settled_count: 10n });
      expect(stage.open()).toEqual([]);
    }
  });

  test('an unknown outcome keeps its part of the window', async () => {
    const stage = await createStage();
    const mandate = await putMandate(stage.store, { windows: total(15n) });
    stage.backend.acts.push('unknown');
    expect(await ask(stage, { mandate, amount: yuan(10n) })).toEqual([
      'pending',
      'backend_unknown',
    ]);
    expect(await ask(stage, { mandate, counter: 2, amount: yuan(10n) })).toEqual(
      refused('limit_window'),
    );
  });
});

describe('4 a mandate on another device', () => {
  test('another enrolled key asks under it', async () => {
    const stage = await createStage();
    const mandate = await putMandate(stage.store);
    expect(await ask(stage, { mandate }, 'guest')).toEqual(refused('mandate_unknown'));
  });

  test('another key signs on the first device’s topic', async () => {
    const stage = await createStage();
    const mandate = await putMandate(stage.store);
    const request = await stage.request({ mandate }, 'guest');
    await stage.deliver('glasses', 'request', request.envelope);
    expect([turnedAway(stage), stage.backend.calls]).toEqual([1, []]);
  });

  test('two hold one key: they collide, and the key is suspended', async () => {
    const stage = await createStage();
    const mandate = await putMandate(stage.store);
    expect(await ask(stage, { mandate, counter: 1 })).toEqual(CAPTURED);
    expect(await ask(stage, { mandate, counter: 1, amount: yuan(11n) })).toEqual(
      refused('counter_reused'),
    );
    expect(await ask(stage, { mandate, counter: 2 })).toEqual(refused('suspended'));
  });

  test('a clone that jumps ahead of its original', async () => {
    const stage = await createStage();
    const mandate = await putMandate(stage.store);
    const counter = COUNTER_GAP_MAX + 1;
    expect(await ask(stage, { mandate, counter })).toEqual(refused('counter_gap'));
  });

  test('a device ahead of a restored bridge goes on; a clone gains one leap', async () => {
    const stage = await createStage();
    const mandate = await putMandate(stage.store);
    for (const restoredMs of [1, 2]) {
      setMeta(stage.database, 'restored_ms', String(restoredMs));
      const counter = restoredMs * 1_000;
      expect(await ask(stage, { mandate, counter })).toEqual(['captured', undefined]);
      expect(await ask(stage, { mandate, counter: counter - 1 })).toEqual(['captured', undefined]);
      const next = counter + COUNTER_GAP_MAX + 1;
      expect(await ask(stage, { mandate, counter: next })).toEqual(refused('counter_gap'));
    }
  });
});

describe('5 downgrade', () => {
  /** The same request, its protected header saying something else about how it is signed. */
  async function underHeader(header: Uint8Array): Promise<Uint8Array> {
    const payload = requestKind.encode(requestOf());
    const tbs = sigStructure(header, payload, utf8('saytap/1 sim demo request'));
    const signature = await CAST.glasses.sign(tbs);
    const body = encodeCbor([header, new Map(), payload, signature]);
    return concat(Uint8Array.of(0xd2), body);
  }
  const kid = CAST.glasses.key.kid;

  test.each([
    ['no algorithm', encodeCbor(new Map([[4, kid]]))],
    ['EdDSA under an ES256 key', header(-8)],
    ['HMAC 256/256', header(5)],
    ['ES384', header(-35)],
    ['an algorithm of nobody', header(-65_000)],
  ] as const)('%s', async (_, bytes) => {
    const stage = await createStage();
    await stage.deliver('glasses', 'request', await underHeader(bytes));
    expect([turnedAway(stage), stage.backend.calls]).toEqual([1, []]);
  });

  function header(alg: number): Uint8Array {
    return encodeCbor(
      new Map<number, number | Uint8Array>([
        [1, alg],
        [4, CAST.glasses.key.kid],
      ]),
    );
  }

  test.each([
    ['unsigned', requestKind.encode(requestOf())],
    ['JSON', utf8('{"action":"pay","payee":"cafe","minor":1}')],
    ['a text', utf8('pay 10 yuan to cafe')],
  ] as const)('%s', async (_, bytes) => {
    const stage = await createStage();
    const before = stage.rows();
    await stage.deliver('glasses', 'request', bytes);
    expect([turnedAway(stage), stage.rows()]).toEqual([1, before]);
  });

  test('an object of another kind, and a simulated one in a live ledger', async () => {
    const stage = await createStage();
    const query = await stage.query({ question: 'boot', echo: new Uint8Array(16) });
    await stage.deliver('glasses', 'request', query.envelope);
    expect(turnedAway(stage)).toBe(1);
    const live = await createStage({ realm: { ...REALM, environment: 'live' } });
    const request = await sealed(requestKind, requestOf(), CAST.glasses);
    await live.deliver('glasses', 'request', request.envelope);
    const [{ payload } = { payload: new Uint8Array() }] = live.sent;
    expect(payload).toEqual(encodeCbor(new Map([[23, REASONS.sim_in_live]])));
  });
});

describe('6 confused deputy', () => {
  test('merchant B uses an order of A; a till is swapped', async () => {
    const stage = await createStage();
    const mandate = await putMandate(stage.store, { allow: [{ kind: 'any' }] });
    const order = await stage.order();
    await stage.deliver('kiosk', 'order', order.envelope);
    const paying = { mandate, order: order.id, amount: yuan(40_00n) };
    const asks = async (counter: number, payee: string, terminal: string) =>
      ask(stage, { ...paying, counter, payee, terminal });
    expect(await asks(1, 'bazaar', 'stall-1')).toEqual(refused('order_mismatch'));
    expect(await asks(2, 'cafe', 'till-2')).toEqual(refused('order_mismatch'));
    expect(await asks(3, 'bazaar', 'till-1')).toEqual(refused('scope_terminal'));
    expect(await asks(4, 'cafe', 'till-1')).toEqual(CAPTURED);
  });

  test('a terminal of B registers an order in the name of A', async () => {
    const stage = await createStage();
    const order = await stage.order({}, 'bazaar');
    await stage.deliver('bazaar', 'order', order.envelope);
    expect(lastTold(stage, order.id, 'bazaar')).toEqual(refused('scope_terminal'));
  });

  test('the sticker on the counter is another payee’s: outside of what was allowed', async () => {
    const stage = await createStage();
    const mandate = await putMandate(stage.store);
    expect(await ask(stage, { mandate, payee: 'bazaar' })).toEqual(refused('scope_payee'));
    expect(await ask(stage, { mandate, counter: 2, payee: 'nobody' })).toEqual(
      refused('scope_payee'),
    );
  });

  test('the backend is asked for the signed fields and for nothing else', async () => {
    const stage = await createStage();
    const mandate = await putMandate(stage.store);
    const request = await stage.request({ mandate, amount: yuan(12_34n) });
    await stage.deliver('glasses', 'request', request.envelope);
    expect(stage.backend.calls).toEqual([
      {
        key: request.id,
        funding: 'acct-1',
        payee: 'cafe',
        amount: yuan(12_34n),
        capture: 'now',
      },
    ]);
  });
});

describe('7 an agent that was talked into something', () => {
  /** A mandate for the agent's key: 30.00 a payment, 100.00 in all, 4 payments, cafe only. */
  async function agentStage() {
    const stage = await createStage();
    const mandate = await putMandate(stage.store, {
      cnf: CAST.agent.key.name,
      perPaymentMax: 30_00n,
      windows: total(100_00n, 4),
      gap: 60,
      bands: [
        { ceiling: 25_00n, level: 0 },
        { ceiling: 1_000_00n, level: 2 },
      ],
    });
    const rules = {
      policies: [
        {
          iat: NOW_S,
          version: 1,
          scope: { kind: 'platform' },
          ladders: [{ currency: 'CNY', bands: [{ ceiling: 1_000_00n, level: 0 }] }],
        },
      ],
      isFresh: stage.nonces.isFresh,
    } as const;
    stage.restart(new Power(), { rules });
    let counter = 0;
    const asks = (changes: Partial<Request>) =>
      ask(stage, { mandate, counter: ++counter, channel: 'autonomous', ...changes }, 'agent');
    return { stage, asks, mandate };
  }

  test('more than one payment may be, another payee, a level that it does not have', async () => {
    const { asks } = await agentStage();
    expect(await asks({ amount: yuan(30_01n), presence: 0 })).toEqual(refused('limit_per_payment'));
    expect(await asks({ amount: yuan(20_00n), payee: 'bazaar' })).toEqual(refused('scope_payee'));
    const transcript = new Uint8Array(32);
    expect(await asks({ amount: yuan(26_00n), presence: 3, transcript })).toEqual(
      refused('presence_too_low'),
    );
    expect(await asks({ amount: yuan(26_00n), presence: 4 })).toEqual(refused('presence_too_low'));
  });

  test('a large sum in small pieces: gap, count and window', async () => {
    const { stage, asks } = await agentStage();
    expect(await asks({ amount: yuan(20_00n) })).toEqual(CAPTURED);
    expect(await asks({ amount: yuan(20_00n) })).toEqual(refused('limit_gap'));
    for (let piece = 0; piece < 3; piece++) {
      await stage.time.leap(60_000);
      expect(await asks({ amount: yuan(20_00n) })).toEqual(CAPTURED);
    }
    await stage.time.leap(60_000);
    expect(await asks({ amount: yuan(20_00n) })).toEqual(refused('limit_count'));
  });

  test('a refund to its owner, of a payment that the merchant keeps', async () => {
    const { stage, asks, mandate } = await agentStage();
    expect(await asks({ amount: yuan(20_00n) })).toEqual(CAPTURED);
    const [original] = [...stage.backend.moved.keys()];
    const refund = { action: 'refund', original: original!, amount: yuan(20_00n) } as const;
    expect(await asks({ mandate, ...refund })).toEqual(refused('role_forbidden'));
  });

  test('a mandate without its limits cannot even be written', () => {
    const { windows: _, ...bare } = mandateOf();
    expect(() => mandateKind.encode(bare as Mandate)).toThrow(
      expect.objectContaining({ reason: 'malformed' }) as Error,
    );
    expect(() => mandateKind.encode(mandateOf({ windows: [] }))).toThrow(
      expect.objectContaining({ reason: 'malformed' }) as Error,
    );
  });
});

describe('8 the edges of time', () => {
  test.each([
    [-1, 'captured', undefined],
    [0, 'expired', 'expired'],
    [1, 'expired', 'expired'],
  ] as const)('a mandate at its end %i s', async (offset, ...told) => {
    const stage = await createStage();
    const mandate = await putMandate(stage.store, { exp: NOW_S - offset });
    expect(await ask(stage, { mandate })).toEqual(told);
  });

  test.each([
    [1, 'refused', 'not_yet_valid'],
    [0, 'captured', undefined],
  ] as const)('a mandate %i s before its begin', async (offset, ...told) => {
    const stage = await createStage();
    const mandate = await putMandate(stage.store, { nbf: NOW_S + offset });
    expect(await ask(stage, { mandate })).toEqual(told);
  });

  test.each([
    [-1, ['expired', 'expired']],
    [0, ['expired', 'expired']],
    [1, CAPTURED],
    [961, ['refused', 'not_yet_valid']],
  ] as const)('a request with %i s to live', async (left, told) => {
    const stage = await createStage();
    const mandate = await putMandate(stage.store);
    expect(await ask(stage, { mandate, exp: NOW_S + left })).toEqual(told);
  });

  test('mandate and request end between reservation and payment: decided once', async () => {
    const stage = await createStage();
    const mandate = await putMandate(stage.store, { exp: NOW_S + 10 });
    stage.backend.acts.push('unknown');
    const request = await stage.request({ mandate, exp: NOW_S + 10 });
    await stage.deliver('glasses', 'request', request.envelope);
    await stage.time.leap(11_000);
    await settle();
    expect(lastTold(stage, request.id)).toEqual(CAPTURED);
  });

  test('a refusal at 23:59:59 is the same refusal at 00:00:01, and a new day is new', async () => {
    const stage = await createStage();
    const zone = 'Asia/Shanghai';
    const day = { kind: 'calendar', period: 'day', zone, max: 10_00n, count: 9 } as const;
    const mandate = await putMandate(stage.store, {
      exp: NOW_S + 40 * 3_600,
      windows: [day],
    });
    expect(await ask(stage, { mandate, counter: 1 })).toEqual(CAPTURED);
    // The stage begins at noon in Shanghai.
    await stage.time.leap(12 * 3_600_000 - 1_000);
    const request = await stage.request({ mandate, counter: 2 });
    await stage.deliver('glasses', 'request', request.envelope);
    expect(lastTold(stage, request.id)).toEqual(refused('limit_window'));
    const [first, told] = stage.bytes('glasses');
    await stage.time.leap(2_000);
    await stage.deliver('glasses', 'request', request.envelope);
    expect(stage.bytes('glasses')).toEqual([first, told, told]);
    expect(await ask(stage, { mandate, counter: 3 })).toEqual(CAPTURED);
  });
});

describe('9 after a revoke', () => {
  const revokeOf = (value: { mandate: string } | { epoch: number }) =>
    sealed(revokeKind, { payer: PAYER, iat: NOW_S, ...value }, CAST.wallet);

  test('of those that race it, none is accepted once it is acknowledged', async () => {
    for (const position of [0, 1, 13, 30, 49]) {
      const stage = await createStage();
      const mandate = await putMandate(stage.store);
      const revoke = await revokeOf({ mandate });
      const requests: Awaited<ReturnType<Stage['request']>>[] = [];
      for (let counter = 1; counter <= 50; counter++) {
        requests.push(await stage.request({ mandate, counter, amount: yuan(1n) }));
      }
      for (const [i, { envelope }] of requests.entries()) {
        if (i === position) {
          stage.bridge().receive(upTopic('guest', 'revoke'), revoke.envelope);
          // What is sent after the answer comes after it for certain.
          await settle();
          expect(lastTold(stage, revoke.id, 'guest')).toEqual(['granted', undefined]);
        }
        stage.bridge().receive(upTopic('glasses', 'request'), envelope);
      }
      await settle();
      const told = stage.lastTold('glasses');
      const outcomes = requests.map(({ id }) => verdictOf(told.get(id)).join(' '));
      expect(new Set(outcomes.slice(position)), `at ${position}`).toEqual(
        new Set(['refused revoked']),
      );
      expect(stage.backend.moved.size).toBeLessThanOrEqual(position);
    }
  });

  test('the old mandate comes again, and the child of one that is gone', async () => {
    const stage = await createStage();
    const [parent] = await grant(stage, { cnf: CAST.agent.key.name });
    const child = { parent, cnf: CAST.glasses.key.name };
    const [mandate, told] = await grant(stage, child, 'agent');
    expect(told).toEqual(['granted', undefined]);
    await stage.deliver('guest', 'revoke', (await revokeOf({ epoch: 2 })).envelope);
    expect(await ask(stage, { mandate })).toEqual(refused('revoked'));
    expect((await grant(stage, { cnf: CAST.agent.key.name }))[1]).toEqual(refused('revoked'));
    expect((await grant(stage, { ...child, epoch: 9 }, 'agent'))[1]).toEqual(refused('revoked'));
  });
});

describe('10 clocks that lie', () => {
  test('a device ten years ahead, one a day behind, and one without a fresh tick', async () => {
    const stage = await createStage();
    const mandate = await putMandate(stage.store);
    const year = 365 * 86_400;
    expect(await ask(stage, { mandate, counter: 1, exp: NOW_S + 10 * year })).toEqual(
      refused('not_yet_valid'),
    );
    expect(await ask(stage, { mandate, counter: 2, exp: NOW_S - 86_400 })).toEqual(
      refused('expired'),
    );
    const nonce = stage.nonces.at(stage.clock.nowMs());
    await stage.time.leap(3 * 60_000);
    expect(await ask(stage, { mandate, counter: 3, nonce })).toEqual(refused('stale_nonce'));
    expect(await ask(stage, { mandate, counter: 4 })).toEqual(CAPTURED);
  });
});

describe('11 a voice that is not its owner’s', () => {
  test('a recording says yes to more than voice alone may', async () => {
    const stage = await createStage();
    const mandate = await putMandate(stage.store);
    const spoken = { mandate, channel: 'voice', amount: yuan(20_01n) } as const;
    expect(await ask(stage, { ...spoken, presence: 1 })).toEqual(refused('presence_too_low'));
  });

  test('glasses that may vouch for a voice only, and claim a touch', async () => {
    const stage = await createStage();
    const mandate = await putMandate(stage.store);
    const statement = statementOf('glasses', { presenceMax: 1 });
    const envelope = await seal(keyStatement, statement, REALM, CAST.root);
    const { name } = CAST.glasses.key;
    await stage.store.putIdentity(name, statement, envelope, stage.clock.nowMs());
    const claim = { mandate, presence: 2, amount: yuan(20_01n) } as const;
    expect(await ask(stage, claim)).toEqual(refused('presence_too_low'));
  });
});

describe('12 a child mandate that wants more than its parent', () => {
  /** A parent for the agent's key (cafe, 50.00 a payment, 60.00 in all) and a child below it. */
  async function below(changes: Partial<Mandate>) {
    const stage = await createStage();
    const [parent] = await grant(stage, {
      cnf: CAST.agent.key.name,
      perPaymentMax: 50_00n,
      windows: total(60_00n),
      exp: NOW_S + 1_000,
    });
    const child = { parent, exp: NOW_S + 90_000, ...changes };
    const [mandate] = await grant(stage, child, 'agent');
    return { stage, mandate, parent };
  }

  test.each([
    ['a higher cap', { perPaymentMax: 500_00n }, yuan(50_01n), {}, 'limit_per_payment'],
    ['another payee', { allow: [{ kind: 'any' }] }, yuan(1n), { payee: 'bazaar' }, 'scope_payee'],
    ['a wider window', { windows: total(900_00n) }, yuan(50_00n), {}, undefined],
  ] as const)('%s', async (_, changes, amount, more, reason) => {
    const { stage, mandate } = await below(changes as Partial<Mandate>);
    const first = await ask(stage, { mandate, amount, ...more });
    if (reason !== undefined) return expect(first).toEqual(refused(reason));
    expect(first).toEqual(CAPTURED);
    expect(await ask(stage, { mandate, counter: 2, amount })).toEqual(refused('limit_window'));
  });

  test('a later end', async () => {
    const { stage, mandate } = await below({});
    await stage.time.leap(1_000_000);
    expect(await ask(stage, { mandate })).toEqual(refused('expired'));
  });

  test('two siblings that each spend the whole of their parent', async () => {
    const { stage, mandate, parent } = await below({ windows: total(60_00n) });
    const [sibling] = await grant(
      stage,
      { parent, windows: total(60_00n), cnf: CAST.guest.key.name },
      'agent',
    );
    expect(await ask(stage, { mandate, amount: yuan(40_00n) })).toEqual(CAPTURED);
    expect(await ask(stage, { mandate: sibling, amount: yuan(40_00n) }, 'guest')).toEqual(
      refused('limit_window'),
    );
  });

  test('a chain that is too long, and a child that its parent’s key did not sign', async () => {
    const stage = await createStage();
    const cnf = CAST.agent.key.name;
    const [first] = await grant(stage, { cnf });
    const [second] = await grant(stage, { cnf, parent: first }, 'agent');
    const [third, told] = await grant(stage, { cnf, parent: second }, 'agent');
    expect(told).toEqual(['granted', undefined]);
    expect((await grant(stage, { cnf, parent: third }, 'agent'))[1]).toEqual(refused('malformed'));
    expect((await grant(stage, { parent: first }, 'guest'))[1]).toEqual(refused('mandate_unknown'));
  });
});

describe('13 burning nonces, counters and room', () => {
  test('what is not signed by a known key changes nothing at all', async () => {
    const stage = await createStage();
    const mandate = await putMandate(stage.store);
    const before = stage.rows();
    for (let counter = 1; counter <= 300; counter++) {
      const request = await sealed(requestKind, requestOf({ mandate, counter }), CAST.stranger);
      stage.bridge().receive(upTopic('glasses', 'request'), request.envelope);
    }
    await settle();
    expect(stage.rows()).toEqual(before);
    expect(await ask(stage, { mandate, counter: 1 })).toEqual(CAPTURED);
  });

  test('one key cannot keep more than so many payments open', async () => {
    const stage = await createStage();
    const windows = [{ kind: 'total', max: 1_000_00n, count: 1_000 }] as const;
    const mandate = await putMandate(stage.store, { windows });
    await stage.onBackend(() => new Promise<void>(() => {}));
    for (let counter = 1; counter <= RUNS_PER_KEY_MAX; counter++) {
      const request = await stage.request({ mandate, counter, amount: yuan(1n) });
      stage.bridge().receive(upTopic('glasses', 'request'), request.envelope);
      if (counter % 16 === 0) await settle();
    }
    await settle();
    const counter = RUNS_PER_KEY_MAX + 1;
    expect(await ask(stage, { mandate, counter })).toEqual(refused('rate_limited'));
  });
});

describe('14 a wider mandate in the place of the signed one', () => {
  test('its id is inside the signature', async () => {
    const stage = await createStage();
    const narrow = await putMandate(stage.store, { perPaymentMax: 1_00n });
    const wide = await putMandate(stage.store, { perPaymentMax: 500_00n });
    const { envelope } = await stage.request({ mandate: narrow, amount: yuan(400_00n) });
    const at = Buffer.from(envelope).indexOf(Buffer.from(fromHex(narrow)));
    const swapped = concat(envelope.slice(0, at), fromHex(wide), envelope.slice(at + 16));
    await stage.deliver('glasses', 'request', swapped);
    expect([turnedAway(stage), stage.backend.calls]).toEqual([1, []]);
  });

  test('a mandate of somebody else', async () => {
    const stage = await createStage();
    const wide = await putMandate(stage.store, { cnf: CAST.guest.key.name });
    expect(await ask(stage, { mandate: wide })).toEqual(refused('mandate_unknown'));
  });
});

describe('15 refunds as a way around a limit', () => {
  test('a refund frees no window, is given once, and never exceeds what was paid', async () => {
    const stage = await createStage();
    const mandate = await putMandate(stage.store, { windows: total(100_00n) });
    const paid = await stage.request({ mandate, amount: yuan(100_00n) });
    await stage.deliver('glasses', 'request', paid.envelope);
    const back = { mandate, action: 'refund', original: paid.id } as const;
    const refund = await stage.request({ ...back, counter: 1, amount: yuan(60_00n) }, 'kiosk');
    for (let copy = 0; copy < 3; copy++) {
      await stage.deliver('kiosk', 'request', refund.envelope);
    }
    expect(lastTold(stage, refund.id, 'kiosk')).toEqual(['refunded', undefined]);
    expect(new Set(stage.bytes('kiosk')).size).toBe(1);
    expect(stage.backend.movements).toHaveLength(1);
    const more = { ...back, amount: yuan(40_01n) };
    expect(await ask(stage, { ...more, counter: 2 }, 'kiosk')).toEqual(refused('refund_exceeds'));
    expect(await ask(stage, { mandate, counter: 2, amount: yuan(1n) })).toEqual(
      refused('limit_window'),
    );
  });

  test('twenty at once give back no more than was taken', async () => {
    const stage = await createStage();
    const mandate = await putMandate(stage.store);
    const paid = await stage.request({ mandate, amount: yuan(100_00n) });
    await stage.deliver('glasses', 'request', paid.envelope);
    const back = { mandate, action: 'refund', original: paid.id, amount: yuan(9_00n) } as const;
    for (let counter = 1; counter <= 20; counter++) {
      const refund = await stage.request({ ...back, counter }, 'kiosk');
      stage.bridge().receive(upTopic('kiosk', 'request'), refund.envelope);
    }
    await settle();
    expect(stage.backend.movements).toHaveLength(11);
  });
});

describe('16 a lease in the wrong hands', () => {
  const bands = [{ ceiling: 1_000_00n, level: 0 }] as const;
  const ladders = [{ currency: 'CNY', bands }];

  /** Kiosk and till are each leased 100 yuan under a mandate of their own. */
  async function leased() {
    const stage = await createStage({ policies: [{ ...OFFLINE_POLICY, ladders }] });
    const put = (cnf: Role, epoch: number) =>
      putMandate(stage.store, { cnf: CAST[cnf].key.name, bands, epoch, windows: total(100_00n) });
    const mandates = { kiosk: await put('kiosk', 1), till: await put('till', 2) };
    const [, kiosk] = await stage.boots('kiosk');
    const [, till] = await stage.boots('till');
    let counter = 0;
    const spend = (role: 'kiosk' | 'till', changes: Partial<Request>) => {
      const terminal = role === 'kiosk' ? 'till-1' : 'till-2';
      const own = { mandate: mandates[role], terminal, presence: 0, channel: 'tap' } as const;
      return ask(stage, { ...own, counter: ++counter, ...changes }, role);
    };
    return { stage, mandates, kiosk: kiosk!, till: till!, spend };
  }

  test('by the key of another device, for its mandate and for its own', async () => {
    const { kiosk, till, mandates, spend, stage } = await leased();
    const { nonce } = kiosk;
    expect(await spend('till', { nonce })).toEqual(refused('stale_nonce'));
    expect(await spend('till', { nonce, mandate: mandates.kiosk })).toEqual(refused('stale_nonce'));
    expect(await spend('kiosk', { nonce: till.nonce })).toEqual(refused('stale_nonce'));
    expect(stage.backend.calls).toEqual([]);
    expect(await spend('kiosk', { nonce })).toEqual(CAPTURED);
  });

  test('for another mandate of the same key', async () => {
    const { kiosk, spend, stage } = await leased();
    const cnf = CAST.kiosk.key.name;
    const rich = await putMandate(stage.store, { cnf, bands, epoch: 3 });
    expect(await spend('kiosk', { nonce: kiosk.nonce, mandate: rich })).toEqual(
      refused('stale_nonce'),
    );
  });

  test('as an ordinary nonce: for a hold, a refund, or after it is over', async () => {
    const { kiosk, spend, stage } = await leased();
    const { nonce, lease } = kiosk;
    const paid = await stage.request({}, 'kiosk');
    expect(await spend('kiosk', { nonce, action: 'hold' })).toEqual(refused('offline_not_allowed'));
    expect(await spend('kiosk', { nonce, action: 'refund', original: paid.id })).toEqual(
      refused('offline_not_allowed'),
    );
    await stage.time.leap((lease!.upload - NOW_S) * 1000);
    expect(await spend('kiosk', { nonce })).toEqual(refused('lease_expired'));
  });

  test('whose Tick was changed, or made by the thief', async () => {
    const { kiosk, spend, stage } = await leased();
    const { nonce } = kiosk;
    // What a Tick says is for the device to know; the bridge goes by what it set aside.
    expect(await spend('kiosk', { nonce, amount: yuan(100_01n) })).toEqual(
      refused('lease_exhausted'),
    );
    const made = new Uint8Array(8).fill(77);
    expect(await spend('kiosk', { nonce: made })).toEqual(refused('stale_nonce'));
    expect(await spend('kiosk', { nonce, amount: yuan(100_00n) })).toEqual(CAPTURED);
    expect(await spend('kiosk', { nonce, amount: yuan(1n) })).toEqual(refused('lease_exhausted'));
    expect(moved(stage)).toEqual([100_00n]);
  });

  test('after the key was suspended, and resumed', async () => {
    const { kiosk, spend, stage } = await leased();
    const { name } = CAST.kiosk.key;
    await stage.store.setIdentityStatus(name, 'suspended', stage.clock.nowMs());
    expect(await spend('kiosk', { nonce: kiosk.nonce })).toEqual(refused('suspended'));
    expect((await stage.boots('kiosk')).filter(({ lease }) => lease)).toEqual([]);
    await stage.store.setIdentityStatus(name, 'active', stage.clock.nowMs());
    expect(await spend('kiosk', { nonce: kiosk.nonce })).toEqual(refused('lease_exhausted'));
  });

  test('for another payee, by a token that was copied, with a claim of P4', async () => {
    const { kiosk, spend, stage } = await leased();
    const { nonce } = kiosk;
    const away = { payee: 'bazaar', terminal: 'stall-1' };
    expect(await spend('kiosk', { nonce, ...away })).toEqual(refused('scope_payee'));
    expect(await spend('kiosk', { nonce, terminal: 'till-2' })).toEqual(refused('scope_terminal'));
    stage.restart(undefined, { rules: { policies: [POLICY], isFresh: stage.nonces.isFresh } });
    for (const presence of [2, 4] as const) {
      expect(await spend('kiosk', { nonce, presence })).toEqual(refused('presence_too_low'));
    }
    expect(stage.backend.calls).toEqual([]);
  });
});
