/**
 * Puts a device together from its configuration and the ports: the same parts on a real board, in
 * `saytap start` and in a simulated world.
 */
import { join } from 'node:path';
import { toHex } from '../src/bytes.ts';
import { type Realm, identify, payloadOf } from '../src/cose.ts';
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
import { type DeviceConfig, deviceConfig } from './config.ts';
import { type KeyPorts, openKeyStore } from './keys/choice.ts';
import { type DeviceLink, createDeviceLink } from './link.ts';
import type { HeldMandate } from './mandates.ts';
import type { Outbox } from './outbox.ts';
import { createDirectory } from './payees.ts';
import { phrases } from './phrases.ts';
import { createPresence } from './presence.ts';
import { type Device, type Surface, createDevice } from './runtime.ts';
import { type SetAside, openOutbox } from './salvage.ts';
import { createCodeReader } from './sense/look.ts';
import { type Terminal, createTerminal } from './terminal.ts';
import { createTime } from './time.ts';
import { createTrust } from './trust.ts';

/** What a device needs of the outside world. */
export type DevicePorts = KeyPorts &
  Readonly<{
    clock: Clock;
    timers: Timers;
    archive: Archive;
    connect: Connect;
    openDatabase: (path: string) => Database;
    /** The bytes of zxing_reader.wasm. */
    codeWasm: () => Uint8Array;
    log: Log;
    machine: Machine;
  }>;

type ReceiptListener = (id: string, receipt: Receipt, envelope: Uint8Array) => void;

/** What every running device has. */
type Running = Readonly<{
  outbox: Outbox;
  /** The damaged outbox in whose place this start has put a fresh one. */
  setAside: SetAside | undefined;
  /** Resolves, once told to the person, when the disk has failed: the program is to end. */
  failed: Promise<OperatorError>;
  link: DeviceLink;
  /** Calls `hear` for every verified receipt, with the bytes that came. */
  onReceipt: (hear: ReceiptListener) => void;
  /** Resolves once payments are possible: a fresh tick heard, every mandate answered. */
  ready: () => Promise<void>;
  /** Waits a moment for what is under way, and tells what is not confirmed yet; then `stop`. */
  leave: () => Promise<void>;
  stop: () => Promise<void>;
}>;

export type RunningGlasses = Running & Readonly<{ kind: 'glasses'; device: Device }>;
export type RunningKiosk = Running & Readonly<{ kind: 'kiosk'; terminal: Terminal }>;

/**
 * Starts a device; returns once it is connecting, which goes on by itself. `at` resolves a path of
 * the configuration. Throws OperatorError with what a person has to mend.
 */
export function startDevice(
  config: DeviceConfig,
  at: (path: string) => string,
  ports: DevicePorts,
  surface: Surface,
): RunningGlasses | RunningKiosk {
  const { clock, timers, random, files, log, machine } = ports;
  const folder = at(config.folder);
  const realm = { environment: config.environment, ledger: config.ledger };

  requireFolder(files, folder);
  const signer = openKeyStore(config, at, ports).current();
  if (!signer) throw new OperatorError('key', `${folder} holds no key yet: enrol this device`);
  const statements = files
    .list(at(config.statements))
    .filter((name) => name.endsWith('.key'))
    .map((name) => requireBytes(files, join(at(config.statements), name)));
  const time = createTime(clock);
  const trust = believing(() =>
    createTrust(
      realm,
      readPublicPem(requireText(files, at(config.root))),
      statements,
      requireBytes(files, at(config.policy)),
      () => time.trustedMs(),
    ),
  );
  const statement = statements
    .map((envelope) => keyStatement.decode(payloadOf(envelope)))
    .find(({ key }) => toHex(thumbprint(key)) === signer.key.name);
  if (!statement || statement.device !== config.device) {
    throw new OperatorError(
      'key',
      `the root has not named the key ${toHex(signer.key.kid)} as ${config.device}: ` +
        `put its signed Key statement into ${at(config.statements)}`,
    );
  }

  const own = statements
    .map((envelope) => keyStatement.decode(payloadOf(envelope)))
    .filter(({ device }) => device === config.device)
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
  outbox.forget(clock.nowMs());
  const shared = { realm, signer, time, outbox, link: () => link, surface, clock, timers, log };
  const mandates = config.mandates
    ? readMandates(files, at(config.mandates), realm, signer.key.name)
    : [];

  const device = config.profile === 'glasses' ? glasses() : undefined;
  const terminal =
    config.profile === 'kiosk'
      ? createTerminal({ ...shared, statement, language: config.language, trust, random })
      : undefined;
  // What ended before a power cut is told before anything new is.
  (device ?? terminal)!.resume();

  function glasses(): Device {
    return createDevice({
      ...shared,
      language: config.language,
      presenceMax: statement!.presenceMax,
      mandates,
      directory: createDirectory(trust.payees),
      trust,
      readCode: createCodeReader(ports.codeWasm),
    });
  }

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
  const presence = createPresence({
    device: config.device,
    place: { host: machine.host, boot: machine.boot, start: toHex(random(4)) },
    about: aboutOf(config, statement, machine.node),
    outbox,
    log,
  });
  const link: DeviceLink = createDeviceLink(
    {
      presence,
      device: config.device,
      url: config.mqtt.url,
      tls: () => readTls(files, at, config.mqtt),
      connect: ports.connect,
      trust,
      random,
      ...shared,
    },
    {
      receipt(id, receipt, envelope, isFirst) {
        for (const hear of listeners) hear(id, receipt, envelope);
        tellReady();
        if (isFirst) (device ?? terminal)!.hear(id, receipt);
      },
      cloned: () => (device ?? terminal)!.suspend(),
      givenUp: (id) => (device ?? terminal)!.giveUp(id),
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
    outbox,
    setAside,
    failed,
    link,
    onReceipt: (hear) => void listeners.add(hear),
    ready: () => (isReady() ? Promise.resolve() : new Promise((done) => waiting.add(done))),
    leave: () => (device ?? terminal)!.leave(),
    stop: async () => {
      isStopping = true;
      await link.close();
      outbox.end();
    },
  };
  return device
    ? { ...running, kind: 'glasses', device }
    : { ...running, kind: 'kiosk', terminal: terminal! };
}

/** What the operator is told of this device; nothing of it is about a person. */
function aboutOf(config: DeviceConfig, statement: KeyStatement, node: string): About {
  const isGlasses = config.profile === 'glasses';
  return {
    versions: { saytap: PROGRAM_VERSION, node },
    profile: config.profile,
    channels: isGlasses ? ['voice', 'tap', 'look'] : [],
    surfaces: ['terminal'],
    offline: 'require_online',
    keys: config.keys.store,
    presenceMax: statement.presenceMax,
    config: schemaId(deviceConfig),
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

type SignedMandate = HeldMandate & Readonly<{ envelope: Uint8Array }>;

/** The mandates of the folder that name this key; the bridge is who verifies them. */
function readMandates(files: Files, folder: string, realm: Realm, key: string): SignedMandate[] {
  return files
    .list(folder)
    .filter((name) => name.endsWith('.mandate'))
    .map((name) => {
      const envelope = requireBytes(files, join(folder, name));
      return believing(() => ({
        id: identify(envelope, realm, mandateKind.name).id,
        mandate: mandateKind.decode(payloadOf(envelope)),
        envelope,
      }));
    })
    .filter(({ mandate }) => mandate.cnf === key);
}
