// Method: an offer that is accepted, and for each limit the last value that still is and the first
// that is not; then random offers against the limits said in another way. After that the same
// boundaries through a whole device at a counter, whose bridge has gone away.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PaymentError, type Reason } from '../../src/errors.ts';
import { BILL_MS, CLOCK_SKEW_S, CONFIRM_READ_MS, REQUEST_VALID_S } from '../../src/limits.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import { seal } from '../../src/objects/kind.ts';
import type { Policy } from '../../src/objects/policy.ts';
import { receipt as receiptKind } from '../../src/objects/receipt.ts';
import type { OfflineRules } from '../../src/offline.ts';
import type { HeldLease } from '../../device/leases.ts';
import { type Offer, requireAcceptable } from '../../device/offline.ts';
import type { Stored } from '../../device/waiting.ts';
import {
  LEASE_NONCE,
  NONCE,
  NOTHING,
  REALM,
  START_S,
  type Stage,
  bridge,
  createStage,
  mandateId,
  mandateWith,
  ndef,
  policy,
  reasonOf,
  sealPolicy,
  settle,
} from './stage.ts';

const NOW_S = 1_000_000;

const RULES: OfflineRules = {
  behaviour: 'prefer_online',
  currency: 'CNY',
  floorLimit: 50_00n,
  storedAmountMax: 500_00n,
  storedCountMax: 40,
  acceptWindow: 14_400,
  uploadWindow: 86_400,
  goOnlineEvery: [5, 20],
  payerCountMax: 3,
  payerAmountMax: 100_00n,
  policiesFrom: 0,
  policiesUntil: NOW_S,
};

const LEASE: HeldLease = {
  mandate: 'ab'.repeat(16),
  nonce: new Uint8Array(8),
  exp: NOW_S + 1,
  upload: NOW_S + 90_000,
  left: { amount: { currency: 'CNY', minor: 100_00n }, count: 9 },
};

const STORED: Stored = {
  count: 0,
  minor: 0n,
  oldestMs: undefined,
  inRow: 0,
  payer: { count: 0, minor: 0n },
};

/** An offer of 10 yuan that every limit lets through. */
function offer(
  changed: Partial<Omit<Offer, 'rules' | 'lease' | 'stored'>> = {},
  rules: Partial<OfflineRules> = {},
  stored: Partial<Stored> = {},
  left: Partial<HeldLease['left']> = {},
): Offer {
  return {
    amount: { currency: 'CNY', minor: 10_00n },
    rules: { ...RULES, ...rules },
    lease: { ...LEASE, left: { ...LEASE.left, ...left } },
    stored: { ...STORED, ...stored },
    nowMs: NOW_S * 1000,
    awayMs: 0,
    ...changed,
  };
}

const verdict = (one: Offer) => reasonOf(() => requireAcceptable(one));
const cny = (minor: bigint) => ({ currency: 'CNY', minor });
const ann = (count: number, minor: bigint) => ({ payer: { count, minor } });
const NOW_MS = NOW_S * 1000;

test('what every limit allows is accepted, under its lease and dated', () => {
  expect(requireAcceptable(offer())).toEqual({ lease: LEASE, nowMs: NOW_MS, isSoftOver: false });
});

test.each<[Reason, string, Offer, Offer]>([
  [
    'offline_policy_stale',
    'the last second of the policy',
    offer({ nowMs: NOW_MS + 999 }),
    offer({ nowMs: NOW_MS + 1_000 }),
  ],
  [
    'offline_window_expired',
    'the accept window to the millisecond',
    offer({ awayMs: 14_400_000 }),
    offer({ awayMs: 14_400_001 }),
  ],
  [
    'lease_expired',
    'before the second of its exp',
    offer({ nowMs: NOW_MS + 999 }, { policiesUntil: NOW_S + 9 }),
    offer({ nowMs: NOW_MS + 1_000 }, { policiesUntil: NOW_S + 9 }),
  ],
  [
    'offline_upload_overdue',
    'the upload window to the millisecond',
    offer({}, {}, { count: 1, oldestMs: NOW_MS - 86_400_000 }),
    offer({}, {}, { count: 1, oldestMs: NOW_MS - 86_400_001 }),
  ],
  [
    'offline_stored_count',
    'the fortieth',
    offer({}, {}, { count: 39 }),
    offer({}, {}, { count: 40 }),
  ],
  [
    'offline_go_online',
    'the twentieth',
    offer({}, {}, { inRow: 19 }),
    offer({}, {}, { inRow: 20 }),
  ],
  [
    'offline_floor_limit',
    '50 yuan',
    offer({ amount: cny(50_00n) }),
    offer({ amount: cny(50_01n) }),
  ],
  [
    'offline_stored_amount',
    '500 yuan in all',
    offer({}, {}, { minor: 490_00n }),
    offer({}, {}, { minor: 490_01n }),
  ],
  [
    'offline_payer_velocity',
    'the third of one',
    offer({}, {}, ann(2, 0n)),
    offer({}, {}, ann(3, 0n)),
  ],
  [
    'offline_payer_velocity',
    '100 yuan of one',
    offer({}, {}, ann(1, 90_00n)),
    offer({}, {}, ann(1, 90_01n)),
  ],
  [
    'lease_exhausted',
    'the last fen of it',
    offer({}, {}, {}, { amount: cny(10_00n) }),
    offer({}, {}, {}, { amount: cny(9_99n) }),
  ],
  ['lease_exhausted', 'its last', offer({}, {}, {}, { count: 1 }), offer({}, {}, {}, { count: 0 })],
])('%s: %s is accepted, one unit more is not', (reason, _why, last, beyond) => {
  expect([verdict(last), verdict(beyond)]).toEqual(['accepted', reason]);
});

test.each<[Reason, string, Offer]>([
  ['offline_not_allowed', 'no policy', { ...offer(), rules: undefined }],
  ['offline_not_allowed', 'require_online', offer({}, { behaviour: 'require_online' })],
  ['offline_not_allowed', 'no lease', { ...offer(), lease: undefined }],
  ['clock_untrusted', 'no time', offer({ nowMs: undefined })],
  ['clock_untrusted', 'no tick in this boot', offer({ awayMs: undefined })],
  [
    'lease_exhausted',
    'a lease in other money',
    offer({}, {}, {}, { amount: { currency: 'HKD', minor: 100_00n } }),
  ],
])('%s: %s', (reason, _why, one) => {
  expect(verdict(one)).toBe(reason);
});

test('the soft limit refuses nothing and is told from the first payment beyond it', () => {
  expect(requireAcceptable(offer({}, {}, { inRow: 4 })).isSoftOver).toBe(false);
  expect(requireAcceptable(offer({}, {}, { inRow: 5 })).isSoftOver).toBe(true);
});

/** Each breaks one more rule than the one before, from the last check to the first. */
const BREACHES: readonly [Reason, (one: Offer) => Offer][] = [
  [
    'lease_exhausted',
    (one) => ({ ...one, lease: { ...one.lease!, left: { amount: cny(0n), count: 0 } } }),
  ],
  ['offline_payer_velocity', (one) => ({ ...one, stored: { ...one.stored, ...ann(3, 0n) } })],
  ['offline_stored_amount', (one) => ({ ...one, stored: { ...one.stored, minor: 500_00n } })],
  ['offline_floor_limit', (one) => ({ ...one, amount: cny(50_01n) })],
  ['offline_go_online', (one) => ({ ...one, stored: { ...one.stored, inRow: 20 } })],
  ['offline_stored_count', (one) => ({ ...one, stored: { ...one.stored, count: 40 } })],
  ['offline_upload_overdue', (one) => ({ ...one, stored: { ...one.stored, oldestMs: 0 } })],
  ['lease_expired', (one) => ({ ...one, lease: { ...one.lease!, exp: NOW_S } })],
  ['offline_window_expired', (one) => ({ ...one, awayMs: 99_000_000 })],
  ['offline_policy_stale', (one) => ({ ...one, rules: { ...one.rules!, policiesUntil: 0 } })],
  ['clock_untrusted', (one) => ({ ...one, nowMs: undefined })],
  ['offline_not_allowed', (one) => ({ ...one, lease: undefined })],
];

test('of several faults the first in the order of PROTOCOL.md is told', () => {
  let one = offer();
  for (const [reason, breach] of BREACHES) {
    one = breach(one);
    expect(verdict(one)).toBe(reason);
  }
});

test('whatever is accepted keeps every limit, whatever is refused breaks the one it names', () => {
  const whole = (max: number) => fc.integer({ min: 0, max });
  const minor = (max: bigint) => fc.bigInt({ min: 0n, max });
  const offers = fc
    .record({
      minor: fc.bigInt({ min: 1n, max: 60_00n }),
      nowMs: whole(2_000).map((ms) => NOW_MS - 1_000 + ms),
      awayMs: whole(15_000_000),
      count: whole(42),
      stored: minor(520_00n),
      oldestMs: fc.option(
        whole(90_000_000).map((ms) => NOW_MS - ms),
        { nil: undefined },
      ),
      inRow: whole(22),
      payerCount: whole(4),
      payerMinor: minor(110_00n),
      leftMinor: minor(60_00n),
      leftCount: whole(3),
    })
    .map((r) =>
      offer(
        { amount: cny(r.minor), nowMs: r.nowMs, awayMs: r.awayMs },
        {},
        {
          ...{ count: r.count, minor: r.stored, oldestMs: r.oldestMs, inRow: r.inRow },
          ...ann(r.payerCount, r.payerMinor),
        },
        { amount: cny(r.leftMinor), count: r.leftCount },
      ),
    );
  const isBroken: Readonly<Partial<Record<Reason, (one: Offer) => boolean>>> = {
    offline_policy_stale: ({ nowMs }) => nowMs! >= (NOW_S + 1) * 1000,
    offline_window_expired: ({ awayMs }) => awayMs! / 1000 > 14_400,
    lease_expired: ({ nowMs }) => nowMs! >= (NOW_S + 1) * 1000,
    offline_upload_overdue: ({ nowMs, stored }) =>
      (nowMs! - (stored.oldestMs ?? Infinity)) / 1000 > 86_400,
    offline_stored_count: ({ stored }) => stored.count >= 40,
    offline_go_online: ({ stored }) => stored.inRow >= 20,
    offline_floor_limit: ({ amount }) => amount.minor > 50_00n,
    offline_stored_amount: ({ amount, stored }) => 500_00n - stored.minor < amount.minor,
    offline_payer_velocity: ({ amount, stored: { payer } }) =>
      payer.count >= 3 || 100_00n - payer.minor < amount.minor,
    lease_exhausted: ({ amount, lease }) =>
      lease!.left.count === 0 || lease!.left.amount.minor < amount.minor,
  };
  fc.assert(
    fc.property(offers, (one) => {
      const said = verdict(one);
      const broken = Object.entries(isBroken).filter(([, breaks]) => breaks(one));
      expect(said).toBe(broken[0]?.[0] ?? 'accepted');
    }),
    { numRuns: 2_000 },
  );
});

// ── through the whole device ──────────────────────────────────────────────────────────────────

const OFFLINE: NonNullable<Policy['offline']> = {
  behaviour: 'prefer_online',
  currency: 'CNY',
  floorLimit: 500_00n,
  storedAmountMax: 5_000_00n,
  storedCountMax: 50,
  acceptWindow: 86_400,
  uploadWindow: 86_400,
  goOnlineEvery: [30, 40],
  payerCountMax: 30,
  payerAmountMax: 5_000_00n,
  policyAgeMax: 604_800,
};
/** Wide enough that only the limit in question ever refuses. */
const WIDE = { perPaymentMax: 1_000_00n, bands: [{ ceiling: 1_000_00n, level: 1 }] as const };

type Limits = Partial<NonNullable<Policy['offline']>>;

const policyWith = (limits: Limits = {}, changed: Partial<Policy> = {}) =>
  sealPolicy({
    ladders: [{ currency: 'CNY', bands: WIDE.bands }],
    offline: { ...OFFLINE, ...limits },
    ...changed,
  });

/** A counter with two mandates of two payers, with leases, from which the bridge then goes away. */
async function counter(
  limits: Limits = {},
  options: Parameters<typeof createStage>[0] = {},
  lease: Parameters<Stage['lease']>[0] = {},
) {
  const stage = await createStage({
    isCounter: true,
    presenceMax: 1,
    mandates: [mandateWith(WIDE), mandateWith(WIDE)],
    policies: [await policyWith(limits)],
    ...options,
  });
  await stage.ready();
  const ends = { exp: START_S + 172_800, upload: START_S + 259_200, ...lease };
  for (const mandate of [mandateId(0), mandateId(1)]) await stage.lease({ ...ends, mandate });
  stage.wire.down();
  return stage;
}

/** What came of it: `accepted`, or why nothing was. */
async function outcome(stage: Stage, minor: bigint, mandate?: string): Promise<string> {
  const before = stage.left();
  const told = await stage.collect(minor, mandate);
  if (told.kind === 'not_sent') {
    expect(stage.left(), 'a refusal stores, counts and sends nothing').toEqual(before);
    return told.reason;
  }
  return told.kind;
}

/** What comes of `last` and of `beyond`, each on a stage of its own. */
async function boundary(
  make: () => Promise<Stage>,
  last: (stage: Stage) => Promise<string>,
  beyond: (stage: Stage) => Promise<string>,
) {
  return [await last(await make()), await beyond(await make())];
}

async function afterAccepting(stage: Stage, ...amounts: readonly bigint[]) {
  for (const minor of amounts) expect(await outcome(stage, minor)).toBe('accepted');
}

const tag = (mandate = mandateId(0)) =>
  ({ kind: 'link', text: `saytap://payer/${mandate}` }) as const;

/** From the tap to the press, in which the person reads. */
const READ_MS = CONFIRM_READ_MS;

test.each<
  [
    Reason,
    () => Promise<Stage>,
    (stage: Stage) => Promise<string>,
    (stage: Stage) => Promise<string>,
  ]
>([
  [
    'offline_floor_limit',
    () => counter({ floorLimit: 50_00n }),
    (stage) => outcome(stage, 50_00n),
    (stage) => outcome(stage, 50_01n),
  ],
  [
    'offline_stored_amount',
    async () => {
      const stage = await counter({ storedAmountMax: 100_00n });
      await afterAccepting(stage, 60_00n);
      return stage;
    },
    (stage) => outcome(stage, 40_00n, mandateId(1)),
    (stage) => outcome(stage, 40_01n, mandateId(1)),
  ],
  [
    'offline_stored_count',
    () => counter({ storedCountMax: 3 }),
    async (stage) => {
      await afterAccepting(stage, 1n, 1n);
      return outcome(stage, 1n, mandateId(1));
    },
    async (stage) => {
      await afterAccepting(stage, 1n, 1n, 1n);
      return outcome(stage, 1n, mandateId(1));
    },
  ],
  [
    'offline_go_online',
    () => counter({ goOnlineEvery: [1, 3] }),
    async (stage) => {
      await afterAccepting(stage, 1n, 1n);
      return outcome(stage, 1n);
    },
    async (stage) => {
      await afterAccepting(stage, 1n, 1n, 1n);
      return outcome(stage, 1n);
    },
  ],
  [
    'offline_payer_velocity',
    () => counter({ payerCountMax: 2 }),
    async (stage) => {
      await afterAccepting(stage, 1n);
      expect(await outcome(stage, 1n, mandateId(1)), 'another payer').toBe('accepted');
      return outcome(stage, 1n);
    },
    async (stage) => {
      await afterAccepting(stage, 1n, 1n);
      return outcome(stage, 1n);
    },
  ],
  [
    'offline_payer_velocity',
    async () => {
      const stage = await counter({ payerAmountMax: 100_00n });
      await afterAccepting(stage, 60_00n);
      return stage;
    },
    (stage) => outcome(stage, 40_00n),
    (stage) => outcome(stage, 40_01n),
  ],
  [
    'lease_exhausted',
    async () => {
      const stage = await counter({}, {}, { amount: cny(100_00n) });
      await afterAccepting(stage, 60_00n);
      return stage;
    },
    (stage) => outcome(stage, 40_00n),
    (stage) => outcome(stage, 40_01n),
  ],
  [
    'lease_exhausted',
    () => counter({}, {}, { count: 2 }),
    async (stage) => {
      await afterAccepting(stage, 1n);
      return outcome(stage, 1n);
    },
    async (stage) => {
      await afterAccepting(stage, 1n, 1n);
      return outcome(stage, 1n);
    },
  ],
  [
    'lease_expired',
    () => counter({}, {}, { exp: START_S + 1_000 }),
    async (stage) => {
      await stage.time.pass(999_999 - READ_MS);
      return outcome(stage, 1n);
    },
    async (stage) => {
      await stage.time.pass(1_000_000 - READ_MS);
      return outcome(stage, 1n);
    },
  ],
  [
    'offline_window_expired',
    () => counter({ acceptWindow: 1_000 }),
    async (stage) => {
      await stage.time.pass(1_000_000 - READ_MS);
      return outcome(stage, 1n);
    },
    async (stage) => {
      await stage.time.pass(1_000_001 - READ_MS);
      return outcome(stage, 1n);
    },
  ],
  [
    'offline_upload_overdue',
    async () => {
      const stage = await counter({ uploadWindow: 1_000 });
      await afterAccepting(stage, 1n);
      return stage;
    },
    async (stage) => {
      await stage.time.pass(1_000_000 - READ_MS);
      return outcome(stage, 1n);
    },
    async (stage) => {
      await stage.time.pass(1_000_001 - READ_MS);
      return outcome(stage, 1n);
    },
  ],
  [
    'offline_policy_stale',
    () => counter({ policyAgeMax: 1_000 }),
    async (stage) => {
      await stage.time.pass(1_000_999 - READ_MS);
      return outcome(stage, 1n);
    },
    async (stage) => {
      await stage.time.pass(1_001_000 - READ_MS);
      return outcome(stage, 1n);
    },
  ],
  [
    'clock_untrusted',
    () => counter(),
    async (stage) => {
      stage.time.step(CLOCK_SKEW_S * 1000);
      return outcome(stage, 1n);
    },
    async (stage) => {
      stage.time.step(CLOCK_SKEW_S * 1000 + 1);
      return outcome(stage, 1n);
    },
  ],
])('%s: at the limit a device accepts, beyond it refuses', async (reason, make, last, beyond) => {
  expect(await boundary(make, last, beyond)).toEqual(['accepted', reason]);
});

test.each<[string, Parameters<typeof createStage>[0]]>([
  ['no policy speaks of offline', { policies: [policy] }],
  [
    'the policy requires the link',
    { policies: [await policyWith({ behaviour: 'require_online' })] },
  ],
  [
    'the payee’s policy requires it',
    {
      policies: [
        await policyWith(),
        await policyWith(
          { behaviour: 'require_online' },
          { scope: { kind: 'merchant', payee: 'luckin-coffee' } },
        ),
      ],
    },
  ],
])('offline_not_allowed: %s', async (_why, options) => {
  expect(await outcome(await counter({}, options), 1n)).toBe('offline_not_allowed');
});

test('another payee’s and another device’s policy bind nothing here', async () => {
  const policies = await Promise.all([
    policyWith(),
    policyWith({ floorLimit: 0n }, { scope: { kind: 'merchant', payee: 'noodle-bar' } }),
    policyWith({ floorLimit: 0n }, { scope: { kind: 'device', device: 'glasses-9' } }),
  ]);
  expect(await outcome(await counter({}, { policies }), 1n)).toBe('accepted');
});

test('offline_not_allowed: no lease for the mandate that is tapped', async () => {
  const mandates = [mandateWith(WIDE), mandateWith(WIDE), mandateWith(WIDE)];
  const stage = await counter({}, { mandates });
  expect(await outcome(stage, 1n, mandateId(2))).toBe('offline_not_allowed');
  expect(await outcome(stage, 1n, mandateId(1))).toBe('accepted');
});

test('what is accepted is signed under the lease, until its upload, at P1, here', async () => {
  const stage = await counter();
  expect(await outcome(stage, 12_50n)).toBe('accepted');
  const { id: _, ...request } = stage.request();
  expect(request).toEqual({
    action: 'pay',
    amount: cny(12_50n),
    payee: 'luckin-coffee',
    terminal: 'till-1',
    exp: START_S + 259_200,
    mandate: mandateId(0),
    counter: 1,
    presence: 1,
    channel: 'tap',
    nonce: LEASE_NONCE,
  });
  expect(stage.wire.sent('request'), 'nobody is there').toEqual([]);
});

test.each([
  [
    'en',
    'Pay 12.50 yuan to Luckin Coffee? Press the button to pay.',
    'Accepted: 12.50 yuan to Luckin Coffee will be booked when this device is online. ' +
      'Do not pay again.',
    '2 payments wait to be sent: 13.50 yuan, the oldest for 60 s. ' +
      'Nearest limit: amount waiting, 13.50 yuan of 5000.00 yuan.',
  ],
  [
    'zh',
    '向瑞幸咖啡支付12.50元？请按键支付。',
    '已受理：向瑞幸咖啡支付的12.50元将在本设备联网后入账，请勿重复付款。',
    '有2笔付款待上传，共13.50元，最早的已等待60秒。最接近的限额：待上传金额，13.50元／5000.00元。',
  ],
] as const)(
  '%s: the payer hears of the own payment alone, staff of all',
  async (language, ask, accepted, waiting) => {
    const stage = await counter(
      { storedCountMax: 5_000, goOnlineEvery: [5_000, 5_000] },
      { language },
    );
    await afterAccepting(stage, 1_00n);
    await stage.time.pass(60_000 - READ_MS);
    expect(await outcome(stage, 12_50n, mandateId(1))).toBe('accepted');
    expect(stage.asked.at(-1)?.sentence, 'nothing of the other one').toBe(ask);
    expect(stage.said.at(-1)).toEqual({ sentence: accepted, mood: 'waiting' });
    expect(stage.staff.at(-1)).toEqual({ sentence: waiting, mood: 'waiting' });
    expect(
      stage.said.some(({ mood }) => mood === 'good'),
      'accepted is not paid',
    ).toBe(false);
  },
);

test('who pays twice under one tag is asked about the first one', async () => {
  const stage = await counter();
  await afterAccepting(stage, 1_00n, 2_00n);
  expect(stage.asked.at(-1)?.sentence).toBe(
    '1.00 yuan to Luckin Coffee is not confirmed yet. Pay another 2.00 yuan? ' +
      'Press the button to pay.',
  );
});

test('beyond the soft limit staff is told to look for the link, and it goes on', async () => {
  const stage = await counter({ goOnlineEvery: [1, 9] });
  await afterAccepting(stage, 1n, 1n);
  expect(stage.staff.map(({ mood }) => mood)).toEqual(['waiting', 'bad']);
  expect(stage.staff[1]?.sentence).toContain('Connect this kiosk soon');
});

test('online again: uploaded in the order of counters, and staff told how each ended', async () => {
  const stage = await counter();
  await afterAccepting(stage, 1_00n, 2_00n, 3_00n);
  stage.wire.up();
  await settle();
  const sent = stage.wire.sent('request').map(({ payload }) => payload);
  expect(sent).toEqual(stage.outbox.open().map(({ envelope }) => envelope));
  const [one, two, three] = stage.outbox.open();
  stage.staff.length = 0;
  await stage.capture(one!.id, 1_00n);
  await stage.refuse(two!.id, 'revoked');
  await stage.pending(three!.id, 'in_progress');
  expect(stage.staff).toEqual([
    { sentence: 'Paid: 1.00 yuan, accepted earlier.', mood: 'good' },
    {
      sentence:
        'NOT PAID: 2.00 yuan, accepted earlier, will not come. ' +
        'This authorisation was revoked. Grant a new one.',
      mood: 'bad',
    },
  ]);
  expect(stage.device.stored()).toMatchObject({ count: 1, sums: [cny(3_00n)] });
  expect(
    stage.said.filter(({ mood }) => mood === 'good'),
    'whoever paid has gone',
  ).toEqual([]);
});

test('a lease held back until after the receipt counts the payment all the same', async () => {
  const stage = await counter();
  await afterAccepting(stage, 100_00n);
  await stage.time.pass(60_000);
  stage.wire.up();
  await settle();
  await stage.capture(stage.request().id, 100_00n);
  const late = { mandate: mandateId(0), exp: START_S + 172_800, upload: START_S + 259_200 };
  await stage.lease(late, START_S + 30);
  expect(stage.outbox.lease(mandateId(0))?.left).toEqual({ amount: cny(900_00n), count: 99 });
});

test('a power cut: what was accepted counts on, and none without a time', async () => {
  const database = openDatabase(':memory:');
  const limits = { storedCountMax: 3 };
  const before = await counter(limits, { database });
  await afterAccepting(before, 1_00n, 2_00n);
  const envelopes = before.outbox.open().map(({ envelope }) => envelope);

  const after = await createStage({
    isCounter: true,
    presenceMax: 1,
    mandates: [mandateWith(WIDE), mandateWith(WIDE)],
    policies: [await policyWith(limits)],
    database,
  });
  expect(after.device.stored()).toMatchObject({ count: 2, sums: [cny(3_00n)] });
  expect(await outcome(after, 1n)).toBe('clock_untrusted');
  await after.ready();
  expect(after.wire.sent('request').map(({ payload }) => payload)).toEqual(envelopes);
  after.wire.down();
  expect(await outcome(after, 1n), 'the lease of before is still there').toBe('accepted');
  expect(await outcome(after, 1n)).toBe('offline_stored_count');
  expect(after.outbox.lease(mandateId(0))?.left).toEqual({ amount: cny(996_99n), count: 97 });
});

test('what ended and was not told is told to staff at the next start, once', async () => {
  const database = openDatabase(':memory:');
  const before = await counter({}, { database });
  await afterAccepting(before, 1_00n);
  const [{ id } = { id: '' }] = before.outbox.open();
  const receipt = { iat: START_S, subject: id, outcome: 'captured' } as const;
  await before.outbox.close(id, await seal(receiptKind, receipt, REALM, bridge), 1);
  for (const told of [[{ sentence: 'Paid: 1.00 yuan, accepted earlier.', mood: 'good' }], []]) {
    const after = await createStage({ isCounter: true, database });
    expect([after.staff, after.said]).toEqual([told, []]);
  }
});

test('a full store declines and drops nothing', async () => {
  const stage = await counter({ storedCountMax: 1 });
  await afterAccepting(stage, 1_00n);
  const [kept] = stage.outbox.accepted();
  expect(await outcome(stage, 2_00n)).toBe('offline_stored_count');
  expect(stage.outbox.accepted()).toEqual([kept]);
});

test('a disk that refuses spends no lease and tells of no payment', async () => {
  const stage = await counter(
    {},
    {
      wrap: (outbox) => ({
        ...outbox,
        put() {
          throw new PaymentError('unavailable', 'the disk is full');
        },
      }),
    },
  );
  expect(await outcome(stage, 1_00n)).toBe('unavailable');
  expect(stage.outbox.lease(mandateId(0))?.left.count).toBe(100);
  expect(stage.staff).toEqual([]);
});

test('online a tag is collected from as ever: a fresh nonce, minutes to live, paid', async () => {
  const stage = await counter();
  await stage.ready();
  stage.device.bill(cny(12_50n));
  const told = stage.device.sense(tag());
  await settle();
  await stage.time.pass(READ_MS);
  stage.device.answer({ kind: 'press' });
  await settle();
  const { id, ...request } = stage.request();
  expect(request).toMatchObject({ nonce: NONCE, terminal: 'till-1', presence: 1 });
  expect(request.exp - START_S).toBeLessThan(REQUEST_VALID_S + 60);
  await stage.capture(id);
  expect((await told).kind).toBe('paid');
  expect(stage.said.at(-1)).toEqual({
    sentence: 'Paid 12.50 yuan to Luckin Coffee.',
    mood: 'good',
  });
  expect(stage.outbox.lease(mandateId(0))?.left.count, 'no lease is spent').toBe(100);
});

test('glasses with a lease accept too, and their wearer is told how it ended', async () => {
  const stage = await createStage({ policies: [await policyWith()] });
  await stage.ready();
  await stage.lease();
  stage.wire.down();
  const told = stage.say('pay 12.50 yuan to Luckin Coffee');
  await settle();
  await stage.press();
  expect(await told).toMatchObject({ kind: 'accepted' });
  expect(stage.request().presence, 'the ladder is the same').toBe(2);
  stage.wire.up();
  await stage.boot();
  await stage.capture(stage.request().id);
  expect(stage.sentences().slice(-2)).toEqual([
    'Accepted: 12.50 yuan to Luckin Coffee will be booked when this device is online. ' +
      'Do not pay again.',
    'Paid 12.50 yuan to Luckin Coffee.',
  ]);
});

test('glasses whose policy requires the link stay as they were, lease or not', async () => {
  const stage = await createStage({
    policies: [await policyWith({ behaviour: 'require_online' })],
  });
  await stage.ready();
  await stage.lease();
  stage.wire.down();
  expect(await stage.say('pay 12.50 yuan to Luckin Coffee')).toEqual({
    kind: 'not_sent',
    reason: 'offline_not_allowed',
  });
});

test('a suspended key accepts nothing offline either', async () => {
  const stage = await counter();
  stage.device.suspend();
  expect(await outcome(stage, 1n)).toBe('suspended');
});

// ── the tag and the bill ──────────────────────────────────────────────────────────────────────

test('a tag without a bill, after its time, or of nobody pays nothing', async () => {
  const stage = await counter();
  await stage.device.sense(tag());
  stage.device.bill(cny(1_00n));
  await stage.time.pass(BILL_MS + 1);
  await stage.device.sense(tag());
  stage.device.bill(cny(1_00n));
  stage.device.bill(undefined);
  await stage.device.sense(tag());
  stage.device.bill(cny(1_00n));
  await stage.device.sense(tag('00'.repeat(16)));
  await stage.device.sense({ kind: 'link', text: 'saytap://payee/noodle-bar?amount=CNY1' });
  await stage.device.sense({ kind: 'utterance', text: 'pay 1 yuan to Noodle Bar' });
  const none = 'There is nothing to pay here now. Ask the staff.';
  const unknown = 'This tag cannot pay here.';
  expect(stage.sentences()).toEqual([none, none, none, unknown, unknown, unknown]);
  expect([stage.asked, stage.left()]).toEqual([[], NOTHING]);
});

test('a tag as an NDEF message is the same tag', async () => {
  const stage = await counter();
  stage.device.bill(cny(1_00n));
  const uri = Uint8Array.of(0, ...new TextEncoder().encode(tag().text));
  void stage.device.sense({ kind: 'tag', message: ndef(1, 'U', uri) });
  await settle();
  expect(stage.asked).toHaveLength(1);
});

test('a bill is paid once; whoever cannot pay leaves it to the next', async () => {
  const stage = await counter({}, {}, { count: 1 });
  await afterAccepting(stage, 1_00n);
  await stage.device.sense(tag(mandateId(1)));
  expect(stage.sentences().at(-1)).toBe('There is nothing to pay here now. Ask the staff.');
  expect(await outcome(stage, 2_00n), 'this one has no lease left').toBe('lease_exhausted');
  const told = stage.device.sense(tag(mandateId(1)));
  await settle();
  await stage.time.pass(READ_MS);
  stage.device.answer({ kind: 'press' });
  expect((await told).kind, 'the same bill').toBe('accepted');
});

test('while somebody pays, the bill stays what it is', async () => {
  const stage = await counter();
  stage.device.bill(cny(1_00n));
  const told = stage.device.sense(tag());
  await settle();
  expect(stage.device.bill(cny(99_00n))).toBe(false);
  await stage.time.pass(READ_MS);
  stage.device.answer({ kind: 'press' });
  await told;
  expect(stage.request().amount).toEqual(cny(1_00n));
});

test('a person who says no has not paid, and hears nothing of others', async () => {
  const stage = await counter();
  await afterAccepting(stage, 1_00n);
  stage.device.bill(cny(2_00n));
  const told = stage.device.sense(tag(mandateId(1)));
  await settle();
  stage.device.answer({ kind: 'utterance', text: 'cancel' });
  expect(await told).toEqual({ kind: 'not_sent', reason: 'cancelled' });
  expect(stage.sentences().at(-1)).toBe('Cancelled. Nothing was sent.');
});
