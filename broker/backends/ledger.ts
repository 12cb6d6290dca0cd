/**
 * The ledger as a backend of the bridge.
 *
 * An answer counts only when it is whole, is about the key that was asked and fits the action. All
 * else is `unknown`, refusals of the service (4xx, 5xx, a conflict) included: none of them proves
 * that no earlier attempt under this key went through. The key in the answer also catches a second
 * answer that a confused server left on a kept-alive connection.
 */
import * as z from 'zod/mini';
import { PaymentError } from '../../src/errors.ts';
import { BACKEND_TIMEOUT_MS, REFERENCE_BYTES_MAX } from '../../src/limits.ts';
import { HttpFailure, type Clock, type Http, type Random } from '../../src/platform.ts';
import { fromBody, signCall } from '../hmac.ts';
import type { Authorisation, Backend, BackendAnswer, BackendState, Movement } from './port.ts';

/** The ledger at `url` (no slash at the end). Nothing but `fundingLinked` ever rejects. */
export function createLedgerBackend(
  options: Readonly<{
    http: Http;
    url: string;
    secret: Uint8Array;
    clock: Clock;
    random: Random;
    timeoutMs?: number;
  }>,
): Backend {
  const { http, url, timeoutMs = BACKEND_TIMEOUT_MS } = options;

  async function ask(method: 'GET' | 'POST', path: string, body?: unknown): Promise<Heard> {
    const call = signCall(options, { method, url: url + path, body, timeoutMs });
    try {
      const { status, body } = await http(call);
      return { kind: 'heard', status, json: fromBody(body) };
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const isUnsent = error instanceof HttpFailure && !error.sent;
      return { kind: isUnsent ? 'unsent' : 'unknown', why };
    }
  }

  async function move(
    action: keyof typeof OUTCOMES,
    movement: Authorisation | Movement,
  ): Promise<BackendAnswer> {
    const { key, amount } = movement;
    const rest =
      'original' in movement
        ? { original: movement.original }
        : { funding: movement.funding, payee: movement.payee, capture: movement.capture };
    const money = { currency: amount.currency, minor: String(amount.minor) };
    const heard = await ask('POST', `/v1/${action}`, { key, ...rest, ...money });
    const answer = answerOf(heard, key);
    if (answer.kind === 'unseen') return unknown('the ledger has not seen its own call');
    if (answer.kind !== 'done') return answer;
    const expected =
      'capture' in movement ? [movement.capture === 'now' ? 'captured' : 'held'] : OUTCOMES[action];
    if (expected.includes(answer.outcome)) return answer;
    return unknown(`the ledger answered ${answer.outcome} to ${action}`);
  }

  return Object.freeze({
    name: 'ledger',
    resolvesBy: 'replay',
    authorise: (authorisation: Authorisation) => move('authorise', authorisation),
    capture: (movement: Movement) => move('capture', movement),
    void: (movement: Movement) => move('void', movement),
    refund: (movement: Movement) => move('refund', movement),
    query: async (key: string) => answerOf(await ask('GET', `/v1/payments/${key}`), key),
    async fundingLinked(funding: string, wallet: string) {
      const search = new URLSearchParams({ funding, wallet });
      const heard = await ask('GET', `/v1/funding?${search}`);
      const link = heard.kind === 'heard' ? z.safeParse(LINK, heard.json) : undefined;
      if (heard.kind !== 'heard' || heard.status !== 200 || !link?.success) {
        throw new PaymentError('unavailable', 'The ledger cannot say whose funding this is.');
      }
      if (link.data.funding !== funding || link.data.wallet !== wallet) {
        throw new PaymentError('unavailable', 'The ledger answered about another link.');
      }
      return link.data.linked;
    },
  });
}

type Heard =
  | Readonly<{ kind: 'heard'; status: number; json: unknown }>
  | Readonly<{ kind: 'unknown' | 'unsent'; why: string }>;

const OUTCOMES = Object.freeze({
  authorise: ['captured', 'held'],
  capture: ['captured'],
  void: ['voided'],
  refund: ['refunded'],
});

const LINK = z.strictObject({ funding: z.string(), wallet: z.string(), linked: z.boolean() });

const STATE = z.discriminatedUnion('kind', [
  z.strictObject({
    key: z.string(),
    kind: z.literal('done'),
    outcome: z.enum(['captured', 'held', 'voided', 'refunded']),
    reference: z.string().check(z.regex(new RegExp(`^[!-~]{1,${REFERENCE_BYTES_MAX}}$`))),
  }),
  z.strictObject({
    key: z.string(),
    kind: z.literal('declined'),
    reason: z.enum(['backend_declined', 'refund_exceeds']),
  }),
  z.strictObject({ key: z.string(), kind: z.literal('unseen') }),
]);

function answerOf(heard: Heard, key: string): BackendState {
  if (heard.kind !== 'heard') return Object.freeze(heard);
  if (heard.status === 409) return unknown('conflict: the key was used with other parameters');
  if (heard.status !== 200) return unknown(`the ledger answered with status ${heard.status}`);
  const state = z.safeParse(STATE, heard.json);
  if (!state.success) return unknown('the answer of the ledger cannot be read');
  const { key: answered, ...answer } = state.data;
  if (answered !== key) return unknown('the ledger answered about another key');
  return Object.freeze(answer);
}

function unknown(why: string): Extract<BackendAnswer, { kind: 'unknown' }> {
  return Object.freeze({ kind: 'unknown', why });
}
