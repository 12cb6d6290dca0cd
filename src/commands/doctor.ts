/** `saytap doctor`: looks at everything that a program needs, and says what to do. */
import { type Context, defineCommand } from '../command.ts';
import { type Finding, findingLines } from '../doctor.ts';
import { OperatorError } from '../errors.ts';

const FILE = { value: 'FILE', says: 'its configuration, YAML', needs: 'the configuration, a file' };
const JSON_SWITCH = { says: 'the findings as JSON, for a program' };
const ABOUT =
  'Each line is one check: ok, wrong, or not checked because it is not needed here. Nothing is ' +
  'changed. Exit code 0 when nothing is wrong, 1 when something is, 3 when the configuration is.';

const device = defineCommand({
  summary: 'the device of a configuration, running or not',
  about:
    `${ABOUT} A running device keeps its connection and its outbox: what only they could tell is ` +
    'asked of its metrics.',
  inputs: [FILE],
  options: { json: JSON_SWITCH },
  examples: ['doctor device /tmp/demo/glasses.yaml', 'doctor device --json /tmp/demo/glasses.yaml'],
  run: ({ inputs: [file], options }, context) => run('device', file!, options.json, context),
});

const bridge = defineCommand({
  summary: 'the bridge of a configuration, running or not',
  about: `${ABOUT} The services are asked a signed question that moves nothing.`,
  inputs: [FILE],
  options: { json: JSON_SWITCH },
  examples: ['doctor bridge /tmp/demo/bridge.yaml', 'doctor bridge --json /tmp/demo/bridge.yaml'],
  run: ({ inputs: [file], options }, context) => run('bridge', file!, options.json, context),
});

async function run(
  name: 'device' | 'bridge',
  file: string,
  isJson: boolean,
  context: Context,
): Promise<void> {
  const findings = await (await context.program(name)).doctor(file).catch((error: unknown) => {
    // Who reads JSON reads the reason there too.
    if (isJson && error instanceof OperatorError) report([configuration(error)], name, context);
    throw error;
  });
  if (isJson) report(findings, name, context);
  else {
    const isColoured = context.isTerminal && context.variable('NO_COLOR') === undefined;
    for (const line of findingLines(findings, isColoured)) context.write(line);
  }
  const bad = findings.filter(({ state }) => state === 'wrong').map(({ check }) => check);
  if (bad.length > 0) throw new OperatorError('failed', `wrong: ${bad.join(', ')}`);
}

function configuration({ message: says }: OperatorError): Finding {
  return { check: 'configuration', state: 'wrong', says };
}

function report(findings: readonly Finding[], program: string, { write }: Context): void {
  const isWell = findings.every(({ state }) => state !== 'wrong');
  write(JSON.stringify({ program, isWell, findings }, null, 2));
}

export const command = {
  summary: 'what is right, what is wrong, and what to do about it',
  examples: ['doctor device /tmp/demo/glasses.yaml', 'doctor bridge /tmp/demo/bridge.yaml'],
  commands: { device, bridge },
};
