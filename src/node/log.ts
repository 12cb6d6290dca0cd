/**
 * The operator's log on standard error: one JSON object per event for machines (journald, a
 * collector), one line of words where a person sits at the terminal.
 *
 * Written before the program goes on, so that what it said last is there after a crash. Levels are
 * names, times ISO 8601 in UTC. Names of fields that could hold a secret are censored here too,
 * although no caller logs one; a code alone is a reason or an exit, and what pairs is a `pairing`.
 */
import { pino } from 'pino';
import type { Log } from '../platform.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** A log of `program` that keeps events of `level` and above. */
export function createLog(level: LogLevel, program: string): Log {
  const logger = pino(
    {
      level,
      base: { program },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      messageKey: 'event',
      redact: { paths: ['secret', 'password', 'pin', 'pairing', 'token', 'key.private'] },
    },
    process.stderr.isTTY
      ? { write: (line: string) => void process.stderr.write(`${wordsOf(line)}\n`) }
      : pino.destination({ dest: process.stderr.fd, sync: true }),
  );
  return (eventLevel, event, fields = {}) => logger[eventLevel](fields, event);
}

/** A line of the log as a person reads it: `time level event key=value`; another as it is. */
export function wordsOf(line: string): string {
  const found = parse(line);
  if (!found) return line.trimEnd();
  const { time, level, event, program: _, ...fields } = found;
  const pairs = Object.entries(fields).map(([name, value]) => ` ${name}=${quoted(String(value))}`);
  return `${String(time)} ${String(level).padEnd(5)} ${String(event)}${pairs.join('')}`;
}

function parse(line: string): Record<string, unknown> | undefined {
  try {
    const value = JSON.parse(line) as Record<string, unknown> | null;
    return value && 'event' in value ? value : undefined;
  } catch {
    return undefined;
  }
}

/** What came from outside must not forge a second line. */
function quoted(value: string): string {
  return /^[\w.:/-]+$/.test(value) ? value : JSON.stringify(value);
}
