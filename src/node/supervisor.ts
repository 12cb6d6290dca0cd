/**
 * The service manager above this program (systemd, sd_notify(3)): told when the program is ready,
 * that it is alive, and that it ends.
 *
 * Node has no datagram sockets of the Unix domain, so each word goes through `systemd-notify`,
 * which the unit allows with NotifyAccess=all. Without NOTIFY_SOCKET nobody is told anything.
 */
import { execFile } from 'node:child_process';
import { SUPERVISOR_MS, WATCHDOG_MS } from '../limits.ts';

export type Supervisor = Readonly<{
  /**
   * The program works. From now on its life is told, as long as `isAlive` says so: who lets a
   * watchdog be fed by a timer alone learns nothing from it.
   */
  ready: (isAlive: () => boolean) => void;
  /** One line that `systemctl status` shows. */
  status: (line: string) => void;
  /** The program ends now, on purpose. */
  stopping: () => void;
}>;

/** Whoever started this process, by its variables. */
export function findSupervisor(
  variables: Readonly<Record<string, string | undefined>> = process.env,
): Supervisor {
  const { NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID } = variables;
  let timer: NodeJS.Timeout | undefined;

  function tell(...words: readonly string[]): void {
    if (NOTIFY_SOCKET === undefined) return;
    const options = { env: { ...variables }, timeout: SUPERVISOR_MS };
    execFile('systemd-notify', [`--pid=${process.pid}`, ...words], options, (error) => {
      if (error) process.stderr.write(`systemd-notify: ${error.message.split('\n')[0]}\n`);
    });
  }

  return {
    ready(isAlive) {
      tell('READY=1');
      const isOurs = WATCHDOG_PID === undefined || Number(WATCHDOG_PID) === process.pid;
      if (NOTIFY_SOCKET === undefined || WATCHDOG_USEC === undefined || !isOurs) return;
      // Half of what is allowed, as sd_watchdog_enabled(3) advises, and not too rarely.
      const everyMs = Math.min(Number(WATCHDOG_USEC) / 2_000, WATCHDOG_MS);
      timer = setInterval(() => {
        if (isAlive()) tell('WATCHDOG=1');
      }, everyMs);
      timer.unref();
    },
    status: (line) => tell(`STATUS=${line.replace(/\s+/g, ' ')}`),
    stopping() {
      clearInterval(timer);
      tell('STOPPING=1');
    },
  };
}
