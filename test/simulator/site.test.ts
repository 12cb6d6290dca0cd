// Who is in a world comes from the seed alone, private keys and signatures too.
import { expect, test } from 'vitest';
import { createChance } from '../../simulator/chance.ts';
import { createSite } from '../../simulator/census.ts';
import type { Site } from '../../simulator/site.ts';
import { toHex } from '../../src/bytes.ts';
import type { Algorithm } from '../../src/keys.ts';
import { mandate as mandateKind } from '../../src/objects/mandate.ts';
import { open } from '../../src/objects/kind.ts';

const SHAPE = { wallets: 3, glasses: 4, kiosks: 3, agents: 3, ledgers: 2 } as const;
const siteOf = (seed: string, algorithm: Algorithm = 'EdDSA') =>
  createSite(SHAPE, algorithm, createChance(seed));

function bytesOf(site: Site): string[] {
  return [site.bridge, ...site.devices].flatMap(({ disk }) =>
    [...disk.files].map(([path, { content }]) => `${path} ${toHex(content as Uint8Array)}`),
  );
}

test.each(['EdDSA', 'ES256'] as const)('%s: the same seed, the same bytes', async (algorithm) => {
  const bytes = bytesOf(await siteOf('1', algorithm));
  expect(bytes.length).toBeGreaterThan(60);
  expect(bytesOf(await siteOf('1', algorithm))).toEqual(bytes);
  expect(bytesOf(await siteOf('2', algorithm))).not.toEqual(bytes);
});

test('everybody who is to pay holds mandates that their wallets have signed', async () => {
  const { devices, mandates, wallets, realm } = await siteOf('3');
  expect(devices.map(({ kind }) => kind).sort()).toEqual(
    [...Array<string>(3).fill('agent'), ...Array<string>(4).fill('glasses')].concat(
      Array<string>(3).fill('kiosk'),
    ),
  );
  for (const { name, signer } of devices) {
    const own = mandates.filter(({ holder }) => holder === name);
    expect(own, name).not.toEqual([]);
    expect(own.every(({ mandate }) => mandate.cnf === signer.key.name)).toBe(true);
  }
  const roots = mandates.filter(({ mandate }) => mandate.parent === undefined);
  for (const { envelope, wallet } of roots) {
    const { key } = wallets.find(({ name }) => name === wallet)!.signer;
    expect(open(mandateKind, envelope, realm, () => key).value.funding).toBe(`acct-${wallet}`);
  }
  const [handed] = mandates.filter(({ mandate }) => mandate.parent !== undefined);
  const giver = devices.find(({ name }) => name === 'agent-1')!.signer;
  expect(open(mandateKind, handed!.envelope, realm, () => giver.key).value.cnf).toBe(
    devices.find(({ name }) => name === 'agent-2')!.signer.key.name,
  );
});
