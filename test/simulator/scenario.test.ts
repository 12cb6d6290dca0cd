// The scenario language: a file is understood as a whole or every fault of it is told at its place.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { OperatorError } from '../../src/errors.ts';
import { SCENARIO_BYTES_MAX, SCENARIO_DEPTH_MAX } from '../../src/limits.ts';
import {
  type Scenario,
  faultLines,
  readScenario,
  requireScenario,
} from '../../simulator/scenario.ts';

/** Every word between ‹ and › can be wrong; none of them is near to another that fits there. */
const DAY = `‹scenario›: A day with everything in it
about: >
  Somebody buys coffee, and the line is cut.
‹starts›: 2026-06-15 11:55
site:
  currency: ‹CNY›
  ‹people›:
    wang: { ‹account›: 500.00, tags: [‹till›] }
    li:
      ‹mandate›: { ‹perPayment›: 50, perDay: 100/5 }
    mallory: { glasses: ‹no› }
  agents: { butler: { of: ‹wang› } }
  ‹offline›: yes
steps:
  - note: Lunch
  - ‹wang›: { ‹say›: pay 15 yuan to Luckin Coffee, ‹confirm›: by voice }
    as: lunch
    expect: ‹paid›
  - till: { ‹order›: { Latte: 20.00, 2 Muffin: 36.00 } }
    ‹as›: basket
    ‹expect›: open
  - li: { look: "$\{‹basket›}" }
    expect: { ‹not sent›: ‹limit_per_payment› }
  - wang: { look: "$\{basket}", confirm: ‹by press› }
    expect: { paid: , told: "of $\{‹lunch›.‹amount›}", ‹within›: 5s }
  - at: 12:30
    ‹network›: { ‹lose›: { share: 30%, of: [‹till›] } }
    for: 4m
  - ‹bridge›: ‹restart›
  - till: { refund: { order: "$\{‹basket›}", ‹amount›: 20.00 }, confirm: }
    expect: ‹done›
  - expect:
      ‹lunch›: ‹paid›
      ‹ledger›: { ‹wang›: 449.00, luckin: 51.00 }
      receipts: { ‹wang›: 2 }
      payments: { ‹refused›: 0 }
`;

type Mark = Readonly<{ word: string; line: number; column: number; at: number }>;

/** The text without its marks, and where each marked word stands in it. */
function unmarked(marked: string): Readonly<{ text: string; marks: readonly Mark[] }> {
  let text = '';
  const marks: Mark[] = [];
  for (const part of marked.split(/(‹[^›]*›)/)) {
    if (!part.startsWith('‹')) {
      text += part;
      continue;
    }
    const word = part.slice(1, -1);
    const lines = text.split('\n');
    marks.push({ word, line: lines.length, column: lines.at(-1)!.length + 1, at: text.length });
    text += word;
  }
  return { text, marks };
}

const { text: FINE, marks: MARKS } = unmarked(DAY);

function faultsOf(text: string): readonly string[] {
  const read = readScenario(text);
  return 'faults' in read ? faultLines(read.faults, 'day.yaml') : [];
}

function fine(text: string): Scenario {
  const read = readScenario(text);
  if ('faults' in read) throw new Error(faultLines(read.faults, 'day.yaml').join('\n'));
  return read.scenario;
}

describe('a typing mistake', () => {
  test('the day itself has none', () => {
    expect(faultsOf(FINE)).toEqual([]);
    expect(MARKS.length).toBeGreaterThan(30);
  });

  test('is told at its line and column, wherever it is, and nothing else is', () => {
    const word = fc.stringMatching(/^z[qxjv]{7,9}$/);
    fc.assert(
      fc.property(fc.constantFrom(...MARKS), word, fc.nat(5), (mark, wrong, comments) => {
        const head = '# a comment\n'.repeat(comments);
        const text = head + FINE.slice(0, mark.at) + wrong + FINE.slice(mark.at + mark.word.length);
        const read = readScenario(text);
        if (!('faults' in read)) throw new Error('not noticed');
        const places = read.faults.map(({ place }) => `${place.line}:${place.column}`);
        const own = read.faults.filter(({ text: what }) => what.includes(wrong));
        expect(own[0]!.place).toEqual({ line: mark.line + comments, column: mark.column });
        expect(new Set(places).size).toBe(places.length);
      }),
    );
  });

  test('with two letters swapped is told with the word that was meant', () => {
    const long = MARKS.filter(({ word }) => /^[a-zA-Z_ ]{4,}$/.test(word));
    fc.assert(
      fc.property(fc.constantFrom(...long), fc.nat(), (mark, at) => {
        const { word } = mark;
        const where = at % (word.length - 1);
        const [first, second] = [word[where]!, word[where + 1]!];
        fc.pre(first !== second && first !== ' ' && second !== ' ');
        const wrong = word.slice(0, where) + second + first + word.slice(where + 2);
        const text = FINE.slice(0, mark.at) + wrong + FINE.slice(mark.at + word.length);
        expect(faultsOf(text).join('\n')).toContain(`did you mean ${word}?`);
      }),
    );
  });

  test('of many all are told at once, in the order of the text', () => {
    const text = MARKS.toReversed().reduce(
      (sofar, { at, word }) => `${sofar.slice(0, at)}zqxzqxzq${sofar.slice(at + word.length)}`,
      FINE,
    );
    const read = readScenario(text);
    if (!('faults' in read)) throw new Error('not noticed');
    const lines = read.faults.map(({ place }) => place.line);
    expect(lines).toEqual(lines.toSorted((a, b) => a - b));
    // What stands below an unknown field is not looked at.
    expect(lines.length).toBeGreaterThan(3);
  });

  test('any text at all is read or refused, and never throws', () => {
    const scrap = fc.constantFrom(
      ...FINE.split(/(?<=[\s{}[\],:])/),
      '- ',
      '  ',
      '${',
      '}',
      '"',
      '\t',
    );
    fc.assert(
      fc.property(fc.array(scrap, { maxLength: 60 }), (scraps) => {
        for (const line of faultsOf(scraps.join(''))) {
          expect(line).toMatch(/^day\.yaml:\d+:\d+: ./);
          expect(line).not.toContain('\n');
        }
      }),
    );
    fc.assert(fc.property(fc.string(), (text) => void readScenario(text)));
  });
});

const STEPS = (steps: string) =>
  `scenario: x\nsite: { people: { wang: { tags: [till] }, li: } }\nsteps:\n${steps}`;

/** Steps with a § where the one fault of them is told. */
function oneFault(steps: string): Readonly<{ told: string }> {
  const whole = STEPS(steps);
  const before = whole.slice(0, whole.indexOf('§')).split('\n');
  const place = `${before.length}:${before.at(-1)!.length + 1}`;
  const lines = faultsOf(whole.replace('§', ''));
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain(`day.yaml:${place}: `);
  return { told: lines[0]! };
}

const PAY = '  - wang: { say: pay 5 yuan to Luckin Coffee';
describe('a reference', () => {
  test.each([
    ['  - wang: { look: "${§none}" }', 'is not the name of an earlier step'],
    [
      '  - wang: { look: "${§basket}" }\n  - till: { order: 5.00 }\n    as: basket',
      'basket is only named in line 6, after this',
    ],
    [
      `${PAY} }\n    as: lunch\n  - wang: { look: "\${§lunch}" }`,
      'lunch is a payment, and an order is needed here',
    ],
    ['  - wang: { look: §basket }', 'an order is named as ${basket}'],
    ['  - wang: { look: "§${basket" }', 'a reference begins here and has no }'],
    [
      '  - till: { order: 5.00 }\n    as: basket\n  - till: { order: 6.00 }\n    as: §basket',
      'basket is named already, in line 4',
    ],
    [
      '  - till: { order: 5.00 }\n    as: b\n  - wang: { look: "${b}" }\n' +
        '    expect: { told: "you paid ${b.§amuont}" }',
      'did you mean amount?',
    ],
  ])('%j is told at §: %s', (steps, says) => {
    expect(oneFault(steps).told).toContain(says);
  });
});

describe('an impossible expectation', () => {
  test.each([
    [`${PAY} }\n    expect: §paid`, 'nobody has confirmed'],
    [`${PAY}, confirm: }\n    expect: { refused: §in_progress }`, 'unconfirmed: in_progress'],
    [`${PAY}, confirm: }\n    expect: { refused: §timed_out }`, 'not sent: timed_out'],
    [`${PAY}, confirm: }\n    expect: { paid: §order_paid }`, 'paid has no reason'],
    [
      `${PAY}, confirm: }\n    as: a\n    expect: paid\n  - expect: { a: §refused }`,
      'a is expected to be paid in line 6',
    ],
    ['  - expect: { payments: { paid: §1 } }', 'only 0 were tried'],
    ['  - expect: { ledger: { luckin: §2000.01 } }', 'there is only 2000.00 yuan'],
    ['  - expect: { left: { wang: { perWeek: §5 } } }', 'has no perWeek'],
    ['  - expect: { left: { wang: { perDay: §500.01 } } }', 'more is never left'],
    [
      '  - wang: { say: pay 201 yuan to Luckin Coffee, confirm: }\n    expect: §paid',
      'is more than wang may pay at once (200.00 yuan)',
    ],
    [
      '  - wang: { say: pay 5 dollars to Luckin Coffee, confirm: }\n    expect: §paid',
      'under a mandate in CNY',
    ],
    ['  - wang: { say: balance, confirm: }\n    expect: §paid', 'asks for no payment'],
    ['  - wang: { §say: pay lots to Luckin Coffee }', 'no device understands this'],
    ['  - wang: { §say: pay 5 yuan to Nobody }', 'there is no “Nobody”, only Luckin Coffee'],
    ['  - li: { §tap: till }', 'li has no tag for till'],
    ['  - bridge: kill\n    expect: §paid', 'nothing comes of this step'],
    [`${PAY}, confirm: }\n    expect: { paid: , within: §0s }`, 'within more than nothing'],
  ])('%j is told at §: %s', (steps, says) => {
    expect(oneFault(steps).told).toContain(says);
  });

  test('what is meant to be misheard may be', () => {
    expect(
      faultsOf(STEPS('  - wang: { say: pay lots to Luckin Coffee }\n    expect: said')),
    ).toEqual([]);
  });
});

describe('a file', () => {
  test('without faults says who, when and what', () => {
    const { name, about, time, cast, steps } = fine(FINE);
    expect({ name, time }).toEqual({ name: 'A day with everything in it', time: 'virtual' });
    expect(about).toBe('Somebody buys coffee, and the line is cut.');
    // 11:55 in Shanghai.
    expect(cast.startMs).toBe(Date.UTC(2026, 5, 15, 3, 55));
    expect(cast.people.map(({ name: who, account, glasses }) => [who, account, glasses])).toEqual([
      ['wang', 500_00n, 'wang-glasses'],
      ['li', 1_000_00n, 'li-glasses'],
      ['mallory', 1_000_00n, undefined],
    ]);
    expect(cast.people[1]!.mandate).toMatchObject({ perPayment: '50', perDay: '100/5' });
    expect(cast.people[1]!.mandate.total).toBeUndefined();
    expect(steps.map(({ result }) => result?.name)).toEqual([
      ...[undefined, 'lunch', 'basket', 'line 22', 'line 24'],
      ...[undefined, undefined, 'line 30', undefined],
    ]);
    expect(steps[5]).toMatchObject({
      atMs: 35 * 60_000,
      lastsMs: 240_000,
      does: [{ does: 'trouble', trouble: 'lose', share: 0.3, of: ['till'] }],
    });
  });

  test('amounts keep their zeros and words stay words', () => {
    const { steps } = fine(STEPS('  - till: { order: { no: 20.10, 3 Tea: 9 } }'));
    expect(steps[0]!.does[0]).toMatchObject({
      lines: [
        { text: 'no', quantity: 1, total: 20_10n },
        { text: 'Tea', quantity: 3, total: 9_00n },
      ],
      currency: 'CNY',
    });
  });

  test('an order may be in another currency, and not in two', () => {
    const { steps } = fine(STEPS('  - till: { order: { Tea: 9.00 USD } }'));
    expect(steps[0]!.does[0]).toMatchObject({ currency: 'USD', lines: [{ total: 9_00n }] });
    const two = oneFault('  - till: { order: { Tea: 9.00 USD, Cake: §5.00 } }');
    expect(two.told).toContain('an order is in one currency, and this began in USD');
  });

  test('time goes on: a step back is told, the next day is said', () => {
    const back = '  - at: 12:00\n    wait: 1m\n  - at: 11:00\n    note: x';
    expect(faultsOf(STEPS(back))).toEqual([
      'day.yaml:6:9: 11:00 is before 12:00 of line 4: say “11:00 next day”?',
    ]);
    const next = fine(STEPS('  - at: 23:59\n  - at: 00:01 next day'));
    expect(next.steps.map(({ atMs }) => atMs)).toEqual([
      (14 * 60 + 59) * 60_000,
      (15 * 60 + 1) * 60_000,
    ]);
  });

  test.each([
    ['a: [1, 2\nb: 1', /^day\.yaml:\d+:\d+: no YAML: /],
    ['scenario: a\nscenario: b', /^day\.yaml:2:1: this name stands here twice/],
    ['a: &x 1\nb: *x', /aliases/],
    ['a: !!binary aaaa', /^day\.yaml:1:13: a tag \(!\) is not allowed here/],
    ['just a text', /^day\.yaml:1:1: a scenario is written as fields/],
    ['', /^day\.yaml:1:1: a scenario is written as fields/],
    [`a: ${'['.repeat(SCENARIO_DEPTH_MAX + 2)}`, /day\.yaml:\d+:\d+: /],
    [
      `a: ${'['.repeat(SCENARIO_DEPTH_MAX + 2)}${']'.repeat(SCENARIO_DEPTH_MAX + 2)}`,
      /nested more/,
    ],
    // As many names as fit: whoever compares each with each needs a minute.
    [`{${Array.from({ length: 30_000 }, (_, n) => n.toString(36)).join()}}`, /scenario: is miss/],
    ['['.repeat(50_000), /^day\.yaml:\d+:\d+: /],
    [`a: ${'x'.repeat(SCENARIO_BYTES_MAX)}`, /^day\.yaml:1:1: longer than/],
    ['scenario: a\nsteps:\n  - wang: confirm\n---\nb: 1', /day\.yaml:4:1: a second document/],
  ])('that is none is told: %.30j', (text, says) => {
    expect(faultsOf(text).join('\n')).toMatch(says);
  });

  test('is refused with the exit code of a configuration', () => {
    const refused = () => requireScenario('scenario: x', 'day.yaml');
    expect(refused).toThrow(OperatorError);
    expect(refused).toThrow('day.yaml:1:1: steps: is missing');
    try {
      refused();
    } catch (error) {
      expect((error as OperatorError).exit).toBe(3);
    }
  });
});

describe('a site', () => {
  test.each([
    ['people: { wang: { mandate: { perPayment: §50x } } }', 'perPayment is not an amount in CNY'],
    ['people: { wang: { mandate: { perDay: §500/x } } }', 'perDay is as 500.00 or 500.00/20'],
    ['people: { wang: { mandate: { payee: §luckni } } }', 'did you mean luckin?'],
    ['people: { wang: { mandate: { days: §0 } } }', 'no number of days'],
    ['people: { wang: { account: §5.001 } }', 'not an amount in CNY'],
    ['people: { wang: { pin: §12 } }', 'a PIN is 4 to 12 digits'],
    ['people: { wang: { tags: [§tlil] } }', 'did you mean till?'],
    ['people: { wang: , §bridge: }', 'bridge has a meaning of its own'],
    ['people: { wang: }\n  agents: { §wang: }', 'wang is named already, in line 3'],
    ['people: [wang, li]\n  agents: [§butler]', 'of is missing: whose money is it?'],
    ['shops: [a, b]\n  kiosks: { till: { shop: §c } }', 'is not a shop'],
    ['shops: { a: { category: §58 } }', 'four digits, as 5814'],
    ['currency: §RMX', 'is not an ISO 4217 currency in use'],
    ['zone: §Asia/Peking', 'no time zone known here'],
    ['policy: { 20: §P9 }', 'is not a presence'],
    ['policy: { §ten: P1 }', 'is no amount'],
    ['offline: { storedCount: §many }', 'is no whole number'],
    ['offline: { perPayment: §5x }', 'an amount in CNY'],
    ['policy: §{ 20: P2, 10: P1 }', 'ladder'],
  ])('%j is told at §: %s', (site, says) => {
    const whole = (text: string) => `scenario: x\nsite:\n  ${text}\nsteps: [{ wait: 1s }]`;
    const before = whole(site.slice(0, site.indexOf('§')))
      .split('\n')
      .slice(0, -1);
    const place = `${before.length}:${before.at(-1)!.length + 1}`;
    const lines = faultsOf(whole(site.replace('§', '')));
    expect(lines.map((line) => line.split(' ')[0])).toEqual([`day.yaml:${place}:`]);
    expect(lines[0]).toContain(says);
  });
});

describe('the shipped scenarios', () => {
  const folder = join(import.meta.dirname, '../../simulator/scenarios');
  test.each(readdirSync(folder))('%s holds', (name) => {
    expect(faultsOf(readFileSync(join(folder, name), 'utf8'))).toEqual([]);
  });
});
