// Method: the COSE working group's and gluecose's vectors first, each by name; then our profile on
// top of them; then two backends and two independent libraries against ours, both directions.
import { Sign1 } from '@auth0/cose';
import { createPrivateKey } from 'node:crypto';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  bytesEqual,
  concat,
  fromBase64url,
  fromHex,
  toBase64url,
  toHex,
  utf8,
} from '../../src/bytes.ts';
import { encodeCbor } from '../../src/cbor.ts';
import {
  type Signer,
  aadOf,
  fromDer,
  kidOf,
  lowS,
  openEnvelope,
  openSelfSigned,
  signEnvelope,
  verifyCose,
} from '../../src/cose.ts';
import { PaymentError, type Reason } from '../../src/errors.ts';
import { type PublicKey, type VerifyKey, loadKey } from '../../src/keys.ts';
import { nodeSigner } from '../../src/signer.ts';
import { type TestKey, eddsaKey, es256Key } from '../vectors/cases.ts';

const told = process.env['SAYTAP_VECTORS'];
const folder = told ?? join(import.meta.dirname, '../../../shared/vectors');
const isMissing = told === undefined && !existsSync(folder);
const WHEN = '(skipped when SAYTAP_VECTORS is unset and ../shared/vectors is absent)';

const REALM = { environment: 'sim', ledger: 'pier-9' } as const;

function reasonOf(run: () => unknown): Reason | 'accepted' {
  try {
    run();
    return 'accepted';
  } catch (error) {
    if (error instanceof PaymentError) return error.reason;
    throw error;
  }
}

// ── other people's vectors ─────────────────────────────────────────────────────────────────────

type Row = Readonly<{
  why: string;
  /** What verifyCose answers. */
  cose: Reason | 'accepted' | 'no key of ours';
  /** What our profile answers on top, under a key that would verify. */
  profile: Reason;
}>;

const NO_KID = 'malformed';
const HIGH_S = 'RFC, but high S';
/** Every vector of both sets. RFC: a valid, tagged ES256 or Ed25519 Sign1 with protected alg. */
const ROWS: Readonly<Record<string, Row>> = {
  'cose-wg/CWT_A_3': { why: 'RFC', cose: 'accepted', profile: NO_KID },
  'cose-wg/ecdsa-examples_ecdsa-sig-01': { why: HIGH_S, cose: 'bad_signature', profile: NO_KID },
  'cose-wg/ecdsa-examples_ecdsa-sig-02': { why: 'ES384', cose: 'no key of ours', profile: NO_KID },
  'cose-wg/ecdsa-examples_ecdsa-sig-03': { why: 'ES512', cose: 'no key of ours', profile: NO_KID },
  'cose-wg/ecdsa-examples_ecdsa-sig-04': {
    why: 'P-256 with SHA-512',
    cose: 'bad_signature',
    profile: NO_KID,
  },
  'cose-wg/eddsa-examples_eddsa-sig-01': { why: 'RFC', cose: 'accepted', profile: NO_KID },
  'cose-wg/eddsa-examples_eddsa-sig-02': { why: 'Ed448', cose: 'no key of ours', profile: NO_KID },
  'cose-wg/sign1-tests_sign-fail-01': { why: 'tag 998', cose: 'malformed', profile: 'malformed' },
  'cose-wg/sign1-tests_sign-fail-02': {
    why: 'another payload byte',
    cose: 'bad_signature',
    profile: NO_KID,
  },
  'cose-wg/sign1-tests_sign-fail-03': {
    why: 'alg −999 in the header',
    cose: 'bad_signature',
    profile: NO_KID,
  },
  'cose-wg/sign1-tests_sign-fail-04': {
    why: 'alg as text',
    cose: 'bad_signature',
    profile: NO_KID,
  },
  'cose-wg/sign1-tests_sign-fail-06': {
    why: 'a protected header more than was signed',
    cose: 'bad_signature',
    profile: NO_KID,
  },
  'cose-wg/sign1-tests_sign-fail-07': {
    why: 'a protected header less than was signed',
    cose: 'bad_signature',
    profile: NO_KID,
  },
  'cose-wg/sign1-tests_sign-pass-01': {
    why: 'alg only in the unprotected header',
    cose: 'bad_signature',
    profile: NO_KID,
  },
  'cose-wg/sign1-tests_sign-pass-02': { why: 'RFC', cose: 'accepted', profile: NO_KID },
  'cose-wg/sign1-tests_sign-pass-03': { why: 'untagged', cose: 'malformed', profile: 'malformed' },
  'gluecose/sign1-sign-0000': { why: HIGH_S, cose: 'bad_signature', profile: NO_KID },
  'gluecose/sign1-sign-0001': { why: HIGH_S, cose: 'bad_signature', profile: NO_KID },
  'gluecose/sign1-sign-0002': { why: 'ES384', cose: 'no key of ours', profile: NO_KID },
  'gluecose/sign1-sign-0003': { why: 'ES512', cose: 'no key of ours', profile: NO_KID },
  'gluecose/sign1-sign-0004': { why: 'PS256', cose: 'no key of ours', profile: NO_KID },
  'gluecose/sign1-sign-0005': { why: 'PS384', cose: 'no key of ours', profile: NO_KID },
  'gluecose/sign1-sign-0006': { why: 'PS512', cose: 'no key of ours', profile: NO_KID },
  'gluecose/sign1-verify-0000': { why: HIGH_S, cose: 'bad_signature', profile: NO_KID },
  'gluecose/sign1-verify-0001': { why: HIGH_S, cose: 'bad_signature', profile: NO_KID },
  'gluecose/sign1-verify-0002': { why: 'ES384', cose: 'no key of ours', profile: NO_KID },
  'gluecose/sign1-verify-0003': { why: 'ES512', cose: 'no key of ours', profile: NO_KID },
  'gluecose/sign1-verify-0004': { why: 'PS256', cose: 'no key of ours', profile: NO_KID },
  'gluecose/sign1-verify-0005': { why: 'PS384', cose: 'no key of ours', profile: NO_KID },
  'gluecose/sign1-verify-0006': { why: 'PS512', cose: 'no key of ours', profile: NO_KID },
};

type Jwk = Readonly<Record<string, string>>;
type Vector = Readonly<{ bytes: Uint8Array; aad: Uint8Array; key: VerifyKey | undefined }>;

function readVector(name: string): Vector {
  const file = JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8')) as any;
  if (name.startsWith('cose-wg/')) {
    const { key, external } = file.input.sign0;
    return {
      bytes: fromHex(file.output.cbor),
      aad: fromHex(external ?? ''),
      key: readKey(key as Jwk),
    };
  }
  const body = file['sign1::sign'] ?? file['sign1::verify'];
  return {
    bytes: fromHex((body.expectedOutput ?? body.taggedCOSESign1).cborHex),
    aad: fromHex(body.external ?? ''),
    key: readKey(file.key as Jwk),
  };
}

function readKey(key: Jwk): VerifyKey | undefined {
  const part = (name: string) =>
    key[`${name}_hex`] === undefined ? fromBase64url(key[name]!) : fromHex(key[`${name}_hex`]!);
  if (key['crv'] === 'P-256') return loadKey({ algorithm: 'ES256', x: part('x'), y: part('y') });
  if (key['crv'] === 'Ed25519') return loadKey({ algorithm: 'EdDSA', x: part('x') });
  return undefined;
}

describe('COSE working group and gluecose', () => {
  test.skipIf(isMissing)(`every file has a row here ${WHEN}`, () => {
    const found = ['cose-wg', 'gluecose'].flatMap((set) =>
      readdirSync(join(folder, set)).map((file) => `${set}/${file.replace('.json', '')}`),
    );
    expect(found.sort()).toEqual(Object.keys(ROWS).sort());
  });

  test.skipIf(isMissing).each(Object.entries(ROWS))(
    `%s ${WHEN}`,
    (name, { why, cose, profile }) => {
      const { bytes, aad, key } = readVector(name);
      // A key that this protocol does not have cannot verify; any of ours must refuse the object.
      const verifier = key ?? es256Key('device').key;
      const expected = cose === 'no key of ours' ? 'bad_signature' : cose;
      expect(key === undefined, why).toBe(cose === 'no key of ours');
      expect(
        reasonOf(() => verifyCose(bytes, verifier, aad)),
        why,
      ).toBe(expected);
      expect(
        reasonOf(() => openEnvelope(bytes, REALM, 'request', () => verifier)),
        why,
      ).toBe(profile);
    },
  );

  const highS = Object.keys(ROWS).filter((name) => ROWS[name]!.why === HIGH_S);
  test.skipIf(isMissing).each(highS)(`high S is all that is wrong with %s ${WHEN}`, (name) => {
    const { bytes, aad, key } = readVector(name);
    const at = bytes.length - 64;
    const low = concat(bytes.slice(0, at), lowS(bytes.slice(at)));
    expect(bytesEqual(low, bytes)).toBe(false);
    expect(reasonOf(() => verifyCose(low, key!, aad))).toBe('accepted');
  });

  test.skipIf(isMissing)(`a wrong external_aad is refused ${WHEN}`, () => {
    const { bytes, key } = readVector('cose-wg/sign1-tests_sign-pass-02');
    expect(reasonOf(() => verifyCose(bytes, key!, new Uint8Array()))).toBe('bad_signature');
  });
});

// ── our own envelopes ──────────────────────────────────────────────────────────────────────────

const payload = encodeCbor(new Map([[1, 'hello']]));

/** The same private key in node:crypto. */
function inNode({ key, secret }: TestKey): Signer {
  const { public: pub } = key;
  const d = toBase64url(secret);
  const jwk =
    pub.algorithm === 'ES256'
      ? { kty: 'EC', crv: 'P-256', x: toBase64url(pub.x), y: toBase64url(pub.y), d }
      : { kty: 'OKP', crv: 'Ed25519', x: toBase64url(pub.x), d };
  return nodeSigner(createPrivateKey({ format: 'jwk', key: jwk }));
}

describe.each(['ES256', 'EdDSA'] as const)('%s', (algorithm) => {
  const noble = algorithm === 'ES256' ? es256Key('device') : eddsaKey('device');
  const node = inNode(noble);

  test.each([
    ['noble', noble as Signer],
    ['node', node],
  ])('an envelope signed by %s opens', async (_, signer) => {
    // node:crypto draws a new nonce each time, so half of its signatures begin with high S.
    for (let i = 0; i < 40; i++) {
      const envelope = await signEnvelope(payload, REALM, 'request', signer);
      const opened = openEnvelope(envelope, REALM, 'request', () => noble.key);
      expect(opened.payload).toEqual(new Map([[1, 'hello']]));
      expect(bytesEqual(kidOf(envelope), noble.key.kid)).toBe(true);
    }
  });

  test('both signers make the same id, whatever the signature', async () => {
    const ids = await Promise.all(
      [noble, node, node].map(async (signer) => {
        const envelope = await signEnvelope(payload, REALM, 'request', signer);
        return openEnvelope(envelope, REALM, 'request', () => noble.key).id;
      }),
    );
    expect(new Set(ids).size).toBe(1);
  });

  test('an unknown key is answered like a wrong signature', async () => {
    const envelope = await signEnvelope(payload, REALM, 'request', noble);
    const unknown = () => openEnvelope(envelope, REALM, 'request', () => undefined);
    expect(reasonOf(unknown)).toBe('bad_signature');
  });

  test('a self-signed object is opened by the key inside it only', async () => {
    const envelope = await signEnvelope(payload, REALM, 'enrol', noble);
    const opened = openSelfSigned(envelope, REALM, 'enrol', () => noble.key);
    expect(opened.key.name).toBe(noble.key.name);
    const other = () => openSelfSigned(envelope, REALM, 'enrol', () => es256Key('other').key);
    expect(reasonOf(other)).toBe('bad_signature');
  });
});

test('low S is enforced on both backends and made by lowS', async () => {
  const signer = es256Key('device');
  const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
  const envelope = await signEnvelope(payload, REALM, 'request', signer);
  const at = envelope.length - 32;
  const s = BigInt(`0x${toHex(envelope.slice(at))}`);
  const high = concat(envelope.slice(0, at), fromHex((order - s).toString(16).padStart(64, '0')));
  expect(reasonOf(() => openEnvelope(high, REALM, 'request', () => signer.key))).toBe(
    'bad_signature',
  );
  expect(reasonOf(() => verifyCose(high, signer.key, aadOf(REALM, 'request')))).toBe(
    'bad_signature',
  );
  expect(bytesEqual(lowS(high.slice(-64)), envelope.slice(-64))).toBe(true);
  expect(bytesEqual(lowS(envelope.slice(-64)), envelope.slice(-64))).toBe(true);
});

test('DER signatures with short and padded integers become r‖s', () => {
  const rows = [
    { der: '300602010102017f', r: '01', s: '7f' },
    { der: '30080202008102020080', r: '81', s: '80' },
  ];
  for (const { der, r, s } of rows) {
    expect(toHex(fromDer(fromHex(der)))).toBe(r.padStart(64, '0') + s.padStart(64, '0'));
  }
  const full = 'ff'.repeat(32);
  expect(toHex(fromDer(fromHex(`3046022100${full}022100${full}`)))).toBe(full + full);
});

test('the longest envelope is 4096 bytes, for the writer too', async () => {
  const signer = es256Key('device');
  const sealed = (length: number) =>
    signEnvelope(encodeCbor(new Uint8Array(length)), REALM, 'request', signer);
  const longest = await sealed(4096 - 86 - 3);
  expect(longest.length).toBe(4096);
  expect(reasonOf(() => openEnvelope(longest, REALM, 'request', () => signer.key))).toBe(
    'accepted',
  );
  await expect(sealed(4096 - 86 - 2)).rejects.toMatchObject({ reason: 'too_large' });
});

test('a signer that gives no 64 bytes is refused', async () => {
  const signer = { ...es256Key('device'), sign: () => new Uint8Array(63) };
  await expect(signEnvelope(payload, REALM, 'request', signer)).rejects.toMatchObject({
    reason: 'bad_signature',
  });
});

// ── independent libraries ──────────────────────────────────────────────────────────────────────

describe('@auth0/cose', () => {
  const keyOf = ({ public: pub }: VerifyKey) =>
    loadKey(pub).handle as unknown as Parameters<Sign1['verify']>[0];

  test.each(['ES256', 'EdDSA'] as const)('verifies an %s envelope of ours', async (algorithm) => {
    const signer = algorithm === 'ES256' ? es256Key('device') : eddsaKey('device');
    const envelope = await signEnvelope(payload, REALM, 'request', signer);
    const theirs = Sign1.decode(envelope);
    const externalAAD = utf8('saytap/1 sim pier-9 request');
    await theirs.verify(keyOf(signer.key), { externalAAD });
    expect(bytesEqual(theirs.payload, payload)).toBe(true);
    const wrong = { externalAAD: utf8('saytap/1 live pier-9 request') };
    await expect(theirs.verify(keyOf(signer.key), wrong)).rejects.toThrow();
  });
});

describe('@ldclabs/cose-ts', async () => {
  // Its files import each other without extension, which only bundlers resolve.
  registerHooks({
    resolve(specifier, context, next) {
      const isTheirs = context.parentURL?.includes('@ldclabs/cose-ts/dist/') ?? false;
      const isBare = isTheirs && specifier.startsWith('./') && !specifier.endsWith('.js');
      return next(isBare ? `${specifier}.js` : specifier, context);
    },
  });
  const { Sign1Message } = await import('@ldclabs/cose-ts/sign1');
  const { ECDSAKey } = await import('@ldclabs/cose-ts/ecdsa');
  const { Ed25519Key } = await import('@ldclabs/cose-ts/ed25519');
  const { Header } = await import('@ldclabs/cose-ts/header');

  const rows = [
    { algorithm: 'ES256', ours: es256Key('device'), alg: -7 },
    { algorithm: 'EdDSA', ours: eddsaKey('device'), alg: -8 },
  ] as const;
  const theirKey = ({ secret }: TestKey, alg: number) =>
    alg === -7 ? ECDSAKey.fromSecret(secret) : Ed25519Key.fromSecret(secret);
  const aad = utf8('saytap/1 sim pier-9 request');

  test.each(rows)('verifies an $algorithm envelope of ours', async ({ ours, alg }) => {
    const envelope = await signEnvelope(payload, REALM, 'request', ours);
    const read = Sign1Message.fromBytes(theirKey(ours, alg).public(), envelope, aad);
    expect(bytesEqual(read.payload, payload)).toBe(true);
    expect(() => Sign1Message.fromBytes(theirKey(ours, alg).public(), envelope)).toThrow();
  });

  test.each(rows)('makes an $algorithm envelope that we open', ({ ours, alg }) => {
    const header = new Header(
      new Map<number, unknown>([
        [1, alg],
        [4, ours.key.kid],
      ]),
    );
    const message = new Sign1Message(payload, header, new Header());
    const untagged = message.toBytes(theirKey(ours, alg), aad);
    const theirs = Sign1Message.withTag(untagged);
    const envelope = alg === -7 ? concat(theirs.slice(0, -64), lowS(theirs.slice(-64))) : theirs;
    const opened = openEnvelope(envelope, REALM, 'request', () => ours.key);
    expect(opened.payload).toEqual(new Map([[1, 'hello']]));
  });
});

test('a key of one algorithm never verifies the other', async () => {
  const signer = es256Key('device');
  const envelope = await signEnvelope(payload, REALM, 'request', signer);
  const other: PublicKey = eddsaKey('device').key.public;
  expect(reasonOf(() => openEnvelope(envelope, REALM, 'request', () => loadKey(other)))).toBe(
    'bad_signature',
  );
});
