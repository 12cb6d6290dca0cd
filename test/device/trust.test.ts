// Whom a device believes: every row that is signed by somebody else must be refused by its code.
import { expect, test } from 'vitest';
import { payloadOf } from '../../src/cose.ts';
import { receipt as receiptKind } from '../../src/objects/receipt.ts';
import { tick as tickKind } from '../../src/objects/tick.ts';
import { seal } from '../../src/objects/kind.ts';
import { keyStatement } from '../../src/objects/key.ts';
import { policy as policyKind } from '../../src/objects/policy.ts';
import { createTrust } from '../../device/trust.ts';
import {
  BANDS,
  REALM,
  START_S,
  bridge,
  orderId,
  otherTill,
  policy,
  reasonOf,
  root,
  sealOrder,
  statements,
  stranger,
  till,
  wearer,
} from './stage.ts';

const trust = createTrust(REALM, root.key, statements, [policy], () => undefined);
const LIVE = { ...REALM, environment: 'live' } as const;

test('the payees are those of the terminals’ statements, with their names', () => {
  expect(trust.payees).toEqual([
    {
      id: 'luckin-coffee',
      names: [
        ['en', 'Luckin Coffee'],
        ['zh', '瑞幸咖啡'],
      ],
    },
    {
      id: 'noodle-bar',
      names: [
        ['en', 'Noodle Bar'],
        ['zh', '面馆'],
      ],
    },
  ]);
  expect(trust.policies('luckin-coffee')[0]?.ladders).toEqual([{ currency: 'CNY', bands: BANDS }]);
});

test('an order opens by the terminal that it names, and says its id', async () => {
  const envelope = await sealOrder();
  const { id, value } = trust.openOrder(envelope);
  expect(id).toBe(orderId(envelope));
  expect(value).toMatchObject({ payee: 'luckin-coffee', terminal: 'till-1' });
});

test.each([
  ['another till', otherTill, {}, 'order_mismatch'],
  ['another till, for its own payee', otherTill, { payee: 'noodle-bar' }, 'order_mismatch'],
  ['the till, for another payee', till, { payee: 'noodle-bar' }, 'order_mismatch'],
  ['the till, for another terminal', till, { terminal: 'till-2' }, 'order_mismatch'],
  ['a stranger', stranger, {}, 'bad_signature'],
  ['the bridge', bridge, {}, 'bad_signature'],
  ['a device', wearer, {}, 'bad_signature'],
] as const)('an order signed by %s: refused', async (_who, signer, changed, reason) => {
  const envelope = await sealOrder(changed, signer);
  expect(reasonOf(() => trust.openOrder(envelope))).toBe(reason);
});

test.each([
  ['the bridge', bridge, 'accepted'],
  ['a stranger', stranger, 'bad_signature'],
  ['the root', root, 'bad_signature'],
  ['a terminal', till, 'bad_signature'],
] as const)('a receipt signed by %s: %s', async (_who, signer, reason) => {
  const value = { iat: START_S, subject: 'ab'.repeat(16), outcome: 'granted' } as const;
  const envelope = await seal(receiptKind, value, REALM, signer);
  expect(reasonOf(() => trust.openFromBridge(receiptKind, envelope))).toBe(reason);
});

test('statements and policy hold under the root only, and in their own realm', async () => {
  const by = (signer: typeof root) =>
    seal(
      keyStatement,
      {
        nbf: START_S,
        exp: START_S + 9,
        key: stranger.key.public,
        role: 'bridge',
        presenceMax: 0,
      },
      REALM,
      signer,
    );
  const others: readonly (readonly [string, () => unknown, string])[] = [
    ['forged', await by(stranger), 'bad_signature'],
    ['self-signed by the bridge', await by(bridge), 'bad_signature'],
    ['of the root', await by(root), 'accepted'],
  ].map(([why, envelope, reason]) => [
    why as string,
    () => createTrust(REALM, root.key, [envelope as Uint8Array], [policy], () => undefined),
    reason as string,
  ]);
  for (const [why, run, reason] of others) expect(reasonOf(run), why).toBe(reason);

  const forgedPolicy = await seal(
    policyKind,
    {
      iat: START_S,
      version: 9,
      scope: { kind: 'platform' },
      ladders: [{ currency: 'CNY', bands: [{ ceiling: 9n, level: 0 }] }],
    },
    REALM,
    bridge,
  );
  expect(
    reasonOf(() => createTrust(REALM, root.key, statements, [forgedPolicy], () => undefined)),
  ).toBe('bad_signature');
  expect(
    reasonOf(() => createTrust(REALM, stranger.key, statements, [policy], () => undefined)),
  ).toBe('bad_signature');
  expect(reasonOf(() => createTrust(LIVE, root.key, statements, [policy], () => undefined))).toBe(
    'sim_in_live',
  );
  const damaged = policy.with(-1, policy.at(-1)! ^ 1);
  expect(reasonOf(() => createTrust(REALM, root.key, statements, [damaged], () => undefined))).toBe(
    'bad_signature',
  );
});

test('once the time is known, a statement counts from its begin to its end', async () => {
  let nowMs: number | undefined;
  const dated = createTrust(REALM, root.key, statements, [policy], () => nowMs);
  const tick = await seal(tickKind, { iat: START_S, nonce: new Uint8Array(8) }, REALM, bridge);
  expect(dated.openFromBridge(tickKind, tick).value.iat, 'before the first tick').toBe(START_S);
  const { nbf, exp } = keyStatement.decode(payloadOf(statements[0]!));
  for (const [at, isBelieved] of [
    [nbf * 1000 - 1, false],
    [nbf * 1000, true],
    [exp * 1000 - 1, true],
    [exp * 1000, false],
  ] as const) {
    nowMs = at;
    const look = () => dated.openFromBridge(tickKind, tick);
    if (isBelieved) expect(look().value.iat, String(at)).toBe(START_S);
    else expect(reasonOf(look), String(at)).toBe('bad_signature');
  }
});

test('while the bridge changes its key, each holds as long as its statement does', async () => {
  const DAY_S = 86_400;
  const next = stranger;
  const [begins, oldEnds, nextEnds] = [
    START_S + DAY_S,
    START_S + 40 * DAY_S,
    START_S + 300 * DAY_S,
  ];
  const named = (signer: typeof root, nbf: number, exp: number) => {
    const key = signer.key.public;
    return seal(keyStatement, { key, role: 'bridge', presenceMax: 0, nbf, exp }, REALM, root);
  };
  const both = [await named(bridge, START_S - DAY_S, oldEnds), await named(next, begins, nextEnds)];
  let nowS = START_S;
  const told = createTrust(REALM, root.key, both, [policy], () => nowS * 1000);
  // A receipt keeps its bytes: one of the first day may reach a device that was away weeks later.
  const signed = (signer: typeof root) =>
    seal(
      receiptKind,
      { iat: START_S, subject: 'ab'.repeat(16), outcome: 'granted' },
      REALM,
      signer,
    );
  const [byOld, byNext] = [await signed(bridge), await signed(next)];
  for (const [at, old, fresh, why] of [
    [START_S, 'accepted', 'bad_signature', 'the next key has not begun'],
    [begins - 1, 'accepted', 'bad_signature', 'nor a second before'],
    [begins, 'accepted', 'accepted', 'the overlap'],
    [begins + 30 * DAY_S, 'accepted', 'accepted', 'a device that was away as long as one resends'],
    [oldEnds, 'bad_signature', 'accepted', 'a receipt is verified when it comes'],
    [nextEnds, 'bad_signature', 'bad_signature', 'both have ended'],
  ] as const) {
    nowS = at;
    expect(
      reasonOf(() => told.openFromBridge(receiptKind, byOld)),
      why,
    ).toBe(old);
    expect(
      reasonOf(() => told.openFromBridge(receiptKind, byNext)),
      why,
    ).toBe(fresh);
  }
});
