/**
 * What the risk service remembers: every question with its answer, as one row each. SQL stands
 * here.
 *
 * One row is both the history that later scores look at and the proof that an id is never decided
 * twice, so the two cannot disagree.
 */
import { createHash } from 'node:crypto';
import { RISK_KEEP_MS, RISK_SHORT_WINDOW_MS, RISK_WINDOW_MS } from '../../src/limits.ts';
import type { Clock, Database } from '../../src/platform.ts';
import type { RiskQuestion } from './client.ts';

/** What the earlier questions of a payer, in the currency of this one, say about it. */
export type Past = Readonly<{
  /** Questions within the last 10 minutes and the last hour before this one's `atMs`. */
  countShort: number;
  count: number;
  /** Their sum over the last hour, minor units. */
  sum: bigint;
  /** Latest payments that were allowed: count (at most 100), mean and largest amount. */
  known: number;
  mean: bigint;
  largest: bigint;
  /** Whether one of those went to this payee. */
  isPayeeKnown: boolean;
}>;

export type History = Readonly<{
  /**
   * The recorded answers, in order, as one durable commit: an id seen before gives its first
   * answer, a new id the one that `judge` makes of its past, and an id with another content
   * undefined. Throws PaymentError `unavailable` when the disk fails; then nothing was recorded.
   */
  answers: <A extends Readonly<{ decision: string }>>(
    questions: readonly RiskQuestion[],
    judge: (question: RiskQuestion, past: Past) => A,
  ) => readonly (A | undefined)[];
  /** Forgets what is older than RISK_KEEP_MS. */
  prune: () => void;
}>;

/** Opens the history in a database of its own. The caller closes the database. */
export function openHistory(options: Readonly<{ database: Database; clock: Clock }>): History {
  const { database, clock } = options;
  database.exec(SCHEMA);

  function answer<A extends Readonly<{ decision: string }>>(
    question: RiskQuestion,
    judge: (question: RiskQuestion, past: Past) => A,
  ): A | undefined {
    const fingerprint = fingerprintOf(question);
    const known = database.prepare('SELECT * FROM assessed WHERE id = ?').get(question.id);
    if (known !== undefined) {
      if (known['fingerprint'] !== fingerprint) return undefined;
      return JSON.parse(known['answer'] as string) as A;
    }
    const judged = judge(question, pastOf(database, question));
    database
      .prepare(
        `INSERT INTO assessed (id, fingerprint, answer, allowed, payer, payee, currency, minor, at,
           recorded)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      )
      .run(
        question.id,
        fingerprint,
        JSON.stringify(judged),
        judged.decision === 'allow' ? 1n : 0n,
        question.payer,
        question.payee,
        question.amount.currency,
        question.amount.minor,
        BigInt(question.atMs),
        BigInt(clock.nowMs()),
      );
    return judged;
  }

  return Object.freeze({
    answers: (questions, judge) =>
      database.transaction(() => questions.map((question) => answer(question, judge))),
    prune: () =>
      void database
        .prepare('DELETE FROM assessed WHERE recorded < ?')
        .run(BigInt(clock.nowMs() - RISK_KEEP_MS)),
  });
}

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS assessed (
    id TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    answer TEXT NOT NULL,
    allowed INTEGER NOT NULL,
    payer TEXT NOT NULL,
    payee TEXT NOT NULL,
    currency TEXT NOT NULL,
    minor INTEGER NOT NULL,
    at INTEGER NOT NULL,
    recorded INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX IF NOT EXISTS assessed_payer ON assessed (payer, currency, at, minor);
  CREATE INDEX IF NOT EXISTS assessed_payee ON assessed (payer, payee) WHERE allowed = 1;
  CREATE INDEX IF NOT EXISTS assessed_recorded ON assessed (recorded);
`;

function pastOf(database: Database, question: RiskQuestion): Past {
  const { payer, payee, amount, atMs } = question;
  const { currency } = amount;
  const at = BigInt(atMs);
  const recent = database
    .prepare(
      `SELECT count(*) AS count, coalesce(sum(minor), 0) AS sum, coalesce(sum(at > ?), 0) AS short
       FROM (SELECT at, minor FROM assessed
             WHERE payer = ? AND currency = ? AND at > ? AND at <= ?
             ORDER BY at DESC LIMIT ${RECENT_ROWS})`,
    )
    .get(at - BigInt(RISK_SHORT_WINDOW_MS), payer, currency, at - BigInt(RISK_WINDOW_MS), at);
  // The latest payments only: the cost of an answer does not grow with a payer's years.
  const usual = database
    .prepare(
      `SELECT count(*) AS count, coalesce(sum(minor), 0) AS sum, coalesce(max(minor), 0) AS largest
       FROM (SELECT minor FROM assessed
             WHERE payer = ? AND currency = ? AND at <= ? AND allowed = 1
             ORDER BY at DESC LIMIT ${NORM_ROWS})`,
    )
    .get(payer, currency, at);
  const met = database
    .prepare('SELECT 1 FROM assessed WHERE payer = ? AND payee = ? AND allowed = 1 LIMIT 1')
    .get(payer, payee);
  const known = usual?.['count'] as bigint;
  return Object.freeze({
    countShort: Number(recent?.['short']),
    count: Number(recent?.['count']),
    sum: recent?.['sum'] as bigint,
    known: Number(known),
    mean: known === 0n ? 0n : (usual?.['sum'] as bigint) / known,
    largest: usual?.['largest'] as bigint,
    isPayeeKnown: met !== undefined,
  });
}

/** Payments of a payer that make up the norm. */
const NORM_ROWS = 100;
/** Questions of one hour that are counted: 1,000 amounts below 2^53 add up in 64 bits. */
const RECENT_ROWS = 1_000;

function fingerprintOf(question: RiskQuestion): string {
  const { id, payer, device, payee, amount, channel, presence, atMs } = question;
  const { currency, minor } = amount;
  const parts = [id, payer, device, payee, currency, String(minor), channel, presence, atMs];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}
