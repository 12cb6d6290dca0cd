/**
 * Answering a device's questions: time and counter after a boot, what became of a request, and
 * whether it can be undone. What was cancelled before it was seen is tombstoned, so that "you were
 * not charged" is a fact.
 */
import type { Realm, Signer } from '../src/cose.ts';
import { PaymentError } from '../src/errors.ts';
import { seal } from '../src/objects/kind.ts';
import { query as queryKind } from '../src/objects/query.ts';
import { tick as tickKind } from '../src/objects/tick.ts';
import { isSoonAfter } from './forgotten.ts';
import type { Identities } from './identities.ts';
import type { Receipts } from './receipts.ts';
import type { Run, Store } from './store/port.ts';
import type { Nonces } from './tick.ts';

export type QueryAnswer =
  /** An addressed tick that echoes the boot's random and tells the highest counter seen. */
  | Readonly<{ kind: 'tick'; envelope: Uint8Array; key: string; over: Uint8Array | undefined }>
  /** The device's own request, as far as it has got; `isNews` when it was cancelled just now. */
  | Readonly<{ kind: 'run'; run: Run; isNews: boolean }>
  /** This key's disk is behind: it was suspended, just now unless it was before. */
  | Readonly<{ kind: 'behind'; key: string; envelope: Uint8Array; isNews: boolean }>
  /** Nothing to say: the device asks again. */
  | Readonly<{ kind: 'nothing' }>
  /** Pending: the request is not known here, which is no final word. Or the tombstone's, final. */
  | Readonly<{ kind: 'receipt'; envelope: Uint8Array }>;

export async function takeQuery(
  parts: Readonly<{
    realm: Realm;
    store: Store;
    identities: Identities;
    receipts: Receipts;
    signer: Signer;
    nonces: Nonces;
    restoredMs?: number;
  }>,
  device: string,
  envelope: Uint8Array,
  nowMs: number,
): Promise<QueryAnswer> {
  const { store, realm } = parts;
  const asked = await parts.identities.openFrom(device, queryKind, envelope);
  const { id, value, key, signer: who } = asked;
  if (value.question === 'boot') {
    const tick = {
      iat: Math.floor(nowMs / 1000),
      counter: await store.highestCounter(key.name),
      nonce: parts.nonces.at(nowMs),
      audience: key.name,
      echo: value.echo!,
    };
    const answer = await seal(tickKind, tick, realm, parts.signer);
    // Final, and about this very question: nobody else can tell a device that it is over. The tick
    // comes all the same, for what is in its outbox is still to be answered.
    const isOver = who.status === 'revoked';
    const over = isOver ? await parts.receipts.refused(id, 'revoked') : undefined;
    return { kind: 'tick', envelope: answer, key: key.name, over };
  }
  if (value.question === 'behind') {
    // Under a new nonce only: an old question may be about what the operator has looked into since.
    const isFresh = parts.nonces.isFresh(value.nonce!, nowMs);
    if (!isFresh || value.counter! >= (await store.highestCounter(key.name))) {
      return { kind: 'nothing' };
    }
    const isNews = await store.setIdentityStatus(key.name, 'suspended', nowMs);
    const told = await parts.receipts.refused(id, 'suspended');
    return { kind: 'behind', key: key.name, envelope: told, isNews };
  }
  const subject = value.subject!;
  if (value.question === 'cancel') {
    // An answer about the question itself: a receipt about the request would be one for everybody.
    const receipt = await parts.receipts.refused(id, 'cancelled');
    const { restoredMs } = parts;
    const cancel = { id, subject, key: key.name, envelope, receipt, nowMs };
    const isUnsure = restoredMs !== undefined && isSoonAfter(restoredMs, nowMs);
    const answer = await store.cancel({ ...cancel, isUnsure }).catch((error: unknown) => {
      if (!(error instanceof PaymentError) || error.reason !== 'rate_limited') throw error;
      return { pending: 'rate_limited' } as const;
    });
    if ('run' in answer) return { kind: 'run', ...answer };
    if ('receipt' in answer) return { kind: 'receipt', envelope: answer.receipt };
    return { kind: 'receipt', envelope: await parts.receipts.pending(subject, answer.pending) };
  }
  const run = await store.run(subject);
  if (run?.device === device) return { kind: 'run', run, isNews: false };
  return { kind: 'receipt', envelope: await parts.receipts.pending(subject, 'not_seen') };
}
