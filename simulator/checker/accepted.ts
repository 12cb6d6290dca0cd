/**
 * What the bridge has accepted, read from its rows of requests: what was asked for, when, and
 * whether it is over.
 *
 * A mandate is its signed bytes, whose id nobody can choose; the bridge's windows and counts are
 * not looked at, because they are what is to be checked. When a bridge was killed or restored its
 * store may have gone back in time: then everything is read again (`reread`).
 */
import { toHex } from '../../src/bytes.ts';
import { type Realm, identify, kidOf, payloadOf } from '../../src/cose.ts';
import { CHAIN_DEPTH_MAX } from '../../src/limits.ts';
import { type Mandate, mandate as mandateKind } from '../../src/objects/mandate.ts';
import { type Request, request as requestKind } from '../../src/objects/request.ts';
import type { Database, SqlRow } from '../../src/platform.ts';

/** A request that the bridge took, as its row says now. */
export type Run = {
  readonly id: string;
  readonly row: bigint;
  readonly request: Request;
  /** Hint of the key that signed it, hex. */
  readonly kid: string;
  readonly admittedMs: number;
  /** Nonce of the lease that it is spent under, hex. */
  readonly lease: string | undefined;
  /** Accepted when it came in, so that it counts in its windows if it moves. */
  readonly wasAccepted: boolean;
  /** Refused by the bridge itself, at once or later. */
  isRefused: boolean;
  /** The final outcome; undefined while it is open. */
  outcome: string | undefined;
  /** The final receipt, hex. */
  receipt: string | undefined;
};

/** A mandate with the key that signed it; `id` is counted from its bytes. */
export type Link = Readonly<{ id: string; mandate: Mandate; kid: string; payer: string }>;

/** What is set aside for leases of one key under one mandate. */
export type Pool = Readonly<{
  key: string;
  mandate: string;
  atMs: number;
  amount: bigint;
  count: bigint;
  /** Requests of later rows took from it. */
  since: bigint;
}>;

export type Accepted = Readonly<{
  /** Runs that are new since the last call, oldest first. */
  read: () => readonly Run[];
  /** Looks again at what became of those that were open. */
  refresh: () => void;
  /** Forgets what was read: the store may have gone back in time. */
  reread: () => void;
  run: (id: string) => Run | undefined;
  /** Payments and holds under a mandate or under one that was delegated from it. */
  under: (mandate: string) => readonly Run[];
  open: () => readonly Run[];
  /** The chain of a mandate, leaf first; shorter when a link is not known or not its own bytes. */
  chain: (mandate: string) => readonly Link[];
  pools: () => readonly Pool[];
  /** The date under which a lease's payment counts in a window, as the bridge noted it. */
  label: (run: string, mandate: string, place: number) => string | undefined;
  knowsRevoke: (id: string) => boolean;
}>;

export function createAccepted(bridge: () => Database | undefined, realm: Realm): Accepted {
  let last = 0n;
  let runs = new Map<string, Run>();
  let byMandate = new Map<string, Run[]>();
  let open = new Set<Run>();
  const links = new Map<string, Link>();
  /** Requests never change, so what was decoded once is kept when all else is read again. */
  const decoded = new Map<string, Pick<Run, 'request' | 'kid'>>();

  function chain(leaf: string): readonly Link[] {
    const found: Link[] = [];
    for (let id: string | undefined = leaf; id && found.length < CHAIN_DEPTH_MAX;) {
      const link: Link | undefined = links.get(id) ?? readLink(bridge(), id, realm);
      if (!link) break;
      links.set(id, link);
      found.push(link);
      id = link.mandate.parent;
    }
    return found;
  }

  function toRun(row: SqlRow): Run {
    const id = row['id'] as string;
    const signed = decoded.get(id) ?? decode(row['envelope'] as Uint8Array);
    decoded.set(id, signed);
    const run: Run = {
      ...signed,
      id,
      row: row['rowid'] as bigint,
      admittedMs: Number(row['admitted_ms']),
      lease: (row['lease'] as string | null) ?? undefined,
      wasAccepted: row['backends'] !== '[]',
      isRefused: false,
      outcome: undefined,
      receipt: undefined,
    };
    noteEnd(run, row);
    return run;
  }

  return Object.freeze({
    read() {
      const rows = bridge()
        ?.prepare(
          `SELECT rowid, id, envelope, admitted_ms, lease, backends, ${END} FROM runs
           WHERE rowid > ? ORDER BY rowid`,
        )
        .all(last);
      return (rows ?? []).map((row) => {
        last = row['rowid'] as bigint;
        const run = toRun(row);
        runs.set(run.id, run);
        if (!run.receipt) open.add(run);
        if (!isSpending(run)) return run;
        for (const { id } of chain(run.request.mandate)) {
          const list = byMandate.get(id);
          if (list) list.push(run);
          else byMandate.set(id, [run]);
        }
        return run;
      });
    },
    refresh() {
      const find = bridge()?.prepare(`SELECT ${END} FROM runs WHERE id = ?`);
      for (const run of open) {
        const row = find?.get(run.id);
        if (!row) continue;
        noteEnd(run, row);
        if (run.receipt) open.delete(run);
      }
    },
    reread() {
      last = 0n;
      [runs, byMandate, open] = [new Map(), new Map(), new Set()];
    },
    run: (id: string) => runs.get(id),
    under: (mandate: string) => byMandate.get(mandate) ?? [],
    open: () => [...open],
    chain,
    pools: () =>
      (bridge()?.prepare('SELECT * FROM pools WHERE closed_ms IS NULL').all() ?? []).map((row) => ({
        key: row['key'] as string,
        mandate: row['mandate'] as string,
        atMs: Number(row['at_ms']),
        amount: row['amount'] as bigint,
        count: row['count'] as bigint,
        since: row['since'] as bigint,
      })),
    label: (run: string, mandate: string, place: number) =>
      bridge()
        ?.prepare('SELECT label FROM reservations WHERE run = ? AND mandate = ? AND place = ?')
        .get(run, mandate, BigInt(place))?.['label'] as string | undefined,
    knowsRevoke: (id: string) =>
      bridge()?.prepare('SELECT 1 FROM revokes WHERE id = ?').get(id) !== undefined,
  });
}

/** Whether a request takes from the windows of its mandate. */
export function isSpending({ request: { action } }: Pick<Run, 'request'>): boolean {
  return action === 'pay' || action === 'hold' || action === 'access';
}

const END = 'refusal, outcome, receipt';

function decode(envelope: Uint8Array): Pick<Run, 'request' | 'kid'> {
  return { request: requestKind.decode(payloadOf(envelope)), kid: toHex(kidOf(envelope)) };
}

function noteEnd(run: Run, row: SqlRow): void {
  run.isRefused = row['refusal'] !== null;
  run.outcome = (row['outcome'] as string | null) ?? undefined;
  run.receipt = row['receipt'] === null ? undefined : toHex(row['receipt'] as Uint8Array);
}

/** Undefined for a row whose bytes are another mandate's than it says. */
function readLink(store: Database | undefined, id: string, realm: Realm): Link | undefined {
  const row = store?.prepare('SELECT envelope, payer FROM mandates WHERE id = ?').get(id);
  if (!row) return undefined;
  const envelope = row['envelope'] as Uint8Array;
  if (identify(envelope, realm, mandateKind.name).id !== id) return undefined;
  const mandate = mandateKind.decode(payloadOf(envelope));
  return { id, mandate, kid: toHex(kidOf(envelope)), payer: row['payer'] as string };
}
