/** Signs what the bridge answers: final receipts, and those that say pending or refused. */
import type { Realm, Signer } from '../src/cose.ts';
import { REASONS, type Reason } from '../src/errors.ts';
import { seal } from '../src/objects/kind.ts';
import { type Receipt, receipt as receiptKind } from '../src/objects/receipt.ts';
import type { Clock } from '../src/platform.ts';

export type Receipts = Readonly<{
  sign: (receipt: Receipt) => Promise<Uint8Array>;
  /** Not final: it closes nothing, whatever it is about. */
  pending: (subject: string, reason: Reason) => Promise<Uint8Array>;
  refused: (subject: string, reason: Reason) => Promise<Uint8Array>;
}>;

/** Receipts under the bridge's key, dated by `clock`. */
export function createReceipts(realm: Realm, signer: Signer, clock: Clock): Receipts {
  const sign = (receipt: Receipt) => seal(receiptKind, receipt, realm, signer);
  const about = (outcome: 'pending' | 'refused') => (subject: string, reason: Reason) =>
    sign({ iat: Math.floor(clock.nowMs() / 1000), subject, outcome, reason: REASONS[reason] });
  return { sign, pending: about('pending'), refused: about('refused') };
}
