// A program on a machine of a world: what it is when it dies, and that it starts again.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createChance } from '../../simulator/chance.ts';
import { createDisks } from '../../simulator/disk.ts';
import { RESTART_MS, type Machine, type Ports, createMachine } from '../../simulator/machine.ts';
import { Died } from '../../simulator/machine.ts';
import { createNetwork } from '../../simulator/network.ts';
import type { Sight } from '../../simulator/observed.ts';
import { type Timeline, createMachineClock, createTimeline } from '../../simulator/time.ts';
import { OperatorError, PaymentError } from '../../src/errors.ts';
import { timers } from '../../src/node/platform.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import { hearUnhandled } from '../../src/node/unhandled.ts';

let timeline: Timeline;
let machine: Machine;
let seen: Sight[];
let unhandled: unknown[];
let stopHearing: () => void;
const disks = createDisks(openDatabase);

beforeEach(() => {
  timeline = createTimeline(timers.soon);
  seen = [];
  unhandled = [];
  stopHearing = hearUnhandled((error) => void unhandled.push(error));
  const chance = createChance('machine');
  machine = createMachine({
    ...{ name: 'box', timeline, chance },
    clock: createMachineClock(timeline, { startMs: 1_000_000 }),
    disk: disks({ chance, after: timeline.after }),
    network: createNetwork({ chance, timeline }),
    observe: (sight) => void seen.push(sight),
  });
});
afterEach(() => stopHearing());

const lives = () => seen.flatMap((one) => (one.what === 'life' ? [one.event] : []));
const crashes = () => seen.flatMap((one) => (one.what === 'crash' ? [one.error] : []));

test('what is dead does nothing any more, and starts again on what its disk has kept', async () => {
  const wrote: string[] = [];
  machine.run(({ timers, files, clock }: Ports) => {
    const before = files.read('/note');
    wrote.push(`start ${before?.length ?? 'empty'} at ${clock.monotonicMs()}`);
    if (!before) files.create('/note', new Uint8Array(3), 0o600);
    timers.after(1_000, () => wrote.push('a second'));
    timers.after(3_000, () => wrote.push('three seconds'));
    return {};
  });
  await timeline.run(2_000);
  machine.kill('power cut', 5_000);
  expect(machine.isAlive()).toBe(false);
  await timeline.run(6_999);
  expect(wrote).toEqual(['start empty at 0', 'a second']);
  await timeline.run(8_500);
  expect(wrote).toEqual(['start empty at 0', 'a second', 'start 3 at 0', 'a second']);
  expect(lives()).toEqual(['start', 'power cut', 'start']);
});

test.each([
  ['before', 'empty'],
  ['after', 'written'],
] as const)('it dies %s its second call: then the file is %s', async (side, found) => {
  let reached = '';
  const states: string[] = [];
  machine.run(async ({ files }: Ports) => {
    states.push(files.read('/note') ? 'written' : 'empty');
    reached = 'read';
    if (states.length === 1) machine.killAt(1, side, 'kill', 100);
    files.create(`/note`, new Uint8Array(1), 0o600);
    reached = 'created';
    return {};
  });
  await timeline.run(50);
  expect({ reached, alive: machine.isAlive() }).toEqual({ reached: 'read', alive: false });
  await timeline.run(150);
  expect(states).toEqual(['empty', found]);
});

test('what a program leaves behind when it dies in the middle is no crash', async () => {
  machine.run(({ timers, files }: Ports) => {
    timers.after(10, () => {
      machine.killAt(1, 'before', 'kill', Infinity);
      void (async () => files.read('/a'))();
      files.read('/b');
    });
    return {};
  });
  await timeline.run(100);
  expect(unhandled).toEqual([expect.any(Died)]);
  expect(crashes()).toEqual([]);
  expect(lives()).toEqual(['start', 'killed']);
});

test('an error that a program does not catch is a crash', async () => {
  machine.run(({ timers }: Ports) => {
    timers.after(10, () => {
      throw new TypeError('a mistake');
    });
    return {};
  });
  await timeline.run(100);
  expect(crashes()).toEqual([
    expect.stringMatching(/^TypeError: a mistake at .*machine\.test\.ts/),
  ]);
  expect(crashes()[0]).not.toMatch(/\/home|file:/);
});

test('a program that cannot run, or ends by itself, is started again', async () => {
  let starts = 0;
  machine.run(async ({ timers }: Ports) => {
    starts++;
    if (starts === 1) throw new OperatorError('storage', 'the disk is gone');
    const failed = new Promise<Error>((done) => {
      timers.after(500, () => done(new OperatorError('storage', 'the disk has failed')));
    });
    return { failed };
  });
  await timeline.settle();
  await timeline.run(RESTART_MS - 1);
  expect(starts).toBe(1);
  await timeline.run(RESTART_MS + 500);
  expect(machine.isAlive()).toBe(false);
  await timeline.run(2 * RESTART_MS + 500);
  expect(starts).toBe(3);
  const whys = seen.flatMap((one) => (one.what === 'life' && one.why ? [one.why] : []));
  expect(whys).toEqual(['the disk is gone', 'the disk has failed']);
  expect(crashes()).toEqual([]);
});

test('what the system refuses is told and tried again; a mistake is a crash', async () => {
  const refusals = [
    Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' }),
    new PaymentError('unavailable', 'The disk failed.'),
    new TypeError('a mistake'),
  ];
  machine.run(() => Promise.reject(refusals.shift()!));
  await timeline.settle();
  await timeline.run(RESTART_MS + 1);
  expect(crashes()).toEqual([]);
  await timeline.run(2 * RESTART_MS + 1);
  expect(crashes()).toEqual([expect.stringContaining('a mistake')]);
});
