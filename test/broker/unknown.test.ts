/**
 * Unknown outcomes at two backends: neither a lost answer, a late one, a call that is executed
 * after a query has denied it, a notice out of order, a cancel by the person nor a kill -9 of
 * bridge or backend lets money move twice, or a receipt say what is not so.
 *
 * The count itself is tested too: two classical mistakes, planted into the bridge, must show in it.
 */
import { expect, test } from 'vitest';
import { BACKEND_TIMEOUT_MS } from '../../src/limits.ts';
import type { Asked } from './customer.ts';
import { type Reckoning, expectTruth, reckon } from './reckoning.ts';
import { PAYEE, type Storm, createPace, createStorm, seeded, sleep } from './storm.ts';

const isFull = process.env['SAYTAP_FULL'] !== undefined;
type Size = Readonly<{
  payments: number;
  kills: number;
  /** The longest life of a program between two kills. */
  gapMs: number;
  victims: readonly string[];
}>;
const ALL = ['bridge', 'north', 'south'];
const FULL: Size = { payments: 600, kills: 66, gapMs: 1_800, victims: ALL };
const SMALL: Size = { payments: 120, kills: 14, gapMs: 1_800, victims: ALL };
/** A dead ledger forgets what it was to execute late, and with it many an effect of a mistake. */
const MUTANT: Size = { payments: 204, kills: 6, gapMs: 2_400, victims: ['bridge'] };
const SEED = 20_261_121;
const DEVICES = 6;
/** Unanswered requests of one customer. */
const OPEN_MAX = 12;
/** Device 0 has a poor owner, so that a decline of the backend is part of it. */
const POOR_FUNDS = 45_00n;

/** All that a ledger can do; one call in five is answered at once and as it should be. */
const faults = (life: number) => ({
  loseBefore: 0.1,
  loseAfter: 0.1,
  late: 0.08,
  twice: 0.08,
  later: 0.18,
  noticeFirst: 0.06,
  noticeTwice: 0.06,
  noticeLate: 0.06,
  noticeLost: 0.06,
  // Mostly too late for the bridge, sometimes just in time.
  lateMs: BACKEND_TIMEOUT_MS - 500 + ((life * 317) % 800),
});

/** The longest that a ledger takes to do what it was asked for. */
const LATE_MS_MAX = BACKEND_TIMEOUT_MS + 300;

const LONG = isFull ? 1_200_000 : 600_000;

test(
  'two hostile backends that recognise a repeated call: books and backends agree',
  async ({ onTestFinished }) => {
    const size = isFull ? FULL : SMALL;
    const { found, storm, kills } = await rage({ ...size, planted: [], onTestFinished });
    expectTruth(storm, found);
    expect(kills).toBeGreaterThanOrEqual(size.kills);
    expectRough(found, storm, size.payments);
  },
  LONG,
);

test(
  'two hostile backends that must be asked: books and backends agree',
  async ({ onTestFinished }) => {
    const size = isFull ? FULL : SMALL;
    const planted = ['resolve by query'];
    const { found, storm } = await rage({ ...size, planted, onTestFinished });
    expectTruth(storm, found);
    expectRough(found, storm, size.payments);
  },
  LONG,
);

test.for([
  ['A', ['timeout is a no']],
  ['B', ['unseen is a no', 'resolve by query']],
] as const)(
  'mutant %s, planted into the bridge, is caught: %s',
  { timeout: LONG },
  async ([name, planted], { onTestFinished }) => {
    const { found, storm } = await rage({ ...MUTANT, planted, onTestFinished });
    console.log(`mutant ${name}: ${found.differing} of ${MUTANT.payments} payments differ`);
    expect(storm.told('planted: ')).toBe(storm.lives('bridge') * planted.length);
    expect(found.differing, 'payments that differ').toBeGreaterThan(0);
    expect(found.audit.report.passed, 'the audit of the bridge itself').toBe(false);
    expect(found.audit.exit).not.toBe(0);
  },
);

/** One storm from its beginning to its count. */
async function rage({
  payments,
  kills,
  gapMs,
  victims,
  planted,
  onTestFinished,
}: Size &
  Readonly<{
    planted: readonly string[];
    onTestFinished: (end: () => Promise<void>) => void;
  }>): Promise<Readonly<{ found: Reckoning; storm: Storm; kills: number }>> {
  const begun = performance.now();
  const storm = await createStorm({
    seed: SEED,
    devices: DEVICES,
    ledgers: ['north', 'south'],
    faults,
    cancelAfterSeconds: 2,
    funds: { 'acct-rich': 100_000_00n, 'acct-poor': POOR_FUNDS },
    planted,
    onFinished: onTestFinished,
  });
  const zone = 'Asia/Shanghai';
  const max = 50_000_00n;
  const count = 100_000;
  const devices = await Promise.all(
    Array.from({ length: DEVICES }, (_, i) =>
      storm.device(i, {
        funding: i === 0 ? 'acct-poor' : 'acct-rich',
        windows: [
          { kind: 'total', max, count },
          { kind: 'calendar', period: 'day', zone, max, count },
        ],
      }),
    ),
  );
  const kiosk = await storm.kiosk();

  const pace = createPace({ devices: DEVICES, requests: payments, kills });
  let leftOpen = 0;
  let isOver = false;

  const loads = devices.map(async (device, i) => {
    const next = seeded(SEED + 1 + i);
    while (pace.isOpen(i)) {
      if (device.outbox.open().length < OPEN_MAX && pace.takeRequest(i)) {
        // One in ten asks for more than its mandate allows: refused, and never moved.
        const minor = BigInt(next(10) === 0 ? 300_00 + next(100) : 1 + next(3_00));
        const action = next(4) === 0 ? 'hold' : 'pay';
        const one = await device.ask({ action, minor, mandate: device.mandate(), payee: PAYEE });
        if (!one) pace.giveBack(i);
        else if (next(8) === 0) {
          const cancelMs = next(3) === 0 ? 0 : next(2_000);
          setTimeout(() => void device.cancel(one.id), cancelMs);
        }
      } else if (next(8) === 0 && device.asked.length > 0) {
        device.repeat(device.asked[next(device.asked.length)]!.id);
      }
      await sleep(5 + next(20));
    }
  });

  const acting = (async () => {
    const next = seeded(SEED - 100);
    while (!isOver) {
      await act(storm, kiosk, next);
      await sleep(50);
    }
  })();

  const killing = victims.map(async (name, i) => {
    const next = seeded(SEED - i);
    while (pace.isOpen()) {
      await sleep(50 + next(gapMs));
      if (!pace.takeKill()) continue;
      const number = pace.kills();
      leftOpen += await storm.kill(name);
      await sleep(next(150));
      await storm.start(name);
      if (number % 20 === 0) {
        const seconds = Math.round((performance.now() - begun) / 1000);
        console.log(`${seconds} s: ${number} kills, ${pace.requests()} of ${payments} payments`);
      }
    }
  });
  await Promise.all([...loads, ...killing]);
  isOver = true;
  await acting;

  // What is to be executed late is executed, not killed.
  await sleep(LATE_MS_MAX);
  await storm.heal();
  let open = await storm.drained();
  // Every hold gets its end, so that nothing stays reserved; a mutant may refuse it for ever.
  const next = seeded(SEED - 200);
  for (let idle = 0; open.length === 0 && idle < 5 && holdsOf(storm).length > 0;) {
    const before = holdsOf(storm).length;
    await act(storm, kiosk, next);
    open = await storm.drained();
    idle = holdsOf(storm).length < before ? 0 : idle + 1;
    await sleep(200);
  }
  const found = await reckon(storm, open);

  const seconds = Math.round((performance.now() - begun) / 1000);
  const name = planted.join(', ') || 'as it is';
  const story = [...found.outcomes].map(([outcome, times]) => `${outcome} ${times}`).join(', ');
  console.log(
    `${name}: ${seconds} s, ${pace.kills()} kills, ${pace.requests()} payments, ` +
      `${kiosk.asked.length} acts of the kiosk, left open by kills ${leftOpen}, ` +
      `unknown ${storm.told('backend gave no answer, asking again')}, ` +
      `cancels ${storm.told('backend gives no definite word, cancelling')}, ` +
      `tried at another backend ${found.failovers}, holds reversed ${found.reversals}, ` +
      `duplicate receipts ${found.duplicates} (${story}); ` +
      `differences ${found.differences.size}`,
  );
  return { found, storm, kills: pace.kills() };
}

/** Holds that are still to be captured or released, by what customers were told. */
function holdsOf(storm: Storm): readonly Asked[] {
  const asked = storm.customers.flatMap((customer) => customer.asked);
  const told = ({ id, customer }: Asked) => customer.finals(id)[0]?.receipt.outcome;
  const busy = new Set(
    asked
      .filter((one) => one.action === 'capture' || one.action === 'void')
      .filter((one) => ['captured', 'voided', undefined].includes(told(one)))
      .map(({ original }) => original),
  );
  return asked.filter((one) => told(one) === 'held' && !busy.has(one.id));
}

/** The kiosk captures or releases what is held, and gives some of what was paid back. */
async function act(
  storm: Storm,
  kiosk: Asked['customer'],
  next: (below: number) => number,
): Promise<void> {
  for (const one of [...holdsOf(storm), ...refundable(storm)]) {
    if (kiosk.outbox.open().length >= OPEN_MAX) return;
    const action = one.action === 'pay' ? 'refund' : next(2) === 0 ? 'void' : 'capture';
    const isPart = action !== 'void' && one.minor > 1n && next(2) === 0;
    const minor = isPart ? 1n + BigInt(next(Number(one.minor) - 1)) : one.minor;
    const mandate = one.customer.mandate();
    await kiosk.ask({ action, minor, mandate, payee: PAYEE, original: one.id });
  }
}

/** Captured payments that the kiosk gives back, each once: one in six, by chance. */
function refundable(storm: Storm): readonly Asked[] {
  const asked = storm.customers.flatMap((customer) => customer.asked);
  const refunds = asked.filter(({ action }) => action === 'refund');
  const refunded = new Set(refunds.map(({ original }) => original));
  return asked.filter(
    ({ id, action, customer }) =>
      action === 'pay' &&
      !refunded.has(id) &&
      Number.parseInt(id.slice(0, 4), 16) % 6 === 0 &&
      customer.finals(id)[0]?.receipt.outcome === 'captured',
  );
}

/** What would make a storm prove nothing: no unknowns, no cancels, no second backend. */
function expectRough(found: Reckoning, storm: Storm, payments: number): void {
  const { outcomes } = found;
  expect(storm.told('backend gave no answer, asking again')).toBeGreaterThan(payments / 10);
  expect(storm.told('backend gives no definite word, cancelling')).toBeGreaterThan(0);
  expect(found.failovers).toBeGreaterThan(0);
  expect(found.duplicates).toBeGreaterThan(0);
  expect(outcomes.get('captured')).toBeGreaterThan(payments / 4);
  expect(outcomes.get('voided')).toBeGreaterThan(0);
  expect(outcomes.get('refunded')).toBeGreaterThan(0);
  expect(outcomes.get('refused cancelled')).toBeGreaterThan(0);
  expect(outcomes.get('refused limit_per_payment')).toBeGreaterThan(0);
  for (const name of outcomes.keys()) expect(ENDINGS).toContain(name);
}

/** The only ways in which a request of these customers may end. */
const ENDINGS = [
  'captured',
  'held',
  'voided',
  'refunded',
  'refused cancelled',
  'refused limit_per_payment',
  'refused backend_declined',
  // Cancelled at every backend, or risk did not answer in time on a crowded machine.
  'refused unavailable',
];
