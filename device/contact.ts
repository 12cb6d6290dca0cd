/**
 * Whether the bridge hears a device and is heard, for the doctor: over the metrics of a device that
 * runs, or in the place of one that does not, by the question that every start begins with.
 */
import { bytesEqual } from '../src/bytes.ts';
import { readMetrics } from '../src/checks.ts';
import type { Realm, Signer } from '../src/cose.ts';
import { type Verdict, ok, unchecked, wrong } from '../src/doctor.ts';
import { PaymentError } from '../src/errors.ts';
import { loadKey } from '../src/keys.ts';
import { MQTT_CONNECT_MS, TICK_ANSWER_MS } from '../src/limits.ts';
import type { KeyStatement } from '../src/objects/key.ts';
import { open, seal } from '../src/objects/kind.ts';
import { query as queryKind } from '../src/objects/query.ts';
import { type Tick, tick as tickKind } from '../src/objects/tick.ts';
import { within } from '../src/patience.ts';
import type { Clock, Connect, Http, Random, Timers, Tls } from '../src/platform.ts';
import { downFilter, tickTopic, upTopic } from '../src/topics.ts';
import type { DeviceConfig } from './config.ts';

export type ContactPorts = Readonly<{
  clock: Clock;
  timers: Timers;
  random: Random;
  connect: Connect;
  http: Http;
}>;

/**
 * How far the bridge's clock is ahead of ours, in ms; or why the broker did not let us in; or what
 * is to be said of the bridge.
 */
export type Contact = Readonly<{ offMs: number }> | Readonly<{ keptOut: string }> | Verdict;

/** A running device tells by its metrics whether it can pay. */
export async function askRunning(
  config: Pick<DeviceConfig, 'metrics'>,
  { http }: Pick<ContactPorts, 'http'>,
): Promise<Verdict> {
  const port = config.metrics?.port ?? 0;
  if (port === 0) {
    return unchecked('the device runs and holds the connection; metrics: {port: …} would tell');
  }
  const told = await readMetrics(http, port);
  if (told('device_link_ready') === '1') return ok('the running device hears it');
  return told('device_broker_connected') === '1'
    ? wrong('the running device reaches the broker, and hears nothing of the bridge', START_IT)
    : wrong('the running device does not reach the broker', 'its log says why');
}

const START_IT =
  'start the bridge; if it runs, it may not know this key: see saytap device list there';

/** Logs in as the device, which must not be running, and asks for the time. Publishes no more. */
export async function askBridge(
  asked: Readonly<{
    device: string;
    url: string;
    realm: Realm;
    signer: Signer;
    /** The statements of the bridge's keys. */
    bridges: readonly KeyStatement[];
    tls: () => Tls;
  }>,
  { connect, random, timers, clock }: ContactPorts,
): Promise<Contact> {
  const { device, url, realm, signer, tls } = asked;
  const echo = random(16);
  const keys = asked.bridges.map(({ key }) => loadKey(key));
  const answered = Promise.withResolvers<Tick>();
  const refused = Promise.withResolvers<string | undefined>();
  const link = connect(
    {
      ...{ url, tls, clientId: device },
      subscriptions: [
        { topic: downFilter(device), qos: 1 },
        { topic: tickTopic(realm.ledger), qos: 0 },
      ],
    },
    {
      message: (_topic, payload) => {
        const tick = tickOf(payload);
        if (tick?.echo && bytesEqual(tick.echo, echo)) answered.resolve(tick);
      },
      state: (state, why) => refused.resolve(state === 'up' ? undefined : why),
    },
  );

  function tickOf(payload: Uint8Array): Tick | undefined {
    try {
      const findKey = (kid: Uint8Array) => keys.find((key) => bytesEqual(key.kid, kid));
      return open(tickKind, payload, realm, findKey).value;
    } catch (error) {
      if (!(error instanceof PaymentError)) throw error;
      return undefined; // Another answer, or somebody else's word.
    }
  }

  try {
    const login = await within(
      timers,
      MQTT_CONNECT_MS,
      refused.promise.then((why) => ({ why })),
    );
    if (!login || login.why !== undefined) {
      return { keptOut: login?.why ?? `no answer in ${MQTT_CONNECT_MS / 1000} s` };
    }
    const boot = await seal(queryKind, { question: 'boot', echo }, realm, signer);
    link.publish(upTopic(device, 'query'), boot, 1);
    const tick = await within(timers, TICK_ANSWER_MS, answered.promise);
    if (!tick) return wrong('the broker lets it in, but the bridge does not answer', START_IT);
    return { offMs: tick.iat * 1000 - clock.nowMs() };
  } finally {
    await link.close();
  }
}
