// What an operator is told of payments, and what their word does to one that nobody can resolve.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { command } from '../../../src/commands/payments.ts';
import { EXITS } from '../../../src/errors.ts';
import { putMandate, verdictOf } from '../../broker/stage.ts';
import { type Desk, openDesk } from './desk.ts';

let desk: Desk;
let mandate = '';
let counter = 0;
beforeEach(async () => {
  desk = await openDesk();
  mandate = await putMandate(desk.stage.store, {});
  counter = 0;
});
afterEach(() => desk.close());

const payments = (args: readonly string[], ...answers: readonly string[]) =>
  desk.run('payments', command, [...args, '--config', desk.at('bridge.yaml')], ...answers);

/** A payment of the glasses at a backend that acts so. */
async function pay(...acts: readonly ('done' | 'declined' | 'unknown')[]): Promise<string> {
  desk.stage.backend.acts.push(...acts);
  counter += 1;
  const { id, envelope } = await desk.stage.request({ mandate, counter });
  await desk.stage.deliver('glasses', 'request', envelope);
  return id;
}

/** A payment whose backend gives no word for as long as it can be asked. */
async function payIntoTheDark(): Promise<string> {
  desk.stage.backend.can({
    resolvesBy: 'query',
    cancel: { unseen: 'nothing', captured: 'refuses', forMs: 60_000 },
  });
  desk.stage.restart(); // A bridge reads its backends' capabilities when it starts.
  desk.stage.backend.query = 'away';
  const id = await pay('unknown', ...Array.from({ length: 100 }, () => 'unknown' as const));
  for (let minute = 0; minute < 10; minute++) await desk.stage.time.advance(60_000);
  return id;
}

const WORDS = { by: 'mei', why: 'report of Friday' };
const SAID = ['--by', WORDS.by, '--why', WORDS.why];

describe('payments list and show', () => {
  test('tell every payment and every attempt', async () => {
    expect((await payments(['list'])).out).toBe('no payments');
    const paid = await pay('done');
    const declined = await pay('declined');
    const { out } = await payments(['list']);
    expect(out).toMatch(new RegExp(`${paid} .* pay +10\\.00 yuan +cafe +captured`));
    expect(out).toMatch(new RegExp(`${declined} .* refused`));
    const shown = await payments(['show', paid]);
    expect(shown.out).toMatch(/^payment [0-9a-f]{32}: pay 10\.00 yuan, payee cafe$/m);
    expect(shown.out).toMatch(/attempt 1: authorise at ledger on .*: done, reference ref-/);
  });

  test('page through many', async () => {
    for (let count = 0; count < 101; count++) {
      counter = 0;
      const request = await desk.stage.request({ mandate, counter: count + 1, payee: 'nobody' });
      await desk.stage.deliver('glasses', 'request', request.envelope);
    }
    const { out } = await payments(['list']);
    const ids = out.split('\n').map((line) => line.slice(0, 32));
    expect(new Set(ids).size).toBe(102);
    expect(desk.questions).toHaveLength(2);
  });

  test('an id that is none, or of nothing', async () => {
    expect(await payments(['show', 'abc'])).toMatchObject({ exit: EXITS.usage });
    const none = await payments(['show', '12'.repeat(16)]);
    expect(none.failed).toBe(`this bridge has no payment ${'12'.repeat(16)}`);
  });
});

describe('payments unresolved', () => {
  test('tells state, age, backend, key and amount of what waits for a word', async () => {
    expect((await payments(['unresolved'])).out).toBe('nothing waits for a word');
    await pay('done');
    const id = await payIntoTheDark();
    const { out } = await payments(['unresolved']);
    const [head, row, ...more] = out.split('\n');
    expect(head).toMatch(/^payment = key at the backend +state +since +backend +asked +amount$/);
    expect(row).toMatch(new RegExp(`^${id} +person +10 minutes +ledger +authorise +10\\.00 yuan$`));
    expect(more).toEqual([]);
  });
});

describe('payments resolve', () => {
  test('captured: explained, asked, recorded, told to the payer', async () => {
    const id = await payIntoTheDark();
    const args = ['resolve', id, '--captured', ...SAID];
    const no = await payments(args, 'no');
    expect(no).toMatchObject({ failed: 'nothing was changed', exit: EXITS.failed });
    expect(no.out).toContain('If you say captured: the payer gets a receipt for 10.00 yuan');
    expect((await payments(['unresolved'])).out).toContain(id);
    const { out, asked, failed } = await payments(args, 'yes');
    expect({ failed, asked }).toEqual({
      failed: undefined,
      asked: ['Record this for good? Type yes: '],
    });
    expect(out.split('\n').at(-1)).toBe(`payment ${id} is captured`);
    expect(verdictOf(desk.stage.told('glasses', id).at(-1))).toEqual(['captured', undefined]);
    const evidence = await desk.stage.store.evidence(id);
    const said = evidence.map(({ body }) => new TextDecoder().decode(body)).join('\n');
    expect(said).toContain('"reference":"person:mei"');
    expect(said).toContain(Buffer.from(JSON.stringify(WORDS)).toString('base64'));
    const again = await payments(args, 'yes');
    expect(again.failed).toBe(`payment ${id} is over: captured`);
  });

  test('not moved: refused, and the limits are free again', async () => {
    const id = await payIntoTheDark();
    const { out } = await payments(['resolve', id, '--not-moved', ...SAID, '--yes']);
    expect(out).toContain('10.00 yuan no longer counts against any limit');
    expect(out.split('\n').at(-1)).toMatch(new RegExp(`^payment ${id} is refused`));
    const [leaf] = await desk.stage.store.chain(mandate, desk.stage.clock.nowMs());
    expect(leaf!.usage[0]).toEqual({ amount: 0n, count: 0 });
  });

  test.each([
    [['--voided'], /^a pay is never voided: say what it came to, or not-moved/],
    [['--refunded'], /^a pay is never refunded/],
    [['--held'], /^a pay is never held/],
    [[], /^say one of --captured, --held/],
    [['--captured', '--not-moved'], /^say one of/],
    [['--captured', '--held'], /^say one of/],
  ])('%j makes no sense for a payment', async (outcome, line) => {
    const id = await payIntoTheDark();
    const { failed, exit } = await payments(['resolve', id, ...outcome, ...SAID, '--yes']);
    expect(failed).toMatch(line);
    expect(exit).toBe(EXITS.usage);
    expect((await payments(['unresolved'])).out).toContain(id);
  });

  test('what the bridge still asks about is not a person’s yet', async () => {
    const id = await pay('unknown', 'unknown', 'unknown');
    const { failed } = await payments(['resolve', id, '--captured', ...SAID, '--yes']);
    expect(failed).toBe(
      `payment ${id} does not wait for a person: the bridge still asks (unknown)`,
    );
  });
});
