/**
 * What a person is told of a payment: "paid" or "refused" only on a signed final receipt; until
 * then it is "not confirmed yet", because a silence is not an answer; and what is accepted without
 * the bridge, under a lease, is "accepted" and no more.
 *
 * At a kiosk that collects, by the time anything is known that was not known at once, whoever paid
 * has gone: it is told to staff.
 */
import { payloadOf } from '../src/cose.ts';
import { REASONS, type Reason, reasonClass } from '../src/errors.ts';
import { RECEIPTS_SHOWN, RECEIPT_PATIENCE_MS } from '../src/limits.ts';
import { formatMoney } from '../src/money.ts';
import { type Receipt, isFinal, receipt as receiptKind } from '../src/objects/receipt.ts';
import { strictestOffline } from '../src/offline.ts';
import { within } from '../src/patience.ts';
import type { Log, Timers } from '../src/platform.ts';
import type { Answer } from './answers.ts';
import type { Counter } from './bill.ts';
import type { Cancellation } from './cancellation.ts';
import type { Frame } from './confirm.ts';
import { type Outbox, noteTold } from './outbox.ts';
import type { Directory } from './payees.ts';
import { type Language, phrases, reasonPhrase } from './phrases.ts';
import type { Factor } from './proof.ts';
import type { Unconfirmed } from './question.ts';
import { collectPhrases, staffPhrases } from './staff.ts';
import { type Named, namePayment, openPayments, paymentOf } from './statement.ts';
import type { Mood, Surface } from './surface/port.ts';
import type { Time } from './time.ts';
import type { Trust } from './trust.ts';
import { type Figures, figuresOf } from './waiting.ts';

/** How one thing that a person did ended. */
export type Told =
  | Readonly<{ kind: 'paid'; id: string; receipt: Receipt }>
  | Readonly<{ kind: 'refused'; id: string; receipt: Receipt }>
  /** Sent, and not answered for good yet; `later` resolves with the final word. */
  | Readonly<{ kind: 'unconfirmed'; id: string; later: Promise<Told> }>
  /** Accepted offline, on disk, and not yet seen by the bridge; `later` has the final word. */
  | Readonly<{ kind: 'accepted'; id: string; later: Promise<Told> }>
  /** Never sent: cancelled, timed out, taken off, or not possible here. */
  | Readonly<{ kind: 'not_sent'; reason: Reason | Unconfirmed }>
  /** An answer without a payment, or a question back. */
  | Readonly<{ kind: 'said' }>
  | Readonly<{ kind: 'quit' }>;

export type Telling = Readonly<{
  /**
   * The question; whoever has not heard how the last payment ended may take it for the same. At a
   * counter nobody is told of others' payments.
   */
  question: (frame: Frame, factor: Factor | undefined, payee: string, mandate: string) => string;
  /** Tells what the receipt says; past patience the person is freed and told the rest later. */
  outcome: (id: string, named: Named, answer: Answer) => Promise<Told>;
  /** Accepted offline: to the person what concerns that person, to staff what waits in all. */
  accepted: (id: string, named: Named, answer: Answer, isSoftOver: boolean) => Told;
  /** A final receipt of a payment that was confirmed before a power cut. */
  earlier: (id: string, receipt: Receipt) => void;
  /** What ended before a power cut and was not told. */
  untold: () => void;
  /** Sent no more: only a person can find out how it ended. */
  gaveUp: (id: string) => void;
  /** What goes on without the person, by the payment. */
  left: () => void;
  /** What was accepted offline and waits. */
  stored: () => Figures;
}>;

export function createTelling(
  parts: Readonly<{
    language: Language;
    directory: Directory;
    trust: Trust;
    time: Time;
    outbox: Outbox;
    cancellation: Cancellation;
    surface: Surface;
    /** Whose staff is told; absent on glasses. */
    counter: Counter | undefined;
    timers: Timers;
    log: Log;
  }>,
): Telling {
  const { language, directory, trust, time, outbox, cancellation, surface, counter, log } = parts;

  function question(
    { amount, payee, needs }: Frame,
    factor: Factor | undefined,
    id: string,
    mandate: string,
  ): string {
    const going = openPayments(outbox).filter(
      (one) => one.payee === id && (!counter || one.mandate === mandate),
    );
    const amounts = going.map((one) => formatMoney(one.amount, language)).slice(-RECEIPTS_SHOWN);
    if (counter) {
      return going.length === 0
        ? collectPhrases.ask(amount, payee, language)
        : collectPhrases.askAgain(amounts, amount, payee, language);
    }
    const asked = factor === 'phrase' ? factor : needs;
    if (going.length === 0) return phrases.ask(amount, payee, asked, language);
    return phrases.askAgain(amounts, amount, payee, asked, language);
  }

  async function outcome(id: string, named: Named, answer: Answer): Promise<Told> {
    const first = await within(parts.timers, RECEIPT_PATIENCE_MS, answer.first);
    if (first && isFinal(first.outcome)) return final(id, named, first);
    open(id, first?.reason);
    return { kind: 'unconfirmed', id, later: answer.last.then((last) => late(id, named, last)) };
  }

  function accepted(id: string, named: Named, answer: Answer, isSoftOver: boolean): Told {
    surface.say(collectPhrases.accepted(named.amount, named.payee, language), 'waiting');
    const soon = isSoftOver ? staffPhrases.connectSoon(language) : '';
    tellStored(isSoftOver ? 'bad' : 'waiting', soon);
    return { kind: 'accepted', id, later: answer.last.then((last) => late(id, named, last)) };
  }

  /** A payment without an end: not to be made again, and how to call it off. */
  function open(id: string, reason: number = REASONS.backend_unknown): void {
    // Whatever it waits for: only a phrase of the pending class also says "do not pay again".
    const code = reasonClass(reason) === 'pending' ? reason : REASONS.backend_unknown;
    const isAsked = cancellation.isAsked(id);
    const plain = reasonPhrase(code, language);
    surface.say(isAsked ? plain : phrases.unconfirmed(code, language), 'waiting');
  }

  function final(id: string, { payee, amount }: Named, receipt: Receipt): Told {
    const isPaid = isMoney(receipt);
    if (isPaid && cancellation.isAsked(id)) {
      surface.say(phrases.paidBeforeCancel(amount, payee, language), 'bad');
    } else if (isPaid) {
      surface.say(phrases.paid(amount, payee, language), 'good');
    } else if (receipt.reason === REASONS.cancelled) {
      surface.say(phrases.cancelledForGood(amount, payee, language), 'good');
    } else {
      surface.say(phrases.refused(whyOf(receipt), language), 'bad');
    }
    noteTold(outbox, id, log);
    return { kind: isPaid ? 'paid' : 'refused', id, receipt };
  }

  /** How a payment ended of which the end was not known at once. */
  function late(id: string, named: Named, receipt: Receipt): Told {
    if (!counter) return final(id, named, receipt);
    const isPaid = isMoney(receipt);
    const sentence = isPaid
      ? staffPhrases.booked(named.amount, language)
      : staffPhrases.notBooked(named.amount, whyOf(receipt), language);
    counter.staff(sentence, isPaid ? 'good' : 'bad');
    noteTold(outbox, id, log);
    return { kind: isPaid ? 'paid' : 'refused', id, receipt };
  }

  function whyOf({ reason }: Receipt): string {
    return reason === undefined ? '' : reasonPhrase(reason, language);
  }

  function earlier(id: string, receipt: Receipt): void {
    const named = nameOf(id);
    if (named) late(id, named, receipt);
  }

  /** How a payment of the outbox is named; undefined for what is no payment. */
  function nameOf(id: string): Named | undefined {
    const request = paymentOf(outbox, id);
    return request && namePayment(request, directory, language);
  }

  function tellStored(mood: Mood, more = ''): void {
    counter?.staff(staffPhrases.waiting(stored(), language) + more, mood);
  }

  function stored(): Figures {
    const policies = trust.policies(counter?.payee ?? '');
    const currency = policies.find(({ offline }) => offline)?.offline?.currency ?? '';
    const rules = strictestOffline(policies, currency);
    return figuresOf(outbox.accepted(), rules, time.heldMs(), time.awayMs());
  }

  return {
    question,
    outcome,
    accepted,
    earlier,
    untold() {
      for (const { id, receipt } of outbox.untold()) {
        earlier(id, receiptKind.decode(payloadOf(receipt!)));
      }
    },
    gaveUp(id) {
      const named = nameOf(id);
      const say = counter?.staff ?? surface.say;
      if (named) say(phrases.gaveUp(named.amount, named.payee, language), 'bad');
    },
    left() {
      if (counter) return outbox.accepted().length > 0 ? tellStored('waiting') : undefined;
      const going = openPayments(outbox).filter(({ entry }) => !cancellation.isGivenUp(entry.id));
      for (const { entry } of going.slice(-RECEIPTS_SHOWN)) {
        const { amount, payee } = nameOf(entry.id)!;
        const sentence = phrases.notConfirmed([amount], payee, language);
        surface.say(sentence + phrases.leaving(language), 'waiting');
      }
    },
    stored,
  };
}

/** Whether money moved, or is held. */
function isMoney({ outcome }: Receipt): boolean {
  return outcome === 'captured' || outcome === 'held';
}
