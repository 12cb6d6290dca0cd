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
import { PIN_FILE, pinText } from '../device/pin.ts';
import { concat, fromHex, toBase64url, toHex, utf8 } from '../src/bytes.ts';
import type { Realm, Signer } from '../src/cose.ts';
import type { Algorithm } from '../src/keys.ts';
import type { KeyStatement } from '../src/objects/key.ts';
import { seal } from '../src/objects/kind.ts';
import type { Mandate } from '../src/objects/mandate.ts';
import { type Policy, policy as policyKind } from '../src/objects/policy.ts';
import { type Asked, signStatement, statementOf } from '../src/root.ts';
import { nodeSigner, privatePem, publicPem } from '../src/signer.ts';
import { type Grant, grantText, signMandate } from '../src/wallet.ts';
import type { Chance } from './chance.ts';
import type { Snapshot } from './disk.ts';

/** Who is to be in a world, before there are keys. */
export type SiteCast = Readonly<{
  /** Wall time at which the world begins, on a clock that is right. */
  startMs: number;
  currency: string;
  /** `balance` is what an account holds at the beginning, minor units, at every ledger. */
  wallets: readonly Readonly<{
    name: string;
    payer: Uint8Array;
    funding: string;
    balance: bigint;
  }>[];
  shops: readonly (Payee & Readonly<{ category: number }>)[];
  kiosks: readonly Readonly<{ name: string; shop: string; terminal: string; language: Language }>[];
  /** With a PIN they can prove P3. */
  glasses: readonly Readonly<{ name: string; wallet: string; language: Language; pin?: string }>[];
  agents: readonly Readonly<{ name: string; wallet: string }>[];
  /** Let in as agents, but with software of their own. */
  rogues?: readonly Readonly<{ name: string; wallet: string }>[];
  /** Without it `sim`. */
  environment?: Realm['environment'];
  ledgers: readonly string[];
  policy: Policy;
  /** Mandates in the order in which they are signed. */
  grants: readonly Readonly<{
    wallet: string;
    /** The device or agent that may ask. */
    holder: string;
    says: (cnf: string) => Grant;
    /** Handed on by the holder of this one (counted from 0), not granted by the wallet. */
    parent?: number;
  }>[];
}>;

type Language = 'en' | 'zh';

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
  /** The platform's policy, and the one that was in force before it. */
  policies: Readonly<{ path: string; now: Uint8Array; before: Uint8Array }>;
  /** Of the calls between bridge and services. */
  secrets: Readonly<Record<'risk' | 'ledger', Uint8Array>>;
  ledgers: readonly string[];
  wallets: readonly Wallet[];
  payees: readonly Payee[];
  devices: readonly SiteDevice[];
  /** Keys that are enrolled, and whose holders do as they like. */
  rogues: readonly Readonly<{ name: string; signer: Signer }>[];
  /** Those granted before the world began. */
  mandates: readonly Granted[];
}>;

/** Where a program's files lie on its disk; paths of its configuration are relative to it. */
export const HOME = '/saytap';

/** The site of a cast: the same cast and chance give the same bytes. */
export async function buildSite(
  cast: SiteCast,
  algorithm: Algorithm,
  chance: Chance,
): Promise<Site> {
  const { startMs, currency, ledgers, environment = 'sim', rogues = [] } = cast;
  const realm: Realm = { environment, ledger: 'demo' };
  const signerOf =
    algorithm === 'ES256' ? (handle: KeyObject) => nobleSigner(handle, undefined) : nodeSigner;
  const keyOf = (name: string) => {
    const handle = privateKey(algorithm, chance.fork(`key ${name}`));
    return { handle, signer: signerOf(handle) };
  };
  const startS = Math.floor(startMs / 1000);
  const valid = { nbf: startS - DAY_S, exp: startS + 300 * DAY_S };
  const root = keyOf('root');
  const state = (key: Signer, asked: Omit<Asked, 'key' | 'nbf' | 'exp'>) =>
    signStatement(
      statementOf({ ...asked, ...valid, key: key.key.public }) as KeyStatement,
      realm,
      root.signer,
    );
  const secrets = {
    risk: chance.fork('risk secret').bytes(32),
    ledger: chance.fork('ledger secret').bytes(32),
  };
  const wallets = cast.wallets.map((wallet) => ({
    ...wallet,
    signer: keyOf(wallet.name).signer,
  }));
  const walletOf = (name: string) => wallets.find((wallet) => wallet.name === name)!;

  const statements = new Map<string, Uint8Array>();
  const bridgeKey = keyOf('bridge');
  statements.set('bridge', await state(bridgeKey.signer, { role: 'bridge' }));
  for (const { name, signer, payer } of wallets) {
    statements.set(name, await state(signer, { role: 'wallet', payer }));
  }
  const keys = new Map<string, ReturnType<typeof keyOf>>();
  const keyFor = (name: string) => {
    const key = keys.get(name) ?? keyOf(name);
    keys.set(name, key);
    return key;
  };
  for (const { name, shop, terminal } of cast.kiosks) {
    const { id, names, category } = cast.shops.find((one) => one.id === shop)!;
    const place = { device: name, payee: id, terminal, names, category };
    const { signer } = keyFor(name);
    statements.set(name, await state(signer, { role: 'terminal', ...place, presence: 1 }));
  }
  for (const { name, wallet, pin } of cast.glasses) {
    const own = { device: name, payer: walletOf(wallet).payer };
    const strong = pin !== undefined && ({ presence: 3 } as const);
    statements.set(name, await state(keyFor(name).signer, { role: 'device', ...own, ...strong }));
  }
  for (const { name, wallet } of [...cast.agents, ...rogues]) {
    const own = { device: name, payer: walletOf(wallet).payer };
    statements.set(name, await state(keyFor(name).signer, { role: 'agent', ...own }));
  }

  const mandates: Granted[] = [];
  const nameOf = (id: string) => cast.shops.find((shop) => shop.id === id)!.names[0]![1];
  for (const { wallet, holder, says, parent } of cast.grants) {
    const handedOn = parent === undefined ? undefined : mandates[parent]!;
    const terms = {
      ...says(keyFor(holder).signer.key.name),
      ...(handedOn && { parent: handedOn.id }),
    };
    const signer = handedOn ? keyFor(handedOn.holder).signer : walletOf(wallet).signer;
    const text = grantText(terms, 'en', nameOf);
    mandates.push({ ...(await signMandate(terms, text, realm, signer)), wallet, holder });
  }

  const policy = await seal(policyKind, cast.policy, realm, root.signer);
  const former = { ...cast.policy, version: Math.max(1, cast.policy.version - 1) };
  const shared = new Map<string, Uint8Array>([
    ['root.pub.pem', utf8(publicPem(root.signer.key))],
    [POLICY, policy],
  ]);
  const terminals = cast.kiosks.map(({ name }) => name);
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
  const pinOf = (device: string, digits: string) =>
    utf8(pinText(chance.fork(`pin of ${device}`).bytes, digits));
  const deviceOf = (name: string, kind: SiteDevice['kind'], language: Language, pin?: string) => {
    const { handle, signer } = keyFor(name);
    const own = mandates.filter(({ holder }) => holder === name);
    return {
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
          ['data/device.key.pem', utf8(privatePem(handle))] as const,
          ...(pin === undefined ? [] : [[`data/${PIN_FILE}`, pinOf(name, pin)] as const]),
          ...own.map(({ id, envelope }) => [`mandates/${id}.mandate`, envelope] as const),
        ]),
      ),
    };
  };

  return Object.freeze({
    ...{ realm, algorithm, currency, startMs, root: root.signer, signerOf },
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
    policies: {
      path: `${HOME}/${POLICY}`,
      now: policy,
      before: await seal(policyKind, former, realm, root.signer),
    },
    ...{ secrets, ledgers, wallets },
    rogues: rogues.map(({ name }) => ({ name, signer: keyFor(name).signer })),
    payees: cast.shops,
    devices: [
      ...cast.glasses.map(({ name, wallet, language, pin }) => ({
        ...deviceOf(name, 'glasses', language, pin),
        wallet,
      })),
      ...cast.kiosks.map(({ name, shop, terminal, language }) => ({
        ...deviceOf(name, 'kiosk', language),
        payee: cast.shops.find(({ id }) => id === shop)!,
        terminal,
      })),
      ...cast.agents.map(({ name, wallet }) => ({ ...deviceOf(name, 'agent', 'en'), wallet })),
    ],
    mandates,
  });
}

const DAY_S = 86_400;
const POLICY = 'policies/platform.policy';

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
