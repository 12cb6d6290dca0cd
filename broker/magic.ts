/**
 * Magic amounts and payees: what an integrator's test asks for to meet one certain answer, in the
 * environment `sim` only.
 *
 * They stand in the sandbox services (broker/ledger, broker/risk) and not in the bridge, so that
 * device and bridge are the ones of the field and only the world around them plays. A service
 * whose configuration does not say `environment: sim` knows none of them: there 4.01 is an amount
 * like any other. The table is docs/simulation.md, which a test writes from here.
 */
import type { Money } from '../src/money.ts';

/** What a magic amount or payee asks for. */
export type Magic =
  | 'declined'
  | 'insufficient funds'
  | 'step-up'
  | 'risk review'
  | 'risk denied'
  | 'answer lost'
  | 'answer twice'
  | 'slow'
  | 'settles later';

/** `minor`: exactly this many minor units, in any currency. `by`: the service that plays it. */
export type Trick = Readonly<{ magic: Magic; minor: bigint; payee: string; by: 'ledger' | 'risk' }>;

export const TRICKS: readonly Trick[] = Object.freeze([
  { magic: 'declined', minor: 401n, payee: 'sim-declined', by: 'ledger' },
  { magic: 'insufficient funds', minor: 402n, payee: 'sim-insufficient-funds', by: 'ledger' },
  { magic: 'step-up', minor: 403n, payee: 'sim-step-up', by: 'risk' },
  { magic: 'risk review', minor: 404n, payee: 'sim-risk-review', by: 'risk' },
  { magic: 'risk denied', minor: 405n, payee: 'sim-risk-denied', by: 'risk' },
  { magic: 'answer lost', minor: 406n, payee: 'sim-answer-lost', by: 'ledger' },
  { magic: 'answer twice', minor: 407n, payee: 'sim-answer-twice', by: 'ledger' },
  { magic: 'slow', minor: 408n, payee: 'sim-slow', by: 'ledger' },
  { magic: 'settles later', minor: 409n, payee: 'sim-settles-later', by: 'ledger' },
] as const);

/** What a payment asks for, or undefined; a magic payee comes before a magic amount. */
export function magicOf({
  payee,
  amount,
}: Readonly<{ payee: string; amount: Money }>): Magic | undefined {
  const trick =
    TRICKS.find((one) => one.payee === payee) ?? TRICKS.find((one) => one.minor === amount.minor);
  return trick?.magic;
}
