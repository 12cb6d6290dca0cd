/**
 * The straight line of a payment on the device: from what a person did to what the person is told.
 *
 * Read `pay` from top to bottom. Before a request is in its sequence nothing has happened and
 * nothing may be sent; after it nothing is lost. What was done is understood in proposal.ts, what
 * became of it is told in telling.ts, and what was sent is called off in cancellation.ts.
 *
 * A kiosk that collects uses this same line: the clerk enters a bill, the tag of whoever pays names
 * the mandate (bill.ts), and that person confirms on the kiosk's own screen.
 */
import assert from 'node:assert/strict';
import { decodeCbor } from '../src/cbor.ts';
import type { Realm, Signer } from '../src/cose.ts';
import { PaymentError, type Reason } from '../src/errors.ts';
import { LEAVE_MS, REQUEST_VALID_S } from '../src/limits.ts';
import type { Money } from '../src/money.ts';
import type { Presence } from '../src/objects/key.ts';
import type { Order } from '../src/objects/order.ts';
import { type Receipt, isFinal } from '../src/objects/receipt.ts';
import { type Channel, type Request, request as requestKind } from '../src/objects/request.ts';
import { strictestOffline } from '../src/offline.ts';
import { within } from '../src/patience.ts';
import type { Clock, Log, Random, Timers } from '../src/platform.ts';
import { createAnswers } from './answers.ts';
import { type Counter, createBill } from './bill.ts';
import { createCancellation } from './cancellation.ts';
import { type Frame, type Needs, type Terms, frameOf, sameFrame } from './confirm.ts';
import { asksToCancel, readUtterance } from './intents/reading.ts';
import { KeyFailure } from './keys/store.ts';
import { type DeviceLink, onlineNow } from './link.ts';
import { type HeldMandate, chooseMandate } from './mandates.ts';
import { requireAcceptable } from './offline.ts';
import type { Outbox, Spending } from './outbox.ts';
import type { Directory } from './payees.ts';
import { type Language, clerkPhrases, phrases, reasonPhrase } from './phrases.ts';
import { type Pin, PinFault } from './pin.ts';
import { type Factor, createProofs } from './proof.ts';
import { type Proposal, createProposals } from './proposal.ts';
import { type Proof, type Unconfirmed, createQuestion } from './question.ts';
import type { CodeReader } from './sense/look.ts';
import type { Sensed } from './sense/sensed.ts';
import type { Sequence } from './sequence.ts';
import type { Speaker } from './speaker.ts';
import { wasDoubted } from './statement.ts';
import type { Surface } from './surface/port.ts';
import { type Told, createTelling } from './telling.ts';
import type { Time } from './time.ts';
import { type Transcript, beginTranscript, transcriptHash } from './transcript.ts';
import { SpeakerFault } from './tries.ts';
import type { Trust } from './trust.ts';
import type { Updates } from './updates.ts';
import { type Figures, storedOf } from './waiting.ts';

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

export type Parts = Readonly<{
  realm: Realm;
  language: Language;
  signer: Signer;
  /** The most presence that this device's key may claim. */
  presenceMax: Presence;
  /** Mandates that name this key, with their ids. */
  mandates: readonly HeldMandate[];
  pin: Pin;
  /** Absent unless somebody has brought a matcher of voices. */
  speaker?: Speaker | undefined;
  directory: Directory;
  trust: Trust;
  time: Time;
  outbox: Outbox;
  /** Of the signer's requests, shared by all who have it sign some. */
  sequence: Sequence;
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
  const bill = counter && createBill({ counter, mandates: parts.mandates, clock });
  const proofs = createProofs({ pin: parts.pin, speaker: parts.speaker, language, say });
  const proposals = createProposals({ ...parts, bill });
  const cancellation = createCancellation(parts);
  const telling = createTelling({ ...parts, counter, cancellation });
  /** While busy with what a person did: ends with it. */
  let atWork: Promise<void> | undefined;
  /** While busy with what is not sent yet: that it is not to be sent, and why. */
  let stopped: 'cancelled' | 'taken_off' | undefined;
  /** While busy: the payment that was sent and whose first receipt is awaited. */
  let underWay: string | undefined;
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
    const factor = needs === 3 ? requireFactor() : undefined;
    const sentence = telling.question(frame, factor, terms.payee, held.id);
    surface.ask(frame, sentence, 'confirmation');
    const shown = factor && beginTranscript({ frame, sentence }, parts);
    const confirmed = await (shown
      ? question.answer(2, proofOf(factor!, frame, shown))
      : question.answer(needs === 1 ? 1 : 2));
    if (typeof confirmed === 'string') return notSent(confirmed);
    const transcript = shown?.bytes();

    const isMeant = () => stopped === undefined && !isSuspended;
    const stored = (id: string) => void (underWay = id);
    const write = (nextCounter: number) => {
      const able = requireAble(terms.amount, terms.payee, held);
      const payload = requestKind.encode({
        ...terms,
        action: 'pay',
        exp: able.exp,
        mandate: held.id,
        counter: nextCounter,
        presence: Math.min(confirmed, parts.presenceMax) as Presence,
        ...(transcript && { transcript: transcriptHash(transcript) }),
        channel,
        nonce: able.nonce,
      });
      requireShown(payload, frame, order, needs);
      return { ...able, payload, transcript };
    };
    const added = await parts.sequence.add(write, { isMeant, stored }).catch((error: unknown) => {
      // At a counter the bill is still there, and the tag is tapped again.
      if (error instanceof KeyFailure && !counter && isMeant()) proposals.keep(proposal);
      throw error;
    });
    if (!added) return notSent(stopped ?? 'suspended');

    const { entry, draft, isStored } = added;
    const answer = answers.to(entry.id);
    if (isStored) parts.link().send(entry);
    if (isStored && draft.spends) {
      return telling.accepted(entry.id, frame, answer, draft.isSoftOver);
    }
    surface.say(phrases.sending(language), 'waiting');
    return telling.outcome(entry.id, frame, answer);
  }

  // ── its steps ──────────────────────────────────────────────────────────────────────────────

  /** Of several mandates one that can be confirmed here. Throws the fault of the factor. */
  function requireMandate(terms: Terms, channel: Channel, held: readonly HeldMandate[]) {
    const { presenceMax } = parts;
    if (presenceMax < 3) return mandateFor(presenceMax, terms, channel, held);
    if (typeof proofs.factor() === 'string') return mandateFor(3, terms, channel, held);
    try {
      return mandateFor(2, terms, channel, held);
    } catch (error) {
      const isTooLow = error instanceof PaymentError && error.reason === 'presence_too_low';
      if (isTooLow && mandateFor(3, terms, channel, held)) requireFactor();
      throw error;
    }
  }

  function requireFactor(): Factor {
    const factor = proofs.factor();
    if (typeof factor !== 'string') throw factor;
    return factor;
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

  function proofOf(factor: Factor, frame: Frame, { note }: Transcript): Proof {
    return proofs.begin(factor, (sentence) => surface.ask(frame, sentence, factor), note);
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

  // ── around it ──

  /** From what was done to one proposal, or to something said. */
  async function understand(sensed: Sensed): Promise<Proposal | Told> {
    const understood = await proposals.understand(sensed);
    if (!('kind' in understood)) return understood;
    if (understood.kind === 'say') return said(understood.sentence);
    if (understood.kind === 'quit') return understood;
    if (proposals.drop()) return notSent('cancelled');
    await cancellation.hear(understood.text);
    return { kind: 'said' };
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
        ? phrases.cancelled(language) + (counter ? '' : cancellation.remark())
        : reason === 'timed_out'
          ? phrases.timedOut(language)
          : phrases.notSent(reasonPhrase(reason, language), language);
    surface.say(sentence, reason === 'cancelled' ? 'plain' : 'bad');
    return { kind: 'not_sent', reason };
  }

  /** Nothing was stored or sent; what the person confirmed is not forgotten for a while. */
  function notSigned({ trouble, message }: KeyFailure): Told {
    log('error', 'the key did not sign', { why: message });
    const why = [phrases.keyTrouble(trouble, language), phrases.askedAgain(language)];
    const gap = language === 'en' ? ' ' : '';
    const sentence = proposals.isKept() ? why.join(gap) : why[0]!;
    surface.say(phrases.notSent(sentence, language), 'bad');
    return { kind: 'not_sent', reason: 'unavailable' };
  }

  function factorLacks(fault: PinFault | SpeakerFault): Told {
    const { reason, state } = fault;
    const isPin = fault instanceof PinFault;
    log('warn', isPin ? 'a payment needs the PIN' : 'a payment needs the voice', { state });
    const why = isPin
      ? phrases.pinTrouble(fault.state, language)
      : phrases.speakerTrouble(fault.state, language);
    surface.say(phrases.notSent(why, language), 'bad');
    return { kind: 'not_sent', reason };
  }

  /** Taken off, nobody is there who could have meant what was asked for; what was sent goes on. */
  function hearWorn(how: 'on' | 'off' | 'unpaired'): Told {
    isWorn = how === 'on';
    if (isWorn) {
      tellDropped();
    } else {
      if (atWork && !underWay) stopped = 'taken_off';
      hasDropped ||= proposals.drop();
      question.hear({ kind: 'worn', how });
    }
    return { kind: 'said' };
  }

  function tellDropped(): void {
    if (hasDropped) surface.say(phrases.takenOff(language), 'bad');
    hasDropped = false;
  }

  /** While busy only a word that cancels counts: for what is in hand, or what was just sent. */
  async function interrupt(sensed: Sensed): Promise<Told> {
    if (sensed.kind !== 'utterance') return said(phrases.busy(language));
    const { kind } = readUtterance(sensed.text, { directory, language });
    if (!underWay && kind === 'cancel') {
      stopped = 'cancelled';
      return { kind: 'said' };
    }
    if (!underWay || !asksToCancel(sensed.text)) return said(phrases.busy(language));
    await cancellation.callOff(underWay);
    return { kind: 'said' };
  }

  /** What was done, when nothing else is in hand. */
  async function take(sensed: Sensed): Promise<Told> {
    const understood = await understand(sensed);
    const hadWaiting = stopped ? proposals.drop() : false;
    if (stopped && (hadWaiting || !('kind' in understood))) return notSent(stopped);
    if ('kind' in understood) return understood;
    proposals.drop();
    const told = await pay(understood);
    // Whoever could not pay may try again, or somebody else does.
    const isUnpaid = told.kind === 'refused' || told.kind === 'not_sent';
    if (!isUnpaid || ('reason' in told && told.reason === 'cancelled')) bill?.set(undefined);
    return told;
  }

  return {
    async sense(sensed) {
      if (sensed.kind === 'worn') return hearWorn(sensed.how);
      if (!isWorn) return said(phrases.putOn(language));
      if (question.hear(sensed)) return { kind: 'said' };
      if (atWork) return interrupt(sensed);
      const work = Promise.withResolvers<void>();
      atWork = work.promise;
      let end = () => {};
      try {
        end = parts.updates.begin();
        return await take(sensed);
      } catch (error) {
        // Once it is in the outbox, no fault of ours may be told as "nothing was sent".
        if (!(error instanceof PaymentError) || underWay) throw error;
        if (error instanceof KeyFailure) return notSigned(error);
        if (error instanceof PinFault || error instanceof SpeakerFault) return factorLacks(error);
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
      bill?.set(amount);
      return true;
    },
    isIdle() {
      // Put together anew it would take itself for worn.
      return isWorn && !atWork && !proposals.isWaiting() && !bill?.isOpen();
    },
    stored: telling.stored,
    hear(id, receipt) {
      if (answers.hear(id, receipt)) return;
      // Confirmed before a power cut: the person is told now.
      if (isFinal(receipt.outcome)) telling.earlier(id, receipt);
    },
    giveUp(id) {
      cancellation.giveUp(id);
      telling.gaveUp(id);
    },
    resume: telling.untold,
    suspend: (sentence = phrases.copied(language)) => {
      isSuspended = true;
      // At a counter the terminal's own line says so.
      if (!counter) surface.say(sentence, 'bad');
    },
    async leave() {
      if (atWork && !question.isOpen()) await within(timers, LEAVE_MS, atWork);
      telling.left();
    },
  };
}
