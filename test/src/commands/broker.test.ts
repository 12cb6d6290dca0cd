// What a person types becomes what the bridge's program is asked; wrong values are refused before.
import { expect, test } from 'vitest';
import { type Context, runCommand } from '../../../src/command.ts';
import { command } from '../../../src/commands/broker.ts';

async function broker(...args: string[]) {
  const called: unknown[] = [];
  const lines: string[] = [];
  const verb = (name: string) => (file: string, wanted: object) => {
    called.push([name, file, wanted]);
  };
  const context = {
    write: (line: string) => lines.push(line),
    program: () => Promise.resolve({ writeBroker: verb('write'), certify: verb('certify') }),
  } as unknown as Context;
  const failed = await runCommand(command, 'broker', args, context).then(
    () => undefined,
    (error: Error) => error.message,
  );
  return { called, failed, page: lines.join('\n') };
}

const FILE = ['--config', 'b.yaml', '--out', 'here'];

test('config takes the names of the broker one by one, and its port', async () => {
  const { called } = await broker('config', ...FILE, '--host', 'a', '--host', '::1', '--port', '9');
  const wanted = { folder: 'here', hosts: ['a', '::1'], port: 9, at: undefined };
  expect(called).toEqual([['write', 'b.yaml', wanted]]);
  const bare = { folder: 'here', hosts: [], port: undefined, at: '/srv' };
  expect((await broker('config', ...FILE, '--at', '/srv')).called).toEqual([
    ['write', 'b.yaml', bare],
  ]);
  expect((await broker('config', ...FILE, '--port', '0')).failed).toMatch(/whole number from 1/);
  expect((await broker('config', '--config', 'b.yaml')).failed).toMatch(/^--out is needed/);
});

test('certificate needs the device, and knows how long', async () => {
  const { called } = await broker('certificate', ...FILE, '--device', 'kiosk-1', '--days', '3660');
  const wanted = { device: 'kiosk-1', folder: 'here', key: undefined, days: 3660 };
  expect(called).toEqual([['certify', 'b.yaml', wanted]]);
  const long = await broker('certificate', ...FILE, '--device', 'k', '--days', '3661');
  expect(long.failed).toMatch(/--days is a whole number from 1 to 3660/);
  expect((await broker('certificate', ...FILE)).failed).toMatch(/^--device is needed/);
});

test('every page has an example', async () => {
  for (const verb of ['config', 'certificate']) {
    const { page } = await broker(verb, '--help');
    expect(page).toMatch(new RegExp(`Examples:\\n  saytap broker ${verb} --config bridge.yaml`));
  }
});
