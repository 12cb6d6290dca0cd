// Method: `npm run build` into a folder of its own; each file is then alone in an empty folder, on
// a machine that has nothing but Node: no packages, no sources, no variables. Asked is a payment.
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { STORY, install } from '../simulator/install.ts';
import { createTeller } from '../simulator/teller.ts';
import { openSecretFile } from '../src/keyfile.ts';
import { CONFIRM_READ_MS } from '../src/limits.ts';
import { createHttp } from '../src/node/http.ts';
import { clock, files, random } from '../src/node/platform.ts';

const ROOT = join(import.meta.dirname, '..');
const PATIENCE = { timeout: 20_000 };
const folder = mkdtempSync(join(tmpdir(), 'saytap-build-'));
const alone = (side: string) => join(folder, side, `${side}.mjs`);
const children: ChildProcess[] = [];
const programs: { lines: string[] }[] = [];

beforeAll(() => {
  execFileSync(process.execPath, [join(ROOT, 'build.ts'), '--out', join(folder, 'dist')]);
  for (const side of ['device', 'bridge']) {
    mkdirSync(join(folder, side));
    copyFileSync(join(folder, 'dist', `${side}.mjs`), alone(side));
  }
}, 60_000);

afterAll(async () => {
  const running = children.filter(({ exitCode }) => exitCode === null);
  const ends = running.map((child) => new Promise((done) => child.once('exit', done)));
  for (const child of running) child.kill('SIGTERM');
  await Promise.all(ends);
  rmSync(folder, { recursive: true, maxRetries: 3 });
});

function run(side: string, args: readonly string[]) {
  const child = spawn(process.execPath, [alone(side), ...args], {
    cwd: join(folder, side),
    env: {},
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  children.push(child);
  const lines: string[] = [];
  programs.push({ lines });
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
  createInterface({ input: child.stderr }).on('line', (line) => lines.push(`! ${line}`));
  const url = async () => {
    const told = () => lines.map((line) => /\w+:\/\/[\d.]+:\d+/.exec(line)?.[0]).find(Boolean);
    await expect.poll(told, PATIENCE).toBeDefined();
    return told()!;
  };
  return { lines, url, type: (line: string) => child.stdin.write(`${line}\n`) };
}

test('a file grows only when somebody decides so', () => {
  const camera = statSync(join(ROOT, 'node_modules/zxing-wasm/dist/reader/zxing_reader.wasm'));
  // Compressed and as text the wasm of the camera takes less than half of what it is.
  // A kiosk's screen takes 33 kB of it: 15 of the page, and what serves it.
  expect(statSync(alone('device')).size).toBeLessThan(753_000 + camera.size / 2);
  expect(statSync(alone('bridge')).size).toBeLessThan(1_150_000);
});

test('each file is its program, and tells its own commands only', () => {
  const help = (side: string, ...args: string[]) =>
    execFileSync(process.execPath, [alone(side), ...args], { env: {}, encoding: 'utf8' });
  expect(help('device', '--version')).toMatch(/^saytap \d+\.\d+\.\d+ \(protocol 1, node v/);
  expect(help('device', '--help')).toContain('node device.mjs --config device.yaml');
  expect(help('device', '--help')).not.toContain('ledger ');
  expect(help('bridge', '--help')).toContain('payments');
  expect(help('bridge', '--help')).not.toContain('npm start');
});

test('an older Node is told that it is too old, before it misses a module', () => {
  const older = "Object.defineProperty(process, 'versions', { value: { node: '20.20.2' } })";
  for (const side of ['device', 'bridge']) {
    const { status, stderr } = spawnSync(
      process.execPath,
      ['--import', `data:text/javascript,${older}`, alone(side), '--version'],
      { env: {}, encoding: 'utf8' },
    );
    expect(stderr).toBe(
      'saytap: this is Node 20.20.2, and it needs Node 24 or newer: https://nodejs.org\n',
    );
    expect(status).toBe(1);
    // What is named in an import is looked for before a line of the file has run.
    const linked = readFileSync(alone(side), 'utf8').matchAll(
      /(?:^|;)import\b[^;(]*?"(node:\w+)"/gm,
    );
    expect([...linked].map(([, name]) => name)).toEqual([]);
  }
});

test('pays by voice and for a looked-at order, with nothing but the two files', async () => {
  const place = await install({ files, random, clock }, join(folder, 'data'));
  const listen = { host: '127.0.0.1', port: 0 };
  const start = (program: 'risk' | 'ledger' | 'bridge', settings: object) =>
    run('bridge', [program, '--config', place.configure(program, settings)]).url();
  const risk = await start('risk', { listen, database: 'risk.db', secret: 'risk.secret' });
  const ledger = await start('ledger', { listen, database: 'ledger.db', secret: 'ledger.secret' });
  const shared = {
    ...STORY.realm,
    root: 'root.pub.pem',
    statements: 'statements',
    policy: 'platform.policy',
  };
  const { http, close } = createHttp();
  const secret = openSecretFile(files, random, join(place.folder, 'ledger.secret'), 32);
  const teller = createTeller({ http, url: ledger, secret, clock, random });
  await teller.open(STORY.funding, place.wallet.key.name, {
    currency: STORY.currency,
    minor: 100_00n,
  });
  const mqtt = await start('bridge', {
    ...shared,
    folder: 'bridge',
    mqtt: { listen },
    risk: { url: risk, secret: 'risk.secret' },
    backends: [{ kind: 'ledger', url: ledger, secret: 'ledger.secret' }],
    metrics: { port: 0 },
  });
  const device = (name: 'glasses' | 'kiosk', settings: object) =>
    // A built file is its program: `device.mjs --config` is `saytap device --config`.
    run('device', [
      '--config',
      place.configure(name, {
        ...{
          ...shared,
          profile: name,
          folder: name,
          mqtt: { url: mqtt },
          log: 'info',
          metrics: { port: 0 },
        },
        ...settings,
      }),
    ]);
  const glasses = device('glasses', { device: STORY.glasses, mandates: 'mandates' });
  const kiosk = device('kiosk', { device: STORY.kiosk });
  const heard = (who: { lines: string[] }, text: string) =>
    expect.poll(() => who.lines.join('\n'), PATIENCE).toContain(text);
  const press = async () => {
    await new Promise((done) => setTimeout(done, CONFIRM_READ_MS + 100));
    glasses.type('');
  };
  await heard(glasses, 'ready to pay');
  await heard(kiosk, 'ready to pay');

  glasses.type('pay 3 yuan to Luckin Coffee');
  await heard(glasses, '3.00 yuan');
  await press();
  await heard(glasses, 'Paid 3.00 yuan');

  kiosk.type('2 Latte 40 yuan');
  const pictures = () =>
    files.list(join(place.folder, 'kiosk')).filter((name) => /png$/.test(name));
  await expect.poll(pictures, PATIENCE).toHaveLength(1);
  const picture = join(place.folder, 'kiosk', pictures()[0]!);
  glasses.type(`look ${picture}`);
  await heard(glasses, '2 × Latte');
  await press();
  await heard(glasses, 'Paid 40.00 yuan');

  const metrics = async (who: { lines: string[] }) => {
    const url = /http:\S+\/metrics/.exec(who.lines.join('\n'))![0];
    return (await fetch(url)).text();
  };
  const seen = await metrics(glasses);
  expect(seen).toContain('saytap_device_receipts_total{outcome="captured",reason=""} 2');
  expect(seen).toContain('saytap_device_link_ready 1');
  expect(seen).toContain('saytap_device_outbox_open 0');
  const bridge = programs.find(({ lines }) => lines.some((line) => /^bridge of/.test(line)))!;
  expect(await metrics(bridge)).toContain(
    'saytap_bridge_requests_total{action="pay",outcome="captured",reason=""} 2',
  );

  const paid = (await teller.balances()).find(({ kind }) => kind === 'payee');
  expect(paid?.money.minor).toBe(43_00n);
  close();
}, 90_000);
