/**
 * A person at the prompt of a real device program that is killed again and again: says amounts that
 * are never the same twice, reads the question, and confirms, cancels or does nothing. Everything
 * that was typed and everything that was told is kept by amount, whatever life it happened in.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { CONFIRM_READ_MS } from '../../src/limits.ts';
import { sleep } from '../broker/storm.ts';

/** One amount that somebody wanted to pay, by what could be seen from outside. */
export type Wish = {
  fen: number;
  isAsked: boolean;
  /** The bytes of a yes were written after its question was read. */
  isConfirmed: boolean;
  /** “Paying…” was read: from here on nothing may be lost. */
  isKept: boolean;
  /** The life in which that was. */
  life: number;
  /** What was told of it, in this order. */
  told: ('paid' | 'cancelled' | 'refused' | 'not_sent')[];
};

/** When a life ends: so many milliseconds after its start, or after a line that was just read. */
export type End = Readonly<{ after: 'start' | Sign; times: number; ms: number }> | undefined;
export type Sign = 'question' | 'confirmed' | 'sending' | 'paid';

export type Person = Awaited<ReturnType<typeof createPerson>>;

const cli = join(import.meta.dirname, '..', '..', 'src', 'cli.ts');

export function createPerson(config: string, next: (below: number) => number) {
  const wishes: Wish[] = [];
  const transcript: string[] = [];
  /** Lines that a person must never see. */
  const strange: string[] = [];
  let lives = 0;
  /** Refusals that were told and may be about more than one payment: they name none. */
  let refusals = 0;

  const byFen = (yuan: string) => {
    const wish = wishes[Math.round(Number(yuan) * 100) - 1];
    if (!wish) throw new Error(`nobody wanted ${yuan} yuan`);
    return wish;
  };

  /**
   * Starts the program and lets the person pay until `end`, or until `isEnough`; then he waits for
   * the last word on everything, but not longer than `patienceMs` and not shorter than `lingerMs`.
   * Returns the exit code, null when it was killed.
   */
  async function live(
    end: End,
    isEnough: () => boolean,
    { patienceMs = Infinity, lingerMs = 0 } = {},
  ): Promise<number | null> {
    lives++;
    const note = (line: string) => transcript.push(`${lives} ${line}`);
    const child: ChildProcess = spawn(process.execPath, [cli, 'device', '--config', config], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const gone = new Promise<number | null>((done) => child.once('exit', (code) => done(code)));
    let isOver = false;
    void gone.then(() => (isOver = true));
    child.stdin!.on('error', () => {});
    const type = (line: string) => {
      note(`> ${line}`);
      child.stdin!.write(`${line}\n`);
    };
    let met = 0;
    const meet = (sign: 'start' | Sign) => {
      if (end?.after !== sign || ++met !== end.times) return;
      setTimeout(() => child.kill('SIGKILL'), end.ms);
    };
    meet('start');

    const lines: string[] = [];
    let current: Wish | undefined;
    let wake = () => {};
    const hear = (line: string) => {
      note(line);
      lines.push(line);
      tell(line, current);
      if (line.includes('?') && line.includes('yuan')) meet('question');
      if (line.includes('Paying…')) meet('sending');
      if (line.includes('Paid ')) meet('paid');
      wake();
    };
    createInterface({ input: child.stdout! }).on('line', hear);
    createInterface({ input: child.stderr! }).on('line', (line) => note(`! ${line}`));
    /** The first of these that is read from `from` on; undefined when the program has ended. */
    const reads = async (from: number, ...patterns: readonly RegExp[]) => {
      for (;;) {
        for (const line of lines.slice(from)) {
          const found = patterns.findIndex((pattern) => pattern.test(line));
          if (found >= 0) return found;
        }
        if (isOver) return undefined;
        await Promise.race([new Promise<void>((done) => (wake = done)), gone]);
      }
    };

    while (!isOver && !isEnough()) {
      current = wanted();
      const from = lines.length;
      type(`pay ${yuanOf(current)} yuan to Luckin Coffee`);
      const answer = await reads(from, QUESTION, /Nothing was sent|at a time/);
      if (answer !== 0) {
        await sleep(100);
        continue;
      }
      current.isAsked = true;
      const mood = next(100);
      if (mood < 10) {
        type('cancel');
        await reads(from, /Cancelled\. Nothing was sent/);
        continue;
      }
      // Read, thought about, and after the time in which a press does not count.
      await sleep(CONFIRM_READ_MS + 20 + next(60));
      if (isOver) break;
      const asked = lines.length;
      current.isConfirmed = true;
      current.life = lives;
      type(mood < 50 ? 'confirm payment' : '');
      if (mood >= 85) type('');
      meet('confirmed');
      if ((await reads(asked, /Paying…/, /Nothing was sent/)) !== 0) continue;
      if (mood < 15) {
        await sleep(next(20));
        type('cancel payment');
      }
      await reads(asked, /Paid |was paid before|Not paid|not charged|Not confirmed|progress/);
    }
    if (!isOver && !end) {
      // A person who waits for the last word, and leaves then.
      await Promise.race([sleep(lingerMs), gone]);
      let isPatient = true;
      const late = sleep(Math.min(patienceMs, 2 ** 31 - 1)).then(() => (isPatient = false));
      while (!isOver && isPatient && untold().length > refusals) {
        await Promise.race([new Promise<void>((done) => (wake = done)), gone, late]);
      }
      type('quit');
    }
    return gone;
  }

  /** What is kept and has not ended, as far as was told. */
  function untold(): readonly Wish[] {
    return wishes.filter(({ isKept, told }) => isKept && told.length === 0);
  }

  /** The last wish again when it was never asked about, else a new one. */
  function wanted(): Wish {
    const last = wishes.at(-1);
    if (last && !last.isAsked) return last;
    const wish: Wish = {
      fen: wishes.length + 1,
      isAsked: false,
      isConfirmed: false,
      isKept: false,
      life: 0,
      told: [],
    };
    wishes.push(wish);
    return wish;
  }

  /** Keeps what a line says; one without an amount is about the payment in hand. */
  function tell(line: string, current: Wish | undefined): void {
    const about = /([\d.]+) yuan/.exec(line)?.[1];
    if (/Paying…/.test(line)) current!.isKept = true;
    else if (/Paid |was paid before/.test(line)) byFen(about!).told.push('paid');
    else if (/you were not charged/.test(line)) byFen(about!).told.push('cancelled');
    else if (/Not paid, nothing was charged/.test(line)) {
      // It may have been confirmed in an earlier life.
      const others = wishes.filter(
        (one) =>
          one !== current && one.isConfirmed && one.told.length === 0 && one.life >= lives - 3,
      );
      if (others.length === 0 && current?.isKept) current.told.push('refused');
      else refusals++;
    } else if (/Nothing was sent/.test(line) && current?.isAsked) current.told.push('not_sent');
    else if (/damaged|copied|suspended|never confirmed|Error|assert/.test(line)) strange.push(line);
  }

  /** Whether the program said in its last life, when it ended, that something goes on. */
  function isLeftOpen(): boolean {
    return transcript.some(
      (line) => line.startsWith(`${lives} `) && /at the next start/.test(line),
    );
  }

  return { wishes, transcript, strange, live, isLeftOpen, refusals: () => refusals };
}

const QUESTION = /Pay (another )?[\d.]+ yuan/;

export const yuanOf = ({ fen }: Wish) => (fen / 100).toFixed(2);
