/**
 * What a kiosk's clerk wants to be paid, for whoever taps a tag within BILL_MS. The tag says under
 * which mandate it may be paid; it is no consent.
 */
import { BILL_MS } from '../src/limits.ts';
import type { Money } from '../src/money.ts';
import type { Clock } from '../src/platform.ts';
import type { Terms } from './confirm.ts';
import type { HeldMandate } from './mandates.ts';
import type { Pointer } from './sense/sensed.ts';
import type { Surface } from './surface/port.ts';

/** Of a device that collects at a counter: whose it is, and where its staff is told. */
export type Counter = Readonly<{
  payee: string;
  terminal: string;
  staff: Surface['say'];
}>;

export type Bill = Readonly<{
  /** Takes the place of the one before; undefined takes it back. */
  set: (amount: Money | undefined) => void;
  isOpen: () => boolean;
  /** What whoever tapped this owes, and by which mandate; or why nothing can be paid. */
  dueFor: (
    pointer: Pointer,
  ) => Readonly<{ terms: Terms; mandates: readonly HeldMandate[] }> | 'no bill' | 'unknown tag';
}>;

export function createBill(
  parts: Readonly<{ counter: Counter; mandates: readonly HeldMandate[]; clock: Clock }>,
): Bill {
  const { counter, clock } = parts;
  const { payee, terminal } = counter;
  let billed: Readonly<{ amount: Money; untilMs: number }> | undefined;

  const isOpen = () => billed !== undefined && clock.monotonicMs() <= billed.untilMs;
  return {
    set: (amount) => void (billed = amount && { amount, untilMs: clock.monotonicMs() + BILL_MS }),
    isOpen,
    dueFor(pointer) {
      if (!billed || !isOpen()) return 'no bill';
      const mandates = parts.mandates.filter(
        ({ id }) => pointer.kind === 'payer' && id === pointer.mandate,
      );
      if (mandates.length === 0) return 'unknown tag';
      return { terms: { amount: billed.amount, payee, terminal }, mandates };
    },
  };
}
