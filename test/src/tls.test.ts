// Settings and files of `mqtt`, judged before anything connects.
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { deviceConfig } from '../../device/config.ts';
import { bridgeConfig } from '../../broker/config.ts';
import { parseConfig } from '../../src/config.ts';
import { EXITS, OperatorError } from '../../src/errors.ts';
import { files } from '../../src/node/platform.ts';
import { readTls } from '../../src/tls.ts';

let folder = '';
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'saytap-tls-'))));
afterEach(() => rmSync(folder, { recursive: true }));
const at = (path: string) => join(folder, path);

function refusal(run: () => unknown): Readonly<{ exit: number; message: string }> | undefined {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(OperatorError);
    return error as OperatorError;
  }
  return undefined;
}

const ALL = '{ url: "mqtts://b", ca: ca.pem, certificate: c.pem, key: k.pem }';
const SETTINGS: readonly (readonly [mqtt: string, problem?: string])[] = [
  ['{ url: "mqtt://b" }'],
  ['{ url: "mqtts://b" }'],
  ['{ url: "mqtts://b", ca: ca.pem }'],
  [ALL],
  ['{ url: "mqtts://b", certificate: c.pem }', 'certificate and key go together'],
  ['{ url: "mqtts://b", key: k.pem }', 'certificate and key go together'],
  ['{ url: "mqtt://b", ca: ca.pem }', 'ca, certificate and key need mqtts://'],
  [ALL.replace('mqtts', 'mqtt'), 'ca, certificate and key need mqtts://'],
];

test.each(SETTINGS)('a device with mqtt: %s', (mqtt, problem) => {
  const common = 'environment: sim\nledger: demo\nfolder: f\nroot: r\nstatements: s\npolicy: p\n';
  const text = `${common}device: glasses\nprofile: glasses\nmqtt: ${mqtt}\n`;
  const message = refusal(() => parseConfig(deviceConfig, text, 'a.yaml'))?.message;
  if (problem === undefined) expect(message).toBeUndefined();
  else expect(message).toContain(problem);
});

test.each(SETTINGS)('a bridge with mqtt: %s', (mqtt, problem) => {
  const common = 'environment: sim\nledger: demo\nfolder: f\nroot: r\nstatements: s\npolicy: p\n';
  const service = '{ url: "http://a:1", secret: s }';
  const backends = 'backends: [{ kind: ledger, url: "http://a:1", secret: s }]';
  const text = `${common}risk: ${service}\n${backends}\nmqtt: ${mqtt}\n`;
  const message = refusal(() => parseConfig(bridgeConfig, text, 'a.yaml'))?.message;
  if (problem === undefined) expect(message).toBeUndefined();
  else expect(message).toContain(problem);
});

test('files are read anew each time; missing ones and open keys are said', () => {
  const named = { url: 'mqtts://b', ca: 'ca.pem', certificate: 'c.pem', key: 'k.pem' };
  const read = () => readTls(files, at, named);
  expect(readTls(files, at, { url: 'mqtt://b' })).toEqual({});
  expect(refusal(read)).toMatchObject({
    exit: EXITS.config,
    message: `${at('ca.pem')} does not exist`,
  });
  writeFileSync(at('ca.pem'), 'one');
  writeFileSync(at('c.pem'), 'two');
  writeFileSync(at('k.pem'), 'three', { mode: 0o600 });
  expect(read()).toEqual({ ca: 'one', certificate: 'two', key: 'three' });
  writeFileSync(at('c.pem'), 'renewed');
  expect(read().certificate).toBe('renewed');
  chmodSync(at('k.pem'), 0o640);
  expect(refusal(read)).toMatchObject({ exit: EXITS.key });
});
