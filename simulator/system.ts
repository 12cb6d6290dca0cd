/**
 * The programs and devices of one installation on one machine, as `saytap start` and `saytap sim`
 * run them: started and ended, killed, made to fail, and added to.
 *
 * Bridge, risk and ledger are processes of their own, because one that is killed has to die as it
 * dies outside. Broker and devices are in this process, behind ports that can fail (troubles.ts):
 * so a broker is restarted apart from the bridge, and every message can be looked at.
 */
import { join, resolve } from 'node:path';
import { toHex } from '../src/bytes.ts';
import { parseConfig } from '../src/config.ts';
import { payloadOf } from '../src/cose.ts';
import { EXITS, OperatorError, PaymentError, type Reason } from '../src/errors.ts';
import { requireBytes, requireText } from '../src/files.ts';
import { openSecretFile } from '../src/keyfile.ts';
import { loadKey } from '../src/keys.ts';
import {
  BACKEND_TIMEOUT_MS,
  HTTP_BYTES_MAX,
  READY_MS,
  RISK_TIMEOUT_MS,
  SIM_DEVICES_MAX,
  TROUBLE_BROKER_MS,
  TROUBLE_DOWN_MS,
} from '../src/limits.ts';
import { formatMoney } from '../src/money.ts';
import { keyStatement } from '../src/objects/key.ts';
import type { Receipt } from '../src/objects/receipt.ts';
import { within } from '../src/patience.ts';
import type { Http, HttpQuestion, HttpReply, Log, Machine, Random } from '../src/platform.ts';
import { type Lists, createLists } from '../broker/ledger/lists.ts';
import { type RunningGlasses, type RunningKiosk, startDevice } from '../device/compose.ts';
import { type DeviceConfig, deviceConfig } from '../device/config.ts';
import { enrolDevice } from '../device/enrolment.ts';
import { openKeyStore } from '../device/keys/choice.ts';
import { PIN_FILE, createPin } from '../device/pin.ts';
import type { Sensed } from '../device/sense/sensed.ts';
import type { Surface } from '../device/surface/port.ts';
import type { Told } from '../device/telling.ts';
import { type Installation, STORY, install } from './install.ts';
import type { DeviceView, Language } from './page/wire.ts';
import { isTold } from './machine.ts';
import { type Relayed, createRelay } from './relay.ts';
import { type Teller, createTeller } from './teller.ts';
import {
  type FaultyPorts,
  type Life,
  type Message,
  type Troubles,
  createTroubles,
} from './troubles.ts';

/** A program beside this one. */
export type Child = Readonly<{
  said: string;
  stop: () => Promise<void>;
  kill: () => Promise<void>;
}>;

/** A message at the broker. */
export type Passing = Readonly<{
  client: string;
  way: 'in' | 'out';
  topic: string;
  payload: Uint8Array;
}>;

export type SystemPorts = FaultyPorts &
  Readonly<{
    random: Random;
    codeWasm: () => Uint8Array;
    machine: Machine;
    log: (level: DeviceConfig['log']) => Log;
    http: Http;
    serve: (
      served: Readonly<{
        host: string;
        port: number;
        bytesMax: number;
        answer: (question: HttpQuestion) => Promise<HttpReply>;
      }>,
    ) => Promise<Readonly<{ port: number; close: () => Promise<void> }>>;
    startBroker: (
      options: Readonly<{
        host: string;
        port: number;
        bridgePassword: string;
        watch: (passing: Passing) => void;
      }>,
    ) => Promise<Readonly<{ url: string; close: () => Promise<void> }>>;
    /** Runs `saytap PROGRAM --config FILE`; resolves once it runs. */
    run: (program: Program, file: string) => Promise<Child>;
    /** A question to the operator's socket of a bridge; undefined when none is there. */
    ask: (socket: string, question: string) => Promise<string | undefined>;
  }>;

export type Program = 'bridge' | 'risk' | 'ledger';
const PROGRAMS: readonly string[] = ['bridge', 'risk', 'ledger'] satisfies readonly Program[];

/** What is seen of a system from outside. */
export type Watch = Readonly<{
  /** Something of a device changed: it began, ended, was approved. */
  member: (member: Member) => void;
  sensed: (device: string, sensed: Sensed) => void;
  /** How what was sensed ended, for now. */
  told: (device: string, told: Told) => void;
  /** A request is signed and on a device's disk. */
  stored: (device: string, id: string, envelope: Uint8Array) => void;
  receipt: (device: string, id: string, receipt: Receipt) => void;
  message: (message: Message) => void;
  passing: (passing: Passing) => void;
  relayed: (relayed: Relayed) => void;
}>;

export type AnyDevice = RunningGlasses | RunningKiosk;

/** A device, whether or not it lives just now. */
export type Member = Readonly<{
  name: string;
  kind: DeviceView['kind'];
  view: DeviceView;
  life: () => 'up' | 'down' | 'pairing';
  /** Undefined unless it is up. */
  running: () => AnyDevice | undefined;
  /** What it shows to be approved by, while it is pairing. */
  code: () => string | undefined;
  /** The file of its mandate, below the installation's folder. */
  mandate: string;
  /** Its own folder there. */
  folder: string;
}>;

export type System = Readonly<{
  folder: string;
  place: Installation;
  teller: Teller;
  ledger: Lists;
  troubles: Troubles;
  members: () => readonly Member[];
  /** Throws PaymentError `malformed` for a name that none has. */
  member: (name: string) => Member;
  /** As `member`, and `unavailable` when it does not live. */
  glasses: (name: string) => RunningGlasses;
  kiosk: (name: string) => RunningKiosk;
  /**
   * Puts a question of broker/operator.ts to the bridge. Throws PaymentError: `unavailable` when it
   * is away, else as it refuses.
   */
  ask: (question: object) => Promise<unknown>;
  /** A new device, which waits to be approved by its code. Throws `rate_limited`. */
  add: (kind: DeviceView['kind']) => Promise<Readonly<{ name: string; code: string }>>;
  approve: (code: string) => Promise<void>;
  refuse: (code: string) => Promise<void>;
  /** kill −9 of a device or a program, which is started again after TROUBLE_DOWN_MS. */
  kill: (name: string) => Promise<void>;
  /** A program that is stopped stays away until it is started. */
  stopProgram: (program: Program) => Promise<void>;
  startProgram: (program: Program) => Promise<void>;
  restartBroker: () => Promise<void>;
  /** Puts a device together anew: with other mandates, statements or another language. */
  renew: (name: string) => Promise<void>;
  speak: (language: Language) => Promise<void>;
  /** Resolves when all devices can pay. Throws OperatorError `address` after READY_MS. */
  ready: () => Promise<void>;
  stop: () => Promise<void>;
}>;

type Parts = Readonly<{
  folder: string;
  language: Language;
  ports: SystemPorts;
  watch: Partial<Watch>;
  /** Where a device shows and says what it has to. */
  surfaceOf: (device: string) => Surface;
  progress: (line: string) => void;
}>;

/** What is kept of a device; `place` is its file without the ending. */
type Kept = Member & {
  readonly place: string;
  running_: AnyDevice | undefined;
  life_: Life | undefined;
  isPairing: boolean;
  code_: string | undefined;
  /** Ends what would start it again. */
  cancel: () => void;
};

/** Installs in `folder`, or goes on there, and starts everything. Throws OperatorError. */
export async function startSystem(parts: Parts): Promise<System> {
  const { folder, ports, progress } = parts;
  const watch: Watch = { ...BLIND, ...parts.watch };
  const { files, random, timers, http } = ports;
  let { language } = parts;
  const socket = join(folder, 'bridge', 'operator.sock');
  await requireIdle(ports, socket);
  progress(`everything is kept in ${folder}`);
  const place = await install(ports, folder, language);
  const at = (path: string) => resolve(folder, path);
  const troubles = createTroubles({ ...ports, see: watch.message });

  const children = new Map<Program, Child>();
  /** What each program is told when it comes back; it keeps its port. */
  const settings = new Map<Program, string>();
  const urls = new Map<Program, string>();
  const kept = new Map<string, Kept>();
  const seen = new Set<string>();
  const servers: Readonly<{ close: () => Promise<void> }>[] = [];
  let isStopping = false;

  // ── programs ───────────────────────────────────────────────────────────────────────────────

  async function startProgram(program: Program): Promise<void> {
    if (isStopping || children.has(program)) return;
    const child = await ports.run(program, settings.get(program)!);
    if (isStopping) return child.stop();
    children.set(program, child);
    if (!urls.has(program)) progress(child.said);
  }

  async function stopProgram(program: Program, how: 'stop' | 'kill' = 'stop'): Promise<void> {
    const child = children.get(program);
    children.delete(program);
    await child?.[how]();
  }

  /** A service on a port that it keeps; the file says where, so that it can be started alone. */
  async function startService(program: 'risk' | 'ledger', told: object): Promise<string> {
    const listen = { host: HOST, port: 0 };
    settings.set(program, place.configure(program, { ...told, listen }));
    await startProgram(program);
    const url = urlIn(children.get(program)!.said);
    urls.set(program, url);
    const { port } = new URL(url);
    place.configure(program, { ...told, listen: { host: HOST, port: Number(port) } });
    return url;
  }

  async function relay(service: 'risk' | 'ledger', patienceMs: number): Promise<string> {
    const url = () => urls.get(service)!;
    const fate = () => troubles.call(service);
    const answer = createRelay({ service, url, patienceMs, http, timers, fate, see });
    const server = await ports.serve({ host: HOST, port: 0, bytesMax: HTTP_BYTES_MAX, answer });
    servers.push(server);
    return `http://${HOST}:${server.port}`;
  }
  const see = watch.relayed;

  const bridgePassword = toHex(random(16));
  const openBroker = (port: number) =>
    ports.startBroker({ host: HOST, port, bridgePassword, watch: watch.passing });
  let broker = await openBroker(0);
  const brokerUrl = broker.url;
  const shared = {
    ...STORY.realm,
    root: 'root.pub.pem',
    statements: 'statements',
    policy: 'platform.policy',
  };
  let enrolUrl = '';

  async function startBridge(): Promise<void> {
    // Its own authority certifies the address, so that has to be known before it runs.
    const spare = await ports.serve({ host: HOST, port: 0, bytesMax: 0, answer: dropped });
    await spare.close();
    const listen = { host: HOST, port: spare.port };
    enrolUrl = `https://${HOST}:${spare.port}`;
    const told = {
      ...shared,
      folder: 'bridge',
      https: { listen, url: enrolUrl },
      enrol: { root: 'root.key.pem', mqtt: brokerUrl },
      log: 'warn',
    };
    const service = (name: 'risk' | 'ledger', url: string) => ({ url, secret: `${name}.secret` });
    const backend = (url: string) => [{ kind: 'ledger', ...service('ledger', url) }];
    // As an operator would write it; the one that runs here is told of what stands in between.
    place.configure('bridge', {
      ...told,
      mqtt: { listen: { host: HOST, port: Number(new URL(brokerUrl).port) } },
      risk: service('risk', urls.get('risk')!),
      backends: backend(urls.get('ledger')!),
    });
    files.replace(at('broker.password'), new TextEncoder().encode(bridgePassword), 0o600);
    const between = place.configure('bridge-simulated', {
      ...told,
      mqtt: { url: brokerUrl, password: 'broker.password' },
      risk: service('risk', await relay('risk', RISK_TIMEOUT_MS)),
      backends: backend(await relay('ledger', BACKEND_TIMEOUT_MS)),
    });
    settings.set('bridge', between);
    await startProgram('bridge');
    urls.set('bridge', brokerUrl);
  }

  function tellFailure(error: unknown): void {
    progress(error instanceof Error ? error.message : String(error));
  }

  async function ask(question: object): Promise<unknown> {
    const told = await ports.ask(socket, JSON.stringify(question)).catch(() => undefined);
    if (told === undefined) throw new PaymentError('unavailable', 'the bridge is away');
    return fromWire(told);
  }

  // ── devices ────────────────────────────────────────────────────────────────────────────────

  function configOf(member: Kept): DeviceConfig {
    const file = at(`${member.place}.yaml`);
    return parseConfig(deviceConfig, requireText(files, file), file);
  }

  function keep(name: string, kind: DeviceView['kind'], isPairing: boolean, file = name): Kept {
    const view: DeviceView = {
      ...{ name, kind },
      ...(kind === 'kiosk' ? { payee: STORY.payee } : { pin: STORY.pin }),
    };
    const member: Kept = {
      ...{ name, kind, view, isPairing, place: file, folder: file },
      mandate:
        file === name
          ? join(name, 'mandates', `${name}.mandate`)
          : join('mandates', `${file}.mandate`),
      running_: undefined,
      life_: undefined,
      code_: undefined,
      cancel() {},
      life: () => (member.running_ ? 'up' : member.isPairing ? 'pairing' : 'down'),
      running: () => member.running_,
      code: () => member.code_,
    };
    kept.set(name, member);
    return member;
  }

  /** Starts a device on what its disk has kept; one that cannot start now is tried again. */
  function begin(member: Kept): void {
    const { name } = member;
    if (isStopping || member.running_) return;
    const life = troubles.live(name);
    const { connect, ...rest } = life.ports;
    const openDatabase: FaultyPorts['openDatabase'] = (path) => {
      const database = rest.openDatabase(path);
      const transaction = (<T>(run: () => T) => {
        const result = database.transaction(run);
        lookInto(member);
        return result;
      }) as typeof database.transaction;
      return { ...database, transaction };
    };
    const config = configOf(member);
    const log = ports.log(config.log);
    const { random, codeWasm, machine } = ports;
    const device = { ...rest, connect, openDatabase, random, codeWasm, machine, log };
    const real = parts.surfaceOf(name);
    const surface: Surface = {
      ask: (...given) => (life.isOver() ? undefined : real.ask(...given)),
      say: (...given) => (life.isOver() ? undefined : real.say(...given)),
    };
    try {
      const running = startDevice({ ...config, language }, at, device, surface);
      member.life_ = life;
      member.running_ = watched(member, running);
      void running.failed.then((error) => {
        if (life.isOver()) return;
        progress(`${name}: ${error.message}`);
        end(member);
        // Whoever watches over a program starts it again; a key that is over stays so.
        if (error.exit === EXITS.storage) beginLater(member);
      });
    } catch (error) {
      life.kill();
      if (!isTold(error)) throw error;
      progress(`${name} does not start: ${(error as Error).message}`);
      beginLater(member);
    }
    lookInto(member);
    watch.member(member);
  }

  function watched(member: Kept, running: AnyDevice): AnyDevice {
    const { name } = member;
    running.onReceipt((id, receipt, _envelope, isFirst) => {
      if (isFirst) watch.receipt(name, id, receipt);
    });
    const tell = (told: Told) => {
      watch.told(name, told);
      if (told.kind === 'unconfirmed') void told.later.then(tell);
    };
    const sense = async (sensed: Sensed): Promise<Told> => {
      watch.sensed(name, sensed);
      const told = await running.device.sense(sensed);
      if (member.running_?.outbox === running.outbox) tell(told);
      return told;
    };
    return { ...running, device: { ...running.device, sense } };
  }

  /** Tells of requests that have come into an outbox. */
  function lookInto({ name, running_ }: Kept): void {
    for (const { id, kind, envelope } of running_?.outbox.open() ?? []) {
      if (kind !== 'request' || seen.has(id)) continue;
      seen.add(id);
      watch.stored(name, id, envelope);
    }
  }

  /** In the middle of whatever it does. */
  function end(member: Kept): void {
    member.cancel();
    member.life_?.kill();
    member.life_ = undefined;
    member.running_ = undefined;
    watch.member(member);
  }

  function beginLater(member: Kept): void {
    member.cancel();
    member.cancel = timers.after(TROUBLE_DOWN_MS, () => begin(member));
  }

  async function renew(name: string): Promise<void> {
    const member = find(name);
    const { running_ } = member;
    if (!running_) return;
    await running_.leave();
    await running_.stop();
    // What its timers would still do is over too.
    end(member);
    begin(member);
  }

  // ── devices that are added ─────────────────────────────────────────────────────────────────

  async function add(kind: DeviceView['kind']): Promise<Readonly<{ name: string; code: string }>> {
    if (kept.size >= SIM_DEVICES_MAX) {
      throw new PaymentError('rate_limited', `this simulator has ${SIM_DEVICES_MAX} devices`);
    }
    let number = 2;
    while (kept.has(`${kind}-${number}`) || files.list(folder).includes(`${kind}-${number}.yaml`)) {
      number++;
    }
    const name = `${kind}-${number}`;
    configure(name, kind);
    const member = keep(name, kind, true);
    const shown = Promise.withResolvers<string>();
    const enrolled = enrol(member, shown.resolve);
    enrolled.catch((error: unknown) => {
      forget(member);
      shown.reject(error as Error);
      progress(`${name}: ${error instanceof Error ? error.message : String(error)}`);
    });
    const code = await shown.promise;
    member.code_ = code;
    watch.member(member);
    void enrolled.then(() => begin(member)).catch(() => {});
    return { name, code };
  }

  function configure(name: string, kind: DeviceView['kind']): void {
    const enrolled = { environment: 'sim', ledger: STORY.realm.ledger };
    place.configure(name, {
      ...enrolled,
      ...{ profile: kind, device: name, folder: name, language },
      enrol: { url: enrolUrl, ca: 'bridge/ca.pem' },
    });
  }

  function forget(member: Kept): void {
    kept.delete(member.name);
    files.erase(at(`${member.name}.yaml`));
    member.isPairing = false;
    watch.member(member);
  }

  /** As `saytap device enrol` does it, and then the wallet's owner grants it what it may pay. */
  async function enrol(member: Kept, shown: (code: string) => void): Promise<void> {
    const { name, kind } = member;
    const config = configOf(member);
    const tell = (line: string) => {
      // The link of its QR is random letters, among which anything may stand.
      const code = line.includes('://') ? undefined : CODE.exec(line)?.[0];
      if (code !== undefined) shown(code);
    };
    const keys = openKeyStore(config, at, { files, random });
    await enrolDevice({ ...ports, config, at, keys, tell }, false);
    const key = keys.current()!.key.name;
    const { envelope } = await place.grant(key, language, kind);
    files.folder(at(join(name, 'mandates')));
    files.replace(at(member.mandate), envelope, 0o644);
    if (kind === 'glasses') createPin(files, random, at(join(name, PIN_FILE))).set(STORY.pin);
    else await introduce(name, key);
    member.isPairing = false;
    member.code_ = undefined;
  }

  /** Whoever looks at a new kiosk's code has to know its key. */
  async function introduce(name: string, key: string): Promise<void> {
    const own = at(join(name, 'statements'));
    const statement = files
      .list(own)
      .map((file) => requireBytes(files, join(own, file)))
      .find((one) => loadKey(keyStatement.decode(payloadOf(one)).key).name === key);
    if (!statement) return;
    const glasses = [...kept.values()].filter(({ kind }) => kind === 'glasses');
    for (const one of glasses) {
      if (one.isPairing) continue;
      files.replace(join(at(configOf(one).statements), `${name}.key`), statement, 0o644);
      await renew(one.name);
    }
  }

  async function approve(code: string): Promise<void> {
    const member = [...kept.values()].find((one) => one.code_ === code);
    if (!member) throw new PaymentError('original_unknown', 'no device waits with this code');
    const { name, kind } = member;
    const said =
      kind === 'glasses'
        ? { role: 'device', payer: toHex(place.payer), presence: 3 }
        : {
            ...{ role: 'terminal', payee: STORY.payee, category: STORY.category },
            ...{ terminal: `till-${name.slice('kiosk-'.length)}`, names: STORY.names },
          };
    const by = { by: 'the wearer', why: 'compared the code in the simulator' };
    await ask({ ask: 'approve enrolment', named: code, said: { device: name, ...said }, ...by });
  }

  async function refuse(code: string): Promise<void> {
    const by = { by: 'the wearer', why: 'not this one' };
    await ask({ ask: 'refuse enrolment', named: code, ...by });
  }

  // ── the whole ──────────────────────────────────────────────────────────────────────────────

  function find(name: string): Kept {
    const member = kept.get(name);
    if (!member) throw new PaymentError('malformed', `there is no device ${name}`);
    return member;
  }

  function lively<K extends AnyDevice['kind']>(
    name: string,
    kind: K,
  ): Extract<AnyDevice, { kind: K }> {
    const { running_ } = find(name);
    if (running_ && running_.kind !== kind) {
      throw new PaymentError('malformed', `${name} is no ${kind}`);
    }
    if (!running_) throw new PaymentError('unavailable', `${name} is off just now`);
    return running_ as Extract<AnyDevice, { kind: K }>;
  }

  async function stop(): Promise<void> {
    if (isStopping) return;
    isStopping = true;
    for (const member of kept.values()) {
      member.cancel();
      await member.running_?.stop();
      member.life_?.kill();
    }
    // The bridge first, while the services that it may still ask are there.
    for (const program of ['bridge', 'ledger', 'risk'] as const) await stopProgram(program);
    for (const server of servers) await server.close();
    await broker.close();
  }

  try {
    await startService('risk', {
      environment: 'sim',
      database: 'risk.db',
      secret: 'risk.secret',
      // The story may be told again and again: speed alone does not stop it.
      thresholds: { stepUp: 650, deny: 800 },
    });
    const url = await startService('ledger', {
      environment: 'sim',
      database: 'ledger.db',
      secret: 'ledger.secret',
    });
    const secret = openSecretFile(files, random, at('ledger.secret'), 32);
    const books = { ...ports, url, secret };
    const teller = createTeller(books);
    await openAccounts(teller, place, random, progress);
    await startBridge();
    for (const [name, kind, file] of [
      [STORY.glasses, 'glasses', 'glasses'],
      [STORY.kiosk, 'kiosk', 'kiosk'],
    ] as const) {
      place.configure(file, {
        ...shared,
        ...{ profile: kind, device: name, folder: file, language },
        ...{ mandates: 'mandates', mqtt: { url: brokerUrl } },
      });
      begin(keep(name, kind, false, file));
    }
    for (const [, name, kind] of added(files.list(folder))) {
      configure(name!, kind as DeviceView['kind']);
      const member = keep(name!, kind as DeviceView['kind'], false);
      if (files.read(at(join(name!, 'broker.url'))) === undefined) forget(member);
      else begin(member);
    }

    return Object.freeze({
      ...{ folder, place, teller, troubles, ask, add, approve, refuse, renew, stop },
      ledger: createLists(books),
      members: () => [...kept.values()],
      member: find,
      glasses: (name: string) => lively(name, 'glasses'),
      kiosk: (name: string) => lively(name, 'kiosk'),
      async kill(name: string) {
        if (PROGRAMS.includes(name)) {
          const program = name as Program;
          await stopProgram(program, 'kill');
          const again = () => {
            const isKeptAway = program === 'bridge' && troubles.isOn('bridge_away');
            if (!isKeptAway) void startProgram(program).catch(tellFailure);
          };
          timers.after(TROUBLE_DOWN_MS, again);
          return;
        }
        const member = find(name);
        if (!member.running_) throw new PaymentError('unavailable', `${name} is off just now`);
        end(member);
        beginLater(member);
      },
      stopProgram: (program: Program) => stopProgram(program),
      startProgram,
      async restartBroker() {
        await broker.close();
        await new Promise<void>((done) => void timers.after(TROUBLE_BROKER_MS, done));
        if (!isStopping) broker = await openBroker(Number(new URL(brokerUrl).port));
      },
      async speak(next: Language) {
        language = next;
        for (const { name } of kept.values()) await renew(name);
      },
      async ready() {
        const all = [...kept.values()].map(({ running_ }) => running_?.ready());
        if (await within(timers, READY_MS, Promise.all(all))) return;
        throw new OperatorError('address', 'the devices cannot reach the bridge');
      },
    });
  } catch (error) {
    await stop();
    throw error;
  }
}

const unseen = () => {};
const BLIND: Watch = {
  ...{ member: unseen, sensed: unseen, told: unseen, stored: unseen, receipt: unseen },
  ...{ message: unseen, passing: unseen, relayed: unseen },
};
const HOST = '127.0.0.1';
/** As a device tells it to whoever approves it. */
const CODE = /\b[0-9A-HJKMNP-TV-Z]{5}-[0-9A-HJKMNP-TV-Z]{5}\b/;
const dropped = () => Promise.resolve('drop' as const);

/** Names and kinds of devices that were added in earlier runs, by their files. */
function added(names: readonly string[]): readonly RegExpExecArray[] {
  return names.flatMap((name) => {
    const found = /^((glasses|kiosk)-\d{1,3})\.yaml$/.exec(name);
    return found ? [found] : [];
  });
}

/** Before anything is written: a second run would grant another mandate beside the first. */
async function requireIdle({ ask }: Pick<SystemPorts, 'ask'>, socket: string): Promise<void> {
  if ((await ask(socket, '{}')) === undefined) return;
  throw new OperatorError(
    'storage',
    'npm start runs already on this data: stop it, or name another with --data',
  );
}

/** Opens the wearer's account, and pays in when it is nearly empty: the story spends 47 yuan. */
async function openAccounts(
  teller: Teller,
  place: Installation,
  random: Random,
  progress: (line: string) => void,
): Promise<void> {
  const start = { currency: STORY.currency, minor: 1_000_00n };
  await teller.open(STORY.funding, place.wallet.key.name, start);
  const own = (await teller.balances()).find(({ kind }) => kind === 'funding');
  if (own && own.money.minor < 300_00n) {
    progress(`the account is low: ${formatMoney(start, 'en')} paid in`);
    await teller.deposit(toHex(random(16)), STORY.funding, start);
  }
}

/** The answer of a bridge, as broker/main.ts writes it; a refusal is thrown. */
function fromWire(text: string): unknown {
  const told = parsed(text);
  if (told.reason !== undefined) throw new PaymentError(told.reason, told.why ?? '');
  if (told.why !== undefined) throw new PaymentError('unavailable', told.why);
  return told.answer;
}

/** A bridge that is killed while it answers leaves the beginning of an answer. */
function parsed(text: string): Readonly<{ answer?: unknown; reason?: Reason; why?: string }> {
  try {
    return JSON.parse(text) as ReturnType<typeof parsed>;
  } catch (cause) {
    throw new PaymentError('unavailable', 'the bridge ended while it answered', { cause });
  }
}

/** The address at the end of a program's first line. */
function urlIn(said: string): string {
  const url = /\S+:\/\/\S+$/.exec(said)?.[0];
  if (!url) throw new OperatorError('failed', `expected an address, heard “${said}”`);
  return url;
}
