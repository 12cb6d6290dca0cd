/** Plans: who has nothing to do in one is left out of its world. */
import { expect, test } from 'vitest';
import { planOf } from '../../simulator/forecast.ts';
import { type Act, type Plan, withoutIdle } from '../../simulator/plan.ts';

const whole = planOf(3);
const site = { wallets: 5, glasses: 12, kiosks: 6, agents: 4, ledgers: 2 } as const;
const empty: Plan = { ...whole, site, acts: [], faults: [] };

const pays: Act = {
  act: 'pay',
  name: 'p',
  atMs: 20_000,
  device: 'glasses-3',
  payee: 'shop-2',
  minor: 5_00,
  how: 'voice',
  isAttentive: true,
  mood: 'sure',
  thinkMs: 900,
};

test('of each list the last who has something to do stays, and one of each', () => {
  const kill = { fault: 'kill', name: 'k', atMs: 1, machine: 'agent-2', downMs: 5 } as const;
  const shapes = withoutIdle({ ...empty, acts: [pays], faults: [kill] }).map((plan) => plan.site);
  expect(shapes).toEqual([
    { ...site, glasses: 3, agents: 2 },
    { ...site, glasses: 3, agents: 2, ledgers: 1 },
    { ...site, glasses: 3, agents: 2, ledgers: 1, kiosks: 3 },
  ]);
  expect(withoutIdle(empty).at(-1)!.site).toMatchObject({ glasses: 1, agents: 1, kiosks: 2 });
});

test('a ledger that something is about stays, and hosts of the network count', () => {
  const away = { fault: 'ledger', ledger: 'ledger-2', trouble: 'away', share: 1 } as const;
  const cut = { fault: 'network', trouble: 'cut', hosts: ['kiosk-5', 'glasses-12'] } as const;
  const faults = [away, cut].map((fault, n) => ({ name: `f${n}`, atMs: n, ...fault }));
  const shapes = withoutIdle({ ...empty, faults }).map((plan) => plan.site);
  expect(shapes.at(-1)).toEqual({ ...site, agents: 1, kiosks: 5 });
});

test('where everybody is needed there is nothing smaller', () => {
  const small = { ...site, glasses: 1, kiosks: 2, agents: 1, ledgers: 1 } as const;
  expect(withoutIdle({ ...empty, site: small })).toEqual([]);
});
