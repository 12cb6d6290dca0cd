// Method: the command itself, on files that a person could have written.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { type Context, runCommand } from '../../../src/command.ts';
import { command } from '../../../src/commands/config.ts';
import { OperatorError } from '../../../src/errors.ts';
import { files } from '../../../src/node/platform.ts';

const folder = mkdtempSync(join(tmpdir(), 'saytap-config-'));
afterAll(() => rmSync(folder, { recursive: true }));

const programs = {
  device: () => import('../../../device/main.ts'),
  bridge: () => import('../../../broker/main.ts'),
  risk: () => import('../../../broker/risk/main.ts'),
  ledger: () => import('../../../broker/ledger/main.ts'),
};

async function run(...args: readonly string[]): Promise<string> {
  const said: string[] = [];
  const context = {
    files,
    write: (line: string) => void said.push(line),
    program: (name: keyof typeof programs) => programs[name](),
  } as unknown as Context;
  await runCommand(command, 'config', args, context);
  return said.join('\n');
}

function fileOf(text: string): string {
  const path = join(folder, 'device.yaml');
  writeFileSync(path, text);
  return path;
}

const GOOD = `environment: sim
ledger: demo
device: till-1
profile: kiosk
folder: till
root: root.pub.pem
statements: statements
policy: platform.policy
mqtt: { url: mqtt://127.0.0.1:1883 }
`;

test('a good file is good, and is printed with what it leaves out', async () => {
  const path = fileOf(GOOD);
  expect(await run('check', 'device', path)).toBe(`${path}: good for saytap device`);
  const printed = await run('print', 'device', path);
  expect(printed).toContain('language: en');
  expect(printed).toContain('store: file');
  expect(await run('check', 'device', fileOf(`${printed}\n`))).toContain('good');
});

test('every problem is told at once, with exit code 3', async () => {
  const path = fileOf(GOOD.replace('sim', 'simulated').replace('kiosk', 'tower') + 'colour: red\n');
  const failure = await run('check', 'device', path).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(OperatorError);
  expect((failure as OperatorError).exit).toBe(3);
  const { message } = failure as OperatorError;
  expect(message).toContain('has 3 problems');
  expect(message).toContain('environment: is "simulated"; allowed: sim, live');
  expect(message).toContain('profile: is "tower"; allowed: glasses, kiosk');
  expect(message).toContain('colour: is not a setting');
});

test.each(Object.keys(programs))('the schema of %s is one that editors take', async (name) => {
  const schema = JSON.parse(await run('schema', name)) as Record<string, unknown>;
  expect(schema['$schema']).toBe('https://json-schema.org/draft/2020-12/schema');
  expect(schema['additionalProperties']).toBe(false);
  expect(Object.keys(schema['properties'] as object).length).toBeGreaterThan(2);
});

test('another program, or none, is wrong usage', async () => {
  await expect(run('schema', 'simulator')).rejects.toMatchObject({ exit: 2 });
  await expect(run('check', 'device')).rejects.toMatchObject({ exit: 2 });
});
