/** `saytap scenario`: finds the files, plays them, and tells how they go, step by step. */
import { basename, join } from 'node:path';
import { toHex } from '../../src/bytes.ts';
import { OperatorError } from '../../src/errors.ts';
import { requireText } from '../../src/files.ts';
import { archive } from '../../src/node/archive.ts';
import { startChild } from '../../src/node/child.ts';
import { createHttp } from '../../src/node/http.ts';
import { connectLink } from '../../src/node/link.ts';
import { clock, files, machine, random, timers } from '../../src/node/platform.ts';
import { askSocket } from '../../src/node/socket.ts';
import { makeTemporary } from '../../src/node/temporary.ts';
import { codeWasm } from '../../src/node/wasm.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import { hearUnhandled } from '../../src/node/unhandled.ts';
import type { ScenarioOptions } from '../../src/command.ts';
import { createChance } from '../chance.ts';
import { createDisks } from '../disk.ts';
import { type Scenario, faultLines, readScenario, requireScenario } from '../scenario.ts';
import { tracesIn } from '../trace.ts';
import { keepTraces } from '../trace/folder.ts';
import type { WorldPorts } from '../world.ts';
import { infeasible } from './feasible.ts';
import { type Failure, type Watch, play } from './play.ts';
import { createRealStage } from './real.ts';
import type { Fault } from './source.ts';
import { createVirtualStage } from './virtual.ts';

type Write = (line: string) => void;

/** Plays them one after the other. Throws OperatorError `failed` when one went otherwise. */
export async function run(options: ScenarioOptions, write: Write): Promise<void> {
  const found = filesOf(options.names);
  // A file with a fault is told before another one has taken its time.
  const faulty = found.flatMap(({ file, text }) => [
    ...faultsOf(file, text),
    ...hindrancesOf(file, text, options.real),
  ]);
  if (faulty.length > 0) throw new OperatorError('config', faulty.join('\n'));
  const failed: string[] = [];
  for (const { file, text } of found) {
    const scenario = requireScenario(text, file);
    const sinceMs = clock.monotonicMs();
    const failures = await playOne(scenario, file, options, write);
    const took = `${((clock.monotonicMs() - sinceMs) / 1000).toFixed(1)} s`;
    const paint = paintOf(options);
    write(
      failures.length === 0
        ? `${paint('✓', 32)} ${scenario.name} (${took})`
        : `${paint('✗', 31)} ${scenario.name} (${took})`,
    );
    if (failures.length > 0) failed.push(file);
  }
  if (failed.length === 0) return;
  const count = `${failed.length} of ${found.length} scenarios`;
  throw new OperatorError('failed', `${count} went otherwise than told: ${failed.join(', ')}`);
}

/** Tells every fault. Throws OperatorError `config` when there is one. */
export function check(names: readonly string[] | undefined, write: Write): void {
  const found = filesOf(names);
  const faulty = found.map(({ file, text }) => ({ file, lines: faultsOf(file, text) }));
  for (const { file, lines } of faulty) if (lines.length === 0) write(`✓ ${file}`);
  const all = faulty.flatMap(({ lines }) => lines);
  if (all.length > 0) throw new OperatorError('config', all.join('\n'));
}

/** The shipped ones, a line each. */
export function list(write: Write): void {
  const found = filesOf(undefined).map(({ file, text }) => ({
    name: basename(file, YAML),
    scenario: requireScenario(text, file),
  }));
  const width = Math.max(...found.map(({ name }) => name.length));
  for (const { name, scenario } of found) {
    write(`${name.padEnd(width)}  ${scenario.about.split('. ')[0]!.replace(/\.?$/, '.')}`);
  }
}

async function playOne(
  scenario: Scenario,
  file: string,
  options: ScenarioOptions,
  write: Write,
): Promise<readonly Failure[]> {
  const isReal = options.real || scenario.time === 'real';
  const { stage, site, observed, close } = isReal
    ? await realStage(scenario, options)
    : await virtualStage(scenario, options);
  try {
    if (!options.quiet) write(paintOf(options)(scenario.name, 1));
    const failures = await play(scenario, stage, watchOf(options, write));
    for (const { place, text } of failures) write(`  ${faultLine(file, { place, text })}`);
    if (options.trace !== undefined) {
      const traces = tracesIn(observed, site);
      const place = { folder: options.trace, name: basename(file, YAML), isFull: options.full };
      await keepTraces(traces, place, { files, random });
      if (!options.quiet) write(`  ${traces.length} traces in ${options.trace}`);
    }
    return failures;
  } finally {
    await stage.end();
    close();
  }
}

async function virtualStage({ cast }: Scenario, { seed }: ScenarioOptions) {
  const ports: WorldPorts = { turn: timers.soon, disks: createDisks(openDatabase), hearUnhandled };
  const stage = await createVirtualStage(cast, seed, ports);
  return { stage, site: stage.world.site, observed: stage.observed, close: () => {} };
}

/** In a folder that is gone afterwards, unless one was named. */
async function realStage({ cast }: Scenario, { data }: ScenarioOptions) {
  const temporary = data === undefined ? makeTemporary() : undefined;
  const folder = data ?? temporary!.folder;
  const { http, close: closeHttp } = createHttp();
  const close = () => {
    closeHttp();
    temporary?.remove();
  };
  const script = join(import.meta.dirname, '..', '..', 'src', 'cli.ts');
  const devicePorts = { clock, timers, random, files, archive, openDatabase, codeWasm };
  try {
    const stage = await createRealStage(cast, createChance(toHex(random(32))), folder, {
      ...devicePorts,
      connect: connectLink,
      http,
      log: () => {},
      machine: machine(),
      run: (program, config) => startChild(script, [program, '--config', config]),
      ask: askSocket,
    });
    return { stage, site: stage.site, observed: stage.observed, close };
  } catch (error) {
    close();
    throw error;
  }
}

function watchOf(options: ScenarioOptions, write: Write): Watch {
  const paint = paintOf(options);
  if (options.quiet) return { note: () => {}, step: () => {} };
  return {
    note: (text) => write(`\n${paint(text, 34)}`),
    step(at, text, says, failures) {
      const mark = failures.length === 0 ? paint('✓', 32) : paint('✗', 31);
      write(`${mark} ${paint(at, 2)}  ${text}`);
      for (const line of says) write(`            ${paint(line, 36)}`);
    },
  };
}

function paintOf({ isTerminal }: Pick<ScenarioOptions, 'isTerminal'>) {
  const isColoured = isTerminal && process.env['NO_COLOR'] === undefined;
  return (text: string, code: number) => (isColoured ? `\u001b[${code}m${text}\u001b[0m` : text);
}

type Found = Readonly<{ file: string; text: string }>;

/** The files of these names: paths, or shipped ones without their ending. */
function filesOf(names: readonly string[] | undefined): readonly Found[] {
  const shipped = join(import.meta.dirname, '..', 'scenarios');
  const known = files.list(shipped).filter((name) => name.endsWith(YAML));
  if (!names) return known.map((name) => ({ file: name, text: textAt(join(shipped, name)) }));
  return names.map((name) => {
    const own = `${name}${YAML}`;
    if (known.includes(own)) return { file: own, text: textAt(join(shipped, own)) };
    return { file: name, text: textAt(name) };
  });
}

function textAt(path: string): string {
  return requireText(files, path);
}

function faultsOf(file: string, text: string): readonly string[] {
  const read = readScenario(text);
  return 'faults' in read ? faultLines(read.faults, file) : [];
}

/** What real programs cannot do of it. */
function hindrancesOf(file: string, text: string, isReal: boolean): readonly string[] {
  const read = readScenario(text);
  if (!('scenario' in read) || !(isReal || read.scenario.time === 'real')) return [];
  return faultLines(infeasible(read.scenario), file);
}

function faultLine(file: string, { place, text }: Fault): string {
  return `${file}:${place.line}:${place.column}: ${text}`;
}

const YAML = '.yaml';
