/**
 * What acts on an earlier payment: who may capture, void and refund, up to which amount, and what a
 * revoke still allows.
 */
import { describe, expect, test } from 'vitest';
import type { ChainLink, Facts, Original, Payment } from '../../broker/store/port.ts';
import { judge, judgeOwn } from '../../broker/verdict.ts';
import type { Reason } from '../../src/errors.ts';
import { COUNTER_GAP_MAX, RUNS_PER_KEY_MAX } from '../../src/limits.ts';
import type { KeyStatement } from '../../src/objects/key.ts';
import type { Mandate } from '../../src/objects/mandate.ts';
import type { Request } from '../../src/objects/request.ts';
import { CAST, MANDATE_ID, NOW_MS, NOW_S, RULES, type Role } from './stage.ts';
import { mandateOf, requestOf, statementOf } from './stage.ts';

const HOLD = 'dd'.repeat(16);
const UNTIL_MS = NOW_MS + 1_000;
const yuan = (minor: bigint) => ({ currency: 'CNY', minor });

function paymentOf(changes: Partial<Payment> = {}): Payment {
  return {
    held: 0n,
    captured: 0n,
    refunding: 0n,
    refunded: 0n,
    holdUntilMs: 0,
    acting: undefined,
    ...changes,
  };
}
const held = (changes: Partial<Payment> = {}) =>
  paymentOf({ held: 40_00n, holdUntilMs: UNTIL_MS, ...changes });
const captured = (changes: Partial<Payment> = {}) => paymentOf({ captured: 40_00n, ...changes });

function originalOf(payment: Payment | undefined, changes: Partial<Original> = {}): Original {
  return {
    id: HOLD,
    request: requestOf({ action: 'hold', amount: yuan(40_00n) }),
    key: CAST.glasses.key.name,
    payer: '07'.repeat(16),
    funding: 'acct-1',
    backend: 'second',
    payment,
    ...changes,
  };
}

function linkOf(mandate: Partial<Mandate> = {}, changes: Partial<ChainLink> = {}): ChainLink {
  return {
    id: MANDATE_ID,
    mandate: mandateOf(mandate),
    issuer: CAST.wallet.key.name,
    issuerFault: undefined,
    payer: '07'.repeat(16),
    status: 'active',
    backends: ['ledger', 'second'],
    usage: [{ amount: 1_000_00n, count: 100 }],
    lastMs: undefined,
    ...changes,
  };
}

function factsOf(
  role: Role,
  original: Original | undefined,
  changes: Partial<Facts> = {},
  statement: Partial<KeyStatement> = {},
): Facts {
  const { name, public: key } = CAST[role].key;
  return {
    identity: { name, key, statement: statementOf(role, statement), status: 'active' },
    highestCounter: 0,
    openRuns: 0,
    isCounterReused: false,
    chain: [linkOf()],
    order: undefined,
    terminals: [statementOf('kiosk')],
    original,
    lease: undefined,
    nowMs: NOW_MS,
    ...changes,
  };
}

type Action = 'capture' | 'void' | 'refund';

const ask = (action: Action, minor = 40_00n, changes: Partial<Request> = {}) =>
  requestOf({ action, original: HOLD, amount: yuan(minor), presence: 0, ...changes });

function verdict(request: Request, facts: Facts): Reason | 'accept' {
  const found = judge(request, facts, RULES);
  return found.kind === 'accept' ? 'accept' : found.reason;
}

/** The payment on which an action is possible. */
const fit = (action: Action) => originalOf(action === 'refund' ? captured() : held());

describe('who may ask', () => {
  const rows: readonly (readonly [Role, string, Record<Action, Reason | 'accept'>])[] = [
    ['kiosk', 'the terminal of the payee', { capture: 'accept', void: 'accept', refund: 'accept' }],
    ['till', 'another terminal of it', { capture: 'accept', void: 'accept', refund: 'accept' }],
    [
      'bazaar',
      'a terminal of another payee',
      { capture: 'original_unknown', void: 'original_unknown', refund: 'original_unknown' },
    ],
    [
      'glasses',
      'the key that held it',
      { capture: 'accept', void: 'role_forbidden', refund: 'role_forbidden' },
    ],
    [
      'guest',
      'another device',
      { capture: 'role_forbidden', void: 'role_forbidden', refund: 'role_forbidden' },
    ],
    [
      'agent',
      'an agent that did not hold it',
      { capture: 'role_forbidden', void: 'role_forbidden', refund: 'role_forbidden' },
    ],
    [
      'wallet',
      'the payer’s wallet',
      { capture: 'role_forbidden', void: 'role_forbidden', refund: 'role_forbidden' },
    ],
    [
      'bridge',
      'the bridge, which only releases',
      { capture: 'role_forbidden', void: 'accept', refund: 'role_forbidden' },
    ],
  ];
  const cases = rows.flatMap(([role, why, answers]) =>
    (['capture', 'void', 'refund'] as const).map(
      (action) => [role, action, answers[action], why] as const,
    ),
  );
  test.each(cases)('%s, %s: %s (%s)', (role, action, expected) => {
    expect(verdict(ask(action), factsOf(role, fit(action)))).toBe(expected);
  });

  test('an agent may capture what itself held', () => {
    const { name } = CAST.agent.key;
    const original = originalOf(held(), { key: name });
    const chain = [linkOf({ cnf: name })];
    expect(verdict(ask('capture'), factsOf('agent', original, { chain }))).toBe('accept');
    expect(verdict(ask('void'), factsOf('agent', original, { chain }))).toBe('role_forbidden');
  });

  test.each(['capture', 'void', 'refund'] as const)(
    'a %s names the payee of the payment, whoever asks',
    (action) => {
      for (const role of ['kiosk', 'glasses', 'bridge'] as const) {
        const request = ask(action, 40_00n, { payee: 'bazaar' });
        expect(verdict(request, factsOf(role, fit(action)))).toBe('original_unknown');
      }
      const theirs = ask(action, 40_00n, { payee: 'bazaar' });
      expect(verdict(theirs, factsOf('bazaar', fit(action)))).toBe('original_unknown');
      expect(verdict(ask(action), factsOf('kiosk', undefined))).toBe('original_unknown');
    },
  );

  test('another payee’s payment is answered in the same words as none', () => {
    const words = [fit('refund'), undefined].map((original) => {
      const found = judge(
        ask('refund', 1n, { payee: 'bazaar' }),
        factsOf('bazaar', original),
        RULES,
      );
      return found.kind === 'refuse' ? found.why : 'accept';
    });
    expect(words[0]).toBe(words[1]);
  });

  test('a terminal that names another terminal than itself', () => {
    const named = (terminal: string) => ask('refund', 1n, { terminal });
    expect(verdict(named('till-1'), factsOf('kiosk', fit('refund')))).toBe('accept');
    expect(verdict(named('till-2'), factsOf('kiosk', fit('refund')))).toBe('scope_terminal');
  });

  test('whoever asks, counter, times, nonce and standing come first', () => {
    const facts = (changes: Partial<Facts>, statement: Partial<KeyStatement> = {}) =>
      factsOf('kiosk', fit('refund'), changes, statement);
    const kiosk = factsOf('kiosk', undefined).identity;
    expect(verdict(ask('refund'), facts({ isCounterReused: true }))).toBe('counter_reused');
    const far = ask('refund', 1n, { counter: COUNTER_GAP_MAX + 1 });
    expect(verdict(far, facts({}))).toBe('counter_gap');
    expect(verdict(ask('refund'), facts({ openRuns: RUNS_PER_KEY_MAX }))).toBe('rate_limited');
    expect(verdict(ask('refund', 1n, { exp: NOW_S }), facts({}))).toBe('expired');
    expect(verdict(ask('refund'), facts({}, { exp: NOW_S }))).toBe('expired');
    for (const status of ['suspended', 'revoked'] as const) {
      expect(verdict(ask('refund'), facts({ identity: { ...kiosk, status } }))).toBe(status);
    }
    const stale = judge(ask('refund'), facts({}), { ...RULES, isFresh: () => false });
    expect(stale).toMatchObject({ kind: 'refuse', reason: 'stale_nonce' });
  });
});

describe('how much, and when', () => {
  type Row = readonly [Reason | 'accept', Action, bigint, Payment | undefined, string];
  const rows: readonly Row[] = [
    ['accept', 'capture', 40_00n, held(), 'all that is held'],
    ['accept', 'capture', 1n, held(), 'a part of it'],
    ['capture_exceeds', 'capture', 40_01n, held(), 'one fen more'],
    ['not_held', 'capture', 1n, captured(), 'captured already, or at once'],
    ['not_held', 'capture', 1n, paymentOf(), 'voided already'],
    ['original_busy', 'capture', 1n, held({ acting: 'ee'.repeat(16) }), 'another is under way'],
    ['original_busy', 'capture', 1n, undefined, 'the hold itself is not known yet'],
    ['accept', 'void', 40_00n, held(), 'all of it'],
    ['capture_exceeds', 'void', 39_99n, held(), 'a part cannot be released'],
    ['capture_exceeds', 'void', 40_01n, held(), 'nor more'],
    ['not_held', 'void', 40_00n, captured(), 'captured: only a refund gives it back'],
    ['original_busy', 'void', 40_00n, held({ acting: 'ee'.repeat(16) }), 'a capture is under way'],
    ['accept', 'refund', 40_00n, captured(), 'all that was captured'],
    ['refund_exceeds', 'refund', 40_01n, captured(), 'one fen more'],
    ['accept', 'refund', 10_00n, captured({ refunded: 20_00n, refunding: 10_00n }), 'the rest'],
    [
      'refund_exceeds',
      'refund',
      10_01n,
      captured({ refunded: 20_00n, refunding: 10_00n }),
      'what is under way counts too',
    ],
    ['refund_exceeds', 'refund', 1n, held(), 'held is not captured'],
    ['refund_exceeds', 'refund', 15_01n, paymentOf({ captured: 15_00n }), 'captured in part'],
    ['original_busy', 'refund', 1n, undefined, 'what became of it is not known yet'],
  ];
  test.each(rows)('%s: %s of %d (%#)', (expected, action, minor, payment, why) => {
    const facts = factsOf('kiosk', originalOf(payment));
    expect(verdict(ask(action, minor), facts), why).toBe(expected);
  });

  test('the words say what is left', () => {
    const said = (action: Action, minor: bigint, payment: Payment) => {
      const found = judge(ask(action, minor), factsOf('kiosk', originalOf(payment)), RULES);
      return found.kind === 'refuse' ? found.why : 'accept';
    };
    expect(said('refund', 40_00n, captured({ refunded: 1_00n }))).toContain('3900 minor units');
    expect(said('capture', 40_01n, held())).toContain('4000 minor units');
  });

  test.each(['capture', 'void', 'refund'] as const)('a %s in other money', (action) => {
    const request = ask(action, 1n, { amount: { currency: 'JPY', minor: 40_00n } });
    expect(verdict(request, factsOf('kiosk', fit(action)))).toBe('currency_mismatch');
  });

  test('a hold that is over is captured no more, from that very moment; it is released', () => {
    const at = (nowMs: number) => factsOf('kiosk', originalOf(held()), { nowMs });
    expect(verdict(ask('capture'), at(UNTIL_MS - 1))).toBe('accept');
    expect(verdict(ask('capture'), at(UNTIL_MS))).toBe('expired');
    for (const nowMs of [UNTIL_MS - 1, UNTIL_MS, UNTIL_MS + 1_000]) {
      expect(verdict(ask('void'), at(nowMs)), 'giving back is never too late').toBe('accept');
    }
    const own = judgeOwn(ask('void'), factsOf('bridge', originalOf(held()), { nowMs: UNTIL_MS }));
    expect(own.kind).toBe('accept');
  });

  test.each(['capture', 'void', 'refund'] as const)(
    'a %s names no order: what was paid for one is told to its terminal once',
    (action) => {
      const order = { id: 'ab'.repeat(16), value: undefined, state: 'open' } as unknown;
      const facts = { order: order as Facts['order'] };
      const named = ask(action, 40_00n, { order: 'ab'.repeat(16) });
      expect(verdict(named, factsOf('kiosk', fit(action), facts))).toBe('order_mismatch');
      expect(verdict(named, factsOf('kiosk', fit(action))), 'an unknown one').toBe(
        'order_mismatch',
      );
      const foreign = factsOf('kiosk', undefined, facts);
      expect(verdict(named, foreign), 'nothing is learned of it').toBe('original_unknown');
    },
  );

  test('the bridge’s own request is judged by the hold alone: no counter, time or nonce', () => {
    const old = ask('void', 40_00n, { counter: 1_000, exp: 1 });
    const facts = (payment: Payment) =>
      factsOf('bridge', originalOf(payment), { openRuns: 9_999, nowMs: UNTIL_MS });
    expect(judgeOwn(old, facts(held())).kind).toBe('accept');
    expect(judgeOwn(old, facts(held({ acting: 'ee'.repeat(16) })))).toMatchObject({
      reason: 'original_busy',
    });
    expect(judgeOwn(old, facts(captured()))).toMatchObject({ reason: 'not_held' });
    const capture = judgeOwn(ask('capture'), facts(held()));
    expect(capture).toMatchObject({ kind: 'refuse', reason: 'role_forbidden' });
  });
});

describe('what is accepted', () => {
  test.each(['capture', 'void', 'refund'] as const)(
    'a %s goes to the backend that moved the money, and reserves nothing',
    (action) => {
      expect(judge(ask(action), factsOf('kiosk', fit(action)), RULES)).toEqual({
        kind: 'accept',
        presence: 0,
        channel: 'voice',
        reservations: [],
        remaining: [],
        funding: 'acct-1',
        payer: '07'.repeat(16),
        backends: ['second'],
      });
    },
  );

  test('no window, gap, scope or presence of the mandate stands in the way', () => {
    const mandate: Partial<Mandate> = {
      perPaymentMax: 1n,
      gap: 9_999,
      channels: 2,
      allow: [{ kind: 'payee', payee: 'bazaar' }],
      bands: [{ ceiling: 1n, level: 4 }],
    };
    const chain = [linkOf(mandate, { lastMs: NOW_MS })];
    for (const [role, action] of [
      ['kiosk', 'capture'],
      ['glasses', 'capture'],
      ['kiosk', 'refund'],
    ] as const) {
      expect(verdict(ask(action), factsOf(role, fit(action), { chain }))).toBe('accept');
    }
  });
});

describe('after the authority has ended', () => {
  const ends: readonly (readonly [Reason, Partial<Facts>])[] = [
    ['revoked', { chain: [linkOf({}, { status: 'revoked' })] }],
    ['suspended', { chain: [linkOf({}, { status: 'suspended' })] }],
    ['expired', { chain: [linkOf({ exp: NOW_S })] }],
    ['revoked', { chain: [linkOf({}, { issuerFault: 'revoked' })] }],
    ['mandate_unknown', { chain: [] }],
    [
      'revoked',
      {
        chain: [
          linkOf({ parent: 'bb'.repeat(16) }, { issuer: CAST.glasses.key.name }),
          linkOf({}, { id: 'bb'.repeat(16), status: 'revoked' }),
        ],
      },
    ],
  ];
  test.each(ends)('%s: no capture by the key that held it; the payee goes on (%#)', (...row) => {
    const [reason, facts] = row;
    expect(verdict(ask('capture'), factsOf('glasses', fit('capture'), facts))).toBe(reason);
    for (const action of ['capture', 'void', 'refund'] as const) {
      expect(verdict(ask(action), factsOf('kiosk', fit(action), facts)), action).toBe('accept');
    }
    const own = judgeOwn(ask('void'), factsOf('bridge', fit('void'), facts));
    expect(own.kind).toBe('accept');
  });
});
