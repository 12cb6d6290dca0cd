/** The ledger as a program, killed under load. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { createLedgerBackend } from '../../../broker/backends/ledger.ts';
import { openBooks } from '../../../broker/ledger/books.ts';
import { createHttp } from '../../../src/node/http.ts';
import { clock, random } from '../../../src/node/platform.ts';
import { openDatabase } from '../../../src/node/sqlite.ts';

const KILLS = 3;
const WORKERS = 8;
const secret = new Uint8Array(32).fill(9);

async function start(database: string): Promise<{ child: ChildProcess; url: string }> {
  const listen = { host: '127.0.0.1', port: 0 };
  const options = JSON.stringify({ listen, database, secret: '09'.repeat(32) });
  const program = join(import.meta.dirname, 'program.ts');
  const child = spawn(process.execPath, [program, options], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const url = await new Promise<string>((resolve, reject) => {
    child.stdout?.once('data', (line: Buffer) => {
      resolve(/listening on (\S+)/.exec(line.toString())?.[1] ?? '');
    });
    child.once('exit', (code) => reject(new Error(`the ledger ended with ${code}`)));
  });
  return { child, url };
}

function ended(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => child.once('exit', (code) => resolve(code)));
}

test('kill -9 under load: every key is resolved by asking again, moved once', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'saytap-kill-'));
  const path = join(folder, 'ledger.db');
  const seeded = openDatabase(path);
  const amount = { currency: 'EUR', minor: 1n };
  openBooks({ database: seeded, clock }).openFunding({
    funding: 'alice',
    wallet: 'ab'.repeat(32),
    balance: { currency: 'EUR', minor: 1_000_000n },
  });
  seeded.close();

  let running = await start(path);
  let stopped = false;
  onTestFinished(() => {
    stopped = failed = true;
    running.child.kill('SIGKILL'); // A failed test must not leave a ledger behind.
    rmSync(folder, { recursive: true });
  });
  let failed = false;
  let unknown = 0;
  let count = 0;
  const paid: string[] = [];
  const { http, close } = createHttp();

  async function payer(): Promise<void> {
    while (!stopped) {
      const key = (++count).toString(16).padStart(32, '0');
      const call = { key, funding: 'alice', payee: 'cafe', amount, capture: 'now' as const };
      for (;;) {
        const at = { http, url: running.url, secret, clock, random, timeoutMs: 500 };
        const { kind } = await createLedgerBackend(at).authorise(call);
        if (kind === 'done') break;
        if (failed) return;
        expect(kind).not.toBe('declined');
        if (kind === 'unknown') unknown++;
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      paid.push(key);
    }
  }

  const payers = Array.from({ length: WORKERS }, payer);
  for (let kill = 0; kill < KILLS; kill++) {
    const before = paid.length;
    await expect.poll(() => paid.length, { timeout: 10_000 }).toBeGreaterThan(before + 30);
    const gone = ended(running.child);
    running.child.kill('SIGKILL');
    await gone;
    running = await start(path);
  }
  const before = paid.length;
  await expect.poll(() => paid.length, { timeout: 10_000 }).toBeGreaterThan(before + 30);
  stopped = true;
  await Promise.all(payers);
  const gone = ended(running.child);
  running.child.kill('SIGTERM');
  expect(await gone).toBe(0);
  close();

  const database = openDatabase(path);
  const books = openBooks({ database, clock });
  expect(books.check()).toEqual([]);
  const moved = books.transfers(0, 1_000_000).filter(({ kind }) => kind === 'pay');
  expect(moved.map(({ key }) => key).sort()).toEqual(paid.sort());
  expect(unknown).toBeGreaterThan(0);
  database.close();
}, 60_000);
