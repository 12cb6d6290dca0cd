/**
 * One machine of a world: a program on ports that may end at any step.
 *
 * Nothing can stop a JavaScript function in the middle, so a program dies by its ports. Between two
 * events nothing of it runs: its timers are dropped, what it waits for never comes, its links break
 * without a goodbye, and it is gone. To die in the middle of what it does, a call of a port throws
 * `Died`, before or after it has done its work, and every later call throws it too, until the
 * program has nothing left to do. Whoever watches over the program starts it again, on what its
 * disk has kept.
 */
import { OperatorError, PaymentError } from '../src/errors.ts';
import type {
  Archive,
  Clock,
  Connect,
  Database,
  Files,
  Http,
  Log,
  Machine as MachineName,
  Metrics,
  Random,
  Timers,
} from '../src/platform.ts';
import type { Chance } from './chance.ts';
import type { Life } from './database.ts';
import type { Disk } from './disk.ts';
import type { Attached } from './ways.ts';
import type { Network, NetworkPorts } from './network.ts';
import type { Observe } from './observed.ts';
import type { MachineClock, Timeline } from './time.ts';

/** Thrown by the ports of a program whose life is over. */
export class Died extends Error {
  constructor() {
    super('this program is dead');
    this.name = 'Died';
  }
}

/** Everything that a program of this project may ask of its machine. */
export type Ports = Readonly<{
  clock: Clock;
  timers: Timers;
  random: Random;
  files: Files;
  archive: Archive;
  openDatabase: (path: string) => Database;
  connect: Connect;
  http: Http;
  serve: NetworkPorts['serve'];
  log: Log;
  metrics: Metrics;
  machine: MachineName;
}>;

/** A program that runs: `failed` resolves when it ends by itself, with the reason. */
export type Running = Readonly<{ failed?: Promise<Error> }>;

/** Starts a program. Rejects with what `isTold` when it cannot run now. */
export type Program = (ports: Ports) => Running | Promise<Running>;

/** How a life ends from outside: kill -9, or the power of the whole machine. */
export type Death = 'kill' | 'power cut';

export type Machine = Readonly<{
  name: string;
  clock: MachineClock;
  disk: Disk;
  isAlive: () => boolean;
  /** Runs a program from now on, and again whenever it has ended. */
  run: (program: Program) => void;
  /** Ends it; it is started again after `downMs`, with Infinity never by itself. */
  kill: (how: Death, downMs: number) => void;
  /** It is not to die any more; if it is not alive it starts now. */
  wake: () => void;
  /** Runs something else once on a machine whose program is not alive; then `done`. */
  tool: (run: (ports: Ports) => Promise<void>, done: () => void) => void;
  /** The same at its so-manieth call of the outside world from now (1 is the next). */
  killAt: (call: number, side: 'before' | 'after', how: Death, downMs: number) => void;
}>;

/** How long whoever watches over a program waits before it is started again. */
export const RESTART_MS = 2_000;

export function createMachine(
  parts: Readonly<{
    name: string;
    timeline: Timeline;
    chance: Chance;
    clock: MachineClock;
    disk: Disk;
    network: Network;
    observe: Observe;
  }>,
): Machine {
  const { name, timeline, chance, clock, disk, network, observe } = parts;
  let lives = 0;
  let boots = 1;
  let program: Program | undefined;
  let end: ((how: Death | 'exit') => void) | undefined;
  let cancelStart = () => {};
  let fatal: { calls: number; side: string; how: Death; downMs: number } | undefined;

  function start(what: Program): void {
    const number = ++lives;
    let isDead = false;
    const cancels = new Set<() => void>();

    const callback =
      <A extends unknown[]>(run: (...given: A) => void) =>
      (...given: A) => {
        if (isDead) return;
        try {
          run(...given);
        } catch (error) {
          crash(error);
        }
      };
    const life: Attached & Life = Object.freeze({
      isDead: () => isDead,
      callback,
      step(_call: string, side: 'before' | 'during' | 'after') {
        if (isDead) throw new Died();
        if (!fatal || side === 'during') return;
        if (side === 'before') fatal.calls--;
        if (fatal.calls > 0 || side !== fatal.side) return;
        kill(fatal.how, fatal.downMs);
        throw new Died();
      },
    });
    const step = <T>(call: string, run: () => T): T => {
      life.step(call, 'before');
      const result = run();
      life.step(call, 'after');
      return result;
    };
    const { connect, http, serve } = network.attach(name, life);
    end = (how) => {
      isDead = true;
      end = undefined;
      fatal = undefined;
      for (const cancel of cancels) cancel();
      const died = how === 'power cut' ? how : 'killed';
      network.end(name, died);
      disk.end(died);
      if (how === 'power cut') boots++;
    };

    const bornMs = clock.monotonicMs();
    const own = chance.fork(`life ${number}`);
    const timers: Timers = {
      after(ms, run) {
        life.step('after', 'before');
        const cancel = clock.timers.after(ms, () => {
          cancels.delete(cancel);
          callback(run)();
        });
        cancels.add(cancel);
        return () => {
          cancels.delete(cancel);
          cancel();
        };
      },
      soon: (run) => clock.timers.soon(callback(run)),
    };
    const ports: Ports = Object.freeze({
      clock: {
        nowMs: clock.nowMs,
        monotonicMs: () => clock.monotonicMs() - bornMs,
      },
      timers,
      random: own.bytes,
      ...disk.mount(life),
      connect(options, events) {
        const message = callback(events.message);
        const state = callback(events.state);
        const link = step('connect', () => connect(options, { message, state }));
        return {
          ...link,
          publish: (...given) => step('publish', () => link.publish(...given)),
        };
      },
      http: (call) => step('http', () => http(call)),
      serve,
      log(level, event, fields) {
        if (isDead || level === 'debug') return;
        observe({ what: 'logged', machine: name, level, event, ...(fields && { fields }) });
      },
      metrics: NO_METRICS,
      machine: { host: name, boot: `${name}-${boots}`, node: '24.0.0' },
    });

    function exit(error: unknown): void {
      if (isDead || error instanceof Died) return;
      if (!isTold(error)) crash(error);
      end!('exit');
      const why = error instanceof Error ? error.message : String(error);
      observe({ what: 'life', machine: name, event: 'exit', why });
      startAfter(RESTART_MS);
    }

    function crash(error: unknown): void {
      if (isDead || error instanceof Died) return;
      observe({ what: 'crash', machine: name, error: describe(error) });
    }

    observe({ what: 'life', machine: name, event: 'start' });
    void (async () => what(ports))().then(({ failed }) => void failed?.then(exit), exit);
  }

  function startAfter(ms: number): void {
    cancelStart();
    if (ms < Infinity) cancelStart = timeline.after(ms, () => start(program!));
  }

  function kill(how: Death, downMs: number): void {
    if (end) {
      end(how);
      observe({ what: 'life', machine: name, event: how === 'kill' ? 'killed' : how });
    }
    startAfter(downMs);
  }

  return Object.freeze({
    name,
    clock,
    disk,
    isAlive: () => end !== undefined,
    run(next: Program) {
      program = next;
      start(next);
    },
    kill,
    wake() {
      fatal = undefined;
      if (!end && program) startAfter(0);
    },
    tool(run: (ports: Ports) => Promise<void>, done: () => void) {
      start(async (ports) => {
        await run(ports);
        done();
        return {};
      });
    },
    killAt(calls: number, side: 'before' | 'after', how: Death, downMs: number) {
      fatal = { calls, side, how, downMs };
    },
  });
}

/** What a command tells in one line (src/cli.ts); every other error is a mistake. */
export function isTold(error: unknown): boolean {
  if (error instanceof OperatorError || error instanceof PaymentError) return true;
  // The system's own refusal: ENOSPC, EIO.
  return error instanceof Error && 'code' in error && /^E[A-Z]+$/.test(String(error.code));
}

/** An error with where it comes from, without the paths of this machine. */
export function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const lines = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line));
  const places = lines
    .slice(0, 4)
    .map((line) => line.replace(/\(?(file:\/\/)?\/.*\/(?=\w+\/)/, '('));
  return [`${error.name}: ${error.message}`, ...places.map((place) => place.trim())].join(' ');
}

const NO_METRICS: Metrics = Object.freeze({ counter: () => () => {}, gauge: () => {} });
