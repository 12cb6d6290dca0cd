/** `saytap trace`: shows saved payments, and puts them to the code of today. */
import { join } from 'node:path';
import { OperatorError, PaymentError } from '../../src/errors.ts';
import { requireText } from '../../src/files.ts';
import { files, timers } from '../../src/node/platform.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import { type Trace, readTrace } from '../trace.ts';
import { ENDING } from './folder.ts';
import { replay } from './replay.ts';
import { type Line, type Tone, legible, replayLines, sheetOf } from './sheet.ts';

type Write = (line: string) => void;

/** Shows one trace. */
export function show(file: string, isTerminal: boolean, write: Write): void {
  for (const line of sheetOf(traceAt(file))) write(painted(line, isTerminal));
}

/** Replays traces, or all of a folder. Throws OperatorError `failed` when a verdict differs. */
export async function replayAll(
  names: readonly string[],
  isTerminal: boolean,
  write: Write,
): Promise<void> {
  const differing: string[] = [];
  for (const file of names.flatMap(tracesAt)) {
    const trace = traceAt(file);
    const { verdicts, reading } = await replayed(trace, file);
    const isSame = verdicts.every((one) => one.isSame) && reading?.then === reading?.now;
    write(
      painted({ tone: isSame ? 'good' : 'bad', text: `${isSame ? '✓' : '✗'} ${file}` }, isTerminal),
    );
    for (const line of replayLines(trace, verdicts)) {
      if (names.length === 1 || line.tone === 'bad') write(`  ${painted(line, isTerminal)}`);
    }
    if (reading && reading.then !== reading.now) {
      write(`  ✗ what was said was read as ${legible(`${reading.then}, now as ${reading.now}`)}`);
    }
    if (trace.obstacle !== undefined) write(`  note: ${legible(trace.obstacle)}`);
    if (!isSame) differing.push(file);
  }
  if (differing.length === 0) return;
  throw new OperatorError('failed', `decided otherwise now: ${differing.join(', ')}`);
}

async function replayed(trace: Trace, file: string) {
  try {
    return await replay(trace, { turn: timers.soon, openDatabase });
  } catch (error) {
    if (!(error instanceof PaymentError)) throw error;
    const why = `${error.reason}: ${error.message}`;
    throw new OperatorError('config', `${file} does not hold: ${why}`, { cause: error });
  }
}

function traceAt(file: string): Trace {
  return readTrace(requireText(files, file), file);
}

/** The file itself, or all traces of a folder. */
function tracesAt(path: string): readonly string[] {
  if (path.endsWith(ENDING)) return [path];
  const inside = files.list(path).filter((name) => name.endsWith(ENDING));
  if (inside.length === 0) throw new OperatorError('config', `${path} holds no traces`);
  return inside.map((name) => join(path, name));
}

function painted({ tone, text }: Line, isTerminal: boolean): string {
  const isColoured = isTerminal && process.env['NO_COLOR'] === undefined;
  const code = COLOURS[tone];
  return isColoured && code !== undefined ? `\u001b[${code}m${text}\u001b[0m` : text;
}

const COLOURS: Readonly<Partial<Record<Tone, number>>> = {
  ...{ head: 1, person: 33, device: 36, wire: 2, good: 32, bad: 31 },
};
