/**
 * The site's own certificate authority: the bridge names who may connect to the broker.
 *
 * A certificate says only "this TLS key belongs to the device of this name". It moves no money: a
 * request counts by the device's signing key alone, so a stolen certificate lets its holder read
 * and disturb one device's topics and nothing else. Signing is node:crypto's; the library below is
 * only asked for the structures of RFC 5280.
 */
import { type KeyObject, X509Certificate, hash, sign } from 'node:crypto';
import { join } from 'node:path';
import { AsnConvert, OctetString } from '@peculiar/asn1-schema';
import {
  AlgorithmIdentifier,
  AttributeTypeAndValue,
  AttributeValue,
  AuthorityKeyIdentifier,
  BasicConstraints,
  Certificate,
  ExtendedKeyUsage,
  Extension,
  Extensions,
  GeneralName,
  KeyIdentifier,
  KeyUsage,
  KeyUsageFlags,
  Name,
  RelativeDistinguishedName,
  SubjectAlternativeName,
  SubjectKeyIdentifier,
  SubjectPublicKeyInfo,
  TBSCertificate,
  Time,
  Validity,
  Version,
  id_ce_authorityKeyIdentifier,
  id_ce_basicConstraints,
  id_ce_extKeyUsage,
  id_ce_keyUsage,
  id_ce_subjectAltName,
  id_ce_subjectKeyIdentifier,
  id_kp_clientAuth,
  id_kp_serverAuth,
} from '@peculiar/asn1-x509';
import { toHex, utf8 } from '../src/bytes.ts';
import { OperatorError, PaymentError } from '../src/errors.ts';
import { openKeyFile } from '../src/keyfile.ts';
import type { VerifyKey } from '../src/keys.ts';
import {
  CA_DAYS,
  CERTIFICATE_BACKDATE_DAYS,
  CERTIFICATE_DAYS_MAX,
  CERTIFICATE_HOSTS_MAX,
  CERTIFICATE_SERIAL_BYTES,
} from '../src/limits.ts';
import type { Clock, Files, Random } from '../src/platform.ts';
import { nodeSigner } from '../src/signer.ts';
import { BRIDGE_NAME, isDeviceName } from '../src/topics.ts';

/** Every certificate as PEM, for a P-256 key; it ends with the authority's own at the latest. */
export type CertificateAuthority = Readonly<{
  /** The authority's own certificate: what devices, bridge and broker trust. */
  certificate: string;
  /**
   * For a device: its common name is the name in topics, which the broker takes for its user name.
   * Throws `malformed` for a name that no device may have, and for a key that is not P-256.
   */
  issueClient: (name: string, key: VerifyKey, days: number) => string;
  /** For the bridge itself, whose name no device can have. */
  issueBridge: (key: VerifyKey, days: number) => string;
  /**
   * For a server under these names and addresses (RFC 9525: only the alternative names count).
   * Throws OperatorError `config` for what is neither a host name nor an address.
   */
  issueServer: (hosts: readonly string[], key: VerifyKey, days: number) => string;
}>;

/** Names within the folder of the bridge. */
export const CA_FILE = 'ca.pem';
export const CA_KEY_FILE = 'ca.key.pem';

/**
 * The authority whose key and certificate lie in `folder`, made on first use. Throws OperatorError
 * `key` when one of both was lost, when they are not a pair, and when the certificate has ended.
 */
export function openCertificateAuthority(
  files: Files,
  random: Random,
  clock: Clock,
  folder: string,
): CertificateAuthority {
  const keyFile = join(folder, CA_KEY_FILE);
  const file = join(folder, CA_FILE);
  const known = files.read(file);
  if (known && !files.read(keyFile)) {
    throw new OperatorError(
      'key',
      `${keyFile} is missing: put it back from a backup, or move ${file} away to begin anew, ` +
        'and then every device needs a new certificate',
    );
  }
  const handle = openKeyFile(files, keyFile, 'ES256');
  const { key } = nodeSigner(handle);
  if (key.algorithm !== 'ES256') {
    throw new OperatorError('key', `${keyFile} is no P-256 key: put it back from a backup`);
  }
  const subject = `saytap-ca-${toHex(key.kid)}`;
  const issuer = { subject, key, handle, random, nowMs: clock.nowMs };
  if (!known) {
    const made = issue(issuer, { subject, key, days: CA_DAYS, extensions: authorityExtensions() });
    files.create(file, utf8(made), 0o644);
  }
  const certificate = known ? new TextDecoder().decode(known) : readBack(files, file);
  const own = requireUsable(certificate, file, handle, clock.nowMs());
  const common = { ...issuer, endMs: Date.parse(own.validTo) };

  return Object.freeze({
    certificate,
    issueClient(name, clientKey, days) {
      if (!isDeviceName(name)) {
        throw new PaymentError('malformed', `${name} is no name that a device may have`);
      }
      return issue(common, {
        subject: name,
        key: clientKey,
        days,
        extensions: forUse(id_kp_clientAuth),
      });
    },
    issueBridge(clientKey, days) {
      const extensions = forUse(id_kp_clientAuth);
      return issue(common, { subject: BRIDGE_NAME, key: clientKey, days, extensions });
    },
    issueServer(hosts, serverKey, days) {
      const extensions = [
        ...forUse(id_kp_serverAuth),
        extension(id_ce_subjectAltName, alternativeNames(hosts), false),
      ];
      return issue(common, { subject: SERVER_NAME, key: serverKey, days, extensions });
    },
  });
}

/** Nobody looks at it, and as a user name at the broker it would have no rights. */
const SERVER_NAME = 'saytap-server';
const DAY_MS = 86_400_000;
/** RFC 5758 §3.2: without parameters. */
const ECDSA_WITH_SHA256 = '1.2.840.10045.4.3.2';
const COMMON_NAME = '2.5.4.3';

type Issuer = Readonly<{
  subject: string;
  key: VerifyKey;
  handle: KeyObject;
  random: Random;
  nowMs: () => number;
  endMs?: number;
}>;

type Wanted = Readonly<{
  subject: string;
  key: VerifyKey;
  days: number;
  extensions: readonly Extension[];
}>;

function issue(issuer: Issuer, { subject, key, days, extensions }: Wanted): string {
  requireP256(key);
  const isAuthority = issuer.endMs === undefined;
  const daysMax = isAuthority ? CA_DAYS : CERTIFICATE_DAYS_MAX;
  if (!Number.isInteger(days) || days < 1 || days > daysMax) {
    throw new OperatorError('config', `a certificate holds 1 to ${daysMax} days, not ${days}`);
  }
  const nowMs = issuer.nowMs();
  const algorithm = new AlgorithmIdentifier({ algorithm: ECDSA_WITH_SHA256 });
  const signed = new TBSCertificate({
    version: Version.v3,
    serialNumber: serial(issuer.random),
    signature: algorithm,
    issuer: nameOf(issuer.subject),
    validity: span(
      nowMs - CERTIFICATE_BACKDATE_DAYS * DAY_MS,
      Math.min(nowMs + days * DAY_MS, issuer.endMs ?? Infinity),
    ),
    subject: nameOf(subject),
    subjectPublicKeyInfo: AsnConvert.parse(spki(key), SubjectPublicKeyInfo),
    extensions: new Extensions([
      ...extensions,
      extension(id_ce_subjectKeyIdentifier, new SubjectKeyIdentifier(keyIdentifier(key)), false),
      extension(
        id_ce_authorityKeyIdentifier,
        new AuthorityKeyIdentifier({ keyIdentifier: new KeyIdentifier(keyIdentifier(issuer.key)) }),
        false,
      ),
    ]),
  });
  const signature = sign('sha256', new Uint8Array(AsnConvert.serialize(signed)), issuer.handle);
  const whole = new Certificate({
    tbsCertificate: signed,
    signatureAlgorithm: algorithm,
    signatureValue: bufferOf(signature),
  });
  return new X509Certificate(new Uint8Array(AsnConvert.serialize(whole))).toString();
}

function requireP256(key: VerifyKey): void {
  if (key.algorithm === 'ES256') return;
  throw new PaymentError('malformed', 'a certificate is for a P-256 key');
}

/** What lies in the file, as it will be read the next time too. */
function readBack(files: Files, file: string): string {
  return new TextDecoder().decode(files.read(file));
}

function requireUsable(
  pem: string,
  file: string,
  handle: KeyObject,
  nowMs: number,
): X509Certificate {
  let own: X509Certificate;
  try {
    own = new X509Certificate(pem);
  } catch (cause) {
    throw new OperatorError('key', `${file} is no certificate: put it back from a backup`, {
      cause,
    });
  }
  if (!own.ca || !own.checkPrivateKey(handle)) {
    const beside = `is not the certificate of the ${CA_KEY_FILE} beside it`;
    throw new OperatorError('key', `${file} ${beside}: put both back from one backup`);
  }
  if (Date.parse(own.validTo) <= nowMs) {
    throw new OperatorError(
      'key',
      `${file} ended on ${own.validTo}: move it and ${CA_KEY_FILE} away to begin anew, ` +
        'and then every device needs a new certificate',
    );
  }
  return own;
}

/** RFC 5280 §4.1.2.2: positive and not zero, so the first bit is clear and the second is set. */
function serial(random: Random): ArrayBuffer {
  const bytes = random(CERTIFICATE_SERIAL_BYTES);
  bytes[0] = (bytes[0]! & 0x7f) | 0x40;
  return bufferOf(bytes);
}

function span(fromMs: number, untilMs: number): Validity {
  const validity = new Validity();
  validity.notBefore = new Time(fromMs);
  validity.notAfter = new Time(untilMs);
  return validity;
}

/** UTF8String, because a PrintableString has no underscore (RFC 5280 §4.1.2.4). */
function nameOf(text: string): Name {
  const value = new AttributeValue({ utf8String: text });
  const attribute = new AttributeTypeAndValue({ type: COMMON_NAME, value });
  return new Name([new RelativeDistinguishedName([attribute])]);
}

function spki(key: VerifyKey): Uint8Array {
  return Uint8Array.from(key.handle.export({ format: 'der', type: 'spki' }));
}

/** RFC 7093 §2, method 1: the first 160 bits of SHA-256 over the bits of the public key. */
function keyIdentifier(key: VerifyKey): ArrayBuffer {
  const bits = new Uint8Array(AsnConvert.parse(spki(key), SubjectPublicKeyInfo).subjectPublicKey);
  return bufferOf(hash('sha256', bits, 'buffer').subarray(0, 20));
}

function authorityExtensions(): readonly Extension[] {
  const usage = KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign;
  return [
    extension(
      id_ce_basicConstraints,
      new BasicConstraints({ cA: true, pathLenConstraint: 0 }),
      true,
    ),
    extension(id_ce_keyUsage, new KeyUsage(usage), true),
  ];
}

function forUse(purpose: string): readonly Extension[] {
  return [
    extension(id_ce_basicConstraints, new BasicConstraints({ cA: false }), true),
    extension(id_ce_keyUsage, new KeyUsage(KeyUsageFlags.digitalSignature), true),
    extension(id_ce_extKeyUsage, new ExtendedKeyUsage([purpose]), false),
  ];
}

function extension(extnID: string, value: unknown, critical: boolean): Extension {
  const extnValue = new OctetString(AsnConvert.serialize(value));
  return new Extension({ extnID, critical, extnValue });
}

function alternativeNames(hosts: readonly string[]): SubjectAlternativeName {
  if (hosts.length < 1 || hosts.length > CERTIFICATE_HOSTS_MAX) {
    const say = `a server has 1 to ${CERTIFICATE_HOSTS_MAX} names, not ${hosts.length}`;
    throw new OperatorError('config', say);
  }
  return new SubjectAlternativeName(hosts.map(alternativeName));
}

/** The URL parser knows addresses in every writing, and host names beyond ASCII. */
function alternativeName(host: string): GeneralName {
  const written = host.includes(':') && !host.startsWith('[') ? `[${host}]` : host;
  const isPlain = /^(\[[\da-f:.]+\]|[^\s/\\?#@%:[\]]+)$/i.test(written);
  const url = `http://${written}/`;
  const name = isPlain && URL.canParse(url) ? new URL(url).hostname : '';
  if (name.startsWith('[')) return new GeneralName({ iPAddress: name.slice(1, -1) });
  if (/^(\d{1,3}\.){3}\d{1,3}$/.test(name)) return new GeneralName({ iPAddress: name });
  if (name.length <= 253 && HOST_NAME.test(name)) return new GeneralName({ dNSName: name });
  throw new OperatorError('config', `${host} is neither a host name nor an address`);
}

/** RFC 1123 §2.1: labels of letters, digits and inner hyphens. */
const HOST_NAME = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/;

function bufferOf(bytes: Uint8Array): ArrayBuffer {
  return Uint8Array.from(bytes).buffer;
}
