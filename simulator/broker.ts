/**
 * The MQTT 3.1.1 broker of a world, as the embedded one is (src/node/broker.ts): clean sessions,
 * one per client id, topics kept apart by client id, retained messages and wills.
 *
 * Who connects with a client id that is taken throws the other off. A will is published when the
 * broker misses its client: at once when the connection was ended by the client's system, after the
 * keep-alive when there was no word, and never after DISCONNECT.
 */
import { ENVELOPE_BYTES_MAX } from '../src/limits.ts';
import { BRIDGE_CLIENT, VERSION, downFilter, isName, stateTopic } from '../src/topics.ts';
import type { Connection, Connections } from './connection.ts';

export type Broker = Readonly<{
  /** A client has said CONNECT and SUBSCRIBE on a connection. */
  accept: (connection: Connection) => void;
  receive: (
    connection: Connection,
    topic: string,
    payload: Uint8Array,
    retain: 'retain' | undefined,
  ) => void;
  /** Hands it to whoever listens, as if somebody who may had sent it. */
  insert: (topic: string, payload: Uint8Array) => void;
  /** A connection is over, for whatever reason: the session ends, the will is published. */
  missed: (connection: Connection) => void;
  /** It is gone with all that it kept and carried, wills included, and is back when told to be. */
  fall: () => void;
}>;

export function createBroker(
  { send, carry, watch, all }: Connections,
  bridgePassword: string | undefined,
): Broker {
  const sessions = new Map<string, Connection>();
  const retained = new Map<string, Uint8Array>();
  /** Who hears a topic; made anew when anybody comes or goes. */
  const audiences = new Map<string, readonly Connection[]>();

  function missed(connection: Connection): void {
    if (!connection.isAtBroker) return;
    forget(connection);
    const { will } = connection;
    if (will) publish(will.topic, will.payload, 'retain');
    tellEnd(connection, ENDED);
  }

  function forget(connection: Connection): void {
    const { clientId } = connection.options;
    connection.isAtBroker = false;
    if (sessions.get(clientId) === connection) sessions.delete(clientId);
    audiences.clear();
    watch(connection);
  }

  function tellEnd(connection: Connection, why: string): void {
    if (connection.isAtClient) send(connection, 'down', () => connection.broke(why));
  }

  function publish(topic: string, payload: Uint8Array, retain: 'retain' | undefined): void {
    // An empty one is kept by nobody [MQTT-3.3.1-10].
    if (retain && payload.length > 0) retained.set(topic, payload);
    else if (retain) retained.delete(topic);
    for (const connection of audienceOf(topic)) deliver(connection, topic, payload);
  }

  function audienceOf(topic: string): readonly Connection[] {
    const known = audiences.get(topic);
    if (known) return known;
    const audience = [...sessions.values()].filter(({ options }) =>
      options.subscriptions.some((each) => matches(each.topic, topic)),
    );
    audiences.set(topic, audience);
    return audience;
  }

  function deliver(connection: Connection, topic: string, payload: Uint8Array): void {
    carry(connection, 'down', { topic, payload }, () => connection.heard(topic, payload));
  }

  return Object.freeze({
    accept(connection: Connection) {
      const { clientId, password, subscriptions } = connection.options;
      const isBridge = clientId === BRIDGE_CLIENT;
      const isAllowed = isBridge
        ? bridgePassword === undefined || password === bridgePassword
        : isName(clientId);
      if (!isAllowed) return tellEnd(connection, 'Connection refused: Not authorized');
      const before = sessions.get(clientId);
      if (before) missed(before);
      connection.isAtBroker = true;
      sessions.set(clientId, connection);
      audiences.clear();
      watch(connection);
      const filters = subscriptions.map(({ topic }) => topic);
      const refused = filters.find((filter) => !mayRead(clientId, filter));
      send(connection, 'down', () => connection.subscribed(refused));
      for (const [topic, payload] of retained) {
        if (filters.some((filter) => matches(filter, topic))) deliver(connection, topic, payload);
      }
    },
    receive(connection, topic, payload, retain) {
      if (!connection.isAtBroker) return;
      if (mayWrite(connection.options.clientId, topic, payload, retain)) {
        publish(topic, payload, retain);
      } else missed(connection);
    },
    insert: (topic, payload) => publish(topic, payload, undefined),
    missed,
    fall() {
      retained.clear();
      for (const connection of all) {
        if (!connection.isAtBroker) continue;
        forget(connection);
        tellEnd(connection, ENDED);
      }
    },
  });
}

export const ENDED = 'the connection ended';

function mayWrite(
  clientId: string,
  topic: string,
  payload: Uint8Array,
  retain: 'retain' | undefined,
): boolean {
  const isState = topic === stateTopic(clientId);
  const isOwn =
    clientId === BRIDGE_CLIENT || topic.startsWith(`${VERSION}/${clientId}/up/`) || isState;
  // A payment is never retained; what a device says of itself is.
  return isOwn && payload.length <= ENVELOPE_BYTES_MAX && (isState || !retain);
}

function mayRead(clientId: string, filter: string): boolean {
  return (
    clientId === BRIDGE_CLIENT ||
    filter === downFilter(clientId) ||
    (filter.startsWith(`${VERSION}/`) && /^[\w-]+\/tick$/.test(filter.slice(VERSION.length + 1)))
  );
}

/** MQTT 3.1.1 §4.7.1: + is one level, # at the end all that follow. */
function matches(filter: string, topic: string): boolean {
  if (filter === topic) return true;
  // Nearly all are another device's, which shows before anything is taken apart.
  const wild = filter.search(/.?[+#]/);
  if (wild < 0 || !topic.startsWith(filter.slice(0, wild))) return false;
  const [wanted, levels] = [filter.split('/'), topic.split('/')];
  for (const [at, level] of wanted.entries()) {
    if (level === '#') return true;
    if (levels[at] === undefined || (level !== '+' && level !== levels[at])) return false;
  }
  return wanted.length === levels.length;
}
