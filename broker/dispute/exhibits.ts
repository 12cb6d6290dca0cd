/**
 * What a third party needs to prove the rows of a dispute file again without this program: the
 * bytes themselves, and how digests, links and signatures follow from them.
 */
import type { Realm } from '../../src/cose.ts';
import type { VerifyKey } from '../../src/keys.ts';
import { publicPem } from '../../src/signer.ts';
import type { Place } from './checks.ts';
import { type Fact, fact } from './events.ts';

/** A signed object that lies in a table and in no row; bytes in hex. */
export type Copy = Readonly<{ what: string; kind: string; signer: string; bytes: string }>;

/** The root's public key, with which the statements of all other keys are verified. */
export type RootKey = Readonly<{ name: string; pem: readonly string[] }>;

export function rootKeyOf(root: VerifyKey): RootKey {
  return { name: root.name, pem: publicPem(root).trimEnd().split('\n') };
}

/** How to compute everything again, in two sentences. */
export function howToProve({ environment, ledger }: Realm): readonly string[] {
  return [
    'Digest = SHA-256(salt ‖ bytes); link = SHA-256(link of the row before ‖ head ‖ digest), ' +
      'where the head is number, time in ms, subject and kind in UTF-8, a byte 0a after each. ' +
      'Before row 1 stands SHA-256("saytap/1 evidence").',
    'Signatures are COSE_Sign1 (RFC 9052; PROTOCOL.md 1.2 and 1.3). With this program: save the ' +
      'bytes of an object, and those of the key row of the key that signed it, as files with ' +
      `xxd -r -p, then saytap verify FILE --kind KIND --key KEYFILE --env ${environment} ` +
      `--ledger ${ledger}; a key row itself with --kind key and the root's key.`,
  ];
}

/** Everything of a row that its digest, its link and its signature are made from. */
export function exhibitFacts(place: Place): readonly Fact[] {
  const { number, atMs, subject, kind, previous, salt, bytes, digest, link, signer } = place;
  const objectKind = Object.hasOwn(OBJECT_KINDS, kind) && OBJECT_KINDS[kind];
  return [
    fact('Number', String(number)),
    fact('Time in ms', String(atMs)),
    fact('Subject', subject),
    fact('Kind', kind),
    ...(previous === undefined ? [] : [fact(`Link of row ${number - 1}`, previous)]),
    fact('Digest', digest),
    fact('Link', link),
    ...(objectKind ? [fact('Verify as', `--kind ${objectKind}`)] : []),
    ...(signer === undefined ? [] : [fact('Signed by', signer)]),
    fact('Salt', salt ?? 'erased'),
    hexFact(bytes),
  ];
}

/** What a copy is and its bytes. */
export function copyFacts({ kind, signer, bytes }: Copy): readonly Fact[] {
  return [fact('Verify as', `--kind ${kind}`), fact('Signed by', signer), hexFact(bytes)];
}

/** The root's key by name and as a file. */
export function rootFacts(root: RootKey | undefined): readonly Fact[] {
  if (!root) return [fact('Root', 'its key was not at hand')];
  return [fact('Thumbprint', root.name), { name: 'Public key', lines: root.pem, isRaw: true }];
}

function hexFact(bytes: string | undefined): Fact {
  return { name: 'Bytes', lines: [bytes ?? 'erased'], isRaw: true };
}

/** Rows that hold a signed object, and the kind that it has in the protocol. */
const OBJECT_KINDS: Readonly<Record<string, string>> = Object.freeze({
  key: 'key',
  mandate: 'mandate',
  order: 'order',
  request: 'request',
  cancel: 'query',
  receipt: 'receipt',
});
