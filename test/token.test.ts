// Method: a whole site on real sockets whose glasses have their key in a real token. The token is
// taken out while a person confirms; asked is what the person was told and what the ledger moved.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openKeyStore } from '../device/keys/choice.ts';
import { STORY } from '../simulator/install.ts';
import { type Signer, payloadOf } from '../src/cose.ts';
import { requireBytes } from '../src/files.ts';
import { readKeyFile } from '../src/keyfile.ts';
import { CONFIRM_READ_MS } from '../src/limits.ts';
import { loadTokens } from '../src/node/pkcs11.ts';
import { files, random } from '../src/node/platform.ts';
import { keyStatement } from '../src/objects/key.ts';
import { seal } from '../src/objects/kind.ts';
import { mandate as mandateKind } from '../src/objects/mandate.ts';
import { nodeSigner } from '../src/signer.ts';
import { type Hardware, PIN, build, createSoftHsm, missingFor } from './device/keys/tokens.ts';
import { type Site, createSite, pay } from './site.ts';

const missing = missingFor('softhsm2');
let site: Site | undefined;
let hardware: Hardware | undefined;
beforeEach(async () => {
  if (missing !== undefined) return;
  build();
  hardware = createSoftHsm();
  site = await createSite();
});
afterEach(async () => {
  await site?.close();
  await hardware?.close();
});

/** Root and wallet name the token's key where they named the file's. */
async function name(folder: string, signer: Signer): Promise<void> {
  const owner = (key: string) => nodeSigner(readKeyFile(files, join(folder, key)));
  const [statement, mandate] = ['statements/glasses.key', 'mandates/glasses.mandate'].map((path) =>
    join(folder, path),
  ) as [string, string];
  const before = (path: string) => payloadOf(requireBytes(files, path));
  const named = { ...keyStatement.decode(before(statement)), key: signer.key.public };
  const granted = { ...mandateKind.decode(before(mandate)), cnf: signer.key.name };
  const { realm } = STORY;
  const put = (path: string, envelope: Uint8Array) => files.replace(path, envelope, 0o644);
  put(statement, await seal(keyStatement, named, realm, owner('root.key.pem')));
  put(mandate, await seal(mandateKind, granted, realm, owner('wallet.key.pem')));
}

test('glasses pay with a token; taken out it is told, put back the payment goes on', async (c) => {
  if (missing !== undefined) c.skip(missing);
  const { folder } = site!;
  const { module, token } = hardware!;
  writeFileSync(join(folder, 'pin'), PIN, { mode: 0o600 });
  const keys = { store: 'pkcs11', module, token, pin: 'pin' } as const;
  const store = openKeyStore(
    { device: STORY.glasses, folder: 'glasses', keys },
    (path) => join(folder, path),
    { files, random, loadTokens },
  );
  await store.prepare();
  await store.promote();
  const signer = store.current()!;
  await name(folder, signer);

  const glasses = await site!.open({ listen: { host: '127.0.0.1', port: 0 } }, keys);
  await glasses.ready();
  expect((await (await pay(site!, glasses, '3')).told).kind).toBe('paid');

  await hardware!.remove();
  const { told } = await pay(site!, glasses, '4');
  expect(await told).toEqual({ kind: 'not_sent', reason: 'unavailable' });
  expect(site!.said.at(-1)).toContain('The key of this device is not there: put it back.');
  expect(site!.logged).toContain('the key did not sign');
  expect(glasses.outbox.counter(signer.key.name)).toBe(1);
  expect(await site!.paid()).toBe(3_00n);

  await hardware!.putBack();
  const paying = glasses.device.sense({ kind: 'press' });
  await expect.poll(() => site!.asked.length, { timeout: 5_000 }).toBe(3);
  await new Promise((done) => setTimeout(done, CONFIRM_READ_MS + 50));
  await glasses.device.sense({ kind: 'press' });
  expect((await paying).kind).toBe('paid');
  expect(await site!.paid()).toBe(7_00n);
  expect(glasses.outbox.counter(signer.key.name)).toBe(2);
});
