/**
 * What a scenario expects: of the result of a step, and of the world as it is at a moment.
 *
 * Every expectation may come true a little later than it is looked at, because the world goes on
 * meanwhile; `within:` says how much later. What can never come true, whatever the programs do, is
 * told when the file is read.
 */
import { REASONS, type Reason, reasonClass } from '../../src/errors.ts';
import { SCENARIO_WITHIN_MS, SCENARIO_WITHIN_MS_MAX } from '../../src/limits.ts';

import type { Cast } from './cast.ts';
import { whileOf, whileText } from './moment.ts';
import { type Template, readTemplate } from './reference.ts';
import { type Entry, type Faults, type Place, type Written, textOf, unknown } from './source.ts';
import { type Gives, readMoney } from './verb.ts';

/** How a result can stand, by what it is; in the order in which it comes. */
export const OUTCOMES = Object.freeze({
  payment: ['asked', 'said', 'not sent', 'accepted', 'unconfirmed', 'paid', 'refused'],
  order: ['not made', 'open', 'paid', 'held', 'refused', 'expired'],
  deed: ['asked', 'not sent', 'unconfirmed', 'done', 'refused'],
  backup: ['made'],
} as const satisfies Record<Gives, readonly string[]>);

export type Outcome = (typeof OUTCOMES)[Gives][number];

/** Why nothing was sent, besides the reasons of PROTOCOL.md. */
const UNSENT = ['cancelled', 'timed_out', 'taken_off', 'busy'] as const;

/** What windows of a mandate can be asked for by what is left. */
export const WINDOWS = ['total', 'perDay', 'perWeek', 'perMonth', 'perQuarter', 'perYear'] as const;

/** What can be expected of the world. */
export const FACTS = [
  ...(['ledger', 'told', 'shown', 'left', 'receipts', 'waiting', 'payments', 'online'] as const),
  'within',
] as const;

export type Expected = Readonly<{ place: Place; withinMs: number }> & Fact;

export type Fact =
  /** `isPassing`: it may have become something else by the time that it is looked at. */
  | Readonly<{
      about: 'result';
      name: string;
      outcome: Outcome;
      reason: string | undefined;
      isPassing: boolean;
    }>
  /** What an account of a person or a shop holds. */
  | Readonly<{ about: 'account'; of: string; minor: bigint }>
  | Readonly<{ about: 'balanced' }>
  /** A sentence with this in it was said to whoever stands there, after the last one expected. */
  | Readonly<{ about: 'told'; who: string; text: Template }>
  /** This stands in the last question, lines and sentence. */
  | Readonly<{ about: 'shown'; who: string; text: Template }>
  /** What a window of the mandate has left, as the person's device knows it. */
  | Readonly<{ about: 'left'; who: string; window: (typeof WINDOWS)[number]; minor: bigint }>
  /** Final receipts that a device holds for payments. */
  | Readonly<{ about: 'receipts'; who: string; count: number }>
  /** What was accepted offline and waits at a kiosk. */
  | Readonly<{ about: 'waiting'; who: string; count: number }>
  /** So many payments of the whole day stand like this. */
  | Readonly<{ about: 'payments'; outcome: Outcome; count: number }>
  | Readonly<{ about: 'online'; who: string; is: boolean }>;

/** What expectations are read with. */
export type Known = Readonly<{
  cast: Cast;
  faults: Faults;
  /** Results by name, as the steps before leave them. */
  results: ReadonlyMap<string, Gives>;
}>;

/** The `expect:` of a step that does something; `name` is its result, `who` whose device tells. */
export function readStepExpectation(
  written: Written,
  result: Readonly<{ name: string; gives: Gives }> | undefined,
  who: string | undefined,
  known: Known,
): readonly Expected[] {
  const { faults } = known;
  const outcomes: readonly Outcome[] = result ? OUTCOMES[result.gives] : [];
  if (written.kind === 'text') {
    if (!result) {
      faults.tell(written.place, `nothing comes of this step: only told and shown can be expected`);
      return [];
    }
    const fact = readOutcome(written.text, undefined, written.place, result, faults);
    const { place } = written;
    return fact ? [{ ...fact, isPassing: true, place, withinMs: SCENARIO_WITHIN_MS }] : [];
  }
  if (written.kind !== 'fields') {
    faults.tell(written.place, `what is expected is missing: ${outcomes.join(', ')}, told, shown`);
    return [];
  }
  const withinMs = readWithin(written.entries, faults);
  const facts: Expected[] = [];
  for (const { name, place, value } of written.entries) {
    if (name === 'within') continue;
    if (name === 'told' || name === 'shown') {
      const text = textOf(value, 'what is said', faults);
      if (who === undefined) faults.tell(place, `nobody is ${name} anything by this step`);
      else if (text) {
        const template = readTemplate(text, faults);
        facts.push({ about: name, who, text: template, place: text.place, withinMs });
      }
    } else if (result && outcomes.some((one) => one === name)) {
      const reason = value.kind === 'nothing' ? undefined : textOf(value, 'a reason', faults);
      const at = reason?.place ?? place;
      const fact = readOutcome(name, reason?.text, at, result, faults);
      if (fact) facts.push({ ...fact, isPassing: true, place, withinMs });
    } else {
      const what = result ? `how ${named(result.gives)} stands` : 'anything to expect here';
      faults.tell(place, unknown(name, what, [...outcomes, 'told', 'shown', 'within']));
    }
  }
  return facts;
}

/** An `expect:` that is a step of its own: results by name, and the world. */
export function readWorldExpectation(written: Written, known: Known): readonly Expected[] {
  const { cast, faults, results } = known;
  if (written.kind !== 'fields') {
    faults.tell(written.place, 'what is expected is written by fields, as { lunch: paid }');
    return [];
  }
  const withinMs = readWithin(written.entries, faults);
  const people = cast.people.map(({ name }) => name);
  const shops = cast.shops.map(({ name }) => name);
  const kiosks = cast.kiosks.map(({ name }) => name);
  return written.entries.flatMap((entry): readonly Expected[] => {
    const { name, value } = entry;
    const shared = { withinMs };
    switch (name) {
      case 'within':
        return [];
      case 'ledger': {
        if (value.kind === 'text' && value.text === 'balanced') {
          return [{ about: 'balanced', place: value.place, ...shared }];
        }
        return each(entry, [...people, ...shops], 'an account', (of, at, text) => {
          const minor = readAmount(text, at);
          return minor === undefined ? undefined : { about: 'account', of, minor };
        });
      }
      case 'told':
      case 'shown':
        return each(
          entry,
          [...people, ...kiosks],
          'somebody with a device',
          (who, _at, _text, raw) => {
            const text = textOf(raw, 'what is said', faults);
            return text && { about: name, who, text: readTemplate(text, faults) };
          },
        );
      case 'receipts':
      case 'waiting':
        return each(
          entry,
          name === 'waiting' ? kiosks : [...people, ...kiosks],
          'a device',
          (who, at, text) => {
            const count = readCount(text, at);
            return count === undefined ? undefined : { about: name, who, count };
          },
        );
      case 'payments':
        return each(entry, OUTCOMES.payment, 'how a payment stands', (outcome, at, text) => {
          const count = readCount(text, at);
          const word = OUTCOMES.payment.find((one) => one === outcome)!;
          return count === undefined ? undefined : { about: 'payments', outcome: word, count };
        });
      case 'online':
        return each(entry, [...people, ...kiosks], 'somebody with a device', (who, at, text) => {
          if (text === 'yes' || text === 'no') return { about: 'online', who, is: text === 'yes' };
          faults.tell(at, unknown(text, 'yes or no', ['yes', 'no']));
          return undefined;
        });
      case 'left':
        return readLeft(entry);
      default:
        return readResult(entry);
    }
  });

  function each(
    { value }: Entry,
    names: readonly string[],
    what: string,
    how: (name: string, at: Place, text: string, raw: Written) => Fact | undefined,
  ): readonly Expected[] {
    if (value.kind !== 'fields') {
      faults.tell(value.place, `by ${what}: ${names.slice(0, 6).join(', ')}`);
      return [];
    }
    return value.entries.flatMap(({ name, place, value: raw }) => {
      if (!names.includes(name)) {
        faults.tell(place, unknown(name, what, names));
        return [];
      }
      const text = textOf(raw, `what is expected of ${name}`, faults);
      const fact = text && how(name, text.place, text.text, raw);
      return fact ? [{ ...fact, place: raw.place, withinMs }] : [];
    });
  }

  function readLeft({ value }: Entry): readonly Expected[] {
    if (value.kind !== 'fields') {
      faults.tell(value.place, 'by person and window, as { wang: { perDay: 485.00 } }');
      return [];
    }
    return value.entries.flatMap(({ name: who, place, value: windows }) => {
      if (!people.includes(who)) {
        faults.tell(place, unknown(who, 'a person', people));
        return [];
      }
      const entry = { name: who, place, value: windows };
      return each(entry, WINDOWS, 'a window', (name, at, text) => {
        const minor = readAmount(text, at);
        const window = WINDOWS.find((one) => one === name)!;
        return minor === undefined ? undefined : { about: 'left', who, window, minor };
      });
    });
  }

  function readResult({ name, place, value }: Entry): readonly Expected[] {
    const gives = results.get(name);
    if (!gives) {
      const facts = [
        'ledger',
        'told',
        'shown',
        'left',
        'receipts',
        'waiting',
        'payments',
        'online',
      ];
      faults.tell(place, unknown(name, 'a result or a fact', [...results.keys(), ...facts]));
      return [];
    }
    const result = { name, gives };
    if (value.kind === 'text') {
      const fact = readOutcome(value.text, undefined, value.place, result, faults);
      return fact ? [{ ...fact, place: value.place, withinMs }] : [];
    }
    if (value.kind !== 'fields') {
      faults.tell(value.place, `how ${name} stands is missing: ${OUTCOMES[gives].join(', ')}`);
      return [];
    }
    return value.entries.flatMap((one) => {
      const reason =
        one.value.kind === 'nothing' ? undefined : textOf(one.value, 'a reason', faults);
      const isWord = OUTCOMES[gives].some((outcome) => outcome === one.name);
      const at = isWord ? (reason?.place ?? one.place) : one.place;
      const fact = readOutcome(one.name, reason?.text, at, result, faults);
      return fact ? [{ ...fact, place: one.place, withinMs }] : [];
    });
  }

  function readAmount(text: string, at: Place): bigint | undefined {
    if (/^0(\.0+)?$/.test(text)) return 0n;
    const money = readMoney(text, cast.currency);
    if (typeof money !== 'string') return money.minor;
    faults.tell(at, money);
    return undefined;
  }

  function readCount(text: string, at: Place): number | undefined {
    if (/^\d{1,6}$/.test(text)) return Number(text);
    faults.tell(at, `“${text}” is no count`);
    return undefined;
  }
}

function readOutcome(
  word: string,
  reason: string | undefined,
  place: Place,
  { name, gives }: Readonly<{ name: string; gives: Gives }>,
  faults: Faults,
): Extract<Fact, { about: 'result' }> | undefined {
  const outcome = (OUTCOMES[gives] as readonly Outcome[]).find((one) => one === word);
  if (!outcome) {
    faults.tell(place, unknown(word, `how ${named(gives)} stands`, OUTCOMES[gives]));
    return undefined;
  }
  if (reason !== undefined) {
    const fault = reasonFault(outcome, reason);
    if (fault !== undefined) {
      faults.tell(place, fault);
      return undefined;
    }
  }
  return { about: 'result', name, outcome, reason, isPassing: false };
}

/** Why this outcome never comes with this reason; undefined when it can. */
function reasonFault(outcome: Outcome, reason: string): string | undefined {
  const names = Object.keys(REASONS) as Reason[];
  const isUnsent = UNSENT.some((one) => one === reason);
  const code = names.find((one) => one === reason);
  if (!code && !isUnsent) return unknown(reason, 'a reason code', [...names, ...UNSENT]);
  const kind = code && reasonClass(REASONS[code]);
  switch (outcome) {
    case 'refused':
      if (!code) return `${reason} is no refusal: nothing was sent, so say { not sent: ${reason} }`;
      if (kind === 'pending') return `${reason} ends nothing: say { unconfirmed: ${reason} }`;
      return undefined;
    case 'not sent':
    case 'not made':
      if (kind !== 'pending') return undefined;
      return `${reason} is said of what was sent: say { unconfirmed: ${reason} }`;
    case 'unconfirmed':
      if (kind === 'pending') return undefined;
      return `${reason} does not leave a payment open: 3xx codes do, as backend_unknown`;
    case 'expired':
      return reason === 'order_expired' ? undefined : 'an order expires with order_expired alone';
    default:
      return `${outcome} has no reason`;
  }
}

function readWithin(entries: readonly Entry[], faults: Faults): number {
  const entry = entries.find(({ name }) => name === 'within');
  const text = entry && textOf(entry.value, 'a while, as 5s', faults);
  const ms = text && whileOf(text.text);
  if (!text) return SCENARIO_WITHIN_MS;
  if (ms !== undefined && ms > 0 && ms <= SCENARIO_WITHIN_MS_MAX) return ms;
  faults.tell(
    text.place,
    ms === undefined
      ? `“${text.text}” is no while, as 5s or 2m`
      : `within more than nothing and at most ${whileText(SCENARIO_WITHIN_MS_MAX)}`,
  );
  return SCENARIO_WITHIN_MS;
}

function named(gives: Gives): string {
  return { payment: 'a payment', order: 'an order', deed: 'what a clerk did', backup: 'a backup' }[
    gives
  ];
}
