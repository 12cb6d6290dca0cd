/** A private Mosquitto in a process of its own. */
import { spawn } from 'node:child_process';
import { createConnection } from 'node:net';
import { expect } from 'vitest';

/** As root it would become another user, who can read none of the test's files. */
export const AS_WHO = process.getuid?.() === 0 ? ['user root'] : [];

export type Mosquitto = Readonly<{
  /** Reads its files anew. */
  reload: () => void;
  kill: () => Promise<void>;
}>;

/** Runs `program` with a configuration file; resolves once the port accepts connections. */
export async function startMosquitto(
  program: string,
  file: string,
  port: number,
): Promise<Mosquitto> {
  const child = spawn(program, ['-c', file], { stdio: 'ignore' });
  const gone = new Promise<void>((done) => child.once('exit', () => done()));
  await expect.poll(() => accepts(port), { timeout: 20_000 }).toBe(true);
  return {
    reload: () => void child.kill('SIGHUP'),
    async kill() {
      child.kill('SIGKILL');
      await gone;
    },
  };
}

function accepts(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = createConnection({ port, host: '127.0.0.1' }, () => {
      socket.destroy();
      done(true);
    });
    socket.once('error', () => done(false));
  });
}
