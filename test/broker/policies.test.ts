/** Policies: the newest of every scope counts for good, and only those in force that bind. */
import { expect, test } from 'vitest';
import { keptPolicies, policiesFor, scopeName, takePolicy } from '../../broker/policies.ts';
import { createSqliteStore } from '../../broker/store/sqlite.ts';
import { random, timers } from '../../src/node/platform.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import { type Policy, policy as policyKind } from '../../src/objects/policy.ts';
import { CAST, NOW_MS, NOW_S, POLICY, REALM, type Role, sealed } from './stage.ts';

const MERCHANT: Policy['scope'] = { kind: 'merchant', payee: 'cafe' };
const DEVICE: Policy['scope'] = { kind: 'device', device: 'kiosk' };

function prepared() {
  const store = createSqliteStore(openDatabase(':memory:'), timers, random);
  const parts = { store, realm: REALM, root: CAST.root.key };
  const take = async (changes: Partial<Policy>, signer: Role = 'root') => {
    const { envelope } = await sealed(policyKind, { ...POLICY, ...changes }, CAST[signer]);
    return takePolicy(parts, envelope, NOW_MS).then(
      () => 'taken',
      (error: { reason: string }) => error.reason,
    );
  };
  const kept = async () =>
    (await keptPolicies(parts)).map(({ scope, version }) => [scopeName(scope), version]);
  return { take, kept };
}

test('a version never falls; every scope has its own', async () => {
  const { take, kept } = prepared();
  expect(await take({ version: 3 })).toBe('taken');
  expect(await take({ version: 1, scope: MERCHANT })).toBe('taken');
  expect(await take({ version: 2 })).toBe('downgrade_refused');
  expect(await take({ version: 3 })).toBe('taken');
  expect(await take({ version: 4 })).toBe('taken');
  expect(await take({ version: 9, scope: DEVICE })).toBe('taken');
  expect(await kept()).toEqual([
    ['device kiosk', 9],
    ['payee cafe', 1],
    ['the platform', 4],
  ]);
});

test('only the root’s word counts', async () => {
  const { take, kept } = prepared();
  expect(await take({}, 'bridge')).toBe('bad_signature');
  expect(await kept()).toEqual([]);
});

test('those that bind: of the platform, of this payee, of this device, and in force', () => {
  const all = [
    POLICY,
    { ...POLICY, scope: MERCHANT, exp: NOW_S + 1 },
    { ...POLICY, scope: DEVICE },
  ] as const;
  const bind = (device: string | undefined, payee: string | undefined, nowMs = NOW_MS) =>
    policiesFor(all, { device, payee }, nowMs).map(({ scope }) => scope.kind);
  expect(bind('kiosk', 'cafe')).toEqual(['platform', 'merchant', 'device']);
  expect(bind('till', 'cafe')).toEqual(['platform', 'merchant']);
  expect(bind('kiosk', 'bazaar')).toEqual(['platform', 'device']);
  expect(bind(undefined, undefined)).toEqual(['platform']);
  expect(bind('till', 'cafe', NOW_MS + 999)).toEqual(['platform', 'merchant']);
  expect(bind('till', 'cafe', NOW_MS + 1_000)).toEqual(['platform']);
});

test('without a platform’s policy in force none is enough', () => {
  const device = { ...POLICY, scope: DEVICE };
  const about = { device: 'kiosk', payee: 'cafe' };
  expect(policiesFor([device], about, NOW_MS)).toEqual([]);
  expect(policiesFor([{ ...POLICY, exp: NOW_S }, device], about, NOW_MS)).toEqual([]);
});
