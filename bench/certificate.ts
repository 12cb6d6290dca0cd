/**
 * Certificates for localhost, made at run time: Node has no call that makes one, and a benchmark
 * should need no openssl on the machine. As with any public authority the server shows its own and
 * an intermediate one, below a root that the client has; all are P-256, and smaller than real ones,
 * which carry proofs of logging and addresses besides. X.509 v3 (RFC 5280) in DER (X.690).
 */
import { type KeyObject, generateKeyPairSync, randomBytes, sign } from 'node:crypto';

export type Certificate = Readonly<{
  /** The server's private key, and what it shows: its own certificate and the intermediate. */
  key: string;
  cert: string;
  /** The root that a client trusts. */
  root: string;
}>;

/** PEM of a new chain, valid for a day. */
export function makeCertificate(nowMs: number): Certificate {
  const [root, middle, leaf] = ['bench root', 'bench authority', 'localhost'].map((name) => ({
    name: sequence(set(sequence(oid('550403'), tagged(0x0c, Buffer.from(name))))),
    ...generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  })) as [Party, Party, Party];
  return {
    key: leaf.privateKey.export({ format: 'pem', type: 'pkcs8' }) as string,
    cert: certify(leaf, middle, FOR_LOCALHOST, nowMs) + certify(middle, root, AUTHORITY, nowMs),
    root: certify(root, root, AUTHORITY, nowMs),
  };
}

type Party = Readonly<{ name: Buffer; publicKey: KeyObject; privateKey: KeyObject }>;

/** `subject` signed by `issuer`, as PEM. */
function certify(subject: Party, issuer: Party, extension: Buffer, nowMs: number): string {
  const ecdsaWithSha256 = sequence(oid('2a8648ce3d040302'));
  const toBeSigned = sequence(
    tagged(0xa0, tagged(0x02, Buffer.from([2]))),
    tagged(0x02, Buffer.concat([Buffer.from([1]), randomBytes(15)])),
    ecdsaWithSha256,
    issuer.name,
    sequence(time(nowMs - 3_600_000), time(nowMs + 86_400_000)),
    subject.name,
    subject.publicKey.export({ format: 'der', type: 'spki' }),
    tagged(0xa3, sequence(extension)),
  );
  const signature = sign('sha256', toBeSigned, issuer.privateKey);
  const bits = tagged(0x03, Buffer.concat([Buffer.from([0]), signature]));
  const der = sequence(toBeSigned, ecdsaWithSha256, bits);
  const lines = der.toString('base64').match(/.{1,64}/g)!;
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

function tagged(tag: number, content: Buffer): Buffer {
  const { length } = content;
  const head =
    length < 0x80
      ? [tag, length]
      : length < 0x100
        ? [tag, 0x81, length]
        : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(head), content]);
}

function sequence(...parts: Buffer[]): Buffer {
  return tagged(0x30, Buffer.concat(parts));
}

function set(...parts: Buffer[]): Buffer {
  return tagged(0x31, Buffer.concat(parts));
}

function oid(hex: string): Buffer {
  return tagged(0x06, Buffer.from(hex, 'hex'));
}

/** UTCTime, to the second. */
function time(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, '');
  return tagged(0x17, Buffer.from(digits.slice(2)));
}

/** basicConstraints, critical: may sign other certificates. */
const AUTHORITY = sequence(
  oid('551d13'),
  tagged(0x01, Buffer.from([0xff])),
  tagged(0x04, sequence(tagged(0x01, Buffer.from([0xff])))),
);

/** subjectAltName: a dNSName [2] and an iPAddress [7], which are all that a client compares. */
const FOR_LOCALHOST = sequence(
  oid('551d11'),
  tagged(
    0x04,
    sequence(tagged(0x82, Buffer.from('localhost')), tagged(0x87, Buffer.from([127, 0, 0, 1]))),
  ),
);
