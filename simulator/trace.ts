/**
 * A trace: one payment as a file, from what the person said to the bridge's last word.
 *
 * It holds what was seen from outside, and the very bytes that reached the bridge, so that
 * trace/replay.ts can put them to the code of today. Of the bridge's other messages only those are
 * kept that can bear on the payment: of the same mandates, the same device, the same order.
 */
import * as z from 'zod/mini';
import { toHex } from '../src/bytes.ts';
import { type Realm, identify, payloadOf } from '../src/cose.ts';
import { OperatorError, PaymentError, reasonName } from '../src/errors.ts';
import { TRACE_BYTES_MAX, TRACE_MS_MAX } from '../src/limits.ts';
import { query as queryKind } from '../src/objects/query.ts';
import { isFinal, receipt as receiptKind } from '../src/objects/receipt.ts';
import { request as requestKind } from '../src/objects/request.ts';
import { revoke as revokeKind } from '../src/objects/revoke.ts';
import { tick as tickKind } from '../src/objects/tick.ts';
import { publicPem } from '../src/signer.ts';
import { parseTopic } from '../src/topics.ts';
import type { Fate, Observed } from './observed.ts';
import { HOME, type Site } from './site.ts';

/** What a person did, saw and heard. Times are ms since the beginning. */
export type Moment = Readonly<{ atMs: number }> &
  (
    | Readonly<{ what: 'sensed'; kind: string; text: string }>
    | Readonly<{ what: 'shown'; needs: number; lines: readonly string[]; sentence: string }>
    | Readonly<{ what: 'confirmed' }>
    | Readonly<{ what: 'said'; to: 'person' | 'staff'; sentence: string }>
    | Readonly<{ what: 'told'; kind: string; reason: string | undefined }>
  );

/**
 * What reached the bridge: a message, or an operator's word on a key (hex of its thumbprint); and
 * what it leased, because when it came to that depends on how fast its machine was.
 */
export type Input = Readonly<{ atMs: number }> &
  /** `clockMs` is the bridge's own time when it took it. */
  (
    | Readonly<{ what: 'message'; topic: string; bytes: string; clockMs: number }>
    | Readonly<{ what: 'key'; name: string; status: 'revoked' | 'suspended' | 'active' }>
    /** `minor` is in minor units of the mandate's currency, times are seconds since 1970. */
    | Readonly<{
        what: 'lease';
        mandate: string;
        nonce: string;
        minor: string;
        count: number;
        iat: number;
        exp: number;
        upload: number;
      }>
  );

/** One leg of the way of the payment's own messages. */
export type Hop = Readonly<{
  atMs: number;
  from: string;
  to: string;
  topic: string;
  bytes: number;
  fate: Fate;
}>;

/** The bridge's last word about something. */
export type Verdict = Readonly<{
  atMs: number;
  /** Id of what it is about. */
  subject: string;
  outcome: string;
  reason: string | undefined;
}>;

export type Trace = Readonly<{
  format: typeof FORMAT;
  /** Whether names and amounts are replaced, and everything signed anew. */
  isRedacted: boolean;
  realm: Realm;
  /** Wall time at which the times of this file begin, ms since 1970. */
  startMs: number;
  /** The request's id; undefined when nothing was signed. */
  id: string | undefined;
  device: string;
  language: 'en' | 'zh';
  moments: readonly Moment[];
  hops: readonly Hop[];
  /** Public key of the root (PEM), what it signed, and what the bridge was given (hex). */
  root: string;
  statements: readonly string[];
  policies: readonly string[];
  inputs: readonly Input[];
  /** Nonces of ticks that were used, with their seconds. */
  ticks: readonly Readonly<{ iat: number; nonce: string }>[];
  verdicts: readonly Verdict[];
  /** Why a replay cannot come to the same: what befell the bridge is not in the trace. */
  obstacle: string | undefined;
}>;

const FORMAT = 'saytap trace 2' as const;

/** Every payment that was seen, each as a trace with names and amounts as they are. */
export function tracesIn(observed: readonly Observed[], site: Site): readonly Trace[] {
  const said = saidIn(observed);
  return scenesIn(said, site).map((scene) => traceOf(scene, said, site));
}

/** Without what somebody put into the broker, which has no effect on anybody. */
function saidIn(observed: readonly Observed[]): readonly Observed[] {
  const bytes = new Set<Uint8Array>();
  const letters = new Set<string>();
  for (const one of observed) {
    if (one.what !== 'forged') continue;
    bytes.add(one.bytes);
    // The same as before on its own topic is taken for what it is.
    if (one.forgery !== 'again') letters.add(`${one.topic} ${toHex(one.bytes)}`);
  }
  if (bytes.size === 0) return observed;
  return observed.filter((one) => {
    if (one.what === 'wire') return !bytes.has(one.bytes);
    return one.what !== 'taken' || !letters.has(`${one.topic} ${toHex(one.bytes)}`);
  });
}

/** As it stands in a file. */
export function traceText(trace: Trace): string {
  return `${JSON.stringify(trace, undefined, 1)}\n`;
}

/** A trace from a file's text. Throws OperatorError `config` for what is none. */
export function readTrace(text: string, file: string): Trace {
  if (text.length > TRACE_BYTES_MAX) {
    throw new OperatorError('config', `${file}: longer than ${TRACE_BYTES_MAX} characters`);
  }
  const none = (why: string, cause?: unknown) =>
    new OperatorError(
      'config',
      `${file} is no trace (${why}): saytap scenario run --trace makes them`,
      { cause },
    );
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw none('no JSON', cause);
  }
  const read = TRACE.safeParse(value);
  if (read.success) return Object.freeze(read.data) as Trace;
  const [issue] = read.error.issues;
  throw none(issue?.path.join('.') || 'other fields');
}

const atMs = z.number().check(z.minimum(0), z.maximum(TRACE_MS_MAX));
/** To the end of the year 9999: what a calendar can show and a store can keep. */
const LAST_MS = 253_402_300_799_999;
const seconds = z.int().check(z.minimum(0), z.maximum(Math.floor(LAST_MS / 1000)));
const hex = z.string().check(z.regex(/^(?:[0-9a-f]{2})*$/));
const words = z.string();
const maybe = z.optional(words);

/** What its fields are; the signed objects inside are judged by whoever opens them. */
const TRACE = z.object({
  format: z.literal(FORMAT),
  isRedacted: z.boolean(),
  realm: z.object({ environment: z.enum(['sim', 'live']), ledger: words }),
  startMs: z.int().check(z.minimum(0), z.maximum(LAST_MS - TRACE_MS_MAX)),
  id: maybe,
  device: words,
  language: z.enum(['en', 'zh']),
  moments: z.array(
    z.discriminatedUnion('what', [
      z.object({ atMs, what: z.literal('sensed'), kind: words, text: words }),
      z.object({
        ...{ atMs, what: z.literal('shown'), needs: z.number() },
        ...{ lines: z.array(words), sentence: words },
      }),
      z.object({ atMs, what: z.literal('confirmed') }),
      z.object({
        ...{ atMs, what: z.literal('said'), to: z.enum(['person', 'staff']), sentence: words },
      }),
      z.object({ atMs, what: z.literal('told'), kind: words, reason: maybe }),
    ]),
  ),
  hops: z.array(
    z.object({
      ...{ atMs, from: words, to: words, topic: words, bytes: z.number() },
      fate: z.enum(['delivered', 'lost', 'delayed', 'repeated']),
    }),
  ),
  root: words,
  statements: z.array(hex),
  policies: z.array(hex),
  inputs: z.array(
    z.discriminatedUnion('what', [
      z.object({
        ...{ atMs, what: z.literal('message'), topic: words },
        bytes: hex,
        clockMs: z.number().check(z.minimum(0), z.maximum(LAST_MS)),
      }),
      z.object({
        ...{ atMs, what: z.literal('key'), name: words },
        status: z.enum(['revoked', 'suspended', 'active']),
      }),
      z.object({
        ...{ atMs, what: z.literal('lease'), mandate: words },
        nonce: z.string().check(z.regex(/^[0-9a-f]{16}$/)),
        minor: z.string().check(z.regex(/^\d{1,16}$/)),
        count: z.int().check(z.minimum(1)),
        ...{ iat: seconds, exp: seconds, upload: seconds },
      }),
    ]),
  ),
  ticks: z.array(z.object({ iat: seconds, nonce: hex })),
  verdicts: z.array(z.object({ atMs, subject: words, outcome: words, reason: maybe })),
  obstacle: maybe,
});

/** Something that somebody asked of a device, from the first word to the last. */
type Scene = Readonly<{
  device: string;
  id: string | undefined;
  fromMs: number;
  untilMs: number;
}>;

/** One for each payment that was told of or signed, from the question before it. */
function scenesIn(observed: readonly Observed[], site: Site): readonly Scene[] {
  const scenes = new Map<string, Scene>();
  const from = new Map<string, number>();
  const devices = new Set(site.devices.map(({ name }) => name));
  for (const one of observed) {
    if (one.what === 'sensed') from.set(one.device, one.atMs);
    if (one.what === 'shown' && !from.has(one.device)) from.set(one.device, one.atMs);
    if (one.what === 'taken' && one.topic.endsWith('/up/request')) {
      const device = parseTopic(one.topic)?.device ?? '';
      const id = idOf(one.bytes, site.realm, requestKind.name);
      if (id === undefined || scenes.has(id) || !devices.has(device)) continue;
      const fromMs = from.get(device) ?? one.atMs;
      from.delete(device);
      scenes.set(id, { device, id, fromMs, untilMs: Infinity });
    }
    if (one.what === 'told' && one.kind === 'not_sent') {
      const fromMs = from.get(one.device) ?? one.atMs;
      from.delete(one.device);
      const scene = { device: one.device, id: undefined, fromMs, untilMs: one.atMs };
      scenes.set(`${one.device} ${one.sequence}`, scene);
    }
  }
  return [...scenes.values()];
}

function traceOf(scene: Scene, observed: readonly Observed[], site: Site): Trace {
  const { device, id } = scene;
  const untilMs = id === undefined ? scene.untilMs : endOf(id, observed, site);
  const before = observed.filter(({ atMs }) => atMs <= untilMs);
  const own = site.devices.find(({ name }) => name === device)!;
  const family = familyOf(scene, before, site);
  const under = (folder: string) =>
    [...site.bridge.disk.files].flatMap(([path, { content }]) =>
      path.startsWith(`${HOME}/${folder}/`) && content instanceof Uint8Array
        ? [toHex(content)]
        : [],
    );
  return Object.freeze({
    format: FORMAT,
    isRedacted: false,
    realm: site.realm,
    startMs: site.startMs,
    ...{ id, device },
    language: own.config.language,
    moments: momentsIn(observed, scene, untilMs + AFTERWARDS_MS),
    hops: id === undefined ? [] : hopsOf(id, before, site),
    root: publicPem(site.root.key),
    statements: under('statements'),
    policies: under('policies'),
    inputs: inputsIn(before, family),
    ticks: ticksIn(before, family),
    verdicts: verdictsIn(before, family),
    obstacle: obstacleIn(before, family),
  });
}

function obstacleIn(before: readonly Observed[], { ids }: Family): string | undefined {
  for (const one of before) {
    if (one.what === 'life' && one.machine === BRIDGE && one.event === 'restored') {
      return 'the bridge was restored from a backup, and forgot what it had decided since';
    }
    if (one.what !== 'logged') continue;
    const { mandate } = one.fields ?? {};
    if (one.machine === 'operator' && ids.has(String(mandate))) {
      return 'the operator suspended a mandate';
    }
    if (one.machine === BRIDGE && one.event === 'message not taken') {
      return 'the disk of the bridge did not take what came to it';
    }
  }
  return undefined;
}

/** When the bridge said its last word; the end of everything when it never did. */
function endOf(id: string, observed: readonly Observed[], site: Site): number {
  for (const one of observed) {
    if (one.what !== 'wire' || !one.topic.endsWith('/down/receipt')) continue;
    const receipt = decoded(receiptKind, one.bytes);
    if (receipt?.subject === id && isFinal(receipt.outcome)) return one.atMs + site.devices.length;
  }
  return Infinity;
}

/** What bears on a payment. */
type Family = Readonly<{ isIn: (topic: string, bytes: Uint8Array) => boolean; ids: Set<string> }>;

function familyOf({ device, id }: Scene, observed: readonly Observed[], site: Site): Family {
  const { mandates, realm } = site;
  const rootOf = (one: string): string => {
    const parent = mandates.find((mandate) => mandate.id === one)?.mandate.parent;
    return parent === undefined ? one : rootOf(parent);
  };
  const messages = observed.flatMap((one) => (one.what === 'taken' ? [one] : []));
  const requests = messages.flatMap(({ topic, bytes }) => {
    const value = topic.endsWith('/up/request') ? decoded(requestKind, bytes) : undefined;
    const name = value && idOf(bytes, realm, requestKind.name);
    return value && name !== undefined ? [{ id: name, value }] : [];
  });
  const own = requests.find((one) => one.id === id)?.value;
  const roots = new Set(
    mandates
      .filter((one) => one.holder === device || one.id === own?.mandate)
      .map((one) => rootOf(one.id)),
  );
  const isTree = (mandate: string) => roots.has(rootOf(mandate));
  /** Orders, and requests that others act upon. */
  const originals = new Set([own?.order, own?.original].filter((one) => one !== undefined));
  // Whoever pays an order that bears on it bears on it too, and so does the mandate.
  for (let size = -1; size !== originals.size + roots.size;) {
    size = originals.size + roots.size;
    for (const { id: name, value } of requests) {
      const { order, original, mandate } = value;
      const isAbout = [order, original, name].some((one) => one && originals.has(one));
      if (!isAbout && !isTree(mandate)) continue;
      if (mandates.some((one) => one.id === mandate)) roots.add(rootOf(mandate));
      for (const one of [order, original]) if (one !== undefined) originals.add(one);
    }
  }
  const ids = new Set<string>(id === undefined ? [] : [id]);
  const isIn = (topic: string, bytes: Uint8Array): boolean => {
    const to = parseTopic(topic);
    switch (to?.tail) {
      case 'mandate': {
        const name = idOf(bytes, realm, 'mandate');
        return name !== undefined && isTree(name);
      }
      case 'request': {
        const value = decoded(requestKind, bytes);
        const isAbout = [value?.order, value?.original].some((one) => one && originals.has(one));
        return to.device === device || (value !== undefined && isTree(value.mandate)) || isAbout;
      }
      case 'order': {
        const name = idOf(bytes, realm, 'order');
        return to.device === device || (name !== undefined && originals.has(name));
      }
      case 'revoke':
        return decoded(revokeKind, bytes) !== undefined;
      case 'query': {
        const { question, subject } = decoded(queryKind, bytes) ?? {};
        return to.device === device || (question === 'cancel' && ids.has(subject ?? ''));
      }
      default:
        return false;
    }
  };
  for (const { topic, bytes } of messages) {
    const tail = parseTopic(topic)?.tail;
    if (!isIn(topic, bytes) || (tail !== 'request' && tail !== 'order' && tail !== 'mandate')) {
      continue;
    }
    const name = idOf(bytes, realm, tail);
    // Who paid another order of the same kiosk is not told here, so neither is what became of it,
    // nor of what it gave back of others.
    const value = tail === 'request' ? decoded(requestKind, bytes) : undefined;
    const { order, original } = value ?? {};
    const isAbout = [name, order, original].some((one) => one && originals.has(one));
    const isFree = tail === 'mandate' || (tail === 'request' && !order && !original);
    if (name !== undefined && (isAbout || isFree || isTree(value?.mandate ?? ''))) ids.add(name);
  }
  return { isIn, ids };
}

/** Until that time, or until somebody does something else there. */
function momentsIn(
  observed: readonly Observed[],
  { device, id, fromMs }: Scene,
  untilMs: number,
): Moment[] {
  const next = observed.find(
    (one) => one.what === 'sensed' && one.device === device && one.atMs > fromMs,
  );
  const endMs = Math.min(untilMs, next?.atMs ?? Infinity);
  return observed.flatMap((one): readonly Moment[] => {
    if (one.atMs < fromMs || one.atMs > endMs) return [];
    if (!('device' in one) || one.device !== device) return [];
    const { atMs } = one;
    switch (one.what) {
      case 'sensed':
        return [{ atMs, what: one.what, kind: one.kind, text: one.text }];
      case 'shown':
        return [
          { atMs, what: one.what, needs: one.needs, lines: one.lines, sentence: one.sentence },
        ];
      case 'confirmed':
        return [{ atMs, what: one.what }];
      case 'said':
        return [{ atMs, what: one.what, to: one.to, sentence: one.sentence }];
      case 'told':
        if (one.id !== undefined && one.id !== id) return [];
        return [{ atMs, what: one.what, kind: one.kind, reason: one.reason }];
      default:
        return [];
    }
  });
}

function hopsOf(id: string, observed: readonly Observed[], { realm }: Site): Hop[] {
  return observed.flatMap((one): readonly Hop[] => {
    if (one.what !== 'wire') return [];
    const tail = parseTopic(one.topic)?.tail;
    const about =
      tail === 'request'
        ? idOf(one.bytes, realm, 'request')
        : tail === 'receipt'
          ? decoded(receiptKind, one.bytes)?.subject
          : tail === 'query'
            ? decoded(queryKind, one.bytes)?.subject
            : undefined;
    const { atMs, from, to, topic, fate } = one;
    return about === id ? [{ atMs, from, to, topic, bytes: one.bytes.length, fate }] : [];
  });
}

function inputsIn(observed: readonly Observed[], { isIn, ids }: Family): Input[] {
  const leased = new Set<string>();
  return observed.flatMap((one): readonly Input[] => {
    const { atMs } = one;
    if (one.what === 'logged' && one.machine === 'operator') {
      const { name, status } = one.fields ?? {};
      if (typeof name !== 'string' || (status !== 'revoked' && status !== 'active')) return [];
      return [{ atMs, what: 'key', name, status }];
    }
    if (one.what === 'wire') {
      const { nonce, iat, lease } = tickIn(one) ?? {};
      if (!nonce || !iat || !lease || !ids.has(lease.mandate) || leased.has(toHex(nonce)))
        return [];
      leased.add(toHex(nonce));
      const { mandate, amount, count, exp, upload } = lease;
      const about = { mandate, nonce: toHex(nonce), minor: String(amount.minor), count };
      return [{ atMs, what: 'lease', ...about, iat, exp, upload }];
    }
    if (one.what !== 'taken' || !isIn(one.topic, one.bytes)) return [];
    const { topic, clockMs } = one;
    return [{ atMs, what: 'message', topic, bytes: toHex(one.bytes), clockMs }];
  });
}

function ticksIn(observed: readonly Observed[], { isIn }: Family): Trace['ticks'] {
  const used = new Set(
    observed.flatMap((one) => {
      if (one.what !== 'taken' || !isIn(one.topic, one.bytes)) return [];
      const request = decoded(requestKind, one.bytes);
      return request ? [toHex(request.nonce)] : [];
    }),
  );
  const ticks = new Map<string, number>();
  for (const one of observed) {
    const tick = one.what === 'wire' ? tickIn(one) : undefined;
    if (!tick || tick.lease || !used.has(toHex(tick.nonce))) continue;
    ticks.set(toHex(tick.nonce), tick.iat);
  }
  return [...ticks].map(([nonce, iat]) => ({ iat, nonce }));
}

/** What the bridge said of the time, if this is that. */
function tickIn({ from, topic, bytes }: Extract<Observed, { what: 'wire' }>) {
  return from === BRIDGE && topic.endsWith('/tick') ? decoded(tickKind, bytes) : undefined;
}

function verdictsIn(observed: readonly Observed[], { ids }: Family): Verdict[] {
  const found = new Map<string, Verdict>();
  for (const one of observed) {
    if (one.what !== 'wire' || one.from !== BRIDGE || !one.topic.endsWith('/down/receipt'))
      continue;
    const receipt = decoded(receiptKind, one.bytes);
    if (!receipt || !isFinal(receipt.outcome)) continue;
    const { subject, outcome, reason } = receipt;
    if (!ids.has(subject) || found.has(`${subject} ${outcome}`)) continue;
    const why = reason === undefined ? undefined : (reasonName(reason) ?? String(reason));
    found.set(`${subject} ${outcome}`, { atMs: one.atMs, subject, outcome, reason: why });
  }
  return [...found.values()];
}

function decoded<T>(
  kind: Readonly<{ name: string; decode: (value: never) => T }>,
  bytes: Uint8Array,
): T | undefined {
  return once(bytes, kind.name, () => kind.decode(payloadOf(bytes) as never)) as T | undefined;
}

function idOf(bytes: Uint8Array, realm: Realm, kind: string): string | undefined {
  return once(bytes, `id ${kind}`, () => identify(bytes, realm, kind).id) as string | undefined;
}

/** What was read of messages: every trace of a world looks at all of them. */
const seen = new WeakMap<Uint8Array, Map<string, unknown>>();

/** The result of reading a message in one way, or undefined when it cannot be read so. */
function once(bytes: Uint8Array, how: string, read: () => unknown): unknown {
  const known = seen.get(bytes) ?? new Map<string, unknown>();
  seen.set(bytes, known);
  if (known.has(how)) return known.get(how);
  let value: unknown;
  try {
    value = read();
  } catch (error) {
    if (!(error instanceof PaymentError)) throw error;
  }
  known.set(how, value);
  return value;
}

const BRIDGE = 'bridge';
/** So long after the bridge's last word a device has told it. */
const AFTERWARDS_MS = 10_000;
