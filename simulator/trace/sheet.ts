/** A trace for people: from what was said to the last word, line by line. */
import { fromHex } from '../../src/bytes.ts';
import { identify, payloadOf } from '../../src/cose.ts';
import { PaymentError } from '../../src/errors.ts';
import { formatMoney } from '../../src/money.ts';
import { request as requestKind } from '../../src/objects/request.ts';
import { parseTopic } from '../../src/topics.ts';
import type { Hop, Moment, Trace, Verdict } from '../trace.ts';
import type { Compared } from './replay.ts';

/** How a line is painted: what it is about. */
export type Tone = 'head' | 'person' | 'device' | 'wire' | 'good' | 'bad' | 'plain';
export type Line = Readonly<{ tone: Tone; text: string }>;

/** The whole trace in the order in which it happened. */
export function sheetOf(trace: Trace): readonly Line[] {
  const { id, device, realm, isRedacted } = trace;
  const startMs = firstOf(trace);
  const time = (atMs: number) => `${((atMs - startMs) / 1000).toFixed(3).padStart(9)} s  `;
  const happened = [
    ...trace.moments.map((one) => ({ atMs: one.atMs, line: momentLine(one) })),
    ...trace.hops.map((one) => ({ atMs: one.atMs, line: hopLine(one) })),
    ...trace.verdicts
      .filter(({ subject }) => subject === id)
      .map((one) => ({ atMs: one.atMs, line: verdictLine(one) })),
  ].toSorted((a, b) => a.atMs - b.atMs);
  const day = new Date(trace.startMs + startMs).toISOString().replace('T', ' ').slice(0, 19);
  const lines: readonly Line[] = [
    { tone: 'head', text: id === undefined ? `nothing was signed at ${device}` : `payment ${id}` },
    {
      tone: 'plain',
      text: `${device}, ledger ${realm.ledger} (${realm.environment}), from ${day} UTC`,
    },
    {
      tone: 'plain',
      text: isRedacted
        ? 'redacted: names replaced, amounts multiplied, everything signed anew'
        : 'NOT redacted: names and amounts are real',
    },
    ...requestLines(trace),
    { tone: 'head', text: 'what happened' },
    ...happened.map(({ atMs, line }) => ({ ...line, text: time(atMs) + line.text })),
    {
      tone: 'plain',
      text:
        `${trace.inputs.length} messages bear on it, ${trace.verdicts.length} verdicts` +
        (trace.obstacle === undefined ? '' : `; ${trace.obstacle}`),
    },
  ];
  return lines.map(({ tone, text }) => ({ tone, text: legible(text) }));
}

/** What stands in somebody's file may be an order to a terminal, or turn a line around. */
export function legible(text: string): string {
  return text.replaceAll(/[\p{C}\p{Zl}\p{Zp}]/gu, '�');
}

/** What a replay found, verdict by verdict. */
export function replayLines({ id }: Trace, verdicts: readonly Compared[]): readonly Line[] {
  return verdicts.map(({ then, now, isSame }) => {
    const own = then.subject === id ? ' (this payment)' : '';
    const was = legible(`${then.subject.slice(0, 8)} ${standing(then)}${own}`);
    if (isSame) return { tone: 'good', text: `✓ ${was}` };
    return { tone: 'bad', text: `✗ ${was}; now ${now ? standing(now) : 'no verdict'}` };
  });
}

/** The factors: what the request itself says, as it was signed. */
function requestLines({ inputs, realm, id }: Trace): readonly Line[] {
  for (const input of inputs) {
    if (input.what !== 'message' || !input.topic.endsWith('/up/request')) continue;
    const envelope = fromHex(input.bytes);
    try {
      if (identify(envelope, realm, requestKind.name).id !== id) continue;
      const request = requestKind.decode(payloadOf(envelope));
      const { action, amount, payee, presence, channel, counter, mandate, order } = request;
      const about = order === undefined ? '' : `, order ${order.slice(0, 8)}`;
      return [
        { tone: 'head', text: 'what was signed' },
        {
          tone: 'plain',
          text: `${action} ${amount ? formatMoney(amount, 'en') : ''} to ${payee}${about}`,
        },
        {
          tone: 'plain',
          text:
            `P${presence} by ${channel}, counter ${counter}, mandate ${mandate.slice(0, 8)}, ` +
            `${envelope.length} bytes`,
        },
        ...chunks(input.bytes).map((text) => ({ tone: 'wire', text }) as const),
      ];
    } catch (error) {
      if (!(error instanceof PaymentError)) throw error;
    }
  }
  return [];
}

function momentLine(one: Moment): Line {
  switch (one.what) {
    case 'sensed':
      return {
        tone: 'person',
        text: `person: ${one.text === '' ? one.kind : `“${short(one.text)}”`}`,
      };
    case 'shown':
      return {
        tone: 'device',
        text: `shown (needs P${one.needs}): ${[...one.lines, one.sentence].join(' · ')}`,
      };
    case 'confirmed':
      return { tone: 'person', text: 'person: confirms' };
    case 'said':
      return {
        tone: 'device',
        text: `${one.to === 'staff' ? 'to staff' : 'said'}: ${one.sentence}`,
      };
    case 'told': {
      const why = one.reason === undefined ? '' : ` (${one.reason})`;
      return { tone: toneOf(one.kind), text: `device: ${one.kind}${why}` };
    }
  }
}

function hopLine({ from, to, topic, bytes, fate }: Hop): Line {
  const tail = parseTopic(topic)?.tail ?? topic;
  const how = fate === 'delivered' ? '' : `, ${fate}`;
  return { tone: 'wire', text: `${from} → ${to}: ${tail}, ${bytes} bytes${how}` };
}

function verdictLine(verdict: Verdict): Line {
  return { tone: toneOf(verdict.outcome), text: `bridge: ${standing(verdict)}` };
}

function standing({ outcome, reason }: Verdict): string {
  return reason === undefined ? outcome : `${outcome} (${reason})`;
}

function toneOf(outcome: string): Tone {
  if (['paid', 'captured', 'granted', 'refunded', 'done'].includes(outcome)) return 'good';
  return ['refused', 'expired', 'not_sent'].includes(outcome) ? 'bad' : 'plain';
}

function firstOf({ moments, hops }: Trace): number {
  const all = [...moments, ...hops].map(({ atMs }) => atMs);
  return all.length === 0 ? 0 : all.reduce((least, one) => Math.min(least, one));
}

/** A link holds a whole order, which nobody reads. */
function short(text: string): string {
  return text.length > TEXT_CHARS ? `${text.slice(0, TEXT_CHARS)}…` : text;
}

const TEXT_CHARS = 80;

function chunks(hex: string): readonly string[] {
  return hex.match(/.{1,80}/g) ?? [];
}
