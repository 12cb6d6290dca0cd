/**
 * What became of everything that was asked for: counted from outside, from the ledger's transfers
 * and the devices' outboxes, never from a counter that the code under test keeps.
 *
 * Outboxes are looked at before the ledger, so that a payment which ends in between counts as
 * waiting, and not as paid without a trace.
 */
import { payloadOf } from '../src/cose.ts';
import { PaymentError } from '../src/errors.ts';
import { isFinal, receipt as receiptKind } from '../src/objects/receipt.ts';
import { request as requestKind } from '../src/objects/request.ts';
import type { Lists } from '../broker/ledger/lists.ts';
import type { Transfer } from '../broker/ledger/accounts.ts';
import type { Entry } from '../device/outbox.ts';
import type { Event } from './page/wire.ts';

export type TallyEvent = Extract<Event, { kind: 'tally' }>;

/** Where a device's entries are looked up; undefined while it is off. */
export type Shelf = Readonly<{ get: (id: string) => Entry | undefined }> | undefined;

export type Tally = Readonly<{
  /** A request was signed by a device and lay in its outbox. */
  asked: (device: string, id: string, envelope: Uint8Array) => void;
  count: () => Promise<TallyEvent>;
  /** What the ledger moved for a request, as far as it was read. */
  moved: (id: string) => readonly Transfer[];
}>;

/** Counts from the ledger's last transfer of now on. Rejects when the ledger cannot be asked. */
export async function createTally(
  parts: Readonly<{ ledger: Lists; shelf: (device: string) => Shelf }>,
): Promise<Tally> {
  const { ledger, shelf } = parts;
  const requests = new Map<string, Asked>();
  const movements = new Map<string, readonly Transfer[]>();
  let last = 0;
  for await (const { number } of pages()) last = number;

  async function* pages(): AsyncGenerator<Transfer> {
    for (;;) {
      const page = await ledger.transfers(last);
      yield* page;
      if (page.length === 0) return;
      last = page.at(-1)!.number;
    }
  }

  /** Reads on in the ledger. */
  async function read(): Promise<void> {
    for await (const transfer of pages()) {
      // What a kiosk does to a payment is a movement of that request, and not of the payment.
      const { kind, key, payment } = transfer;
      const id = kind === 'pay' || kind === 'hold' || kind === 'release' ? payment : key;
      movements.set(id, [...(movements.get(id) ?? []), transfer]);
    }
  }

  const countOf = (id: string, ...kinds: readonly Transfer['kind'][]) =>
    (movements.get(id) ?? []).filter(({ kind }) => kinds.includes(kind)).length;
  const outOf = (id: string) => countOf(id, 'pay', 'hold', 'refund');

  /** How it stands with one request, as its device knows it. */
  function ended({
    device,
    id,
    isPay,
  }: Asked): 'paid' | 'refused' | 'waiting' | 'gone' | undefined {
    const own = shelf(device);
    if (own === undefined) return undefined;
    const entry = own.get(id);
    if (!entry) return 'gone';
    if (!entry.receipt) return 'waiting';
    const { outcome } = receiptKind.decode(payloadOf(entry.receipt));
    if (!isFinal(outcome)) return 'waiting';
    const isMoney = isPay
      ? outcome === 'captured' || outcome === 'held'
      : outcome === 'refunded' || outcome === 'voided' || outcome === 'captured';
    return isMoney ? 'paid' : 'refused';
  }

  return Object.freeze({
    asked(device: string, id: string, envelope: Uint8Array) {
      const { action, order } = requestKind.decode(payloadOf(envelope));
      requests.set(id, { device, id, isPay: action === 'pay', order });
    },
    async count() {
      for (const asked of requests.values()) {
        const end = look(asked);
        if (end !== undefined) asked.end = end;
      }
      const isKnown = await read().then(
        () => true,
        (error: unknown) => {
          if (error instanceof PaymentError) return false;
          throw error;
        },
      );
      const all = [...requests.values()].filter(({ isPay }) => isPay);
      const moved = ({ id }: Asked) => outOf(id) - countOf(id, 'release');
      const orders = all.filter((one) => one.order !== undefined && moved(one) > 0);
      const again = orders.length - new Set(orders.map(({ order }) => order)).size;
      const isLost = (one: Asked) =>
        one.end === 'gone' ||
        (isKnown && one.end === 'paid' && moved(one) <= 0) ||
        (isKnown && one.end === 'refused' && moved(one) > 0);
      return {
        kind: 'tally' as const,
        asked: all.length,
        paid: all.filter((one) => moved(one) > 0).length,
        twice: [...requests.values()].filter(({ id }) => outOf(id) > 1).length + again,
        lost: all.filter(isLost).length,
        waiting: all.filter(({ end }) => end === 'waiting').length,
        refused: all.filter(({ end }) => end === 'refused').length,
        isKnown,
      };
    },
    moved: (id: string) => movements.get(id) ?? [],
  });

  function look(asked: Asked): Asked['end'] | undefined {
    try {
      return ended(asked);
    } catch (error) {
      // It dies while it is looked at.
      if (error instanceof PaymentError) return undefined;
      throw error;
    }
  }
}

/** `end` is as it was last known: a device that is off has what it had. */
type Asked = {
  readonly device: string;
  readonly id: string;
  readonly isPay: boolean;
  readonly order: string | undefined;
  end?: 'paid' | 'refused' | 'waiting' | 'gone';
};
