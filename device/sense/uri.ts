/**
 * The project's own links: `saytap://order/<base64url>` holds a signed Order,
 * `saytap://payee/<id>?amount=CNY12.50` (amount optional) points at a payee, and
 * `saytap://payer/<32 hex digits>` names a mandate that a kiosk may collect under.
 *
 * A payer's tag names the mandate and not the person: it means nothing at another kiosk, tells two
 * shops nothing about each other, and is worth nothing once the mandate is revoked.
 */
import { fromBase64url, toBase64url } from '../../src/bytes.ts';
import { PaymentError } from '../../src/errors.ts';
import { ENVELOPE_BYTES_MAX } from '../../src/limits.ts';
import type { Pointer } from './sensed.ts';

/** The link that shows an order. */
export function orderUri(envelope: Uint8Array): string {
  return `saytap://order/${toBase64url(envelope)}`;
}

/** What a link points at; `foreign` when it is not ours. Throws `malformed` for a broken one. */
export function readUri(text: string): Pointer {
  if (!text.startsWith('saytap://')) return { kind: 'foreign' };
  if (text.length > ENVELOPE_BYTES_MAX * 2) throw new PaymentError('too_large', 'link too long');
  const order = /^saytap:\/\/order\/([\w-]+)$/.exec(text);
  if (order) return { kind: 'order', envelope: fromBase64url(order[1]!) };
  const payee = /^saytap:\/\/payee\/([\w-]{1,64})(?:\?amount=([A-Z]{3}[0-9.]{1,20}))?$/.exec(text);
  if (payee) return { kind: 'payee', payee: payee[1]!, amount: payee[2] };
  const payer = /^saytap:\/\/payer\/([0-9a-f]{32})$/.exec(text);
  if (payer) return { kind: 'payer', mandate: payer[1]! };
  throw new PaymentError('malformed', 'a saytap link that says nothing known');
}
