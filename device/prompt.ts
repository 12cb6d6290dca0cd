/**
 * What a person types at the prompt of a device, for the program of one device and for `saytap
 * start`: what a wearer says or looks at, what a clerk orders and gives back.
 */
import { join } from 'node:path';
import { PaymentError } from '../src/errors.ts';
import { type Money, formatMoney } from '../src/money.ts';
import type { OrderLine } from '../src/objects/order.ts';
import type { Receipt } from '../src/objects/receipt.ts';
import type { Files } from '../src/platform.ts';
import { linesOf } from './confirm.ts';
import { type ClerkReading, ORDER_DIGITS, readClerk } from './intents/clerk.ts';
import { type Language, clerkPhrases } from './phrases.ts';
import type { Device } from './runtime.ts';
import { collectPhrases, staffPhrases } from './staff.ts';
import { codeLines, makeCode } from './surface/code.ts';
import { codePng } from './surface/picture.ts';
import type { Surface } from './surface/port.ts';
import type { OrderState, Screen } from './surface/screen.ts';
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
  /** Where orders and bills are shown instead, on a kiosk that has a screen. */
  screen?: Screen | undefined;
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
function present({ device, surface, language, screen }: Counter, reading: Bill): void {
  if (reading.kind === 'cancel') {
    const isOff = device.bill(undefined);
    if (isOff) screen?.bill(undefined);
    const sentence = isOff ? staffPhrases.dropped(language) : clerkPhrases.busy(language);
    return surface.say(sentence, 'plain');
  }
  const { amount, quantity, text } = reading;
  const lines = text === undefined ? [] : [{ text, quantity, total: amount.minor }];
  const [shown = formatMoney(amount, language)] = linesOf(lines, amount.currency, language);
  if (!device.bill(amount)) return surface.say(clerkPhrases.busy(language), 'plain');
  const sentence = collectPhrases.tapNow(shown, language);
  if (screen) screen.bill({ line: shown, sentence });
  else surface.say(sentence, 'waiting');
}

type Bill = Extract<ClerkReading, { kind: 'cancel' | 'collect' }>;

async function takeOrder(
  counter: Counter,
  { text, quantity, amount }: Extract<ClerkReading, { kind: 'order' }>,
): Promise<void> {
  return placeOrder(counter, [{ text, quantity, total: amount.minor }], amount.currency);
}

/** An order of several lines in one currency; why there is none is told. */
export async function placeOrder(
  counter: Counter,
  lines: readonly OrderLine[],
  currency: string,
): Promise<void> {
  const { terminal, surface } = counter;
  const minor = lines.reduce((sum, { total }) => sum + total, 0n);
  try {
    const order = await terminal.order(lines, currency);
    await order.registered;
    showOrder(counter, order, lines, { currency, minor });
  } catch (error) {
    if (!(error instanceof PaymentError)) throw error;
    surface.say(`no order: ${error.message}`, 'bad');
  }
}

/** The code on the screen and as a picture, and what it asks for, line by line. */
function showOrder(
  { surface, files, folder, language, screen }: Counter,
  order: OpenOrder,
  lines: readonly OrderLine[],
  total: Money,
): void {
  const name = order.id.slice(0, ORDER_DIGITS);
  if (screen) {
    const { settled } = screen.order({
      ...{ id: order.id, number: name, uri: order.uri },
      lines: lines.map((line) => ({ ...line, total: String(line.total) })),
      total: { ...total, minor: String(total.minor) },
    });
    void order.settled.then(({ outcome }) => settled(stateOf(outcome)));
    return;
  }
  const code = makeCode(order.uri);
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

function stateOf(outcome: Receipt['outcome']): Exclude<OrderState, 'open'> {
  return outcome === 'captured' ? 'paid' : outcome === 'held' ? 'held' : 'over';
}
