/** The eleven kinds by name: for whoever treats them alike (inspect, vectors, topics). */
import { enrol } from './enrol.ts';
import { keyStatement } from './key.ts';
import type { Kind } from './kind.ts';
import { mandate } from './mandate.ts';
import { order } from './order.ts';
import { policy } from './policy.ts';
import { proposal } from './proposal.ts';
import { query } from './query.ts';
import { receipt } from './receipt.ts';
import { request } from './request.ts';
import { revoke } from './revoke.ts';
import { tick } from './tick.ts';

export const KINDS = Object.freeze({
  key: keyStatement,
  policy,
  mandate,
  revoke,
  request,
  order,
  query,
  enrol,
  receipt,
  tick,
  proposal,
});

export type KindName = keyof typeof KINDS;

/** A kind without its value type, for code that only shows or counts. */
export function kindNamed(name: string): Kind<unknown> | undefined {
  return Object.hasOwn(KINDS, name) ? (KINDS[name as KindName] as Kind<unknown>) : undefined;
}
