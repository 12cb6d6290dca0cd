/**
 * What a person does on a page that shows a device (device/page/): as JSON, checked, and handed to
 * the device like what its own prompt and readers bring.
 *
 * A page can do what a person before the device can do and no more: it signs nothing, and a press
 * is a press. So whoever may send these is as good as whoever stands there.
 */
import * as z from 'zod/mini';
import { fromBase64url } from '../src/bytes.ts';
import {
  CODE_CHARS_MAX,
  NDEF_BYTES_MAX,
  ORDER_LINES_MAX,
  PICTURE_BYTES_MAX,
  PIN_DIGITS_MAX,
  TEXT_BYTES_MAX,
  UTTERANCE_CHARS_MAX,
} from '../src/limits.ts';
import { exponentOf } from '../src/money.ts';
import type { Files } from '../src/platform.ts';
import type { RunningGlasses, RunningKiosk } from './compose.ts';
import type { Language } from './phrases.ts';
import { type Counter, placeOrder, serve } from './prompt.ts';
import type { Told } from './telling.ts';
import type { Screen } from './surface/screen.ts';

const base64 = (bytesMax: number) =>
  z.string().check(z.regex(/^[\w-]*$/), z.maxLength(Math.ceil((bytesMax * 4) / 3)));
const text = z.string().check(z.maxLength(UTTERANCE_CHARS_MAX));

/** Bytes are base64url without padding, minor units decimal digits. */
export const touchForm = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('utterance'), text }),
  z.strictObject({ kind: z.literal('press') }),
  z.strictObject({
    kind: z.literal('pin'),
    digits: z.string().check(z.regex(/^\d*$/), z.maxLength(PIN_DIGITS_MAX)),
  }),
  z.strictObject({ kind: z.literal('worn'), how: z.enum(['on', 'off']) }),
  z.strictObject({ kind: z.literal('tag'), message: base64(NDEF_BYTES_MAX) }),
  z.strictObject({ kind: z.literal('picture'), png: base64(PICTURE_BYTES_MAX) }),
  z.strictObject({
    kind: z.literal('link'),
    text: z.string().check(z.maxLength(CODE_CHARS_MAX)),
  }),
  /** A kiosk's: what a customer has put together, one currency for all lines. */
  z.strictObject({
    kind: z.literal('order'),
    currency: z.string().check(z.refine((code) => exponentOf(code) !== undefined)),
    lines: z
      .array(
        z.strictObject({
          text: z.string().check(z.minLength(1), z.maxLength(TEXT_BYTES_MAX)),
          quantity: z.int().check(z.minimum(1), z.maximum(999)),
          minor: z.string().check(z.regex(/^[1-9]\d{0,14}$/)),
        }),
      )
      .check(z.minLength(1), z.maxLength(ORDER_LINES_MAX)),
  }),
  /** A kiosk's: a line as the clerk types it, an empty one is the button. */
  z.strictObject({ kind: z.literal('clerk'), text }),
  /** Takes off the screen what waits for nobody. */
  z.strictObject({ kind: z.literal('clear') }),
]);

/** What a page sends. */
export type Touch = z.infer<typeof touchForm>;

/** Takes what was done on the page of one device; rejects as the device does. */
export function createTouch(
  parts: Readonly<{
    /** Asked each time: a device is put together anew under its next key. */
    device: () => RunningGlasses | RunningKiosk;
    screen: Screen;
    files: Files;
    /** Of the device. */
    folder: string;
    language: Language;
  }>,
): (touch: Touch) => Promise<void> {
  const { screen } = parts;
  const { surface } = screen;

  return async (touch) => {
    const running = parts.device();
    const { device } = running;
    if (touch.kind === 'clear') {
      // A bill that nobody sees is none.
      if (device.bill(undefined)) screen.clear();
      return;
    }
    if (touch.kind === 'order' || touch.kind === 'clerk') {
      if (running.kind !== 'kiosk') return;
      const counter: Counter = { ...parts, ...running, surface };
      if (touch.kind === 'clerk') return serve(counter, touch.text);
      const lines = touch.lines.map(({ text: what, quantity, minor }) => {
        return { text: what, quantity, total: BigInt(minor) };
      });
      return placeOrder(counter, lines, touch.currency);
    }
    if (running.kind === 'kiosk' && running.terminal.answer(sensedOf(touch))) return;
    const told = await device.sense(sensedOf(touch));
    if (isBillOver(told)) screen.bill(undefined);
  };
}

type Act = Exclude<Touch, { kind: 'order' | 'clerk' | 'clear' }>;

/** Throws PaymentError `malformed` for what is no base64url. */
function sensedOf(touch: Act) {
  switch (touch.kind) {
    case 'tag':
      return { kind: 'tag', message: fromBase64url(touch.message) } as const;
    case 'picture':
      return { kind: 'picture', png: fromBase64url(touch.png) } as const;
    case 'utterance':
    case 'press':
    case 'pin':
    case 'worn':
    case 'link':
      return touch;
  }
}

/** As runtime.ts keeps it: whoever could not pay may try again, or somebody else does. */
function isBillOver(told: Told): boolean {
  if (told.kind === 'said' || told.kind === 'quit') return false;
  const isUnpaid = told.kind === 'refused' || told.kind === 'not_sent';
  return !isUnpaid || ('reason' in told && told.reason === 'cancelled');
}
