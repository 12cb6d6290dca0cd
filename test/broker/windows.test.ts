/**
 * Windows: which day, week, month, quarter or year a moment belongs to, to the millisecond.
 *
 * Method: one row per moment, given in UTC, with the label that a person in the zone would read off
 * a calendar on the wall.
 */
import { describe, expect, test } from 'vitest';
import { requireZones, slotOf } from '../../broker/windows.ts';
import type { Period } from '../../src/objects/mandate.ts';

const labels: readonly (readonly [Period, string, string, string, string])[] = [
  ['day', 'Asia/Shanghai', '2026-10-14T15:59:59.999Z', '2026-10-14', 'the last ms of a day'],
  ['day', 'Asia/Shanghai', '2026-10-14T16:00:00.000Z', '2026-10-15', 'midnight in Shanghai'],
  ['day', 'UTC', '2026-10-14T16:00:00.000Z', '2026-10-14', 'the same moment in UTC'],
  ['day', 'Asia/Kathmandu', '2026-10-14T18:14:59.999Z', '2026-10-14', 'a zone of 5 h 45 min'],
  ['day', 'Asia/Kathmandu', '2026-10-14T18:15:00.000Z', '2026-10-15', 'its midnight'],
  ['day', 'Pacific/Kiritimati', '2026-12-31T10:00:00.000Z', '2027-01-01', 'UTC+14: next year'],
  ['day', 'Pacific/Niue', '2027-01-01T10:59:59.999Z', '2026-12-31', 'UTC−11: still last year'],

  // Clocks go forward on 2026-03-29 at 02:00 (23 hours) and back on 2026-10-25 at 03:00 (25).
  ['day', 'Europe/Berlin', '2026-03-28T22:59:59.999Z', '2026-03-28', 'before the night of 23 h'],
  ['day', 'Europe/Berlin', '2026-03-28T23:00:00.000Z', '2026-03-29', 'that day begins in winter'],
  ['day', 'Europe/Berlin', '2026-03-29T21:59:59.999Z', '2026-03-29', 'and ends in summer'],
  ['day', 'Europe/Berlin', '2026-03-29T22:00:00.000Z', '2026-03-30', '23 hours later'],
  ['day', 'Europe/Berlin', '2026-10-24T22:00:00.000Z', '2026-10-25', 'the day of 25 h begins'],
  ['day', 'Europe/Berlin', '2026-10-25T00:30:00.000Z', '2026-10-25', '02:30 for the first time'],
  ['day', 'Europe/Berlin', '2026-10-25T01:30:00.000Z', '2026-10-25', '02:30 again: one day'],
  ['day', 'Europe/Berlin', '2026-10-25T22:59:59.999Z', '2026-10-25', 'its 25th hour'],
  ['day', 'Europe/Berlin', '2026-10-25T23:00:00.000Z', '2026-10-26', 'the next day'],

  ['day', 'UTC', '2028-02-29T12:00:00.000Z', '2028-02-29', '29 February'],
  ['day', 'UTC', '2027-02-28T23:59:59.999Z', '2027-02-28', 'no 29 February'],
  ['day', 'UTC', '2027-03-01T00:00:00.000Z', '2027-03-01', 'the day after it'],
  ['month', 'UTC', '2028-02-29T23:59:59.999Z', '2028-02', '29 February is February'],
  ['month', 'Asia/Shanghai', '2026-10-31T15:59:59.999Z', '2026-10', 'the end of a month'],
  ['month', 'Asia/Shanghai', '2026-10-31T16:00:00.000Z', '2026-11', 'the next month'],

  // ISO 8601: weeks begin on Monday; 2026-W53 runs from 2026-12-28 to 2027-01-03.
  ['week', 'UTC', '2026-12-27T23:59:59.999Z', 'W2026-12-21', 'a Sunday ends its week'],
  ['week', 'UTC', '2026-12-28T00:00:00.000Z', 'W2026-12-28', 'a Monday begins one'],
  ['week', 'UTC', '2027-01-01T12:00:00.000Z', 'W2026-12-28', 'the same week in the new year'],
  ['week', 'UTC', '2027-01-03T23:59:59.999Z', 'W2026-12-28', 'until its Sunday'],
  ['week', 'UTC', '2027-01-04T00:00:00.000Z', 'W2027-01-04', 'the first week of 2027'],
  ['week', 'UTC', '2028-03-01T12:00:00.000Z', 'W2028-02-28', 'a week over 29 February'],
  ['week', 'Asia/Shanghai', '2026-10-18T16:00:00.000Z', 'W2026-10-19', 'Monday in Shanghai'],
  ['week', 'UTC', '2026-10-18T16:00:00.000Z', 'W2026-10-12', 'still Sunday in UTC'],

  ['quarter', 'UTC', '2026-03-31T23:59:59.999Z', '2026-Q1', 'the end of Q1'],
  ['quarter', 'UTC', '2026-04-01T00:00:00.000Z', '2026-Q2', 'the start of Q2'],
  ['quarter', 'UTC', '2026-09-30T12:00:00.000Z', '2026-Q3', 'Q3'],
  ['quarter', 'UTC', '2026-12-31T23:59:59.999Z', '2026-Q4', 'the end of Q4'],
  ['year', 'Asia/Shanghai', '2026-12-31T15:59:59.999Z', '2026', 'the end of a year'],
  ['year', 'Asia/Shanghai', '2026-12-31T16:00:00.000Z', '2027', 'the new year'],
];

test.each(labels)('%s in %s at %s is %s: %s', (period, zone, at, label) => {
  const window = { kind: 'calendar', period, zone, max: 1n, count: 1 } as const;
  expect(slotOf(window, Date.parse(at))).toEqual({ kind: 'label', label });
});

test('no two periods share a label, so one table can hold them all', () => {
  const nowMs = Date.UTC(2026, 0, 5);
  const found = (['day', 'week', 'month', 'quarter', 'year'] as const).map((period) =>
    slotOf({ kind: 'calendar', period, zone: 'UTC', max: 1n, count: 1 }, nowMs),
  );
  const texts = found.map((slot) => (slot.kind === 'label' ? slot.label : ''));
  expect(new Set(texts)).toEqual(
    new Set(['2026-01-05', 'W2026-01-05', '2026-01', '2026-Q1', '2026']),
  );
});

test('a total has one label for ever, and a rolling window looks back by its seconds', () => {
  const total = { kind: 'total', max: 1n, count: 1 } as const;
  const rolling = { kind: 'rolling', seconds: 90, max: 1n, count: 1 } as const;
  for (const nowMs of [1_000_000, Date.UTC(2030, 0)]) {
    expect(slotOf(total, nowMs)).toEqual({ kind: 'label', label: 'total' });
    expect(slotOf(rolling, nowMs)).toEqual({ kind: 'since', sinceMs: nowMs - 90_000 });
  }
});

describe('a zone that this machine does not know is malformed', () => {
  test.each(['Mars/Olympus', 'Europe/Berlin ', 'nowhere'])('%s', (zone) => {
    const window = { kind: 'calendar', period: 'day', zone, max: 1n, count: 1 } as const;
    const malformed = expect.objectContaining({ reason: 'malformed' }) as Error;
    expect(() => slotOf(window, 0)).toThrow(malformed);
    expect(() => requireZones([{ kind: 'total', max: 1n, count: 1 }, window])).toThrow(malformed);
  });

  test('and known ones pass', () => {
    const window = { kind: 'calendar', period: 'day', zone: 'Asia/Shanghai' } as const;
    expect(() => requireZones([{ ...window, max: 1n, count: 1 }])).not.toThrow();
  });
});
