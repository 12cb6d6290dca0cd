/**
 * The end of a hold: the request that the bridge makes when nobody captured in time. Pure.
 *
 * All of it follows from the hold, so every sweep and every bridge of the ledger makes the same
 * request with the same id, and the money is released once.
 */
import { fromHex } from '../src/bytes.ts';
import { REQUEST_VALID_S } from '../src/limits.ts';
import type { Request } from '../src/objects/request.ts';
import type { Original } from './store/port.ts';

/**
 * A void of everything that is held; signed with the bridge's own key. `tries` is how often it was
 * asked for before and refused on its way in, because the payee was just acting upon the hold.
 */
export function endOfHold({ id, request, payment }: Original, tries: number): Request {
  return {
    exp: Math.floor(payment!.holdUntilMs / 1000) + REQUEST_VALID_S,
    action: 'void',
    mandate: request.mandate,
    counter: tries + 1,
    amount: { currency: request.amount!.currency, minor: payment!.held },
    payee: request.payee,
    presence: 0,
    channel: 'autonomous',
    nonce: fromHex(id.slice(0, 16)),
    original: id,
  };
}
