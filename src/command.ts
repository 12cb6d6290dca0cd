/**
 * What a command of `saytap` is: its page, its options, its subcommands, and what it runs.
 *
 * A command is a table rather than code that reads arguments: the page of `--help` is made from the
 * same rows that are checked, so that no option works undocumented and none is documented that does
 * not work. What a command touches of the outside world it gets as its context.
 */
import { parseArgs } from 'node:util';
import type { Settings } from './config.ts';
import type { Realm } from './cose.ts';
import type { Finding } from './doctor.ts';
import { OperatorError } from './errors.ts';
import type { Clock, Files, Random } from './platform.ts';

/** An option `--name`; without `value` it is a switch. Every option stands on the page. */
export type Option = Readonly<{
  says: string;
  /** Stands for the value on the page, in capitals: FILE. */
  value?: string;
  /** The only values there are. */
  choices?: readonly string[];
  /** The value is a whole number within these bounds. */
  whole?: readonly [min: number, max: number];
  /** May be given several times. */
  many?: true;
  needed?: true;
}>;
export type Options = Readonly<Record<string, Option>>;

/** An argument without a name; `needs` completes the sentence "inspect needs …". */
export type Input = Readonly<{
  value: string;
  says: string;
  needs: string;
  optional?: true;
  /** Of the last input: as many as are given. */
  many?: true;
}>;

/** The values of an option table after the check; an absent switch is false. */
export type Values<O extends Options> = {
  readonly [Name in keyof O]: O[Name] extends { value: string }
    ? O[Name] extends { many: true }
      ? readonly Value<O[Name]>[]
      : Value<O[Name]> | (O[Name] extends { needed: true } ? never : undefined)
    : boolean;
};
type Value<O extends Option> = O extends { choices: readonly (infer Choice)[] }
  ? Choice
  : O extends { whole: readonly number[] }
    ? number
    : string;

/** What a person types after the command: its options by name, and the inputs in their order. */
export type Given<O extends Options> = Readonly<{ options: Values<O>; inputs: readonly string[] }>;

export type Command = Readonly<{
  /** One line for lists. */
  summary: string;
  /** Sentences for the page: what it does, and what a person has to know before. */
  about?: string;
  /** Lines to type, without the leading `saytap`. */
  examples: readonly string[];
  options?: Options;
  inputs?: readonly Input[];
  /** Absent for a noun without an own action. Throws OperatorError, PaymentError, UsageError. */
  run?: (given: Given<Options>, context: Context) => void | Promise<void>;
  /** Subcommands by name, each with options of its own. */
  commands?: Readonly<Record<string, Command>>;
}>;

/** The programs that a command can load, each from the main.ts of its folder. */
export type Programs = Readonly<{
  start: Readonly<{
    main: (
      options: Readonly<{ folder: string; once: boolean; language: 'en' | 'zh'; page: boolean }>,
      write: Write,
    ) => Promise<void>;
    /** The page of the simulator alone, until it is told to stop. */
    page: (
      options: Readonly<{ folder: string; language: 'en' | 'zh'; port: number }>,
      write: Write,
    ) => Promise<void>;
  }>;
  scenario: Readonly<{
    /** Plays scenarios. Throws OperatorError `failed`, or `config` with a line for each fault. */
    run: (options: ScenarioOptions, write: Write) => Promise<void>;
    /** Names are files or shipped scenarios; undefined for all of those. */
    check: (names: readonly string[] | undefined, write: Write) => void;
    list: (write: Write) => void;
  }>;
  trace: Readonly<{
    /** Throws OperatorError `config` for what is no trace. */
    show: (file: string, isTerminal: boolean, write: Write) => void;
    /** Throws OperatorError `failed` when a verdict differs. */
    replayAll: (names: readonly string[], isTerminal: boolean, write: Write) => Promise<void>;
  }>;
  storm: Readonly<{
    /** Throws OperatorError `crash`, `safety` or `liveness` for what storms found. */
    main: (options: StormOptions, write: Write) => Promise<void>;
  }>;
  fleet: Readonly<{
    /** Throws OperatorError `failed` for a load that was not carried, `safety` for money. */
    main: (options: FleetOptions, write: Write) => Promise<void>;
    /** A process that holds devices, for the one that started it. */
    work: () => Promise<void>;
  }>;
  bridge: Program &
    Examined &
    Readonly<{
      /** Takes the rotation of the bridge's key one step on. */
      rotate: (configFile: string, write: Write) => Promise<void>;
      /** Puts a question of broker/operator.ts to the bridge, running or not. */
      operate: (configFile: string, question: unknown) => Promise<unknown>;
      readBridgeConfig: (configFile: string) => Readonly<{
        /** Paths are relative to the file; `root` is that of the root's public key. */
        config: Readonly<Pick<Realm, 'environment' | 'ledger'>> & Readonly<{ root: string }>;
      }>;
      /** Copies what a restore needs into a new folder. */
      backup: (configFile: string, folder: string, write: Write) => Promise<void>;
      /** Puts a backup in the place of what the bridge has. */
      restore: (configFile: string, folder: string, write: Write) => Promise<void>;
      /** Writes the files with which Mosquitto keeps a site's devices apart. */
      writeBroker: (
        configFile: string,
        wanted: Readonly<{
          folder: string;
          hosts: readonly string[];
          port: number | undefined;
          at: string | undefined;
        }>,
        write: Write,
      ) => Promise<void>;
      /** Issues a device's certificate for the broker. */
      certify: (
        configFile: string,
        wanted: Readonly<{
          device: string;
          folder: string;
          key: string | undefined;
          days: number | undefined;
        }>,
        write: Write,
      ) => void;
    }>;
  device: Program &
    Examined &
    Readonly<{
      /** Enrols the device, however long that takes. */
      enrol: (configFile: string, isAgain: boolean, write: Write) => Promise<void>;
      setPin: (configFile: string, digits: string) => void;
      clearPin: (configFile: string) => void;
      /** What was shown and done for a payment at P3. */
      transcriptOf: (configFile: string, payment: string) => string;
      /** Waits until the device may be updated; false when it may not within these ms. */
      mayUpdate: (configFile: string, waitMs: number) => Promise<boolean>;
      /** Notes that the device is to have a new key, which it gets while it runs. */
      renew: (configFile: string, write: Write) => void;
    }>;
  risk: Program;
  ledger: Program &
    Readonly<{
      /** Writes the books as a journal, line by line. */
      exportJournal: (configFile: string, write: Write) => Promise<void>;
    }>;
}>;
/** Which scenarios, and how they are played. */
export type ScenarioOptions = Readonly<{
  /** Files or shipped ones; undefined for all of those. */
  names: readonly string[] | undefined;
  /** On real programs, in real time. */
  real: boolean;
  /** Where the installation of real programs is kept; undefined for a folder that goes again. */
  data: string | undefined;
  /** What is left to chance in virtual time. */
  seed: string;
  /** The folder where each payment is kept as a trace; undefined for none. */
  trace: string | undefined;
  /** Traces with names and amounts as they are. */
  full: boolean;
  /** One line for each scenario. */
  quiet: boolean;
  /** Whether a person looks at standard output. */
  isTerminal: boolean;
}>;
/** Which storms, and what is wanted of them. */
export type StormOptions = Readonly<{
  /** Seeds from the first to the last, or one saved plan. */
  storms: Readonly<{ from: number; to: number }> | Readonly<{ planFile: string }>;
  /** Processes at once; undefined for one per processor. */
  jobs: number | undefined;
  /** Of one storm: the folder where each payment is kept as a trace. */
  trace: string | undefined;
  /** Tell the hash of all that was seen. */
  hash: boolean;
  /** Take out of the first failure what it does not need. */
  shrink: boolean;
  /** Keep the plan of the first failure, shrunk or not. */
  out: string | undefined;
  /** One line of JSON for each storm, and no summary. */
  json: boolean;
  /** Whether a person looks at standard output. */
  isTerminal: boolean;
}>;
/** How many devices, under which load. */
export type FleetOptions = Readonly<{
  devices: number;
  /** Payments a second at the most. */
  rate: number;
  seconds: number;
  warmUpS: number;
  shape: 'constant' | 'ramp' | 'step' | 'spike' | 'day';
  arrivals: 'random' | 'even';
  /** Undefined for one that nobody has chosen. */
  seed: string | undefined;
  /** Processes that hold the devices; undefined for half the processors. */
  workers: number | undefined;
  broker: 'mosquitto' | 'embedded' | undefined;
  verifyEach: number;
  /** The 99th percentile must not be above; undefined for no bound. */
  p99Ms: number | undefined;
  /** The file of the report. */
  report: string;
  /** Whether a person looks at standard output. */
  isTerminal: boolean;
}>;
type Program = Readonly<{
  main: (configFile: string, write: Write) => Promise<void>;
  settings: Settings;
}>;
type Examined = Readonly<{
  /** What is right and wrong with the program of this file. Throws OperatorError `config`. */
  doctor: (configFile: string) => Promise<readonly Finding[]>;
  /** A gzipped tar for somebody who helps, and what is in it. Throws OperatorError `config`. */
  diagnose: (
    configFile: string,
  ) => Promise<Readonly<{ bytes: Uint8Array; names: readonly string[] }>>;
}>;
type Write = (line: string) => void;

/** The outside world as a command sees it. */
export type Context = Readonly<{
  files: Files;
  random: Random;
  clock: Clock;
  /** A line of the answer, on standard output. */
  write: Write;
  /** Whether a person reads the answer, and not a file or another program. */
  isTerminal: boolean;
  /** All of standard input. */
  readInput: () => Promise<Uint8Array>;
  /** The person's answer to a question; empty when the input ends. */
  ask: (question: string) => Promise<string>;
  /** As `ask`, without showing what is typed. */
  askSecret: (question: string) => Promise<string>;
  /** Ends this process, as SIGTERM does, when standard input ends. */
  endWithInput: () => void;
  program: <Name extends keyof Programs>(name: Name) => Promise<Programs[Name]>;
  variable: (name: string) => string | undefined;
  /** The person's home folder. */
  home: string;
}>;

/** Wrong usage; the runner adds which page to read. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UsageError';
  }
}

/** A command whose `run` receives the values of its own option table, typed. */
export function defineCommand<const O extends Options = Readonly<Record<never, Option>>>(
  command: Omit<Command, 'options' | 'run'> & {
    options?: O;
    run: (given: Given<O>, context: Context) => void | Promise<void>;
  },
): Command {
  return Object.freeze(command as unknown as Command);
}

/** Environment and ledger, which every object is signed for. */
export const REALM_OPTIONS = Object.freeze({
  env: { value: 'ENV', choices: ['sim', 'live'], says: 'environment of the object', needed: true },
  ledger: { value: 'NAME', says: 'ledger of the object', needed: true },
} as const satisfies Options);

export function realmOf(options: Values<typeof REALM_OPTIONS>): Realm {
  return { environment: options.env, ledger: options.ledger };
}

/** A program that runs from its configuration file until it is told to stop. */
export function programCommand(
  name: 'bridge' | 'device' | 'risk' | 'ledger',
  rest: Omit<Command, 'options' | 'inputs' | 'run'>,
): Command {
  return defineCommand({
    ...rest,
    options: {
      config: { value: 'FILE', says: 'its configuration, YAML', needed: true },
      'until-stdin-ends': { says: 'stop when standard input ends, as children of a program do' },
    },
    async run({ options }, context) {
      if (options['until-stdin-ends']) context.endWithInput();
      return (await context.program(name)).main(options.config, context.write);
    },
  });
}

/** Asks whether to sign what was shown; anything but yes throws OperatorError `failed`. */
export async function requireYes({ ask }: Pick<Context, 'ask'>): Promise<void> {
  const answer = await ask('Sign this? Type yes: ');
  if (answer.trim().toLowerCase() !== 'yes') {
    throw new OperatorError('failed', 'nothing was signed');
  }
}

/**
 * Finds the subcommand that `args` name under `command` (itself called `path`), checks its options
 * and inputs, and runs it or shows its page. Throws OperatorError `usage` naming the page to read.
 */
export async function runCommand(
  command: Command,
  path: string,
  args: readonly string[],
  context: Context,
): Promise<void> {
  const [first = '', ...others] = args;
  const next = command.commands && Object.hasOwn(command.commands, first);
  if (next) return runCommand(command.commands[first]!, `${path} ${first}`, others, context);
  if (args.some((arg) => arg === '--help' || arg === '-h'))
    return context.write(page(command, path));
  try {
    if (!command.run) {
      throw new UsageError(
        first === '' || first.startsWith('-')
          ? `${path} needs one of ${Object.keys(command.commands ?? {}).join(', ')}`
          : `there is no command ${path} ${first}`,
      );
    }
    await command.run(read(command, path, args), context);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new OperatorError('usage', `${error.message}; see saytap ${path} --help`);
  }
}

/** The page of a command: usage, what it does, its options or subcommands, examples. */
export function page(command: Command, path: string): string {
  const inputs = (command.inputs ?? []).map(({ value, optional }) =>
    optional ? `[${value}]` : value,
  );
  const options = Object.entries(command.options ?? {});
  const needed = options.filter(([, { needed: isNeeded }]) => isNeeded).map(optionName);
  const more = options.length > needed.length ? ['[options]'] : [];
  const usages = [
    ...(command.run ? [[`saytap ${path}`, ...inputs, ...needed, ...more].join(' ')] : []),
    ...(command.commands ? [`saytap ${path} COMMAND [options]`] : []),
  ];
  const parts = [
    `saytap ${path}: ${command.summary}`,
    ...(command.about === undefined ? [] : [wrap(command.about, '')]),
    `Usage:\n${usages.map((usage) => `  ${wrap(usage, '    ')}`).join('\n')}`,
    section('Commands', Object.entries(command.commands ?? {}).map(labelled)),
    section(
      'Inputs',
      (command.inputs ?? []).map(({ value, says }) => [value, says]),
    ),
    section(
      'Options',
      options.map((entry) => [optionName(entry), optionSays(entry[1])] as const),
    ),
    `Examples:\n${command.examples.map((line) => `  saytap ${line}`).join('\n')}`,
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}

/** Two columns under a title, or nothing for no rows. */
export function section(title: string, rows: readonly (readonly [string, string])[]): string {
  if (rows.length === 0) return '';
  const width = Math.min(LABEL_MAX, Math.max(...rows.map(([label]) => label.length)));
  const lines = rows.flatMap(([label, text]) => {
    const wrapped = wrap(text, '', COLUMNS - width - 4).split('\n');
    const heads = label.length > width ? [label, ''] : [label];
    const tail = wrapped.slice(1).map(() => '');
    return [...heads, ...tail].map((head, at) => {
      const said = wrapped[at - (heads.length - 1)] ?? '';
      return `  ${head.padEnd(width)}  ${said}`.trimEnd();
    });
  });
  return `${title}:\n${lines.join('\n')}`;
}

/** Name and summary for a list; subcommands are named, in brackets when it also runs alone. */
export function labelled([name, command]: readonly [string, Command]): readonly [string, string] {
  if (!command.commands) return [name, command.summary];
  const names = Object.keys(command.commands).join('|');
  return [`${name} ${command.run ? `[${names}]` : names}`, command.summary];
}

const COLUMNS = 96;
const LABEL_MAX = 28;

function optionName([name, { value, many }]: readonly [string, Option]): string {
  return `--${name}${value === undefined ? '' : ` ${value}`}${many ? ' …' : ''}`;
}

function optionSays({ says, choices, many }: Option): string {
  const notes = [...(choices ? [oneOf(choices)] : []), ...(many ? ['may be repeated'] : [])];
  return notes.length === 0 ? says : `${says} (${notes.join('; ')})`;
}

function read(command: Command, path: string, args: readonly string[]): Given<Options> {
  const table = command.options ?? {};
  const { values, positionals: inputs } = parse(table, args);
  const expected = command.inputs ?? [];
  const missing = expected.find(({ optional }, at) => !optional && inputs[at] === undefined);
  if (missing) throw new UsageError(`${path} needs ${missing.needs}`);
  const extra = inputs[expected.length];
  if (extra !== undefined && !expected.at(-1)?.many) {
    throw new UsageError(
      command.commands && expected.length === 0
        ? `there is no command ${path} ${extra}`
        : `${extra} is one argument too many`,
    );
  }
  const read = Object.entries(table).map(([name, option]) => {
    const value = values[name];
    if (option.value === undefined) return [name, value === true];
    if (Array.isArray(value)) return [name, value.map((one) => checked(name, option, String(one)))];
    return [name, typeof value === 'string' ? checked(name, option, value) : undefined];
  });
  const options = Object.fromEntries(read) as Values<Options>;
  for (const [name, { needed }] of Object.entries(table)) {
    if (needed && options[name] === undefined) throw new UsageError(`--${name} is needed`);
  }
  return { options, inputs };
}

function parse(table: Options, args: readonly string[]) {
  const options = Object.fromEntries(
    Object.entries(table).map(([name, { value, many }]) => [
      name,
      value === undefined
        ? ({ type: 'boolean' } as const)
        : ({ type: 'string', ...(many && { multiple: true, default: [] }) } as const),
    ]),
  );
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (error) {
    throw new UsageError(parseFault(error));
  }
}

/** The refusal of parseArgs as one line. */
function parseFault(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const [, option] = /^Option '(--[a-z-]+)' argument is ambiguous/.exec(message) ?? [];
  if (option === undefined) return message.split(/\. |\n/)[0]!;
  return `${option} has no value; write one that begins with a dash as ${option}=-…`;
}

function checked(name: string, { choices, whole }: Option, text: string): string | number {
  if (text === '') throw new UsageError(`--${name} is empty`);
  if (choices && !choices.includes(text)) throw new UsageError(`--${name} is ${oneOf(choices)}`);
  if (!whole) return text;
  const [min, max] = whole;
  const value = /^(0|[1-9][0-9]{0,14})$/.test(text) ? Number(text) : NaN;
  if (value >= min && value <= max) return value;
  throw new UsageError(`--${name} is a whole number from ${min} to ${max}`);
}

function oneOf(choices: readonly string[]): string {
  return [choices.slice(0, -1).join(', '), choices.at(-1)].filter(Boolean).join(' or ');
}

/** Lines of at most `columns`; every line after the first begins with `indent`. */
function wrap(text: string, indent: string, columns = COLUMNS): string {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line.trim() !== '' && line.length + 1 + word.length > columns) {
      lines.push(line);
      line = indent + word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line].join('\n');
}
