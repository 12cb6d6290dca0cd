/**
 * "Would this payment be refused, and by which limit?" The very verdict that a request would get,
 * on the facts of this moment, with nothing reserved.
 */
import * as z from 'zod/mini';
import type { KeyStatement } from '../src/objects/key.ts';
import { type Channel, type Request, CHANNELS } from '../src/objects/request.ts';
import type { Clock } from '../src/platform.ts';
import type { Facts, Identity, Store } from './store/port.ts';
import { type Rules, judge } from './verdict.ts';

const NAME = z.string().check(z.regex(/^[\w-]{1,64}$/));
const ID = z.string().check(z.regex(/^[0-9a-f]{32}$/));

/** The payment asked about; `minor` is minor units as text. */
export const QUESTION = z.strictObject({
  mandate: ID,
  action: z._default(z.enum(['pay', 'hold', 'access']), 'pay'),
  payee: NAME,
  terminal: z.optional(NAME),
  order: z.optional(ID),
  currency: z.string().check(z.regex(/^[A-Z]{3}$/)),
  minor: z.string().check(z.regex(/^(0|[1-9][0-9]{0,15})$/)),
  presence: z.int().check(z.minimum(0), z.maximum(3)),
  channel: z.enum(Object.keys(CHANNELS) as [Channel, ...Channel[]]),
});

/** `remaining` is what the leaf's windows have left afterwards, minor units as text. */
export type Checked =
  | Readonly<{
      allowed: true;
      presence: number;
      channel: string;
      remaining: readonly Readonly<{ amount: string; count: number }>[];
    }>
  | Readonly<{ allowed: false; reason: string; why: string }>;

/** Judges as if the mandate's own key had asked just now, with a fresh counter and nonce. */
export async function check(
  parts: Readonly<{ store: Store; rules: Rules; clock: Clock }>,
  asked: z.infer<typeof QUESTION>,
): Promise<Checked> {
  const { store } = parts;
  const nowMs = parts.clock.nowMs();
  const chain = await store.chain(asked.mandate, nowMs);
  const name = chain[0]?.mandate.cnf;
  const identity = name === undefined ? undefined : await store.identity(name);
  if (!identity) {
    const why = chain[0] ? 'the key that it names is not enrolled' : 'there is no such mandate';
    return { allowed: false, reason: 'mandate_unknown', why };
  }
  const facts: Facts = {
    identity,
    highestCounter: 0,
    openRuns: 0,
    isCounterReused: false,
    chain,
    order: asked.order === undefined ? undefined : await store.order(asked.order),
    terminals: await store.terminals(asked.payee),
    original: undefined,
    lease: undefined,
    nowMs,
  };
  const rules = { ...parts.rules, isFresh: () => true };
  const verdict = judge(requestOf(asked, identity, nowMs), facts, rules);
  if (verdict.kind === 'refuse') {
    return { allowed: false, reason: verdict.reason, why: verdict.why };
  }
  const { presence, channel } = verdict;
  const remaining = verdict.remaining.map(({ amount, count }) => ({
    amount: String(amount),
    count,
  }));
  return { allowed: true, presence, channel, remaining };
}

function requestOf(
  asked: z.infer<typeof QUESTION>,
  { statement }: Readonly<{ statement: KeyStatement }> & Identity,
  nowMs: number,
): Request {
  const { mandate, action, payee, terminal, order, currency, minor } = asked;
  return {
    exp: Math.floor(nowMs / 1000) + 60,
    action,
    mandate,
    counter: 1,
    ...(action !== 'access' && { amount: { currency, minor: BigInt(minor) } }),
    payee,
    ...(terminal !== undefined && { terminal }),
    ...(order !== undefined && { order }),
    presence: asked.presence as Request['presence'],
    channel: statement.role === 'agent' ? 'autonomous' : asked.channel,
    nonce: new Uint8Array(8),
  };
}
