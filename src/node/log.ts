/** The operator's log: one line per event, `time level event key=value`, on standard error. */
import type { Log } from '../platform.ts';

const LEVELS = { debug: 0, info: 1, warn: 2, error: 3 } as const;
export type LogLevel = keyof typeof LEVELS;

/** A log that keeps events of `level` and above. */
export function createLog(level: LogLevel): Log {
  return (eventLevel, event, fields = {}) => {
    if (LEVELS[eventLevel] < LEVELS[level]) return;
    const pairs = Object.entries(fields).map(
      ([name, value]) => ` ${name}=${quoted(String(value))}`,
    );
    process.stderr.write(
      `${new Date().toISOString()} ${eventLevel.padEnd(5)} ${event}${pairs.join('')}\n`,
    );
  };
}

/** What came from outside must not forge a second line. */
function quoted(value: string): string {
  return /^[\w.:/-]+$/.test(value) ? value : JSON.stringify(value);
}
