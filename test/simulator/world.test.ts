// A world without faults: what people do there goes through the product's own code, in no real
// time, and always in the same way.
import { describe, expect, test } from 'vitest';
import { createChance } from '../../simulator/chance.ts';
import { createDisks } from '../../simulator/disk.ts';
import type { ActKind } from '../../simulator/plan.ts';
import { createSite } from '../../simulator/census.ts';
import { type World, createWorld } from '../../simulator/world.ts';
import type { Algorithm } from '../../src/keys.ts';
import { timers } from '../../src/node/platform.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import { hearUnhandled } from '../../src/node/unhandled.ts';

const ports = { turn: timers.soon, disks: createDisks(openDatabase), hearUnhandled };
const SHAPE = { wallets: 2, glasses: 2, kiosks: 2, agents: 1, ledgers: 1 } as const;

async function run(
  acts: readonly (readonly [atMs: number, act: ActKind])[],
  { algorithm = 'EdDSA' as Algorithm, seed = 'two' } = {},
): Promise<World> {
  const chance = createChance(seed);
  const site = await createSite(SHAPE, algorithm, chance.fork('site'));
  const world = createWorld(site, chance, ports);
  for (const [n, [atMs, act]] of acts.entries()) {
    world.at(atMs, () => world.act({ name: `act ${n}`, atMs, ...act }));
  }
  while (await world.step(60_000));
  return world;
}

const told = ({ observed }: World) =>
  observed.flatMap((one) => (one.what === 'told' ? [`${one.device} ${one.kind}`] : []));
const crashes = ({ observed }: World) => observed.filter(({ what }) => what === 'crash');

const PAY = {
  ...{ act: 'pay', device: 'glasses-1', payee: 'shop-1', minor: 12_00, how: 'voice' },
  ...{ isAttentive: true, mood: 'sure', thinkMs: 900 },
} as const satisfies ActKind;

const DAY = [
  [10_000, PAY],
  [12_000, { ...PAY, device: 'glasses-2', how: 'two sentences', minor: 9_50 }],
  [
    14_000,
    {
      ...{ act: 'order', kiosk: 'kiosk-1', prices: [5_00, 6_00] },
      customers: [{ device: 'glasses-1', afterMs: 900, mood: 'sure', thinkMs: 900 }],
    },
  ],
  [
    16_000,
    {
      ...{ act: 'collect', kiosk: 'kiosk-1', wallet: 'wallet-1', minor: 4_00 },
      ...{ mood: 'sure', thinkMs: 900 },
    },
  ],
  [20_000, { act: 'agent', agent: 'agent-1', payee: 'shop-1', minor: 1_00 }],
  [25_000, { act: 'clerk', kiosk: 'kiosk-1', deed: 'refund', mood: 'sure', thinkMs: 900 }],
] as const satisfies readonly (readonly [number, ActKind])[];

describe.each(['EdDSA', 'ES256'] as const)('signed with %s', (algorithm) => {
  test('everybody pays, and a second world does exactly the same', async () => {
    const world = await run(DAY, { algorithm });
    expect(told(world)).toEqual([
      'glasses-1 paid',
      'glasses-2 paid',
      'kiosk-1 done',
      'glasses-1 paid',
      'kiosk-1 paid',
      'agent-1 paid',
      'kiosk-1 done',
    ]);
    expect(crashes(world)).toEqual([]);
    const books = world.stores.ledgers.get('ledger')!()!;
    const moved = books.prepare(`SELECT kind, amount FROM transfer WHERE kind != 'top_up'`).all();
    expect(moved.map(({ kind, amount }) => `${kind as string} ${amount as bigint}`)).toEqual([
      'pay 1200',
      'pay 950',
      'pay 1100',
      'pay 400',
      'pay 100',
      'refund 1100',
    ]);
    const again = await run(DAY, { algorithm });
    expect(again.hash()).toBe(world.hash());
    const other = await run(DAY, { algorithm, seed: 'other' });
    expect(other.hash()).not.toBe(world.hash());
    for (const one of [world, again, other]) one.end();
  });
});

test('who misheard says no on reading it, and who does not read pays what was shown', async () => {
  const heard = { ...PAY, heard: 120_00 };
  const careless = { ...heard, device: 'glasses-2', heard: 13_00, isAttentive: false };
  const world = await run([
    [10_000, heard],
    [20_000, careless],
  ]);
  expect(told(world)).toEqual(['glasses-1 not_sent', 'glasses-2 paid']);
  const confirmed = world.observed.flatMap((one) =>
    one.what === 'confirmed' ? [`${one.person} ${one.amount.minor}`] : [],
  );
  expect(confirmed).toEqual(['wearer of glasses-2 1300']);
  world.end();
});

test('a wallet that revokes is answered, and nothing more is paid under its mandate', async () => {
  const world = await run([
    [10_000, { act: 'revoke', wallet: 'wallet-1', holder: 'glasses-1' }],
    [20_000, PAY],
  ]);
  const [revoked] = world.observed.filter(({ what }) => what === 'revoked');
  expect(revoked).toMatchObject({ wallet: 'wallet-1' });
  const last = world.observed.findLast(({ what }) => what === 'told');
  expect(last).toMatchObject({ device: 'glasses-1', kind: 'refused', reason: 'revoked' });
  world.end();
});
