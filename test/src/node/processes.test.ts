// What Linux tells of processes. Method: this very process is looked at while it works and waits.
import { expect, test } from 'vitest';
import { isAtDisk, machineUse, openFilesMax, processUse } from '../../../src/node/processes.ts';

const isLinux = process.platform === 'linux';

test.runIf(isLinux)('a process that works has run, and waited when it had to', () => {
  const before = processUse(process.pid)!;
  const { user: userBefore } = process.cpuUsage();
  while (process.cpuUsage().user - userBefore < 100_000); // 100 ms on a processor.
  const now = processUse(process.pid)!;
  expect(now.mainRunMs - before.mainRunMs).toBeGreaterThan(90);
  expect(now.runMs - before.runMs).toBeGreaterThanOrEqual(now.mainRunMs - before.mainRunMs);
  expect(now.mainQueueMs).toBeGreaterThanOrEqual(before.mainQueueMs);
  expect(now.rssKb).toBeGreaterThan(10_000);
  expect(isAtDisk(process.pid)).toBe(false);
});

test.runIf(isLinux)('the machine has been busy and idle', () => {
  const { busyMs, idleMs } = machineUse()!;
  expect(busyMs).toBeGreaterThan(0);
  expect(idleMs).toBeGreaterThan(0);
  expect(openFilesMax()).toBeGreaterThan(64);
});

test('of a process that is not there nothing is known', () => {
  expect(processUse(2 ** 30)).toBeUndefined();
  expect(isAtDisk(2 ** 30)).toBe(false);
});
