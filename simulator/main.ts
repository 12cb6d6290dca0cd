/**
 * `saytap start`: a whole payment system on one machine, and a story told with it.
 *
 * Risk, ledger and bridge (with its embedded broker) are processes of their own, started from the
 * same configuration files that an operator would write; glasses and kiosk run here.
 */
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { parseConfig } from '../src/config.ts';
import { OperatorError, PaymentError } from '../src/errors.ts';
import { requireText } from '../src/files.ts';
import { openSecretFile } from '../src/keyfile.ts';
import { formatMoney } from '../src/money.ts';
import { within } from '../src/patience.ts';
import { archive } from '../src/node/archive.ts';
import { type Child, startChild } from '../src/node/child.ts';
import { createHttp } from '../src/node/http.ts';
import { connectLink } from '../src/node/link.ts';
import { createLog } from '../src/node/log.ts';
import { clock, files, machine, random, timers } from '../src/node/platform.ts';
import { askSocket } from '../src/node/socket.ts';
import { openDatabase } from '../src/node/sqlite.ts';
import { codeWasm } from '../src/node/wasm.ts';
import { type RunningGlasses, type RunningKiosk, startDevice } from '../device/compose.ts';
import { deviceConfig } from '../device/config.ts';
import { type Counter, serve, wear } from '../device/prompt.ts';
import type { Surface } from '../device/surface/port.ts';
import { createTerminalSurface } from '../device/surface/terminal.ts';
import { toHex } from '../src/bytes.ts';
import { READY_MS } from '../src/limits.ts';
import { type Installation, STORY, install } from './install.ts';
import { playStory, watchQuestions } from './story.ts';
import { type Teller, createTeller } from './teller.ts';

export type StartOptions = Readonly<{
  folder: string;
  /** End after the story. */
  once: boolean;
  language: 'en' | 'zh';
}>;

/** Runs the system, tells the story, then takes sentences until `quit`. Throws OperatorError. */
export async function main(options: StartOptions, write: (line: string) => void): Promise<void> {
  const isColoured = process.stdout.isTTY === true && process.env['NO_COLOR'] === undefined;
  const paint = (text: string, code: string) =>
    isColoured ? `\u001b[${code}m${text}\u001b[0m` : text;
  const system = await startSystem(options, {
    write,
    isColoured,
    progress: (line) => write(paint(`· ${line}`, '2')),
  });
  let stopped: Promise<never> | undefined;
  const stopOnSignal = () => {
    stopped ??= system.stop().then(() => process.exit(130));
  };
  process.once('SIGINT', stopOnSignal);
  process.once('SIGTERM', stopOnSignal);
  try {
    write('');
    write(paint(' SIMULATED ', '30;43') + ' no real money moves here');
    const faults = await playStory({
      ...system,
      timers,
      language: options.language,
      narrate: (line) => write(`         ${line}`),
      scene: (line) => write(`\n${paint(line, '1;34')}`),
      kioskSays: (line) => write(`${paint('kiosk', '1')}    ${line}`),
    });
    if (faults.length > 0) {
      throw new OperatorError('failed', `the story went wrong: ${faults.join('; ')}`);
    }
    write('');
    write(`look at a payment: npm exec saytap -- inspect ${system.example}`);
    if (!options.once) await converse(system, options, write);
  } finally {
    process.off('SIGINT', stopOnSignal);
    process.off('SIGTERM', stopOnSignal);
    // Whoever is told to stop in the middle of the story is not told that it went wrong.
    await (stopped ?? system.stop());
  }
}

type System = Readonly<{
  glasses: RunningGlasses;
  kiosk: RunningKiosk;
  /** What each of them shows. */
  surfaces: Readonly<{ glasses: Surface; kiosk: Surface }>;
  teller: Teller;
  asked: () => Promise<void>;
  /** Arguments of `inspect` that show the last request. */
  example: string;
  stop: () => Promise<void>;
}>;

type Show = Readonly<{
  write: (line: string) => void;
  isColoured: boolean;
  progress: (line: string) => void;
}>;

async function startSystem(options: StartOptions, show: Show): Promise<System> {
  const { folder, language } = options;
  await requireIdle(folder);
  show.progress(`everything is kept in ${folder}`);
  const place = await install({ files, random, clock }, folder, language);
  const children: Child[] = [];
  const stops: (() => Promise<void>)[] = [];
  const stop = async () => {
    for (const end of stops.splice(0).reverse()) await end();
    // The bridge first, while the services that it may still ask are there.
    for (const child of children.splice(0).reverse()) await child.stop();
  };
  try {
    const run = async (program: 'risk' | 'ledger' | 'bridge', settings: object) => {
      const script = join(import.meta.dirname, '..', 'src', 'cli.ts');
      const child = await startChild(script, [
        program,
        '--config',
        place.configure(program, settings),
      ]);
      children.push(child);
      show.progress(child.said);
      // The file says where it listens, so that each program can be started alone from it.
      place.configure(program, listeningAt(settings, urlIn(child.said)));
      return child.said;
    };
    const listen = { host: '127.0.0.1', port: 0 };
    const risk = await run('risk', {
      environment: 'sim',
      listen,
      database: 'risk.db',
      secret: 'risk.secret',
      // The story may be told again and again: speed alone does not stop it.
      thresholds: { stepUp: 650, deny: 800 },
    });
    const ledger = await run('ledger', {
      environment: 'sim',
      listen,
      database: 'ledger.db',
      secret: 'ledger.secret',
    });
    const teller = await openAccounts(place, urlIn(ledger), stops, show);
    const shared = {
      ...STORY.realm,
      root: 'root.pub.pem',
      statements: 'statements',
      policy: 'platform.policy',
    };
    const bridge = await run('bridge', {
      ...shared,
      folder: 'bridge',
      mqtt: { listen },
      risk: { url: urlIn(risk), secret: 'risk.secret' },
      backends: [{ kind: 'ledger', url: urlIn(ledger), secret: 'ledger.secret' }],
      log: 'warn',
    });
    const questions = watchQuestions(timers);
    const device = (name: 'glasses' | 'kiosk', settings: object) => {
      const file = place.configure(name, {
        ...shared,
        profile: name,
        folder: name,
        mqtt: { url: urlIn(bridge) },
        ...settings,
      });
      const real = createTerminalSurface(show.write, { name, isColoured: show.isColoured });
      const surface: Surface = {
        ...real,
        ask(frame, sentence, wants) {
          real.ask(frame, sentence, wants);
          questions.tell();
        },
      };
      const ports = {
        clock,
        timers,
        random,
        files,
        archive,
        connect: connectLink,
        openDatabase,
        codeWasm,
      };
      const config = parseConfig(deviceConfig, requireText(files, file), file);
      const running = startDevice(
        config,
        (path) => resolve(folder, path),
        { ...ports, log: createLog(config.log, 'device'), machine: machine() },
        surface,
      );
      stops.push(running.stop);
      return { running, surface };
    };
    const wearer = device('glasses', {
      device: STORY.glasses,
      mandates: 'mandates',
      language,
    });
    const counter = device('kiosk', { device: STORY.kiosk, language });
    const [glasses, kiosk] = [wearer.running, counter.running];
    if (glasses.kind !== 'glasses' || kiosk.kind !== 'kiosk') throw new Error('profiles mixed up');
    const isReady = Promise.all([glasses.ready(), kiosk.ready()]).then(() => true);
    if (!(await within(timers, READY_MS, isReady))) {
      throw new OperatorError('address', 'the devices cannot reach the bridge');
    }
    show.progress('glasses and kiosk are ready; for this run the wallet has granted anew:');
    for (const line of place.grantText.split('\n')) show.progress(`  ${line}`);
    const example = keepExample(glasses, folder);
    const surfaces = { glasses: wearer.surface, kiosk: counter.surface };
    return { glasses, kiosk, surfaces, teller, asked: questions.asked, example, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Before anything is written: a second run would grant another mandate beside the first. */
async function requireIdle(folder: string): Promise<void> {
  const answer = await askSocket(join(folder, 'bridge', 'operator.sock'), '{}');
  if (answer === undefined) return;
  throw new OperatorError(
    'storage',
    'npm start runs already on this data: stop it, or name another with --data',
  );
}

/** Keeps the newest request in a file, so that `inspect` has something real to show. */
function keepExample(glasses: RunningGlasses, folder: string): string {
  const path = join(folder, 'last.request');
  let newestMs = 0;
  glasses.onReceipt((id) => {
    const entry = glasses.outbox.get(id);
    if (entry?.kind !== 'request' || entry.storedMs < newestMs) return;
    newestMs = entry.storedMs;
    files.replace(path, entry.envelope, 0o600);
  });
  const statement = join(folder, 'statements', 'glasses.key');
  const { environment, ledger } = STORY.realm;
  return `--env ${environment} --ledger ${ledger} --key ${quoted(statement)} ${quoted(path)}`;
}

/** A path as a shell reads it. */
function quoted(path: string): string {
  return /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}

/** The settings with the port that was chosen for port 0. */
function listeningAt(settings: object, url: string): object {
  const listen = { host: '127.0.0.1', port: Number(new URL(url).port) };
  return 'mqtt' in settings ? { ...settings, mqtt: { listen } } : { ...settings, listen };
}

/** Opens the wearer's account, and pays in when it is nearly empty: the story spends 47 yuan. */
async function openAccounts(
  place: Installation,
  url: string,
  stops: (() => Promise<void>)[],
  show: Show,
): Promise<Teller> {
  const secret = openSecretFile(files, random, join(place.folder, 'ledger.secret'), 32);
  const { http, close } = createHttp();
  stops.push(async () => close());
  const teller = createTeller({ http, url, secret, clock, random });
  const start = { currency: STORY.currency, minor: 1_000_00n };
  await teller.open(STORY.funding, place.wallet, start);
  const own = (await teller.balances()).find(({ kind }) => kind === 'funding');
  if (own && own.money.minor < 300_00n) {
    show.progress(`the account is low: ${formatMoney(start, 'en')} paid in`);
    await teller.deposit(toHex(random(16)), STORY.funding, start);
  }
  return teller;
}

/** A line of the prompt that begins with “kiosk”. */
const KIOSK = /^kiosk(?: (.*))?$/i;

/** The prompt of the wearer and of the clerk. */
async function converse(system: System, options: StartOptions, write: (line: string) => void) {
  const { glasses, kiosk, surfaces, teller } = system;
  const { language } = options;
  const eyes = { device: glasses.device, surface: surfaces.glasses, files };
  const counter: Counter = {
    terminal: kiosk.terminal,
    device: kiosk.device,
    surface: surfaces.kiosk,
    files,
    folder: join(options.folder, 'kiosk'),
    language,
  };
  write('');
  write(
    'You are the wearer now: “pay 3 yuan to Luckin Coffee”, “付二十元给瑞幸咖啡”, “balance”, ' +
      '“cancel”, “help”, “quit”.',
  );
  write('An empty line is a tap on the temple. A question waits 20 seconds for its answer.');
  write(
    'You are the clerk too: “kiosk 2 Latte 40 yuan”, which you pay by “look ORDER.png”, ' +
      '“kiosk refund last 5 yuan”, “kiosk help”; “kiosk” alone presses its button.',
  );
  const input = createInterface({ input: process.stdin, output: process.stdout, prompt: '> ' });
  let isOpen = true;
  input.once('close', () => (isOpen = false));
  input.once('SIGINT', () => process.kill(process.pid, 'SIGINT'));
  input.prompt();
  for await (const line of input) {
    const text = line.trim();
    // Leaving wins over an open question: what was not confirmed is not sent.
    if (/^(quit|exit|退出)$/i.test(text)) break;
    const clerk = KIOSK.exec(text);
    const done = clerk ? serve(counter, clerk[1] ?? '') : wear(eyes, text);
    const told = done.catch((error: unknown) => {
      if (!(error instanceof PaymentError)) throw error;
    });
    void told.then(async () => {
      if (/^(balance|余额)$/.test(text)) {
        await showAccounts(teller, options, write).catch((error: Error) => write(error.message));
      }
      if (isOpen) input.prompt();
    });
    // Each line has a turn of its own, or several of one piece meet a device that is still busy
    // with the first.
    await new Promise<void>((turn) => timers.soon(turn));
  }
  input.close();
  await Promise.all([glasses.leave(), kiosk.leave()]);
}

async function showAccounts(teller: Teller, options: StartOptions, write: (line: string) => void) {
  for (const { account, kind, money } of await teller.balances()) {
    if (kind === 'funding' || kind === 'payee') {
      write(`ledger   ${account} ${formatMoney(money, options.language)}`);
    }
  }
}

/** The address at the end of a program's first line. */
function urlIn(said: string): string {
  const url = /\S+:\/\/\S+$/.exec(said)?.[0];
  if (!url) throw new OperatorError('failed', `expected an address, heard “${said}”`);
  return url;
}
