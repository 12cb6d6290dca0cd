/**
 * How many keys one person may have: room for a phone or a device more, or a refusal.
 *
 * Only what a person approves is counted against it, here, before anybody signs. A statement that
 * the operator's root has signed already is never turned away: it would keep a bridge from
 * starting.
 */
import type { Said } from '../src/approval.ts';
import { toHex } from '../src/bytes.ts';
import { PaymentError } from '../src/errors.ts';
import { DEVICES_PER_PAYER_MAX, WALLETS_PER_PAYER_MAX } from '../src/limits.ts';
import type { KeyStatement } from '../src/objects/key.ts';
import type { Store } from './store/port.ts';

/**
 * That the person whom a key would belong to may have one more of its sort, beside those of `own`:
 * the key itself and the one whose place it takes. What waits for the root counts as well. Throws
 * `rate_limited`.
 */
export async function requireRoom(
  store: Pick<Store, 'keysOf' | 'enrolments'>,
  { payer, role }: Pick<KeyStatement, 'payer' | 'role'>,
  own: readonly (string | undefined)[],
  nowMs: number,
): Promise<void> {
  if (!payer) return;
  const person = toHex(payer);
  const isWallet = role === 'wallet';
  const counts = (name: string, its: string | undefined) =>
    !own.includes(name) && (its === 'wallet') === isWallet;

  const keys = (await store.keysOf(person)).filter(
    ({ name, status, place, statement }) =>
      status === 'active' &&
      place === undefined &&
      nowMs / 1000 < statement.exp &&
      counts(name, statement.role),
  );
  const unsigned = (await store.enrolments(nowMs)).filter(({ key, said }) => {
    const about = said === undefined ? undefined : (JSON.parse(said) as Said);
    return about?.payer === person && counts(key, about.role);
  });
  const most = isWallet ? WALLETS_PER_PAYER_MAX : DEVICES_PER_PAYER_MAX;
  if (keys.length + unsigned.length < most) return;
  throw new PaymentError(
    'rate_limited',
    isWallet
      ? `this person has ${most} phones already: block one that is not used, on the wallet page`
      : `this person has ${most} devices already: end one that is not used, by saytap device ` +
          'revoke NAME or on the wallet page',
  );
}
