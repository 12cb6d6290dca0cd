/**
 * Revokes: after one has resolved nothing under it is accepted (I3), and it says what was too late
 * to stop. Statuses of keys and mandates: revoked is final.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EPOCH_STEP_MAX, CHILDREN_MAX, RUNNING_TOLD_MAX } from '../../../src/limits.ts';
import { CAST, NOW_MS, admissionOf, admitTo, enrol, putMandate } from '../stage.ts';
import { type OpenStore, accepted, close, decline, factsFor, follow, opened } from './acts.ts';
import { nextCounter, recounted, revocationOf, send, start, succeed } from './acts.ts';
import { total, usageOf, yuan } from './acts.ts';

const OTHER = new Uint8Array(16).fill(9);

export function describeRevokes(name: string, open: OpenStore): void {
  describe(`${name}: revokes`, () => {
    test('one mandate ends, its siblings go on', async () => {
      const { store, ids } = await opened(open, {}, { epoch: 2 });
      const [one, other] = ids as [string, string];
      const ended = await store.revoke(await revocationOf({ mandate: one }));
      expect(ended).toEqual({ running: [], refused: [], receipt: undefined });
      expect((await store.mandate(one, NOW_MS))?.status).toBe('revoked');
      expect((await send(store, { mandate: one })).refusal).toBe('revoked');
      expect((await send(store, { mandate: other })).refusal).toBeUndefined();
    });

    test('every mandate below an epoch ends, those of it and above go on', async () => {
      const { store, ids } = await opened(open, { epoch: 1 }, { epoch: 2 }, { epoch: 3 });
      await store.revoke(await revocationOf({ epoch: 2 }));
      const statuses = [];
      for (const id of ids) statuses.push((await store.mandate(id, NOW_MS))?.status);
      expect(statuses).toEqual(['revoked', 'active', 'active']);
    });

    test('a mandate of an epoch that is over is refused when it comes later', async () => {
      const { store } = await opened(open, { epoch: 3 });
      await store.revoke(await revocationOf({ epoch: 3 }));
      await expect(putMandate(store, { epoch: 2 })).rejects.toMatchObject({ reason: 'revoked' });
      const good = await putMandate(store, { epoch: 3, gap: 1 });
      expect((await store.mandate(good, NOW_MS))?.status).toBe('active');
      await store.revoke(await revocationOf({ epoch: 1 }));
      await expect(putMandate(store, { epoch: 2 }), 'it never falls').rejects.toMatchObject({
        reason: 'revoked',
      });
    });

    test('the same revoke again changes nothing and gets its stored receipt', async () => {
      const { store, mandate } = await opened(open, {});
      const running = await start(store, await accepted(store, { mandate }));
      const revocation = await revocationOf({ mandate });
      const first = await store.revoke(revocation);
      expect(first).toEqual({ running: [running.id], refused: [], receipt: undefined });
      const again = await store.revoke(revocation);
      expect(again, 'nobody has signed yet').toEqual(first);
      const [one, two] = [Uint8Array.of(1), Uint8Array.of(2)];
      expect(await store.putRevokeReceipt(revocation.id, one, NOW_MS)).toEqual(one);
      expect(await store.putRevokeReceipt(revocation.id, two, NOW_MS)).toEqual(one);
      await succeed(store, running);
      expect(await store.revoke(revocation)).toEqual({ ...first, receipt: one });
    });

    test.each(['mandate', 'epoch'] as const)('another payer’s %s is untouched', async (kind) => {
      const { store, mandate } = await opened(open, {});
      const target = kind === 'mandate' ? { mandate } : { epoch: 9 };
      const asked = store.revoke(await revocationOf(target, { payer: OTHER }));
      if (kind === 'mandate')
        await expect(asked).rejects.toMatchObject({ reason: 'mandate_unknown' });
      else expect(await asked).toMatchObject({ running: [], refused: [] });
      expect((await store.mandate(mandate, NOW_MS))?.status).toBe('active');
      expect((await send(store, { mandate })).refusal).toBeUndefined();
    });

    test('a mandate that was never seen is answered like another payer’s', async () => {
      const { store } = await opened(open);
      const asked = store.revoke(await revocationOf({ mandate: 'ee'.repeat(16) }));
      await expect(asked).rejects.toMatchObject({ reason: 'mandate_unknown' });
    });

    test('an epoch that leaps is refused and changes nothing; the last step is good', async () => {
      const { store, mandate } = await opened(open, { epoch: 7 });
      const leap = store.revoke(await revocationOf({ epoch: 7 + EPOCH_STEP_MAX + 1 }));
      await expect(leap).rejects.toMatchObject({ reason: 'malformed' });
      expect((await store.mandate(mandate, NOW_MS))?.status).toBe('active');
      await store.revoke(await revocationOf({ epoch: 7 + EPOCH_STEP_MAX }));
      expect((await store.mandate(mandate, NOW_MS))?.status).toBe('revoked');
      const further = await revocationOf({ epoch: 7 + 2 * EPOCH_STEP_MAX });
      expect(await store.revoke(further), 'from the epoch that is in use now').toBeDefined();
    });

    test('a leap is measured from what the wallet signed, not from a child’s epoch', async () => {
      const { store, mandate } = await opened(open, { epoch: 7 });
      await putMandate(store, { parent: mandate, epoch: 7 + 9 * EPOCH_STEP_MAX }, 'glasses');
      const leap = store.revoke(await revocationOf({ epoch: 7 + EPOCH_STEP_MAX + 1 }));
      await expect(leap).rejects.toMatchObject({ reason: 'malformed' });
      await store.revoke(await revocationOf({ epoch: 7 + EPOCH_STEP_MAX }));
      expect((await store.mandate(mandate, NOW_MS))?.status).toBe('revoked');
    });

    test('a hold is told as long as something of it is held, and no longer', async () => {
      const { store, mandate } = await opened(open, {});
      const held = async () =>
        succeed(store, await accepted(store, { mandate, action: 'hold', amount: yuan(20_00n) }));
      const [kept, captured, voided, acted] = [
        await held(),
        await held(),
        await held(),
        await held(),
      ];
      await succeed(store, await accepted(store, follow('capture', captured.id, 1_00n), 'kiosk'));
      await succeed(store, await accepted(store, follow('void', voided.id, 20_00n), 'kiosk'));
      await start(store, await accepted(store, follow('capture', acted.id, 20_00n), 'kiosk'));
      const { running, refused } = await store.revoke(await revocationOf({ mandate }));
      expect([...running].sort()).toEqual([kept.id, acted.id].sort());
      expect(refused).toEqual([]);
    });

    test('a child ends with its parent, whatever its own epoch', async () => {
      const { store, mandate } = await opened(open, { epoch: 1 });
      const child = await putMandate(store, { parent: mandate, epoch: 9 }, 'glasses');
      const waiting = await accepted(store, { mandate: child });
      const ended = await store.revoke(await revocationOf({ mandate }));
      expect(ended.refused).toEqual([waiting.id]);
      expect((await send(store, { mandate: child })).refusal).toBe('revoked');
    });

    test('what has no attempt is refused, what has one and what is held is told', async () => {
      const { store, mandate, ids } = await opened(open, {}, { epoch: 2 });
      const waiting = await accepted(store, { mandate });
      const attempted = await start(store, await accepted(store, { mandate }));
      const held = await succeed(store, await accepted(store, { mandate, action: 'hold' }));
      const over = await succeed(store, await accepted(store, { mandate }));
      const declined = await decline(store, await accepted(store, { mandate }));
      const other = await accepted(store, { mandate: ids[1]! });
      const { running, refused } = await store.revoke(await revocationOf({ mandate }));
      expect(refused).toEqual([waiting.id]);
      expect(new Set(running)).toEqual(new Set([attempted.id, held.id]));
      expect((await store.run(waiting.id))?.refusal).toBe('revoked');
      expect(await start(store, waiting), 'no attempt any more').toMatchObject({ attempts: [] });
      for (const run of [over, declined]) expect(running).not.toContain(run.id);
      expect(await store.run(other.id)).toEqual(other);
      await close(store, (await store.run(waiting.id))!);
      expect(await usageOf(store, mandate)).toEqual([{ amount: 30_00n, count: 3 }]);
      expect(await recounted(store)).toEqual([]);
    });

    test('a revoke tells of its own mandates, not of those that ended before', async () => {
      const { store, ids } = await opened(open, {}, { epoch: 2 });
      const [one, other] = ids as [string, string];
      await start(store, await accepted(store, { mandate: one }));
      const second = await start(store, await accepted(store, { mandate: other }));
      await store.revoke(await revocationOf({ mandate: one }));
      const ended = await store.revoke(await revocationOf({ mandate: other }));
      expect(ended.running).toEqual([second.id]);
    });

    test('a revoke of everything tells also what runs under mandates that had ended', async () => {
      const { store, ids } = await opened(open, { epoch: 1 }, { epoch: 2 });
      const runs = [];
      for (const mandate of ids) runs.push(await start(store, await accepted(store, { mandate })));
      await store.revoke(await revocationOf({ mandate: ids[0]! }));
      const ended = await store.revoke(await revocationOf({ epoch: 3 }));
      expect(new Set(ended.running)).toEqual(new Set(runs.map(({ id }) => id)));
    });

    test('no more than so many are told, the latest ones', async () => {
      const { store, mandate } = await opened(open, { cnf: CAST.glasses.key.name });
      const ids: string[] = [];
      for (let i = 0; i < RUNNING_TOLD_MAX + 2; i++) {
        const counter = nextCounter(store);
        const admission = await admissionOf(
          { mandate, counter, amount: yuan(1n), action: 'hold' },
          NOW_MS + i,
        );
        ids.push((await succeed(store, (await admitTo(store, admission)).run)).id);
      }
      const { running } = await store.revoke(await revocationOf({ mandate }));
      expect(running).toEqual(ids.slice(2).reverse());
    });

    test('what was held may still be captured by the payee, voided and refunded', async () => {
      const { store, mandate } = await opened(open, {});
      const held = async () =>
        succeed(store, await accepted(store, { mandate, action: 'hold', amount: yuan(20_00n) }));
      const [one, two, three] = [await held(), await held(), await held()];
      await store.revoke(await revocationOf({ mandate }));
      const own = await send(store, { ...follow('capture', one.id, 20_00n), mandate });
      expect(own.refusal, 'by the key that held it: no more').toBe('revoked');
      await succeed(store, await accepted(store, follow('capture', one.id, 5_00n), 'kiosk'));
      await succeed(store, await accepted(store, follow('void', two.id, 20_00n), 'kiosk'));
      await succeed(store, await accepted(store, follow('refund', one.id, 5_00n), 'kiosk'));
      expect(await usageOf(store, mandate)).toEqual([{ amount: 25_00n, count: 2 }]);
      expect(three.outcome).toBe('held');
      expect(await recounted(store)).toEqual([]);
    });

    test('in any order: once a revoke has resolved nothing under it is accepted', async () => {
      const act = fc.oneof(
        { weight: 6, arbitrary: fc.record({ pay: fc.nat(5), late: fc.boolean() }) },
        { weight: 2, arbitrary: fc.record({ end: fc.nat(5) }) },
        { weight: 1, arbitrary: fc.record({ epoch: fc.integer({ min: 1, max: 4 }) }) },
        { weight: 1, arbitrary: fc.record({ wait: fc.constant(true) }) },
      );
      await fc.assert(
        fc.asyncProperty(fc.array(act, { maxLength: 30 }), async (acts) => {
          const windows = [total(1_000_00n, 1_000)];
          const epochs = [1, 2, 3];
          const { store, ids } = await opened(open, ...epochs.map((epoch) => ({ epoch, windows })));
          for (const [i, parent] of [...ids].entries()) {
            ids.push(await putMandate(store, { parent, epoch: 5 - i, windows }, 'glasses'));
          }
          /** Mandates under which nothing may be accepted from now on. */
          const dead = new Set<string>();
          const kill = (index: number) => {
            dead.add(ids[index]!);
            if (index < 3) dead.add(ids[index + 3]!);
          };
          const going: Promise<unknown>[] = [];
          for (const one of acts) {
            if ('pay' in one) {
              const mandate = ids[one.pay]!;
              const counter = nextCounter(store);
              const admission = await admissionOf({ mandate, counter, amount: yuan(1n) });
              const wasDead = dead.has(mandate);
              const admitted = admitTo(store, admission).then(async ({ run }) => {
                if (wasDead) expect(run.refusal).toBe('revoked');
                if (!one.late || run.refusal) return;
                const started = await start(store, run);
                if (started.attempts.length > 0) await succeed(store, started);
                else await close(store, started);
              });
              going.push(admitted);
            } else if ('end' in one) {
              const mandate = ids[one.end]!;
              const iat = NOW_MS / 1000 + going.length;
              const revocation = await revocationOf({ mandate }, { iat });
              going.push(store.revoke(revocation).then(() => kill(one.end)));
            } else if ('epoch' in one) {
              const iat = NOW_MS / 1000 + going.length;
              const revocation = await revocationOf({ epoch: one.epoch }, { iat });
              const below = [1, 2, 3, 5, 4, 3].flatMap((e, i) => (e < one.epoch ? [i] : []));
              going.push(store.revoke(revocation).then(() => below.forEach(kill)));
            } else {
              await Promise.all(going.splice(0));
            }
          }
          await Promise.all(going);
          for (const mandate of dead) {
            expect((await send(store, { mandate, amount: yuan(1n) })).refusal).toBe('revoked');
          }
          expect(await recounted(store)).toEqual([]);
          await store.close();
        }),
        { numRuns: process.env['SAYTAP_FULL'] ? 300 : 25 },
      );
    });
  });

  describe(`${name}: statuses`, () => {
    test('of a mandate: suspended and back, and revoked for good', async () => {
      const { store, mandate } = await opened(open, {});
      const set = (status: 'active' | 'suspended' | 'revoked') =>
        store.setMandateStatus(mandate, status, NOW_MS);
      const paid = async () => (await send(store, { mandate })).refusal;
      expect(await set('active'), 'it is so already').toBe(false);
      expect(await set('suspended')).toBe(true);
      expect(await set('suspended')).toBe(false);
      expect(await paid()).toBe('suspended');
      expect(await set('active')).toBe(true);
      expect(await paid()).toBeUndefined();
      expect(await set('revoked')).toBe(true);
      for (const status of ['active', 'suspended', 'revoked'] as const) {
        expect(await set(status)).toBe(false);
      }
      expect(await paid()).toBe('revoked');
      const rows = (await store.evidence(mandate)).map(({ kind, body }) => [
        kind,
        kind === 'status' ? (JSON.parse(new TextDecoder().decode(body)) as unknown) : undefined,
      ]);
      expect(rows).toEqual([
        ['mandate', undefined],
        ['status', { status: 'suspended' }],
        ['status', { status: 'active' }],
        ['status', { status: 'revoked' }],
      ]);
      expect(await store.setMandateStatus('ee'.repeat(16), 'revoked', NOW_MS)).toBe(false);
    });

    test('of a mandate that was revoked: it stays so when it comes again', async () => {
      const { store, mandate } = await opened(open, {});
      await store.revoke(await revocationOf({ mandate }));
      expect(await putMandate(store, {})).toBe(mandate);
      expect((await store.mandate(mandate, NOW_MS))?.status).toBe('revoked');
    });

    test('of a key: suspended and back, revoked for good, also by a new statement', async () => {
      const { store } = await opened(open);
      const { name: key } = CAST.glasses.key;
      const set = (status: 'active' | 'suspended' | 'revoked') =>
        store.setIdentityStatus(key, status, NOW_MS);
      expect(await set('active')).toBe(false);
      expect(await set('suspended')).toBe(true);
      expect((await factsFor(store, {})).identity.status).toBe('suspended');
      expect(await set('active')).toBe(true);
      expect(await set('revoked')).toBe(true);
      expect(await set('active')).toBe(false);
      expect(await set('suspended')).toBe(false);
      await enrol(store, ['glasses']);
      expect((await store.identity(key))?.status).toBe('revoked');
      expect(await store.setIdentityStatus('ee'.repeat(32), 'revoked', NOW_MS)).toBe(false);
    });

    test('keys and mandates are listed in pages, in the order of their names', async () => {
      const { store, ids } = await opened(open, {}, { epoch: 2 }, { epoch: 3 });
      const names = Object.values(CAST)
        .map(({ key }) => key.name)
        .filter((key) => key !== CAST.root.key.name && key !== CAST.stranger.key.name)
        .sort();
      const first = await store.identities('', 3);
      const rest = await store.identities(first.at(-1)!.name, 99);
      expect([...first, ...rest].map((identity) => identity.name)).toEqual(names);
      const listed = async (payer: string | undefined, after: string, count: number) =>
        (await store.mandates({ payer, after, count }, NOW_MS)).map(({ id }) => id);
      const sorted = [...ids].sort();
      expect(await listed(undefined, '', 2)).toEqual(sorted.slice(0, 2));
      expect(await listed('07'.repeat(16), sorted[1]!, 9)).toEqual(sorted.slice(2));
      expect(await listed('09'.repeat(16), '', 9)).toEqual([]);
    });

    test('a parent has so many children and no more', async () => {
      const { store, mandate } = await opened(open, {});
      const child = (epoch: number) => putMandate(store, { parent: mandate, epoch }, 'glasses');
      const first = await child(1);
      await Promise.all(Array.from({ length: CHILDREN_MAX - 1 }, (_, i) => child(i + 2)));
      await expect(child(CHILDREN_MAX + 1)).rejects.toMatchObject({ reason: 'rate_limited' });
      expect(await child(1), 'one that is there is no further one').toBe(first);
    });
  });
}
