/**
 * Asks the risk service. What cannot be read is `unavailable`, never an approval: the caller
 * decides what to do without a decision, and it is the only one who decides.
 */
import * as z from 'zod/mini';
import { RISK_ATTEMPTS, RISK_CALLS_MAX, RISK_TIMEOUT_MS, RISK_WAIT_MS } from '../../src/limits.ts';
import type { Money } from '../../src/money.ts';
import type { Channel } from '../../src/objects/request.ts';
import type { Clock, Http, Random } from '../../src/platform.ts';
import { fromBody, signCall } from '../hmac.ts';
import type { Decision } from '../store/port.ts';

/** One payment to be judged. `id` is the request id (32 hex), the rest are facts of it. */
export type RiskQuestion = Readonly<{
  id: string;
  payer: string;
  device: string;
  payee: string;
  amount: Money;
  channel: Channel;
  presence: number;
  /** The bridge's time when it admitted the request. */
  atMs: number;
}>;

/** `reasons` are codes, the weightiest first; `model` is `id/version`. */
export type Assessment =
  | Readonly<{
      kind: 'decided';
      decision: 'allow' | 'step_up' | 'deny';
      score: number;
      reasons: readonly string[];
      model: string;
    }>
  | Readonly<{ kind: 'unavailable'; why: string }>;

/** Never rejects. */
export type RiskClient = Readonly<{ assess: (question: RiskQuestion) => Promise<Assessment> }>;

/**
 * A client of the service at `url` (no slash at the end). A lost answer is asked for again, at most
 * RISK_ATTEMPTS times in all; the service answers the same id the same way. Of many payments at
 * once RISK_CALLS_MAX are asked about and the others wait, first come first served: the time of a
 * call is for the service to answer in, not for waiting in front of it.
 */
export function createRiskClient(
  options: Readonly<{
    http: Http;
    url: string;
    secret: Uint8Array;
    clock: Clock;
    random: Random;
    timeoutMs?: number;
  }>,
): RiskClient {
  const { http, url, clock, timeoutMs = RISK_TIMEOUT_MS } = options;
  let asking = 0;
  /** Whoever waits; its turn hands over the place of one that is done. */
  const waiting: (() => void)[] = [];

  async function inTurn(ask: () => Promise<Assessment>): Promise<Assessment> {
    const sinceMs = clock.monotonicMs();
    if (asking < RISK_CALLS_MAX) asking++;
    else await new Promise<void>((turn) => waiting.push(turn));
    try {
      const isLate = clock.monotonicMs() - sinceMs > RISK_WAIT_MS;
      return isLate ? unavailable('too many payments before this one') : await ask();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else asking--;
    }
  }

  async function attempt(question: RiskQuestion): Promise<Assessment> {
    const { amount, atMs, ...rest } = question;
    const money = { currency: amount.currency, minor: String(amount.minor) };
    const body = { ...rest, ...money, at: atMs };
    const call = signCall(options, { method: 'POST', url: `${url}/v1/assess`, body, timeoutMs });
    try {
      const answer = await http(call);
      if (answer.status !== 200) return unavailable(`status ${answer.status}`);
      const read = z.safeParse(ANSWER, fromBody(answer.body));
      if (!read.success) return unavailable('an answer that cannot be read');
      const { id, decision, score, reasons, model } = read.data;
      if (id !== question.id) return unavailable('an answer about another request');
      return Object.freeze({
        kind: 'decided',
        decision,
        score,
        reasons: Object.freeze(reasons.map(({ code }) => code)),
        model: `${model.id}/${model.version}`,
      });
    } catch (error) {
      return unavailable(error instanceof Error ? error.message : String(error));
    }
  }

  return Object.freeze({
    assess: (question: RiskQuestion) =>
      inTurn(async () => {
        let last = unavailable('not asked');
        for (let attempts = 0; attempts < RISK_ATTEMPTS; attempts++) {
          last = await attempt(question);
          if (last.kind === 'decided') return last;
        }
        return last;
      }),
  });
}

/** No longer than a receipt can tell. */
const CODE = z.string().check(z.regex(/^[A-Z0-9_]{1,32}$/));
const VERSION = z.string().check(z.regex(/^[\w.:-]{1,64}$/));

const ANSWER = z.strictObject({
  id: z.string(),
  decision: z.enum(['allow', 'step_up', 'deny']),
  score: z.int().check(z.minimum(0), z.maximum(1000)),
  reasons: z
    .array(z.strictObject({ code: CODE, weight: z.number(), value: z.number() }))
    .check(z.maxLength(4)),
  model: z.strictObject({ id: VERSION, version: VERSION }),
});

function unavailable(why: string): Assessment {
  return Object.freeze({ kind: 'unavailable', why });
}

/** What the bridge makes of an assessment: without one nothing is paid. */
export function decisionOf(assessment: Assessment): Decision {
  if (assessment.kind === 'unavailable') {
    return { kind: 'refuse', reason: 'unavailable', score: 0, reasons: [] };
  }
  const { decision, score, reasons } = assessment;
  if (decision === 'allow') return { kind: 'allow', score, reasons };
  const reason = decision === 'step_up' ? 'risk_step_up' : 'risk_denied';
  return { kind: 'refuse', reason, score, reasons };
}
