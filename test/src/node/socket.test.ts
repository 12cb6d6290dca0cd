/**
 * One question and one answer over a Unix socket: who listens, who is cut off, and which paths fit.
 *
 * Method: real sockets in a temp folder. Only the time-out is not waited for: its timer is faked.
 */
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { type Socket, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { EXITS } from '../../../src/errors.ts';
import { OPERATOR_QUESTION_BYTES_MAX, OPERATOR_SLOW_MS } from '../../../src/limits.ts';
import { askSocket, serveSocket } from '../../../src/node/socket.ts';

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'saytap-socket-'));
  onTestFinished(() => rmSync(path, { recursive: true }));
  return path;
}

/** A server that says a question backwards; closed with its test. */
async function serving(path = join(folder(), 's')) {
  const heard: string[] = [];
  const server = await serveSocket(path, async (question) => {
    heard.push(question);
    return [...question].reverse().join('');
  });
  onTestFinished(server.close);
  return { path, heard, server };
}

/** A client that connects and says only this much. */
async function saying(path: string, text: string): Promise<Socket> {
  const socket = connect(path);
  // A cut-off connection may end with a reset.
  socket.on('error', () => undefined);
  onTestFinished(() => void socket.destroy());
  await new Promise((resolve) => socket.once('connect', resolve));
  await new Promise((resolve) => socket.write(text, resolve));
  return socket;
}

const closed = (socket: Socket) =>
  new Promise<void>((resolve) => {
    socket.resume();
    if (socket.destroyed) resolve();
    else socket.once('close', () => resolve());
  });

test('each connection gets its own answer, and only the owner may ask', async () => {
  const { path } = await serving();
  const questions = ['a', 'abc', 'é€', 'x'.repeat(OPERATOR_QUESTION_BYTES_MAX)];
  const answers = await Promise.all(questions.map((question) => askSocket(path, question)));
  expect(answers).toEqual(questions.map((question) => [...question].reverse().join('')));
  expect(statSync(path).mode & 0o777).toBe(0o600);
});

test('nobody listens: undefined; what a killed program left is replaced', async () => {
  const path = join(folder(), 's');
  expect(await askSocket(path, 'abc')).toBeUndefined();
  writeFileSync(path, '');
  expect(await askSocket(path, 'abc')).toBeUndefined();
  await serving(path);
  expect(await askSocket(path, 'abc')).toBe('cba');
});

test('a question that is too long is never heard, and its connection is cut off', async () => {
  const { path, heard } = await serving();
  await closed(await saying(path, 'x'.repeat(OPERATOR_QUESTION_BYTES_MAX + 1)));
  expect(heard).toEqual([]);
  expect(await askSocket(path, 'abc'), 'the others go on').toBe('cba');
});

test('an answer that fails cuts the connection off, and the server goes on', async () => {
  const path = join(folder(), 's');
  const server = await serveSocket(path, async (question) => {
    if (question === 'broken') throw new Error('broken');
    return 'sound';
  });
  onTestFinished(server.close);
  const socket = connect({ path, allowHalfOpen: true });
  socket.end('broken');
  await closed(socket);
  expect(socket.bytesRead).toBe(0);
  expect(await askSocket(path, 'abc')).toBe('sound');
});

test('who has not put the whole question in time is cut off, and the others are not', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
  const path = join(folder(), 's');
  let answer = (_text: string) => {};
  const asked = new Promise<void>((resolve) => {
    void serveSocket(path, (question) => {
      resolve();
      return new Promise((later) => (answer = () => later(`${question}!`)));
    }).then(({ close }) => onTestFinished(close));
  });
  await vi.waitFor(() => statSync(path));
  const patient = askSocket(path, 'abc');
  await asked;
  const slow = await saying(path, 'ab');
  // Accepted once another, later one was: its timer runs.
  await vi.waitFor(() => expect(vi.getTimerCount()).toBe(1));
  vi.advanceTimersByTime(OPERATOR_SLOW_MS - 1);
  expect(slow.destroyed).toBe(false);
  vi.advanceTimersByTime(1);
  await closed(slow);
  answer('');
  expect(await patient, 'its question was there in time').toBe('abc!');
});

test('closing waits for no client that is still connected', async () => {
  const { path, server } = await serving();
  const idle = await saying(path, 'ab');
  await server.close();
  await closed(idle);
  expect(await askSocket(path, 'abc')).toBeUndefined();
});

test('a path that fits only from the working folder is used from there', async () => {
  const deep = join(folder(), 'd'.repeat(100));
  mkdirSync(deep);
  const before = process.cwd();
  process.chdir(deep);
  onTestFinished(() => process.chdir(before));
  const { path } = await serving(join(deep, 's'));
  expect(path.length).toBeGreaterThan(107);
  expect(await askSocket(path, 'abc')).toBe('cba');
});

test('a path that fits in no way is refused, and nothing is cut short', async () => {
  const deep = join(folder(), 'd'.repeat(110));
  mkdirSync(deep);
  const path = join(deep, 's');
  const refused = { exit: EXITS.address, message: expect.stringContaining(path) as unknown };
  await expect(serveSocket(path, async (text) => text)).rejects.toMatchObject(refused);
  await expect(askSocket(path, 'abc')).rejects.toMatchObject(refused);
});
