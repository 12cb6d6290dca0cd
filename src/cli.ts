#!/usr/bin/env node
/**
 * The command `saytap`: finds the program, reads its arguments, and turns failures into one line
 * and an exit code. Programs are loaded only when they are asked for.
 */
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { parseArgs } from 'node:util';
import { toHex, utf8 } from './bytes.ts';
import { type Realm, payloadOf } from './cose.ts';
import { EXITS, OperatorError, PaymentError } from './errors.ts';
import { requireBytes } from './files.ts';
import { inspect, readInput, toJson, verify } from './inspect.ts';
import { openKeyFile, readKeyFile } from './keyfile.ts';
import { type Algorithm, type VerifyKey, loadKey } from './keys.ts';
import { parseDecimal } from './money.ts';
import { clock, files } from './node/platform.ts';
import { keyStatement } from './objects/key.ts';
import { type KindName, kindNamed } from './objects/kinds.ts';
import { mandate as mandateKind } from './objects/mandate.ts';
import { CHANNELS } from './objects/request.ts';
import { nodeSigner, publicPem, readPublicPem } from './signer.ts';
import { grantText, signMandate } from './wallet.ts';

const HELP = `saytap: say it or tap it. Payments from smart glasses and kiosks.

Usage: saytap COMMAND [options]

Programs
  start                   glasses, kiosk, bridge, risk, ledger and a story, on this machine
    --once                end after the story; exit code 0 only if every step went right
    --data DIR            where everything is kept (default: the user's data folder)
    --language en|zh      what the glasses speak
  bridge --config FILE    the bridge: verifies, enforces, pays, answers
  device --config FILE    a device: glasses or kiosk, with a prompt
  risk   --config FILE    the risk service
  ledger --config FILE    the ledger backend

Tools
  inspect INPUT           every layer of an object in plain words; INPUT is a file, hex,
                          base64url, a saytap:// link, or - for standard input
    --key FILE            public key (PEM) or Key statement to check the signature with
    --kind KIND --env sim|live --ledger NAME
  verify FILE             exit code 0 if the object holds, 1 if not; all of these are needed:
    --key FILE --kind KIND --env sim|live --ledger NAME
  keygen --out FILE       a new private key (mode 0600) and FILE.pub
    --algorithm ES256|EdDSA
  wallet new --out FILE   the payer's key
  wallet grant            a mandate; shows what is authorised and asks before it signs
    --wallet FILE --to FILE --env sim|live --ledger NAME --funding REF --currency CNY
    --per-payment 200 --per-day 500 --total 2000 --out FILE
    --payee ID            may be repeated; without it: any enrolled payee
    --zone ZONE --days N --count N --epoch N --language en|zh --yes
  wallet show FILE        what a mandate says

  --help, --version

Examples, in the folder that saytap was cloned into:
  npm start
  npm exec saytap -- start --once --data /tmp/demo
  npm exec saytap -- inspect --env sim --ledger demo --key /tmp/demo/statements/glasses.key \\
    /tmp/demo/last.request
  npm exec saytap -- verify --env sim --ledger demo --kind key --key /tmp/demo/root.pub.pem \\
    /tmp/demo/statements/bridge.key
  npm exec saytap -- bridge --config /tmp/demo/bridge.yaml
  npm exec saytap -- keygen --out /tmp/root.key.pem

Exit codes: 0 done · 1 failed · 2 wrong usage · 3 configuration · 4 address in use or not
reachable · 5 storage · 6 key`;

const OPTIONS = {
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean' },
  once: { type: 'boolean' },
  data: { type: 'string' },
  language: { type: 'string' },
  config: { type: 'string' },
  'until-stdin-ends': { type: 'boolean' },
  key: { type: 'string' },
  kind: { type: 'string' },
  env: { type: 'string' },
  ledger: { type: 'string' },
  out: { type: 'string' },
  algorithm: { type: 'string' },
  wallet: { type: 'string' },
  to: { type: 'string' },
  funding: { type: 'string' },
  currency: { type: 'string' },
  'per-payment': { type: 'string' },
  'per-day': { type: 'string' },
  total: { type: 'string' },
  payee: { type: 'string', multiple: true },
  zone: { type: 'string' },
  days: { type: 'string' },
  count: { type: 'string' },
  epoch: { type: 'string' },
  yes: { type: 'boolean' },
} as const;

type Values = ReturnType<typeof parse>['values'];

const write = (line: string): void => void process.stdout.write(`${line}\n`);

async function run(): Promise<void> {
  const { values, positionals } = parse();
  const [command, ...rest] = positionals;
  if (values.version) return write(await version());
  const extra = rest[command === 'wallet' ? 2 : ['inspect', 'verify'].includes(command!) ? 1 : 0];
  if (extra !== undefined) throw usage(`${extra} is one argument too many`);
  if (values.help || command === undefined) {
    write(HELP);
    if (!values.help) process.exitCode = EXITS.usage;
    return;
  }
  if (values['until-stdin-ends']) {
    process.stdin.resume();
    // Standard input alone must not keep a program alive that has failed.
    (process.stdin as unknown as Partial<{ unref: () => void }>).unref?.();
    process.stdin.once('end', () => process.kill(process.pid, 'SIGTERM'));
  }
  switch (command) {
    case 'start': {
      const { main } = await import('../simulator/main.ts');
      const folder = values.data ?? defaultFolder();
      if (folder === '') throw usage('--data names no folder');
      // npm keeps an option for itself that stands before the two dashes.
      const once = values.once === true || process.env['npm_config_once'] === 'true';
      const language = oneOf(values.language ?? 'en', ['en', 'zh'], '--language');
      return main({ folder: resolve(folder), once, language }, write);
    }
    case 'bridge':
      return (await import('../broker/main.ts')).main(need(values, 'config'), write);
    case 'device':
      return (await import('../device/main.ts')).main(need(values, 'config'), write);
    case 'risk':
      return (await import('../broker/risk/main.ts')).main(need(values, 'config'), write);
    case 'ledger':
      return (await import('../broker/ledger/main.ts')).main(need(values, 'config'), write);
    case 'inspect':
      return inspectInput(values, rest);
    case 'verify':
      return verifyFile(values, rest);
    case 'keygen':
      return keygen(values);
    case 'wallet':
      return wallet(values, rest);
    default:
      throw usage(`there is no command ${command}`);
  }
}

function parse() {
  try {
    return parseArgs({ options: OPTIONS, allowPositionals: true });
  } catch (error) {
    throw usage(error instanceof Error ? error.message.split('. ')[0]! : String(error));
  }
}

async function version(): Promise<string> {
  const text = new TextDecoder().decode(
    requireBytes(files, join(import.meta.dirname, '../package.json')),
  );
  const { version: own } = JSON.parse(text) as { version: string };
  return `saytap ${own} (protocol 1, node ${process.version})`;
}

function defaultFolder(): string {
  const base = process.env['XDG_DATA_HOME'] ?? join(homedir(), '.local', 'share');
  return join(base, 'saytap', 'demo');
}

async function inspectInput(values: Values, [input]: readonly string[]): Promise<void> {
  if (input === undefined) throw usage('inspect needs a file, hex, base64url or -');
  const realm = realmOf(values, false);
  const lines = inspect(await readArgument(input), {
    ...(realm && { realm }),
    ...(values.kind !== undefined && { kind: kindOf(values) }),
    ...(values.key !== undefined && { key: readKey(values.key) }),
  });
  for (const line of lines) write(line);
}

async function verifyFile(values: Values, [input]: readonly string[]): Promise<void> {
  if (input === undefined) throw usage('verify needs a file');
  const realm = realmOf(values, true)!;
  const key = readKey(need(values, 'key'));
  const { id, value } = verify(await readArgument(input), kindOf(values), realm, key);
  write(`valid ${values.kind} ${id}`);
  write(JSON.stringify(value, undefined, 2));
}

function keygen(values: Values): void {
  const algorithm = oneOf(values.algorithm ?? 'ES256', ['ES256', 'EdDSA'], '--algorithm');
  makeKey(need(values, 'out'), algorithm);
}

function makeKey(path: string, algorithm: Algorithm): void {
  if (files.read(path))
    throw new OperatorError('key', `${path} exists already: choose another name`);
  const { key } = nodeSigner(openKeyFile(files, path, algorithm));
  files.replace(`${path}.pub`, utf8(publicPem(key)), 0o644);
  write(`${path} (private, keep it) and ${path}.pub, key ${toHex(key.kid)}`);
}

async function wallet(values: Values, [what, file]: readonly string[]): Promise<void> {
  switch (what) {
    case 'new':
      return makeKey(need(values, 'out'), 'ES256');
    case 'show': {
      if (file === undefined) throw usage('wallet show needs a file');
      const value = mandateKind.decode(payloadOf(requireBytes(files, file)));
      const language = oneOf(values.language ?? 'en', ['en', 'zh'], '--language');
      write(grantText(value, language, (payee) => payee));
      return write(JSON.stringify(toJson(value), undefined, 2));
    }
    case 'grant':
      return grant(values);
    default:
      throw usage('wallet new, wallet grant or wallet show');
  }
}

async function grant(values: Values): Promise<void> {
  const realm = realmOf(values, true)!;
  const currency = need(values, 'currency');
  const minor = (name: 'per-payment' | 'per-day' | 'total') =>
    parseDecimal(need(values, name), currency);
  const whole = (name: 'days' | 'count' | 'epoch', otherwise: number) => {
    const text = values[name];
    if (text !== undefined && !/^[1-9][0-9]{0,5}$/.test(text))
      throw usage(`--${name} is no number`);
    return text === undefined ? otherwise : Number(text);
  };
  const nowS = Math.floor(clock.nowMs() / 1000);
  const count = whole('count', 20);
  const perPaymentMax = minor('per-payment');
  const terms = {
    nbf: nowS - 60,
    exp: nowS + whole('days', 1) * 86_400,
    iat: nowS,
    cnf: readKey(need(values, 'to')).name,
    funding: need(values, 'funding'),
    currency,
    perPaymentMax,
    channels: CHANNELS.voice | CHANNELS.tap | CHANNELS.look | CHANNELS.touch,
    windows: [
      { kind: 'total', max: minor('total'), count: count * whole('days', 1) },
      { kind: 'calendar', period: 'day', zone: values.zone ?? 'UTC', max: minor('per-day'), count },
    ],
    allow: values.payee?.map((payee) => ({ kind: 'payee', payee }) as const) ?? [
      { kind: 'any' } as const,
    ],
    bands: [{ ceiling: minor('total'), level: 2 }],
    epoch: whole('epoch', 1),
  } as const;
  const language = oneOf(values.language ?? 'en', ['en', 'zh'], '--language');
  const text = grantText(terms, language, (payee) => payee);
  write(text);
  if (!values.yes) await requireYes();
  const out = need(values, 'out');
  const signer = nodeSigner(readKeyFile(files, need(values, 'wallet')));
  const { id, envelope } = await signMandate(terms, text, realm, signer);
  files.replace(out, envelope, 0o644);
  write(`mandate ${id} in ${out}`);
}

async function requireYes(): Promise<void> {
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  // Input that ends is an answer too, and not yes.
  const ended = new Promise<string>((done) => prompt.once('close', () => done('')));
  const answer = await Promise.race([prompt.question('Sign this? Type yes: '), ended]);
  prompt.close();
  if (answer.trim().toLowerCase() !== 'yes')
    throw new OperatorError('failed', 'nothing was signed');
}

/** A file when one has that name, else the text itself. */
async function readArgument(input: string): Promise<Uint8Array> {
  if (input === '-') {
    const chunks: Uint8Array[] = [];
    for await (const chunk of process.stdin) chunks.push(chunk as Uint8Array);
    return readInput(Uint8Array.from(Buffer.concat(chunks)));
  }
  // An object in hex or in a link is longer than any file name, which the system calls an error.
  const isLink = input.startsWith('saytap://');
  const isPath = /[./\\]/.test(input) && !isLink;
  const bytes = isPath || (!isLink && input.length <= 255) ? files.read(input) : undefined;
  if (bytes) return readInput(bytes);
  if (isPath) throw new OperatorError('usage', `${input} does not exist`);
  try {
    return readInput(input);
  } catch (cause) {
    const why = 'is no file here, and neither hex nor base64url nor a saytap:// link';
    throw new OperatorError('usage', `${input.slice(0, 40)} ${why}`, { cause });
  }
}

/** A public or private PEM, or a Key statement whose key is taken as it says. */
function readKey(path: string): VerifyKey {
  const bytes = requireBytes(files, path);
  if (bytes[0] === 0xd2) return loadKey(keyStatement.decode(payloadOf(bytes)).key);
  return readPublicPem(new TextDecoder().decode(bytes));
}

function kindOf(values: Values): KindName {
  const kind = need(values, 'kind');
  if (!kindNamed(kind)) throw usage(`there is no kind ${kind}`);
  return kind as KindName;
}

function realmOf(values: Values, isNeeded: boolean): Realm | undefined {
  if (!isNeeded && values.env === undefined && values.ledger === undefined) return undefined;
  const environment = oneOf(need(values, 'env'), ['sim', 'live'], '--env');
  return { environment, ledger: need(values, 'ledger') };
}

function need(values: Values, name: keyof Values): string {
  const value = values[name];
  if (typeof value !== 'string') throw usage(`--${name} is needed`);
  return value;
}

function oneOf<const T extends string>(value: string, allowed: readonly T[], option: string): T {
  const found = allowed.find((one) => one === value);
  if (found === undefined) throw usage(`${option} is ${allowed.join(' or ')}`);
  return found;
}

function usage(why: string): OperatorError {
  return new OperatorError('usage', `${why}; see saytap --help`);
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
  await run();
} catch (error) {
  const [line, code] = explain(error);
  process.stderr.write(`saytap: ${line}\n`);
  process.exitCode = code;
}
// Whatever a program still holds open, its work is done or has failed.
process.exit();
