/**
 * A whole site in this process for cross-cutting tests: the story's installation, real services on
 * real ports, and glasses whose surface the test reads. Each part can go away and come back.
 */
import { CONFIRM_READ_MS } from '../src/limits.ts';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect } from 'vitest';
import { startBridge } from '../broker/main.ts';
import { startLedger } from '../broker/ledger/main.ts';
import { startRisk } from '../broker/risk/main.ts';
import { startDevice } from '../device/compose.ts';
import { deviceConfig } from '../device/config.ts';
import type { Told } from '../device/telling.ts';
import { STORY, install } from '../simulator/install.ts';
import { createTeller } from '../simulator/teller.ts';
import { toHex } from '../src/bytes.ts';
import { parseConfig } from '../src/config.ts';
import { requireText } from '../src/files.ts';
import { openSecretFile } from '../src/keyfile.ts';
import { createHttp } from '../src/node/http.ts';
import { connectLink } from '../src/node/link.ts';
import { archive } from '../src/node/archive.ts';
import { loadTokens } from '../src/node/pkcs11.ts';
import { clock, files, machine, random, timers } from '../src/node/platform.ts';
import { openDatabase } from '../src/node/sqlite.ts';
import { codeWasm } from '../src/node/wasm.ts';
import { type Receipt, isFinal } from '../src/objects/receipt.ts';

const HOST = '127.0.0.1';

/** A port that nobody listens on just now. */
export function freePort(): Promise<number> {
  return new Promise((done) => {
    const server = createServer().listen(0, HOST, () => {
      const { port } = server.address() as { port: number };
      server.close(() => done(port));
    });
  });
}

export type Site = Awaited<ReturnType<typeof createSite>>;

/**
 * Risk and ledger run; bridge and glasses wait for `open`, so that a broker may be missing. `risk`
 * is what the risk service is told besides the usual.
 */
export async function createSite(risks: object = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'saytap-site-'));
  const place = await install({ files, random, clock }, folder);
  const { http, close: closeHttp } = createHttp();
  const secret = (name: string) =>
    openSecretFile(files, random, join(folder, `${name}.secret`), 32);
  const stops: (() => Promise<unknown>)[] = [];

  /** One of the services, on a port that it keeps when it comes back. */
  async function service(name: 'risk' | 'ledger', start: typeof startRisk | typeof startLedger) {
    let running = await run(0);
    const { port, url } = running;
    let isUp = true;
    async function run(at: number) {
      const listen = { host: HOST, port: at };
      const database = join(folder, `${name}.db`);
      const settings = { listen, database, secret: toHex(secret(name)) };
      return start(name === 'risk' ? { ...settings, ...risks } : settings, () => {});
    }
    const leave = async () => {
      if (!isUp) return;
      isUp = false;
      await running.stop();
    };
    stops.push(leave);
    return {
      url,
      leave,
      async comeBack() {
        running = await run(port);
        isUp = true;
      },
    };
  }

  const risk = await service('risk', startRisk);
  const ledger = await service('ledger', startLedger);
  const teller = createTeller({ http, url: ledger.url, secret: secret('ledger'), clock, random });
  const balance = { currency: STORY.currency, minor: 1_000_00n };
  await teller.open(STORY.funding, place.wallet.key.name, balance);

  const shared = {
    ...STORY.realm,
    root: 'root.pub.pem',
    statements: 'statements',
    policy: 'platform.policy',
  };
  const asked: string[] = [];
  const said: string[] = [];
  const logged: string[] = [];
  /** Final receipts that came, with repetitions: subject and bytes. */
  const finals: { id: string; bytes: string; receipt: Receipt }[] = [];

  /** Writes bridge.yaml, and returns the file. */
  function configureBridge(mqtt: object, log = 'error'): string {
    return place.configure('bridge', {
      ...shared,
      folder: 'bridge',
      mqtt,
      risk: { url: risk.url, secret: 'risk.secret' },
      backends: [{ kind: 'ledger', url: ledger.url, secret: 'ledger.secret' }],
      log,
    });
  }

  return {
    folder,
    risk,
    ledger,
    teller,
    asked,
    said,
    logged,
    finals,
    configureBridge,
    /** For calls of the ledger. */
    signs: { http, url: ledger.url, secret: secret('ledger'), clock, random },
    /** Starts the bridge, which needs no broker to be there. */
    async openBridge(mqtt: object) {
      const file = configureBridge(mqtt);
      const bridge = await startBridge(file, () => {});
      stops.push(bridge.stop);
      return bridge;
    },
    /** The configuration file of the glasses, whose key lies in a file unless told. */
    glassesAt: (url: string, keys: object = { store: 'file' }, tls: object = {}) =>
      place.configure('glasses', {
        ...shared,
        profile: 'glasses',
        folder: 'glasses',
        device: STORY.glasses,
        keys,
        mandates: 'mandates',
        mqtt: { url, ...tls },
      }),
    /**
     * Starts the bridge and the glasses in this process. The glasses' key lies in a file unless
     * told; `tls` names their PEM files.
     */
    async open(mqtt: object, keys?: object, tls?: object) {
      const bridge = await this.openBridge(mqtt);
      const path = this.glassesAt(bridge.mqttUrl, keys, tls);
      const glasses = startDevice(
        parseConfig(deviceConfig, requireText(files, path), path),
        (name) => resolve(folder, name),
        {
          ...{
            clock,
            timers,
            random,
            files,
            archive,
            loadTokens,
            connect: connectLink,
            openDatabase,
            codeWasm,
          },
          log: (_level, event) => void logged.push(event),
          machine: machine(),
        },
        {
          ask: (_frame, sentence) => void asked.push(sentence),
          say: (sentence) => void said.push(sentence),
        },
      );
      if (glasses.kind !== 'glasses') throw new Error('not glasses');
      stops.push(glasses.stop);
      glasses.onReceipt((id, receipt, envelope) => {
        if (isFinal(receipt.outcome)) finals.push({ id, bytes: toHex(envelope), receipt });
      });
      return glasses;
    },
    /** Minor units that the shop has. */
    async paid(): Promise<bigint> {
      const own = (await teller.balances()).find(({ kind }) => kind === 'payee');
      return own?.money.minor ?? 0n;
    },
    async close() {
      for (const stop of stops.reverse()) await stop();
      closeHttp();
      rmSync(folder, { recursive: true, maxRetries: 3 });
    },
  };
}

type Glasses = Awaited<ReturnType<Site['open']>>;

/** Says it and taps the temple; the result is under `told`, so that it can be awaited later. */
export async function pay(site: Site, glasses: Glasses, amount: string) {
  const before = site.asked.length;
  const told = glasses.device.sense({
    kind: 'utterance',
    text: `pay ${amount} yuan to Luckin Coffee`,
  });
  await expect.poll(() => site.asked.length, { timeout: 5_000 }).toBe(before + 1);
  // A press straight after the question is not its answer.
  await new Promise((done) => setTimeout(done, CONFIRM_READ_MS + 50));
  await glasses.device.sense({ kind: 'press' });
  return { told };
}

/** The final word on a payment, however long it took. */
export async function lastWord(told: Promise<Told>): Promise<Told> {
  const first = await told;
  return first.kind === 'unconfirmed' ? first.later : first;
}
