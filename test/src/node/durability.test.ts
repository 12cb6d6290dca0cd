/** What counts as on disk, under syncs that the test finishes, fails and slows down by hand. */
import { fstatSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Durability, createDurability } from '../../../src/node/durability.ts';
import { SQLITE_SYNC_BLOCK_MS } from '../../../src/limits.ts';

let folder = '';
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'saytap-durability-'))));
afterEach(() => rmSync(folder, { recursive: true }));

/** Lets everything that was promised be told. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

function pass(ms: number): void {
  for (const end = performance.now() + ms; performance.now() < end;);
}

type Worker = Readonly<{ finish: () => void; fail: (error: Error) => void }>;

/** A watched file whose syncs last `loopMs` on the loop, or until the test ends their worker. */
function stage() {
  const file = openSync(join(folder, 'log'), 'w');
  const state = { loopMs: 0, onLoop: 0, started: 0, breaks: undefined as Error | undefined };
  const workers: Worker[] = [];
  const failures: unknown[] = [];
  const durability = createDurability(
    file,
    {
      syncNow() {
        state.onLoop++;
        if (state.breaks) throw state.breaks;
        pass(state.loopMs);
      },
      sync() {
        state.started++;
        return new Promise<void>((finish, fail) => workers.push({ finish, fail }));
      },
    },
    (cause) => {
      failures.push(cause);
      return new Error('broken', { cause });
    },
  );
  return { file, state, workers, failures, durability };
}

/** Makes the disk slow: from now on its syncs go to workers. */
async function slowDown({ state, durability }: ReturnType<typeof stage>): Promise<void> {
  state.loopMs = SQLITE_SYNC_BLOCK_MS * 20;
  await durability.wrote();
  expect(state).toMatchObject({ onLoop: 1, started: 0 });
}

function watch(promise: Promise<void>) {
  const seen = { state: 'open' };
  promise.then(
    () => (seen.state = 'durable'),
    (error: Error) => (seen.state = error.message),
  );
  return seen;
}

test('a fast disk is waited for on the loop, once for each write', async () => {
  const { state, durability } = stage();
  for (let i = 0; i < 10; i++) await durability.wrote();
  await durability.reached();
  expect(state).toMatchObject({ onLoop: 10, started: 0 });
  durability.close();
});

test('a slow disk syncs in a worker, and who writes meanwhile waits for the next', async () => {
  const staged = stage();
  const { state, workers, durability } = staged;
  await slowDown(staged);
  const [first, second, third] = [1, 2, 3].map(() => watch(durability.wrote()));
  const all = watch(durability.reached());
  await settle();
  expect(state).toMatchObject({ onLoop: 1, started: 1 });
  expect([first, second, third, all].map((seen) => seen!.state)).toEqual(Array(4).fill('open'));

  workers[0]!.finish();
  await settle();
  expect(first!.state).toBe('durable');
  expect([second, third, all].map((seen) => seen!.state)).toEqual(Array(3).fill('open'));
  expect(state.started).toBe(2);

  workers[1]!.finish();
  await settle();
  expect([second, third, all].map((seen) => seen!.state)).toEqual(Array(3).fill('durable'));
  expect(state).toMatchObject({ onLoop: 1, started: 2 });
  durability.close();
});

test('a disk that has become fast again is waited for on the loop again', async () => {
  const staged = stage();
  const { state, workers, durability } = staged;
  await slowDown(staged);
  state.loopMs = 0;
  for (let i = 0; i < 500 && state.onLoop === 1; i++) {
    const written = durability.wrote();
    workers[i]?.finish();
    await written;
    await settle();
  }
  expect(state.onLoop).toBe(2);
  durability.close();
});

test('who cannot wait gets a sync of his own, which a later worker does not undo', async () => {
  const staged = stage();
  const { state, workers, durability } = staged;
  await slowDown(staged);
  state.loopMs = 0;
  const [first, second] = [1, 2].map(() => watch(durability.wrote()));
  durability.reachNow();
  await settle();
  expect([first!.state, second!.state]).toEqual(['durable', 'durable']);
  workers[0]!.finish();
  await settle();
  await durability.reached();
  durability.reachNow();
  expect(state).toMatchObject({ onLoop: 2, started: 1 });
  durability.close();
});

test.each([
  ['on the loop', false],
  ['in a worker', true],
] as const)('the first failed sync is final: %s', async (_where, isSlow) => {
  const staged = stage();
  const { state, workers, failures, durability } = staged;
  const error = Object.assign(new Error('i/o error'), { code: 'EIO' });
  if (isSlow) await slowDown(staged);
  else state.breaks = error;
  const written = [watch(durability.wrote()), watch(durability.wrote())];
  const all = watch(durability.reached());
  workers[0]?.fail(error);
  await settle();
  state.breaks = undefined;
  const later = [watch(durability.wrote()), watch(durability.reached())];
  await settle();
  expect([...written, all, ...later].map((seen) => seen.state)).toEqual(Array(5).fill('broken'));
  expect(() => durability.reachNow()).toThrow('broken');
  expect(failures).toEqual([error]);
  expect(state.onLoop + state.started).toBe(isSlow ? 2 : 1);
  durability.close();
});

test('a file is closed only after the sync that uses it', async () => {
  const staged = stage();
  const { file, workers, durability } = staged;
  await slowDown(staged);
  const written = [watch(durability.wrote()), watch(durability.wrote())];
  durability.close();
  expect(fstatSync(file).isFile()).toBe(true);
  workers[0]!.finish();
  await settle();
  expect(fstatSync(file).isFile()).toBe(true);
  workers[1]!.finish();
  await settle();
  expect(written.map((seen) => seen.state)).toEqual(['durable', 'durable']);
  expect(() => fstatSync(file)).toThrow('EBADF');
});

type Step = 'write' | 'ask' | 'finish' | 'force' | 'fail';
const STEP = fc.constantFrom<Step>('write', 'write', 'ask', 'finish', 'finish', 'force', 'fail');

test('whatever the order, nobody is told before a sync that began after his write', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(STEP, { maxLength: 30 }), async (steps) => {
      const staged = stage();
      await slowDown(staged);
      staged.state.loopMs = SQLITE_SYNC_BLOCK_MS * 2;
      await play(staged, steps);
    }),
    { numRuns: 100 },
  );
});

/** A model beside it: what each worker was to cover, and what is therefore on disk. */
async function play(staged: ReturnType<typeof stage>, steps: readonly Step[]): Promise<void> {
  const { state, workers, durability } = staged;
  const told: { needs: number; seen: { state: string } }[] = [];
  const covers: number[] = [];
  let written = 0;
  let onDisk = 0;
  let ended = 0;
  let isBroken = false;
  for (const step of steps) {
    switch (step) {
      case 'write':
        written++;
        told.push({ needs: written, seen: watch(durability.wrote()) });
        break;
      case 'ask':
        told.push({ needs: written, seen: watch(durability.reached()) });
        break;
      case 'force':
        force(durability, isBroken);
        if (!isBroken) onDisk = written;
        break;
      case 'finish':
      case 'fail':
        if (ended === workers.length) break;
        if (step === 'finish') workers[ended]!.finish();
        else workers[ended]!.fail(new Error('i/o error'));
        if (step === 'finish' && !isBroken) onDisk = Math.max(onDisk, covers[ended]!);
        else isBroken = true;
        ended++;
        await settle();
        break;
    }
    while (covers.length < state.started) covers.push(written);
    await settle();
    for (const { needs, seen } of told) {
      if (seen.state === 'durable') expect(needs).toBeLessThanOrEqual(onDisk);
      else if (!isBroken) expect(needs).toBeGreaterThan(onDisk);
    }
  }
  for (const worker of workers.slice(ended)) worker.finish();
  durability.close();
}

function force(durability: Durability, isBroken: boolean): void {
  if (isBroken) expect(() => durability.reachNow()).toThrow('broken');
  else durability.reachNow();
}
