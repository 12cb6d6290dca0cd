/**
 * The ledger as a backend of the bridge.
 *
 * An answer counts only when it is whole, is about the key that was asked and fits the action. All
 * else is `unknown`, refusals of the service (4xx, 5xx, a conflict) included: none of them proves
 * that no earlier attempt under this key went through. The key in the answer also catches a second
 * answer that a confused server left on a kept-alive connection. A notice of the ledger is the same
 * JSON as an answer, signed with the same secret.
 */
import * as z from 'zod/mini';
import { PaymentError } from '../../src/errors.ts';
import {
  BACKEND_TIMEOUT_MS,
  BRIDGE_KEEP_MS,
  CANCEL_FOR_MS_MAX,
  REFERENCE_BYTES_MAX,
  RESOLVE_MS,
} from '../../src/limits.ts';
import {
  HttpFailure,
  type Clock,
  type Http,
  type HttpQuestion,
  type Random,
} from '../../src/platform.ts';
import { createVerifier, fromBody, signCall } from '../hmac.ts';
import { createLists } from '../ledger/lists.ts';
import { noticePath } from '../ledger/notices.ts';
import type {
  Authorisation,
  Backend,
  BackendAnswer,
  BackendState,
  Capabilities,
  Moved,
  Movement,
  Notification,
} from './port.ts';

/**
 * The ledger at `url` (no slash at the end); the bridge calls it `name`. Only `fundingLinked`,
 * `login` and `movements` ever reject, with PaymentError `unavailable` (`login.link` also with
 * `funding_unknown`). `parseNotification` throws as the port says, and `rate_limited` when it
 * cannot remember more notices.
 */
export function createLedgerBackend(
  options: Readonly<{
    http: Http;
    url: string;
    secret: Uint8Array;
    clock: Clock;
    random: Random;
    name?: string;
    timeoutMs?: number;
  }>,
): Backend {
  const { http, url, name = 'ledger', timeoutMs = BACKEND_TIMEOUT_MS } = options;
  const verify = createVerifier(options);
  const lists = createLists(options);

  async function ask(method: 'GET' | 'POST', path: string, body?: unknown): Promise<Heard> {
    const call = signCall(options, { method, url: url + path, body, timeoutMs });
    try {
      const { status, body } = await http(call);
      return { kind: 'heard', status, received: body };
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
    if (answer.kind === 'unseen') {
      return unknown('the ledger has not seen its own call', answer.received);
    }
    if (answer.kind !== 'done') return answer;
    const expected =
      'capture' in movement ? [movement.capture === 'now' ? 'captured' : 'held'] : OUTCOMES[action];
    if (expected.includes(answer.outcome)) return answer;
    return unknown(`the ledger answered ${answer.outcome} to ${action}`, answer.received);
  }

  function parseNotification(question: HttpQuestion): Notification {
    verify(question);
    const read = readState(question.body);
    // The signature covers method and path: no call of another kind passes for a notice.
    const isNotice = question.method === 'POST' && question.path === noticePath(name);
    if (!isNotice || read === undefined || read.state.kind === 'unseen') {
      throw new PaymentError('malformed', 'This is not a notice of the ledger.');
    }
    return Object.freeze({ key: read.key, state: read.state });
  }

  /** A page of movements; deposits are none, so one may take several pages of the ledger. */
  async function movements(after: number): Promise<readonly Moved[]> {
    for (let from = after; ;) {
      const page = await lists.transfers(from);
      const moved = page.flatMap(({ kind, number, key, payment, amount, atMs }) =>
        kind === 'top_up'
          ? []
          : [Object.freeze({ number, key, original: payment, kind, amount, atMs })],
      );
      const last = page.at(-1);
      if (moved.length > 0 || last === undefined) return moved;
      from = last.number;
    }
  }

  return Object.freeze({
    name,
    capabilities: CAPABILITIES,
    authorise: (authorisation: Authorisation) => move('authorise', authorisation),
    capture: (movement: Movement) => move('capture', movement),
    void: (movement: Movement) => move('void', movement),
    refund: (movement: Movement) => move('refund', movement),
    query: async (key: string) => answerOf(await ask('GET', `/v1/payments/${key}`), key),
    parseNotification,
    movements,
    login: Object.freeze({
      async currencyOf(funding: string) {
        const heard = await ask('GET', `/v1/account?${new URLSearchParams({ funding })}`);
        const account = readAnswer(heard, ACCOUNT);
        if (account?.funding !== funding) throw unavailable('which accounts there are');
        return account.currency;
      },
      async link(funding: string, wallet: string) {
        const heard = await ask('POST', '/v1/links', { funding, wallet });
        if (heard.kind === 'heard' && heard.status === 404) {
          throw new PaymentError('funding_unknown', `The ledger has no account ${funding}.`);
        }
        const link = readAnswer(heard, LINK);
        const isLinked = link?.funding === funding && link.wallet === wallet && link.linked;
        if (!isLinked) throw unavailable('whether it has linked this wallet');
      },
    }),
    async fundingLinked(funding: string, wallet: string) {
      const search = new URLSearchParams({ funding, wallet });
      const heard = await ask('GET', `/v1/funding?${search}`);
      const link = readAnswer(heard, LINK);
      if (!link) throw unavailable('whose funding this is');
      if (link.funding !== funding || link.wallet !== wallet) {
        throw new PaymentError('unavailable', 'The ledger answered about another link.');
      }
      return link.linked;
    },
  });
}

type Heard =
  | Readonly<{ kind: 'heard'; status: number; received: Uint8Array }>
  | Readonly<{ kind: 'unknown' | 'unsent'; why: string }>;

/** The books forget nothing; these are as long as the bridge asks for them. */
const CAPABILITIES: Capabilities = Object.freeze({
  resolvesBy: 'replay',
  keyForMs: BRIDGE_KEEP_MS,
  pollMs: RESOLVE_MS,
  cancel: Object.freeze({ unseen: 'bars', captured: 'refuses', forMs: CANCEL_FOR_MS_MAX }),
  notifies: true,
});

const OUTCOMES = Object.freeze({
  authorise: ['captured', 'held'],
  capture: ['captured'],
  void: ['voided'],
  refund: ['refunded'],
});

const LINK = z.strictObject({ funding: z.string(), wallet: z.string(), linked: z.boolean() });

const ACCOUNT = z.strictObject({ funding: z.string(), currency: z.optional(z.string()) });

/** What an answer says; undefined for any that is not of this form. */
function readAnswer<T extends z.ZodMiniType>(heard: Heard, form: T): z.infer<T> | undefined {
  if (heard.kind !== 'heard' || heard.status !== 200) return undefined;
  const read = z.safeParse(form, fromBody(heard.received));
  return read.success ? read.data : undefined;
}

function unavailable(what: string): PaymentError {
  return new PaymentError('unavailable', `The ledger cannot say ${what}.`);
}

const KEY = z.string().check(z.regex(/^[0-9a-f]{32}$/));

const STATE = z.discriminatedUnion('kind', [
  z.strictObject({
    key: KEY,
    kind: z.literal('done'),
    outcome: z.enum(['captured', 'held', 'voided', 'refunded']),
    reference: z.string().check(z.regex(new RegExp(`^[!-~]{1,${REFERENCE_BYTES_MAX}}$`))),
  }),
  z.strictObject({
    key: KEY,
    kind: z.literal('declined'),
    reason: z.enum(['backend_declined', 'refund_exceeds']),
  }),
  z.strictObject({ key: KEY, kind: z.literal('unseen') }),
]);

function answerOf(heard: Heard, key: string): BackendState {
  if (heard.kind !== 'heard') return Object.freeze(heard);
  const { status, received } = heard;
  if (status === 409) return unknown('conflict: the key was used with other parameters', received);
  if (status !== 200) return unknown(`the ledger answered with status ${status}`, received);
  const read = readState(received);
  if (read === undefined) return unknown('the answer of the ledger cannot be read', received);
  if (read.key !== key) return unknown('the ledger answered about another key', received);
  return read.state;
}

/** What a body says of which key; undefined when it is not exactly that. */
function readState(
  received: Uint8Array,
):
  | Readonly<{ key: string; state: Exclude<BackendState, { kind: 'unknown' | 'unsent' }> }>
  | undefined {
  const read = z.safeParse(STATE, fromBody(received));
  if (!read.success) return undefined;
  const { key, ...state } = read.data;
  return { key, state: Object.freeze({ ...state, received }) };
}

function unknown(
  why: string,
  received: Uint8Array | undefined,
): Extract<BackendAnswer, { kind: 'unknown' }> {
  return Object.freeze({ kind: 'unknown', why, ...(received && { received }) });
}
