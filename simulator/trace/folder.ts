/** Traces as files of a folder. */
import { join } from 'node:path';
import { toHex, utf8 } from '../../src/bytes.ts';
import { requireFolder } from '../../src/files.ts';
import type { Files, Random } from '../../src/platform.ts';
import { type Trace, traceText } from '../trace.ts';
import { redact } from './redaction.ts';

/** How the files of traces end. */
export const ENDING = '.trace';

/** A file for each: NAME-1.trace, NAME-2.trace …; redacted unless `isFull`. */
export async function keepTraces(
  traces: readonly Trace[],
  place: Readonly<{ folder: string; name: string; isFull: boolean }>,
  { files, random }: Readonly<{ files: Files; random: Random }>,
): Promise<void> {
  const { folder, name, isFull } = place;
  requireFolder(files, folder);
  const width = String(traces.length).length;
  for (const [n, trace] of traces.entries()) {
    const kept = isFull ? trace : await redact(trace, toHex(random(32)));
    const number = String(n + 1).padStart(width, '0');
    files.replace(join(folder, `${name}-${number}${ENDING}`), utf8(traceText(kept)), 0o644);
  }
}
