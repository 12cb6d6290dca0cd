/**
 * Receipts that somebody waits for, by the request that they answer.
 *
 * Whoever sends a request listens before it is sent and until the last word, since a pending
 * receipt and the final one may come as one.
 */
import { type Receipt, isFinal } from '../src/objects/receipt.ts';

/** The first receipt of a request, and the final one; they may be the same. */
export type Answer = Readonly<{ first: Promise<Receipt>; last: Promise<Receipt> }>;

export type Answers = Readonly<{
  /** Listens to what becomes of a request. */
  to: (id: string) => Answer;
  /** Hands a verified receipt to who listens; false when nobody does. */
  hear: (id: string, receipt: Receipt) => boolean;
}>;

export function createAnswers(): Answers {
  const awaited = new Map<string, (receipt: Receipt) => void>();
  return {
    to(id) {
      const first = Promise.withResolvers<Receipt>();
      const last = Promise.withResolvers<Receipt>();
      awaited.set(id, (receipt) => {
        first.resolve(receipt);
        if (!isFinal(receipt.outcome)) return;
        awaited.delete(id);
        last.resolve(receipt);
      });
      return { first: first.promise, last: last.promise };
    },
    hear(id, receipt) {
      const take = awaited.get(id);
      take?.(receipt);
      return take !== undefined;
    },
  };
}
