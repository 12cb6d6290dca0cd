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
import { GENESIS } from '../store/chain.ts';
import type { Run, Store } from '../store/port.ts';

/** Something that was proved again; `holds` undefined: it could not be looked at. */
export type Check = Readonly<{ what: string; holds: boolean | undefined; why?: string }>;

/** A row's place in the chain. */
export type Place = Readonly<{
  number: number;
  atMs: number;
  subject: string;
  kind: string;
  digest: string;
  link: string;
  state: 'holds' | 'erased' | 'broken';
}>;

/** Where rows stand, and whether each follows from the row before it and the next one from it. */
export async function placesOf(store: Store, told: readonly Told[]) {
  const places: Place[] = [];
  for (const { row } of told) {
    // The row before, this one and the next: neither side can be changed alone.
    const near = await store.evidencePage(row.number - 2, 3);
    const before = near.find(({ number }) => number === row.number - 1);
    const next = near.find(({ number }) => number === row.number + 1);
    const previous = row.number === 1 ? GENESIS : before?.link;
    const isBroken =
      previous === undefined ||
      faultsOf(row, [previous]).length > 0 ||
      (next !== undefined && faultsOf(next, [row.link]).some(({ what }) => what === 'link'));
    const { number, atMs, subject, kind, digest, link, body } = row;
    places.push({
      ...{ number, atMs, subject, kind, digest: toHex(digest), link: toHex(link) },
      state: isBroken ? 'broken' : body === undefined ? 'erased' : 'holds',
    });
  }
  return { places, chainHolds: places.every(({ state }) => state !== 'broken') };
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
      const names = row.kind === 'receipt' || row.kind === 'cancel';
      const subject = names ? (value as { subject?: string }).subject : id;
      if (subject !== row.subject) {
        const why = `it is about ${String(subject)}`;
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
