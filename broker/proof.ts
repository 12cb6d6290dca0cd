/**
 * Proving again what the bridge once took in: that rows of evidence follow from one another, and
 * that the signatures in them hold under the keys that the root stated.
 *
 * The store's own word is not used where the chain can speak: the key that must have signed is the
 * one in the statement that lies in the chain, and the statement is verified too.
 */
import { bytesEqual, toHex } from '../src/bytes.ts';
import { type Realm, kidOf, payloadOf } from '../src/cose.ts';
import { PaymentError } from '../src/errors.ts';
import { type VerifyKey, loadKey } from '../src/keys.ts';
import { type KeyStatement, keyStatement } from '../src/objects/key.ts';
import { type Kind, open } from '../src/objects/kind.ts';
import { digestOf, linkOf } from './store/chain.ts';
import type { Difference, EvidenceRow, Identity, Store } from './store/port.ts';

/**
 * What is wrong with a row by itself and as the one after `before`: the links that the row before
 * has, and should have had; undefined when that row is not known.
 */
export function faultsOf(
  row: EvidenceRow,
  before: readonly Uint8Array[] | undefined,
): readonly Difference[] {
  const { salt, body, digest, link } = row;
  const where = `evidence row ${row.number}`;
  const faults: Difference[] = [];
  if ((salt === undefined) !== (body === undefined)) {
    const found = salt === undefined ? 'a body without salt' : 'a salt without body';
    faults.push({ what: 'contents', where, expected: 'both or none', found });
  }
  if (salt && body) {
    const expected = digestOf(salt, body);
    if (!bytesEqual(expected, digest)) {
      faults.push({ what: 'digest', where, expected: toHex(expected), found: toHex(digest) });
    }
  }
  const links = before?.map((previous) => linkOf(previous, row)) ?? [];
  if (before && !links.some((expected) => bytesEqual(expected, link))) {
    faults.push({ what: 'link', where, expected: toHex(links[0]!), found: toHex(link) });
  }
  return faults;
}

/** Who signed, by the name that the envelope gives and the statement that the chain holds of it. */
export type Signatory = Readonly<{
  /** Hex of the thumbprint. */
  name: string;
  statement: KeyStatement;
  /** Whether the root's signature on the statement holds; undefined when it cannot be checked. */
  isStated: boolean | undefined;
}>;

/** `value` and `id` are there only when the signature holds. */
export type Proven<T> =
  | Readonly<{ holds: true; value: T; id: string; signatory: Signatory }>
  | Readonly<{ holds: false; why: string; signatory: Signatory | undefined }>;

export type Prover = Readonly<{
  /** Verifies an envelope that stands in row `number` of the evidence, as if it came now. */
  prove: <T>(kind: Kind<T>, envelope: Uint8Array, number: number) => Promise<Proven<T>>;
  /** What the root stated about a key when row `number` was written. */
  signatory: (name: string, number: number) => Promise<Signatory | undefined>;
}>;

/** Without `root` the statements of keys are taken as they lie in the store. */
export function createProver(store: Store, realm: Realm, root: VerifyKey | undefined): Prover {
  async function signatoryOf(envelope: Uint8Array, number: number): Promise<Signatory | undefined> {
    const identity = await store.identityOfKid(toHex(kidOf(envelope)));
    return identity && stated(identity, number);
  }

  async function stated(identity: Identity, number: number): Promise<Signatory> {
    const { name } = identity;
    const rows = (await store.evidence(name)).filter(({ kind, body }) => kind === 'key' && body);
    // The statement of that time; for what is older than the chain, the first that is in it.
    const row = rows.findLast((one) => one.number < number) ?? rows[0];
    if (!row) return { name, statement: identity.statement, isStated: undefined };
    const statement = keyStatement.decode(payloadOf(row.body!));
    return { name, statement, isStated: root && isStatedBy(root, row.body!) };
  }

  function isStatedBy(key: VerifyKey, envelope: Uint8Array): boolean {
    return attempt(() => open(keyStatement, envelope, realm, () => key)).error === undefined;
  }

  async function prove<T>(kind: Kind<T>, envelope: Uint8Array, number: number): Promise<Proven<T>> {
    const named = await signatoryOf(envelope, number).catch((error: unknown) => fail(error));
    if (named instanceof PaymentError) {
      return { holds: false, why: named.message, signatory: undefined };
    }
    if (!named) {
      return { holds: false, why: 'its key is not known here', signatory: undefined };
    }
    const opened = attempt(() => {
      const key = loadKey(named.statement.key);
      // The store looks keys up by a hint; the whole thumbprint is what counts.
      if (key.name !== named.name) throw new PaymentError('bad_signature', 'another key is stored');
      return open(kind, envelope, realm, () => key);
    });
    if (opened.error) return { holds: false, why: opened.error.message, signatory: named };
    const { value, id } = opened.value!;
    return { holds: true, value, id, signatory: named };
  }

  return {
    prove,
    async signatory(name, number) {
      const identity = await store.identity(name);
      return identity && stated(identity, number);
    },
  };
}

function attempt<T>(run: () => T): Readonly<{ value?: T; error?: PaymentError }> {
  try {
    return { value: run() };
  } catch (error) {
    return { error: fail(error) };
  }
}

/** What was expected to go wrong; a bug is thrown on. */
function fail(error: unknown): PaymentError {
  if (error instanceof PaymentError && error.reason !== 'unavailable') return error;
  throw error;
}
