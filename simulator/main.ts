/**
 * `saytap start` and `saytap sim`: a whole payment system on one machine, a story told with it, and
 * its page.
 *
 * Here are the real ports, the terminal and the prompt; what runs is in system.ts. A program is a
 * process of its own, started from the same kind of file that an operator would write.
 */
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { toBase64url } from '../src/bytes.ts';
import { OperatorError, PaymentError } from '../src/errors.ts';
import { requireText } from '../src/files.ts';
import { SIM_BYTES_MAX } from '../src/limits.ts';
import { formatMoney } from '../src/money.ts';
import { archive } from '../src/node/archive.ts';
import { startBroker } from '../src/node/broker.ts';
import { readLines, startChild } from '../src/node/child.ts';
import { type HttpServer, createHttp, serveHttp } from '../src/node/http.ts';
import { connectLink } from '../src/node/link.ts';
import { createLog } from '../src/node/log.ts';
import { openPages } from '../src/node/pages.ts';
import { clock, files, machine, random, timers } from '../src/node/platform.ts';
import { askSocket } from '../src/node/socket.ts';
import { openDatabase } from '../src/node/sqlite.ts';
import { codeWasm } from '../src/node/wasm.ts';
import type { RunningGlasses } from '../device/compose.ts';
import { type Counter, type Eyes, serve, wear } from '../device/prompt.ts';
import type { Surface } from '../device/surface/port.ts';
import { createTerminalSurface } from '../device/surface/terminal.ts';
import { createGate } from './gate.ts';
import { type Play, openHost } from './host.ts';
import { STORY } from './install.ts';
import { requireScenario } from './scenario.ts';
import { playStory, watchQuestions } from './story.ts';
import type { Teller } from './teller.ts';

export type StartOptions = Readonly<{
  folder: string;
  /** End after the story. */
  once: boolean;
  language: 'en' | 'zh';
  /** Serve the page while it runs. */
  page: boolean;
}>;

export type PageOptions = Readonly<{ folder: string; language: 'en' | 'zh'; port: number }>;

/** Runs the system, tells the story, then takes sentences until `quit`. Throws OperatorError. */
export async function main(options: StartOptions, write: (line: string) => void): Promise<void> {
  const isColoured = process.stdout.isTTY === true && process.env['NO_COLOR'] === undefined;
  const paint = (text: string, code: string) =>
    isColoured ? `\u001b[${code}m${text}\u001b[0m` : text;
  const progress = (line: string) => write(paint(`· ${line}`, '2'));
  const all = await startAll(options, {
    progress,
    surfaceOf(device) {
      const name = LABELS.get(device) ?? device;
      return createTerminalSurface(write, { name, isColoured });
    },
  });
  let stopped: Promise<never> | undefined;
  const stopOnSignal = () => {
    stopped ??= all.stop().then(() => process.exit(130));
  };
  process.once('SIGINT', stopOnSignal);
  process.once('SIGTERM', stopOnSignal);
  try {
    progress('glasses and kiosk are ready; for this run the wallet has granted anew:');
    for (const line of all.system.place.grantText.split('\n')) progress(`  ${line}`);
    if (options.page && !options.once) {
      progress(`see all of it, and make it go wrong, in a browser: ${await all.serve(0)}`);
    }
    write('');
    write(paint(' SIMULATED ', '30;43') + ' no real money moves here');
    const { system, asked } = all;
    const faults = await playStory({
      glasses: system.glasses(STORY.glasses),
      kiosk: system.kiosk(STORY.kiosk),
      ...{ teller: system.teller, asked, timers },
      language: options.language,
      narrate: (line) => write(`         ${line}`),
      scene: (line) => write(`\n${paint(line, '1;34')}`),
      kioskSays: (line) => write(`${paint('kiosk', '1')}    ${line}`),
    });
    if (faults.length > 0) {
      throw new OperatorError('failed', `the story went wrong: ${faults.join('; ')}`);
    }
    write('');
    write(`look at a payment: npm exec saytap -- inspect ${all.example}`);
    if (!options.once) await converse(all, options, write);
  } finally {
    process.off('SIGINT', stopOnSignal);
    process.off('SIGTERM', stopOnSignal);
    // Whoever is told to stop in the middle of the story is not told that it went wrong.
    await (stopped ?? all.stop());
  }
}

/**
 * `saytap sim`: the same system with its page alone, until SIGTERM or SIGINT. Throws OperatorError.
 */
export async function page(options: PageOptions, write: (line: string) => void): Promise<void> {
  const told = new Promise<void>((done) => {
    process.once('SIGTERM', () => done());
    process.once('SIGINT', () => done());
  });
  const silent: Surface = { ask: () => {}, say: () => {} };
  const all = await startAll(options, { progress: () => {}, surfaceOf: () => silent });
  try {
    write(`SIMULATED, no real money moves. Open in a browser: ${await all.serve(options.port)}`);
    await told;
  } finally {
    await all.stop();
  }
}

type Show = Readonly<{
  progress: (line: string) => void;
  surfaceOf: (device: string) => Surface;
}>;

type All = Awaited<ReturnType<typeof startAll>>;

/** Starts everything, and waits until the devices can pay. Throws OperatorError. */
async function startAll(
  { folder, language }: Pick<StartOptions, 'folder' | 'language'>,
  show: Show,
) {
  const { http, close: closeHttp } = createHttp();
  const questions = watchQuestions(timers);
  const surfaceOf = (device: string): Surface => {
    const real = show.surfaceOf(device);
    return {
      ...real,
      ask(...given) {
        real.ask(...given);
        questions.tell();
      },
    };
  };
  const host = await openHost({
    ...{ folder, language, surfaceOf, progress: show.progress },
    plays: playsWith(questions.asked),
    ports: {
      ...{ clock, timers, random, files, archive, openDatabase, codeWasm, http, startBroker },
      connect: connectLink,
      machine: machine(),
      log: (level) => createLog(level, 'device'),
      serve: serveHttp,
      run: (program, file) => startChild(SCRIPT, [program, '--config', file]),
      ask: askSocket,
    },
  }).catch((error: unknown) => {
    closeHttp();
    throw error;
  });
  const { system } = host;
  let server: HttpServer | undefined;
  const stop = async () => {
    await host.stop();
    await server?.close();
    closeHttp();
  };

  /** Serves the page on loopback alone; the address carries the secret of this run. */
  async function serve(port: number): Promise<string> {
    const secret = toBase64url(random(SECRET_BYTES));
    const pages = openPages('simulator');
    const { verbs, begin } = host;
    const gate = createGate({ secret, pages, verbs, begin, port: () => server!.port });
    const at = { host: '127.0.0.1', port, portOption: '--port', bytesMax: SIM_BYTES_MAX };
    server = await serveHttp({ ...at, ...gate });
    return `http://127.0.0.1:${server.port}/#${secret}`;
  }

  try {
    await system.ready();
  } catch (error) {
    await stop();
    throw error;
  }
  const example = keepExample(system.glasses(STORY.glasses), folder);
  return { system, surfaceOf, asked: questions.asked, example, serve, stop };
}

const SCRIPT = join(import.meta.dirname, '..', 'src', 'cli.ts');
const SECRET_BYTES = 24;

/** What can be played for people who look: the story here, days of the scenarios in a world. */
function playsWith(asked: () => Promise<void>): readonly Play[] {
  const story: Play = {
    view: { name: 'story', about: STORY_ABOUT, where: 'here' },
    async run(tell, system) {
      const faults = await playStory({
        glasses: system.glasses(STORY.glasses),
        kiosk: system.kiosk(STORY.kiosk),
        ...{ teller: system.teller, asked, timers, language: 'en' },
        narrate: tell,
        scene: (line) => tell(line, 'scene'),
        kioskSays: (line) => tell(`kiosk: ${line}`),
      });
      for (const fault of faults) tell(fault, 'bad');
      return faults.length === 0;
    },
  };
  const folder = join(import.meta.dirname, 'scenarios');
  const days = files.list(folder).map((file): Play => {
    const name = file.replace(/\.yaml$/, '');
    const { about } = requireScenario(requireText(files, join(folder, file)), file);
    return {
      view: { name, about: about.split('. ')[0]!.replace(/\.?$/, '.'), where: 'virtual' },
      run: async (tell) => (await readLines(SCRIPT, ['scenario', 'run', name], tell)) === 0,
    };
  });
  return [story, ...days];
}

const STORY_ABOUT = 'Glasses pay by voice, by looking and by tapping; the kiosk gives some back.';

/** What the two of the story are called before their lines. */
const LABELS: ReadonlyMap<string, string> = new Map([
  [STORY.glasses, 'glasses'],
  [STORY.kiosk, 'kiosk'],
]);

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

/** A line of the prompt that begins with “kiosk”. */
const KIOSK = /^kiosk(?: (.*))?$/i;

/** The prompt of the wearer and of the clerk. */
async function converse(all: All, options: StartOptions, write: (line: string) => void) {
  const { system, surfaceOf } = all;
  const { language } = options;
  const surfaces = { glasses: surfaceOf(STORY.glasses), kiosk: surfaceOf(STORY.kiosk) };
  // Asked for each line: a device may have been started again meanwhile.
  const eyes = (): Eyes => {
    const { device } = system.glasses(STORY.glasses);
    return { device, surface: surfaces.glasses, files };
  };
  const counter = (): Counter => ({
    ...{ terminal: system.kiosk(STORY.kiosk).terminal, device: system.kiosk(STORY.kiosk).device },
    ...{ surface: surfaces.kiosk, files, folder: join(options.folder, 'kiosk'), language },
  });
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
    const done = (async () => (clerk ? serve(counter(), clerk[1] ?? '') : wear(eyes(), text)))();
    const told = done.catch((error: unknown) => {
      if (!(error instanceof PaymentError)) throw error;
    });
    void told.then(async () => {
      if (/^(balance|余额)$/.test(text)) {
        await showAccounts(system.teller, options, write).catch((error: Error) =>
          write(error.message),
        );
      }
      if (isOpen) input.prompt();
    });
    // Each line has a turn of its own, or several of one piece meet a device that is still busy
    // with the first.
    await new Promise<void>((turn) => timers.soon(turn));
  }
  input.close();
  await Promise.all(system.members().map((member) => member.running()?.leave()));
}

async function showAccounts(teller: Teller, options: StartOptions, write: (line: string) => void) {
  for (const { account, kind, money } of await teller.balances()) {
    if (kind === 'funding' || kind === 'payee') {
      write(`ledger   ${account} ${formatMoney(money, options.language)}`);
    }
  }
}
