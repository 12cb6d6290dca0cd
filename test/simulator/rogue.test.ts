// A rogue in a world where nothing breaks: what it may have it gets, and each of the other things
// is refused by the code that says why, while every promise is kept.
import { expect, test } from 'vitest';
import { createDisks } from '../../simulator/disk.ts';
import type { Observed } from '../../simulator/observed.ts';
import { type Act, type Plan, type RogueAsk, ROGUE_ASKS } from '../../simulator/plan.ts';
import { runStorm } from '../../simulator/storm.ts';
import { payloadOf } from '../../src/cose.ts';
import { type Reason, reasonName } from '../../src/errors.ts';
import { timers } from '../../src/node/platform.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import { hearUnhandled } from '../../src/node/unhandled.ts';
import { receipt as receiptKind } from '../../src/objects/receipt.ts';

const ports = { turn: timers.soon, disks: createDisks(openDatabase), hearUnhandled };
const SITE = { wallets: 2, glasses: 2, kiosks: 2, agents: 1, ledgers: 1, rogues: 1 } as const;

type Answer = Reason | 'captured' | 'held' | 'granted' | 'refused at the door';

/** Final answers to what is asked, in their order; what is refused at the door is logged. */
const ANSWERS: Readonly<Record<Exclude<RogueAsk, 'flood'>, readonly Answer[]>> = {
  pay: ['granted', 'captured'],
  hold: ['held', 'capture_exceeds', 'captured', 'not_held'],
  foreign: ['currency_mismatch'],
  'no such money': ['currency_unknown'],
  'no such field': ['malformed'],
  'too dear': ['limit_per_payment'],
  unconfirmed: ['presence_too_low'],
  'other shop': ['scope_payee'],
  'other till': ['scope_terminal'],
  'by voice': ['scope_channel'],
  'too early': ['not_yet_valid'],
  'not its own': ['mandate_unknown'],
  'counter again': ['counter_reused'],
  'counter ahead': ['counter_gap'],
  'old nonce': ['stale_nonce'],
  'too long': ['not_yet_valid'],
  over: ['expired'],
  simulated: ['sim_in_live'],
  order: ['presence_too_low'],
  'order changed': ['order_mismatch'],
  'order made up': ['order_unknown'],
  refund: ['role_forbidden'],
  'capture nothing': ['original_unknown'],
  leases: ['lease_exhausted', 'offline_not_allowed', 'captured'],
  'ask about others': ['not_seen'],
  'cancel others': ['not_seen'],
  'grant itself': ['role_forbidden'],
  'hand on': ['granted', 'captured'],
  'hand on others': ['mandate_unknown'],
  'hand on other money': ['funding_unknown'],
  'hand on too deep': ['granted', 'malformed'],
  revoke: ['role_forbidden'],
};

const rogue = (ask: RogueAsk, atMs: number): Act => {
  return { name: `rogue ${ask}`, atMs, act: 'rogue', rogue: 'rogue-1', ask, minor: 1_00 };
};
/** An order that is open while the rogue asks for it. */
const ORDER = {
  ...{ name: 'order', atMs: 20_000, act: 'order', kiosk: 'kiosk-1', prices: [6_00] },
  customers: [],
} as const satisfies Act;
const OTHERS = {
  ...{ name: 'others', atMs: 20_000, act: 'agent', agent: 'agent-1', payee: 'shop-1', minor: 90 },
} as const satisfies Act;

async function answersTo(asks: readonly RogueAsk[], live?: 'live') {
  const acts: readonly Act[] = [
    ORDER,
    OTHERS,
    ...asks.map((ask, n) => rogue(ask, 30_000 + n * 15_000)),
  ];
  const healMs = 30_000 + asks.length * 15_000;
  const site = { ...SITE, ...(live && { environment: live }) };
  const schedule = { acts, faults: [], healMs, endMs: healMs + 3_600_000 };
  const plan: Plan = { seed: 'rogue', algorithm: 'EdDSA', site, ...schedule };
  let observed: readonly Observed[] = [];
  const outcome = await runStorm(plan, ports, { watch: (all) => void (observed = all) });
  expect(outcome.violations).toEqual([]);
  return asks.map((_ask, n) => {
    const fromMs = 30_000 + n * 15_000;
    const own = observed.filter(({ atMs }) => fromMs <= atMs && atMs < fromMs + 15_000);
    return [...new Set(own.flatMap(answerIn))];
  });
}

function answerIn(one: Observed): readonly string[] {
  if (one.what === 'logged' && one.machine === 'bridge' && one.fields?.['reason'] !== undefined) {
    return [String(one.fields['reason'])];
  }
  if (one.what !== 'wire' || one.topic !== 'saytap/1/rogue-1/down/receipt') return [];
  const { outcome, reason } = receiptKind.decode(payloadOf(one.bytes));
  return [reason === undefined ? outcome : reasonName(reason)!];
}

test('a rogue gets what it was granted, and nothing that it was not', async () => {
  const last = ['counter again'] as const; // After that its key is suspended.
  const asks = ROGUE_ASKS.filter((ask) => ask !== 'flood' && ask !== 'counter again');
  const all = [...asks, ...last] as (keyof typeof ANSWERS)[];
  const answers = await answersTo(all, 'live');
  const told = Object.fromEntries(all.map((ask, n) => [ask, answers[n]]));
  expect(told).toEqual(Object.fromEntries(all.map((ask) => [ask, ANSWERS[ask]])));
}, 60_000);

test('more at once than the bridge takes of one key are turned away', async () => {
  const [answers] = await answersTo(['flood']);
  expect(answers).toContain('rate_limited');
}, 60_000);
