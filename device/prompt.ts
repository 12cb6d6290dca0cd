/**
 * What a person types at the prompt of a device, for the program of one device and for `saytap
 * start`: what a wearer says or looks at, what a clerk orders and gives back.
 */
import { join } from 'node:path';
import { PaymentError } from '../src/errors.ts';
import { type Money, formatMoney } from '../src/money.ts';
import type { OrderLine } from '../src/objects/order.ts';
import type { Files } from '../src/platform.ts';
import { linesOf } from './confirm.ts';
import { type ClerkReading, ORDER_DIGITS, readClerk } from './intents/clerk.ts';
import { type Language, clerkPhrases } from './phrases.ts';
import type { Device } from './runtime.ts';
import { collectPhrases, staffPhrases } from './staff.ts';
import { codeLines, codePng, makeCode } from './surface/code.ts';
import type { Surface } from './surface/port.ts';
import type { OpenOrder, Terminal } from './terminal.ts';

/** What the wearer's line needs. */
export type Eyes = Readonly<{
  device: Device;
  surface: Surface;
  files: Files;
  /** The next line, typed unseen; called before anybody else asks for that line. */
  secret?: () => Promise<string>;
}>;

/**
 * One line of the wearer's: an empty one is a tap, “look FILE.png” a picture, “pin” comes before
 * the PIN on a line of its own, “off” and “on” take the device off and put it on; else a sentence.
 */
export async function wear({ device, surface, files, secret }: Eyes, line: string): Promise<void> {
  const text = line.trim();
  if (secret && text === 'pin') {
    return void (await device.sense({ kind: 'pin', digits: (await secret()).trim() }));
  }
  if (text === 'off' || text === 'on')
    return void (await device.sense({ kind: 'worn', how: text }));
  const look = /^look (.+\.png)$/.exec(text);
  if (text === '') return void (await device.sense({ kind: 'press' }));
  if (!look) return void (await device.sense({ kind: 'utterance', text: line }));
  const png = files.read(look[1]!);
  if (!png) return surface.say(`${look[1]} does not exist`, 'bad');
  await device.sense({ kind: 'picture', png });
}

/** What a clerk's line needs; pictures of orders are kept in `folder`. */
export type Counter = Readonly<{
  terminal: Terminal;
  /** The line of payments, for what is collected here. */
  device: Device;
  surface: Surface;
  files: Files;
  folder: string;
  language: Language;
}>;

/**
 * One line at a kiosk: an answer to its question, an order, what becomes of one, a bill; or a link,
 * which a reader of tags types that acts as a keyboard.
 */
export async function serve(counter: Counter, line: string): Promise<void> {
  const { terminal, device, surface, language } = counter;
  const text = line.trim();
  const answer =
    text === '' ? ({ kind: 'press' } as const) : ({ kind: 'utterance', text } as const);
  if (terminal.answer(answer) || device.answer(answer)) return;
  if (text.startsWith(LINK)) return void (await device.sense({ kind: 'link', text }));
  const reading = readClerk(text, language);
  switch (reading.kind) {
    case 'miss':
      return surface.say(clerkPhrases.help(language), 'plain');
    case 'deed':
      return void (await terminal.act(reading.deed));
    case 'stored':
      return surface.say(staffPhrases.waiting(device.stored(), language), 'plain');
    case 'cancel':
    case 'collect':
      return present(counter, reading);
    case 'order':
      return takeOrder(counter, reading);
  }
}

const LINK = 'saytap://';

/** Puts a bill on the screen, or takes it off. */
function present({ device, surface, language }: Counter, reading: Bill): void {
  if (reading.kind === 'cancel') {
    const isOff = device.bill(undefined);
    const sentence = isOff ? staffPhrases.dropped(language) : clerkPhrases.busy(language);
    return surface.say(sentence, 'plain');
  }
  const { amount, quantity, text } = reading;
  const lines = text === undefined ? [] : [{ text, quantity, total: amount.minor }];
  const [shown = formatMoney(amount, language)] = linesOf(lines, amount.currency, language);
  if (!device.bill(amount)) return surface.say(clerkPhrases.busy(language), 'plain');
  surface.say(collectPhrases.tapNow(shown, language), 'waiting');
}

type Bill = Extract<ClerkReading, { kind: 'cancel' | 'collect' }>;

async function takeOrder(
  counter: Counter,
  { text, quantity, amount }: Extract<ClerkReading, { kind: 'order' }>,
): Promise<void> {
  const { terminal, surface } = counter;
  const lines = [{ text, quantity, total: amount.minor }];
  try {
    const order = await terminal.order(lines, amount.currency);
    await order.registered;
    showOrder(counter, order, lines, amount);
  } catch (error) {
    if (!(error instanceof PaymentError)) throw error;
    surface.say(`no order: ${error.message}`, 'bad');
  }
}

/** The code on the screen and as a picture, and what it asks for, line by line. */
function showOrder(
  { surface, files, folder, language }: Counter,
  order: OpenOrder,
  lines: readonly OrderLine[],
  total: Money,
): void {
  const code = makeCode(order.uri);
  const name = order.id.slice(0, ORDER_DIGITS);
  const picture = join(folder, `order-${name}.png`);
  files.replace(picture, codePng(code, 6), 0o644);
  const shown = [
    ...codeLines(code),
    ...linesOf(lines, total.currency, language),
    clerkPhrases.total(formatMoney(total, language), name, language),
    picture,
  ];
  surface.say(shown.join('\n'), 'plain');
}
