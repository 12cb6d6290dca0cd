/** `saytap scenario`: a day of people, devices and faults, told in YAML, and what is expected. */
import { type Given, UsageError, defineCommand } from '../command.ts';
import type { Options } from '../command.ts';

const FILES = [
  {
    value: 'FILE…',
    says: 'scenario files, or names of shipped ones (saytap scenario list)',
    needs: 'a file, or the name of a shipped scenario',
    many: true,
    optional: true,
  },
] as const;
const ALL = { says: 'all shipped scenarios' } as const;

const run = defineCommand({
  summary: 'plays scenarios and compares them with what they expect',
  about:
    'Every step is told as it is played, with what the devices say. Time is virtual, so a day ' +
    'takes a second, unless the file or --real says otherwise: then the programs of an ' +
    'installation run on this machine, with real ports, files and time. Ends with 0 when ' +
    'everything went as expected, 1 when something did not, 3 when a file has faults. No real ' +
    'money moves.',
  inputs: FILES,
  options: {
    all: ALL,
    real: { says: 'with real programs and real time; what cannot be done then is told' },
    data: { value: 'DIR', says: 'with --real: an empty folder where everything is kept' },
    seed: { value: 'TEXT', says: 'what is left to chance in virtual time (without it 1)' },
    trace: { value: 'DIR', says: 'keep each payment there as a file for saytap trace' },
    full: { says: 'with --trace: keep names and amounts as they are' },
    quiet: { says: 'only one line for each scenario, and what went otherwise' },
  },
  examples: [
    'scenario run lunch-rush-offline',
    'scenario run my-day.yaml --trace traces',
    'scenario run --all --quiet',
    'scenario run one-order-two-people --real',
  ],
  async run({ options, inputs }, context) {
    const names = namesOf(inputs, options.all);
    if (options.full && options.trace === undefined) {
      throw new UsageError('--full goes with --trace');
    }
    if (options.data !== undefined && !options.real) {
      throw new UsageError('--data goes with --real');
    }
    const { real, data, seed, trace, full, quiet } = options;
    const { isTerminal } = context;
    const wanted = { names, real, data, seed: seed ?? '1', trace, full, quiet, isTerminal };
    return (await context.program('scenario')).run(wanted, context.write);
  },
});

const check = defineCommand({
  summary: 'tells everything that is wrong with scenario files, and plays nothing',
  about:
    'Each fault with line, column and what was probably meant: words that are unknown, ' +
    'references to what no earlier step left, sentences that no device understands, and ' +
    'expectations that can never come true.',
  inputs: FILES,
  options: { all: ALL },
  examples: ['scenario check my-day.yaml', 'scenario check --all'],
  async run({ options, inputs }, context) {
    const names = namesOf(inputs, options.all);
    return (await context.program('scenario')).check(names, context.write);
  },
});

const list = defineCommand({
  summary: 'the shipped scenarios, and what they are about',
  examples: ['scenario list'],
  async run(_given, context) {
    return (await context.program('scenario')).list(context.write);
  },
});

export const command = defineCommand({
  summary: 'days told in YAML, played in a world or on real programs',
  examples: ['scenario list', 'scenario run lunch-rush-offline', 'scenario check my-day.yaml'],
  commands: { run, check, list },
  run: () => {
    throw new UsageError('scenario needs one of run, check, list');
  },
});

/** Undefined for all shipped ones. */
function namesOf(inputs: Given<Options>['inputs'], isAll: boolean): readonly string[] | undefined {
  if (isAll && inputs.length > 0) throw new UsageError('either files or --all, not both');
  if (!isAll && inputs.length === 0) throw new UsageError('name a file, or say --all');
  return isAll ? undefined : inputs;
}
