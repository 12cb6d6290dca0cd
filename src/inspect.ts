/**
 * Looking at an object: every layer in plain words, then every byte with its meaning.
 *
 * Works on damaged bytes too, and tells how far it got and with which reason code a verifier stops.
 * Only the line "signature" says anything about trust: all else is what the bytes claim.
 */
import { type Annotation, type Labels, annotate, annotateEnvelope } from './annotation.ts';
import { fromBase64url, fromHex, toHex } from './bytes.ts';
import { type CborValue, decodeCbor } from './cbor.ts';
import { type Realm, aadOf, identify, kidOf, verifyCose } from './cose.ts';
import { PaymentError, REASONS } from './errors.ts';
import { type VerifyKey, parseCoseKey, thumbprint } from './keys.ts';
import { ENVELOPE_BYTES_MAX } from './limits.ts';
import type { Money } from './money.ts';
import { type Kind, open } from './objects/kind.ts';
import { KINDS, type KindName, kindNamed } from './objects/kinds.ts';
import { CHANNELS } from './objects/request.ts';
import { presenceWords, reasonWords, sentenceOf, spokenMoney, utc } from './sentences.ts';

/** What the one who asks knows already; the more, the more can be checked. */
export type Hints = Readonly<{
  realm?: Realm;
  kind?: KindName;
  key?: VerifyKey;
  language?: 'en';
}>;

export type Json = string | number | boolean | readonly Json[] | Readonly<{ [name: string]: Json }>;

/** An order as a QR code or an NFC tag carries it. */
export const ORDER_URI = 'saytap://order/';

/**
 * The bytes that a person pasted or a file held: hex (blanks allowed), base64url, an order URI, or
 * the object itself. Throws `malformed` for text that is none of them.
 */
export function readInput(input: string | Uint8Array): Uint8Array {
  if (typeof input !== 'string') {
    // An object never starts with a printable character, a text with one always does.
    const isText = input.every(
      (byte) => (byte >= 0x20 && byte < 0x7f) || (byte >= 9 && byte <= 13),
    );
    return isText && input.length > 0 ? readInput(new TextDecoder().decode(input)) : input;
  }
  const text = input.trim();
  if (text.startsWith(ORDER_URI)) return fromBase64url(text.slice(ORDER_URI.length));
  const dense = text.replace(/\s+/g, '');
  if (dense === '') throw new PaymentError('malformed', 'nothing to read');
  return /^[0-9a-fA-F]*$/.test(dense) && dense.length % 2 === 0
    ? fromHex(dense)
    : fromBase64url(dense);
}

/**
 * The verified object as JSON: kind, id, digest, key and value. Throws PaymentError as a verifier
 * in this realm would, with the reason code of the first fault.
 */
export function verify(
  envelope: Uint8Array,
  kind: KindName,
  realm: Realm,
  key: VerifyKey,
): Readonly<{ kind: KindName; id: string; digest: string; key: string; value: Json }> {
  const { id, digest, value } = open(KINDS[kind] as Kind<unknown>, envelope, realm, () => key);
  return Object.freeze({
    kind,
    id,
    digest: toHex(digest),
    key: key.name,
    value: toJson(value),
  });
}

/** A value as JSON any language reads: bytes in hex, bigint in decimal digits, maps as objects. */
export function toJson(value: unknown): Json {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') {
    return value;
  }
  if (typeof value === 'bigint') return value.toString();
  if (value instanceof Uint8Array) return toHex(value);
  if (Array.isArray(value)) return value.map(toJson);
  const entries = value instanceof Map ? [...value] : Object.entries(value as object);
  return Object.fromEntries(
    entries
      .filter(([, item]) => item !== undefined)
      .map(([name, item]) => [String(name), toJson(item)]),
  );
}

/** Lines of text about these bytes; never throws PaymentError, whatever the bytes are. */
export function inspect(bytes: Uint8Array, hints: Hints = {}): readonly string[] {
  if (bytes.length > ENVELOPE_BYTES_MAX) {
    return [
      `${bytes.length} bytes: more than any object has (${ENVELOPE_BYTES_MAX})`,
      line('refused', reasonWords(REASONS.too_large)),
    ];
  }
  // Major type 6: any tag is looked at as an envelope, so that a wrong one is told.
  return bytes[0] !== undefined && bytes[0] >> 5 === 6
    ? envelopeLines(bytes, hints)
    : payloadLines(bytes, hints);
}

function envelopeLines(bytes: Uint8Array, hints: Hints): readonly string[] {
  const kid = attempt(() => toHex(kidOf(bytes)));
  const parts = attempt(() => splitLoosely(bytes));
  const reading = parts.value
    ? readPayload(parts.value.payload, hints.kind)
    : nearestTo((labels) => annotateEnvelope(bytes, labels), hints.kind);
  const name = kid.value ?? (parts.value && kidIn(parts.value.protectedHeader));
  return [
    `${titleOf(reading)}, envelope of ${bytes.length} bytes`,
    ...(parts.value ? partLines(parts.value) : []),
    ...(name === undefined ? [] : [line('kid', name)]),
    ...(kid.error ? [line('refused', reasonAndWhy(kid.error))] : []),
    ...(reading.kind && parts.value ? identityLines(bytes, reading.kind, hints) : []),
    ...(parts.value ? signatureLines(bytes, hints) : []),
    ...readingLines(reading, name),
    '',
    ...annotationLines(annotateEnvelope(bytes, labelsOf(reading))),
  ];
}

function payloadLines(bytes: Uint8Array, hints: Hints): readonly string[] {
  const decoded = attempt(() => decodeCbor(bytes));
  const special = decoded.value === undefined ? undefined : specialLines(decoded.value);
  if (special) return [...special, '', ...annotationLines(annotate(bytes, () => undefined))];
  const reading = readPayload(bytes, hints.kind);
  return [
    `${titleOf(reading)}, payload of ${bytes.length} bytes: nobody has signed this`,
    ...readingLines(reading, undefined),
    '',
    ...annotationLines(annotate(bytes, labelsOf(reading))),
  ];
}

/** Maps of ours that are no signed object: the unsigned answer, and a public key. */
function specialLines(value: CborValue): readonly string[] | undefined {
  if (!(value instanceof Map)) return undefined;
  const code: unknown = value.get(23);
  if (value.size === 1 && typeof code === 'number') {
    return [`the unsigned answer: ${reasonWords(code)}; proves nothing and closes nothing`];
  }
  const key = attempt(() => parseCoseKey(value)).value;
  return key && [`a public key, ${key.algorithm}`, line('thumbprint', toHex(thumbprint(key)))];
}

type Parts = Readonly<{
  protectedHeader: Uint8Array;
  unprotected: CborValue;
  payload: Uint8Array;
  signature: Uint8Array;
}>;

/** The four parts of a COSE_Sign1, whatever our profile says about them. */
function splitLoosely(bytes: Uint8Array): Parts {
  const outer = decodeCbor(bytes.subarray(1));
  const [protectedHeader, unprotected, payload, signature, ...rest] = Array.isArray(outer)
    ? (outer as CborValue[])
    : [];
  if (
    !(protectedHeader instanceof Uint8Array) ||
    unprotected === undefined ||
    !(payload instanceof Uint8Array) ||
    !(signature instanceof Uint8Array) ||
    rest.length > 0
  ) {
    throw new PaymentError('malformed', 'not the four parts of a COSE_Sign1');
  }
  return { protectedHeader, unprotected, payload, signature };
}

function headersIn(protectedHeader: Uint8Array): ReadonlyMap<number, CborValue> {
  const headers = attempt(() => decodeCbor(protectedHeader)).value;
  return headers instanceof Map ? headers : new Map<number, CborValue>();
}

function kidIn(protectedHeader: Uint8Array): string | undefined {
  const kid = headersIn(protectedHeader).get(4);
  return kid instanceof Uint8Array ? toHex(kid) : undefined;
}

function partLines({ protectedHeader, unprotected, payload, signature }: Parts): string[] {
  const alg = headersIn(protectedHeader).get(1);
  const algorithm =
    alg === -7 ? 'ES256 (-7)' : alg === -8 ? 'EdDSA (-8)' : `not ours (${String(alg)})`;
  const size = unprotected instanceof Map ? unprotected.size : 0;
  return [
    line('algorithm', algorithm),
    line(
      'sizes',
      `protected header ${protectedHeader.length}, payload ${payload.length}, ` +
        `signature ${signature.length} bytes; unprotected header ${size} entries`,
    ),
  ];
}

function identityLines(bytes: Uint8Array, kind: KindName, { realm }: Hints): string[] {
  if (!realm) return [line('id', 'depends on environment and ledger, which were not given')];
  const identity = attempt(() => identify(bytes, realm, kind));
  if (!identity.value) return [];
  return [
    line('digest', toHex(identity.value.digest)),
    line('id', `${identity.value.id} in ${realm.environment} ${realm.ledger}`),
  ];
}

/** Tries every kind in both environments of the ledger, and tells what it was signed for. */
function signatureLines(bytes: Uint8Array, { realm, key, kind }: Hints): string[] {
  if (!key || !realm) {
    const missing = [!key && 'the key', !realm && 'environment and ledger'].filter(Boolean);
    return [line('signature', `not checked: ${missing.join(' and ')} not given`)];
  }
  for (const environment of ['live', 'sim'] as const) {
    for (const name of Object.keys(KINDS) as KindName[]) {
      const aad = aadOf({ environment, ledger: realm.ledger }, name);
      if (!attempt(() => verifyCose(bytes, key, aad)).value) continue;
      const purpose = `${name} for ${environment} ${realm.ledger}`;
      const words = `holds under key ${key.name}, signed as ${purpose}`;
      const isOther = environment !== realm.environment || (kind !== undefined && kind !== name);
      return [line('signature', isOther ? `${words}: NOT what was asked for` : words)];
    }
  }
  return [
    line(
      'signature',
      `DOES NOT HOLD under key ${key.name} for any kind of ${realm.ledger}: ` +
        reasonWords(REASONS.bad_signature),
    ),
  ];
}

/** What a payload says: as `kind`, its value, or that kind as the nearest and why it is none. */
type Reading = Readonly<{ kind?: KindName; value?: unknown; fault?: string }>;

function readPayload(bytes: Uint8Array, told: KindName | undefined): Reading {
  const decoded = attempt(() => decodeCbor(bytes));
  if (decoded.value === undefined) {
    const nearest = nearestTo((labels) => annotate(bytes, labels), told);
    return { ...nearest, fault: reasonAndWhy(decoded.error!) };
  }
  const payload = decoded.value;
  const candidates = told ? [told] : (Object.keys(KINDS) as KindName[]);
  for (const kind of candidates) {
    const read = attempt(() => kindNamed(kind)!.decode(payload));
    if (!read.error) return { kind, value: read.value };
  }
  const { kind } = nearestTo((labels) => annotate(bytes, labels), told);
  const why = attempt(() => kindNamed(kind ?? 'request')!.decode(payload)).error!;
  return { ...(kind && { kind }), fault: reasonAndWhy(why) };
}

/** The kind whose field numbers occur most, by a walk that also reads damaged bytes. */
function nearestTo(walk: (labels: Labels) => Annotation, told: KindName | undefined): Reading {
  const numbers = new Set<number>();
  walk((path) => {
    if (path.length === 1) numbers.add(path[0]!);
    return undefined;
  });
  const score = (kind: KindName) =>
    [...numbers].reduce((sum, number) => sum + (KINDS[kind].fields.has(number) ? 1 : -1), 0);
  const [nearest] = (Object.keys(KINDS) as KindName[]).sort((a, b) => score(b) - score(a));
  const kind = told ?? (score(nearest!) > 0 ? nearest : undefined);
  return { ...(kind && { kind }), fault: '' };
}

function titleOf({ kind, fault }: Reading): string {
  if (kind === undefined) return 'unknown object';
  return fault === undefined ? `saytap ${kind}` : `no valid object, nearest to a saytap ${kind}`;
}

function readingLines({ kind, value, fault }: Reading, kid: string | undefined): string[] {
  if (fault === undefined) return ['', sentenceOf(kind!, value, kid)];
  return fault === '' ? [] : [line('refused', fault)];
}

/** Names of the maps inside a field, by the field's name. */
const INNER: Readonly<Record<string, ReadonlyMap<number, string>>> = Object.freeze({
  cnf: new Map([[5, 'ckt']]),
  key: new Map([
    [1, 'kty'],
    [-1, 'crv'],
    [-2, 'x'],
    [-3, 'y'],
  ]),
  lease: new Map([
    [4, 'exp'],
    [10, 'mandate'],
    [12, 'amount'],
    [61, 'count'],
    [62, 'upload'],
  ]),
  offline: new Map(
    [
      'behaviour currency floorLimit storedAmountMax storedCountMax acceptWindow uploadWindow',
      'goOnlineEvery payerCountMax payerAmountMax policyAgeMax',
    ]
      .join(' ')
      .split(' ')
      .map((name, number) => [number, name]),
  ),
});

function labelsOf(reading: Reading): Labels {
  if (!reading.kind) return () => undefined;
  const { fields } = KINDS[reading.kind];
  const whole = (reading.value ?? {}) as Readonly<Record<string, unknown>>;
  return ([number, inner, ...rest]) => {
    const name = fields.get(number!);
    if (name === undefined) return { name: 'unknown field' };
    if (inner === undefined) return { name, meaning: meaningOf(name, whole) };
    const within = rest.length === 0 ? INNER[name]?.get(inner) : undefined;
    return within === undefined ? undefined : { name: within };
  };
}

/** What a decoded field means beyond its bytes; undefined when they say it all. */
function meaningOf(name: string, whole: Readonly<Record<string, unknown>>): string | undefined {
  const value = whole[name];
  if (value === undefined) return undefined;
  switch (name) {
    case 'exp':
    case 'nbf':
    case 'iat':
      return utc(value as number);
    case 'amount':
      return spokenMoney(value as Money);
    case 'perPaymentMax':
    case 'perPaymentMin':
      return spokenMoney({ currency: whole['currency'] as string, minor: value as bigint });
    case 'presence':
    case 'presenceMax':
      return presenceWords(value as number);
    case 'reason':
      return reasonWords(value as number);
    case 'channels':
      return channelNames(value as number);
    case 'action':
    case 'channel':
    case 'outcome':
    case 'question':
    case 'role':
      return value as string;
    default:
      return undefined;
  }
}

function channelNames(mask: number): string {
  const names = Object.entries(CHANNELS).filter(([, bit]) => (mask & bit) !== 0);
  return names.map(([name]) => name).join(' + ');
}

function annotationLines({ lines, fault }: Annotation): readonly string[] {
  return fault === undefined ? lines : [...lines, `-- stopped: ${fault}`];
}

function reasonAndWhy(error: PaymentError): string {
  return `${reasonWords(REASONS[error.reason])}: ${error.message}`;
}

function line(name: string, text: string): string {
  return `  ${name.padEnd(10)} ${text}`;
}

/** The result of `run`, or the PaymentError it threw; a bug still throws. */
function attempt<T>(run: () => T): Readonly<{ value?: T; error?: PaymentError }> {
  try {
    return { value: run() };
  } catch (error) {
    if (!(error instanceof PaymentError)) throw error;
    return { error };
  }
}
