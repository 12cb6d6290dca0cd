/**
 * What people do with glasses and kiosks, and what they see: wearers, customers and clerks.
 *
 * A person knows nothing but what the surface shows and says. Who reads a question decides by its
 * payee and amount, and what was read and what was answered is taken down as the person means it;
 * the checker holds the code to that. One person stands at one device and does one thing at a time.
 */
import type { RunningGlasses, RunningKiosk } from '../device/compose.ts';
import type { Frame } from '../device/confirm.ts';
import type { Surface } from '../device/surface/port.ts';
import type { Told } from '../device/telling.ts';
import type { Acted } from '../device/terminal.ts';
import { PaymentError, reasonName } from '../src/errors.ts';
import { CONFIRM_READ_MS } from '../src/limits.ts';
import { formatDecimal, parseMoney } from '../src/money.ts';
import type { Observe, Seen } from './observed.ts';
import { Died } from './machine.ts';
import type { Act, Mood } from './plan.ts';
import type { Site, SiteDevice } from './site.ts';
import type { Timeline } from './time.ts';

/** A device as people have it before them; without `running` it is dark. */
export type Body = Readonly<{
  /** Of its machine: a clone has another one than its original. */
  name: string;
  device: SiteDevice;
  running: () => RunningGlasses | RunningKiosk | undefined;
}>;

export type People = Readonly<{
  /** What a device shows and says, and what its staff is told. */
  surfaceOf: (body: Body) => Surface & Readonly<{ staff: Surface['say'] }>;
  act: (act: Act) => void;
  /** A body went dark: whoever stood before it gives up. */
  dark: (name: string) => void;
  /** From now on nobody begins anything, and whoever is asked says no. */
  goHome: () => void;
}>;

/** Somebody before a device, from the first word to what is told. */
type Visit = {
  readonly body: Body;
  readonly person: string;
  readonly act: Act;
  readonly mood: Mood;
  readonly thinkMs: number;
  /** What the person is there for; undefined for whatever is shown. */
  readonly wants: bigint | undefined;
  readonly isAttentive: boolean;
  readonly deed?: 'refund' | 'capture' | 'void';
  /** Gives an answer to the device. */
  readonly answer: (sensed: Parameters<RunningGlasses['device']['answer']>[0]) => void;
  seen: (Seen & { needs: number }) | undefined;
};

export function createPeople(
  parts: Readonly<{
    site: Site;
    timeline: Timeline;
    bodyOf: (device: string) => Body | undefined;
    observe: Observe;
    /** An error that no device should have thrown. */
    crash: (machine: string, error: unknown) => void;
  }>,
): People {
  const { site, timeline, bodyOf, observe, crash } = parts;
  const { currency } = site;
  const visits = new Map<string, Visit>();
  const payees = new Map(
    site.payees.flatMap(({ id, names }) => names.map(([, name]) => [name, id] as const)),
  );
  let isOver = false;

  // ── at a device ────────────────────────────────────────────────────────────────────────────

  function begin(act: Act, name: string, person: string, more: Partial<Visit>): Visit | undefined {
    const body = bodyOf(name);
    const running = body?.running();
    if (isOver || !body || !running || visits.has(name)) return undefined;
    const visit: Visit = {
      ...{ body, person, act, mood: 'sure', thinkMs: 1_000, wants: undefined, isAttentive: true },
      answer: (sensed) => void running.device.answer(sensed),
      seen: undefined,
      ...more,
    };
    visits.set(name, visit);
    return visit;
  }

  function end(visit: Visit): void {
    const { name } = visit.body;
    if (visits.get(name) === visit) visits.delete(name);
  }

  /** Whether the person still stands there, and the device is the one that it was. */
  const isThere = (visit: Visit) => visits.get(visit.body.name) === visit;

  function shown({ name, device }: Body, frame: Frame, sentence: string): void {
    const { language } = device.config;
    const amount = parseMoney(frame.amount, language);
    const payee = payees.get(frame.payee);
    const visit = visits.get(name);
    if (!amount || !payee) return crash(device.name, new Error(`shows ${JSON.stringify(frame)}`));
    const { needs, lines } = frame;
    const person = visit?.person ?? 'nobody';
    const deed = visit?.deed && { deed: visit.deed };
    observe({
      what: 'shown',
      ...{ device: device.name, person, payee, amount, needs, lines, sentence, ...deed },
    });
    if (!visit) return;
    visit.seen = { payee, amount, needs };
    if (visit.mood === 'hasty') {
      for (const ms of [80, 200]) later(visit, ms, () => visit.answer({ kind: 'press' }));
    }
    later(visit, Math.max(visit.thinkMs, CONFIRM_READ_MS + 50), () => decide(visit));
  }

  function decide(visit: Visit): void {
    const { mood, seen, wants, isAttentive } = visit;
    if (isOver) return refuse(visit, 'has to go');
    if (wants !== undefined && isAttentive && seen!.amount.minor !== wants) {
      return refuse(visit, 'that is not what was meant');
    }
    switch (mood) {
      case 'cancels':
        return refuse(visit, 'changes the mind');
      case 'walks off':
        observe({ what: 'voided', ...placeOf(visit), why: 'walks off' });
        return;
      case 'takes it off':
        observe({ what: 'voided', ...placeOf(visit), why: 'takes it off' });
        if (visit.body.device.kind === 'kiosk') return;
        visit.answer({ kind: 'worn', how: 'off' });
        timeline.after(WORN_AGAIN_MS, () => {
          const running = visit.body.running();
          if (running) void guarded(visit, running.device.sense({ kind: 'worn', how: 'on' }));
        });
        return;
      case 'speaks first':
        if (seen!.needs === 1) return confirm(visit);
        visit.answer({ kind: 'utterance', text: wordsOf(visit).yes });
        return later(visit, 1_500, () => confirm(visit));
      case 'sure':
      case 'hasty':
      case 'impatient':
        return confirm(visit);
      case 'regrets':
        confirm(visit);
        return later(visit, REGRET_MS, () => {
          const running = visit.body.running();
          const text = wordsOf(visit).no;
          if (running) void guarded(visit, running.device.sense({ kind: 'utterance', text }));
        });
    }
  }

  function confirm(visit: Visit): void {
    const { payee, amount, needs } = visit.seen!;
    const deed = visit.deed && { deed: visit.deed };
    observe({ what: 'confirmed', ...placeOf(visit), payee, amount, ...deed });
    const isSpoken = needs === 1 && visit.act.name.length % 2 === 0 && !deed;
    visit.answer(isSpoken ? { kind: 'utterance', text: wordsOf(visit).yes } : { kind: 'press' });
  }

  function refuse(visit: Visit, why: string): void {
    observe({ what: 'voided', ...placeOf(visit), why });
    visit.answer({ kind: 'utterance', text: wordsOf(visit).no });
  }

  const placeOf = ({ body, person }: Visit) => ({ device: body.device.name, person });
  const wordsOf = ({ body }: Visit) => WORDS[body.device.config.language];

  function later(visit: Visit, ms: number, run: () => void): void {
    timeline.after(ms, () => {
      if (isThere(visit)) attempt(visit, run);
    });
  }

  function attempt(visit: Visit, run: () => void): void {
    try {
      run();
    } catch (error) {
      fail(visit, error);
    }
  }

  function fail(visit: Visit, error: unknown): void {
    if (error instanceof Died) return;
    crash(visit.body.device.name, error);
  }

  async function guarded(visit: Visit, told: Promise<unknown>): Promise<void> {
    try {
      await told;
    } catch (error) {
      fail(visit, error);
    }
  }

  /** Waits for what a device says in the end, and takes it down. */
  async function hear(
    visit: Visit,
    told: Promise<Told | Acted>,
  ): Promise<Told | Acted | undefined> {
    const { name } = visit.body.device;
    const note = (one: Told | Acted, isLate: boolean) => {
      const reason =
        'receipt' in one ? one.receipt.reason && reasonName(one.receipt.reason) : undefined;
      observe({
        what: 'told',
        device: name,
        kind: one.kind,
        ...('id' in one && { id: one.id }),
        ...('reason' in one ? { reason: one.reason } : reason && { reason }),
        ...(isLate && { isLate }),
      });
    };
    try {
      const first = await told;
      note(first, false);
      if ('later' in first) {
        const { later: last } = first;
        void guarded(
          visit,
          noteLater<Told | Acted>(last, (one) => note(one, true)),
        );
      }
      return first;
    } catch (error) {
      if (!(error instanceof PaymentError)) fail(visit, error);
      else observe({ what: 'told', device: name, kind: 'not_sent', reason: error.reason });
      return undefined;
    } finally {
      end(visit);
    }
  }

  /** Who has a copy of a device in hand stole it. */
  function personAt(name: string): string {
    const body = bodyOf(name);
    return body && body.device.name !== name ? `thief with ${name}` : `wearer of ${name}`;
  }

  // ── what they do ───────────────────────────────────────────────────────────────────────────

  function pay(act: Extract<Act, { act: 'pay' }>): void {
    const visit = begin(act, act.device, personAt(act.device), {
      ...{ mood: act.mood, thinkMs: act.thinkMs, isAttentive: act.isAttentive },
      wants: BigInt(act.minor),
    });
    if (!visit) return;
    const { device } = visit.body.running()!;
    visitAnswers(visit, device.sense);
    const { language } = visit.body.device.config;
    const words = WORDS[language];
    const minor = BigInt(act.heard ?? act.minor);
    const amount = formatDecimal({ currency, minor });
    const names = site.payees.find(({ id }) => id === act.payee)!.names;
    const name = names.find(([one]) => one === language)?.[1] ?? names[0]![1];
    if (act.how === 'tag') {
      const text = `saytap://payee/${act.payee}?amount=${currency}${amount}`;
      return heard(visit, () => device.sense({ kind: 'link', text }));
    }
    if (act.how === 'voice') {
      return heard(visit, () => device.sense({ kind: 'utterance', text: words.pay(amount, name) }));
    }
    attempt(visit, () => {
      const first = device.sense({ kind: 'utterance', text: words.payWhom(name) });
      void guarded(visit, first);
      later(visit, 1_500, () =>
        heard(visit, () => device.sense({ kind: 'utterance', text: words.amount(amount) })),
      );
    });
  }

  /** Glasses take the answer as whatever else is done with them. */
  function visitAnswers(visit: Visit, sense: RunningGlasses['device']['sense']): void {
    Object.assign(visit, {
      answer: (sensed: Parameters<typeof sense>[0]) => void guarded(visit, sense(sensed)),
    });
  }

  function heard(visit: Visit, begins: () => Promise<Told>): void {
    attempt(visit, () => {
      void hear(visit, begins()).then((told) => {
        if (visit.mood !== 'impatient' || told?.kind !== 'unconfirmed') return;
        const { act } = visit;
        if (act.act === 'pay') pay({ ...act, name: `${act.name} again`, mood: 'sure' });
      });
    });
  }

  function order(act: Extract<Act, { act: 'order' }>): void {
    const running = bodyOf(act.kiosk)?.running();
    if (isOver || running?.kind !== 'kiosk') return;
    const dish = act.prices.length > MANY_DISHES ? FEAST : 'Dish';
    const lines = act.prices.map((price, n) => ({
      text: `${dish} ${n + 1}`,
      quantity: 1,
      total: BigInt(price),
    }));
    const device = act.kiosk;
    running.terminal.order(lines, act.currency ?? currency).then(
      (made) => {
        void made.settled.then(({ outcome, reason }) => {
          const isPaid = outcome === 'captured' || outcome === 'held';
          const why = reason === undefined ? undefined : reasonName(reason);
          observe({
            what: 'told',
            ...{ device, id: made.id, kind: isPaid ? 'done' : 'refused' },
            ...(why && { reason: why }),
          });
        });
        made.registered.then(
          () => act.customers.forEach((customer) => lookAt(act, made.uri, customer)),
          () => {},
        );
      },
      (error: unknown) => {
        if (error instanceof PaymentError) {
          observe({ what: 'told', device, kind: 'not_sent', reason: error.reason });
        } else if (!(error instanceof Died)) crash(device, error);
      },
    );
  }

  function lookAt(
    act: Act,
    uri: string,
    { device: name, afterMs, mood, thinkMs }: Extract<Act, { act: 'order' }>['customers'][number],
  ): void {
    timeline.after(afterMs, () => {
      const visit = begin(act, name, `wearer of ${name}`, { mood, thinkMs });
      if (!visit) return;
      const { device } = visit.body.running()!;
      visitAnswers(visit, device.sense);
      heard(visit, () => device.sense({ kind: 'link', text: uri }));
    });
  }

  function collect(act: Extract<Act, { act: 'collect' }>): void {
    const granted = site.mandates.find(
      ({ holder, wallet }) => holder === act.kiosk && wallet === act.wallet,
    );
    if (!granted) return;
    const visit = begin(act, act.kiosk, `customer with the tag of ${act.wallet}`, {
      ...{ mood: act.mood, thinkMs: act.thinkMs, wants: BigInt(act.minor) },
    });
    if (!visit) return;
    const { device } = visit.body.running()!;
    attempt(visit, () => {
      device.bill({ currency, minor: BigInt(act.minor) });
      heard(visit, () => device.sense({ kind: 'link', text: `saytap://payer/${granted.id}` }));
    });
  }

  function clerk(act: Extract<Act, { act: 'clerk' }>): void {
    const running = bodyOf(act.kiosk)?.running();
    if (running?.kind !== 'kiosk') return;
    const visit = begin(act, act.kiosk, `clerk of ${act.kiosk}`, {
      ...{ mood: act.mood, thinkMs: act.thinkMs, deed: act.deed },
      answer: (sensed) => void running.terminal.answer(sensed),
    });
    if (!visit) return;
    const amount = act.minor === undefined ? undefined : { currency, minor: BigInt(act.minor) };
    attempt(visit, () => {
      void hear(visit, running.terminal.act({ action: act.deed, order: 'last', amount }));
    });
  }

  return Object.freeze({
    surfaceOf(body: Body) {
      const say = (to: 'person' | 'staff'): Surface['say'] => {
        return (sentence, mood) =>
          observe({ what: 'said', device: body.device.name, to, sentence, mood });
      };
      return {
        ask: (frame: Frame, sentence: string) => shown(body, frame, sentence),
        say: say('person'),
        staff: say('staff'),
      };
    },
    act(act: Act) {
      switch (act.act) {
        case 'pay':
          return pay(act);
        case 'order':
          return order(act);
        case 'collect':
          return collect(act);
        case 'clerk':
          return clerk(act);
        default:
          return; // Nobody stands before a device.
      }
    },
    dark: (name: string) => void visits.delete(name),
    goHome: () => void (isOver = true),
  });
}

async function noteLater<T>(last: Promise<T>, note: (last: T) => void): Promise<void> {
  note(await last);
}

/** From so many lines on an order is a feast, and what is eaten is said in full. */
const MANY_DISHES = 8;
const FEAST = 'Dish of the day with soup before it, rice beside it, fruit and tea after it,';
/** Taken off in a huff, and put on again. */
const WORN_AGAIN_MS = 5_000;
const REGRET_MS = 700;

const WORDS = Object.freeze({
  en: {
    pay: (amount: string, name: string) => `pay ${amount} yuan to ${name}`,
    payWhom: (name: string) => `pay ${name}`,
    amount: (amount: string) => `${amount} yuan`,
    yes: 'confirm payment',
    no: 'cancel payment',
  },
  zh: {
    pay: (amount: string, name: string) => `付${amount}元给${name}`,
    payWhom: (name: string) => `付款给${name}`,
    amount: (amount: string) => `${amount}元`,
    yes: '确认支付',
    no: '取消支付',
  },
});
