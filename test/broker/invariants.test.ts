/**
 * The invariants of PROTOCOL.md §7 that the bridge alone must hold, under random stories.
 *
 * Method: fast-check writes a story of requests, online and under leases, copies, cancels, revokes,
 * restarts, power cuts, silences of two backends and time that passes. Then everything heals, every
 * device sends again what it has no final receipt for, and the truth is counted from outside: the
 * receipts, what the backends hold, and the store's own recount. A story that fails is printed with
 * its seed.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { toHex } from '../../src/bytes.ts';
import { CANCEL_FOR_MS_MAX, RESOLVE_FOR_MS, RESOLVE_MS_MAX } from '../../src/limits.ts';
import { open } from '../../src/objects/kind.ts';
import { mandate as mandateKind } from '../../src/objects/mandate.ts';
import { type Receipt, isFinal, receipt as receiptKind } from '../../src/objects/receipt.ts';
import { revoke as revokeKind } from '../../src/objects/revoke.ts';
import type { Tick } from '../../src/objects/tick.ts';
import { downTopic, upTopic } from '../../src/topics.ts';
import {
  type BackendAct,
  CAST,
  NOW_MS,
  NOW_S,
  OFFLINE_POLICY,
  PAYER,
  Power,
  type Role,
  type Sealed,
  type Stage,
  createStage,
  mandateOf,
  sealed,
  settle,
} from './stage.ts';

const RUNS = process.env['SAYTAP_FULL'] === undefined ? 250 : 4_000;

/** A good part of every window may be leased. */
const OFFLINE = {
  ...OFFLINE_POLICY,
  offline: { ...OFFLINE_POLICY.offline!, payerAmountMax: 90n, storedAmountMax: 90n },
};

type Step =
  | Readonly<{ do: 'pay'; minor: number; hold: boolean }>
  | Readonly<{ do: 'boot' }>
  | Readonly<{ do: 'offline'; minor: number; which: number }>
  | Readonly<{ do: 'act'; action: 'capture' | 'void' | 'refund'; which: number; minor: number }>
  | Readonly<{ do: 'again'; which: number }>
  | Readonly<{ do: 'cancel'; which: number }>
  | Readonly<{ do: 'revoke' }>
  | Readonly<{ do: 'wait'; ms: number }>
  | Readonly<{ do: 'restart'; cutAt: number }>
  | Readonly<{ do: 'backend'; other: boolean; acts: readonly BackendAct[] }>
  | Readonly<{ do: 'arrive' }>
  | Readonly<{ do: 'disk'; isFull: boolean }>;

const which = fc.nat({ max: 30 });
const acts = fc.array(
  fc.constantFrom<BackendAct>('late', 'lost', 'unknown', 'done', 'declined', 'unsent'),
  { minLength: 1, maxLength: 5 },
);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: pay() },
  { weight: 3, arbitrary: act() },
  { weight: 2, arbitrary: fc.constant({ do: 'boot' } as const) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('offline' as const),
      minor: fc.integer({ min: 1, max: 40 }),
      which,
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('again' as const), which }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('cancel' as const), which }) },
  { weight: 1, arbitrary: fc.constant({ do: 'revoke' } as const) },
  { weight: 2, arbitrary: fc.constant({ do: 'arrive' } as const) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('wait' as const),
      ms: fc.constantFrom(0, 300, 5_000, 12_000, 130_000),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('restart' as const), cutAt: fc.nat({ max: 12 }) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('backend' as const), other: fc.boolean(), acts }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('disk' as const), isFull: fc.boolean() }),
  },
);

function pay(): fc.Arbitrary<Step> {
  const minor = fc.integer({ min: 1, max: 40 });
  return fc.record({ do: fc.constant('pay' as const), minor, hold: fc.boolean() });
}

function act(): fc.Arbitrary<Step> {
  return fc.record({
    do: fc.constant('act' as const),
    action: fc.constantFrom('capture' as const, 'void' as const, 'refund' as const),
    which,
    minor: fc.integer({ min: 1, max: 40 }),
  });
}

/** One request as the story knows it. */
type Asked = Sealed &
  Readonly<{
    role: Role;
    action: 'pay' | 'hold' | 'capture' | 'void' | 'refund';
    minor: bigint;
    /** Whether it was first sent after a revoke had been acknowledged. */
    afterRevoke: boolean;
  }>;

/** Lives a story to its healed end; returns what was asked and where. */
async function live(story: readonly Step[], resolvesBy: 'replay' | 'query') {
  const stage = await createStage({ isSecond: true, policies: [OFFLINE] });
  for (const { can } of [stage.backend, stage.other]) can({ resolvesBy });
  const arrive = () => {
    stage.backend.arrive();
    stage.other.arrive();
  };
  const value = mandateOf({
    exp: NOW_S + 864_000,
    windows: [
      { kind: 'total', max: 200n, count: 12 },
      { kind: 'rolling', seconds: 3_600, max: 150n, count: 10 },
      { kind: 'calendar', period: 'day', zone: 'Asia/Shanghai', max: 160n, count: 11 },
    ],
  });
  const mandate = await sealed(mandateKind, value, CAST.wallet);
  const backends = ['ledger', 'other'];
  const { name } = CAST.wallet.key;
  await stage.store.putMandate(
    mandate.id,
    value,
    name,
    toHex(PAYER),
    backends,
    mandate.envelope,
    NOW_MS,
  );
  const revoke = await sealed(
    revokeKind,
    { payer: PAYER, iat: NOW_S, mandate: mandate.id },
    CAST.wallet,
  );
  const asked: Asked[] = [];
  const counters = { glasses: 0, kiosk: 0 };
  let isRevoked = false;
  const leases: Tick[] = [];

  const send = (role: Role, kind: 'request' | 'query' | 'revoke', envelope: Uint8Array) => {
    stage.bridge().receive(upTopic(role, kind), envelope);
    return settle();
  };
  const chosen = (index: number) => asked[index % Math.max(asked.length, 1)];

  async function ask(
    action: Asked['action'],
    role: 'glasses' | 'kiosk',
    more: object,
    minor: bigint,
  ) {
    const amount = { currency: 'CNY', minor };
    const counter = ++counters[role];
    const about = { mandate: mandate.id, action, amount, counter, ...more };
    const request = await stage.request(about, role);
    asked.push({ ...request, role, action, minor, afterRevoke: isRevoked });
    await send(role, 'request', request.envelope);
  }

  for (const one of story) {
    switch (one.do) {
      case 'pay':
        await ask(one.hold ? 'hold' : 'pay', 'glasses', {}, BigInt(one.minor));
        break;
      case 'boot':
        leases.push(...(await stage.boots('glasses')).filter(({ lease }) => lease));
        break;
      case 'offline': {
        // As the device signed it without a link: it arrives when there is one.
        const tick = leases[one.which % Math.max(leases.length, 1)];
        if (!tick) break;
        const more = { nonce: tick.nonce, exp: tick.lease!.upload };
        await ask('pay', 'glasses', more, BigInt(one.minor));
        break;
      }
      case 'act': {
        const original = chosen(one.which);
        if (!original) break;
        const more = { original: original.id, channel: 'touch' };
        await ask(one.action, 'kiosk', more, BigInt(one.minor));
        break;
      }
      case 'again': {
        const again = chosen(one.which);
        if (again) await send(again.role, 'request', again.envelope);
        break;
      }
      case 'cancel': {
        const subject = chosen(one.which);
        if (!subject) break;
        const query = await stage.query({ question: 'cancel', subject: subject.id }, subject.role);
        await send(subject.role, 'query', query.envelope);
        break;
      }
      case 'revoke':
        await send('guest', 'revoke', revoke.envelope);
        isRevoked ||= stage.told('guest', revoke.id).some(({ outcome }) => outcome === 'granted');
        break;
      case 'wait':
        await stage.time.advance(one.ms);
        break;
      case 'restart':
        stage.restart(one.cutAt === 0 ? undefined : new Power(one.cutAt));
        await stage
          .bridge()
          .sweep()
          .catch(() => 0);
        await settle();
        break;
      case 'backend':
        (one.other ? stage.other : stage.backend).acts.push(...one.acts);
        break;
      case 'arrive':
        arrive();
        break;
      case 'disk':
        stage.disk.isFull = one.isFull;
    }
  }

  stage.disk.isFull = false;
  stage.backend.acts.length = 0;
  stage.other.acts.length = 0;
  stage.restart();
  await stage.bridge().sweep();
  await stage.time.advance(RESOLVE_FOR_MS + RESOLVE_MS_MAX * 4);
  for (const { role, envelope } of asked) await send(role, 'request', envelope);
  await stage.time.advance(RESOLVE_FOR_MS + RESOLVE_MS_MAX * 4);
  // What was given up long ago and still arrives must find itself barred.
  arrive();
  await askPeople(stage);
  return { stage, asked };
}

/**
 * A capture, void or refund whose call was lost cannot be cancelled, and where it cannot be
 * repeated either it waits until a person has looked at the backend.
 */
async function askPeople(stage: Stage): Promise<void> {
  if (stage.open().length === 0) return;
  for (let part = 0; part < 10; part++) await stage.time.leap(CANCEL_FOR_MS_MAX / 10);
  await stage.time.advance(RESOLVE_MS_MAX * 2);
  for (const { id } of stage.open()) {
    const [attempt] = stage.attempts(id as string).slice(-1);
    expect(attempt).toMatchObject({ state: 'person' });
    const { port } = attempt!['backend'] === 'other' ? stage.other : stage.backend;
    const state = await port.query(id as string);
    const outcome = state.kind === 'done' ? state.outcome : undefined;
    // Where the backend itself knows by now, its word counts and the person hears that.
    const word = { outcome, by: 'li', why: 'asked' };
    const answer = await stage
      .bridge()
      .resolve(id as string, word)
      .catch((error: unknown) => error);
    if (state.kind !== 'unseen') expect(answer).toMatchObject({ reason: 'original_unknown' });
    else expect(answer).toBeUndefined();
    await settle();
  }
}

/** Final receipts by subject, and as bytes. */
function finals(stage: Stage): ReadonlyMap<string, readonly (readonly [Receipt, string])[]> {
  const found = new Map<string, (readonly [Receipt, string])[]>();
  const topics = new Set(['glasses', 'kiosk'].map((device) => downTopic(device, 'receipt')));
  for (const { topic, payload } of stage.sent) {
    if (!topics.has(topic)) continue;
    const { value } = open(receiptKind, payload, stage.realm, () => CAST.bridge.key);
    if (!isFinal(value.outcome)) continue;
    const list = found.get(value.subject) ?? [];
    found.set(value.subject, list);
    list.push([value, toHex(payload)]);
  }
  return found;
}

const stories = fc.array(step, { minLength: 4, maxLength: 30 });
const ways = fc.constantFrom('replay' as const, 'query' as const);

describe('I1, I2, I3, I5, I6', () => {
  test('hold whatever happens to bridge, disk and backends', async () => {
    await fc.assert(
      fc.asyncProperty(stories, ways, async (story, resolvesBy) => {
        const { stage, asked } = await live(story, resolvesBy);
        const told = finals(stage);
        for (const { id, action, minor, afterRevoke } of asked) {
          const receipts = told.get(id) ?? [];
          expect(new Set(receipts.map(([, bytes]) => bytes)).size, `I5: ${action} ${id}`).toBe(1);
          const [receipt] = receipts[0]!;
          const at = [stage.backend, stage.other].filter(({ moved }) => moved.has(id));
          expect(at.length, `I2: ${id}`).toBeLessThanOrEqual(1);
          if (action === 'pay') {
            const isPaid = receipt.outcome === 'captured';
            expect(at.length, `I6: ${id} ${receipt.outcome}`).toBe(isPaid ? 1 : 0);
            if (isPaid) expect(receipt.amount?.minor).toBe(minor);
          }
          const spends = action === 'pay' || action === 'hold';
          if (spends && afterRevoke)
            expect(['refused', 'expired'], 'I3').toContain(receipt.outcome);
        }
        expect(stage.open(), 'I5: nothing stays open').toEqual([]);
        let page: string | undefined = '';
        while (page !== undefined) {
          const { differences, next } = await stage.store.recount(page);
          expect(differences, 'I1').toEqual([]);
          page = next;
        }
      }),
      { numRuns: RUNS },
    );
  }, 900_000);
});
