/**
 * Leases: what is set aside for a key counts in every window of the chain until it is drawn or
 * given back, nobody else gets it, and no request draws more than is there.
 */
import { describe, expect, test } from 'vitest';
import type { Lease, LeaseFacts, LeaseTerms, Store } from '../../../broker/store/port.ts';

import { toHex } from '../../../src/bytes.ts';
import { RESEND_FOR_MS } from '../../../src/limits.ts';
import type { Mandate } from '../../../src/objects/mandate.ts';
import type { Request } from '../../../src/objects/request.ts';
import { CAST, NOW_MS, NOW_S, type Role, admissionOf, putMandate } from '../stage.ts';
import { type OpenStore, accepted, close, decline, factsFor, judgeMany, opened } from './acts.ts';
import { recounted, revocationOf, send, succeed, total, usageOf, yuan } from './acts.ts';

const KEY = CAST.glasses.key.name;
const HOUR_MS = 3_600_000;

export function describeLeases(name: string, open: OpenStore): void {
  const prepared = (...mandates: Partial<Mandate>[]) => opened(open, ...mandates);

  describe(`${name}: leases`, () => {
    test('the terms are asked for with all that they may depend on', async () => {
      const { store, mandate } = await prepared({ windows: [total(100n)] });
      await accepted(store, { mandate, amount: yuan(30n) });
      let seen: LeaseFacts | undefined;
      const told = await store.lease({ key: KEY, mandate, nowMs: NOW_MS }, (facts) => {
        seen = facts;
        return undefined;
      });
      expect(told).toBeUndefined();
      expect(seen).toMatchObject({
        identity: { name: KEY, status: 'active' },
        chain: [{ id: mandate, usage: [{ amount: 30n, count: 1 }] }],
        pool: { amount: 0n, count: 0 },
        others: { amount: 0n, count: 0 },
        latest: undefined,
        validUntil: NOW_S + 86_400,
        nowMs: NOW_MS,
      });
      expect(await usageOf(store, mandate), 'nothing was set aside').toEqual([
        { amount: 30n, count: 1 },
      ]);
    });

    test('it is set aside in every window of the chain; the next terms see it apart', async () => {
      const day = { kind: 'calendar', period: 'day', zone: 'UTC', max: 90n, count: 9 } as const;
      const rolling = { kind: 'rolling', seconds: 60, max: 80n, count: 8 } as const;
      const { store, mandate } = await prepared({ windows: [total(100n, 10), day] });
      const agent = CAST.agent.key.name;
      const more = { cnf: agent, parent: mandate, windows: [rolling] };
      const child = await putMandate(store, more, 'glasses');
      const lease = await give(store, child, 40n, 4, { key: agent });
      expect(lease).toMatchObject({ key: agent, mandate: child, currency: 'CNY', iat: NOW_S });
      const held = { amount: 40n, count: 4 };
      expect(await usageOf(store, mandate)).toEqual([held, held]);
      expect(await usageOf(store, child)).toEqual([held]);
      // A rolling window forgets what was paid, never what may still be.
      expect(await usageOf(store, child, NOW_MS + HOUR_MS)).toEqual([held]);

      let seen: LeaseFacts | undefined;
      await store.lease({ key: agent, mandate: child, nowMs: NOW_MS }, (facts) => {
        seen = facts;
        return 'same';
      });
      expect(seen).toMatchObject({ pool: held, latest: lease });
      const nothing = { amount: 0n, count: 0 };
      expect(seen!.chain.map(({ usage }) => usage)).toEqual([[nothing], [nothing, nothing]]);
      expect(await recounted(store)).toEqual([]);
    });

    test('the same again is the same, after a restart too', async () => {
      const { store, mandate, reopen } = await prepared({});
      const lease = await give(store, mandate, 40n);
      const later = await reopen();
      const asked = { key: KEY, mandate, nowMs: NOW_MS + HOUR_MS };
      expect(await later.lease(asked, () => 'same')).toEqual(lease);
      expect(await usageOf(later, mandate)).toEqual([{ amount: 40n, count: 5 }]);
    });

    test('what is filled up is one pool, and every lease of it draws from that one', async () => {
      const { store, mandate } = await prepared({});
      const first = await give(store, mandate, 40n);
      await spend(store, first, 30n);
      const second = await give(store, mandate, 50n);
      expect(second!.nonce).not.toEqual(first!.nonce);
      expect(await usageOf(store, mandate)).toEqual([{ amount: 80n, count: 6 }]);
      expect((await spend(store, first, 40n)).refusal).toBeUndefined();
      expect((await spend(store, second, 11n)).refusal).toBe('lease_exhausted');
      expect((await spend(store, second, 10n)).refusal).toBeUndefined();
      expect(await usageOf(store, mandate)).toEqual([{ amount: 80n, count: 6 }]);
      expect(await recounted(store)).toEqual([]);
    });

    test('pools of a key are told apart and added up; another key’s are not', async () => {
      const more = { epoch: 2 };
      const { store, ids } = await prepared({}, more, { cnf: CAST.guest.key.name });
      await give(store, ids[0]!, 40n, 4);
      await give(store, ids[2]!, 7n, 7, { key: CAST.guest.key.name });
      let seen: LeaseFacts | undefined;
      const asked = { key: KEY, mandate: ids[1]!, nowMs: NOW_MS };
      await store.lease(asked, (facts) => void (seen = facts));
      expect(seen).toMatchObject({ pool: { amount: 0n }, others: { amount: 40n, count: 4 } });
      expect(await store.mandatesOf(KEY, NOW_MS, 9)).toEqual([ids[0], ids[1]]);
      expect(await store.mandatesOf(KEY, NOW_MS, 1), 'whoever came later').toEqual([ids[0]]);
      await store.setMandateStatus(ids[1]!, 'suspended', NOW_MS);
      expect(await store.mandatesOf(KEY, NOW_MS, 9)).toEqual([ids[0]]);
      const overMs = (NOW_S + 86_400) * 1000;
      expect(await store.mandatesOf(KEY, overMs - 1, 9)).toEqual([ids[0]]);
      expect(await store.mandatesOf(KEY, overMs, 9), 'what is over takes no place').toEqual([]);
    });

    test('a request moves its part from the pool into its run, in the pool’s slot', async () => {
      const day = { kind: 'calendar', period: 'day', zone: 'UTC', max: 90n, count: 9 } as const;
      const exp = NOW_S + 9 * 86_400;
      const { store, mandate } = await prepared({ exp, windows: [total(100n, 10), day] });
      const tomorrowMs = NOW_MS + 24 * HOUR_MS;
      const lease = await give(store, mandate, 40n, 4, { upload: NOW_S + 2 * 86_400 });
      const run = await spend(store, lease, 15n, {}, tomorrowMs);
      expect(run.refusal).toBeUndefined();
      expect(await usageOf(store, mandate)).toEqual([
        { amount: 40n, count: 4 },
        { amount: 40n, count: 4 },
      ]);
      expect((await usageOf(store, mandate, tomorrowMs))[1]).toEqual({ amount: 0n, count: 0 });
      await succeed(store, run, tomorrowMs);
      const lost = await spend(store, lease, 20n, {}, tomorrowMs);
      await decline(store, lost, tomorrowMs);
      expect(await usageOf(store, mandate), 'what was declined is free again').toEqual([
        { amount: 20n, count: 3 },
        { amount: 20n, count: 3 },
      ]);
      expect((await spend(store, lease, 6n, {}, tomorrowMs)).refusal).toBe('lease_exhausted');
      expect(await recounted(store)).toEqual([]);
    });

    test('filled up on another day it counts on that day, with what is left', async () => {
      const day = { kind: 'calendar', period: 'day', zone: 'UTC', max: 90n, count: 9 } as const;
      const { store, mandate } = await prepared({ exp: NOW_S + 9 * 86_400, windows: [day] });
      const tomorrowMs = NOW_MS + 24 * HOUR_MS;
      await give(store, mandate, 40n, 4);
      await give(store, mandate, 50n, 5, { nowMs: tomorrowMs });
      expect(await usageOf(store, mandate)).toEqual([{ amount: 0n, count: 0 }]);
      expect(await usageOf(store, mandate, tomorrowMs)).toEqual([{ amount: 50n, count: 5 }]);
      expect(await recounted(store)).toEqual([]);
    });

    test('terms beyond a window are refused by the store itself, and change nothing', async () => {
      const { store, mandate } = await prepared({ windows: [total(100n, 10)] });
      await accepted(store, { mandate, amount: yuan(30n) });
      for (const [amount, count] of [
        [71n, 1],
        [1n, 10],
      ] as const) {
        await expect(give(store, mandate, amount, count)).rejects.toThrow(/CHECK/);
      }
      expect(await usageOf(store, mandate)).toEqual([{ amount: 30n, count: 1 }]);
      expect((await give(store, mandate, 70n, 9))?.amount).toBe(70n);
      const more = await send(store, { mandate, amount: yuan(1n) });
      expect(more.refusal).toBe('limit_window');
    });

    test('a judge that accepts beyond the pool is refused by the store itself', async () => {
      const { store, mandate } = await prepared({});
      const lease = await give(store, mandate, 10n, 1);
      let counter = 50;
      const wrong = async (minor: bigint) => {
        const changes = { mandate, nonce: lease!.nonce, amount: yuan(minor), counter: ++counter };
        const admission = await admissionOf(changes);
        return store.admit(admission, (facts) => {
          const rest = { amount: minor, count: 1 };
          return judgeMany(admission.request, { ...facts, lease: { ...facts.lease!, rest } });
        });
      };
      await expect(wrong(11n)).rejects.toThrow(/CHECK/);
      expect((await wrong(10n)).run.refusal).toBeUndefined();
      await expect(wrong(1n)).rejects.toThrow(/CHECK/);
    });

    test('200 at once on a lease of 100 in 7 payments: as many as fit', async () => {
      for (const [minor, fit] of [
        [20n, 5],
        [10n, 7],
      ] as const) {
        const { store, mandate } = await prepared({});
        const lease = await give(store, mandate, 100n, 7);
        const all = Array.from({ length: 200 }, async (_, i) => {
          const changes = { mandate, nonce: lease!.nonce, amount: yuan(minor), counter: i + 1 };
          const admission = await admissionOf(changes);
          return store.admit(admission, (facts) => judgeMany(admission.request, facts));
        });
        const refusals = (await Promise.all(all)).map(({ run }) => run.refusal);
        expect(refusals.filter((one) => one === undefined)).toHaveLength(fit);
        expect(new Set(refusals)).toEqual(new Set([undefined, 'lease_exhausted']));
        expect(await recounted(store)).toEqual([]);
      }
    });

    test('leases and payments compete for the last units: never beyond the window', async () => {
      const { store, ids } = await prepared(
        { windows: [total(100n, 1_000)] },
        { windows: [total(1_000n)], epoch: 2 },
      );
      const [mandate] = ids;
      const acts = Array.from({ length: 60 }, async (_, i): Promise<bigint> => {
        if (i % 3 === 0) {
          // As much as there is room for, up to 30.
          const asked = { key: KEY, mandate: mandate!, nowMs: NOW_MS };
          await store.lease(asked, ({ chain, pool }) => {
            const room = 100n - chain[0]!.usage[0]!.amount;
            const amount = room < 30n ? room : 30n;
            if (amount <= pool.amount) return undefined;
            return { amount, count: 9, exp: NOW_S + 60, upload: NOW_S + 120 };
          });
          return 0n;
        }
        const changes = { mandate: mandate!, amount: yuan(7n), counter: i + 1 };
        const admission = await admissionOf(changes);
        const { run } = await store.admit(admission, (facts) =>
          judgeMany(admission.request, facts),
        );
        return run.refusal ? 0n : 7n;
      });
      const paid = (await Promise.all(acts)).reduce((sum, minor) => sum + minor, 0n);
      const [usage] = await usageOf(store, mandate!);
      expect(paid).toBe(70n);
      expect(usage!.amount).toBe(100n);
      expect(await recounted(store)).toEqual([]);
    });

    describe('given back', () => {
      test('when nothing may arrive any more: a second before it is not', async () => {
        const { store, mandate } = await prepared({});
        await give(store, mandate, 40n, 4, { upload: NOW_S + 100 });
        const { nonce } = (await give(store, mandate, 50n, 5, { upload: NOW_S + 60 }))!;
        expect(await store.releaseLeases(NOW_MS + 99_999, 9)).toBe(0);
        expect(await usageOf(store, mandate)).toEqual([{ amount: 50n, count: 5 }]);
        expect(await store.releaseLeases(NOW_MS + 100_000, 9)).toBe(1);
        expect(await store.releaseLeases(NOW_MS + 100_000, 9)).toBe(0);
        expect(await usageOf(store, mandate)).toEqual([{ amount: 0n, count: 0 }]);
        const facts = await factsFor(store, { mandate, nonce });
        expect(facts.lease?.rest, 'known, and empty').toEqual({ amount: 0n, count: 0 });
        await store.releaseLeases(NOW_MS + 100_000 + RESEND_FOR_MS, 9);
        expect((await factsFor(store, { mandate, nonce })).lease).toBeUndefined();
        expect(await recounted(store)).toEqual([]);
      });

      test.each([
        ['its key is suspended', (store: Store) => end(store, 'suspended'), 'suspended'],
        ['its key is revoked', (store: Store) => end(store, 'revoked'), 'revoked'],
        [
          'its mandate is revoked',
          async (store: Store, mandate: string) =>
            void (await store.revoke(await revocationOf({ mandate }))),
          'revoked',
        ],
        [
          'its payer revokes everything',
          async (store: Store) => void (await store.revoke(await revocationOf({ epoch: 9 }))),
          'revoked',
        ],
      ] as const)('%s: at once, and nothing is drawn any more', async (_, act, reason) => {
        const { store, mandate } = await prepared({ windows: [total(100n)] });
        const lease = await give(store, mandate, 40n);
        const run = await spend(store, lease, 10n);
        await act(store, mandate);
        expect(await usageOf(store, mandate)).toEqual([{ amount: 10n, count: 1 }]);
        expect((await spend(store, lease, 1n)).refusal).toBe(reason);
        await close(store, run);
        expect(await usageOf(store, mandate)).toEqual([{ amount: 0n, count: 0 }]);
        expect(await recounted(store)).toEqual([]);
      });

      test('through a parent that is revoked; others’ pools stay', async () => {
        const { store, ids } = await prepared({}, { epoch: 2 });
        const key = CAST.agent.key.name;
        const child = await putMandate(store, { cnf: key, parent: ids[0]! }, 'glasses');
        await give(store, child, 40n, 4, { key });
        await give(store, ids[1]!, 9n, 1);
        await store.revoke(await revocationOf({ mandate: ids[0]! }));
        expect(await usageOf(store, child)).toEqual([{ amount: 0n, count: 0 }]);
        expect(await usageOf(store, ids[1]!)).toEqual([{ amount: 9n, count: 1 }]);
        expect(await recounted(store)).toEqual([]);
      });

      test('when two are found to hold the key', async () => {
        const { store, mandate } = await prepared({});
        await give(store, mandate, 40n);
        await accepted(store, { mandate, counter: 3 });
        expect((await send(store, { mandate, counter: 3, amount: yuan(9n) })).refusal).toBe(
          'counter_reused',
        );
        expect(await usageOf(store, mandate)).toEqual([{ amount: 10_00n, count: 1 }]);
      });

      test('a key that is active again has no pool until it is given a lease again', async () => {
        const { store, mandate } = await prepared({});
        const lease = await give(store, mandate, 40n);
        await end(store, 'suspended');
        await store.setIdentityStatus(KEY, 'active', NOW_MS);
        expect((await spend(store, lease, 1n)).refusal).toBe('lease_exhausted');
        const again = await give(store, mandate, 30n);
        expect((await spend(store, lease, 30n)).refusal, 'not of its pool').toBe('lease_exhausted');
        expect((await spend(store, again, 30n)).refusal).toBeUndefined();
      });
    });

    test('every lease and every end of one is in the chain of evidence', async () => {
      const { store, mandate } = await prepared({});
      const lease = await give(store, mandate, 40n, 4);
      const run = await spend(store, lease, 15n);
      await end(store, 'revoked');
      const said = (await store.evidence(mandate))
        .filter(({ kind }) => kind === 'lease')
        .map(({ body }) => JSON.parse(new TextDecoder().decode(body)) as object);
      expect(said).toMatchObject([
        { nonce: toHex(lease!.nonce), key: KEY, amount: '40', count: 4, exp: NOW_S + 3_600 },
        { released: 'revoked', key: KEY, amount: '25', count: 3 },
      ]);
      const verdict = (await store.evidence(run.id)).find(({ kind }) => kind === 'verdict')!;
      expect(JSON.parse(new TextDecoder().decode(verdict.body))).toMatchObject({
        lease: toHex(lease!.nonce),
      });
    });

    test('a mandate with an open pool is not erased', async () => {
      const { store, mandate } = await prepared({ exp: NOW_S + 60 });
      await give(store, mandate, 40n);
      const nowMs = NOW_MS + 40 * 86_400_000;
      const what = { payer: undefined, beforeMs: NOW_MS + 86_400_000, by: 'eve', nowMs };
      await store.erase(what);
      expect(await store.mandate(mandate, nowMs)).toBeDefined();
      await store.releaseLeases(nowMs, 9);
      await store.erase(what);
      expect(await store.mandate(mandate, nowMs)).toBeUndefined();
      expect(await recounted(store)).toEqual([]);
    });
  });

  describe(`${name}: policies`, () => {
    test('the highest version of every scope is kept, for good', async () => {
      const { store, reopen } = await opened(open);
      const envelope = (text: string) => new TextEncoder().encode(text);
      const put = (scope: string, version: number, text: string) =>
        store.putPolicy(scope, version, envelope(text), NOW_MS);
      expect(await put('a', 2, 'a2')).toBe(2);
      expect(await put('b', 1, 'b1')).toBe(1);
      expect(await put('a', 1, 'a1')).toBe(2);
      expect(await put('a', 2, 'a2')).toBe(2);
      expect(await put('a', 3, 'a3')).toBe(3);
      const kept = async (from: Store) =>
        (await from.policies()).map((bytes) => new TextDecoder().decode(bytes));
      expect(await kept(store)).toEqual(['a3', 'b1']);
      expect((await store.evidence('a')).map(({ kind }) => kind)).toEqual(['policy', 'policy']);
      expect(await kept(await reopen())).toEqual(['a3', 'b1']);
    });
  });
}

/** A lease with these terms, whatever a policy would say. */
function give(
  store: Store,
  mandate: string,
  amount: bigint,
  count = 5,
  more: Partial<Pick<LeaseTerms, 'exp' | 'upload'>> & { key?: string; nowMs?: number } = {},
): Promise<Lease | undefined> {
  const { key = KEY, nowMs = NOW_MS, exp = NOW_S + 3_600, upload = NOW_S + 86_400 } = more;
  return store.lease({ key, mandate, nowMs }, () => ({ amount, count, exp, upload }));
}

/** A request under a lease, judged as the bridge does. */
async function spend(
  store: Store,
  lease: Lease | undefined,
  minor: bigint,
  changes: Partial<Request> = {},
  nowMs: number = NOW_MS,
  role: Role = 'glasses',
) {
  const { mandate, nonce, upload } = lease!;
  const own = { mandate, nonce, exp: upload, amount: yuan(minor), ...changes };
  return send(store, own, role, nowMs);
}

const end = async (store: Store, status: 'suspended' | 'revoked') =>
  void (await store.setIdentityStatus(KEY, status, NOW_MS));
