/**
 * The one sequence of a key's requests: each gets the next counter, is signed, and is on disk
 * before the next one begins.
 *
 * A kiosk has two lines, what it collects and what it gives back, and a token may take seconds to
 * sign. If each line read the counter for itself, two requests could get the same one, of which the
 * disk keeps the first, and the person who confirmed the second would be told of a fault.
 */
import { type Realm, type Signer, identify, signEnvelope } from '../src/cose.ts';
import { PaymentError } from '../src/errors.ts';
import { SEQUENCE_WAITING_MAX } from '../src/limits.ts';
import { request as requestKind } from '../src/objects/request.ts';
import type { Log } from '../src/platform.ts';
import { type NewEntry, type Outbox, type Spending, putConfirmed } from './outbox.ts';

/** A confirmed request that is to be signed. */
export type Draft = Readonly<{
  /** The encoded request, with its counter in it. */
  payload: Uint8Array;
  /** Trusted time, ms. */
  nowMs: number;
  transcript?: Uint8Array | undefined;
  /** What it takes of a lease; undefined online. */
  spends?: Spending | undefined;
}>;

export type Added<D extends Draft = Draft> = Readonly<{
  draft: D;
  entry: NewEntry;
  /** False when the disk failed so that it may come back: it must not be sent now. */
  isStored: boolean;
}>;

/** What whoever adds a request has to say while it is made. */
export type Meanwhile = Readonly<{
  /** Asked once it is signed: it may be called off, or its key be over, while a token signs. */
  isMeant: () => boolean;
  /** Called in the same breath as it is stored. */
  stored?: (id: string) => void;
}>;

export type Sequence = Readonly<{
  /**
   * Calls `write` with the counter when it is this request's turn, so that nothing in it grows old
   * while it waits; then signs and stores it. Undefined when it is not meant any more: nothing is
   * stored and its counter is free. Rejects as `write` throws, with KeyFailure when the key does
   * not sign, as Outbox `put`, and with `unavailable` when too many wait: nothing is stored then.
   */
  add: <D extends Draft>(
    write: (counter: number) => D,
    meanwhile?: Meanwhile,
  ) => Promise<Added<D> | undefined>;
}>;

export function createSequence(
  parts: Readonly<{ realm: Realm; signer: Signer; outbox: Outbox; log: Log }>,
): Sequence {
  const { realm, signer, outbox, log } = parts;
  const key = signer.key.name;
  let waiting = 0;
  let last = Promise.resolve();

  return {
    async add(write, meanwhile) {
      if (waiting >= SEQUENCE_WAITING_MAX) {
        throw new PaymentError('unavailable', `${waiting} requests wait for the key`);
      }
      waiting++;
      const before = last;
      const end = Promise.withResolvers<void>();
      last = end.promise;
      try {
        await before;
        const counter = outbox.counter(key) + 1;
        const draft = write(counter);
        const { payload, nowMs, transcript, spends } = draft;
        const envelope = await signEnvelope(payload, realm, requestKind.name, signer);
        const { id } = identify(envelope, realm, requestKind.name);
        if (meanwhile?.isMeant() === false) return undefined;
        const entry = { id, kind: 'request', envelope, storedMs: nowMs, transcript } as const;
        const isStored = putConfirmed(outbox, entry, { key, counter }, log, spends);
        meanwhile?.stored?.(id);
        return { draft, entry, isStored };
      } finally {
        waiting--;
        end.resolve();
      }
    },
  };
}
