// The root's rules as tables: what each role must say, when a statement begins, what a policy says.
import { describe, expect, test } from 'vitest';
import type { Realm } from '../../src/cose.ts';
import { OperatorError, PaymentError } from '../../src/errors.ts';
import { BRIDGE_OVERLAP_S, CLOCK_SKEW_S, STATEMENT_DAYS } from '../../src/limits.ts';
import { type KeyStatement, type Role, keyStatement } from '../../src/objects/key.ts';
import { open } from '../../src/objects/kind.ts';
import { policy as policyKind } from '../../src/objects/policy.ts';
import {
  type Asked,
  isAbout,
  parseTime,
  readPolicy,
  renewedBy,
  signPolicy,
  signStatement,
  statementOf,
  statementsAmong,
  validityOf,
} from '../../src/root.ts';
import { generatePem, nodeSigner, readPrivatePem } from '../../src/signer.ts';

const makeSigner = () => nodeSigner(readPrivatePem(generatePem('ES256')));
const [root, first, second] = [makeSigner(), makeSigner(), makeSigner()];
const REALM: Realm = { environment: 'sim', ledger: 'demo' };
const NOW_S = Date.UTC(2026, 10, 20, 9) / 1000;
const DAY_S = 86_400;
const HOUR_S = 3_600;

function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof PaymentError) return `${error.reason}: ${error.message}`;
    expect(error).toBeInstanceOf(OperatorError);
    return (error as OperatorError).message;
  }
  return 'accepted';
}

describe('a statement', () => {
  const when = { nbf: NOW_S, exp: NOW_S + DAY_S };
  const payer = new Uint8Array(16).fill(7);
  const till = { device: 'k', payee: 'p', terminal: 't', names: [['en', 'P']] } as const;
  const { names: _names, ...nameless } = till;
  const cases: readonly (readonly [Role, Omit<Asked, 'key' | 'role' | 'nbf' | 'exp'>, string])[] = [
    ['bridge', {}, 'accepted'],
    ['bridge', { presence: 2 }, 'a bridge has no --presence'],
    [
      'bridge',
      { device: 'b', payer },
      'a bridge has no --device and has no --payer or --new-payer',
    ],
    ['terminal', till, 'accepted'],
    ['terminal', { ...till, category: 5814, presence: 1 }, 'accepted'],
    [
      'terminal',
      {},
      'a terminal needs --device (its name in topics), --payee (who is paid there), --terminal ' +
        '(which till it is), --name (what people are shown, as en="Luckin Coffee")',
    ],
    [
      'terminal',
      { ...nameless, payer },
      'a terminal needs --name (what people are shown, as en="Luckin Coffee") and has no ' +
        '--payer or --new-payer',
    ],
    ['device', { device: 'g' }, 'accepted'],
    ['device', { device: 'g', payer, presence: 3 }, 'accepted'],
    ['device', { payer }, 'a device needs --device (its name in topics)'],
    ['device', { device: 'g', payee: 'p' }, 'a device has no --payee'],
    ['device', { device: 'g', category: 1 }, 'a device has no --category'],
    ['wallet', { payer }, 'accepted'],
    ['wallet', {}, 'a wallet needs --payer or --new-payer (whose it is)'],
    ['wallet', { payer, device: 'w' }, 'a wallet has no --device'],
    ['agent', { device: 'a', payer }, 'accepted'],
    ['agent', {}, 'an agent needs --device (its name in topics)'],
    ['agent', { device: 'a', terminal: 't' }, 'an agent has no --terminal'],
  ];
  test.each(cases)('of a %s with %j: %s', async (role, fields, line) => {
    const asked = { ...fields, ...when, role, key: first.key.public };
    expect(refusal(() => statementOf(asked))).toBe(line);
    // What is accepted here, the codec accepts too, and reads back the same.
    if (line !== 'accepted') return;
    const statement = statementOf(asked);
    const envelope = await signStatement(statement, REALM, root);
    expect(open(keyStatement, envelope, REALM, () => root.key).value).toEqual(statement);
  });

  test.each([
    ['bridge', 0],
    ['terminal', 1],
    ['device', 2],
    ['wallet', 4],
    ['agent', 0],
  ] as const)('of a %s: presence %d unless told', (role, level) => {
    const needs = { wallet: { payer }, terminal: till, device: till, agent: till, bridge: {} }[
      role
    ];
    const { device } = till;
    const fields = role === 'device' || role === 'agent' ? { device } : needs;
    expect(statementOf({ ...fields, ...when, role, key: first.key.public }).presenceMax).toBe(
      level,
    );
  });

  test('that ends before it begins is refused in words', () => {
    const asked = { key: first.key.public, role: 'bridge', nbf: NOW_S, exp: NOW_S } as const;
    expect(refusal(() => statementOf(asked))).toBe(
      'it would end before it begins: give a later --until',
    );
  });

  test('only what this root signed in this realm is among the statements', async () => {
    const value = statementOf({ key: first.key.public, role: 'bridge', ...when });
    const good = await signStatement(value, REALM, root);
    const others = [
      await signStatement(value, { ...REALM, ledger: 'other' }, root),
      await signStatement(value, { ...REALM, environment: 'live' }, root),
      await signStatement(value, REALM, second),
      Uint8Array.of(1, 2, 3),
    ];
    expect(statementsAmong([...others, good], REALM, root.key)).toEqual([value]);
    expect(isAbout(good, first.key.public)).toBe(true);
    expect(isAbout(good, second.key.public)).toBe(false);
  });
});

describe('a statement begins', () => {
  const named = (key: typeof first, nbf: number, exp: number, role: Role = 'bridge') =>
    ({ key: key.key.public, role, nbf, exp, presenceMax: 0 }) as KeyStatement;
  const running = named(first, NOW_S - 9 * DAY_S, NOW_S + 9 * DAY_S);
  const fresh = named(first, NOW_S, NOW_S + DAY_S);
  const planned = named(first, NOW_S + 1, NOW_S + DAY_S);
  const ended = named(first, NOW_S - 9 * DAY_S, NOW_S);
  const YEAR_S = STATEMENT_DAYS * DAY_S;
  const [SOON, LATER] = [NOW_S - CLOCK_SKEW_S, NOW_S + BRIDGE_OVERLAP_S];
  const own = named(second, NOW_S - 5 * DAY_S, NOW_S + DAY_S);
  const waiting = named(second, NOW_S + HOUR_S, NOW_S + DAY_S);
  const ancient = named(first, own.nbf - 1, NOW_S + DAY_S);
  const wallet = named(first, NOW_S - DAY_S, NOW_S + DAY_S, 'wallet');
  const from = LATER + HOUR_S;

  test.each([
    ['a first bridge key: at once', [], {}, false, [SOON, NOW_S + YEAR_S]],
    ['a second one: a day later', [running], {}, false, [LATER, LATER + YEAR_S]],
    ['a second one, the old stolen: at once', [running], {}, true, [SOON, NOW_S + YEAR_S]],
    [
      'the old one just made and stolen: after it',
      [fresh],
      {},
      true,
      [NOW_S + 1, NOW_S + 1 + YEAR_S],
    ],
    ['a planned one is no reason to wait', [planned], {}, true, [SOON, NOW_S + YEAR_S]],
    ['the old one has ended: at once', [ended], {}, false, [SOON, NOW_S + YEAR_S]],
    ['beside a wallet: at once', [wallet], {}, false, [SOON, NOW_S + YEAR_S]],
    ['renewed: as it began', [running, own], {}, false, [own.nbf, NOW_S + YEAR_S]],
    [
      'planned for a day later, the old stolen since: at once',
      [running, waiting],
      {},
      true,
      [SOON, NOW_S + YEAR_S],
    ],
    [
      'begun before the stolen one: after it',
      [fresh, own],
      {},
      true,
      [NOW_S + 1, NOW_S + 1 + YEAR_S],
    ],
    ['begun last, urgent: as it began', [ancient, own], {}, true, [own.nbf, NOW_S + YEAR_S]],
    [
      'planned, renewed in peace: as planned',
      [running, waiting],
      {},
      false,
      [waiting.nbf, waiting.nbf + YEAR_S],
    ],
    ['for some days', [running], { days: 3 }, false, [LATER, LATER + 3 * DAY_S]],
    ['for some days from a day', [running], { from, days: 3 }, false, [from, from + 3 * DAY_S]],
    ['until a day', [], { until: from }, false, [SOON, from]],
  ] as const)('%s', (_why, others, span, isUrgent, [nbf, exp]) => {
    const about = { role: 'bridge', key: second.key.public } as const;
    expect(validityOf(about, span, NOW_S, others, isUrgent)).toEqual({ nbf, exp });
  });

  test('too early for a second bridge key: refused unless urgent or of another role', () => {
    const about = { role: 'bridge', key: second.key.public } as const;
    const span = { from: LATER - 1 };
    const line = /^a second bridge key begins at least 24 hours from now, .* say --now if/;
    expect(refusal(() => validityOf(about, span, NOW_S, [running], false))).toMatch(line);
    expect(validityOf(about, span, NOW_S, [running], true).nbf).toBe(LATER - 1);
    expect(validityOf(about, { from: LATER }, NOW_S, [running], false).nbf).toBe(LATER);
    const device = { ...about, role: 'device' } as const;
    expect(validityOf(device, span, NOW_S, [running], false).nbf).toBe(LATER - 1);
  });

  test('that waits for its begin is not moved before it, unless urgent', () => {
    const about = { role: 'bridge', key: second.key.public } as const;
    const others = [running, waiting];
    const earlier = { from: waiting.nbf - 1 };
    expect(refusal(() => validityOf(about, earlier, NOW_S, others, false))).toMatch(/say --now/);
    expect(validityOf(about, earlier, NOW_S, others, true).nbf).toBe(waiting.nbf - 1);
    expect(validityOf(about, { from: waiting.nbf }, NOW_S, others, false).nbf).toBe(waiting.nbf);
    expect(renewedBy(about, NOW_S, others)).toBe(waiting);
    expect(renewedBy(about, NOW_S, [running, ended])).toBeUndefined();
  });

  test.each([
    ['2026-11-20', Date.UTC(2026, 10, 20)],
    ['2026-11-20T09:30Z', Date.UTC(2026, 10, 20, 9, 30)],
    ['2026-11-20T09:30:15Z', Date.UTC(2026, 10, 20, 9, 30, 15)],
    ['2028-02-29', Date.UTC(2028, 1, 29)],
    ['2026-02-29', undefined],
    ['2026-02-30', undefined],
    ['2026-13-01', undefined],
    ['2026-11-20T24:00Z', undefined],
    ['2026-11-20T09:30', undefined],
    ['2026-11-20T09:30+08:00', undefined],
    ['20.11.2026', undefined],
    ['1969-12-31', undefined],
    ['', undefined],
  ])('the date %s', (text, ms) => {
    expect(parseTime(text)).toBe(ms === undefined ? undefined : ms / 1000);
  });
});

const POLICY = `version: 3
scope: platform
until: 2027-11-20
ladders:
  - currency: CNY
    bands:
      - { upTo: "20.00", presence: 1 }
      - { upTo: "1000", presence: 2 }
  - currency: JPY
    bands:
      - { upTo: "400", presence: 1 }
offline:
  behaviour: prefer_online
  currency: CNY
  perPayment: "20.00"
  stored: "500.00"
  storedCount: 50
  acceptSeconds: 3600
  uploadSeconds: 86400
  askOnlineAfter: 3
  refuseAfter: 5
  payerCount: 3
  payerAmount: "50.00"
  policySeconds: 604800
`;

describe('a policy', () => {
  const read = (text: string) => readPolicy(text, 'policy.yaml', NOW_S);

  test('is read with amounts as people write them', () => {
    expect(read(POLICY)).toEqual({
      iat: NOW_S,
      exp: Date.UTC(2027, 10, 20) / 1000,
      version: 3,
      scope: { kind: 'platform' },
      ladders: [
        {
          currency: 'CNY',
          bands: [
            { ceiling: 20_00n, level: 1 },
            { ceiling: 1_000_00n, level: 2 },
          ],
        },
        { currency: 'JPY', bands: [{ ceiling: 400n, level: 1 }] },
      ],
      offline: {
        behaviour: 'prefer_online',
        currency: 'CNY',
        floorLimit: 20_00n,
        storedAmountMax: 500_00n,
        storedCountMax: 50,
        acceptWindow: 3600,
        uploadWindow: 86_400,
        goOnlineEvery: [3, 5],
        payerCountMax: 3,
        payerAmountMax: 50_00n,
        policyAgeMax: 604_800,
      },
    });
    const scoped = (scope: string) => read(POLICY.replace('scope: platform', scope)).scope;
    expect(scoped('scope: { payee: luckin-coffee }')).toEqual({
      kind: 'merchant',
      payee: 'luckin-coffee',
    });
    expect(scoped('scope: { device: glasses-1 }')).toEqual({ kind: 'device', device: 'glasses-1' });
  });

  test.each([
    [
      'an amount as a number',
      '"20.00"',
      '20.00',
      'ladders.0.bands.0.upTo: is 20; allowed: an amount in quotes',
    ],
    [
      'too many decimals',
      '"20.00"',
      '"20.001"',
      'ladders.0.bands.0.upTo: is "20.001"; allowed: an amount in CNY',
    ],
    [
      'decimals of a currency without',
      '"400"',
      '"400.00"',
      'ladders.1.bands.0.upTo: is "400.00"; allowed: an amount in JPY',
    ],
    [
      'a negative amount',
      '"20.00"',
      '"-20"',
      'ladders.0.bands.0.upTo: is "-20"; allowed: an amount in CNY',
    ],
    [
      'an amount offline',
      '"500.00"',
      '"much"',
      'offline.stored: is "much"; allowed: an amount in CNY',
    ],
    [
      'no such currency',
      'JPY',
      'JPX',
      'ladders.1.currency: is "JPX"; allowed: an ISO 4217 currency',
    ],
    [
      'a level above P4',
      'presence: 2',
      'presence: 5',
      'ladders.0.bands.1.presence: is 5; allowed: at most 4',
    ],
    ['version 0', 'version: 3', 'version: 0', 'version: is 0; allowed: at least 1'],
    ['no such day', '2027-11-20', '2027-02-30', 'until: is "2027-02-30"; allowed: a date'],
    ['another scope', 'scope: platform', 'scope: all', 'allowed: platform, or { payee: ID }'],
    [
      'a word that it does not know',
      'version: 3',
      'version: 3\nlimit: 5',
      'limit: is not a setting',
    ],
  ])('with %s is refused with its place', (_why, from, to, line) => {
    const text = POLICY.replace(from, to);
    expect(text).not.toBe(POLICY);
    expect(refusal(() => read(text))).toContain(line);
  });

  test('whose bands do not rise is refused', () => {
    const text = POLICY.replace('"1000"', '"20.00"');
    expect(refusal(() => read(text))).toBe('policy.yaml: ladders: bands that do not rise');
  });

  test('replaces only a lower version of the same scope, signed by this root here', async () => {
    const policy = read(POLICY);
    const before = await signPolicy(policy, REALM, root, undefined);
    expect(open(policyKind, before, REALM, () => root.key).value).toEqual(policy);
    const sign = (changed: object, realm = REALM, signer = root) => {
      let next: Promise<Uint8Array> | undefined;
      const line = refusal(
        () => (next = signPolicy({ ...policy, ...changed }, realm, signer, before)),
      );
      return next?.then(() => line) ?? Promise.resolve(line);
    };
    expect(await sign({ version: 4 })).toBe('accepted');
    const raise = (version: number) =>
      `downgrade_refused: the policy there has version 3, the new one ${version}: raise it`;
    expect(await sign({ version: 3 })).toBe(raise(3));
    expect(await sign({ version: 2 })).toBe(raise(2));
    expect(await sign({ version: 4, scope: { kind: 'device', device: 'g' } })).toBe(
      'downgrade_refused: the policy there binds somebody else',
    );
    expect(await sign({ version: 4 }, REALM, second)).toMatch(/^bad_signature/);
    expect(await sign({ version: 4 }, { ...REALM, environment: 'live' })).toMatch(/^sim_in_live/);
  });
});
