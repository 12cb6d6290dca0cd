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
