// Times as people write them.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  localText,
  timeOf,
  wallOf,
  whileOf,
  whileText,
} from '../../../simulator/scenario/moment.ts';

describe('a date and time in a zone', () => {
  test.each([
    ['2026-06-15 11:55', 'Asia/Shanghai', '2026-06-15T03:55:00Z'],
    ['2026-01-15 11:55:07', 'America/New_York', '2026-01-15T16:55:07Z'],
    ['2026-07-15 11:55', 'America/New_York', '2026-07-15T15:55:00Z'],
    ['2026-03-29 01:59', 'Europe/Berlin', '2026-03-29T00:59:00Z'],
    ['2026-03-29 03:00', 'Europe/Berlin', '2026-03-29T01:00:00Z'],
    ['2024-02-29 00:00', 'UTC', '2024-02-29T00:00:00Z'],
  ])('%s in %s is %s', (text, zone, utc) => {
    expect(wallOf(text, zone)?.ms).toBe(Date.parse(utc));
  });

  test.each([
    ['2026-02-30 10:00', 'UTC'],
    ['2026-03-29 02:30', 'Europe/Berlin'], // the hour that does not exist
    ['2026-06-15', 'UTC'],
    ['2026-06-15 24:00', 'UTC'],
    ['2026-06-15 11:55', 'Asia/Peking'],
  ])('%s in %s does not exist', (text, zone) => {
    expect(wallOf(text, zone)).toBeUndefined();
  });

  test('is read back as it is written', () => {
    const zones = ['Asia/Shanghai', 'Europe/Berlin', 'America/New_York', 'UTC', 'Asia/Kathmandu'];
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 4_000_000_000 }),
        fc.constantFrom(...zones),
        (seconds, zone) => {
          const text = localText(seconds * 1000, zone);
          // In the hour that comes twice either is meant.
          const read = wallOf(text, zone)!.ms;
          expect([0, 3_600_000, -3_600_000]).toContain(read - seconds * 1000);
          expect(localText(read, zone)).toBe(text);
        },
      ),
    );
  });
});

test('a while', () => {
  expect(whileOf('30s')).toBe(30_000);
  expect(whileOf('1h30m')).toBe(5_400_000);
  expect(whileOf('500ms')).toBe(500);
  expect(whileOf('2d')).toBe(172_800_000);
  for (const wrong of ['', '30', 's', '3 s', '-1s', '1.5h', '1y']) {
    expect(whileOf(wrong)).toBeUndefined();
  }
  expect(whileText(90_000)).toBe('1 min 30 s');
  expect(whileText(500)).toBe('500 ms');
  expect(whileText(86_400_000)).toBe('1 d');
});

test('a time of day', () => {
  expect(timeOf('12:30')).toBe(45_000_000);
  expect(timeOf('9:05:07')).toBe(32_707_000);
  for (const wrong of ['24:00', '12:60', '12', '12:5', '']) expect(timeOf(wrong)).toBeUndefined();
});
