/** Another program of this project, run beside this one and ended with it. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { OperatorError } from '../errors.ts';
import { CHILD_START_MS, STOP_MS } from '../limits.ts';
import { wordsOf } from './log.ts';

export type Child = Readonly<{
  pid: number;
  /** The first line it wrote: each program's says where it listens. */
  said: string;
  /** Asks it to stop, and kills it after STOP_MS. */
  stop: () => Promise<void>;
  /** Ends it in the middle of whatever it does (kill -9). */
  kill: () => Promise<void>;
}>;

/** How a child is kept apart from the terminal that we were started on. */
export type Beside = Readonly<{
  /** Gets each line of its log, which then is not shown. */
  hear?: (line: string) => void;
  /** In a session of its own: a Ctrl-C at the terminal is for us alone. */
  isApart?: boolean;
}>;

/**
 * Starts `node script ...args` and waits for its first line. The child ends when this process
 * does: its standard input closes. Throws OperatorError with the child's own words when it fails.
 */
export function startChild(
  script: string,
  args: readonly string[],
  { hear, isApart = false }: Beside = {},
): Promise<Child> {
  const child = spawn(process.execPath, [script, ...args, '--until-stdin-ends'], {
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: isApart,
  });
  let errors = '';
  let isRunning = false;
  child.stderr.setEncoding('utf8');
  child.stderr.on('data', (chunk: string) => {
    // Until it runs, its words are the reason why it did not start, and told once.
    if (!isRunning) errors = (errors + chunk).slice(-4096);
    else if (!hear) process.stderr.write(process.stderr.isTTY ? wordsIn(chunk) : chunk);
  });
  if (hear) createInterface({ input: child.stderr }).on('line', hear);
  const ended = new Promise<void>((done) => child.once('exit', () => done()));

  async function stop(): Promise<void> {
    child.stdin.end();
    const kill = setTimeout(() => child.kill('SIGKILL'), STOP_MS * 2);
    await ended;
    clearTimeout(kill);
  }

  async function kill(): Promise<void> {
    child.kill('SIGKILL');
    await ended;
  }

  return new Promise((resolve, reject) => {
    const fail = (why: string) => {
      reject(new OperatorError('failed', `${args[0]} did not start: ${why}`));
      child.kill('SIGKILL');
    };
    const late = setTimeout(() => fail('no sign of life'), CHILD_START_MS);
    child.once('error', (error) => fail(error.message));
    // `close` and not `exit`: then everything that it wrote has been read.
    child.once('close', (code) => {
      clearTimeout(late);
      fail(errors.trim().replace(/^saytap: /, '') || `exit code ${code}`);
    });
    createInterface({ input: child.stdout }).once('line', (said) => {
      clearTimeout(late);
      isRunning = true;
      if (errors && !hear) process.stderr.write(errors);
      resolve({ pid: child.pid!, said, stop, kill });
    });
  });
}

/** A program writes whole lines; beside a person they are put into words. */
function wordsIn(chunk: string): string {
  return chunk.replace(/.+/g, wordsOf);
}

/**
 * Runs `node script ...args` and calls `hear` with every line of its standard output; resolves with
 * its exit code. Its errors go where ours go. Rejects with OperatorError when it was killed.
 */
export function readLines(
  script: string,
  args: readonly string[],
  hear: (line: string) => void,
): Promise<number> {
  const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  createInterface({ input: child.stdout }).on('line', hear);
  let errors = '';
  child.stderr.setEncoding('utf8');
  child.stderr.on('data', (chunk: string) => (errors = (errors + chunk).slice(-4096)));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      if (code !== null && (code === 0 || code > 6)) return resolve(code);
      reject(new OperatorError('failed', `${args[0]} ended with ${code}: ${errors.trim()}`));
    });
  });
}
