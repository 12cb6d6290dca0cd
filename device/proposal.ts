/**
 * From what a person did to one proposal, or to something said: exactly one payee and amount, or
 * nothing. What is known of an unfinished one (a payee that waits for an amount, a payment that its
 * key did not sign) is remembered here for a moment, and dropped when the person says no.
 */
import { PaymentError } from '../src/errors.ts';
import { CONFIRM_MS, KEPT_MS } from '../src/limits.ts';
import { type Money, formatMoney, parseDecimal } from '../src/money.ts';
import type { Order } from '../src/objects/order.ts';
import type { Channel } from '../src/objects/request.ts';
import type { Clock } from '../src/platform.ts';
import type { Bill } from './bill.ts';
import type { Terms } from './confirm.ts';
import { readUtterance } from './intents/reading.ts';
import type { HeldMandate } from './mandates.ts';
import type { Outbox } from './outbox.ts';
import { type Directory, displayName } from './payees.ts';
import { type Language, phrases } from './phrases.ts';
import type { CodeReader } from './sense/look.ts';
import type { Pointer, Sensed } from './sense/sensed.ts';
import { readTag } from './sense/tap.ts';
import { readUri } from './sense/uri.ts';
import { collectPhrases } from './staff.ts';
import { receiptLines, remaining } from './statement.ts';
import type { Time } from './time.ts';
import type { Trust } from './trust.ts';

/** What is to be confirmed: exactly one payee and amount. */
export type Proposal = Readonly<{
  terms: Terms;
  channel: Channel;
  order: Order | undefined;
  /** Those that it may be paid under. */
  mandates: readonly HeldMandate[];
}>;

/** A person has been answered, and nothing is to be paid; or wants to leave, or to call off. */
export type Understood =
  | Proposal
  | Readonly<{ kind: 'say'; sentence: string }>
  | Readonly<{ kind: 'cancel'; text: string }>
  | Readonly<{ kind: 'quit' }>;

export type Proposals = Readonly<{
  /** Throws `order_expired`, `scope_payee` or `malformed` for what cannot be paid. */
  understand: (sensed: Sensed) => Promise<Understood>;
  /** Confirmed, but not signed: to be asked about again within KEPT_MS, and confirmed anew. */
  keep: (proposal: Proposal) => void;
  /** Whether one is kept. */
  isKept: () => boolean;
  /** Forgets what waits for one more word; whether anything did. */
  drop: () => boolean;
  /** Whether anything does. */
  isWaiting: () => boolean;
}>;

export function createProposals(
  parts: Readonly<{
    language: Language;
    directory: Directory;
    trust: Trust;
    time: Time;
    mandates: readonly HeldMandate[];
    outbox: Outbox;
    readCode: CodeReader;
    /** At a counter there is nothing but the bill to be paid. */
    bill: Bill | undefined;
    clock: Clock;
  }>,
): Proposals {
  const { language, directory, trust, time, mandates, outbox, bill, clock } = parts;
  /** A payee waiting for an amount. */
  let asked: Readonly<{ payee: string; channel: Channel; untilMs: number }> | undefined;
  let kept: Readonly<{ proposal: Proposal; untilMs: number }> | undefined;

  async function understand(sensed: Sensed): Promise<Understood> {
    if (bill) return collect(bill, await pointerOf(sensed));
    switch (sensed.kind) {
      case 'worn': // heard before
      case 'pin':
        return say(phrases.nothingToConfirm(language));
      case 'utterance':
        return hearUtterance(sensed.text);
      case 'tag':
      case 'link':
        return follow(await pointerOf(sensed), 'tap');
      case 'picture':
        return follow(await pointerOf(sensed), 'look');
      case 'press':
        return again() ?? say(phrases.help(language));
    }
  }

  async function pointerOf(sensed: Sensed): Promise<Pointer> {
    if (sensed.kind === 'tag') return readTag(sensed.message);
    if (sensed.kind === 'link') return readUri(sensed.text);
    const code = sensed.kind === 'picture' ? await parts.readCode(sensed.png) : undefined;
    return code ?? { kind: 'foreign' };
  }

  function collect(payable: Bill, pointer: Pointer): Understood {
    const due = payable.dueFor(pointer);
    if (due === 'no bill') return say(collectPhrases.noBill(language));
    if (due === 'unknown tag') return say(collectPhrases.unknownTag(language));
    return { ...due, channel: 'tap', order: undefined };
  }

  function hearUtterance(text: string): Understood {
    const reading = readUtterance(text, { directory, language });
    switch (reading.kind) {
      case 'pay':
        return propose(reading.amount, reading.payee.id, 'voice');
      case 'amount':
        if (!asked || clock.monotonicMs() > asked.untilMs) {
          return say(phrases.toWhom(formatMoney(reading.amount, language), language));
        }
        return propose(reading.amount, asked.payee, asked.channel);
      case 'ask_amount':
        return askAmount(reading.payee.id, 'voice');
      case 'ask_payee':
        return say(phrases.twoPayees(language));
      case 'balance':
        return say(phrases.left(remaining(outbox, mandates, language), language));
      case 'receipts':
        return say(receiptLines(outbox, language).join('\n') || phrases.noReceipts(language));
      case 'look':
      case 'help':
        return say(phrases.help(language));
      case 'confirm':
        return again() ?? say(phrases.nothingToConfirm(language));
      case 'cancel':
        return { kind: 'cancel', text };
      case 'quit':
        return { kind: 'quit' };
      case 'miss':
        return say(phrases.miss(reading.why, reading.heard, language));
    }
  }

  function follow(pointer: Pointer, channel: 'tap' | 'look'): Understood {
    switch (pointer.kind) {
      case 'foreign':
      case 'payer':
        return say(phrases.noCode(language));
      case 'payee': {
        if (!directory.byId(pointer.payee)) throw new PaymentError('scope_payee', 'unknown payee');
        if (pointer.amount === undefined) return askAmount(pointer.payee, channel);
        const currency = pointer.amount.slice(0, 3);
        const minor = parseDecimal(pointer.amount.slice(3), currency);
        if (minor === 0n) throw new PaymentError('malformed', 'a tag that asks for nothing');
        return propose({ currency, minor }, pointer.payee, channel);
      }
      case 'order': {
        const { id, value } = trust.openOrder(pointer.envelope);
        requireOpen(value);
        const { amount, payee, terminal } = value;
        return { terms: { amount, payee, terminal, order: id }, channel, order: value, mandates };
      }
    }
  }

  function propose(amount: Money, payee: string, channel: Channel): Proposal {
    return { terms: { amount, payee }, channel, order: undefined, mandates };
  }

  function askAmount(payee: string, channel: Channel): Understood {
    asked = { payee, channel, untilMs: clock.monotonicMs() + CONFIRM_MS };
    return say(phrases.howMuch(displayName(directory.byId(payee)!, language), language));
  }

  /** What was kept, once. Throws `order_expired` when its order is over by now. */
  function again(): Proposal | undefined {
    const last = kept;
    kept = undefined;
    if (!last || !isFuture(last)) return undefined;
    if (last.proposal.order) requireOpen(last.proposal.order);
    return last.proposal;
  }

  function requireOpen({ exp }: Order): void {
    const nowMs = time.trustedMs();
    if (nowMs !== undefined && nowMs / 1000 >= exp) {
      throw new PaymentError('order_expired', 'the order is over');
    }
  }

  function isFuture(one: Readonly<{ untilMs: number }> | undefined): boolean {
    return one !== undefined && clock.monotonicMs() <= one.untilMs;
  }

  const isWaiting = () => isFuture(asked) || isFuture(kept);
  return {
    understand,
    keep: (proposal) => void (kept = { proposal, untilMs: clock.monotonicMs() + KEPT_MS }),
    isKept: () => kept !== undefined,
    drop() {
      const was = isWaiting();
      asked = undefined;
      kept = undefined;
      return was;
    },
    isWaiting,
  };
}

function say(sentence: string): Understood {
  return { kind: 'say', sentence };
}
