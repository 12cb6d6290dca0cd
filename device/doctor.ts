/**
 * What `saytap doctor` looks at on a device: everything without which a payment would not go
 * through, each with what to do about it.
 *
 * A device that runs holds its outbox and its place at the broker, where a second client of the
 * same name would throw it out. So it is asked over its metrics, and what only its place could tell
 * is not checked. Without it the doctor connects in its place and asks the bridge for the time, as
 * the device does at each start; nothing is published about it.
 */
import { join } from 'node:path';
import { toHex } from '../src/bytes.ts';
import type { Realm, Signer } from '../src/cose.ts';
import {
  SEE,
  checkBroker,
  checkCertificate,
  checkClock,
  checkDisk,
  checkPolicies,
  checkRoot,
  foundOr,
  newestMs,
  once,
  openPolicies,
  openStatements,
} from '../src/checks.ts';
import { type Check, type Verdict, ok, unchecked, validity, wrong } from '../src/doctor.ts';
import { requireText } from '../src/files.ts';
import { loadKey } from '../src/keys.ts';
import type { KeyStatement } from '../src/objects/key.ts';
import type { Database, Files, Surroundings } from '../src/platform.ts';
import { isEncryptedPem, readPublicPem } from '../src/signer.ts';
import { readTls } from '../src/tls.ts';
import { readMandates } from './compose.ts';
import {
  checkCredential,
  checkKnown,
  checkMandates,
  checkOutbox,
  checkPin,
  checkSuccession,
  lookAtOutbox,
} from './checks.ts';
import type { DeviceConfig } from './config.ts';
import { type ContactPorts, askBridge, askRunning } from './contact.ts';
import { brokerOf } from './enrolment.ts';
import { checkHardware } from './hardware.ts';
import { type KeyPorts, openKeyStore } from './keys/choice.ts';
import { KEY_CREDENTIAL } from './keys/file.ts';
import { checkKey } from './keys/store.ts';
import { PIN_FILE, createPin } from './pin.ts';
import { SUCCESSION, lookAtSuccession } from './succession.ts';
import { SPEAKER_FILE, createTries } from './tries.ts';

export type DoctorPorts = KeyPorts &
  ContactPorts &
  Readonly<{ openDatabase: (path: string) => Database; surroundings: Surroundings }>;

/** The checks of the device of a configuration; `at` resolves a path of it. */
export function deviceChecks(
  config: DeviceConfig,
  at: (path: string) => string,
  ports: DoctorPorts,
): readonly Check[] {
  const { files, clock, surroundings } = ports;
  const folder = at(config.folder);
  const paths = { statements: at(config.statements), policy: at(config.policy) };
  const realm: Realm = { environment: config.environment, ledger: config.ledger };
  const broker = once(() => brokerOf(config, at, files));
  const tls = () => readTls(files, at, broker());
  const root = once(() => readPublicPem(requireText(files, at(config.root))));
  const statements = once(() => openStatements(files, paths.statements, realm, root()));
  const policies = once(() => openPolicies(files, paths.policy, realm, root()));
  const keys = once(() => openKeyStore(config, at, unchanging(config, ports)));
  /** The operator names a device that enrols. */
  const name = () => {
    if (!config.enrol) return config.device;
    const own = statements().find(({ key }) => isKey(key, signer()));
    return own?.device ?? config.device;
  };
  const outbox = once(() => lookAtOutbox(folder, ports));
  const signer = once(() => {
    const found = keys().current();
    if (!found) throw new Error(`${folder} holds no key yet: run saytap device enrol`);
    return found;
  });
  const contact = once(async () => {
    if ((await outbox()) === 'in use') return askRunning(config, ports);
    const needed = foundOrSeen({ signer, statements });
    if ('state' in needed) return needed;
    const bridges = needed.statements.filter(({ role }) => role === 'bridge');
    if (bridges.length === 0) return unchecked(SEE('known keys'));
    const { url } = broker();
    const asked = { device: name(), url, realm, bridges, tls };
    return askBridge({ ...asked, signer: needed.signer }, ports);
  });
  const time = once(async () => {
    const past = [
      { what: 'the policy', atMs: newestMs(foundOr(policies, [])) },
      { what: 'the file of the root key', atMs: surroundings.changedMs(at(config.root)) },
    ];
    const told = await contact();
    return checkClock(ports, past, 'offMs' in told ? { offMs: told.offMs } : 'unknown');
  });

  /** What ends or begins says nothing by a clock that is wrong. */
  async function dated(run: (nowMs: number) => Verdict): Promise<Verdict> {
    return (await time()).state === 'wrong' ? unchecked(SEE('clock')) : run(clock.nowMs());
  }

  /** A fault is told once: by the check of the thing that has it. */
  function foundOrSeen<T extends Partial<Needed>>(wanted: { [Name in keyof T]: () => T[Name] }):
    T | Verdict {
    if ('signer' in wanted && lockedKey(config, folder, ports)) return unchecked(SEE('key'));
    const found: Record<string, unknown> = {};
    for (const [name, get] of Object.entries<() => unknown>(wanted)) {
      try {
        found[name] = get();
      } catch {
        return unchecked(SEE(name === 'signer' ? 'key' : 'root key'));
      }
    }
    return found as T;
  }

  const checks: Readonly<Record<string, Check['run']>> = {
    configuration: () => ok(`${config.device}, ${config.profile}, ${config.environment}`),
    disk: () => checkDisk(ports, folder),
    clock: time,
    'root key': () => checkRoot(root(), statements),
    key: async () => {
      const locked = lockedKey(config, folder, ports);
      if (locked) return locked;
      if (surroundings.changedMs(folder) === undefined) return unchecked(SEE('disk'));
      await checkKey(signer());
      return ok(`${toHex(signer().key.kid)} signs, in ${keys().describe()}`);
    },
    statement: () => {
      const needed = foundOrSeen({ signer, statements });
      if ('state' in needed) return needed;
      const mine = needed.statements.find(({ key }) => isKey(key, needed.signer));
      const put = `put its signed Key statement into ${paths.statements}, or enrol this device`;
      if (mine?.device !== name()) {
        const kid = toHex(needed.signer.key.kid);
        const said = mine ? `calls the key ${kid} ${mine.device}` : `has not named the key ${kid}`;
        return wrong(`the root ${said}`, put);
      }
      const valid = [mine.nbf, mine.exp] as const;
      return dated((nowMs) => validity(`the statement of ${mine.device}`, valid, nowMs, put));
    },
    'known keys': () => {
      const needed = foundOrSeen({ statements });
      if ('state' in needed) return needed;
      const { statements: known } = needed;
      return dated((nowMs) => checkKnown(known, paths.statements, nowMs));
    },
    policy: () => {
      const needed = foundOrSeen({ statements });
      if ('state' in needed) return needed;
      const opened = policies();
      return dated((nowMs) => checkPolicies(opened, paths.policy, nowMs));
    },
    mandates: () => {
      if (config.mandates === undefined) return unchecked('none are configured');
      const needed = foundOrSeen({ signer });
      if ('state' in needed) return needed;
      const held = readMandates(files, at(config.mandates), realm, needed.signer.key.name);
      const ends = held.map(({ mandate }) => mandate.exp);
      return dated((nowMs) => checkMandates(ends, config, nowMs));
    },
    certificate: () => {
      const { certificate, ca } = broker();
      if (certificate === undefined) return unchecked('the broker is used without one');
      tls();
      const renew = 'enrol the device again, or issue one with saytap broker certificate';
      const expected = { ca: ca && at(ca), name: foundOr(name, undefined), renew };
      return dated(() => checkCertificate(ports, at(certificate), expected));
    },
    broker: async () => {
      const reached = await checkBroker(surroundings, broker().url, tls);
      const told = reached.state === 'ok' ? await contact() : reached;
      if (!('keptOut' in told)) return reached;
      const lists =
        'saytap broker config writes whom it lets in; enrol a device that it never knew';
      return wrong(`it does not let ${name()} in: ${told.keptOut}`, lists);
    },
    bridge: async () => {
      const told = await contact();
      if ('keptOut' in told) return unchecked(SEE('broker'));
      return 'offMs' in told ? ok('answers a question of this device') : told;
    },
    succession: () => {
      const found = lookAtSuccession({ config, at, files });
      const opened = lockedKey(config, folder, ports) ? undefined : foundOr(keys, undefined);
      const changedMs = surroundings.changedMs(join(folder, SUCCESSION));
      return dated((nowMs) => checkSuccession(found, opened, changedMs, nowMs));
    },
    pin: () =>
      checkPin(
        createPin(files, ports.random, join(folder, PIN_FILE)),
        createTries(files, join(folder, SPEAKER_FILE)),
      ),
    outbox: async () => checkOutbox(await outbox(), folder, config, ports),
    ...checkHardware(config, ports),
    credential: () => checkCredential(config, folder, ports),
  };
  if (config.enrol && foundOr(broker, undefined) === undefined) {
    const { configuration, disk, credential } = checks;
    const enrolment = () => wrong('this device is not enrolled', 'run saytap device enrol');
    const few = { configuration, disk, enrolment, ...checkHardware(config, ports), credential };
    return Object.entries(few).map(([title, run]) => ({ name: title, run: run! }));
  }
  return Object.entries(checks).map(([title, run]) => ({ name: title, run }));
}

type Needed = Readonly<{ signer: Signer; statements: readonly KeyStatement[] }>;

function isKey(key: KeyStatement['key'], signer: Signer): boolean {
  return loadKey(key).name === signer.key.name;
}

/** A key file that only the service can open, because only it is given the credential. */
function lockedKey(
  config: DeviceConfig,
  folder: string,
  { files, credentials }: DoctorPorts,
): Verdict | undefined {
  if (config.keys.store !== 'file' || credentials !== undefined) return undefined;
  const pem = files.read(join(folder, 'device.key.pem'));
  if (!pem || !isEncryptedPem(new TextDecoder().decode(pem))) return undefined;
  return unchecked(
    'it lies encrypted, and only the service has the credential: run the doctor under ' +
      `systemd-run with LoadCredentialEncrypted=${KEY_CREDENTIAL} (docs/operations.md)`,
  );
}

/** Keys in files, without the steps that opening them may complete. A token's are left as is. */
function unchanging(config: DeviceConfig, ports: DoctorPorts): KeyPorts {
  if (config.keys.store !== 'file') return ports;
  const files: Files = { ...ports.files, create() {}, replace() {}, erase() {}, folder() {} };
  return { ...ports, files };
}
