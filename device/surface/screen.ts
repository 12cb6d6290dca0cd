/**
 * A surface that is looked at from elsewhere: what a device shows, as plain data that a page draws
 * (device/page/), whether the page stands on a kiosk or in the simulator.
 *
 * It keeps what is shown and not a list of what was said, so that a page that comes late, or again,
 * shows the same as one that was there: nobody has to replay anything.
 */
import { BILL_MS, SCREEN_REST_MS } from '../../src/limits.ts';
import type { Timers } from '../../src/platform.ts';
import type { Frame } from '../confirm.ts';
import type { Mood, Surface } from './port.ts';

/** What is on a screen; it goes through JSON as it is. */
export type Shown =
  | Readonly<{ kind: 'idle' }>
  /** A question that waits for a confirmation. */
  | Readonly<{ kind: 'ask'; frame: Frame; sentence: string; wants: Wants }>
  | Readonly<{ kind: 'say'; sentence: string; mood: Mood }>
  /** What is to be paid by whoever taps a tag. */
  | Readonly<{ kind: 'bill'; line: string; sentence: string; note?: Note }>
  /** A kiosk's order: its code to look at, and what became of it. */
  | ShownOrder;

/** `uri` is what the code says; `number` what people call the order. */
export type ShownOrder = Readonly<{
  kind: 'order';
  id: string;
  number: string;
  uri: string;
  lines: readonly Readonly<{ text: string; quantity: number; total: string }>[];
  /** Minor units as decimal digits, as in the lines. */
  total: Readonly<{ currency: string; minor: string }>;
  state: OrderState;
  /** What was said while it was on the screen. */
  note?: Note;
}>;

/** `over`: expired, or refused for good. */
export type OrderState = 'open' | 'paid' | 'held' | 'over';
export type Wants = Parameters<Surface['ask']>[2];
type Note = Readonly<{ sentence: string; mood: Mood }>;

/** The same screen has the same number; a later one a higher one. */
export type Numbered = Readonly<{ seq: number; shown: Shown }>;

export type Screen = Readonly<{
  /** Where the device shows and says. */
  surface: Surface;
  /** Shows an order until it is `settled`, and how it ended for a while after that. */
  order: (order: Omit<ShownOrder, 'kind' | 'state' | 'note'>) => Readonly<{
    settled: (state: Exclude<OrderState, 'open'>) => void;
  }>;
  /** Shows a bill as long as it counts; undefined takes it off. */
  bill: (bill: Readonly<{ line: string; sentence: string }> | undefined) => void;
  /** Takes off what waits for nobody; an order that is taken off can still be paid. */
  clear: () => void;
  now: () => Numbered;
  /** Calls `hear` with every change, until the function that it returns is called. */
  watch: (hear: (numbered: Numbered) => void) => () => void;
}>;

export function createScreen(timers: Timers): Screen {
  const watchers = new Set<(numbered: Numbered) => void>();
  let now: Numbered = { seq: 0, shown: IDLE };
  /** What is come back to after a question or a sentence. */
  let standing: Extract<Shown, { kind: 'order' | 'bill' }> | undefined;
  let cancelRest = () => {};
  let cancelBill = () => {};

  function show(shown: Shown): void {
    cancelRest();
    now = Object.freeze({ seq: now.seq + 1, shown });
    for (const hear of watchers) hear(now);
  }

  function rest(): void {
    show(standing ?? IDLE);
  }

  function restLater(): void {
    cancelRest();
    cancelRest = timers.after(SCREEN_REST_MS, rest);
  }

  /** Puts something there to stay, in place of what stood before. */
  function stand(what: typeof standing): void {
    cancelBill();
    standing = what;
    // A question that is open is not taken away from who is asked.
    if (now.shown.kind !== 'ask') rest();
  }

  function unbill(): void {
    if (standing?.kind !== 'bill') return;
    cancelBill();
    standing = undefined;
    // What was said of how it ended is read first.
    if (now.shown.kind === 'bill') rest();
  }

  function settled(id: string, state: Exclude<OrderState, 'open'>): void {
    if (standing?.kind !== 'order' || standing.id !== id) return;
    const ended = { ...standing, state };
    standing = undefined;
    if (now.shown.kind === 'ask') return;
    show(ended);
    restLater();
  }

  return {
    surface: {
      ask: (frame, sentence, wants) => show({ kind: 'ask', frame, sentence, wants }),
      say(sentence, mood) {
        if (standing && now.shown.kind === standing.kind) {
          standing = { ...standing, note: { sentence, mood } };
          return rest();
        }
        show({ kind: 'say', sentence, mood });
        // What is waited for is told how it ended; until then it stays.
        if (mood !== 'waiting') restLater();
      },
    },
    order(order) {
      stand({ ...order, kind: 'order', state: 'open' });
      return { settled: (state) => settled(order.id, state) };
    },
    bill(bill) {
      if (bill) {
        stand({ ...bill, kind: 'bill' });
        cancelBill = timers.after(BILL_MS, unbill);
      } else unbill();
    },
    clear: () => stand(undefined),
    now: () => now,
    watch(hear) {
      watchers.add(hear);
      return () => void watchers.delete(hear);
    },
  };
}

const IDLE: Shown = Object.freeze({ kind: 'idle' });
