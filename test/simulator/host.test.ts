/**
 * Method: a whole system of real programs, driven by the verbs of the page and read by its events.
 * Every trouble has to bite, and when all is whole again nothing may be lost or paid twice.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import * as z from 'zod/mini';
import { CONFIRM_READ_MS } from '../../src/limits.ts';
import { archive } from '../../src/node/archive.ts';
import { startBroker } from '../../src/node/broker.ts';
import { startChild } from '../../src/node/child.ts';
import { createHttp, serveHttp } from '../../src/node/http.ts';
import { connectLink } from '../../src/node/link.ts';
import { clock, files, machine, random, timers } from '../../src/node/platform.ts';
import { askSocket } from '../../src/node/socket.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import { codeWasm } from '../../src/node/wasm.ts';
import { type Host, openHost } from '../../simulator/host.ts';
import type {
  Answers,
  Asks,
  Detail,
  Event,
  PaymentView,
  TroubleName,
  VerbName,
} from '../../simulator/page/wire.ts';

const CLI = join(import.meta.dirname, '../../src/cli.ts');
const PATIENCE = { timeout: 40_000, interval: 50 };
const folder = mkdtempSync(join(tmpdir(), 'saytap-host-'));
const { http, close } = createHttp();
const events: Event[] = [];
let host: Host;

beforeAll(async () => {
  const silent = { ask: () => {}, say: () => {} };
  host = await openHost({
    ...{ folder, language: 'en', plays: [], progress: () => {}, surfaceOf: () => silent },
    ports: {
      ...{ clock, timers, random, files, archive, openDatabase, codeWasm, http, startBroker },
      ...{ connect: connectLink, machine: machine(), serve: serveHttp, ask: askSocket },
      log: () => () => {},
      run: (program, file) => startChild(CLI, [program, '--config', file]),
    },
  });
  host.begin({
    send: (text) => events.push(JSON.parse(text.slice('data: '.length)) as Event),
    end: () => {},
  });
  await host.system.ready();
}, 60_000);

afterAll(async () => {
  await host?.stop();
  close();
  rmSync(folder, { recursive: true, maxRetries: 3 });
});

async function ask<V extends VerbName>(name: V, asks: Asks<V>): Promise<Answers<V>> {
  const { form, run } = host.verbs[name]!;
  return (await run(z.parse(form, asks))) as Answers<V>;
}

function last<K extends Event['kind']>(kind: K): Extract<Event, { kind: K }> {
  return events.findLast((event) => event.kind === kind) as Extract<Event, { kind: K }>;
}

const payments = () => {
  const found = new Map<string, PaymentView>();
  for (const event of events) if (event.kind === 'payment') found.set(event.id, event);
  return [...found.values()];
};
const say = (text: string, device = 'glasses-1') =>
  ask('sense', { device, sensed: { kind: 'utterance', text } });
const read = () => new Promise<void>((done) => setTimeout(done, CONFIRM_READ_MS + 50));
const isAsked = (device: string) => () => {
  const own = events.findLast((event) => event.kind === 'shown' && event.device === device);
  return own?.kind === 'shown' && own.shown.kind === 'ask';
};

/** Says it, waits for the question, presses; returns the newest payment's row. */
async function pay(yuan: number, device = 'glasses-1'): Promise<() => PaymentView> {
  const before = payments().length;
  await say(`pay ${yuan} yuan to Luckin Coffee`, device);
  await expect.poll(isAsked(device), PATIENCE).toBe(true);
  await read();
  await ask('sense', { device, sensed: { kind: 'press' } });
  const { id } = payments()[before]!;
  return () => payments().find((one) => one.id === id)!;
}
const ends = (row: () => PaymentView, state: PaymentView['state']) =>
  expect.poll(() => row().state, PATIENCE).toBe(state);
const online = (device = 'glasses-1') =>
  expect
    .poll(() => {
      const running = host.system.member(device).running();
      return running?.link.state();
    }, PATIENCE)
    .toBe('ready');
const trouble = (name: TroubleName, on: boolean, share?: number) =>
  ask('trouble', { name, on, ...(share !== undefined && { share }) });

/** All is whole: what waits ends, and then the books are as people were told. */
async function settled() {
  await ask('calm', {});
  await online();
  await expect
    .poll(() => last('tally').waiting + payments().filter(isOpen).length, PATIENCE)
    .toBe(0);
  await expect.poll(() => last('tally').asked, PATIENCE).toBe(payments().filter(isSigned).length);
  expect(last('tally')).toMatchObject({ twice: 0, lost: 0, waiting: 0, isKnown: true });
  const paid = payments().filter(({ state, action }) => action === 'pay' && state === 'paid');
  expect(last('tally').paid).toBe(paid.length);
}
const isOpen = ({ state }: PaymentView) => state === 'waiting' || state === 'asking';
const isSigned = ({ action }: PaymentView) => action === 'pay';

test('a payment is a row of messages, and each of them can be looked into', async () => {
  const row = await pay(12);
  await ends(row, 'paid');
  const hops = events.filter((event) => event.kind === 'hop');
  expect(hops.map(({ what, from, to }) => `${what} ${from} ${to}`)).toEqual([
    ...['sensed person device', 'asked device person', 'answered person device'],
    ...['stored device device', 'request device broker', 'told device person'],
    ...['request broker bridge', 'risk bridge risk', 'risk risk bridge'],
    ...['money bridge ledger', 'money ledger bridge'],
    ...['receipt bridge broker', 'receipt broker device', 'told device person'],
  ]);
  const detail = async (number: number): Promise<Detail> =>
    ask('detail', { payment: row().id, hop: number });
  const stored = await detail(4);
  expect(stored.signature).toEqual({ isValid: true, by: 'glasses-1' });
  expect(stored.annotated!.join('\n')).toContain('12.00 yuan');
  await expect
    .poll(async () => (await detail(4)).postings, PATIENCE)
    .toMatchObject([{ amount: { currency: 'CNY', minor: '1200' }, kind: 'pay' }]);
  expect((await detail(9)).json).toContain('"decision": "allow"');
  expect((await detail(12)).signature).toEqual({ isValid: true, by: 'bridge' });
  expect(stored.decision.join('\n')).toContain(row().request);
  await settled();
  expect(last('tally')).toMatchObject({ asked: 1, paid: 1 });
  await expect.poll(() => last('statement').rows.length, PATIENCE).toBe(1);
});

test('looks at an order, taps a tag; above 100 yuan the PIN, above the limit no', async () => {
  await ask('order', { kiosk: 'kiosk-1', lines: [{ text: 'Latte', quantity: 1, minor: '2000' }] });
  const hasCode = () => events.some((one) => one.kind === 'shown' && one.shown.kind === 'order');
  await expect.poll(hasCode, PATIENCE).toBe(true);
  const { tags } = await ask('tags', { kiosk: 'kiosk-1' });
  expect(tags.map(({ kind }) => kind)).toEqual(['order', 'payee', 'payer', 'foreign']);
  let before = payments().length;
  await ask('look', { device: 'glasses-1', kiosk: 'kiosk-1' });
  await expect.poll(isAsked('glasses-1'), PATIENCE).toBe(true);
  await read();
  await ask('sense', { device: 'glasses-1', sensed: { kind: 'press' } });
  await ends(() => payments()[before]!, 'paid');

  before = payments().length;
  const { message } = tags.find(({ kind }) => kind === 'payee')!;
  await ask('sense', { device: 'glasses-1', sensed: { kind: 'tag', message } });
  await expect.poll(isAsked('glasses-1'), PATIENCE).toBe(true);
  await read();
  await ask('sense', { device: 'glasses-1', sensed: { kind: 'press' } });
  await ends(() => payments()[before]!, 'paid');

  const dear = await pay(128);
  await ask('sense', { device: 'glasses-1', sensed: { kind: 'pin', digits: '2468' } });
  await ends(dear, 'paid');

  before = payments().length;
  await say('pay 300 yuan to Luckin Coffee');
  await expect
    .poll(() => payments()[before], PATIENCE)
    .toMatchObject({
      ...{ state: 'not_sent', reason: 'limit_per_payment' },
    });
  await settled();
});

test('cut, half open, a full disk: nothing is sent, and nothing is charged', async () => {
  await trouble('cut', true);
  await expect.poll(() => host.system.glasses('glasses-1').link.state(), PATIENCE).toBe('down');
  let before = payments().length;
  await say('pay 3 yuan to Luckin Coffee');
  await expect.poll(() => payments()[before]?.state, PATIENCE).toBe('not_sent');
  await settled();

  await trouble('disk_full', true);
  const row = await pay(3);
  await ends(row, 'not_sent');
  expect(row().reason).toBe('unavailable');
  await settled();

  await trouble('half_open', true);
  const silent = await pay(3);
  expect(silent().state).toBe('waiting');
  const lost = () =>
    events.some(
      (one) => one.kind === 'hop' && one.payment === silent().id && one.outcome === 'lost',
    );
  await expect.poll(lost, PATIENCE).toBe(true);
  await settled();
  expect(silent().state).toBe('paid');
}, 90_000);

test('lost, late, twice, out of order, with a killed device and a restarted broker', async () => {
  await trouble('clock_back', true);
  await trouble('duplicate', true, 1);
  await ends(await pay(2), 'paid');
  await trouble('reorder', true, 0.6);
  await trouble('drop', true, 0.4);
  const first = await pay(2);
  await trouble('broker_restart', true);
  await trouble('ledger_twice', true, 1);
  await trouble('ledger_lost', true, 0.7);
  await settled();
  expect(first().state).toBe('paid');

  await trouble('ledger_slow', true);
  const second = await pay(2);
  await ask('kill', { name: 'glasses-1' });
  expect(host.system.member('glasses-1').life()).toBe('down');
  await settled();
  expect(second().state).toBe('paid');
}, 120_000);

test('the bridge away, killed, and a risk service that does not answer', async () => {
  await trouble('risk_down', true);
  const row = await pay(4);
  await ends(row, 'refused');
  expect(row().reason).toBe('unavailable');
  await ask('calm', {});

  await trouble('slow', true);
  const open = await pay(4);
  await trouble('bridge_away', true);
  await expect(ask('revoke', {})).rejects.toMatchObject({ reason: 'unavailable' });
  await trouble('bridge_away', false);
  await ask('kill', { name: 'bridge' });
  await settled();
  expect(open().state).toBe('paid');
}, 120_000);

test('what is revoked is refused, granted anew it pays; new glasses are approved', async () => {
  await expect.poll(() => last('mandates').isFresh, PATIENCE).toBe(true);
  const own = last('mandates').list.find(({ device }) => device === 'glasses-1')!;
  expect(own.windows.map(({ period }) => period)).toEqual(['total', 'day']);
  await ask('revoke', { mandate: own.id });
  const shown = () => last('mandates').list.find(({ id }) => id === own.id)?.status;
  await expect.poll(shown, PATIENCE).toBe('revoked');
  const row = await pay(5);
  await ends(row, 'refused');
  expect(row().reason).toBe('revoked');
  const { text } = await ask('grant', { device: 'glasses-1' });
  expect(text).toContain('At most 200.00 yuan per payment.');
  await online();
  await host.system.ready();
  await ends(await pay(5), 'paid');

  const { name, code } = await ask('add', { kind: 'glasses' });
  expect(last('pairings').list).toEqual([{ code, device: name, kind: 'glasses' }]);
  const approve = () =>
    ask('approve', { code }).then(
      () => true,
      () => false,
    );
  await expect.poll(approve, PATIENCE).toBe(true);
  await expect.poll(() => host.system.member(name).life(), PATIENCE).toBe('up');
  await online(name);
  await host.system.ready();
  await ends(await pay(6, name), 'paid');
  await settled();
}, 120_000);
