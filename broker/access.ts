/**
 * Who may do what at a site's broker: the files with which Mosquitto 2 keeps its clients apart.
 *
 * A client is who its certificate says, as user name and as client id, so that nobody can read,
 * write or throw off another. One rule for all devices names the topic's device by that user name;
 * only the bridge and devices that were revoked have lines of their own. The folder is for the
 * broker's machine and holds no key but the broker's.
 */
import { X509Certificate } from 'node:crypto';
import { basename, join, resolve } from 'node:path';
import { utf8 } from '../src/bytes.ts';
import { OperatorError } from '../src/errors.ts';
import { requireFolder } from '../src/files.ts';
import { openKeyFile, readVerifyKey } from '../src/keyfile.ts';
import {
  BRIDGE_RUNS_MAX,
  BROKER_CERTIFICATE_DAYS,
  BROKER_PACKET_BYTES_MAX,
  BROKER_QUEUE_MAX,
  BROKER_RENEW_DAYS,
  ENVELOPE_BYTES_MAX,
  HAND_CERTIFICATE_DAYS,
} from '../src/limits.ts';
import type { Clock, Files, Random } from '../src/platform.ts';
import { nodeSigner } from '../src/signer.ts';
import { BRIDGE_NAME, STATE_FILTER, VERSION, tickTopic } from '../src/topics.ts';
import type { Place } from './backup.ts';
import { CA_FILE, type CertificateAuthority, openCertificateAuthority } from './ca.ts';

type Ports = Readonly<{ files: Files; random: Random; clock: Clock }>;
type Write = (line: string) => void;

export type WantedBroker = Readonly<{
  /** Where the files are written. */
  folder: string;
  /** Names and addresses by which devices and bridge reach the broker. */
  hosts: readonly string[];
  port: number | undefined;
  /** Where the files will lie on the broker's machine, owned by its user. */
  at: string | undefined;
  /** Devices whose every key is revoked. */
  lost: readonly string[];
}>;

export type WantedCertificate = Readonly<{
  device: string;
  folder: string;
  /** A public key that was made on the device; without it a key is made in the folder. */
  key: string | undefined;
  days: number | undefined;
}>;

/**
 * Writes mosquitto.conf, acl and the broker's key and certificates into a folder, and the bridge's
 * own key and certificate into the bridge's. What is still good is kept, so it may be run again
 * and again; it tells what it did. Throws OperatorError, before anything is written, for a folder
 * with files that it did not write.
 */
export function writeBrokerFiles(ports: Ports, place: Place, wanted: WantedBroker, write: Write) {
  const { files, random, clock } = ports;
  const { config } = place;
  const { hosts, port } = reachedAt(config.mqtt, wanted);
  const own = place.at(config.folder);
  const at = (name: string) => join(wanted.folder, name);
  const there = (name: string) => join(resolve(wanted.at ?? INSTALLED), name);
  for (const name of [CONF, ACL]) requireOurs(files, at(name));
  requireFolder(files, own);
  requireFolder(files, wanted.folder);

  const ca = openCertificateAuthority(files, random, clock, own);
  put(files, at(CA_FILE), ca.certificate, write);
  const certified = { ...ports, ca, write };
  certify(certified, { key: at(BROKER_KEY), certificate: at(BROKER_CERTIFICATE), hosts });
  const bridge = { key: join(own, BRIDGE_KEY), certificate: join(own, BRIDGE_CERTIFICATE) };
  certify(certified, bridge);
  put(files, at(ACL), aclOf(config.ledger, wanted.lost), write);
  put(files, at(CONF), confOf(port, there), write);
  if (wanted.lost.length > 0) write(`locked out, all keys revoked: ${wanted.lost.join(', ')}`);

  write('');
  write('On the machine of the broker (Mosquitto 2), and again after every change:');
  write(`  sudo install -d -o mosquitto -g mosquitto -m 0700 ${there('.')}`);
  write(`  sudo install -o mosquitto -g mosquitto -m 0600 ${at('*')} ${there('.')}`);
  write(`  sudo ln -sf ${there(CONF)} /etc/mosquitto/conf.d/saytap.conf`);
  write('  sudo systemctl restart mosquitto');
  write(`In ${place.file}:`);
  write('  mqtt:');
  write(`    url: mqtts://${bracketed(hosts[0]!)}:${port}`);
  write(`    ca: ${join(config.folder, CA_FILE)}`);
  write(`    certificate: ${join(config.folder, BRIDGE_CERTIFICATE)}`);
  write(`    key: ${join(config.folder, BRIDGE_KEY)}`);
  write('Devices get theirs when they enrol, or by hand with saytap broker certificate.');
}

/**
 * Issues a device's certificate for the broker into a folder, beside the authority's own. Throws
 * PaymentError `malformed` for a name that no device may have, OperatorError `key`.
 */
export function certifyDevice(
  { files, random, clock }: Ports,
  place: Place,
  { device, folder, key, days = HAND_CERTIFICATE_DAYS }: WantedCertificate,
  write: Write,
) {
  const own = place.at(place.config.folder);
  requireFolder(files, own);
  const ca = openCertificateAuthority(files, random, clock, own);
  requireFolder(files, folder);
  const keyFile = join(folder, 'tls.key.pem');
  const publicKey =
    key === undefined
      ? nodeSigner(openKeyFile(files, keyFile, 'ES256')).key
      : readVerifyKey(files, key);
  const certificate = ca.issueClient(device, publicKey, days);
  put(files, join(folder, 'tls.certificate.pem'), certificate, write);
  put(files, join(folder, 'tls.ca.pem'), ca.certificate, write);
  write(`${device} may connect until ${new X509Certificate(certificate).validTo}`);
  write('');
  write('In the configuration of the device, with the files beside it:');
  write('  mqtt:');
  write(`    url: ${'url' in place.config.mqtt ? place.config.mqtt.url : 'mqtts://broker:8883'}`);
  write('    ca: tls.ca.pem');
  write('    certificate: tls.certificate.pem');
  write(`    key: ${key === undefined ? 'tls.key.pem' : basename(key).replace(/\.pub$/, '')}`);
  if (key !== undefined) return;
  write(`${keyFile} is private: move it to the device, and leave no copy here.`);
}

const CONF = 'mosquitto.conf';
const ACL = 'acl';
const BROKER_KEY = 'broker.key.pem';
const BROKER_CERTIFICATE = 'broker.certificate.pem';
const BRIDGE_KEY = 'mqtt.key.pem';
const BRIDGE_CERTIFICATE = 'mqtt.certificate.pem';
const INSTALLED = '/etc/mosquitto/saytap';
const PORT = 8883;
const DAY_MS = 86_400_000;
const HEADER = '# Written by saytap broker config: what is changed here is lost at its next run.';

/** What the command says, and else what the bridge itself is told. */
function reachedAt(
  mqtt: Place['config']['mqtt'],
  { hosts, port }: WantedBroker,
): Readonly<{ hosts: readonly string[]; port: number }> {
  const known = 'url' in mqtt && mqtt.url.startsWith('mqtts://') ? new URL(mqtt.url) : undefined;
  const own = known ? [known.hostname.replace(/^\[(.*)\]$/, '$1')] : [];
  const all = [...new Set([...own, ...hosts])];
  if (all.length === 0) {
    const how = 'name it with --host, once for each name and address';
    throw new OperatorError('config', `by what name do devices reach the broker? ${how}`);
  }
  return { hosts: all, port: port ?? (known && known.port !== '' ? Number(known.port) : PORT) };
}

function requireOurs(files: Files, path: string): void {
  const found = files.read(path);
  if (!found || new TextDecoder().decode(found).startsWith(HEADER)) return;
  throw new OperatorError('storage', `${path} is not from this command: name another folder`);
}

/** A text that anybody may read, written only when it differs. */
function put(files: Files, path: string, text: string, write: Write): void {
  const found = files.read(path);
  if (found && new TextDecoder().decode(found) === text) return write(`${path}: as it was`);
  files.replace(path, utf8(text), 0o644);
  write(`${path}: ${found ? 'changed' : 'written'}`);
}

/** Key and certificate in two files: the server's when there are hosts, else the bridge's own. */
function certify(
  { files, clock, ca, write }: Ports & Readonly<{ ca: CertificateAuthority; write: Write }>,
  wanted: Readonly<{ key: string; certificate: string; hosts?: readonly string[] }>,
): void {
  const handle = openKeyFile(files, wanted.key, 'ES256');
  const known = parsed(files.read(wanted.certificate));
  const untilMs = clock.nowMs() + BROKER_RENEW_DAYS * DAY_MS;
  const isGood =
    known?.checkPrivateKey(handle) &&
    known.verify(new X509Certificate(ca.certificate).publicKey) &&
    Date.parse(known.validTo) > untilMs &&
    (wanted.hosts ?? []).every((host) => known.checkHost(host) ?? known.checkIP(host));
  if (isGood) return write(`${wanted.certificate}: as it was`);
  const { key } = nodeSigner(handle);
  const fresh = wanted.hosts
    ? ca.issueServer(wanted.hosts, key, BROKER_CERTIFICATE_DAYS)
    : ca.issueBridge(key, BROKER_CERTIFICATE_DAYS);
  put(files, wanted.certificate, fresh, write);
}

function parsed(pem: Uint8Array | undefined): X509Certificate | undefined {
  try {
    return pem && new X509Certificate(pem);
  } catch {
    return undefined; // A damaged one is replaced.
  }
}

/**
 * Mosquitto takes `%u` for the user name, and asks these rules for every message that it delivers;
 * it grants every SUBSCRIBE. Lines before the first `user` would be for anonymous clients.
 */
function aclOf(ledger: string, lost: readonly string[]): string {
  const lines = [
    HEADER,
    '',
    `user ${BRIDGE_NAME}`,
    `topic read ${VERSION}/+/up/#`,
    `topic read ${STATE_FILTER}`,
    `topic write ${VERSION}/+/down/#`,
    `topic write ${tickTopic(ledger)}`,
    ...[...lost].sort().flatMap((device) => ['', `user ${device}`, 'topic deny #']),
    '',
    '# Every device, by the name in its certificate.',
    `pattern write ${VERSION}/%u/up/#`,
    `pattern write ${VERSION}/%u/state`,
    `pattern read ${VERSION}/%u/down/#`,
    `pattern read ${tickTopic(ledger)}`,
    '',
  ];
  return lines.join('\n');
}

function confOf(port: number, at: (name: string) => string): string {
  const lines = [
    HEADER,
    '',
    `listener ${port}`,
    `cafile ${at(CA_FILE)}`,
    `certfile ${at(BROKER_CERTIFICATE)}`,
    `keyfile ${at(BROKER_KEY)}`,
    'tls_version tlsv1.2',
    '# Nobody without a certificate; its name is the user name and the client id.',
    'require_certificate true',
    'use_identity_as_username true',
    'use_username_as_clientid true',
    'allow_anonymous false',
    `acl_file ${at(ACL)}`,
    '',
    '# Without it every exchange waits about 43 ms.',
    'set_tcp_nodelay true',
    '# The longest envelope, and the longest packet around one.',
    `message_size_limit ${ENVELOPE_BYTES_MAX}`,
    `max_packet_size ${BROKER_PACKET_BYTES_MAX}`,
    'max_qos 1',
    '# As much as a bridge works on at once; what is dropped beyond is sent again.',
    `max_inflight_messages ${BRIDGE_RUNS_MAX}`,
    `max_queued_messages ${BROKER_QUEUE_MAX}`,
    `max_queued_bytes ${BROKER_QUEUE_MAX * ENVELOPE_BYTES_MAX}`,
    'persistent_client_expiration 1d',
    '# Nothing depends on what the broker remembers.',
    'persistence false',
    '',
  ];
  return lines.join('\n');
}

function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}
