/** A device as a program: the real ports, a prompt, and what a person types into it. */
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { toHex, utf8 } from '../src/bytes.ts';
import { parseConfig, settingsOf } from '../src/config.ts';
import { collect, namesIn } from '../src/diag.ts';
import { type Finding, examine } from '../src/doctor.ts';
import { OperatorError } from '../src/errors.ts';
import { requireBytes, requirePlace, requireText } from '../src/files.ts';
import { createGate } from '../src/gate.ts';
import { openSecretFile } from '../src/keyfile.ts';
import { thumbprint } from '../src/keys.ts';
import {
  CONTACT_MS,
  CONTACT_WAIT_MS,
  GATE_SECRET_BYTES,
  HTTP_BYTES_MAX,
  SUCCESSION_MS,
  SUCCESSION_SOON_MS,
  UPDATE_ASK_MS,
} from '../src/limits.ts';
import { archive } from '../src/node/archive.ts';
import { gzip } from '../src/node/compress.ts';
import { createHttp, serveHttp } from '../src/node/http.ts';
import { connectLink } from '../src/node/link.ts';
import { createLog } from '../src/node/log.ts';
import { openPages } from '../src/node/pages.ts';
import { loadTokens } from '../src/node/pkcs11.ts';
import { createMetrics } from '../src/node/metrics.ts';
import { clock, credentials, files, machine, random, timers } from '../src/node/platform.ts';
import { askSocket, serveSocket } from '../src/node/socket.ts';
import { openDatabase } from '../src/node/sqlite.ts';
import { findSupervisor } from '../src/node/supervisor.ts';
import { surroundings } from '../src/node/surroundings.ts';
import { nextUnseen } from '../src/node/terminal.ts';
import { codeWasm } from '../src/node/wasm.ts';
import { parseDecimal } from '../src/money.ts';
import type { KeyStatement } from '../src/objects/key.ts';
import { within } from '../src/patience.ts';
import type { Log } from '../src/platform.ts';
import { countsOf } from './checks.ts';
import { type RunningGlasses, type RunningKiosk, startDevice } from './compose.ts';
import { type DeviceConfig, deviceConfig, deviceSettings } from './config.ts';
import { deviceChecks } from './doctor.ts';
import {
  type Refusal,
  brokerOf,
  contactBridge,
  enrolDevice,
  enrolledConfig,
  settleEnrolment,
} from './enrolment.ts';
import { openKeyStore } from './keys/choice.ts';
import { measureDevice } from './metrics.ts';
import { createOutbox, isReadable } from './outbox.ts';
import { type Language, clerkPhrases, enrolPhrases } from './phrases.ts';
import { PIN_FILE, type Pin, createPin, pinFault } from './pin.ts';
import { serve, wear } from './prompt.ts';
import { OUTBOX_FILE } from './salvage.ts';
import { codeLines, makeCode } from './surface/code.ts';
import {
  type Progress,
  type Succession,
  createSuccession,
  settleSuccession,
  wantSuccession,
} from './succession.ts';
import type { Surface } from './surface/port.ts';
import { type Screen, createScreen } from './surface/screen.ts';
import { createTerminalSurface } from './surface/terminal.ts';
import { createTouch } from './touch.ts';
import { SPEAKER_FILE } from './tries.ts';
import { WINDOW_HEADER } from './view.ts';
import { createWindow } from './window.ts';
import { finishWipe } from './wipe.ts';

/** What its configuration may say. */
export const settings = settingsOf(deviceConfig, deviceSettings, (config, file) => {
  const told = enrolledConfig(config, (path) => resolve(dirname(file), path), files);
  const remark = 'where its broker is, mqtt, is told when it is enrolled: saytap device enrol';
  return { config: told, ...(told.mqtt === undefined && { remark }) };
});

/**
 * Enrols the device of a configuration file; resolves once it is enrolled. Throws OperatorError.
 */
export async function enrol(
  configFile: string,
  isAgain: boolean,
  write: (line: string) => void,
): Promise<void> {
  const config = parseConfig(deviceConfig, requireText(files, configFile), configFile);
  const at = (path: string) => resolve(dirname(configFile), path);
  const { http, close } = createHttp();
  try {
    const keys = openKeyStore(config, at, keyPorts);
    const tell = (line: string, code?: string) => {
      write(line);
      if (code !== undefined) for (const row of codeLines(makeCode(code))) write(row);
    };
    const parts = { config, at, keys, files, random, clock, timers, http, tell };
    await enrolDevice(parts, isAgain);
  } finally {
    close();
  }
}

/** Sets the device's PIN. Throws OperatorError when it is none or cannot be kept. */
export function setPin(configFile: string, digits: string): void {
  const fault = pinFault(digits);
  if (fault) throw new OperatorError('failed', `${fault}: nothing was set`);
  changePin(configFile, (pin) => pin.set(digits));
}

/** And what was counted of voices, which are asked for again where a matcher is. */
export function clearPin(configFile: string): void {
  const tries = join(folderOf(configFile), SPEAKER_FILE);
  changePin(configFile, (pin) => {
    pin.clear();
    files.erase(tries);
  });
}

function changePin(configFile: string, change: (pin: Pin) => void): void {
  const folder = folderOf(configFile);
  requirePlace(files, join(folder, PIN_FILE));
  if (!files.access(folder).own) {
    throw new OperatorError('storage', `${folder} is another user's: run this as that user`);
  }
  try {
    change(createPin(files, random, join(folder, PIN_FILE)));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new OperatorError('storage', `the PIN is as it was: ${why}`, { cause });
  }
}

/** The kept transcript of a payment. Throws OperatorError when there is none. */
export function transcriptOf(configFile: string, payment: string): string {
  const path = join(folderOf(configFile), OUTBOX_FILE);
  requireBytes(files, path);
  const database = openDatabase(path);
  try {
    const kept = createOutbox(database, 'old').get(payment)?.transcript;
    if (kept) return new TextDecoder().decode(kept);
  } finally {
    database.close();
  }
  throw new OperatorError('failed', `this device keeps no transcript of a payment ${payment}`);
}

function folderOf(configFile: string): string {
  const config = parseConfig(deviceConfig, requireText(files, configFile), configFile);
  return resolve(dirname(configFile), config.folder);
}

/**
 * Whether the device of a configuration file may be updated, asked for up to `waitMs`. Yes when
 * none runs; after a yes a running one begins nothing new for UPDATE_HOLD_MS.
 */
export async function mayUpdate(configFile: string, waitMs: number): Promise<boolean> {
  const path = join(folderOf(configFile), SOCKET);
  const until = clock.monotonicMs() + waitMs;
  for (;;) {
    const answer = await askSocket(path, 'update');
    if (answer === undefined || answer === 'yes') return true;
    if (clock.monotonicMs() >= until) return false;
    await new Promise<void>((done) => timers.after(UPDATE_ASK_MS, done));
  }
}

/** Where a running device answers programs of its own user. */
const SOCKET = 'device.sock';

/** Runs the device of a configuration file with a prompt, until `quit`, end of input or SIGTERM. */
export async function main(configFile: string, write: (line: string) => void): Promise<void> {
  const isColoured = process.stdout.isTTY === true;
  const config = parseConfig(deviceConfig, requireText(files, configFile), configFile);
  const at = (path: string) => resolve(dirname(configFile), path);
  await finishWipe({ config, at, files }, () => openKeyStore(config, at, keyPorts));
  const keys = () => openKeyStore(config, at, keyPorts);
  await settleEnrolment({ config, at, files, keys });
  await settleSuccession({ config, at, files, keys });
  const { device: name } = enrolledConfig(config, at, files);
  const log = createLog(config.log, 'device');
  const screen = config.screen && createScreen(timers);
  const terminal = createTerminalSurface(write, { name, isColoured });
  const surface = screen ? both(terminal, screen.surface) : terminal;
  const contact = config.enrol && startContact(config, at, log);
  // What changed while it was off counts from now on, if the bridge is there at once.
  await within(timers, CONTACT_WAIT_MS, contact?.first ?? Promise.resolve());

  const staff = createTerminalSurface(write, { name: 'staff', isColoured }).say;
  const ports = { ...devicePorts, log, machine: machine() };
  const metrics = createMetrics('device');
  const measure = measureDevice(metrics, () => running, clock);
  const ended = Promise.withResolvers<OperatorError>();
  function start(): AnyDevice {
    const started = startDevice(config, at, ports, surface, staff);
    contact?.onRefusal(started.hearRefusal);
    void started.failed.then(ended.resolve);
    measure(started);
    shown?.renew();
    return started;
  }
  let shown: Shown | undefined;
  let running = start();
  /** Awaited by whoever wants to use it: for a moment there may be none. */
  let composed = Promise.resolve(running);

  /** Its parts are put together anew: under the next key, or with what contact has brought. */
  async function exchange(): Promise<AnyDevice> {
    await running.stop();
    await settleSuccession({ config, at, files, keys });
    running = start();
    log('info', 'put together anew', { key: toHex(thumbprint(running.statement.key)) });
    return running;
  }
  const succession = contact && {
    ...createSuccession({ config, at, files, keys, http: contact.http, clock, log }),
    isNews: contact.isNews,
  };
  const renewals =
    succession &&
    startRenewals(log, succession, {
      running: () => running,
      async exchange() {
        composed = exchange();
        await composed.catch((error: unknown) => {
          if (!(error instanceof OperatorError)) throw error;
          ended.resolve(error);
        });
      },
    });

  const scrape = config.metrics && (await metrics.serve(config.metrics.port));
  const broker = brokerOf(config, at, files).url;
  write(`${name} (${config.profile}, ${config.environment}) on ${broker}`);
  if (scrape) write(`metrics at http://127.0.0.1:${scrape.port}/metrics`);
  shown = screen && (await showScreen(config, at, { screen, running: () => running, log }));
  if (shown) write(`screen at http://127.0.0.1:${shown.port}/, whole address in ${shown.file}`);
  const own = await serveSocket(join(at(config.folder), SOCKET), (question) =>
    Promise.resolve(question === 'update' && running.updates.ask() ? 'yes' : 'no'),
  );
  const supervisor = findSupervisor();
  supervisor.ready(() => isReadable(running.outbox));
  let failure: OperatorError | undefined;
  const failed = ended.promise.then((error) => void (failure = error));
  if (config.prompt) {
    const use = () => composed;
    await converse(config, at(config.folder), { use, failed, screen }, surface, write);
  } else await Promise.race([untilTold(), failed]);
  supervisor.stopping();
  // Nothing can be kept any more; what is open is told at the next start.
  if (failure) throw failure;
  await renewals?.stop();
  await own.close();
  await shown?.close();
  await running.leave();
  await running.stop();
  contact?.stop();
  await scrape?.close();
}

type Shown = Readonly<{
  port: number;
  /** Where the address with its secret is. */
  file: string;
  renew: () => void;
  close: () => Promise<void>;
}>;

/** Serves the page of a kiosk's screen. Throws OperatorError. */
async function showScreen(
  config: DeviceConfig,
  at: (path: string) => string,
  parts: Readonly<{ screen: Screen; running: () => AnyDevice; log: Log }>,
): Promise<Shown> {
  const { screen, running, log } = parts;
  const { language, environment } = config;
  const { listen, currency, catalogue } = config.screen!;
  const folder = at(config.folder);
  const secret = toHex(
    openSecretFile(files, random, join(folder, 'screen.secret'), GATE_SECRET_BYTES),
  );
  const gate = createGate({ header: WINDOW_HEADER, secret, port: () => port });
  const window = createWindow({
    ...{ gate, screen, timers, log },
    pages: openPages('screen'),
    touch: createTouch({ device: running, screen, files, folder, language }),
    hello: () => ({
      ...{ kind: 'hello', language, environment, currency },
      title: titleOf(running().statement, language),
      offers: catalogue.map(({ text, price }) => {
        return { text, minor: String(parseDecimal(price, currency)) };
      }),
    }),
    state: () => ({
      isOnline: running().link.state() === 'ready',
      open: running().outbox.open().length,
    }),
  });
  const { answer, feed } = window;
  const served = { ...listen, bytesMax: HTTP_BYTES_MAX, portOption: 'screen.listen.port' };
  const server = await serveHttp({ ...served, answer, feed });
  const { port } = server;
  const file = join(folder, 'screen.url');
  files.replace(file, utf8(`http://127.0.0.1:${port}/#${secret}\n`), 0o600);
  return {
    ...{ port, file, renew: window.renew },
    close() {
      window.renew();
      return server.close();
    },
  };
}

function titleOf({ payee = '', names = [] }: KeyStatement, language: Language): string {
  return (names.find(([one]) => one === language) ?? names[0])?.[1] ?? payee;
}

/** What is shown, and written down for whoever reads the log. */
function both(one: Surface, other: Surface): Surface {
  return {
    ask(...asked) {
      one.ask(...asked);
      other.ask(...asked);
    },
    say(...said) {
      one.say(...said);
      other.say(...said);
    },
  };
}

/**
 * Notes that a device is to have a new key. It gets it while it runs: the running program looks
 * within a minute, one that does not run looks when it is started.
 */
export function renew(configFile: string, write: (line: string) => void): void {
  const config = parseConfig(deviceConfig, requireText(files, configFile), configFile);
  const at = (path: string) => resolve(dirname(configFile), path);
  const keys = () => openKeyStore(config, at, keyPorts);
  const isNew = wantSuccession({ config, at, files, keys }, true);
  const { language } = config;
  write(isNew ? enrolPhrases.renewing(language) : enrolPhrases.renewingAlready(language));
}

type AnyDevice = RunningGlasses | RunningKiosk;

/** Asks the bridge for what has changed, now and then; a bridge that is away is asked again. */
function startContact(config: DeviceConfig, at: (path: string) => string, log: Log) {
  const { http, close } = createHttp();
  let cancel = () => {};
  let hasNews = false;
  let refusal: Refusal | undefined;
  let hearRefusal: (refusal: Refusal) => void = () => {};
  async function ask(): Promise<void> {
    cancel = timers.after(CONTACT_MS, () => void ask());
    try {
      const keys = openKeyStore(config, at, keyPorts);
      const parts = { config, at, keys, files, random, clock, timers, http };
      const answer = await contactBridge(parts);
      refusal = answer && 'receipt' in answer ? answer : undefined;
      if (refusal) return hearRefusal(refusal);
      if (!answer || !('isNews' in answer)) return;
      if (answer.isNews) hasNews = true;
      if (answer.isRenewed) wantSuccession({ config, at, files, keys: () => keys }, false);
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      log('warn', 'nothing new from the bridge', { why: error.message });
    }
  }
  return {
    http,
    first: ask(),
    /** Whom to tell that the bridge refuses this key; at once, if it did when it was last asked. */
    onRefusal(hear: (refusal: Refusal) => void) {
      hearRefusal = hear;
      if (refusal) hear(refusal);
    },
    /** Whether there is something that a running device has not read; asked for once. */
    isNews() {
      const was = hasNews;
      hasNews = false;
      return was;
    },
    stop() {
      cancel();
      close();
    },
  };
}

/** Takes a new key when it is time, and what contact has brought: when nothing is open. */
function startRenewals(
  log: Log,
  { step, isNews }: Succession & Readonly<{ isNews: () => boolean }>,
  device: Readonly<{ running: () => AnyDevice; exchange: () => Promise<void> }>,
) {
  let cancel = () => {};
  let isStopped = false;
  let isStale = false;
  // What contact brought before the device was put together is no news to it.
  isNews();
  async function look(): Promise<void> {
    let progress: Progress = 'rest';
    try {
      progress = await step(device.running());
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      log('warn', 'no next key yet', { why: error.message });
    }
    isStale = isNews() || isStale;
    if (!isStopped && (isStale || progress === 'proved') && device.running().isIdle()) {
      isStale = false;
      await device.exchange();
      progress = 'soon';
    }
    if (isStopped) return;
    cancel = timers.after(progress === 'rest' ? SUCCESSION_MS : SUCCESSION_SOON_MS, begin);
  }
  let looking = Promise.resolve();
  const begin = () => void (looking = look());
  // Its first word from the bridge tells the time, by which everything is judged.
  void device
    .running()
    .ready()
    .then(() => {
      if (!isStopped) begin();
    });
  return {
    async stop() {
      isStopped = true;
      cancel();
      await looking;
    },
  };
}

const keyPorts = Object.freeze({ files, random, credentials, loadTokens });

const devicePorts = Object.freeze({
  ...keyPorts,
  ...{ clock, timers, archive, connect: connectLink, openDatabase, codeWasm },
});
/** What somebody needs who helps with the device of a configuration. Throws OperatorError. */
export async function diagnose(
  configFile: string,
): Promise<Readonly<{ bytes: Uint8Array; names: readonly string[] }>> {
  const text = requireText(files, configFile);
  const config = parseConfig(deviceConfig, text, configFile);
  const at = (path: string) => resolve(dirname(configFile), path);
  const { http, close } = createHttp();
  try {
    const ports = { clock, files, http, surroundings, machine: machine() };
    const { archive: whole, names } = await collect(ports, {
      program: 'device',
      folder: at(config.folder),
      findings: await doctor(configFile),
      settings: settings.print(text, configFile),
      metricsPort: config.metrics?.port,
      counts: await countsOf(at(config.folder), { files, clock, surroundings, openDatabase }),
      names: namesIn(files, at(config.statements), config.mandates && at(config.mandates)),
    });
    return { bytes: gzip(whole), names };
  } finally {
    close();
  }
}

/** What is right and what is wrong with the device of a configuration. Throws OperatorError. */
export async function doctor(configFile: string): Promise<readonly Finding[]> {
  const config = parseConfig(deviceConfig, requireText(files, configFile), configFile);
  const at = (path: string) => resolve(dirname(configFile), path);
  const { http, close } = createHttp();
  const ports = { clock, timers, random, files, credentials, loadTokens, openDatabase };
  const outside = { http, surroundings, connect: connectLink };
  try {
    return await examine(deviceChecks(config, at, { ...ports, ...outside }), timers);
  } finally {
    close();
  }
}

function untilTold(): Promise<void> {
  return new Promise((done) => {
    process.once('SIGTERM', () => done());
    process.once('SIGINT', () => done());
  });
}

/** Takes lines that a person types, until `quit`, end of input or SIGTERM. */
async function converse(
  config: DeviceConfig,
  folder: string,
  {
    use,
    failed,
    screen,
  }: Readonly<{
    use: () => Promise<AnyDevice>;
    failed: Promise<void>;
    screen: Screen | undefined;
  }>,
  surface: Surface,
  write: (line: string) => void,
): Promise<void> {
  const input = createInterface({ input: process.stdin });
  // From here on, so that no line is lost and an end of input before the first payment is noticed.
  const lines = input[Symbol.asyncIterator]();
  process.once('SIGTERM', () => input.close());
  process.once('SIGINT', () => input.close());
  if (config.profile === 'glasses') {
    write(
      'type what the wearer says, like “cancel”; an empty line is a tap on the temple; ' +
        '"look FILE.png"; "pin" asks for the PIN unseen; "off" and "on" take it off and put it ' +
        'on; "quit"',
    );
  } else {
    const { language } = config;
    write(`${clerkPhrases.help(language)} ${clerkPhrases.emptyLine(language)} "quit"`);
  }
  const secret = () => nextUnseen(lines);
  async function take(line: string): Promise<void> {
    const running = await use();
    if (running.kind === 'glasses') {
      return wear({ device: running.device, surface, files, secret }, line);
    }
    const { terminal, device } = running;
    const { language } = config;
    return serve({ terminal, device, surface, files, folder, language, screen }, line);
  }
  // Every line at once, also while the service is away: what is asked now is answered now, and a
  // confirmation never waits for a question that is not there yet. Each has a turn of its own, so
  // that several that come in one piece mean what they mean one by one.
  let hasFailed = false;
  void failed.then(() => {
    hasFailed = true;
    input.close();
  });
  for await (const line of { [Symbol.asyncIterator]: () => lines }) {
    if (line.trim() === 'quit' || hasFailed) break;
    // One line that goes wrong must not take the device down with what it has in its outbox.
    take(line).catch((error: unknown) => {
      surface.say(error instanceof Error ? error.message : String(error), 'bad');
    });
    await new Promise<void>((done) => timers.soon(done));
  }
  input.close();
}
