// The owner's commands on a device: real files, a scripted person, the program's own functions.
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import * as program from '../../../device/main.ts';
import { createOutbox } from '../../../device/outbox.ts';
import { createPin } from '../../../device/pin.ts';
import { type Context, runCommand } from '../../../src/command.ts';
import { command } from '../../../src/commands/device.ts';
import { EXITS, OperatorError } from '../../../src/errors.ts';
import { files, random } from '../../../src/node/platform.ts';
import { openDatabase } from '../../../src/node/sqlite.ts';

const CONFIG = `environment: sim
ledger: demo
device: glasses-1
profile: glasses
folder: box
root: r.pem
statements: s
policy: p
mqtt: { url: "mqtt://x" }
`;
const ID = '1f3870be274f6c49b3e31a0c6728957f';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'saytap-pin-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  files.folder(at('box'));
  writeFileSync(at('glasses.yaml'), CONFIG);
});
const at = (...names: readonly string[]) => join(folder, ...names);
const kept = () => createPin(files, random, at('box', 'device.pin'));

async function run(args: readonly string[], ...typed: readonly string[]) {
  const lines: string[] = [];
  const left = [...typed];
  const context = {
    write: (line: string) => lines.push(line),
    askSecret: () => Promise.resolve(left.shift() ?? ''),
    program: () => Promise.resolve(program),
  } as unknown as Context;
  try {
    await runCommand(command, 'device', args, context);
    return { said: lines.join('\n'), exit: EXITS.ok };
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    return { said: error.message, exit: error.exit };
  }
}
const set = (...typed: readonly string[]) => run(['pin', 'set', at('glasses.yaml')], ...typed);

test('a PIN is set for the device’s user alone, replaced, and cleared', async () => {
  expect(await set('470815', '470815')).toEqual({ said: 'the PIN is set', exit: 0 });
  expect(statSync(at('box', 'device.pin')).mode & 0o777).toBe(0o600);
  expect([kept().check('470815'), kept().check('1357')]).toEqual(['right', 4]);
  await set('1357', '1357');
  writeFileSync(at('box', 'device.speaker'), 'tries 0 …');
  expect([kept().check('470815'), kept().check('1357')]).toEqual([4, 'right']);
  expect(await run(['pin', 'clear', at('glasses.yaml')])).toEqual({
    said: 'the device has no PIN',
    exit: 0,
  });
  expect(kept().state()).toBe('none');
  expect(existsSync(at('box', 'device.speaker')), 'voices are counted anew').toBe(false);
  expect((await run(['pin', 'clear', at('glasses.yaml')])).exit, 'and again').toBe(0);
});

test.each([
  ['two that differ', ['470815', '470816'], 'the two are not the same: nothing was set'],
  ['nothing typed', [], 'a PIN has digits only: nothing was set'],
  ['too short', ['135', '135'], 'a PIN has 4 to 12 digits: nothing was set'],
])('%s: the PIN before stays', async (_why, typed, said) => {
  await set('470815', '470815');
  expect(await set(...typed)).toEqual({ said, exit: EXITS.failed });
  expect(kept().check('470815')).toBe('right');
});

test('a device without a folder, and a folder that takes nothing, are told', async () => {
  rmSync(at('box'), { recursive: true });
  expect((await set('470815', '470815')).exit).toBe(EXITS.storage);
  writeFileSync(at('box'), 'a file');
  expect((await set('470815', '470815')).exit).toBe(EXITS.storage);
});

test('the transcript of a payment is written as it was kept', async () => {
  const path = at('box', 'outbox.db');
  const shown = ['transcript', at('glasses.yaml'), ID];
  expect(await run(shown)).toEqual({ said: `${path} does not exist`, exit: EXITS.config });
  const outbox = createOutbox(openDatabase(path));
  const entry = { kind: 'request', envelope: Uint8Array.of(1), storedMs: 1 } as const;
  const text = '{"salt":"00","shown":{},"done":[]}';
  outbox.put({ ...entry, id: ID, transcript: new TextEncoder().encode(text) });
  outbox.put({ ...entry, id: '00'.repeat(16) });
  expect((await run(shown)).said, 'while the device runs').toMatch(/in use|another program|locked/);
  outbox.end();
  expect(await run(shown)).toEqual({ said: text, exit: 0 });
  const none = await run(['transcript', at('glasses.yaml'), '00'.repeat(16)]);
  expect(none.exit).toBe(EXITS.failed);
});
