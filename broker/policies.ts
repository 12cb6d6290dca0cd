/**
 * The policies that the root signed: which of them bind a payment, and that no version ever falls.
 *
 * The newest policy of every scope is kept in the store, so that neither an older file nor a file
 * that is gone loosens anything; only the root can, with a higher version. A policy that is over
 * binds no more, but without a platform's policy in force nothing is allowed at all.
 */
import type { Realm } from '../src/cose.ts';
import { PaymentError } from '../src/errors.ts';
import type { VerifyKey } from '../src/keys.ts';
import { open } from '../src/objects/kind.ts';
import { type Policy, type PolicyScope, policy as policyKind } from '../src/objects/policy.ts';
import type { Store } from './store/port.ts';

/**
 * Takes in one signed policy. Throws what `open` throws, and `downgrade_refused` for a version
 * below one that was seen.
 */
export async function takePolicy(
  parts: Readonly<{ store: Store; realm: Realm; root: VerifyKey }>,
  envelope: Uint8Array,
  nowMs: number,
): Promise<void> {
  const { value } = open(policyKind, envelope, parts.realm, () => parts.root);
  const scope = scopeName(value.scope);
  const seen = await parts.store.putPolicy(scope, value.version, envelope, nowMs);
  if (seen <= value.version) return;
  throw new PaymentError(
    'downgrade_refused',
    `version ${value.version} of the policy for ${scope}, but version ${seen} was seen: ` +
      `put that one back, or have the root sign version ${seen + 1}`,
  );
}

/** Every scope's newest policy. Throws what `open` throws for one that is not this root's. */
export async function keptPolicies(
  parts: Readonly<{ store: Store; realm: Realm; root: VerifyKey }>,
): Promise<readonly Policy[]> {
  const kept = await parts.store.policies();
  return kept.map((envelope) => open(policyKind, envelope, parts.realm, () => parts.root).value);
}

/**
 * The policies in force that bind what a device does, or is paid to a payee; none at all, which
 * allows nothing, unless the platform's is among them.
 */
export function policiesFor(
  policies: readonly Policy[],
  about: Readonly<{ device: string | undefined; payee: string | undefined }>,
  nowMs: number,
): readonly Policy[] {
  const binding = policies.filter(
    ({ scope, exp }) => (exp === undefined || nowMs / 1000 < exp) && binds(scope, about),
  );
  return binding.some(({ scope }) => scope.kind === 'platform') ? binding : [];
}

/** A scope in words; also its name in the store. */
export function scopeName(scope: PolicyScope): string {
  switch (scope.kind) {
    case 'platform':
      return 'the platform';
    case 'merchant':
      return `payee ${scope.payee}`;
    case 'device':
      return `device ${scope.device}`;
  }
}

function binds(scope: PolicyScope, about: Parameters<typeof policiesFor>[1]): boolean {
  switch (scope.kind) {
    case 'platform':
      return true;
    case 'merchant':
      return scope.payee === about.payee;
    case 'device':
      return scope.device === about.device;
  }
}
