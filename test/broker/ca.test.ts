// What the authority writes is judged by two programs that did not write it: Node's own X.509
// (OpenSSL's parser) and, where it is installed, the openssl command with its strictest checks.
import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openCertificateAuthority } from '../../broker/ca.ts';
import { EXITS, OperatorError, PaymentError } from '../../src/errors.ts';
import { CA_DAYS, CERTIFICATE_BACKDATE_DAYS, CERTIFICATE_DAYS_MAX } from '../../src/limits.ts';
import { files, random } from '../../src/node/platform.ts';
import { generatePem, nodeSigner, readPrivatePem } from '../../src/signer.ts';

const DAY_MS = 86_400_000;
const NOW_MS = Date.UTC(2026, 10, 20);
const clockAt = (nowMs: number) => ({ nowMs: () => nowMs, monotonicMs: () => 0 });
const newKey = () => readPrivatePem(generatePem('ES256'));
const keyOf = (handle = newKey()) => nodeSigner(handle).key;
const hasOpenssl = spawnSync('openssl', ['version']).status === 0;

let folder = '';
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'saytap-ca-'))));
afterEach(() => rmSync(folder, { recursive: true }));

const at = (name: string) => join(folder, name);
const openAt = (nowMs: number) => openCertificateAuthority(files, random, clockAt(nowMs), folder);
const parsed = (pem: string) => new X509Certificate(pem);

function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof OperatorError) return `${error.exit} ${error.message}`;
    if (error instanceof PaymentError) return error.reason;
    throw error;
  }
  return 'accepted';
}

/** What `openssl verify` says with every check that it has. */
function verdict(pem: string, purpose: 'sslclient' | 'sslserver'): string {
  writeFileSync(at('leaf.pem'), pem);
  const args = ['verify', '-x509_strict', '-check_ss_sig', '-CAfile', at('ca.pem')];
  const time = ['-attime', String(NOW_MS / 1000)];
  const run = spawnSync('openssl', [...args, ...time, '-purpose', purpose, at('leaf.pem')]);
  return run.status === 0 ? 'holds' : /lookup: (.*)/.exec(String(run.stderr))![1]!;
}

describe('the authority itself', () => {
  test('is made once, private key 0600, and is the same the next time', () => {
    const old = process.umask(0);
    try {
      const made = openAt(NOW_MS);
      expect(statSync(at('ca.key.pem')).mode & 0o777).toBe(0o600);
      expect(openAt(NOW_MS).certificate).toBe(made.certificate);
      expect(readFileSync(at('ca.pem'), 'utf8')).toBe(made.certificate);
    } finally {
      process.umask(old);
    }
  });

  test('signs itself, may sign leaves only, and holds twenty years', () => {
    const own = parsed(openAt(NOW_MS).certificate);
    expect(own.ca).toBe(true);
    expect(own.subject).toMatch(/^CN=saytap-ca-[0-9a-f]{16}$/);
    expect(own.issuer).toBe(own.subject);
    expect(own.verify(own.publicKey)).toBe(true);
    expect(Date.parse(own.validTo)).toBe(NOW_MS + CA_DAYS * DAY_MS);
    expect(Date.parse(own.validFrom)).toBe(NOW_MS - CERTIFICATE_BACKDATE_DAYS * DAY_MS);
    if (!hasOpenssl) return;
    const text = String(spawnSync('openssl', ['x509', '-in', at('ca.pem'), '-text']).stdout);
    expect(text).toMatch(/Basic Constraints: critical\s+CA:TRUE, pathlen:0/);
    expect(text).toMatch(/Key Usage: critical\s+Certificate Sign, CRL Sign/);
  });

  test('a crash between key and certificate leaves a key that the next start goes on with', () => {
    writeFileSync(at('ca.key.pem'), generatePem('ES256'), { mode: 0o600 });
    const { certificate } = openAt(NOW_MS);
    const key = readPrivatePem(readFileSync(at('ca.key.pem'), 'utf8'));
    expect(parsed(certificate).checkPrivateKey(key)).toBe(true);
  });

  test('what is lost, foreign, readable by others or over is said; nothing is replaced', () => {
    openAt(NOW_MS);
    const key = readFileSync(at('ca.key.pem'));
    const certificate = readFileSync(at('ca.pem'));
    const say = () => refusal(() => openAt(NOW_MS));
    rmSync(at('ca.key.pem'));
    expect(say()).toMatch(`${EXITS.key} ${at('ca.key.pem')} is missing: put it back`);
    writeFileSync(at('ca.key.pem'), generatePem('ES256'), { mode: 0o600 });
    expect(say()).toMatch('is not the certificate of the ca.key.pem beside it');
    writeFileSync(at('ca.key.pem'), generatePem('EdDSA'));
    expect(say()).toMatch('is no P-256 key: put it back');
    writeFileSync(at('ca.key.pem'), key);
    writeFileSync(at('ca.pem'), '');
    expect(say()).toMatch('is no certificate: put it back');
    writeFileSync(at('ca.pem'), certificate);
    expect(refusal(() => openAt(NOW_MS + CA_DAYS * DAY_MS))).toMatch(/ended on .*: move it and/);
    chmodSync(at('ca.key.pem'), 0o644);
    expect(say()).toMatch('can be read by others');
    expect(readFileSync(at('ca.key.pem'))).toEqual(key);
    expect(readFileSync(at('ca.pem'))).toEqual(certificate);
  });
});

describe('a certificate', () => {
  test('of a device names it, is for its key, and only for a client', () => {
    const ca = openAt(NOW_MS);
    const handle = newKey();
    const pem = ca.issueClient('glasses_mei-1', keyOf(handle), 365);
    const leaf = parsed(pem);
    expect(leaf.subject).toBe('CN=glasses_mei-1');
    expect(leaf.checkPrivateKey(handle)).toBe(true);
    expect(leaf.checkIssued(parsed(ca.certificate))).toBe(true);
    expect(leaf.verify(parsed(ca.certificate).publicKey)).toBe(true);
    expect(leaf.ca).toBe(false);
    expect(leaf.keyUsage, 'clientAuth').toEqual(['1.3.6.1.5.5.7.3.2']);
    expect(leaf.subjectAltName).toBeUndefined();
    expect(Date.parse(leaf.validTo)).toBe(NOW_MS + 365 * DAY_MS);
    if (!hasOpenssl) return;
    expect(verdict(pem, 'sslclient')).toBe('holds');
    expect(verdict(pem, 'sslserver')).toBe('unsuitable certificate purpose');
  });

  test('of a server answers to its names and addresses, and is no client', () => {
    const ca = openAt(NOW_MS);
    const hosts = [
      'Broker.Shop.example',
      'localhost',
      '192.168.1.5',
      '[2001:db8::5]',
      'münchen.de',
    ];
    const pem = ca.issueServer(hosts, keyOf(), 397);
    const leaf = parsed(pem);
    expect(leaf.checkHost('broker.shop.example')).toBe('broker.shop.example');
    expect(leaf.checkHost('xn--mnchen-3ya.de')).toBe('xn--mnchen-3ya.de');
    expect(leaf.checkIP('192.168.1.5')).toBe('192.168.1.5');
    expect(leaf.checkIP('2001:db8::5')).toBe('2001:db8::5');
    expect(leaf.checkHost('saytap-server'), 'the common name counts for nothing').toBeUndefined();
    expect(leaf.keyUsage, 'serverAuth').toEqual(['1.3.6.1.5.5.7.3.1']);
    const validDays = (Date.parse(leaf.validTo) - Date.parse(leaf.validFrom)) / DAY_MS;
    expect(validDays, 'browsers take no more').toBeLessThanOrEqual(825);
    if (!hasOpenssl) return;
    expect(verdict(pem, 'sslserver')).toBe('holds');
    expect(verdict(pem, 'sslclient')).toBe('unsuitable certificate purpose');
  });

  test('of the bridge has a name that no device gets', () => {
    const ca = openAt(NOW_MS);
    expect(parsed(ca.issueBridge(keyOf(), 365)).subject).toBe('CN=saytap-bridge');
    const names = ['saytap-bridge', 'saytap-', 'a/b', '+', '#', '', 'a'.repeat(65), 'a b', 'ä'];
    for (const name of names) {
      expect(
        refusal(() => ca.issueClient(name, keyOf(), 1)),
        name,
      ).toBe('malformed');
    }
    expect(parsed(ca.issueClient('a'.repeat(64), keyOf(), 1)).subject).toBe(`CN=${'a'.repeat(64)}`);
  });

  test('another authority’s does not hold', () => {
    if (!hasOpenssl) return;
    const elsewhere = mkdtempSync(join(tmpdir(), 'saytap-ca-'));
    const other = openCertificateAuthority(files, random, clockAt(NOW_MS), elsewhere);
    rmSync(elsewhere, { recursive: true });
    openAt(NOW_MS);
    const foreign = other.issueClient('glasses', keyOf(), 1);
    expect(verdict(foreign, 'sslclient')).toBe('unable to get local issuer certificate');
  });

  test('has a serial of its own: positive, 126 bits of chance', () => {
    const ca = openAt(NOW_MS);
    const key = keyOf();
    const serials = Array.from(
      { length: 50 },
      () => parsed(ca.issueClient('a', key, 1)).serialNumber,
    );
    expect(new Set(serials).size).toBe(50);
    for (const serial of serials) expect(serial).toMatch(/^[4-7][0-9A-F]{31}$/);
  });

  test('never outlives the authority, and not every length is taken', () => {
    openAt(NOW_MS);
    const late = openAt(NOW_MS + (CA_DAYS - 10) * DAY_MS);
    const leaf = parsed(late.issueClient('glasses', keyOf(), 365));
    expect(Date.parse(leaf.validTo)).toBe(NOW_MS + CA_DAYS * DAY_MS);
    for (const days of [0, -1, 0.5, NaN, CERTIFICATE_DAYS_MAX + 1]) {
      const say = refusal(() => late.issueClient('glasses', keyOf(), days));
      expect(say).toBe(`${EXITS.config} a certificate holds 1 to 3660 days, not ${days}`);
    }
    const ed25519 = keyOf(readPrivatePem(generatePem('EdDSA')));
    expect(refusal(() => late.issueClient('glasses', ed25519, 1))).toBe('malformed');
  });

  test('no host that is none, and not too many', () => {
    const ca = openAt(NOW_MS);
    const issue = (...hosts: string[]) => refusal(() => ca.issueServer(hosts, keyOf(), 1));
    const bad = [
      '',
      ' ',
      'a b',
      'a:80',
      '[::1]:80',
      '[::g]',
      'http://a',
      'a/b',
      'a@b',
      '*.shop.de',
    ];
    for (const host of [...bad, '300.1.1.1', '-a', 'a..b', 'a_b', `${'a'.repeat(64)}.de`, '%41']) {
      expect(issue(host), host).toBe(
        `${EXITS.config} ${host} is neither a host name nor an address`,
      );
    }
    expect(issue()).toMatch('a server has 1 to 16 names, not 0');
    expect(issue(...Array<string>(17).fill('a'))).toMatch('not 17');
    expect(issue(...Array<string>(16).fill('a'))).toBe('accepted');
  });

  test('any name of a device comes back as it went in', () => {
    const ca = openAt(NOW_MS);
    const key = keyOf();
    const name = fc.stringMatching(/^[\w-]{1,64}$/).filter((text) => !text.startsWith('saytap-'));
    fc.assert(
      fc.property(name, fc.integer({ min: 1, max: CERTIFICATE_DAYS_MAX }), (device, days) => {
        const leaf = parsed(ca.issueClient(device, key, days));
        expect(leaf.subject).toBe(`CN=${device}`);
        expect(Date.parse(leaf.validTo)).toBe(NOW_MS + days * DAY_MS);
      }),
      { numRuns: 40 },
    );
  });
});
