/**
 * What a person says about a key that asks to be enrolled, and the Key statement that follows.
 *
 * Bridge and command make the same statement out of the same words, so that a root which signs on
 * another machine signs what the bridge expects.
 */
import * as z from 'zod/mini';
import { fromHex, toHex } from './bytes.ts';
import { OperatorError, PaymentError } from './errors.ts';
import type { VerifyKey } from './keys.ts';
import { CLOCK_SKEW_S, STATEMENT_DAYS } from './limits.ts';
import type { Enrol } from './objects/enrol.ts';
import { type KeyStatement, type Presence, ROLES, type Role } from './objects/key.ts';
import { statementOf } from './root.ts';
import { isDeviceName } from './topics.ts';

/** What a person says about a key that is approved; what is left out is as it proposes itself. */
export const SAID = z.strictObject({
  role: z.optional(z.enum(Object.keys(ROLES) as [Role, ...Role[]])),
  device: z.optional(z.string().check(z.regex(/^[\w-]{1,64}$/))),
  payee: z.optional(z.string().check(z.regex(/^[\w-]{1,64}$/))),
  terminal: z.optional(z.string().check(z.regex(/^[\w-]{1,64}$/))),
  names: z.optional(z.array(z.tuple([z.string(), z.string()]))),
  category: z.optional(z.int().check(z.minimum(0), z.maximum(9_999))),
  /** Hex of the payer's pseudonym. */
  payer: z.optional(z.string().check(z.regex(/^[0-9a-f]{32}$/))),
  presence: z.optional(z.int().check(z.minimum(0), z.maximum(4))),
  days: z.optional(z.int().check(z.minimum(1), z.maximum(3_660))),
});
export type Said = Readonly<z.infer<typeof SAID>>;

/** What a person says when they say again what is stated already. */
export function saidOf(statement: KeyStatement): Said {
  const { role, device, payee, terminal, names, category, payer, presenceMax } = statement;
  return {
    role,
    presence: presenceMax,
    days: Math.max(1, Math.round(lifeOf(statement) / DAY_S)),
    ...(device !== undefined && { device }),
    ...(payee !== undefined && { payee }),
    ...(terminal !== undefined && { terminal }),
    ...(names && { names: names.map(([language, name]): [string, string] => [language, name]) }),
    ...(category !== undefined && { category }),
    ...(payer && { payer: toHex(payer) }),
  };
}

/**
 * What the root is to state about a key. Throws OperatorError `usage` for what its role must not or
 * must have.
 */
export function statementFor(
  key: Pick<VerifyKey, 'public'>,
  asked: Pick<Enrol, 'role' | 'device'>,
  said: Said,
  nowMs: number,
): KeyStatement {
  const nowS = Math.floor(nowMs / 1000);
  const role = said.role ?? asked.role;
  if (role === 'bridge') throw new PaymentError('role_forbidden', 'no bridge enrols here');
  const device = said.device ?? (role === 'wallet' ? undefined : asked.device);
  if (device !== undefined && !isDeviceName(device)) {
    throw new OperatorError('usage', `no device is called ${device}: choose another name`);
  }
  const { payee, terminal, names, category, payer, presence } = said;
  return statementOf({
    key: key.public,
    role,
    nbf: nowS - CLOCK_SKEW_S,
    exp: nowS + (said.days ?? STATEMENT_DAYS) * DAY_S,
    ...(device !== undefined && { device }),
    ...(payee !== undefined && { payee }),
    ...(terminal !== undefined && { terminal }),
    ...(names && { names }),
    ...(category !== undefined && { category }),
    ...(payer !== undefined && { payer: fromHex(payer) }),
    ...(presence !== undefined && { presence: presence as Presence }),
  });
}

/** Seconds that a statement like this one holds. */
export function lifeOf({ nbf, exp }: KeyStatement): number {
  return Math.min(exp - nbf, STATEMENT_DAYS * DAY_S);
}

const DAY_S = 86_400;
