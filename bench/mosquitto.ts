/** Mosquitto as a site runs it, with TLS for the devices and loopback for the bridge, measured. */
import { spawn } from 'node:child_process';
import { accessSync, constants, readFileSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { delimiter, join } from 'node:path';
import type { Certificate } from './certificate.ts';

export type Mosquitto = Readonly<{
  /** For the devices, and for the bridge. */
  url: string;
  inside: string;
  cpuUs: () => Promise<number>;
  close: () => Promise<void>;
}>;

/** Starts it with its files in `folder`; undefined where it is not installed. */
export async function startMosquitto(
  folder: string,
  certificate: Certificate,
): Promise<Mosquitto | undefined> {
  const path = find();
  if (path === undefined) return undefined;
  const outside = await freePort();
  const inside = await freePort();
  const at = (name: string) => join(folder, name);
  writeFileSync(at('broker.crt'), certificate.cert);
  writeFileSync(at('broker.pem'), certificate.key, { mode: 0o600 });
  const lines = [
    'per_listener_settings false',
    'allow_anonymous true',
    'persistence false',
    'set_tcp_nodelay true',
    'max_queued_messages 0',
    'max_inflight_messages 0',
    'log_type none',
    ...(process.getuid?.() === 0 ? ['user root'] : []), // It would read the key as another user.
    `listener ${inside} 127.0.0.1`,
    `listener ${outside} 127.0.0.1`,
    `certfile ${at('broker.crt')}`,
    `keyfile ${at('broker.pem')}`,
    'tls_version tlsv1.3',
    '',
  ];
  writeFileSync(at('mosquitto.conf'), lines.join('\n'));
  const child = spawn(path, ['-c', at('mosquitto.conf')], { stdio: 'ignore' });
  const ended = new Promise<void>((done) => child.once('exit', () => done()));
  await accepts(outside);
  return {
    url: `mqtts://localhost:${outside}`,
    inside: `mqtt://127.0.0.1:${inside}`,
    // Time on a processor in nanoseconds; one thread does all the work.
    cpuUs: async () =>
      Number(readFileSync(`/proc/${child.pid}/schedstat`, 'utf8').split(' ')[0]) / 1000,
    async close() {
      child.kill();
      await ended;
    },
  };
}

function find(): string | undefined {
  if (process.platform !== 'linux') return undefined;
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin'];
  return folders
    .map((folder) => join(folder, 'mosquitto'))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((done) => server.close(() => done()));
  return port;
}

async function accepts(port: number): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const isOpen = await new Promise<boolean>((done) => {
      const socket = connect(port, '127.0.0.1', () => {
        socket.destroy();
        done(true);
      });
      socket.once('error', () => done(false));
    });
    if (isOpen) return;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error('mosquitto does not listen');
}
