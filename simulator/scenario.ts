/**
 * A scenario: a day of people, devices and faults, told in YAML, with what is expected of it.
 *
 * The whole file is read and judged before anything runs, and everything that is wrong with it is
 * told at once, each fault with line, column and what was probably meant.
 */
import { OperatorError } from '../src/errors.ts';
import { SCENARIO_FAULTS_SHOWN } from '../src/limits.ts';
import { type Cast, readCast } from './scenario/cast.ts';
import { tellImpossible } from './scenario/possible.ts';
import {
  type Fault,
  type Written,
  createFaults,
  fieldsOf,
  readSource,
  textOf,
  wordOf,
} from './scenario/source.ts';
import { type Step, readSteps } from './scenario/step.ts';

export type Scenario = Readonly<{
  name: string;
  /** What it is about, in a sentence or two. */
  about: string;
  /** How time passes unless the command says otherwise. */
  time: 'virtual' | 'real';
  cast: Cast;
  steps: readonly Step[];
}>;

/** The scenario that a text tells, or everything that is wrong with it. Never throws. */
export function readScenario(
  text: string,
): Readonly<{ scenario: Scenario }> | Readonly<{ faults: readonly Fault[] }> {
  const faults = createFaults();
  const written = readSource(text, faults);
  if (!written) return { faults: faults.all() };
  if (written.kind !== 'fields') {
    faults.tell(written.place, `a scenario is written as fields: ${FIELDS.join(', ')}`);
    return { faults: faults.all() };
  }
  const fields = fieldsOf(written, FIELDS, 'a scenario', faults);
  for (const name of ['scenario', 'steps'] as const) {
    if (!fields[name]) faults.tell(written.place, `${name}: is missing`);
  }
  const name = fields.scenario && textOf(fields.scenario.value, 'the name', faults);
  const about = fields.about && textOf(fields.about.value, 'what it is about', faults);
  const time = fields.time && wordOf(fields.time.value, TIMES, 'a way that time passes', faults);
  const nothing: Written = { kind: 'nothing', place: written.place };
  const cast = readCast(fields.site?.value ?? nothing, fields.starts, faults);
  const steps = fields.steps ? readSteps(fields.steps.value, cast, faults) : [];
  tellImpossible(cast, steps, faults, faults.all().length === 0);
  const all = faults.all();
  if (all.length > 0) return { faults: all };
  const scenario = {
    name: name!.text,
    about: about?.text.replaceAll(/\s+/g, ' ') ?? '',
    time: time ?? 'virtual',
    cast,
    steps,
  };
  return { scenario: Object.freeze(scenario) };
}

/** As readScenario; throws OperatorError `config` with a line for each fault. */
export function requireScenario(text: string, file: string): Scenario {
  const read = readScenario(text);
  if ('scenario' in read) return read.scenario;
  throw new OperatorError('config', faultLines(read.faults, file).join('\n'));
}

/** `file:line:column: what is wrong`, one line each; of very many the first. */
export function faultLines(faults: readonly Fault[], file: string): readonly string[] {
  const lines = faults
    .slice(0, SCENARIO_FAULTS_SHOWN)
    .map(({ place, text }) => `${file}:${place.line}:${place.column}: ${text}`);
  const more = faults.length - lines.length;
  return more > 0 ? [...lines, `${file}: and ${more} more`] : lines;
}

const FIELDS = ['scenario', 'about', 'time', 'starts', 'site', 'steps'] as const;
const TIMES = ['virtual', 'real'] as const;
