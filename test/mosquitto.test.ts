// Method: the same site on a real broker in a process of its own. While the broker is dead, and
// the device has no answer yet, the bridge pays: what it could not say must be said once, later.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { startMosquitto } from './mosquitto.ts';
import { requirePart } from './parts.ts';
import { type Site, createSite, freePort, pay } from './site.ts';

const mosquitto = requirePart('mosquitto');

/** Open to everybody, and without a memory. */
function startOpen(site: Site, program: string, port: number) {
  const file = join(site.folder, 'mosquitto.conf');
  const lines = [`listener ${port} 127.0.0.1`, 'allow_anonymous true', 'persistence false', ''];
  writeFileSync(file, lines.join('\n'));
  return startMosquitto(program, file, port);
}

test('over Mosquitto, killed midway: exactly one final receipt', async (context) => {
  if (mosquitto.missing !== undefined) return context.skip(mosquitto.missing);
  const site = await createSite();
  const port = await freePort();
  let broker = await startOpen(site, mosquitto.path, port);
  onTestFinished(async () => {
    await site.close();
    await broker.kill();
  });
  const glasses = await site.open({ url: `mqtt://127.0.0.1:${port}` });
  await glasses.ready();
  expect((await (await pay(site, glasses, '12.50')).told).kind).toBe('paid');
  expect(await site.paid()).toBe(12_50n);

  await site.ledger.leave();
  const { told } = await pay(site, glasses, '3');
  const first = await told;
  if (first.kind !== 'unconfirmed') throw new Error(first.kind);
  await broker.kill();
  await expect.poll(glasses.link.state, { timeout: 5_000 }).toBe('down');
  await site.ledger.comeBack();
  await expect.poll(site.paid, { timeout: 10_000 }).toBe(15_50n);
  expect(glasses.outbox.get(first.id)?.receipt, 'nobody could tell').toBeUndefined();

  broker = await startOpen(site, mosquitto.path, port);
  expect(await first.later).toMatchObject({ kind: 'paid', id: first.id });
  expect(site.said.filter((sentence) => sentence === 'Paid 3.00 yuan to Luckin Coffee.')).toEqual([
    'Paid 3.00 yuan to Luckin Coffee.',
  ]);
  const entry = glasses.outbox.get(first.id)!;
  glasses.link.send(entry); // Asked once more, the answer is the same bytes.
  const own = () => site.finals.filter(({ id }) => id === first.id);
  await expect.poll(() => own().length, { timeout: 10_000 }).toBeGreaterThanOrEqual(2);
  expect(new Set(own().map(({ bytes }) => bytes)).size).toBe(1);
  expect(await site.paid()).toBe(15_50n);
  expect(await site.teller.isBalanced()).toBe(true);
});
