/**
 * Connections between the clients and the broker of a world: what is under way on them, and how
 * each end learns that the other is gone.
 *
 * As in TCP, a direction keeps its order and loses nothing while both ends hold the connection for
 * open: what meets a way that is cut waits until it is open again. Only a message that the network
 * delays or repeats leaves the order.
 */
import { MQTT_KEEPALIVE_S } from '../src/limits.ts';
import type { LinkOptions, Retained } from '../src/platform.ts';
import type { Fate } from './observed.ts';
import type { Ways } from './ways.ts';

export type Way = 'up' | 'down';

export type Connection = {
  readonly host: string;
  readonly options: LinkOptions;
  will: Retained | undefined;
  readonly up: Lane;
  readonly down: Lane;
  /** Whether this end holds it for open. */
  isAtClient: boolean;
  isAtBroker: boolean;
  /** The client has ended it, which is on its way to the broker. */
  isEnding: boolean;
  /** The client is gone without a word. */
  isSilent: boolean;
  brokerGivesUp: (() => void) | undefined;
  clientGivesUp: (() => void) | undefined;
  /** What reaches the broker: the end of it. */
  readonly missed: () => void;
  /** What reaches the client: its filters are in force or one is refused, messages, the end. */
  readonly subscribed: (refused: string | undefined) => void;
  readonly heard: (topic: string, payload: Uint8Array) => void;
  readonly broke: (why: string) => void;
};

/** One direction: when the last message arrives, and what waits for the way to be open. */
export type Lane = { atMs: number; readonly held: (() => void)[] };

export type Connections = Readonly<{
  open: (
    made: Pick<
      Connection,
      'host' | 'options' | 'will' | 'missed' | 'subscribed' | 'heard' | 'broke'
    >,
  ) => Connection;
  isReached: (connection: Connection, way: Way) => boolean;
  /** Lets something arrive, after all that was sent before. */
  send: (connection: Connection, way: Way, arrive: () => void) => void;
  /** A message, with what befalls it on the way. */
  carry: (
    connection: Connection,
    way: Way,
    message: Readonly<{ topic: string; payload: Uint8Array }>,
    arrive: () => void,
  ) => void;
  /** Call when an end has changed its mind: who hears nothing for too long gives up. */
  watch: (connection: Connection) => void;
  /** The client ends it; the broker is told, after all that was sent before. */
  leave: (connection: Connection) => void;
  /** The client is gone: its system says so, or nobody does and what had not left is gone too. */
  end: (host: string, how: 'killed' | 'power cut') => void;
  /** Some hosts reach each other now that did not before, or the other way round. */
  wayChanged: () => void;
  all: ReadonlySet<Connection>;
}>;

/** Connections to the broker on host `name`. */
export function createConnections(ways: Ways, name: string): Connections {
  const { chance, after, nowMs, isOpen, latencyMs, observe } = ways;
  /** Those that at least one end holds for open. */
  const all = new Set<Connection>();

  const ends = (host: string, way: Way) =>
    (way === 'up' ? [host, name] : [name, host]) as [string, string];
  const isReached = ({ host }: Connection, way: Way) => isOpen(...ends(host, way));

  function send(connection: Connection, way: Way, arrive: () => void): void {
    const lane = connection[way];
    lane.atMs = Math.max(lane.atMs, nowMs() + latencyMs(...ends(connection.host, way)));
    after(lane.atMs - nowMs(), () => pass(connection, way, arrive));
  }

  function pass(connection: Connection, way: Way, arrive: () => void): void {
    const { held } = connection[way];
    if (held.length > 0 || !isReached(connection, way)) held.push(arrive);
    else arrive();
  }

  function leave(connection: Connection): void {
    connection.isAtClient = false;
    connection.isEnding = true;
    connection.down.held.length = 0;
    send(connection, 'up', connection.missed);
    watch(connection);
  }

  function vanish(connection: Connection): void {
    connection.isAtClient = false;
    connection.isSilent = true;
    connection.up.held.length = 0;
    watch(connection);
  }

  function watch(connection: Connection): void {
    const { isAtBroker, isAtClient, isSilent, missed } = connection;
    const isUp = isReached(connection, 'up') && !isSilent;
    const isDown = isReached(connection, 'down');
    if (!isAtBroker || isUp) connection.brokerGivesUp = cancelled(connection.brokerGivesUp);
    else connection.brokerGivesUp ??= patience(missed);
    if (!isAtClient || (isUp && isDown && isAtBroker)) {
      connection.clientGivesUp = cancelled(connection.clientGivesUp);
    } else connection.clientGivesUp ??= patience(() => connection.broke('keepalive timeout'));
    if (!isAtBroker && !isAtClient) all.delete(connection);
  }

  /** The last ping was at most one keep-alive ago, and one and a half are the limit. */
  function patience(giveUp: () => void): () => void {
    return after(chance.between(MQTT_KEEPALIVE_S * 500, MQTT_KEEPALIVE_S * 1_500), giveUp);
  }

  return Object.freeze({
    open(made) {
      const connection: Connection = {
        ...made,
        up: { atMs: 0, held: [] },
        down: { atMs: 0, held: [] },
        isAtClient: true,
        isAtBroker: false,
        isEnding: false,
        isSilent: false,
        brokerGivesUp: undefined,
        clientGivesUp: undefined,
      };
      all.add(connection);
      return connection;
    },
    isReached,
    send,
    carry(connection, way, { topic, payload }, arrive) {
      const { clientId } = connection.options;
      const [from, to] = ends(connection.host, way);
      const { isLost, laterMs, againMs } = ways.passage(from, to);
      const [sender, reader] = ends(clientId, way);
      const see = (fate: Fate) =>
        observe({ what: 'wire', from: sender, to: reader, topic, bytes: payload, fate });
      const late = (ms: number) => after(ms, () => pass(connection, way, arrive));
      if (isLost) return see('lost');
      see(laterMs === undefined && isReached(connection, way) ? 'delivered' : 'delayed');
      if (laterMs === undefined) send(connection, way, arrive);
      else late(laterMs + latencyMs(from, to));
      if (againMs === undefined) return;
      see('repeated');
      late(againMs + (laterMs ?? 0) + latencyMs(from, to));
    },
    watch,
    leave,
    end(host, how) {
      for (const connection of all) {
        if (connection.host !== host || !connection.isAtClient) continue;
        if (how === 'killed') leave(connection);
        else vanish(connection);
      }
    },
    wayChanged() {
      for (const connection of all) {
        watch(connection);
        for (const way of ['up', 'down'] as const) {
          const { held } = connection[way];
          if (held.length === 0 || !isReached(connection, way)) continue;
          // TCP tries again with growing pauses.
          after(chance.between(0, RETRANSMIT_MS), () => {
            for (const arrive of held.splice(0)) pass(connection, way, arrive);
          });
        }
      }
    },
    all,
  });
}

const RETRANSMIT_MS = 2_000;

function cancelled(timer: (() => void) | undefined): undefined {
  timer?.();
  return undefined;
}
