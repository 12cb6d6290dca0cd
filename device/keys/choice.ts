/** The key store that a device's configuration names. */
import { join } from 'node:path';
import type { Files, Random } from '../../src/platform.ts';
import type { DeviceConfig } from '../config.ts';
import { KEY_CREDENTIAL, openFileKeys } from './file.ts';
import type { KeyStore } from './store.ts';

/** What keys need of the outside world. */
export type KeyPorts = Readonly<{
  files: Files;
  random: Random;
  /** The folder of systemd's credentials for this program, when there is one. */
  credentials?: string | undefined;
}>;

/**
 * Opens the device's keys; `at` resolves a path of the configuration. Throws OperatorError `key`
 * saying what to do.
 */
export function openKeyStore(
  config: Pick<DeviceConfig, 'folder' | 'keys'>,
  at: (path: string) => string,
  ports: KeyPorts,
): KeyStore {
  const { files, random } = ports;
  const folder = at(config.folder);
  return openFileKeys({ files, random, folder, credential: credential(ports, KEY_CREDENTIAL) });
}

/**
 * A credential's bytes. Its mode is not looked at: systemd alone writes there, for this service
 * alone, and where it grants reading by an ACL the mode shows the group's bits.
 */
function credential({ files, credentials }: KeyPorts, name: string): Uint8Array | undefined {
  return credentials === undefined ? undefined : files.read(join(credentials, name));
}
