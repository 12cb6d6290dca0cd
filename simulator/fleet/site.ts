/**
 * A made-up site for a fleet: a bridge with its services, shops, and thousands of people who each
 * have an account, a wallet, a device and a mandate; in one folder that nothing else uses.
 *
 * The files are those that an operator would write. What would be thousands of files and calls, the
 * enrolled keys, the granted mandates and the accounts, goes into the programs' own stores by their
 * own verbs before they start, hundreds in a commit: one by one each would wait for the disk.
 */
import { join } from 'node:path';
import { openFunding } from '../../broker/ledger/accounts.ts';
import { openBooks } from '../../broker/ledger/books.ts';
import { createIdentities } from '../../broker/identities.ts';
import { takeMandate } from '../../broker/mandates.ts';
import type { Backend } from '../../broker/backends/port.ts';
import { createSqliteStore } from '../../broker/store/sqlite.ts';
import { utf8 } from '../../src/bytes.ts';
import type { Realm, Signer } from '../../src/cose.ts';
import { openKeyFile, openSecretFile } from '../../src/keyfile.ts';
import { COUNT_UNLIMITED, FLEET_ENROL_AT_ONCE } from '../../src/limits.ts';
import { seal } from '../../src/objects/kind.ts';
import { policy as policyKind } from '../../src/objects/policy.ts';
import { CHANNELS } from '../../src/objects/request.ts';
import type { Clock, Database, Files, Random, Timers } from '../../src/platform.ts';
import { type Asked, signStatement, statementOf } from '../../src/root.ts';
import { generatePem, nodeSigner, publicPem, readPrivatePem } from '../../src/signer.ts';
import { signMandate } from '../../src/wallet.ts';
import type { Enrolled } from './message.ts';

export type SitePorts = Readonly<{
  files: Files;
  clock: Clock;
  timers: Timers;
  random: Random;
  openDatabase: (path: string) => Database;
  /** So many of the devices are done. */
  progress: (done: number) => void;
}>;

export type FleetSite = Readonly<{
  realm: Realm;
  /** Public, PEM. */
  bridgeKey: string;
  /** Each payment is of so much. */
  currency: string;
  minor: bigint;
  devices: readonly Enrolled[];
  /** Settings of the programs, paths relative to the folder; a bridge also needs its services. */
  settings: Readonly<Record<'risk' | 'ledger' | 'bridge', object>>;
}>;

const REALM: Realm = { environment: 'sim', ledger: 'fleet' };
const CURRENCY = 'CNY';
/** No amount that means something in a simulation (broker/magic.ts). */
const MINOR = 12_50n;
const SHOPS = 20;
const DAY_S = 86_400;
/** More than anybody can pay in a run. */
const PLENTY = 10n ** 12n;

/** Makes everything in `folder`, which is there and empty. */
export async function makeSite(
  folder: string,
  count: number,
  ports: SitePorts,
): Promise<FleetSite> {
  const { files, clock, random } = ports;
  const at = (...names: string[]) => join(folder, ...names);
  for (const name of ['statements', 'bridge']) files.folder(at(name));
  const key = (name: string) => nodeSigner(openKeyFile(files, at(name), 'ES256'));
  const root = key('root.key.pem');
  const bridgeKey = key(join('bridge', 'bridge.key.pem'));
  for (const name of ['risk', 'ledger']) openSecretFile(files, random, at(`${name}.secret`), 32);
  const nowS = Math.floor(clock.nowMs() / 1000);
  const valid = { nbf: nowS - 60, exp: nowS + 2 * DAY_S };
  const state = (signer: Signer, asked: Omit<Asked, 'key' | 'nbf' | 'exp'>) =>
    signStatement(statementOf({ ...asked, ...valid, key: signer.key.public }), REALM, root);

  files.replace(at('root.pub.pem'), utf8(publicPem(root.key)), 0o644);
  const named = await state(bridgeKey, { role: 'bridge' });
  files.replace(at('statements', 'bridge.key'), named, 0o644);
  const ladders = [{ currency: CURRENCY, bands: [{ ceiling: PLENTY, level: 1 }] }] as const;
  const policy = { iat: nowS, version: 1, scope: { kind: 'platform' }, ladders } as const;
  files.replace(at('platform.policy'), await seal(policyKind, policy, REALM, root), 0o644);

  const database = ports.openDatabase(at('bridge', 'bridge.db'));
  const store = createSqliteStore(database, ports.timers, random);
  const identities = createIdentities(store, REALM, root.key, clock);
  // Each funding that is granted here is opened for its wallet below.
  const backends = [{ name: 'ledger', fundingLinked: async () => true } as unknown as Backend];
  const accounts: Readonly<{ funding: string; wallet: string }>[] = [];
  const devices: Enrolled[] = [];

  for (let i = 0; i < Math.min(SHOPS, count); i++) {
    const till = nodeSigner(readPrivatePem(generatePem('ES256')));
    const shop = { device: `till-${i}`, payee: `shop-${i}`, terminal: `till-${i}` };
    const names = [['en', `Shop ${i}`]] as const;
    await identities.enrol(await state(till, { role: 'terminal', ...shop, names }));
  }
  const enrol = async (i: number): Promise<Enrolled> => {
    const name = `fleet-${i}`;
    const funding = `acct-${i}`;
    const payer = random(16);
    const wallet = nodeSigner(readPrivatePem(generatePem('ES256')));
    const pem = generatePem('ES256');
    const device = nodeSigner(readPrivatePem(pem));
    await identities.enrol(await state(wallet, { role: 'wallet', payer }));
    await identities.enrol(await state(device, { role: 'device', payer, device: name }));
    const terms = {
      ...{ nbf: nowS - 60, exp: nowS + DAY_S, iat: nowS, cnf: device.key.name, funding },
      ...{ currency: CURRENCY, perPaymentMax: 1_000_00n, channels: CHANNELS.tap, epoch: 1 },
      windows: [
        { kind: 'total', max: PLENTY, count: COUNT_UNLIMITED },
        { kind: 'calendar', period: 'day', zone: ZONE, max: PLENTY, count: COUNT_UNLIMITED },
      ],
      allow: [{ kind: 'any' }],
      bands: [{ ceiling: PLENTY, level: 1 }],
    } as const;
    const granted = await signMandate(terms, `${name} may pay`, REALM, wallet);
    const parts = { store, identities, backends };
    const { id, refusal } = await takeMandate(parts, granted.envelope, clock.nowMs());
    if (refusal) throw refusal;
    accounts.push({ funding, wallet: wallet.key.name });
    const shop = i % SHOPS;
    return { name, pem, mandate: id, payee: `shop-${shop}`, terminal: `till-${shop}` };
  };
  try {
    for (let from = 0; from < count; from += FLEET_ENROL_AT_ONCE) {
      const size = Math.min(FLEET_ENROL_AT_ONCE, count - from);
      devices.push(...(await Promise.all(Array.from({ length: size }, (_, i) => enrol(from + i)))));
      ports.progress(devices.length);
    }
  } finally {
    await store.close();
  }
  openAccounts(at('ledger.db'), accounts, ports);
  return { ...PAYMENT, bridgeKey: publicPem(bridgeKey.key), devices, settings: SETTINGS };
}

const ZONE = 'Asia/Shanghai';
const PAYMENT = { realm: REALM, currency: CURRENCY, minor: MINOR };

function openAccounts(
  path: string,
  accounts: readonly Readonly<{ funding: string; wallet: string }>[],
  { openDatabase, clock }: SitePorts,
): void {
  const database = openDatabase(path);
  try {
    openBooks({ database, clock }); // Makes the tables.
    const balance = { currency: CURRENCY, minor: PLENTY };
    for (let from = 0; from < accounts.length; from += FLEET_ENROL_AT_ONCE) {
      const some = accounts.slice(from, from + FLEET_ENROL_AT_ONCE);
      database.transaction(() => {
        for (const account of some) openFunding(database, clock, { ...account, balance });
      });
    }
  } finally {
    database.close();
  }
}

const LISTEN = { host: '127.0.0.1', port: 0 };

const SETTINGS = {
  risk: {
    ...{ listen: LISTEN, database: 'risk.db', secret: 'risk.secret' },
    // It counts its points and allows: people who pay every few seconds would be stopped.
    thresholds: { stepUp: 1001, deny: 1001 },
  },
  ledger: { listen: LISTEN, database: 'ledger.db', secret: 'ledger.secret' },
  bridge: {
    ...{ ...REALM, folder: 'bridge', root: 'root.pub.pem', statements: 'statements' },
    ...{ policy: 'platform.policy', log: 'error' },
  },
};
