/**
 * Enrolment on the device: it makes its keys, shows who it is, and asks until a person has decided.
 *
 * Whatever it shows or asks is on disk first, so a device that is killed goes on with the same key
 * and the same code. What it is given is checked as a whole, kept in one file, and only then laid
 * out: a power cut in the middle is mended by laying it out again. The root is pinned once.
 */
import { X509Certificate, createPublicKey } from 'node:crypto';
import { join } from 'node:path';
import * as z from 'zod/mini';
import { bytesEqual, fromBase64url, fromHex, toHex, utf8 } from '../src/bytes.ts';
import { type Realm, type Signer, identify, payloadOf } from '../src/cose.ts';
import { EXITS, OperatorError, PaymentError, REASONS } from '../src/errors.ts';
import { requireFolder } from '../src/files.ts';
import { openKeyFile } from '../src/keyfile.ts';
import { type VerifyKey, loadKey, publicKeyOf } from '../src/keys.ts';
import {
  ENROL_ANSWER_BYTES_MAX,
  ENROL_ASK_MS,
  ENROL_ASK_MS_MAX,
  ENROL_TIMEOUT_MS,
  PAIRING_BYTES,
} from '../src/limits.ts';
import { type Enrol, enrol as enrolKind } from '../src/objects/enrol.ts';
import { type KeyStatement, keyStatement } from '../src/objects/key.ts';
import { open, seal } from '../src/objects/kind.ts';
import { mandate as mandateKind } from '../src/objects/mandate.ts';
import { policy as policyKind } from '../src/objects/policy.ts';
import { receipt as receiptKind } from '../src/objects/receipt.ts';
import { bundleMac, enrolMac, pairingLink, sameMac, shortCode, spelled } from '../src/pairing.ts';
import {
  type Clock,
  type Files,
  type Http,
  HttpFailure,
  type Random,
  type Timers,
} from '../src/platform.ts';
import { publicPem, readPublicPem } from '../src/signer.ts';
import { type DeviceConfig, ENROLLED_BROKER } from './config.ts';
import type { KeyStore } from './keys/store.ts';
import { enrolPhrases } from './phrases.ts';
import type { Trust } from './trust.ts';
import { finishWipe } from './wipe.ts';

/** What an enrolment needs; `at` resolves a path of the configuration. */
export type EnrolmentParts = Readonly<{
  config: DeviceConfig;
  at: (path: string) => string;
  keys: KeyStore;
  files: Files;
  random: Random;
  clock: Clock;
  timers: Timers;
  http: Http;
  /** A line for the person who stands before the device; `code` is to be shown as a QR code. */
  tell: (line: string, code?: string) => void;
}>;

/**
 * Enrols the device, however long the network and the person take; resolves once it is. With
 * `isAgain` under a new key, when the old one counts no more. Throws OperatorError `failed` when
 * it was refused, `key` for an answer that does not hold.
 */
export async function enrolDevice(parts: EnrolmentParts, isAgain: boolean): Promise<void> {
  const { config, at, keys, files, tell } = parts;
  const { language } = config;
  const words = enrolPhrases;
  const { url } = requireEnrol(config);
  await finishWipe(parts, () => keys);
  requireTrusted(parts); // Before anybody scans a code for nothing.
  requireFolder(files, at(config.folder));
  await settleEnrolment({ ...parts, keys: () => keys });
  const own = isAgain ? undefined : ownStatement(parts, keys.current());
  const isOver = own !== undefined && parts.clock.nowMs() / 1000 >= own.exp;
  if (own && !isOver) return tell(words.already(own.device ?? '', language));

  const asking = await begin(parts, isAgain);
  const { thumbprint } = asking.signer.key;
  const link = pairingLink(url, { code: asking.code, thumbprint });
  tell(words.scan(language), link);
  tell(link);
  tell(words.compare(spelled(shortCode(thumbprint)), language));

  const bundle = await fetchBundle(parts, asking);
  const { statement, root } = requireBundle(parts, asking, bundle);
  if (bundle.mac === undefined) {
    tell(words.root(grouped(toHex(root.thumbprint).slice(0, 16)), language));
  }
  keep(parts, { state: 'granted', bundle: bundle.text });
  await settleEnrolment({ ...parts, keys: () => keys });
  tell(words.done(statement.device ?? '', language));
}

/**
 * Asks once for whatever has changed: certificate, statements, policies, mandates; the key that
 * signs is what authorises it, so an expired certificate is no obstacle. What came counts when the
 * device is next put together, the certificate from the next connection on. Resolves with
 * undefined when nothing came, with a refusal as it came, else with whether a running device has to
 * be put together anew, and whether the statement of this key was renewed, which is when two thirds
 * of its life are over. Throws HttpFailure when nobody answers, `key` for an answer that does not
 * hold.
 */
export async function contactBridge(
  parts: Omit<EnrolmentParts, 'tell'>,
): Promise<Readonly<{ isNews: boolean; isRenewed: boolean }> | Refusal | undefined> {
  const { config, keys } = parts;
  const signer = keys.current();
  if (!signer) return undefined;
  const enrol = enrolFor(parts, signer, config.device);
  const envelope = await seal(enrolKind, enrol, realmOf(config), signer);
  const answer = await ask(parts, envelope);
  if (answer?.state === 'refused') {
    const { reason = '', receipt = '' } = answer;
    const { id } = identify(envelope, realmOf(config), enrolKind.name);
    return { key: signer.key.name, subject: id, reason, receipt: fromBase64url(receipt) };
  }
  if (answer?.bundle === undefined) return undefined;
  const text = new TextDecoder().decode(fromBase64url(answer.bundle));
  const before = ownStatement(parts, signer);
  const { statement, isNews } = takeBundle(parts, signer, text);
  return { isNews, isRenewed: before?.nbf === statement.nbf && before.exp < statement.exp };
}

/** What the bridge says to a key (`key`) that counts no more; only the receipt is signed. */
export type Refusal = Readonly<{
  key: string;
  subject: string;
  reason: string;
  receipt: Uint8Array;
}>;

/**
 * Whether the bridge has signed that its key is revoked, which is for good. What anybody else may
 * have said over HTTPS ends no device.
 */
export function isEnd(trust: Pick<Trust, 'openFromBridge'>, refusal: Refusal): boolean {
  try {
    const { value } = trust.openFromBridge(receiptKind, refusal.receipt);
    const { subject, outcome, reason } = value;
    return subject === refusal.subject && outcome === 'refused' && reason === REASONS.revoked;
  } catch (error) {
    if (error instanceof PaymentError) return false;
    throw error;
  }
}

/** What a key that is to take the place of the one in use was answered. */
export type SuccessorAnswer =
  | Readonly<{ state: 'granted'; statement: KeyStatement }>
  /** `waiting` for a person, who is told the code; `unsigned`: for the root. */
  | Readonly<{ state: 'waiting' | 'unsigned'; code: string }>
  | Readonly<{ state: 'refused'; reason: string }>
  | Readonly<{ state: 'later' }>;

/**
 * Asks once with the Enrol of a successor, and lays out what it is given, as `contactBridge` does:
 * nothing of that changes what the key in use may do. Throws as that does, and `key` for a
 * statement under another name than `device`.
 */
export async function askForSuccessor(
  parts: Pick<EnrolmentParts, 'config' | 'at' | 'files' | 'http'>,
  successor: Signer,
  envelope: Uint8Array,
  device: string,
): Promise<SuccessorAnswer> {
  const answer = await ask(parts, envelope);
  if (answer?.bundle !== undefined) {
    const text = new TextDecoder().decode(fromBase64url(answer.bundle));
    const { statement } = takeBundle(parts, successor, text, device);
    return { state: 'granted', statement };
  }
  const { state, code = '', reason = '' } = answer ?? {};
  if (state === 'refused') return { state, reason };
  return state === 'waiting' || state === 'unsigned' ? { state, code } : { state: 'later' };
}

/**
 * Tells the bridge that a key has nothing more to say; false when it is to be told again. A bridge
 * that does not take it has answered too: it knows no such key, or one that nobody succeeded.
 */
export async function sayFarewell(
  parts: Pick<EnrolmentParts, 'config' | 'at' | 'files' | 'http'>,
  envelope: Uint8Array,
): Promise<boolean> {
  try {
    return (await ask(parts, envelope, '/v1/retire')) !== undefined;
  } catch (error) {
    if (error instanceof OperatorError && error.exit === EXITS.failed) return true;
    throw error;
  }
}

/** The Enrol of a key in use or to be used, as it stands before anybody has signed it. */
export function enrolFor(
  { config, at, files, clock }: Pick<EnrolmentParts, 'config' | 'at' | 'files' | 'clock'>,
  signer: Signer,
  device: string,
) {
  const tls = openKeyFile(files, join(at(config.folder), TLS_KEY), 'ES256');
  return {
    iat: Math.floor(clock.nowMs() / 1000),
    key: signer.key.public,
    role: roleOf(config),
    device,
    tls: publicKeyOf(createPublicKey(tls)),
  } satisfies Enrol;
}

/** Whether an enrolment has begun that is not over: the next key is its own. */
export function isEnrolling(place: Pick<EnrolmentParts, 'config' | 'at' | 'files'>): boolean {
  return readKept(place) !== undefined;
}

/** Lays out what was granted before a power cut, if it was. Idempotent. */
export async function settleEnrolment(
  parts: Pick<EnrolmentParts, 'config' | 'at' | 'files'> & Readonly<{ keys: () => KeyStore }>,
): Promise<void> {
  const { config, at, files } = parts;
  const kept = readKept(parts);
  if (kept?.state !== 'granted') return;
  const keys = parts.keys();
  const bundle = parseBundle(kept.bundle);
  layOut(parts, bundle);
  if (keys.next()?.key.name === bundle.key) await keys.promote();
  files.erase(join(at(config.folder), KEPT));
}

/** Where the broker is and how it is reached, for a device whose enrolment told it. */
export function brokerOf(
  config: DeviceConfig,
  at: (path: string) => string,
  files: Files,
): DeviceConfig['mqtt'] {
  if (!config.enrol || config.mqtt.url !== ENROLLED_BROKER) return config.mqtt;
  const told = files.read(join(at(config.folder), BROKER));
  if (!told) {
    throw new OperatorError('config', 'this device is not enrolled: run saytap device enrol');
  }
  const url = new TextDecoder().decode(told).trim();
  return url.startsWith('mqtts://') ? { ...config.mqtt, url } : { url };
}

/**
 * The configuration with what an enrolment told: the device's name, and where its broker is. A
 * device that is not enrolled yet has no broker in it.
 */
export function enrolledConfig(
  config: DeviceConfig,
  at: (path: string) => string,
  files: Files,
): Omit<DeviceConfig, 'mqtt'> & Partial<Pick<DeviceConfig, 'mqtt'>> {
  const folder = at(config.folder);
  const { mqtt, ...rest } = config;
  if (!config.enrol) return config;
  if (mqtt.url === ENROLLED_BROKER && !files.read(join(folder, BROKER))) return rest;
  const device = nameIn(files.read(join(folder, TLS_CERTIFICATE))) ?? config.device;
  return { ...rest, device, mqtt: brokerOf(config, at, files) };
}

/** Names within the device's folder. */
const KEPT = 'enrolment.json';
const BROKER = 'broker.url';
const TLS_KEY = 'tls.key.pem';
const TLS_CERTIFICATE = 'tls.certificate.pem';
const TLS_CA = 'tls.ca.pem';

const hex = z.string().check(z.regex(/^([0-9a-f]{2})+$/));
const base64url = z.string().check(z.regex(/^[\w-]+$/));

/** What is on disk between the first question and the last step. */
const keptText = z.discriminatedUnion('state', [
  z.strictObject({ state: z.literal('asking'), code: hex, envelope: hex }),
  z.strictObject({ state: z.literal('granted'), bundle: z.string() }),
]);
type Kept = z.infer<typeof keptText>;

/** PROTOCOL.md 3.8.2; a later bridge may say more. */
const bundleText = z.object({
  environment: z.enum(['sim', 'live']),
  ledger: z.string(),
  key: hex,
  root: z.string(),
  statements: z.array(base64url).check(z.minLength(2)),
  policies: z.array(base64url).check(z.minLength(1)),
  mandates: z.array(base64url),
  mqtt: z.string().check(z.regex(/^mqtts?:\/\/[^/]+\/?$/)),
  certificate: z.optional(z.string()),
  ca: z.optional(z.string()),
});
type Bundle = z.infer<typeof bundleText>;

const answerText = z.object({
  state: z.optional(z.enum(['waiting', 'unsigned', 'granted', 'refused', 'retired'])),
  code: z.optional(z.string()),
  reason: z.optional(z.string()),
  error: z.optional(z.string()),
  bundle: z.optional(base64url),
  mac: z.optional(base64url),
  receipt: z.optional(base64url),
});

type Asking = Readonly<{ signer: Signer; code: Uint8Array; envelope: Uint8Array }>;
const NO_CODE = new Uint8Array(PAIRING_BYTES);

type Granted = Readonly<{ text: string; bundle: Bundle; mac: Uint8Array | undefined }>;

/** The Enrol that was begun, or a new one; on disk before anybody sees it. */
async function begin(parts: EnrolmentParts, isAgain: boolean): Promise<Asking> {
  const { config, keys, random } = parts;
  const kept = readKept(parts);
  const signers = [keys.next(), ...(isAgain ? [] : [keys.current()])];
  if (kept?.state === 'asking') {
    const envelope = fromHex(kept.envelope);
    const { name } = loadKey(enrolKind.decode(payloadOf(envelope)).key);
    const signer = signers.find((one) => one?.key.name === name);
    if (signer) return { signer, code: fromHex(kept.code), envelope };
  }
  const signer = signers.find((one) => one !== undefined) ?? (await keys.prepare());
  const code = random(PAIRING_BYTES);
  const mac = enrolMac({ code, thumbprint: signer.key.thumbprint });
  const enrol = { ...enrolFor(parts, signer, config.device), mac };
  const envelope = await seal(enrolKind, enrol, realmOf(config), signer);
  keep(parts, { state: 'asking', code: toHex(code), envelope: toHex(envelope) });
  return { signer, code, envelope };
}

/** Asks until there is an answer for good; a network that is away is waited for. */
async function fetchBundle(parts: EnrolmentParts, asking: Asking): Promise<Granted> {
  const { config, timers, tell } = parts;
  const { language } = config;
  let isAway = false;
  let isApproved = false;
  for (let pauseMs = ENROL_ASK_MS; ;) {
    const answer = await ask(parts, asking.envelope).catch((error: unknown) => {
      if (!(error instanceof HttpFailure)) throw error;
      if (!isAway) tell(enrolPhrases.away(error.message, language));
      isAway = true;
      return undefined;
    });
    if (answer) {
      if (isAway) tell(enrolPhrases.back(language));
      isAway = false;
      if (answer.state === 'unsigned' && !isApproved) {
        isApproved = true;
        tell(enrolPhrases.unsigned(language));
      }
      if (answer.bundle !== undefined) {
        const text = new TextDecoder().decode(fromBase64url(answer.bundle));
        const mac = answer.mac === undefined ? undefined : fromBase64url(answer.mac);
        return { text, bundle: parseBundle(text), mac };
      }
      if (answer.state === 'refused') return giveUp(parts, answer.reason ?? '');
    }
    pauseMs = answer ? ENROL_ASK_MS : Math.min(pauseMs * 2, ENROL_ASK_MS_MAX);
    await new Promise<void>((done) => void timers.after(pauseMs, done));
  }
}

/** One question; undefined for "later". Throws HttpFailure without an answer. */
async function ask(
  { config, at, files, http }: Pick<EnrolmentParts, 'config' | 'at' | 'files' | 'http'>,
  envelope: Uint8Array,
  path = '/v1/enrol',
): Promise<z.infer<typeof answerText> | undefined> {
  const { url } = requireEnrol(config);
  const ca = requireTrusted({ config, at, files });
  const { status, body } = await http({
    ...{ method: 'POST', url: `${url}${path}`, headers: {}, body: envelope },
    ...{ timeoutMs: ENROL_TIMEOUT_MS, answerBytesMax: ENROL_ANSWER_BYTES_MAX },
    ...(ca !== undefined && { ca }),
  });
  const parsed = z.safeParse(answerText, parseJson(body));
  if (!parsed.success) throw new HttpFailure(`${url} is no bridge: it answers otherwise`, true);
  if (status === 429 || status >= 500) return undefined;
  const { error } = parsed.data;
  if (error === undefined) return parsed.data;
  throw new OperatorError(
    'failed',
    `the bridge does not take this device: ${error}; compare environment and ledger with it`,
  );
}

/** A person said no: the next attempt begins with a new code. */
function giveUp({ config, at, files }: EnrolmentParts, reason: string): never {
  files.erase(join(at(config.folder), KEPT));
  const { language } = config;
  const isOver = reason === 'revoked' || reason === 'suspended';
  throw new OperatorError(
    'failed',
    isOver ? enrolPhrases.over(language) : enrolPhrases.refused(language),
  );
}

/** What came without a code: the root is pinned by now, so no MAC has to be looked at. */
function takeBundle(
  parts: Pick<EnrolmentParts, 'config' | 'at' | 'files'>,
  signer: Signer,
  text: string,
  device?: string,
): Readonly<{ statement: KeyStatement; isNews: boolean }> {
  const bundle = parseBundle(text);
  const granted = { text, bundle, mac: undefined };
  const { statement } = requireBundle(parts, { signer, code: NO_CODE }, granted);
  if (device !== undefined && statement.device !== device) {
    throw new OperatorError(
      'key',
      `the next key was approved as ${statement.device}, and this device is ${device}: ` +
        'it goes on with the key that it has',
    );
  }
  return { statement, isNews: layOut(parts, bundle) };
}

/** Checks everything that was given, before anything of it counts. Throws OperatorError `key`. */
function requireBundle(
  parts: Pick<EnrolmentParts, 'config' | 'at' | 'files'>,
  { signer, code }: Pick<Asking, 'signer' | 'code'>,
  { text, bundle, mac }: Granted,
): Readonly<{ statement: KeyStatement; root: VerifyKey }> {
  const { config, at, files } = parts;
  const refuse = (why: string) => {
    throw new OperatorError('key', `the bridge’s answer does not hold, nothing was kept: ${why}`);
  };
  if (mac && !sameMac(mac, bundleMac(code, utf8(text)))) {
    refuse('it was not written by the bridge whose page has this device’s code');
  }
  const realm = realmOf(config);
  if (bundle.environment !== realm.environment || bundle.ledger !== realm.ledger) {
    refuse(`it is for ${bundle.environment} ledger ${bundle.ledger}`);
  }
  try {
    const root = readPublicPem(bundle.root);
    const pinned = files.read(at(config.root));
    if (pinned && readPublicPem(new TextDecoder().decode(pinned)).name !== root.name) {
      refuse('its root is not the one that this device has pinned');
    }
    const statements = bundle.statements.map(
      (one) => open(keyStatement, fromBase64url(one), realm, () => root).value,
    );
    const statement = statements.find(({ key }) => loadKey(key).name === signer.key.name);
    if (!statement || bundle.key !== signer.key.name) return refuse('it does not name this key');
    if (statement.role !== roleOf(config) || statement.device === undefined) {
      const name = `a ${statement.role}`;
      return refuse(`it was approved as ${name}, and its profile is ${config.profile}`);
    }
    if (!statements.some(({ role }) => role === 'bridge')) refuse('it names no bridge');
    for (const one of bundle.policies) open(policyKind, fromBase64url(one), realm, () => root);
    for (const one of bundle.mandates) {
      const { cnf } = mandateKind.decode(payloadOf(fromBase64url(one)));
      if (cnf !== signer.key.name) refuse('it has a mandate for another key');
    }
    requireCertificate(parts, bundle, statement.device);
    return { statement, root };
  } catch (cause) {
    if (!(cause instanceof PaymentError)) throw cause;
    return refuse(cause.message);
  }
}

/** The certificate is for this device's own TLS key and name, by the authority that comes along. */
function requireCertificate(
  { config, at, files }: Pick<EnrolmentParts, 'config' | 'at' | 'files'>,
  { certificate, ca }: Bundle,
  name: string,
): void {
  if (certificate === undefined) return;
  const handle = openKeyFile(files, join(at(config.folder), TLS_KEY), 'ES256');
  let isSound = false;
  try {
    const own = new X509Certificate(certificate);
    const authority = new X509Certificate(ca ?? '');
    isSound =
      own.checkPrivateKey(handle) &&
      own.subject === `CN=${name}` &&
      own.checkIssued(authority) &&
      own.verify(authority.publicKey);
  } catch {
    isSound = false;
  }
  if (!isSound) throw new PaymentError('bad_signature', 'the certificate is not for this device');
}

/**
 * Writes what a bundle brought to where the configuration looks for it; each file atomically, and
 * only what is not there already. Returns whether anything is new that a running device has read.
 */
function layOut(
  { config, at, files }: Pick<EnrolmentParts, 'config' | 'at' | 'files'>,
  bundle: Bundle,
): boolean {
  const realm = realmOf(config);
  const folder = at(config.folder);
  let isNews = false;
  function put(path: string, bytes: Uint8Array): void {
    const before = files.read(path);
    if (before && bytesEqual(before, bytes)) return;
    files.replace(path, bytes, 0o644);
    isNews = true;
  }
  for (const path of [config.statements, config.policy, config.mandates]) {
    if (path !== undefined) requireFolder(files, at(path));
  }
  for (const text of bundle.statements) {
    const envelope = fromBase64url(text);
    const { kid } = loadKey(keyStatement.decode(payloadOf(envelope)).key);
    put(join(at(config.statements), `${toHex(kid)}.key`), envelope);
  }
  for (const text of bundle.policies) {
    const envelope = fromBase64url(text);
    const { scope, version } = policyKind.decode(payloadOf(envelope));
    const whose = 'payee' in scope ? scope.payee : 'device' in scope ? scope.device : '';
    const path = join(at(config.policy), `${scope.kind}${whose && `-${whose}`}.policy`);
    const before = files.read(path);
    // A policy's version never falls.
    if (before && policyKind.decode(payloadOf(before)).version > version) continue;
    put(path, envelope);
  }
  for (const text of config.mandates === undefined ? [] : bundle.mandates) {
    const envelope = fromBase64url(text);
    const { id } = identify(envelope, realm, mandateKind.name);
    put(join(at(config.mandates!), `${id}.mandate`), envelope);
  }
  if (bundle.ca !== undefined) put(join(folder, TLS_CA), utf8(bundle.ca));
  if (bundle.certificate !== undefined) {
    // Another one each time; the next connection reads it.
    files.replace(join(folder, TLS_CERTIFICATE), utf8(bundle.certificate), 0o644);
  }
  put(join(folder, BROKER), utf8(`${bundle.mqtt}\n`));
  // Last, and once: with the root in its place the device is enrolled.
  if (!files.read(at(config.root)))
    put(at(config.root), utf8(publicPem(readPublicPem(bundle.root))));
  return isNews;
}

/** What the root says of this key, when it is here. */
export function ownStatement(
  { config, at, files }: Pick<EnrolmentParts, 'config' | 'at' | 'files'>,
  signer: Signer | undefined,
): KeyStatement | undefined {
  if (!signer) return undefined;
  const folder = at(config.statements);
  return files
    .list(folder)
    .filter((name) => name.endsWith('.key'))
    .map((name) => keyStatement.decode(payloadOf(files.read(join(folder, name))!)))
    .find(({ key }) => loadKey(key).name === signer.key.name);
}

function readKept({ config, at, files }: Pick<EnrolmentParts, 'config' | 'at' | 'files'>) {
  const bytes = files.read(join(at(config.folder), KEPT));
  if (!bytes) return undefined;
  const parsed = z.safeParse(keptText, parseJson(bytes));
  // It was written whole or not at all; what is damaged all the same is begun anew.
  return parsed.success ? parsed.data : undefined;
}

function keep({ config, at, files }: EnrolmentParts, kept: Kept): void {
  files.replace(join(at(config.folder), KEPT), utf8(JSON.stringify(kept)), 0o600);
}

function parseBundle(text: string): Bundle {
  const parsed = z.safeParse(bundleText, parseJson(utf8(text)));
  if (parsed.success) return parsed.data;
  throw new OperatorError('key', 'the bridge’s answer is not a bundle: compare the versions');
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
}

/** The name in topics that its certificate is for. */
function nameIn(certificate: Uint8Array | undefined): string | undefined {
  if (!certificate) return undefined;
  try {
    return /^CN=([\w-]{1,64})$/.exec(new X509Certificate(certificate).subject)?.[1];
  } catch {
    return undefined; // Damaged: the doctor says so.
  }
}

/** Where its bridge is. Throws OperatorError `config` where none is named. */
export function requireEnrol({ enrol }: DeviceConfig): NonNullable<DeviceConfig['enrol']> {
  if (enrol) return enrol;
  throw new OperatorError(
    'config',
    "the configuration has no enrol: add enrol: { url: 'https://…' }, where the bridge is reached",
  );
}

/** By whom its bridge is believed, PEM; undefined: by the system's authorities. */
function requireTrusted({
  config,
  at,
  files,
}: Pick<EnrolmentParts, 'config' | 'at' | 'files'>): string | undefined {
  const { ca } = requireEnrol(config);
  if (ca === undefined) return undefined;
  const bytes = files.read(at(ca));
  const pem = bytes && new TextDecoder().decode(bytes);
  if (pem?.includes('-----BEGIN CERTIFICATE-----')) return pem;
  throw new OperatorError(
    'config',
    `${at(ca)} ${pem === undefined ? 'does not exist' : 'holds no certificate'}: ` +
      'it is the ca.pem in the folder of the bridge, copied',
  );
}

function roleOf({ profile }: DeviceConfig): 'terminal' | 'device' {
  return profile === 'kiosk' ? 'terminal' : 'device';
}

function realmOf({ environment, ledger }: DeviceConfig): Realm {
  return { environment, ledger };
}

/** "7b21 b9b5 7f32 e00f": as people compare it. */
function grouped(text: string): string {
  return text.replace(/(.{4})(?=.)/g, '$1 ');
}
