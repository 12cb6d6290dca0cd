/**
 * Looks whether what is expected is so: at what people were told and shown, at receipts in the
 * devices' outboxes, and at the ledger's books; never at what the bridge says of itself.
 */
import { payloadOf } from '../../src/cose.ts';
import { formatMoney } from '../../src/money.ts';
import { receipt as receiptKind } from '../../src/objects/receipt.ts';
import { request as requestKind } from '../../src/objects/request.ts';
import type { Heard } from '../world.ts';
import type { Cast } from './cast.ts';
import { type Expected, WINDOWS } from './expectation.ts';
import { type Result, standing } from './result.ts';
import type { Stage } from './stage.ts';
import type { Step } from './step.ts';
import type { Troupe } from './troupe.ts';

/** How it is, in words, and whether waiting for another answer is idle. */
export type Found = Readonly<{ isSo: boolean; isForGood: boolean; is: string }>;

export type View = Readonly<{
  look: (expected: Expected) => Promise<Found>;
  /** What devices said since it was asked last, each with the device's name. */
  newsOf: (step: Step) => readonly string[];
}>;

export function createView(
  parts: Readonly<{
    cast: Cast;
    stage: Stage;
    results: ReadonlyMap<string, Result>;
    troupe: Troupe;
  }>,
): View {
  const { cast, stage, results, troupe } = parts;
  /** How much of what a machine said an expectation has used up, and how much was shown. */
  const used = new Map<string, number>();
  const shown = new Map<string, number>();
  const money = (minor: bigint) => formatMoney({ currency: cast.currency, minor }, 'en');
  const compare = (is: string, isSo: boolean): Found => ({ isSo, isForGood: false, is });

  async function look(expected: Expected): Promise<Found> {
    switch (expected.about) {
      case 'result': {
        const result = results.get(expected.name)!;
        troupe.refresh(result);
        const { outcome, reason, isFinal } = result;
        const isReason = expected.reason === undefined || expected.reason === reason;
        const is = expected.isPassing
          ? result.passed.has(expected.outcome)
          : outcome === expected.outcome;
        const isSo = is && isReason;
        return { isSo, isForGood: isFinal, is: standing(result) };
      }
      case 'account': {
        const minor = await stage.balance(expected.of);
        return compare(`it holds ${money(minor)}`, minor === expected.minor);
      }
      case 'balanced':
        return compare('its accounts do not add up', await stage.isBalanced());
      case 'told':
        return told(expected);
      case 'shown': {
        const machine = troupe.machineOf(expected.who);
        const question = machine === undefined ? undefined : lastQuestion(machine);
        const text = question ? textOf(question) : 'nothing was asked';
        return compare(`it is “${text}”`, isIn(troupe.fill(expected.text), text));
      }
      case 'left': {
        const left = leftOf(expected);
        const is = left === undefined ? 'no receipt has said so' : `it is ${money(left)}`;
        return compare(is, left === expected.minor);
      }
      case 'receipts': {
        const machine = troupe.machineOf(expected.who);
        const outbox = machine === undefined ? undefined : stage.device(machine)?.outbox;
        if (!outbox) return compare(`${expected.who} is dark`, false);
        const count = outbox.recent(expected.count + 100).length;
        return compare(`there are ${count}`, count === expected.count);
      }
      case 'waiting': {
        const device = stage.device(expected.who);
        if (!device) return compare(`${expected.who} is dark`, false);
        const { count } = device.stored();
        return compare(`${count} wait`, count === expected.count);
      }
      case 'payments': {
        const all = [...results.values()].filter(({ gives }) => gives === 'payment');
        for (const one of all) troupe.refresh(one);
        const count = all.filter(({ outcome }) => outcome === expected.outcome).length;
        return compare(`${count} are`, count === expected.count);
      }
      case 'online': {
        const machine = troupe.machineOf(expected.who);
        const device = machine === undefined ? undefined : stage.device(machine);
        const is = device?.link.state() === 'ready';
        return compare(is ? 'it is online' : 'it is offline', is === expected.is);
      }
    }
  }

  function told({ who, text }: Extract<Expected, { about: 'told' }>): Found {
    const machine = troupe.machineOf(who);
    if (machine === undefined) return compare('there is no device', false);
    const heard = stage.heard(machine);
    const wanted = troupe.fill(text);
    const since = used.get(machine) ?? 0;
    const at = heard.findIndex((one, n) => n >= since && isIn(wanted, textOf(one)));
    if (at >= 0) used.set(machine, at + 1);
    const last = heard.slice(since).at(-1);
    return compare(last ? `the last word was “${textOf(last)}”` : 'nothing was said', at >= 0);
  }

  function lastQuestion(machine: string): Heard | undefined {
    return stage.heard(machine).findLast(({ what }) => what === 'asked');
  }

  /** What the newest receipt of that mandate says of the window. */
  function leftOf({ who, window }: Extract<Expected, { about: 'left' }>): bigint | undefined {
    const person = cast.people.find(({ name }) => name === who)!;
    const machine = person.glasses;
    const outbox = machine === undefined ? undefined : stage.device(machine)?.outbox;
    const mandate = machine === undefined ? undefined : stage.granted(who, machine);
    if (!outbox || !mandate) return undefined;
    const present = WINDOWS.filter((one) => person.mandate[one] !== undefined);
    for (const { envelope, receipt } of outbox.recent(RECEIPTS)) {
      if (requestKind.decode(payloadOf(envelope)).mandate !== mandate.id) continue;
      const { remaining } = receiptKind.decode(payloadOf(receipt!));
      if (remaining) return remaining[present.indexOf(window)]?.amount;
    }
    return undefined;
  }

  function newsOf(step: Step): readonly string[] {
    const machines = [
      ...cast.people.flatMap(({ glasses }) => glasses ?? []),
      ...cast.kiosks.map(({ name }) => name),
      ...(step.actor ? [troupe.machineOf(step.actor.name) ?? []] : []),
    ].flat();
    return [...new Set(machines)].flatMap((machine) => {
      const heard = stage.heard(machine);
      const fresh = heard.slice(shown.get(machine) ?? 0);
      shown.set(machine, heard.length);
      return fresh.map((one) => `${machine}: ${textOf(one).replaceAll('\n', ' · ')}`);
    });
  }

  return Object.freeze({ look, newsOf });
}

/** Whether a text says so, however it is capitalised. */
function isIn(wanted: string, text: string): boolean {
  return text.toLowerCase().includes(wanted.toLowerCase());
}

function textOf(one: Heard): string {
  return one.what === 'said' ? one.sentence : [one.sentence, ...one.frame.lines].join(' · ');
}

/** Receipts of one device that are searched for a window. */
const RECEIPTS = 20;
