/**
 * What an unpaired or lost device does at its next contact: it destroys its keys and forgets what
 * it was given. A mark is on disk before the first thing goes, so a power cut in the middle is
 * followed by the rest at the next start.
 *
 * Only what an enrolment brought into the device's own folder is erased: files that a person has
 * put somewhere else may be another device's too, and are worth nothing without the key.
 */
import { join } from 'node:path';
import { utf8 } from '../src/bytes.ts';
import type { Files } from '../src/platform.ts';
import type { DeviceConfig } from './config.ts';
import type { KeyStore } from './keys/store.ts';
import { PIN_FILE } from './pin.ts';
import { SPEAKER_FILE } from './tries.ts';

type Place = Readonly<{ config: DeviceConfig; at: (path: string) => string; files: Files }>;

/** Wipes keys, PIN, certificate, mandates, statements, policies and the pinned root. */
export async function wipeDevice(place: Place, keys: KeyStore): Promise<void> {
  const { config, at, files } = place;
  const mark = markOf(place);
  if (!files.read(mark)) files.replace(mark, utf8('this device is being wiped\n'), 0o600);
  await keys.wipe();
  for (const name of [PIN_FILE, SPEAKER_FILE]) files.erase(join(at(config.folder), name));
  if (config.enrol) {
    for (const folder of [config.mandates, config.statements, config.policy]) {
      if (folder === undefined) continue;
      for (const name of files.list(at(folder))) files.erase(join(at(folder), name));
    }
    for (const name of RECEIVED) files.erase(join(at(config.folder), name));
    files.erase(at(config.root));
  }
  files.erase(mark);
}

/** Goes on with what a power cut interrupted; undefined `keys` are not opened without need. */
export async function finishWipe(place: Place, keys: () => KeyStore): Promise<void> {
  if (place.files.read(markOf(place))) await wipeDevice(place, keys());
}

const RECEIVED = [
  ...['tls.key.pem', 'tls.certificate.pem', 'tls.ca.pem'],
  ...['broker.url', 'enrolment.json', 'succession.json'],
];

function markOf({ config, at }: Place): string {
  return join(at(config.folder), 'wiping');
}
