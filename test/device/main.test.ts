// The device as a program: what it says and how it ends when its disk fails under it.
import { spawn } from 'node:child_process';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { WINDOW_HEADER } from '../../device/view.ts';
import { STORY } from '../../simulator/install.ts';
import { EXITS } from '../../src/errors.ts';
import { createSite } from '../site.ts';

const cli = join(import.meta.dirname, '..', '..', 'src', 'cli.ts');

/** Every sync that the program makes itself fails, as on a card that is worn out. */
const WORN = `data:text/javascript,${encodeURIComponent(`
  import fs from 'node:fs';
  import { syncBuiltinESMExports } from 'node:module';
  fs.fdatasyncSync = () => {
    throw Object.assign(new Error('i/o error, fdatasync'), { code: 'EIO' });
  };
  syncBuiltinESMExports();
`)}`;

test('a disk that fails ends the program with one clear line, to be started again', async () => {
  const site = await createSite();
  onTestFinished(site.close);
  const bridge = await site.openBridge({ listen: { host: '127.0.0.1', port: 0 } });
  const config = site.glassesAt(bridge.mqttUrl);
  const args = ['--import', WORN, cli, 'device', '--config', config];
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  const said = { out: '', err: '' };
  child.stdout.on('data', (part: Buffer) => (said.out += part.toString()));
  child.stderr.on('data', (part: Buffer) => (said.err += part.toString()));
  // The bridge's word on the mandate is the first thing to be kept.
  const code = await new Promise((done) => child.once('close', done));
  expect(code, said.err).toBe(EXITS.storage);
  expect(said.out).toContain('The disk of this device has failed.');
  expect(said.err.split('\n').filter((line) => line.startsWith('saytap:'))).toEqual([
    'saytap: The disk did not keep what was written. The program must be started again.',
  ]);
});

test('a kiosk serves its screen, and the address in its folder is all that is needed', async () => {
  const site = await createSite();
  onTestFinished(site.close);
  const bridge = await site.openBridge({ listen: { host: '127.0.0.1', port: 0 } });
  const file = site.glassesAt(bridge.mqttUrl);
  const { mandates: _, ...settings } = parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  const own = { profile: 'kiosk', device: STORY.kiosk, folder: 'kiosk', prompt: false };
  const catalogue = [{ text: 'Latte', price: '20.00' }];
  const screen = { listen: { port: 0 }, currency: 'CNY', catalogue };
  writeFileSync(file, stringify({ ...settings, ...own, screen }));
  const child = spawn(process.execPath, [cli, 'device', '--config', file]);
  onTestFinished(() => void child.kill('SIGKILL'));
  let said = '';
  child.stdout.on('data', (part: Buffer) => (said += part.toString()));
  child.stderr.on('data', (part: Buffer) => (said += part.toString()));
  await expect.poll(() => said, { timeout: 20_000 }).toMatch(/screen at .*screen\.url/);
  const path = join(dirname(file), 'kiosk', 'screen.url');
  expect(statSync(path).mode & 0o777).toBe(0o600);
  const [address, secret] = readFileSync(path, 'utf8').trim().split('#') as [string, string];
  expect(said, 'the secret is in no log').not.toContain(secret);

  const ask = (touch: object, headers: object = {}) =>
    fetch(`${address}v1/ask/touch`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', origin: address.slice(0, -1), ...headers },
      body: JSON.stringify(touch),
    });
  const order = {
    ...{ kind: 'order', currency: 'CNY' },
    lines: [{ text: 'Latte', quantity: 1, minor: '2000' }],
  };
  expect((await ask(order)).status).toBe(403);
  const headers = { [WINDOW_HEADER]: secret };
  expect((await ask({ kind: 'sign' }, headers)).status).toBe(400);
  // Asked until the kiosk has heard from its bridge.
  const feed = await fetch(`${address}v1/events`, { headers });
  const reader = feed.body!.pipeThrough(new TextDecoderStream()).getReader();
  let heard = '';
  while (!heard.includes('"kind":"order"')) {
    const { value } = await reader.read();
    heard += value;
    const isReady = heard.includes('"isOnline":true');
    if (isReady && !heard.includes('asked')) {
      heard += 'asked';
      expect((await ask(order, headers)).status).toBe(200);
    }
  }
  expect(heard).toContain('"offers":[{"text":"Latte","minor":"2000"}]');
  expect(heard).toContain('"title":"Luckin Coffee"');
  expect(heard).toContain('saytap://order/');
  child.kill('SIGTERM');
  expect(await new Promise((done) => child.once('close', done)), said).toBe(0);
});
