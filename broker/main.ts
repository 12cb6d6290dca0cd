/** The bridge as a program: composes the real parts around broker/bridge.ts. */
import { dirname, join, resolve } from 'node:path';
import { toHex } from '../src/bytes.ts';
import { parseConfig, settingsOf } from '../src/config.ts';
import { collect, namesIn } from '../src/diag.ts';
import { type Finding, examine } from '../src/doctor.ts';
import { OperatorError, PaymentError, type Reason } from '../src/errors.ts';
import { requireFolder, requireText } from '../src/files.ts';
import { openKeyFile, readSecretText } from '../src/keyfile.ts';
import { CERTIFICATE_DAYS, CERTIFY_MS, HTTP_BYTES_MAX, OPERATOR_PAGE_ROWS } from '../src/limits.ts';
import { nodeSigner, readPublicPem } from '../src/signer.ts';
import { startBroker } from '../src/node/broker.ts';
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
import { findSupervisor } from '../src/node/supervisor.ts';
import { approvalVerbs } from './approvals.ts';
import { type Place, makeBackup, restoreBackup } from './backup.ts';
import type { CertificateAuthority } from './ca.ts';
import { type BridgeConfig, bridgeConfig } from './config.ts';
import { brokerOf, every, openBridge, takeNotice } from './compose.ts';
import { bridgeChecks, countsOf } from './doctor.ts';
import { type KeyView, type OperatorParts, operate as answer } from './operator.ts';
import { type Route, answerBy } from './routes.ts';
import { rotate as rotateKey } from './rotation.ts';
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
  const at = (path: string) => resolve(dirname(configFile), path);
  const { http, close: closeHttp } = createHttp();
  const outside = { http, log: createLog(config.log, 'bridge'), metrics: createMetrics('bridge') };
  try {
    const parts = await openBridge(config, at, { ...ports, connect: connectLink, ...outside });
    try {
      return await answer(parts, question);
    } finally {
      await parts.close();
    }
  } finally {
    closeHttp();
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

const ports = Object.freeze({ files, archive, clock, timers, random, openDatabase });

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
  const log = createLog(config.log, 'bridge');
  const metrics = createMetrics('bridge');
  const { http, close: closeHttp } = createHttp();
  const parts = await openBridge(config, at, {
    ...ports,
    connect: connectLink,
    http,
    log,
    metrics,
  });
  const { bridge, store, accounts } = parts;

  const embedded = 'listen' in config.mqtt ? await embed(config.mqtt.listen) : undefined;
  const broker = embedded ?? brokerOf(config, at, files)!;
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
      answer: (question) => takeNotice(bridge, question),
    }));
  const pages = openPages('bridge');
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

  const scrape = config.metrics && (await metrics.serve(config.metrics.port));
  await parts.connect(broker);
  // The authority's certificate for this server, and a file that another program has renewed.
  const certify =
    https &&
    web &&
    every(timers, CERTIFY_MS, () => {
      web.certify(certifiedFor(https, folder, at, parts.authority!));
    });
  write(`bridge of ledger ${config.ledger} (${config.environment}) at broker ${broker.url}`);
  if (scrape) write(`metrics at http://127.0.0.1:${scrape.port}/metrics`);

  async function close(): Promise<void> {
    certify?.();
    await operator.close();
    await web?.close();
    await webhook?.close();
    await scrape?.close();
    await parts.close();
    closeHttp();
    await embedded?.close();
  }
  let stopped: Promise<void> | undefined;

  return {
    mqttUrl: broker.url,
    notificationsUrl: listen && webhook && `http://${listen.host}:${webhook.port}`,
    httpsUrl: origin,
    failed: parts.failed,
    stop: () => (stopped ??= close()),
  };
}

/** A broker of its own, whose password for the bridge nobody else learns. */
async function embed(listen: Readonly<{ host: string; port: number }>) {
  const password = toHex(random(16));
  const embedded = await startBroker({ ...listen, bridgePassword: password });
  return { ...embedded, password };
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

/** Where a running bridge answers its operator. */
const SOCKET = 'operator.sock';

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
