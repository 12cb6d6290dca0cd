/**
 * One run from an empty folder to what the books say: makes the site, starts the programs, connects
 * the devices, gives the load, waits for the last receipts, stops everything and counts.
 *
 * Money is counted after the programs have ended, out of the ledger's own file: nothing that was
 * still under way, and no answer of a busy program, can make the figures better.
 */
import { join } from 'node:path';
import { openBooks } from '../../broker/ledger/books.ts';
import { utf8 } from '../../src/bytes.ts';
import { OperatorError } from '../../src/errors.ts';
import {
  FLEET_CONNECTS_PER_S,
  FLEET_LOOK_MS,
  FLEET_PATIENCE_MS,
  FLEET_POINTS_MAX,
  FLEET_SETTLE_MS,
  FLEET_STUCK_MS,
  FLEET_TOLD_MS,
} from '../../src/limits.ts';
import type { Clock, Database, Files, Histogram, Random, Timers } from '../../src/platform.ts';
import type { Arrivals } from './arrivals.ts';
import type { Order, Told } from './message.ts';
import { type Moved, createPayments } from './payments.ts';
import { type Profile, type Shape, profileOf } from './profile.ts';
import type { Asked, Cost, Ended, Memory, Outcome, Percentiles } from './result.ts';
import { verdictOf } from './result.ts';
import { makeSite } from './site.ts';
import { type Point, type Tally, createTally } from './tally.ts';
import { findSaturation } from './usage.ts';
import type { Scene } from './view.ts';
import { type Eyes, type Watched, createWatch } from './watch.ts';

/** A program that was started for the run. */
export type Started = Readonly<{ pid: number; said: string; stop: () => Promise<void> }>;

export type Crewed = Readonly<{
  pid: number;
  send: (order: Order) => void;
  stop: () => Promise<void>;
}>;

export type RunPorts = Readonly<{
  clock: Clock;
  timers: Timers;
  random: Random;
  files: Files;
  openDatabase: (path: string) => Database;
  createHistogram: () => Histogram;
  eyes: Eyes;
  /** Runs `saytap PROGRAM --config FILE`. */
  run: (program: 'risk' | 'ledger' | 'bridge', file: string) => Promise<Started>;
  /** A broker of its own with its files in this folder; undefined: the bridge embeds one. */
  startBroker:
    ((folder: string) => Promise<Readonly<{ url: string }> & Omit<Started, 'said'>>) | undefined;
  startWorker: (hear: (told: Told) => void, lost: (why: OperatorError) => void) => Crewed;
  /** This process. */
  pid: number;
  note: (line: string) => void;
  show: (scene: Scene) => void;
  /** Whether somebody wants it to end. */
  isAborted: () => boolean;
}>;

export type RunOptions = Asked & Readonly<{ shape: Shape; arrivals: Arrivals }>;

/** Ended before there was any load. */
export class NothingMeasured extends Error {}

/** Runs in `folder`, which is there and empty. Throws OperatorError, NothingMeasured. */
export async function runFleet(
  options: RunOptions,
  folder: string,
  ports: RunPorts,
): Promise<Outcome> {
  const { clock, timers, files, note } = ports;
  const stops: (() => Promise<void>)[] = [];
  const stopAll = async () => {
    for (const stop of stops.splice(0).reverse()) await stop();
  };
  let lost: OperatorError | undefined;
  const pause = (ms: number) => new Promise<void>((done) => void timers.after(ms, done));
  /** Waits until it is so; false when that takes longer, or somebody wants an end. */
  const until = async (isSo: () => boolean, ms: number, isPatient = false): Promise<boolean> => {
    const endMs = clock.monotonicMs() + ms;
    while (!isSo()) {
      if (lost) throw lost;
      if (clock.monotonicMs() >= endMs || (!isPatient && ports.isAborted())) return false;
      await pause(FLEET_LOOK_MS);
    }
    return true;
  };
  const requireGoing = () => {
    if (ports.isAborted()) throw new NothingMeasured('ended before the load began');
  };

  try {
    const { devices: count } = options;
    note(`enrolling ${count} devices, each with an account, a wallet and a mandate`);
    const sinceMs = clock.monotonicMs();
    const site = await makeSite(folder, count, { ...ports, progress: requireGoing });
    note(`enrolled in ${seconds(clock.monotonicMs() - sinceMs)}`);

    const watched: Watched[] = [];
    const start = async (program: 'risk' | 'ledger' | 'bridge', settings: object) => {
      requireGoing();
      const file = join(folder, `${program}.yaml`);
      // JSON is YAML.
      files.replace(file, utf8(JSON.stringify(settings)), 0o600);
      const child = await ports.run(program, file);
      stops.push(child.stop);
      watched.push({ name: program, pid: child.pid });
      note(`${child.said} (process ${child.pid})`);
      return /\w+:\/\/[^\s,]+/.exec(child.said)![0];
    };
    const risk = await start('risk', site.settings.risk);
    const ledger = await start('ledger', site.settings.ledger);
    const broker = await ports.startBroker?.(folder);
    if (broker) {
      stops.push(broker.stop);
      watched.push({ name: 'mosquitto', pid: broker.pid });
      note(`mosquitto at ${broker.url} (process ${broker.pid})`);
    } else note('no mosquitto is installed: the bridge embeds its own broker');
    const embedded = { listen: { host: '127.0.0.1', port: 0 } };
    const url = await start('bridge', {
      ...site.settings.bridge,
      mqtt: broker ? { url: broker.url } : embedded,
      risk: { url: risk, secret: 'risk.secret' },
      backends: [{ kind: 'ledger', url: ledger, secret: 'ledger.secret' }],
    });

    const payments = createPayments();
    const tally = createTally(ports.createHistogram, payments);
    const last = new Map<number, Told>();
    const workers = Array.from({ length: options.workers }, (_, at) => {
      const worker = ports.startWorker(
        (told) => {
          last.set(at, told);
          tally.add(at, told);
        },
        (why) => (lost ??= why),
      );
      stops.push(worker.stop);
      watched.push({
        name: options.workers === 1 ? 'devices' : `devices ${at + 1}`,
        pid: worker.pid,
      });
      return worker;
    });
    watched.push({ name: 'fleet', pid: ports.pid });
    const every = (what: 'isOver' | 'isFinished') =>
      last.size === workers.length && [...last.values()].every((told) => told[what]);

    const profile = profileOf(options.shape, options.rate, options.seconds, options.warmUpS);
    const show = (stage: string, atS: number, point: Point | undefined) =>
      ports.show({
        ...{ stage, atS, durationS: profile.durationS, devices: count, totals: tally.totals() },
        ...{ point, all: soFar(tally) },
      });

    // Every worker has told something: its code is loaded, and its memory without devices known.
    await until(() => last.size === workers.length, FLEET_STUCK_MS);
    const rssKb = (names: (name: string) => boolean) =>
      watched
        .filter(({ name }) => names(name))
        .reduce((sum, { pid }) => sum + (ports.eyes.processUse(pid)?.rssKb ?? 0), 0);
    const parts = {
      workerKb: (name: string) => name.startsWith('devices'),
      brokerKb: (name: string) => name === 'mosquitto',
      bridgeKb: (name: string) => name === 'bridge',
    };
    const memoryNow = (): Memory => ({
      workerKb: rssKb(parts.workerKb),
      brokerKb: rssKb(parts.brokerKb),
      bridgeKb: rssKb(parts.bridgeKb),
    });
    const empty = memoryNow();
    for (const [at, worker] of workers.entries()) {
      const own = site.devices.filter((_, i) => i % workers.length === at);
      const { realm, bridgeKey, currency, minor } = site;
      worker.send({
        ...{ kind: 'connect', url, realm, bridgeKey, currency, minor, devices: own },
        connectsPerS: FLEET_CONNECTS_PER_S / workers.length,
        verifyEach: options.verifyEach,
      });
    }
    const connectMs = clock.monotonicMs();
    await connected();
    note(`${count} devices are ready after ${seconds(clock.monotonicMs() - connectMs)}`);
    const full = memoryNow();
    requireGoing();

    async function connected(): Promise<void> {
      let ready = -1;
      for (;;) {
        const before = ready;
        const isAll = await until(() => {
          const now = tally.totals().ready;
          if (now !== ready) show('connecting', 0, undefined);
          ready = now;
          return ready === count;
        }, FLEET_STUCK_MS);
        requireGoing();
        if (isAll) return;
        if (ready > before) continue;
        throw new OperatorError('address', `only ${ready} of ${count} devices reach the bridge`);
      }
    }

    // ── the load ─────────────────────────────────────────────────────────────────────────────

    const { arrivals, seed, warmUpS } = options;
    for (const [index, worker] of workers.entries()) {
      const part = { index, of: workers.length };
      const load = { profile, arrivals, part, seed, measuredFromMs: warmUpS * 1000 };
      worker.send({ kind: 'load', ...load });
    }
    const startMs = clock.monotonicMs();
    const elapsedS = () => (clock.monotonicMs() - startMs) / 1000;
    const watch = createWatch(watched, ports.eyes);
    tally.point(0, 1, undefined, []); // What was before the load is no part of its first point.
    const points: Point[] = [];
    const intervalS = Math.max(1, Math.ceil(profile.durationS / FLEET_POINTS_MAX));
    let stage = 'load';
    let isWatching = true;
    let pointMs = startMs;
    const takePoint = () => {
      const nowMs = clock.monotonicMs();
      const ms = nowMs - pointMs;
      const { uses, machine } = watch.look(ms);
      const point = tally.point((nowMs - startMs) / 1000, ms / 1000, machine, uses);
      points.push(point);
      pointMs = nowMs;
      const isWarm = stage !== 'load' || elapsedS() > warmUpS;
      show(isWarm ? stage : 'warming up', elapsedS(), point);
    };
    const watching = (async () => {
      while (isWatching) {
        await pause(FLEET_LOOK_MS);
        watch.glance();
        if (clock.monotonicMs() - pointMs >= intervalS * 1000) takePoint();
      }
    })();

    await until(() => every('isOver'), profile.durationS * 1000 + FLEET_STUCK_MS);
    const isAborted = ports.isAborted();
    for (const worker of workers) worker.send({ kind: 'halt' });
    stage = isAborted ? 'ended by you' : 'waiting for the last receipts';
    const isDone = () => {
      const { waiting, held } = tally.totals();
      return every('isOver') && waiting + held === 0;
    };
    await until(isDone, FLEET_SETTLE_MS + 2 * FLEET_TOLD_MS, true);
    const inTime = tally.totals().counts.paid;
    await until(isDone, FLEET_PATIENCE_MS - FLEET_SETTLE_MS, true);
    isWatching = false;
    await watching;
    for (const worker of workers) worker.send({ kind: 'finish' });
    await until(() => every('isFinished'), FLEET_STUCK_MS, true);
    const totals = tally.totals();
    note('stopping everything, and reading the books');
    await stopAll();

    const { moved, differences } = readBooks(join(folder, 'ledger.db'), ports);
    const measured = points.filter(({ atS }) => atS > warmUpS && atS <= profile.durationS + 1);
    const ended: Ended = {
      ...{ due: totals.due, sent: totals.sent, inTime, differences, isAborted },
      refused: totals.ended - totals.counts.paid,
      comparison: payments.compare(moved, site.minor),
      p99Ms: tally.latencies.percentile(99) / 1000,
    };
    const per = (what: keyof Memory) => (full[what] - empty[what]) / count;
    return Object.freeze({
      asked: options,
      broker: broker ? 'mosquitto' : 'embedded in the bridge',
      ...{ points, totals, ended },
      verdict: verdictOf(options, ended),
      saturation: findSaturation(measured, ports.eyes.processors),
      latencies: percentilesOf(tally.latencies),
      lateness: percentilesOf(tally.lateness),
      memory: {
        workerKb: per('workerKb'),
        brokerKb: per('brokerKb'),
        bridgeKb: per('bridgeKb'),
      },
      costs: costsOf(measured),
    });
  } finally {
    await stopAll();
  }
}

/** What a run of this profile must not exceed. */
export function paymentsOf(
  options: Pick<RunOptions, 'shape' | 'rate' | 'seconds' | 'warmUpS'>,
): number {
  const profile: Profile = profileOf(options.shape, options.rate, options.seconds, options.warmUpS);
  return profile.total;
}

/** Rows of one page of the books: they are read in this process, synchronously. */
const PAGE_ROWS = 4_096;

function readBooks(
  path: string,
  { openDatabase, clock }: Pick<RunPorts, 'openDatabase' | 'clock'>,
): Readonly<{ moved: readonly Moved[]; differences: number }> {
  const database = openDatabase(path);
  try {
    const books = openBooks({ database, clock });
    const moved: Moved[] = [];
    for (let after = 0; ;) {
      const page = books.transfers(after, PAGE_ROWS);
      for (const { kind, payment, amount } of page) {
        if (kind === 'pay' || kind === 'capture') moved.push({ id: payment, minor: amount.minor });
      }
      const newest = page.at(-1);
      if (!newest) break;
      after = newest.number;
    }
    return { moved, differences: books.check().length };
  } finally {
    database.close();
  }
}

function soFar({ latencies }: Tally): Scene['all'] {
  return {
    p50Us: latencies.percentile(50),
    p99Us: latencies.percentile(99),
    p999Us: latencies.percentile(99.9),
    maxUs: latencies.max(),
  };
}

/** At what HdrHistogram's own plots use: each step halves what is left to 100 %. */
const PERCENTS = [0.001, 10, 20, 30, 40].concat(
  Array.from({ length: 60 }, (_, i) => 100 - 50 / 2 ** (i / 4)).filter((one) => one < 99.999),
);

function percentilesOf(histogram: Histogram): Percentiles {
  if (histogram.count() === 0) return [];
  // A percentile that less than one of all times is above is the largest of them, said again.
  const least = 100 - 100 / histogram.count();
  const named = [50, 90, 99, 99.9, 99.99].concat(PERCENTS).filter((one) => one <= least);
  const rows = [...new Set(named)]
    .sort((a, b) => a - b)
    .map((one) => [one, histogram.percentile(one)] as const);
  return [...rows, [100, histogram.max()]];
}

function costsOf(points: readonly Point[]): readonly Cost[] {
  const ended = points.reduce((sum, point) => sum + point.ended * point.seconds, 0);
  if (ended === 0) return [];
  const names = [...new Set(points.flatMap(({ uses }) => uses.map(({ name }) => name)))];
  return names.map((name) => {
    const sum = (what: 'cpu' | 'run') =>
      points.reduce((all, { uses, seconds }) => {
        const use = uses.find((one) => one.name === name);
        return all + (use ? use[what] * seconds * 1e6 : 0);
      }, 0);
    return { name, cpuUs: sum('cpu') / ended, mainUs: sum('run') / ended };
  });
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
