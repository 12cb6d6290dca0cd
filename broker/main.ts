/** The bridge as a program: composes the real parts around broker/bridge.ts. */
import { dirname, join, resolve } from 'node:path';
import { toHex } from '../src/bytes.ts';
import type { Realm, Signer } from '../src/cose.ts';
import { parseConfig, settingsOf } from '../src/config.ts';
import { collect, namesIn } from '../src/diag.ts';
import { type Finding, examine } from '../src/doctor.ts';
import { OperatorError, PaymentError, type Reason } from '../src/errors.ts';
import { requireBytes, requireEach, requireFolder, requireText } from '../src/files.ts';
import { openKeyFile, openSecretFile, readKeyFile, readSecretText } from '../src/keyfile.ts';
import {
  BRIDGE_FORGET_MS,
  BRIDGE_KEEP_MS,
  CERTIFICATE_DAYS,
  CERTIFY_MS,
  HTTP_BYTES_MAX,
  OPERATOR_PAGE_ROWS,
  SWEEP_MS,
  TICK_SLOT_MS,
} from '../src/limits.ts';
import type { VerifyKey } from '../src/keys.ts';
import type { KeyStatement } from '../src/objects/key.ts';
import type { Policy } from '../src/objects/policy.ts';
import type { HttpQuestion, HttpReply } from '../src/platform.ts';
import { nodeSigner, readPublicPem } from '../src/signer.ts';
import { readTls } from '../src/tls.ts';
import { STATE_FILTER, UP_FILTER } from '../src/topics.ts';
import { BRIDGE_CLIENT, startBroker } from '../src/node/broker.ts';
import { gzip } from '../src/node/compress.ts';
import { createHttp, serveHttp } from '../src/node/http.ts';
import { connectLink } from '../src/node/link.ts';
import { createLog } from '../src/node/log.ts';
import { createMetrics } from '../src/node/metrics.ts';
import { archive } from '../src/node/archive.ts';
import { openPages } from '../src/node/pages.ts';
import { clock, files, machine, random, timers } from '../src/node/platform.ts';
import { askSocket, serveSocket } from '../src/node/socket.ts';
import { openDatabase } from '../src/node/sqlite.ts';
import { surroundings } from '../src/node/surroundings.ts';
import {
  type WantedBroker,
  type WantedCertificate,
  certifyDevice,
  writeBrokerFiles,
} from './access.ts';
import { createAccounts } from './accounts.ts';
import { findSupervisor } from '../src/node/supervisor.ts';
import { approvalVerbs } from './approvals.ts';
import { createLedgerBackend } from './backends/ledger.ts';
import { type Place, makeBackup, restoreBackup } from './backup.ts';
import { type Bridge, createBridge } from './bridge.ts';
import { type CertificateAuthority, openCertificateAuthority } from './ca.ts';
import { type BridgeConfig, bridgeConfig } from './config.ts';
import { bridgeChecks, countsOf } from './doctor.ts';
import { createEnrolments } from './enrolment.ts';
import { type Identities, createIdentities } from './identities.ts';
import { toBody } from './hmac.ts';
import { keptPolicies, takePolicy } from './policies.ts';
import { measureStore } from './metrics.ts';
import { type KeyView, type OperatorParts, operate as answer } from './operator.ts';
import { type Route, answerBy } from './routes.ts';
import { createReceipts } from './receipts.ts';
import { createRiskClient } from './risk/client.ts';
import { chooseBridgeKey, openBridgeKeys, rotate as rotateKey } from './rotation.ts';
import type { Store } from './store/port.ts';
import { createSqliteStore } from './store/sqlite.ts';
import { createNonces } from './tick.ts';
import { createVisits } from './visits.ts';
import { wearerVerbs } from './wearers.ts';

/** A running bridge; `mqttUrl` is where devices reach it, `notificationsUrl` where backends do. */
export type RunningBridge = Readonly<{
  mqttUrl: string;
  notificationsUrl: string | undefined;
  /** Where devices enrol; with the port that was chosen when the configuration says 0. */
  httpsUrl: string | undefined;
  /** Resolves when the disk has failed, so that nothing is accepted any more. */
  failed: Promise<OperatorError>;
  /** Once, however often it is asked for. */
  stop: () => Promise<void>;
}>;

/** What its configuration may say. */
export const settings = settingsOf(bridgeConfig);

/** Runs the bridge of a configuration file until SIGTERM or SIGINT. Throws OperatorError. */
export async function main(configFile: string, write: (line: string) => void): Promise<void> {
  const told = new Promise<void>((done) => {
    process.once('SIGTERM', () => done());
    process.once('SIGINT', () => done());
  });
  const bridge = await startBridge(configFile, write);
  const supervisor = findSupervisor();
  supervisor.ready(() => true); // That it can say so means that its loop turns.
  const failure = await Promise.race([told, bridge.failed]);
  supervisor.stopping();
  // Whoever watches over the program starts it again; what is on disk goes on then.
  if (failure) throw failure;
  await bridge.stop();
}

/**
 * Puts an operator's question (broker/operator.ts) to the bridge of a configuration file: to the
 * running one, or, when none runs, to its store. Throws OperatorError, or PaymentError as the
 * question's own answer.
 */
export async function operate(configFile: string, question: unknown): Promise<unknown> {
  const { config, folder } = readBridgeConfig(configFile);
  requireFolder(files, folder);
  const told = await askSocket(join(folder, SOCKET), JSON.stringify(question));
  if (told !== undefined) return fromWire(told);
  const parts = await assemble(
    configFile,
    config,
    () => {},
    () => '',
  );
  try {
    return await answer(parts, question);
  } finally {
    await parts.close();
  }
}

/** What is right and what is wrong with the bridge of a configuration. Throws OperatorError. */
export async function doctor(configFile: string): Promise<readonly Finding[]> {
  const { config, folder } = readBridgeConfig(configFile);
  const at = (path: string) => resolve(dirname(configFile), path);
  const { http, close } = createHttp();
  const ask = (question: object) => askRunning(folder, question);
  const outside = { http, surroundings, openDatabase, ask };
  try {
    const checks = bridgeChecks(config, at, { files, clock, timers, random, ...outside });
    return await examine(checks, timers);
  } finally {
    close();
  }
}

/** What somebody needs who helps with the bridge of a configuration. Throws OperatorError. */
export async function diagnose(
  configFile: string,
): Promise<Readonly<{ bytes: Uint8Array; names: readonly string[] }>> {
  const { config, folder } = readBridgeConfig(configFile);
  const at = (path: string) => resolve(dirname(configFile), path);
  const { http, close } = createHttp();
  const ask = (question: object) => askRunning(folder, question);
  try {
    const ports = { clock, files, http, surroundings, machine: machine() };
    const { archive: whole, names } = await collect(ports, {
      program: 'bridge',
      folder,
      findings: await doctor(configFile),
      settings: settings.print(requireText(files, configFile), configFile),
      metricsPort: config.metrics?.port,
      counts: await countsOf(folder, { surroundings, openDatabase, timers, random, ask }),
      names: namesIn(files, at(config.statements), undefined),
    });
    return { bytes: gzip(whole), names };
  } finally {
    close();
  }
}

/** The running bridge's answer; undefined when none runs. */
async function askRunning(folder: string, question: object): Promise<unknown> {
  const told = await askSocket(join(folder, SOCKET), JSON.stringify(question));
  return told === undefined ? undefined : fromWire(told);
}

/** Takes the rotation of the bridge's key one step on. Throws OperatorError. */
export async function rotate(configFile: string, write: (line: string) => void): Promise<void> {
  const { config, folder } = readBridgeConfig(configFile);
  const at = (path: string) => resolve(dirname(configFile), path);
  const realm = { environment: config.environment, ledger: config.ledger };
  const root = readPublicPem(requireText(files, at(config.root)));
  const place = { folder, statements: at(config.statements), realm, root };
  rotateKey({ files, clock }, place, write);
}

/** Copies what a restore needs into a new folder, also while the bridge runs. */
export async function backup(
  configFile: string,
  folder: string,
  write: (line: string) => void,
): Promise<void> {
  const parts = { ...ports, operate: (question: unknown) => operate(configFile, question) };
  await makeBackup(parts, placeOf(configFile), resolve(folder), write);
}

/** Puts a backup in the place of what the bridge has, which is kept beside it. */
export async function restore(
  configFile: string,
  folder: string,
  write: (line: string) => void,
): Promise<void> {
  const place = placeOf(configFile);
  const socket = join(place.at(place.config.folder), SOCKET);
  const isRunning = async () => (await askSocket(socket, '{}')) !== undefined;
  await restoreBackup({ ...ports, random, isRunning }, place, resolve(folder), write);
}

/** Writes the files of a site's Mosquitto; devices whose every key is revoked are locked out. */
export async function writeBroker(
  configFile: string,
  wanted: Omit<WantedBroker, 'lost'>,
  write: (line: string) => void,
): Promise<void> {
  const place = placeOf(configFile);
  const isNew = !files.list(place.at(place.config.folder)).includes('bridge.db');
  const lost = isNew ? [] : await revokedDevices(configFile);
  writeBrokerFiles({ files, random, clock }, place, { ...wanted, lost }, write);
}

/** Issues a device's certificate for the broker. */
export function certify(
  configFile: string,
  wanted: WantedCertificate,
  write: (line: string) => void,
): void {
  certifyDevice({ files, random, clock }, placeOf(configFile), wanted, write);
}

async function revokedDevices(configFile: string): Promise<readonly string[]> {
  const standing = new Map<string, boolean>();
  for (let after: string | undefined, isMore = true; isMore;) {
    const question = { ask: 'keys', ...(after !== undefined && { after }) };
    const rows = (await operate(configFile, question)) as readonly KeyView[];
    for (const { device, status } of rows) {
      if (device === undefined) continue;
      standing.set(device, (standing.get(device) ?? true) && status === 'revoked');
    }
    after = rows.at(-1)?.name;
    isMore = rows.length >= OPERATOR_PAGE_ROWS;
  }
  return [...standing].flatMap(([device, isRevoked]) => (isRevoked ? [device] : []));
}

const ports = Object.freeze({ files, archive, clock, openDatabase });

function placeOf(configFile: string): Place {
  const { config } = readBridgeConfig(configFile);
  return { config, file: configFile, at: (path) => resolve(dirname(configFile), path) };
}

/** The configuration of a bridge and its folder, for commands that work on the files themselves. */
export function readBridgeConfig(
  configFile: string,
): Readonly<{ config: BridgeConfig; folder: string }> {
  const config = parseConfig(bridgeConfig, requireText(files, configFile), configFile);
  return { config, folder: resolve(dirname(configFile), config.folder) };
}

/** As `main`, but returns once it is connected or trying to; `stop` ends it cleanly. */
export async function startBridge(
  configFile: string,
  write: (line: string) => void,
): Promise<RunningBridge> {
  const { config, folder } = readBridgeConfig(configFile);
  const at = (path: string) => resolve(dirname(configFile), path);
  const parts = await assemble(
    configFile,
    config,
    (topic, payload, qos) => link.publish(topic, payload, qos),
    () => config.enrol?.mqtt ?? mqttUrl,
  );
  const { bridge, store, log, accounts } = parts;

  let bridgePassword: string | undefined;
  let broker: Awaited<ReturnType<typeof startBroker>> | undefined;
  if ('listen' in config.mqtt) {
    bridgePassword = toHex(random(16));
    broker = await startBroker({ ...config.mqtt.listen, bridgePassword });
  } else if (config.mqtt.password !== undefined) {
    bridgePassword = requireText(files, at(config.mqtt.password)).trim();
  }
  const mqttUrl = broker?.url ?? ('url' in config.mqtt ? config.mqtt.url : '');

  const { mqtt } = config;
  let wasUp: boolean | undefined;
  let wasWhy = '';
  let isStopping = false;
  const link = connectLink(
    {
      url: mqttUrl,
      ...('url' in mqtt && { tls: () => readTls(files, at, mqtt) }),
      clientId: BRIDGE_CLIENT,
      ...(bridgePassword !== undefined && { password: bridgePassword }),
      subscriptions: [
        { topic: UP_FILTER, qos: 1 },
        { topic: STATE_FILTER, qos: 1 },
      ],
    },
    {
      message: bridge.receive,
      state(state, why) {
        if (isStopping || (wasUp === (state === 'up') && why === wasWhy)) return;
        wasUp = state === 'up';
        wasWhy = why;
        log(wasUp ? 'info' : 'warn', wasUp ? 'broker reached' : 'broker away, waiting', { why });
        if (wasUp) void bridge.tick();
      },
    },
  );
  const { https } = config;
  let origin = https?.url;
  const asked = { ...parts, origin: () => origin };
  const operator = await serveSocket(join(folder, SOCKET), (text) => toWire(asked, text));
  const listen = config.notifications?.listen;
  const webhook =
    listen &&
    (await serveHttp({
      ...listen,
      bytesMax: HTTP_BYTES_MAX,
      answer: (question) => notified(bridge, question),
    }));
  const pages = openPages();
  const desk = {
    ...parts,
    isOnline: async (device: string) => (await store.heard(device))?.online,
  };
  const verbs = { ...approvalVerbs(desk), ...wearerVerbs(desk) };
  const visits = createVisits({ accounts, pages, verbs, origin: () => origin, log });
  const routes: readonly Route[] = [parts.enrolments.route, visits];
  const web =
    https &&
    (await serveHttp({
      ...https.listen,
      portOption: 'https.listen.port',
      bytesMax: HTTP_BYTES_MAX,
      tls: certifiedFor(https, folder, at, parts.authority!),
      answer: (question) => answerBy(routes, question),
    }));
  if (web) origin = origin?.replace(/:0$/, `:${web.port}`);

  parts.metrics.gauge('broker_connected', '1 when the broker is there.', () => (wasUp ? 1 : 0));
  const scrape = config.metrics && (await parts.metrics.serve(config.metrics.port));

  const sweep = () =>
    bridge.sweep().catch((error: Error) => {
      log('warn', 'cannot look for open payments yet', { why: error.message });
      return 0;
    });
  const forget = () =>
    forgetOld(store, config).catch((error: Error) => {
      log('warn', 'cannot forget old payments yet', { why: error.message });
    });
  const continued = await sweep();
  if (continued > 0) log('info', 'continuing payments left open', { count: continued });
  await forget();
  const stops = [
    every(TICK_SLOT_MS, () => void bridge.tick()),
    every(SWEEP_MS, () => void sweep()),
    every(BRIDGE_FORGET_MS, () => void forget()),
    // The authority's certificate for this server, and a file that another program has renewed.
    ...(https && web
      ? [every(CERTIFY_MS, () => web.certify(certifiedFor(https, folder, at, parts.authority!)))]
      : []),
  ];
  write(`bridge of ledger ${config.ledger} (${config.environment}) at broker ${mqttUrl}`);
  if (scrape) write(`metrics at http://127.0.0.1:${scrape.port}/metrics`);

  async function close(): Promise<void> {
    isStopping = true;
    for (const stop of stops) stop();
    await operator.close();
    await web?.close();
    await webhook?.close();
    await scrape?.close();
    await bridge.close();
    await link.close();
    await broker?.close();
    await parts.close();
  }
  let stopped: Promise<void> | undefined;

  return {
    mqttUrl,
    notificationsUrl: listen && webhook && `http://${listen.host}:${webhook.port}`,
    httpsUrl: origin,
    failed: parts.failed,
    stop: () => (stopped ??= close()),
  };
}

/** Key and certificate of `https`: from its files, or by the bridge's own authority. */
function certifiedFor(
  { certificate, key, url }: NonNullable<BridgeConfig['https']>,
  folder: string,
  at: (path: string) => string,
  authority: CertificateAuthority,
): Readonly<{ key: string; certificate: string }> {
  if (certificate !== undefined && key !== undefined) {
    return {
      certificate: requireText(files, at(certificate)),
      key: readSecretText(files, at(key)),
    };
  }
  const handle = openKeyFile(files, join(folder, 'https.key.pem'), 'ES256');
  const host = new URL(url).hostname.replace(/^\[(.*)\]$/, '$1');
  const own = authority.issueServer([host], nodeSigner(handle).key, CERTIFICATE_DAYS);
  return {
    certificate: `${own.trimEnd()}\n${authority.certificate}`,
    key: handle.export({ format: 'pem', type: 'pkcs8' }) as string,
  };
}

/** The root's private key, where a site keeps it on this machine. */
function rootAt(path: string, root: VerifyKey): Signer {
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

/** Where a running bridge answers its operator. */
const SOCKET = 'operator.sock';

/** The store and everything around it, without a link to devices. */
async function assemble(
  configFile: string,
  config: BridgeConfig,
  send: (topic: string, payload: Uint8Array, qos: 0 | 1) => void,
  mqttUrl: () => string,
): Promise<
  OperatorParts &
    Readonly<{
      /** With `https`. */
      authority: CertificateAuthority | undefined;
      log: ReturnType<typeof createLog>;
      metrics: ReturnType<typeof createMetrics>;
      failed: Promise<OperatorError>;
      close: () => Promise<void>;
    }>
> {
  const at = (path: string) => resolve(dirname(configFile), path);
  const folder = at(config.folder);
  const log = createLog(config.log, 'bridge');
  const realm: Realm = { environment: config.environment, ledger: config.ledger };

  requireFolder(files, folder);
  const root = readPublicPem(requireText(files, at(config.root)));
  const signed = requireEach(files, at(config.policy), POLICY);
  const database = openDatabase(join(folder, 'bridge.db'));
  try {
    const store = createSqliteStore(database, timers, random);
    const identities = createIdentities(store, realm, root, clock);
    const statements = await enrolAll(identities, at(config.statements));
    const policies = await takeAll({ store, realm, root }, signed);
    const isNew = (await store.meta('installed')) === undefined;
    if (!isNew) requireFiles(configFile, config);
    const keys = openBridgeKeys(files, folder);
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
    const { http, close: closeHttp } = createHttp();
    const secretOf = (path: string) => openSecretFile(files, random, at(path), 32);
    const ports = { http, clock, random };
    const backends = config.backends.map(({ name, url, secret }) =>
      createLedgerBackend({ ...ports, name, url, secret: secretOf(secret) }),
    );
    if (isNew) await store.setMeta('installed', '1');
    const { url, secret } = config.risk;
    const rules = { policies, isFresh: nonces.isFresh };
    const metrics = createMetrics('bridge');
    const bridge = createBridge({
      realm,
      store: measureStore(metrics, store),
      identities,
      risk: createRiskClient({ ...ports, url, secret: secretOf(secret) }),
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
      send,
    });
    const authority = config.https
      ? openCertificateAuthority(files, random, clock, folder)
      : undefined;
    const rootFile = config.enrol?.root;
    const enrolments = createEnrolments({
      ...{ realm, store, identities, root, mqttUrl, clock, log },
      receipts: createReceipts(realm, key.signer, clock),
      rootSigner: rootFile === undefined ? undefined : rootAt(at(rootFile), root),
      certify: authority?.issueClient,
      ca: authority?.certificate,
      bridgeStatements: statements
        .filter(({ value }) => value.role === 'bridge' && nowS < value.exp)
        .map(({ envelope }) => envelope),
      policies: signed.map(({ bytes }) => bytes),
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
      log,
      metrics,
      failed: database.failed.then(
        (cause) => new OperatorError('storage', cause.message, { cause }),
      ),
      async close() {
        await bridge.close();
        closeHttp();
        await store.close();
      },
    };
  } catch (error) {
    database.close();
    throw error;
  }
}

/**
 * On its first start a bridge makes what it needs. Later a key or secret that is gone was lost: a
 * new one would be unknown to everybody else.
 */
function requireFiles(configFile: string, config: BridgeConfig): void {
  const at = (path: string) => resolve(dirname(configFile), path);
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

/** One answer as text: a refusal keeps its reason on the way to the command. */
async function toWire(parts: OperatorParts, text: string): Promise<string> {
  try {
    return JSON.stringify({ answer: (await answer(parts, JSON.parse(text))) ?? null });
  } catch (error) {
    if (error instanceof PaymentError) {
      return JSON.stringify({ reason: error.reason, why: error.message });
    }
    if (error instanceof OperatorError) return JSON.stringify({ why: error.message });
    return JSON.stringify({ why: `the bridge cannot answer: ${String(error)}` });
  }
}

/** Throws OperatorError for an answer that was cut off in the middle. */
function parseAnswer(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new OperatorError('failed', 'the bridge ended while it answered', { cause });
  }
}

function fromWire(text: string): unknown {
  const told = parseAnswer(text) as Readonly<{ answer?: unknown; reason?: Reason; why?: string }>;
  if (told.reason !== undefined) throw new PaymentError(told.reason, told.why ?? '');
  if (told.why !== undefined) throw new OperatorError('failed', told.why);
  return told.answer;
}

async function notified(bridge: Bridge, question: HttpQuestion): Promise<HttpReply> {
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

async function forgetOld(store: Store, { evidenceDays }: BridgeConfig): Promise<void> {
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

function every(ms: number, run: () => void): () => void {
  let cancel = timers.after(ms, function again() {
    run();
    cancel = timers.after(ms, again);
  });
  return () => cancel();
}
