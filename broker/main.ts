/** The bridge as a program: composes the real parts around broker/bridge.ts. */
import { dirname, join, resolve } from 'node:path';
import { toHex } from '../src/bytes.ts';
import { parseConfig } from '../src/config.ts';
import { OperatorError, PaymentError } from '../src/errors.ts';
import { requireBytes, requireFolder, requireText } from '../src/files.ts';
import { openKeyFile, openSecretFile } from '../src/keyfile.ts';
import { thumbprint } from '../src/keys.ts';
import { BRIDGE_FORGET_MS, BRIDGE_KEEP_MS, TICK_SLOT_MS } from '../src/limits.ts';
import { open } from '../src/objects/kind.ts';
import { policy as policyKind } from '../src/objects/policy.ts';
import { readPublicPem, nodeSigner } from '../src/signer.ts';
import { UP_FILTER } from '../src/topics.ts';
import { BRIDGE_CLIENT, startBroker } from '../src/node/broker.ts';
import { createHttp } from '../src/node/http.ts';
import { connectLink } from '../src/node/link.ts';
import { createLog } from '../src/node/log.ts';
import { clock, files, random, timers } from '../src/node/platform.ts';
import { openDatabase } from '../src/node/sqlite.ts';
import { createLedgerBackend } from './backends/ledger.ts';
import { createBridge } from './bridge.ts';
import { bridgeConfig } from './config.ts';
import { type Identities, createIdentities } from './identities.ts';
import { createRiskClient } from './risk/client.ts';
import { createSqliteStore } from './store/sqlite.ts';
import { createNonces } from './tick.ts';

/** A running bridge; `mqttUrl` is where devices reach it. */
export type RunningBridge = Readonly<{ mqttUrl: string; stop: () => Promise<void> }>;

/** Runs the bridge of a configuration file until SIGTERM or SIGINT. Throws OperatorError. */
export async function main(configFile: string, write: (line: string) => void): Promise<void> {
  const told = new Promise<void>((done) => {
    process.once('SIGTERM', done);
    process.once('SIGINT', done);
  });
  const bridge = await startBridge(configFile, write);
  await told;
  await bridge.stop();
}

/** As `main`, but returns once it is connected or trying to; `stop` ends it cleanly. */
export async function startBridge(
  configFile: string,
  write: (line: string) => void,
): Promise<RunningBridge> {
  const config = parseConfig(bridgeConfig, requireText(files, configFile), configFile);
  const at = (path: string) => resolve(dirname(configFile), path);
  const folder = at(config.folder);
  const log = createLog(config.log);
  const realm = { environment: config.environment, ledger: config.ledger };

  requireFolder(files, folder);
  const root = readPublicPem(requireText(files, at(config.root)));
  const policy = open(policyKind, requireBytes(files, at(config.policy)), realm, () => root).value;
  const signer = nodeSigner(openKeyFile(files, join(folder, 'bridge.key.pem'), 'ES256'));
  const database = openDatabase(join(folder, 'bridge.db'));
  const store = createSqliteStore(database, timers);
  const identities = createIdentities(store, realm, root);
  const isNamed = await enrolAll(identities, at(config.statements), signer.key.name);
  if (!isNamed) {
    throw new OperatorError(
      'key',
      `the root has not named this bridge's key ${toHex(signer.key.kid)}: ` +
        `put its signed Key statement into ${at(config.statements)}`,
    );
  }

  const generation = Number((await store.meta('tick_generation')) ?? '1');
  const tickSecret = openSecretFile(files, random, join(folder, 'tick.secret'), 32);
  const nonces = createNonces(tickSecret, generation);
  const { http, close: closeHttp } = createHttp();
  const secretOf = (path: string) => openSecretFile(files, random, at(path), 32);
  const riskSecret = secretOf(config.risk.secret);
  const backendSecret = secretOf(config.backend.secret);

  let bridgePassword: string | undefined;
  let broker: Awaited<ReturnType<typeof startBroker>> | undefined;
  if ('listen' in config.mqtt) {
    bridgePassword = toHex(random(16));
    broker = await startBroker({ ...config.mqtt.listen, bridgePassword });
  } else if (config.mqtt.password !== undefined) {
    bridgePassword = requireText(files, at(config.mqtt.password)).trim();
  }
  const mqttUrl = broker?.url ?? ('url' in config.mqtt ? config.mqtt.url : '');

  const bridge = createBridge({
    realm,
    store,
    identities,
    risk: createRiskClient({
      http,
      url: config.risk.url,
      secret: riskSecret,
      clock,
      random,
    }),
    backend: createLedgerBackend({
      http,
      url: config.backend.url,
      secret: backendSecret,
      clock,
      random,
    }),
    signer,
    rules: { policy, isFresh: nonces.isFresh },
    nonces,
    clock,
    timers,
    log,
    send: (topic, payload, qos) => link.publish(topic, payload, qos),
  });
  let wasUp: boolean | undefined;
  let isStopping = false;
  const link = connectLink(
    {
      url: mqttUrl,
      clientId: BRIDGE_CLIENT,
      ...(bridgePassword !== undefined && { password: bridgePassword }),
      subscriptions: [{ topic: UP_FILTER, qos: 1 }],
    },
    {
      message: bridge.receive,
      state(state, why) {
        if (isStopping || wasUp === (state === 'up')) return;
        wasUp = state === 'up';
        log(wasUp ? 'info' : 'warn', wasUp ? 'broker reached' : 'broker away, waiting', { why });
        if (wasUp) void bridge.tick();
      },
    },
  );
  const continued = await bridge.resume();
  if (continued > 0) log('info', 'continuing payments left open', { count: continued });
  const stopTicks = every(TICK_SLOT_MS, () => void bridge.tick());
  const forget = () =>
    store.forget(clock.nowMs() - BRIDGE_KEEP_MS).catch((error: Error) => {
      log('warn', 'cannot forget old payments yet', { why: error.message });
    });
  await forget();
  const stopForgetting = every(BRIDGE_FORGET_MS, () => void forget());
  write(`bridge of ledger ${config.ledger} (${config.environment}) at broker ${mqttUrl}`);

  return {
    mqttUrl,
    async stop() {
      isStopping = true;
      stopTicks();
      stopForgetting();
      await bridge.close();
      await link.close();
      await broker?.close();
      closeHttp();
      await store.close();
    },
  };
}

/** Enrols every statement of the folder; returns whether one of them names `bridgeKey`. */
async function enrolAll(identities: Identities, folder: string, bridgeKey: string) {
  let isNamed = false;
  for (const name of files.list(folder).filter((entry) => entry.endsWith('.key'))) {
    try {
      const { value } = await identities.enrol(requireBytes(files, join(folder, name)));
      if (value.role === 'bridge' && toHex(thumbprint(value.key)) === bridgeKey) {
        isNamed = true;
      }
    } catch (cause) {
      if (!(cause instanceof PaymentError)) throw cause;
      const exit = cause.reason === 'unavailable' ? 'storage' : 'key';
      throw new OperatorError(exit, `${join(folder, name)}: ${cause.message}`, { cause });
    }
  }
  return isNamed;
}

function every(ms: number, run: () => void): () => void {
  let cancel = timers.after(ms, function again() {
    run();
    cancel = timers.after(ms, again);
  });
  return () => cancel();
}
