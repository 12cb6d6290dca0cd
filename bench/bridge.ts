/**
 * The whole bridge, composed for measuring in a process of its own: real signatures, windows,
 * evidence and SQLite with a synced commit before each receipt; risk and backend answer in this
 * process, because what other programs cost is not the bridge's.
 */
import { join } from 'node:path';
import { createBridge } from '../broker/bridge.ts';
import { createIdentities } from '../broker/identities.ts';
import { createSqliteStore } from '../broker/store/sqlite.ts';
import { createNonces } from '../broker/tick.ts';
import { takeMandate } from '../broker/mandates.ts';
import type { Backend } from '../broker/backends/port.ts';
import { startServices } from './services.ts';
import type { Disk } from '../src/node/durability.ts';
import { connectLink } from '../src/node/link.ts';
import { clock, random, timers } from '../src/node/platform.ts';
import { openDatabase } from '../src/node/sqlite.ts';
import { open } from '../src/objects/kind.ts';
import { policy as policyKind } from '../src/objects/policy.ts';
import { nodeSigner, readPrivatePem, readPublicPem } from '../src/signer.ts';
import { UP_FILTER } from '../src/topics.ts';
import { type BridgeSetting, REALM } from './plant.ts';

/**
 * A bridge at work on its broker; `riskMs` is how long the risk service thinks. `isWhole`: with the
 * real risk service and ledger in this process.
 */
export async function runBridge(
  setting: BridgeSetting,
  disk: Disk,
  riskMs: number,
  isWhole: boolean,
) {
  const root = readPublicPem(setting.root);
  const database = openDatabase(join(setting.folder, 'bridge.db'), disk);
  const commitsMs: number[] = [];
  const timed = {
    ...database,
    async commit<T>(run: () => T): Promise<T> {
      const start = performance.now();
      const result = await database.commit(run);
      commitsMs.push(performance.now() - start);
      return result;
    },
  };
  const store = createSqliteStore(timed, timers, random);
  const identities = createIdentities(store, REALM, root, clock);
  for (const statement of setting.statements) await identities.enrol(statement);
  const { funding, wallet } = setting;
  const services = isWhole ? startServices(setting.folder, { funding, wallet }) : undefined;
  const backends = [services?.backend ?? instantBackend()];
  for (const mandate of setting.mandates) {
    await takeMandate({ store, identities, backends }, mandate, clock.nowMs());
  }
  const nonces = createNonces(random(32), 1);
  const allowed = { kind: 'decided', decision: 'allow', score: 0, reasons: [], model: '' } as const;
  const bridge = createBridge({
    realm: REALM,
    store,
    identities,
    risk: services?.risk ?? {
      assess: async () => {
        if (riskMs > 0) await new Promise<void>((done) => timers.after(riskMs, done));
        return allowed;
      },
    },
    backends,
    signer: nodeSigner(readPrivatePem(setting.bridgeKey)),
    rules: {
      policies: [open(policyKind, setting.policy, REALM, () => root).value],
      isFresh: nonces.isFresh,
    },
    nonces,
    owner: 'bench',
    clock,
    timers,
    log: (level, event, fields) => {
      if (level === 'error') console.error(event, fields);
    },
    send: (topic, payload, qos) => link.publish(topic, payload, qos),
  });
  let isReady = (): void => {};
  const up = new Promise<void>((resolve) => (isReady = resolve));
  const link = connectLink(
    {
      url: setting.broker.url,
      clientId: 'bridge',
      password: setting.broker.password,
      subscriptions: [{ topic: UP_FILTER, qos: 1 }],
    },
    { message: bridge.receive, state: (state) => state === 'up' && isReady() },
  );
  await up;
  return {
    nonce: nonces.at(clock.nowMs()),
    /** How long each commit took since the last time this was asked, ms. */
    commitsMs: () => commitsMs.splice(0),
    async stop() {
      await bridge.close();
      await link.close();
      await store.close();
      services?.close();
    },
  };
}

function instantBackend(): Backend {
  const done = async () => ({ kind: 'done', outcome: 'captured', reference: 'instant' }) as const;
  return {
    name: 'instant',
    capabilities: {
      resolvesBy: 'replay',
      keyForMs: Infinity,
      pollMs: 250,
      cancel: { unseen: 'bars', captured: 'refuses', forMs: Infinity },
      notifies: false,
    },
    authorise: done,
    capture: done,
    void: done,
    refund: done,
    query: done,
    parseNotification: () => undefined,
    fundingLinked: async () => true,
  };
}
