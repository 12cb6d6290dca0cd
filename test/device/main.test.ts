// The device as a program: what it says and how it ends when its disk fails under it.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
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
