/**
 * The straight line of a payment on the device: from what a person did to what the person is told.
 *
 * Read `pay` from top to bottom. Before `outbox.put` nothing has happened and nothing may be sent;
 * after it nothing is lost. The person is told "paid" or "refused" only on a signed final receipt;
 * until then it is "not confirmed yet", because a silence is not an answer; and what is accepted
 * without the bridge, under a lease, is "accepted" and no more.
 *
 * A kiosk that collects uses this same line: the clerk enters a bill, the tag of whoever pays names
 * the mandate, and that person confirms on the kiosk's own screen. By the time anything is known
 * that was not known at once, that person has gone: it is told to staff.
 */
import assert from 'node:assert/strict';
import { decodeCbor } from '../src/cbor.ts';
import { type Realm, type Signer, identify, payloadOf, signEnvelope } from '../src/cose.ts';
import { PaymentError, REASONS, type Reason, reasonClass } from '../src/errors.ts';
import {
  BILL_MS,
  CONFIRM_MS,
  KEPT_MS,
  LEAVE_MS,
  RECEIPTS_SHOWN,
  RECEIPT_PATIENCE_MS,
  REQUEST_VALID_S,
} from '../src/limits.ts';
import { type Money, formatMoney, parseDecimal } from '../src/money.ts';
import type { Presence } from '../src/objects/key.ts';
import { seal } from '../src/objects/kind.ts';
import type { Order } from '../src/objects/order.ts';
import { query as queryKind } from '../src/objects/query.ts';
import { type Receipt, isFinal, receipt as receiptKind } from '../src/objects/receipt.ts';
import { type Channel, type Request, request as requestKind } from '../src/objects/request.ts';
import { strictestOffline } from '../src/offline.ts';
import { within } from '../src/patience.ts';
import type { Clock, Log, Random, Timers } from '../src/platform.ts';
import { type Answer, createAnswers } from './answers.ts';
import { type Frame, type Needs, type Terms, frameOf, sameFrame } from './confirm.ts';
import { asksToCancel, readUtterance } from './intents/reading.ts';
import { KeyFailure } from './keys/store.ts';
import { type DeviceLink, onlineNow } from './link.ts';
import { type HeldMandate, chooseMandate } from './mandates.ts';
import { requireAcceptable } from './offline.ts';
import { type Entry, type Outbox, type Spending, noteTold, putConfirmed } from './outbox.ts';
import { type Directory, displayName } from './payees.ts';
import { type Language, clerkPhrases, phrases, reasonPhrase } from './phrases.ts';
import { type Pin, PinFault } from './pin.ts';
import { type Proof, pinProof } from './proof.ts';
import { type Unconfirmed, createQuestion } from './question.ts';
import type { CodeReader } from './sense/look.ts';
import type { Pointer, Sensed } from './sense/sensed.ts';
import { readTag } from './sense/tap.ts';
import { readUri } from './sense/uri.ts';
import { collectPhrases, staffPhrases } from './staff.ts';
import { openPayments, receiptLines, remaining, wasDoubted } from './statement.ts';
import type { Time } from './time.ts';
import { type Transcript, beginTranscript, transcriptHash } from './transcript.ts';
import type { Trust } from './trust.ts';
import type { Updates } from './updates.ts';
import { type Figures, figuresOf, storedOf } from './waiting.ts';

/** What the person sees and hears. */
export type Surface = Readonly<{
  /**
   * A question that waits for a confirmation; the frame is everything that is being agreed to. When
   * it `wants` the PIN, keys or pad are opened; the frame is the same as before.
   */
  ask: (frame: Frame, sentence: string, wants: 'confirmation' | 'pin') => void;
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
  /** Accepted offline, on disk, and not yet seen by the bridge; `later` has the final word. */
  | Readonly<{ kind: 'accepted'; id: string; later: Promise<Told> }>
  /** Never sent: cancelled, timed out, taken off, or not possible here. */
  | Readonly<{ kind: 'not_sent'; reason: Reason | Unconfirmed }>
  /** An answer without a payment, or a question back. */
  | Readonly<{ kind: 'said' }>
  | Readonly<{ kind: 'quit' }>;

export type Device = Readonly<{
  /** Takes what a person did; while a confirmation is open it is the answer to that. */
  sense: (sensed: Sensed) => Promise<Told>;
  /** Takes what was done as the answer to an open confirmation; false when none is open. */
  answer: (sensed: Sensed) => boolean;
  /**
   * A kiosk's bill for whoever taps a tag within BILL_MS, in place of the one before; undefined
   * takes it back. False while somebody is paying: then nothing has changed.
   */
  bill: (amount: Money | undefined) => boolean;
  /** Nothing is asked, entered or under way: nobody would notice if it were put together anew. */
  isIdle: () => boolean;
  /** What was accepted offline and waits: for staff, presence and metrics; without names. */
  stored: () => Figures;
  /** Called by the link for every verified receipt. */
  hear: (id: string, receipt: Receipt) => void;
  /** Called by the link for what is sent no more: only a person can find out how it ended. */
  giveUp: (id: string) => void;
  /** Tells what ended before a power cut and was not told: once, at the start. */
  resume: () => void;
  /**
   * Nothing is paid any more: the bridge knows more of this key than this disk (what is said unless
   * told otherwise), or has ended it.
   */
  suspend: (sentence?: string) => void;
  /**
   * Called before the program ends: waits a moment for a payment under way, then tells what is not
   * confirmed yet. An open question is not waited for: what was not confirmed is not sent.
   */
  leave: () => Promise<void>;
}>;

/** Of a device that collects at a counter: whose it is, and where its staff is told. */
export type Counter = Readonly<{
  payee: string;
  terminal: string;
  staff: Surface['say'];
}>;

export type Parts = Readonly<{
  realm: Realm;
  language: Language;
  signer: Signer;
  /** The most presence that this device's key may claim. */
  presenceMax: Presence;
  /** Mandates that name this key, with their ids. */
  mandates: readonly HeldMandate[];
  pin: Pin;
  directory: Directory;
  trust: Trust;
  time: Time;
  outbox: Outbox;
  link: () => DeviceLink;
  updates: Updates;
  readCode: CodeReader;
  surface: Surface;
  /** Absent on glasses, which only their wearer uses. */
  counter?: Counter;
  random: Random;
  clock: Clock;
  timers: Timers;
  log: Log;
}>;

/** What is to be confirmed: exactly one payee and amount. */
type Proposal = Readonly<{
  terms: Terms;
  channel: Channel;
  order: Order | undefined;
  /** Those that it may be paid under. */
  mandates: readonly HeldMandate[];
}>;

/** What a request is signed under now. */
type Able = Readonly<{
  nonce: Uint8Array;
  nowMs: number;
  /** Seconds since 1970 at which it ends. */
  exp: number;
  /** What it takes of a lease; undefined online. */
  spends: Spending | undefined;
  /** Offline: whether staff should look for the link. */
  isSoftOver: boolean;
}>;

/** The part of a frame by which a payment is named afterwards. */
type Named = Pick<Frame, 'payee' | 'amount'>;

export function createDevice(parts: Parts): Device {
  const { language, directory, trust, time, outbox, surface, counter, clock, timers, log } = parts;
  const words = counter
    ? {
        busy: clerkPhrases.busy(language),
        onlyConfirm: clerkPhrases.needPress(language),
        needPress: clerkPhrases.needPress(language),
      }
    : {
        busy: phrases.busy(language),
        onlyConfirm: phrases.onlyConfirm(language),
        needPress: phrases.needPress(language),
      };
  const say = (sentence: string) => surface.say(sentence, 'plain');
  const question = createQuestion({ words, say, directory, language, clock, timers });
  const answers = createAnswers();
  /** A payee waiting for an amount. */
  let asked: { payee: string; channel: Channel; untilMs: number } | undefined;
  /** Confirmed, but its key did not sign: to be asked about again, and confirmed anew. */
  let kept: { proposal: Proposal; untilMs: number } | undefined;
  /** What the clerk wants to be paid. */
  let billed: Readonly<{ amount: Money; untilMs: number }> | undefined;
  /** While busy with what a person did: ends with it. */
  let atWork: Promise<void> | undefined;
  /** While busy with what is not sent yet: that it is not to be sent, and why. */
  let stopped: 'cancelled' | 'taken_off' | undefined;
  /** While busy: the payment that was sent and whose first receipt is awaited. */
  let underWay: string | undefined;
  /** Payments that the person asked to cancel. */
  const calledOff = new Set<string>();
  for (const { id, cancel } of [...outbox.open(), ...outbox.untold()]) {
    if (cancel) calledOff.add(id);
  }
  /** Sent no more, so asking to cancel them would not be sent either. */
  const givenUp = new Set<string>();
  let isSuspended = false;
  let isWorn = true;
  /** Something was dropped when it was taken off, and nobody has been told. */
  let hasDropped = false;

  // ── the payment ────────────────────────────────────────────────────────────────────────────

  async function pay(proposal: Proposal): Promise<Told> {
    const { terms, channel, order, mandates } = proposal;
    const { held, needs } = requireMandate(terms, channel, mandates);
    requireAble(terms.amount, terms.payee, held);

    const frame = frameOf(terms, order, needs, directory, language);
    const sentence = sentenceFor(frame, terms.payee, held.id);
    surface.ask(frame, sentence, 'confirmation');
    const shown = needs === 3 ? beginTranscript({ frame, sentence }, parts) : undefined;
    const confirmed = await (shown
      ? question.answer(2, proofOf(frame, shown))
      : question.answer(needs === 1 ? 1 : 2));
    if (typeof confirmed === 'string') return notSent(confirmed);
    const transcript = shown?.bytes();

    const able = requireAble(terms.amount, terms.payee, held);
    const { name } = parts.signer.key;
    const used = { key: name, counter: outbox.counter(name) + 1 };
    const payload = requestKind.encode({
      ...terms,
      action: 'pay',
      exp: able.exp,
      mandate: held.id,
      counter: used.counter,
      presence: Math.min(confirmed, parts.presenceMax) as Presence,
      ...(transcript && { transcript: transcriptHash(transcript) }),
      channel,
      nonce: able.nonce,
    });
    requireShown(payload, frame, order, needs);
    const envelope = await signEnvelope(payload, parts.realm, requestKind.name, parts.signer).catch(
      (error: unknown) => {
        // At a counter the bill is still there, and the tag is tapped again.
        if (error instanceof KeyFailure && !counter && !stopped) keep(proposal);
        throw error;
      },
    );
    const { id } = identify(envelope, parts.realm, requestKind.name);
    // Called off while its key was signing, which may take a token seconds.
    if (stopped) return notSent(stopped);

    const entry = { id, kind: 'request', envelope, storedMs: able.nowMs, transcript } as const;
    const isStored = putConfirmed(outbox, entry, used, log, able.spends);
    underWay = id;
    const answer = answers.to(id);
    if (isStored) parts.link().send(entry);
    if (isStored && able.spends) return tellAccepted(id, frame, answer, able.isSoftOver);

    surface.say(phrases.sending(language), 'waiting');
    return told(id, frame, answer);
  }

  /** Tells what the receipt says; past patience the person is freed and told the rest later. */
  async function told(id: string, named: Named, answer: Answer): Promise<Told> {
    const first = await within(timers, RECEIPT_PATIENCE_MS, answer.first);
    if (first && isFinal(first.outcome)) return tellFinal(id, named, first);
    tellOpen(id, first?.reason);
    const later = answer.last.then((receipt) => tellLate(id, named, receipt));
    return { kind: 'unconfirmed', id, later };
  }

  /** Accepted offline: to the person what concerns that person, to staff what waits in all. */
  function tellAccepted(id: string, named: Named, answer: Answer, isSoftOver: boolean): Told {
    surface.say(collectPhrases.accepted(named.amount, named.payee, language), 'waiting');
    const soon = isSoftOver ? staffPhrases.connectSoon(language) : '';
    tellStored(isSoftOver ? 'bad' : 'waiting', soon);
    const later = answer.last.then((receipt) => tellLate(id, named, receipt));
    return { kind: 'accepted', id, later };
  }

  /** How a payment ended of which the end was not known at once. */
  function tellLate(id: string, named: Named, receipt: Receipt): Told {
    if (!counter) return tellFinal(id, named, receipt);
    const isPaid = isMoney(receipt);
    const why = receipt.reason === undefined ? '' : reasonPhrase(receipt.reason, language);
    counter.staff(
      isPaid
        ? staffPhrases.booked(named.amount, language)
        : staffPhrases.notBooked(named.amount, why, language),
      isPaid ? 'good' : 'bad',
    );
    noteTold(outbox, id, log);
    return { kind: isPaid ? 'paid' : 'refused', id, receipt };
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

  function tellFinal(id: string, { payee, amount }: Named, receipt: Receipt): Told {
    const isPaid = isMoney(receipt);
    if (isPaid && calledOff.has(id)) {
      surface.say(phrases.paidBeforeCancel(amount, payee, language), 'bad');
    } else if (isPaid) {
      surface.say(phrases.paid(amount, payee, language), 'good');
    } else if (receipt.reason === REASONS.cancelled) {
      surface.say(phrases.cancelledForGood(amount, payee, language), 'good');
    } else {
      const why = receipt.reason === undefined ? '' : reasonPhrase(receipt.reason, language);
      surface.say(phrases.refused(why, language), 'bad');
    }
    noteTold(outbox, id, log);
    return isPaid ? { kind: 'paid', id, receipt } : { kind: 'refused', id, receipt };
  }

  /** A payment without an end: not to be made again, and how to call it off. */
  function tellOpen(id: string, reason: number = REASONS.backend_unknown): void {
    // Whatever it waits for: only a phrase of the pending class also says "do not pay again".
    const code = reasonClass(reason) === 'pending' ? reason : REASONS.backend_unknown;
    const isAsked = calledOff.has(id);
    const plain = reasonPhrase(code, language);
    surface.say(isAsked ? plain : phrases.unconfirmed(code, language), 'waiting');
  }

  // ── calling a payment off that was sent ────────────────────────────────────────────────────

  /**
   * Asks the bridge to cancel, durably and until its final receipt. Nothing is said to be cancelled
   * before that, not even what was never sent: its bytes may have left all the same.
   */
  async function callOff({ id, envelope }: Entry): Promise<Told> {
    const { amount, payee } = nameOf(requestKind.decode(payloadOf(envelope)));
    const ask = { question: 'cancel', subject: id } as const;
    const query = await seal(queryKind, ask, parts.realm, parts.signer);
    const open = outbox.cancel(id, query);
    if (!open) return { kind: 'said' }; // Its final receipt came meanwhile, and was told.
    calledOff.add(id);
    parts.link().send(open);
    surface.say(phrases.cancelling(amount, payee, language), 'waiting');
    return { kind: 'said' };
  }

  /** A "no" ends a question; what was sent already is called off only in so many words. */
  async function hearCancel(text: string): Promise<Told> {
    if (dropWaiting()) return notSent('cancelled');
    return claimingNothing(() => {
      const open = newestOpen();
      if (!open) return said(phrases.nothingToCancel(language));
      if (asksToCancel(text)) return callOff(open);
      return said(phrases.unconfirmed(REASONS.backend_unknown, language));
    });
  }

  /** While its first receipt is awaited: the payment under way is meant, and no other. */
  function callOffUnderWay(id: string): Promise<Told> {
    return claimingNothing(() => {
      const entry = outbox.get(id);
      if (!entry) throw new PaymentError('unavailable', 'the disk has not kept the payment');
      return callOff(entry);
    });
  }

  /** When the disk refuses a cancel, the payment goes on: nothing of it may be called not sent. */
  async function claimingNothing(run: () => Told | Promise<Told>): Promise<Told> {
    try {
      return await run();
    } catch (error) {
      if (!(error instanceof PaymentError)) throw error;
      log('error', 'a cancel was not kept, so not asked for', { why: error.message });
      surface.say(phrases.cancelFailed(language), 'bad');
      return { kind: 'said' };
    }
  }

  /** The payment that "cancel" is about when none is in hand. */
  function newestOpen(): Entry | undefined {
    return outbox.open().findLast(({ id }) => !givenUp.has(id) && earlier(id) !== undefined);
  }

  // ── its steps ──────────────────────────────────────────────────────────────────────────────

  /** From what was done to one proposal, or to something said. */
  async function understand(sensed: Sensed): Promise<Proposal | Told> {
    if (counter) return collect(counter, await pointerOf(sensed));
    switch (sensed.kind) {
      case 'worn': // heard before
      case 'pin':
        return said(phrases.nothingToConfirm(language));
      case 'utterance':
        return hearUtterance(sensed.text);
      case 'tag':
      case 'link':
        return follow(await pointerOf(sensed), 'tap');
      case 'picture':
        return follow(await pointerOf(sensed), 'look');
      case 'press':
        return again() ?? said(phrases.help(language));
    }
  }

  async function pointerOf(sensed: Sensed): Promise<Pointer> {
    if (sensed.kind === 'tag') return readTag(sensed.message);
    if (sensed.kind === 'link') return readUri(sensed.text);
    const code = sensed.kind === 'picture' ? await parts.readCode(sensed.png) : undefined;
    return code ?? { kind: 'foreign' };
  }

  /** A tag at a counter says under which mandate the bill may be paid; it is no consent. */
  function collect({ payee, terminal }: Counter, pointer: Pointer): Proposal | Told {
    if (!billed || clock.monotonicMs() > billed.untilMs) {
      return said(collectPhrases.noBill(language));
    }
    const mandates = parts.mandates.filter(
      ({ id }) => pointer.kind === 'payer' && id === pointer.mandate,
    );
    if (mandates.length === 0) return said(collectPhrases.unknownTag(language));
    const terms = { amount: billed.amount, payee, terminal };
    return { terms, channel: 'tap', order: undefined, mandates };
  }

  function hearUtterance(text: string): Proposal | Told | Promise<Told> {
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
        return said(phrases.left(remaining(outbox, parts.mandates, language), language));
      case 'receipts':
        return said(receiptLines(outbox, language).join('\n') || phrases.noReceipts(language));
      case 'look':
      case 'help':
        return said(phrases.help(language));
      case 'confirm':
        return again() ?? said(phrases.nothingToConfirm(language));
      case 'cancel':
        return hearCancel(text);
      case 'quit':
        return { kind: 'quit' };
      case 'miss':
        return said(phrases.miss(reading.why, reading.heard, language));
    }
  }

  function follow(pointer: Pointer, channel: 'tap' | 'look'): Proposal | Told {
    switch (pointer.kind) {
      case 'foreign':
      case 'payer':
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
        requireOpen(value);
        const { amount, payee, terminal } = value;
        const terms = { amount, payee, terminal, order: id };
        return { terms, channel, order: value, mandates: parts.mandates };
      }
    }
  }

  function propose(amount: Money, payee: string, channel: Channel): Proposal {
    const { mandates } = parts;
    return { terms: { amount, payee }, channel, order: undefined, mandates };
  }

  function askAmount(payee: string, channel: Channel): Told {
    asked = { payee, channel, untilMs: clock.monotonicMs() + CONFIRM_MS };
    return said(phrases.howMuch(displayName(directory.byId(payee)!, language), language));
  }

  function keep(proposal: Proposal): void {
    kept = { proposal, untilMs: clock.monotonicMs() + KEPT_MS };
  }

  function takeKept(): Proposal | undefined {
    const last = kept;
    kept = undefined;
    return last && clock.monotonicMs() <= last.untilMs ? last.proposal : undefined;
  }

  /** What was kept, once. Throws `order_expired` when its order is over by now. */
  function again(): Proposal | undefined {
    const proposal = takeKept();
    if (proposal?.order) requireOpen(proposal.order);
    return proposal;
  }

  function requireOpen({ exp }: Order): void {
    const nowMs = time.trustedMs();
    if (nowMs !== undefined && nowMs / 1000 >= exp) {
      throw new PaymentError('order_expired', 'the order is over');
    }
  }

  /** Of several mandates one that can be confirmed here. Throws PinFault when only a PIN lacks. */
  function requireMandate(terms: Terms, channel: Channel, held: readonly HeldMandate[]) {
    const { presenceMax, pin } = parts;
    if (presenceMax < 3) return mandateFor(presenceMax, terms, channel, held);
    const state = pin.state();
    if (state === 'ready') return mandateFor(3, terms, channel, held);
    try {
      return mandateFor(2, terms, channel, held);
    } catch (error) {
      const isTooLow = error instanceof PaymentError && error.reason === 'presence_too_low';
      if (isTooLow && mandateFor(3, terms, channel, held)) throw new PinFault(state);
      throw error;
    }
  }

  function mandateFor(
    presenceMax: Presence,
    terms: Terms,
    channel: Channel,
    held: readonly HeldMandate[],
  ) {
    const wanted = {
      terms,
      channel,
      nowS: (time.trustedMs() ?? clock.nowMs()) / 1000,
      terminals: trust.terminals(terms.payee),
      policies: trust.policies(terms.payee),
      presenceMax,
    };
    return chooseMandate(held, wanted, (id) => wasDoubted(outbox, id, terms.amount));
  }

  /**
   * The question; whoever has not heard how the last payment ended may take it for the same. At a
   * counter nobody is told of others' payments.
   */
  function sentenceFor({ amount, payee, needs }: Frame, id: string, mandate: string): string {
    const open = openPayments(outbox).filter(
      (one) => one.payee === id && (!counter || one.mandate === mandate),
    );
    const amounts = open.map((one) => formatMoney(one.amount, language)).slice(-RECEIPTS_SHOWN);
    if (counter) {
      return open.length === 0
        ? collectPhrases.ask(amount, payee, language)
        : collectPhrases.askAgain(amounts, amount, payee, language);
    }
    if (open.length === 0) return phrases.ask(amount, payee, needs, language);
    return phrases.askAgain(amounts, amount, payee, needs, language);
  }

  function proofOf(frame: Frame, { note }: Transcript): Proof {
    const ask = (sentence: string) => surface.ask(frame, sentence, 'pin');
    return pinProof({ pin: parts.pin, language, ask, say, note });
  }

  /**
   * Online under a fresh nonce; else as far as policies and the lease allow, see offline.ts; and
   * never with a key that somebody else may hold.
   */
  function requireAble(amount: Money, payee: string, { id, payer }: HeldMandate): Able {
    if (isSuspended) throw new PaymentError('suspended', 'this key was copied or restored');
    const fresh = onlineNow(parts.link(), time);
    if (fresh) {
      const exp = Math.floor(fresh.nowMs / 1000) + REQUEST_VALID_S;
      return { ...fresh, exp, spends: undefined, isSoftOver: false };
    }
    const { lease, ...accepted } = requireAcceptable({
      amount,
      rules: strictestOffline(trust.policies(payee), amount.currency),
      lease: outbox.lease(id),
      stored: storedOf(outbox.accepted(), amount.currency, payer),
      nowMs: time.heldMs(),
      awayMs: time.awayMs(),
    });
    const spends = { lease, payer, amount };
    return { ...accepted, nonce: lease.nonce, exp: lease.upload, spends };
  }

  /** What is about to be signed, read back and drawn again, is what the person was shown. */
  function requireShown(payload: Uint8Array, shown: Frame, order: Order | undefined, needs: Needs) {
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

  function tellEarlier(id: string, receipt: Receipt): void {
    const named = earlier(id);
    if (named) tellLate(id, named, receipt);
  }

  /** How a payment of the outbox is named; undefined for what is no payment. */
  function earlier(id: string): Named | undefined {
    const entry = outbox.get(id);
    if (entry?.kind !== 'request') return undefined;
    const request = requestKind.decode(payloadOf(entry.envelope));
    return request.action === 'pay' ? nameOf(request) : undefined;
  }

  function nameOf({ payee: id, amount }: Request): Named {
    const payee = directory.byId(id);
    return {
      // A shop that is gone since then has no display name; its payment is told all the same.
      payee: payee ? displayName(payee, language) : id,
      amount: formatMoney(amount!, language),
    };
  }

  function said(sentence: string): Told {
    surface.say(sentence, 'plain');
    return { kind: 'said' };
  }

  function notSent(reason: Reason | Unconfirmed): Told {
    if (reason === 'taken_off') {
      hasDropped = true;
      if (isWorn) tellDropped();
      return { kind: 'not_sent', reason };
    }
    const sentence =
      reason === 'cancelled'
        ? phrases.cancelled(language) + stillToCancel()
        : reason === 'timed_out'
          ? phrases.timedOut(language)
          : phrases.notSent(reasonPhrase(reason, language), language);
    surface.say(sentence, reason === 'cancelled' ? 'plain' : 'bad');
    return { kind: 'not_sent', reason };
  }

  function tellDropped(): void {
    if (hasDropped) surface.say(phrases.takenOff(language), 'bad');
    hasDropped = false;
  }

  /** Taken off, nobody is there who could have meant what was asked for; what was sent goes on. */
  function hearWorn(how: 'on' | 'off' | 'unpaired'): Told {
    isWorn = how === 'on';
    if (isWorn) {
      tellDropped();
    } else {
      if (atWork && !underWay) stopped = 'taken_off';
      hasDropped ||= dropWaiting();
      question.hear({ kind: 'worn', how });
    }
    return { kind: 'said' };
  }

  /** Forgets what waits for one more word; whether anything did. */
  function dropWaiting(): boolean {
    const wasAsked = asked !== undefined && clock.monotonicMs() <= asked.untilMs;
    asked = undefined;
    return takeKept() !== undefined || wasAsked;
  }

  function isNo(sensed: Sensed): boolean {
    if (sensed.kind !== 'utterance') return false;
    return readUtterance(sensed.text, { directory, language }).kind === 'cancel';
  }

  /** Nothing was stored or sent; what the person confirmed is not forgotten for a while. */
  function notSigned({ trouble, message }: KeyFailure): Told {
    log('error', 'the key did not sign', { why: message });
    const why = [phrases.keyTrouble(trouble, language), phrases.askedAgain(language)];
    const gap = language === 'en' ? ' ' : '';
    surface.say(phrases.notSent(kept ? why.join(gap) : why[0]!, language), 'bad');
    return { kind: 'not_sent', reason: 'unavailable' };
  }

  function pinLacks({ reason, state }: PinFault): Told {
    log('warn', 'a payment needs the PIN', { state });
    surface.say(phrases.notSent(phrases.pinTrouble(state, language), language), 'bad');
    return { kind: 'not_sent', reason };
  }

  /** A "no" to a question leaves alone what was sent before it: the person is told so. */
  function stillToCancel(): string {
    const open = counter ? undefined : newestOpen();
    if (!open || calledOff.has(open.id)) return '';
    const { amount, payee } = earlier(open.id)!;
    const gap = language === 'en' ? ' ' : '';
    return gap + phrases.notConfirmed([amount], payee, language) + phrases.mayCancel(language);
  }

  /** Tells of what goes on without the person, by the payment. */
  function tellLeft(): void {
    if (counter) return outbox.accepted().length > 0 ? tellStored('waiting') : undefined;
    const open = openPayments(outbox).filter(({ entry }) => !givenUp.has(entry.id));
    for (const { entry } of open.slice(-RECEIPTS_SHOWN)) {
      const { amount, payee } = earlier(entry.id)!;
      const sentence = phrases.notConfirmed([amount], payee, language);
      surface.say(sentence + phrases.leaving(language), 'waiting');
    }
  }

  return {
    async sense(sensed) {
      if (sensed.kind === 'worn') return hearWorn(sensed.how);
      if (!isWorn) return said(phrases.putOn(language));
      if (question.hear(sensed)) return { kind: 'said' };
      if (atWork) {
        if (!underWay && isNo(sensed)) {
          stopped = 'cancelled';
          return { kind: 'said' };
        }
        const isCancel = sensed.kind === 'utterance' && asksToCancel(sensed.text);
        return isCancel && underWay ? callOffUnderWay(underWay) : said(phrases.busy(language));
      }
      const work = Promise.withResolvers<void>();
      atWork = work.promise;
      let end = () => {};
      try {
        end = parts.updates.begin();
        const understood = await understand(sensed);
        const hadWaiting = stopped ? dropWaiting() : false;
        if (stopped && (hadWaiting || !('kind' in understood))) return notSent(stopped);
        if ('kind' in understood) return understood;
        asked = undefined;
        kept = undefined;
        const told = await pay(understood);
        // Whoever could not pay may try again, or somebody else does.
        const isUnpaid = told.kind === 'refused' || told.kind === 'not_sent';
        if (!isUnpaid || ('reason' in told && told.reason === 'cancelled')) billed = undefined;
        return told;
      } catch (error) {
        // Once it is in the outbox, no fault of ours may be told as "nothing was sent".
        if (!(error instanceof PaymentError) || underWay) throw error;
        if (error instanceof KeyFailure) return notSigned(error);
        if (error instanceof PinFault) return pinLacks(error);
        log('info', 'nothing was sent', { reason: error.reason, why: error.message });
        return notSent(error.reason);
      } finally {
        end();
        atWork = undefined;
        underWay = undefined;
        stopped = undefined;
        work.resolve();
      }
    },
    answer: question.hear,
    bill(amount) {
      if (atWork) return false;
      billed = amount && { amount, untilMs: clock.monotonicMs() + BILL_MS };
      return true;
    },
    isIdle() {
      const nowMs = clock.monotonicMs();
      const isFuture = (one: Readonly<{ untilMs: number }> | undefined) =>
        one !== undefined && nowMs <= one.untilMs;
      // Put together anew it would take itself for worn.
      return isWorn && !atWork && ![asked, kept, billed].some(isFuture);
    },
    stored,
    hear(id, receipt) {
      if (answers.hear(id, receipt)) return;
      // Confirmed before a power cut: the person is told now.
      if (isFinal(receipt.outcome)) tellEarlier(id, receipt);
    },
    giveUp(id) {
      givenUp.add(id);
      const named = earlier(id);
      const say = counter?.staff ?? surface.say;
      if (named) say(phrases.gaveUp(named.amount, named.payee, language), 'bad');
    },
    resume() {
      for (const { id, receipt } of outbox.untold()) {
        tellEarlier(id, receiptKind.decode(payloadOf(receipt!)));
      }
    },
    suspend: (sentence = phrases.copied(language)) => {
      isSuspended = true;
      // At a counter the terminal's own line says so.
      if (!counter) surface.say(sentence, 'bad');
    },
    async leave() {
      if (atWork && !question.isOpen()) await within(timers, LEAVE_MS, atWork);
      tellLeft();
    },
  };
}

/** Whether money moved, or is held. */
function isMoney({ outcome }: Receipt): boolean {
  return outcome === 'captured' || outcome === 'held';
}
