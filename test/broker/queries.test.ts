/** Answering a device's questions: boot, state and cancel, each about its own requests alone. */
import { describe, expect, test } from 'vitest';
import { createIdentities } from '../../broker/identities.ts';
import { type QueryAnswer, takeQuery } from '../../broker/queries.ts';
import { createReceipts } from '../../broker/receipts.ts';
import { createSqliteStore } from '../../broker/store/sqlite.ts';
import { createNonces } from '../../broker/tick.ts';
import { RESEND_FOR_MS, TOMBSTONES_PER_KEY_MAX } from '../../src/limits.ts';
import { random, timers } from '../../src/node/platform.ts';
import { REASONS } from '../../src/errors.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import { open } from '../../src/objects/kind.ts';
import { type Query, query as queryKind } from '../../src/objects/query.ts';
import { receipt as receiptKind } from '../../src/objects/receipt.ts';
import { tick as tickKind } from '../../src/objects/tick.ts';
import { CAST, NOW_MS, NOW_S, REALM, type Role, TICK_SECRET } from './stage.ts';
import { admissionOf, admitTo, createTime, enrol, putMandate, sealed, verdictOf } from './stage.ts';
import { accepted, start, succeed } from './store/acts.ts';

async function prepared() {
  const store = createSqliteStore(openDatabase(':memory:'), timers, random);
  await enrol(store);
  const { clock, advance } = createTime();
  const nonces = createNonces(TICK_SECRET, 1);
  const parts = {
    realm: REALM,
    store,
    identities: createIdentities(store, REALM, CAST.root.key, clock),
    receipts: createReceipts(REALM, CAST.bridge, clock),
    signer: CAST.bridge,
    nonces,
  };
  const ask = async (
    value: Query,
    role: Role = 'glasses',
    device: string = role,
    restoredMs?: number,
  ) => {
    const { envelope } = await sealed(queryKind, value, CAST[role]);
    const all = { ...parts, ...(restoredMs !== undefined && { restoredMs }) };
    return takeQuery(all, device, envelope, clock.nowMs());
  };
  return { store, nonces, advance, ask, mandate: await putMandate(store) };
}

const about = (question: 'state' | 'cancel', subject: string) => ({ question, subject }) as const;

/** What an answer says, opened under the bridge's key. */
function told(answer: QueryAnswer) {
  if (answer.kind !== 'receipt') throw new Error(`a ${answer.kind}, not a receipt`);
  return open(receiptKind, answer.envelope, REALM, () => CAST.bridge.key).value;
}

describe('boot', () => {
  test('a tick for this key alone, with its random and its highest counter', async () => {
    const { store, nonces, ask } = await prepared();
    await admitTo(store, await admissionOf({ counter: 41 }));
    const echo = new Uint8Array(16).fill(5);
    const answer = await ask({ question: 'boot', echo });
    if (answer.kind !== 'tick') throw new Error('no tick');
    const { value } = open(tickKind, answer.envelope, REALM, () => CAST.bridge.key);
    expect(value).toEqual({
      iat: NOW_S,
      counter: 41,
      nonce: nonces.at(NOW_MS),
      audience: CAST.glasses.key.name,
      echo,
    });
    const other = await ask({ question: 'boot', echo }, 'guest');
    if (other.kind !== 'tick') throw new Error('no tick');
    const theirs = open(tickKind, other.envelope, REALM, () => CAST.bridge.key).value;
    expect(theirs).toMatchObject({ counter: 0, audience: CAST.guest.key.name });
    expect(answer.over, 'it counts').toBeUndefined();
  });

  test.each([
    ['revoked', true],
    ['suspended', false],
  ] as const)('a %s key: told for good about this question: %s', async (status, isTold) => {
    const { store, ask } = await prepared();
    await store.setIdentityStatus(CAST.glasses.key.name, status, NOW_MS);
    const value = { question: 'boot', echo: new Uint8Array(16) } as const;
    const answer = await ask(value);
    if (answer.kind !== 'tick') throw new Error('no tick: its outbox is still to be answered');
    expect(answer.over !== undefined).toBe(isTold);
    if (!answer.over) return;
    const { id } = await sealed(queryKind, value, CAST.glasses);
    expect(open(receiptKind, answer.over, REALM, () => CAST.bridge.key).value).toMatchObject({
      ...{ subject: id, outcome: 'refused', reason: REASONS.revoked },
    });
  });
});

describe('state', () => {
  test('the device’s own request, as far as it has got', async () => {
    const { store, ask, mandate } = await prepared();
    const run = await start(store, await accepted(store, { mandate }));
    expect(await ask(about('state', run.id))).toEqual({ kind: 'run', run, isNews: false });
    await succeed(store, run);
    const over = await store.run(run.id);
    expect(await ask(about('state', run.id))).toEqual({ kind: 'run', run: over, isNews: false });
  });

  test('not seen: pending, which closes nothing', async () => {
    const { ask } = await prepared();
    const subject = 'ee'.repeat(16);
    const receipt = told(await ask(about('state', subject)));
    expect(receipt.subject).toBe(subject);
    expect(verdictOf(receipt)).toEqual(['pending', 'not_seen']);
  });

  test('another device’s request is answered like one that was never seen', async () => {
    const { store, ask, mandate } = await prepared();
    const run = await accepted(store, { mandate });
    expect(verdictOf(told(await ask(about('state', run.id), 'guest')))).toEqual([
      'pending',
      'not_seen',
    ]);
  });

  test('a query leaves no trace', async () => {
    const { store, ask } = await prepared();
    const before = await store.evidencePage(0, 99);
    await ask(about('state', 'ee'.repeat(16)));
    expect(await store.evidencePage(0, 99)).toEqual(before);
  });
});

describe('cancel', () => {
  test('not seen yet: the question is answered for good, in the same bytes', async () => {
    const { store, ask, advance, mandate } = await prepared();
    const admission = await admissionOf({ mandate });
    const question = await sealed(queryKind, about('cancel', admission.id), CAST.glasses);
    const first = await ask(about('cancel', admission.id));
    expect(verdictOf(told(first))).toEqual(['refused', 'cancelled']);
    expect(told(first), 'about the question, which is nobody else’s').toMatchObject({
      subject: question.id,
      iat: NOW_S,
    });
    await advance(5_000);
    const again = await ask(about('cancel', admission.id));
    expect(again).toEqual(first);
    const { run } = await admitTo(store, admission);
    expect(run).toMatchObject({ refusal: 'cancelled', receipt: undefined });
  });

  test('after a restore it may have been seen: not_seen, until nobody sends it again', async () => {
    const { store, ask, mandate } = await prepared();
    const admission = await admissionOf({ mandate });
    const restoredMs = (ms: number) => ask(about('cancel', admission.id), 'glasses', 'glasses', ms);
    const unsure = told(await restoredMs(NOW_MS - RESEND_FOR_MS + 1));
    expect([unsure.subject, ...verdictOf(unsure)]).toEqual([admission.id, 'pending', 'not_seen']);
    expect(await store.evidence(admission.id), 'nothing is buried').toEqual([]);
    const sure = told(await restoredMs(NOW_MS - RESEND_FOR_MS));
    expect(verdictOf(sure)).toEqual(['refused', 'cancelled']);
  });

  test('seen and without an attempt: refused; under way: noted; over: told', async () => {
    const { store, ask, mandate } = await prepared();
    const waiting = await accepted(store, { mandate });
    expect(await ask(about('cancel', waiting.id))).toMatchObject({
      kind: 'run',
      run: { refusal: 'cancelled' },
    });
    const running = await start(store, await accepted(store, { mandate }));
    const noted = { kind: 'run', run: { ...running, cancelAskedMs: NOW_MS } };
    expect(await ask(about('cancel', running.id))).toEqual({ ...noted, isNews: true });
    expect(await ask(about('cancel', running.id)), 'again').toEqual({ ...noted, isNews: false });
    const { id } = await succeed(store, await accepted(store, { mandate }));
    expect(await ask(about('cancel', id))).toEqual({
      kind: 'run',
      run: await store.run(id),
      isNews: false,
    });
  });

  test('another’s request goes on: nobody gets a refusal that names it', async () => {
    const { store, ask, mandate } = await prepared();
    const run = await start(store, await accepted(store, { mandate }));
    const present = told(await ask(about('cancel', run.id), 'guest'));
    expect([present.subject, ...verdictOf(present)]).toEqual([run.id, 'pending', 'not_seen']);
    expect(await store.run(run.id)).toEqual(run);
    const absent = 'ee'.repeat(16);
    const buried = told(await ask(about('cancel', absent), 'guest'));
    expect(verdictOf(buried)).toEqual(['refused', 'cancelled']);
    expect(buried.subject, 'a refusal of the question alone').not.toBe(absent);
  });

  test('beyond what a key may bury: pending, and not remembered', async () => {
    const { store, ask } = await prepared();
    const key = CAST.glasses.key.name;
    const bytes = { envelope: Uint8Array.of(1), receipt: Uint8Array.of(2) };
    const asked = { id: 'c0'.repeat(16), key, ...bytes, isUnsure: false, nowMs: NOW_MS };
    await Promise.all(
      Array.from({ length: TOMBSTONES_PER_KEY_MAX }, (_, i) =>
        store.cancel({ ...asked, subject: i.toString(16).padStart(32, '0') }),
      ),
    );
    const subject = 'ee'.repeat(16);
    const one = told(await ask(about('cancel', subject)));
    expect([one.subject, ...verdictOf(one)]).toEqual([subject, 'pending', 'rate_limited']);
    expect(await store.evidence(subject)).toEqual([]);
    await store.forget(NOW_MS + 1);
    expect(verdictOf(told(await ask(about('cancel', subject))))).toEqual(['refused', 'cancelled']);
  });
});

test.each([
  ['guest', 'glasses', 'another device’s topic'],
  ['stranger', 'glasses', 'a key that is not enrolled'],
  ['glasses', 'nobody', 'a topic of no device'],
] as const)('bad_signature: %s on the topic of %s (%s)', async (role, device, _why) => {
  const { ask } = await prepared();
  await expect(ask(about('state', 'ee'.repeat(16)), role, device)).rejects.toMatchObject({
    reason: 'bad_signature',
  });
});
