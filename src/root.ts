/**
 * The operator's root: what it states about a key, and the policies that it signs.
 *
 * A root signs a handful of times a year, offline, by hand. So everything here is checked before
 * the root's key is touched, and refused in words that name what is missing; the codec's own rules
 * (src/objects/key.ts) would refuse the same, but only after that and for a programmer.
 */
import * as z from 'zod/mini';
import { decodeCbor } from './cbor.ts';
import { parseConfig } from './config.ts';
import { type Realm, type Signer, payloadOf } from './cose.ts';
import { OperatorError, PaymentError } from './errors.ts';
import { type PublicKey, type VerifyKey, sameKey, thumbprint } from './keys.ts';
import { BANDS_MAX, BRIDGE_OVERLAP_S, CLOCK_SKEW_S, STATEMENT_DAYS } from './limits.ts';
import { CURRENCIES, parseDecimal } from './money.ts';
import { type KeyStatement, type Presence, type Role, keyStatement } from './objects/key.ts';
import { open, seal } from './objects/kind.ts';
import { type Policy, type PolicyScope, policy as policyKind } from './objects/policy.ts';

/** What an operator says about a key; what is left out gets the usual of its role. */
export type Asked = Readonly<{
  key: PublicKey;
  role: Role;
  /** Its name in topics. */
  device?: string;
  payee?: string;
  terminal?: string;
  names?: readonly (readonly [language: string, name: string])[];
  category?: number;
  payer?: Uint8Array;
  presence?: Presence;
  /** Seconds since 1970; see `validityOf`. */
  nbf: number;
  exp: number;
}>;

type Field = 'device' | 'payee' | 'terminal' | 'names' | 'category' | 'payer' | 'presence';

/** What each role must have and may have, and how present its requests count at most. */
const ROLE_RULES: Readonly<
  Record<Role, Readonly<{ needs: readonly Field[]; may: readonly Field[]; presence: Presence }>>
> = {
  bridge: { needs: [], may: [], presence: 0 },
  terminal: {
    needs: ['device', 'payee', 'terminal', 'names'],
    may: ['category', 'presence'],
    // What it may collect with a tag; nothing without a wallet's mandate for its own key.
    presence: 1,
  },
  device: { needs: ['device'], may: ['payer', 'presence'], presence: 2 },
  wallet: { needs: ['payer'], may: ['presence'], presence: 4 },
  agent: { needs: ['device'], may: ['payer', 'presence'], presence: 0 },
};

/** How a person gives each field, for refusals. */
const FIELD_WORDS: Readonly<Record<Field, string>> = {
  device: '--device (its name in topics)',
  payee: '--payee (who is paid there)',
  terminal: '--terminal (which till it is)',
  names: '--name (what people are shown, as en="Luckin Coffee")',
  category: '--category',
  payer: '--payer or --new-payer (whose it is)',
  presence: '--presence',
};

/** The statement that is asked for. Throws OperatorError `usage` naming all that is wrong. */
export function statementOf(asked: Asked): KeyStatement {
  const rules = ROLE_RULES[asked.role];
  const article = asked.role === 'agent' ? 'an' : 'a';
  const fields = Object.keys(FIELD_WORDS) as Field[];
  const missing = fields.filter(
    (field) => rules.needs.includes(field) && asked[field] === undefined,
  );
  const foreign = fields.filter(
    (field) =>
      asked[field] !== undefined && !rules.needs.includes(field) && !rules.may.includes(field),
  );
  const faults = [
    ...(missing.length === 0 ? [] : [`needs ${missing.map((f) => FIELD_WORDS[f]).join(', ')}`]),
    ...foreign.map((field) => `has no ${FIELD_WORDS[field].replace(/ \(.*/, '')}`),
  ];
  if (faults.length > 0) {
    throw new OperatorError('usage', `${article} ${asked.role} ${faults.join(' and ')}`);
  }
  if (asked.nbf >= asked.exp) {
    throw new OperatorError('usage', 'it would end before it begins: give a later --until');
  }
  const { presence, ...rest } = asked;
  return { ...rest, presenceMax: presence ?? rules.presence };
}

/** Signs a statement about a key. Throws `malformed` for a value that the codec refuses. */
export function signStatement(
  statement: KeyStatement,
  realm: Realm,
  root: Signer,
): Promise<Uint8Array> {
  return seal(keyStatement, statement, realm, root);
}

/** When a statement holds, as a person says it: a length, or a begin and an end. */
export type Span = Readonly<{ from?: number; until?: number; days?: number }>;

/**
 * Begin and end of a statement in seconds. One that renews another of the same key keeps its begin.
 * A first one begins a little ago, because clocks differ; but where `others` holds a statement for
 * another bridge key that has not ended, BRIDGE_OVERLAP_S from now, so that every device can have
 * it before the bridge signs with that key. `isUrgent` (the old key is stolen) leaves this out,
 * also for a key whose statement waits for its begin: it begins at once, after all others.
 * Throws OperatorError `usage` for a begin that is too early.
 */
export function validityOf(
  about: Pick<KeyStatement, 'role' | 'key'>,
  span: Span,
  nowS: number,
  others: readonly KeyStatement[],
  isUrgent: boolean,
): Readonly<{ nbf: number; exp: number }> {
  const renewed = renewedBy(about, nowS, others);
  const running = others.filter(
    (one) => isRunning(one, about.role, nowS) && !hasKey(one, about.key),
  );
  const isBegun = renewed !== undefined && renewed.nbf <= nowS;
  const isSecond = about.role === 'bridge' && running.length > 0;
  const earliest =
    isSecond && !isUrgent && !isBegun
      ? Math.min(renewed?.nbf ?? Infinity, nowS + BRIDGE_OVERLAP_S)
      : 0;
  if (span.from !== undefined && span.from < earliest) {
    throw new OperatorError(
      'usage',
      `a second bridge key begins at least ${BRIDGE_OVERLAP_S / 3600} hours from now, when ` +
        'every device has its statement: leave out --from, or say --now if the old key is stolen',
    );
  }
  // The bridge takes the key whose statement began last, so a new one never begins with another.
  const begun = isSecond ? running.map(({ nbf }) => nbf).filter((nbf) => nbf <= nowS) : [];
  const atOnce = Math.max(nowS - CLOCK_SKEW_S, ...begun.map((nbf) => nbf + 1));
  const isLast = isBegun && begun.every((nbf) => nbf < renewed.nbf);
  const kept = isSecond && isUrgent && !isLast ? undefined : renewed?.nbf;
  const nbf = span.from ?? kept ?? Math.max(earliest, atOnce);
  const exp = span.until ?? Math.max(nbf, nowS) + (span.days ?? STATEMENT_DAYS) * DAY_S;
  return { nbf, exp };
}

/** The statement that one about the same key in the same role takes the place of. */
export function renewedBy(
  about: Pick<KeyStatement, 'role' | 'key'>,
  nowS: number,
  others: readonly KeyStatement[],
): KeyStatement | undefined {
  return others.find((one) => isRunning(one, about.role, nowS) && hasKey(one, about.key));
}

function isRunning({ role, exp }: KeyStatement, asked: Role, nowS: number): boolean {
  return role === asked && nowS < exp;
}

function hasKey({ key }: Pick<KeyStatement, 'key'>, other: PublicKey): boolean {
  return sameKey(thumbprint(key), thumbprint(other));
}

/** The statements among these files that hold under this root in this realm. */
export function statementsAmong(
  envelopes: readonly Uint8Array[],
  realm: Realm,
  root: VerifyKey,
): readonly KeyStatement[] {
  return envelopes.flatMap((envelope) => {
    try {
      return [open(keyStatement, envelope, realm, () => root).value];
    } catch (error) {
      if (error instanceof PaymentError) return [];
      throw error;
    }
  });
}

/** Seconds since 1970 of "2026-11-20" (UTC midnight) or "2026-11-20T09:30Z". */
export function parseTime(text: string): number | undefined {
  const [, day, time = '00:00'] =
    /^(\d{4}-\d{2}-\d{2})(?:T(\d{2}:\d{2}(?::\d{2})?)Z)?$/.exec(text) ?? [];
  if (day === undefined) return undefined;
  const written = `${day}T${time.length === 5 ? `${time}:00` : time}`;
  const ms = Date.parse(`${written}Z`);
  // 30 February is read as 2 March.
  const isReal = !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(written);
  return isReal && ms >= 0 ? ms / 1000 : undefined;
}

/** A policy as an operator writes it, with amounts as people write them. Throws OperatorError. */
export function readPolicy(text: string, file: string, nowS: number): Policy {
  const written = parseConfig(policyText, text, file);
  const until = written.until === undefined ? undefined : parseTime(written.until)!;
  const { offline } = written;
  const policy: Policy = {
    iat: nowS,
    ...(until !== undefined && { exp: until }),
    version: written.version,
    scope: scopeOf(written.scope),
    ladders: written.ladders.map(({ currency, bands }) => ({
      currency,
      bands: bands.map(({ upTo, presence }) => ({
        ceiling: parseDecimal(upTo, currency),
        level: presence as Presence,
      })),
    })),
    ...(offline && {
      offline: {
        behaviour: offline.behaviour,
        currency: offline.currency,
        floorLimit: parseDecimal(offline.perPayment, offline.currency),
        storedAmountMax: parseDecimal(offline.stored, offline.currency),
        storedCountMax: offline.storedCount,
        acceptWindow: offline.acceptSeconds,
        uploadWindow: offline.uploadSeconds,
        goOnlineEvery: [offline.askOnlineAfter, offline.refuseAfter] as const,
        payerCountMax: offline.payerCount,
        payerAmountMax: parseDecimal(offline.payerAmount, offline.currency),
        policyAgeMax: offline.policySeconds,
      },
    }),
  };
  try {
    return policyKind.decode(decodeCbor(policyKind.encode(policy)));
  } catch (cause) {
    if (!(cause instanceof PaymentError)) throw cause;
    throw new OperatorError('config', `${file}: ${cause.message}`, { cause });
  }
}

/**
 * Signs a policy that replaces `before`, if there was one. Throws `downgrade_refused` unless the
 * version rises and the scope stays, and whatever `open` throws for one that is not this root's.
 */
export function signPolicy(
  policy: Policy,
  realm: Realm,
  root: Signer,
  before: Uint8Array | undefined,
): Promise<Uint8Array> {
  if (before) {
    const { value } = open(policyKind, before, realm, () => root.key);
    if (value.version >= policy.version) {
      throw new PaymentError(
        'downgrade_refused',
        `the policy there has version ${value.version}, the new one ${policy.version}: raise it`,
      );
    }
    if (JSON.stringify(value.scope) !== JSON.stringify(policy.scope)) {
      throw new PaymentError('downgrade_refused', 'the policy there binds somebody else');
    }
  }
  return seal(policyKind, policy, realm, root);
}

/** Whether a statement is about `key`: only then may another about it take its file. */
export function isAbout(envelope: Uint8Array, key: PublicKey): boolean {
  return hasKey(keyStatement.decode(payloadOf(envelope)), key);
}

const DAY_S = 86_400;

function scopeOf(written: z.infer<typeof scopeText>): PolicyScope {
  if (written === 'platform') return { kind: 'platform' };
  return 'payee' in written
    ? { kind: 'merchant', payee: written.payee }
    : { kind: 'device', device: written.device };
}

const amount = z.string('an amount in quotes, as "20.00"');
const currency = z
  .string()
  .check(z.refine((code) => CURRENCIES.includes(code), 'an ISO 4217 currency, as CNY'));
const seconds = z.int('seconds').check(z.minimum(0));
const count = z.int('a whole number').check(z.minimum(0));

const ladderText = z
  .strictObject({
    currency,
    bands: z
      .array(
        z.strictObject({
          upTo: amount,
          presence: z.int('a level from 0 to 4').check(z.minimum(0), z.maximum(4)),
        }),
      )
      .check(z.minLength(1, 'at least one band'), z.maxLength(BANDS_MAX, `${BANDS_MAX} bands`)),
  })
  .check(({ value, issues }) => {
    value.bands.forEach(({ upTo }, at) => {
      const path = ['bands', at, 'upTo'];
      if (!isAmount(upTo, value.currency)) {
        issues.push({ code: 'custom', input: upTo, path, message: amountIn(value.currency) });
      }
    });
  });

const offlineText = z
  .strictObject({
    behaviour: z.enum(['require_online', 'prefer_online']),
    currency,
    perPayment: amount,
    stored: amount,
    storedCount: count,
    acceptSeconds: seconds,
    uploadSeconds: seconds,
    askOnlineAfter: count,
    refuseAfter: count,
    payerCount: count,
    payerAmount: amount,
    policySeconds: seconds,
  })
  .check(({ value, issues }) => {
    for (const name of ['perPayment', 'stored', 'payerAmount'] as const) {
      if (isAmount(value[name], value.currency)) continue;
      const message = amountIn(value.currency);
      issues.push({ code: 'custom', input: value[name], path: [name], message });
    }
  });

const scopeText = z.union(
  [
    z.literal('platform'),
    z.strictObject({ payee: z.string() }),
    z.strictObject({ device: z.string() }),
  ],
  'platform, or { payee: ID }, or { device: NAME }',
);

const policyText = z.strictObject({
  version: z.int('a whole number').check(z.minimum(1)),
  scope: scopeText,
  until: z.optional(
    z
      .string('a date in quotes')
      .check(z.refine((text) => parseTime(text) !== undefined, 'a date, as "2027-11-20"')),
  ),
  ladders: z.array(ladderText).check(z.minLength(1, 'at least one ladder')),
  offline: z.optional(offlineText),
});

function isAmount(text: string, code: string): boolean {
  try {
    return CURRENCIES.includes(code) && parseDecimal(text, code) >= 0n;
  } catch (error) {
    if (error instanceof PaymentError) return false;
    throw error;
  }
}

function amountIn(code: string): string {
  return `an amount in ${code}`;
}
