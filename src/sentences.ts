/**
 * What a signed object says, as English that can be read aloud. For people who inspect an object;
 * what a payer confirms is drawn by the device from its own words (device/).
 */
import { toHex } from './bytes.ts';
import { REASONS, reasonClass, reasonName } from './errors.ts';
import { type PublicKey, thumbprint } from './keys.ts';
import { type Money, formatMoney } from './money.ts';
import type { Enrol } from './objects/enrol.ts';
import type { KeyStatement } from './objects/key.ts';
import type { KindName } from './objects/kinds.ts';
import { type Mandate, type Scope, type Window, allowsChannel } from './objects/mandate.ts';
import type { Order } from './objects/order.ts';
import type { Band, Policy } from './objects/policy.ts';
import type { Proposal } from './objects/proposal.ts';
import type { Query } from './objects/query.ts';
import { type Receipt, isFinal } from './objects/receipt.ts';
import { CHANNELS, type Channel, type Request } from './objects/request.ts';
import type { Revoke } from './objects/revoke.ts';
import type { Tick } from './objects/tick.ts';

/** One sentence or two about a decoded object; `kid` is the hex that its envelope names. */
export function sentenceOf(kind: KindName, value: unknown, kid: string | undefined): string {
  const by = (role: string) => (kid === undefined ? 'Somebody' : `${role} key ${short(kid)}`);
  switch (kind) {
    case 'key':
      return keySentence(by('Root'), value as KeyStatement);
    case 'policy':
      return policySentence(by('Root'), value as Policy);
    case 'mandate':
      return mandateSentence(by('Wallet'), value as Mandate);
    case 'revoke':
      return revokeSentence(by('Payer'), value as Revoke);
    case 'request':
      return requestSentence(by('Device'), value as Request);
    case 'order':
      return orderSentence(by('Terminal'), value as Order);
    case 'query':
      return querySentence(by('Device'), value as Query);
    case 'enrol':
      return enrolSentence(by('New'), value as Enrol);
    case 'receipt':
      return receiptSentence(by('Bridge'), value as Receipt);
    case 'tick':
      return tickSentence(by('Bridge'), value as Tick);
    case 'proposal':
      return proposalSentence(by('Bridge'), value as Proposal);
  }
}

/** Seconds since 1970 as "2026-11-20 09:17:00 UTC". */
export function utc(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace('T', ' ').replace('.000Z', ' UTC');
}

/** "12.50 yuan (CNY)": the amount with a unit to say and the code that leaves no doubt. */
export function spokenMoney(money: Money): string {
  const text = formatMoney(money, 'en');
  return text.endsWith(money.currency) ? text : `${text} (${money.currency})`;
}

/** "P2 (a physical act on the device)". */
export function presenceWords(level: number): string {
  const words = [
    'nobody present',
    'a recognised voice command',
    'a physical act on the device',
    'a physical act and a PIN or a matched speaker',
    'a one-use mandate of the wallet',
  ];
  return `P${level} (${words[level] ?? 'unknown'})`;
}

/** "108 suspended (final)". */
export function reasonWords(code: number): string {
  return `${code} ${reasonName(code) ?? 'of a later version'} (${CLASSES[reasonClass(code)]})`;
}

const CLASSES = Object.freeze({
  final: 'final',
  step_up: 'step up and ask again',
  pending: 'pending',
  later: 'try again later',
  unknown: 'unknown',
});

const CHANNEL_WORDS: Readonly<Record<Channel, string>> = Object.freeze({
  voice: 'by voice',
  tap: 'by tap',
  look: 'by looking at a code',
  touch: 'by touch',
  autonomous: 'by itself',
});

function requestSentence(who: string, value: Request): string {
  const at = value.terminal === undefined ? '' : ` at terminal ${value.terminal}`;
  const what = {
    pay: (money: string) => `pay ${money} to ${value.payee}${at}`,
    hold: (money: string) => `hold ${money} for ${value.payee}${at}`,
    capture: (money: string) => `capture ${money} for ${value.payee}${at}`,
    void: (money: string) => `void ${money} of ${value.payee}${at}`,
    refund: (money: string) => `refund ${money} from ${value.payee}${at}`,
    access: () => `be let in by ${value.payee}${at}`,
  }[value.action](value.amount ? spokenMoney(value.amount) : '');
  return list([
    `${who} asks to ${what}`,
    value.original && `of the request ${short(value.original)}`,
    value.order && `for order ${short(value.order)}`,
    `under mandate ${short(value.mandate)}`,
    `counter ${value.counter}`,
    `presence ${presenceWords(value.presence)}`,
    CHANNEL_WORDS[value.channel],
    `valid until ${utc(value.exp)}.`,
  ]);
}

function keySentence(who: string, value: KeyStatement): string {
  const named = value.names?.[0];
  return list([
    `${who} says that key ${keyName(value.key)} is a ${value.role}`,
    value.device && `called ${value.device} in topics`,
    value.payee && `terminal ${value.terminal} of payee ${value.payee}`,
    named && `shown to people as "${named[1]}"`,
    value.payer && `of payer ${short(toHex(value.payer))}`,
    value.category !== undefined && `category ${String(value.category).padStart(4, '0')}`,
    `trusted up to presence ${presenceWords(value.presenceMax)}`,
    `valid from ${utc(value.nbf)} until ${utc(value.exp)}.`,
  ]);
}

function policySentence(who: string, value: Policy): string {
  const binds = {
    platform: 'everybody',
    merchant: value.scope.kind === 'merchant' ? `merchant ${value.scope.payee}` : '',
    device: value.scope.kind === 'device' ? `device ${value.scope.device}` : '',
  }[value.scope.kind];
  const ladders = value.ladders.map((ladder) => bandsWords(ladder.bands, ladder.currency));
  return list([
    `${who} binds ${binds} by policy version ${value.version} of ${utc(value.iat)}`,
    ...ladders,
    offlineWords(value.offline),
    value.exp === undefined ? 'without end.' : `until ${utc(value.exp)}.`,
  ]);
}

function offlineWords(offline: Policy['offline']): string {
  if (!offline) return 'nothing is accepted offline';
  const { currency, floorLimit } = offline;
  return `offline at most ${spokenMoney({ currency, minor: floorLimit })} at once`;
}

function mandateSentence(who: string, value: Mandate): string {
  const money = (minor: bigint) => spokenMoney({ currency: value.currency, minor });
  const channels = (Object.keys(CHANNELS) as Channel[]).filter((one) => allowsChannel(value, one));
  return list([
    `${who} allows key ${short(value.cnf)} to spend up to ${money(value.perPaymentMax)} at once`,
    value.perPaymentMin !== undefined && `at least ${money(value.perPaymentMin)}`,
    ...value.windows.map((window) => windowWords(window, money(window.max))),
    `at ${value.allow.map(scopeWords).join(' or ')}`,
    value.deny && `never at ${value.deny.map(scopeWords).join(' or ')}`,
    channels.map((channel) => CHANNEL_WORDS[channel]).join(' or '),
    bandsWords(value.bands, value.currency),
    value.gap !== undefined && `${value.gap} seconds apart`,
    value.parent && `delegated from mandate ${short(value.parent)}`,
    `paid from ${value.funding}`,
    `epoch ${value.epoch}`,
    `valid from ${utc(value.nbf)} until ${utc(value.exp)}.`,
  ]);
}

function revokeSentence(who: string, value: Revoke): string {
  const what =
    value.mandate === undefined
      ? `every mandate below epoch ${value.epoch}`
      : `mandate ${short(value.mandate)}`;
  return `${who} ends ${what} of payer ${short(toHex(value.payer))}, at ${utc(value.iat)}.`;
}

function orderSentence(who: string, value: Order): string {
  const lines = value.lines.map((line) => {
    const money = spokenMoney({ currency: value.amount.currency, minor: line.total });
    return `${line.quantity} × "${line.text}" ${money}`;
  });
  return (
    `${who} asks to be paid ${spokenMoney(value.amount)} to ${value.payee} at terminal ` +
    `${value.terminal}, valid until ${utc(value.exp)}: ${lines.join('; ')}.`
  );
}

function querySentence(who: string, value: Query): string {
  switch (value.question) {
    case 'state':
      return `${who} asks what became of ${short(value.subject!)}.`;
    case 'cancel':
      return `${who} cancels ${short(value.subject!)}.`;
    case 'boot':
      return `${who} has just started and asks for the time and its highest counter.`;
    case 'behind':
      return (
        `${who} says that its disk is behind at counter ${value.counter!}: it was restored, or ` +
        'another holds its key.'
      );
  }
}

function enrolSentence(who: string, value: Enrol): string {
  const voucher =
    value.mac !== undefined
      ? 'vouched for by a pairing code'
      : value.endorsement !== undefined
        ? 'vouched for by an old key'
        : 'vouched for by nobody yet';
  return (
    `${who} asks to be known: key ${keyName(value.key)} as ${value.role} ` +
    `${value.device}, ${voucher}` +
    `${value.tls === undefined ? '' : `, with a certificate for key ${keyName(value.tls)}`}` +
    `, at ${utc(value.iat)}.`
  );
}

function receiptSentence(who: string, value: Receipt): string {
  return list([
    `${who} answers ${short(value.subject)}: ${value.outcome}`,
    isFinal(value.outcome) ? 'which is final' : 'which is not final',
    value.amount && spokenMoney(value.amount),
    value.order && `for order ${short(value.order)}`,
    value.reason !== undefined && `because of ${reasonWords(value.reason)}`,
    value.reason === REASONS.backend_unknown && 'do not pay again',
    value.reference && `backend reference ${value.reference}`,
    ...(value.remaining ?? []).map(
      (left, i) => `window ${i + 1} has ${left.amount} minor units and ${left.count} payments left`,
    ),
    value.riskReasons && `risk saw ${value.riskReasons.join(' and ')}`,
    value.running && `still running ${value.running.map(short).join(' and ')}`,
    `at ${utc(value.iat)}.`,
  ]);
}

function tickSentence(who: string, value: Tick): string {
  const { lease } = value;
  return list([
    `${who} says it is ${utc(value.iat)}`,
    `nonce ${toHex(value.nonce)}`,
    value.audience ? `to key ${short(value.audience)} only` : 'to everybody',
    value.counter !== undefined && `highest counter seen ${value.counter}`,
    lease &&
      `and leases ${spokenMoney(lease.amount)} in ${lease.count} payments under mandate ` +
        `${short(lease.mandate)}, to be spent until ${utc(lease.exp)} and sent until ` +
        utc(lease.upload),
  ]).concat('.');
}

function proposalSentence(who: string, value: Proposal): string {
  const at = value.terminal === undefined ? '' : ` at terminal ${value.terminal}`;
  return list([
    `${who} passes on that the ${value.asker.kind} "${value.asker.name}" asks key ` +
      `${short(value.audience)} to pay ${spokenMoney(value.amount)} to ${value.payee}${at}`,
    value.order && `for order ${short(value.order)}`,
    `because "${value.why}"`,
    `valid until ${utc(value.exp)}.`,
  ]);
}

function windowWords(window: Window, most: string): string {
  const limit = `${most} and ${window.count} payments`;
  switch (window.kind) {
    case 'total':
      return `in all at most ${limit}`;
    case 'calendar':
      return `per ${window.period} in ${window.zone} at most ${limit}`;
    case 'rolling':
      return `in any ${window.seconds} seconds at most ${limit}`;
  }
}

function scopeWords(scope: Scope): string {
  switch (scope.kind) {
    case 'payee':
      return `payee ${scope.payee}`;
    case 'category':
      return `category ${String(scope.category).padStart(4, '0')}`;
    case 'terminal':
      return `terminal ${scope.terminal}`;
    case 'order':
      return `order ${short(scope.order)}`;
    case 'any':
      return 'every enrolled payee';
  }
}

function bandsWords(bands: readonly Band[], currency: string): string {
  const steps = bands.map(
    ({ ceiling, level }) => `P${level} up to ${spokenMoney({ currency, minor: ceiling })}`,
  );
  return `presence ${steps.join(' then ')}`;
}

function keyName(key: PublicKey): string {
  return short(toHex(thumbprint(key)));
}

/** The beginning of an id or thumbprint: enough for people to compare. */
function short(hex: string): string {
  return `${hex.slice(0, 8)}…`;
}

function list(parts: readonly (string | false | undefined)[]): string {
  return parts.filter((part) => part !== undefined && part !== false && part !== '').join(', ');
}
