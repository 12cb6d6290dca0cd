/**
 * What can never come true, found before anything runs: a payment that nobody confirms and that is
 * expected to be paid, a sentence that no device understands, more money than there is.
 *
 * It reads sentences with the grammar of the devices themselves, and says nothing where the answer
 * depends on what the world does: a false alarm here would forbid a scenario that is true.
 */
import { PaymentError } from '../../src/errors.ts';
import { type Money, formatMoney, parseDecimal } from '../../src/money.ts';
import type { Terms } from '../../src/terms.ts';
import { type Reading, readUtterance } from '../../device/intents/reading.ts';
import { createDirectory } from '../../device/payees.ts';

import type { Cast, PersonRole } from './cast.ts';
import type { Expected } from './expectation.ts';
import type { Faults, Place } from './source.ts';
import type { Placed, Step } from './step.ts';
import type { Doing } from './verb.ts';

/**
 * Tells every expectation and act of these steps that contradicts the rest of the file. Of a file
 * that was not understood as a whole (`isWhole` false) only what does not depend on the rest.
 */
export function tellImpossible(
  cast: Cast,
  steps: readonly Step[],
  faults: Faults,
  isWhole: boolean,
): void {
  const directory = createDirectory(cast.shops.map(({ name, names }) => ({ id: name, names })));
  const tries = new Map<string, Try>();
  /** The payment that a confirmation of this person would be about. */
  const asked = new Map<string, Try>();
  const orders = new Map<string, Money>();
  const ends = new Map<string, Readonly<{ outcome: string; line: number }>>();
  /** Who got glasses by taking a copy. */
  const wearers = new Set(cast.people.flatMap(({ name, glasses }) => (glasses ? [name] : [])));
  for (const step of steps) {
    for (const doing of step.does) follow(step, doing);
    for (const one of step.expects) judge(one);
    tellMisheard(step);
  }

  function follow(step: Step, doing: Placed<Doing>): void {
    const { actor, result } = step;
    const who = actor!.name;
    const begin = (amount: Money | undefined, more: Partial<Try> = {}) => {
      const one: Try = {
        ...{ who, amount, isConfirmed: false, isPayment: true, mandate: undefined },
        ...more,
      };
      tries.set(result!.name, one);
      asked.set(who, one);
    };
    const person = cast.people.find(({ name }) => name === who);
    switch (doing.does) {
      case 'say': {
        requireGlasses(who, doing.place);
        const reading = readingOf(doing, person);
        if (reading?.kind === 'confirm') return confirm(who);
        const isPayment = !reading || ['pay', 'amount', 'miss'].includes(reading.kind);
        const amount = reading && 'amount' in reading ? reading.amount : undefined;
        // A question that is open takes the sentence as an answer.
        if (isPayment || !asked.has(who)) begin(amount, { isPayment, mandate: person?.mandate });
        else tries.set(result!.name, { ...asked.get(who)!, isPayment: false });
        return;
      }
      case 'look':
      case 'tap': {
        const { at } = doing;
        const isKiosk = doing.does === 'tap' && 'kiosk' in at;
        if (!isKiosk) requireGlasses(who, doing.place);
        else if ('kiosk' in at && person && !Object.hasOwn(person.tags, at.kiosk)) {
          const help = `say tags: [${at.kiosk}] of ${who} in the site`;
          faults.tell(doing.place, `${who} has no tag for ${at.kiosk}: ${help}`);
        }
        const amount =
          'order' in at ? orders.get(at.order) : 'amount' in at ? at.amount : undefined;
        return begin(amount, { mandate: isKiosk ? undefined : person?.mandate });
      }
      case 'pay': {
        const { mandate } = cast.agents.find(({ name }) => name === who)!;
        return begin(doing.amount, { isConfirmed: true, mandate });
      }
      case 'refund':
      case 'capture':
      case 'release':
        return begin(doing.amount);
      case 'order': {
        const minor = doing.lines.reduce((sum, { total }) => sum + total, 0n);
        return void orders.set(result!.name, { currency: doing.currency, minor });
      }
      case 'confirm':
      case 'press':
      case 'pin':
        return confirm(who);
      case 'clone':
        return void wearers.add(who);
      default:
        return;
    }
  }

  function confirm(who: string): void {
    const one = asked.get(who);
    if (one) one.isConfirmed = true;
  }

  function requireGlasses(who: string, place: Place): void {
    if (!wearers.has(who)) faults.tell(place, `${who} wears no glasses (glasses: no in the site)`);
  }

  function readingOf(
    doing: Extract<Doing, { does: 'say' }>,
    person: PersonRole | undefined,
  ): Reading | undefined {
    const [first, ...rest] = doing.text;
    if (typeof first !== 'string' || rest.length > 0) return undefined;
    return readUtterance(first, { directory, language: person?.language ?? 'en' });
  }

  /** A sentence that is no sentence is a typing mistake, unless just that is to be seen. */
  function tellMisheard(step: Step): void {
    const wantsMiss = step.expects.some(
      (one) => (one.about === 'result' && one.outcome === 'said') || one.about === 'told',
    );
    if (wantsMiss) return;
    for (const doing of step.does) {
      if (doing.does !== 'say') continue;
      const reading = readingOf(
        doing,
        cast.people.find(({ name }) => name === step.actor!.name),
      );
      if (reading?.kind !== 'miss') continue;
      const why =
        reading.why === 'unknown_payee'
          ? `there is no “${reading.heard}”, only ${shopNames()}`
          : MISSES[reading.why];
      faults.tell(
        doing.place,
        `no device understands this: ${why} (expect: said when it is meant)`,
      );
    }
  }

  function shopNames(): string {
    return cast.shops.flatMap(({ names }) => names.map(([, name]) => name)).join(', ');
  }

  function judge(one: Expected): void {
    const fault = isWhole || !RELATIVE.includes(one.about) ? faultOf(one) : undefined;
    if (fault !== undefined) faults.tell(one.place, fault);
  }

  function faultOf(one: Expected): string | undefined {
    switch (one.about) {
      case 'result':
        return faultOfResult(one);
      case 'account': {
        const all = cast.people.reduce((sum, { account }) => sum + account, 0n);
        if (one.minor <= all) return undefined;
        return `there is only ${moneyText(all)} in this world, and nobody pays in more`;
      }
      case 'payments': {
        const count = [...tries.values()].filter(({ isPayment }) => isPayment).length;
        return one.count > count ? `only ${count} were tried by then` : undefined;
      }
      case 'receipts': {
        const person = cast.people.find(({ name }) => name === one.who);
        const own = [...tries.values()].filter((each) => each.isPayment && each.who === one.who);
        const isMore = person && one.count > own.length;
        return isMore ? `${one.who} tried only ${own.length} payments by then` : undefined;
      }
      case 'left': {
        const { mandate } = cast.people.find(({ name }) => name === one.who)!;
        const limit = mandate[one.window];
        if (limit === undefined) return `the mandate of ${one.who} has no ${one.window}`;
        const max = minorOf(limit.split('/')[0]!);
        if (max === undefined || one.minor <= max) return undefined;
        return `${one.window} of ${one.who} is ${moneyText(max)}: more is never left`;
      }
      default:
        return undefined;
    }
  }

  function faultOfResult(one: Extract<Expected, { about: 'result' }>): string | undefined {
    const { name, outcome, place } = one;
    const before = ends.get(name);
    if (
      before &&
      before.outcome !== outcome &&
      !(before.outcome === 'held' && outcome === 'paid')
    ) {
      return `${name} is expected to be ${before.outcome} in line ${before.line}: that is for good`;
    }
    if (FINAL.includes(outcome)) ends.set(name, { outcome, line: place.line });
    const tried = tries.get(name);
    if (!tried) return undefined;
    if (SENT.includes(outcome) && !tried.isPayment) {
      return 'this sentence asks for no payment';
    }
    if (SENT.includes(outcome) && !tried.isConfirmed) {
      return `${outcome} never comes of what nobody has confirmed: confirm it before`;
    }
    const isMoved = outcome === 'paid' || outcome === 'accepted';
    return isMoved ? faultOfAmount(tried) : undefined;
  }

  /** Whether the mandate that it is paid under could ever allow it. */
  function faultOfAmount({ amount, mandate, who }: Try): string | undefined {
    const most = mandate?.perPayment === undefined ? undefined : minorOf(mandate.perPayment);
    if (!amount || most === undefined) return undefined;
    if (amount.currency !== cast.currency) {
      return `${formatMoney(amount, 'en')} under a mandate in ${cast.currency}: never paid`;
    }
    if (amount.minor <= most) return undefined;
    const more = `${formatMoney(amount, 'en')} is more than ${who} may pay at once`;
    return `${more} (${moneyText(most)}): never paid`;
  }

  function minorOf(text: string): bigint | undefined {
    try {
      return parseDecimal(text, cast.currency);
    } catch (error) {
      if (error instanceof PaymentError) return undefined;
      throw error;
    }
  }

  function moneyText(minor: bigint): string {
    return formatMoney({ currency: cast.currency, minor }, 'en');
  }
}

/** Something that somebody asked for. */
type Try = {
  readonly who: string;
  readonly amount: Money | undefined;
  readonly isPayment: boolean;
  readonly mandate: Terms | undefined;
  isConfirmed: boolean;
};

/** Depends on all that was done before. */
const RELATIVE: readonly Expected['about'][] = ['result', 'payments', 'receipts'];
const SENT: readonly string[] = ['paid', 'refused', 'unconfirmed', 'accepted', 'done'];
const FINAL: readonly string[] = [
  ...['paid', 'refused', 'not sent', 'said', 'done', 'held', 'expired', 'not made'],
];

const MISSES = Object.freeze({
  no_match: 'it is no sentence of theirs',
  no_currency: 'it names no currency',
  too_long: 'it is too long',
  out_of_bounds: 'that amount cannot be paid',
  unknown_payee: 'the payee is unknown',
});
