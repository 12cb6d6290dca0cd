/**
 * The weather that the bridge must live through: risk, ledgers and bridge as real programs on real
 * files and ports, which a test kills with SIGKILL while customers in its own process ask for
 * money over a real MQTT broker. What came of it is counted in reckoning.ts.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { stringify } from 'yaml';
import type { AuditReport } from '../../broker/audit.ts';
import { fromBody, signCall } from '../../broker/hmac.ts';
import type { Faults } from '../../broker/ledger/service.ts';
import { nobleSigner } from '../../device/keys/noble.ts';
import { toHex } from '../../src/bytes.ts';
import type { Realm, Signer } from '../../src/cose.ts';
import { requireFolder } from '../../src/files.ts';
import { openKeyFile, openSecretFile, readKeyFile } from '../../src/keyfile.ts';
import { startBroker } from '../../src/node/broker.ts';
import { createHttp } from '../../src/node/http.ts';
import { clock, files, random } from '../../src/node/platform.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import { type KeyStatement, keyStatement } from '../../src/objects/key.ts';
import { seal } from '../../src/objects/kind.ts';
import type { Mandate } from '../../src/objects/mandate.ts';
import { policy as policyKind } from '../../src/objects/policy.ts';
import { nodeSigner, publicPem } from '../../src/signer.ts';
import { type Customer, createCustomer } from './customer.ts';

export const PAYEE = 'cafe';
const REALM: Realm = { environment: 'sim', ledger: 'storm' };
const HOST = '127.0.0.1';
const root = join(import.meta.dirname, '..', '..');
const cli = join(root, 'src', 'cli.ts');

export type Forecast = Readonly<{
  seed: number;
  /** Payers' devices; they are called device-0, device-1, … */
  devices: number;
  /** The ledgers that the bridge has for backends, in its order. */
  ledgers: readonly string[];
  /** What a ledger does to its callers in its n-th life. */
  faults: (life: number) => Faults;
  /** The bridge's patience; without it the built-in one, which no storm outlasts. */
  cancelAfterSeconds?: number;
  /** Opening balances by funding reference, the same at every ledger. */
  funds: Readonly<Record<string, bigint>>;
  /** What test/mutants.ts plants into the bridge. */
  planted?: readonly string[];
  /** Called when the test has ended. */
  onFinished: (end: () => Promise<void>) => void;
}>;

/** The audit as a person runs it. */
export type Audited = Readonly<{ exit: number | null; report: AuditReport }>;

export type Storm = Awaited<ReturnType<typeof createStorm>>;

/** Makes the installation, starts broker and programs, and opens the accounts. */
export async function createStorm(forecast: Forecast) {
  const { ledgers, planted = [] } = forecast;
  const folder = mkdtempSync(join(tmpdir(), 'saytap-storm-'));
  const at = (...names: string[]) => join(folder, ...names);
  for (const name of ['statements', 'bridge', 'devices']) requireFolder(files, at(name));
  const key = (...names: string[]) => nodeSigner(openKeyFile(files, at(...names), 'ES256'));
  const authority = key('root.pem');
  const wallet = key('wallet.pem');
  const nowS = Math.floor(clock.nowMs() / 1000);
  const payer = random(16);
  const statements: Uint8Array[] = [];

  async function state(name: string, signer: Signer, says: Omit<KeyStatement, Times>) {
    const valid = { nbf: nowS - 3_600, exp: nowS + 86_400 };
    const value = { ...says, ...valid, key: signer.key.public };
    const envelope = await seal(keyStatement, value, REALM, authority);
    writeFileSync(at('statements', `${name}.key`), envelope);
    statements.push(envelope);
  }
  type Times = 'key' | 'nbf' | 'exp';

  await state('bridge', key('bridge', 'bridge.key.pem'), { role: 'bridge', presenceMax: 0 });
  await state('wallet', wallet, { role: 'wallet', presenceMax: 4, payer });
  await state('kiosk', key('devices', 'kiosk'), {
    role: 'terminal',
    presenceMax: 0,
    device: 'kiosk',
    payee: PAYEE,
    terminal: 'till-1',
    names: [['en', 'Café']],
  });
  for (let i = 0; i < forecast.devices; i++) {
    const device = `device-${i}`;
    await state(device, key('devices', device), { role: 'device', presenceMax: 2, payer, device });
  }
  const policy = await seal(
    policyKind,
    {
      iat: nowS,
      version: 1,
      scope: { kind: 'platform' },
      ladders: [{ currency: 'CNY', bands: [{ ceiling: 1_000_00n, level: 2 }] }],
    },
    REALM,
    authority,
  );
  writeFileSync(at('platform.policy'), policy);
  writeFileSync(at('root.pub.pem'), publicPem(authority.key));
  const password = toHex(random(16));
  writeFileSync(at('mqtt.password'), password, { mode: 0o600 });
  const secretOf = (name: string) => openSecretFile(files, random, at(`${name}.secret`), 32);

  const ports = new Map<string, number>();
  for (const name of ['risk', 'bridge', ...ledgers]) {
    ports.set(name, await freePort());
    secretOf(name);
  }
  const urlOf = (name: string) => `http://${HOST}:${ports.get(name)}`;
  const listen = (name: string) => ({ host: HOST, port: ports.get(name)! });
  const broker = await startBroker({ host: HOST, port: 0, bridgePassword: password });
  const configure = (name: string, settings: object) =>
    writeFileSync(at(`${name}.yaml`), stringify(settings));
  const service = (name: string) => ({
    listen: listen(name),
    database: `${name}.db`,
    secret: `${name}.secret`,
  });
  configure('risk', { ...service('risk'), thresholds: { stepUp: 1001, deny: 1001 } });
  configure('bridge', {
    ...REALM,
    folder: 'bridge',
    root: 'root.pub.pem',
    statements: 'statements',
    policy: 'platform.policy',
    mqtt: { url: broker.url, password: 'mqtt.password' },
    risk: { url: urlOf('risk'), secret: 'risk.secret' },
    backends: ledgers.map((name) => ({
      kind: 'ledger',
      name,
      url: urlOf(name),
      secret: `${name}.secret`,
    })),
    notifications: { listen: listen('bridge') },
    ...(forecast.cancelAfterSeconds !== undefined && {
      cancelAfterSeconds: forecast.cancelAfterSeconds,
    }),
    log: 'info',
  });

  const children = new Map<string, ChildProcess>();
  const customers: Customer[] = [];
  const log: string[] = [];
  const told = new Map<string, number>();
  const lives = new Map<string, number>();
  let isFaulty = true;

  function hear(name: string, line: string): void {
    log.push(`${name}: ${line}`);
    if (log.length > 2_000) log.shift();
    const news = NEWS.find((text) => line.includes(text));
    if (news) told.set(news, (told.get(news) ?? 0) + 1);
  }

  /** Starts a program and waits until it says where it listens. */
  async function start(name: string): Promise<void> {
    const life = (lives.get(name) ?? 0) + 1;
    lives.set(name, life);
    if (ledgers.includes(name)) {
      // Another seed for every life, or each would begin with the same faults.
      const seed = forecast.seed + ledgers.indexOf(name) * 10_000 + life;
      const faults = isFaulty ? { faults: { ...forecast.faults(life), seed } } : {};
      configure(name, { ...service(name), notify: { url: urlOf('bridge'), name }, ...faults });
    }
    const mutants = pathToFileURL(join(root, 'test', 'mutants.ts')).href;
    const isPlanted = name === 'bridge' && planted.length > 0;
    const child = spawn(
      process.execPath,
      [
        ...(isPlanted ? ['--import', mutants] : []),
        cli,
        ledgers.includes(name) ? 'ledger' : name,
        ...['--config', at(`${name}.yaml`)],
      ],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { ...process.env, SAYTAP_PLANT: planted.join(', ') },
      },
    );
    children.set(name, child);
    createInterface({ input: child.stderr }).on('line', (line) => hear(name, line));
    await new Promise<void>((resolve, reject) => {
      createInterface({ input: child.stdout }).once('line', () => resolve());
      child.once('exit', (code) =>
        reject(new Error(`${name} ended with ${code}:\n${lastWords()}`)),
      );
    });
  }

  /** Ends a program and waits for it; returns its exit code, null after SIGKILL. */
  async function end(name: string, signal: 'SIGKILL' | 'SIGTERM'): Promise<number | null> {
    const child = children.get(name);
    if (!child || child.exitCode !== null || child.signalCode !== null) {
      throw new Error(`${name} is not running:\n${lastWords()}`);
    }
    const gone = new Promise<number | null>((done) => child.once('exit', done));
    child.kill(signal);
    return gone;
  }

  function lastWords(name = ''): string {
    return log
      .filter((line) => line.startsWith(name))
      .slice(-20)
      .join('\n');
  }

  const { http, close: closeHttp } = createHttp();
  /** Asks a ledger as its bridge does, and takes nothing but an answer. */
  async function ask(
    ledger: string,
    method: 'GET' | 'POST',
    path: string,
    body?: unknown,
  ): Promise<unknown> {
    const caller = { secret: secretOf(ledger), clock, random };
    const url = urlOf(ledger) + path;
    const question = { method, url, timeoutMs: 30_000, ...(body !== undefined && { body }) };
    const { status, body: answer } = await http(signCall(caller, question));
    if (status !== 200) throw new Error(`${ledger} answered ${status} to ${path}`);
    return fromBody(answer);
  }

  forecast.onFinished(async () => {
    for (const customer of customers) await customer.close();
    for (const child of children.values()) child.kill('SIGKILL');
    closeHttp();
    await broker.close();
    rmSync(folder, { recursive: true });
  });

  for (const name of ['risk', ...ledgers]) await start(name);
  for (const ledger of ledgers) {
    for (const [funding, minor] of Object.entries(forecast.funds)) {
      const account = { funding, wallet: wallet.key.name, currency: 'CNY', minor: String(minor) };
      await ask(ledger, 'POST', '/v1/accounts', account);
    }
  }
  await start('bridge');

  function customer(name: string): Customer {
    const made = createCustomer({
      name,
      realm: REALM,
      url: broker.url,
      database: at('devices', `${name}.db`),
      signer: nobleSigner(readKeyFile(files, at('devices', name)), random),
      root: authority.key,
      statements,
      policy,
    });
    customers.push(made);
    return made;
  }

  const isAsked = () => customers.some(({ outbox }) => outbox.open().length > 0);

  return {
    ledgers,
    start,
    end,
    ask,
    lastWords,
    /** How often a program said one of NEWS, or that something was planted into it. */
    told: (news: (typeof NEWS)[number]) => told.get(news) ?? 0,
    lives: (name: string) => lives.get(name) ?? 0,
    customers: customers as readonly Customer[],
    /** The payee's kiosk, once it may ask for something. */
    async kiosk(): Promise<Customer> {
      const made = customer('kiosk');
      await made.ready();
      return made;
    },
    /** Payer's device number `i`, once it may pay. */
    async device(i: number, changes: Partial<Mandate>): Promise<Customer> {
      const made = customer(`device-${i}`);
      const valid = { iat: nowS, nbf: nowS - 60, exp: nowS + 86_400 };
      await made.authorised({ ...valid, ...changes }, wallet);
      await made.ready();
      return made;
    },
    /** Kills a program; of a bridge it returns how many payments it left open. */
    async kill(name: string): Promise<number> {
      await end(name, 'SIGKILL');
      if (name !== 'bridge') return 0;
      const database = openDatabase(at('bridge', 'bridge.db'));
      const count = 'SELECT count(*) AS n FROM runs WHERE receipt IS NULL';
      const open = Number(database.prepare(count).get()!['n']);
      database.close();
      return open;
    },
    /** Ledgers without faults, and a bridge that goes on with all that is open. */
    async heal(): Promise<void> {
      for (const name of ['bridge', ...ledgers]) await end(name, 'SIGKILL');
      isFaulty = false;
      for (const name of [...ledgers, 'bridge']) await start(name);
    },
    /** Waits until every customer has its final answers; returns what is still open then. */
    async drained(): Promise<readonly string[]> {
      for (let second = 0; isAsked() && second < 180; second++) {
        // As after a restart of the device: whatever is open is due at once.
        if (second % 5 === 0) {
          for (const { outbox, repeat } of customers)
            for (const { id } of outbox.open()) repeat(id);
        }
        for (let tick = 0; isAsked() && tick < 20; tick++) await sleep(50);
      }
      return customers.flatMap(({ outbox }) => outbox.open().map(({ id }) => id));
    },
    /** The bridge's own tables, to be read while no bridge runs. */
    books<T>(read: (database: ReturnType<typeof openDatabase>) => T, name = 'bridge/bridge'): T {
      const database = openDatabase(at(`${name}.db`));
      try {
        return read(database);
      } finally {
        database.close();
      }
    },
    /** What `saytap audit` finds, and how it ends; for the time when no bridge runs. */
    audit: () =>
      new Promise<Audited>((done, fail) => {
        const args = [cli, 'audit', '--config', at('bridge.yaml'), '--json'];
        const child = execFile(process.execPath, args, (_, stdout, stderr) => {
          if (stdout === '') fail(new Error(`the audit says only: ${stderr}`));
          else done({ exit: child.exitCode, report: JSON.parse(stdout) as AuditReport });
        });
      }),
  };
}

/** Lines of the log that are counted. */
const NEWS = [
  'backend gave no answer, asking again',
  'backend gives no definite word, cancelling',
  'attempt cancelled',
  'attempt unsent',
  'planted: ',
  'bug',
] as const;

/**
 * A port that nobody listens on, below those that the system gives to outgoing connections: one of
 * these could take the place of a program between its death and its next life.
 */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + (new DataView(random(2).buffer).getUint16(0) % 12_000);
    const server = createServer();
    const isFree = await new Promise<boolean>((done) => {
      server.once('error', () => done(false));
      server.listen(port, HOST, () => done(true));
    });
    await new Promise((done) => server.close(done));
    if (isFree) return port;
  }
}

/**
 * Keeps requests and kills in step, whatever the speed of the machine: every device makes its
 * share, and neither the requests nor the kills are over before the others.
 */
export function createPace(
  plan: Readonly<{ devices: number; requests: number; kills: number }>,
): Readonly<{
  /** Whether device number `i` asks for something now; if so, it is counted. */
  takeRequest: (i: number) => boolean;
  /** A request that was counted was not made after all. */
  giveBack: (i: number) => void;
  /** Whether something is killed now; if so, it is counted. */
  takeKill: () => boolean;
  requests: () => number;
  kills: () => number;
  /** Whether there are more requests for device number `i`, or kills, to come. */
  isOpen: (i?: number) => boolean;
}> {
  const made = Array.from({ length: plan.devices }, () => 0);
  const share = plan.requests / plan.devices;
  let kills = 0;
  const requests = () => made.reduce((sum, count) => sum + count, 0);
  return {
    takeRequest(i) {
      if (made[i]! >= Math.min(share, (share * (kills + 1)) / plan.kills)) return false;
      made[i]!++;
      return true;
    },
    giveBack: (i) => void made[i]!--,
    takeKill() {
      if (kills >= plan.kills || requests() < (plan.requests * (kills - 1)) / plan.kills)
        return false;
      kills++;
      return true;
    },
    requests,
    kills: () => kills,
    isOpen: (i) => (i === undefined ? kills < plan.kills : made[i]! < share),
  };
}

/** Whole numbers below `below`, the same in every run (mulberry32). */
export function seeded(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

export const sleep = (ms: number) => new Promise<void>((done) => setTimeout(done, ms));
