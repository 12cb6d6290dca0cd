/**
 * What the operator's commands have in common: they put a question to a bridge, running or not,
 * and tell its answer in lines. The answers are those of broker/operator.ts, as JSON brings them.
 */
import { type Context, UsageError } from '../command.ts';
import { OperatorError } from '../errors.ts';
import { requireText } from '../files.ts';
import { OPERATOR_PAGE_ROWS } from '../limits.ts';
import { formatMoney } from '../money.ts';
import { spanText } from '../wallet.ts';

/** One of broker/operator.ts, which checks it. */
export type Question = Readonly<{ ask: string; [field: string]: unknown }>;

/** A mandate as the bridge tells it; amounts in minor units as text. */
export type MandateView = Readonly<{
  id: string;
  status: 'active' | 'suspended' | 'revoked' | 'expired' | 'finished';
  payer: string;
  cnf: string;
  parent?: string | undefined;
  epoch: number;
  currency: string;
  perPaymentMax: string;
  until: number;
  backends: readonly string[];
  windows: readonly Readonly<{
    period: string;
    max: string;
    used: string;
    count: number;
    usedCount: number;
  }>[];
}>;

/** A key as the bridge tells it. */
export type KeyView = Readonly<{
  name: string;
  status: 'active' | 'suspended' | 'revoked';
  place?: 'former' | 'retired' | undefined;
  role: string;
  device?: string | undefined;
  payee?: string | undefined;
  payer?: string | undefined;
  until: number;
}>;

/** A payment as the bridge tells it; amounts in minor units as text. */
export type PaymentView = Readonly<{
  id: string;
  action: string;
  device: string;
  payee: string;
  currency?: string | undefined;
  minor?: string | undefined;
  admittedMs: number;
  outcome: string;
  reason?: string | undefined;
  attempts: readonly Readonly<{
    number: number;
    backend: string;
    operation: string;
    state: string;
    atMs: number;
    reference?: string | undefined;
  }>[];
  cancelAskedMs?: number | undefined;
}>;

/** Whether a payment would be allowed; `remaining` in minor units as text. */
export type Checked =
  | Readonly<{
      allowed: true;
      presence: number;
      channel: string;
      remaining: readonly Readonly<{ amount: string; count: number }>[];
    }>
  | Readonly<{ allowed: false; reason: string; why: string }>;

export const CONFIG = {
  value: 'FILE',
  says: "the bridge's configuration, YAML",
  needed: true,
} as const;

/** Whoever changes something says who and why: both go into the evidence. */
export const PERSON_OPTIONS = {
  by: { value: 'NAME', says: 'who decided it, for the evidence', needed: true },
  why: { value: 'WORDS', says: 'the reason, for the evidence', needed: true },
} as const;

/** Puts a question to the bridge of a configuration file. Throws as `operate` does. */
export async function askBridge<Answer>(
  { files, program }: Context,
  config: string,
  question: Question,
): Promise<Answer> {
  requireText(files, config);
  return (await (await program('bridge')).operate(config, question)) as Answer;
}

/** Every row of an answer that comes in pages; `after` makes the next question of the last row. */
export async function everyRow<Row>(
  context: Context,
  config: string,
  question: Question,
  after: (last: Row) => unknown,
): Promise<readonly Row[]> {
  const rows: Row[] = [];
  for (let next: Question = question; ;) {
    const page = await askBridge<readonly Row[]>(context, config, next);
    rows.push(...page);
    if (page.length < OPERATOR_PAGE_ROWS) return rows;
    next = { ...question, after: after(page.at(-1)!) };
  }
}

/**
 * The whole name that begins with `given`. Throws UsageError unless there is exactly one; `what` is
 * the noun for that.
 */
export function theOne(names: readonly string[], given: string, what: string): string {
  const found = names.filter((name) => name.startsWith(given));
  if (found.length === 1) return found[0]!;
  throw new UsageError(
    found.length === 0
      ? `there is no ${what} ${given} at this bridge`
      : `${found.length} ${what}s begin with ${given}: write more of it`,
  );
}

/** Asks for a typed yes to what was told; anything else throws OperatorError `failed`. */
export async function requireDecision({ ask }: Context, question: string): Promise<void> {
  const answer = await ask(`${question} Type yes: `);
  if (answer.trim().toLowerCase() !== 'yes') {
    throw new OperatorError('failed', 'nothing was changed');
  }
}

/** Rows in columns; the first row is the heading. */
export function columns(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = rows[0]!.map((_, at) => Math.max(...rows.map((row) => [...row[at]!].length)));
  return rows.map((row) =>
    row
      .map((cell, at) => cell + ' '.repeat(widths[at]! - [...cell].length))
      .join('  ')
      .trimEnd(),
  );
}

/** Minor units as text, for people; what is no amount is a dash. */
export function moneyText(minor: string | undefined, currency: string | undefined): string {
  if (minor === undefined || currency === undefined) return '-';
  return formatMoney({ currency, minor: BigInt(minor) }, 'en');
}

/** "[####------]": how much of a window is used. */
export function bar(used: bigint, max: bigint): string {
  const tenths = max === 0n || used >= max ? 10 : Number((used * 10n) / max);
  // Whoever has used anything sees it, and only a full window looks full.
  const filled = used > 0n && tenths === 0 ? 1 : tenths;
  return `[${'#'.repeat(filled)}${'-'.repeat(10 - filled)}]`;
}

/** "3 minutes": how long ago, in the largest unit that fits once. */
export function ageText(ms: number): string {
  const seconds = Math.max(1, Math.floor(ms / 1000));
  const size = [86_400, 3_600, 60, 1].find((one) => seconds >= one)!;
  return spanText(Math.floor(seconds / size) * size, 'en');
}
