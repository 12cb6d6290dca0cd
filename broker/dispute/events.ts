/**
 * One row of evidence as something that happened: a time, a title and what there is to know.
 *
 * Rows are read for people here and for nothing else, so a row that cannot be read is told as such.
 * Foreign text (names, lines of orders, answers of backends) stands in facts as it came; whoever
 * draws them makes visible what cannot be seen and lets nothing become markup.
 */
import { toHex, utf8 } from '../../src/bytes.ts';
import { REASONS, type Reason, reasonName } from '../../src/errors.ts';
import type { Money } from '../../src/money.ts';
import type { Mandate } from '../../src/objects/mandate.ts';
import type { Order } from '../../src/objects/order.ts';
import type { Query } from '../../src/objects/query.ts';
import type { Receipt } from '../../src/objects/receipt.ts';
import type { Request } from '../../src/objects/request.ts';
import { presenceWords, reasonWords, spokenMoney, utc } from '../../src/sentences.ts';
import type { Signatory } from '../proof.ts';
import { type Reading, type Told, isRecord, record } from './readings.ts';
import type { EvidenceKind, EvidenceRow } from '../store/port.ts';
import type { RiskCode } from '../risk/service.ts';
import { periodOf } from '../verdict.ts';

/** Something to know; `isRaw` is for what came over a wire. */
export type Fact = Readonly<{ name: string; lines: readonly string[]; isRaw?: true }>;

/** What an event is at a glance. */
export type Icon =
  'mandate' | 'order' | 'request' | 'verdict' | 'risk' | 'bank' | 'receipt' | 'person';
export type Tone = 'good' | 'bad' | 'waiting' | 'plain';

export type Happening = Readonly<{
  atMs: number;
  /** Of the row in the chain. */
  number: number;
  icon: Icon;
  tone: Tone;
  title: string;
  facts: readonly Fact[];
}>;

/** What an event needs to know of the payment that it belongs to. */
export type About = Readonly<{
  request: Request | undefined;
  mandates: ReadonlyMap<string, Mandate>;
  /** The one that counts: of the original for what acts upon one. */
  mandate: string | undefined;
  /** Backends by the number of their attempt, as far as they were recorded. */
  backends: ReadonlyMap<number, string>;
}>;

/** The event of a row. */
export function happeningOf({ row, reading }: Told, about: About): Happening {
  const { atMs, number } = row;
  const told = tell(row, reading, about);
  const facts =
    reading.kind === 'signed'
      ? [...signatureFacts(reading), ...(told.facts ?? [])]
      : (told.facts ?? []);
  return { atMs, number, icon: told.icon, tone: told.tone ?? 'plain', title: told.title, facts };
}

type Telling = Readonly<{ icon: Icon; title: string; tone?: Tone; facts?: readonly Fact[] }>;

function tell(row: EvidenceRow, reading: Reading, about: About): Telling {
  const icon = ICONS[row.kind] ?? 'person';
  if (reading.kind === 'erased') {
    return { icon, title: `Erased: ${NAMES[row.kind] ?? row.kind}; only its digest is left` };
  }
  if (reading.kind === 'unreadable' || (reading.kind === 'signed' && !reading.value)) {
    return { icon, tone: 'bad', title: `A row of kind ${row.kind} that cannot be read` };
  }
  if (reading.kind === 'signed') return tellSigned(row, reading, about);
  const { value } = reading;
  switch (row.kind) {
    case 'verdict':
      return tellVerdict(value, about);
    case 'decision':
      return tellDecision(value, about);
    case 'attempt': {
      const title = `The bridge calls ${text(value['backend'])} to ${text(value['operation'])}`;
      return { icon, title, facts: attemptFacts(value) };
    }
    case 'answer':
      return tellAnswer(value, about);
    case 'lease': {
      const title =
        value['released'] === undefined
          ? 'The bridge leases a part of the mandate, to be spent offline'
          : 'The bridge takes back what is left of a lease';
      return { icon, title, facts: all(value) };
    }
    case 'status':
      return { icon, title: `Status: ${text(value['status'] ?? 'changed')}`, facts: all(value) };
    case 'note':
      return {
        icon,
        title: noteTitle(value),
        facts: all(value),
      };
    default:
      return { icon, title: row.kind, facts: all(value) };
  }
}

function tellSigned(
  row: EvidenceRow,
  { value, signatory, fault }: Extract<Reading, { kind: 'signed' }>,
  { request, mandate }: About,
): Telling {
  const icon = ICONS[row.kind] ?? 'person';
  const tone: Tone = fault === undefined ? 'plain' : 'bad';
  const { role = 'somebody', device } = signatory?.statement ?? {};
  const who = device === undefined ? role : `${role} ${device}`;
  switch (row.kind) {
    case 'mandate': {
      const { parent } = value as Mandate;
      const title = parent ? `Authority is passed on by ${who}` : `The payer's ${who} authorises`;
      return { icon, tone, title, facts: [] };
    }
    case 'order':
      return {
        icon,
        tone,
        title: `${capital(who)} registers an order of ${spokenMoney((value as Order).amount)}`,
        facts: orderFacts(value as Order),
      };
    case 'request': {
      const asked = value as Request;
      const amount = asked.amount ? ` ${spokenMoney(asked.amount)}` : '';
      const title = `${capital(who)} asks: ${asked.action}${amount}`;
      return { icon, tone, title, facts: requestFacts(asked, mandate) };
    }
    case 'cancel':
      return {
        icon,
        tone: fault === undefined ? 'waiting' : 'bad',
        title: `${capital(who)} asks to cancel`,
        facts: [fact('Question', (value as Query).question)],
      };
    default: {
      const receipt = value as Receipt;
      const { outcome, reason } = receipt;
      const because = reason === undefined ? '' : `, ${reasonName(reason) ?? reason}`;
      const isBad = outcome === 'refused' || outcome === 'expired';
      return {
        icon,
        tone: fault !== undefined || isBad ? 'bad' : 'good',
        title: `The bridge signs the receipt: ${outcome}${because}`,
        facts: receiptFacts(receipt, request),
      };
    }
  }
}

function tellVerdict(value: Readonly<Record<string, unknown>>, about: About): Telling {
  if (value['kind'] !== 'accept') {
    const reason = value['reason'];
    return {
      icon: 'verdict',
      tone: 'bad',
      title: `The bridge refuses: ${text(reason)}`,
      facts: [fact('Reason', reasonOf(reason)), fact('Why', inMoney(text(value['why']), about))],
    };
  }
  const debits = list(value['reservations']).map((item) => debitLine(item, about));
  const left = list(value['remaining']).map((item, at) => {
    const amount = money(item['amount'], about.request?.amount?.currency);
    return `window ${at + 1}: ${amount} and ${text(item['count'])} payments`;
  });
  return {
    icon: 'verdict',
    tone: 'good',
    title:
      about.request?.original === undefined
        ? 'The bridge accepts: every limit of every mandate holds'
        : 'The bridge accepts: the earlier payment allows it',
    facts: [
      fact('Presence that counts', presenceWords(Number(value['presence']))),
      fact('Channel that counts', text(value['channel'])),
      { name: 'Windows debited', lines: debits.length > 0 ? debits : ['none'] },
      ...(left.length > 0 ? [{ name: 'Left afterwards', lines: left }] : []),
      ...(value['lease'] === undefined
        ? []
        : [fact('Drawn from the lease with nonce', text(value['lease']))]),
      fact('Funding', text(value['funding'])),
      fact('Payer', text(value['payer'])),
      fact('Backends to try', list0(value['backends']).map(text).join(', then ')),
    ],
  };
}

function debitLine(item: Readonly<Record<string, unknown>>, { mandates }: About): string {
  const id = text(item['mandate']);
  const mandate = mandates.get(id);
  const place = Number(item['window']);
  const window = mandate?.windows[place - 1];
  const amount = money(item['amount'], mandate?.currency);
  const head = `${amount} of window ${place} of mandate ${short(id)}`;
  if (!mandate || !window) return head;
  const most = spokenMoney({ currency: mandate.currency, minor: window.max });
  return `${head} (${periodOf(window)}: at most ${most} and ${window.count} payments)`;
}

function tellDecision(value: Readonly<Record<string, unknown>>, { request }: About): Telling {
  const reasons = list0(value['reasons']).map(text);
  const facts = [
    fact('Score', text(value['score'])),
    { name: 'Reasons', lines: reasons.length > 0 ? reasons.map(riskWords) : ['none'] },
  ];
  if (value['kind'] !== 'allow') {
    const reason = value['reason'];
    return {
      icon: 'risk',
      tone: 'bad',
      title: `The risk check ends it: ${text(reason)}`,
      facts: [fact('Reason', reasonOf(reason)), ...facts],
    };
  }
  const opening = value['attempt'];
  const attempt = isRecord(opening) ? opening : undefined;
  const then = attempt
    ? `; the bridge calls ${text(attempt['backend'])} to ${text(attempt['operation'])}`
    : '';
  const allowed = `The risk check lets it go on, score ${text(value['score'])}`;
  return {
    icon: 'risk',
    tone: 'good',
    title:
      request?.original === undefined
        ? `${allowed}${then}`
        : `Risk is not asked, as money goes back or is held already${then}`,
    facts: [...facts, ...(attempt ? attemptFacts({ number: 1, ...attempt }) : [])],
  };
}

const SOURCES: Readonly<Record<string, string>> = Object.freeze({
  answer: 'its answer to the call',
  query: 'its answer when asked again',
  notification: 'told by the backend itself',
  cancel: 'its answer to the cancel',
  patience: 'no definite word for too long, or the person asked to cancel',
  person: 'the word of a person',
});

const STATES: Readonly<Record<string, readonly [words: string, tone: Tone]>> = Object.freeze({
  done: ['done', 'good'],
  declined: ['declined', 'bad'],
  unsent: ['never reached, nothing was sent', 'bad'],
  unknown: ['no definite word', 'waiting'],
  cancelling: ['given up, cancelling', 'waiting'],
  cancelled: ['undone, nothing moved', 'bad'],
  person: ['waits for a person', 'waiting'],
});

function tellAnswer(value: Readonly<Record<string, unknown>>, { backends }: About): Telling {
  const state = text(value['state']);
  const [words, tone] = STATES[state] ?? [state, 'plain'];
  const said = value['outcome'] === undefined ? words : text(value['outcome']);
  const backend = backends.get(Number(value['number'])) ?? 'the backend';
  const source = text(value['source']);
  const raw = value['received'];
  const person = source === 'person' && typeof raw === 'string' ? record(bytesOf(raw)) : undefined;
  const facts = [
    fact('Attempt', `${text(value['number'])} at ${backend}`),
    fact('Heard as', SOURCES[source] ?? source),
    fact('State', state),
    ...optional('Reference', value['reference']),
    ...(value['reason'] === undefined ? [] : [fact('Reason', reasonOf(value['reason']))]),
    ...optional('Who', person?.['by']),
    ...optional('Why', person?.['why']),
    typeof raw === 'string' ? rawFact(bytesOf(raw)) : fact('Received', 'no bytes'),
  ];
  const who = person ? `${text(person['by'])} says of ${backend}` : capital(backend);
  return { icon: person ? 'person' : 'bank', tone, title: `${who}: ${said}`, facts };
}

function noteTitle(value: Readonly<Record<string, unknown>>): string {
  const { by = 'Somebody', ask = 'a note' } = value;
  return `${text(by)} at the bridge: ${text(ask)}`;
}

/** The lines of an order. */
export function orderFacts({ amount, lines, payee, terminal, exp }: Order): readonly Fact[] {
  const each = lines.map(
    ({ text: line, quantity, total }) =>
      `${quantity} × “${line}”  ${spokenMoney({ currency: amount.currency, minor: total })}`,
  );
  return [
    { name: 'Order lines', lines: each },
    fact('Order total', spokenMoney(amount)),
    fact('Payable to', `${payee} at terminal ${terminal}, until ${utc(exp)}`),
  ];
}

function requestFacts(request: Request, mandate: string | undefined): readonly Fact[] {
  // What acts upon an earlier payment repeats that one's id there, and it is not looked at.
  const under = request.original === undefined ? request.mandate : mandate;
  return [
    fact('Payee', request.payee),
    ...optional('Terminal', request.terminal),
    ...optional('Order', request.order),
    ...optional('Acts on', request.original),
    fact('Under mandate', under ?? 'that of the earlier payment, which is not known here'),
    fact('Counter', String(request.counter)),
    fact('Valid until', utc(request.exp)),
  ];
}

function receiptFacts(receipt: Receipt, request: Request | undefined): readonly Fact[] {
  const { amount, reason, remaining, riskReasons, running, order, reference, iat } = receipt;
  const currency = amount?.currency ?? request?.amount?.currency;
  return [
    fact('Signed at', utc(iat)),
    ...(amount ? [fact('Amount', spokenMoney(amount))] : []),
    ...(reason === undefined ? [] : [fact('Reason', reasonWords(reason))]),
    ...optional('Order', order),
    ...optional('Backend reference', reference),
    ...(remaining
      ? [
          {
            name: 'Windows left',
            lines: remaining.map(
              (left, at) =>
                `window ${at + 1}: ${money(String(left.amount), currency)} ` +
                `and ${left.count} payments`,
            ),
          },
        ]
      : []),
    ...(riskReasons ? [{ name: 'Risk saw', lines: riskReasons.map(riskWords) }] : []),
    ...(running ? [{ name: 'Still running', lines: running }] : []),
  ];
}

function signatureFacts({
  id,
  signatory,
  fault,
}: Extract<Reading, { kind: 'signed' }>): readonly Fact[] {
  return [
    fact('Signature', fault === undefined ? 'holds' : `DOES NOT HOLD: ${fault}`),
    ...(signatory ? [fact('Signed by', signatoryWords(signatory))] : []),
    ...optional('Id', id),
  ];
}

/** "device key 1a2b of glasses, as the root states", with half of its thumbprint. */
export function signatoryWords({ name, statement, isStated }: Signatory): string {
  const whose = statement.device ?? (statement.payer && `payer ${toHex(statement.payer)}`);
  const of = whose === undefined ? '' : ` of ${whose}`;
  const root =
    isStated === undefined
      ? 'its statement was not checked against the root'
      : isStated
        ? 'as the root states'
        : 'WHICH THE ROOT DOES NOT STATE';
  return `${statement.role} key ${name.slice(0, 32)}${of}, ${root}`;
}

function attemptFacts(value: Readonly<Record<string, unknown>>): readonly Fact[] {
  return [
    fact('Attempt', `${text(value['number'])} at ${text(value['backend'])}`),
    fact('Operation', text(value['operation'])),
    fact('Idempotency key', text(value['key'])),
  ];
}

/** Bytes as text if a person can read all of them, else as hex. */
function rawFact(bytes: Uint8Array): Fact {
  if (bytes.length === 0) return fact('Received', 'an empty answer');
  const decoded = utf8Of(bytes);
  const isReadable = decoded !== undefined && !/[^\P{Cc}\r\n\t]/u.test(decoded);
  const lines = isReadable
    ? decoded.split(/\r?\n/)
    : (toHex(bytes).match(/.{1,64}/g) as readonly string[]);
  const form = isReadable ? 'text' : 'hex';
  return { name: `Received, ${bytes.length} bytes, as ${form}`, lines, isRaw: true };
}

function utf8Of(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/** What does not decode is shown as it stands: somebody changed it. */
function bytesOf(base64: string): Uint8Array {
  try {
    return Uint8Array.from(atob(base64), (one) => one.charCodeAt(0));
  } catch {
    return utf8(base64);
  }
}

function list0(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function list(value: unknown): readonly Readonly<Record<string, unknown>>[] {
  return list0(value).filter(isRecord);
}

/** A fact of one line. */
export function fact(name: string, line: string): Fact {
  return { name, lines: [line] };
}

function optional(name: string, value: unknown): readonly Fact[] {
  return value === undefined ? [] : [fact(name, text(value))];
}

function all(value: Readonly<Record<string, unknown>>): readonly Fact[] {
  return Object.entries(value).map(([name, item]) => fact(capital(name), text(item)));
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? 'nothing');
}

/** Minor units as text, with their currency where that is known. */
function money(minor: unknown, currency: string | undefined): string {
  const digits = text(minor);
  if (currency === undefined || !/^[0-9]+$/.test(digits)) return `${digits} minor units`;
  const amount: Money = { currency, minor: BigInt(digits) };
  return spokenMoney(amount);
}

/** The refusals of the bridge count in minor units. */
function inMoney(why: string, { request }: About): string {
  const currency = request?.amount?.currency;
  return why.replace(/\b([0-9]+) minor units/g, (_all, minor) => money(minor, currency));
}

/** "VELOCITY_10M: many payments within 10 minutes"; another risk service has other codes. */
function riskWords(code: string): string {
  return Object.hasOwn(RISK_WORDS, code) ? `${code}: ${RISK_WORDS[code as RiskCode]}` : code;
}

const RISK_WORDS: Readonly<Record<RiskCode, string>> = Object.freeze({
  VELOCITY_10M: 'many payments of this payer within 10 minutes',
  VELOCITY_1H: 'many payments, or an unusual sum, of this payer within an hour',
  NEW_PAYEE_FOR_PAYER: 'this payer never paid this payee before',
  AMOUNT_ABOVE_PAYER_NORM: 'far more than this payer pays on average',
  AMOUNT_ABOVE_PAYER_MAX: 'more than this payer ever paid at once',
  COLD_START: 'too few payments of this payer are known to say what is usual',
  SIMULATED: 'the simulation was asked for this by a magic amount or payee',
});

function reasonOf(value: unknown): string {
  const name = text(value);
  return Object.hasOwn(REASONS, name) ? reasonWords(REASONS[name as Reason]) : name;
}

function capital(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1);
}

/** The beginning of an id: enough for people to compare. */
export function short(id: string): string {
  return id.slice(0, 8);
}

const ICONS: Readonly<Partial<Record<EvidenceKind, Icon>>> = Object.freeze({
  mandate: 'mandate',
  lease: 'mandate',
  order: 'order',
  request: 'request',
  verdict: 'verdict',
  decision: 'risk',
  attempt: 'bank',
  answer: 'bank',
  receipt: 'receipt',
});

const NAMES: Readonly<Partial<Record<EvidenceKind, string>>> = Object.freeze({
  mandate: 'a mandate',
  order: 'an order',
  request: 'the signed request',
  lease: 'a lease',
  verdict: 'the verdict',
  decision: 'the decision of risk',
  attempt: 'an attempt at a backend',
  answer: 'a word of a backend',
  cancel: 'a cancel',
  receipt: 'a receipt',
  note: "a person's word",
});

/** A time of the bridge, UTC with seconds; a row that somebody changed may hold any number. */
export function timeOf(ms: number): string {
  return Math.abs(ms) <= DATE_MS_MAX ? utc(Math.floor(ms / 1000)) : `${ms} ms`;
}

/** ECMAScript's largest time value. */
const DATE_MS_MAX = 8.64e15;
