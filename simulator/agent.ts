/**
 * A key that acts alone: no person confirms, so it pays only what its mandate lets nobody confirm.
 *
 * It has a device's outbox, link and time, because whoever holds a key has to keep what it signed
 * until the end is known; what it lacks is everything that concerns a person.
 */
import { hash } from 'node:crypto';
import type { RunningGlasses } from '../device/compose.ts';
import { onlineNow } from '../device/link.ts';
import { type Sequence, createSequence } from '../device/sequence.ts';
import { toHex } from '../src/bytes.ts';
import type { Realm, Signer } from '../src/cose.ts';
import { PaymentError, reasonName } from '../src/errors.ts';
import { REQUEST_VALID_S } from '../src/limits.ts';
import { isFinal } from '../src/objects/receipt.ts';
import { type Action, request as requestKind } from '../src/objects/request.ts';
import type { Log } from '../src/platform.ts';
import type { Observe } from './observed.ts';
import type { Granted } from './site.ts';

export type Agent = Readonly<{
  /** Signs and sends one; the id, or undefined when nothing was signed. */
  request: (asked: Asked) => Promise<string | undefined>;
}>;

/** `original` is the hold that a capture or void is about. */
export type Asked = Readonly<{
  action: Extract<Action, 'pay' | 'hold' | 'capture' | 'void'>;
  mandate: Granted;
  payee: string;
  minor: bigint;
  original?: string;
}>;

/** An agent over one life of its device. */
export function createAgent(
  parts: Readonly<{
    name: string;
    realm: Realm;
    signer: Signer;
    running: RunningGlasses;
    log: Log;
    observe: Observe;
  }>,
): Agent {
  const { name, realm, signer, running, log, observe } = parts;
  const { outbox, link, time } = running;
  // Taken down before it is on disk: whoever dies in between has signed it all the same.
  const noting: Signer = {
    key: signer.key,
    sign(toBeSigned) {
      const id = toHex(hash('sha256', toBeSigned, 'buffer').subarray(0, 16));
      observe({ what: 'signed', agent: name, id });
      return signer.sign(toBeSigned);
    },
  };
  const sequence: Sequence = createSequence({ realm, signer: noting, outbox, log });

  running.onReceipt((id, { outcome, reason }, _envelope, isFirst) => {
    if (!isFirst || !isFinal(outcome) || outbox.get(id)?.kind !== 'request') return;
    const isPaid = outcome !== 'refused' && outcome !== 'expired';
    observe({
      what: 'told',
      ...{ device: name, id, kind: isPaid ? 'paid' : 'refused' },
      ...(reason !== undefined && { reason: reasonName(reason) ?? String(reason) }),
    });
  });

  return Object.freeze({
    async request({ action, mandate, payee, minor, original }: Asked) {
      try {
        const added = await sequence.add((counter) => {
          const fresh = onlineNow(link, time);
          if (!fresh) throw new PaymentError('offline_not_allowed', 'an agent waits for the link');
          const { nowMs, nonce } = fresh;
          const payload = requestKind.encode({
            action,
            exp: Math.floor(nowMs / 1000) + REQUEST_VALID_S,
            mandate: mandate.id,
            counter,
            amount: { currency: mandate.mandate.currency, minor },
            payee,
            presence: 0,
            channel: 'autonomous',
            nonce,
            ...(original !== undefined && { original }),
          });
          return { payload, nowMs };
        });
        const { entry, isStored } = added!;
        if (isStored) link.send(entry);
        return entry.id;
      } catch (error) {
        if (!(error instanceof PaymentError)) throw error;
        observe({ what: 'told', device: name, kind: 'not_sent', reason: error.reason });
        return undefined;
      }
    },
  });
}
