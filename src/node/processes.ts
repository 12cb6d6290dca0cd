/**
 * What Linux says of processes and of the machine: time on a processor, time in the queue for one,
 * time in which the disk was waited for, memory.
 *
 * Read from /proc, so that no measured program has to be changed for it, nor to answer while it is
 * busy. Elsewhere nothing is known, and whoever shows it says so.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { availableParallelism, cpus, totalmem } from 'node:os';
import type { MachineUse, ProcessUse } from '../platform.ts';

/** Undefined when there is no such process, or no /proc. Times are since its start. */
export function processUse(pid: number): ProcessUse | undefined {
  try {
    const threads = readdirSync(`/proc/${pid}/task`);
    let runMs = 0;
    let main = { runMs: 0, queueMs: 0 };
    for (const thread of threads) {
      const use = scheduled(`/proc/${pid}/task/${thread}/schedstat`);
      runMs += use.runMs;
      if (thread === String(pid)) main = use;
    }
    const rss = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];
    return { runMs, mainRunMs: main.runMs, mainQueueMs: main.queueMs, rssKb: Number(rss ?? 0) };
  } catch {
    return undefined;
  }
}

/** Whether its main thread waits for the disk right now. */
export function isAtDisk(pid: number): boolean {
  try {
    // After the name, which may hold anything, stands the state (proc(5)): D is disk sleep.
    return /^.*\) D/.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return false;
  }
}

/** All processors together since the machine was started; undefined where that is not told. */
export function machineUse(): MachineUse | undefined {
  try {
    const line = readFileSync('/proc/stat', 'latin1').split('\n')[0]!;
    const [user, nice, system, idle, disk, irq, soft, steal] = line
      .split(/\s+/)
      .slice(1)
      .map(Number);
    const busy = user! + nice! + system! + irq! + soft!;
    return {
      busyMs: busy * TICK_MS,
      idleMs: (idle! + disk!) * TICK_MS,
      stolenMs: (steal ?? 0) * TICK_MS,
    };
  } catch {
    return undefined;
  }
}

/** What a report says of the machine. */
export function machineFacts(): Readonly<{ processors: number; model: string; memoryMb: number }> {
  return {
    processors: availableParallelism(),
    model: cpus()[0]?.model.trim() ?? 'unknown processor',
    memoryMb: Math.round(totalmem() / 2 ** 20),
  };
}

/** How many files a process of this user may have open; undefined where that is not told. */
export function openFilesMax(): number | undefined {
  try {
    const limits = readFileSync('/proc/self/limits', 'latin1');
    const [, soft] = /^Max open files\s+(\d+|unlimited)/m.exec(limits) ?? [];
    return soft === undefined ? undefined : soft === 'unlimited' ? Infinity : Number(soft);
  } catch {
    return undefined;
  }
}

/** USER_HZ is 100 everywhere. */
const TICK_MS = 10;

/** Nanoseconds on a processor, and in the queue for one (Documentation/scheduler/sched-stats). */
function scheduled(path: string): Readonly<{ runMs: number; queueMs: number }> {
  const [run, queue] = readFileSync(path, 'latin1').split(' ');
  return { runMs: Number(run) / 1e6, queueMs: Number(queue) / 1e6 };
}
