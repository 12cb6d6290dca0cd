/**
 * A storm is the same storm on an ARM board as here, and the same again when it is run again.
 *
 * The other machine has another processor, another build of Node, another time zone and another
 * language. With SAYTAP_FULL fifty storms, half an hour of emulation; without it two short ones,
 * in one process, because a process that starts under emulation takes as long as a storm.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, test } from 'vitest';
import { requireArm64 } from './arm64.ts';

const isFull = process.env['SAYTAP_FULL'] !== undefined;
/** Every hundredth signs with ES256. */
const SEEDS = isFull ? ['1..50', '100'] : ['41..42'];
const COUNT = isFull ? 51 : 2;
const LIMIT_MS = isFull ? 7_200_000 : 600_000;
const CLI = join(import.meta.dirname, '../src/cli.ts');
const run = promisify(execFile);
const arm64 = requireArm64();

test('it is another machine, and stays one in a child', async (context) => {
  if (arm64.missing !== undefined) return context.skip(arm64.missing);
  const child = `child_process.execFileSync(process.execPath, ['-p', 'process.arch'])`;
  const { stdout } = await run(arm64.path, ['-p', `process.arch + ' ' + ${child}`]);
  expect(stdout.trim()).toBe('arm64 arm64');
});

describe(`storms ${SEEDS.join(' and ')}`, () => {
  let first: Storms;
  beforeAll(async () => {
    first = await storms(process.execPath, 1);
  }, LIMIT_MS);

  test(
    'are the same in a second run',
    async () => {
      expect(first.size).toBe(COUNT);
      expect(await storms(process.execPath, 2)).toEqual(first);
    },
    LIMIT_MS,
  );

  test(
    'are the same on arm64',
    async (context) => {
      if (arm64.missing !== undefined) return context.skip(arm64.missing);
      expect(await storms(arm64.path, isFull ? 2 : 1)).toEqual(first);
    },
    LIMIT_MS,
  );
});

/** What is told of each storm, by its seed: the hash over all that was seen in it, and counts. */
type Storms = ReadonlyMap<string, Readonly<{ seed: string; hash: string }>>;

async function storms(node: string, jobs: number): Promise<Storms> {
  const found = new Map<string, Readonly<{ seed: string; hash: string }>>();
  for (const seeds of SEEDS) {
    const args = ['storm', '--seeds', seeds, '--jobs', String(jobs), '--hash', '--json'];
    const { stdout } = await run(node, [CLI, ...args], {
      timeout: LIMIT_MS,
      maxBuffer: 64 * 1024 * 1024,
      env: { ...process.env, ...(node === process.execPath ? {} : ELSEWHERE) },
    });
    for (const line of stdout.trim().split('\n')) {
      const told = JSON.parse(line);
      expect(told.hash).toMatch(/^[0-9a-f]{64}$/);
      found.set(told.seed, told);
    }
  }
  return found;
}

const ELSEWHERE = { TZ: 'Pacific/Chatham', LC_ALL: 'tr_TR.UTF-8' };
