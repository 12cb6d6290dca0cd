/**
 * A program that is measured alone: it runs in a process of its own and tells its CPU time, so that
 * whoever makes its load, on the other core, is not counted.
 */
import { fork } from 'node:child_process';
import { join } from 'node:path';

/** What a measured program answers to the bench. */
export type Figures = Readonly<Record<string, readonly number[]>>;

export type Measured<Said> = Readonly<{
  /** What it said when it was ready. */
  said: Said;
  /** CPU microseconds of the process so far, all threads, user and system. */
  cpuUs: () => Promise<number>;
  /** Figures that it took itself since the last time it was asked. */
  figures: () => Promise<Figures>;
  stop: () => Promise<void>;
}>;

type Question = Readonly<
  { kind: 'start'; options: unknown } | { kind: 'cpu' | 'figures' | 'stop' }
>;

/** Starts bench/measured/{name}.ts with these options and waits until it is ready. */
export async function startMeasured<Said>(name: string, options: unknown): Promise<Measured<Said>> {
  const script = join(import.meta.dirname, 'measured', `${name}.ts`);
  const child = fork(script, [], { serialization: 'advanced' });
  const ended = new Promise<void>((done) => child.once('exit', () => done()));
  const ask = (question: Question): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const lost = () => reject(new Error(`the measured program ${name} ended`));
      child.once('exit', lost);
      child.once('message', (answer) => {
        child.off('exit', lost);
        resolve(answer);
      });
      child.send(question);
    });
  return {
    said: (await ask({ kind: 'start', options })) as Said,
    cpuUs: () => ask({ kind: 'cpu' }) as Promise<number>,
    figures: () => ask({ kind: 'figures' }) as Promise<Figures>,
    async stop() {
      await ask({ kind: 'stop' });
      await ended;
    },
  };
}

/** The other side: a program that `start` makes ready. */
export function serveMeasured<Options, Said>(
  start: (
    options: Options,
  ) => Promise<Readonly<{ said: Said; figures?: () => Figures; stop: () => Promise<void> }>>,
): void {
  let running: Awaited<ReturnType<typeof start>> | undefined;
  const answer = async (question: Question): Promise<unknown> => {
    switch (question.kind) {
      case 'start':
        running = await start(question.options as Options);
        return running.said;
      case 'cpu': {
        const { user, system } = process.cpuUsage();
        return user + system;
      }
      case 'figures':
        return running?.figures?.() ?? {};
      case 'stop':
        await running?.stop();
        return 'stopped';
    }
  };
  process.on('message', (question: Question) => {
    void answer(question).then((said) => {
      process.send!(said, () => {
        if (question.kind === 'stop') process.exit();
      });
    });
  });
  process.once('disconnect', () => process.exit());
}
