/**
 * The straight line of a payment on the device: from what a person did to what the person is told.
 *
 * Read `pay` from top to bottom. Before `outbox.put` nothing has happened and nothing may be sent;
 * after it nothing is lost. The person is told "paid" or "refused" only on a signed final receipt;
 * until then it is "not confirmed yet", because a silence is not an answer.
 */
import assert from 'node:assert/strict';
import { decodeCbor } from '../src/cbor.ts';
import { type Realm, type Signer, identify, payloadOf, signEnvelope } from '../src/cose.ts';
import { PaymentError, REASONS, type Reason, reasonClass } from '../src/errors.ts';
import {
  CONFIRM_MS,
  CONFIRM_READ_MS,
  RECEIPT_PATIENCE_MS,
  REQUEST_VALID_S,
} from '../src/limits.ts';
import { type Money, formatMoney, parseDecimal } from '../src/money.ts';
import type { Presence } from '../src/objects/key.ts';
import type { Mandate } from '../src/objects/mandate.ts';
import type { Order } from '../src/objects/order.ts';
import type { Band } from '../src/objects/policy.ts';
import { type Receipt, isFinal } from '../src/objects/receipt.ts';
import { type Channel, type Request, request as requestKind } from '../src/objects/request.ts';
import { within } from '../src/patience.ts';
import type { Clock, Log, Timers } from '../src/platform.ts';
import { type Frame, type Terms, frameOf, levelNeeded, sameFrame } from './confirm.ts';
import { readUtterance } from './intents/reading.ts';
import type { DeviceLink } from './link.ts';
import type { Entry, Outbox } from './outbox.ts';
import { type Directory, displayName } from './payees.ts';
import { type Language, phrases, reasonPhrase } from './phrases.ts';
import type { CodeReader } from './sense/look.ts';
import type { Pointer, Sensed } from './sense/sensed.ts';
import { readTag } from './sense/tap.ts';
import { receiptLines, remaining } from './statement.ts';
import type { Time } from './time.ts';
import type { Trust } from './trust.ts';

/** What the person sees and hears. */
export type Surface = Readonly<{
  /** A question that waits for a confirmation; the frame is everything that is being agreed to. */
  ask: (frame: Frame, sentence: string) => void;
  /** A sentence; `mood` chooses colour and sound. */
  say: (sentence: string, mood: Mood) => void;
}>;

export type Mood = 'plain' | 'good' | 'bad' | 'waiting';

/** How one thing that a person did ended. */
export type Told =
  | Readonly<{ kind: 'paid'; id: string; receipt: Receipt }>
  | Readonly<{ kind: 'refused'; id: string; receipt: Receipt }>
  /** Sent, and not answered for good yet; `later` resolves with the final word. */
  | Readonly<{ kind: 'unconfirmed'; id: string; later: Promise<Told> }>
  /** Never signed, never sent: cancelled, timed out, or not possible here. */
  | Readonly<{ kind: 'not_sent'; reason: Reason | 'cancelled' | 'timed_out' }>
  /** An answer without a payment, or a question back. */
  | Readonly<{ kind: 'said' }>
  | Readonly<{ kind: 'quit' }>;

export type Device = Readonly<{
  /** Takes what a person did; while a confirmation is open it is the answer to that. */
  sense: (sensed: Sensed) => Promise<Told>;
  /** Called by the link for every verified receipt. */
  hear: (id: string, receipt: Receipt) => void;
  /** Called by the link when the bridge knows more of this key than this disk. */
  suspend: () => void;
}>;

export type Parts = Readonly<{
  realm: Realm;
  language: Language;
  signer: Signer;
  /** The most presence that this device's key may claim. */
  presenceMax: Presence;
  /** Mandates that name this key, with their ids. */
  mandates: readonly Readonly<{ id: string; mandate: Mandate }>[];
  directory: Directory;
  trust: Trust;
  time: Time;
  outbox: Outbox;
  link: () => DeviceLink;
  readCode: CodeReader;
  surface: Surface;
  clock: Clock;
  timers: Timers;
  log: Log;
}>;

/** What is to be confirmed: exactly one payee and amount. */
type Proposal = Readonly<{ terms: Terms; channel: Channel; order: Order | undefined }>;

/** The first receipt of a request, and the final one; they may be the same. */
type Answer = Readonly<{ first: Promise<Receipt>; last: Promise<Receipt> }>;

export function createDevice(parts: Parts): Device {
  const { language, directory, trust, time, outbox, surface, clock, timers, log } = parts;
  /** The open confirmation, if any: it alone hears what the person does. */
  let answering: ((sensed: Sensed) => void) | undefined;
  /** A payee waiting for an amount. */
  let asked: { payee: string; channel: Channel; untilMs: number } | undefined;
  let isBusy = false;
  let isSuspended = false;
  const awaited = new Map<string, (receipt: Receipt) => void>();

  // ── the payment ────────────────────────────────────────────────────────────────────────────

  async function pay({ terms, channel, order }: Proposal): Promise<Told> {
    const { id: mandate, bands } = requireMandate(terms.amount);
    const needs = levelNeeded([trust.policy], bands, terms.amount, parts.presenceMax);
    requireOnline();

    const frame = frameOf(terms, order, needs, directory, language);
    surface.ask(frame, phrases.ask(frame.amount, frame.payee, needs, language));
    const presence = await confirmation(needs);
    if (presence === 'cancelled' || presence === 'timed_out') {
      return notSent(presence);
    }

    const { nonce, nowMs } = requireOnline();
    const counter = outbox.counter(parts.signer.key.name) + 1;
    const payload = requestKind.encode({
      ...terms,
      action: 'pay',
      exp: Math.floor(nowMs / 1000) + REQUEST_VALID_S,
      mandate,
      counter,
      presence,
      channel,
      nonce,
    });
    requireShown(payload, frame, order, needs);
    const envelope = await signEnvelope(payload, parts.realm, requestKind.name, parts.signer);
    const { id } = identify(envelope, parts.realm, requestKind.name);

    const entry = { id, kind: 'request', envelope, storedMs: nowMs } as const;
    const isStored = store(entry, counter);
    const answer = answerTo(id);
    if (isStored) parts.link().send(entry);

    surface.say(phrases.sending(language), 'waiting');
    return told(id, frame, answer);
  }

  /** Tells what the receipt says; past patience the person is freed and told the rest later. */
  async function told(id: string, frame: Frame, answer: Answer): Promise<Told> {
    const first = await within(timers, RECEIPT_PATIENCE_MS, answer.first);
    if (first && isFinal(first.outcome)) return tellFinal(id, frame, first);
    // Whatever it waits for: only a phrase of the pending class also says "do not pay again".
    const code = first?.reason ?? REASONS.backend_unknown;
    const isSafe = reasonClass(code) === 'pending';
    surface.say(isSafe ? reasonPhrase(code, language) : phrases.unconfirmed(language), 'waiting');
    const later = answer.last.then((receipt) => tellFinal(id, frame, receipt));
    return { kind: 'unconfirmed', id, later };
  }

  function tellFinal(id: string, frame: Pick<Frame, 'payee' | 'amount'>, receipt: Receipt): Told {
    if (receipt.outcome === 'captured' || receipt.outcome === 'held') {
      surface.say(phrases.paid(frame.amount, frame.payee, language), 'good');
      return { kind: 'paid', id, receipt };
    }
    const why = receipt.reason === undefined ? '' : reasonPhrase(receipt.reason, language);
    surface.say(phrases.refused(why, language), 'bad');
    return { kind: 'refused', id, receipt };
  }

  /** False when the disk failed so that the entry may come back: not sent, and not "not sent". */
  function store(entry: Omit<Entry, 'receipt'>, counter: number): boolean {
    try {
      outbox.put(entry, { key: parts.signer.key.name, counter });
      return true;
    } catch (error) {
      if (!(error instanceof PaymentError && error.reason === 'in_progress')) throw error;
      log('error', 'the disk failed in the middle of a payment', { why: error.message });
      return false;
    }
  }

  // ── its steps ──────────────────────────────────────────────────────────────────────────────

  /** From what was done to one proposal, or to something said. */
  async function understand(sensed: Sensed): Promise<Proposal | Told> {
    switch (sensed.kind) {
      case 'utterance':
        return hearUtterance(sensed.text);
      case 'tag':
        return follow(readTag(sensed.message), 'tap');
      case 'picture':
        return follow((await parts.readCode(sensed.png)) ?? { kind: 'foreign' }, 'look');
      case 'press':
        return said(phrases.help(language));
    }
  }

  function hearUtterance(text: string): Proposal | Told {
    const reading = readUtterance(text, { directory, language });
    switch (reading.kind) {
      case 'pay':
        return propose(reading.amount, reading.payee.id, 'voice');
      case 'amount':
        if (!asked || clock.monotonicMs() > asked.untilMs) {
          return said(phrases.toWhom(formatMoney(reading.amount, language), language));
        }
        return propose(reading.amount, asked.payee, asked.channel);
      case 'ask_amount':
        return askAmount(reading.payee.id, 'voice');
      case 'ask_payee':
        return said(phrases.twoPayees(language));
      case 'balance':
        return said(phrases.left(remaining(outbox, language), language));
      case 'receipts':
        return said(receiptLines(outbox, language).join('\n') || phrases.noReceipts(language));
      case 'look':
      case 'help':
        return said(phrases.help(language));
      case 'confirm':
        return said(phrases.nothingToConfirm(language));
      case 'cancel': {
        const wasAsked = asked !== undefined && clock.monotonicMs() <= asked.untilMs;
        asked = undefined;
        return wasAsked ? notSent('cancelled') : said(phrases.nothingToCancel(language));
      }
      case 'quit':
        return { kind: 'quit' };
      case 'miss':
        return said(phrases.miss(reading.why, reading.heard, language));
    }
  }

  function follow(pointer: Pointer, channel: 'tap' | 'look'): Proposal | Told {
    switch (pointer.kind) {
      case 'foreign':
        return said(phrases.noCode(language));
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
        const nowMs = time.trustedMs();
        if (nowMs !== undefined && nowMs / 1000 >= value.exp) {
          throw new PaymentError('order_expired', 'the order is over');
        }
        const { amount, payee, terminal } = value;
        return { terms: { amount, payee, terminal, order: id }, channel, order: value };
      }
    }
  }

  function propose(amount: Money, payee: string, channel: Channel): Proposal {
    return { terms: { amount, payee }, channel, order: undefined };
  }

  function askAmount(payee: string, channel: Channel): Told {
    asked = { payee, channel, untilMs: clock.monotonicMs() + CONFIRM_MS };
    return said(phrases.howMuch(displayName(directory.byId(payee)!, language), language));
  }

  /** Waits for a clear yes of the needed strength; only confirm and cancel are heard meanwhile. */
  function confirmation(needs: 1 | 2): Promise<Presence | 'cancelled' | 'timed_out'> {
    return new Promise((resolve) => {
      const end = (how: Presence | 'cancelled' | 'timed_out') => {
        cancel();
        answering = undefined;
        resolve(how);
      };
      const cancel = timers.after(CONFIRM_MS, () => end('timed_out'));
      const askedMs = clock.monotonicMs();
      // The second press of a double tap was meant for something else.
      const hasRead = () => clock.monotonicMs() - askedMs >= CONFIRM_READ_MS;
      answering = (sensed) => {
        if (sensed.kind === 'press') return hasRead() ? end(2) : undefined;
        if (sensed.kind !== 'utterance') return surface.say(phrases.busy(language), 'plain');
        const { kind } = readUtterance(sensed.text, { directory, language });
        if (kind === 'cancel' || kind === 'quit') return end('cancelled');
        if (kind !== 'confirm') return surface.say(phrases.onlyConfirm(language), 'plain');
        if (needs === 1) return end(1);
        surface.say(phrases.needPress(language), 'plain');
      };
    });
  }

  function requireMandate(amount: Money): Readonly<{ id: string; bands: readonly Band[] }> {
    const now = (time.trustedMs() ?? clock.nowMs()) / 1000;
    const usable = parts.mandates.find(
      ({ mandate }) => mandate.currency === amount.currency && now < mandate.exp,
    );
    if (!usable) throw new PaymentError('mandate_unknown', 'no mandate for this currency');
    return { id: usable.id, bands: usable.mandate.bands };
  }

  /** Glasses pay online only: a fresh nonce says that the bridge, not just the broker, is there. */
  function requireOnline(): Readonly<{ nonce: Uint8Array; nowMs: number }> {
    if (isSuspended) throw new PaymentError('suspended', 'this key was copied or restored');
    const nonce = time.nonce();
    const nowMs = time.trustedMs();
    if (parts.link().state() !== 'ready' || !nonce || nowMs === undefined) {
      throw new PaymentError('offline_not_allowed', 'no fresh tick from the bridge');
    }
    return { nonce, nowMs };
  }

  /** What is about to be signed, read back and drawn again, is what the person was shown. */
  function requireShown(payload: Uint8Array, shown: Frame, order: Order | undefined, needs: 1 | 2) {
    const request: Request = requestKind.decode(decodeCbor(payload));
    assert(request.amount);
    const again = frameOf(
      { ...request, amount: request.amount },
      order,
      needs,
      directory,
      language,
    );
    assert(sameFrame(again, shown), 'what would be signed is not what was shown');
  }

  // ── receipts ───────────────────────────────────────────────────────────────────────────────

  /** Listens until the last word, since a pending receipt and the final one may come as one. */
  function answerTo(id: string): Answer {
    const first = Promise.withResolvers<Receipt>();
    const last = Promise.withResolvers<Receipt>();
    awaited.set(id, (receipt) => {
      first.resolve(receipt);
      if (!isFinal(receipt.outcome)) return;
      awaited.delete(id);
      last.resolve(receipt);
    });
    return { first: first.promise, last: last.promise };
  }

  function tellEarlier(id: string, receipt: Receipt): void {
    const entry = outbox.get(id);
    if (entry?.kind !== 'request') return;
    const request = requestKind.decode(payloadOf(entry.envelope));
    if (!request.amount) return;
    const payee = directory.byId(request.payee);
    const shown = {
      // A shop that is gone since then has no display name; its payment is told all the same.
      payee: payee ? displayName(payee, language) : request.payee,
      amount: formatMoney(request.amount, language),
    };
    tellFinal(id, shown, receipt);
  }

  function said(sentence: string): Told {
    surface.say(sentence, 'plain');
    return { kind: 'said' };
  }

  function notSent(reason: Reason | 'cancelled' | 'timed_out'): Told {
    const sentence =
      reason === 'cancelled'
        ? phrases.cancelled(language)
        : reason === 'timed_out'
          ? phrases.timedOut(language)
          : phrases.notSent(reasonPhrase(reason, language), language);
    surface.say(sentence, reason === 'cancelled' ? 'plain' : 'bad');
    return { kind: 'not_sent', reason };
  }

  return {
    async sense(sensed) {
      if (answering) {
        answering(sensed);
        return { kind: 'said' };
      }
      if (isBusy) return said(phrases.busy(language));
      isBusy = true;
      try {
        const understood = await understand(sensed);
        if ('kind' in understood) return understood;
        asked = undefined;
        return await pay(understood);
      } catch (error) {
        if (!(error instanceof PaymentError)) throw error;
        log('info', 'nothing was sent', { reason: error.reason, why: error.message });
        return notSent(error.reason);
      } finally {
        isBusy = false;
      }
    },
    hear(id, receipt) {
      const resolve = awaited.get(id);
      if (resolve) return resolve(receipt);
      // Confirmed before a power cut: the person is told now.
      if (isFinal(receipt.outcome)) tellEarlier(id, receipt);
    },
    suspend: () => {
      isSuspended = true;
      surface.say(phrases.copied(language), 'bad');
    },
  };
}
