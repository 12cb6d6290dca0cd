/**
 * Storms find what is planted: without SAYTAP_FULL a few of the twelve within a few seeds, with it
 * each of them within a thousand. The page lists what `npm run planted` found.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { SEEDS_MAX, hunt, withTable } from './planted.ts';
import { TWELVE } from './plantings.ts';

const isFull = process.env['SAYTAP_FULL'] !== undefined;
const NAMES = Object.keys(TWELVE) as (keyof typeof TWELVE)[];

/** Those that nearly every seed meets, and what they break. */
const SOON: Readonly<Partial<Record<keyof typeof TWELVE, readonly string[]>>> = {
  'counter in memory': ['counter'],
  'outbox delete on PUBACK': ['I7', 'told', 'confirmed'],
  'retry as a new request': ['confirmed'],
};

test.each(isFull ? NAMES : (Object.keys(SOON) as typeof NAMES))(
  '%s is found',
  async (name) => {
    const found = await hunt(name, { from: 1, to: isFull ? SEEDS_MAX : 20 });
    expect(found, 'not found').toBeDefined();
    const expected = SOON[name];
    if (expected) expect(expected).toContain(found!.violation.invariant);
  },
  isFull ? 7_200_000 : 300_000,
);

test('the page lists all twelve, with a seed of the first thousand and what it broke', () => {
  const page = readFileSync(join(import.meta.dirname, '..', 'docs', 'storms.md'), 'utf8');
  const rows = page.split('\n').flatMap((line) => {
    const [, name, what, seed, invariant] = line.split('|').map((cell) => cell.trim());
    return name !== undefined && name in TWELVE ? [{ name, what, seed, invariant }] : [];
  });
  expect(rows.map(({ name }) => name)).toEqual(NAMES);
  for (const { name, what, seed, invariant } of rows) {
    expect(what).toBe(TWELVE[name as keyof typeof TWELVE].what);
    expect(Number(seed)).toBeGreaterThan(0);
    expect(Number(seed)).toBeLessThanOrEqual(SEEDS_MAX);
    expect(invariant).toMatch(/^(I[1-7]|balance|counter|confirmed|told|crash|liveness)$/);
    expect(page).toContain(`**${name}**, seed ${seed}:`);
  }
});

test('what was found goes between its two marks, and nothing else changes', () => {
  const page = 'a\n<!-- planted -->\nold\n<!-- planted -->\nb\n';
  const fresh = 'a\n<!-- planted -->\nnew\nrow\n<!-- planted -->\nb\n';
  expect(withTable(page, ['new', 'row'])).toBe(fresh);
  expect(() => withTable('nothing', [])).toThrow('no place');
});
