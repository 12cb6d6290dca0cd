#!/usr/bin/env node
/**
 * The command `saytap`: finds the command that is meant, gives it the outside world, and turns
 * failures into one line and an exit code. Commands and programs are loaded only when asked for.
 */
import { homedir } from 'node:os';
import { join } from 'node:path';
import {
  type Command,
  type Context,
  type Programs,
  labelled,
  runCommand,
  section,
} from './command.ts';
import { EXITS, OperatorError, PaymentError } from './errors.ts';
import { requireBytes } from './files.ts';
import { clock, files, random } from './node/platform.ts';
import { ask, askSecret, readInput } from './node/terminal.ts';

type Load = () => Promise<Readonly<{ command: Command }>>;

/**
 * `npm run build` (build.ts) names the side that a file is for, and what the other side needs is
 * left out of it: the conditions below are decided then. Unbuilt, everything is there.
 */
declare const SAYTAP_SIDE: 'device' | 'bridge';
declare const SAYTAP_VERSION: string;

const GROUPS: Readonly<Record<string, Readonly<Record<string, Load>>>> = {
  Programs: {
    ...(typeof SAYTAP_SIDE === 'undefined' && {
      start: () => import('./commands/start.ts'),
      sim: () => import('./commands/sim.ts'),
    }),
    ...((typeof SAYTAP_SIDE === 'undefined' || SAYTAP_SIDE === 'bridge') && {
      bridge: () => import('./commands/bridge.ts'),
    }),
    device: () => import('./commands/device.ts'),
    ...((typeof SAYTAP_SIDE === 'undefined' || SAYTAP_SIDE === 'bridge') && {
      risk: () => import('./commands/risk.ts'),
      ledger: () => import('./commands/ledger.ts'),
    }),
  },
  ...((typeof SAYTAP_SIDE === 'undefined' || SAYTAP_SIDE === 'bridge') && {
    'Keys and mandates': {
      keygen: () => import('./commands/keygen.ts'),
      root: () => import('./commands/root.ts'),
      wallet: () => import('./commands/wallet.ts'),
      mandate: () => import('./commands/mandate.ts'),
    },
    'At a bridge': {
      payments: () => import('./commands/payments.ts'),
      evidence: () => import('./commands/evidence.ts'),
      audit: () => import('./commands/audit.ts'),
      keys: () => import('./commands/keys.ts'),
      invite: () => import('./commands/invite.ts'),
      broker: () => import('./commands/broker.ts'),
    },
  }),
  ...(typeof SAYTAP_SIDE === 'undefined' && {
    'Try it in a world': {
      scenario: () => import('./commands/scenario.ts'),
      storm: () => import('./commands/storm.ts'),
      fleet: () => import('./commands/fleet.ts'),
      trace: () => import('./commands/trace.ts'),
    },
  }),
  'Look and check': {
    config: () => import('./commands/config.ts'),
    doctor: () => import('./commands/doctor.ts'),
    diag: () => import('./commands/diag.ts'),
    inspect: () => import('./commands/inspect.ts'),
    ...((typeof SAYTAP_SIDE === 'undefined' || SAYTAP_SIDE === 'bridge') && {
      verify: () => import('./commands/verify.ts'),
    }),
  },
};

const PROGRAMS: Partial<{ [Name in keyof Programs]: () => Promise<Programs[Name]> }> = {
  ...(typeof SAYTAP_SIDE === 'undefined' && {
    start: () => import('../simulator/main.ts'),
    scenario: () => import('../simulator/scenario/main.ts'),
    storm: () => import('../simulator/storm/main.ts'),
    fleet: () => import('../simulator/fleet/main.ts'),
    trace: () => import('../simulator/trace/main.ts'),
  }),
  ...((typeof SAYTAP_SIDE === 'undefined' || SAYTAP_SIDE === 'bridge') && {
    bridge: () => import('../broker/main.ts'),
    risk: () => import('../broker/risk/main.ts'),
    ledger: () => import('../broker/ledger/main.ts'),
  }),
  ...((typeof SAYTAP_SIDE === 'undefined' || SAYTAP_SIDE === 'device') && {
    device: () => import('../device/main.ts'),
  }),
};

const context: Context = {
  ...{ files, random, clock, write, readInput, ask, askSecret },
  isTerminal: process.stdout.isTTY === true,
  endWithInput() {
    process.stdin.resume();
    // Standard input alone must not keep a program alive that has failed.
    (process.stdin as unknown as Partial<{ unref: () => void }>).unref?.();
    process.stdin.once('end', () => process.kill(process.pid, 'SIGTERM'));
  },
  async program(name) {
    const load = PROGRAMS[name] as (() => Promise<Programs[typeof name]>) | undefined;
    if (!load) throw new OperatorError('usage', `this file has no ${name} in it: run saytap`);
    return load();
  },
  variable: (name) => process.env[name],
  home: homedir(),
};

/** A built file is its program: what begins with no other command's name is for that one. */
function meant(args: readonly string[]): readonly string[] {
  if (typeof SAYTAP_SIDE === 'undefined') return args;
  const [first] = args;
  const isGeneral = first === undefined || ['--version', '--help', '-h', 'help'].includes(first);
  const isNamed = Object.values(GROUPS).some((group) => Object.hasOwn(group, first ?? ''));
  return isGeneral || isNamed ? args : [SAYTAP_SIDE, ...args];
}

async function run([name, ...args]: readonly string[]): Promise<void> {
  if (name === '--version') return write(version());
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    write(await help());
    if (name === undefined) process.exitCode = EXITS.usage;
    return;
  }
  const load = Object.values(GROUPS).find((group) => Object.hasOwn(group, name))?.[name];
  if (!load) {
    const what = name.startsWith('-') ? 'the command comes before' : 'there is no command';
    throw new OperatorError('usage', `${what} ${name}; see saytap --help`);
  }
  return runCommand((await load()).command, name, args, context);
}

async function help(): Promise<string> {
  const groups = Object.entries(GROUPS).map(async ([title, group]) => {
    const rows = Object.entries(group).map(
      async ([name, load]) => [name, (await load()).command] as const,
    );
    return section(title, (await Promise.all(rows)).map(labelled));
  });
  return `saytap: say it or tap it. Payments from smart glasses and kiosks.

Usage: saytap COMMAND [options]

${(await Promise.all(groups)).join('\n\n')}

  saytap COMMAND --help   what it does, its options, examples
  saytap --version

${CALLED}

Exit codes: 0 done · 1 failed · 2 wrong usage · 3 configuration · 4 address in use or not
reachable · 5 storage · 6 key · 7 a storm found a crash · 8 money gone wrong · 9 no end`;
}

/** How this program is called, which a page of help cannot know. */
const CALLED =
  typeof SAYTAP_SIDE === 'undefined'
    ? `In the folder that saytap was cloned into, begin with
  npm start
and write npm exec saytap -- for saytap:
  npm exec saytap -- start --once --data /tmp/demo
  npm exec saytap -- inspect --env sim --ledger demo --key /tmp/demo/statements/glasses.key \\
    /tmp/demo/last.request`
    : `This file is saytap for a ${SAYTAP_SIDE}: write node ${SAYTAP_SIDE}.mjs for saytap, and for
saytap ${SAYTAP_SIDE} too:
  node ${SAYTAP_SIDE}.mjs --config ${SAYTAP_SIDE}.yaml`;

function version(): string {
  return `saytap ${ownVersion()} (protocol 1, node ${process.version})`;
}

function ownVersion(): string {
  if (typeof SAYTAP_VERSION !== 'undefined') return SAYTAP_VERSION;
  const text = new TextDecoder().decode(
    requireBytes(files, join(import.meta.dirname, '../package.json')),
  );
  return (JSON.parse(text) as { version: string }).version;
}

function write(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** One line for the person, and the exit code; a bug is not explained but thrown on. */
function explain(error: unknown): readonly [line: string, code: number] {
  if (error instanceof OperatorError) return [error.message, error.exit];
  if (error instanceof PaymentError) return [`${error.reason}: ${error.message}`, EXITS.failed];
  // The system's own refusal (no such folder, no permission, a folder instead of a file).
  if (error instanceof Error && 'syscall' in error) return [error.message, EXITS.storage];
  throw error;
}

// A reader that goes away (| head) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
});

try {
  await run(meant(process.argv.slice(2)));
} catch (error) {
  const [line, code] = explain(error);
  process.stderr.write(`saytap: ${line}\n`);
  process.exitCode = code;
}
// Whatever a program still holds open, its work is done or has failed.
process.exit();
