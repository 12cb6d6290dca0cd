/**
 * What a row of evidence holds: the signed object with its proof, or the bridge's own record.
 */
import { payloadOf } from '../../src/cose.ts';
import type { Kind } from '../../src/objects/kind.ts';
import { mandate as mandateKind } from '../../src/objects/mandate.ts';
import { order as orderKind } from '../../src/objects/order.ts';
import { query as queryKind } from '../../src/objects/query.ts';
import { receipt as receiptKind } from '../../src/objects/receipt.ts';
import { request as requestKind } from '../../src/objects/request.ts';
import type { Prover, Signatory } from '../proof.ts';
import type { EvidenceKind, EvidenceRow, Store } from '../store/port.ts';

/** What a row holds: a signed object with its proof, a record of the bridge's own, or nothing. */
export type Reading =
  | Readonly<{ kind: 'erased' }>
  | Readonly<{
      kind: 'signed';
      /** What the bytes say, also when the signature does not hold. */
      value: unknown;
      id: string | undefined;
      signatory: Signatory | undefined;
      /** Why the signature does not hold, if it does not. */
      fault: string | undefined;
    }>
  | Readonly<{ kind: 'record'; value: Readonly<Record<string, unknown>> }>
  | Readonly<{ kind: 'unreadable' }>;

/** A row and what it holds. */
export type Told = Readonly<{ row: EvidenceRow; reading: Reading }>;

const SIGNED: Readonly<Partial<Record<EvidenceKind, Kind<unknown>>>> = Object.freeze({
  mandate: mandateKind as Kind<unknown>,
  order: orderKind as Kind<unknown>,
  request: requestKind as Kind<unknown>,
  cancel: queryKind as Kind<unknown>,
  receipt: receiptKind as Kind<unknown>,
});

/** Reads a row and verifies the signature in it. */
export async function readRow(prover: Prover, row: EvidenceRow): Promise<Told> {
  const { body, number } = row;
  if (!body) return { row, reading: { kind: 'erased' } };
  const kind = SIGNED[row.kind];
  if (!kind) {
    const value = record(body);
    return { row, reading: value ? { kind: 'record', value } : { kind: 'unreadable' } };
  }
  const proven = await prover.prove(kind, body, number);
  const { signatory } = proven;
  if (proven.holds) {
    const { value, id } = proven;
    return { row, reading: { kind: 'signed', value, id, signatory, fault: undefined } };
  }
  const value = claimed(kind, body);
  return { row, reading: { kind: 'signed', value, id: undefined, signatory, fault: proven.why } };
}

/** The value of a signed row of this kind, if it can be read. */
export function valueIn(
  told: readonly Told[],
  kind: 'mandate' | 'order' | 'request' | 'cancel' | 'receipt',
): unknown {
  for (const { row, reading } of told) {
    if (row.kind === kind && reading.kind === 'signed' && reading.value) return reading.value;
  }
  return undefined;
}

/** Who signed the first row of this kind, as far as the key is known. */
export function signatoryIn(told: readonly Told[], kind: string): Signatory | undefined {
  const reading = told.find(({ row }) => row.kind === kind)?.reading;
  return reading?.kind === 'signed' ? reading.signatory : undefined;
}

/** Every row about a subject, read and verified. */
export async function tellAll(
  store: Store,
  prover: Prover,
  subject: string,
): Promise<readonly Told[]> {
  const told: Told[] = [];
  for (const row of await store.evidence(subject)) told.push(await readRow(prover, row));
  return told;
}

/** A record of the bridge's own, which is a JSON object. */
export function record(body: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(body));
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function claimed(kind: Kind<unknown>, envelope: Uint8Array): unknown {
  try {
    return kind.decode(payloadOf(envelope));
  } catch {
    return undefined;
  }
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
