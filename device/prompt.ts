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
import { ORDER_DIGITS, readClerk } from './intents/clerk.ts';
import { type Language, clerkPhrases } from './phrases.ts';
import type { Device, Surface } from './runtime.ts';
import { codeLines, codePng, makeCode } from './surface/code.ts';
import type { OpenOrder, Terminal } from './terminal.ts';

/** One line of the wearer's: an empty one is a tap, “look FILE.png” a picture, else a sentence. */
export async function wear(
  { device, surface, files }: Readonly<{ device: Device; surface: Surface; files: Files }>,
  line: string,
): Promise<void> {
  const text = line.trim();
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
  surface: Surface;
  files: Files;
  folder: string;
  language: Language;
}>;

/** One line of the clerk's: an answer to the kiosk's question, an order, or what becomes of one. */
export async function serve(counter: Counter, line: string): Promise<void> {
  const { terminal, surface, language } = counter;
  const text = line.trim();
  if (terminal.answer(text === '' ? { kind: 'press' } : { kind: 'utterance', text })) return;
  const reading = readClerk(text, language);
  if (reading.kind === 'miss') return surface.say(clerkPhrases.help(language), 'plain');
  if (reading.kind === 'deed') return void (await terminal.act(reading.deed));
  const { quantity, amount } = reading;
  const lines = [{ text: reading.text, quantity, total: amount.minor }];
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
