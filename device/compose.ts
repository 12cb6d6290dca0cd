/**
 * Puts a device together from its configuration and the ports: the same parts on a real board, in
 * `saytap start` and in a simulated world.
 */
import { join } from 'node:path';
import { toHex } from '../src/bytes.ts';
import { type Realm, identify, kidOf, payloadOf } from '../src/cose.ts';
import { OperatorError, PaymentError } from '../src/errors.ts';
import { requireBytes, requireFolder, requireText } from '../src/files.ts';
import { loadKey, thumbprint } from '../src/keys.ts';
import { type KeyStatement, keyStatement } from '../src/objects/key.ts';
import { mandate as mandateKind } from '../src/objects/mandate.ts';
import { type Receipt, receipt as receiptKind } from '../src/objects/receipt.ts';
import type {
  Archive,
  Clock,
  Connect,
  Database,
  Files,
  Log,
  Machine,
  Timers,
} from '../src/platform.ts';
import { type About, schemaId } from '../src/presence.ts';
import { readPublicPem } from '../src/signer.ts';
import { readTls } from '../src/tls.ts';
import { PROGRAM_VERSION } from '../src/version.ts';
import { type DeviceConfig, deviceSettings } from './config.ts';
import { type Refusal, brokerOf, isEnd } from './enrolment.ts';
import { type KeyPorts, openKeyStore } from './keys/choice.ts';
import { type DeviceLink, createDeviceLink } from './link.ts';
import type { HeldMandate } from './mandates.ts';
import type { Outbox } from './outbox.ts';
import { createDirectory } from './payees.ts';
import { phrases } from './phrases.ts';
import { PIN_FILE, createPin } from './pin.ts';
import { createPresence } from './presence.ts';
import { type Device, createDevice } from './runtime.ts';
import { type SetAside, openOutbox } from './salvage.ts';
import { createCodeReader } from './sense/look.ts';
import { createSequence } from './sequence.ts';
import { type SpeakerMatcher, createSpeaker } from './speaker.ts';
import type { Surface } from './surface/port.ts';
import { type Terminal, createTerminal } from './terminal.ts';
import { type Time, createTime } from './time.ts';
import { SPEAKER_FILE, createTries } from './tries.ts';
import { createTrust } from './trust.ts';
import { type Updates, createUpdates } from './updates.ts';
import { wipeDevice } from './wipe.ts';
import type { Figures } from './waiting.ts';

/** What a device needs of the outside world. */
export type DevicePorts = KeyPorts &
  Readonly<{
    clock: Clock;
    timers: Timers;
    archive: Archive;
    connect: Connect;
    openDatabase: (path: string) => Database;
    /** A maker's recogniser of voices; nothing built in is one. */
    speakerMatcher?: SpeakerMatcher;
    /** The bytes of zxing_reader.wasm. */
    codeWasm: () => Uint8Array;
    log: Log;
    machine: Machine;
  }>;

type ReceiptListener = (
  id: string,
  receipt: Receipt,
  envelope: Uint8Array,
  isFirst: boolean,
) => void;

/** What every running device has. */
type Running = Readonly<{
  /** Of its key, as the root has signed it. */
  statement: KeyStatement;
  outbox: Outbox;
  /** The damaged outbox in whose place this start has put a fresh one. */
  setAside: SetAside | undefined;
  /** Resolves, once told to the person, when the disk has failed or its key is over. */
  failed: Promise<OperatorError>;
  time: Time;
  link: DeviceLink;
  /** Calls `hear` for every verified receipt, with the bytes that came. */
  onReceipt: (hear: ReceiptListener) => void;
  /** Resolves once payments are possible: a fresh tick heard, every mandate answered. */
  ready: () => Promise<void>;
  /** What was accepted offline and waits: count, sums, age; no names. */
  stored: () => Figures;
  updates: Updates;
  /** Takes what the bridge said over HTTPS: this key is over, if the bridge has signed that. */
  hearRefusal: (refusal: Refusal) => void;
  /** Whether it can be put together anew unnoticed: nothing asked, nothing of money unanswered. */
  isIdle: () => boolean;
  /** Waits a moment for what is under way, and tells what is not confirmed yet; then `stop`. */
  leave: () => Promise<void>;
  stop: () => Promise<void>;
}>;

export type RunningGlasses = Running & Readonly<{ kind: 'glasses'; device: Device }>;
/** Orders and what becomes of them; and the line of payments, for what is collected here. */
export type RunningKiosk = Running &
  Readonly<{ kind: 'kiosk'; terminal: Terminal; device: Device }>;

/**
 * Starts a device; returns once it is connecting, which goes on by itself. `at` resolves a path of
 * the configuration, `staff` is where the staff of a kiosk is told what is not for whoever pays
 * (the surface itself, when nothing else is there). Throws OperatorError with what a person has to
 * mend.
 */
export function startDevice(
  config: DeviceConfig,
  at: (path: string) => string,
  ports: DevicePorts,
  surface: Surface,
  staff: Surface['say'] = surface.say,
): RunningGlasses | RunningKiosk {
  const { clock, timers, random, files, log, machine } = ports;
  const folder = at(config.folder);
  const realm = { environment: config.environment, ledger: config.ledger };

  requireFolder(files, folder);
  const keys = openKeyStore(config, at, ports);
  const signer = keys.current();
  if (!signer) {
    throw new OperatorError('key', `${folder} holds no key yet: run saytap device enrol CONFIG`);
  }
  const broker = brokerOf(config, at, files);
  const statements = files
    .list(at(config.statements))
    .filter((name) => name.endsWith('.key'))
    .map((name) => requireBytes(files, join(at(config.statements), name)));
  const time = createTime(clock);
  const statement = believing(() =>
    statements.map((envelope) => keyStatement.decode(payloadOf(envelope))),
  ).find(({ key }) => toHex(thumbprint(key)) === signer.key.name);
  // The operator names a device that enrols; what it calls itself is only a proposal.
  const name = (config.enrol && statement?.device) ?? config.device;
  const trust = believing(() =>
    createTrust(
      realm,
      readPublicPem(requireText(files, at(config.root))),
      statements,
      readPolicies(files, at(config.policy)),
      () => time.trustedMs(),
      name,
    ),
  );
  if (!statement || statement.device !== name) {
    throw new OperatorError(
      'key',
      `the root has not named the key ${toHex(signer.key.kid)} as ${name}: ` +
        `put its signed Key statement into ${at(config.statements)}`,
    );
  }

  const own = statements
    .map((envelope) => keyStatement.decode(payloadOf(envelope)))
    .filter(({ device }) => device === name)
    .map(({ key }) => loadKey(key));
  const { database, outbox, setAside } = openOutbox({
    ...{ folder, realm, trust, files, clock },
    keys: own,
    archive: ports.archive,
    openDatabase: ports.openDatabase,
  });
  if (setAside) {
    log('error', 'the outbox was damaged and is set aside', setAside);
    surface.say(phrases.setAside(setAside.open, config.language), 'bad');
  }
  const failed = database.failed.then((cause) => {
    surface.say(phrases.diskFailed(config.language), 'bad');
    return new OperatorError('storage', cause.message, { cause });
  });
  const over = Promise.withResolvers<OperatorError>();
  outbox.forget(clock.nowMs());
  const updates = createUpdates(clock);
  const shared = {
    ...{ realm, signer, time, outbox, link: () => link, updates, surface },
    ...{ clock, timers, log },
    sequence: createSequence({ realm, signer, outbox, log }),
  };
  const mandates = config.mandates
    ? readMandates(files, at(config.mandates), realm, signer.key.name)
    : [];

  const pin = createPin(files, random, join(folder, PIN_FILE));
  if (pin.state() === 'damaged') {
    log('error', 'the PIN file is damaged', { do: 'saytap device pin set' });
    surface.say(phrases.pinTrouble('damaged', config.language), 'bad');
  }

  const { speakerMatcher: matcher } = ports;
  // Of a key that can be copied only a PIN proves more than that the device is there.
  const isHard = config.keys.store !== 'file';
  if (matcher && !isHard) log('warn', 'a matched speaker counts only for a key in hardware');
  const tries = createTries(files, join(folder, SPEAKER_FILE));
  const speaker =
    matcher && isHard ? createSpeaker({ matcher, tries, random, timers, log }) : undefined;

  const counter = {
    payee: statement.payee ?? '',
    terminal: statement.terminal ?? '',
    staff,
  };
  const device = createDevice({
    ...shared,
    language: config.language,
    // A tag that is tapped at a counter only identifies.
    presenceMax:
      config.profile === 'kiosk' && statement.presenceMax > 1 ? 1 : statement.presenceMax,
    ...(config.profile === 'kiosk' && { counter }),
    mandates,
    ...{ pin, speaker, random },
    directory: createDirectory(trust.payees),
    trust,
    readCode: createCodeReader(ports.codeWasm),
  });
  const terminal =
    config.profile === 'kiosk'
      ? createTerminal({ ...shared, statement, language: config.language, trust, random })
      : undefined;
  /** Each tells of its own entries alone. */
  const lines = terminal ? [device, terminal] : [device];
  // What ended before a power cut is told before anything new is.
  for (const line of lines) line.resume();

  // The link sends what is in the outbox, and the bridge answers a mandate that it has with
  // `granted`, so offering one again is harmless.
  for (const { id, envelope } of mandates) {
    const receipt = outbox.get(id)?.receipt;
    if (receipt && receiptKind.decode(payloadOf(receipt)).outcome === 'granted') continue;
    outbox.put({ id, kind: 'mandate', envelope, storedMs: 0 });
  }

  const listeners = new Set<ReceiptListener>();
  const waiting = new Set<() => void>();
  let wasReady: boolean | undefined;
  let isStopping = false;
  let isEnded = false;
  let isWiping = false;
  const keepsLeases = trust
    .policies(statement.payee ?? '')
    .every(({ offline }) => offline?.behaviour === 'prefer_online');
  const presence = createPresence({
    device: name,
    place: { host: machine.host, boot: machine.boot, start: toHex(random(4)) },
    about: aboutOf(config, statement, machine.node, keepsLeases),
    outbox,
    log,
  });
  const link: DeviceLink = createDeviceLink(
    {
      presence,
      keepsLeases,
      device: name,
      url: broker.url,
      tls: () => readTls(files, at, broker),
      connect: ports.connect,
      trust,
      random,
      ...shared,
    },
    {
      receipt(id, receipt, envelope, isFirst) {
        for (const hear of listeners) hear(id, receipt, envelope, isFirst);
        tellReady();
        if (isFirst) for (const line of lines) line.hear(id, receipt);
        void wipeWhenAnswered();
      },
      ended: end,
      cloned: () => lines.forEach((line) => line.suspend()),
      givenUp: (id) => lines.forEach((line) => line.giveUp(id)),
      unsigned: (reason) => log('error', 'the bridge cannot verify this device', { reason }),
      state(state) {
        tellReady();
        // On the way up `waiting` is no news; a broker that is away at the start is.
        if (isStopping || wasReady === (state === 'ready')) return;
        if (wasReady === undefined && state === 'waiting') return;
        wasReady = state === 'ready';
        log(wasReady ? 'info' : 'warn', wasReady ? 'ready to pay' : 'the service is away, waiting');
      },
    },
  );
  /**
   * Unpaired or lost: nothing is paid any more, and everything is wiped once all is answered. But
   * whoever enrols it anew ends this key too, and has put another one in its place meanwhile.
   */
  function end(): void {
    if (isEnded || isStopping) return;
    isEnded = true;
    if (isReplaced()) return giveWay();
    log('error', 'this device is revoked: it is wiped when what it sent is answered');
    for (const line of lines) line.suspend(phrases.ended(config.language));
    void wipeWhenAnswered();
  }

  function giveWay(): void {
    for (const line of lines) line.suspend(phrases.enrolledAnew(config.language));
    over.resolve(new OperatorError('key', phrases.enrolledAnew(config.language)));
  }

  /**
   * What was confirmed is never lost: its receipt comes first, and then nothing is kept. An order
   * or a mandate that nobody has answered holds up nothing: it asked for no money.
   */
  async function wipeWhenAnswered(): Promise<void> {
    if (!isEnded || isWiping || outbox.open().some(({ kind }) => kind === 'request')) return;
    isWiping = true;
    if (isReplaced()) return giveWay();
    try {
      forgetPayments();
      await wipeDevice({ config, at, files }, keys);
      over.resolve(new OperatorError('key', phrases.wiped(config.language)));
    } catch (cause) {
      if (!(cause instanceof Error)) throw cause;
      const what = `this device is not wiped yet, and goes on with it when it is started again`;
      over.resolve(new OperatorError('key', `${what}: ${cause.message}`, { cause }));
    }
  }

  /**
   * Before the keys go, since a start without any opens no outbox; but a disk that refuses this
   * must not keep the keys.
   */
  function forgetPayments(): void {
    try {
      outbox.clear();
    } catch (error) {
      if (!(error instanceof PaymentError)) throw error;
      log('error', 'what was paid is not wiped', { why: error.message });
    }
  }

  /** Read anew: another program has done it. */
  function isReplaced(): boolean {
    try {
      const current = openKeyStore(config, at, ports).current();
      return current !== undefined && current.key.name !== signer!.key.name;
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error;
      return false; // A token that is away, or no key that can be read: there is no other one.
    }
  }

  function isReady(): boolean {
    if (link.state() !== 'ready') return false;
    return !outbox.open().some(({ kind }) => kind === 'mandate');
  }

  function tellReady(): void {
    if (waiting.size === 0 || !isReady()) return;
    for (const tell of waiting) tell();
    waiting.clear();
  }

  const running: Running = {
    statement,
    outbox,
    setAside,
    failed: Promise.race([failed, over.promise]),
    time,
    link,
    onReceipt: (hear) => void listeners.add(hear),
    ready: () => (isReady() ? Promise.resolve() : new Promise((done) => waiting.add(done))),
    stored: device.stored,
    updates,
    hearRefusal(refusal) {
      // A key that was succeeded is retired: the answer to its last question is not about this one.
      if (refusal.key !== signer.key.name) return;
      if (isEnd(trust, refusal)) return end();
      const { reason } = refusal;
      log('warn', 'the bridge gives this key nothing new; its operator knows why', { reason });
    },
    isIdle: () =>
      lines.every((line) => line.isIdle()) && outbox.open().every(({ kind }) => kind === 'mandate'),
    leave: async () => void (await Promise.all(lines.map((line) => line.leave()))),
    stop: async () => {
      isStopping = true;
      await link.close();
      outbox.end();
    },
  };
  return terminal
    ? { ...running, kind: 'kiosk', terminal, device }
    : { ...running, kind: 'glasses', device };
}

/** What the operator is told of this device; nothing of it is about a person. */
function aboutOf(
  config: DeviceConfig,
  statement: KeyStatement,
  node: string,
  keepsLeases: boolean,
): About {
  const isGlasses = config.profile === 'glasses';
  return {
    versions: { saytap: PROGRAM_VERSION, node },
    profile: config.profile,
    channels: isGlasses ? ['voice', 'tap', 'look'] : ['tap'],
    surfaces: config.screen ? ['terminal', 'screen'] : ['terminal'],
    offline: keepsLeases ? 'prefer_online' : 'require_online',
    keys: config.keys.store,
    presenceMax: statement.presenceMax,
    config: SETTINGS_ID,
    key: {
      kid: toHex(thumbprint(statement.key)).slice(0, 16),
      since: statement.nbf,
      until: statement.exp,
    },
  };
}

/** Statements and policy come from the operator; a fault in them is told as such. */
function believing<T>(run: () => T): T {
  try {
    return run();
  } catch (cause) {
    if (!(cause instanceof PaymentError)) throw cause;
    throw new OperatorError('key', `a statement or the policy does not hold: ${cause.message}`, {
      cause,
    });
  }
}

/** One policy file, or a folder of them. */
function readPolicies(files: Files, path: string): readonly Uint8Array[] {
  if (path.endsWith(POLICY_FILE)) return [requireBytes(files, path)];
  return files
    .list(path)
    .filter((name) => name.endsWith(POLICY_FILE))
    .map((name) => requireBytes(files, join(path, name)));
}

const POLICY_FILE = '.policy';
/** The same for the life of a program. */
const SETTINGS_ID = schemaId(deviceSettings);

type SignedMandate = HeldMandate & Readonly<{ envelope: Uint8Array }>;

/** The mandates of the folder that name this key; the bridge is who verifies them. */
export function readMandates(
  files: Files,
  folder: string,
  realm: Realm,
  key: string,
): SignedMandate[] {
  return files
    .list(folder)
    .filter((name) => name.endsWith('.mandate'))
    .map((name) => {
      const envelope = requireBytes(files, join(folder, name));
      return believing(() => ({
        id: identify(envelope, realm, mandateKind.name).id,
        mandate: mandateKind.decode(payloadOf(envelope)),
        payer: toHex(kidOf(envelope)),
        envelope,
      }));
    })
    .filter(({ mandate }) => mandate.cnf === key);
}
