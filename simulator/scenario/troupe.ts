/**
 * Does what a step says: people before their devices, clerks at kiosks, keys that pay alone, and
 * whatever breaks.
 */
import type { RunningGlasses, RunningKiosk } from '../../device/compose.ts';
import type { Sensed } from '../../device/sense/sensed.ts';
import type { Told } from '../../device/telling.ts';
import { reasonName } from '../../src/errors.ts';
import { CONFIRM_MS, CONFIRM_READ_MS } from '../../src/limits.ts';
import { formatDecimal, parseMoney } from '../../src/money.ts';
import type { Heard } from '../world.ts';
import type { Cast, PersonRole } from './cast.ts';
import type { Template } from './reference.ts';
import {
  Otherwise,
  type Result,
  become,
  createResult,
  follow,
  followOrder,
  refresh,
  standing,
} from './result.ts';
import type { Stage } from './stage.ts';
import type { Placed, Step } from './step.ts';
import type { Doing } from './verb.ts';

export type Troupe = Readonly<{
  /** Throws Otherwise when it cannot be done. */
  perform: (step: Step, doing: Placed<Doing>) => Promise<void>;
  /** The machine before which somebody stood last, or stands always. */
  machineOf: (who: string) => string | undefined;
  /** The text with what earlier steps left. */
  fill: (template: Template) => string;
  /** Brings what is known of a result up to date. */
  refresh: (result: Result) => void;
}>;

/** Where somebody does something, and since which of the things heard there. */
type Spot = Readonly<{ machine: string; since: number; result: Result | undefined }>;

export function createTroupe(
  parts: Readonly<{
    cast: Cast;
    stage: Stage;
    results: Map<string, Result>;
    until: Stage['until'];
    /** Runs something after so long. */
    over: (ms: number, run: () => Promise<void>) => void;
  }>,
): Troupe {
  const { cast, stage, results, until } = parts;
  const spots = new Map<string, Spot>();
  /** Who wears whose copy. */
  const copies = new Map<string, string>();
  /** The newest order of each kiosk. */
  const screens = new Map<string, Result>();
  /** What ends the troubles of a service, the network or a disk. */
  const troubles = new Map<string, (() => Promise<void>)[]>();
  const payees = new Map(
    cast.shops.flatMap(({ name, names }) => names.map(([, text]) => [text, name] as const)),
  );

  const personOf = (name: string) => cast.people.find((one) => one.name === name);
  const glassesOf = (who: string) => copies.get(who) ?? personOf(who)?.glasses;

  async function perform(step: Step, doing: Placed<Doing>): Promise<void> {
    const who = step.actor!.name;
    switch (doing.does) {
      case 'say':
        return pay(step, who, { kind: 'utterance', text: fill(doing.text) });
      case 'look':
        return pay(step, who, stage.see(uriOf(doing.at)));
      case 'tap':
        return tap(step, who, doing);
      case 'confirm':
        return confirm(step, who, doing.how);
      case 'cancel':
        return answer(who, { kind: 'utterance', text: WORDS[languageOf(who)].no });
      case 'press':
        return answer(who, { kind: 'press' });
      case 'pin':
        return answer(who, { kind: 'pin', digits: doing.digits });
      case 'take off':
        return answer(who, { kind: 'worn', how: 'off' });
      case 'put on':
        return answer(who, { kind: 'worn', how: 'on' });
      case 'revoke':
        return revoke(step, doing.what);
      case 'clone':
        return void copies.set(who, await stage.clone(doing.machine));
      case 'order': {
        const result = begin(step, who, who);
        const minor = doing.lines.reduce((sum, { total }) => sum + total, 0n);
        result.amount = { currency: doing.currency, minor };
        screens.set(who, result);
        followOrder(result, kioskAt(who).terminal.order(doing.lines, doing.currency));
        return;
      }
      case 'bill':
        if (kioskAt(who).device.bill(doing.amount)) return;
        throw new Otherwise(`${who} is busy with somebody who pays`, doing.place);
      case 'refund':
      case 'capture':
      case 'release': {
        const order = results.get(doing.order)!;
        if (order.id === undefined) throw new Otherwise(`${standing(order)}: there is no order`);
        const result = begin(step, who, who);
        result.amount = doing.amount ?? order.amount;
        const action = doing.does === 'release' ? 'void' : doing.does;
        const asked = { action, order: order.id, amount: doing.amount } as const;
        follow(result, kioskAt(who).terminal.act(asked));
        return awaitAnswer(result, who);
      }
      case 'pay': {
        const result = begin(step, who, who);
        result.amount = doing.amount;
        const paying = await stage.payAlone(who, doing.shop, doing.amount);
        result.agent = paying;
        result.id = paying.id;
        become(result, paying.id === undefined ? 'not sent' : 'unconfirmed');
        result.reason = paying.reason;
        result.isFinal = paying.id === undefined;
        return;
      }
      case 'kill':
        await stage.stop(who, 'kill');
        return lastsFor(step, () => stage.start(who));
      case 'power':
        await stage.stop(who, 'power cut', doing.calls);
        return lastsFor(step, () => stage.start(who));
      case 'start':
        return stage.start(who);
      case 'restart':
        if (who === 'broker') return stage.restartBroker(BROKER_DOWN_MS);
        await stage.stop(who, 'kill');
        return stage.start(who);
      case 'replace':
        return stage.replaceBridge();
      case 'backup': {
        const result = begin(step, who, who);
        await stage.backUp();
        become(result, 'made');
        result.isFinal = true;
        return;
      }
      case 'restore':
        return stage.restore();
      case 'clock':
        return stage.jump(who, doing.jumpMs);
      case 'disk':
        if (doing.trouble === 'well') return mend(who);
        return strike(step, who, doing);
      case 'trouble':
        if (who === 'broker') return stage.restartBroker(step.lastsMs ?? Infinity);
        return strike(step, who, doing);
      case 'mend':
        return mend(who);
    }
  }

  // ── people ─────────────────────────────────────────────────────────────────────────────────

  async function pay(step: Step, who: string, sensed: Sensed, at?: string): Promise<void> {
    const machine = at ?? glassesOf(who);
    if (machine === undefined) throw new Otherwise(`${who} wears no glasses`);
    const { device } = deviceAt(machine);
    const result = begin(step, who, machine);
    const text = 'text' in sensed ? sensed.text : '';
    stage.observe({ what: 'sensed', device: machine, person: who, kind: sensed.kind, text });
    const telling = device.sense(sensed);
    follow(result, telling);
    observeTold(machine, telling);
    return awaitAnswer(result, who);
  }

  /** Takes down how it ended, at once and later. */
  function observeTold(device: string, telling: Promise<Told>, isLate = false): void {
    telling.then((told) => {
      const code = 'receipt' in told ? told.receipt.reason : undefined;
      const why =
        'reason' in told ? told.reason : code === undefined ? undefined : reasonName(code);
      stage.observe({
        ...{ what: 'told', device, kind: told.kind },
        ...('id' in told && { id: told.id }),
        ...(why !== undefined && { reason: why }),
        ...(isLate && { isLate }),
      });
      if ('later' in told) observeTold(device, told.later, true);
    }, ignore);
  }

  function tap(step: Step, who: string, { at }: Extract<Doing, { does: 'tap' }>): Promise<void> {
    if ('shop' in at) {
      const { shop, amount } = at;
      const query = amount ? `?amount=${amount.currency}${formatDecimal(amount)}` : '';
      return pay(step, who, { kind: 'link', text: `saytap://payee/${shop}${query}` });
    }
    if ('order' in at) return pay(step, who, { kind: 'link', text: uriOf(at) });
    const tag = stage.granted(who, at.kiosk);
    if (!tag) throw new Otherwise(`${who} has no tag for ${at.kiosk}`);
    return pay(step, who, { kind: 'link', text: `saytap://payer/${tag.id}` }, at.kiosk);
  }

  function uriOf(at: Readonly<{ order: string }> | Readonly<{ kiosk: string }>): string {
    const order = 'order' in at ? results.get(at.order) : screens.get(at.kiosk);
    const uri = order?.uri;
    if (uri !== undefined) return uri;
    const what = order ? standing(order) : `${'kiosk' in at ? at.kiosk : ''} shows no order`;
    throw new Otherwise(`there is nothing to look at: ${what}`);
  }

  /** A device answers with a question, or with an end. */
  async function awaitAnswer(result: Result, who: string): Promise<void> {
    const spot = spots.get(who)!;
    const isAnswered = () => result.outcome !== undefined || questionAt(spot) !== undefined;
    await until(() => isAnswered() || !stage.device(spot.machine), CONFIRM_MS);
    const question = questionAt(spot);
    if (!question || result.isFinal) return;
    if (result.outcome === undefined) become(result, 'asked');
    result.amount ??= parseMoney(question.frame.amount, languageAt(spot.machine));
  }

  async function confirm(
    step: Step,
    who: string,
    how: Extract<Doing, { does: 'confirm' }>['how'],
  ): Promise<void> {
    const spot = spots.get(who);
    if (!spot) throw new Otherwise(`nothing was asked of ${who} yet`);
    await until(() => questionAt(spot) !== undefined || (spot.result?.isFinal ?? true), ASK_MS);
    const question = questionAt(spot);
    if (!question || spot.result?.isFinal) {
      const why = spot.result ? `: ${standing(spot.result)}` : '';
      throw new Otherwise(`nothing is asked of ${who}${why}`);
    }
    await until(() => false, CONFIRM_READ_MS + 100);
    const { needs } = question.frame;
    const isKiosk = stage.device(spot.machine)?.kind === 'kiosk';
    const way =
      how ?? (needs === 3 ? 'with PIN' : needs === 1 && !isKiosk ? 'by voice' : 'by press');
    const payee = payees.get(question.frame.payee) ?? question.frame.payee;
    const amount = parseMoney(question.frame.amount, languageAt(spot.machine));
    const seen = amount && { device: spot.machine, person: who, payee, amount };
    if (seen) stage.observe({ what: 'confirmed', ...seen });
    const { yes } = WORDS[languageAt(spot.machine)];
    await answer(who, way === 'by voice' ? { kind: 'utterance', text: yes } : { kind: 'press' });
    if (way !== 'with PIN') return;
    const digits = personOf(who)?.pin;
    if (digits === undefined)
      throw new Otherwise(`${who} has no PIN (pin: in the site)`, step.place);
    await until(() => questionAt(spot)?.wants === 'pin', ASK_MS);
    await answer(who, { kind: 'pin', digits });
  }

  /** Does something where this person is: on the glasses, or at the kiosk that was just used. */
  async function answer(who: string, sensed: Sensed): Promise<void> {
    const machine = spots.get(who)?.machine ?? glassesOf(who);
    if (machine === undefined) throw new Otherwise(`${who} stands before no device`);
    const running = deviceAt(machine);
    if (running.kind === 'glasses') return void running.device.sense(sensed).catch(ignore);
    if (running.terminal.answer(sensed) || running.device.answer(sensed)) return;
    throw new Otherwise(`${machine} asks nothing`);
  }

  function questionAt({ machine, since }: Spot): Extract<Heard, { what: 'asked' }> | undefined {
    return stage
      .heard(machine)
      .slice(since)
      .findLast((one) => one.what === 'asked');
  }

  function begin(step: Step, who: string, machine: string): Result {
    const { name, gives } = step.result!;
    const result = createResult({ name, gives, machine, running: stage.device(machine) });
    results.set(name, result);
    spots.set(who, { machine, since: stage.heard(machine).length, result });
    return result;
  }

  // ── machines, services, the network ────────────────────────────────────────────────────────

  async function revoke(step: Step, what: string): Promise<void> {
    const { name, kind } = step.actor!;
    if (kind === 'operator') return stage.revokeKey(what);
    return stage.revoke(name, what === 'mandate' ? personOf(name)!.glasses! : what);
  }

  async function strike(
    step: Step,
    at: string,
    breaking: Extract<Doing, { does: 'trouble' | 'disk' }>,
  ): Promise<void> {
    const end = await stage.strike(at, breaking);
    const own = troubles.get(at) ?? [];
    troubles.set(at, [...own, end]);
    lastsFor(step, async () => {
      troubles.set(
        at,
        (troubles.get(at) ?? []).filter((one) => one !== end),
      );
      await end();
    });
  }

  async function mend(at: string): Promise<void> {
    const ends = troubles.get(at) ?? [];
    troubles.delete(at);
    for (const end of ends) await end();
    if (at === 'broker') stage.restartBroker(0);
  }

  function lastsFor({ lastsMs }: Step, end: () => Promise<void>): void {
    if (lastsMs !== undefined) parts.over(lastsMs, end);
  }

  // ── what is there ──────────────────────────────────────────────────────────────────────────

  function deviceAt(machine: string): RunningGlasses | RunningKiosk {
    const running = stage.device(machine);
    if (!running) throw new Otherwise(`${machine} is dark: it does not run`);
    return running;
  }

  function kioskAt(machine: string): RunningKiosk {
    const running = deviceAt(machine);
    if (running.kind !== 'kiosk') throw new Otherwise(`${machine} is no kiosk`);
    return running;
  }

  function languageOf(who: string): PersonRole['language'] {
    const machine = spots.get(who)?.machine;
    return machine === undefined ? (personOf(who)?.language ?? 'en') : languageAt(machine);
  }

  function languageAt(machine: string): PersonRole['language'] {
    const kiosk = cast.kiosks.find(({ name }) => name === machine);
    const original = machine.replace(/-clone-\d+$/, '');
    const wearer = cast.people.find(({ glasses }) => glasses === original);
    return kiosk?.language ?? wearer?.language ?? 'en';
  }

  function fill(template: Template): string {
    return template
      .map((part) => {
        if (typeof part === 'string') return part;
        const result = results.get(part.name)!;
        bringUpToDate(result);
        const { amount, outcome, reason, id } = result;
        switch (part.field) {
          case 'amount':
            return amount ? formatDecimal(amount) : '';
          case 'outcome':
            return outcome ?? '';
          case 'reason':
            return reason ?? '';
          default:
            return id ?? '';
        }
      })
      .join('');
  }

  function bringUpToDate(result: Result): void {
    const others = [...results.values()].filter((one) => one !== result);
    const claimed = new Set(others.flatMap(({ id }) => id ?? []));
    refresh(result, stage.device(result.machine), claimed);
  }

  return Object.freeze({
    perform,
    machineOf: (who: string) => {
      if (cast.kiosks.some(({ name }) => name === who)) return who;
      return spots.get(who)?.machine ?? glassesOf(who);
    },
    fill,
    refresh: bringUpToDate,
  });
}

const WORDS = Object.freeze({
  en: { yes: 'confirm payment', no: 'cancel payment' },
  zh: { yes: '确认支付', no: '取消支付' },
});
/** A question that is not there by then is not asked. */
const ASK_MS = 5_000;
const BROKER_DOWN_MS = 1_000;

/** A device that dies while it is used says nothing. */
function ignore(): void {}
