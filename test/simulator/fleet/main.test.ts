// `saytap fleet` with all real programs, small. Method: as a person runs it, on the embedded
// broker, which is there on every machine; what it says is read from its output and its report.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { EXITS } from '../../../src/errors.ts';

const CLI = join(import.meta.dirname, '../../../src/cli.ts');
const folder = mkdtempSync(join(tmpdir(), 'saytap-test-fleet-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Fleet = Readonly<{
  child: ChildProcess;
  report: string;
  /** Resolves with the first match in what it has said. */
  heard: (pattern: RegExp) => Promise<RegExpExecArray>;
  ended: Promise<Readonly<{ status: number | null; out: string; errors: string }>>;
}>;

function fleet(name: string, ...args: string[]): Fleet {
  const report = join(folder, `${name}.html`);
  const all = ['fleet', '--broker', 'embedded', '--warm-up', '0', '--arrivals', 'even', ...args];
  const child = spawn(process.execPath, [CLI, ...all, '--report', report]);
  let out = '';
  let errors = '';
  let look = () => {};
  child.stdout.on('data', (chunk) => {
    out += String(chunk);
    look();
  });
  child.stderr.on('data', (chunk) => (errors += String(chunk)));
  return {
    ...{ child, report },
    heard: (pattern) =>
      new Promise((resolve) => {
        look = () => {
          const found = pattern.exec(out);
          if (found) resolve(found);
        };
        look();
      }),
    ended: new Promise((resolve) => {
      child.once('close', (status) => resolve({ status, out, errors }));
    }),
  };
}

/** Milliseconds after a name in a line of the summary. */
function timeIn(out: string, name: string): number {
  const [, value, unit] = new RegExp(`due to receipt.*?${name} ([\\d.]+) (µs|ms|s)`).exec(out)!;
  return Number(value) * { µs: 0.001, ms: 1, s: 1000 }[unit as 'µs' | 'ms' | 's'];
}

test.concurrent('twenty devices pay, and every payment is in the books once', async () => {
  const { ended, report } = fleet('calm', '--devices', '20', '--rate', '20', '--for', '2');
  const { status, out, errors } = await ended;
  expect({ status, errors }).toEqual({ status: 0, errors: '' });
  expect(out).toMatch(/^due +40\nsent +40\npaid +40\nrefused +0\nwaiting +0\n/m);
  expect(out.trimEnd().split('\n').at(-1)).toBe('twice 0 · lost 0');
  const html = readFileSync(report, 'utf8');
  expect(html).toContain('20 devices, 20 payments a second: carried');
  expect(html).toContain('40, wrong 0');
  const [, data] = /everything is in (\S+)/.exec(out)!;
  expect(existsSync(data!)).toBe(false);
});

test.concurrent('a bridge that stalls shows in the times, not in the load', async () => {
  const args = ['--devices', '4', '--rate', '40', '--for', '3', '--workers', '2'];
  const { heard, ended } = fleet('stall', ...args);
  const [, pid] = await heard(/bridge of ledger .* \(process (\d+)\)/);
  await heard(/ s load /);
  process.kill(Number(pid), 'SIGSTOP');
  await new Promise((done) => setTimeout(done, 1_500));
  process.kill(Number(pid), 'SIGCONT');
  const { out } = await ended;
  expect(out).toMatch(/^due +120\nsent +120\npaid +120$/m);
  expect(out).toMatch(/twice 0 · lost 0/);
  // Who was due in the first second of it, a third of all, waits for half a second and more. Four
  // devices that wait for each other's answers would have been four slow ones of a hundred.
  expect(timeIn(out, 'p90')).toBeGreaterThan(500);
  expect(timeIn(out, 'most')).toBeGreaterThan(1_300);
});

test.concurrent('Ctrl-C ends the load and writes what there is', async () => {
  const args = ['--devices', '5', '--rate', '20', '--for', '600'];
  const { child, heard, ended, report } = fleet('ended', ...args);
  await heard(/ s load /);
  await new Promise((done) => setTimeout(done, 1_000));
  child.kill('SIGINT');
  const { status, out, errors } = await ended;
  expect({ status, errors }).toEqual({ status: 130, errors: '' });
  const [, due, paid] = /^due +(\d+)\nsent +\d+\npaid +(\d+)$/m.exec(out)!;
  expect(Number(due)).toBeGreaterThan(20);
  expect(paid).toBe(due);
  expect(out.trimEnd().split('\n').at(-1)).toBe('twice 0 · lost 0');
  expect(readFileSync(report, 'utf8')).toContain('Somebody ended this run');
});

describe('what cannot be done is said before', () => {
  const run = (command: string) => spawnSync('/bin/sh', ['-c', command], { encoding: 'utf8' });
  const node = `'${process.execPath}' '${CLI}' fleet`;

  test('too few open files, with what raises them', () => {
    const { status, stderr, stdout } = run(`ulimit -n 256; ${node} --devices 300`);
    expect({ status, stdout }).toEqual({ status: EXITS.config, stdout: '' });
    expect(stderr).toMatch(/would need 428 open files and may have 256: type ulimit -n 428 /);
  });

  test('too many payments to remember', () => {
    const { status, stderr } = run(`${node} --rate 20000 --for 3600`);
    expect(status).toBe(EXITS.config);
    expect(stderr).toMatch(/72\d{6} payments are more than 5000000/);
  });

  test('a worker without its fleet', () => {
    const { status, stderr } = run(`${node} --worker`);
    expect(status).toBe(EXITS.usage);
    expect(stderr).toMatch(/--worker is for saytap fleet itself/);
  });
});
