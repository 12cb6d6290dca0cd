/**
 * The verdict: one row per reason that it can give, each limit at its edge, and the order in which
 * the reasons are looked for.
 *
 * Method: a request and facts that are accepted, and per row the one thing that is changed about
 * them. A row that changes two things would not show which of them was refused.
 */
import { describe, expect, test } from 'vitest';
import type { ChainLink, Facts, OrderState, Usage } from '../../broker/store/port.ts';
import { type Rules, judge, levelFor } from '../../broker/verdict.ts';
import type { Reason } from '../../src/errors.ts';
import { CLOCK_SKEW_S, COUNTER_GAP_MAX, COUNT_UNLIMITED } from '../../src/limits.ts';
import { REQUEST_VALID_S_MAX, RUNS_PER_KEY_MAX } from '../../src/limits.ts';
import type { KeyStatement } from '../../src/objects/key.ts';
import type { Mandate, Window } from '../../src/objects/mandate.ts';
import type { Order } from '../../src/objects/order.ts';
import type { Policy } from '../../src/objects/policy.ts';
import type { Request } from '../../src/objects/request.ts';
import { CAST, NOW_MS, NOW_S, POLICY, RULES, type Role } from './stage.ts';
import { mandateOf, orderOf, requestOf, statementOf } from './stage.ts';

const NONE: Usage = { amount: 0n, count: 0 };

function linkOf(mandate: Partial<Mandate> = {}, changes: Partial<ChainLink> = {}): ChainLink {
  const value = mandateOf(mandate);
  return {
    id: 'aa'.repeat(16),
    mandate: value,
    issuer: CAST.wallet.key.name,
    issuerFault: undefined,
    payer: '07'.repeat(16),
    status: 'active',
    backends: ['ledger'],
    usage: value.windows.map(() => NONE),
    lastMs: undefined,
    ...changes,
  };
}

function identityOf(
  role: Role,
  statement: Partial<KeyStatement> = {},
  status: Facts['identity']['status'] = 'active',
): Facts['identity'] {
  const { name, public: key } = CAST[role].key;
  return { name, key, statement: statementOf(role, statement), status };
}

function factsOf(changes: Partial<Facts> = {}): Facts {
  return {
    identity: identityOf('glasses'),
    highestCounter: 0,
    openRuns: 0,
    isCounterReused: false,
    chain: [linkOf()],
    order: undefined,
    original: undefined,
    lease: undefined,
    terminals: [statementOf('kiosk'), statementOf('till')],
    nowMs: NOW_MS,
    ...changes,
  };
}

/** `accept`, or the reason of the refusal. */
function verdict(
  request: Partial<Request>,
  facts: Partial<Facts>,
  rules: Partial<Rules> = {},
): Reason | 'accept' {
  const found = judge(requestOf(request), factsOf(facts), { ...RULES, ...rules });
  return found.kind === 'accept' ? 'accept' : found.reason;
}

const yuan = (minor: bigint) => ({ currency: 'CNY', minor });
const chainOf = (mandate: Partial<Mandate>, link: Partial<ChainLink> = {}) => ({
  chain: [linkOf(mandate, link)],
});
const ORDER_ID = 'cc'.repeat(16);
const orderFacts = (order: Partial<Order> = {}, state: OrderState) => ({
  order: { id: ORDER_ID, order: orderOf(order), state, device: 'kiosk' },
});
const forOrder = { order: ORDER_ID, terminal: 'till-1', amount: yuan(40_00n) };
const total = (max: bigint, count: number) => ({ kind: 'total', max, count }) as const;

type Row = readonly [Reason | 'accept', Partial<Request>, Partial<Facts>, why: string];

function runs(rows: readonly Row[]): void {
  test.each(rows.map((row) => [row[0], row[3], row] as const))('%s: %s', (expected, _why, row) => {
    expect(verdict(row[1], row[2])).toBe(expected);
  });
}

describe('counter and times', () => {
  runs([
    ['accept', {}, {}, 'the request that every row changes in one thing'],
    ['counter_reused', {}, { isCounterReused: true }, 'the counter is another request’s'],
    ['accept', {}, { openRuns: RUNS_PER_KEY_MAX - 1 }, 'as many under way as a key may have'],
    ['rate_limited', {}, { openRuns: RUNS_PER_KEY_MAX }, 'one more than that'],
    ['accept', { counter: 9 + COUNTER_GAP_MAX }, { highestCounter: 9 }, 'as far ahead as may be'],
    ['counter_gap', { counter: 10 + COUNTER_GAP_MAX }, { highestCounter: 9 }, 'one further'],
    ['accept', { counter: 1 }, { highestCounter: 1_000 }, 'overtaken by others, but never used'],
    ['accept', { exp: NOW_S + 1 }, {}, 'one second before it expires'],
    ['expired', { exp: NOW_S }, {}, 'the very second at which it expires'],
    ['accept', { exp: NOW_S + 1 }, { nowMs: NOW_MS + 999 }, 'a millisecond before it expires'],
    ['expired', { exp: NOW_S + 1 }, { nowMs: NOW_MS + 1000 }, 'and no millisecond later'],
    ['accept', { exp: NOW_S + REQUEST_VALID_S_MAX + CLOCK_SKEW_S }, {}, 'the longest life'],
    [
      'not_yet_valid',
      { exp: NOW_S + REQUEST_VALID_S_MAX + CLOCK_SKEW_S + 1 },
      {},
      'a second longer than any honest device asks for',
    ],
  ]);

  test('stale_nonce: the rules say that the nonce is not fresh', () => {
    const nonce = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
    const asked: unknown[] = [];
    const isFresh = (...question: unknown[]) => asked.push(question) === 0;
    expect(verdict({ nonce }, {}, { isFresh })).toBe('stale_nonce');
    expect(asked).toEqual([[nonce, NOW_MS]]);
  });
});

describe('role of the key', () => {
  const valid = (changes: Partial<KeyStatement>) => ({ identity: identityOf('glasses', changes) });
  const keeper = (role: Role) => ({
    identity: identityOf(role),
    chain: [linkOf({ cnf: CAST[role].key.name })],
  });
  runs([
    ['revoked', {}, { identity: identityOf('glasses', {}, 'revoked') }, 'a revoked key'],
    ['suspended', {}, { identity: identityOf('glasses', {}, 'suspended') }, 'a suspended key'],
    ['accept', {}, valid({ nbf: NOW_S }), 'a key that is valid from now'],
    ['not_yet_valid', {}, valid({ nbf: NOW_S + 1 }), 'a key that is valid in a second'],
    ['accept', {}, valid({ exp: NOW_S + 1 }), 'a key that is valid for one more second'],
    ['expired', {}, valid({ exp: NOW_S }), 'a key whose statement is over'],
    ['role_forbidden', {}, keeper('wallet'), 'a wallet grants and does not pay'],
    ['role_forbidden', {}, keeper('bridge'), 'nor does the bridge'],
    ['accept', { action: 'hold' }, {}, 'a hold is judged like a payment'],
    ['limit_window', { action: 'hold' }, chainOf({ windows: [total(9_99n, 9)] }), 'and limited'],
    ['role_forbidden', { action: 'hold' }, keeper('kiosk'), 'a terminal does not hold'],
  ]);
});

describe('mandate and its chain', () => {
  const parent = (mandate: Partial<Mandate>, link: Partial<ChainLink> = {}): Partial<Facts> => ({
    identity: identityOf('agent'),
    chain: [
      linkOf(
        { cnf: CAST.agent.key.name, bands: [{ ceiling: 1_000_00n, level: 0 }] },
        { id: 'bb'.repeat(16), issuer: CAST.glasses.key.name },
      ),
      linkOf({ bands: [{ ceiling: 1_000_00n, level: 0 }], ...mandate }, link),
    ],
  });
  // An agent may pay small amounts without anybody present; the platform allows it here.
  const ladders = [{ currency: 'CNY', bands: [{ ceiling: 1_000_00n, level: 0 }] }] as const;
  const rules = { policies: [{ ...POLICY, ladders }] };

  runs([
    ['mandate_unknown', {}, { chain: [] }, 'no such mandate, or a parent is missing'],
    ['mandate_unknown', {}, chainOf({ cnf: CAST.agent.key.name }), 'a mandate of another key'],
    [
      'mandate_unknown',
      {},
      { chain: Array.from({ length: 4 }, () => linkOf({}, { issuer: CAST.glasses.key.name })) },
      'a chain that is too deep',
    ],
    ['suspended', {}, chainOf({}, { status: 'suspended' }), 'a suspended mandate'],
    ['revoked', {}, chainOf({}, { status: 'revoked' }), 'a revoked mandate'],
    ['suspended', {}, chainOf({}, { issuerFault: 'suspended' }), 'the wallet is suspended'],
    ['revoked', {}, chainOf({}, { issuerFault: 'revoked' }), 'the wallet is revoked'],
    ['expired', {}, chainOf({}, { issuerFault: 'expired' }), 'the wallet’s Key statement is over'],
    ['not_yet_valid', {}, chainOf({}, { issuerFault: 'not_yet_valid' }), 'or not valid yet'],
    ['accept', {}, chainOf({ nbf: NOW_S }), 'valid from now'],
    ['not_yet_valid', {}, chainOf({ nbf: NOW_S + 1 }), 'valid in a second'],
    ['accept', {}, chainOf({ exp: NOW_S + 1 }), 'one second before its end'],
    ['expired', {}, chainOf({ exp: NOW_S }), 'at its end'],
    ['currency_mismatch', { amount: { currency: 'JPY', minor: 1000n } }, {}, 'other money'],
    ['currency_mismatch', {}, chainOf({ currency: 'EUR' }), 'a mandate of other money'],
  ]);

  const chains: readonly (readonly [Reason | 'accept', Partial<Facts>, string])[] = [
    ['accept', parent({}), 'a child within its parent'],
    ['mandate_unknown', parent({ cnf: CAST.wallet.key.name }), 'the parent is not for its issuer'],
    ['revoked', parent({}, { status: 'revoked' }), 'the parent is revoked'],
    ['suspended', parent({}, { issuerFault: 'suspended' }), 'the parent’s wallet is suspended'],
    ['not_yet_valid', parent({ nbf: NOW_S + 1 }), 'the parent is not valid yet'],
    ['expired', parent({ exp: NOW_S }), 'the parent has ended before the child'],
    ['currency_mismatch', parent({ currency: 'EUR' }), 'the parent is of other money'],
    ['scope_channel', parent({ channels: 2 }), 'the parent forbids the channel'],
    ['scope_payee', parent({ allow: [{ kind: 'payee', payee: 'bazaar' }] }), 'the parent’s payee'],
    ['scope_payee', parent({ deny: [{ kind: 'payee', payee: 'cafe' }] }), 'the parent denies'],
    ['presence_too_low', parent({ bands: [{ ceiling: 9_99n, level: 0 }] }), 'the parent’s bands'],
    ['limit_per_payment', parent({ perPaymentMax: 9_99n }), 'the parent’s maximum'],
    ['limit_per_payment', parent({ perPaymentMin: 10_01n }), 'the parent’s minimum'],
    ['limit_gap', parent({ gap: 2 }, { lastMs: NOW_MS - 1_999 }), 'the parent’s gap'],
    ['limit_window', parent({ windows: [total(9_99n, 9)] }), 'the parent’s window'],
    [
      'limit_count',
      parent({ windows: [total(99_00n, 1)] }, { usage: [{ amount: 0n, count: 1 }] }),
      'the parent’s count',
    ],
  ];
  test.each(chains)('in a chain of two, %s: %#', (expected, facts, why) => {
    expect(verdict({ presence: 0 }, facts, rules), why).toBe(expected);
  });

  test('a chain reserves in every window of both, and tells what the leaf has left', () => {
    const { chain } = parent({ windows: [total(500_00n, 9), total(600_00n, 8)] });
    const facts = factsOf({ identity: identityOf('agent'), chain: chain! });
    expect(judge(requestOf({ presence: 0 }), facts, { ...RULES, ...rules })).toEqual({
      kind: 'accept',
      presence: 0,
      channel: 'autonomous',
      reservations: [
        { mandate: 'bb'.repeat(16), index: 0, window: total(1_000_00n, 100), amount: 10_00n },
        { mandate: 'aa'.repeat(16), index: 0, window: total(500_00n, 9), amount: 10_00n },
        { mandate: 'aa'.repeat(16), index: 1, window: total(600_00n, 8), amount: 10_00n },
      ],
      remaining: [{ amount: 990_00n, count: 99 }],
      funding: 'acct-1',
      payer: '07'.repeat(16),
      backends: ['ledger'],
    });
  });

  test('the backends are those of the leaf, in its order', () => {
    const found = judge(requestOf(), factsOf(chainOf({}, { backends: ['b', 'a'] })), RULES);
    expect(found).toMatchObject({ kind: 'accept', backends: ['b', 'a'] });
  });
});

describe('a terminal collects', () => {
  const kiosk = (link: Partial<Mandate> = {}, statement: Partial<KeyStatement> = {}) => ({
    identity: identityOf('kiosk', { presenceMax: 2, ...statement }),
    chain: [linkOf({ cnf: CAST.kiosk.key.name, ...link })],
  });
  const here = { terminal: 'till-1', channel: 'tap' } as const;
  const [free, counted] = [total(100_00n, COUNT_UNLIMITED), total(100_00n, COUNT_UNLIMITED - 1)];
  runs([
    ['accept', here, kiosk(), 'for its own payee, at itself'],
    ['scope_payee', { ...here, payee: 'bazaar' }, kiosk(), 'for another payee'],
    ['scope_terminal', { ...here, terminal: 'till-2' }, kiosk(), 'for its neighbour'],
    ['scope_terminal', { channel: 'tap' }, kiosk(), 'without saying where'],
    ['role_forbidden', { ...here, action: 'hold' }, kiosk(), 'it holds nothing'],
    ['role_forbidden', { ...here, action: 'access' }, kiosk(), 'nor lets in'],
    ['mandate_unknown', here, { identity: identityOf('kiosk') }, 'a mandate for another key'],
    ['limit_count', here, kiosk({ windows: [free] }), 'no window that counts'],
    ['accept', here, kiosk({ windows: [free, counted] }), 'one that does is enough'],
    ['accept', { ...here, amount: yuan(20_00n) }, kiosk(), 'as much as P1 permits'],
    ['presence_too_low', { ...here, amount: yuan(20_01n) }, kiosk(), 'P2, of which none counts'],
    ['presence_too_low', here, kiosk({}, { presenceMax: 0 }), 'its key caps it further'],
    ['presence_too_low', { ...here, presence: 0 }, kiosk(), 'and its own claim'],
  ]);

  test('a parent must count as well', () => {
    const child = linkOf(
      { cnf: CAST.kiosk.key.name },
      { id: 'bb'.repeat(16), issuer: CAST.glasses.key.name },
    );
    const chain = (window: Window) => [child, linkOf({ windows: [window] })];
    const asked = (window: Window) => verdict(here, { ...kiosk(), chain: chain(window) });
    expect(asked(free)).toBe('limit_count');
    expect(asked(counted)).toBe('accept');
  });
});

describe('several policies', () => {
  const strict = (scope: Policy['scope'], rest: Partial<Policy> = {}): Policy => ({
    ...POLICY,
    scope,
    ladders: [{ currency: 'CNY', bands: [{ ceiling: 5_00n, level: 2 }] }],
    ...rest,
  });
  const device = (name: string) => strict({ kind: 'device', device: name });
  const payee = (name: string) => strict({ kind: 'merchant', payee: name });
  const at = (presence: 1 | 2, minor: bigint, ...policies: Policy[]) =>
    verdict({ presence, amount: yuan(minor) }, {}, { policies });

  test('the strictest of those that bind wins', () => {
    expect(at(1, 5_00n, POLICY)).toBe('accept');
    for (const one of [device('glasses'), payee('cafe')]) {
      expect(at(1, 5_00n, POLICY, one)).toBe('presence_too_low');
      expect(at(2, 5_00n, POLICY, one)).toBe('accept');
      expect(at(2, 5_01n, POLICY, one), 'above its last band').toBe('presence_too_low');
      expect(at(2, 5_01n, POLICY, { ...one, exp: NOW_S }), 'which is over').toBe('accept');
    }
    for (const one of [device('guest'), payee('bazaar')]) {
      expect(at(1, 5_00n, POLICY, one)).toBe('accept');
    }
  });

  test('one below the platform’s loosens nothing, and is not enough alone', () => {
    const loose = { ...device('glasses'), ladders: [{ currency: 'CNY', bands: [ANYTHING] }] };
    expect(at(1, 30_00n, POLICY, loose)).toBe('presence_too_low');
    expect(at(2, 1n, loose)).toBe('presence_too_low');
    expect(at(2, 1n, { ...POLICY, exp: NOW_S }, loose)).toBe('presence_too_low');
    expect(at(2, 1n)).toBe('presence_too_low');
  });
});

const ANYTHING = { ceiling: 1_000_00n, level: 0 } as const;

describe('payee, terminal and order', () => {
  const bazaar = { terminals: [statementOf('bazaar')] };
  runs([
    ['scope_payee', {}, { terminals: [] }, 'a payee with no active terminal'],
    ['accept', { terminal: 'till-2' }, {}, 'the second of its terminals'],
    ['scope_terminal', { terminal: 'till-9' }, {}, 'a terminal that it does not have'],
    ['order_unknown', forOrder, {}, 'an order that no terminal has sent'],
    ['accept', forOrder, orderFacts({}, 'open'), 'an open order'],
    [
      'order_mismatch',
      { ...forOrder, payee: 'bazaar', terminal: 'stall-1' },
      { ...orderFacts({}, 'open'), ...bazaar },
      'the order of another payee',
    ],
    ['order_mismatch', { ...forOrder, terminal: 'till-2' }, orderFacts({}, 'open'), 'other till'],
    [
      'order_mismatch',
      { order: ORDER_ID, amount: yuan(40_00n) },
      orderFacts({}, 'open'),
      'no till',
    ],
    ['order_mismatch', { ...forOrder, amount: yuan(39_99n) }, orderFacts({}, 'open'), 'less'],
    ['order_mismatch', { ...forOrder, amount: yuan(40_01n) }, orderFacts({}, 'open'), 'more'],
    [
      'order_mismatch',
      forOrder,
      orderFacts({ amount: { currency: 'JPY', minor: 40_00n } }, 'open'),
      'the same number of other money',
    ],
    ['accept', forOrder, orderFacts({ exp: NOW_S + 1 }, 'open'), 'one second before its end'],
    ['order_expired', forOrder, orderFacts({ exp: NOW_S }, 'open'), 'at its end'],
    [
      'order_expired',
      forOrder,
      orderFacts({}, 'closed'),
      'closed: expired unpaid, or refused when it came',
    ],
    ['order_paid', forOrder, orderFacts({}, 'paid'), 'paid already'],
    ['order_claimed', forOrder, orderFacts({}, 'claimed'), 'somebody is paying it now'],
  ]);

  test('a terminal whose Key statement is over, or not valid yet, takes no money', () => {
    for (const changes of [{ exp: NOW_S }, { nbf: NOW_S + 1 }]) {
      const terminals = [statementOf('kiosk', changes)];
      expect(verdict({}, { terminals })).toBe('scope_payee');
      expect(verdict({ terminal: 'till-1' }, { terminals })).toBe('scope_payee');
    }
    const edge = [statementOf('kiosk', { nbf: NOW_S, exp: NOW_S + 1 })];
    expect(verdict({}, { terminals: edge })).toBe('accept');
  });
});

describe('scope', () => {
  const payee = { kind: 'payee', payee: 'cafe' } as const;
  const category = (value: number) => ({ kind: 'category', category: value }) as const;
  const till = (terminal: string) => ({ kind: 'terminal', terminal }) as const;
  const open = orderFacts({}, 'open');
  const atTill = { terminal: 'till-1' };
  // One payee, two tills, two categories: a request that names no till may mean either.
  const other = { category: 7 };
  const mixed = { terminals: [statementOf('kiosk'), statementOf('till', other)] };
  const lapsed = {
    terminals: [statementOf('kiosk'), statementOf('till', { ...other, exp: NOW_S })],
  };
  runs([
    ['scope_channel', { channel: 'tap' }, chainOf({ channels: 1 }), 'a mandate for voice only'],
    ['accept', { channel: 'tap' }, chainOf({ channels: 3 }), 'for voice and tap'],
    ['scope_channel', { channel: 'autonomous' }, chainOf({ channels: 15 }), 'all but autonomous'],
    ['accept', {}, chainOf({ allow: [{ kind: 'any' }] }), 'any enrolled payee'],
    ['scope_payee', {}, chainOf({ allow: [{ ...payee, payee: 'bazaar' }] }), 'another payee'],
    ['accept', {}, chainOf({ allow: [{ ...payee, payee: 'b' }, payee] }), 'one of several'],
    ['accept', {}, chainOf({ allow: [category(5814)] }), 'the seller’s category'],
    ['scope_category', {}, chainOf({ allow: [category(5999)] }), 'another category'],
    ['accept', atTill, chainOf({ allow: [till('till-1')] }), 'the terminal'],
    ['scope_terminal', atTill, chainOf({ allow: [till('till-2')] }), 'another terminal'],
    ['scope_terminal', {}, chainOf({ allow: [till('till-1')] }), 'a request that names none'],
    ['accept', {}, chainOf({ allow: [till('till-1'), till('till-2')] }), 'names none: all allowed'],
    [
      'accept',
      forOrder,
      { ...open, ...chainOf({ allow: [{ kind: 'order', order: ORDER_ID }] }) },
      'the order',
    ],
    ['order_mismatch', {}, chainOf({ allow: [{ kind: 'order', order: ORDER_ID }] }), 'no order'],

    // Kinds that occur are all needed, so an entry of another kind never widens a mandate.
    ['accept', {}, chainOf({ allow: [payee, category(5814)] }), 'payee and category both match'],
    ['scope_category', {}, chainOf({ allow: [payee, category(1)] }), 'payee, but not category'],
    [
      'scope_payee',
      {},
      chainOf({ allow: [category(5814), { ...payee, payee: 'b' }] }),
      'category, but not payee',
    ],

    ['scope_payee', {}, chainOf({ deny: [payee] }), 'allowed and denied: deny wins'],
    ['scope_category', {}, chainOf({ deny: [category(5814)] }), 'its category is denied'],
    ['scope_terminal', atTill, chainOf({ deny: [till('till-1')] }), 'its terminal is denied'],
    ['accept', atTill, chainOf({ deny: [till('till-2')] }), 'another terminal is denied'],
    ['scope_terminal', {}, chainOf({ deny: [till('till-2')] }), 'names none, and one is denied'],
    [
      'scope_category',
      {},
      { ...mixed, ...chainOf({ deny: [category(7)] }) },
      'one category denied',
    ],
    ['scope_category', {}, { ...mixed, ...chainOf({ allow: [category(5814)] }) }, 'one allowed'],
    ['scope_category', {}, { ...mixed, ...chainOf({ allow: [category(7)] }) }, 'only the other'],
    [
      'accept',
      atTill,
      { ...mixed, ...chainOf({ allow: [category(5814)] }) },
      'the named one counts',
    ],
    [
      'accept',
      {},
      { ...lapsed, ...chainOf({ deny: [category(7)] }) },
      'a lapsed till is not meant',
    ],
    [
      'scope_payee',
      {},
      chainOf({ allow: [{ kind: 'any' }], deny: [{ ...payee, payee: 'b' }, payee] }),
      'any but these',
    ],
    [
      'order_mismatch',
      forOrder,
      { ...open, ...chainOf({ deny: [{ kind: 'order', order: ORDER_ID }] }) },
      'the order itself is denied',
    ],
  ]);
});

describe('presence', () => {
  const voice = (presenceMax: 0 | 1 | 2) => ({ identity: identityOf('glasses', { presenceMax }) });
  const agent = {
    identity: identityOf('agent', { presenceMax: 4 }),
    chain: [linkOf({ cnf: CAST.agent.key.name })],
  };
  const wide = { perPaymentMax: 9_999_00n, windows: [total(9_999_00n, 9)] };
  const strict = chainOf({
    bands: [
      { ceiling: 9_99n, level: 1 },
      { ceiling: 50_00n, level: 2 },
    ],
  });
  runs([
    ['accept', { presence: 1, amount: yuan(20_00n) }, {}, 'P1 up to its ceiling'],
    ['presence_too_low', { presence: 1, amount: yuan(20_01n) }, {}, 'one fen above P1'],
    ['accept', { presence: 2, amount: yuan(1_000_00n) }, chainOf(wide), 'P2 up to its ceiling'],
    ['presence_too_low', { amount: yuan(1_000_01n) }, chainOf(wide), 'above the last band: P4'],
    ['presence_too_low', { presence: 0 }, {}, 'nobody present'],
    ['presence_too_low', { presence: 1 }, strict, 'the mandate is stricter than the platform'],
    ['accept', { presence: 2 }, strict, 'and its P2 is enough'],
    [
      'presence_too_low',
      { presence: 1, amount: yuan(20_01n) },
      chainOf({ bands: [{ ceiling: 1_000_00n, level: 0 }] }),
      'a looser mandate does not loosen the platform',
    ],
    ['accept', { presence: 2, amount: yuan(20_00n) }, voice(1), 'a voice key, P1 amount'],
    ['presence_too_low', { amount: yuan(20_01n) }, voice(1), 'a voice key never counts above P1'],
    ['presence_too_low', { presence: 4 }, voice(0), 'whatever it claims'],
    ['presence_too_low', { presence: 2 }, agent, 'an agent is P0, whatever its key or it says'],
    [
      'presence_too_low',
      { presence: 2, amount: { currency: 'EUR', minor: 1n } },
      chainOf({ currency: 'EUR' }),
      'a currency without a ladder is not open below P4',
    ],
  ]);

  const claimed = (request: Partial<Request>, facts: Partial<Facts>, rules = RULES) => {
    const found = judge(requestOf(request), factsOf(facts), rules);
    return found.kind === 'accept' ? [found.presence, found.channel] : found.reason;
  };

  test('what counts of a device’s claims: its presence up to its own cap and P3', () => {
    const able = (presenceMax: 2 | 4) => ({ identity: identityOf('glasses', { presenceMax }) });
    expect(claimed({ presence: 1, channel: 'tap' }, able(2))).toEqual([1, 'tap']);
    expect(claimed({ presence: 3, channel: 'tap' }, able(2))).toEqual([2, 'tap']);
    expect(claimed({ presence: 4, channel: 'tap' }, able(4))).toEqual([3, 'tap']);
  });

  test('a device that claims P4 is not believed: P4 is a mandate of its own', () => {
    const able = { identity: identityOf('glasses', { presenceMax: 4 }) };
    const facts = { ...able, ...chainOf(wide) };
    expect(verdict({ presence: 4, amount: yuan(1_000_00n) }, facts)).toBe('accept');
    expect(verdict({ presence: 4, amount: yuan(1_000_01n) }, facts)).toBe('presence_too_low');
  });

  test('an agent is P0 and autonomous, whatever channel and presence it claims', () => {
    const bands = [{ ceiling: 1_000_00n, level: 0 }] as const;
    const rules = { policies: [{ ...POLICY, ladders: [{ currency: 'CNY', bands }] }] };
    const agentOver = (channels: number) => ({
      ...agent,
      chain: [linkOf({ cnf: CAST.agent.key.name, bands, channels })],
    });
    const request = { presence: 4, channel: 'voice' } as const;
    expect(claimed(request, agentOver(31), { ...RULES, ...rules })).toEqual([0, 'autonomous']);
    expect(verdict(request, agentOver(16), rules), 'a mandate for autonomous only').toBe('accept');
    expect(verdict(request, agentOver(15), rules), 'all but autonomous').toBe('scope_channel');
  });

  test('levelFor takes the first band whose ceiling reaches the amount, then P4', () => {
    const bands = [
      { ceiling: 0n, level: 0 },
      { ceiling: 10n, level: 1 },
      { ceiling: 20n, level: 3 },
    ] as const;
    const levels = [0n, 1n, 10n, 11n, 20n, 21n].map((amount) => levelFor(bands, amount));
    expect(levels).toEqual([0, 1, 1, 3, 3, 4]);
  });
});

describe('room', () => {
  const used = (amount: bigint, count: number) => ({ usage: [{ amount, count }] });
  const gap = (ms: number) => chainOf({ gap: 60 }, { lastMs: NOW_MS - ms });
  const two = (second: Usage) =>
    chainOf({ windows: [total(1_000_00n, 100), total(50_00n, 5)] }, { usage: [NONE, second] });
  runs([
    ['accept', {}, chainOf({ perPaymentMax: 10_00n }), 'exactly the maximum of one payment'],
    ['limit_per_payment', {}, chainOf({ perPaymentMax: 9_99n }), 'one fen over it'],
    ['accept', {}, chainOf({ perPaymentMin: 10_00n }), 'exactly the minimum'],
    ['limit_per_payment', {}, chainOf({ perPaymentMin: 10_01n }), 'one fen under it'],
    ['accept', {}, chainOf({}, used(990_00n, 1)), 'exactly fills its window'],
    ['limit_window', {}, chainOf({}, used(990_01n, 1)), 'one fen over the window'],
    ['accept', {}, chainOf({}, used(0n, 99)), 'the last of its count'],
    ['limit_count', {}, chainOf({}, used(0n, 100)), 'one more than its count'],
    ['limit_window', {}, two({ amount: 40_01n, count: 1 }), 'the second window counts too'],
    ['limit_count', {}, two({ amount: 0n, count: 5 }), 'and so does its count'],
    ['accept', {}, chainOf({ gap: 60 }), 'a gap before the first payment'],
    ['accept', {}, gap(60_000), 'exactly the gap'],
    ['limit_gap', {}, gap(59_999), 'a millisecond short of it'],
    ['limit_gap', {}, gap(-5_000), 'the clock has stepped back since'],
  ]);
});

describe('access', () => {
  const { amount: _amount, ...entry } = requestOf({ action: 'access' });
  const judged = (facts: Partial<Facts>, rules: Rules = RULES) =>
    judge(entry, factsOf(facts), rules);
  const reason = (facts: Partial<Facts>, rules?: Rules) => {
    const found = judged(facts, rules);
    return found.kind === 'accept' ? 'accept' : found.reason;
  };

  test('moves no money: it reserves nothing but its count, in every window', () => {
    const windows = [total(0n, 3), total(5n, 2)];
    const usage = [NONE, { amount: 5n, count: 1 }];
    expect(judged(chainOf({ windows }, { usage }))).toMatchObject({
      kind: 'accept',
      reservations: [
        { index: 0, amount: 0n },
        { index: 1, amount: 0n },
      ],
      remaining: [
        { amount: 0n, count: 2 },
        { amount: 0n, count: 0 },
      ],
    });
  });

  test.each([
    ['limit_count', chainOf({ windows: [total(5n, 2)] }, { usage: [{ amount: 0n, count: 2 }] })],
    ['limit_gap', chainOf({ gap: 60 }, { lastMs: NOW_MS - 59_999 })],
    ['scope_channel', chainOf({ channels: 2 })],
    ['scope_payee', { terminals: [] }],
    ['role_forbidden', { identity: identityOf('kiosk'), chain: [] }],
    ['accept', chainOf({ perPaymentMin: 10_00n, perPaymentMax: 10_00n })],
  ] as const)('%s: %#', (expected, facts) => {
    expect(reason(facts)).toBe(expected);
  });

  test('its ladder is that of the mandate’s currency, at no amount', () => {
    const bands = [{ ceiling: 0n, level: 3 }] as const;
    const ladders = [
      { currency: 'EUR', bands },
      { currency: 'CNY', bands: [{ ceiling: 0n, level: 2 }] as const },
    ];
    const rules: Rules = { ...RULES, policies: [{ ...POLICY, ladders }] };
    expect(reason({}, rules)).toBe('accept');
    expect(reason(chainOf({ currency: 'EUR' }), rules)).toBe('presence_too_low');
    expect(reason(chainOf({ currency: 'JPY' }), rules), 'no ladder').toBe('presence_too_low');
    expect(reason(chainOf({ bands }), rules), 'the mandate’s own bands').toBe('presence_too_low');
  });

  test('an order is about money, so an access cannot name one', () => {
    const found = judge({ ...entry, order: ORDER_ID }, factsOf(orderFacts({}, 'open')), RULES);
    expect(found).toMatchObject({ kind: 'refuse', reason: 'order_mismatch' });
  });
});

describe('P4: a mandate of the wallet for this order and this amount, usable once', () => {
  const dear = 5_000_00n;
  const request = { ...forOrder, amount: yuan(dear), presence: 1 } as const;
  const { order: _order, ...orderless } = request;
  const order = orderFacts({ amount: yuan(dear) }, 'open');
  const forOne: Partial<Mandate> = {
    perPaymentMin: dear,
    perPaymentMax: dear,
    windows: [total(dear, 1)],
    allow: [{ kind: 'order', order: ORDER_ID }],
    bands: [{ ceiling: dear, level: 4 }],
  };
  const child = { cnf: CAST.glasses.key.name, parent: 'bb'.repeat(16) };
  const above = linkOf({ ...forOne }, { id: 'bb'.repeat(16) });
  const wide = [total(9n * dear, 9)];
  const payee = { kind: 'payee', payee: 'cafe' } as const;
  const one = { kind: 'order', order: ORDER_ID } as const;
  const other = { kind: 'order', order: 'ee'.repeat(16) } as const;

  runs([
    ['accept', request, { ...order, ...chainOf(forOne) }, 'whatever the device claims'],
    [
      'accept',
      request,
      { ...order, ...chainOf({ ...forOne, windows: [...wide, total(dear, 1)] }) },
      'one of its windows is for one payment',
    ],
    [
      'accept',
      request,
      { ...order, ...chainOf({ ...forOne, allow: [one, payee] }) },
      'a payee besides only narrows it',
    ],
    [
      'presence_too_low',
      request,
      { ...order, ...chainOf({ ...forOne, windows: [total(2n * dear, 2)] }) },
      'two uses',
    ],
    [
      'presence_too_low',
      request,
      {
        ...order,
        ...chainOf({
          ...forOne,
          windows: [{ kind: 'rolling', seconds: 60, max: dear, count: 1 }],
        }),
      },
      'one use a minute is more than one',
    ],
    [
      'presence_too_low',
      request,
      {
        ...order,
        ...chainOf({ ...forOne, perPaymentMax: dear + 1n, windows: [total(9n * dear, 1)] }),
      },
      'up to another amount',
    ],
    [
      'presence_too_low',
      request,
      { ...order, ...chainOf({ ...forOne, perPaymentMin: dear - 1n }) },
      'from another amount',
    ],
    [
      'presence_too_low',
      request,
      { ...order, ...chainOf({ ...forOne, allow: [payee] }) },
      'no order',
    ],
    [
      'order_mismatch',
      request,
      { ...order, ...chainOf({ ...forOne, allow: [other] }) },
      'other order',
    ],
    [
      'presence_too_low',
      orderless,
      chainOf({ ...forOne, allow: [payee] }),
      'a request that names no order',
    ],
    [
      'presence_too_low',
      request,
      {
        ...order,
        chain: [linkOf({ ...forOne, ...child }, { issuer: CAST.glasses.key.name }), above],
      },
      'a child: not signed by the wallet for this',
    ],
    [
      'limit_count',
      request,
      {
        ...order,
        ...chainOf(
          { ...forOne, windows: [total(9n * dear, 1)] },
          { usage: [{ amount: dear, count: 1 }] },
        ),
      },
      'used already',
    ],
  ]);
});

describe('what a refusal says in words', () => {
  const why = (request: Partial<Request>, facts: Partial<Facts>, rules: Partial<Rules> = {}) => {
    const found = judge(requestOf(request), factsOf(facts), { ...RULES, ...rules });
    return found.kind === 'refuse' ? [found.reason, found.why] : ['accept'];
  };
  const until = '2026-10-14 04:00:00 UTC';
  const parents: Partial<Facts> = {
    chain: [
      linkOf({}, { issuer: CAST.glasses.key.name }),
      linkOf({ windows: [total(900_00n, 9)] }, { id: 'bc'.repeat(16), usage: [NONE] }),
    ],
  };
  const day = { kind: 'calendar', period: 'day', zone: 'Asia/Shanghai', max: 50_00n, count: 3 };
  const hour = { kind: 'rolling', seconds: 3600, max: 50_00n, count: 3 };
  const windows = [total(1_000_00n, 9), day, hour] as Mandate['windows'];
  const used = (place: number, usage: Usage) =>
    chainOf({ windows }, { usage: windows.map((_, i) => (i === place ? usage : NONE)) });
  const said: readonly (readonly [
    Reason,
    string,
    Partial<Request>,
    Partial<Facts>,
    Partial<Rules>?,
  ])[] = [
    ['counter_reused', 'counter 1 was another', {}, { isCounterReused: true }],
    ['counter_gap', 'counter 99 is far beyond 5', { counter: 99 }, { highestCounter: 5 }],
    ['rate_limited', '128 payments of this key', {}, { openRuns: 128 }],
    ['expired', `valid until ${until}`, { exp: NOW_S }, {}],
    ['not_yet_valid', 'too long', { exp: NOW_S + 9_999 }, {}],
    ['stale_nonce', 'tick nonce', {}, {}, { isFresh: () => false }],
    ['suspended', 'signing key', {}, { identity: identityOf('glasses', {}, 'suspended') }],
    [
      'role_forbidden',
      'a terminal does not hold',
      { action: 'hold' },
      { identity: identityOf('kiosk') },
    ],
    ['mandate_unknown', 'no such mandate', {}, { chain: [] }],
    ['revoked', 'mandate aaaaaaaa is revoked', {}, chainOf({}, { status: 'revoked' })],
    ['expired', 'signer of mandate aaaaaaaa', {}, chainOf({}, { issuerFault: 'expired' })],
    ['not_yet_valid', 'mandate aaaaaaaa is valid from', {}, chainOf({ nbf: NOW_S + 1 })],
    ['expired', `mandate aaaaaaaa was valid until ${until}`, {}, chainOf({ exp: NOW_S })],
    ['currency_mismatch', 'mandate aaaaaaaa is in EUR', {}, chainOf({ currency: 'EUR' })],
    ['scope_payee', 'no terminal of cafe', {}, { terminals: [] }],
    ['scope_terminal', 'cafe has no terminal till-9', { terminal: 'till-9' }, {}],
    ['order_unknown', 'has not registered', forOrder, {}],
    [
      'order_mismatch',
      'not those of the order',
      { ...forOrder, amount: yuan(1n) },
      orderFacts({}, 'open'),
    ],
    ['order_expired', 'payable until', forOrder, orderFacts({}, 'closed')],
    ['order_paid', 'is paid', forOrder, orderFacts({}, 'paid')],
    ['order_claimed', 'another payment of it', forOrder, orderFacts({}, 'claimed')],
    ['scope_channel', 'mandate aaaaaaaa does not allow voice', {}, chainOf({ channels: 2 })],
    [
      'scope_category',
      'mandate aaaaaaaa denies this category',
      {},
      chainOf({ deny: [{ kind: 'category', category: 5814 }] }),
    ],
    [
      'scope_payee',
      'mandate aaaaaaaa does not allow this payee',
      {},
      chainOf({ allow: [{ kind: 'payee', payee: 'bazaar' }] }),
    ],
    [
      'presence_too_low',
      'the policy for the platform asks for P1, this counts as P0',
      { presence: 0 },
      {},
    ],
    [
      'presence_too_low',
      'mandate aaaaaaaa asks for P2, this counts as P1',
      { presence: 1 },
      chainOf({ bands: [{ ceiling: 99_00n, level: 2 }] }),
    ],
    [
      'limit_per_payment',
      'mandate aaaaaaaa allows payments from 0.01 yuan to 9.99 yuan',
      {},
      chainOf({ perPaymentMax: 9_99n }),
    ],
    ['limit_per_payment', 'from 10.01 yuan to 200.00 yuan', {}, chainOf({ perPaymentMin: 10_01n })],
    [
      'limit_gap',
      'mandate aaaaaaaa allows the next payment at 2026-10-14 04:00:30 UTC',
      {},
      chainOf({ gap: 60 }, { lastMs: NOW_MS - 30_000 }),
    ],
    [
      'limit_window',
      '(per day, Asia/Shanghai) of mandate aaaaaaaa has 9.99 yuan of 50.00 yuan left, 10.00',
      {},
      used(1, { amount: 40_01n, count: 1 }),
    ],
    [
      'limit_window',
      'window 3 (any 3600 s) of mandate aaaaaaaa has 0.00 yuan of 50.00 yuan left',
      {},
      used(2, { amount: 50_00n, count: 1 }),
    ],
    [
      'limit_count',
      'window 1 (in all) of mandate aaaaaaaa has seen its 9 payments',
      {},
      used(0, { amount: 0n, count: 9 }),
    ],
    [
      'limit_window',
      'window 1 (in all) of mandate bcbcbcbc has 9.99 yuan',
      { presence: 2 },
      {
        chain: [
          parents.chain![0]!,
          { ...parents.chain![1]!, usage: [{ amount: 890_01n, count: 1 }] },
        ],
      },
    ],
  ];

  test.each(said.map((row) => [row[0], row[1], row] as const))('%s: %s', (reason, text, row) => {
    const [found, words] = why(row[2], row[3], row[4]);
    expect(found).toBe(reason);
    expect(words).toContain(text);
  });
});

describe('the order of the checks', () => {
  // Every fault at once; each step of the list mends the first one left.
  const faults = (mended: number): [Partial<Request>, Partial<Facts>, Partial<Rules>] => {
    const is = (n: number) => mended > n;
    return [
      {
        counter: is(1) ? 1 : 1_000,
        exp: is(2) ? NOW_S + 9 : NOW_S,
        payee: 'cafe',
        terminal: is(7) ? 'till-1' : 'till-9',
        order: ORDER_ID,
        presence: is(10) ? 2 : 0,
        amount: yuan(40_00n),
      },
      {
        isCounterReused: !is(0),
        identity: identityOf('glasses', {}, is(4) ? 'active' : 'suspended'),
        chain: is(5)
          ? [
              linkOf(
                is(9) ? {} : { channels: 2 },
                is(11) ? {} : { usage: [{ amount: 999_00n, count: 1 }] },
              ),
            ]
          : [],
        terminals: is(6) ? [statementOf('kiosk')] : [],
        ...orderFacts({}, is(8) ? 'open' : 'paid'),
      },
      { isFresh: () => is(3) },
    ];
  };
  const order = [
    'counter_reused',
    'counter_gap',
    'expired',
    'stale_nonce',
    'suspended',
    'mandate_unknown',
    'scope_payee',
    'scope_terminal',
    'order_paid',
    'scope_channel',
    'presence_too_low',
    'limit_window',
    'accept',
  ];

  test.each(order.map((reason, mended) => [mended, reason] as const))(
    'with %i faults mended the answer is %s',
    (mended, reason) => {
      expect(verdict(...faults(mended))).toBe(reason);
    },
  );
});
