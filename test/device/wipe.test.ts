/** A device that was unpaired: what goes, what stays, and a power cut in the middle. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { deviceConfig } from '../../device/config.ts';
import { openFileKeys } from '../../device/keys/file.ts';
import { finishWipe, wipeDevice } from '../../device/wipe.ts';
import { parseConfig } from '../../src/config.ts';
import { files, random } from '../../src/node/platform.ts';
import type { Files } from '../../src/platform.ts';

const ENROL = 'enrol: { url: "https://bridge.example" }';
const BY_HAND = 'root: r.pem\nstatements: shared\npolicy: p\nmqtt: { url: "mqtt://x" }';

let folder: string;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'saytap-wipe-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  for (const name of ['box/statements', 'box/policies', 'box/mandates', 'shared']) {
    files.folder(at(name));
  }
  for (const name of ['statements/a.key', 'policies/platform.policy', 'mandates/m.mandate']) {
    writeFileSync(at(`box/${name}`), 'x');
  }
  for (const name of [
    'root.pub.pem',
    'tls.key.pem',
    'tls.certificate.pem',
    'broker.url',
    'device.pin',
    'device.speaker',
  ]) {
    writeFileSync(at(`box/${name}`), 'x');
  }
  writeFileSync(at('shared/other.key'), 'x');
  const keys = openKeys();
  await keys.prepare();
  await keys.promote();
  await keys.prepare();
});

const at = (path: string) => resolve(folder, path);
const openKeys = (disk: Files = files) =>
  openFileKeys({ files: disk, random, folder: at('box'), credential: undefined });

function place(settings: string, disk: Files = files) {
  const head = 'environment: sim\nledger: demo\ndevice: g\nprofile: glasses\nfolder: box\n';
  return { config: parseConfig(deviceConfig, head + settings, 'box.yaml'), at, files: disk };
}

/** Every file that is left. */
const left = () =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ name }) => name)
    .sort();

test('nothing that was received stays, and no key', async () => {
  await wipeDevice(place(ENROL), openKeys());
  expect(left()).toEqual(['other.key']);
  await finishWipe(place(ENROL), () => {
    throw new Error('there is nothing to finish');
  });
});

test('of a device that was set up by hand only the keys go', async () => {
  const before = left().filter((name) => !name.startsWith('device.'));
  await wipeDevice(place(BY_HAND), openKeys());
  expect(left()).toEqual(before);
});

test('cut at any step, the next start goes on until all is gone', async () => {
  for (let cut = 1; ; cut++) {
    let steps = 0;
    const step = (run: () => void) => {
      if (++steps === cut) throw new Error('power cut');
      run();
    };
    const dying: Files = { ...files, erase: (path) => step(() => files.erase(path)) };
    const keys = openKeys(dying);
    const isWhole = await wipeDevice(place(ENROL, dying), keys).then(
      () => true,
      () => false,
    );
    await finishWipe(place(ENROL), openKeys);
    expect(left(), `cut at ${cut}`).toEqual(['other.key']);
    if (isWhole) break;
    writeFileSync(at('box/mandates/m.mandate'), 'x');
    writeFileSync(at('box/tls.key.pem'), 'x');
    await openKeys().prepare();
  }
});
