/** Answering a device's questions: time and counter after a boot, and what became of a request. */
import type { Realm, Signer } from '../src/cose.ts';
import { seal } from '../src/objects/kind.ts';
import { query as queryKind } from '../src/objects/query.ts';
import { tick as tickKind } from '../src/objects/tick.ts';
import type { Identities } from './identities.ts';
import type { Receipts } from './receipts.ts';
import type { Run, Store } from './store/port.ts';
import type { Nonces } from './tick.ts';

export type QueryAnswer =
  /** An addressed tick that echoes the boot's random and tells the highest counter seen. */
  | Readonly<{ kind: 'tick'; envelope: Uint8Array }>
  /** The device's own request, as far as it has got. */
  | Readonly<{ kind: 'run'; run: Run }>
  /** A pending receipt: the request is not known here, which is no final word. */
  | Readonly<{ kind: 'receipt'; envelope: Uint8Array }>;

export async function takeQuery(
  parts: Readonly<{
    realm: Realm;
    store: Store;
    identities: Identities;
    receipts: Receipts;
    signer: Signer;
    nonces: Nonces;
  }>,
  device: string,
  envelope: Uint8Array,
  nowMs: number,
): Promise<QueryAnswer> {
  const { store, realm } = parts;
  const { value, key } = await parts.identities.openFrom(device, queryKind, envelope);
  if (value.question === 'boot') {
    const tick = {
      iat: Math.floor(nowMs / 1000),
      counter: await store.highestCounter(key.name),
      nonce: parts.nonces.at(nowMs),
      audience: key.name,
      echo: value.echo!,
    };
    return { kind: 'tick', envelope: await seal(tickKind, tick, realm, parts.signer) };
  }
  const run = await store.run(value.subject!);
  if (run?.device === device) return { kind: 'run', run };
  return { kind: 'receipt', envelope: await parts.receipts.pending(value.subject!, 'not_seen') };
}
