/**
 * Leases on the bridge: how much one is for, and whether a request may be spent under it. What a
 * thief can do with them is in test/broker/theft.test.ts.
 */
import { describe, expect, test } from 'vitest';
import { termsOf } from '../../broker/leases.ts';
import type { ChainLink, Facts, Lease, LeaseFacts, Usage } from '../../broker/store/port.ts';
import { judge } from '../../broker/verdict.ts';
import type { Reason } from '../../src/errors.ts';
import { COUNT_UNLIMITED, REQUEST_VALID_S_MAX, RESEND_FOR_MS } from '../../src/limits.ts';
import { RESOLVE_MS_MAX } from '../../src/limits.ts';
import type { Mandate } from '../../src/objects/mandate.ts';
import type { Policy } from '../../src/objects/policy.ts';
import type { Request } from '../../src/objects/request.ts';
import { forgetLeases } from '../../broker/store/schema.ts';
import type { Tick } from '../../src/objects/tick.ts';
import { CAST, MANDATE_ID, NOW_MS, NOW_S, OFFLINE_POLICY, POLICY, RULES } from './stage.ts';
import { type Role, createStage, mandateOf, putMandate, requestOf } from './stage.ts';
import { statementOf, verdictOf } from './stage.ts';

const OFFLINE: NonNullable<Policy['offline']> = {
  behaviour: 'prefer_online',
  currency: 'CNY',
  floorLimit: 50_00n,
  storedAmountMax: 500n,
  storedCountMax: 50,
  acceptWindow: 3_600,
  uploadWindow: 7_200,
  goOnlineEvery: [5, 20],
  payerCountMax: 6,
  payerAmountMax: 100n,
  policyAgeMax: 604_800,
};
const OPEN: Policy = { ...POLICY, offline: OFFLINE };
const KEY = CAST.glasses.key.name;
const NOTHING: Usage = { amount: 0n, count: 0 };
const total = (max: bigint, count = 1_000) => ({ kind: 'total', max, count }) as const;
const yuan = (minor: bigint) => ({ currency: 'CNY', minor });

function linkOf(mandate: Partial<Mandate> = {}, changes: Partial<ChainLink> = {}): ChainLink {
  const value = mandateOf({ exp: NOW_S + 9_000_000, ...mandate });
  return {
    id: MANDATE_ID,
    mandate: value,
    issuer: CAST.wallet.key.name,
    issuerFault: undefined,
    payer: '07'.repeat(16),
    status: 'active',
    backends: ['ledger'],
    usage: value.windows.map(() => NOTHING),
    lastMs: undefined,
    ...changes,
  };
}

function identityOf(role: Role, status: Facts['identity']['status'] = 'active') {
  const { name, public: key } = CAST[role].key;
  return { name, key, statement: statementOf(role), status };
}

function leaseFacts(changes: Partial<LeaseFacts> = {}): LeaseFacts {
  return {
    identity: identityOf('glasses'),
    chain: [linkOf()],
    pool: NOTHING,
    others: NOTHING,
    latest: undefined,
    hasRefused: false,
    validUntil: NOW_S + 9_000_000,
    nowMs: NOW_MS,
    ...changes,
  };
}

function leaseOf(changes: Partial<Lease> = {}): Lease {
  return {
    nonce: new Uint8Array(8).fill(9),
    key: KEY,
    mandate: MANDATE_ID,
    currency: 'CNY',
    amount: 100n,
    count: 6,
    iat: NOW_S,
    exp: NOW_S + 3_600,
    upload: NOW_S + 10_800,
    ...changes,
  };
}

const terms = (changes: Partial<LeaseFacts> = {}, offline: Partial<typeof OFFLINE> = {}) =>
  termsOf(leaseFacts(changes), [{ ...OPEN, offline: { ...OFFLINE, ...offline } }]);

describe('how much is leased', () => {
  const FULL = { amount: 100n, count: 6, exp: NOW_S + 3_600, upload: NOW_S + 10_800 };

  test('what one payer may have waiting, for the accept window and then the upload window', () => {
    expect(terms()).toEqual(FULL);
  });

  test.each<[string, Usage, Partial<LeaseFacts>, Partial<typeof OFFLINE>]>([
    ['the payer’s amount', { amount: 99n, count: 6 }, {}, { payerAmountMax: 99n }],
    ['the payer’s count', { amount: 100n, count: 5 }, {}, { payerCountMax: 5 }],
    ['all pools’ amount', { amount: 60n, count: 6 }, {}, { storedAmountMax: 60n }],
    [
      'what the other pools leave',
      { amount: 10n, count: 2 },
      { others: { amount: 490n, count: 48 } },
      {},
    ],
    ['a window', { amount: 80n, count: 4 }, { chain: [linkOf({ windows: [total(80n, 4)] })] }, {}],
    [
      'what is used of a window',
      { amount: 79n, count: 3 },
      {
        chain: [linkOf({ windows: [total(80n, 4)] }, { usage: [{ amount: 1n, count: 1 }] })],
      },
      {},
    ],
    [
      'a window of the parent',
      { amount: 7n, count: 2 },
      {
        identity: identityOf('agent'),
        chain: [
          linkOf({ cnf: CAST.agent.key.name }, { issuer: KEY, id: 'bb'.repeat(16) }),
          linkOf({ windows: [total(1_000n), total(7n, 2)] }),
        ],
      },
      {},
    ],
  ])('bounded by %s', (_, most, facts, offline) => {
    expect(terms(facts, offline)).toEqual({ ...FULL, ...most });
  });

  test.each<[string, Partial<LeaseFacts>, Partial<typeof OFFLINE>]>([
    ['the policy requires the link', {}, { behaviour: 'require_online' }],
    ['the policy is of another currency', {}, { currency: 'EUR' }],
    ['the policy is too old', {}, { policyAgeMax: 0, acceptWindow: 0 }],
    ['nothing is allowed per payer', {}, { payerAmountMax: 0n }],
    ['no payment is allowed per payer', {}, { payerCountMax: 0 }],
    ['other pools hold everything', { others: { amount: 500n, count: 1 } }, {}],
    ['other pools hold more than is allowed now', { others: { amount: 501n, count: 99 } }, {}],
    ['a gap must be kept', { chain: [linkOf({ gap: 1 })] }, {}],
    ['the mandate is not known', { chain: [] }, {}],
    ['the mandate is for another key', { chain: [linkOf({ cnf: CAST.guest.key.name })] }, {}],
    ['the mandate is revoked', { chain: [linkOf({}, { status: 'revoked' })] }, {}],
    ['its signer is suspended', { chain: [linkOf({}, { issuerFault: 'suspended' })] }, {}],
    ['the key is suspended', { identity: identityOf('glasses', 'suspended') }, {}],
    ['the mandate ends before it could arrive', { validUntil: NOW_S + 7_200 }, {}],
  ])('nothing when %s', (_, facts, offline) => {
    expect(terms(facts, offline)).toBeUndefined();
  });

  test('nothing under a mandate without a real count for a terminal', () => {
    const identity = identityOf('kiosk');
    const chain = (count: number) => [
      linkOf({ cnf: identity.name, windows: [total(100n, count)] }),
    ];
    expect(terms({ identity, chain: chain(COUNT_UNLIMITED) })).toBeUndefined();
    expect(terms({ identity, chain: chain(COUNT_UNLIMITED - 1) })).toEqual(FULL);
  });

  test('policies of payee and device bind, others do not, and one that is over does not', () => {
    const more = (scope: Policy['scope'], rest: Partial<Policy> = {}): Policy => ({
      ...OPEN,
      scope,
      offline: { ...OFFLINE, payerAmountMax: 40n },
      ...rest,
    });
    const identity = identityOf('kiosk');
    const chain = [linkOf({ cnf: identity.name })];
    const amount = (...policies: Policy[]) => {
      const found = termsOf(leaseFacts({ identity, chain }), [OPEN, ...policies]);
      return found === 'same' ? found : found?.amount;
    };
    expect(amount(more({ kind: 'merchant', payee: 'cafe' }))).toBe(40n);
    expect(amount(more({ kind: 'merchant', payee: 'bazaar' }))).toBe(100n);
    expect(amount(more({ kind: 'device', device: 'kiosk' }))).toBe(40n);
    expect(amount(more({ kind: 'device', device: 'till' }))).toBe(100n);
    expect(amount(more({ kind: 'device', device: 'kiosk' }, { exp: NOW_S }))).toBe(100n);
    const silent: Policy = { ...POLICY, scope: { kind: 'device', device: 'kiosk' } };
    expect(amount(silent), 'silence closes it').toBeUndefined();
    expect(
      termsOf(leaseFacts({ identity, chain }), [more({ kind: 'device', device: 'kiosk' })]),
      'without the platform’s nothing is open',
    ).toBeUndefined();
  });

  test('it ends early enough for what it accepts to arrive while it counts', () => {
    expect(terms({ validUntil: NOW_S + 10_799 })).toMatchObject({
      exp: NOW_S + 3_599,
      upload: NOW_S + 10_799,
    });
    const until = { policyAgeMax: 99 };
    expect(terms({}, until)).toMatchObject({ exp: NOW_S + 100, upload: NOW_S + 7_300 });
    const long = { acceptWindow: 2 * RESEND_FOR_MS, policyAgeMax: 3 * RESEND_FOR_MS };
    expect(terms({ validUntil: NOW_S + 10 * RESEND_FOR_MS }, long)).toMatchObject({
      upload: NOW_S + RESEND_FOR_MS / 1000,
    });
  });

  describe('the next lease', () => {
    const full = { amount: 100n, count: 6 };
    const later = (seconds: number) => ({ nowMs: NOW_MS + seconds * 1000 });

    test.each([
      [0, 'same'],
      [1_800, 'same'],
      [1_801, 'new'],
    ] as const)(
      'is the same until half of the accept window is over: %d s: %s',
      (age, expected) => {
        const found = terms({ pool: full, latest: leaseOf(), ...later(age) });
        if (expected === 'same') expect(found).toBe('same');
        else expect(found).toMatchObject({ ...full, exp: NOW_S + age + 3_600 });
      },
    );

    test('is new when something was drawn: filled up, or telling what is left', () => {
      const drawn = { pool: { amount: 40n, count: 5 }, latest: leaseOf(), ...later(1) };
      expect(terms(drawn)).toMatchObject({ amount: 100n, count: 6 });
      const chain = [linkOf({ windows: [total(40n, 5)] })];
      expect(terms({ ...drawn, chain })).toMatchObject({ amount: 40n, count: 5 });
    });

    test('is new when something was refused, which its device counts against the last', () => {
      const refused = { pool: full, latest: leaseOf(), hasRefused: true };
      expect(terms({ ...refused, ...later(1) })).toMatchObject({ ...full, exp: NOW_S + 3_601 });
      expect(terms({ ...refused, ...later(0) })).toBe('same');
    });

    test('is none in the second of the last, which a device would not take for newer', () => {
      const drawn = { pool: { amount: 40n, count: 5 }, latest: leaseOf() };
      expect(terms({ ...drawn, ...later(0.999) })).toBeUndefined();
      expect(terms({ ...drawn, ...later(-5) }), 'by the clock of another bridge').toBeUndefined();
      expect(terms({ pool: full, latest: leaseOf(), ...later(0) })).toBe('same');
    });

    test('never shrinks a pool, nor makes one live longer that is above the limits now', () => {
      const latest = leaseOf();
      expect(terms({ pool: full, latest }, { payerAmountMax: 99n })).toBe('same');
      expect(terms({ pool: full, latest }, { payerCountMax: 5 })).toBe('same');
      const other = { amount: 40n, count: 6 };
      expect(terms({ pool: other, latest }, { payerAmountMax: 39n })).toBeUndefined();
      const over = { pool: full, latest, ...later(3_600) };
      expect(terms(over, { payerAmountMax: 99n })).toBeUndefined();
    });
  });
});

describe('a request under a lease', () => {
  const REST = { amount: 100n, count: 6 };

  function verdict(
    request: Partial<Request>,
    lease: Partial<Lease> & { rest?: Usage } = {},
    facts: Partial<Facts> = {},
  ): Reason | 'accept' {
    const { rest = REST, ...changes } = lease;
    const asked = requestOf({ amount: yuan(100n), exp: NOW_S + 10_800, ...request });
    const found = judge(
      asked,
      {
        identity: identityOf('glasses'),
        highestCounter: 0,
        openRuns: 0,
        isCounterReused: false,
        chain: [linkOf()],
        order: undefined,
        original: undefined,
        terminals: [statementOf('kiosk')],
        lease: { ...leaseOf(changes), rest },
        nowMs: NOW_MS,
        ...facts,
      },
      { ...RULES, isFresh: () => expect.fail('a lease is no ordinary nonce') },
    );
    return found.kind === 'accept' ? 'accept' : found.reason;
  }

  test.each<[Reason | 'accept', string, Partial<Request>, Parameters<typeof verdict>[1]?]>([
    ['accept', 'all that the pool holds', {}],
    ['lease_exhausted', 'a unit more', { amount: yuan(101n) }],
    ['lease_exhausted', 'a unit less in the pool', {}, { rest: { amount: 99n, count: 6 } }],
    ['accept', 'the last payment', {}, { rest: { amount: 100n, count: 1 } }],
    ['lease_exhausted', 'no payment left', {}, { rest: { amount: 100n, count: 0 } }],
    ['accept', 'more than was leased last, but it is there', {}, { amount: 1n, count: 1 }],
    ['not_yet_valid', 'valid for longer than its lease', { exp: NOW_S + 10_801 }],
    ['accept', 'of a life that only a lease allows', { exp: NOW_S + REQUEST_VALID_S_MAX + 999 }],
    ['expired', 'of a life that is over', { exp: NOW_S }],
    ['stale_nonce', 'the lease of another key', {}, { key: CAST.guest.key.name }],
    ['stale_nonce', 'a lease for another mandate', {}, { mandate: 'dd'.repeat(16) }],
    ['offline_not_allowed', 'a hold', { action: 'hold' }],
    ['offline_not_allowed', 'a refund', { action: 'refund', original: 'ee'.repeat(16) }],
  ])('%s: %s', (expected, _, request, lease) => {
    expect(verdict(request, lease)).toBe(expected);
  });

  test('lease_expired from the second on at which its upload is over', () => {
    const at = (nowMs: number) => verdict({ exp: NOW_S + 10_800 }, {}, { nowMs });
    expect(at(NOW_MS + 10_799_999)).toBe('accept');
    expect(at(NOW_MS + 10_800_000)).toBe('lease_expired');
    expect(at(NOW_MS + 3_600_000), 'spent before its exp, arrived after').toBe('accept');
  });

  test('its windows are not looked at again, everything else is', () => {
    const spent = [linkOf({ windows: [total(100n)] }, { usage: [{ amount: 100n, count: 6 }] })];
    expect(verdict({}, {}, { chain: spent })).toBe('accept');
    expect(verdict({}, {}, { identity: identityOf('glasses', 'suspended') })).toBe('suspended');
    expect(verdict({}, {}, { chain: [linkOf({}, { status: 'revoked' })] })).toBe('revoked');
    expect(verdict({ presence: 0 })).toBe('presence_too_low');
    expect(verdict({}, {}, { terminals: [] })).toBe('scope_payee');
    expect(verdict({}, {}, { isCounterReused: true })).toBe('counter_reused');
    expect(verdict({}, {}, { chain: [linkOf({ perPaymentMax: 99n })] })).toBe('limit_per_payment');
  });
});

describe('on the bridge', () => {
  async function prepared(changes: Partial<Mandate> = {}) {
    const stage = await createStage({ policies: [OFFLINE_POLICY] });
    const mandate = await putMandate(stage.store, changes);
    let counter = 0;
    const spend = async (tick: Tick | undefined, more: Partial<Request> = {}) => {
      const { nonce, lease } = tick!;
      const own = { mandate, nonce, exp: lease!.upload, counter: ++counter };
      const request = await stage.request({ ...own, ...more });
      await stage.deliver('glasses', 'request', request.envelope);
      return verdictOf(stage.told('glasses', request.id).at(-1));
    };
    return { stage, mandate, spend };
  }

  test('a boot is answered first, then comes a Tick for every mandate of the key', async () => {
    const { stage, mandate } = await prepared();
    const second = await putMandate(stage.store, { epoch: 2 });
    await putMandate(stage.store, { epoch: 3, gap: 60 });
    await putMandate(stage.store, { epoch: 4, cnf: CAST.guest.key.name });
    const [answer, ...ticks] = await stage.boots('glasses');
    expect(answer).toMatchObject({ counter: 0 });
    expect(answer).not.toHaveProperty('lease');
    expect(ticks.map(({ lease }) => lease!.mandate)).toEqual([mandate, second]);
    for (const tick of ticks) {
      expect(tick).toMatchObject({
        iat: NOW_S,
        audience: KEY,
        lease: {
          amount: yuan(100_00n),
          count: 5,
          exp: NOW_S + 3_600,
          upload: NOW_S + 10_800,
        },
      });
      expect(tick).not.toHaveProperty('echo');
    }
    const again = await stage.boots('glasses');
    expect(again.slice(1), 'nothing has changed').toEqual(ticks);
  });

  test('what is spent under it is captured hours later, and told with what remains', async () => {
    const { stage, spend } = await prepared();
    const [, tick] = await stage.boots('glasses');
    await stage.time.leap(10_799_000);
    expect(await spend(tick)).toEqual(['captured', undefined]);
    const [receipt] = stage.told('glasses', stage.backend.calls[0]!.key);
    // 1,000 yuan and 100 payments, less the whole lease, of which this is a part.
    expect(receipt!.remaining).toEqual([{ amount: 900_00n, count: 95 }]);
    await stage.time.leap(1_000);
    expect(await spend(tick)).toEqual(['refused', 'lease_expired']);
  });

  test('after a refusal the next lease is a newer one of as much, once', async () => {
    const { stage, spend } = await prepared();
    const [, tick] = await stage.boots('glasses');
    await stage.time.leap(1_000);
    const presence = await spend(tick, { presence: 0 });
    expect(presence).toEqual(['refused', 'presence_too_low']);
    await stage.time.leap(2_000);
    const [, newer] = await stage.boots('glasses');
    expect(newer!.iat).toBe(NOW_S + 3);
    expect(newer!.lease!.amount).toEqual(tick!.lease!.amount);
    expect(newer!.lease!.count).toBe(tick!.lease!.count);
    await stage.time.leap(60_000);
    expect((await stage.boots('glasses'))[1]).toEqual(newer);
    // Whichever of the two it is under, it comes out of one pool.
    const most = { amount: yuan(60_00n) };
    expect(await spend(tick, most)).toEqual(['captured', undefined]);
    expect(await spend(newer, most)).toEqual(['refused', 'lease_exhausted']);
  });

  test('payments set aside count together, whatever their currency', async () => {
    const { stage } = await prepared();
    const { storedCountMax, payerCountMax } = OFFLINE_POLICY.offline!;
    stage.database.exec(
      `INSERT INTO pools (key, mandate, currency, amount, count, drawn, drawn_count, at_ms, since,
         until) VALUES ('${KEY}', 'bb', 'EUR', 1000000, ${storedCountMax - 1}, 0, 0, 0, 0, 9e11)`,
    );
    const [, tick] = await stage.boots('glasses');
    expect(payerCountMax).toBeGreaterThan(1);
    expect(tick!.lease).toMatchObject({ count: 1, amount: yuan(100_00n) });
  });

  test('the sweep gives back what can arrive no more', async () => {
    const { stage, mandate } = await prepared();
    await stage.boots('glasses');
    const used = async () => (await stage.store.chain(mandate, NOW_MS))[0]!.usage[0]!.amount;
    await stage.time.leap(10_799_999);
    await stage.bridge().sweep();
    expect(await used()).toBe(100_00n);
    await stage.time.leap(1);
    await stage.bridge().sweep();
    expect(await used()).toBe(0n);
  });

  test('a suspended key is answered, but leased nothing', async () => {
    const { stage } = await prepared();
    await stage.store.setIdentityStatus(KEY, 'suspended', NOW_MS);
    expect(await stage.boots('glasses')).toHaveLength(1);
  });

  test('a store that cannot keep a lease gives none; the boot is answered', async () => {
    const { stage } = await prepared();
    stage.disk.isFull = true;
    expect(await stage.boots('glasses')).toHaveLength(1);
    stage.disk.isFull = false;
    expect(await stage.boots('glasses')).toHaveLength(2);
  });

  describe('after a restore', () => {
    /** The store as it was before `since`, with what the restore itself does to it. */
    async function restored(forgetsLease: boolean) {
      const { stage, mandate, spend } = await prepared();
      const [, tick] = await stage.boots('glasses');
      const paid = await stage.request({
        ...{ mandate, counter: 1, nonce: tick!.nonce, exp: tick!.lease!.upload },
      });
      await stage.deliver('glasses', 'request', paid.envelope);
      for (const table of ['runs', 'attempts', 'reservations', 'windows']) {
        stage.database.exec(`DELETE FROM ${table}`);
      }
      stage.database.exec('UPDATE identities SET highest = 0');
      stage.database.exec('DELETE FROM pools');
      forgetLeases(stage.database, stage.clock.nowMs());
      if (forgetsLease) stage.database.exec('DELETE FROM pool_windows');
      stage.restart(undefined, { restoredMs: stage.clock.nowMs() });
      await stage.time.leap(3_600_000);
      return { stage, spend, paid, tick };
    }

    test('what a backend has paid is told as paid, and paid once', async () => {
      const { stage, paid } = await restored(true);
      const before = stage.sent.length;
      await stage.deliver('glasses', 'request', paid.envelope);
      await stage.time.advance(RESOLVE_MS_MAX);
      const last = stage.told('glasses', paid.id).at(-1);
      expect(stage.sent.length).toBeGreaterThan(before);
      expect(verdictOf(last)).toEqual(['captured', undefined]);
      expect(stage.backend.moved.size).toBe(1);
    });

    test('what none has paid is barred there, and then refused', async () => {
      const { stage, spend, tick } = await restored(false);
      expect((await spend(tick, { counter: 2 }))[1]).toBe('stale_nonce');
      expect(stage.backend.movements).toHaveLength(1);
      expect(stage.backend.movements[0]).toMatchObject({ operation: 'void' });
      expect(stage.backend.moved.size).toBe(1);
    });

    test('a new lease is as good as ever', async () => {
      const { stage, spend } = await restored(true);
      const [, fresh] = await stage.boots('glasses');
      expect(await spend(fresh, { counter: 3 })).toEqual(['captured', undefined]);
    });
  });
});
