/**
 * How a mandate stands: what a person is told of it. Pure.
 *
 * `expired` and `finished` are never stored, because they follow from the clock and from what was
 * spent; the verdict refuses both by the same limits.
 */
import type { ChainLink, Usage } from './store/port.ts';
import { periodOf } from './verdict.ts';

export type MandateStatus = 'active' | 'suspended' | 'revoked' | 'expired' | 'finished';

/** Status at `nowMs`: what somebody decided comes before what follows by itself. */
export function mandateStatus(link: ChainLink, nowMs: number): MandateStatus {
  if (link.status !== 'active') return link.status;
  if (nowMs / 1000 >= link.mandate.exp) return 'expired';
  const isUsedUp = link.mandate.windows.some((window, i) => {
    const { amount, count } = link.usage[i]!;
    return window.kind === 'total' && (count >= window.count || amount >= window.max);
  });
  return isUsedUp ? 'finished' : 'active';
}

/** A mandate as the operator sees it; amounts in minor units as text. */
export type MandateView = Readonly<{
  id: string;
  status: MandateStatus;
  payer: string;
  /** Thumbprint of the key that may ask. */
  cnf: string;
  parent: string | undefined;
  epoch: number;
  currency: string;
  perPaymentMax: string;
  until: number;
  backends: readonly string[];
  windows: readonly Readonly<{
    period: string;
    max: string;
    used: string;
    count: number;
    usedCount: number;
  }>[];
}>;

export function viewOfMandate(link: ChainLink, nowMs: number): MandateView {
  const { mandate } = link;
  return {
    id: link.id,
    status: mandateStatus(link, nowMs),
    payer: link.payer,
    cnf: mandate.cnf,
    parent: mandate.parent,
    epoch: mandate.epoch,
    currency: mandate.currency,
    perPaymentMax: String(mandate.perPaymentMax),
    until: mandate.exp,
    backends: link.backends,
    windows: mandate.windows.map((window, i) =>
      viewOfWindow(periodOf(window), window, link.usage[i]!),
    ),
  };
}

function viewOfWindow(
  period: string,
  { max, count }: Readonly<{ max: bigint; count: number }>,
  used: Usage,
) {
  return { period, max: String(max), used: String(used.amount), count, usedCount: used.count };
}
