/**
 * Who is in a world: root, bridge, services, wallets, shops, devices and agents, with all their
 * keys, statements, policies and mandates, and the files that their programs read.
 *
 * Everything comes from the seed, private keys too, so that the same seed signs the same bytes.
 * Ed25519 is deterministic by itself and fast; a world of ES256 signs with noble's RFC 6979 on both
 * ends, because OpenSSL hedges.
 */
import { type KeyObject, createPrivateKey } from 'node:crypto';
import { p256 } from '@noble/curves/nist.js';
import type { BridgeConfig } from '../broker/config.ts';
import type { DeviceConfig } from '../device/config.ts';
import { nobleSigner } from '../device/keys/noble.ts';
import { concat, fromHex, toBase64url, toHex, utf8 } from '../src/bytes.ts';
import type { Realm, Signer } from '../src/cose.ts';
import type { Algorithm } from '../src/keys.ts';
import type { KeyStatement } from '../src/objects/key.ts';
import { seal } from '../src/objects/kind.ts';
import type { Mandate, Window } from '../src/objects/mandate.ts';
import { type Policy, policy as policyKind } from '../src/objects/policy.ts';
import { CHANNELS } from '../src/objects/request.ts';
import { type Asked, signStatement, statementOf } from '../src/root.ts';
import { nodeSigner, privatePem, publicPem } from '../src/signer.ts';
import { type Grant, grantText, signMandate } from '../src/wallet.ts';
import type { Chance } from './chance.ts';
import type { Snapshot } from './disk.ts';

/** How many of each; every kiosk is a shop of its own but the last, which shares the first's. */
export type SiteShape = Readonly<{
  wallets: number;
  glasses: number;
  kiosks: number;
  agents: number;
  ledgers: 1 | 2;
}>;

/** A mandate of this world, and whose it is. */
export type Granted = Readonly<{
  id: string;
  mandate: Mandate;
  envelope: Uint8Array;
  wallet: string;
  /** The device or agent whose key it names. */
  holder: string;
}>;

export type Wallet = Readonly<{
  name: string;
  signer: Signer;
  payer: Uint8Array;
  funding: string;
  /** What its account holds at the beginning, minor units, at every ledger. */
  balance: bigint;
}>;

export type Payee = Readonly<{ id: string; names: readonly (readonly [string, string])[] }>;

/**
 * A device and the files that it is given: what people wear, what stands in a shop (with `payee`
 * and `terminal`), or a key that acts alone and is nowhere to be seen.
 */
export type SiteDevice = Readonly<{
  name: string;
  kind: 'glasses' | 'kiosk' | 'agent';
  signer: Signer;
  wallet?: string;
  payee?: Payee;
  terminal?: string;
  config: DeviceConfig;
  disk: Snapshot;
}>;

export type Site = Readonly<{
  realm: Realm;
  algorithm: Algorithm;
  currency: string;
  /** Wall time at which the world begins, on a clock that is right. */
  startMs: number;
  root: Signer;
  /** How a private key of this world signs. */
  signerOf: (handle: KeyObject) => Signer;
  bridge: Readonly<{ config: BridgeConfig; disk: Snapshot; signer: Signer }>;
  /** Of the calls between bridge and services. */
  secrets: Readonly<Record<'risk' | 'ledger', Uint8Array>>;
  ledgers: readonly string[];
  wallets: readonly Wallet[];
  payees: readonly Payee[];
  devices: readonly SiteDevice[];
  /** Those granted before the world began. */
  mandates: readonly Granted[];
}>;

/** Where a program's files lie on its disk; paths of its configuration are relative to it. */
export const HOME = '/saytap';

/** The site of a seed: the same shape and chance give the same bytes. */
export async function createSite(
  shape: SiteShape,
  algorithm: Algorithm,
  chance: Chance,
): Promise<Site> {
  const realm: Realm = { environment: 'sim', ledger: 'demo' };
  const signerOf =
    algorithm === 'ES256' ? (handle: KeyObject) => nobleSigner(handle, undefined) : nodeSigner;
  const keyOf = (name: string) => {
    const handle = privateKey(algorithm, chance.fork(`key ${name}`));
    return { handle, signer: signerOf(handle) };
  };
  const startMs = Date.UTC(2026, 9, 14) + chance.fork('start').below(24 * 3600) * 1000;
  const startS = startMs / 1000;
  const valid = { nbf: startS - DAY_S, exp: startS + 300 * DAY_S };
  const root = keyOf('root');
  const state = (key: Signer, asked: Omit<Asked, 'key' | 'nbf' | 'exp'>) =>
    signStatement(
      statementOf({ ...asked, ...valid, key: key.key.public }) as KeyStatement,
      realm,
      root.signer,
    );

  const ledgers = ['ledger', 'ledger-2'].slice(0, shape.ledgers);
  const secrets = {
    risk: chance.fork('risk secret').bytes(32),
    ledger: chance.fork('ledger secret').bytes(32),
  };
  const wallets = many(shape.wallets, 'wallet', (name) => {
    const own = chance.fork(name);
    return {
      name,
      signer: keyOf(name).signer,
      payer: own.bytes(16),
      funding: `acct-${name}`,
      balance: BigInt(own.happens(0.1) ? own.between(10_00, 100_00) : 50_000_00),
    };
  });
  const shops = many(Math.max(1, shape.kiosks - 1), 'shop', (id, n) => ({
    id,
    names: NAMES[n % NAMES.length]!.map(([language, text]) =>
      n < NAMES.length ? ([language, text] as const) : ([language, `${text} ${n + 1}`] as const),
    ),
  }));

  const statements = new Map<string, Uint8Array>();
  const bridgeKey = keyOf('bridge');
  statements.set('bridge', await state(bridgeKey.signer, { role: 'bridge' }));
  for (const { name, signer, payer } of wallets) {
    statements.set(name, await state(signer, { role: 'wallet', payer }));
  }
  const kiosks = await Promise.all(
    many(shape.kiosks, 'kiosk', async (name, n) => {
      const payee = shops[n % shops.length]!;
      const terminal = `till-${n + 1}`;
      const key = keyOf(name);
      const { id, names } = payee;
      statements.set(
        name,
        await state(key.signer, {
          role: 'terminal',
          device: name,
          payee: id,
          terminal,
          names,
          category: 5814,
          presence: 1,
        }),
      );
      return { name, key, payee, terminal };
    }),
  );
  const glasses = await Promise.all(
    many(shape.glasses, 'glasses', async (name, n) => {
      const wallet = wallets[n % wallets.length]!;
      const key = keyOf(name);
      const { payer } = wallet;
      statements.set(name, await state(key.signer, { role: 'device', device: name, payer }));
      return { name, key, wallet };
    }),
  );
  const agents = await Promise.all(
    many(shape.agents, 'agent', async (name, n) => {
      const wallet = wallets[n % wallets.length]!;
      const key = keyOf(name);
      const { payer } = wallet;
      statements.set(name, await state(key.signer, { role: 'agent', device: name, payer }));
      return { name, key, wallet };
    }),
  );

  const mandates: Granted[] = [];
  const nameOf = (id: string) => shops.find((shop) => shop.id === id)!.names[0]![1];
  const grant = async (
    wallet: Wallet,
    holder: Readonly<{ name: string; key: Signer }>,
    says: Partial<Grant>,
    signer: Signer = wallet.signer,
  ): Promise<Granted> => {
    const terms: Grant = {
      nbf: startS - 60,
      exp: startS + 90 * DAY_S,
      iat: startS - mandates.length,
      cnf: holder.key.key.name,
      funding: wallet.funding,
      currency: CURRENCY,
      perPaymentMax: 200_00n,
      channels: CHANNELS.voice | CHANNELS.tap | CHANNELS.look,
      windows: [{ kind: 'total', max: 5_000_00n, count: 500 }],
      allow: [{ kind: 'any' }],
      bands: [
        { ceiling: 20_00n, level: 1 },
        { ceiling: 1_000_00n, level: 2 },
      ],
      epoch: 1,
      ...says,
    };
    const text = grantText(terms, 'en', nameOf);
    const { id, envelope, mandate } = await signMandate(terms, text, realm, signer);
    const granted = { id, envelope, mandate, wallet: wallet.name, holder: holder.name };
    mandates.push(granted);
    return granted;
  };

  for (const { name, key, wallet } of glasses) {
    const own = chance.fork(`mandates of ${name}`);
    const count = own.happens(0.2) ? 2 : 1;
    for (let n = 0; n < count; n++) {
      await grant(wallet, { name, key: key.signer }, grantOf(own, shops, startMs));
    }
  }
  for (const [n, { name, key }] of kiosks.entries()) {
    const own = chance.fork(`tags at ${name}`);
    for (const wallet of wallets.filter((_, i) => (i + n) % 2 === 0).slice(0, TAGS_MAX)) {
      await grant(
        wallet,
        { name, key: key.signer },
        {
          perPaymentMax: 50_00n,
          windows: [
            { kind: 'total', max: BigInt(own.between(100_00, 400_00)), count: own.between(8, 40) },
          ],
          bands: [{ ceiling: 50_00n, level: 1 }],
        },
      );
    }
  }
  for (const [n, { name, key, wallet }] of agents.entries()) {
    const own = chance.fork(`mandates of ${name}`);
    const alone = {
      channels: CHANNELS.autonomous,
      perPaymentMax: BigInt(own.between(2_00, 5_00)),
      windows: windowsOf(own, 10_00, 150_00),
      bands: [{ ceiling: 5_00n, level: 0 }],
    } as const;
    const first = await grant(wallet, { name, key: key.signer }, alone);
    // Every other agent hands a part of what it may do on to the next one.
    const next = agents[n + 1];
    if (n % 2 === 0 && next) {
      await grant(
        wallet,
        { name: next.name, key: next.key.signer },
        { ...alone, windows: windowsOf(own, 10_00, 100_00), parent: first.id },
        key.signer,
      );
    }
  }

  const policy = await seal(
    policyKind,
    policyOf(startS, chance.fork('policy')),
    realm,
    root.signer,
  );
  const shared = new Map<string, Uint8Array>([
    ['root.pub.pem', utf8(publicPem(root.signer.key))],
    ['policies/platform.policy', policy],
  ]);
  const terminals = kiosks.map(({ name }) => name);
  const diskOf = (names: readonly string[], more: ReadonlyMap<string, Uint8Array>): Snapshot => {
    const files = new Map([...shared, ...more]);
    for (const name of names) files.set(`statements/${name}.key`, statements.get(name)!);
    return snapshotOf(files);
  };
  const settings = {
    ...{ environment: realm.environment, ledger: realm.ledger },
    root: 'root.pub.pem',
    statements: 'statements',
    policy: 'policies',
  };
  const deviceOf = (
    name: string,
    kind: SiteDevice['kind'],
    { handle, signer }: Readonly<{ handle: KeyObject; signer: Signer }>,
    language: 'en' | 'zh',
  ) => ({
    ...{ name, kind, signer },
    config: {
      ...settings,
      device: name,
      profile: kind === 'kiosk' ? 'kiosk' : 'glasses',
      language,
      folder: 'data',
      mandates: 'mandates',
      mqtt: { url: 'mqtt://broker' },
      keys: { store: 'file' },
      prompt: false,
      log: 'info',
    } as DeviceConfig,
    disk: diskOf(
      [...new Set(['bridge', name, ...terminals])],
      new Map([
        ['data/device.key.pem', utf8(privatePem(handle))],
        ...mandates
          .filter(({ holder }) => holder === name)
          .map(({ id, envelope }) => [`mandates/${id}.mandate`, envelope] as const),
      ]),
    ),
  });

  return Object.freeze({
    realm,
    algorithm,
    currency: CURRENCY,
    startMs,
    root: root.signer,
    signerOf,
    bridge: {
      signer: bridgeKey.signer,
      config: {
        ...settings,
        folder: 'data',
        mqtt: { url: 'mqtt://broker' },
        risk: { url: 'http://risk', secret: 'risk.secret' },
        backends: ledgers.map((name) => ({
          kind: 'ledger' as const,
          name,
          url: `http://${name}`,
          secret: 'ledger.secret',
        })),
        log: 'info' as const,
      },
      disk: diskOf(
        [...statements.keys()],
        new Map([
          ['data/bridge.key.pem', utf8(privatePem(bridgeKey.handle))],
          ['risk.secret', utf8(toHex(secrets.risk))],
          ['ledger.secret', utf8(toHex(secrets.ledger))],
        ]),
      ),
    },
    secrets,
    ledgers,
    wallets,
    payees: shops,
    devices: [
      ...glasses.map(({ name, key, wallet }, n) => ({
        ...deviceOf(name, 'glasses', key, n % 4 === 3 ? 'zh' : 'en'),
        wallet: wallet.name,
      })),
      ...kiosks.map(({ name, key, payee, terminal }) => ({
        ...deviceOf(name, 'kiosk', key, 'en'),
        payee,
        terminal,
      })),
      ...agents.map(({ name, key, wallet }) => ({
        ...deviceOf(name, 'agent', key, 'en'),
        wallet: wallet.name,
      })),
    ],
    mandates,
  });
}

const CURRENCY = 'CNY';
const DAY_S = 86_400;
/** Payers whose tags one kiosk takes. */
const TAGS_MAX = 6;

const NAMES = [
  [
    ['en', 'Luckin Coffee'],
    ['zh', '瑞幸咖啡'],
  ],
  [
    ['en', 'Lotus Bakery'],
    ['zh', '莲花面包'],
  ],
  [
    ['en', 'Corner Books'],
    ['zh', '街角书店'],
  ],
  [
    ['en', 'Green Grocer'],
    ['zh', '绿色果蔬'],
  ],
  [
    ['en', 'River Noodles'],
    ['zh', '河畔面馆'],
  ],
  [
    ['en', 'Night Pharmacy'],
    ['zh', '夜间药房'],
  ],
] as const satisfies readonly (readonly (readonly [string, string])[])[];

/** A private key out of chance. */
export function privateKey(algorithm: Algorithm, chance: Chance): KeyObject {
  if (algorithm === 'EdDSA') {
    const key = concat(ED25519_HEAD, chance.bytes(32));
    return createPrivateKey({ key: Buffer.from(key), format: 'der', type: 'pkcs8' });
  }
  const secretKey = chance.bytes(32);
  secretKey[0]! &= 0x7f; // Below the order of the curve.
  const point = p256.getPublicKey(secretKey, false);
  return createPrivateKey({
    format: 'jwk',
    key: {
      kty: 'EC',
      crv: 'P-256',
      d: toBase64url(secretKey),
      x: toBase64url(point.subarray(1, 33)),
      y: toBase64url(point.subarray(33)),
    },
  });
}

/** PKCS #8 around an Ed25519 seed (RFC 8410 §7). */
const ED25519_HEAD = fromHex('302e020100300506032b657004220420');

/** What a wallet lets glasses do: mostly plenty, sometimes so little that it is used up. */
function grantOf(chance: Chance, shops: readonly Payee[], startMs: number): Partial<Grant> {
  const some = chance.shuffle(shops).slice(0, chance.between(1, shops.length));
  const payees = some.map(({ id }) => ({ kind: 'payee', payee: id }) as const);
  return {
    perPaymentMax: BigInt(chance.between(60_00, 300_00)),
    ...(chance.happens(0.1) && { perPaymentMin: 2_00n }),
    windows: windowsOf(chance, 100_00, 2_000_00),
    allow: chance.happens(0.6) ? [{ kind: 'any' }] : payees,
    ...(chance.happens(0.1) && { deny: [payees[0]!] }),
    ...(chance.happens(0.1) && { gap: chance.between(5, 60) }),
    ...(chance.happens(0.05) && { exp: startMs / 1000 + chance.between(300, 1_800) }),
    ...(chance.happens(0.15) && { channels: CHANNELS.voice | CHANNELS.look }),
  };
}

function windowsOf(chance: Chance, least: number, most: number): readonly Window[] {
  const max = () => BigInt(chance.between(least, most));
  const total: Window = { kind: 'total', max: max(), count: chance.between(10, 300) };
  const kind = chance.weigh({ total: 2, calendar: 2, rolling: 2 });
  if (kind === 'total') return [total];
  if (kind === 'rolling') {
    const seconds = chance.between(120, 3_600);
    return [total, { kind, seconds, max: max(), count: chance.between(3, 40) }];
  }
  const zone = chance.pick(['Asia/Shanghai', 'Europe/Berlin', 'America/New_York', 'UTC']);
  return [total, { kind, period: 'day', zone, max: max(), count: chance.between(5, 60) }];
}

/** 5 yuan without anybody, 20 by voice, 1,000 by a physical act; and offline what is usual. */
function policyOf(startS: number, chance: Chance): Policy {
  return {
    iat: startS - DAY_S,
    version: 1,
    scope: { kind: 'platform' },
    ladders: [
      {
        currency: CURRENCY,
        bands: [
          { ceiling: 5_00n, level: 0 },
          { ceiling: 50_00n, level: 1 },
          { ceiling: 1_000_00n, level: 2 },
        ],
      },
    ],
    offline: {
      behaviour: 'prefer_online',
      currency: CURRENCY,
      floorLimit: BigInt(chance.between(20_00, 50_00)),
      storedAmountMax: BigInt(chance.between(200_00, 800_00)),
      storedCountMax: chance.between(6, 40),
      acceptWindow: chance.between(600, 7_200),
      uploadWindow: chance.between(7_200, 14_400),
      goOnlineEvery: [4, chance.between(8, 20)],
      payerCountMax: chance.between(3, 8),
      payerAmountMax: BigInt(chance.between(50_00, 150_00)),
      policyAgeMax: 90 * DAY_S,
    },
  };
}

/** Files under HOME, as an operator puts them there. */
function snapshotOf(files: ReadonlyMap<string, Uint8Array>): Snapshot {
  const folders = new Set(['/', HOME, `${HOME}/data`, `${HOME}/mandates`]);
  const entries = [...files].map(([path, content]) => {
    const [folder, name] = path.split('/');
    if (name !== undefined) folders.add(`${HOME}/${folder}`);
    return [`${HOME}/${path}`, { mode: 0o600, content }] as const;
  });
  return { files: new Map(entries), folders: [...folders] };
}

function many<T>(count: number, what: string, make: (name: string, n: number) => T): T[] {
  return Array.from({ length: count }, (_, n) => make(`${what}-${n + 1}`, n));
}
