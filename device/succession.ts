/**
 * One key after the other, on the device: the next key is made, endorsed, granted and proved while
 * the old one goes on paying; then it takes over, and the old one takes its leave.
 *
 * One small file says how far that is, and it is written before each step that somebody else could
 * see, so a device that is killed anywhere goes on from there with one key that works. What the old
 * key has still to say (whom it names, to whom it passes its mandates on, its farewell) is signed
 * while it is there: to promote the next key destroys it.
 *
 * The running program does every step but one: the change itself happens while nothing is put
 * together, at a start or between two compositions, for no part may sign with a key that is gone.
 */
import { join } from 'node:path';
import * as z from 'zod/mini';
import { bytesEqual, fromHex, toHex, utf8 } from '../src/bytes.ts';
import { type Signer, identify, kidOf, payloadOf } from '../src/cose.ts';
import { OperatorError } from '../src/errors.ts';
import { requireFolder } from '../src/files.ts';
import { CHAIN_DEPTH_MAX, RESEND_FOR_MS, TERMINAL_OVERLAP_S } from '../src/limits.ts';
import { enrol as enrolKind } from '../src/objects/enrol.ts';
import type { KeyStatement } from '../src/objects/key.ts';
import { seal } from '../src/objects/kind.ts';
import { type Mandate, mandate as mandateKind } from '../src/objects/mandate.ts';
import { receipt as receiptKind } from '../src/objects/receipt.ts';
import type { Clock, Files, Http, Log } from '../src/platform.ts';
import type { DeviceConfig } from './config.ts';
import {
  askForSuccessor,
  enrolFor,
  isEnrolling,
  ownStatement,
  requireEnrol,
  sayFarewell,
} from './enrolment.ts';
import type { KeyStore } from './keys/store.ts';
import type { DeviceLink } from './link.ts';
import type { Outbox } from './outbox.ts';
import type { Time } from './time.ts';

type Place = Readonly<{ config: DeviceConfig; at: (path: string) => string; files: Files }>;

export type SuccessionParts = Place &
  Readonly<{
    /** Opened when they are needed. */
    keys: () => KeyStore;
    http: Http;
    clock: Clock;
    log: Log;
  }>;

/** What it needs of the device as it runs now. */
export type InUse = Readonly<{
  /** Of the key in use. */
  statement: KeyStatement;
  outbox: Outbox;
  link: DeviceLink;
  time: Time;
}>;

/**
 * How far one look has brought it. `rest`: look again in a while. `soon`: the next step waits for
 * nobody but the bridge. `proved`: the next key takes over as soon as nothing is open.
 */
export type Progress = 'rest' | 'soon' | 'proved';

export type Succession = Readonly<{
  /** Begins when it is time, and takes every step that can be taken now. Rejects as it goes on. */
  step: (inUse: InUse) => Promise<Progress>;
}>;

export function createSuccession(parts: SuccessionParts): Succession {
  const { config, at, files, log } = parts;
  /** Why it does not go on, as long as it does not: each reason is told once. */
  let told: string | undefined;
  /** A person said no; it is for the next start, or a person, to ask again. */
  let isRefused = false;

  function tell(event: string, more: Readonly<Record<string, string>> = {}): 'rest' {
    const why = JSON.stringify([event, more]);
    if (why !== told) log('warn', event, more);
    told = why;
    return 'rest';
  }

  // Each step leads to the next one as far as it goes; the file says which is the first.
  async function step(inUse: InUse): Promise<Progress> {
    const kept = read(parts);
    if (!kept && (isRefused || !isDue(inUse))) return 'rest';
    const keys = parts.keys();
    const old = keys.current();
    if (!old) return 'rest';
    if (!kept) write(parts, { state: 'wanted', isAsked: false });
    if (!kept || kept.state === 'wanted') return begin(inUse, keys, old, kept?.isAsked ?? false);
    if (kept.key === old.key.name) return takeLeave(inUse, kept);
    const next = keys.next();
    if (next?.key.name !== kept.key) {
      // It was enrolled anew meanwhile, by a person: that key is none of this file.
      forget(parts);
      return 'rest';
    }
    if (kept.state === 'asking') return ask(inUse, kept, old, next);
    if (kept.state === 'granted') return prove(inUse, kept, old, next);
    return (await passOn(inUse, old, next)) ? 'proved' : 'soon';
  }

  async function begin(
    inUse: InUse,
    keys: KeyStore,
    old: Signer,
    isAsked: boolean,
  ): Promise<Progress> {
    const { statement } = inUse;
    const { device } = statement;
    if (device === undefined || isEnrolling(parts)) return 'rest';
    if (nowS(inUse) >= statement.exp) {
      return tell('the statement of this key has ended: run saytap device enrol');
    }
    const held = readHeld();
    const isLast = ({ id }: Held) => depthOf(id, held) >= CHAIN_DEPTH_MAX;
    if (!isAsked && held.filter((one) => isOf(old, one, inUse)).some(isLast)) {
      return tell('no next key yet: a mandate cannot be passed on, the wallet is to grant anew');
    }
    // One that a killed program has left is as good as a new one: nobody has seen it.
    const next = keys.next() ?? (await keys.prepare());
    const realm = { environment: config.environment, ledger: config.ledger };
    const { tls, ...named } = enrolFor(parts, next, device);
    const endorsement = await seal(enrolKind, named, realm, old);
    const envelope = await seal(enrolKind, { ...named, tls, endorsement }, realm, next);
    const { tls: _tls, ...plain } = enrolFor(parts, old, device);
    const farewell = await seal(enrolKind, plain, realm, old);
    const asking: Asking = {
      ...{ state: 'asking' as const, key: next.key.name },
      ...{ envelope: toHex(envelope), farewell: toHex(farewell) },
    };
    write(parts, asking);
    log('info', 'the next key is made, and asked for', { device });
    return ask(inUse, asking, old, next);
  }

  async function ask(inUse: InUse, kept: Asking, old: Signer, next: Signer): Promise<Progress> {
    const { device = '' } = inUse.statement;
    const answer = await askForSuccessor(parts, next, fromHex(kept.envelope), device);
    switch (answer.state) {
      case 'later':
        return 'rest';
      case 'waiting':
        return tell('the next key waits for a person to approve it', { approve: answer.code });
      case 'unsigned':
        return tell('the next key waits for the root to sign', { approve: answer.code });
      case 'refused':
        isRefused = true;
        forget(parts);
        return tell('the next key was refused: this one goes on', { reason: answer.reason });
      case 'granted': {
        const { key, farewell } = kept;
        const granted = { state: 'granted', key, farewell } as const;
        write(parts, granted);
        return prove(inUse, granted, old, next);
      }
    }
  }

  async function prove(
    inUse: InUse,
    { key, farewell }: Named,
    old: Signer,
    next: Signer,
  ): Promise<Progress> {
    if (!(await passOn(inUse, old, next))) return inUse.link.state() === 'ready' ? 'soon' : 'rest';
    const statement = ownStatement(parts, next);
    // Whoever reads a terminal's orders fetches its new statement now and then: first that.
    const fromS = (statement?.nbf ?? 0) + (statement?.role === 'terminal' ? TERMINAL_OVERLAP_S : 0);
    if (nowS(inUse) < fromS) return 'rest';
    if (!(await inUse.link.prove(next))) return 'rest';
    write(parts, { state: 'proved', key, farewell });
    log('info', 'the next key is proved, and takes over when nothing is open');
    return 'proved';
  }

  /**
   * The old key signs a child of each mandate that it holds, for the next one, through the outbox
   * like everything that must arrive. Resolves with whether all of them are answered.
   */
  async function passOn(inUse: InUse, old: Signer, next: Signer): Promise<boolean> {
    const { outbox, link } = inUse;
    if (config.mandates === undefined) return true;
    const folder = at(config.mandates);
    requireFolder(files, folder);
    const held = readHeld();
    const realm = { environment: config.environment, ledger: config.ledger };
    let isAnswered = true;
    for (const one of held.filter((each) => isOf(old, each, inUse))) {
      const { id: parent, mandate } = one;
      if (depthOf(parent, held) >= CHAIN_DEPTH_MAX) continue;
      const known = held.find(
        (child) => child.mandate.parent === parent && child.mandate.cnf === next.key.name,
      );
      let { id, envelope } = known ?? {};
      if (id === undefined || envelope === undefined) {
        envelope = await seal(mandateKind, { ...mandate, cnf: next.key.name, parent }, realm, old);
        id = identify(envelope, realm, mandateKind.name).id;
        files.replace(join(folder, `${id}.mandate`), envelope, 0o644);
      }
      const entry = { id, kind: 'mandate', envelope, storedMs: 0 } as const;
      const before = outbox.get(id);
      if (!before) {
        outbox.put(entry);
        link.send(entry);
      }
      if (!before?.receipt) isAnswered = false;
      else tellRefusal(id, before.receipt);
    }
    return isAnswered;
  }

  function tellRefusal(id: string, receipt: Uint8Array): void {
    const { outcome } = receiptKind.decode(payloadOf(receipt));
    if (outcome === 'refused') tell('a mandate is not passed on to the next key', { id });
  }

  /** Once everything that the old key has signed is answered, it is said to be over. */
  async function takeLeave({ outbox, time }: InUse, { farewell: text }: Named): Promise<Progress> {
    const farewell = fromHex(text);
    const kid = kidOf(farewell);
    const nowMs = time.trustedMs();
    if (nowMs === undefined) return 'rest';
    const isSent = ({ storedMs }: { storedMs: number }) => nowMs - storedMs <= RESEND_FOR_MS;
    const open = outbox
      .open()
      .filter((entry) => bytesEqual(kidOf(entry.envelope), kid))
      .filter((entry) => entry.storedMs === 0 || isSent(entry));
    if (open.length > 0) return 'soon';
    if (!(await sayFarewell(parts, farewell))) return 'rest';
    forget(parts);
    log('info', 'the key before is retired');
    return 'rest';
  }

  /** Whether a mandate is one that this key may use. */
  function isOf(key: Signer, { mandate }: Held, inUse: InUse): boolean {
    return mandate.cnf === key.key.name && mandate.exp > nowS(inUse);
  }

  /** Every mandate here: those of the key in use, and what led to them. */
  function readHeld(): readonly Held[] {
    if (config.mandates === undefined) return [];
    const folder = at(config.mandates);
    const realm = { environment: config.environment, ledger: config.ledger };
    return files
      .list(folder)
      .filter((name) => name.endsWith('.mandate'))
      .map((name) => files.read(join(folder, name))!)
      .map((envelope) => ({
        id: identify(envelope, realm, mandateKind.name).id,
        mandate: mandateKind.decode(payloadOf(envelope)),
        envelope,
      }));
  }

  /** Of how many mandates its chain is; a parent that is not here counts as one. */
  function depthOf(id: string, held: readonly Held[]): number {
    let depth = 0;
    for (let next: string | undefined = id; next !== undefined && depth < CHAIN_DEPTH_MAX;) {
      const of: string = next;
      depth++;
      next = held.find((one) => one.id === of)?.mandate.parent;
    }
    return depth;
  }

  function nowS({ time }: InUse): number {
    return Math.floor((time.trustedMs() ?? parts.clock.nowMs()) / 1000);
  }

  return { step };
}

/** The next key takes over, if it was proved. To be called before anything signs. Idempotent. */
export async function settleSuccession(
  parts: Place & Readonly<{ keys: () => KeyStore }>,
): Promise<void> {
  const kept = read(parts);
  if (kept?.state !== 'proved') return;
  const keys = parts.keys();
  if (keys.next()?.key.name === kept.key) await keys.promote();
}

/**
 * Notes that the device is to have a new key, which it gets when it runs; false when it is at it
 * already. Throws OperatorError for a device that is not enrolled.
 */
export function wantSuccession(
  place: Place & Readonly<{ keys: () => KeyStore }>,
  isAsked: boolean,
): boolean {
  requireEnrol(place.config);
  if (!place.keys().current()) {
    throw new OperatorError('key', 'this device has no key yet: run saytap device enrol');
  }
  const kept = read(place);
  if (kept && (kept.state !== 'wanted' || kept.isAsked)) return false;
  write(place, { state: 'wanted', isAsked });
  return true;
}

/** How far it is; `key` is the thumbprint of the next key, in hex. Changes nothing. */
export function lookAtSuccession({ config, at, files }: Place): Kept | 'absent' | 'damaged' {
  const bytes = files.read(join(at(config.folder), SUCCESSION));
  if (!bytes) return 'absent';
  try {
    return z.parse(keptText, JSON.parse(new TextDecoder().decode(bytes)));
  } catch {
    return 'damaged';
  }
}

/** Two thirds of its statement's life are over, by the time that the bridge has told. */
function isDue({ statement: { nbf, exp }, time }: InUse): boolean {
  const nowMs = time.trustedMs();
  return nowMs !== undefined && nowMs / 1000 >= nbf + ((exp - nbf) * 2) / 3;
}

/** Its name within the device's folder. */
export const SUCCESSION = 'succession.json';

const hex = z.string().check(z.regex(/^([0-9a-f]{2})+$/));
const common = { key: hex, farewell: hex };
const keptText = z.discriminatedUnion('state', [
  /** `isAsked`: by a person, who takes it that a mandate may have to be granted anew. */
  z.strictObject({ state: z.literal('wanted'), isAsked: z.boolean() }),
  z.strictObject({ state: z.literal('asking'), ...common, envelope: hex }),
  z.strictObject({ state: z.literal('granted'), ...common }),
  z.strictObject({ state: z.literal('proved'), ...common }),
]);
type Kept = z.infer<typeof keptText>;
type Asking = Extract<Kept, { state: 'asking' }>;
type Named = Readonly<{ key: string; farewell: string }>;

type Held = Readonly<{ id: string; mandate: Mandate; envelope: Uint8Array }>;

function read(place: Place): Kept | undefined {
  const kept = lookAtSuccession(place);
  // It was written whole or not at all; what is damaged all the same is begun anew.
  return typeof kept === 'string' ? undefined : kept;
}

function write({ config, at, files }: Place, kept: Kept): void {
  files.replace(join(at(config.folder), SUCCESSION), utf8(JSON.stringify(kept)), 0o600);
}

function forget({ config, at, files }: Place): void {
  files.erase(join(at(config.folder), SUCCESSION));
}
