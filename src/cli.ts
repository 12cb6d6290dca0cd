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

const GROUPS: Readonly<Record<string, Readonly<Record<string, Load>>>> = {
  Programs: {
    start: () => import('./commands/start.ts'),
    bridge: () => import('./commands/bridge.ts'),
    device: () => import('./commands/device.ts'),
    risk: () => import('./commands/risk.ts'),
    ledger: () => import('./commands/ledger.ts'),
  },
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
  },
  'Look and check': {
    inspect: () => import('./commands/inspect.ts'),
    verify: () => import('./commands/verify.ts'),
  },
};

const PROGRAMS: { [Name in keyof Programs]: () => Promise<Programs[Name]> } = {
  start: () => import('../simulator/main.ts'),
  bridge: () => import('../broker/main.ts'),
  device: () => import('../device/main.ts'),
  risk: () => import('../broker/risk/main.ts'),
  ledger: () => import('../broker/ledger/main.ts'),
};

const context: Context = {
  ...{ files, random, clock, write, readInput, ask, askSecret },
  endWithInput() {
    process.stdin.resume();
    // Standard input alone must not keep a program alive that has failed.
    (process.stdin as unknown as Partial<{ unref: () => void }>).unref?.();
    process.stdin.once('end', () => process.kill(process.pid, 'SIGTERM'));
  },
  program: (name) => PROGRAMS[name](),
  variable: (name) => process.env[name],
  home: homedir(),
};

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

In the folder that saytap was cloned into, begin with
  npm start
and write npm exec saytap -- for saytap:
  npm exec saytap -- start --once --data /tmp/demo
  npm exec saytap -- inspect --env sim --ledger demo --key /tmp/demo/statements/glasses.key \\
    /tmp/demo/last.request

Exit codes: 0 done · 1 failed · 2 wrong usage · 3 configuration · 4 address in use or not
reachable · 5 storage · 6 key`;
}

function version(): string {
  const text = new TextDecoder().decode(
    requireBytes(files, join(import.meta.dirname, '../package.json')),
  );
  const { version: own } = JSON.parse(text) as { version: string };
  return `saytap ${own} (protocol 1, node ${process.version})`;
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
  await run(process.argv.slice(2));
} catch (error) {
  const [line, code] = explain(error);
  process.stderr.write(`saytap: ${line}\n`);
  process.exitCode = code;
}
// Whatever a program still holds open, its work is done or has failed.
process.exit();
