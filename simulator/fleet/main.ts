/** `saytap fleet`: the processes of a run, the screen that shows it, and its end. */
import { join } from 'node:path';
import type { FleetOptions } from '../../src/command.ts';
import { OperatorError } from '../../src/errors.ts';
import { utf8, toHex } from '../../src/bytes.ts';
import {
  FLEET_FILES_SPARE,
  FLEET_LINE_MS,
  FLEET_PAYMENTS_MAX,
  FLEET_TOLD_MS,
} from '../../src/limits.ts';
import { startChild } from '../../src/node/child.ts';
import { createHistogram } from '../../src/node/histogram.ts';
import { connectLink } from '../../src/node/link.ts';
import { findMosquitto, startMosquitto } from '../../src/node/mosquitto.ts';
import { clock, files, random, timers } from '../../src/node/platform.ts';
import {
  isAtDisk,
  machineFacts,
  machineUse,
  openFilesMax,
  processUse,
} from '../../src/node/processes.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import { makeTemporary } from '../../src/node/temporary.ts';
import { findParent, startWorker, watchLoop } from '../../src/node/worker.ts';
import { createCrew } from './crew.ts';
import type { Order, Told } from './message.ts';
import { createLogged } from './logged.ts';
import { reportOf } from './report.ts';
import { NothingMeasured, type RunPorts, paymentsOf, runFleet } from './run.ts';
import { lastLine, summaryOf } from './figures.ts';
import { type Scene, lineOf, screenOf } from './view.ts';

type Write = (line: string) => void;

/** Runs a fleet. Throws OperatorError `failed` or `safety` for what it found. */
export async function main(options: FleetOptions, write: Write): Promise<void> {
  const { isTerminal } = options;
  const mosquitto = options.broker === 'embedded' ? undefined : findMosquitto();
  if (options.broker === 'mosquitto' && !mosquitto) {
    throw new OperatorError('config', 'mosquitto is not installed: apt-get install mosquitto');
  }
  const facts = machineFacts();
  const workers = options.workers ?? Math.max(1, Math.floor(facts.processors / 2));
  const asked = { ...options, workers, seed: options.seed ?? toHex(random(8)) };
  requirePossible(asked, mosquitto !== undefined);

  let wantsEnd = false;
  const end = () => {
    // Asked twice, it is gone at once; whoever it started ends with it.
    if (wantsEnd) process.exit(ABORTED);
    wantsEnd = true;
  };
  process.on('SIGINT', end);
  process.on('SIGTERM', end);
  const paintOn = isTerminal && process.env['NO_COLOR'] === undefined;
  const paint = (text: string, code: string) =>
    paintOn ? `\u001b[${code}m${text}\u001b[0m` : text;
  const screen = createScreen(isTerminal, paint, write);
  const logged = createLogged();
  const place = makeTemporary();
  const script = join(import.meta.dirname, '..', '..', 'src', 'cli.ts');
  const ports: RunPorts = {
    ...{ clock, timers, random, files, openDatabase, createHistogram },
    eyes: { processUse, isAtDisk, machineUse, processors: facts.processors },
    run: (program, file) => {
      const hear = (line: string) => logged.add(program, line);
      return startChild(script, [program, '--config', file], { hear, isApart: true });
    },
    startBroker:
      mosquitto === undefined ? undefined : (folder) => startMosquitto(mosquitto, folder),
    startWorker: (hear, lost) =>
      startWorker<Order, Told>(script, ['fleet', '--worker'], hear, lost),
    pid: process.pid,
    note: (line) => write(paint(`· ${line}`, '2')),
    show: screen.show,
    isAborted: () => wantsEnd,
  };
  try {
    write(
      `${paint(' SIMULATED ', '30;43')} no real money moves here; everything is in ${place.folder}`,
    );
    const outcome = await runFleet(asked, place.folder, ports);
    screen.end();
    const whole = {
      ...outcome,
      machine: { ...facts, node: process.version },
      atMs: clock.nowMs(),
      logged: logged.counts(),
    };
    for (const line of summaryOf(whole)) write(line);
    files.replace(options.report, utf8(reportOf(whole)), 0o644);
    write(`the report: ${options.report}`);
    const { exit, faults } = outcome.verdict;
    write(lastLine(outcome.verdict));
    if (exit === 'aborted') process.exitCode = ABORTED;
    else if (exit !== 'ok') throw new OperatorError(exit, faults.join('; '));
  } catch (error) {
    screen.end();
    if (!(error instanceof NothingMeasured)) throw error;
    write('ended before the load began: nothing was measured');
    process.exitCode = ABORTED;
  } finally {
    process.off('SIGINT', end);
    process.off('SIGTERM', end);
    place.remove();
  }
}

/** One of the processes that hold the devices. Throws OperatorError `usage` for a person. */
export async function work(): Promise<void> {
  const parent = findParent<Order, Told>();
  if (!parent) throw new OperatorError('usage', '--worker is for saytap fleet itself');
  const crew = createCrew({ clock, timers, random, connect: connectLink, loopMs: watchLoop() });
  parent.hear(crew.take);
  (function tell() {
    parent.tell(crew.told());
    timers.after(FLEET_TOLD_MS, tell);
  })();
  await parent.ended;
  process.exit(0); // Five thousand connections need not be closed one by one.
}

/** What a shell says of a program that Ctrl-C ended. */
const ABORTED = 130;

/** Throws OperatorError `config` for what this machine would break off in the middle. */
function requirePossible(
  asked: Parameters<typeof paymentsOf>[0] & Readonly<{ devices: number; workers: number }>,
  hasMosquitto: boolean,
): void {
  const payments = paymentsOf(asked);
  if (payments > FLEET_PAYMENTS_MAX) {
    throw new OperatorError(
      'config',
      `${Math.round(payments)} payments are more than ${FLEET_PAYMENTS_MAX}: ask for a lower ` +
        '--rate or a shorter --for',
    );
  }
  // The broker, or the bridge that embeds it, has them all; nobody has more.
  const needed = asked.devices + FLEET_FILES_SPARE;
  const allowed = openFilesMax();
  if (allowed === undefined || needed <= allowed) return;
  const who = hasMosquitto ? 'mosquitto' : 'the bridge';
  throw new OperatorError(
    'config',
    `${who} would need ${needed} open files and may have ${allowed}: type ` +
      `ulimit -n ${needed} before (as root, when it refuses: prlimit --pid $$ --nofile=${needed})`,
  );
}

/** One screen that is drawn over and over, or a line now and then. */
function createScreen(
  isTerminal: boolean,
  paint: (text: string, code: string) => string,
  write: Write,
): Readonly<{ show: (scene: Scene) => void; end: () => void }> {
  let drawn = 0;
  let saidMs = -Infinity;
  let stage = '';
  return {
    show(scene) {
      if (isTerminal) {
        const lines = screenOf(scene, paint, process.stdout.rows);
        // Up to where it began, each line anew, and whatever was below is gone.
        const up = drawn > 0 ? `\u001b[${drawn}A` : '\n';
        process.stdout.write(`${up}${lines.map((line) => `${line}\u001b[K`).join('\n')}\n\u001b[J`);
        drawn = lines.length;
        return;
      }
      const nowMs = clock.monotonicMs();
      if (scene.stage === stage && nowMs - saidMs < FLEET_LINE_MS) return;
      stage = scene.stage;
      saidMs = nowMs;
      write(lineOf(scene));
    },
    end() {
      drawn = 0;
    },
  };
}
