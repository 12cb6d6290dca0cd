/** The key store that a device's configuration names. */
import type { KeyObject } from 'node:crypto';
import { join } from 'node:path';
import type { Signer } from '../../src/cose.ts';
import { OperatorError } from '../../src/errors.ts';
import { readSecretText } from '../../src/keyfile.ts';
import { type Files, type LoadTokens, type Random, TokenFailure } from '../../src/platform.ts';
import type { DeviceConfig } from '../config.ts';
import { KEY_CREDENTIAL, openFileKeys } from './file.ts';
import { openTokenKeys, pinOf } from './pkcs11.ts';
import type { KeyStore } from './store.ts';

/** What keys need of the outside world. */
export type KeyPorts = Readonly<{
  files: Files;
  random: Random;
  /** The folder of systemd's credentials for this program, when there is one. */
  credentials?: string | undefined;
  /** Keys in hardware; absent where there is none, as in a simulated world. */
  loadTokens?: LoadTokens;
  /** How a key from a file signs: with noble, hedged, unless a world has to repeat itself. */
  signerOf?: ((handle: KeyObject) => Signer) | undefined;
}>;

/**
 * Opens the device's keys; `at` resolves a path of the configuration. Throws OperatorError `key`
 * saying what to do.
 */
export function openKeyStore(
  config: Pick<DeviceConfig, 'device' | 'folder' | 'keys'>,
  at: (path: string) => string,
  ports: KeyPorts,
): KeyStore {
  const { files, random, signerOf } = ports;
  const { device, keys } = config;
  const folder = at(config.folder);
  if (keys.store === 'pkcs11') {
    const open = tokensOf(keys.module, ports);
    const pin = pinFrom(keys.pin, at, ports);
    return openTokenKeys({ files, random, open, folder, device, token: keys.token, pin });
  }
  return openFileKeys({
    ...{ files, random, folder, signerOf },
    credential: credential(ports, KEY_CREDENTIAL),
  });
}

function tokensOf(module: string, { loadTokens }: KeyPorts): ReturnType<LoadTokens> {
  if (!loadTokens) throw new OperatorError('key', 'keys in hardware cannot be used here');
  try {
    return loadTokens(module);
  } catch (cause) {
    if (!(cause instanceof TokenFailure)) throw cause;
    throw new OperatorError(
      'key',
      `the PKCS #11 module of this device cannot be loaded: ${cause.message} (docs/keys.md)`,
      { cause },
    );
  }
}

/** A credential of that name, or else a file that nobody else may read. */
function pinFrom(pin: string, at: (path: string) => string, ports: KeyPorts) {
  if (/^[\w.-]+$/.test(pin) && credential(ports, pin)) {
    const from = `the credential ${pin}`;
    const read = () => pinOf(new TextDecoder().decode(credential(ports, pin)), from);
    return { from, read };
  }
  const path = at(pin);
  return { from: path, read: () => pinOf(readSecretText(ports.files, path), path) };
}

/**
 * A credential's bytes. Its mode is not looked at: systemd alone writes there, for this service
 * alone, and where it grants reading by an ACL the mode shows the group's bits.
 */
function credential({ files, credentials }: KeyPorts, name: string): Uint8Array | undefined {
  return credentials === undefined ? undefined : files.read(join(credentials, name));
}
