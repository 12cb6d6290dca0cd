/**
 * When this program may be replaced: never while a person is in the middle of a payment.
 *
 * Whoever updates asks first. A yes holds new payments back for a while, so that none begins
 * between the answer and the restart; a program that is not restarted in that time goes on. What is
 * confirmed and not answered is in the outbox, which the next program sends.
 */
import { PaymentError } from '../src/errors.ts';
import { UPDATE_HOLD_MS } from '../src/limits.ts';
import type { Clock } from '../src/platform.ts';

export type Updates = Readonly<{
  /**
   * A person begins something; call what is returned when it has ended. Throws `unavailable` while
   * an update is expected.
   */
  begin: () => () => void;
  /** Whether the program may be replaced now; if so, nothing new begins for UPDATE_HOLD_MS. */
  ask: () => boolean;
}>;

export function createUpdates(clock: Clock): Updates {
  let open = 0;
  let heldUntilMs = -Infinity;
  return {
    begin() {
      if (clock.monotonicMs() < heldUntilMs) {
        throw new PaymentError('unavailable', 'the program is being updated');
      }
      open++;
      let isOver = false;
      return () => {
        if (!isOver) open--;
        isOver = true;
      };
    },
    ask() {
      if (open > 0) return false;
      heldUntilMs = clock.monotonicMs() + UPDATE_HOLD_MS;
      return true;
    },
  };
}
