/**
 * Which window a payment falls into: pure, and decided once, at the bridge's time of admission.
 *
 * A calendar window's row is labelled with the local date in the mandate's own zone, so a refusal
 * at 23:59:59 stays that refusal at 00:00:01 and a night of 23 or 25 hours is one day.
 */
import { PaymentError } from '../src/errors.ts';
import { ZONES_KEPT_MAX } from '../src/limits.ts';
import type { Period, Window } from '../src/objects/mandate.ts';

/**
 * Where usage of a window is counted: a row by label, or (rolling) everything since a moment.
 */
export type Slot =
  Readonly<{ kind: 'label'; label: string }> | Readonly<{ kind: 'since'; sinceMs: number }>;

/** The slot of `window` at `nowMs`. Throws `malformed` for a zone that this machine lacks. */
export function slotOf(window: Window, nowMs: number): Slot {
  switch (window.kind) {
    case 'total':
      return { kind: 'label', label: 'total' };
    case 'calendar':
      return { kind: 'label', label: calendarLabel(window.period, window.zone, nowMs) };
    case 'rolling':
      return { kind: 'since', sinceMs: nowMs - window.seconds * 1000 };
  }
}

/** Throws `malformed` unless every calendar window of the list names a zone that is known here. */
export function requireZones(windows: readonly Window[]): void {
  for (const window of windows) if (window.kind === 'calendar') localDate(window.zone, 0);
}

function calendarLabel(period: Period, zone: string, nowMs: number): string {
  const { year, month, day } = localDate(zone, nowMs);
  switch (period) {
    case 'day':
      return `${year}-${two(month)}-${two(day)}`;
    case 'week':
      return mondayOf(year, month, day);
    case 'month':
      return `${year}-${two(month)}`;
    case 'quarter':
      return `${year}-Q${Math.ceil(month / 3)}`;
    case 'year':
      return `${year}`;
  }
}

type LocalDate = Readonly<{ year: number; month: number; day: number }>;

/** A zone's formatter, and the last second that it was asked for. */
type Zone = { readonly format: Intl.DateTimeFormat; second: number; date: LocalDate };

const zones = new Map<string, Zone>();

/**
 * The calendar date in a zone. Building a formatter costs 50 µs and asking it 4, so both are kept:
 * under load many payments ask within one second, and no zone changes its date within one.
 */
function localDate(zone: string, nowMs: number): LocalDate {
  const second = Math.floor(nowMs / 1000);
  const known = zones.get(zone);
  if (known?.second === second) return known.date;
  const format = known?.format ?? formatOf(zone);
  const parts = new Map(format.formatToParts(nowMs).map(({ type, value }) => [type, value]));
  const date = {
    year: Number(parts.get('year')),
    month: Number(parts.get('month')),
    day: Number(parts.get('day')),
  };
  if (known) Object.assign(known, { second, date });
  else {
    if (zones.size >= ZONES_KEPT_MAX) zones.clear();
    zones.set(zone, { format, second, date });
  }
  return date;
}

function formatOf(zone: string): Intl.DateTimeFormat {
  try {
    return new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      calendar: 'gregory',
      numberingSystem: 'latn',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
    });
  } catch (cause) {
    throw new PaymentError('malformed', `time zone ${zone} is not known here`, { cause });
  }
}

/** ISO 8601 weeks begin on Monday; its date names the week. */
function mondayOf(year: number, month: number, day: number): string {
  const noon = new Date(Date.UTC(year, month - 1, day, 12));
  noon.setUTCDate(noon.getUTCDate() - ((noon.getUTCDay() + 6) % 7));
  return `W${noon.toISOString().slice(0, 10)}`;
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}
