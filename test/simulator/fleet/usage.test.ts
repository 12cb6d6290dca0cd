// How full processes are, and what was full first. Method: tables of looks and of intervals, each
// with one thing that is full.
import { describe, expect, test } from 'vitest';
import {
  type Interval,
  type Look,
  type Use,
  findSaturation,
  fullness,
  machineBetween,
  useBetween,
} from '../../../simulator/fleet/usage.ts';

const look = (runMs: number, mainRunMs: number, mainQueueMs: number, atDisk = 0): Look => ({
  use: { runMs, mainRunMs, mainQueueMs, rssKb: 1024 },
  ...{ atDisk, looks: 20 },
});

describe('between two looks', () => {
  test('a process ran, waited for a processor and for the disk', () => {
    const use = useBetween('bridge', look(100, 50, 10), look(1_300, 550, 210, 4), 1_000)!;
    expect(use).toEqual({ name: 'bridge', cpu: 1.2, run: 0.5, queue: 0.2, disk: 0.2, rssKb: 1024 });
    expect(fullness(use)).toBeCloseTo(0.9, 9);
  });

  test('one that is gone, or a system that tells nothing, has no shares', () => {
    const gone = { ...look(0, 0, 0), use: undefined };
    expect(useBetween('risk', look(1, 1, 1), gone, 1_000)).toBeUndefined();
    expect(machineBetween(undefined, undefined, [], 2)).toBeUndefined();
  });

  test('what the machine did that this run did not is what others did', () => {
    const before = { busyMs: 0, idleMs: 0, stolenMs: 0 };
    const now = { busyMs: 1_400, idleMs: 500, stolenMs: 100 };
    const uses = [use('bridge', 0.5), use('risk', 0.3)];
    const machine = machineBetween(before, now, uses, 2)!;
    expect(machine.idle).toBeCloseTo(0.25, 9);
    expect(machine.own).toBeCloseTo(0.4, 9);
    expect(machine.others).toBeCloseTo(0.35, 9);
  });
});

function use(name: string, run: number, queue = 0, disk = 0): Use {
  return { name, cpu: run, run, queue, disk, rssKb: 0 };
}

/** One interval a second, at rates that rise by 100. */
function intervals(...rows: readonly (readonly [idle: number, ...uses: Use[]])[]): Interval[] {
  return rows.map(([idle, ...uses], at) => ({
    ...{ atS: at + 1, perSecond: (at + 1) * 100, uses },
    machine: { idle, own: 0.5, others: 0.5 - idle },
  }));
}

describe('what was full first', () => {
  const calm = [0.5, use('bridge', 0.4), use('risk', 0.2)] as const;
  const busy = [0.3, use('bridge', 0.6, 0.1, 0.25), use('risk', 0.3)] as const;
  const full = [0.01, use('bridge', 0.6), use('risk', 0.9)] as const;

  test('a loop, by what it runs and waits for', () => {
    const found = findSaturation(intervals(calm, busy, busy, busy, full, full, full), 2);
    expect(found).toMatchObject({ what: 'program', program: 'bridge', atS: 4, perSecond: 400 });
    expect(found.says).toContain('ran for 60 % of the time, waited for a processor for 10 %');
    expect(found.says).toContain('for the disk for 25 %');
  });

  test('the processors', () => {
    const found = findSaturation(intervals(calm, full, full, full, busy), 2);
    expect(found).toMatchObject({ what: 'processors', program: 'risk', atS: 4, perSecond: 400 });
    expect(found.says).toContain('49 % by other programs');
  });

  test('nothing, as long as it is never full three times in a row', () => {
    const found = findSaturation(intervals(busy, busy, calm, full, full, calm), 2);
    expect(found).toMatchObject({ what: 'nothing', program: 'bridge' });
  });

  test('unknown where the system tells nothing', () => {
    const silent = intervals(calm, calm, calm).map((one) => ({ ...one, uses: [] }));
    expect(findSaturation(silent, 2).what).toBe('unknown');
  });
});
