/** `saytap evidence`: everything about one payment, proved again; the erasure of old contents. */
import { utf8 } from '../bytes.ts';
import { UsageError, defineCommand } from '../command.ts';
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
  },
  examples: ['evidence erase --config /tmp/demo/bridge.yaml --before 2025-01-01 --by mei'],
  async run({ options }, context) {
    const { config, before, by, payer } = options;
    const seconds = parseTime(before);
    if (seconds === undefined) throw new UsageError('--before is a date, as 2026-11-20');
    if (payer !== undefined) requireId(payer, '--payer');
    context.write(
      `All contents of evidence before ${before} whose payments are over, ` +
        `${payer === undefined ? 'of every payer' : `of payer ${payer}`}, are deleted for good.`,
    );
    await requireDecision(context, 'Erase them?');
    const { erased } = await askBridge<Readonly<{ erased: number }>>(context, config, {
      ask: 'erase',
      ...(payer !== undefined && { payer }),
      beforeMs: seconds * 1000,
      by,
    });
    context.write(`${erased} rows have no contents any more; the chain holds without them`);
  },
});

export const command = defineCommand({
  summary: 'everything about one payment, for a dispute',
  about:
    'Who authorised it, what was shown and confirmed, who decided, what the backend said, what ' +
    'moved; every signature is verified again while it is written. With --html a page to keep, ' +
    'mail or print. docs/evidence.md tells how to read it.',
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
  },
  examples: ['evidence 0123456789abcdef0123456789abcdef --config bridge.yaml --html dispute.html'],
  async run({ options, inputs }, context) {
    const { config, html } = options;
    const id = requireId(inputs[0]!, 'an id');
    const { text } = await askBridge<Readonly<{ text: string }>>(context, config, {
      ask: 'evidence',
      id,
      form: html === undefined ? 'text' : 'html',
    });
    if (html === undefined) return context.write(text.trimEnd());
    context.files.replace(html, utf8(text), 0o600);
    context.write(`the evidence of ${id} is in ${html}`);
  },
  commands: { erase },
});

function requireId(text: string, what: string): string {
  if (/^[0-9a-f]{32}$/.test(text)) return text;
  throw new UsageError(`${what} is 32 hexadecimal digits`);
}
