// Method: a whole site in this process on real sockets; one part leaves and comes back. Asked is
// always the same: what the person was told, and what the ledger moved.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { REASONS } from '../src/errors.ts';
import { UNSENT_FOR_MS } from '../src/limits.ts';
import { startBroker } from '../src/node/broker.ts';
import { type Site, createSite, freePort, lastWord, pay } from './site.ts';

const EMBEDDED = { listen: { host: '127.0.0.1', port: 0 } };
let site: Site;
beforeEach(async () => {
  site = await createSite();
});
afterEach(() => site.close());

test('broker away at the start, and again later: device and bridge wait, and go on', async () => {
  const port = await freePort();
  const run = () => startBroker({ host: '127.0.0.1', port, bridgePassword: 'word' });
  writeFileSync(join(site.folder, 'mqtt.password'), 'word\n', { mode: 0o600 });
  const glasses = await site.open({ url: `mqtt://127.0.0.1:${port}`, password: 'mqtt.password' });
  const offline = { kind: 'not_sent', reason: 'offline_not_allowed' };
  const say = { kind: 'utterance', text: 'pay 3 yuan to Luckin Coffee' } as const;

  expect(glasses.link.state()).toBe('down');
  await expect
    .poll(() => site.logged, { timeout: 5_000 })
    .toContain('the service is away, waiting');
  expect(await glasses.device.sense(say)).toEqual(offline);
  expect(site.said.at(-1)).toContain('There is no connection.');

  let broker = await run();
  await glasses.ready();
  expect(site.logged.at(-1)).toBe('ready to pay');
  expect((await (await pay(site, glasses, '3')).told).kind).toBe('paid');

  await broker.close();
  await expect.poll(glasses.link.state, { timeout: 5_000 }).toBe('down');
  expect(await glasses.device.sense(say)).toEqual(offline);
  broker = await run();
  await expect.poll(glasses.link.state, { timeout: 10_000 }).toBe('ready');
  expect((await (await pay(site, glasses, '4')).told).kind).toBe('paid');
  expect(await site.paid()).toBe(7_00n);
  await broker.close();
});

test('ledger away, and back in time: pending, "do not pay again", then captured once', async () => {
  const glasses = await site.open(EMBEDDED);
  await glasses.ready();
  await site.ledger.leave();
  const { told } = await pay(site, glasses, '5');
  const first = await told;
  if (first.kind !== 'unconfirmed') throw new Error(first.kind);
  expect(site.said.at(-1)).toBe(
    'Not confirmed yet. Do not pay again; I will tell you. You can say “cancel”.',
  );
  expect(glasses.outbox.get(first.id)?.receipt).toBeUndefined();
  await site.ledger.comeBack();
  expect(await first.later).toMatchObject({ kind: 'paid', id: first.id });
  expect(site.said.at(-1)).toBe('Paid 5.00 yuan to Luckin Coffee.');
  expect(await site.paid()).toBe(5_00n);
  expect(await site.teller.isBalanced()).toBe(true);
});

test('ledger away for too long: refused, and nothing moves when it is back', async () => {
  const glasses = await site.open(EMBEDDED);
  await glasses.ready();
  await site.ledger.leave();
  const from = performance.now();
  const { told } = await pay(site, glasses, '5');
  const last = await lastWord(told);
  if (last.kind !== 'refused') throw new Error(last.kind);
  expect(last.receipt.reason).toBe(REASONS.unavailable);
  expect(performance.now() - from).toBeGreaterThan(UNSENT_FOR_MS);
  expect(site.said.at(-1)).toContain('Not paid, nothing was charged.');
  await site.ledger.comeBack();
  expect((await (await pay(site, glasses, '6')).told).kind).toBe('paid');
  expect(await site.paid()).toBe(6_00n);
});

test('risk away: refused and not charged; asked again it is paid', async () => {
  const glasses = await site.open(EMBEDDED);
  await glasses.ready();
  await site.risk.leave();
  const { told } = await pay(site, glasses, '5');
  const last = await lastWord(told);
  if (last.kind !== 'refused') throw new Error(last.kind);
  expect(last.receipt.reason).toBe(REASONS.unavailable);
  expect(await site.paid()).toBe(0n);
  await site.risk.comeBack();
  expect((await (await pay(site, glasses, '5')).told).kind).toBe('paid');
  expect(await site.paid()).toBe(5_00n);
});
