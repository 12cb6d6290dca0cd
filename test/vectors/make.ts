/**
 * Makes test/vectors/*.json: what an implementation in any language must accept and refuse.
 *
 * Deterministic: fixed keys, RFC 6979 signatures, no clock. `npm run vectors` writes the files and
 * test/src/objects/kinds.test.ts fails when they are not what this program makes. The private keys
 * are hashes of their names and are good for nothing but reproducing these files.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { p256 } from '@noble/curves/nist.js';
import { concat, fromHex, toHex } from '../../src/bytes.ts';
import { type CborValue, decodeCbor, encodeCbor } from '../../src/cbor.ts';
import { type Realm, aadOf, identify, sigStructure } from '../../src/cose.ts';
import { PaymentError, type Reason } from '../../src/errors.ts';
import { toJson } from '../../src/inspect.ts';
import { ALGORITHM_NUMBERS, coseKey } from '../../src/keys.ts';
import { ENVELOPE_BYTES_MAX } from '../../src/limits.ts';
import {
  CURRENCIES,
  exponentOf,
  formatDecimal,
  formatMoney,
  parseDecimal,
} from '../../src/money.ts';
import type { Kind } from '../../src/objects/kind.ts';
import { KINDS, type KindName } from '../../src/objects/kinds.ts';
import { UNSIGNED, downTopic, parseTopic, tickTopic, upTopic } from '../../src/topics.ts';
import {
  CASES,
  type Cases,
  LIVE,
  LONG_NAME,
  RAW_AMOUNTS,
  REALM,
  ROOT,
  type TestKey,
  es256Key,
  pay,
  protectedOf,
  sealed,
} from './cases.ts';

/** Where the vectors stand. */
export const VECTORS_FOLDER = import.meta.dirname;

/** Every file of vectors by name, with its exact text. */
export function makeVectors(): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  for (const kind of Object.keys(KINDS) as KindName[]) {
    const cases: Cases<unknown> = CASES[kind] as Cases<unknown>;
    files.set(`${kind}.json`, asText(kindFile(kind, cases)));
  }
  files.set('money.json', asText(moneyFile()));
  files.set('topics.json', asText(topicsFile()));
  return files;
}

function kindFile(kind: KindName, cases: Cases<unknown>) {
  const codec = KINDS[kind] as Kind<unknown>;
  const [minimal] = cases.valid;
  const payload = codec.encode(minimal!.value);
  const valid = cases.valid.map(({ name, why, value, realm = REALM, signer = cases.signer }) => {
    const bytes = codec.encode(value);
    const protectedHeader = protectedOf(signer.key.public);
    const envelope = sealed(kind, bytes, realm, signer);
    const { digest, id } = identify(envelope, realm, kind);
    return {
      name,
      why,
      realm,
      kind,
      key: keyOf(signer),
      payloadHex: toHex(bytes),
      aadText: new TextDecoder().decode(aadOf(realm, kind)),
      sigStructureHex: toHex(sigStructure(protectedHeader, aadOf(realm, kind), bytes)),
      digestHex: toHex(digest),
      idHex: id,
      envelopeHex: toHex(envelope),
      envelopeBytes: envelope.length,
      json: toJson(value),
    };
  });
  const about =
    `Kind "${kind}". Every valid vector opens under its realm, kind and key, and is what ` +
    'its json says; every invalid one, opened under the realm, kind and key it names, is refused ' +
    'with its reason. Bytes are hex, minor units decimal texts. The private keys are for ' +
    'tests only.';
  return {
    about,
    valid,
    invalid: [...badPayloads(kind, cases, payload), ...badEnvelopes(kind, cases, payload)],
  };
}

type Invalid = Readonly<{
  name: string;
  why: string;
  layer: 'payload' | 'envelope';
  realm: Realm;
  kind: KindName;
  keyHex: string;
  envelopeHex: string;
  reason: Reason;
}>;

/** Payloads that a right key has signed: the signature holds and the content is refused. */
function badPayloads(kind: KindName, cases: Cases<unknown>, minimal: Uint8Array): Invalid[] {
  const { signer } = cases;
  const entries = [...(decodeCbor(minimal) as Map<number, CborValue>)];
  const raw = entries.map(([number, value]) => [encodeCbor(number), encodeCbor(value)] as const);
  const [first, second, ...others] = raw as [Pair, Pair, ...Pair[]];
  type Pair = readonly [Uint8Array, Uint8Array];
  const map = (...pairs: readonly Pair[]) =>
    concat(Uint8Array.of(0xa0 + pairs.length), ...pairs.map(([key, value]) => concat(key, value)));
  const firstAs = (hex: string) => map([first[0], fromHex(hex)], second, ...others);

  const faults: (readonly [name: string, why: string, payload: Uint8Array, reason: Reason])[] = [
    ['payload truncated', 'the last byte is missing', minimal.slice(0, -1), 'malformed'],
    [
      'payload with a byte after it',
      'one item and no more',
      concat(minimal, Uint8Array.of(0)),
      'malformed',
    ],
    ['payload empty', 'no item', new Uint8Array(), 'malformed'],
    ['payload an array', 'a map', encodeCbor([1]), 'malformed'],
    ['payload an empty map', 'fields are missing', encodeCbor(new Map()), 'malformed'],
    [
      'key twice',
      'two readers could differ',
      map(first, first, second, ...others),
      'non_canonical',
    ],
    ['keys out of order', 'one order', map(second, first, ...others), 'non_canonical'],
    [
      'key longer than needed',
      'shortest form',
      map([concat(Uint8Array.of(0x18), first[0]), first[1]], second, ...others),
      first[0].length === 1 ? 'non_canonical' : 'malformed',
    ],
    [
      'length of the map longer than needed',
      'shortest form',
      concat(Uint8Array.of(0xb8, entries.length), minimal.slice(1)),
      'non_canonical',
    ],
    [
      'map of indefinite length',
      'definite lengths',
      concat(Uint8Array.of(0xbf), minimal.slice(1), Uint8Array.of(0xff)),
      'non_canonical',
    ],
    ['array of indefinite length', 'definite lengths', firstAs('9fff'), 'non_canonical'],
    ['bytes of indefinite length', 'definite lengths', firstAs('5f4101ff'), 'non_canonical'],
    ['text of indefinite length', 'definite lengths', firstAs('7f6161ff'), 'non_canonical'],
    ['payload in tag 61 (CWT)', 'no tags', concat(fromHex('d83d'), minimal), 'malformed'],
    ['value in tag 1 (time)', 'no tags', firstAs('c11a6aff2a4c'), 'malformed'],
    ['value a half float', 'no floats', firstAs('f93c00'), 'malformed'],
    ['value a double', 'no floats', firstAs('fb41dab9fa96b2c000'), 'malformed'],
    ['value NaN', 'no floats', firstAs('f97e00'), 'malformed'],
    ['value null', 'absent is absent', firstAs('f6'), 'malformed'],
    ['value undefined', 'absent is absent', firstAs('f7'), 'malformed'],
    ['value simple(16)', 'unassigned', firstAs('f0'), 'malformed'],
    ['value a break', 'a break ends nothing here', firstAs('ff'), 'malformed'],
    ['value with reserved length 28', 'not well-formed', firstAs('1c'), 'malformed'],
    ['value longer than needed', 'shortest form', firstAs('1801'), 'non_canonical'],
    ['value 2^53', 'exact in every language', firstAs('1b0020000000000000'), 'malformed'],
    ['bytes that claim 4 GiB', 'nothing is allocated', firstAs('5affffffff'), 'malformed'],
    [
      'bytes that claim 2^64 − 1',
      'nothing is allocated',
      firstAs('5bffffffffffffffff'),
      'malformed',
    ],
    [
      'array that claims 2^32 − 1 items',
      'nothing is allocated',
      firstAs('9affffffff'),
      'too_large',
    ],
    [
      'map that claims 2^64 − 1 entries',
      'nothing is allocated',
      firstAs('bbffffffffffffffff'),
      'too_large',
    ],
    ['text that is not UTF-8', 'a cut character', firstAs('61c3'), 'malformed'],
    ['text with an encoded surrogate', 'U+D800 is no character', firstAs('63eda080'), 'malformed'],
    ['text with an overlong slash', 'a second encoding', firstAs('62c0af'), 'malformed'],
    [
      'key as text',
      'keys are integers',
      map([fromHex('6161'), first[1]], second, ...others),
      'malformed',
    ],
    [
      'key unknown',
      'nothing is overlooked',
      map(...raw, [fromHex('1863'), fromHex('00')]),
      'malformed',
    ],
    [
      'key negative and unknown',
      'nothing is overlooked',
      map(...raw, [fromHex('20'), fromHex('00')]),
      'malformed',
    ],
    ['value of another type', 'true', firstAs('f5'), 'malformed'],
    ...entries.map(
      ([number], i) =>
        [
          `field ${number} missing`,
          `${KINDS[kind].fields.get(number)} is required`,
          map(...raw.filter((_, place) => place !== i)),
          'malformed',
        ] as const,
    ),
  ];
  const inAmount = raw.findIndex(([key]) => key.length === 1 && key[0] === 12);
  if (inAmount >= 0) {
    for (const [name, why, bytes, reason] of RAW_AMOUNTS) {
      const pairs = raw.map((pair, i) =>
        i === inAmount ? ([pair[0], concat(pay, bytes)] as const) : pair,
      );
      faults.push([name, why, map(...pairs), reason]);
    }
  }
  for (const [name, why, change, reason = 'malformed'] of cases.broken) {
    const changed = new Map(entries);
    for (const [number, value] of Object.entries(change)) {
      if (value === undefined) changed.delete(Number(number));
      else changed.set(Number(number), value);
    }
    faults.push([name, why, encodeCbor(changed), reason]);
  }
  if (kind === 'request') {
    faults.push([
      'nested 2,000 deep',
      'without recursion',
      concat(new Uint8Array(2_000).fill(0x81), Uint8Array.of(0)),
      'malformed',
    ]);
  }
  return faults.map(([name, why, payload, reason]) => ({
    name,
    why,
    layer: 'payload',
    realm: REALM,
    kind,
    keyHex: toHex(encodeCbor(coseKey(signer.key.public))),
    envelopeHex: toHex(sealed(kind, payload, REALM, signer)),
    reason,
  }));
}

/** Envelopes around a right payload that are refused before it is looked at. */
function badEnvelopes(kind: KindName, cases: Cases<unknown>, payload: Uint8Array): Invalid[] {
  const { signer } = cases;
  const good = sealed(kind, payload, REALM, signer);
  const header = protectedOf(signer.key.public);
  const alg = ALGORITHM_NUMBERS[signer.key.algorithm];
  const { kid } = signer.key;
  const aad = aadOf(REALM, kind);
  const signed = (protectedHeader: Uint8Array, by: TestKey = signer, extern = aad) =>
    by.sign(sigStructure(protectedHeader, extern, payload)) as Uint8Array;
  const wrap = (
    protectedHeader: Uint8Array,
    unprotected: string,
    signature: Uint8Array,
    tag = 'd2',
  ) =>
    concat(
      fromHex(`${tag}84`),
      encodeCbor(protectedHeader),
      fromHex(unprotected),
      encodeCbor(payload),
      encodeCbor(signature),
    );
  const withHeader = (entries: readonly (readonly [number, CborValue])[]) => {
    const encoded = encodeCbor(new Map(entries));
    return wrap(encoded, 'a0', signed(encoded));
  };
  const right = signed(header);
  const otherKind: KindName = kind === 'request' ? 'receipt' : 'request';
  const unsorted = concat(fromHex('a2'), fromHex('0448'), kid, fromHex('0126'));

  type Fault = readonly [string, string, Uint8Array, Reason, Realm?, TestKey?, KindName?];
  const faults: Fault[] = [
    ['envelope truncated', 'the last byte is missing', good.slice(0, -1), 'malformed'],
    [
      'envelope with a byte after it',
      'one item and no more',
      concat(good, Uint8Array.of(0)),
      'malformed',
    ],
    ['envelope empty', 'no bytes', new Uint8Array(), 'malformed'],
    ['untagged', 'tag 18 is required', good.slice(1), 'malformed'],
    ['tag 98', 'COSE_Sign is another thing', concat(fromHex('d862'), good.slice(1)), 'malformed'],
    ['tag 18 in two bytes', 'shortest form', concat(fromHex('d812'), good.slice(1)), 'malformed'],
    ['tagged twice', 'once', concat(fromHex('d2'), good), 'malformed'],
    ['CWT tag around', 'no tag but 18', concat(fromHex('d83d'), good), 'malformed'],
    [
      'four parts of indefinite length',
      'definite lengths',
      concat(fromHex('d29f'), good.slice(2), fromHex('ff')),
      'non_canonical',
    ],
    ['array of three', 'four parts', concat(fromHex('d283'), good.slice(2, -66)), 'malformed'],
    [
      'payload nil',
      'no detached payloads',
      concat(fromHex('d284'), encodeCbor(header), fromHex('a0f6'), encodeCbor(right)),
      'malformed',
    ],
    [
      'unprotected kid',
      'the unprotected header is empty',
      wrap(header, `a10448${toHex(kid)}`, right),
      'malformed',
    ],
    [
      'protected header out of order',
      'one order',
      wrap(unsorted, 'a0', signed(unsorted)),
      'non_canonical',
    ],
    [
      'protected header empty',
      'alg and kid',
      wrap(new Uint8Array(), 'a0', signed(new Uint8Array())),
      'malformed',
    ],
    [
      'protected header with content type',
      'exactly alg and kid',
      withHeader([
        [1, alg],
        [3, 0],
        [4, kid],
      ]),
      'malformed',
    ],
    [
      'protected header with crit',
      'exactly alg and kid',
      withHeader([
        [1, alg],
        [2, [99]],
        [4, kid],
      ]),
      'malformed',
    ],
    ['protected header without kid', 'exactly alg and kid', withHeader([[1, alg]]), 'malformed'],
    ['protected header without alg', 'exactly alg and kid', withHeader([[4, kid]]), 'malformed'],
    [
      'kid of 9 bytes',
      'exactly 8',
      withHeader([
        [1, alg],
        [4, concat(kid, Uint8Array.of(0))],
      ]),
      'malformed',
    ],
    [
      'alg ES384',
      'ES256 and EdDSA only',
      withHeader([
        [1, -35],
        [4, kid],
      ]),
      'malformed',
    ],
    [
      'alg none',
      'no such thing',
      withHeader([
        [1, 0],
        [4, kid],
      ]),
      'malformed',
    ],
    [
      'alg EdDSA under an ES256 key',
      'the key fixes the algorithm',
      withHeader([
        [1, -8],
        [4, kid],
      ]),
      'bad_signature',
    ],
    [
      'kid of another key',
      'kid and key agree',
      withHeader([
        [1, alg],
        [4, ROOT.key.kid.map((byte) => byte ^ 1)],
      ]),
      'bad_signature',
    ],
    [
      'signature of another key',
      'only the owner signs',
      wrap(header, 'a0', signed(header, es256Key('stranger'))),
      'bad_signature',
    ],
    [
      'signature with high S',
      'one of two is accepted',
      wrap(header, 'a0', highS(right)),
      'bad_signature',
    ],
    [
      'signature of zeros',
      'r and s are at least 1',
      wrap(header, 'a0', new Uint8Array(64)),
      'bad_signature',
    ],
    [
      'signature with r equal to the order',
      'r is below the order',
      wrap(header, 'a0', concat(ORDER_BYTES, right.slice(32))),
      'bad_signature',
    ],
    ['signature of 63 bytes', 'exactly 64', wrap(header, 'a0', right.slice(1)), 'bad_signature'],
    ['signature in DER', 'r and s, 64 bytes', wrap(header, 'a0', der(right)), 'bad_signature'],
    ['signature empty', 'exactly 64', wrap(header, 'a0', new Uint8Array()), 'bad_signature'],
    [
      'one bit of the payload',
      'every bit is signed',
      flipLastPayloadBit(header, payload, right),
      'bad_signature',
    ],
    [
      'signed without external_aad',
      'bound to realm and kind',
      wrap(header, 'a0', signed(header, signer, new Uint8Array())),
      'bad_signature',
    ],
    [
      'signed for another kind',
      'no object for another',
      sealed(otherKind, payload, REALM, signer),
      'bad_signature',
    ],
    [
      'opened as another kind',
      'no object for another',
      good,
      'bad_signature',
      REALM,
      signer,
      otherKind,
    ],
    [
      'signed for another ledger',
      'no object for another',
      sealed(kind, payload, { ...REALM, ledger: 'pier-10' }, signer),
      'bad_signature',
    ],
    ['simulated, opened live', 'play money is no money', good, 'sim_in_live', LIVE],
    [
      'live, opened in the simulation',
      'a real order is no toy',
      sealed(kind, payload, LIVE, signer),
      'bad_signature',
    ],
    [
      'opened with another key',
      'the key is the enrolled one',
      good,
      'bad_signature',
      REALM,
      es256Key('stranger'),
    ],
  ];
  if (kind === 'request') {
    const deep = concat(new Uint8Array(10_000).fill(0x81), Uint8Array.of(0));
    faults.push(
      [
        'envelope of 4097 bytes',
        'too long to look at',
        padded(good, ENVELOPE_BYTES_MAX + 1),
        'too_large',
      ],
      ['nested 10,000 deep', 'too long to look at', concat(fromHex('d2'), deep), 'too_large'],
      [
        'envelope nested 4,000 deep',
        'without recursion',
        concat(fromHex('d2'), deep.slice(6_000)),
        'malformed',
      ],
    );
  }
  return faults.map(([name, why, envelope, reason, realm = REALM, under = signer, as = kind]) => ({
    name,
    why,
    layer: 'envelope',
    realm,
    kind: as,
    keyHex: toHex(encodeCbor(coseKey(under.key.public))),
    envelopeHex: toHex(envelope),
    reason,
  }));
}

const P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
const ORDER_BYTES = fromHex(P256_ORDER.toString(16));

function highS(signature: Uint8Array): Uint8Array {
  const s = P256_ORDER - BigInt(`0x${toHex(signature.slice(32))}`);
  return concat(signature.slice(0, 32), fromHex(s.toString(16).padStart(64, '0')));
}

function der(signature: Uint8Array): Uint8Array {
  return p256.Signature.fromBytes(signature).toBytes('der');
}

function flipLastPayloadBit(header: Uint8Array, payload: Uint8Array, signature: Uint8Array) {
  const changed = payload.slice();
  changed[changed.length - 1]! ^= 1;
  return concat(
    fromHex('d284'),
    encodeCbor(header),
    fromHex('a0'),
    encodeCbor(changed),
    encodeCbor(signature),
  );
}

function padded(bytes: Uint8Array, length: number): Uint8Array {
  return concat(bytes, new Uint8Array(length - bytes.length));
}

function keyOf(signer: TestKey) {
  return {
    algorithm: signer.key.algorithm,
    coseKeyHex: toHex(encodeCbor(coseKey(signer.key.public))),
    thumbprintHex: signer.key.name,
    kidHex: toHex(signer.key.kid),
    privateHexForTestsOnly: toHex(signer.secret),
  };
}

function moneyFile() {
  const decimals = ['0', '1', '12.5', '12.50', '0.01', '90071992547409.91', '1000'];
  const refused = [
    '',
    '-1',
    '+1',
    '1.',
    '.5',
    '01',
    '1e3',
    '1,000',
    ' 1',
    '1.234',
    '90071992547409.92',
  ];
  return {
    about:
      'currencies: ISO 4217 exponents. decimals: machine-written amounts and their minor units. ' +
      'refused: texts that are no amount in CNY, with the reason.',
    currencies: Object.fromEntries(CURRENCIES.map((code) => [code, exponentOf(code)])),
    decimals: [
      ...decimals.map((text) => ({ currency: 'CNY', text })),
      { currency: 'JPY', text: '1250' },
      { currency: 'KWD', text: '1.234' },
      { currency: 'CLF', text: '0.0001' },
    ].map(({ currency, text }) => {
      const minor = parseDecimal(text, currency);
      const money = { currency, minor };
      return {
        currency,
        text,
        minor: minor.toString(),
        written: formatDecimal(money),
        english: formatMoney(money, 'en'),
        chinese: formatMoney(money, 'zh'),
      };
    }),
    refused: refused.map((text) => ({
      currency: 'CNY',
      text,
      reason: reasonOf(() => parseDecimal(text, 'CNY')),
    })),
  };
}

function reasonOf(run: () => unknown): Reason {
  try {
    run();
  } catch (error) {
    if (error instanceof PaymentError) return error.reason;
    throw error;
  }
  throw new Error('a vector that should be refused is accepted');
}

function topicsFile() {
  const device = 'glasses-1';
  const topics = [
    ...(Object.keys(KINDS) as KindName[]).flatMap((kind) => [
      upTopic(device, kind),
      downTopic(device, kind),
    ]),
    downTopic(device, UNSIGNED),
    upTopic(LONG_NAME, 'request'),
  ];
  const refused: readonly (readonly [string, string])[] = [
    [tickTopic('pier-9'), 'the tick is no device topic'],
    [`saytap/1/${device}/up/${UNSIGNED}`, 'only the bridge answers unsigned'],
    [`saytap/1/${device}/up/payment`, 'no such kind'],
    [`saytap/1/${device}/up/toString`, 'no such kind'],
    [`saytap/1/${device}/sideways/request`, 'up or down'],
    [`saytap/1/${device}/up`, 'no kind'],
    [`saytap/1/${device}/up/request/more`, 'too many levels'],
    [`saytap/2/${device}/up/request`, 'another version'],
    [`/saytap/1/${device}/up/request`, 'a level before'],
    ['saytap/1//up/request', 'no device'],
    ['saytap/1/+/up/request', 'a wildcard'],
    ['saytap/1/#/up/request', 'a wildcard'],
    [`saytap/1/${'n'.repeat(65)}/up/request`, 'a name of 65 characters'],
    ['saytap/1/a b/up/request', 'a blank'],
    ['saytap/1/ä/up/request', 'not ASCII'],
    ['', 'empty'],
  ];
  return {
    about: 'topics: every up and down topic with its parts. refused: topics that are none.',
    tick: { ledger: 'pier-9', topic: tickTopic('pier-9') },
    topics: topics.map((topic) => ({ topic, ...parseTopic(topic) })),
    refused: refused.map(([topic, why]) => ({ topic, why })),
  };
}

function asText(file: unknown): string {
  return `${JSON.stringify(file, null, 1)}\n`;
}

if (import.meta.main) {
  for (const [name, text] of makeVectors()) writeFileSync(join(VECTORS_FOLDER, name), text);
}
