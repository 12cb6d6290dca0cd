/**
 * Questions to the person at the terminal, and their answers.
 *
 * Questions go to standard error, so that the answer of a command can be redirected. Lines that are
 * piped in answer one question each, in their order.
 */
import { createInterface } from 'node:readline';

/** All of standard input. */
export async function readInput(): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Uint8Array);
  return Uint8Array.from(Buffer.concat(chunks));
}

/** The line that answers `question`; empty when the input has ended. */
export function ask(question: string): Promise<string> {
  return askLine(question, false);
}

/** As `ask`; what is typed at a terminal is not shown. */
export function askSecret(question: string): Promise<string> {
  return askLine(question, true);
}

let piped: AsyncIterator<string> | undefined;

async function askLine(question: string, isHidden: boolean): Promise<string> {
  process.stderr.write(question);
  if (!process.stdin.isTTY) {
    piped ??= createInterface({ input: process.stdin })[Symbol.asyncIterator]();
    const line = await piped.next();
    return line.done ? '' : line.value;
  }
  // Without an output there is nothing to echo to; as a terminal it also stops the system's echo.
  const lines = isHidden
    ? createInterface({ input: process.stdin, terminal: true })
    : createInterface({ input: process.stdin, output: process.stderr });
  const answer = await new Promise<string>((done) => {
    lines.once('line', done);
    // Input that ends is an answer too.
    lines.once('close', () => done(''));
  });
  lines.close();
  if (isHidden) process.stderr.write('\n');
  return answer;
}

/**
 * The next of these lines of standard input, which a terminal does not show while it is typed.
 * Ctrl-C works as ever.
 */
export async function nextUnseen(lines: AsyncIterator<string>): Promise<string> {
  const { stdin } = process;
  const isTerminal = stdin.isTTY === true;
  // In raw mode nobody else echoes, erases or sends a signal.
  const interrupt = (chunk: Buffer) => {
    if (chunk.includes(CTRL_C)) process.kill(process.pid, 'SIGINT');
  };
  if (isTerminal) {
    stdin.setRawMode(true);
    stdin.on('data', interrupt);
  }
  try {
    const line = await lines.next();
    if (line.done) return '';
    let typed = '';
    for (const char of line.value) typed = ERASES.has(char) ? typed.slice(0, -1) : typed + char;
    return typed;
  } finally {
    if (isTerminal) {
      stdin.off('data', interrupt);
      stdin.setRawMode(false);
    }
  }
}

const CTRL_C = 3;
/** Backspace and delete, as terminals send them. */
const ERASES: ReadonlySet<string> = new Set(['\b', '\x7f']);
