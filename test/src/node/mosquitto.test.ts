// A Mosquitto of one's own. Method: a real one is started, spoken to, and must be gone afterwards,
// also when the program that started it is killed.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { connectLink } from '../../../src/node/link.ts';
import { findMosquitto, startMosquitto } from '../../../src/node/mosquitto.ts';
import { requirePart } from '../../parts.ts';

const part = requirePart('mosquitto');
const folder = mkdtempSync(join(tmpdir(), 'saytap-test-mosquitto-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('carries a message, and is gone when it is stopped', async (context) => {
  if (part.missing !== undefined) return context.skip(part.missing);
  const broker = await startMosquitto(findMosquitto()!, folder);
  const heard = Promise.withResolvers<string>();
  const link = connectLink(
    { url: broker.url, clientId: 'one', subscriptions: [{ topic: 'a/+', qos: 1 }] },
    {
      message: (topic) => heard.resolve(topic),
      state: (state) => state === 'up' && link.publish('a/b', new Uint8Array([1]), 1),
    },
  );
  expect(await heard.promise).toBe('a/b');
  expect(isAlive(broker.pid)).toBe(true);
  await link.close();
  await broker.stop();
  expect(isAlive(broker.pid)).toBe(false);
});

test('does not outlive a program that is killed', async (context) => {
  if (part.missing !== undefined) return context.skip(part.missing);
  const module = join(import.meta.dirname, '../../../src/node/mosquitto.ts');
  const script =
    `import { startMosquitto } from ${JSON.stringify(module)};` +
    `const { pid } = await startMosquitto(${JSON.stringify(findMosquitto())}, ` +
    `${JSON.stringify(folder)}); console.log(pid);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script]);
  const pid = await new Promise<number>((done) => {
    child.stdout.once('data', (chunk) => done(Number(String(chunk))));
  });
  expect(isAlive(pid)).toBe(true);
  child.kill('SIGKILL');
  await expect.poll(() => isAlive(pid), { timeout: 10_000 }).toBe(false);
});

test.each(['/nonexistent/mosquitto', '/bin/false'])(
  '%s is no broker, and told of',
  async (path) => {
    await expect(startMosquitto(path, folder)).rejects.toThrow(`${path} does not start`);
  },
);

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
