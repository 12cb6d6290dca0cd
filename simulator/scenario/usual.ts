/**
 * What a scenario leaves out: limits that a day of coffee does not reach, and that the scenarios
 * which are about limits say themselves.
 */
import type { Terms } from '../../src/terms.ts';

export const USUAL_MANDATE: Terms = Object.freeze({
  perPayment: '200',
  perDay: '500/50',
  total: '2000/200',
  days: 30,
  band: ['20=P1', '1000=P2'],
});
export const USUAL_TAG: Terms = Object.freeze({
  perPayment: '50',
  total: '300/20',
  days: 30,
  band: ['50=P1'],
});
export const USUAL_AGENT: Terms = Object.freeze({
  perPayment: '50',
  perDay: '100/10',
  days: 30,
  band: ['50=P0'],
  channel: ['autonomous'],
});
export const USUAL_LADDER = [
  { upTo: '20', presence: 1 },
  { upTo: '1000', presence: 2 },
];
export const USUAL_OFFLINE = Object.freeze({
  perPayment: '50',
  stored: '500',
  storedCount: 50,
  acceptSeconds: 4 * 3600,
  uploadSeconds: 24 * 3600,
  askOnlineAfter: 10,
  refuseAfter: 30,
  payerCount: 3,
  payerAmount: '100',
  policySeconds: 7 * 86_400,
});
