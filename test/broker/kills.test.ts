/**
 * The promise of the whole: however often bridge and ledger die, and whatever the ledger does to
 * its answers, nobody pays twice, nothing confirmed is lost, and every receipt tells the truth.
 *
 * Method: risk, ledger and bridge are the real programs on real files and ports; devices in this
 * process use the product's own outbox, link and keys over a real MQTT broker. Bridge and ledger
 * are killed with SIGKILL at seeded moments while payments flow. Then the ledger is healed, every
 * outbox must empty, and the truth is counted from outside: the receipts that devices hold, the
 * ledger's movements over HTTP, and the bridge's tables.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, onTestFinished, test } from 'vitest';
import { stringify } from 'yaml';
import { fromBody, signCall } from '../../broker/hmac.ts';
import { nobleSigner } from '../../device/keys.ts';
import { createDeviceLink } from '../../device/link.ts';
import { type Outbox, createOutbox } from '../../device/outbox.ts';
import { createTime } from '../../device/time.ts';
import { createTrust } from '../../device/trust.ts';
import { toHex } from '../../src/bytes.ts';
import type { Realm, Signer } from '../../src/cose.ts';
import { requireFolder } from '../../src/files.ts';
import { openKeyFile, openSecretFile, readKeyFile } from '../../src/keyfile.ts';
import { BACKEND_TIMEOUT_MS } from '../../src/limits.ts';
import { startBroker } from '../../src/node/broker.ts';
import { createHttp } from '../../src/node/http.ts';
import { connectLink } from '../../src/node/link.ts';
import { clock, files, random, timers } from '../../src/node/platform.ts';
import { openDatabase } from '../../src/node/sqlite.ts';
import { type KeyStatement, keyStatement } from '../../src/objects/key.ts';
import { seal } from '../../src/objects/kind.ts';
import { mandate as mandateKind } from '../../src/objects/mandate.ts';
import { policy as policyKind } from '../../src/objects/policy.ts';
import { type Receipt, isFinal, receipt as receiptKind } from '../../src/objects/receipt.ts';
import { request as requestKind } from '../../src/objects/request.ts';
import type { Connect } from '../../src/platform.ts';
import { nodeSigner, publicPem } from '../../src/signer.ts';
import { parseTopic } from '../../src/topics.ts';
import { mandateOf, requestOf, sealed, verdictOf } from './stage.ts';

const isFull = process.env['SAYTAP_FULL'] !== undefined;
const KILLS = isFull ? 120 : 24;
const DEVICES = 6;
/** Unanswered payments of one device: enough to be under way at every moment. */
const OPEN_MAX = 12;
const SEED = 20_261_120;

const REALM: Realm = { environment: 'sim', ledger: 'storm' };
const PAYEE = 'cafe';
/** Every fault that a ledger can have, each on one call in eight; `late` is too late. */
const FAULTS = {
  loseBefore: 0.125,
  loseAfter: 0.125,
  late: 0.125,
  lateMs: BACKEND_TIMEOUT_MS + 300,
  twice: 0.125,
};
/** One device has a poor owner and one a small mandate, so that refusals are part of it. */
const POOR = 0;
const POOR_FUNDS = 45_00n;
const MODEST = 1;
const MODEST_WINDOW = 30_00n;

test(
  `kill -9 of bridge and ledger, ${KILLS} times under load and faults: every receipt is the truth`,
  async () => {
    const storm = await begin();
    const devices = [];
    for (let i = 0; i < DEVICES; i++) devices.push(await storm.device(i));
    await Promise.all(devices.map((device) => device.granted));

    let isLoaded = true;
    const loads = devices.map(async (device, i) => {
      const next = seeded(SEED + 1 + i);
      while (isLoaded) {
        if (device.outbox.open().length < OPEN_MAX) {
          // One in ten asks for more than its mandate allows: refused, and never moved.
          const minor = BigInt(next(10) === 0 ? 300_00 + next(100) : 1 + next(3_00));
          await device.pay(minor);
        } else if (next(4) === 0) device.repeat(next);
        await sleep(5 + next(20));
      }
    });

    const kills = { bridge: 0, ledger: 0 };
    const killing = (['bridge', 'ledger'] as const).map(async (name, i) => {
      const bySeed = seeded(SEED - i);
      while (kills.bridge + kills.ledger < KILLS) {
        kills[name]++;
        await sleep(50 + bySeed(850));
        await storm.kill(name);
        await sleep(bySeed(150));
        await storm.start(name);
      }
    });
    await Promise.all(killing);
    isLoaded = false;
    await Promise.all(loads);

    await storm.heal();
    for (const { outbox } of devices) {
      await expect.poll(() => outbox.open().length, { timeout: 60_000, interval: 50 }).toBe(0);
    }
    const truth = await storm.truth();

    const requests = devices.flatMap((device) => device.requests);
    const captured = new Map(truth.paid.map((move) => [move.key, BigInt(move.minor)]));
    expect(captured.size, 'no key moved money twice').toBe(truth.paid.length);
    expect(truth.check).toEqual({ balanced: true, differences: [] });

    let duplicates = 0;
    const outcomes = new Map<string, number>();
    for (const { id, minor, device } of requests) {
      const finals = device.finals(id);
      duplicates += finals.length - 1;
      expect(new Set(finals.map(({ bytes }) => bytes)).size, `copies of the receipt of ${id}`).toBe(
        1,
      );
      const { receipt, bytes } = finals[0]!;
      expect(toHex(device.outbox.get(id)!.receipt!)).toBe(bytes);
      expect(bytes, 'and it is what the bridge has on disk').toBe(truth.receipts.get(id));
      const isCaptured = receipt.outcome === 'captured';
      expect(captured.get(id), `${id} ${receipt.outcome}`).toBe(isCaptured ? minor : undefined);
      if (isCaptured) {
        expect(receipt.amount).toEqual({ currency: 'CNY', minor });
        expect(receipt.reference).toBe(truth.references.get(id));
      }
      const name = verdictOf(receipt).filter(Boolean).join(' ');
      outcomes.set(name, (outcomes.get(name) ?? 0) + 1);
    }
    const known = new Set(requests.map(({ id }) => id));
    expect([...captured.keys()].filter((key) => !known.has(key))).toEqual([]);
    expect(new Set([...truth.receipts.keys()])).toEqual(known);

    const sum = [...captured.values()].reduce((total, minor) => total + minor, 0n);
    for (const place of [0n, 1n]) {
      const windows = truth.windows.filter((window) => window['place'] === place);
      const total = (column: string) =>
        windows.reduce((held, window) => held + (window[column] as bigint), 0n);
      expect(total('settled'), `window ${place}`).toBe(sum);
      expect(total('settled_count')).toBe(BigInt(captured.size));
      expect([total('reserved'), total('reserved_count')]).toEqual([0n, 0n]);
    }
    for (const window of truth.windows) {
      expect(window['settled']! <= window['max']!).toBe(true);
    }
    expect(truth.open).toBe(0n);

    // What would make this test prove nothing: no kills, no load, no faults, no refusals.
    const refused = requests.length - captured.size;
    const story = [...outcomes].map(([name, count]) => `${name} ${count}`).join(', ');
    console.log(
      `kills ${kills.bridge} bridge + ${kills.ledger} ledger, requests ${requests.length}, ` +
        `captured ${captured.size}, refused ${refused}, runs resumed ${storm.resumed()}, ` +
        `duplicate receipts ${duplicates} (${story})`,
    );
    expect(kills.bridge + kills.ledger).toBeGreaterThanOrEqual(KILLS);
    expect(Math.min(kills.bridge, kills.ledger)).toBeGreaterThan(KILLS / 4);
    expect(captured.size).toBeGreaterThan(KILLS * 3);
    expect(outcomes.get('refused limit_per_payment')).toBeGreaterThan(0);
    expect(outcomes.get('refused backend_declined')).toBeGreaterThan(0);
    expect(outcomes.get('refused limit_window')).toBeGreaterThan(0);
    expect(duplicates).toBeGreaterThan(0);
    expect(storm.resumed()).toBeGreaterThan(KILLS / 4);
    // And no refusal has a reason that only a kill could have made up. Risk is never killed, but on
    // a crowded machine one of its answers may take longer than the bridge's patience.
    const tooSlow = outcomes.get('refused unavailable') ?? 0;
    expect(tooSlow).toBeLessThan(requests.length / 50);
    outcomes.delete('refused unavailable');
    expect([...outcomes.keys()].sort()).toEqual([
      'captured',
      'refused backend_declined',
      'refused limit_per_payment',
      'refused limit_window',
    ]);
  },
  isFull ? 900_000 : 150_000,
);

// ── the world ─────────────────────────────────────────────────────────────────────────────────

type Program = 'risk' | 'ledger' | 'bridge';

/** Makes the installation, starts broker and programs, and opens the accounts. */
async function begin() {
  const folder = mkdtempSync(join(tmpdir(), 'saytap-kills-'));
  const at = (...names: string[]) => join(folder, ...names);
  for (const name of ['statements', 'bridge', 'devices']) requireFolder(files, at(name));
  const key = (...names: string[]) => nodeSigner(openKeyFile(files, at(...names), 'ES256'));
  const root = key('root.pem');
  const bridgeKey = key('bridge', 'bridge.key.pem');
  const wallet = key('wallet.pem');
  const nowS = Math.floor(clock.nowMs() / 1000);
  const payer = random(16);
  const statements: Uint8Array[] = [];

  async function state(name: string, signer: Signer, says: Omit<KeyStatement, Times>) {
    const valid = { nbf: nowS - 3_600, exp: nowS + 86_400 };
    const value = { ...says, ...valid, key: signer.key.public };
    const envelope = await seal(keyStatement, value, REALM, root);
    writeFileSync(at('statements', `${name}.key`), envelope);
    statements.push(envelope);
  }
  type Times = 'key' | 'nbf' | 'exp';

  await state('bridge', bridgeKey, { role: 'bridge', presenceMax: 0 });
  await state('wallet', wallet, { role: 'wallet', presenceMax: 4, payer });
  await state('kiosk', key('kiosk.pem'), {
    role: 'terminal',
    presenceMax: 0,
    device: 'kiosk',
    payee: PAYEE,
    terminal: 'till-1',
    names: [['en', 'Café']],
  });
  for (let i = 0; i < DEVICES; i++) {
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
    root,
  );
  writeFileSync(at('platform.policy'), policy);
  writeFileSync(at('root.pub.pem'), publicPem(root.key));
  const password = toHex(random(16));
  writeFileSync(at('mqtt.password'), password, { mode: 0o600 });
  const secret = openSecretFile(files, random, at('ledger.secret'), 32);
  openSecretFile(files, random, at('risk.secret'), 32);

  const host = '127.0.0.1';
  const ports = { risk: await freePort(), ledger: await freePort() };
  const urlOf = (name: 'risk' | 'ledger') => `http://${host}:${ports[name]}`;
  const broker = await startBroker({ host, port: 0, bridgePassword: password });
  const configure = (name: Program, settings: object) =>
    writeFileSync(at(`${name}.yaml`), stringify(settings));
  const ledgerSettings = {
    listen: { host, port: ports.ledger },
    database: 'ledger.db',
    secret: 'ledger.secret',
  };
  configure('risk', {
    listen: { host, port: ports.risk },
    database: 'risk.db',
    secret: 'risk.secret',
    thresholds: { stepUp: 1001, deny: 1001 },
  });
  configure('bridge', {
    ...REALM,
    folder: 'bridge',
    root: 'root.pub.pem',
    statements: 'statements',
    policy: 'platform.policy',
    mqtt: { url: broker.url, password: 'mqtt.password' },
    risk: { url: urlOf('risk'), secret: 'risk.secret' },
    backend: { kind: 'ledger', url: urlOf('ledger'), secret: 'ledger.secret' },
    log: 'info',
  });

  const children = new Map<Program, ChildProcess>();
  const closes: (() => unknown)[] = [];
  let errors = '';
  let resumed = 0;
  let lives = 0;
  let isFaulty = true;

  /** Starts a program and waits until it says where it listens. */
  async function start(name: Program): Promise<void> {
    if (name === 'ledger') {
      // Another seed for every life, or each would begin with the same faults.
      const faults = { ...FAULTS, seed: SEED + ++lives };
      configure('ledger', { ...ledgerSettings, ...(isFaulty && { faults }) });
    }
    const script = join(import.meta.dirname, '..', '..', 'src', 'cli.ts');
    const child = spawn(process.execPath, [script, name, '--config', at(`${name}.yaml`)], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    children.set(name, child);
    createInterface({ input: child.stderr }).on('line', (line) => {
      errors = `${errors}\n${name}: ${line}`.slice(-10_000);
      resumed += Number(/payments left open count=(\d+)/.exec(line)?.[1] ?? 0);
    });
    await new Promise<void>((resolve, reject) => {
      createInterface({ input: child.stdout }).once('line', () => resolve());
      child.once('exit', (code) =>
        reject(new Error(`${name} ended with ${code}: ${errors.slice(-2_000)}`)),
      );
    });
  }

  /** Ends a program and waits for it; returns its exit code, null after SIGKILL. */
  async function end(name: Program, signal: 'SIGKILL' | 'SIGTERM'): Promise<number | null> {
    const child = children.get(name);
    if (!child || child.exitCode !== null || child.signalCode !== null) {
      throw new Error(`${name} is not running: ${errors.slice(-2_000)}`);
    }
    const gone = new Promise<number | null>((done) => child.once('exit', done));
    child.kill(signal);
    return gone;
  }

  const { http, close: closeHttp } = createHttp();
  async function ask(method: 'GET' | 'POST', path: string, body?: unknown): Promise<unknown> {
    const caller = { secret, clock, random };
    const url = urlOf('ledger') + path;
    const question = { method, url, timeoutMs: 5_000, ...(body !== undefined && { body }) };
    const { status, body: answer } = await http(signCall(caller, question));
    expect(status, path).toBe(200);
    return fromBody(answer);
  }

  onTestFinished(async () => {
    for (const close of closes) await close();
    for (const child of children.values()) child.kill('SIGKILL');
    closeHttp();
    await broker.close();
    rmSync(folder, { recursive: true });
  });

  await start('risk');
  await start('ledger');
  await start('bridge');
  for (const [funding, minor] of [
    ['acct-rich', 100_000_00n],
    ['acct-poor', POOR_FUNDS],
  ] as const) {
    const account = { funding, wallet: wallet.key.name, currency: 'CNY', minor: String(minor) };
    await ask('POST', '/v1/accounts', account);
  }

  /** A device with its own key and outbox, whose every received receipt is kept. */
  async function device(i: number) {
    const name = `device-${i}`;
    const signer = nobleSigner(readKeyFile(files, at('devices', name)), random);
    const outbox: Outbox = createOutbox(openDatabase(at('devices', `${name}.db`)));
    const time = createTime(clock);
    const trust = createTrust(REALM, root.key, statements, policy, time.trustedMs);
    const heard = new Map<string, { receipt: Receipt; bytes: string }[]>();
    const waiting = new Map<string, () => void>();
    const requests: { id: string; minor: bigint; device: typeof self }[] = [];

    const listening: Connect = (options, events) =>
      connectLink(options, {
        ...events,
        message(topic, payload) {
          if (parseTopic(topic)?.tail === 'receipt') {
            const { value } = trust.openFromBridge(receiptKind, payload);
            const found = heard.get(value.subject) ?? [];
            heard.set(value.subject, found);
            found.push({ receipt: value, bytes: toHex(payload) });
          }
          events.message(topic, payload);
        },
      });
    const faults: string[] = [];
    const link = createDeviceLink(
      {
        device: name,
        realm: REALM,
        url: broker.url,
        connect: listening,
        signer,
        outbox,
        trust,
        time,
        clock,
        timers,
        random,
        log: () => {},
      },
      {
        receipt: (id, { outcome }) => (isFinal(outcome) ? waiting.get(id)?.() : undefined),
        state: () => {},
        cloned: () => void faults.push('cloned'),
        unsigned: (reason) => void faults.push(reason),
      },
    );
    closes.push(async () => {
      await link.close();
      outbox.end();
      expect(faults).toEqual([]);
    });

    const total = i === MODEST ? MODEST_WINDOW : 50_000_00n;
    const zone = 'Asia/Shanghai';
    const day = { kind: 'calendar', period: 'day', zone, max: total, count: 100_000 } as const;
    const mandate = await sealed(
      mandateKind,
      mandateOf({
        nbf: nowS - 60,
        exp: nowS + 3_600,
        iat: nowS,
        cnf: signer.key.name,
        funding: i === POOR ? 'acct-poor' : 'acct-rich',
        windows: [{ kind: 'total', max: total, count: 100_000 }, day],
      }),
      wallet,
      REALM,
    );

    const self = {
      outbox,
      requests,
      /** Resolves once the bridge has granted this device's mandate. */
      granted: new Promise<void>((done) => waiting.set(mandate.id, done)),
      finals: (id: string) =>
        (heard.get(id) ?? []).filter(({ receipt }) => isFinal(receipt.outcome)),
      /** Confirms one payment: counter and envelope on disk first, then sent. */
      async pay(minor: bigint): Promise<void> {
        const nonce = time.nonce();
        const trustedMs = time.trustedMs();
        if (!nonce || trustedMs === undefined) return;
        const counter = outbox.counter(signer.key.name) + 1;
        const value = requestOf({
          exp: Math.floor(trustedMs / 1000) + 300,
          mandate: mandate.id,
          counter,
          amount: { currency: 'CNY', minor },
          payee: PAYEE,
          nonce,
        });
        const { id, envelope } = await sealed(requestKind, value, signer, REALM);
        const entry = { id, kind: 'request', envelope, storedMs: clock.nowMs() } as const;
        outbox.put(entry, { key: signer.key.name, counter });
        requests.push({ id, minor, device: self });
        link.send(entry);
      },
      /** Sends some earlier request again, answered or not, as a confused link would. */
      repeat(next: (below: number) => number): void {
        const chosen = requests[next(requests.length)];
        if (chosen) link.send(outbox.get(chosen.id)!);
      },
    };
    const entry = { ...mandate, kind: 'mandate', storedMs: clock.nowMs() } as const;
    outbox.put(entry);
    link.send(entry);
    return self;
  }

  return {
    device,
    start,
    /** Open payments that bridges found on their start, in all. */
    resumed: () => resumed,
    kill: async (name: Program) => void (await end(name, 'SIGKILL')),
    /** A ledger without faults, and a bridge that goes on with all that is open. */
    async heal(): Promise<void> {
      await end('bridge', 'SIGKILL');
      await end('ledger', 'SIGKILL');
      isFaulty = false;
      await start('ledger');
      await start('bridge');
    },
    /** Stops the bridge and counts everything from outside. */
    async truth() {
      expect(await end('bridge', 'SIGTERM')).toBe(0);
      type Move = { number: number; kind: string; key: string; minor: string };
      const moves: Move[] = [];
      for (;;) {
        const after = moves.at(-1)?.number ?? 0;
        const page = (await ask('GET', `/v1/transfers?after=${after}`)) as { transfers: Move[] };
        if (page.transfers.length === 0) break;
        moves.push(...page.transfers);
      }
      const paid = moves.filter(({ kind }) => kind !== 'top_up');
      expect(paid.filter(({ kind }) => kind !== 'pay')).toEqual([]);
      const check = await ask('GET', '/v1/check');
      const references = new Map<string, string>();
      for (const { key: paidKey } of paid) {
        const state = (await ask('GET', `/v1/payments/${paidKey}`)) as { reference: string };
        references.set(paidKey, state.reference);
      }
      const database = openDatabase(at('bridge', 'bridge.db'));
      const runs = database.prepare('SELECT id, receipt FROM runs').all();
      const windows = database.prepare('SELECT * FROM windows').all();
      const open = database
        .prepare(`SELECT count(*) AS n FROM reservations WHERE state = 'reserved'`)
        .get()!['n'];
      database.close();
      const receipts = new Map(
        runs.map((run) => [run['id'] as string, toHex(run['receipt'] as Uint8Array)]),
      );
      return { paid, check, references, receipts, windows, open };
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  await new Promise((done) => server.close(done));
  return typeof address === 'object' && address ? address.port : 0;
}

/** Whole numbers below `below`, the same in every run (mulberry32). */
function seeded(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const sleep = (ms: number) => new Promise<void>((done) => setTimeout(done, ms));
