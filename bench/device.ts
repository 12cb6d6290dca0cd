/**
 * What the device costs on its board: the size of its file, how long it takes to be ready beside
 * what loading that file takes at all, memory and processor time of a thousand payments. The file
 * of `npm run build` in a process of its own, started as its systemd unit starts it, against all
 * real programs.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { STORY, install } from '../simulator/install.ts';
import { createTeller } from '../simulator/teller.ts';
import { payloadOf } from '../src/cose.ts';
import { openKeyFile, openSecretFile } from '../src/keyfile.ts';
import { createHttp } from '../src/node/http.ts';
import { clock, files, random } from '../src/node/platform.ts';
import { mandate as mandateKind } from '../src/objects/mandate.ts';
import { nodeSigner } from '../src/signer.ts';
import { signMandate } from '../src/wallet.ts';
import { goalRow, row } from './table.ts';

const PAYMENTS = 1_000;
/** Until then code is compiled and caches fill. */
const WARM = 100;
const STARTS = 5;
const TICK_MS = 10; // Of /proc: USER_HZ is 100 everywhere.
const ROOT = join(import.meta.dirname, '..');
const UNIT = readUnit(join(ROOT, 'image/systemd/saytap-device.service'));

type Program = Readonly<{
  child: ChildProcess;
  /** Resolves with the first line from now on that contains `text`. */
  heard: (text: string) => Promise<string>;
  type: (line: string) => void;
  stop: () => Promise<void>;
}>;

export async function measureDevice(write: (line: string) => void): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'saytap-bench-'));
  const running: Program[] = [];
  const { http, close } = createHttp();
  try {
    const build = [join(ROOT, 'build.ts'), '--out', folder];
    const built = execFileSync(process.execPath, build, { encoding: 'utf8' });
    const place = await install({ files, random, clock }, join(folder, 'data'));
    await grantMuch(place.folder);
    const listen = { host: '127.0.0.1', port: 0 };
    const start = async (program: 'risk' | 'ledger' | 'bridge', settings: object) => {
      const file = place.configure(program, settings);
      const one = run(folder, 'bridge', [program, '--config', file]);
      running.unshift(one);
      return /\w+:\/\/[\d.]+:\d+/.exec(await one.heard('://'))![0];
    };
    const trusting = { stepUp: 999, deny: 1_000 };
    const risk = await start('risk', {
      ...{ listen, database: 'risk.db', secret: 'risk.secret', thresholds: trusting },
    });
    const ledger = await start('ledger', {
      ...{ listen, database: 'ledger.db', secret: 'ledger.secret' },
    });
    const secret = openSecretFile(files, random, join(place.folder, 'ledger.secret'), 32);
    const teller = createTeller({ http, url: ledger, secret, clock, random });
    await teller.open(STORY.funding, place.wallet.key.name, {
      currency: STORY.currency,
      minor: 900_00n,
    });
    const shared = {
      ...{ ...STORY.realm, root: 'root.pub.pem', statements: 'statements' },
      policy: 'platform.policy',
    };
    const mqtt = await start('bridge', {
      ...{ ...shared, folder: 'bridge', mqtt: { listen } },
      risk: { url: risk, secret: 'risk.secret' },
      backends: [{ kind: 'ledger', url: ledger, secret: 'ledger.secret' }],
    });
    const file = place.configure('glasses', {
      ...{ ...shared, profile: 'glasses', folder: 'glasses', device: STORY.glasses },
      ...{ mandates: 'mandates', mqtt: { url: mqtt }, log: 'info' },
    });

    write(`\n${row('The device', 48, 'goal', 'measured')}`);
    const [, all, bare] = /device\.mjs {2}(\d+) kB, (\d+) kB/.exec(built)!;
    const limit = `${all} kB with the drivers of camera and token`;
    write(goalRow('kB of the file without drivers of hardware', 700, Number(bare), limit));

    const loads: number[] = [];
    const readies: number[] = [];
    for (let at = 0; at <= STARTS; at++) {
      const load = loadMs(folder, file);
      const glasses = run(folder, 'device', ['--config', file]);
      await glasses.heard('ready to pay');
      const ready = cpuMs(glasses);
      await glasses.stop();
      // The first start fills the compile cache.
      if (at > 0) (loads.push(load), readies.push(ready));
    }
    write(row('ms of CPU to load the file, cached', 48, '', median(loads).toFixed(0)));
    write(row('ms of CPU until it is ready to pay', 48, '', median(readies).toFixed(0)));
    const ratio = median(readies) / median(loads);
    write(goalRow('started to ready, ratio to loading', 2, ratio, 'MQTT, outbox, first signature'));

    const glasses = run(folder, 'device', ['--config', file]);
    running.unshift(glasses);
    await glasses.heard('ready to pay');
    await pay(glasses, WARM);
    const early = { cpu: cpuMs(glasses), memory: memoryMb(glasses, 'VmRSS') };
    await pay(glasses, PAYMENTS - WARM);
    const perPayment = (cpuMs(glasses) - early.cpu) / (PAYMENTS - WARM);
    const growth = memoryMb(glasses, 'VmRSS') / early.memory;
    write(
      goalRow('ms of CPU per payment by voice', 3, perPayment, 'six syncs, one noble signature'),
    );
    const peak = memoryMb(glasses, 'VmHWM');
    write(goalRow(`MB at the most in ${PAYMENTS} payments`, 80, peak, 'Node alone holds 42'));
    const flat = `memory after ${PAYMENTS}, ratio to after ${WARM}`;
    write(goalRow(flat, 1.1, growth, 'what grows is the heap'));
  } finally {
    for (const one of running) await one.stop();
    close();
    rmSync(folder, { recursive: true, maxRetries: 3 });
  }
}

/** The story's mandate ends after 50 payments a day. */
async function grantMuch(folder: string): Promise<void> {
  const path = join(folder, 'mandates', 'glasses.mandate');
  const { textDigest: _, ...grant } = mandateKind.decode(payloadOf(readFileSync(path)));
  const windows = [{ kind: 'total', max: 900_00n, count: 100_000 }] as const;
  const wallet = openKeyFile(files, join(folder, 'wallet.key.pem'), 'ES256');
  const much = await signMandate({ ...grant, windows }, '', STORY.realm, nodeSigner(wallet));
  writeFileSync(path, much.envelope);
}

function run(folder: string, side: string, args: readonly string[]): Program {
  const { flags, variables } = side === 'device' ? UNIT : { flags: [], variables: {} };
  const child = spawn(process.execPath, [...flags, join(folder, `${side}.mjs`), ...args], {
    env: { NODE_COMPILE_CACHE: join(folder, 'cache'), ...variables },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const waiting: { text: string; tell: (line: string) => void }[] = [];
  const take = (line: string) => {
    for (const one of waiting.filter(({ text }) => line.includes(text))) {
      waiting.splice(waiting.indexOf(one), 1);
      one.tell(line);
    }
  };
  createInterface({ input: child.stdout }).on('line', take);
  createInterface({ input: child.stderr }).on('line', take);
  const ended = new Promise<void>((done) => child.once('exit', () => done()));
  return {
    child,
    heard: (text) => new Promise((tell) => waiting.push({ text, tell })),
    type: (line) => void child.stdin.write(`${line}\n`),
    async stop() {
      if (child.exitCode === null) child.kill('SIGTERM');
      await ended;
    },
  };
}

/** What the unit gives Node and the C library, apart from where the cache is. */
function readUnit(path: string): Readonly<{ flags: string[]; variables: Record<string, string> }> {
  const unit = readFileSync(path, 'utf8');
  const [, flags] = /^ExecStart=\S+ ([^]*?)\S*device\.mjs/m.exec(unit)!;
  const variables = [...unit.matchAll(/\b(MALLOC_\w+)=(\S+)/g)].map(([, name, value]) => [
    name,
    value,
  ]);
  return {
    flags: flags!.split(/[\s\\]+/).filter(Boolean),
    variables: Object.fromEntries(variables) as Record<string, string>,
  };
}

async function pay(glasses: Program, count: number): Promise<void> {
  for (let at = 0; at < count; at++) {
    const asked = glasses.heard('0.01 yuan');
    glasses.type('pay 0.01 yuan to Luckin Coffee');
    await asked;
    const paid = glasses.heard('Paid');
    glasses.type('confirm');
    await paid;
  }
}

/** The whole file is loaded, a configuration is read, and nothing is started. */
function loadMs(folder: string, file: string): number {
  const args = [...UNIT.flags, join(folder, 'device.mjs'), 'config', 'check', 'device', file];
  const script = `
    const { spawnSync } = require('node:child_process');
    spawnSync(process.execPath, ${JSON.stringify(args)}, { env: process.env });
    const stat = require('node:fs').readFileSync('/proc/self/stat', 'utf8');
    process.stdout.write(JSON.stringify(stat));`;
  const { stdout } = spawnSync(process.execPath, ['-e', script], {
    env: { NODE_COMPILE_CACHE: join(folder, 'cache'), ...UNIT.variables },
  });
  // Fields 16 and 17 of /proc/PID/stat: what its ended children took.
  const fields = (JSON.parse(String(stdout)) as string).replace(/^.*\) /, '').split(' ');
  return (Number(fields[13]) + Number(fields[14])) * TICK_MS;
}

/** User and system time so far, of all threads. */
function cpuMs({ child }: Program): number {
  const stat = readFileSync(`/proc/${child.pid}/stat`, 'utf8');
  const fields = stat.replace(/^.*\) /, '').split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

function memoryMb({ child }: Program, which: 'VmRSS' | 'VmHWM'): number {
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
  return Number(new RegExp(`^${which}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) / 1024;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}
