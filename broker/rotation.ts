/**
 * Which key the bridge signs with, and how it comes to another one without a gap.
 *
 * Two files hold its keys: bridge.key.pem and, while a rotation is under way, next.key.pem. Nobody
 * switches by hand: the root's statement for the next key says in its `nbf` from when the bridge
 * signs with it, a day ahead (BRIDGE_OVERLAP_S), so that every device has the statement by then.
 * The old key's statement outlives the switch, because a device that was away still gets receipts
 * that were signed before it.
 */
import type { KeyObject } from 'node:crypto';
import { join } from 'node:path';
import { toHex, utf8 } from '../src/bytes.ts';
import type { Realm, Signer } from '../src/cose.ts';
import { requireBytes } from '../src/files.ts';
import { openKeyFile, readKeyFile } from '../src/keyfile.ts';
import { type VerifyKey, thumbprint } from '../src/keys.ts';
import { RESEND_FOR_MS } from '../src/limits.ts';
import type { KeyStatement } from '../src/objects/key.ts';
import type { Clock, Files } from '../src/platform.ts';
import { statementsAmong } from '../src/root.ts';
import { utc } from '../src/sentences.ts';
import { generatePem, nodeSigner, publicPem } from '../src/signer.ts';

/** A key that the bridge holds; `name` is the hex of its thumbprint. */
export type BridgeKey = Readonly<{ name: string; path: string; signer: Signer }>;

/**
 * The keys in the bridge's folder, which sign as `signerOf` says; the first is made when absent.
 * Throws OperatorError `key`.
 */
export function openBridgeKeys(
  files: Files,
  folder: string,
  signerOf: (handle: KeyObject) => Signer = nodeSigner,
): readonly BridgeKey[] {
  const path = join(folder, 'bridge.key.pem');
  const first = bridgeKey(path, openKeyFile(files, path, 'ES256'), signerOf);
  const next = readNext(files, folder, signerOf);
  return next && next.name !== first.name ? [first, next] : [first];
}

/**
 * The key to sign with at `nowS`: of those that a bridge statement names which is valid now, the
 * one whose statement began last (then the one that ends last, then the first). Undefined: none.
 */
export function chooseBridgeKey<Candidate extends Readonly<{ name: string }>>(
  candidates: readonly Candidate[],
  statements: readonly KeyStatement[],
  nowS: number,
): Candidate | undefined {
  let best: Readonly<{ candidate: Candidate; statement: KeyStatement }> | undefined;
  for (const candidate of candidates) {
    for (const statement of statementsOf(candidate.name, statements)) {
      if (nowS < statement.nbf || nowS >= statement.exp) continue;
      if (best && !isLater(statement, best.statement)) continue;
      best = { candidate, statement };
    }
  }
  return best?.candidate;
}

/**
 * Takes a rotation one step on, or tells what it waits for: makes the next key; names the statement
 * that is needed; tells from when the next key signs; and, once every statement of the old key has
 * ended, puts the next key in its place. Throws OperatorError.
 */
export function rotate(
  { files, clock }: Readonly<{ files: Files; clock: Clock }>,
  place: Readonly<{ folder: string; statements: string; realm: Realm; root: VerifyKey }>,
  write: (line: string) => void,
): void {
  const nowS = Math.floor(clock.nowMs() / 1000);
  const path = join(place.folder, 'bridge.key.pem');
  const old = bridgeKey(path, readKeyFile(files, path));
  const next = readNext(files, place.folder);
  const statements = readStatements(files, place);
  if (!next || next.name === old.name) {
    const made = makeNext(files, place.folder);
    write(`made ${made.path}, key ${toHex(made.signer.key.kid)}; the bridge does not use it yet`);
    return askForStatement(made, place, write);
  }

  const own = latest(statementsOf(next.name, statements), nowS);
  if (!own) {
    write(`${next.path} waits for its statement, key ${toHex(next.signer.key.kid)}`);
    return askForStatement(next, place, write);
  }
  const before = latest(statementsOf(old.name, statements), nowS);
  if (nowS >= own.nbf && !before) {
    files.replace(old.path, requireBytes(files, next.path), 0o600);
    files.replace(`${old.path}.pub`, utf8(publicPem(next.signer.key)), 0o644);
    write(
      `the old key's statement has ended: ${next.path} is now ${old.path}; this rotation is over`,
    );
    return;
  }
  if (before) write(`old key ${shown(old)}: its statement holds until ${utc(before.exp)}`);
  else write(`old key ${shown(old)}: no statement holds for it`);
  write(`next key ${shown(next)}: from ${utc(own.nbf)} until ${utc(own.exp)}`);
  write(
    nowS < own.nbf
      ? `give the next key's statement to every device before ${utc(own.nbf)}, ` +
          'and start the bridge again after that'
      : 'a bridge started now signs with the next key',
  );
  const needed = own.nbf + RESEND_FOR_MS / 1000;
  if (before && before.exp < own.nbf) {
    write(
      `GAP: between ${utc(before.exp)} and ${utc(own.nbf)} the bridge has no key: ` +
        'have the statement of the old key renewed',
    );
  } else if (before && before.exp < needed) {
    write(
      `have the statement of the old key renewed until ${utc(needed)}: a device that is away may ` +
        'ask until then for a receipt that the old key signed',
    );
  }
}

function askForStatement(
  next: BridgeKey,
  { statements, realm }: Readonly<{ statements: string; realm: Realm }>,
  write: (line: string) => void,
): void {
  const { kid } = next.signer.key;
  write(`have the root sign, beside the statement of the key in use (add --root FILE):`);
  write(
    `  saytap root sign key --role bridge --env ${realm.environment} --ledger ${realm.ledger} \\`,
  );
  write(
    `    --key ${next.path}.pub --out ${join(statements, `bridge-${toHex(kid.slice(0, 4))}.key`)}`,
  );
  write('then put that statement into the folder of the bridge and of every device');
}

function makeNext(files: Files, folder: string): BridgeKey {
  const path = join(folder, NEXT);
  const pem = utf8(generatePem('ES256'));
  // What lies there after a rotation is the key in use, of which bridge.key.pem is a copy.
  if (files.read(path)) files.replace(path, pem, 0o600);
  else files.create(path, pem, 0o600);
  const made = bridgeKey(path, readKeyFile(files, path));
  files.replace(`${path}.pub`, utf8(publicPem(made.signer.key)), 0o644);
  return made;
}

const NEXT = 'next.key.pem';

function readNext(files: Files, folder: string, signerOf = nodeSigner): BridgeKey | undefined {
  const path = join(folder, NEXT);
  return files.read(path) && bridgeKey(path, readKeyFile(files, path), signerOf);
}

function bridgeKey(path: string, handle: KeyObject, signerOf = nodeSigner): BridgeKey {
  const signer = signerOf(handle);
  return Object.freeze({ name: signer.key.name, path, signer });
}

function readStatements(
  files: Files,
  place: Readonly<{ statements: string; realm: Realm; root: VerifyKey }>,
): readonly KeyStatement[] {
  const envelopes = files
    .list(place.statements)
    .filter((name) => name.endsWith('.key'))
    .map((name) => requireBytes(files, join(place.statements, name)));
  return statementsAmong(envelopes, place.realm, place.root);
}

function statementsOf(name: string, statements: readonly KeyStatement[]): readonly KeyStatement[] {
  return statements.filter(({ role, key }) => role === 'bridge' && toHex(thumbprint(key)) === name);
}

/** Of those that have not ended, the one that ends last. */
function latest(statements: readonly KeyStatement[], nowS: number): KeyStatement | undefined {
  return statements
    .filter(({ exp }) => nowS < exp)
    .reduce<KeyStatement | undefined>((a, b) => (a && a.exp >= b.exp ? a : b), undefined);
}

function isLater(a: KeyStatement, b: KeyStatement): boolean {
  return a.nbf > b.nbf || (a.nbf === b.nbf && a.exp > b.exp);
}

function shown({ signer }: BridgeKey): string {
  return toHex(signer.key.kid);
}
