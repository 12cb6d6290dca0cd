// Method: the story as `npm start` runs it, in a process of its own, read through a pipe. Its own
// exit code says whether every step went right; here is asked what it leaves behind.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { EXITS } from '../../src/errors.ts';
import { CONFIRM_READ_MS } from '../../src/limits.ts';

const CLI = join(import.meta.dirname, '../../src/cli.ts');
let folder = '';
const started: ChildProcess[] = [];
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'saytap-story-'))));
afterEach(async () => {
  for (const child of started.splice(0)) child.kill('SIGKILL');
  // Programs that lost their parent need a moment to notice.
  await expect.poll(() => programsOf(folder), { timeout: 10_000 }).toEqual([]);
  rmSync(folder, { recursive: true, maxRetries: 3 });
});

/** Command lines of running programs that work in `place` (Linux: /proc). */
function programsOf(place: string): readonly string[] {
  if (!existsSync('/proc/self/cmdline')) return [];
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((name) => {
      try {
        return [readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ')];
      } catch {
        return []; // It ended in between.
      }
    })
    .filter((line) => line.includes(place));
}

function start(...args: readonly string[]) {
  const child = spawn(process.execPath, [CLI, 'start', '--data', join(folder, 'data'), ...args], {
    stdio: 'pipe',
  });
  started.push(child);
  const told = { out: '', err: '' };
  child.stdout.on('data', (chunk: Buffer) => (told.out += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (told.err += chunk.toString()));
  const ended = new Promise<number | null>((done) => child.once('close', (code) => done(code)));
  const heard = (text: string) =>
    expect.poll(() => told.out + told.err, { timeout: 30_000 }).toContain(text);
  const type = (line: string) => child.stdin.write(`${line}\n`);
  return { child, told, ended, heard, type };
}

/** What the payee has by the last line about balances. */
function payeeHas(out: string): string | undefined {
  return [...out.matchAll(/payee:CNY:luckin-coffee ([\d.]+) yuan/g)].at(-1)?.[1];
}

test('told twice in one folder: the second goes on where the first ended', async () => {
  const first = start('--once');
  expect(await first.ended, first.told.err).toBe(EXITS.ok);
  expect(programsOf(folder), 'nothing is left running').toEqual([]);
  expect(first.told.err).toBe('');
  expect(first.told.out).not.toContain('\u001b');
  expect(first.told.out).not.toContain('✗');
  expect(first.told.out).toContain('SIMULATED');
  expect(first.told.out).toContain('That is more than you allowed for one payment.');
  expect(first.told.out).toContain('signed refusal, reason order_paid');
  expect(first.told.out).toContain(
    'payments: 6 asked for, 4 paid, 1 refunded in part; 47.00 yuan moved, ledger balanced',
  );
  expect(first.told.out).toMatch(/the identical receipt, all \d+ bytes/);
  expect(first.told.out).toMatch(/Luckin Coffee: refund 18\.00 yuan of order [0-9a-f]{8}\?/);
  expect(first.told.out).toMatch(/Refunded 18\.00 yuan of order [0-9a-f]{8}\./);
  expect(payeeHas(first.told.out)).toBe('47.00');

  const second = start('--once');
  expect(await second.ended, second.told.err).toBe(EXITS.ok);
  expect(programsOf(folder)).toEqual([]);
  expect(second.told.err).toBe('');
  expect(second.told.out).toContain(
    'balances before: funding:acct-wang 953.00 yuan · payee:CNY:luckin-coffee 47.00 yuan',
  );
  expect(payeeHas(second.told.out)).toBe('94.00');
  expect(second.told.out).toContain('the identical receipt');
});

test('a prompt: what is typed is paid; a second run beside it is refused in one line', async () => {
  const { child, ended, told, heard, type } = start();
  await heard('You are the wearer now');

  const mandate = () => readFileSync(join(folder, 'data/mandates/glasses.mandate'));
  const granted = mandate();
  const other = start('--once');
  expect(await other.ended).toBe(EXITS.storage);
  expect(other.told.err).toBe(
    'saytap: npm start runs already on this data: stop it, or name another with --data\n',
  );
  expect(mandate(), 'the first one’s mandate is left alone').toEqual(granted);

  type('pay 3 yuan to Luckin Coffee');
  await heard('Pay 3.00 yuan to Luckin Coffee? Say “confirm payment” or tap the temple.');
  type('confirm payment');
  await heard('Paid 3.00 yuan to Luckin Coffee.');
  type('balance');
  await heard('ledger   payee:CNY:luckin-coffee 50.00 yuan');
  await heard('yuan in all · ');
  await heard(' yuan for the day.');
  type('cancel');
  await heard('There is nothing open to cancel.');
  type('kiosk refund last 5 yuan');
  await heard('Luckin Coffee: refund 5.00 yuan of order');
  // A press in the first half second is not the answer.
  await new Promise((done) => setTimeout(done, CONFIRM_READ_MS + 200));
  type('kiosk');
  await heard('Refunded 5.00 yuan of order');
  type('kiosk refund 5');
  await heard('Of one that was paid: “refund last 5 yuan”');
  type('kiosk 2 Latte 40 yuan');
  await heard('2 × Latte  40.00 yuan');
  await heard(', total 40.00 yuan.');
  const picture = /\S+order-[0-9a-f]{8}\.png/.exec(told.out)?.[0];
  expect(picture).toContain(join(folder, 'data', 'kiosk'));
  type(`look ${picture}`);
  await heard('Pay 40.00 yuan to Luckin Coffee? Tap the temple to pay.');
  await new Promise((done) => setTimeout(done, CONFIRM_READ_MS + 200));
  // Quitting in the middle of a payment still tells how it ended.
  child.stdin.write('\nquit\n');
  expect(await ended, told.err).toBe(EXITS.ok);
  expect(told.out).toContain('Paid 40.00 yuan to Luckin Coffee.');
  expect(told.err).toBe('');
  expect(told.out).not.toContain('\u001b');
  expect(programsOf(folder)).toEqual([]);
});

test('lines that come in one piece mean what they mean one by one', async () => {
  const { ended, told, heard, type } = start();
  await heard('You are the wearer now');
  type(
    [
      ...['pay 3 yuan to Luckin Coffee', 'cancel payment'],
      ...['pay 4 yuan to Luckin Coffee', 'confirm payment'],
    ].join('\n'),
  );
  await heard('Paid 4.00 yuan to Luckin Coffee.');
  type('quit');
  expect(await ended, told.err).toBe(EXITS.ok);
  const typed = told.out.slice(told.out.indexOf('You are the wearer now'));
  expect([...typed.matchAll(/^(?:> )*glasses +(.*)$/gm)].map(([, said]) => said)).toEqual([
    'Pay 3.00 yuan to Luckin Coffee? Say “confirm payment” or tap the temple.',
    'Cancelled. Nothing was sent.',
    'Pay 4.00 yuan to Luckin Coffee? Say “confirm payment” or tap the temple.',
    'Paying…',
    'Paid 4.00 yuan to Luckin Coffee.',
  ]);
});

test('killed without a word: its programs end by themselves', async () => {
  const { child, ended, heard } = start();
  await heard('glasses and kiosk are ready');
  expect(programsOf(folder).length).toBeGreaterThanOrEqual(4);
  child.kill('SIGKILL');
  await ended;
  await expect.poll(() => programsOf(folder), { timeout: 15_000 }).toEqual([]);
});

test('SIGTERM: stops everything, exit code 130', async () => {
  const { child, ended, heard } = start();
  await heard('1. Say it');
  child.kill('SIGTERM');
  expect(await ended).toBe(130);
  expect(programsOf(folder)).toEqual([]);
});
