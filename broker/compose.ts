/**
 * Puts the bridge together from its configuration and the ports: the same parts in the program and
 * in a simulated world. What is a server (the operator's socket, pages, metrics, notifications) is
 * main.ts's business; here are the store, the backends and the link to devices.
 */
import type { KeyObject } from 'node:crypto';
import { join } from 'node:path';
import { toHex } from '../src/bytes.ts';
import type { Realm, Signer } from '../src/cose.ts';
import { OperatorError, PaymentError } from '../src/errors.ts';
import { requireBytes, requireEach, requireFolder, requireText } from '../src/files.ts';
import { openSecretFile, readKeyFile } from '../src/keyfile.ts';
import type { VerifyKey } from '../src/keys.ts';
import { BRIDGE_FORGET_MS, BRIDGE_KEEP_MS, SWEEP_MS, TICK_SLOT_MS } from '../src/limits.ts';
import type { KeyStatement } from '../src/objects/key.ts';
import type { Policy } from '../src/objects/policy.ts';
import type {
  Clock,
  Connect,
  Database,
  Files,
  Http,
  HttpQuestion,
  HttpReply,
  Link,
  Log,
  Metrics,
  Random,
  Timers,
} from '../src/platform.ts';
import { nodeSigner, readPublicPem } from '../src/signer.ts';
import { readTls } from '../src/tls.ts';
import { BRIDGE_CLIENT, STATE_FILTER, UP_FILTER } from '../src/topics.ts';
import { createAccounts } from './accounts.ts';
import { createLedgerBackend } from './backends/ledger.ts';
import { type Bridge, createBridge } from './bridge.ts';
import { type CertificateAuthority, openCertificateAuthority } from './ca.ts';
import type { BridgeConfig } from './config.ts';
import { createEnrolments } from './enrolment.ts';
import { toBody } from './hmac.ts';
import { type Identities, createIdentities } from './identities.ts';
import { measureStore } from './metrics.ts';
import type { OperatorParts } from './operator.ts';
import { keptPolicies, takePolicy } from './policies.ts';
import { createReceipts } from './receipts.ts';
import { createRiskClient } from './risk/client.ts';
import { chooseBridgeKey, openBridgeKeys } from './rotation.ts';
import type { Store } from './store/port.ts';
import { createSqliteStore } from './store/sqlite.ts';
import { createNonces } from './tick.ts';

/** What a bridge needs of the outside world. */
export type BridgePorts = Readonly<{
  clock: Clock;
  timers: Timers;
  random: Random;
  files: Files;
  openDatabase: (path: string) => Database;
  connect: Connect;
  http: Http;
  log: Log;
  metrics: Metrics;
  /** How a private key signs: with node:crypto, unless a world has to repeat itself. */
  signerOf?: (handle: KeyObject) => Signer;
}>;

/** A bridge over its store. It asks and answers nobody before `connect`. */
export type OpenBridge = OperatorParts &
  Readonly<{
    /** With `https`. */
    authority: CertificateAuthority | undefined;
    /** Resolves when the disk has failed, so that nothing is accepted any more. */
    failed: Promise<OperatorError>;
    /**
     * Links it with its devices, once, and goes on with what was left open; returns when that was
     * looked through. The broker need not be there.
     */
    connect: (broker: Broker) => Promise<void>;
    /** Finishes what is under way, unless that waits for somebody. */
    close: () => Promise<void>;
  }>;

/** A broker to connect to, as the configuration says or as one is embedded. */
export type Broker = Readonly<{ url: string; password: string | undefined }>;

/** The broker that a configuration names; undefined when it embeds one. Throws OperatorError. */
export function brokerOf(
  { mqtt }: BridgeConfig,
  at: (path: string) => string,
  files: Files,
): Broker | undefined {
  if (!('url' in mqtt)) return undefined;
  const { url, password } = mqtt;
  return { url, password: password && requireText(files, at(password)).trim() };
}

/**
 * Opens what a configuration names; `at` resolves one of its paths. Throws OperatorError with what
 * a person has to mend.
 */
export async function openBridge(
  config: BridgeConfig,
  at: (path: string) => string,
  ports: BridgePorts,
): Promise<OpenBridge> {
  const { clock, timers, random, files, http, log, metrics, signerOf = nodeSigner } = ports;
  const folder = at(config.folder);
  const realm: Realm = { environment: config.environment, ledger: config.ledger };

  requireFolder(files, folder);
  const root = readPublicPem(requireText(files, at(config.root)));
  const signed = requireEach(files, at(config.policy), POLICY);
  const database = ports.openDatabase(join(folder, 'bridge.db'));
  try {
    const store = createSqliteStore(database, timers, random);
    const identities = createIdentities(store, realm, root, clock);
    const statements = await enrolAll(files, identities, at(config.statements));
    const policies = await takeAll({ store, realm, root }, signed, clock);
    const isNew = (await store.meta('installed')) === undefined;
    if (!isNew) requireFiles(files, config, at);
    const keys = openBridgeKeys(files, folder, signerOf);
    const nowS = Math.floor(clock.nowMs() / 1000);
    const named = statements.map(({ value }) => value);
    const key = chooseBridgeKey(keys, named, nowS);
    if (!key) {
      throw new OperatorError(
        'key',
        `the root has not named this bridge's key ${toHex(keys[0]!.signer.key.kid)}: ` +
          `put its signed Key statement into ${at(config.statements)}`,
      );
    }
    const generation = Number((await store.meta('tick_generation')) ?? '1');
    const restoredMs = await store.meta('restored_ms');
    const tickSecret = openSecretFile(files, random, join(folder, 'tick.secret'), 32);
    const nonces = createNonces(tickSecret, generation);
    const secretOf = (path: string) => openSecretFile(files, random, at(path), 32);
    const calls = { http, clock, random };
    const backends = config.backends.map(({ name, url, secret }) =>
      createLedgerBackend({ ...calls, name, url, secret: secretOf(secret) }),
    );
    if (isNew) await store.setMeta('installed', '1');
    const { url, secret } = config.risk;
    const rules = { policies, isFresh: nonces.isFresh };
    let link: Link | undefined;
    const bridge = createBridge({
      realm,
      store: measureStore(metrics, store),
      identities,
      risk: createRiskClient({ ...calls, url, secret: secretOf(secret) }),
      backends,
      signer: key.signer,
      rules,
      nonces,
      owner: toHex(random(8)),
      ...(restoredMs !== undefined && { restoredMs: Number(restoredMs) }),
      ...(config.cancelAfterSeconds !== undefined && {
        patienceMs: config.cancelAfterSeconds * 1000,
      }),
      clock,
      timers,
      log,
      send: (topic, payload, qos) => link?.publish(topic, payload, qos),
    });
    const authority = config.https
      ? openCertificateAuthority(files, random, clock, folder)
      : undefined;
    const rootFile = config.enrol?.root;
    let mqttUrl = '';
    const enrolments = createEnrolments({
      ...{ realm, store, identities, root, clock, log },
      mqttUrl: () => config.enrol?.mqtt ?? mqttUrl,
      receipts: createReceipts(realm, key.signer, clock),
      rootSigner: rootFile === undefined ? undefined : rootAt(files, at(rootFile), root),
      certify: authority?.issueClient,
      ca: authority?.certificate,
      bridgeStatements: statements
        .filter(({ value }) => value.role === 'bridge' && nowS < value.exp)
        .map(({ envelope }) => envelope),
      policies: signed.map(({ bytes }) => bytes),
    });

    const { mqtt } = config;
    let isUp: boolean | undefined;
    let why = '';
    let isStopping = false;
    let stops: readonly (() => void)[] = [];
    metrics.gauge('broker_connected', '1 when the broker is there.', () => (isUp ? 1 : 0));

    function connect(broker: Broker): Promise<void> {
      mqttUrl = broker.url;
      link = ports.connect(
        {
          url: broker.url,
          ...('url' in mqtt && { tls: () => readTls(files, at, mqtt) }),
          clientId: BRIDGE_CLIENT,
          ...(broker.password !== undefined && { password: broker.password }),
          subscriptions: [
            { topic: UP_FILTER, qos: 1 },
            { topic: STATE_FILTER, qos: 1 },
          ],
        },
        {
          message: bridge.receive,
          state(state, reason) {
            if (isStopping || (isUp === (state === 'up') && reason === why)) return;
            isUp = state === 'up';
            why = reason;
            log(isUp ? 'info' : 'warn', isUp ? 'broker reached' : 'broker away, waiting', { why });
            if (isUp) void bridge.tick();
          },
        },
      );
      return goOn();
    }

    /** What was left open, and what comes round again and again. */
    async function goOn(): Promise<void> {
      const continued = await sweep();
      if (continued > 0) log('info', 'continuing payments left open', { count: continued });
      await forget();
      if (isStopping) return;
      stops = [
        every(timers, TICK_SLOT_MS, () => void bridge.tick()),
        every(timers, SWEEP_MS, () => void sweep()),
        every(timers, BRIDGE_FORGET_MS, () => void forget()),
      ];
    }

    const sweep = () =>
      bridge.sweep().catch((error: Error) => {
        log('warn', 'cannot look for open payments yet', { why: error.message });
        return 0;
      });
    const forget = () =>
      forgetOld(store, config, clock).catch((error: Error) => {
        log('warn', 'cannot forget old payments yet', { why: error.message });
      });

    return {
      realm,
      store,
      identities,
      backends,
      bridge,
      enrolments,
      authority,
      rules,
      clock,
      timers,
      accounts: createAccounts({ store, random, clock }),
      origin: () => config.https?.url,
      root,
      failed: database.failed.then(
        (cause) => new OperatorError('storage', cause.message, { cause }),
      ),
      connect,
      async close() {
        isStopping = true;
        for (const stop of stops) stop();
        await bridge.close();
        await link?.close();
        await store.close();
      },
    };
  } catch (error) {
    database.close();
    // Nothing of a payment: whoever watches over the program starts it again.
    if (!(error instanceof PaymentError) || error.reason !== 'unavailable') throw error;
    throw new OperatorError('storage', error.message, { cause: error });
  }
}

/** Runs `run` again and again, each `ms` after it was called, until the returned function is. */
export function every(timers: Timers, ms: number, run: () => void): () => void {
  let cancel = timers.after(ms, function again() {
    run();
    cancel = timers.after(ms, again);
  });
  return () => cancel();
}

/** Answers a backend that tells an outcome by itself: POST /v1/notifications/NAME. */
export async function takeNotice(bridge: Bridge, question: HttpQuestion): Promise<HttpReply> {
  const name = /^\/v1\/notifications\/([\w-]{1,64})$/.exec(question.path)?.[1];
  if (question.method !== 'POST' || name === undefined) {
    return { status: 404, body: toBody({ error: 'There is no such call.' }) };
  }
  try {
    await bridge.notified(name, question);
    return { status: 200, body: toBody({ taken: true }) };
  } catch (error) {
    if (!(error instanceof PaymentError)) throw error;
    const status = error.reason === 'unavailable' ? 503 : 400;
    return { status, body: toBody({ error: error.reason }) };
  }
}

/**
 * On its first start a bridge makes what it needs. Later a key or secret that is gone was lost: a
 * new one would be unknown to everybody else.
 */
function requireFiles(files: Files, config: BridgeConfig, at: (path: string) => string): void {
  const own = ['bridge.key.pem', 'tick.secret'].map((name) => join(at(config.folder), name));
  const shared = [config.risk, ...config.backends].map(({ secret }) => at(secret));
  for (const path of [...own, ...shared]) {
    if (files.read(path)) continue;
    throw new OperatorError(
      'key',
      `${path} is missing: put it back, from a backup or the other side`,
    );
  }
}

/** The root's private key, where a site keeps it on this machine. */
function rootAt(files: Files, path: string, root: VerifyKey): Signer {
  if (!files.read(path)) {
    throw new OperatorError(
      'key',
      `enrol.root: ${path} does not exist: put the root's private key there, or leave enrol.root ` +
        'out of the configuration and sign with saytap device approve CODE --root FILE',
    );
  }
  const signer = nodeSigner(readKeyFile(files, path));
  if (signer.key.name === root.name) return signer;
  throw new OperatorError('key', `${path} is not the private key of this site's root`);
}

async function forgetOld(
  store: Store,
  { evidenceDays }: BridgeConfig,
  clock: Clock,
): Promise<void> {
  const nowMs = clock.nowMs();
  if (evidenceDays !== undefined) {
    const beforeMs = nowMs - evidenceDays * 86_400_000;
    await store.erase({ payer: undefined, beforeMs, by: 'policy', nowMs });
  }
  await store.forget(nowMs - BRIDGE_KEEP_MS);
}

/** How the names of signed policies end. */
const POLICY = '.policy';

/** Takes in the policies of these files; returns the newest of every scope that was ever seen. */
async function takeAll(
  parts: Parameters<typeof takePolicy>[0],
  signed: ReturnType<typeof requireEach>,
  clock: Clock,
): Promise<readonly Policy[]> {
  for (const { path, bytes } of signed) {
    await takePolicy(parts, bytes, clock.nowMs()).catch((cause: unknown) => {
      if (!(cause instanceof PaymentError)) throw cause;
      const exit = cause.reason === 'unavailable' ? 'storage' : 'config';
      throw new OperatorError(exit, `${path}: ${cause.reason}: ${cause.message}`, { cause });
    });
  }
  const policies = await keptPolicies(parts);
  if (policies.some(({ scope }) => scope.kind === 'platform')) return policies;
  throw new OperatorError('config', 'no policy of the platform was ever given to this bridge');
}

/** Enrols every statement of the folder; returns what they say. */
async function enrolAll(
  files: Files,
  identities: Identities,
  folder: string,
): Promise<readonly Readonly<{ value: KeyStatement; envelope: Uint8Array }>[]> {
  const statements: { value: KeyStatement; envelope: Uint8Array }[] = [];
  for (const name of files.list(folder).filter((entry) => entry.endsWith('.key'))) {
    const envelope = requireBytes(files, join(folder, name));
    try {
      const { value } = await identities.enrol(envelope);
      statements.push({ value, envelope });
    } catch (cause) {
      if (!(cause instanceof PaymentError)) throw cause;
      const exit = cause.reason === 'unavailable' ? 'storage' : 'key';
      throw new OperatorError(exit, `${join(folder, name)}: ${cause.message}`, { cause });
    }
  }
  return statements;
}
