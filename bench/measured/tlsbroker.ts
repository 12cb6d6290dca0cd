/**
 * aedes as src/node/broker.ts embeds it, with TLS 1.3 for the devices: what a site has in front of
 * the bridge, measured together with it. The bridge itself connects by loopback.
 */
import { type AddressInfo, type Server, createServer } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { Aedes } from 'aedes';
import { downFilter } from '../../src/topics.ts';
import type { Certificate } from '../certificate.ts';

export type TlsBroker = Readonly<{
  /** For the devices. */
  url: string;
  /** For the bridge. */
  inside: string;
  password: string;
  close: () => Promise<void>;
}>;

export async function startTlsBroker(certificate: Certificate): Promise<TlsBroker> {
  const aedes = await Aedes.createBroker({
    authorizePublish(client, packet, done) {
      const mayWrite =
        client?.id === 'bridge' || packet.topic.startsWith(`saytap/1/${client?.id}/up/`);
      done(mayWrite ? null : new Error('not this client’s topic'));
    },
    authorizeSubscribe(client, subscription, done) {
      const mayRead = client.id === 'bridge' || subscription.topic === downFilter(client.id);
      done(null, mayRead ? subscription : null);
    },
  });
  const options = { ...certificate, minVersion: 'TLSv1.3', noDelay: true } as const;
  const outside = createTlsServer(options, (socket) => void aedes.handle(socket));
  const inside = createServer({ noDelay: true }, (socket) => void aedes.handle(socket));
  return {
    url: `mqtts://localhost:${await portOf(outside)}`,
    inside: `mqtt://127.0.0.1:${await portOf(inside)}`,
    password: '',
    close: () => new Promise((done) => aedes.close(() => done())),
  };
}

async function portOf(server: Server): Promise<number> {
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return (server.address() as AddressInfo).port;
}
