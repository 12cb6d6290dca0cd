/** What a device tells its operator's monitoring: counts and ages, never whose payment it was. */
import { reasonName } from '../src/errors.ts';
import { isFinal } from '../src/objects/receipt.ts';
import type { Clock, Metrics } from '../src/platform.ts';
import type { RunningGlasses, RunningKiosk } from './compose.ts';

/**
 * Counts from now on, and reads the rest when it is asked for, from whatever runs then. The
 * returned function is called with each composition that takes the place of the one before.
 */
export function measureDevice(
  metrics: Metrics,
  running: () => RunningGlasses | RunningKiosk,
  clock: Clock,
): (running: RunningGlasses | RunningKiosk) => void {
  const count = metrics.counter('receipts_total', 'Final receipts, by outcome and reason.', [
    'outcome',
    'reason',
  ]);
  metrics.gauge('link_ready', '1 when payments are possible: broker and bridge are there.', () =>
    running().link.state() === 'ready' ? 1 : 0,
  );
  metrics.gauge('broker_connected', '1 when the broker is there.', () =>
    running().link.state() === 'down' ? 0 : 1,
  );
  metrics.gauge('clock_trusted', '1 when the bridge has told the time.', () =>
    running().time.trustedMs() === undefined ? 0 : 1,
  );
  metrics.gauge(
    'outbox_open',
    'Entries without a final receipt.',
    () => running().outbox.open().length,
  );
  metrics.gauge('outbox_oldest_seconds', 'Age of the oldest entry without one.', () => {
    const { outbox, time } = running();
    const stored = outbox.open().filter(({ storedMs }) => storedMs > 0);
    const oldest = Math.min(...stored.map(({ storedMs }) => storedMs));
    const nowMs = time.trustedMs() ?? clock.nowMs();
    return stored.length === 0 ? 0 : Math.max(0, (nowMs - oldest) / 1000);
  });
  return (each) =>
    each.onReceipt((_id, { outcome, reason }, _envelope, isFirst) => {
      if (!isFirst || !isFinal(outcome)) return;
      count({ outcome, reason: reason === undefined ? '' : (reasonName(reason) ?? 'other') });
    });
}
