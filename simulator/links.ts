/**
 * Links to the broker of a world, with the promises and failures of src/node/link.ts.
 *
 * A link is one connection after the other, until it is closed. What is published while there is
 * none is dropped, and so is what was under way when one broke: whoever sends keeps it in a store
 * of its own and sends it again.
 */
import { OperatorError } from '../src/errors.ts';
import {
  ENVELOPE_BYTES_MAX,
  LINK_CLOSE_MS,
  MQTT_CONNECT_MS,
  MQTT_INFLIGHT_MAX,
  MQTT_RECONNECT_MS,
} from '../src/limits.ts';
import type { Connect, Link, LinkEvents, LinkOptions } from '../src/platform.ts';
import { type Broker, ENDED, createBroker } from './broker.ts';
import { type Connection, type Connections, createConnections } from './connection.ts';
import type { Attached, Ways } from './ways.ts';

export type Links = Readonly<{
  connectFrom: (host: string, life: Attached) => Connect;
  end: (host: string, how: 'killed' | 'power cut') => void;
  wayChanged: () => void;
  restartBroker: (downMs: number) => void;
  /** As if somebody who may had sent it to the broker. */
  insert: (topic: string, payload: Uint8Array) => void;
}>;

/** Links to the broker on host `name`. */
export function createLinks(ways: Ways, name: string, bridgePassword: string | undefined): Links {
  const { nowMs } = ways;
  const connections = createConnections(ways, name);
  const broker = createBroker(connections, bridgePassword);
  let backMs = 0;

  return Object.freeze({
    connectFrom: (host, life) => (options, events) => {
      requireUrl(options.url);
      const reach = { ways, connections, broker, name, isAway: () => nowMs() < backMs };
      return connectLink(reach, host, life, options, events);
    },
    end: connections.end,
    wayChanged: connections.wayChanged,
    insert: broker.insert,
    restartBroker(downMs) {
      backMs = nowMs() + downMs;
      broker.fall();
    },
  });
}

type Reach = Readonly<{
  ways: Ways;
  connections: Connections;
  broker: Broker;
  name: string;
  isAway: () => boolean;
}>;

function connectLink(
  { ways, connections, broker, name, isAway }: Reach,
  host: string,
  life: Attached,
  options: LinkOptions,
  events: LinkEvents,
): Link {
  const { chance, after, nowMs, latencyMs } = ways;
  const { send, carry, leave, isReached } = connections;
  let connection: Connection | undefined;
  let isUp = false;
  let isClosed = false;
  let cancelAttempt = after(0, life.callback(attempt));

  function attempt(): void {
    const will = options.will?.();
    try {
      options.tls?.();
    } catch (error) {
      return ended((error as Error).message);
    }
    const me = open(will);
    connection = me;
    // TCP, CONNECT and SUBSCRIBE: two and a half times there and back.
    const ms = 3 * latencyMs(host, name) + 2 * latencyMs(name, host);
    me.up.atMs = nowMs() + ms;
    if (!isReached(me, 'up') || !isReached(me, 'down')) {
      const isTold = chance.happens(TOLD_SHARE);
      const why = isTold ? 'connect EHOSTUNREACH' : 'connack timeout';
      after(isTold ? ms : MQTT_CONNECT_MS, () => me.broke(why));
      return;
    }
    after(ms, () => {
      if (!me.isAtClient && !me.isEnding) return;
      if (isAway()) send(me, 'down', () => me.broke('connect ECONNREFUSED'));
      else if (isReached(me, 'up')) broker.accept(me);
      else after(MQTT_CONNECT_MS - ms, () => me.broke('connack timeout'));
    });
  }

  function open(will: Connection['will']): Connection {
    const me = connections.open({
      host,
      options,
      will,
      missed: () => broker.missed(me),
      subscribed(refused) {
        if (!me.isAtClient) return;
        if (refused !== undefined) return me.broke(`the broker refused ${refused}`);
        isUp = true;
        events.state('up', 'connected and subscribed');
      },
      heard(topic, payload) {
        if (!me.isAtClient || payload.length > ENVELOPE_BYTES_MAX) return;
        events.message(topic, Uint8Array.from(payload));
      },
      broke(why) {
        if (!me.isAtClient) return;
        leave(me);
        ended(why);
      },
    });
    return me;
  }

  function ended(why: string): void {
    connection = undefined;
    isUp = false;
    if (!isClosed) cancelAttempt = after(MQTT_RECONNECT_MS, life.callback(attempt));
    events.state('down', why);
  }

  /** DISCONNECT takes the will back; resolves when it was read, or after LINK_CLOSE_MS. */
  function sayGoodbye(me: Connection): Promise<void> {
    return new Promise((resolve) => {
      const cancel = after(LINK_CLOSE_MS, resolve);
      send(me, 'up', () => {
        me.will = undefined;
        broker.missed(me);
        cancel();
        resolve();
      });
    });
  }

  return Object.freeze({
    publish(topic, payload, _qos, retain) {
      if (!connection || !isUp) return;
      const me = connection;
      // More than that without an acknowledgement are not kept.
      if (me.up.held.length >= MQTT_INFLIGHT_MAX) return;
      const bytes = Uint8Array.from(payload);
      carry(me, 'up', { topic, payload: bytes }, () => broker.receive(me, topic, bytes, retain));
    },
    renew() {
      if (!connection) return;
      const me = connection;
      leave(me);
      after(
        0,
        life.callback(() => {
          if (me === connection) ended(ENDED);
        }),
      );
    },
    async close() {
      cancelAttempt();
      isClosed = true;
      if (!connection) return;
      const me = connection;
      if (isUp) await sayGoodbye(me);
      if (life.isDead()) await new Promise(() => {}); // It never hears of it.
      if (me === connection) me.broke(ENDED);
    },
  });
}

/** Of attempts over a way that is cut, those that the next router answers. */
const TOLD_SHARE = 0.5;

function requireUrl(url: string): void {
  if (/^mqtts?:\/\/[^/\s@]+\/?$/.test(url)) return;
  throw new OperatorError('config', `${url} is not like mqtt://host:1883`);
}
