// docs/scenarios.md lists every verb, and every example of it is one that is understood.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readScenario } from '../../../simulator/scenario.ts';
import { ACTS } from '../../../simulator/scenario/act.ts';
import { OUTCOMES } from '../../../simulator/scenario/expectation.ts';

const PAGE = readFileSync(join(import.meta.dirname, '../../../docs/scenarios.md'), 'utf8');
const verbs = Object.entries(ACTS).flatMap(([who, own]) =>
  Object.entries(own).map(([name, verb]) => ({ who, name, verb })),
);

test('the page has a row for each verb, and no other', () => {
  const tables = PAGE.slice(PAGE.indexOf('## All verbs'));
  const rows = tables
    .split('\n')
    .filter((line) => /^\| `/.test(line))
    .map((line) => line.replaceAll(/\s+/g, ' '));
  expect(rows).toEqual(
    verbs.map(({ name, verb }) => `| \`${name}\` | ${verb.says} | \`${verb.example}\` |`),
  );
  for (const who of Object.keys(ACTS)) expect(tables).toContain(`### ${who}`);
});

test('every outcome stands on the page', () => {
  for (const outcome of Object.values(OUTCOMES).flat()) {
    if (outcome !== 'made') expect(PAGE).toContain(`\`${outcome}\``);
  }
});

describe('every example is understood', () => {
  const BEFORE = `scenario: x
site:
  people: { wang: { pin: 4711, tags: [till] }, mallory: { glasses: no } }
  agents: { butler: { of: wang } }
steps:
  - till: { order: 5.00 }
    as: basket
  - bridge: backup
    as: last-night
`;
  test.each(verbs.map(({ name, verb }) => [name, verb.example] as const))(
    '%s: %s',
    (_, example) => {
      const read = readScenario(`${BEFORE}  - ${example}\n`);
      expect('faults' in read ? read.faults : []).toEqual([]);
    },
  );

  test('and so is the first one of the page', () => {
    const [, yaml = ''] = /```yaml\n([^]*?)```/.exec(PAGE) ?? [];
    const read = readScenario(yaml);
    expect('faults' in read ? read.faults : []).toEqual([]);
  });
});
