/**
 * Windows: which day, week, month, quarter or year a moment belongs to, to the millisecond.
 *
 * Method: one row per moment, given in UTC, with the label that a person in the zone would read off
 * a calendar on the wall. Then every change of label at its very millisecond: the last one before
 * and the first one after.
 */
import fc from 'fast-check';
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

/** Each row: zone, period, the first ms of the next label (UTC), label before, label after, why. */
const borders: readonly (readonly [string, Period, string, string, string, string])[] = [
  // Forward on 2026-03-29: 02:00 CET becomes 03:00 CEST. Back on 2026-10-25: 03:00 becomes 02:00.
  ['Europe/Berlin', 'day', '2026-03-28T23:00Z', '2026-03-28', '2026-03-29', 'into the short day'],
  ['Europe/Berlin', 'day', '2026-03-29T22:00Z', '2026-03-29', '2026-03-30', 'out of it, 23 h on'],
  ['Europe/Berlin', 'day', '2026-10-24T22:00Z', '2026-10-24', '2026-10-25', 'into the long day'],
  ['Europe/Berlin', 'day', '2026-10-25T23:00Z', '2026-10-25', '2026-10-26', 'out of it, 25 h on'],
  ['Europe/Berlin', 'week', '2026-03-29T22:00Z', 'W2026-03-23', 'W2026-03-30', 'Monday in summer'],
  ['Europe/Berlin', 'week', '2026-10-25T23:00Z', 'W2026-10-19', 'W2026-10-26', 'Monday in winter'],
  ['Europe/Berlin', 'month', '2026-03-31T22:00Z', '2026-03', '2026-04', 'a month begins in summer'],
  ['Europe/Berlin', 'quarter', '2026-12-31T23:00Z', '2026-Q4', '2027-Q1', 'a quarter in winter'],
  ['Europe/Berlin', 'quarter', '2026-06-30T22:00Z', '2026-Q2', '2026-Q3', 'a quarter in summer'],

  ['Asia/Shanghai', 'day', '2026-10-14T16:00Z', '2026-10-14', '2026-10-15', 'midnight'],
  ['Asia/Shanghai', 'week', '2026-10-18T16:00Z', 'W2026-10-12', 'W2026-10-19', 'Sunday to Monday'],
  ['Asia/Shanghai', 'month', '2026-01-31T16:00Z', '2026-01', '2026-02', '31 January'],
  ['Asia/Shanghai', 'month', '2026-02-28T16:00Z', '2026-02', '2026-03', '28 February'],
  ['Asia/Shanghai', 'month', '2028-02-29T16:00Z', '2028-02', '2028-03', '29 February'],
  ['Asia/Shanghai', 'day', '2028-02-28T16:00Z', '2028-02-28', '2028-02-29', 'the day before it'],
  ['Asia/Shanghai', 'quarter', '2026-03-31T16:00Z', '2026-Q1', '2026-Q2', 'the first quarter'],
  ['Asia/Shanghai', 'quarter', '2026-09-30T16:00Z', '2026-Q3', '2026-Q4', 'the third quarter'],
  ['Asia/Shanghai', 'year', '2026-12-31T16:00Z', '2026', '2027', 'New Year'],
  // 2026 has 53 ISO weeks: its last one belongs to Monday 28 December, New Year does not cut it.
  ['Asia/Shanghai', 'week', '2026-12-27T16:00Z', 'W2026-12-21', 'W2026-12-28', 'into week 53'],
  ['Asia/Shanghai', 'week', '2027-01-03T16:00Z', 'W2026-12-28', 'W2027-01-04', 'out of week 53'],
  // Monday 30 December 2024 begins week 1 of 2025.
  ['UTC', 'week', '2024-12-30T00:00Z', 'W2024-12-23', 'W2024-12-30', 'a week of two years'],
  // China had summer time in 1986: its midnight was an hour earlier in UTC.
  ['Asia/Shanghai', 'day', '1986-07-01T15:00Z', '1986-07-01', '1986-07-02', 'summer time of 1986'],

  // Half an hour forward on 2026-10-04 (UTC+10:30 to +11) and back on 2026-04-05.
  ['Australia/Lord_Howe', 'day', '2026-10-03T13:30Z', '2026-10-03', '2026-10-04', 'into 23.5 h'],
  ['Australia/Lord_Howe', 'day', '2026-10-04T13:00Z', '2026-10-04', '2026-10-05', 'out of them'],
  ['Australia/Lord_Howe', 'day', '2026-04-04T13:00Z', '2026-04-04', '2026-04-05', 'into 24.5 h'],
  ['Australia/Lord_Howe', 'day', '2026-04-05T13:30Z', '2026-04-05', '2026-04-06', 'out of them'],

  // Samoa went over the date line: Thursday 29 December was followed by Saturday the 31st.
  ['Pacific/Apia', 'day', '2011-12-30T10:00Z', '2011-12-29', '2011-12-31', 'no 30 December'],
  ['Pacific/Apia', 'day', '2011-12-31T10:00Z', '2011-12-31', '2012-01-01', 'a day later'],
  ['Pacific/Apia', 'year', '2011-12-31T10:00Z', '2011', '2012', 'one New Year, not two'],
  ['Pacific/Apia', 'week', '2012-01-01T10:00Z', 'W2011-12-26', 'W2012-01-02', 'a week of six days'],

  // Clocks change at midnight itself: 00:00 does not exist, and the day begins at 01:00.
  ['America/Havana', 'day', '2026-03-08T05:00Z', '2026-03-07', '2026-03-08', 'a day without 00:00'],
  // At 01:00 clocks go back to 00:00: the day began already and does not begin again.
  ['America/Havana', 'day', '2026-11-01T04:00Z', '2026-10-31', '2026-11-01', '00:00, first time'],
];

test.each(borders)('%s, per %s: at %s %s becomes %s (%s)', (zone, period, at, before, after) => {
  const window = { kind: 'calendar', period, zone, max: 1n, count: 1 } as const;
  const first = Date.parse(at);
  expect(slotOf(window, first - 1)).toEqual({ kind: 'label', label: before });
  expect(slotOf(window, first)).toEqual({ kind: 'label', label: after });
});

test('00:00 comes twice in Havana, and is one day', () => {
  const window = { kind: 'calendar', period: 'day', zone: 'America/Havana' } as const;
  for (const at of ['2026-11-01T04:30Z', '2026-11-01T05:00Z', '2026-11-01T05:30Z']) {
    const found = slotOf({ ...window, max: 1n, count: 1 }, Date.parse(at));
    expect(found).toEqual({ kind: 'label', label: '2026-11-01' });
  }
});

describe('properties of every calendar window', () => {
  const ZONES = [
    ...['UTC', 'Europe/Berlin', 'Asia/Shanghai', 'Australia/Lord_Howe', 'Pacific/Apia'],
    ...['America/New_York', 'Asia/Kathmandu', 'Pacific/Chatham', 'America/St_Johns'],
    ...['America/Havana', 'Africa/Casablanca'],
  ];
  const PERIODS: readonly Period[] = ['day', 'week', 'month', 'quarter', 'year'];
  const FROM_MS = Date.UTC(2000, 0, 1);
  const UNTIL_MS = Date.UTC(2040, 0, 1);
  const instant = fc.integer({ min: FROM_MS, max: UNTIL_MS });
  const label = (period: Period, zone: string, nowMs: number): string => {
    const slot = slotOf({ kind: 'calendar', period, zone, max: 1n, count: 1 }, nowMs);
    return slot.kind === 'label' ? slot.label : '';
  };

  test('labels never go back, and one label is one unbroken stretch of time', () => {
    const sorted = fc.array(instant, { minLength: 3, maxLength: 3 });
    fc.assert(
      fc.property(
        fc.constantFrom(...ZONES),
        fc.constantFrom(...PERIODS),
        sorted,
        (zone, period, moments) => {
          const labels = moments.sort((a, b) => a - b).map((at) => label(period, zone, at));
          const [first, middle, last] = labels as [string, string, string];
          expect(first <= middle && middle <= last).toBe(true);
          // A label that ended never comes back: no instant counts in two rows, no row twice.
          if (first === last) expect(middle).toBe(first);
        },
      ),
      { numRuns: 400 },
    );
  });

  test('30 hours touch at most three days', () => {
    const near = fc.integer({ min: 0, max: 30 * 3_600_000 });
    fc.assert(
      fc.property(fc.constantFrom(...ZONES), instant, near, (zone, fromMs, spanMs) => {
        const found = new Set<string>();
        const steps = 60;
        for (let step = 0; step <= steps; step++) {
          found.add(label('day', zone, fromMs + Math.floor((spanMs * step) / steps)));
        }
        // The end of one, a whole one, the start of the next.
        expect(found.size).toBeLessThanOrEqual(3);
      }),
      { numRuns: 150 },
    );
  });

  test('the label is what a clock on the wall says, and a month holds its days', () => {
    fc.assert(
      fc.property(fc.constantFrom(...ZONES), instant, (zone, nowMs) => {
        const day = label('day', zone, nowMs);
        // Swedish writes dates as ISO 8601 does: another way to the same answer.
        expect(day).toBe(new Intl.DateTimeFormat('sv-SE', { timeZone: zone }).format(nowMs));
        expect(label('month', zone, nowMs)).toBe(day.slice(0, 7));
        expect(label('year', zone, nowMs)).toBe(day.slice(0, 4));
        expect(label('quarter', zone, nowMs)).toBe(
          `${day.slice(0, 4)}-Q${Math.ceil(Number(day.slice(5, 7)) / 3)}`,
        );
        const monday = label('week', zone, nowMs).slice(1);
        const daysIn = (Date.parse(day) - Date.parse(monday)) / 86_400_000;
        expect(new Date(monday).getUTCDay()).toBe(1);
        expect(daysIn >= 0 && daysIn < 7).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  test('a day in Berlin has 24 hours, but 23 in March and 25 in October', () => {
    const hours = new Map<string, number>();
    for (let at = Date.UTC(2025, 11, 31, 23); at < Date.UTC(2027, 11, 31, 23); at += 3_600_000) {
      const day = label('day', 'Europe/Berlin', at);
      hours.set(day, (hours.get(day) ?? 0) + 1);
    }
    expect(hours.size).toBe(730);
    const odd = [...hours].filter(([, count]) => count !== 24);
    expect(odd).toEqual([
      ['2026-03-29', 23],
      ['2026-10-25', 25],
      ['2027-03-28', 23],
      ['2027-10-31', 25],
    ]);
  });
});

test('a rolling window forgets a payment at its very millisecond', () => {
  const rolling = { kind: 'rolling', seconds: 3_600, max: 1n, count: 1 } as const;
  fc.assert(
    fc.property(fc.integer({ min: 0, max: Date.UTC(2040, 0) }), (nowMs) => {
      expect(slotOf(rolling, nowMs)).toEqual({ kind: 'since', sinceMs: nowMs - 3_600_000 });
    }),
  );
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
