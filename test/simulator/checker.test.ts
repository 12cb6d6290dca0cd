/**
 * The checker against worlds made by hand: one that keeps every promise, and for each promise one
 * that breaks it and nothing else.
 *
 * The stores are real tables (the bridge's schema, the ledger's books, an outbox), filled row by
 * row with signed bytes, so a mistake of the product that its own tables refuse can be written.
 */
import { expect, test } from 'vitest';
import { cancelKeyOf } from '../../broker/attempt.ts';
import { type Operation, openBooks } from '../../broker/ledger/books.ts';
import { prepareSchema } from '../../broker/store/schema.ts';
import { REASONS, type Reason } from '../../src/errors.ts';
import { type Mandate, mandate as mandateKind } from '../../src/objects/mandate.ts';
import { type Receipt, receipt as receiptKind } from '../../src/objects/receipt.ts';
import { type Request, request as requestKind } from '../../src/objects/request.ts';
import { type Revoke, revoke as revokeKind } from '../../src/objects/revoke.ts';
import { tick as tickKind } from '../../src/objects/tick.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import type { Database } from '../../src/platform.ts';
import { downTopic, upTopic } from '../../src/topics.ts';
import { createChecker } from '../../simulator/checker.ts';
import type { Observed, Sight, Violation } from '../../simulator/observed.ts';
import {
  CAST,
  NOW_MS,
  NOW_S,
  PAYER,
  REALM,
  mandateOf,
  requestOf,
  sealed,
} from '../broker/stage.ts';
import { toHex } from '../../src/bytes.ts';

const yuan = (minor: bigint) => ({ currency: 'CNY', minor });
const HOUR_MS = 3_600_000;

type Asked = Readonly<{ id: string; envelope: Uint8Array; request: Request }>;

/** A world in which nothing happens but what the test says. */
function createWorld() {
  const observed: Observed[] = [];
  const store = openDatabase(':memory:');
  store.exec('PRAGMA foreign_keys = OFF');
  prepareSchema(store);
  const outbox = openDatabase(':memory:');
  outbox.exec('CREATE TABLE entries (id TEXT PRIMARY KEY, receipt BLOB)');
  const clock = { nowMs: () => NOW_MS, monotonicMs: () => 0 };
  const ledger = () => {
    const database = openDatabase(':memory:');
    const books = openBooks({ database, clock });
    books.openFunding({ funding: 'acct-1', wallet: undefined, balance: yuan(10_000_00n) });
    return { database, books };
  };
  const ledgers = new Map([
    ['ledger-a', ledger()],
    ['ledger-b', ledger()],
  ]);
  const audit: string[] = [];
  const world = { bridge: store as Database | undefined };
  const checker = createChecker({
    realm: REALM,
    observed,
    bridge: () => world.bridge,
    ledgers: new Map([...ledgers].map(([name, { database }]) => [name, () => database])),
    outbox: (device) => (device === 'glasses' ? outbox : undefined),
    audit: async () => audit,
  });

  function see(sight: Sight): Violation | undefined {
    const sequence = observed.length;
    observed.push({ atMs: sequence, sequence, ...sight });
    return checker.step();
  }
  const wire = (topic: string, bytes: Uint8Array) =>
    see({ what: 'wire', from: 'x', to: 'y', topic, bytes, fate: 'delivered' });
  const call = () =>
    see({ what: 'http', from: 'bridge', to: 'ledger-a', route: 'POST', fate: 'delivered' });

  let counter = 0;
  const api = {
    see,
    call,
    store,
    outbox,
    audit,
    world,
    checker,
    ledger: (name = 'ledger-a') => ledgers.get(name)!,
    async grant(changes: Partial<Mandate> = {}, by: 'wallet' | 'nobody' = 'wallet') {
      const { id, envelope } = await sealed(mandateKind, mandateOf(changes), CAST.wallet);
      if (by === 'wallet') see({ what: 'granted', wallet: 'wallet', id, envelope });
      store
        .prepare(
          `INSERT INTO mandates (id, issuer, payer, status, envelope, stored_ms)
           VALUES (?, 'wallet', ?, 'active', ?, 0)`,
        )
        .run(id, toHex(PAYER), envelope);
      return id;
    },
    async request(changes: Partial<Request>): Promise<Asked> {
      const request = requestOf({ counter: ++counter, ...changes });
      return { request, ...(await sealed(requestKind, request, CAST.glasses)) };
    },
    confirm: ({ request }: Asked) =>
      see({
        what: 'confirmed',
        device: 'glasses',
        person: 'wang',
        payee: request.payee,
        amount: request.amount!,
      }),
    send(one: Asked) {
      outbox.prepare('INSERT INTO entries (id) VALUES (?) ON CONFLICT DO NOTHING').run(one.id);
      return wire(upTopic('glasses', 'request'), one.envelope);
    },
    accept(
      { id, envelope, request }: Asked,
      row: Readonly<{ atMs?: number; refusal?: string; lease?: string }> = {},
    ) {
      store
        .prepare(
          `INSERT INTO runs (id, key, counter, device, envelope, admitted_ms, refusal, lease)
           VALUES (?, 'k', ?, 'glasses', ?, ?, ?, ?)`,
        )
        .run(
          id,
          BigInt(request.counter),
          envelope,
          BigInt(row.atMs ?? NOW_MS),
          row.refusal ?? null,
          row.lease ?? null,
        );
    },
    move(operation: Operation, at = 'ledger-a') {
      const [ran] = ledgers.get(at)!.books.run([operation]);
      expect(ran!.answer.kind).toBe('done');
    },
    pay({ id, request }: Asked, at = 'ledger-a', minor = request.amount!.minor) {
      api.move(
        {
          action: 'authorise',
          key: id,
          funding: 'acct-1',
          payee: request.payee,
          amount: yuan(minor),
          capture: request.action === 'hold' ? 'later' : 'now',
        },
        at,
      );
    },
    async answer(subject: string, changes: Partial<Receipt> = {}, reason?: Reason) {
      const said: Receipt = {
        iat: NOW_S,
        subject,
        outcome: 'captured',
        ...(reason && { reason: REASONS[reason] }),
        ...changes,
      };
      const { envelope } = await sealed(receiptKind, said, CAST.bridge);
      store
        .prepare('UPDATE runs SET outcome = ?, receipt = ? WHERE id = ?')
        .run(said.outcome, envelope, subject);
      outbox.prepare('UPDATE entries SET receipt = ? WHERE id = ?').run(envelope, subject);
      return wire(downTopic('glasses', 'receipt'), envelope);
    },
    /** A payment as it should be, up to and with its receipt. */
    async paid(changes: Partial<Request>): Promise<Asked> {
      const one = await api.request(changes);
      expect(api.confirm(one)).toBeUndefined();
      expect(api.send(one)).toBeUndefined();
      api.accept(one);
      expect(api.call()).toBeUndefined();
      api.pay(one);
      expect(await api.answer(one.id, { amount: one.request.amount! })).toBeUndefined();
      return one;
    },
    tell: (kind: 'paid' | 'refused' | 'accepted', id: string) =>
      see({ what: 'told', device: 'glasses', kind, id }),
    async revoke(changes: Partial<Revoke>) {
      const said = { payer: PAYER, iat: NOW_S, ...changes };
      const { id, envelope } = await sealed(revokeKind, said, CAST.wallet);
      see({ what: 'revoked', wallet: 'wallet', id, envelope });
      store.prepare('INSERT INTO revokes (id, running) VALUES (?, ?)').run(id, '[]');
      return id;
    },
    wire,
  };
  return api;
}

const broken = (violation: Violation | undefined) =>
  violation && [violation.kind, violation.invariant, violation.story];

test('a world that keeps its promises is found to keep them', async () => {
  const world = createWorld();
  const mandate = await world.grant();
  const paid = await world.paid({ mandate });
  expect(world.tell('paid', paid.id)).toBeUndefined();

  const refused = await world.request({ mandate });
  world.confirm(refused);
  world.send(refused);
  world.accept(refused, { refusal: 'limit_window' });
  await world.answer(refused.id, { outcome: 'refused' }, 'limit_window');
  world.tell('refused', refused.id);

  const held = await world.request({ mandate, action: 'hold', amount: yuan(20_00n) });
  world.send(held);
  world.accept(held);
  world.pay(held);
  expect(await world.answer(held.id, { outcome: 'held', amount: yuan(20_00n) })).toBeUndefined();
  const part = { mandate, action: 'capture', original: held.id, amount: yuan(15_00n) } as const;
  const capture = await world.request(part);
  world.send(capture);
  world.accept(capture);
  const acts = { original: held.id, key: capture.id, amount: yuan(15_00n) };
  world.move({ action: 'capture', ...acts });
  expect(await world.answer(capture.id, { amount: yuan(15_00n) })).toBeUndefined();

  const back = { mandate, action: 'refund', original: paid.id, amount: yuan(3_00n) } as const;
  const refund = await world.request(back);
  world.send(refund);
  world.accept(refund);
  world.move({ action: 'refund', key: refund.id, original: paid.id, amount: yuan(3_00n) });
  await world.answer(refund.id, { outcome: 'refunded', amount: yuan(3_00n) });
  const receipt = world.outbox.prepare('SELECT receipt FROM entries WHERE id = ?').get(refund.id);
  world.wire(downTopic('glasses', 'receipt'), receipt!['receipt'] as Uint8Array);

  expect(world.see({ what: 'healed' })).toBeUndefined();
  expect(await world.checker.end()).toEqual([]);
});

test('I1: a total window that holds more than its maximum', async () => {
  const world = createWorld();
  const mandate = await world.grant({ windows: [{ kind: 'total', max: 25_00n, count: 9 }] });
  await world.paid({ mandate });
  await world.paid({ mandate });
  const one = await world.request({ mandate });
  world.confirm(one);
  world.send(one);
  world.accept(one);
  expect(broken(world.call())).toEqual([
    'safety',
    'I1',
    `total window 0 of mandate ${mandate} (total) holds 3000 in 3 payments, ` +
      'it may hold 2500 in 9 payments',
  ]);
});

test('I1: one payment more than a window counts', async () => {
  const world = createWorld();
  const mandate = await world.grant({ windows: [{ kind: 'total', max: 99_00n, count: 1 }] });
  await world.paid({ mandate });
  const one = await world.request({ mandate });
  world.confirm(one);
  world.send(one);
  world.accept(one);
  expect(world.call()).toMatchObject({ invariant: 'I1' });
});

test('I1: a calendar window counts by the date of its own zone', async () => {
  const windows = [
    { kind: 'calendar', period: 'day', zone: 'Asia/Shanghai', max: 15_00n, count: 9 },
    { kind: 'rolling', seconds: 3_600, max: 15_00n, count: 9 },
  ] as const;
  const times = async (secondMs: number) => {
    const world = createWorld();
    const mandate = await world.grant({ windows });
    await world.paid({ mandate });
    const one = await world.request({ mandate });
    world.confirm(one);
    world.send(one);
    world.accept(one, { atMs: NOW_MS + secondMs });
    return world.call()?.story.split(' of ')[0];
  };
  // NOW_MS is noon in Shanghai.
  expect(await times(HOUR_MS - 1)).toBe('calendar window 0');
  expect(await times(HOUR_MS)).toBe('calendar window 0');
  expect(await times(12 * HOUR_MS - 1)).toBe('calendar window 0');
  expect(await times(12 * HOUR_MS)).toBeUndefined();
});

test('I1: what a rolling window forgets is an hour old, and no second less', async () => {
  const times = async (secondMs: number) => {
    const world = createWorld();
    const windows = [{ kind: 'rolling', seconds: 3_600, max: 15_00n, count: 9 }] as const;
    const mandate = await world.grant({ windows });
    await world.paid({ mandate });
    const one = await world.request({ mandate });
    world.confirm(one);
    world.send(one);
    world.accept(one, { atMs: NOW_MS + secondMs });
    return world.call()?.invariant;
  };
  expect(await times(HOUR_MS - 1)).toBe('I1');
  expect(await times(HOUR_MS)).toBeUndefined();
});

test('I1: what was refused or released takes nothing', async () => {
  const world = createWorld();
  const mandate = await world.grant({ windows: [{ kind: 'total', max: 15_00n, count: 9 }] });
  const held = await world.request({ mandate, action: 'hold' });
  world.send(held);
  world.accept(held);
  world.pay(held);
  await world.answer(held.id, { outcome: 'held', amount: yuan(10_00n) });
  const release = await world.request({ mandate, action: 'void', original: held.id });
  world.send(release);
  world.accept(release);
  const act = { original: held.id, key: release.id, amount: yuan(10_00n) };
  world.move({ action: 'void', ...act });
  expect(await world.answer(release.id, { outcome: 'voided', amount: yuan(10_00n) })).toBe(
    undefined,
  );
  await world.paid({ mandate });
  expect(await world.checker.end()).toEqual([]);
});

test('I1: a window of the parent counts what the child spends', async () => {
  const world = createWorld();
  const parent = await world.grant({ windows: [{ kind: 'total', max: 15_00n, count: 9 }] });
  const child = await sealed(mandateKind, mandateOf({ parent }), CAST.glasses);
  world.store
    .prepare(
      `INSERT INTO mandates (id, parent, issuer, payer, status, envelope, stored_ms)
       VALUES (?, ?, 'glasses', ?, 'active', ?, 0)`,
    )
    .run(child.id, parent, toHex(PAYER), child.envelope);
  await world.paid({ mandate: child.id });
  const one = await world.request({ mandate: child.id });
  world.confirm(one);
  world.send(one);
  world.accept(one);
  expect(world.call()).toMatchObject({ invariant: 'I1' });
});

test('I1: what a rolling window has forgotten when a lease is given does not count', async () => {
  for (const [beforeMs, invariant] of [
    [HOUR_MS - 1, 'I1'],
    [HOUR_MS, undefined],
  ] as const) {
    const world = createWorld();
    const windows = [{ kind: 'rolling', seconds: 3_600, max: 25_00n, count: 9 }] as const;
    const mandate = await world.grant({ windows, nbf: NOW_S - 9_000 });
    const one = await world.request({ mandate });
    world.confirm(one);
    world.send(one);
    world.accept(one, { atMs: NOW_MS - beforeMs });
    expect((await lend(world, mandate))?.invariant).toBe(invariant);
  }
});

/** A lease of 20 yuan in two payments, and the pool that it is drawn from. */
async function lend(world: ReturnType<typeof createWorld>, mandate: string) {
  const since = world.store.prepare('SELECT coalesce(max(rowid), 0) AS n FROM runs').get()!['n']!;
  world.store
    .prepare(
      `INSERT INTO pools (key, mandate, currency, amount, count, at_ms, since, until)
       VALUES ('k', ?, 'CNY', 2000, 2, ?, ?, 0)`,
    )
    .run(mandate, BigInt(NOW_MS), since);
  const { envelope } = await sealed(
    tickKind,
    {
      iat: NOW_S,
      nonce: new Uint8Array(8),
      audience: CAST.glasses.key.name,
      lease: {
        exp: NOW_S + 60,
        mandate,
        amount: yuan(20_00n),
        count: 2,
        upload: NOW_S + 120,
      },
    },
    CAST.bridge,
  );
  return world.wire(downTopic('glasses', 'tick'), envelope);
}

test('I1: a lease that was not set aside in a window is found when it is told', async () => {
  const world = createWorld();
  const mandate = await world.grant({ windows: [{ kind: 'total', max: 25_00n, count: 9 }] });
  await world.paid({ mandate });
  expect(broken(await lend(world, mandate))?.slice(0, 2)).toEqual(['safety', 'I1']);
});

test('I1: a payment beside a lease, but not one under it, takes more than there is', async () => {
  for (const lease of ['00'.repeat(8), undefined]) {
    const world = createWorld();
    const mandate = await world.grant({ windows: [{ kind: 'total', max: 25_00n, count: 9 }] });
    expect(await lend(world, mandate)).toBeUndefined();
    const one = await world.request({ mandate });
    world.confirm(one);
    world.send(one);
    world.accept(one, lease === undefined ? {} : { lease });
    expect(world.call()?.invariant).toBe(lease === undefined ? 'I1' : undefined);
  }
});

test('I2: one id that moved at two ledgers', async () => {
  const world = createWorld();
  const paid = await world.paid({ mandate: await world.grant() });
  world.pay(paid, 'ledger-b');
  expect(world.call()).toMatchObject({
    invariant: 'I2',
    story: expect.stringContaining('moved money twice: 1000 at ledger-a, 1000 at ledger-b'),
  });
});

test('I2: a hold that was cancelled at one ledger may be held at another', async () => {
  const world = createWorld();
  const mandate = await world.grant();
  const held = await world.request({ mandate, action: 'hold' });
  world.send(held);
  world.accept(held);
  world.pay(held);
  const undo = { key: cancelKeyOf(held.id), original: held.id, amount: yuan(10_00n) };
  world.move({ action: 'void', ...undo });
  world.pay(held, 'ledger-b');
  expect(world.call()).toBeUndefined();
});

test('I2: another amount, and money that nobody asked for', async () => {
  const world = createWorld();
  const one = await world.request({ mandate: await world.grant() });
  world.confirm(one);
  world.send(one);
  world.accept(one);
  world.pay(one, 'ledger-a', 10_01n);
  expect(world.call()).toMatchObject({
    invariant: 'I2',
    story: expect.stringContaining('another'),
  });

  const other = createWorld();
  other.pay(one);
  expect(other.call()).toMatchObject({ invariant: 'I2', story: expect.stringContaining('nobody') });
});

test('I2: one order that two people paid', async () => {
  const world = createWorld();
  const mandate = await world.grant();
  const order = 'ab'.repeat(16);
  await world.paid({ mandate, order });
  const second = await world.request({ mandate, order });
  world.confirm(second);
  world.send(second);
  world.accept(second);
  world.pay(second);
  expect(world.call()).toMatchObject({ invariant: 'I2', story: expect.stringContaining('order') });
});

test.each(['mandate', 'epoch'] as const)(
  'I3: accepted after the revoke by %s was acknowledged, and not before',
  async (by) => {
    const world = createWorld();
    const mandate = await world.grant();
    const one = await world.request({ mandate });
    const late = await world.request({ mandate });
    for (const each of [one, late]) {
      world.confirm(each);
      world.send(each);
    }
    const revoke = await world.revoke(by === 'mandate' ? { mandate } : { epoch: 2 });
    world.accept(one);
    const running = { outcome: 'granted', running: [one.id] } as const;
    expect(await world.answer(revoke, running)).toBeUndefined();
    world.pay(one);
    expect(await world.answer(one.id, { amount: one.request.amount! })).toBeUndefined();
    world.accept(late);
    expect(world.call()).toMatchObject({ invariant: 'I3' });
  },
);

test('I3: moved after the acknowledgement, which did not list it', async () => {
  const world = createWorld();
  const mandate = await world.grant();
  const one = await world.request({ mandate });
  world.confirm(one);
  world.send(one);
  world.accept(one);
  await world.answer(await world.revoke({ mandate }), { outcome: 'granted' });
  world.pay(one);
  expect(world.call()).toMatchObject({ invariant: 'I3', story: expect.stringContaining('naming') });
});

test('I3: what moved before is read again after its ledger lost power', async () => {
  const world = createWorld();
  const mandate = await world.grant();
  await world.paid({ mandate });
  await world.answer(await world.revoke({ mandate }), { outcome: 'granted' });
  world.see({ what: 'life', machine: 'ledger-a', event: 'power cut' });
  expect(world.call()).toBeUndefined();
});

test('I3: a bridge that was restored to before the revoke has not acknowledged it', async () => {
  const world = createWorld();
  const mandate = await world.grant();
  await world.answer(await world.revoke({ mandate }), { outcome: 'granted' });
  world.store.exec('DELETE FROM revokes');
  world.see({ what: 'life', machine: 'bridge', event: 'restored' });
  await world.paid({ mandate });
});

const beyond: readonly [string, Partial<Mandate>, Partial<Request>][] = [
  ['too much in one payment', { perPaymentMax: 9_99n }, {}],
  ['too little', { perPaymentMin: 10_01n }, {}],
  ['another payee', { allow: [{ kind: 'payee', payee: 'bazaar' }] }, {}],
  ['a payee that is denied', { deny: [{ kind: 'payee', payee: 'cafe' }] }, {}],
  ['another terminal', { allow: [{ kind: 'terminal', terminal: 'till-1' }] }, {}],
  ['another channel', { channels: 2 }, {}],
  ['another currency', { currency: 'EUR' }, {}],
  ['less presence', { bands: [{ ceiling: 100_00n, level: 3 }] }, {}],
  ['after its end', { exp: NOW_S }, {}],
  ['before its time', { nbf: NOW_S + 1 }, {}],
  ['another key', { cnf: CAST.guest.key.name }, {}],
];

test.each(beyond)('I4: accepted although it is %s', async (_name, changes, request) => {
  const world = createWorld();
  const one = await world.request({ mandate: await world.grant(changes), ...request });
  world.confirm(one);
  world.send(one);
  world.accept(one);
  expect(world.call()).toMatchObject({ kind: 'safety', invariant: 'I4' });
});

test('I4: a mandate that no wallet granted, and one that is not there', async () => {
  const world = createWorld();
  const one = await world.request({ mandate: await world.grant({}, 'nobody') });
  world.confirm(one);
  world.send(one);
  world.accept(one);
  expect(world.call()).toMatchObject({ invariant: 'I4', story: expect.stringContaining('wallet') });

  const other = createWorld();
  const two = await other.request({ mandate: 'cd'.repeat(16) });
  other.confirm(two);
  other.send(two);
  other.accept(two);
  expect(other.call()).toMatchObject({ invariant: 'I4', story: expect.stringContaining('chain') });
});

test('I5: a second final receipt with other bytes', async () => {
  const world = createWorld();
  const paid = await world.paid({ mandate: await world.grant() });
  const again = { amount: paid.request.amount!, iat: NOW_S + 1 };
  expect(await world.answer(paid.id, again)).toMatchObject({ invariant: 'I5' });
});

test('I5: after a restore the bytes may differ, the answer may not', async () => {
  const second = async (changes: Partial<Receipt>, reason?: Reason) => {
    const world = createWorld();
    const paid = await world.paid({ mandate: await world.grant() });
    world.see({ what: 'life', machine: 'bridge', event: 'restored' });
    const said = { amount: paid.request.amount!, iat: NOW_S + 1, ...changes };
    return (await world.answer(paid.id, said, reason))?.invariant;
  };
  expect(await second({})).toBeUndefined();
  expect(await second({ outcome: 'refused' }, 'stale_nonce')).toBe('I5');
});

test('I5: an outcome that is no answer to what was asked', async () => {
  const world = createWorld();
  const one = await world.request({ mandate: await world.grant() });
  world.confirm(one);
  world.send(one);
  world.accept(one);
  expect(await world.answer(one.id, { outcome: 'granted' })).toMatchObject({ invariant: 'I5' });
});

test('I4: a request that somebody put into the broker, and the bridge took', async () => {
  const world = createWorld();
  const one = await world.request({ mandate: await world.grant() });
  world.see({
    ...{ what: 'forged', forgery: 'altered' },
    ...{ topic: upTopic('glasses', 'request'), bytes: one.envelope },
  });
  expect(world.send(one), 'nobody has said it').toBeUndefined();
  world.accept(one);
  expect(world.call()).toMatchObject({ invariant: 'I4', story: expect.stringContaining('forged') });
});

test('what was put into the broker answers nothing: neither paid nor refused', async () => {
  const world = createWorld();
  const one = await world.request({ mandate: await world.grant() });
  world.confirm(one);
  world.send(one);
  world.accept(one);
  const receipt = { subject: one.id, iat: NOW_S, outcome: 'captured', amount: yuan(1n) } as const;
  const { envelope: bytes } = await sealed(receiptKind, receipt, CAST.bridge);
  const topic = downTopic('glasses', 'receipt');
  world.see({ what: 'forged', forgery: 'strange key', topic, bytes });
  const wire = { what: 'wire', from: 'broker', to: 'glasses', fate: 'delivered', topic } as const;
  expect(world.see({ ...wire, bytes })).toBeUndefined();
  const spoken = Uint8Array.from(bytes);
  expect(world.see({ ...wire, bytes: spoken })).toMatchObject({ invariant: 'I6' });
});

test('I6: a receipt that says captured when nothing moved', async () => {
  const world = createWorld();
  const one = await world.request({ mandate: await world.grant() });
  world.confirm(one);
  world.send(one);
  world.accept(one);
  const violation = await world.answer(one.id, { amount: one.request.amount! });
  expect(broken(violation)).toEqual([
    'safety',
    'I6',
    `${one.id.slice(0, 8)} (pay 10.00 yuan) is captured (10.00 yuan), ` +
      'but the ledgers moved nothing',
  ]);
});

test('I6: a refusal when money moved before, and when it moves later', async () => {
  for (const isBefore of [true, false]) {
    const world = createWorld();
    const one = await world.request({ mandate: await world.grant() });
    world.confirm(one);
    world.send(one);
    world.accept(one);
    if (isBefore) world.pay(one);
    const said = await world.answer(one.id, { outcome: 'refused' }, 'backend_declined');
    if (!isBefore) world.pay(one);
    expect(said ?? world.call()).toMatchObject({ invariant: 'I6' });
  }
});

test('I7: an outbox that does not know what was sent, and one where it waits', async () => {
  for (const [what, story] of [
    ['DELETE FROM entries', 'does not know it'],
    ['UPDATE entries SET receipt = NULL', 'still waits'],
  ] as const) {
    const world = createWorld();
    await world.paid({ mandate: await world.grant() });
    world.outbox.exec(what);
    world.see({ what: 'healed' });
    expect(await world.checker.end()).toMatchObject([
      { kind: 'safety', invariant: 'I7', story: expect.stringContaining(story) },
    ]);
  }
});

test('I7: what was accepted and never sent; a copied device is not asked', async () => {
  for (const isCopied of [false, true]) {
    const world = createWorld();
    if (isCopied) world.see({ what: 'life', machine: 'glasses-clone-1', event: 'cloned' });
    world.tell('accepted', 'ef'.repeat(16));
    world.see({ what: 'healed' });
    expect((await world.checker.end()).map(({ invariant }) => invariant)).toEqual(
      isCopied ? [] : ['I7'],
    );
  }
});

test('liveness: what the bridge took and did not end; before the healing it may wait', async () => {
  const world = createWorld();
  const one = await world.request({ mandate: await world.grant() });
  world.confirm(one);
  world.accept(one);
  world.call();
  expect(await world.checker.end()).toEqual([]);
  world.see({ what: 'healed' });
  expect(await world.checker.end()).toMatchObject([{ kind: 'liveness', invariant: 'liveness' }]);
});

test('counter: one for two requests, unless its device was copied', async () => {
  for (const isCopied of [false, true]) {
    const world = createWorld();
    if (isCopied) world.see({ what: 'life', machine: 'glasses', event: 'restored' });
    const mandate = await world.grant();
    const one = await world.request({ mandate, counter: 5 });
    const two = await world.request({ mandate, counter: 5, payee: 'bar' });
    for (const each of [one, two]) world.confirm(each);
    world.send(one);
    expect(world.send(two)?.invariant).toBe(isCopied ? undefined : 'counter');
  }
});

test('confirmed: asked for without a confirmation, and twice for one', async () => {
  const world = createWorld();
  const mandate = await world.grant();
  const one = await world.request({ mandate });
  expect(world.send(one)).toMatchObject({ invariant: 'confirmed' });

  const other = createWorld();
  const again = await other.request({ mandate, counter: 2 });
  other.confirm(one);
  expect(other.send(one)).toBeUndefined();
  expect(other.send(one)).toBeUndefined();
  expect(other.send(again)).toMatchObject({
    invariant: 'confirmed',
    story: expect.stringContaining('2 times, it was confirmed 1 times'),
  });
});

test('confirmed: a key that acts alone needs nobody', async () => {
  const world = createWorld();
  const mandate = await world.grant();
  const one = await world.request({ mandate });
  world.see({ what: 'signed', agent: 'glasses', id: one.id });
  expect(world.send(one)).toBeUndefined();
  expect(world.send(await world.request({ mandate, channel: 'autonomous' }))).toBeUndefined();
});

test('told: paid of what did not move, and not paid of what did, then or later', async () => {
  const world = createWorld();
  const mandate = await world.grant();
  const one = await world.request({ mandate });
  world.confirm(one);
  world.send(one);
  expect(world.tell('paid', one.id)).toMatchObject({ invariant: 'told' });

  const other = createWorld();
  const paid = await other.paid({ mandate: await other.grant() });
  expect(other.tell('refused', paid.id)).toMatchObject({ invariant: 'told' });

  const third = createWorld();
  third.confirm(one);
  third.send(one);
  third.accept(one);
  third.tell('refused', one.id);
  third.pay(one);
  await third.grant();
  expect(third.call()).toMatchObject({ kind: 'safety' });
});

test('told: what was never sent may be refused, but not paid', () => {
  const world = createWorld();
  expect(world.tell('refused', 'ab'.repeat(16))).toBeUndefined();
  expect(world.tell('paid', 'ab'.repeat(16))).toMatchObject({ invariant: 'told' });
});

test('balance: books that say another balance than their movements', async () => {
  const world = createWorld();
  await world.paid({ mandate: await world.grant() });
  world.ledger().database.exec(`UPDATE account SET balance = balance + 1 WHERE kind = 'payee'`);
  expect(await world.checker.end()).toMatchObject([
    { invariant: 'balance', story: expect.stringContaining('holds 1001, its movements make 1000') },
  ]);
});

test('balance: what the product’s own audit finds counts', async () => {
  const world = createWorld();
  world.audit.push('link 7 of the chain does not hold');
  expect(await world.checker.end()).toMatchObject([{ invariant: 'balance' }]);
});

test('crash: an error that nobody took', () => {
  const world = createWorld();
  expect(world.see({ what: 'crash', machine: 'bridge', error: 'TypeError: x' })).toMatchObject({
    kind: 'crash',
    story: 'bridge: TypeError: x',
  });
});

test('a bridge that lost what was not on its disk is read again', async () => {
  const world = createWorld();
  const mandate = await world.grant({ windows: [{ kind: 'total', max: 10_00n, count: 1 }] });
  const lost = await world.request({ mandate });
  world.confirm(lost);
  world.send(lost);
  world.accept(lost);
  expect(world.call()).toBeUndefined();
  world.store.exec('DELETE FROM runs');
  world.see({ what: 'life', machine: 'bridge', event: 'power cut' });
  await world.paid({ mandate });
  expect(await world.checker.end()).toEqual([]);
});

test('bytes that are no object at all are nobody’s fault', () => {
  const world = createWorld();
  expect(world.wire(upTopic('glasses', 'request'), new Uint8Array([1, 2, 3]))).toBeUndefined();
  expect(world.wire(downTopic('glasses', 'receipt'), new Uint8Array())).toBeUndefined();
  expect(world.wire('somewhere/else', new Uint8Array([9]))).toBeUndefined();
});
