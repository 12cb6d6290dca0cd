/**
 * What programs log while they are under load: each event once, with how often it came.
 *
 * A bridge whose risk service is late says so for each payment, thousands of times a minute; shown
 * line by line that would hide the screen and be the load.
 */

/** Different events that are kept; a program has some dozens of them. */
const EVENTS_MAX = 100;

export type Logged = Readonly<{
  /** Takes a line of a program's log: JSON with an event, or anything else. */
  add: (program: string, line: string) => void;
  /** The most frequent first. */
  counts: () => readonly (readonly [event: string, count: number])[];
}>;

export function createLogged(): Logged {
  const counts = new Map<string, number>();
  return {
    add(program, line) {
      const event = `${program}: ${eventIn(line)}`;
      const known = counts.has(event) || counts.size < EVENTS_MAX ? event : `${program}: other`;
      counts.set(known, (counts.get(known) ?? 0) + 1);
    },
    counts: () => [...counts].sort(([, a], [, b]) => b - a),
  };
}

function eventIn(line: string): string {
  try {
    const { event } = JSON.parse(line) as { event?: unknown };
    if (typeof event === 'string') return event;
  } catch {
    // A program that breaks down writes plain text.
  }
  return line.slice(0, 120);
}
