/**
 * Opens the outbox of a device, also when the disk has damaged it: then the files are set aside
 * under a name with the time, a fresh outbox takes their place, and whatever can still be proved is
 * moved into it.
 *
 * What is left of a damaged file is believed by its signatures alone, never by its structure: the
 * bytes are searched for requests and orders that this device signed and for the bridge's receipts
 * about them. An entry without a receipt is open again; to send it once more is harmless. What was
 * lost cannot be known, so the person is told that something may be missing, and no counter is used
 * before the bridge has told what it has seen of this key.
 *
 * A power cut at any moment leaves the damaged file in its place or a whole fresh one, never none.
 */
import { join } from 'node:path';
import { bytesEqual } from '../src/bytes.ts';
import { type Realm, identify, kidOf, payloadOf } from '../src/cose.ts';
import { PaymentError } from '../src/errors.ts';
import type { VerifyKey } from '../src/keys.ts';
import {
  ENVELOPE_BYTES_MAX,
  ORDER_VALID_S,
  OUTBOX_WINDOW,
  REQUEST_VALID_S,
} from '../src/limits.ts';
import { type Kind, type Verified, open } from '../src/objects/kind.ts';
import { order as orderKind } from '../src/objects/order.ts';
import { query as queryKind } from '../src/objects/query.ts';
import { isFinal, receipt as receiptKind } from '../src/objects/receipt.ts';
import { request as requestKind } from '../src/objects/request.ts';
import { type Archive, type Clock, DamagedError, type Database } from '../src/platform.ts';
import type { Files } from '../src/platform.ts';
import { type Found, type Outbox, SESSIONS, createOutbox, fillOutbox } from './outbox.ts';
import type { Trust } from './trust.ts';

/** What became of a damaged outbox. */
export type SetAside = Readonly<{
  /** The damaged file under its new name; its log, if there is one, lies beside it. */
  file: string;
  why: string;
  /** Requests and orders that were found in it, and how many of them have no final receipt. */
  found: number;
  open: number;
}>;

export type SalvageParts = Readonly<{
  folder: string;
  realm: Realm;
  /** The keys that this device has signed with, the one in use among them. */
  keys: readonly VerifyKey[];
  trust: Trust;
  files: Files;
  archive: Archive;
  openDatabase: (path: string) => Database;
  clock: Clock;
}>;

/**
 * The outbox of `folder`, made when there is none, and what was set aside at this opening. Throws
 * OperatorError `storage` when the disk refuses, or another program has it open.
 */
export function openOutbox(
  parts: SalvageParts,
): Readonly<{ database: Database; outbox: Outbox; setAside: SetAside | undefined }> {
  const path = join(parts.folder, OUTBOX_FILE);
  const names = parts.files.list(parts.folder);
  if (!names.some((name) => name === OUTBOX_FILE || name === `${OUTBOX_FILE}-wal`)) {
    // Whole under its name or not there at all: an empty file is one that was damaged.
    parts.archive.move(makeFresh(parts, [], new Map()), path);
  }
  try {
    return { ...openWhole(parts, path), setAside: undefined };
  } catch (error) {
    if (!(error instanceof DamagedError)) throw error;
    const setAside = setOutboxAside(parts, path, error.message);
    return { ...openWhole(parts, path), setAside };
  }
}

export const OUTBOX_FILE = 'outbox.db';

function openWhole(
  parts: SalvageParts,
  path: string,
): Readonly<{ database: Database; outbox: Outbox }> {
  const database = parts.openDatabase(path);
  try {
    const outbox = createOutbox(database, 'old');
    requireCounters(outbox, parts.keys);
    return { database, outbox };
  } catch (error) {
    database.close();
    throw error;
  }
}

/**
 * Entry and counter are committed together, but pages of two moments may meet when the log is
 * damaged in the middle of being moved into the file.
 */
function requireCounters(outbox: Outbox, keys: readonly VerifyKey[]): void {
  for (const { kind, envelope } of [...outbox.open(), ...outbox.recent(OUTBOX_WINDOW)]) {
    if (kind !== 'request') continue;
    const kid = kidOf(envelope);
    const key = keys.find((one) => bytesEqual(one.kid, kid));
    const { counter } = requestKind.decode(payloadOf(envelope));
    if (key && counter > outbox.counter(key.name)) {
      throw new DamagedError(`the outbox is damaged: counter ${counter} is not counted`);
    }
  }
}

function setOutboxAside(parts: SalvageParts, path: string, why: string): SetAside {
  const { files, archive, folder, keys } = parts;
  const found = search(parts, files.read(path) ?? new Uint8Array());
  const counters = new Map(keys.map(({ name }) => [name, 0]));
  for (const { key, counter } of found) {
    counters.set(key, Math.max(counters.get(key)!, counter));
  }
  // Beyond every session that was: nobody connects once a second from 1970 on.
  counters.set(SESSIONS, Math.floor(parts.clock.nowMs() / 1000));
  const fresh = makeFresh(parts, found, counters);
  const file = freeName(files.list(folder), parts.clock.nowMs());
  for (const tail of ['-wal', '-shm', '-journal']) {
    // Nothing that a person was told of is in the log alone: it goes first.
    if (files.list(folder).includes(OUTBOX_FILE + tail))
      archive.move(path + tail, join(folder, file + tail));
  }
  if (files.list(folder).includes(OUTBOX_FILE)) archive.swap(fresh, path, join(folder, file));
  else archive.move(fresh, path);
  return { file, why, found: found.length, open: found.filter(({ ended }) => !ended).length };
}

/** A new outbox beside the place of the old one; what a power cut left of an earlier try goes. */
function makeFresh(
  { folder, files, openDatabase }: SalvageParts,
  found: readonly Found[],
  counters: ReadonlyMap<string, number>,
): string {
  const path = join(folder, `${OUTBOX_FILE}.new`);
  for (const tail of ['', '-wal']) files.replace(path + tail, new Uint8Array(), 0o600);
  const database = openDatabase(path);
  try {
    fillOutbox(database, found, counters);
  } finally {
    database.close();
  }
  return path;
}

function freeName(taken: readonly string[], nowMs: number): string {
  const time = new Date(nowMs).toISOString().slice(0, 19).replaceAll(':', '');
  const name = `${OUTBOX_FILE}.damaged-${time}Z`;
  for (let again = 1; ; again++) {
    const free = again === 1 ? name : `${name}-${again}`;
    if (!taken.some((one) => one.startsWith(free))) return free;
  }
}

/** A request has its counter, an order counts as 0; `key` is the name of who signed it. */
type Proved = Found & Readonly<{ key: string; counter: number }>;

/** Everything in `bytes` whose signature holds, in the order in which it was made. */
function search(parts: SalvageParts, bytes: Uint8Array): readonly Proved[] {
  const { realm, keys, trust, clock } = parts;
  const own = new Map<string, Proved>();
  const cancels = new Map<string, Uint8Array>();
  const ends = new Map<string, Uint8Array>();
  const ownKey = (kid: Uint8Array) => keys.find((key) => bytesEqual(key.kid, kid));
  const ifProved = <T>(kind: Kind<T>, envelope: Uint8Array) =>
    unlessRefused(() => open(kind, envelope, realm, ownKey));

  for (const envelope of envelopesIn(bytes)) {
    const isOwn = ownKey(unlessRefused(() => kidOf(envelope)) ?? new Uint8Array()) !== undefined;
    if (!isOwn) {
      const receipt = unlessRefused(() => trust.openFromBridge(receiptKind, envelope))?.value;
      if (receipt && isFinal(receipt.outcome)) ends.set(receipt.subject, envelope);
      continue;
    }
    const request = ifProved(requestKind, envelope);
    const order = request ? undefined : ifProved(orderKind, envelope);
    if (request) {
      const { amount, mandate, counter } = request.value;
      // Only what was accepted offline lives so long; it counts against the offline limits again.
      const isOffline = request.value.exp > clock.nowMs() / 1000 + REQUEST_VALID_S;
      const spends = isOffline && amount ? { mandate, amount } : undefined;
      keep('request', envelope, request, REQUEST_VALID_S, { counter, spends });
    } else if (order) {
      keep('order', envelope, order, ORDER_VALID_S, { counter: 0, spends: undefined });
    } else {
      const query = ifProved(queryKind, envelope)?.value;
      if (query?.question === 'cancel') cancels.set(query.subject!, envelope);
    }
  }

  function keep(
    kind: 'request' | 'order',
    envelope: Uint8Array,
    { id, value, key }: Verified<Readonly<{ exp: number }>>,
    validS: number,
    more: Pick<Proved, 'counter' | 'spends'>,
  ): void {
    // Later than it was, under a lease: so it is sent for as long as the bridge answers for it. The
    // clock on the wall may be wrong by years now.
    const storedMs = (value.exp - validS) * 1000;
    const open = { cancel: undefined, ended: undefined };
    own.set(id, { id, kind, envelope, storedMs, key: key.name, ...open, ...more });
  }

  return [...own.values()]
    .map((one) => {
      const cancel = cancels.get(one.id);
      // What was cancelled unseen was answered about the question.
      const receipt =
        ends.get(one.id) ?? (cancel && ends.get(identify(cancel, realm, queryKind.name).id));
      const ended = receipt && {
        receipt,
        atMs: receiptKind.decode(payloadOf(receipt)).iat * 1000,
      };
      return { ...one, cancel, ended };
    })
    .sort((a, b) => a.counter - b.counter || a.storedMs - b.storedMs);
}

/** Whatever looks like an envelope of our profile, by its lengths alone. */
function* envelopesIn(bytes: Uint8Array): Iterable<Uint8Array> {
  for (let at = bytes.indexOf(TAG); at >= 0; at = bytes.indexOf(TAG, at + 1)) {
    if (bytes[at + 1] !== ARRAY_OF_FOUR) continue;
    const header = endOfBytes(bytes, at + 2);
    const payload = bytes[header] === EMPTY_MAP ? endOfBytes(bytes, header + 1) : NaN;
    const end = endOfBytes(bytes, payload);
    if (end <= bytes.length && end - at <= ENVELOPE_BYTES_MAX) yield bytes.slice(at, end);
  }
}

const TAG = 0xd2;
const ARRAY_OF_FOUR = 0x84;
const EMPTY_MAP = 0xa0;

/** Where the CBOR byte string that begins at `at` ends; NaN when none does (RFC 8949 §3.1). */
function endOfBytes(bytes: Uint8Array, at: number): number {
  const head = bytes[at];
  if (head === undefined || head >> 5 !== 2) return NaN;
  if (head < 0x58) return at + 1 + (head & 0x1f);
  if (head === 0x58) return at + 2 + bytes[at + 1]!;
  return head === 0x59 ? at + 3 + (bytes[at + 1]! << 8) + bytes[at + 2]! : NaN;
}

function unlessRefused<T>(run: () => T): T | undefined {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof PaymentError)) throw error;
    return undefined;
  }
}
