/** Drafts: every plan that is ours comes back as it was; any other is told in one line, and why. */
import { expect, test } from 'vitest';
import { readDraft } from '../../simulator/draft.ts';
import { planOf } from '../../simulator/forecast.ts';
import { type Plan, planText, withoutIdle } from '../../simulator/plan.ts';
import { shrink } from '../../simulator/shrink.ts';
import { EXITS } from '../../src/errors.ts';
import { STORM_CAST_MAX, STORM_MS_MAX, STORM_PLAN_BYTES_MAX } from '../../src/limits.ts';

/** A plan that comes back as it was is written in the same bytes again: its hash is over them. */
function expectSame(plan: Plan): void {
  const text = planText(plan);
  const read = readDraft(text, 'saved.json');
  expect(read).toEqual(plan);
  expect(planText(read)).toBe(text);
}

test('the plans of two hundred seeds come back as they were', () => {
  for (let seed = 1; seed <= 200; seed++) expectSame(planOf(seed));
});

test('so does what shrinking leaves of them, whoever it needs', async () => {
  for (let seed = 1; seed <= 40; seed++) {
    const plan = planOf(seed);
    const needed = [plan.acts[seed]!, plan.acts.at(-seed)!, plan.faults[seed % 20]!];
    const violation = { kind: 'safety', invariant: 'I1', atMs: plan.healMs, story: '' } as const;
    const run = ({ acts, faults }: Plan) => {
      const left = new Set([...acts, ...faults].map(({ name }) => name));
      return needed.every(({ name }) => left.has(name)) ? violation : undefined;
    };
    const found = await shrink(plan, violation, run, { smaller: withoutIdle });
    expect(found.plan.acts.length + found.plan.faults.length).toBe(3);
    expectSame(found.plan);
  }
});

const pay = {
  ...{ act: 'pay', name: 'pay-1', atMs: 20_000, device: 'glasses-2', payee: 'shop-1', minor: 5_00 },
  ...{ how: 'voice', isAttentive: true, mood: 'sure', thinkMs: 900 },
};
const order = {
  ...{ act: 'order', name: 'order-2', atMs: 21_000, kiosk: 'kiosk-1', prices: [4_00] },
  customers: [{ device: 'glasses-1', afterMs: 500, mood: 'sure', thinkMs: 900 }],
};
const agent = {
  act: 'agent',
  name: 'agent-3',
  atMs: 1,
  agent: 'agent-1',
  payee: 'shop-1',
  minor: 5,
};
const kill = { fault: 'kill', name: 'kill-1', atMs: 22_000, machine: 'bridge', downMs: 5_000 };
const lose = { fault: 'network', name: 'net-2', atMs: 23_000, trouble: 'lose', share: 0.2 };
const whole = {
  ...{ seed: '7', algorithm: 'EdDSA' },
  site: { wallets: 2, glasses: 2, kiosks: 2, agents: 1, ledgers: 1 },
  ...{ acts: [pay, order, agent], faults: [kill, lose], healMs: 60_000, endMs: 90_000 },
};

const acts = (...all: readonly object[]) => ({ ...whole, acts: all });
const faults = (...all: readonly object[]) => ({ ...whole, faults: all });
const { mood: _mood, ...moodless } = pay;

test.each([
  [{}, /^saved\.json is no plan \(without site, acts and faults\): saytap storm --seeds N --out/],
  [[], /is no plan \(without/],
  [null, /is no plan \(without/],
  [{ acts: [] }, /^saved\.json: seed is missing; allowed: a string$/],
  [{ ...whole, fault: [] }, /: the plan: “fault” is not a field of it: did you mean faults\?$/],
  [{ ...whole, seed: '' }, /: seed is ""; allowed: a text of 1 to 64 characters$/],
  [{ ...whole, algorithm: 'ES265' }, /algorithm: “ES265” is not known here: did you mean ES256\?$/],
  [{ ...whole, site: { ...whole.site, kiosk: 1 } }, /: site: “kiosk” .* did you mean kiosks\?$/],
  [{ ...whole, site: { ...whole.site, agents: 0 } }, /: site\.agents is 0; allowed: at least 1$/],
  [{ ...whole, site: { ...whole.site, agents: 1e9 } }, `agents is 1000000000; allowed: at most 64`],
  [{ ...whole, site: { ...whole.site, ledgers: 3 } }, /site\.ledgers is 3; allowed: 1, 2$/],
  [{ ...whole, endMs: STORM_MS_MAX + 1 }, /: endMs is 86400001; allowed: at most 86400000$/],
  [{ ...whole, endMs: 59_999 }, /: endMs is 59999; allowed: at least healMs, 60000$/],
  [{ ...whole, acts: {} }, /: acts is an object; allowed: an array$/],
  [{ ...whole, acts: Array(2_001).fill(pay) }, /: acts is a list of 2001; allowed: at most 2000$/],
  [acts(pay, 3 as never), /: acts\[1\] is 3; allowed: an object$/],
  [
    acts({ ...pay, act: 'buy' }),
    /acts\[0\] \(pay-1\), act: “buy” is not known here: there is pay,/,
  ],
  [acts({ ...pay, act: 'ordr' }), /act: “ordr” is not known here: did you mean order\?$/],
  [
    acts({ name: 'x', atMs: 1 }),
    /: acts\[0\] \(x\), act is missing; allowed: pay, order, collect,/,
  ],
  [acts({ ...pay, minor: -5 }), /: acts\[0\] \(pay-1\), minor is -5; allowed: at least 1$/],
  [acts({ ...pay, minor: 1e12 }), /minor is 1000000000000; allowed: at most 100000000$/],
  [acts({ ...pay, atMs: 1.5 }), /atMs is 1\.5; allowed: an int$/],
  [acts({ ...pay, atMs: 60_001 }), /\(pay-1\), atMs is 60001; allowed: at most healMs, 60000$/],
  [acts({ ...pay, name: 'Zoë/#' }), /name is "Zoë\/#"; allowed: 1 to 40 small letters/],
  [
    acts({ ...moodless, moood: 'sure' }),
    /\(pay-1\): “moood” is not a field of it: did you mean mood/,
  ],
  [acts({ ...pay, mood: 'happy' }), /mood: “happy” is not known here: did you mean hasty\?$/],
  [acts({ ...pay, device: 'glasses-3' }), /device: “glasses-3” is not known here: did you mean/],
  [acts({ ...pay, payee: 'shop-2' }), /payee: “shop-2” is not known here: did you mean shop-1\?$/],
  [acts(pay, { ...order, name: 'pay-1' }), /acts\[1\] \(pay-1\): an entry before it has the same/],
  [
    acts({ ...order, customers: [{ ...order.customers[0], mod: 'sure' }] }),
    /acts\[0\] \(order-2\), customers\[0\]: “mod” is not a field of it: did you mean mood\?$/,
  ],
  [acts({ ...order, currency: 'EURO' }), /currency: “EURO” is not known here: did you mean EUR\?$/],
  [
    acts({ ...agent, then: { deed: 'capture', afterM: 1, afterMs: 5 } }),
    /acts\[0\] \(agent-3\), then: “afterM” is not a field of it: did you mean afterMs\?$/,
  ],
  [acts({ ...agent, then: { deed: 'refund', afterMs: 5 } }), /then\.deed: “refund” is not known/],
  [
    faults({ ...kill, fault: 'kil' }),
    /faults\[0\] \(kill-1\), fault: “kil” .* did you mean kill\?$/,
  ],
  [faults({ ...kill, machine: 'brigde' }), /machine: “brigde” .* did you mean bridge\?$/],
  [faults({ ...kill, machine: 'ledger-2' }), /machine: “ledger-2” .* did you mean ledger\?$/],
  [faults({ ...kill, fault: 'clone device' }), /“downMs” is not a field of it: there is name,/],
  [faults({ ...kill, untilMs: 1 }), /\(kill-1\), untilMs is 1; allowed: at least atMs, 22000$/],
  [faults({ ...lose, trouble: 'loose' }), /trouble: “loose” .* did you mean lose\?$/],
  [faults({ ...lose, share: 2 }), /share is 2; allowed: at most 1$/],
  [faults({ ...lose, shares: 1 }), /“shares” is not a field of it: did you mean share\?$/],
  [faults({ ...lose, hosts: [] }), /hosts is a list of 0; allowed: at least 1$/],
  [
    faults({ ...lose, hosts: ['bridge', 'broke'] }),
    /hosts\[1\]: “broke” .* did you mean broker\?$/,
  ],
  [
    faults({ ...kill, name: 'pay-1' }),
    /faults\[0\] \(pay-1\): an entry before it has the same name$/,
  ],
])('%j is told in one line', (draft, line) => {
  const found = refusalOf(JSON.stringify(draft));
  expect(found).toMatchObject({ exit: EXITS.config, message: expect.stringMatching(line) });
  expect(found!.message).not.toMatch(/\n/);
});

test('what they are taken from is a plan', () => {
  expectSame(whole as unknown as Plan);
  const site = { wallets: 64, glasses: 64, kiosks: 64, agents: 64, ledgers: 2 };
  expect(STORM_CAST_MAX).toBe(64);
  expectSame({ ...whole, site } as unknown as Plan);
});

test('a file that is none at all is told so, also when it is huge or deep', () => {
  expect(refusalOf('# saytap\n')?.message).toMatch(/^saved\.json is no plan \(no JSON\)/);
  const deep = `{"acts":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
  expect(refusalOf(deep)).toMatchObject({ exit: EXITS.config });
  const long = planText(whole as unknown as Plan).padEnd(STORM_PLAN_BYTES_MAX + 1);
  expect(refusalOf(long)?.message).toMatch(/longer than 1048576 characters/);
});

test('what stands in it gives a terminal no orders', () => {
  const found = refusalOf(JSON.stringify(acts({ ...pay, act: 'a\n\u001b[2Jb', name: '\u0007\n' })));
  expect(found?.message).toMatch(/^saved\.json: acts\[0\] \( \), act: “a \[2Jb” is not known here/);
});

function refusalOf(text: string): (Error & { exit?: number }) | undefined {
  try {
    readDraft(text, 'saved.json');
  } catch (error) {
    return error as Error;
  }
  return undefined;
}
