/** What a bridge starts with: a policy or a folder of them, never a lower one; and its root. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { stringify } from 'yaml';
import { operate, startBridge } from '../../broker/main.ts';
import { toHex } from '../../src/bytes.ts';
import { openKeyFile } from '../../src/keyfile.ts';
import { clock, files, random } from '../../src/node/platform.ts';
import { keyStatement } from '../../src/objects/key.ts';
import { seal } from '../../src/objects/kind.ts';
import { type Policy, policy as policyKind } from '../../src/objects/policy.ts';
import { nodeSigner, publicPem } from '../../src/signer.ts';
import { CAST, POLICY, REALM } from './stage.ts';

/** A bridge's folder with everything but policies. */
async function prepared() {
  const home = mkdtempSync(join(tmpdir(), 'saytap-policies-'));
  onTestFinished(() => rmSync(home, { recursive: true }));
  const at = (...names: string[]) => join(home, ...names);
  for (const name of ['bridge', 'statements', 'policies']) mkdirSync(at(name), { mode: 0o700 });
  const key = nodeSigner(openKeyFile(files, at('bridge', 'bridge.key.pem'), 'ES256'));
  const nowS = Math.floor(clock.nowMs() / 1000);
  const valid = { nbf: nowS - 60, exp: nowS + 86_400 };
  const says = { role: 'bridge', presenceMax: 0, key: key.key.public, ...valid } as const;
  writeFileSync(at('statements', 'b.key'), await seal(keyStatement, says, REALM, CAST.root));
  writeFileSync(at('root.pub.pem'), publicPem(CAST.root.key));
  writeFileSync(at('tick.secret'), toHex(random(32)), { mode: 0o600 });
  const service = { url: 'http://127.0.0.1:1', secret: 'a.secret' };
  const start = async (policy: string, more: object = {}) => {
    const settings = {
      ...more,
      ...REALM,
      folder: 'bridge',
      root: 'root.pub.pem',
      statements: 'statements',
      policy,
      mqtt: { url: 'mqtt://127.0.0.1:1' },
      risk: service,
      backends: [{ kind: 'ledger', ...service }],
      log: 'error',
    };
    writeFileSync(at('bridge.yaml'), stringify(settings));
    return operate(at('bridge.yaml'), { ask: 'keys' }).then(
      () => 'started',
      (error: Error) => error.message.replace(home, ''),
    );
  };
  const sign = async (file: string, changes: Partial<Policy>) =>
    writeFileSync(at(file), await seal(policyKind, { ...POLICY, ...changes }, REALM, CAST.root));
  return { at, sign, start };
}

test('a lower version than one that was seen is refused, with what to do', async () => {
  const { sign, start } = await prepared();
  await sign('platform.policy', { version: 3 });
  expect(await start('platform.policy')).toBe('started');
  expect(await start('platform.policy')).toBe('started');
  await sign('platform.policy', { version: 2 });
  expect(await start('platform.policy')).toBe(
    '/platform.policy: downgrade_refused: version 2 of the policy for the platform, ' +
      'but version 3 was seen: put that one back, or have the root sign version 4',
  );
  await sign('platform.policy', { version: 4 });
  expect(await start('platform.policy')).toBe('started');
});

test('a folder of policies: one of the platform must ever have been there', async () => {
  const { sign, start, at } = await prepared();
  expect(await start('policies')).toBe('/policies holds no file that ends with .policy');
  expect(await start('nowhere')).toBe('/nowhere does not exist');
  await sign('policies/cafe.policy', { scope: { kind: 'merchant', payee: 'cafe' }, version: 5 });
  expect(await start('policies')).toBe('no policy of the platform was ever given to this bridge');
  await sign('policies/platform.policy', {});
  expect(await start('policies')).toBe('started');
  // What binds is kept: taking the file away loosens nothing, and an older one is refused.
  rmSync(at('policies', 'platform.policy'));
  expect(await start('policies')).toBe('started');
  await sign('policies/cafe.policy', { scope: { kind: 'merchant', payee: 'cafe' }, version: 4 });
  expect(await start('policies')).toMatch(/downgrade_refused: version 4 of the policy for payee/);
});

test('a root that is not where enrol.root says is missed by that name', async () => {
  const { sign, start } = await prepared();
  await sign('platform.policy', {});
  expect(await start('platform.policy', { enrol: { root: 'usb/root.key.pem' } })).toBe(
    "enrol.root: /usb/root.key.pem does not exist: put the root's private key there, or leave " +
      'enrol.root out of the configuration and sign with saytap device approve CODE --root FILE',
  );
});

test('a bridge that is stopped twice is stopped once, and its folder is free again', async () => {
  const { at, sign, start } = await prepared();
  await sign('platform.policy', {});
  await start('platform.policy');
  const bridge = await startBridge(at('bridge.yaml'), () => {});
  await Promise.all([bridge.stop(), bridge.stop()]);
  await bridge.stop();
  expect(await start('platform.policy')).toBe('started');
});
