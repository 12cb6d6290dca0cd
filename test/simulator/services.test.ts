/** The services of a world fail in every way that the bridge's callers know, and then not. */
import { describe, expect, test } from 'vitest';
import { createLedgerBackend } from '../../broker/backends/ledger.ts';
import type { BackendAnswer } from '../../broker/backends/port.ts';
import { openBooks } from '../../broker/ledger/books.ts';
import { createRiskClient } from '../../broker/risk/client.ts';
import { createChance } from '../../simulator/chance.ts';
import { createDisks } from '../../simulator/disk.ts';
import { createNetwork } from '../../simulator/network.ts';
import { LEDGER_DATABASE, createLedger, createRisk } from '../../simulator/services.ts';
import { createMachineClock, createTimeline } from '../../simulator/time.ts';
import { timers } from '../../src/node/platform.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import type { HttpQuestion } from '../../src/platform.ts';

const disks = createDisks(openDatabase);
const SECRET = new Uint8Array(32).fill(7);
const WALLET = 'a'.repeat(64);
const yuan = (minor: bigint) => ({ currency: 'CNY', minor });

function createSite(seed = 'services') {
  const chance = createChance(seed);
  const timeline = createTimeline(timers.soon);
  const network = createNetwork({ chance: chance.fork('network'), timeline });
  const clock = createMachineClock(timeline, { startMs: Date.UTC(2026, 5, 1) });
  const alive = { isDead: () => false, step: () => {}, callback: <A>(run: A) => run };
  const risk = createRisk(SECRET, chance.fork('risk'), 'sim');
  const url = 'http://bridge:7200';
  const ledger = createLedger(SECRET, chance.fork('ledger'), 'ledger', url, 'sim');
  const random = chance.fork('random').bytes;

  function machine(name: string) {
    const disk = disks({ chance: chance.fork(name), after: timeline.after });
    const mount = disk.mount(alive);
    const ports = { clock, timers: clock.timers, random, ...network.attach(name, alive), ...mount };
    return { disk, ports };
  }
  const bank = machine('ledger');
  const books = openBooks({ database: bank.ports.openDatabase(LEDGER_DATABASE), clock });
  books.openFunding({ funding: 'acct-1', wallet: WALLET, balance: yuan(1_000_00n) });
  bank.disk.end('killed');
  const { failed } = ledger.program(bank.ports);
  risk.program(machine('risk').ports);
  const bridge = machine('bridge').ports;
  const notices: HttpQuestion[] = [];
  bridge.serve(7200, async (question) => {
    notices.push(question);
    return { status: 200, body: new Uint8Array() };
  });
  const caller = { http: bridge.http, secret: SECRET, clock, random };
  const backend = createLedgerBackend({ ...caller, url: 'http://ledger' });
  const client = createRiskClient({ ...caller, url: 'http://risk' });
  let count = 0;

  async function settled<T>(promise: Promise<T>): Promise<T> {
    let isSettled = false;
    const told = promise.finally(() => (isSettled = true));
    for (let ms = 0; !isSettled && ms < 60_000; ms += 20) {
      await timeline.run(timeline.nowMs() + 20);
    }
    return told;
  }
  const nextKey = () => (++count).toString(16).padStart(32, '0');
  return {
    risk,
    ledger,
    bank,
    failed,
    notices,
    wait: (ms: number) => timeline.run(timeline.nowMs() + ms),
    pay: (key = nextKey()): Promise<BackendAnswer> =>
      settled(
        backend.authorise({
          ...{ key, funding: 'acct-1', payee: 'cafe', amount: yuan(1_01n), capture: 'now' },
        }),
      ),
    query: (key: string) => settled(backend.query(key)),
    assess: () =>
      settled(
        client.assess({
          ...{ id: nextKey(), payer: 'p', device: 'd', payee: 'cafe', amount: yuan(1_01n) },
          ...{ channel: 'voice', presence: 2, atMs: clock.nowMs() },
        }),
      ),
    captured: () => {
      const sql = `SELECT count(*) AS n FROM transfer WHERE kind = 'pay'`;
      return Number(bank.disk.peek(LEDGER_DATABASE)!.prepare(sql).get()!['n']);
    },
  };
}

test('without trouble a payment is captured once, told, and allowed', async () => {
  const site = createSite();
  expect(await site.pay()).toMatchObject({ kind: 'done', outcome: 'captured' });
  expect(await site.assess()).toMatchObject({ kind: 'decided', decision: 'allow' });
  await site.wait(1_000);
  expect(site.notices.map(({ path }) => path)).toEqual(['/v1/notifications/ledger']);
});

describe('a ledger', () => {
  /** What its caller may conclude of 60 payments, and for how many of them money moved. */
  async function outcomes(trouble: Parameters<ReturnType<typeof createLedger>['strike']>[0]) {
    const site = createSite(trouble);
    const heal = site.ledger.strike(trouble, 0.7);
    const kinds = new Set<string>();
    const whys = new Set<string>();
    for (let i = 0; i < 60; i++) {
      const answer = await site.pay();
      kinds.add(answer.kind);
      if ('why' in answer) whys.add(answer.why.replaceAll(/\d+/g, 'n'));
    }
    heal();
    const before = site.captured();
    for (let i = 0; i < 10; i++) expect(await site.pay()).toMatchObject({ kind: 'done' });
    await site.wait(30_000);
    return { kinds: [...kinds].sort(), whys, captured: before, site };
  }

  test('that is away was certainly not reached, and is found again', async () => {
    const { kinds, captured } = await outcomes('away');
    expect([kinds, captured]).toEqual([['unsent'], 0]);
  });

  test('that refuses or is broken never proves that nothing moved', async () => {
    for (const trouble of ['slow', 'error', 'garbage', 'loseAfter'] as const) {
      const { kinds, captured } = await outcomes(trouble);
      expect(kinds, trouble).toEqual(['done', 'unknown']);
      expect(captured, trouble).toBeGreaterThan(18);
    }
    const { kinds, captured } = await outcomes('refuses');
    expect(kinds).toEqual(['done', 'unknown']);
    expect(captured).toBeLessThan(30);
  });

  test('answers every kind of nonsense, and none of it is believed', async () => {
    const { whys } = await outcomes('garbage');
    expect([...whys].sort()).toEqual([
      'the answer of the ledger cannot be read',
      'the ledger answered about another key',
    ]);
  });

  test('that settles later says so, and has done it in the end', async () => {
    const site = createSite();
    const heal = site.ledger.strike('later', 1);
    const key = 'b'.repeat(32);
    expect(await site.pay(key)).toMatchObject({ kind: 'unknown' });
    expect(await site.query(key)).toMatchObject({ kind: 'unseen' });
    heal();
    await site.wait(20_000);
    expect(await site.query(key)).toMatchObject({ kind: 'done', outcome: 'captured' });
  });

  test('whose disk failed says that it is to be started again', async () => {
    const site = createSite();
    site.bank.disk.strike({ failingSyncs: 1 });
    expect(await site.pay()).toMatchObject({ kind: 'unknown' });
    expect((await site.failed).message).toMatch(/must be started again/);
  });
});

test('a risk service that is away or broken decides nothing, else what it is told', async () => {
  const decided = async (trouble: Parameters<ReturnType<typeof createRisk>['strike']>[0]) => {
    const site = createSite(trouble);
    const heal = site.risk.strike(trouble, 1);
    const told = await site.assess();
    heal();
    expect(await site.assess()).toMatchObject({ kind: 'decided', decision: 'allow' });
    return told.kind === 'decided' ? told.decision : told.kind;
  };
  expect(await decided('away')).toBe('unavailable');
  expect(await decided('garbage')).toBe('unavailable');
  expect(await decided('error')).toBe('unavailable');
  expect(await decided('deny')).toBe('deny');
  expect(await decided('step-up')).toBe('step_up');
});
