/**
 * A Mosquitto of one's own, for as long as this program runs: loopback, no persistence, everybody
 * may do everything. For measuring, never for a site; that is `saytap broker config`.
 *
 * A shell stands between, whose standard input is ours: when this program ends, however that was,
 * the shell reads the end and takes the broker with it. Mosquitto alone would stay.
 */
import { spawn } from 'node:child_process';
import { accessSync, constants, readFileSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { OperatorError } from '../errors.ts';
import { BROKER_PACKET_BYTES_MAX, BROKER_QUEUE_MAX, CHILD_START_MS } from '../limits.ts';

export type Mosquitto = Readonly<{ pid: number; url: string; stop: () => Promise<void> }>;

/** Where Mosquitto is installed; undefined when it is not. Debian keeps servers in sbin. */
export function findMosquitto(): string | undefined {
  if (process.platform === 'win32') return undefined;
  return [...(process.env['PATH'] ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin']
    .filter((folder) => folder !== '')
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

/** Starts it with its configuration in `folder`. Throws OperatorError `failed`. */
export async function startMosquitto(path: string, folder: string): Promise<Mosquitto> {
  const port = await freePort();
  const config = join(folder, 'mosquitto.conf');
  const lines = [
    `listener ${port} 127.0.0.1`,
    'allow_anonymous true',
    'persistence false',
    // Without it each answer waits 43 ms for a delayed acknowledgement.
    'set_tcp_nodelay true',
    'max_inflight_messages 0',
    `max_queued_messages ${BROKER_QUEUE_MAX}`,
    `max_packet_size ${BROKER_PACKET_BYTES_MAX}`,
    'log_type none',
    // Started by root it would become another user, who may not read this folder.
    ...(process.getuid?.() === 0 ? ['user root'] : []),
    '',
  ];
  writeFileSync(config, lines.join('\n'), { mode: 0o600 });
  const shell = spawn('/bin/sh', ['-c', GUARD, path, config], {
    detached: true,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const ended = new Promise<void>((done) => shell.once('close', () => done()));
  const said = createInterface({ input: shell.stdout });
  const pid = await new Promise<number>((resolve) => {
    said.once('line', (line) => resolve(Number(line)));
    shell.once('error', () => resolve(NaN));
    shell.once('close', () => resolve(NaN));
  });
  const stop = async () => {
    shell.stdin.end();
    await ended;
  };
  if (Number.isNaN(pid) || !(await accepts(port, pid))) {
    await stop();
    throw new OperatorError('failed', `${path} does not start; try it with ${config}`);
  }
  return { pid, url: `mqtt://127.0.0.1:${port}`, stop };
}

/** `$0` is the program, `$1` its configuration. */
const GUARD =
  'exec 3<&0; "$0" -c "$1" </dev/null >/dev/null 2>&1 3<&- & ' +
  'echo $!; read -r _ <&3; kill $!; wait $!';

/** It may be taken again before Mosquitto has it; then Mosquitto does not start, and says so. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((done) => server.close(() => done()));
  return port;
}

async function accepts(port: number, pid: number): Promise<boolean> {
  for (let waitedMs = 0; waitedMs < CHILD_START_MS && !hasEnded(pid); waitedMs += LOOK_MS) {
    const isOpen = await new Promise<boolean>((done) => {
      const socket = connect(port, '127.0.0.1', () => {
        socket.destroy();
        done(true);
      });
      socket.once('error', () => done(false));
    });
    if (isOpen) return true;
    await new Promise((done) => setTimeout(done, LOOK_MS));
  }
  return false;
}

/** The shell has not asked yet what became of it: until then it is a zombie (proc(5)). */
function hasEnded(pid: number): boolean {
  try {
    return /^.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return false; // No /proc here, or gone already: then nobody accepts in time.
  }
}

const LOOK_MS = 50;
