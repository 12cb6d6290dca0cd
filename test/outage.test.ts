// A day without the link, in virtual time: a kiosk (the device's own line, link, outbox, leases and
// time) beside a whole bridge on a real store, joined by a wire that the test cuts. Customers tap
// their tags all day, the power fails in the middle, and then everything that was accepted has to
// be found again: at the device, at the bridge, at the backend, once each.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { type Sent, createStage } from './broker/stage.ts';
import { CAST, NOW_S, POLICY, REALM, mandateOf, putMandate } from './broker/stage.ts';
import { settle, statementOf } from './broker/stage.ts';
import { createDisk, presenceOf } from './device/stage.ts';
import { createDeviceLink } from '../device/link.ts';
import { createOutbox } from '../device/outbox.ts';
import { createDirectory } from '../device/payees.ts';
import { createPin } from '../device/pin.ts';
import { createDevice } from '../device/runtime.ts';
import { createSequence } from '../device/sequence.ts';
import type { Told } from '../device/telling.ts';
import { createTime } from '../device/time.ts';
import { createTrust } from '../device/trust.ts';
import { createUpdates } from '../device/updates.ts';
import { payloadOf } from '../src/cose.ts';
import { CONFIRM_READ_MS, TICK_SLOT_MS } from '../src/limits.ts';
import { random } from '../src/node/platform.ts';
import { openDatabase } from '../src/node/sqlite.ts';
import { keyStatement } from '../src/objects/key.ts';
import { seal } from '../src/objects/kind.ts';
import type { Mandate } from '../src/objects/mandate.ts';
import { type Policy, policy as policyKind } from '../src/objects/policy.ts';
import { request as requestKind } from '../src/objects/request.ts';
import type { Connect } from '../src/platform.ts';
import { parseTopic } from '../src/topics.ts';

const HOUR_MS = 3_600_000;
const KIOSK = 'kiosk';
const CUSTOMERS = 8;

const DAY: Policy = {
  ...POLICY,
  ladders: [{ currency: 'CNY', bands: [{ ceiling: 100_00n, level: 1 }] }],
  offline: {
    behaviour: 'prefer_online',
    currency: 'CNY',
    floorLimit: 40_00n,
    storedAmountMax: 720_00n,
    storedCountMax: 32,
    acceptWindow: 86_400,
    uploadWindow: 86_400,
    goOnlineEvery: [12, 22],
    payerCountMax: 4,
    payerAmountMax: 90_00n,
    policyAgeMax: 604_800,
  },
};

/** Small amounts, counted, at P1: what a tag is good for. */
const TAG: Partial<Mandate> = {
  cnf: CAST.kiosk.key.name,
  exp: NOW_S + 30 * 86_400,
  perPaymentMax: 100_00n,
  windows: [{ kind: 'total', max: 300_00n, count: 20 }],
  bands: [{ ceiling: 100_00n, level: 1 }],
};

/** The bridge, and a wire to it that the test holds: what it lets through, if anything. */
async function createShop() {
  const stage = await createStage();
  const { clock, timers, advance } = stage.time;
  const policies = [DAY];
  const wire = { isUp: true, isLost: (_tail: string): boolean => false };
  /** Requests as the bridge first saw them, by counter. */
  const seen: number[] = [];
  let plugged: Parameters<Connect>[1] | undefined;

  const send = (topic: string, payload: Uint8Array, qos: 0 | 1): void => {
    (stage.sent as Sent[]).push({ topic, payload, qos });
    const to = parseTopic(topic);
    if (!wire.isUp || (to?.way === 'down' && to.device !== KIOSK)) return;
    setImmediate(() => wire.isUp && plugged?.message(topic, payload));
  };
  stage.restart(undefined, { send, rules: { policies, isFresh: stage.nonces.isFresh } });
  const till = statementOf('kiosk', { presenceMax: 1 });
  const envelopes = await Promise.all([
    seal(keyStatement, till, REALM, CAST.root),
    seal(keyStatement, statementOf('bridge'), REALM, CAST.root),
  ]);
  await stage.store.putIdentity(CAST.kiosk.key.name, till, envelopes[0], NOW_S * 1000);
  const mandates: string[] = [];
  for (let n = 0; n < CUSTOMERS; n++) {
    mandates.push(await putMandate(stage.store, { ...TAG, iat: NOW_S - n }));
  }

  const connect: Connect = (_options, events) => {
    plugged = events;
    if (wire.isUp) setImmediate(() => events.state('up', 'connected'));
    return {
      publish(topic, payload) {
        const { tail, way } = parseTopic(topic) ?? {};
        if (!wire.isUp || way !== 'up' || wire.isLost(tail!)) return;
        if (tail === 'request') {
          const { counter } = requestKind.decode(payloadOf(payload));
          if (!seen.includes(counter)) seen.push(counter);
        }
        stage.bridge().receive(topic, payload);
      },
      renew: () => {},
      close: async () => {},
    };
  };

  return {
    ...{ stage, clock, timers, wire, seen, mandates, connect, statements: envelopes },
    policy: await seal(policyKind, DAY, REALM, CAST.root),
    /** Lets time pass; while the link is there the bridge ticks. */
    async pass(ms: number) {
      for (let left = ms; left > 0; left -= TICK_SLOT_MS) {
        if (!wire.isUp) return advance(left);
        await advance(Math.min(left, TICK_SLOT_MS));
        await stage.bridge().tick();
        await settle();
      }
    },
    cut() {
      wire.isUp = false;
      plugged?.state('down', 'cut');
    },
    async restore() {
      wire.isUp = true;
      plugged?.state('up', 'connected');
      await settle();
    },
  };
}

type Shop = Awaited<ReturnType<typeof createShop>>;

/** A kiosk on the file at `path`; another one on the same file is what it is after a power cut. */
function startKiosk(shop: Shop, path: string) {
  const { clock, timers, connect, mandates } = shop;
  const database = openDatabase(path);
  const outbox = createOutbox(database);
  const time = createTime(clock);
  const { statements, policy } = shop;
  const trust = createTrust(REALM, CAST.root.key, statements, [policy], time.trustedMs, KIOSK);
  const staff: string[] = [];
  const faults: string[] = [];
  const shared = { realm: REALM, signer: CAST.kiosk, trust, time, outbox, clock, timers };
  const log = () => {};
  const device = createDevice({
    ...shared,
    log,
    sequence: createSequence({ ...shared, log }),
    language: 'en',
    presenceMax: 1,
    mandates: mandates.map((id, n) => ({
      id,
      mandate: mandateOf({ ...TAG, iat: NOW_S - n }),
      payer: `payer-${n}`,
    })),
    directory: createDirectory(trust.payees),
    random,
    pin: createPin(createDisk(), random, 'device.pin'),
    link: () => link,
    updates: createUpdates(clock),
    readCode: async () => undefined,
    surface: { ask: () => {}, say: () => {} },
    counter: { payee: 'cafe', terminal: 'till-1', staff: (sentence) => void staff.push(sentence) },
  });
  device.resume();
  const link = createDeviceLink(
    {
      ...shared,
      log,
      device: KIOSK,
      presence: presenceOf(outbox, KIOSK),
      url: 'mqtt://nowhere',
      connect,
      keepsLeases: true,
      random,
    },
    {
      receipt: (id, receipt, _envelope, isFirst) =>
        isFirst ? device.hear(id, receipt) : undefined,
      state: () => {},
      cloned: () => void faults.push('cloned'),
      unsigned: (reason) => void faults.push(reason),
    },
  );

  /** A bill, a tag and a press. */
  async function collect(minor: bigint, customer: number): Promise<Told> {
    device.bill({ currency: 'CNY', minor });
    const link = { kind: 'link', text: `saytap://payer/${mandates[customer]}` } as const;
    const told = device.sense(link);
    await settle();
    await shop.stage.time.advance(CONFIRM_READ_MS);
    device.answer({ kind: 'press' });
    await settle();
    return told;
  }
  return { device, outbox, link, time, staff, faults, collect, unplug: () => database.close() };
}

/** Repeatable, and no better than it has to be. */
function createDice(seed: number) {
  let state = seed;
  return (below: number) => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((state / 2_147_483_648) * below);
  };
}

test.each([1, 2, 3])('a day without the link, all found again: seed %i', async (seed) => {
  const folder = mkdtempSync(join(tmpdir(), 'saytap-outage-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'outbox.db');
  const shop = await createShop();
  const { stage, wire, mandates } = shop;
  const dice = createDice(seed);
  let kiosk = startKiosk(shop, path);
  await shop.pass(60_000);
  const lefts = () => mandates.map((id) => kiosk.outbox.lease(id)?.left.count);
  expect(lefts(), 'a lease for every customer').toEqual(mandates.map(() => 4));
  expect((await kiosk.collect(10_00n, 0)).kind, 'online').toBe('paid');
  await shop.pass(15 * 60_000);

  shop.cut();
  const accepted = new Map<string, bigint>();
  const refused = new Map<string, number>();
  const QUARTER_MS = HOUR_MS / 4;
  for (let quarter = 0; quarter <= 97; quarter++) {
    if (quarter === 40) {
      kiosk.unplug();
      kiosk = startKiosk(shop, path);
      expect(kiosk.device.stored().count, 'after the power cut').toBe(accepted.size);
    }
    if (quarter === 44) {
      // The link comes back for a moment: long enough for the time, and every request is lost.
      wire.isLost = (tail) => tail === 'request';
      await shop.restore();
      await shop.pass(10_000);
      shop.cut();
      wire.isLost = () => false;
    }
    const minor = BigInt(1 + dice(55_00));
    const told = await kiosk.collect(minor, dice(CUSTOMERS));
    if (told.kind === 'accepted') accepted.set(told.id, minor);
    else if (told.kind === 'not_sent') {
      refused.set(told.reason, (refused.get(told.reason) ?? 0) + 1);
    } else expect.fail(`nobody is there to say ${told.kind}`);
    await shop.pass(QUARTER_MS);
  }
  expect(accepted.size).toBeGreaterThan(15);
  expect([...refused.keys()].sort()).toEqual([
    'clock_untrusted',
    'lease_expired',
    'offline_floor_limit',
    'offline_go_online',
    'offline_payer_velocity',
  ]);
  const sum = [...accepted.values()].reduce((a, b) => a + b, 0n);
  expect(kiosk.device.stored()).toMatchObject({
    count: accepted.size,
    sums: [{ currency: 'CNY', minor: sum }],
  });
  expect(stage.backend.calls, 'only what was paid online').toHaveLength(1);

  await shop.restore();
  await shop.pass(2 * 60_000);
  expect(shop.seen, 'in the order of counters').toEqual(
    Array.from({ length: accepted.size + 1 }, (_, i) => i + 1),
  );
  expect(kiosk.device.stored()).toMatchObject({ count: 0, sums: [] });
  expect(kiosk.outbox.open()).toEqual([]);
  const calls = stage.backend.calls.map(({ key }) => key);
  expect(calls.slice(1).sort(), 'once each').toEqual([...accepted.keys()].sort());
  for (const [id, minor] of accepted) {
    expect(stage.backend.moved.get(id)?.amount).toEqual({ currency: 'CNY', minor });
    expect(stage.told(KIOSK, id).at(-1)).toMatchObject({ outcome: 'captured' });
  }
  // Told once it is on the disk, which takes as long as it takes.
  const told = () => kiosk.staff.filter((sentence) => sentence.startsWith('Paid: ')).length;
  await expect.poll(told, { timeout: 20_000 }).toBe(accepted.size);
  expect(kiosk.staff.filter((sentence) => sentence.startsWith('NOT PAID'))).toEqual([]);
  expect(kiosk.faults).toEqual([]);
  expect(stateOfWindows(), 'the bridge’s sum').toMatchObject({
    settled: sum + 10_00n,
    reserved: 0n,
  });

  // For good now: what is set aside for leases that nobody spends is given back.
  expect(stateOfWindows().pooled).toBeGreaterThan(0n);
  shop.cut();
  await stage.time.advance(49 * HOUR_MS);
  await stage.bridge().sweep();
  expect(stateOfWindows()).toEqual({ settled: sum + 10_00n, reserved: 0n, pooled: 0n });

  function stateOfWindows() {
    const sums = 'sum(settled) AS settled, sum(reserved) AS reserved, sum(pooled) AS pooled';
    return stage.database.prepare(`SELECT ${sums} FROM windows`).get()!;
  }
});

test('back online in no time: all that was leased is there again for the next outage', async () => {
  const shop = await createShop();
  const kiosk = startKiosk(shop, ':memory:');
  const lefts = () => shop.mandates.map((id) => kiosk.outbox.lease(id)?.left.count);
  await shop.pass(60_000);
  shop.cut();
  await shop.pass(13 * HOUR_MS);
  expect((await kiosk.collect(40_00n, 0)).kind).toBe('accepted');
  expect((await kiosk.collect(40_00n, 0)).kind).toBe('accepted');
  expect(lefts()[0]).toBe(2);
  await shop.restore();
  await expect.poll(() => kiosk.outbox.accepted().length, { timeout: 20_000 }).toBe(0);
  await shop.pass(60_000);
  expect(lefts()).toEqual(shop.mandates.map(() => 4));
});
