// Method: the real systemd-notify, replaced on the PATH by a script that writes down what it was
// told; a service manager is not there to be asked.
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { findSupervisor } from '../../../src/node/supervisor.ts';

let folder: string;
let variables: Record<string, string>;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'saytap-supervisor-'));
  const script = join(folder, 'systemd-notify');
  writeFileSync(script, `#!/bin/sh\necho "$@" >> ${folder}/told\n`);
  chmodSync(script, 0o755);
  writeFileSync(join(folder, 'told'), '');
  variables = { PATH: `${folder}:/bin:/usr/bin`, NOTIFY_SOCKET: '/run/x', WATCHDOG_USEC: '40000' };
});
afterEach(() => rmSync(folder, { recursive: true }));

const told = () => readFileSync(join(folder, 'told'), 'utf8').trim().split('\n');
const mine = `--pid=${process.pid}`;

test('says ready, then that it lives as long as it does, then that it stops', async () => {
  let isAlive = true;
  const supervisor = findSupervisor(variables);
  supervisor.ready(() => isAlive);
  await expect.poll(told).toContain(`${mine} WATCHDOG=1`);
  expect(told()).toContain(`${mine} READY=1`);
  isAlive = false;
  supervisor.status('waiting\nfor the bridge');
  supervisor.stopping();
  await expect.poll(told).toContain(`${mine} STATUS=waiting for the bridge`);
  await expect.poll(told).toContain(`${mine} STOPPING=1`);
});

test('a program that is not alive feeds no watchdog', async () => {
  const supervisor = findSupervisor(variables);
  supervisor.ready(() => false);
  await expect.poll(told).toContain(`${mine} READY=1`);
  await new Promise((done) => setTimeout(done, 200));
  supervisor.stopping();
  await expect.poll(told).toContain(`${mine} STOPPING=1`);
  expect(told()).not.toContain(`${mine} WATCHDOG=1`);
});

test('feeds no watchdog of another process, and tells nobody without a manager', async () => {
  const other = findSupervisor({ ...variables, WATCHDOG_PID: '1' });
  other.ready(() => true);
  await expect.poll(told).toContain(`${mine} READY=1`);
  await new Promise((done) => setTimeout(done, 200));
  other.stopping();
  await expect.poll(told).toContain(`${mine} STOPPING=1`);
  expect(told()).not.toContain(`${mine} WATCHDOG=1`);

  writeFileSync(join(folder, 'told'), '');
  const { NOTIFY_SOCKET: _, ...alone } = variables;
  const none = findSupervisor(alone);
  none.ready(() => true);
  none.stopping();
  await new Promise((done) => setTimeout(done, 200));
  expect(told()).toEqual(['']);
});
