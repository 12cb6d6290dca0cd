// A command table as a person meets it: what is typed, what runs, what is refused, what is shown.
import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  type Command,
  type Context,
  REALM_OPTIONS,
  UsageError,
  defineCommand,
  page,
  programCommand,
  runCommand,
} from '../../src/command.ts';
import { EXITS, OperatorError } from '../../src/errors.ts';

/** Every command by its noun, which is the name of its file. */
const COMMANDS: Record<string, Command> = {};
const folder = join(import.meta.dirname, '../../src/commands');
for (const file of readdirSync(folder)) {
  const { command } = (await import(join(folder, file))) as { command?: Command };
  if (command) COMMANDS[basename(file, '.ts')] = command;
}

/** Runs a command on a context that only listens; gives what was written or the refusal. */
async function typed(command: Command, path: string, args: readonly string[]) {
  const lines: string[] = [];
  const context = { write: (line: string) => lines.push(line) } as unknown as Context;
  try {
    await runCommand(command, path, args, context);
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    expect(error.exit).toBe(EXITS.usage);
    return error.message;
  }
  return lines.join('\n');
}

const show = defineCommand({
  summary: 'shows what it was given',
  examples: ['tool show x --count 3'],
  inputs: [
    { value: 'ID', says: 'which one', needs: 'an id' },
    { value: 'MORE', says: 'another', needs: 'another', optional: true },
  ],
  options: {
    count: { value: 'N', whole: [0, 9], says: 'how many' },
    colour: { value: 'NAME', choices: ['red', 'green', 'blue'], says: 'which' },
    tag: { value: 'TEXT', many: true, says: 'a tag' },
    loud: { says: 'say it loudly' },
  },
  run: ({ options, inputs }, { write }) => write(JSON.stringify([inputs, options])),
});
const deep = { summary: 'deeper', examples: [], commands: { show } };
const tool: Command = {
  summary: 'a tool',
  examples: ['tool'],
  run: (_given, { write }) => write('ran alone'),
  commands: { show, deep },
};

describe('what is typed', () => {
  test.each([
    [['x'], [['x'], { tag: [], loud: false }], 'nothing but the input'],
    [['x', 'y'], [['x', 'y'], { tag: [], loud: false }], 'an optional input'],
    [['--count', '0', 'x'], [['x'], { count: 0, tag: [], loud: false }], 'a number, also first'],
    [
      ['x', '--colour=green', '--loud', '--tag', 'a', '--tag', 'b'],
      [['x'], { colour: 'green', tag: ['a', 'b'], loud: true }],
      'a choice, a switch, a repeated option',
    ],
    [['--', '--count'], [['--count'], { tag: [], loud: false }], 'an input that looks like one'],
  ] as const)('%j (%#)', async (args, given, _why) => {
    expect(JSON.parse(await typed(tool, 'tool', ['show', ...args]))).toEqual(given);
  });

  test('a noun can run alone, and its subcommands go as deep as they are written', async () => {
    expect(await typed(tool, 'tool', [])).toBe('ran alone');
    expect(await typed(tool, 'tool', ['deep', 'show', 'x'])).toContain('["x"]');
  });
});

describe('what is refused', () => {
  const at = (path: string) => `; see saytap ${path} --help`;
  test.each([
    [['show'], `tool show needs an id${at('tool show')}`],
    [['show', 'x', 'y', 'z'], `z is one argument too many${at('tool show')}`],
    [['show', 'x', '--fast'], `Unknown option '--fast'${at('tool show')}`],
    [['show', 'x', '--count'], `Option '--count <value>' argument missing${at('tool show')}`],
    [
      ['show', 'x', '--count', '-5'],
      `--count has no value; write one that begins with a dash as --count=-…${at('tool show')}`,
    ],
    [['show', 'x', '--count', ''], `--count is empty${at('tool show')}`],
    [['show', 'x', '--count', '10'], `--count is a whole number from 0 to 9${at('tool show')}`],
    [['show', 'x', '--count', '1.5'], `--count is a whole number from 0 to 9${at('tool show')}`],
    [['show', 'x', '--count', '01'], `--count is a whole number from 0 to 9${at('tool show')}`],
    [['show', 'x', '--count', '1e0'], `--count is a whole number from 0 to 9${at('tool show')}`],
    [['show', 'x', '--colour', 'Red'], `--colour is red, green or blue${at('tool show')}`],
    [['fly'], `there is no command tool fly${at('tool')}`],
    [['toString'], `there is no command tool toString${at('tool')}`],
    [['deep'], `tool deep needs one of show${at('tool deep')}`],
    [['deep', '--count', '1'], `tool deep needs one of show${at('tool deep')}`],
    [['deep', 'fly'], `there is no command tool deep fly${at('tool deep')}`],
  ])('%j: %s', async (args, line) => {
    expect(await typed(tool, 'tool', args)).toBe(line);
  });

  test('a needed option, after what was given is right', async () => {
    const sign = defineCommand({
      summary: 's',
      examples: [],
      options: { ...REALM_OPTIONS },
      run: () => {},
    });
    expect(await typed(sign, 'sign', ['--ledger', 'demo'])).toBe(`--env is needed${at('sign')}`);
    expect(await typed(sign, 'sign', ['--env', 'test'])).toBe(`--env is sim or live${at('sign')}`);
  });

  test('what the command itself finds wrong names its page; other errors pass', async () => {
    const wrong = { summary: 's', examples: [] };
    const refuses = { ...wrong, run: () => Promise.reject(new UsageError('not so')) };
    expect(await typed(refuses, 'a b', [])).toBe('not so; see saytap a b --help');
    const plain = new OperatorError('key', 'no key');
    const context = { write: () => {} } as unknown as Context;
    await expect(
      runCommand({ ...wrong, run: () => Promise.reject(plain) }, 'a', [], context),
    ).rejects.toBe(plain);
  });
});

describe('what is shown', () => {
  test.each([['--help'], ['-h'], ['x', '--help'], ['--fast', '--help']])(
    '%s: the page of the subcommand, and nothing runs',
    async (...args) => {
      const told = await typed(tool, 'tool', ['show', ...args]);
      expect(told).toBe(page(show, 'tool show'));
      expect(told).toMatch(/^saytap tool show: shows what it was given$/m);
      expect(told).toContain('saytap tool show ID [MORE] [options]');
      expect(told).toMatch(/^ {2}--colour NAME {2}which \(red, green or blue\)$/m);
      expect(told).toMatch(/^ {2}--tag TEXT … {3}a tag \(may be repeated\)$/m);
      expect(told).toMatch(/^ {2}saytap tool show x --count 3$/m);
    },
  );

  const all = (path: string, command: Command): readonly (readonly [string, Command])[] => [
    [path, command],
    ...Object.entries(command.commands ?? {}).flatMap(([name, sub]) => all(`${path} ${name}`, sub)),
  ];
  const everyCommand = Object.entries(COMMANDS).flatMap(([name, one]) => all(name, one));

  test.each(everyCommand)('saytap %s: every option, within the columns, with examples', (...of) => {
    const [path, command] = of;
    const text = page(command, path);
    for (const name of Object.keys(command.options ?? {})) expect(text).toContain(`  --${name}`);
    for (const name of Object.keys(command.commands ?? {})) {
      expect(text).toMatch(new RegExp(`^  ${name} `, 'm'));
    }
    expect(text.split('\n').filter((line) => line.length > 100)).toEqual([]);
    expect(command.examples.length).toBeGreaterThan(0);
    expect(command.summary.length).toBeLessThanOrEqual(70);
  });

  /** The same tree, whose commands only say that they would run. */
  const harmless = (command: Command, path: string): Command => ({
    ...command,
    ...(command.run && { run: (_given, { write }) => write(`would run ${path}`) }),
    ...(command.commands && {
      commands: Object.fromEntries(
        Object.entries(command.commands).map(([name, sub]) => [
          name,
          harmless(sub, `${path} ${name}`),
        ]),
      ),
    }),
  });

  const examples = everyCommand.flatMap(([path, { examples: lines }]) =>
    lines.map((line) => [line.replace(/\\\n\s*/g, ''), path] as const),
  );
  test.each(examples)('the example works as written: %s', async (line, path) => {
    const words = line.replace(/ <.*/, '').match(/(?:[^\s"]|"[^"]*")+/g) ?? [];
    const [noun = '', ...args] = words.map((word) => word.replaceAll('"', ''));
    expect(Object.keys(COMMANDS)).toContain(noun);
    const said = await typed(harmless(COMMANDS[noun]!, noun), noun, args);
    expect(said).toMatch(new RegExp(`^(would run ${path}|saytap ${path}|would run ${noun} )`));
  });
});

test('a program runs from its configuration, and ends with its input if told so', async () => {
  const calls: unknown[] = [];
  const context = {
    write: () => {},
    endWithInput: () => calls.push('ends with input'),
    program: (name: string) => ({
      main: (file: string) => void calls.push([name, file]),
    }),
  } as unknown as Context;
  const command = programCommand('risk', { summary: 's', examples: [] });
  await runCommand(command, 'risk', ['--config', 'a.yaml'], context);
  await runCommand(command, 'risk', ['--config', 'b.yaml', '--until-stdin-ends'], context);
  expect(calls).toEqual([['risk', 'a.yaml'], 'ends with input', ['risk', 'b.yaml']]);
});
