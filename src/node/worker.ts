/**
 * Several processes of one command: the one that a person started, and workers that it starts from
 * the same script. They talk in values that a structured clone carries, over the channel that Node
 * keeps between parent and child.
 *
 * A worker is in a session of its own, because a terminal's Ctrl-C goes to everybody in one and it
 * is the parent who decides what that means. It ends when the parent does, however that ended.
 */
import { fork } from 'node:child_process';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { OperatorError } from '../errors.ts';
import { STOP_MS } from '../limits.ts';

export type Worker<Order> = Readonly<{
  pid: number;
  send: (order: Order) => void;
  /** Resolves when it has ended; asked to and then made to. */
  stop: () => Promise<void>;
}>;

/**
 * Starts `node script ...args`. `hear` gets what it says; `lost` hears when it ends without having
 * been asked to.
 */
export function startWorker<Order, Said>(
  script: string,
  args: readonly string[],
  hear: (said: Said) => void,
  lost: (why: OperatorError) => void,
): Worker<Order> {
  const child = fork(script, [...args], {
    serialization: 'advanced',
    detached: true,
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  let isStopping = false;
  child.on('message', (said) => hear(said as Said));
  const ended = new Promise<void>((done) => {
    child.once('error', (error) => {
      if (!isStopping) lost(new OperatorError('failed', `no worker: ${error.message}`));
      done();
    });
    child.once('exit', (code, signal) => {
      if (!isStopping) {
        lost(new OperatorError('failed', `a worker ended by itself: ${signal ?? code}`));
      }
      done();
    });
  });
  return {
    pid: child.pid ?? 0,
    send(order) {
      // One that has just ended is told of by `lost`.
      if (child.connected) child.send(order as never, () => {});
    },
    async stop() {
      isStopping = true;
      if (child.connected) child.disconnect();
      const kill = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
      await ended;
      clearTimeout(kill);
    },
  };
}

export type Parent<Order, Said> = Readonly<{
  hear: (take: (order: Order) => void) => void;
  tell: (said: Said) => void;
  /** Resolves when the parent is gone, or wants this process to end. */
  ended: Promise<void>;
}>;

/** The other side: the parent of this process; undefined when it was started by a person. */
export function findParent<Order, Said>(): Parent<Order, Said> | undefined {
  if (!process.send) return undefined;
  const ended = new Promise<void>((done) => process.once('disconnect', () => done()));
  return {
    hear: (take) => void process.on('message', (order) => take(order as Order)),
    tell(said) {
      if (process.connected) process.send!(said, undefined, undefined, () => {});
    },
    ended,
  };
}

/** How late the loop of this process is, ms, at the most since it was asked the last time. */
export function watchLoop(): () => number {
  const delay = monitorEventLoopDelay({ resolution: LOOP_RESOLUTION_MS });
  delay.enable();
  return () => {
    const most = delay.count === 0 ? 0 : delay.max / 1e6;
    delay.reset();
    return Math.max(0, most - LOOP_RESOLUTION_MS);
  };
}

/** A timer of this period is what is late; a shorter one would be load itself. */
const LOOP_RESOLUTION_MS = 10;
