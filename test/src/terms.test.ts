// What a person asks of a mandate, and the grant that it comes to: each field, default and refusal.
import { describe, expect, test } from 'vitest';
import { UsageError } from '../../src/command.ts';
import { EXITS, OperatorError } from '../../src/errors.ts';
import { COUNT_UNLIMITED } from '../../src/limits.ts';
import { type About, type Terms, grantOf, notesOn, readTerms } from '../../src/terms.ts';
import type { Mandate } from '../../src/objects/mandate.ts';

const NOW_S = Date.UTC(2026, 10, 20, 9) / 1000;
const DAY_S = 86_400;
const ABOUT: About = { cnf: 'ab'.repeat(32), nowS: NOW_S };
const LEAST: Terms = { funding: 'acct-1', currency: 'CNY', perPayment: '20', total: '100' };

const PARENT: Mandate = {
  nbf: NOW_S - 3_600,
  exp: NOW_S + 10 * DAY_S,
  iat: NOW_S - 3_600,
  cnf: 'cd'.repeat(32),
  funding: 'acct-9',
  currency: 'EUR',
  perPaymentMax: 50_00n,
  perPaymentMin: 1_00n,
  channels: 18,
  windows: [{ kind: 'calendar', period: 'month', zone: 'Europe/Berlin', max: 300_00n, count: 9 }],
  allow: [{ kind: 'payee', payee: 'cafe' }],
  deny: [{ kind: 'category', category: 7995 }],
  bands: [{ ceiling: 10_00n, level: 1 }],
  gap: 60,
  epoch: 7,
  textDigest: new Uint8Array(32),
};
const parent = { id: '12'.repeat(16), mandate: PARENT };

test('what is left out has its usual value', () => {
  expect(grantOf(LEAST, ABOUT)).toEqual({
    nbf: NOW_S - 60,
    exp: NOW_S + DAY_S,
    iat: NOW_S,
    cnf: ABOUT.cnf,
    funding: 'acct-1',
    currency: 'CNY',
    perPaymentMax: 20_00n,
    channels: 15,
    windows: [{ kind: 'total', max: 100_00n, count: COUNT_UNLIMITED }],
    allow: [{ kind: 'any' }],
    bands: [{ ceiling: 20_00n, level: 2 }],
    epoch: 1,
  });
});

test('every field can be said', () => {
  const all: Terms = {
    funding: 'acct-1',
    currency: 'CNY',
    perPayment: '200',
    perPaymentMin: '5.5',
    total: '2000.00/100',
    perDay: '500/20',
    perWeek: '900',
    perMonth: '1000/50',
    perQuarter: '1500',
    perYear: '1900/90',
    zone: 'Asia/Shanghai',
    within: ['600:300/3', '2h:400', '7d:800/30'],
    gap: '5m',
    payee: ['cafe', 'noodle'],
    category: ['5814', '0742'],
    terminal: ['till-1'],
    order: ['34'.repeat(16)],
    denyPayee: ['casino'],
    denyCategory: ['7995'],
    denyTerminal: ['till-9'],
    band: ['20=P1', '200=P2'],
    channel: ['voice', 'autonomous'],
    from: '2026-12-01',
    until: '2026-12-31T12:00Z',
    epoch: 3,
  };
  const zone = 'Asia/Shanghai';
  expect(() => grantOf(all, ABOUT), 'nine windows are more than a mandate holds').toThrow(
    /^no mandate can say this: /,
  );
  const { perQuarter: _quarter, ...eight } = all;
  expect(grantOf(eight, ABOUT)).toEqual({
    nbf: Date.UTC(2026, 11, 1) / 1000,
    exp: Date.UTC(2026, 11, 31, 12) / 1000,
    iat: NOW_S,
    cnf: ABOUT.cnf,
    funding: 'acct-1',
    currency: 'CNY',
    perPaymentMax: 200_00n,
    perPaymentMin: 5_50n,
    channels: 17,
    windows: [
      { kind: 'total', max: 2_000_00n, count: 100 },
      { kind: 'calendar', period: 'day', zone, max: 500_00n, count: 20 },
      { kind: 'calendar', period: 'week', zone, max: 900_00n, count: COUNT_UNLIMITED },
      { kind: 'calendar', period: 'month', zone, max: 1_000_00n, count: 50 },
      { kind: 'calendar', period: 'year', zone, max: 1_900_00n, count: 90 },
      { kind: 'rolling', seconds: 600, max: 300_00n, count: 3 },
      { kind: 'rolling', seconds: 7_200, max: 400_00n, count: COUNT_UNLIMITED },
      { kind: 'rolling', seconds: 7 * DAY_S, max: 800_00n, count: 30 },
    ],
    allow: [
      { kind: 'payee', payee: 'cafe' },
      { kind: 'payee', payee: 'noodle' },
      { kind: 'category', category: 5814 },
      { kind: 'category', category: 742 },
      { kind: 'terminal', terminal: 'till-1' },
      { kind: 'order', order: '34'.repeat(16) },
    ],
    deny: [
      { kind: 'payee', payee: 'casino' },
      { kind: 'category', category: 7995 },
      { kind: 'terminal', terminal: 'till-9' },
    ],
    bands: [
      { ceiling: 20_00n, level: 1 },
      { ceiling: 200_00n, level: 2 },
    ],
    gap: 300,
    epoch: 3,
  });
  expect(grantOf({ ...LEAST, perQuarter: '7' }, ABOUT).windows[1]).toMatchObject({
    period: 'quarter',
    zone: 'UTC',
  });
});

describe('a child', () => {
  test('is as its parent in all that is left out', () => {
    const { textDigest: _text, ...rest } = PARENT;
    expect(grantOf({}, { ...ABOUT, parent })).toEqual({
      ...rest,
      nbf: NOW_S - 60,
      exp: NOW_S + DAY_S,
      iat: NOW_S,
      cnf: ABOUT.cnf,
      parent: parent.id,
    });
  });

  test('never outlives it, and its denials add to those of the parent', () => {
    const child = grantOf(
      { days: 30, from: '2026-01-01', perPayment: '5', denyPayee: ['bar'] },
      { ...ABOUT, parent },
    );
    expect([child.nbf, child.exp]).toEqual([PARENT.nbf, PARENT.exp]);
    expect(child.deny).toEqual([...PARENT.deny!, { kind: 'payee', payee: 'bar' }]);
    expect(child.perPaymentMax).toBe(5_00n);
  });

  test.each<readonly [Terms, RegExp]>([
    [{ currency: 'CNY' }, /^the parent is in EUR: leave --currency out$/],
    [{ funding: 'acct-1' }, /^a child spends from its parent: leave --funding out$/],
  ])('%j does not fit its parent', (terms, line) => {
    expect(() => grantOf(terms, { ...ABOUT, parent })).toThrow(line);
  });
});

describe('a mandate for one order', () => {
  const order = {
    exp: NOW_S + 600,
    amount: { currency: 'CNY', minor: 40_00n },
    payee: 'cafe',
    terminal: 'till-1',
    lines: [{ text: 'Latte', quantity: 2, total: 40_00n }],
    salt: new Uint8Array(16),
  };
  const once = { id: '56'.repeat(16), order };

  test('pays exactly that, there, once, until the order ends (P4)', () => {
    expect(grantOf({ funding: 'acct-1' }, { ...ABOUT, once })).toEqual({
      nbf: NOW_S - 60,
      exp: NOW_S + 600,
      iat: NOW_S,
      cnf: ABOUT.cnf,
      funding: 'acct-1',
      currency: 'CNY',
      perPaymentMax: 40_00n,
      perPaymentMin: 40_00n,
      channels: 15,
      windows: [{ kind: 'total', max: 40_00n, count: 1 }],
      allow: [
        { kind: 'payee', payee: 'cafe' },
        { kind: 'terminal', terminal: 'till-1' },
        { kind: 'order', order: once.id },
      ],
      bands: [{ ceiling: 40_00n, level: 4 }],
      epoch: 1,
    });
  });

  test('takes no other limits, and an order that is over makes none', () => {
    expect(() =>
      grantOf({ funding: 'a', perPayment: '1', payee: ['x'], band: [] }, { ...ABOUT, once }),
    ).toThrow(/^the order says everything with --once: leave out perPayment, payee$/);
    const over = { ...once, order: { ...order, exp: NOW_S } };
    expect(() => grantOf({ funding: 'a' }, { ...ABOUT, once: over })).toThrow(/^the order is over/);
  });
});

describe('refused before anybody reads it', () => {
  const usage: readonly (readonly [Terms, RegExp])[] = [
    [{ funding: undefined }, /^--funding is needed$/],
    [{ currency: undefined }, /^--currency is needed$/],
    [{ perPayment: undefined }, /^--per-payment is needed$/],
    [{ total: undefined }, /^a limit over time is needed: --total, /],
    [{ total: '100/' }, /^--total is as 500\.00 or 500\.00\/20/],
    [{ total: '100/0' }, /^--total is as/],
    [{ total: '100/1000000' }, /^--total is as/],
    [{ total: '100/3/4' }, /^--total is as/],
    [
      { perDay: '5', zone: 'Mars/Olympus' },
      /^--zone is a time zone, .* Mars\/Olympus is not known/,
    ],
    [{ zone: 'UTC' }, /^--zone goes with --per-day/],
    [{ within: ['300/3'] }, /^--within is as 600:300\.00\/3/],
    [{ within: ['0:300/3'] }, /^--within is seconds, or as 10m/],
    [{ within: ['5y:300/3'] }, /^--within is seconds, or as 10m/],
    [{ gap: '1.5' }, /^--gap is seconds/],
    [{ category: ['814'] }, /^--category is four digits/],
    [{ denyCategory: ['58140'] }, /^--deny-category is four digits/],
    [{ band: ['20'] }, /^--band is as 20\.00=P1/],
    [{ band: ['20=P5'] }, /^--band is as/],
    [{ channel: ['thought'] }, /^--channel is one of voice, tap, look, touch, autonomous$/],
    [{ from: '2026-02-30' }, /^--from is a date in UTC/],
    [{ until: 'soon' }, /^--until is a date in UTC/],
    [{ until: '2026-12-01', days: 3 }, /^--days and --until exclude each other$/],
    [{ until: '2026-11-20T09:00Z' }, /^it would end before it begins$/],
    [{ from: '2027-01-02', until: '2027-01-01' }, /^it would end before it begins$/],
    [{ total: 'much' }, /^--total is not an amount in CNY, as 12\.50$/],
    [{ perPayment: '1.234' }, /^--per-payment is not an amount in CNY/],
    [{ perPayment: '1e3' }, /^--per-payment is not/],
    [{ band: ['ten=P1'] }, /^--band is not/],
    [{ within: ['60:-1'] }, /^--within is not/],
    [{ perPaymentMin: '21' }, /^no mandate can say this: .*minimum above maximum/],
    [{ band: ['20=P2', '10=P1'] }, /^--band rises in amount and in level/],
    [{ band: ['10=P1', '10=P2'] }, /^--band rises in amount/],
    [{ band: ['10=P1', '20=P1'] }, /^--band rises in amount/],
    [{ order: ['nothex'] }, /^--order is the id of an order: 32 hexadecimal digits$/],
    [{ payee: ['a b'] }, /^no mandate can say this: ./],
    [{ within: ['401d:5'] }, /^no mandate can say this: ./],
    [{ currency: 'XXX' }, /^--currency is an ISO 4217 code, as CNY; XXX is not in use$/],
  ];
  test.each(usage)('%j', (terms, line) => {
    const run = () => grantOf({ ...LEAST, ...terms } as Terms, ABOUT);
    expect(run).toThrow(UsageError);
    expect(run).toThrow(line);
  });
});

describe('what may be overlooked is noted', () => {
  const child = (terms: Terms) => grantOf(terms, { ...ABOUT, parent });
  test.each([
    [LEAST, [], 'all is well'],
    [
      { ...LEAST, perDay: '10' },
      ['NOTE: a limit over time is 10.00 yuan, so no payment above that is ever made.'],
      'a day below one payment',
    ],
  ] as const)('%j: %j (%s)', (terms, notes, _why) => {
    expect(notesOn(grantOf(terms, ABOUT), undefined)).toEqual(notes);
  });

  test('a child with more for one payment than its parent allows', () => {
    expect(notesOn(child({ perPayment: '50' }), PARENT)).toEqual([]);
    expect(notesOn(child({ perPayment: '50.01' }), PARENT)).toEqual([
      'NOTE: the parent allows at most 50.00 EUR per payment, and no more than that is ever paid.',
    ]);
    expect(notesOn(child({ perPayment: '400', perDay: '900' }), PARENT)).toEqual([
      expect.stringContaining('the parent allows at most 50.00'),
      expect.stringContaining('a limit over time of the parent is 300.00'),
    ]);
  });
});

describe('a file', () => {
  test('has the same fields, amounts in quotes', () => {
    const text = [
      'funding: acct-1',
      'currency: CNY',
      'perPayment: "200"',
      'perDay: "500/20" # twenty coffees',
      'zone: Asia/Shanghai',
      'payee: [cafe, noodle]',
      'days: 30',
    ].join('\n');
    const terms = readTerms(text, 'terms.yaml');
    expect(grantOf(terms, ABOUT)).toMatchObject({
      perPaymentMax: 200_00n,
      windows: [
        { kind: 'calendar', period: 'day', zone: 'Asia/Shanghai', max: 500_00n, count: 20 },
      ],
      allow: [{ payee: 'cafe' }, { payee: 'noodle' }],
      exp: NOW_S + 30 * DAY_S,
    });
  });

  test('tells every problem at once', () => {
    const text = 'perPayment: 12.5\nperFortnight: "9"\npayee: cafe\ndays: 0';
    let caught: unknown;
    try {
      readTerms(text, 'terms.yaml');
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(OperatorError);
    const { exit, message } = caught as OperatorError;
    expect(exit).toBe(EXITS.config);
    expect(message).toContain('terms.yaml has 4 problems');
    expect(message).toContain('perPayment: is 12.5; allowed: an amount in quotes');
    expect(message).toContain('perFortnight: is not a setting');
  });
});
