/**
 * The embedded MQTT broker (aedes), for `npm start` and for a bridge without a site broker.
 *
 * It holds no message across a restart, and nothing depends on that. It listens on loopback unless
 * told otherwise, knows no TLS, and keeps topics apart by client id: enough for one machine, while
 * a site runs Mosquitto with certificates.
 */
import { type Server, createServer } from 'node:net';
import { Aedes } from 'aedes';
import { OperatorError } from '../errors.ts';
import { ENVELOPE_BYTES_MAX } from '../limits.ts';
import { BRIDGE_CLIENT, VERSION, downFilter, isName, stateTopic } from '../topics.ts';

export type EmbeddedBroker = Readonly<{ url: string; close: () => Promise<void> }>;

/** A message that the broker took from a client, or passes on to one. */
export type Passing = Readonly<{
  client: string;
  way: 'in' | 'out';
  topic: string;
  payload: Uint8Array;
}>;

/**
 * Starts the broker; port 0 takes a free one. The bridge's client id may read and write every
 * topic, and only with the password. `watch` sees every message, for a simulator that shows them.
 * Throws OperatorError `address` for a busy port.
 */
export async function startBroker(
  options: Readonly<{
    host: string;
    port: number;
    bridgePassword: string;
    watch?: (passing: Passing) => void;
  }>,
): Promise<EmbeddedBroker> {
  const see = (way: Passing['way'], client: string, packet: Packet) =>
    options.watch?.({
      ...{ client, way, topic: packet.topic },
      payload: Uint8Array.from(Buffer.from(packet.payload)),
    });
  const aedes = await Aedes.createBroker({
    authenticate(client, _username, password, done) {
      const isBridge = client.id === BRIDGE_CLIENT;
      const isAllowed = isBridge
        ? password?.toString() === options.bridgePassword
        : isName(client.id);
      done(null, isAllowed);
    },
    authorizePublish(client, packet, done) {
      const isTooLarge = packet.payload.length > ENVELOPE_BYTES_MAX;
      const isState = packet.topic === stateTopic(client?.id ?? '');
      const mayWrite =
        client?.id === BRIDGE_CLIENT ||
        packet.topic.startsWith(`${VERSION}/${client?.id}/up/`) ||
        isState;
      // A payment is never retained; what a device says of itself is.
      if (mayWrite && !isTooLarge && (isState || !packet.retain)) {
        see('in', client?.id ?? '', packet);
        return done(null);
      }
      done(new Error('not this client’s topic, too large, or retained'));
    },
    authorizeSubscribe(client, subscription, done) {
      const { topic } = subscription;
      const mayRead =
        client.id === BRIDGE_CLIENT ||
        topic === downFilter(client.id) ||
        (topic.startsWith(`${VERSION}/`) && /^[\w-]+\/tick$/.test(topic.slice(VERSION.length + 1)));
      done(null, mayRead ? subscription : null);
    },
  });
  if (options.watch) {
    aedes.authorizeForward = (client, packet) => {
      see('out', client.id, packet);
      return packet;
    };
  }
  const server = createServer({ noDelay: true }, (socket) => void aedes.handle(socket));
  const port = await listen(server, options.host, options.port).catch((error: unknown) => {
    aedes.close(); // Its heartbeat would keep the failed program alive.
    throw error;
  });
  return {
    url: `mqtt://${options.host}:${port}`,
    close: () =>
      new Promise((done) => {
        aedes.close(() => server.close(() => done()));
      }),
  };
}

type Packet = Readonly<{ topic: string; payload: string | Buffer }>;

function listen(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const why = cause.code === 'EADDRINUSE' ? 'is in use by another program' : cause.message;
      const say = `port ${port} on ${host} ${why}: stop it, or choose another mqtt port`;
      reject(new OperatorError('address', say, { cause }));
    });
    server.listen(port, host, () => {
      const address = server.address();
      resolve(address && typeof address === 'object' ? address.port : port);
    });
  });
}
