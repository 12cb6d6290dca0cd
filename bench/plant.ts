/** A whole system in a temporary folder for measuring: real processes, many devices. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { utf8 } from '../src/bytes.ts';
import type { Signer } from '../src/cose.ts';
import { openKeyFile, openSecretFile } from '../src/keyfile.ts';
import { type Child, startChild } from '../src/node/child.ts';
import { createHttp } from '../src/node/http.ts';
import { clock, files, random } from '../src/node/platform.ts';
import { keyStatement, type KeyStatement } from '../src/objects/key.ts';
import { seal } from '../src/objects/kind.ts';
import { policy as policyKind } from '../src/objects/policy.ts';
import { request as requestKind } from '../src/objects/request.ts';
import { nodeSigner, publicPem } from '../src/signer.ts';
import { signMandate } from '../src/wallet.ts';
import { createTeller } from '../simulator/teller.ts';

export const REALM = { environment: 'sim', ledger: 'bench' } as const;
export const PAYEE = 'luckin-coffee-01';

/** A device's key with its granted mandate. */
export type Payer = Readonly<{
  name: string;
  /** The private key, for programs that sign in another way. */
  pem: string;
  signer: Signer;
  mandate: string;
  mandateEnvelope: Uint8Array;
}>;

export type Plant = Readonly<{
  folder: string;
  mqttUrl: string;
  payers: readonly Payer[];
  bridgeKey: Signer;
  statements: readonly Uint8Array[];
  root: Signer;
  policy: Uint8Array;
  wallet: Signer;
  stop: () => Promise<void>;
}>;

/** The keys of a plant as PEM, for a program in another process. */
export function keysOf(plant: Plant) {
  const pem = readFileSync(join(plant.folder, 'bridge', 'bridge.key.pem'), 'utf8');
  return {
    bridgeKey: pem,
    devices: plant.payers.map(({ name, signer }) => [name, publicPem(signer.key)] as const),
  };
}

/** What a bridge in another process needs of a plant. */
export type BridgeSetting = Readonly<{
  broker: Readonly<{ url: string; password: string }>;
  /** The folder of its database. */
  folder: string;
  root: string;
  bridgeKey: string;
  statements: readonly Uint8Array[];
  policy: Uint8Array;
  mandates: readonly Uint8Array[];
  funding: string;
  /** Thumbprint of the payers' wallet. */
  wallet: string;
}>;

/** The setting of this plant on a broker. */
export function settingOf(plant: Plant, broker: BridgeSetting['broker']): BridgeSetting {
  return {
    broker,
    folder: plant.folder,
    root: publicPem(plant.root.key),
    bridgeKey: keysOf(plant).bridgeKey,
    statements: plant.statements,
    policy: plant.policy,
    mandates: plant.payers.map(({ mandateEnvelope }) => mandateEnvelope),
    funding: 'acct-bench',
    wallet: plant.wallet.key.name,
  };
}

/** Signs one request of a payer. */
export function sign(payer: Payer, counter: number, nonce: Uint8Array): Promise<Uint8Array> {
  return seal(
    requestKind,
    {
      exp: Math.floor(clock.nowMs() / 1000) + 300,
      action: 'pay',
      mandate: payer.mandate,
      counter,
      amount: { currency: 'CNY', minor: 12_50n },
      payee: PAYEE,
      terminal: 'till0001',
      presence: 2,
      channel: 'tap',
      nonce,
    },
    REALM,
    payer.signer,
  );
}

/** Makes keys, statements and mandates for `count` payers; `start` also runs the programs. */
export async function makePlant(count: number, start: boolean): Promise<Plant> {
  const folder = mkdtempSync(join(tmpdir(), 'saytap-bench-'));
  const at = (...names: string[]) => join(folder, ...names);
  for (const name of ['statements', 'bridge']) files.folder(at(name));
  const key = (name: string) => nodeSigner(openKeyFile(files, at(name), 'ES256'));
  const root = key('root.pem');
  const wallet = key('wallet.pem');
  const bridgeKey = key(join('bridge', 'bridge.key.pem'));
  const nowS = Math.floor(clock.nowMs() / 1000);
  const payer = random(16);
  const statements: Uint8Array[] = [];
  const state = async (name: string, what: Partial<KeyStatement>, signer: Signer) => {
    const statement = {
      nbf: nowS - 60,
      exp: nowS + 86_400,
      presenceMax: 2,
      key: signer.key.public,
      ...what,
    } as KeyStatement;
    const envelope = await seal(keyStatement, statement, REALM, root);
    statements.push(envelope);
    files.replace(at('statements', `${name}.key`), envelope, 0o644);
  };
  await state('bridge', { role: 'bridge' }, bridgeKey);
  await state('wallet', { role: 'wallet', payer }, wallet);
  const names = [['en', 'Luckin Coffee']] as const;
  const shop = { device: 'kiosk-1', payee: PAYEE, terminal: 'till0001', names };
  await state('kiosk', { role: 'terminal', ...shop }, key('kiosk.pem'));

  const payers: Payer[] = [];
  for (let i = 0; i < count; i++) {
    const name = `bench-${i}`;
    const signer = key(`${name}.pem`);
    await state(name, { role: 'device', payer, device: name }, signer);
    const { id, envelope } = await signMandate(
      {
        nbf: nowS - 60,
        exp: nowS + 86_400,
        iat: nowS,
        cnf: signer.key.name,
        funding: 'acct-bench',
        currency: 'CNY',
        perPaymentMax: 1_000_00n,
        channels: 31,
        windows: [
          { kind: 'total', max: 10n ** 12n, count: 10 ** 9 },
          {
            kind: 'calendar',
            period: 'day',
            zone: 'Asia/Shanghai',
            max: 10n ** 12n,
            count: 10 ** 9,
          },
        ],
        allow: [{ kind: 'any' }],
        bands: [{ ceiling: 10n ** 12n, level: 1 }],
        epoch: 1,
      },
      'bench',
      REALM,
      wallet,
    );
    const pem = readFileSync(at(`${name}.pem`), 'utf8');
    payers.push({ name, pem, signer, mandate: id, mandateEnvelope: envelope });
  }
  const policy = await seal(
    policyKind,
    {
      iat: nowS,
      version: 1,
      scope: { kind: 'platform' },
      ladders: [{ currency: 'CNY', bands: [{ ceiling: 10n ** 12n, level: 1 }] }],
    },
    REALM,
    root,
  );
  files.replace(at('platform.policy'), policy, 0o644);
  files.replace(at('root.pub.pem'), utf8(publicPem(root.key)), 0o644);

  const children: Child[] = [];
  let mqttUrl = '';
  if (start) {
    const script = join(import.meta.dirname, '..', 'src', 'cli.ts');
    const run = async (program: string, settings: object): Promise<string> => {
      const config = at(`${program}.yaml`);
      files.replace(config, utf8(stringify(settings)), 0o600);
      const child = await startChild(script, [program, '--config', config]);
      children.push(child);
      return /\S+:\/\/\S+$/.exec(child.said)![0];
    };
    const listen = { host: '127.0.0.1', port: 0 };
    const never = { stepUp: 1001, deny: 1001 };
    const risk = await run('risk', {
      listen,
      database: 'risk.db',
      secret: 'risk.secret',
      thresholds: never,
    });
    const ledger = await run('ledger', { listen, database: 'ledger.db', secret: 'ledger.secret' });
    const { http, close } = createHttp();
    const secret = openSecretFile(files, random, at('ledger.secret'), 32);
    const teller = createTeller({ http, url: ledger, secret, clock, random });
    await teller.open('acct-bench', wallet.key.name, { currency: 'CNY', minor: 10n ** 12n });
    close();
    mqttUrl = await run('bridge', {
      ...REALM,
      folder: 'bridge',
      root: 'root.pub.pem',
      statements: 'statements',
      policy: 'platform.policy',
      mqtt: { listen },
      risk: { url: risk, secret: 'risk.secret' },
      backends: [{ kind: 'ledger', url: ledger, secret: 'ledger.secret' }],
      log: 'error',
    });
  }
  return {
    folder,
    mqttUrl,
    payers,
    bridgeKey,
    statements,
    root,
    policy,
    wallet,
    async stop() {
      for (const child of children.reverse()) await child.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
