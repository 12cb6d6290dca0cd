/**
 * Whom a device believes: the root that it pinned, and through it the bridge and the terminals.
 *
 * Everything that reaches a device from outside (receipts, ticks, orders) is opened here, and the
 * names that a person is shown come from the terminals' Key statements and from nowhere else.
 */
import { bytesEqual } from '../src/bytes.ts';
import type { Realm } from '../src/cose.ts';
import { PaymentError } from '../src/errors.ts';
import { type VerifyKey, loadKey } from '../src/keys.ts';
import { type KeyStatement, keyStatement } from '../src/objects/key.ts';
import { type Kind, type Verified, open } from '../src/objects/kind.ts';
import { type Order, order as orderKind } from '../src/objects/order.ts';
import { type Policy, type PolicyScope, policy as policyKind } from '../src/objects/policy.ts';
import type { Payee } from './payees.ts';

export type Trust = Readonly<{
  /** Opens an object that only the bridge may sign. */
  openFromBridge: <T>(kind: Kind<T>, envelope: Uint8Array) => Verified<T>;
  /** Opens an Order by the terminal that it names; throws `order_mismatch` for another's. */
  openOrder: (envelope: Uint8Array) => Verified<Order>;
  /** The policies that bind a payment to this payee on this device; the strictest of them wins. */
  policies: (payee: string) => readonly Policy[];
  /** The payees of all known terminals. */
  payees: readonly Payee[];
  /** The statements of a payee's known terminals that count now. */
  terminals: (payee: string) => readonly KeyStatement[];
}>;

/**
 * Reads statements and policies; throws what `open` throws for the first that does not hold, and
 * `malformed` without a policy of the platform. Of the policies of one scope the one of the highest
 * version counts. Once `trustedMs` is known, only statements that are valid at that time count.
 */
export function createTrust(
  realm: Realm,
  root: VerifyKey,
  statements: readonly Uint8Array[],
  policies: readonly Uint8Array[],
  trustedMs: () => number | undefined,
  device?: string,
): Trust {
  const known = statements.map((envelope) => {
    const { value } = open(keyStatement, envelope, realm, () => root);
    return { statement: value, key: loadKey(value.key) };
  });
  /** Before the first tick no time is known; the tick itself must be believed then. */
  const isValid = ({ nbf, exp }: KeyStatement) => {
    const nowMs = trustedMs();
    return nowMs === undefined || (nbf * 1000 <= nowMs && nowMs < exp * 1000);
  };
  const keyOf = (role: KeyStatement['role'], kid: Uint8Array) =>
    known.find(
      ({ statement, key }) =>
        statement.role === role && bytesEqual(key.kid, kid) && isValid(statement),
    );

  const payees = new Map<string, Payee>();
  for (const { statement } of known) {
    if (statement.role !== 'terminal' || payees.has(statement.payee!)) continue;
    payees.set(statement.payee!, { id: statement.payee!, names: statement.names! });
  }
  const newest = new Map<string, Policy>();
  for (const envelope of policies) {
    const { value } = open(policyKind, envelope, realm, () => root);
    const scope = JSON.stringify(value.scope);
    if ((newest.get(scope)?.version ?? 0) < value.version) newest.set(scope, value);
  }
  if (![...newest.values()].some(({ scope }) => scope.kind === 'platform')) {
    throw new PaymentError('malformed', 'there is no policy of the platform');
  }
  return {
    openFromBridge: (kind, envelope) =>
      open(kind, envelope, realm, (kid) => keyOf('bridge', kid)?.key),
    openOrder(envelope) {
      let signer: KeyStatement | undefined;
      const verified = open(orderKind, envelope, realm, (kid) => {
        const terminal = keyOf('terminal', kid);
        signer = terminal?.statement;
        return terminal?.key;
      });
      const { payee, terminal } = verified.value;
      if (signer?.payee !== payee || signer.terminal !== terminal) {
        throw new PaymentError('order_mismatch', 'the order names another terminal than signed it');
      }
      return verified;
    },
    policies: (payee) => [...newest.values()].filter(({ scope }) => binds(scope, payee, device)),
    payees: [...payees.values()],
    terminals: (payee) =>
      known
        .map(({ statement }) => statement)
        .filter((one) => one.role === 'terminal' && one.payee === payee && isValid(one)),
  };
}

function binds(scope: PolicyScope, payee: string, device: string | undefined): boolean {
  switch (scope.kind) {
    case 'platform':
      return true;
    case 'merchant':
      return scope.payee === payee;
    case 'device':
      return scope.device === device;
  }
}
