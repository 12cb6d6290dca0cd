/**
 * A first, honest risk service: additive points that a person can follow, behind the interface that
 * a better model will have.
 *
 * The score is the sum of the points below, cut at 1000; nothing else enters it. Integers only, so
 * that the same history gives the same score on every machine.
 *
 * | Code                    | Points                                                | Value      |
 * | VELOCITY_10M            | 40 for each earlier one beyond 2 in 10 min, ≤ 300     | how many   |
 * | VELOCITY_1H             | 15 for each earlier one beyond 5 in 1 h; 100 more     | how many   |
 * |                         | when the hour's sum exceeds ten usual payments, ≤ 300 |            |
 * | NEW_PAYEE_FOR_PAYER     | 120                                                   | 1          |
 * | AMOUNT_ABOVE_PAYER_NORM | a quarter of the percent beyond 300 % of mean, ≤ 250  | percent    |
 * | AMOUNT_ABOVE_PAYER_MAX  | 80 + a fifth of the percent beyond the largest, ≤ 200 | percent    |
 * | COLD_START              | 60, and then no payee or amount can be unusual        | known ones |
 * | SIMULATED               | in `sim` alone, and then nothing else counts: the     | 1          |
 * |                         | points that a magic payment asks for (broker/magic.ts)|            |
 *
 * From 350 points on the person is asked to step up, from 800 the payment is denied. Presence 4 (a
 * mandate that the wallet signed for this one payment) is the answer to a step-up, so it turns
 * `step_up` into `allow`; it never turns `deny`.
 */
import * as z from 'zod/mini';
import { PaymentError } from '../../src/errors.ts';
import { CBOR_INTEGER_MAX, NAME_BYTES_MAX } from '../../src/limits.ts';
import { CHANNELS, type Channel } from '../../src/objects/request.ts';
import type { Clock, HttpQuestion, HttpReply, Timers } from '../../src/platform.ts';
import { createGroup } from '../group.ts';
import { createVerifier, fromBody, toBody } from '../hmac.ts';
import { type Magic, magicOf } from '../magic.ts';
import type { RiskQuestion } from './client.ts';
import type { History, Past } from './history.ts';

/** The closed list of reasons. */
export type RiskCode =
  | 'VELOCITY_10M'
  | 'VELOCITY_1H'
  | 'NEW_PAYEE_FOR_PAYER'
  | 'AMOUNT_ABOVE_PAYER_NORM'
  | 'AMOUNT_ABOVE_PAYER_MAX'
  | 'COLD_START'
  | 'SIMULATED';

/** `weight` is points of the score, `value` what they were given for. */
export type RiskReason = Readonly<{ code: RiskCode; weight: number; value: number }>;

/** The score from which a payment is stepped up or denied; 1001 is never. */
export type Thresholds = Readonly<{ stepUp: number; deny: number }>;

/** The JSON of an answer. `score` sums every reason, of which the weightiest four are told. */
export type RiskAnswer = Readonly<{
  id: string;
  decision: 'allow' | 'step_up' | 'deny';
  score: number;
  reasons: readonly RiskReason[];
  model: Readonly<{ id: string; version: string }>;
}>;

export const THRESHOLDS: Thresholds = Object.freeze({ stepUp: 350, deny: 800 });

/** Answers one HTTP question; never rejects but for a bug. */
export type RiskService = Readonly<{ answer: (question: HttpQuestion) => Promise<HttpReply> }>;

/** The service over its history. Questions that arrive together share one commit. */
export function createRiskService(
  options: Readonly<{
    history: History;
    secret: Uint8Array;
    clock: Clock;
    timers: Timers;
    thresholds?: Thresholds;
    /** `sim`: magic amounts and payees (broker/magic.ts) get what they ask for. */
    environment?: 'live' | 'sim';
  }>,
): RiskService {
  const { history, clock, timers, thresholds = THRESHOLDS, environment = 'live' } = options;
  const verify = createVerifier({ secret: options.secret, clock });
  const assess = createGroup(
    (questions: readonly RiskQuestion[]) =>
      history.answers(questions, (question, past) =>
        judge(question, past, thresholds, environment),
      ),
    timers,
  );

  return Object.freeze({
    async answer(question: HttpQuestion): Promise<HttpReply> {
      try {
        verify(question);
        if (question.method !== 'POST' || question.path !== '/v1/assess') {
          return reply(404, { error: 'There is no such call.' });
        }
        const answer = await assess(questionOf(question.body));
        return answer === undefined
          ? reply(409, { error: 'The id was used with another content.' })
          : reply(200, answer);
      } catch (error) {
        if (!(error instanceof PaymentError)) throw error;
        return reply(STATUS[error.reason] ?? 503, { error: error.message });
      }
    },
  });
}

/** Judges one question by its past; pure. */
export function judge(
  question: RiskQuestion,
  past: Past,
  thresholds: Thresholds,
  environment: 'live' | 'sim' = 'live',
): RiskAnswer {
  const simulated = environment === 'sim' ? simulatedFor(question, thresholds) : undefined;
  const reasons = (simulated ?? reasonsFor(question, past))
    .filter(({ weight }) => weight > 0)
    .sort((a, b) => b.weight - a.weight || (a.code < b.code ? -1 : 1));
  const sum = reasons.reduce((total, { weight }) => total + weight, 0);
  const score = Math.min(sum, SCORE_MAX);
  return Object.freeze({
    id: question.id,
    decision:
      score >= thresholds.deny
        ? 'deny'
        : score >= thresholds.stepUp && question.presence < PRESENCE_OF_THE_WALLET
          ? 'step_up'
          : 'allow',
    score,
    reasons: Object.freeze(reasons.slice(0, REASONS_MAX)),
    model: MODEL,
  });
}

const MODEL = Object.freeze({ id: 'points', version: '1' });
const SCORE_MAX = 1_000;
const REASONS_MAX = 4;
const PRESENCE_OF_THE_WALLET = 4;
/** Payments to know a payer by; with fewer there is no norm. */
const KNOWN_MIN = 3;

/** Just enough points for what a magic payment asks for; a review is the last that passes. */
function simulatedFor(
  question: RiskQuestion,
  { stepUp, deny }: Thresholds,
): RiskReason[] | undefined {
  const points: Partial<Record<Magic, number>> = {
    'risk review': stepUp - 1,
    'step-up': stepUp,
    'risk denied': deny,
  };
  const magic = magicOf(question);
  const weight = magic && points[magic];
  return weight === undefined ? undefined : [{ code: 'SIMULATED', weight, value: 1 }];
}

function reasonsFor({ amount }: RiskQuestion, past: Past): RiskReason[] {
  const { minor } = amount;
  const cold = past.known < KNOWN_MIN;
  const isHourLarge = !cold && past.sum + minor > 10n * past.mean;
  const short = 40 * Math.max(0, past.countShort - 2);
  const hour = 15 * Math.max(0, past.count - 5) + (isHourLarge ? 100 : 0);
  const reasons: RiskReason[] = [
    { code: 'VELOCITY_10M', weight: Math.min(300, short), value: past.countShort },
    { code: 'VELOCITY_1H', weight: Math.min(300, hour), value: past.count },
  ];
  if (cold) return [...reasons, { code: 'COLD_START', weight: 60, value: past.known }];
  const ofMean = percent(minor, past.mean);
  const ofLargest = percent(minor, past.largest);
  const norm = Math.max(0, Math.floor((ofMean - 300) / 4));
  const largest = ofLargest > 100 ? 80 + Math.floor((ofLargest - 100) / 5) : 0;
  return [
    ...reasons,
    { code: 'NEW_PAYEE_FOR_PAYER', weight: past.isPayeeKnown ? 0 : 120, value: 1 },
    { code: 'AMOUNT_ABOVE_PAYER_NORM', weight: Math.min(250, norm), value: ofMean },
    { code: 'AMOUNT_ABOVE_PAYER_MAX', weight: Math.min(200, largest), value: ofLargest },
  ];
}

/** Whole percent, cut where it no longer tells anything. */
function percent(part: bigint, whole: bigint): number {
  const ofWhole = (part * 100n) / (whole > 0n ? whole : 1n);
  return Number(ofWhole < PERCENT_MAX ? ofWhole : PERCENT_MAX);
}

const PERCENT_MAX = 100_000n;

const NAME = z.string().check(z.minLength(1), z.maxLength(NAME_BYTES_MAX));

const QUESTION = z.strictObject({
  id: z.string().check(z.regex(/^[0-9a-f]{32}$/)),
  payer: NAME,
  device: NAME,
  payee: NAME,
  currency: z.string().check(z.regex(/^[A-Z]{3}$/)),
  minor: z.string().check(z.regex(/^(0|[1-9][0-9]{0,15})$/)),
  channel: z.enum(Object.keys(CHANNELS) as [Channel, ...Channel[]]),
  presence: z.int().check(z.minimum(0), z.maximum(4)),
  at: z.int().check(z.minimum(0)),
});

function questionOf(body: Uint8Array): RiskQuestion {
  const read = z.safeParse(QUESTION, fromBody(body));
  if (!read.success) {
    const where = read.error.issues.map(({ path }) => path.join('.')).filter(Boolean);
    const what = where.join(', ') || 'the whole body';
    throw new PaymentError('malformed', `Not understood: ${what}.`);
  }
  const { currency, minor, at, ...rest } = read.data;
  const amount = Object.freeze({ currency, minor: BigInt(minor) });
  if (amount.minor > BigInt(CBOR_INTEGER_MAX)) {
    throw new PaymentError('malformed', 'The amount is too large.');
  }
  return Object.freeze({ ...rest, amount, atMs: at });
}

const STATUS: Readonly<Record<string, number>> = {
  malformed: 400,
  bad_signature: 401,
  expired: 401,
  stale_nonce: 401,
};

function reply(status: number, body: unknown): HttpReply {
  return Object.freeze({ status, body: toBody(body) });
}
