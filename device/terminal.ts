/**
 * The kiosk's two lines. A basket becomes a signed Order, the order becomes a code, the code gets
 * paid; and what was paid or held is refunded, captured or released when the clerk confirms it.
 *
 * An order goes into the outbox like a payment and is sent up until the bridge's last word on it,
 * so the kiosk learns that it was paid even if it was off at that moment. The code is shown only
 * when the bridge has the order: nobody can look at one that would be refused as unknown.
 *
 * A terminal knows the orders that it made, not the requests that paid them, so it names the order
 * as the original and the bridge looks up the payment. How much is left of that only the bridge
 * knows; what is asked here is what the clerk was shown.
 */
import assert from 'node:assert/strict';
import { decodeCbor } from '../src/cbor.ts';
import { type Realm, type Signer, identify, payloadOf } from '../src/cose.ts';
import { PaymentError, type Reason, reasonName } from '../src/errors.ts';
import {
  CODE_CHARS_MAX,
  LEAVE_MS,
  ORDER_VALID_S,
  RECEIPTS_SEARCHED,
  RECEIPT_PATIENCE_MS,
  REQUEST_VALID_S,
} from '../src/limits.ts';
import { type Money, formatMoney } from '../src/money.ts';
import type { KeyStatement, Presence } from '../src/objects/key.ts';
import { seal } from '../src/objects/kind.ts';
import { type Order, type OrderLine, order as orderKind } from '../src/objects/order.ts';
import { type Receipt, isFinal, receipt as receiptKind } from '../src/objects/receipt.ts';
import { type Request, request as requestKind } from '../src/objects/request.ts';
import { within } from '../src/patience.ts';
import type { Clock, Log, Random, Timers } from '../src/platform.ts';
import { type Answer, createAnswers } from './answers.ts';
import { type Frame, frameOf } from './confirm.ts';
import { type Deed, ORDER_DIGITS } from './intents/clerk.ts';
import { KeyFailure } from './keys/store.ts';
import { type DeviceLink, requireOnline } from './link.ts';
import { type Outbox, noteTold } from './outbox.ts';
import { createDirectory } from './payees.ts';
import { type Language, clerkPhrases, clerkReason, phrases } from './phrases.ts';
import { type Unconfirmed, createQuestion } from './question.ts';
import type { Sensed } from './sense/sensed.ts';
import { orderUri } from './sense/uri.ts';
import type { Sequence } from './sequence.ts';
import type { Surface } from './surface/port.ts';
import type { Time } from './time.ts';
import type { Trust } from './trust.ts';
import type { Updates } from './updates.ts';

/** An order on the kiosk's screen. */
export type OpenOrder = Readonly<{
  id: string;
  envelope: Uint8Array;
  /** What the code on the screen says. */
  uri: string;
  /** Resolves when the bridge has the order, so that it may be shown; rejects when it refuses. */
  registered: Promise<void>;
  /** Resolves with the bridge's last word: paid, held, or expired. */
  settled: Promise<Receipt>;
}>;

/** How something that a clerk asked for ended. */
export type Acted =
  | Readonly<{ kind: 'done'; id: string; receipt: Receipt }>
  | Readonly<{ kind: 'refused'; id: string; receipt: Receipt }>
  /** Sent, and not answered for good yet; `later` resolves with the final word. */
  | Readonly<{ kind: 'unconfirmed'; id: string; later: Promise<Acted> }>
  /** Never signed, never sent. */
  | Readonly<{ kind: 'not_sent'; reason: Reason | Unconfirmed | 'busy' }>;

export type Terminal = Readonly<{
  /**
   * Signs, stores and sends an order. Throws `offline_not_allowed` without a fresh tick,
   * `too_large` when it fits no code, `unavailable` when the disk refuses; then there is no order.
   */
  order: (lines: readonly OrderLine[], currency: string) => Promise<OpenOrder>;
  /** Asks the clerk to confirm a refund, capture or void, and does it. Tells how it ended. */
  act: (deed: Deed) => Promise<Acted>;
  /** Takes what the clerk did as the answer to an open question; false when none is open. */
  answer: (sensed: Sensed) => boolean;
  /** Called by the link for every verified receipt. */
  hear: (id: string, receipt: Receipt) => void;
  /** Called by the link for what is sent no more: only a person can find out how it ended. */
  giveUp: (id: string) => void;
  /** Tells what ended before a power cut and was not told: once, at the start. */
  resume: () => void;
  /** Called by the link when the bridge knows more of this key than this disk. */
  suspend: (sentence?: string) => void;
  /**
   * Called before the program ends: waits a moment for what was confirmed, then tells that it is
   * not confirmed yet. An open question is not waited for.
   */
  leave: () => Promise<void>;
  /** Nothing is asked or under way. */
  isIdle: () => boolean;
}>;

/** What a clerk asked for, as it is shown, and named afterwards. */
type Act = Pick<Request, 'action' | 'amount' | 'payee' | 'terminal' | 'original'>;

export function createTerminal(
  parts: Readonly<{
    realm: Realm;
    language: Language;
    signer: Signer;
    /** This terminal's own Key statement: payee and terminal of its orders. */
    statement: KeyStatement;
    trust: Trust;
    time: Time;
    outbox: Outbox;
    /** Of the signer's requests, shared with the line of payments. */
    sequence: Sequence;
    link: () => DeviceLink;
    updates: Updates;
    surface: Surface;
    random: Random;
    clock: Clock;
    timers: Timers;
    log: Log;
  }>,
): Terminal {
  const { realm, signer, statement, language, time, outbox, surface, clock, timers, log } = parts;
  const directory = createDirectory(parts.trust.payees);
  const needPress = clerkPhrases.needPress(language);
  const words = { busy: clerkPhrases.busy(language), onlyConfirm: needPress, needPress };
  const say = (sentence: string) => surface.say(sentence, 'plain');
  const question = createQuestion({ words, say, directory, language, clock, timers });
  const answers = createAnswers();
  const open = new Map<string, Waiting>();
  /** While busy with what the clerk asked for: ends with it. */
  let atWork: Promise<void> | undefined;
  let isSuspended = false;

  // ── an order ───────────────────────────────────────────────────────────────────────────────

  async function order(lines: readonly OrderLine[], currency: string): Promise<OpenOrder> {
    const { nowMs } = requireOnline(parts.link(), time);
    const minor = lines.reduce((sum, { total }) => sum + total, 0n);
    const envelope = await seal(
      orderKind,
      {
        exp: Math.floor(nowMs / 1000) + ORDER_VALID_S,
        amount: { currency, minor },
        payee: statement.payee!,
        terminal: statement.terminal!,
        lines,
        salt: parts.random(16),
      },
      realm,
      signer,
    );
    const uri = orderUri(envelope);
    if (uri.length > CODE_CHARS_MAX) {
      throw new PaymentError('too_large', 'the order does not fit a code: fewer lines');
    }
    const { id } = identify(envelope, realm, orderKind.name);
    const entry = { id, kind: 'order', envelope, storedMs: nowMs } as const;
    outbox.put(entry);

    const registered = Promise.withResolvers<void>();
    const settled = Promise.withResolvers<Receipt>();
    registered.promise.catch(() => {}); // Whoever does not wait for it hears of it by `settled`.
    open.set(id, {
      register: registered.resolve,
      refuse: registered.reject,
      settle: settled.resolve,
    });
    parts.link().send(entry);
    return { id, envelope, uri, registered: registered.promise, settled: settled.promise };
  }

  function hearOrder(id: string, receipt: Receipt): void {
    const waiting = open.get(id);
    if (!isFinal(receipt.outcome)) return waiting?.register();
    tellOrder(id, receipt);
    if (!waiting) return;
    open.delete(id);
    // Paid or expired means that it was registered; a refused order must not be shown.
    if (receipt.outcome === 'refused') {
      const reason = reasonName(receipt.reason ?? 0) ?? 'unavailable';
      waiting.refuse(new PaymentError(reason, 'the bridge refuses this order'));
    }
    waiting.register();
    waiting.settle(receipt);
  }

  function tellOrder(id: string, receipt: Receipt): void {
    const { amount } = orderOf(id);
    const total = formatMoney(amount, language);
    if (receipt.outcome === 'captured') {
      surface.say(clerkPhrases.orderPaid(total, shortOf(id), language), 'good');
    } else if (receipt.outcome === 'held') {
      surface.say(clerkPhrases.orderHeld(total, shortOf(id), language), 'good');
    } else {
      const why = receipt.reason === undefined ? '' : clerkReason(receipt.reason, language);
      surface.say(clerkPhrases.orderOver(shortOf(id), why, language), 'bad');
    }
    noteTold(outbox, id, log);
  }

  // ── a refund, a capture, a void ────────────────────────────────────────────────────────────

  async function act(deed: Deed): Promise<Acted> {
    const { id: original, value: about } = requireOrder(deed);
    const { payee, terminal } = about;
    const left = leftOf(original, about);
    const amount = requireAmount(deed, about, left);
    const isTooMuch = amount.minor > left.minor || left.minor === 0n;
    if (deed.action !== 'void' && isTooMuch) return tooMuch(deed, original, left);
    const asked: Act = { action: deed.action, amount, payee, terminal, original };
    requireAble();

    const shown = draw(asked, about);
    surface.ask(shown.frame, shown.sentence, 'confirmation');
    const confirmed = await question.answer(2);
    if (typeof confirmed === 'string') return notSent(confirmed);

    const write = (counter: number) => {
      const { nonce, nowMs } = requireAble();
      const payload = requestKind.encode({
        ...asked,
        exp: Math.floor(nowMs / 1000) + REQUEST_VALID_S,
        // The bridge takes the mandate of the payment that it finds by the order.
        mandate: original,
        counter,
        presence: Math.min(confirmed, statement.presenceMax) as Presence,
        channel: 'touch',
        nonce,
      });
      const again = draw(requestKind.decode(decodeCbor(payload)), about);
      assert.deepEqual(again, shown, 'what would be signed is not what was shown');
      return { payload, nowMs };
    };
    const added = await parts.sequence.add(write, { isMeant: () => !isSuspended });
    if (!added) return notSent('suspended');
    const { entry, isStored } = added;
    const { id } = entry;
    const answer = answers.to(id);
    if (isStored) parts.link().send(entry);

    surface.say(clerkPhrases.sending(language), 'waiting');
    return told(id, asked, answer);
  }

  /** Tells what the receipt says; past patience the clerk is freed and told the rest later. */
  async function told(id: string, done: Act, answer: Answer): Promise<Acted> {
    const first = await within(timers, RECEIPT_PATIENCE_MS, answer.first);
    if (first && isFinal(first.outcome)) return tellFinal(id, done, first);
    surface.say(clerkPhrases.unconfirmed(language), 'waiting');
    return {
      kind: 'unconfirmed',
      id,
      later: answer.last.then((receipt) => tellFinal(id, done, receipt)),
    };
  }

  function tellFinal(id: string, done: Act, receipt: Receipt): Acted {
    const isDone = receipt.outcome !== 'refused' && receipt.outcome !== 'expired';
    const why = receipt.reason === undefined ? '' : clerkReason(receipt.reason, language);
    const sentence = isDone ? doneOf(done) : clerkPhrases.refused(why, language);
    surface.say(sentence, isDone ? 'good' : 'bad');
    noteTold(outbox, id, log);
    return { kind: isDone ? 'done' : 'refused', id, receipt };
  }

  function notSent(reason: Reason | Unconfirmed, more = ''): Acted {
    const sentence =
      reason === 'cancelled'
        ? phrases.cancelled(language)
        : reason === 'timed_out' || reason === 'taken_off'
          ? phrases.timedOut(language)
          : clerkPhrases.notSent(clerkReason(reason, language) + more, language);
    surface.say(sentence, reason === 'cancelled' ? 'plain' : 'bad');
    return { kind: 'not_sent', reason };
  }

  // ── its steps ──────────────────────────────────────────────────────────────────────────────

  /** The order that is meant; what can be done to it is at last the bridge's to say. */
  function requireOrder({ action, order: name }: Deed): Readonly<{ id: string; value: Order }> {
    const found = outbox.orders(name === 'last' ? '' : name, RECEIPTS_SEARCHED);
    const outcomeOf = (receipt: Uint8Array) => receiptKind.decode(payloadOf(receipt)).outcome;
    const ended = found.map(({ id, receipt }) => ({ id, outcome: outcomeOf(receipt!) }));
    const moved = ended.filter(({ outcome }) => outcome === 'captured' || outcome === 'held');
    // What was held may have been captured since, so that it can be refunded.
    const fitting = moved.filter(({ outcome }) => action === 'refund' || outcome === 'held');
    const [first, second] = fitting;
    if (first && (name === 'last' || !second)) return { id: first.id, value: orderOf(first.id) };
    const reason = moved.length > 0 && !first ? 'not_held' : 'original_unknown';
    throw new PaymentError(reason, `no single order ${name} that this can be done to`);
  }

  /**
   * What is left of an order to refund or capture, as far as this terminal did it itself: the
   * bridge knows better, but then it can only say no.
   */
  function leftOf(order: string, { amount: total }: Order): Money {
    const done = outbox.recent(RECEIPTS_SEARCHED).flatMap(({ id, receipt }) => {
      const { action, amount, original } = earlier(id);
      const { outcome } = receiptKind.decode(payloadOf(receipt!));
      return original === order && amount ? [{ action, outcome, minor: amount.minor }] : [];
    });
    const captured = done.find((one) => one.action === 'capture' && one.outcome === 'captured');
    const isVoided = done.some((one) => one.action === 'void' && one.outcome === 'voided');
    const refunded = done
      .filter(({ action, outcome }) => action === 'refund' && outcome === 'refunded')
      .reduce((sum, { minor }) => sum + minor, 0n);
    const taken = isVoided ? 0n : (captured?.minor ?? total.minor);
    return { currency: total.currency, minor: taken > refunded ? taken - refunded : 0n };
  }

  /** The amount that is named, or else all that is left; a void is always of all. */
  function requireAmount({ action, amount }: Deed, { amount: total }: Order, left: Money): Money {
    if (action === 'void') return total;
    if (!amount) return left;
    if (amount.currency === total.currency) return amount;
    throw new PaymentError('currency_mismatch', 'the order is in another currency');
  }

  function tooMuch({ action }: Deed, order: string, left: Money): Acted {
    const reason = action === 'refund' ? 'refund_exceeds' : 'capture_exceeds';
    const amount = left.minor === 0n ? undefined : formatMoney(left, language);
    return notSent(reason, clerkPhrases.leftOf(amount, shortOf(order), language));
  }

  /** Online only, and not with a key that somebody else may hold. */
  function requireAble(): Readonly<{ nonce: Uint8Array; nowMs: number }> {
    if (isSuspended) throw new PaymentError('suspended', 'this key was copied or restored');
    return requireOnline(parts.link(), time);
  }

  /** Everything that the clerk agrees to, from the request's own fields. */
  function draw(asked: Act, about: Order): Readonly<{ frame: Frame; sentence: string }> {
    const { amount, original } = asked;
    assert(amount && original);
    const frame = frameOf({ ...asked, amount }, about, 2, directory, language);
    const order = shortOf(original);
    const action = actionOf(asked);
    const sentence = clerkPhrases.ask(action, frame.amount, order, frame.payee, language);
    return { frame, sentence };
  }

  function doneOf(act: Act): string {
    const amount = formatMoney(act.amount!, language);
    return clerkPhrases.done(actionOf(act), amount, shortOf(act.original!), language);
  }

  /** A request of the outbox, as it was asked for. */
  function earlier(id: string): Act {
    return requestKind.decode(payloadOf(outbox.get(id)!.envelope));
  }

  function orderOf(id: string): Order {
    return orderKind.decode(payloadOf(outbox.get(id)!.envelope));
  }

  function hear(id: string, receipt: Receipt): void {
    if (answers.hear(id, receipt)) return;
    const kind = outbox.get(id)?.kind;
    if (kind === 'order') return hearOrder(id, receipt);
    // Confirmed before a power cut: the clerk is told now. What was collected is told by the line
    // of payments (runtime.ts).
    const asked = kind === 'request' ? earlier(id) : undefined;
    if (asked && asked.action !== 'pay' && isFinal(receipt.outcome)) tellFinal(id, asked, receipt);
  }

  return {
    order,
    async act(deed) {
      if (atWork) {
        surface.say(clerkPhrases.busy(language), 'plain');
        return { kind: 'not_sent', reason: 'busy' };
      }
      const work = Promise.withResolvers<void>();
      atWork = work.promise;
      let end = () => {};
      try {
        end = parts.updates.begin();
        return await act(deed);
      } catch (error) {
        if (!(error instanceof PaymentError)) throw error;
        log('info', 'nothing was sent', { reason: error.reason, why: error.message });
        if (!(error instanceof KeyFailure)) return notSent(error.reason);
        log('error', 'the key did not sign', { why: error.message });
        const why = phrases.keyTrouble(error.trouble, language);
        surface.say(clerkPhrases.notSent(why, language), 'bad');
        return { kind: 'not_sent', reason: error.reason };
      } finally {
        end();
        atWork = undefined;
        work.resolve();
      }
    },
    answer: question.hear,
    hear,
    giveUp(id) {
      const asked = outbox.get(id)?.kind === 'request' ? earlier(id) : undefined;
      if (asked?.action === 'pay') return;
      const action = asked && actionOf(asked);
      const order = shortOf(asked?.original ?? id);
      surface.say(clerkPhrases.gaveUp(action, order, language), 'bad');
    },
    resume() {
      for (const { id, receipt } of outbox.untold()) {
        hear(id, receiptKind.decode(payloadOf(receipt!)));
      }
    },
    suspend(sentence = phrases.copied(language)) {
      isSuspended = true;
      surface.say(sentence, 'bad');
    },
    isIdle: () => !atWork,
    async leave() {
      if (atWork && !question.isOpen()) await within(timers, LEAVE_MS, atWork);
      const isOpen = outbox
        .open()
        .some(({ id, kind }) => kind === 'request' && earlier(id).action !== 'pay');
      if (isOpen) surface.say(clerkPhrases.leaving(language), 'waiting');
    },
  };
}

type Waiting = Readonly<{
  register: () => void;
  refuse: (why: PaymentError) => void;
  settle: (receipt: Receipt) => void;
}>;

function actionOf({ action }: Pick<Request, 'action'>): Deed['action'] {
  assert(action === 'refund' || action === 'capture' || action === 'void');
  return action;
}

function shortOf(id: string): string {
  return id.slice(0, ORDER_DIGITS);
}
