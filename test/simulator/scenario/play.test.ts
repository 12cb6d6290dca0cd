// Scenarios, played in virtual time: the shipped ones go as told, and what goes otherwise is told.
import { readFileSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { playText } from './worlds.ts';

const FOLDER = join(import.meta.dirname, '../../../simulator/scenarios');
const SHIPPED = readdirSync(FOLDER).map((name) => basename(name, '.yaml'));
const textOf = (name: string) => readFileSync(join(FOLDER, `${name}.yaml`), 'utf8');

describe('the shipped scenarios', () => {
  test('are a dozen and more', () => {
    expect(SHIPPED.length).toBeGreaterThanOrEqual(12);
  });

  test.each(SHIPPED)('%s goes as told', async (name) => {
    const { failures, crashes } = await playText(textOf(name));
    expect({ failures, crashes }).toEqual({ failures: [], crashes: [] });
  });

  test('are the same to the byte when they are played again', async () => {
    const [first, second, other] = await Promise.all([
      playText(textOf('one-order-two-people')),
      playText(textOf('one-order-two-people')),
      playText(textOf('one-order-two-people'), '2'),
    ]);
    expect(first.hash).toBe(second.hash);
    expect(first.hash).not.toBe(other.hash);
    expect(other.failures).toEqual([]);
  });
});

const day = (steps: string) =>
  `scenario: x\nsite: { people: { wang: { pin: 4711, tags: [till] }, li: } }\nsteps:\n${steps}`;
const PAY = '  - wang: { say: pay 12 yuan to Luckin Coffee, confirm: by voice }';

describe('what goes otherwise is told with its place', () => {
  test.each([
    [
      `${PAY}\n    expect: { refused: order_paid }`,
      { line: 5, column: 15 },
      'expected that line 4 is refused (order_paid), but line 4 is paid',
    ],
    [
      `${PAY}\n    as: lunch\n  - expect: { ledger: { wang: 989.00 } , within: 2s }`,
      { line: 6, column: 31 },
      'holds 989.00 yuan within 2 s, but it holds 988.00 yuan',
    ],
    [
      `${PAY}\n    expect: { told: declined, within: 1s }`,
      { line: 5, column: 21 },
      'but the last word was “Paid 12.00 yuan to Luckin Coffee.”',
    ],
    [
      '  - wang: { say: pay 300 yuan to Luckin Coffee, confirm: }',
      { line: 4, column: 5 },
      'nothing is asked of wang: line 4 is not sent (limit_per_payment)',
    ],
    [
      '  - wang-glasses: kill\n  - wang: { say: pay 12 yuan to Luckin Coffee }',
      { line: 5, column: 5 },
      'wang-glasses is dark',
    ],
    // What was said once is not heard twice.
    [
      `${PAY}\n    expect: { told: Paying }\n  - expect: { told: { wang: Paying }, within: 1s }`,
      { line: 6, column: 29 },
      'but the last word was “Paid',
    ],
    ['  - wang: { look: till }', { line: 4, column: 5 }, 'till shows no order'],
    ['  - li: confirm', { line: 4, column: 5 }, 'nothing was asked of li yet'],
    ['  - expect: { online: { till: no }, within: 1s }', { line: 4, column: 31 }, 'it is online'],
    [
      '  - expect: { receipts: { wang: 0 } }\n  - expect: { shown: { wang: x }, within: 1s }',
      { line: 5, column: 30 },
      'nothing was asked',
    ],
  ])('%j at %j: %s', async (steps, place, says) => {
    const { failures } = await playText(day(steps));
    expect(failures).toHaveLength(1);
    expect(failures[0]!.place).toEqual(place);
    expect(failures[0]!.text).toContain(says);
  });

  test('and ends the day there', async () => {
    const { told } = await playText(
      day(`${PAY}\n    expect: { refused: order_paid }\n  - wait: 1h`),
    );
    expect(told.join('\n')).not.toContain('1 h pass');
  });
});

describe('a day', () => {
  test('tells every step with the time of its clock and what was said', async () => {
    const lines = [
      '  - note: Lunch',
      '    at: 12:30',
      PAY.replace('  - ', '    '),
      '    as: a',
      '    expect: { paid: , told: "${a.amount} yuan" }',
    ];
    const { told } = await playText(day(lines.join('\n')));
    expect(told.slice(0, 2)).toEqual([
      'Lunch',
      '12:30:00 wang says “pay 12 yuan to Luckin Coffee”, confirms by voice',
    ]);
    expect(told).toContain('wang-glasses: Paid 12.00 yuan to Luckin Coffee.');
  });

  test('what is cut for a while is whole again after it', async () => {
    const steps = [
      '  - network: cut\n    for: 3m',
      '  - expect: { online: { wang: no }, within: 2m }',
      '  - expect: { online: { wang: yes }, within: 5m }',
    ];
    expect((await playText(day(steps.join('\n')))).failures).toEqual([]);
  });

  test('a payment that its device could not tell of is found in its outbox', async () => {
    const steps = [
      '  - wang: { say: pay 12 yuan to Luckin Coffee, confirm: by voice }\n    as: lunch',
      '  - wang-glasses: { power: cut }\n    for: 5s',
      '  - expect: { lunch: paid, within: 2m }',
      '  - expect: { payments: { paid: 1 }, left: { wang: { perDay: 488.00, total: 1988.00 } } }',
    ];
    expect((await playText(day(steps.join('\n')))).failures).toEqual([]);
  });
});

test('an expectation that does not come true ends, however little time is left', async () => {
  const say = '{ say: pay 8 yuan to Luckin Coffee, confirm: by voice }';
  const text = [
    'scenario: Never',
    'steps:',
    `  - wang: ${say}`,
    '    expect: paid',
    '  - network: { cut: [wang-glasses] }',
    '    for: 1m',
    `  - wang: ${say}`,
    '    expect: { paid: , within: 1m }',
  ].join('\n');
  // At the default seed 7.3e-12 ms were left, which time did not notice.
  for (const seed of ['1', '7']) {
    const { failures } = await playText(text, seed);
    expect(failures.map(({ place }) => place.line)).toEqual([8]);
  }
});
