/** Times as a scenario writes them: a moment of the day, a while, a date with its time. */

/** A wall clock's reading in a zone, in true ms since 1970. */
export type Wall = Readonly<{ ms: number }>;

/** "2026-06-15 11:55" (or with seconds) in a zone; undefined for what is none, or never was. */
export function wallOf(text: string, zone: string): Wall | undefined {
  const found = /^(\d{4})-(\d{2})-(\d{2}) (\d{2}):(\d{2})(?::(\d{2}))?$/.exec(text);
  if (!found) return undefined;
  const [year, month, day, hour, minute, second] = found.slice(1).map((part) => Number(part ?? 0));
  const plain = Date.UTC(year!, month! - 1, day!, hour!, minute!, second!);
  // Twice, because the first guess may lie on the other side of a change of the zone's offset.
  const guess = offsetAt(plain, zone);
  const offset = guess === undefined ? undefined : offsetAt(plain - guess, zone);
  if (offset === undefined) return undefined;
  const ms = plain - offset;
  return localText(ms, zone) === text.padEnd(19, ':00') ? { ms } : undefined;
}

/** "2026-06-15 11:55:00" in a zone. */
export function localText(ms: number, zone: string): string {
  const parts = new Map(
    formatOf(zone)!
      .formatToParts(ms)
      .map(({ type, value }) => [type, value]),
  );
  const get = (type: Intl.DateTimeFormatPartTypes) => parts.get(type)!;
  const date = `${get('year')}-${get('month')}-${get('day')}`;
  return `${date} ${get('hour')}:${get('minute')}:${get('second')}`;
}

/**
 * Ms of a while: "30s", "4m", "2h", "1d", "500ms", or several, "1h30m". Undefined for what is none.
 */
export function whileOf(text: string): number | undefined {
  if (!/^(?:\d{1,6}(?:ms|s|m|h|d))+$/.test(text)) return undefined;
  const parts = [...text.matchAll(/(\d+)(ms|s|m|h|d)/g)];
  return parts.reduce((sum, [, count, unit]) => sum + Number(count) * UNITS[unit as Unit], 0);
}

/** "12:30" or "12:30:05" as ms since midnight; undefined for what is no time of day. */
export function timeOf(text: string): number | undefined {
  const found = /^([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?$/.exec(text);
  if (!found) return undefined;
  const [hour, minute, second] = found.slice(1).map((part) => Number(part ?? 0));
  return ((hour! * 60 + minute!) * 60 + second!) * 1000;
}

/** A while for people: 90 s is "1 min 30 s". */
export function whileText(ms: number): string {
  if (ms < 1000) return `${ms} ms`;
  const names = [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['min', 60_000],
    ['s', 1000],
  ] as const;
  let left = ms;
  const parts = names.flatMap(([name, size]) => {
    const count = Math.floor(left / size);
    left -= count * size;
    return count === 0 ? [] : [`${count} ${name}`];
  });
  return parts.slice(0, 2).join(' ');
}

const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
type Unit = keyof typeof UNITS;

/** How far a zone is ahead of UTC at a moment, ms; undefined for an unknown zone. */
function offsetAt(ms: number, zone: string): number | undefined {
  if (!formatOf(zone)) return undefined;
  return Date.parse(`${localText(ms, zone).replace(' ', 'T')}Z`) - Math.floor(ms / 1000) * 1000;
}

function formatOf(zone: string): Intl.DateTimeFormat | undefined {
  try {
    return new Intl.DateTimeFormat('en-US', {
      ...{ timeZone: zone, calendar: 'gregory', numberingSystem: 'latn', hourCycle: 'h23' },
      ...{ year: 'numeric', month: '2-digit', day: '2-digit' },
      ...{ hour: '2-digit', minute: '2-digit', second: '2-digit' },
    });
  } catch {
    return undefined;
  }
}
