/**
 * `saytap config`: a configuration file is looked at without starting its program.
 *
 * What the file says is checked, not what it points to: whether keys, brokers and clocks are there
 * is asked by `saytap doctor` on the machine itself.
 */
import { type Context, type Programs, UsageError, defineCommand } from '../command.ts';
import type { Settings } from '../config.ts';
import { requireText } from '../files.ts';

const NAMES = ['device', 'bridge', 'risk', 'ledger'] as const satisfies (keyof Programs)[];
const PROGRAM = { value: 'PROGRAM', says: NAMES.join(', '), needs: `one of ${NAMES.join(', ')}` };
const FILE = {
  value: 'FILE',
  says: 'its configuration, YAML',
  needs: `a program (${NAMES.join(', ')}) and then its configuration, a file`,
};

async function settingsFor(name: string, context: Context): Promise<Settings> {
  const known = NAMES.find((one) => one === name);
  if (!known) throw new UsageError(`${name} is not one of ${NAMES.join(', ')}`);
  return (await context.program(known)).settings;
}

const check = defineCommand({
  summary: 'exit code 0 if a program would take the file, 3 if not',
  about: 'Every problem is told at once, each with what stands there and what is allowed.',
  inputs: [PROGRAM, FILE],
  examples: ['config check device /tmp/demo/glasses.yaml'],
  async run({ inputs: [name, file] }, context) {
    const settings = await settingsFor(name!, context);
    settings.check(requireText(context.files, file!), file!);
    context.write(`${file}: good for saytap ${name}`);
  },
});

const print = defineCommand({
  summary: 'the file as the program takes it, with what it leaves out filled in',
  about: 'Secrets are not in it: a configuration names the files that they are in.',
  inputs: [PROGRAM, FILE],
  examples: ['config print device /tmp/demo/glasses.yaml'],
  async run({ inputs: [name, file] }, context) {
    const settings = await settingsFor(name!, context);
    context.write(settings.print(requireText(context.files, file!), file!).trimEnd());
  },
});

const schema = defineCommand({
  summary: 'what the file may say, as JSON Schema',
  about: 'An editor that knows YAML and JSON Schema completes and checks the file with it.',
  inputs: [PROGRAM],
  examples: ['config schema device'],
  async run({ inputs: [name] }, context) {
    context.write((await settingsFor(name!, context)).schema());
  },
});

export const command = {
  summary: 'a configuration: whether it is right, what it means, what it may say',
  examples: ['config check device /tmp/demo/glasses.yaml'],
  commands: { check, print, schema },
};
