/**
 * A TCP proxy on loopback that counts what passes in both directions, TLS records included, and
 * can be as far away as a network is: everything passes `oneWayMs` later, in its order.
 */
import { type AddressInfo, type Socket, connect, createServer } from 'node:net';

export type Proxy = Readonly<{ port: number; bytes: () => number; close: () => Promise<void> }>;

export async function startProxy(target: number, oneWayMs = 0): Promise<Proxy> {
  let bytes = 0;
  const open = new Set<Socket>();
  const server = createServer({ noDelay: true }, (near) => {
    const far = connect({ port: target, host: '127.0.0.1', noDelay: true });
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(from);
      from.on('data', (part) => (bytes += part.length));
      if (oneWayMs > 0) {
        // Timers of one length end in the order in which they began.
        from.on('data', (part) => setTimeout(() => to.write(part), oneWayMs));
        from.on('close', () => to.destroy());
        continue;
      }
      from.on('error', () => to.destroy());
      from.on('close', () => open.delete(from));
      from.pipe(to);
    }
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    port: (server.address() as AddressInfo).port,
    bytes: () => bytes,
    close: () =>
      new Promise((done) => {
        for (const socket of open) socket.destroy();
        server.close(() => done());
      }),
  };
}
