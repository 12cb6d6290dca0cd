/** A TCP proxy on loopback whose connections can die without a word, as behind a dead router. */
import { type AddressInfo, type Socket, connect, createServer } from 'node:net';

export type Proxy = Readonly<{
  port: number;
  /** Nothing passes any more on what is connected now, and nobody is told; later ones work. */
  stall: () => void;
  close: () => Promise<void>;
}>;

export async function startProxy(target: number): Promise<Proxy> {
  const open = new Set<Socket>();
  const server = createServer({ noDelay: true }, (near) => {
    const far = connect({ port: target, host: '127.0.0.1', noDelay: true });
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(from);
      from.on('error', () => to.destroy());
      from.on('close', () => open.delete(from));
      from.pipe(to);
    }
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    port: (server.address() as AddressInfo).port,
    stall() {
      for (const socket of open) socket.unpipe().pause();
    },
    close: () =>
      new Promise((done) => {
        for (const socket of open) socket.destroy();
        server.close(() => done());
      }),
  };
}
