/** `saytap evidence`: everything about one payment, proved again; the erasure of old contents. */
import { utf8 } from '../bytes.ts';
import { UsageError, defineCommand } from '../command.ts';
import { requirePlace } from '../files.ts';
import { OperatorError } from '../errors.ts';
import { RESEND_FOR_MS } from '../limits.ts';
import { parseTime } from '../root.ts';
import { CONFIG, askBridge, requireDecision } from './operator.ts';

const RESEND_DAYS = RESEND_FOR_MS / 86_400_000;

const erase = defineCommand({
  summary: 'deletes the contents of old evidence',
  about:
    'Of payments and mandates that are over, of one payer or of everybody. The chain holds ' +
    'without the contents, and who erased what is recorded in it. Nothing brings them back: a ' +
    `dispute about such a payment cannot be answered any more. At least ${RESEND_DAYS} days stay.`,
  options: {
    config: CONFIG,
    before: { value: 'DATE', says: 'what is older, as 2026-11-20 (UTC)', needed: true },
    by: { value: 'NAME', says: 'who decided it, for the evidence', needed: true },
    payer: { value: 'HEX', says: "only of this payer's pseudonym, 32 digits" },
    yes: { says: 'do it without asking' },
  },
  examples: ['evidence erase --config /tmp/demo/bridge.yaml --before 2025-01-01 --by mei'],
  async run({ options }, context) {
    const { config, before, by, payer } = options;
    const seconds = parseTime(before);
    if (seconds === undefined) throw new UsageError('--before is a date, as 2026-11-20');
    if (payer !== undefined) requireId(payer, '--payer');
    const latestMs = context.clock.nowMs() - RESEND_FOR_MS;
    if (seconds * 1000 > latestMs) {
      const latest = new Date(latestMs).toISOString().slice(0, 10);
      throw new UsageError(
        `payments of the last ${RESEND_DAYS} days may still be sent again and are kept: ` +
          `--before is ${latest} or earlier`,
      );
    }
    context.write(
      `All contents of evidence before ${before} whose payments are over, ` +
        `${payer === undefined ? 'of every payer' : `of payer ${payer}`}, are deleted for good.`,
    );
    if (!options.yes) await requireDecision(context, 'Erase them?');
    const { erased } = await askBridge<Readonly<{ erased: number }>>(context, config, {
      ask: 'erase',
      ...(payer !== undefined && { payer }),
      beforeMs: seconds * 1000,
      by,
    });
    context.write(`${erased} rows have no contents any more; the chain holds without them`);
  },
});

/** What the bridge answers (broker/evidence.ts). */
type DisputeFile = Readonly<{ text: string; appendix: string; failed: readonly string[] }>;

export const command = defineCommand({
  summary: 'everything about one payment, for a dispute',
  about:
    'Who authorised it, what was shown and confirmed, who decided, what the backend said, what ' +
    'moved; every signature is verified again while it is written. With --html a page to keep, ' +
    'mail or print. Exit code 1 when a check does not hold. docs/evidence.md tells how to read it.',
  inputs: [
    {
      value: 'ID',
      says: 'of the request, or of the order: 32 digits',
      needs: 'the id of a payment',
    },
  ],
  options: {
    config: CONFIG,
    html: { value: 'FILE', says: 'a page written there (mode 0600), instead of text' },
    raw: { says: 'after the text, all bytes to prove it without this program' },
  },
  examples: ['evidence 0123456789abcdef0123456789abcdef --config bridge.yaml --html dispute.html'],
  async run({ options, inputs }, context) {
    const { config, html, raw } = options;
    if (raw && html !== undefined) throw new UsageError('--raw is for text: a page has the bytes');
    const id = requireId(inputs[0]!, 'an id');
    if (html !== undefined) requirePlace(context.files, html);
    const { text, appendix, failed } = await askBridge<DisputeFile>(context, config, {
      ask: 'evidence',
      id,
      form: html === undefined ? 'text' : 'html',
    });
    if (html === undefined) {
      context.write((raw ? `${text}\n${appendix}` : text).trimEnd());
    } else {
      context.files.replace(html, utf8(text), 0o600);
      context.write(`the evidence of ${id} is in ${html}`);
    }
    if (failed.length > 0) throw new OperatorError('failed', failedWords(failed));
  },
  commands: { erase },
});

function failedWords([first, ...others]: readonly string[]): string {
  const { length } = others;
  const more = length === 0 ? '' : `, and ${length} more check${length === 1 ? '' : 's'}`;
  return `does not hold: ${first}${more}`;
}

function requireId(text: string, what: string): string {
  if (/^[0-9a-f]{32}$/.test(text)) return text;
  throw new UsageError(`${what} is 32 hexadecimal digits`);
}
