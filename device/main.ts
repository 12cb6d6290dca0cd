/** A device as a program: the real ports, a prompt, and what a person types into it. */
import { dirname, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { parseConfig } from '../src/config.ts';
import { PaymentError } from '../src/errors.ts';
import { requireText } from '../src/files.ts';
import { connectLink } from '../src/node/link.ts';
import { createLog } from '../src/node/log.ts';
import { clock, files, random, timers } from '../src/node/platform.ts';
import { openDatabase } from '../src/node/sqlite.ts';
import { codeWasm } from '../src/node/wasm.ts';
import { startDevice } from './compose.ts';
import { type DeviceConfig, deviceConfig } from './config.ts';
import { ORDER_DIGITS, readClerk } from './intents/clerk.ts';
import { clerkPhrases } from './phrases.ts';
import type { Device, Surface } from './runtime.ts';
import { codeLines, codePng, makeCode } from './surface/code.ts';
import { createTerminalSurface } from './surface/terminal.ts';
import type { Terminal } from './terminal.ts';

/** Runs the device of a configuration file with a prompt, until `quit`, end of input or SIGTERM. */
export async function main(configFile: string, write: (line: string) => void): Promise<void> {
  const isColoured = process.stdout.isTTY === true;
  const config = parseConfig(deviceConfig, requireText(files, configFile), configFile);
  const surface = createTerminalSurface(write, { name: config.device, isColoured });
  const running = startDevice(
    config,
    (path) => resolve(dirname(configFile), path),
    {
      clock,
      timers,
      random,
      files,
      connect: connectLink,
      openDatabase,
      codeWasm,
      log: createLog(config.log),
    },
    surface,
  );
  write(`${config.device} (${config.profile}, ${config.environment}) on ${config.mqtt.url}`);
  const input = createInterface({ input: process.stdin });
  // From here on, so that no line is lost and an end of input before the first payment is noticed.
  const lines = input[Symbol.asyncIterator]();
  process.once('SIGTERM', () => input.close());
  process.once('SIGINT', () => input.close());
  if (running.kind === 'glasses') {
    write(
      'type what the wearer says, like “cancel”; an empty line is a tap on the temple; ' +
        '"look FILE.png"; "quit"',
    );
  } else {
    write(`${clerkPhrases.help(config.language)} "quit"`);
  }
  // Every line at once, also while the service is away: what is asked now is answered now, and a
  // confirmation never waits for a question that is not there yet.
  for await (const line of { [Symbol.asyncIterator]: () => lines }) {
    if (line.trim() === 'quit') break;
    const done =
      running.kind === 'glasses'
        ? wear(running.device, surface, line)
        : take(running.terminal, surface, config, line);
    // One line that goes wrong must not take the device down with what it has in its outbox.
    done.catch((error: unknown) => {
      surface.say(error instanceof Error ? error.message : String(error), 'bad');
    });
  }
  input.close();
  await running.stop();
}

/** One line of the wearer's prompt. */
async function wear(device: Device, surface: Surface, line: string): Promise<void> {
  const look = /^look (.+\.png)$/.exec(line.trim());
  if (line.trim() === '') return void (await device.sense({ kind: 'press' }));
  if (!look) return void (await device.sense({ kind: 'utterance', text: line }));
  const png = files.read(look[1]!);
  if (!png) return surface.say(`${look[1]} does not exist`, 'bad');
  await device.sense({ kind: 'picture', png });
}

/** One line of the kiosk's prompt: an answer to its question, an order, or a refund. */
async function take(terminal: Terminal, surface: Surface, config: DeviceConfig, line: string) {
  const text = line.trim();
  if (terminal.answer(text === '' ? { kind: 'press' } : { kind: 'utterance', text })) return;
  const reading = readClerk(text, config.language);
  if (reading.kind === 'miss') return surface.say(clerkPhrases.help(config.language), 'bad');
  if (reading.kind === 'deed') return void (await terminal.act(reading.deed));
  const { quantity, amount } = reading;
  try {
    const lines = [{ text: reading.text, quantity, total: amount.minor }];
    const order = await terminal.order(lines, amount.currency);
    await order.registered;
    const code = makeCode(order.uri);
    const name = order.id.slice(0, ORDER_DIGITS);
    const picture = resolve(`order-${name}.png`);
    files.replace(picture, codePng(code, 6), 0o644);
    surface.say(`${codeLines(code).join('\n')}\norder ${name}: ${picture}`, 'plain');
  } catch (error) {
    if (!(error instanceof PaymentError)) throw error;
    surface.say(`no order: ${error.message}`, 'bad');
  }
}
