// A forger in a world where nothing breaks: whatever is put in is refused by its code, by the
// bridge and by devices, and the day goes on as it would have without.
import { expect, test } from 'vitest';
import { createDisks } from '../../simulator/disk.ts';
import type { Observed } from '../../simulator/observed.ts';
import { type Act, FORGERIES, type Forgery, type Plan } from '../../simulator/plan.ts';
import { runStorm } from '../../simulator/storm.ts';
import { timers } from '../../src/node/platform.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import { hearUnhandled } from '../../src/node/unhandled.ts';

const ports = { turn: timers.soon, disks: createDisks(openDatabase), hearUnhandled };
const SITE = { wallets: 2, glasses: 2, kiosks: 2, agents: 1, ledgers: 1 } as const;

const pay = (atMs: number): Act => ({
  ...{ name: `pay ${atMs}`, atMs, act: 'pay', device: 'glasses-1', payee: 'shop-1', minor: 12_00 },
  ...{ how: 'voice', isAttentive: true, mood: 'sure', thinkMs: 900 },
});

/** What was noted about each forgery: a payment is under way when it is put in. */
async function refusals(way: 'up' | 'down'): Promise<Readonly<Record<Forgery, string[]>>> {
  const acts = FORGERIES.flatMap((forgery, n): readonly Act[] => {
    const atMs = 20_000 + n * 10_000;
    const forge = { act: 'forge', forgery, device: 'glasses-1', way } as const;
    return [pay(atMs), { name: `${forgery} ${way}`, atMs: atMs + 3_000, ...forge }];
  });
  const healMs = 20_000 + FORGERIES.length * 10_000;
  const schedule = { acts, faults: [], healMs, endMs: healMs + 3_600_000 };
  const plan: Plan = { seed: `forger ${way}`, algorithm: 'EdDSA', site: SITE, ...schedule };
  let observed: readonly Observed[] = [];
  const outcome = await runStorm(plan, ports, { watch: (all) => void (observed = all) });
  expect(outcome.violations).toEqual([]);
  const told = observed.flatMap((one) => (one.what === 'told' ? [one.id] : []));
  expect(new Set(told).size, 'every payment has its own end').toBe(FORGERIES.length);
  expect(observed.filter(({ what }) => what === 'forged')).toHaveLength(FORGERIES.length);
  const isReader = (machine: string) => (machine === 'bridge') === (way === 'up');
  const noted = (n: number) =>
    observed.flatMap((one) => {
      if (one.what !== 'logged' || !isReader(one.machine)) return [];
      if (Math.floor((one.atMs - 20_000) / 10_000) !== n) return [];
      return one.fields?.['reason'] === undefined ? [] : [String(one.fields['reason'])];
    });
  return Object.fromEntries(FORGERIES.map((forgery, n) => [forgery, noted(n)])) as Record<
    Forgery,
    string[]
  >;
}

test('nothing that is put in for the bridge is taken, but what it has taken before', async () => {
  expect(await refusals('up')).toEqual({
    noise: ['malformed'],
    'cut short': ['malformed'],
    loose: ['non_canonical'],
    altered: ['bad_signature'],
    'strange key': ['bad_signature'],
    elsewhere: ['bad_signature'],
    'other kind': ['bad_signature'],
    again: [],
  });
});

test('nothing that is put in for a device is believed, but what the bridge did say', async () => {
  expect(await refusals('down')).toEqual({
    noise: ['malformed'],
    'cut short': ['malformed'],
    loose: ['non_canonical'],
    altered: ['bad_signature'],
    'strange key': ['bad_signature'],
    elsewhere: [], // Signed by the bridge, and about nothing that the other device has asked.
    'other kind': ['bad_signature'],
    again: [],
  });
});
