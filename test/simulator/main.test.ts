/** Method: `saytap sim` and `saytap start` as processes, asked over their printed address. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { EXITS } from '../../src/errors.ts';
import { SECRET_HEADER } from '../../simulator/page/wire.ts';

const CLI = join(import.meta.dirname, '../../src/cli.ts');
const PATIENCE = { timeout: 40_000, interval: 50 };

/** Starts a command; resolves with its address once that is printed. */
async function start(...args: readonly string[]) {
  const folder = mkdtempSync(join(tmpdir(), 'saytap-main-'));
  const child = spawn(process.execPath, [CLI, ...args, '--data', join(folder, 'data')]);
  const told = { out: '', err: '' };
  child.stdout.on('data', (chunk: Buffer) => (told.out += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (told.err += chunk.toString()));
  const ended = new Promise<number | null>((done) => child.once('close', done));
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await ended;
    rmSync(folder, { recursive: true, maxRetries: 5, retryDelay: 200 });
  });
  const address = () => /http:\/\/127\.0\.0\.1:\d+\/#[\w-]{32}/.exec(told.out)?.[0];
  return { child, told, ended, address };
}

/** Whether somebody takes a connection there. */
function isOpen(host: string, port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(port, host);
    socket.once('connect', () => done(true));
    socket.once('error', () => done(false));
    socket.once('close', () => socket.destroy());
    socket.once('connect', () => socket.destroy());
  });
}

test('sim: a page for this machine, and for whoever has its whole address', async () => {
  const { child, told, ended, address } = await start('sim');
  await expect.poll(address, PATIENCE).toBeDefined();
  expect(told.out).toContain('SIMULATED');
  const { origin, port, hash } = new URL(address()!);
  expect(await isOpen('127.0.0.1', Number(port))).toBe(true);
  // The whole of 127/8 is this machine, so it would be open there if it were bound to all.
  expect(await isOpen('127.0.0.2', Number(port))).toBe(false);
  expect(await isOpen('::1', Number(port))).toBe(false);
  const secret = { [SECRET_HEADER]: hash.slice(1) };
  const events = await fetch(`${origin}/v1/events`, { headers: secret });
  expect(events.status).toBe(200);
  const { value } = await events.body!.getReader().read();
  expect(new TextDecoder().decode(value)).toMatch(/^data: \{"kind":"hello"/);
  expect((await fetch(`${origin}/v1/events`)).status).toBe(401);
  const page = await fetch(origin);
  expect([page.status, page.headers.get('content-type')]).toEqual([
    200,
    'text/html; charset=utf-8',
  ]);
  child.kill('SIGTERM');
  expect(await ended, told.err).toBe(EXITS.ok);
}, 60_000);

test.each([
  [[], true],
  [['--no-page'], false],
])(
  'start %j, without a screen: it says where to look: %s',
  async (more, hasPage) => {
    const { child, told, ended, address } = await start('start', ...more);
    await expect.poll(() => told.out, PATIENCE).toContain('look at a payment');
    expect(address() !== undefined).toBe(hasPage);
    if (hasPage) expect((await fetch(new URL(address()!).origin)).status).toBe(200);
    child.stdin.write('quit\n');
    expect(await ended, told.err).toBe(EXITS.ok);
  },
  60_000,
);
