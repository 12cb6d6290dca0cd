/**
 * Calling a payment off that was sent: the bridge is asked to cancel it, durably and until its
 * final receipt. Nothing is said to be cancelled before that, not even what was never sent: its
 * bytes may have left all the same.
 */
import { type Realm, type Signer, payloadOf } from '../src/cose.ts';
import { PaymentError, REASONS } from '../src/errors.ts';
import { seal } from '../src/objects/kind.ts';
import { query as queryKind } from '../src/objects/query.ts';
import { request as requestKind } from '../src/objects/request.ts';
import type { Log } from '../src/platform.ts';
import { asksToCancel } from './intents/reading.ts';
import type { DeviceLink } from './link.ts';
import type { Entry, Outbox } from './outbox.ts';
import type { Directory } from './payees.ts';
import { type Language, phrases } from './phrases.ts';
import { namePayment, paymentOf } from './statement.ts';
import type { Surface } from './surface/port.ts';

export type Cancellation = Readonly<{
  /** A word that cancels, with nothing in hand: what was sent is called off only in so many. */
  hear: (text: string) => Promise<void>;
  /** Calls off the payment under way, and no other. */
  callOff: (id: string) => Promise<void>;
  /** Whether the person asked to cancel it, now or before a power cut. */
  isAsked: (id: string) => boolean;
  /** It is sent no more, so asking to cancel it would not be sent either. */
  giveUp: (id: string) => void;
  isGivenUp: (id: string) => boolean;
  /** A "no" to a question leaves alone what was sent before it: the sentence that says so. */
  remark: () => string;
}>;

export function createCancellation(
  parts: Readonly<{
    realm: Realm;
    signer: Signer;
    language: Language;
    directory: Directory;
    outbox: Outbox;
    link: () => DeviceLink;
    surface: Surface;
    log: Log;
  }>,
): Cancellation {
  const { language, directory, outbox, surface, log } = parts;
  const asked = new Set<string>();
  for (const { id, cancel } of [...outbox.open(), ...outbox.untold()]) {
    if (cancel) asked.add(id);
  }
  const givenUp = new Set<string>();

  async function ask({ id, envelope }: Entry): Promise<void> {
    const { amount, payee } = nameOf(envelope);
    const question = { question: 'cancel', subject: id } as const;
    const query = await seal(queryKind, question, parts.realm, parts.signer);
    const open = outbox.cancel(id, query);
    if (!open) return; // Its final receipt came meanwhile, and was told.
    asked.add(id);
    parts.link().send(open);
    surface.say(phrases.cancelling(amount, payee, language), 'waiting');
  }

  /** When the disk refuses a cancel, the payment goes on: nothing of it may be called not sent. */
  async function claimingNothing(run: () => Promise<void>): Promise<void> {
    try {
      await run();
    } catch (error) {
      if (!(error instanceof PaymentError)) throw error;
      log('error', 'a cancel was not kept, so not asked for', { why: error.message });
      surface.say(phrases.cancelFailed(language), 'bad');
    }
  }

  function newestOpen(): Entry | undefined {
    return outbox.open().findLast(({ id }) => !givenUp.has(id) && paymentOf(outbox, id));
  }

  function nameOf(envelope: Uint8Array) {
    return namePayment(requestKind.decode(payloadOf(envelope)), directory, language);
  }

  return {
    hear: (text) =>
      claimingNothing(async () => {
        const open = newestOpen();
        if (open && asksToCancel(text)) return ask(open);
        const sentence = open
          ? phrases.unconfirmed(REASONS.backend_unknown, language)
          : phrases.nothingToCancel(language);
        surface.say(sentence, 'plain');
      }),
    callOff: (id) =>
      claimingNothing(async () => {
        const entry = outbox.get(id);
        if (!entry) throw new PaymentError('unavailable', 'the disk has not kept the payment');
        return ask(entry);
      }),
    isAsked: (id) => asked.has(id),
    giveUp: (id) => void givenUp.add(id),
    isGivenUp: (id) => givenUp.has(id),
    remark() {
      const open = newestOpen();
      if (!open || asked.has(open.id)) return '';
      const { amount, payee } = nameOf(open.envelope);
      const gap = language === 'en' ? ' ' : '';
      return gap + phrases.notConfirmed([amount], payee, language) + phrases.mayCancel(language);
    },
  };
}
