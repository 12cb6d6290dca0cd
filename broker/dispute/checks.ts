/**
 * What is proved again while a dispute file is written, check by check: signatures, the authority
 * of who signed, what stands in two places, and the rows' places in the chain.
 */
import { bytesEqual, toHex } from '../../src/bytes.ts';
import type { VerifyKey } from '../../src/keys.ts';
import type { Order } from '../../src/objects/order.ts';
import { type Receipt, receipt as receiptKind } from '../../src/objects/receipt.ts';
import type { Request } from '../../src/objects/request.ts';
import { spokenMoney } from '../../src/sentences.ts';
import { short } from './events.ts';
import type { Granted } from './grounds.ts';
import { type Prover, faultsOf } from '../proof.ts';
import { type Told, signatoryIn, valueIn } from './readings.ts';
import { GENESIS, linkOf } from '../store/chain.ts';
import type { EvidenceRow, Run, Store } from '../store/port.ts';

/** Something that was proved again; `holds` undefined: it could not be looked at. */
export type Check = Readonly<{ what: string; holds: boolean | undefined; why?: string }>;

/** A row as it stands in the chain, with what proves its place again; bytes are in hex. */
export type Place = Readonly<{
  number: number;
  atMs: number;
  subject: string;
  kind: string;
  digest: string;
  link: string;
  state: 'holds' | 'erased' | 'broken';
  /** What is wrong with it; nothing unless it is broken. */
  faults: readonly string[];
  /** The link before it, where the row before is not in the file. */
  previous: string | undefined;
  salt: string | undefined;
  bytes: string | undefined;
  /** The name of the key that the contents say they are signed by. */
  signer: string | undefined;
}>;

/** "row 12 (decision about payment 1c25…)": enough to ask for the file about it. */
export function rowName(row: Readonly<{ number: number; subject: string; kind: string }>): string {
  const { number, subject, kind } = row;
  const about = SELVES.has(kind) ? '' : PAYMENTS.has(kind) ? 'about payment ' : 'about ';
  return `row ${number} (${kind} ${about}${subject})`;
}

/** Kinds of rows whose subject is their own id. */
const SELVES: ReadonlySet<string> = new Set(['key', 'mandate', 'order', 'revoke']);
/** Kinds of rows that only payments have. */
const PAYMENTS: ReadonlySet<string> = new Set('request verdict decision attempt answer'.split(' '));

/**
 * Where rows stand, and whether each follows from the row before it and the next one from it.
 * `rows` are in the order of the chain; `signers`: whose signature a row carries, by its number.
 */
export async function placesOf(
  store: Store,
  rows: readonly EvidenceRow[],
  signers: ReadonlyMap<number, string>,
): Promise<readonly Place[]> {
  const told = new Set(rows.map(({ number }) => number));
  const places: Place[] = [];
  for (const row of rows) {
    const { number, atMs, subject, kind, digest, link, salt, body } = row;
    // Two rows before, this one and the next: neither side can be changed alone.
    const near = await store.evidencePage(number - 3, 4);
    const linkBefore = (at: number) =>
      at === 1 ? GENESIS : near.find((one) => one.number === at - 1)?.link;
    const previous = linkBefore(number);
    const faults = faultsBetween(row, near, previous, linkBefore(number - 1), told);
    places.push({
      ...{ number, atMs, subject, kind, digest: toHex(digest), link: toHex(link), faults },
      state: faults.length > 0 ? 'broken' : body === undefined ? 'erased' : 'holds',
      previous: previous && !told.has(number - 1) ? toHex(previous) : undefined,
      salt: salt && toHex(salt),
      bytes: body && toHex(body),
      signer: signers.get(number),
    });
  }
  return places;
}

/** What is wrong with a row, its own contents first. A fault of a row that is told is its own. */
function faultsBetween(
  row: EvidenceRow,
  near: readonly EvidenceRow[],
  previous: Uint8Array | undefined,
  beforePrevious: Uint8Array | undefined,
  told: ReadonlySet<number>,
): readonly string[] {
  const { number } = row;
  const before = near.find((one) => one.number === number - 1);
  const next = near.find((one) => one.number === number + 1);
  const links = previous ? [previous] : undefined;
  // After a wrong link this row tells which one was right.
  if (links && before && beforePrevious && told.has(before.number)) {
    links.push(linkOf(beforePrevious, before));
  }
  const faults = faultsOf(row, links).map(({ what }) => FAULTS[what]?.(number) ?? what);
  if (!previous) faults.push(`row ${number - 1} is missing`);
  const isNextWrong =
    next &&
    !told.has(next.number) &&
    faultsOf(next, [row.link]).some(({ what }) => what === 'link');
  if (isNextWrong) faults.push(`row ${next.number} does not follow from it`);
  return faults;
}

const FAULTS: Readonly<Record<string, (number: number) => string>> = Object.freeze({
  contents: () => 'its contents and their salt are not both there',
  digest: () => 'its contents are not those that its digest covers',
  link: (number: number) => `its link is not what follows from row ${number - 1}`,
});

/** One check for all rows, or one for each that does not hold. */
export function rowChecks(places: readonly Place[]): readonly Check[] {
  const broken = places.filter(({ state }) => state === 'broken');
  if (broken.length === 0) {
    return [{ what: `the ${places.length} rows have their digests and links`, holds: true }];
  }
  return broken.map((place) => ({
    what: `${rowName(place)} is as it was written`,
    holds: false,
    why: place.faults.join('; '),
  }));
}

/** Every signature, whether it is about what its row says, and whether the root knows its key. */
export function signatureChecks(
  told: readonly Told[],
  root: VerifyKey | undefined,
): readonly Check[] {
  const checks: Check[] = [];
  const stated = new Map<string, Check>();
  for (const { row, reading } of told) {
    if (reading.kind === 'unreadable') {
      checks.push({ what: `row ${row.number} (${row.kind}) can be read`, holds: false });
    }
    if (reading.kind !== 'signed') continue;
    const { fault, id, value, signatory } = reading;
    const what = `row ${row.number}: signature of the ${row.kind}`;
    checks.push(fault === undefined ? { what, holds: true } : { what, holds: false, why: fault });
    if (fault === undefined) {
      const named = (value as { subject?: string }).subject;
      // A cancel that came before its request lies under its own id, like what it was told.
      const subjects = { receipt: [named], cancel: [named, id] }[row.kind as string] ?? [id];
      if (!subjects.includes(row.subject)) {
        const why = `it is about ${String(subjects[0])}`;
        checks.push({ what: `row ${row.number} is about ${row.subject}`, holds: false, why });
      }
    }
    if (!signatory) continue;
    const { name, statement, isStated } = signatory;
    stated.set(name, {
      what: `the root states ${statement.role} key ${name}`,
      holds: isStated,
      ...(isStated === undefined && {
        why: root ? 'its statement is older than the chain' : 'the root was not at hand',
      }),
    });
  }
  return [...checks, ...stated.values()];
}

/** From the wallet through every mandate to the key that asked. */
export function authorityChecks(
  granted: readonly Granted[],
  request: Request | undefined,
  own: readonly Told[],
): readonly Check[] {
  const checks: Check[] = [];
  for (const [at, { link, told }] of granted.entries()) {
    const parent = granted[at + 1];
    const signatory = signatoryIn(told, 'mandate');
    const what = `mandate ${short(link.id)} is signed by who may grant it`;
    if (!signatory) checks.push({ what, holds: undefined, why: 'it is not in the chain' });
    else if (parent) checks.push({ what, holds: signatory.name === parent.link.mandate.cnf });
    else checks.push({ what, holds: signatory.statement.role === 'wallet' });
  }
  const leaf = granted[0]?.link;
  const asker = signatoryIn(own, 'request');
  const isOwn = request && request.original === undefined;
  if (leaf && asker && isOwn) {
    const holds = leaf.mandate.cnf === asker.name;
    checks.push({ what: 'the mandate names the key that signed the request', holds });
  }
  return checks;
}

/** What stands in two places and must be the same. */
export async function consistency(
  prover: Prover,
  about: Readonly<{
    run: Run | undefined;
    request: Request | undefined;
    own: readonly Told[];
    order: readonly Told[];
    receipt: Receipt | undefined;
  }>,
): Promise<readonly Check[]> {
  const { run, request, own, order, receipt } = about;
  const checks: Check[] = [];
  const asked = request?.amount && spokenMoney(request.amount);
  if (receipt?.amount) {
    const holds = spokenMoney(receipt.amount) === asked;
    checks.push({ what: 'the receipt has the amount of the request', holds });
  }
  const paid = valueIn(order, 'order') as Order | undefined;
  if (paid && request) {
    const holds = spokenMoney(paid.amount) === asked && paid.payee === request.payee;
    checks.push({ what: 'the request has payee and amount of the order', holds });
  }
  if (run?.receipt) {
    const rows = own.filter(({ row }) => row.kind === 'receipt');
    const isErased = rows.length > 0 && rows.every(({ row }) => row.body === undefined);
    const holds = rows.some(({ row }) => row.body && bytesEqual(row.body, run.receipt!));
    checks.push({
      what: 'the receipt that the device is given is the one in the chain',
      ...(isErased ? { holds: undefined, why: 'it was erased' } : { holds }),
    });
    if (receipt)
      checks.push({
        what: 'the table has the outcome of the receipt',
        holds: receipt.outcome === run.outcome,
      });
  }
  if (run?.terminalReceipt) {
    const { receipt: copy, device } = run.terminalReceipt;
    const proven = await prover.prove(receiptKind, copy, Infinity);
    const what = `the copy of terminal ${device}: signature, order and outcome`;
    const isSame =
      proven.holds &&
      proven.value.subject === request?.order &&
      proven.value.outcome === run.outcome &&
      proven.value.amount !== undefined &&
      spokenMoney(proven.value.amount) === asked;
    checks.push({ what, holds: isSame });
  }
  return checks;
}
