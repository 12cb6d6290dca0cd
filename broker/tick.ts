/**
 * The tick: a nonce that proves a request is recent without a round trip.
 *
 * The nonce is an HMAC of the time slot under a secret that every bridge of the ledger shares, so
 * any of them accepts what another gave out, and nothing has to be stored. Restoring a backup
 * raises the generation, which makes every earlier nonce stale.
 */
import { createHmac, createSecretKey } from 'node:crypto';
import { bytesEqual, utf8 } from '../src/bytes.ts';
import { TICK_ACCEPT_MS, TICK_SLOT_MS } from '../src/limits.ts';

export type Nonces = Readonly<{
  /** The 8-byte nonce of the slot that `nowMs` falls into. */
  at: (nowMs: number) => Uint8Array;
  /** Whether `nonce` was given out in this slot or one not older than TICK_ACCEPT_MS. */
  isFresh: (nonce: Uint8Array, nowMs: number) => boolean;
}>;

/** Nonces under the ledger's secret (32 bytes) and generation. */
export function createNonces(secret: Uint8Array, generation: number): Nonces {
  const key = createSecretKey(secret);
  const slots = new Map<number, Uint8Array>();

  function nonceOf(slot: number): Uint8Array {
    let nonce = slots.get(slot);
    if (!nonce) {
      const mac = createHmac('sha256', key).update(utf8(`saytap/1 tick ${generation} ${slot}`));
      nonce = Uint8Array.from(mac.digest().subarray(0, 8));
      if (slots.size > 2 * SLOTS_ACCEPTED) slots.clear();
      slots.set(slot, nonce);
    }
    return nonce;
  }

  const slotOf = (nowMs: number) => Math.floor(nowMs / TICK_SLOT_MS);
  return {
    at: (nowMs) => nonceOf(slotOf(nowMs)),
    isFresh(nonce, nowMs) {
      const current = slotOf(nowMs);
      for (let age = 0; age <= SLOTS_ACCEPTED; age++) {
        if (bytesEqual(nonce, nonceOf(current - age))) return true;
      }
      return false;
    },
  };
}

/** A nonce from the end of a slot is still accepted this many slots later. */
const SLOTS_ACCEPTED = Math.ceil(TICK_ACCEPT_MS / TICK_SLOT_MS);
