/**
 * The MQTT link: MQTT.js without its queues.
 *
 * A message that cannot be sent now is dropped here, because whoever sends it keeps it in a store
 * of its own and sends it again; MQTT.js would replay its memory one message per round trip after
 * a reconnect, and lose it with the process. TCP_NODELAY is set on every connection: without it
 * each exchange waits 43 ms for a delayed acknowledgement.
 */
import { MqttClient } from 'mqtt';
import {
  ENVELOPE_BYTES_MAX,
  LINK_CLOSE_MS,
  MQTT_CONNECT_MS,
  MQTT_INFLIGHT_MAX,
  MQTT_KEEPALIVE_S,
  MQTT_RECONNECT_MS,
} from '../limits.ts';
import { within } from '../patience.ts';
import type { Connect, Link, LinkEvents, LinkOptions } from '../platform.ts';
import { timers } from './platform.ts';
import { CLOSED_AT_ONCE, openStream, parseBrokerUrl, requireTls } from './stream.ts';

const ENDED = 'the connection ended';

/**
 * Connects, and connects again for ever, until closed. Throws OperatorError `config` for a URL that
 * is no MQTT URL and for key and certificates that cannot be used.
 */
export const connectLink: Connect = (options: LinkOptions, events: LinkEvents): Link => {
  const address = parseBrokerUrl(options.url);
  const tls = () => options.tls?.() ?? {};
  if (address.isSecure) requireTls(tls());
  let lastError = 'connecting';
  const will = () => {
    if (!options.will) return undefined;
    const { topic, payload } = options.will();
    return { topic, payload: Buffer.from(payload), qos: 1, retain: true } as const;
  };
  const firstWill = will();
  const open = () => {
    lastError = address.isSecure ? CLOSED_AT_ONCE : ENDED;
    return openStream(address, tls, (why) => (lastError = why));
  };
  const client = new MqttClient(open, {
    ...(firstWill && { will: firstWill }),
    clientId: options.clientId,
    username: options.clientId,
    ...(options.password !== undefined && { password: options.password }),
    protocolVersion: 4,
    clean: true,
    keepalive: MQTT_KEEPALIVE_S,
    reconnectPeriod: MQTT_RECONNECT_MS,
    connectTimeout: MQTT_CONNECT_MS,
    queueQoSZero: false,
    // All 65,536 numbers as bytes beforehand: 9 MB, and a tenth of a small device's start.
    writeCache: false,
    resubscribe: false,
  });
  let isUp = false;
  let inFlight = 0;

  client.on('reconnect', () => {
    // MQTT.js reads its options anew for every connection.
    const next = will();
    if (next) client.options.will = next;
  });
  client.on('connect', () => {
    lastError = ENDED;
    const filters = Object.fromEntries(
      options.subscriptions.map(({ topic, qos }) => [topic, { qos }]),
    );
    client.subscribe(filters, (error, granted) => {
      // 128: the broker refused this filter (MQTT 3.1.1 §3.9.3).
      const refused = granted?.find(({ qos }) => (qos as number) === 128);
      if (error || refused) {
        lastError = refused ? `the broker refused ${refused.topic}` : String(error?.message);
        // Not client.reconnect(): that tries again at once, thousands of times in a second. A
        // connection that breaks is made again after the pause.
        client.stream.destroy();
        return;
      }
      isUp = true;
      events.state('up', 'connected and subscribed');
    });
  });
  client.on('message', (topic, payload) => {
    if (payload.length > ENVELOPE_BYTES_MAX) return;
    events.message(topic, Uint8Array.from(payload));
  });
  client.on('error', (error) => {
    // What broke the stream has been put into words already; MQTT's own reasons are numbers.
    if (!('code' in error && typeof error.code === 'string')) lastError = error.message;
  });
  client.on('close', () => {
    isUp = false;
    inFlight = 0;
    // What was in flight is ours to send again, not the library's.
    const { outgoing } = client as unknown as { outgoing: Record<string, unknown> };
    for (const id of Object.keys(outgoing)) client.removeOutgoingMessage(Number(id));
    events.state('down', lastError);
  });

  return {
    publish(topic, payload, qos, retain) {
      if (!isUp || inFlight >= MQTT_INFLIGHT_MAX) return;
      inFlight++;
      // Buffer, because MQTT.js takes nothing else; it is a view, not a copy.
      const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
      client.publish(topic, bytes, { qos, retain: retain !== undefined }, () => {
        inFlight = Math.max(0, inFlight - 1);
      });
    },
    renew: () => void client.stream.destroy(),
    async close() {
      // DISCONNECT takes the will back (MQTT 3.1.1 §3.14.4); a broker that is gone gets none.
      const force = !isUp;
      await within(timers, LINK_CLOSE_MS, client.endAsync(force));
      client.stream.destroy();
    },
  };
};
